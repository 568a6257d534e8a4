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
	bool no_enroll;     /* memory that is there already cannot be registered */
	volatile bool failed; /* a sticky error: every call fails from now on, and nothing runs */
	volatile bool hung; /* the leader does not look at anything any more */
	uint64_t memory;    /* bytes that a device has */
	uint32_t lanes;     /* at most; 0: 2 */
	/* counted */
	uint64_t used;
	uint32_t enrolled;
};

extern struct gf_emu gf_emu;

#endif
