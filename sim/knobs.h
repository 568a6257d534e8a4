/* SPDX-License-Identifier: MIT
 *
 * The numbers of a policy by name, so that they can be tried with other values: low-memory.threshold, low-memory.for,
 * hog.cooldown. A number is changed in the text, and the text is compiled again: what is tried is a policy that could be
 * written.
 *
 *   RULE.FIELD      what FIELD (or rate(FIELD, 5s)...) is compared with in the condition: low-memory.mem.available
 *   RULE.threshold  the same, where the condition compares with one number only
 *   RULE.until.FIELD, RULE.where.FIELD   in `until`, and in the selectors' `where`
 *   RULE.for, .times, .within, .after, .cooldown, .settle, .limit, .per, .window
 *   LET             a `let` that is a number;  LET.FIELD  one inside a let
 * The second of a name is NAME#2, and so on.
 */
#ifndef GPUFAS_SIM_KNOBS_H
#define GPUFAS_SIM_KNOBS_H

#include "compiler/source.h"

struct gf_knob {
	char name[160];
	struct gf_span span; /* the number with its unit */
	char text[48];       /* as written: "5%" */
};

struct gf_knobs {
	struct gf_knob *v;
	size_t n, cap;
};

/* All numbers of a policy, in the order of its text. Syntax errors: none of a file's. -ENOMEM. */
int gf_knobs_find(const struct gf_source *src, size_t n, struct gf_knobs *ret);
void gf_knobs_deinit(struct gf_knobs *k);

/* Which number a name is. -EINVAL with a sentence: what there is, and what was meant where it is near. */
int gf_knob_named(const struct gf_knobs *k, const char *name, const struct gf_knob **ret, struct gf_err *err);

/* Whether it is also RULE.threshold. */
bool gf_knob_is_threshold(const struct gf_knobs *k, const struct gf_knob *v);

#define GF_SWEEP_VALUES 1000u

/* NAME=FROM..TO/STEP or NAME=A,B,C. */
struct gf_sweep {
	const struct gf_knob *knob;
	char (*value)[48]; /* as they go into the text */
	size_t n;
};
int gf_sweep_parse(const struct gf_knobs *k, const char *text, struct gf_sweep *ret, struct gf_err *err);
void gf_sweep_deinit(struct gf_sweep *s);

/* The texts with sweep s[i] at its value at[i], for all i: n new texts into ret (names borrowed, text malloc'ed). -ENOMEM. */
int gf_knobs_set(const struct gf_source *src, size_t n, const struct gf_sweep *s, const size_t *at, size_t sweeps, struct gf_source *ret);

#endif
