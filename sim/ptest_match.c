/* SPDX-License-Identifier: MIT
 *
 * What was done beside what was expected.
 */
#include <stdlib.h>
#include <string.h>

#include "daemon/eventjson.h"
#include "sim/ptest_run.h"

static bool action_is(const struct gf_ptest_expect *e, const struct gf_ptest_got *g)
{
	size_t n = e->action ? strlen(e->action) : 0;

	return !e->action || (!strncmp(e->action, g->action, n) && (!g->action[n] || g->action[n] == ' '));
}

static bool text_is(const struct gf_ptest_expect *e, const struct gf_ptest_got *g, const struct gf_image_header *img)
{
	char buf[1024];

	return !e->text || strstr(gf_event_notify(&g->ev, img, buf, sizeof buf), e->text);
}

static bool time_is(const struct gf_ptest_expect *e, const struct gf_ptest_got *g)
{
	return g->at_ns >= e->from_ns && g->at_ns <= e->to_ns;
}

static bool pid_is(const struct gf_ptest_expect *e, const struct gf_ptest_got *g)
{
	return !e->pid_from || (g->pid >= e->pid_from && g->pid <= e->pid_to);
}

static bool rule_is(const struct gf_ptest_expect *e, const struct gf_ptest_got *g)
{
	return e->rule_no == GF_NONE || g->ev.rule == e->rule_no;
}

static bool matches(const struct gf_ptest_expect *e, const struct gf_ptest_got *g, const struct gf_image_header *img)
{
	return time_is(e, g) && rule_is(e, g) && action_is(e, g) && pid_is(e, g) && (e->observed < 0 || e->observed == g->ev.observed) &&
	       text_is(e, g, img);
}

/* Whether it is about one process, and not about all that an action reaches. */
static bool single(const struct gf_ptest_expect *e)
{
	return e->pid_from && e->pid_from == e->pid_to;
}

/* Takes what the expectation means. Sets met, or else how many processes there were instead. */
static void meet(struct gf_ptest_expect *e, struct gf_ptest_outcome *o, const struct gf_image_header *img, uint32_t *ret_n)
{
	struct gf_ptest_got *first = NULL;
	uint32_t n = 0;

	for (size_t i = 0; i < o->gots; i++) {
		struct gf_ptest_got *g = &o->got[i];
		if (g->expected || !matches(e, g, img))
			continue;
		if (first && (single(e) || g->ev.seq != first->ev.seq))
			break;
		first = first ? first : g;
		n += g->processes;
		g->expected = true;
	}
	e->met = first && (!e->processes || e->processes == n);
	*ret_n = first ? n : 0;
}

/* How alike: 0 is not at all. */
static int likeness(const struct gf_ptest_expect *e, const struct gf_ptest_got *g)
{
	int same = 4 * (e->rule_no != GF_NONE && rule_is(e, g)) + 2 * (e->action && action_is(e, g)) + 2 * (e->pid_from && pid_is(e, g)) + time_is(e, g);

	return same >= 4 ? same : 0;
}

static const struct gf_ptest_got *nearest(const struct gf_ptest_expect *e, const struct gf_ptest_outcome *o)
{
	const struct gf_ptest_got *best = NULL;
	int most = 0;

	for (size_t i = 0; i < o->gots; i++) {
		int k = o->got[i].expected ? 0 : likeness(e, &o->got[i]);
		if (k > most) {
			most = k;
			best = &o->got[i];
		}
	}
	return best;
}

struct gf_ptest_miss *gf_ptest_miss_of(struct gf_ptest_outcome *o, const struct gf_ptest_expect *e)
{
	for (size_t i = 0; i < o->misses; i++)
		if (o->miss[i].e == e)
			return &o->miss[i];
	struct gf_ptest_miss *v = realloc(o->miss, (o->misses + 1) * sizeof *v);
	if (!v)
		return NULL;
	o->miss = v;
	v[o->misses] = (struct gf_ptest_miss){ .e = e, .at_ns = e->from_ns };
	return &v[o->misses++];
}

/* Only those that are really missed stay in the list. */
static void prune(struct gf_ptest_outcome *o)
{
	size_t n = 0;

	for (size_t i = 0; i < o->misses; i++)
		if (o->miss[i].none ? o->miss[i].e->met : !o->miss[i].e->met)
			o->miss[n++] = o->miss[i];
	o->misses = n;
}

void gf_ptest_match(struct gf_ptest_case *c, struct gf_ptest_outcome *o, const struct gf_image_header *img)
{
	/* those that name a process first: the others take what is left */
	for (int pass = 0; pass < 2; pass++)
		for (size_t i = 0; i < c->expects; i++) {
			struct gf_ptest_expect *e = &c->expect[i];
			struct gf_ptest_miss *m;
			uint32_t n = 0;
			if (e->want != GF_WANT_ACTION || single(e) != (pass == 0))
				continue;
			meet(e, o, img, &n);
			m = e->met ? NULL : gf_ptest_miss_of(o, e);
			if (m)
				m->processes = n;
		}
	for (size_t i = 0; i < c->expects; i++)
		if (!c->expect[i].met)
			gf_ptest_miss_of(o, &c->expect[i]);
	prune(o);
	for (size_t i = 0; i < o->misses; i++)
		o->miss[i].near = o->miss[i].none || o->miss[i].processes || o->miss[i].e->want != GF_WANT_ACTION ? NULL : nearest(o->miss[i].e, o);
	for (size_t k = 0; k < c->nones; k++)
		for (size_t i = 0; i < o->gots && c->none[k].want == GF_WANT_ACTION; i++)
			if (!o->got[i].forbidden && matches(&c->none[k], &o->got[i], img))
				o->got[i].forbidden = &c->none[k];
	o->failed = o->misses || o->error[0];
	for (size_t i = 0; i < c->expects; i++)
		o->failed |= !c->expect[i].met; /* also where there was no memory to say why */
	for (size_t i = 0; i < o->gots; i++)
		o->failed |= o->got[i].forbidden || (c->has_expect && c->strict && !o->got[i].expected);
}
