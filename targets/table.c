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
	uint32_t size = 256;

	memset(t, 0, sizeof *t);
	while (size < 2 * s->cap)
		size *= 2;
	t->s = s;
	t->mask = size - 1;
	t->hash = array(size, sizeof *t->hash);
	t->seen = array(s->cap, sizeof *t->seen);
	t->ppid = array(s->cap, sizeof *t->ppid);
	t->used = array(s->cap / 64, sizeof *t->used);
	if (!t->hash || !t->seen || !t->ppid || !t->used) {
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
	memset(t, 0, sizeof *t);
}

/* By pid alone, so that a parent, of whom only the pid is known, is found in the
 * same table. Two identities of one pid meet only within a pass. */
static uint32_t slot_of(const struct gf_table *t, int32_t pid)
{
	return ((uint32_t)pid * 2654435761u >> 7) & t->mask;
}

static uint32_t find_slot(const struct gf_table *t, int32_t pid, uint64_t start_ns)
{
	uint32_t i = slot_of(t, pid);

	for (; t->hash[i]; i = (i + 1) & t->mask) {
		uint32_t row = t->hash[i] - 1;
		if (t->s->pid[row] == pid && t->s->start_ns[row] == start_ns)
			break;
	}
	return i;
}

uint32_t gf_table_find(const struct gf_table *t, int32_t pid, uint64_t start_ns)
{
	return t->hash[find_slot(t, pid, start_ns)] - 1; /* empty: 0 - 1 is GF_NONE */
}

static uint32_t find_pid(const struct gf_table *t, int32_t pid)
{
	for (uint32_t i = slot_of(t, pid); t->hash[i]; i = (i + 1) & t->mask)
		if (t->s->pid[t->hash[i] - 1] == pid)
			return t->hash[i] - 1;
	return GF_NONE;
}

static void remove_slot(struct gf_table *t, uint32_t hole)
{
	uint32_t i = hole;

	for (;;) {
		i = (i + 1) & t->mask;
		if (!t->hash[i])
			break;
		uint32_t home = slot_of(t, t->s->pid[t->hash[i] - 1]);
		/* Whoever's way from home to here leads over the hole moves into it. */
		if (((i - home) & t->mask) >= ((i - hole) & t->mask)) {
			t->hash[hole] = t->hash[i];
			hole = i;
		}
	}
	t->hash[hole] = 0;
}

static void clear_row(struct gf_sample *s, uint32_t row)
{
	s->flags[row] = 0;
	s->parent[row] = GF_NONE;
	s->uid[row] = GF_NONE;
	memset(s->comm[row], 0, GF_COMM_LEN);
	for (unsigned i = 0; i < GF_COLS; i++)
		if (s->col[i])
			s->col[i][row] = gf_unknown();
	for (int i = 0; i < GF_SF_COUNT; i++)
		if (s->str[i])
			s->str[i][row] = (struct gf_strref){ 0 };
}

static uint32_t take_row(struct gf_table *t)
{
	uint32_t words = t->s->cap / 64;

	for (uint32_t w = t->first_free; w < words; w++) {
		if (t->used[w] == UINT64_MAX)
			continue;
		t->first_free = w;
		uint32_t bit = (uint32_t)__builtin_ctzll(~t->used[w]);
		t->used[w] |= 1ull << bit;
		return w * 64 + bit;
	}
	t->first_free = words;
	return GF_NONE;
}

static void free_row(struct gf_table *t, uint32_t row)
{
	struct gf_sample *s = t->s;

	if (t->on_free)
		t->on_free(t->on_free_arg, row);
	remove_slot(t, find_slot(t, s->pid[row], s->start_ns[row]));
	clear_row(s, row);
	s->pid[row] = 0;
	s->start_ns[row] = 0;
	t->used[row / 64] &= ~(1ull << row % 64);
	t->first_free = GF_MIN(t->first_free, row / 64);
}

void gf_table_begin(struct gf_table *t)
{
	t->pass++;
	t->unplaced = 0;
}

uint32_t gf_table_row(struct gf_table *t, int32_t pid, uint64_t start_ns, int32_t ppid, bool *ret_new)
{
	struct gf_sample *s = t->s;
	uint32_t slot = find_slot(t, pid, start_ns);
	uint32_t row = t->hash[slot] - 1;

	*ret_new = false;
	if (row == GF_NONE) {
		row = take_row(t);
		if (row == GF_NONE) {
			t->unplaced++;
			return GF_NONE;
		}
		t->hash[slot] = row + 1;
		clear_row(s, row);
		s->pid[row] = pid;
		s->start_ns[row] = start_ns;
		s->gen[row]++;
		s->rows = GF_MAX(s->rows, row + 1);
		*ret_new = true;
	}
	t->seen[row] = t->pass;
	t->ppid[row] = ppid;
	s->flags[row] = GF_ROW_VALID;
	return row;
}

static void link_parents(struct gf_table *t)
{
	struct gf_sample *s = t->s;
	double *children = s->col[GF_TF_CHILDREN];

	for (uint32_t i = 0; children && i < s->rows; i++)
		children[i] = s->flags[i] ? 0 : gf_unknown();
	for (uint32_t i = 0; i < s->rows; i++) {
		s->parent[i] = GF_NONE;
		if (!s->flags[i] || t->ppid[i] <= 0)
			continue;
		uint32_t p = find_pid(t, t->ppid[i]);
		/* No parent is younger than its child: that would be another
		 * process with a pid that became free during the pass. */
		if (p == GF_NONE || p == i || s->start_ns[p] > s->start_ns[i])
			continue;
		s->parent[i] = p;
		if (children)
			children[p]++;
	}
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
	if (!++t->next_ver)
		t->next_ver = 1;
	return t->next_ver;
}

void gf_table_comm(struct gf_table *t, uint32_t row, const char *comm, size_t len)
{
	struct gf_sample *s = t->s;
	struct gf_strref *ref = s->str[GF_SF_COMM] ? &s->str[GF_SF_COMM][row] : NULL;
	char name[GF_COMM_LEN] = { 0 };

	len = strnlen(comm, GF_MIN(len, (size_t)GF_COMM_LEN - 1));
	memcpy(name, comm, len);
	bool same = !memcmp(name, s->comm[row], GF_COMM_LEN);
	if (same && (!ref || ref->ver))
		return;
	memcpy(s->comm[row], name, GF_COMM_LEN);
	if (ref)
		*ref = (struct gf_strref){ s->comm[row], (uint32_t)len, gf_table_ver(t) };
}
