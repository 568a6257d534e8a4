/* SPDX-License-Identifier: MIT
 *
 * gpufas.yaml.
 */
#ifndef GPUFAS_DAEMON_CONFIG_H
#define GPUFAS_DAEMON_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "compiler/source.h"
#include "daemon/log.h"
#include "gpu/engine.h"
#include "sim/pathset.h"
#include "targets/vm.h"

#define GF_CONFIG_PATH "/etc/gpufas/gpufas.yaml"
#define GF_CONFIG_POLICY_DIR "/etc/gpufas/policy.d"
#define GF_CONFIG_AUDIT "/var/log/gpufas/audit.jsonl"
#define GF_CONFIG_RECORDER "/var/lib/gpufas/recorder"
#define GF_CONFIG_RT_PRIORITY 50
#define GF_CONFIG_MAX_HOOKS 64
#define GF_CONFIG_MAX_ARGV 64
#define GF_CONFIG_MAX_TARGETS 64
#define GF_CONFIG_MAX_PIECES 16 /* of a target's RAM */

struct gf_strlist {
	char **v;
	size_t n;
};

struct gf_config_hook {
	char *name;
	struct gf_strlist argv; /* v[n] is NULL */
};

enum gf_mode { GF_MODE_DEFAULT, GF_MODE_ENFORCE, GF_MODE_OBSERVE };

struct gf_config_target {
	char *name;
	enum gf_target_kind kind;    /* HOST, VM or IMAGE */
	enum gf_mode mode;           /* DEFAULT: as all; an image never acts */
	uint64_t period_ns;          /* 0: as all */
	uint32_t max_tasks;
	enum gf_host_sampler sampler;/* host */
	enum gf_host_delivery delivery;
	char *qmp, *ram;             /* vm: one of them; image: ram is its file */
	struct gf_ram_piece piece[GF_CONFIG_MAX_PIECES]; /* of ram */
	size_t pieces;               /* 0: found out */
	enum gf_kick kick;           /* vm */
	char *kick_path;
	bool unassisted;             /* vm: not by the module in it, either */
	bool own_last;               /* last_resorts is its own */
	uint32_t last_resorts;       /* 1 << enum gf_action: those that it may be subjected to */
	bool own_policy;             /* dirs and files are its own: not those of all */
	struct gf_strlist dirs, files;
	bool own_shadow;             /* the same of the shadow policy */
	struct gf_strlist shadow_dirs, shadow_files;
};

struct gf_config {
	uint64_t period_ns;
	bool observe;
	enum gf_engine_kind engine;
	struct gf_gpu_opts gpu;
	int rt_priority; /* 0: ordinary */
	bool mlock;
	struct gf_config_target *target; /* at least one; names differ */
	size_t targets;
	struct gf_strlist dirs, files;
	struct gf_strlist shadow_dirs, shadow_files; /* of the policy that is evaluated beside; both empty: none */
	uint32_t budget_n;
	uint64_t budget_window_ns;
	uint32_t last_resorts; /* 1 << enum gf_action; 0: none */
	struct gf_config_hook *hook;
	size_t hooks;
	char *audit_path; /* "": no audit file */
	uint64_t audit_max_size;
	uint32_t audit_keep;
	char *recorder_dir; /* "": nothing is recorded */
	bool recorder_ticks; /* the samples that rules are evaluated on, instead of samples of the recorder's own */
	struct gf_pathset recorder_paths; /* kernel paths that are recorded of guests beside those that policies read */
	uint64_t recorder_size, recorder_keep_ns, recorder_interval_ns;
	char *socket, *group;
	mode_t socket_mode;
	int log_level;
	enum gf_log_journal journal;
	bool builtin; /* no file was read: these are the defaults */
};

/* Defaults, as dist/gpufas.yaml states them. -ENOMEM. Free with gf_config_free. */
int gf_config_default(struct gf_config **ret);
void gf_config_free(struct gf_config *c);

/* Reads the text of a configuration over the defaults. What is wrong goes to
 * diags with places in src; -EINVAL when there are errors, -ENOMEM. */
int gf_config_parse(const struct gf_source *src, struct gf_diags *diags, struct gf_config **ret);

/* The target of this name, or NULL. */
const struct gf_config_target *gf_config_target(const struct gf_config *c, const char *name);
/* Its period, and whether it is to observe only, with what holds for all. */
uint64_t gf_config_target_period(const struct gf_config *c, const struct gf_config_target *t);
bool gf_config_target_observe(const struct gf_config *c, const struct gf_config_target *t);
uint32_t gf_config_target_last_resorts(const struct gf_config *c, const struct gf_config_target *t);
/* "host", "vm", "image" */
const char *gf_config_kind(enum gf_target_kind kind);

/* "100ms", "1.5 GiB": number and unit, the units of the policy language. 0 or
 * -EINVAL with a sentence in err. */
int gf_config_duration(const char *text, uint64_t *ret_ns, struct gf_err *err);
int gf_config_size(const char *text, uint64_t *ret_bytes, struct gf_err *err);

/* Appends a copy. -ENOMEM. */
int gf_strlist_add(struct gf_strlist *l, const char *s);
__attribute__((format(printf, 2, 3)))
int gf_strlist_addf(struct gf_strlist *l, const char *fmt, ...); /* up to 2,047 bytes of it */
void gf_strlist_deinit(struct gf_strlist *l);

/* Settings that differ and take effect only after a restart, as one list of
 * names ("period, engine"), "" when none. */
void gf_config_restart_needed(const struct gf_config *now, const struct gf_config *next, char *buf, size_t n);

#endif
