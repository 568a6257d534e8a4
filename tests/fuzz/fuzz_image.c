/* SPDX-License-Identifier: MIT
 *
 * Images: the verifier never reads outside what it is given, and what it passes
 * can be disassembled and run by the engine, for some ticks over tasks that come,
 * change and go, without a fault. The checksum is set right first, or nothing
 * would ever get behind it.
 */
#include <stdlib.h>
#include <string.h>

#include "compiler/compiler.h"
#include "gpu/engine.h"
#include "targets/target.h"

#define ROWS 128u
#define TICKS 6u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static FILE *sink;

/* A target made of numbers: the same for every run. */
struct fake {
	struct gf_target t;
	uint64_t x;
	uint32_t ver;
};

static uint64_t next(struct fake *f)
{
	f->x ^= f->x << 13;
	f->x ^= f->x >> 7;
	f->x ^= f->x << 17;
	return f->x;
}

static double number(struct fake *f)
{
	switch (next(f) % 8) {
	case 0: return gf_unknown();
	case 1: return 0;
	case 2: return 1e300;
	case 3: return -1;
	default: return (double)(next(f) % 1000000007u);
	}
}

static int fake_sample(struct gf_target *t, struct gf_err *err)
{
	struct fake *f = (struct fake *)t;
	struct gf_sample *s = &t->sample;
	static const char *const words[] = { "", "bash", "sshd", "a long name with spaces", "\xff\x80" };

	(void)err;
	s->seq++;
	s->now_ns += 100000000u + next(f) % 1000000u;
	s->rows = ROWS;
	s->live = 0;
	for (uint32_t i = 0; i < ROWS; i++) {
		if (next(f) % 8 == 0)
			s->gen[i]++;
		s->flags[i] = (uint8_t)(next(f) % 4 ? GF_ROW_VALID : next(f));
		s->live += s->flags[i] & GF_ROW_VALID;
		s->pid[i] = (int32_t)i + 1000;
		s->start_ns[i] = s->gen[i] + 1;
		s->parent[i] = next(f) % 4 ? (uint32_t)(next(f) % ROWS) : GF_NONE;
		s->uid[i] = (uint32_t)(next(f) % 3) * 1000u;
		memcpy(s->comm[i], "fuzz\0\0\0\0\0\0\0\0\0\0\0", GF_COMM_LEN);
		for (unsigned c = 0; c < GF_COLS; c++)
			if (s->col[c])
				s->col[c][i] = number(f);
		for (int c = 0; c < GF_SF_COUNT; c++) {
			if (!s->str[c])
				continue;
			const char *w = words[next(f) % 5];
			s->str[c][i] = (struct gf_strref){ w, (uint32_t)strlen(w), next(f) % 4 ? ++f->ver : 0 };
		}
	}
	for (int h = 0; h < GF_HF_COUNT; h++)
		s->host[h] = number(f);
	return 0;
}

static int fake_set_fields(struct gf_target *t, const struct gf_fieldset *f, struct gf_err *err)
{
	return gf_sample_set_fields(&t->sample, f, err);
}

/* Reads the texts to their ends. */
static int fake_set_paths(struct gf_target *t, const char *const *path, size_t n, struct gf_err *err)
{
	(void)t;
	for (size_t i = 0; i < n; i++)
		if (strlen(path[i]) >= GF_PATH_TEXT)
			return gf_err_set(err, EINVAL, "a path that the verifier should not have passed");
	return 0;
}

static void fake_destroy(struct gf_target *t)
{
	gf_sample_deinit(&t->sample);
}

static void run(const struct gf_image_header *image)
{
	static const struct gf_target_ops ops = {
		.kind = "fuzz", .sample = fake_sample, .set_fields = fake_set_fields, .destroy = fake_destroy,
		.set_paths = fake_set_paths,
	};
	struct gf_engine_opts opts = {
		.period_ns = 100000000u, .max_tasks = ROWS, .budget_n = 256, .budget_window_ns = 1000000000u,
	};
	struct fake f = { .t = { .ops = &ops }, .x = 88172645463325252u };
	struct gf_engine *e = NULL;
	struct gf_err err;

	if (gf_sample_init(&f.t.sample, ROWS, &err))
		return;
	f.t.sample.now_ns = 1000000000000u;
	if (!gf_engine_create(&f.t, image, &opts, &e, &err)) {
		static struct gf_event ev[16];
		static struct gf_verdict v[256];
		static struct gf_rule_view view[16];
		uint64_t fp;

		for (uint32_t i = 0; i < TICKS; i++) {
			gf_engine_tick(e, &err);
			gf_engine_rules(e, view, 16, &fp);
			while (gf_engine_events(e, ev, 16) == 16)
				;
			while (gf_engine_verdicts(e, v, 256) == 256)
				;
		}
		gf_engine_destroy(e);
	}
	gf_target_destroy(&f.t);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct gf_err err;

	if (!sink)
		sink = fopen("/dev/null", "w");
	/* A block of exactly this size: reading past it is seen. */
	void *copy = NULL;
	if (posix_memalign(&copy, 8, size ? size : 1))
		return 0;
	memcpy(copy, data, size);
	struct gf_image_header *h = copy;
	/* The checksum covers h->size bytes: set it only where these are there. */
	if (size >= sizeof *h && h->size == size)
		h->checksum = gf_image_checksum(h);
	if (!gf_verify(h, size, &err)) {
		gf_disasm(h, sink);
		/* Tables a policy could ask for and a fuzzer's memory limit could not. */
		if (h->sec[GF_SEC_HIST].count <= 16 && h->sec[GF_SEC_HOLD].count <= 256)
			run(h);
	}
	free(copy);
	return 0;
}
