/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
#ifndef SOCKCAP_WAITING_H
#define SOCKCAP_WAITING_H

#include "receive.h"

/*
 * Data that waits: the queue of each socket is walked without its lock. What
 * was there at two scans a second apart, at the same place, is shown; a unit
 * taken meanwhile moves all places, for on_freed counts before it is freed.
 */
#define SOME_WAITING 32 /* its square: units of a queue; others come later */

/* How far the walk of one queue has come: only one is walked at a time. */
__u64 walk_skb, walk_place, walk_ahead, walk_skipped;

/*
 * Shows one unit; ahead are the bytes that wait before it, skipped those of
 * them that the filter leaves out. Returns 1 if it leaves this one out too.
 */
__attribute__((noinline)) int show_waiting(__u64 address, __u64 to, __u64 place,
					   __u64 ahead, __u64 skipped)
{
	struct sk_buff *skb = (void *)address;
	struct sock *from = BPF_CORE_READ(skb, sk);
	struct socket_state *sender, *receiver;
	struct waiting shown = {}, *w;
	struct job job = {};
	__u64 first, owner = (__u64)from;
	int lost;

	sender = bpf_map_lookup_elem(&sockets, &owner);
	receiver = bpf_map_lookup_elem(&sockets, &to);
	if (!sender || !receiver)
		return 0;
	first = *(volatile __u64 *)&receiver->consumed;
	job.event.kind = EVENT_DATA;
	job.event.type = BPF_CORE_READ(from, sk_type);
	job.event.flags = DATA_WAITING | DATA_PENDING;
	job.event.time = bpf_ktime_get_boot_ns();
	job.event.unit = unique(&next_unit);
	job.event.sender = sender->number;
	job.event.receiver = receiver->number;
	job.event.total = BPF_CORE_READ(skb, len);
	job.event.offset = sender->sent + ahead;
	job.event.skipped = sender->skipped;
	if (job.event.type != SOCK_DGRAM)
		job.event.skipped += skipped;
	job.event.index = first + place;
	if (exact_senders)
		fill_sender(&job.event, origin_of(skb), skb, sender);
	else if (peek_writer(&job.event, sender, place))
		return 1;
	if (family_only && !is_kept(owner, receiver->inode, job.event.task.pid,
				    job.event.flags))
		return 1;
	if (filtering && !is_wanted(&job.event, known_end(owner, sender),
				    known_end(to, receiver)))
		return 1;
	shown.shown = job.event.unit;
	shown.index = job.event.index;
	shown.receiver = receiver->number;
	bpf_map_update_elem(&waits, &address, &shown, BPF_ANY);
	if (*(volatile __u64 *)&receiver->consumed != first) {
		bpf_map_delete_elem(&waits, &address);
		return 0; /* its reader did not see that it is being shown */
	}
	pass_shown(address, job.event.unit, to);
	lost = put_unit(&job, skb);
	if (lost != HANDED_OVER) { /* not lost: its reader tells of it */
		if (lost != NOT_ASKED)
			count(lost == LOSS_MAP ? LOSS_MAP : LOSS_RING, -1);
		bpf_map_delete_elem(&waits, &address);
		return 0;
	}
	if (!claim_shown(job.event.unit))
		return put_unit_event(EVENT_CANCELED, job.event.type, 0,
				      job.event.unit, receiver->number, 0, 0);
	w = bpf_map_lookup_elem(&waits, &address);
	if (w && w->shown == job.event.unit)
		w->settled = 1; /* the claim may be forgotten before the read */
	put_unit_event(EVENT_QUEUED, job.event.type, 0, job.event.unit,
		       receiver->number, job.event.offset, job.event.skipped);
	return 0;
}

/*
 * Tells of the files of an skb that waits; of one that was taken meanwhile,
 * whose address may be another's, nothing may stay noted. Returns 1.
 */
__attribute__((noinline)) int pass_waiting(__u64 skb, __u64 to, __u64 first)
{
	struct socket_state *receiver = bpf_map_lookup_elem(&sockets, &to);

	if (!receiver || !passed_files((void *)skb))
		return 1;
	pass_copied(skb);
	if (*(volatile __u64 *)&receiver->consumed != first)
		drop_passing(skb);
	return 1;
}

/*
 * Whether an skb was seen at this place of the receiver's queue long enough ago
 * and is not shown yet. Global, so that the verifier follows the loop over it without
 * it, as those below.
 */
__attribute__((noinline)) int has_waited(__u64 skb, __u64 receiver, __u64 index)
{
	struct waiting *w = bpf_map_lookup_elem(&waits, &skb), fresh = {};
	__u64 now = bpf_ktime_get_boot_ns();

	if (w && (__u32)w->index == (__u32)index && w->receiver == receiver)
		return !w->shown && now - w->since >= waiting_ns;
	fresh.since = now;
	fresh.index = index;
	fresh.receiver = receiver;
	bpf_map_update_elem(&waits, &skb, &fresh, BPF_ANY);
	return 0;
}

/* Makes the state of an skb's sender. Global, to spare show_waiting's stack. */
__attribute__((noinline)) int has_owner(__u64 skb)
{
	struct sock *from = BPF_CORE_READ((struct sk_buff *)skb, sk);
	struct socket_state *st;

	if (!from || !is_unix(from) || is_hopeless(from))
		return 0;
	st = socket_of(from);
	if (!st)
		return 0;
	if (!is_dead(from))
		end_of((__u64)from, st);
	return 1;
}

/* Nothing that waits in the socket's queue can match. */
static __always_inline bool awaits_nothing(struct sock *to)
{
	struct sock *from = peer_of(to);

	return filters_sockets && from &&
	       BPF_CORE_READ(to, sk_type) != SOCK_DGRAM && is_hopeless(from);
}

/*
 * Some units of the queue of the socket to. Returns 1 if there are more. Global,
 * so that the verifier follows no long loop.
 */
__attribute__((noinline)) int walk_some(__u64 to, __u64 head, __u64 first)
{
	struct socket_state *receiver = bpf_map_lookup_elem(&sockets, &to);
	__u32 i, len;
	__u64 skb;

	for (i = 0; i < SOME_WAITING; i++) {
		skb = walk_skb;
		if (!skb || skb == head || !receiver ||
		    receiver->consumed != first)
			return 0;
		len = BPF_CORE_READ((struct sk_buff *)skb, len);
		if (has_waited(skb, receiver->number, first + walk_place) &&
		    has_owner(skb) && pass_waiting(skb, to, first) &&
		    show_waiting(skb, to, walk_place, walk_ahead, walk_skipped))
			walk_skipped += len;
		walk_ahead += len;
		walk_place++;
		walk_skb = (__u64)BPF_CORE_READ((struct sk_buff *)skb, next);
	}
	return 1;
}

static __always_inline int on_socket(struct sock *to)
{
	__u64 head = (__u64)to +
		     bpf_core_field_offset(struct sock, sk_receive_queue);
	__u64 skb = (__u64)BPF_CORE_READ((struct sk_buff_head *)head, next);
	struct socket_state *receiver;
	__u64 first;
	__u32 i;

	if (!skb || skb == head ||
	    BPF_CORE_READ(to, __sk_common.skc_state) == TCP_LISTEN ||
	    awaits_nothing(to))
		return 0;
	if (!may_concern(to, peer_of(to)))
		return 0;
	receiver = socket_of(to);
	if (!receiver)
		return 0;
	end_of((__u64)to, receiver);
	*(volatile __u8 *)&receiver->walked = 1;
	first = receiver->consumed;
	walk_skb = skb;
	walk_place = walk_ahead = walk_skipped = 0;
	for (i = 0; i < SOME_WAITING; i++)
		if (!walk_some((__u64)to, head, first))
			break;
	return 0;
}

#endif
