// SPDX-License-Identifier: MIT
#include "daemon/shadow.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/daemon.h"
#include "daemon/eventjson.h"
#include "targets/vm.h"

#define PENDING 64u

/* Something that one of the two did and the other has not done, or not yet. */
struct deed {
	bool shadow;
	uint8_t action;
	int32_t arg;
	struct gf_event ev;
};

struct gf_shadow {
	struct gf_target mirror;  /* shows what the watch's target has sampled */
	struct gf_watch *watch;
	bool stale;
	/* Of the ticking thread, which only tries it, or of who exchanges the policy. */
	pthread_mutex_t turn;
	struct gf_engine *engine; /* NULL: there is none */
	struct gf_policy *policy, *active;
	uint64_t seq;             /* its events are numbered by themselves */
	struct deed *pending;     /* [PENDING] */
	size_t pendings;
	struct gf_shadow_stats now;
	uint64_t skipped;         /* ticks that found the turn taken: the ticking thread's own */
	/* What others see; the ticking thread only tries it. */
	pthread_mutex_t lock;
	struct gf_shadow_stats shown;
	struct gf_policy *shown_policy;
	char why[256];            /* why there is none though one is configured */
};

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

int gf_shadow_create(struct gf_watch *w, struct gf_shadow **ret)
{
	static const struct gf_target_ops ops = {
		.kind = "shadow", .sample = mirror_sample, .set_fields = mirror_set_fields, .set_paths = mirror_set_paths, .destroy = mirror_destroy,
	};
	struct gf_shadow *s = calloc(1, sizeof *s);

	if (!s)
		return -ENOMEM;
	s->pending = calloc(PENDING, sizeof *s->pending);
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
	pthread_mutex_init(&s->lock, NULL);
	*ret = s;
	return 0;
}

void gf_shadow_destroy(struct gf_shadow *s)
{
	if (!s)
		return;
	gf_engine_destroy(s->engine);
	gf_policy_put(s->policy);
	gf_policy_put(s->active);
	gf_policy_put(s->shown_policy);
	pthread_mutex_destroy(&s->turn);
	pthread_mutex_destroy(&s->lock);
	free(s->pending);
	free(s);
}

/* ---- comparing -------------------------------------------------------------------- */

static void differ(struct gf_shadow *s, const struct deed *d)
{
	struct gf_shadow_difference *to = &s->now.last[(s->now.only_shadow + s->now.only_active) % GF_SHADOW_KEPT];

	to->shadow = d->shadow;
	to->ev = d->ev;
	s->now.kept = GF_MIN(s->now.kept + 1, GF_SHADOW_KEPT);
	if (d->shadow)
		s->now.only_shadow++;
	else
		s->now.only_active++;
}

static void drop(struct gf_shadow *s, size_t i)
{
	memmove(&s->pending[i], &s->pending[i + 1], (s->pendings - i - 1) * sizeof *s->pending);
	s->pendings--;
}

/* What waited for the other long enough is a difference. */
static void expire(struct gf_shadow *s, uint64_t now_ns)
{
	for (size_t i = 0; i < s->pendings;) {
		uint64_t then = s->pending[i].ev.now_ns;
		if (now_ns >= then && now_ns - then <= GF_SHADOW_WITHIN_NS) {
			i++;
			continue;
		}
		differ(s, &s->pending[i]);
		drop(s, i);
	}
}

static void done(struct gf_shadow *s, bool shadow, const struct gf_event *ev, const struct gf_image_header *img)
{
	const struct gf_step *step = gf_event_step(ev, img);
	struct deed d = { .shadow = shadow, .ev = *ev };

	if (ev->kind != GF_EV_ACTION || !step)
		return;
	d.action = step->action;
	d.arg = step->arg;
	if (shadow)
		s->now.actions++;
	else
		s->now.active_actions++;
	for (size_t i = 0; i < s->pendings; i++) {
		const struct deed *p = &s->pending[i];
		if (p->shadow == shadow || p->action != d.action || p->arg != d.arg || p->ev.pid != ev->pid || p->ev.start_ns != ev->start_ns)
			continue;
		s->now.agreed++;
		drop(s, i);
		return;
	}
	if (s->pendings == PENDING) {
		differ(s, &s->pending[0]);
		drop(s, 0);
	}
	s->pending[s->pendings++] = d;
}

static void publish(struct gf_shadow *s)
{
	if (pthread_mutex_trylock(&s->lock))
		return; /* the next tick will */
	s->shown = s->now;
	pthread_mutex_unlock(&s->lock);
}

static void tick(struct gf_shadow *s, int rc, const struct gf_event *ev, uint32_t n)
{
	const struct gf_image_header *active = s->active->img;
	struct gf_engine_stats st;
	struct gf_verdict v[64];
	struct gf_event own[8];
	size_t got;

	s->stale = rc != 0;
	gf_engine_tick(s->engine, NULL);
	while (gf_engine_verdicts(s->engine, v, 64) == 64)
		; /* nobody carries them out */
	for (uint32_t i = 0; i < n; i++)
		if (ev[i].image_fp == active->fp) /* else an exchange is under way */
			done(s, false, &ev[i], active);
	while ((got = gf_engine_events(s->engine, own, 8)) > 0)
		for (size_t i = 0; i < got; i++)
			done(s, true, &own[i], s->policy->img);
	expire(s, s->mirror.sample.now_ns);
	gf_engine_stats(s->engine, &st);
	s->now.ticks++;
	s->now.missed = s->skipped;
	s->now.eval_avg_ns = st.eval_avg_ns;
	publish(s);
}

void gf_shadow_tick(void *shadow, int rc, const struct gf_event *ev, uint32_t n)
{
	struct gf_shadow *s = shadow;

	if (pthread_mutex_trylock(&s->turn)) {
		s->skipped++;
		return;
	}
	if (s->engine)
		tick(s, rc, ev, n);
	pthread_mutex_unlock(&s->turn);
}

/* ---- exchanging ------------------------------------------------------------------- */

/* The columns of kernel paths are those of the policy in force: the shadow's must be among the first of them, in their order. */
static int same_paths(const struct gf_image_header *active, const struct gf_image_header *img, struct gf_err *err)
{
	const struct gf_path *a = GF_SEC(struct gf_path, active, GF_SEC_PATH), *b = GF_SEC(struct gf_path, img, GF_SEC_PATH);

	for (uint32_t i = 0; i < img->fields.paths; i++) {
		const char *text = gf_image_str(img, b[i].text);
		if (i >= active->fields.paths || strcmp(gf_image_str(active, a[i].text), text))
			return gf_err_set(err, ENOTSUP, "it follows the kernel path %.120s, which the policy in force does not, or not in that place: use the same paths in the same order", text);
	}
	return 0;
}

static int make_engine(struct gf_shadow *s, const struct gf_image_header *img, struct gf_engine **ret, struct gf_err *err)
{
	const struct gf_config *c = s->watch->daemon->config;
	struct gf_engine_opts o = {
		.kind = GF_ENGINE_CPU, .period_ns = s->watch->period_ns, .observe = true, .budget_n = c->budget_n,
		.budget_window_ns = c->budget_window_ns, .target_index = s->watch->index, .event_seq = &s->seq,
	};

	s->mirror.sample = s->watch->target->sample;
	o.max_tasks = s->mirror.sample.cap;
	return gf_engine_create(&s->mirror, img, &o, ret, err);
}

/* The engine is not in a tick: the turn is ours. */
static int exchange(struct gf_shadow *s, struct gf_policy *active, struct gf_policy *p, struct gf_err *err)
{
	struct gf_engine *e = NULL;
	int rc = 0;

	if (p && s->engine)
		rc = gf_engine_swap(s->engine, p->img, err);
	else if (p)
		rc = make_engine(s, p->img, &e, err);
	if (rc || !p) {
		gf_engine_destroy(s->engine);
		s->engine = NULL;
	} else if (e) {
		s->engine = e;
	}
	gf_policy_put(s->policy);
	s->policy = s->engine ? gf_policy_get(p) : NULL;
	gf_policy_put(s->active);
	s->active = gf_policy_get(active);
	/* what was found is of the policy that was */
	memset(&s->now, 0, sizeof s->now);
	s->pendings = 0;
	return rc;
}

static void show(struct gf_shadow *s, int rc, const struct gf_err *err)
{
	pthread_mutex_lock(&s->lock);
	gf_policy_put(s->shown_policy);
	s->shown_policy = s->policy ? gf_policy_get(s->policy) : NULL;
	memset(&s->shown, 0, sizeof s->shown);
	snprintf(s->why, sizeof s->why, "%.250s", !rc ? "" : err->text[0] ? err->text : strerror(-rc));
	pthread_mutex_unlock(&s->lock);
}

int gf_shadow_set(struct gf_shadow *s, struct gf_policy *active, struct gf_policy *p, struct gf_err *err)
{
	struct gf_err e = { "" };
	int rc = 0;

	if (!p && !s->policy) {
		show(s, 0, &e);
		return 0;
	}
	if (p)
		rc = same_paths(active->img, p->img, &e);
	if (!rc) {
		s->watch->also_shadow = p ? p->img->fields : (struct gf_fieldset){ 0 };
		rc = gf_watch_also(s->watch, &e);
	}
	pthread_mutex_lock(&s->turn);
	if (rc)
		exchange(s, active, NULL, NULL);
	else
		rc = exchange(s, active, p, &e);
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

/* ---- telling ---------------------------------------------------------------------- */

bool gf_shadow_stats(struct gf_shadow *s, struct gf_shadow_stats *ret)
{
	bool is = false;

	memset(ret, 0, sizeof *ret);
	if (!s)
		return false;
	pthread_mutex_lock(&s->lock);
	is = s->shown_policy != NULL;
	if (is)
		*ret = s->shown;
	pthread_mutex_unlock(&s->lock);
	return is;
}

static void differences_json(const struct gf_shadow *s, const struct gf_shadow_stats *st, const struct gf_policy *p, struct gf_jbuf *b)
{
	uint64_t all = st->only_shadow + st->only_active;

	gf_jbuf_key(b, "differences");
	gf_jbuf_open(b, '[');
	for (uint64_t i = all - st->kept; i < all; i++) {
		const struct gf_shadow_difference *d = &st->last[i % GF_SHADOW_KEPT];
		struct gf_policy *of = d->shadow ? gf_policy_get((struct gf_policy *)(uintptr_t)p) : gf_policies_find(s->watch->policies, d->ev.image_fp);
		char text[1024];
		gf_jbuf_open(b, '{');
		gf_jbuf_kstr(b, "only", d->shadow ? "shadow" : "active");
		gf_jbuf_knum(b, "boot_s", (double)d->ev.now_ns / 1e9);
		gf_jbuf_kstr(b, "sentence", gf_event_sentence(&d->ev, of ? of->img : NULL, text, sizeof text));
		gf_jbuf_kstr(b, "rule", gf_event_rule(&d->ev, of ? of->img : NULL));
		gf_jbuf_kint(b, "pid", d->ev.pid);
		gf_jbuf_close(b, '}');
		gf_policy_put(of);
	}
	gf_jbuf_close(b, ']');
}

void gf_shadow_json(struct gf_shadow *s, struct gf_jbuf *b)
{
	struct gf_shadow_stats *st = calloc(1, sizeof *st);
	struct gf_engine_stats engine;
	struct gf_policy *p = NULL;
	char why[256] = "";

	gf_jbuf_key(b, "shadow");
	if (s && st) {
		pthread_mutex_lock(&s->lock);
		p = s->shown_policy ? gf_policy_get(s->shown_policy) : NULL;
		*st = s->shown;
		memcpy(why, s->why, sizeof why);
		pthread_mutex_unlock(&s->lock);
	}
	if (!p && !*why) {
		gf_jbuf_null(b);
		free(st);
		return;
	}
	gf_engine_stats(s->watch->engine, &engine);
	if (p && !st->ticks && engine.kind == GF_ENGINE_GPU && s->watch->config->kind == GF_TARGET_VM)
		snprintf(why, sizeof why, "a GPU samples this target by itself: nothing is evaluated beside it");
	gf_jbuf_open(b, '{');
	gf_jbuf_key(b, "files");
	gf_jbuf_open(b, '[');
	for (size_t i = 0; p && i < p->files.n; i++)
		gf_jbuf_str(b, p->files.v[i]);
	gf_jbuf_close(b, ']');
	gf_jbuf_kuint(b, "rules", p ? p->rules : 0);
	gf_jbuf_kstr(b, "why_not", why);
	gf_jbuf_kuint(b, "ticks", st->ticks);
	gf_jbuf_kuint(b, "missed", st->missed);
	gf_jbuf_kuint(b, "actions", st->actions);
	gf_jbuf_kuint(b, "active_actions", st->active_actions);
	gf_jbuf_kuint(b, "agreed", st->agreed);
	gf_jbuf_kuint(b, "only_shadow", st->only_shadow);
	gf_jbuf_kuint(b, "only_active", st->only_active);
	gf_jbuf_knum(b, "eval_us", (double)st->eval_avg_ns / 1e3);
	differences_json(s, st, p, b);
	gf_jbuf_close(b, '}');
	gf_policy_put(p);
	free(st);
}
