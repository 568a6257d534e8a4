/* SPDX-License-Identifier: MIT
 *
 * The recorder's ring: its size is kept at all times, the oldest goes first, and what is in it is whole.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "sim/gft_ring.h"
#include "targets/target.h"

#define ROWS 600u

static char top[64], dir[80];
static struct gf_sample s;
static uint64_t x = 88172645463325252u;

static uint64_t chance(void)
{
	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	return x;
}

/* Numbers that cannot be packed. */
static void step(void)
{
	s.now_ns += 1000000000u;
	s.seq++;
	for (uint32_t i = 0; i < ROWS; i++)
		s.col[GF_TF_RSS][i] = (double)(chance() >> 14);
}

struct found {
	uint64_t bytes, files, samples, first_ns, last_ns;
};

/* What is in the directory, by itself: each file must be whole. */
static void look(const char *prefix, struct found *ret)
{
	DIR *d = opendir(dir);
	struct dirent *e;
	struct gf_err err;
	struct stat st;
	char path[400];

	*ret = (struct found){ .first_ns = UINT64_MAX };
	while (d && (e = readdir(d))) {
		struct gft_reader *r;
		if (strncmp(e->d_name, prefix, strlen(prefix)))
			continue;
		snprintf(path, sizeof path, "%s/%s", dir, e->d_name);
		assert_int_equal(stat(path, &st), 0);
		ret->bytes += (uint64_t)st.st_size;
		ret->files++;
		assert_int_equal(gft_reader_open(path, &r, &err), 0);
		assert_string_equal(gft_reader_info(r)->cut, "");
		ret->samples += gft_reader_info(r)->samples;
		ret->first_ns = GF_MIN(ret->first_ns, gft_reader_info(r)->first_ns);
		ret->last_ns = GF_MAX(ret->last_ns, gft_reader_info(r)->last_ns);
		gft_reader_close(r);
	}
	if (d)
		closedir(d);
}

static struct gft_ring *ring(uint64_t max)
{
	struct gft_ring_opts o = {
		.dir = dir, .max_bytes = max,
		.writer = { .target = "web-1", .has = { .task = GF_BIT(GF_TF_RSS) }, .wall_off_ns = 0, .key_every = 10 },
	};
	struct gft_ring *r;
	struct gf_err err = { "" };

	if (gft_ring_create(&o, &r, &err))
		fail_msg("%s", err.text);
	return r;
}

static void put(struct gft_ring *r)
{
	struct gf_err err = { "" };

	step();
	if (gft_ring_append(r, &s, &err))
		fail_msg("%s", err.text);
}

static void test_size_is_kept(void **state)
{
	struct gft_ring_stats st;
	struct gft_ring *r = ring(GFT_RING_LEAST);
	struct found f = { 0 };
	uint64_t most = 0, raw = 0;

	(void)state;
	for (int i = 0; i < 4000; i++) {
		put(r);
		gft_ring_stats(r, &st);
		if (i % 100 == 99) {
			look("web-1-", &f);
			assert_int_equal(f.bytes, st.bytes);
			assert_int_equal(f.files, st.files);
			assert_int_equal(f.last_ns, s.now_ns); /* what was appended is there to be read */
		}
		assert_true(st.bytes <= GFT_RING_LEAST);
		most = GF_MAX(most, st.bytes);
		raw += ROWS * 6;
	}
	assert_true(most > GFT_RING_LEAST * 3 / 4); /* and not much less is kept */
	assert_true(st.removed > 8 && st.samples == 4000);
	assert_true(raw > 3 * (uint64_t)GFT_RING_LEAST);
	/* no hole: what is kept is the last of it */
	assert_int_equal((f.last_ns - f.first_ns) / 1000000000u + 1, f.samples);
	gft_ring_destroy(r);
	look("web-1-", &f);
	assert_true(f.bytes <= GFT_RING_LEAST + GFT_RING_LEAST / 100); /* its index */
}

/* A daemon that was killed, and one that comes after it: older files are there still, and go first. */
static void test_goes_on(void **state)
{
	struct gft_ring_stats st;
	struct found before, f;
	struct gft_ring *r;
	int fd;

	(void)state;
	look("web-1-", &before);
	assert_true(before.files > 3);
	/* those are not its own */
	char other[128];
	snprintf(other, sizeof other, "%s/web-1-notes.txt", dir);
	fd = open(other, O_CREAT | O_WRONLY, 0600);
	close(fd);
	snprintf(other, sizeof other, "%s/web-10-20200101T000000Z.gft", dir);
	fd = open(other, O_CREAT | O_WRONLY, 0600);
	assert_int_equal(ftruncate(fd, 100 << 20), 0);
	close(fd);
	r = ring(GFT_RING_LEAST);
	gft_ring_stats(r, &st);
	assert_int_equal(st.files, before.files);
	assert_true(st.oldest_ns > 0);
	for (int i = 0; i < 400; i++) {
		put(r);
		gft_ring_stats(r, &st);
		assert_true(st.bytes <= GFT_RING_LEAST);
	}
	assert_int_equal(access(other, F_OK), 0);
	unlink(other);
	snprintf(other, sizeof other, "%s/web-1-notes.txt", dir);
	assert_int_equal(unlink(other), 0);
	look("web-1-", &f);
	assert_true(f.first_ns > before.first_ns && f.last_ns == s.now_ns);
	gft_ring_destroy(r);
}

/* A directory that cannot be made: an error that says so, and all is well again when it can. */
static void test_directory_in_the_way(void **state)
{
	struct gft_ring *r;
	struct gf_err err = { "" };
	char was[80];

	(void)state;
	memcpy(was, dir, sizeof was);
	snprintf(dir, sizeof dir, "%s/file", top);
	int fd = open(dir, O_CREAT | O_WRONLY, 0600);
	close(fd);
	r = ring(GFT_RING_LEAST);
	step();
	assert_int_equal(gft_ring_append(r, &s, &err), -ENOTDIR);
	assert_non_null(strstr(err.text, dir));
	unlink(dir);
	put(r);
	struct found f;
	look("web-1-", &f);
	assert_int_equal(f.samples, 1);
	gft_ring_destroy(r);
	memcpy(dir, was, sizeof was);
	struct gft_ring_opts o = { .dir = dir, .max_bytes = 100 };
	assert_int_equal(gft_ring_create(&o, &r, &err), -EINVAL);
}

/* Its file is removed, or its directory put aside: it goes on in another one, and what was put aside is whole. */
static void test_removed(void **state)
{
	struct gft_ring *r;
	struct found f;
	char aside[96], cmd[300];

	(void)state;
	snprintf(cmd, sizeof cmd, "rm -rf %s", dir);
	assert_int_equal(system(cmd), 0);
	r = ring(GFT_RING_LEAST);
	put(r);
	snprintf(cmd, sizeof cmd, "rm %s/*", dir);
	assert_int_equal(system(cmd), 0);
	put(r);
	put(r);
	look("web-1-", &f);
	assert_int_equal(f.samples, 2);
	snprintf(aside, sizeof aside, "%s.aside", dir);
	assert_int_equal(rename(dir, aside), 0);
	put(r);
	look("web-1-", &f);
	assert_int_equal(f.samples, 1);
	gft_ring_destroy(r);
	snprintf(cmd, sizeof cmd, "rm -rf %s && mv %s %s", dir, aside, dir);
	assert_int_equal(system(cmd), 0);
	look("web-1-", &f);
	assert_int_equal(f.samples, 2);
}

/* A target that is gone says nothing else for days: that is bounded, too, and what comes after it is there. */
static void test_fails_for_days(void **state)
{
	struct gft_ring_stats before, st;
	struct gft_ring *r = ring(GFT_RING_LEAST);
	struct found f;

	(void)state;
	put(r);
	gft_ring_stats(r, &before);
	for (int i = 0; i < 60000; i++)
		assert_int_equal(gft_ring_failed(r, s.now_ns++, s.seq++, "the guest is gone", NULL), 0);
	gft_ring_stats(r, &st);
	assert_true(st.bytes - before.bytes <= GFT_RING_LEAST / GFT_RING_PARTS + 1000);
	put(r);
	look("web-1-", &f);
	assert_int_equal(f.last_ns, s.now_ns);
	gft_ring_destroy(r);
}

static int setup(void **state)
{
	struct gf_fieldset f = { .task = GF_BIT(GF_TF_RSS) };

	(void)state;
	snprintf(top, sizeof top, "%s/ring-XXXXXX", access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm");
	if (!mkdtemp(top) || gf_sample_init(&s, ROWS, NULL) || gf_sample_set_fields(&s, &f, NULL))
		return -1;
	snprintf(dir, sizeof dir, "%s/box", top);
	s.rows = s.live = ROWS;
	for (uint32_t i = 0; i < ROWS; i++) {
		s.flags[i] = GF_ROW_VALID;
		s.pid[i] = (int32_t)i + 1;
	}
	return 0;
}

static int teardown(void **state)
{
	char cmd[128];

	(void)state;
	gf_sample_deinit(&s);
	snprintf(cmd, sizeof cmd, "rm -rf %s", top);
	return system(cmd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_size_is_kept), cmocka_unit_test(test_goes_on), cmocka_unit_test(test_directory_in_the_way),
		cmocka_unit_test(test_removed), cmocka_unit_test(test_fails_for_days),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, setup, teardown);
}
