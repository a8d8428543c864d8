package main

// What TestTopScreen wants.
const (
	wantTopText = `
06:29:35 kprobe, 4100 packets lost (7 just now), 5 connections, 4.0M bytes/s, 181 messages/s, latency 1.0s
BYTES/s  MSGS/s  LATENCY   TOTAL  TYPE    PATH                                      CLIENT                        SERVER
   4.0M     175     12ms    1.1T  stream  /run/a/very/long/directory/with/many/parts/x.sock  "a long name of it"[4000000]  dockerd[2434]
    500       1       3s    1.0k  stream  /run/docker.sock                          docker[101]                   dockerd[2434]
     50       2    1.3µs    4.1k  stream  /run/docker.sock                          docker[27806]                 dockerd[2434]
    3.5     0.5        -       7  dgram   "@\x1b[2J\n"                              ?                             dockerd[2434]
      0       0        -    1.0M  stream  /run/docker.sock                          curl[99]                      dockerd[2434]
    250     2.5        -     500  -       (rest)                                    -                             -
`
	wantTop80 = `
06:29:35 kprobe, 4100 packets lost (7 just now), 5 connections, 4.0M bytes/s, 181 messages/s, latency 1.0s
BYTES/s MSGS/s LATENCY  TOTAL TYPE   PATH           CLIENT         SERVER
   4.0M    175    12ms   1.1T stream …/parts/x.sock "a l…[4000000] dockerd[2434]
     50      2   1.3µs   4.1k stream …n/docker.sock docker[27806]  dockerd[2434]
    500      1      3s   1.0k stream …n/docker.sock docker[101]    dockerd[2434]
    3.5    0.5       -      7 dgram  "@\x1b[2J\n"   ?              dockerd[2434]
      0      0       -   1.0M stream …n/docker.sock curl[99]       dockerd[2434]
    250    2.5       -    500 -      (rest)         -              -
`
	wantTop200 = `
06:29:35 kprobe, 4100 packets lost (7 just now), 5 connections, 4.0M bytes/s, 181 messages/s, latency 1.0s
BYTES/s  MSGS/s  LATENCY   TOTAL  TYPE    PATH                                               CLIENT                        SERVER
    500       1       3s    1.0k  stream  /run/docker.sock                                   docker[101]                   dockerd[2434]
   4.0M     175     12ms    1.1T  stream  /run/a/very/long/directory/with/many/parts/x.sock  "a long name of it"[4000000]  dockerd[2434]
    304       5    1.3µs    1.0M  -       (3 more)                                           -                             -
`
	wantTopPaths = `
06:29:35 kprobe, 4100 packets lost (7 just now), 5 connections, 4.0M bytes/s, 181 messages/s, latency 1.0s
BYTES/s MSGS/s LATENCY  TOTAL TYPE   CONNS PATH                  CLIENT                SERVER
   4.0M    175    12ms   1.1T stream     1 …th/many/parts/x.sock "a long nam…[4000000] dockerd[2434]
    550      3    1.5s   1.0M stream     3 /run/docker.sock      -                     dockerd[2434]
    3.5    0.5       -      7 dgram      1 "@\x1b[2J\n"          ?                     dockerd[2434]
    250    2.5       -    500 -          - (rest)                -                     -
`
	wantTopOne = `
06:29:35 kprobe, 4100 packets lost (7 just now), 5 connections, 4.0M bytes/s, 181 messages/s, latency 1.0s
BYTES/s  MSGS/s  LATENCY   TOTAL  TYPE    PATH      CLIENT  SERVER
   4.0M     181     1.0s    1.1T  -       (5 more)  -       -
`
)
