/* SPDX-License-Identifier: MIT
 *
 * The text of top's help screen.
 */
#ifndef GPUFAS_CTL_TOP_HELP_H
#define GPUFAS_CTL_TOP_HELP_H

#include "ctl/text.h"

void gf_top_help(struct gf_lines *out);

#endif
