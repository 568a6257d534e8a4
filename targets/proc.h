/* SPDX-License-Identifier: MIT
 *
 * /proc/PID/stat, read so that no command name can lead astray.
 */
#ifndef GPUFAS_PROC_H
#define GPUFAS_PROC_H

#include <stddef.h>
#include <stdint.h>

#define GF_TICK_NS 10000000ull /* USER_HZ is 100 on all that /proc is read on */

#define GF_PF_EXITING 0x4u
#define GF_PF_KTHREAD 0x200000u

struct gf_proc_stat {
	int32_t pid, ppid, pgrp, session;
	char state;
	char comm[16]; /* as task->comm: kernel workers without what they work on */
	uint32_t flags;
	uint64_t minflt, majflt;
	uint64_t utime_ticks, stime_ticks;
	int32_t prio, nice;
	uint32_t threads;
	uint64_t start_ticks;
	uint64_t vsz;       /* bytes */
	int64_t rss_pages;
	uint64_t startstack;
	uint32_t policy;
	uint64_t arg_start; /* 0 without permission */
};

/* 0 or -EBADMSG. buf need not end in NUL. */
int gf_proc_stat_parse(const char *buf, size_t len, struct gf_proc_stat *ret);

#endif
