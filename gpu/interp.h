/* SPDX-License-Identifier: MIT
 *
 * The interpreter: one program over a chunk of n rows. Each opcode is a loop over
 * the rows, which gcc vectorises where n is GF_WIDTH; on the device n is 1.
 *
 * A program that gf_verify() has passed cannot leave its tables: registers are
 * numbered 0..15, every imm was checked against its section, jumps go forward.
 * Columns that the sample lacks read as unknown.
 */
#ifndef GPUFAS_INTERP_H
#define GPUFAS_INTERP_H

#include "gpu/compare.h"
#include "gpu/hist.h"
#include "gpu/hold.h"
#include "gpu/state.h"

#if defined(__CUDACC__)
#define GF_IVDEP
#define GF_LT(a, b) ((a) < (b))
#define GF_LE(a, b) ((a) <= (b))
#else
/* Quiet comparisons: < and <= raise the invalid flag for a NaN, which nobody
 * reads, but which keeps gcc from making vectors of them. */
#define GF_LT(a, b) __builtin_isless((a), (b))
#define GF_LE(a, b) __builtin_islessequal((a), (b))
/* Source and destination may be the same register, never shifted: no lane
 * depends on another. */
#define GF_IVDEP _Pragma("GCC ivdep")
#endif
#define GF_LANES GF_IVDEP for (uint32_t i = 0; i < n; i++)

/* What a running program can reach, with the sections looked up once. */
struct gf_ctx {
	const struct gf_image_header *img;
	const struct gf_sample *s;
	struct gf_state *st;
	uint64_t now; /* the sample's time; never 0 */
	const struct gf_insn *code;
	const double *konst;
	const struct gf_prog *prog;
	const struct gf_hist *hist;
	const struct gf_hold *hold;
	const struct gf_rule *rule;
	const struct gf_step *step;
};

GF_INLINE void gf_ctx_init(struct gf_ctx *c, const struct gf_sample *s, struct gf_state *st)
{
	const struct gf_image_header *img = st->img;

	c->img = img;
	c->s = s;
	c->st = st;
	c->now = s->now_ns ? s->now_ns : 1;
	c->code = GF_SEC(struct gf_insn, img, GF_SEC_CODE);
	c->konst = GF_SEC(double, img, GF_SEC_CONST);
	c->prog = GF_SEC(struct gf_prog, img, GF_SEC_PROG);
	c->hist = GF_SEC(struct gf_hist, img, GF_SEC_HIST);
	c->hold = GF_SEC(struct gf_hold, img, GF_SEC_HOLD);
	c->rule = GF_SEC(struct gf_rule, img, GF_SEC_RULE);
	c->step = GF_SEC(struct gf_step, img, GF_SEC_STEP);
}

#if GF_WIDTH > 1
struct gf_regs {
	double v[GF_VREGS][GF_WIDTH];
	uint8_t p[GF_PREGS][GF_WIDTH];
	const double *at[GF_VREGS]; /* where V[k] is: v[k], or a column that needs no copy */
};

/* Results of a program: n lanes each, inside the registers or columns. */
struct gf_result {
	const uint8_t *p;
	const double *v, *v2;
};

#define GF_REG_AT(r, k) ((r)->at[(k) & 15])
#define GF_REG_SET(r, k, from) ((r)->at[(k) & 15] = (from))
#define GF_RESULT_NONE { NULL, NULL, NULL }
#else
/* One row, or a few: a copy is as cheap as a pointer. Each lane has registers of its own, gone when the program ends. */
struct gf_regs {
	double v[GF_VREGS][GF_LANE_ROWS] __attribute__((aligned(32))); /* loads and stores of two rows at a time */
	uint8_t p[GF_PREGS][GF_LANE_ROWS];
};

struct gf_result {
	uint8_t p[GF_LANE_ROWS];
	double v[GF_LANE_ROWS], v2[GF_LANE_ROWS];
};

#define GF_REG_AT(r, k) ((const double *)(r)->v[(k) & 15])
#define GF_REG_SET(r, k, from) gf_copy((r)->v[(k) & 15], (from), n)
#define GF_RESULT_NONE { { 0 }, { 0 }, { 0 } }
#endif

GF_INLINE void gf_copy(double *to, const double *from, const uint32_t n)
{
#if defined(__CUDA_ARCH__)
	/* Columns are aligned, and so are rows that are taken so many at a time. */
	if (n == GF_LANE_ROWS) {
		const double2 *f = (const double2 *)(const void *)from;
		double2 x = f[0], y = f[1];
		((double2 *)(void *)to)[0] = x;
		((double2 *)(void *)to)[1] = y;
		return;
	}
#endif
	for (uint32_t i = 0; i < n; i++)
		to[i] = from[i];
}

#define GF_NEAR 0.9999999 /* as near as not yet true can be */

/* How near a > b is. Plain IEEE operations only: the same bits everywhere. What is
 * not known is not near: it must not hide the other half of an `or`. */
GF_CALLED double gf_near_gt(double a, double b)
{
	double q = 0;

	if (a != a || b != b)
		return 0;
	if (a > b)
		return 1;
	if (a == b)
		return GF_NEAR;
	if (b > 0)
		q = a > 0 ? a / b : 0;
	else if (b < 0)
		q = b / a;
	return q < GF_NEAR ? q : GF_NEAR;
}

GF_CALLED double gf_near_eq(double a, double b)
{
	double x = a < 0 ? -a : a + 0.0, y = b < 0 ? -b : b + 0.0, q; /* -0 becomes 0 */

	if (a != a || b != b)
		return 0;
	if (a == b)
		return 1;
	if ((a < 0) != (b < 0))
		return 0;
	q = x < y ? x / y : y / x;
	return q < GF_NEAR ? q : GF_NEAR;
}

GF_INLINE void gf_fill(double *d, double x, const uint32_t n)
{
	GF_LANES
		d[i] = x;
}

/* What a number of the interpreter's own goes into: from now on V[k] is v[k]. */
#if GF_WIDTH > 1
#define GF_REG_OWN(r, k) ((r)->at[(k) & 15] = (r)->v[(k) & 15])
#else
#define GF_REG_OWN(r, k) ((void)0)
#endif

/* What is long and seldom wanted: on a device a function of its own, so that the rest of the interpreter stays in its instruction caches. */
GF_CALLED void gf_interp_hist(const struct gf_ctx *c, uint32_t imm, uint32_t base, const uint32_t n, double *d)
{
	gf_hist_read(&c->hist[imm], &c->st->hist[imm], c->now, base, n, d);
}

GF_CALLED void gf_interp_share(const struct gf_ctx *c, uint32_t imm, uint32_t base, const uint32_t n, double *d)
{
	gf_hold_share(&c->hold[imm], &c->st->hold[imm], c->now, c->st->tick, base, n, d);
}

GF_CALLED void gf_interp_held(const struct gf_ctx *c, uint32_t imm, uint32_t base, const uint32_t n, const uint8_t *p, uint8_t *d)
{
	gf_hold_update(&c->hold[imm], &c->st->hold[imm], c->st, c->now, base, n, p, d);
}

GF_CALLED void gf_interp_latch(const struct gf_ctx *c, uint32_t imm, uint32_t base, const uint32_t n, const uint8_t *on, const uint8_t *off,
			       uint8_t *d)
{
	gf_latch_update(&c->hold[imm], &c->st->hold[imm], c->st, base, n, on, off, d);
}

/* One opcode. d, a, b: numbers; t, p, q: truth. */
GF_INLINE void gf_interp_op(const struct gf_ctx *c, struct gf_insn in, uint32_t base, const uint32_t n, struct gf_regs *r)
{
	double *d = r->v[in.d & 15];
	const double *a = GF_REG_AT(r, in.a), *b = GF_REG_AT(r, in.b), *col;
	uint8_t *t = r->p[in.d & 15];
	const uint8_t *p = r->p[in.a & 15], *q = r->p[in.b & 15], *is;

	switch (in.op) {
	/* numbers from elsewhere */
	case GF_OP_LDF:
		GF_REG_OWN(r, in.d);
		col = c->s->col[in.imm];
		if (col)
			GF_REG_SET(r, in.d, col + base);
		else
			gf_fill(d, gf_unknown(), n);
		break;
	case GF_OP_LDC:
		GF_REG_SET(r, in.d, c->st->vcol[in.imm] + base);
		break;
	case GF_OP_LDH:
		GF_REG_OWN(r, in.d);
		gf_fill(d, c->s->host[in.imm], n);
		break;
	case GF_OP_LDK:
		GF_REG_OWN(r, in.d);
		gf_fill(d, c->konst[in.imm], n);
		break;
	case GF_OP_LDA:
		GF_REG_OWN(r, in.d);
		gf_fill(d, c->st->agg[in.imm], n);
		break;
	case GF_OP_LDX:
		GF_REG_OWN(r, in.d);
		gf_interp_hist(c, in.imm, base, n, d);
		break;
	case GF_OP_CHELD:
		GF_REG_OWN(r, in.d);
		gf_interp_share(c, in.imm, base, n, d);
		break;

	/* comparisons, and truth from truth */
	case GF_OP_LT:
		gf_compare(GF_REL_LT, t, a, b, n);
		break;
	case GF_OP_LE:
		gf_compare(GF_REL_LE, t, a, b, n);
		break;
	case GF_OP_GT:
		gf_compare(GF_REL_LT, t, b, a, n);
		break;
	case GF_OP_GE:
		gf_compare(GF_REL_LE, t, b, a, n);
		break;
	case GF_OP_EQ:
		gf_compare(GF_REL_EQ, t, a, b, n);
		break;
	case GF_OP_NE:
		gf_compare(GF_REL_NE, t, a, b, n);
		break;
	case GF_OP_AND:
		GF_LANES t[i] = GF_MIN(p[i], q[i]);
		break;
	case GF_OP_OR:
		GF_LANES t[i] = GF_MAX(p[i], q[i]);
		break;
	case GF_OP_NOT:
		GF_LANES t[i] = (uint8_t)(2 - p[i]);
		break;
	case GF_OP_PSET:
		GF_LANES t[i] = (uint8_t)in.imm;
		break;
	case GF_OP_KNOWN:
		GF_LANES t[i] = (uint8_t)(a[i] == a[i] ? GF_TRUE : GF_FALSE);
		break;

	/* truth that is kept in tables */
	case GF_OP_MATCH:
		is = c->st->match[in.imm] + base;
		GF_LANES t[i] = is[i];
		break;
	case GF_OP_LDP:
		is = c->st->pcol[in.imm] + base;
		GF_LANES t[i] = is[i];
		break;
	case GF_OP_HELD:
		gf_interp_held(c, in.imm, base, n, p, t);
		break;
	case GF_OP_LATCH:
		gf_interp_latch(c, in.imm, base, n, p, q, t);
		break;

	/* numbers from numbers */
	case GF_OP_ADD:
		GF_REG_OWN(r, in.d);
		GF_LANES d[i] = a[i] + b[i];
		break;
	case GF_OP_SUB:
		GF_REG_OWN(r, in.d);
		GF_LANES d[i] = a[i] - b[i];
		break;
	case GF_OP_MUL:
		GF_REG_OWN(r, in.d);
		GF_LANES d[i] = a[i] * b[i];
		break;
	case GF_OP_DIV:
		GF_REG_OWN(r, in.d);
		GF_LANES d[i] = b[i] == 0 ? gf_unknown() : a[i] / b[i];
		break;
	case GF_OP_MIN:
		GF_REG_OWN(r, in.d);
		GF_LANES d[i] = a[i] != a[i] ? a[i] : (GF_LT(a[i], b[i]) ? a[i] : b[i]);
		break;
	case GF_OP_MAX:
		GF_REG_OWN(r, in.d);
		GF_LANES d[i] = a[i] != a[i] ? a[i] : (GF_LT(b[i], a[i]) ? a[i] : b[i]);
		break;
	case GF_OP_NEG:
		GF_REG_OWN(r, in.d);
		GF_LANES d[i] = -a[i];
		break;
	case GF_OP_CGT:
		GF_REG_OWN(r, in.d);
		GF_LANES d[i] = gf_near_gt(a[i], b[i]);
		break;
	case GF_OP_CLT:
		GF_REG_OWN(r, in.d);
		GF_LANES d[i] = gf_near_gt(b[i], a[i]);
		break;
	case GF_OP_CEQ:
		GF_REG_OWN(r, in.d);
		GF_LANES d[i] = gf_near_eq(a[i], b[i]);
		break;
	case GF_OP_PV:
		GF_REG_OWN(r, in.d);
		GF_LANES d[i] = p[i] == GF_UNKNOWN ? gf_unknown() : (p[i] == GF_TRUE ? 1.0 : 0.0);
		break;
	case GF_OP_CPV:
		GF_REG_OWN(r, in.d);
		GF_LANES d[i] = p[i] == GF_TRUE ? 1.0 : 0.0;
		break;
	default:
		break;
	}
}

/* 1 when all n lanes of p are x. */
GF_INLINE int gf_all(const uint8_t *p, uint8_t x, const uint32_t n)
{
	uint8_t diff = 0;

	for (uint32_t i = 0; i < n; i++)
		diff |= (uint8_t)(p[i] ^ x);
	return diff == 0;
}

/* Runs a program over rows [base, base + n). n is GF_WIDTH, or 1. */
GF_INLINE void gf_interp(const struct gf_ctx *c, uint32_t prog, uint32_t base, const uint32_t n,
			 struct gf_regs *r, struct gf_result *ret)
{
	const struct gf_prog *pr = &c->prog[prog];
	const struct gf_insn *code = c->code + pr->code;
	struct gf_insn in = code[pr->len - 1], next = code[0];
	uint32_t pc = 0;

#if GF_WIDTH > 1
	for (uint32_t k = 0; k < GF_VREGS; k++)
		r->at[k] = r->v[k];
#endif
	while (pc < pr->len) {
		in = next;
		if (in.op == GF_OP_END)
			break;
		/* Under way while this one is done; the last is an END. */
		next = code[++pc];
		if (in.op == GF_OP_JAF || in.op == GF_OP_JAT) {
			uint8_t x = in.op == GF_OP_JAF ? GF_FALSE : GF_TRUE;
			if (in.imm > pc && gf_all(r->p[in.a & 15], x, n)) {
				pc = in.imm;
				next = code[pc];
			}
			continue;
		}
		gf_interp_op(c, in, base, n, r);
	}
#if GF_WIDTH > 1
	ret->p = r->p[in.a & 15];
	ret->v = r->at[in.b & 15];
	ret->v2 = r->at[in.imm & 15];
#else
	for (uint32_t i = 0; i < n; i++) {
		ret->p[i] = r->p[in.a & 15][i];
		ret->v[i] = r->v[in.b & 15][i];
		ret->v2[i] = r->v[in.imm & 15][i];
	}
#endif
}

#if GF_WIDTH > 1
/* The CPU engine replaces this by the same function built for the machine's
 * widest vectors; nothing else differs. */
#ifndef GF_RUN_CHUNK
GF_INLINE void gf_run_chunk(const struct gf_ctx *c, uint32_t prog, uint32_t base, struct gf_regs *r,
			    struct gf_result *ret)
{
	gf_interp(c, prog, base, GF_WIDTH, r, ret);
}
#define GF_RUN_CHUNK gf_run_chunk
#endif

/* One row, or (row 0) a program of host scope. */
static GF_HD __attribute__((noinline, unused)) void gf_run_one(const struct gf_ctx *c, uint32_t prog, uint32_t row,
							struct gf_regs *r, struct gf_result *ret)
{
	gf_interp(c, prog, row, 1, r, ret);
}
#else
static GF_HD __attribute__((noinline, unused)) void gf_run_lane(const struct gf_ctx *c, uint32_t prog, uint32_t row,
							 struct gf_result *ret)
{
	struct gf_regs r;

	gf_interp(c, prog, row, 1, &r, ret);
}

/* GF_LANE_ROWS rows from `row` on. */
static GF_HD __attribute__((noinline, unused)) void gf_run_rows(const struct gf_ctx *c, uint32_t prog, uint32_t row,
							 struct gf_result *ret)
{
	struct gf_regs r;

	gf_interp(c, prog, row, GF_LANE_ROWS, &r, ret);
}
#define GF_RUN_CHUNK(c, prog, base, r, ret) gf_run_lane((c), (prog), (base), (ret))
#define gf_run_one(c, prog, row, r, ret) gf_run_lane((c), (prog), (row), (ret))
#endif

#endif
