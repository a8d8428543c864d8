/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
#ifndef SOCKCAP_UNWANTED_H
#define SOCKCAP_UNWANTED_H

#include "filter.h"
#include "process.h"

/*
 * Tasks that the filter leaves out whatever they send. All of them are one in
 * the account of who sends on a socket (senders.h), which tells them from others
 * that send there, and rests while there are none (quiet.h). Nobody needs names.
 */

/* Key of them all: no task has it, thread group 0 has no thread 1. */
#define UNWANTED 1ULL

/*
 * Whether the current task is one of them on this socket. Where both ends have
 * an address, or may get one by then, user space has to see who receives first:
 * see is_wanted().
 */
static __always_inline bool sends_unwanted(struct sock *sk,
					   struct socket_state *st)
{
	__u64 id, ugid;
	struct task_id t;

	if (!filters_senders || BPF_CORE_READ(sk, sk_type) == SOCK_DGRAM ||
	    !st->peer)
		return false;
	if (st->address && address_of((void *)st->peer))
		return false;
	id = bpf_get_current_pid_tgid();
	ugid = current_ids();
	t.pid = id >> 32;
	t.tid = (__u32)id;
	t.uid = (__u32)ugid;
	t.gid = ugid >> 32;
	fill_comm(t.comm);
	return !filter_sender(&t);
}

#endif
