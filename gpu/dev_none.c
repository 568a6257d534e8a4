/* SPDX-License-Identifier: MIT
 *
 * A build that knows no GPU.
 */
#include <errno.h>

#include "gpu/engine.h"

size_t gf_gpu_list(struct gf_gpu_info *buf, size_t n, struct gf_err *err)
{
	(void)buf;
	(void)n;
	gf_err_set(err, ENOTSUP, "this build is without nvcc, so without the GPU engine; build it where the CUDA toolkit is (nvcc in PATH)");
	return 0;
}
