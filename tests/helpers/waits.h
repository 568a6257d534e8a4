/* SPDX-License-Identifier: MIT
 *
 * Waiting, in tests, for what another thread does: until it is so, for no longer than any machine takes. And what an actuator told meanwhile.
 */
#ifndef GPUFAS_TEST_WAITS_H
#define GPUFAS_TEST_WAITS_H

#include <pthread.h>
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

#define TOLD_MOST 16u

/* Zero at first. What is told of victims; told_sink is the actuator's. */
struct told {
	pthread_mutex_t lock;
	struct gf_event_member result[TOLD_MOST];
	uint32_t results;
};

static inline void told_sink(void *arg, const struct gf_event *ev)
{
	struct told *t = arg;

	pthread_mutex_lock(&t->lock);
	for (uint32_t i = 0; i < ev->members && t->results < TOLD_MOST; i++)
		t->result[t->results++] = ev->u.member[i];
	pthread_mutex_unlock(&t->lock);
}

/* Whether there are so many results. */
static inline bool told_of(struct told *t, uint64_t n)
{
	pthread_mutex_lock(&t->lock);
	bool is = t->results >= n;
	pthread_mutex_unlock(&t->lock);
	return is;
}

/* Verdicts of the engine that e points to. */
static inline size_t engine_source(void *e, struct gf_verdict *buf, size_t n)
{
	return gf_engine_verdicts(*(struct gf_engine **)e, buf, n);
}

#endif
