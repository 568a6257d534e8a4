/* SPDX-License-Identifier: MIT
 *
 * One look at a guest's memory: processes, host fields, strings. The leader runs gf_sampler_run; whatever is done for
 * each slot of the tree of pids, each task, row or CPU is a job (gf_sampler_job), a lane each.
 *
 *   who       the tree of pids, level by level: its leaders, in the order of pids
 *   read      a record a process; its row, where it has one already
 *   place     rows for newcomers, in the order of pids (one lane)
 *   fill      the record into the row's columns; then strings, where some are missing
 *   commit    rows not seen are freed, in their order (one lane); parents, children
 *
 * A sample does not depend on the number of lanes, while memory stands still. Versions of strings do (they are numbers
 * that differ when strings do, and nothing else), and so does whose string is unknown when there is no room for all.
 *
 * What hostile memory can cost: the tree has at most GF_WALK_SLOTS slots of leaves, a process may be looked at three times, and
 * loads of which it alone says how many there are (threads, descriptors) come out of `budget`. One half of it is dealt out to all processes
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
	GF_SJ_BEGIN = 64, /* what waits for nothing: the clock, which CPUs there are, the tree's root; pages */
	GF_SJ_CPUS,       /* each CPU's offset; whether it idles */
	GF_SJ_SLOTS,      /* slots of nodes [a, a + b), of shift c (and enum gf_walk_also) */
	GF_SJ_COLLECT,    /* what was found, into the next level, or the leaders */
	GF_SJ_GATHER,     /* leaders [a, b): words of those that are known */
	GF_SJ_PARTS,      /* CPUs' parts of their counters */
	GF_SJ_TWICE,      /* what must not have changed, once more */
	GF_SJ_READ,       /* records */
	GF_SJ_SLOW,       /* of those that must wait for memory */
	GF_SJ_FILL,       /* columns, parents */
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
	GF_LEAD_NEED = 8,    /* << enum gf_str_field: strings to be read */
};

/* A process of this pass. */
struct gf_lead {
	uint64_t pid, task; /* addresses */
	uint32_t row;
	uint32_t state;
	uint32_t kept;      /* row at the last pass; GF_NONE: none that is still of use */
	uint32_t reserved;
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
	struct gf_kept kept;
	uint64_t *words;       /* W[word][leader of the batch] */
	int64_t *parts;        /* [counter][leader of the batch] */
	uint8_t *changed;      /* a leader of the batch: it is to be read by one lane */
	struct gf_pages *pages;
	struct gf_host_words *host_words;
	uint32_t *lead_at;     /* a row: the leader that is kept there */
	uint32_t *slow;        /* leaders of the batch that must wait for memory */
	uint32_t slow_n, host_due;
	uint32_t fresh_n, gone_n;
	struct gf_textpool pool;
	char *slot[GF_SF_COUNT]; /* rows' own room for strings */
	char *text;            /* texts of GF_TEXT_MAX bytes */

	/* walk */
	uint64_t *node[2];     /* this level, the next */
	uint32_t *nr[2];       /* the first pid that is below each */
	uint64_t *found[2];    /* a slot of a batch: address of the node or struct pid; of the leader's task */
	uint32_t *mask[2];     /* a slot of a batch: a bit: there is something; of this batch, the next (which is zero by then) */
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

/* ---- layout ----------------------------------------------------------------- */

/* Gives out memory from an address that may be another machine's. */
struct gf_bump {
	uint64_t base;
	size_t used;
};

GF_INLINE void *gf_bump(struct gf_bump *b, size_t n, size_t size)
{
	size_t at = b->used;

	b->used += (n * size + 127) / 128 * 128;
	return b->base ? (void *)(uintptr_t)(b->base + at) : NULL;
}

/* A sample's rows, with the columns of f. */
GF_INLINE void gf_sample_bump(struct gf_bump *b, struct gf_sample *s, uint32_t cap, const struct gf_fieldset *f)
{
	s->cap = (cap + 127) / 128 * 128;
	s->flags = (uint8_t *)gf_bump(b, s->cap, sizeof *s->flags);
	s->gen = (uint32_t *)gf_bump(b, s->cap, sizeof *s->gen);
	s->pid = (int32_t *)gf_bump(b, s->cap, sizeof *s->pid);
	s->start_ns = (uint64_t *)gf_bump(b, s->cap, sizeof *s->start_ns);
	s->parent = (uint32_t *)gf_bump(b, s->cap, sizeof *s->parent);
	s->comm = (char (*)[GF_COMM_LEN])gf_bump(b, s->cap, sizeof *s->comm);
	s->uid = (uint32_t *)gf_bump(b, s->cap, sizeof *s->uid);
	for (uint32_t i = 0; i < GF_COLS; i++) {
		int need = i < GF_TF_COUNT ? (int)(f->task >> i & 1) : i - GF_TF_COUNT < f->paths;
		s->col[i] = need ? (double *)gf_bump(b, s->cap, sizeof *s->col[i]) : NULL;
	}
	for (uint32_t i = 0; i < GF_SF_COUNT; i++)
		s->str[i] = f->str >> i & 1 ? (struct gf_strref *)gf_bump(b, s->cap, sizeof *s->str[i]) : NULL;
}

GF_INLINE void gf_table_bump(struct gf_bump *b, struct gf_table *t, uint32_t cap)
{
	t->mask = gf_table_size(cap) - 1;
	t->hash = (uint32_t *)gf_bump(b, t->mask + 1, sizeof *t->hash);
	t->seen = (uint32_t *)gf_bump(b, cap, sizeof *t->seen);
	t->ppid = (int32_t *)gf_bump(b, cap, sizeof *t->ppid);
	t->used = (uint64_t *)gf_bump(b, cap / 64, sizeof *t->used);
	t->kids = (uint32_t *)gf_bump(b, cap, sizeof *t->kids);
}

/* What those strings in `str` that are read need; slots that there are already are kept. */
GF_INLINE void gf_sampler_bump_strings(struct gf_bump *b, struct gf_sampler *v, uint32_t str)
{
	for (uint32_t i = 0; i < GF_SF_COUNT; i++)
		if (str & GF_STR_READ & (1u << i) && !v->slot[i])
			v->slot[i] = (char *)gf_bump(b, v->cap, GF_TEXT_SHORT);
	if (!(str & GF_STR_READ) || v->text)
		return;
	v->text = (char *)gf_bump(b, v->texts, GF_TEXT_MAX);
	for (uint32_t i = 0; i < GF_TEXT_CLASSES; i++) {
		struct gf_text_class *c = &v->pool.c[i];
		c->size = gf_text_class_size(i);
		c->n = gf_text_class_n(i, v->cap);
		c->mem = (char *)gf_bump(b, c->n, c->size);
		c->free = (uint32_t *)gf_bump(b, c->n, sizeof *c->free);
		c->back = (uint32_t *)gf_bump(b, c->n, sizeof *c->back);
	}
}

/* What records become rows by. */
GF_INLINE void gf_sampler_bump_rows(struct gf_bump *b, struct gf_sampler *v)
{
	gf_table_bump(b, &v->table, v->cap);
	v->note = (struct gf_row_note *)gf_bump(b, v->cap, sizeof *v->note);
	v->claim = (uint32_t *)gf_bump(b, v->cap, sizeof *v->claim);
	v->gone = (uint32_t *)gf_bump(b, v->cap / 32, sizeof *v->gone);
	v->fresh = (uint32_t *)gf_bump(b, v->recs / 32, sizeof *v->fresh);
	v->lead = (struct gf_lead *)gf_bump(b, v->cap, sizeof *v->lead);
	v->rec = (struct gf_task_rec *)gf_bump(b, v->recs, sizeof *v->rec);
}

/* What is the sampler's own, but for strings. v->cap, v->recs are set. */
GF_INLINE void gf_sampler_bump(struct gf_bump *b, struct gf_sampler *v)
{
	gf_sampler_bump_rows(b, v);
	for (uint32_t i = 0; i < GF_GO_COUNT; i++) {
		v->kept.va[i] = (uint64_t *)gf_bump(b, v->cap, sizeof *v->kept.va[i]);
		v->kept.at[i] = (uint64_t *)gf_bump(b, v->cap, sizeof *v->kept.at[i]);
	}
	v->kept.start = (uint64_t *)gf_bump(b, v->cap, sizeof *v->kept.start);
	v->kept.exec = (uint32_t *)gf_bump(b, v->cap, sizeof *v->kept.exec);
	v->kept.seq = (uint32_t *)gf_bump(b, v->cap, sizeof *v->kept.seq);
	v->kept.level = (uint32_t *)gf_bump(b, v->cap, sizeof *v->kept.level);
	v->kept.pass = (uint32_t *)gf_bump(b, v->cap, sizeof *v->kept.pass);
	v->words = (uint64_t *)gf_bump(b, (size_t)v->recs * (GF_GATHER_WORDS + 1), sizeof *v->words);
	v->parts = (int64_t *)gf_bump(b, (size_t)v->recs * GF_RSS_PARTS, sizeof *v->parts);
	v->changed = (uint8_t *)gf_bump(b, v->recs, sizeof *v->changed);
	v->lead_at = (uint32_t *)gf_bump(b, v->cap, sizeof *v->lead_at);
	v->slow = (uint32_t *)gf_bump(b, v->recs, sizeof *v->slow);
	v->pages = (struct gf_pages *)gf_bump(b, 1, sizeof *v->pages);
	v->host_words = (struct gf_host_words *)gf_bump(b, 1, sizeof *v->host_words);
	for (uint32_t i = 0; i < 2; i++) {
		v->node[i] = (uint64_t *)gf_bump(b, GF_WALK_NODES, sizeof *v->node[i]);
		v->nr[i] = (uint32_t *)gf_bump(b, GF_WALK_NODES, sizeof *v->nr[i]);
		v->found[i] = (uint64_t *)gf_bump(b, GF_WALK_BATCH * GF_XA_SLOTS, sizeof *v->found[i]);
	}
	for (uint32_t i = 0; i < 2; i++)
		v->mask[i] = (uint32_t *)gf_bump(b, GF_WALK_BATCH * GF_XA_SLOTS / 32, sizeof *v->mask[i]);
}

/* What must be read for the columns of f. */
GF_INLINE uint32_t gf_sampler_want(const struct gf_fieldset *f)
{
	uint32_t want = gf_record_want(f);

	/* Group and session are two more objects a process: only where they are read. */
	if (!(f->task & (GF_BIT(GF_TF_PGRP) | GF_BIT(GF_TF_SESSION))))
		want &= ~(uint32_t)GF_REC_IDS;
	return want;
}

/* Where everything is from `base` on, for at least cap rows and the fields of f: v and s then hold pointers that are good where base is. Returns how many bytes; base NULL: only that. v and s
 * are made anew; then, where base is good, gf_sampler_bind and gf_sampler_init. rows: for gf_mr_take alone, which walks nowhere and reads no strings. */
GF_INLINE size_t gf_sampler_layout_of(struct gf_sampler *v, struct gf_sample *s, uint32_t cap, const struct gf_fieldset *f, int rows, void *base)
{
	const struct gf_sampler none = { 0 };
	const struct gf_sample empty = { 0 };
	struct gf_bump b = { (uint64_t)(uintptr_t)base, 0 };

	*v = none;
	*s = empty;
	gf_sample_bump(&b, s, cap, f);
	for (uint32_t i = 0; i < GF_HF_COUNT; i++)
		s->host[i] = gf_unknown();
	v->cap = v->recs = s->cap;
	v->texts = GF_SAMPLER_TEXTS;
	v->budget = GF_SAMPLER_BUDGET;
	v->fields = *f;
	v->want = gf_sampler_want(f);
	if (rows) {
		v->recs = GF_MIN(v->recs, GF_MR_RECS);
		gf_sampler_bump_rows(&b, v);
	} else {
		gf_sampler_bump(&b, v);
		gf_sampler_bump_strings(&b, v, f->str);
	}
	v->base = (uint8_t *)base;
	v->size = b.used;
	return b.used;
}

GF_INLINE size_t gf_sampler_layout(struct gf_sampler *v, struct gf_sample *s, uint32_t cap, const struct gf_fieldset *f, void *base)
{
	return gf_sampler_layout_of(v, s, cap, f, 0, base);
}

/* Where v's sample is, once both are where they are used. */
GF_INLINE void gf_sampler_bind(struct gf_sampler *v, struct gf_sample *s)
{
	v->s = s;
	v->table.s = s;
}

/* ---- strings ---------------------------------------------------------------- */

GF_CALLED void gf_string_forget(struct gf_sampler *v, uint32_t row, uint32_t field)
{
	const struct gf_strref none = { NULL, 0, 0 };
	struct gf_strref *ref = v->s->str[field] ? &v->s->str[field][row] : NULL;

	if (!ref)
		return;
	if (ref->ver)
		gf_text_give(&v->pool, ref->p);
	*ref = none;
}

/* A string that was read, or could not be (len GF_ABSENT). */
GF_INLINE void gf_string_set(struct gf_sampler *v, uint32_t row, uint32_t field, const char *text, uint32_t len)
{
	struct gf_strref *ref = &v->s->str[field][row];
	char *p;

	gf_string_forget(v, row, field);
	if (len == GF_ABSENT)
		return;
	p = len <= GF_TEXT_SHORT ? v->slot[field] + (size_t)row * GF_TEXT_SHORT : gf_text_take(&v->pool, len);
	if (!p)
		return;
	for (uint32_t i = 0; i < len; i++)
		p[i] = text[i];
	ref->p = p;
	ref->len = len;
	ref->ver = gf_table_next_ver(&v->table);
}

/* Which strings of a task are to be read now. */
GF_INLINE uint32_t gf_strings_need(struct gf_sampler *v, const uint8_t *task, uint32_t row, const struct gf_task_rec *r, int fresh)
{
	const struct gf_sampler_guest *g = v->g;
	struct gf_sample *s = v->s;
	struct gf_row_note *n = &v->note[row];
	uint32_t want = v->fields.str & GF_STR_READ, missing = 0, cgroup = 0;
	uint64_t kn, id;

	if (!fresh && n->exec_tag != r->exec_tag) {
		gf_string_forget(v, row, GF_SF_EXE);
		gf_string_forget(v, row, GF_SF_CMDLINE);
		n->tries = 0;
		n->retry_ns = 0;
	}
	n->exec_tag = r->exec_tag;
	if (want & 1u << GF_SF_CGROUP) {
		if (gf_cgroup_of(&g->mem, &g->layout, task, &kn, &id))
			gf_string_forget(v, row, GF_SF_CGROUP);
		else if (!s->str[GF_SF_CGROUP][row].ver || kn != n->kn || id != n->kn_id)
			cgroup = 1u << GF_SF_CGROUP;
	}
	for (uint32_t f = GF_SF_EXE; f <= GF_SF_CMDLINE; f++)
		if (want & 1u << f && !s->str[f][row].ver)
			missing |= 1u << f;
	if (r->flags & GF_REC_EXITING || n->tries > GF_STR_RETRIES || s->now_ns < n->retry_ns)
		missing = 0;
	return missing | cgroup;
}

GF_INLINE void gf_string_cgroup(struct gf_sampler *v, const uint8_t *task, uint32_t row, char *text)
{
	const struct gf_sampler_guest *g = v->g;
	struct gf_row_note *n = &v->note[row];
	uint64_t kn, id;
	uint32_t len;

	if (gf_cgroup_of(&g->mem, &g->layout, task, &kn, &id)) {
		gf_string_forget(v, row, GF_SF_CGROUP);
		return;
	}
	if (gf_kernfs_path(&g->mem, &g->layout, kn, text, GF_STR_MAX, &len))
		len = GF_ABSENT;
	gf_string_set(v, row, GF_SF_CGROUP, text, len);
	n->kn = kn;
	n->kn_id = id;
}

GF_INLINE void gf_strings_read(struct gf_sampler *v, const uint8_t *task, uint32_t row, const struct gf_task_rec *r, uint32_t need, char *text)
{
	const struct gf_sampler_guest *g = v->g;
	const struct gf_layout_task *o = &g->layout.task;
	struct gf_row_note *n = &v->note[row];
	uint64_t mm;

	if (need & 1u << GF_SF_CGROUP)
		gf_string_cgroup(v, task, row, text);
	need &= ~(1u << GF_SF_CGROUP);
	if (!need)
		return;
	mm = gf_u64(task, o->mm);
	n->retry_ns = v->s->now_ns + GF_STR_RETRY_NS;
	n->tries++;
	for (uint32_t f = GF_SF_EXE; f <= GF_SF_CMDLINE; f++) {
		uint32_t len = 0;

		if (!(need & 1u << f))
			continue;
		if (!(r->flags & GF_REC_KTHREAD)) {
			if (!mm)
				continue;
			if (f == GF_SF_EXE ? gf_exe_path(&g->mem, &g->layout, mm, text, GF_STR_MAX, &len) :
					     gf_cmdline(&g->mem, &g->layout, mm, text, GF_STR_MAX, &len))
				len = GF_ABSENT;
			/* Between the new memory and its arguments an exec has none: it is looked at again, as often as one that cannot be read. */
			if (f == GF_SF_CMDLINE && !len && n->tries <= GF_STR_RETRIES)
				len = GF_ABSENT;
		}
		gf_string_set(v, row, f, text, len);
	}
	/* Another program meanwhile: whose strings were these? */
	if (gf_u32(task, o->self_exec_id) != (uint32_t)r->exec_tag || gf_u64(task, o->mm) != mm)
		for (uint32_t f = GF_SF_EXE; f <= GF_SF_CMDLINE; f++)
			if (need & 1u << f)
				gf_string_forget(v, row, f);
}

/* ---- calls ------------------------------------------------------------------ */

GF_OUTLINE void gf_sampler_job(struct gf_sampler *v, const struct gf_call *call, uint32_t lane, uint32_t lanes);

/* Leader. */
GF_INLINE void gf_sampler_call(struct gf_sampler *v, uint32_t job, uint32_t a, uint32_t b, uint32_t c)
{
	struct gf_call call = { job, a, b, c };

#if GF_TEAM
	if (v->team) {
		GF_SAMPLER_TIMED(job, 0);
		gf_team_call(v->team, job, a, b, c);
		GF_SAMPLER_TIMED(job, 1);
		return;
	}
#endif
	gf_sampler_job(v, &call, 0, 1);
}

/* ---- who there is ----------------------------------------------------------- */

/* The process behind one entry of a leaf: its task's address; 0: none. */
GF_INLINE uint64_t gf_walk_leader(const struct gf_sampler_guest *g, uint64_t pid)
{
	uint64_t task = gf_pid_leader(&g->mem, &g->layout, pid);

	/* No struct pid where the tree says: freed since, or overwritten. There is no process behind it. */
	return task == ~0ull ? 0 : task;
}

/* The row of process nr, where what was kept of it is of this very task. */
GF_INLINE uint32_t gf_kept_row(const struct gf_sampler *v, int32_t nr, uint64_t pid, uint64_t task)
{
	const struct gf_kept *k = &v->kept;
	uint32_t row = v->gather.bad || v->gather.made == v->table.pass ? GF_NONE : gf_table_pid(&v->table, nr);

	return row != GF_NONE && k->pass[row] == v->table.pass - 1 && k->va[GF_GO_TASK][row] == task && k->va[GF_GO_PID][row] == pid ? row : GF_NONE;
}

/* One entry of the next level, or one leader, is the at-th. nr: the first pid below it, or its own. */
GF_INLINE void gf_walk_put(struct gf_sampler *v, uint32_t shift, uint32_t at, uint32_t nr, uint64_t found, uint64_t task)
{
	if (shift) {
		if (at < GF_WALK_NODES) {
			v->node[!v->level][at] = found;
			v->nr[!v->level][at] = nr;
		}
	} else if (at < v->cap) {
		v->lead[at].pid = found;
		v->lead[at].task = task;
		v->lead[at].kept = v->team ? gf_kept_row(v, (int32_t)nr, found, task) : GF_NONE;
		if (v->lead[at].kept != GF_NONE)
			v->lead_at[v->lead[at].kept] = at;
	}
}

/* All of a batch by the one lane there is. */
GF_INLINE void gf_walk_alone(struct gf_sampler *v, uint32_t from, uint32_t n, uint32_t shift)
{
	const struct gf_sampler_guest *g = v->g;
	const struct gf_kmem *k = &g->mem;
	const struct gf_layout *l = &g->layout;
	uint32_t next = v->next, torn = 0;

	for (uint32_t i = 0; i < n; i++) {
		uint64_t node = v->node[v->level][from + i];
		const uint8_t *p = gf_obj(k, node, l->xa.span);

		for (uint32_t slot = 0; p && slot < GF_XA_SLOTS; slot++) {
			uint64_t found, task = 0;
			enum gf_xa e = gf_xa_slot(k, l, p, shift, slot, &found);

			torn += e == GF_XA_TORN;
			if (e == GF_XA_ENTRY) {
				task = gf_walk_leader(g, found);
#if !defined(__CUDA_ARCH__)
				if (task)
					__builtin_prefetch(gf_obj(k, task, l->task.span));
#endif
			}
			if (task || e == GF_XA_NODE)
				gf_walk_put(v, shift, next++, v->nr[v->level][from + i] + (slot << shift), found, task);
		}
		torn += !gf_xa_node(k, l, node); /* given back meanwhile */
	}
	v->next = next;
	v->torn += torn;
}

enum gf_walk_also {
	GF_WALK_CPUS = 0x100,  /* what GF_SJ_CPUS does, by lanes that have no slot */
	GF_WALK_LOOSE = 0x200, /* nodes below are not collected: each has the number of its slot */
};

GF_OUTLINE void gf_walk_slots(struct gf_sampler *v, uint32_t from, uint32_t n, uint32_t how, uint32_t lane, uint32_t lanes)
{
	const struct gf_sampler_guest *g = v->g;
	const struct gf_layout *l = &g->layout;
	uint32_t shift = how & 0xff;

	if (v->above && lane == lanes - 1 && !gf_xa_node(&g->mem, l, v->above))
		gf_team_add(&v->torn, 1); /* given back meanwhile */
	for (uint32_t i = lane; i < n * GF_XA_SLOTS; i += lanes) {
		uint32_t slot = i % GF_XA_SLOTS;
		uint64_t node = v->node[v->level][from + i / GF_XA_SLOTS], found = 0, task = 0;
		const uint8_t *p = node ? gf_obj(&g->mem, node, l->xa.span) : NULL;
		enum gf_xa e = p ? gf_xa_slot_said(l, p, shift, slot, &found) : GF_XA_NONE;

		if (node && (!p || !gf_xa_own(l, p, shift))) {
			/* Not a node of the tree, or none any more: said once. */
			if (!slot)
				gf_team_add(&v->torn, 1);
			e = GF_XA_NONE;
		}
		if (e == GF_XA_TORN)
			gf_team_add(&v->torn, 1);
		if (e == GF_XA_ENTRY)
			task = gf_walk_leader(g, found);
		if (how & GF_WALK_LOOSE) {
			v->node[!v->level][i] = e == GF_XA_NODE ? found : 0;
			v->nr[!v->level][i] = v->nr[v->level][from] + (slot << shift);
			continue;
		}
		if (!task && e != GF_XA_NODE)
			continue;
		v->found[0][i] = found;
		v->found[1][i] = task;
		gf_team_bit(v->mask[v->turn], i, &v->count[v->turn][i / GF_XA_SLOTS / GF_WALK_GROUP]);
	}
}

GF_OUTLINE void gf_walk_collect(struct gf_sampler *v, uint32_t from, uint32_t n, uint32_t shift, uint32_t lane, uint32_t lanes)
{
	const struct gf_sampler_guest *g = v->g;
	const uint32_t *mask = v->mask[v->turn], *count = v->count[v->turn];

	for (uint32_t i = lane; i < n * GF_XA_SLOTS; i += lanes) {
		uint32_t group = i / GF_XA_SLOTS / GF_WALK_GROUP, at = v->begin;

		if (!(mask[i / 32] >> i % 32 & 1))
			continue;
		for (uint32_t j = 0; j < group; j++)
			at += count[j];
		for (uint32_t j = group * GF_WALK_GROUP * 2; j < i / 32; j++)
			at += gf_popcount(mask[j]);
		at += gf_popcount(mask[i / 32] & ((1u << i % 32) - 1));
		gf_walk_put(v, shift, at, v->nr[v->level][from + i / GF_XA_SLOTS] + (i % GF_XA_SLOTS << shift), v->found[0][i], v->found[1][i]);
	}
	for (uint32_t i = lane; i < n; i += lanes) {
		uint64_t node = v->node[v->level][from + i];

		if (node && !gf_xa_node(&g->mem, &g->layout, node))
			gf_team_add(&v->torn, 1); /* given back meanwhile */
	}
	/* For the next batch. */
	for (uint32_t i = lane; i < GF_WALK_BATCH * GF_XA_SLOTS / 32; i += lanes)
		v->mask[!v->turn][i] = 0;
	for (uint32_t i = lane; i < GF_WALK_BATCH / GF_WALK_GROUP; i += lanes)
		v->count[!v->turn][i] = 0;
}

/* Leader: all slots of nodes [from, from + n) of this level. The root's children, which are few, are not collected but taken as they are. */
GF_INLINE void gf_walk_batch(struct gf_sampler *v, uint32_t from, uint32_t n, uint32_t shift, int loose)
{
	uint32_t groups = (n + GF_WALK_GROUP - 1) / GF_WALK_GROUP, more = 0, also = v->cpus_due ? (uint32_t)GF_WALK_CPUS : 0;

	if (!v->team) {
		gf_walk_alone(v, from, n, shift);
		return;
	}
	v->cpus_due = 0;
	v->begin = v->next;
	gf_sampler_call(v, GF_SJ_SLOTS, from, n, shift | also | (loose ? (uint32_t)GF_WALK_LOOSE : 0));
	v->above = loose ? v->node[v->level][from] : 0;
	if (loose) {
		v->next = GF_XA_SLOTS;
		return;
	}
	gf_sampler_call(v, GF_SJ_COLLECT, from, n, shift);
	for (uint32_t i = 0; i < groups; i++)
		more += v->count[v->turn][i];
	v->next += more;
	v->turn = !v->turn;
}

/* Leader: all processes' leaders. False: the tree was not whole. */
GF_OUTLINE int gf_walk(struct gf_sampler *v, int first)
{
	const struct gf_sampler_guest *g = v->g;
	uint64_t root = v->root;
	uint32_t shift = v->root_shift, nodes = 1;
	enum gf_xa e = v->team && first ? (enum gf_xa)v->root_state : gf_xa_root(&g->mem, &g->layout, &root, &shift);

	v->n = v->more = v->torn = 0;
	v->above = 0;
	if (e != GF_XA_NODE)
		return e == GF_XA_NONE;
	v->level = 0;
	v->node[0][0] = root;
	v->nr[0][0] = 0;
	for (;;) {
		v->next = 0;
		for (uint32_t i = 0; i < nodes; i += GF_WALK_BATCH)
			gf_walk_batch(v, i, GF_MIN(nodes - i, GF_WALK_BATCH), shift, nodes == 1 && shift);
		if (!shift || !v->next)
			break;
		v->torn += v->next > GF_WALK_NODES;
		nodes = GF_MIN(v->next, GF_WALK_NODES);
		v->level = !v->level;
		shift -= GF_XA_STEP;
	}
	if (!shift) {
		v->n = GF_MIN(v->next, v->cap);
		v->more = v->next - v->n;
	}
	return !v->torn;
}

/* ---- processes -------------------------------------------------------------- */

GF_OUTLINE enum gf_task_got gf_lead_read(const struct gf_sampler_guest *g, struct gf_task_ctx *c, struct gf_lead *l, struct gf_task_rec *r)
{
	enum gf_task_got got = GF_TASK_GONE;

	for (uint32_t i = 0; i < 2; i++) {
		uint64_t now;

		got = gf_task_read(c, l->pid, l->task, r);
		if (got != GF_TASK_GONE || i)
			break;
		/* Another thread of it leads since an exec, or it has ended. */
		now = gf_walk_leader(g, l->pid);
		if (!now || now == l->task)
			break;
		l->task = now;
	}
	return got;
}

GF_INLINE uint32_t gf_sampler_wanted(const struct gf_sampler *v)
{
	uint32_t want = v->want;

	if (want & GF_REC_SCORE)
		want |= GF_REC_RSS | GF_REC_SWAP | GF_REC_PGTABLES;
	if (want & GF_REC_RSS_SUM)
		want |= GF_REC_RSS;
	return want;
}

GF_INLINE void gf_sampler_ctx(struct gf_sampler *v, struct gf_task_ctx *c, struct gf_tlb *tlb)
{
	c->k = &v->g->mem;
	c->l = &v->g->layout;
	c->cpus = &v->cpus;
	c->tlb = tlb;
	c->want = gf_sampler_wanted(v);
	c->budget = v->share;
	c->starved = 0;
	c->pages = NULL;
	c->pass = v->table.pass;
	c->pulse = v->pulse;
}

/* A lane has its own, but for the one that is alone, whose is kept from one batch to the next. */
GF_INLINE void gf_tlb_clear(struct gf_tlb *t)
{
	for (uint32_t i = 0; i < GF_TLB_WAYS; i++)
		t->page[i] = 0;
}

/* A word of some processes by each lane: neighbours load neighbouring words. Processes go by GF_GATHER_DEEP: so many loads of a lane are
 * under way at a time, and lie side by side in W. */
GF_OUTLINE void gf_sampler_gather(struct gf_sampler *v, uint32_t from, uint32_t to, uint32_t lane, uint32_t lanes)
{
	const struct gf_gather *g = &v->gather;
	uint32_t n = g->n, stride = g->stride, items = g->bad ? 0 : (to - from + GF_GATHER_DEEP - 1) / GF_GATHER_DEEP * n;

	for (uint32_t i = from + lane; i < to; i += lanes)
		v->changed[i - from] = 0;
	for (uint32_t i = lane; i < items; i += lanes) {
		uint32_t first = i / n * GF_GATHER_DEEP, k = i % n;
		const uint64_t *at = v->kept.at[g->of[k]];
		uint64_t *to_w = v->words + (size_t)k * stride + first;
		uint64_t w[GF_GATHER_DEEP];

		GF_UNROLL
		for (uint32_t j = 0; j < GF_GATHER_DEEP; j++) {
			uint32_t row = from + first + j < to ? v->lead[from + first + j].kept : GF_NONE;
			w[j] = row == GF_NONE ? 0 : at[row];
		}
		GF_UNROLL
		for (uint32_t j = 0; j < GF_GATHER_DEEP; j++)
			if (w[j])
				w[j] = gf_load((const uint8_t *)(uintptr_t)(w[j] + g->off[k]), 8);
		GF_UNROLL
		for (uint32_t j = 0; j < GF_GATHER_DEEP; j++)
			to_w[j] = w[j];
	}
}

/* The CPUs' parts of page counters: neighbours' often lie side by side. */
GF_OUTLINE void gf_sampler_parts(struct gf_sampler *v, uint32_t from, uint32_t to, uint32_t lane, uint32_t lanes)
{
	const struct gf_gather *g = &v->gather;
	uint32_t stride = g->stride;
	struct gf_task_ctx c;

	gf_sampler_ctx(v, &c, NULL);
	c.pages = v->pages;
	for (uint32_t i = lane; i < to - from; i += lanes) {
		uint32_t row = v->lead[from + i].kept, bad = 0;
		uint64_t base[GF_RSS_PARTS];
		int64_t sum[GF_RSS_PARTS] = { 0 };

		if (row == GF_NONE || !v->kept.va[GF_GO_MM][row])
			continue;
		for (uint32_t k = 0; k < GF_RSS_PARTS; k++) {
			base[k] = gf_src_load(gf_src_fetched(v->words + i, stride), g->l.mm.rss_cpu[k], 8);
			bad |= base[k] & 3 || !base[k];
		}
		if (bad || gf_percpu_sum(&c, base, sum))
			v->changed[i] = 1;
		for (uint32_t k = 0; k < GF_RSS_PARTS; k++)
			v->parts[k * stride + i] = sum[k];
	}
}

GF_OUTLINE void gf_sampler_twice(struct gf_sampler *v, uint32_t from, uint32_t to, uint32_t lane, uint32_t lanes)
{
	const struct gf_gather *g = &v->gather;
	uint32_t n = g->again, stride = g->stride, items = (to - from + GF_GATHER_DEEP - 1) / GF_GATHER_DEEP * n;

	for (uint32_t i = lane; i < items; i += lanes) {
		uint32_t first = i / n * GF_GATHER_DEEP, k = g->twice[i % n];
		const uint64_t *at = v->kept.at[g->of[k]], *was = v->words + (size_t)k * stride + first;
		uint64_t mask = g->mask[i % n], w[GF_GATHER_DEEP];

		GF_UNROLL
		for (uint32_t j = 0; j < GF_GATHER_DEEP; j++) {
			uint32_t row = from + first + j < to ? v->lead[from + first + j].kept : GF_NONE;
			w[j] = row == GF_NONE ? 0 : at[row];
		}
		GF_UNROLL
		for (uint32_t j = 0; j < GF_GATHER_DEEP; j++)
			if (w[j])
				w[j] = gf_load((const uint8_t *)(uintptr_t)(w[j] + g->off[k]), 8);
		GF_UNROLL
		for (uint32_t j = 0; j < GF_GATHER_DEEP; j++)
			if ((w[j] ^ was[j]) & mask)
				gf_team_flag_set(&v->changed[first + j], 1);
	}
}

/* Leader: words of the batch's known processes, as long as these can be had. */
GF_INLINE void gf_sampler_fetch(struct gf_sampler *v, uint32_t from, uint32_t to)
{
	const struct gf_layout_mm *o = &v->g->layout.mm;

	gf_sampler_call(v, GF_SJ_GATHER, from, to, v->host_due);
	v->host_due = 0;
	if (v->gather.bad)
		return;
	if (o->rss_kind == GF_RSS_PERCPU && v->gather.want & (GF_REC_RSS | GF_REC_SWAP | GF_REC_PGTABLES))
		gf_sampler_call(v, GF_SJ_PARTS, from, to, 0);
	gf_sampler_call(v, GF_SJ_TWICE, from, to, 0);
}

/* Out of what was fetched: true, it is whole. */
GF_INLINE int gf_lead_fetched(struct gf_sampler *v, struct gf_task_ctx *c, const struct gf_lead *l, uint32_t i, uint32_t from, uint32_t to, int many,
			      struct gf_task_rec *r)
{
	const struct gf_gather *g = &v->gather;
	const uint64_t *parent = NULL;
	int64_t parts[GF_RSS_PARTS];
	uint32_t up, at;

	if (v->plain || l->kept == GF_NONE || gf_team_flag(&v->changed[i]))
		return 0;
	GF_UNROLL
	for (uint32_t k = 0; k < GF_RSS_PARTS; k++)
		parts[k] = v->parts[k * g->stride + i];
	/* Many have one parent: its words have been fetched once, where it is a process's leader. */
	up = v->s->parent[l->kept];
	at = up < v->cap ? v->lead_at[up] : GF_NONE;
	if (at >= from && at < to && v->lead[at].kept == up && v->lead[at].task == v->kept.va[GF_GO_PARENT][l->kept])
		parent = v->words + (at - from);
	return !gf_gather_read(g, &v->kept, c, v->words + i, parent, parts, l->kept, l->pid, l->task, many, r);
}

/* What becomes of a leader that has been read. */
GF_INLINE void gf_lead_got(struct gf_sampler *v, uint32_t from, uint32_t i, enum gf_task_got got, uint32_t starved)
{
	struct gf_table *t = &v->table;
	struct gf_lead *l = &v->lead[i];
	const struct gf_task_rec *r = &v->rec[i - from];

	if (got == GF_TASK_BAD)
		gf_team_add(&v->bad, 1);
	if (got != GF_TASK_OK)
		return;
	if (r->pid == 1)
		gf_team_add(&v->init_seen, 1);
	if (starved) {
		l->state |= GF_LEAD_AGAIN;
		gf_team_add(&v->starved, 1);
	}
	/* Out of what was fetched: it has the row that it had. */
	l->row = l->state & GF_LEAD_SAME ? l->kept : t->hash[gf_table_slot(t, r->pid, r->start_ns)] - 1;
	if (l->row == GF_NONE) {
		gf_team_add(&v->fresh[(i - from) / 32], 1u << (i - from) % 32);
		gf_team_add(&v->fresh_n, 1);
	} else if (t->seen[l->row] == t->pass) {
		l->row = GF_NONE; /* a second time in one pass: no tree has that */
	} else {
		gf_team_max(&v->claim[l->row], ~i);
	}
}

/* Teams: who can be read out of what was fetched. The others are put on a list. */
GF_OUTLINE void gf_sampler_quick(struct gf_sampler *v, uint32_t from, uint32_t to, uint32_t lane, uint32_t lanes)
{
	struct gf_task_ctx c;

	gf_sampler_ctx(v, &c, NULL);
	for (uint32_t i = from + lane; i < to; i += lanes) {
		struct gf_lead *l = &v->lead[i];

		l->row = GF_NONE;
		l->state = 0;
		if (gf_lead_fetched(v, &c, l, i - from, from, to, 0, &v->rec[i - from])) {
			l->state = GF_LEAD_SAME;
			gf_team_one(&v->fetched);
			gf_lead_got(v, from, i, GF_TASK_OK, 0);
		} else {
			v->slow[gf_team_add(&v->slow_n, 1)] = i;
		}
	}
}

GF_OUTLINE void gf_sampler_slow(struct gf_sampler *v, uint32_t from, uint32_t to, uint32_t lane, uint32_t lanes)
{
	struct gf_task_ctx c;
	struct gf_tlb own;
	uint32_t by, k = gf_team_spread(lane, lanes, v->slow_n, &by);

	gf_tlb_clear(&own);
	gf_sampler_ctx(v, &c, &own);
	for (; k < v->slow_n; k += by) {
		uint32_t i = v->slow[k];
		struct gf_lead *l = &v->lead[i];
		enum gf_task_got got = GF_TASK_OK;

		c.budget = v->share;
		c.starved = 0;
		if (gf_lead_fetched(v, &c, l, i - from, from, to, 1, &v->rec[i - from])) {
			l->state = GF_LEAD_SAME;
			gf_team_one(&v->fetched);
		} else {
			c.budget = v->share;
			c.starved = 0;
			got = gf_lead_read(v->g, &c, l, &v->rec[i - from]);
		}
		gf_lead_got(v, from, i, got, c.starved);
	}
}

/* One lane: all of them. */
GF_OUTLINE void gf_sampler_read(struct gf_sampler *v, uint32_t from, uint32_t to)
{
	struct gf_task_ctx c;

	gf_sampler_ctx(v, &c, &v->tlb);
	for (uint32_t i = from; i < to; i++) {
		struct gf_lead *l = &v->lead[i];

		c.budget = v->share;
		c.starved = 0;
		l->row = GF_NONE;
		l->state = 0;
		gf_lead_got(v, from, i, gf_lead_read(v->g, &c, l, &v->rec[i - from]), c.starved);
	}
}

/* Leader: rows for those who have none. */
GF_INLINE void gf_sampler_place(struct gf_sampler *v, uint32_t from, uint32_t to)
{
	struct gf_table *t = &v->table;

	for (uint32_t w = 0; w < (to - from + 31) / 32; w++) {
		uint32_t bits = v->fresh[w];

		v->fresh[w] = 0;
		for (; bits; bits &= bits - 1) {
			uint32_t i = w * 32 + gf_ctz64(bits), slot;
			const struct gf_task_rec *r = &v->rec[i];
			struct gf_lead *l = &v->lead[from + i];

			slot = gf_table_slot(t, r->pid, r->start_ns);
			if (t->hash[slot]) /* twice, as above */
				continue;
			l->row = gf_table_take(t, slot, r->pid, r->start_ns);
			if (l->row == GF_NONE)
				continue;
			l->state |= GF_LEAD_FRESH;
			t->seen[l->row] = t->pass;
			v->claim[l->row] = ~(from + i);
		}
	}
}

GF_INLINE void gf_sampler_paths(struct gf_sampler *v, const struct gf_lead *l, const uint8_t *task)
{
	const struct gf_sampler_guest *g = v->g;
	struct gf_sample *s = v->s;
	uint32_t n = GF_MIN(GF_MIN(g->paths, v->fields.paths), GF_MAX_PATHS);
	double *col;

	if (!n)
		return;
	for (uint32_t i = 0; i < n; i++) {
		col = s->col[GF_TF_COUNT + i];
		if (col)
			col[l->row] = gf_kpath_value(&g->mem, &g->kpath[i], l->task);
	}
	GF_LOAD_FENCE();
	if (gf_task_is(&g->layout.task, task, l->pid, l->task))
		return;
	for (uint32_t i = 0; i < n; i++) {
		col = s->col[GF_TF_COUNT + i];
		if (col)
			col[l->row] = gf_unknown();
	}
}

GF_INLINE void gf_sampler_columns(struct gf_sampler *v, uint32_t row, const struct gf_task_rec *r)
{
	struct gf_sample *s = v->s;
	struct gf_record_env e = v->env;

	v->table.ppid[row] = r->ppid;
	s->flags[row] = gf_record_flags(r);
	s->uid[row] = r->have & GF_REC_UID ? r->euid : GF_NONE;
	gf_row_comm(&v->table, row, r->comm, sizeof r->comm);
	/* Started since the guest's clock last moved: just now. */
	if (e.now_ns && e.now_ns < r->start_ns)
		e.now_ns = r->start_ns;
	gf_record_columns(s, row, r, &e, &v->note[row].shown);
	gf_record_io(s, row, r->have & GF_REC_IO ? 1 : 0, r->read_bytes, r->write_bytes);
}

GF_OUTLINE void gf_sampler_fill(struct gf_sampler *v, uint32_t from, uint32_t to, uint32_t lane, uint32_t lanes)
{
	const struct gf_sampler_guest *g = v->g;

	for (uint32_t i = from + lane; i < to; i += lanes) {
		struct gf_lead *l = &v->lead[i];
		const struct gf_task_rec *r = &v->rec[i - from];
		const uint8_t *task;
		uint32_t need;

		if (l->row == GF_NONE)
			continue;
		if (v->claim[l->row] != ~i) { /* twice: the first has it */
			l->row = GF_NONE;
			continue;
		}
		task = gf_obj(&g->mem, l->task, g->layout.task.span);
		v->table.seen[l->row] = v->table.pass;
		if (l->state & GF_LEAD_FRESH) {
			const struct gf_row_note none = { { 0, 0 }, r->exec_tag, 0, 0, 0, 0, 0 };
			gf_row_clear(v->s, l->row);
			v->note[l->row] = none;
		}
		gf_sampler_columns(v, l->row, r);
		/* Good where nobody has come or gone; else it is done again. */
		if (v->parents) {
			gf_table_parent(&v->table, l->row);
			gf_team_one(&v->seen_n);
		}
		if (v->team && l->state & GF_LEAD_SAME && l->row == l->kept)
			v->kept.pass[l->row] = v->table.pass;
		else if (v->team)
			gf_kept_set(&v->gather, &v->kept, &g->mem, &g->layout, l->row, l->pid, l->task, v->table.pass);
		if (!task)
			continue;
		gf_sampler_paths(v, l, task);
		if (!(v->fields.str & GF_STR_READ))
			continue;
		need = gf_strings_need(v, task, l->row, r, l->state & GF_LEAD_FRESH);
		if (need) {
			l->state |= need * GF_LEAD_NEED;
			gf_team_add(&v->need, 1);
		}
	}
}

GF_OUTLINE void gf_sampler_strings(struct gf_sampler *v, uint32_t from, uint32_t to, uint32_t lane, uint32_t lanes)
{
	const struct gf_sampler_guest *g = v->g;

	if (lane >= v->texts)
		return;
	for (uint32_t i = from + lane; i < to; i += GF_MIN(lanes, v->texts)) {
		struct gf_lead *l = &v->lead[i];
		const uint8_t *task;

		if (l->row == GF_NONE || l->state < GF_LEAD_NEED)
			continue;
		task = gf_obj(&g->mem, l->task, g->layout.task.span);
		if (task)
			gf_strings_read(v, task, l->row, &v->rec[i - from], l->state / GF_LEAD_NEED, v->text + (size_t)lane * GF_TEXT_MAX);
	}
}

/* Those whose share of the budget was too small, with a larger one. */
GF_OUTLINE void gf_sampler_again(struct gf_sampler *v, uint32_t lane, uint32_t lanes)
{
	struct gf_table *t = &v->table;
	struct gf_task_ctx c;
	struct gf_tlb own;

	gf_tlb_clear(&own);
	gf_sampler_ctx(v, &c, &own);
	for (uint32_t i = lane; i < v->n; i += lanes) {
		struct gf_lead *l = &v->lead[i];
		struct gf_task_rec r;

		if (l->row == GF_NONE || !(l->state & GF_LEAD_AGAIN))
			continue;
		c.budget = v->share;
		c.starved = 0;
		if (gf_lead_read(v->g, &c, l, &r) == GF_TASK_OK && r.pid == t->s->pid[l->row] && r.start_ns == t->s->start_ns[l->row])
			gf_sampler_columns(v, l->row, &r);
		else
			t->s->flags[l->row] |= GF_ROW_TORN; /* ended between the two looks */
	}
}

/* Leader: 0, or -EBADMSG when what is there cannot be a running Linux. */
GF_OUTLINE int gf_sampler_tasks(struct gf_sampler *v)
{
	const struct gf_sampler_guest *g = v->g;

	v->env.now_ns = v->guest_now.boot_ns;
	v->env.total_pages = 0;
	v->env.page = 4096;
	if (v->want & GF_REC_SCORE) {
		struct gf_host_mem m = { &g->mem, NULL, 0, 0 };
		double pages = gf_hf_count(&m, g->layout.host.totalram, 1) + gf_hf_count(&m, g->layout.host.total_swap, 1);
		v->env.total_pages = pages < 1099511627776.0 ? (uint64_t)pages : 0; /* unknown is not less */
	}
	v->init_seen = v->bad = v->starved = v->fetched = 0;
	v->seen_n = v->fresh_all = v->parents = 0;
	v->share = GF_MAX(v->budget / 2 / GF_MAX(v->n, 1u), 16u);
	for (uint32_t from = 0; from < v->n; from += v->recs) {
		uint32_t to = GF_MIN(v->n, from + v->recs);

		if (v->team && !v->plain)
			gf_sampler_fetch(v, from, to);
		v->slow_n = v->fresh_n = 0;
		gf_sampler_call(v, GF_SJ_READ, from, to, 0);
		if (v->slow_n)
			gf_sampler_call(v, GF_SJ_SLOW, from, to, 0);
		v->fresh_all += v->fresh_n;
		if (v->fresh_n)
			gf_sampler_place(v, from, to);
		v->parents = v->team && v->whole && from == 0 && to == v->n && v->init_seen && v->bad <= v->n / 4;
		v->need = 0;
		gf_sampler_call(v, GF_SJ_FILL, from, to, 0);
		if (v->need)
			gf_sampler_call(v, GF_SJ_STRINGS, from, to, 0);
		gf_text_settle(&v->pool);
	}
	if (v->starved) {
		v->share = v->budget / 2 / v->starved;
		gf_sampler_call(v, GF_SJ_AGAIN, 0, 0, 0);
	}
	v->table.unplaced += v->more;
	return !v->init_seen || v->bad > v->n / 4 ? -EBADMSG : 0;
}

/* ---- rows ------------------------------------------------------------------- */

GF_INLINE void gf_sampler_unseen(struct gf_sampler *v, uint32_t lane, uint32_t lanes)
{
	struct gf_sample *s = v->s;
	uint32_t live = 0, last = 0;

	for (uint32_t i = lane; i < s->rows; i += lanes) {
		v->table.kids[i] = 0;
		v->claim[i] = 0;
		if (!s->flags[i])
			continue;
		if (v->table.seen[i] == v->table.pass) {
			live++;
			last = i + 1;
			continue;
		}
		for (uint32_t f = 0; f < GF_SF_COUNT; f++)
			if (GF_STR_READ & 1u << f)
				gf_string_forget(v, i, f);
		gf_row_clear(s, i);
		gf_team_add(&v->gone[i / 32], 1u << i % 32);
		gf_team_add(&v->gone_n, 1);
	}
	if (live)
		gf_team_add(&v->live, live);
	gf_team_max(&v->last, last);
}

/* Leader: frees rows not seen in this pass; sets rows, live, dropped, parents, and the children column where there is one. */
GF_OUTLINE void gf_sampler_commit(struct gf_sampler *v)
{
	struct gf_sample *s = v->s;

	/* As many as there were, and all of them: rows stay as they are, and parents are known already. */
	if (v->parents && !v->starved && !v->fresh_all && v->seen_n == s->live && !s->col[GF_TF_CHILDREN]) {
		s->dropped = v->table.unplaced;
		return;
	}
	v->live = v->last = v->gone_n = 0;
	gf_sampler_call(v, GF_SJ_UNSEEN, 0, 0, 0);
	for (uint32_t w = 0; v->gone_n && w < (s->rows + 31) / 32; w++) {
		uint32_t bits = v->gone[w];

		if (!bits)
			continue;
		v->gone[w] = 0;
		for (; bits; bits &= bits - 1)
			gf_table_release(&v->table, w * 32 + gf_ctz64(bits));
	}
	gf_text_settle(&v->pool);
	s->live = v->live;
	s->rows = v->last;
	s->dropped = v->table.unplaced;
	gf_sampler_call(v, GF_SJ_PARENTS, 0, 0, 0);
	if (s->col[GF_TF_CHILDREN])
		gf_sampler_call(v, GF_SJ_CHILDREN, 0, 0, 0);
}

/* Leader: the pass was not complete. All rows stay, none is fit to be acted on. */
GF_OUTLINE void gf_sampler_abort(struct gf_sampler *v)
{
	v->live = 0;
	gf_sampler_call(v, GF_SJ_TORN, 0, 0, 0);
	v->s->live = v->live;
	v->s->dropped = v->table.unplaced;
}

GF_INLINE void gf_sampler_torn(struct gf_sampler *v, uint32_t lane, uint32_t lanes)
{
	struct gf_sample *s = v->s;
	uint32_t live = 0;

	for (uint32_t i = lane; i < s->rows; i += lanes) {
		v->claim[i] = 0;
		if (!s->flags[i])
			continue;
		s->flags[i] |= GF_ROW_TORN;
		live++;
	}
	if (live)
		gf_team_add(&v->live, live);
}

GF_INLINE void gf_sampler_begin(struct gf_sampler *v)
{
	v->table.pass++;
	v->table.unplaced = 0;
}

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
		gf_walk_slots(v, call->a, call->b, call->c, lane, lanes); break;
	case GF_SJ_COLLECT: gf_walk_collect(v, call->a, call->b, call->c, lane, lanes); break;
	case GF_SJ_GATHER:
		if (call->c)
			gf_sampler_host_aside(v, lane, lanes);
		gf_sampler_gather(v, call->a, call->b, lane, lanes); break;
	case GF_SJ_PARTS: gf_sampler_parts(v, call->a, call->b, lane, lanes); break;
	case GF_SJ_TWICE: gf_sampler_twice(v, call->a, call->b, lane, lanes); break;
	case GF_SJ_READ:
		if (v->team)
			gf_sampler_quick(v, call->a, call->b, lane, lanes);
		else
			gf_sampler_read(v, call->a, call->b);
		break;
	case GF_SJ_SLOW: gf_sampler_slow(v, call->a, call->b, lane, lanes); break;
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
		gf_gather_make(&v->gather, &v->g->layout, v->g->boot, gf_sampler_wanted(v), v->recs, v->table.pass);
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
		gf_sampler_call(v, GF_SJ_BEGIN, 0, 0, 0);
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
