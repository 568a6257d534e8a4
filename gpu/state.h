/* SPDX-License-Identifier: MIT
 *
 * What an engine remembers between ticks, beside the image: holds, histories,
 * string matches, rule states, budget. Every table has its size fixed when it is
 * made; nothing here grows. Host and device.
 *
 * Each hold and history is a block of its own, found again over a reload by its
 * fingerprint (gf_state_adopt), so that a reload moves pointers between two
 * ticks and copies nothing.
 */
#ifndef GPUFAS_STATE_H
#define GPUFAS_STATE_H

#include "gpufas/bytecode.h"
#include "gpufas/event.h"
#include "gpufas/sample.h"

#define GF_STATE_VICTIMS 4096u /* members that one rule follows at a time */
#define GF_BUDGET_MAX 256u

/* A hold or latch. One entry a row (task scope) or one (host scope). */
struct gf_hold_state {
	uint64_t *since;  /* TIME: when the run of true began, ns, 0: not true now; PERIODS: ticks of the run */
	uint8_t *latched; /* LATCH */
	uint8_t *any;     /* per GF_WIDTH rows: 0 when no row of the chunk has since or latched set */
};

/* A window: slots + 2 columns of `stride` rows in a ring, plus the running bucket. */
struct gf_hist_state {
	double *ring;     /* [(slots + 2) * stride]: RATE, DELTA: value at the bucket's end; else its aggregate */
	double *acc;      /* [stride] running bucket (value, sum, max, min) */
	double *now;      /* [stride] value of this tick */
	double *n;        /* AVG: ring of counts, as `ring`; else NULL */
	double *acc_n;    /* AVG: running count */
	uint64_t *time;   /* [slots + 2] when each ring column was closed, ns; 0: never */
	uint64_t *first;  /* [stride] when this row's window began to fill, ns; 0: not */
	uint64_t acc_start;
	uint64_t now_time;
	uint32_t stride;  /* rows (task scope: cap; host scope: 1) */
	uint32_t head;    /* ring column written last */
};

enum gf_rule_phase { GF_PHASE_IDLE, GF_PHASE_STEPS, GF_PHASE_SETTLE, GF_PHASE_COOLDOWN };

struct gf_victim {
	uint32_t row;
	uint32_t gen;
};

struct gf_rule_state {
	uint8_t phase;      /* enum gf_rule_phase */
	uint8_t was_true;   /* for RULE_ON, RULE_OFF */
	uint8_t told;       /* enum gf_held_back or NO_VICTIM already reported for this activation */
	uint8_t next_step;
	uint32_t victims;   /* followed now */
	uint64_t action;    /* event seq of the first step */
	uint64_t due_ns;    /* next step, end of settle or of cooldown */
	uint64_t acted[GF_MAX_LIMIT]; /* times of the last actions, ring */
	uint32_t acted_head, acted_n;
	uint64_t fired;     /* actions since the start */
	uint64_t last_ns;   /* last action */
	/* published for status and top */
	double close;       /* how near to firing, 0..1, or unknown */
	uint32_t close_row;
	uint32_t true_rows; /* rows (or 1) for which the condition is true now */
	uint8_t truth;      /* enum gf_tri of the rule as a whole */
	uint8_t reserved[7];
};

/* Allocation happens in gf_state_create() only (gpu/state.c on the host). */
struct gf_state {
	const struct gf_image_header *img; /* verified; not owned */
	uint32_t cap;          /* rows, as the sample's */
	uint32_t *row_gen;     /* [cap] identity seen */
	uint64_t *row_since;   /* [cap] when this state first saw the identity, ns */
	uint32_t *str_ver[GF_SF_COUNT]; /* [cap] string version matched last */
	uint8_t **match;       /* [matches][cap] enum gf_tri */
	double *agg;           /* [aggs] */
	double **vcol;         /* [cols] or NULL */
	uint8_t **pcol;        /* [cols] or NULL */
	struct gf_hist_state *hist;
	struct gf_hold_state *hold;
	struct gf_rule_state *rule;
	struct gf_victim **victim; /* [rules][GF_STATE_VICTIMS] */
	uint8_t *cond;         /* [cap] truth of the rule at hand */
	uint8_t *klass;        /* [cap] 0 preferred, 1 plain, 2 avoided, 3 protected; valid when klass_tick == tick */
	uint32_t *klass_by;    /* [cap] class number */
	double *key;           /* [cap] */
	uint8_t *why;          /* [cap] enum gf_why */
	uint32_t *condemned;   /* [cap] rule + 1 that has condemned the row in this tick, 0: none */
	uint64_t klass_tick;
	uint64_t started_ns;   /* first tick */
	/* budget: a ring of the last actions' times over all rules */
	uint64_t budget_at[GF_BUDGET_MAX];
	uint32_t budget_head, budget_n;
	uint8_t budget_told;
};

#endif
