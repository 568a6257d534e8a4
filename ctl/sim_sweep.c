/* SPDX-License-Identifier: MIT
 *
 * simulate --sweep: the policy again and again with other numbers in it.
 */
#include "ctl/sim.h"

#include <stdlib.h>
#include <string.h>

#include "ctl/progress.h"

struct sweeps {
	struct sim *s;
	const struct sim_policy *p;
	struct gf_knobs knobs;
	struct gf_sweep v[SIM_SWEEPS];
	size_t n, total;
	struct gf_jbuf json;
	struct gf_progress bar;
};

int sim_numbers(struct sim *s)
{
	struct gf_files files = { 0 };
	struct gf_knobs k = { 0 };
	struct gf_jbuf b = { 0 };
	int rc = gf_files_read(s->ctl->arg, s->ctl->args, true, &files);

	if (!rc && gf_knobs_find(files.src, files.n, &k))
		rc = gf_ctl_fail(GF_EXIT_NO, "out of memory");
	if (!rc && !s->ctl->json)
		for (size_t i = 0; i < k.n; i++)
			printf("%-44s %s%s\n", k.v[i].name, k.v[i].text, gf_knob_is_threshold(&k, &k.v[i]) ? "   (or .threshold)" : "");
	if (!rc && s->ctl->json) {
		gf_jbuf_open(&b, '[');
		for (size_t i = 0; i < k.n; i++) {
			gf_jbuf_open(&b, '{');
			gf_jbuf_kstr(&b, "name", k.v[i].name);
			gf_jbuf_kstr(&b, "value", k.v[i].text);
			gf_jbuf_close(&b, '}');
		}
		gf_jbuf_close(&b, ']');
		printf("%.*s\n", (int)b.n, b.p);
	}
	gf_jbuf_deinit(&b);
	gf_knobs_deinit(&k);
	gf_files_deinit(&files);
	return rc;
}

static int parse(struct sweeps *w)
{
	struct gf_ctl *ctl = w->s->ctl;
	struct gf_err err = { "" };

	if (gf_knobs_find(w->p->files.src, w->p->files.n, &w->knobs))
		return gf_ctl_fail(GF_EXIT_NO, "out of memory");
	w->total = 1;
	for (size_t i = 0; i < ctl->givens; i++) {
		if (ctl->given[i].id != GF_O_SWEEP)
			continue;
		if (w->n == SIM_SWEEPS)
			return gf_ctl_misuse(ctl, "more than %d --sweep", SIM_SWEEPS);
		if (gf_sweep_parse(&w->knobs, ctl->given[i].val, &w->v[w->n], &err))
			return gf_ctl_misuse(ctl, "--sweep: %s", err.text);
		for (size_t k = 0; k < w->n; k++)
			if (w->v[k].knob == w->v[w->n].knob) {
				gf_sweep_deinit(&w->v[w->n]);
				return gf_ctl_misuse(ctl, "--sweep names %s twice", w->v[k].knob->name);
			}
		w->total *= w->v[w->n++].n;
		if (w->total > SIM_SWEPT)
			return gf_ctl_misuse(ctl, "that would be over %u runs: take longer steps", SIM_SWEPT);
	}
	return 0;
}

static void print_head(const struct sweeps *w)
{
	for (size_t i = 0; i < w->n; i++)
		printf("%-24s ", w->v[i].knob->name);
	printf("%8s %8s %10s %15s %10s\n", "ACTIONS", "VICTIMS", "TRUE FOR", "UNDER PRESSURE", "CAME BACK");
}

static double true_seconds(const struct gf_outcome *o)
{
	double s = 0;

	for (size_t i = 0; i < o->rules; i++)
		s += (double)o->rule[i].true_ns / 1e9;
	return s;
}

static void row(struct sweeps *w, const size_t *at, const struct gf_outcome *o)
{
	char a[32], b[32], c[32];

	if (w->s->ctl->json) {
		gf_jbuf_open(&w->json, '{');
		gf_jbuf_key(&w->json, "values");
		gf_jbuf_open(&w->json, '{');
		for (size_t i = 0; i < w->n; i++) {
			gf_jbuf_key(&w->json, w->v[i].knob->name);
			gf_jbuf_str(&w->json, w->v[i].value[at[i]]);
		}
		gf_jbuf_close(&w->json, '}');
		gf_jbuf_kuint(&w->json, "actions", o->actions);
		gf_jbuf_kuint(&w->json, "victims", o->victims);
		gf_jbuf_knum(&w->json, "true_s", true_seconds(o));
		gf_jbuf_knum(&w->json, "under_pressure_s", (double)o->pressure_ns / 1e9);
		gf_jbuf_knum(&w->json, "freed_bytes", o->said.freed);
		gf_jbuf_close(&w->json, '}');
		return;
	}
	for (size_t i = 0; i < w->n; i++)
		printf("%-24s ", w->v[i].value[at[i]]);
	printf("%8llu %8zu %10s %15s %10s\n", (unsigned long long)o->actions, o->victims, gf_show_span(true_seconds(o), a, sizeof a),
	       gf_show_span((double)o->pressure_ns / 1e9, b, sizeof b), gf_show_size(o->said.freed, c, sizeof c));
}

/* The policy with the numbers at `at`, over the recording. */
static int one(struct sweeps *w, const size_t *at)
{
	struct gf_source *src = calloc(w->p->files.n + 1, sizeof *src);
	struct gf_image_header *img = NULL;
	struct gf_outcome out = { 0 };
	struct gf_err err = { "" };
	int rc = 0, r;

	if (!src || gf_knobs_set(w->p->files.src, w->p->files.n, w->v, at, w->n, src)) {
		free(src);
		return gf_ctl_fail(GF_EXIT_NO, "out of memory");
	}
	rc = sim_compile(w->s, src, w->p->files.n, true, &img);
	for (size_t i = 0; rc && i < w->n; i++)
		gf_ctl_fail(rc, "with %s at %s", w->v[i].knob->name, w->v[i].value[at[i]]);
	if (!rc) {
		r = gf_outcome_run(w->s->feed, img, &w->s->opts, &out, &err);
		if (r)
			rc = gf_ctl_fail(GF_EXIT_NO, "%s", *err.text ? err.text : strerror(-r));
		else
			row(w, at, &out);
	}
	gf_outcome_deinit(&out);
	free(img);
	for (size_t i = 0; i < w->p->files.n; i++)
		free((char *)(uintptr_t)src[i].text);
	free(src);
	return rc;
}

/* The last sweep's value changes fastest. */
static bool advance(const struct sweeps *w, size_t *at)
{
	for (size_t i = w->n; i-- > 0;) {
		if (++at[i] < w->v[i].n)
			return true;
		at[i] = 0;
	}
	return false;
}

int sim_sweep(struct sim *s)
{
	struct sweeps w = { .s = s, .p = &s->policy[0] };
	size_t at[SIM_SWEEPS] = { 0 }, done = 0;
	struct gf_ctl *ctl = s->ctl;
	int rc = parse(&w);

	if (!rc && (s->policies > 1 || ctl->val[GF_O_HTML] || ctl->val[GF_O_SVG] || s->speed > 0))
		rc = gf_ctl_misuse(ctl, "--sweep is of one policy, and for a table: no --against, --html, --svg, --speed");
	if (!rc && ctl->json)
		gf_jbuf_open(&w.json, '[');
	else if (!rc)
		print_head(&w);
	gf_progress_begin(&w.bar, "sweep", "runs", (double)w.total);
	if (!rc) {
		do {
			rc = one(&w, at);
			gf_progress_at(&w.bar, (double)++done);
		} while (!rc && advance(&w, at));
	}
	gf_progress_end(&w.bar);
	if (!rc && ctl->json) {
		gf_jbuf_close(&w.json, ']');
		printf("%.*s\n", (int)w.json.n, w.json.p);
	}
	gf_jbuf_deinit(&w.json);
	for (size_t i = 0; i < w.n; i++)
		gf_sweep_deinit(&w.v[i]);
	gf_knobs_deinit(&w.knobs);
	return rc;
}
