/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
#ifndef SOCKCAP_EVENT_H
#define SOCKCAP_EVENT_H

/*
 * What the programs put into the ring buffer. decode.go mirrors every struct;
 * a test compares the two by the object's BTF. Fixed-width types, explicit
 * padding, no pointers: a kernel address in here is a key, never followed.
 */

#define COMM_LEN 16
#define ADDRESS_LEN 108 /* sun_path, include/uapi/linux/un.h */

enum event_kind {
	EVENT_DATA = 1,	    /* struct data_event, then its bytes */
	EVENT_SOCKET = 2,   /* struct socket_event */
	EVENT_QUEUED = 3,   /* struct unit_event: a pending unit was queued */
	EVENT_CANCELED = 4, /* struct unit_event: a pending unit was not */
	EVENT_CONSUMED = 5, /* struct read_event */
	EVENT_READER = 6,   /* struct reader_event */
	EVENT_DOUBT = 7,    /* struct doubt_event */
	EVENT_LIFE = 8,	    /* struct life_event */
	EVENT_PASSED = 9,   /* struct passed_event, of a file: then its names */
	EVENT_PROCESS = 10, /* struct process_event, then names */
	EVENT_SENT = 12,    /* struct sent_event */
};

enum data_flags {
	DATA_PENDING = 1 << 0, /* in no queue yet: QUEUED or CANCELED follows */
	DATA_READ = 1 << 1,    /* time is that of reading, not of queueing */
	DATA_WAITING = 1 << 2, /* seen waiting unread, or thrown away unread */
	DATA_UNREADABLE = 1 << 3, /* these bytes could not be copied */
	DATA_NO_SENDER = 1 << 4,  /* task unknown */
	DATA_OVERLAP = 1 << 5,	  /* another task was inside a send meanwhile */
	DATA_UNSURE_SENDER = 1 << 6, /* the task may be another */
	DATA_UNSURE_ORDER = 1 << 7,  /* its place in the stream is not known */
	DATA_DRAINED = 1 << 8, /* the last of a socket that was closed before */
	DATA_JOINED = 1 << 9,  /* in one skb with the sender's last unit */
	DATA_CREDENTIALS = 1 << 10, /* passed: the task's own */
	DATA_UNASKED = 1 << 11, /* left out: told of for who receives first */
	DATA_NAMED = 1 << 13,	/* the reader has a place, from bit 14 on */
	DATA_PLACE = 14,
};

/* A task as the kernel knows it in the initial pid namespace. */
struct task_id {
	__u32 pid; /* thread group */
	__u32 tid;
	__u32 uid;
	__u32 gid;
	char comm[COMM_LEN];   /* of the thread group's leader */
	char thread[COMM_LEN]; /* of the thread itself */
	__u32 process;	       /* with pid: of which process_event, or 0 */
};

/* A piece of one queued unit (an skb): a datagram, or a part of a stream. */
struct data_event {
	__u8 kind;
	__u8 type; /* SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET */
	__u16 flags;
	__u32 size;	/* bytes of payload behind this struct */
	__u64 time;	/* CLOCK_BOOTTIME, ns */
	__u64 unit;	/* number of the queued unit, unique */
	__u64 message;	/* number of the send, 0 if unknown */
	__u64 sender;	/* number of the sending socket, see socket_event */
	__u64 receiver; /* number of the receiving socket, 0 if unknown */
	__u64 offset;	/* bytes that sender sent before this unit */
	__u32 index; /* place in the receiver's queue since the start, its low bits */
	__u32 lost; /* units that were lost until then, of all sockets, low bits */
	__u64 queued;  /* when it was queued (DATA_READ), 0 if unknown */
	__u64 skipped; /* of offset, bytes that were left out */
	__u32 total;   /* bytes of the unit */
	__u32 at;      /* where in the unit this piece begins */
	__u32 reader_pid;
	__u32 reader_tid;
	char reader_comm[COMM_LEN]; /* at a multiple of 8: it is compared */
	struct task_id task;	    /* the sender */
	__u32 reader_process;	    /* as task_id.process */
};

/* A socket that is seen for the first time, or anew since something changed. */
struct socket_event {
	__u8 kind;
	__u8 type;
	__u8 state; /* TCP_LISTEN, TCP_ESTABLISHED, ... */
	__u8 address_len;
	__u32 address_refs; /* a listener shares its address with the accepted */
	__u64 time;
	__u64 socket;	/* number, unique in a capture */
	__u64 peer;	/* its peer's number, 0 if it has none */
	__u64 inode;	/* 0 before accept and after close */
	__u64 file;	/* inode of the socket file, 0 if none */
	__u32 device;	/* of the socket file, kernel encoding (major << 20) */
	__u32 netns;	/* inode of the network namespace */
	__u32 peer_pid; /* who called connect, listen or socketpair there */
	__u32 peer_uid;
	__u32 peer_gid;
	char address[ADDRESS_LEN]; /* sun_path; first byte 0: abstract */
};

struct unit_event {
	__u8 kind;
	__u8 type;
	__u16 flags;
	__u32 pad;
	__u64 time;
	__u64 unit;
	__u64 receiver;
	__u64 offset;  /* of EVENT_QUEUED */
	__u64 skipped; /* the same, see struct data_event */
};

/* A queued unit was read, or thrown away. */
struct read_event {
	__u8 kind;
	__u8 place;  /* of the reader's names, READERS: not told */
	__u16 flags; /* DATA_READ, DATA_DRAINED */
	__u32 pid;
	__u64 time;
	__u64 unit;
	__u32 tid;
	__u32 pad;
};

#define READERS 4 /* places for the names of a socket's readers */

/* Another task than before reads a socket, or has accepted it. */
struct reader_event {
	__u8 kind;
	__u8 place;
	__u16 pad;
	__u32 pid;
	__u64 time;
	__u64 receiver;
	__u32 tid;
	__u32 uid;
	__u32 gid;
	__u32 process;	       /* as task_id.process */
	char comm[COMM_LEN];   /* of the thread group's leader */
	char thread[COMM_LEN]; /* of the thread itself */
};

/* A task was inside a send unseen: what was just said of the sender is open. */
struct doubt_event {
	__u8 kind;
	__u8 pad[7];
	__u64 time;
	__u64 sender;
};

enum life_what {
	LIFE_CONNECTING =
		1, /* a connect begins; one of the next three follows */
	LIFE_CONNECT = 2,
	LIFE_REFUSED = 3, /* or failed otherwise */
	LIFE_QUIT =
		4, /* no connect to tell of: a signal, AF_UNSPEC, not asked for */
	LIFE_ACCEPT = 5,
	LIFE_LISTEN = 6,
	LIFE_SHUTDOWN = 7,
	LIFE_CLOSE = 8,
	LIFE_CLOSE_UNREAD = 9, /* some of what it sent has not been taken yet */
	LIFE_DRAINED = 10,     /* now it has, but the last of it is left out */
};

/* What a task did to a socket besides sending and reading. */
struct life_event {
	__u8 kind;
	__u8 type; /* 0: as CONNECTING said, or socket_event */
	__u8 what;
	__u8 address_len; /* of CONNECTING and REFUSED, 0 if it can't be read */
	__u32 error;	  /* errno of REFUSED */
	__u64 time;
	__u64 socket;
	__u64 peer; /* 0: none */
	struct task_id task;
	char address[ADDRESS_LEN]; /* what was asked for, sun_path */
};

/*
 * A process, before the first event in which it has this number, and anew when
 * it has executed a program or got another control group. Three names follow,
 * as long as said here: the path of its program and that of its control group
 * (the last part first, each with a NUL behind it), and its arguments.
 */
struct process_event {
	__u8 kind;
	__u8 exe_flags;	 /* enum path_flags */
	__u8 cgroup_cut; /* the first of its parts are missing */
	__u8 pad;
	__u32 number; /* task_id.process */
	__u64 time;
	__u64 start;   /* of the thread group's leader, CLOCK_BOOTTIME, ns */
	__u32 pid;     /* in the initial pid namespace */
	__u32 parent;  /* thread group */
	__u32 own_pid; /* in its own pid namespace */
	__u32 pidns;   /* inode of that */
	__u16 exe_len;
	__u16 cgroup_len;
	__u16 args_len;
	__u16 pad2;
	char comm[COMM_LEN];
};

/* How much a socket has sent until it was closed. */
struct sent_event {
	__u8 kind;
	__u8 pad[7];
	__u64 socket;
	__u64 sent;    /* bytes */
	__u64 skipped; /* of these, bytes that were left out */
};

enum passed_what {
	PASSED_FILE = 1, /* a descriptor of a passage */
	PASSED_UNIT = 2, /* the passage is that of this unit, which follows */
};

enum passed_flags {
	PASSED_CRED = 1 << 0,	  /* pid, uid, gid */
	PASSED_ASKED = 1 << 1,	  /* the receiver gets these: it has asked */
	PASSED_SECURITY = 1 << 2, /* secid: it has asked for that */
};

/*
 * What is passed along with a unit: a passage. Its files come first, then the
 * unit, then the data_event of that.
 */
struct passed_event {
	__u8 kind;
	__u8 what;
	__u16 flags; /* FILE: enum path_flags; UNIT: enum passed_flags */
	__u32 count; /* UNIT: descriptors, of which some may not be told of */
	__u64 passage;
	__u64 unit;
	__u64 inode;  /* FILE */
	__u32 index;  /* FILE: its place in the passage */
	__u32 number; /* FILE: descriptor in the sender, ~0: unknown */
	__u32 magic;  /* FILE: of its file system, include/uapi/linux/magic.h */
	__u32 mode;   /* FILE: i_mode */
	__u32 pid;    /* FILE: of a pidfd, 0: of none */
	__u32 uid;
	__u32 gid;
	__u32 secid;
};

#endif
