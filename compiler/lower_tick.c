/* SPDX-License-Identifier: MIT
 *
 * What is computed once a tick and read by programs after it: aggregates over
 * tasks, columns, histories. Equal expressions share one. Kids come first, so
 * that a program reads only what lower-numbered programs have produced.
 */
#include <errno.h>
#include <string.h>

#include "compiler/lower.h"

uint32_t lw_product(const struct lower *l, const struct gf_node *n)
{
	uint32_t i = 0;
	gf_hmap_get(&l->product, n->hash, &i);
	return i;
}

bool lw_has_bounds(const struct gf_node *n)
{
	return n->kind == GF_N_AGG && n->kid[0];
}

uint32_t lw_other_bound(const struct lower *l, const struct gf_node *n)
{
	uint32_t i = 0;
	gf_hmap_get(&l->product, gf_hash_mix(n->hash, 10), &i);
	return i;
}

uint32_t lw_hold_of(const struct lower *l, const struct gf_node *n)
{
	uint32_t i = 0;
	gf_hmap_get(&l->product, gf_hash_mix(n->hash, 9), &i);
	return i;
}

uint64_t lw_unique_fp(struct lower *l, uint64_t fp)
{
	uint32_t i;
	while (gf_hmap_get(&l->seen_fp, fp, &i))
		fp = gf_hash_mix(fp, 1);
	if (gf_hmap_put(&l->seen_fp, fp, 0) < 0)
		l->out.oom = true;
	return fp;
}

static uint32_t add_dfa(struct lower *l, const struct gf_automaton *a)
{
	uint32_t i, classes, trans, accept, n = (uint32_t)a->states * a->classes;
	void *p = gf_emit_bytes(&l->out, GF_SEC_DFADATA, 256, 1, &classes);
	if (p)
		memcpy(p, a->class_of, 256);
	p = gf_emit_bytes(&l->out, GF_SEC_DFADATA, n * 2, 2, &trans);
	if (p)
		memcpy(p, a->trans, n * 2);
	p = gf_emit_bytes(&l->out, GF_SEC_DFADATA, a->states, 1, &accept);
	if (p)
		memcpy(p, a->accept, a->states);
	struct gf_dfa *d = gf_emit_add(&l->out, GF_SEC_DFA, &i);
	*d = (struct gf_dfa){ classes, trans, accept, a->states, a->classes };
	return i;
}

static uint32_t find_dfa(struct lower *l, const char *pattern)
{
	uint64_t key = gf_hash_str(2, pattern);
	struct gf_automaton a;
	struct gf_err err;
	size_t at;
	uint32_t i;
	if (gf_hmap_get(&l->match, key, &i))
		return i;
	int r = gf_regex_compile(pattern, strlen(pattern), &a, &at, &err);
	if (r < 0) {
		if (r == -ENOMEM)
			l->out.oom = true;
		else
			lw_limit(l, "E201", NULL, "%s", err.text);
		return 0;
	}
	i = add_dfa(l, &a);
	gf_automaton_deinit(&a);
	if (gf_hmap_put(&l->match, key, i) < 0)
		l->out.oom = true;
	return i;
}

uint32_t lw_match(struct lower *l, const struct gf_node *n)
{
	uint64_t key = gf_hash_mix(gf_hash_str(3, n->pattern), n->id);
	uint32_t i;
	l->out.fields.str |= (uint32_t)GF_BIT(n->id);
	if (gf_hmap_get(&l->match, key, &i))
		return i;
	uint32_t dfa = find_dfa(l, n->pattern);
	struct gf_match *m = gf_emit_add(&l->out, GF_SEC_MATCH, &i);
	*m = (struct gf_match){ n->id, dfa };
	if (gf_hmap_put(&l->match, key, i) < 0)
		l->out.oom = true;
	return i;
}

uint32_t lw_path(struct lower *l, const struct gf_node *n)
{
	uint64_t key = gf_hash_mix(n->hash, 11);
	uint32_t i;
	if (gf_hmap_get(&l->product, key, &i))
		return GF_TF_COUNT + i;
	uint32_t text = gf_emit_str(&l->out, n->pattern);
	struct gf_path *p = gf_emit_add(&l->out, GF_SEC_PATH, &i);
	p->text = text;
	l->out.fields.paths = l->out.sec[GF_SEC_PATH].n;
	if (gf_hmap_put(&l->product, key, i) < 0)
		l->out.oom = true;
	return GF_TF_COUNT + i;
}

/* Marks the program as one that feeds product number `target`. */
static void sink(struct lower *l, uint32_t prog, enum gf_sink s, uint32_t target)
{
	if (prog == GF_NONE) {
		lw_limit(l, "E200", "split it into several rules", "this is too large for one program: at most %u instructions", GF_MAX_PROG_LEN);
		return;
	}
	struct gf_prog *p = gf_emit_at(&l->out, GF_SEC_PROG, prog);
	p->sink = (uint8_t)s;
	p->target = target;
}

/* maybe: rows of which it is not known whether they count do. */
static uint32_t add_agg(struct lower *l, const struct gf_node *n, bool maybe)
{
	enum gf_agg_kind kind = n->kind == GF_N_ANYCOL ? GF_AGG_ANY : (enum gf_agg_kind)n->id;
	bool value = kind == GF_AGG_SUM || kind == GF_AGG_MAX || kind == GF_AGG_MIN;
	uint32_t i;
	struct gf_agg *a = gf_emit_add(&l->out, GF_SEC_AGG, &i);
	a->kind = (uint8_t)kind;
	a->maybe = maybe;
	lw_prog_begin(l);
	if (n->kid[0])
		lw_truth(l, n->kid[0], 0, 0);
	else
		lw_op(l, GF_OP_PSET, 0, 0, 0, GF_TRUE);
	if (value)
		lw_value(l, n->kid[1], 0, 1);
	sink(l, lw_prog_end(l, GF_SCOPE_TASK, GF_END_P | (value ? GF_END_V : 0), 0, 0), GF_SINK_AGG, i);
	return i;
}

static uint32_t add_hold(struct lower *l, const struct gf_node *n)
{
	uint32_t i;
	struct gf_hold *h = gf_emit_add(&l->out, GF_SEC_HOLD, &i);
	h->kind = n->count ? GF_HOLD_PERIODS : GF_HOLD_TIME;
	h->amount = n->count ? n->count : n->window_ns;
	h->scope = (uint8_t)n->scope;
	h->fp = lw_unique_fp(l, gf_hash_mix(n->hash, 0x68656c64));
	if (gf_hmap_put(&l->product, gf_hash_mix(n->hash, 9), i) < 0)
		l->out.oom = true;
	return i;
}

static uint32_t add_held_host(struct lower *l, const struct gf_node *n)
{
	uint32_t i, hold = add_hold(l, n);
	struct gf_agg *a = gf_emit_add(&l->out, GF_SEC_AGG, &i);
	a->kind = GF_AGG_HOST;
	lw_prog_begin(l);
	lw_truth(l, n->kid[0], 0, 0);
	lw_op(l, GF_OP_HELD, 0, 0, 0, hold);
	lw_op(l, GF_OP_PV, 0, 0, 0, 0);
	sink(l, lw_prog_end(l, GF_SCOPE_HOST, GF_END_V, 0, 0), GF_SINK_AGG, i);
	return i;
}

static uint32_t add_col(struct lower *l, const struct gf_node *n)
{
	bool value = n->kind == GF_N_TREE;
	uint32_t i, hold = n->kind == GF_N_HELD ? add_hold(l, n) : 0;
	struct gf_col *c = gf_emit_add(&l->out, GF_SEC_COL, &i);
	c->kind = (uint8_t)(value ? GF_COL_TREE : n->kind == GF_N_PARENT ? GF_COL_PARENT : n->kind == GF_N_ANCESTOR ? GF_COL_ANCESTOR : GF_COL_PRED);
	if (++*(value ? &l->vcols : &l->pcols) == GF_MAX_COLS + 1)
		lw_limit(l, "E202", "use fewer different tree(), parent(), ancestor() and held()", "the policy needs more than %u columns", GF_MAX_COLS);
	lw_prog_begin(l);
	if (value)
		lw_value(l, n->kid[0], 0, 0);
	else
		lw_truth(l, n->kid[0], 0, 0);
	if (n->kind == GF_N_HELD)
		lw_op(l, GF_OP_HELD, 0, 0, 0, hold);
	sink(l, lw_prog_end(l, GF_SCOPE_TASK, value ? GF_END_V : GF_END_P, 0, 0), GF_SINK_COL, i);
	return i;
}

static uint32_t add_hist(struct lower *l, enum gf_stat stat, uint64_t window_ns, enum gf_scope scope, uint64_t fp)
{
	uint64_t most = scope == GF_SCOPE_HOST ? GF_MAX_HIST_SLOTS : 16, ticks = window_ns / l->period_ns + 1;
	uint32_t i;
	struct gf_hist *h = gf_emit_add(&l->out, GF_SEC_HIST, &i);
	h->window_ns = window_ns;
	h->scope = (uint8_t)scope;
	h->stat = (uint8_t)stat;
	h->slots = (uint16_t)GF_MAX(GF_MIN(ticks, most), 2u);
	h->fp = lw_unique_fp(l, fp);
	return i;
}

static uint32_t add_window(struct lower *l, const struct gf_node *n)
{
	uint64_t fp = gf_hash_mix(gf_hash_mix(n->kid[0]->hash, n->window_ns), n->id);
	uint32_t i = add_hist(l, (enum gf_stat)n->id, n->window_ns, n->scope, fp);
	lw_prog_begin(l);
	lw_value(l, n->kid[0], 0, 0);
	sink(l, lw_prog_end(l, n->scope, GF_END_V, 0, 0), GF_SINK_HIST, i);
	return i;
}

uint32_t lw_times(struct lower *l, const struct gf_node *n, uint64_t window_ns, enum gf_scope scope)
{
	uint64_t key = gf_hash_mix(gf_hash_mix(n->hash, window_ns), 0x74696d6573 + (uint64_t)scope);
	uint32_t i;
	if (gf_hmap_get(&l->product, key, &i))
		return i;
	i = add_hist(l, GF_STAT_SUM, window_ns, scope, key);
	lw_prog_begin(l);
	lw_truth(l, n, 0, 0);
	lw_op(l, GF_OP_PV, 0, 0, 0, 0);
	sink(l, lw_prog_end(l, scope, GF_END_V, 0, 0), GF_SINK_HIST, i);
	if (gf_hmap_put(&l->product, key, i) < 0)
		l->out.oom = true;
	return i;
}

/* The second bound of an aggregate that is compared. */
static void add_bound(struct lower *l, const struct gf_node *n)
{
	uint64_t key = gf_hash_mix(n->hash, 10);
	uint32_t i;
	if (lw_has_bounds(n) && !gf_hmap_get(&l->product, key, &i) && gf_hmap_put(&l->product, key, add_agg(l, n, true)) < 0)
		l->out.oom = true;
}

void lw_products(struct lower *l, const struct gf_node *n)
{
	uint32_t i;
	if (!n || gf_hmap_get(&l->product, n->hash, &i))
		return;
	lw_products(l, n->kid[0]);
	lw_products(l, n->kid[1]);
	struct gf_span outer = l->span;
	l->span = n->span;
	switch (n->kind) {
	case GF_N_AGG: case GF_N_ANYCOL:
		i = add_agg(l, n, false);
		break;
	case GF_N_HELD:
		i = n->scope == GF_SCOPE_HOST ? add_held_host(l, n) : add_col(l, n);
		break;
	case GF_N_TREE: case GF_N_PARENT: case GF_N_ANCESTOR:
		i = add_col(l, n);
		break;
	case GF_N_HIST:
		i = add_window(l, n);
		break;
	case GF_N_LT: case GF_N_LE: case GF_N_GT: case GF_N_GE: case GF_N_EQ: case GF_N_NE:
		add_bound(l, n->kid[0]);
		add_bound(l, n->kid[1]);
		/* fall through */
	default:
		l->span = outer;
		return;
	}
	l->span = outer;
	if (gf_hmap_put(&l->product, n->hash, i) < 0)
		l->out.oom = true;
}
