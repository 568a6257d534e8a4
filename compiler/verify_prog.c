/* SPDX-License-Identifier: MIT
 *
 * The verifier's look at code. One pass a program: there are no loops, so when
 * an instruction is reached all that can lead to it has been seen.
 *
 * Short cuts: whether JAF or JAT jumps depends on which rows share a chunk, and
 * results must not. So after a jump's target every register written between the
 * two counts as not written, but for the one that was tested: it may be ANDed
 * (JAF; JAT: ORed) with more, which gives the same when the jump would be taken.
 */
#include <string.h>

#include "compiler/verify.h"

struct flow {
	struct verify *v;
	const struct gf_prog *prog;
	uint32_t number;
	uint32_t at;                 /* instruction, from the program's first */
	uint32_t v_def, p_def;       /* bit a register: written on every path */
	uint32_t v_last[GF_VREGS];   /* instruction + 1 that wrote it last */
	uint32_t p_last[GF_PREGS];
	uint32_t p_and[GF_PREGS];    /* the same, AND with itself left out */
	uint32_t p_or[GF_PREGS];     /* the same, OR with itself left out */
	uint32_t last_target;        /* of any jump so far */
	uint32_t jump[GF_MAX_PROG_LEN];  /* to an instruction: last jump + 1 that goes there */
	uint32_t chain[GF_MAX_PROG_LEN]; /* of a jump: another one to the same place, + 1 */
	uint32_t v_at[GF_MAX_PROG_LEN], p_at[GF_MAX_PROG_LEN]; /* written, at a jump */
};

#define BAD(f, fmt, ...) vf_bad((f)->v, "program %u, instruction %u: " fmt, (f)->number, (f)->at, ##__VA_ARGS__)

enum { OPERAND_V_D = 1, OPERAND_P_D = 2, OPERAND_V_A = 4, OPERAND_P_A = 8, OPERAND_V_B = 16, OPERAND_P_B = 32, OPERAND_IMM = 64 };

static const uint8_t operands[] = {
	[GF_FORM_END] = 0,
	[GF_FORM_V_F] = OPERAND_V_D | OPERAND_IMM, [GF_FORM_V_H] = OPERAND_V_D | OPERAND_IMM, [GF_FORM_V_K] = OPERAND_V_D | OPERAND_IMM,
	[GF_FORM_V_A] = OPERAND_V_D | OPERAND_IMM, [GF_FORM_V_C] = OPERAND_V_D | OPERAND_IMM, [GF_FORM_V_X] = OPERAND_V_D | OPERAND_IMM,
	[GF_FORM_V_VV] = OPERAND_V_D | OPERAND_V_A | OPERAND_V_B, [GF_FORM_V_V] = OPERAND_V_D | OPERAND_V_A,
	[GF_FORM_V_P] = OPERAND_V_D | OPERAND_P_A, [GF_FORM_V_O] = OPERAND_V_D | OPERAND_IMM,
	[GF_FORM_P_VV] = OPERAND_P_D | OPERAND_V_A | OPERAND_V_B, [GF_FORM_P_V] = OPERAND_P_D | OPERAND_V_A,
	[GF_FORM_P_PP] = OPERAND_P_D | OPERAND_P_A | OPERAND_P_B, [GF_FORM_P_P] = OPERAND_P_D | OPERAND_P_A,
	[GF_FORM_P_I] = OPERAND_P_D | OPERAND_IMM, [GF_FORM_P_M] = OPERAND_P_D | OPERAND_IMM, [GF_FORM_P_C] = OPERAND_P_D | OPERAND_IMM,
	[GF_FORM_P_PO] = OPERAND_P_D | OPERAND_P_A | OPERAND_IMM, [GF_FORM_P_PPO] = OPERAND_P_D | OPERAND_P_A | OPERAND_P_B | OPERAND_IMM,
	[GF_FORM_J_P] = OPERAND_P_A | OPERAND_IMM,
};

static int read_v(struct flow *f, uint32_t reg)
{
	if (reg >= GF_VREGS)
		return BAD(f, "there is no register V%u", reg);
	return f->v_def >> reg & 1 ? 0 : BAD(f, "V%u is read before it is written (or after a jump over that)", reg);
}

static int read_p(struct flow *f, uint32_t reg)
{
	if (reg >= GF_PREGS)
		return BAD(f, "there is no register P%u", reg);
	return f->p_def >> reg & 1 ? 0 : BAD(f, "P%u is read before it is written (or after a jump over that)", reg);
}

/* One operand: a register of a kind, read; or none, zero. */
static int operand(struct flow *f, uint8_t has, uint8_t as_v, uint8_t as_p, uint32_t reg)
{
	if (has & as_v)
		return read_v(f, reg);
	if (has & as_p)
		return read_p(f, reg);
	return reg ? BAD(f, "an operand that this instruction does not have is not zero") : 0;
}

static int check_index(struct flow *f, uint32_t imm, uint32_t n, const char *what)
{
	return imm < n ? 0 : BAD(f, "there is no %s %u", what, imm);
}

/* Something that a tick produces is read: it must be there by then. */
static int check_produced(struct flow *f, uint32_t by, const char *what, uint32_t imm)
{
	if (!by)
		return BAD(f, "%s %u is read and nothing produces it", what, imm);
	if (f->number < f->v->h->tick_progs && by - 1 >= f->number)
		return BAD(f, "%s %u is read before program %u produces it", what, imm, by - 1);
	return 0;
}

static int need_task(struct flow *f, bool task)
{
	return task && f->prog->scope != GF_SCOPE_TASK ? BAD(f, "a program in host scope reads a task") : 0;
}

static int check_column(struct flow *f, uint32_t imm, bool value)
{
	int r = check_index(f, imm, f->v->n[GF_SEC_COL], "column");
	if (r < 0 || (r = need_task(f, true)) < 0)
		return r;
	if ((GF_SEC(struct gf_col, f->v->h, GF_SEC_COL)[imm].kind <= GF_COL_TREE) != value)
		return BAD(f, "column %u is not of the kind that is read", imm);
	return check_produced(f, f->v->col_by[imm], "column", imm);
}

static int check_hist(struct flow *f, uint32_t imm)
{
	int r = check_index(f, imm, f->v->n[GF_SEC_HIST], "history");
	if (r < 0 || (r = need_task(f, GF_SEC(struct gf_hist, f->v->h, GF_SEC_HIST)[imm].scope == GF_SCOPE_TASK)) < 0)
		return r;
	return check_produced(f, f->v->hist_by[imm], "history", imm);
}

static int check_hold(struct flow *f, const struct gf_insn *in)
{
	int r = check_index(f, in->imm, f->v->n[GF_SEC_HOLD], "hold");
	if (r < 0)
		return r;
	const struct gf_hold *h = &GF_SEC(struct gf_hold, f->v->h, GF_SEC_HOLD)[in->imm];
	if (in->op == GF_OP_CHELD)
		return need_task(f, h->scope == GF_SCOPE_TASK);
	if (h->scope != f->prog->scope)
		return BAD(f, "hold %u is of another scope than the program that advances it", in->imm);
	if ((h->kind == GF_HOLD_LATCH) != (in->op == GF_OP_LATCH))
		return BAD(f, "hold %u is not of the kind that is advanced", in->imm);
	if (f->v->updated[in->imm]++)
		return BAD(f, "hold %u is advanced at two places", in->imm);
	if (f->last_target > f->at)
		return BAD(f, "a jump leads past the advancing of hold %u", in->imm);
	f->v->advances[f->number] = 1;
	return 0;
}

static int check_field(struct flow *f, uint32_t imm, uint32_t n, uint64_t set)
{
	int r = check_index(f, imm, n, "field");
	if (r < 0)
		return r;
	return set >> imm & 1 ? 0 : BAD(f, "field %u is read and not in the field set", imm);
}

/* A task field, or behind those a kernel path. */
static int check_column_of_sample(struct flow *f, uint32_t imm)
{
	const struct gf_fieldset *s = &f->v->h->fields;
	int r = need_task(f, true);
	if (r < 0 || imm < GF_TF_COUNT)
		return r < 0 ? r : check_field(f, imm, GF_TF_COUNT, s->task);
	return check_index(f, imm, GF_TF_COUNT + s->paths, "field");
}

static int check_imm(struct flow *f, const struct gf_insn *in)
{
	const struct gf_image_header *h = f->v->h;
	int r;
	switch (gf_op_info[in->op].form) {
	case GF_FORM_V_F:
		return check_column_of_sample(f, in->imm);
	case GF_FORM_V_H:
		return check_field(f, in->imm, GF_HF_COUNT, h->fields.host);
	case GF_FORM_V_K:
		return check_index(f, in->imm, f->v->n[GF_SEC_CONST], "constant");
	case GF_FORM_V_A:
		r = check_index(f, in->imm, f->v->n[GF_SEC_AGG], "aggregate");
		return r < 0 ? r : check_produced(f, f->v->agg_by[in->imm], "aggregate", in->imm);
	case GF_FORM_V_C:
		return check_column(f, in->imm, true);
	case GF_FORM_P_C:
		return check_column(f, in->imm, false);
	case GF_FORM_V_X:
		return check_hist(f, in->imm);
	case GF_FORM_P_M:
		return (r = need_task(f, true)) < 0 ? r : check_index(f, in->imm, f->v->n[GF_SEC_MATCH], "match");
	case GF_FORM_P_I:
		return in->imm <= GF_TRUE ? 0 : BAD(f, "%u is no truth value", in->imm);
	case GF_FORM_V_O: case GF_FORM_P_PO: case GF_FORM_P_PPO:
		return check_hold(f, in);
	default:
		return 0;
	}
}

static int check_jump(struct flow *f, const struct gf_insn *in)
{
	if (in->imm <= f->at || in->imm >= f->prog->len)
		return BAD(f, "a jump to %u; jumps go forward and stay in the program", in->imm);
	f->chain[f->at] = f->jump[in->imm];
	f->jump[in->imm] = f->at + 1;
	f->v_at[f->at] = f->v_def;
	f->p_at[f->at] = f->p_def;
	f->last_target = GF_MAX(f->last_target, in->imm);
	return 0;
}

/* Paths meet here: keeps as written only what is so on all of them, alike. */
static void join(struct flow *f, const struct gf_insn *code)
{
	for (uint32_t j = f->jump[f->at]; j; j = f->chain[j - 1]) {
		const struct gf_insn *in = &code[j - 1];
		f->v_def &= f->v_at[j - 1];
		f->p_def &= f->p_at[j - 1];
		for (uint32_t k = 0; k < GF_VREGS; k++)
			if (f->v_last[k] > j)
				f->v_def &= ~(1u << k);
		for (uint32_t k = 0; k < GF_PREGS; k++) {
			uint32_t last = k != in->a ? f->p_last[k] : in->op == GF_OP_JAF ? f->p_and[k] : f->p_or[k];
			if (last > j)
				f->p_def &= ~(1u << k);
		}
	}
}

static void write_result(struct flow *f, const struct gf_insn *in, uint8_t has)
{
	uint32_t now = f->at + 1;
	bool self = in->a == in->d || in->b == in->d;
	if (has & OPERAND_V_D) {
		f->v_def |= 1u << in->d;
		f->v_last[in->d] = now;
	} else if (has & OPERAND_P_D) {
		f->p_def |= 1u << in->d;
		f->p_last[in->d] = now;
		if (!(in->op == GF_OP_AND && self))
			f->p_and[in->d] = now;
		if (!(in->op == GF_OP_OR && self))
			f->p_or[in->d] = now;
	}
}

static int check_end(struct flow *f, const struct gf_insn *in)
{
	int r = 0;
	if (f->at != f->prog->len - 1)
		return BAD(f, "end stands before the program's last instruction");
	if (!in->d || in->d > (GF_END_P | GF_END_V | GF_END_V2))
		return BAD(f, "end with results %u", in->d);
	if ((!(in->d & GF_END_P) && in->a) || (!(in->d & GF_END_V) && in->b) || (!(in->d & GF_END_V2) && in->imm))
		return BAD(f, "an operand that this instruction does not have is not zero");
	if (in->d & GF_END_P)
		r = read_p(f, in->a);
	if (r == 0 && in->d & GF_END_V)
		r = read_v(f, in->b);
	if (r == 0 && in->d & GF_END_V2)
		r = read_v(f, in->imm);
	f->v->results[f->number] = in->d;
	return r;
}

static int check_insn(struct flow *f, const struct gf_insn *in)
{
	int r;
	if (in->op >= GF_OP_COUNT)
		return BAD(f, "there is no opcode %u", in->op);
	uint8_t has = operands[gf_op_info[in->op].form];
	if (in->op == GF_OP_END)
		return check_end(f, in);
	if (f->at == f->prog->len - 1)
		return BAD(f, "the program does not end");
	if ((has & (OPERAND_V_D | OPERAND_P_D) ? in->d >= GF_VREGS : in->d != 0))
		return BAD(f, "register %u as destination", in->d);
	if ((r = operand(f, has, OPERAND_V_A, OPERAND_P_A, in->a)) < 0 || (r = operand(f, has, OPERAND_V_B, OPERAND_P_B, in->b)) < 0)
		return r;
	if (!(has & OPERAND_IMM) && in->imm)
		return BAD(f, "an operand that this instruction does not have is not zero");
	if ((r = check_imm(f, in)) < 0)
		return r;
	if (in->op == GF_OP_JAF || in->op == GF_OP_JAT)
		return check_jump(f, in);
	write_result(f, in, has);
	return 0;
}

static int check_code(struct flow *f)
{
	const struct gf_insn *code = GF_SEC(struct gf_insn, f->v->h, GF_SEC_CODE) + f->prog->code;
	size_t n = f->prog->len * sizeof *f->jump;
	f->v_def = f->p_def = f->last_target = 0;
	memset(f->v_last, 0, sizeof f->v_last);
	memset(f->p_last, 0, sizeof f->p_last);
	memset(f->p_and, 0, sizeof f->p_and);
	memset(f->p_or, 0, sizeof f->p_or);
	memset(f->jump, 0, n);
	for (f->at = 0; f->at < f->prog->len; f->at++) {
		join(f, code);
		int r = check_insn(f, &code[f->at]);
		if (r < 0)
			return r;
	}
	return 0;
}

/* Notes which program produces what. */
static int check_sink(struct verify *v, uint32_t i, const struct gf_prog *p)
{
	const struct gf_hist *hist = GF_SEC(struct gf_hist, v->h, GF_SEC_HIST);
	const struct gf_agg *agg = GF_SEC(struct gf_agg, v->h, GF_SEC_AGG);
	uint32_t n, *by, scope = GF_SCOPE_TASK;
	if ((p->sink != GF_SINK_NONE) != (i < v->h->tick_progs) || (p->sink == GF_SINK_NONE && p->target))
		return vf_bad(v, "program %u: programs of a tick, and only they, produce something", i);
	switch (p->sink) {
	case GF_SINK_NONE:
		return 0;
	case GF_SINK_AGG:
		n = v->n[GF_SEC_AGG];
		by = v->agg_by;
		if (p->target < n && agg[p->target].kind == GF_AGG_HOST)
			scope = GF_SCOPE_HOST;
		break;
	case GF_SINK_COL:
		n = v->n[GF_SEC_COL];
		by = v->col_by;
		break;
	case GF_SINK_HIST:
		n = v->n[GF_SEC_HIST];
		by = v->hist_by;
		if (p->target < n)
			scope = hist[p->target].scope;
		break;
	default:
		return vf_bad(v, "program %u: no such kind of result: %u", i, p->sink);
	}
	if (p->target >= n)
		return vf_bad(v, "program %u produces something that is not there", i);
	if (by[p->target])
		return vf_bad(v, "programs %u and %u produce the same", by[p->target] - 1, i);
	if (p->scope != scope)
		return vf_bad(v, "program %u is not in the scope of what it produces", i);
	by[p->target] = i + 1;
	return 0;
}

static int check_table(struct verify *v)
{
	const struct gf_prog *p = GF_SEC(struct gf_prog, v->h, GF_SEC_PROG);
	uint32_t at = 0;
	int r = 0;
	if (v->h->tick_progs > v->n[GF_SEC_PROG])
		return vf_bad(v, "more programs run every tick than there are");
	for (uint32_t i = 0; r == 0 && i < v->n[GF_SEC_PROG]; i++) {
		if (p[i].code != at || !p[i].len || p[i].len > GF_MAX_PROG_LEN || p[i].len > v->n[GF_SEC_CODE] - at)
			return vf_bad(v, "program %u: its code is not where it should be, or too long", i);
		if (p[i].scope > GF_SCOPE_TASK || p[i].reserved)
			return vf_bad(v, "program %u: no such scope", i);
		at += p[i].len;
		r = check_sink(v, i, &p[i]);
	}
	if (r == 0 && at != v->n[GF_SEC_CODE])
		return vf_bad(v, "there is code that belongs to no program");
	return r;
}

/* The results that what a program produces needs. */
static uint8_t wanted(const struct verify *v, const struct gf_prog *p)
{
	if (p->sink == GF_SINK_AGG) {
		switch (GF_SEC(struct gf_agg, v->h, GF_SEC_AGG)[p->target].kind) {
		case GF_AGG_COUNT: case GF_AGG_ANY:
			return GF_END_P;
		case GF_AGG_HOST:
			return GF_END_V;
		default:
			return GF_END_P | GF_END_V;
		}
	}
	if (p->sink == GF_SINK_COL && GF_SEC(struct gf_col, v->h, GF_SEC_COL)[p->target].kind > GF_COL_TREE)
		return GF_END_P;
	return GF_END_V;
}

int vf_programs(struct verify *v)
{
	const struct gf_prog *p = GF_SEC(struct gf_prog, v->h, GF_SEC_PROG);
	struct flow f = { .v = v };
	int r = check_table(v);
	for (uint32_t i = 0; r == 0 && i < v->n[GF_SEC_PROG]; i++) {
		f.prog = &p[i];
		f.number = i;
		r = check_code(&f);
		if (r == 0 && i < v->h->tick_progs && v->results[i] != wanted(v, &p[i]))
			r = vf_bad(v, "program %u: its results are not what it produces", i);
	}
	return r;
}
