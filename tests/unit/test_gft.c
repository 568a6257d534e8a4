/* SPDX-License-Identifier: MIT
 *
 * Recordings: what was written is what is read, bit by bit; whatever is cut off or damaged, what was before it.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "daemon/taskjson.h"
#include "sim/gft_int.h"
#include "targets/table.h"
#include "targets/target.h"

#define S 1000000000ull
#define ROWS 200u
#define TEXTS 6

static char dir[64];
static uint64_t seed0;

/* ---- a world that changes by chance --------------------------------------------- */

struct world {
	struct gf_sample s;
	struct gf_table t;
	uint64_t x;
	struct gf_fieldset has;
	struct { int32_t pid, ppid; uint64_t start; } proc[ROWS];
	uint32_t procs;
};

static const char *const words[TEXTS] = { "", "bash", "/usr/bin/python3 -m http.server", "\xff\x01 odd", "init", "a" };

static uint64_t chance(struct world *w, uint64_t n)
{
	w->x ^= w->x << 13;
	w->x ^= w->x >> 7;
	w->x ^= w->x << 17;
	return w->x % n;
}

static double number(struct world *w, double v)
{
	switch (chance(w, 12)) {
	case 0: return gf_unknown();
	case 1: return v + 4096.0 * (double)chance(w, 100);
	case 2: return v - 1;
	case 3: return (double)chance(w, 10000) / 100;
	case 4: return (double)w->x * 1e-3;
	case 5: return -0.0;
	case 6: return (double)chance(w, 2) / 0.0; /* infinite, or unknown */
	case 7: return 9007199254740993.0;
	case 8: return -(double)chance(w, 1ull << 52);
	case 9: return 1e300;
	default: return v;
	}
}

static void world_init(struct world *w, uint64_t seed)
{
	memset(w, 0, sizeof *w);
	w->x = seed ? seed : 1;
	w->has = (struct gf_fieldset){ .host = w->x & (GF_BIT(GF_HF_COUNT) - 1), .task = chance(w, UINT64_MAX) & (GF_BIT(GF_TF_COUNT) - 1),
				       .str = (uint32_t)chance(w, 1u << GF_SF_COUNT) | 1u << GF_SF_COMM };
	assert_int_equal(gf_sample_init(&w->s, ROWS, NULL), 0);
	assert_int_equal(gf_sample_set_fields(&w->s, &w->has, NULL), 0);
	assert_int_equal(gf_table_init(&w->t, &w->s, NULL), 0);
	w->s.now_ns = chance(w, 1000 * S);
}

static void world_deinit(struct world *w)
{
	gf_table_deinit(&w->t);
	gf_sample_deinit(&w->s);
}

static void change_row(struct world *w, uint32_t row, bool fresh)
{
	struct gf_sample *s = &w->s;

	s->flags[row] = (uint8_t)(GF_ROW_VALID | (chance(w, 8) ? 0 : chance(w, 256)));
	if (fresh || !chance(w, 20))
		s->uid[row] = chance(w, 3) ? (uint32_t)chance(w, 70000) : GF_NONE;
	if (fresh || !chance(w, 20)) {
		const char *c = words[chance(w, TEXTS)];
		gf_table_comm(&w->t, row, c, strlen(c));
	}
	for (unsigned k = 0; k < GF_TF_COUNT; k++)
		if (s->col[k] && (fresh || !chance(w, 6)))
			s->col[k][row] = number(w, s->col[k][row]);
	if (s->col[GF_TF_AGE] && chance(w, 4))
		s->col[GF_TF_AGE][row] = (double)(s->now_ns - s->start_ns[row]);
	for (unsigned k = 0; k < GF_SF_COUNT; k++) {
		if (!s->str[k] || k == GF_SF_COMM || chance(w, 8))
			continue;
		const char *c = words[chance(w, TEXTS)];
		s->str[k][row] = chance(w, 4) ? (struct gf_strref){ c, (uint32_t)strlen(c), gf_table_ver(&w->t) } : (struct gf_strref){ NULL, 0, 0 };
	}
}

static void world_step(struct world *w)
{
	struct gf_sample *s = &w->s;
	bool fresh;

	s->now_ns += chance(w, 5) ? S : chance(w, 5 * S);
	s->seq += chance(w, 10) ? 1u : 2u;
	for (uint32_t i = 0; i < w->procs; i++)
		if (!chance(w, 15))
			w->proc[i--] = w->proc[--w->procs];
	for (uint64_t n = chance(w, 8); n && w->procs < ROWS; n--) {
		int32_t pid = (int32_t)chance(w, 40) * 7 + 1;
		for (uint32_t i = 0; i < w->procs; i++)
			if (w->proc[i].pid == pid)
				w->proc[i--] = w->proc[--w->procs]; /* the pid is given out again */
		w->proc[w->procs].pid = pid;
		w->proc[w->procs].ppid = w->procs ? w->proc[chance(w, w->procs)].pid : 0;
		w->proc[w->procs++].start = s->now_ns - chance(w, 1000);
	}
	gf_table_begin(&w->t);
	for (uint32_t i = 0; i < w->procs; i++) {
		uint32_t row = gf_table_row(&w->t, w->proc[i].pid, w->proc[i].start, w->proc[i].ppid, &fresh);
		change_row(w, row, fresh);
	}
	gf_table_commit(&w->t);
	for (unsigned k = 0; k < GF_HF_COUNT; k++)
		if (w->has.host >> k & 1 && !chance(w, 3))
			s->host[k] = number(w, s->host[k]);
}

static bool same_text(const struct gf_strref *a, const struct gf_strref *b)
{
	return !a->ver == !b->ver && (!a->ver || (a->len == b->len && !memcmp(a->p, b->p, a->len)));
}

static void assert_number(double a, double b, const char *what, unsigned k, uint32_t row)
{
	if (!gft_same(a, b))
		fail_msg("%s %u of row %u: %a, not %a (seed %llu)", what, k, row, a, b, (unsigned long long)seed0);
}

/* got is what was read of want. gens: reading began where writing did. */
static void assert_sample(const struct gf_sample *got, const struct gf_sample *want, const struct gf_fieldset *has, bool gens)
{
	assert_int_equal(got->now_ns, want->now_ns);
	assert_int_equal(got->seq, want->seq);
	assert_int_equal(got->rows, want->rows);
	assert_int_equal(got->live, want->live);
	assert_int_equal(got->dropped, want->dropped);
	assert_int_equal(got->epoch, want->epoch);
	for (unsigned k = 0; k < GF_HF_COUNT; k++)
		assert_number(got->host[k], has->host >> k & 1 ? want->host[k] : gf_unknown(), "host field", k, 0);
	for (uint32_t i = 0; i < got->rows; i++) {
		assert_int_equal(got->flags[i], want->flags[i]);
		if (!got->flags[i])
			continue;
		assert_int_equal(got->pid[i], want->pid[i]);
		assert_true(got->start_ns[i] == want->start_ns[i]);
		assert_int_equal(got->parent[i], want->parent[i]);
		assert_int_equal(got->uid[i], want->uid[i]);
		assert_memory_equal(got->comm[i], want->comm[i], GF_COMM_LEN);
		if (gens)
			assert_int_equal(got->gen[i], want->gen[i]);
		for (unsigned k = 0; k < GF_TF_COUNT; k++)
			if (has->task >> k & 1)
				assert_number(got->col[k][i], want->col[k][i], "column", k, i);
		for (unsigned k = 0; k < GF_SF_COUNT; k++)
			if (has->str >> k & 1)
				assert_true(same_text(&got->str[k][i], &want->str[k][i]));
	}
}

static const char *path(const char *name)
{
	static char p[128];

	snprintf(p, sizeof p, "%s/%s", dir, name);
	return p;
}

static struct gft_writer *writer(const char *name, const struct gf_fieldset *has, uint32_t key_every)
{
	struct gft_writer_opts o = {
		.target = "t", .kind = GF_TARGET_VM, .hostname = "h", .road = "chance", .has = *has, .interval_ns = S, .key_every = key_every,
		.wall_off_ns = 1234567890123456789ll, .replace = true,
	};
	struct gft_writer *w;
	struct gf_err err = { "" };

	if (gft_writer_create(path(name), &o, &w, &err))
		fail_msg("%s", err.text);
	return w;
}

static void append(struct gft_writer *w, const struct gf_sample *s)
{
	struct gf_err err = { "" };

	if (gft_writer_append(w, s, &err))
		fail_msg("%s", err.text);
}

static struct gft_reader *reader(const char *name)
{
	struct gft_reader *r;
	struct gf_err err = { "" };

	if (gft_reader_open(path(name), &r, &err))
		fail_msg("%s", err.text);
	return r;
}

static void table_for(struct gf_sample *s, const struct gf_fieldset *has)
{
	assert_int_equal(gf_sample_init(s, ROWS, NULL), 0);
	assert_int_equal(gf_sample_set_fields(s, has, NULL), 0);
}

static uint64_t fresh_seed(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	const char *s = getenv("GFT_SEED");
	return s ? strtoull(s, NULL, 0) : (uint64_t)t.tv_nsec * 2654435761u + (uint64_t)t.tv_sec;
}

static uint8_t *slurp(const char *name, size_t *ret_n)
{
	int fd = open(path(name), O_RDONLY);
	struct stat st;

	assert_int_equal(fstat(fd, &st), 0);
	uint8_t *p = malloc((size_t)st.st_size + 1);
	assert_int_equal(read(fd, p, (size_t)st.st_size), st.st_size);
	close(fd);
	*ret_n = (size_t)st.st_size;
	return p;
}

static void spill(const char *name, const void *p, size_t n)
{
	int fd = open(path(name), O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert_int_equal(write(fd, p, n), n);
	close(fd);
}

/* ---- tests ------------------------------------------------------------------------ */

static void round_trip(uint64_t seed, unsigned steps, uint32_t key_every)
{
	struct world w, again;
	struct gf_sample s;
	struct gf_err err = { "" };

	seed0 = seed;
	world_init(&w, seed);
	world_init(&again, seed);
	table_for(&s, &w.has);
	struct gft_writer *o = writer("round.gft", &w.has, key_every);
	for (unsigned i = 0; i < steps; i++) {
		world_step(&w);
		append(o, &w.s);
	}
	assert_int_equal(gft_writer_finish(o, &err), 0);
	struct gft_reader *r = reader("round.gft");
	const struct gft_info *info = gft_reader_info(r);
	assert_true(info->indexed);
	assert_string_equal(info->cut, "");
	assert_int_equal(info->samples, steps);
	assert_int_equal(info->keys, (steps + key_every - 1) / key_every);
	assert_true(info->wall_off_ns == 1234567890123456789ll);
	assert_memory_equal(&info->has, &w.has, sizeof w.has);
	for (unsigned i = 0; i < steps; i++) {
		world_step(&again);
		if (gft_reader_next(r, &s, &err))
			fail_msg("sample %u: %s (seed %llu)", i, err.text, (unsigned long long)seed);
		assert_sample(&s, &again.s, &w.has, true);
	}
	assert_int_equal(info->last_ns, s.now_ns);
	assert_int_equal(gft_reader_next(r, &s, &err), -ENODATA);
	gft_reader_close(r);
	gf_sample_deinit(&s);
	world_deinit(&w);
	world_deinit(&again);
}

static void test_round_trip(void **state)
{
	uint64_t seed = fresh_seed();

	(void)state;
	printf("# GFT_SEED=%llu\n", (unsigned long long)seed);
	for (unsigned i = 0; i < 60; i++)
		round_trip(seed + i * 7919, 1 + i * 2, 1 + i % 13);
}

/* A table with other columns than the recording's: those it lacks are unknown, those nobody wants are not missed. */
static void test_other_columns(void **state)
{
	struct gf_fieldset has = { .host = GF_BIT(GF_HF_MEM_FREE), .task = GF_BIT(GF_TF_RSS), .str = 1u << GF_SF_COMM | 1u << GF_SF_EXE };
	struct gf_fieldset want = { .host = GF_BIT(GF_HF_MEM_FREE), .task = GF_BIT(GF_TF_SWAP) | GF_BIT(GF_TF_RSS), .str = 1u << GF_SF_CGROUP, .paths = 1 };
	struct world w;
	struct gf_sample s;
	struct gf_err err;

	(void)state;
	world_init(&w, 5);
	w.has = has;
	assert_int_equal(gf_sample_set_fields(&w.s, &has, NULL), 0);
	table_for(&s, &want);
	struct gft_writer *o = writer("cols.gft", &has, 4);
	for (int i = 0; i < 10; i++) {
		world_step(&w);
		append(o, &w.s);
	}
	gft_writer_finish(o, NULL);
	struct gft_reader *r = reader("cols.gft");
	assert_memory_equal(&gft_reader_info(r)->has, &has, sizeof has);
	for (int i = 0; i < 10; i++)
		assert_int_equal(gft_reader_next(r, &s, &err), 0);
	for (uint32_t i = 0; i < s.rows; i++) {
		assert_number(s.col[GF_TF_RSS][i], s.flags[i] ? w.s.col[GF_TF_RSS][i] : gf_unknown(), "column", GF_TF_RSS, i);
		assert_true(gf_is_unknown(s.col[GF_TF_SWAP][i]) && gf_is_unknown(s.col[GF_TF_COUNT][i]));
		assert_int_equal(s.str[GF_SF_CGROUP][i].ver, 0);
	}
	gft_reader_close(r);
	gf_sample_deinit(&s);
	world_deinit(&w);
}

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

static size_t make(const char *name, uint64_t seed, unsigned steps, uint32_t key_every, size_t *end)
{
	struct gft_writer_stats st;
	struct world w;
	size_t n;

	seed0 = seed;
	world_init(&w, seed);
	struct gft_writer *o = writer(name, &w.has, key_every);
	for (unsigned i = 0; i < steps; i++) {
		world_step(&w);
		append(o, &w.s);
		gft_writer_stats(o, &st);
		end[i] = st.bytes;
	}
	assert_int_equal(gft_writer_finish(o, NULL), 0);
	world_deinit(&w);
	free(slurp(name, &n));
	return n;
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

static void test_rewind(void **state)
{
	enum { STEPS = 50 };
	uint64_t at[STEPS];
	struct world w;
	struct gf_sample s;
	struct gf_err err;

	(void)state;
	world_init(&w, 99);
	table_for(&s, &w.has);
	struct gft_writer *o = writer("rewind.gft", &w.has, 7);
	for (int i = 0; i < STEPS; i++) {
		world_step(&w);
		at[i] = w.s.now_ns;
		append(o, &w.s);
	}
	gft_writer_finish(o, NULL);
	struct gft_reader *r = reader("rewind.gft");
	assert_true(!gft_reader_info(r)->reboots && gft_reader_info(r)->last_wall_off_ns == gft_reader_info(r)->wall_off_ns);
	for (int i = STEPS - 1; i >= 0; i--) {
		assert_int_equal(gft_reader_rewind(r, at[i], &err), 0);
		assert_int_equal(gft_reader_next(r, &s, &err), 0);
		assert_true(s.now_ns == at[i]);
		assert_int_equal(gft_reader_rewind(r, at[i] - 1, &err), 0);
		assert_int_equal(gft_reader_next(r, &s, &err), 0);
		assert_true(s.now_ns == at[i] || (i && at[i - 1] == at[i] - 1));
	}
	assert_int_equal(gft_reader_rewind(r, at[STEPS - 1] + 1, &err), 0);
	assert_int_equal(gft_reader_next(r, &s, &err), -ENODATA);
	assert_int_equal(gft_reader_rewind(r, 0, &err), 0);
	assert_int_equal(gft_reader_next(r, &s, &err), 0);
	assert_true(s.now_ns == at[0]);
	gft_reader_close(r);
	gf_sample_deinit(&s);
	world_deinit(&w);
}

/* Another boot of a guest: its clock begins anew, and so do its processes, whatever their pids. */
static void test_reboot(void **state)
{
	struct gf_fieldset has = { .str = 1u << GF_SF_COMM };
	struct gf_sample s, t;
	struct gf_err err = { "" };

	(void)state;
	table_for(&s, &has);
	table_for(&t, &has);
	s.epoch = 1;
	s.rows = s.live = 1;
	s.flags[0] = GF_ROW_VALID;
	s.pid[0] = 1;
	s.now_ns = 50 * S;
	struct gft_writer *o = writer("boot.gft", &has, 100);
	append(o, &s);
	s.epoch = 2;
	s.now_ns = 3 * S;
	append(o, &s);
	s.now_ns = 4 * S;
	append(o, &s);
	gft_writer_finish(o, NULL);
	struct gft_reader *r = reader("boot.gft");
	assert_int_equal(gft_reader_info(r)->keys, 2);
	assert_true(gft_reader_info(r)->reboots);
	assert_int_equal(gft_reader_next(r, &t, &err), 0);
	uint32_t gen = t.gen[0];
	assert_int_equal(gft_reader_next(r, &t, &err), 0);
	assert_int_not_equal(t.gen[0], gen);
	assert_true(t.now_ns == 3 * S && t.epoch == 2);
	gen = t.gen[0];
	assert_int_equal(gft_reader_next(r, &t, &err), 0);
	assert_int_equal(t.gen[0], gen);
	gft_reader_close(r);
	gf_sample_deinit(&s);
	gf_sample_deinit(&t);
}

/* Kernel paths by their texts, in whatever order they are wanted; a sample that failed fails again. */
static void test_paths_and_failures(void **state)
{
	static const char *const paths[] = { "task->mm->map_count", "task->flags" };
	static const char *const wanted[] = { "task->nothing", "task->flags", "task->mm->map_count" };
	struct gf_fieldset has = { .paths = 2 }, want = { .paths = 3 };
	struct gft_writer_opts o = {
		.target = "t", .has = has, .path = paths, .replace = true, .budget_n = 7, .budget_window_ns = 5 * S,
	};
	struct gf_sample s, t;
	struct gf_err err = { "" };
	struct gft_writer *w;

	(void)state;
	table_for(&s, &has);
	table_for(&t, &want);
	s.rows = s.live = 1;
	s.flags[0] = GF_ROW_VALID;
	s.pid[0] = 9;
	s.now_ns = 5 * S;
	s.col[GF_TF_COUNT][0] = 65;
	s.col[GF_TF_COUNT + 1][0] = 4194304;
	assert_int_equal(gft_writer_create(path("paths.gft"), &o, &w, &err), 0);
	assert_int_equal(gft_writer_failed(w, 4 * S, 1, "not yet", &err), 0);
	append(w, &s);
	assert_int_equal(gft_writer_failed(w, 6 * S, 77, "the guest is gone", &err), 0);
	s.now_ns = 7 * S;
	append(w, &s);
	gft_writer_finish(w, NULL);
	struct gft_reader *r = reader("paths.gft");
	const struct gft_info *info = gft_reader_info(r);
	assert_true(info->indexed && info->samples == 2 && info->has.paths == 2 && info->budget_n == 7 && info->budget_window_ns == 5 * S);
	assert_string_equal(info->path[1], "task->flags");
	assert_int_equal(gft_reader_set_paths(r, wanted, 3, &err), 0);
	assert_int_equal(gft_reader_next(r, &t, &err), 0);
	assert_true(gf_is_unknown(t.col[GF_TF_COUNT][0]));
	assert_true(t.col[GF_TF_COUNT + 1][0] == 4194304 && t.col[GF_TF_COUNT + 2][0] == 65);
	assert_int_equal(gft_reader_next(r, &t, &err), -EAGAIN);
	assert_string_equal(err.text, "the guest is gone");
	assert_true(t.now_ns == 6 * S && t.seq == 77);
	assert_int_equal(gft_reader_next(r, &t, &err), 0);
	assert_true(t.now_ns == 7 * S && t.gen[0] == 1);
	assert_int_equal(gft_reader_next(r, &t, &err), -ENODATA);
	gft_reader_close(r);
	gf_sample_deinit(&s);
	gf_sample_deinit(&t);
}

static void test_read_while_written(void **state)
{
	struct world w;
	struct gf_sample s;
	struct gf_err err = { "" };
	struct gft_reader *r = NULL;

	(void)state;
	world_init(&w, 4711);
	table_for(&s, &w.has);
	struct gft_writer *o = writer("live.gft", &w.has, 5);
	for (int i = 0; i < 23; i++) {
		world_step(&w);
		append(o, &w.s);
		if (!r)
			r = reader("live.gft");
		assert_int_equal(gft_reader_next(r, &s, &err), 0);
		assert_sample(&s, &w.s, &w.has, true);
		assert_int_equal(gft_reader_next(r, &s, &err), -ENODATA);
	}
	assert_false(gft_reader_info(r)->indexed);
	gft_writer_finish(o, NULL);
	assert_int_equal(gft_reader_next(r, &s, &err), -ENODATA);
	gft_reader_close(r);
	gf_sample_deinit(&s);
	world_deinit(&w);
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

/* This machine, with two hundred that sleep, as they do: what a process and a sample cost. */
static void test_size_of_steady_tasks(void **state)
{
	enum { SLEEPERS = 200, SAMPLES = 40 };
	struct gf_host_opts o = { .sampler = GF_SAMPLER_AUTO, .max_tasks = 8192 };
	struct gf_fieldset has = gf_fields_of(GF_TARGET_HOST);
	struct gft_writer_stats first = { 0 }, last;
	struct gf_err err = { "" };
	struct gf_target *t;
	pid_t kid[SLEEPERS];

	(void)state;
	for (int i = 0; i < SLEEPERS; i++) {
		kid[i] = fork();
		if (!kid[i]) {
			for (;;)
				pause();
		}
	}
	if (gf_host_create(&o, &t, &err) || gf_target_set_fields(t, &has, &err))
		fail_msg("%s", err.text);
	struct gft_writer *w = writer("steady.gft", &has, 1000);
	for (int i = 0; i < SAMPLES; i++) {
		if (gf_target_sample(t, &err))
			fail_msg("%s", err.text);
		append(w, &t->sample);
		if (i == SAMPLES / 4) /* command lines come a little later */
			gft_writer_stats(w, &first);
		nanosleep(&(struct timespec){ 0, 50000000 }, NULL);
	}
	gft_writer_stats(w, &last);
	double each = (double)(last.bytes - first.bytes) / (double)(last.rows - first.rows);
	double key = (double)first.bytes / (double)t->sample.live;
	printf("# %u tasks by %s, %zu fields: %.2f bytes a task and sample, %.1f in a key block; every %u samples: %.2f\n", t->sample.live,
	       t->road, (size_t)(__builtin_popcountll(has.task) + __builtin_popcount(has.str)), each, key, GFT_KEY_EVERY, each + key / GFT_KEY_EVERY);
	assert_true(each + key / GFT_KEY_EVERY <= 3);
	gft_writer_finish(w, NULL);
	gf_target_destroy(t);
	for (int i = 0; i < SLEEPERS; i++)
		kill(kid[i], SIGKILL);
	for (int i = 0; i < SLEEPERS; i++)
		waitpid(kid[i], NULL, 0);
}

static int setup(void **state)
{
	(void)state;
	/* in memory where that can be: nothing here is about disks */
	snprintf(dir, sizeof dir, "%s/gft-XXXXXX", access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm");
	return mkdtemp(dir) ? 0 : -1;
}

static int teardown(void **state)
{
	char cmd[128];

	(void)state;
	snprintf(cmd, sizeof cmd, "rm -rf %s", dir);
	return system(cmd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip), cmocka_unit_test(test_other_columns), cmocka_unit_test(test_cut_at_every_byte),
		cmocka_unit_test(test_damage_anywhere), cmocka_unit_test(test_blocks_out_of_order), cmocka_unit_test(test_rewind),
		cmocka_unit_test(test_reboot), cmocka_unit_test(test_paths_and_failures), cmocka_unit_test(test_read_while_written), cmocka_unit_test(test_killed),
		cmocka_unit_test(test_full_disk), cmocka_unit_test(test_what_is_no_recording), cmocka_unit_test(test_size_of_steady_tasks),
	};

	setvbuf(stdout, NULL, _IOLBF, 0);
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, setup, teardown);
}
