// SPDX-License-Identifier: MIT
#include "targets/proc.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

/* fs/proc/array.c shows a worker with what it works on ("kworker/0:1-events").
 * A rescuer's own name ("kworker/R-xfs-conv") keeps its dashes. */
static void plain_comm(char *dst, const char *src, size_t len)
{
	static const char worker[] = "kworker/";
	size_t w = sizeof worker - 1;

	if (len > w && !memcmp(src, worker, w) && src[w] != 'R')
		for (size_t i = w; i < len; i++)
			if (src[i] == '-' || src[i] == '+')
				len = i;
	if (len > 15)
		len = 15;
	memset(dst, 0, 16);
	memcpy(dst, src, len);
}

static bool integer(const char **p, const char *end, int64_t *ret)
{
	const char *s = *p;
	bool neg = false;
	uint64_t v = 0;

	while (s < end && *s == ' ')
		s++;
	if (s < end && *s == '-') {
		neg = true;
		s++;
	}
	if (s == end || *s < '0' || *s > '9')
		return false;
	for (; s < end && *s >= '0' && *s <= '9'; s++)
		v = v * 10 + (uint64_t)(*s - '0');
	*p = s;
	*ret = (int64_t)(neg ? 0 - v : v);
	return true;
}

/* Field numbers are those of proc(5). The name stands between the first "(" and
 * the last ")": nothing but numbers follows it, whatever it holds itself. */
int gf_proc_stat_parse(const char *buf, size_t len, struct gf_proc_stat *ret)
{
	const char *open = memchr(buf, '(', len), *close = memrchr(buf, ')', len), *end = buf + len, *p = buf;
	struct gf_proc_stat st = { 0 };
	int64_t v[53] = { 0 };
	int n = 4;

	if (!open || !close || close < open || end - close < 4 || !integer(&p, open, &v[1]))
		return -EBADMSG;
	plain_comm(st.comm, open + 1, (size_t)(close - open - 1));
	st.state = close[2];
	p = close + 3;
	while (n < 53 && integer(&p, end, &v[n]))
		n++;
	if (n <= 41) /* up to policy: there since 2.6 */
		return -EBADMSG;
	st.pid = (int32_t)v[1];
	st.ppid = (int32_t)v[4];
	st.pgrp = (int32_t)v[5];
	st.session = (int32_t)v[6];
	st.flags = (uint32_t)v[9];
	st.minflt = (uint64_t)v[10];
	st.majflt = (uint64_t)v[12];
	st.utime_ticks = (uint64_t)v[14];
	st.stime_ticks = (uint64_t)v[15];
	st.prio = (int32_t)v[18];
	st.nice = (int32_t)v[19];
	st.threads = (uint32_t)v[20];
	st.start_ticks = (uint64_t)v[22];
	st.vsz = (uint64_t)v[23];
	st.rss_pages = v[24];
	st.startstack = (uint64_t)v[28];
	st.policy = (uint32_t)v[41];
	st.arg_start = n > 48 ? (uint64_t)v[48] : 0;
	*ret = st;
	return 0;
}
