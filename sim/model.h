/* SPDX-License-Identifier: MIT
 *
 * What would have happened: a feed over another feed, in which actions have effects. The other feed says what each process did
 * in truth; who was killed in here leaves, and what it went on to use in truth is not used in here.
 *
 * What it assumes is said by gf_model_assumes(), for people, and in docs/simulate.md.
 */
#ifndef GPUFAS_SIM_MODEL_H
#define GPUFAS_SIM_MODEL_H

#include "gpufas/event.h"
#include "sim/feed.h"
#include "sim/model_core.h"

#define GF_MODEL_TERM_NS 1000000000ull /* term_ns, where nobody says otherwise */

/* "8GiB", "=8GiB", "*1.5", "+512MiB", "-1GiB" of "FIELD=...". -EINVAL with a sentence, and what was meant where it is near. */
int gf_what_if_parse(const char *text, struct gf_what_if *ret, struct gf_err *err);
/* "mem.total = 8.0 GiB"; returns buf. */
const char *gf_what_if_text(const struct gf_what_if *w, char *buf, size_t n);

/* inner is borrowed. -ENOMEM. */
int gf_model_create(struct gf_feed *inner, const struct gf_model_opts *opts, struct gf_feed **ret, struct gf_err *err);
/* Something is done, at the time of the model's last sample. For struct gf_run_opts.act. */
void gf_model_act(void *model, const struct gf_verdict *v);

/* The same of a process that takes so long to exit after whatever ends it. */
void gf_model_act_in(struct gf_feed *model, const struct gf_verdict *v, uint64_t exit_ns);

/* How much of load.1, .5 and .15 is left after so long. */
void gf_model_keep(uint64_t dt_ns, double *ret);
void gf_model_said(const struct gf_feed *model, struct gf_model_said *ret);
/* What it assumes, sentence by sentence: calls put for each. */
void gf_model_assumes(const struct gf_feed *model, void (*put)(void *arg, const char *sentence), void *arg);

#endif
