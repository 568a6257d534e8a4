/* SPDX-License-Identifier: MIT
 *
 * Expressions to instructions. Registers are given out as a stack, and of two
 * operands the one that needs more is computed first (Sethi and Ullman, 1970),
 * so that 16 registers are enough for any tree of fewer than 2^16 leaves.
 */
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "compiler/lower.h"

void lw_limit(struct lower *l, const char *code, const char *hint, const char *fmt, ...)
{
	va_list ap;
	l->failed = true;
	va_start(ap, fmt);
	gf_diag_addv(l->diags, GF_SEV_ERROR, code, l->span, hint, fmt, ap);
	va_end(ap);
}

void lw_prog_begin(struct lower *l)
{
	l->prog_start = l->out.sec[GF_SEC_CODE].n;
	l->too_long = false;
}

void lw_op(struct lower *l, enum gf_opcode op, uint32_t d, uint32_t a, uint32_t b, uint32_t imm)
{
	uint32_t i;
	if (d >= GF_VREGS || a >= GF_VREGS || b >= GF_VREGS || l->out.sec[GF_SEC_CODE].n - l->prog_start >= GF_MAX_PROG_LEN)
		l->too_long = true;
	if (l->too_long)
		return;
	struct gf_insn *in = gf_emit_add(&l->out, GF_SEC_CODE, &i);
	*in = (struct gf_insn){ (uint8_t)op, (uint8_t)d, (uint8_t)a, (uint8_t)b, imm };
}

uint32_t lw_prog_end(struct lower *l, enum gf_scope scope, uint32_t results, uint32_t b, uint32_t imm)
{
	uint32_t i;
	lw_op(l, GF_OP_END, results, 0, b, imm);
	if (l->too_long) {
		l->out.sec[GF_SEC_CODE].n = l->prog_start;
		l->too_long = false;
		return GF_NONE;
	}
	struct gf_prog *p = gf_emit_add(&l->out, GF_SEC_PROG, &i);
	p->code = l->prog_start;
	p->len = l->out.sec[GF_SEC_CODE].n - l->prog_start;
	p->scope = (uint8_t)scope;
	return i;
}

/* A predicate over host fields only that is kept as a number. */
static bool host_number(const struct gf_node *n)
{
	return n->kind == GF_N_ANYCOL || (n->kind == GF_N_HELD && n->scope == GF_SCOPE_HOST);
}

static uint32_t both(uint32_t a, uint32_t b)
{
	return a == b ? a + 1 : GF_MAX(a, b);
}

/* A comparison with something that is known only between bounds. */
static bool bounded(const struct gf_node *n)
{
	return n->kind >= GF_N_LT && n->kind <= GF_N_NE && (lw_has_bounds(n->kid[0]) || lw_has_bounds(n->kid[1]));
}

/* V registers (pred: P registers) that computing n takes, its result included. */
static uint32_t need(const struct gf_node *n, bool pred)
{
	switch (n->kind) {
	case GF_N_CONST: case GF_N_HOST: case GF_N_TASK: case GF_N_PATH: case GF_N_AGG: case GF_N_TREE: case GF_N_HIST:
		return !pred;
	case GF_N_ADD: case GF_N_SUB: case GF_N_MUL: case GF_N_DIV:
	case GF_N_LT: case GF_N_LE: case GF_N_GT: case GF_N_GE: case GF_N_EQ: case GF_N_NE: {
		uint32_t a = need(n->kid[0], pred), b = need(n->kid[1], pred);
		if (!pred)
			return both(a, b);
		return GF_MAX(GF_MAX(a, b), bounded(n) ? (n->kind == GF_N_EQ || n->kind == GF_N_NE ? 4u : 3u) : 1u);
	}
	case GF_N_AND: case GF_N_OR: {
		uint32_t a = need(n->kid[0], pred), b = need(n->kid[1], pred);
		return pred ? both(a, b) : GF_MAX(a, b);
	}
	case GF_N_NEG: case GF_N_PV: case GF_N_NOT: case GF_N_KNOWN:
		return GF_MAX(need(n->kid[0], pred), 1u);
	default:
		return pred ? 1 : host_number(n) ? 2 : 0;
	}
}

static void load_const(struct lower *l, double x, uint32_t v)
{
	lw_op(l, GF_OP_LDK, v, 0, 0, gf_emit_const(&l->out, x));
}

/* Both kids of n into V[v] and V[v + 1]; ret_a, ret_b: which is where. */
static void operands(struct lower *l, const struct gf_node *n, uint32_t v, uint32_t p, uint32_t *ret_a, uint32_t *ret_b)
{
	bool swap = need(n->kid[1], false) > need(n->kid[0], false);
	lw_value(l, n->kid[swap], v, p);
	lw_value(l, n->kid[!swap], v + 1, p);
	*ret_a = v + swap;
	*ret_b = v + !swap;
}

/* n's value when it is made of constants only. */
static bool fold(const struct gf_node *n, double *ret)
{
	double a, b;
	if (n->kind == GF_N_CONST) {
		*ret = n->num;
		return true;
	}
	if (n->kind == GF_N_NEG && fold(n->kid[0], &a)) {
		*ret = -a;
		return true;
	}
	if (n->kind < GF_N_ADD || n->kind > GF_N_DIV || !fold(n->kid[0], &a) || !fold(n->kid[1], &b))
		return false;
	switch (n->kind) {
	case GF_N_ADD:
		*ret = a + b;
		break;
	case GF_N_SUB:
		*ret = a - b;
		break;
	case GF_N_MUL:
		*ret = a * b;
		break;
	default:
		*ret = b == 0 ? gf_unknown() : a / b;
	}
	return true;
}

void lw_value(struct lower *l, const struct gf_node *n, uint32_t v, uint32_t p)
{
	static const enum gf_opcode arith[] = { GF_OP_ADD, GF_OP_SUB, GF_OP_MUL, GF_OP_DIV };
	uint32_t a, b;
	double x;
	if (fold(n, &x)) {
		load_const(l, x, v);
		return;
	}
	switch (n->kind) {
	case GF_N_HOST:
		l->out.fields.host |= GF_BIT(n->id);
		lw_op(l, GF_OP_LDH, v, 0, 0, n->id);
		break;
	case GF_N_TASK:
		l->out.fields.task |= GF_BIT(n->id);
		lw_op(l, GF_OP_LDF, v, 0, 0, n->id);
		break;
	case GF_N_PATH:
		lw_op(l, GF_OP_LDF, v, 0, 0, lw_path(l, n));
		break;
	case GF_N_AGG:
		lw_op(l, GF_OP_LDA, v, 0, 0, lw_product(l, n));
		break;
	case GF_N_TREE:
		lw_op(l, GF_OP_LDC, v, 0, 0, lw_product(l, n));
		break;
	case GF_N_HIST:
		lw_op(l, GF_OP_LDX, v, 0, 0, lw_product(l, n));
		break;
	case GF_N_NEG:
		lw_value(l, n->kid[0], v, p);
		lw_op(l, GF_OP_NEG, v, v, 0, 0);
		break;
	case GF_N_PV:
		lw_truth(l, n->kid[0], v, p);
		lw_op(l, GF_OP_PV, v, p, 0, 0);
		break;
	default:
		operands(l, n, v, p, &a, &b);
		lw_op(l, arith[n->kind - GF_N_ADD], v, a, b, 0);
	}
}

/* Roughly how many instructions n takes. */
static uint32_t weight(const struct gf_node *n)
{
	uint32_t w = 1;
	if (n->kind == GF_N_AGG || n->kind == GF_N_TREE || n->kind == GF_N_HIST || n->kind == GF_N_HELD
	    || n->kind == GF_N_PARENT || n->kind == GF_N_ANCESTOR || n->kind == GF_N_ANYCOL)
		return w;
	for (int i = 0; i < 2; i++)
		if (n->kid[i])
			w += weight(n->kid[i]);
	return w;
}

/* and, or: with a short cut over the second half where it is worth one. */
static void junction(struct lower *l, const struct gf_node *n, uint32_t v, uint32_t p)
{
	bool and = n->kind == GF_N_AND;
	bool swap = need(n->kid[1], true) > need(n->kid[0], true);
	const struct gf_node *second = n->kid[!swap];
	uint32_t jump = GF_NONE;
	lw_truth(l, n->kid[swap], v, p);
	if (weight(second) >= 3) {
		jump = l->out.sec[GF_SEC_CODE].n;
		lw_op(l, and ? GF_OP_JAF : GF_OP_JAT, 0, p, 0, 0);
	}
	lw_truth(l, second, v, p + 1);
	lw_op(l, and ? GF_OP_AND : GF_OP_OR, p, p, p + 1, 0);
	if (jump != GF_NONE && !l->too_long)
		((struct gf_insn *)gf_emit_at(&l->out, GF_SEC_CODE, jump))->imm = l->out.sec[GF_SEC_CODE].n - l->prog_start;
}

/* One side of a comparison at one of its bounds. */
static void side(struct lower *l, const struct gf_node *n, bool upper, uint32_t v, uint32_t p)
{
	/* Tasks that may or may not count make a sum larger and a least value smaller. */
	if (lw_has_bounds(n) && upper != (n->id == GF_AGG_MIN))
		lw_op(l, GF_OP_LDA, v, 0, 0, lw_other_bound(l, n));
	else
		lw_value(l, n, v, p);
}

/* < <= > >= with both bounds: P[p] is what they agree on, else unknown. Takes three P registers. */
static void bounds_compare(struct lower *l, const struct gf_node *n, enum gf_opcode op, uint32_t v, uint32_t p)
{
	int first = need(n->kid[1], false) > need(n->kid[0], false);
	for (uint32_t upper = 0; upper < 2; upper++) {
		side(l, n->kid[first], upper != (uint32_t)first, v, p + upper);
		side(l, n->kid[!first], upper == (uint32_t)first, v + 1, p + upper);
		lw_op(l, op, p + upper, v + (uint32_t)first, v + (uint32_t)!first, 0);
	}
	lw_op(l, GF_OP_OR, p + 2, p, p + 1, 0);
	lw_op(l, GF_OP_AND, p, p, p + 1, 0);
	lw_op(l, GF_OP_PSET, p + 1, 0, 0, GF_UNKNOWN);
	lw_op(l, GF_OP_AND, p + 1, p + 1, p + 2, 0);
	lw_op(l, GF_OP_OR, p, p, p + 1, 0);
}

static void bounded_compare(struct lower *l, const struct gf_node *n, enum gf_opcode op, uint32_t v, uint32_t p)
{
	if (n->kind != GF_N_EQ && n->kind != GF_N_NE) {
		bounds_compare(l, n, op, v, p);
		return;
	}
	/* Equal: neither less nor greater. */
	bounds_compare(l, n, GF_OP_LE, v, p);
	bounds_compare(l, n, GF_OP_GE, v, p + 1);
	lw_op(l, GF_OP_AND, p, p, p + 1, 0);
	if (n->kind == GF_N_NE)
		lw_op(l, GF_OP_NOT, p, p, 0, 0);
}

void lw_truth(struct lower *l, const struct gf_node *n, uint32_t v, uint32_t p)
{
	static const enum gf_opcode compare[] = { GF_OP_LT, GF_OP_LE, GF_OP_GT, GF_OP_GE, GF_OP_EQ, GF_OP_NE };
	uint32_t a, b;
	switch (n->kind) {
	case GF_N_TRUE: case GF_N_FALSE:
		lw_op(l, GF_OP_PSET, p, 0, 0, n->kind == GF_N_TRUE ? GF_TRUE : GF_FALSE);
		break;
	case GF_N_AND: case GF_N_OR:
		junction(l, n, v, p);
		break;
	case GF_N_NOT:
		lw_truth(l, n->kid[0], v, p);
		lw_op(l, GF_OP_NOT, p, p, 0, 0);
		break;
	case GF_N_MATCH:
		lw_op(l, GF_OP_MATCH, p, 0, 0, lw_match(l, n));
		break;
	case GF_N_KNOWN:
		lw_value(l, n->kid[0], v, p);
		lw_op(l, GF_OP_KNOWN, p, v, 0, 0);
		break;
	case GF_N_HELD: case GF_N_ANYCOL:
		if (host_number(n)) {
			lw_op(l, GF_OP_LDA, v, 0, 0, lw_product(l, n));
			load_const(l, 0, v + 1);
			lw_op(l, GF_OP_GT, p, v, v + 1, 0);
			break;
		}
		lw_op(l, GF_OP_LDP, p, 0, 0, lw_product(l, n));
		break;
	case GF_N_PARENT: case GF_N_ANCESTOR:
		lw_op(l, GF_OP_LDP, p, 0, 0, lw_product(l, n));
		break;
	default:
		if (bounded(n)) {
			bounded_compare(l, n, compare[n->kind - GF_N_LT], v, p);
			break;
		}
		operands(l, n, v, p, &a, &b);
		lw_op(l, compare[n->kind - GF_N_LT], p, a, b, 0);
	}
}

/* A comparison of quantities; that of names and states is true or not, never near. */
static bool has_distance(const struct gf_node *n)
{
	enum gf_dim d = n->kid[0]->kind == GF_N_CONST ? n->kid[1]->dim : n->kid[0]->dim;
	return d != GF_DIM_ENUM_STATE && d != GF_DIM_ENUM_SCHED && d != GF_DIM_UID && d != GF_DIM_GID;
}

static void close_compare(struct lower *l, const struct gf_node *n, bool negated, uint32_t v, uint32_t p)
{
	static const enum gf_node_kind not_of[] = { GF_N_GE, GF_N_GT, GF_N_LE, GF_N_LT, GF_N_NE, GF_N_EQ };
	enum gf_node_kind kind = negated ? not_of[n->kind - GF_N_LT] : n->kind;
	enum gf_opcode op = kind == GF_N_LT || kind == GF_N_LE ? GF_OP_CLT : kind == GF_N_EQ ? GF_OP_CEQ : GF_OP_CGT;
	uint32_t a, b;
	if (kind == GF_N_NE || !has_distance(n)) {
		lw_truth(l, n, v, p);
		if (negated)
			lw_op(l, GF_OP_NOT, p, p, 0, 0);
		lw_op(l, GF_OP_CPV, v, p, 0, 0);
		return;
	}
	operands(l, n, v, p, &a, &b);
	if (kind == GF_N_LE || kind == GF_N_GE) { /* equal is true here, and only nearly so for < and > */
		lw_op(l, GF_OP_CEQ, v + 2, a, b, 0);
		lw_op(l, op, v, a, b, 0);
		lw_op(l, GF_OP_MAX, v, v, v + 2, 0);
	} else {
		lw_op(l, op, v, a, b, 0);
	}
}

/* V registers that lw_close takes. */
static uint32_t need_close(const struct gf_node *n)
{
	switch (n->kind) {
	case GF_N_AND: case GF_N_OR:
		return both(need_close(n->kid[0]), need_close(n->kid[1]));
	case GF_N_NOT:
		return need_close(n->kid[0]);
	case GF_N_HELD:
		return GF_MAX(need_close(n->kid[0]), 3u);
	case GF_N_LT: case GF_N_LE: case GF_N_GT: case GF_N_GE: case GF_N_EQ: case GF_N_NE:
		return GF_MAX(need(n, false), 3u);
	default:
		return GF_MAX(need(n, false), 1u);
	}
}

void lw_close_hold(struct lower *l, uint32_t hold, uint32_t v)
{
	lw_op(l, GF_OP_CHELD, v + 1, 0, 0, hold);
	load_const(l, 0.5, v + 2);
	lw_op(l, GF_OP_MUL, v + 1, v + 1, v + 2, 0);
	lw_op(l, GF_OP_ADD, v + 1, v + 1, v + 2, 0);
	lw_op(l, GF_OP_MUL, v, v, v + 1, 0);
}

/* and: the farthest part; or: the nearest; not: as near as the opposite. Unknown is as far as can be. */
void lw_close(struct lower *l, const struct gf_node *n, bool negated, uint32_t v, uint32_t p)
{
	switch (n->kind) {
	case GF_N_AND: case GF_N_OR: {
		bool swap = need_close(n->kid[1]) > need_close(n->kid[0]);
		lw_close(l, n->kid[swap], negated, v, p);
		lw_close(l, n->kid[!swap], negated, v + 1, p);
		lw_op(l, (n->kind == GF_N_AND) != negated ? GF_OP_MIN : GF_OP_MAX, v, v, v + 1, 0);
		break;
	}
	case GF_N_NOT:
		lw_close(l, n->kid[0], !negated, v, p);
		break;
	case GF_N_LT: case GF_N_LE: case GF_N_GT: case GF_N_GE: case GF_N_EQ: case GF_N_NE:
		close_compare(l, n, negated, v, p);
		break;
	case GF_N_HELD:
		if (!negated) {
			lw_close(l, n->kid[0], false, v, p);
			lw_close_hold(l, lw_hold_of(l, n), v);
			break;
		}
		/* fall through */
	default:
		lw_truth(l, n, v, p);
		if (negated)
			lw_op(l, GF_OP_NOT, p, p, 0, 0);
		lw_op(l, GF_OP_CPV, v, p, 0, 0);
	}
}

static uint32_t one_prog(struct lower *l, const struct gf_node *n, enum gf_scope scope, bool value)
{
	uint64_t key = gf_hash_mix(gf_hash_mix(n->hash, value ? 1 : 2), scope);
	uint32_t prog;
	if (gf_hmap_get(&l->program, key, &prog))
		return prog;
	lw_prog_begin(l);
	if (value)
		lw_value(l, n, 0, 0);
	else
		lw_truth(l, n, 0, 0);
	prog = lw_prog_end(l, scope, value ? GF_END_V : GF_END_P, 0, 0);
	if (prog == GF_NONE)
		lw_limit(l, "E200", "split it into several rules", "this is too large for one program: at most %u instructions", GF_MAX_PROG_LEN);
	else if (gf_hmap_put(&l->program, key, prog) < 0)
		l->out.oom = true;
	return prog;
}

uint32_t lw_truth_prog(struct lower *l, const struct gf_node *n, enum gf_scope scope)
{
	return one_prog(l, n, scope, false);
}

uint32_t lw_value_prog(struct lower *l, const struct gf_node *n, enum gf_scope scope)
{
	return one_prog(l, n, scope, true);
}
