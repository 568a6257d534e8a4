/* SPDX-License-Identifier: MIT */
#include "ctl/ctl.h"
#include "sim/sweep_dev.h"

int main(int argc, char **argv)
{
	gf_sweep_backend = &gf_sweep_gpu;
	return gf_ctl_main(argc, argv);
}
