/* SPDX-License-Identifier: MIT
 *
 * Policy tests: a file of them read (ptest_read.c, ptest_task.c), as samples (ptest_world.c), run and compared (ptest_run.c,
 * ptest_match.c). gpufas-test(5) is the format.
 */
#ifndef GPUFAS_SIM_PTEST_H
#define GPUFAS_SIM_PTEST_H

#include "compiler/compiler.h"
#include "daemon/config.h"
#include "sim/series.h"

#define GF_PTEST_TICKS 10000000ull /* in one test */
#define GF_PTEST_TASKS 65536u      /* processes in one test */
#define GF_PTEST_NEVER UINT64_MAX

/* What is not a field of its own but given by its rate, and added up. */
struct gf_ptest_path {
	char *text; /* task->mm->map_count */
	struct gf_span span;
	struct gf_series series;
};

struct gf_ptest_task {
	char *label;
	struct gf_span span;                  /* of the label */
	char *str[GF_SF_COUNT];               /* NULL: not given */
	struct gf_series col[GF_TF_COUNT];    /* len 0: not given */
	struct gf_series cpu;
	struct gf_ptest_path *path;
	size_t paths;
	int32_t pid, ppid;                    /* 0: not given, and then chosen */
	char *parent;                         /* label, or NULL */
	struct gf_span parent_span, pid_span;
	uint32_t count;                       /* so many alike */
	uint64_t every_ns;                    /* from one's start to the next one's */
	uint64_t starts_ns, ends_ns, age_ns;  /* of the test; ends: GF_PTEST_NEVER */
	uint64_t ignores;                     /* 1 << signal */
	uint64_t dies_ns;                     /* how long it takes to exit on a signal */
	bool kthread, init;
};

enum gf_ptest_want {
	GF_WANT_ACTION,
	GF_WANT_TRUTH,    /* the rule is true, false or unknown */
	GF_WANT_HELD,     /* true, and it does not act: because */
};

struct gf_ptest_expect {
	struct gf_span span;        /* the entry */
	enum gf_ptest_want want;
	uint64_t from_ns, to_ns;    /* both count */
	struct gf_span at_span;
	char *rule, *action, *task, *text;
	struct gf_span rule_span, action_span, pid_span;
	int32_t pid;                /* 0: any */
	uint32_t processes;         /* reached at one time; 0: any number */
	uint8_t truth;              /* enum gf_tri */
	int because;                /* enum gf_held_back; -1: nobody to act on */
	int observed;               /* -1: either */
	/* when its policy has been compiled */
	uint32_t rule_no;           /* GF_NONE: any */
	int32_t pid_from, pid_to;   /* of pid or task; 0: any */
	bool met;
};

struct gf_ptest_case {
	char *name;
	struct gf_span span;
	uint64_t interval_ns, for_ns;  /* for: 0: as long as series and expectations are */
	uint64_t uptime_ns;
	enum gf_target_kind target;
	bool counterfactual, observe, strict;
	bool children_stay; /* of who is ended */
	uint32_t budget_n;
	uint64_t budget_ns;
	char *recording;               /* resolved, or NULL */
	struct gf_span recording_span, host_span;
	struct gf_series host[GF_HF_COUNT];
	struct gf_series drv[GF_DF_COUNT]; /* of derived host fields */
	struct gf_ptest_task *task;
	size_t tasks;
	struct gf_ptest_expect *expect, *none;
	size_t expects, nones;
	bool has_expect, has_none;
};

struct gf_ptest_file {
	struct gf_source src;
	char *dir;
	struct gf_strlist policy;      /* paths, resolved and in order */
	struct gf_span policy_span;
	struct gf_ptest_case *test;
	size_t tests;
};

/* Reads a file's text, which must outlive the result. -EINVAL with diags, -ENOMEM. */
int gf_ptest_parse(const struct gf_source *src, struct gf_diags *diags, struct gf_ptest_file *ret);
void gf_ptest_free(struct gf_ptest_file *f);
/* "90s", "1min30s"; 0 or -EINVAL with a sentence. */
int gf_ptest_duration(const char *text, uint64_t *ret_ns, struct gf_err *err);
/* Samples in the test, the first at 0. */
uint64_t gf_ptest_ticks(const struct gf_ptest_case *c);

#endif
