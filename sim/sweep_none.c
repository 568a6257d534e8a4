/* SPDX-License-Identifier: MIT
 *
 * Where there is no nvcc: no GPU, and why.
 */
#include "sim/sweep_dev.h"

#include <errno.h>

static int none_open(uint32_t number, struct gf_sweep_dev **ret, struct gf_sweep_dev_info *info, struct gf_err *err)
{
	(void)number;
	(void)ret;
	(void)info;
	return gf_err_set(err, ENOTSUP, "this gpufasctl was built without nvcc: install CUDA and run make again");
}

const struct gf_sweep_dev_ops gf_sweep_gpu = { .name = "gpu", .open = none_open };
