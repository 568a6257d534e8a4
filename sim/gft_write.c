/* SPDX-License-Identifier: MIT
 *
 * A block is written by one write(), whole or not at all: what a full disk leaves of it is cut off again. All blocks from a
 * key block to the next are one zstd frame, flushed after each, so that a sample is packed with what was before it in
 * sight and can be unpacked as soon as it is in the file.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "sim/gft_int.h"
#include "sim/grow.h"
#include "sim/pathset.h"

#define MS 1000000

struct key {
	uint64_t now_ns, at;
	uint32_t number;
};

struct gft_writer {
	struct gft_writer_opts opts;
	struct gf_fieldset keep;
	char target[64], hostname[256], road[128];
	char *path;
	struct gf_pathset paths;
	int fd;
	uint32_t file_id;
	bool begun;        /* the header is in the file */
	bool want_key;
	uint32_t since_key;
	uint32_t number;
	uint32_t max_rows;
	uint64_t failed;   /* blocks that say so */
	struct gft_cols cols;
	struct gft_state st;
	struct gft_buf raw, out;
	ZSTD_CCtx *z;
	struct key *key;
	size_t keys, keys_cap;
	struct gft_writer_stats stats;
};

static int64_t wall_off(void)
{
	struct timespec w, b;

	clock_gettime(CLOCK_REALTIME, &w);
	clock_gettime(CLOCK_BOOTTIME, &b);
	int64_t ns = (w.tv_sec - b.tv_sec) * 1000000000ll + (w.tv_nsec - b.tv_nsec);
	return (ns >= 0 ? ns + MS / 2 : ns - MS / 2) / MS * MS; /* finer is noise of two calls */
}

static int no_memory(struct gf_err *err)
{
	return gf_err_set(err, ENOMEM, "out of memory");
}

static int open_file(const char *path, bool replace, struct gf_err *err)
{
	struct stat st;
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NONBLOCK | (replace ? 0 : O_EXCL), 0640);

	if (fd < 0 && errno == EEXIST)
		return gf_err_set(err, EEXIST, "%s is there already; choose another name, or --force to write over it", path);
	if (fd < 0)
		return gf_err_set(err, errno, "%s: %s", path, strerror(errno));
	if (fstat(fd, &st) || !S_ISREG(st.st_mode)) {
		close(fd);
		return gf_err_set(err, EINVAL, "%s: a recording goes into a regular file", path);
	}
	if (ftruncate(fd, 0)) {
		int e = errno;
		close(fd);
		return gf_err_set(err, e, "%s: %s", path, strerror(e));
	}
	return fd;
}

static void set(char *to, size_t n, const char *from)
{
	snprintf(to, n, "%s", from ? from : "");
}

void gft_pack_as_always(ZSTD_CCtx *z)
{
	ZSTD_CCtx_setParameter(z, ZSTD_c_compressionLevel, GFT_LEVEL);
	ZSTD_CCtx_setParameter(z, ZSTD_c_windowLog, GFT_WINDOW_LOG);
}

int gft_writer_create(const char *path, const struct gft_writer_opts *opts, struct gft_writer **ret, struct gf_err *err)
{
	struct gft_writer *w = calloc(1, sizeof *w);

	if (!w)
		return no_memory(err);
	w->opts = *opts;
	w->fd = -1;
	w->want_key = true;
	if (!w->opts.key_every)
		w->opts.key_every = GFT_KEY_EVERY;
	set(w->target, sizeof w->target, opts->target);
	set(w->road, sizeof w->road, opts->road);
	set(w->hostname, sizeof w->hostname, opts->hostname);
	if (!opts->hostname)
		gethostname(w->hostname, sizeof w->hostname - 1);
	w->opts.target = w->target;
	w->opts.road = w->road;
	w->opts.hostname = w->hostname;
	int rc = gft_writer_paths(w, opts->path, opts->has.paths);
	if (rc)
		gf_err_set(err, -rc, rc == -ENOMEM ? "out of memory" : rc == -EINVAL ? "a kernel path is named twice: leave one of them out" :
			   "a recording holds %u kernel paths at most", GF_MAX_PATHS);
	w->path = strdup(path);
	w->z = ZSTD_createCCtx();
	if (!rc && (!w->path || !w->z))
		rc = no_memory(err);
	if (!rc) {
		gft_pack_as_always(w->z);
		if (getrandom(&w->file_id, sizeof w->file_id, 0) != sizeof w->file_id)
			w->file_id = (uint32_t)getpid() ^ (uint32_t)time(NULL);
		w->fd = open_file(path, opts->replace, err);
		rc = w->fd < 0 ? w->fd : 0;
	}
	if (rc)
		gft_writer_abandon(w);
	else
		*ret = w;
	return rc;
}

/* All of it, or the file is as it was. */
static int put_out(struct gft_writer *w, struct gf_err *err)
{
	size_t done = 0;

	while (done < w->out.n) {
		ssize_t n = pwrite(w->fd, w->out.p + done, w->out.n - done, (off_t)(w->stats.bytes + done));
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			int e = n ? errno : ENOSPC;
			if (ftruncate(w->fd, (off_t)w->stats.bytes)) {
				/* what is left of the block is no whole one: readers see that */
			}
			w->want_key = true;
			return gf_err_set(err, e, "%s: %s; the %llu samples before are in it", w->path, strerror(e),
					  (unsigned long long)w->stats.samples);
		}
		done += (size_t)n;
	}
	w->stats.bytes += w->out.n;
	return 0;
}

/* What the first sample does not know at all. */
static void drop_columns(struct gf_fieldset *has, const struct gf_fieldset *keep, const struct gf_sample *s)
{
	for (unsigned c = 0; c < GF_TF_COUNT; c++) {
		bool some = keep->task >> c & 1;
		for (uint32_t i = 0; s->col[c] && i < s->rows && !some; i++)
			some = s->flags[i] && !gf_is_unknown(s->col[c][i]);
		has->task &= some ? UINT64_MAX : ~GF_BIT(c);
	}
	for (unsigned f = 0; f < GF_SF_COUNT; f++) {
		bool some = keep->str >> f & 1 || (f == GF_SF_COMM && s->live);
		for (uint32_t i = 0; s->str[f] && i < s->rows && !some; i++)
			some = s->flags[i] && s->str[f][i].ver;
		has->str &= some ? UINT32_MAX : ~(1u << f);
	}
}

static int put_header(struct gft_writer *w, const struct gf_sample *s, struct gf_err *err)
{
	struct gft_buf meta = { 0 };
	uint8_t head[GFT_HEADER];
	struct timespec now;

	for (unsigned i = 0; w->opts.drop_unknown && i < GF_HF_COUNT; i++)
		if (gf_is_unknown(s->host[i]) && !(w->keep.host >> i & 1))
			w->opts.has.host &= ~GF_BIT(i);
	if (w->opts.drop_columns)
		drop_columns(&w->opts.has, &w->keep, s);
	gft_cols_of(&w->opts, &w->cols);
	gft_meta_write(&w->opts, &w->cols, &meta);
	clock_gettime(CLOCK_REALTIME, &now);
	if (meta.failed)
		return no_memory(err);
	struct gft_header h = {
		.version = GFT_VERSION, .meta = (uint32_t)meta.n, .kind = w->opts.kind, .file_id = w->file_id,
		.interval_ns = w->opts.interval_ns, .created_ns = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec,
		.meta_crc = gft_crc(meta.p, meta.n),
	};
	gft_header_pack(&h, head);
	w->out.n = 0;
	gft_put(&w->out, head, sizeof head);
	gft_put(&w->out, meta.p, meta.n);
	gft_buf_deinit(&meta);
	if (w->out.failed)
		return no_memory(err);
	int rc = put_out(w, err);
	w->begun = !rc;
	return rc;
}

/* What is in w->raw, packed, behind room for a header in w->out. */
static int pack(struct gft_writer *w, bool key, struct gf_err *err)
{
	size_t bound = ZSTD_compressBound(w->raw.n) + 1024;
	ZSTD_inBuffer in = { w->raw.p, w->raw.n, 0 };

	w->out.n = 0;
	if (w->out.cap < bound + GFT_BLOCK) {
		uint8_t *p = realloc(w->out.p, bound + GFT_BLOCK);
		if (!p)
			return no_memory(err);
		w->out.p = p;
		w->out.cap = bound + GFT_BLOCK;
	}
	if (key)
		ZSTD_CCtx_reset(w->z, ZSTD_reset_session_only);
	ZSTD_outBuffer out = { w->out.p, w->out.cap, GFT_BLOCK };
	size_t left;
	do {
		left = ZSTD_compressStream2(w->z, &out, &in, ZSTD_e_flush);
	} while (!ZSTD_isError(left) && left && out.pos < out.size);
	if (left)
		return gf_err_set(err, EIO, "a sample cannot be packed: %s", ZSTD_isError(left) ? ZSTD_getErrorName(left) : "no room");
	w->out.n = out.pos;
	return 0;
}

static void block_head(struct gft_writer *w, uint8_t type, uint64_t now_ns, uint32_t rows)
{
	struct gft_block b = {
		.type = type, .stored = (uint32_t)(w->out.n - GFT_BLOCK), .raw = (uint32_t)w->raw.n, .number = w->number,
		.file_id = w->file_id, .rows = rows, .now_ns = now_ns, .crc = gft_crc(w->out.p + GFT_BLOCK, w->out.n - GFT_BLOCK),
	};
	gft_block_pack(&b, w->out.p);
}

static int remember_key(struct gft_writer *w, uint64_t now_ns, struct gf_err *err)
{
	if (!gf_grow(&w->key, &w->keys_cap, w->keys + 1, sizeof *w->key))
		return no_memory(err);
	w->key[w->keys] = (struct key){ now_ns, w->stats.bytes, w->number };
	return 0;
}

static int append(struct gft_writer *w, const struct gf_sample *s, int64_t wall, struct gf_err *err)
{
	bool key = w->want_key || w->since_key >= w->opts.key_every || s->epoch != w->st.epoch || s->now_ns < w->st.now_ns;
	int rc = w->begun ? 0 : put_header(w, s, err);

	if (!rc && key)
		rc = remember_key(w, s->now_ns, err);
	if (rc)
		return rc;
	if (key) {
		gft_state_reset(&w->st, &w->cols);
		w->st.wall_off_ns = 0;
	}
	w->want_key = true; /* until this block is in the file */
	w->raw.n = 0;
	rc = gft_encode(&w->st, &w->cols, s, wall, &w->raw, err);
	if (!rc)
		rc = pack(w, key, err);
	if (rc)
		return rc;
	block_head(w, key ? GFT_KEY : GFT_DELTA, s->now_ns, w->st.rows);
	rc = put_out(w, err);
	if (rc)
		return rc;
	w->want_key = false;
	w->keys += key;
	w->since_key = key ? 1 : w->since_key + 1;
	w->number++;
	w->max_rows = GF_MAX(w->max_rows, w->st.rows);
	w->stats.samples++;
	w->stats.rows += w->st.live;
	w->stats.raw += w->raw.n;
	w->stats.last_ns = s->now_ns;
	if (w->stats.samples == 1)
		w->stats.first_ns = s->now_ns;
	if (key && w->opts.sync)
		fdatasync(w->fd);
	return 0;
}

void gft_writer_keep(struct gft_writer *w, const struct gf_fieldset *keep)
{
	w->keep = *keep;
}

int gft_writer_paths(struct gft_writer *w, const char *const *path, uint32_t n)
{
	struct gf_pathset set = { 0 };
	int rc = w->begun ? 0 : gf_pathset_add_all(&set, path, n);

	if (w->begun)
		return 0;
	if (!rc && set.n != n)
		rc = -EINVAL; /* columns would have no name of their own */
	if (rc) {
		gf_pathset_deinit(&set);
		return rc;
	}
	gf_pathset_deinit(&w->paths);
	w->paths = set;
	w->opts.path = gf_pathset_v(&w->paths);
	w->opts.has.paths = n;
	return 0;
}

void gft_writer_kind(struct gft_writer *w, enum gf_target_kind kind)
{
	w->opts.kind = kind;
}

void gft_writer_hostname(struct gft_writer *w, const char *name)
{
	set(w->hostname, sizeof w->hostname, name);
}

int gft_writer_append(struct gft_writer *w, const struct gf_sample *s, struct gf_err *err)
{
	return append(w, s, w->opts.wall_off_ns == INT64_MIN ? wall_off() : w->opts.wall_off_ns, err);
}

int gft_writer_append_at(struct gft_writer *w, const struct gf_sample *s, int64_t wall_off_ns, struct gf_err *err)
{
	return append(w, s, wall_off_ns, err);
}

void gft_writer_stats(const struct gft_writer *w, struct gft_writer_stats *ret)
{
	*ret = w->stats;
}

int gft_writer_failed(struct gft_writer *w, uint64_t now_ns, uint64_t seq, const char *why, struct gf_err *err)
{
	int rc;

	if (!w->begun)
		return 0; /* nothing was seen yet */
	w->out.n = w->raw.n = 0;
	gft_put(&w->out, (uint8_t[GFT_BLOCK]){ 0 }, GFT_BLOCK);
	gft_put_uint(&w->out, seq);
	gft_put(&w->out, why, strnlen(why, GFT_MAX_WHY));
	if (w->out.failed)
		return no_memory(err);
	block_head(w, GFT_FAILED, now_ns, 0);
	rc = put_out(w, err);
	if (!rc) {
		w->number++;
		w->failed++;
	}
	return rc;
}

bool gft_writer_there(const struct gft_writer *w)
{
	struct stat mine, named;

	return fstat(w->fd, &mine) || (!stat(w->path, &named) && named.st_ino == mine.st_ino && named.st_dev == mine.st_dev);
}

/* What a reader need not look for then: totals, and where key blocks are. */
static int put_index(struct gft_writer *w, struct gf_err *err)
{
	uint8_t foot[GFT_FOOTER];
	uint64_t at = w->stats.bytes;

	w->raw.n = w->out.n = 0;
	gft_put_uint(&w->raw, w->stats.samples);
	gft_put_uint(&w->raw, w->max_rows);
	gft_put_uint(&w->raw, w->stats.last_ns);
	gft_put_uint(&w->raw, w->keys);
	for (size_t i = 0; i < w->keys; i++) {
		const struct key *k = &w->key[i], *b = i ? k - 1 : &(struct key){ 0 };
		gft_put_int(&w->raw, (int64_t)(k->now_ns - b->now_ns));
		gft_put_uint(&w->raw, k->at - b->at);
		gft_put_uint(&w->raw, k->number - b->number);
	}
	gft_put(&w->out, (uint8_t[GFT_BLOCK]){ 0 }, GFT_BLOCK);
	gft_put(&w->out, w->raw.p, w->raw.n); /* as it is: it is short */
	gft_footer_pack(at, w->file_id, foot);
	if (w->raw.failed || w->out.failed)
		return no_memory(err);
	block_head(w, GFT_INDEX, w->stats.last_ns, w->max_rows);
	gft_put(&w->out, foot, sizeof foot);
	return w->out.failed ? no_memory(err) : put_out(w, err);
}

int gft_writer_finish(struct gft_writer *w, struct gf_err *err)
{
	int rc = 0;

	if (!w)
		return 0;
	if (w->stats.samples) {
		rc = put_index(w, err);
		if (!rc && fdatasync(w->fd) && errno != EINVAL)
			rc = gf_err_set(err, errno, "%s: %s", w->path, strerror(errno));
	} else {
		unlink(w->path);
	}
	gft_writer_abandon(w);
	return rc;
}

void gft_writer_abandon(struct gft_writer *w)
{
	if (!w)
		return;
	if (w->fd >= 0)
		close(w->fd);
	ZSTD_freeCCtx(w->z);
	gft_state_deinit(&w->st, &w->cols);
	gft_cols_deinit(&w->cols);
	gft_buf_deinit(&w->raw);
	gft_buf_deinit(&w->out);
	gf_pathset_deinit(&w->paths);
	free(w->key);
	free(w->path);
	free(w);
}
