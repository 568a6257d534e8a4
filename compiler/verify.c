/* SPDX-License-Identifier: MIT
 *
 * The verifier. An image may come from anywhere; what it guarantees of one that
 * has passed, and what engines rely on without checking again:
 *
 *  - every offset, count and index in it leads to where it should, inside the
 *    image; strings end in NUL and hold no control characters; automata stay
 *    inside their tables;
 *  - a program ends: one END, its last instruction, and jumps go forward only;
 *  - registers are written before they are read on every path, and nothing that
 *    is read depends on whether a short cut was taken;
 *  - a program in host scope touches no row; a program of a tick reads only what
 *    programs with lower numbers have produced, and each aggregate, column and
 *    history is produced exactly once, from a result of the right type;
 *  - a hold or latch is advanced at exactly one place, which runs exactly once a
 *    tick (or, behind a rule's gate, not at all);
 *  - what is read of a sample is in the image's field set; kernel paths are written as paths, each once, and
 *    only where the target has kernel memory;
 *  - counts are under the limits of bytecode.h, durations under GF_MAX_NS, and
 *    fingerprints are unique in their table.
 *
 * It says nothing about whether the policy is a wise one. Its own time and memory
 * are linear in the image's size (sorting of fingerprints aside).
 */
#include "compiler/verify.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

int vf_bad(struct verify *v, const char *fmt, ...)
{
	char text[300];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	return gf_err_set(v->err, EBADMSG, "%s", text);
}

static int check_header(struct verify *v, size_t size)
{
	const struct gf_image_header *h = v->h;
	if (size < sizeof *h)
		return vf_bad(v, "the image is shorter than its header");
	if (h->magic != GF_IMAGE_MAGIC)
		return vf_bad(v, "the file does not begin as a policy image");
	if (h->version != GF_IMAGE_VERSION)
		return vf_bad(v, "the image has format version %u, this program reads version %u", h->version, GF_IMAGE_VERSION);
	if (h->size != size)
		return vf_bad(v, "the header says %u bytes, there are %zu", h->size, size);
	if (size > GF_MAX_IMAGE)
		return vf_bad(v, "the image is larger than %u bytes", GF_MAX_IMAGE);
	if (h->checksum != gf_image_checksum(h))
		return vf_bad(v, "the checksum is wrong: the image is damaged");
	if (h->target >= GF_TARGET_COUNT)
		return vf_bad(v, "no such target: %u", h->target);
	if (h->fields.host >> GF_HF_COUNT || h->fields.task >> GF_TF_COUNT || h->fields.str >> GF_SF_COUNT || h->fields.paths > GF_MAX_PATHS)
		return vf_bad(v, "the field set names fields that do not exist");
	return 0;
}

static int check_padding(struct verify *v, size_t from, size_t to)
{
	for (size_t i = from; i < to; i++)
		if (((const uint8_t *)v->h)[i])
			return vf_bad(v, "padding at offset %zu is not zero", i);
	return 0;
}

static int check_sections(struct verify *v)
{
	size_t at = (sizeof *v->h + 7) & ~(size_t)7, size = v->h->size;
	int r = check_padding(v, sizeof *v->h, GF_MIN(at, size));
	for (int k = 0; r == 0 && k < GF_SEC_COUNT; k++) {
		const struct gf_secref *s = &v->h->sec[k];
		const struct gf_section_info *info = &gf_section_info[k];
		if (s->count > info->max)
			return vf_bad(v, "section %s has %u entries, at most %u are allowed", info->name, s->count, info->max);
		if (s->off != at)
			return vf_bad(v, "section %s is at offset %u, not at %zu", info->name, s->off, at);
		size_t end = at + (size_t)s->count * info->size, next = (end + 7) & ~(size_t)7;
		if (next > size)
			return vf_bad(v, "section %s goes past the image's end", info->name);
		r = check_padding(v, end, next);
		at = next;
		v->n[k] = s->count;
	}
	if (r == 0 && at != size)
		return vf_bad(v, "there is something after the last section");
	return r;
}

static int check_strings(struct verify *v)
{
	const unsigned char *s = GF_SEC(unsigned char, v->h, GF_SEC_STR);
	uint32_t n = v->n[GF_SEC_STR];
	if (!n || s[0] || s[n - 1])
		return vf_bad(v, "the strings do not begin with the empty one or do not end");
	for (uint32_t i = 0; i < n; i++)
		if ((s[i] && s[i] < ' ' && s[i] != '\n' && s[i] != '\t') || s[i] == 127)
			return vf_bad(v, "a string has a control character, at offset %u", i);
	return 0;
}

bool vf_str(const struct verify *v, uint32_t off)
{
	return off < v->n[GF_SEC_STR];
}

static int check_constants(struct verify *v)
{
	const double *d = GF_SEC(double, v->h, GF_SEC_CONST);
	double canon = gf_unknown();
	for (uint32_t i = 0; i < v->n[GF_SEC_CONST]; i++)
		if (d[i] != d[i] && memcmp(&d[i], &canon, sizeof canon) != 0)
			return vf_bad(v, "constant %u is a NaN, but not the one that means unknown", i);
	return 0;
}

static int check_products(struct verify *v)
{
	const struct gf_agg *a = GF_SEC(struct gf_agg, v->h, GF_SEC_AGG);
	const struct gf_col *c = GF_SEC(struct gf_col, v->h, GF_SEC_COL);
	static const uint8_t zero[7];
	uint32_t values = 0, preds = 0;
	for (uint32_t i = 0; i < v->n[GF_SEC_AGG]; i++)
		if (a[i].kind > GF_AGG_HOST || a[i].maybe > (a[i].kind < GF_AGG_ANY)
		    || memcmp(a[i].reserved, zero, sizeof a[i].reserved))
			return vf_bad(v, "aggregate %u is of no kind that there is", i);
	for (uint32_t i = 0; i < v->n[GF_SEC_COL]; i++) {
		if (c[i].kind > GF_COL_ANCESTOR || memcmp(c[i].reserved, zero, sizeof zero))
			return vf_bad(v, "column %u is of no kind that there is", i);
		*(c[i].kind <= GF_COL_TREE ? &values : &preds) += 1;
	}
	if (values > GF_MAX_COLS || preds > GF_MAX_COLS)
		return vf_bad(v, "there are more than %u columns of a kind", GF_MAX_COLS);
	return 0;
}

static int check_hists(struct verify *v)
{
	const struct gf_hist *t = GF_SEC(struct gf_hist, v->h, GF_SEC_HIST);
	for (uint32_t i = 0; i < v->n[GF_SEC_HIST]; i++) {
		if (t[i].scope > GF_SCOPE_TASK || t[i].stat > GF_STAT_SUM || t[i].reserved)
			return vf_bad(v, "history %u is of no kind that there is", i);
		if (t[i].slots < 2 || t[i].slots > GF_MAX_HIST_SLOTS)
			return vf_bad(v, "history %u has %u slots, not 2 to %u", i, t[i].slots, GF_MAX_HIST_SLOTS);
		if (!t[i].window_ns || t[i].window_ns > GF_MAX_NS)
			return vf_bad(v, "history %u has no window, or one that is too long", i);
	}
	return 0;
}

static int check_holds(struct verify *v)
{
	const struct gf_hold *t = GF_SEC(struct gf_hold, v->h, GF_SEC_HOLD);
	for (uint32_t i = 0; i < v->n[GF_SEC_HOLD]; i++) {
		if (t[i].scope > GF_SCOPE_TASK || t[i].kind > GF_HOLD_LATCH || t[i].reserved0 || t[i].reserved1)
			return vf_bad(v, "hold %u is of no kind that there is", i);
		if (t[i].amount > GF_MAX_NS || (t[i].kind == GF_HOLD_PERIODS && !t[i].amount) || (t[i].kind == GF_HOLD_LATCH && t[i].amount))
			return vf_bad(v, "hold %u has an amount that it cannot have", i);
	}
	return 0;
}

/* Tables follow each other, so that checking them takes time linear in their bytes. */
static int check_dfas(struct verify *v)
{
	const struct gf_dfa *t = GF_SEC(struct gf_dfa, v->h, GF_SEC_DFA);
	const uint8_t *data = GF_SEC(uint8_t, v->h, GF_SEC_DFADATA);
	uint64_t size = v->n[GF_SEC_DFADATA], at = 0;
	for (uint32_t i = 0; i < v->n[GF_SEC_DFA]; i++) {
		uint32_t edges = (uint32_t)t[i].states * t[i].classes;
		if (!t[i].states || t[i].states > GF_MAX_DFA_STATES || !t[i].classes || t[i].classes > 256)
			return vf_bad(v, "automaton %u has %u states and %u classes", i, t[i].states, t[i].classes);
		if (t[i].classes_off < at || t[i].trans_off < t[i].classes_off + 256ull || t[i].trans_off % 2
		    || t[i].accept_off < t[i].trans_off + 2ull * edges || t[i].accept_off + (uint64_t)t[i].states > size)
			return vf_bad(v, "automaton %u: its tables overlap or go past the section's end", i);
		at = t[i].accept_off + (uint64_t)t[i].states;
		for (uint32_t c = 0; c < 256; c++)
			if (data[t[i].classes_off + c] >= t[i].classes)
				return vf_bad(v, "automaton %u: byte %u has a class that is not there", i, c);
		const uint16_t *trans = (const uint16_t *)(const void *)(data + t[i].trans_off);
		for (uint32_t k = 0; k < edges; k++)
			if (trans[k] >= t[i].states)
				return vf_bad(v, "automaton %u: a transition leads to state %u of %u", i, trans[k], t[i].states);
		for (uint32_t s = 0; s < t[i].states; s++)
			if (data[t[i].accept_off + s] > 1)
				return vf_bad(v, "automaton %u: whether state %u accepts is neither 0 nor 1", i, s);
	}
	const struct gf_match *m = GF_SEC(struct gf_match, v->h, GF_SEC_MATCH);
	for (uint32_t i = 0; i < v->n[GF_SEC_MATCH]; i++) {
		if (m[i].field >= GF_SF_COUNT || m[i].dfa >= v->n[GF_SEC_DFA])
			return vf_bad(v, "match %u refers to a field or automaton that is not there", i);
		if (!(v->h->fields.str & GF_BIT(m[i].field)))
			return vf_bad(v, "match %u reads a string that is not in the field set", i);
	}
	return 0;
}

static int check_paths(struct verify *v)
{
	const struct gf_path *t = GF_SEC(struct gf_path, v->h, GF_SEC_PATH);
	if (v->n[GF_SEC_PATH] != v->h->fields.paths)
		return vf_bad(v, "the field set says %u kernel paths, there are %u", v->h->fields.paths, v->n[GF_SEC_PATH]);
	if (v->n[GF_SEC_PATH] && v->h->target != GF_TARGET_VM && v->h->target != GF_TARGET_IMAGE)
		return vf_bad(v, "there are kernel paths, and the target has no kernel memory");
	for (uint32_t i = 0; i < v->n[GF_SEC_PATH]; i++) {
		if (!vf_str(v, t[i].text) || t[i].reserved || !gf_path_ok(gf_image_str(v->h, t[i].text)))
			return vf_bad(v, "kernel path %u is not written as one", i);
		for (uint32_t k = 0; k < i; k++)
			if (!strcmp(gf_image_str(v->h, t[i].text), gf_image_str(v->h, t[k].text)))
				return vf_bad(v, "kernel paths %u and %u are the same", k, i);
	}
	return 0;
}

static int compare_u64(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
	return (x > y) - (x < y);
}

static int check_unique(struct verify *v, uint32_t n, const char *what)
{
	qsort(v->fp, n, sizeof *v->fp, compare_u64);
	for (uint32_t i = 1; i < n; i++)
		if (v->fp[i] == v->fp[i - 1])
			return vf_bad(v, "two %s have the same fingerprint", what);
	return 0;
}

static int check_fingerprints(struct verify *v)
{
	int r;
	for (uint32_t i = 0; i < v->n[GF_SEC_HIST]; i++)
		v->fp[i] = GF_SEC(struct gf_hist, v->h, GF_SEC_HIST)[i].fp;
	if ((r = check_unique(v, v->n[GF_SEC_HIST], "histories")) < 0)
		return r;
	for (uint32_t i = 0; i < v->n[GF_SEC_HOLD]; i++)
		v->fp[i] = GF_SEC(struct gf_hold, v->h, GF_SEC_HOLD)[i].fp;
	if ((r = check_unique(v, v->n[GF_SEC_HOLD], "holds")) < 0)
		return r;
	GF_STATIC_ASSERT(GF_MAX_RULES <= GF_MAX_HOLDS && GF_MAX_HISTS <= GF_MAX_HOLDS, "fp[]");
	for (uint32_t i = 0; i < v->n[GF_SEC_RULE]; i++)
		v->fp[i] = GF_SEC(struct gf_rule, v->h, GF_SEC_RULE)[i].fp;
	return check_unique(v, v->n[GF_SEC_RULE], "rules");
}

static int check_all(struct verify *v, size_t size)
{
	int r;
	if ((r = check_header(v, size)) < 0 || (r = check_sections(v)) < 0 || (r = check_strings(v)) < 0
	    || (r = check_constants(v)) < 0 || (r = check_products(v)) < 0 || (r = check_hists(v)) < 0
	    || (r = check_holds(v)) < 0 || (r = check_dfas(v)) < 0 || (r = check_paths(v)) < 0 || (r = check_fingerprints(v)) < 0
	    || (r = vf_programs(v)) < 0)
		return r;
	return vf_policy(v);
}

int gf_verify(const void *image, size_t size, struct gf_err *err)
{
	if ((uintptr_t)image % 8)
		return gf_err_set(err, EINVAL, "the image is not aligned to 8 bytes in memory");
	struct verify *v = calloc(1, sizeof *v);
	if (!v)
		return gf_err_set(err, ENOMEM, "out of memory");
	v->h = image;
	v->err = err;
	int r = check_all(v, size);
	free(v);
	return r;
}
