/* SPDX-License-Identifier: MIT
 *
 * The GPU engine over an emulated device: that it says, bit for bit, what the CPU engine says of the same tables, and
 * that whatever a device does wrong ends with the CPU engine going on. With GF_TEST_DEV over that device: the first of these.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "gpu/dev_emu.h"
#include "gpu/engine_gpu.h"
#include "tests/unit/imagetext.h"
#include "tests/unit/kit.h"

#ifdef GF_TEST_DEV
struct gf_emu gf_emu; /* nobody looks at it */
#else
#define GF_TEST_DEV gf_dev_emu
#define EMULATED
#endif

static struct kit k;
static uint32_t blocks = 1, threads = 512;

#define ROWS 300u

/* Kills the largest while memory is low: steps, a tree, a hold, a history, a limit. */
static struct gf_image_header *make_image(uint64_t fp, uint32_t kill)
{
	struct gf_err err = { "" };
	struct gf_image_header *img;
	struct gf_rule *r;
	struct gf_step *s;
	uint32_t h, x;

	kit_init(&k);
	k.e.fp = fp;
	x = hist(&k, GF_SCOPE_TASK, GF_STAT_RATE, S, 8);
	sink(&k, number_of(&k, GF_TF_RSS), GF_SINK_HIST, x);
	h = hold(&k, GF_SCOPE_HOST, GF_HOLD_PERIODS, 3);
	ldh(&k, 0, GF_HF_MEM_AVAILABLE);
	ldk(&k, 1, 5);
	op(&k, GF_OP_LT, 0, 0, 1, 0);
	op(&k, GF_OP_HELD, 0, 0, 0, h);
	r = rule(&k, 0, prog(&k, GF_SCOPE_HOST, 1, 0, 0, 0));
	r->settle_ns = 10 * MS;
	s = step(&k, r, GF_ACT_SIGNAL, (int)kill, GF_PICK_LARGEST, 0);
	s->key = number_of(&k, GF_TF_RSS);
	s->group = GF_GROUP_TREE;
	step(&k, r, GF_ACT_SIGNAL, SIGCONT, GF_PICK_SAME, S / 2);
	img = kit_image(&k, &err);
	if (!img)
		fail_msg("verifier: %s", err.text);
	return img;
}

static struct fake *make_tasks(void)
{
	struct fake *f = fake_new(512);

	for (uint32_t i = 0; i < ROWS; i++)
		fake_task(f, i);
	f->t.sample.host[GF_HF_MEM_AVAILABLE] = 1;
	return f;
}

static struct gf_engine *make_engine(struct fake *f, const struct gf_image_header *img, uint64_t period, enum gf_engine_kind kind,
				     enum gf_gpu_mode mode)
{
	struct gf_engine_opts o = {
		.period_ns = period, .budget_n = 1000, .budget_window_ns = 60 * S, .kind = kind, .gpu = { .mode = mode, .blocks = blocks, .threads = threads },
	};
	struct gf_engine *e = NULL;
	struct gf_err err = { "" };

	if (gf_engine_create(&f->t, img, &o, &e, &err))
		fail_msg("%s", err.text);
	for (uint32_t i = 0; i < ROWS; i++)
		f->t.sample.col[GF_TF_RSS][i] = i;
	return e;
}

static uint64_t ticks(struct gf_engine *e)
{
	struct gf_engine_stats st;

	gf_engine_stats(e, &st);
	return st.ticks;
}

static void wait_ticks(struct gf_engine *e, uint64_t n)
{
	uint64_t from = ticks(e);

	for (int i = 0; i < 20000 && ticks(e) < from + n; i++)
		usleep(1000);
	assert_true(ticks(e) >= from + n);
}

static int on_gpu(struct gf_engine *e)
{
	struct gf_engine_stats st;

	gf_engine_stats(e, &st);
	return st.kind == GF_ENGINE_GPU;
}

/* ---- equality ------------------------------------------------------------------ */

struct pair {
	struct fake *f[2];
	struct gf_engine *e[2];
	struct gf_image_header *img[4];
	uint32_t images;
	uint64_t delta; /* between the two engines' event numbers */
	uint32_t events, verdicts;
};

static void pair_begin(struct pair *p, enum gf_gpu_mode mode)
{
	memset(p, 0, sizeof *p);
	p->img[p->images++] = make_image(1, SIGSTOP);
	for (int i = 0; i < 2; i++) {
		p->f[i] = make_tasks();
		p->f[i]->step_ns = 100 * MS;
		p->e[i] = make_engine(p->f[i], p->img[0], 100 * MS, i ? GF_ENGINE_GPU : GF_ENGINE_CPU, mode);
	}
	assert_true(on_gpu(p->e[1]));
	assert_false(on_gpu(p->e[0]));
}

static void pair_end(struct pair *p)
{
	for (int i = 0; i < 2; i++) {
		gf_engine_destroy(p->e[i]);
		gf_target_destroy(&p->f[i]->t);
	}
	for (uint32_t i = 0; i < p->images; i++)
		free(p->img[i]);
	assert_int_equal(gf_emu.used, 0);
}

/* Event numbers are the process's: the two engines' are apart, in one order. */
static void pair_tick(struct pair *p)
{
	static struct gf_event ev[2][64];
	static struct gf_verdict v[2][4096];
	size_t n[2], m[2];
	uint64_t base[2] = { 0, 0 };

	for (int i = 0; i < 2; i++) {
		assert_int_equal(gf_engine_tick(p->e[i], NULL), 0);
		n[i] = gf_engine_events(p->e[i], ev[i], 64);
		m[i] = gf_engine_verdicts(p->e[i], v[i], 4096);
		base[i] = n[i] ? ev[i][0].seq : 0;
	}
	assert_int_equal(n[0], n[1]);
	assert_int_equal(m[0], m[1]);
	for (size_t k2 = 0; k2 < n[0]; k2++) {
		assert_int_equal(ev[0][k2].seq - base[0], ev[1][k2].seq - base[1]);
		for (int i = 0; i < 2; i++) {
			ev[i][k2].wall_ns = 0;
			ev[i][k2].decide_ns = 0;
			ev[i][k2].seq = 0;
			ev[i][k2].about = ev[i][k2].about != 0;
		}
		assert_memory_equal(&ev[0][k2], &ev[1][k2], sizeof ev[0][0]);
	}
	for (size_t k2 = 0; k2 < m[0]; k2++) {
		assert_int_equal(v[0][k2].event - base[0], v[1][k2].event - base[1]);
		v[0][k2].event = v[1][k2].event = 0;
		assert_memory_equal(&v[0][k2], &v[1][k2], sizeof v[0][0]);
	}
	p->events += (uint32_t)n[0];
	p->verdicts += (uint32_t)m[0];
}

static void both(struct pair *p, void (*fn)(struct fake *f, uint32_t a), uint32_t a)
{
	fn(p->f[0], a);
	fn(p->f[1], a);
}

static void low(struct fake *f, uint32_t a)
{
	f->t.sample.host[GF_HF_MEM_AVAILABLE] = a;
}

static void leave(struct fake *f, uint32_t a)
{
	fake_gone(f, a);
}

static void come(struct fake *f, uint32_t a)
{
	fake_task(f, a);
	f->t.sample.col[GF_TF_RSS][a] = a;
}

static void scenario(enum gf_gpu_mode mode)
{
	struct pair p;

	pair_begin(&p, mode);
	for (uint32_t i = 0; i < 60; i++) {
		if (i % 10 == 5)
			both(&p, low, i % 20 == 5 ? 100 : 1);
		if (i % 7 == 3)
			both(&p, leave, ROWS - 1 - i / 7);
		if (i % 7 == 6)
			both(&p, come, ROWS - 1 - i / 7);
		if (i == 30 || i == 45) {
			p.img[p.images] = make_image(i, i == 30 ? SIGSTOP : SIGKILL);
			for (int e = 0; e < 2; e++)
				assert_int_equal(gf_engine_swap(p.e[e], p.img[p.images], NULL), 0);
			p.images++;
		}
		if (i == 50 || i == 55)
			for (int e = 0; e < 2; e++)
				gf_engine_set_observe(p.e[e], i == 50);
		pair_tick(&p);
	}
	assert_true(p.events > 3);
	assert_true(p.verdicts > 3);
	assert_true(on_gpu(p.e[1]));
	pair_end(&p);
}

static void same_launched(void **state)
{
	(void)state;
	scenario(GF_GPU_LAUNCH);
}

static void same_on_lanes(void **state)
{
	static const uint32_t shape[][2] = { { 1, 32 }, { 1, 1024 }, { 2, 256 }, { 4, 512 } };

	(void)state;
	for (uint32_t i = 0; i < sizeof shape / sizeof *shape; i++) {
		gf_emu.lanes = i + 1;
		blocks = shape[i][0];
		threads = shape[i][1];
		scenario(GF_GPU_LAUNCH);
	}
	gf_emu.lanes = 0;
	blocks = 1;
	threads = 512;
}

/* ---- life ------------------------------------------------------------------------ */

struct life {
	struct fake *f;
	struct gf_engine *e;
	struct gf_image_header *img;
};

static struct life life_begin(uint64_t period, enum gf_gpu_mode mode)
{
	struct life l = { .f = make_tasks(), .img = make_image(1, SIGSTOP) };

	l.f->step_ns = period;
	l.e = make_engine(l.f, l.img, period, GF_ENGINE_GPU, mode);
	assert_int_equal(gf_engine_start(l.e, NULL), 0);
	return l;
}

static void life_end(struct life *l)
{
	gf_engine_destroy(l->e);
	gf_target_destroy(&l->f->t);
	free(l->img);
	assert_int_equal(gf_emu.used, 0);
}

static void lives(enum gf_gpu_mode mode)
{
	struct life l = life_begin(10 * MS, mode);
	struct gf_image_header *next = make_image(2, SIGSTOP);
	struct gf_rule_view v[4];
	struct gf_engine_stats st;
	uint64_t fp;

	gf_engine_rules(l.e, v, 4, &fp);
	wait_ticks(l.e, 80);
	assert_int_equal(gf_engine_rules(l.e, v, 4, &fp), 1);
	assert_int_equal(v[0].truth, GF_TRUE);
	assert_int_equal(gf_engine_swap(l.e, next, NULL), 0);
	wait_ticks(l.e, 10);
	gf_engine_stop(l.e);
	assert_int_equal(gf_engine_start(l.e, NULL), 0);
	wait_ticks(l.e, 10);
	gf_engine_stats(l.e, &st);
	assert_int_equal(st.kind, GF_ENGINE_GPU);
	assert_string_equal(st.why, "");
	assert_int_equal(st.image_fp, 2);
	free(l.img);
	l.img = next;
	life_end(&l);
}

/* First where each kernel is launched after the reload: a tool that knows only of memory from before a launch sees all of the reload there. */
static void runs_launched(void **state)
{
	(void)state;
	lives(GF_GPU_LAUNCH);
}

static void runs(void **state)
{
	(void)state;
	lives(GF_GPU_PERSISTENT);
}

static void runs_relayed(void **state)
{
	if (getenv("GPUFAS_NO_RELAY")) {
		print_message("# SKIP runs_relayed: under this tool a relay was seen not to come back\n");
		skip();
	}
	(void)state;
	lives(GF_GPU_RELAY);
}

/* Several on one device: one ends, is launched anew and ends while the others go on. */
static void beside(void **state)
{
	(void)state;
	if (getenv("GPUFAS_ONE_KERNEL")) {
		print_message("# SKIP beside: kernels are run one after the other here\n");
		skip();
	}
	for (int mode = 0; mode <= GF_GPU_RELAY; mode += GF_GPU_RELAY) {
		struct life a = life_begin(10 * MS, (enum gf_gpu_mode)mode), b = life_begin(10 * MS, (enum gf_gpu_mode)mode);
		wait_ticks(a.e, 10);
		wait_ticks(b.e, 10);
		for (int i = 0; i < 3; i++) {
			gf_engine_stop(a.e);
			wait_ticks(b.e, 10);
			assert_int_equal(gf_engine_start(a.e, NULL), 0);
			wait_ticks(a.e, 10);
		}
		assert_true(on_gpu(a.e) && on_gpu(b.e));
		gf_engine_destroy(a.e);
		gf_target_destroy(&a.f->t);
		free(a.img);
		wait_ticks(b.e, 20);
		assert_true(on_gpu(b.e));
		life_end(&b);
	}
}

#ifdef EMULATED
static int heard(struct gf_engine *e, const char *what)
{
	static struct gf_event ev[64];
	size_t n;

	while ((n = gf_engine_events(e, ev, 64)))
		for (size_t i = 0; i < n; i++)
			if (ev[i].kind == GF_EV_DAEMON && strstr(ev[i].text, what) && ev[i].rule == GF_NONE)
				return 1;
	return 0;
}

/* Whatever happens to the device, the CPU goes on: with the same ticks, in the rule's second step. */
static void taken_over(volatile bool *what, enum gf_gpu_mode mode, const char *why)
{
	struct life l = life_begin(10 * MS, mode);
	struct gf_engine_stats st;
	struct gf_verdict v[64];
	uint64_t before;
	size_t n, stops = 0, conts = 0;
	uint32_t spent;

	for (int i = 0; i < 1000 && !stops; i++) {
		usleep(2000);
		for (n = gf_engine_verdicts(l.e, v, 64); n--;)
			stops += v[n].arg == SIGSTOP;
	}
	assert_true(stops);
	wait_ticks(l.e, 1);
	gf_engine_stats(l.e, &st);
	spent = st.budget_used;
	assert_true(spent);
	before = ticks(l.e);
	*what = true;
	for (int i = 0; i < 3000 && on_gpu(l.e); i++)
		usleep(1000);
	assert_false(on_gpu(l.e));
	wait_ticks(l.e, 5);
	gf_engine_stats(l.e, &st);
	assert_true(st.ticks > before);
	assert_int_equal(st.takeovers, 1);
	assert_true(st.budget_used >= spent); /* nothing is given back within a minute */
	assert_non_null(strstr(st.why, why));
	assert_true(heard(l.e, "was given up"));
	for (int i = 0; i < 3000 && conts < stops; i++) {
		for (n = gf_engine_verdicts(l.e, v, 64); n--;)
			conts += v[n].arg == SIGCONT;
		usleep(1000);
	}
	assert_int_equal(conts, stops);
	*what = false;
	usleep(20000);
	life_end(&l);
}

static void hangs(void **state)
{
	(void)state;
	taken_over(&gf_emu.hung, GF_GPU_PERSISTENT, "not answered");
}

static void fails(void **state)
{
	(void)state;
	taken_over(&gf_emu.failed, GF_GPU_PERSISTENT, "illegal memory access");
}

static void fails_launched(void **state)
{
	(void)state;
	taken_over(&gf_emu.failed, GF_GPU_LAUNCH, "illegal memory access");
}

static void relays(void **state)
{
	(void)state;
	taken_over(&gf_emu.hung, GF_GPU_RELAY, "not answered");
	taken_over(&gf_emu.failed, GF_GPU_RELAY, "illegal memory access");
}

/* A reload tries it again: what the device was is known to the CPU, and goes back with it. One that still fails is said to. */
static void tried_again(void **state)
{
	struct gf_engine_stats st;
	struct gf_verdict v[64];
	size_t n, stops, conts;

	(void)state;
	for (int how = 0; how < 3; how++) {
		struct life l = life_begin(10 * MS, GF_GPU_PERSISTENT);
		struct gf_image_header *next = make_image(1, SIGSTOP); /* the same rule: its state stays */
		for (stops = conts = 0; !stops;) {
			usleep(2000);
			for (n = gf_engine_verdicts(l.e, v, 64); n--;)
				stops += v[n].arg == SIGSTOP;
		}
		*(how ? &gf_emu.failed : &gf_emu.hung) = true;
		for (int i = 0; i < 10000 && on_gpu(l.e); i++)
			usleep(1000);
		assert_false(on_gpu(l.e));
		gf_engine_stats(l.e, &st);
		assert_non_null(strstr(st.why, "`gpufasctl reload` tries it again"));
		if (how < 2) {
			gf_emu.failed = gf_emu.hung = false;
			usleep(100000); /* its kernel ends */
		}
		assert_int_equal(gf_engine_swap(l.e, next, NULL), 0);
		gf_engine_stats(l.e, &st);
		assert_int_equal(st.kind, how < 2 ? GF_ENGINE_GPU : GF_ENGINE_CPU);
		assert_true(how < 2 ? !st.why[0] : strstr(st.why, "could not be had again") && strstr(st.why, "`gpufasctl reload` tries it again"));
		wait_ticks(l.e, 20);
		/* who was stopped is let go, now or when the step is due */
		for (int i = 0; i < 3000 && conts < stops; i++) {
			for (n = gf_engine_verdicts(l.e, v, 64); n--;)
				conts += v[n].arg == SIGCONT;
			usleep(1000);
		}
		assert_true(conts >= stops);
		assert_int_equal(on_gpu(l.e), how < 2);
		gf_engine_stop(l.e); /* what the policy is of is freed first */
		free(l.img);
		l.img = next;
		gf_emu.failed = false;
		life_end(&l);
	}
}

static void set_rss(struct fake *f, double v)
{
	for (uint32_t i = 0; i < ROWS; i++)
		f->t.sample.col[GF_TF_RSS][i] = v;
}

static void ticks_by_hand(struct life *l, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		assert_int_equal(gf_engine_tick(l->e, NULL), 0);
}

/* What the CPU knew when it went on for a device the first time is not what it knows when it does so again: meanwhile the device has looked. */
static void given_up_twice(void **state)
{
	static const char text[] = "rule latch if mem.available < 1000B until mem.available > 3000B then log\n"
				   "rule hold if mem.available < 2500B for 1s then log\n"
				   "rule window if delta(rss, 1s) > 1000B then log\n"
				   "rule most if max(rss, 1s) > 1000000B then log\n";
	struct life l = { .f = make_tasks(), .img = image_of_text(text, GF_TARGET_HOST, 100 * MS, NULL) };
	struct gf_image_header *next = image_of_text(text, GF_TARGET_HOST, 100 * MS, NULL);

	(void)state;
	l.e = make_engine(l.f, l.img, 100 * MS, GF_ENGINE_GPU, GF_GPU_LAUNCH);
	low(l.f, 5000);
	set_rss(l.f, 100);
	ticks_by_hand(&l, 3);
	gf_emu.failed = true;
	low(l.f, 500);
	ticks_by_hand(&l, 15);
	assert_false(on_gpu(l.e));
	assert_int_equal(l.e->st->rule[0].truth, GF_TRUE);
	assert_int_equal(l.e->st->rule[1].truth, GF_TRUE);
	set_rss(l.f, 2e6);
	ticks_by_hand(&l, 1);
	assert_int_equal(l.e->st->rule[2].truth, GF_TRUE);
	gf_emu.failed = false;
	usleep(100000); /* its kernel ends */
	assert_int_equal(gf_engine_swap(l.e, next, NULL), 0);
	assert_true(on_gpu(l.e));
	low(l.f, 5000);
	set_rss(l.f, 3000);
	ticks_by_hand(&l, 15);
	gf_emu.failed = true;
	low(l.f, 2000);
	set_rss(l.f, 5000);
	ticks_by_hand(&l, 1);
	assert_false(on_gpu(l.e));
	assert_int_equal(l.e->st->rule[0].truth, GF_FALSE);
	for (uint32_t i = 1; i < 4; i++)
		assert_int_not_equal(l.e->st->rule[i].truth, GF_TRUE);
	ticks_by_hand(&l, 15);
	assert_int_equal(l.e->st->rule[0].truth, GF_FALSE);
	assert_int_equal(l.e->st->rule[1].truth, GF_TRUE);
	set_rss(l.f, 9000);
	ticks_by_hand(&l, 1);
	assert_int_equal(l.e->st->rule[2].truth, GF_TRUE);
	assert_int_equal(l.e->st->rule[3].truth, GF_FALSE);
	gf_emu.failed = false;
	free(l.img);
	l.img = next;
	life_end(&l);
}

static void lose(struct life *l)
{
	gf_emu.failed = true;
	for (int i = 0; i < 10000 && on_gpu(l->e); i++)
		usleep(1000);
	assert_false(on_gpu(l->e));
	gf_emu.failed = false;
}

/* A reload, by a policy that is the same: what runs the ticks then, and what status says. */
static void reloaded(struct life *l, bool gpu, const char *why)
{
	struct gf_image_header *next = make_image(1, SIGKILL), *old = l->img;
	struct gf_engine_stats st;

	l->img = next;
	assert_int_equal(gf_engine_swap(l->e, next, NULL), 0);
	gf_engine_stats(l->e, &st);
	free(old);
	assert_int_equal(st.kind, gpu ? GF_ENGINE_GPU : GF_ENGINE_CPU);
	if (!why)
		assert_string_equal(st.why, "");
	else if (!strstr(st.why, why))
		fail_msg("%s lacks %s", st.why, why);
}

/* Three reloads in a row that come to nothing, and it is left alone; one that works for a while ends the row, however often it has been lost. */
static void tried_three_times(void **state)
{
	struct life l = life_begin(10 * MS, GF_GPU_PERSISTENT);
	struct gf_engine_stats st;

	(void)state;
	for (int i = 0; i < 6; i++) {
		l.e->gpu->proven_ns = 0;
		lose(&l);
		reloaded(&l, true, NULL);
		wait_ticks(l.e, 3);
	}
	lose(&l); /* within the minute: the try before was in vain */
	for (int i = 1; i < 3; i++) {
		gf_emu.failed = true;
		reloaded(&l, false, i < 2 ? "`gpufasctl reload` tries it again" : "restart gpufasd to use it again");
		gf_emu.failed = false;
	}
	reloaded(&l, false, "restart gpufasd to use it again"); /* though it is well */
	gf_engine_stats(l.e, &st);
	assert_int_equal(st.takeovers, 7); /* a try is none */
	assert_true(heard(l.e, "restart gpufasd"));
	wait_ticks(l.e, 3);
	life_end(&l);
}

static int created(enum gf_engine_kind kind, struct gf_engine **ret, struct gf_err *err, struct fake *f, struct gf_image_header *img)
{
	struct gf_engine_opts o = { .period_ns = 10 * MS, .kind = kind };

	return gf_engine_create(&f->t, img, &o, ret, err);
}

/* What keeps a device from being used: an error where it must be one, else a reason. */
static void no_device(void **state)
{
	struct fake *f = make_tasks();
	struct gf_image_header *img = make_image(1, SIGSTOP);
	struct gf_engine *e = NULL;
	struct gf_err err = { "" };
	struct gf_engine_stats st;

	(void)state;
	for (int i = 0; i < 3; i++) {
		gf_emu.devices = i != 0;
		gf_emu.busy = i == 1;
		gf_emu.memory = i == 2 ? 1 << 20 : 1ull << 40;
		assert_true(created(GF_ENGINE_GPU, &e, &err, f, img) < 0);
		assert_non_null(strstr(err.text, i == 0 ? "no device" : i == 1 ? "exclusive" : "no memory"));
		assert_int_equal(created(GF_ENGINE_AUTO, &e, &err, f, img), 0);
		gf_engine_stats(e, &st);
		assert_int_equal(st.kind, GF_ENGINE_CPU);
		assert_string_not_equal(st.why, "");
		assert_int_equal(gf_engine_tick(e, NULL), 0);
		gf_engine_destroy(e);
		assert_int_equal(gf_emu.used, 0);
	}
	gf_emu.devices = 1;
	gf_emu.busy = false;
	gf_emu.memory = 1ull << 40;
	assert_int_equal(created(GF_ENGINE_CPU, &e, &err, f, img), 0);
	gf_engine_stats(e, &st);
	assert_string_equal(st.why, "");
	gf_engine_destroy(e);
	gf_target_destroy(&f->t);
	free(img);
}

/* A policy for which the device has no room is run by the CPU, and the reload is none that failed. */
static void no_room_for_a_reload(void **state)
{
	struct life l = life_begin(10 * MS, GF_GPU_PERSISTENT);
	struct gf_image_header *next = make_image(7, SIGSTOP);
	struct gf_engine_stats st;

	(void)state;
	wait_ticks(l.e, 3);
	gf_emu.memory = gf_emu.used;
	assert_int_equal(gf_engine_swap(l.e, next, NULL), 0);
	wait_ticks(l.e, 3);
	gf_engine_stats(l.e, &st);
	assert_int_equal(st.kind, GF_ENGINE_CPU);
	assert_int_equal(st.image_fp, 7);
	assert_non_null(strstr(st.why, "no room"));
	gf_emu.memory = 1ull << 40;
	free(l.img);
	l.img = next;
	life_end(&l);
}

static uint32_t blocks_now(struct gf_engine *e)
{
	struct gf_engine_stats st;

	gf_engine_stats(e, &st);
	return st.gpu_blocks;
}

/* How many blocks a target of so many processes gets where nobody says so. */
static void blocks_chosen(void **state)
{
	static const struct {
		uint32_t tasks, multiprocessors, cluster, targets, devices;
		enum gf_gpu_mode mode;
		uint32_t want;
	} of[] = {
		{ 3000, 132, 16, 0, 1, GF_GPU_PERSISTENT, 16 }, { 2999, 132, 16, 1, 1, GF_GPU_PERSISTENT, 8 }, { 599, 132, 16, 1, 1, GF_GPU_PERSISTENT, 4 },
		{ 299, 132, 16, 1, 1, GF_GPU_PERSISTENT, 1 }, { 3000, 132, 8, 1, 1, GF_GPU_PERSISTENT, 8 }, { 3000, 132, 0, 1, 1, GF_GPU_PERSISTENT, 4 },
		/* kernels stay: all of them must find room */
		{ 3000, 132, 16, 8, 1, GF_GPU_PERSISTENT, 16 }, { 3000, 132, 16, 9, 1, GF_GPU_PERSISTENT, 8 }, { 3000, 132, 16, 17, 1, GF_GPU_PERSISTENT, 4 },
		{ 3000, 132, 16, 16, 2, GF_GPU_PERSISTENT, 16 }, { 3000, 132, 16, 200, 1, GF_GPU_PERSISTENT, 1 }, { 3000, 8, 16, 1, 1, GF_GPU_PERSISTENT, 8 },
		/* what the device launches has no other blocks that meet, and few */
		{ 3000, 132, 0, 1, 1, GF_GPU_RELAY, 1 }, { 3000, 132, 16, 1, 1, GF_GPU_RELAY, 4 },
	};
	struct gf_image_header *img = make_image(1, SIGSTOP);
	struct fake *f = make_tasks();

	(void)state;
	for (uint32_t i = 0; i < sizeof of / sizeof *of; i++) {
		struct gf_engine_opts o = { .period_ns = 10 * MS, .kind = GF_ENGINE_GPU, .gpu = { .mode = of[i].mode, .targets = of[i].targets } };
		struct gf_err err = { "" };
		struct gf_engine *e;
		uint32_t got;
		gf_emu.devices = (int)of[i].devices;
		gf_emu.multiprocessors = of[i].multiprocessors;
		gf_emu.cluster = of[i].cluster;
		if (gf_engine_create(&f->t, img, &o, &e, &err))
			fail_msg("case %u: %s", i, err.text);
		assert_int_equal(blocks_now(e), 1); /* nobody has been seen yet */
		got = gf_gpu_shape(e, e->gpu, of[i].tasks);
		if (got != of[i].want)
			fail_msg("case %u: %u blocks, not %u", i, got, of[i].want);
		gf_engine_destroy(e);
	}
	gf_target_destroy(&f->t);
	free(img);
	gf_emu.devices = 1;
	gf_emu.multiprocessors = gf_emu.cluster = 0;
}

static void wait_blocks(struct gf_engine *e, uint32_t n)
{
	for (int i = 0; i < 20000 && blocks_now(e) != n; i++)
		usleep(1000);
	assert_int_equal(blocks_now(e), n);
	assert_true(on_gpu(e));
	wait_ticks(e, 5);
}

/* They change with the processes that there are, between two ticks, while it serves. */
static void blocks_changed(void **state)
{
	(void)state;
	gf_emu.multiprocessors = 132;
	gf_emu.cluster = 16;
	blocks = 0;
	for (int mode = 0; mode <= GF_GPU_RELAY; mode++) {
		struct life l = { .f = fake_new(1024), .img = make_image(1, SIGSTOP) };
		for (uint32_t i = 0; i < 700; i++)
			fake_task(l.f, i);
		l.f->step_ns = 10 * MS;
		l.e = make_engine(l.f, l.img, 10 * MS, GF_ENGINE_GPU, (enum gf_gpu_mode)mode);
		l.e->gpu->calm_ns = 100 * MS;
		assert_int_equal(gf_engine_start(l.e, NULL), 0);
		wait_blocks(l.e, mode == GF_GPU_RELAY ? 4 : 8);
		gf_engine_stop(l.e);
		for (uint32_t i = 100; i < 700; i++)
			fake_gone(l.f, i);
		assert_int_equal(gf_engine_start(l.e, NULL), 0);
		wait_blocks(l.e, 1);
		life_end(&l);
	}
	blocks = 1;
	gf_emu.multiprocessors = gf_emu.cluster = 0;
}

static struct life many_begin(void)
{
	struct life l = { .f = fake_new(1024), .img = make_image(1, SIGSTOP) };

	gf_emu.multiprocessors = 132;
	gf_emu.cluster = 16;
	blocks = 0;
	for (uint32_t i = 0; i < 700; i++)
		fake_task(l.f, i);
	l.f->step_ns = 10 * MS;
	l.e = make_engine(l.f, l.img, 10 * MS, GF_ENGINE_GPU, GF_GPU_PERSISTENT);
	return l;
}

static void many_end(struct life *l)
{
	life_end(l);
	blocks = 1;
	gf_emu.multiprocessors = gf_emu.cluster = 0;
}

/* A shape that is refused changes nothing. */
static void shape_refused(void **state)
{
	struct life l = many_begin();

	(void)state;
	gf_emu.no_follow = EAGAIN;
	assert_int_equal(gf_engine_start(l.e, NULL), 0);
	wait_ticks(l.e, 50);
	assert_int_equal(blocks_now(l.e), 1);
	assert_true(on_gpu(l.e));
	gf_emu.no_follow = 0;
	wait_blocks(l.e, 8);
	many_end(&l);
}

/* One that fails half way costs the device, since nobody knows what it would run next: the CPU goes on, from the tick that was run. */
static void shape_failed(void **state)
{
	struct life l = many_begin();

	(void)state;
	gf_emu.no_follow = EIO;
	assert_int_equal(gf_engine_start(l.e, NULL), 0);
	for (int i = 0; i < 10000 && on_gpu(l.e); i++)
		usleep(1000);
	assert_false(on_gpu(l.e));
	assert_true(heard(l.e, "its kernel cannot be started"));
	wait_ticks(l.e, 20);
	gf_emu.no_follow = 0;
	many_end(&l);
}

/* One that is never placed costs a takeover, once: the next reload tries the GPU without it. */
static void shape_lost(void **state)
{
	struct life l = many_begin();
	struct gf_image_header *next = make_image(1, SIGSTOP);

	(void)state;
	assert_int_equal(gf_engine_start(l.e, NULL), 0);
	wait_blocks(l.e, 8);
	gf_emu.hung = true;
	for (int i = 0; i < 10000 && on_gpu(l.e); i++)
		usleep(1000);
	assert_false(on_gpu(l.e));
	gf_emu.hung = false;
	usleep(100000); /* it ends */
	assert_int_equal(gf_engine_swap(l.e, next, NULL), 0);
	free(l.img);
	l.img = next;
	assert_true(on_gpu(l.e));
	usleep(1200000);
	wait_ticks(l.e, 20);
	assert_true(on_gpu(l.e));
	assert_int_equal(blocks_now(l.e), 1);
	many_end(&l);
}

/* What rules know stays: the CPU, which has no shape, says the same tick by tick. */
static void same_in_any_shape(void **state)
{
	struct pair p;

	(void)state;
	gf_emu.multiprocessors = 132;
	gf_emu.cluster = 16;
	blocks = 0;
	pair_begin(&p, GF_GPU_LAUNCH);
	p.e[1]->gpu->calm_ns = 1;
	for (uint32_t i = 0, n = ROWS; i < 90; i++) {
		if (i % 10 == 5)
			both(&p, low, i % 20 == 5 ? 100 : 1);
		for (; i >= 30 && i < 60 && n > 100; n--)
			both(&p, leave, n - 1);
		for (; i >= 60 && n < ROWS; n++)
			both(&p, come, n);
		if (i == 30 || i == 60)
			usleep(1100000); /* not more often than once a second */
		pair_tick(&p);
		assert_int_equal(blocks_now(p.e[1]), i >= 30 && i < 60 ? 1 : 4);
	}
	assert_true(p.events > 3);
	assert_true(p.verdicts > 3);
	assert_true(on_gpu(p.e[1]));
	pair_end(&p);
	blocks = 1;
	gf_emu.multiprocessors = gf_emu.cluster = 0;
}

/* Of several devices a new engine goes to the one with the fewest; of those that may be used. */
static void spread(void **state)
{
	struct life l[4];
	struct gf_gpu_info info[4];
	struct gf_engine_stats st;

	(void)state;
	gf_emu.devices = 3;
	for (int i = 0; i < 4; i++) {
		l[i] = life_begin(20 * MS, GF_GPU_PERSISTENT);
		gf_engine_stats(l[i].e, &st);
		assert_int_equal(st.gpu_device, i % 3);
	}
	assert_int_equal(gf_gpu_list(info, 4, NULL), 3);
	assert_int_equal(info[0].targets, 2);
	assert_int_equal(info[2].targets, 1);
	for (int i = 0; i < 4; i++)
		wait_ticks(l[i].e, 3);
	for (int i = 0; i < 4; i++) {
		gf_engine_destroy(l[i].e);
		gf_target_destroy(&l[i].f->t);
		free(l[i].img);
	}
	assert_int_equal(gf_gpu_list(info, 4, NULL), 3);
	assert_int_equal(info[0].targets, 0);
	assert_int_equal(gf_emu.used, 0);
	gf_emu.devices = 1;
}
#endif

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(same_launched),
		cmocka_unit_test(same_on_lanes),
		cmocka_unit_test(runs_launched), cmocka_unit_test(runs), cmocka_unit_test(runs_relayed),
		cmocka_unit_test(beside),
#ifdef EMULATED
		cmocka_unit_test(hangs),
		cmocka_unit_test(fails),
		cmocka_unit_test(fails_launched),
		cmocka_unit_test(relays),
		cmocka_unit_test(given_up_twice),
		cmocka_unit_test(tried_again), cmocka_unit_test(tried_three_times),
		cmocka_unit_test(no_device),
		cmocka_unit_test(no_room_for_a_reload),
		cmocka_unit_test(blocks_chosen),
		cmocka_unit_test(blocks_changed),
		cmocka_unit_test(same_in_any_shape),
		cmocka_unit_test(shape_refused),
		cmocka_unit_test(shape_failed),
		cmocka_unit_test(shape_lost),
		cmocka_unit_test(spread),
#endif
	};

	gf_dev_backend = &GF_TEST_DEV;
	gf_emu.life_ns = S;
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
