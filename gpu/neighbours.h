/* SPDX-License-Identifier: MIT
 *
 * Who else is on a GPU: what gf_gpu_neighbours looks at, with everything that it takes from its surroundings as an argument.
 */
#ifndef GPUFAS_NEIGHBOURS_H
#define GPUFAS_NEIGHBOURS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GF_MPS_PIPES "/tmp/nvidia-mps" /* where CUDA looks without CUDA_MPS_PIPE_DIRECTORY */

struct gf_neighbours {
	const char *proc;  /* "/proc" */
	const char *pipes; /* MPS' directory */
	int self;          /* this process */
	uint32_t minor;    /* N of /dev/nvidiaN */
	bool mig;          /* the device is an instance of a partitioned card */
	bool stays;        /* a kernel of ours never ends (mode persistent), or each does after its tick (relay) */
};

/* The sentence of gf_gpu_neighbours. */
void gf_neighbours_say(const struct gf_neighbours *o, char *buf, size_t n);

/* The number in /dev/nvidiaN of the card at this PCI address ("0000:00:06.0"), which is not the number that CUDA gives it where
 * some are hidden or sorted by speed. drv: "/proc/driver/nvidia". -1: not known. */
int gf_nvidia_minor(const char *drv, const char *pci);

#endif
