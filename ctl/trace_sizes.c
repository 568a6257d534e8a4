/* SPDX-License-Identifier: MIT
 *
 * trace --sizes: what a recording's bytes are for.
 */
#include <stdlib.h>
#include <string.h>

#include "ctl/text.h"
#include "ctl/trace.h"
#include "sim/gft_sizes.h"

#define SHOWN 15 /* fields, the dearest first */

static const char *const class_name[GFT_COSTS] = {
	[GFT_COST_FRAME] = "frame", [GFT_COST_HOST] = "host", [GFT_COST_KEY] = "key_samples", [GFT_COST_COMING] = "coming_and_going",
	[GFT_COST_STAYING] = "staying",
};

static double of_processes(const struct gft_size_part *p)
{
	return p->size[GFT_COST_KEY].stored + p->size[GFT_COST_COMING].stored + p->size[GFT_COST_STAYING].stored;
}

static int dearer(const void *a, const void *b)
{
	double x = of_processes(a), y = of_processes(b);

	return (x < y) - (x > y);
}

static double per(double bytes, uint64_t n)
{
	return n ? bytes / (double)n : 0;
}

static double total(const struct gft_sizes *s)
{
	double sum = 0;

	for (int i = 0; i < GFT_COSTS; i++)
		sum += s->all[i].stored;
	return sum;
}

static void row(const struct gft_sizes *s, enum gft_cost c, const char *what, uint64_t n, const char *each)
{
	printf("%-34s %12llu %12.0f %6.1f  %9.2f %s\n", what, (unsigned long long)s->all[c].raw, s->all[c].stored,
	       100 * s->all[c].stored / total(s), per(s->all[c].stored, n), each);
}

static void print(const char *path, const struct gft_sizes *s)
{
	char safe[512];

	printf("%s\n%-34s %12s %12s %6s  %9s\n", gf_show_safe(path, safe, sizeof safe), "WHAT", "UNPACKED", "IN THE FILE", "%", "EACH");
	row(s, GFT_COST_FRAME, "frame: headers, lengths, index", s->samples, "a sample");
	row(s, GFT_COST_HOST, "fields of the host", s->samples, "a sample");
	row(s, GFT_COST_KEY, "processes in key samples", s->key_rows, "a process and key sample");
	row(s, GFT_COST_COMING, "processes that come and go", s->comings, "a process that comes");
	row(s, GFT_COST_STAYING, "processes that stay", s->staying, "a process and sample");
	printf("\n%.2f bytes a process and sample for those that stay, key samples included; of %llu, %.1f %% had changed\n", gft_sizes_steady(s),
	       (unsigned long long)s->staying, 100 * per((double)s->moving, s->staying));
	printf("\n%-34s %12s %12s %12s\n", "BYTES IN THE FILE BY FIELD", "STAYING", "COME AND GO", "KEY SAMPLES");
	for (size_t i = 0; i < s->parts && i < SHOWN && of_processes(&s->part[i]) > 0; i++)
		printf("%-34.34s %12.0f %12.0f %12.0f\n", s->part[i].name, s->part[i].size[GFT_COST_STAYING].stored,
		       s->part[i].size[GFT_COST_COMING].stored, s->part[i].size[GFT_COST_KEY].stored);
}

static json_t *classes(const struct gft_size size[GFT_COSTS])
{
	json_t *j = json_object();

	for (int i = 0; i < GFT_COSTS; i++)
		json_object_set_new(j, class_name[i], json_pack("{s:I, s:f}", "unpacked", (json_int_t)size[i].raw, "stored", size[i].stored));
	return j;
}

static json_t *as_json(const char *path, const struct gft_sizes *s)
{
	json_t *parts = json_array();

	for (size_t i = 0; i < s->parts; i++) {
		json_t *j = classes(s->part[i].size);
		json_object_set_new(j, "name", json_string(s->part[i].name));
		json_array_append_new(parts, j);
	}
	return json_pack("{s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:f, s:o, s:o}", "file", path, "samples", (json_int_t)s->samples, "key_samples",
			 (json_int_t)s->keys, "comings", (json_int_t)s->comings, "goings", (json_int_t)s->goings, "key_rows",
			 (json_int_t)s->key_rows, "staying", (json_int_t)s->staying, "changed", (json_int_t)s->moving, "steady_bytes",
			 gft_sizes_steady(s), "bytes", classes(s->all), "fields", parts);
}

int gf_ctl_sizes(const char *path, json_t *all)
{
	struct gft_sizes s;
	struct gf_err err = { "" };

	if (gft_sizes_of(path, &s, &err))
		return gf_ctl_fail(GF_EXIT_NO, "%s", err.text);
	qsort(s.part, s.parts, sizeof *s.part, dearer);
	if (all)
		json_array_append_new(all, as_json(path, &s));
	else
		print(path, &s);
	gft_sizes_deinit(&s);
	return GF_EXIT_OK;
}
