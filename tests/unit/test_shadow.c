/* SPDX-License-Identifier: MIT
 *
 * A shadow policy beside one that a GPU (an emulated one) runs over a guest which it samples by itself: evaluated all the same, on samples of
 * its own; beside a CPU on the very same.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "compiler/compiler.h"
#include "daemon/daemon.h"
#include "gpu/dev_emu.h"
#include "targets/vm_int.h"
#include "tests/helpers/fakekernel.h"
#include "tests/unit/policytext.h"

#define MS 1000000ull
#define SEC 1000000000ull
#define BOTH "rule stops if comm == \"victim\" then SIGSTOP it settle 1h\n"
#define ALONE "rule ends if comm == \"other\" then SIGKILL it settle 1h\n"

struct guest {
	struct fake *f;
	struct gf_config config;
	struct gf_config_target target;
	struct gf_daemon daemon;
	struct gf_watch w;
};

/* As the watch has it: what the tick said goes to the shadow where the host runs it. */
static void after(void *arg, int rc, const struct gf_event *ev, uint32_t n)
{
	gf_shadow_tick(((struct guest *)arg)->w.shadow, rc, ev, n);
}

static void begin(struct guest *g, enum gf_engine_kind kind, enum gf_gpu_mode mode, const char *active)
{
	static const struct gf_target_ops ops = {
		.kind = "vm", .sample = gf_vm_sample, .set_fields = gf_vm_set_fields, .set_paths = gf_vm_set_paths,
		.describe = gf_vm_describe, .destroy = gf_vm_unmake,
	};
	static const uint32_t some[GF_RSS_PARTS] = { 100, 200, 30, 4 };
	struct gf_engine_opts o = { .period_ns = 5 * MS, .budget_n = 100, .budget_window_ns = SEC, .kind = kind, .gpu = { .mode = mode }, .after = after, .after_arg = g };
	struct gf_err err = { "" };
	struct gf_vm *vm;

	memset(g, 0, sizeof *g);
	gf_emu.life_ns = 20 * SEC;
	g->f = fake_new(16u << 20, 1, 0);
	fake_process(g->f, 1, "init", some);
	fake_process(g->f, 500, "victim", some);
	fake_process(g->f, 503, "other", some);
	g->config.budget_n = 100;
	g->config.budget_window_ns = SEC;
	g->target.kind = GF_TARGET_VM;
	g->daemon.config = &g->config;
	g->w = (struct gf_watch){ .daemon = &g->daemon, .config = &g->target, .name = "g", .period_ns = 5 * MS, .policy = policy_of_text(active, 5 * MS) };
	assert_int_equal(gf_policies_create(&g->w.policies), 0);
	gf_policies_add(g->w.policies, g->w.policy);
	assert_int_equal(gf_vm_make(&(struct gf_vm_opts){ .name = "g", .max_tasks = 256 }, &ops, &vm, &err), 0);
	g->w.target = &vm->t;
	assert_int_equal(gf_shadow_create(&g->w, &g->w.shadow), 0);
	if (gf_engine_create(g->w.target, g->w.policy->img, &o, &g->w.engine, &err))
		fail_msg("%s", err.text);
}

static void start(struct guest *g)
{
	struct gf_err err = { "" };

	if (gf_engine_start(g->w.engine, &err) || gf_shadow_start(g->w.shadow, &err))
		fail_msg("%s", err.text);
	gf_vm_publish((struct gf_vm *)(void *)g->w.target, fake_guest(g->f));
}

static void set(struct guest *g, const char *text)
{
	struct gf_policy *p = text ? policy_of_text(text, 5 * MS) : NULL;
	struct gf_err err = { "" };

	if (gf_shadow_set(g->w.shadow, g->w.policy, p, &err))
		fail_msg("%s", err.text);
	gf_policy_put(p);
}

static void end(struct guest *g)
{
	gf_engine_stop(g->w.engine);
	gf_shadow_stop(g->w.shadow);
	gf_engine_destroy(g->w.engine);
	gf_shadow_destroy(g->w.shadow);
	gf_target_destroy(g->w.target);
	gf_policies_destroy(g->w.policies);
	gf_policy_put(g->w.policy);
	fake_free(g->f);
	assert_int_equal(gf_emu.used, 0);
	gf_emu = (struct gf_emu){ .devices = 1, .memory = 1ull << 40 };
}

/* As the reporter does; what the shadow has found. */
static struct gf_shadow_stats look(struct guest *g)
{
	struct gf_shadow_stats *st = malloc(sizeof *st), ret;
	struct gf_verdict v[64];
	struct gf_event ev[8];
	size_t n;

	while ((n = gf_engine_events(g->w.engine, ev, 8)) > 0)
		gf_shadow_saw(g->w.shadow, ev, n);
	gf_engine_verdicts(g->w.engine, v, 64);
	assert_non_null(st);
	gf_shadow_stats(g->w.shadow, st);
	ret = *st;
	free(st);
	return ret;
}

#define UNTIL(g, cond)                                     \
	do {                                               \
		struct gf_shadow_stats st_;                \
		int i_ = 0;                                \
		do {                                       \
			st_ = look(g);                     \
			usleep(1000);                      \
		} while (!(st_.cond) && ++i_ < 20000);     \
		if (!(st_.cond))                           \
			fail_msg("never " #cond);          \
	} while (0)

static void has(struct guest *g, const char *what, bool is)
{
	struct gf_jbuf b = { 0 };
	char *text;

	gf_jbuf_open(&b, '{');
	gf_shadow_json(g->w.shadow, &b);
	gf_jbuf_close(&b, '}');
	text = strndup(b.p, b.n);
	assert_non_null(text);
	if ((strstr(text, what) != NULL) != is)
		fail_msg("%s: %s", what, text);
	free(text);
	gf_jbuf_deinit(&b);
}

/* On a device, by either mode, and on the CPU: what both would do, and what only the shadow would, are found. */
static void compares(void **state)
{
	(void)state;
	for (int k = 0; k < 3; k++) {
		struct guest g;
		begin(&g, k < 2 ? GF_ENGINE_GPU : GF_ENGINE_CPU, k == 1 ? GF_GPU_LAUNCH : GF_GPU_PERSISTENT, BOTH);
		set(&g, BOTH ALONE);
		/* a device is asked for nothing more */
		assert_int_equal(g.w.also_shadow.str != 0, k == 2);
		start(&g);
		UNTIL(&g, agreed == 1);
		UNTIL(&g, actions == 2);
		assert_int_equal(look(&g).only_shadow, 0);
		fake_clock(g.f, 5060 * SEC);
		UNTIL(&g, only_shadow == 1);
		assert_int_equal(look(&g).only_active, 0);
		assert_int_equal(look(&g).apart, k < 2);
		has(&g, k < 2 ? "\"samples\":\"own\"" : "\"samples\":\"same\"", true);
		has(&g, "ends: would send SIGKILL", true);
		has(&g, "\"unseen\":0", true);
		end(&g);
	}
}

/* Of whom the policy in force ended before the shadow looked again nothing can be said, and that is said. */
static void gone_meanwhile(void **state)
{
	struct guest g;
	struct gf_event ev;

	(void)state;
	begin(&g, GF_ENGINE_GPU, GF_GPU_PERSISTENT, BOTH);
	set(&g, ALONE);
	start(&g);
	UNTIL(&g, actions == 1 && st_.active_actions == 1);
	memset(&ev, 0, sizeof ev);
	ev = (struct gf_event){ .seq = UINT64_MAX / 2, .now_ns = 5001 * SEC, .image_fp = g.w.policy->img->fp, .kind = GF_EV_ACTION, .pid = 777, .start_ns = 4 };
	gf_shadow_saw(g.w.shadow, &ev, 1);
	gf_shadow_saw(g.w.shadow, &ev, 1); /* an event that comes by both roads counts once */
	UNTIL(&g, active_actions == 2);
	fake_clock(g.f, 5060 * SEC);
	UNTIL(&g, only_active == 2);
	assert_int_equal(look(&g).unseen, 1);
	assert_int_equal(look(&g).only_shadow, 1);
	has(&g, "\"unseen\":true", true);
	end(&g);
}

/* Reloads: another one, none, one again; a device that comes and goes, and kernel paths, which a view of its own may follow. */
static void reloads(void **state)
{
	struct guest g;

	(void)state;
	begin(&g, GF_ENGINE_GPU, GF_GPU_PERSISTENT, BOTH);
	start(&g);
	has(&g, "\"shadow\":null", true);
	set(&g, ALONE);
	UNTIL(&g, actions == 1);
	set(&g, ALONE BOTH);
	UNTIL(&g, actions >= 1 && st_.ticks);
	set(&g, NULL);
	has(&g, "\"shadow\":null", true);
	assert_false(gf_shadow_stats(g.w.shadow, &(struct gf_shadow_stats){ 0 }));
	/* (a made-up kernel has no types to find a path in: its guest is not there any more) */
	gf_vm_retire((struct gf_vm *)(void *)g.w.target);
	set(&g, "rule deep if task->mm->map_count > 1 then log settle 1h\n");
	UNTIL(&g, ticks > 2 && st_.apart && st_.stale);
	has(&g, "\"why_not\":\"\"", true);
	end(&g);
}

/* The guest goes away: no tick of either, and the shadow says why. */
static void guest_goes(void **state)
{
	struct guest g;

	(void)state;
	begin(&g, GF_ENGINE_GPU, GF_GPU_PERSISTENT, BOTH);
	set(&g, ALONE);
	start(&g);
	UNTIL(&g, ticks > 2 && !st_.stale);
	gf_vm_retire((struct gf_vm *)(void *)g.w.target);
	UNTIL(&g, stale);
	has(&g, "\"stale\":true", true);
	has(&g, "\"sample_error\":\"\"", false);
	end(&g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(compares),
		cmocka_unit_test(gone_meanwhile),
		cmocka_unit_test(reloads),
		cmocka_unit_test(guest_goes),
	};

	gf_dev_backend = &gf_dev_emu;
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
