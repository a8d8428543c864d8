/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
#ifndef SOCKCAP_WRITERS_H
#define SOCKCAP_WRITERS_H

#include "socket.h"

/*
 * Who sent, for the receive side. A reader sees whose socket an skb comes
 * from, not which task wrote it. Two ways to know:
 *
 * exact_senders: the allocation of the skb, in the sender's context (any
 * kernel; taxes all allocations).
 *
 * Otherwise by counting (v6.3): sk_data_ready runs in the sender's context
 * once for each unit that it queued, and a socket's units are read in the order
 * in which they were queued. So the n-th unit taken is the n-th told of, as
 * long as no two tasks were inside a send at once; when they were, the units of
 * that time are marked. The counts are set to zero whenever a send begins while
 * nothing of the socket is in flight.
 *
 * Tasks and readers run at once, on other CPUs, and each may be held up between
 * any two lines; tracing programs have no locks. So nothing that one task
 * concludes may be undone by another that began to conclude earlier: every
 * conclusion carries the number of sends begun by then, and holds only while
 * that is still the number (solo, run.upto), or was after the fact was in place.
 * A reader sees all that a sender wrote before it queued a unit: the lock of
 * the queue has passed from one to the other.
 */

#define RUNS 4
#define TIMES 8

#define SURE (~0ULL)
#define SEVERAL (~0ULL)

/* Consecutive units of one task. */
struct run {
	__u64 start; /* count of the first */
	__u64 task;  /* key in tasks */
	__u64 upto;  /* so if no more sends have begun than that; 0: unsure */
};

struct writers {
	__u64 current; /* pid_tgid of who began a send last */
	__u64 inside;  /* tasks inside a send */
	__u64 entered; /* sends begun */
	__u64 only;    /* task that began all since zero, as in tasks... */
	__u64 solo;    /* ...if this many have begun */
	__u64 ring;    /* task that sends untold; tid 0: any worker's */
	__u64 epoch;   /* times set to zero */
	__u64 queued;  /* units told of by sk_data_ready */
	__u64 taken;   /* units read */
	__u64 to;      /* receiver of the last unit */
	__u64 to_number;
	__u32 synced; /* queued and taken count the same units */
	__u32 mixed; /* units in flight to several receivers: read in any order */
	__u32 runs;  /* of which the last RUNS are kept */
	__u32 blind; /* what a send passes along could not be read */
	struct run run[RUNS];
	__u64 times[TIMES]; /* of the last units, see time_mark */
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 65536);
	__type(key, __u64); /* socket_state.number */
	__type(value, struct writers);
} writers SEC(".maps");

const volatile struct writers blank_writers = {};

static __always_inline struct writers *writers_of(__u64 number)
{
	struct writers *w = bpf_map_lookup_elem(&writers, &number);

	if (w)
		return w;
	bpf_map_update_elem(&writers, &number, (void *)&blank_writers,
			    BPF_NOEXIST);
	w = bpf_map_lookup_elem(&writers, &number);
	if (!w)
		count(LOSS_MAP, 1);
	return w;
}

/*
 * Reads *p after the read that gave first: arm64 may read the later of two
 * first, unless its address depends on the other's value.
 */
static __always_inline __u64 read_after(const __u64 *p, __u64 first)
{
	asm volatile("%0 &= 0" : "+r"(first));
	return *(volatile const __u64 *)((const void *)p + first);
}

static __always_inline __u64 read_now(const __u64 *p)
{
	return *(volatile const __u64 *)p;
}

/*
 * A time is kept with the unit that it is of in the bits below a quarter of a
 * microsecond: who reads it without a lock may see that of an earlier one.
 */
#define TIME_MARK 0xffULL

static __always_inline __u64 time_mark(struct writers *w, __u64 n)
{
	return (n + read_now(&w->epoch) * 31) & TIME_MARK;
}

/* sk_wmem_alloc is 1, plus the true size of what the socket has in flight. */
static __always_inline __u32 in_flight(struct sock *sk)
{
	return BPF_CORE_READ(sk, sk_wmem_alloc.refs.counter) - 1;
}

/*
 * Counting begins anew, by the one that is alone inside, with nothing in
 * flight. Who has come since finds another epoch, or is found.
 */
static __always_inline void restart(struct writers *w, __u64 task,
				    __u64 entered)
{
	*(volatile __u32 *)&w->synced = 0;
	__sync_fetch_and_add(&w->epoch, 1);
	w->queued = w->taken = 0;
	w->runs = w->mixed = 0;
	w->only = task;
	w->solo = entered;
	*(volatile __u32 *)&w->synced = read_now(&w->entered) == entered;
}

/* With nothing in flight, the counts are as good as set to zero. */
static __always_inline bool agrees(struct writers *w)
{
	return w->synced && !w->mixed && w->queued == w->taken;
}

/*
 * One task has begun all sends of what is in flight, or one process has, by
 * io_uring alone. Whose first send by io_uring is not told of yet is not known:
 * see doubt_senders.
 */
static __always_inline bool is_solo(struct writers *w)
{
	return w->solo == read_now(&w->entered) &&
	       (!w->ring || w->ring == w->only ||
		(!w->entered && w->ring >> 32 == w->only >> 32));
}

/*
 * Notes that the next units are the task's: for sure if no more than upto sends
 * have begun when they have been counted. NULL if they go on a run.
 */
static __always_inline struct run *add_run(struct writers *w, __u64 task,
					   __u64 upto)
{
	__u32 runs = *(volatile __u32 *)&w->runs, last = (runs - 1) % RUNS;
	struct run *r;

	if (runs && w->run[last].task == task &&
	    w->run[last].upto == (upto ? SURE : 0))
		return NULL;
	r = &w->run[runs % RUNS];
	r->start = w->queued;
	r->task = task;
	r->upto = upto;
	*(volatile __u32 *)&w->runs = runs + 1;
	return r;
}

#endif
