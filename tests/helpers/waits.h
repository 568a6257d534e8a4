/* SPDX-License-Identifier: MIT
 *
 * Waiting, in tests, for what another thread does: until it is so, for no longer than any machine takes.
 */
#ifndef GPUFAS_TEST_WAITS_H
#define GPUFAS_TEST_WAITS_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "gpu/engine.h"

/* whether what(of, a) has come true within 20 s. Events of e that come meanwhile are thrown away: their ring must not fill. e NULL: nobody's. */
static inline bool wait_until(struct gf_engine *e, bool (*what)(void *of, uint64_t a), void *of, uint64_t a)
{
	const struct timespec pause = { 0, 1000000 };
	struct gf_event ev[64];

	for (int i = 0; i < 20000; i++) {
		if (e)
			gf_engine_events(e, ev, 64);
		if (what(of, a))
			return true;
		nanosleep(&pause, NULL);
	}
	return false;
}

static inline struct gf_engine_stats engine_stats(struct gf_engine *e)
{
	struct gf_engine_stats st;

	gf_engine_stats(e, &st);
	return st;
}

#endif
