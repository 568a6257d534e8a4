/* SPDX-License-Identifier: MIT
 *
 * What the parts of lowering share: expressions (lower_expr.c), products of a
 * tick (lower_tick.c), rules (lower_rule.c), and the whole (lower.c).
 */
#ifndef GPUFAS_LOWER_H
#define GPUFAS_LOWER_H

#include "compiler/emit.h"
#include "compiler/sema.h"

struct lower {
	struct gf_emit out;
	const struct gf_sema *sema;
	struct gf_diags *diags;
	struct gf_hmap product;  /* node hash: number of aggregate, column or history */
	struct gf_hmap program;  /* hash of node and use: program */
	struct gf_hmap match;    /* hash of field and pattern: match */
	struct gf_hmap seen_fp;  /* fingerprints given out */
	struct line_map { uint32_t *start; uint32_t n; } *lines; /* per source */
	uint64_t period_ns;
	struct gf_span span;     /* what is being lowered, for limits */
	uint32_t prog_start;     /* first instruction of the program being written */
	bool too_long;           /* it went over a limit */
	bool failed;             /* said in diags */
	uint32_t vcols, pcols;
	uint32_t rule_hold;      /* hold of the rule at hand, or GF_NONE */
	struct gf_probes *probes;
};

/* ---- programs (lower_expr.c) */

void lw_prog_begin(struct lower *l);
void lw_op(struct lower *l, enum gf_opcode op, uint32_t d, uint32_t a, uint32_t b, uint32_t imm);
/* Writes END; returns the program's number, or GF_NONE when it went over a limit
 * (its instructions are then gone, and so is `too_long`). */
uint32_t lw_prog_end(struct lower *l, enum gf_scope scope, uint32_t results, uint32_t b, uint32_t imm);

/* Value of n into V[v], truth into P[p]; registers from v and p up are free. */
void lw_value(struct lower *l, const struct gf_node *n, uint32_t v, uint32_t p);
void lw_truth(struct lower *l, const struct gf_node *n, uint32_t v, uint32_t p);
/* How near n (negated: not n) is to being true, into V[v]. */
void lw_close(struct lower *l, const struct gf_node *n, bool negated, uint32_t v, uint32_t p);

/* V[v] = V[v] * (0.5 + 0.5 * share of the hold): half way when what is held is
 * true, all the way when it has been for long enough. Uses V[v + 1] and V[v + 2]. */
void lw_close_hold(struct lower *l, uint32_t hold, uint32_t v);

/* Programs of one expression, each made once. GF_NONE after a diagnostic. */
uint32_t lw_truth_prog(struct lower *l, const struct gf_node *n, enum gf_scope scope);
uint32_t lw_value_prog(struct lower *l, const struct gf_node *n, enum gf_scope scope);

void lw_limit(struct lower *l, const char *code, const char *hint, const char *fmt, ...) __attribute__((format(printf, 4, 5)));

/* ---- products of a tick (lower_tick.c) */

/* Makes programs for every aggregate, column and history in n, kids first. */
void lw_products(struct lower *l, const struct gf_node *n);
/* History of n's truth over a window, for "N times within D"; its number. */
uint32_t lw_times(struct lower *l, const struct gf_node *n, uint64_t window_ns, enum gf_scope scope);
uint32_t lw_product(const struct lower *l, const struct gf_node *n);
/* An aggregate that is known only between two bounds while its condition is unknown for some task. */
bool lw_has_bounds(const struct gf_node *n);
/* The aggregate that is the second bound of n, which is compared somewhere. */
uint32_t lw_other_bound(const struct lower *l, const struct gf_node *n);
uint32_t lw_hold_of(const struct lower *l, const struct gf_node *held);
uint32_t lw_match(struct lower *l, const struct gf_node *n);
/* Column of a kernel path's value. */
uint32_t lw_path(struct lower *l, const struct gf_node *n);
/* fp, or if that is taken the next one derived from it. */
uint64_t lw_unique_fp(struct lower *l, uint64_t fp);

/* ---- rules (lower_rule.c) */

void lw_class(struct lower *l, const struct gf_sema_class *c);
void lw_rule(struct lower *l, const struct gf_sema_rule *r);
void lw_probes(struct lower *l); /* lower_probe.c */
uint32_t lw_line(struct lower *l, struct gf_span span);
const char *lw_file(const struct lower *l, struct gf_span span);

#endif
