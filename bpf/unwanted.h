/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
#ifndef SOCKCAP_UNWANTED_H
#define SOCKCAP_UNWANTED_H

#include "filter.h"
#include "process.h"

/*
 * Tasks that the filter leaves out whatever they send. All of them are one in
 * the account of who sends on a socket (senders.h), which tells them from others
 * that send there, and rests while there are none (quiet.h). Nobody needs names.
 *
 * With filters_readers they are left out only if such a task reads it too. Each is
 * called by its name in the account then, for others may read what they send.
 */

/* Key of them all: no task has it, thread group 0 has no thread 1. */
#define UNWANTED 1ULL

/* Whether the account knows a sender as one of them only. */
static __always_inline bool is_nameless(bool unwanted)
{
	return unwanted && !filters_readers;
}

/* What the filter asks of the current task, and no more. */
static __always_inline void fill_asked(struct task_id *t)
{
	if (asks_ids)
		fill_ids(t);
	if (asks_comms)
		fill_comm(t->comm);
}

/*
 * Whether the current task is one of them on this socket. Where both ends have
 * an address, or may get one by then, user space has to see who receives first:
 * see is_wanted().
 */
static __always_inline bool sends_unwanted(struct sock *sk,
					   struct socket_state *st)
{
	struct task_id t;

	if (!filters_senders || BPF_CORE_READ(sk, sk_type) == SOCK_DGRAM ||
	    !st->peer)
		return false;
	if (st->address && address_of((void *)st->peer))
		return false;
	fill_asked(&t);
	return !filter_sender(&t);
}

/*
 * Whether the current task is one of them as a reader. A function of its own,
 * because callers' stacks add up.
 */
static __noinline bool reads_unwanted(void)
{
	struct task_id t;

	if (!filters_readers)
		return true;
	fill_asked(&t);
	return !filter_reader(&t);
}

#endif
