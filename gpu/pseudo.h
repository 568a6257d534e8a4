/* SPDX-License-Identifier: MIT
 *
 * What has been established of a target's kernel so that signals can be sent into it: where members and
 * symbols are, which parts are on, which memory nothing in it uses. Plain data that the host fills in (targets/pseudo.c)
 * and that is copied as it is into device memory; reading and storing by it, for both.
 *
 * Stores. Where `atomics` is set words are changed by atomic operations, as another CPU of the guest would. A GPU that has none
 * for host memory changes the narrowest piece by a read and a plain store, where the code that does it says why that is enough.
 */
#ifndef GPUFAS_GPU_PSEUDO_H
#define GPUFAS_GPU_PSEUDO_H

#include "gpufas/event.h"
#include "gpu/kmem.h"
#include "gpu/pulse.h"

/* What needs a member, a symbol or an enumerator. */
enum pseudo_part {
	PART_TASK = 1,   /* finding and judging a task: without it nothing works */
	PART_STORE = 2,
	PART_SEND = 4,   /* irq_work, the kernel's sender */
	PART_WAKE = 8,   /* irq_work, wake only */
	PART_FREEZE = 16,
	PART_RLIMIT = 32,
	PART_RLIMIT_CPU = 64,
	PART_CGROUP = 128,
	PART_MEMORY = 256,
	PART_PIDS = 512,
	PART_CPU = 1024,
};
#define PSEUDO_PARTS 11u

/* Members, by name: pseudo_layout.c has where they are looked up. */
#define PSEUDO_MEMBERS(X) \
	X(TASK_PID, "task_struct", "pid", 4, PART_TASK) \
	X(TASK_TGID, "task_struct", "tgid", 4, PART_TASK) \
	X(TASK_FLAGS, "task_struct", "flags", 4, PART_TASK) \
	X(TASK_EXIT_STATE, "task_struct", "exit_state", 4, PART_TASK) \
	X(TASK_STATE, "task_struct", "__state|state", 0, PART_TASK) \
	X(TASK_ON_RQ, "task_struct", "on_rq", 4, PART_TASK) \
	X(TASK_ON_CPU, "task_struct", "on_cpu", 4, 0) \
	X(TASK_PTRACE, "task_struct", "ptrace", 4, PART_TASK) \
	X(TASK_SIGNAL, "task_struct", "signal", 8, PART_TASK) \
	X(TASK_SIGHAND, "task_struct", "sighand", 8, PART_TASK) \
	X(TASK_BLOCKED, "task_struct", "blocked", 8, PART_TASK) \
	X(TASK_START, "task_struct", "start_boottime|real_start_time", 8, PART_TASK) \
	X(TASK_THREAD_PID, "task_struct", "thread_pid", 8, 0) \
	X(TASK_LINK_TGID, "task_struct", "pid_links[1]", 16, PART_TASK) \
	X(TASK_THREAD_NODE, "task_struct", "thread_node", 16, PART_TASK) \
	X(TASK_TI_FLAGS, "task_struct", "thread_info.flags", 8, PART_STORE | PART_FREEZE) \
	X(TASK_PENDING, "task_struct", "pending.signal", 8, PART_TASK) \
	X(TASK_JOBCTL, "task_struct", "jobctl", 8, PART_FREEZE) \
	X(TASK_USAGE, "task_struct", "usage", 4, PART_WAKE) \
	X(TASK_UTIME, "task_struct", "utime", 8, PART_RLIMIT_CPU) \
	X(TASK_STIME, "task_struct", "stime", 8, PART_RLIMIT_CPU) \
	X(TASK_RUNTIME, "task_struct", "se.sum_exec_runtime", 8, PART_RLIMIT_CPU) \
	X(TASK_CGROUPS, "task_struct", "cgroups", 8, PART_CGROUP) \
	X(SIG_FLAGS, "signal_struct", "flags", 4, PART_TASK) \
	X(SIG_THREADS, "signal_struct", "thread_head", 16, PART_TASK) \
	X(SIG_NR_THREADS, "signal_struct", "nr_threads", 4, PART_TASK) \
	X(SIG_SHARED, "signal_struct", "shared_pending.signal", 8, PART_TASK) \
	X(SIG_RLIM, "signal_struct", "rlim", 256, PART_RLIMIT) \
	X(SIG_CPU_NEXT, "signal_struct", "posix_cputimers.bases[0].nextevt", 8, PART_RLIMIT_CPU) \
	X(SIG_CPU_ACTIVE, "signal_struct", "posix_cputimers.timers_active", 4, PART_RLIMIT_CPU) \
	X(SIG_CPU_U, "signal_struct", "cputimer.cputime_atomic.utime", 8, PART_RLIMIT_CPU) \
	X(SIG_CPU_S, "signal_struct", "cputimer.cputime_atomic.stime", 8, PART_RLIMIT_CPU) \
	X(SIG_CPU_R, "signal_struct", "cputimer.cputime_atomic.sum_exec_runtime", 8, PART_RLIMIT_CPU) \
	X(SIG_UTIME, "signal_struct", "utime", 8, PART_RLIMIT_CPU) \
	X(SIG_STIME, "signal_struct", "stime", 8, PART_RLIMIT_CPU) \
	X(SIG_RUNTIME, "signal_struct", "sum_sched_runtime", 8, PART_RLIMIT_CPU) \
	X(HAND_ACTION, "sighand_struct", "action", 0, PART_TASK) \
	X(HAND_HANDLER, "k_sigaction", "sa.sa_handler", 8, PART_TASK) \
	X(PID_COUNT, "pid", "count", 4, PART_SEND) \
	X(PID_TGID, "pid", "tasks[1]", 8, PART_TASK) \
	X(PIDNS_HEAD, "pid_namespace", "idr.idr_rt.xa_head", 8, PART_TASK) \
	X(PIDNS_BASE, "pid_namespace", "idr.idr_base", 4, PART_TASK) \
	X(XN_SHIFT, "xa_node", "shift", 1, PART_TASK) \
	X(XN_SLOTS, "xa_node", "slots", 0, PART_TASK) \
	X(RQ_CURR, "rq", "curr", 8, PART_SEND | PART_WAKE) \
	X(RQ_IDLE, "rq", "idle", 8, PART_SEND | PART_WAKE) \
	X(HRT_NEXT, "hrtimer_cpu_base", "expires_next", 8, PART_SEND | PART_WAKE) \
	X(IRQW_NODE, "irq_work", "node.llist|llnode", 8, PART_SEND | PART_WAKE) \
	X(IRQW_FLAGS, "irq_work", "node.u_flags|flags", 4, PART_SEND | PART_WAKE) \
	X(IRQW_FUNC, "irq_work", "func", 8, PART_SEND | PART_WAKE) \
	X(PT_TASK, "process_timer", "task", 8, PART_WAKE) \
	X(KIT_LOCK, "k_itimer", "it_lock", 4, PART_SEND) \
	X(KIT_NOTIFY, "k_itimer", "it_sigev_notify", 4, PART_SEND) \
	X(KIT_INTERVAL, "k_itimer", "it_interval", 8, PART_SEND) \
	X(KIT_PID, "k_itimer", "it_pid", 8, PART_SEND) \
	X(KIT_SIGQ, "k_itimer", "sigq", 8, PART_SEND) \
	X(KIT_TIMER, "k_itimer", "it.real.timer", 0, PART_SEND) \
	X(SQ_LIST, "sigqueue", "list", 16, PART_SEND) \
	X(SQ_FLAGS, "sigqueue", "flags", 4, PART_SEND) \
	X(SQ_SIGNO, "sigqueue", "info.si_signo", 4, PART_SEND) \
	X(SQ_CODE, "sigqueue", "info.si_code", 4, PART_SEND) \
	X(SQ_OVERRUN, "sigqueue", "info._sifields._timer._overrun", 4, PART_SEND) \
	X(PAGE_FLAGS, "page", "flags", 8, PART_SEND | PART_WAKE) \
	X(E820_N, "e820_table", "nr_entries", 4, PART_SEND | PART_WAKE) \
	X(E820_ENTRY, "e820_table", "entries", 0, PART_SEND | PART_WAKE) \
	X(CS_SUBSYS, "css_set", "subsys", 0, PART_CGROUP) \
	X(CS_DFL, "css_set", "dfl_cgrp", 8, PART_CGROUP) \
	X(CSS_CGROUP, "cgroup_subsys_state", "cgroup", 8, PART_CGROUP) \
	X(CSS_PARENT, "cgroup_subsys_state", "parent", 8, PART_CGROUP) \
	X(CSS_ID, "cgroup_subsys_state", "id", 4, PART_CGROUP) \
	X(CSS_FLAGS, "cgroup_subsys_state", "flags", 4, PART_CGROUP) \
	X(CSS_SERIAL, "cgroup_subsys_state", "serial_nr", 8, PART_CGROUP) \
	X(CSS_SS, "cgroup_subsys_state", "ss", 8, PART_CGROUP) \
	X(SS_IDR, "cgroup_subsys", "css_idr.idr_rt.xa_head", 8, PART_CGROUP) \
	X(SS_BASE, "cgroup_subsys", "css_idr.idr_base", 4, PART_CGROUP) \
	X(CGRP_ROOT, "cgroup", "root", 8, PART_CGROUP) \
	X(CGRP_FROZEN, "cgroup", "freezer.e_freeze", 0, 0) \
	X(MEMCG_CSS, "mem_cgroup", "css", 0, PART_MEMORY) \
	X(MEMCG_MAX, "mem_cgroup", "memory.max", 8, PART_MEMORY) \
	X(MEMCG_HIGH, "mem_cgroup", "memory.high", 8, PART_MEMORY) \
	X(PIDS_CSS, "pids_cgroup", "css", 0, PART_PIDS) \
	X(PIDS_LIMIT, "pids_cgroup", "limit", 8, PART_PIDS) \
	X(TG_CSS, "task_group", "css", 0, PART_CPU) \
	X(TG_PERIOD, "task_group", "cfs_bandwidth.period", 8, PART_CPU) \
	X(TG_QUOTA, "task_group", "cfs_bandwidth.quota", 8, PART_CPU)

enum {
#define X(id, type, path, size, parts) M_##id,
	PSEUDO_MEMBERS(X)
#undef X
	M_COUNT
};

#define PSEUDO_SYMBOLS(X) \
	X(INIT_PID_NS, "init_pid_ns", PART_TASK) \
	X(PER_CPU, "__per_cpu_offset", PART_SEND | PART_WAKE) \
	X(ONLINE, "__cpu_online_mask", PART_SEND | PART_WAKE) \
	X(LAZY, "lazy_list", PART_SEND | PART_WAKE) \
	X(RUNQUEUES, "runqueues", PART_SEND | PART_WAKE) \
	X(HRTIMERS, "hrtimer_bases", PART_SEND | PART_WAKE) \
	X(JIFFIES, "jiffies_64|jiffies", PART_SEND | PART_WAKE) \
	X(E820, "e820_table", PART_SEND | PART_WAKE) \
	X(VMEMMAP, "vmemmap_base", PART_SEND | PART_WAKE) \
	X(SENDER, "posix_timer_fn", PART_SEND) \
	X(WAKER, "process_timeout", PART_WAKE) \
	X(NR_CPUS, "nr_cpu_ids", 0) \
	X(NOHZ_FULL, "tick_nohz_full_running", 0) \
	X(NOHZ_MASK, "tick_nohz_full_mask", 0)

enum {
#define X(id, name, parts) S_##id,
	PSEUDO_SYMBOLS(X)
#undef X
	S_COUNT
};

enum { CGRP_MEMORY, CGRP_PIDS, CGRP_CPU, CGRP_KINDS };

#define PSEUDO_BLOCK 512u      /* bytes of one forged block */
#define PSEUDO_BLOCK_SIGQ 256u /* where its sigqueue begins */
#define PSEUDO_BLOCK_WAKE 128u /* where a wake's timer begins, apart from the k_itimer's irq_work */
#define PSEUDO_BLOCKS 1024u
#define PSEUDO_THREADS 32768u
#define PSEUDO_CAS 100000u     /* tries to change a word that a guest may be changing without end */
#define PSEUDO_OVERRUN 0x6766u /* of a siginfo that no kernel has queued yet */

enum { GF_RESCHED_UNKNOWN = 255 };

/* The members of struct gf_pseudo_plain, which struct gf_pseudo has under the same names. */
#define GF_PSEUDO_PLAIN \
	const struct gf_kmem *mem;       /* put in by who uses it */ \
	uint64_t s[S_COUNT];             /* 0: not there */ \
	uint64_t block[PSEUDO_BLOCKS];   /* kernel addresses */ \
	uint32_t m[M_COUNT]; \
	uint8_t msize[M_COUNT];          /* 0: not there */ \
	uint32_t parts_off;              /* with those that need them */ \
	uint32_t action_size, slots;     /* of k_sigaction, of an xa_node */ \
	uint32_t e820_size; \
	uint32_t page_size;              /* bytes of a struct page */ \
	uint32_t blocks; \
	uint8_t pg_reserved; \
	uint8_t tif_sigpending;          /* bit of thread_info.flags */ \
	uint8_t tif_resched;             /* TIF_NEED_RESCHED's, GF_RESCHED_UNKNOWN */ \
	uint8_t writable; \
	uint8_t atomics;                 /* atomic operations on the target's memory work from here */ \
	uint64_t *pulse;                 /* gpu/pulse.h; NULL: nobody waits for a sign of life */ \
	uint32_t *walked;                /* threads that have been looked at, of large groups; NULL: nobody counts */ \
	uint64_t banner[8];              /* of the kernel, by which it is known again */ \
	uint64_t banner_va               /* of its first word */

struct gf_pseudo_plain {
	GF_PSEUDO_PLAIN;
};

/* A function of its own: walks of page tables in each place that reads would be too much code for a device's compiler. */
#define GF_APART static GF_HD __attribute__((noinline, unused))

/* ---- access. NULL or a failure: the address is not in the target's memory. ---- */
GF_APART uint8_t *gf_ps_at(const struct gf_pseudo_plain *p, uint64_t va, uint32_t size)
{
	struct gf_gva a = { va };

	return va & (size - 1) ? NULL : gf_kmem_at(p->mem, a, size);
}

GF_APART int gf_ps_get(const struct gf_pseudo_plain *p, uint64_t va, uint32_t size, uint64_t *ret)
{
	return !gf_kmem_load(p->mem, va, size, ret);
}

GF_APART int gf_ps_member(const struct gf_pseudo_plain *p, uint64_t base, int m, uint64_t *ret)
{
	return base && p->msize[m] && gf_ps_get(p, base + p->m[m], p->msize[m], ret);
}

/* Several members of one object, whose loads do not wait for one another: which[0..n) into ret, n at most PSEUDO_TOGETHER; of what is larger than a word its
 * first. A member that is not there, or not in the target's memory, reads as 0; returns whether the first `need` were. Objects lie in one piece, most
 * often: then where they are is found out once. also: NULL, or a word elsewhere that is read beside them. */
#define PSEUDO_TOGETHER 10u
GF_APART int gf_ps_members_and(const struct gf_pseudo_plain *p, uint64_t base, const uint8_t *which, uint32_t n, uint32_t need, const uint8_t *also,
			       uint64_t *ret, uint64_t *ret_also)
{
	const struct gf_gva a = { base };
	const uint8_t *at[PSEUDO_TOGETHER], *whole;
	uint64_t v[PSEUDO_TOGETHER], w;
	uint32_t size[PSEUDO_TOGETHER], off[PSEUDO_TOGETHER], end = 0;
	int all = base != 0;

	GF_UNROLL
	for (uint32_t i = 0; i < PSEUDO_TOGETHER; i++) {
		uint32_t m = which[i < n ? i : 0];
		size[i] = i < n ? GF_MIN(p->msize[m], 8u) : 0;
		off[i] = p->m[m];
	}
	GF_UNROLL
	for (uint32_t i = 0; i < PSEUDO_TOGETHER; i++)
		end = size[i] ? GF_MAX(end, off[i] + size[i]) : end;
	whole = base && end ? gf_kmem_at(p->mem, a, end) : NULL;
	GF_ROLLED
	for (uint32_t i = 0; i < PSEUDO_TOGETHER; i++) {
		at[i] = !base || !size[i] ? NULL : whole && !((base + off[i]) & (size[i] - 1)) ? whole + off[i] : gf_ps_at(p, base + off[i], size[i]);
		all &= i >= need || at[i] != NULL;
	}
	GF_UNROLL
	for (uint32_t i = 0; i < PSEUDO_TOGETHER; i++)
		v[i] = at[i] ? gf_load(at[i], size[i]) : 0;
	w = also ? gf_load(also, 8) : 0;
	GF_UNROLL
	for (uint32_t i = 0; i < PSEUDO_TOGETHER; i++)
		if (i < n)
			ret[i] = v[i];
	if (also)
		*ret_also = w;
	return all;
}

GF_INLINE int gf_ps_members(const struct gf_pseudo_plain *p, uint64_t base, const uint8_t *which, uint32_t n, uint32_t need, uint64_t *ret)
{
	return gf_ps_members_and(p, base, which, n, need, NULL, ret, NULL);
}

GF_INLINE int gf_ps_has(const struct gf_pseudo_plain *p, uint32_t part)
{
	return !(p->parts_off & part);
}

/* One aligned store of 1, 4 or 8 bytes, past every cache. */
GF_INLINE void gf_ps_put(uint8_t *at, uint32_t size, uint64_t v)
{
#if defined(__CUDA_ARCH__)
	if (size == 8)
		*(volatile uint64_t *)(void *)at = v;
	else if (size == 4)
		*(volatile uint32_t *)(void *)at = (uint32_t)v;
	else
		*(volatile uint8_t *)at = (uint8_t)v;
#else
	if (size == 8)
		__atomic_store_n((uint64_t *)(void *)at, v, __ATOMIC_SEQ_CST);
	else if (size == 4)
		__atomic_store_n((uint32_t *)(void *)at, (uint32_t)v, __ATOMIC_SEQ_CST);
	else
		__atomic_store_n(at, (uint8_t)v, __ATOMIC_SEQ_CST);
#endif
}

GF_APART int gf_ps_set(const struct gf_pseudo_plain *p, uint64_t va, uint32_t size, uint64_t v)
{
	uint8_t *at = gf_ps_at(p, va, size);

	if (at)
		gf_ps_put(at, size, v);
	return at != NULL;
}

/* What is stored before it is seen before what is stored after it. */
GF_INLINE void gf_ps_fence(void)
{
#if defined(__CUDA_ARCH__)
	__threadfence_system();
#else
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
#endif
}

/* ---- atomic operations on the target's memory: only where p->atomics ---- */
GF_INLINE void gf_ps_or64(uint8_t *at, uint64_t bits)
{
#if defined(__CUDA_ARCH__)
	atomicOr_system((unsigned long long *)(void *)at, (unsigned long long)bits);
#else
	__atomic_fetch_or((uint64_t *)(void *)at, bits, __ATOMIC_SEQ_CST);
#endif
}

/* What was there: `want` where it has been exchanged. */
GF_INLINE uint64_t gf_ps_cas64(uint8_t *at, uint64_t want, uint64_t v)
{
#if defined(__CUDA_ARCH__)
	return atomicCAS_system((unsigned long long *)(void *)at, (unsigned long long)want, (unsigned long long)v);
#else
	__atomic_compare_exchange_n((uint64_t *)(void *)at, &want, v, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
	return want;
#endif
}

GF_INLINE uint32_t gf_ps_cas32(uint8_t *at, uint32_t want, uint32_t v)
{
#if defined(__CUDA_ARCH__)
	return atomicCAS_system((unsigned int *)(void *)at, want, v);
#else
	__atomic_compare_exchange_n((uint32_t *)(void *)at, &want, v, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
	return want;
#endif
}

/* Where two addresses are by the page tables, as gf_pt_walk finds it: the two walks go on side by side. 1, or 0: not both are mapped. */
GF_INLINE int gf_ps_walk_both(const struct gf_kmem *k, uint64_t va, uint64_t other, uint64_t *ret, uint64_t *ret_other)
{
	uint64_t at[2] = { va, other }, table[2] = { k->pgd.v & GF_PTE_ADDR, k->pgd.v & GF_PTE_ADDR }, e[2];
	uint64_t done[2] = { 0, 0 }, found[2] = { 0, 0 };

	for (uint32_t level = k->levels; level >= 1; level--) {
		uint32_t shift = 12 + 9 * (level - 1);
		uint64_t size = 1ull << shift;
		const uint8_t *p[2];

		for (int i = 0; i < 2; i++) {
			const struct gf_gpa a = { table[i] + (at[i] >> shift & 511) * 8 };
			p[i] = done[i] ? NULL : gf_ram_at(&k->ram, a, 8);
			if (!done[i] && !p[i])
				return 0;
		}
		e[0] = p[0] ? gf_load(p[0], 8) : 0;
		e[1] = p[1] ? gf_load(p[1], 8) : 0;
		for (int i = 0; i < 2; i++) {
			if (done[i])
				continue;
			if (!(e[i] & GF_PTE_PRESENT))
				return 0;
			table[i] = e[i] & GF_PTE_ADDR;
			done[i] = level == 1 || (level <= 3 && (e[i] & GF_PTE_PSE));
			found[i] = (e[i] & GF_PTE_ADDR & ~(size - 1)) | (at[i] & (size - 1));
		}
		if (done[0] && done[1])
			break;
	}
	*ret = found[0];
	*ret_other = found[1];
	return done[0] && done[1];
}

/* Whether the kernel that this was established of is the one that runs there: a few reads. The walks go through the
 * tables on purpose: a later kernel has others. */
GF_APART int gf_ps_still_there(const struct gf_pseudo_plain *p)
{
	const struct gf_kmem *k = p->mem;
	const struct gf_gva va = { p->banner_va };
	uint64_t text, direct, v[8];
	const uint8_t *at;
	int same = 1;

	if (!p->banner_va)
		return 0;
	/* Words first: the walks do not wait for them. */
	at = gf_kmem_at(k, va, sizeof v);
	if (!at && gf_kmem_read(k, p->banner_va, v, sizeof v)) /* over the end of a mapping byte by byte */
		return 0;
	if (at) {
		GF_UNROLL
		for (uint32_t i = 0; i < 8; i++)
			v[i] = gf_load(at + 8 * i, 8);
	}
	if (!gf_ps_walk_both(k, p->banner_va, k->page_offset + k->pgd.v, &text, &direct)
	    || text != p->banner_va - GF_KERNEL_MAP + k->phys_base || direct != k->pgd.v)
		return 0;
	GF_UNROLL
	for (uint32_t i = 0; i < 8; i++)
		same &= v[i] == p->banner[i];
	return same;
}

#endif
