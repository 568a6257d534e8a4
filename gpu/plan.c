/* SPDX-License-Identifier: MIT
 *
 * How a team goes through the programs of a tick: levels.
 *
 * In number order a program may read what those before it produced. Lanes share out rows, each lane always the same ones,
 * and run the programs of a level one after the other over them; so what a program left in a row may be read in that row
 * within the level. What is of all rows (aggregates, trees), or of the host, is there from the next level on.
 */
#include <string.h>

#include "gpu/state.h"

struct levels {
	uint32_t *prog;  /* [tick programs] level of */
	uint32_t last;
	/* by what it is: the level from which on it can be read */
	uint32_t agg[GF_MAX_AGGS], col[2 * GF_MAX_COLS], hist[GF_MAX_HISTS];
};

size_t gf_plan_words(const struct gf_image_header *img)
{
	return 3 * (size_t)img->tick_progs + 2 + img->sec[GF_SEC_HOLD].count + img->sec[GF_SEC_AGG].count;
}

static int task_prog(const struct gf_image_header *img, uint32_t prog)
{
	return GF_SEC(struct gf_prog, img, GF_SEC_PROG)[prog].scope == GF_SCOPE_TASK;
}

/* 1 when what a program reads from there, or leaves there, is of one row. */
static int of_row(const struct gf_image_header *img, enum gf_section sec, uint32_t number)
{
	if (sec == GF_SEC_COL) {
		uint8_t kind = GF_SEC(struct gf_col, img, GF_SEC_COL)[number].kind;
		return kind == GF_COL_VALUE || kind == GF_COL_PRED;
	}
	return sec == GF_SEC_HIST && GF_SEC(struct gf_hist, img, GF_SEC_HIST)[number].scope == GF_SCOPE_TASK;
}

static int names(const struct gf_image_header *img, uint32_t prog, uint8_t op, uint32_t imm)
{
	const struct gf_prog *p = &GF_SEC(struct gf_prog, img, GF_SEC_PROG)[prog];
	const struct gf_insn *code = GF_SEC(struct gf_insn, img, GF_SEC_CODE) + p->code;

	for (uint32_t k = 0; k < p->len; k++)
		if (code[k].op == op && (imm == GF_NONE || code[k].imm == imm))
			return 1;
	return 0;
}

/* Holds that a program of the tick reads and another one advances: in which order is part of what the image means. Rare,
 * so all that touch holds of others are kept in order. */
static int reads_holds(const struct gf_image_header *img, uint32_t prog)
{
	return names(img, prog, GF_OP_CHELD, GF_NONE);
}

static uint32_t level_of(const struct gf_image_header *img, const struct levels *l, uint32_t prog)
{
	const struct gf_prog *p = &GF_SEC(struct gf_prog, img, GF_SEC_PROG)[prog];
	const struct gf_insn *code = GF_SEC(struct gf_insn, img, GF_SEC_CODE) + p->code;
	uint32_t level = 0;

	for (uint32_t k = 0; k < p->len; k++) {
		uint32_t from = 0, imm = code[k].imm;
		if (code[k].op == GF_OP_LDA)
			from = l->agg[imm];
		else if (code[k].op == GF_OP_LDC || code[k].op == GF_OP_LDP)
			from = l->col[imm];
		else if (code[k].op == GF_OP_LDX)
			from = l->hist[imm];
		level = GF_MAX(level, from);
	}
	return level;
}

static void find_levels(const struct gf_image_header *img, struct levels *l)
{
	uint32_t least = 0;

	memset(l->agg, 0, sizeof l->agg);
	memset(l->col, 0, sizeof l->col);
	memset(l->hist, 0, sizeof l->hist);
	l->last = 0;
	for (uint32_t k = 0; k < img->tick_progs; k++) {
		const struct gf_prog *p = &GF_SEC(struct gf_prog, img, GF_SEC_PROG)[k];
		uint32_t level, to;

		/* Before it all that came before, behind it all that comes after. */
		if (reads_holds(img, k))
			least = k ? l->last + 1 : 0;
		level = GF_MAX(least, level_of(img, l, k));
		if (reads_holds(img, k))
			least = level + 1;
		l->prog[k] = level;
		l->last = GF_MAX(l->last, level);
		to = level + 1;
		if (p->sink == GF_SINK_AGG)
			l->agg[p->target] = to;
		else if (p->sink == GF_SINK_COL)
			l->col[p->target] = (of_row(img, GF_SEC_COL, p->target) ? level : to);
		else if (p->sink == GF_SINK_HIST)
			l->hist[p->target] = (of_row(img, GF_SEC_HIST, p->target) ? level : to);
	}
}

static uint32_t what_of(const struct gf_image_header *img, uint32_t prog)
{
	const struct gf_prog *p = &GF_SEC(struct gf_prog, img, GF_SEC_PROG)[prog];

	if (!task_prog(img, prog))
		return 0;
	if (p->sink == GF_SINK_AGG)
		return GF_LEVEL_AGGS | (GF_SEC(struct gf_agg, img, GF_SEC_AGG)[p->target].kind == GF_AGG_SUM ? GF_LEVEL_SUMS : 0);
	return p->sink == GF_SINK_COL && !of_row(img, GF_SEC_COL, p->target) ? GF_LEVEL_COLS : 0;
}

/* 1 when a rule's conditions, or what it runs when it fires, look at how far a hold has come that a condition advances. */
static int rules_in_order(const struct gf_image_header *img)
{
	uint32_t progs = img->sec[GF_SEC_PROG].count, rules = img->sec[GF_SEC_RULE].count;
	const struct gf_rule *rule = GF_SEC(struct gf_rule, img, GF_SEC_RULE);
	const struct gf_term *term = GF_SEC(struct gf_term, img, GF_SEC_TERM);

	for (uint32_t k = img->tick_progs; k < progs; k++) {
		int near = 0;
		if (!reads_holds(img, k))
			continue;
		/* How near a rule is is looked at between ticks. */
		for (uint32_t r = 0; r < rules && !near; r++)
			near = rule[r].close == k && rule[r].cond != k && rule[r].gate != k;
		for (uint32_t i = 0; i < img->sec[GF_SEC_TERM].count && near; i++)
			near = term[i].prog != k;
		if (!near)
			return 1;
	}
	return 0;
}

static uint32_t prog_holds(const struct gf_image_header *img, uint32_t *to)
{
	uint32_t n = 0;

	for (uint32_t k = 0; k < img->tick_progs; k++) {
		const struct gf_prog *p = &GF_SEC(struct gf_prog, img, GF_SEC_PROG)[k];
		const struct gf_insn *code = GF_SEC(struct gf_insn, img, GF_SEC_CODE) + p->code;
		for (uint32_t i = 0; i < p->len; i++)
			if (code[i].op == GF_OP_HELD && n < img->sec[GF_SEC_HOLD].count)
				to[n++] = code[i].imm;
	}
	return n;
}

void gf_plan_make(const struct gf_image_header *img, uint32_t *words, struct gf_work *w)
{
	const struct gf_match *m = GF_SEC(struct gf_match, img, GF_SEC_MATCH);
	uint32_t progs = img->tick_progs, aggs = img->sec[GF_SEC_AGG].count, at = 0;
	struct levels l;

	w->level_at = 0;
	w->level_what = w->level_at + progs + 1;
	w->order = w->level_what + progs;
	w->prog_hold = w->order + progs;
	w->sum = w->prog_hold + img->sec[GF_SEC_HOLD].count;
	l.prog = words + w->level_what; /* until what it is for can be said */
	find_levels(img, &l);
	w->levels = progs ? l.last + 1 : 0;
	memset(words + w->level_at, 0, (progs + 1) * sizeof *words);
	for (uint32_t k = 0; k < progs; k++)
		words[w->level_at + l.prog[k]]++;
	for (uint32_t level = 0; level <= w->levels; level++) {
		uint32_t n = words[w->level_at + level];
		words[w->level_at + level] = at;
		at += n;
	}
	for (uint32_t k = 0; k < progs; k++)
		words[w->order + words[w->level_at + l.prog[k]]++] = k;
	for (uint32_t level = w->levels; level; level--)
		words[w->level_at + level] = words[w->level_at + level - 1];
	words[w->level_at] = 0;
	for (uint32_t level = 0; level < w->levels; level++) {
		uint32_t what = 0;
		for (uint32_t k = words[w->level_at + level]; k < words[w->level_at + level + 1]; k++)
			what |= what_of(img, words[w->order + k]);
		words[w->level_what + level] = what;
	}
	w->prog_holds = prog_holds(img, words + w->prog_hold);
	w->sums = 0;
	for (uint32_t k = 0; k < aggs; k++)
		words[w->sum + k] = GF_SEC(struct gf_agg, img, GF_SEC_AGG)[k].kind == GF_AGG_SUM ? w->sums++ : GF_NONE;
	w->fields = 0;
	for (uint32_t k = 0; k < img->sec[GF_SEC_MATCH].count; k++)
		w->fields |= 1u << m[k].field;
	w->serial = (uint8_t)rules_in_order(img);
	w->fresh = 1;
}

size_t gf_work_layout(const struct gf_image_header *img, uint32_t cap, void *base, struct gf_work *w)
{
	const struct gf_agg *agg = GF_SEC(struct gf_agg, img, GF_SEC_AGG);
	uint32_t aggs = img->sec[GF_SEC_AGG].count, rules = img->sec[GF_SEC_RULE].count, sums = 0;
	uintptr_t at = (uintptr_t)base;

	for (uint32_t k = 0; k < aggs; k++)
		sums += agg[k].kind == GF_AGG_SUM;
#define PLACE(p, n) ((p) = (__typeof__(p))at, at += (sizeof *(p) * (size_t)(n) + 15) / 16 * 16)
	PLACE(w->acc, aggs);
	PLACE(w->x, (size_t)sums * cap);
	PLACE(w->part, (size_t)sums * (cap / GF_REDUCE));
	PLACE(w->top, rules);
	PLACE(w->open, rules);
	PLACE(w->want, (rules + 31) / 32);
	PLACE(w->rank, cap);
	PLACE(w->list[0], cap / GF_TOP_GROUP * GF_TOP_MAX);
	PLACE(w->list[1], cap / GF_TOP_GROUP * GF_TOP_MAX);
	PLACE(w->merged[0], (cap / GF_TOP_GROUP + GF_TOP_FAN - 1) / GF_TOP_FAN * GF_TOP_MAX);
	PLACE(w->merged[1], (cap / GF_TOP_GROUP + GF_TOP_FAN - 1) / GF_TOP_FAN * GF_TOP_MAX);
	PLACE(w->arrived, cap / GF_TOP_GROUP);
#undef PLACE
	return (size_t)(at - (uintptr_t)base);
}
