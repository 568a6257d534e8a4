/* SPDX-License-Identifier: MIT
 *
 * simulate: one policy over the recording.
 */
#include "ctl/sim.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "ctl/progress.h"
#include "gpu/engine_cpu.h"

struct watcher {
	struct sim *s;
	struct sim_policy *p;
	struct gf_progress bar;
	uint64_t begun, first_ns; /* CLOCK_MONOTONIC, and the sample's time */
};

static void remember(void *arg, const char *sentence)
{
	struct sim_policy *p = arg;
	char **v = realloc(p->assumed, (p->assumes + 1) * sizeof *v);

	if (!v)
		return;
	p->assumed = v;
	v[p->assumes] = strdup(sentence);
	p->assumes += v[p->assumes] != NULL;
}

static void begin(void *arg, const struct gf_feed *model)
{
	struct watcher *w = arg;

	gf_model_assumes(model, remember, w->p);
}

/* --speed: waits until the sample's time has come. */
static void pace(struct watcher *w, uint64_t now_ns)
{
	double due = (double)(now_ns - w->first_ns) / w->s->speed + (double)w->begun;
	uint64_t ns = (uint64_t)due;
	struct timespec ts = { (time_t)(ns / SEC_NS), (long)(ns % SEC_NS) };

	fflush(stdout);
	clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL);
}

static bool watch(void *arg, const struct gf_run_tick *t, const struct gf_sample *recorded)
{
	struct watcher *w = arg;

	if (t->number == 1)
		w->first_ns = t->now_ns;
	if (w->p->charts && !t->stale)
		sim_charts_take(w->p->charts, t, recorded);
	if (w->s->speed > 0) {
		pace(w, t->now_ns);
		for (size_t i = 0; i < t->events && !w->s->ctl->json; i++)
			sim_print_event(w->s, w->p, &t->event[i]);
	} else {
		gf_progress_at(&w->bar, (double)t->number);
	}
	return true;
}

int sim_run(struct sim *s, struct sim_policy *p, const char *label)
{
	struct watcher w = { .s = s, .p = p, .begun = gf_engine_clock(CLOCK_MONOTONIC) };
	struct gf_outcome_opts o = s->opts;
	struct gf_err err = { "" };
	const struct gf_run_opts *r = &o.run;
	double total = (double)s->info->samples;
	int rc;

	if (s->info->last_ns > s->info->first_ns && (r->from_ns || r->to_ns)) {
		double from = (double)GF_MAX(r->from_ns, s->info->first_ns), to = (double)(r->to_ns ? r->to_ns : s->info->last_ns);
		total *= (to - from) / (double)(s->info->last_ns - s->info->first_ns);
	}
	o.watch = watch;
	o.watch_arg = &w;
	o.begin = begin;
	gf_progress_begin(&w.bar, label, "samples", total);
	rc = gf_outcome_run(s->feed, p->img, &o, &p->out, &err);
	gf_progress_end(&w.bar);
	if (rc)
		return gf_ctl_fail(rc == -EBADMSG ? GF_EXIT_UNREACHABLE : GF_EXIT_NO, "%s", *err.text ? err.text : strerror(-rc));
	if (!p->out.ticks)
		return gf_ctl_fail(GF_EXIT_NO, "there is no sample in that part of the recording");
	return 0;
}
