/* SPDX-License-Identifier: MIT
 *
 * What follows from what. Sound and not complete: "yes" is right, "no" may be
 * "cannot tell". Comparisons of the same number with fixed values are decided.
 */
#include "compiler/sema_int.h"

/* Pairs of nodes looked at before giving up: conditions can be built that would take for ever. */
#define FUEL 256
/* Pairs of texts compared at most, for the same reason. */
#define TEXT_PAIRS 4096u

struct claim {
	uint64_t key;
	uint8_t kind, op;
	double bound;
};

static uint8_t opposite(uint8_t op)
{
	static const uint8_t o[] = { GF_N_GE, GF_N_GT, GF_N_LE, GF_N_LT, GF_N_NE, GF_N_EQ };

	return o[op - GF_N_LT];
}

static bool claim_of(const struct gf_node *n, struct claim *ret)
{
	bool negated = false;

	while (n->kind == GF_N_NOT) {
		negated = !negated;
		n = n->kid[0];
	}
	const struct gf_snode *s = gf_csn(n);

	if (s->bound_kind == BOUND_NONE)
		return false;
	*ret = (struct claim){ s->key, s->bound_kind, negated ? opposite(s->op) : s->op, s->bound };
	return true;
}

/* Can anything be told of a and b together? */
static bool related(const struct gf_node *a, const struct gf_node *b)
{
	const struct gf_snode *x = gf_csn(a), *y = gf_csn(b);

	return (x->keys & y->keys) || (x->text_of & y->text_of);
}

/* Of two matches of one field with fixed texts: how many of a's are among b's. -1: they are not such. */
static int texts_in(const struct gf_node *a, const struct gf_node *b)
{
	const struct gf_snode *x = gf_csn(a), *y = gf_csn(b);
	int in = 0;

	if (!x->text || !y->text || a->id != b->id || (uint64_t)x->texts * y->texts > TEXT_PAIRS)
		return -1;
	for (uint32_t i = 0; i < x->texts; i++)
		for (uint32_t j = 0; j < y->texts; j++)
			if (strcmp(x->text[i], y->text[j]) == 0) {
				in++;
				break;
			}
	return in;
}

/* Everything that makes p true makes q true. */
static bool within(const struct claim *p, const struct claim *q)
{
	double a = p->bound, b = q->bound;

	if (p->key != q->key || p->kind != q->kind)
		return false;
	switch (q->op) {
	case GF_N_LT:
		return p->op == GF_N_LT ? a <= b : (p->op == GF_N_LE || p->op == GF_N_EQ) && a < b;
	case GF_N_LE:
		return (p->op == GF_N_LT || p->op == GF_N_LE || p->op == GF_N_EQ) && a <= b;
	case GF_N_GT:
		return p->op == GF_N_GT ? a >= b : (p->op == GF_N_GE || p->op == GF_N_EQ) && a > b;
	case GF_N_GE:
		return (p->op == GF_N_GT || p->op == GF_N_GE || p->op == GF_N_EQ) && a >= b;
	case GF_N_EQ:
		return p->op == GF_N_EQ && a == b;
	default:
		switch (p->op) {
		case GF_N_LT:
			return a <= b;
		case GF_N_LE:
			return a < b;
		case GF_N_GT:
			return a >= b;
		case GF_N_GE:
			return a > b;
		case GF_N_EQ:
			return a != b;
		default:
			return a == b;
		}
	}
}

static bool implies(const struct gf_node *a, const struct gf_node *b, int *fuel);

static bool excludes(const struct gf_node *a, const struct gf_node *b, int *fuel)
{
	struct claim p, q;

	if (!related(a, b) || --*fuel < 0)
		return false;
	if (texts_in(a, b) == 0)
		return true;
	if (a->kind == GF_N_NOT && implies(b, a->kid[0], fuel))
		return true;
	if (b->kind == GF_N_NOT && implies(a, b->kid[0], fuel))
		return true;
	if (a->kind == GF_N_OR)
		return excludes(a->kid[0], b, fuel) && excludes(a->kid[1], b, fuel);
	if (b->kind == GF_N_OR)
		return excludes(a, b->kid[0], fuel) && excludes(a, b->kid[1], fuel);
	if (a->kind == GF_N_AND)
		return excludes(a->kid[0], b, fuel) || excludes(a->kid[1], b, fuel);
	if (b->kind == GF_N_AND)
		return excludes(a, b->kid[0], fuel) || excludes(a, b->kid[1], fuel);
	if (!claim_of(a, &p) || !claim_of(b, &q))
		return false;
	q.op = opposite(q.op);
	return within(&p, &q);
}

static bool implies(const struct gf_node *a, const struct gf_node *b, int *fuel)
{
	struct claim p, q;

	if (a->hash == b->hash)
		return true;
	if (!related(a, b) || --*fuel < 0)
		return false;
	if (gf_csn(a)->text && texts_in(a, b) == (int)gf_csn(a)->texts)
		return true;
	if (b->kind == GF_N_AND)
		return implies(a, b->kid[0], fuel) && implies(a, b->kid[1], fuel);
	if (a->kind == GF_N_OR)
		return implies(a->kid[0], b, fuel) && implies(a->kid[1], b, fuel);
	if (a->kind == GF_N_AND && (implies(a->kid[0], b, fuel) || implies(a->kid[1], b, fuel)))
		return true;
	if (b->kind == GF_N_OR && (implies(a, b->kid[0], fuel) || implies(a, b->kid[1], fuel)))
		return true;
	if (claim_of(a, &p) && claim_of(b, &q))
		return within(&p, &q);
	if (a->kind == GF_N_NOT && b->kind == GF_N_NOT)
		return implies(b->kid[0], a->kid[0], fuel);
	if (b->kind == GF_N_NOT)
		return excludes(a, b->kid[0], fuel);
	if (a->kind == GF_N_HELD && b->kind == GF_N_HELD)
		return a->window_ns >= b->window_ns && implies(a->kid[0], b->kid[0], fuel);
	/* what has held for a while is true now */
	return a->kind == GF_N_HELD && implies(a->kid[0], b, fuel);
}

bool gf_node_implies(const struct gf_node *a, const struct gf_node *b)
{
	int fuel = FUEL;

	return implies(a, b, &fuel);
}

bool gf_node_excludes(const struct gf_node *a, const struct gf_node *b)
{
	int fuel = FUEL;

	return excludes(a, b, &fuel);
}

bool gf_node_exhausts(const struct gf_node *a, const struct gf_node *b)
{
	struct claim p, q;

	if ((a->kind == GF_N_NOT && gf_node_implies(a->kid[0], b)) ||
	    (b->kind == GF_N_NOT && gf_node_implies(b->kid[0], a)))
		return true;
	if (!claim_of(a, &p) || !claim_of(b, &q))
		return false;
	p.op = opposite(p.op);
	return within(&p, &q);
}
