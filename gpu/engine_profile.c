/* SPDX-License-Identifier: MIT
 *
 * GPUFAS_GPU_PROFILE=FILE: when an engine's device is stopped, a table of where its ticks' time went (gpu/profile.h) is appended there. For who
 * makes ticks faster; docs/gpu.md says how to read it.
 */
#include "gpu/engine_gpu.h"

#include <stdio.h>
#include <stdlib.h>

static const char *const name[GF_PROFILE_MARKS] = {
	[GF_JOB_BACK] = "tick: clock back", [GF_JOB_GAP] = "tick: gap", [GF_JOB_ROWS] = "tick: rows", [GF_JOB_LEVEL] = "tick: level",
	[GF_JOB_SUMS] = "tick: sums", [GF_JOB_AGGS] = "tick: aggregates", [GF_JOB_GATES] = "tick: gates", [GF_JOB_TRUTHS] = "tick: truths",
	[GF_JOB_COND] = "tick: condition", [GF_JOB_SELECT] = "tick: select", [GF_JOB_BEST] = "tick: best",
	[GF_JOB_RANK] = "tick: rank", [GF_JOB_PLACE] = "tick: place", [GF_JOB_TELL] = "tick: evidence", [GF_JOB_GROUP] = "tick: group",
	[GF_JOB_TREE] = "tick: tree", [GF_JOB_FAMILY] = "tick: family", [GF_JOB_OWN] = "tick: own", [GF_JOB_PARENT] = "tick: parent",
	[GF_JOB_ANCESTOR] = "tick: ancestor", [GF_JOB_NEAR] = "views: near",
	[GF_SJ_BEGIN] = "sample: clock, CPUs, root", [GF_SJ_CPUS] = "sample: CPUs", [GF_SJ_SLOTS] = "sample: slots", [GF_SJ_COLLECT] = "sample: collect",
	[GF_SJ_READ] = "sample: read", [GF_SJ_SLOW] = "sample: slow",
	[GF_SJ_WORDS] = "sample: words", [GF_SJ_LATE] = "sample: late", [GF_SJ_FILL] = "sample: fill", [GF_SJ_STRINGS] = "sample: strings",
	[GF_SJ_AGAIN] = "sample: again",
	[GF_SJ_UNSEEN] = "sample: unseen", [GF_SJ_PARENTS] = "sample: parents", [GF_SJ_CHILDREN] = "sample: children", [GF_SJ_TORN] = "sample: torn",
	[GF_SJ_HOST] = "sample: host", [GF_SJ_INIT] = "sample: init", [GF_SJ_INIT_ROWS] = "sample: rows made",
	[GF_SJ_RING_COPY] = "module: copy", [GF_SJ_RING_ROWS] = "module: rows", [GF_SJ_RING_FILL] = "module: fill",
	[GF_GPU_JOB_TABLE] = "the host's table", [GF_GPU_JOB_OUT] = "out", [GF_GPU_JOB_KEEP] = "keep", [GF_GPU_JOB_WARM] = "addresses",
	[GF_GPU_JOB_TAPE] = "recorded", [GF_GPU_JOB_TEXTS] = "recorded: strings",
	[GF_MARK_TICK] = "begin", [GF_MARK_COMMANDS] = "nap, commands", [GF_MARK_SAMPLED] = "after sampling", [GF_MARK_DECIDED] = "after rules",
	[GF_MARK_DELIVERED] = "deliver", [GF_MARK_TOLD] = "figures", [GF_MARK_KEPT] = "results, kept",
};

void gf_gpu_profile_make(struct gf_gpu_host *h, struct gf_gpu *g)
{
	if (getenv("GPUFAS_GPU_PROFILE"))
		h->profile = g->profile = h->ops->alloc(h->dev, sizeof *h->profile);
}

static void write_table(FILE *f, const struct gf_profile *p, const struct gf_engine *e)
{
	double ticks = (double)GF_MAX(p->n[GF_MARK_TICK], (uint64_t)1), us = p->clocks ? (double)p->ns / (double)p->clocks / 1000 / ticks : 0;
	double lead = 0, all = 0, calls = 0;

	fprintf(f, "# %s: %llu ticks of %u tasks, %u blocks of %u lanes; %llu lines of memory a task; microseconds a tick\n", e->target->name,
		(unsigned long long)p->n[GF_MARK_TICK], e->now.live, e->now.gpu_blocks, e->now.gpu_threads, (unsigned long long)p->lines);
	fprintf(f, "%-28s %8s %10s %10s %10s\n", "what", "calls", "leader", "own share", "all ended");
	for (uint32_t i = 0; i < GF_PROFILE_MARKS; i++) {
		if (!p->n[i])
			continue;
		fprintf(f, "%-28s %8.2f %10.2f %10.2f %10.2f\n", name[i] ? name[i] : "?", (double)p->n[i] / ticks, (double)p->lead[i] * us,
			(double)p->own[i] * us, (double)p->all[i] * us);
		if (i == GF_MARK_COMMANDS)
			continue;
		calls += i < GF_MARK_TICK ? (double)p->n[i] / ticks : 0;
		lead += (double)p->lead[i] * us;
		all += (double)p->all[i] * us;
	}
	fprintf(f, "%-28s %8.2f %10.2f %10s %10.2f\n\n", "together", calls, lead, "", all);
}

/* Its kernel has ended. */
void gf_gpu_profile_write(struct gf_gpu_host *h, const struct gf_engine *e)
{
	const char *path = getenv("GPUFAS_GPU_PROFILE");
	struct gf_profile *p = h->profile && path ? malloc(sizeof *p) : NULL;
	struct gf_err err;
	FILE *f;

	if (!p)
		return;
	f = h->ops->copy_out(h->dev, p, h->profile, sizeof *p, &err) ? NULL : fopen(path, "a");
	if (f) {
		write_table(f, p, e);
		fclose(f);
	}
	free(p);
}

void gf_gpu_profile_free(struct gf_gpu_host *h)
{
	if (h->profile)
		h->ops->free(h->dev, h->profile);
	h->profile = NULL;
}
