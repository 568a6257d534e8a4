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

#include "sim/model_rows.h"
#include "sim/model_host.h"
#include "sim/model_act.h"

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
