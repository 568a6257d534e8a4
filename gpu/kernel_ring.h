/* SPDX-License-Identifier: MIT
 *
 * The kernel of the machine itself, where its module is: samples from the module's table, and delivers by its mailbox, with no word from
 * the host's user space. And of a guest that has the module: its table in place of a walk, its mailbox in place of stores, for as long as
 * both are there. Part of gpu/kernel.h.
 */
#ifndef GPUFAS_KERNEL_RING_H
#define GPUFAS_KERNEL_RING_H

#include "gpu/deliver_mail.h"
#include "gpu/ring_sample.h"

#define GF_MR_LATE_NS 3000000000ull /* a last resort that the host has not taken by then is ours */

/* Strings of the host's table, by identity. */
static GF_HD __attribute__((noinline)) void gf_gpu_job_side(struct gf_gpu *g, uint32_t rows, uint32_t from, uint32_t to, uint32_t lane, uint32_t lanes)
{
	struct gf_sampler *v = g->sampler;
	struct gf_sample *s = &g->sample;

	gf_gpu_get(g->strings + from, g->strings_in + from, to - from, lane, lanes);
	for (uint32_t i = lane; i < rows; i += lanes) {
		const uint64_t *w = (const uint64_t *)(const void *)&g->rows.pid[i / 2 * 2];
		int32_t pid = (int32_t)(gf_gpu_word(w) >> i % 2 * 32);
		uint32_t row;

		if (pid <= 0)
			continue;
		row = v->table.hash[gf_table_slot(&v->table, pid, gf_gpu_word(&g->rows.start_ns[i]))] - 1;
		if (row == GF_NONE || g->ring.side_ns < v->note[row].retry_ns)
			continue;
		for (uint32_t f = 0; f < GF_SF_COUNT; f++) {
			const uint64_t *ref = (const uint64_t *)(const void *)&g->rows.str[f][i];
			uint64_t a = gf_gpu_word(ref), b = gf_gpu_word(ref + 1);
			if (!(GF_STR_READ & 1u << f) || !s->str[f])
				continue;
			s->str[f][row].p = g->strings + (uint32_t)a;
			s->str[f][row].len = (uint32_t)(a >> 32);
			s->str[f][row].ver = (uint32_t)b;
		}
	}
}

/* What the host had of a row is not to be taken for what it is told anew. */
static GF_HD void gf_gpu_job_bare(struct gf_gpu *g, uint32_t lane, uint32_t lanes)
{
	for (uint32_t i = lane; i < g->sample.rows; i += lanes)
		gf_mr_forget(&g->sample, i);
}

/* Generations that no row of the host's tables has: what is known of those is not taken for what is known of ours. */
static GF_HD void gf_gpu_job_gens(struct gf_gpu *g, uint32_t lane, uint32_t lanes)
{
	for (uint32_t i = lane; i < g->sample.cap; i += lanes)
		g->sample.gen[i] = 0x80000000u | (uint32_t)g->rings << 20;
}

static GF_HD void gf_gpu_ring_job(struct gf_gpu *g, const struct gf_call *call, uint32_t lane, uint32_t lanes)
{
	switch (call->job) {
	case GF_GPU_JOB_SIDE: gf_gpu_job_side(g, call->a, call->b, call->c, lane, lanes); break;
	case GF_GPU_JOB_BARE: gf_gpu_job_bare(g, lane, lanes); break;
	case GF_GPU_JOB_GENS: gf_gpu_job_gens(g, lane, lanes); break;
	default: break;
	}
}

/* The host's table, while it makes some: only what the module cannot know. */
static GF_HD __attribute__((noinline)) void gf_gpu_take_side(struct gf_gpu *g, struct gf_team *team, uint64_t number, uint64_t now)
{
	struct gf_gpu_table tb;
	struct gf_mr_state *st = &g->ring;

	gf_gpu_get(&tb, g->table, sizeof tb, 0, 1);
	if (!tb.failed) {
		st->side_ns = tb.now_ns;
		st->side_told_ns = now;
		for (uint32_t i = 0; i < GF_HF_COUNT; i++)
			st->side[i] = tb.host[i];
		gf_team_call(team, GF_GPU_JOB_BARE, 0, 0, 0);
		gf_team_call(team, GF_GPU_JOB_SIDE, GF_MIN(tb.rows, g->sample.cap), tb.strings_from / 8 * 8, (tb.strings_to + 7) / 8 * 8);
	}
	g->table_done = number;
	gf_gpu_answer(&g->out->table, number);
}

/* One whole table. 0, or -errno of gf_region_begin(). */
static GF_HD __attribute__((noinline)) int gf_gpu_ring_table(struct gf_gpu *g, const struct gf_mr *ring)
{
	struct gf_sampler *v = g->sampler;
	struct gf_sample *s = v->s;
	int r;

	gf_sampler_begin(v);
	r = gf_region_begin(&ring->r, &v->look);
	if (r)
		return r;
	s->now_ns = GF_MAX(v->look.last_ns, s->now_ns + 1000);
	v->env.now_ns = s->now_ns;
	v->env.total_pages = ring->total_pages;
	return gf_mr_take(v);
}

/* Leader: one sample; now: the device's clock. 0, or an error, and then the last table stays, marked torn. */
static GF_HD __attribute__((noinline)) int gf_gpu_ring_sample(struct gf_gpu *g, struct gf_team *team, uint64_t now)
{
	const struct gf_mr *ring = &g->guest->ring;
	struct gf_mr_state *st = &g->ring;
	struct gf_sampler *v = g->sampler;
	uint64_t pass = gf_region_word(&ring->r, GF_REGION_HEAD(pass));
	int r = -EAGAIN;

	v->team = team;
	v->s->seq++;
	v->s->epoch = 0;
	v->region = &ring->r;
	v->selfs = &ring->selfs;
	if (pass != st->pass || !st->pass_ns) {
		st->pass = pass;
		st->pass_ns = now;
	}
	for (uint32_t i = 0; i < GF_MR_TRIES && r == -EAGAIN; i++)
		r = gf_gpu_ring_table(g, ring);
	if (!r && now - st->pass_ns > ring->limit_ns)
		r = -ENODATA;
	if (r)
		gf_sampler_abort(v);
	else
		gf_sampler_commit(v);
	v->why = r ? GF_SW_TORN : GF_SW_NONE;
	gf_mr_host_fields(v, ring, st, now, r != 0);
	return r;
}

/* What was decided, by the mailbox. A last resort is the host's, which asks whether it is allowed and writes down why; where it has not even
 * taken it for a while, the host is what has to be ended. */
static GF_HD __attribute__((noinline)) void gf_gpu_ring_deliver(struct gf_gpu *g, uint64_t now)
{
	struct gf_mail *m = &g->mail;

	m->r = &g->guest->ring.r;
	for (uint32_t i = 0; i < g->tick_out.verdicts_n; i++) {
		struct gf_verdict *v = &g->tick_out.verdicts[i];
		if (v->action == GF_ACT_PANIC || v->action == GF_ACT_RESTART) {
			g->last = *v;
			g->last_ns = now;
			g->last_at = g->verdicts_head + i;
		} else if (v->pid && gf_dm_begin(g->deliverer, m, v, now)) {
			v->flags |= GF_VERDICT_DONE_BY_ENGINE;
		}
	}
	if (g->last_ns && now - g->last_ns > GF_MR_LATE_NS) {
		if (gf_gpu_number(&g->in->verdicts_tail) <= g->last_at && !(g->last.flags & GF_VERDICT_OBSERVE))
			gf_dm_begin(g->deliverer, m, &g->last, now);
		g->last_ns = 0;
	}
	gf_dm_follow(g->deliverer, m, NULL, 0, now);
}

/* Another region, or none. */
static GF_HD __attribute__((noinline)) void gf_gpu_other_ring(struct gf_gpu *g, uint64_t now)
{
	const struct gf_mr_state none = { 0 };
	uint64_t handed = gf_gpu_number(&g->in->table);

	gf_dm_lost(g->deliverer, now);
	g->ring = none;
	g->last_ns = 0;
	g->rings++;
	g->sampler_made = 0;
	g->sampler->table.first_free = 0;
	g->sample.rows = g->sample.live = 0;
	g->up = g->sample.cap; /* the host's next table takes the place of all there is */
	/* What was handed over beside the old one is not to be run over. */
	g->table_done = handed;
	gf_gpu_answer(&g->out->table, handed);
	if (!g->guest)
		return;
	g->ring.pass_ns = now;
	gf_mail_init(&g->mail, &g->guest->ring.r);
	gf_mail_half(&g->mail, 1);
}

/* ---- a guest that has the module ---- */

/* Another guest, or none, or another module in it. */
static GF_HD __attribute__((noinline)) void gf_gpu_other_module(struct gf_gpu *g, uint64_t now)
{
	uint64_t boot = g->guest ? g->guest->s.boot : 0;

	/* Blocks that have been used are known here alone: they stay the guest's for as long as it runs. */
	if (boot == g->pool_of)
		return;
	gf_dm_lost(g->deliverer, now);
	g->mail_of = gf_dm_left(g->deliverer) ? ~0ull : 0; /* no instance is that: the rest is told when there is room */
	g->pool_of = boot;
	if (g->guest)
		g->deliverer->pool = g->guest->pool;
	g->deliverer->next_block = 0;
}

/* Strings and kernel paths the module does not have: a policy that reads some is sampled by a walk. */
static GF_HD int gf_gpu_guest_sample(struct gf_gpu *g, struct gf_team *team, uint64_t host_ns)
{
	struct gf_sampler *v = g->sampler;
	const struct gf_fieldset *f = &v->fields;

	v->region = g->guest->assisted && !(f->str & GF_STR_READ) && !f->paths ? &g->guest->ring.r : NULL;
	return gf_sampler_run(v, team, &g->guest->s, host_ns);
}

static GF_HD uint64_t gf_gpu_by_module(const struct gf_gpu *g)
{
	return (g->sampler->by_region ? GF_REGION_SAMPLES : 0u) | (g->guest && g->guest->assisted ? GF_REGION_DELIVERS : 0u);
}

/* The mailbox, as it is now: NULL, there is none. What was in one that is no more is looked after. */
static GF_HD __attribute__((noinline)) struct gf_mail *gf_gpu_mailbox(struct gf_gpu *g, const struct gf_deliver_guest *dg, uint8_t storable, uint64_t now)
{
	const struct gf_region *r = g->guest && g->guest->assisted && gf_region_alive(&g->guest->ring.r) ? &g->guest->ring.r : NULL;

	if (g->mail_of && (!r || r->instance != g->mail_of)) {
		gf_dm_gone(g->deliverer, &g->mail, dg, storable, now);
		/* For which there was no room to tell of it: the rest in the next tick, before anything goes into another mailbox. */
		if (gf_dm_left(g->deliverer))
			return NULL;
		g->mail_of = 0;
	}
	if (!r)
		return NULL;
	g->mail.r = r;
	if (!g->mail_of) {
		gf_mail_init(&g->mail, r);
		gf_mail_half(&g->mail, 1);
		g->mail_of = r->instance;
	}
	return &g->mail;
}

/* 1: it is in the mailbox. */
static GF_HD __attribute__((noinline)) int gf_gpu_mailed(struct gf_gpu *g, struct gf_mail *m, const struct gf_deliver_guest *dg, uint8_t storable,
							 const struct gf_verdict *v, uint64_t now)
{
	struct gf_deliverer *d = g->deliverer;

	/* Pids and start times may well be those of the boot before. */
	if (!m || storable || !dg->p->writable || v->action != GF_ACT_SIGNAL || (v->epoch && v->epoch != (uint32_t)dg->boot) || !gf_dm_may(m, v))
		return 0;
	if (!(v->flags & GF_VERDICT_OBSERVE) && d->results + 4 <= GF_DELIVER_RESULTS)
		gf_deliver_supersede(d, v, now);
	return gf_dm_begin(d, m, v, now);
}

#endif
