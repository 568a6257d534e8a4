// SPDX-License-Identifier: MIT
/*
 * What the policy in force and its shadow would do, against each other. Behind the watch's ticks the events of both are at hand. Where the
 * shadow samples by itself, or a device ticks for the policy in force, its events come from the reporter, by gf_shadow_saw(), a moment later.
 */
#include <string.h>

#include "daemon/eventjson.h"
#include "daemon/shadow_int.h"

static void differ(struct gf_shadow *s, const struct gf_shadow_deed *d)
{
	struct gf_shadow_difference *to = &s->now.last[(s->now.only_shadow + s->now.only_active) % GF_SHADOW_KEPT];

	to->shadow = d->shadow;
	to->unseen = d->unseen;
	to->ev = d->ev;
	s->now.kept = GF_MIN(s->now.kept + 1, GF_SHADOW_KEPT);
	if (d->shadow)
		s->now.only_shadow++;
	else
		s->now.only_active++;
	s->now.unseen += d->unseen;
}

static void drop(struct gf_shadow *s, size_t i)
{
	memmove(&s->pending[i], &s->pending[i + 1], (s->pendings - i - 1) * sizeof *s->pending);
	s->pendings--;
}

/* What waited for the other long enough is a difference. The device's sample may be a little newer than the shadow's own. */
static void expire(struct gf_shadow *s, uint64_t now_ns)
{
	for (size_t i = 0; i < s->pendings;) {
		uint64_t then = s->pending[i].ev.now_ns;
		if ((now_ns >= then ? now_ns - then : then - now_ns) <= GF_SHADOW_WITHIN_NS) {
			i++;
			continue;
		}
		differ(s, &s->pending[i]);
		drop(s, i);
	}
}

static bool is_there(const struct gf_sample *s, const struct gf_event *ev)
{
	for (uint32_t i = 0; ev->pid && i < s->rows; i++)
		if (s->flags[i] & GF_ROW_VALID && s->pid[i] == ev->pid && s->start_ns[i] == ev->start_ns)
			return true;
	return !ev->pid;
}

/* An action of one of them: unseen where the shadow, which samples by itself, can have nothing to say of it any more. */
static void done(struct gf_shadow *s, bool shadow, const struct gf_event *ev, bool unseen)
{
	const struct gf_image_header *img = shadow ? s->policy->img : s->active->img;
	const struct gf_step *step = ev->kind == GF_EV_ACTION && ev->image_fp == img->fp ? gf_event_step(ev, img) : NULL;
	struct gf_shadow_deed d = { .shadow = shadow, .unseen = unseen, .ev = *ev };

	if (!step) /* or an exchange is under way */
		return;
	d.action = step->action;
	d.arg = step->arg;
	if (shadow)
		s->now.actions++;
	else
		s->now.active_actions++;
	for (size_t i = 0; i < s->pendings; i++) {
		const struct gf_shadow_deed *p = &s->pending[i];
		if (p->shadow == shadow || p->action != d.action || p->arg != d.arg || p->ev.pid != ev->pid || p->ev.start_ns != ev->start_ns)
			continue;
		s->now.agreed++;
		drop(s, i);
		return;
	}
	if (s->pendings == GF_SHADOW_PENDING) {
		differ(s, &s->pending[0]);
		drop(s, 0);
	}
	s->pending[s->pendings++] = d;
}

void gf_shadow_publish(struct gf_shadow *s)
{
	if (pthread_mutex_trylock(&s->lock))
		return; /* the next tick will */
	s->shown = s->now;
	pthread_mutex_unlock(&s->lock);
}

/* The events of the policy in force may come by two roads: each counts once. */
static bool is_new(struct gf_shadow *s, const struct gf_event *ev)
{
	if (ev->seq <= s->told)
		return false;
	s->told = ev->seq;
	return true;
}

static void take_seen(struct gf_shadow *s, const struct gf_sample *sample)
{
	if (pthread_mutex_trylock(&s->saw_lock))
		return; /* the next tick will */
	for (size_t i = 0; i < s->saws; i++)
		if (is_new(s, &s->saw[i]))
			done(s, false, &s->saw[i], !is_there(sample, &s->saw[i]));
	s->saws = 0;
	s->now.lost = s->saw_lost;
	pthread_mutex_unlock(&s->saw_lock);
}

void gf_shadow_compare(struct gf_shadow *s, const struct gf_sample *sample, const struct gf_event *active, uint32_t n)
{
	struct gf_event own[8];
	size_t got;

	for (uint32_t i = 0; i < n; i++)
		if (is_new(s, &active[i]))
			done(s, false, &active[i], false);
	take_seen(s, sample);
	while ((got = gf_engine_events(s->engine, own, 8)) > 0)
		for (size_t i = 0; i < got; i++)
			done(s, true, &own[i], false);
	expire(s, sample->now_ns);
}

void gf_shadow_saw(struct gf_shadow *s, const struct gf_event *ev, size_t n)
{
	if (!s || !__atomic_load_n(&s->wants, __ATOMIC_ACQUIRE))
		return;
	pthread_mutex_lock(&s->saw_lock);
	for (size_t i = 0; s->saw && i < n; i++) {
		if (ev[i].kind != GF_EV_ACTION)
			continue;
		if (s->saws < GF_SHADOW_SEEN)
			s->saw[s->saws++] = ev[i];
		else
			s->saw_lost++;
	}
	pthread_mutex_unlock(&s->saw_lock);
}
