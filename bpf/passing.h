/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
#ifndef SOCKCAP_PASSING_H
#define SOCKCAP_PASSING_H

#include "senders.h"

/*
 * What is passed along, for the receive side. When an skb is taken its reader
 * has the descriptors already: they are told of as its first bytes are copied,
 * or peeked at, and noted by skb until it is freed.
 */

/* What an skb that was copied from, and is not taken yet, has to pass. */
struct passing {
	__u64 fp; /* struct scm_fp_list, told of; 0: none */
	__u64 passage;
	__u64 unit; /* number that it gets when it is taken */
	__u64 count;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, __u64); /* struct sk_buff */
	__type(value, struct passing);
} passings SEC(".maps");

__u64 noted_passings; /* about as many as are in there: 0 is exact */

static __always_inline struct passing *passing_of(__u64 skb)
{
	if (!*(volatile __u64 *)&noted_passings)
		return NULL;
	return bpf_map_lookup_elem(&passings, &skb);
}

static __always_inline struct passing *note_passing(__u64 skb, __u64 fp)
{
	struct passing fresh = {};
	bool known = passing_of(skb);

	fresh.fp = fp;
	fresh.passage = unique(&next_unit);
	if (bpf_map_update_elem(&passings, &skb, &fresh, BPF_ANY)) {
		count(LOSS_PASSED, 1);
		return NULL;
	}
	if (!known)
		__sync_fetch_and_add(&noted_passings, 1);
	return bpf_map_lookup_elem(&passings, &skb);
}

/* The skb is freed: the address may be another's from now on. */
static __always_inline void drop_passing(__u64 skb)
{
	if (*(volatile __u64 *)&noted_passings &&
	    !bpf_map_delete_elem(&passings, &skb))
		__sync_fetch_and_add(&noted_passings, -1);
}

/*
 * The number of a socket of which all sends were seen to begin, with what they
 * pass, since nothing of it was in flight; else 0.
 */
static __always_inline __u64 seen_sender(struct sock *from)
{
	__u64 key = (__u64)from;
	struct socket_state *st = bpf_map_lookup_elem(&sockets, &key);
	struct writers *w;

	if (!st || exact_senders)
		return 0;
	key = st->number;
	w = bpf_map_lookup_elem(&writers, &key);
	return w && w->synced && !w->ring && !w->blind ? key : 0;
}

static __always_inline int pass_skb(struct passing *p, struct sk_buff *skb)
{
	p->count = pass_files(p->passage, p->fp, 0,
			      seen_sender(BPF_CORE_READ(skb, sk)));
	return 0;
}

/* An skb with files is about to be copied from: the last time that it has. */
__attribute__((noinline)) int pass_copied(__u64 skb)
{
	__u64 fp = passed_files((void *)skb);
	struct passing *p = passing_of(skb);

	if (!fp || (p && p->fp == fp))
		return 0;
	p = note_passing(skb, fp);
	if (p)
		pass_skb(p, (void *)skb);
	return 0;
}

/* The receiver gets it, or nobody does. */
static __always_inline __u32 passed_flags(struct control_block *c,
					  struct sock *to)
{
	__u32 asked = to ? asked_by(to) : 0, flags = 0;

	if (c->pid)
		flags = PASSED_CRED | (asked & PASSED_ASKED);
	if (c->secid)
		flags |= asked & PASSED_SECURITY;
	return flags;
}

/* Whether an skb may have something to tell of. */
static __always_inline bool may_pass(__u64 skb, struct control_block *c)
{
	read_control(c, (void *)skb);
	return c->fp || c->pid || c->secid ||
	       *(volatile __u64 *)&noted_passings;
}

/*
 * The current task is about to take an skb (receive side). It is told of under
 * the number that is noted for it.
 */
static __always_inline int pass_taken(__u64 skb, struct control_block *c,
				      struct sock *to)
{
	struct passing *p = passing_of(skb);
	__u32 flags = passed_flags(c, to);

	if (!p && !c->fp && !flags)
		return 0;
	if (!p)
		p = note_passing(skb, c->fp);
	if (!p)
		return 0;
	if (c->fp && !p->count)
		pass_skb(p, (void *)skb);
	p->unit = unique(&next_unit);
	put_passage(p->passage, p->unit, p->count, c, flags);
	return 0;
}

/* The number of an skb that is being taken. */
static __always_inline __u64 taken_unit(__u64 skb)
{
	struct passing *p = passing_of(skb);

	return p && p->unit ? p->unit : unique(&next_unit);
}

/*
 * An skb in a receiver's queue is about to be shown as a unit. Its files have
 * been told of (pass_copied).
 */
__attribute__((noinline)) int pass_shown(__u64 skb, __u64 unit, __u64 to)
{
	struct control_block c;
	struct passing *p;
	__u32 flags;

	if (!may_pass(skb, &c))
		return 0;
	p = passing_of(skb);
	flags = passed_flags(&c, (void *)to);
	if (p)
		put_passage(p->passage, unit, p->count, &c, flags);
	else if (flags)
		put_passage(unit, unit, 0, &c, flags);
	return 0;
}

/*
 * Notes the i-th descriptor in a sender's control messages, and returns its
 * number. NO_NUMBER: there is no more, or the call will fail. UNREADABLE: as
 * number_in. The verifier looks at it once, not for each that note_rights asks
 * for.
 */
__attribute__((noinline)) int note_right_at(__u64 sender, __u64 control,
					    __u64 len, __u32 i)
{
	struct right r = { .sender = sender, .index = i };
	int number = number_in(control, len, i, 1);

	if (number < 0)
		return number;
	r.file = file_at(number);
	if (!r.file)
		return NO_NUMBER;
	note_right(&r, number);
	return number;
}

/* A message that a socket is about to send may pass descriptors. */
__attribute__((noinline)) int note_rights(__u64 sender, __u64 msg)
{
	struct {
		__u64 control, len; /* of struct user_msghdr */
	} m;
	int i, number;
	struct writers *w;

	if (bpf_probe_read_user(&m, sizeof(m), (void *)msg + 32))
		goto blind;
	if (!m.control || !m.len)
		return 0;
#pragma clang loop unroll_count(4) /* less for the verifier to follow */
	for (i = 0; i < MAX_PASSED; i++) {
		number = note_right_at(sender, m.control, m.len, i);
		if (number == UNREADABLE)
			goto blind;
		if (number < 0)
			break;
	}
	return 0;
blind:
	w = bpf_map_lookup_elem(&writers, &sender);
	if (w)
		w->blind = 1;
	return 0;
}

/* The number of the socket on which the current task has begun to send. */
static __always_inline __u64 sending_socket(void)
{
	__u64 id = bpf_get_current_pid_tgid();
	struct sending *s = bpf_map_lookup_elem(&sendings, &id);

	return s && s->active ? s->number : 0;
}

static __always_inline int on_sendmsg(__u32 fd, __u64 msg)
{
	__u64 sender;

	if (!on_syscall(fd))
		return 0;
	sender = sending_socket();
	return sender ? note_rights(sender, msg) : 0;
}

#define MMSG_SIZE 64  /* struct mmsghdr */
#define MAX_MMSG 1024 /* UIO_MAXIOV: the kernel sends no more */

static __always_inline int on_sendmmsg(__u32 fd, __u64 messages, __u32 n)
{
	__u64 sender;
	__u32 i;

	if (!on_syscall(fd))
		return 0;
	sender = sending_socket();
	for (i = 0; i < MAX_MMSG && i < n && sender; i++)
		note_rights(sender, messages + i * MMSG_SIZE);
	return 0;
}

#endif
