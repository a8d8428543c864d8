/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
#ifndef SOCKCAP_ORIGINS_H
#define SOCKCAP_ORIGINS_H

#include "receive.h"

/* What the sender's context tells the receive side where nothing is counted. */

/* The task closes a descriptor: whose datagrams are purged if it is the last. */
static __always_inline int on_close(__u32 fd)
{
	__u64 id = bpf_get_current_pid_tgid(), key;
	struct sock *sk = socket_at(fd);

	if (!sk || BPF_CORE_READ(sk, sk_type) != SOCK_DGRAM)
		return 0;
	socket_of(sk); /* while it has an inode */
	key = (__u64)sk;
	bpf_map_update_elem(&closings, &id, &key, BPF_ANY);
	return 0;
}

/* The task may append pages to an skb of the socket (sendfile, splice). */
static __always_inline int on_pages(__u32 fd)
{
	__u64 id = bpf_get_current_pid_tgid();
	struct sock *sk = socket_at(fd);
	struct socket_state *st;

	if (!sk || !may_send(sk))
		return 0;
	st = socket_of(sk);
	if (st)
		st->pager =
			st->pager && st->pager >> 32 != id >> 32 ? ~0ULL : id;
	return 0;
}

/*
 * Exact senders: the current task has queued to the receiver what it allocated
 * last. For a datagram that nobody reads no other tells where it went.
 */
static __always_inline int on_data_ready_exact(struct sock *to)
{
	__u64 id = bpf_get_current_pid_tgid();
	struct socket_state *receiver;
	struct allocated *a;
	struct origin *o;
	__u32 i;

	if (!is_unix(to) || BPF_CORE_READ(to, sk_type) != SOCK_DGRAM)
		return 0;
	a = bpf_map_lookup_elem(&allocations, &id);
	receiver = a ? socket_of(to) : NULL;
	if (!receiver)
		return 0;
	for (i = 0; i < 2; i++) {
		o = bpf_map_lookup_elem(&origins, &a->pointer[i]);
		if (o && o->task.tid == (__u32)id) {
			o->receiver_sock = (__u64)to;
			o->receiver = receiver->number;
		}
	}
	return 0;
}

static __always_inline void note_allocation(__u64 pointer)
{
	__u64 id = bpf_get_current_pid_tgid();
	struct allocated *a = bpf_map_lookup_elem(&allocations, &id),
			 first = {};

	if (a) {
		a->pointer[1] = a->pointer[0];
		a->pointer[0] = pointer;
		return;
	}
	first.pointer[0] = pointer;
	if (bpf_map_update_elem(&allocations, &id, &first, BPF_ANY))
		count(LOSS_MAP, 1);
}

/*
 * The current task allocates the head of an skb that it has just allocated for
 * a hopeless send. Of two allocations it is the second: the note is used up.
 */
static __always_inline bool heads_hopeless(void)
{
	struct note *n = filters_sockets ? noted() : NULL;

	if (!n)
		return false;
	n->task = 0;
	return true;
}

/*
 * An allocation for an skb: the current task is the sender. Only heads come from
 * kmalloc, though not all of them.
 */
static __always_inline int on_alloc(__u64 site, __u64 pointer,
				    bool from_kmalloc)
{
	struct socket_state *receiver;
	struct origin o = {};
	struct sock *sk, *peer;
	bool ring;

	if (!is_allocation(site))
		return 0;
	if (from_kmalloc && heads_hopeless())
		return 0;
	sk = syscall_socket(&ring);
	if (!sk && !ring)
		return 0;
	if (is_self())
		return sk ? note_own(sk) : 0;
	if (sk && !may_send(sk))
		return 0;
	if (sk && BPF_CORE_READ(sk, sk_type) != SOCK_DGRAM && !peer_of(sk))
		return 0; /* to connect, not to send */
	if (sk && is_hopeless(sk)) {
		if (!from_kmalloc)
			make_note(bpf_get_current_pid_tgid(), (__u64)sk, 0, 0);
		return 0;
	}
	if (filters_sockets)
		make_note(0, 0, 0, 0);
	if (sk) {
		socket_of(sk); /* while it has an inode */
		o.sock = (__u64)sk;
		if (BPF_CORE_READ(sk, sk_type) == SOCK_DGRAM)
			note_allocation(pointer);
		peer = peer_of(sk);
		if (peer && BPF_CORE_READ(sk, sk_type) != SOCK_DGRAM) {
			receiver = socket_of(peer);
			if (receiver) {
				o.receiver_sock = (__u64)peer;
				o.receiver = receiver->number;
			}
		}
	}
	o.time = bpf_ktime_get_boot_ns();
	fill_task(&o.task);
	o.task.process = current_process();
	if (bpf_map_update_elem(&origins, &pointer, &o, BPF_ANY))
		count(LOSS_MAP, 1);
	return 0;
}

#endif
