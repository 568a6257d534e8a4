/* SPDX-License-Identifier: MIT
 *
 * Recordings (.gft): what was sampled, sample after sample. docs/gft.md has the layout.
 *
 * A file is a header and blocks, one a sample, each with a checksum. Every so often one is a key block, which needs none
 * before it: there reading can begin, and a file can be cut. What has been appended is in the file, whatever becomes of the
 * process; a file may be read while it is written.
 */
#ifndef GPUFAS_SIM_GFT_H
#define GPUFAS_SIM_GFT_H

#include <stdbool.h>
#include <stdio.h>

#include "gpufas/bytecode.h"
#include "gpufas/err.h"
#include "gpufas/sample.h"

#define GFT_VERSION 2u            /* 1: without the guesses `cpu` and `rss`; is read */
#ifndef GFT_MAX_ROWS
#define GFT_MAX_ROWS (1u << 18)   /* processes at one time */
#endif
#define GFT_MAX_RAW (64u << 20)   /* bytes of one sample, unpacked */
#define GFT_KEY_EVERY 300u        /* samples from one key block to the next */

/* ---- writing ------------------------------------------------------------------ */

struct gft_writer_opts {
	const char *target;       /* its name */
	enum gf_target_kind kind;
	const char *hostname;     /* NULL: this machine's */
	const char *road;         /* how it was sampled: "bpf", "import from atop" */
	struct gf_fieldset has;
	const char *const *path;  /* has.paths kernel paths, in the order of their columns */
	uint64_t interval_ns;     /* meant; 0: not known */
	uint32_t budget_n;        /* of the daemon that recorded; 0: not known */
	uint64_t budget_window_ns;
	uint32_t key_every;       /* samples; 0: GFT_KEY_EVERY */
	int64_t wall_off_ns;      /* CLOCK_REALTIME - CLOCK_BOOTTIME of the target's; INT64_MIN: of this machine, as it is now */
	bool drop_unknown;        /* host fields unknown in the first sample are left out of "has" */
	bool drop_columns;        /* so are columns unknown for all processes of the first sample: of imports, where nothing comes later */
	bool replace;             /* a file that is there already is written over, not an error */
	bool sync;                /* to the disk at key blocks: for what is to outlive a power cut */
};

struct gft_writer_stats {
	uint64_t samples, rows;   /* rows: of all samples together, those in use */
	uint64_t bytes;           /* of the file */
	uint64_t raw;             /* before packing */
	uint64_t first_ns, last_ns;
};

struct gft_writer;

/* Makes the file; its header is written with the first sample. -EEXIST, -errno with a sentence. */
int gft_writer_create(const char *path, const struct gft_writer_opts *opts, struct gft_writer **ret, struct gf_err *err);
/* Before the first sample: these are not dropped, though it may not know them. */
void gft_writer_keep(struct gft_writer *w, const struct gf_fieldset *keep);
/* Before the first sample, later nothing: its kernel paths, instead of those of opts. -E2BIG, -EINVAL: one is there twice; -ENOMEM. */
int gft_writer_paths(struct gft_writer *w, const char *const *path, uint32_t n);
/* Before the first sample: what kind of target it is of, instead of that of opts. */
void gft_writer_kind(struct gft_writer *w, enum gf_target_kind kind);
/* Before the first sample: what the machine is called. */
void gft_writer_hostname(struct gft_writer *w, const char *name);
/* Appends a sample: when it returns 0 the sample is in the file. On an error (a full disk) the file is as it was before,
 * whole and readable; appending may be tried again, and goes on with a key block. Not for a tick: allocates and writes. */
int gft_writer_append(struct gft_writer *w, const struct gf_sample *s, struct gf_err *err);
/* The same where the wall clock is known otherwise. */
int gft_writer_append_at(struct gft_writer *w, const struct gf_sample *s, int64_t wall_off_ns, struct gf_err *err);
/* At this time sampling failed, and why: who replays sees it fail again. */
int gft_writer_failed(struct gft_writer *w, uint64_t now_ns, uint64_t seq, const char *why, struct gf_err *err);
void gft_writer_stats(const struct gft_writer *w, struct gft_writer_stats *ret);
/* Writes the index and closes. The recording is whole without the index too. A file without a sample is removed. */
int gft_writer_finish(struct gft_writer *w, struct gf_err *err);
/* Whether the file is still there by its name: it may have been removed, or put aside with its directory. */
bool gft_writer_there(const struct gft_writer *w);
/* Closes as a crash would. */
void gft_writer_abandon(struct gft_writer *w);

/* ---- reading ------------------------------------------------------------------ */

struct gft_info {
	char target[64], hostname[256], road[128], release[128];
	enum gf_target_kind kind;
	uint32_t version;
	struct gf_fieldset has;
	const char *path[GF_MAX_PATHS]; /* has.paths kernel paths */
	uint32_t budget_n;        /* of the daemon that recorded; 0: not known */
	uint64_t budget_window_ns;
	uint64_t interval_ns;     /* as meant by who wrote it; 0: not known */
	uint64_t first_ns, last_ns; /* CLOCK_BOOTTIME of the target */
	bool reboots;             /* the target was booted anew in it */
	int64_t wall_off_ns;      /* CLOCK_REALTIME - CLOCK_BOOTTIME at the first sample */
	int64_t last_wall_off_ns; /* in the last boot */
	uint64_t samples, keys, bytes;
	uint32_t max_rows;        /* rows that a table needs */
	bool indexed;             /* it was finished; otherwise being written, or cut */
	uint32_t unknown_fields;  /* fields that this version does not know: skipped */
	char cut[160];            /* "": whole; else where it ends or is damaged */
};

struct gft_reader;

/* Opens a recording and looks through its blocks. -ENOENT, -EBADMSG (no recording, or damaged before the first sample),
 * -ENOTSUP (a later version), -errno; err says what and where. */
int gft_reader_open(const char *path, struct gft_reader **ret, struct gf_err *err);
/* The same of a descriptor, which is taken over, also on failure. name: for sentences. */
int gft_reader_fd(int fd, const char *name, struct gft_reader **ret, struct gf_err *err);
void gft_reader_close(struct gft_reader *r);
const struct gft_info *gft_reader_info(const struct gft_reader *r);
/* The next sample into s, whose table was made by gf_sample_init and gf_sample_set_fields: columns that the recording lacks
 * are unknown. 0, -EAGAIN (sampling failed then: now_ns and seq are set, err says why), -ENODATA (the end; more may come where it is being written), -EBADMSG: damage, err says where; all before
 * it was usable, and the next call goes on behind it, if something is there. */
int gft_reader_next(struct gft_reader *r, struct gf_sample *s, struct gf_err *err);
/* The next sample will be the first at or after from_ns (0: the first of all). */
int gft_reader_rewind(struct gft_reader *r, uint64_t from_ns, struct gf_err *err);
/* Which kernel paths the path columns of samples are for, in their order; of those that the recording lacks they are unknown. */
int gft_reader_set_paths(struct gft_reader *r, const char *const *path, size_t n, struct gf_err *err);
/* As found by next: the wall clock's offset of the sample last read. */
int64_t gft_reader_wall_off(const struct gft_reader *r);
/* Of the block that the last sample, or failure, was read from: its number and checksum. */
uint64_t gft_reader_stamp(const struct gft_reader *r);

/* A recording as a feed (sim/feed.h), with rows enough for all that is in it. As gft_reader_open. */
struct gf_feed;
int gft_feed_open(const char *path, struct gf_feed **ret, struct gf_err *err);

#endif
