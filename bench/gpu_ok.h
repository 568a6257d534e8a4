/* SPDX-License-Identifier: MIT
 *
 * For programs of CUDA's: a call that fails ends them.
 */
#ifndef GPUFAS_BENCH_GPU_OK_H
#define GPUFAS_BENCH_GPU_OK_H

#include <cuda_runtime.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OK(x) ok((x), #x, __FILE__, __LINE__)
static inline void ok(cudaError_t e, const char *what, const char *file, int line)
{
	if (e == cudaSuccess)
		return;
	fprintf(stderr, "%s:%d: %s: %s\n", strrchr(file, '/') ? strrchr(file, '/') + 1 : file, line, what, cudaGetErrorString(e));
	exit(1);
}

/* True, and said: no device answers. */
static inline bool skipped(void)
{
	int n = 0;
	cudaError_t e = cudaGetDeviceCount(&n);

	if (e == cudaSuccess && n)
		return false;
	printf("skipped: %s\n", e != cudaSuccess ? cudaGetErrorString(e) : "no CUDA device");
	return true;
}

#endif
