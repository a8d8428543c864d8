/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
#ifndef SOCKCAP_PATH_H
#define SOCKCAP_PATH_H

#include "socket.h"

/*
 * The name of a file, from its struct path: as d_path has it, but up to the
 * root of the mount namespace, whatever root the task has. Memory is read
 * without locks: a file renamed meanwhile may show half of either name.
 *
 * What is walked lies in a map, by task, so that it needs no stack and the
 * verifier looks at one step only. A caller
 *
 *	w = begin_walk();	NULL: no room
 *	walk_path(path);	the address of a struct path
 *	...			w->names has w->len bytes, see w->flags
 *	end_walk();
 *
 * puts what it says of the file in front of the names (walk_head), and the two
 * into the ring at once (put_walk). What is lost for want of room it counts.
 */

#define PATH_LEN 4096  /* of names; what is longer lacks its beginning */
#define PATH_STEPS 256 /* names and mounts; beyond as well */
#define PATH_NAME 255  /* NAME_MAX */
#define PATH_HEAD 256  /* what a caller has to say at most */

enum path_flags {
	PATH_DELETED = 1 << 0, /* the file has no name any more */
	PATH_CUT = 1 << 1,     /* the first of its directories are missing */
	PATH_LONE = 1 << 2,    /* a file that never had any: memfd, pipe, ... */
};

struct path_walk {
	__u64 dentry;
	__u64 mount; /* struct vfsmount */
	__u32 len;
	__u32 flags; /* enum path_flags */
	char head[PATH_HEAD];
	/* Each with a NUL behind it, the last first: path.go turns it. */
	char names[PATH_LEN + PATH_NAME + 1];
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 256);
	__type(key, __u64); /* pid_tgid */
	__type(value, struct path_walk);
} walks SEC(".maps");

const volatile struct path_walk blank_walk = {};

static __always_inline struct path_walk *begin_walk(void)
{
	__u64 id = bpf_get_current_pid_tgid();

	bpf_map_update_elem(&walks, &id, (void *)&blank_walk, BPF_ANY);
	return bpf_map_lookup_elem(&walks, &id);
}

static __always_inline void end_walk(void)
{
	__u64 id = bpf_get_current_pid_tgid();

	bpf_map_delete_elem(&walks, &id);
}

/* From the root of a mount to where it is mounted. 1: that is nowhere. */
static __always_inline int leave_mount(struct path_walk *w)
{
	struct mount *m =
		(void *)(w->mount - bpf_core_field_offset(struct mount, mnt));
	struct mount *up = BPF_CORE_READ(m, mnt_parent);

	if (!up || up == m)
		return 1;
	w->dentry = (__u64)BPF_CORE_READ(m, mnt_mountpoint);
	w->mount = (__u64)up + bpf_core_field_offset(struct mount, mnt);
	return 0;
}

/* Adds the name of a directory entry. 1: there is no room. */
static __always_inline int add_name(struct path_walk *w, struct dentry *dentry)
{
	__u64 n = BPF_CORE_READ(dentry, d_name.hash_len) >> 32;
	__u64 len = *(volatile __u32 *)&w->len;

	if (n > PATH_NAME)
		n = PATH_NAME;
	if (len > PATH_LEN) {
		w->flags |= PATH_CUT;
		return 1;
	}
	bpf_probe_read_kernel(w->names + len, n,
			      (void *)BPF_CORE_READ(dentry, d_name.name));
	w->names[len + n] = 0;
	w->len = len + n + 1;
	return 0;
}

/* One step of a task's walk towards the root. 1: no more. */
__attribute__((noinline)) int walk_step(__u64 id)
{
	struct path_walk *w = bpf_map_lookup_elem(&walks, &id);
	struct dentry *dentry, *parent;
	struct vfsmount *mount;

	if (!w)
		return 1;
	dentry = (void *)w->dentry;
	mount = (void *)w->mount;
	if (dentry == BPF_CORE_READ(mount, mnt_root))
		return leave_mount(w);
	parent = BPF_CORE_READ(dentry, d_parent);
	if (parent != dentry) {
		w->dentry = (__u64)parent;
		return add_name(w, dentry);
	}
	if (w->len)
		return 1;
	w->flags |= PATH_LONE;
	add_name(w, dentry);
	return 1;
}

/* Walks from a struct path to the root, in the current task's walk. */
__attribute__((noinline)) int walk_path(__u64 address)
{
	__u64 id = bpf_get_current_pid_tgid();
	struct path_walk *w = bpf_map_lookup_elem(&walks, &id);
	struct path *path = (void *)address;
	struct dentry *dentry = BPF_CORE_READ(path, dentry);
	int i;

	if (!w)
		return 0;
	w->dentry = (__u64)dentry;
	w->mount = (__u64)BPF_CORE_READ(path, mnt);
	w->len = w->flags = 0;
	if (!BPF_CORE_READ(dentry, d_hash.pprev) &&
	    BPF_CORE_READ(dentry, d_parent) != dentry)
		w->flags = PATH_DELETED;
#pragma clang loop unroll_count(4) /* less for the verifier to follow */
	for (i = 0; i < PATH_STEPS; i++)
		if (walk_step(id))
			return 0;
	w->flags |= PATH_CUT;
	return 0;
}

/* Where a caller's struct of a size goes, in front of the names. */
static __always_inline void *walk_head(struct path_walk *w, __u32 size)
{
	return w->head + PATH_HEAD - size;
}

/*
 * Puts such a struct and the names into the ring, before what they are told
 * for, which wakes the reader. 1: that is full.
 */
static __always_inline int put_walk(struct path_walk *w, __u32 size)
{
	__u64 len = *(volatile __u32 *)&w->len;

	if (len > sizeof(w->names))
		len = sizeof(w->names);
	return bpf_ringbuf_output(&ring, walk_head(w, size), size + len,
				  BPF_RB_NO_WAKEUP) != 0;
}

#endif
