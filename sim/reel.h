/* SPDX-License-Identifier: MIT
 *
 * A recording unrolled: its samples as tables in memory, one after the other, so that many policies can be run over them without
 * it being read and unpacked for each. In frames of some ticks each: a frame is one block of memory that refers to itself by
 * offsets, and goes to a device as it is. What has not changed since the tick before is there once.
 */
#ifndef GPUFAS_SIM_REEL_H
#define GPUFAS_SIM_REEL_H

#include "sim/feed.h"
#include "sim/model_core.h"

#define GF_REEL_NOWHERE 0xffu

/* One tick. Arrays are at offsets into the frame, 0: there is none; rows' arrays have `up` entries, of which those from rows on are empty. */
struct gf_reel_tick {
	uint64_t now_ns, wall_ns, seq, dt_ns;
	uint32_t rows, up, live, dropped, epoch;
	int32_t good;    /* the tick whose tables hold: this one, or where it is stale the last one that is not; -1: there is none yet */
	int32_t before;  /* the good tick before it that it follows on; -1: there is none, or it is of another boot */
	uint8_t stale;   /* sampling failed */
	uint8_t reset;   /* another boot, or a clock that went back */
	uint8_t carried; /* of the frame before: not a tick of this frame, only what it refers to */
	uint8_t reserved;
	double keep[3];  /* gf_model_keep(dt_ns) */
	double host[GF_HF_COUNT];
	uint64_t flags, gen, parent, uid, pid, start_ns, comm;
	uint64_t col[GF_COLS], str[GF_SF_COUNT];
};

/* A tick's tables, which lie in a frame at `base`, as a sample's. Not host fields, nor times. */
GF_INLINE void gf_reel_bind(const struct gf_reel_tick *t, uint8_t *base, uint32_t cap, struct gf_sample *s)
{
	s->rows = t->rows;
	s->live = t->live;
	s->dropped = t->dropped;
	s->epoch = t->epoch;
	s->cap = cap;
	s->flags = base + t->flags;
	s->gen = (uint32_t *)(void *)(base + t->gen);
	s->parent = (uint32_t *)(void *)(base + t->parent);
	s->uid = (uint32_t *)(void *)(base + t->uid);
	s->pid = (int32_t *)(void *)(base + t->pid);
	s->start_ns = (uint64_t *)(void *)(base + t->start_ns);
	s->comm = (char (*)[GF_COMM_LEN])(void *)(base + t->comm);
	for (uint32_t c = 0; c < GF_COLS; c++)
		s->col[c] = t->col[c] ? (double *)(void *)(base + t->col[c]) : NULL;
	for (uint32_t c = 0; c < GF_SF_COUNT; c++)
		s->str[c] = t->str[c] ? (struct gf_strref *)(void *)(base + t->str[c]) : NULL;
}

/* Of its kernel paths those that a policy reads, in that policy's order: map[k] is the k-th one's place among the recording's, GF_REEL_NOWHERE: it has none. */
GF_INLINE void gf_reel_paths(const struct gf_reel_tick *t, uint8_t *base, const uint8_t *map, uint32_t paths, struct gf_sample *s)
{
	for (uint32_t k = 0; k < GF_MAX_PATHS; k++) {
		uint64_t at = k < paths && map[k] != GF_REEL_NOWHERE ? t->col[GF_TF_COUNT + map[k]] : 0;
		s->col[GF_TF_COUNT + k] = at ? (double *)(void *)(base + at) : NULL;
	}
}

/* Of its other columns only those that are wanted. */
GF_INLINE void gf_reel_want(struct gf_sample *s, uint64_t task, uint32_t str)
{
	for (uint32_t c = 0; c < GF_TF_COUNT; c++)
		if (!(task >> c & 1))
			s->col[c] = NULL;
	for (uint32_t c = 0; c < GF_SF_COUNT; c++)
		if (!(str >> c & 1))
			s->str[c] = NULL;
}

struct gf_reel_frame {
	uint8_t *base;
	size_t size, room;
	struct gf_reel_tick *tick;
	uint32_t ticks, first; /* first: the first that is not carried */
	/* where its gf_strref arrays are, whose pointers are of this process: offset and count */
	struct gf_reel_refs { uint64_t at; uint32_t n; } *refs;
	uint32_t ref_n;
	size_t ref_cap;
};

struct gf_reel_plan { size_t size; uint32_t ticks, first; uint64_t stamp; }; /* of a frame, also while it is not in memory; stamp: of all its samples */

struct gf_reel {
	struct gf_feed_info info;
	struct gf_fieldset fields;
	const char *path[GF_MAX_PATHS]; /* borrowed: what its fields.paths columns of kernel paths are */
	struct gf_reel_frame *frame;
	struct gf_reel_plan *plan; /* [frames] */
	struct gf_reel_maker *maker;
	bool windows;      /* it is too large: frames are in memory in turn (gf_reel_begin) */
	size_t ready;      /* atomic: frames that feeds may look at; windows: as who reads them says */
	size_t dropped;
	size_t frames, frames_cap;
	uint32_t cap;      /* rows that the largest sample needs: a multiple of 128 */
	uint64_t ticks, size;
	char damage[256];  /* the recording is damaged: where */
};

struct gf_reel_opts {
	uint64_t from_ns, to_ns;  /* as gf_run_opts */
	struct gf_fieldset fields; /* wanted: no others are there. Those that the model needs are added. */
	const char *const *path;  /* kernel paths, fields.paths of them */
	size_t frame_size;        /* bytes, about; 0: 64 MiB */
	uint32_t frame_ticks;     /* at most; 0: 256 */
	void (*progress)(void *arg, double ticks); /* while all of it is read the first time; may be NULL */
	void *progress_arg;
	uint64_t most;            /* bytes of all frames: over that only windows of it are in memory; 0: as many as there are */
};

/* Reads all of it. Borrows the feed, and what opts->path points to, until it is freed: where it comes out as windows they are read again. */
int gf_reel_make(struct gf_feed *feed, const struct gf_reel_opts *opts, struct gf_reel **ret, struct gf_err *err);
void gf_reel_free(struct gf_reel *r);

/* Where n kernel paths are among its own, for gf_reel_paths(). */
void gf_reel_map(const struct gf_reel *r, const char *const *path, uint32_t n, uint8_t *ret_map);

/* Windows: a pass over the recording. Frame 0, 1, ... are read one after the other, each while the one before is there still, and dropped
 * when nobody looks at them any more. One thread. -ESTALE: the recording is not what it was. */
int gf_reel_begin(struct gf_reel *r, struct gf_err *err);
int gf_reel_read(struct gf_reel *r, size_t i, struct gf_err *err);
void gf_reel_drop(struct gf_reel *r, size_t i);

/* A feed over a reel, which it borrows; many may be in use at a time, each by one thread. Its next() is -EINPROGRESS where the frame that comes is not in
 * memory: it goes on when that is. */
int gf_reel_feed(const struct gf_reel *r, struct gf_feed **ret, struct gf_err *err);

#endif
