/* SPDX-License-Identifier: MIT
 *
 * Nodes: their hashes, and the ranges that their values can have.
 *
 * A range is that of known values; an unknown operand makes a comparison
 * unknown whatever the range says, so "always true" here means "never false".
 */
#include "compiler/sema_int.h"

static uint64_t mix(uint64_t h, uint64_t v)
{
	h ^= v + 0x9e3779b97f4a7c15ull + (h << 6) + (h >> 2);
	h ^= h >> 32;
	h *= 0xd6e8feb86659fd93ull;
	return h ^ (h >> 32);
}

static uint64_t bits(double v)
{
	uint64_t u;

	if (v == 0)
		v = 0; /* -0 and 0 compare equal */
	memcpy(&u, &v, sizeof u);
	return u;
}

void gf_node_rehash(struct gf_node *n)
{
	uint64_t h = mix(0x67665f6e6f6465ull, (uint64_t)n->kind);

	h = mix(h, n->id);
	h = mix(h, bits(n->num));
	h = mix(h, n->window_ns);
	h = mix(h, n->count);
	if (n->pattern) {
		for (const char *p = n->pattern; *p; p++)
			h = mix(h, (unsigned char)*p);
		h = mix(h, 0x100);
	}
	for (int i = 0; i < 2; i++)
		h = mix(h, n->kid[i] ? n->kid[i]->hash : 1);
	n->hash = h;
	if (!gf_node_is_pred(n))
		return;
	gf_sn(n)->key = h;
	switch (n->kind) {
	case GF_N_TRUE:
	case GF_N_FALSE:
	case GF_N_AND:
	case GF_N_OR:
	case GF_N_NOT:
	case GF_N_HELD:
		break; /* not leaves: they have the bits of what they join */
	default:
		gf_sn(n)->keys = 1ull << (h & 63);
	}
}

struct gf_node *gf_node_make(struct gf_sema_ctx *c, const struct gf_expr *e, enum gf_node_kind kind, uint32_t id,
			     struct gf_node *a, struct gf_node *b)
{
	struct gf_snode *s = gf_sema_alloc(c, sizeof *s);
	uint64_t size = 1;

	if (!s)
		return NULL;
	s->n.kind = kind;
	s->n.id = id;
	s->n.expr = e;
	s->n.span = e->span;
	s->n.kid[0] = a;
	s->n.kid[1] = b;
	for (int i = 0; i < 2; i++) {
		if (!s->n.kid[i])
			continue;
		const struct gf_snode *k = gf_csn(s->n.kid[i]);

		size += k->size;
		s->need[0] |= k->need[0];
		s->need[1] |= k->need[1];
		s->keys |= k->keys;
		s->text_of |= k->text_of;
		if (k->n.scope == GF_SCOPE_TASK)
			s->n.scope = GF_SCOPE_TASK;
	}
	s->size = (uint32_t)GF_MIN(size, (uint64_t)UINT32_MAX);
	s->lo = -INFINITY;
	s->hi = INFINITY;
	s->rlo = s->rhi = NAN;
	s->n.dim = gf_node_is_pred(&s->n) ? GF_DIM_BOOL : GF_DIM_NUM;
	gf_node_rehash(&s->n);
	if (s->size > GF_SEMA_MAX_SIZE) {
		gf_sema_error(c, "E079", e->span, "split it into several rules",
			      "this is too large: more than %u parts with its lets written out", GF_SEMA_MAX_SIZE);
		return NULL;
	}
	return &s->n;
}

struct gf_node *gf_node_const(struct gf_sema_ctx *c, const struct gf_expr *e, double num, enum gf_dim dim)
{
	struct gf_node *n = gf_node_make(c, e, GF_N_CONST, 0, NULL, NULL);

	if (!n)
		return NULL;
	n->num = num;
	n->dim = dim;
	gf_sn(n)->lo = gf_sn(n)->hi = num;
	gf_node_rehash(n);
	return n;
}

struct gf_node *gf_node_truth(struct gf_sema_ctx *c, const struct gf_expr *e, bool value, bool target)
{
	struct gf_node *n = gf_node_make(c, e, value ? GF_N_TRUE : GF_N_FALSE, 0, NULL, NULL);

	if (n)
		gf_sn(n)->target = target;
	return n;
}

/* Address space is the one memory figure of a task that may exceed all memory. */
static bool within_total(const struct gf_field_info *f)
{
	return !(f->scope == GF_SCOPE_TASK && f->id == GF_TF_VSZ);
}

static enum gf_dim plain_dim(enum gf_dim d, bool *ret_counter)
{
	*ret_counter = true;
	switch (d) {
	case GF_DIM_CNT_NUM:
		return GF_DIM_NUM;
	case GF_DIM_CNT_BYTES:
		return GF_DIM_BYTES;
	case GF_DIM_CNT_TIME:
		return GF_DIM_TIME;
	default:
		*ret_counter = false;
		return d;
	}
}

struct gf_node *gf_node_field(struct gf_sema_ctx *c, const struct gf_expr *e, const struct gf_field_info *f)
{
	bool task = f->scope == GF_SCOPE_TASK;
	struct gf_node *n = gf_node_make(c, e, task ? GF_N_TASK : GF_N_HOST, f->id, NULL, NULL);
	size_t count, index = (size_t)(f - gf_fields(&count));

	if (!n)
		return NULL;
	struct gf_snode *s = gf_sn(n);

	n->scope = f->scope;
	if (!gf_sema_has_field(c, f))
		s->need[index / 64] |= 1ull << (index % 64);
	if (f->derived) {
		/* The base is a counter of time or of things; its rate times scale is the field. */
		n->dim = GF_DIM_TIME;
		n = gf_node_make(c, e, GF_N_HIST, GF_STAT_RATE, n, NULL);
		if (!n)
			return NULL;
		n->window_ns = f->window_ns;
		n->dim = f->dim;
		gf_node_rehash(n);
		if (f->scale != 1) {
			struct gf_node *k = gf_node_const(c, e, f->scale, GF_DIM_NUM);

			n = k ? gf_node_make(c, e, GF_N_MUL, 0, n, k) : NULL;
		}
		if (n && f->percpu) {
			const struct gf_field_info *cpus = gf_field_find("cpu.count");
			struct gf_node *k = gf_node_field(c, e, cpus);

			n = k ? gf_node_make(c, e, GF_N_DIV, 0, n, k) : NULL;
		}
		if (!n)
			return NULL;
		s = gf_sn(n);
	}
	n->dim = plain_dim(f->dim, &s->cnt);
	s->base = (uint8_t)f->pct;
	s->lo = f->lo;
	s->hi = f->hi;
	if ((f->pct == GF_PCT_MEM || f->pct == GF_PCT_SWAP) && !f->derived) {
		bool total = !task && (f->id == GF_HF_MEM_TOTAL || f->id == GF_HF_SWAP_TOTAL);

		s->rlo = total ? 1 : 0;
		s->rhi = within_total(f) ? 1 : INFINITY;
	}
	return n;
}

struct gf_node *gf_node_match(struct gf_sema_ctx *c, const struct gf_expr *e, uint32_t str, const char *pattern)
{
	struct gf_node *n = gf_node_make(c, e, GF_N_MATCH, str, NULL, NULL);

	if (!n)
		return NULL;
	n->scope = GF_SCOPE_TASK;
	n->pattern = pattern;
	n->term = true;
	gf_node_rehash(n);
	return n;
}

/* inf * 0 is 0 here: the bound is never reached, the zero may be. */
static double times(double a, double b)
{
	return a == 0 || b == 0 ? 0 : a * b;
}

static void range_mul(const struct gf_snode *a, const struct gf_snode *b, struct gf_snode *r)
{
	double v[4] = { times(a->lo, b->lo), times(a->lo, b->hi), times(a->hi, b->lo), times(a->hi, b->hi) };

	r->lo = fmin(fmin(v[0], v[1]), fmin(v[2], v[3]));
	r->hi = fmax(fmax(v[0], v[1]), fmax(v[2], v[3]));
}

static void range_div(const struct gf_snode *a, const struct gf_snode *b, struct gf_snode *r)
{
	if (b->lo <= 0 && b->hi >= 0) {
		/* A divisor of 0 gives unknown; what is left of the range keeps its sign. */
		if (a->lo >= 0 && b->lo >= 0)
			r->lo = 0;
		return;
	}
	struct gf_snode inv = { .lo = 1 / b->hi, .hi = 1 / b->lo };

	range_mul(a, &inv, r);
}

/* Base and ratio of a sum or difference. A constant shifts by an amount of which the total is not known. */
static void ratio_sum(const struct gf_node *a, const struct gf_node *b, bool sub, struct gf_snode *r)
{
	const struct gf_snode *x = gf_csn(a), *y = gf_csn(b);

	if (x->base == y->base) {
		r->base = x->base;
		r->rlo = x->rlo + (sub ? -y->rhi : y->rlo);
		r->rhi = x->rhi + (sub ? -y->rlo : y->rhi);
		if (isnan(r->rlo) || isnan(r->rhi))
			r->rlo = r->rhi = NAN;
	} else if (gf_node_is_const(b)) {
		r->base = x->base;
	} else if (gf_node_is_const(a)) {
		r->base = y->base;
	} else {
		r->base = BASE_MIX;
	}
}

static void ratio_scale(const struct gf_snode *x, double by, struct gf_snode *r)
{
	r->base = x->base;
	r->rlo = times(by < 0 ? x->rhi : x->rlo, by);
	r->rhi = times(by < 0 ? x->rlo : x->rhi, by);
}

static double fold(enum gf_node_kind kind, double a, double b)
{
	switch (kind) {
	case GF_N_ADD:
		return a + b;
	case GF_N_SUB:
		return a - b;
	case GF_N_MUL:
		return a * b;
	case GF_N_DIV:
		return a / b;
	default:
		return -a;
	}
}

static void arith_range(enum gf_node_kind kind, const struct gf_node *a, const struct gf_node *b, struct gf_snode *r)
{
	const struct gf_snode *x = gf_csn(a), *y = b ? gf_csn(b) : NULL;

	switch (kind) {
	case GF_N_ADD:
		r->lo = x->lo + y->lo;
		r->hi = x->hi + y->hi;
		ratio_sum(a, b, false, r);
		break;
	case GF_N_SUB:
		r->lo = x->lo - y->hi;
		r->hi = x->hi - y->lo;
		ratio_sum(a, b, true, r);
		break;
	case GF_N_MUL:
		range_mul(x, y, r);
		if (gf_node_is_const(b))
			ratio_scale(x, b->num, r);
		else if (gf_node_is_const(a))
			ratio_scale(y, a->num, r);
		else
			r->base = x->base ? x->base : y->base;
		break;
	case GF_N_DIV:
		range_div(x, y, r);
		if (gf_node_is_const(b))
			ratio_scale(x, 1 / b->num, r);
		else if (a->dim == b->dim)
			r->base = BASE_RATIO;
		else
			r->base = x->base;
		break;
	default:
		r->lo = -x->hi;
		r->hi = -x->lo;
		ratio_scale(x, -1, r);
		break;
	}
	if (isnan(r->lo) || isnan(r->hi)) {
		r->lo = -INFINITY;
		r->hi = INFINITY;
	}
}

struct gf_node *gf_node_arith(struct gf_sema_ctx *c, const struct gf_expr *e, enum gf_node_kind kind,
			      struct gf_node *a, struct gf_node *b, enum gf_dim dim)
{
	struct gf_node *n;

	if (gf_node_is_const(a) && (!b || gf_node_is_const(b))) {
		double v = fold(kind, a->num, b ? b->num : 0);

		if (!isfinite(v)) {
			gf_sema_error(c, "E087", e->span, NULL, "the value of %s is not a number that can be used",
				      gf_sema_text(c, e));
			return NULL;
		}
		n = gf_node_const(c, e, v, dim);
		if (n && kind == GF_N_DIV && a->dim == b->dim)
			gf_sn(n)->base = BASE_RATIO;
		return n;
	}
	n = gf_node_make(c, e, kind, 0, a, b);
	if (!n)
		return NULL;
	arith_range(kind, a, b, gf_sn(n));
	n->dim = dim;
	return n;
}

struct gf_node *gf_node_scale(struct gf_sema_ctx *c, const struct gf_expr *e, struct gf_node *a, double by,
			      enum gf_dim dim)
{
	struct gf_node *k = gf_node_const(c, e, by, GF_DIM_NUM);

	return k ? gf_node_arith(c, e, GF_N_MUL, a, k, dim) : NULL;
}

struct gf_node *gf_node_hist(struct gf_sema_ctx *c, const struct gf_expr *e, enum gf_stat stat, uint64_t window_ns,
			     struct gf_node *kid)
{
	struct gf_node *n = gf_node_make(c, e, GF_N_HIST, stat, kid, NULL);

	if (!n)
		return NULL;
	struct gf_snode *s = gf_sn(n);
	const struct gf_snode *k = gf_csn(kid);

	n->window_ns = window_ns;
	n->dim = kid->dim;
	s->base = k->base;
	if (stat == GF_STAT_RATE || stat == GF_STAT_DELTA) {
		double width = stat == GF_STAT_RATE ? INFINITY : k->hi - k->lo;
		double rwidth = stat == GF_STAT_RATE ? INFINITY : k->rhi - k->rlo;

		/* Known ratios only: the total itself is [1,1], its change 0 for the rule's purposes. */
		s->lo = k->cnt ? 0 : -width;
		s->hi = width;
		s->rlo = k->cnt ? 0 : -rwidth;
		s->rhi = rwidth;
		if (k->rlo == k->rhi)
			s->rlo = s->rhi = NAN;
	} else {
		s->lo = k->lo;
		s->hi = k->hi;
		s->rlo = k->rlo;
		s->rhi = k->rhi;
	}
	gf_node_rehash(n);
	return n;
}
