/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
#ifndef SOCKCAP_LIFECYCLE_H
#define SOCKCAP_LIFECYCLE_H

#include "family.h"
#include "filter.h"
#include "message.h"
#include "process.h"
#include "readers.h"
#include "sent.h"

/*
 * What happens to sockets besides data: connect, accept, listen, shutdown,
 * close. The tracepoints of system calls tell of the first four, under every
 * hook set; what io_uring does is none and is not seen.
 *
 * A close is of the socket, not of a descriptor. The send side sees
 * unix_release, which runs for the last reference, whoever held it. Where only
 * tracepoints can be had, the last reference is seen to go by close, dup2, dup3
 * and the end of a process, if its file is counted once by then; not by exec,
 * close_range or io_uring, nor while another task is inside a call on it.
 */

/* A connect, listen or shutdown of a task, by pid_tgid. */
struct life_call {
	__u64 sock;
	__u64 number;  /* socket_state.number */
	__u64 address; /* of connect, in user space */
	__u32 len;
	__u32 fd;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH); /* a task may end inside */
	__uint(max_entries, 16384);
	__type(key, __u64);
	__type(value, struct life_call);
} life_calls SEC(".maps");

/* A system call that a signal cut short, and that may begin again. */
#define FIRST_RESTART 512 /* ERESTARTSYS, include/linux/errno.h */
#define LAST_RESTART 516  /* ERESTART_RESTARTBLOCK */

/* Tells of what the current task did to a socket. peer may be 0. */
static __always_inline int put_life(enum life_what what, __u8 type,
				    __u64 number, __u64 peer,
				    struct life_call *call, __u32 error)
{
	/* Who drains a closed socket is of no interest. */
	__u32 n, process = what == LIFE_DRAINED ? 0 : current_process();
	struct life_event *e = bpf_ringbuf_reserve(&ring, sizeof(*e), 0);

	if (!e) {
		count(LOSS_LIFE, 1);
		return 0;
	}
	__builtin_memset(e, 0, sizeof(*e));
	e->kind = EVENT_LIFE;
	e->type = type;
	e->what = what;
	e->error = error;
	e->time = bpf_ktime_get_boot_ns();
	e->socket = number;
	e->peer = peer;
	fill_task(&e->task);
	e->task.process = process;
	if (call && call->len > sizeof(__u16)) {
		n = call->len - sizeof(__u16);
		if (n > ADDRESS_LEN)
			n = ADDRESS_LEN;
		/* Not there if the page is out: read again after the call. */
		if (!bpf_probe_read_user(e->address, n,
					 (void *)call->address + sizeof(__u16)))
			e->address_len = n;
	}
	bpf_ringbuf_submit(e, wakeup_flags());
	return 0;
}

/* Whether what the current task does is told of. */
static __always_inline bool tells_life(void)
{
	return armed && !is_self();
}

/*
 * Whether an event of a live socket concerns the family. Who tells of its end,
 * and takes a process out of the map, may have done so just before. A peer that
 * is closed may be a stranger's where a member's was; but of a stranger's stream
 * there is no state with its inode, unless it has talked to a member.
 */
__attribute__((noinline)) int life_concerns(__u64 key)
{
	struct sock *sk = (void *)key, *peer = peer_of(sk);
	struct socket_state *st;

	if (was_family(bpf_get_current_pid_tgid() >> 32) || is_used(key))
		return 1;
	if (peer && !is_dead(peer) && is_used((__u64)peer))
		return 1;
	st = bpf_map_lookup_elem(&sockets, &key);
	return st && st->inode && st->inode == inode_of(sk) &&
	       BPF_CORE_READ(sk, sk_type) != SOCK_DGRAM;
}

/* Whether an event of a socket may be asked for. */
static __always_inline bool may_tell(struct sock *sk)
{
	return (!family_only || life_concerns((__u64)sk)) && !is_hopeless(sk);
}

/* The current task begins a call on a descriptor. */
static __always_inline struct sock *begin_life(struct life_call *call, __u32 fd)
{
	__u64 id = bpf_get_current_pid_tgid();
	struct socket_state *st;
	struct sock *sk;

	if (!tells_life())
		return NULL;
	sk = socket_at(fd);
	if (!sk || !may_tell(sk))
		return NULL;
	st = socket_of(sk);
	if (!st) {
		count(LOSS_LIFE, 1);
		return NULL;
	}
	call->sock = (__u64)sk;
	call->number = st->number;
	call->fd = fd;
	if (bpf_map_update_elem(&life_calls, &id, call, BPF_ANY))
		count(LOSS_LIFE, 1);
	return sk;
}

/* The call of the current task has ended; false if it was none of ours. */
static __always_inline bool end_life(struct life_call *call)
{
	__u64 id = bpf_get_current_pid_tgid();
	struct life_call *begun = bpf_map_lookup_elem(&life_calls, &id);

	if (!begun)
		return false;
	*call = *begun;
	bpf_map_delete_elem(&life_calls, &id);
	return true;
}

/* Its socket, unless another thread has closed the descriptor meanwhile. */
static __always_inline struct sock *life_socket(struct life_call *call)
{
	struct sock *sk = socket_at(call->fd);

	return (__u64)sk == call->sock ? sk : NULL;
}

/* The number of a socket's peer, 0 if it has none. */
static __always_inline __u64 peer_number(struct sock *sk)
{
	struct sock *peer = peer_of(sk);
	struct socket_state *st = peer ? socket_of(peer) : NULL;

	return st ? st->number : 0;
}

static __always_inline int on_connect(__u32 fd, __u64 address, __u32 len)
{
	struct life_call call = { .address = address, .len = len };
	struct sock *sk = begin_life(&call, fd);

	if (!sk)
		return 0;
	return put_life(LIFE_CONNECTING, BPF_CORE_READ(sk, sk_type),
			call.number, 0, &call, 0);
}

static __always_inline int on_connected(long result)
{
	struct life_call call;
	struct sock *sk;
	__u64 peer = 0;

	if (!end_life(&call))
		return 0;
	if (result < 0) {
		if (-result >= FIRST_RESTART && -result <= LAST_RESTART)
			return put_life(LIFE_QUIT, 0, call.number, 0, NULL, 0);
		return put_life(LIFE_REFUSED, 0, call.number, 0, &call,
				-result);
	}
	sk = life_socket(&call);
	if (sk) {
		/* AF_UNSPEC: a datagram socket lets go of its own. */
		if (!peer_of(sk) || is_hopeless(sk))
			return put_life(LIFE_QUIT, 0, call.number, 0, NULL, 0);
		peer = peer_number(sk);
		socket_of(sk); /* it has a peer now */
	}
	return put_life(LIFE_CONNECT, 0, call.number, peer, NULL, 0);
}

static __always_inline int on_accepted(long fd)
{
	struct socket_state *st;
	struct sock *sk;
	__u64 peer;

	if (fd < 0 || !tells_life())
		return 0;
	sk = socket_at(fd);
	if (!sk || !may_tell(sk))
		return 0;
	peer = peer_number(sk);
	st = socket_of(sk);
	if (!st) {
		count(LOSS_LIFE, 1);
		return 0;
	}
	note_reader(st, end_of((__u64)sk, st), current_process(), false);
	return put_life(LIFE_ACCEPT, BPF_CORE_READ(sk, sk_type), st->number,
			peer, NULL, 0);
}

/* A listen or a shutdown begins. */
static __always_inline int on_life_begin(__u32 fd)
{
	struct life_call call = {};

	begin_life(&call, fd);
	return 0;
}

static __always_inline int on_life_done(enum life_what what, long result)
{
	struct life_call call;
	struct sock *sk;
	__u64 peer = 0;

	if (!end_life(&call) || result < 0)
		return 0;
	sk = life_socket(&call);
	if (sk) {
		peer = peer_number(sk);
		socket_of(sk); /* listen gave it a state */
	}
	return put_life(what, 0, call.number, peer, NULL, 0);
}

/*
 * The last reference to a socket goes. Of one that never had a name or a peer
 * nothing is told. Global, so that the verifier does not follow the loops over
 * it into it.
 */
__attribute__((noinline)) int close_socket(__u64 key)
{
	struct sock *sk = (void *)key;
	struct socket_state *st;
	__u64 peer;
	bool unread;

	if ((!peer_of(sk) && !address_of(sk)) || !may_tell(sk))
		return 0;
	peer = peer_number(sk);
	st = socket_of(sk);
	if (!st)
		count(LOSS_LIFE, 1);
	if (!st || st->closed || st->own)
		return 0;
	st->closed = 1; /* then look: who reads the last of it looks at this */
	unread = take_on_read &&
		 BPF_CORE_READ(sk, sk_wmem_alloc.refs.counter) > 1;
	if (!unread)
		tell_sent(st);
	return put_life(unread ? LIFE_CLOSE_UNREAD : LIFE_CLOSE,
			BPF_CORE_READ(sk, sk_type), st->number, peer, NULL, 0);
}

/* What a closed socket sent has been read, but for this skb, which is about to
 * be freed. It has no bytes in flight beyond it: the one is its own. */
static __always_inline bool is_drained(struct sock *from, struct sk_buff *skb)
{
	return BPF_CORE_READ(from, sk_wmem_alloc.refs.counter) -
		       (int)BPF_CORE_READ(skb, truesize) <=
	       1;
}

/* Nothing is told of the last of a closed socket but that. */
__attribute__((noinline)) int tell_drained(__u64 number)
{
	return put_life(LIFE_DRAINED, 0, number, 0, NULL, 0);
}

/* The kernel lets go of a socket (send side). */
static __always_inline int on_release(struct socket *socket)
{
	struct sock *sk = BPF_CORE_READ(socket, sk);

	return sk && tells_life() ? close_socket((__u64)sk) : 0;
}

/* The current task lets go of a file, if that is an AF_UNIX socket. */
__attribute__((noinline)) int drop_file(__u64 file)
{
	struct sock *sk = file_socket(file);

	if (!sk || !is_unix(sk) || !is_last(file))
		return 0;
	return close_socket((__u64)sk);
}

/* It closes a descriptor (tracepoints). */
static __always_inline int on_life_close(__u32 fd)
{
	__u64 file;

	if (!tells_life())
		return 0;
	file = file_at(fd);
	return file ? drop_file(file) : 0;
}

/* It puts one descriptor in the place of another. */
static __always_inline int on_life_dup(__u32 from, __u32 to)
{
	if (from == to || !file_at(from))
		return 0;
	return on_life_close(to);
}

/* The open descriptors among 64, whose files stand at slot. */
__attribute__((noinline)) int drop_word(__u64 slot, __u64 word)
{
	__u64 file;
	int i;

	for (i = 0; i < 64 && word; i++, word >>= 1, slot += sizeof(file)) {
		if (!(word & 1))
			continue;
		file = 0;
		bpf_probe_read_kernel(&file, sizeof(file), (void *)slot);
		if (file)
			drop_file(file);
	}
	return 0;
}

/* of 64 descriptors; beyond: not seen to close */
#define MAX_WORDS (SOME_WORDS * SOME_WORDS)
#define SOME_WORDS 32

/*
 * Some words of open descriptors, at open. Global, so that the verifier follows
 * no long loop.
 */
__attribute__((noinline)) int drop_words(__u64 slot, __u64 open, __u32 words)
{
	__u64 word;
	__u32 i;

	for (i = 0; i < SOME_WORDS && i < words; i++) {
		word = 0;
		bpf_probe_read_kernel(&word, sizeof(word), (void *)open);
		if (word)
			drop_word(slot, word);
		slot += 64 * sizeof(__u64);
		open += sizeof(word);
	}
	return 0;
}

/*
 * A task ends (tracepoints). Its descriptors go with the last of its process;
 * of several that end at once, each may see that it is.
 */
static __always_inline int on_life_exit(void)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	struct files_struct *files = BPF_CORE_READ(task, files);
	struct fdtable *table;
	__u64 slot, open;
	__u32 words, i;

	if (!files || !tells_life() ||
	    BPF_CORE_READ(task, signal, live.counter) ||
	    BPF_CORE_READ(files, count.counter) >
		    BPF_CORE_READ(task, signal, nr_threads))
		return 0; /* another process has them too */
	table = BPF_CORE_READ(files, fdt);
	slot = (__u64)BPF_CORE_READ(table, fd);
	open = (__u64)BPF_CORE_READ(table, open_fds);
	words = BPF_CORE_READ(table, max_fds) / 64;
	for (i = 0; i < MAX_WORDS && i < words; i += SOME_WORDS) {
		drop_words(slot, open, words - i);
		slot += SOME_WORDS * 64 * sizeof(__u64);
		open += SOME_WORDS * sizeof(__u64);
	}
	return 0;
}

#endif
