/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
#ifndef SOCKCAP_READ_H
#define SOCKCAP_READ_H

/*
 * Reads of kernel memory. bpf_probe_read_kernel is a call of some 30 ns, a
 * load through a pointer that the verifier takes for a typed one (v6.2) one of
 * 1 or 2; where the address is no good both give 0. As which type does not
 * matter: the verifier lets an integer be read in parts, and what is read is
 * then a number to it, from which all pointers are made here.
 */
enum special_kfunc_type___6_3 {
	KF_bpf_rdonly_cast___6_3,
};

extern void *bpf_rdonly_cast(const void *address, __u32 type) __ksym __weak;

/* Resolved when the programs are loaded; the verifier removes the other way. */
static __always_inline bool has_casts(void)
{
	return bpf_core_enum_value_exists(enum special_kfunc_type___6_3,
					  KF_bpf_rdonly_cast___6_3);
}

/*
 * Whether to walk from the current task by typed pointers, which need no helper
 * (v5.11). Loads by casts are as fast, and spare the verifier much: each time it
 * meets a pointer that is read through a trusted one, it looks through all
 * types of the kernel by name, several times, for one that says whether this may
 * be trusted too (v6.18: 60 % of the time that our programs took to load).
 */
static __always_inline bool walks_typed(void)
{
	return !has_casts() &&
	       bpf_core_enum_value_exists(enum bpf_func_id___5_11,
					  BPF_FUNC_get_current_task_btf);
}

static __always_inline const volatile void *as_integers(const void *address)
{
	return bpf_rdonly_cast(address,
			       bpf_core_type_id_kernel(struct pt_regs));
}

#define LOAD(type, at) \
	(*(type *)(to + (at)) = *(const volatile type *)(typed + (at)))

/* size is a constant, up to 64, and to as aligned as size is. */
static __always_inline long read_kernel(void *to, const __u32 size,
					const void *from)
{
	const volatile void *typed;
	__u32 i;

	if (!has_casts())
		return bpf_probe_read_kernel(to, size, from);
	typed = as_integers(from);
	if (size == 1)
		LOAD(__u8, 0);
	else if (size == 2)
		LOAD(__u16, 0);
	else if (size % 8)
#pragma unroll
		for (i = 0; i < size; i += 4)
			LOAD(__u32, i);
	else
#pragma unroll
		for (i = 0; i < size; i += 8)
			LOAD(__u64, i);
	return 0;
}

/* BPF_CORE_READ is made of these. */
#undef bpf_core_read
#define bpf_core_read(to, size, from) \
	read_kernel(to, size,         \
		    (const void *)__builtin_preserve_access_index(from))

#endif
