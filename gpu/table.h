/* SPDX-License-Identifier: MIT
 *
 * Which row of a sample belongs to which process: what one lane does to one row or slot. Host targets go through
 * targets/table.h, which does it all one after the other; memory targets through gpu/sampler.h, by lanes.
 *
 * Rows are given out lowest first, to newcomers in the order in which they are seen, and freed in the order of rows: both by one
 * lane, so that the table does not depend on how many there are.
 */
#ifndef GPUFAS_GPU_TABLE_H
#define GPUFAS_GPU_TABLE_H

#include "gpu/team.h"
#include "gpufas/sample.h"

struct gf_table {
	struct gf_sample *s;
	uint32_t *hash;    /* row + 1, by pid; 0 is empty */
	uint32_t mask;
	uint32_t *seen;    /* pass in which the row was last seen */
	int32_t *ppid;     /* parent's pid as last seen */
	uint64_t *used;    /* one bit a row */
	uint32_t *kids;    /* children, counted where there is a column for them */
	uint32_t first_free; /* no free row in words of `used` before this one */
	uint32_t pass;
	uint32_t next_ver;
	uint32_t unplaced; /* processes of this pass that found no row */
	/* Called when a row is about to be freed; may be NULL. Host targets only. */
	void (*on_free)(void *arg, uint32_t row);
	void *on_free_arg;
};

GF_INLINE uint32_t gf_table_size(uint32_t cap)
{
	uint32_t size = 256;

	while (size < 2 * cap)
		size *= 2;
	return size;
}

/* By pid alone, so that a parent, of whom only the pid is known, is found in the
 * same table. Two identities of one pid meet only within a pass. */
GF_INLINE uint32_t gf_table_home(const struct gf_table *t, int32_t pid)
{
	return ((uint32_t)pid * 2654435761u >> 7) & t->mask;
}

GF_INLINE uint32_t gf_table_slot(const struct gf_table *t, int32_t pid, uint64_t start_ns)
{
	uint32_t i = gf_table_home(t, pid);

	for (; t->hash[i]; i = (i + 1) & t->mask) {
		uint32_t row = t->hash[i] - 1;
		if (t->s->pid[row] == pid && t->s->start_ns[row] == start_ns)
			break;
	}
	return i;
}

GF_INLINE uint32_t gf_table_pid(const struct gf_table *t, int32_t pid)
{
	for (uint32_t i = gf_table_home(t, pid); t->hash[i]; i = (i + 1) & t->mask)
		if (t->s->pid[t->hash[i] - 1] == pid)
			return t->hash[i] - 1;
	return GF_NONE;
}

GF_INLINE void gf_table_unhash(struct gf_table *t, uint32_t hole)
{
	uint32_t i = hole;

	for (;;) {
		i = (i + 1) & t->mask;
		if (!t->hash[i])
			break;
		uint32_t home = gf_table_home(t, t->s->pid[t->hash[i] - 1]);
		/* Whoever's way from home to here leads over the hole moves into it. */
		if (((i - home) & t->mask) >= ((i - hole) & t->mask)) {
			t->hash[hole] = t->hash[i];
			hole = i;
		}
	}
	t->hash[hole] = 0;
}

/* What a row shows, but not whose it is. A row's own lane. */
GF_CALLED void gf_row_clear(struct gf_sample *s, uint32_t row)
{
	const struct gf_strref none = { NULL, 0, 0 };

	s->flags[row] = 0;
	s->parent[row] = GF_NONE;
	s->uid[row] = GF_NONE;
	for (uint32_t i = 0; i < GF_COMM_LEN; i++)
		s->comm[row][i] = 0;
	for (uint32_t i = 0; i < GF_COLS; i++)
		if (s->col[i])
			s->col[i][row] = gf_unknown();
	for (uint32_t i = 0; i < GF_SF_COUNT; i++)
		if (s->str[i])
			s->str[i][row] = none;
}

/* A free row for whoever has no other; what it shows is left as it is. One lane. */
GF_INLINE uint32_t gf_table_take(struct gf_table *t, uint32_t slot, int32_t pid, uint64_t start_ns)
{
	struct gf_sample *s = t->s;
	uint32_t words = s->cap / 64, w = t->first_free;

	while (w < words && t->used[w] == UINT64_MAX)
		w++;
	t->first_free = w;
	if (w == words) {
		t->unplaced++;
		return GF_NONE;
	}
	uint32_t bit = gf_ctz64(~t->used[w]), row = w * 64 + bit;
	t->used[w] |= 1ull << bit;
	t->hash[slot] = row + 1;
	s->pid[row] = pid;
	s->start_ns[row] = start_ns;
	s->gen[row]++;
	s->rows = GF_MAX(s->rows, row + 1);
	return row;
}

/* Nobody's any more; what it shows has been cleared. One lane. */
GF_INLINE void gf_table_release(struct gf_table *t, uint32_t row)
{
	struct gf_sample *s = t->s;

	gf_table_unhash(t, gf_table_slot(t, s->pid[row], s->start_ns[row]));
	s->pid[row] = 0;
	s->start_ns[row] = 0;
	t->used[row / 64] &= ~(1ull << row % 64);
	t->first_free = GF_MIN(t->first_free, row / 64);
}

/* Looks up a row's parent, and counts it there. kids are 0 before; nobody comes or goes meanwhile. A row's own lane. */
GF_INLINE void gf_table_parent(struct gf_table *t, uint32_t row)
{
	struct gf_sample *s = t->s;
	uint32_t p;

	s->parent[row] = GF_NONE;
	if (!s->flags[row] || t->ppid[row] <= 0)
		return;
	p = gf_table_pid(t, t->ppid[row]);
	/* No parent is younger than its child: that would be another
	 * process with a pid that became free during the pass. */
	if (p == GF_NONE || p == row || s->start_ns[p] > s->start_ns[row])
		return;
	s->parent[row] = p;
	if (s->col[GF_TF_CHILDREN])
		gf_team_add(&t->kids[p], 1);
}

GF_INLINE void gf_table_children(struct gf_table *t, uint32_t row)
{
	struct gf_sample *s = t->s;

	s->col[GF_TF_CHILDREN][row] = s->flags[row] ? (double)t->kids[row] : gf_unknown();
}

/* A version that no string of this table has had; never 0. Any lane. */
GF_INLINE uint32_t gf_table_next_ver(struct gf_table *t)
{
	uint32_t v;

	do {
		v = gf_team_add(&t->next_ver, 1) + 1;
	} while (!v);
	return v;
}

/* Sets the command name (at most 15 bytes) and, when it differs, its version. comm has max bytes, of which the first zero ends it. A row's own lane. */
GF_INLINE void gf_row_comm(struct gf_table *t, uint32_t row, const char *comm, uint32_t max)
{
	struct gf_sample *s = t->s;
	struct gf_strref *ref = s->str[GF_SF_COMM] ? &s->str[GF_SF_COMM][row] : NULL;
	char *to = s->comm[row], now[GF_COMM_LEN], was[GF_COMM_LEN];
	uint32_t len = 0, ended = 0;
	int same = 1;

	/* Loads first: on a device they are under way together. */
	GF_UNROLL
	for (uint32_t i = 0; i < GF_COMM_LEN; i++) {
		now[i] = (char)(i < max && i < GF_COMM_LEN - 1 ? comm[i] : 0);
		was[i] = to[i];
	}
	GF_UNROLL
	for (uint32_t i = 0; i < GF_COMM_LEN; i++) {
		ended |= !now[i];
		now[i] = (char)(ended ? 0 : now[i]);
		len += !ended;
		same &= now[i] == was[i];
	}
	if (same && (!ref || ref->ver))
		return;
	for (uint32_t i = 0; i < GF_COMM_LEN; i++)
		to[i] = now[i];
	if (ref) {
		ref->p = to;
		ref->len = len;
		ref->ver = gf_table_next_ver(t);
	}
}

#endif
