/* SPDX-License-Identifier: MIT
 *
 * Inside a reader of recordings: gft_open.c looks through the blocks, gft_read.c takes them one after the other, gft_show.c
 * makes samples of them.
 */
#ifndef GPUFAS_SIM_GFT_READER_H
#define GPUFAS_SIM_GFT_READER_H

#include <sys/types.h>
#include <zstd.h>

#include "sim/gft_int.h"

#define GFT_SEARCH (64u << 10)

struct gft_key {
	uint64_t now_ns, at;
	uint32_t number;
};

struct gft_reader {
	int fd;
	char *name;
	struct gft_info info;
	struct gft_cols cols;
	struct gft_state st;
	uint32_t file_id;
	uint64_t body;       /* where blocks begin */
	uint64_t end;        /* of the file, as last looked */
	uint64_t at;         /* the next block to read */
	uint32_t number;     /* that it should have */
	bool in_group;       /* a key block was read, and all since */
	bool skipping;       /* damage was reported: key blocks only, and later ones */
	uint64_t from_ns;    /* samples before it are not shown; 0: all are */
	uint64_t failed_ns, failed_seq; /* of a sample that failed */
	uint64_t stamp;      /* of the last block: its number and its checksum */
	int16_t path[GF_MAX_PATHS];     /* of the wanted paths: which of the recording's; -1: none */
	uint64_t done;       /* samples read without a break from the first */
	struct gft_key *key;
	size_t keys, keys_cap;
	struct gft_buf packed, raw;
	struct gft_tally *tally; /* NULL: nobody asks */
	ZSTD_DCtx *z;
};

/* n bytes at `at`, or less at the end of the file. -errno. */
ssize_t gft_read_at(const struct gft_reader *r, uint64_t at, void *to, size_t n);
enum gft_found { GFT_HERE, GFT_END, GFT_SHORT, GFT_JUNK, GFT_UNREADABLE };
/* The block header at `at`. GFT_SHORT: the file ends inside the block. */
enum gft_found gft_block_at(struct gft_reader *r, uint64_t at, struct gft_block *ret);
/* The next place at or after `at` where a block of this recording begins; the end of the file where there is none. */
uint64_t gft_find_block(struct gft_reader *r, uint64_t at);
/* What is wrong with the recording; only the first is kept. */
__attribute__((format(printf, 2, 3)))
void gft_cut(struct gft_reader *r, const char *fmt, ...);
/* What is in r->st, into s. */
void gft_show(struct gft_reader *r, struct gf_sample *s);
void gft_hide_texts(struct gf_sample *s);

#endif
