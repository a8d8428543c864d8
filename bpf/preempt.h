/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
#ifndef SOCKCAP_PREEMPT_H
#define SOCKCAP_PREEMPT_H

#include "maps.h"

/*
 * Some programs may be preempted: fentry and fexit on kernels that preempt
 * tasks anywhere, those of system call tracepoints since the kernel has
 * trace_call_bpf_faultable (v7.1). While a task is preempted inside one, the
 * kernel skips that program for all others on the CPU. Since v6.10 a program
 * can say no; what is left is the moment until it has said so, and its end: who
 * is to be preempted since then is as it allows that again, still inside.
 */
extern void bpf_preempt_disable(void) __ksym __weak;
extern void bpf_preempt_enable(void) __ksym __weak;

/* Does the work and returns from the program. */
#define UNINTERRUPTED(work)                    \
	do {                                   \
		if (hold_cpu)                  \
			bpf_preempt_disable(); \
		work;                          \
		if (hold_cpu)                  \
			bpf_preempt_enable();  \
		return 0;                      \
	} while (0)

#endif
