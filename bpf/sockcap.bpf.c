//go:build ignore

// SPDX-License-Identifier: MIT OR GPL-2.0-only
/* sockcap's programs: each only unpacks its arguments. */
#include "kernel.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>
#include "read.h"
#include "origins.h"
#include "waiting.h"
#include "preempt.h"

char LICENSE[] SEC("license") = "Dual MIT/GPL";

/* Only so that the object's BTF has these, for the layout test. */
const struct socket_event *layout_socket;
const struct unit_event *layout_unit;
const struct reader_event *layout_reader;
const struct read_event *layout_read;
const struct doubt_event *layout_doubt;
const struct life_event *layout_life;
const struct sent_event *layout_sent;
const struct passed_event *layout_passed;
const struct process_event *layout_process;

/*
 * An argument of an fentry program is a typed pointer, with which v5.10 lets one do
 * less than with a number. What is left of a pointer that is negated is a number to
 * every verifier; twice, it is the same one. (To copy it takes a helper, and 95
 * instructions.)
 */
static __always_inline __u64 plain(const volatile void *typed)
{
	__u64 value = (__u64)typed;

	asm volatile("%0 = -%0\n\t%0 = -%0" : "+r"(value));
	return value;
}

#define SOCKET(p) ((struct socket *)(p))
#define SOCK(p) ((struct sock *)(p))
#define SKB(p) ((struct sk_buff *)(p))
#define LIST(p) ((struct sk_buff_head *)(p))
#define MSG(p) ((struct msghdr *)(p))

/* Send side, fentry and fexit. */

SEC("fentry/unix_stream_sendmsg")
int BPF_PROG(fentry_stream_enter, void *socket, void *msg)
{
	UNINTERRUPTED(on_enter(SOCKET(plain(socket)), MSG(plain(msg))));
}

SEC("fentry/unix_dgram_sendmsg")
int BPF_PROG(fentry_dgram_enter, void *socket, void *msg)
{
	UNINTERRUPTED(on_enter(SOCKET(plain(socket)), MSG(plain(msg))));
}

SEC("fexit/unix_stream_sendmsg")
int BPF_PROG(fentry_stream_exit, void *socket, void *msg, __u64 len, int ret)
{
	UNINTERRUPTED(on_exit(SOCKET(plain(socket)), ret));
}

SEC("fexit/unix_dgram_sendmsg")
int BPF_PROG(fentry_dgram_exit, void *socket, void *msg, __u64 len, int ret)
{
	UNINTERRUPTED(on_exit(SOCKET(plain(socket)), ret));
}

SEC("fentry/skb_queue_tail")
int BPF_PROG(fentry_queue, void *list, void *skb)
{
	UNINTERRUPTED(on_queue(LIST(plain(list)), SKB(plain(skb))));
}

SEC("fentry/skb_copy_datagram_from_iter")
int BPF_PROG(fentry_fill, void *skb, int offset, void *from, int len)
{
	UNINTERRUPTED(on_fill(SKB(plain(skb)), len, AT_FILL));
}

SEC("fexit/skb_copy_datagram_from_iter")
int BPF_PROG(fentry_filled, void *skb, int offset, void *from, int len, int ret)
{
	UNINTERRUPTED(on_filled(SKB(plain(skb)), ret));
}

SEC("fentry/skb_splice_from_iter")
int BPF_PROG(fentry_splice, void *skb)
{
	UNINTERRUPTED(on_fill(SKB(plain(skb)), 0, AT_FILL));
}

SEC("fexit/skb_splice_from_iter")
int BPF_PROG(fentry_spliced3, void *skb, void *iter, __u64 max, __u64 ret)
{
	UNINTERRUPTED(on_filled(SKB(plain(skb)), (long)ret));
}

/* Up to v6.17 skb_splice_from_iter takes a fourth argument, flags. */
SEC("fexit/skb_splice_from_iter")
int BPF_PROG(fentry_spliced4, void *skb, void *iter, __u64 max, __u64 gfp,
	     __u64 ret)
{
	UNINTERRUPTED(on_filled(SKB(plain(skb)), (long)ret));
}

SEC("fentry/sock_def_readable")
int BPF_PROG(fentry_readable, void *sk)
{
	UNINTERRUPTED(on_readable(SOCK(plain(sk))));
}

SEC("fexit/skb_append_pagefrags")
int BPF_PROG(fentry_append, void *skb, void *page, __u64 offset, __u64 size,
	     int ret)
{
	if (ret)
		return 0;
	UNINTERRUPTED(on_append(SKB(plain(skb)), plain(page), offset, size));
}

SEC("fentry/unix_release")
int BPF_PROG(fentry_release, void *socket)
{
	UNINTERRUPTED(on_release(SOCKET(plain(socket))));
}

/*
 * Send side, kprobe and kretprobe. Functions that are dealt with alike share a
 * program: the verifier follows it once. (Not those of system calls: where a task may
 * be preempted inside one, v7.1, the kernel skips it for others.)
 */

SEC("kprobe/unix_stream_sendmsg")
int BPF_KPROBE(kprobe_enter, void *socket, void *msg)
{
	return on_enter(SOCKET(socket), MSG(msg));
}

SEC("kretprobe/unix_stream_sendmsg")
int BPF_KRETPROBE(kprobe_exit, int ret)
{
	return on_exit(NULL, ret);
}

SEC("kprobe/skb_queue_tail")
int BPF_KPROBE(kprobe_queue, void *list, void *skb)
{
	return on_queue(LIST(list), SKB(skb));
}

SEC("kprobe/skb_copy_datagram_from_iter")
int BPF_KPROBE(kprobe_fill, void *skb, int offset, void *from, int len)
{
	return on_fill(SKB(skb), len, AT_LAST_FILL);
}

SEC("kretprobe/skb_copy_datagram_from_iter")
int BPF_KRETPROBE(kprobe_filled, int ret)
{
	return on_filled(NULL, ret);
}

SEC("kprobe/skb_splice_from_iter")
int BPF_KPROBE(kprobe_splice, void *skb)
{
	return on_fill(SKB(skb), 0, AT_LAST_FILL);
}

SEC("kprobe/sock_def_readable")
int BPF_KPROBE(kprobe_readable, void *sk)
{
	return on_readable(SOCK(sk));
}

SEC("kprobe/skb_append_pagefrags")
int BPF_KPROBE(kprobe_append, void *skb, __u64 page, int offset, __u64 size)
{
	__u64 id = bpf_get_current_pid_tgid();
	struct append a = { (__u64)skb, page, offset, size };

	if (bpf_map_update_elem(&appends, &id, &a, BPF_ANY))
		count(LOSS_MAP, 1);
	return 0;
}

SEC("kretprobe/skb_append_pagefrags")
int BPF_KRETPROBE(kprobe_appended, int ret)
{
	__u64 id = bpf_get_current_pid_tgid();
	struct append *a = bpf_map_lookup_elem(&appends, &id);

	if (!a)
		return 0;
	if (!ret)
		on_append(SKB(a->skb), a->page, a->offset, a->size);
	bpf_map_delete_elem(&appends, &id);
	return 0;
}

SEC("kprobe/unix_release")
int BPF_KPROBE(kprobe_release, void *socket)
{
	return on_release(SOCKET(socket));
}

/* Receive side, classic tracepoints: never preempted (v7.x). */

static __always_inline __u64 argument(void *ctx, __u32 at)
{
	__u64 value = 0;

	/* Everywhere so far. These need no helper, but constant offsets. */
	if (at == 8) {
		asm volatile("%0 = *(u64 *)(%1 + 8)" : "=r"(value) : "r"(ctx));
		return value;
	}
	if (at == 16) {
		asm volatile("%0 = *(u64 *)(%1 + 16)" : "=r"(value) : "r"(ctx));
		return value;
	}
	bpf_probe_read_kernel(&value, sizeof(value), ctx + at);
	return value;
}

SEC("tracepoint/skb/consume_skb")
int tracepoint_consume(void *ctx)
{
	__u64 location = 0;

	if (consume_has_location)
		location = argument(ctx, consume_location_at);
	return on_freed(SKB(argument(ctx, consume_skb_at)), location,
			BY_CONSUME);
}

SEC("tracepoint/skb/kfree_skb")
int tracepoint_kfree(void *ctx)
{
	return on_freed(SKB(argument(ctx, kfree_skb_at)),
			argument(ctx, kfree_location_at), BY_KFREE);
}

SEC("tracepoint/skb/skb_copy_datagram_iovec")
int tracepoint_copy(void *ctx)
{
	return on_copied(SKB(argument(ctx, copy_skb_at)));
}

#define ALLOC(name, from_kmalloc)                                \
	SEC("tracepoint/kmem/" #name)                            \
	int tracepoint_##name(void *ctx)                         \
	{                                                        \
		return on_alloc(argument(ctx, alloc_site_at),    \
				argument(ctx, alloc_pointer_at), \
				from_kmalloc);                   \
	}

ALLOC(kmalloc, true)
ALLOC(kmalloc_node, true)
ALLOC(kmem_cache_alloc, false)
ALLOC(kmem_cache_alloc_node, false)

/* Who sends, where allocations don't tell. */

#define SYSCALL_ARGUMENT(n) (16 + 8 * ((n) - 1))

/* The last descriptor's purge runs when close returns to user space. */
SEC("tracepoint/syscalls/sys_enter_close")
int enter_close(void *ctx)
{
	UNINTERRUPTED(on_close(argument(ctx, SYSCALL_ARGUMENT(1))));
}

/*
 * System calls that do the same share a program, which is named by the first of
 * them.
 */
#define AT_EVENT(name, event, work)  \
	SEC("tracepoint/" event)     \
	int name(void *ctx)          \
	{                            \
		UNINTERRUPTED(work); \
	}
#define ARGUMENT(n) argument(ctx, SYSCALL_ARGUMENT(n))

AT_EVENT(pages_sendfile64, "syscalls/sys_enter_sendfile64",
	 on_pages(ARGUMENT(1)))
AT_EVENT(pages_splice, "syscalls/sys_enter_splice", on_pages(ARGUMENT(3)))
AT_EVENT(enter_write, "syscalls/sys_enter_write", on_syscall(ARGUMENT(1)))
AT_EVENT(enter_sendmsg, "syscalls/sys_enter_sendmsg",
	 on_sendmsg(ARGUMENT(1), ARGUMENT(2)))
AT_EVENT(enter_sendmmsg, "syscalls/sys_enter_sendmmsg",
	 on_sendmmsg(ARGUMENT(1), ARGUMENT(2), ARGUMENT(3)))
AT_EVENT(enter_splice, "syscalls/sys_enter_splice", on_syscall(ARGUMENT(3)))
AT_EVENT(exit_sendmmsg, "syscalls/sys_exit_sendmmsg", on_syscall_end())

SEC("tracepoint/sock/sk_data_ready")
int tracepoint_ready(void *ctx)
{
	struct sock *to = SOCK(argument(ctx, ready_sk_at));

	return exact_senders ? on_data_ready_exact(to) : on_data_ready(to);
}

SEC("tracepoint/sock/sock_send_length")
int tracepoint_sent(void *ctx)
{
	return on_sent(SOCK(argument(ctx, sent_sk_at)));
}

/* Life cycle, for all sets; the last four where unix_release is not to be had. */

#define SYSCALL_RESULT 16

#define LIFE AT_EVENT
#define RESULT ((long)argument(ctx, SYSCALL_RESULT))

LIFE(life_connect, "syscalls/sys_enter_connect",
     on_connect(ARGUMENT(1), ARGUMENT(2), ARGUMENT(3)))
LIFE(life_connected, "syscalls/sys_exit_connect", on_connected(RESULT))
LIFE(life_accepted, "syscalls/sys_exit_accept", on_accepted(RESULT))
LIFE(life_listen, "syscalls/sys_enter_listen", on_life_begin(ARGUMENT(1)))
LIFE(life_listened, "syscalls/sys_exit_listen",
     on_life_done(LIFE_LISTEN, RESULT))
LIFE(life_shut, "syscalls/sys_exit_shutdown",
     on_life_done(LIFE_SHUTDOWN, RESULT))
LIFE(life_close, "syscalls/sys_enter_close", on_life_close(ARGUMENT(1)))
LIFE(life_dup2, "syscalls/sys_enter_dup2",
     on_life_dup(ARGUMENT(1), ARGUMENT(2)))
LIFE(life_exit, "sched/sched_process_exit", on_life_exit())

/* The same as raw tracepoints, where there is no tracefs. */

SEC("raw_tp/consume_skb")
int raw_consume(struct bpf_raw_tracepoint_args *ctx)
{
	return on_freed(SKB(ctx->args[0]), 0, BY_CONSUME);
}

SEC("raw_tp/consume_skb")
int raw_consume_at(struct bpf_raw_tracepoint_args *ctx)
{
	return on_freed(SKB(ctx->args[0]), ctx->args[1], BY_CONSUME);
}

SEC("raw_tp/kfree_skb")
int raw_kfree(struct bpf_raw_tracepoint_args *ctx)
{
	return on_freed(SKB(ctx->args[0]), ctx->args[1], BY_KFREE);
}

SEC("raw_tp/skb_copy_datagram_iovec")
int raw_copy(struct bpf_raw_tracepoint_args *ctx)
{
	return on_copied(SKB(ctx->args[0]));
}

#define RAW_ALLOC(name, from_kmalloc)                                      \
	SEC("raw_tp/" #name)                                               \
	int raw_##name(struct bpf_raw_tracepoint_args *ctx)                \
	{                                                                  \
		return on_alloc(ctx->args[0], ctx->args[1], from_kmalloc); \
	}

RAW_ALLOC(kmalloc, true)
RAW_ALLOC(kmalloc_node, true)
RAW_ALLOC(kmem_cache_alloc, false)
RAW_ALLOC(kmem_cache_alloc_node, false)

/* The family of a command. */

SEC("tracepoint/sched/sched_process_fork")
int tracepoint_fork(void *ctx)
{
	return on_fork((__u32)argument(ctx, fork_child_at));
}

SEC("tracepoint/sched/sched_process_exit")
int tracepoint_exit(void *ctx)
{
	return on_task_end();
}

AT_EVENT(use_read, "syscalls/sys_enter_read", on_use(ARGUMENT(1)))

SEC("raw_tp/sched_process_fork")
int raw_fork(struct bpf_raw_tracepoint_args *ctx)
{
	struct task_struct *child = (void *)ctx->args[1];

	return on_fork(BPF_CORE_READ(child, pid));
}

SEC("raw_tp/sched_process_exit")
int raw_exit(struct bpf_raw_tracepoint_args *ctx)
{
	return on_task_end();
}

SEC("raw_tp/sys_enter")
int raw_syscall(struct bpf_raw_tracepoint_args *ctx)
{
	return on_any_syscall();
}

/* Unread data. */

SEC("iter/unix")
int iter_waiting(struct bpf_iter__unix *ctx)
{
	struct unix_sock *socket = ctx->unix_sk;

	return socket ? on_socket(SOCK(plain(socket))) : 0;
}
