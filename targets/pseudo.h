/* SPDX-License-Identifier: MIT
 *
 * Pseudo-signals: what to store into a kernel's own data so that its own mechanisms act. Two roads, each off where
 * what it needs cannot be established for this kernel:
 *
 *   store     pending bit, fence, TIF_SIGPENDING of a task that is running or ready to run
 *   irq_work  a forged irq_work on a CPU's lazy list, which makes the kernel's own sender send
 */
#ifndef GPUFAS_PSEUDO_H
#define GPUFAS_PSEUDO_H

#include <stdio.h>

#include "targets/kernel.h"

struct gf_pseudo;

/* Never fails because a road is off; -ENOMEM only. The kernel must outlive it. */
int gf_pseudo_create(const struct gf_kernel *k, bool writable, struct gf_pseudo **ret, struct gf_err *err);
void gf_pseudo_free(struct gf_pseudo *p);
/* "" when the road is on, else why it is off, one sentence. */
const char *gf_pseudo_store_off(const struct gf_pseudo *p);
const char *gf_pseudo_irq_work_off(const struct gf_pseudo *p);
/* What was established, for `probe`: name and value a line, as both roads use it. */
void gf_pseudo_describe(const struct gf_pseudo *p, void (*fn)(void *arg, const char *name, const char *value), void *arg);

#endif
