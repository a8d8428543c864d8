/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
#ifndef SOCKCAP_SENDERS_H
#define SOCKCAP_SENDERS_H

#include "look.h"
#include "send.h"
#include "quiet.h"

/* Who sends: what each task tells of its sends, and what is concluded from it. */

/* Tasks that send, see remember_task. */
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
	__u64 task; /* key in tasks */
	__u32 active;
	__u32 overlap;
	struct look look; /* of the task when its key was made */
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH); /* a task may end inside */
	__uint(max_entries, 65536);
	__type(key, __u64);
	__type(value, struct sending);
} sendings SEC(".maps");

const volatile struct sending blank_sending = {};

/* One who finds nobody inside must not find this send active. */
static __always_inline void leave(struct sending *s)
{
	struct writers *w = bpf_map_lookup_elem(&writers, &s->number);

	*(volatile __u32 *)&s->active = 0; /* kept: the next need not insert */
	if (w)
		__sync_fetch_and_add(&w->inside, -1);
}

/*
 * Remembers the current task, and gives the key by which it is remembered: its
 * pid_tgid, which leaves 20 bits, in them those of its process's number. What it
 * sent before it executed a program stays the former program's, and what a task
 * sent whose numbers are another's now stays its own.
 */
static __always_inline __u64 remember_task(__u64 id)
{
	__u32 process = current_process();
	__u64 key = id | (process & 0x3ffULL) << 22 |
		    (process >> 10 & 0x3ffULL) << 54;
	struct task_id *known = bpf_map_lookup_elem(&tasks, &key), task = {};

	if (known) {
		fill_task(known);
		known->process = process;
		return key;
	}
	fill_task(&task);
	task.process = process;
	bpf_map_update_elem(&tasks, &key, &task, BPF_ANY);
	return key;
}

/* The same, with less work if it looks as it did when it sent last. */
static __always_inline __u64 recall_task(struct sending *s, __u64 id)
{
	if (s->task != UNWANTED && looks_like(&s->look) &&
	    bpf_map_lookup_elem(&tasks, &s->task))
		return s->task;
	look(&s->look);
	return remember_task(id);
}

/* Notes that the current task is inside; s gets what is known of it. */
static __always_inline void enter(struct writers *w, struct sending *s,
				  __u64 sk)
{
	__u64 inside;
	bool goes_on;

	__sync_fetch_and_add(&w->inside, 1);
	__sync_fetch_and_add(&w->entered, 1);
	s->entered = read_now(&w->entered);
	inside = read_after(&w->inside, s->entered);
	s->overlap = inside > 1;
	goes_on = w->only == s->task && w->solo == s->entered - 1;
	if (!s->overlap && !in_flight((void *)sk) && !(goes_on && agrees(w)))
		restart(w, s->task, s->entered);
	else if (goes_on)
		w->solo = s->entered;
	s->epoch = read_now(&w->epoch);
	w->current = bpf_get_current_pid_tgid();
}

/* What is kept of the current task's sends. */
static __always_inline struct sending *sending_of(__u64 id)
{
	struct sending *s = bpf_map_lookup_elem(&sendings, &id);

	if (s)
		return s;
	bpf_map_update_elem(&sendings, &id, (void *)&blank_sending,
			    BPF_NOEXIST);
	return bpf_map_lookup_elem(&sendings, &id);
}

static __noinline int begin_sending(struct sock *sk)
{
	__u64 id = bpf_get_current_pid_tgid();
	struct socket_state *sender = socket_of(sk);
	bool unwanted = sender && sends_unwanted(sk, sender);
	struct sending *s;
	struct writers *w;

	if (sender && begins_quiet(sk, sender, unwanted))
		return 0;
	s = sending_of(id);
	if (s && s->active)
		leave(s); /* failed before it reached the socket */
	if (sender && !unwanted)
		make_loud(sk, sender, 0);
	w = sender ? writers_of(sender->number) : NULL;
	if (!w)
		return 0;
	if (!s) {
		count(LOSS_MAP, 1);
		__sync_fetch_and_add(&w->entered, 1); /* nobody is solo */
		w->synced = 0;
		return 0;
	}
	s->task = is_nameless(unwanted) ? UNWANTED : recall_task(s, id);
	s->sock = (__u64)sk;
	s->number = sender->number;
	enter(w, s, (__u64)sk);
	*(volatile __u32 *)&s->active = 1;
	if (unwanted)
		hush(sender, w, s->task);
	return 0;
}

/* What we write to the socket is not captured, whoever reads it. */
static __always_inline int note_own(struct sock *sk)
{
	struct socket_state *st = socket_of(sk);

	if (st && !include_self)
		st->own = 1;
	return 0;
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

/* A system call that may send on the descriptor begins. 1: it is noted. */
static __always_inline int on_syscall(__u32 fd)
{
	struct sock *sk = any_socket_at(fd);

	/* Of a family's sockets it is to be noted that they are used. */
	if (!sk || !is_unix(sk) || (!family_only && begins_hopeless(sk)))
		return 0;
	if (is_self())
		return note_own(sk);
	if (!may_send(sk) || is_hopeless(sk))
		return 0;
	if (!armed)
		return 0; /* units are not counted */
	begin_sending(sk);
	return 1;
}

/* sendmsg on sk has returned. */
static __always_inline int on_sent(struct sock *sk)
{
	__u64 id = bpf_get_current_pid_tgid();
	struct sending *s;
	struct syscall call;
	struct note *n;

	if (filters_sockets || filters_senders) {
		n = noted();
		if (n && n->sock == (__u64)sk) {
			if (n->epoch)
				n->task = 0; /* the next asks anew */
			return 0;
		}
	}
	s = bpf_map_lookup_elem(&sendings, &id);

	if (!s || !s->active)
		return 0;
	if (s->sock != (__u64)sk) {
		if (is_unix(sk))
			leave(s); /* it failed before it reached the socket */
		return 0;
	}
	saved_syscall((void *)bpf_get_current_task(), &call);
	if (call.nr == NR_SENDMMSG || call.nr == NR_SENDFILE ||
	    call.nr == NR_SPLICE)
		return 0;
	leave(s);
	return 0;
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

/* Whether the current task's send is the one that queued a unit to to. */
static __always_inline bool queued_by(struct sending *s, struct sock *to)
{
	bool ring;

	if (!s || !s->active)
		return false;
	if (BPF_CORE_READ(to, sk_type) != SOCK_DGRAM)
		return peer_of((void *)s->sock) == to;
	return syscall_socket(&ring) == (void *)s->sock;
}

/*
 * Notes that the current task sends without telling when it begins: by
 * io_uring, as a 32-bit program, in the kernel itself.
 */
static __always_inline void note_ring(struct writers *w, __u64 id)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	__u64 any =
		id == UNWANTED ? id : id & SEVERAL << 32; /* the process's */

	if (BPF_CORE_READ(task, flags) & PF_IO_WORKER)
		id = any;
	if (!w->ring || w->ring == id)
		w->ring = id;
	else if ((id == any || w->ring == any) && w->ring >> 32 == id >> 32)
		w->ring = any;
	else
		w->ring = SEVERAL;
}

/*
 * A task was inside a send unseen: whose the units in flight are is not known
 * until counting begins anew. Nor is it of those that were just handed over,
 * which user space marks as far as it still holds them.
 */
static __always_inline void doubt_senders(struct writers *w, __u64 sender)
{
	bool concluded = w->synced || is_solo(w);
	struct doubt_event *e;

	__sync_fetch_and_add(&w->entered, 1); /* nobody is solo */
	w->synced = 0;
	if (!concluded)
		return; /* all since the last doubt is marked */
	e = bpf_ringbuf_reserve(&ring, sizeof(*e), 0);
	if (!e) {
		count(LOSS_NOTE, 1);
		return;
	}
	__builtin_memset(e, 0, sizeof(*e));
	e->kind = EVENT_DOUBT;
	e->time = bpf_ktime_get_boot_ns();
	e->sender = sender;
	bpf_ringbuf_submit(e, BPF_RB_NO_WAKEUP);
}

/*
 * Nobody told of the send's begin: it is of a kind that none tells of, or the
 * kernel skipped the program that would have told (v7.1).
 */
static __always_inline struct writers *untold_writers(struct sock *to,
						      __u64 *task, bool *ring)
{
	struct socket_state *sender;
	struct writers *w;
	struct sock *from;
	bool solo, none, unwanted;

	*ring = !in_watched_syscall();
	from = *ring ? sender_to(to) : syscall_socket(&none);
	if (from && is_hopeless(from))
		return NULL;
	sender = from ? socket_of(from) : NULL;
	unwanted = sender && sends_unwanted(from, sender);
	if (unwanted && is_quiet(sender))
		return NULL;
	if (sender && !unwanted)
		make_loud(from, sender, 1);
	w = sender ? writers_of(sender->number) : NULL;
	if (!w)
		return NULL;
	*task = is_nameless(unwanted) ?
			UNWANTED :
			remember_task(bpf_get_current_pid_tgid());
	solo = is_solo(w);
	if (!w->only && alone_in_flight(from, to))
		w->only = *task;
	if (*ring) {
		note_ring(w, *task);
		if (solo && w->only && !is_solo(w))
			doubt_senders(w, sender->number);
	} else if (!solo || w->only != *task) {
		doubt_senders(w, sender->number);
	}
	return w;
}

/* The same as may_send, of a unit that is queued; io_uring's begins unseen. */
static __always_inline bool may_arrive(struct sock *to)
{
	struct sock *from = peer_of(to);

	if (!family_only || BPF_CORE_READ(to, sk_type) == SOCK_DGRAM || !from)
		return true;
	return may_send(from);
}

/* All that a stream's socket receives is left out. */
static __always_inline bool gets_hopeless(struct sock *to)
{
	struct sock *from;

	if (!filters_sockets || BPF_CORE_READ(to, sk_type) == SOCK_DGRAM)
		return false;
	from = peer_of(to);
	return from && is_hopeless(from);
}

/*
 * Notes to which socket the sender's last unit went; only a datagram may go to
 * another than the one before. False if that has no state.
 */
static __always_inline bool sends_to(struct writers *w, struct sock *to,
				     __u64 task)
{
	struct socket_state *receiver;

	if (w->to == (__u64)to && BPF_CORE_READ(to, sk_type) != SOCK_DGRAM &&
	    (w->to_number || task == UNWANTED))
		return true;
	receiver = socket_of(to);
	if (!receiver)
		return false;
	if (w->to != (__u64)to && w->queued != w->taken)
		w->mixed = 1;
	w->to = (__u64)to;
	w->to_number = receiver->number;
	return true;
}

/* The current task has queued a unit to the receiver. */
static __always_inline int on_data_ready(struct sock *to)
{
	__u64 id = bpf_get_current_pid_tgid(), task, entered, upto;
	struct sending *s;
	struct writers *w;
	struct note *n;
	struct run *r;
	bool ring;

	if (filters_sockets || filters_senders) {
		n = noted();
		if (n && n->peer == (__u64)to &&
		    (!n->epoch || n->epoch == read_now(&quiet_epoch)))
			return 0;
	}
	s = bpf_map_lookup_elem(&sendings, &id);
	if (!armed || !is_unix(to))
		return 0;
	if (is_listening(to)) {
		if (family_only)
			open_door(to);
		return 0;
	}
	if (is_self() || !may_arrive(to))
		return 0;
	if (gets_hopeless(to))
		return 0;
	if (queued_by(s, to)) {
		w = bpf_map_lookup_elem(&writers, &s->number);
		if (!w)
			return 0;
		if (s->epoch != w->epoch) {
			w->synced = 0;
			return 0;
		}
		task = s->task;
		entered = read_now(&w->entered);
		upto = !s->overlap && s->entered == entered ? entered : 0;
	} else {
		w = untold_writers(to, &task, &ring);
		if (!w)
			return 0;
		entered = read_now(&w->entered);
		upto = ring && !read_after(&w->inside, entered) ? entered : 0;
	}
	if (!sends_to(w, to, task)) {
		w->synced = 0; /* not counted */
		return 0;
	}
	r = add_run(w, task, upto);
	if (task != UNWANTED)
		w->times[w->queued % TIMES] =
			(bpf_ktime_get_boot_ns() & ~TIME_MARK) |
			time_mark(w, w->queued);
	__sync_fetch_and_add(&w->queued, 1);
	if (r && upto && read_now(&w->entered) == upto)
		r->upto = SURE;
	return 0;
}

/*
 * The sender of a unit that it has not told of yet is still inside. If that is
 * one task, nobody was when it came, and nobody came since, it is that one.
 */
static __always_inline __u64 untold_task(struct writers *w, __u64 number,
					 bool *sure)
{
	__u64 entered = read_now(&w->entered), task = w->current;
	__u64 inside = read_after(&w->inside, entered);
	struct sending *s = bpf_map_lookup_elem(&sendings, &task);

	*sure = inside == 1 && s && s->active && !s->overlap &&
		s->entered == entered && s->number == number;
	return s ? s->task : 0;
}

/* The task of the run that holds the n-th unit. */
static __always_inline __u64 run_task(struct writers *w, __u64 n, bool *sure)
{
	struct run *r;
	__u64 task = 0;
	__u32 i;

	*sure = false;
	for (i = 1; i <= RUNS; i++) {
		if (i > w->runs)
			break;
		r = &w->run[(w->runs - i) % RUNS];
		task = r->task;
		if (r->start > n)
			continue;
		*sure = r->upto == SURE ||
			(r->upto && r->upto == read_now(&w->entered));
		break;
	}
	return task;
}

/*
 * Fills in when the socket's n-th unit was queued, if it was told of and its
 * time has not been written over. A function of its own, because callers'
 * stacks add up.
 */
static __noinline int fill_queued(struct data_event *e, struct writers *w,
				  __u64 n)
{
	__u64 queued = read_now(&w->queued);
	__u64 time = read_now(&w->times[n % TIMES]);

	/* The marks of units that are far apart are the same. */
	if (queued > n && queued - n <= TIMES &&
	    (time & TIME_MARK) == time_mark(w, n))
		e->queued = time & ~TIME_MARK;
	return 0;
}

/* Who sent the socket's n-th unit; *sure: even if several tasks send. */
static __always_inline __u64 sender_of(struct writers *w, __u64 n, __u64 number,
				       bool solo, bool *sure)
{
	*sure = false;
	if (n < w->queued)
		return run_task(w, n, sure);
	if (solo)
		return w->runs ? w->run[(w->runs - 1) % RUNS].task : w->only;
	return untold_task(w, number, sure);
}

/*
 * Fills in who sent the socket's n-th unit, to the event's receiver. Returns 1
 * if that is one of the unwanted tasks: the unit is left out.
 */
static __always_inline int fill_run(struct data_event *e, struct writers *w,
				    __u64 n)
{
	struct task_id *t;
	bool sure, solo = is_solo(w);
	__u64 task;

	/* Told of one receiver, taken by another: in which order is open. */
	if (e->type == SOCK_DGRAM && w->to_number &&
	    e->receiver != w->to_number)
		w->mixed = 1;
	task = sender_of(w, n, e->sender, solo, &sure);
	if (task == UNWANTED)
		return 1;
	/* Sends by io_uring begin unseen: counts may be off by one. */
	if ((solo || sure) && w->synced && !w->mixed && !w->ring)
		fill_queued(e, w, n);
	sure = solo || (sure && w->synced && !w->mixed && !w->ring);
	t = bpf_map_lookup_elem(&tasks, &task);
	if (!t)
		return 0;
	__builtin_memcpy(&e->task, t, sizeof(e->task));
	e->flags &= ~DATA_NO_SENDER;
	if (!sure)
		e->flags |= DATA_UNSURE_SENDER;
	return 0;
}

/* A unit is taken that nobody asks for. */
static __always_inline void count_taken(__u64 number)
{
	struct writers *w = bpf_map_lookup_elem(&writers, &number);

	if (w)
		__sync_fetch_and_add(&w->taken, 1);
}

/* Who sent the unit that is being taken from the socket's, as fill_run. */
static __always_inline int fill_writer(struct data_event *e,
				       struct socket_state *sender)
{
	struct writers *w;
	int unwanted;

	if (is_quiet(sender))
		return 1;
	w = bpf_map_lookup_elem(&writers, &sender->number);
	e->flags |= DATA_NO_SENDER;
	if (!w)
		return 0;
	unwanted = fill_run(e, w, w->taken);
	__sync_fetch_and_add(&w->taken, 1);
	return unwanted;
}

/*
 * Who sent the one that is so far from being taken. Those ahead of a datagram
 * may be another socket's.
 */
static __always_inline int peek_writer(struct data_event *e,
				       struct socket_state *sender, __u64 ahead)
{
	struct writers *w;
	int unwanted;

	if (is_quiet(sender))
		return 1;
	w = bpf_map_lookup_elem(&writers, &sender->number);
	e->flags |= DATA_NO_SENDER;
	if (!w)
		return 0;
	unwanted = fill_run(e, w, w->taken + ahead);
	if (e->type == SOCK_DGRAM && ahead && !is_solo(w))
		e->flags |= DATA_UNSURE_SENDER;
	return unwanted;
}

#endif
