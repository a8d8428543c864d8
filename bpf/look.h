/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
#ifndef SOCKCAP_LOOK_H
#define SOCKCAP_LOOK_H

#include "filter.h"
#include "process.h"

/*
 * All that says who the current task is, at one moment: as long as nothing of it
 * has changed, what was remembered of the task need not be found anew.
 */
struct look {
	struct told process; /* its number is not looked at */
	__u64 ugid;
	char comm[COMM_LEN];
	char thread[COMM_LEN];
};

static __always_inline void look(struct look *l)
{
	look_at(&l->process);
	l->ugid = current_ids();
	fill_comms(l->comm, l->thread);
}

/* Whether it looks so still. */
static __always_inline bool looks_like(struct look *l)
{
	const __u64 *names = (void *)l->comm;
	__u64 now[2];
	struct told process;
	struct task_struct *task;

	look_at(&process);
	if (l->process.start != process.start ||
	    l->process.execs != process.execs ||
	    l->process.cgroups != process.cgroups || l->ugid != current_ids())
		return false;
	task = (void *)bpf_get_current_task();
	read_comm((char *)now, task);
	if (names[2] != now[0] || names[3] != now[1])
		return false;
	read_comm((char *)now, BPF_CORE_READ(task, group_leader));
	return names[0] == now[0] && names[1] == now[1];
}

/*
 * A number for all that, and which task it is, never 0. A function of its own,
 * because callers' stacks add up.
 */
static __noinline int glance(void)
{
	struct task_struct *task = (void *)bpf_get_current_task(), *leader;
	__u64 names[4], h;

	leader = BPF_CORE_READ(task, group_leader);
	read_comm((char *)&names[0], task);
	read_comm((char *)&names[2], leader);
	h = mix(bpf_get_current_pid_tgid(), current_ids());
	h = mix(mix(h, names[0]), names[1]);
	h = mix(mix(h, names[2]), names[3]);
	h = mix(h, BPF_CORE_READ(leader, start_boottime));
	h = mix(h, BPF_CORE_READ(leader, self_exec_id));
	h = mix(h, (__u64)BPF_CORE_READ(leader, cgroups));
	return (__u32)h ?: 1;
}

#endif
