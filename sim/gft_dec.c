/* SPDX-License-Identifier: MIT
 *
 * Of whoever's making: everything is bounded by what is there. A list of n rows takes n bytes at least, so that no more
 * memory is asked for than the input is worth; rows, texts and numbers have limits of their own.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sim/gft_int.h"

struct dec {
	struct gft_state *st;
	const struct gft_cols *c;
	struct gft_in in;
	uint32_t n; /* entries of st->list */
	struct gft_tally *tally;
	const uint8_t *told; /* bytes up to here have been told of */
	unsigned part;
};

/* What has been read since is of this row. */
static void tell(struct dec *d, uint32_t row)
{
	if (d->tally && d->in.p > d->told)
		d->tally->bytes(d->tally, d->part, row, d->told, (size_t)(d->in.p - d->told));
	d->told = d->in.p;
}

/* The next part, which begins where the one before ended. */
static struct dec *part(struct dec *d, unsigned which)
{
	tell(d, GF_NONE);
	d->part = which;
	return d;
}

static int bad(struct gf_err *err, const char *what)
{
	return gf_err_set(err, EBADMSG, "%s", what);
}

/* Numbers below `limit`, ascending. */
static int get_list(struct dec *d, uint32_t limit, struct gf_err *err)
{
	uint64_t n = gft_get_uint(&d->in), at = 0;

	d->n = 0;
	if (d->in.bad || n > (uint64_t)(d->in.end - d->in.p) || n > limit)
		return bad(err, "a list is longer than what is there");
	if (gft_state_list(d->st, n))
		return gf_err_set(err, ENOMEM, "out of memory");
	tell(d, GF_NONE);
	for (uint64_t i = 0; i < n; i++) {
		uint64_t gap = gft_get_uint(&d->in);
		if (d->in.bad || gap >= limit || (at += gap) >= limit)
			return bad(err, "a list names a row that cannot be");
		d->st->list[d->n++] = (uint32_t)at++;
		tell(d, d->st->list[d->n - 1]);
	}
	return 0;
}

/* Rows that are in use. */
static int get_rows(struct dec *d, struct gf_err *err)
{
	int rc = get_list(d, d->st->rows, err);

	for (uint32_t i = 0; i < d->n && !rc; i++)
		if (!d->st->flags[d->st->list[i]])
			rc = bad(err, "a list names a row without a process");
	return rc;
}

static bool get_value(struct dec *d, double guess, uint8_t decimals, double *ret)
{
	uint64_t t = gft_get_uint(&d->in);
	int64_t base = 0, n;
	const uint8_t *raw;
	uint64_t bits;

	if (d->in.bad)
		return false;
	if (t == 0) {
		*ret = gf_unknown();
		return true;
	}
	if (t == 1) {
		raw = gft_get(&d->in, 8);
		if (!raw)
			return false;
		bits = gft_ld64(raw);
		memcpy(ret, &bits, sizeof bits);
		if (gf_is_unknown(*ret))
			*ret = gf_unknown();
		return true;
	}
	t -= 2;
	if (!gft_whole(guess, decimals, &base))
		base = 0;
	if (__builtin_mul_overflow(gft_unzigzag(t / GFT_UNITS), gft_unit[t % GFT_UNITS], &n) || __builtin_add_overflow(n, base, &n) ||
	    n <= -GFT_EXACT || n >= GFT_EXACT)
		return false;
	*ret = gft_unwhole(n, decimals);
	return true;
}

static int get_head(struct dec *d, struct gf_err *err)
{
	struct gft_state *st = d->st;
	uint64_t epoch = gft_get_uint(&d->in);

	st->now_ns += (uint64_t)gft_get_int(&d->in);
	st->seq += (uint64_t)gft_get_int(&d->in);
	uint64_t dropped = gft_get_uint(&d->in);
	st->wall_off_ns = (int64_t)((uint64_t)st->wall_off_ns + (uint64_t)gft_get_int(&d->in));
	if (d->in.bad || epoch > UINT32_MAX || dropped > UINT32_MAX)
		return bad(err, "a sample's head is damaged");
	st->epoch = (uint32_t)epoch;
	st->dropped = (uint32_t)dropped;
	return 0;
}

static int get_newcomers(struct dec *d, struct gf_err *err)
{
	struct gft_state *st = d->st;
	int64_t pid = 0;
	uint64_t start = 0;

	for (uint32_t i = 0; i < d->n; i++) {
		uint32_t r = st->list[i];
		int64_t step = gft_get_int(&d->in);
		if (st->flags[r] || d->in.bad || step < -(int64_t)INT32_MAX || step > INT32_MAX || (pid += step) < 0 || pid > INT32_MAX)
			return bad(err, "a process comes that cannot be");
		start += (uint64_t)gft_get_int(&d->in);
		st->pid[r] = (int32_t)pid;
		st->start[r] = start;
		st->flags[r] = GF_ROW_VALID;
		st->fresh[r] = 1;
		tell(d, r);
	}
	return 0;
}

static int get_comings(struct dec *d, struct gf_err *err)
{
	struct gft_state *st = d->st;
	int rc = get_rows(d, err);

	gft_state_begin(st);
	for (uint32_t i = 0; i < d->n && !rc; i++)
		gft_state_clear_row(st, d->c, st->list[i]);
	if (!rc)
		rc = get_list(part(d, GFT_PART_COME), GFT_MAX_ROWS, err);
	if (!rc && d->n) {
		uint32_t top = st->list[d->n - 1] + 1;
		if (gft_state_grow(st, d->c, top))
			rc = gf_err_set(err, ENOMEM, "out of memory");
		else
			st->rows = GF_MAX(st->rows, top);
	}
	if (!rc)
		rc = get_newcomers(d, err);
	while (!rc && st->rows && !st->flags[st->rows - 1])
		st->rows--;
	st->live = 0;
	for (uint32_t r = 0; r < st->rows && !rc; r++)
		st->live += st->flags[r] != 0;
	return rc;
}

static int get_flags(struct dec *d, struct gf_err *err)
{
	int rc = get_rows(d, err);

	for (uint32_t i = 0; i < d->n && !rc; i++) {
		const uint8_t *p = gft_get(&d->in, 1);
		if (!p || !(*p & GF_ROW_VALID))
			rc = bad(err, "flags are damaged");
		else
			d->st->flags[d->st->list[i]] = *p;
		tell(d, d->st->list[i]);
	}
	return rc;
}

static int get_parents(struct dec *d, struct gf_err *err)
{
	struct gft_state *st = d->st;
	int rc = get_rows(d, err);

	for (uint32_t i = 0; i < d->n && !rc; i++) {
		uint64_t p = gft_get_uint(&d->in);
		if (d->in.bad || p > st->rows)
			rc = bad(err, "a parent is none");
		else
			st->parent[st->list[i]] = (uint32_t)p - 1u;
		tell(d, st->list[i]);
	}
	/* also those who were not named: their parent may have gone */
	for (uint32_t r = 0; r < st->rows && !rc; r++) {
		uint32_t p = st->parent[r];
		if (st->flags[r] && p != GF_NONE && (p >= st->rows || !st->flags[p]))
			rc = bad(err, "a parent is not there");
	}
	return rc;
}

static int get_uids(struct dec *d, struct gf_err *err)
{
	int rc = get_rows(d, err);

	for (uint32_t i = 0; i < d->n && !rc; i++) {
		uint64_t uid = gft_get_uint(&d->in);
		if (d->in.bad || uid > UINT32_MAX)
			rc = bad(err, "a user is damaged");
		else
			d->st->uid[d->st->list[i]] = (uint32_t)uid;
		tell(d, d->st->list[i]);
	}
	return rc;
}

static int get_comms(struct dec *d, struct gf_err *err)
{
	int rc = get_rows(d, err);

	for (uint32_t i = 0; i < d->n && !rc; i++) {
		uint64_t len = gft_get_uint(&d->in);
		const uint8_t *p = len < GF_COMM_LEN ? gft_get(&d->in, len) : NULL;
		char *to = d->st->comm[d->st->list[i]];
		if (!p || memchr(p, 0, len)) {
			rc = bad(err, "a name is damaged");
			break;
		}
		memset(to, 0, GF_COMM_LEN);
		memcpy(to, p, len);
		tell(d, d->st->list[i]);
	}
	return rc;
}

static int get_host(struct dec *d, struct gf_err *err)
{
	struct gft_state *st = d->st;
	const struct gft_col *c = d->c->host;
	int rc = get_list(d, d->c->hosts, err);

	for (uint32_t i = 0; i < d->c->hosts; i++)
		st->host[i] = gft_guess(st, &c[i], &st->host[i], GF_NONE);
	for (uint32_t i = 0; i < d->n && !rc; i++) {
		uint32_t k = st->list[i];
		if (!get_value(d, st->host[k], c[k].decimals, &st->host[k]))
			rc = bad(err, "a value of the host is damaged");
		tell(d, k);
	}
	return rc;
}

static int get_column(struct dec *d, uint32_t k, struct gf_err *err)
{
	struct gft_state *st = d->st;
	const struct gft_col *c = &d->c->task[k];
	double *col = st->task[k];
	int rc = get_rows(d, err);

	gft_sum_begin(st, c, col);
	/* of a field that is not known here nobody sees the values */
	for (uint32_t r = 0; c->guess != GFT_AS_BEFORE && c->field >= 0 && r < st->rows; r++)
		col[r] = st->flags[r] ? gft_guess(st, c, &col[r], r) : gf_unknown();
	for (uint32_t i = 0; i < d->n && !rc; i++) {
		uint32_t r = st->list[i];
		if (!get_value(d, col[r], c->decimals, &col[r]))
			rc = bad(err, "a value of a process is damaged");
		tell(d, r);
	}
	gft_sum_end(st, c, col);
	return rc;
}

/* Nothing changes its version but another text: who goes on over a key block keeps what was found out about it. */
static int set_text(struct gft_state *st, struct gft_text *t, const uint8_t *p, uint32_t len)
{
	if (!t->p || t->len != len || memcmp(t->p, p, len)) {
		char *q = malloc(len + 1u);
		if (!q)
			return -ENOMEM;
		memcpy(q, p, len);
		q[len] = 0;
		free(t->p);
		t->p = q;
		t->len = len;
		do
			t->last = ++st->next_ver;
		while (!t->last);
	}
	t->ver = t->last;
	return 0;
}

static int get_texts(struct dec *d, uint32_t k, struct gf_err *err)
{
	struct gft_state *st = d->st;
	int rc = get_rows(d, err);

	for (uint32_t i = 0; i < d->n && !rc; i++) {
		struct gft_text *t = &st->str[k][st->list[i]];
		uint64_t len = gft_get_uint(&d->in);
		if (!len && !d->in.bad) {
			t->ver = 0;
			tell(d, st->list[i]);
			continue;
		}
		const uint8_t *p = len <= GFT_MAX_TEXT + 1u ? gft_get(&d->in, len - 1) : NULL;
		if (!p)
			rc = bad(err, "a text is damaged");
		else if (set_text(st, t, p, (uint32_t)len - 1u))
			rc = gf_err_set(err, ENOMEM, "out of memory");
		tell(d, st->list[i]);
	}
	return rc;
}

int gft_decode(struct gft_state *st, const struct gft_cols *c, const uint8_t *p, size_t n, struct gft_tally *tally, struct gf_err *err)
{
	struct dec d = { .st = st, .c = c, .in = { p, p + n, false }, .tally = tally, .told = p };
	int rc = get_head(&d, err);

	if (!rc)
		rc = get_comings(part(&d, GFT_PART_GONE), err);
	if (!rc)
		rc = get_flags(part(&d, GFT_PART_FLAGS), err);
	if (!rc)
		rc = get_parents(part(&d, GFT_PART_PARENT), err);
	if (!rc)
		rc = get_uids(part(&d, GFT_PART_UID), err);
	if (!rc)
		rc = get_comms(part(&d, GFT_PART_COMM), err);
	if (!rc)
		rc = get_host(part(&d, GFT_PART_HOST), err);
	for (uint32_t i = 0; i < c->tasks && !rc; i++)
		rc = get_column(part(&d, GFT_PART_COLUMN + i), i, err);
	for (uint32_t i = 0; i < c->strs && !rc; i++)
		rc = get_texts(part(&d, GFT_PART_COLUMN + c->tasks + i), i, err);
	tell(&d, GF_NONE);
	if (!rc && d.in.p != d.in.end)
		rc = bad(err, "there is more in a block than its sample");
	return rc;
}
