/* SPDX-License-Identifier: MIT
 *
 * The CPU engine's ticks: sample, gf_tick_run(), rings, views and figures. No
 * allocation and no blocking call from here on down: clock_gettime() is in the
 * vdso, and eventfds are not waited for.
 */
#include "gpu/chunk.h"
#include "gpu/tick.h"

#include "gpu/engine_cpu.h"
#include "targets/target.h"

#include <signal.h>
#include <time.h>

#define VIEWS_EVERY_NS (SEC_NS / 2)
#define ASKED_FOR_NS (5 * SEC_NS)
#define MISSED_EVERY_NS (10 * SEC_NS)
#define FAULT_AHEAD ENGINE_FAULT_AHEAD
#define VIEWS_SHARE 8u /* of a period, at most, goes into rule views */

_Static_assert(GF_SIGKILL == SIGKILL && GF_SIGCONT == SIGCONT, "signals");
_Static_assert(sizeof(struct gf_event) % 8 == 0 && sizeof(struct gf_engine_stats) % 8 == 0 &&
		       sizeof(struct gf_rule_view) % 8 == 0, "published in words");

static uint64_t event_seq = 1;

uint64_t gf_event_seq(void)
{
	return __atomic_fetch_add(&event_seq, 1, __ATOMIC_RELAXED);
}

uint64_t *gf_engine_seq_word(void)
{
	return &event_seq;
}

uint64_t gf_engine_clock(int clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return (uint64_t)ts.tv_sec * SEC_NS + (uint64_t)ts.tv_nsec;
}

static void tick_setup(struct gf_engine *e, struct gf_tick *t)
{
	static int chosen;

	if (!chosen) {
		gf_chunk_choose(2);
		chosen = 1;
	}
	gf_ctx_init(&t->c, &e->target->sample, e->st);
	t->in = &e->in;
	t->out = &e->out;
	t->regs = e->regs;
	t->team = NULL;
	e->in.observe = (uint8_t)__atomic_load_n(&e->observe, __ATOMIC_RELAXED);
}

/* Hands over what a tick had to say. An event is in its ring before the verdicts
 * that refer to it, so that no result can be reported ahead of its action; the
 * actuator is woken first, since it is what is waited for. */
void gf_engine_flush(struct gf_engine *e)
{
	struct gf_tick_out *out = &e->out;
	uint64_t wall = out->events_n ? gf_engine_clock(CLOCK_REALTIME) : 0;

	for (uint32_t i = 0; i < out->events_n; i++) {
		struct gf_event *ev = &out->events[i];
		/* As in the stage: a quarter of the ring is for actions alone. */
		if (ev->kind != GF_EV_ACTION && gf_ring_room(&e->events) <= ENGINE_EVENTS / 4) {
			gf_ring_lose(&e->events);
			continue;
		}
		ev->wall_ns = wall;
		gf_ring_put(&e->events, ev);
	}
	for (uint32_t i = 0; i < out->verdicts_n; i++)
		gf_ring_put(&e->verdicts, &out->verdicts[i]);
	if (out->verdicts_n)
		gf_ring_wake(&e->verdicts);
	if (out->events_n)
		gf_ring_wake(&e->events);
	out->verdicts_cap = GF_MIN(ENGINE_ACTS, gf_ring_room(&e->verdicts));
	e->now.actions += out->actions;
	e->now.events_dropped = __atomic_load_n(&e->events.lost, __ATOMIC_RELAXED);
	e->now.verdicts_dropped = __atomic_load_n(&e->verdicts.lost, __ATOMIC_RELAXED);
	e->now.events_dropped += out->events_lost;
	e->now.verdicts_dropped += out->verdicts_lost;
	out->actions = 0;
	out->events_n = out->verdicts_n = 0;
}

static void view_rule(struct gf_tick *t, uint32_t rule, struct gf_rule_view *v)
{
	const struct gf_rule_state *rs = &t->c.st->rule[rule];
	const struct gf_sample *s = t->c.s;
	uint32_t row;

	memset(v, 0, sizeof *v);
	v->fp = t->c.rule[rule].fp;
	v->truth = rs->truth;
	v->phase = rs->phase;
	v->true_rows = rs->true_rows;
	v->victims = rs->victims;
	v->fired = rs->fired;
	v->last_ns = rs->last_ns;
	if (rs->phase != GF_PHASE_IDLE && rs->due_ns > t->c.now)
		v->due_in_ns = rs->due_ns - t->c.now;
	gf_tick_near(t, rule, &v->close, &row, v->term, &v->terms);
	if (row != GF_NONE) {
		v->close_pid = s->pid[row];
		memcpy(v->close_comm, s->comm[row], GF_COMM_LEN);
	}
}

static bool views_wanted(const struct gf_engine *e, uint64_t now)
{
	uint64_t asked = __atomic_load_n(&e->asked_at, __ATOMIC_RELAXED);

	return asked && now - asked <= ASKED_FOR_NS && (!e->views_at || now - e->views_at >= VIEWS_EVERY_NS);
}

/* Views, when somebody has asked lately and the last ones are old: as many a tick as
 * fit into a small share of the period, published when all are made. */
static void publish_views(struct gf_engine *e, struct gf_tick *t, uint64_t now)
{
	struct engine_views *v = &e->views;

	if (!v->next) {
		if (!e->opts.views_always && !views_wanted(e, now))
			return;
		e->views_at = now;
	}
	while (v->next < v->n) {
		view_rule(t, v->next, &v->work[v->next]);
		if (++v->next < v->n && !e->opts.views_always && gf_engine_clock(CLOCK_MONOTONIC) - now > e->opts.period_ns / VIEWS_SHARE)
			return;
	}
	v->next = 0;
	gf_seq_publish(&v->seq, v->shown, v->work, v->n * sizeof *v->work);
}

int gf_engine_views_make(const struct gf_image_header *img, struct engine_views *ret)
{
	uint32_t n = img->sec[GF_SEC_RULE].count;

	memset(ret, 0, sizeof *ret);
	ret->n = n;
	ret->fp = img->fp;
	ret->shown = calloc(n + 1, sizeof *ret->shown);
	ret->work = calloc(n + 1, sizeof *ret->work);
	if (!ret->shown || !ret->work) {
		free(ret->shown);
		free(ret->work);
		return -ENOMEM;
	}
	for (uint32_t k = 0; k < n; k++) {
		ret->shown[k].fp = GF_SEC(struct gf_rule, img, GF_SEC_RULE)[k].fp;
		ret->shown[k].truth = GF_UNKNOWN;
		ret->shown[k].close = gf_unknown();
	}
	return 0;
}

static uint64_t mean(uint64_t avg, uint64_t x)
{
	return avg ? avg - avg / 16 + x / 16 : x;
}

void gf_engine_publish_stats(struct gf_engine *e)
{
	struct gf_tick t;

	tick_setup(e, &t);
	e->now.image_fp = e->st->img->fp;
	e->now.budget_n = e->in.budget_n;
	e->now.budget_used = e->gpu ? gf_gpu_budget_used(e) : GF_MIN(e->in.budget_n, GF_BUDGET_MAX) - gf_budget_left(&t);
	e->now.kind = e->gpu ? GF_ENGINE_GPU : GF_ENGINE_CPU;
	e->now.observe = e->in.observe;
	gf_seq_publish(&e->shown_seq, &e->shown, &e->now, sizeof e->now);
}

static void account(struct gf_engine *e, uint64_t begun, uint64_t sampled, uint64_t ended)
{
	const struct gf_sample *s = &e->target->sample;
	struct gf_engine_stats *n = &e->now;

	n->ticks++;
	n->last_tick_ns = ended;
	n->now_ns = s->now_ns;
	n->sample_ns = sampled - begun;
	n->eval_ns = ended - sampled;
	n->total_ns = ended - begun;
	n->sample_avg_ns = mean(n->sample_avg_ns, n->sample_ns);
	n->eval_avg_ns = mean(n->eval_avg_ns, n->eval_ns);
	n->total_avg_ns = mean(n->total_avg_ns, n->total_ns);
	n->total_max_ns = GF_MAX(n->total_max_ns, n->total_ns);
	n->overruns += n->total_ns > e->opts.period_ns;
	n->rows = s->rows;
	n->live = s->live;
	n->dropped = s->dropped;
	memcpy(n->host, s->host, sizeof n->host);
	gf_engine_publish_stats(e);
}

/* Memory of rows that are about to be used is faulted in ahead, so that a burst
 * of new tasks does not find the engine waiting for pages. */
static void fault_ahead(struct gf_engine *e)
{
	uint32_t want = e->target->sample.rows + FAULT_AHEAD / 2, to;

	if (!e->opts.mlock || want <= e->faulted || e->faulted >= e->st->cap)
		return;
	to = GF_MIN(want + FAULT_AHEAD / 2, e->st->cap);
	gf_state_prefault(e->st, e->faulted, to);
	e->faulted = to;
}

/* Where the GPU is given up the CPU goes on with the same tick. */
static void evaluate(struct gf_engine *e, struct gf_tick *t, int rc, uint64_t now)
{
	bool stale;

	if (e->gpu && !gf_gpu_tick(e, rc != 0, views_wanted(e, now), &stale)) {
		e->now.stale = rc || stale;
		return;
	}
	if (rc)
		gf_tick_stale(t);
	else
		gf_tick_run(t);
	e->now.stale = rc || e->st->stale_told;
}

/* Ticks that are run elsewhere altogether. */
static int gather(struct gf_engine *e)
{
	int rc;

	e->in.observe = (uint8_t)__atomic_load_n(&e->observe, __ATOMIC_RELAXED);
	rc = gf_gpu_gather(e);
	gf_engine_publish_stats(e);
	return rc;
}

/* Who records gets it after those that a device took before. */
static void record(struct gf_engine *e, int rc)
{
	if (e->opts.decided && ((e->gpu && !gf_gpu_tape_pass(e, e->gpu)) ||
				!e->opts.decided(e->opts.decided_arg, &e->target->sample, rc, e->st->img->fp, NULL)))
		e->now.unrecorded++;
}

int gf_engine_tick_now(struct gf_engine *e)
{
	uint64_t begun = gf_engine_clock(CLOCK_MONOTONIC), sampled, ended;
	struct gf_tick t;
	uint32_t told;
	int rc;

	if (e->gpu && gf_gpu_own(e) && !gather(e))
		return 0;
	rc = gf_target_sample(e->target, &e->err);

	sampled = gf_engine_clock(CLOCK_MONOTONIC);
	tick_setup(e, &t);
	e->out.verdicts_cap = GF_MIN(ENGINE_ACTS, gf_ring_room(&e->verdicts));
	if (rc) {
		e->now.sample_errors++;
		memcpy(e->now.sample_error, e->err.text, sizeof e->now.sample_error - 1);
	}
	evaluate(e, &t, rc, sampled);
	told = e->out.events_n;
	e->in.gap = 0;
	ended = gf_engine_clock(CLOCK_MONOTONIC);
	for (uint32_t i = 0; i < e->out.events_n; i++)
		e->out.events[i].decide_ns = (uint32_t)GF_MIN(ended - sampled, UINT32_MAX);
	gf_engine_flush(e);
	account(e, begun, sampled, ended);
	if (!rc && !e->gpu)
		publish_views(e, &t, ended);
	if (!e->gpu)
		fault_ahead(e);
	record(e, rc);
	if (e->opts.after)
		e->opts.after(e->opts.after_arg, rc, e->out.events, told); /* they are still there, and good until the next tick */
	return rc;
}

/* MISSED, at most one in ten seconds, with the ticks missed since the last. */
void gf_engine_report_missed(struct gf_engine *e, uint64_t now)
{
	struct gf_event *ev;
	struct gf_tick t;

	if (e->now.missed == e->missed_told || (e->missed_at && now - e->missed_at < MISSED_EVERY_NS))
		return;
	tick_setup(e, &t);
	ev = gf_event_new(&t, GF_EV_MISSED, GF_NONE);
	ev->count = (uint32_t)GF_MIN(e->now.missed - e->missed_told, UINT32_MAX);
	e->missed_told = e->now.missed;
	e->missed_at = now;
}

static int rule_kept(const uint32_t *map, uint32_t news, uint32_t old)
{
	for (uint32_t k = 0; k < news; k++)
		if (map[k] == old)
			return 1;
	return 0;
}

/* A rule that goes away between SIGSTOP and its SIGCONT must not leave its victims
 * stopped: pending steps that only let go are taken now. plan maps new to old; NULL:
 * all rules go away, the engine stops. */
void gf_engine_release(struct gf_engine *e, const struct gf_adoption *plan, uint32_t news)
{
	const struct gf_image_header *img = e->st->img;
	struct gf_tick t;

	tick_setup(e, &t);
	for (uint32_t r = 0; r < img->sec[GF_SEC_RULE].count; r++) {
		const struct gf_rule *rule = &t.c.rule[r];
		struct gf_rule_state *rs = &e->st->rule[r];

		if (rs->phase != GF_PHASE_STEPS || (plan && rule_kept(gf_adoption_rule_map(plan), news, r)))
			continue;
		for (uint32_t k = rs->next_step; k < rule->steps && rs->victims; k++) {
			if (!gf_step_lets_go(&t.c.step[rule->step + k]))
				continue;
			if (gf_step_same(&t, r, k) == GF_STEP_WAIT)
				e->out.verdicts_lost += rs->victims; /* nobody takes verdicts: there is no later */
			gf_engine_flush(e); /* makes room for the next */
		}
		if (!plan)
			rs->phase = GF_PHASE_SETTLE;
	}
	gf_engine_flush(e);
}

uint8_t gf_engine_truths(struct gf_engine *e, uint32_t prog)
{
	const struct gf_sample *s = &e->target->sample;
	uint8_t seen = 0;
	struct gf_tick t;
	struct gf_result res;

	tick_setup(e, &t);
	if (t.c.prog[prog].scope == GF_SCOPE_HOST) {
		gf_run_one(&t.c, prog, 0, t.regs, &res);
		return (uint8_t)(1u << res.p[0]);
	}
	for (uint32_t base = 0; base < gf_rows_up(s) && seen != 7; base += GF_WIDTH) {
		GF_RUN_CHUNK(&t.c, prog, base, t.regs, &res);
		for (uint32_t i = 0; i < GF_WIDTH && base + i < s->rows; i++)
			if (gf_guard_row(s, base + i) == GF_WHY_CHOSEN)
				seen = (uint8_t)(seen | 1u << res.p[i]);
	}
	return seen;
}
