/* SPDX-License-Identifier: MIT
 *
 * dry-run: what a policy would do on the machine whose memory is in a file, and why. The engine runs by hand on
 * that one moment, as if all stayed as it was: nothing is written, and nobody waits for the time to pass.
 */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ctl/files.h"
#include "ctl/ram.h"
#include "ctl/text.h"
#include "daemon/eventjson.h"
#include "gpu/engine.h"

#define BUDGET 10u /* the daemon's own, where gpufas.yaml says nothing else */
#define BUDGET_NS 60000000000ull

struct dry {
	struct gf_ctl *ctl;
	struct gf_target *target;
	struct gf_image_header *img;
	struct gf_engine *engine;
	uint64_t period_ns, for_ns, first_ns;
	uint32_t ticks, actions;
	bool *seen; /* [rules] it was true at some time */
	struct gf_rule_view *first; /* [rules] what they were like in the first tick */
	size_t rules;
};

static int compile(struct dry *d)
{
	struct gf_guest *g = gf_vm_guest(d->target, NULL);
	struct gf_compile_opts opts = {
		.target = GF_TARGET_IMAGE, .period_ns = d->period_ns, .path = g ? gf_guest_path : NULL, .path_arg = g,
	};
	struct gf_diags diags = { .limit = 100 };
	struct gf_files set = { 0 };
	size_t size;
	int rc = gf_files_read(d->ctl->arg, d->ctl->args, true, &set), r = 0;

	if (!rc) {
		r = gf_compile(set.src, set.n, &opts, &diags, &d->img, &size);
		gf_diags_print(&diags, set.src, set.n, stderr, d->ctl->colour && isatty(STDERR_FILENO));
	}
	if (g)
		gf_guest_put(g);
	gf_diags_deinit(&diags);
	gf_files_deinit(&set);
	if (r == -ENOMEM)
		return gf_ctl_fail(GF_EXIT_NO, "out of memory");
	return rc ? rc : r ? GF_EXIT_NO : GF_EXIT_OK;
}

static void print_event(struct dry *d, const struct gf_event *ev)
{
	char text[1024], safe[1024];
	struct gf_jbuf b = { 0 };

	d->actions += ev->kind == GF_EV_ACTION;
	if (ev->rule < d->rules)
		d->seen[ev->rule] = true;
	if (d->ctl->json) {
		gf_event_json(ev, d->img, d->target->name, false, &b);
		if (!b.failed)
			printf("%.*s\n", (int)b.n, b.p);
		gf_jbuf_deinit(&b);
		return;
	}
	gf_event_sentence(ev, d->img, text, sizeof text);
	printf("%10.3f s  %s\n", (double)(ev->now_ns - d->first_ns) / 1e9, gf_show_safe(text, safe, sizeof safe));
}

static int run(struct dry *d, struct gf_err *err)
{
	uint64_t n = d->for_ns / d->period_ns + 1;
	struct gf_verdict v[64];
	struct gf_event ev[8];
	size_t got;

	for (uint64_t i = 0; i < n; i++) {
		int r = gf_engine_tick(d->engine, err);
		if (r)
			return r;
		if (!i) {
			/* the engine computes views by the clock on the wall: not again while we run through a minute */
			d->first_ns = d->target->sample.now_ns;
			d->rules = GF_MIN(gf_engine_rules(d->engine, d->first, d->rules, NULL), d->rules);
		}
		d->ticks++;
		while ((got = gf_engine_events(d->engine, ev, 8)) > 0)
			for (size_t k = 0; k < got; k++)
				print_event(d, &ev[k]);
		while (gf_engine_verdicts(d->engine, v, 64) == 64)
			; /* nobody carries them out */
	}
	return 0;
}

/* Rules that were never true, and how near they are. */
static void say_rest(const struct dry *d)
{
	const struct gf_rule *rule = GF_SEC(struct gf_rule, d->img, GF_SEC_RULE);
	char safe[256];

	for (size_t i = 0; i < d->rules; i++) {
		const struct gf_rule_view *v = &d->first[i];
		if (d->seen[i])
			continue;
		printf("              %s: never true", gf_show_safe(gf_image_str(d->img, rule[i].name), safe, sizeof safe));
		if (!gf_is_unknown(v->close))
			printf(" (%d%% of the way)", (int)floor(fmin(fmax(v->close, 0), 1) * 100));
		putchar('\n');
	}
}

static int dry_run(struct dry *d)
{
	struct gf_engine_opts o = {
		.period_ns = d->period_ns, .observe = true, .max_tasks = d->target->sample.cap, .budget_n = BUDGET, .budget_window_ns = BUDGET_NS,
	};
	struct gf_err err = { "" };
	int r;

	d->rules = d->img->sec[GF_SEC_RULE].count;
	d->seen = calloc(d->rules + 1, sizeof *d->seen);
	d->first = calloc(d->rules + 1, sizeof *d->first);
	if (!d->seen || !d->first)
		return gf_ctl_fail(GF_EXIT_NO, "out of memory");
	r = gf_engine_create(d->target, d->img, &o, &d->engine, &err);
	if (!r) {
		gf_engine_rules(d->engine, NULL, 0, NULL); /* views are wanted */
		r = run(d, &err);
	}
	if (r)
		return gf_ctl_fail(GF_EXIT_UNREACHABLE, "%s", err.text[0] ? err.text : strerror(-r));
	if (!d->ctl->json) {
		say_rest(d);
		printf("%u ticks of %u processes, as if all stayed as it was for %g s: %u action%s\n", d->ticks, d->target->sample.live,
		       (double)d->for_ns / 1e9, d->actions, d->actions == 1 ? "" : "s");
	}
	return GF_EXIT_OK;
}

int gf_cmd_dry_run(struct gf_ctl *ctl)
{
	struct dry d = { .ctl = ctl, .period_ns = 100000000, .for_ns = 60000000000ull };
	int rc = gf_ctl_time(ctl, GF_O_PERIOD, &d.period_ns);

	if (!rc)
		rc = gf_ctl_time(ctl, GF_O_FOR, &d.for_ns);
	if (!rc && !ctl->val[GF_O_RAM])
		rc = gf_ctl_misuse(ctl, "dry-run needs --ram FILE");
	if (!rc)
		rc = gf_ctl_image(ctl, d.period_ns, &d.target);
	if (!rc)
		rc = compile(&d);
	if (!rc)
		rc = dry_run(&d);
	gf_engine_destroy(d.engine);
	gf_target_destroy(d.target);
	free(d.seen);
	free(d.first);
	free(d.img);
	return rc;
}
