/* SPDX-License-Identifier: MIT
 *
 * The samples that an engine has decided on, copied by the ticking thread for one that writes them: no tick waits, and what
 * nobody takes in time is lost and counted.
 */
#ifndef GPUFAS_DAEMON_TAPE_H
#define GPUFAS_DAEMON_TAPE_H

#include <stdbool.h>

#include "gpufas/err.h"
#include "gpufas/sample.h"

struct gf_tape;

/* For samples of cap rows with these fields; kernel paths beyond f->paths are lost. older: the one that this one replaces, whose losses
 * are counted on and which goes with it, or NULL. -ENOMEM. */
int gf_tape_create(uint32_t cap, const struct gf_fieldset *f, struct gf_tape *older, struct gf_tape **ret, struct gf_err *err);
void gf_tape_destroy(struct gf_tape *t); /* when neither side uses it any more */
uint32_t gf_tape_paths(const struct gf_tape *t); /* that it has room for */
uint32_t gf_tape_cap(const struct gf_tape *t);
/* The ticking thread. rc: of sampling; not 0: only its time counts. fp: of the policy's image, which says what paths are. */
void gf_tape_put(struct gf_tape *t, const struct gf_sample *s, int rc, uint64_t fp);
/* Who writes: the oldest that has not been taken, good until the next call; NULL: there is none. */
const struct gf_sample *gf_tape_take(struct gf_tape *t, int *ret_rc, uint64_t *ret_fp);
/* The one that has replaced t, of those that newest goes back to; NULL: t is still put onto, or may be. */
struct gf_tape *gf_tape_after(struct gf_tape *newest, const struct gf_tape *t);
uint64_t gf_tape_lost(const struct gf_tape *t);

#endif
