/* SPDX-License-Identifier: MIT
 *
 * What the host and one target's kernel on a device have in common. struct gf_gpu is in the device's memory and is all
 * that the kernel reaches; the pages it points to under "mapped" are the host's memory.
 *
 * Memory order. Atomics between a GPU and host memory are not to be had on most machines, so there are none here: every
 * mapped word has one writer. Data is handed over by numbers that only grow:
 *   - The writer writes the data with plain stores, then, after a fence at system scope (on the host: a release), the number.
 *   - The reader reads the number past its caches, then, after a fence at system scope (an acquire), the data, past its caches
 *     as well (volatile). It answers with the same number in a word of its own.
 *   - The writer touches the data again only when the answer has come (struct gf_gpu_table, rings by head and tail), or it
 *     writes to one of two buffers, and the number says which is whole (struct gf_gpu_kept; its third buffer is written when a policy is
 *     taken on, and again only when the next one is, which the host asks for).
 * On the device the leader alone reads and writes numbers. What other lanes read or write of the data is between two
 * barriers (gpu/team.h): the leader's fence comes before the first of them, or after the second; barriers pass on
 * what is before them, so the order holds for all lanes.
 * The device keeps no copy of a mapped word but in its own memory, so nothing has to be flushed when a kernel ends.
 */
#ifndef GPUFAS_GPU_H
#define GPUFAS_GPU_H

#include "gpu/deliver.h"
#include "gpu/engine.h"
#include "gpu/mail.h"
#include "gpu/ring_sample.h"
#include "gpu/sampler.h"
#include "gpu/select.h"
#include "gpu/tape.h"
#include "gpu/team.h"

#define GF_GPU_EVENTS 512u     /* ring */
#define GF_GPU_VERDICTS 16384u /* ring */
#define GF_GPU_STAGED 256u     /* events of one tick */
#define GF_GPU_ACTS 8192u      /* verdicts of one tick */
#define GF_GPU_VICTIMS 16384u  /* of all rules together, that are kept for who takes over */
#define GF_GPU_KILLED 4096u
#define GF_GPU_RESULTS 1024u   /* ring */
/* What rules knew when a new policy was taken on is in a buffer of its own: ticks go on and fill the other two before the host has read it. */
#define GF_GPU_KEPT_ADOPTED 2u
/* Of launch's ticks: */
#define GF_GPU_COMMANDS_ONLY (~0ull) /* does what it is asked for, and ends */
#define GF_GPU_PASSES (~1ull)        /* mode relay: one kernel for each tick, the next launched by the device itself, until it is told to stop */

/* What a relay's device launches next: it looks again after a long wait, after a short one, or there is a tick to be run. */
enum gf_relay { GF_RELAY_WAIT, GF_RELAY_SOON, GF_RELAY_PASS, GF_RELAY_COUNT };
#define GF_RELAY_SOON_NS 120000ull /* about as long as a long wait takes */

enum gf_gpu_job {
	GF_GPU_JOB_TABLE = 128, /* the host's table into the device's memory */
	GF_GPU_JOB_OUT,         /* a: events, b: verdicts, staged, into the rings; host fields; which rules' states are to be kept anew */
	GF_GPU_JOB_KEEP,        /* a: of kept[] */
	GF_GPU_JOB_WARM,        /* which words lanes load when a call begins (struct gf_team) */
	GF_GPU_JOB_RING,        /* those from here on are gpu/kernel_ring.h's */
	GF_GPU_JOB_SIDE = GF_GPU_JOB_RING, /* a: rows of the host's table; b to c: bytes of its strings */
	GF_GPU_JOB_BARE,
	GF_GPU_JOB_GENS,
	GF_GPU_JOB_TAPE, /* these are gpu/kernel_tape.h's */
	GF_GPU_JOB_TEXTS,
};

/* Commands. The host writes, each once its predecessor has been answered. */
struct gf_gpu_in {
	uint64_t stop;       /* number of the launch that is to end, or of a later one. UINT64_MAX: it has been given up, and acts no more */
	uint64_t table;      /* number of the table that is to be run over */
	uint64_t adopt;      /* number of the state that is to be taken on */
	struct gf_state *adopt_state; /* the device's addresses */
	const struct gf_adoption *adopt_plan; /* NULL: nothing is taken over */
	uint64_t events_tail, verdicts_tail, results_tail;
	/* to who samples by itself */
	uint64_t guest;      /* number of the guest that is to be looked at */
	struct gf_gpu_guest *guest_at; /* the device's address; NULL: none. With an adoption too: as the new policy needs it */
	uint64_t now_ns;     /* the host's clock, for a launch of one tick; 0: ask clock_offset */
	uint64_t clock_offset; /* the host's clock less the device's */
	uint64_t paused;     /* the guest's CPUs do not run */
	uint64_t observe;
	uint64_t gap;        /* grows when time has passed unobserved */
	uint64_t views;      /* grows when rule views are wanted */
	uint64_t tape_tail;  /* bytes */
};

/* Answers. The device writes. */
struct gf_gpu_out {
	uint64_t heart;      /* grows while the leader lives, also between ticks */
	uint64_t clock_ns;   /* the device's clock when it last did */
	uint64_t pulse;      /* changes while something long goes on; any lane writes it (gpu/pulse.h) */
	uint64_t table, adopt; /* answered */
	uint64_t launches;   /* ended */
	uint64_t events_head, verdicts_head;
	uint64_t kept;       /* number of what is in kept[number & 1]; 0: none yet */
	/* of the table answered last */
	uint64_t actions, events_lost, verdicts_lost; /* counted since the start */
	uint64_t took_ns;
	uint32_t stale, budget_used;
	/* of who samples by itself: counted since the start, or of the last tick */
	uint64_t guest, views, results_head; /* answered */
	uint64_t adopt_kept; /* number of the last adoption before which kept[GF_GPU_KEPT_ADOPTED] was written */
	uint64_t ticks, missed, late, overruns, sample_errors, alone;
	uint64_t sample_ns, total_ns, total_max_ns, now_ns, error, why; /* error: errno of the sampler, why: enum gf_sampler_why */
	uint64_t rows, live, dropped;
	uint64_t by_module;  /* enum gf_region_by, of a guest's */
	uint64_t tape_head, tape_dropped; /* bytes; frames for which there was no room */
	double host[GF_HF_COUNT];
};

/* One guest, as the device sees its memory. */
struct gf_gpu_guest {
	struct gf_sampler_guest s;
	struct gf_pseudo_plain plain;
	struct gf_pseudo_pool pool;
	uint64_t acts; /* 0: nothing is to be stored */
	uint64_t assisted; /* ring.r is the region of the module in it */
	struct gf_mr ring; /* this machine's (all else is of no use then), or the guest's */
};

/* One sample as the host took it. Arrays are in struct gf_gpu_rows. */
struct gf_gpu_table {
	uint64_t now_ns, seq;
	uint32_t rows, live, dropped, epoch;
	uint8_t failed;  /* there is no sample */
	uint8_t observe, gap, views; /* views: rule views are wanted */
	uint32_t verdicts_cap;
	uint32_t strings_from, strings_to; /* bytes of the strings that are new */
	double host[GF_HF_COUNT];
};

struct gf_gpu_str {
	uint32_t off, len, ver, pad; /* ver 0: not known */
};

/* Addresses of a table's arrays, cap entries each. */
struct gf_gpu_rows {
	uint8_t *flags;
	uint32_t *gen, *parent, *uid;
	int32_t *pid;
	uint64_t *start_ns;
	char (*comm)[GF_COMM_LEN];
	double *col[GF_COLS];
	struct gf_gpu_str *str[GF_SF_COUNT];
};

struct gf_gpu_victim {
	uint64_t start_ns; /* rows of who takes over may be others: by identity */
	int32_t pid;
	uint32_t rule;
};

struct gf_gpu_killed {
	uint64_t start_ns, at_ns;
	int32_t pid;
	uint32_t pad;
};

/* What an engine that takes over must know, written whenever it has changed: which rule is in which phase, who its victims
 * are, what was spent. Behind it rules' states, as many as there is room for. */
struct gf_gpu_kept {
	uint64_t image_fp, now_ns;
	uint32_t rules, victims, victims_lost, killed;
	uint32_t budget_head, budget_n;
	uint64_t budget_at[GF_BUDGET_MAX];
	struct gf_gpu_victim victim[GF_GPU_VICTIMS];
	struct gf_gpu_killed dead[GF_GPU_KILLED];
	struct gf_rule_state rule[];
};

/* Where frames go (gpu/tape.h), and the one that is being written. */
struct gf_gpu_tape {
	uint8_t *ring;       /* mapped; NULL: nobody wants any */
	uint64_t size, head, tail, dropped; /* tail: as it was when it was looked at last */
	struct gf_tape_frame frame;
	struct gf_gpu_rows rows; /* its arrays */
	char *text;          /* its strings */
	uint32_t texts, at;  /* bytes of them; of those that are written */
};

struct gf_gpu {
	struct gf_team_mem team;
	/* mapped */
	const struct gf_gpu_in *in;
	struct gf_gpu_out *out;
	const struct gf_gpu_table *table;
	struct gf_gpu_rows rows;
	const char *strings_in;
	struct gf_event *events;
	struct gf_verdict *verdicts;
	struct gf_rule_view *views;
	struct gf_gpu_kept *kept[3];
	struct gf_deliver_result *results;
	/* the device's own */
	struct gf_sample all;    /* every column */
	struct gf_sample sample; /* those that the image reads */
	char *strings;
	struct gf_state *st;
	struct gf_rule_state *kept_last; /* as in the newest kept[] */
	struct gf_tick tick;
	struct gf_tick_in tick_in;
	struct gf_tick_out tick_out;
	uint64_t seq;            /* events' numbers, from 1; the host has its own for them */
	uint64_t table_done, adopt_done, launches, kept_n, heart;
	uint64_t events_head, verdicts_head, actions, events_lost, verdicts_lost;
	/* who samples by itself; sampler NULL: the host does */
	struct gf_sampler *sampler;
	struct gf_deliverer *deliverer;
	struct gf_gpu_guest *guest;
	uint64_t period_ns, next_ns, wake_ns, guest_done, gap_done, views_done, results_head; /* next: when it should be; wake: not before */
	uint64_t ticked_ns;      /* when the last tick had ended; a clock before that has gone back */
	uint64_t ticks, missed, late, overruns, sample_errors, total_max_ns;
	uint32_t passing;        /* the kernel that ended last has a next one */
	uint32_t sampler_made;
	uint32_t up;             /* rows copied last time */
	uint32_t rules_room, changed, count;
	uint64_t renewed_ns;     /* when blocks were looked at last, by the host's clock */
	struct gf_profile *profile; /* NULL: nobody asks */
	struct gf_gpu_tape tape;
	/* the machine itself: while there is a guest, which is the module's region, the host's tables only add to what that says */
	uint32_t by_ring, rings; /* 1: so it is; regions so far */
	struct gf_mr_state ring;
	struct gf_mail mail;     /* of the machine's module, or of the guest's: */
	uint64_t mail_of;        /* instance that it is of; 0: none */
	uint64_t pool_of;        /* number of the guest that deliverer->pool is of */
	struct gf_verdict last;  /* a last resort that the host is to take */
	uint64_t last_ns, last_at; /* when it was said, 0: none is; which verdict */
};

/* Shares out the block at base (NULL: how large must it be?). */
#define GF_GPU_TAKE(type, p, n)                                       \
	do {                                                          \
		(p) = (type)(void *)((uint8_t *)base + at);           \
		at += ((size_t)(n) * sizeof *(p) + 63) / 64 * 64;     \
	} while (0)

static inline size_t gf_gpu_rows_layout(struct gf_gpu_rows *r, uint32_t cap, void *base)
{
	size_t at = 0;

	GF_GPU_TAKE(uint8_t *, r->flags, cap);
	GF_GPU_TAKE(uint32_t *, r->gen, cap);
	GF_GPU_TAKE(uint32_t *, r->parent, cap);
	GF_GPU_TAKE(uint32_t *, r->uid, cap);
	GF_GPU_TAKE(int32_t *, r->pid, cap);
	GF_GPU_TAKE(uint64_t *, r->start_ns, cap);
	GF_GPU_TAKE(char (*)[GF_COMM_LEN], r->comm, cap);
	for (unsigned k = 0; k < GF_COLS; k++)
		GF_GPU_TAKE(double *, r->col[k], cap);
	for (unsigned k = 0; k < GF_SF_COUNT; k++)
		GF_GPU_TAKE(struct gf_gpu_str *, r->str[k], cap);
	return at;
}

/* Of a frame's arrays at base, in those columns that it has; NULL is where it has none. Where its strings begin. */
GF_INLINE size_t gf_tape_layout(const struct gf_tape_frame *f, void *base, struct gf_gpu_rows *r)
{
	size_t at = (sizeof *f + GF_TAPE_STEP - 1) / GF_TAPE_STEP * GF_TAPE_STEP;

	GF_GPU_TAKE(uint8_t *, r->flags, f->n);
	GF_GPU_TAKE(uint32_t *, r->gen, f->n);
	GF_GPU_TAKE(uint32_t *, r->parent, f->n);
	GF_GPU_TAKE(uint32_t *, r->uid, f->n);
	GF_GPU_TAKE(int32_t *, r->pid, f->n);
	GF_GPU_TAKE(uint64_t *, r->start_ns, f->n);
	GF_GPU_TAKE(char (*)[GF_COMM_LEN], r->comm, f->n);
	for (uint32_t k = 0; k < GF_COLS; k++) {
		r->col[k] = NULL;
		if (gf_tape_has_col(&f->has, k))
			GF_GPU_TAKE(double *, r->col[k], f->n);
	}
	for (uint32_t k = 0; k < GF_SF_COUNT; k++) {
		r->str[k] = NULL;
		if (f->has.str >> k & 1)
			GF_GPU_TAKE(struct gf_gpu_str *, r->str[k], f->n);
	}
	return at;
}

static inline size_t gf_gpu_sample_layout(struct gf_sample *s, uint32_t cap, void *base)
{
	size_t at = 0;

	s->cap = cap;
	GF_GPU_TAKE(uint8_t *, s->flags, cap);
	GF_GPU_TAKE(uint32_t *, s->gen, cap);
	GF_GPU_TAKE(uint32_t *, s->parent, cap);
	GF_GPU_TAKE(uint32_t *, s->uid, cap);
	GF_GPU_TAKE(int32_t *, s->pid, cap);
	GF_GPU_TAKE(uint64_t *, s->start_ns, cap);
	GF_GPU_TAKE(char (*)[GF_COMM_LEN], s->comm, cap);
	for (unsigned k = 0; k < GF_COLS; k++)
		GF_GPU_TAKE(double *, s->col[k], cap);
	for (unsigned k = 0; k < GF_SF_COUNT; k++)
		GF_GPU_TAKE(struct gf_strref *, s->str[k], cap);
	return at;
}

#endif
