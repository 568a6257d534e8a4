// SPDX-License-Identifier: MIT
#include "daemon/shadow_int.h"

#include <stdlib.h>
#include <string.h>

#include "daemon/eventjson.h"

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
		gf_jbuf_kbool(b, "unseen", d->unseen);
		gf_jbuf_knum(b, "boot_s", (double)d->ev.now_ns / 1e9);
		gf_jbuf_kstr(b, "sentence", gf_event_sentence(&d->ev, of ? of->img : NULL, text, sizeof text));
		gf_jbuf_kstr(b, "rule", gf_event_rule(&d->ev, of ? of->img : NULL));
		gf_jbuf_kint(b, "pid", d->ev.pid);
		gf_jbuf_close(b, '}');
		gf_policy_put(of);
	}
	gf_jbuf_close(b, ']');
}

/* On which samples: what the comparison is worth. */
static void how_json(const struct gf_shadow *s, const struct gf_shadow_stats *st, struct gf_jbuf *b)
{
	struct gf_engine_stats engine;

	gf_engine_stats(s->watch->engine, &engine);
	gf_jbuf_kstr(b, "samples", st->apart ? "own" : engine.kind == GF_ENGINE_GPU && engine.alone ? "beside" : "same");
	gf_jbuf_kstr(b, "how", st->apart ? "on samples of its own, which the CPU takes from the guest's memory in the same period: the policy in force is sampled by a GPU" :
		     engine.kind == GF_ENGINE_GPU && engine.alone ? "on samples that gpufasd takes once a period: the policy in force is sampled by a GPU" :
		     "on the samples of the policy in force, behind its ticks");
	gf_jbuf_kbool(b, "stale", st->stale);
	gf_jbuf_kstr(b, "sample_error", st->stale ? st->sample_error : "");
}

void gf_shadow_json(struct gf_shadow *s, struct gf_jbuf *b)
{
	struct gf_shadow_stats *st = calloc(1, sizeof *st);
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
	gf_jbuf_open(b, '{');
	gf_jbuf_key(b, "files");
	gf_jbuf_open(b, '[');
	for (size_t i = 0; p && i < p->files.n; i++)
		gf_jbuf_str(b, p->files.v[i]);
	gf_jbuf_close(b, ']');
	gf_jbuf_kuint(b, "rules", p ? p->rules : 0);
	gf_jbuf_kstr(b, "why_not", why);
	if (p)
		how_json(s, st, b);
	gf_jbuf_kuint(b, "ticks", st->ticks);
	gf_jbuf_kuint(b, "missed", st->missed);
	gf_jbuf_kuint(b, "actions", st->actions);
	gf_jbuf_kuint(b, "active_actions", st->active_actions);
	gf_jbuf_kuint(b, "agreed", st->agreed);
	gf_jbuf_kuint(b, "only_shadow", st->only_shadow);
	gf_jbuf_kuint(b, "only_active", st->only_active);
	gf_jbuf_kuint(b, "unseen", st->unseen);
	gf_jbuf_kuint(b, "lost", st->lost);
	gf_jbuf_knum(b, "total_us", (double)st->total_avg_ns / 1e3);
	gf_jbuf_knum(b, "eval_us", (double)st->eval_avg_ns / 1e3);
	differences_json(s, st, p, b);
	gf_jbuf_close(b, '}');
	gf_policy_put(p);
	free(st);
}
