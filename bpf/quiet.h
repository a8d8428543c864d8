/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
#ifndef SOCKCAP_QUIET_H
#define SOCKCAP_QUIET_H

#include "unwanted.h"
#include "writers.h"

/*
 * A stream on which only unwanted tasks have sent is quiet: no account is kept
 * of who sends there, and all that is read from it is left out. That ends, for
 * good, when any other task begins to send there, before it has queued anything.
 * What waits unread then is the unwanted tasks'. One of them that is inside a
 * send then comes to queue a unit that nobody has told of: see doubt_senders.
 *
 * With filters_readers one is quiet from when an unwanted task has read from it,
 * until another does. Who sent what waits unread then is not known: it may still
 * be who sent before it was quiet.
 *
 * Two conclude at once, that it is quiet, and that it is loud. They add to one
 * word: who calls it loud finds in it, or nobody ever does, that it was quiet.
 */
#define QUIET 1ULL
#define LOUD (1ULL << 32)

/* Grows when a socket is quiet no more: notes of quiet sends are void. */
__u64 quiet_epoch = 1;

static __always_inline bool is_quiet(struct socket_state *st)
{
	__u64 hush = *(volatile __u64 *)&st->hush;

	return filters_senders && hush && hush < LOUD;
}

/* Whether the last reader of what a stream's socket sends was an unwanted task. */
static __always_inline bool is_read_unwanted(struct socket_state *st)
{
	struct socket_state *to;

	if (!filters_readers)
		return true;
	to = bpf_map_lookup_elem(&sockets, &st->peer);
	return to && to->number == st->peer_number && to->glance;
}

/*
 * An unwanted task sends: the account rests if all that is in flight is from such
 * a one.
 */
static __always_inline void hush(struct socket_state *st, struct writers *w,
				 __u64 task)
{
	if (w->only == task && is_solo(w) && !w->ring &&
	    !*(volatile __u64 *)&st->hush && is_read_unwanted(st))
		__sync_fetch_and_add(&st->hush, QUIET);
}

/*
 * Whether the current task begins a send that needs no account. What follows in
 * it, in the same task, need not ask again.
 */
static __always_inline bool begins_quiet(struct sock *sk,
					 struct socket_state *st, bool unwanted)
{
	__u64 epoch = read_now(&quiet_epoch);
	__u64 hush = read_after(&st->hush, epoch);

	if (!filters_senders)
		return false;
	if (!unwanted || !hush || hush >= LOUD) {
		make_note(0, 0, 0, 0);
		return false;
	}
	make_note(bpf_get_current_pid_tgid(), (__u64)sk, st->peer, epoch);
	return true;
}

/*
 * All that was written before is seen by who sees what is written after. Of
 * what programs have on every kernel, nothing else orders so on every processor:
 * the kernel exchanges a word of the record. False if there is no room for one.
 */
static __always_inline bool fence(void)
{
	void *record = bpf_ringbuf_reserve(&ring, sizeof(__u64), 0);

	if (!record)
		return false;
	bpf_ringbuf_discard(record, BPF_RB_NO_WAKEUP);
	return true;
}

#define MAX_BACKLOG 256 /* units that are counted */

/*
 * How many units of a stream's socket wait in its peer's queue, the one that the
 * current task is taking from there, or 0, among them. -1 if that can't be told:
 * another is on its way there or from there, for as much memory is charged to the
 * socket as those have, and more.
 */
__attribute__((noinline)) int backlog_of(__u64 key, __u64 taken)
{
	struct sock *from = (void *)key, *to = peer_of(from);
	__u64 head = (__u64)to +
		     bpf_core_field_offset(struct sock, sk_receive_queue);
	struct sk_buff *skb = BPF_CORE_READ((struct sk_buff_head *)head, next);
	__u32 charged =
		taken ? BPF_CORE_READ((struct sk_buff *)taken, truesize) : 0;
	int i;

	for (i = 0; i < MAX_BACKLOG; i++) {
		if (!skb)
			break;
		if ((__u64)skb == head)
			return charged == in_flight(from) ? i + !!taken : -1;
		if (BPF_CORE_READ(skb, sk) != from)
			break;
		charged += BPF_CORE_READ(skb, truesize);
		skb = BPF_CORE_READ(skb, next);
	}
	return -1;
}

/*
 * A task that is not unwanted is about to send, or to take a unit: the account
 * begins. own of the units in the queue are its own already. A function of its own,
 * because callers' stacks add up.
 */
static __noinline int break_silence(struct sock *from, struct socket_state *st,
				    int own, __u64 taken)
{
	struct writers *w;
	bool sure;
	int n;

	__sync_fetch_and_add(&st->hush, LOUD);
	sure = fence();
	__sync_fetch_and_add(&quiet_epoch, 1);
	if (!(__u32)read_now(&st->hush))
		return 0; /* it has never been quiet */
	w = writers_of(st->number);
	if (!w)
		return 0;
	n = backlog_of((__u64)from, taken) - own;
	if (n < 0) {
		sure = false;
		n = 0;
	}
	if (!filters_readers)
		w->only = UNWANTED;
	w->solo = SEVERAL;
	w->mixed = 0;
	w->taken = 0;
	w->queued = n;
	w->run[0].start = 0;
	w->run[0].task = w->only;
	w->run[0].upto = filters_readers ? 0 : SURE;
	w->runs = n > 0;
	/* Of two that come at once, the other's may be among those counted. */
	*(volatile __u32 *)&w->synced =
		sure && read_after(&st->hush, n) >> 32 == 1;
	return 0;
}

/* Notes that a task sends which is not unwanted. */
static __always_inline void make_loud(struct sock *from,
				      struct socket_state *st, int own)
{
	if (filters_senders && *(volatile __u64 *)&st->hush < LOUD)
		break_silence(from, st, own, 0);
}

/*
 * The current task takes a unit of a socket's. Returns whether it is an unwanted
 * one: it may take the next like this one.
 */
static __always_inline bool hears(struct sock *from, struct socket_state *st,
				  __u64 skb, __u16 type)
{
	if (reads_unwanted())
		return true;
	if (type != SOCK_DGRAM && *(volatile __u64 *)&st->hush < LOUD)
		break_silence(from, st, 0, skb);
	return false;
}

#endif
