/* SPDX-License-Identifier: MIT
 *
 * From a sampler's record of one process to the columns of its row: the same for all targets, one lane a row.
 */
#ifndef GPUFAS_GPU_RECORD_H
#define GPUFAS_GPU_RECORD_H

#include "gpufas/sample.h"
#include "gpufas/taskrec.h"

/* What is remembered of a row from one sample to the next. */
struct gf_record_note {
	uint64_t utime_ns, stime_ns; /* as last shown: each may only grow */
};

struct gf_record_env {
	uint64_t now_ns;      /* what ages are counted to */
	uint64_t total_pages; /* RAM and swap; 0: not known */
	double page;          /* bytes */
};

/* What a sampler must find out so that the columns of f can be filled. */
GF_INLINE uint32_t gf_record_want(const struct gf_fieldset *f)
{
	static const struct {
		uint8_t field;
		uint32_t rec;
	} map[] = {
		{ GF_TF_RSS, GF_REC_RSS_SUM }, { GF_TF_ANON, GF_REC_RSS }, { GF_TF_FILE, GF_REC_RSS },
		{ GF_TF_SHMEM, GF_REC_RSS }, { GF_TF_SWAP, GF_REC_SWAP }, { GF_TF_VSZ, GF_REC_VSZ },
		{ GF_TF_CPUTIME, GF_REC_CPU }, { GF_TF_UTIME, GF_REC_SPLIT | GF_REC_CPU },
		{ GF_TF_STIME, GF_REC_SPLIT | GF_REC_CPU }, { GF_TF_MAJFLT, GF_REC_FAULTS },
		{ GF_TF_MINFLT, GF_REC_FAULTS }, { GF_TF_READ_BYTES, GF_REC_IO }, { GF_TF_WRITE_BYTES, GF_REC_IO },
		{ GF_TF_OOM_SCORE, GF_REC_SCORE }, { GF_TF_FDS, GF_REC_FDS },
		{ GF_TF_UID, GF_REC_UID_NOW }, { GF_TF_GID, GF_REC_UID_NOW }, { GF_TF_OOM_SCORE_ADJ, GF_REC_ADJ_NOW },
	};
	uint32_t want = GF_REC_ADJ | GF_REC_STAT | GF_REC_UID | GF_REC_IDS;

	for (uint32_t i = 0; i < sizeof map / sizeof *map; i++)
		if (f->task & GF_BIT(map[i].field))
			want |= map[i].rec;
	return want;
}

/* enum gf_row_flags, but for GF_ROW_SELF. */
GF_INLINE uint8_t gf_record_flags(const struct gf_task_rec *r)
{
	unsigned flags = GF_ROW_VALID;

	if (r->flags & GF_REC_KTHREAD)
		flags |= GF_ROW_KTHREAD;
	if (r->flags & GF_REC_EXITING) {
		flags |= GF_ROW_EXITING;
		/* exit_mm() takes the memory away from the task first, and frees it then; only after that, in exit_notify(),
		 * is a task a zombie (kernel/exit.c). The last of a group's threads frees what all of them had. */
		if (!(r->have & GF_REC_STAT) || r->threads > 1 || (r->state != 'Z' && r->state != 'X'))
			flags |= GF_ROW_LEAVING;
	}
	if (r->flags & GF_REC_INIT || r->pid == 1)
		flags |= GF_ROW_INIT;
	if (r->flags & GF_REC_TORN)
		flags |= GF_ROW_TORN;
	/* Not known whether it is immune: it counts as immune. */
	if (!(r->have & GF_REC_ADJ) || r->oom_adj == -1000)
		flags |= GF_ROW_OOM_IMMUNE;
	return (uint8_t)flags;
}

GF_INLINE void gf_col_set(struct gf_sample *s, int field, uint32_t row, double v)
{
	if (s->col[field])
		s->col[field][row] = v;
}

GF_INLINE void gf_col_set_if(struct gf_sample *s, int field, uint32_t row, int known, double v)
{
	if (s->col[field])
		s->col[field][row] = known ? v : gf_unknown();
}

/* User and system time are sampled by the tick and scaled to the precise sum, as
 * kernel/sched/cputime.c does in cputime_adjust(). */
GF_INLINE void gf_split_cputime(struct gf_sample *s, uint32_t row, struct gf_record_note *n, const struct gf_task_rec *r)
{
	uint64_t run = r->run_ns, u = r->utime_ns, k = r->stime_ns;

	if (n->utime_ns + n->stime_ns < r->prev_utime_ns + r->prev_stime_ns) {
		n->utime_ns = r->prev_utime_ns;
		n->stime_ns = r->prev_stime_ns;
	}
	if (n->utime_ns + n->stime_ns < run) {
		if (!k) {
			u = run;
		} else if (!u) {
			k = run;
		} else {
			k = (uint64_t)((unsigned __int128)k * run / (u + k));
		}
		if (k < n->stime_ns)
			k = n->stime_ns;
		u = run - k;
		if (u < n->utime_ns) {
			u = n->utime_ns;
			k = run - u;
		}
		n->utime_ns = u;
		n->stime_ns = k;
	}
	gf_col_set(s, GF_TF_UTIME, row, (double)n->utime_ns);
	gf_col_set(s, GF_TF_STIME, row, (double)n->stime_ns);
}

/* mm/oom_kill.c, oom_badness(), and fs/proc/base.c, proc_oom_score(). */
GF_INLINE double gf_oom_score(const struct gf_record_env *e, const struct gf_task_rec *r)
{
	int64_t total = (int64_t)e->total_pages, points;

	if (r->have & GF_REC_SCORE)
		return r->oom_score;
	if (!(r->have & GF_REC_RSS) || !(r->have & GF_REC_PGTABLES) || !total)
		return gf_unknown();
	if (r->oom_adj == -1000 || r->pid == 1 || r->flags & (GF_REC_OOM_SKIP | GF_REC_KTHREAD | GF_REC_NO_MM))
		return 0;
	points = r->file + r->anon + r->shmem + r->swap + (int64_t)((double)r->pgtables / e->page);
	points += r->oom_adj * (total / 1000);
	return (double)((1000 + points * 1000 / total) * 2 / 3);
}

GF_INLINE void gf_record_memory(struct gf_sample *s, uint32_t row, const struct gf_task_rec *r, const struct gf_record_env *e)
{
	int parts = r->have & GF_REC_RSS, sum = parts || r->have & GF_REC_RSS_SUM;
	double pg = e->page;

	gf_col_set_if(s, GF_TF_RSS, row, sum, pg * (double)(r->anon + r->file + r->shmem));
	gf_col_set_if(s, GF_TF_ANON, row, parts, pg * (double)r->anon);
	gf_col_set_if(s, GF_TF_FILE, row, parts, pg * (double)r->file);
	gf_col_set_if(s, GF_TF_SHMEM, row, parts, pg * (double)r->shmem);
	gf_col_set_if(s, GF_TF_SWAP, row, r->have & GF_REC_SWAP, pg * (double)r->swap);
	gf_col_set_if(s, GF_TF_VSZ, row, r->have & GF_REC_VSZ, pg * (double)r->vsz);
	if (s->col[GF_TF_OOM_SCORE])
		gf_col_set(s, GF_TF_OOM_SCORE, row, gf_oom_score(e, r));
}

/* read_bytes and write_bytes. */
GF_INLINE void gf_record_io(struct gf_sample *s, uint32_t row, int known, uint64_t read, uint64_t written)
{
	gf_col_set_if(s, GF_TF_READ_BYTES, row, known, (double)read);
	gf_col_set_if(s, GF_TF_WRITE_BYTES, row, known, (double)written);
}

/* All columns of s but read_bytes, write_bytes and children. */
GF_INLINE void gf_record_columns(struct gf_sample *s, uint32_t row, const struct gf_task_rec *r, const struct gf_record_env *e,
		       struct gf_record_note *n)
{
	int st = r->have & GF_REC_STAT, ids = r->have & GF_REC_IDS;

	gf_col_set(s, GF_TF_PID, row, r->pid);
	gf_col_set(s, GF_TF_TGID, row, r->pid);
	gf_col_set_if(s, GF_TF_PPID, row, st, r->ppid);
	gf_col_set_if(s, GF_TF_PGRP, row, ids, r->pgrp);
	gf_col_set_if(s, GF_TF_SESSION, row, ids, r->session);
	gf_col_set_if(s, GF_TF_UID, row, r->have & GF_REC_UID, r->euid);
	gf_col_set_if(s, GF_TF_GID, row, r->have & GF_REC_UID, r->egid);
	gf_col_set_if(s, GF_TF_STATE, row, st, r->state);
	gf_col_set_if(s, GF_TF_NICE, row, st, r->nice);
	gf_col_set_if(s, GF_TF_PRIO, row, st, r->prio);
	gf_col_set_if(s, GF_TF_POLICY, row, st, r->policy);
	gf_col_set_if(s, GF_TF_THREADS, row, st, r->threads);
	gf_col_set_if(s, GF_TF_AGE, row, e->now_ns >= r->start_ns, (double)(e->now_ns - r->start_ns));
	gf_col_set_if(s, GF_TF_CPUTIME, row, r->have & GF_REC_CPU, (double)r->run_ns);
	if (r->have & GF_REC_SPLIT) {
		gf_split_cputime(s, row, n, r);
	} else {
		gf_col_set(s, GF_TF_UTIME, row, gf_unknown());
		gf_col_set(s, GF_TF_STIME, row, gf_unknown());
	}
	gf_col_set_if(s, GF_TF_MINFLT, row, r->have & GF_REC_FAULTS, (double)r->minflt);
	gf_col_set_if(s, GF_TF_MAJFLT, row, r->have & GF_REC_FAULTS, (double)r->majflt);
	gf_col_set_if(s, GF_TF_OOM_SCORE_ADJ, row, r->have & GF_REC_ADJ, r->oom_adj);
	gf_col_set_if(s, GF_TF_FDS, row, r->have & GF_REC_FDS, r->fds);
	gf_record_memory(s, row, r, e);
}

#endif
