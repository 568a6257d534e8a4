/* SPDX-License-Identifier: MIT
 *
 * Histories of other tools. The first byte of the input chooses the importer. Samples come in the order of their times,
 * with rows, parents and texts that hold; what is wrong is said of a line that is there.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "sim/import.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static volatile uint32_t sum;
static uint64_t last_ns, samples, bads;

static int sample(void *arg, const struct gf_sample *s, int64_t wall_off_ns, struct gf_err *err)
{
	uint32_t live = 0;

	(void)arg;
	(void)wall_off_ns;
	(void)err;
	assert(!samples || s->now_ns > last_ns);
	last_ns = s->now_ns;
	samples++;
	for (uint32_t i = 0; i < s->rows; i++) {
		live += s->flags[i] != 0;
		assert(s->parent[i] == GF_NONE || (s->parent[i] < s->rows && s->flags[s->parent[i]]));
		for (int f = 0; f < GF_SF_COUNT; f++)
			for (uint32_t k = 0; s->str[f] && s->str[f][i].ver && k < s->str[f][i].len; k++)
				sum += (uint8_t)s->str[f][i].p[k];
	}
	assert(live == s->live);
	return 0;
}

static void bad(void *arg, uint64_t line, const char *what)
{
	(void)arg;
	assert(line && *what);
	bads++;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char kinds[] = "apncj";
	static const char *const names[] = { "atop", "pidstat", "node-exporter", "csv", "jsonl" };
	struct gf_import_sink sink = { .sample = sample, .bad = bad, .max_tasks = 256 };
	struct gf_import_result res;
	struct gf_err err = { "" };
	const char *k = size > 1 ? strchr(kinds, *data ? *data : 1) : NULL;
	FILE *f;

	if (!k)
		return 0;
	f = fmemopen((void *)(data + 1), size - 1, "r");
	if (!f)
		return 0;
	samples = bads = last_ns = 0;
	if (gf_import(gf_import_kind(names[k - kinds]), f, &sink, &res, &err))
		assert(*err.text);
	assert(res.samples == samples && res.bad == bads);
	gf_import_result_deinit(&res);
	fclose(f);
	return 0;
}
