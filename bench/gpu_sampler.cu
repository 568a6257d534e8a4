// SPDX-License-Identifier: MIT
/*
 * Time of a sample of a guest's memory on this GPU, over a made-up guest of 1,000 and of 10,000 processes in 1 GiB: the median in us, and of
 * what each job takes; by one lane a process ("plain") and by words fetched together. A JSON line each.
 *
 *   gpu_sampler [PROCESSES] [all]      all: every column but descriptors, and all host fields
 * Where no device answers: "skipped: why", exit status 0.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/gpu_ok.h"
#include "gpu/now.h"

#define JOBS 32
#define ROUNDS 200
static __device__ uint64_t job_ns[JOBS], job_from;
static __device__ uint32_t job_calls[JOBS];
#if defined(__CUDA_ARCH__)
#define GF_SAMPLER_TIMED(job, ended) timed(job, ended)
static __device__ __noinline__ void timed(uint32_t job, int ended)
{
	if (!ended) {
		job_from = gf_now_ns();
		return;
	}
	job_ns[(job - 64) % JOBS] += gf_now_ns() - job_from;
	job_calls[(job - 64) % JOBS]++;
}
#endif
#include "bench/gpu_sampler_world.h"
#include "gpu/sampler.h"

static GF_HD __attribute__((noinline)) void gf_team_dispatch(struct gf_team *t, const struct gf_call *call)
{
	gf_sampler_job((struct gf_sampler *)t->mem->ctx, call, t->lane, t->lanes);
}

#ifndef THREADS
#define THREADS 1024
#endif
__global__ void __launch_bounds__(THREADS) sample(struct gf_team_mem *mem, struct gf_sampler *v, const struct gf_sampler_guest *g, uint64_t *took, uint32_t *ret,
						  uint32_t plain)
{
	struct gf_team t = { mem, blockIdx.x * blockDim.x + threadIdx.x, gridDim.x * blockDim.x };

	if (t.lane) {
		gf_team_serve(&t);
		return;
	}
	mem->ctx = v;
	gf_sampler_init(v, &t);
	v->plain = plain;
	for (uint32_t i = 0; i < ROUNDS; i++) {
		uint64_t from = gf_now_ns();
		int r = gf_sampler_run(v, &t, g, 1000000000ull + i * 1000000ull);

		took[i] = gf_now_ns() - from;
		if (i == 1)
			for (uint32_t k = 0; k < JOBS; k++)
				job_ns[k] = job_calls[k] = 0;
		ret[0] = (uint32_t)-r;
		ret[1] = v->s->live;
		ret[2] = v->fetched;
		ret[3] = v->need;
	}
	gf_team_call(&t, 0, 0, 0, 0);
}

static int by_size(const void *x, const void *y)
{
	uint64_t a = *(const uint64_t *)x, b = *(const uint64_t *)y;

	return a < b ? -1 : a > b;
}

static struct gf_fieldset some_fields(int every)
{
	struct gf_fieldset f = { 0 };

	f.task = GF_BIT(GF_TF_RSS) | GF_BIT(GF_TF_SWAP) | GF_BIT(GF_TF_CPUTIME) | GF_BIT(GF_TF_AGE) | GF_BIT(GF_TF_UID) | GF_BIT(GF_TF_STATE) |
		 GF_BIT(GF_TF_THREADS);
	f.host = GF_BIT(GF_HF_MEM_AVAILABLE) | GF_BIT(GF_HF_MEM_TOTAL) | GF_BIT(GF_HF_SWAP_FREE) | GF_BIT(GF_HF_LOAD_1) |
		 GF_BIT(GF_HF_PSI_MEM_SOME_10) | GF_BIT(GF_HF_CPU_BUSYTIME) | GF_BIT(GF_HF_OS_STALLED);
	f.str = 1u << GF_SF_COMM;
	if (every) {
		f.task = (~0ull >> (64 - GF_TF_COUNT)) & ~GF_BIT(GF_TF_FDS);
		f.host = ~0ull >> (64 - GF_HF_COUNT);
	}
	return f;
}

static void measure(struct world *w, uint32_t n, uint32_t blocks, uint32_t threads, int every, uint32_t plain)
{
	static const char *const names[JOBS] = { "begin", "cpus", "slots", "collect", "read", "slow", "fill", "strings", "again", "unseen", "parents",
						 "children", "torn", "host", "init", "init_rows" };
	struct gf_fieldset f = some_fields(every);
	struct gf_sampler_guest g = {};
	static struct gf_sampler v;
	static struct gf_sample s;
	struct gf_team_mem team = {};
	uint64_t took[ROUNDS], jobs[JOBS], *d_took;
	uint32_t calls[JOBS], all = 0, ret[4], *d_ret;
	uint8_t *d;
	size_t size = gf_sampler_layout(&v, &s, 16384, &f, NULL), head = (sizeof v + sizeof s + sizeof g + sizeof team + 1023) / 512 * 512;

	OK(cudaMalloc((void **)&d, head + size));
	OK(cudaMalloc((void **)&d_took, sizeof took));
	OK(cudaMalloc((void **)&d_ret, sizeof ret));
	gf_sampler_layout(&v, &s, 16384, &f, d + head);
	struct gf_sampler *dv = (struct gf_sampler *)d;
	struct gf_sample *ds = (struct gf_sample *)(void *)(d + (sizeof v + 127) / 128 * 128);
	uint8_t *dg = (uint8_t *)ds + (sizeof s + 127) / 128 * 128, *dt = dg + (sizeof g + 127) / 128 * 128;
	gf_sampler_bind(&v, ds);
	g.mem = w->mem;
	g.layout = w->layout;
	g.boot = 1;
	team.lanes = blocks * threads;
	team.blocks = blocks;
	team.cluster = 1;
	OK(cudaMemcpy(dv, &v, sizeof v, cudaMemcpyHostToDevice));
	OK(cudaMemcpy(ds, &s, sizeof s, cudaMemcpyHostToDevice));
	OK(cudaMemcpy(dg, &g, sizeof g, cudaMemcpyHostToDevice));
	OK(cudaMemcpy(dt, &team, sizeof team, cudaMemcpyHostToDevice));
	cudaLaunchConfig_t c = {};
	cudaLaunchAttribute a[1];
	a[0].id = cudaLaunchAttributeClusterDimension;
	a[0].val.clusterDim.x = blocks;
	a[0].val.clusterDim.y = a[0].val.clusterDim.z = 1;
	c.gridDim = dim3(blocks);
	c.blockDim = dim3(threads);
	c.attrs = a;
	c.numAttrs = 1;
	OK(cudaLaunchKernelEx(&c, sample, (struct gf_team_mem *)dt, dv, (const struct gf_sampler_guest *)dg, d_took, d_ret, plain));
	OK(cudaDeviceSynchronize());
	OK(cudaMemcpy(took, d_took, sizeof took, cudaMemcpyDeviceToHost));
	OK(cudaMemcpy(ret, d_ret, sizeof ret, cudaMemcpyDeviceToHost));
	OK(cudaMemcpyFromSymbol(jobs, job_ns, sizeof jobs));
	OK(cudaMemcpyFromSymbol(calls, job_calls, sizeof calls));
	uint64_t first = took[0];
	qsort(took + 2, ROUNDS - 2, sizeof *took, by_size);
	printf("{\"part\": \"gpu_sampler\", \"processes\": %u, \"blocks\": %u, \"threads\": %u, \"fields\": \"%s\", \"way\": \"%s\", \"us\": %.1f, "
	       "\"max_us\": %.1f, \"first_us\": %.1f, \"rc\": %u, \"live\": %u, \"fetched\": %u", n, blocks, threads, every ? "all" : "some",
	       plain ? "plain" : "fetched", (double)took[2 + (ROUNDS - 2) / 2] / 1e3, (double)took[ROUNDS - 1] / 1e3, (double)first / 1e3, ret[0], ret[1], ret[2]);
	for (uint32_t i = 0; i < JOBS; i++) {
		if (calls[i] && names[i])
			printf(", \"%s\": %.1f", names[i], (double)jobs[i] / 1e3 / (ROUNDS - 2));
		all += calls[i];
	}
	printf(", \"calls\": %.1f}\n", (double)all / (ROUNDS - 2));
	fflush(stdout);
	OK(cudaFree(d));
	OK(cudaFree(d_took));
	OK(cudaFree(d_ret));
}

int main(int argc, char **argv)
{
	static const uint32_t sizes[] = { 1000, 10000 }, shapes[][2] = { { 1, 512 }, { 1, 1024 }, { 2, 512 }, { 2, 1024 }, { 4, 256 }, { 4, 512 }, { 4, 1024 },
									 { 8, 256 }, { 8, 512 }, { 8, 1024 } };
	int every = argc > 2 && !strcmp(argv[2], "all");
	uint32_t only = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : 0;
	cudaDeviceProp d;

	if (skipped())
		return 0;
	OK(cudaGetDeviceProperties(&d, 0));
	if (d.major < 9) {
		printf("skipped: %s has no clusters of blocks\n", d.name);
		return 0;
	}
	for (uint32_t i = 0; i < 2; i++) {
		struct world w = {};

		if (only && only != sizes[i])
			continue;
		if (world_make(&w, 1ull << 30, sizes[i]))
			return 1;
		OK(cudaHostRegister(w.p, w.size, cudaHostRegisterMapped));
		for (uint32_t k = 0; k < sizeof shapes / sizeof *shapes; k++)
			if (shapes[k][1] <= THREADS)
				for (uint32_t plain = 0; plain < (shapes[k][0] == 4 ? 2 : 1); plain++)
					measure(&w, sizes[i], shapes[k][0], shapes[k][1], every, plain);
		OK(cudaHostUnregister(w.p));
	}
	return 0;
}
