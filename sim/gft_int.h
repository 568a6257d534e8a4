/* SPDX-License-Identifier: MIT
 *
 * Inside .gft: what writer and reader share.
 */
#ifndef GPUFAS_SIM_GFT_INT_H
#define GPUFAS_SIM_GFT_INT_H

#include <zstd.h>

#include "sim/gft.h"

#define GFT_HEADER 64u
#define GFT_BLOCK 40u
#define GFT_FOOTER 24u
#define GFT_MAX_META (64u << 10)
#define GFT_MAX_COLS 80u       /* of the host, and of tasks */
#define GFT_MAX_STRS 16u
#define GFT_MAX_TEXT 4096u       /* one string of a task */
#define GFT_MAX_WHY 160u         /* why a sample failed */
#define GFT_WINDOW_LOG 20
#define GFT_LEVEL 3
#define GFT_EXACT (1ll << 53)    /* whole numbers up to here are exact doubles */

enum gft_type { GFT_KEY = 1, GFT_DELTA = 2, GFT_INDEX = 3, GFT_FAILED = 4 };

/* What a value is expected to be, so that only what differs is written. */
enum gft_guess { GFT_AS_BEFORE, GFT_NOW, GFT_AGE, GFT_PID, GFT_UID, GFT_CPU, GFT_RSS, GFT_GUESSES };
/* Sums: cputime is of utime and stime, rss of anon, file and shmem. What of the sum's change the parts so far do not explain is what the next has. */
#define GFT_SUMS 2u
enum gft_role { GFT_NO_SUM, GFT_WHOLE, GFT_PART };

/* One numeric column of a file. */
struct gft_col {
	int16_t field;   /* enum gf_host_field or gf_task_field, GF_TF_COUNT + kernel path; -1: none that we know */
	uint8_t decimals;/* values are whole numbers after multiplication by ten to this power */
	uint8_t guess;   /* enum gft_guess */
	uint8_t role, sum; /* enum gft_role; in which sum */
};

struct gft_cols {
	struct gft_col host[GFT_MAX_COLS], task[GFT_MAX_COLS];
	int16_t str[GFT_MAX_STRS]; /* enum gf_str_field, -1 */
	uint32_t hosts, tasks, strs;
	char *path[GF_MAX_PATHS]; /* malloc'ed */
	uint32_t paths;
};

struct gft_text {
	char *p;         /* malloc'ed; NULL where it is not known */
	uint32_t len;
	uint32_t ver;    /* writer: of the sample's; reader: its own; 0: not known */
	uint32_t last;   /* reader: the version that what is in p has, known or not */
};

/* The sample as it was last written or read. Writer and reader go through the same states. */
struct gft_state {
	uint32_t cap;    /* rows that there is memory for */
	uint32_t rows, live, dropped, epoch;
	uint64_t now_ns, seq;
	int64_t wall_off_ns;
	uint8_t *flags;
	int32_t *pid;
	uint64_t *start;
	uint32_t *parent, *uid;
	char (*comm)[GF_COMM_LEN];
	uint32_t next_ver; /* reader's */
	uint8_t *fresh;  /* came in this sample */
	double *left[GFT_SUMS], *old; /* of the sums; a column before it is worked on */
	uint32_t *list;  /* rows of one list, while it is worked on */
	size_t list_cap;
	double *task[GFT_MAX_COLS];
	struct gft_text *str[GFT_MAX_STRS];
	double host[GFT_MAX_COLS];
};

/* A growing buffer. */
struct gft_buf {
	uint8_t *p;
	size_t n, cap;
	bool failed;     /* out of memory */
};

struct gft_block {
	uint8_t type;
	uint32_t stored, raw; /* bytes in the file behind the header, and unpacked */
	uint32_t number;      /* counts from 0 */
	uint32_t file_id;     /* of the header: blocks of another recording are foreign */
	uint32_t rows;
	uint64_t now_ns;
	uint32_t crc;         /* of what is stored */
};

struct gft_header {
	uint32_t version, meta, kind;
	uint32_t file_id;
	uint64_t interval_ns;
	uint64_t created_ns;  /* CLOCK_REALTIME */
	uint32_t meta_crc;
};

/* gft_state.c */
int gft_state_grow(struct gft_state *st, const struct gft_cols *c, uint32_t rows); /* -ENOMEM */
void gft_state_reset(struct gft_state *st, const struct gft_cols *c); /* as before the first sample; memory stays, texts too */
void gft_state_clear_row(struct gft_state *st, const struct gft_cols *c, uint32_t row);
void gft_state_deinit(struct gft_state *st, const struct gft_cols *c);
/* What column c of a row (or of the host: row GF_NONE) is expected to be. */
double gft_guess(const struct gft_state *st, const struct gft_col *c, const double *col, uint32_t row);
void gft_state_begin(struct gft_state *st); /* another sample */
/* Before a column is worked on, and after: for the sums that it is in. */
void gft_sum_begin(struct gft_state *st, const struct gft_col *c, const double *col);
void gft_sum_end(struct gft_state *st, const struct gft_col *c, const double *col);
/* v as a whole number of units of ten to the minus decimals, exactly, or false. */
bool gft_whole(double v, uint8_t decimals, int64_t *ret);
double gft_unwhole(int64_t n, uint8_t decimals);
bool gft_same(double a, double b); /* the same bits, or both unknown */
int gft_state_list(struct gft_state *st, size_t n); /* room for n in list. -ENOMEM */
/* Steps that whole numbers come in: pages, kB, clock ticks. A number is written in the largest that divides its change. */
#define GFT_UNITS 8u
extern const int64_t gft_unit[GFT_UNITS];

/* gft_buf.c */
void gft_put(struct gft_buf *b, const void *p, size_t n);
void gft_put_uint(struct gft_buf *b, uint64_t v);    /* LEB128 */
void gft_put_int(struct gft_buf *b, int64_t v);      /* zigzag */
void gft_buf_deinit(struct gft_buf *b);
static inline uint64_t gft_zigzag(int64_t v) { return ((uint64_t)v << 1) ^ (uint64_t)(v >> 63); }
static inline int64_t gft_unzigzag(uint64_t v) { return (int64_t)(v >> 1) ^ -(int64_t)(v & 1); }

/* Reads out of a buffer; past its end, or on a number too long, bad is set and 0 is read. */
struct gft_in {
	const uint8_t *p, *end;
	bool bad;
};
uint64_t gft_get_uint(struct gft_in *in);
int64_t gft_get_int(struct gft_in *in);
const uint8_t *gft_get(struct gft_in *in, size_t n); /* NULL: not so many */

/* gft_head.c: file and block headers; packing fills the checksums in, unpacking says false where one is wrong. */
void gft_header_pack(const struct gft_header *h, uint8_t to[GFT_HEADER]);
int gft_header_unpack(const uint8_t from[GFT_HEADER], struct gft_header *ret, struct gf_err *err);
void gft_block_pack(const struct gft_block *b, uint8_t to[GFT_BLOCK]);
bool gft_block_unpack(const uint8_t from[GFT_BLOCK], struct gft_block *ret);
uint32_t gft_crc(const void *p, size_t n);
void gft_footer_pack(uint64_t at, uint32_t file_id, uint8_t to[GFT_FOOTER]);
bool gft_footer_unpack(const uint8_t from[GFT_FOOTER], uint32_t file_id, uint64_t *ret_at);
static inline void gft_le32(uint8_t *p, uint32_t v) { for (int i = 0; i < 4; i++) p[i] = (uint8_t)(v >> 8 * i); }
static inline void gft_le64(uint8_t *p, uint64_t v) { for (int i = 0; i < 8; i++) p[i] = (uint8_t)(v >> 8 * i); }
static inline uint32_t gft_ld32(const uint8_t *p) { return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24; }
static inline uint64_t gft_ld64(const uint8_t *p) { return gft_ld32(p) | (uint64_t)gft_ld32(p + 4) << 32; }

/* gft_meta.c: the text behind the header. */
void gft_cols_of(const struct gft_writer_opts *o, struct gft_cols *ret);
void gft_cols_deinit(struct gft_cols *c);
void gft_col_role(struct gft_col *c);
void gft_meta_write(const struct gft_writer_opts *o, const struct gft_cols *c, struct gft_buf *to);
const char *gft_task_name(unsigned field);
const char *gft_text_name(unsigned field);
int gft_meta_read(const char *text, size_t n, struct gft_info *info, struct gft_cols *c, struct gf_err *err);

/* Parts of a sample as they follow each other; then a column each, then a text column each. */
enum gft_part { GFT_PART_HEAD, GFT_PART_GONE, GFT_PART_COME, GFT_PART_FLAGS, GFT_PART_PARENT, GFT_PART_UID, GFT_PART_COMM, GFT_PART_HOST,
		GFT_PART_COLUMN, GFT_PARTS = GFT_PART_COLUMN + GFT_MAX_COLS + GFT_MAX_STRS };
/* Who wants to know what bytes are for (gft_sizes.c): told of all of them, in order. row: which of the table, or column of the host;
 * GF_NONE: of none. */
struct gft_tally {
	void (*sample)(struct gft_tally *t, bool key, size_t stored); /* before its parts; stored: bytes in the file behind the block's header */
	void (*bytes)(struct gft_tally *t, unsigned part, uint32_t row, const uint8_t *p, size_t n);
};

/* gft_enc.c: s, as a change from st, into b; st becomes s. -ENOMEM, -E2BIG (with a sentence): st is of no use then. */
int gft_encode(struct gft_state *st, const struct gft_cols *c, const struct gf_sample *s, int64_t wall_off_ns, struct gft_buf *b,
	       struct gf_err *err);
/* gft_write.c: as every recording is packed. */
void gft_pack_as_always(ZSTD_CCtx *z);
/* gft_dec.c: the reverse. -EBADMSG with what is wrong, -ENOMEM; st is of no use then. */
int gft_decode(struct gft_state *st, const struct gft_cols *c, const uint8_t *p, size_t n, struct gft_tally *tally, struct gf_err *err);

#endif
