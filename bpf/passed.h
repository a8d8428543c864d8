/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
#ifndef SOCKCAP_PASSED_H
#define SOCKCAP_PASSED_H

#include "path.h"
#include "rights.h"

/*
 * What is passed along with a message: descriptors, credentials, a security id.
 * An skb has it in its control block. Of descriptors it holds the files, each
 * of which is told of by its name; in the sender's context the number too.
 *
 * The send side finds it in the skb that it takes; for the receive side see
 * passing.h.
 */

#define MAX_PASSED 253 /* SCM_MAX_FD */
#define SOME_PASSED 16 /* of them, in one loop */

/* include/uapi/linux/magic.h */
#define NSFS_MAGIC 0x6e736673
#define PIPEFS_MAGIC 0x50495045
#define SOCKFS_MAGIC 0x534f434b
#define ANON_INODE_FS_MAGIC 0x09041934
#define PID_FS_MAGIC 0x50494446

#define PIDFD_NAME 0x005d64666469705bULL /* "[pidfd]" */

/* The begin of an AF_UNIX skb's control block, the same in every kernel. */
struct control_block {
	__u64 pid;
	__u32 uid;
	__u32 gid;
	__u64 fp;
	__u32 secid;
	__u32 more;
};

static __always_inline void read_control(struct control_block *c,
					 struct sk_buff *skb)
{
	if (bpf_probe_read_kernel(
		    c, sizeof(*c),
		    (void *)skb + bpf_core_field_offset(struct sk_buff, cb)))
		__builtin_memset(c, 0, sizeof(*c));
	if (!bpf_core_field_exists(struct unix_skb_parms, secid))
		c->secid = 0;
}

static __always_inline __u64 passed_files(struct sk_buff *skb)
{
	struct unix_skb_parms *cb =
		(void *)skb + bpf_core_field_offset(struct sk_buff, cb);

	return (__u64)BPF_CORE_READ(cb, fp);
}

#define SOCK_PASSCRED_BIT 3 /* include/linux/net.h */
#define SOCK_PASSSEC_BIT 4
#define SOCK_PASSPIDFD_BIT 7

/* What a receiver has asked to be told of its senders: enum passed_flags. */
static __always_inline __u32 asked_by(struct sock *to)
{
	struct sock___6_16 *asking = (void *)to;
	__u32 creds, security;
	struct socket *socket;
	unsigned long flags;

	if (bpf_core_field_exists(asking->sk_scm_recv_flags)) {
		flags = BPF_CORE_READ(asking, sk_scm_recv_flags);
		creds = flags & (1 << 0 | 1 << 2);
		security = flags & 1 << 1;
	} else {
		socket = BPF_CORE_READ(to, sk_socket);
		if (!socket)
			return 0;
		flags = BPF_CORE_READ(socket, flags);
		creds = flags &
			(1 << SOCK_PASSCRED_BIT | 1 << SOCK_PASSPIDFD_BIT);
		security = flags & 1 << SOCK_PASSSEC_BIT;
	}
	return (creds ? PASSED_ASKED : 0) | (security ? PASSED_SECURITY : 0);
}

/* The process of a pidfd, 0 if the file is none. */
static __always_inline __u32 pidfd_process(struct path_walk *w,
					   struct file *file,
					   struct inode *inode, __u32 magic)
{
	struct pid *pid = NULL;

	if (magic == PID_FS_MAGIC) /* v6.9 */
		pid = BPF_CORE_READ(inode, i_private);
	else if (magic == ANON_INODE_FS_MAGIC &&
		 *(__u64 *)w->names == PIDFD_NAME)
		pid = BPF_CORE_READ(file, private_data);
	return pid ? BPF_CORE_READ(pid, numbers[0].nr) : 0;
}

/* A namespace has its kind's name in the place of a path. */
static __always_inline void name_namespace(struct path_walk *w,
					   struct inode *inode)
{
	struct ns_common *ns = BPF_CORE_READ(inode, i_private);
	long n = bpf_probe_read_kernel_str(w->names, PATH_NAME,
					   BPF_CORE_READ(ns, ops, name));

	w->len = n > 0 ? n : 0;
	w->flags = PATH_LONE;
}

/*
 * Begins to tell of a file of a passage. Returns whether it has a path: to be
 * walked by who calls this, for callers' stacks add up.
 */
__attribute__((noinline)) int begin_file(__u64 passage, __u64 address,
					 __u32 index, __u32 number)
{
	struct file *file = (void *)address;
	struct inode *inode = BPF_CORE_READ(file, f_inode);
	struct path_walk *w = begin_walk();
	struct passed_event *e;

	if (!w) {
		count(LOSS_PASSED, 1);
		return 0;
	}
	e = walk_head(w, sizeof(*e));
	e->kind = EVENT_PASSED;
	e->what = PASSED_FILE;
	e->passage = passage;
	e->inode = BPF_CORE_READ(inode, i_ino);
	e->index = index;
	e->number = number;
	e->magic = BPF_CORE_READ(inode, i_sb, s_magic);
	e->mode = BPF_CORE_READ(inode, i_mode);
	if (e->magic == NSFS_MAGIC)
		name_namespace(w, inode);
	return e->magic != NSFS_MAGIC && e->magic != SOCKFS_MAGIC &&
	       e->magic != PIPEFS_MAGIC;
}

__attribute__((noinline)) int end_file(__u64 address)
{
	__u64 id = bpf_get_current_pid_tgid();
	struct path_walk *w = bpf_map_lookup_elem(&walks, &id);
	struct file *file = (void *)address;
	struct passed_event *e;

	if (!w)
		return 0;
	e = walk_head(w, sizeof(*e));
	e->flags = w->flags;
	e->pid = pidfd_process(w, file, BPF_CORE_READ(file, f_inode), e->magic);
	if (put_walk(w, sizeof(*e)))
		count(LOSS_PASSED, 1);
	end_walk();
	return 0;
}

/*
 * The number in the sender of a file that is the i-th of those that are passed,
 * all ones: unknown. For msg and sender see pass_files. The verifier looks at it
 * once, not for each of the most files that pass_files may have.
 */
__attribute__((noinline)) int passed_number(__u64 msg, __u64 sender, __u64 file,
					    __u32 i)
{
	if (msg)
		return number_of_file((void *)msg, i, file);
	return sender ? take_right(sender, file, i) : ~0U;
}

/*
 * Tells of some files of a list, from the i-th on. 1: there are no more. See
 * pass_files, of which the verifier would follow one long loop.
 */
__attribute__((noinline)) int pass_some(__u64 passage, __u64 address, __u64 msg,
					__u64 sender, __u32 i)
{
	struct scm_fp_list *list = (void *)address;
	__u32 k, n = BPF_CORE_READ(list, count), number;
	__u64 file;

	for (k = 0; k < SOME_PASSED; k++, i++) {
		if (i >= n)
			return 1;
		file = 0;
		bpf_probe_read_kernel(
			&file, sizeof(file),
			(void *)list +
				bpf_core_field_offset(struct scm_fp_list, fp) +
				i * sizeof(file));
		if (!file)
			return 1;
		number = passed_number(msg, sender, file, i);
		if (begin_file(passage, file, i, number))
			walk_path(file +
				  bpf_core_field_offset(struct file, f_path));
		end_file(file);
	}
	return 0;
}

/*
 * Tells of the files of a list, with their numbers in the sender: msg is what
 * the current task is sending, or sender the number of a socket whose rights
 * are noted; 0: neither. Returns how many there are.
 */
static __always_inline int pass_files(__u64 passage, __u64 address, __u64 msg,
				      __u64 sender)
{
	__u32 i;

	for (i = 0; i < MAX_PASSED; i += SOME_PASSED)
		if (pass_some(passage, address, msg, sender, i))
			break;
	return BPF_CORE_READ((struct scm_fp_list *)address, count);
}

/* Says which unit a passage belongs to. flags say what of the rest is true. */
static __always_inline void put_passage(__u64 passage, __u64 unit, __u32 files,
					struct control_block *c, __u32 flags)
{
	struct passed_event *e = bpf_ringbuf_reserve(&ring, sizeof(*e), 0);
	struct pid *pid = (void *)c->pid;

	if (!e) {
		count(LOSS_PASSED, 1);
		return;
	}
	__builtin_memset(e, 0, sizeof(*e));
	e->kind = EVENT_PASSED;
	e->what = PASSED_UNIT;
	e->flags = flags;
	e->count = files;
	e->passage = passage;
	e->unit = unit;
	e->pid = pid ? BPF_CORE_READ(pid, numbers[0].nr) : 0;
	e->uid = c->uid;
	e->gid = c->gid;
	e->secid = c->secid;
	bpf_ringbuf_submit(e, BPF_RB_NO_WAKEUP);
}

/* Whether the credentials are those of the current task. */
static __always_inline bool are_own(struct control_block *c)
{
	__u64 id = bpf_get_current_pid_tgid(), ugid = current_ids();
	struct pid *pid = (void *)c->pid;

	return c->uid == (__u32)ugid && c->gid == ugid >> 32 &&
	       (__u32)BPF_CORE_READ(pid, numbers[0].nr) == id >> 32;
}

/*
 * The current task is about to queue skb, as the unit, to a socket. Returns
 * DATA_CREDENTIALS if what the receiver gets are the sender's own; where the
 * unit is pending the kernel adds those later, because the receiver has asked.
 */
__attribute__((noinline)) int pass_sent(__u64 skb, __u64 unit, __u64 msg,
					__u64 to, __u32 pending)
{
	__u32 asked, flags = 0, files = 0, own = 0;
	struct control_block c;

	read_control(&c, (void *)skb);
	if (!c.fp && !c.pid && !c.secid && !pending)
		return 0;
	asked = asked_by((void *)to);
	if (c.pid && !are_own(&c))
		flags = PASSED_CRED | (asked & PASSED_ASKED);
	else if (asked & PASSED_ASKED)
		own = DATA_CREDENTIALS;
	if (c.secid)
		flags |= asked & PASSED_SECURITY;
	if (!c.fp && !flags)
		return own;
	if (c.fp)
		files = pass_files(unit, c.fp, msg, 0);
	put_passage(unit, unit, files, &c, flags);
	return own;
}

#endif
