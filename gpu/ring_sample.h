/* SPDX-License-Identifier: MIT
 *
 * One look at the machine that the watcher itself runs on, by the table that its kernel module keeps in pinned memory (gpu/region.h): for a
 * device that has those pages registered. Who runs the machine's user space, or whether anybody does, is of no matter here.
 *
 * What the module cannot know, the host tells while it runs (gf_mr_side): command lines, paths of cgroups, pressure. It is kept of a
 * process for as long as that runs the same program; of one that began after the host stopped it is unknown.
 *
 *   copy   words of records, neighbouring lanes neighbouring words
 *   row    a lane a record: what cannot be is thrown out; its row, where it has one
 *   fill   columns
 *   then rows and parents as in gpu/sampler.h
 */
#ifndef GPUFAS_RING_SAMPLE_H
#define GPUFAS_RING_SAMPLE_H

#include "gpu/sampler.h"

#define GF_MR_SELF 64u
#define GF_MR_DEEP 4u
#define GF_MR_TRIES 3u
#define GF_MR_SIDE_NS 2000000000ull /* what the host told about the machine as a whole is good for so long */
#define GF_MR_REC_WORDS (sizeof(struct gf_task_rec) / 8)

/* What does not change. */
struct gf_mr {
	struct gf_region r;
	uint64_t total_pages; /* RAM and swap */
	uint64_t limit_ns;    /* a table that is older is stale */
	int32_t me;           /* the watcher: it and its children, and ... */
	uint32_t selfs;
	int32_t self[GF_MR_SELF]; /* ... these are never touched */
};

/* From one look to the next; zero when another ring is looked at. */
struct gf_mr_state {
	struct gf_region_look look;
	struct gf_region_clock clock;
	uint64_t pass, pass_ns;      /* the newest, and when it was first seen, by the device's clock */
	uint64_t side_ns, side_told_ns; /* what the host told: of its sample's clock; when it came, by the device's */
	uint32_t odd;
	double side[GF_HF_COUNT];
};

/* Leader: whether there is a table that has not been looked at, or none for so long that it must be said. */
GF_INLINE int gf_mr_news(const struct gf_mr *g, const struct gf_mr_state *st, uint64_t now)
{
	return gf_region_word(&g->r, GF_REGION_HEAD(pass)) != st->pass || now - st->pass_ns > g->limit_ns;
}

/* ---- jobs: records [from, from + n) of the table that is looked at ---- */

GF_OUTLINE void gf_mr_copy(struct gf_sampler *v, const struct gf_mr *g, struct gf_mr_state *st, uint32_t from, uint32_t n, uint32_t lane,
			     uint32_t lanes)
{
	uint64_t *to = (uint64_t *)(void *)v->rec, off = st->look.off + (uint64_t)from * sizeof(struct gf_task_rec);
	uint64_t words = (uint64_t)n * GF_MR_REC_WORDS;
	const uint8_t *whole = gf_region_at(&g->r, off, words * 8);

	for (uint64_t i = lane; i < words; i += (uint64_t)lanes * GF_MR_DEEP) {
		uint64_t w[GF_MR_DEEP];

		GF_UNROLL
		for (uint32_t k = 0; k < GF_MR_DEEP; k++) {
			uint64_t at = i + (uint64_t)k * lanes;
			w[k] = at >= words ? 0 : whole ? gf_load(whole + at * 8, 8) : gf_region_word(&g->r, off + at * 8);
		}
		GF_UNROLL
		for (uint32_t k = 0; k < GF_MR_DEEP; k++)
			if (i + (uint64_t)k * lanes < words)
				to[i + (uint64_t)k * lanes] = w[k];
	}
}

GF_OUTLINE void gf_mr_rows(struct gf_sampler *v, struct gf_mr_state *st, uint32_t n, uint32_t lane, uint32_t lanes)
{
	for (uint32_t i = lane; i < n; i += lanes) {
		v->lead[i].row = GF_NONE;
		v->lead[i].state = 0;
		if (!gf_region_mend(&v->rec[i], st->look.last_ns))
			gf_team_add(&st->odd, 1);
		else
			gf_lead_got(v, 0, i, GF_TASK_OK, 0);
	}
}

GF_INLINE int gf_mr_is_self(const struct gf_mr *g, const struct gf_task_rec *r)
{
	if (r->pid == g->me || r->ppid == g->me)
		return 1;
	for (uint32_t i = 0; i < g->selfs && i < GF_MR_SELF; i++)
		if (g->self[i] == r->pid)
			return 1;
	return 0;
}

GF_INLINE void gf_mr_forget(struct gf_sample *s, uint32_t row)
{
	const struct gf_strref none = { NULL, 0, 0 };

	for (uint32_t f = 0; f < GF_SF_COUNT; f++)
		if (GF_STR_READ & 1u << f && s->str[f])
			s->str[f][row] = none;
}

GF_OUTLINE void gf_mr_fill(struct gf_sampler *v, const struct gf_mr *g, uint32_t n, uint32_t lane, uint32_t lanes)
{
	for (uint32_t i = lane; i < n; i += lanes) {
		const struct gf_task_rec *r = &v->rec[i];
		uint32_t row = v->lead[i].row;
		struct gf_row_note *note;

		if (row == GF_NONE || v->claim[row] != ~i) /* twice: the first has it */
			continue;
		note = &v->note[row];
		v->table.seen[row] = v->table.pass;
		if (v->lead[i].state & GF_LEAD_FRESH) {
			const struct gf_row_note none = { { 0, 0 }, r->exec_tag, 0, 0, 0, 0, 0 };
			gf_row_clear(v->s, row);
			*note = none;
		} else if (note->exec_tag != r->exec_tag) {
			gf_mr_forget(v->s, row);
			note->exec_tag = r->exec_tag;
			note->retry_ns = v->s->now_ns; /* what the host saw before is another program's */
		}
		gf_sampler_columns(v, row, r);
		if (gf_mr_is_self(g, r))
			v->s->flags[row] |= GF_ROW_SELF;
		v->claim[row] = 0;
	}
}

/* ---- the leader's ---- */

GF_INLINE void gf_mr_host_fields(struct gf_sampler *v, const struct gf_mr *g, struct gf_mr_state *st, uint64_t now, int bad)
{
	uint64_t want = v->fields.host, stalled = gf_region_stalled(&g->r, &st->clock, now);
	struct gf_sample *s = v->s;

	for (uint32_t i = 0; i < GF_HF_COUNT; i++)
		s->host[i] = st->side_ns && now - st->side_told_ns < GF_MR_SIDE_NS ? st->side[i] : gf_unknown();
	gf_region_host(&g->r, want, s->host);
	if (want & GF_BIT(GF_HF_OS_STALLED))
		s->host[GF_HF_OS_STALLED] = (double)stalled;
	if (want & GF_BIT(GF_HF_UPTIME))
		s->host[GF_HF_UPTIME] = (double)s->now_ns;
	if (want & GF_BIT(GF_HF_TASKS_COUNT))
		s->host[GF_HF_TASKS_COUNT] = bad ? gf_unknown() : (double)s->live + s->dropped;
}

#endif
