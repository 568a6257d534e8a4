/* SPDX-License-Identifier: MIT
 *
 * Diagnostics for people, with the line and a caret, and for programs, as JSON.
 */
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "compiler/source.h"
#include "grammar/parser.h"

#define WINDOW 100 /* columns of source shown */
#define TAB 8
#define CLIP 2048 /* bytes of a line looked at before and after a span's beginning */

/* One character of a source line as it is shown. */
struct cell {
	char text[12];
	uint8_t len, width;
	uint32_t off; /* byte in the source */
};

static uint32_t decode(const char *s, size_t len)
{
	const unsigned char *u = (const unsigned char *)s;
	switch (len) {
	case 1:
		return u[0];
	case 2:
		return (uint32_t)(u[0] & 0x1f) << 6 | (u[1] & 0x3f);
	case 3:
		return (uint32_t)(u[0] & 0x0f) << 12 | (uint32_t)(u[1] & 0x3f) << 6 | (u[2] & 0x3f);
	default:
		return (uint32_t)(u[0] & 0x07) << 18 | (uint32_t)(u[1] & 0x3f) << 12 | (uint32_t)(u[2] & 0x3f) << 6 |
		       (u[3] & 0x3f);
	}
}

/* Columns of a character on a terminal. The C library's wcwidth would depend on a
 * locale that the daemon never sets; these are Unicode's main ranges. */
static uint8_t width_of(uint32_t c)
{
	static const uint32_t none[][2] = { { 0x300, 0x36f },	{ 0x483, 0x489 },   { 0x591, 0x5bd },	{ 0x610, 0x61a },
					    { 0x64b, 0x65f },	{ 0x1ab0, 0x1aff }, { 0x1dc0, 0x1dff }, { 0x20d0, 0x20ff },
					    { 0xfe00, 0xfe0f }, { 0xfe20, 0xfe2f }, { 0xe0100, 0xe01ef } };
	static const uint32_t wide[][2] = { { 0x1100, 0x115f },	  { 0x2e80, 0x303e },	{ 0x3041, 0xa4cf },
					    { 0xa960, 0xa97f },	  { 0xac00, 0xd7a3 },	{ 0xf900, 0xfaff },
					    { 0xfe30, 0xfe6f },	  { 0xff00, 0xff60 },	{ 0xffe0, 0xffe6 },
					    { 0x1f300, 0x1f64f }, { 0x1f680, 0x1f6ff }, { 0x1f900, 0x1f9ff },
					    { 0x20000, 0x3fffd } };
	for (size_t i = 0; i < sizeof none / sizeof *none; i++)
		if (c >= none[i][0] && c <= none[i][1])
			return 0;
	for (size_t i = 0; i < sizeof wide / sizeof *wide; i++)
		if (c >= wide[i][0] && c <= wide[i][1])
			return 2;
	return 1;
}

/* Controls, and what hides or reorders text on a screen. */
static bool invisible(uint32_t c)
{
	return c < 0x20 || (c >= 0x7f && c < 0xa0) || c == 0xad || (c >= 0x200b && c <= 0x200f) ||
	       (c >= 0x2028 && c <= 0x202e) || (c >= 0x2060 && c <= 0x206f) || c == 0xfeff;
}

/* The character at s, made visible; column decides a tab's width. Returns its bytes in s. */
static size_t make_cell(const char *s, size_t n, size_t column, struct cell *ret)
{
	size_t len = gf_utf8_len(s, n);
	uint32_t c = len ? decode(s, len) : 0;
	int put;
	if (len && c == '\t') {
		put = (int)(TAB - column % TAB);
		memset(ret->text, ' ', (size_t)put);
	} else if (!len || c < 0x80) {
		bool shown = len && !invisible(c);
		put = snprintf(ret->text, sizeof ret->text, shown ? "%c" : "\\x%02x", (unsigned char)*s);
	} else if (invisible(c)) {
		put = snprintf(ret->text, sizeof ret->text, "\\u%04x", c);
	} else {
		memcpy(ret->text, s, len);
		ret->len = (uint8_t)len;
		ret->width = width_of(c);
		return len;
	}
	ret->len = ret->width = (uint8_t)put;
	return len ? len : 1;
}

static void print_safe(FILE *out, const char *s)
{
	struct cell cell;
	for (size_t n = strlen(s); n;) {
		size_t used = *s == '\t' ? 1 : make_cell(s, n, 0, &cell);
		if (*s == '\t')
			fputc(' ', out);
		else
			fwrite(cell.text, 1, cell.len, out);
		s += used;
		n -= used;
	}
}

struct line {
	struct cell *cell;
	size_t cells;
	size_t first, last; /* cells to show: [first, last) */
	bool cut_left, cut_right;
};

static int make_line(const struct gf_source *src, uint32_t start, uint32_t end, struct line *ret)
{
	ret->cell = calloc(end - start + 1, sizeof *ret->cell);
	if (!ret->cell)
		return -ENOMEM;
	size_t column = 0;
	for (uint32_t i = start; i < end;) {
		struct cell *c = &ret->cell[ret->cells++];
		c->off = i;
		i += (uint32_t)make_cell(src->text + i, end - i, column, c);
		column += c->width;
	}
	ret->last = ret->cells;
	return 0;
}

/* Chooses what of a long line to show: the span's beginning, with what is before it. */
static void window(struct line *l, uint32_t off)
{
	size_t total = 0, at = 0, room = WINDOW;
	for (size_t i = 0; i < l->cells; i++) {
		total += l->cell[i].width;
		if (l->cell[i].off < off)
			at = i + 1;
	}
	if (total <= WINDOW)
		return;
	size_t before = 0;
	l->first = at;
	while (l->first && before + l->cell[l->first - 1].width <= WINDOW / 3)
		before += l->cell[--l->first].width;
	/* near the end: rather more from the left than an empty right half */
	size_t after = 0;
	for (size_t i = at; i < l->cells; i++)
		after += l->cell[i].width;
	while (l->first && before + after + l->cell[l->first - 1].width <= room)
		before += l->cell[--l->first].width;
	size_t shown = 0;
	for (l->last = l->first; l->last < l->cells && shown + l->cell[l->last].width <= room; l->last++)
		shown += l->cell[l->last].width;
	l->cut_left = l->first > 0;
	l->cut_right = l->last < l->cells;
}

static void spaces(FILE *out, size_t n)
{
	while (n--)
		fputc(' ', out);
}

struct palette {
	const char *bold, *error, *warning, *note, *caret, *off;
};

/* The line and its underline; a span of several lines is underlined on its first. */
static void print_source(const struct gf_source *src, struct gf_span span, FILE *out, const struct palette *c,
			 const char *hint)
{
	uint32_t line, col, len = (uint32_t)src->len;
	uint32_t from = span.start < len ? span.start : len;
	gf_source_locate(src, from, &line, &col);
	uint32_t start = from - (col - 1), end = start;
	while (end < len && src->text[end] != '\n')
		end++;
	if (end > start && src->text[end - 1] == '\r')
		end--;
	/* a line of megabytes is not looked at as a whole; a cut character is shown as bytes, outside of the window */
	bool clipped_left = from - start > CLIP, clipped_right = end > from && end - from > CLIP;
	if (clipped_left)
		start = from - CLIP;
	if (clipped_right)
		end = from + CLIP;
	struct line l = { 0 };
	if (make_line(src, start, end, &l))
		return;
	window(&l, from);
	l.cut_left |= clipped_left;
	l.cut_right |= clipped_right;

	fprintf(out, "%4u | %s", line, l.cut_left ? "…" : "");
	size_t before = l.cut_left, under = 0;
	for (size_t i = l.first; i < l.last; i++) {
		fwrite(l.cell[i].text, 1, l.cell[i].len, out);
		if (l.cell[i].off < from)
			before += l.cell[i].width;
		else if (l.cell[i].off < span.end)
			under += l.cell[i].width;
	}
	fprintf(out, "%s\n", l.cut_right ? "…" : "");
	int gutter = snprintf(NULL, 0, "%4u", line);
	fprintf(out, "%*s | ", gutter, "");
	spaces(out, before);
	fprintf(out, "%s^", c->caret);
	for (size_t i = 1; i < under; i++)
		fputc('~', out);
	fprintf(out, "%s\n", c->off);
	if (hint) {
		fprintf(out, "%*s | ", gutter, "");
		print_safe(out, hint);
		fputc('\n', out);
	}
	free(l.cell);
}

static void print_place(const struct gf_source *src, struct gf_span span, FILE *out, const struct palette *c)
{
	uint32_t line, col;
	gf_source_locate(src, span.start, &line, &col);
	fprintf(out, "%s", c->bold);
	print_safe(out, src->name ? src->name : "policy");
	fprintf(out, ":%u:%u:%s ", line, col, c->off);
}

/* By place; what was said first comes first in one place. */
static int by_place(const void *va, const void *vb)
{
	const struct gf_diag *a = *(const struct gf_diag *const *)va, *b = *(const struct gf_diag *const *)vb;
	if (a->span.src != b->span.src)
		return a->span.src < b->span.src ? -1 : 1;
	if (a->span.start != b->span.start)
		return a->span.start < b->span.start ? -1 : 1;
	return a < b ? -1 : a > b;
}

static const struct gf_diag **sorted(const struct gf_diags *d)
{
	const struct gf_diag **v = calloc(d->n + 1, sizeof *v);
	if (!v)
		return NULL;
	for (size_t i = 0; i < d->n; i++)
		v[i] = &d->v[i];
	qsort(v, d->n, sizeof *v, by_place);
	return v;
}

void gf_diags_print(const struct gf_diags *d, const struct gf_source *src, size_t n, FILE *out, bool colour)
{
	static const struct palette plain = { "", "", "", "", "", "" };
	static const struct palette colours = { "\033[1m", "\033[1;31m", "\033[1;35m", "\033[1;36m", "\033[1;32m", "\033[0m" };
	const struct palette *c = colour ? &colours : &plain;
	const struct gf_diag **v = sorted(d);
	size_t errors = 0, warnings = 0;
	for (size_t i = 0; v && i < d->n; i++) {
		const struct gf_diag *g = v[i];
		bool error = g->severity == GF_SEV_ERROR;
		*(error ? &errors : &warnings) += 1;
		if (g->span.src < n)
			print_place(&src[g->span.src], g->span, out, c);
		fprintf(out, "%s%s:%s ", error ? c->error : c->warning, error ? "error" : "warning", c->off);
		print_safe(out, g->message);
		fprintf(out, " [%s]\n", g->code);
		if (g->span.src < n)
			print_source(&src[g->span.src], g->span, out, c, g->hint);
		else if (g->hint)
			fprintf(out, "     | %s\n", g->hint);
		if (!g->note)
			continue;
		if (g->note_span.src < n)
			print_place(&src[g->note_span.src], g->note_span, out, c);
		fprintf(out, "%snote:%s ", c->note, c->off);
		print_safe(out, g->note);
		fputc('\n', out);
		if (g->note_span.src < n)
			print_source(&src[g->note_span.src], g->note_span, out, c, NULL);
	}
	free(v);
	if (d->errors > errors)
		fprintf(out, "%zu more error%s not shown; mend these first\n", d->errors - errors,
			d->errors - errors == 1 ? "" : "s");
	if (d->warnings > warnings)
		fprintf(out, "%zu more warning%s not shown\n", d->warnings - warnings,
			d->warnings - warnings == 1 ? "" : "s");
}

/* ---- JSON ---------------------------------------------------------------- */

/* JSON knows no bytes that are not UTF-8: they become U+FFFD. */
static json_t *string(const char *s)
{
	if (!s)
		return json_null();
	struct gf_text t = { 0 };
	for (size_t n = strlen(s); n;) {
		size_t len = gf_utf8_len(s, n);
		if (len)
			gf_text_add(&t, s, len);
		else
			gf_text_add(&t, "\xef\xbf\xbd", 3);
		s += len ? len : 1;
		n -= len ? len : 1;
	}
	json_t *ret = json_string(t.v && !t.oom ? t.v : "");
	gf_text_deinit(&t);
	return ret;
}

/* Members of a place; none when it is in no known source. */
static void add_place(json_t *o, const struct gf_source *src, size_t n, struct gf_span span)
{
	if (span.src >= n)
		return;
	uint32_t line, col;
	json_object_set_new(o, "file", string(src[span.src].name));
	gf_source_locate(&src[span.src], span.start, &line, &col);
	json_object_set_new(o, "line", json_integer(line));
	json_object_set_new(o, "col", json_integer(col));
	gf_source_locate(&src[span.src], span.end, &line, &col);
	json_object_set_new(o, "end_line", json_integer(line));
	json_object_set_new(o, "end_col", json_integer(col));
}

void gf_diags_json(const struct gf_diags *d, const struct gf_source *src, size_t n, FILE *out)
{
	json_t *all = json_array();
	const struct gf_diag **v = sorted(d);
	for (size_t i = 0; v && i < d->n; i++) {
		json_t *o = json_object();
		json_object_set_new(o, "severity", string(v[i]->severity == GF_SEV_ERROR ? "error" : "warning"));
		json_object_set_new(o, "code", string(v[i]->code));
		add_place(o, src, n, v[i]->span);
		json_object_set_new(o, "message", string(v[i]->message));
		json_object_set_new(o, "hint", string(v[i]->hint));
		if (v[i]->note) {
			json_t *note = json_object();
			add_place(note, src, n, v[i]->note_span);
			json_object_set_new(note, "message", string(v[i]->note));
			json_object_set_new(o, "note", note);
		}
		json_array_append_new(all, o);
	}
	free(v);
	json_dumpf(all, out, JSON_COMPACT);
	fputc('\n', out);
	json_decref(all);
}
