/* SPDX-License-Identifier: MIT
 *
 * What all lanes do of the kernel's own: tables and what is told are copied, what a call needs is loaded.
 * Of gpu/kernel.h, which includes this.
 */
#ifndef GPUFAS_KERNEL_JOBS_H
#define GPUFAS_KERNEL_JOBS_H

/* ---- jobs ------------------------------------------------------------------------ */

static GF_HD __attribute__((noinline)) void gf_gpu_job_table(struct gf_gpu *g, uint32_t n, uint32_t from, uint32_t to, uint32_t lane,
							     uint32_t lanes)
{
	const struct gf_gpu_rows *r = &g->rows;
	struct gf_sample *s = &g->sample;

	gf_gpu_get(s->flags, r->flags, n, lane, lanes);
	gf_gpu_get(s->gen, r->gen, (size_t)n * 4, lane, lanes);
	gf_gpu_get(s->parent, r->parent, (size_t)n * 4, lane, lanes);
	gf_gpu_get(s->uid, r->uid, (size_t)n * 4, lane, lanes);
	gf_gpu_get(s->pid, r->pid, (size_t)n * 4, lane, lanes);
	gf_gpu_get(s->start_ns, r->start_ns, (size_t)n * 8, lane, lanes);
	gf_gpu_get(s->comm, r->comm, (size_t)n * GF_COMM_LEN, lane, lanes);
	for (uint32_t k = 0; k < GF_COLS; k++)
		if (s->col[k])
			gf_gpu_get(s->col[k], r->col[k], (size_t)n * 8, lane, lanes);
	for (uint32_t k = 0; k < GF_SF_COUNT; k++) {
		for (uint32_t i = lane; s->str[k] && i < n; i += lanes) {
			const uint64_t *w = (const uint64_t *)(const void *)&r->str[k][i];
			uint64_t a = gf_gpu_word(w), b = gf_gpu_word(w + 1);
			s->str[k][i].p = g->strings + (uint32_t)a;
			s->str[k][i].len = (uint32_t)(a >> 32);
			s->str[k][i].ver = (uint32_t)b;
		}
	}
	gf_gpu_get(g->strings + from, g->strings_in + from, to - from, lane, lanes);
}

GF_INLINE int gf_gpu_rule_changed(const struct gf_rule_state *a, const struct gf_rule_state *b);

static GF_HD __attribute__((noinline)) void gf_gpu_job_out(struct gf_gpu *g, uint32_t events, uint32_t verdicts, uint32_t lane, uint32_t lanes)
{
	uint32_t rules = g->st->img->sec[GF_SEC_RULE].count;

	/* One by one these words would be as many loads that the leader waits for. */
	if (g->sampler)
		gf_gpu_put(g->out->host, g->sample.host, sizeof g->out->host, lane, lanes);
	for (uint32_t k = lane; k < rules; k += lanes)
		if (gf_gpu_rule_changed(&g->st->rule[k], &g->kept_last[k]))
			gf_team_max(&g->changed, 1);
	for (uint32_t i = 0; i < events; i++)
		gf_gpu_put(&g->events[(g->events_head + i) % GF_GPU_EVENTS], &g->tick_out.events[i], sizeof(struct gf_event), lane, lanes);
	for (uint32_t i = 0; i < verdicts; i++)
		gf_gpu_put(&g->verdicts[(g->verdicts_head + i) % GF_GPU_VERDICTS], &g->tick_out.verdicts[i], sizeof(struct gf_verdict),
			   lane, lanes);
}

/* In what of a rule's state an engine that takes over would go wrong if it had the old one. */
GF_INLINE int gf_gpu_rule_changed(const struct gf_rule_state *a, const struct gf_rule_state *b)
{
	/* Not ||: all of it is loaded at once. */
	return (a->phase != b->phase) | (a->was_true != b->was_true) | (a->told != b->told) | (a->next_step != b->next_step) |
	       (a->victims != b->victims) | (a->action != b->action) | (a->due_ns != b->due_ns) | (a->acted_head != b->acted_head) |
	       (a->acted_n != b->acted_n) | (a->fired != b->fired) | (a->last_ns != b->last_ns) | (a->observed != b->observed);
}

GF_STATIC_ASSERT(sizeof(struct gf_rule_state) % 8 == 0, "rules' states are copied word by word");

static GF_HD __attribute__((noinline)) void gf_gpu_job_keep(struct gf_gpu *g, uint32_t which, uint32_t lane, uint32_t lanes)
{
	struct gf_state *st = g->st;
	struct gf_gpu_kept *to = g->kept[which];
	uint32_t rules = st->img->sec[GF_SEC_RULE].count, spent = st->budget_n, head = st->budget_head;
	const uint64_t *rule = (const uint64_t *)(const void *)st->rule;
	uint64_t *put = (uint64_t *)(void *)to->rule, *last = (uint64_t *)(void *)g->kept_last;

	for (size_t i = lane; i < rules * (sizeof *st->rule / 8); i += lanes) {
		uint64_t x = rule[i];
		gf_gpu_set_word(put + i, x);
		last[i] = x;
	}
	/* Of the ring only what has been spent: nobody reads the rest. */
	for (uint32_t k = lane; k < spent; k += lanes) {
		uint32_t i = (head + GF_BUDGET_MAX - 1 - k) % GF_BUDGET_MAX;
		gf_gpu_set_word(&to->budget_at[i], st->budget_at[i]);
	}
	for (uint32_t row = lane; row < g->sample.rows; row += lanes) {
		uint64_t at = st->killed_ns[row];
		uint32_t i;
		if (!at || st->killed_gen[row] != g->sample.gen[row] || st->now_ns - at > GF_KILLED_NS)
			continue;
		i = gf_team_add(&g->count, 1);
		if (i < GF_GPU_KILLED) {
			uint64_t *w = (uint64_t *)(void *)&to->dead[i];
			gf_gpu_set_word(w, g->sample.start_ns[row]);
			gf_gpu_set_word(w + 1, at);
			gf_gpu_set_word(w + 2, (uint32_t)g->sample.pid[row]);
		}
	}
}

/* The n-th word, a sector apart, of what most jobs look at first; NULL: there are fewer. */
static GF_HD __attribute__((noinline)) const uint32_t *gf_gpu_warm(const struct gf_gpu *g, uint32_t n)
{
	const struct gf_sampler *v = g->sampler;
	const uint8_t *from[] = { (const uint8_t *)&g->sample, (const uint8_t *)g->st, (const uint8_t *)(g->st ? g->st->img : NULL),
				  (const uint8_t *)v, (const uint8_t *)(g->guest ? &g->guest->s : NULL) };
	const uint32_t bytes[] = { offsetof(struct gf_gpu, sampler) - offsetof(struct gf_gpu, sample), sizeof *g->st, sizeof *g->st->img,
				   offsetof(struct gf_sampler, cpus), offsetof(struct gf_sampler_guest, kpath) };

	for (uint32_t i = 0; i < sizeof from / sizeof *from; i++) {
		uint32_t sectors = from[i] ? (bytes[i] + GF_TEAM_SECTOR - 1) / GF_TEAM_SECTOR : 0;
		if (n < sectors)
			return (const uint32_t *)(const void *)(from[i] + n * GF_TEAM_SECTOR);
		n -= sectors;
	}
	return NULL;
}

/* All lanes: what they load when a call begins, from now on. A single block's cache is emptied by none. */
static GF_HD __attribute__((noinline)) void gf_gpu_job_warm(const struct gf_gpu *g, struct gf_team *t)
{
#if defined(__CUDA_ARCH__)
	t->warm = t->mem->blocks > 1 ? gf_gpu_warm(g, threadIdx.x) : NULL;
	t->runs = GF_BIT(GF_JOB_LEVEL) | GF_BIT(GF_JOB_GATES) | GF_BIT(GF_JOB_TRUTHS) | GF_BIT(GF_JOB_COND) | GF_BIT(GF_JOB_SELECT) |
		  GF_BIT(GF_JOB_TELL) | GF_BIT(GF_JOB_NEAR);
	t->progs_end[0] = t->progs_end[1] = t->progs_end[2] = 0;
	if (!g->st || t->mem->blocks == 1)
		return;
	/* An image up to its automata; its rules; the state and the heads of its tables, which are one block of memory up to rules' states (gpu/state.c). */
	t->progs[0] = (const uint8_t *)g->st->img;
	t->progs[1] = GF_SEC(uint8_t, g->st->img, GF_SEC_RULE);
	t->progs[2] = (const uint8_t *)g->st;
	t->progs_end[0] = g->st->img->sec[GF_SEC_DFADATA].off & ~3u;
	t->progs_end[1] = t->progs_end[0] + g->st->img->sec[GF_SEC_RULE].count * (uint32_t)sizeof(struct gf_rule);
	t->progs_end[2] = t->progs_end[1] + (uint32_t)((const uint8_t *)g->st->rule - t->progs[2]);
#else
	t->warm = gf_gpu_warm(g, t->lane);
#endif
}

static GF_HD void gf_gpu_ring_job(struct gf_gpu *g, const struct gf_call *call, uint32_t lane, uint32_t lanes);
static GF_HD void gf_gpu_tape_job(struct gf_gpu *g, const struct gf_call *call, uint32_t lane, uint32_t lanes);

static GF_HD void gf_team_dispatch(struct gf_team *t, const struct gf_call *call)
{
	struct gf_gpu *g = (struct gf_gpu *)t->mem->ctx;

	if (call->job < 64)
		gf_tick_job(&g->tick, call, t->lane, t->lanes);
	else if (call->job < 128)
		gf_sampler_job(g->sampler, call, t->lane, t->lanes);
	else if (call->job == GF_GPU_JOB_TABLE)
		gf_gpu_job_table(g, call->a, call->b, call->c, t->lane, t->lanes);
	else if (call->job == GF_GPU_JOB_OUT)
		gf_gpu_job_out(g, call->a, call->b, t->lane, t->lanes);
	else if (call->job == GF_GPU_JOB_KEEP)
		gf_gpu_job_keep(g, call->a, t->lane, t->lanes);
	else if (call->job == GF_GPU_JOB_WARM)
		gf_gpu_job_warm(g, t);
	else if (call->job >= GF_GPU_JOB_TAPE)
		gf_gpu_tape_job(g, call, t->lane, t->lanes);
	else
		gf_gpu_ring_job(g, call, t->lane, t->lanes);
}

#endif
