/* SPDX-License-Identifier: MIT
 *
 * Probes, for coverage: a program for the truth of each condition and of each of its parts. They are added after everything else, so
 * that the rest of the image is the one that would run without them.
 */
#include <stdlib.h>

#include "compiler/lower.h"

static void add(struct lower *l, const struct gf_node *n, enum gf_probe_of of, uint32_t owner, uint32_t depth)
{
	struct gf_probes *to = l->probes;
	uint32_t prog = lw_truth_prog(l, n, n->scope);

	if (prog == GF_NONE)
		return;
	if (to->n == to->cap) {
		size_t cap = to->cap ? 2 * to->cap : 64;
		struct gf_probe *v = realloc(to->v, cap * sizeof *v);
		if (!v) {
			l->out.oom = true;
			return;
		}
		to->v = v;
		to->cap = cap;
	}
	to->v[to->n++] = (struct gf_probe){
		.span = n->expr ? n->expr->span : n->span, .prog = prog, .of = of, .owner = owner, .depth = depth,
		.part = n->term ? GF_PROBE_TERM : n->kind == GF_N_AND ? GF_PROBE_AND : n->kind == GF_N_OR ? GF_PROBE_OR : GF_PROBE_TERM,
	};
}

static void walk(struct lower *l, const struct gf_node *n, enum gf_probe_of of, uint32_t owner, uint32_t depth)
{
	while (n && n->kind == GF_N_NOT && !n->term)
		n = n->kid[0];
	/* What is decided when the policy is compiled is no branch. */
	if (!n || n->kind == GF_N_TRUE || n->kind == GF_N_FALSE)
		return;
	add(l, n, of, owner, depth);
	if (n->term || (n->kind != GF_N_AND && n->kind != GF_N_OR))
		return;
	walk(l, n->kid[0], of, owner, depth + 1);
	walk(l, n->kid[1], of, owner, depth + 1);
}

void lw_probes(struct lower *l)
{
	const struct gf_sema *s = l->sema;

	for (uint32_t i = 0; i < s->classes; i++)
		walk(l, s->klass[i].cond, GF_PROBE_CLASS, i, 0);
	for (uint32_t i = 0; i < s->rules; i++) {
		walk(l, s->rule[i].cond, GF_PROBE_RULE, i, 0);
		walk(l, s->rule[i].until, GF_PROBE_UNTIL, i, 0);
		for (uint32_t k = 0; k < s->rule[i].steps; k++)
			walk(l, s->rule[i].step[k].where, GF_PROBE_WHERE, i, 0);
	}
}
