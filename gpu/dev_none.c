/* SPDX-License-Identifier: MIT
 *
 * In the place of engine_cuda.cu where there was no nvcc: no device, and why.
 */
#include "gpu/dev.h"

#include <errno.h>

static int none_count(struct gf_err *err)
{
	gf_err_set(err, ENOTSUP, "gpufasd was built without nvcc: there is no code for GPUs in it");
	return 0;
}

const struct gf_dev_ops gf_dev_cuda = { .name = "none", .count = none_count };
