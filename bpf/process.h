/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
#ifndef SOCKCAP_PROCESS_H
#define SOCKCAP_PROCESS_H

#include "path.h"
#include "task.h"

/*
 * Who the current process is: its program, arguments, control group and place
 * among pid namespaces, told in its own context, so that one that ends at once
 * is known too. Once: what user space was told goes by a number, which events
 * carry beside the pid, until something of it changes.
 */

#define EXE_LEN 1024 /* of a program's path; what is longer lacks its begin */
#define CGROUP_LEN 1024 /* of a control group's, likewise */
#define ARGS_LEN 1024	/* of the arguments; what is longer lacks its end */
#define CGROUP_STEPS 64

/* What was told of a process, by thread group; of an ended one, nobody asks. */
struct told {
	__u64 start;   /* of the group's leader: a pid is used again */
	__u64 execs;   /* self_exec_id */
	__u64 cgroups; /* struct css_set */
	__u32 number;
	__u32 pad;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 8192);
	__type(key, __u32);
	__type(value, struct told);
} told SEC(".maps");

__u32 next_process;

/* The leader of the current task's thread group. */
static __always_inline void look_at(struct told *now)
{
	struct task_struct *leader;

	if (walks_typed()) {
		leader = bpf_get_current_task_btf()->group_leader;
		now->start = leader->start_boottime;
		now->execs = leader->self_exec_id;
		now->cgroups = (__u64)leader->cgroups;
		return;
	}
	leader = (void *)bpf_get_current_task();
	leader = BPF_CORE_READ(leader, group_leader);
	now->start = BPF_CORE_READ(leader, start_boottime);
	now->execs = BPF_CORE_READ(leader, self_exec_id);
	now->cgroups = (__u64)BPF_CORE_READ(leader, cgroups);
}

static __always_inline struct kernfs_node *kernfs_parent(struct kernfs_node *kn)
{
	struct kernfs_node___6_15 *new = (void *)kn;

	if (bpf_core_field_exists(new->__parent))
		return BPF_CORE_READ(new, __parent);
	return BPF_CORE_READ(kn, parent);
}

/* Adds the name of a control group. 1: it is the root, or there is no room. */
__attribute__((noinline)) int cgroup_step(__u64 id, __u64 limit)
{
	struct path_walk *w = bpf_map_lookup_elem(&walks, &id);
	struct kernfs_node *kn, *parent;
	__u64 len;
	long n;

	if (!w)
		return 1;
	kn = (void *)w->dentry;
	parent = kernfs_parent(kn);
	if (!parent)
		return 1;
	len = *(volatile __u32 *)&w->len;
	if (len > PATH_LEN || len > limit) {
		w->flags |= PATH_CUT;
		return 1;
	}
	n = bpf_probe_read_kernel_str(w->names + len, PATH_NAME + 1,
				      BPF_CORE_READ(kn, name));
	if (n <= 0)
		return 1;
	w->len = len + n;
	w->dentry = (__u64)parent;
	return 0;
}

/* A group of version 1, 0 if it is the root or has no such controller. */
static __always_inline __u64 group_by(struct css_set *set, __u64 controller)
{
	__u64 css = 0;
	struct kernfs_node *kn;

	bpf_probe_read_kernel(
		&css, sizeof(css),
		(void *)set + bpf_core_field_offset(struct css_set, subsys) +
			controller * sizeof(css));
	kn = BPF_CORE_READ((struct cgroup_subsys_state *)css, cgroup, kn);
	return kn && kernfs_parent(kn) ? (__u64)kn : 0;
}

#define TRY_GROUP(controller)                                                \
	do {                                                                 \
		if (!group && bpf_core_enum_value_exists(                    \
				      enum cgroup_subsys_id, controller))    \
			group = group_by(set, bpf_core_enum_value(           \
						      enum cgroup_subsys_id, \
						      controller));          \
	} while (0)

/*
 * The control group of version 2; where that is the root, one of version 1, in
 * which container engines and init systems put a process into groups of the
 * same name under every controller.
 */
static __always_inline __u64 group_of(struct css_set *set)
{
	struct kernfs_node *kn = BPF_CORE_READ(set, dfl_cgrp, kn);
	__u64 group = kernfs_parent(kn) ? (__u64)kn : 0;

	TRY_GROUP(pids_cgrp_id);
	TRY_GROUP(memory_cgrp_id);
	TRY_GROUP(devices_cgrp_id);
	TRY_GROUP(cpu_cgrp_id);
	return group ?: (__u64)kn;
}

/* Adds the path of a control group to the walk, behind what is there. */
__attribute__((noinline)) int walk_cgroup(__u64 group)
{
	__u64 id = bpf_get_current_pid_tgid(), limit;
	struct path_walk *w = bpf_map_lookup_elem(&walks, &id);
	int i;

	if (!w)
		return 0;
	limit = w->len + CGROUP_LEN - PATH_NAME;
	w->dentry = group;
	w->flags = 0;
	for (i = 0; i < CGROUP_STEPS; i++)
		if (cgroup_step(id, limit))
			return 0;
	w->flags |= PATH_CUT;
	return 0;
}

/*
 * Adds the arguments, as they are in the process's memory: some have changed
 * them since. A page that is not there now ends them.
 */
static __always_inline void add_args(struct path_walk *w, struct mm_struct *mm)
{
	__u64 start = BPF_CORE_READ(mm, arg_start),
	      n = BPF_CORE_READ(mm, arg_end) - start,
	      len = *(volatile __u32 *)&w->len, first;

	if (n > ARGS_LEN)
		n = ARGS_LEN;
	if (len > PATH_LEN - ARGS_LEN || !n)
		return;
	if (bpf_probe_read_user(w->names + len, n, (void *)start)) {
		first = page_size - (start & (page_size - 1));
		if (first < n)
			n = first;
		asm volatile("" : "+r"(n)); /* the bound again, for v5.10 */
		if (n > ARGS_LEN)
			return;
		if (bpf_probe_read_user(w->names + len, n, (void *)start))
			return;
	}
	w->len = len + n;
}

static __always_inline void fill_pid(struct process_event *e,
				     struct task_struct *leader)
{
	struct pid *pid = BPF_CORE_READ(leader, thread_pid);
	__u32 level = BPF_CORE_READ(pid, level);
	struct upid *own = (void *)pid +
			   bpf_core_field_offset(struct pid, numbers) +
			   level * (__u64)bpf_core_type_size(struct upid);

	e->pid = BPF_CORE_READ(leader, tgid);
	e->parent = BPF_CORE_READ(leader, real_parent, tgid);
	e->own_pid = BPF_CORE_READ(own, nr);
	e->pidns = BPF_CORE_READ(own, ns, ns.inum);
}

/* The names of the current process, in its walk. */
static __always_inline void fill_names(struct process_event *e,
				       struct path_walk *w,
				       struct task_struct *task,
				       struct css_set *set)
{
	struct mm_struct *mm = BPF_CORE_READ(task, mm); /* none in the kernel */
	__u64 file = mm ? (__u64)BPF_CORE_READ(mm, exe_file) : 0;

	if (file)
		walk_path(file + bpf_core_field_offset(struct file, f_path));
	if (w->len > EXE_LEN) {
		w->len = EXE_LEN;
		w->flags |= PATH_CUT;
	}
	e->exe_flags = w->flags;
	e->exe_len = w->len;
	walk_cgroup(group_of(set));
	e->cgroup_cut = w->flags & PATH_CUT;
	e->cgroup_len = w->len - e->exe_len;
	if (mm)
		add_args(w, mm);
	e->args_len = w->len - e->exe_len - e->cgroup_len;
}

/* Tells who the current process is. Returns its number, 0 if that failed. */
__attribute__((noinline)) int tell_process(__u64 key)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	struct process_event *e;
	struct told now = {};
	struct path_walk *w;
	__u32 pid = key;
	int lost;

	look_at(&now);
	__sync_fetch_and_add(&next_process, 1);
	now.number = *(volatile __u32 *)&next_process;
	w = begin_walk();
	if (!w) {
		count(LOSS_LIFE, 1);
		return 0;
	}
	e = walk_head(w, sizeof(*e));
	e->kind = EVENT_PROCESS;
	e->number = now.number;
	e->time = bpf_ktime_get_boot_ns();
	e->start = now.start;
	fill_pid(e, BPF_CORE_READ(task, group_leader));
	fill_comm(e->comm);
	fill_names(e, w, task, (void *)now.cgroups);
	lost = put_walk(w, sizeof(*e));
	end_walk();
	if (lost) {
		count(LOSS_LIFE, 1);
		return 0;
	}
	bpf_map_update_elem(&told, &pid, &now, BPF_ANY); /* else told again */
	return now.number;
}

/*
 * The number of the current process, which is told first if need be: by the
 * side of its pid, for two that begin at once may have the same.
 */
static __always_inline __u32 current_process(void)
{
	__u32 pid = bpf_get_current_pid_tgid() >> 32;
	struct told *known = bpf_map_lookup_elem(&told, &pid), now;

	if (known) {
		look_at(&now);
		if (known->start == now.start && known->execs == now.execs &&
		    known->cgroups == now.cgroups)
			return known->number;
	}
	return tell_process(pid);
}

#endif
