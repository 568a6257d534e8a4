/* SPDX-License-Identifier: MIT
 *
 * Nothing in a recording is trusted: a block is looked at when its checksum is right, taken when it follows the one before,
 * and its sample when it makes sense.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "sim/gft_reader.h"

static int no_memory(struct gf_err *err)
{
	return gf_err_set(err, ENOMEM, "out of memory");
}

static bool fit(struct gft_buf *b, size_t n)
{
	if (b->cap < n) {
		uint8_t *p = realloc(b->p, n);
		if (!p)
			return false;
		b->p = p;
		b->cap = n;
	}
	return true;
}

/* Unpacks what is stored. No more memory than comes out of it: a header may claim anything. */
static int unpack(struct gft_reader *r, const struct gft_block *b, struct gf_err *err)
{
	ZSTD_inBuffer in = { r->packed.p, b->stored, 0 };
	size_t cap = GF_MIN((size_t)b->raw, GF_MAX((size_t)b->stored * 8, (size_t)GFT_SEARCH)) + 1;

	if (b->type == GFT_KEY)
		ZSTD_DCtx_reset(r->z, ZSTD_reset_session_only);
	r->raw.n = 0;
	for (;;) {
		if (!fit(&r->raw, cap))
			return no_memory(err);
		ZSTD_outBuffer out = { r->raw.p, GF_MIN(cap, (size_t)b->raw + 1), r->raw.n };
		size_t left = ZSTD_decompressStream(r->z, &out, &in);
		size_t came = out.pos - r->raw.n;
		r->raw.n = out.pos;
		if (ZSTD_isError(left))
			return gf_err_set(err, EBADMSG, "it cannot be unpacked (%s)", ZSTD_getErrorName(left));
		if (r->raw.n > b->raw || (!left && in.pos < in.size))
			return gf_err_set(err, EBADMSG, "it holds more than it says");
		if (out.pos == out.size)
			cap = GF_MIN(cap * 4, (size_t)b->raw + 1);
		else if (!came || in.pos == in.size)
			break;
	}
	if (r->raw.n != b->raw || in.pos != in.size)
		return gf_err_set(err, EBADMSG, "it holds less than it says");
	return 0;
}

static int take(struct gft_reader *r, const struct gft_block *b, struct gf_err *err)
{
	uint64_t before = r->st.now_ns;
	uint32_t epoch = r->st.epoch;
	bool follows = r->in_group;
	int rc;

	if (!fit(&r->packed, b->stored + 1u))
		return no_memory(err);
	if (gft_read_at(r, r->at + GFT_BLOCK, r->packed.p, b->stored) != (ssize_t)b->stored)
		return gf_err_set(err, EBADMSG, "it cannot be read");
	if (gft_crc(r->packed.p, b->stored) != b->crc)
		return gf_err_set(err, EBADMSG, "its checksum is wrong");
	rc = unpack(r, b, err);
	if (rc)
		return rc;
	if (b->type == GFT_KEY) {
		gft_state_reset(&r->st, &r->cols);
		r->st.wall_off_ns = 0;
	}
	if (r->tally)
		r->tally->sample(r->tally, b->type == GFT_KEY, b->stored);
	rc = gft_decode(&r->st, &r->cols, r->raw.p, r->raw.n, r->tally, err);
	if (!rc && (r->st.now_ns != b->now_ns || r->st.rows != b->rows))
		rc = gf_err_set(err, EBADMSG, "its header and its sample differ");
	if (!rc && follows && r->st.now_ns < before && r->st.epoch == epoch)
		rc = gf_err_set(err, EBADMSG, "its time is before that of the sample before");
	return rc;
}

/* -EAGAIN: said; -EBADMSG. */
static int take_failed(struct gft_reader *r, const struct gft_block *b, struct gf_err *err)
{
	uint8_t p[GFT_MAX_WHY + 10];

	if (b->raw || b->stored > sizeof p)
		return gf_err_set(err, EBADMSG, "it is too long for what it is");
	if (gft_read_at(r, r->at + GFT_BLOCK, p, b->stored) != (ssize_t)b->stored)
		return gf_err_set(err, EBADMSG, "it cannot be read");
	if (gft_crc(p, b->stored) != b->crc)
		return gf_err_set(err, EBADMSG, "its checksum is wrong");
	struct gft_in in = { p, p + b->stored, false };
	r->failed_seq = gft_get_uint(&in);
	r->failed_ns = b->now_ns;
	if (in.bad)
		return gf_err_set(err, EBADMSG, "its sample's head is damaged");
	return gf_err_set(err, EAGAIN, "%.*s", (int)(in.end - in.p), (const char *)in.p);
}

/* Damage at r->at: said once, and reading goes on at the next key block. */
static int damaged(struct gft_reader *r, const char *what, struct gf_err *err)
{
	char n[64] = "";

	if (r->done)
		snprintf(n, sizeof n, "; the %llu samples before it are whole", (unsigned long long)r->done);
	gft_cut(r, "it is damaged at byte %llu: %.80s", (unsigned long long)r->at, what);
	gf_err_set(err, EBADMSG, "%s is damaged at byte %llu (block %u): %s%s", r->name, (unsigned long long)r->at, r->number, what, n);
	r->in_group = false;
	r->skipping = true;
	r->at = gft_find_block(r, r->at + 1);
	return -EBADMSG;
}

#define FAILED_THEN 1
/* One block further: 0 a sample is in r->st; FAILED_THEN; -EAGAIN none, go on; -ENODATA; -EBADMSG; -errno. */
static int step(struct gft_reader *r, struct gf_err *err)
{
	struct gft_block b = { 0 };
	struct gf_err why = { "" };
	struct stat st;
	int rc;

	if (r->at >= r->end && !r->info.indexed && !fstat(r->fd, &st))
		r->end = GF_MAX(r->end, (uint64_t)st.st_size); /* it is being written, perhaps */
	switch (gft_block_at(r, r->at, &b)) {
	case GFT_END:
		return -ENODATA;
	case GFT_UNREADABLE:
		return gf_err_set(err, errno, "%s: %s", r->name, strerror(errno));
	case GFT_SHORT:
		if (!fstat(r->fd, &st) && (uint64_t)st.st_size > r->end) {
			r->end = (uint64_t)st.st_size;
			return -EAGAIN;
		}
		/* the end, unless blocks follow: then the length is a lie */
		if (gft_find_block(r, r->at + 1) == r->end)
			return -ENODATA;
		return r->skipping ? (r->at = gft_find_block(r, r->at + 1), -EAGAIN) : damaged(r, "its length is wrong", err);
	case GFT_JUNK:
		if (r->skipping) {
			r->at = gft_find_block(r, r->at + 1);
			return -EAGAIN;
		}
		return damaged(r, "no block begins here", err);
	case GFT_HERE:
		break;
	}
	if (b.type == GFT_INDEX) {
		r->at += GFT_BLOCK + b.stored + GFT_FOOTER;
		return -EAGAIN;
	}
	if (r->skipping && (b.type != GFT_KEY || b.number < r->number)) {
		r->at += GFT_BLOCK + b.stored;
		return -EAGAIN;
	}
	if (!r->skipping && b.number != r->number) {
		char what[80];
		snprintf(what, sizeof what, "block %u is here: one is missing, or they are out of order", b.number);
		return damaged(r, what, err);
	}
	if (b.type == GFT_DELTA && !r->in_group)
		return damaged(r, "it begins with a change from what is not there", err);
	rc = b.type == GFT_FAILED ? take_failed(r, &b, &why) : take(r, &b, &why);
	if (rc == -EAGAIN) {
		r->at += GFT_BLOCK + b.stored;
		r->number = b.number + 1;
		r->stamp = (uint64_t)b.number << 32 | b.crc;
		if (err)
			*err = why;
		return FAILED_THEN;
	}
	if (rc == -EBADMSG) {
		r->number = b.number;
		return damaged(r, why.text, err);
	}
	if (rc)
		return gf_err_set(err, -rc, "%s: %s", r->name, why.text);
	r->in_group = true;
	r->skipping = false;
	r->at += GFT_BLOCK + b.stored;
	r->number = b.number + 1;
	r->stamp = (uint64_t)b.number << 32 | b.crc;
	r->done++;
	return 0;
}

int gft_reader_next(struct gft_reader *r, struct gf_sample *s, struct gf_err *err)
{
	uint64_t done = r->done;
	int rc;

	do {
		rc = step(r, err);
		if ((!rc && r->from_ns && r->st.now_ns < r->from_ns) || (rc == FAILED_THEN && r->failed_ns < r->from_ns))
			rc = -EAGAIN;
	} while (rc == -EAGAIN);
	if (rc == FAILED_THEN) {
		s->now_ns = r->failed_ns;
		s->seq = r->failed_seq;
		rc = -EAGAIN;
	}
	if (rc) {
		if ((rc != -ENODATA && rc != -EAGAIN) || r->done != done)
			gft_hide_texts(s);
		return rc;
	}
	r->from_ns = 0;
	gft_show(r, s);
	return 0;
}

int gft_reader_set_paths(struct gft_reader *r, const char *const *path, size_t n, struct gf_err *err)
{
	if (n > GF_MAX_PATHS)
		return gf_err_set(err, EINVAL, "more than %u kernel paths", GF_MAX_PATHS);
	for (size_t i = 0; i < GF_MAX_PATHS; i++) {
		r->path[i] = -1;
		for (uint32_t k = 0; i < n && k < r->cols.paths; k++)
			if (!strcmp(path[i], r->cols.path[k]))
				r->path[i] = (int16_t)k;
	}
	return 0;
}

int gft_reader_rewind(struct gft_reader *r, uint64_t from_ns, struct gf_err *err)
{
	size_t k = 0;

	(void)err;
	while (k + 1 < r->keys && from_ns && r->key[k + 1].now_ns <= from_ns)
		k++;
	/* at the very first block, also where that is damaged: it is to be heard of */
	r->at = k ? r->key[k].at : r->body;
	r->number = k ? r->key[k].number : 0;
	r->in_group = r->skipping = false;
	r->from_ns = from_ns;
	r->done = 0;
	return 0;
}
