/* SPDX-License-Identifier: MIT
 *
 * The GPU engine's host side: from the device to the CPU, when the device does not answer, and back, when a reload tries it again. Who
 * goes on knows rules' phases, their victims and what was spent; what holds "for" or "over" a time begins anew.
 */
#include "gpu/engine_gpu.h"
#include "gpu/hist.h"
#include "gpu/hold.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

#define TRIES 3u /* reloads in a row that try again a GPU which was given up: each may hold the ticks up for seconds, and cost memory that a device does not give back */

/* ---- what rules know, from the device to e->st -------------------------------------- */

static void index_rows(struct gf_gpu_host *h, const struct gf_sample *s)
{
	memset(h->index, 0, (h->index_mask + 1) * sizeof *h->index);
	for (uint32_t row = 0; row < s->rows; row++) {
		uint32_t i = (uint32_t)s->pid[row] * 2654435761u;
		if (!(s->flags[row] & GF_ROW_VALID))
			continue;
		while (h->index[i & h->index_mask])
			i++;
		h->index[i & h->index_mask] = row + 1;
	}
}

static uint32_t find_row(const struct gf_gpu_host *h, const struct gf_sample *s, int32_t pid, uint64_t start_ns)
{
	for (uint32_t i = (uint32_t)pid * 2654435761u; h->index[i & h->index_mask]; i++) {
		uint32_t row = h->index[i & h->index_mask] - 1;
		if (s->pid[row] == pid && s->start_ns[row] == start_ns)
			return row;
	}
	return GF_NONE;
}

/* kept: number of what is kept; 0: nothing is. which: of the buffers. */
void gf_gpu_import(struct gf_engine *e, struct gf_gpu_host *h, uint64_t kept, uint32_t which)
{
	const struct gf_sample *s = &e->target->sample;
	const struct gf_gpu_kept *k = h->kept[which];
	struct gf_state *st = e->st;
	uint32_t rules = st->img->sec[GF_SEC_RULE].count;

	if (!kept || k->image_fp != st->img->fp || k->rules != rules)
		return;
	index_rows(h, s);
	for (uint32_t r = 0; r < rules; r++) {
		st->rule[r] = k->rule[r];
		st->rule[r].action = gf_gpu_our_number(h, st->rule[r].action);
		st->rule[r].victims = 0;
	}
	for (uint32_t i = 0; i < k->victims && i < GF_GPU_VICTIMS; i++) {
		uint32_t row = find_row(h, s, k->victim[i].pid, k->victim[i].start_ns), r = k->victim[i].rule;
		if (row != GF_NONE && r < rules && st->rule[r].victims < GF_MIN(GF_STATE_VICTIMS, st->cap))
			st->victim[r][st->rule[r].victims++] = (struct gf_victim){ row, s->gen[row] };
	}
	memcpy(st->budget_at, k->budget_at, sizeof k->budget_at);
	st->budget_head = k->budget_head;
	st->budget_n = k->budget_n;
	for (uint32_t i = 0; i < k->killed && i < GF_GPU_KILLED; i++) {
		uint32_t row = find_row(h, s, k->dead[i].pid, k->dead[i].start_ns);
		if (row == GF_NONE)
			continue;
		st->killed_ns[row] = k->dead[i].at_ns;
		st->killed_gen[row] = s->gen[row];
	}
	st->now_ns = k->now_ns;
}

void gf_gpu_import_last(struct gf_engine *e, struct gf_gpu_host *h)
{
	uint64_t kept = gf_gpu_read(&h->out->kept);

	gf_gpu_import(e, h, kept, (uint32_t)kept & 1);
}

/* What the CPU has seen itself was before the device: nothing counts as having held, or as having been so, since then. */
static void begin_anew(struct gf_state *st)
{
	const struct gf_hold *hold = GF_SEC(struct gf_hold, st->img, GF_SEC_HOLD);
	const struct gf_hist *hist = GF_SEC(struct gf_hist, st->img, GF_SEC_HIST);

	for (uint32_t k = 0; st->tick && k < st->img->sec[GF_SEC_HOLD].count; k++) {
		uint32_t rows = hold[k].scope == GF_SCOPE_HOST ? 1 : st->rows_seen;

		if (hold[k].kind == GF_HOLD_LATCH) {
			memset(st->hold[k].latched, 0, rows * sizeof *st->hold[k].latched);
			memset(st->hold[k].any, 0, (rows + GF_ROW_BLOCK - 1) / GF_ROW_BLOCK);
			st->hold[k].used = 0;
		}
		gf_hold_reset(&hold[k], &st->hold[k], st->rows_seen);
		st->hold[k].born_ns = st->hold[k].born_tick = 0;
	}
	for (uint32_t k = 0; st->tick && k < st->img->sec[GF_SEC_HIST].count; k++) {
		gf_hist_reset_rows(&hist[k], &st->hist[k], st->rows_seen, 0, 1);
		gf_hist_reset(&st->hist[k]);
	}
}

/* ---- giving it up ------------------------------------------------------------------- */

void gf_gpu_tell_event(struct gf_engine *e, int level, const char *fmt, ...)
{
	struct gf_event *ev;
	va_list ap;

	if (e->out.events_n >= e->out.events_cap)
		return;
	ev = &e->out.events[e->out.events_n++];
	memset(ev, 0, sizeof *ev);
	ev->seq = gf_event_seq();
	ev->kind = GF_EV_DAEMON;
	ev->rule = ev->row = GF_NONE;
	ev->target = e->in.target;
	ev->image_fp = e->st->img->fp;
	ev->now_ns = e->target->sample.now_ns;
	ev->step = (uint8_t)level;
	va_start(ap, fmt);
	vsnprintf(ev->text, sizeof ev->text, fmt, ap);
	va_end(ap);
}

/* What the operator can do. */
static const char *way_back(const struct gf_engine *e)
{
	return e->gpu_tries < TRIES ? "`gpufasctl reload` tries it again" : "restart gpufasd to use it again";
}

void gf_gpu_take_over(struct gf_engine *e, const struct gf_err *why)
{
	struct gf_gpu_host *h = e->gpu;
	bool own = gf_gpu_own(e);
	struct gf_err err;

	/* Should it come back to life, or be launched once more by a neighbour whose guest goes away just now, it acts no more. */
	gf_gpu_tell(&h->in->stop, UINT64_MAX);
	bool lives = gf_engine_clock(CLOCK_MONOTONIC) - h->heart_ns < h->life_ns;
	pthread_mutex_lock(&h->lock);
	h->persistent = false;
	gf_gpu_tell(&h->in->stop, UINT64_MAX); /* who made all rest meanwhile has said a number of its own */
	gf_gpu_shape_lost(e, h);
	if (own)
		lives = lives && !gf_gpu_ended(h, h->life_ns / 5, &err);
	pthread_mutex_unlock(&h->lock);
	if (own && lives) {
		/* What it had to say before it ended. */
		gf_gpu_collect_last(e, h);
		gf_gpu_pass_results(h, gf_gpu_read(&h->out->results_head));
	}
	gf_gpu_tape_last(e, h, 0); /* the CPU's next tick does not wait */
	gf_gpu_connect(h, false);
	/* A guest's memory is let go of if nothing reaches it any more. */
	if (own) {
		gf_gpu_guest_gone(h, !lives);
		gf_target_sample(e->target, NULL);
	}
	gf_gpu_import_last(e, h);
	begin_anew(e->st);
	e->gpu_past = h;
	__atomic_store_n(&e->gpu, NULL, __ATOMIC_RELEASE);
	e->now.alone = false;
	e->now.takeovers++;
	if (gf_engine_clock(CLOCK_MONOTONIC) - h->since_ns >= h->proven_ns)
		e->gpu_tries = 0;
	snprintf(e->now.why, sizeof e->now.why, "the GPU was given up: %.120s; %s", why->text, way_back(e));
	gf_gpu_tell_event(e, LOG_ERR, "GPU %u (%.30s) was given up: %.100s. The CPU goes on, holds and histories begin anew; %s",
		   e->now.gpu_device, e->now.gpu_name, why->text, way_back(e));
}

/* ---- and back ----------------------------------------------------------------------- */

/* What the CPU knows of rules, to the device: phases, limits, the budget. Victims stay behind (rows of its own table may be others): who was
 * stopped has been let go. Nothing runs on the device just now. */
static int export_rules(struct gf_engine *e, struct gf_gpu_host *h, struct gf_err *err)
{
	uint32_t rules = e->st->img->sec[GF_SEC_RULE].count, ring[2] = { e->st->budget_head, e->st->budget_n };
	struct gf_rule_state *rs = calloc(rules + 1, sizeof *rs);
	int rc = rs ? 0 : gf_err_set(err, ENOMEM, "out of memory");

	for (uint32_t k = 0; !rc && k < rules; k++) {
		rs[k] = e->st->rule[k];
		rs[k].victims = 0;
		rs[k].action = 0; /* its events have other numbers */
		if (rs[k].phase == GF_PHASE_STEPS)
			rs[k].phase = GF_PHASE_SETTLE;
	}
	if (!rc && rules)
		rc = h->ops->copy_in(h->dev, h->mirror->rule, rs, rules * sizeof *rs, err);
	if (!rc)
		rc = h->ops->copy_in(h->dev, h->mirror->budget_at, e->st->budget_at, GF_BUDGET_MAX * sizeof *e->st->budget_at, err);
	if (!rc)
		rc = h->ops->copy_in(h->dev, &h->st->budget_head, ring, sizeof ring, err);
	free(rs);
	return rc;
}

static int again(struct gf_engine *e, struct gf_err *err)
{
	struct gf_gpu_host *past = e->gpu_past;
	int rc = 0;

	if (past->run) {
		rc = past->ops->poll(past->run, err);
		if (!rc)
			return gf_err_set(err, EBUSY, "its kernel has not ended");
		if (rc < 0)
			return rc;
	}
	rc = gf_gpu_create(e, err);
	if (rc)
		return rc;
	e->gpu->actuator = past->actuator;
	e->gpu->host_actuator = past->host_actuator;
	e->gpu->lost_before = e->out.events_lost;
	e->gpu->lost_verdicts_before = e->out.verdicts_lost;
	gf_engine_release(e, NULL, 0);
	rc = export_rules(e, e->gpu, err);
	if (rc) {
		gf_gpu_host_free(e->gpu);
		e->gpu = NULL;
		return rc;
	}
	gf_gpu_host_free(past);
	e->gpu_past = NULL;
	return e->running ? gf_gpu_start(e, err) : 0;
}

void gf_gpu_retry(struct gf_engine *e)
{
	uint32_t takeovers = e->now.takeovers;
	struct gf_err err = { "" };

	if (e->gpu || !e->gpu_past || e->gpu_tries >= TRIES)
		return;
	e->gpu_tries++; /* (one that works for a while is given up for another reason) */
	if (!again(e, &err)) {
		e->now.why[0] = '\0';
		gf_gpu_tell_event(e, LOG_NOTICE, "GPU %u (%.30s) is used again; what holds \"for\" or \"over\" a time begins anew", e->now.gpu_device, e->now.gpu_name);
	} else if (takeovers == e->now.takeovers) { /* else it was given up once more, which has been told */
		snprintf(e->now.why, sizeof e->now.why, "the GPU was given up and could not be had again: %.90s; %s", err.text, way_back(e));
		gf_gpu_tell_event(e, LOG_ERR, "GPU %u (%.30s) could not be had again: %.110s; %s", e->now.gpu_device, e->now.gpu_name, err.text, way_back(e));
	}
}
