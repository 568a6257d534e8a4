/* SPDX-License-Identifier: MIT */
#include "ctl/ctl.h"

int main(int argc, char **argv)
{
	return gf_ctl_main(argc, argv);
}
