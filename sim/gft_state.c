/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "sim/gft_int.h"

/* Makes room for `to` entries, the new ones 0. */
static bool room(void *where, size_t from, size_t to, size_t size)
{
	void **p = where;
	void *q = realloc(*p, to * size);

	if (!q)
		return false;
	memset((char *)q + from * size, 0, (to - from) * size);
	*p = q;
	return true;
}

int gft_state_grow(struct gft_state *st, const struct gft_cols *c, uint32_t rows)
{
	uint32_t from = st->cap, to = GF_MAX(from, 256u);
	bool ok;

	if (rows <= from)
		return 0;
	while (to < rows)
		to *= 2;
	ok = room(&st->flags, from, to, sizeof *st->flags) && room(&st->pid, from, to, sizeof *st->pid) &&
	     room(&st->start, from, to, sizeof *st->start) && room(&st->parent, from, to, sizeof *st->parent) &&
	     room(&st->uid, from, to, sizeof *st->uid) && room(&st->comm, from, to, sizeof *st->comm) &&
	     room(&st->fresh, from, to, sizeof *st->fresh) && room(&st->old, from, to, sizeof *st->old);
	for (uint32_t i = 0; ok && i < GFT_SUMS; i++)
		ok = room(&st->left[i], from, to, sizeof *st->left[i]);
	for (uint32_t i = 0; ok && i < c->tasks; i++)
		ok = room(&st->task[i], from, to, sizeof *st->task[i]);
	for (uint32_t i = 0; ok && i < c->strs; i++)
		ok = room(&st->str[i], from, to, sizeof *st->str[i]);
	if (!ok)
		return -ENOMEM;
	st->cap = to;
	for (uint32_t r = from; r < to; r++)
		gft_state_clear_row(st, c, r);
	return 0;
}

/* Texts stay until they are written over: a task that goes on over a key block keeps its own. */
void gft_state_clear_row(struct gft_state *st, const struct gft_cols *c, uint32_t row)
{
	st->flags[row] = 0;
	st->fresh[row] = 0;
	st->pid[row] = 0;
	st->start[row] = 0;
	st->parent[row] = GF_NONE;
	st->uid[row] = GF_NONE;
	memset(st->comm[row], 0, GF_COMM_LEN);
	for (uint32_t i = 0; i < c->tasks; i++)
		st->task[i][row] = gf_unknown();
	for (uint32_t i = 0; i < c->strs; i++)
		st->str[i][row].ver = 0;
}

void gft_state_reset(struct gft_state *st, const struct gft_cols *c)
{
	for (uint32_t r = 0; r < st->rows; r++)
		if (st->flags[r])
			gft_state_clear_row(st, c, r);
	st->rows = st->live = st->dropped = st->epoch = 0;
	st->now_ns = st->seq = 0;
	for (uint32_t i = 0; i < c->hosts; i++)
		st->host[i] = gf_unknown();
}

void gft_state_deinit(struct gft_state *st, const struct gft_cols *c)
{
	for (uint32_t i = 0; i < c->strs; i++) {
		for (uint32_t r = 0; st->str[i] && r < st->cap; r++)
			free(st->str[i][r].p);
		free(st->str[i]);
	}
	for (uint32_t i = 0; i < c->tasks; i++)
		free(st->task[i]);
	free(st->flags);
	free(st->pid);
	free(st->start);
	free(st->parent);
	free(st->uid);
	free(st->comm);
	free(st->list);
	free(st->fresh);
	free(st->old);
	for (uint32_t i = 0; i < GFT_SUMS; i++)
		free(st->left[i]);
	memset(st, 0, sizeof *st);
}

int gft_state_list(struct gft_state *st, size_t n)
{
	if (n > st->list_cap) {
		uint32_t *q = realloc(st->list, n * sizeof *q);
		if (!q)
			return -ENOMEM;
		st->list = q;
		st->list_cap = n;
	}
	return 0;
}

const int64_t gft_unit[GFT_UNITS] = { 1, 1000, 1024, 4096, 65536, 1000000, 2097152, 10000000 };

double gft_guess(const struct gft_state *st, const struct gft_col *c, const double *col, uint32_t row)
{
	switch (c->guess) {
	case GFT_NOW:
		return (double)st->now_ns;
	case GFT_AGE:
		return st->now_ns >= st->start[row] ? (double)(st->now_ns - st->start[row]) : gf_unknown();
	case GFT_PID:
		return st->pid[row];
	case GFT_UID:
		return st->uid[row] == GF_NONE ? gf_unknown() : (double)st->uid[row];
	case GFT_CPU:
	case GFT_RSS:
		if (gf_is_unknown(*col))
			return st->fresh[row] ? st->left[c->guess - GFT_CPU][row] : *col;
		return *col + st->left[c->guess - GFT_CPU][row];
	}
	return *col;
}

void gft_state_begin(struct gft_state *st)
{
	if (!st->cap)
		return;
	memset(st->fresh, 0, st->cap);
	for (uint32_t i = 0; i < GFT_SUMS; i++)
		memset(st->left[i], 0, st->cap * sizeof(double));
}

void gft_sum_begin(struct gft_state *st, const struct gft_col *c, const double *col)
{
	if (c->role && st->rows)
		memcpy(st->old, col, st->rows * sizeof *col);
}

void gft_sum_end(struct gft_state *st, const struct gft_col *c, const double *col)
{
	double *left = st->left[c->sum];

	for (uint32_t r = 0; c->role && r < st->rows; r++) {
		if (gft_same(col[r], st->old[r]))
			continue;
		double change = gf_is_unknown(col[r]) ? 0 : gf_is_unknown(st->old[r]) ? col[r] : col[r] - st->old[r];
		left[r] = c->role == GFT_WHOLE ? change : left[r] - change;
	}
}

static double tens(uint8_t decimals)
{
	static const double ten[] = { 1, 10, 100, 1000, 10000 };

	return ten[decimals < 5 ? decimals : 4];
}

bool gft_whole(double v, uint8_t decimals, int64_t *ret)
{
	double x = v * tens(decimals);

	if (!(x > -(double)GFT_EXACT && x < (double)GFT_EXACT))
		return false;
	*ret = llround(x);
	return gft_same(gft_unwhole(*ret, decimals), v);
}

double gft_unwhole(int64_t n, uint8_t decimals)
{
	return (double)n / tens(decimals);
}

bool gft_same(double a, double b)
{
	return (gf_is_unknown(a) && gf_is_unknown(b)) || !memcmp(&a, &b, sizeof a);
}
