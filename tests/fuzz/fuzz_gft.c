/* SPDX-License-Identifier: MIT
 *
 * Recordings of whoever's making. The first byte of the input chooses: 'r' the file as it is; else a list of samples, of which
 * checksums, lengths and order are set right, or nothing would ever get behind them. Files are also mutated in pieces, and what must be
 * right of them (checksums, lengths, times, the index) is made so. What is read must be a sample: rows
 * within the table, parents that are there, texts that can be read to their ends; damage is said, and never an end without.
 */
#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <zstd.h>

#include "sim/gft_reader.h"
#include "targets/target.h"

#define ROWS 128u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static volatile uint32_t sink;

static void check(const struct gf_sample *s)
{
	uint32_t live = 0;

	assert(s->rows <= s->cap);
	for (uint32_t i = 0; i < s->rows; i++) {
		live += s->flags[i] != 0;
		assert(!s->flags[i] || s->flags[i] & GF_ROW_VALID);
		assert(s->parent[i] == GF_NONE || s->parent[i] < s->cap);
		assert(!s->comm[i][GF_COMM_LEN - 1]);
		for (int f = 0; f < GF_SF_COUNT; f++)
			for (uint32_t k = 0; s->str[f] && s->str[f][i].ver && k < s->str[f][i].len; k++)
				sink += (uint8_t)s->str[f][i].p[k];
	}
	assert(live == s->live);
}

static void read_all(int fd)
{
	struct gf_fieldset all = { GF_BIT(GF_HF_COUNT) - 1, GF_BIT(GF_TF_COUNT) - 1, (1u << GF_SF_COUNT) - 1, 2 };
	static struct gf_sample s; /* its rows are those of the input before: as where a recording begins anew */
	struct gft_reader *r;
	struct gf_err err = { "" };
	int rc;

	if (gft_reader_fd(fd, "fuzz", &r, &err)) {
		assert(*err.text);
		return;
	}
	const struct gft_info *info = gft_reader_info(r);
	assert(memchr(info->target, 0, sizeof info->target) && info->has.paths <= GF_MAX_PATHS);
	if (!s.cap && (gf_sample_init(&s, ROWS, NULL) || gf_sample_set_fields(&s, &all, NULL)))
		abort();
	gft_hide_texts(&s);
	for (int round = 0; round < 2; round++) {
		unsigned n = 0;
		while ((rc = gft_reader_next(r, &s, &err)) != -ENODATA && n++ < 5000) {
			assert(!rc || rc == -EBADMSG || rc == -EAGAIN);
			if (!rc)
				check(&s);
		}
		gft_reader_rewind(r, info->first_ns + (info->last_ns - info->first_ns) / 2, &err);
	}
	gft_reader_close(r);
}

static void put(int fd, const void *p, size_t n)
{
	if (write(fd, p, n) != (ssize_t)n)
		abort();
}

static void block(int fd, ZSTD_CCtx *z, uint8_t type, uint32_t number, const uint8_t *p, size_t n)
{
	static uint8_t packed[1 << 18];
	uint8_t head[GFT_BLOCK];
	struct gft_block b = { .type = type, .raw = (uint32_t)n, .number = number, .file_id = 7 };
	ZSTD_inBuffer in = { p, n, 0 };
	ZSTD_outBuffer out = { packed, sizeof packed, 0 };
	struct gft_in x = { p, p + n, false };

	gft_get_uint(&x);
	b.now_ns = (uint64_t)gft_get_int(&x);
	if (type == GFT_KEY)
		ZSTD_CCtx_reset(z, ZSTD_reset_session_only);
	ZSTD_compressStream2(z, &out, &in, ZSTD_e_flush);
	/* what the header says of rows is as the input has it, in its first byte or so */
	b.rows = n ? p[n - 1] : 0;
	b.stored = (uint32_t)out.pos;
	b.crc = gft_crc(packed, out.pos);
	gft_block_pack(&b, head);
	put(fd, head, sizeof head);
	put(fd, packed, out.pos);
}

/* Header and fields as a writer has them, then samples of raw bytes: length, type, bytes. And each is decoded for itself as
 * well, so that it need not say how many rows there will be. */
static void make(int fd, const uint8_t *p, size_t n)
{
	struct gft_writer_opts o = {
		.target = "fuzz", .has = { 0xff00ff, GF_BIT(GF_TF_COUNT) - 1, (1u << GF_SF_COUNT) - 1, 0 },
	};
	struct gft_cols c = { 0 };
	struct gft_buf meta = { 0 };
	struct gft_state st = { 0 };
	struct gf_err err;
	uint8_t head[GFT_HEADER];
	static ZSTD_CCtx *z;

	if (!z) {
		z = ZSTD_createCCtx();
		ZSTD_CCtx_setParameter(z, ZSTD_c_compressionLevel, 1);
		ZSTD_CCtx_setParameter(z, ZSTD_c_windowLog, 12);
	}
	gft_cols_of(&o, &c);
	gft_meta_write(&o, &c, &meta);
	gft_header_pack(&(struct gft_header){ .version = GFT_VERSION, .meta = (uint32_t)meta.n, .file_id = 7, .meta_crc = gft_crc(meta.p, meta.n) }, head);
	put(fd, head, sizeof head);
	put(fd, meta.p, meta.n);
	for (uint32_t i = 0; n >= 3; i++) {
		size_t len = GF_MIN((size_t)p[0] | (size_t)p[1] << 8, n - 3);
		block(fd, z, p[2] & 1 || !i ? GFT_KEY : GFT_DELTA, i, p + 3, len);
		if (p[2] & 1 || !i)
			gft_state_reset(&st, &c);
		if (gft_decode(&st, &c, p + 3, len, NULL, &err))
			gft_state_reset(&st, &c);
		for (uint32_t r = 0; r < st.rows; r++)
			assert(!st.flags[r] || st.parent[r] == GF_NONE || (st.parent[r] < st.rows && st.flags[st.parent[r]]));
		p += 3 + len;
		n -= 3 + len;
	}
	gft_state_deinit(&st, &c);
	gft_cols_deinit(&c);
	gft_buf_deinit(&meta);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int fd;

	if (!size)
		return 0;
	fd = memfd_create("gft", MFD_CLOEXEC);
	if (fd < 0)
		abort();
	if (*data == 'r')
		put(fd, data + 1, size - 1);
	else
		make(fd, data + 1, size - 1);
	read_all(fd);
	return 0;
}

/* ---- mutating ------------------------------------------------------------------------ */

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned int seed);

#define PARTS 64u        /* blocks of a file that is taken to pieces */
#define PART_ROOM 32768u

/* A file, in pieces: what its blocks hold, unpacked. */
struct piece {
	struct gft_block head;
	uint8_t *p;
	size_t n;
};
struct pieces {
	struct gft_header head;
	uint8_t meta[4096];
	size_t meta_n, n;
	struct piece v[PARTS];
};

static bool unpack(ZSTD_DCtx *z, const uint8_t *p, size_t n, struct piece *to)
{
	ZSTD_inBuffer in = { p, n, 0 };
	ZSTD_outBuffer out = { to->p, PART_ROOM, 0 };

	if (ZSTD_isError(ZSTD_decompressStream(z, &out, &in)) || in.pos != n)
		return false;
	to->n = out.pos;
	return true;
}

static bool take_apart(const uint8_t *p, size_t n, struct pieces *f)
{
	static ZSTD_DCtx *z;
	static uint8_t room[PARTS][PART_ROOM];
	size_t at;

	if (!z)
		z = ZSTD_createDCtx();
	f->n = 0;
	if (n < GFT_HEADER || gft_header_unpack(p, &f->head, NULL) || f->head.meta > sizeof f->meta || n - GFT_HEADER < f->head.meta)
		return false;
	f->meta_n = f->head.meta;
	memcpy(f->meta, p + GFT_HEADER, f->meta_n);
	for (at = GFT_HEADER + f->meta_n; n - at >= GFT_BLOCK && f->n < PARTS; f->n++) {
		struct piece *x = &f->v[f->n];
		x->p = room[f->n];
		if (!gft_block_unpack(p + at, &x->head) || x->head.stored > n - at - GFT_BLOCK)
			break;
		at += GFT_BLOCK;
		if (x->head.type == GFT_KEY)
			ZSTD_DCtx_reset(z, ZSTD_reset_session_only);
		if (x->head.type == GFT_INDEX)
			break;
		if (x->head.type == GFT_FAILED) {
			x->n = GF_MIN(x->head.stored, PART_ROOM);
			memcpy(x->p, p + at, x->n);
		} else if (!unpack(z, p + at, x->head.stored, x)) {
			break;
		}
		at += x->head.stored;
	}
	return f->n > 0;
}

static void put_index(const struct gft_buf *out, const uint32_t *at, const struct pieces *f, struct gft_buf *to)
{
	uint64_t samples = 0, rows = 0, last = 0, keys = 0, now = 0, pos = 0, number = 0;

	for (size_t i = 0; i < f->n; i++) {
		samples += f->v[i].head.type != GFT_FAILED;
		keys += f->v[i].head.type == GFT_KEY;
		rows = GF_MAX(rows, f->v[i].head.rows);
		last = f->v[i].head.now_ns;
	}
	gft_put_uint(to, samples);
	gft_put_uint(to, rows);
	gft_put_uint(to, last);
	gft_put_uint(to, keys);
	for (size_t i = 0; i < f->n; i++)
		if (f->v[i].head.type == GFT_KEY) {
			gft_put_int(to, (int64_t)(f->v[i].head.now_ns - now));
			gft_put_uint(to, at[i] - pos);
			gft_put_uint(to, f->v[i].head.number - number);
			now = f->v[i].head.now_ns;
			pos = at[i];
			number = f->v[i].head.number;
		}
}

static void add_block(struct gft_buf *out, struct gft_block *b, const void *p, size_t n)
{
	uint8_t head[GFT_BLOCK];

	b->stored = (uint32_t)n;
	b->crc = gft_crc(p, n);
	gft_block_pack(b, head);
	gft_put(out, head, sizeof head);
	gft_put(out, p, n);
}

/* The file again, with all that must be right: checksums, lengths, and what a sample's header repeats of it. */
static void put_together(struct pieces *f, bool index, struct gft_buf *out)
{
	static ZSTD_CCtx *z;
	static uint8_t packed[2 * PART_ROOM];
	uint8_t head[GFT_HEADER], foot[GFT_FOOTER];
	struct gft_info info = { 0 };
	struct gft_cols c = { 0 };
	struct gft_state st = { 0 };
	struct gft_buf list = { 0 };
	uint32_t at[PARTS];
	bool cols = !gft_meta_read((const char *)f->meta, f->meta_n, &info, &c, NULL);

	if (!z) {
		z = ZSTD_createCCtx();
		ZSTD_CCtx_setParameter(z, ZSTD_c_compressionLevel, 1);
		ZSTD_CCtx_setParameter(z, ZSTD_c_windowLog, 15);
	}
	f->head.meta = (uint32_t)f->meta_n;
	f->head.meta_crc = gft_crc(f->meta, f->meta_n);
	gft_header_pack(&f->head, head);
	gft_put(out, head, sizeof head);
	gft_put(out, f->meta, f->meta_n);
	for (size_t i = 0; i < f->n; i++) {
		struct piece *x = &f->v[i];
		x->head.file_id = f->head.file_id;
		at[i] = (uint32_t)out->n;
		if (x->head.type == GFT_FAILED) {
			x->head.raw = 0;
			add_block(out, &x->head, x->p, x->n);
			continue;
		}
		if (x->head.type == GFT_KEY || !i)
			ZSTD_CCtx_reset(z, ZSTD_reset_session_only);
		ZSTD_inBuffer in = { x->p, x->n, 0 };
		ZSTD_outBuffer to = { packed, sizeof packed, 0 };
		ZSTD_compressStream2(z, &to, &in, ZSTD_e_flush);
		if (x->head.type == GFT_KEY)
			gft_state_reset(&st, &c);
		if (cols && !gft_decode(&st, &c, x->p, x->n, NULL, NULL)) {
			x->head.rows = st.rows;
			x->head.now_ns = st.now_ns;
		}
		x->head.raw = (uint32_t)x->n;
		add_block(out, &x->head, packed, to.pos);
	}
	if (index) {
		struct gft_block b = { .type = GFT_INDEX, .number = (uint32_t)f->n, .file_id = f->head.file_id };
		put_index(out, at, f, &list);
		gft_footer_pack(out->n, f->head.file_id, foot);
		add_block(out, &b, list.p, list.n);
		gft_put(out, foot, sizeof foot);
	}
	gft_buf_deinit(&list);
	gft_state_deinit(&st, &c);
	gft_cols_deinit(&c);
}

static uint32_t next_random(uint32_t *x)
{
	*x = *x * 1664525u + 1013904223u;
	return *x >> 8;
}

/* One of its pieces is changed, moved, doubled or left out. */
static void change(struct pieces *f, uint32_t *x)
{
	size_t i = next_random(x) % f->n, k = next_random(x) % f->n;
	struct piece t = f->v[i];

	switch (next_random(x) % 12) {
	case 0:
		f->meta_n = LLVMFuzzerMutate(f->meta, f->meta_n, sizeof f->meta);
		break;
	case 1:
		f->v[i] = f->v[k];
		f->v[k] = t;
		break;
	case 2:
		f->n -= f->n > 1;
		memmove(&f->v[i], &f->v[i + 1], (f->n - i) * sizeof t);
		break;
	case 3:
		f->v[i].head.type = (uint8_t)(1 + next_random(x) % 4);
		break;
	case 4:
		f->head.version = 1 + next_random(x) % 2;
		break;
	case 5:
		f->v[i].head.number += next_random(x) % 3 - 1;
		break;
	default:
		f->v[i].n = LLVMFuzzerMutate(f->v[i].p, f->v[i].n, PART_ROOM);
	}
	if (next_random(x) % 8)
		for (size_t n = 0; n < f->n; n++)
			f->v[n].head.number = (uint32_t)n;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned int seed)
{
	static struct pieces f;
	struct gft_buf out = { 0 };
	uint32_t x = seed;

	if (!size || *data != 'r' || next_random(&x) % 4 == 0 || !take_apart(data + 1, size - 1, &f))
		return LLVMFuzzerMutate(data, size, max);
	change(&f, &x);
	put_together(&f, next_random(&x) % 2, &out);
	if (!out.failed && out.n < max) {
		memcpy(data + 1, out.p, out.n);
		size = out.n + 1;
	}
	gft_buf_deinit(&out);
	return size;
}
