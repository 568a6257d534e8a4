/* SPDX-License-Identifier: MIT
 *
 * For tests of recordings: a world that changes by chance, and files of what it was.
 */
#ifndef TESTS_UNIT_GFT_KIT_H
#define TESTS_UNIT_GFT_KIT_H

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "sim/gft_int.h"
#include "targets/table.h"
#include "targets/target.h"

#define KIT __attribute__((unused)) static

#define S 1000000000ull
#define ROWS 200u
#define TEXTS 6

KIT char dir[64];
KIT uint64_t seed0;

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

KIT uint64_t chance(struct world *w, uint64_t n)
{
	w->x ^= w->x << 13;
	w->x ^= w->x >> 7;
	w->x ^= w->x << 17;
	return w->x % n;
}

KIT double number(struct world *w, double v)
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

KIT void world_init(struct world *w, uint64_t seed)
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

KIT void world_deinit(struct world *w)
{
	gf_table_deinit(&w->t);
	gf_sample_deinit(&w->s);
}

KIT void change_row(struct world *w, uint32_t row, bool fresh)
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

KIT void world_step(struct world *w)
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

KIT bool same_text(const struct gf_strref *a, const struct gf_strref *b)
{
	return !a->ver == !b->ver && (!a->ver || (a->len == b->len && !memcmp(a->p, b->p, a->len)));
}

KIT void assert_number(double a, double b, const char *what, unsigned k, uint32_t row)
{
	if (!gft_same(a, b))
		fail_msg("%s %u of row %u: %a, not %a (seed %llu)", what, k, row, a, b, (unsigned long long)seed0);
}

/* got is what was read of want. gens: reading began where writing did. */
KIT void assert_sample(const struct gf_sample *got, const struct gf_sample *want, const struct gf_fieldset *has, bool gens)
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

KIT const char *path(const char *name)
{
	static char p[128];

	snprintf(p, sizeof p, "%s/%s", dir, name);
	return p;
}

KIT struct gft_writer *writer(const char *name, const struct gf_fieldset *has, uint32_t key_every)
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

KIT void append(struct gft_writer *w, const struct gf_sample *s)
{
	struct gf_err err = { "" };

	if (gft_writer_append(w, s, &err))
		fail_msg("%s", err.text);
}

KIT struct gft_reader *reader(const char *name)
{
	struct gft_reader *r;
	struct gf_err err = { "" };

	if (gft_reader_open(path(name), &r, &err))
		fail_msg("%s", err.text);
	return r;
}

KIT void table_for(struct gf_sample *s, const struct gf_fieldset *has)
{
	assert_int_equal(gf_sample_init(s, ROWS, NULL), 0);
	assert_int_equal(gf_sample_set_fields(s, has, NULL), 0);
}

KIT uint64_t fresh_seed(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	const char *s = getenv("GFT_SEED");
	return s ? strtoull(s, NULL, 0) : (uint64_t)t.tv_nsec * 2654435761u + (uint64_t)t.tv_sec;
}

KIT uint8_t *slurp(const char *name, size_t *ret_n)
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

KIT void spill(const char *name, const void *p, size_t n)
{
	int fd = open(path(name), O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert_int_equal(write(fd, p, n), n);
	close(fd);
}

KIT size_t make(const char *name, uint64_t seed, unsigned steps, uint32_t key_every, size_t *end)
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

KIT int setup(void **state)
{
	(void)state;
	/* in memory where that can be: nothing here is about disks */
	snprintf(dir, sizeof dir, "%s/gft-XXXXXX", access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm");
	return mkdtemp(dir) ? 0 : -1;
}

KIT int teardown(void **state)
{
	char cmd[128];

	(void)state;
	snprintf(cmd, sizeof cmd, "rm -rf %s", dir);
	return system(cmd);
}

#endif
