/* SPDX-License-Identifier: MIT
 *
 * What config.c, config_target.c and the like share: reading values (config_value.c), with complaints in their places.
 */
#ifndef GPUFAS_DAEMON_CONFIG_INT_H
#define GPUFAS_DAEMON_CONFIG_INT_H

#include "daemon/config.h"
#include "daemon/yamltree.h"

struct gf_cfg {
	struct gf_config *c;
	struct gf_config_target *t; /* the target that is being read */
	struct gf_diags *diags;
	bool nomem;
};

struct gf_cfg_key {
	const char *name;
	void (*take)(struct gf_cfg *x, const struct gf_ynode *n);
};

__attribute__((format(printf, 4, 5)))
void gf_cfg_error(struct gf_cfg *x, const struct gf_ynode *n, const char *hint, const char *fmt, ...);
/* A copy of s in place of *where. */
void gf_cfg_set(struct gf_cfg *x, char **where, const char *s);
/* "no", or nothing at all: what a path or a directory may be instead. */
bool gf_cfg_none(const struct gf_ynode *n);
void gf_cfg_size(struct gf_cfg *x, const struct gf_ynode *n, const char *what, uint64_t lo, uint64_t hi, const char *range, uint64_t *ret);
/* A map: every key is one that we know. NULL (a section left empty) is a map without keys. */
void gf_cfg_walk(struct gf_cfg *x, const struct gf_ynode *n, const char *what, const struct gf_cfg_key *keys, size_t count);
#define GF_CFG_WALK(x, n, what, keys) gf_cfg_walk(x, n, what, keys, sizeof(keys) / sizeof *(keys))
/* A key that is none of names: says which is nearest, or all that there are. */
void gf_cfg_unknown_key(struct gf_cfg *x, const struct gf_ynode *k, const char *what, const char *const *names, size_t count);

/* Each complains about a value that is not of its kind, and then leaves *ret as it was. */
const char *gf_cfg_text(struct gf_cfg *x, const struct gf_ynode *n, const char *what); /* or NULL */
bool gf_cfg_bool(struct gf_cfg *x, const struct gf_ynode *n, const char *what, bool *ret); /* false: it is none */
int gf_cfg_choice(struct gf_cfg *x, const struct gf_ynode *n, const char *what, const char *const *words, size_t count); /* or -1 */
bool gf_cfg_integer(struct gf_cfg *x, const struct gf_ynode *n, const char *what, uint64_t lo, uint64_t hi, uint64_t *ret);
bool gf_cfg_duration(struct gf_cfg *x, const struct gf_ynode *n, const char *what, uint64_t lo, uint64_t hi,
		     const char *range, uint64_t *ret);
void gf_cfg_path(struct gf_cfg *x, const struct gf_ynode *n, const char *what, char **ret);
void gf_cfg_paths(struct gf_cfg *x, const struct gf_ynode *n, const char *what, struct gf_strlist *ret);
/* A list of last resorts as a set of 1 << enum gf_action. */
void gf_cfg_last_resorts(struct gf_cfg *x, const struct gf_ynode *n, const char *what, uint32_t *ret);
/* A path that a Unix socket can have. */
void gf_cfg_socket(struct gf_cfg *x, const struct gf_ynode *n, const char *what, char **ret);

/* engine.gpu. config_gpu.c */
void gf_cfg_gpu(struct gf_cfg *x, const struct gf_ynode *n);
bool gf_cfg_gpu_differs(const struct gf_gpu_opts *a, const struct gf_gpu_opts *b);

/* recorder. config_recorder.c */
void gf_cfg_recorder(struct gf_cfg *x, const struct gf_ynode *n);

/* The list of targets in place of the one that is built in. config_target.c */
void gf_cfg_targets(struct gf_cfg *x, const struct gf_ynode *n);
void gf_cfg_target_deinit(struct gf_config_target *t);
bool gf_cfg_targets_differ(const struct gf_config *a, const struct gf_config *b); /* in what takes a restart */

#endif
