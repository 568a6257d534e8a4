/* SPDX-License-Identifier: MIT
 *
 * probe: what was found in a memory, as one JSON object, which the text is made of, too.
 */
#ifndef GPUFAS_CTL_PROBE_H
#define GPUFAS_CTL_PROBE_H

#include "ctl/ctl.h"
#include "gpu/layout.h"
#include "targets/kernel.h"

/* Offsets as {"task": {"flags": 44, ...}, ...}; those that this kernel lacks are null. */
json_t *gf_probe_layout(const struct gf_layout *l);
/* The CPUs and where their variables are; NULL if that cannot be read. */
json_t *gf_probe_cpus(const struct gf_kernel *k, const struct gf_layout *l);

#endif
