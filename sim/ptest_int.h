/* SPDX-License-Identifier: MIT
 *
 * What the readers of policy tests share.
 */
#ifndef GPUFAS_SIM_PTEST_INT_H
#define GPUFAS_SIM_PTEST_INT_H

#include "daemon/config_int.h"
#include "sim/ptest.h"

/* x comes first: the helpers of config_int.h are given it, and callbacks get the whole back. */
struct gf_ptest_reader {
	struct gf_cfg x;
	struct gf_ptest_file *f;
	struct gf_ptest_case *c;
	struct gf_ptest_task *t;
	struct gf_ptest_expect *e;
	struct gf_ptest_case preset; /* what the file says for all of its tests */
};

static inline struct gf_ptest_reader *gf_ptest_reader(struct gf_cfg *x)
{
	return (struct gf_ptest_reader *)(void *)x;
}

/* As gf_cfg_walk; knows the names that promtool has for the same. */
void gf_ptest_walk(struct gf_cfg *x, const struct gf_ynode *n, const char *what, const struct gf_cfg_key *keys, size_t count);
#define GF_PTEST_WALK(x, n, what, keys) gf_ptest_walk(x, n, what, keys, sizeof(keys) / sizeof *(keys))
bool gf_ptest_time(struct gf_cfg *x, const struct gf_ynode *n, const char *what, uint64_t *ret);
bool gf_ptest_flag(struct gf_cfg *x, const struct gf_ynode *n, const char *what, bool *ret);
/* One more zeroed element at the end of *v; NULL: no memory, which has been noted. */
void *gf_ptest_grow(struct gf_cfg *x, void *v, size_t *n, size_t size);
/* A part of a text's place: exact where the text stands in the file as it is. */
struct gf_span gf_ptest_part(const struct gf_ynode *n, size_t at, size_t len);
void gf_ptest_says(struct gf_cfg *x, struct gf_span span, const char *hint, const char *fmt, ...) __attribute__((format(printf, 4, 5)));

void gf_ptest_host(struct gf_cfg *x, const struct gf_ynode *n);  /* host: */
void gf_ptest_tasks(struct gf_cfg *x, const struct gf_ynode *n); /* tasks: */
void gf_ptest_expects(struct gf_cfg *x, const struct gf_ynode *n, bool none);
void gf_ptest_task_deinit(struct gf_ptest_task *t);
/* Of a whole test: processes that share a pid, parents that there are not. */
void gf_ptest_task_check(struct gf_cfg *x, struct gf_ptest_case *c);

#endif
