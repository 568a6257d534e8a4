/* SPDX-License-Identifier: MIT
 *
 * What pseudo*.c share. A guest's kernel stays the master of its data: what is stored is what one of
 * its own CPUs would store, in an order that every one of its readers copes with, and where a store
 * can be lost to one of its own it is looked at again, never forced by holding its locks.
 */
#ifndef GPUFAS_PSEUDO_INT_H
#define GPUFAS_PSEUDO_INT_H

#include <pthread.h>

#include "gpufas/event.h"
#include "targets/pseudo.h"
#include "targets/pseudo_do.h"

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

#define PSEUDO_LEN(a) (sizeof(a) / sizeof *(a))

#define BLOCK 512u        /* bytes of one forged block */
#define BLOCK_SIGQ 256u   /* where its sigqueue begins */
#define BLOCKS_MAX 1024u
#define FROZEN_MAX 256u
#define WAKES_MAX 512u
#define LIMITS_MAX 256u
#define THREADS_MAX 32768u
#define CAS_MAX 100000u /* tries to change a word that a guest may be changing without end */
#define PSEUDO_OVERRUN 0x6766u /* of a siginfo that no kernel has queued yet */

/* What a limit was before gpufas first set it. */
struct pseudo_old {
	uint64_t at;             /* css, or task */
	uint64_t serial;         /* css' serial number, or the task's start time */
	uint64_t old[2], set[2]; /* set: what gpufas has stored there last */
	int32_t pid;             /* rlimits */
	uint8_t limit;           /* enum gf_limit_kind; 0: free */
};
struct pseudo_frozen {
	uint64_t start;
	int32_t pid; /* 0: free */
};

/* An irq_work on its way. */
struct pseudo_work {
	uint64_t look_ns, kick_ns; /* CLOCK_MONOTONIC: last change of CPU, last kick; 0: never */
	uint64_t cpus;             /* tried, a bit each of the first 64 */
	uint32_t block, cpu;       /* block GF_NONE: none */
	bool idle;
};

struct gf_pseudo {
	const struct gf_kernel *k;
	bool writable;
	char off[PSEUDO_PARTS][240]; /* "" : the part is on */
	uint32_t m[M_COUNT];
	uint8_t msize[M_COUNT];      /* 0: not there */
	uint64_t s[S_COUNT];         /* 0: not there */
	uint32_t action_size, slots; /* of k_sigaction, of an xa_node */
	uint32_t e820_size;
	uint32_t page_size;          /* bytes of a struct page */
	uint32_t cgrp_id[CGRP_KINDS];
	uint8_t pg_reserved;
	uint8_t tif_sigpending;      /* bit */
	char tif_from[160];
	uint32_t blocks;
	uint64_t block[BLOCKS_MAX];  /* kernel addresses */
	uint32_t next_block;         /* atomic */
	pthread_mutex_t lock;        /* what is below */
	struct pseudo_old old[LIMITS_MAX];
	struct pseudo_frozen frozen[FROZEN_MAX];
	struct pseudo_work wake[WAKES_MAX];
	uint32_t wakes;
};

/* ---- access. A NULL or a failure: the address is not in the guest's memory. ---- */
static inline uint64_t *pseudo_at(const struct gf_pseudo *p, uint64_t va, uint32_t size)
{
	struct gf_gva a = { va };

	return va & (size - 1) ? NULL : (uint64_t *)(void *)gf_kmem_at(&p->k->mem, a, size);
}
static inline bool pseudo_get(const struct gf_pseudo *p, uint64_t va, uint32_t size, uint64_t *ret)
{
	return !gf_kmem_load(&p->k->mem, va, size, ret);
}
static inline bool pseudo_member(const struct gf_pseudo *p, uint64_t base, int m, uint64_t *ret)
{
	return base && p->msize[m] && pseudo_get(p, base + p->m[m], p->msize[m], ret);
}
bool pseudo_or(const struct gf_pseudo *p, uint64_t va, uint64_t bits);
bool pseudo_and(const struct gf_pseudo *p, uint64_t va, uint64_t bits);
bool pseudo_set(const struct gf_pseudo *p, uint64_t va, uint32_t size, uint64_t v);

bool pseudo_has(const struct gf_pseudo *p, unsigned part);
const char *pseudo_off(const struct gf_pseudo *p, unsigned part);
__attribute__((format(printf, 3, 4)))
void pseudo_turn_off(struct gf_pseudo *p, unsigned parts, const char *fmt, ...);

/* pseudo_layout.c: members, symbols, enumerators; what is missing turns its parts off. */
void pseudo_layout(struct gf_pseudo *p);
/* pseudo_decode.c: what is in the kernel's code only, and whether the code agrees with the layout. */
void pseudo_decode(struct gf_pseudo *p);
/* pseudo_block.c: memory that nothing in the guest uses. */
void pseudo_blocks(struct gf_pseudo *p);

/* Decoders, pure, for tests. Bit of TIF_SIGPENDING, or -1.  */
int pseudo_decode_or(const uint8_t *code, size_t n);  /* lock or $1 << bit, (reg) */
int pseudo_decode_and(const uint8_t *code, size_t n); /* lock and $~(1 << bit), (reg) */
bool pseudo_decode_test(const uint8_t *code, size_t n, uint32_t *ret_off, uint32_t *ret_mask); /* testq $mask, off(reg) */
bool pseudo_decode_lea(const uint8_t *code, size_t n, int32_t *ret_off);  /* lea off(%rdi), reg */
bool pseudo_decode_load(const uint8_t *code, size_t n, int32_t *ret_off); /* mov off(%rdi), %rdi */

/* ---- tasks: pseudo_task.c ---- */
struct pseudo_thread {
	uint64_t task;
	uint32_t flags, exit_state;
	uint64_t state;
	bool on_cpu, runnable, blocked, traced;
};
/* Looks an index up in an idr: entry or 0. */
uint64_t pseudo_idr(const struct gf_pseudo *p, uint64_t head, uint64_t base, uint64_t index);
uint8_t pseudo_find(const struct gf_pseudo *p, int32_t pid, uint64_t start_ns, struct gf_pseudo_victim *ret);
/* For certain no longer: not merely unreadable just now, or traced. */
bool pseudo_is_past(const struct gf_pseudo *p, int32_t pid, uint64_t start_ns);
/* Still that process, and not gone: two dozen loads, right before a store. */
uint8_t pseudo_same(const struct gf_pseudo *p, const struct gf_pseudo_victim *v);
bool pseudo_thread_read(const struct gf_pseudo *p, uint64_t task, int sig, struct pseudo_thread *ret);
/* Calls fn for each live thread until it returns false. GF_REF_TORN where the list is not one. */
uint8_t pseudo_threads(const struct gf_pseudo *p, const struct gf_pseudo_victim *v, int sig,
		       bool (*fn)(void *arg, const struct pseudo_thread *t), void *arg);
bool pseudo_gone(const struct gf_pseudo *p, const struct gf_pseudo_victim *v);

/* ---- irq_work: pseudo_block.c, pseudo_irq.c ---- */
/* A block of one's own, filled for a signal to the victim or for waking a task; ~0: none is free. Not queued yet. */
uint32_t pseudo_block_signal(struct gf_pseudo *p, const struct gf_pseudo_victim *v, int sig);
uint32_t pseudo_block_wake(struct gf_pseudo *p, uint64_t task);
uint64_t pseudo_block_work(const struct gf_pseudo *p, uint32_t block); /* its irq_work */
bool pseudo_queue(struct gf_pseudo *p, uint32_t block, uint32_t cpu);
bool pseudo_unqueue(struct gf_pseudo *p, uint32_t block, uint32_t cpu); /* back again; false: somebody has it, or it is not the first */
bool pseudo_drained(const struct gf_pseudo *p, uint32_t block);
void pseudo_block_done(struct gf_pseudo *p, uint32_t block); /* drained: lets go of what it holds */
void pseudo_block_cancel(struct gf_pseudo *p, uint32_t block); /* never queued, or taken back */
enum pseudo_sent { PSEUDO_TAKEN, PSEUDO_QUEUED, PSEUDO_DROPPED };
enum pseudo_sent pseudo_block_sent(const struct gf_pseudo *p, uint32_t block);
/* Queues a filled block, kicks its CPU if that idles. False: there is no CPU; the block is cancelled. */
bool pseudo_work_start(struct gf_pseudo *p, struct pseudo_work *w, uint32_t block, const struct gf_pseudo_kick *kick);
/* True: it has run, and its block is let go of. Else, in time, moves it to another CPU and kicks again. */
bool pseudo_work_done(struct gf_pseudo *p, struct pseudo_work *w, const struct gf_pseudo_kick *kick);
/* True: taken back, it will never run. */
bool pseudo_work_stop(struct gf_pseudo *p, struct pseudo_work *w);
/* Wakes a task that sleeps interruptibly; does not wait for it. */
bool pseudo_wake(struct gf_pseudo *p, uint64_t task, const struct gf_pseudo_kick *kick);
/* How many of these wakes are still on their way. */
uint32_t pseudo_wakes(struct gf_pseudo *p, const struct gf_pseudo_kick *kick);

/* ---- pseudo_do.c, pseudo_freeze.c, pseudo_limit.c ---- */
uint64_t pseudo_now(void); /* CLOCK_MONOTONIC, ns */
void pseudo_refuse(struct gf_delivery *d, uint8_t why);
void pseudo_freeze(struct gf_pseudo *p, struct gf_delivery *d, const struct gf_pseudo_kick *kick);
void pseudo_parking(struct gf_pseudo *p, struct gf_delivery *d, const struct gf_pseudo_kick *kick);
void pseudo_limit(struct gf_pseudo *p, const struct gf_verdict *v, struct gf_delivery *d);
bool pseudo_limit_undo(struct gf_pseudo *p, const struct pseudo_old *o);
/* The css of a controller (CGRP_) for a task's own cgroup: 0 or enum gf_refused. */
uint8_t pseudo_css(const struct gf_pseudo *p, uint64_t task, int kind, uint64_t *ret_css);

/* The CPU that will drain soonest, of those not in `not`; ~0: none. ret_idle: it idles. */
uint32_t pseudo_cpu(const struct gf_pseudo *p, uint64_t not, bool *ret_idle);

#endif
