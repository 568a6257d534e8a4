/* SPDX-License-Identifier: MIT
 *
 * gpu/layout.h filled for one kernel.
 */
#ifndef GPUFAS_TARGETS_LAYOUT_H
#define GPUFAS_TARGETS_LAYOUT_H

#include "gpu/layout.h"
#include "targets/kernel.h"

/* -ENOTSUP with the member or symbol that the kernel lacks and without which no process can be read. What only some fields
 * need is left absent: those are unknown then. */
int gf_layout_fill(const struct gf_kernel *k, struct gf_layout *ret, struct gf_err *err);

#endif
