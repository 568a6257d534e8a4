/* SPDX-License-Identifier: MIT
 *
 * Makes and frees what an engine remembers. What of it a new policy takes over is in state_plan.c.
 */
#include "gpu/adopt.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* From this size on a block is mapped, not taken from the heap: mapped memory is
 * zero without being touched, so that rows never used cost nothing. */
#define MAP_FROM 16384u

struct gf_state_priv {
	int failed; /* an allocation failed */
	const struct gf_state_place *place; /* NULL: this process's memory */
};

static void *block_new(struct gf_state *st, size_t size)
{
	void *p;

	if (!size)
		size = 8;
	if (st->priv->place) {
		p = st->priv->place->take(st->priv->place->arg, size);
		if (!p)
			st->priv->failed = 1;
		return p;
	}
	if (size < MAP_FROM) {
		p = calloc(1, size);
	} else {
		p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
		if (p == MAP_FAILED)
			p = NULL;
		else
			/* A huge page would take 2 MiB for the first row touched. */
			madvise(p, size, MADV_NOHUGEPAGE);
	}
	if (!p)
		st->priv->failed = 1;
	return p;
}

static void block_free(struct gf_state *st, void *p, size_t size)
{
	if (!p)
		return;
	if (st->priv->place)
		st->priv->place->give(st->priv->place->arg, p);
	else if (size < MAP_FROM)
		free(p);
	else
		munmap(p, size);
}

/* Every table of one entry a row, with its size: create, free and prefault all go
 * through this list, so that none can be forgotten. */
typedef void *(*table_fn)(struct gf_state *st, void *p, size_t elem, size_t n, const uint32_t *range);

#define ROWS(p) ((p) = fn(st, (p), sizeof *(p), st->cap, range))

static void each_row_table(struct gf_state *st, table_fn fn, const uint32_t *range)
{
	const struct gf_match *m = GF_SEC(struct gf_match, st->img, GF_SEC_MATCH);

	ROWS(st->row_gen);
	ROWS(st->row_since);
	ROWS(st->row_tick);
	ROWS(st->lo);
	ROWS(st->hi);
	ROWS(st->cond);
	ROWS(st->klass);
	ROWS(st->unprot);
	ROWS(st->klass_by);
	ROWS(st->key);
	ROWS(st->why);
	ROWS(st->mark);
	ROWS(st->condemned);
	ROWS(st->condemned_tick);
	ROWS(st->killed_ns);
	ROWS(st->killed_gen);
	ROWS(st->scratch_p);
	ROWS(st->family.up);
	ROWS(st->family.depth);
	ROWS(st->family.order);
	for (uint32_t k = 0; k < st->img->sec[GF_SEC_MATCH].count; k++) {
		if (st->str_ver[m[k].field] == NULL || range)
			ROWS(st->str_ver[m[k].field]);
		ROWS(st->match[k]);
	}
}

static void each_column(struct gf_state *st, table_fn fn, const uint32_t *range)
{
	const struct gf_col *c = GF_SEC(struct gf_col, st->img, GF_SEC_COL);

	for (uint32_t k = 0; k < st->img->sec[GF_SEC_COL].count; k++) {
		if (c[k].kind == GF_COL_VALUE || c[k].kind == GF_COL_TREE)
			ROWS(st->vcol[k]);
		else
			ROWS(st->pcol[k]);
	}
}

static uint32_t hold_rows(const struct gf_state *st, uint32_t k)
{
	return GF_SEC(struct gf_hold, st->img, GF_SEC_HOLD)[k].scope == GF_SCOPE_TASK ? st->cap : GF_ROW_BLOCK;
}

static void each_hold(struct gf_state *st, table_fn fn, const uint32_t *range)
{
	for (uint32_t k = 0; k < st->img->sec[GF_SEC_HOLD].count; k++) {
		struct gf_hold_state *hs = &st->hold[k];
		uint32_t rows = hold_rows(st, k);
		int latch = GF_SEC(struct gf_hold, st->img, GF_SEC_HOLD)[k].kind == GF_HOLD_LATCH;

		if (range && rows != st->cap)
			continue;
		/* A hold needs no latches and the other way round; both are there, so that no
		 * program can find one missing, but only one is ever touched. */
		if (!range || !latch)
			hs->since = fn(st, hs->since, sizeof *hs->since, rows, range);
		if (!range || latch)
			hs->latched = fn(st, hs->latched, sizeof *hs->latched, rows, range);
		if (!range)
			hs->any = fn(st, hs->any, 1, rows / GF_ROW_BLOCK, range);
	}
}

static void each_hist(struct gf_state *st, table_fn fn, const uint32_t *range)
{
	const struct gf_hist *h = GF_SEC(struct gf_hist, st->img, GF_SEC_HIST);

	for (uint32_t k = 0; k < st->img->sec[GF_SEC_HIST].count; k++) {
		struct gf_hist_state *hs = &st->hist[k];
		uint32_t stride = h[k].scope == GF_SCOPE_TASK ? st->cap : 1, cols = h[k].slots + 2u;
		int avg = h[k].stat == GF_STAT_AVG;

		hs->stride = stride;
		hs->cols = cols;
		if (range && stride == 1)
			continue;
		hs->acc = fn(st, hs->acc, 8, stride, range);
		hs->now = fn(st, hs->now, 8, stride, range);
		hs->first = fn(st, hs->first, 8, stride, range);
		if (avg)
			hs->acc_n = fn(st, hs->acc_n, 8, stride, range);
		if (range) {
			for (uint32_t c = 0; c < cols; c++) {
				fn(st, hs->ring + (size_t)c * stride, 8, stride, range);
				if (avg)
					fn(st, hs->n + (size_t)c * stride, 8, stride, range);
			}
			continue;
		}
		hs->ring = fn(st, hs->ring, 8, (size_t)cols * stride, range);
		hs->time = fn(st, hs->time, 8, cols, range);
		if (avg)
			hs->n = fn(st, hs->n, 8, (size_t)cols * stride, range);
	}
}

static void *table_make(struct gf_state *st, void *p, size_t elem, size_t n, const uint32_t *range)
{
	(void)range;
	return p ? p : block_new(st, elem * n);
}

static void *table_drop(struct gf_state *st, void *p, size_t elem, size_t n, const uint32_t *range)
{
	(void)range;
	block_free(st, p, elem * n);
	return NULL;
}

static void *table_touch(struct gf_state *st, void *p, size_t elem, size_t n, const uint32_t *range)
{
	volatile uint8_t *b = p;
	size_t to = elem * GF_MIN(range[1], n);

	(void)st;
	for (size_t at = elem * range[0]; at < to; at += 4096)
		b[at] = b[at];
	return p;
}

/* Nobody follows more than there are. */
static size_t victims(const struct gf_state *st)
{
	return GF_MIN(GF_STATE_VICTIMS, st->cap);
}

/* Tables that do not depend on rows, and that a tick alone looks at. */
static void each_fixed(struct gf_state *st, table_fn fn)
{
	struct gf_work layout;

	st->agg = fn(st, st->agg, sizeof *st->agg, st->img->sec[GF_SEC_AGG].count, NULL);
	st->pick = fn(st, st->pick, sizeof *st->pick, GF_MAX_PICK, NULL);
	st->member = fn(st, st->member, sizeof *st->member, victims(st), NULL);
	st->family.count = fn(st, st->family.count, sizeof *st->family.count, st->cap + 1, NULL);
	st->budget_at = fn(st, st->budget_at, sizeof *st->budget_at, GF_BUDGET_MAX, NULL);
	st->work.mem = fn(st, st->work.mem, 1, gf_work_layout(st->img, st->cap, NULL, &layout), NULL);
}

/* Tables that say where others are, or that begin as something else than zero: always in this process's memory, from
 * where gf_state_flatten() takes them. What each tick reads comes before rules: a device loads all of it ahead (gf_gpu_job_warm). */
#define HEAD(p, n) ((p) = fn(st, (p), sizeof *(p), (n), arg))

typedef void *(*head_fn)(struct gf_state *st, void *p, size_t elem, size_t n, void *arg);

static void each_head(struct gf_state *st, head_fn fn, void *arg)
{
	const struct gf_image_header *img = st->img;
	uint32_t rules = img->sec[GF_SEC_RULE].count;

	HEAD(st->match, img->sec[GF_SEC_MATCH].count);
	HEAD(st->match_fresh, img->sec[GF_SEC_MATCH].count);
	HEAD(st->vcol, img->sec[GF_SEC_COL].count);
	HEAD(st->pcol, img->sec[GF_SEC_COL].count);
	HEAD(st->hist, img->sec[GF_SEC_HIST].count);
	HEAD(st->hold, img->sec[GF_SEC_HOLD].count);
	HEAD(st->rule, rules);
	HEAD(st->victim, rules);
	HEAD(st->rule_hold_at, rules + 1);
	HEAD(st->rule_hold, img->sec[GF_SEC_HOLD].count);
	HEAD(st->work.plan, gf_plan_words(img));
}

static void *head_make(struct gf_state *st, void *p, size_t elem, size_t n, void *arg)
{
	(void)arg;
	p = calloc(n + 1, elem);
	if (!p)
		st->priv->failed = 1;
	return p;
}

static void *head_drop(struct gf_state *st, void *p, size_t elem, size_t n, void *arg)
{
	(void)st;
	(void)elem;
	(void)n;
	(void)arg;
	free(p);
	return NULL;
}

/* Which holds a rule's condition updates: to be reset while its gate is shut.
 * Each hold has at most one HELD in the image, so the list fits. */
static void find_rule_holds(struct gf_state *st)
{
	const struct gf_image_header *img = st->img;
	const struct gf_insn *code = GF_SEC(struct gf_insn, img, GF_SEC_CODE);
	const struct gf_prog *prog = GF_SEC(struct gf_prog, img, GF_SEC_PROG);
	const struct gf_rule *rule = GF_SEC(struct gf_rule, img, GF_SEC_RULE);
	uint32_t n = 0, max = img->sec[GF_SEC_HOLD].count, rules = img->sec[GF_SEC_RULE].count;

	for (uint32_t r = 0; r < rules; r++) {
		const struct gf_prog *p = &prog[rule[r].cond];

		st->rule_hold_at[r] = n;
		for (uint32_t k = 0; k < p->len; k++)
			if (code[p->code + k].op == GF_OP_HELD && n < max)
				st->rule_hold[n++] = code[p->code + k].imm;
	}
	st->rule_hold_at[rules] = n;
}

int gf_state_create(const struct gf_image_header *img, uint32_t cap, struct gf_state **ret, struct gf_err *err)
{
	return gf_state_create_at(img, cap, NULL, ret, err);
}

int gf_state_create_at(const struct gf_image_header *img, uint32_t cap, const struct gf_state_place *place,
		       struct gf_state **ret, struct gf_err *err)
{
	struct gf_state *st;

	if (!cap || cap % GF_ROW_BLOCK)
		return gf_err_set(err, EINVAL, "the table of tasks has %u rows; it must be a multiple of %u", cap,
				  GF_ROW_BLOCK);
	st = calloc(1, sizeof *st);
	if (!st || !(st->priv = calloc(1, sizeof *st->priv))) {
		free(st);
		return gf_err_set(err, ENOMEM, "out of memory for the engine's state");
	}
	st->priv->place = place;
	st->img = img;
	st->cap = cap;
	each_head(st, head_make, NULL);
	if (!st->priv->failed) {
		each_fixed(st, table_make);
		each_row_table(st, table_make, NULL);
		each_column(st, table_make, NULL);
		each_hold(st, table_make, NULL);
		each_hist(st, table_make, NULL);
		for (uint32_t r = 0; r < img->sec[GF_SEC_RULE].count; r++)
			st->victim[r] = block_new(st, sizeof **st->victim * victims(st));
	}
	if (st->priv->failed) {
		gf_state_destroy(st);
		return gf_err_set(err, ENOMEM, "out of memory for the state of %u rules over %u tasks; use fewer rules with histories, or a smaller max_tasks",
				  img->sec[GF_SEC_RULE].count, cap);
	}
	memset(st->match_fresh, 1, img->sec[GF_SEC_MATCH].count);
	gf_plan_make(img, st->work.plan, &st->work);
	gf_work_layout(img, cap, st->work.mem, &st->work);
	find_rule_holds(st);
	*ret = st;
	return 0;
}

void gf_state_destroy(struct gf_state *st)
{
	if (!st)
		return;
	if (st->match && st->vcol && st->pcol && st->hold && st->hist && st->victim) {
		each_fixed(st, table_drop);
		each_row_table(st, table_drop, NULL);
		for (uint32_t f = 0; f < GF_SF_COUNT; f++)
			block_free(st, st->str_ver[f], sizeof *st->str_ver[f] * st->cap);
		each_column(st, table_drop, NULL);
		each_hold(st, table_drop, NULL);
		each_hist(st, table_drop, NULL);
		for (uint32_t r = 0; r < st->img->sec[GF_SEC_RULE].count; r++)
			block_free(st, st->victim[r], sizeof **st->victim * victims(st));
	}
	each_head(st, head_drop, NULL);
	free(st->priv);
	free(st);
}

struct flat {
	uint8_t *buf; /* NULL: only the size is wanted */
	uintptr_t base;
	size_t at;
};

static void *head_flat(struct gf_state *st, void *p, size_t elem, size_t n, void *arg)
{
	struct flat *x = arg;
	size_t at = x->at;

	(void)st;
	if (x->buf)
		memcpy(x->buf + at, p, elem * n);
	x->at = (at + elem * n + 15) / 16 * 16;
	return (void *)(x->base + at);
}

size_t gf_state_flatten(const struct gf_state *st, const struct gf_image_header *img, void *base, void *buf)
{
	struct flat x = { buf, (uintptr_t)base, (sizeof *st + 15) / 16 * 16 };
	struct gf_state o = *st;

	each_head(&o, head_flat, &x);
	o.img = img;
	o.priv = NULL;
	if (buf)
		memcpy(buf, &o, sizeof o);
	return x.at;
}

/* What a selection writes to: it comes when memory is shortest. */
static void touch_fixed(struct gf_state *st)
{
	const uint32_t all[2] = { 0, UINT32_MAX }, page[2] = { 0, 4096 / sizeof **st->victim };

	table_touch(st, st->pick, sizeof *st->pick, GF_MAX_PICK, all);
	table_touch(st, st->member, sizeof *st->member, victims(st), all);
	table_touch(st, st->budget_at, sizeof *st->budget_at, GF_BUDGET_MAX, all);
	for (uint32_t r = 0; r < st->img->sec[GF_SEC_RULE].count; r++)
		table_touch(st, st->victim[r], sizeof **st->victim, victims(st), page);
}

void gf_state_prefault(struct gf_state *st, uint32_t from, uint32_t to)
{
	uint32_t range[2] = { from, GF_MIN(to, st->cap) };

	if (!from)
		touch_fixed(st);
	table_touch(st, st->family.count, sizeof *st->family.count, st->cap + 1, range);

	each_row_table(st, table_touch, range);
	each_column(st, table_touch, range);
	each_hold(st, table_touch, range);
	each_hist(st, table_touch, range);
}
