/* SPDX-License-Identifier: MIT
 *
 * The emulator of a team: threads as lanes. For one translation unit that is compiled as for the device (GF_TEAM 1,
 * GF_WIDTH 1) and defines gf_team_dispatch().
 */
#ifndef TESTS_UNIT_TEAM_H
#define TESTS_UNIT_TEAM_H

#include <pthread.h>
#include <stdlib.h>

#include "gpu/team.h"

GF_STATIC_ASSERT(GF_TEAM == 1 && GF_WIDTH == 1, "a team is made of lanes of one row");

struct emu_lane {
	struct gf_team team;
	pthread_t thread;
};

struct emu {
	struct gf_team_mem mem;
	pthread_barrier_t barrier;
	struct emu_lane lane[]; /* lane[0] leads: the caller's thread */
};

static void *emu_serve(void *arg)
{
	gf_team_serve(&((struct emu_lane *)arg)->team);
	return NULL;
}

/* A team whose other lanes wait for calls. */
static inline struct emu *emu_new(uint32_t lanes, void *ctx)
{
	struct emu *e = calloc(1, sizeof *e + lanes * sizeof e->lane[0]);

	pthread_barrier_init(&e->barrier, NULL, lanes);
	e->mem.lanes = lanes;
	e->mem.blocks = 1;
	e->mem.host_barrier = &e->barrier;
	e->mem.ctx = ctx;
	for (uint32_t k = 0; k < lanes; k++) {
		e->lane[k].team.mem = &e->mem;
		e->lane[k].team.lane = k;
		e->lane[k].team.lanes = lanes;
		if (k && pthread_create(&e->lane[k].thread, NULL, emu_serve, &e->lane[k]))
			abort();
	}
	return e;
}

static inline void emu_free(struct emu *e)
{
	gf_team_call(&e->lane[0].team, 0, 0, 0, 0);
	for (uint32_t k = 1; k < e->mem.lanes; k++)
		pthread_join(e->lane[k].thread, NULL);
	pthread_barrier_destroy(&e->barrier);
	free(e);
}

#endif
