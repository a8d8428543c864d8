/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
#ifndef SOCKCAP_SENDERS_H
#define SOCKCAP_SENDERS_H

#include "send.h"

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
 */

#define RUNS 4

/* Consecutive units of one task. */
struct run {
	__u64 start; /* count of the first */
	__u64 task;  /* pid_tgid */
	__u64 sure;
};

struct writers {
	__u64 current; /* pid_tgid of who began a send last */
	__u64 inside;  /* tasks inside a send */
	__u64 entered; /* sends begun */
	__u64 epoch;   /* times set to zero */
	__u64 queued;  /* units told of by sk_data_ready */
	__u64 taken;   /* units read */
	__u64 to;      /* receiver of the last unit */
	__u64 to_number;
	__u64 only;    /* pid_tgid of the only one to send since then */
	__u32 synced;  /* queued and taken count the same units */
	__u32 several; /* there were others, or there may have been before us */
	__u32 mixed; /* units in flight to several receivers: read in any order */
	__u32 runs; /* of which the last RUNS are kept */
	struct run run[RUNS];
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 65536);
	__type(key, __u64); /* socket_state.number */
	__type(value, struct writers);
} writers SEC(".maps");

/* Tasks that send, by pid_tgid. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 32768);
	__type(key, __u64);
	__type(value, struct task_id);
} tasks SEC(".maps");

/* A send by system call, by pid_tgid. */
struct sending {
	__u64 sock;
	__u64 number; /* socket_state.number */
	__u64 entered;
	__u64 epoch;
	__u32 active;
	__u32 overlap;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH); /* a task may end inside */
	__uint(max_entries, 65536);
	__type(key, __u64);
	__type(value, struct sending);
} sendings SEC(".maps");

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

static __always_inline void leave(struct sending *s)
{
	struct writers *w = bpf_map_lookup_elem(&writers, &s->number);

	if (w)
		__sync_fetch_and_add(&w->inside, -1);
	s->active = 0; /* kept: the next send need not insert it */
}

static __always_inline void remember_task(__u64 id)
{
	struct task_id *known = bpf_map_lookup_elem(&tasks, &id), task = {};

	if (known) {
		fill_task(known);
		return;
	}
	fill_task(&task);
	bpf_map_update_elem(&tasks, &id, &task, BPF_ANY);
}

/* sk_wmem_alloc is 1, plus the true size of what the socket has in flight. */
static __always_inline __u32 in_flight(struct sock *sk)
{
	return BPF_CORE_READ(sk, sk_wmem_alloc.refs.counter) - 1;
}

/* Counting begins anew; who is inside a send finds another epoch. */
static __always_inline void restart(struct writers *w, __u64 id)
{
	__sync_fetch_and_add(&w->epoch, 1);
	w->queued = w->taken = 0;
	w->runs = w->mixed = w->several = 0;
	w->only = id;
	w->synced = 1;
}

static __noinline int begin_sending(struct sock *sk)
{
	__u64 id = bpf_get_current_pid_tgid();
	struct sending *old = bpf_map_lookup_elem(&sendings, &id), s = {};
	struct socket_state *sender = socket_of(sk);
	struct writers *w;

	if (old && old->active)
		leave(old); /* failed before it reached the socket */
	if (!sender)
		return 0;
	w = writers_of(sender->number);
	if (!w)
		return 0;
	__sync_fetch_and_add(&w->inside, 1);
	__sync_fetch_and_add(&w->entered, 1);
	if (w->inside == 1 && !in_flight(sk))
		restart(w, id);
	else if (w->only != id)
		w->several = 1;
	w->current = id;
	s.sock = (__u64)sk;
	s.number = sender->number;
	s.entered = w->entered;
	s.epoch = w->epoch;
	s.overlap = w->inside > 1;
	s.active = 1;
	if (old) {
		__builtin_memcpy(old, &s, sizeof(s));
	} else if (bpf_map_update_elem(&sendings, &id, &s, BPF_ANY)) {
		count(LOSS_MAP, 1);
		__sync_fetch_and_add(&w->inside, -1);
		w->several = 1;
		w->synced = 0;
	}
	remember_task(id);
	return 0;
}

/* What we write to the socket is not captured, whoever reads it. */
static __always_inline int note_own(struct sock *sk)
{
	struct socket_state *st = socket_of(sk);

	if (st)
		st->own = 1;
	return 0;
}

/* A system call that may send on the descriptor begins. */
static __always_inline int on_syscall(__u32 fd)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	struct sock *sk = socket_at(task, fd);

	if (!sk)
		return 0;
	return is_self() ? note_own(sk) : begin_sending(sk);
}

/* It ends; only needed for those that send more than once. */
static __always_inline int on_syscall_end(void)
{
	__u64 id = bpf_get_current_pid_tgid();
	struct sending *s = bpf_map_lookup_elem(&sendings, &id);

	if (s && s->active)
		leave(s);
	return 0;
}

/* sendmsg on sk has returned. */
static __always_inline int on_sent(struct sock *sk)
{
	__u64 id = bpf_get_current_pid_tgid();
	struct sending *s = bpf_map_lookup_elem(&sendings, &id);
	struct syscall call;

	if (!s || !s->active || s->sock != (__u64)sk)
		return 0;
	saved_syscall((void *)bpf_get_current_task(), &call);
	if (call.nr == NR_SENDMMSG || call.nr == NR_SENDFILE ||
	    call.nr == NR_SPLICE)
		return 0;
	leave(s);
	return 0;
}

static __always_inline void add_run(struct writers *w, __u64 task, bool sure)
{
	__u32 last = (w->runs - 1) % RUNS;
	struct run *r;

	if (w->runs && w->run[last].task == task && w->run[last].sure == sure)
		return;
	r = &w->run[w->runs % RUNS];
	r->start = w->queued;
	r->task = task;
	r->sure = sure;
	w->runs++;
}

/*
 * Whose unit the current task has queued to the receiver: its peer's, or, of
 * a datagram socket that others send to, whoever owns the last in its queue.
 */
static __always_inline struct sock *sender_to(struct sock *to)
{
	struct sk_buff *last;
	struct sock *from;

	if (BPF_CORE_READ(to, sk_type) != SOCK_DGRAM)
		return peer_of(to);
	last = BPF_CORE_READ(to, sk_receive_queue.prev);
	from = BPF_CORE_READ(last, sk);
	return from && is_unix(from) ? from : peer_of(to);
}

/*
 * Of all that from sent, at most the last unit in the receiver's queue is in
 * flight. It is charged to from until it has been taken and freed.
 */
static __always_inline bool alone_in_flight(struct sock *from, struct sock *to)
{
	struct sk_buff *last = BPF_CORE_READ(to, sk_receive_queue.prev);
	__u32 charged = in_flight(from);

	return !charged || charged == BPF_CORE_READ(last, truesize);
}

/* The current task has queued a unit to the receiver. */
static __always_inline int on_data_ready(struct sock *to)
{
	__u64 id = bpf_get_current_pid_tgid();
	struct sending *s = bpf_map_lookup_elem(&sendings, &id);
	struct socket_state *sender, *receiver;
	struct writers *w;
	bool sure;

	if (!is_unix(to) ||
	    BPF_CORE_READ(to, __sk_common.skc_state) == TCP_LISTEN || is_self())
		return 0;
	if (s && s->active) {
		w = bpf_map_lookup_elem(&writers, &s->number);
		if (!w)
			return 0;
		if (w->only != id)
			w->several = 1;
		if (s->epoch != w->epoch) {
			w->several = 1;
			w->synced = 0;
			return 0;
		}
		sure = !s->overlap && s->entered == w->entered;
	} else { /* io_uring, or the kernel itself */
		struct sock *from = sender_to(to);

		sender = from ? socket_of(from) : NULL;
		w = sender ? writers_of(sender->number) : NULL;
		if (!w)
			return 0;
		sure = !w->inside;
		if (!w->only && alone_in_flight(from, to))
			w->only = id;
		else if (w->only >> 32 != id >> 32)
			w->several = 1;
		remember_task(id);
	}
	receiver = socket_of(to);
	if (!receiver)
		return 0;
	if (w->queued != w->taken && w->to != (__u64)to)
		w->mixed = 1;
	w->to = (__u64)to;
	w->to_number = receiver->number;
	add_run(w, id, sure);
	__sync_fetch_and_add(&w->queued, 1);
	return 0;
}

/* Fills in who sent the socket's n-th unit. */
static __always_inline void fill_run(struct data_event *e, struct writers *w,
				     __u64 n)
{
	struct sending *s;
	struct task_id *t;
	__u64 task = 0;
	bool sure = false;
	__u32 i, at;

	if (!w->several) {
		task = w->runs ? w->run[(w->runs - 1) % RUNS].task : w->only;
	} else if (n >= w->queued) { /* its sender has not told of it yet */
		task = w->current;
		s = bpf_map_lookup_elem(&sendings, &task);
		/* Alone inside, and the last to enter: not one that left. */
		sure = w->inside == 1 && s && s->active &&
		       s->number == e->sender;
	} else {
		for (i = 1; i <= RUNS; i++) {
			if (i > w->runs)
				break;
			at = (w->runs - i) % RUNS;
			task = w->run[at].task;
			sure = w->run[at].sure && !(w->mixed && w->runs > 1);
			if (w->run[at].start <= n)
				break;
			sure = false;
		}
	}
	t = bpf_map_lookup_elem(&tasks, &task);
	if (!t)
		return;
	__builtin_memcpy(&e->task, t, sizeof(e->task));
	e->flags &= ~DATA_NO_SENDER;
	if (w->several && (!sure || !w->synced))
		e->flags |= DATA_UNSURE_SENDER;
}

/* A unit is taken that nobody asks for. */
static __always_inline void count_taken(__u64 number)
{
	struct writers *w = bpf_map_lookup_elem(&writers, &number);

	if (w)
		__sync_fetch_and_add(&w->taken, 1);
}

/* Who sent the unit that is being taken from the socket's. */
static __always_inline void fill_writer(struct data_event *e, __u64 number)
{
	struct writers *w = bpf_map_lookup_elem(&writers, &number);

	e->flags |= DATA_NO_SENDER;
	if (!w)
		return;
	fill_run(e, w, w->taken);
	__sync_fetch_and_add(&w->taken, 1);
}

/* Who sent the one that is so far from being taken. */
static __always_inline void peek_writer(struct data_event *e, __u64 ahead)
{
	struct writers *w = bpf_map_lookup_elem(&writers, &e->sender);

	e->flags |= DATA_NO_SENDER;
	if (w)
		fill_run(e, w, w->taken + ahead);
}

#endif
