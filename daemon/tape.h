/* SPDX-License-Identifier: MIT
 *
 * The samples that an engine has decided on, copied by the ticking thread for one that writes them: no tick waits, and what
 * nobody takes in time is not there (gpu/engine.h says who counts it).
 */
#ifndef GPUFAS_DAEMON_TAPE_H
#define GPUFAS_DAEMON_TAPE_H

#include <stdbool.h>

#include "gpufas/err.h"
#include "gpufas/sample.h"

struct gf_tape;

/* What is to be known of a sample. */
struct gf_tape_of {
	int rc;      /* of sampling; not 0: only its time counts */
	uint64_t fp; /* of the policy's image, which says what paths are */
	bool some;   /* a device took it: it has these fields alone */
	struct gf_fieldset has;
};

/* For samples of up to cap rows with these fields, of which as many have memory as samples have had, and some more; kernel paths beyond f->paths are
 * lost. older: the one that this one replaces, which goes with it, or NULL. -ENOMEM. */
int gf_tape_create(uint32_t cap, const struct gf_fieldset *f, struct gf_tape *older, struct gf_tape **ret, struct gf_err *err);
void gf_tape_destroy(struct gf_tape *t); /* when neither side uses it any more */
uint32_t gf_tape_paths(const struct gf_tape *t); /* that it has room for */
uint32_t gf_tape_cap(const struct gf_tape *t);
/* The ticking thread, as gf_engine_opts.decided has it. false: there is no room. */
bool gf_tape_put(struct gf_tape *t, const struct gf_sample *s, int rc, uint64_t fp, const struct gf_fieldset *has);
/* Who writes: the oldest that has not been taken, good until the next call; NULL: there is none. */
const struct gf_sample *gf_tape_take(struct gf_tape *t, struct gf_tape_of *ret);
/* The one that has replaced t, of those that newest goes back to; NULL: t is still put onto, or may be. */
struct gf_tape *gf_tape_after(struct gf_tape *newest, const struct gf_tape *t);
#endif
