/* SPDX-License-Identifier: MIT
 *
 * Nothing in a recording is trusted: a block is looked at when its checksum is right, taken when it follows the one before,
 * and its sample when it makes sense. The index is a hint: what it points to must be what it says.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>

#include "sim/gft_int.h"

#define SEARCH (64u << 10)

struct key {
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
	int16_t path[GF_MAX_PATHS];     /* of the wanted paths: which of the recording's; -1: none */
	uint64_t done;       /* samples read without a break from the first */
	struct key *key;
	size_t keys, keys_cap;
	struct gft_buf packed, raw;
	ZSTD_DCtx *z;
};

static int no_memory(struct gf_err *err)
{
	return gf_err_set(err, ENOMEM, "out of memory");
}

/* n bytes at `at`, or less at the end of the file. -errno. */
static ssize_t read_at(const struct gft_reader *r, uint64_t at, void *to, size_t n)
{
	size_t done = 0;

	while (done < n) {
		ssize_t k = pread(r->fd, (char *)to + done, n - done, (off_t)(at + done));
		if (k < 0 && errno == EINTR)
			continue;
		if (k < 0)
			return -errno;
		if (!k)
			break;
		done += (size_t)k;
	}
	return (ssize_t)done;
}

enum found { BLOCK, END, SHORT, JUNK, FAILED };

/* The block header at `at`. SHORT: the file ends inside the block. */
static enum found block_at(struct gft_reader *r, uint64_t at, struct gft_block *ret)
{
	uint8_t head[GFT_BLOCK];
	ssize_t n;

	if (at >= r->end)
		return END;
	n = read_at(r, at, head, sizeof head);
	if (n < 0)
		return FAILED;
	if (n < (ssize_t)sizeof head)
		return n && memcmp(head, "GFTb", (size_t)GF_MIN(n, 4)) ? JUNK : SHORT;
	if (!gft_block_unpack(head, ret) || ret->file_id != r->file_id)
		return JUNK;
	return at + GFT_BLOCK + ret->stored > r->end ? SHORT : BLOCK;
}

/* The next place at or after `at` where a block of this recording begins; the end of the file where there is none. */
static uint64_t find_block(struct gft_reader *r, uint64_t at)
{
	static const char magic[4] = { 'G', 'F', 'T', 'b' };
	uint8_t *buf = malloc(SEARCH);
	struct gft_block b;

	while (buf && at < r->end) {
		ssize_t n = read_at(r, at, buf, SEARCH);
		if (n < 4)
			break;
		for (uint8_t *p = buf; (p = memmem(p, (size_t)(buf + n - p), magic, sizeof magic)); p++) {
			enum found f = block_at(r, at + (uint64_t)(p - buf), &b);
			if (f == BLOCK || f == SHORT) {
				at += (uint64_t)(p - buf);
				free(buf);
				return at;
			}
		}
		at += (uint64_t)n - 3;
	}
	free(buf);
	return r->end;
}

/* ---- opening ------------------------------------------------------------------ */

static int read_header(struct gft_reader *r, struct gf_err *err)
{
	uint8_t head[GFT_HEADER];
	struct gft_header h;
	struct gf_err why = { "" };
	ssize_t n = read_at(r, 0, head, sizeof head);
	char *meta;
	int rc;

	if (n < 0)
		return gf_err_set(err, (int)-n, "%s: %s", r->name, strerror((int)-n));
	if (n < (ssize_t)sizeof head) {
		bool ours = n >= 4 && !memcmp(head, "\x89GFT", 4);
		return gf_err_set(err, EBADMSG, n && !ours ? "%s is no recording of gpufas (import reads those of other tools)" :
				  "%s is a recording that ends before its first sample", r->name);
	}
	rc = gft_header_unpack(head, &h, &why);
	if (rc)
		return gf_err_set(err, -rc, "%s %s", r->name, why.text);
	r->file_id = h.file_id;
	r->body = GFT_HEADER + h.meta;
	r->info.kind = (enum gf_target_kind)h.kind;
	r->info.version = h.version;
	r->info.interval_ns = h.interval_ns;
	meta = malloc(h.meta + 1u);
	if (!meta)
		return no_memory(err);
	n = read_at(r, GFT_HEADER, meta, h.meta);
	if (n != (ssize_t)h.meta)
		rc = gf_err_set(err, EBADMSG, "%s is a recording that ends before its first sample", r->name);
	else if (gft_crc(meta, h.meta) != h.meta_crc)
		rc = gf_err_set(err, EBADMSG, "%s: its list of fields is damaged", r->name);
	else if ((rc = gft_meta_read(meta, h.meta, &r->info, &r->cols, &why)))
		gf_err_set(err, -rc, "%s: %s", r->name, why.text);
	free(meta);
	return rc;
}

static int add_key(struct gft_reader *r, const struct gft_block *b, uint64_t at, struct gf_err *err)
{
	if (r->keys == r->keys_cap) {
		size_t cap = r->keys_cap ? 2 * r->keys_cap : 64;
		struct key *v = realloc(r->key, cap * sizeof *v);
		if (!v)
			return no_memory(err);
		r->key = v;
		r->keys_cap = cap;
	}
	r->key[r->keys++] = (struct key){ b->now_ns, at, b->number };
	return 0;
}

__attribute__((format(printf, 2, 3)))
static void cut(struct gft_reader *r, const char *fmt, ...)
{
	va_list ap;

	if (r->info.cut[0])
		return; /* the first is what counts */
	va_start(ap, fmt);
	vsnprintf(r->info.cut, sizeof r->info.cut, fmt, ap);
	va_end(ap);
}

/* From block to block; what they hold is not looked at. */
static int scan(struct gft_reader *r, struct gf_err *err)
{
	uint64_t at = r->body;
	struct gft_block b;
	int rc = 0;

	while (!rc && at < r->end) {
		switch (block_at(r, at, &b)) {
		case BLOCK:
			if (b.type == GFT_KEY)
				rc = add_key(r, &b, at, err);
			if (b.type == GFT_KEY || b.type == GFT_DELTA) {
				r->info.first_ns = r->info.samples ? r->info.first_ns : b.now_ns;
				r->info.last_ns = b.now_ns;
				r->info.max_rows = GF_MAX(r->info.max_rows, b.rows);
				r->info.samples++;
			}
			at += GFT_BLOCK + b.stored;
			if (b.type == GFT_INDEX)
				at += GFT_FOOTER;
			continue;
		case SHORT:
			cut(r, "it ends inside a block at byte %llu: it is being written, or was cut", (unsigned long long)at);
			at = find_block(r, at + 1); /* a length that is a lie */
			continue;
		case JUNK:
			cut(r, "it is damaged at byte %llu", (unsigned long long)at);
			at = find_block(r, at + 1);
			continue;
		case FAILED:
			rc = gf_err_set(err, errno, "%s: %s", r->name, strerror(errno));
			break;
		case END:
			at = r->end;
			break;
		}
	}
	r->info.keys = r->keys;
	return rc;
}

/* Where each key block is said to be there must be one, and no time wasted on the others. */
static bool read_index(struct gft_reader *r, struct gf_err *err)
{
	uint8_t foot[GFT_FOOTER];
	struct gft_block b, k;
	uint64_t at, keys, samples, max_rows, last_ns, pos = 0, now = 0, number = 0;

	if (r->end < r->body + GFT_BLOCK + GFT_FOOTER || read_at(r, r->end - GFT_FOOTER, foot, sizeof foot) != sizeof foot ||
	    !gft_footer_unpack(foot, r->file_id, &at) || at < r->body || at >= r->end || block_at(r, at, &b) != BLOCK ||
	    b.type != GFT_INDEX || at + GFT_BLOCK + b.stored + GFT_FOOTER != r->end)
		return false;
	r->packed.n = 0;
	uint8_t *p = malloc(b.stored + 1u);
	bool ok = p && read_at(r, at + GFT_BLOCK, p, b.stored) == (ssize_t)b.stored && gft_crc(p, b.stored) == b.crc;
	struct gft_in in = { p, p ? p + b.stored : p, !ok };
	samples = gft_get_uint(&in);
	max_rows = gft_get_uint(&in);
	last_ns = gft_get_uint(&in);
	keys = gft_get_uint(&in);
	ok = ok && keys && samples <= b.number && max_rows <= GFT_MAX_ROWS;
	for (uint64_t i = 0; ok && i < keys; i++) {
		now += (uint64_t)gft_get_int(&in);
		pos += gft_get_uint(&in);
		number += gft_get_uint(&in);
		ok = !in.bad && pos >= r->body && pos < at && block_at(r, pos, &k) == BLOCK && k.type == GFT_KEY && k.now_ns == now &&
		     k.number == number && (!i || r->key[i - 1].at < pos) && !add_key(r, &k, pos, err);
	}
	free(p);
	if (!ok || in.bad || r->key[0].at != r->body) {
		r->keys = 0;
		return false;
	}
	r->info.samples = samples;
	r->info.max_rows = (uint32_t)max_rows;
	r->info.first_ns = r->key[0].now_ns;
	r->info.last_ns = last_ns;
	r->info.keys = keys;
	r->info.indexed = true;
	return true;
}

static int look_at_size(struct gft_reader *r, struct gf_err *err)
{
	struct stat st;

	if (fstat(r->fd, &st))
		return gf_err_set(err, errno, "%s: %s", r->name, strerror(errno));
	if (S_ISDIR(st.st_mode))
		return gf_err_set(err, EISDIR, "%s is a directory", r->name);
	if (!S_ISREG(st.st_mode))
		return gf_err_set(err, EINVAL, "%s is no regular file; a recording is read from one", r->name);
	r->end = (uint64_t)st.st_size;
	r->info.bytes = r->end;
	return 0;
}

/* The wall clock is in the first sample itself. */
static int find_wall(struct gft_reader *r, struct gf_err *err)
{
	struct gf_sample none = { 0 };
	int rc = gft_reader_rewind(r, 0, err);

	if (!rc && !gft_reader_next(r, &none, NULL))
		r->info.wall_off_ns = r->st.wall_off_ns;
	return gft_reader_rewind(r, 0, err);
}

int gft_reader_fd(int fd, const char *name, struct gft_reader **ret, struct gf_err *err)
{
	struct gft_reader *r = calloc(1, sizeof *r);
	int rc;

	if (!r) {
		close(fd);
		return no_memory(err);
	}
	r->fd = fd;
	gft_reader_set_paths(r, NULL, 0, NULL);
	r->name = strdup(name);
	r->z = ZSTD_createDCtx();
	rc = r->name && r->z ? look_at_size(r, err) : no_memory(err);
	if (!rc) {
		ZSTD_DCtx_setParameter(r->z, ZSTD_d_windowLogMax, GFT_WINDOW_LOG);
		rc = read_header(r, err);
	}
	if (!rc && !read_index(r, err))
		rc = scan(r, err);
	if (!rc && !r->keys)
		rc = gf_err_set(err, EBADMSG, r->info.cut[0] ? "%s: %s; no sample is whole" : "%s is a recording that ends before its first sample%s",
				r->name, r->info.cut);
	if (!rc)
		rc = find_wall(r, err);
	if (rc)
		gft_reader_close(r);
	else
		*ret = r;
	return rc;
}

int gft_reader_open(const char *path, struct gft_reader **ret, struct gf_err *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

	if (fd < 0)
		return gf_err_set(err, errno, "%s: %s", path, strerror(errno));
	return gft_reader_fd(fd, path, ret, err);
}

void gft_reader_close(struct gft_reader *r)
{
	if (!r)
		return;
	close(r->fd);
	ZSTD_freeDCtx(r->z);
	gft_state_deinit(&r->st, &r->cols);
	gft_cols_deinit(&r->cols);
	gft_buf_deinit(&r->packed);
	gft_buf_deinit(&r->raw);
	free(r->key);
	free(r->name);
	free(r);
}

const struct gft_info *gft_reader_info(const struct gft_reader *r)
{
	return &r->info;
}

int64_t gft_reader_wall_off(const struct gft_reader *r)
{
	return r->st.wall_off_ns;
}

/* ---- reading ------------------------------------------------------------------ */

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
	size_t cap = GF_MIN((size_t)b->raw, GF_MAX((size_t)b->stored * 8, (size_t)SEARCH)) + 1;

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
	if (read_at(r, r->at + GFT_BLOCK, r->packed.p, b->stored) != (ssize_t)b->stored)
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
	rc = gft_decode(&r->st, &r->cols, r->raw.p, r->raw.n, err);
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
	if (read_at(r, r->at + GFT_BLOCK, p, b->stored) != (ssize_t)b->stored)
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
	cut(r, "it is damaged at byte %llu: %.80s", (unsigned long long)r->at, what);
	gf_err_set(err, EBADMSG, "%s is damaged at byte %llu (block %u): %s%s", r->name, (unsigned long long)r->at, r->number, what, n);
	r->in_group = false;
	r->skipping = true;
	r->at = find_block(r, r->at + 1);
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
	switch (block_at(r, r->at, &b)) {
	case END:
		return -ENODATA;
	case FAILED:
		return gf_err_set(err, errno, "%s: %s", r->name, strerror(errno));
	case SHORT:
		if (!fstat(r->fd, &st) && (uint64_t)st.st_size > r->end) {
			r->end = (uint64_t)st.st_size;
			return -EAGAIN;
		}
		/* the end, unless blocks follow: then the length is a lie */
		if (find_block(r, r->at + 1) == r->end)
			return -ENODATA;
		return r->skipping ? (r->at = find_block(r, r->at + 1), -EAGAIN) : damaged(r, "its length is wrong", err);
	case JUNK:
		if (r->skipping) {
			r->at = find_block(r, r->at + 1);
			return -EAGAIN;
		}
		return damaged(r, "no block begins here", err);
	case BLOCK:
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
	r->done++;
	return 0;
}

/* ---- showing ------------------------------------------------------------------- */

static const double *column(const struct gft_reader *r, unsigned field)
{
	for (uint32_t i = 0; i < r->cols.tasks; i++)
		if (r->cols.task[i].field == (int)field)
			return r->st.task[i];
	return NULL;
}

static const struct gft_text *texts(const struct gft_reader *r, unsigned field)
{
	for (uint32_t i = 0; i < r->cols.strs; i++)
		if (r->cols.str[i] == (int)field)
			return r->st.str[i];
	return NULL;
}

/* Nobody in this row, or whose identity it is; gen changes with it. */
static void show_row(struct gft_reader *r, struct gf_sample *s, uint32_t i, bool reboot)
{
	const struct gft_state *st = &r->st;
	struct gf_strref *ref = s->str[GF_SF_COMM] ? &s->str[GF_SF_COMM][i] : NULL;
	bool valid = i < st->rows && st->flags[i];
	bool same = valid && s->flags[i] && s->pid[i] == st->pid[i] && s->start_ns[i] == st->start[i] && !reboot;

	s->gen[i] += valid && !same;
	s->flags[i] = valid ? st->flags[i] : 0;
	s->pid[i] = valid ? st->pid[i] : 0;
	s->start_ns[i] = valid ? st->start[i] : 0;
	s->uid[i] = valid ? st->uid[i] : GF_NONE;
	s->parent[i] = valid && st->parent[i] < s->cap ? st->parent[i] : GF_NONE;
	if (ref && (!valid || !same))
		*ref = (struct gf_strref){ NULL, 0, 0 };
	if (!valid) {
		memset(s->comm[i], 0, GF_COMM_LEN);
		return;
	}
	if (memcmp(s->comm[i], st->comm[i], GF_COMM_LEN) || (ref && !ref->ver)) {
		memcpy(s->comm[i], st->comm[i], GF_COMM_LEN);
		if (ref)
			*ref = (struct gf_strref){ s->comm[i], (uint32_t)strnlen(s->comm[i], GF_COMM_LEN), ++r->st.next_ver };
	}
}

static void show_columns(struct gft_reader *r, struct gf_sample *s, uint32_t rows, uint32_t was)
{
	for (unsigned c = 0; c < GF_COLS; c++) {
		const double *from = c < GF_TF_COUNT ? column(r, c) : r->path[c - GF_TF_COUNT] < 0 ? NULL :
			column(r, GF_TF_COUNT + (unsigned)r->path[c - GF_TF_COUNT]);
		if (!s->col[c])
			continue;
		if (from)
			memcpy(s->col[c], from, rows * sizeof *from);
		for (uint32_t i = from ? rows : 0; i < GF_MAX(rows, was); i++)
			s->col[c][i] = gf_unknown();
	}
	for (unsigned f = 0; f < GF_SF_COUNT; f++) {
		const struct gft_text *from = texts(r, f);
		if (!s->str[f] || f == GF_SF_COMM)
			continue;
		for (uint32_t i = 0; i < GF_MAX(rows, was); i++) {
			bool known = from && i < rows && from[i].ver;
			s->str[f][i] = known ? (struct gf_strref){ from[i].p, from[i].len, from[i].ver } : (struct gf_strref){ NULL, 0, 0 };
		}
	}
}

static void show(struct gft_reader *r, struct gf_sample *s)
{
	const struct gft_state *st = &r->st;
	uint32_t rows = GF_MIN(st->rows, s->cap), was = s->rows;
	bool reboot = s->epoch != st->epoch;

	for (uint32_t i = 0; i < GF_MAX(rows, was); i++)
		show_row(r, s, i, reboot);
	show_columns(r, s, rows, was);
	for (unsigned i = 0; i < GF_HF_COUNT; i++)
		s->host[i] = gf_unknown();
	for (uint32_t i = 0; i < r->cols.hosts; i++)
		if (r->cols.host[i].field >= 0)
			s->host[r->cols.host[i].field] = st->host[i];
	s->now_ns = st->now_ns;
	s->seq = st->seq;
	s->epoch = st->epoch;
	s->rows = rows;
	s->live = 0;
	for (uint32_t i = 0; i < rows; i++)
		s->live += s->flags[i] != 0;
	s->dropped = st->dropped + st->live - s->live;
}

/* Texts that were shown may be gone with what was read since. */
static void hide_texts(struct gf_sample *s)
{
	for (unsigned f = 0; f < GF_SF_COUNT; f++)
		for (uint32_t i = 0; s->str[f] && f != GF_SF_COMM && i < s->rows; i++)
			s->str[f][i] = (struct gf_strref){ NULL, 0, 0 };
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
			hide_texts(s);
		return rc;
	}
	r->from_ns = 0;
	show(r, s);
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
