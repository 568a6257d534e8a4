// SPDX-License-Identifier: MIT
#include "ctl/progress.h"

#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "ctl/explain.h"
#include "ctl/text.h"

#define QUIET_NS 1000000000ull
#define BAR_EVERY_NS 100000000ull
#define LINE_EVERY_NS 5000000000ull

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

void gf_progress_begin(struct gf_progress *p, const char *what, const char *unit, double total)
{
	*p = (struct gf_progress){ .what = what, .unit = unit, .total = total, .begun = now_ns(), .terminal = isatty(STDERR_FILENO) };
}

void gf_progress_at(struct gf_progress *p, double done)
{
	uint64_t now = now_ns();
	double spent = (double)(now - p->begun) / 1e9, rate = spent > 0 ? done / spent : 0;
	char bar[32], left[32] = "", rest[64] = "";

	if (now - p->begun < QUIET_NS || now - p->told < (p->terminal ? BAR_EVERY_NS : LINE_EVERY_NS))
		return;
	p->told = now;
	if (p->total > 0 && rate > 0) {
		gf_show_span((p->total - done) / rate, left, sizeof left);
		snprintf(rest, sizeof rest, ", %s left", left);
	}
	if (p->terminal) {
		p->shown = true;
		fprintf(stderr, "\r\033[K%s ", p->what);
		if (p->total > 0)
			fprintf(stderr, "[%s] %3.0f%% ", gf_explain_bar(done / p->total, 24, bar, sizeof bar), 100 * done / p->total);
		fprintf(stderr, "%.0f %s, %.0f a second%s", done, p->unit, rate, rest);
	} else if (p->total > 0) {
		fprintf(stderr, "%s: %.0f of %.0f %s (%.0f%%), %.0f a second%s\n", p->what, done, p->total, p->unit, 100 * done / p->total,
			rate, rest);
	} else {
		fprintf(stderr, "%s: %.0f %s, %.0f a second\n", p->what, done, p->unit, rate);
	}
	fflush(stderr);
}

void gf_progress_end(struct gf_progress *p)
{
	if (p->shown)
		fputs("\r\033[K", stderr);
	p->shown = false;
}
