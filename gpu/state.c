/* SPDX-License-Identifier: MIT
 *
 * Makes, hands over and frees what an engine remembers.
 */
#include "gpu/state.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* From this size on a block is mapped, not taken from the heap: mapped memory is
 * zero without being touched, so that rows never used cost nothing. */
#define MAP_FROM 16384u

struct gf_state_priv {
	int failed; /* an allocation failed */
};

struct gf_adoption {
	uint32_t rules; /* rules that keep their state */
	uint32_t *hold, *hist, *rule, *match; /* [new number] old number or GF_NONE */
	uint32_t of[]; /* the arrays */
};

static void *block_new(struct gf_state *st, size_t size)
{
	void *p;

	if (!size)
		size = 8;
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

static void block_free(void *p, size_t size)
{
	if (!p)
		return;
	if (size < MAP_FROM)
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
	(void)st;
	(void)range;
	block_free(p, elem * n);
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

/* Tables that do not depend on rows. */
static void make_fixed(struct gf_state *st)
{
	const struct gf_image_header *img = st->img;
	uint32_t rules = img->sec[GF_SEC_RULE].count;

	st->match = block_new(st, sizeof *st->match * img->sec[GF_SEC_MATCH].count);
	st->match_fresh = block_new(st, img->sec[GF_SEC_MATCH].count);
	st->agg = block_new(st, sizeof *st->agg * img->sec[GF_SEC_AGG].count);
	st->vcol = block_new(st, sizeof *st->vcol * img->sec[GF_SEC_COL].count);
	st->pcol = block_new(st, sizeof *st->pcol * img->sec[GF_SEC_COL].count);
	st->hist = block_new(st, sizeof *st->hist * img->sec[GF_SEC_HIST].count);
	st->hold = block_new(st, sizeof *st->hold * img->sec[GF_SEC_HOLD].count);
	st->rule = block_new(st, sizeof *st->rule * rules);
	st->victim = block_new(st, sizeof *st->victim * rules);
	st->rule_hold_at = block_new(st, sizeof *st->rule_hold_at * (rules + 1));
	st->rule_hold = block_new(st, sizeof *st->rule_hold * img->sec[GF_SEC_HOLD].count);
	st->pick = block_new(st, sizeof *st->pick * GF_MAX_PICK);
	st->member = block_new(st, sizeof *st->member * GF_STATE_VICTIMS);
	st->family.count = block_new(st, sizeof *st->family.count * (st->cap + 1));
	st->budget_at = block_new(st, sizeof *st->budget_at * GF_BUDGET_MAX);
	st->work.plan = block_new(st, sizeof *st->work.plan * gf_plan_words(img));
	st->work.mem = block_new(st, gf_work_layout(img, st->cap, NULL, &st->work));
}

static void drop_fixed(struct gf_state *st)
{
	const struct gf_image_header *img = st->img;
	uint32_t rules = img->sec[GF_SEC_RULE].count;

	block_free(st->match, sizeof *st->match * img->sec[GF_SEC_MATCH].count);
	block_free(st->match_fresh, img->sec[GF_SEC_MATCH].count);
	block_free(st->agg, sizeof *st->agg * img->sec[GF_SEC_AGG].count);
	block_free(st->vcol, sizeof *st->vcol * img->sec[GF_SEC_COL].count);
	block_free(st->pcol, sizeof *st->pcol * img->sec[GF_SEC_COL].count);
	block_free(st->hist, sizeof *st->hist * img->sec[GF_SEC_HIST].count);
	block_free(st->hold, sizeof *st->hold * img->sec[GF_SEC_HOLD].count);
	block_free(st->rule, sizeof *st->rule * rules);
	block_free(st->victim, sizeof *st->victim * rules);
	block_free(st->rule_hold_at, sizeof *st->rule_hold_at * (rules + 1));
	block_free(st->rule_hold, sizeof *st->rule_hold * img->sec[GF_SEC_HOLD].count);
	block_free(st->pick, sizeof *st->pick * GF_MAX_PICK);
	block_free(st->member, sizeof *st->member * GF_STATE_VICTIMS);
	block_free(st->family.count, sizeof *st->family.count * (st->cap + 1));
	block_free(st->budget_at, sizeof *st->budget_at * GF_BUDGET_MAX);
	block_free(st->work.plan, sizeof *st->work.plan * gf_plan_words(img));
	block_free(st->work.mem, gf_work_layout(img, st->cap, NULL, &st->work));
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
	struct gf_state *st;

	if (!cap || cap % GF_ROW_BLOCK)
		return gf_err_set(err, EINVAL, "the table of tasks has %u rows; it must be a multiple of %u", cap,
				  GF_ROW_BLOCK);
	st = calloc(1, sizeof *st);
	if (!st || !(st->priv = calloc(1, sizeof *st->priv))) {
		free(st);
		return gf_err_set(err, ENOMEM, "out of memory for the engine's state");
	}
	st->img = img;
	st->cap = cap;
	make_fixed(st);
	if (!st->priv->failed) {
		each_row_table(st, table_make, NULL);
		each_column(st, table_make, NULL);
		each_hold(st, table_make, NULL);
		each_hist(st, table_make, NULL);
		for (uint32_t r = 0; r < img->sec[GF_SEC_RULE].count; r++)
			st->victim[r] = block_new(st, sizeof **st->victim * GF_STATE_VICTIMS);
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
		each_row_table(st, table_drop, NULL);
		for (uint32_t f = 0; f < GF_SF_COUNT; f++)
			block_free(st->str_ver[f], sizeof *st->str_ver[f] * st->cap);
		each_column(st, table_drop, NULL);
		each_hold(st, table_drop, NULL);
		each_hist(st, table_drop, NULL);
		for (uint32_t r = 0; r < st->img->sec[GF_SEC_RULE].count; r++)
			block_free(st->victim[r], sizeof **st->victim * GF_STATE_VICTIMS);
	}
	drop_fixed(st);
	free(st->priv);
	free(st);
}

/* What a selection writes to: it comes when memory is shortest. */
static void touch_fixed(struct gf_state *st)
{
	const uint32_t all[2] = { 0, UINT32_MAX }, page[2] = { 0, 4096 / sizeof **st->victim };

	table_touch(st, st->pick, sizeof *st->pick, GF_MAX_PICK, all);
	table_touch(st, st->member, sizeof *st->member, GF_STATE_VICTIMS, all);
	table_touch(st, st->budget_at, sizeof *st->budget_at, GF_BUDGET_MAX, all);
	for (uint32_t r = 0; r < st->img->sec[GF_SEC_RULE].count; r++)
		table_touch(st, st->victim[r], sizeof **st->victim, GF_STATE_VICTIMS, page);
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

/* One kind of table: for each new number the old one with the same contents. */
typedef int (*same_fn)(const struct gf_image_header *a, uint32_t i, const struct gf_image_header *b, uint32_t j);

static uint32_t plan_kind(const struct gf_image_header *from, const struct gf_image_header *to, int sec,
			  same_fn same, uint32_t *map, uint8_t *used)
{
	uint32_t olds = from->sec[sec].count, news = to->sec[sec].count, kept = 0;

	memset(used, 0, olds);
	for (uint32_t j = 0; j < news; j++) {
		map[j] = GF_NONE;
		/* Most often nothing moved: begin where the number is the same. */
		for (uint32_t k = 0; k < olds; k++) {
			uint32_t i = (j + k) % olds;
			if (!used[i] && same(from, i, to, j)) {
				used[i] = 1;
				map[j] = i;
				kept++;
				break;
			}
		}
	}
	return kept;
}

static int same_hold(const struct gf_image_header *a, uint32_t i, const struct gf_image_header *b, uint32_t j)
{
	return !memcmp(&GF_SEC(struct gf_hold, a, GF_SEC_HOLD)[i], &GF_SEC(struct gf_hold, b, GF_SEC_HOLD)[j],
		       sizeof(struct gf_hold));
}

static int same_hist(const struct gf_image_header *a, uint32_t i, const struct gf_image_header *b, uint32_t j)
{
	return !memcmp(&GF_SEC(struct gf_hist, a, GF_SEC_HIST)[i], &GF_SEC(struct gf_hist, b, GF_SEC_HIST)[j],
		       sizeof(struct gf_hist));
}

static int same_rule(const struct gf_image_header *a, uint32_t i, const struct gf_image_header *b, uint32_t j)
{
	const struct gf_rule *x = &GF_SEC(struct gf_rule, a, GF_SEC_RULE)[i];
	const struct gf_rule *y = &GF_SEC(struct gf_rule, b, GF_SEC_RULE)[j];

	const struct gf_step *s = &GF_SEC(struct gf_step, a, GF_SEC_STEP)[x->step];
	const struct gf_step *u = &GF_SEC(struct gf_step, b, GF_SEC_STEP)[y->step];

	/* Beyond the fingerprint, what a run of steps depends on: pending steps of one
	 * rule must never be taken on the victims of another. */
	if (x->fp != y->fp || x->steps != y->steps || x->limit_n != y->limit_n || x->flags != y->flags ||
	    strcmp(gf_image_str(a, x->name), gf_image_str(b, y->name)))
		return 0;
	for (uint32_t k = 0; k < x->steps; k++)
		if (s[k].action != u[k].action || s[k].pick != u[k].pick || s[k].group != u[k].group ||
		    s[k].arg != u[k].arg || s[k].after_ns != u[k].after_ns)
			return 0;
	return 1;
}

static int same_match(const struct gf_image_header *a, uint32_t i, const struct gf_image_header *b, uint32_t j)
{
	const struct gf_match *x = &GF_SEC(struct gf_match, a, GF_SEC_MATCH)[i];
	const struct gf_match *y = &GF_SEC(struct gf_match, b, GF_SEC_MATCH)[j];
	const struct gf_dfa *d = &GF_SEC(struct gf_dfa, a, GF_SEC_DFA)[x->dfa];
	const struct gf_dfa *e = &GF_SEC(struct gf_dfa, b, GF_SEC_DFA)[y->dfa];
	const uint8_t *p = GF_SEC(uint8_t, a, GF_SEC_DFADATA), *q = GF_SEC(uint8_t, b, GF_SEC_DFADATA);

	return x->field == y->field && d->states == e->states && d->classes == e->classes &&
	       !memcmp(p + d->classes_off, q + e->classes_off, 256) &&
	       !memcmp(p + d->accept_off, q + e->accept_off, d->states) &&
	       !memcmp(p + d->trans_off, q + e->trans_off, 2u * d->states * d->classes);
}

int gf_state_plan(const struct gf_image_header *from, const struct gf_image_header *to, struct gf_adoption **ret)
{
	static const int secs[] = { GF_SEC_HOLD, GF_SEC_HIST, GF_SEC_RULE, GF_SEC_MATCH };
	size_t n = 0, olds = 1;
	struct gf_adoption *p;
	uint8_t *used;

	for (size_t k = 0; k < 4; k++) {
		n += to->sec[secs[k]].count;
		olds = GF_MAX(olds, from->sec[secs[k]].count);
	}
	p = malloc(sizeof *p + n * sizeof *p->of);
	used = malloc(olds);
	if (!p || !used) {
		free(p);
		free(used);
		return -ENOMEM;
	}
	p->hold = p->of;
	p->hist = p->hold + to->sec[GF_SEC_HOLD].count;
	p->rule = p->hist + to->sec[GF_SEC_HIST].count;
	p->match = p->rule + to->sec[GF_SEC_RULE].count;
	plan_kind(from, to, GF_SEC_HOLD, same_hold, p->hold, used);
	plan_kind(from, to, GF_SEC_HIST, same_hist, p->hist, used);
	p->rules = plan_kind(from, to, GF_SEC_RULE, same_rule, p->rule, used);
	plan_kind(from, to, GF_SEC_MATCH, same_match, p->match, used);
	free(used);
	*ret = p;
	return 0;
}

uint32_t gf_adoption_rules(const struct gf_adoption *plan)
{
	return plan->rules;
}

const uint32_t *gf_adoption_rule_map(const struct gf_adoption *plan)
{
	return plan->rule;
}

#define SWAP(a, b)                              \
	do {                                    \
		__typeof__(a) swap_x = (a);     \
		(a) = (b);                      \
		(b) = swap_x;                   \
	} while (0)

void gf_state_adopt(struct gf_state *st, struct gf_state *old, const struct gf_adoption *plan)
{
	SWAP(st->row_gen, old->row_gen);
	SWAP(st->row_since, old->row_since);
	SWAP(st->row_tick, old->row_tick);
	SWAP(st->killed_ns, old->killed_ns);
	SWAP(st->killed_gen, old->killed_gen);
	SWAP(st->budget_at, old->budget_at);
	st->budget_head = old->budget_head;
	st->budget_n = old->budget_n;
	st->rows_seen = old->rows_seen;
	st->tick = old->tick;
	st->now_ns = old->now_ns;
	st->last_seq = old->last_seq;
	st->gap = old->gap;
	st->stale_told = old->stale_told;
	st->stale_at = old->stale_at;
	for (uint32_t f = 0; f < GF_SF_COUNT; f++)
		if (st->str_ver[f] && old->str_ver[f])
			SWAP(st->str_ver[f], old->str_ver[f]);
	for (uint32_t k = 0; k < st->img->sec[GF_SEC_HOLD].count; k++)
		if (plan->hold[k] != GF_NONE)
			SWAP(st->hold[k], old->hold[plan->hold[k]]);
	for (uint32_t k = 0; k < st->img->sec[GF_SEC_HIST].count; k++)
		if (plan->hist[k] != GF_NONE)
			SWAP(st->hist[k], old->hist[plan->hist[k]]);
	for (uint32_t k = 0; k < st->img->sec[GF_SEC_RULE].count; k++) {
		if (plan->rule[k] == GF_NONE)
			continue;
		SWAP(st->rule[k], old->rule[plan->rule[k]]);
		SWAP(st->victim[k], old->victim[plan->rule[k]]);
	}
	for (uint32_t k = 0; k < st->img->sec[GF_SEC_MATCH].count; k++) {
		if (plan->match[k] == GF_NONE)
			continue;
		SWAP(st->match[k], old->match[plan->match[k]]);
		st->match_fresh[k] = old->match_fresh[plan->match[k]];
	}
}
