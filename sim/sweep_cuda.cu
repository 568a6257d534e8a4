/* SPDX-License-Identifier: MIT
 *
 * Sweeps by CUDA: a block a policy.
 */
#define GF_TEAM 1
#include "sim/swept.h"

#include "gpu/cuda.h"
#include "sim/sweep_dev.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct gf_sweep_dev {
	int number;
	cudaStream_t stream, in; /* in: frames on their way */
};

static __global__ void __launch_bounds__(256) gpufas_sweep(struct gf_swept *v, size_t stride, uint8_t *frame, const struct gf_reel_tick *tick,
							   uint32_t first, uint32_t ticks)
{
	gf_swept_main((struct gf_swept *)(void *)((uint8_t *)v + blockIdx.x * stride), frame, tick, first, ticks, threadIdx.x, blockDim.x);
}

static int cuda_count(struct gf_err *err)
{
	int n = 0;
	cudaError_t got = cudaGetDeviceCount(&n);

	if (got == cudaSuccess && n)
		return n;
	cudaGetLastError();
	if (got == cudaErrorInsufficientDriver)
		return gf_err_set(err, ENODEV, "there is no NVIDIA driver, or one that is older than CUDA %d.%d", CUDART_VERSION / 1000, CUDART_VERSION % 1000 / 10);
	return gf_err_set(err, ENODEV, GF_CUDA_NONE);
}

static void drop(struct gf_sweep_dev *d)
{
	if (d->stream)
		cudaStreamDestroy(d->stream);
	if (d->in)
		cudaStreamDestroy(d->in);
	cudaGetLastError();
	free(d);
}

static int cuda_open(uint32_t number, struct gf_sweep_dev **ret, struct gf_sweep_dev_info *info, struct gf_err *err)
{
	struct gf_sweep_dev *d = (struct gf_sweep_dev *)calloc(1, sizeof *d);
	struct cudaDeviceProp p;
	struct cudaFuncAttributes a;
	int n = cuda_count(err), rc;

	if (!d || n <= (int)number) {
		bool memory = !d;
		free(d);
		return n < 0 ? n : memory ? gf_err_set(err, ENOMEM, "out of memory") : gf_err_set(err, ENODEV, "there is no GPU %u", number);
	}
	d->number = (int)number;
	rc = gf_cuda_said(cudaSetDevice(d->number), "the GPU cannot be opened", err);
	if (!rc)
		rc = gf_cuda_said(cudaGetDeviceProperties(&p, d->number), "the GPU does not say what it is", err);
	if (!rc && cudaFuncGetAttributes(&a, (const void *)gpufas_sweep) != cudaSuccess) {
		cudaGetLastError();
		rc = gf_err_set(err, ENOTSUP, "there is no code for this GPU in gpufasctl");
	}
	if (!rc)
		rc = gf_cuda_said(cudaStreamCreateWithFlags(&d->stream, cudaStreamNonBlocking), "the GPU cannot be opened", err);
	if (!rc)
		rc = gf_cuda_said(cudaStreamCreateWithFlags(&d->in, cudaStreamNonBlocking), "the GPU cannot be opened", err);
	if (rc) {
		drop(d);
		return rc;
	}
	snprintf(info->name, sizeof info->name, "%.95s", p.name);
	/* 64 registers a lane: so many lanes a multiprocessor has at a time. */
	info->lanes = (uint32_t)p.multiProcessorCount * GF_MIN(1024u, (uint32_t)p.maxThreadsPerMultiProcessor);
	info->memory = p.totalGlobalMem;
	*ret = d;
	return 0;
}

static void cuda_close(struct gf_sweep_dev *d)
{
	cudaSetDevice(d->number);
	drop(d);
}

static void *cuda_alloc(struct gf_sweep_dev *d, size_t size)
{
	void *p = NULL;

	cudaSetDevice(d->number);
	if (cudaMalloc(&p, size) != cudaSuccess) {
		cudaGetLastError();
		return NULL;
	}
	if (cudaMemsetAsync(p, 0, size, d->stream) != cudaSuccess || cudaStreamSynchronize(d->stream) != cudaSuccess) {
		cudaGetLastError();
		cudaFree(p);
		return NULL;
	}
	return p;
}

static void cuda_free(struct gf_sweep_dev *d, void *p)
{
	cudaSetDevice(d->number);
	cudaFree(p);
	cudaGetLastError();
}

static int cuda_copy_in(struct gf_sweep_dev *d, void *to, const void *from, size_t size, struct gf_err *err)
{
	return gf_cuda_copy(d->number, d->stream, to, from, size, cudaMemcpyHostToDevice, err);
}

static int cuda_copy_out(struct gf_sweep_dev *d, void *to, const void *from, size_t size, struct gf_err *err)
{
	return gf_cuda_copy(d->number, d->stream, to, from, size, cudaMemcpyDeviceToHost, err);
}

/* Pinned: only from such memory it is copied while the device computes. */
static void *cuda_stage_alloc(struct gf_sweep_dev *d, size_t size)
{
	void *p = NULL;

	cudaSetDevice(d->number);
	if (cudaMallocHost(&p, size) == cudaSuccess)
		return p;
	cudaGetLastError();
	return NULL;
}

static void cuda_stage_free(struct gf_sweep_dev *d, void *p)
{
	cudaSetDevice(d->number);
	cudaFreeHost(p);
	cudaGetLastError();
}

static int cuda_send(struct gf_sweep_dev *d, void *to, const void *from, size_t size, struct gf_err *err)
{
	cudaSetDevice(d->number);
	return gf_cuda_said(cudaMemcpyAsync(to, from, size, cudaMemcpyHostToDevice, d->in), "copying", err);
}

static int cuda_sent(struct gf_sweep_dev *d, struct gf_err *err)
{
	cudaSetDevice(d->number);
	return gf_cuda_said(cudaStreamSynchronize(d->in), "copying", err);
}

static int cuda_start(struct gf_sweep_dev *d, struct gf_swept *v, size_t stride, uint32_t n, uint32_t lanes, uint8_t *frame,
		      const struct gf_reel_tick *tick, uint32_t first, uint32_t ticks, struct gf_err *err)
{
	cudaSetDevice(d->number);
	gpufas_sweep<<<n, lanes, 0, d->stream>>>(v, stride, frame, tick, first, ticks);
	return gf_cuda_said(cudaGetLastError(), "its kernel cannot be started", err);
}

static int cuda_wait(struct gf_sweep_dev *d, struct gf_err *err)
{
	cudaSetDevice(d->number);
	return gf_cuda_said(cudaStreamSynchronize(d->stream), "the GPU has failed", err);
}

extern const struct gf_sweep_dev_ops gf_sweep_gpu = {
	"gpu", cuda_count, cuda_open, cuda_close, cuda_alloc, cuda_free, cuda_copy_in, cuda_copy_out, cuda_stage_alloc, cuda_stage_free, cuda_send, cuda_sent,
	cuda_start, cuda_wait,
};
