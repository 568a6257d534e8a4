/* SPDX-License-Identifier: MIT
 *
 * fields: what a kernel in memory has behind a path.
 */
#ifndef GPUFAS_CTL_KERNEL_FIELDS_H
#define GPUFAS_CTL_KERNEL_FIELDS_H

#include "ctl/ctl.h"

/* Whether an argument of `fields` is a kernel path, or the start of one, and no part of a field's name. */
bool gf_kernel_path(const char *arg);
/* The arguments as paths (none: `task`) in the kernel that --ram names. An exit code. */
int gf_kernel_fields_ram(struct gf_ctl *ctl);
/* Prints an answer for people: {"release", "prefix" (or "path"), "members": [{"name", "type", "size", "bits", "pointer",
 * "number", "next"}]}. */
void gf_kernel_fields_print(const struct gf_ctl *ctl, const json_t *answer);

#endif
