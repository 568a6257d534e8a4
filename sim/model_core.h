/* SPDX-License-Identifier: MIT
 *
 * The model's inside: plain data, and what is done to it, for the CPU and for a device. sim/model.c has one behind a feed; a sweep on a
 * device (sim/swept.h) has one for each policy that it tries.
 *
 * As in gpu/team.h: the leader calls, and lanes take their shares. Sums are the same whoever makes them: one lane adds up the rows of
 * a word of 64, in their order, and the leader adds up words. exp() is not for devices, whose last bit is another: how much of a
 * load is kept over a tick (keep[]) comes from the host.
 */
#ifndef GPUFAS_SIM_MODEL_CORE_H
#define GPUFAS_SIM_MODEL_CORE_H

#include <stdbool.h>

#include "gpu/team.h"
#include "gpufas/event.h"
#include "gpufas/sample.h"

enum gf_what_if_how { GF_WHAT_IF_IS, GF_WHAT_IF_TIMES, GF_WHAT_IF_PLUS };

/* Changes a host field from the first sample on. */
struct gf_what_if {
	uint32_t field; /* enum gf_host_field */
	enum gf_what_if_how how;
	double by;
};

struct gf_model_opts {
	bool acts;           /* actions have effects; false: all is as in truth but for what_if */
	uint64_t kill_ns;    /* from SIGKILL to the exit; 0: it is gone in the next sample */
	uint64_t term_ns;    /* from another signal that is meant to end it to the exit */
	bool term_never;     /* such signals are ignored: only SIGKILL ends anything */
	bool children_stay;  /* children that are there already outlive their parent */
	bool psi_unknown;    /* after the first death pressure is not known; false: as recorded */
	const struct gf_what_if *what_if; /* copied */
	size_t what_ifs;
};

/* What the model has done since it was rewound. */
struct gf_model_said {
	uint32_t killed, ended, ended_with, unborn; /* by SIGKILL; by other signals; as descendants; never started */
	uint32_t stopped, continued, reniced;
	uint32_t limits, resets, nmis, hooks, signals; /* not modelled: said so */
	double freed;      /* bytes that came back, at the time of each exit */
	double cpu_ns;     /* CPU time not used */
	uint64_t reset_ns; /* when a reset ended it all; 0: it did not */
	bool by_rss;       /* memory was counted by rss: the recording has no anon */
	bool no_memory, no_cpu; /* nor rss; no CPU time: neither came back */
	uint32_t psi_read; /* not 0: pressure was given out as recorded, though something had died */
};

/* What the model itself needs to know of tasks. */
#define GF_MODEL_NEEDS (GF_BIT(GF_TF_RSS) | GF_BIT(GF_TF_ANON) | GF_BIT(GF_TF_SWAP) | GF_BIT(GF_TF_CPUTIME) | GF_BIT(GF_TF_THREADS) | GF_BIT(GF_TF_STATE))

enum gf_mrow_is {
	GF_M_LIVES,
	GF_M_STOPPED, /* by SIGSTOP or the freezer */
	GF_M_GONE,
};

enum gf_mrow_mark {
	GF_M_UNBORN = 1,      /* it was never started */
	GF_M_KILLED = 2,      /* on its way out by SIGKILL */
	GF_M_STOP_SIGNAL = 4, /* stopped by a signal: its state shows it */
	GF_M_MISSED = 8,      /* continued: missed[] holds */
};

/* What is not used in here, though it was in truth, at this time; of the rows of a word. */
struct gf_mpart {
	double memory, swap, cpu_ns, tasks, threads, running, blocked;
	double freed;
	uint32_t ended_with, unborn;
};

/* The sample before: whom it had, and their CPU times. rows 0: there is none that counts. */
struct gf_mbefore {
	uint32_t rows;
	const uint8_t *flags;
	const uint32_t *gen;
	const double *cpu; /* NULL: not known */
};

struct gf_mcore {
	struct gf_model_opts opts;
	struct gf_model_said said;
	const struct gf_sample *in;  /* as in truth */
	struct gf_sample *out;       /* as it is shown: a copy to be changed; only looked at once something is `touched` */
	struct gf_mbefore before;
	uint64_t task_has;   /* columns of `in` that are there for it */
	uint64_t host_wants;
	uint64_t now_ns, dt_ns; /* since the sample before; 0: there is none */
	double keep[3];      /* of load.1, .5, .15 over dt_ns */
	double load[3];      /* what is missing in them */
	double cpu_saved;    /* ns, of all that are gone or stopped, in this boot; said.cpu_ns: in those before */
	double forks_saved;
	uint32_t cap, rows;  /* rows: of the sample before */
	uint8_t touched;     /* some process is not as in truth */
	/* [cap], about rows whose bit is set in `dirty`: all others are as in truth */
	uint64_t *dirty;     /* [cap / 64] */
	uint32_t *gen;       /* identity that it is about */
	uint8_t *is, *mark;  /* enum gf_mrow_is; GF_M_LIVES, 0 where not dirty */
	uint64_t *since_ns;  /* gone or stopped from this time on */
	uint64_t *leaves_ns; /* it is to exit then; 0: it is not */
	double *nice;        /* to be added */
	double *cpu_then;    /* gone or stopped: CPU time in truth, a sample ago */
	double *then;        /* [cap][GF_TF_COUNT] stopped: the values that it stopped with; NULL: nobody can be */
	double *missed;      /* [cap][GF_TF_COUNT] continued: what it would have done while it was stopped */
	/* scratch */
	uint8_t *next;       /* [cap] */
	uint32_t *kids;      /* [cap] children that are not there any more */
	struct gf_mpart *part; /* [cap / 64] */
	uint32_t count, hidden, last, orphans;
};

/* Jobs: numbers beyond those of ticks. */
enum gf_mjob { GF_MJOB_REFRESH = 64, GF_MJOB_SEEK, GF_MJOB_GO, GF_MJOB_SHOW, GF_MJOB_RELATE, GF_MJOB_ENDS };

#if GF_TEAM
#define GF_MODEL_CALL(m, team, job, body, a) gf_team_call((team), (job), (a), 0, 0)
#define GF_MODEL_JOB static GF_HD __attribute__((noinline, unused)) void
#else
#define GF_MODEL_CALL(m, team, job, body, a) body((m), (a), 0, 1)
#define GF_MODEL_JOB GF_INLINE void
#endif

/* Tables of a core over cap rows, laid out from base on (NULL: how large?); zero when made. stops: some may be stopped. */
GF_INLINE size_t gf_mcore_layout(struct gf_mcore *m, uint32_t cap, bool stops, void *base)
{
	uint8_t *from = base ? (uint8_t *)base : (uint8_t *)(uintptr_t)4096; /* where only sizes are asked for nothing is there */
	size_t at = 0;

#define GF_MCORE_TAKE(type, p, n)                                     \
	do {                                                          \
		(p) = (type)(void *)(from + at);                      \
		at += ((size_t)(n) * sizeof *(p) + 63) / 64 * 64;     \
	} while (0)
	m->cap = cap;
	GF_MCORE_TAKE(uint64_t *, m->dirty, cap / 64);
	GF_MCORE_TAKE(uint32_t *, m->gen, cap);
	GF_MCORE_TAKE(uint8_t *, m->is, cap);
	GF_MCORE_TAKE(uint8_t *, m->mark, cap);
	GF_MCORE_TAKE(uint64_t *, m->since_ns, cap);
	GF_MCORE_TAKE(uint64_t *, m->leaves_ns, cap);
	GF_MCORE_TAKE(double *, m->nice, cap);
	GF_MCORE_TAKE(double *, m->cpu_then, cap);
	GF_MCORE_TAKE(uint8_t *, m->next, cap);
	GF_MCORE_TAKE(uint32_t *, m->kids, cap);
	GF_MCORE_TAKE(struct gf_mpart *, m->part, cap / 64);
	m->then = m->missed = NULL;
	if (stops) {
		GF_MCORE_TAKE(double *, m->then, (size_t)cap * GF_TF_COUNT);
		GF_MCORE_TAKE(double *, m->missed, (size_t)cap * GF_TF_COUNT);
	}
#undef GF_MCORE_TAKE
	return at;
}

GF_INLINE double gf_m_max(double a, double b)
{
	return a > b ? a : b;
}

GF_INLINE double gf_m_min(double a, double b)
{
	return a < b ? a : b;
}

GF_INLINE double gf_m_known(double v)
{
	return gf_is_unknown(v) ? 0 : v;
}

/* A task's number in truth and as shown; unknown where there is none. */
GF_INLINE double gf_m_true(const struct gf_mcore *m, uint32_t field, uint32_t row)
{
	const double *c = m->task_has >> field & 1 ? m->in->col[field] : NULL;

	return c ? c[row] : gf_unknown();
}

GF_INLINE double gf_m_shown(const struct gf_mcore *m, uint32_t field, uint32_t row)
{
	double is = gf_m_true(m, field, row);
	size_t at = (size_t)row * GF_TF_COUNT + field;

	if (m->is[row] == GF_M_GONE)
		return 0;
	if (m->is[row] == GF_M_STOPPED && !gf_is_unknown(m->then[at]))
		return m->then[at];
	if (m->mark[row] & GF_M_MISSED && !gf_is_unknown(is))
		return gf_m_max(is - m->missed[at], 0);
	return is;
}

GF_INLINE uint32_t gf_m_memory(const struct gf_mcore *m)
{
	return m->task_has >> GF_TF_ANON & 1 ? GF_TF_ANON : GF_TF_RSS;
}

GF_INLINE int gf_m_known_before(const struct gf_mcore *m, uint32_t row)
{
	const struct gf_mbefore *b = &m->before;

	return row < b->rows && b->flags[row] & GF_ROW_VALID && b->gen[row] == m->in->gen[row];
}

/* A row is not as in truth any more. By the leader, or by the lane whose word it is in. */
GF_INLINE void gf_m_dirty(struct gf_mcore *m, uint32_t row)
{
	if (m->dirty[row / 64] >> row % 64 & 1)
		return;
	m->dirty[row / 64] |= 1ull << row % 64;
	m->gen[row] = m->in->gen[row];
	m->is[row] = GF_M_LIVES;
	m->mark[row] = 0;
	m->since_ns[row] = m->leaves_ns[row] = 0;
	m->nice[row] = m->cpu_then[row] = 0;
}

GF_INLINE void gf_m_forget(struct gf_mcore *m, uint32_t row)
{
	m->dirty[row / 64] &= ~(1ull << row % 64);
	m->is[row] = GF_M_LIVES;
	m->mark[row] = 0;
}

GF_INLINE void gf_m_leave(struct gf_mcore *m, uint32_t row, uint64_t when, struct gf_mpart *to)
{
	double anon = gf_m_shown(m, gf_m_memory(m), row), swap = gf_m_shown(m, GF_TF_SWAP, row);

	/* What it used since it was last looked at counts as used, but for what follows now. */
	if (m->is[row] != GF_M_STOPPED)
		m->cpu_then[row] = gf_m_known_before(m, row) && m->before.cpu ? gf_m_known(m->before.cpu[row]) : 0;
	m->is[row] = GF_M_GONE;
	m->since_ns[row] = when;
	m->mark[row] = (uint8_t)(m->mark[row] & ~GF_M_MISSED);
	to->freed += gf_m_known(anon) + gf_m_known(swap);
}

/* Identities that changed; exits that are due. */
GF_MODEL_JOB gf_mjob_refresh(struct gf_mcore *m, uint32_t a, uint32_t lane, uint32_t lanes)
{
	const struct gf_sample *s = m->in;

	(void)a;
	for (uint32_t w = lane; w < m->cap / 64; w += lanes) {
		m->part[w].freed = 0;
		for (uint64_t bits = m->dirty[w]; bits; bits &= bits - 1) {
			uint32_t i = w * 64 + gf_ctz64(bits);
			if (i >= s->rows || !(s->flags[i] & GF_ROW_VALID) || m->gen[i] != s->gen[i]) {
				gf_m_forget(m, i);
				continue;
			}
			if (m->is[i] == GF_M_GONE || !m->leaves_ns[i] || m->now_ns < m->leaves_ns[i])
				continue;
			/* A signal waits for a process that is stopped, unless it is SIGKILL. */
			if (m->is[i] == GF_M_STOPPED && !(m->mark[i] & GF_M_KILLED))
				continue;
			gf_m_leave(m, i, m->leaves_ns[i], &m->part[w]);
			gf_team_add(&m->count, 1);
		}
	}
}

/* Whom the fate of its parent reaches: 0; 1: it goes with it; 2: it was started after it and never is. */
GF_INLINE uint8_t gf_m_goes_with(const struct gf_mcore *m, uint32_t row)
{
	const struct gf_sample *s = m->in;
	uint32_t p = s->parent[row];

	if (p == GF_NONE || m->is[p] == GF_M_LIVES)
		return 0;
	if (m->mark[p] & GF_M_UNBORN || s->start_ns[row] >= m->since_ns[p])
		return 2;
	return m->is[p] == GF_M_GONE && !m->opts.children_stay;
}

/* One generation: whose parent's fate reaches them. */
GF_MODEL_JOB gf_mjob_seek(struct gf_mcore *m, uint32_t a, uint32_t lane, uint32_t lanes)
{
	const struct gf_sample *s = m->in;

	(void)a;
	for (uint32_t i = lane; i < s->rows; i += lanes) {
		uint8_t goes = 0;
		if (s->flags[i] & GF_ROW_VALID && m->is[i] != GF_M_GONE)
			goes = gf_m_goes_with(m, i);
		m->next[i] = goes;
		m->kids[i] = 0;
		if (goes)
			gf_team_add(&m->count, 1);
	}
}

GF_MODEL_JOB gf_mjob_go(struct gf_mcore *m, uint32_t a, uint32_t lane, uint32_t lanes)
{
	const struct gf_sample *s = m->in;

	(void)a;
	for (uint32_t w = lane; w < m->cap / 64; w += lanes) {
		struct gf_mpart *to = &m->part[w];
		to->freed = 0;
		to->ended_with = to->unborn = 0;
		for (uint32_t i = w * 64; i < w * 64 + 64 && i < s->rows; i++) {
			if (!m->next[i])
				continue;
			gf_m_dirty(m, i);
			if (m->next[i] == 1 || gf_m_known_before(m, i)) {
				to->ended_with++;
				gf_m_leave(m, i, m->now_ns, to);
				continue;
			}
			m->is[i] = GF_M_GONE;
			m->mark[i] = (uint8_t)(m->mark[i] | GF_M_UNBORN);
			m->since_ns[i] = s->start_ns[i];
			m->cpu_then[i] = 0;
			to->unborn++;
		}
	}
}

GF_INLINE void gf_m_hide(struct gf_mcore *m, uint32_t row)
{
	const struct gf_strref none = { NULL, 0, 0 };
	struct gf_sample *s = m->out;

	s->flags[row] = 0;
	s->parent[row] = GF_NONE;
	s->pid[row] = 0;
	s->start_ns[row] = 0;
	for (uint32_t c = 0; c < GF_COLS; c++)
		if (s->col[c])
			s->col[c][row] = gf_unknown();
	for (uint32_t c = 0; c < GF_SF_COUNT; c++)
		if (s->str[c])
			s->str[c][row] = none;
}

/* What a process shows that is there, but not as in truth. */
GF_INLINE void gf_m_alter(struct gf_mcore *m, uint32_t row)
{
	struct gf_sample *s = m->out;
	int stopped = m->is[row] == GF_M_STOPPED;

	if (stopped || m->mark[row] & GF_M_MISSED)
		for (uint32_t c = 0; c < GF_TF_COUNT; c++)
			if (s->col[c])
				s->col[c][row] = gf_m_shown(m, c, row);
	if (stopped && s->col[GF_TF_STATE])
		s->col[GF_TF_STATE][row] = m->mark[row] & GF_M_STOP_SIGNAL ? 'T' : 'S';
	if (m->nice[row] != 0 && s->col[GF_TF_NICE] && !gf_is_unknown(s->col[GF_TF_NICE][row]))
		s->col[GF_TF_NICE][row] = gf_m_min(gf_m_max(s->col[GF_TF_NICE][row] + m->nice[row], -20), 19);
	if (m->mark[row] & GF_M_KILLED)
		s->flags[row] |= GF_ROW_EXITING;
}

/* A row as it is in truth; rows that are not there any more are empty. have: so many the sample in truth has. */
GF_INLINE void gf_m_copy(struct gf_mcore *m, uint32_t i, uint32_t have)
{
	const struct gf_sample *from = m->in;
	const struct gf_strref none = { NULL, 0, 0 };
	struct gf_sample *to = m->out;
	int there = i < have;

	to->flags[i] = (uint8_t)(there ? from->flags[i] : 0);
	if (there) {
		to->gen[i] = from->gen[i];
		to->pid[i] = from->pid[i];
		to->start_ns[i] = from->start_ns[i];
		to->parent[i] = from->parent[i];
		to->uid[i] = from->uid[i];
		for (uint32_t k = 0; k < GF_COMM_LEN; k++)
			to->comm[i][k] = from->comm[i][k];
	}
	for (uint32_t c = 0; c < GF_COLS; c++)
		if (to->col[c])
			to->col[c][i] = there && from->col[c] ? from->col[c][i] : gf_unknown();
	for (uint32_t c = 0; c < GF_SF_COUNT; c++)
		if (to->str[c])
			to->str[c][i] = there && from->str[c] ? from->str[c][i] : none;
}

GF_INLINE void gf_m_spare(struct gf_mcore *m, uint32_t row, struct gf_mpart *sp)
{
	uint32_t mem = gf_m_memory(m);
	double cpu = gf_m_true(m, GF_TF_CPUTIME, row), state = gf_m_known(gf_m_true(m, GF_TF_STATE, row));

	sp->memory += gf_m_known(gf_m_true(m, mem, row)) - gf_m_known(gf_m_shown(m, mem, row));
	sp->swap += gf_m_known(gf_m_true(m, GF_TF_SWAP, row)) - gf_m_known(gf_m_shown(m, GF_TF_SWAP, row));
	if (m->is[row] == GF_M_LIVES)
		return;
	if (!gf_is_unknown(cpu)) {
		sp->cpu_ns += gf_m_max(cpu - gf_m_known(m->cpu_then[row]), 0);
		m->cpu_then[row] = cpu;
	}
	sp->running += state == 'R';
	sp->blocked += state == 'D';
	if (m->is[row] == GF_M_GONE) {
		sp->tasks += 1;
		sp->threads += m->task_has >> GF_TF_THREADS & 1 ? gf_m_known(gf_m_true(m, GF_TF_THREADS, row)) : 1;
	}
}

/* Rows as they are shown, and what is spared. a: so many rows are copied from the truth first. */
GF_MODEL_JOB gf_mjob_show(struct gf_mcore *m, uint32_t a, uint32_t lane, uint32_t lanes)
{
	const struct gf_sample *s = m->in;
	struct gf_sample *o = m->out;
	uint32_t have = GF_MIN((s->rows + 127) / 128 * 128, m->cap), n = GF_MAX(a, s->rows), last = 0, hidden = 0;
	const struct gf_mpart none = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 };

	for (uint32_t i = lane; i < n; i += lanes) {
		if (i < a)
			gf_m_copy(m, i, have);
		if (i >= s->rows || !(s->flags[i] & GF_ROW_VALID))
			continue;
		if (m->is[i] == GF_M_GONE) {
			uint32_t p = s->parent[i];
			gf_m_hide(m, i);
			hidden++;
			if (o->col[GF_TF_CHILDREN] && p != GF_NONE && m->is[p] != GF_M_GONE)
				gf_team_add(&m->kids[p], 1);
			continue;
		}
		if (m->dirty[i / 64] >> i % 64 & 1)
			gf_m_alter(m, i);
		if (s->parent[i] != GF_NONE && m->is[s->parent[i]] == GF_M_GONE)
			gf_team_add(&m->orphans, 1);
		last = i + 1;
	}
	if (hidden)
		gf_team_add(&m->hidden, hidden);
	if (last)
		gf_team_max(&m->last, last);
	for (uint32_t w = lane; w < m->cap / 64; w += lanes) {
		m->part[w] = none;
		for (uint64_t bits = m->dirty[w]; bits; bits &= bits - 1) {
			uint32_t i = w * 64 + gf_ctz64(bits);
			if (m->is[i] != GF_M_LIVES || m->mark[i] & GF_M_MISSED)
				gf_m_spare(m, i, &m->part[w]);
		}
	}
}

/* Orphans are init's; who has lost children has fewer. a: init's row, or GF_NONE. */
GF_MODEL_JOB gf_mjob_relate(struct gf_mcore *m, uint32_t a, uint32_t lane, uint32_t lanes)
{
	const struct gf_sample *in = m->in;
	struct gf_sample *s = m->out;

	for (uint32_t i = lane; i < in->rows; i += lanes) {
		uint32_t p = in->parent[i];
		if (s->col[GF_TF_CHILDREN]) {
			if (i == a)
				s->col[GF_TF_CHILDREN][i] += (double)m->orphans;
			if (m->kids[i])
				s->col[GF_TF_CHILDREN][i] -= (double)m->kids[i];
		}
		if (!(in->flags[i] & GF_ROW_VALID) || p == GF_NONE || m->is[p] != GF_M_GONE || m->is[i] == GF_M_GONE)
			continue;
		s->parent[i] = a;
		if (s->col[GF_TF_PPID])
			s->col[GF_TF_PPID][i] = 1;
	}
}

GF_INLINE uint32_t gf_m_init_row(const struct gf_mcore *m)
{
	const struct gf_sample *s = m->in;

	for (uint32_t i = 0; i < s->rows; i++)
		if (s->flags[i] & GF_ROW_VALID && s->pid[i] == 1)
			return m->is[i] == GF_M_GONE ? GF_NONE : i;
	return GF_NONE;
}

GF_INLINE void gf_m_gone(struct gf_mcore *m)
{
	for (uint32_t w = 0; w < m->cap / 64; w++)
		m->said.freed += m->part[w].freed;
}

/* Brings rows up to date with the truth, then shows them in the copy. copy: out is to be copied from the truth here, of which no
 * part of out is to be believed; 0: whoever owns out has done so. Leader. */
static GF_HD __attribute__((noinline, unused)) void gf_mcore_rows(struct gf_mcore *m, struct gf_team *team, int copy)
{
	uint32_t n = GF_MIN((GF_MAX(m->in->rows, m->rows) + 127) / 128 * 128, m->cap);

	(void)team;
	m->count = 0;
	GF_MODEL_CALL(m, team, GF_MJOB_REFRESH, gf_mjob_refresh, 0);
	if (m->count)
		gf_m_gone(m);
	for (;;) {
		m->count = 0;
		GF_MODEL_CALL(m, team, GF_MJOB_SEEK, gf_mjob_seek, 0);
		if (!m->count)
			break;
		GF_MODEL_CALL(m, team, GF_MJOB_GO, gf_mjob_go, 0);
		gf_m_gone(m);
		for (uint32_t w = 0; w < m->cap / 64; w++) {
			m->said.ended_with += m->part[w].ended_with;
			m->said.unborn += m->part[w].unborn;
			m->forks_saved += (double)m->part[w].unborn;
		}
	}
	m->hidden = m->last = m->orphans = 0;
	GF_MODEL_CALL(m, team, GF_MJOB_SHOW, gf_mjob_show, copy ? n : 0);
	m->out->now_ns = m->in->now_ns;
	m->out->seq = m->in->seq;
	m->out->dropped = m->in->dropped;
	m->out->epoch = m->in->epoch;
	m->out->live = m->in->live - m->hidden;
	m->out->rows = m->last;
	if (m->orphans || (m->hidden && m->out->col[GF_TF_CHILDREN])) {
		uint32_t init = m->orphans ? gf_m_init_row(m) : GF_NONE;
		GF_MODEL_CALL(m, team, GF_MJOB_RELATE, gf_mjob_relate, init);
	}
}

/* Another boot, or a clock that went back: all of them are others. Leader. */
GF_INLINE void gf_mcore_reset_rows(struct gf_mcore *m)
{
	for (uint32_t w = 0; w < m->cap / 64; w++) {
		for (uint64_t bits = m->dirty[w]; bits; bits &= bits - 1)
			gf_m_forget(m, w * 64 + gf_ctz64(bits));
	}
	m->rows = 0;
	/* and counters begin anew */
	m->said.cpu_ns += m->cpu_saved;
	m->cpu_saved = m->forks_saved = 0;
	for (uint32_t k = 0; k < 3; k++)
		m->load[k] = 0;
	m->touched = 0;
}

/* ---- host fields ------------------------------------------------------------------ */

GF_INLINE void gf_m_put(double *host, uint32_t field, double by)
{
	if (!gf_is_unknown(host[field]))
		host[field] = gf_m_max(host[field] + by, 0);
}

/* Load is a mean that forgets at its own pace: what is missing in it follows what runs less. */
GF_INLINE void gf_m_load(struct gf_mcore *m, double *host, double less)
{
	for (uint32_t k = 0; k < 3; k++) {
		m->load[k] = m->load[k] * m->keep[k] + less * (1 - m->keep[k]);
		gf_m_put(host, GF_HF_LOAD_1 + k, -m->load[k]);
	}
}

GF_INLINE void gf_m_pressure(struct gf_mcore *m, double *host)
{
	const struct gf_model_said *said = &m->said;

	if (!(said->killed + said->ended + said->stopped))
		return;
	for (uint32_t i = GF_HF_PSI_CPU_SOME_10; i <= GF_HF_PSI_IO_FULL_300; i++) {
		if (!(m->host_wants >> i & 1) || gf_is_unknown(host[i]))
			continue;
		if (m->opts.psi_unknown)
			host[i] = gf_unknown();
		else
			m->said.psi_read = 1;
	}
}

GF_INLINE double gf_m_changed(const struct gf_what_if *w, double v)
{
	if (gf_is_unknown(v))
		return w->how == GF_WHAT_IF_IS ? w->by : v;
	return w->how == GF_WHAT_IF_IS ? w->by : w->how == GF_WHAT_IF_TIMES ? v * w->by : v + w->by;
}

GF_INLINE void gf_m_what_if(struct gf_mcore *m, double *host)
{
	for (size_t i = 0; i < m->opts.what_ifs; i++) {
		const struct gf_what_if *w = &m->opts.what_if[i];
		double is = host[w->field], then = gf_m_changed(w, is);

		host[w->field] = then;
		/* The machine had more or less; what was used stays used. */
		if (w->field == GF_HF_MEM_TOTAL && !gf_is_unknown(is)) {
			gf_m_put(host, GF_HF_MEM_AVAILABLE, then - is);
			gf_m_put(host, GF_HF_MEM_FREE, then - is);
		} else if (w->field == GF_HF_SWAP_TOTAL && !gf_is_unknown(is)) {
			gf_m_put(host, GF_HF_SWAP_FREE, then - is);
		}
	}
}

GF_INLINE void gf_m_within(double *host, uint32_t field, uint32_t total)
{
	if (!gf_is_unknown(host[field]) && !gf_is_unknown(host[total]))
		host[field] = gf_m_min(host[field], host[total]);
}

/* Host fields, copied from the truth, when the rows are done: what those that are gone or stand still went on to use in truth
 * is there for others. Leader. */
static GF_HD __attribute__((noinline, unused)) void gf_mcore_host(struct gf_mcore *m, double *host)
{
	struct gf_mpart sp = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 };

	gf_m_what_if(m, host);
	if (!m->touched)
		return;
	for (uint32_t w = 0; w < m->cap / 64; w++) {
		if (!m->dirty[w])
			continue;
		sp.memory += m->part[w].memory;
		sp.swap += m->part[w].swap;
		sp.cpu_ns += m->part[w].cpu_ns;
		sp.tasks += m->part[w].tasks;
		sp.threads += m->part[w].threads;
		sp.running += m->part[w].running;
		sp.blocked += m->part[w].blocked;
	}
	m->cpu_saved += sp.cpu_ns;
	gf_m_put(host, GF_HF_MEM_AVAILABLE, sp.memory);
	gf_m_put(host, GF_HF_MEM_FREE, sp.memory);
	gf_m_put(host, GF_HF_SWAP_FREE, sp.swap);
	gf_m_put(host, GF_HF_SWAP_USED, -sp.swap);
	gf_m_within(host, GF_HF_MEM_AVAILABLE, GF_HF_MEM_TOTAL);
	gf_m_within(host, GF_HF_MEM_FREE, GF_HF_MEM_TOTAL);
	gf_m_within(host, GF_HF_SWAP_FREE, GF_HF_SWAP_TOTAL);
	gf_m_put(host, GF_HF_CPU_BUSYTIME, -m->cpu_saved);
	gf_m_put(host, GF_HF_TASKS_COUNT, -sp.tasks);
	gf_m_put(host, GF_HF_TASKS_THREADS, -sp.threads);
	gf_m_put(host, GF_HF_TASKS_RUNNING, -sp.running);
	gf_m_put(host, GF_HF_TASKS_BLOCKED, -sp.blocked);
	gf_m_put(host, GF_HF_TASKS_FORKS, -m->forks_saved);
	if (m->dt_ns)
		gf_m_load(m, host, sp.cpu_ns / (double)m->dt_ns + sp.blocked);
	gf_m_pressure(m, host);
}

/* ---- actions -------------------------------------------------------------------- */

/* Linux, as GF_SIGCONT; signal.h is not for devices. */
#define GF_M_SIGKILL 9
#define GF_M_SIGCONT 18
#define GF_M_SIGSTOP 19
#define GF_M_SIGTTOU 22 /* SIGTSTP and SIGTTIN lie between */

/* What counts while a process runs, and what it holds: both stand still while it is stopped. */
#define GF_M_STANDS_STILL (GF_BIT(GF_TF_CPUTIME) | GF_BIT(GF_TF_UTIME) | GF_BIT(GF_TF_STIME) | GF_BIT(GF_TF_RSS) | GF_BIT(GF_TF_ANON) | \
			   GF_BIT(GF_TF_FILE) | GF_BIT(GF_TF_SHMEM) | GF_BIT(GF_TF_SWAP) | GF_BIT(GF_TF_VSZ) | GF_BIT(GF_TF_MAJFLT) |   \
			   GF_BIT(GF_TF_MINFLT) | GF_BIT(GF_TF_READ_BYTES) | GF_BIT(GF_TF_WRITE_BYTES) | GF_BIT(GF_TF_FDS) | GF_BIT(GF_TF_THREADS))

GF_INLINE void gf_m_stop(struct gf_mcore *m, uint32_t row, int by_signal)
{
	if (m->is[row] != GF_M_LIVES || !m->then)
		return;
	gf_m_dirty(m, row);
	for (uint32_t c = 0; c < GF_TF_COUNT; c++)
		m->then[(size_t)row * GF_TF_COUNT + c] = GF_M_STANDS_STILL >> c & 1 ? gf_m_shown(m, c, row) : gf_unknown();
	m->is[row] = GF_M_STOPPED;
	m->mark[row] = (uint8_t)((m->mark[row] & ~GF_M_STOP_SIGNAL) | (by_signal ? GF_M_STOP_SIGNAL : 0));
	m->since_ns[row] = m->now_ns;
	m->cpu_then[row] = gf_m_true(m, GF_TF_CPUTIME, row);
	m->said.stopped++;
	m->touched = 1;
}

GF_INLINE void gf_m_go_on(struct gf_mcore *m, uint32_t row)
{
	if (m->is[row] != GF_M_STOPPED)
		return;
	for (uint32_t c = 0; c < GF_TF_COUNT; c++) {
		size_t at = (size_t)row * GF_TF_COUNT + c;
		double is = gf_m_true(m, c, row);
		m->missed[at] = gf_is_unknown(is) || gf_is_unknown(m->then[at]) ? 0 : is - m->then[at];
	}
	m->is[row] = GF_M_LIVES;
	m->mark[row] = (uint8_t)(m->mark[row] | GF_M_MISSED);
	m->said.continued++;
	if (m->leaves_ns[row] && !(m->mark[row] & GF_M_KILLED)) /* a signal was waiting for it; SIGKILL waits for nothing */
		m->leaves_ns[row] = m->now_ns + m->opts.term_ns;
}

/* SIGKILL, once: nothing that comes later puts the exit off, and who would be gone before is gone by what it got first. */
GF_INLINE void gf_m_kill(struct gf_mcore *m, uint32_t row)
{
	uint64_t when = GF_MAX(m->now_ns + m->opts.kill_ns, 1u);

	m->touched = 1;
	gf_m_dirty(m, row);
	if (m->mark[row] & GF_M_KILLED)
		return;
	m->mark[row] = (uint8_t)(m->mark[row] | GF_M_KILLED);
	if (m->leaves_ns[row] && m->leaves_ns[row] <= when && m->is[row] != GF_M_STOPPED)
		return;
	if (m->leaves_ns[row])
		m->said.ended--;
	m->said.killed++;
	m->leaves_ns[row] = when;
}

GF_INLINE void gf_m_send(struct gf_mcore *m, uint32_t row, const struct gf_verdict *v)
{
	if (v->arg >= GF_M_SIGSTOP && v->arg <= GF_M_SIGTTOU) {
		gf_m_stop(m, row, 1);
	} else if (v->arg == GF_M_SIGCONT) {
		gf_m_go_on(m, row);
	} else if (v->arg == GF_M_SIGKILL) {
		gf_m_kill(m, row);
	} else if (gf_verdict_is_lethal(v)) {
		m->touched = 1;
		gf_m_dirty(m, row);
		if (m->leaves_ns[row] || m->opts.term_never)
			return;
		m->leaves_ns[row] = GF_MAX(m->now_ns + m->opts.term_ns, 1u);
		m->said.ended++;
	} else {
		m->said.signals++;
	}
}

/* Whether actions of this image may stop somebody: then[] and missed[] are needed. */
GF_INLINE bool gf_mcore_stops(const struct gf_image_header *img)
{
	const struct gf_step *s = GF_SEC(struct gf_step, img, GF_SEC_STEP);

	for (uint32_t k = 0; k < img->sec[GF_SEC_STEP].count; k++)
		if (s[k].action == GF_ACT_FREEZE || (s[k].action == GF_ACT_SIGNAL && s[k].arg >= GF_M_SIGSTOP && s[k].arg <= GF_M_SIGTTOU))
			return true;
	return false;
}

/* The kernel keeps nice between -20 and 19: what was cut off does not count later. */
GF_INLINE void gf_m_renice(struct gf_mcore *m, uint32_t row, int32_t by)
{
	double is = gf_m_true(m, GF_TF_NICE, row);

	gf_m_dirty(m, row);
	m->nice[row] += by;
	if (!gf_is_unknown(is))
		m->nice[row] = gf_m_min(gf_m_max(is + m->nice[row], -20), 19) - is;
	m->said.reniced++;
	m->touched = 1;
}

/* What becomes of a verdict that is not only observed. Leader. */
static GF_HD __attribute__((noinline, unused)) void gf_mcore_act(struct gf_mcore *m, const struct gf_verdict *v)
{
	bool there;

	if (!m->opts.acts)
		return;
	there = v->pid && v->row < m->in->rows && m->in->gen[v->row] == v->gen && m->is[v->row] != GF_M_GONE;
	m->said.hooks += v->action == GF_ACT_RUN;
	m->said.nmis += v->action == GF_ACT_NMI;
	if (v->action == GF_ACT_RESET || v->action == GF_ACT_PANIC || v->action == GF_ACT_RESTART) {
		m->said.resets++;
		m->said.reset_ns = m->now_ns;
	}
	if (!there)
		return;
	switch (v->action) {
	case GF_ACT_SIGNAL:
		gf_m_send(m, v->row, v);
		break;
	case GF_ACT_FREEZE:
		gf_m_stop(m, v->row, 0);
		break;
	case GF_ACT_THAW:
		gf_m_go_on(m, v->row);
		break;
	case GF_ACT_RENICE:
		gf_m_renice(m, v->row, v->arg);
		break;
	case GF_ACT_LIMIT:
		m->said.limits++;
		break;
	default:
		break;
	}
}

#if GF_TEAM
/* A lane's share of a call. */
static GF_HD __attribute__((noinline, unused)) void gf_mcore_job(struct gf_mcore *m, const struct gf_call *call, uint32_t lane, uint32_t lanes)
{
#define GF_MODEL_SHARE(number, body)                  \
	if (call->job == (number))                    \
	body(m, call->a, lane, lanes)
	GF_MODEL_SHARE(GF_MJOB_REFRESH, gf_mjob_refresh);
	GF_MODEL_SHARE(GF_MJOB_SEEK, gf_mjob_seek);
	GF_MODEL_SHARE(GF_MJOB_GO, gf_mjob_go);
	GF_MODEL_SHARE(GF_MJOB_SHOW, gf_mjob_show);
	GF_MODEL_SHARE(GF_MJOB_RELATE, gf_mjob_relate);
#undef GF_MODEL_SHARE
}
#endif

#endif
