/* SPDX-License-Identifier: MIT
 *
 * Memory that is named on the command line: --ram and --layout.
 */
#ifndef GPUFAS_CTL_RAM_H
#define GPUFAS_CTL_RAM_H

#include "ctl/ctl.h"
#include "sim/pathset.h"
#include "targets/vm.h"

/* "100ms", "2min" of an option, from 1 ms to 1 h; *ret stays where it was not given. 0 or GF_EXIT_USAGE. */
int gf_ctl_time(const struct gf_ctl *ctl, enum gf_ctl_option id, uint64_t *ret_ns);
/* The same, up to 365 days. */
int gf_ctl_long_time(const struct gf_ctl *ctl, enum gf_ctl_option id, uint64_t *ret_ns);
/* --layout GPA:SIZE@OFF,... (0:2GiB@0,4GiB:2GiB@2GiB); n 0 where it was not given. 0 or GF_EXIT_USAGE. */
int gf_ctl_layout(const struct gf_ctl *ctl, struct gf_ram_piece piece[GF_RAM_SEGS], size_t *ret_n);
/* The file of --ram as a target. step_ns: how far each sample moves its clock. An exit code; what is wrong has been said. */
int gf_ctl_image(const struct gf_ctl *ctl, uint64_t step_ns, struct gf_target **ret);
/* What `ps` of a daemon would answer, from the file of --ram, with these kernel paths. An exit code. */
int gf_ctl_ram_ps(const struct gf_ctl *ctl, const struct gf_pathset *paths, json_t **ret);
/* Each leads to a number in the kernel there; else -EINVAL, which and why. */
int gf_ctl_check_paths(struct gf_target *t, const struct gf_pathset *paths, struct gf_err *err);

#endif
