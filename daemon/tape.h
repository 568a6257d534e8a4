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

/* For samples of cap rows with these fields (no kernel paths). -ENOMEM. */
int gf_tape_create(uint32_t cap, const struct gf_fieldset *f, struct gf_tape **ret, struct gf_err *err);
void gf_tape_destroy(struct gf_tape *t); /* when neither side uses it any more */
/* The ticking thread. rc: of sampling; not 0: only its time counts. */
void gf_tape_put(struct gf_tape *t, const struct gf_sample *s, int rc);
/* Who writes: the oldest that has not been taken, good until the next call; NULL: there is none. */
const struct gf_sample *gf_tape_take(struct gf_tape *t, int *ret_rc);
uint64_t gf_tape_lost(const struct gf_tape *t);

#endif
