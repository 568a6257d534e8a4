/* SPDX-License-Identifier: MIT
 *
 * One policy of a sweep on a device: what gf_outcome_run() does with engine, model and a table of what came of it, by a team of lanes.
 * The tick, the rules and the model are the headers that the CPU has. Host (the emulator) and device; included once by who makes teams:
 * GF_TEAM 1, GF_WIDTH 1. What is under GF_SWEPT_DATA_ONLY is for who fills it in and reads it.
 *
 * A team is a block, and has one policy. It goes through the ticks of a frame (sim/reel.h); what it knows stays in the device's
 * memory until the next frame comes.
 */
#ifndef GPUFAS_SIM_SWEPT_H
#define GPUFAS_SIM_SWEPT_H

#if defined(GF_SWEPT_DATA_ONLY)
#include "gpu/job.h"
#else
#include "gpu/tick.h"
#endif
#include "sim/digest.h"
#include "sim/model_core.h"
#include "sim/reel.h"

#define GF_SWEPT_STAGED 64u /* events of one tick; more: it is run on the CPU */

struct gf_swept_rule {
	uint64_t actions, steps, no_victims, held[8], observed, first_ns, last_ns, true_ns, ticks_true, ticks_unknown, ticks, was_true;
};

struct gf_swept_victim {
	uint64_t start_ns;
	int32_t pid;
	char comm[GF_COMM_LEN];
};

enum gf_swept_flag {
	GF_SWEPT_EVENTS = 1,   /* more events in a tick than there is room for */
	GF_SWEPT_VERDICTS = 2, /* the same of verdicts */
	GF_SWEPT_VICTIMS = 4,  /* and of processes that were ended */
};

struct gf_swept {
	struct gf_team_mem team;
	/* filled in by the host: the device's addresses */
	struct gf_sample own;      /* arrays of its own, for what is not as in truth; columns that it is shown */
	struct gf_mcore core;
	struct gf_tick tick, ptick;      /* of the policy, and of what counts as pressure */
	struct gf_tick_in in, pin;
	struct gf_tick_out out, pout;
	struct gf_state *st, *pst; /* pst NULL: nobody asks for pressure */
	struct gf_swept_rule *rule;
	struct gf_swept_victim *victim;
	struct gf_event *event;    /* those worth telling, in order, as many as there is room for; room 0: they are only counted */
	uint64_t task;             /* columns that it is shown */
	uint32_t str, paths;
	uint8_t path[GF_MAX_PATHS]; /* where they are in the recording: gf_reel_paths() */
	uint32_t victims_room, event_room;
	uint64_t most_ns;          /* what a tick may stand for */
	uint8_t pressure_host;     /* pressure is of host fields alone: it is asked without rows */
	/* what came of it */
	uint8_t pressed, ended;
	uint32_t inexact;          /* enum gf_swept_flag: the CPU is to do it again */
	uint32_t victims, events, most_tasks;
	uint64_t events_n, actions, ticks, stale, first_ns, first_wall_ns, last_ns, last_wall_ns, pressure_ns;
	uint64_t seq, pseq, digest;
	/* while it runs */
	struct gf_tick *active;
	struct gf_sample now;      /* as shown */
	struct gf_sample truth;
	struct gf_sample bare;     /* host fields without rows */
	uint64_t dt;
	uint8_t failed;            /* this tick's sample did */
};

enum { GF_SJOB_RULES = 100 };

#if !defined(GF_SWEPT_DATA_ONLY)

/* Truths of all rules in this tick, into their sums. */
static GF_HD __attribute__((noinline)) void gf_sjob_rules(struct gf_swept *v, uint32_t lane, uint32_t lanes)
{
	uint32_t rules = v->st->img->sec[GF_SEC_RULE].count;

	for (uint32_t k = lane; k < rules; k += lanes) {
		uint8_t truth = v->st->rule[k].truth;
		struct gf_swept_rule *r = &v->rule[k];
		r->true_ns += r->was_true ? v->dt : 0;
		r->was_true = !v->failed && truth == GF_TRUE;
		if (v->failed)
			continue;
		r->ticks++;
		r->ticks_unknown += truth == GF_UNKNOWN;
		r->ticks_true += r->was_true;
	}
}

static GF_HD void gf_team_dispatch(struct gf_team *t, const struct gf_call *call)
{
	struct gf_swept *v = (struct gf_swept *)t->mem->ctx;

	if (call->job < 64)
		gf_tick_job(v->active, call, t->lane, t->lanes);
	else if (call->job < GF_MJOB_ENDS)
		gf_mcore_job(&v->core, call, t->lane, t->lanes);
	else
		gf_sjob_rules(v, t->lane, t->lanes);
}

/* ---- the leader's ---------------------------------------------------------------- */

/* Arrays of a tick of the frame; of those columns that are wanted, or of all. */
static GF_HD __attribute__((noinline)) void gf_swept_bind(struct gf_swept *v, struct gf_sample *s, uint8_t *frame, const struct gf_reel_tick *t, int all)
{
	gf_reel_bind(t, frame, v->own.cap, s);
	gf_reel_paths(t, frame, v->path, v->paths, s);
	if (!all)
		gf_reel_want(s, v->task, v->str);
}

/* What is shown of a good tick, by the model. */
static GF_HD __attribute__((noinline)) void gf_swept_show(struct gf_swept *v, struct gf_team *team, uint8_t *frame, const struct gf_reel_tick *ticks,
							   const struct gf_reel_tick *t)
{
	struct gf_mcore *m = &v->core;

	gf_swept_bind(v, &v->truth, frame, t, 1);
	m->before.rows = 0;
	if (t->before >= 0) {
		const struct gf_reel_tick *b = &ticks[t->before];
		m->before.rows = b->rows;
		m->before.flags = frame + b->flags;
		m->before.gen = (const uint32_t *)(const void *)(frame + b->gen);
		m->before.cpu = m->task_has >> GF_TF_CPUTIME & 1 && b->col[GF_TF_CPUTIME] ? (const double *)(const void *)(frame + b->col[GF_TF_CPUTIME]) : NULL;
	}
	if (t->reset)
		gf_mcore_reset_rows(m);
	v->truth.now_ns = m->now_ns = t->now_ns;
	v->truth.seq = t->seq;
	m->dt_ns = t->dt_ns;
	for (uint32_t k = 0; k < 3; k++)
		m->keep[k] = t->keep[k];
	if (m->opts.acts && m->touched) {
		gf_mcore_rows(m, team, 1);
		v->now = v->own;
	} else {
		gf_swept_bind(v, &v->now, frame, t, 0);
	}
	for (uint32_t k = 0; k < GF_HF_COUNT; k++)
		v->now.host[k] = t->host[k];
	gf_mcore_host(m, v->now.host);
	for (uint32_t k = 0; k < GF_HF_COUNT; k++)
		v->own.host[k] = v->bare.host[k] = v->now.host[k];
	m->rows = t->rows;
}

static GF_HD __attribute__((noinline)) void gf_swept_event(struct gf_swept *v, const struct gf_event *ev)
{
	const struct gf_image_header *img = v->st->img;

	v->digest = gf_digest_event(v->digest, ev);
	if (ev->rule < img->sec[GF_SEC_RULE].count) {
		const struct gf_rule *rule = &GF_SEC(struct gf_rule, img, GF_SEC_RULE)[ev->rule];
		struct gf_swept_rule *r = &v->rule[ev->rule];
		if (ev->kind == GF_EV_ACTION) {
			r->steps++;
			if (!ev->step) {
				uint8_t action = ev->step < rule->steps ? GF_SEC(struct gf_step, img, GF_SEC_STEP)[rule->step + ev->step].action : (uint8_t)GF_ACT_LOG;
				r->actions++;
				r->observed += ev->observed;
				r->first_ns = r->first_ns ? r->first_ns : ev->now_ns;
				r->last_ns = ev->now_ns;
				v->actions += !ev->observed && action != GF_ACT_LOG && action != GF_ACT_NOTIFY;
			}
		} else if (ev->kind == GF_EV_NO_VICTIM) {
			r->no_victims++;
		} else if (ev->kind == GF_EV_HELD_BACK && ev->held_back < 8) {
			r->held[ev->held_back]++;
		}
	}
	if (ev->kind == GF_EV_RULE_ON || ev->kind == GF_EV_RULE_OFF)
		return;
	v->events_n++;
	if (v->events < v->event_room)
		v->event[v->events++] = *ev;
}

static GF_HD __attribute__((noinline)) void gf_swept_verdict(struct gf_swept *v, const struct gf_verdict *x)
{
	struct gf_swept_victim *to;

	v->digest = gf_digest_verdict(v->digest, x);
	if (x->flags & GF_VERDICT_OBSERVE || !x->pid || !gf_verdict_is_lethal(x))
		return;
	for (uint32_t i = 0; i < v->victims; i++)
		if (v->victim[i].pid == x->pid && v->victim[i].start_ns == x->start_ns)
			return;
	if (v->victims == v->victims_room) {
		v->inexact |= GF_SWEPT_VICTIMS;
		return;
	}
	to = &v->victim[v->victims++];
	to->pid = x->pid;
	to->start_ns = x->start_ns;
	for (uint32_t i = 0; i < GF_COMM_LEN; i++)
		to->comm[i] = v->now.comm[x->row][i];
}

/* All that a tick had to say, counted; and the model told. */
static GF_HD __attribute__((noinline)) void gf_swept_take(struct gf_swept *v, const struct gf_reel_tick *t)
{
	struct gf_tick_out *o = &v->out;

	if (!v->ticks) {
		v->first_ns = t->now_ns;
		v->first_wall_ns = t->wall_ns;
	}
	if (o->events_lost)
		v->inexact |= GF_SWEPT_EVENTS;
	/* A step of which there may have been too many for the room that is left might have been told to wait. */
	if (o->verdicts_lost || (o->verdicts_n && o->verdicts_n + v->now.live > o->verdicts_cap))
		v->inexact |= GF_SWEPT_VERDICTS;
	for (uint32_t i = 0; i < o->verdicts_n; i++)
		if (!(o->verdicts[i].flags & GF_VERDICT_OBSERVE))
			gf_mcore_act(&v->core, &o->verdicts[i]);
	for (uint32_t i = 0; i < o->events_n; i++)
		gf_swept_event(v, &o->events[i]);
	for (uint32_t i = 0; i < o->verdicts_n; i++)
		gf_swept_verdict(v, &o->verdicts[i]);
	o->events_n = o->events_lost = o->verdicts_n = o->verdicts_lost = 0;
	o->actions = 0;
}

static GF_HD __attribute__((noinline)) void gf_swept_pressure(struct gf_swept *v, struct gf_team *team, int stale, uint64_t dt)
{
	struct gf_sample *s = v->pressure_host ? &v->bare : &v->now;

	v->pressure_ns += v->pressed ? dt : 0;
	if (v->pressure_host) {
		s->now_ns = v->now.now_ns;
		s->seq = v->now.seq;
	}
	gf_ctx_init(&v->ptick.c, s, v->pst);
	v->ptick.in = &v->pin;
	v->ptick.out = &v->pout;
	v->ptick.team = team;
	v->active = &v->ptick;
	if (stale)
		gf_tick_stale(&v->ptick);
	else
		gf_tick_run(&v->ptick);
	v->pout.events_n = v->pout.events_lost = v->pout.verdicts_n = v->pout.verdicts_lost = 0;
	v->pressed = !stale && v->pst->rule[0].truth == GF_TRUE;
}

static GF_HD __attribute__((noinline)) void gf_swept_tick(struct gf_swept *v, struct gf_team *team, uint8_t *frame, const struct gf_reel_tick *ticks,
							  const struct gf_reel_tick *t)
{
	uint64_t dt = v->ticks && t->now_ns > v->last_ns ? GF_MIN(t->now_ns - v->last_ns, v->most_ns) : 0;

	if (!t->stale)
		gf_swept_show(v, team, frame, ticks, t);
	v->now.now_ns = t->now_ns;
	v->now.seq = t->seq;
	gf_ctx_init(&v->tick.c, &v->now, v->st);
	v->tick.in = &v->in;
	v->tick.out = &v->out;
	v->tick.team = team;
	v->active = &v->tick;
	if (t->stale)
		gf_tick_stale(&v->tick);
	else
		gf_tick_run(&v->tick);
	gf_swept_take(v, t);
	v->dt = dt;
	v->failed = t->stale;
	gf_team_call(team, GF_SJOB_RULES, 0, 0, 0);
	if (v->pst)
		gf_swept_pressure(v, team, t->stale, dt);
	v->ticks++;
	v->stale += t->stale;
	v->last_ns = t->now_ns;
	v->last_wall_ns = t->wall_ns;
	v->most_tasks = GF_MAX(v->most_tasks, v->now.live);
	v->ended = v->core.said.reset_ns != 0;
}

/* All lanes: ticks [first, n) of a frame, which lies at `frame`. */
static GF_HD void gf_swept_main(struct gf_swept *v, uint8_t *frame, const struct gf_reel_tick *ticks, uint32_t first, uint32_t n, uint32_t lane,
				uint32_t lanes)
{
	struct gf_team team = gf_team_lane(&v->team, lane, lanes, NULL);

	if (lane) {
		gf_team_serve(&team);
		return;
	}
	/* The frame before is gone; what its last good tick showed is carried. */
	if (first && !v->core.touched)
		gf_swept_bind(v, &v->now, frame, &ticks[0], 0);
	if (first)
		gf_swept_bind(v, &v->truth, frame, &ticks[0], 1);
	for (uint32_t k = first; k < n && !v->ended && !v->inexact; k++)
		gf_swept_tick(v, &team, frame, ticks, &ticks[k]);
	gf_team_call(&team, 0, 0, 0, 0);
}

#endif
#endif
