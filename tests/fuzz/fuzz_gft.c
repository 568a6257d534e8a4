/* SPDX-License-Identifier: MIT
 *
 * Recordings of whoever's making. The first byte of the input chooses: 'r' the file as it is; else a list of samples, of which
 * checksums, lengths and order are set right, or nothing would ever get behind them. What is read must be a sample: rows
 * within the table, parents that are there, texts that can be read to their ends; damage is said, and never an end without.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <zstd.h>

#include "sim/gft_int.h"
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
	struct gft_reader *r;
	struct gf_sample s;
	struct gf_err err = { "" };
	int rc;

	if (gft_reader_fd(fd, "fuzz", &r, &err)) {
		assert(*err.text);
		return;
	}
	const struct gft_info *info = gft_reader_info(r);
	assert(memchr(info->target, 0, sizeof info->target) && info->has.paths <= GF_MAX_PATHS);
	if (gf_sample_init(&s, ROWS, NULL) || gf_sample_set_fields(&s, &all, NULL))
		abort();
	for (int round = 0; round < 2; round++) {
		unsigned n = 0;
		while ((rc = gft_reader_next(r, &s, &err)) != -ENODATA && n++ < 5000) {
			assert(!rc || rc == -EBADMSG || rc == -EAGAIN);
			if (!rc)
				check(&s);
		}
		gft_reader_rewind(r, info->first_ns + (info->last_ns - info->first_ns) / 2, &err);
	}
	gf_sample_deinit(&s);
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
