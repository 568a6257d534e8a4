/* SPDX-License-Identifier: MIT
 *
 * Where the walkers find what they read in one kernel: symbol addresses and member
 * offsets, from kallsyms and BTF (targets/layout.c). Plain data, copied into device
 * memory as it is.
 */
#ifndef GPUFAS_LAYOUT_H
#define GPUFAS_LAYOUT_H

#include "gpufas/hd.h"

struct gf_layout {
	uint64_t init_pid_ns;
};

#endif
