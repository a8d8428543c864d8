/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
#ifndef SOCKCAP_FAMILY_H
#define SOCKCAP_FAMILY_H

#include "socket.h"
#include "task.h"

/*
 * A command and its descendants. With family_only, a unit is kept if one of
 * them sends it, or if it is queued to a socket that one of them uses; all else
 * is left out before its bytes are copied.
 *
 * Which sockets they use is known in three ways, for none sees all: a system
 * call on a descriptor of theirs (used); who connected, listened or made the
 * pair, which the kernel keeps at the other end (needs no program to run, so
 * io_uring counts too); and, of what is not accepted yet, the listener.
 */
const volatile bool family_only = false;
const volatile __u32 fork_child_at = 44; /* as in maps.h */

/*
 * Its processes, by thread group. The tracepoint tells a thread's id as it
 * tells a process's; that of a thread is in here too, and nobody asks for it.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__type(key, __u32);
	__type(value, __u32);
} family SEC(".maps");

/* Those that have ended, until their number is another's. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 65536);
	__type(key, __u32);
	__type(value, __u32);
} former SEC(".maps");

/* The sockets that it uses, by inode. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 131072);
	__type(key, __u64);
	__type(value, __u32);
} used SEC(".maps");

/*
 * The listeners among them, by their struct unix_address, which all that they
 * accept share. While one waits to be accepted its listener lives.
 */
struct door {
	__u64 sock;
	__u64 inode;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 8192);
	__type(key, __u64);
	__type(value, struct door);
} doors SEC(".maps");

static __always_inline bool in_family(void)
{
	__u32 pid = bpf_get_current_pid_tgid() >> 32;

	return bpf_map_lookup_elem(&family, &pid);
}

/* Whether a process is of the family, or was when it ended. */
static __always_inline bool was_family(__u32 pid)
{
	return bpf_map_lookup_elem(&family, &pid) ||
	       bpf_map_lookup_elem(&former, &pid);
}

/* The current task has made another, a process or a thread; it runs after. */
static __always_inline int on_fork(__u32 child)
{
	__u32 one = 1;

	if (!in_family()) { /* the number may have been a member's */
		bpf_map_delete_elem(&former, &child);
		bpf_map_delete_elem(&family, &child);
		return 0;
	}
	if (bpf_map_update_elem(&family, &child, &one, BPF_ANY))
		count(LOSS_MAP, 1);
	return 0;
}

/* The current task ends; its process does if it was the last. */
static __always_inline int on_task_end(void)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	__u64 id = bpf_get_current_pid_tgid();
	__u32 pid = id >> 32, tid = (__u32)id, one = 1;

	if (!bpf_map_lookup_elem(&family, &pid))
		return 0;
	if (tid != pid)
		bpf_map_delete_elem(&family, &tid);
	if (BPF_CORE_READ(task, signal, live.counter))
		return 0;
	if (bpf_map_update_elem(&former, &pid, &one, BPF_ANY))
		count(LOSS_MAP, 1);
	bpf_map_delete_elem(&family, &pid);
	return 0;
}

static __always_inline void note_used(__u64 inode)
{
	__u32 one = 1;

	if (!inode || bpf_map_lookup_elem(&used, &inode))
		return;
	if (bpf_map_update_elem(&used, &inode, &one, BPF_ANY))
		count(LOSS_MAP, 1);
}

/* The current task is about to use what is behind a descriptor. */
static __always_inline int on_use(__u32 fd)
{
	struct sock *sk;

	if (!in_family())
		return 0;
	sk = socket_at(fd);
	if (sk)
		note_used(inode_of(sk));
	return 0;
}

/* The same at the begin of any system call, where none has a program. */
static __always_inline int on_any_syscall(void)
{
	struct syscall s;

	if (!in_family())
		return 0;
	saved_syscall((void *)bpf_get_current_task(), &s);
	switch (s.nr) {
	case NR_READ:
	case NR_READV:
	case NR_RECVFROM:
	case NR_RECVMSG:
	case NR_RECVMMSG:
	case NR_BIND:
	case NR_LISTEN:
	case NR_CONNECT:
	case NR_ACCEPT:
	case NR_ACCEPT4:
		return on_use(s.arg1);
	}
	return 0;
}

static __always_inline bool is_listening(struct sock *sk)
{
	return is_unix(sk) &&
	       BPF_CORE_READ(sk, __sk_common.skc_state) == TCP_LISTEN;
}

/* A listener has got a connection, which may be written to from now on. */
static __always_inline void open_door(struct sock *listener)
{
	__u64 address = (__u64)address_of(listener);
	struct door door = { (__u64)listener, inode_of(listener) };

	if (address && bpf_map_lookup_elem(&used, &door.inode) &&
	    bpf_map_update_elem(&doors, &address, &door, BPF_ANY))
		count(LOSS_MAP, 1);
}

/* Whether a socket comes from a listener that the family uses. */
static __always_inline bool behind_door(struct sock *sk)
{
	__u64 address = (__u64)address_of(sk);
	struct door *door;
	struct sock *listener;

	door = address ? bpf_map_lookup_elem(&doors, &address) : NULL;
	if (!door)
		return false;
	listener = (void *)door->sock;
	return inode_of(listener) == door->inode &&
	       (__u64)address_of(listener) == address;
}

/* Whether the family has connected, listened to, or made sk as one of a pair. */
static __always_inline bool made_by_family(struct sock *sk)
{
	struct sock *peer = peer_of(sk);
	struct pid *pid;

	if (!peer || peer_of(peer) != sk)
		return false;
	pid = BPF_CORE_READ(peer, sk_peer_pid);
	return pid && was_family(BPF_CORE_READ(pid, numbers[0].nr));
}

/*
 * Whether the family uses a socket; of a closed one, whether it did. Global, so
 * that the verifier looks at it once.
 */
__attribute__((noinline)) int is_used(__u64 key)
{
	struct sock *sk = (void *)key;
	__u64 inode = inode_of(sk);
	struct socket_state *st;

	if (!inode && is_dead(sk)) {
		st = bpf_map_lookup_elem(&sockets, &key);
		inode = st ? st->inode : 0;
	}
	if (inode && bpf_map_lookup_elem(&used, &inode))
		return 1;
	return made_by_family(sk) || behind_door(sk);
}

/* may_concern where there is a family: spares the stack of its callers. */
__attribute__((noinline)) int concerns_family(__u64 from, __u64 to)
{
	if (BPF_CORE_READ((struct sock *)from, sk_type) == SOCK_DGRAM ||
	    in_family())
		return 1;
	return is_used(from) || (to && is_used(to));
}

/*
 * Whether anything that goes from one socket to another may be kept. If not,
 * nothing is noted of them. A datagram's receiver is only known later.
 */
static __always_inline bool may_concern(struct sock *from, struct sock *to)
{
	return !family_only || concerns_family((__u64)from, (__u64)to);
}

/*
 * Of a stranger's socket nothing is known, but a member's may have had its
 * address: once it is closed, the one would be taken for the other.
 */
static __always_inline void forget_former(__u64 sk)
{
	struct socket_state *st = bpf_map_lookup_elem(&sockets, &sk);

	if (st && st->inode != inode_of((void *)sk))
		bpf_map_delete_elem(&sockets, &sk);
}

/* may_send where there is a family. */
__attribute__((noinline)) int sends_for_family(__u64 from)
{
	__u64 to = (__u64)peer_of((void *)from);

	if (in_family())
		note_used(inode_of((void *)from));
	if (concerns_family(from, to))
		return 1;
	forget_former(from);
	if (to)
		forget_former(to);
	return 0;
}

/* The current task begins to send on a socket: whether that may be kept. */
static __always_inline bool may_send(struct sock *from)
{
	return !family_only || sends_for_family((__u64)from);
}

/* Whether what the current task queues to a socket is kept. */
static __always_inline bool keeps_sent(struct sock *to)
{
	return !family_only || in_family() || is_used((__u64)to);
}

/* Bytes of a socket's are left out: its next record says so. */
static __always_inline void leave_out(struct socket_state *sender, __u64 bytes)
{
	count(COUNT_FILTERED, 1);
	if (!sender)
		return;
	__sync_fetch_and_add(&sender->skipped, bytes);
	__sync_fetch_and_add(&sender->sent, bytes);
}

#endif
