/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
#ifndef SOCKCAP_SEND_H
#define SOCKCAP_SEND_H

#include "calibrate.h"
#include "family.h"
#include "filter.h"
#include "passed.h"
#include "process.h"

/*
 * The send side: an skb is taken when it is queued, in the sender's context.
 *
 * skb_queue_tail runs under the receiver's lock, before the insert: bytes,
 * order and sender are right by construction. What is inserted without it
 * (MSG_OOB; on 6.17 and later every part of a stream) is taken when its bytes
 * have just been copied, still private, and stays pending until
 * sock_def_readable says that it was queued, or the call ends and it was not.
 */

/*
 * A task that is preempted inside an fentry program makes all others on its
 * CPU skip that program (kernels with full preemption). There each is attached
 * twice: the second twin does what the first has not done. True for the second
 * of the same event; what names it, with the hook in the low bits.
 */
enum twin_hook { TWIN_ENTER = 1, TWIN_QUEUE, TWIN_FILLED };

static __always_inline bool second_twin(struct call *call, __u64 what,
					enum twin_hook hook)
{
	if (!twins)
		return false;
	what = what << 2 | hook;
	if (call->first == what) {
		call->first = 0;
		return true;
	}
	call->first = what;
	return false;
}

/* A task is inside one send at a time: this one's last was not seen to end. */
static __always_inline void end_call(__u64 id, struct call *call)
{
	struct socket_state *st = bpf_map_lookup_elem(&sockets, &call->sock);

	if (st && st->number == call->number)
		__sync_fetch_and_add(&st->inside, -1);
	bpf_map_delete_elem(&calls, &id);
}

static __always_inline int on_enter(struct socket *socket, struct msghdr *msg)
{
	__u64 id = bpf_get_current_pid_tgid();
	struct call call = {}, *old;
	struct socket_state *st;
	struct sock *sk = BPF_CORE_READ(socket, sk);

	if (is_self() && !calibrate_magic[0]) {
		count(COUNT_SELF, 1);
		return 0;
	}
	old = bpf_map_lookup_elem(&calls, &id);
	if (old) {
		if (old->msg == (__u64)msg &&
		    second_twin(old, (__u64)msg, TWIN_ENTER))
			return 0;
		end_call(id, old);
	}
	if (!is_self() && !may_send(sk)) {
		count(COUNT_FILTERED, 1);
		return 0;
	}
	if (!is_self() && is_hopeless(sk))
		return 0;
	st = socket_of(sk);
	if (!st)
		return 0;
	call.msg = (__u64)msg;
	call.first = (__u64)msg << 2 | TWIN_ENTER;
	call.sock = (__u64)sk;
	call.number = st->number;
	call.message = unique(&next_message);
	/*
	 * Of two that enter at once, one sees the other inside, or the other
	 * moves entered after this one has read it.
	 */
	__sync_fetch_and_add(&st->inside, 1);
	__sync_fetch_and_add(&st->entered, 1);
	call.entered = *(volatile __u64 *)&st->entered;
	call.overlap = *(volatile __u32 *)&st->inside > 1;
	call.oob = BPF_CORE_READ(msg, msg_flags) & MSG_OOB;
	if (bpf_map_update_elem(&calls, &id, &call, BPF_ANY)) {
		count(LOSS_MAP, 1);
		__sync_fetch_and_add(&st->inside, -1);
	}
	return 0;
}

static __always_inline struct call *current_call(void)
{
	__u64 id = bpf_get_current_pid_tgid();

	return bpf_map_lookup_elem(&calls, &id);
}

static __always_inline int put_unit_event(enum event_kind kind, __u8 type,
					  __u16 flags, __u64 unit,
					  __u64 receiver, __u64 offset,
					  __u64 skipped)
{
	struct unit_event *e = bpf_ringbuf_reserve(&ring, sizeof(*e), 0);

	if (!e) {
		count(LOSS_NOTE, 1);
		return 0;
	}
	e->kind = kind;
	e->type = type;
	e->flags = flags;
	e->pad = 0;
	e->time = bpf_ktime_get_boot_ns();
	e->unit = unit;
	e->receiver = receiver;
	e->offset = offset;
	e->skipped = skipped;
	bpf_ringbuf_submit(e, wakeup_flags());
	return 0;
}

/* Whether another task was inside a send on the socket during this call. */
static __always_inline bool overlapped(struct call *call,
				       struct socket_state *st)
{
	return call->overlap || st->entered != call->entered;
}

/*
 * Notes that the call's pending unit is in the queue. True if its place there
 * is open: others were sending, and it was not read yet. The reader's side
 * says of every unit that it takes while its place is open that it was.
 */
static __always_inline bool confirm(struct call *call, struct socket_state *st)
{
	struct queued_unit *u = bpf_map_lookup_elem(&units, &call->skb);

	if (!u || u->unit != call->unit || u->placed)
		return false;
	u->confirmed = 1;
	return overlapped(call, st);
}

/* Tells that the call's pending unit was queued, or skips its bytes. */
static __always_inline void tell_placed(struct call *call,
					struct socket_state *sender, __u8 type,
					__u16 flags, __u64 receiver)
{
	if (call->unwanted)
		skip_bytes(sender, call->unit_len);
	else
		put_unit_event(EVENT_QUEUED, type, flags, call->unit, receiver,
			       sender->sent, sender->skipped);
}

/* The call's pending unit is in the queue of to, if that is known. */
static __always_inline void tell_queued(struct call *call, struct sock *to,
					__u16 flags)
{
	struct socket_state *sender, *receiver;

	sender = bpf_map_lookup_elem(&sockets, &call->sock);
	receiver = to ? socket_of(to) : NULL;
	if (!sender)
		return;
	if (confirm(call, sender))
		flags |= DATA_OVERLAP;
	tell_placed(call, sender, SOCK_STREAM, flags,
		    receiver ? receiver->number : 0);
	if (receiver)
		__sync_fetch_and_add(&receiver->ready, 1);
	__sync_fetch_and_add(&sender->sent, call->unit_len);
	call->done += call->unit_len;
	call->unit = 0;
}

/* Its send failed. Another's skb may have the address by now. */
static __always_inline void tell_canceled(struct call *call)
{
	struct queued_unit *u = bpf_map_lookup_elem(&units, &call->skb);

	if (u && u->unit == call->unit)
		bpf_map_delete_elem(&units, &call->skb);
	if (!call->unwanted)
		put_unit_event(EVENT_CANCELED, 0, 0, call->unit, 0, 0, 0);
	call->unit = 0;
}

/*
 * What a stream's send queued and no program told of, because the kernel
 * skipped them, or because it is left out: the sender's count goes on, so the
 * next record shows a gap.
 */
static __always_inline void count_untold(struct call *call, __u64 result)
{
	struct sock *from = (void *)call->sock;
	struct socket_state *sender;

	if (result <= call->done || BPF_CORE_READ(from, sk_type) != SOCK_STREAM)
		return;
	sender = bpf_map_lookup_elem(&sockets, &call->sock);
	if (!sender || sender->number != call->number)
		return;
	__sync_fetch_and_add(&sender->sent, result - call->done);
	if (call->left)
		__sync_fetch_and_add(&sender->skipped, result - call->done);
}

/* The result says how many bytes were queued, told of or not. */
static __always_inline int on_exit(long result)
{
	__u64 id = bpf_get_current_pid_tgid();
	struct call *call = bpf_map_lookup_elem(&calls, &id);

	if (!call)
		return 0;
	if (call->unit) {
		if (result > 0 && (__u64)result >= call->done + call->unit_len)
			tell_queued(call, peer_of((void *)call->sock),
				    DATA_OVERLAP);
		else
			tell_canceled(call);
	}
	if (result > 0)
		count_untold(call, result);
	end_call(id, call);
	return 0;
}

/* Nothing is told of an skb, whose address may have been another's. */
static __always_inline void forget_unit(__u64 skb)
{
	bpf_map_delete_elem(&units, &skb);
}

static __always_inline void fill_unit(struct job *job, struct sock *from,
				      struct socket_state *sender,
				      struct socket_state *receiver,
				      __u64 message, __u32 len)
{
	struct data_event *e = &job->event;

	__builtin_memset(job, 0, sizeof(*job));
	e->kind = EVENT_DATA;
	e->type = BPF_CORE_READ(from, sk_type);
	e->time = bpf_ktime_get_boot_ns();
	e->unit = unique(&next_unit);
	e->message = message;
	e->sender = sender->number;
	e->receiver = receiver ? receiver->number : 0;
	e->skipped = sender->skipped;
	e->total = len;
	fill_task(&e->task);
}

/*
 * Both sockets are alive: a task is inside a send from one to the other. Who
 * that is is told of before what is wanted. A function of its own, because
 * callers' stacks add up.
 */
static __noinline bool is_sent_wanted(struct job *job, __u64 from,
				      struct socket_state *sender,
				      struct sock *to,
				      struct socket_state *receiver)
{
	struct end *sending, *receiving;

	if (filtering) {
		sending = end_of(from, sender);
		receiving = end_of((__u64)to, receiver);
		if (!is_wanted(&job->event, sending, receiving))
			return false;
	}
	job->event.task.process = current_process();
	return true;
}

/*
 * Notes what a unit of a call is called, before another can see its skb. A
 * function of its own, because callers' stacks add up.
 */
static __noinline int note_unit(struct call *call, __u64 skb, __u64 unit,
				__u64 to, bool placed)
{
	struct queued_unit u = {};

	u.unit = unit;
	u.sock = call->sock;
	u.number = call->number;
	u.to = to;
	u.entered = call->entered;
	u.overlap = call->overlap;
	u.placed = placed;
	if (bpf_map_update_elem(&units, &skb, &u, BPF_ANY))
		count(LOSS_MAP, 1);
	return 0;
}

/* list is about to get skb at its end. */
static __always_inline int on_queue(struct sk_buff_head *list,
				    struct sk_buff *skb)
{
	struct call *call = current_call();
	struct socket_state *sender, *receiver;
	struct job job;
	struct sock *to;
	__u32 len;

	if (!call || (__u64)BPF_CORE_READ(skb, sk) != call->sock)
		return 0;
	to = (void *)list -
	     bpf_core_field_offset(struct sock, sk_receive_queue);
	if (!is_unix(to))
		return 0;
	if (is_self()) {
		if (BPF_CORE_READ(to, sk_type) == SOCK_STREAM)
			stream_queued = true;
		else if (!page_base)
			calibrate((__u64)skb);
		return 0;
	}
	if (second_twin(call, (__u64)skb, TWIN_QUEUE))
		return 0;
	sender = bpf_map_lookup_elem(&sockets, &call->sock);
	len = BPF_CORE_READ(skb, len);
	if (!keeps_sent(to)) {
		leave_out(sender, len);
		call->done += len;
		return 0;
	}
	receiver = socket_of(to);
	if (!sender || !receiver)
		return 0;
	if (call->unit && call->skb == (__u64)skb) {
		tell_placed(call, sender, BPF_CORE_READ(to, sk_type), 0,
			    receiver->number);
		call->unit = 0;
	} else {
		fill_unit(&job, to, sender, receiver, call->message, len);
		job.event.offset = sender->sent;
		job.event.index = receiver->ready;
		if (!is_sent_wanted(&job, call->sock, sender, to, receiver)) {
			forget_unit((__u64)skb);
			skip_bytes(sender, len);
		} else {
			job.event.flags |= pass_sent((__u64)skb, job.event.unit,
						     call->msg, (__u64)to, 0);
			if (put_unit(&job, skb) == HANDED_OVER)
				note_unit(call, (__u64)skb, job.event.unit,
					  (__u64)to, true);
		}
	}
	__sync_fetch_and_add(&receiver->ready, 1);
	__sync_fetch_and_add(&sender->sent, len);
	call->done += len;
	return 0;
}

/* The bytes of skb are about to be copied from the sender. */
static __always_inline int on_fill(struct sk_buff *skb)
{
	struct call *call = current_call();

	if (call)
		call->skb = (__u64)skb;
	return 0;
}

/* They have been, and only the sender knows of skb yet. */
static __always_inline int on_filled(long err)
{
	struct call *call = current_call();
	struct socket_state *sender, *receiver;
	struct sk_buff *skb;
	struct sock *from, *to;
	struct job job;
	__u16 type;

	if (!call || err < 0)
		return 0;
	from = (void *)call->sock;
	skb = (void *)call->skb;
	type = BPF_CORE_READ(from, sk_type);
	if (type != SOCK_STREAM || !(inline_queue || call->oob) || is_self())
		return 0;
	if (second_twin(call, (__u64)skb, TWIN_FILLED))
		return 0;
	to = peer_of(from);
	if (call->unit) /* sendmsg goes on only when it was queued */
		tell_queued(call, to, DATA_OVERLAP);
	if (to && !keeps_sent(to)) {
		call->left = 1; /* the call's end tells how much */
		count(COUNT_FILTERED, 1);
		return 0;
	}
	sender = bpf_map_lookup_elem(&sockets, &call->sock);
	receiver = to ? socket_of(to) : NULL;
	if (!sender || !receiver)
		return 0;
	fill_unit(&job, from, sender, receiver, call->message,
		  BPF_CORE_READ(skb, len));
	job.event.flags = DATA_PENDING;
	call->unit = job.event.unit;
	call->unit_len = job.event.total;
	call->unwanted =
		!is_sent_wanted(&job, call->sock, sender, to, receiver);
	if (call->unwanted) {
		forget_unit((__u64)skb);
		return 0;
	}
	note_unit(call, (__u64)skb, call->unit, (__u64)to, !inline_queue);
	job.event.flags |=
		pass_sent((__u64)skb, job.event.unit, call->msg, (__u64)to, 1);
	put_unit(&job, skb);
	return 0;
}

/* to has something new to read. */
static __always_inline int on_readable(struct sock *to)
{
	struct call *call = current_call();

	if (family_only && is_listening(to))
		open_door(to);
	if (call && call->unit && peer_of((void *)call->sock) == to)
		tell_queued(call, to, 0);
	return 0;
}

/*
 * Notes what a page that was added to an skb is called, in place of what the
 * skb was called before. 1 if that was a unit too: they are read as one.
 */
static __noinline int note_page(__u64 skb, __u64 unit, __u64 from,
				struct socket_state *sender, __u64 to)
{
	struct queued_unit u = {}, *before;
	int joined;

	before = bpf_map_lookup_elem(&units, &skb);
	joined = before && before->sock == from &&
		 before->number == sender->number;
	u.unit = unit;
	u.sock = from;
	u.number = sender->number;
	u.to = to;
	u.placed = 1;
	if (bpf_map_update_elem(&units, &skb, &u, BPF_ANY))
		count(LOSS_MAP, 1);
	return joined;
}

/* A page was added to an skb of a stream by sendpage (up to v6.4). */
static __always_inline int on_append(struct sk_buff *skb, __u64 page,
				     __u32 offset, __u32 size)
{
	struct sock *from = BPF_CORE_READ(skb, sk), *to;
	struct socket_state *sender, *receiver;
	__u64 at, key = job_key();
	struct job job;

	if (!from || !is_unix(from) || is_self() || is_hopeless(from))
		return 0;
	to = peer_of(from);
	if (!may_send(from))
		return 0;
	sender = socket_of(from);
	if (to && !keeps_sent(to)) {
		leave_out(sender, size);
		return 0;
	}
	receiver = to ? socket_of(to) : NULL;
	if (!sender || !receiver)
		return 0;
	fill_unit(&job, from, sender, receiver, unique(&next_message), size);
	job.event.lost = lost_units();
	job.event.offset = sender->sent;
	job.event.index = receiver->ready;
	job.left = snaplen;
	__sync_fetch_and_add(&sender->sent, size);
	if (!is_sent_wanted(&job, (__u64)from, sender, to, receiver)) {
		forget_unit((__u64)skb); /* when its bytes are read is open */
		skip_bytes(sender, size);
		return 0;
	}
	if (note_page((__u64)skb, job.event.unit, (__u64)from, sender,
		      (__u64)to))
		job.event.flags |= DATA_JOINED;
	at = page_address(page);
	count(COUNT_UNITS, 1);
	if (bpf_map_update_elem(&jobs, &key, &job, BPF_ANY)) {
		count(LOSS_MAP, 1);
		return 0;
	}
	put_run(key, at ? at + offset : 0, size);
	bpf_map_delete_elem(&jobs, &key);
	return 0;
}

#endif
