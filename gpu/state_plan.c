/* SPDX-License-Identifier: MIT
 *
 * What a new policy takes over of what an engine remembers.
 */
#include "gpu/adopt.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* One kind of table: for each new number the old one with the same contents. */
typedef int (*same_fn)(const struct gf_image_header *a, uint32_t i, const struct gf_image_header *b, uint32_t j);

static uint32_t plan_kind(const struct gf_image_header *from, const struct gf_image_header *to, int sec,
			  same_fn same, uint32_t *map, uint8_t *used)
{
	uint32_t olds = from->sec[sec].count, news = to->sec[sec].count, kept = 0;

	memset(used, 0, olds);
	for (uint32_t j = 0; j < news; j++) {
		map[j] = GF_NONE;
		/* Most often nothing moved: begin where the number is the same. */
		for (uint32_t k = 0; k < olds; k++) {
			uint32_t i = (j + k) % olds;
			if (!used[i] && same(from, i, to, j)) {
				used[i] = 1;
				map[j] = i;
				kept++;
				break;
			}
		}
	}
	return kept;
}

static int same_hold(const struct gf_image_header *a, uint32_t i, const struct gf_image_header *b, uint32_t j)
{
	return !memcmp(&GF_SEC(struct gf_hold, a, GF_SEC_HOLD)[i], &GF_SEC(struct gf_hold, b, GF_SEC_HOLD)[j],
		       sizeof(struct gf_hold));
}

static int same_hist(const struct gf_image_header *a, uint32_t i, const struct gf_image_header *b, uint32_t j)
{
	return !memcmp(&GF_SEC(struct gf_hist, a, GF_SEC_HIST)[i], &GF_SEC(struct gf_hist, b, GF_SEC_HIST)[j],
		       sizeof(struct gf_hist));
}

static int same_rule(const struct gf_image_header *a, uint32_t i, const struct gf_image_header *b, uint32_t j)
{
	const struct gf_rule *x = &GF_SEC(struct gf_rule, a, GF_SEC_RULE)[i];
	const struct gf_rule *y = &GF_SEC(struct gf_rule, b, GF_SEC_RULE)[j];

	const struct gf_step *s = &GF_SEC(struct gf_step, a, GF_SEC_STEP)[x->step];
	const struct gf_step *u = &GF_SEC(struct gf_step, b, GF_SEC_STEP)[y->step];

	/* Beyond the fingerprint, what a run of steps depends on: pending steps of one
	 * rule must never be taken on the victims of another. */
	if (x->fp != y->fp || x->steps != y->steps || x->limit_n != y->limit_n || x->flags != y->flags ||
	    strcmp(gf_image_str(a, x->name), gf_image_str(b, y->name)))
		return 0;
	for (uint32_t k = 0; k < x->steps; k++)
		if (s[k].action != u[k].action || s[k].pick != u[k].pick || s[k].group != u[k].group ||
		    s[k].arg != u[k].arg || s[k].after_ns != u[k].after_ns)
			return 0;
	return 1;
}

static int same_match(const struct gf_image_header *a, uint32_t i, const struct gf_image_header *b, uint32_t j)
{
	const struct gf_match *x = &GF_SEC(struct gf_match, a, GF_SEC_MATCH)[i];
	const struct gf_match *y = &GF_SEC(struct gf_match, b, GF_SEC_MATCH)[j];
	const struct gf_dfa *d = &GF_SEC(struct gf_dfa, a, GF_SEC_DFA)[x->dfa];
	const struct gf_dfa *e = &GF_SEC(struct gf_dfa, b, GF_SEC_DFA)[y->dfa];
	const uint8_t *p = GF_SEC(uint8_t, a, GF_SEC_DFADATA), *q = GF_SEC(uint8_t, b, GF_SEC_DFADATA);

	return x->field == y->field && d->states == e->states && d->classes == e->classes &&
	       !memcmp(p + d->classes_off, q + e->classes_off, 256) &&
	       !memcmp(p + d->accept_off, q + e->accept_off, d->states) &&
	       !memcmp(p + d->trans_off, q + e->trans_off, 2u * d->states * d->classes);
}

int gf_state_plan(const struct gf_image_header *from, const struct gf_image_header *to, struct gf_adoption **ret)
{
	static const int secs[] = { GF_SEC_HOLD, GF_SEC_HIST, GF_SEC_RULE, GF_SEC_MATCH };
	size_t n = 0, olds = 1;
	struct gf_adoption *p;
	uint8_t *used;

	for (size_t k = 0; k < 4; k++) {
		n += to->sec[secs[k]].count;
		olds = GF_MAX(olds, from->sec[secs[k]].count);
	}
	p = malloc(sizeof *p + n * sizeof *p->hold);
	used = malloc(olds);
	if (!p || !used) {
		free(p);
		free(used);
		return -ENOMEM;
	}
	p->hold = (uint32_t *)(p + 1);
	p->hist = p->hold + to->sec[GF_SEC_HOLD].count;
	p->rule = p->hist + to->sec[GF_SEC_HIST].count;
	p->match = p->rule + to->sec[GF_SEC_RULE].count;
	plan_kind(from, to, GF_SEC_HOLD, same_hold, p->hold, used);
	plan_kind(from, to, GF_SEC_HIST, same_hist, p->hist, used);
	p->rules = plan_kind(from, to, GF_SEC_RULE, same_rule, p->rule, used);
	plan_kind(from, to, GF_SEC_MATCH, same_match, p->match, used);
	free(used);
	p->numbers = (uint32_t)n;
	*ret = p;
	return 0;
}

uint32_t gf_adoption_rules(const struct gf_adoption *plan)
{
	return plan->rules;
}

const uint32_t *gf_adoption_rule_map(const struct gf_adoption *plan)
{
	return plan->rule;
}

void gf_state_adopt(struct gf_state *st, struct gf_state *old, const struct gf_adoption *plan)
{
	gf_adopt(st, old, plan);
}
