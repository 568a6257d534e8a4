/* SPDX-License-Identifier: Dual MIT/GPL
 *
 * What the kernel module gpufas shares with its user: one region of pinned memory
 * and a few ioctls on /dev/gpufas. Fixed widths, explicit padding, no pointers,
 * little endian; the same on both sides, whatever they were compiled by.
 *
 * The region
 *
 *	page 0   struct gpufas_header   written by the module   what is where; heartbeats; costs; where in RAM it lies
 *	page 1   struct gpufas_control  written by the reader   what to sample, how often, whom to protect
 *	         struct gpufas_cpu[]    written by the module   a heartbeat a CPU
 *	         struct gpufas_host     written by the module   host fields
 *	         struct gpufas_verdict[] written by the reader  the mailbox
 *	         struct gpufas_answer[] written by the module   what became of verdicts, slot by slot
 *	         struct gpufas_table ×3 written by the module   the task tables, each with its records behind it
 *
 * "The reader" is whoever holds the region: the process that opened the device, a GPU that this
 * process has registered the pages with, or, for a guest, a process outside that finds the region in the
 * guest's RAM: misc_list leads to the miscdevice "gpufas", and its this_device->platform_data is the header's address, NULL without
 * a region (a scan for `magic` would find what any process may have written); accept only where `self_pa` is
 * the physical address that it was found at and `state` is not GPUFAS_DEAD; then follow `chunk`. mmap() maps all of it from offset 0.
 *
 * The module writes from hard interrupt context, and reads back nothing but the control page and the
 * mailbox: both are looked at as memory that anything may have damaged. What is damaged there can make it
 * sample too little or too often (within bounds) and refuse verdicts, and no more.
 *
 * Reading the table. `latest` is the number of the newest whole table, GPUFAS_NO_TABLE before the first.
 * Read its `seq` (odd: being written; take `latest` anew), copy the records, read `seq` again: another value
 * means that the copy is torn. There are three tables, so that a copy has at least a period's time. A pass over
 * all tasks is made in slices that may run on different CPUs; the table is not one instant but lies
 * between first_ns and last_ns. A record is whole in itself, or says GF_REC_TORN.
 *
 * Sending a verdict. Take a slot whose answer's seq equals its verdict's seq (it is free). Fill in all words but
 * `seq`, gpufas_check() of it into `check`, and store `seq` last, after a write barrier: a number
 * greater than any sent before to this instance (`mail_seq` is the greatest that the module has taken, 0 at first). Plain
 * stores will do, so that a GPU without atomics can write it. Each seq is acted on once, even if the slot is
 * looked at by several CPUs. The answer in the same slot has the same seq once it is whole.
 * A lethal signal's answer changes from GPUFAS_SENT to GPUFAS_EXITED when the process is gone.
 * Of two verdicts about one process that are both in the mailbox the one with the lower seq comes first, whatever their slots.
 *
 * Taking a verdict back. Store 0 into its `check`, then, after a full barrier, read `taken` of its answer. Another number than its seq: it is
 * not carried out, and will not be. Its seq: a CPU has it in hand, and answers it (GPUFAS_WHY_WITHDRAWN if nothing was done). A deadline
 * alone makes nothing certain: the CPU may have been stopped between its look at the clock and the deed.
 *
 * Nothing is acted on unless the module is armed: by GPUFAS_IOC_ARM, or by its parameter "assisted". Closing the
 * file disarms and ends sampling (and frees the region; pages that are still mapped or pinned stay
 * their holder's) unless GPUFAS_ARM_STAY was given. One file is open at a time. The module cannot be unloaded
 * while it is open or mapped.
 *
 * Versions: `version` changes when a reader of the old could go wrong with the new; words that were
 * reserved (0) may gain a meaning without.
 */
#ifndef GPUFAS_UAPI_GPUFAS_H
#define GPUFAS_UAPI_GPUFAS_H

#include <linux/ioctl.h>
#include <linux/types.h>

#include "gpufas/taskrec.h" /* struct gf_task_rec, what a table's records are */

#define GPUFAS_VERSION 1u
#define GPUFAS_MAGIC 0x4e4f494745524647ull /* "GFREGION" */
#define GPUFAS_DEVICE "/dev/gpufas"
#define GPUFAS_DEVICE_MEM "/dev/gpufas-mem" /* only with the parameter "physmem" */

#define GPUFAS_TABLES 3u
#define GPUFAS_NO_TABLE 0xffffffffu
#define GPUFAS_CHUNKS 128u   /* runs of physical memory that a region may consist of */
#define GPUFAS_PROTECT 32u   /* processes that the reader can protect */
#define GPUFAS_SLOTS 256u    /* verdicts under way at a time */
#define GPUFAS_ROWS_MAX 131072u

#define GPUFAS_PERIOD_MIN_NS 5000000ull
#define GPUFAS_PERIOD_MAX_NS 60000000000ull
#define GPUFAS_POLL_MIN_NS 500000ull
#define GPUFAS_POLL_MAX_NS 1000000000ull
#define GPUFAS_OUTSIDE_MS 1000u /* for so long a region's pages stay the module's after its magic has gone: for an observer outside that looked just before and is about to store */
#define GPUFAS_DEADLINE_MAX_NS 60000000000ull /* a verdict may be valid for this long from now */

enum gpufas_state {
	GPUFAS_DEAD = 0,     /* given up; read no further */
	GPUFAS_SAMPLING = 1,
	GPUFAS_PAUSED = 2,   /* nobody has the file open, and nobody asked to go on */
};

enum gpufas_owner {
	GPUFAS_OWNER_NONE = 0,
	GPUFAS_OWNER_FILE = 1,    /* a process has the device open */
	GPUFAS_OWNER_STAY = 2,    /* that process is gone, and asked that the module stay armed */
	GPUFAS_OWNER_OUTSIDE = 3, /* parameter "assisted": an observer outside the machine */
};

/* A run of physical memory: region bytes in order. */
struct gpufas_chunk {
	__u64 pa;
	__u64 bytes; /* a multiple of the page size */
};

/* Costs and counts since the region was made. */
struct gpufas_counters {
	__u64 irqs;          /* timer interrupts of all CPUs */
	__u64 irq_ns;        /* time in them */
	__u64 irq_max_ns;    /* the longest */
	__u64 slices;
	__u64 slice_ns;
	__u64 slice_max_ns;
	__u64 passes;        /* tables published */
	__u64 pass_ns;       /* the last pass: time in its slices */
	__u64 pass_span_ns;  /* ... and from its first to its last */
	__u64 pids;          /* the last pass: pids looked at, threads' included */
	__u64 takeovers;     /* a CPU went on with a pass that another had begun and left */
	__u64 lost;          /* passes given up: their CPU stopped in the middle */
	__u64 late;          /* periods that began more than a period late */
	__u64 busy;          /* records without memory or descriptors: the task's lock was held */
	__u64 long_groups;   /* records without sums: more threads than can be added in a slice */
	__u64 taken;         /* verdicts: taken, and of them */
	__u64 sent;
	__u64 observed;
	__u64 refused;
	__u64 exited;
	__u64 garbled;       /* slots whose check was wrong: not taken */
	__u64 reserved[3];
};

struct gpufas_header {
	__u64 magic;
	__u32 version;
	__u32 header_size; /* sizeof(struct gpufas_header) */
	__u64 self_pa;     /* physical address of this very page */
	__u64 instance;    /* random, never 0: another region has another one */
	__u64 region_size;
	__u32 page_size;
	__u32 state;       /* enum gpufas_state */
	__u32 owner;       /* enum gpufas_owner */
	__u32 armed;       /* GPUFAS_ARM_*, as in force */

	/* Where things are, in bytes from the start of the region; sizes of one element. */
	__u32 control_off, control_size;
	__u32 cpu_off, cpu_size, cpus;          /* possible CPUs, by number */
	__u32 host_off, host_size;
	__u32 verdict_off, verdict_size;
	__u32 answer_off, answer_size, slots;
	__u32 table_off[GPUFAS_TABLES];
	__u32 table_size;                       /* sizeof(struct gpufas_table): records begin behind it */
	__u32 rec_size, rows;                   /* sizeof(struct gf_task_rec); records a table has room for */
	__u32 chunks;                           /* of chunk[] */
	__u32 reserved0;

	/* Live words, each stored at once. */
	__u64 now_ns;    /* CLOCK_BOOTTIME at the last timer interrupt of any CPU */
	__u64 wall_ns;   /* CLOCK_REALTIME - CLOCK_BOOTTIME at the last pass */
	__u64 jiffies;   /* jiffies_64: stands still when the kernel keeps no time any more */
	__u64 pass;      /* whole tables so far */
	__u32 latest;    /* the newest whole table, or GPUFAS_NO_TABLE */
	__u32 hz;
	__u64 period_ns, poll_ns; /* in force: the control page's, within bounds */
	__u64 slice_ns;  /* the longest that one slice may take */
	__u64 mail_seq;  /* greatest seq taken */
	__u64 budget_left, budget_ns; /* verdicts that may still be carried out before budget_ns (boot time) refills */
	__u32 want, host_reserved;    /* enum gf_rec_have, in force */
	struct gpufas_counters count;
	__u64 reserved1[8];
	struct gpufas_chunk chunk[GPUFAS_CHUNKS];
};

/* Written by the reader; looked at in every pass. 0 in period_ns, poll_ns: the default. */
struct gpufas_control {
	__u32 want;      /* enum gf_rec_have: what records are to hold */
	__u32 flags;     /* enum gpufas_control_flags */
	__u64 period_ns; /* from pass to pass */
	__u64 poll_ns;   /* how often each CPU looks into the mailbox */
	__u64 beat;      /* the reader's own heartbeat: any number that changes; not interpreted */
	__u32 protects;
	__u32 reserved0;
	__s32 protect[GPUFAS_PROTECT]; /* processes that are never touched, beside the opener and its children */
	__u64 reserved[8];
};

enum gpufas_control_flags {
	GPUFAS_COUNT_THREADS = 1, /* look at every thread for GPUFAS_H_RUNNING and _BLOCKED: costs as much as the rest */
};

enum gpufas_cpu_flags {
	GPUFAS_CPU_ONLINE = 1,
	GPUFAS_CPU_IDLE = 2, /* the interrupt met the idle task */
	GPUFAS_CPU_USER = 4, /* ... user mode */
};

/* As each CPU's last timer interrupt found it. A CPU whose beat_ns falls behind now_ns takes no timer interrupts any
 * more. One that is in the kernel, not idle, with resched_ns long ago, does not schedule: a soft lockup. */
struct gpufas_cpu {
	__u64 beat_ns;     /* boot time */
	__u64 beats;
	__u64 same_ns;     /* since when (boot time) the same task has been met, with no switch in between */
	__u64 resched_ns;  /* since when a switch was due at every look; 0: none is */
	__u64 kernel_ns;   /* since when the same task has been met in the kernel only; 0: it was not */
	__s32 pid;         /* the thread it met; 0 idle */
	__u32 flags;       /* enum gpufas_cpu_flags */
	__u64 irq_ns, irq_max_ns;
	__u64 iowait_ns;
	__u32 prio_policy; /* of that thread: kernel priority << 8 | scheduling policy */
	__u32 reserved0;
	__u64 reserved[6];
};

/* Host fields, in the kernel's numbers. Which are known is in `have`, 1 << enum gpufas_host_field: what the module
 * cannot reach (PSI, total swap, forks) it does not say. */
enum gpufas_host_field {
	GPUFAS_H_MEM_TOTAL,     /* bytes, as all memory here */
	GPUFAS_H_MEM_FREE,
	GPUFAS_H_MEM_AVAILABLE,
	GPUFAS_H_MEM_FILE,      /* page cache, block devices' (Buffers) included, swap cache not */
	GPUFAS_H_MEM_DIRTY,
	GPUFAS_H_MEM_SLAB,
	GPUFAS_H_SWAP_FREE,
	GPUFAS_H_LOAD_1,        /* fixed point, 11 bits behind it */
	GPUFAS_H_LOAD_5,
	GPUFAS_H_LOAD_15,
	GPUFAS_H_CPUS,          /* online */
	GPUFAS_H_BUSY,          /* ns of all CPUs: user, nice, system, irq, softirq */
	GPUFAS_H_IOWAIT,        /* ns */
	GPUFAS_H_STEAL,         /* ns */
	GPUFAS_H_TASKS,         /* processes of the last pass */
	GPUFAS_H_THREADS,       /* their threads */
	GPUFAS_H_RUNNING,       /* threads running or ready to, with GPUFAS_COUNT_THREADS */
	GPUFAS_H_BLOCKED,       /* threads waiting for I/O, likewise */
	GPUFAS_H_PGSCAN,        /* events since boot */
	GPUFAS_H_PGMAJFAULT,
	GPUFAS_H_OOM_KILL,
	GPUFAS_H_PSWPIN,
	GPUFAS_H_PSWPOUT,
	GPUFAS_H_COUNT
};

struct gpufas_host {
	__u64 seq;   /* odd while written */
	__u64 have;
	__u64 at_ns; /* boot time */
	__u64 v[37]; /* by enum gpufas_host_field */
};

/* A table, with `count` records behind it. */
struct gpufas_table {
	__u64 seq;      /* odd while written */
	__u64 pass;     /* passes by the order in which they began; those that were given up leave gaps */
	__u64 first_ns; /* boot time of its first and its last slice */
	__u64 last_ns;
	__u32 count;    /* records */
	__u32 total;    /* processes seen, with those that found no room */
	__u32 threads;
	__u32 want;     /* enum gf_rec_have, as it was when the pass began */
	__u32 slices;
	__u32 last_cpu;
	__u64 work_ns;  /* time in the slices */
	__u64 reserved[8];
};

enum gpufas_action {
	GPUFAS_SIGNAL = 1,  /* arg: the signal, 1 to 31. To the process, as kill(2) */
	GPUFAS_RENICE = 2,  /* arg: change of nice, of each thread (up to 256 of them) */
	GPUFAS_PANIC = 3,   /* panic(), so that kdump takes over. pid 0 */
	GPUFAS_RESTART = 4, /* emergency_restart(): nothing is synced. pid 0 */
};

enum gpufas_verdict_flags {
	GPUFAS_OBSERVE = 1, /* all checks, and no deed */
};

struct gpufas_verdict {
	__u64 seq;         /* stored last */
	__u64 check;       /* gpufas_check() */
	__u64 start_ns;    /* with pid the identity: start_ns of its record */
	__u64 deadline_ns; /* boot time after which it is void; at most GPUFAS_DEADLINE_MAX_NS ahead */
	__u64 cookie;      /* the reader's; comes back in the answer */
	__s32 pid;
	__s32 arg;
	__u16 action;      /* enum gpufas_action */
	__u16 flags;       /* enum gpufas_verdict_flags */
	__u32 reserved0;   /* 0 */
	__u64 reserved1;   /* 0 */
};

enum gpufas_answer_state {
	GPUFAS_NONE = 0,
	GPUFAS_SENT = 1,     /* done */
	GPUFAS_EXITED = 2,   /* done, and the process is gone since exit_ns (as seen at a look into the mailbox) */
	GPUFAS_OBSERVED = 3, /* would have been done */
	GPUFAS_REFUSED = 4,  /* see why */
};

enum gpufas_why {
	GPUFAS_WHY_NONE = 0,
	GPUFAS_WHY_DISARMED = 1, /* the module may not act */
	GPUFAS_WHY_BAD = 2,      /* no such action, signal, flag; words that must be 0 */
	GPUFAS_WHY_DEADLINE = 3, /* too late, or too far ahead */
	GPUFAS_WHY_BUDGET = 4,   /* more than may be done in this time */
	GPUFAS_WHY_GONE = 5,     /* no such process */
	GPUFAS_WHY_IDENTITY = 6, /* another process has the pid */
	GPUFAS_WHY_INIT = 7,     /* pid 1 or a container's init */
	GPUFAS_WHY_KTHREAD = 8,
	GPUFAS_WHY_SELF = 9,     /* the opener, its children, or protected by the reader */
	GPUFAS_WHY_EXITING = 10,
	GPUFAS_WHY_FORBIDDEN = 11, /* a last resort that neither parameter nor arming allows */
	GPUFAS_WHY_NO_ROAD = 12, /* not by this road: the kernel lets nobody do it in interrupt context */
	GPUFAS_WHY_FAILED = 13,  /* the kernel refused: `error` */
	GPUFAS_WHY_WITHDRAWN = 14, /* taken back in time */
	GPUFAS_WHY_COUNT
};

struct gpufas_answer {
	__u64 seq;    /* stored last; 0 while written */
	__u64 cookie;
	__u64 at_ns;  /* boot time of the deed, or of the refusal */
	__u64 exit_ns;
	__s32 pid;
	__s32 error;  /* 0 or a negative errno */
	__u16 state;  /* enum gpufas_answer_state */
	__u16 why;    /* enum gpufas_why */
	__u32 cpu;    /* that did it */
	__u64 taken;  /* seq of the verdict that was last begun with; stored before anything is done */
	__u64 reserved;
};

#ifdef __CUDACC__
#define GPUFAS_FN static inline __host__ __device__
#else
#define GPUFAS_FN static inline
#endif

/* Over all words but check itself, and over the instance: what is left of another region is no verdict. 0 is none: take the next seq. */
GPUFAS_FN __u64 gpufas_check(__u64 instance, const struct gpufas_verdict *v)
{
	__u64 word[8], h = instance;
	int i;

	word[0] = v->seq;
	word[1] = v->start_ns;
	word[2] = v->deadline_ns;
	word[3] = v->cookie;
	word[4] = (__u64)(__u32)v->pid << 32 | (__u32)v->arg;
	word[5] = (__u64)v->action << 48 | (__u64)v->flags << 32 | v->reserved0;
	word[6] = v->reserved1;
	word[7] = GPUFAS_VERSION;
	for (i = 0; i < 8; i++) {
		h = (h ^ word[i]) * 0x9e3779b97f4a7c15ull;
		h ^= h >> 29;
	}
	return h;
}

/*
 * ioctls. Each struct begins with its size as the caller knows it: a shorter one is taken with zeros for the
 * rest, a longer one if the rest is 0 (E2BIG if not), as clone3(2) does. Reserved words must be 0 (EINVAL).
 */

/* Makes the region, or takes over the one that is there (then rows is what it has), and starts sampling. In: what is to be;
 * out: what is. Again: EBUSY. ENOMEM: no memory, or too scattered. EINVAL: not this version, rows out of range. */
struct gpufas_start {
	__u32 size;
	__u32 version;   /* GPUFAS_VERSION */
	__u32 rows;      /* 0: the module's default */
	__u32 want;      /* first value of the control page's */
	__u64 period_ns; /* likewise, and bounded likewise */
	__u64 poll_ns;
	__u64 region_size; /* out: what to mmap */
	__u64 instance;    /* out */
};

enum gpufas_arm_flags {
	GPUFAS_ARM_ACT = 1,     /* carry out verdicts; without it, only GPUFAS_OBSERVE */
	GPUFAS_ARM_STAY = 2,    /* go on when the file is closed, until someone opens it again or the module is unloaded */
	GPUFAS_ARM_PANIC = 4,   /* last resorts: EPERM unless the parameter "last_resorts" allows them */
	GPUFAS_ARM_RESTART = 8,
};

/* What the module may do from now on; flags 0: nothing. ENXIO: not started. */
struct gpufas_arm {
	__u32 size;
	__u32 flags;      /* GPUFAS_ARM_* */
	__u32 budget;     /* verdicts in budget_ns, 1 to 1000; 0: the default, 10 in 10 s */
	__u32 reserved0;
	__u64 budget_ns;  /* 100 ms to 1 hour */
};

#define GPUFAS_IOC_START _IOWR('g', 0xf0, struct gpufas_start)
#define GPUFAS_IOC_ARM _IOW('g', 0xf1, struct gpufas_arm)
#define GPUFAS_IOC_KICK _IO('g', 0xf2) /* look into the mailbox now, on this CPU; the verdicts then in it have their answers on return. EAGAIN: another CPU has stopped in the middle of one */
#define GPUFAS_IOC_PASS _IO('g', 0xf3) /* make a whole pass now, instead of when the period is over: on return there is a table that was begun after the call */

#ifdef __cplusplus
#define GPUFAS_ASSERT(what) static_assert(what, #what)
#else
#define GPUFAS_ASSERT(what) _Static_assert(what, #what)
#endif
GPUFAS_ASSERT(sizeof(struct gpufas_chunk) == 16);
GPUFAS_ASSERT(sizeof(struct gpufas_counters) == 192);
GPUFAS_ASSERT(sizeof(struct gpufas_header) == 2536);
GPUFAS_ASSERT(__builtin_offsetof(struct gpufas_header, self_pa) == 16);
GPUFAS_ASSERT(__builtin_offsetof(struct gpufas_header, control_off) == 56);
GPUFAS_ASSERT(__builtin_offsetof(struct gpufas_header, now_ns) == 136);
GPUFAS_ASSERT(sizeof(struct gpufas_header) <= 4096);
GPUFAS_ASSERT(sizeof(struct gpufas_control) == 232);
GPUFAS_ASSERT(sizeof(struct gpufas_cpu) == 128);
GPUFAS_ASSERT(sizeof(struct gpufas_host) == 320);
GPUFAS_ASSERT(GPUFAS_H_COUNT <= 37);
GPUFAS_ASSERT(sizeof(struct gpufas_table) == 128);
GPUFAS_ASSERT(sizeof(struct gpufas_verdict) == 64);
GPUFAS_ASSERT(sizeof(struct gpufas_answer) == 64);
GPUFAS_ASSERT(sizeof(struct gpufas_start) == 48);
GPUFAS_ASSERT(sizeof(struct gpufas_arm) == 24);
#undef GPUFAS_ASSERT

#endif
