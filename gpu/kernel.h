/* SPDX-License-Identifier: MIT
 *
 * The kernel of one target: what all its lanes run. The leader waits for something to do and does it, others serve.
 * Host (the emulator) and device. Included once, by who makes teams: GF_TEAM 1, GF_WIDTH 1.
 */
#ifndef GPUFAS_KERNEL_H
#define GPUFAS_KERNEL_H

#include "gpu/adopt.h"
#include "gpu/gpu.h"
#include "gpu/now.h"
#include "gpu/tick.h"

#if !defined(__CUDA_ARCH__)
#include <time.h>
#endif

#define GF_GPU_NAP_NS 5000u
#define GF_GPU_APART_NS 1000000ull
#define GF_GPU_RENEW_NS 100000000ull /* between two looks at the guest for its blocks' sake alone: they age in minutes */

/* For tests: 1: the leader hangs, 2: it dies. */
#ifndef GF_GPU_HOOK
#define GF_GPU_HOOK() 0
#endif

#include "gpu/kernel_words.h"

#include "gpu/kernel_jobs.h"

/* ---- the leader's ---------------------------------------------------------------- */

static GF_HD __attribute__((noinline)) void gf_gpu_set_fields(struct gf_gpu *g)
{
	const struct gf_fieldset *f = &g->st->img->fields;

	/* What has been there once stays: rows' strings are to be given back when rows are. */
	for (uint32_t k = 0; k < GF_COLS; k++)
		if (k < GF_TF_COUNT ? f->task >> k & 1 : k - GF_TF_COUNT < f->paths)
			g->sample.col[k] = g->all.col[k];
	for (uint32_t k = 0; k < GF_SF_COUNT; k++)
		if (f->str >> k & 1)
			g->sample.str[k] = g->all.str[k];
	if (!g->sampler)
		return;
	g->sampler->fields = *f;
	g->sampler->want = gf_sampler_want(f);
}

/* A rule's victims that are still there, behind the first n; returns how many there are then. Who has no room is counted. */
GF_SELDOM uint32_t gf_gpu_keep_victims(const struct gf_gpu *g, struct gf_gpu_kept *to, uint32_t rule, uint32_t victims, uint32_t n, uint32_t *lost)
{
	const struct gf_victim *of = g->st->victim[rule];

	for (uint32_t i = 0; i < victims; i++) {
		const struct gf_victim v = of[i];
		uint64_t *w = (uint64_t *)(void *)&to->victim[n], start;
		uint32_t pid;

		if (v.row >= g->sample.rows || g->sample.gen[v.row] != v.gen)
			continue;
		if (n == GF_GPU_VICTIMS) {
			++*lost;
			continue;
		}
		start = g->sample.start_ns[v.row];
		pid = (uint32_t)g->sample.pid[v.row];
		n++;
		gf_gpu_set_word(w, start);
		gf_gpu_set_word(w + 1, (uint64_t)rule << 32 | pid);
	}
	return n;
}

#define GF_GPU_TOGETHER 8u /* rules that are looked at side by side */

/* Whose victims they are: few, and seldom. */
static GF_HD __attribute__((noinline)) void gf_gpu_keep_in(struct gf_gpu *g, struct gf_team *team, uint32_t which)
{
	struct gf_state *st = g->st;
	struct gf_gpu_kept *to = g->kept[which];
	const struct gf_rule_state *rule = st->rule;
	uint32_t rules = st->img->sec[GF_SEC_RULE].count, n = 0, lost = 0, head = st->budget_head, spent = st->budget_n;
	uint64_t fp = st->img->fp, now = st->now_ns;

	for (uint32_t at = 0; at < rules; at += GF_GPU_TOGETHER) {
		uint32_t victims[GF_GPU_TOGETHER];

		GF_UNROLL
		for (uint32_t i = 0; i < GF_GPU_TOGETHER; i++)
			victims[i] = at + i < rules ? rule[at + i].victims : 0;
		GF_ROLLED
		for (uint32_t i = 0; i < GF_GPU_TOGETHER; i++)
			if (victims[i])
				n = gf_gpu_keep_victims(g, to, at + i, victims[i], n, &lost);
	}
	g->count = 0;
	gf_team_call(team, GF_GPU_JOB_KEEP, which, 0, 0);
	gf_gpu_set_word(&to->image_fp, fp);
	gf_gpu_set_word(&to->now_ns, now);
	gf_gpu_set_word((uint64_t *)(void *)&to->rules, (uint64_t)n << 32 | rules);
	gf_gpu_set_word((uint64_t *)(void *)&to->victims_lost, (uint64_t)GF_MIN(g->count, GF_GPU_KILLED) << 32 | lost);
	gf_gpu_set_word((uint64_t *)(void *)&to->budget_head, (uint64_t)spent << 32 | head);
}

/* After gf_gpu_flush, which has found out whether there is something. */
static GF_HD __attribute__((noinline)) void gf_gpu_keep(struct gf_gpu *g, struct gf_team *team)
{
	if (!g->changed)
		return;
	g->changed = 0;
	gf_gpu_keep_in(g, team, (uint32_t)((g->kept_n + 1) & 1));
	gf_gpu_answer(&g->out->kept, ++g->kept_n);
}

static GF_HD __attribute__((noinline)) void gf_gpu_take_on(struct gf_gpu *g, struct gf_team *team, uint64_t number)
{
	struct gf_state *st = (struct gf_state *)gf_gpu_word((const uint64_t *)(const void *)&g->in->adopt_state);
	const struct gf_adoption *plan = (const struct gf_adoption *)gf_gpu_word((const uint64_t *)(const void *)&g->in->adopt_plan);

	if (plan && g->st) {
		gf_gpu_keep_in(g, team, GF_GPU_KEPT_ADOPTED);
		gf_gpu_set_word(&g->out->adopt_kept, number);
		gf_adopt(st, g->st, plan);
	}
	if (g->sampler)
		g->guest = (struct gf_gpu_guest *)gf_gpu_word((const uint64_t *)(const void *)&g->in->guest_at);
	g->st = st;
	g->changed = 1;
	gf_gpu_set_fields(g);
	for (uint32_t k = 0; k < st->img->sec[GF_SEC_RULE].count; k++)
		g->kept_last[k].phase = 0xff;
	gf_team_call(team, GF_GPU_JOB_WARM, 0, 0, 0);
	g->adopt_done = number;
	gf_gpu_answer(&g->out->adopt, number);
}

/* What the tick had to say, to the host: events first. */
static GF_HD __attribute__((noinline)) void gf_gpu_flush(struct gf_gpu *g, struct gf_team *team)
{
	struct gf_tick_out *out = &g->tick_out;
	uint32_t events = out->events_n, verdicts = out->verdicts_n;

	if (events) {
		uint64_t room = GF_GPU_EVENTS - (g->events_head - gf_gpu_number(&g->in->events_tail));
		if (events > room) {
			g->events_lost += events - (uint32_t)room;
			events = (uint32_t)room;
		}
	}
	gf_team_call(team, GF_GPU_JOB_OUT, events, verdicts, 0);
	if (events || verdicts) {
		g->events_head += events;
		g->verdicts_head += verdicts;
		gf_gpu_answer(&g->out->events_head, g->events_head);
		gf_gpu_answer(&g->out->verdicts_head, g->verdicts_head);
	}
	g->events_lost += out->events_lost;
	g->verdicts_lost += out->verdicts_lost;
	g->actions += out->actions;
	out->events_n = out->verdicts_n = out->events_lost = out->verdicts_lost = 0;
	out->actions = 0;
}

static GF_HD __attribute__((noinline)) void gf_gpu_views(struct gf_gpu *g)
{
	struct gf_tick *t = &g->tick;

	for (uint32_t k = 0; k < g->st->img->sec[GF_SEC_RULE].count; k++) {
		const struct gf_rule_state *rs = &g->st->rule[k];
		struct gf_rule_view v;
		uint64_t *w = (uint64_t *)(void *)&v;
		uint32_t row;

		for (size_t i = 0; i < sizeof v / 8; i++)
			w[i] = 0;
		v.fp = t->c.rule[k].fp;
		v.truth = rs->truth;
		v.phase = rs->phase;
		v.true_rows = rs->true_rows;
		v.victims = rs->victims;
		v.fired = rs->fired;
		v.last_ns = rs->last_ns;
		if (rs->phase != GF_PHASE_IDLE && rs->due_ns > t->c.now)
			v.due_in_ns = rs->due_ns - t->c.now;
		gf_tick_near(t, k, &v.close, &row, v.term, &v.terms);
		if (row != GF_NONE) {
			v.close_pid = t->c.s->pid[row];
			gf_row_comm_copy(v.close_comm, t->c.s->comm[row]);
		}
		gf_gpu_put(&g->views[k], &v, sizeof v, 0, 1);
	}
}

/* One tick over the table that the host has published. */
static GF_HD __attribute__((noinline)) void gf_gpu_tick_table(struct gf_gpu *g, struct gf_team *team, uint64_t number)
{
	struct gf_sample *s = &g->sample;
	struct gf_gpu_table tb;
	uint64_t begun = gf_now_ns();
	uint32_t up;

	gf_gpu_get(&tb, g->table, sizeof tb, 0, 1);
	s->now_ns = tb.now_ns;
	s->seq = tb.seq;
	s->rows = tb.rows;
	s->live = tb.live;
	s->dropped = tb.dropped;
	s->epoch = tb.epoch;
	for (uint32_t k = 0; k < GF_HF_COUNT; k++)
		s->host[k] = tb.host[k];
	if (!tb.failed) {
		up = gf_rows_up(s);
		/* Rows that were in use are cleared as they are in the host's table; strings come in whole words. */
		gf_team_call(team, GF_GPU_JOB_TABLE, GF_MAX(up, g->up), tb.strings_from / 8 * 8, (tb.strings_to + 7) / 8 * 8);
		g->up = up;
	}
	gf_ctx_init(&g->tick.c, s, g->st);
	g->tick.in = &g->tick_in;
	g->tick.out = &g->tick_out;
	g->tick.regs = NULL;
	g->tick.team = team;
	g->tick_in.observe = tb.observe;
	g->tick_in.gap = tb.gap;
	g->tick_out.verdicts_cap = GF_MIN(tb.verdicts_cap, GF_GPU_ACTS);
	if (tb.failed)
		gf_tick_stale(&g->tick);
	else
		gf_tick_run(&g->tick);
	gf_gpu_flush(g, team);
	gf_gpu_keep(g, team);
	if (tb.views && !tb.failed)
		gf_gpu_views(g);
	gf_gpu_set_word(&g->out->actions, g->actions);
	gf_gpu_set_word(&g->out->events_lost, g->events_lost);
	gf_gpu_set_word(&g->out->verdicts_lost, g->verdicts_lost);
	gf_gpu_set_word(&g->out->took_ns, gf_now_ns() - begun);
	gf_gpu_set_word((uint64_t *)(void *)&g->out->stale,
			(uint64_t)(GF_MIN(g->tick_in.budget_n, GF_BUDGET_MAX) - gf_budget_left(&g->tick)) << 32 |
			(uint32_t)(tb.failed || g->st->stale_told));
	g->table_done = number;
	gf_gpu_answer(&g->out->table, number);
}

/* ---- who samples by itself ----------------------------------------------------------- */

/* The control page as it was a moment ago: its words are loads across the bus, side by side they take as long as one. What must be newer is read where
 * it is needed; data that a number stands for is read after it, behind a fence. */
struct gf_gpu_seen {
	uint64_t stop, adopt, table, guest, now_ns, clock_offset, paused, observe, gap, views, verdicts_tail;
};

GF_INLINE void gf_gpu_see(const struct gf_gpu_in *in, struct gf_gpu_seen *ret)
{
	struct gf_gpu_seen x;

	x.stop = gf_gpu_word(&in->stop);
	x.adopt = gf_gpu_word(&in->adopt);
	x.table = gf_gpu_word(&in->table);
	x.guest = gf_gpu_word(&in->guest);
	x.now_ns = gf_gpu_word(&in->now_ns);
	x.clock_offset = gf_gpu_word(&in->clock_offset);
	x.paused = gf_gpu_word(&in->paused);
	x.observe = gf_gpu_word(&in->observe);
	x.gap = gf_gpu_word(&in->gap);
	x.views = gf_gpu_word(&in->views);
	x.verdicts_tail = gf_gpu_word(&in->verdicts_tail);
	gf_gpu_fence();
	*ret = x;
}

#include "gpu/kernel_ring.h"
#include "gpu/kernel_tape.h"

/* Another guest, or none. */
static GF_HD __attribute__((noinline)) void gf_gpu_other_guest(struct gf_gpu *g, struct gf_team *team, uint64_t number)
{
	g->guest = (struct gf_gpu_guest *)gf_gpu_word((const uint64_t *)(const void *)&g->in->guest_at);
	if (g->by_ring)
		gf_gpu_other_ring(g, gf_now_ns());
	else
		gf_gpu_other_module(g, gf_now_ns());
	gf_team_call(team, GF_GPU_JOB_WARM, 0, 0, 0);
	g->guest_done = number;
	gf_gpu_answer(&g->out->guest, number);
}

/* What a delivery reads of what is known of the guest. */
GF_INLINE void gf_gpu_touch_guest(const struct gf_pseudo_plain *p, const struct gf_deliverer *v)
{
	const struct gf_kmem *k = p->mem;

	gf_touched(gf_touch(p->m, sizeof *p - offsetof(struct gf_pseudo_plain, m)) ^ gf_touch(k, offsetof(struct gf_ram, seg) + sizeof(struct gf_ram_seg)) ^
		   gf_touch(&k->pgd, sizeof *k - offsetof(struct gf_kmem, pgd)) ^ gf_touch(v, offsetof(struct gf_deliverer, pool)) ^
		   gf_touch(&v->next_block, offsetof(struct gf_deliverer, entry) - offsetof(struct gf_deliverer, next_block)));
}

/* What of the verdicts can be carried out from here is begun; who reads them sees which. */
static GF_HD __attribute__((noinline)) void gf_gpu_deliver(struct gf_gpu *g, uint64_t host_ns, int paused)
{
	const struct gf_sampler *from = g->sampler;
	struct gf_deliver_guest dg = { g->guest && g->guest->acts ? &g->guest->plain : NULL, g->guest ? g->guest->s.boot : 0, (uint32_t)paused,
				       &g->in->stop, UINT64_MAX,
				       from->kept.va[GF_GO_TASK], from->kept.va[GF_GO_PID], from->kept.pass, from->table.pass,
				       from->by_region ? 0 : g->sample.rows };
	struct gf_mail *m;
	uint8_t storable;

	/* Nothing to do, most often: then nothing is asked of the guest either, but for blocks that are set aside to be renewed now and then. */
	if (!g->tick_out.verdicts_n && !g->deliverer->used && !g->deliverer->waiting && host_ns - g->renewed_ns < GF_GPU_RENEW_NS)
		return;
	g->renewed_ns = host_ns;
	if (dg.p)
		gf_gpu_touch_guest(dg.p, g->deliverer);
	storable = gf_deliver_storable(&dg);
	m = gf_gpu_mailbox(g, &dg, storable, host_ns);
	for (uint32_t i = 0; i < g->tick_out.verdicts_n && dg.p; i++) {
		struct gf_verdict *v = &g->tick_out.verdicts[i];
		if (!v->pid || v->action == GF_ACT_LOG || v->action == GF_ACT_NOTIFY || v->action == GF_ACT_RUN)
			continue;
		/* Many threads take long to judge: it shows that it lives, and who has been given up stops at once. */
		gf_pulse(&g->out->pulse);
		if (gf_deliver_given_up(&dg))
			return;
		if (gf_gpu_mailed(g, m, &dg, storable, v, host_ns) || gf_deliver_begin(g->deliverer, &dg, storable, v, host_ns) != GF_BEGUN_FULL)
			v->flags |= GF_VERDICT_DONE_BY_ENGINE;
	}
	if (m)
		gf_dm_follow(g->deliverer, m, &dg, storable, host_ns);
	gf_deliver_follow(g->deliverer, &dg, storable, host_ns);
}

/* After the verdicts that they are of. */
static GF_HD __attribute__((noinline)) void gf_gpu_tell_results(struct gf_gpu *g)
{
	struct gf_deliver_result r;
	uint64_t was = g->results_head, tail;

	if (!g->deliverer->results)
		return;
	tail = gf_gpu_number(&g->in->results_tail);
	while (g->results_head - tail < GF_GPU_RESULTS && gf_deliver_result(g->deliverer, &r))
		gf_gpu_put(&g->results[g->results_head++ % GF_GPU_RESULTS], &r, sizeof r, 0, 1);
	if (g->results_head != was)
		gf_gpu_answer(&g->out->results_head, g->results_head);
}

static GF_HD __attribute__((noinline)) void gf_gpu_tell_tick(struct gf_gpu *g, uint64_t begun, uint64_t sampled, int rc, int stale)
{
	struct gf_gpu_out *o = g->out;
	const struct gf_sample *s = &g->sample;
	uint64_t now = gf_now_ns();

	/* Loads first: each would be waited for before the store that follows it. */
	uint64_t max = GF_MAX(g->total_max_ns, now - begun), overruns = g->overruns + (now - begun > g->period_ns), actions = g->actions;
	uint64_t events = g->events_lost, verdicts = g->verdicts_lost, missed = g->missed, late = g->late, errors = g->sample_errors;
	uint64_t alone = g->deliverer->alone, at = s->now_ns, rows = s->rows, live = s->live, dropped = s->dropped;
	uint64_t why = g->sampler->why, by = gf_gpu_by_module(g), ticks = g->ticks + 1;
	uint32_t spent = GF_MIN(g->tick_in.budget_n, GF_BUDGET_MAX) - gf_budget_left(&g->tick);

	g->total_max_ns = max;
	g->overruns = overruns;
	g->ticks = ticks;
	gf_gpu_set_word(&o->actions, actions);
	gf_gpu_set_word(&o->events_lost, events);
	gf_gpu_set_word(&o->verdicts_lost, verdicts);
	gf_gpu_set_word((uint64_t *)(void *)&o->stale, (uint64_t)spent << 32 | (uint32_t)stale);
	gf_gpu_set_word(&o->missed, missed);
	gf_gpu_set_word(&o->late, late);
	gf_gpu_set_word(&o->overruns, overruns);
	gf_gpu_set_word(&o->sample_errors, errors);
	gf_gpu_set_word(&o->alone, alone);
	gf_gpu_set_word(&o->sample_ns, sampled - begun);
	gf_gpu_set_word(&o->total_ns, now - begun);
	gf_gpu_set_word(&o->total_max_ns, max);
	gf_gpu_set_word(&o->now_ns, at);
	gf_gpu_set_word(&o->error, (uint64_t)-rc);
	gf_gpu_set_word(&o->why, why);
	gf_gpu_set_word(&o->by_module, by);
	gf_gpu_set_word(&o->rows, rows);
	gf_gpu_set_word(&o->live, live);
	gf_gpu_set_word(&o->dropped, dropped);
	gf_gpu_answer(&o->ticks, ticks);
}

/* One tick over the guest. */
static GF_HD __attribute__((noinline)) void gf_gpu_tick_guest(struct gf_gpu *g, struct gf_team *team, const struct gf_gpu_seen *in, uint64_t begun)
{
	struct gf_sampler *v = g->sampler;
	struct gf_sample *s = &g->sample;
	uint64_t host_ns = in->now_ns, gap = in->gap, views = in->views, sampled;
	int paused = in->paused != 0, rc = -ENOLINK, stale;

	gf_profile_mark(team->profile, &team->last, GF_MARK_TICK);
	if (!host_ns)
		host_ns = begun + in->clock_offset;
	if (!g->sampler_made) {
		gf_sampler_bind(v, s);
		v->pulse = &g->out->pulse;
		gf_sampler_init(v, team);
		if (g->by_ring)
			gf_team_call(team, GF_GPU_JOB_GENS, 0, 0, 0);
		g->sampler_made = 1;
	}
	if (g->by_ring && in->table != g->table_done)
		gf_gpu_take_side(g, team, in->table, begun);
	if (g->by_ring)
		rc = gf_gpu_ring_sample(g, team, begun);
	else if (g->guest && !paused)
		rc = gf_gpu_guest_sample(g, team, host_ns);
	else
		gf_sampler_stale(v, team, g->guest != NULL);
	sampled = gf_now_ns();
	gf_profile_mark(team->profile, &team->last, GF_MARK_SAMPLED);
	gf_pulse(&g->out->pulse);
	g->sample_errors += rc != 0;
	gf_ctx_init(&g->tick.c, s, g->st);
	g->tick.in = &g->tick_in;
	g->tick.out = &g->tick_out;
	g->tick.regs = NULL;
	g->tick.team = team;
	g->tick_in.observe = in->observe != 0;
	g->tick_in.gap = gap != g->gap_done;
	g->gap_done = gap;
	g->tick_out.verdicts_cap = (uint32_t)GF_MIN(GF_GPU_ACTS, GF_GPU_VERDICTS - (g->verdicts_head - in->verdicts_tail));
	if (rc)
		gf_tick_stale(&g->tick);
	else
		gf_tick_run(&g->tick);
	stale = rc || g->st->stale_told;
	gf_profile_mark(team->profile, &team->last, GF_MARK_DECIDED);
	/* Given up meanwhile: the host goes on from what was kept last, as if this tick had not been. One that is only to rest, or to end,
	 * ends after its tick, whatever number it is told: one that follows it in another shape may be there already. */
	if (gf_gpu_number(&g->in->stop) == UINT64_MAX)
		return;
	if (g->by_ring)
		gf_gpu_ring_deliver(g, begun);
	else
		gf_gpu_deliver(g, host_ns, paused);
	gf_profile_mark(team->profile, &team->last, GF_MARK_DELIVERED);
	gf_gpu_flush(g, team);
	gf_gpu_tell_results(g);
	gf_gpu_keep(g, team);
	if (g->tape.ring)
		gf_gpu_tape(g, team, rc);
	gf_profile_mark(team->profile, &team->last, GF_MARK_KEPT);
	if (views != g->views_done && !rc) {
		gf_gpu_views(g);
		g->views_done = views;
		gf_gpu_answer(&g->out->views, views);
	}
	gf_gpu_tell_tick(g, begun, sampled, rc, stale);
	gf_profile_mark(team->profile, &team->last, GF_MARK_TOLD);
	if (team->profile) {
		team->profile->ns = gf_now_ns() - team->profile->ns_first;
		team->profile->clocks = team->last - team->profile->clocks_first;
		team->profile->lines = v->gather.lines;
	}
}

/* By more than two multiprocessors may differ. */
GF_INLINE int gf_gpu_clock_back(const struct gf_gpu *g, uint64_t now)
{
	return g->ticked_ns > now + GF_GPU_APART_NS;
}

/* Whether there is a tick to be run. */
GF_INLINE int gf_gpu_wanted(const struct gf_gpu *g, const struct gf_gpu_seen *in, uint64_t now)
{
	if (!g->st)
		return 0;
	if (!g->sampler || (g->by_ring && !g->guest))
		return in->table != g->table_done;
	return (now >= g->wake_ns || gf_gpu_clock_back(g, now)) && (!g->by_ring || gf_mr_news(&g->guest->ring, &g->ring, now));
}

/* When it is time, or the clock has gone back: true, it was. A period that has gone by whole is missed; a fifth of the time the device is others'. */
static GF_HD __attribute__((noinline)) int gf_gpu_due(struct gf_gpu *g, struct gf_team *team, const struct gf_gpu_seen *in, int at_once)
{
	uint64_t now = gf_now_ns(), period = g->period_ns, ended, took;

	if (at_once || !g->next_ns || gf_gpu_clock_back(g, now))
		g->next_ns = g->wake_ns = now;
	if (!gf_gpu_wanted(g, in, now))
		return 0;
	if (now - g->next_ns >= period) {
		g->missed += (now - g->next_ns) / period;
		g->next_ns += (now - g->next_ns) / period * period;
	}
	g->late += now - g->next_ns > period / 10;
	gf_gpu_tick_guest(g, team, in, now);
	ended = gf_now_ns();
	took = ended > now ? ended - now : 0;
	g->next_ns += period;
	g->wake_ns = GF_MAX(g->next_ns, ended + GF_MAX(GF_MIN(period / 5, 1000000ull), took / 4));
	g->ticked_ns = GF_MAX(ended, now); /* it may have gone back just now */
	return 1;
}

/* Between two kernels of a relay, by one lane: what comes next. It shows that the device lives. */
static GF_HD __attribute__((noinline, unused)) enum gf_relay gf_gpu_relay_next(struct gf_gpu *g)
{
	uint64_t now = gf_now_ns();
	struct gf_gpu_seen in;
	int hook = GF_GPU_HOOK();

	if (hook)
		return hook == 2 ? GF_RELAY_PASS : GF_RELAY_WAIT;
	gf_gpu_set_word(&g->out->clock_ns, now);
	gf_gpu_answer(&g->out->heart, ++g->heart);
	gf_gpu_see(g->in, &in);
	if (in.stop > g->launches || in.adopt != g->adopt_done || (g->sampler && in.guest != g->guest_done) || gf_gpu_wanted(g, &in, now))
		return GF_RELAY_PASS;
	return g->sampler && !g->by_ring && g->wake_ns - now < GF_RELAY_SOON_NS ? GF_RELAY_SOON : GF_RELAY_WAIT;
}

/* True: it is one of a relay, and another is to come. */
static GF_HD __attribute__((noinline)) int gf_gpu_lead(struct gf_gpu *g, struct gf_team *team, uint64_t ticks)
{
	uint64_t done = 0, number, launch = g->launches + 1;
	int warm = 0, relay = ticks == GF_GPU_PASSES, ticked;
	struct gf_gpu_seen in;

	if (!g->passing)
		g->next_ns = 0; /* what was before this launch was not missed */
	g->passing = (uint32_t)relay;

	for (;;) {
		int hook = GF_GPU_HOOK();
		if (hook == 2)
			return 0;
		if (hook) {
			gf_gpu_nap();
			continue;
		}
		gf_gpu_set_word(&g->out->clock_ns, gf_now_ns());
		gf_gpu_answer(&g->out->heart, ++g->heart);
		gf_gpu_see(g->in, &in);
		if (in.stop >= launch)
			break;
		number = in.adopt;
		if (number != g->adopt_done)
			gf_gpu_take_on(g, team, number);
		number = in.guest;
		if (number != g->guest_done && g->sampler)
			gf_gpu_other_guest(g, team, number);
		gf_profile_mark(team->profile, &team->last, GF_MARK_COMMANDS);
		if (ticks == GF_GPU_COMMANDS_ONLY)
			break;
		/* Not before: a guest or a policy may have gone since the last launch. When others come they say it before they answer. */
		if (!warm)
			gf_team_call(team, GF_GPU_JOB_WARM, 0, 0, 0);
		warm = 1;
		if (g->sampler && (!g->by_ring || g->guest)) {
			ticked = g->st && gf_gpu_due(g, team, &in, ticks && !relay);
		} else {
			ticked = gf_gpu_wanted(g, &in, 0);
			if (ticked)
				gf_gpu_tick_table(g, team, in.table);
		}
		if (relay)
			return 1;
		if (!ticked)
			gf_gpu_nap();
		else if (ticks && ++done >= ticks)
			break;
	}
	g->passing = 0;
	g->launches = launch;
	gf_gpu_answer(&g->out->launches, launch);
	return 0;
}

/* All lanes. True, of one of them: gf_gpu_lead. */
static GF_HD int gf_gpu_main(struct gf_gpu *g, uint32_t lane, uint32_t lanes, uint64_t ticks)
{
	struct gf_team team = gf_team_lane(&g->team, lane, lanes, g->profile);
	int more;

	if (lane) {
		gf_team_serve(&team);
		return 0;
	}
	more = gf_gpu_lead(g, &team, ticks);
	gf_team_call(&team, 0, 0, 0, 0);
	return more;
}

#endif
