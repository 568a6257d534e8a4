/* SPDX-License-Identifier: MIT
 *
 * What is asked of CUDA in more than one place (gpu/engine_cuda.cu, sim/sweep_cuda.cu): its errors in words, and copies that wait for nothing
 * but themselves.
 */
#ifndef GPUFAS_CUDA_H
#define GPUFAS_CUDA_H

#include <cuda_runtime.h>
#include <errno.h>
#include <stddef.h>

#include "gpufas/err.h"

#define GF_CUDA_NONE "there is no GPU that CUDA can use (CUDA_VISIBLE_DEVICES, permissions of /dev/nvidia*)"

/* 0, or an errno with CUDA's own words. */
static inline int gf_cuda_said(cudaError_t rc, const char *what, struct gf_err *err)
{
	int e = EIO;

	if (rc == cudaSuccess)
		return 0;
	switch (rc) {
	case cudaErrorMemoryAllocation:
		e = ENOMEM;
		break;
	case cudaErrorNoDevice:
	case cudaErrorInvalidDevice:
		e = ENODEV;
		break;
	case cudaErrorDevicesUnavailable:
		e = EBUSY;
		break;
	case cudaErrorInvalidValue:
	case cudaErrorHostMemoryAlreadyRegistered:
		e = EINVAL;
		break;
	case cudaErrorInsufficientDriver:
	case cudaErrorNoKernelImageForDevice:
	case cudaErrorUnsupportedPtxVersion:
	case cudaErrorNotSupported:
		e = ENOTSUP;
		break;
	default:
		break;
	}
	cudaGetLastError(); /* what does not stick is not to be found by the next call */
	return gf_err_set(err, e, "%s: %s", what, cudaGetErrorString(rc));
}

/* On a stream of the caller's own; done when it returns. */
static inline int gf_cuda_copy(int device, cudaStream_t stream, void *to, const void *from, size_t size, cudaMemcpyKind kind, struct gf_err *err)
{
	int rc;

	cudaSetDevice(device);
	rc = gf_cuda_said(cudaMemcpyAsync(to, from, size, kind, stream), "copying", err);
	return rc ? rc : gf_cuda_said(cudaStreamSynchronize(stream), "copying", err);
}

#endif
