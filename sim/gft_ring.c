/* SPDX-License-Identifier: MIT */
#include "sim/gft_ring.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "sim/pathset.h"

#define STAMP "20261127T021500Z"

struct part {
	char *name;      /* in the directory */
	uint64_t bytes;
	uint64_t begun_ns; /* CLOCK_REALTIME, of its name */
	uint64_t ended_ns; /* of its last change */
};

struct gft_ring {
	struct gft_ring_opts opts;
	char *dir;
	char target[64], road[128];
	struct gf_pathset paths;
	struct gft_writer *writer;
	struct part current;
	struct part *part;   /* others, oldest first */
	size_t parts;
	uint64_t samples, removed;
	char stamp[32];      /* of the file begun last ... */
	unsigned nth;        /* ... and which of that second it is */
	uint64_t before;     /* samples of files that are finished */
};

static uint64_t wall(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static int no_memory(struct gf_err *err)
{
	return gf_err_set(err, ENOMEM, "out of memory");
}

static void drop_parts(struct gft_ring *r)
{
	for (size_t i = 0; i < r->parts; i++)
		free(r->part[i].name);
	free(r->part);
	r->part = NULL;
	r->parts = 0;
}

/* Whether a file is one of ours, by its name, and when it was begun. */
static bool ours(const struct gft_ring *r, const char *name, uint64_t *ret_ns)
{
	size_t n = strlen(r->target);
	struct tm tm = { 0 };
	const char *end;

	if (strncmp(name, r->target, n) || name[n] != '-')
		return false;
	end = strptime(name + n + 1, "%Y%m%dT%H%M%SZ", &tm);
	if (!end || end != name + n + sizeof STAMP)
		return false;
	if (*end == '-')
		end += 1 + strspn(end + 1, "0123456789");
	*ret_ns = (uint64_t)timegm(&tm) * 1000000000u;
	return !strcmp(end, ".gft");
}

static int by_age(const void *a, const void *b)
{
	const struct part *x = a, *y = b;

	if (x->begun_ns != y->begun_ns)
		return x->begun_ns < y->begun_ns ? -1 : 1;
	size_t m = strlen(x->name), n = strlen(y->name);
	return m != n ? (m < n ? -1 : 1) : strcmp(x->name, y->name);
}

/* What is in the directory: an operator may have removed or added some. */
static int look(struct gft_ring *r, struct gf_err *err)
{
	DIR *d = opendir(r->dir);
	struct dirent *e;
	struct stat st;
	uint64_t begun;
	int rc = 0;

	drop_parts(r);
	if (!d)
		return gf_err_set(err, errno, "the recorder's directory %s cannot be read: %s", r->dir, strerror(errno));
	while (!rc && (e = readdir(d))) {
		if (!ours(r, e->d_name, &begun) || fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW) || !S_ISREG(st.st_mode))
			continue;
		if (r->writer && !strcmp(e->d_name, r->current.name))
			continue;
		struct part *v = realloc(r->part, (r->parts + 1) * sizeof *v);
		if (v) {
			r->part = v;
			v[r->parts] = (struct part){
				.name = strdup(e->d_name), .bytes = (uint64_t)st.st_size, .begun_ns = begun,
				.ended_ns = (uint64_t)st.st_mtim.tv_sec * 1000000000u,
			};
			r->parts += v[r->parts].name != NULL;
		}
		if (!v || !r->part[r->parts - 1].name)
			rc = no_memory(err);
	}
	closedir(d);
	if (r->parts)
		qsort(r->part, r->parts, sizeof *r->part, by_age);
	return rc;
}

static int remove_oldest(struct gft_ring *r, struct gf_err *err)
{
	char path[4400];

	snprintf(path, sizeof path, "%s/%s", r->dir, r->part[0].name);
	if (unlink(path) && errno != ENOENT)
		return gf_err_set(err, errno, "the recorder cannot remove %s: %s", path, strerror(errno));
	free(r->part[0].name);
	memmove(r->part, r->part + 1, (r->parts - 1) * sizeof *r->part);
	r->parts--;
	r->removed++;
	return 0;
}

static uint64_t bytes_of_others(const struct gft_ring *r)
{
	uint64_t n = 0;

	for (size_t i = 0; i < r->parts; i++)
		n += r->part[i].bytes;
	return n;
}

/* So that with `more` bytes the size is kept. */
static int make_room(struct gft_ring *r, uint64_t more, struct gf_err *err)
{
	uint64_t now = wall();
	int rc = 0;

	while (!rc && r->parts && (bytes_of_others(r) + more > r->opts.max_bytes ||
				   (r->opts.keep_ns && r->part[0].ended_ns + r->opts.keep_ns < now)))
		rc = remove_oldest(r, err);
	return rc;
}

static void finish(struct gft_ring *r)
{
	struct gft_writer_stats st;

	if (!r->writer)
		return;
	gft_writer_stats(r->writer, &st);
	r->before += st.samples;
	gft_writer_finish(r->writer, NULL); /* without its index it is whole as well */
	r->writer = NULL;
	free(r->current.name);
	r->current = (struct part){ 0 };
}

/* The number of a new file of the second s: after those that were begun in it, also by a daemon before this one. Never one
 * that was given out before: files are told apart, and ordered, by their names. */
static unsigned number_of(const struct gft_ring *r, const char *stamp, time_t s)
{
	unsigned i = strcmp(stamp, r->stamp) ? 0 : r->nth + 1;

	for (size_t k = 0; k < r->parts; k++) {
		const char *at = r->part[k].name + strlen(r->target) + sizeof STAMP; /* "-STAMP" is behind it */
		unsigned long n = *at == '-' ? strtoul(at + 1, NULL, 10) : 0;

		if (r->part[k].begun_ns == (uint64_t)s * 1000000000u && n >= i && n < UINT32_MAX - 2000)
			i = (unsigned)n + 1;
	}
	return i;
}

static int begin(struct gft_ring *r, struct gf_err *err)
{
	char stamp[32], name[128], path[4400];
	uint64_t now = wall();
	time_t s = (time_t)(now / 1000000000u);
	struct tm tm;
	int rc;

	if (mkdir(r->dir, 0750) && errno != EEXIST)
		return gf_err_set(err, errno, "the recorder's directory %s cannot be made: %s", r->dir, strerror(errno));
	rc = look(r, err);
	if (!rc)
		rc = make_room(r, r->opts.max_bytes / GFT_RING_PARTS, err);
	if (rc)
		return rc;
	gmtime_r(&s, &tm);
	strftime(stamp, sizeof stamp, "%Y%m%dT%H%M%SZ", &tm);
	unsigned i = number_of(r, stamp, s);
	for (unsigned end = i + 1000; i < end; i++) {
		int n = snprintf(name, sizeof name, "%s-%s", r->target, stamp);
		if (i)
			n += snprintf(name + n, sizeof name - (size_t)n, "-%u", i);
		snprintf(name + n, sizeof name - (size_t)n, ".gft");
		snprintf(path, sizeof path, "%s/%s", r->dir, name);
		rc = gft_writer_create(path, &r->opts.writer, &r->writer, err);
		if (rc != -EEXIST)
			break;
	}
	if (rc)
		return rc;
	memcpy(r->stamp, stamp, sizeof r->stamp);
	r->nth = i;
	r->current = (struct part){ .name = strdup(name), .begun_ns = now };
	if (r->current.name)
		return 0;
	gft_writer_finish(r->writer, NULL);
	r->writer = NULL;
	return no_memory(err);
}

static void set(char *to, size_t n, const char *from)
{
	snprintf(to, n, "%s", from ? from : "");
}

int gft_ring_set(struct gft_ring *r, const struct gf_fieldset *has, const char *const *path, const char *road)
{
	int rc;

	finish(r);
	gf_pathset_deinit(&r->paths);
	rc = gf_pathset_add_all(&r->paths, path, has->paths);
	r->opts.writer.path = gf_pathset_v(&r->paths);
	r->opts.writer.has = *has;
	r->opts.writer.has.paths = r->paths.n;
	set(r->road, sizeof r->road, road);
	return rc;
}

int gft_ring_create(const struct gft_ring_opts *o, struct gft_ring **ret, struct gf_err *err)
{
	struct gft_ring *r;

	if (o->max_bytes < GFT_RING_LEAST)
		return gf_err_set(err, EINVAL, "a ring of recordings takes %u MiB at least", GFT_RING_LEAST >> 20);
	r = calloc(1, sizeof *r);
	if (!r || !(r->dir = strdup(o->dir))) {
		free(r);
		return no_memory(err);
	}
	r->opts = *o;
	set(r->target, sizeof r->target, o->writer.target);
	r->opts.writer.target = r->target;
	r->opts.writer.road = r->road;
	r->opts.writer.replace = false;
	gft_ring_set(r, &o->writer.has, o->writer.path, o->writer.road);
	look(r, NULL); /* for those who ask before the first sample */
	*ret = r;
	return 0;
}

/* Whether the file has had its time, or its share of the room. */
static bool is_full(const struct gft_ring *r)
{
	struct gft_writer_stats st;

	gft_writer_stats(r->writer, &st);
	return st.bytes >= r->opts.max_bytes / GFT_RING_PARTS ||
	       (r->opts.keep_ns && wall() - r->current.begun_ns >= r->opts.keep_ns / GFT_RING_PARTS);
}

static int after(struct gft_ring *r, int rc, struct gf_err *err)
{
	struct gft_writer_stats st;

	gft_writer_stats(r->writer, &st);
	r->current.bytes = st.bytes;
	r->samples = r->before + st.samples;
	return rc ? rc : make_room(r, st.bytes, err);
}

int gft_ring_append(struct gft_ring *r, const struct gf_sample *s, struct gf_err *err)
{
	int rc = 0;

	if (r->writer && (is_full(r) || !gft_writer_there(r->writer)))
		finish(r);
	if (!r->writer)
		rc = begin(r, err);
	return rc ? rc : after(r, gft_writer_append(r->writer, s, err), err);
}

int gft_ring_failed(struct gft_ring *r, uint64_t now_ns, uint64_t seq, const char *why, struct gf_err *err)
{
	/* A target that is gone for days says nothing but this: its file has an end, too. */
	if (r->writer && is_full(r)) {
		finish(r);
		look(r, NULL);
	}
	return r->writer ? after(r, gft_writer_failed(r->writer, now_ns, seq, why, err), err) : 0;
}

void gft_ring_stats(const struct gft_ring *r, struct gft_ring_stats *ret)
{
	*ret = (struct gft_ring_stats){
		.bytes = bytes_of_others(r) + r->current.bytes, .files = r->parts + (r->writer != NULL), .samples = r->samples,
		.removed = r->removed, .oldest_ns = r->parts ? r->part[0].begun_ns : r->current.begun_ns,
	};
}

void gft_ring_destroy(struct gft_ring *r)
{
	if (!r)
		return;
	finish(r);
	drop_parts(r);
	gf_pathset_deinit(&r->paths);
	free(r->dir);
	free(r);
}
