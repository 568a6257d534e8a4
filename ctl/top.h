/* SPDX-License-Identifier: MIT
 *
 * top: what it knows (top_data.c), how it looks (top_draw.c), what keys do
 * (top_keys.c), the terminal and the loop (top.c).
 */
#ifndef GPUFAS_CTL_TOP_H
#define GPUFAS_CTL_TOP_H

#include "ctl/canvas.h"
#include "ctl/peer.h"
#include "ctl/text.h"

enum gf_top_column {
	GF_TC_PID, GF_TC_USER, GF_TC_COMM, GF_TC_STATE, GF_TC_CPU, GF_TC_RSS, GF_TC_SWAP, GF_TC_TIME, GF_TC_AGE,
	GF_TC_THREADS, GF_TC_NICE, GF_TC_OOM,
	GF_TC_COUNT
};

struct gf_top_column_info {
	const char *title, *field; /* field of `ps` */
	int width;
	bool right;
};
extern const struct gf_top_column_info gf_top_columns[GF_TC_COUNT];

struct gf_top_task {
	double v[GF_TC_COUNT]; /* numbers in the fields' units, NaN: unknown */
	char state;
	char user[33];
	char comm[64];
	char cmdline[200];
	bool kthread;
};

enum gf_top_panel { GF_TP_RULES, GF_TP_TASKS, GF_TP_EVENTS };
enum gf_top_ask { GF_TA_STATUS, GF_TA_RULES, GF_TA_PS, GF_TA_EVENTS, GF_TA_COUNT };

/* A list that is scrolled: the selected line and the first one shown. */
struct gf_top_list {
	size_t sel, first;
	int height; /* lines it was given when drawn last */
};

struct gf_top {
	/* the daemon */
	struct gf_peer c;
	const char *socket, *target;
	json_t *answer[GF_TA_COUNT]; /* the last data of each; NULL before the first */
	json_t *fresh[GF_TA_COUNT];  /* those of the round that is under way */
	int asking;                  /* enum gf_top_ask in flight, -1: none */
	int64_t asked_ms, next_ms;   /* CLOCK_MONOTONIC: when asked; when to begin the next round */
	double delay_s;
	bool paused;
	bool gone;                   /* answer[] is of a daemon that is gone */
	char trouble[512];           /* what is wrong, "": nothing */
	/* its processes */
	struct gf_top_task *task;
	size_t tasks;
	size_t *view;                /* numbers of tasks, filtered and sorted */
	size_t views;
	double busy;                 /* share of all CPUs busy since the round before, NaN: not known */
	double busytime, sampled_ns; /* the daemon's figures that it comes from */
	double took_ns;              /* between the last two samples; 0: the same one again */
	/* the screen */
	enum gf_top_panel focus;     /* RULES, or lower */
	enum gf_top_panel lower;     /* TASKS or EVENTS */
	struct gf_top_list list[3];  /* by enum gf_top_panel */
	enum gf_top_column sort;
	bool reverse;
	bool no_kthreads;
	char filter[64];
	bool typing;                 /* the filter is being typed */
	enum { GF_TV_NONE, GF_TV_HELP, GF_TV_RULE, GF_TV_EVENT } viewer;
	char viewed[160];            /* rule's name, or event's number */
	struct gf_top_list page;
	bool quit;
};

void gf_top_init(struct gf_top *t, const char *socket, const char *target, double delay_s);
void gf_top_deinit(struct gf_top *t);

/* Moves the conversation with the daemon on without waiting. Connects again when
 * it is gone. Returns true when a new round is complete and the screen is old. */
bool gf_top_step(struct gf_top *t);
/* Milliseconds until gf_top_step has something to do by itself. */
int gf_top_wait_ms(const struct gf_top *t);
/* Filters and sorts again; for after a key. */
void gf_top_arrange(struct gf_top *t);
/* The target's entry in status, or NULL. */
const json_t *gf_top_target(const struct gf_top *t);
/* A host field's value, NaN where it is not sampled. */
double gf_top_host(const struct gf_top *t, const char *field);
const json_t *gf_top_rules(const struct gf_top *t);
const json_t *gf_top_events(const struct gf_top *t);

void gf_top_draw(struct gf_top *t, struct gf_canvas *c);
/* Its parts above the panels: row 0, and rows 1 to 3. */
void gf_top_draw_title(const struct gf_top *t, struct gf_canvas *c);
void gf_top_draw_host(const struct gf_top *t, struct gf_canvas *c);

/* Keys: a character, or one of these. */
enum gf_top_key {
	GF_TK_UP = 0x110000, GF_TK_DOWN, GF_TK_PGUP, GF_TK_PGDN, GF_TK_HOME, GF_TK_END,
	GF_TK_ENTER, GF_TK_ESC, GF_TK_TAB, GF_TK_BACKSPACE,
};
void gf_top_key(struct gf_top *t, int key);

#endif
