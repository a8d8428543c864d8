package main

// What TestListTable wants.
const (
	wantList80 = `
TYPE      STATE   QUEUE  USER   CONTAINER    PATH        CLIENT      SERVER
stream    listen  1/4096 0      -            …ocker.sock -           dockerd[7]
stream    pending 0      ?>0    -            …ocker.sock ?           dockerd[7]
stream    estab   <7>101 1000>0 0123456789a… …ocker.sock "…[4000000] dockerd[7]
dgram     unconn  11     0      -            …lumns are" -           …[4099]+100
dgram     estab   0      0      -            …lumns are" "w…[4099]+1 …[4099]+100
seqpacket closed  0      0      -            (unnamed)   ?           -
`
	wantList200 = `
TYPE      STATE   QUEUE  USER   CONTAINER      PATH                                                              CLIENT                            SERVER
stream    listen  1/4096 0      -              /run/docker.sock                                                  -                                 dockerd[7]
stream    pending 0      ?>0    -              /run/docker.sock                                                  ?                                 dockerd[7]
stream    estab   <7>101 1000>0 0123456789ab>- /run/docker.sock                                                  "\x1b[2J\xff"[4000000]            dockerd[7]
dgram     unconn  11     0      -              …, as long as abstract names may be, and longer than columns are" -                                 "worker 0"[4099],"worker 1"[4100],"worker 2"[4101]+98
dgram     estab   0      0      -              …, as long as abstract names may be, and longer than columns are" "worker 0"[4099],"worker 1"[4100] "worker 0"[4099],"worker 1"[4100],"worker 2"[4101]+98
seqpacket closed  0      0      -              (unnamed)                                                         ?                                 -
`
	wantListNarrow = `
TYPE  STATE  QUEUE USER PATH CLIENT    SERVER
dgram unconn 11    0    …re" -         …[4099]+100
dgram estab  0     0    …re" …[4099]+1 …[4099]+100
`
	wantListPipe = `
TYPE       STATE    QUEUE   USER    CONTAINER       PATH              CLIENT                  SERVER
stream     listen   1/4096  0       -               /run/docker.sock  -                       dockerd[7]
stream     pending  0       ?>0     -               /run/docker.sock  ?                       dockerd[7]
stream     estab    <7>101  1000>0  0123456789ab>-  /run/docker.sock  "\x1b[2J\xff"[4000000]  dockerd[7]
seqpacket  closed   0       0       -               (unnamed)         ?                       -
`
	wantListIDs = `
TYPE       STATE    QUEUE   USER    CONTAINER       PATH              CLIENT                  SERVER
stream     listen   1/4096  0       -               /run/docker.sock  -                       dockerd[7]  inode=1  netns=9  file=254:0/4099  fd=3  mem=r0/212992,w0/212992  unit=x.service
stream     pending  0       ?>0     -               /run/docker.sock  ?                       dockerd[7]  inode=4>1  netns=9  file=->254:0/4099  fd=->3  mem=r0/0,w0/0>r0/212992,w0/212992  unit=->x.service
stream     estab    <7>101  1000>0  0123456789ab>-  /run/docker.sock  "\x1b[2J\xff"[4000000]  dockerd[7]  inode=2>3  netns=9  file=->254:0/4099  fd=5>9  mem=r0/0,w0/0  unit=->x.service
seqpacket  closed   0       0       -               (unnamed)         ?                       -  inode=5  netns=9  mem=r0/0,w0/0  shutdown=both
`
)
