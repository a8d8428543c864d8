/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
#ifndef SOCKCAP_SEND_H
#define SOCKCAP_SEND_H

#include "calibrate.h"
#include "call.h"
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

/*
 * Tells that the call's pending unit, of that many bytes, was queued, or leaves it
 * out.
 */
static __always_inline void tell_placed(struct call *call,
					struct socket_state *sender, __u8 type,
					__u16 flags, __u64 receiver, __u64 len)
{
	if (call->unwanted)
		skip_bytes(sender, len);
	else
		put_unit_event(EVENT_QUEUED, type, flags, call->unit, receiver,
			       sender->sent, sender->skipped);
	__sync_fetch_and_add(&sender->sent, len);
	call->done += len;
	call->unit = 0;
}

/*
 * The call's pending unit is in the queue of to, if that is known. A function of
 * its own, because callers' stacks add up.
 */
static __noinline int tell_queued(struct call *call, struct sock *to,
				  __u16 flags)
{
	struct socket_state *sender, *receiver = NULL;

	sender = bpf_map_lookup_elem(&sockets, &call->sock);
	if (!sender)
		return 0;
	if (!call->unwanted) {
		receiver = to ? socket_of(to) : NULL;
		if (confirm(call, sender))
			flags |= DATA_OVERLAP;
	}
	tell_placed(call, sender, SOCK_STREAM, flags,
		    receiver ? receiver->number : 0, call->unit_len);
	return 0;
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
 * next record shows a gap. (Not if it is ours, to calibrate.)
 */
static __always_inline void count_untold(struct call *call, __u64 result)
{
	struct sock *from = (void *)call->sock;
	struct socket_state *sender;

	if (is_self() || result <= call->done ||
	    BPF_CORE_READ(from, sk_type) != SOCK_STREAM)
		return;
	sender = bpf_map_lookup_elem(&sockets, &call->sock);
	if (!sender || sender->number != call->number)
		return;
	__sync_fetch_and_add(&sender->sent, result - call->done);
	if (call->left)
		__sync_fetch_and_add(&sender->skipped, result - call->done);
}

/* The result says how many bytes were queued, told of or not. */
static __always_inline void close_call(struct call *call, long result)
{
	if (call->unit) {
		if (result > 0 && !call->early &&
		    (__u64)result >= call->done + call->unit_len)
			tell_queued(call, peer_of((void *)call->sock),
				    DATA_OVERLAP);
		else
			tell_canceled(call);
	}
	if (result > 0 && !call->early)
		count_untold(call, result);
	end_call(call);
}

/* Whether the send that ends is one that needs no more than a note. */
static __always_inline bool ends_noted(struct sock *sk)
{
	struct note *n = send_note(sk);

	if (!n)
		return false;
	n->task = 0;
	return true;
}

/* The current task's send on a socket, which a kretprobe does not know, ends. */
static __always_inline int on_exit(struct socket *socket, long result)
{
	struct sock *sk = socket ? BPF_CORE_READ(socket, sk) : NULL;
	struct call *call;

	if (ends_noted(sk))
		return 0;
	call = own_call();
	if (!call)
		return 0;
	if (call->ended) {
		call->ended = 0; /* this is the second twin */
		return 0;
	}
	if (call->sock && (!sk || call->sock == (__u64)sk))
		close_call(call, result);
	else if (sk && result > 0)
		count_unseen((__u64)sk, result);
	call->ended = twins;
	return 0;
}

/* Nothing is told of an skb, whose address may have been another's. */
static __always_inline void forget_unit(__u64 skb)
{
	/* To delete what is not there costs more than to find that out. */
	if (bpf_map_lookup_elem(&units, &skb))
		bpf_map_delete_elem(&units, &skb);
}

static __always_inline void fill_unit(struct job *job,
				      struct socket_state *sender,
				      struct socket_state *receiver,
				      __u64 message, __u32 len)
{
	struct data_event *e = &job->event;

	__builtin_memset(job, 0, sizeof(*job));
	e->kind = EVENT_DATA;
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
 * Both sockets are alive: a task is inside a send from one to the other, whose
 * state may be missing. Who that is is told of before what is wanted. A function
 * of its own, because callers' stacks add up.
 */
static __noinline bool is_sent_wanted(struct job *job, __u64 from,
				      struct socket_state *sender,
				      struct sock *to,
				      struct socket_state *receiver)
{
	struct end *sending, *receiving;

	if (filtering) {
		sending = end_of(from, sender);
		receiving = receiver ? end_of((__u64)to, receiver) : NULL;
		if (!is_wanted(&job->event, sending, receiving))
			return false;
	}
	job->event.task.process = current_process();
	return true;
}

/* One more unit of a socket is about to be noted. */
static __always_inline void count_told(struct socket_state *sender)
{
	if (filters_senders)
		__sync_fetch_and_add(&sender->told, 1);
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

/* skb of a call that is left out is about to be queued. */
static __always_inline void leave_queued(struct call *call, __u64 skb,
					 __u64 len)
{
	forget_unit(skb);
	leave_out(bpf_map_lookup_elem(&sockets, &call->sock), len);
	call->done += len;
	call->unit = 0;
}

/*
 * Takes skb, which is about to be queued to a socket, whose state may be missing.
 * A function of its own, because callers' stacks add up.
 */
static __noinline int take_queued(struct call *call, struct sk_buff *skb,
				  struct sock *to,
				  struct socket_state *receiver)
{
	struct socket_state *sender =
		bpf_map_lookup_elem(&sockets, &call->sock);
	__u32 len = BPF_CORE_READ(skb, len);
	struct job job;
	int done;

	if (!sender) {
		count(LOSS_MAP, 1);
		return 0;
	}
	if (call->unit && call->skb == (__u64)skb) {
		tell_placed(call, sender, BPF_CORE_READ(to, sk_type), 0,
			    receiver ? receiver->number : 0, len);
		return 0;
	}
	fill_unit(&job, sender, receiver, call->message, len);
	job.event.type = BPF_CORE_READ(to, sk_type);
	job.event.offset = sender->sent;
	if (!is_sent_wanted(&job, call->sock, sender, to, receiver)) {
		forget_unit((__u64)skb);
		skip_bytes(sender, len);
	} else {
		job.event.flags |= pass_sent((__u64)skb, job.event.unit,
					     call->msg, (__u64)to, 0);
		done = put_unit(&job, skb);
		if (done == HANDED_OVER) {
			count_told(sender);
			note_unit(call, (__u64)skb, job.event.unit, (__u64)to,
				  true);
		} else if (done == NOT_ASKED)
			skip_bytes(sender, len);
	}
	__sync_fetch_and_add(&sender->sent, len);
	call->done += len;
	return 0;
}

/*
 * The send that queues skb to a socket, of which there is a note. NULL if it is left
 * out, as it is unless another has read there meanwhile, whose it is to be. Then it
 * goes on with an entry: what was queued before is counted.
 */
static __noinline struct call *leave_noted(struct sk_buff *skb, struct sock *to)
{
	__u64 key = (__u64)to, sock = (__u64)BPF_CORE_READ(skb, sk);
	struct note *n = send_note((void *)sock);
	struct socket_state *st;
	struct call *call;
	__u64 msg;

	if (!n || n->kind != LEFT)
		return NULL;
	msg = n->msg;
	if (filters_readers) {
		st = bpf_map_lookup_elem(&sockets, &key);
		if (!st || !st->glance) {
			n->task = 0;
			call = own_call();
			st = bpf_map_lookup_elem(&sockets, &sock);
			if (!st)
				count(LOSS_MAP, 1);
			if (!call || !st)
				return NULL;
			fill_call(call, (void *)sock, st, msg);
			call->early = 1;
			return call;
		}
	}
	st = bpf_map_lookup_elem(&sockets, &sock);
	if (!st || st->told)
		forget_unit((__u64)skb);
	if (st) /* who is inside with MSG_OOB is to see that he is not alone */
		__sync_fetch_and_add(&st->entered, 1);
	leave_out(st, BPF_CORE_READ(skb, len));
	return NULL;
}

/* list is about to get skb at its end. */
static __always_inline int on_queue(struct sk_buff_head *list,
				    struct sk_buff *skb)
{
	struct call *call = call_of(skb, AT_QUEUE);
	struct sock *to = (void *)list -
			  bpf_core_field_offset(struct sock, sk_receive_queue);

	if (!call && !leaves_by_note())
		return 0;
	if (!is_unix(to))
		return 0;
	if (!call)
		call = leave_noted(skb, to);
	if (!call)
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
	call->filling = 0;
	if (!leaves_out(call) && keeps_sent(to))
		return take_queued(call, skb, to, socket_of(to));
	leave_queued(call, (__u64)skb, BPF_CORE_READ(skb, len));
	return 0;
}

/*
 * Whether what fills skbs matters, and what says that they were queued: streams
 * may go through skb_queue_tail, but for MSG_OOB, and its program is not skipped.
 */
static __always_inline bool watches_skbs(void)
{
	return inline_queue || oob_inside || twins;
}

/*
 * That many bytes of skb, 0 if that is not known, are about to be copied from the
 * sender.
 */
static __always_inline int on_fill(struct sk_buff *skb, __u32 len,
				   enum looked_for_at place)
{
	struct call *call;

	if (!watches_skbs())
		return 0;
	call = call_of(skb, place);
	if (!call)
		return 0;
	call->skb = (__u64)skb;
	call->fill_len = len;
	call->filling = 1;
	return 0;
}

/*
 * The send whose skb was filled, which only a kretprobe does not know (NULL).
 */
static __always_inline struct call *filled_call(struct sk_buff *skb)
{
	struct call *call = skb ? call_of(skb, AT_FILLED) : current_call();

	if (!call || !(inline_queue || call->oob))
		return NULL;
	if (!skb)
		return call->filling ? call : NULL;
	if (second_twin(call, (__u64)skb, TWIN_FILLED))
		return NULL;
	call->skb = (__u64)skb;
	return call;
}

/*
 * Takes the skb that was filled for a socket, whose state may be missing. A function
 * of its own, because callers' stacks add up: that is also why skb is read from call
 * again and again.
 */
static __noinline int take_filled(struct call *call, struct sock *to,
				  struct socket_state *receiver)
{
	struct socket_state *sender =
		bpf_map_lookup_elem(&sockets, &call->sock);
	struct sk_buff *skb = (void *)call->skb;
	struct job job;

	if (!sender) {
		count(LOSS_MAP, 1);
		return 0;
	}
	fill_unit(&job, sender, receiver, call->message,
		  BPF_CORE_READ(skb, len));
	job.event.type = SOCK_STREAM;
	job.event.flags = DATA_PENDING;
	call->unit = job.event.unit;
	call->unit_len = job.event.total;
	call->unwanted =
		!is_sent_wanted(&job, call->sock, sender, to, receiver);
	if (call->unwanted) {
		forget_unit(call->skb);
		return 0;
	}
	count_told(sender);
	note_unit(call, call->skb, call->unit, (__u64)to, !inline_queue);
	job.event.flags |=
		pass_sent(call->skb, job.event.unit, call->msg, (__u64)to, 1);
	if (put_unit(&job, (void *)call->skb) == NOT_ASKED)
		call->unwanted = 1;
	return 0;
}

/* The bytes of an skb have been copied, and only the sender knows of it yet. */
static __always_inline int on_filled(struct sk_buff *skb, long err)
{
	struct sock *from, *to;
	struct call *call;

	if (!watches_skbs())
		return 0;
	call = filled_call(skb);
	if (!call || is_self())
		return 0;
	call->filling = 0;
	skb = (void *)call->skb;
	from = (void *)call->sock;
	if (err < 0 || BPF_CORE_READ(from, sk_type) != SOCK_STREAM)
		return 0;
	to = peer_of(from);
	if (call->unit) /* sendmsg goes on only when it was queued */
		tell_queued(call, to, DATA_OVERLAP);
	if (to && !keeps_sent(to)) {
		call->left = 1; /* the call's end tells how much */
		count(COUNT_FILTERED, 1);
		return 0;
	}
	if (!leaves_out(call))
		return to ? take_filled(call, to, socket_of(to)) : 0;
	forget_unit((__u64)skb);
	call->unit = 1; /* whatever it is called */
	call->unit_len = BPF_CORE_READ(skb, len);
	call->unwanted = 1;
	return 0;
}

/* The skb that was filled is queued, and the kernel has skipped who would take it. */
static __always_inline void pass_over(struct call *call)
{
	struct socket_state *sender =
		bpf_map_lookup_elem(&sockets, &call->sock);

	call->filling = 0;
	if (!sender || is_self()) /* or ours, to calibrate */
		return;
	__sync_fetch_and_add(&sender->sent, call->fill_len);
	call->done += call->fill_len;
}

/* to has something new to read. */
static __always_inline int on_readable(struct sock *to)
{
	struct call *call;

	if (family_only && is_listening(to))
		open_door(to);
	if (!watches_skbs())
		return 0;
	call = current_call();
	if (!call || !(call->unit || call->filling))
		return 0;
	if (call->unit && peer_of((void *)call->sock) == to)
		tell_queued(call, to, 0);
	else if (call->filling)
		pass_over(call);
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
	if (!joined)
		count_told(sender);
	u.unit = unit;
	u.sock = from;
	u.number = sender->number;
	u.to = to;
	u.placed = 1;
	if (bpf_map_update_elem(&units, &skb, &u, BPF_ANY))
		count(LOSS_MAP, 1);
	return joined;
}

/*
 * Takes size bytes at an address, 0 if that is not known, that were added to an
 * skb. The job is made where it will be: callers' stacks add up.
 */
static __noinline int take_appended(struct sk_buff *skb, __u64 at, __u32 size,
				    struct socket_state *sender,
				    struct socket_state *receiver)
{
	struct sock *from = BPF_CORE_READ(skb, sk), *to = peer_of(from);
	__u64 key = job_key();
	struct job *job;

	if (!sender) {
		count(LOSS_MAP, 1);
		return 0;
	}
	bpf_map_update_elem(&jobs, &key, (void *)&blank_job, BPF_ANY);
	job = bpf_map_lookup_elem(&jobs, &key);
	if (!job) {
		__sync_fetch_and_add(&sender->sent, size);
		count(LOSS_MAP, 1);
		return 0;
	}
	fill_unit(job, sender, receiver, unique(&next_message), size);
	job->event.type = SOCK_STREAM; /* others have no sendpage */
	job->event.lost = lost_units();
	job->event.offset = sender->sent;
	job->left = snaplen;
	__sync_fetch_and_add(&sender->sent, size);
	if (is_sent_wanted(job, (__u64)from, sender, to, receiver)) {
		job->event.flags &= ~DATA_UNASKED; /* it counts as lost */
		if (note_page((__u64)skb, job->event.unit, (__u64)from, sender,
			      (__u64)to))
			job->event.flags |= DATA_JOINED;
		count(COUNT_UNITS, 1);
		put_run(key, at, size);
	} else {
		forget_unit((__u64)skb); /* when its bytes are read is open */
		skip_bytes(sender, size);
	}
	bpf_map_delete_elem(&jobs, &key);
	return 0;
}

/* A page was added to an skb of a stream by sendpage (up to v6.4). */
static __always_inline int on_append(struct sk_buff *skb, __u64 page,
				     __u32 offset, __u32 size)
{
	struct sock *from = BPF_CORE_READ(skb, sk), *to;
	struct socket_state *sender;
	__u64 at;

	if (!from || !is_unix(from) || is_self() || is_hopeless(from))
		return 0;
	to = peer_of(from);
	if (!may_send(from))
		return 0;
	sender = socket_of(from);
	if (!to)
		return 0;
	if (!keeps_sent(to)) {
		leave_out(sender, size);
		return 0;
	}
	at = page_address(page);
	return take_appended(skb, at ? at + offset : 0, size, sender,
			     socket_of(to));
}

#endif
