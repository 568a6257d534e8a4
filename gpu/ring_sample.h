/* SPDX-License-Identifier: MIT
 *
 * One look at the machine that the watcher itself runs on, by the table that its kernel module keeps in pinned memory (gpu/region.h): for a
 * device that has those pages registered. Who runs the machine's user space, or whether anybody does, is of no matter here.
 *
 * What the module cannot know, the host tells while it runs (gf_mr_side): command lines, paths of cgroups, pressure. It is kept of a
 * process for as long as that runs the same program; of one that began after the host stopped it is unknown.
 */
#ifndef GPUFAS_RING_SAMPLE_H
#define GPUFAS_RING_SAMPLE_H

#include "gpu/sampler.h"

#define GF_MR_TRIES 3u
#define GF_MR_SIDE_NS 2000000000ull /* what the host told about the machine as a whole is good for so long */

/* What does not change. */
struct gf_mr {
	struct gf_region r;
	uint64_t total_pages; /* RAM and swap */
	uint64_t limit_ns;    /* a table that is older is stale */
	struct gf_mr_selfs selfs;
};

/* From one look to the next; zero when another ring is looked at. */
struct gf_mr_state {
	struct gf_region_clock clock;
	uint64_t pass, pass_ns;      /* the newest, and when it was first seen, by the device's clock */
	uint64_t side_ns, side_told_ns; /* what the host told: of its sample's clock; when it came, by the device's */
	double side[GF_HF_COUNT];
};

/* Leader: whether there is a table that has not been looked at, or none for so long that it must be said. */
GF_INLINE int gf_mr_news(const struct gf_mr *g, const struct gf_mr_state *st, uint64_t now)
{
	return gf_region_word(&g->r, GF_REGION_HEAD(pass)) != st->pass || now - st->pass_ns > g->limit_ns;
}

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
