/* SPDX-License-Identifier: MIT
 *
 * Shows that nvcc takes the host/device headers as they are: a kernel that runs
 * a whole tick, and one in which each thread interprets a program over its rows.
 * The host's pass instantiates the same functions for a chunk.
 */
#include "gpu/tick.h"

__global__ void gf_kernel_tick(struct gf_tick *t)
{
	if (blockIdx.x == 0 && threadIdx.x == 0) {
		gf_ctx_init(&t->c, t->c.s, t->c.st);
		gf_tick_run(t);
	}
}

__global__ void gf_kernel_rows(const struct gf_ctx *c, uint32_t prog, struct gf_regs *regs, uint8_t *truth,
			       double *value)
{
	uint32_t lane = blockIdx.x * blockDim.x + threadIdx.x, lanes = gridDim.x * blockDim.x;
	struct gf_result res;

	for (uint32_t row = lane; row < c->s->rows; row += lanes) {
		gf_interp(c, prog, row, 1, &regs[lane], &res);
		truth[row] = res.p[0];
		value[row] = res.v[0];
	}
}

__global__ void gf_kernel_near(struct gf_tick *t, uint32_t rule, double *close, uint32_t *row,
			       struct gf_event_term *terms, uint32_t *n)
{
	gf_tick_near(t, rule, close, row, terms, n);
}

void gf_host_tick(struct gf_tick *t)
{
	gf_tick_run(t);
}
