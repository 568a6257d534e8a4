/* SPDX-License-Identifier: MIT
 *
 * Targets, each with its policy, engine and whoever acts on it.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/daemon.h"
#include "targets/kmod.h"
#include "targets/vm.h"

/* Verdicts on processes go on to the actuator. log, notify and run are complete
 * with their event: the reporter does them. */
static size_t verdicts(void *arg, struct gf_verdict *buf, size_t n)
{
	struct gf_watch *w = arg;
	size_t got, kept;

	do {
		got = gf_engine_verdicts(w->engine, buf, n);
		kept = 0;
		for (size_t i = 0; i < got; i++)
			if (buf[i].action != GF_ACT_LOG && buf[i].action != GF_ACT_NOTIFY && buf[i].action != GF_ACT_RUN)
				buf[kept++] = buf[i];
	} while (got && !kept); /* 0 means "no more" to the actuator */
	return kept;
}

static size_t events(void *arg, struct gf_event *buf, size_t n)
{
	struct gf_watch *w = arg;
	struct gf_verdict v[64];

	/* Nobody acts on an image: its verdicts, which come with events, end here. */
	if (w->config->kind == GF_TARGET_IMAGE)
		while (gf_engine_verdicts(w->engine, v, 64) == 64)
			;
	n = gf_engine_events(w->engine, buf, n);
	gf_shadow_saw(w->shadow, buf, n);
	return n;
}

struct gf_reporter_source gf_watch_source(struct gf_watch *w)
{
	return (struct gf_reporter_source){
		.take = events, .arg = w, .fd = gf_engine_event_fd(w->engine), .policies = w->policies, .target = w->name,
	};
}

/* ---- start ------------------------------------------------------------------- */

static int load_policies(struct gf_daemon *d, struct gf_err *err)
{
	struct gf_policy_report rep = { 0 };
	struct gf_policy **v = calloc(d->watches, sizeof *v);
	int r = v ? gf_policy_load_all(d->config, d->config->target, d->watches, &d->options.policy, NULL, v, &rep) :
		gf_err_set(&rep.err, ENOMEM, "out of memory");

	if (rep.text)
		gf_log(r ? LOG_ERR : LOG_WARNING, "%s", rep.text);
	for (size_t i = 0; i < rep.notes.n; i++)
		gf_log(LOG_WARNING, "%s", rep.notes.v[i]);
	if (r)
		*err = rep.err;
	gf_policy_report_deinit(&rep);
	for (size_t i = 0; i < d->watches && !r; i++) {
		struct gf_watch *w = &d->watch[i];
		w->policy = v[i];
		if (!w->policy->rules && d->watches > 1)
			gf_log(LOG_WARNING, "target %s: the policy has no rules: nothing will be done", w->name);
		else if (!w->policy->rules)
			gf_log(LOG_WARNING, "the policy has no rules: nothing will be done");
	}
	free(v);
	return r;
}

static int make_target(struct gf_watch *w, struct gf_err *err)
{
	const struct gf_config_target *t = w->config;
	struct gf_host_opts h = {
		.sampler = t->sampler, .delivery = t->delivery, .module = true, .period_ns = w->period_ns, .max_tasks = t->max_tasks, .say = gf_watch_say, .say_arg = w,
	};

	int r = t->kind == GF_TARGET_HOST ? gf_host_create(&h, &w->target, err) : gf_watch_make_guest(w, err);

	if (!r)
		snprintf(w->target->name, sizeof w->target->name, "%s", w->name);
	return r;
}

/* On the ticking thread. */
static void after_tick(void *arg, int rc, const struct gf_event *ev, uint32_t n)
{
	struct gf_watch *w = arg;

	gf_shadow_tick(w->shadow, rc, ev, n);
}

/* Likewise, or on one that swaps policies. */
static bool decided(void *arg, const struct gf_sample *s, int rc, uint64_t fp, const struct gf_fieldset *has)
{
	struct gf_tape *tape = __atomic_load_n(&((struct gf_watch *)arg)->tape, __ATOMIC_ACQUIRE);

	return !tape || gf_tape_put(tape, s, rc, fp, has);
}

int gf_watch_also(struct gf_watch *w, struct gf_err *err)
{
	struct gf_fieldset f = w->also_shadow;

	f.host |= w->also_tape.host;
	f.task |= w->also_tape.task;
	f.str |= w->also_tape.str;
	return gf_engine_also(w->engine, &f, err);
}

static int make_engine(struct gf_watch *w, struct gf_err *err)
{
	const struct gf_config *c = w->daemon->config;
	struct gf_engine_opts o = {
		.kind = w->daemon->engine_kind, .gpu = c->gpu,
		.period_ns = w->period_ns, .observe = w->observe, .budget_n = c->budget_n,
		.budget_window_ns = c->budget_window_ns, .rt_priority = c->rt_priority, .mlock = c->mlock,
		.target_index = w->index, .after = after_tick, .after_arg = w,
	};

	o.gpu.targets = (uint32_t)w->daemon->watches;
	if (*c->recorder_dir && c->recorder_ticks && w->config->kind != GF_TARGET_IMAGE) {
		o.decided = decided;
		o.decided_arg = w;
	}
	o.max_tasks = w->target->sample.cap ? w->target->sample.cap : w->config->max_tasks;
	return gf_engine_create(w->target, w->policy->img, &o, &w->engine, err);
}

/* In an error of one of many, which one. */
static int name_target(const struct gf_watch *w, int r, struct gf_err *err)
{
	struct gf_err why = *err;

	if (r && w->daemon->watches > 1)
		gf_err_set(err, -r, "target %s: %.300s", w->name, why.text[0] ? why.text : strerror(-r));
	return r;
}

static int create(struct gf_watch *w, struct gf_err *err)
{
	int r = gf_policies_create(&w->policies);

	if (r)
		return gf_err_set(err, -r, "out of memory");
	gf_policies_add(w->policies, w->policy);
	r = make_target(w, err);
	if (!r && gf_shadow_create(w, &w->shadow))
		r = gf_err_set(err, ENOMEM, "out of memory");
	if (!r)
		r = make_engine(w, err);
	return r;
}

static int load_shadows(struct gf_daemon *d, struct gf_err *err)
{
	struct gf_policy_report rep = { 0 };
	struct gf_policy **v = calloc(d->watches, sizeof(struct gf_policy *));
	int r = v ? gf_shadow_load(d->config, d->config->target, d->watches, NULL, v, &rep) : gf_err_set(&rep.err, ENOMEM, "out of memory");

	if (r) {
		if (rep.text)
			gf_log(LOG_ERR, "%s", rep.text);
		*err = rep.err;
	}
	for (size_t i = 0; i < d->watches && !r; i++) {
		struct gf_err why = { "" };
		if (gf_shadow_set(d->watch[i].shadow, d->watch[i].policy, v[i], &why))
			gf_log(LOG_WARNING, "target %s: the shadow policy is not evaluated: %s", d->watch[i].name, why.text);
		gf_policy_put(v[i]);
	}
	gf_policy_report_deinit(&rep);
	free(v);
	return r;
}

int gf_watches_create(struct gf_daemon *d, struct gf_err *err)
{
	const struct gf_config *c = d->config;
	int r;

	d->watch = calloc(c->targets, sizeof *d->watch);
	if (!d->watch)
		return gf_err_set(err, ENOMEM, "out of memory");
	d->watches = c->targets;
	for (size_t i = 0; i < d->watches; i++) {
		const struct gf_config_target *t = &c->target[i];
		d->watch[i] = (struct gf_watch){
			.daemon = d, .index = (uint32_t)i, .config = t, .name = t->name, .period_ns = gf_config_target_period(c, t),
			.observe = d->options.observe || gf_config_target_observe(c, t),
			.last_resorts = gf_config_target_last_resorts(c, t),
		};
	}
	r = load_policies(d, err);
	for (size_t i = 0; i < d->watches && !r; i++)
		r = name_target(&d->watch[i], create(&d->watch[i], err), err);
	return r ? r : load_shadows(d, err);
}

/* What the kernel module may do: nothing while nothing is to be done, and no last resort that is not allowed here. */
void gf_watch_arm(struct gf_watch *w)
{
	struct gf_kmod *k = w->target && w->config->kind == GF_TARGET_HOST ? gf_host_kmod(w->target) : NULL;
	uint32_t last = __atomic_load_n(&w->last_resorts, __ATOMIC_RELAXED), flags = GPUFAS_ARM_ACT;

	if (!k)
		return;
	flags |= last >> GF_ACT_PANIC & 1 ? GPUFAS_ARM_PANIC : 0;
	flags |= last >> GF_ACT_RESTART & 1 ? GPUFAS_ARM_RESTART : 0;
	gf_kmod_arm(k, w->observe ? 0 : flags);
}

/* One below the engine: signals may wait for a tick, no tick for signals. Where
 * that is not permitted an ordinary thread is better than none, as for the engine. */
static int start_actuator(struct gf_watch *w, struct gf_err *err)
{
	struct gf_daemon *d = w->daemon;
	struct gf_actuator_opts a = {
		.rt_priority = d->config->rt_priority ? d->config->rt_priority - 1 : 0, .target_index = w->index,
		.last_resort = gf_watch_last_resort, .last_arg = w,
	};
	int fd = gf_engine_verdict_fd(w->engine);
	int r = 0;

	if (w->config->kind == GF_TARGET_HOST) {
		a.kmod = gf_host_kmod(w->target);
		a.only_kmod = w->config->delivery == GF_DELIVERY_KMOD;
		gf_watch_arm(w);
	}

	for (;;) {
		if (w->config->kind == GF_TARGET_HOST)
			r = gf_actuator_create(&a, fd, verdicts, w, gf_reporter_sink, d->reporter, &w->actuator, err);
		else if (w->config->kind == GF_TARGET_VM)
			r = gf_vm_actuator_create(&a, w->target, fd, verdicts, w, gf_reporter_sink, d->reporter, &w->vm_actuator, err);
		if (!r && w->vm_actuator)
			gf_engine_actuator(w->engine, w->vm_actuator);
		if (!r && w->actuator)
			gf_engine_host_actuator(w->engine, w->actuator);
		if (r != -EPERM || !a.rt_priority)
			return r;
		gf_log(LOG_WARNING, "signals are sent from an ordinary thread: %s", err->text);
		a.rt_priority = 0;
	}
}

int gf_watches_start(struct gf_daemon *d, struct gf_err *err)
{
	int r = 0;

	for (size_t i = 0; i < d->watches && !r; i++)
		r = name_target(&d->watch[i], start_actuator(&d->watch[i], err), err);
	for (size_t i = 0; i < d->watches && !r; i++)
		r = name_target(&d->watch[i], gf_engine_start(d->watch[i].engine, err), err);
	for (size_t i = 0; i < d->watches && !r; i++)
		r = name_target(&d->watch[i], gf_shadow_start(d->watch[i].shadow, err), err);
	return r;
}

/* ---- stop -------------------------------------------------------------------- */

void gf_watches_stop(struct gf_daemon *d)
{
	for (size_t i = 0; i < d->watches; i++)
		if (d->watch[i].engine)
			gf_engine_stop(d->watch[i].engine);
	for (size_t i = 0; i < d->watches; i++)
		gf_shadow_stop(d->watch[i].shadow);
	for (size_t i = 0; i < d->watches; i++) {
		gf_actuator_destroy(d->watch[i].actuator); /* its last verdicts are still in the engine */
		gf_vm_actuator_destroy(d->watch[i].vm_actuator);
		d->watch[i].actuator = NULL;
		d->watch[i].vm_actuator = NULL;
	}
}

void gf_watches_end_jobs(struct gf_daemon *d)
{
	for (size_t i = 0; i < d->watches; i++) {
		gf_worker_destroy(d->watch[i].worker);
		d->watch[i].worker = NULL;
	}
}

void gf_watches_destroy(struct gf_daemon *d)
{
	for (size_t i = 0; i < d->watches; i++) {
		struct gf_watch *w = &d->watch[i];
		gf_engine_destroy(w->engine);
		gf_shadow_destroy(w->shadow);
		gf_tape_destroy(w->tape);
		gf_worker_destroy(w->worker);
		gf_view_free(w->view); /* it may look at the target's guest */
		gf_target_destroy(w->target);
		gf_policies_destroy(w->policies);
		gf_policy_put(w->policy);
	}
	free(d->watch);
	d->watch = NULL;
	d->watches = 0;
}

/* ---- all of them ------------------------------------------------------------- */

struct gf_watch *gf_watch_find(struct gf_daemon *d, const char *name)
{
	for (size_t i = 0; i < d->watches; i++)
		if (!name || !strcmp(d->watch[i].name, name))
			return &d->watch[i];
	return NULL;
}

void gf_watch_observe(struct gf_watch *w, bool observe)
{
	w->observe = observe;
	gf_watch_arm(w);
	gf_engine_set_observe(w->engine, observe);
}

bool gf_watches_observe(const struct gf_daemon *d)
{
	bool all = true;

	for (size_t i = 0; i < d->watches; i++)
		all &= d->watch[i].observe;
	return all;
}

uint32_t gf_watches_rules(const struct gf_daemon *d)
{
	uint32_t n = 0;

	for (size_t i = 0; i < d->watches; i++)
		n += d->watch[i].policy->rules;
	return n;
}
