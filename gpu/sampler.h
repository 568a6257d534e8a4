/* SPDX-License-Identifier: MIT
 *
 * One look at a guest's memory: processes, host fields, strings. The leader runs gf_sampler_run; whatever is done for
 * each slot of the tree of pids, each task, row or CPU is a job (gf_sampler_job), a lane each.
 *
 *   who       the tree of pids, level by level: its leaders, in the order of pids; beside it, with a team, words of those of the last pass
 *   read      a record a process; its row, where it has one already; with a team, newcomers in three steps
 *   place     rows for newcomers, in the order of pids (one lane)
 *   fill      the record into the row's columns; then strings, where some are missing
 *   commit    rows not seen are freed, in their order (one lane); parents, children
 *
 * A sample does not depend on the number of lanes, while memory stands still. Versions of strings do (they are numbers
 * that differ when strings do, and nothing else), and so does whose string is unknown when there is no room for all.
 *
 * What hostile memory can cost: the tree has at most GF_WALK_SLOTS slots of leaves, a process may be looked at three times, and
 * loads of which it alone says how many there are (threads, descriptors, CPUs of each process) come out of `budget`. One half of it is dealt out to all processes
 * in equal parts; those to whom that is not enough share the other half.
 */
#ifndef GPUFAS_SAMPLER_H
#define GPUFAS_SAMPLER_H

#include <errno.h>

#include "gpu/region.h"
#include "gpu/gather.h"
#include "gpu/hostfields.h"
#include "gpu/kpath.h"
#include "gpu/path.h"
#include "gpu/record.h"
#include "gpu/table.h"
#include "gpu/tasks.h"
#include "gpu/textpool.h"

/* A bench's: around each call. */
#ifndef GF_SAMPLER_TIMED
#define GF_SAMPLER_TIMED(job, ended) ((void)0)
#endif

#define GF_WALK_TRIES 3u         /* of the tree of pids, until one finds it whole */
#define GF_WALK_SLOTS (4u << 20) /* PID_MAX_LIMIT: slots of leaves in a whole tree */
#define GF_WALK_NODES (GF_WALK_SLOTS / GF_XA_SLOTS)
#define GF_WALK_BATCH 1024u      /* nodes whose slots are looked at by one call */
#define GF_WALK_GROUP 32u        /* nodes that are counted together */
#define GF_SAMPLER_BUDGET (4u << 20) /* loads a tick may spend on lengths that the guest alone knows */
#define GF_MR_RECS 4096u         /* records of a module that are taken at a time by who does nothing else */
#define GF_SAMPLER_TEXTS 256u    /* lanes that read strings */
#define GF_STR_RETRY_NS 1000000000ull
#define GF_STR_RETRIES 10u
#define GF_STR_MAX 4095u         /* bytes of a string */
#define GF_STR_READ ((1u << GF_SF_EXE) | (1u << GF_SF_CMDLINE) | (1u << GF_SF_CGROUP))

enum gf_sampler_jobs {
	GF_SJ_BEGIN = 64, /* what waits for nothing: the clock, which CPUs there are, the tree's root; pages; words of rows */
	GF_SJ_CPUS,       /* each CPU's offset; whether it idles */
	GF_SJ_SLOTS,      /* slots of nodes [a, a + b), of shift c (and enum gf_walk_also); words of more rows */
	GF_SJ_COLLECT,    /* what was found, into the next level, or the leaders */
	GF_SJ_READ,       /* records of leaders [a, b); columns of those that are as they were; c: beside it host fields */
	GF_SJ_SLOW,       /* of those that must wait for memory, or where their objects are */
	GF_SJ_WORDS,      /* words of those of whom that is known now */
	GF_SJ_LATE,       /* their records */
	GF_SJ_FILL,       /* columns of the others; parents */
	GF_SJ_STRINGS,
	GF_SJ_AGAIN,      /* those whose share of the budget was too small */
	GF_SJ_UNSEEN,     /* rows */
	GF_SJ_PARENTS,
	GF_SJ_CHILDREN,
	GF_SJ_TORN,
	GF_SJ_HOST,
	GF_SJ_INIT,       /* initial contents */
	GF_SJ_INIT_ROWS,
	GF_SJ_RING_COPY,  /* b records from a on, of a module's table (gpu/ring_rows.h) */
	GF_SJ_RING_ROWS,
	GF_SJ_RING_FILL,
	GF_SJ_END
};

/* What is looked at, for as long as it runs. Plain data: on the device, kmem's pieces are the device's addresses. */
struct gf_sampler_guest {
	struct gf_kmem mem;
	struct gf_layout layout;
	uint64_t boot;     /* number of the guest, from 1 */
	uint32_t still;    /* an image: its clock never moves */
	uint32_t paths;
	struct gf_kpath kpath[GF_MAX_PATHS];
};

/* What is remembered of a row beside its sample. */
struct gf_row_note {
	struct gf_record_note shown;
	uint64_t exec_tag;
	uint64_t kn, kn_id;  /* the cgroup that its path is of */
	uint64_t retry_ns;   /* when strings that were not in memory are looked for again */
	uint32_t tries;
	uint32_t reserved;
};

enum gf_lead_state {
	GF_LEAD_FRESH = 1,   /* its row is new */
	GF_LEAD_AGAIN = 2,   /* to be read once more */
	GF_LEAD_SAME = 4,    /* its objects are where they were kept to be */
	GF_LEAD_LATE = 8,    /* read in this pass' second round: kept is its spare row */
	GF_LEAD_NEED = 16,   /* << enum gf_str_field: strings to be read */
};

/* A process of this pass. */
struct gf_lead {
	uint64_t pid, task; /* addresses */
	uint32_t row;
	uint32_t state;
	uint32_t kept;      /* row at the last pass; GF_NONE: none that is still of use. GF_LEAD_LATE: the spare row that was its */
	uint32_t nr;        /* its place in the tree, which is its pid */
};

/* Why there is no sample. */
enum gf_sampler_why { GF_SW_NONE, GF_SW_CPUS, GF_SW_TASKS, GF_SW_TORN };

struct gf_sampler {
	struct gf_sample *s;
	struct gf_table table;
	struct gf_fieldset fields;
	uint32_t want;         /* enum gf_rec_have */
	uint32_t cap;          /* rows, and leaders */
	uint32_t recs;         /* records that there is room for: leaders are read so many at a time */
	uint32_t texts;        /* lanes that have room for a string */
	uint32_t budget;
	uint32_t why;          /* enum gf_sampler_why, of the last run */
	uint32_t plain;        /* 1: all are read by one lane each, to compare */
	uint32_t fetched;      /* processes that were not, in the last run */
	const struct gf_region *region; /* of a module, whose table is taken instead of a walk; NULL: none. gpu/ring_rows.h */
	const struct gf_mr_selfs *selfs; /* NULL: the watcher is not in there */
	struct gf_region_look look;
	uint32_t odd;          /* records of it that cannot be */
	uint32_t by_region;    /* the last run did */
	uint64_t *pulse;       /* gpu/pulse.h, or NULL */

	struct gf_row_note *note;
	uint32_t *claim;       /* a row: ~ the first leader of the batch that it is of */
	uint32_t *gone;        /* bit a row: not seen */
	uint32_t *fresh;       /* bit a leader of the batch: it has no row yet */
	struct gf_lead *lead;
	struct gf_task_rec *rec;
	struct gf_gather gather;
	struct gf_who who;
	struct gf_kept kept;
	uint64_t *words;       /* W[word][row] */
	int64_t *parts;        /* [counter][row] */
	uint8_t *has_parts;    /* a row: enum gf_parts */
	struct gf_pages *pages;
	struct gf_host_words *host_words;
	uint32_t *slow;        /* leaders of the batch that must wait for memory */
	uint32_t slow_n, host_due;
	uint32_t *late;        /* of them, those that are fetched after all (gpu/sampler_late.h); GF_NONE: nobody */
	uint32_t late_n, late_max;
	uint32_t met;          /* that were read so, in the last run */
	uint32_t fresh_n, gone_n;
	struct gf_textpool pool;
	char *slot[GF_SF_COUNT]; /* rows' own room for strings */
	char *text;            /* texts of GF_TEXT_MAX bytes */

	/* walk */
	uint64_t *node[2];     /* this level, the next */
	uint32_t *nr[2];       /* the first pid that is below each */
	uint64_t *found[2];    /* a slot of a batch: address of the node or struct pid; of the leader's task */
	uint32_t *mask[2];     /* a slot of a batch: a bit, 64 to a node: there is something; of this batch, the next (which is zero by then) */
	uint32_t count[2][GF_WALK_BATCH / GF_WALK_GROUP];
	uint32_t turn;         /* which of them is this batch's */
	uint32_t root_state, root_shift; /* enum gf_xa; of the first try */
	uint64_t root;
	uint64_t above;        /* the node above a level that was not collected, to be looked at once more; 0: none */
	int32_t masks;         /* 0: which CPUs there are is known */
	uint32_t cpus_due;     /* CPUs are to be looked at beside the first slots */
	uint32_t seen_n, fresh_all; /* rows that there were before, newcomers: of the whole pass */
	uint32_t whole;        /* the walk was */
	uint32_t parents;      /* the pass will not be given up, and is one batch: parents are looked up beside columns */
	uint32_t level, begin; /* which of node[] is this level; entries of the next before this batch's */
	uint32_t next;         /* entries of the next level */
	uint32_t torn;
	uint32_t calls;        /* looks at slots, but for leaves', of the last walk */
	uint32_t fetching;     /* words are fetched of rows that were kept at this pass; 0: of none */
	uint32_t ready, fetch; /* they are there of rows below this; after the call at hand, below that */
	uint32_t with_parts, parts_due; /* CPUs' parts of page counts are fetched in this pass; have not yet been */

	/* this pass */
	struct gf_team *team;
	const struct gf_sampler_guest *g;
	uint32_t n;            /* leaders */
	uint32_t more;         /* that did not fit */
	uint32_t init_seen, bad, starved, need, share;
	uint32_t live, last;
	uint32_t cpus_bad, cpus_busy;
	struct gf_record_env env;
	struct gf_tlb tlb;     /* of the one lane there is */

	/* from one to the next */
	uint64_t boot;         /* number of the guest that the rows are of */
	uint32_t paused, reserved;
	struct gf_clock clock;
	struct gf_clock_now guest_now;
	struct gf_host_state hs;
	struct gf_host_sums sums;
	struct gf_cpus cpus;

	uint8_t *base;         /* as laid out */
	uint64_t size;
};

#include "gpu/sampler_layout.h"
#include "gpu/sampler_strings.h"
#include "gpu/sampler_fetch.h"
#include "gpu/sampler_walk.h"
#include "gpu/sampler_late.h"
#include "gpu/sampler_procs.h"
#include "gpu/sampler_rows.h"

/* ---- all of it -------------------------------------------------------------- */

GF_OUTLINE void gf_sampler_cpus(struct gf_sampler *v, uint32_t lane, uint32_t lanes)
{
	const struct gf_sampler_guest *g = v->g;

	/* Nobody has claimed a row in this pass. */
	for (uint32_t i = lane; v->team && i < v->s->rows; i += lanes)
		v->claim[i] = 0;
	for (uint32_t i = lane; i < v->cpus.n; i += lanes) {
		if (gf_cpu_find(&g->mem, &g->layout, &v->cpus, i))
			gf_team_add(&v->cpus_bad, 1);
		else if ((lanes > 1 || !v->cpus_busy) && gf_cpu_idle(&g->mem, &g->layout, &v->cpus, i) != 1)
			gf_team_add(&v->cpus_busy, 1);
	}
}

/* Teams: what waits for nothing else, side by side. Pages from the last lanes on. */
GF_OUTLINE void gf_sampler_first(struct gf_sampler *v, uint32_t lane, uint32_t lanes)
{
	const struct gf_sampler_guest *g = v->g;
	uint32_t by;

	for (uint32_t k = gf_team_spread(lane, lanes, 3, &by); k < 3; k += by) {
		if (k == 0)
			v->masks = gf_cpus_masks(&g->mem, &g->layout, &v->cpus);
		else if (k == 1)
			v->root_state = gf_xa_root(&g->mem, &g->layout, &v->root, &v->root_shift);
		else
			gf_clock_read(&g->mem, &g->layout, &v->guest_now);
	}
	gf_pages_renew(v->pages, &g->mem, v->table.pass + 1, lanes - 1 - lane, lanes);
	gf_host_words_load(v->host_words, &g->mem, lanes - 1 - lane, lanes);
	/* Not by the first lanes' warps, which wait for one load after the other. */
	if (lanes < 512)
		gf_sampler_gather(v, lane, lanes);
	else if (lane >= 96)
		gf_sampler_gather(v, lane - 96, lanes - 96);
}

GF_OUTLINE void gf_sampler_host(struct gf_sampler *v, uint32_t lane, uint32_t lanes)
{
	const struct gf_sampler_guest *g = v->g;
	struct gf_host_mem m = { &g->mem, v->team ? v->host_words : NULL, 0, 0 };

	for (uint32_t i = lane; i < gf_host_parts(&v->cpus); i += lanes)
		gf_host_part(&m, &g->layout, &v->cpus, &v->hs, &v->sums, v->fields.host, v->s->now_ns, v->guest_now.mono_ns,
			     v->s->host, i, lanes == 1);
}

/* The same from the last lanes on, beside other work. What takes several loads one after the other goes to lanes of different warps. */
GF_INLINE void gf_sampler_host_aside(struct gf_sampler *v, uint32_t lane, uint32_t lanes)
{
	const struct gf_sampler_guest *g = v->g;
	struct gf_host_mem m = { &g->mem, v->host_words, 0, 0 };
	uint32_t apart = lanes >= 512 ? 32 : 1, first = GF_HP_PARTS * apart, at = lanes - 1 - lane, n = gf_host_parts(&v->cpus);

	if (lanes < 512) {
		gf_sampler_host(v, lane, lanes);
		return;
	}
	if (at < first && at % apart)
		return;
	for (uint32_t i = at < first ? at / apart : GF_HP_PARTS + at - first; i < n; i += at < first ? n : lanes - first)
		gf_host_part(&m, &g->layout, &v->cpus, &v->hs, &v->sums, v->fields.host, v->s->now_ns, v->guest_now.mono_ns, v->s->host, i, 0);
}

GF_INLINE void gf_sampler_init_rows(struct gf_sampler *v, uint32_t lane, uint32_t lanes)
{
	for (uint32_t i = lane; i < v->s->cap; i += lanes)
		gf_row_clear(v->s, i);
}

#include "gpu/ring_rows.h"

GF_OUTLINE void gf_sampler_job(struct gf_sampler *v, const struct gf_call *call, uint32_t lane, uint32_t lanes)
{
	switch (call->job) {
	case GF_SJ_CPUS: gf_sampler_cpus(v, lane, lanes); break;
	case GF_SJ_BEGIN: gf_sampler_first(v, lane, lanes); break;
	case GF_SJ_SLOTS:
		if (call->c & GF_WALK_CPUS)
			gf_sampler_cpus(v, lanes - 1 - lane, lanes);
		gf_walk_slots(v, call->a, call->b, call->c, lane, lanes);
		gf_sampler_gather(v, lane, lanes);
		break;
	case GF_SJ_COLLECT:
		gf_walk_collect(v, call->a, call->b, call->c & 0xff, lane, lanes);
		if (call->c & GF_WALK_PARTS)
			gf_sampler_parts(v, lane, lanes);
		break;
	case GF_SJ_READ:
		if (call->c)
			gf_sampler_host_aside(v, lane, lanes);
		if (v->team)
			gf_sampler_quick(v, call->a, call->b, lane, lanes);
		else
			gf_sampler_read(v, call->a, call->b);
		break;
	case GF_SJ_SLOW: gf_sampler_slow(v, call->a, lane, lanes); break;
	case GF_SJ_WORDS: gf_late_words(v, lane, lanes); break;
	case GF_SJ_LATE: gf_sampler_late(v, call->a, lane, lanes); break;
	case GF_SJ_FILL: gf_sampler_fill(v, call->a, call->b, lane, lanes); break;
	case GF_SJ_STRINGS: gf_sampler_strings(v, call->a, call->b, lane, lanes); break;
	case GF_SJ_AGAIN: gf_sampler_again(v, lane, lanes); break;
	case GF_SJ_UNSEEN: gf_sampler_unseen(v, lane, lanes); break;
	case GF_SJ_PARENTS:
		for (uint32_t i = lane; i < v->s->rows; i += lanes)
			gf_table_parent(&v->table, i);
		break;
	case GF_SJ_CHILDREN:
		for (uint32_t i = lane; i < v->s->rows; i += lanes)
			gf_table_children(&v->table, i);
		break;
	case GF_SJ_TORN: gf_sampler_torn(v, lane, lanes); break;
	case GF_SJ_HOST: gf_sampler_host(v, lane, lanes); break;
	case GF_SJ_INIT:
		for (uint64_t i = lane; i < v->size / 8; i += lanes)
			((uint64_t *)(void *)v->base)[i] = 0;
		break;
	case GF_SJ_INIT_ROWS: gf_sampler_init_rows(v, lane, lanes); break;
	case GF_SJ_RING_COPY: gf_mr_copy(v, call->a, call->b, lane, lanes); break;
	case GF_SJ_RING_ROWS: gf_mr_rows(v, call->b, lane, lanes); break;
	case GF_SJ_RING_FILL: gf_mr_fill(v, call->b, lane, lanes); break;
	default: break;
	}
}

/* Leader: what has been laid out and bound gets its first contents. team NULL: alone. */
GF_INLINE void gf_sampler_init(struct gf_sampler *v, struct gf_team *team)
{
	v->team = team;
	gf_sampler_call(v, GF_SJ_INIT, 0, 0, 0);
	gf_sampler_call(v, GF_SJ_INIT_ROWS, 0, 0, 0);
}

GF_INLINE void gf_sampler_start(struct gf_sampler *v)
{
	const struct gf_clock clock = { 0, 0, 0, 0, 0, 0, 0 };
	const struct gf_host_state hs = { 0, 0, 0, 0 };

	gf_sampler_begin(v);
	v->parents = 0; /* of the last guest's last pass: none of its rows stays */
	gf_sampler_commit(v);
	v->boot = v->g->boot;
	v->s->epoch = (uint32_t)v->g->boot;
	v->clock = clock;
	v->hs = hs;
}

/* The list of processes; what is gathered of each. True: it was whole. */
GF_INLINE int gf_sampler_who(struct gf_sampler *v)
{
	int whole = 0;

	if (!v->team)
		gf_tlb_clear(&v->tlb);
	else if (v->gather.boot != v->g->boot || v->gather.want != gf_sampler_wanted(v))
		gf_gather_make(&v->gather, &v->g->layout, v->g->boot, gf_sampler_wanted(v), v->cap);
	for (uint32_t i = 0; i < GF_WALK_TRIES && !whole; i++)
		whole = gf_walk(v, !i);
	return whole;
}

GF_INLINE int gf_sampler_pass(struct gf_sampler *v, int whole)
{
	int r;

	v->whole = (uint32_t)whole;
	r = gf_sampler_tasks(v);
	v->why = r ? GF_SW_TASKS : whole ? GF_SW_NONE : GF_SW_TORN;
	return r ? r : whole ? 0 : -EAGAIN;
}

/* CPUs, and the clock; with a team the list of processes beside them. What is said of it is gf_sampler_who's. *ret_bad: there are no CPUs. */
GF_INLINE int gf_sampler_begins(struct gf_sampler *v, int *ret_bad)
{
	int whole = 0;

	v->cpus_bad = v->cpus_busy = 0;
	if (v->team) {
		gf_pages_turn(v->pages);
		gf_fetch_begin(v);
		gf_sampler_call(v, GF_SJ_BEGIN, 0, 0, 0);
		gf_fetch_done(v);
		gf_sampler_begin(v);
		v->cpus_due = !v->masks;
		if (!v->masks && !v->region)
			whole = gf_sampler_who(v);
		if (v->cpus_due)
			gf_sampler_call(v, GF_SJ_CPUS, 0, 0, 0);
		v->cpus_due = 0;
	} else {
		v->masks = gf_cpus_masks(&v->g->mem, &v->g->layout, &v->cpus);
		gf_clock_read(&v->g->mem, &v->g->layout, &v->guest_now);
		if (!v->masks)
			gf_sampler_call(v, GF_SJ_CPUS, 0, 0, 0);
		gf_sampler_begin(v);
	}
	*ret_bad = v->masks || v->cpus_bad;
	return whole;
}

/*
 * Leader: one sample of g, at host_ns of the watcher's own clock, by the lanes of team (NULL: alone). 0, or an error, and then the last
 * table stays, marked torn: -EAGAIN (the list of processes kept changing), -EBADMSG (memory holds no Linux any more). v->why says which.
 */
GF_INLINE int gf_sampler_run(struct gf_sampler *v, struct gf_team *team, const struct gf_sampler_guest *g, uint64_t host_ns)
{
	struct gf_sample *s = v->s;
	uint64_t stalled, host = v->fields.host;
	int cpus, whole, r = -EBADMSG;

	v->team = team;
	v->g = g;
	s->seq++;
	if (v->boot != g->boot)
		gf_sampler_start(v);
	else if (v->paused)
		gf_clock_resume(&v->clock, host_ns);
	v->paused = 0;
	whole = gf_sampler_begins(v, &cpus);
	v->hs.idle = !cpus && !v->cpus_busy;
	s->now_ns = gf_clock_tick(&v->clock, host_ns, &v->guest_now, (int)v->hs.idle, &stalled);
	v->why = GF_SW_CPUS;
	for (uint32_t i = 0; i < GF_HF_COUNT; i++)
		s->host[i] = gf_unknown();
	for (uint32_t i = 0; i < GF_HS_COUNT; i++) {
		v->sums.sum[i] = 0;
		v->sums.bad[i] = 0;
	}
	v->host_due = host && !cpus;
	v->by_region = 0;
	if (!cpus && v->region) {
		r = gf_mr_of_guest(v);
		v->by_region = r != -ENODATA;
		v->why = r ? GF_SW_TORN : GF_SW_NONE;
	}
	if (!cpus && (!v->team || v->region) && !v->by_region)
		whole = gf_sampler_who(v);
	if (!cpus && !v->by_region)
		r = gf_sampler_pass(v, whole);
	if (r)
		gf_sampler_abort(v);
	else
		gf_sampler_commit(v);
	if (v->host_due)
		gf_sampler_call(v, GF_SJ_HOST, 0, 0, 0);
	if (host && !cpus)
		gf_host_sums_set(&g->layout, &v->cpus, &v->sums, host, s->host);
	if (host & GF_BIT(GF_HF_UPTIME) && v->guest_now.boot_ns)
		s->host[GF_HF_UPTIME] = (double)s->now_ns;
	/* An image's clock never moves: nothing has stalled there. */
	if (host & GF_BIT(GF_HF_OS_STALLED))
		s->host[GF_HF_OS_STALLED] = g->still ? 0 : (double)stalled;
	if (host & GF_BIT(GF_HF_TASKS_COUNT))
		s->host[GF_HF_TASKS_COUNT] = r ? gf_unknown() : (double)s->live + s->dropped;
	return r;
}

/* Leader: there is nothing to be sampled. paused: there is a guest, but it does not run, and its time stands. */
GF_INLINE void gf_sampler_stale(struct gf_sampler *v, struct gf_team *team, int paused)
{
	v->team = team;
	v->s->seq++;
	if (paused)
		v->paused = 1;
	gf_sampler_begin(v);
	gf_sampler_abort(v);
	for (uint32_t i = 0; i < GF_HF_COUNT; i++)
		v->s->host[i] = gf_unknown();
}

#endif
