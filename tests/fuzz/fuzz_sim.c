/* SPDX-License-Identifier: MIT
 *
 * What simulate is told on its command line. The first byte of the input chooses: 's' --sweep, over the numbers of a policy ('S': of a
 * policy that is in the input, up to its first NUL); 'w' --what-if; 't' --from and --to. What is taken makes sense: values are numbers that
 * the policy's text can hold, times are in order; what is refused is said.
 */
#include <assert.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "compiler/compiler.h"
#include "sim/knobs.h"
#include "sim/model.h"
#include "sim/when.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char policy[] =
	"let much = 2GiB\n"
	"rule low-memory if mem.available < 10% for 2s until mem.available > 20% then SIGTERM largest where age > 1s then after 2s SIGKILL cooldown 3s\n"
	"rule busy if cpu > 90% and rss > much for 2s then SIGSTOP it then after 1s SIGCONT cooldown 1min limit 3 per 10min\n"
	"rule many if count(where rate(majflt, 2s) > 1/s) > 2 or rate(rss, 1s) > 5MiB/s then notify \"x\" cooldown 1s\n";

static void compile(const struct gf_source *src)
{
	struct gf_compile_opts opts = { .period_ns = 1000000000, .warnings_off = true };
	struct gf_diags diags = { .limit = 5 };
	struct gf_image_header *img = NULL;
	size_t n;
	int rc = gf_compile(src, 1, &opts, &diags, &img, &n);

	/* too much of something is said; that it is no number would be our fault */
	for (size_t i = 0; rc && i < diags.n; i++)
		assert(!strstr(diags.v[i].message, "syntax error") && !strstr(diags.v[i].message, "is not a unit"));
	free(img);
	gf_diags_deinit(&diags);
}

static void sweep(const char *text, const struct gf_source *src, bool known)
{
	struct gf_knobs k = { 0 };
	struct gf_err err = { "" };
	struct gf_source made = { 0 };
	struct gf_sweep s;

	if (gf_knobs_find(src, 1, &k))
		abort();
	for (size_t i = 0; i < k.n; i++) {
		assert(k.v[i].span.start < k.v[i].span.end && k.v[i].span.end <= src->len && *k.v[i].name && memchr(k.v[i].name, 0, sizeof k.v[i].name));
		gf_knob_is_threshold(&k, &k.v[i]);
	}
	if (gf_sweep_parse(&k, text, &s, &err)) {
		assert(*err.text);
		gf_knobs_deinit(&k);
		return;
	}
	assert(s.n && s.n <= GF_SWEEP_VALUES && s.knob >= k.v && s.knob < k.v + k.n);
	for (size_t i = 0; i < s.n; i += s.n > 3 ? s.n / 3 : 1) {
		assert(memchr(s.value[i], 0, sizeof s.value[i]) && *s.value[i]);
		if (gf_knobs_set(src, 1, &s, &i, 1, &made))
			abort();
		assert(made.len == src->len - (s.knob->span.end - s.knob->span.start) + strlen(s.value[i]));
		if (known && !i)
			compile(&made);
		free((char *)(uintptr_t)made.text);
	}
	gf_sweep_deinit(&s);
	gf_knobs_deinit(&k);
}

static void what_if(const char *text)
{
	struct gf_what_if w = { 0 };
	struct gf_err err = { "" };
	char said[256];

	if (gf_what_if_parse(text, &w, &err)) {
		assert(*err.text);
		return;
	}
	assert(isfinite(w.by) && (w.how == GF_WHAT_IF_PLUS || w.by >= 0) && (unsigned)w.field < GF_HF_COUNT);
	assert(*gf_what_if_text(&w, said, sizeof said));
}

static void times(const char *text, size_t n)
{
	struct gf_when w = { 0 };
	uint64_t ns = 0, whole;

	if (n < 24)
		return;
	memcpy(&w.first_ns, text, 8);
	memcpy(&w.last_ns, text + 8, 8);
	memcpy(&w.wall_ns, text + 16, 8);
	w.first_ns >>= 2; /* as a reader has them */
	w.last_ns = w.first_ns + (w.last_ns >> 2);
	text += 24;
	if (!gf_when_span(text, &whole))
		assert(whole <= GF_MAX_NS && !gf_when_moment(text, &w, &ns) && (ns >= w.first_ns || !whole));
	if (!gf_when_moment(text, &w, &ns))
		assert(ns > 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct gf_source src = { "p", policy, sizeof policy - 1 };
	char *text, *at;

	if (size < 2 || size > 8192 || !(text = malloc(size)))
		return 0;
	memcpy(text, data + 1, size - 1);
	text[size - 1] = 0;
	at = text + strnlen(text, size - 1) + 1; /* behind the first NUL, if there is one */
	if (*data == 's')
		sweep(text, &src, true);
	else if (*data == 'S' && at < text + size - 1)
		sweep(at, &(struct gf_source){ "p", text, strlen(text) }, false);
	else if (*data == 'w')
		what_if(text);
	else if (*data == 't')
		times(text, size - 1);
	free(text);
	return 0;
}
