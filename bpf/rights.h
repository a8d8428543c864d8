/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
#ifndef SOCKCAP_RIGHTS_H
#define SOCKCAP_RIGHTS_H

#include "task.h"

/*
 * The numbers that passed descriptors have in their sender: its control messages
 * alone say them (SCM_RIGHTS), an skb only has the files.
 */

#define MAX_CONTROL 32 /* control messages; beyond: numbers unknown */
#define SCM_RIGHTS 1
#define SOL_SOCKET 1

#define NO_NUMBER (-1)
#define UNREADABLE (-2)

/*
 * The i-th descriptor in a sender's control messages, of the kernel's copy or
 * in user space. NO_NUMBER: there is none. UNREADABLE: there may be, but its
 * page is not there, or it is behind MAX_CONTROL messages.
 */
__attribute__((noinline)) int number_in(__u64 at, __u64 left, __u32 i,
					__u32 user)
{
	struct {
		__u64 len;
		__u32 level, type;
	} head;
	__u32 n, k;
	int number;

	for (k = 0; k < MAX_CONTROL; k++) {
		if (left < sizeof(head))
			return NO_NUMBER;
		if (user ? bpf_probe_read_user(&head, sizeof(head),
					       (void *)at) :
			   bpf_probe_read_kernel(&head, sizeof(head),
						 (void *)at))
			return UNREADABLE;
		if (head.len < sizeof(head) || head.len > left)
			return NO_NUMBER;
		if (head.level == SOL_SOCKET && head.type == SCM_RIGHTS) {
			n = (head.len - sizeof(head)) / sizeof(number);
			if (i < n) {
				at += sizeof(head) + i * sizeof(number);
				if (user ? bpf_probe_read_user(&number,
							       sizeof(number),
							       (void *)at) :
					   bpf_probe_read_kernel(&number,
								 sizeof(number),
								 (void *)at))
					return UNREADABLE;
				return number;
			}
			i -= n;
		}
		head.len = (head.len + 7) & ~7ULL;
		if (head.len >= left)
			return NO_NUMBER;
		at += head.len;
		left -= head.len;
	}
	return UNREADABLE;
}

/* The same of a message that the current task is sending. */
static __always_inline __u32 number_of_file(struct msghdr *msg, __u32 i,
					    __u64 file)
{
	__u32 number = number_in((__u64)BPF_CORE_READ(msg, msg_control),
				 BPF_CORE_READ(msg, msg_controllen), i, 0);

	return file_at(number) == file ? number : ~0U;
}

/*
 * The numbers of descriptors in their senders, for the receive side: noted when
 * a system call begins to send them. It may fail, and the same file be passed
 * under another number meanwhile: then neither is told.
 */
struct right {
	__u64 sender; /* socket_state.number */
	__u64 file;
	__u64 index; /* its place in the message */
};

struct right_number {
	__u32 number; /* ~0: several */
	__u32 sent;   /* not seen to be taken yet */
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, struct right);
	__type(value, struct right_number);
} rights SEC(".maps");

static __always_inline void note_right(struct right *r, __u32 number)
{
	struct right_number *known = bpf_map_lookup_elem(&rights, r);
	struct right_number fresh = { number, 1 };

	if (!known) {
		bpf_map_update_elem(&rights, r, &fresh, BPF_ANY);
		return;
	}
	if (known->number != number)
		*(volatile __u32 *)&known->number = ~0U;
	__sync_fetch_and_add(&known->sent, 1);
}

/* One of the messages that pass it is being taken. */
static __always_inline __u32 take_right(__u64 sender, __u64 file, __u64 index)
{
	struct right r = { sender, file, index };
	struct right_number *known = bpf_map_lookup_elem(&rights, &r);
	__u32 number;

	if (!known)
		return ~0U;
	number = *(volatile __u32 *)&known->number;
	__sync_fetch_and_add(&known->sent, -1);
	if (!*(volatile __u32 *)&known->sent)
		bpf_map_delete_elem(&rights, &r);
	return number;
}

#endif
