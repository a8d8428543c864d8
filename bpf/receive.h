/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
#ifndef SOCKCAP_RECEIVE_H
#define SOCKCAP_RECEIVE_H

#include "passing.h"
#include "lifecycle.h"

/*
 * The receive side: an skb is taken when its last byte was read, or when it
 * is thrown away unread, just before the kernel frees it. It is still intact,
 * skb->sk is the sender, and the current task is the reader.
 */

enum freed_by {
	BY_CONSUME, /* consume_skb: read, or (v6.17) a send that failed */
	BY_KFREE,   /* kfree_skb: thrown away unread, or a send that failed */
};

static __always_inline bool in_ranges(const volatile struct text_range *ranges,
				      __u64 address)
{
	int i;

#pragma unroll
	for (i = 0; i < MAX_RANGES; i++) {
		if (!ranges[i].to)
			break; /* the verifier takes out what follows */
		if (address >= ranges[i].from && address < ranges[i].to)
			return true;
	}
	return false;
}

/* Global functions, so that the verifier does not multiply paths by ranges. */
__attribute__((noinline)) int is_failed(__u64 location)
{
	return in_ranges(failed_at, location);
}

__attribute__((noinline)) int is_release(__u64 location)
{
	return in_ranges(release_at, location);
}

__attribute__((noinline)) int is_allocation(__u64 site)
{
	return in_ranges(alloc_at, site);
}

/* The garbage collector closes others inside the close of one. */
static __always_inline void forget_closing(void)
{
	__u64 id = bpf_get_current_pid_tgid();

	bpf_map_delete_elem(&closings, &id);
}

/*
 * The datagram socket that the current task is closing. The purge runs on the
 * way back from close, with the system call still in the saved registers.
 */
static __always_inline struct sock *closing_socket(void)
{
	__u64 id = bpf_get_current_pid_tgid();
	__u64 *sk = bpf_map_lookup_elem(&closings, &id);
	struct syscall call;

	if (!sk || !is_dead((void *)*sk))
		return NULL;
	saved_syscall((void *)bpf_get_current_task(), &call);
	return call.nr == NR_CLOSE ? (void *)*sk : NULL;
}

/* A receiver: its number, and its state if it has not been replaced since. */
struct receiver {
	__u64 number; /* 0: not known */
	struct socket_state *state;
	struct end *end; /* as the filter knows it, NULL if it does not */
};

static __always_inline void set_receiver(struct receiver *r, struct sock *sk)
{
	r->state = socket_of(sk);
	r->number = r->state ? r->state->number : 0;
	r->end = r->state ? end_of((__u64)sk, r->state) : NULL;
}

/* The memory at sock may be another socket's by now. */
static __always_inline void set_remembered(struct receiver *r, __u64 sock,
					   __u64 number)
{
	struct socket_state *st = bpf_map_lookup_elem(&sockets, &sock);

	r->number = number;
	r->state = st && st->number == number ? st : NULL;
	r->end = filtering && r->state ? known_end(sock, r->state) : NULL;
}

/*
 * Which socket an skb of from was queued to. For a stream it is the peer,
 * which only a closed sender has lost; a datagram's is the one being read, or
 * closed.
 */
static __always_inline void find_receiver(struct receiver *r, struct sock *from,
					  __u16 type,
					  struct socket_state *sender,
					  struct origin *origin,
					  enum freed_by by, bool released)
{
	struct sock *peer = peer_of(from), *sk;
	struct writers *w;
	bool ring;

	r->number = 0;
	r->state = NULL;
	r->end = NULL;
	if (type != SOCK_DGRAM && peer)
		return set_receiver(r, peer);
	/* A purge runs in any system call, whose descriptor is another's. */
	sk = by == BY_CONSUME ? syscall_socket(&ring) : NULL;
	if (sk && BPF_CORE_READ(sk, sk_type) == type &&
	    (type == SOCK_DGRAM || peer_of(sk) == from))
		return set_receiver(r, sk);
	if (origin && origin->receiver)
		return set_remembered(r, origin->receiver_sock,
				      origin->receiver);
	if (!exact_senders) {
		w = bpf_map_lookup_elem(&writers, &sender->number);
		if (w && w->to_number &&
		    (type != SOCK_DGRAM || (w->synced && !w->mixed)))
			return set_remembered(r, w->to, w->to_number);
	}
	if (type != SOCK_DGRAM)
		return set_remembered(r, sender->peer, sender->peer_number);
	sk = released ? closing_socket() : NULL;
	if (sk)
		return set_receiver(r, sk);
	if (peer)
		return set_receiver(r, peer);
	set_remembered(r, sender->peer, sender->peer_number);
}

static __always_inline struct origin *origin_of(struct sk_buff *skb)
{
	__u64 key = (__u64)skb;
	struct origin *o;

	if (!exact_senders)
		return NULL;
	o = bpf_map_lookup_elem(&origins, &key);
	if (o)
		return o;
	key = (__u64)BPF_CORE_READ(skb, head);
	return bpf_map_lookup_elem(&origins, &key);
}

/* To delete what is not there costs more than to find that out. */
static __always_inline void delete_origin(__u64 key)
{
	if (bpf_map_lookup_elem(&origins, &key))
		bpf_map_delete_elem(&origins, &key);
}

static __always_inline void forget_origin(struct sk_buff *skb)
{
	if (!exact_senders)
		return;
	delete_origin((__u64)skb);
	delete_origin((__u64)BPF_CORE_READ(skb, head));
}

/* Returns 1 if that is one of the unwanted tasks. */
static __always_inline int fill_sender(struct data_event *e, struct origin *o,
				       struct sk_buff *skb,
				       struct socket_state *sender)
{
	__u64 pager = sender->pager;

	if (!exact_senders)
		return fill_writer(e, sender);
	if (!o) {
		e->flags |= DATA_NO_SENDER;
		return 0;
	}
	e->queued = o->time;
	/* Up to v6.4 sendpage adds to an skb that another task allocated. */
	if (pager && pager >> 32 != o->task.pid && BPF_CORE_READ(skb, data_len))
		e->flags |= DATA_UNSURE_SENDER;
	e->message = o->message;
	__builtin_memcpy(&e->task, &o->task, sizeof(e->task));
	return 0;
}

/*
 * A unit that is being shown while it waits may be taken meanwhile. Who claims
 * it first tells of it. The one that shows it has copied it before it claims;
 * the reader claims it before it is freed.
 */
static __always_inline bool claim_shown(__u64 unit)
{
	__u64 claim = claim_of(0, unit);

	return !is_claimed(&claim);
}

/*
 * Whether an skb of a socket may be kept. Nothing is noted of others. The
 * current task reads it, or throws it away.
 */
__attribute__((noinline)) int may_take(__u64 from)
{
	__u64 to = (__u64)peer_of((void *)from);

	if (concerns_family(from, to) ||
	    (!to && bpf_map_lookup_elem(&sockets, &from))) /* closed: later */
		return 1;
	count(COUNT_FILTERED, 1);
	return 0;
}

/*
 * Whether a unit is kept, sent by a member or by one that may be, or received
 * by a socket that the family uses. A member that reads one uses it.
 */
__attribute__((noinline)) int is_kept(__u64 from, __u64 inode, __u32 pid,
				      __u32 flags)
{
	struct sock *sk = (void *)from, *to = peer_of(sk);

	if (flags & DATA_READ && in_family()) {
		note_used(inode);
		return 1;
	}
	if (!(flags & DATA_NO_SENDER) && was_family(pid))
		return 1;
	if (inode && bpf_map_lookup_elem(&used, &inode))
		return 1;
	if (BPF_CORE_READ(sk, sk_type) != SOCK_DGRAM && to &&
	    is_used((__u64)to))
		return 1;
	return flags & (DATA_NO_SENDER | DATA_UNSURE_SENDER) && is_used(from);
}

/* An skb that the receiver has done with, and whose it was. */
struct freed {
	struct sk_buff *skb;
	struct origin *origin;
	struct socket_state *sender;
	struct end *from; /* the sender as the filter knows it, or NULL */
	struct receiver to;
	__u8 type;
	__u8 place; /* of the reader's names, READERS: not told */
	__u16 flags;
	__u32 reader; /* its process */
};

/* Returns 1 if its sender is one of the unwanted tasks. */
static __always_inline int fill_freed(struct data_event *e, struct freed *f)
{
	struct socket_state *sender = f->sender, *receiver = f->to.state;
	struct sk_buff *skb = f->skb;
	int unwanted;

	e->kind = EVENT_DATA;
	e->type = f->type;
	e->flags = f->flags;
	e->time = bpf_ktime_get_boot_ns();
	e->unit = taken_unit((__u64)skb);
	e->sender = sender->number;
	e->offset = sender->sent;
	e->skipped = sender->skipped;
	e->total = BPF_CORE_READ(skb, len);
	e->receiver = f->to.number;
	unwanted = fill_sender(e, f->origin, f->skb, sender);
	if (receiver) {
		e->index = receiver->consumed;
		__sync_fetch_and_add(&receiver->consumed, 1);
	}
	if (f->flags & DATA_READ) {
		__u64 id = bpf_get_current_pid_tgid();

		e->reader_pid = id >> 32;
		e->reader_tid = (__u32)id;
		e->reader_process = f->reader;
		fill_comm(e->reader_comm);
		if (f->place < READERS)
			e->flags |= DATA_NAMED | f->place << DATA_PLACE;
	}
	__sync_fetch_and_add(&sender->sent, e->total);
	return unwanted;
}

/* Leaves it out. */
static __always_inline int leave_unit(struct data_event *e, struct freed *f)
{
	skip_bytes(f->sender, e->total);
	if (f->flags & DATA_DRAINED)
		tell_drained(f->sender->number);
	return HANDED_OVER;
}

/*
 * Hands over what is wanted of it, or begins to. A function of its own, because
 * callers' stacks add up, and renew_state() needs much.
 */
static __noinline int take_unit(struct freed *f)
{
	struct socket_state *receiver = f->to.state;
	struct sk_buff *skb = f->skb;
	struct data_event *e;
	struct waiting *w;
	struct job job;
	bool wanted, unwanted;
	int done = HANDED_OVER;

	__builtin_memset(&job, 0, sizeof(job));
	e = &job.event;
	unwanted = fill_freed(e, f);
	if (family_only &&
	    !is_kept((__u64)BPF_CORE_READ(skb, sk),
		     receiver ? receiver->inode : 0, e->task.pid, e->flags)) {
		return leave_unit(e, f);
	}
	/* After consumed has grown: see show_waiting. */
	w = NULL;
	if (!receiver || *(volatile __u8 *)&receiver->walked)
		w = bpf_map_lookup_elem(&waits, &f->skb);
	if (w && w->shown && receiver && w->receiver == receiver->number &&
	    (__u32)w->index == e->index &&
	    (w->settled || !claim_shown(w->shown))) {
		put_read_event(e->flags & (DATA_READ | DATA_DRAINED), w->shown,
			       f->place);
	} else {
		wanted = !unwanted && is_wanted(e, f->from, f->to.end);
		if (wanted)
			done = begin_unit(&job, f->skb);
		if (!wanted || done == NOT_ASKED)
			leave_unit(e, f);
	}
	if (w)
		bpf_map_delete_elem(&waits, &f->skb);
	return done;
}

/* What an skb passes along to who reads it, if anybody does, is told of. */
__attribute__((noinline)) int pass_freed(__u64 address, __u32 read)
{
	struct sk_buff *skb = (void *)address;
	struct sock *from, *to = NULL;
	struct control_block c;
	bool ring;

	if (!may_pass(address, &c))
		return 0;
	from = BPF_CORE_READ(skb, sk);
	if (read && BPF_CORE_READ(from, sk_type) == SOCK_DGRAM)
		to = syscall_socket(&ring);
	if (read && !to)
		to = peer_of(from);
	return pass_taken(address, &c, to);
}

/* An skb of any protocol is copied from, for its receiver. */
static __always_inline int on_copied(struct sk_buff *skb)
{
	struct sock *from = BPF_CORE_READ(skb, sk);

	if (!from || !is_unix(from) || !passed_files(skb))
		return 0;
	if (!armed || is_self())
		return 0;
	if (filters_sockets && known_hope(from) == HOPELESS)
		return 0;
	return pass_copied((__u64)skb);
}

/* Whether an unwanted task sent what is being taken; *w: in which account. */
static __always_inline bool is_next_unwanted(struct socket_state *sender,
					     struct writers **w)
{
	bool solo, sure;

	*w = NULL;
	if (is_quiet(sender))
		return true;
	if (filters_readers)
		return false;
	*w = bpf_map_lookup_elem(&writers, &sender->number);
	if (!*w)
		return false;
	solo = is_solo(*w);
	return (solo && (*w)->only == UNWANTED) ||
	       sender_of(*w, (*w)->taken, sender->number, solo, &sure) ==
		       UNWANTED;
}

/*
 * Whether the current task, which reads what was left out, need not be noted as a
 * socket's reader: nobody asks for it, or an unwanted task of its process has read
 * there last, and it is one too.
 */
static __always_inline bool reads_left(struct socket_state *receiver)
{
	if (!filters_readers)
		return !asks_readers;
	return receiver->glance &&
	       receiver->reader == bpf_get_current_pid_tgid() >> 32 &&
	       reads_unwanted();
}

/*
 * Leaves out what an unwanted task has sent, if no more than the account of it
 * has to go on: nothing else is to be told.
 */
static __always_inline bool leave_unwanted(struct sk_buff *skb,
					   struct socket_state *sender)
{
	__u32 len = BPF_CORE_READ(skb, len);
	struct socket_state *receiver;
	__u64 key = (__u64)skb;
	struct writers *w;

	if (family_only || sender->closed ||
	    *(volatile __u64 *)&noted_passings || !is_next_unwanted(sender, &w))
		return false;
	receiver = bpf_map_lookup_elem(&sockets, &sender->peer);
	if (!receiver || receiver->number != sender->peer_number ||
	    !reads_left(receiver) ||
	    (*(volatile __u8 *)&receiver->walked &&
	     bpf_map_lookup_elem(&waits, &key)))
		return false;
	if (w)
		__sync_fetch_and_add(&w->taken, 1);
	__sync_fetch_and_add(&receiver->consumed, 1);
	__sync_fetch_and_add(&sender->sent, len);
	skip_bytes(sender, len);
	return true;
}

/* Takes an skb that the receiver has done with. */
static __always_inline int take_freed(struct sk_buff *skb, struct sock *from,
				      __u64 location, enum freed_by by)
{
	bool released = by == BY_KFREE && is_release(location);
	struct socket_state *sender;
	struct freed f = {};
	bool looking = filters_senders && !exact_senders && by == BY_CONSUME;
	__u32 looks = 0;

	if (family_only && !may_take((__u64)from))
		return 0;
	sender = socket_of(from);
	if (!sender) {
		if (armed)
			count(LOSS_MAP, 1);
		return 0;
	}
	if (!armed || sender->own) {
		if (!exact_senders)
			count_taken(sender->number);
		count(sender->own ? COUNT_SELF : COUNT_EARLY, 1);
		return 0;
	}
	if (looking) {
		if (leave_unwanted(skb, sender))
			return 0;
		looks = glance();
	}
	f.skb = skb;
	f.sender = sender;
	f.origin = origin_of(skb);
	f.type = BPF_CORE_READ(from, sk_type);
	if (filtering) /* one that is closed has lost its name, and no more */
		f.from = filters_names && is_dead(from) ?
				 known_end((__u64)from, sender) :
				 end_of((__u64)from, sender);
	find_receiver(&f.to, from, f.type, sender, f.origin, by, released);
	f.flags = by == BY_KFREE ? DATA_WAITING : DATA_READ;
	if (f.flags & DATA_READ)
		f.reader = current_process();
	f.place = READERS;
	if (by == BY_CONSUME && f.to.state) /* said, unless it is left out */
		f.place = note_reader(f.to.state, f.to.end, f.reader,
				      !filtering && !family_only);
	if (looking) {
		if (!hears(from, sender, (__u64)skb, f.type))
			looks = 0;
		if (f.to.state)
			f.to.state->glance = f.place != READERS ? looks : 0;
	}
	if (gc_reorders && by == BY_KFREE && !released)
		sender->disordered = 1;
	if (by == BY_KFREE && !released)
		forget_closing();
	if (sender->disordered)
		f.flags |= DATA_UNSURE_ORDER;
	if (sender->closed && is_drained(from, skb))
		f.flags |= DATA_DRAINED;
	pass_freed((__u64)skb, by == BY_CONSUME);
	if (take_unit(&f) == TO_BE_HANDED_OVER && finish_unit(skb) == NOT_ASKED)
		skip_bytes(sender, BPF_CORE_READ(skb, len));
	forget_origin(skb);
	return 0;
}

/*
 * Which unit an skb is whose end is seen; 0 if it is none that was told of. The
 * entry goes: its address is used again at once, and entries of skbs that are gone
 * would push out those of skbs that wait long.
 */
static __always_inline __u64 end_unit(struct sk_buff *skb, struct sock *from,
				      __u64 *to, bool *open)
{
	__u64 key = (__u64)skb, sock = (__u64)from;
	struct queued_unit *u = bpf_map_lookup_elem(&units, &key), unit;
	struct socket_state *sender;

	if (!u)
		return 0;
	unit = *u;
	bpf_map_delete_elem(&units, &key);
	sender = bpf_map_lookup_elem(&sockets, &sock);
	if (unit.sock != sock || !sender || sender->number != unit.number)
		return 0;
	if (filters_senders && sender->told)
		__sync_fetch_and_add(&sender->told, -1);
	*to = unit.to;
	*open = !unit.placed && (unit.overlap || !unit.confirmed ||
				 sender->entered != unit.entered);
	return unit.unit;
}

/*
 * Notes that the current task reads a socket. Under a filter that asks for tasks
 * alone: that need not be noted again of who did so last, and looks as then, if it
 * has read what was left out (see is_read_unwanted()).
 */
static __noinline int note_reading(__u64 sock, bool told)
{
	struct socket_state *st = bpf_map_lookup_elem(&sockets, &sock);
	__u32 looks = 0;
	int place;

	if (!st)
		return READERS;
	if (filters_senders) {
		looks = glance();
		if (!told && st->glance == looks)
			return READERS;
	}
	place = note_reader(st, filtering ? known_end(sock, st) : NULL,
			    current_process(), told);
	if (filters_senders)
		st->glance = place != READERS && reads_unwanted() ? looks : 0;
	return place;
}

/* The same beside the send side, of what a note of its send has left out. */
static __always_inline bool reads_noted(struct sock *from)
{
	__u64 to = (__u64)peer_of(from);
	struct socket_state *st;

	if (family_only || !leaves_by_note() ||
	    BPF_CORE_READ(from, sk_type) == SOCK_DGRAM)
		return false;
	if (!filters_readers)
		return !asks_readers;
	st = bpf_map_lookup_elem(&sockets, &to);
	return st && reads_left(st);
}

/* Beside the send side: who read, and in which order. */
static __always_inline int note_freed(struct sk_buff *skb, struct sock *from,
				      enum freed_by by)
{
	bool read = by == BY_CONSUME, open = false, ring;
	__u64 to = 0, unit = end_unit(skb, from, &to, &open);
	int place = READERS;

	if (read && !unit && reads_noted(from))
		return 0;
	if (read) {
		if (!unit)
			to = BPF_CORE_READ(from, sk_type) == SOCK_DGRAM ?
				     (__u64)syscall_socket(&ring) :
				     (__u64)peer_of(from);
		if (to && family_only && in_family())
			note_used(inode_of((void *)to));
		if (to)
			place = note_reading(to, unit);
	}
	if (unit && (read || open))
		put_read_event(read ? DATA_READ : 0, unit, place);
	return 0;
}

/* Whatever its sender sends is left out. */
static __always_inline int skip_freed(struct sk_buff *skb, __u64 location)
{
	forget_origin(skb);
	count(is_failed(location) ? COUNT_FAILED : COUNT_FILTERED, 1);
	return 0;
}

/*
 * What a socket sent may outlive it. Then it has nothing left to be known by,
 * but the reader's socket still holds it.
 */
static __always_inline bool was_hopeless(struct sock *from, enum freed_by by)
{
	struct sock *to;
	bool ring;

	if (by != BY_CONSUME || !is_dead(from))
		return false;
	to = syscall_socket(&ring);
	return to && BPF_CORE_READ(to, sk_type) != SOCK_DGRAM &&
	       peer_of(to) == from && is_hopeless(to);
}

static __always_inline int take_or_note(struct sk_buff *skb, __u64 location,
					enum freed_by by)
{
	struct sock *from = BPF_CORE_READ(skb, sk);
	enum hope_of hope = OPEN;

	if (!from || !is_unix(from))
		return 0;
	if (filters_sockets)
		hope = known_hope(from);
	if (hope == HOPELESS)
		return skip_freed(skb, location);
	/*
	 * A connection request, which accept frees, keeps the destructor that
	 * sock_wmalloc gave it; data gets one of AF_UNIX's own.
	 */
	if ((__u64)BPF_CORE_READ(skb, destructor) == request_destructor)
		return 0;
	if (is_failed(location)) {
		count(COUNT_FAILED, 1);
		forget_origin(skb);
		return 0;
	}
	if (is_self()) {
		if (calibrate_magic[0] && !page_base)
			calibrate((__u64)skb);
		else
			count(COUNT_SELF, 1);
		return 0;
	}
	if (filters_sockets && hope == OPEN &&
	    (judge_sender((__u64)from) || was_hopeless(from, by)))
		return skip_freed(skb, location);
	if (take_on_read)
		return take_freed(skb, from, location, by);
	return note_freed(skb, from, by);
}

static __always_inline int on_freed(struct sk_buff *skb, __u64 location,
				    enum freed_by by)
{
	take_or_note(skb, location, by);
	if (take_on_read)
		drop_passing((__u64)skb);
	return 0;
}

#endif
