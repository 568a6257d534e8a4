/* SPDX-License-Identifier: MIT */
#include "sim/gft_sizes.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sim/gft_reader.h"

/* A zstd stream as a recording's is, flushed after each sample. */
struct stream {
	ZSTD_CCtx *z;
	struct gft_buf in;
	uint64_t out;
};

struct tally {
	struct gft_tally is;
	struct gft_sizes *to;
	struct stream cost[GFT_COSTS];     /* a class as a whole */
	struct gft_buf each[GFT_COSTS][GFT_PARTS]; /* since the last key sample */
	uint64_t packed[GFT_COSTS][GFT_PARTS];
	uint64_t raw[GFT_COSTS][GFT_PARTS];
	uint8_t *mark;                     /* of rows, in this sample */
	uint32_t marks;
	unsigned texts;                    /* parts from here on are texts */
	bool key, failed;
	uint64_t stored;                   /* bytes of blocks without their headers */
};

/* Of a row in a sample; and what stays: samples since it came, up to LATE, and whether that was in a key sample. Texts are read by another
 * thread and come a sample or two late: they are still of the coming. */
enum { CAME = 1, MOVED = 2, WENT = 4, BY_KEY = 8, SINCE = 16, LATE = 3 };

static uint8_t *mark_of(struct tally *t, uint32_t row)
{
	if (row >= t->marks) {
		uint32_t n = GF_MAX(row + 1, 2 * t->marks);
		uint8_t *p = realloc(t->mark, n);
		if (!p) {
			t->failed = true;
			return NULL;
		}
		memset(p + t->marks, 0, n - t->marks);
		t->mark = p;
		t->marks = n;
	}
	return &t->mark[row];
}

static void bytes(struct gft_tally *is, unsigned part, uint32_t row, const uint8_t *p, size_t n)
{
	struct tally *t = (struct tally *)is;
	enum gft_cost cost = GFT_COST_FRAME;
	bool late = false;

	if (part == GFT_PART_HOST) {
		cost = GFT_COST_HOST;
	} else if (row != GF_NONE) {
		uint8_t *m = mark_of(t, row);
		if (!m)
			return;
		if (part == GFT_PART_COME || part == GFT_PART_GONE)
			*m |= part == GFT_PART_COME ? CAME : WENT;
		else if (part >= t->texts && *m / SINCE)
			late = true;
		else if (!(*m & CAME))
			*m |= MOVED;
		cost = t->key || (late && *m & BY_KEY) ? GFT_COST_KEY : late || *m & (CAME | WENT) ? GFT_COST_COMING : GFT_COST_STAYING;
	}
	gft_put(&t->cost[cost].in, p, n);
	gft_put(&t->each[cost][part], p, n);
	t->failed |= t->cost[cost].in.failed || t->each[cost][part].failed;
	t->raw[cost][part] += n;
}

static void flush(struct tally *t, struct stream *s)
{
	static char buf[1 << 16];
	ZSTD_inBuffer in = { s->in.p, s->in.n, 0 };
	size_t left = 0;

	if (!in.size)
		return;
	do {
		ZSTD_outBuffer out = { buf, sizeof buf, 0 };
		left = ZSTD_compressStream2(s->z, &out, &in, ZSTD_e_flush);
		s->out += out.pos;
	} while (left && !ZSTD_isError(left));
	t->failed |= left != 0;
	s->in.n = 0;
}

static void end_sample(struct tally *t)
{
	for (int i = 0; i < GFT_COSTS; i++)
		flush(t, &t->cost[i]);
	for (uint32_t r = 0; r < t->marks; r++) {
		uint8_t m = t->mark[r];
		t->to->goings += !t->key && m & WENT;
		t->to->comings += !t->key && m & CAME;
		t->to->key_rows += t->key && m & CAME;
		t->to->moving += !t->key && m & MOVED;
		if (m & CAME)
			t->mark[r] = (uint8_t)((LATE * SINCE) | (t->key ? BY_KEY : 0));
		else
			t->mark[r] = (uint8_t)(m / SINCE ? (m & ~(CAME | MOVED | WENT)) - SINCE : 0);
	}
}

static void end_group(struct tally *t)
{
	for (int i = 0; i < GFT_COSTS; i++) {
		for (int k = 0; k < GFT_PARTS; k++) {
			struct gft_buf *b = &t->each[i][k];
			size_t room = ZSTD_compressBound(b->n), n;
			void *to = b->n ? malloc(room) : NULL;
			if (to && !ZSTD_isError(n = ZSTD_compress(to, room, b->p, b->n, GFT_LEVEL)))
				t->packed[i][k] += n;
			t->failed |= b->n && !to;
			free(to);
			b->n = 0;
		}
		ZSTD_CCtx_reset(t->cost[i].z, ZSTD_reset_session_only);
	}
}

static void sample(struct gft_tally *is, bool key, size_t stored)
{
	struct tally *t = (struct tally *)is;

	end_sample(t);
	if (key)
		end_group(t);
	t->key = key;
	t->stored += stored;
	t->to->keys += key;
}

static const char *name_of(const struct gft_reader *r, unsigned part)
{
	static const char *const rows[GFT_PART_COLUMN] = {
		[GFT_PART_HEAD] = "time", [GFT_PART_GONE] = "end", [GFT_PART_COME] = "pid, start", [GFT_PART_FLAGS] = "flags",
		[GFT_PART_PARENT] = "parent", [GFT_PART_UID] = "user", [GFT_PART_COMM] = "comm", [GFT_PART_HOST] = "host",
	};
	unsigned i = part - GFT_PART_COLUMN, f;

	if (part < GFT_PART_COLUMN)
		return rows[part];
	if (i >= r->cols.tasks)
		return r->cols.str[i - r->cols.tasks] < 0 ? "?" : gft_text_name((unsigned)r->cols.str[i - r->cols.tasks]);
	f = (unsigned)r->cols.task[i].field;
	return r->cols.task[i].field < 0 ? "?" : f >= GF_TF_COUNT ? r->cols.path[f - GF_TF_COUNT] : gft_task_name(f);
}

/* Classes are scaled to what the file has, fields to their class. */
static void scale(struct tally *t, const struct gft_reader *r)
{
	struct gft_sizes *to = t->to;
	uint64_t sum = 0, of[GFT_COSTS] = { 0 };
	unsigned parts = GFT_PART_COLUMN + r->cols.tasks + r->cols.strs;

	for (int i = 0; i < GFT_COSTS; i++) {
		sum += t->cost[i].out;
		for (unsigned k = 0; k < parts; k++)
			of[i] += t->packed[i][k];
	}
	to->part = calloc(parts, sizeof *to->part);
	t->failed |= !to->part;
	to->parts = to->part ? parts : 0;
	for (int i = 0; i < GFT_COSTS; i++) {
		to->all[i].stored = sum ? (double)t->cost[i].out * (double)t->stored / (double)sum : 0;
		for (unsigned k = 0; k < to->parts; k++) {
			snprintf(to->part[k].name, sizeof to->part[k].name, "%s", name_of(r, k));
			to->part[k].size[i].raw = t->raw[i][k];
			to->part[k].size[i].stored = of[i] ? to->all[i].stored * (double)t->packed[i][k] / (double)of[i] : 0;
			to->all[i].raw += t->raw[i][k];
		}
	}
	to->all[GFT_COST_FRAME].stored += (double)(r->info.bytes - t->stored);
}

static int read_all(struct gft_reader *r, struct tally *t, struct gf_err *err)
{
	struct gf_sample s = { 0 };
	uint64_t rows = 0;
	int rc;

	while ((rc = gft_reader_next(r, &s, err)) != -ENODATA) {
		if (rc == -EAGAIN)
			continue;
		if (rc)
			return rc;
		t->to->samples++;
		rows += r->st.live;
		if (t->failed)
			return gf_err_set(err, ENOMEM, "out of memory");
	}
	end_sample(t);
	end_group(t);
	t->to->staying = rows - t->to->key_rows - t->to->comings;
	return 0;
}

int gft_sizes_of(const char *path, struct gft_sizes *ret, struct gf_err *err)
{
	struct tally *t = calloc(1, sizeof *t);
	struct gft_reader *r = NULL;
	int rc = t ? gft_reader_open(path, &r, err) : gf_err_set(err, ENOMEM, "out of memory");

	memset(ret, 0, sizeof *ret);
	for (int i = 0; i < GFT_COSTS && !rc; i++) {
		t->cost[i].z = ZSTD_createCCtx();
		if (!t->cost[i].z)
			rc = gf_err_set(err, ENOMEM, "out of memory");
		else
			gft_pack_as_always(t->cost[i].z);
	}
	if (!rc && !mark_of(t, 255))
		rc = gf_err_set(err, ENOMEM, "out of memory");
	if (!rc) {
		t->is = (struct gft_tally){ sample, bytes };
		t->to = ret;
		t->texts = GFT_PART_COLUMN + r->cols.tasks;
		r->tally = &t->is;
		rc = read_all(r, t, err);
	}
	if (!rc) {
		scale(t, r);
		rc = t->failed ? gf_err_set(err, ENOMEM, "out of memory") : 0;
	}
	for (int i = 0; t && i < GFT_COSTS; i++) {
		ZSTD_freeCCtx(t->cost[i].z);
		gft_buf_deinit(&t->cost[i].in);
		for (int k = 0; k < GFT_PARTS; k++)
			gft_buf_deinit(&t->each[i][k]);
	}
	free(t ? t->mark : NULL);
	free(t);
	gft_reader_close(r);
	if (rc)
		gft_sizes_deinit(ret);
	return rc;
}

void gft_sizes_deinit(struct gft_sizes *s)
{
	free(s->part);
	memset(s, 0, sizeof *s);
}

double gft_sizes_steady(const struct gft_sizes *s)
{
	uint64_t n = s->staying + s->key_rows;

	return n ? (s->all[GFT_COST_STAYING].stored + s->all[GFT_COST_KEY].stored) / (double)n : 0;
}
