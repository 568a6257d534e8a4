/* SPDX-License-Identifier: MIT
 *
 * The GPU engine against the CPU engine on random verified programs over random tables: the same events and verdicts, bit for
 * bit, also over reloads. Which device: the emulated one, or where this is built for it (tests/gpu/) the GPU.
 *   GF_SEED=N    another start (printed)          GF_CASES=N   so many images (default 60, or 2000 on a GPU)
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <time.h>

#include "gpu/dev.h"
#include "gpu/engine.h"
#include "tests/unit/plain.h"
#include "tests/unit/progen.h"

#ifndef GF_TEST_DEV
#define GF_TEST_DEV gf_dev_emu
#define CASES 60u
#else
#define CASES 2000u
#endif
#define ROWS 384u /* a multiple of a chunk */
#define RELOADS 4u /* images that one pair of engines gets one after the other */
#define EVENTS 512u
#define VERDICTS 8192u

static struct progen gen[2];
static struct gf_event ev[2][EVENTS];
static struct gf_verdict vd[2][VERDICTS];

struct pair {
	struct fake *f[2];
	struct gf_engine *e[2];
	uint64_t events, verdicts, ticks;
};

static uint64_t number(const char *name, uint64_t otherwise)
{
	const char *s = getenv(name);

	return s && *s ? strtoull(s, NULL, 0) : otherwise;
}

static void begin(struct pair *p, const struct gf_image_header *img)
{
	struct gf_engine_stats st;
	struct gf_err err = { "" };

	for (int i = 0; i < 2; i++) {
		struct gf_engine_opts o = {
			.period_ns = 100 * MS, .budget_n = 10, .budget_window_ns = S, .kind = i ? GF_ENGINE_GPU : GF_ENGINE_CPU, .gpu.mode = GF_GPU_LAUNCH,
		};
		p->f[i] = fake_new(ROWS);
		p->f[i]->step_ns = 100 * MS;
		if (gf_engine_create(&p->f[i]->t, img, &o, &p->e[i], &err))
			fail_msg("%s", err.text);
	}
	gf_engine_stats(p->e[1], &st);
	if (st.kind != GF_ENGINE_GPU)
		fail_msg("no GPU runs it: %s", st.why);
}

static void end(struct pair *p)
{
	for (int i = 0; i < 2; i++) {
		gf_engine_destroy(p->e[i]);
		gf_target_destroy(&p->f[i]->t);
	}
}

/* What no two runs have in common: times of day, and the process' numbers, of which both engines take theirs. Which event of these a
 * verdict belongs to, and their order, stays. */
static void normal(struct gf_event *e, size_t n, struct gf_verdict *v, size_t m)
{
	for (size_t k = 0; k < m; k++) {
		size_t of = 0;
		while (of < n && e[of].seq != v[k].event)
			of++;
		v[k].event = of;
		plain_verdict(&v[k]);
	}
	for (size_t k = 0; k < n; k++) {
		if (k)
			assert_true(e[k].seq > e[0].seq);
		e[k].wall_ns = e[k].decide_ns = 0;
		e[k].about = e[k].about != 0;
		plain_event(&e[k]);
	}
	for (size_t k = 0; k < n; k++)
		e[k].seq = k;
}

/* Which bytes of the two. */
static const char *where(const void *a, const void *b, size_t size)
{
	static char text[200];
	const uint8_t *x = a, *y = b;
	size_t n = 0, at = 0;

	for (size_t i = 0; i < size && at < sizeof text - 40; i++)
		if (x[i] != y[i] && n++ < 16)
			at += (size_t)snprintf(text + at, sizeof text - at, "+%zu %02x %02x ", i, x[i], y[i]);
	return text;
}

static void tick(struct pair *p, uint64_t seed)
{
	size_t n[2], m[2];

	for (int i = 0; i < 2; i++) {
		progen_table(&gen[i], p->f[i]);
		if (gf_engine_tick(p->e[i], NULL))
			fail_msg("seed %llu: a tick fails", (unsigned long long)seed);
		n[i] = gf_engine_events(p->e[i], ev[i], EVENTS);
		m[i] = gf_engine_verdicts(p->e[i], vd[i], VERDICTS);
		normal(ev[i], n[i], vd[i], m[i]);
	}
	if (n[0] != n[1] || m[0] != m[1])
		fail_msg("seed %llu: %zu and %zu events, %zu and %zu verdicts", (unsigned long long)seed, n[0], n[1], m[0], m[1]);
	for (size_t k = 0; k < n[0]; k++)
		if (memcmp(&ev[0][k], &ev[1][k], sizeof ev[0][0]))
			fail_msg("seed %llu: event %zu of %zu differs: %s", (unsigned long long)seed, k, n[0], where(&ev[0][k], &ev[1][k], sizeof ev[0][0]));
	for (size_t k = 0; k < m[0]; k++)
		if (memcmp(&vd[0][k], &vd[1][k], sizeof vd[0][0]))
			fail_msg("seed %llu: verdict %zu of %zu differs: %s", (unsigned long long)seed, k, m[0], where(&vd[0][k], &vd[1][k], sizeof vd[0][0]));
	p->events += n[0];
	p->verdicts += m[0];
	p->ticks++;
}

static void same_as_cpu(void **state)
{
	uint64_t seed = number("GF_SEED", (uint64_t)time(NULL)), cases = number("GF_CASES", getenv("GF_TEST_SMALL") ? 8 : CASES);
	struct gf_image_header *img[RELOADS];
	struct pair p = { 0 };
	struct gf_err err = { "" };

	(void)state;
	printf("# GF_SEED=%llu, %llu images\n", (unsigned long long)seed, (unsigned long long)cases);
	for (uint64_t n = 0; n < cases; n++, seed++) {
		uint32_t k = n % RELOADS;
		img[k] = progen_image(&gen[0], seed, 1, &err);
		if (!img[k])
			fail_msg("seed %llu: verifier: %s", (unsigned long long)seed, err.text);
		gen[1] = gen[0]; /* the tables of both are made by the same numbers */
		if (!k)
			begin(&p, img[k]);
		else
			for (int i = 0; i < 2; i++)
				if (gf_engine_swap(p.e[i], img[k], &err))
					fail_msg("seed %llu: reload: %s", (unsigned long long)seed, err.text);
		for (int i = 0; i < 6; i++)
			tick(&p, seed);
		if (k == RELOADS - 1 || n == cases - 1) {
			end(&p);
			for (uint32_t i = 0; i <= k; i++)
				free(img[i]);
		}
	}
	printf("# %llu ticks, %llu events, %llu verdicts, all the same\n", (unsigned long long)p.ticks, (unsigned long long)p.events,
	       (unsigned long long)p.verdicts);
	assert_true(p.events > 0 && p.verdicts > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(same_as_cpu) };
	struct gf_err err = { "" };

	gf_dev_backend = &GF_TEST_DEV;
	if (gf_dev_backend->count(&err) <= 0) {
		printf("1..0 # SKIP %s\n", err.text);
		return 0;
	}
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
