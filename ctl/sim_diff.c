/* SPDX-License-Identifier: MIT
 *
 * What two policies would have done differently: the same act on the same process at the same time is no difference, whichever
 * rule it is by.
 */
#include "ctl/sim.h"

#include <stdlib.h>
#include <string.h>

#include "daemon/eventjson.h"

static const struct gf_event *next_action(const struct gf_outcome *o, size_t *at)
{
	while (*at < o->events && o->event[*at].kind != GF_EV_ACTION)
		(*at)++;
	return *at < o->events ? &o->event[*at] : NULL;
}

static void deed(const struct sim_policy *p, const struct gf_event *ev, char *buf, size_t n)
{
	const struct gf_step *s = gf_event_step(ev, p->img);
	char act[128] = "";

	if (s)
		gf_action_text(p->img, s, act, sizeof act);
	snprintf(buf, n, "%s %d %llu %u %d", act, ev->pid, (unsigned long long)ev->start_ns, ev->members, ev->observed);
}

/* Takes from b what a's event at i has a twin of, among those of the same time. */
static bool twin(const struct sim_policy *a, const struct gf_event *ev, const struct sim_policy *b, bool *used, size_t *from)
{
	char da[256], db[256];

	while (*from < b->out.events && b->out.event[*from].now_ns < ev->now_ns)
		(*from)++; /* a's events come in the order of time, too */
	deed(a, ev, da, sizeof da);
	for (size_t k = *from; k < b->out.events; k++) {
		const struct gf_event *e = &b->out.event[k];
		if (e->now_ns > ev->now_ns)
			break;
		if (e->kind != GF_EV_ACTION || used[k] || e->now_ns != ev->now_ns)
			continue;
		deed(b, e, db, sizeof db);
		if (strcmp(da, db))
			continue;
		used[k] = true;
		return true;
	}
	return false;
}

static int by_time(const void *x, const void *y)
{
	const struct sim_change *a = x, *b = y;

	if (a->ev->now_ns != b->ev->now_ns)
		return a->ev->now_ns < b->ev->now_ns ? -1 : 1;
	if (a->side != b->side)
		return a->side - b->side;
	return a->ev->seq < b->ev->seq ? -1 : a->ev->seq > b->ev->seq;
}

struct sim_change *sim_diff(const struct sim_policy *a, const struct sim_policy *b, size_t *ret_n, size_t *ret_same)
{
	struct sim_change *v = calloc(a->out.events + b->out.events + 1, sizeof *v);
	bool *used = calloc(b->out.events + 1, sizeof *used);
	const struct gf_event *ev;
	size_t n = 0, same = 0, from = 0;

	if (v && used) {
		for (size_t i = 0; (ev = next_action(&a->out, &i)); i++) {
			if (twin(a, ev, b, used, &from))
				same++;
			else
				v[n++] = (struct sim_change){ 0, ev };
		}
		for (size_t i = 0; (ev = next_action(&b->out, &i)); i++)
			if (!used[i])
				v[n++] = (struct sim_change){ 1, ev };
		qsort(v, n, sizeof *v, by_time);
	} else {
		free(v);
		v = NULL;
	}
	free(used);
	*ret_n = n;
	*ret_same = same;
	return v;
}
