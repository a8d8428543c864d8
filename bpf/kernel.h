/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
#ifndef SOCKCAP_KERNEL_H
#define SOCKCAP_KERNEL_H

/*
 * The kernel's types as far as we read them, relocated by CO-RE at load time,
 * and every difference between kernels, one function each. No vmlinux.h.
 */

#define __VMLINUX_H__ 1 /* bpf_tracing.h: pt_regs has the kernel's names */

typedef unsigned char __u8;
typedef unsigned short __u16;
typedef unsigned int __u32;
typedef unsigned long long __u64;
typedef signed short __s16;
typedef signed int __s32;
typedef signed long long __s64;
typedef __u16 __be16;
typedef __u32 __be32;
typedef __u32 __wsum;
typedef __u8 u8;
typedef __u16 u16;
typedef __u32 u32;
typedef __u64 u64;
typedef __s64 s64;
typedef _Bool bool;
enum { false, true };
#define NULL ((void *)0)
#define offsetof(type, member) __builtin_offsetof(type, member)

/* include/uapi/linux/bpf.h */
enum {
	BPF_MAP_TYPE_HASH = 1,
	BPF_MAP_TYPE_ARRAY = 2,
	BPF_MAP_TYPE_PERCPU_ARRAY = 6,
	BPF_MAP_TYPE_LRU_HASH = 9,
	BPF_MAP_TYPE_RINGBUF = 27,
};
enum { BPF_ANY, BPF_NOEXIST, BPF_EXIST };
enum { BPF_RB_NO_WAKEUP = 1, BPF_RB_FORCE_WAKEUP = 2 };
enum { BPF_RB_AVAIL_DATA = 0 };
enum bpf_func_id___5_11 {
	BPF_FUNC_get_current_task_btf = 158,
};

#define EEXIST 17
#define BPF_F_MMAPABLE 1024
#define AF_UNIX 1
#define SOCK_STREAM 1
#define SOCK_DGRAM 2
#define SOCK_SEQPACKET 5
#define MSG_OOB 1
#define TCP_LISTEN 10
#define PF_IO_WORKER 0x00000010 /* include/linux/sched.h */
#define PF_KTHREAD 0x00200000
#define SOCK_DEAD_BIT 0

/* Calling conventions: fixed layouts, not relocated. */
#if defined(__TARGET_ARCH_x86)
struct pt_regs {
	unsigned long r15, r14, r13, r12, bp, bx, r11, r10, r9, r8, ax, cx, dx;
	unsigned long si, di, orig_ax, ip, cs, flags, sp, ss;
};
#elif defined(__TARGET_ARCH_arm64)
struct user_pt_regs {
	__u64 regs[31];
	__u64 sp;
	__u64 pc;
	__u64 pstate;
};
struct pt_regs;
#else
#error "sockcap: no calling convention for this architecture"
#endif

struct bpf_raw_tracepoint_args {
	__u64 args[0];
};

#pragma clang attribute push(__attribute__((preserve_access_index)), \
			     apply_to = record)

#if defined(__TARGET_ARCH_arm64)
struct pt_regs {
	struct user_pt_regs user_regs;
	__s32 syscallno;
};
#endif

struct refcount {
	struct {
		int counter;
	} refs;
};

struct proc_ns_operations {
	const char *name;
};

struct ns_common {
	const struct proc_ns_operations *ops;
	unsigned int inum;
};

struct pid_namespace {
	struct ns_common ns;
};

struct upid {
	int nr;
	struct pid_namespace *ns;
};

struct pid {
	unsigned int level;
	struct upid numbers[1];
};

struct kuid {
	__u32 val;
};

struct cred {
	struct kuid uid;
	struct kuid gid;
	struct kuid euid;
	struct kuid egid;
};

struct super_block {
	__u32 s_dev;
	unsigned long s_magic;
};

struct inode {
	unsigned short i_mode;
	unsigned long i_ino;
	struct super_block *i_sb;
	void *i_private;
};

struct hlist_bl_node {
	struct hlist_bl_node **pprev;
};

struct qstr {
	__u64 hash_len; /* length in the upper half */
	const unsigned char *name;
};

struct dentry {
	struct hlist_bl_node d_hash;
	struct dentry *d_parent;
	struct qstr d_name;
	struct inode *d_inode;
};

struct vfsmount {
	struct dentry *mnt_root;
};

struct mount {
	struct mount *mnt_parent;
	struct dentry *mnt_mountpoint;
	struct vfsmount mnt;
};

struct path {
	struct vfsmount *mnt;
	struct dentry *dentry;
};

struct file {
	struct path f_path;
	struct inode *f_inode;
	void *private_data;
	struct {
		long counter;
	} f_count;
};

/* v6.13: file_ref_t, which counts from 0 (include/linux/file_ref.h). */
struct file___6_13 {
	struct {
		struct {
			long counter;
		} refcnt;
	} f_ref;
};

struct fdtable {
	unsigned int max_fds;
	struct file **fd;
	unsigned long *open_fds;
};

struct files_struct {
	struct {
		int counter;
	} count;
	struct fdtable *fdt;
};

struct signal_struct {
	struct {
		int counter;
	} live; /* threads that have not ended */
	int nr_threads;
};

struct kernfs_node {
	const char *name;
	struct kernfs_node *parent;
};

/* v6.15: it is read under RCU. */
struct kernfs_node___6_15 {
	struct kernfs_node *__parent;
};

struct cgroup {
	struct kernfs_node *kn;
};

struct cgroup_subsys_state {
	struct cgroup *cgroup;
};

enum cgroup_subsys_id {
	cpu_cgrp_id,
	memory_cgrp_id,
	devices_cgrp_id,
	pids_cgrp_id,
};

struct css_set {
	struct cgroup_subsys_state *subsys[1]; /* by enum cgroup_subsys_id */
	struct cgroup *dfl_cgrp;
};

struct mm_struct {
	struct file *exe_file;
	unsigned long arg_start, arg_end;
};

struct task_struct {
	void *stack;
	struct files_struct *files;
	unsigned int flags;
	int pid; /* of the thread */
	int tgid;
	struct signal_struct *signal;
	struct task_struct *group_leader;
	struct task_struct *real_parent;
	struct pid *thread_pid;
	struct mm_struct *mm;
	const struct cred *cred;
	struct css_set *cgroups;
	__u64 start_boottime;
	__u64 self_exec_id; /* counts exec; up to v5.6 32 bits */
	char comm[16];
	unsigned long nvcsw;
	unsigned long nivcsw;
};

struct net {
	struct ns_common ns;
};

struct sock_common {
	unsigned short skc_family;
	volatile unsigned char skc_state;
	struct {
		struct net *net;
	} skc_net;
	unsigned long skc_flags;
};

struct sk_buff;
struct sock;

struct socket {
	unsigned long flags;
	struct file *file;
	struct sock *sk;
};

struct socket_alloc {
	struct socket socket;
	struct inode vfs_inode;
};

struct sk_buff_head {
	struct sk_buff *next;
	struct sk_buff *prev;
};

struct sock {
	struct sock_common __sk_common;
	__u16 sk_type;
	unsigned long sk_ino; /* v6.17: of its socket */
	struct socket *sk_socket;
	struct sk_buff_head sk_receive_queue;
	struct refcount sk_wmem_alloc;
	struct pid *sk_peer_pid;
	const struct cred *sk_peer_cred;
};

/* v6.16: what a receiver has asked for; before, bits of struct socket's flags. */
struct sock___6_16 {
	__u8 sk_scm_recv_flags;
};

struct sockaddr_un {
	__u16 sun_family;
	char sun_path[108];
};

struct unix_address {
	struct refcount refcnt;
	int len; /* of name, its family included */
	struct sockaddr_un name[0];
};

struct unix_sock {
	struct sock sk;
	struct unix_address *addr;
	struct path path;
	struct sock *peer;
};

struct page {
	unsigned long flags;
};

struct skb_frag { /* 16 bytes in every kernel, see frags_of() */
	unsigned long head;
};

struct skb_shared_info {
	__u8 nr_frags;
	struct skb_frag frags[1];
};

struct sk_buff {
	struct sk_buff *next;
	struct sk_buff *prev;
	struct sock *sk;
	char cb[48];
	void (*destructor)(struct sk_buff *skb);
	unsigned int len, data_len;
	unsigned int end;
	unsigned int truesize;
	unsigned char *head, *data;
};

struct msghdr {
	void *msg_control; /* the kernel's copy */
	unsigned int msg_flags;
	unsigned long msg_controllen;
};

/* In sk_buff.cb of AF_UNIX. */
struct unix_skb_parms {
	struct pid *pid;
	struct kuid uid;
	struct kuid gid;
	struct scm_fp_list *fp;
	__u32 secid; /* with CONFIG_SECURITY_NETWORK */
};

struct scm_fp_list {
	short count;
	struct file *fp[1];
};

struct seq_file;

struct bpf_iter_meta {
	struct seq_file *seq;
};

struct bpf_iter__unix {
	struct bpf_iter_meta *meta;
	struct unix_sock *unix_sk;
	__u32 uid;
};

#pragma clang attribute pop

#endif
