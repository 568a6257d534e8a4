/* SPDX-License-Identifier: MIT */
#include "sim/when.h"

#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "gpufas/hd.h"
#include "gpufas/bytecode.h"

int gf_when_span(const char *text, uint64_t *ret_ns)
{
	static const struct { const char *unit; double ns; } units[] = {
		{ "ns", 1 }, { "us", 1e3 }, { "ms", 1e6 }, { "s", 1e9 }, { "min", 60e9 }, { "h", 3600e9 }, { "d", 86400e9 },
	};
	char *end;
	double v = strtod(text, &end);

	if (end == text || !(v >= 0))
		return -EINVAL;
	for (size_t i = 0; i < sizeof units / sizeof *units; i++)
		if (!strcmp(end, units[i].unit) && v * units[i].ns <= (double)GF_MAX_NS) {
			*ret_ns = (uint64_t)llround(v * units[i].ns);
			return 0;
		}
	if (strcmp(text, "0"))
		return -EINVAL;
	*ret_ns = 0;
	return 0;
}

/* Seconds since 1970 as time since boot; years that no clock of ours reaches are as far as there is. */
static uint64_t since_boot(time_t at, int64_t wall_ns)
{
	int64_t ns;

	if (__builtin_mul_overflow((int64_t)at, (int64_t)1000000000, &ns) || __builtin_sub_overflow(ns, wall_ns, &ns))
		return at < 0 ? 1 : INT64_MAX;
	return ns < 1 ? 1 : (uint64_t)ns;
}

int gf_when_moment(const char *text, const struct gf_when *w, uint64_t *ret_ns)
{
	static const char *const formats[] = { "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M", "%H:%M:%S", "%H:%M" };
	time_t first = (time_t)((int64_t)(w->first_ns + (uint64_t)w->wall_ns) / 1000000000), at;
	uint64_t ns;

	if (!gf_when_span(*text == '-' || *text == '+' ? text + 1 : text, &ns)) {
		if (*text == '-')
			*ret_ns = w->last_ns > ns ? w->last_ns - ns : w->first_ns;
		else
			*ret_ns = w->first_ns + ns;
		*ret_ns = GF_MAX(*ret_ns, 1u);
		return 0;
	}
	for (size_t i = 0; w->wall_ns && i < sizeof formats / sizeof *formats; i++) {
		struct tm tm = { 0 };
		const char *end;
		localtime_r(&first, &tm);
		if (i < 4 || !strchr(formats[i], 'S'))
			tm.tm_sec = 0;
		end = strptime(text, formats[i], &tm);
		if (!end || (*end && strcmp(end, "Z")))
			continue;
		tm.tm_isdst = -1;
		at = *end ? timegm(&tm) : mktime(&tm);
		if (i >= 4 && at < first) /* past midnight */
			at += 86400;
		*ret_ns = since_boot(at, w->wall_ns);
		return 0;
	}
	return -EINVAL;
}
