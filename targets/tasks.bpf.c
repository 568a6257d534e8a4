// SPDX-License-Identifier: Dual MIT/GPL
/*
 * One record a process, from the kernel's task iterator.
 *
 * Only the members used are declared; libbpf moves each access to where the
 * running kernel has the member. Whether a member exists is asked of BTF, never
 * of a version number.
 *
 * Sums over threads are made here, when the leader is visited, under the same
 * sequence count that a dying thread holds while it moves its figures into
 * signal_struct (kernel/exit.c, __exit_signal). Adding threads up in user space
 * would count a thread twice that dies between its visit and its leader's.
 */
#include <linux/bpf.h>
#include <stdbool.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

#include "gpufas/taskrec.h"

#define KERNEL __attribute__((preserve_access_index))
#define PF_EXITING 0x4
#define PF_KTHREAD 0x200000
#define SIGNAL_UNKILLABLE 0x40
#define MMF_OOM_SKIP 21
#define PGID 2 /* enum pid_type since 4.19 */
#define SID 3

struct list_head { struct list_head *next; } KERNEL;
struct pid_namespace;
struct upid { int nr; struct pid_namespace *ns; } KERNEL;
struct pid { unsigned int level; struct upid numbers[1]; } KERNEL;
typedef struct { unsigned int val; } KERNEL kuid_t;
struct cred { kuid_t euid; kuid_t egid; } KERNEL;
struct percpu_counter { __s64 count; __s32 *counters; } KERNEL;
typedef struct { long counter; } KERNEL atomic_long_t;
typedef struct { int counter; } KERNEL atomic_t;

/* Since 6.2 (f1a7941243c1) four per-CPU counters; before, four atomics. */
struct mm_struct {
	atomic_long_t pgtables_bytes;
	unsigned long total_vm;
	struct percpu_counter rss_stat[4];
	unsigned long flags;
} KERNEL;
/* The flags have become a bitmap in 6.18. */
struct mm_flags { unsigned long bits; };
struct mm_struct___bitmap { struct mm_flags flags; } KERNEL;
struct mm_rss_stat { atomic_long_t count[4]; } KERNEL;
struct mm_struct___pre62 { struct mm_rss_stat rss_stat; } KERNEL;

struct fdtable { unsigned int max_fds; unsigned long *open_fds; } KERNEL;
struct files_struct { struct fdtable *fdt; } KERNEL;
struct task_io_accounting { __u64 read_bytes; __u64 write_bytes; } KERNEL;
struct prev_cputime { __u64 utime; __u64 stime; } KERNEL;
struct sched_entity { __u64 sum_exec_runtime; } KERNEL;
struct completion;

struct seqcount { unsigned int sequence; } KERNEL;
struct seqcount_spinlock { struct seqcount seqcount; } KERNEL;
struct seqlock { struct seqcount_spinlock seqcount; } KERNEL; /* the kernel's are typedefs */

struct signal_struct {
	atomic_t live;
	int nr_threads;
	struct list_head thread_head;
	unsigned int flags;
	struct pid *pids[4];
	struct seqlock stats_lock;
	__u64 utime, stime;
	struct prev_cputime prev_cputime;
	unsigned long min_flt, maj_flt;
	struct task_io_accounting ioac;
	unsigned long long sum_sched_runtime;
	short oom_score_adj;
} KERNEL;

struct task_struct {
	unsigned int flags;
	unsigned int __state;
	int exit_state;
	int prio, static_prio;
	struct sched_entity se;
	unsigned int policy;
	struct mm_struct *mm;
	int pid, tgid;
	struct task_struct *real_parent;
	struct task_struct *group_leader;
	struct pid *thread_pid;
	struct list_head thread_node;
	struct completion *vfork_done;
	__u64 utime, stime;
	__u64 start_boottime;
	__u64 self_exec_id; /* counts execs */
	unsigned long min_flt, maj_flt;
	const struct cred *real_cred;
	char comm[16];
	struct files_struct *files;
	struct signal_struct *signal;
	struct task_io_accounting ioac;
} KERNEL;
struct task_struct___old { long state; } KERNEL; /* before 5.14 (2f064a59a11f) */

struct bpf_array { void *pptrs[1]; } KERNEL;

struct seq_file;
struct bpf_iter_meta { struct seq_file *seq; __u64 session_id; __u64 seq_num; } KERNEL;
struct bpf_iter__task { struct bpf_iter_meta *meta; struct task_struct *task; } KERNEL;

/* Set by user space. */
__u32 want;               /* enum gf_rec_have */
__u32 ncpus;
__u32 cpus[GF_REC_CPUS];  /* numbers of the possible CPUs */
/* Kept here. */
__u64 cpu_off[GF_REC_CPUS]; /* what makes an address in per-CPU memory CPU i's own */
__u32 cpu_off_known;
volatile __u64 plain_addr;
__u32 my_level;
__u64 my_ns;
__u32 failed; /* what user space must not go on without */

/* Only its address is of use, see learn_cpus(). */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} probe SEC(".maps");

/* A load the verifier knows the type of is a plain instruction; through a plain
 * number it takes a call. `typed` is a constant. */
#define GET(typed, dst, src) \
	do { \
		if (typed) \
			dst = *(volatile typeof(src) *)&(src); \
		else \
			READ(dst, &(src)); \
	} while (0)
#define READ(dst, src) bpf_probe_read_kernel(&(dst), sizeof(dst), (const void *)(src))

/* The address as a plain number, which it becomes by its way through memory: what
 * is added to a pointer that the verifier knows must be bounded (up to 6.3 at least). */
static __always_inline __u64 plain(const volatile void *p)
{
	plain_addr = (__u64)p;
	return plain_addr;
}

/* An index whose bound the verifier can see: clang drops a plain mask as useless. */
static __always_inline __u64 cpu_index(__u64 i)
{
	asm volatile("%0 &= %1" : "+r"(i) : "i"(GF_REC_CPUS - 1));
	return i;
}

static long learn_cpu(__u32 i, void *ctx)
{
	__u64 base = *(__u64 *)ctx;
	__u32 zero = 0;

	if (i >= ncpus)
		return 1;
	void *p = bpf_map_lookup_percpu_elem(&probe, &zero, cpus[cpu_index(i)]);
	if (!p) {
		failed = 1;
		return 1;
	}
	cpu_off[cpu_index(i)] = plain(p) - base;
	return 0;
}

/*
 * __per_cpu_offset[] is not in every kernel's symbol table (it needs
 * CONFIG_KALLSYMS_ALL). The difference between an element of a per-CPU map on a
 * CPU and the map's own pointer to it is the same number.
 */
static void learn_cpus(void)
{
	__u64 base = 0;

	if (READ(base, plain(&probe) + bpf_core_field_offset(struct bpf_array, pptrs)) || !base) {
		failed = 1;
		return;
	}
	bpf_loop(GF_REC_CPUS, learn_cpu, &base, 0);
	if (!failed)
		cpu_off_known = 1;
}

static struct percpu_sum {
	__u64 base[4];
	__s64 sum[4];
	__u32 together; /* the four lie side by side */
} cpu_sum;

static long sum_cpu(__u32 i, void *ctx)
{
	struct percpu_sum *s = &cpu_sum;
	__s32 v[4] = {};

	if (i >= ncpus)
		return 1;
	__u64 off = cpu_off[cpu_index(i)];
	if (s->together) {
		READ(v, s->base[0] + off);
	} else {
		READ(v[0], s->base[0] + off);
		READ(v[1], s->base[1] + off);
		READ(v[2], s->base[2] + off);
		READ(v[3], s->base[3] + off);
	}
	s->sum[0] += v[0];
	s->sum[1] += v[1];
	s->sum[2] += v[2];
	s->sum[3] += v[3];
	return 0;
}

/* The four page counters of an address space: file, anon, swap, shmem (enum in
 * include/linux/mm_types_task.h). */
static __always_inline bool read_rss(struct mm_struct *mm, bool typed, __s64 c[4])
{

	if (bpf_core_field_exists(((struct mm_struct *)0)->rss_stat[0].counters)) {
		for (int try = 0; try < 3; try++) {
			struct percpu_sum *s = &cpu_sum;
			__s64 again[4];
			__s32 *at[4];

			GET(typed, c[0], mm->rss_stat[0].count);
			GET(typed, c[1], mm->rss_stat[1].count);
			GET(typed, c[2], mm->rss_stat[2].count);
			GET(typed, c[3], mm->rss_stat[3].count);
			GET(typed, at[0], mm->rss_stat[0].counters);
			s->base[0] = (__u64)at[0];
			GET(typed, at[1], mm->rss_stat[1].counters);
			s->base[1] = (__u64)at[1];
			GET(typed, at[2], mm->rss_stat[2].counters);
			s->base[2] = (__u64)at[2];
			GET(typed, at[3], mm->rss_stat[3].counters);
			s->base[3] = (__u64)at[3];
			s->together = s->base[1] == s->base[0] + 4 && s->base[2] == s->base[0] + 8 &&
				     s->base[3] == s->base[0] + 12;
			__builtin_memset(s->sum, 0, sizeof s->sum);
			bpf_loop(GF_REC_CPUS, sum_cpu, NULL, 0);
			GET(typed, again[0], mm->rss_stat[0].count);
			GET(typed, again[1], mm->rss_stat[1].count);
			GET(typed, again[2], mm->rss_stat[2].count);
			GET(typed, again[3], mm->rss_stat[3].count);
			bool same = again[0] == c[0] && again[1] == c[1] && again[2] == c[2] && again[3] == c[3];
			for (int i = 0; i < 4; i++)
				c[i] += s->sum[i];
			/* A CPU that folds its part in meanwhile is missed: at most
			 * a batch of pages. Look again, but not for ever. */
			if (same)
				break;
		}
	} else if (bpf_core_field_exists(((struct mm_struct___pre62 *)0)->rss_stat.count)) {
		/* Not typed: 6.1's verifier does not look through the array's typedef. */
		struct mm_struct___pre62 *old = (void *)mm;
		READ(c[0], &old->rss_stat.count[0].counter);
		READ(c[1], &old->rss_stat.count[1].counter);
		READ(c[2], &old->rss_stat.count[2].counter);
		READ(c[3], &old->rss_stat.count[3].counter);
	} else {
		failed = 2;
		return false;
	}
	for (int i = 0; i < 4; i++)
		if (c[i] < 0)
			c[i] = 0;
	return true;
}

/* Too large for the 512 bytes of stack. One pass at a time: the sampler has one
 * reader, and an iterator runs with migration off and is not entered again. */
static struct gf_task_rec rec;

static __always_inline void read_mm(struct mm_struct *mm, bool typed, struct gf_task_rec *r)
{
	unsigned long flags = 0;
	__s64 c[4];

	GET(typed, r->vsz, mm->total_vm);
	r->have |= GF_REC_VSZ;
	if (!(want & (GF_REC_RSS | GF_REC_SWAP | GF_REC_PGTABLES)))
		return;
	if (read_rss(mm, typed, c)) {
		r->file = c[0];
		r->anon = c[1];
		r->swap = c[2];
		r->shmem = c[3];
		r->have |= GF_REC_RSS | GF_REC_SWAP;
	}
	GET(typed, r->pgtables, mm->pgtables_bytes.counter);
	r->have |= GF_REC_PGTABLES;
	if (bpf_core_field_exists(mm->flags))
		GET(typed, flags, mm->flags);
	else
		READ(flags, &((struct mm_struct___bitmap *)mm)->flags);
	if (flags & (1ul << MMF_OOM_SKIP))
		r->flags |= GF_REC_OOM_SKIP;
}

static struct walk {
	__u64 head, node;
	__u64 run, utime, stime, minflt, majflt, rbytes, wbytes;
	__u64 task; /* a thread that still has the address space */
	__u64 mm;
	__u32 ended;
} walk;

static long walk_thread(__u32 i, void *ctx)
{
	struct walk *w = &walk;
	struct task_struct *t;
	__u64 v = 0;

	if (w->node == w->head || !w->node) {
		w->ended = w->node == w->head;
		return 1;
	}
	t = (void *)(w->node - bpf_core_field_offset(struct task_struct, thread_node));
	if (want & (GF_REC_CPU | GF_REC_SPLIT)) {
		READ(v, &t->se.sum_exec_runtime);
		w->run += v;
	}
	if (want & GF_REC_SPLIT) {
		READ(v, &t->utime);
		w->utime += v;
		READ(v, &t->stime);
		w->stime += v;
	}
	if (want & GF_REC_FAULTS) {
		READ(v, &t->min_flt);
		w->minflt += v;
		READ(v, &t->maj_flt);
		w->majflt += v;
	}
	if (want & GF_REC_IO) {
		READ(v, &t->ioac.read_bytes);
		w->rbytes += v;
		READ(v, &t->ioac.write_bytes);
		w->wbytes += v;
	}
	if (!w->mm) {
		READ(w->mm, &t->mm);
		w->task = (__u64)t;
	}
	v = 0;
	READ(v, w->node);
	w->node = v;
	return 0;
}

/* Adds up what threads count, the living ones' and what the dead have left, as
 * one consistent picture; false when the group kept changing. */
static bool sum_threads(struct task_struct *task, struct signal_struct *sig, struct gf_task_rec *r)
{
	const __u32 counters = GF_REC_CPU | GF_REC_SPLIT | GF_REC_FAULTS | GF_REC_IO;

	for (int try = 0; try < 4; try++) {
		__u32 before = 0, after = 0;
		struct walk *z = &walk;

		__builtin_memset(z, 0, sizeof *z);
		GET(true, before, sig->stats_lock.seqcount.seqcount.sequence);
		if (before & 1)
			continue;
		z->run = sig->sum_sched_runtime;
		z->utime = sig->utime;
		z->stime = sig->stime;
		z->minflt = sig->min_flt;
		z->majflt = sig->maj_flt;
		if (want & GF_REC_IO) {
			z->rbytes = sig->ioac.read_bytes;
			z->wbytes = sig->ioac.write_bytes;
		}
		if (sig->nr_threads == 1) {
			z->run += task->se.sum_exec_runtime;
			z->utime += task->utime;
			z->stime += task->stime;
			z->minflt += task->min_flt;
			z->majflt += task->maj_flt;
			if (want & GF_REC_IO) {
				z->rbytes += task->ioac.read_bytes;
				z->wbytes += task->ioac.write_bytes;
			}
			z->ended = 1;
		} else {
			z->head = (__u64)sig + bpf_core_field_offset(struct signal_struct, thread_head);
			READ(z->node, z->head);
			bpf_loop(GF_REC_THREADS + 1, walk_thread, NULL, 0);
		}
		GET(true, after, sig->stats_lock.seqcount.seqcount.sequence);
		if (after != before || !z->ended)
			continue;
		r->run_ns = z->run;
		r->utime_ns = z->utime;
		r->stime_ns = z->stime;
		r->prev_utime_ns = sig->prev_cputime.utime;
		r->prev_stime_ns = sig->prev_cputime.stime;
		r->minflt = z->minflt;
		r->majflt = z->majflt;
		r->read_bytes = z->rbytes;
		r->write_bytes = z->wbytes;
		r->have |= want & counters;
		return true;
	}
	return false;
}

struct fd_count {
	__u64 bits;
	__u32 words, n;
};

static long count_word(__u32 i, void *ctx)
{
	struct fd_count *c = ctx;
	__u64 w = 0;

	if (i >= c->words)
		return 1;
	READ(w, c->bits + 8ull * i);
	w -= (w >> 1) & 0x5555555555555555ull;
	w = (w & 0x3333333333333333ull) + ((w >> 2) & 0x3333333333333333ull);
	w = (w + (w >> 4)) & 0x0f0f0f0f0f0f0f0full;
	c->n += (__u32)((w * 0x0101010101010101ull) >> 56);
	return 0;
}

static void count_fds(struct task_struct *task, struct gf_task_rec *r)
{
	struct task_struct *holder = task;
	__u64 files = (__u64)task->files, fdt = 0, again = 0;
	unsigned int max = 0;
	struct fd_count c = {};

	if (!files && walk.task) {
		holder = (void *)walk.task;
		READ(files, &holder->files);
	}
	if (!files) {
		if (r->flags & (GF_REC_EXITING | GF_REC_KTHREAD))
			r->have |= GF_REC_FDS;
		return;
	}
	READ(fdt, &((struct files_struct *)files)->fdt);
	READ(c.bits, &((struct fdtable *)fdt)->open_fds);
	READ(max, &((struct fdtable *)fdt)->max_fds);
	c.words = (max + 63) / 64;
	if (c.words > GF_REC_FD_WORDS)
		return;
	bpf_loop(GF_REC_FD_WORDS, count_word, &c, 0);
	/* Given back meanwhile, or grown: what was counted may be anything. */
	READ(again, &holder->files);
	if (again != files)
		return;
	READ(again, &((struct files_struct *)files)->fdt);
	if (again != fdt)
		return;
	r->fds = c.n;
	r->have |= GF_REC_FDS;
}

/* The number that a struct pid has for the reader; 0 when it cannot see it. */
static int pid_nr(struct pid *pid)
{
	struct upid u = {};
	unsigned int level = 0;

	if (!pid)
		return 0;
	if (!my_level)
		return pid->numbers[0].nr;
	level = pid->level;
	if (level < my_level)
		return 0;
	__u64 at = plain(pid) + bpf_core_field_offset(struct pid, numbers) +
		   (__u64)my_level * bpf_core_type_size(struct upid);
	struct upid *up = (void *)at;
	__u64 ns = 0;
	READ(ns, &up->ns);
	if (ns != my_ns)
		return 0;
	READ(u.nr, &up->nr);
	return u.nr;
}

static void learn_namespace(void)
{
	struct task_struct *me = bpf_get_current_task_btf();
	struct pid *pid = me->thread_pid;

	my_level = pid->level;
	__u64 at = plain(pid) + bpf_core_field_offset(struct pid, numbers) +
		   (__u64)my_level * bpf_core_type_size(struct upid);
	READ(my_ns, &((struct upid *)at)->ns);
}

/* As fs/proc/array.c, get_task_state(). */
static char state_letter(struct task_struct *task)
{
	unsigned int s, exit = (unsigned int)task->exit_state;

	if (bpf_core_field_exists(task->__state))
		s = task->__state;
	else
		s = (unsigned int)BPF_CORE_READ((struct task_struct___old *)task, state);
	if ((s & 0x402) == 0x402 && !exit)
		return 'I';
	if (s & (0x1000 | 0x8000)) /* waiting for an RT lock; frozen */
		s = 2 | (s & ~0x7fu);
	s = (s | exit) & 0x7f;
	if (s & 0x40)
		return 'P';
	if (s & 0x20)
		return 'Z';
	if (s & 0x10)
		return 'X';
	if (s & 8)
		return 't';
	if (s & 4)
		return 'T';
	if (s & 2)
		return 'D';
	if (s & 1)
		return 'S';
	return 'R';
}

static void read_identity(struct task_struct *task, struct signal_struct *sig, struct gf_task_rec *r)
{
	struct task_struct *parent = task->real_parent;
	const struct cred *cred = task->real_cred;
	unsigned int flags = task->flags;

	r->start_ns = task->start_boottime;
	if (my_level) {
		r->pid = pid_nr(task->thread_pid);
		r->ppid = pid_nr(parent->group_leader->thread_pid);
	} else {
		r->pid = task->tgid;
		r->ppid = parent->tgid;
	}
	if (bpf_core_field_exists(task->self_exec_id))
		r->exec_tag = task->self_exec_id;
	r->pgrp = pid_nr(sig->pids[PGID]);
	r->session = pid_nr(sig->pids[SID]);
	r->euid = cred->euid.val;
	r->egid = cred->egid.val;
	r->threads = (unsigned int)sig->nr_threads;
	r->prio = (short)(task->prio - 100);
	r->nice = (signed char)(task->static_prio - 120);
	r->policy = (unsigned char)task->policy;
	r->oom_adj = sig->oom_score_adj;
	r->state = (unsigned char)state_letter(task);
	bpf_probe_read_kernel(r->comm, sizeof r->comm, task->comm);
	r->have = GF_REC_IDS | GF_REC_ADJ | GF_REC_STAT | GF_REC_UID;
	if (flags & PF_KTHREAD)
		r->flags |= GF_REC_KTHREAD;
	/* A leader that has left while its threads live on: a process all the same. */
	if (!sig->live.counter || ((flags & PF_EXITING) && r->threads <= 1))
		r->flags |= GF_REC_EXITING;
	if (sig->flags & SIGNAL_UNKILLABLE)
		r->flags |= GF_REC_INIT;
	if (task->vfork_done && parent->mm == task->mm)
		r->flags |= GF_REC_OOM_SKIP;
}

static void read_memory(struct task_struct *task, struct gf_task_rec *r)
{
	struct walk *w = &walk;
	const __u32 all = GF_REC_RSS | GF_REC_SWAP | GF_REC_PGTABLES | GF_REC_VSZ;

	for (int try = 0; try < 2; try++) {
		struct mm_struct *mm = task->mm;
		__u64 now = 0;

		if (r->flags & GF_REC_KTHREAD || (!mm && !w->mm)) {
			r->flags |= GF_REC_NO_MM;
			/* Nothing left to measure, unless threads live on
			 * whose memory was not found. */
			if (r->flags & (GF_REC_KTHREAD | GF_REC_EXITING))
				r->have |= all;
			return;
		}
		/* It must be the task's own all the while. */
		if (mm) {
			read_mm(mm, true, r);
			if (*(struct mm_struct *volatile *)&task->mm == mm)
				return;
		} else {
			read_mm((void *)w->mm, false, r);
			READ(now, &((struct task_struct *)w->task)->mm);
			if (now == w->mm)
				return;
		}
		r->have &= ~all;
		w->mm = 0;
		r->file = r->anon = r->shmem = r->swap = 0;
		r->vsz = r->pgtables = 0;
	}
	r->flags |= GF_REC_TORN;
}

SEC("iter/task")
int gf_tasks(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;
	struct gf_task_rec *r = &rec;

	if (!task)
		return 0;
	if (!ctx->meta->seq_num) {
		if (!cpu_off_known)
			learn_cpus();
		learn_namespace();
	}
	/* An ex-leader on its way out after another thread's exec has lost its
	 * place: only the leader speaks for the group. */
	if (task->pid != task->tgid || failed)
		return 0;
	struct signal_struct *sig = task->signal;
	__builtin_memset(r, 0, sizeof *r);
	__builtin_memset(&walk, 0, sizeof walk);
	read_identity(task, sig, r);
	if (!r->pid)
		return 0;
	if (want & (GF_REC_CPU | GF_REC_SPLIT | GF_REC_FAULTS | GF_REC_IO) || (!task->mm && r->threads > 1)) {
		if (!sum_threads(task, sig, r))
			r->flags |= GF_REC_TORN;
	}
	read_memory(task, r);
	if (want & GF_REC_FDS)
		count_fds(task, r);
	bpf_seq_write(ctx->meta->seq, r, sizeof *r);
	return 0;
}

char _license[] SEC("license") = "Dual MIT/GPL";
