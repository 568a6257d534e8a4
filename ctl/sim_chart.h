/* SPDX-License-Identifier: MIT
 *
 * What the charts of a run are made of: values over time, in a bounded number of slots.
 */
#ifndef GPUFAS_CTL_SIM_CHART_H
#define GPUFAS_CTL_SIM_CHART_H

#include "ctl/sim.h"

#define CHART_SLOTS 480u
#define CHART_LINES 24u
#define CHART_LIMITS 6u
#define CHART_LANES 256u /* followed; the first CHART_SHOWN of them are shown */
#define CHART_SHOWN 14u

/* What a rule compares the line with. */
struct sim_limit {
	uint32_t rule;
	uint32_t term;   /* of the rule, as views number them */
	char op[4];      /* "<" */
	double at[CHART_SLOTS];
};

struct sim_line {
	char name[128];  /* "mem.available", "rate(vm.pgscan, 5s)" */
	uint8_t dim;     /* enum gf_dim */
	bool nearest;    /* of the process nearest to the rule */
	uint32_t host;   /* enum gf_host_field, or GF_NONE: the left side of the first limit's term */
	double lo[CHART_SLOTS], hi[CHART_SLOTS], recorded[CHART_SLOTS]; /* unknown where there is nothing */
	struct sim_limit limit[CHART_LIMITS];
	size_t limits;
};

struct sim_lane {
	int32_t pid;
	uint64_t start_ns;
	char comm[GF_COMM_LEN];
	bool victim;
	double most;           /* bytes */
	double rss[CHART_SLOTS]; /* unknown: not there */
};

struct sim_charts {
	const struct gf_image_header *img;
	uint64_t from_ns, to_ns;
	uint32_t slots;
	struct sim_line *line; /* [CHART_LINES] */
	size_t lines;
	struct sim_lane *lane; /* [CHART_LANES] */
	size_t lanes;
	uint32_t *row_lane;    /* [rows] lane + 1 */
	uint32_t *row_gen;
	uint32_t rows;
};

/* The lanes to show, at most CHART_SHOWN: victims first, then by their size. */
size_t sim_lanes_shown(const struct sim_charts *c, const struct sim_lane *ret[CHART_SHOWN]);

/* sim_svg.c: with `p` the policy's number: marks lead to "#p<P>e<SEQ>". A whole <svg>. */
void sim_svg_line(FILE *f, const struct sim *s, size_t p, const struct sim_line *l, bool alone);
void sim_svg_lanes(FILE *f, const struct sim *s, size_t p);
/* Text for HTML and SVG: nothing in it can end an element or an attribute. */
void sim_put(FILE *f, const char *text);
__attribute__((format(printf, 2, 3)))
void sim_putf(FILE *f, const char *fmt, ...);
extern const char sim_svg_style[];

#endif
