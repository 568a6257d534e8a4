/* SPDX-License-Identifier: MIT
 *
 * What a test tells the emulated device.
 */
#ifndef GPUFAS_DEV_EMU_H
#define GPUFAS_DEV_EMU_H

#include "gpu/dev.h"

struct gf_emu {
	int devices;
	char why[128];      /* of devices 0 */
	bool busy;
	bool host_atomics;
	uint32_t no_enroll; /* registrations that are refused: from this one on, counted from 1; 0: none */
	uint32_t no_memory; /* likewise: allocations, and pinned memory */
	uint64_t life_ns;   /* as of struct gf_dev_info: on a busy machine threads do not run for seconds */
	uint64_t slice;     /* bytes that are registered at a time; 0: as others */
	uint64_t tape;      /* likewise: of samples that wait to be recorded */
	uint32_t enroll_us, pulse_us; /* what a registration, a sign of life takes */
	volatile bool failed; /* a sticky error: every call fails from now on, and nothing runs */
	int no_follow;      /* errno of launching a kernel in another shape; 0: it can be */
	volatile bool hung; /* the leader does not look at anything any more */
	uint64_t memory;    /* bytes that a device has */
	uint32_t lanes;     /* at most; 0: 2 */
	uint32_t multiprocessors; /* that it says it has; 0: 2 */
	uint32_t cluster;   /* blocks of a cluster, at most; 0: there are none */
	/* counted */
	uint64_t used;
	uint32_t enrolled, enrollments, allocations;
	uint64_t pulses;
};

extern struct gf_emu gf_emu;

#endif
