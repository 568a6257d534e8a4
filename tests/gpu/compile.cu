/* SPDX-License-Identifier: MIT
 *
 * Shows that nvcc takes the host/device headers as they are: a kernel whose lanes run
 * a whole tick together, and one in which each thread interprets a program over its rows.
 */
#include "gpu/deliver.h"
#include "gpu/hostfields.h"
#include "gpu/path.h"
#include "gpu/sampler.h"
#include "gpu/tasks.h"
#include "gpu/tick.h"

#if GF_TEAM
static GF_HD __attribute__((noinline)) void gf_team_dispatch(struct gf_team *t, const struct gf_call *call)
{
	if (call->job < GF_SJ_CPUS)
		gf_tick_job((struct gf_tick *)t->mem->ctx, call, t->lane, t->lanes);
	else
		gf_sampler_job((struct gf_sampler *)t->mem->ctx, call, t->lane, t->lanes);
}
#endif

__global__ void gf_kernel_tick(struct gf_tick *t, struct gf_team_mem *mem, int stale)
{
#if GF_TEAM
	struct gf_team team = { mem, (uint32_t)(blockIdx.x * blockDim.x + threadIdx.x), mem->lanes };

	if (team.lane) {
		gf_team_serve(&team);
		return;
	}
	t->team = &team;
	gf_ctx_init(&t->c, t->c.s, t->c.st);
	if (stale)
		gf_tick_stale(t);
	else
		gf_tick_run(t);
	gf_team_call(&team, 0, 0, 0, 0);
#else
	(void)t;
	(void)mem;
	(void)stale;
#endif
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

__global__ void gf_kernel_near(struct gf_tick *t, struct gf_team_mem *mem, uint32_t rule, double *close, uint32_t *row,
			       struct gf_event_term *terms, uint32_t *n)
{
#if GF_TEAM
	struct gf_team team = { mem, (uint32_t)(blockIdx.x * blockDim.x + threadIdx.x), mem->lanes };

	if (team.lane) {
		gf_team_serve(&team);
		return;
	}
	t->team = &team;
	gf_tick_near(t, rule, close, row, terms, n);
	gf_team_call(&team, 0, 0, 0, 0);
#else
	(void)t;
	(void)mem;
#endif
}

void gf_host_tick(struct gf_tick *t)
{
	gf_tick_run(t);
}

/* Memory targets: one lane an entry of the pids' tree, one a process, one for what is left. */
__global__ void gf_kernel_walk(const struct gf_kmem *k, const struct gf_layout *l, const uint64_t *node, uint32_t shift,
			       uint32_t *kind, uint64_t *next)
{
	const uint8_t *p = gf_xa_node(k, l, node[blockIdx.x]);
	uint32_t lane = blockIdx.x * GF_XA_SLOTS + threadIdx.x;

	kind[lane] = p ? gf_xa_slot(k, l, p, shift, threadIdx.x, &next[lane]) : GF_XA_TORN;
}

__global__ void gf_kernel_tasks(struct gf_task_ctx c, const uint64_t *pid, struct gf_task_rec *rec, uint32_t *got)
{
	uint32_t lane = blockIdx.x * blockDim.x + threadIdx.x;
	uint64_t task = gf_pid_leader(c.k, c.l, pid[lane]);

	got[lane] = task && ~task ? gf_task_read(&c, pid[lane], task, &rec[lane]) : GF_TASK_BAD;
}

__global__ void gf_kernel_host(const struct gf_kmem *k, const struct gf_layout *l, struct gf_cpus *c, struct gf_host_state *s,
			       struct gf_host_sums *sums, struct gf_clock *clock, uint64_t want, uint64_t host_ns, double *h, char *text, uint32_t *len)
{
	struct gf_clock_now now;
	uint64_t stalled;

	if (gf_cpus_read(k, l, c))
		return;
	gf_clock_read(k, l, &now);
	gf_clock_tick(clock, host_ns, &now, gf_cpus_idle(k, l, c), &stalled);
	for (uint32_t i = threadIdx.x; i < gf_host_parts(c); i += blockDim.x)
		gf_host_part(k, l, c, s, sums, want, clock->now_ns, now.mono_ns, h, i, 0);
	gf_host_sums_set(l, c, sums, want, h);
	gf_kernfs_path(k, l, stalled, text, 4096, len);
	gf_exe_path(k, l, stalled, text, 4096, len);
	gf_cmdline(k, l, stalled, text, 4096, len);
}

/* Deliveries: the leader's. */
__global__ void gf_kernel_deliver(struct gf_deliverer *v, const struct gf_pseudo_plain *p, const struct gf_verdict *verdict, uint64_t boot,
				  uint32_t paused, uint64_t now_ns, struct gf_deliver_result *ret, uint32_t *n)
{
	struct gf_deliver_guest g = { p, boot, paused };
	uint8_t storable = gf_deliver_storable(&g);

	gf_deliver_begin(v, &g, storable, verdict, now_ns);
	gf_deliver_follow(v, &g, storable, now_ns);
	while (gf_deliver_result(v, &ret[*n]))
		++*n;
}

/* A guest's sampler by all lanes of a grid. */
__global__ void gf_kernel_sampler(struct gf_team_mem *mem, struct gf_sampler *v, const struct gf_sampler_guest *g, uint64_t host_ns, int *ret)
{
	struct gf_team t = { mem, blockIdx.x * blockDim.x + threadIdx.x, gridDim.x * blockDim.x };

	if (t.lane) {
		gf_team_serve(&t);
		return;
	}
	mem->ctx = v;
	*ret = gf_sampler_run(v, &t, g, host_ns);
	gf_sampler_stale(v, &t, 1);
	gf_team_call(&t, 0, 0, 0, 0);
}
