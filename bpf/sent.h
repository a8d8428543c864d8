/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
#ifndef SOCKCAP_SENT_H
#define SOCKCAP_SENT_H

#include "message.h"

/*
 * How much a socket has sent in all, told when it is closed and something was
 * lost, of whatever socket: what is lost at its end no later unit tells of. A
 * function of its own, to spare its caller's stack.
 */
static __noinline int tell_sent(struct socket_state *st)
{
	struct sent_event *e;

	if (!lost_units())
		return 0;
	e = bpf_ringbuf_reserve(&ring, sizeof(*e), 0);
	if (!e) {
		count(LOSS_NOTE, 1);
		return 0;
	}
	__builtin_memset(e, 0, sizeof(*e));
	e->kind = EVENT_SENT;
	e->socket = st->number;
	e->sent = st->sent;
	e->skipped = st->skipped;
	bpf_ringbuf_submit(e, BPF_RB_NO_WAKEUP);
	return 0;
}

#endif
