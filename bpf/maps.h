/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
#ifndef SOCKCAP_MAPS_H
#define SOCKCAP_MAPS_H

#include "event.h"

/*
 * Knobs, set before load: the verifier removes what is off.
 */
const volatile __u32 self_pid = 0;	  /* never record this process */
const volatile bool include_self = false; /* but for what it does when armed */
const volatile __u64 wakeup_bytes =
	0; /* wake the reader at this fill; 0: at once */
const volatile __u32 snaplen = 0xffffffff;
const volatile __u32 thread_size = 16384; /* of a kernel stack */
const volatile bool take_on_read = false; /* the receive side has the data */
const volatile bool gc_reorders =
	false; /* up to v6.9: what passes descriptors is purged first */
const volatile bool twins = false; /* each fentry program is attached twice */
const volatile bool hold_cpu = false;	     /* programs forbid preemption */
const volatile bool exact_senders = false;   /* allocations name the sender */
const volatile __u64 request_destructor = 0; /* sock_wfree */

/* Offsets of arguments in classic tracepoints, from tracefs. */
const volatile __u32 consume_skb_at = 8, consume_location_at = 16;
const volatile __u32 kfree_skb_at = 8, kfree_location_at = 16;
const volatile __u32 copy_skb_at = 8;
const volatile __u32 alloc_site_at = 8, alloc_pointer_at = 16;
const volatile __u32 ready_sk_at = 8, sent_sk_at = 8;
const volatile bool consume_has_location = false;

/*
 * Text ranges of the functions that free an skb of a send that failed, or
 * that is no data: unix_stream_sendmsg and the like. From kallsyms.
 */
#define MAX_RANGES 16
struct text_range {
	__u64 from, to;
};
const volatile struct text_range failed_at[MAX_RANGES] = {};
const volatile struct text_range alloc_at[MAX_RANGES] = {};
const volatile struct text_range release_at[MAX_RANGES] = {};

/*
 * The page structs and the linear map are both arrays, so a page's address is
 * page_base + (page - page_origin) / sizeof(struct page) * page_size, modulo
 * 2^64. calibrate.h finds the two, so kallsyms are not needed for it.
 */
const volatile __u32 page_size = 4096;
__u64 page_base, page_origin;
__u64 calibrate_magic[2]; /* what our own datagram repeats, 0: don't */
__u64 calibrate_from;	  /* first candidate, in GiB from the nearest */
__u64 calibrate_base, calibrate_hits, calibrate_pages;

__u64 waiting_ns = 1000000000; /* when unread data is shown */

/* Streams are queued without skb_queue_tail: found by sending to ourselves. */
bool inline_queue = true;
bool stream_queued; /* our own went through it */

/* The next record wakes the reader, who does not look into the ring till then. */
bool reader_sleeps;

/* All programs are in place: what is seen before lacks what others note. */
bool armed;

enum loss {
	LOSS_RING = 0,	 /* units that found the ring buffer full */
	LOSS_NOTE,	 /* other records that did */
	LOSS_MAP,	 /* entries that a map did not take, or not in time */
	LOSS_UNREADABLE, /* pieces whose bytes could not be copied */
	LOSS_LONG,	 /* units with more pieces than we take */
	LOSS_REST,    /* units that lack their end: the ring buffer was full */
	COUNT_SELF,   /* units left out because they are our own */
	COUNT_UNITS,  /* units handed over */
	COUNT_FAILED, /* skbs of failed sends, rightly left out */
	COUNT_EARLY,  /* units taken before all programs were in place */
	COUNT_FILTERED, /* units that the filter left out */
	COUNT_REFUSED,	/* notes of the filter for which a map had no room */
	LOSS_LIFE,   /* events that are no data, processes: no room, or late */
	LOSS_PASSED, /* of what was passed along: no room in ring buffer or map */
	LOSS_COUNT = 16,
};
__u64 counters[LOSS_COUNT];

/* What every message adds to some counters, apart for each CPU. */
#define SPREAD 64
struct spread_counters {
	__u64 count[8]; /* from COUNT_UNITS on */
} spread[SPREAD] __attribute__((aligned(64)));

__u64 next_socket = 1, next_message = 1, next_unit = 1;

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 8 << 20); /* the loader's choice replaces it */
} ring SEC(".maps");

/*
 * What we know of a socket, by its address. Addresses are used again at once:
 * socket_of() tells a successor by its inode or its peer. What each message
 * changes stands apart from what each looks at: the two ends run on two CPUs.
 */
struct socket_state {
	__u64 number;
	__u64 inode;
	__u64 address; /* struct unix_address it had when announced */
	__u64 peer;    /* struct sock */
	__u64 peer_number;
	__u8 announced;
	__u8 disordered; /* some of what it sent was purged out of order */
	__u8 own;	 /* carries our own output */
	__u8 barren;	 /* is or was hopeless (filter.h): to begin anew */
	__u8 closed;	 /* this has been told of */
	__u8 reading;	 /* place of the last reader */
	__u8 walked;	 /* what waited in its queue may be in waits */
	__u8 pad;
	__u32 readers[READERS]; /* those whose names were told, see readers.h */
	__u32 reader;		/* pid of the last reader */
	__u32 glance;		/* the last reader, see look.h */
	__u64 pager;   /* pid_tgid of who appends pages, all ones: several */
	__u64 entered; /* sends begun */
	__u32 inside;  /* tasks inside a send */
	__u32 told; /* units of it in units, at most; where filters_senders */
	__u64 sent; /* bytes queued by it */
	__u64 skipped;	/* of these, bytes left out */
	__u64 consumed; /* units taken from its queue */
	__u64 hush;	/* see quiet.h */
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 131072);
	__type(key, __u64); /* struct sock */
	__type(value, struct socket_state);
} sockets SEC(".maps");

/* A unit on its way into the ring, by task: for pieces that need a loop. */
struct job {
	struct data_event event;
	__u32 left; /* bytes still wanted (snaplen) */
	__u32 told; /* a piece is in the ring */
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8192);
	__type(key, __u64);
	__type(value, struct job);
} jobs SEC(".maps");

const volatile struct job blank_job = {};

/* Who allocated an skb, by skb and by its head. */
struct origin {
	__u64 time;
	__u64 sock;	     /* struct sock of the sender, 0 if unknown */
	__u64 receiver_sock; /* struct sock, 0 until sk_data_ready */
	__u64 receiver;	     /* its number */
	__u64 message;
	struct task_id task;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 65536);
	__type(key, __u64);
	__type(value, struct origin);
} origins SEC(".maps");

/* What a task allocated last for datagrams: an skb and its head. */
struct allocated {
	__u64 pointer[2];
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, __u64); /* pid_tgid */
	__type(value, struct allocated);
} allocations SEC(".maps");

/* Datagram sockets that a task closes, by pid_tgid. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 8192);
	__type(key, __u64);
	__type(value, __u64); /* struct sock */
} closings SEC(".maps");

/*
 * What a queued unit is called, by skb, to tell who read it, and in which order
 * where that is not known before. An skb has its sender until it is freed; what
 * is left of one whose end was not seen is known by the sender's number.
 */
struct queued_unit {
	__u64 unit;
	__u64 sock;   /* struct sock of the sender */
	__u64 number; /* its socket_state.number */
	__u64 to;     /* struct sock of the receiver */
	__u64 entered;
	__u32 overlap;
	__u8 confirmed; /* the sender has said that it is queued */
	__u8 placed;	/* and its order is known */
	__u8 pad[2];
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 65536);
	__type(key, __u64);
	__type(value, struct queued_unit);
} units SEC(".maps");

/* Arguments of skb_append_pagefrags until it returns, by pid_tgid. */
struct append {
	__u64 skb, page, offset, size;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16384);
	__type(key, __u64);
	__type(value, struct append);
} appends SEC(".maps");

/* Units seen waiting, by skb: when first, and at which place in the queue. */
struct waiting {
	__u64 since;
	__u64 index;
	__u64 shown; /* unit number, 0: not yet */
	__u64 receiver;
	__u64 settled; /* it has been shown, the reader need not tell of it */
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 65536);
	__type(key, __u64);
	__type(value, struct waiting);
} waits SEC(".maps");

#endif
