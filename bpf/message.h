/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
#ifndef SOCKCAP_MESSAGE_H
#define SOCKCAP_MESSAGE_H

#include "maps.h"
#include "socket.h"
#include "task.h"

/*
 * Bytes of an skb into the ring. The skb is ours alone meanwhile: not yet
 * queued, under its queue's lock, or about to be freed.
 */

#define PIECE 32768   /* largest piece; beyond: more pieces */
#define SMALL 4096    /* up to here without a loop */
#define MAX_PARTS 16  /* of linear data (5 MiB: kmalloc gives 4) */
#define MAX_PIECES 10 /* of one part */
#define MAX_FRAGS 45  /* CONFIG_MAX_SKB_FRAGS goes to 45; usual: 17 */

/*
 * Whether a record wakes the reader: the first one if he has found nothing to do
 * and sleeps. (One that is on its way as he lies down may not: he sleeps for a
 * while only.)
 */
static __always_inline __u64 wakeup_flags(void)
{
	if (!wakeup_bytes)
		return 0;
	if (*(volatile bool *)&reader_sleeps) {
		*(volatile bool *)&reader_sleeps = false;
		return BPF_RB_FORCE_WAKEUP;
	}
	if (bpf_ringbuf_query(&ring, BPF_RB_AVAIL_DATA) >= wakeup_bytes)
		return BPF_RB_FORCE_WAKEUP;
	return BPF_RB_NO_WAKEUP;
}

/* The ring buffer has no room for a record. */
static __always_inline void count_full(struct data_event *e)
{
	if (e->at)
		count(LOSS_REST, 1);
	else if (!(e->flags & DATA_UNASKED))
		count(LOSS_RING, 1);
}

/*
 * bpf_ringbuf_reserve wants a constant size: the smallest class that fits.
 * The empty asm keeps clang from proving the bound and dropping the test that
 * the verifier needs.
 */
#define PUT(CLASS)                                                             \
	do {                                                                   \
		struct {                                                       \
			struct data_event e;                                   \
			__u8 bytes[CLASS];                                     \
		} *r = bpf_ringbuf_reserve(&ring, sizeof(*r), 0);              \
		__u32 n = size;                                                \
                                                                               \
		if (!r) {                                                      \
			count_full(e);                                         \
			return 1;                                              \
		}                                                              \
		__builtin_memcpy(&r->e, e, sizeof(*e));                        \
		asm volatile("" : "+r"(n));                                    \
		if (n > CLASS)                                                 \
			n = CLASS;                                             \
		r->e.size = n;                                                 \
		if (n && (!from ||                                             \
			  bpf_probe_read_kernel(r->bytes, n, (void *)from))) { \
			count(LOSS_UNREADABLE, 1);                             \
			r->e.flags |= DATA_UNREADABLE;                         \
		}                                                              \
		bpf_ringbuf_submit(r, wakeup_flags());                         \
		return 0;                                                      \
	} while (0)

/* One record of at most SMALL bytes. */
static __noinline int put_small(struct data_event *e, __u64 from, __u32 size)
{
	if (size <= 64)
		PUT(64);
	if (size <= 256)
		PUT(256);
	if (size <= 1024)
		PUT(1024);
	PUT(SMALL);
}

/* The job of the current task. */
static __always_inline __u64 job_key(void)
{
	return bpf_get_current_pid_tgid();
}

/*
 * One piece of the task's job. A global function is verified by itself, once,
 * and may only take scalars (v5.10). Returns 1 when no more is wanted.
 */
__attribute__((noinline)) int put_piece(__u64 key, __u64 from, __u32 size)
{
	struct job *job = bpf_map_lookup_elem(&jobs, &key);
	struct data_event *e;

	if (!job)
		return 1;
	e = &job->event;
	if (size > job->left)
		size = job->left;
	job->left -= size;
	if (size <= 1024) {
		if (size <= 64)
			PUT(64);
		PUT(1024);
	}
	if (size <= SMALL)
		PUT(SMALL);
	if (size <= 8192)
		PUT(8192);
	if (size <= 16384)
		PUT(16384);
	PUT(PIECE);
}

/* As much of size bytes at from as a few pieces hold: how much, -1: no more. */
__attribute__((noinline)) int put_part(__u64 key, __u64 from, __u32 size)
{
	struct job *job;
	__u32 i, n, done = 0;

	for (i = 0; i < MAX_PIECES && done < size; i++) {
		n = size - done > PIECE ? PIECE : size - done;
		if (put_piece(key, from ? from + done : 0, n))
			return -1;
		job = bpf_map_lookup_elem(&jobs, &key);
		if (!job)
			return -1;
		job->told = 1;
		if (!job->left)
			return -1;
		job->event.at += n;
		done += n;
	}
	return done;
}

/*
 * size bytes at from, in pieces. Returns 1 when no more is wanted. Two loops, so
 * that the verifier follows no long one.
 */
__attribute__((noinline)) int put_run(__u64 key, __u64 from, __u32 size)
{
	int i, n;

	for (i = 0; i < MAX_PARTS && size; i++) {
		n = put_part(key, from, size);
		if (n < 0)
			return 1;
		if (from)
			from += n;
		size -= n;
	}
	if (size)
		count(LOSS_LONG, 1);
	return 0;
}

/* Where a page lies in the linear map, 0 if that is not known. */
static __always_inline __u64 page_address(__u64 page)
{
	if (!page_base)
		return 0;
	return page_base + (page - page_origin) /
				   bpf_core_type_size(struct page) * page_size;
}

/* skb_frag_t: a page (or netmem, v6.10), a length, an offset; always so. */
struct frag {
	__u64 page;
	__u32 len;
	__u32 offset;
};

static __always_inline __u64 frags_of(struct sk_buff *skb, __u32 *n)
{
	__u64 info = (__u64)BPF_CORE_READ(skb, head) + BPF_CORE_READ(skb, end);

	*n = BPF_CORE_READ((struct skb_shared_info *)info, nr_frags);
	return info + bpf_core_field_offset(struct skb_shared_info, frags);
}

/* All of an skb, by the task's job. */
__attribute__((noinline)) int put_skb(__u64 key, __u64 address)
{
	struct sk_buff *skb = (void *)address;
	__u32 len = BPF_CORE_READ(skb, len),
	      more = BPF_CORE_READ(skb, data_len);
	__u64 frags, at;
	__u32 i, n;

	if (put_run(key, (__u64)BPF_CORE_READ(skb, data), len - more) || !more)
		return 0;
	frags = frags_of(skb, &n);
	for (i = 0; i < MAX_FRAGS && i < n; i++) {
		struct frag f = {};

		bpf_probe_read_kernel(&f, sizeof(f),
				      (void *)(frags + i * sizeof(f)));
		at = page_address(f.page);
		if (put_run(key, at ? at + f.offset : 0, f.len))
			return 0;
	}
	return 0;
}

/* Each record says how many were lost before it: that is where. */
static __always_inline __u64 lost_units(void)
{
	return *(volatile __u64 *)&counters[LOSS_RING] +
	       *(volatile __u64 *)&counters[LOSS_MAP];
}

#define HANDED_OVER (-1)
#define TO_BE_HANDED_OVER (-2)
#define NOT_ASKED (-3) /* there was no room for it, and it is not lost */

/* As what a unit counts of which nothing found room. */
static __always_inline int not_handed_over(struct data_event *e)
{
	return e->flags & DATA_UNASKED ? NOT_ASKED : LOSS_RING;
}

/*
 * An skb's bytes, under the job's header, which lacks only the lengths; more
 * than a little of them with finish_unit, which has the same stack to itself.
 */
static __always_inline int begin_unit(struct job *job, struct sk_buff *skb)
{
	__u32 len = BPF_CORE_READ(skb, len),
	      more = BPF_CORE_READ(skb, data_len);
	__u64 key = job_key();

	count(COUNT_UNITS, 1);
	job->event.total = len;
	job->event.lost = lost_units();
	job->left = snaplen;
	if (!more && len <= SMALL)
		return put_small(&job->event, (__u64)BPF_CORE_READ(skb, data),
				 len > snaplen ? snaplen : len) ?
			       not_handed_over(&job->event) :
			       HANDED_OVER;
	if (bpf_map_update_elem(&jobs, &key, job, BPF_ANY)) {
		count(LOSS_MAP, 1);
		return LOSS_MAP;
	}
	return TO_BE_HANDED_OVER;
}

static __always_inline int finish_unit(struct sk_buff *skb)
{
	__u64 key = job_key();
	struct job *job;
	int done = LOSS_RING;

	put_skb(key, (__u64)skb);
	job = bpf_map_lookup_elem(&jobs, &key);
	if (job)
		done = job->told ? HANDED_OVER : not_handed_over(&job->event);
	bpf_map_delete_elem(&jobs, &key);
	return done;
}

/* Both. If not even the first byte could be handed over: as what was it lost? */
static __always_inline int put_unit(struct job *job, struct sk_buff *skb)
{
	int done = begin_unit(job, skb);

	return done == TO_BE_HANDED_OVER ? finish_unit(skb) : done;
}

#endif
