/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
#ifndef SOCKCAP_CALIBRATE_H
#define SOCKCAP_CALIBRATE_H

#include "message.h"

/*
 * Finds page_base by a datagram that sockcap sends itself: its fragments
 * repeat 16 random bytes, so of all candidates the right one reads them. The
 * regions begin at multiples of 1 GiB (x86: PUD_SIZE with and without KASLR
 * and 5-level paging; arm64: at least), so candidates are 1 GiB apart, and
 * for a struct page of 64 bytes any multiple of 1 GiB below will do as
 * page_origin. An unmapped candidate only fails to be read.
 */

#define GIB (1ULL << 30)
#define CANDIDATES 256
#define CALIBRATE_PAGES 4

static __always_inline bool reads_magic(__u64 at)
{
	__u64 word[2] = {};

	return !bpf_probe_read_kernel(word, sizeof(word), (void *)at) &&
	       word[0] == calibrate_magic[0] && word[1] == calibrate_magic[1];
}

static __always_inline __u64 pages_from(__u64 page, __u64 origin)
{
	return (page - origin) / bpf_core_type_size(struct page) * page_size;
}

/* One candidate. Global, so that the loop over it is verified without it. */
__attribute__((noinline)) int try_base(__u64 base, __u64 distance)
{
	if (reads_magic(base + distance)) {
		calibrate_hits++;
		calibrate_base = base;
	}
	return 0;
}

__attribute__((noinline)) int try_page(__u64 at)
{
	if (reads_magic(at))
		calibrate_pages++;
	return 0;
}

__attribute__((noinline)) int calibrate(__u64 address)
{
	struct sk_buff *skb = (void *)address;
	__u64 head = (__u64)BPF_CORE_READ(skb, head);
	__u64 origin, base, frags, distance;
	struct frag f = {};
	__u32 i, n;

	if (!BPF_CORE_READ(skb, data_len))
		return 0;
	frags = frags_of(skb, &n);
	bpf_probe_read_kernel(&f, sizeof(f), (void *)frags);
	origin = f.page & ~(GIB - 1);
	if (bpf_core_type_size(struct page) == 64)
		origin -= 64 * GIB; /* room for 4 TiB of memory below it */
	distance = pages_from(f.page, origin);
	base = (head & ~(GIB - 1)) - (distance & ~(GIB - 1)) +
	       calibrate_from * GIB;
	calibrate_hits = 0;
	for (i = 0; i < CANDIDATES; i++)
		try_base(base + i * GIB, distance + f.offset);
	if (calibrate_hits != 1)
		return 0;
	calibrate_pages = 0;
	for (i = 0; i < CALIBRATE_PAGES && i < n; i++) {
		bpf_probe_read_kernel(&f, sizeof(f),
				      (void *)(frags + i * sizeof(f)));
		try_page(calibrate_base + pages_from(f.page, origin) +
			 f.offset);
	}
	if (calibrate_pages != i)
		return 0;
	page_origin = origin;
	page_base = calibrate_base;
	return 0;
}

#endif
