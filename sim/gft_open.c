/* SPDX-License-Identifier: MIT
 *
 * Opening a recording: its header, and where its blocks are. The index is a hint: what it points to must be what it says.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sim/gft_reader.h"
#include "sim/grow.h"

static int no_memory(struct gf_err *err)
{
	return gf_err_set(err, ENOMEM, "out of memory");
}

/* n bytes at `at`, or less at the end of the file. -errno. */
ssize_t gft_read_at(const struct gft_reader *r, uint64_t at, void *to, size_t n)
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

/* The block header at `at`. GFT_SHORT: the file ends inside the block. */
enum gft_found gft_block_at(struct gft_reader *r, uint64_t at, struct gft_block *ret)
{
	uint8_t head[GFT_BLOCK];
	ssize_t n;

	if (at >= r->end)
		return GFT_END;
	n = gft_read_at(r, at, head, sizeof head);
	if (n < 0)
		return GFT_UNREADABLE;
	if (n < (ssize_t)sizeof head)
		return n && memcmp(head, "GFTb", (size_t)GF_MIN(n, 4)) ? GFT_JUNK : GFT_SHORT;
	if (!gft_block_unpack(head, ret) || ret->file_id != r->file_id)
		return GFT_JUNK;
	return at + GFT_BLOCK + ret->stored > r->end ? GFT_SHORT : GFT_HERE;
}

/* The next place at or after `at` where a block of this recording begins; the end of the file where there is none. */
uint64_t gft_find_block(struct gft_reader *r, uint64_t at)
{
	static const char magic[4] = { 'G', 'F', 'T', 'b' };
	uint8_t *buf = malloc(GFT_SEARCH);
	struct gft_block b;

	while (buf && at < r->end) {
		ssize_t n = gft_read_at(r, at, buf, GFT_SEARCH);
		if (n < 4)
			break;
		for (uint8_t *p = buf; (p = memmem(p, (size_t)(buf + n - p), magic, sizeof magic)); p++) {
			enum gft_found f = gft_block_at(r, at + (uint64_t)(p - buf), &b);
			if (f == GFT_HERE || f == GFT_SHORT) {
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

void gft_cut(struct gft_reader *r, const char *fmt, ...)
{
	va_list ap;

	if (r->info.cut[0])
		return; /* the first is what counts */
	va_start(ap, fmt);
	vsnprintf(r->info.cut, sizeof r->info.cut, fmt, ap);
	va_end(ap);
}

static int read_header(struct gft_reader *r, struct gf_err *err)
{
	uint8_t head[GFT_HEADER];
	struct gft_header h;
	struct gf_err why = { "" };
	ssize_t n = gft_read_at(r, 0, head, sizeof head);
	char *meta;
	int rc;

	if (n < 0)
		return gf_err_set(err, (int)-n, "%s: %s", r->name, strerror((int)-n));
	if (!n)
		return gf_err_set(err, EBADMSG, "%s is empty", r->name);
	if (n < (ssize_t)sizeof head) {
		bool ours = n >= 4 && !memcmp(head, "\x89GFT", 4);
		return gf_err_set(err, EBADMSG, !ours ? "%s is no recording of gpufas (import reads those of other tools)" :
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
	n = gft_read_at(r, GFT_HEADER, meta, h.meta);
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
	if (!gf_grow(&r->key, &r->keys_cap, r->keys + 1, sizeof *r->key))
		return no_memory(err);
	r->key[r->keys++] = (struct gft_key){ b->now_ns, at, b->number };
	return 0;
}

/* From block to block; what they hold is not looked at. */
static int scan(struct gft_reader *r, struct gf_err *err)
{
	uint64_t at = r->body;
	struct gft_block b;
	int rc = 0;

	while (!rc && at < r->end) {
		switch (gft_block_at(r, at, &b)) {
		case GFT_HERE:
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
		case GFT_SHORT:
			gft_cut(r, "it ends inside a block at byte %llu: it is being written, or was cut", (unsigned long long)at);
			at = gft_find_block(r, at + 1); /* a length that is a lie */
			continue;
		case GFT_JUNK:
			gft_cut(r, "it is damaged at byte %llu", (unsigned long long)at);
			at = gft_find_block(r, at + 1);
			continue;
		case GFT_UNREADABLE:
			rc = gf_err_set(err, errno, "%s: %s", r->name, strerror(errno));
			break;
		case GFT_END:
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

	if (r->end < r->body + GFT_BLOCK + GFT_FOOTER || gft_read_at(r, r->end - GFT_FOOTER, foot, sizeof foot) != sizeof foot ||
	    !gft_footer_unpack(foot, r->file_id, &at) || at < r->body || at >= r->end || gft_block_at(r, at, &b) != GFT_HERE ||
	    b.type != GFT_INDEX || at + GFT_BLOCK + b.stored + GFT_FOOTER != r->end)
		return false;
	r->packed.n = 0;
	uint8_t *p = malloc(b.stored + 1u);
	bool ok = p && gft_read_at(r, at + GFT_BLOCK, p, b.stored) == (ssize_t)b.stored && gft_crc(p, b.stored) == b.crc;
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
		ok = !in.bad && pos >= r->body && pos < at && gft_block_at(r, pos, &k) == GFT_HERE && k.type == GFT_KEY && k.now_ns == now &&
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

/* The wall clock is in samples themselves: of the first one, and where the clock went back, which begins with a key block, of the last boot. */
static int find_wall(struct gft_reader *r, struct gf_err *err)
{
	struct gf_sample none = { 0 };
	int rc = gft_reader_rewind(r, 0, err);

	if (!rc && !gft_reader_next(r, &none, NULL))
		r->info.wall_off_ns = r->info.last_wall_off_ns = r->st.wall_off_ns;
	for (size_t k = 1; k < r->keys; k++)
		r->info.reboots |= r->key[k].now_ns < r->key[k - 1].now_ns;
	if (r->info.reboots) {
		r->at = r->key[r->keys - 1].at;
		r->number = r->key[r->keys - 1].number;
		r->in_group = r->skipping = false;
		if (!gft_reader_next(r, &none, NULL))
			r->info.last_wall_off_ns = r->st.wall_off_ns;
	}
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

uint64_t gft_reader_stamp(const struct gft_reader *r)
{
	return r->stamp;
}

