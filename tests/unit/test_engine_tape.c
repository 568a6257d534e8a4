/* SPDX-License-Identifier: MIT
 *
 * Samples that a (an emulated) device takes by itself, recorded: simulated, the recording gives each event that the device said, to the last bit; what
 * there is no room for is counted, and missing in no other. The guest is a made-up kernel in which processes grow, come and go.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdio.h>
#include <unistd.h>

#include "compiler/compiler.h"
#include "gpu/dev_emu.h"
#include "sim/gft.h"
#include "sim/run.h"
#include "targets/vm_int.h"
#include "tests/helpers/fakekernel.h"
#include "tests/helpers/waits.h"
#include "tests/unit/imagetext.h"

#define MS 1000000ull
#define PAGE 4096
#define LIVES 24u
#define EVENTS 4000u
#define POLICY                                                                                                       \
	"rule big if rss > 3MiB for 20ms then SIGTERM it then after 30ms SIGKILL cooldown 50ms settle 20ms\n"         \
	"rule stop if comm == \"p7\" and rss > 2MiB then SIGSTOP it then after 40ms SIGCONT settle 30ms\n"             \
	"rule many if sum(rss) > 40MiB for 10ms then SIGKILL largest 2 where age > 50ms cooldown 100ms\n"             \
	"rule grows if rate(rss, 50ms) > 10MiB/s then SIGHUP it notify \"{comm} grows to {rss}\" cooldown 20ms\n"
#define STOP 1u /* the rule */
#define ARGS "rule args if cmdline ~ \"*-D*\" and rss > 2MiB for 10ms then SIGHUP it cooldown 20ms\n"

struct guest {
	struct fake *f;
	struct gf_vm *vm;
	struct gf_engine *e;
	struct gf_image_header *img[2];
	uint32_t images;
	/* its life */
	struct fake_task task[LIVES];
	pthread_t life;
	bool end;
	/* who records */
	struct gft_writer *w;
	char path[40];
	bool full;         /* has no room */
	uint64_t frames, seq, gaps, after[2], bad, first_ns; /* after: frames of each image */
};

static const struct gf_target_ops ops = {
	.kind = "vm", .sample = gf_vm_sample, .set_fields = gf_vm_set_fields, .set_paths = gf_vm_set_paths,
	.describe = gf_vm_describe, .destroy = gf_vm_unmake,
};

static bool get(const bool *p) { return __atomic_load_n(p, __ATOMIC_SEQ_CST); }
static void set(bool *p, bool v) { __atomic_store_n(p, v, __ATOMIC_SEQ_CST); }
static uint64_t count(const uint64_t *p) { return __atomic_load_n(p, __ATOMIC_SEQ_CST); }

/* ---- the guest ---- */

static void *life(void *arg)
{
	static const char args[] = "sshd\0-D\0-p 22";
	struct guest *g = arg;
	struct fake *f = g->f;
	uint64_t now = 5000000000000ull;

	for (uint32_t n = 0; !get(&g->end); n++) {
		struct fake_task *t = &g->task[fake_rand(f) % LIVES];
		uint32_t pid = 100 + 3 * (uint32_t)(t - g->task);
		fake_clock(f, now += MS);
		w64(f, t->mm + f->l.mm.rss[0], fake_rand(f) % 1200);
		if (n % 16 == 5) {
			fake_tree_put(f, pid, 0);
		} else if (n % 16 == 13) { /* another one */
			w64(f, t->task + f->l.task.start_boottime, now);
			w64(f, t->mm + f->l.mm.arg_start, 4u << 20);
			w64(f, t->mm + f->l.mm.arg_end, (4u << 20) + 1 + fake_rand(f) % (sizeof args - 1));
		}
		if (n % 16 == 13 || n % 64 == 0)
			for (uint32_t i = 0; i < LIVES; i++)
				fake_tree_put(f, 100 + 3 * i, g->task[i].pid);
		usleep(500);
	}
	return NULL;
}

static void make_guest(struct guest *g)
{
	static const uint32_t some[GF_RSS_PARTS] = { 100, 200, 30, 4 };
	char name[16];

	g->f = fake_new(16u << 20, 1, 0);
	fake_process(g->f, 1, "init", some);
	for (uint32_t i = 0; i < LIVES; i++) {
		snprintf(name, sizeof name, "p%u", i);
		g->task[i] = fake_process(g->f, 100 + 3 * i, name, some);
		w64(g->f, g->task[i].mm + g->f->l.mm.pgd, fake_user(g->f, "sshd\0-D\0-p 22", 14));
		w64(g->f, g->task[i].mm + g->f->l.mm.arg_start, 4u << 20);
		w64(g->f, g->task[i].mm + g->f->l.mm.arg_end, (4u << 20) + 14);
	}
}

/* ---- who records ---- */

static bool decided(void *arg, const struct gf_sample *s, int rc, uint64_t fp, const struct gf_fieldset *has)
{
	struct guest *g = arg;
	struct gf_err err = { "" };
	const struct gf_image_header *img = NULL;
	uint32_t which = 0;

	if (get(&g->full))
		return false;
	for (; which < g->images && !img; which += !img)
		img = g->img[which]->fp == fp ? g->img[which] : NULL;
	g->bad += !img || !has || memcmp(has, &img->fields, sizeof *has);
	g->gaps += g->seq ? s->seq - g->seq - 1 : 0;
	g->seq = s->seq;
	__atomic_fetch_add(&g->after[which & 1], 1, __ATOMIC_SEQ_CST);
	if (!rc && !g->first_ns)
		g->first_ns = s->now_ns;
	if (g->w && (rc ? gft_writer_failed(g->w, s->now_ns, s->seq, "it failed", &err) : gft_writer_append(g->w, s, &err)))
		g->bad++;
	__atomic_fetch_add(&g->frames, 1, __ATOMIC_SEQ_CST);
	return true;
}

static const struct gf_image_header *compile(struct guest *g, const char *policy)
{
	g->img[g->images] = image_of_text(policy, GF_TARGET_VM, MS, NULL);
	return g->img[g->images++];
}

static void begin(struct guest *g, const char *policy, enum gf_gpu_mode mode, bool write)
{
	const struct gf_engine_opts o = {
		.period_ns = 2 * MS, .budget_n = 20, .budget_window_ns = 500 * MS, .kind = GF_ENGINE_GPU, .gpu = { .mode = mode },
		.decided = decided, .decided_arg = g,
	};
	struct gft_writer_opts wo = { .target = "g", .kind = GF_TARGET_VM, .interval_ns = 2 * MS, .budget_n = 20, .budget_window_ns = 500 * MS, .replace = true };
	struct gf_err err = { "" };
	int fd;

	memset(g, 0, sizeof *g);
	gf_emu.life_ns = 20000 * MS;
	make_guest(g);
	wo.has = compile(g, policy)->fields;
	if (write) {
		strcpy(g->path, "/tmp/gpufas-tape-XXXXXX");
		fd = mkstemp(g->path);
		assert_true(fd >= 0);
		close(fd);
		if (gft_writer_create(g->path, &wo, &g->w, &err))
			fail_msg("%s", err.text);
	}
	if (gf_vm_make(&(struct gf_vm_opts){ .name = "g", .max_tasks = 256 }, &ops, &g->vm, &err) ||
	    gf_engine_create(&g->vm->t, g->img[0], &o, &g->e, &err) || gf_engine_start(g->e, &err))
		fail_msg("%s", err.text);
	gf_vm_publish(g->vm, fake_guest(g->f));
	assert_int_equal(pthread_create(&g->life, NULL, life, g), 0);
}

static struct gf_engine_stats stats(struct guest *g) { return engine_stats(g->e); }
static bool ticked(void *g, uint64_t n) { return stats(g).ticks >= n; }
static bool lost(void *g, uint64_t n) { return stats(g).unrecorded >= n; }
static bool framed(void *g, uint64_t n) { return count(&((struct guest *)g)->frames) >= n; }
static bool second(void *g, uint64_t n) { return count(&((struct guest *)g)->after[1]) >= n; }
static bool until(bool (*what)(void *of, uint64_t a), struct guest *g, uint64_t a) { return wait_until(g->e, what, g, a); }

static void stop(struct guest *g)
{
	gf_engine_stop(g->e);
	set(&g->end, true);
	pthread_join(g->life, NULL);
	assert_int_equal(stats(g).takeovers, 0);
	assert_int_equal(g->bad, 0);
	assert_int_equal(stats(g).unrecorded, g->gaps);
	if (g->w)
		assert_int_equal(gft_writer_finish(g->w, NULL), 0);
}

static void end(struct guest *g)
{
	gf_engine_destroy(g->e);
	gf_target_destroy(&g->vm->t);
	fake_free(g->f);
	for (uint32_t i = 0; i < g->images; i++)
		free(g->img[i]);
	if (g->w)
		unlink(g->path);
	assert_int_equal(gf_emu.used, 0);
	gf_emu = (struct gf_emu){ .devices = 1, .memory = 1ull << 40 };
}

/* ---- tests ---- */

struct said {
	struct gf_event *ev;
	uint32_t n, acted;
};

static void add(struct said *s, const struct gf_event *ev, uint64_t from_ns)
{
	struct gf_event *o = &s->ev[s->n];

	if (ev->kind == GF_EV_MISSED || ev->kind == GF_EV_DAEMON || ev->now_ns < from_ns)
		return; /* not of a sample, or of one before there was any */
	assert_true(s->n < EVENTS);
	*o = *ev;
	o->seq = o->wall_ns = o->decide_ns = 0;
	o->about = ev->about != 0;
	s->acted += ev->kind == GF_EV_ACTION;
	s->n++;
}

static void simulate(struct guest *g, struct said *ret)
{
	const struct gf_run_opts o = { 0 };
	struct gf_run_tick t;
	struct gf_feed *feed;
	struct gf_run *run;
	struct gf_err err = { "" };
	int rc;

	if (gft_feed_open(g->path, &feed, &err) || gf_run_create(feed, g->img[0], &o, &run, &err))
		fail_msg("%s", err.text);
	while (!(rc = gf_run_step(run, &t, &err)))
		for (size_t i = 0; i < t.events; i++)
			add(ret, &t.event[i], 0);
	assert_int_equal(rc, -ENODATA);
	gf_run_destroy(run);
	gf_feed_destroy(feed);
}

static void compare(const struct said *a, const struct said *b)
{
	for (uint32_t i = 0; i < GF_MIN(a->n, b->n); i++)
		if (memcmp(&a->ev[i], &b->ev[i], sizeof a->ev[i]))
			fail_msg("event %u: live: kind %u rule %u pid %d at %llu, simulated: kind %u rule %u pid %d at %llu", i, a->ev[i].kind, a->ev[i].rule,
				 a->ev[i].pid, (unsigned long long)a->ev[i].now_ns, b->ev[i].kind, b->ev[i].rule, b->ev[i].pid,
				 (unsigned long long)b->ev[i].now_ns);
	/* What an engine that stops says last is of no sample: it lets go of whom a rule has stopped. */
	for (uint32_t i = b->n; i < a->n; i++)
		assert_true(a->ev[i].kind == GF_EV_ACTION && a->ev[i].rule == STOP);
	assert_true(a->n >= b->n && a->n - b->n <= 1);
}

/* Whatever is said while it runs, until there are so many actions. */
static void listen(struct guest *g, struct said *ret, uint32_t actions)
{
	static struct gf_verdict v[512];
	struct gf_event ev[16];
	struct gf_event *all = ret->ev;
	uint32_t n = 0, acted = 0;
	size_t got;

	for (uint32_t i = 0; i < 60000 && acted < actions && n < EVENTS - 600; i++) {
		usleep(1000);
		while ((got = gf_engine_events(g->e, ev, 16)) > 0 && n < EVENTS - 600)
			for (size_t k = 0; k < got; k++, n++) {
				all[n] = ev[k];
				acted += ev[k].kind == GF_EV_ACTION;
			}
		gf_engine_verdicts(g->e, v, 512);
	}
	stop(g);
	while ((got = gf_engine_events(g->e, ev, 16)) > 0)
		for (size_t k = 0; k < got && n < EVENTS; k++)
			all[n++] = ev[k];
	for (uint32_t i = 0; i < n; i++) { /* in place: none moves down onto one that is still to come */
		const struct gf_event one = all[i];
		add(ret, &one, g->first_ns);
	}
}

static void exact(const char *policy, enum gf_gpu_mode mode, uint32_t actions)
{
	struct said live = { .ev = calloc(EVENTS, sizeof *live.ev) }, sim = { .ev = calloc(EVENTS, sizeof *sim.ev) };
	struct guest g;

	gf_emu.tape = 1u << 20; /* some hundred samples: it goes round */
	begin(&g, policy, mode, true);
	listen(&g, &live, actions);
	assert_int_equal(g.gaps, 0);
	simulate(&g, &sim);
	compare(&live, &sim);
	assert_true(live.acted >= actions / 2);
	print_message("# %llu samples, %u events, %u actions\n", (unsigned long long)g.frames, live.n, live.acted);
	end(&g);
	free(live.ev);
	free(sim.ev);
}

static void replayed(void **state)
{
	(void)state;
	exact(POLICY, GF_GPU_PERSISTENT, 50);
}

static void launched(void **state)
{
	(void)state;
	exact(POLICY, GF_GPU_LAUNCH, 20);
}

static void strings(void **state)
{
	(void)state;
	exact(ARGS, GF_GPU_PERSISTENT, 8);
}

/* Whoever records stands still: ticks go on, what there is no room for is counted, and afterwards it goes on. */
static void drops(void **state)
{
	struct guest g;
	uint64_t n;

	(void)state;
	gf_emu.tape = 64u << 10;
	begin(&g, POLICY, GF_GPU_PERSISTENT, false);
	assert_true(until(framed, &g, 20));
	assert_int_equal(stats(&g).unrecorded, 0);
	set(&g.full, true);
	n = stats(&g).ticks;
	assert_true(until(lost, &g, 50));
	assert_true(until(ticked, &g, n + 60));
	n = count(&g.frames);
	set(&g.full, false);
	assert_true(until(framed, &g, n + 50));
	stop(&g);
	assert_true(g.gaps >= 50);
	end(&g);
}

/* Another policy reads other fields: each sample says which it has, and by which it was decided. */
static void reload(void **state)
{
	struct guest g;

	(void)state;
	begin(&g, POLICY, GF_GPU_PERSISTENT, false);
	assert_true(until(framed, &g, 20));
	compile(&g, ARGS);
	assert_int_equal(gf_engine_swap(g.e, g.img[1], NULL), 0);
	assert_true(until(second, &g, 20));
	stop(&g);
	assert_int_equal(g.gaps, 0);
	end(&g);
}

/* It fails: what it had written is there, then the CPU's samples. */
static void takeover(void **state)
{
	struct guest g;
	uint64_t n;

	(void)state;
	begin(&g, POLICY, GF_GPU_PERSISTENT, false);
	assert_true(until(framed, &g, 20));
	gf_emu.failed = true;
	for (uint32_t i = 0; i < 20000 && stats(&g).kind != GF_ENGINE_CPU; i++)
		usleep(1000);
	assert_int_equal(stats(&g).kind, GF_ENGINE_CPU);
	n = count(&g.frames);
	assert_true(until(framed, &g, n + 20));
	gf_engine_stop(g.e);
	set(&g.end, true);
	pthread_join(g.life, NULL);
	assert_int_equal(stats(&g).unrecorded, 0);
	assert_true(g.bad > 0 && g.bad <= g.frames - 20); /* those of the CPU, which have more fields than the policy reads */
	end(&g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(replayed),
		cmocka_unit_test(launched),
		cmocka_unit_test(strings),
		cmocka_unit_test(drops),
		cmocka_unit_test(reload),
		cmocka_unit_test(takeover),
	};

	gf_dev_backend = &gf_dev_emu;
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
