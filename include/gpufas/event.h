/* SPDX-License-Identifier: MIT
 *
 * Verdicts (what an engine wants done) and events (what happened and why).
 * Fixed-size, no pointers: the same bytes go through a ring in the daemon, and
 * later through mapped memory from the GPU.
 */
#ifndef GPUFAS_EVENT_H
#define GPUFAS_EVENT_H

#include "gpufas/bytecode.h"
#include "gpufas/sample.h"

#define GF_EVENT_TERMS 16u
#define GF_EVENT_RANKS 6u
#define GF_EVENT_NOTES 8u
#define GF_EVENT_MEMBERS 16u
#define GF_EVENT_TEXT 256u

enum gf_verdict_flags {
	GF_VERDICT_OBSERVE = 1, /* go all the way, stop at the last call */
	GF_VERDICT_LEAD = 2,    /* first verdict of its event */
	GF_VERDICT_LAST = 4,    /* last verdict of its event */
	GF_VERDICT_DONE_BY_ENGINE = 8, /* the engine delivers it itself, and tells what became of it */
};

/* One thing to do to one task (or, where pid is 0, to none: log, notify, run). */
struct gf_verdict {
	uint64_t event;    /* seq of the event that explains it */
	uint64_t start_ns; /* identity, with pid */
	int32_t pid;
	uint32_t row;
	uint32_t gen;
	uint32_t rule;
	uint8_t step;      /* index inside the rule */
	uint8_t action;    /* enum gf_action */
	uint8_t group;     /* enum gf_group that it was reached by */
	uint8_t flags;     /* enum gf_verdict_flags */
	int32_t arg;       /* signal, nice */
	uint8_t limit;     /* enum gf_limit_kind, GF_ACT_LIMIT */
	uint8_t reserved[3];
	uint32_t epoch;    /* of the sample that it was decided on; 0: none, or by hand */
	double amount;     /* GF_ACT_LIMIT: to what; unknown: it could not be computed now, and nothing may be set */
};
GF_STATIC_ASSERT(sizeof(struct gf_verdict) == 56, "gf_verdict");

/* Whether it is a signal that is meant to end the process, so that its exit is awaited. */
GF_INLINE int gf_verdict_is_lethal(const struct gf_verdict *v)
{
	/* INT QUIT ILL TRAP ABRT BUS FPE KILL SEGV TERM XCPU XFSZ SYS */
	const uint32_t lethal = 1u << 2 | 1u << 3 | 1u << 4 | 1u << 5 | 1u << 6 | 1u << 7 | 1u << 8 | 1u << 9 | 1u << 11 | 1u << 15
				| 1u << 24 | 1u << 25 | 1u << 31;

	return v->action == GF_ACT_SIGNAL && v->arg > 0 && v->arg < 32 && lethal >> v->arg & 1;
}

enum gf_event_kind {
	GF_EV_ACTION,   /* a step was taken (or, observing, would have been) */
	GF_EV_NO_VICTIM,/* the rule is true and nothing could be chosen: `ranks` says why */
	GF_EV_HELD_BACK,/* the rule is true and may not act: reason in `held_back` */
	GF_EV_SKIPPED,  /* a later step was skipped: its victims are gone */
	GF_EV_RESULT,   /* what became of an action's members (from the actuator) */
	GF_EV_RULE_ON,  /* a rule became true */
	GF_EV_RULE_OFF,
	GF_EV_MISSED,   /* ticks missed: `count` */
	GF_EV_DAEMON,   /* text: start, stop, reload, error */
};

enum gf_held_back {
	GF_HB_NONE,
	GF_HB_COOLDOWN,
	GF_HB_LIMIT,
	GF_HB_SETTLE,  /* its last victims are still there */
	GF_HB_BUDGET,
	GF_HB_STALE,   /* the sample is stale or torn */
	GF_HB_BUSY,    /* the queue of actions has no room for the whole of it: tried again in the next tick */
};

/* Why a candidate was not chosen, or that it was. */
enum gf_why {
	GF_WHY_CHOSEN,
	GF_WHY_RANKED_LOWER,
	GF_WHY_AVOIDED,    /* class "avoid", and a better class was enough */
	GF_WHY_NOT_PREFERRED, /* a "prefer"red candidate came first */
	GF_WHY_PID1,       /* pid 1 or a container's init */
	GF_WHY_KTHREAD,
	GF_WHY_SELF,       /* the daemon or one of its helpers */
	GF_WHY_EXITING,
	GF_WHY_TORN,
	GF_WHY_OOM_IMMUNE, /* oom_score_adj -1000 and no unprotect */
	GF_WHY_PROTECTED,  /* by class statement `by` */
	GF_WHY_WHERE,      /* the selector's where is not true */
	GF_WHY_CONDEMNED,  /* by rule `by` in this tick, or still its victim; `by` GF_NONE: has been sent SIGKILL and is on its way out */
	GF_WHY_KEY_UNKNOWN,/* rank not known */
	GF_WHY_COUNT
};

struct gf_event_term {
	double left, right; /* unknown where the term has no such side */
	uint32_t term;      /* index in the image's terms */
	uint8_t truth;      /* enum gf_tri */
	uint8_t reserved[3];
};
GF_STATIC_ASSERT(sizeof(struct gf_event_term) == 24, "gf_event_term");

struct gf_event_rank {
	double key;
	uint64_t start_ns;
	int32_t pid;
	uint32_t uid;
	char comm[GF_COMM_LEN];
	uint8_t why;   /* enum gf_why */
	uint8_t klass; /* 0 preferred, 1 plain, 2 avoided, 3 protected */
	uint16_t reserved;
	uint32_t by;   /* class or rule number, or GF_NONE */
};
GF_STATIC_ASSERT(sizeof(struct gf_event_rank) == 48, "gf_event_rank");

/* How an action went into a target. */
enum gf_how {
	GF_HOW_CALL,     /* a system call on this machine */
	GF_HOW_STORE,    /* vm: pending bit and flags of a running task */
	GF_HOW_IRQ_WORK, /* vm: the kernel's own sender, through a forged irq_work */
	GF_HOW_LIMIT,    /* vm: a limit's words */
	GF_HOW_QMP,      /* vm: QEMU itself (reset, nmi) */
	GF_HOW_GPU_STORE,    /* as STORE, by the GPU, which needs no CPU of the host for it */
	GF_HOW_GPU_IRQ_WORK, /* as IRQ_WORK, by the GPU */
	GF_HOW_MODULE,   /* the kernel module, from its mailbox: of this machine, or of a guest */
	GF_HOW_SYSRQ,    /* a panic or restart by /proc/sysrq-trigger */
};

/* What was read back in the target's memory; never assumed. */
enum gf_became {
	GF_BECAME_UNSEEN,    /* nobody looked: a system call's answer is the answer */
	GF_BECAME_DELIVERED, /* taken by the target's kernel, or its effect is there: after exit_us */
	GF_BECAME_PENDING,   /* in the target, and waits there: it has not been taken yet */
	GF_BECAME_REFUSED,   /* nothing was stored: `why` */
	GF_BECAME_LOST,      /* the target went away before it was seen */
};

/* Why nothing was stored. */
enum gf_refused {
	GF_REF_NONE,
	GF_REF_GONE,        /* exited before */
	GF_REF_IDENTITY,    /* another process has the pid */
	GF_REF_EXITING,
	GF_REF_INIT,        /* SIGNAL_UNKILLABLE */
	GF_REF_KTHREAD,
	GF_REF_TRACED,
	GF_REF_BLOCKED,     /* the signal is blocked: it would stay pending */
	GF_REF_IGNORED,
	GF_REF_NO_ROAD,     /* the road that this state needs is off for this kernel: probe says why */
	GF_REF_NO_GUEST,    /* not attached: stopped, booting, migrated away */
	GF_REF_TORN,        /* the structures did not read consistently */
	GF_REF_READ_ONLY,   /* an image */
	GF_REF_NO_CPU,      /* no CPU of the target takes interrupts, and no kick is configured */
	GF_REF_PAUSED,      /* the guest's CPUs are stopped: it may be being saved or moved */
	GF_REF_REBOOTED,    /* it was decided on before the guest rebooted */
	GF_REF_NO_ROOM,     /* what would have to be undone later cannot be remembered */
	GF_REF_NOT_OURS,    /* a limit to be lifted that gpufas has not set */
	GF_REF_NOT_ALLOWED, /* a last resort that gpufas.yaml, or the kernel module, does not allow */
	GF_REF_SELF,        /* the daemon, or whom the module protects for it */
	GF_REF_BUDGET,      /* the module's own bound on deeds in a time */
	GF_REF_LATE,        /* the module had not looked at it in time */
	GF_REF_COUNT
};

/* What became of one member of an action. */
struct gf_event_member {
	uint64_t start_ns;
	int32_t pid;
	int32_t error;   /* 0 sent; -errno; -ESTALE: another identity has the pid; -ESRCH: gone before */
	uint32_t exit_us;/* from signal to exit seen, GF_NONE: not (yet) gone */
	uint8_t how;     /* enum gf_how: by which road */
	uint8_t became;  /* enum gf_became: what was seen of it in the target's memory */
	uint8_t tries;   /* stores made, 1 and up; 0: none */
	uint8_t why;     /* enum gf_refused, where became is GF_BECAME_REFUSED */
};
GF_STATIC_ASSERT(sizeof(struct gf_event_member) == 24, "gf_event_member");

struct gf_event {
	uint64_t seq;      /* grows by one an event, never reused while the daemon runs */
	uint64_t now_ns;   /* target's boot time of the sample */
	uint64_t wall_ns;  /* CLOCK_REALTIME when queued; filled by the CPU side */
	uint64_t image_fp; /* image whose numbers this event uses */
	uint64_t about;    /* RESULT: the action's seq; SKIPPED, ACTION of a later step: the first step's; else 0 */
	uint8_t kind;      /* enum gf_event_kind */
	uint8_t held_back; /* enum gf_held_back */
	uint8_t observed;  /* 1: observe mode or observing rule, nothing was done */
	uint8_t step;      /* DAEMON: level of syslog, 0: LOG_NOTICE */
	uint32_t rule;     /* or GF_NONE */
	uint32_t target;   /* index of target in the daemon; GF_NONE: the daemon as a whole */
	/* the victim (the seed, for groups) */
	int32_t pid;
	uint32_t uid;
	uint32_t row;
	uint64_t start_ns;
	char comm[GF_COMM_LEN];
	/* counts over the candidates */
	uint32_t candidates, never, protect, where, condemned, chosen, members;
	uint32_t count;    /* MISSED: ticks; RESULT: members in this event; ACTION: members of groups for whom there
			    * was no room; other events of a rule: how many before this one were left unsaid */
	uint8_t terms, ranks, notes, reserved;
	uint32_t decide_ns;/* from sample taken to verdict */
	struct gf_event_term term[GF_EVENT_TERMS];
	union {
		struct gf_event_rank rank[GF_EVENT_RANKS];
		struct gf_event_member member[GF_EVENT_MEMBERS];
	} u;
	/* The step's notify template, or where it has none the rule's: note[i] is the
	 * number of piece i (unknown where it has none), `notes` of them. */
	double note[GF_EVENT_NOTES];
	char text[GF_EVENT_TEXT];    /* the template's string fields in order (of the first `notes` pieces), each NUL-terminated; DAEMON: the sentence */
};
GF_STATIC_ASSERT(sizeof(struct gf_event) == 128 + 24 * GF_EVENT_TERMS + 24 * GF_EVENT_MEMBERS + 8 * GF_EVENT_NOTES + GF_EVENT_TEXT, "gf_event");
GF_STATIC_ASSERT(GF_EVENT_RANKS * 48 <= GF_EVENT_MEMBERS * 24, "gf_event union");

#endif
