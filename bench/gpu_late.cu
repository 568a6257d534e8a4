// SPDX-License-Identifier: MIT
/*
 * What a tool that watches a kernel's memory (compute-sanitizer) says of memory that is handed to a kernel which runs already, as the engine
 * hands policies to its own: nothing of gpufas is in here. A kernel waits for an address, reads what is there, and answers with the sum.
 *
 *   gpu_late before    an address within memory that was allocated before the kernel was launched
 *   gpu_late after     memory allocated meanwhile, from the same pool
 *   gpu_late beyond    the first bytes behind memory from before the launch: what is wrong, and is to be found
 * Where no device answers: "skipped: why", exit status 0.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bench/gpu_ok.h"

#define BLOCK (1u << 20)
#define WORDS 64u
#define LIMIT_S 60

struct mail { /* mapped; a number is written after what it is of */
	uint64_t up, at, end, sum, done;
};

__global__ void reader(volatile struct mail *m)
{
	const uint64_t *p;
	uint64_t sum = 0;

	m->up = 1;
	while (!m->at)
		if (m->end)
			return;
	__threadfence_system();
	p = (const uint64_t *)m->at;
	for (uint32_t i = 0; i < WORDS; i++)
		sum += p[i];
	m->sum = sum;
	__threadfence_system();
	m->done = 1;
}

/* Until *p is not 0. A kernel that is ended writes no more. */
static void wait_for(volatile uint64_t *p, volatile struct mail *m, cudaStream_t run, const char *what)
{
	const struct timespec nap = { 0, 1000000 };
	cudaError_t e = cudaErrorNotReady;

	for (time_t begun = time(NULL); !*p && e == cudaErrorNotReady && time(NULL) - begun < LIMIT_S; nanosleep(&nap, NULL))
		e = cudaStreamQuery(run);
	if (*p)
		return;
	m->end = 1;
	printf("%s: %s\n", what, e == cudaErrorNotReady ? "not in time" : cudaGetErrorString(e));
	exit(2);
}

static uint8_t *take(size_t size, cudaStream_t copies)
{
	void *p = NULL;

	OK(cudaMallocAsync(&p, size, copies));
	OK(cudaMemsetAsync(p, 0, size, copies));
	OK(cudaStreamSynchronize(copies));
	return (uint8_t *)p;
}

int main(int argc, char **argv)
{
	const char *how = argc == 2 ? argv[1] : "";
	const bool before = !strcmp(how, "before"), after = !strcmp(how, "after"), beyond = !strcmp(how, "beyond");
	uint64_t word[WORDS], keep = ~0ull, sum = 0;
	cudaStream_t run, copies;
	cudaMemPool_t pool;
	struct mail *m, *theirs;
	uint8_t *block, *at;

	if (!before && !after && !beyond) {
		fprintf(stderr, "usage: gpu_late before|after|beyond\n");
		return 2;
	}
	setenv("CUDA_MODULE_LOADING", "EAGER", 0);
	if (skipped())
		return 0;
	OK(cudaStreamCreateWithFlags(&run, cudaStreamNonBlocking));
	OK(cudaStreamCreateWithFlags(&copies, cudaStreamNonBlocking));
	OK(cudaDeviceGetDefaultMemPool(&pool, 0));
	OK(cudaMemPoolSetAttribute(pool, cudaMemPoolAttrReleaseThreshold, &keep));
	OK(cudaHostAlloc((void **)&m, sizeof *m, cudaHostAllocMapped));
	OK(cudaHostGetDevicePointer((void **)&theirs, m, 0));
	memset(m, 0, sizeof *m);
	block = take(BLOCK, copies);
	reader<<<1, 1, 0, run>>>(theirs);
	OK(cudaGetLastError());
	wait_for(&m->up, m, run, "it has not begun");

	at = beyond ? block + BLOCK : after ? take(sizeof word, copies) : block + BLOCK / 2;
	for (uint32_t i = 0; i < WORDS; i++)
		sum += word[i] = 1000003ull * (i + 1);
	if (!beyond) {
		OK(cudaMemcpyAsync(at, word, sizeof word, cudaMemcpyHostToDevice, copies));
		OK(cudaStreamSynchronize(copies));
	}
	__atomic_store_n(&m->at, (uint64_t)at, __ATOMIC_RELEASE);
	wait_for(&m->done, m, run, "it was ended");
	OK(cudaStreamSynchronize(run));
	if (!beyond && m->sum != sum) {
		printf("%s: it has read something else than was written\n", how);
		return 1;
	}
	printf("%s: %s\n", how, beyond ? "read" : "read as written");
	return 0;
}
