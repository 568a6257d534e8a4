/* SPDX-License-Identifier: MIT
 *
 * and, or, not: what is constant folds or is an error, and operands are held
 * against each other.
 */
#include "compiler/sema_int.h"

/* An operand of a junction, those of nested ones (a let, say) included. */
struct item {
	const struct gf_node *n;
	const struct gf_expr *from; /* the operand as written */
};

static void collect(const struct gf_node *n, enum gf_node_kind kind, const struct gf_expr *from, struct item *item,
		    size_t *k)
{
	while (n->kind == kind && !n->term && *k < GF_SEMA_MAX_ITEMS) {
		collect(n->kid[1], kind, from, item, k);
		n = n->kid[0];
	}
	if (*k < GF_SEMA_MAX_ITEMS)
		item[(*k)++] = (struct item){ n, from };
}

/* Where to point: at the item, or at the operand's name when the item is a let's. */
static struct gf_span place(const struct item *i)
{
	const struct gf_span s = i->n->span, f = i->from->span;

	return s.src == f.src && s.start >= f.start && s.end <= f.end ? s : f;
}

static void clash(struct gf_sema_ctx *c, const struct item *a, const struct item *b, bool is_and)
{
	struct gf_diag *d = is_and ? gf_sema_error(c, "E082", place(b), "did you mean \"or\"?",
						   "this is never true together with the condition before it") :
				     gf_sema_error(c, "E083", place(b), "did you mean \"and\"?",
						   "one of this and the condition before it is always true");
	if (d)
		gf_diag_note(d, place(a), "the other condition");
}

static void redundant(struct gf_sema_ctx *c, const struct item *weak, const struct item *strong, bool same)
{
	struct gf_diag *d = gf_sema_warn(c, "W006", place(weak), "delete it",
					 same ? "this is said twice" : "this says nothing beside the other condition");
	if (d)
		gf_diag_note(d, place(strong), "the other condition");
}

/* False after an error. */
static bool weigh(struct gf_sema_ctx *c, struct gf_node *const *node, const struct gf_expr *const *op, size_t n,
		  bool is_and)
{
	struct item item[GF_SEMA_MAX_ITEMS];
	enum gf_node_kind kind = is_and ? GF_N_AND : GF_N_OR;
	size_t k = 0;

	for (size_t i = 0; i < n; i++)
		collect(node[i], kind, op[i], item, &k);
	for (size_t j = 1; j < k; j++)
		for (size_t i = 0; i < j; i++) {
			const struct item *a = &item[i], *b = &item[j];

			if (a->from == b->from)
				continue;
			if (is_and ? gf_node_excludes(a->n, b->n) : gf_node_exhausts(a->n, b->n)) {
				clash(c, a, b, is_and);
				return false;
			}
			bool ab = gf_node_implies(a->n, b->n), ba = gf_node_implies(b->n, a->n);

			if (!ab && !ba)
				continue;
			/* in `and` the weaker, in `or` the stronger says nothing; of equals the later */
			if (is_and ? ab : ba)
				redundant(c, b, a, ab && ba);
			else
				redundant(c, a, b, false);
		}
	return true;
}

/* An operand that is true or false. 1: drop it, 2: it decides, 0: it is neither, -1: error. */
static int constant(struct gf_sema_ctx *c, const struct gf_node *n, const struct gf_expr *e, bool is_and)
{
	bool value = n->kind == GF_N_TRUE;

	if (!value && n->kind != GF_N_FALSE)
		return 0;
	if (gf_csn(n)->target)
		return value == is_and ? 1 : 2;
	gf_sema_error(c, "E084", e->span, value == is_and ? "leave it out" : NULL, "%s is always %s%s",
		      gf_sema_text(c, e), value ? "true" : "false",
		      value == is_and ? ": it says nothing here" : ", and so is all of this");
	return -1;
}

struct gf_node *gf_sema_junction(struct gf_sema_ctx *c, const struct gf_expr *e)
{
	bool is_and = e->kind == GF_EX_AND, bad = false;
	size_t n = 1, kept = 0;
	struct gf_node *decided = NULL, *dropped = NULL;

	/* Long chains lean to the left: no recursion along them. */
	for (const struct gf_expr *x = e; x && x->kind == e->kind; x = x->arg[0])
		n++;
	const struct gf_expr **op = gf_sema_alloc(c, n * sizeof *op);
	struct gf_node **node = gf_sema_alloc(c, n * sizeof *node);

	if (!op || !node)
		return NULL;
	size_t at = n;
	const struct gf_expr *x = e;

	for (; at > 1; x = x->arg[0])
		op[--at] = x->arg[1];
	op[0] = x;
	for (size_t i = 0; i < n; i++) {
		struct gf_node *k = gf_sema_pred(c, op[i]);
		int what = k ? constant(c, k, op[i], is_and) : -1;

		bad |= what < 0;
		if (what == 2)
			decided = k;
		else if (what == 1)
			dropped = k;
		else if (what == 0) {
			op[kept] = op[i];
			node[kept++] = k;
		}
	}
	if (bad || c->oom)
		return NULL;
	if (decided || !kept)
		return decided ? decided : dropped;
	if (!weigh(c, node, op, kept, is_and))
		return NULL;
	struct gf_node *r = node[0];

	for (size_t i = 1; i < kept && r; i++)
		r = gf_node_make(c, e, is_and ? GF_N_AND : GF_N_OR, 0, r, node[i]);
	return r;
}

struct gf_node *gf_sema_not(struct gf_sema_ctx *c, const struct gf_expr *e)
{
	struct gf_node *k = gf_sema_pred(c, e->arg[0]);

	if (!k)
		return NULL;
	if (k->kind == GF_N_TRUE || k->kind == GF_N_FALSE)
		return gf_node_truth(c, e, k->kind == GF_N_FALSE, gf_sn(k)->target);
	if (k->kind == GF_N_NOT)
		return k->kid[0];
	return gf_node_make(c, e, GF_N_NOT, 0, k, NULL);
}
