/* SPDX-License-Identifier: MIT
 *
 * Recordings that are cut, damaged, or none: what was before it is read, whatever comes.
 */
#include "tests/unit/gft_kit.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

/* Reads all of `name`; every sample must be one of the world's, in order. Returns how many; ret_bad: complaints. */
static unsigned read_all(const char *name, uint64_t seed, unsigned steps, unsigned *ret_bad)
{
	struct world w;
	struct gf_sample s;
	struct gft_reader *r = NULL;
	struct gf_err err = { "" };
	unsigned got = 0, at = 0;
	int rc = gft_reader_open(path(name), &r, &err);

	*ret_bad = 0;
	if (rc) {
		assert_int_equal(rc, -EBADMSG);
		assert_non_null(strstr(err.text, name));
		(*ret_bad)++;
		return 0;
	}
	world_init(&w, seed);
	table_for(&s, &w.has);
	while ((rc = gft_reader_next(r, &s, &err)) != -ENODATA) {
		if (rc == -EBADMSG) {
			assert_non_null(strstr(err.text, "damaged at byte"));
			assert_true(++*ret_bad < 1000);
			continue;
		}
		assert_int_equal(rc, 0);
		do {
			world_step(&w);
			assert_true(at++ < steps);
		} while (w.s.now_ns != s.now_ns || w.s.seq != s.seq);
		assert_sample(&s, &w.s, &w.has, false);
		got++;
	}
	if (*ret_bad || got < steps) /* it says so before it is read to the end, or when it is */
		assert_true(*gft_reader_info(r)->cut || !gft_reader_info(r)->indexed);
	gft_reader_close(r);
	gf_sample_deinit(&s);
	world_deinit(&w);
	return got;
}

static void test_cut_at_every_byte(void **state)
{
	enum { STEPS = 7 };
	size_t end[STEPS], n;
	uint64_t seed = fresh_seed();
	unsigned bad;

	(void)state;
	printf("# GFT_SEED=%llu\n", (unsigned long long)seed);
	make("whole.gft", seed, STEPS, 3, end);
	uint8_t *p = slurp("whole.gft", &n);
	for (size_t len = 0; len <= n; len++) {
		unsigned want = 0;
		while (want < STEPS && end[want] <= len)
			want++;
		spill("cut.gft", p, len);
		unsigned got = read_all("cut.gft", seed, STEPS, &bad);
		if (got != want || (want && bad && len <= end[STEPS - 1]))
			fail_msg("cut at %zu: %u samples, not %u; %u complaints (seed %llu)", len, got, want, bad, (unsigned long long)seed);
	}
	free(p);
}

/* Any byte changed: what is read is right, what is not is complained of, and what is behind the next key block is read. */
static void test_damage_anywhere(void **state)
{
	enum { STEPS = 9, KEYS = 3 };
	size_t end[STEPS], n;
	uint64_t seed = fresh_seed();
	unsigned bad;

	(void)state;
	printf("# GFT_SEED=%llu\n", (unsigned long long)seed);
	make("whole.gft", seed, STEPS, KEYS, end);
	uint8_t *p = slurp("whole.gft", &n);
	for (size_t i = 0; i < n; i++) {
		uint8_t was = p[i];
		unsigned hit = 0;
		while (hit < STEPS && end[hit] <= i)
			hit++;
		p[i] ^= (uint8_t)(1u << i % 8);
		spill("damaged.gft", p, n);
		p[i] = was;
		unsigned got = read_all("damaged.gft", seed, STEPS, &bad);
		bool header = got == 0 && bad == 1; /* of the file: nothing can be had */
		unsigned lost = hit < STEPS ? KEYS - hit % KEYS : 0;
		if (!header && (got != STEPS - lost || (lost && !bad)))
			fail_msg("byte %zu: %u samples, not %u; %u complaints (seed %llu)", i, got, STEPS - lost, bad, (unsigned long long)seed);
		if (header)
			assert_true(hit == 0);
	}
	free(p);
}

static void test_blocks_out_of_order(void **state)
{
	enum { STEPS = 6 };
	size_t end[STEPS], n, m;
	unsigned bad;

	(void)state;
	make("whole.gft", 77, STEPS, 100, end);
	uint8_t *p = slurp("whole.gft", &n), *q = malloc(n);
	/* the third before the second */
	size_t a = end[1] - end[0], b = end[2] - end[1];
	memcpy(q, p, n);
	memcpy(q + end[0], p + end[1], b);
	memcpy(q + end[0] + b, p + end[0], a);
	spill("order.gft", q, n);
	assert_int_equal(read_all("order.gft", 77, STEPS, &bad), 1);
	assert_int_equal(bad, 1);
	/* the second is missing */
	memcpy(q + end[0], p + end[1], n - end[1]);
	spill("missing.gft", q, n - a);
	assert_int_equal(read_all("missing.gft", 77, STEPS, &bad), 1);
	assert_int_equal(bad, 1);
	/* the second twice */
	memcpy(q, p, end[1]);
	memcpy(q + end[1], p + end[0], n - end[0] - a);
	spill("twice.gft", q, n - a);
	assert_int_equal(read_all("twice.gft", 77, STEPS, &bad), 2);
	assert_int_equal(bad, 1);
	/* one of another recording of the same */
	make("other.gft", 77, STEPS, 100, end);
	uint8_t *o = slurp("other.gft", &m);
	memcpy(q, p, n);
	memcpy(q + end[0], o + end[0], a);
	spill("foreign.gft", q, n);
	assert_int_equal(read_all("foreign.gft", 77, STEPS, &bad), 1);
	assert_int_equal(bad, 1);
	free(o);
	free(p);
	free(q);
}

/* Killed at any point: all samples that were said to be in the file are. */
static void test_killed(void **state)
{
	uint64_t seed = fresh_seed();
	unsigned total = 0;

	(void)state;
	printf("# GFT_SEED=%llu\n", (unsigned long long)seed);
	for (int round = 0; round < 25; round++) {
		unsigned said = 0, n, bad;
		int fd[2];
		assert_int_equal(pipe(fd), 0);
		pid_t pid = fork();
		if (!pid) {
			struct world w;
			world_init(&w, seed);
			struct gft_writer *o = writer("killed.gft", &w.has, 5);
			for (n = 1;; n++) {
				world_step(&w);
				append(o, &w.s);
				if (write(fd[1], &n, sizeof n) != sizeof n)
					_exit(1);
			}
		}
		close(fd[1]);
		struct timespec nap = { 0, (long)((seed + (uint64_t)round * 7919) % 12000000) };
		if (read(fd[0], &n, sizeof n) == sizeof n)
			said = n;
		nanosleep(&nap, NULL);
		kill(pid, SIGKILL);
		while (read(fd[0], &n, sizeof n) == sizeof n)
			said = n;
		waitpid(pid, NULL, 0);
		close(fd[0]);
		unsigned got = read_all("killed.gft", seed, UINT32_MAX, &bad);
		assert_int_equal(bad, 0);
		assert_true(got == said || got == said + 1);
		total += got;
	}
	printf("# %u samples in 25 recordings that were killed\n", total);
}

static void test_full_disk(void **state)
{
	enum { STEPS = 40 };
	struct rlimit was, small;
	struct gf_err err = { "" };
	struct gft_writer_stats st;
	struct world w;
	struct gf_sample s;
	unsigned kept = 0, refused = 0, got = 0;
	uint64_t want[STEPS];

	(void)state;
	signal(SIGXFSZ, SIG_IGN);
	getrlimit(RLIMIT_FSIZE, &was);
	world_init(&w, 31337);
	table_for(&s, &w.has);
	struct gft_writer *o = writer("full.gft", &w.has, 100);
	for (int i = 0; i < STEPS; i++) {
		world_step(&w);
		small = was;
		gft_writer_stats(o, &st);
		if (i >= 10 && i < 20) /* part of a block would fit */
			small.rlim_cur = st.bytes + 25;
		setrlimit(RLIMIT_FSIZE, &small);
		int rc = gft_writer_append(o, &w.s, &err);
		setrlimit(RLIMIT_FSIZE, &was);
		if (rc) {
			assert_int_equal(rc, -EFBIG);
			assert_non_null(strstr(err.text, "full.gft"));
			assert_non_null(strstr(err.text, "the 10 samples before are in it"));
			refused++;
		} else {
			want[kept++] = w.s.now_ns;
		}
	}
	assert_int_equal(refused, 10);
	assert_int_equal(gft_writer_finish(o, NULL), 0);
	struct gft_reader *r = reader("full.gft");
	assert_int_equal(gft_reader_info(r)->keys, 2);
	while (!gft_reader_next(r, &s, &err))
		assert_true(s.now_ns == want[got++]);
	assert_int_equal(got, kept);
	assert_sample(&s, &w.s, &w.has, false);
	gft_reader_close(r);
	gf_sample_deinit(&s);
	world_deinit(&w);
}

static int refused(const char *name, const void *p, size_t n, struct gf_err *err)
{
	struct gft_reader *r;

	spill(name, p, n);
	*err = (struct gf_err){ "" };
	int rc = gft_reader_open(path(name), &r, err);
	assert_int_not_equal(rc, 0);
	assert_non_null(strstr(err->text, name));
	return rc;
}

static void test_what_is_no_recording(void **state)
{
	size_t end[1], n;
	struct gf_err err;

	(void)state;
	make("whole.gft", 3, 1, 1, end);
	uint8_t *p = slurp("whole.gft", &n);
	assert_int_equal(refused("empty.gft", "", 0, &err), -EBADMSG);
	static const char text[] = "hello, world, this is a text that goes on for more than a header is long.....";
	assert_int_equal(refused("text.gft", text, sizeof text, &err), -EBADMSG);
	assert_non_null(strstr(err.text, "no recording"));
	static const char zst[] = "\x28\xb5\x2f\xfd...............................................................";
	assert_int_equal(refused("zst.gft", zst, sizeof zst, &err), -EBADMSG);
	assert_non_null(strstr(err.text, "zstd -d"));
	/* a later version */
	gft_le32(p + 8, GFT_VERSION + 1);
	gft_le32(p + 60, gft_crc(p, 60));
	assert_int_equal(refused("later.gft", p, n, &err), -ENOTSUP);
	assert_non_null(strstr(err.text, "version 3"));
	free(p);
	struct gft_reader *r;
	assert_int_equal(gft_reader_open(dir, &r, &err), -EISDIR);
	assert_int_equal(gft_reader_open(path("nowhere"), &r, &err), -ENOENT);
	struct gft_writer *o;
	assert_int_equal(gft_writer_create(path("whole.gft"), &(struct gft_writer_opts){ 0 }, &o, &err), -EEXIST);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cut_at_every_byte), cmocka_unit_test(test_damage_anywhere), cmocka_unit_test(test_blocks_out_of_order),
		cmocka_unit_test(test_killed), cmocka_unit_test(test_full_disk), cmocka_unit_test(test_what_is_no_recording),
	};

	setvbuf(stdout, NULL, _IOLBF, 0);
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, setup, teardown);
}
