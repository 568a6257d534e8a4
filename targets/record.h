/* SPDX-License-Identifier: MIT
 *
 * What a sampler's records are to hold. Private to the targets; gpu/record.h makes columns of them.
 */
#ifndef GPUFAS_RECORD_H
#define GPUFAS_RECORD_H

#include "gpu/record.h"

/* What a sampler must find out so that the columns of f can be filled. */
uint32_t gf_record_want(const struct gf_fieldset *f);

#endif
