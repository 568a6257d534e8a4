/* SPDX-License-Identifier: MIT
 *
 * Where there is no nvcc: no GPU, and why.
 */
#include "sim/sweep_dev.h"

#include <errno.h>

static int none_count(struct gf_err *err)
{
	return gf_err_set(err, ENOTSUP, "this gpufasctl was built without nvcc: install CUDA and run make again");
}

static int none_open(uint32_t number, struct gf_sweep_dev **ret, struct gf_sweep_dev_info *info, struct gf_err *err)
{
	(void)number;
	(void)ret;
	(void)info;
	return none_count(err);
}

const struct gf_sweep_dev_ops gf_sweep_gpu = { .name = "gpu", .count = none_count, .open = none_open };
