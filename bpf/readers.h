/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
#ifndef SOCKCAP_READERS_H
#define SOCKCAP_READERS_H

#include "filter.h"
#include "message.h"
#include "process.h"

/*
 * Who reads a socket. A record names its reader by pid and tid; its names and
 * ids go up once, in one of the socket's places (socket_state.readers), of which
 * the record says the number. User space has the same places.
 */

struct reader_names {
	char comm[COMM_LEN];
	char thread[COMM_LEN];
};

/* A number for the current task of a process under these names, never 0. */
static __always_inline __u32 reader_key(struct reader_names *n, __u32 process)
{
	const __u64 *words = (const void *)n;
	__u64 h = mix(bpf_get_current_pid_tgid(), current_ids());

	h = mix(mix(h, words[0]), words[1]);
	h = mix(mix(mix(h, words[2]), words[3]), process);
	return (__u32)h ?: 1;
}

static __always_inline int tell_reader(struct socket_state *receiver,
				       struct reader_names *n, __u32 place,
				       __u32 process)
{
	__u64 id = bpf_get_current_pid_tgid(), ugid = current_ids();
	struct reader_event *e = bpf_ringbuf_reserve(&ring, sizeof(*e), 0);

	if (!e) {
		count(LOSS_NOTE, 1);
		return -1;
	}
	e->kind = EVENT_READER;
	e->place = place;
	e->pad = 0;
	e->pid = id >> 32;
	e->tid = (__u32)id;
	e->uid = (__u32)ugid;
	e->gid = ugid >> 32;
	e->process = process;
	e->time = bpf_ktime_get_boot_ns();
	e->receiver = receiver->number;
	__builtin_memcpy(e->comm, n->comm, COMM_LEN);
	__builtin_memcpy(e->thread, n->thread, COMM_LEN);
	bpf_ringbuf_submit(e, wakeup_flags());
	return 0;
}

/*
 * Notes that the current task reads a socket, or has accepted it, and tells who
 * it is if that is news. said: a record says that it was this one. Gives its
 * place, READERS if it could not be told. A function of its own, because
 * callers' stacks add up.
 */
static __noinline int note_reader(struct socket_state *receiver,
				  struct end *end, __u32 process, bool said)
{
	struct reader_names n = {};
	__u32 key, i, place = READERS;
	bool news;

	fill_comms(n.comm, n.thread);
	key = reader_key(&n, process);
#pragma unroll
	for (i = 0; i < READERS; i++)
		if (receiver->readers[i] == key)
			place = i;
	news = place == READERS || (!said && place != receiver->reading);
	if (place == READERS)
		place = (receiver->reading + 1) % READERS;
	if (news) {
		if (tell_reader(receiver, &n, place, process))
			return READERS;
		receiver->readers[place % READERS] = key;
	}
	receiver->reading = place;
	receiver->reader = bpf_get_current_pid_tgid() >> 32;
	if (end)
		set_reader(end, n.comm);
	return place;
}

/* A queued unit was read, or thrown away, by the current task. */
static __always_inline int put_read_event(__u16 flags, __u64 unit, int place)
{
	struct read_event *e = bpf_ringbuf_reserve(&ring, sizeof(*e), 0);
	__u64 id = bpf_get_current_pid_tgid();

	if (!e) {
		count(LOSS_NOTE, 1);
		return 0;
	}
	e->kind = EVENT_CONSUMED;
	e->place = place;
	e->flags = flags;
	e->pid = id >> 32;
	e->tid = (__u32)id;
	e->pad = 0;
	e->time = bpf_ktime_get_boot_ns();
	e->unit = unit;
	bpf_ringbuf_submit(e, wakeup_flags());
	return 0;
}

#endif
