/* SPDX-License-Identifier: MIT
 *
 * A sign of life out of the middle of something long: a walk over tens of thousands of threads takes a device seconds, and a host that
 * hears nothing for one second takes it for stuck. Who is in a loop whose length the target alone knows writes this word now and then, any lane
 * may. It says nothing but that it changes, so it does not matter whose write comes last. Each such loop is bounded, so who is really stuck does
 * not go on writing.
 */
#ifndef GPUFAS_PULSE_H
#define GPUFAS_PULSE_H

#include "gpu/now.h"

/* For tests: makes what is long longer. */
#ifndef GF_PULSE_HOOK
#define GF_PULSE_HOOK() ((void)0)
#endif

GF_INLINE void gf_pulse(uint64_t *p)
{
	if (!p)
		return;
	GF_PULSE_HOOK();
#if defined(__CUDA_ARCH__)
	*(volatile uint64_t *)p = gf_now_ns();
#else
	__atomic_fetch_add(p, 1, __ATOMIC_RELAXED);
#endif
}

#endif
