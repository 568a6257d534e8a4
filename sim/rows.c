/* SPDX-License-Identifier: MIT */
#include "sim/rows.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define MAX_TEXT 4095u

static void free_texts(void *arg, uint32_t row)
{
	struct gf_sample *s = &((struct gf_rows *)arg)->s;

	for (unsigned f = 0; f < GF_SF_COUNT; f++)
		if (f != GF_SF_COMM && s->str[f]) {
			free((void *)(uintptr_t)s->str[f][row].p);
			s->str[f][row] = (struct gf_strref){ NULL, 0, 0 };
		}
}

int gf_rows_init(struct gf_rows *r, uint32_t cap, const struct gf_fieldset *f, struct gf_err *err)
{
	struct gf_fieldset with = *f;

	memset(r, 0, sizeof *r);
	with.str |= 1u << GF_SF_COMM;
	int rc = gf_sample_init(&r->s, cap, err);
	if (!rc)
		rc = gf_sample_set_fields(&r->s, &with, err);
	if (!rc)
		rc = gf_table_init(&r->t, &r->s, err);
	r->t.on_free = free_texts;
	r->t.on_free_arg = r;
	return rc;
}

void gf_rows_deinit(struct gf_rows *r)
{
	for (uint32_t i = 0; i < r->s.rows; i++)
		free_texts(r, i);
	gf_table_deinit(&r->t);
	gf_sample_deinit(&r->s);
}

void gf_rows_begin(struct gf_rows *r, uint64_t now_ns)
{
	r->s.now_ns = now_ns;
	r->s.seq++;
	for (unsigned i = 0; i < GF_HF_COUNT; i++)
		r->s.host[i] = gf_unknown();
	gf_table_begin(&r->t);
}

bool gf_rows_seen(const struct gf_rows *r, uint32_t row)
{
	return r->s.flags[row] && r->t.seen[row] == r->t.pass;
}

uint32_t gf_rows_task(struct gf_rows *r, int32_t pid, uint64_t start_ns, int32_t ppid, const char *comm, size_t len, bool *ret_new)
{
	uint32_t was = gf_table_find(&r->t, pid, start_ns);
	bool again = was != GF_NONE && gf_rows_seen(r, was);
	uint32_t row = gf_table_row(&r->t, pid, start_ns, ppid, ret_new);

	if (row == GF_NONE)
		return row;
	for (unsigned k = 0; k < GF_COLS && !again; k++)
		if (r->s.col[k])
			r->s.col[k][row] = gf_unknown();
	gf_table_comm(&r->t, row, comm, len);
	return row;
}

bool gf_rows_keep(struct gf_rows *r, uint32_t row)
{
	if (row >= r->s.rows || !r->s.flags[row])
		return false;
	r->t.seen[row] = r->t.pass;
	return true;
}

void gf_rows_set(struct gf_rows *r, uint32_t row, enum gf_task_field f, double v)
{
	if (r->s.col[f])
		r->s.col[f][row] = v;
}

void gf_rows_path(struct gf_rows *r, uint32_t row, uint32_t k, double v)
{
	if (k < GF_MAX_PATHS && r->s.col[GF_TF_COUNT + k])
		r->s.col[GF_TF_COUNT + k][row] = v;
}

double gf_rows_get(const struct gf_rows *r, uint32_t row, enum gf_task_field f)
{
	return r->s.col[f] ? r->s.col[f][row] : gf_unknown();
}

void gf_rows_text(struct gf_rows *r, uint32_t row, enum gf_str_field f, const char *p, size_t len)
{
	struct gf_strref *ref = r->s.str[f] ? &r->s.str[f][row] : NULL;
	char *copy;

	len = GF_MIN(len, MAX_TEXT);
	if (!ref || f == GF_SF_COMM || (ref->ver && ref->len == len && !memcmp(ref->p, p, len)))
		return;
	copy = malloc(len + 1);
	if (!copy)
		return; /* the old one, or none, is no lie that matters */
	memcpy(copy, p, len);
	copy[len] = 0;
	free((void *)(uintptr_t)ref->p);
	*ref = (struct gf_strref){ copy, (uint32_t)len, gf_table_ver(&r->t) };
}

void gf_rows_commit(struct gf_rows *r)
{
	gf_table_commit(&r->t);
}
