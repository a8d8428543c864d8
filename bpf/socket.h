/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
#ifndef SOCKCAP_SOCKET_H
#define SOCKCAP_SOCKET_H

#include "maps.h"

/* Who a socket is: its state in the map, told to user space once. */

static __always_inline void count(enum loss what, __u64 n)
{
	__u32 cpu;

	if (what == COUNT_UNITS || what == COUNT_FILTERED) {
		cpu = bpf_get_smp_processor_id() & (SPREAD - 1);
		__sync_fetch_and_add(&spread[cpu].count[what - COUNT_UNITS], n);
		return;
	}
	__sync_fetch_and_add(&counters[what], n);
}

/*
 * A number that no other call of the same counter gets. Fetch-and-add needs
 * v5.12; here the counter grows before this task reads it, so one task never
 * reads a value twice, and the thread id tells tasks apart (pid_max is 2^22).
 */
static __always_inline __u64 unique(__u64 *counter)
{
	__sync_fetch_and_add(counter, 1);
	return *(volatile __u64 *)counter << 22 |
	       (bpf_get_current_pid_tgid() & 0x3fffff);
}

static __always_inline bool is_unix(struct sock *sk)
{
	return BPF_CORE_READ(sk, __sk_common.skc_family) == AF_UNIX;
}

static __always_inline struct sock *peer_of(struct sock *sk)
{
	return BPF_CORE_READ((struct unix_sock *)sk, peer);
}

static __always_inline struct unix_address *address_of(struct sock *sk)
{
	return BPF_CORE_READ((struct unix_sock *)sk, addr);
}

/* 0 for a socket that is not accepted yet, or closed. */
static __always_inline __u64 inode_of(struct sock *sk)
{
	void *socket = BPF_CORE_READ(sk, sk_socket);

	if (!socket)
		return 0;
	socket -= bpf_core_field_offset(struct socket_alloc, socket);
	return BPF_CORE_READ((struct socket_alloc *)socket, vfs_inode.i_ino);
}

static __always_inline void fill_address(struct socket_event *e,
					 struct unix_address *a)
{
	int len = BPF_CORE_READ(a, len) - (int)sizeof(__u16);
	__u32 n;

	e->address_refs = BPF_CORE_READ(a, refcnt.refs.counter);
	if (len <= 0)
		return;
	n = len;
	asm volatile("" : "+r"(n)); /* else only len is known to be positive */
	if (n > ADDRESS_LEN)
		n = ADDRESS_LEN;
	if (bpf_probe_read_kernel(
		    e->address, n,
		    (void *)a +
			    bpf_core_field_offset(struct unix_address, name) +
			    sizeof(__u16)))
		return;
	e->address_len = n;
}

static __always_inline void fill_peer(struct socket_event *e, struct sock *sk)
{
	struct pid *pid = BPF_CORE_READ(sk, sk_peer_pid);
	const struct cred *cred = BPF_CORE_READ(sk, sk_peer_cred);

	e->peer_pid = pid ? BPF_CORE_READ(pid, numbers[0].nr) : 0;
	e->peer_uid = cred ? BPF_CORE_READ(cred, euid.val) : ~0U;
	e->peer_gid = cred ? BPF_CORE_READ(cred, egid.val) : ~0U;
}

static __always_inline void fill_file(struct socket_event *e, struct sock *sk)
{
	struct inode *file =
		BPF_CORE_READ((struct unix_sock *)sk, path.dentry, d_inode);

	if (!file)
		return;
	e->file = BPF_CORE_READ(file, i_ino);
	e->device = BPF_CORE_READ(file, i_sb, s_dev);
}

/*
 * Tells user space of a socket, or of what changed. Not inline, to spare
 * renew_state's stack.
 */
static __noinline int announce(struct sock *sk, struct socket_state *st)
{
	struct unix_address *a = address_of(sk);
	struct socket_event *e;

	st->address = (__u64)a; /* the filter goes by it, told or not */
	e = bpf_ringbuf_reserve(&ring, sizeof(*e), 0);
	if (!e) {
		count(LOSS_NOTE, 1);
		return 0;
	}
	__builtin_memset(e, 0, sizeof(*e));
	e->kind = EVENT_SOCKET;
	e->type = BPF_CORE_READ(sk, sk_type);
	e->state = BPF_CORE_READ(sk, __sk_common.skc_state);
	e->time = bpf_ktime_get_boot_ns();
	e->socket = st->number;
	e->peer = st->peer_number;
	e->inode = st->inode;
	e->netns = BPF_CORE_READ(sk, __sk_common.skc_net.net, ns.inum);
	fill_file(e, sk);
	fill_peer(e, sk);
	if (a)
		fill_address(e, a);
	bpf_ringbuf_submit(e, BPF_RB_NO_WAKEUP);
	st->announced = 1;
	return 0;
}

/* The socket is closed; it lives on while skbs or its peer hold it. */
static __always_inline bool is_dead(struct sock *sk)
{
	return BPF_CORE_READ(sk, __sk_common.skc_flags) & 1UL << SOCK_DEAD_BIT;
}

/*
 * Whether sk is another socket than the one that st was made for. An inode
 * decides: one that it lacked when the caller looked, and st has, is looked for
 * again, for accept may have given it meanwhile. Without one, a dead socket is the
 * one that it was when it sent; a live one waits to be accepted, and is known by
 * its peer.
 */
static __always_inline bool replaced(struct socket_state *st, struct sock *sk,
				     __u64 inode, __u64 peer)
{
	struct socket_state *ps;

	if (!inode && *(volatile __u64 *)&st->inode)
		inode = inode_of(sk);
	if (inode && st->inode)
		return inode != st->inode;
	if (is_dead(sk))
		return false;
	if (st->inode || !st->peer || peer != st->peer)
		return true;
	if (!st->peer_number)
		return false;
	ps = bpf_map_lookup_elem(&sockets, &peer);
	return ps && ps->number != st->peer_number;
}

/*
 * Of several that would do something once, the one whose insert succeeds may:
 * begin a socket's state anew where its address is used again, tell of a unit
 * that was shown waiting.
 */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, __u64);
	__type(value, __u64);
} claims SEC(".maps");

/* Of a socket that has a state with that number so far. */
static __always_inline __u64 claim_of(__u64 sock, __u64 number)
{
	return sock ^ number * 0x9e3779b97f4a7c15; /* odd: one to one */
}

/*
 * Whether another was first. The result is an int: up to v6.3 the functions of maps
 * return one, and leave the other half of the register empty.
 */
static __always_inline bool is_claimed(__u64 *claim)
{
	return (int)bpf_map_update_elem(&claims, claim, claim, BPF_NOEXIST) ==
	       -EEXIST;
}

/* The number of sk's state, 0 if it has none yet, or only a predecessor's. */
static __always_inline __u64 number_of(__u64 sk)
{
	struct socket_state *st = bpf_map_lookup_elem(&sockets, &sk);
	struct sock *live = (void *)sk;

	if (!st || replaced(st, live, inode_of(live), (__u64)peer_of(live)))
		return 0;
	return st->number;
}

/*
 * Some looks at whether the state with the old number has been replaced. A
 * global function, so that the verifier follows this loop once, and not in
 * every round of the loop around it.
 */
__attribute__((noinline)) int is_renewed(__u64 key, __u64 old)
{
	struct socket_state *st;
	int i;

#pragma clang loop unroll_count(4) /* less for the verifier to follow */
	for (i = 0; i < 64; i++) {
		st = bpf_map_lookup_elem(&sockets, &key);
		if (st && st->number != old)
			return 1;
	}
	return 0;
}

/*
 * Another CPU is about to put a new state in the place of the one with the old
 * number: it has two lines to go, but its machine may be held up. (Doing it in
 * its stead would undo what is counted meanwhile, once it goes on.) Global for
 * the same reason.
 */
__attribute__((noinline)) int await_renewal(__u64 key, __u64 old)
{
	int i;

#pragma clang loop unroll_count(4)
	for (i = 0; i < 128; i++)
		if (is_renewed(key, old))
			return 1;
	return 0;
}

/*
 * Puts a new state in the place of the one with the old number, or of none. It
 * is complete when others first see it. Of several that would, one does. What
 * was read of the old state may have been another socket's: the kernel uses
 * elements that were replaced again at once. So it must still be there. (The
 * stacks of all callers together have 512 bytes, which this nearly fills.)
 */
static __always_inline struct socket_state *begin_state(__u64 key, __u64 old,
							__u64 inode, __u64 peer)
{
	struct socket_state fresh = {}, *st;
	__u64 claim = claim_of(key, old);

	fresh.number = unique(&next_socket);
	fresh.inode = inode;
	fresh.peer = peer; /* its number only once this state is in place */
	if (old && is_claimed(&claim))
		return await_renewal(key, old) ?
			       bpf_map_lookup_elem(&sockets, &key) :
			       NULL;
	st = bpf_map_lookup_elem(&sockets, &key);
	if (st && st->number != old)
		return st;
	if (bpf_map_update_elem(&sockets, &key, &fresh,
				st ? BPF_ANY : BPF_NOEXIST) &&
	    old)
		bpf_map_delete_elem(&claims, &claim); /* no room: try again */
	st = bpf_map_lookup_elem(&sockets, &key);
	return st && st->number != old ? st : NULL;
}

/*
 * Makes or renews the state of a socket and tells user space. Global, so that
 * the verifier looks at it once and not wherever it is called. Returns 1 if
 * there is a state.
 */
__attribute__((noinline)) int renew_state(__u64 key)
{
	struct sock *sk = (void *)key;
	__u64 inode = inode_of(sk), peer = (__u64)peer_of(sk), number;
	struct socket_state *st = bpf_map_lookup_elem(&sockets, &key);
	__u64 old = st ? *(volatile __u64 *)&st->number : 0;

	if (!st || st->barren || replaced(st, sk, inode, peer)) {
		st = begin_state(key, old, inode, peer);
		if (!st)
			return 0;
	}
	if (peer && (peer != st->peer || !st->peer_number)) {
		number = number_of(peer);
		if (peer != st->peer || number)
			st->announced = 0;
		st->peer = peer;
		st->peer_number = number;
	}
	if (inode && inode != st->inode) {
		st->inode = inode;
		st->announced = 0;
	}
	if (inode && (__u64)address_of(sk) != st->address)
		st->announced = 0;
	if (!st->announced)
		announce(sk, st);
	return 1;
}

/* Nothing about a live socket with an inode has changed since it was told. */
static __always_inline bool unchanged(struct socket_state *st, struct sock *sk)
{
	return st->announced && !st->barren && st->inode &&
	       st->inode == inode_of(sk) &&
	       st->address == (__u64)address_of(sk) &&
	       st->peer == (__u64)peer_of(sk) && (!st->peer || st->peer_number);
}

/*
 * The state of a socket, made if need be. NULL if the map is full, or another
 * CPU does not get it ready in time: whoever loses something by that counts it,
 * for the next that asks may find it. Called with the socket alive (or dead but
 * still owner of an skb).
 */
static __always_inline struct socket_state *socket_of(struct sock *sk)
{
	__u64 key = (__u64)sk;
	struct socket_state *st = bpf_map_lookup_elem(&sockets, &key);

	if (st && unchanged(st, sk))
		return st;
	if (!renew_state(key))
		return NULL;
	return bpf_map_lookup_elem(&sockets, &key);
}

#endif
