/* SPDX-License-Identifier: MIT
 *
 * Between kmod.c (keeper, delivery) and kmod_dev.c (the device itself).
 */
#ifndef GPUFAS_KMOD_INT_H
#define GPUFAS_KMOD_INT_H

#include "targets/kmod.h"

/* The device; arg is its path. */
extern const struct gf_kmod_dev gf_kmod_device;

#endif
