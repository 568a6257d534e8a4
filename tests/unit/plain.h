/* SPDX-License-Identifier: MIT
 *
 * Events and verdicts of two engines can be compared byte by byte once they are made plain: all unknown numbers mean the
 * same (gpufas/hd.h), whatever the sign and payload with which a machine's arithmetic leaves them.
 */
#ifndef GPUFAS_TESTS_PLAIN_H
#define GPUFAS_TESTS_PLAIN_H

#include <math.h>

#include "gpufas/event.h"

static inline void one_nan(double *d)
{
	if (isnan(*d))
		*d = gf_unknown();
}

static inline void plain_event(struct gf_event *ev)
{
	for (uint32_t i = 0; i < ev->terms; i++) {
		one_nan(&ev->term[i].left);
		one_nan(&ev->term[i].right);
	}
	for (uint32_t i = 0; i < ev->ranks; i++)
		one_nan(&ev->u.rank[i].key);
	for (uint32_t i = 0; i < ev->notes; i++)
		one_nan(&ev->note[i]);
}

static inline void plain_verdict(struct gf_verdict *v)
{
	one_nan(&v->amount);
}

#endif
