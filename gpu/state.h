/* SPDX-License-Identifier: MIT
 *
 * What an engine remembers between ticks, beside the image: holds, histories,
 * string matches, rule states, budget. Every table has its size fixed when it is
 * made; nothing here grows. Host and device.
 *
 * Each hold, history and rule is a block of its own, found again over a reload by
 * its fingerprint (gf_state_adopt), so that a reload moves pointers between two
 * ticks and copies nothing. Blocks are zero when made and touched only as far as
 * there are rows, so that an unused row costs address space and no memory.
 */
#ifndef GPUFAS_STATE_H
#define GPUFAS_STATE_H

#include "gpufas/bytecode.h"
#include "gpufas/event.h"
#include "gpufas/sample.h"

#define GF_STATE_VICTIMS 4096u /* members that one rule follows at a time */
#define GF_BUDGET_MAX 4096u    /* actions a window that can be counted */
#define GF_KILLED_NS 30000000000ull /* for so long a task that was sent SIGKILL is not chosen again */
#define GF_ROW_BLOCK 128u      /* rows for which one byte of `any` speaks; divides cap */

/* A hold or latch. One entry a row (task scope) or one (host scope). */
struct gf_hold_state {
	uint64_t *since;  /* TIME: when the run of true began, ns; PERIODS: its first tick; 0: not true now */
	uint8_t *latched; /* LATCH: enum gf_tri, what the latch is */
	uint8_t *any;     /* a row block: 0 when no row of it has since or latched set */
	uint64_t born_ns; /* first tick that updated it; 0: none yet */
	uint64_t born_tick;
	uint8_t used;     /* some `any` is set */
	uint8_t reserved[7];
};

/* A window: slots + 2 ring columns of `stride` rows, plus the running bucket. A
 * bucket is closed window/(slots + 1) after the one before, or later: so the
 * oldest column is always at least a window older than the newest. */
struct gf_hist_state {
	double *ring;     /* [(slots + 2) * stride]: RATE, DELTA: value at the bucket's end; else its aggregate */
	double *acc;      /* [stride] running bucket (sum, max, min); RATE, DELTA: unused */
	double *now;      /* [stride] value of this tick */
	double *n;        /* AVG: ring of counts, as `ring`; else NULL */
	double *acc_n;    /* AVG: running count */
	uint64_t *time;   /* [slots + 2] when each ring column was closed, ns; 0: never */
	uint64_t *first;  /* [stride] when this row's window began to fill, ns; 0: not */
	uint64_t acc_start; /* when the running bucket was begun, ns; 0: none yet */
	uint64_t now_time;
	uint32_t stride;  /* rows (task scope: cap; host scope: 1) */
	uint32_t head;    /* ring column written last */
	uint32_t cols;    /* slots + 2 */
	uint32_t then;    /* RATE, DELTA: column to compare with, or GF_NONE */
	uint8_t closing;  /* this tick closes the bucket into column head */
	uint8_t reserved[7];
};

enum gf_rule_phase { GF_PHASE_IDLE, GF_PHASE_STEPS, GF_PHASE_SETTLE, GF_PHASE_COOLDOWN };

struct gf_victim {
	uint32_t row;
	uint32_t gen;
};

#define GF_TOLD_NO_VICTIM 0x80u /* beside 1 << enum gf_held_back */

struct gf_rule_state {
	uint8_t phase;      /* enum gf_rule_phase */
	uint8_t was_true;   /* active: true was seen, and not false since */
	uint8_t told;       /* bits: what has been reported for this activation */
	uint8_t next_step;
	uint32_t victims;   /* followed now */
	uint64_t action;    /* event seq of the first step */
	uint64_t due_ns;    /* next step, end of settle or of cooldown */
	uint64_t acted[GF_MAX_LIMIT]; /* times of the last actions, ring */
	uint32_t acted_head, acted_n;
	uint64_t fired;     /* actions since the start */
	uint64_t last_ns;   /* last step taken */
	uint32_t true_rows; /* rows (or 1) for which the condition is true now */
	uint8_t truth;      /* enum gf_tri of the rule as a whole */
	uint8_t observed;   /* the first step was only observed: so are those after it */
	uint8_t reserved[2];
	uint64_t tell_ns;   /* when the window of told_n began */
	uint32_t told_n;    /* events, actions aside, since tell_ns */
	uint32_t unsaid;    /* left out since the last one that was not */
};

/* The tasks as a forest, deepest first; made when a tick needs it. */
struct gf_family {
	uint32_t *up;    /* [cap] parent's row, GF_NONE for roots; a cycle is cut */
	uint32_t *depth; /* [cap] */
	uint32_t *order; /* [cap] valid rows, deepest first, then by row */
	uint32_t *count; /* [cap + 1] scratch */
	uint32_t n;
	uint64_t tick;   /* for which it was made */
};

#define GF_TOP_GROUP 8u  /* rows that are put into one list, by one lane; divides GF_ROW_BLOCK */
#define GF_TOP_MAX 8u    /* entries of a list */
#define GF_TOP_RANKS GF_EVENT_RANKS
#define GF_TOP_FAN 32u   /* lists that are merged into one where there are many */

/* One of a list: what it is ranked by (gf_top_entry). */
struct gf_top_entry {
	uint64_t key, start; /* the larger one comes first; */
	uint32_t klass, pid, row; /* the smaller one; klass GF_NONE: nobody */
	uint32_t n;          /* entries of the list */
} __attribute__((aligned(16)));
GF_STATIC_ASSERT(sizeof(struct gf_top_entry) == 32, "gf_top_entry");

/* An event whose evidence lanes are to fill in (gpu/tell.h). */
#define GF_TELLS 4u
struct gf_tell {
	struct gf_event *ev;
	uint32_t row;        /* GF_NONE: of none */
	uint32_t term, note; /* the first of them */
	uint8_t terms, notes, ranks, pick;
	uint32_t last;       /* the last who was picked, GF_NONE: nobody was */
	uint32_t rank[GF_EVENT_RANKS];
};

/* A step's victims, and the verdicts on them. */
struct gf_deed {
	uint64_t event;
	uint32_t rule, members;
	uint32_t at;         /* the first one's verdict */
	uint8_t step, group, observed, claims;
};

/* An aggregate while lanes add to it; zero between ticks. */
struct gf_agg_sum {
	uint64_t best; /* MAX, MIN: the value as an ordered integer (gf_agg_code), 0: none */
	uint32_t trues, top, lost, reserved;
};

/* How much of something there was, over rows. */
struct gf_choice {
	uint32_t candidates, never, protect, where, condemned, seeds;
};

/* What a level of programs needs when its job is done. */
enum gf_level_what { GF_LEVEL_AGGS = 1, GF_LEVEL_SUMS = 2, GF_LEVEL_COLS = 4 };

/* How a team does a tick: first what follows from the image, then what its lanes share. One lane needs none of it, and
 * touches no page of it. */
struct gf_work {
	/* Programs of the tick in levels: those of one level need nothing of each other but what they left in the same row,
	 * and are run in one job (gpu/plan.c). */
	uint32_t levels, prog_holds, fields;
	uint8_t serial; /* what a rule reads depends on how far the rules before it have come: one after the other */
	uint8_t fresh;  /* some match is */
	uint8_t reserved[2];
	uint32_t *plan;       /* the words of all that follow */
	uint32_t level_at;    /* [levels + 1] into order */
	uint32_t level_what;  /* [levels] enum gf_level_what */
	uint32_t order;       /* [tick programs] by level, then by number */
	uint32_t prog_hold;   /* [prog_holds] holds (no latches) that programs of the tick advance */
	uint32_t sum;         /* [aggs] SUM: its number among those, else GF_NONE */
	uint32_t sums;
	/* shared by lanes */
	void *mem;
	struct gf_agg_sum *acc; /* [aggs] */
	double *x;            /* [sums][cap] */
	double *part;         /* [sums][cap / GF_REDUCE] */
	uint32_t *top;        /* [rules] truth so far */
	uint32_t *open;       /* [rules] task rules whose gate is open, in any order */
	uint32_t *want;       /* [rules / 32] bit a rule: the leader has something to do for it; zero between ticks */
	uint32_t *rank;       /* [cap] how many rank before the row; members of a tree */
	struct gf_top_entry *list[2]; /* lists of GF_TOP_MAX, of each GF_TOP_GROUP rows; by enum gf_top */
	struct gf_top_entry *merged[2]; /* lists of GF_TOP_MAX, of each GF_TOP_FAN of these */
	uint32_t *arrived;    /* [cap / GF_TOP_GROUP] rows that have been done; zero between jobs */
	uint32_t open_n;
	uint32_t count;       /* of what a job counts */
	uint32_t first;       /* ~ the first row */
	uint32_t cyclic;      /* some parents are in a circle */
	uint32_t cond_rule;   /* whose truth is in cond, + 1 */
	uint64_t cond_tick;
	struct gf_choice choice;
	uint32_t best[2][GF_TOP_MAX]; /* of all lists */
	uint32_t ranked;      /* best[GF_TOP_RANK] is of this selection */
	uint32_t tells, tells_ranks; /* of which so many have ranks */
	struct gf_tell tell[GF_TELLS];
	struct gf_deed deed;
};

/* Which tables of an old state a new one takes over; made by the caller's thread, in one block. */
struct gf_adoption {
	uint32_t rules;   /* rules that keep their state */
	uint32_t numbers; /* in all of the following */
	uint32_t *hold, *hist, *rule, *match; /* [new number] old number or GF_NONE */
};

/* Allocation happens in gf_state_create() only (gpu/state.c on the host). */
struct gf_state {
	const struct gf_image_header *img; /* verified; not owned */
	uint32_t cap;          /* rows, as the sample's; a multiple of GF_ROW_BLOCK */
	uint32_t rows_seen;    /* no row from here on was ever valid */
	uint64_t tick;         /* ticks evaluated, first is 1 */
	uint64_t now_ns;       /* of the last tick evaluated; 0: none */
	uint64_t last_seq;     /* sample's */
	uint8_t gap;           /* a tick was lost: runs of true start anew */
	uint8_t stale_told;
	uint64_t stale_at;     /* when a stale sample was last told of, ns; 0: never */
	uint32_t *row_gen;     /* [cap] identity seen */
	uint64_t *row_since;   /* [cap] when this state first saw the identity, ns; 0: never */
	uint64_t *row_tick;    /* [cap] the same in ticks */
	uint8_t *lo, *hi;      /* [cap] bounds of truth in this tick: valid 0 2, torn 1 1, no task 0 0 */
	uint32_t *str_ver[GF_SF_COUNT]; /* [cap] string version matched last */
	uint8_t **match;       /* [matches][cap] enum gf_tri */
	uint8_t *match_fresh;  /* [matches] 1: no row has been matched yet */
	double *agg;           /* [aggs] */
	double **vcol;         /* [cols] or NULL */
	uint8_t **pcol;        /* [cols] or NULL */
	struct gf_hist_state *hist;
	struct gf_hold_state *hold;
	struct gf_rule_state *rule;
	struct gf_victim **victim; /* [rules][GF_STATE_VICTIMS] */
	uint32_t *rule_hold_at;    /* [rules + 1] index into rule_hold */
	uint32_t *rule_hold;       /* holds (no latches) that each rule's condition updates */
	uint8_t *cond;         /* [cap] truth of the rule at hand */
	/* classes; valid when klass_tick == tick */
	uint8_t *klass;        /* [cap] 0 preferred, 1 plain, 2 avoided, 3 protected */
	uint8_t *unprot;       /* [cap] some unprotect is true */
	uint32_t *klass_by;    /* [cap] class number */
	uint64_t klass_tick;
	/* one selection */
	double *key;           /* [cap] */
	uint8_t *why;          /* [cap] enum gf_why */
	uint8_t *mark;         /* [cap] member already; zero between selections */
	uint32_t *pick;        /* [GF_MAX_PICK] */
	struct gf_victim *member; /* [GF_STATE_VICTIMS] */
	uint32_t *condemned;   /* [cap] rule + 1 that has the row in this tick, 0: none */
	uint64_t *condemned_tick; /* [cap] tick in which condemned[] was written */
	uint64_t *killed_ns;   /* [cap] when the row was sent SIGKILL, 0: never */
	uint32_t *killed_gen;  /* [cap] and the identity it had */
	uint8_t *scratch_p;    /* [cap] columns PARENT, ANCESTOR; trees */
	struct gf_family family;
	/* budget: a ring of the last actions' times over all rules */
	uint64_t *budget_at;   /* [GF_BUDGET_MAX] */
	uint32_t budget_head, budget_n;
	struct gf_work work;
	struct gf_state_priv *priv; /* allocations, gpu/state.c */
};

#if !defined(__CUDACC__)
#include "gpufas/err.h"

/* The plan of an image: how many words it takes, and the words. */
size_t gf_plan_words(const struct gf_image_header *img);
void gf_plan_make(const struct gf_image_header *img, uint32_t *words, struct gf_work *w);
/* Lays out what lanes share from base on (which is not touched); returns its size. */
size_t gf_work_layout(const struct gf_image_header *img, uint32_t cap, void *base, struct gf_work *w);

/* A state for a verified image over a sample of cap rows (a multiple of
 * GF_ROW_BLOCK). -ENOMEM, -EINVAL. */
int gf_state_create(const struct gf_image_header *img, uint32_t cap, struct gf_state **ret, struct gf_err *err);
void gf_state_destroy(struct gf_state *st);

/* Where tables are that this process itself never looks at: a device's memory. take gives zeroed memory or NULL. */
struct gf_state_place {
	void *(*take)(void *arg, size_t size);
	void (*give)(void *arg, void *p);
	void *arg;
};
/* A state whose tables are there (place must outlive it). It is a list of tables, for gf_state_flatten(), gf_state_adopt()
 * and gf_state_destroy(): nobody here ticks it. place NULL: as gf_state_create(). */
int gf_state_create_at(const struct gf_image_header *img, uint32_t cap, const struct gf_state_place *place,
		       struct gf_state **ret, struct gf_err *err);
/* Writes the struct, and behind it the tables that say where others are, as they are to be at address base, over an
 * image at img. Returns the size; buf NULL: only that. */
size_t gf_state_flatten(const struct gf_state *st, const struct gf_image_header *img, void *base, void *buf);

/* Takes over from `old` what has the same fingerprint in the new image: rows,
 * holds, histories, rule states with their victims, matches, budget. Moves
 * pointers only; `old` gets the new, empty tables instead and is good for
 * gf_state_destroy() only. plan: from gf_state_plan(), which reads images only
 * and allocates (free() it), so it may run while old is in use. */
int gf_state_plan(const struct gf_image_header *from, const struct gf_image_header *to, struct gf_adoption **ret);
void gf_state_adopt(struct gf_state *st, struct gf_state *old, const struct gf_adoption *plan);
uint32_t gf_adoption_rules(const struct gf_adoption *plan); /* rules that keep their state */
const uint32_t *gf_adoption_rule_map(const struct gf_adoption *plan); /* [new rule] old rule or GF_NONE */

/* Faults in the memory of rows [from, to) of every table (from 0 also of those that
 * have no rows), by writing to it what is there. On the thread that ticks, or before
 * it has the state. */
void gf_state_prefault(struct gf_state *st, uint32_t from, uint32_t to);
#endif

#endif
