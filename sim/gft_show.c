/* SPDX-License-Identifier: MIT
 *
 * From what was read to a sample, whose rows keep what an engine relies on: gen changes with identity, a text's version with
 * the text.
 */
#include <string.h>

#include "sim/gft_reader.h"

static const double *column(const struct gft_reader *r, unsigned field)
{
	for (uint32_t i = 0; i < r->cols.tasks; i++)
		if (r->cols.task[i].field == (int)field)
			return r->st.task[i];
	return NULL;
}

static const struct gft_text *texts(const struct gft_reader *r, unsigned field)
{
	for (uint32_t i = 0; i < r->cols.strs; i++)
		if (r->cols.str[i] == (int)field)
			return r->st.str[i];
	return NULL;
}

/* Nobody in this row, or whose identity it is; gen changes with it. */
static void show_row(struct gft_reader *r, struct gf_sample *s, uint32_t i, bool reboot)
{
	const struct gft_state *st = &r->st;
	struct gf_strref *ref = s->str[GF_SF_COMM] ? &s->str[GF_SF_COMM][i] : NULL;
	bool valid = i < st->rows && st->flags[i];
	bool same = valid && s->flags[i] && s->pid[i] == st->pid[i] && s->start_ns[i] == st->start[i] && !reboot;

	s->gen[i] += valid && !same;
	s->flags[i] = valid ? st->flags[i] : 0;
	s->pid[i] = valid ? st->pid[i] : 0;
	s->start_ns[i] = valid ? st->start[i] : 0;
	s->uid[i] = valid ? st->uid[i] : GF_NONE;
	s->parent[i] = valid && st->parent[i] < s->cap ? st->parent[i] : GF_NONE;
	if (ref && (!valid || !same))
		*ref = (struct gf_strref){ NULL, 0, 0 };
	if (!valid) {
		memset(s->comm[i], 0, GF_COMM_LEN);
		return;
	}
	if (memcmp(s->comm[i], st->comm[i], GF_COMM_LEN) || (ref && !ref->ver)) {
		memcpy(s->comm[i], st->comm[i], GF_COMM_LEN);
		if (ref)
			*ref = (struct gf_strref){ s->comm[i], (uint32_t)strnlen(s->comm[i], GF_COMM_LEN), ++r->st.next_ver };
	}
}

static void show_columns(struct gft_reader *r, struct gf_sample *s, uint32_t rows, uint32_t was)
{
	for (unsigned c = 0; c < GF_COLS; c++) {
		const double *from = c < GF_TF_COUNT ? column(r, c) : r->path[c - GF_TF_COUNT] < 0 ? NULL :
			column(r, GF_TF_COUNT + (unsigned)r->path[c - GF_TF_COUNT]);
		if (!s->col[c])
			continue;
		if (from)
			memcpy(s->col[c], from, rows * sizeof *from);
		for (uint32_t i = from ? rows : 0; i < GF_MAX(rows, was); i++)
			s->col[c][i] = gf_unknown();
	}
	for (unsigned f = 0; f < GF_SF_COUNT; f++) {
		const struct gft_text *from = texts(r, f);
		if (!s->str[f] || f == GF_SF_COMM)
			continue;
		for (uint32_t i = 0; i < GF_MAX(rows, was); i++) {
			bool known = from && i < rows && from[i].ver;
			s->str[f][i] = known ? (struct gf_strref){ from[i].p, from[i].len, from[i].ver } : (struct gf_strref){ NULL, 0, 0 };
		}
	}
}

void gft_show(struct gft_reader *r, struct gf_sample *s)
{
	const struct gft_state *st = &r->st;
	uint32_t rows = GF_MIN(st->rows, s->cap), was = s->rows;
	bool reboot = s->epoch != st->epoch;

	for (uint32_t i = 0; i < GF_MAX(rows, was); i++)
		show_row(r, s, i, reboot);
	show_columns(r, s, rows, was);
	for (unsigned i = 0; i < GF_HF_COUNT; i++)
		s->host[i] = gf_unknown();
	for (uint32_t i = 0; i < r->cols.hosts; i++)
		if (r->cols.host[i].field >= 0)
			s->host[r->cols.host[i].field] = st->host[i];
	s->now_ns = st->now_ns;
	s->seq = st->seq;
	s->epoch = st->epoch;
	s->rows = rows;
	s->live = 0;
	for (uint32_t i = 0; i < rows; i++)
		s->live += s->flags[i] != 0;
	s->dropped = st->dropped + st->live - s->live;
}

/* Texts that were shown may be gone with what was read since. */
void gft_hide_texts(struct gf_sample *s)
{
	for (unsigned f = 0; f < GF_SF_COUNT; f++)
		for (uint32_t i = 0; s->str[f] && f != GF_SF_COMM && i < s->rows; i++)
			s->str[f][i] = (struct gf_strref){ NULL, 0, 0 };
}
