/* SPDX-License-Identifier: MIT
 *
 * Who goes with a seed: its tree, its group, its cgroup; in which order.
 * Of gpu/select.h, which includes this.
 */
#ifndef GPUFAS_MEMBERS_H
#define GPUFAS_MEMBERS_H

struct gf_members {
	uint32_t n;
	uint32_t left; /* for whom there was no room */
};

GF_INLINE void gf_member_add(const struct gf_sample *s, struct gf_state *st, uint32_t row, struct gf_members *m)
{
	if (st->mark[row])
		return;
	if (m->n == GF_STATE_VICTIMS) {
		m->left++;
		return;
	}
	st->mark[row] = 1;
	st->member[m->n].row = row;
	st->member[m->n].gen = s->gen[row];
	m->n++;
}

GF_INLINE int gf_same_string(const struct gf_strref *a, const struct gf_strref *b)
{
	if (!a->ver || !b->ver || a->len != b->len)
		return 0;
	for (uint32_t i = 0; i < a->len; i++)
		if (a->p[i] != b->p[i])
			return 0;
	return 1;
}

/* 1 when row and seed belong to the same group. Unknown is not the same; session
 * and group 0 are the kernel's, user GF_NONE is one that could not be read; the root cgroup is the whole machine, which
 * nobody means by "its cgroup". */
GF_INLINE int gf_same_group(const struct gf_sample *s, uint8_t group, uint32_t seed, uint32_t row)
{
	const double *col = NULL;
	const struct gf_strref *str = s->str[GF_SF_CGROUP];

	switch (group) {
	case GF_GROUP_PGRP:
		col = s->col[GF_TF_PGRP];
		break;
	case GF_GROUP_SESSION:
		col = s->col[GF_TF_SESSION];
		break;
	case GF_GROUP_USER:
		return s->uid[seed] != GF_NONE && s->uid[row] == s->uid[seed];
	case GF_GROUP_CGROUP:
		return str && str[seed].len > 1 && gf_same_string(&str[seed], &str[row]);
	default:
		break;
	}
	return col && col[seed] > 0 && col[row] == col[seed];
}

/* Rows of a seed's group that may be touched: 1 in scratch_p. a: rule, b: group, c: seed. */
GF_JOB_BODY gf_job_group(struct gf_tick *t, uint32_t a, uint32_t b, uint32_t c, uint32_t lane, uint32_t lanes)
{
	const struct gf_sample *s = t->c.s;
	struct gf_state *st = t->c.st;
	uint8_t *in = st->scratch_p;

	for (uint32_t row = lane; row < gf_rows_up(s); row += lanes) {
		in[row] = row < s->rows && (s->flags[row] & GF_ROW_VALID) && gf_same_group(s, (uint8_t)b, c, row) &&
			  gf_member_why(s, st, row, a) == GF_WHY_CHOSEN;
#if GF_TEAM
		if (in[row])
			gf_team_one(&st->work.count);
#endif
	}
}

/* Members of a tree where its forest was made: parents first, so that a stopped or killed parent starts no more children. */
GF_SELDOM void gf_tree_members(struct gf_tick *t, uint32_t rule, uint32_t seed, struct gf_members *m)
{
	const struct gf_sample *s = t->c.s;
	struct gf_state *st = t->c.st;
	const struct gf_family *f = &st->family;
	uint8_t *in = st->scratch_p;

	for (uint32_t k = f->n; k-- > 0;) {
		uint32_t row = f->order[k], up = f->up[row];
		in[row] = (uint8_t)(row == seed || (up != GF_NONE && in[up]));
		if (in[row] && gf_member_why(s, st, row, rule) == GF_WHY_CHOSEN)
			gf_member_add(s, st, row, m);
	}
}

#if GF_TEAM
/* The same without a forest: each row looks whether the seed is above it. a: rule, c: seed. */
GF_JOB_BODY gf_job_tree(struct gf_tick *t, uint32_t a, uint32_t b, uint32_t c, uint32_t lane, uint32_t lanes)
{
	const struct gf_sample *s = t->c.s;
	struct gf_state *st = t->c.st;

	(void)b;
	for (uint32_t row = lane; row < gf_rows_up(s); row += lanes) {
		uint8_t under = 0;
		if (row < s->rows && (s->flags[row] & GF_ROW_VALID) && gf_family_climb(s, &st->family, row, c, &under))
			gf_team_max(&st->work.cyclic, 1);
		st->scratch_p[row] = under && gf_member_why(s, st, row, a) == GF_WHY_CHOSEN;
		if (st->scratch_p[row])
			gf_team_one(&st->work.count);
	}
}

/* Rows marked in scratch_p, work.count of them, by row, into rank. */
GF_INLINE uint32_t gf_marked_rows(struct gf_state *st)
{
	const uint64_t *words = (const uint64_t *)(const void *)st->scratch_p;
	uint32_t n = 0;

	for (uint32_t i = 0; n < st->work.count; i++) {
		if (!words[i])
			continue;
		for (uint32_t k = 0; k < 8; k++)
			if (st->scratch_p[i * 8 + k])
				st->work.rank[n++] = i * 8 + k;
	}
	return n;
}

/* 1 when row a comes after row b in a tree: parents first, and as gf_tree_members() goes through them. */
GF_INLINE int gf_tree_after(const struct gf_family *f, uint32_t a, uint32_t b)
{
	return f->depth[a] != f->depth[b] ? f->depth[a] > f->depth[b] : a < b;
}

GF_INLINE void gf_tree_sink(const struct gf_family *f, uint32_t *h, uint32_t n, uint32_t i)
{
	uint32_t x = h[i];

	for (uint32_t k = 2 * i + 1; k < n; k = 2 * i + 1) {
		if (k + 1 < n && gf_tree_after(f, h[k + 1], h[k]))
			k++;
		if (!gf_tree_after(f, h[k], x))
			break;
		h[i] = h[k];
		i = k;
	}
	h[i] = x;
}

static GF_HD __attribute__((noinline, unused)) void gf_tree_sort(const struct gf_family *f, uint32_t *h, uint32_t n)
{
	for (uint32_t k = n / 2; k-- > 0;)
		gf_tree_sink(f, h, n, k);
	for (uint32_t k = n; k > 1; k--) {
		uint32_t last = h[0];
		h[0] = h[k - 1];
		h[k - 1] = last;
		gf_tree_sink(f, h, k - 1, 0);
	}
}
#endif

/* Members of one seed's group that may be touched, the seed first. */
GF_SELDOM void gf_group_members(struct gf_tick *t, uint32_t rule, uint8_t group, uint32_t seed,
				    struct gf_members *m)
{
	const struct gf_sample *s = t->c.s;
	struct gf_state *st = t->c.st;

	gf_member_add(s, st, seed, m);
	if (group == GF_GROUP_ONE)
		return;
#if GF_TEAM
	uint32_t n;

	st->work.count = 0;
	st->work.cyclic = 0;
	gf_team_call(t->team, group == GF_GROUP_TREE ? GF_JOB_TREE : GF_JOB_GROUP, rule, group, seed);
	if (st->work.cyclic) {
		gf_family_make(t);
		gf_tree_members(t, rule, seed, m);
		return;
	}
	n = gf_marked_rows(st);
	if (group == GF_GROUP_TREE)
		gf_tree_sort(&st->family, st->work.rank, n);
	for (uint32_t k = 0; k < n; k++)
		gf_member_add(s, st, st->work.rank[k], m);
#else
	if (group == GF_GROUP_TREE) {
		gf_family_make(t);
		gf_tree_members(t, rule, seed, m);
		return;
	}
	for (uint32_t row = 0; row < s->rows; row++) {
		if ((s->flags[row] & GF_ROW_VALID) && gf_same_group(s, group, seed, row) &&
		    gf_member_why(s, st, row, rule) == GF_WHY_CHOSEN)
			gf_member_add(s, st, row, m);
	}
#endif
}

/* All members of the picked seeds into st->member. */
static GF_HD __attribute__((noinline, unused)) struct gf_members gf_select_members(struct gf_tick *t, uint32_t rule,
										   const struct gf_step *step,
										   uint32_t seeds)
{
	struct gf_state *st = t->c.st;
	struct gf_members m = { 0, 0 };

	for (uint32_t k = 0; k < seeds; k++)
		gf_group_members(t, rule, step->group, st->pick[k], &m);
	for (uint32_t k = 0; k < m.n; k++)
		st->mark[st->member[k].row] = 0;
	return m;
}

#endif
