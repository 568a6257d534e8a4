/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <string.h>

#include "sim/gft_int.h"

struct enc {
	struct gft_state *st;
	const struct gft_cols *c;
	const struct gf_sample *s;
	struct gft_buf *b;
	uint32_t rows;
	uint32_t n; /* entries of st->list */
};

static bool there(const struct enc *e, uint32_t row)
{
	return row < e->rows && e->s->flags[row] & GF_ROW_VALID;
}

/* How many rows, the first, and for each further one how many are between. */
static void put_list(struct enc *e)
{
	const uint32_t *v = e->st->list;

	gft_put_uint(e->b, e->n);
	for (uint32_t i = 0; i < e->n; i++)
		gft_put_uint(e->b, i ? v[i] - v[i - 1] - 1 : v[i]);
}

static void add(struct enc *e, uint32_t row)
{
	e->st->list[e->n++] = row;
}

static void put_value(struct enc *e, double guess, double v, uint8_t decimals)
{
	int64_t n, base = 0;

	if (gf_is_unknown(v)) {
		gft_put_uint(e->b, 0);
	} else if (gft_whole(v, decimals, &n)) {
		if (!gft_whole(guess, decimals, &base))
			base = 0;
		unsigned u = GFT_UNITS - 1;
		while ((n - base) % gft_unit[u])
			u--;
		gft_put_uint(e->b, 2 + (gft_zigzag((n - base) / gft_unit[u]) * GFT_UNITS | u));
	} else {
		uint8_t raw[8];
		uint64_t bits;
		memcpy(&bits, &v, sizeof bits);
		gft_le64(raw, bits);
		gft_put_uint(e->b, 1);
		gft_put(e->b, raw, sizeof raw);
	}
}

static void put_head(struct enc *e, int64_t wall_off_ns)
{
	struct gft_state *st = e->st;
	const struct gf_sample *s = e->s;

	gft_put_uint(e->b, s->epoch);
	gft_put_int(e->b, (int64_t)(s->now_ns - st->now_ns));
	gft_put_int(e->b, (int64_t)(s->seq - st->seq));
	gft_put_uint(e->b, s->dropped);
	gft_put_int(e->b, (int64_t)((uint64_t)wall_off_ns - (uint64_t)st->wall_off_ns));
	st->epoch = s->epoch;
	st->now_ns = s->now_ns;
	st->seq = s->seq;
	st->dropped = s->dropped;
	st->wall_off_ns = wall_off_ns;
}

/* Who has gone, and who has come. */
static void put_comings(struct enc *e)
{
	struct gft_state *st = e->st;
	const struct gf_sample *s = e->s;
	int64_t pid = 0;
	uint64_t start = 0;

	gft_state_begin(st);
	e->n = 0;
	for (uint32_t r = 0; r < st->rows; r++)
		if (st->flags[r] && (!there(e, r) || st->pid[r] != s->pid[r] || st->start[r] != s->start_ns[r]))
			add(e, r);
	put_list(e);
	for (uint32_t i = 0; i < e->n; i++)
		gft_state_clear_row(st, e->c, st->list[i]);
	e->n = 0;
	for (uint32_t r = 0; r < e->rows; r++)
		if (there(e, r) && !st->flags[r])
			add(e, r);
	put_list(e);
	for (uint32_t i = 0; i < e->n; i++) {
		uint32_t r = st->list[i];
		gft_put_int(e->b, s->pid[r] - pid);
		gft_put_int(e->b, (int64_t)(s->start_ns[r] - start));
		st->pid[r] = s->pid[r];
		st->start[r] = s->start_ns[r];
		st->flags[r] = GF_ROW_VALID;
		st->fresh[r] = 1;
		pid = s->pid[r];
		start = s->start_ns[r];
	}
	st->rows = GF_MAX(st->rows, e->rows);
	while (st->rows && !st->flags[st->rows - 1])
		st->rows--;
	st->live = 0;
	for (uint32_t r = 0; r < st->rows; r++)
		st->live += st->flags[r] != 0;
}

static uint32_t parent_of(const struct enc *e, uint32_t r)
{
	return there(e, e->s->parent[r]) ? e->s->parent[r] : GF_NONE;
}

static void put_flags(struct enc *e)
{
	struct gft_state *st = e->st;

	e->n = 0;
	for (uint32_t r = 0; r < st->rows; r++)
		if (st->flags[r] && st->flags[r] != e->s->flags[r])
			add(e, r);
	put_list(e);
	for (uint32_t i = 0; i < e->n; i++)
		gft_put(e->b, &e->s->flags[st->list[i]], 1);
	for (uint32_t i = 0; i < e->n; i++)
		st->flags[st->list[i]] = e->s->flags[st->list[i]];
}

static void put_parents(struct enc *e)
{
	struct gft_state *st = e->st;

	e->n = 0;
	for (uint32_t r = 0; r < st->rows; r++)
		if (st->flags[r] && st->parent[r] != parent_of(e, r))
			add(e, r);
	put_list(e);
	for (uint32_t i = 0; i < e->n; i++) {
		uint32_t r = st->list[i];
		st->parent[r] = parent_of(e, r);
		gft_put_uint(e->b, (uint32_t)(st->parent[r] + 1));
	}
}

static void put_uids(struct enc *e)
{
	struct gft_state *st = e->st;

	e->n = 0;
	for (uint32_t r = 0; r < st->rows; r++)
		if (st->flags[r] && st->uid[r] != e->s->uid[r])
			add(e, r);
	put_list(e);
	for (uint32_t i = 0; i < e->n; i++) {
		uint32_t r = st->list[i];
		st->uid[r] = e->s->uid[r];
		gft_put_uint(e->b, st->uid[r]);
	}
}

static void put_comms(struct enc *e)
{
	struct gft_state *st = e->st;

	e->n = 0;
	for (uint32_t r = 0; r < st->rows; r++)
		if (st->flags[r] && strncmp(st->comm[r], e->s->comm[r], GF_COMM_LEN - 1))
			add(e, r);
	put_list(e);
	for (uint32_t i = 0; i < e->n; i++) {
		uint32_t r = st->list[i];
		size_t len = strnlen(e->s->comm[r], GF_COMM_LEN - 1);
		memset(st->comm[r], 0, GF_COMM_LEN);
		memcpy(st->comm[r], e->s->comm[r], len);
		gft_put_uint(e->b, len);
		gft_put(e->b, st->comm[r], len);
	}
}

static void put_host(struct enc *e)
{
	struct gft_state *st = e->st;
	const struct gft_col *c = e->c->host;

	e->n = 0;
	for (uint32_t i = 0; i < e->c->hosts; i++)
		if (!gft_same(gft_guess(st, &c[i], &st->host[i], GF_NONE), e->s->host[c[i].field]))
			add(e, i);
	put_list(e);
	for (uint32_t i = 0; i < e->n; i++) {
		uint32_t k = st->list[i];
		put_value(e, gft_guess(st, &c[k], &st->host[k], GF_NONE), e->s->host[c[k].field], c[k].decimals);
	}
	for (uint32_t i = 0; i < e->c->hosts; i++)
		st->host[i] = e->s->host[c[i].field];
}

static void put_column(struct enc *e, uint32_t k)
{
	struct gft_state *st = e->st;
	const struct gft_col *c = &e->c->task[k];
	const double *from = e->s->col[c->field];
	double *col = st->task[k];

	gft_sum_begin(st, c, col);
	e->n = 0;
	for (uint32_t r = 0; r < st->rows; r++)
		if (st->flags[r] && !gft_same(gft_guess(st, c, &col[r], r), from ? from[r] : gf_unknown()))
			add(e, r);
	put_list(e);
	for (uint32_t i = 0; i < e->n; i++) {
		uint32_t r = st->list[i];
		put_value(e, gft_guess(st, c, &col[r], r), from ? from[r] : gf_unknown(), c->decimals);
	}
	for (uint32_t r = 0; r < st->rows; r++)
		col[r] = from && st->flags[r] ? from[r] : gf_unknown();
	gft_sum_end(st, c, col);
}

static uint32_t text_ver(const struct gf_strref *ref, uint32_t r)
{
	return ref && ref[r].p ? ref[r].ver : 0;
}

static void put_texts(struct enc *e, uint32_t k)
{
	struct gft_state *st = e->st;
	const struct gf_strref *from = e->s->str[e->c->str[k]];

	e->n = 0;
	for (uint32_t r = 0; r < st->rows; r++)
		if (st->flags[r] && st->str[k][r].ver != text_ver(from, r))
			add(e, r);
	put_list(e);
	for (uint32_t i = 0; i < e->n; i++) {
		uint32_t r = st->list[i], len;
		st->str[k][r].ver = text_ver(from, r);
		if (!st->str[k][r].ver) {
			gft_put_uint(e->b, 0);
			continue;
		}
		len = GF_MIN(from[r].len, GFT_MAX_TEXT);
		gft_put_uint(e->b, len + 1u);
		gft_put(e->b, from[r].p, len);
	}
}

int gft_encode(struct gft_state *st, const struct gft_cols *c, const struct gf_sample *s, int64_t wall_off_ns, struct gft_buf *b,
	       struct gf_err *err)
{
	struct enc e = { .st = st, .c = c, .s = s, .b = b, .rows = s->rows };

	if (s->rows > GFT_MAX_ROWS)
		return gf_err_set(err, E2BIG, "%u processes are more than a recording can hold (%u)", s->rows, GFT_MAX_ROWS);
	if (gft_state_grow(st, c, GF_MAX(s->rows, 1u)) || gft_state_list(st, GF_MAX(GFT_MAX_COLS, st->cap)))
		return gf_err_set(err, ENOMEM, "out of memory");
	put_head(&e, wall_off_ns);
	put_comings(&e);
	put_flags(&e);
	put_parents(&e);
	put_uids(&e);
	put_comms(&e);
	put_host(&e);
	for (uint32_t i = 0; i < c->tasks; i++)
		put_column(&e, i);
	for (uint32_t i = 0; i < c->strs; i++)
		put_texts(&e, i);
	if (b->failed)
		return gf_err_set(err, ENOMEM, "out of memory");
	if (b->n > GFT_MAX_RAW)
		return gf_err_set(err, E2BIG, "a sample of %zu bytes is more than a recording can hold (%u)", b->n, GFT_MAX_RAW);
	return 0;
}
