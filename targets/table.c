// SPDX-License-Identifier: MIT
#include "targets/table.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "targets/target.h"

#define ALIGN 64u /* of arrays: a cache line, and any vector unit's width */

static void *array(size_t n, size_t size)
{
	size_t bytes = (n * size + ALIGN - 1) / ALIGN * ALIGN;
	void *p = aligned_alloc(ALIGN, bytes);

	if (p)
		memset(p, 0, bytes);
	return p;
}

static double *column(uint32_t cap)
{
	double *c = array(cap, sizeof *c);

	for (uint32_t i = 0; c && i < cap; i++)
		c[i] = gf_unknown();
	return c;
}

/* cap is rounded up to a multiple of 128. -EINVAL for 0 or more than 2^22 rows
 * (Linux has no more pids), -ENOMEM. Freed by gf_sample_deinit. */
int gf_sample_init(struct gf_sample *s, uint32_t cap, struct gf_err *err)
{
	memset(s, 0, sizeof *s);
	if (!cap || cap > 1u << 22)
		return gf_err_set(err, EINVAL, "a table of %u tasks is not possible: use 1 to %u", cap, 1u << 22);
	s->cap = (cap + 127) / 128 * 128;
	s->flags = array(s->cap, sizeof *s->flags);
	s->gen = array(s->cap, sizeof *s->gen);
	s->pid = array(s->cap, sizeof *s->pid);
	s->start_ns = array(s->cap, sizeof *s->start_ns);
	s->parent = array(s->cap, sizeof *s->parent);
	s->comm = array(s->cap, sizeof *s->comm);
	s->uid = array(s->cap, sizeof *s->uid);
	for (int i = 0; i < GF_HF_COUNT; i++)
		s->host[i] = gf_unknown();
	if (!s->flags || !s->gen || !s->pid || !s->start_ns || !s->parent || !s->comm || !s->uid) {
		gf_sample_deinit(s);
		return gf_err_set(err, ENOMEM, "no memory for a table of %u tasks: lower max_tasks", cap);
	}
	for (uint32_t i = 0; i < s->cap; i++)
		s->parent[i] = GF_NONE;
	return 0;
}

/* Allocates what f names and s lacks. On -ENOMEM s stays usable as it was. */
int gf_sample_set_fields(struct gf_sample *s, const struct gf_fieldset *f, struct gf_err *err)
{
	for (unsigned i = 0; i < GF_COLS; i++) {
		bool need = i < GF_TF_COUNT ? f->task >> i & 1 : i - GF_TF_COUNT < f->paths;
		if (!need || s->col[i])
			continue;
		s->col[i] = column(s->cap);
		if (!s->col[i])
			return gf_err_set(err, ENOMEM, "no memory for a column of %u tasks: lower max_tasks", s->cap);
	}
	for (int i = 0; i < GF_SF_COUNT; i++) {
		if (!(f->str & GF_BIT(i)) || s->str[i])
			continue;
		s->str[i] = array(s->cap, sizeof *s->str[i]);
		if (!s->str[i])
			return gf_err_set(err, ENOMEM, "no memory for the strings of %u tasks: lower max_tasks", s->cap);
	}
	return 0;
}

/* Strings that refs point to are not s's own and are not freed. */
void gf_sample_deinit(struct gf_sample *s)
{
	free(s->flags);
	free(s->gen);
	free(s->pid);
	free(s->start_ns);
	free(s->parent);
	free(s->comm);
	free(s->uid);
	for (unsigned i = 0; i < GF_COLS; i++)
		free(s->col[i]);
	for (int i = 0; i < GF_SF_COUNT; i++)
		free(s->str[i]);
	memset(s, 0, sizeof *s);
}

int gf_table_init(struct gf_table *t, struct gf_sample *s, struct gf_err *err)
{
	uint32_t size = gf_table_size(s->cap);

	memset(t, 0, sizeof *t);
	t->s = s;
	t->mask = size - 1;
	t->hash = array(size, sizeof *t->hash);
	t->seen = array(s->cap, sizeof *t->seen);
	t->ppid = array(s->cap, sizeof *t->ppid);
	t->used = array(s->cap / 64, sizeof *t->used);
	t->kids = array(s->cap, sizeof *t->kids);
	if (!t->hash || !t->seen || !t->ppid || !t->used || !t->kids) {
		gf_table_deinit(t);
		return gf_err_set(err, ENOMEM, "no memory for a table of %u tasks: lower max_tasks", s->cap);
	}
	return 0;
}

void gf_table_deinit(struct gf_table *t)
{
	free(t->hash);
	free(t->seen);
	free(t->ppid);
	free(t->used);
	free(t->kids);
	memset(t, 0, sizeof *t);
}

void gf_table_begin(struct gf_table *t)
{
	t->pass++;
	t->unplaced = 0;
}

uint32_t gf_table_find(const struct gf_table *t, int32_t pid, uint64_t start_ns)
{
	return t->hash[gf_table_slot(t, pid, start_ns)] - 1; /* empty: 0 - 1 is GF_NONE */
}

uint32_t gf_table_row(struct gf_table *t, int32_t pid, uint64_t start_ns, int32_t ppid, bool *ret_new)
{
	uint32_t slot = gf_table_slot(t, pid, start_ns);
	uint32_t row = t->hash[slot] - 1;

	*ret_new = false;
	if (row == GF_NONE) {
		row = gf_table_take(t, slot, pid, start_ns);
		if (row == GF_NONE)
			return GF_NONE;
		gf_row_clear(t->s, row);
		*ret_new = true;
	}
	t->seen[row] = t->pass;
	t->ppid[row] = ppid;
	t->s->flags[row] = GF_ROW_VALID;
	return row;
}

static void free_row(struct gf_table *t, uint32_t row)
{
	if (t->on_free)
		t->on_free(t->on_free_arg, row);
	gf_row_clear(t->s, row);
	gf_table_release(t, row);
}

static void link_parents(struct gf_table *t)
{
	struct gf_sample *s = t->s;

	memset(t->kids, 0, s->rows * sizeof *t->kids);
	for (uint32_t i = 0; i < s->rows; i++)
		gf_table_parent(t, i);
	for (uint32_t i = 0; s->col[GF_TF_CHILDREN] && i < s->rows; i++)
		gf_table_children(t, i);
}

void gf_table_commit(struct gf_table *t)
{
	struct gf_sample *s = t->s;
	uint32_t last = 0;

	s->live = 0;
	for (uint32_t i = 0; i < s->rows; i++) {
		if (!s->flags[i])
			continue;
		if (t->seen[i] != t->pass) {
			free_row(t, i);
			continue;
		}
		s->live++;
		last = i + 1;
	}
	s->rows = last;
	s->dropped = t->unplaced;
	link_parents(t);
}

void gf_table_abort(struct gf_table *t)
{
	struct gf_sample *s = t->s;

	s->live = 0;
	for (uint32_t i = 0; i < s->rows; i++) {
		if (!s->flags[i])
			continue;
		s->flags[i] |= GF_ROW_TORN;
		s->live++;
	}
	s->dropped = t->unplaced;
}

uint32_t gf_table_ver(struct gf_table *t)
{
	return gf_table_next_ver(t);
}

void gf_table_comm(struct gf_table *t, uint32_t row, const char *comm, size_t len)
{
	gf_row_comm(t, row, comm, (uint32_t)strnlen(comm, GF_MIN(len, (size_t)GF_COMM_LEN)));
}
