// SPDX-License-Identifier: MIT
/*
 * What bounds a tick on this GPU: how long one dependent read of host memory takes, how many reads a second there are, how many
 * bytes, and how long a word takes there and back. A JSON line each. The memory is a file of tmpfs, as a guest's is.
 *
 *   gpu_limits [MIB]            (default 1024)
 *   gpu_limits fault            stores where there is no memory
 *   gpu_limits matmul SECONDS   rate of matrix products (plain FP32), for machines without PyTorch
 *   gpu_limits stay BLOCKS THREADS   a kernel that does nothing but stay, asleep, until standard input ends
 * Where no device answers: "skipped: why", exit status 0.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "bench/gpu_ok.h"

/* As the sampler reads: past the caches, since the guest writes. */
static __device__ uint64_t load(const uint64_t *p)
{
	uint64_t v;

	asm volatile("ld.relaxed.sys.u64 %0, [%1];" : "=l"(v) : "l"(p) : "memory");
	return v;
}

static __device__ uint32_t next(uint32_t x)
{
	x ^= x << 13;
	x ^= x >> 17;
	return x ^ x << 5;
}

__global__ void chase(const uint64_t *p, uint64_t hops, uint64_t *ret)
{
	uint64_t at = 0;

	for (uint64_t i = 0; i < hops; i++)
		at = load(p + at);
	*ret = at;
}

/* Each group of `width` lanes reads width * 8 bytes from a random place; eight requests of a lane are under way at a time. */
__global__ void gather(const uint64_t *p, uint32_t lines, uint32_t line_words, uint32_t width, uint32_t rounds, uint64_t *ret)
{
	uint32_t lane = blockIdx.x * blockDim.x + threadIdx.x, group = lane / width, in = lane % width;
	uint32_t seed = group * 2654435761u + 12345u;
	uint64_t sum = 0;

	for (uint32_t r = 0; r < rounds; r++) {
		uint64_t v[8];
#pragma unroll
		for (int k = 0; k < 8; k++) {
			seed = next(seed);
			v[k] = load(p + (uint64_t)((uint64_t)seed * lines >> 32) * line_words + in);
		}
#pragma unroll
		for (int k = 0; k < 8; k++)
			sum += v[k];
	}
	if (sum == 1)
		*ret = sum;
}

__global__ void stream(const uint4 *p, uint64_t n, uint64_t *ret)
{
	uint64_t lane = blockIdx.x * (uint64_t)blockDim.x + threadIdx.x, lanes = gridDim.x * (uint64_t)blockDim.x;
	uint32_t sum = 0;

	for (uint64_t i = lane; i < n; i += lanes) {
		uint4 v = __ldcv(p + i);
		sum += v.x ^ v.y ^ v.z ^ v.w;
	}
	if (sum == 1)
		*ret = sum;
}

__global__ void doorbell(volatile uint32_t *ask, volatile uint32_t *answer, uint32_t n)
{
	for (uint32_t i = 1; i <= n; i++) {
		while (*ask != i)
			;
		*answer = i;
		__threadfence_system();
	}
}

/* 64x64 of the product a block, four by four a thread. */
__global__ void matmul(const float *a, const float *b, float *c, int n)
{
	__shared__ float as[16][64], bs[16][64];
	int tx = threadIdx.x % 16, ty = threadIdx.x / 16, row = blockIdx.y * 64, col = blockIdx.x * 64;
	float r[4][4] = {};

	for (int k = 0; k < n; k += 16) {
		for (int i = threadIdx.x; i < 1024; i += 256) {
			as[i % 16][i / 16] = a[(size_t)(row + i / 16) * n + k + i % 16];
			bs[i / 64][i % 64] = b[(size_t)(k + i / 64) * n + col + i % 64];
		}
		__syncthreads();
		for (int x = 0; x < 16; x++)
			for (int i = 0; i < 4; i++)
				for (int j = 0; j < 4; j++)
					r[i][j] += as[x][ty * 4 + i] * bs[x][tx * 4 + j];
		__syncthreads();
	}
	for (int i = 0; i < 4; i++)
		for (int j = 0; j < 4; j++)
			c[(size_t)(row + ty * 4 + i) * n + col + tx * 4 + j] = r[i][j];
}

static double seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static cudaEvent_t from, to;
static double ended(void) /* seconds since `from` */
{
	float ms;

	OK(cudaGetLastError());
	OK(cudaEventRecord(to));
	OK(cudaEventSynchronize(to));
	OK(cudaEventElapsedTime(&ms, from, to));
	return ms / 1e3;
}

static int by_size(const void *x, const void *y)
{
	double a = *(const double *)x, b = *(const double *)y;

	return a < b ? -1 : a > b;
}

static void say(const char *what, const char *how, double v, const char *unit)
{
	printf("{\"part\": \"limits\", \"what\": \"%s\", \"how\": \"%s\", \"value\": %.6g, \"unit\": \"%s\"}\n", what, how, v, unit);
	fflush(stdout);
}

/* One cycle through all lines of 128 bytes, in random order (Sattolo). */
static void cycle(uint64_t *p, uint64_t lines)
{
	uint32_t *perm = (uint32_t *)malloc(lines * sizeof *perm);
	uint64_t seed = (uint64_t)time(NULL) | 1;

	for (uint64_t i = 0; i < lines; i++)
		perm[i] = (uint32_t)i;
	for (uint64_t i = lines - 1; i > 0; i--) {
		seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17;
		uint64_t j = seed % i;
		uint32_t x = perm[i];
		perm[i] = perm[j];
		perm[j] = x;
	}
	for (uint64_t i = 0; i < lines; i++)
		p[i * 16] = (uint64_t)perm[i] * 16;
	free(perm);
}

static void limits(uint64_t mib)
{
	char name[64];
	uint64_t size = mib << 20, lines = size / 128, *dev, *ret;
	static const int blocks[] = { 1, 4, 16, 132 };

	snprintf(name, sizeof name, "/dev/shm/gpufas-limits.%d", getpid());
	int fd = open(name, O_RDWR | O_CREAT | O_EXCL, 0600);
	if (fd < 0 || unlink(name) || ftruncate(fd, (off_t)size)) {
		perror(name);
		exit(1);
	}
	uint64_t *p = (uint64_t *)mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED) {
		perror("mmap");
		exit(1);
	}
	memset(p, 1, size);
	cycle(p, lines);
	double t = seconds();
	OK(cudaHostRegister(p, size, cudaHostRegisterMapped));
	say("register", "memory touched here", (seconds() - t) * 1e3 / ((double)mib / 1024), "ms/GiB");
	OK(cudaHostGetDevicePointer((void **)&dev, p, 0));
	OK(cudaMalloc((void **)&ret, 8));

	chase<<<1, 1>>>(dev, 1000, ret);
	OK(cudaDeviceSynchronize());
	double hop[5];
	for (int i = 0; i < 5; i++) {
		OK(cudaEventRecord(from));
		chase<<<1, 1>>>(dev, 20000, ret);
		hop[i] = ended() / 20000 * 1e6;
	}
	qsort(hop, 5, sizeof *hop, by_size);
	say("hop", "pointer chase, 1 thread, all of the memory", hop[2], "us");

	for (int w = 0; w < 3; w++)
		for (size_t b = 0; b < sizeof blocks / sizeof *blocks; b++) {
			/* one lane of a sector of 32 bytes; a sector by four lanes; a line of 128 bytes by sixteen */
			uint32_t width = w == 0 ? 1 : w == 1 ? 4 : 16, words = w == 2 ? 16 : 4, rounds = blocks[b] > 16 ? 100 : 400;
			char how[64];
			gather<<<blocks[b], 256>>>(dev, (uint32_t)(size / 8 / words), words, width, 8, ret);
			OK(cudaEventRecord(from));
			gather<<<blocks[b], 256>>>(dev, (uint32_t)(size / 8 / words), words, width, rounds, ret);
			double s = ended();
			snprintf(how, sizeof how, "%s, %d x 256 threads", w == 0 ? "8 B" : w == 1 ? "32 B" : "128 B", blocks[b]);
			say("gather", how, (double)blocks[b] * 256 / width * rounds * 8 / s / 1e6, "M/s");
		}

	/* Pages that the GPU still knows where to find: what a guest's few ten thousand pages of tasks are, read in each tick. */
	const uint64_t near = (size < 256ull << 20 ? size : 256ull << 20) / 32;
	gather<<<132, 256>>>(dev, (uint32_t)near, 4, 4, 100, ret);
	OK(cudaEventRecord(from));
	gather<<<132, 256>>>(dev, (uint32_t)near, 4, 4, 400, ret);
	say("near", "32 B, 132 x 256 threads, of 256 MiB", 132.0 * 256 / 4 * 400 * 8 / ended() / 1e6, "M/s");

	stream<<<132, 1024>>>((const uint4 *)dev, size / 16, ret);
	OK(cudaEventRecord(from));
	stream<<<132, 1024>>>((const uint4 *)dev, size / 16, ret);
	say("bandwidth", "sequential read", (double)size / ended() / 1e9, "GB/s");

	volatile uint32_t *ask, *answer;
	uint32_t n = 20000;
	OK(cudaHostAlloc((void **)&ask, 4096, cudaHostAllocMapped));
	answer = ask + 512;
	*ask = *answer = 0;
	doorbell<<<1, 1>>>(ask, answer, n);
	OK(cudaGetLastError());
	double *trip = (double *)malloc(n * sizeof *trip);
	for (uint32_t i = 1; i <= n; i++) {
		t = seconds();
		*ask = i;
		while (*answer != i)
			if (seconds() - t > 10)
				OK(cudaErrorUnknown);
		trip[i - 1] = (seconds() - t) * 1e6;
	}
	OK(cudaDeviceSynchronize());
	qsort(trip, n, sizeof *trip, by_size);
	say("doorbell", "there and back, half", trip[n / 2], "us");
	say("doorbell", "there and back, 99 of 100", trip[n - n / 100], "us");
	OK(cudaHostUnregister(p));
}

static void products(double for_s)
{
	int n = 8192;
	float *m;
	double t = seconds(), done = 0;

	OK(cudaMalloc((void **)&m, 3ull * n * n * 4));
	OK(cudaMemset(m, 1, 3ull * n * n * 4));
	do {
		OK(cudaEventRecord(from));
		matmul<<<dim3(n / 64, n / 64), 256>>>(m, m + (size_t)n * n, m + 2 * (size_t)n * n, n);
		ended();
		done++;
	} while (seconds() - t < for_s);
	say("matmul", "FP32, 8192, a plain kernel", done * 2.0 * n * n * n / (seconds() - t) / 1e12, "TFLOP/s");
}

/* A store where there is no memory: what CUDA does to who shares the GPU with such a program is for others to see. */
static __global__ void stray(uint64_t *at)
{
	*(volatile uint64_t *)at = 1;
}

static void fault(void)
{
	stray<<<1, 1>>>((uint64_t *)16);
	printf("a stray store: %s\n", cudaGetErrorString(cudaDeviceSynchronize()));
}

/* Asleep but for a look now and then: what a neighbour loses beside it, it loses because something is there. */
static __global__ void resident(volatile uint32_t *stop)
{
	while (!*stop)
		__nanosleep(20000);
}

static void stay(uint32_t blocks, uint32_t threads)
{
	volatile uint32_t *stop;
	char c;

	OK(cudaHostAlloc((void **)&stop, 4096, cudaHostAllocMapped));
	*stop = 0;
	resident<<<blocks, threads>>>(stop);
	OK(cudaGetLastError());
	printf("stays\n");
	fflush(stdout);
	while (read(0, &c, 1) > 0)
		;
	*stop = 1;
	OK(cudaDeviceSynchronize());
}

int main(int argc, char **argv)
{
	cudaDeviceProp d;

	if (skipped())
		return 0;
	OK(cudaGetDeviceProperties(&d, 0));
	OK(cudaEventCreate(&from));
	OK(cudaEventCreate(&to));
	printf("{\"part\": \"limits\", \"what\": \"device\", \"how\": \"%s\", \"value\": %d, \"unit\": \"SMs\"}\n", d.name, d.multiProcessorCount);
	if (argc > 1 && !strcmp(argv[1], "device"))
		; /* there is one: that is all that was asked */
	else if (argc > 1 && !strcmp(argv[1], "fault"))
		fault();
	else if (argc > 3 && !strcmp(argv[1], "stay"))
		stay((uint32_t)atoi(argv[2]), (uint32_t)atoi(argv[3]));
	else if (argc > 2 && !strcmp(argv[1], "matmul"))
		products(atof(argv[2]));
	else
		limits(argc > 1 ? strtoull(argv[1], NULL, 10) : 1024);
	return 0;
}
