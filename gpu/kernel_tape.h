/* SPDX-License-Identifier: MIT
 *
 * The device's side of gpu/tape.h: a sample that was decided on, into the ring. Part of gpu/kernel.h.
 */
#ifndef GPUFAS_KERNEL_TAPE_H
#define GPUFAS_KERNEL_TAPE_H

/* Of a row's string what is known of it; version 0: nothing. */
GF_INLINE struct gf_strref gf_tape_text(const struct gf_sample *s, uint32_t field, uint32_t row)
{
	const struct gf_strref none = { NULL, 0, 0 };

	return s->str[field] && row < s->rows && s->flags[row] & GF_ROW_VALID && s->str[field][row].ver ? s->str[field][row] : none;
}

/* Into whole words: strings lie anywhere, and no byte behind them is read. */
GF_INLINE void gf_tape_put_text(char *to, const char *from, uint32_t len)
{
	for (uint32_t i = 0; i < len; i += 8) {
		uint64_t w = 0;
		for (uint32_t k = 0; k < 8 && i + k < len; k++)
			w |= (uint64_t)(uint8_t)from[i + k] << 8 * k;
		gf_gpu_set_word((uint64_t *)(void *)(to + i), w);
	}
}

/* How much room strings take. */
static GF_HD __attribute__((noinline)) void gf_gpu_job_texts(struct gf_gpu *g, uint32_t lane, uint32_t lanes)
{
	uint32_t n = 0;

	for (uint32_t f = 0; f < GF_SF_COUNT; f++)
		for (uint32_t i = lane; g->tape.frame.has.str >> f & 1 && i < g->tape.frame.n; i += lanes)
			n += (gf_tape_text(&g->sample, f, i).len + 7) / 8 * 8;
	if (n)
		gf_team_add(&g->tape.texts, n);
}

static GF_HD void gf_gpu_tape_head(struct gf_gpu *g, uint32_t lane, uint32_t lanes)
{
	struct gf_tape_frame *to = (struct gf_tape_frame *)(void *)(g->tape.ring + g->tape.head % g->tape.size);

	gf_gpu_put(to, &g->tape.frame, offsetof(struct gf_tape_frame, host), lane, lanes);
	gf_gpu_put(to->host, g->sample.host, sizeof to->host, lane, lanes);
}

static GF_HD __attribute__((noinline)) void gf_gpu_job_tape(struct gf_gpu *g, uint32_t lane, uint32_t lanes)
{
	const struct gf_sample *s = &g->sample;
	const struct gf_gpu_rows *r = &g->tape.rows;
	size_t n = (size_t)g->tape.frame.n;

	gf_gpu_tape_head(g, lane, lanes);
	gf_gpu_put(r->flags, s->flags, n, lane, lanes);
	gf_gpu_put(r->gen, s->gen, n * 4, lane, lanes);
	gf_gpu_put(r->parent, s->parent, n * 4, lane, lanes);
	gf_gpu_put(r->uid, s->uid, n * 4, lane, lanes);
	gf_gpu_put(r->pid, s->pid, n * 4, lane, lanes);
	gf_gpu_put(r->start_ns, s->start_ns, n * 8, lane, lanes);
	gf_gpu_put(r->comm, s->comm, n * GF_COMM_LEN, lane, lanes);
	for (uint32_t k = 0; k < GF_COLS; k++)
		if (r->col[k])
			gf_gpu_put(r->col[k], s->col[k], n * 8, lane, lanes);
	for (uint32_t f = 0; f < GF_SF_COUNT; f++) {
		for (uint32_t i = lane; r->str[f] && i < n; i += lanes) {
			struct gf_strref ref = gf_tape_text(s, f, i);
			uint32_t at = ref.len ? gf_team_add(&g->tape.at, (ref.len + 7) / 8 * 8) : 0;
			uint64_t *w = (uint64_t *)(void *)&r->str[f][i];
			gf_gpu_set_word(w, (uint64_t)ref.len << 32 | at);
			gf_gpu_set_word(w + 1, ref.ver);
			gf_tape_put_text(g->tape.text + at, ref.p, ref.len);
		}
	}
}

static GF_HD void gf_gpu_tape_job(struct gf_gpu *g, const struct gf_call *call, uint32_t lane, uint32_t lanes)
{
	if (call->job == GF_GPU_JOB_TAPE)
		gf_gpu_job_tape(g, lane, lanes);
	else
		gf_gpu_job_texts(g, lane, lanes);
}

/* What is in the frame, and how large it is. */
static GF_HD void gf_gpu_tape_begin(struct gf_gpu *g, struct gf_team *team, int rc)
{
	struct gf_gpu_tape *t = &g->tape;
	struct gf_tape_frame *f = &t->frame;
	const struct gf_sample *s = &g->sample;

	f->now_ns = s->now_ns;
	f->seq = s->seq;
	f->fp = g->st->img->fp;
	f->error = (uint64_t)-rc;
	f->rows = rc ? 0 : s->rows;
	f->live = rc ? 0 : s->live;
	f->dropped = s->dropped;
	f->epoch = s->epoch;
	f->n = (f->rows + 7) / 8 * 8;
	f->has = g->st->img->fields;
	t->texts = t->at = 0;
	if (f->n && f->has.str)
		gf_team_call(team, GF_GPU_JOB_TEXTS, 0, 0, 0);
	f->bytes = (gf_tape_layout(f, NULL, &t->rows) + t->texts + GF_TAPE_STEP - 1) / GF_TAPE_STEP * GF_TAPE_STEP;
}

/* Leader, after all that a tick does for others. rc: of sampling. */
static GF_HD __attribute__((noinline)) void gf_gpu_tape(struct gf_gpu *g, struct gf_team *team, int rc)
{
	struct gf_gpu_tape *t = &g->tape;
	uint64_t at = t->head % t->size, skip, end;

	gf_gpu_tape_begin(g, team, rc);
	skip = t->frame.bytes > t->size - at ? t->size - at : 0;
	end = t->head + skip + t->frame.bytes;
	if (end - t->tail > t->size)
		t->tail = gf_gpu_number(&g->in->tape_tail);
	if (end - t->tail > t->size) {
		gf_gpu_set_word(&g->out->tape_dropped, ++t->dropped);
		return;
	}
	if (skip)
		gf_gpu_set_word((uint64_t *)(void *)(t->ring + at), 0);
	t->head += skip;
	at = t->head % t->size;
	t->text = (char *)t->ring + at + gf_tape_layout(&t->frame, t->ring + at, &t->rows);
	if (t->frame.n)
		gf_team_call(team, GF_GPU_JOB_TAPE, 0, 0, 0);
	else
		gf_gpu_tape_head(g, 0, 1);
	t->head = end;
	gf_gpu_answer(&g->out->tape_head, end);
}

#endif
