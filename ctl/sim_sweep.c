/* SPDX-License-Identifier: MIT
 *
 * simulate --sweep: the policy again and again with other numbers in it.
 */
#include "ctl/sim.h"

#include <stdlib.h>
#include <string.h>

#include "ctl/progress.h"
#include "grammar/parser.h" /* units, as policies have them */
#include "sim/chain.h"
#include "sim/many.h"

struct sweeps {
	struct sim *s;
	const struct sim_policy *p;
	struct gf_knobs knobs;
	struct gf_sweep v[SIM_SWEEPS];
	size_t n, total;
	struct gf_image_header **img; /* [total] */
	struct gf_outcome *out;       /* [total] */
	struct gf_many_opts opts;
	struct gf_jbuf json;
	bool headed, runs_begun;
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
	if (w->s->ctl->val[GF_O_APART])
		printf("%-28s ", "RECORDING");
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

static void row(struct sweeps *w, const char *trace, const size_t *at, const struct gf_outcome *o)
{
	char a[32], b[32], c[32], safe[256];

	if (w->s->ctl->json) {
		gf_jbuf_open(&w->json, '{');
		if (trace)
			gf_jbuf_kstr(&w->json, "recording", trace);
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
	if (!w->headed)
		print_head(w);
	w->headed = true;
	if (trace)
		printf("%-28s ", gf_show_safe(trace, safe, sizeof safe));
	for (size_t i = 0; i < w->n; i++)
		printf("%-24s ", w->v[i].value[at[i]]);
	printf("%8llu %8zu %10s %15s %10s\n", (unsigned long long)o->actions, o->victims, gf_show_span(true_seconds(o), a, sizeof a),
	       gf_show_span((double)o->pressure_ns / 1e9, b, sizeof b), gf_show_size(o->said.freed, c, sizeof c));
}

/* The policy with the numbers at `at`. */
static int compile(struct sweeps *w, const size_t *at, struct gf_image_header **ret)
{
	struct gf_source *src = calloc(w->p->files.n + 1, sizeof *src);
	int rc;

	if (!src || gf_knobs_set(w->p->files.src, w->p->files.n, w->v, at, w->n, src)) {
		free(src);
		return gf_ctl_fail(GF_EXIT_NO, "out of memory");
	}
	rc = sim_compile(w->s, src, w->p->files.n, true, ret);
	for (size_t i = 0; rc && i < w->n; i++)
		gf_ctl_fail(rc, "with %s at %s", w->v[i].knob->name, w->v[i].value[at[i]]);
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

static int compile_all(struct sweeps *w)
{
	size_t at[SIM_SWEEPS] = { 0 }, k = 0;
	int rc = 0;

	w->img = calloc(w->total + 1, sizeof *w->img);
	w->out = calloc(w->total + 1, sizeof *w->out);
	if (!w->img || !w->out)
		return gf_ctl_fail(GF_EXIT_NO, "out of memory");
	do
		rc = compile(w, at, &w->img[k++]);
	while (!rc && advance(w, at));
	return rc;
}

static void reading(void *arg, double ticks)
{
	struct sweeps *w = arg;

	gf_progress_at(&w->bar, ticks);
}

static void progress(void *arg, double done)
{
	struct sweeps *w = arg;

	if (!w->runs_begun) {
		gf_progress_end(&w->bar);
		gf_progress_begin(&w->bar, "sweep", "runs", (double)w->total);
		w->runs_begun = true;
	}
	gf_progress_at(&w->bar, done);
}

/* Where it ran and how fast, for who asked for an engine; why not there, in any case. */
static void tell(const struct sweeps *w, const struct gf_many_did *did)
{
	if (*did->why)
		fprintf(stderr, "gpufasctl: %s\n", did->why);
	if (did->inexact)
		fprintf(stderr, "gpufasctl: %u of %zu runs were done by CPUs: they said or did more in one sample than a GPU has room for\n", did->inexact,
			w->total);
	if (!w->s->ctl->val[GF_O_ENGINE])
		return;
	fprintf(stderr, "%zu runs on %s: %.3g runs x samples a second (%.2f s; the recording was read in %.2f s%s)\n", w->total, did->engine,
		(double)did->ticks / (did->run_s > 0 ? did->run_s : 1e-9), did->run_s, did->read_s, did->windows ? ", and goes by in windows" : "");
	if (did->open_s > 0)
		fprintf(stderr, "  of that %.2f s until GPUs were there\n", did->open_s);
	if (did->cpu_guess_s > 0)
		fprintf(stderr, "  a trial said: %.2f s by CPUs%s\n", did->cpu_guess_s, did->gpu_guess_s > 0 ? "" : ", so no GPU was asked");
	if (did->gpu_guess_s > 0)
		fprintf(stderr, "  the first frame said: %.2f s by GPUs\n", did->gpu_guess_s);
}

/* What is to be known of the recording before the table is believed: cut short, damaged, without what a rule reads. 0, or an exit code. */
static int remarks(const struct sweeps *w, const struct gf_feed_info *info, const char *trace)
{
	struct sim s = { .info = info, .opts = w->s->opts };
	struct sim_policy p = { .img = w->img[0], .out = w->out[0] };
	const char *name = trace ? trace : info->origin;
	char lacks[256], safe[256], rule[256];
	int rc = 0;

	memcpy(s.what_if, w->s->what_if, sizeof s.what_if);
	gf_show_safe(name, safe, sizeof safe);
	if (*info->cut)
		fprintf(stderr, "gpufasctl: %s: %s\n", safe, info->cut);
	if (*p.out.damage)
		fprintf(stderr, "gpufasctl: %s; all before it counts\n", p.out.damage);
	if (!p.out.ticks)
		return gf_ctl_fail(GF_EXIT_NO, "%s: there is no sample in that part of the recording", safe);
	for (uint32_t i = 0; i < p.out.rules; i++) {
		if (sim_judged(&s, &p, i))
			continue;
		gf_show_safe(gf_image_str(p.img, GF_SEC(struct gf_rule, p.img, GF_SEC_RULE)[i].name), rule, sizeof rule);
		fprintf(stderr, "gpufasctl: %s: rule %s cannot be judged: the recording lacks %s\n", safe, rule, sim_lacks(&s, &p, i, lacks, sizeof lacks));
		rc = GF_EXIT_NO;
	}
	return rc;
}

/* All runs over a recording; trace: its name, where there are several by themselves. */
static int sweep_over(struct sweeps *w, struct gf_feed *feed, const char *trace)
{
	const struct gf_image_header *const *img = (const struct gf_image_header *const *)w->img;
	size_t at[SIM_SWEEPS] = { 0 }, k = 0;
	struct gf_many_did did;
	struct gf_err err = { "" };
	int r;

	w->runs_begun = false;
	gf_progress_begin(&w->bar, "reading", "samples", w->s->opts.run.from_ns || w->s->opts.run.to_ns ? 0 : (double)feed->info.samples);
	w->opts.reading = reading;
	w->opts.progress = progress;
	w->opts.progress_arg = w;
	r = gf_many_run(feed, img, w->total, &w->opts, w->out, &did, &err);
	gf_progress_end(&w->bar);
	if (r) {
		for (k = 0; k < w->total; k++)
			gf_outcome_deinit(&w->out[k]);
		return gf_ctl_fail(r == -ENODEV || r == -ENOTSUP ? GF_EXIT_UNREACHABLE : GF_EXIT_NO, "%s", *err.text ? err.text : strerror(-r));
	}
	tell(w, &did);
	r = remarks(w, &feed->info, trace);
	do {
		if (w->out[k].ticks)
			row(w, trace, at, &w->out[k]);
		gf_outcome_deinit(&w->out[k++]);
	} while (advance(w, at));
	return r;
}

/* --apart: each by itself. */
static int sweep_each(struct sweeps *w)
{
	struct sim *s = w->s;
	int rc = 0;

	for (size_t i = 0; i < s->traces && (!rc || rc == GF_EXIT_NO); i++) {
		struct gf_feed *feed = NULL;
		struct gf_err err = { "" };
		int r;
		if (gf_chain_open(&s->trace[i], 1, &feed, &err))
			return gf_ctl_fail(GF_EXIT_UNREACHABLE, "%s", err.text);
		r = sweep_over(w, feed, s->trace[i]);
		rc = r ? r : rc;
		gf_feed_destroy(feed);
	}
	return rc;
}

static int engine(struct sweeps *w)
{
	static const char *const kinds[] = { "cpu", "gpu", "emu", "auto" };
	static const enum gf_many_kind kind[] = { GF_MANY_CPU, GF_MANY_GPU, GF_MANY_EMU, GF_MANY_AUTO };
	const char *text = w->s->ctl->val[GF_O_ENGINE], *near;

	w->opts.kind = GF_MANY_AUTO;
	for (size_t i = 0; text && i < 4; i++)
		if (!strcmp(text, kinds[i])) {
			w->opts.kind = kind[i];
			return 0;
		}
	near = text ? gf_nearest(text, kinds, 4) : NULL;
	return text ? gf_ctl_misuse(w->s->ctl, "--engine is cpu, gpu, emu or auto, not `%s`%s%s%s", text, near ? "; did you mean " : "", near ? near : "", near ? "?" : "") : 0;
}

static int memory(struct sweeps *w)
{
	const char *text = w->s->ctl->val[GF_O_MEMORY];
	enum gf_unit unit = GF_UNIT_NONE;
	double v = 0, by = 0;
	char *end = NULL;

	if (!text)
		return 0;
	v = strtod(text, &end);
	if (end == text || !gf_lex_unit(end, &unit, &by) || unit != GF_UNIT_BYTES || !(v * by >= 1 && v * by < 1e18))
		return gf_ctl_misuse(w->s->ctl, "--memory is a size such as 512MiB or 8GiB, not `%s`", text);
	w->opts.memory = (uint64_t)(v * by);
	return 0;
}

int sim_sweep(struct sim *s)
{
	struct sweeps w = { .s = s, .p = &s->policy[0] };
	struct gf_ctl *ctl = s->ctl;
	int rc = parse(&w);

	if (!rc)
		rc = engine(&w);
	if (!rc)
		rc = memory(&w);
	if (!rc && (s->policies > 1 || ctl->val[GF_O_HTML] || ctl->val[GF_O_SVG] || s->speed > 0))
		rc = gf_ctl_misuse(ctl, "--sweep is of one policy, and for a table: no --against, --html, --svg, --speed");
	if (!rc && (ctl->val[GF_O_EXPLAIN] || ctl->val[GF_O_CHART]))
		rc = gf_ctl_misuse(ctl, "--sweep gives a table: for --%s run the policy that you like by itself", ctl->val[GF_O_EXPLAIN] ? "explain" : "chart");
	if (!rc && ctl->val[GF_O_APART] && (ctl->val[GF_O_FROM] || ctl->val[GF_O_TO]))
		rc = gf_ctl_misuse(ctl, "--from and --to are times of one recording: not with --apart");
	if (!rc)
		rc = compile_all(&w);
	w.opts.outcome = s->opts;
	if (!rc && ctl->json)
		gf_jbuf_open(&w.json, '[');
	if (!rc)
		rc = ctl->val[GF_O_APART] ? sweep_each(&w) : sweep_over(&w, s->feed, NULL);
	if ((!rc || rc == GF_EXIT_NO) && ctl->json && w.json.n) {
		gf_jbuf_close(&w.json, ']');
		if (w.json.failed)
			rc = gf_ctl_fail(GF_EXIT_NO, "out of memory");
		else
			printf("%.*s\n", (int)w.json.n, w.json.p);
	}
	gf_jbuf_deinit(&w.json);
	for (size_t i = 0; w.img && i < w.total; i++)
		free(w.img[i]);
	free(w.img);
	free(w.out);
	for (size_t i = 0; i < w.n; i++)
		gf_sweep_deinit(&w.v[i]);
	gf_knobs_deinit(&w.knobs);
	return rc;
}
