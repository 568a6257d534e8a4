/* SPDX-License-Identifier: MIT
 *
 * What `limit` sets: names, units, and how far it goes. The amounts of a step are in
 * the unit that the kernel keeps (enum gf_limit_kind says which), those of a policy in
 * one that people write.
 */
#include <string.h>

#include "compiler/compiler.h"

#define BYTES_MAX 0x1p60
#define PID_MAX 4194304.0 /* PID_MAX_LIMIT of 64-bit kernels */

#define SIZE(k, nm, mem) [GF_LIMIT_##k] = { nm, GF_DIM_BYTES, 0, BYTES_MAX, 1, mem, false }
#define COUNT(k, nm, lo, hi) [GF_LIMIT_##k] = { nm, GF_DIM_NUM, lo, hi, 1, false, true }

static const struct gf_limit_info limits[GF_LIMIT_COUNT] = {
	[GF_LIMIT_NONE] = { "", GF_DIM_NUM, 0, 0, 1, false, false },
	SIZE(MEMORY_MAX, "memory.max", true),
	SIZE(MEMORY_HIGH, "memory.high", true),
	COUNT(PIDS_MAX, "pids.max", 0, PID_MAX),
	/* The kernel's least quota is 1 ms of its usual period of 100. */
	[GF_LIMIT_CPU_MAX] = { "cpu.max", GF_DIM_PCT, 1, 819200, 0.01, false, false },
	[GF_LIMIT_RLIMIT_CPU] = { "rlimit.cpu", GF_DIM_TIME, 0, 3e18, 1e-9, false, true },
	SIZE(RLIMIT_FSIZE, "rlimit.fsize", false),
	SIZE(RLIMIT_DATA, "rlimit.data", true),
	SIZE(RLIMIT_STACK, "rlimit.stack", true),
	SIZE(RLIMIT_CORE, "rlimit.core", false),
	SIZE(RLIMIT_RSS, "rlimit.rss", true),
	COUNT(RLIMIT_NPROC, "rlimit.nproc", 0, PID_MAX),
	COUNT(RLIMIT_NOFILE, "rlimit.nofile", 0, 0x1p30),
	SIZE(RLIMIT_MEMLOCK, "rlimit.memlock", true),
	SIZE(RLIMIT_AS, "rlimit.as", true),
	COUNT(RLIMIT_LOCKS, "rlimit.locks", 0, 0x1p31),
	COUNT(RLIMIT_SIGPENDING, "rlimit.sigpending", 0, 0x1p31),
	SIZE(RLIMIT_MSGQUEUE, "rlimit.msgqueue", false),
	COUNT(RLIMIT_NICE, "rlimit.nice", 0, 40),
	COUNT(RLIMIT_RTPRIO, "rlimit.rtprio", 0, 99),
	[GF_LIMIT_RLIMIT_RTTIME] = { "rlimit.rttime", GF_DIM_TIME, 0, 3e18, 1e-3, false, true },
};

const struct gf_limit_info *gf_limit_info(enum gf_limit_kind kind)
{
	return &limits[(unsigned)kind < GF_LIMIT_COUNT ? kind : GF_LIMIT_NONE];
}

enum gf_limit_kind gf_limit_find(const char *name)
{
	for (int k = GF_LIMIT_NONE + 1; k < GF_LIMIT_COUNT; k++)
		if (!strcmp(limits[k].name, name))
			return (enum gf_limit_kind)k;
	return GF_LIMIT_NONE;
}
