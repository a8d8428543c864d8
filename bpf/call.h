/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
#ifndef SOCKCAP_CALL_H
#define SOCKCAP_CALL_H

#include "family.h"
#include "quiet.h"

/*
 * The send that a task is inside, on the send side, by pid_tgid. The entry stays
 * when it ends: to make one and delete it costs more than to fill it in.
 */
struct call {
	__u64 sock;   /* struct sock of the sender, 0: it is inside none */
	__u64 number; /* its socket_state.number */
	__u64 message;
	__u64 done;    /* bytes known to be queued */
	__u64 entered; /* socket_state.entered when it began */
	__u64 skb;     /* being filled */
	__u64 msg;     /* struct msghdr, 0: its begin was not seen */
	__u64 first;   /* what the first twin of a hook has just dealt with */
	__u64 unit;    /* pending, 0 if none */
	__u64 unit_len;
	__u32 fill_len; /* of the skb being filled, 0: unknown */
	__u32 overlap;	/* others were inside when it began */
	__u8 oob;
	__u8 left;     /* some of it is left out */
	__u8 leave;    /* all of it is, if an unwanted task reads it */
	__u8 unwanted; /* the filter leaves the pending unit out */
	__u8 early;   /* some of it may have been queued, and counted, before */
	__u8 ended;   /* the first twin has seen its end */
	__u8 filling; /* skb is not taken yet */
	__u8 pad;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 65536);
	__type(key, __u64);
	__type(value, struct call);
} calls SEC(".maps");

const volatile struct call blank_call = {};

/* Sends with MSG_OOB that tasks are inside. */
__u32 oob_inside;

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

/*
 * A send that needs no entry is a note (filter.h), until the task is switched: the
 * filter, or the family, dismisses it by its socket, and nothing is to be noted of
 * it, or the current task is unwanted there (unwanted.h), and only its bytes are to
 * be counted as they are queued. If the note is gone, the same is found anew.
 */
enum send_note_kind { DISMISSED, LEFT };

static __always_inline void make_send_note(struct sock *sk,
					   enum send_note_kind kind, __u64 msg)
{
	struct note *n = note_here();

	if (!n)
		return;
	*(volatile __u64 *)&n->task = 0;
	*(volatile __u64 *)&n->sock = (__u64)sk;
	*(volatile __u64 *)&n->kind = kind;
	*(volatile __u64 *)&n->msg = msg;
	*(volatile __u64 *)&n->switches = current_switches();
	*(volatile __u64 *)&n->task = bpf_get_current_pid_tgid();
}

static __always_inline bool dismisses(void)
{
	return family_only || filters_sockets;
}

/*
 * Whether unwanted tasks' sends are notes: where skb_queue_tail tells of all that
 * is queued, and its program is not skipped.
 */
static __always_inline bool leaves_by_note(void)
{
	return filters_senders && !twins && !inline_queue;
}

/* The note of the current task's send, on a socket if sk is not NULL. */
static __always_inline struct note *send_note(struct sock *sk)
{
	struct note *n = dismisses() || filters_senders ? noted() : NULL;

	return n && (!sk || n->sock == (__u64)sk) &&
			       n->switches == current_switches() ?
		       n :
		       NULL;
}

/* Whether the send that begins, or of which that is found late, is dismissed. */
static __always_inline bool begins_dismissed(struct sock *sk, bool late)
{
	if (!dismisses() || is_self())
		return false;
	if (twins && send_note(sk))
		return true; /* by the first twin */
	if (may_send(sk)) {
		if (!is_hopeless(sk))
			return false;
	} else if (!late) {
		count(COUNT_FILTERED, 1);
	}
	make_send_note(sk, DISMISSED, 0);
	return true;
}

/* The send that the current task is inside, NULL if none is known. */
static __always_inline struct call *current_call(void)
{
	__u64 id = bpf_get_current_pid_tgid();
	struct call *call = bpf_map_lookup_elem(&calls, &id);

	return call && call->sock ? call : NULL;
}

/* The entry of the current task, made if need be; NULL if there is no room. */
static __always_inline struct call *own_call(void)
{
	__u64 id = bpf_get_current_pid_tgid();
	struct call *call = bpf_map_lookup_elem(&calls, &id);

	if (call)
		return call;
	if (bpf_map_update_elem(&calls, &id, (void *)&blank_call, BPF_ANY))
		count(LOSS_MAP, 1);
	return bpf_map_lookup_elem(&calls, &id);
}

/* It has ended, or its end was not seen: a task is inside one at a time. */
static __always_inline void end_call(struct call *call)
{
	struct socket_state *st = bpf_map_lookup_elem(&sockets, &call->sock);

	if (st && st->number == call->number)
		__sync_fetch_and_add(&st->inside, -1);
	if (call->oob)
		__sync_fetch_and_add(&oob_inside, -1);
	call->sock = 0;
}

/*
 * Whether the current task is unwanted on a socket (unwanted.h). A function of its
 * own, because callers' stacks add up.
 */
static __noinline bool begins_unwanted(struct sock *sk, struct socket_state *st)
{
	return filters_senders && !is_self() && sends_unwanted(sk, st);
}

/*
 * Whether the current task begins a send that is left out by a note. (MSG_OOB does
 * not go through skb_queue_tail.)
 */
static __always_inline bool begins_left(struct sock *sk,
					struct socket_state *st, __u64 msg)
{
	if (msg && BPF_CORE_READ((struct msghdr *)msg, msg_flags) & MSG_OOB)
		return false;
	if (!begins_unwanted(sk, st))
		return false;
	make_send_note(sk, LEFT, msg);
	return true;
}

/* Whether what the call queues now is left out, whatever it is. */
static __always_inline bool leaves_out(struct call *call)
{
	struct socket_state *st;

	if (!call->leave || !filters_readers)
		return call->leave;
	st = bpf_map_lookup_elem(&sockets, &call->sock);
	return st && is_read_unwanted(st);
}

/*
 * The current task is inside a send from now on, with call for its entry. Of two
 * that enter at once, one sees the other inside, or the other moves entered after
 * this one has read it.
 */
static __always_inline void fill_call(struct call *call, struct sock *sk,
				      struct socket_state *st, __u64 msg)
{
	call->number = st->number;
	call->message = unique(&next_message);
	call->done = 0;
	call->skb = 0;
	call->filling = 0;
	call->msg = msg;
	call->first = msg << 2 | TWIN_ENTER;
	call->unit = 0;
	/* Only twins are skipped: another's entry has had to go meanwhile. */
	call->early = !msg && (!twins || !st->entered);
	__sync_fetch_and_add(&st->inside, 1);
	__sync_fetch_and_add(&st->entered, 1);
	call->entered = *(volatile __u64 *)&st->entered;
	call->overlap = *(volatile __u32 *)&st->inside > 1;
	call->oob =
		msg && BPF_CORE_READ((struct msghdr *)msg, msg_flags) & MSG_OOB;
	if (call->oob)
		__sync_fetch_and_add(&oob_inside, 1);
	call->leave = begins_unwanted(sk, st);
	call->left = call->leave;
	call->ended = 0;
	call->sock = (__u64)sk;
}

static __always_inline int on_enter(struct socket *socket, struct msghdr *msg)
{
	struct sock *sk = BPF_CORE_READ(socket, sk);
	struct socket_state *st;
	struct call *call;

	if (is_self() && !calibrate_magic[0]) {
		count(COUNT_SELF, 1);
		return 0;
	}
	if (begins_dismissed(sk, false))
		return 0;
	if (leaves_by_note()) {
		st = socket_of(sk);
		if (st && begins_left(sk, st, (__u64)msg))
			return 0;
	}
	if (dismisses() || filters_senders)
		make_note(0, 0, 0, 0);
	call = own_call();
	if (!call)
		return 0;
	if (call->sock) {
		if (call->msg == (__u64)msg &&
		    second_twin(call, (__u64)msg, TWIN_ENTER))
			return 0;
		end_call(call);
	}
	st = socket_of(sk);
	if (st)
		fill_call(call, sk, st, (__u64)msg);
	else if (!inline_queue && BPF_CORE_READ(msg, msg_flags) & MSG_OOB)
		count(LOSS_MAP, 1); /* what it queues nobody watches then */
	return 0;
}

/*
 * Where a send is looked for, in the order in which its skb comes by. A kretprobe
 * does not know the skb that was filled: before is the last place then.
 */
enum looked_for_at { AT_FILL, AT_LAST_FILL, AT_FILLED, AT_QUEUE };

/*
 * Whether a unit whose send has no state there is lost: it will not be looked for
 * again. Where streams are queued inline none of them comes to AT_QUEUE.
 */
static __always_inline bool is_lost_at(enum looked_for_at place,
				       struct sock *sk)
{
	if (place == AT_QUEUE)
		return true;
	return place != AT_FILL && inline_queue &&
	       BPF_CORE_READ(sk, sk_type) == SOCK_STREAM;
}

/*
 * The current task is found to be inside a send on a socket, whose begin no
 * program has told of: both twins were skipped, or there was none yet. Global, so
 * that the verifier looks at it once.
 */
__attribute__((noinline)) int begin_late(__u64 key, __u32 place)
{
	struct sock *sk = (void *)key;
	struct socket_state *st;
	struct call *call;

	if (!armed || is_self())
		return 0;
	call = own_call();
	if (!call)
		return 0;
	if (call->sock)
		end_call(call);
	if (begins_dismissed(sk, true))
		return 0;
	st = socket_of(sk);
	if (!st && is_lost_at(place, sk) &&
	    (!twins || second_twin(call, key, TWIN_ENTER)))
		count(LOSS_MAP, 1);
	if (!st || (leaves_by_note() && begins_left(sk, st, 0)))
		return 0;
	fill_call(call, sk, st, 0);
	return 0;
}

/*
 * The send that the current task is inside, as it fills or queues skb. NULL if it
 * is none of AF_UNIX, or of which there is a note.
 */
static __always_inline struct call *call_of(struct sk_buff *skb,
					    enum looked_for_at place)
{
	struct sock *sk = BPF_CORE_READ(skb, sk);
	struct call *call;

	if (!sk || !is_unix(sk) || send_note(sk))
		return NULL;
	call = current_call();
	if (call && call->sock == (__u64)sk)
		return call;
	begin_late((__u64)sk, place);
	call = current_call();
	return call && call->sock == (__u64)sk ? call : NULL;
}

/*
 * A send of which no program has told anything has queued bytes: the sender's
 * count goes on, so the next record shows a gap. If none of the socket's is known
 * this may have begun before the capture.
 */
__attribute__((noinline)) int count_unseen(__u64 key, __u64 bytes)
{
	struct sock *sk = (void *)key;
	struct socket_state *st = bpf_map_lookup_elem(&sockets, &key);

	if (leaves_by_note()) /* what is left out so was counted as it was queued */
		return 0;
	if (!armed || is_self() || !st || !st->entered ||
	    BPF_CORE_READ(sk, sk_type) != SOCK_STREAM ||
	    replaced(st, sk, inode_of(sk), (__u64)peer_of(sk)))
		return 0;
	if (!may_send(sk) || is_hopeless(sk))
		return 0;
	__sync_fetch_and_add(&st->sent, bytes);
	return 0;
}

#endif
