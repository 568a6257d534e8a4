// SPDX-License-Identifier: MIT
#include "daemon/shadow_int.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "targets/vm.h"

/* ---- the mirror ------------------------------------------------------------------- */

static struct gf_shadow *shadow_of(struct gf_target *t)
{
	return (struct gf_shadow *)t;
}

static int mirror_sample(struct gf_target *t, struct gf_err *err)
{
	t->sample = shadow_of(t)->watch->target->sample;
	return shadow_of(t)->stale ? gf_err_set(err, EAGAIN, "the target cannot be sampled") : 0;
}

/* They are asked of the watch's engine, which asks the target. */
static int mirror_set_fields(struct gf_target *t, const struct gf_fieldset *f, struct gf_err *err)
{
	(void)f;
	(void)err;
	t->sample = shadow_of(t)->watch->target->sample;
	return 0;
}

static int mirror_set_paths(struct gf_target *t, const char *const *path, size_t n, struct gf_err *err)
{
	(void)t;
	(void)path;
	(void)n;
	(void)err;
	return 0; /* gf_shadow_set has looked at them */
}

static void mirror_destroy(struct gf_target *t)
{
	(void)t;
}

static void unmake(struct gf_shadow *s)
{
	gf_engine_destroy(s->engine);
	gf_target_destroy(s->own);
	s->engine = NULL;
	s->own = NULL;
}

int gf_shadow_create(struct gf_watch *w, struct gf_shadow **ret)
{
	static const struct gf_target_ops ops = {
		.kind = "shadow", .sample = mirror_sample, .set_fields = mirror_set_fields, .set_paths = mirror_set_paths, .destroy = mirror_destroy,
	};
	struct gf_shadow *s = calloc(1, sizeof *s);

	if (!s)
		return -ENOMEM;
	s->pending = calloc(GF_SHADOW_PENDING, sizeof *s->pending);
	if (!s->pending) {
		free(s);
		return -ENOMEM;
	}
	s->mirror.ops = &ops;
	s->mirror.target_kind = w->target->target_kind;
	snprintf(s->mirror.name, sizeof s->mirror.name, "%s", w->name);
	s->watch = w;
	s->seq = 1;
	pthread_mutex_init(&s->turn, NULL);
	pthread_mutex_init(&s->saw_lock, NULL);
	pthread_mutex_init(&s->lock, NULL);
	*ret = s;
	return 0;
}

void gf_shadow_destroy(struct gf_shadow *s)
{
	if (!s)
		return;
	unmake(s);
	gf_policy_put(s->policy);
	gf_policy_put(s->active);
	gf_policy_put(s->shown_policy);
	pthread_mutex_destroy(&s->turn);
	pthread_mutex_destroy(&s->saw_lock);
	pthread_mutex_destroy(&s->lock);
	free(s->pending);
	free(s->saw);
	free(s);
}

/* ---- its engine ------------------------------------------------------------------- */

/* The turn is the caller's: a tick of the shadow's engine has ended. */
static void evaluated(struct gf_shadow *s, const struct gf_sample *sample, const struct gf_event *active, uint32_t n)
{
	struct gf_engine_stats st;
	struct gf_verdict v[64];

	while (gf_engine_verdicts(s->engine, v, 64) == 64)
		; /* nobody carries them out */
	gf_shadow_compare(s, sample, active, n);
	gf_engine_stats(s->engine, &st);
	s->now.ticks++;
	s->now.missed = s->skipped + st.missed;
	s->now.eval_avg_ns = st.eval_avg_ns;
	s->now.total_avg_ns = st.total_avg_ns;
	s->now.stale = st.stale;
	memcpy(s->now.sample_error, st.sample_error, sizeof s->now.sample_error);
	gf_shadow_publish(s);
}

void gf_shadow_tick(void *shadow, int rc, const struct gf_event *ev, uint32_t n)
{
	struct gf_shadow *s = shadow;

	if (pthread_mutex_trylock(&s->turn)) {
		s->skipped++;
		return;
	}
	if (s->engine && !s->own) {
		s->stale = rc != 0;
		gf_engine_tick(s->engine, NULL);
		evaluated(s, &s->mirror.sample, ev, n);
	}
	pthread_mutex_unlock(&s->turn);
}

/* On the own engine's thread. */
static void own_ticked(void *arg, int rc, const struct gf_event *ev, uint32_t n)
{
	struct gf_shadow *s = arg;

	(void)rc;
	(void)ev;
	(void)n;
	if (pthread_mutex_trylock(&s->turn))
		return; /* it is about to be another; what was said waits in the engine's rings */
	evaluated(s, &s->own->sample, NULL, 0);
	pthread_mutex_unlock(&s->turn);
}

/* A device that samples a guest by itself has no table for others. The CPU's sampler, in a view of its own on a thread of its own, reads the same
 * memory; nothing is asked of the device. */
static bool apart(const struct gf_shadow *s)
{
	struct gf_engine_stats st;

	if (s->watch->config->kind != GF_TARGET_VM)
		return false;
	gf_engine_stats(s->watch->engine, &st);
	return st.kind == GF_ENGINE_GPU;
}

static int make(struct gf_shadow *s, const struct gf_image_header *img, bool own, struct gf_err *err)
{
	const struct gf_config *c = s->watch->daemon->config;
	struct gf_engine_opts o = {
		.kind = GF_ENGINE_CPU, .period_ns = s->watch->period_ns, .observe = true, .budget_n = c->budget_n,
		.budget_window_ns = c->budget_window_ns, .target_index = s->watch->index, .event_seq = &s->seq,
		.max_tasks = s->watch->target->sample.cap, .after = own ? own_ticked : NULL, .after_arg = s,
	};
	int rc = own ? gf_vm_create_view(s->watch->target, o.max_tasks, &s->own, err) : 0;

	s->mirror.sample = s->watch->target->sample;
	if (!rc)
		rc = gf_engine_create(own ? s->own : &s->mirror, img, &o, &s->engine, err);
	if (!rc && own && s->started)
		rc = gf_engine_start(s->engine, err);
	if (rc)
		unmake(s);
	return rc;
}

int gf_shadow_start(struct gf_shadow *s, struct gf_err *err)
{
	s->started = true;
	return s->own ? gf_engine_start(s->engine, err) : 0;
}

void gf_shadow_stop(struct gf_shadow *s)
{
	if (s && s->own && s->engine)
		gf_engine_stop(s->engine);
}

/* ---- exchanging ------------------------------------------------------------------- */

/* The columns of kernel paths are those of the policy in force: the shadow's must be among the first of them, in their order. */
static int same_paths(const struct gf_image_header *active, const struct gf_image_header *img, struct gf_err *err)
{
	for (uint32_t i = 0; i < img->fields.paths; i++) {
		const char *text = gf_image_path(img, i);
		if (i >= active->fields.paths || strcmp(gf_image_path(active, i), text))
			return gf_err_set(err, ENOTSUP, "it follows the kernel path %.120s, which the policy in force does not, or not in that place: use the same paths in the same order", text);
	}
	return 0;
}

/* The engine is not in a tick, or it is one of its own: the turn is ours. */
static int exchange(struct gf_shadow *s, struct gf_policy *active, struct gf_policy *p, bool own, struct gf_err *err)
{
	int rc = 0;

	if (s->engine && (!p || own != (s->own != NULL)))
		unmake(s);
	if (p && s->engine)
		rc = gf_engine_swap(s->engine, p->img, err);
	else if (p)
		rc = make(s, p->img, own, err);
	if (rc)
		unmake(s);
	gf_policy_put(s->policy);
	s->policy = s->engine ? gf_policy_get(p) : NULL;
	gf_policy_put(s->active);
	s->active = gf_policy_get(active);
	/* what was found is of the policy that was */
	memset(&s->now, 0, sizeof s->now);
	s->now.apart = s->own != NULL;
	s->pendings = 0;
	return rc;
}

/* What the reporter puts in. */
static int wants(struct gf_shadow *s, bool on, struct gf_err *err)
{
	pthread_mutex_lock(&s->saw_lock);
	if (on && !s->saw)
		s->saw = calloc(GF_SHADOW_SEEN, sizeof *s->saw);
	s->saws = 0;
	s->saw_lost = 0;
	__atomic_store_n(&s->wants, on && s->saw, __ATOMIC_RELEASE);
	pthread_mutex_unlock(&s->saw_lock);
	return on && !s->saw ? gf_err_set(err, ENOMEM, "out of memory") : 0;
}

static void show(struct gf_shadow *s, int rc, const struct gf_err *err)
{
	pthread_mutex_lock(&s->lock);
	gf_policy_put(s->shown_policy);
	s->shown_policy = s->policy ? gf_policy_get(s->policy) : NULL;
	memset(&s->shown, 0, sizeof s->shown);
	s->shown.apart = s->own != NULL;
	snprintf(s->why, sizeof s->why, "%.250s", !rc ? "" : err->text[0] ? err->text : strerror(-rc));
	pthread_mutex_unlock(&s->lock);
}

int gf_shadow_set(struct gf_shadow *s, struct gf_policy *active, struct gf_policy *p, struct gf_err *err)
{
	bool own = p && apart(s);
	struct gf_err e = { "" };
	int rc = 0;

	if (!p && !s->policy) {
		show(s, 0, &e);
		return 0;
	}
	if (p && !own)
		rc = same_paths(active->img, p->img, &e);
	if (!rc) {
		s->watch->also_shadow = p && !own ? p->img->fields : (struct gf_fieldset){ 0 };
		rc = gf_watch_also(s->watch, &e);
	}
	if (!rc)
		rc = wants(s, p != NULL, &e);
	pthread_mutex_lock(&s->turn);
	if (rc)
		exchange(s, active, NULL, false, NULL);
	else
		rc = exchange(s, active, p, own, &e);
	pthread_mutex_unlock(&s->turn);
	show(s, rc, &e);
	if (rc && err)
		*err = e;
	return rc;
}

int gf_shadow_load(const struct gf_config *c, const struct gf_config_target *t, size_t n, struct gf_target *const *target,
		   struct gf_policy **ret, struct gf_policy_report *rep)
{
	struct gf_config_target *of = calloc(n + 1, sizeof *of);
	struct gf_target **at = calloc(n + 1, sizeof(struct gf_target *));
	struct gf_policy **got = calloc(n + 1, sizeof(struct gf_policy *));
	size_t *which = calloc(n + 1, sizeof *which), k = 0;
	struct gf_policy_report own = { 0 };
	int rc = 0;

	for (size_t i = 0; of && at && got && which && i < n; i++) {
		struct gf_config_target x = t[i];
		x.own_policy = true;
		x.dirs = t[i].own_shadow ? t[i].shadow_dirs : c->shadow_dirs;
		x.files = t[i].own_shadow ? t[i].shadow_files : c->shadow_files;
		ret[i] = NULL;
		if (!x.dirs.n && !x.files.n)
			continue;
		of[k] = x;
		at[k] = target ? target[i] : NULL;
		which[k++] = i;
	}
	if (!of || !at || !got || !which)
		rc = gf_err_set(&own.err, ENOMEM, "out of memory");
	else if (k)
		rc = gf_policy_load_all(c, of, k, NULL, at, got, &own);
	for (size_t i = 0; !rc && i < k; i++)
		ret[which[i]] = got[i];
	if (rc) {
		struct gf_err why = own.err;
		gf_err_set(&own.err, -rc, "the shadow policy: %.400s", why.text);
		gf_policy_report_deinit(rep);
		*rep = own;
	} else {
		if (own.text)
			gf_log(LOG_WARNING, "%s", own.text);
		gf_policy_report_deinit(&own);
	}
	free(of);
	free(at);
	free(got);
	free(which);
	return rc;
}

