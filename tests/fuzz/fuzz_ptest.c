/* SPDX-License-Identifier: MIT
 *
 * Files of policy tests: the input is one. Whatever it is, it is read or refused with places inside it; and what could be read runs, if it
 * is short, over a policy that reads most kinds of fields.
 */
#include <stdlib.h>
#include <string.h>

#include "sim/ptest_run.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char policy[] =
	"protect comm ~ \"data*\"\n"
	"rule low-memory if mem.available < 10% for 2s until mem.available > 20% then SIGTERM largest where age > 1s then after 2s SIGKILL cooldown 3s\n"
	"rule busy if cpu > 90% and state == \"R\" for 2s then SIGSTOP tree of it then after 1s SIGCONT cooldown 1min\n"
	"rule many if count(where rate(majflt, 2s) > 1/s) > 2 or tasks.rate > 5/s then notify \"{mem.available}\" cooldown 1s\n";

static struct gf_image_header *image;
static struct gf_probes probes;

static void start(void)
{
	struct gf_source src = { "p", policy, sizeof policy - 1 };
	struct gf_compile_opts opts = { .period_ns = 1000000000, .warnings_off = true, .probes = &probes };
	struct gf_diags diags = { 0 };
	size_t n;

	if (gf_compile(&src, 1, &opts, &diags, &image, &n)) {
		gf_diags_print(&diags, &src, 1, stderr, false);
		abort();
	}
	gf_diags_deinit(&diags);
}

static void run(struct gf_ptest_file *f, struct gf_diags *diags)
{
	uint8_t *seen = calloc(probes.n + 1, 1);
	uint64_t ticks = 0, rows = 0;

	/* a few ticks of a few processes: more of the same costs time, and finds nothing */
	for (size_t i = 0; seen && i < f->tests && ticks < 60 && rows < 400; i++) {
		struct gf_ptest_case *c = &f->test[i];
		struct gf_ptest_outcome o;
		uint32_t all = 0;
		for (size_t k = 0; k < c->tasks; k++)
			all += c->task[k].count;
		gf_ptest_resolve(c, image, diags);
		if (c->recording || gf_ptest_ticks(c) > 40 || all > 200)
			continue;
		ticks += gf_ptest_ticks(c);
		rows += all;
		if (!gf_ptest_run(c, image, &probes, seen, &o))
			gf_ptest_outcome_deinit(&o);
	}
	free(seen);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct gf_source src = { "t.yaml", (const char *)data, size };
	struct gf_diags diags = { .limit = 50 };
	struct gf_ptest_file f;

	if (!image)
		start();
	if (size > 20000 || memchr(data, '/', size)) /* paths: nothing is to be looked for on this machine */
		return 0;
	if (!gf_ptest_parse(&src, &diags, &f)) {
		run(&f, &diags);
		gf_ptest_free(&f);
	} else if (!diags.errors) {
		abort(); /* refused, and nobody is told why */
	}
	for (size_t i = 0; i < diags.n; i++)
		if (diags.v[i].span.start > size || diags.v[i].span.end > size + 1 || !*diags.v[i].message)
			abort();
	gf_diags_deinit(&diags);
	return 0;
}
