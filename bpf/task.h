/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
#ifndef SOCKCAP_TASK_H
#define SOCKCAP_TASK_H

#include "maps.h"
#include "read.h"

/* Who the current task is, and on which socket its system call works. */

#if defined(__TARGET_ARCH_x86)
#define NR_CLOSE 3
#define NR_READ 0
#define NR_READV 19
#define NR_ACCEPT 43
#define NR_ACCEPT4 288
#define NR_BIND 49
#define NR_CONNECT 42
#define NR_LISTEN 50
#define NR_RECVFROM 45
#define NR_RECVMSG 47
#define NR_RECVMMSG 299
#define NR_WRITE 1
#define NR_WRITEV 20
#define NR_PWRITEV2 328
#define NR_SENDTO 44
#define NR_SENDMSG 46
#define NR_SENDMMSG 307
#define NR_SENDFILE 40
#define NR_SPLICE 275
#define USER_CODE 0x33 /* __USER_CS */
#else
#define NR_CLOSE 57
#define NR_READ 63
#define NR_READV 65
#define NR_ACCEPT 202
#define NR_ACCEPT4 242
#define NR_BIND 200
#define NR_CONNECT 203
#define NR_LISTEN 201
#define NR_RECVFROM 207
#define NR_RECVMSG 212
#define NR_RECVMMSG 243
#define NR_WRITE 64
#define NR_WRITEV 66
#define NR_PWRITEV2 287
#define NR_SENDTO 206
#define NR_SENDMSG 211
#define NR_SENDMMSG 269
#define NR_SENDFILE 71
#define NR_SPLICE 76
#endif
#define NR_IO_URING_ENTER 426

static __always_inline void read_comm(char *comm, struct task_struct *task)
{
	read_kernel(comm, COMM_LEN,
		    (void *)task +
			    bpf_core_field_offset(struct task_struct, comm));
}

/* The name of the current task's thread group. */
static __always_inline void fill_comm(char *comm)
{
	struct task_struct *task = (void *)bpf_get_current_task();

	read_comm(comm, BPF_CORE_READ(task, group_leader));
}

/* That, and the name of the current task itself. */
static __always_inline void fill_comms(char *comm, char *thread)
{
	struct task_struct *task = (void *)bpf_get_current_task();

	read_comm(thread, task);
	read_comm(comm, BPF_CORE_READ(task, group_leader));
}

/*
 * The user and, above, the group of the current task: what the helper gives, which
 * takes five times as long to map each to itself.
 */
static __always_inline __u64 current_ids(void)
{
	struct task_struct *task;
	const struct cred *cred;

	if (!has_casts())
		return bpf_get_current_uid_gid();
	task = (void *)bpf_get_current_task();
	cred = BPF_CORE_READ(task, cred);
	return (__u64)BPF_CORE_READ(cred, gid.val) << 32 |
	       BPF_CORE_READ(cred, uid.val);
}

static __always_inline void fill_ids(struct task_id *t)
{
	__u64 id = bpf_get_current_pid_tgid(), ugid = current_ids();

	t->pid = id >> 32;
	t->tid = (__u32)id;
	t->uid = (__u32)ugid;
	t->gid = ugid >> 32;
}

static __always_inline void fill_task(struct task_id *t)
{
	fill_ids(t);
	fill_comms(t->comm, t->thread);
}

/* How often the current task has left a CPU. */
static __always_inline __u64 current_switches(void)
{
	struct task_struct *task;

	if (walks_typed()) {
		task = bpf_get_current_task_btf();
		return task->nvcsw + task->nivcsw;
	}
	task = (void *)bpf_get_current_task();
	return BPF_CORE_READ(task, nvcsw) + BPF_CORE_READ(task, nivcsw);
}

/* Whether the current task is ours, and what it does is left out. */
static __always_inline bool is_self(void)
{
	return bpf_get_current_pid_tgid() >> 32 == self_pid &&
	       !(include_self && armed);
}

/*
 * Where the kernel keeps a file of the current task, 0 if it has no such
 * descriptor.
 */
static __always_inline __u64 file_slot(__u64 fd)
{
	struct fdtable *table;
	__u32 most;
	__u64 slots;

	if (walks_typed()) {
		table = bpf_get_current_task_btf()->files->fdt;
		most = table->max_fds;
		slots = (__u64)table->fd;
	} else {
		table = BPF_CORE_READ(
			(struct task_struct *)bpf_get_current_task(), files,
			fdt);
		most = BPF_CORE_READ(table, max_fds);
		slots = (__u64)BPF_CORE_READ(table, fd);
	}
	return fd < most ? slots + fd * sizeof(void *) : 0;
}

/* The file behind a descriptor of the current task, 0 if there is none. */
static __always_inline __u64 file_at(__u64 fd)
{
	__u64 file = 0, slot = file_slot(fd);

	if (slot)
		read_kernel(&file, sizeof(file), (void *)slot);
	return file;
}

/* The socket that a file is, of any family, or NULL. */
static __always_inline struct sock *file_socket(__u64 file)
{
	__u64 socket = (__u64)BPF_CORE_READ((struct file *)file, private_data);
	struct {
		__u64 file, sk; /* next to each other in struct socket */
	} s = {};

	if (!socket)
		return NULL;
	read_kernel(&s, sizeof(s),
		    (void *)socket +
			    bpf_core_field_offset(struct socket, file));
	/* Of what is no socket these bytes mean something else. */
	return s.file == file ? (struct sock *)s.sk : NULL;
}

/* Whether who asks has the only reference to a file. */
static __always_inline bool is_last(__u64 address)
{
	struct file___6_13 *counted = (void *)address;
	struct file *file = (void *)address;

	if (bpf_core_field_exists(file->f_count))
		return BPF_CORE_READ(file, f_count.counter) == 1;
	return BPF_CORE_READ(counted, f_ref.refcnt.counter) == 0;
}

/* The socket behind a descriptor of the current task, of any family, or NULL. */
static __always_inline struct sock *any_socket_at(__u64 fd)
{
	__u64 file = file_at(fd);

	return file ? file_socket(file) : NULL;
}

/* The AF_UNIX socket behind a descriptor of the current task, or NULL. */
static __always_inline struct sock *socket_at(__u64 fd)
{
	struct sock *sk = any_socket_at(fd);

	if (!sk || BPF_CORE_READ(sk, __sk_common.skc_family) != AF_UNIX)
		return NULL;
	return sk;
}

/* A system call as it was entered, from the registers saved on the stack. */
struct syscall {
	__s64 nr; /* -1: the task is in none */
	__u64 arg1, arg3;
};

#if defined(__TARGET_ARCH_x86)
/* The part of struct pt_regs that we need, to spare the stack. */
struct saved_regs {
	unsigned long dx, si, di, orig_ax, ip, cs;
};

static __always_inline bool read_saved(struct saved_regs *r, __u64 top)
{
	__u64 at = top - sizeof(struct pt_regs) + offsetof(struct pt_regs, dx);

	return !read_kernel(r, sizeof(*r), (void *)at) &&
	       (r->cs & 0xffff) == USER_CODE;
}

/* A function of its own, because callers' stacks add up. */
static __noinline int saved_syscall(struct task_struct *task, struct syscall *s)
{
	__u64 top = (__u64)BPF_CORE_READ(task, stack) + thread_size;
	struct saved_regs r;

	s->nr = -1;
	/* FRED (v6.9) pads the top of the stack by 16 bytes. */
	if (!read_saved(&r, top) && !read_saved(&r, top - 16))
		return 0;
	s->nr = (__s64)r.orig_ax;
	s->arg1 = (__u32)r.di;
	s->arg3 = (__u32)r.dx;
	return 0;
}
#else
static __noinline int saved_syscall(struct task_struct *task, struct syscall *s)
{
	struct pt_regs *r = (void *)BPF_CORE_READ(task, stack) + thread_size -
			    bpf_core_type_size(struct pt_regs);

	/* v5.10: el0 saves x0 to orig_x0, but a syscall keeps it in regs[0]. */
	s->nr = BPF_CORE_READ(r, syscallno);
	s->arg1 = (__u32)BPF_CORE_READ(r, user_regs.regs[0]);
	s->arg3 = (__u32)BPF_CORE_READ(r, user_regs.regs[2]);
	return 0;
}
#endif

/* The current system call is one of those whose begin a program tells of. */
static __always_inline bool in_watched_syscall(void)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	struct syscall s;

	if (BPF_CORE_READ(task, flags) & (PF_IO_WORKER | PF_KTHREAD))
		return false;
	saved_syscall(task, &s);
	return s.nr == NR_WRITE || s.nr == NR_WRITEV || s.nr == NR_PWRITEV2 ||
	       s.nr == NR_SENDTO || s.nr == NR_SENDMSG || s.nr == NR_SENDMMSG ||
	       s.nr == NR_SENDFILE || s.nr == NR_SPLICE;
}

/*
 * The AF_UNIX socket that the current system call names; *ring says that the
 * task works for io_uring, where registers name none.
 */
static __always_inline struct sock *syscall_socket(bool *ring)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	unsigned int flags = BPF_CORE_READ(task, flags);
	struct syscall s;
	struct sock *sk;

	*ring = flags & PF_IO_WORKER;
	if (flags & (PF_IO_WORKER | PF_KTHREAD))
		return NULL;
	saved_syscall(task, &s);
	if (s.nr < 0)
		return NULL;
	*ring = s.nr == NR_IO_URING_ENTER;
	if (*ring)
		return NULL;
	sk = socket_at(s.arg1);
	if (!sk && s.nr == NR_SPLICE)
		sk = socket_at(s.arg3);
	return sk;
}

#endif
