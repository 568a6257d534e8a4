/* SPDX-License-Identifier: MIT
 *
 * The parts of gpufasd and who owns them. Only the main thread uses this, but
 * for the reload's worker, which sees struct gf_reload alone.
 */
#ifndef GPUFAS_DAEMON_DAEMON_H
#define GPUFAS_DAEMON_DAEMON_H

#include <pthread.h>

#include "daemon/config.h"
#include "daemon/control.h"
#include "daemon/gpus.h"
#include "daemon/hooks.h"
#include "daemon/job.h"
#include "daemon/policy.h"
#include "daemon/recorder.h"
#include "daemon/reporter.h"
#include "daemon/sdnotify.h"
#include "daemon/shadow.h"
#include "daemon/tape.h"
#include "gpu/engine.h"
#include "targets/actuator.h"
#include "targets/target.h"

struct gf_view;

/* Command line. */
struct gf_options {
	const char *config_path; /* NULL: the usual place, and defaults when nothing is there */
	bool observe;
	bool check;
	bool json;               /* what check has found */
	int engine;              /* enum gf_engine_kind, -1: as configured */
	const char *socket;      /* NULL: as configured */
	struct gf_strlist policy;/* instead of the configured ones */
};

/* One target and all that it takes to watch it. */
struct gf_watch {
	struct gf_daemon *daemon;
	uint32_t index;           /* in events */
	const struct gf_config_target *config;
	const char *name;
	uint64_t period_ns;
	bool observe;
	uint32_t last_resorts;    /* atomic: 1 << enum gf_action */
	struct gf_policies *policies;
	struct gf_policy *policy; /* in force */
	struct gf_target *target;
	struct gf_engine *engine;
	struct gf_fieldset also_shadow, also_tape; /* sampled beside what the policy reads */
	struct gf_tape *tape;     /* atomic; NULL: nobody writes the samples of ticks down */
	struct gf_shadow *shadow; /* always there; a policy is in it where one is configured */
	struct gf_actuator *actuator; /* host */
	struct gf_vm_actuator *vm_actuator; /* vm */
	struct gf_worker *worker; /* vm and image; of the host once it is asked for what takes long */
	bool lost;                /* the target is there in name only: its memory cannot be read */
	struct gf_view *view;     /* for ps; made when asked for */
	uint64_t ps_client[GF_CTL_MAX_CLIENTS]; /* who waits for it */
	size_t ps_clients;
	uint64_t views_asked_ns;  /* rule views are computed while somebody asks for them */
	uint64_t views_fresh_ns;  /* from then on they are of ticks after the first question */
};

/* A reload under way: made by main, worked on by the worker, read by main after done_fd. */
struct gf_reload {
	const struct gf_options *options;
	const struct gf_config *now;    /* in force while the worker runs */
	const struct gf_watch *watch;   /* whose policies the worker only reads */
	size_t watches;
	struct gf_hooks *hooks;
	int done_fd;                    /* eventfd */
	/* result */
	int error;                      /* 0 or -errno */
	struct gf_config *config;
	struct gf_policy **policy;      /* [watches] */
	struct gf_policy **shadow;      /* [watches], NULL where there is none */
	uint32_t *kept;                 /* [watches] */
	struct gf_policy_report report;
};

/* A request that waits for engines to have computed rule views. */
struct gf_later {
	uint64_t client, due_ns;
	json_t *request;
};

struct gf_daemon {
	struct gf_options options;
	struct gf_config *config;
	enum gf_engine_kind engine_kind; /* that engines are asked to be: the configured one, or the CPU where there is no GPU */
	char engine_why[512];     /* the reason for it, "" when it needs none */
	struct gf_gpus *gpus;     /* NULL: no engine of ours can be on one */
	bool running;             /* started whole */
	bool observe;             /* what targets without a mode of their own do */
	struct gf_watch *watch;
	size_t watches;
	struct gf_reporter *reporter;
	struct gf_audit *audit;
	struct gf_hooks *hooks;
	struct gf_recorder *recorder; /* NULL: nothing is recorded */
	struct gf_control *control;
	struct gf_notify notify;
	int ps_fd;                /* eventfd: some view or worker has an answer */
	struct gf_later later[GF_CTL_MAX_CLIENTS];
	size_t laters;
	uint64_t started_ns;      /* CLOCK_MONOTONIC */
	/* reloads */
	struct gf_reload *reload; /* running, or NULL */
	pthread_t reload_thread;
	int reload_fd;
	bool reload_again;        /* asked for while one was running */
	uint64_t reload_client[GF_CTL_MAX_CLIENTS], again_client[GF_CTL_MAX_CLIENTS];
	size_t reload_clients, again_clients;
	uint64_t reloads_ok, reloads_failed;
	char last_reload_error[512];
};

uint64_t gf_daemon_clock(clockid_t id); /* ns */

/* setup.c: configuration, parts, in order. err says why not. */
int gf_daemon_read_config(const struct gf_options *o, struct gf_config **ret, struct gf_policy_report *rep);
int gf_daemon_check(const struct gf_options *o); /* says all; 0 or -errno */
int gf_daemon_start(struct gf_daemon *d, struct gf_err *err);
void gf_daemon_stop(struct gf_daemon *d);

/* watch.c: one target after another. */
/* Policies, then targets and engines, which do not run yet. */
int gf_watches_create(struct gf_daemon *d, struct gf_err *err);
int gf_watches_start(struct gf_daemon *d, struct gf_err *err); /* who acts, then the ticks */
void gf_watches_stop(struct gf_daemon *d);    /* no tick and no action any more; events may still be in the engines */
void gf_watches_destroy(struct gf_daemon *d);
void gf_watches_end_jobs(struct gf_daemon *d); /* while there are clients to be told */
struct gf_watch *gf_watch_find(struct gf_daemon *d, const char *name); /* NULL: the first; or NULL */
void gf_watch_observe(struct gf_watch *w, bool observe);
/* Has the target sample what also_shadow and also_tape say. */
int gf_watch_also(struct gf_watch *w, struct gf_err *err);
void gf_watch_arm(struct gf_watch *w); /* the kernel module, after a change of mode or last resorts */
void gf_watch_say(void *watch, int level, const char *text); /* news of a target; any thread */
/* Whether no target is acted on. */
bool gf_watches_observe(const struct gf_daemon *d);
uint32_t gf_watches_rules(const struct gf_daemon *d); /* of all targets together */
/* A gf_reporter_source of w. */
struct gf_reporter_source gf_watch_source(struct gf_watch *w);

/* commands.c: a gf_control_handler; arg is the daemon. */
void gf_daemon_command(void *arg, struct gf_client *c, const char *cmd, json_t *request);
void gf_daemon_later_due(struct gf_daemon *d);     /* answers those whose time has come */
int gf_daemon_later_timeout(struct gf_daemon *d);  /* ms, -1: never */

/* reload.c. client: who waits for the answer, 0: a signal asked. */
void gf_daemon_reload(struct gf_daemon *d, uint64_t client);
void gf_daemon_reload_done(struct gf_daemon *d); /* when reload_fd is readable */
void gf_daemon_reload_wait(struct gf_daemon *d); /* before stopping */

/* status.c: parts of answers. */
void gf_daemon_status_json(struct gf_daemon *d, struct gf_jbuf *b);
/* Rule views as an array; only: the rule of this name alone (NULL: all). Returns how many. */
uint32_t gf_watch_rules_json(struct gf_watch *w, const char *only, struct gf_jbuf *b);
uint64_t gf_daemon_rss(void); /* bytes */

/* metrics.c: appends a Prometheus text exposition (format 0.0.4). */
void gf_daemon_metrics(struct gf_daemon *d, struct gf_jbuf *b);

/* Members of a request: of the right type or not there; false, NULL: the answer has been given. Of no target the first. */
bool gf_request_str(struct gf_client *c, json_t *rq, const char *key, const char **ret);
bool gf_request_int(struct gf_client *c, json_t *rq, const char *key, int64_t lo, int64_t hi, int64_t *ret);
struct gf_watch *gf_request_target(struct gf_daemon *d, struct gf_client *c, json_t *rq);

/* byhand.c: signals by hand. */
void gf_daemon_signal(struct gf_daemon *d, struct gf_client *c, json_t *rq);

/* A request that a worker answers: begins with this, which guest.c fills in. */
struct gf_ask {
	struct gf_job job;
	struct gf_watch *watch;
	uint64_t client;
	uid_t uid;
};
bool gf_ask_put(struct gf_watch *w, struct gf_client *c, struct gf_ask *a); /* false: the client has its answer; a is the caller's; NULL: out of memory */
struct gf_client *gf_ask_client(const struct gf_ask *a);                    /* NULL: gone */

/* guest.c: targets of kind vm and image. */
int gf_watch_make_guest(struct gf_watch *w, struct gf_err *err); /* its target and its worker */
/* Requests; they answer themselves. path NULL: only what the target is. */
void gf_watch_fields(struct gf_watch *w, struct gf_client *c, const char *path);

/* lastresort.c: arg is a struct gf_watch; as gf_actuator_opts.last_resort. */
uint8_t gf_watch_last_resort(void *arg, const struct gf_verdict *v);

/* view.c: ps. */
void gf_watch_ps(struct gf_watch *w, struct gf_client *c, const json_t *paths); /* paths: kernel paths that are wanted too, or NULL */
void gf_daemon_ps_done(struct gf_daemon *d);     /* when ps_fd is readable: answers who waits, for jobs as well */
void gf_view_free(struct gf_view *v);

#endif
