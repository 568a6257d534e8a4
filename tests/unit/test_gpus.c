/* SPDX-License-Identifier: MIT
 *
 * Which engine is asked for with which GPUs, and what is said of it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "daemon/gpus.h"

static const struct gf_gpu_info cards[] = { { .index = 0, .name = "A" }, { .index = 1, .name = "B" } };
static const struct gf_err none = { "no driver is loaded; install one" };

/* Which engine, or -errno; the sentence in `said`. */
static int choose(enum gf_engine_kind kind, uint64_t devices, size_t n, char said[512])
{
	struct gf_config c = { .engine = kind, .gpu.devices = devices };
	enum gf_engine_kind got = GF_ENGINE_GPU;
	struct gf_err err = { "" };
	int r = gf_gpus_choose(&c, cards, n, &none, &got, said, 512, &err);

	if (r)
		snprintf(said, 512, "%s", err.text);
	return r ? r : (int)got;
}

static void test_choice(void **state)
{
	char said[512];

	(void)state;
	assert_int_equal(choose(GF_ENGINE_CPU, 0, 2, said), GF_ENGINE_CPU);
	assert_string_equal(said, "as configured");
	assert_int_equal(choose(GF_ENGINE_AUTO, 0, 2, said), GF_ENGINE_AUTO);
	assert_string_equal(said, "");
	assert_int_equal(choose(GF_ENGINE_GPU, 2, 2, said), GF_ENGINE_GPU);
	assert_string_equal(said, "");
	/* none at all */
	assert_int_equal(choose(GF_ENGINE_AUTO, 0, 0, said), GF_ENGINE_CPU);
	assert_string_equal(said, "auto: no driver is loaded; install one");
	assert_int_equal(choose(GF_ENGINE_GPU, 0, 0, said), -ENODEV);
	assert_string_equal(said, "the GPU engine is asked for and there is no GPU for it: no driver is loaded; install one "
			    "(with engine.kind auto, or --engine auto, the CPU would do)");
	/* others than those asked for */
	assert_int_equal(choose(GF_ENGINE_AUTO, 4, 2, said), GF_ENGINE_CPU);
	assert_string_equal(said, "auto: engine.gpu.devices names no GPU that there is; there are 0 (A), 1 (B)");
	assert_int_equal(choose(GF_ENGINE_GPU, 2, 1, said), -ENODEV);
	assert_non_null(strstr(said, "engine.gpu.devices names no GPU that there is; there is 0 (A)"));
	/* some of them: better few than none */
	assert_int_equal(choose(GF_ENGINE_GPU, 1 | 1ull << 5 | 1ull << 63, 2, said), GF_ENGINE_GPU);
	assert_string_equal(said, "engine.gpu.devices: there is no GPU 5, 63");
}

static json_t *told(const struct gf_engine_stats *st)
{
	struct gf_jbuf b = { 0 };

	gf_engine_json(st, &b);
	json_t *j = json_loadb(b.p, b.n, 0, NULL);
	assert_non_null(j);
	gf_jbuf_deinit(&b);
	return j;
}

static void test_told(void **state)
{
	struct gf_engine_stats gpu = {
		.kind = GF_ENGINE_GPU, .gpu_device = 3, .gpu_blocks = 4, .gpu_threads = 256, .gpu_mode = GF_GPU_LAUNCH, .gpu_name = "NVIDIA \"H\"",
	};
	struct gf_engine_stats cpu = { .kind = GF_ENGINE_CPU, .why = "GPU 3 is gone", .takeovers = 1, .rt = true };
	char buf[128];

	(void)state;
	json_t *j = told(&gpu);
	assert_string_equal(json_string_value(json_object_get(j, "kind")), "gpu");
	assert_string_equal(json_string_value(json_object_get(j, "name")), "NVIDIA \"H\"");
	assert_string_equal(json_string_value(json_object_get(j, "mode")), "launch");
	assert_int_equal(json_integer_value(json_object_get(j, "device")), 3);
	assert_int_equal(json_integer_value(json_object_get(j, "threads")), 256);
	json_decref(j);
	j = told(&cpu);
	assert_string_equal(json_string_value(json_object_get(j, "kind")), "cpu");
	assert_string_equal(json_string_value(json_object_get(j, "why")), "GPU 3 is gone");
	assert_int_equal(json_integer_value(json_object_get(j, "takeovers")), 1);
	assert_null(json_object_get(j, "device"));
	json_decref(j);
	assert_string_equal(gf_engine_place(&gpu, buf, sizeof buf), "GPU 3 (NVIDIA \"H\")");
	assert_string_equal(gf_engine_place(&cpu, buf, sizeof buf), "the CPU");
	/* the host launches each tick of the one, and has no part in the other's */
	assert_true(gf_engine_needs_host(&cpu));
	assert_true(gf_engine_needs_host(&gpu));
	gpu.gpu_mode = GF_GPU_PERSISTENT;
	assert_false(gf_engine_needs_host(&gpu));
	gpu.gpu_mode = GF_GPU_RELAY; /* the device launches each itself */
	assert_false(gf_engine_needs_host(&gpu));
	j = told(&gpu);
	assert_string_equal(json_string_value(json_object_get(j, "mode")), "relay");
	json_decref(j);
	assert_string_equal(gf_gpus_neighbours(NULL, 0, buf, sizeof buf), "");
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_choice), cmocka_unit_test(test_told) };

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
