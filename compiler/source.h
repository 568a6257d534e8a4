/* SPDX-License-Identifier: MIT
 *
 * Source texts, places in them, and the sentences said about them.
 */
#ifndef GPUFAS_SOURCE_H
#define GPUFAS_SOURCE_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "gpufas/err.h"

/* A text with a name. Borrowed by everything that refers to it. */
struct gf_source {
	const char *name; /* as in messages */
	const char *text; /* need not be NUL-terminated */
	size_t len;
};

/* Bytes [start, end) of source number src (index into the set compiled). */
struct gf_span {
	uint32_t src;
	uint32_t start;
	uint32_t end;
};

/* Reads a whole file (at most 4 MiB: -EFBIG). Free with gf_source_free. */
int gf_source_read(const char *path, struct gf_source *ret, struct gf_err *err);
void gf_source_free(struct gf_source *s);
/* 1-based line and column (bytes; a tab counts one) of an offset. */
void gf_source_locate(const struct gf_source *s, uint32_t off, uint32_t *ret_line, uint32_t *ret_col);

enum gf_severity { GF_SEV_ERROR, GF_SEV_WARNING };

struct gf_diag {
	enum gf_severity severity;
	char code[8];     /* "E012", "W003" */
	struct gf_span span;
	char *message;    /* one sentence, no full stop */
	char *hint;       /* or NULL */
	struct gf_span note_span; /* second place, e.g. of an earlier definition; valid when note */
	char *note;       /* or NULL */
};

struct gf_diags {
	struct gf_diag *v;
	size_t n, cap;
	size_t errors, warnings;
	size_t limit; /* stop collecting errors after this many; 0: 20 */
	bool overflow; /* there were more */
};

void gf_diags_deinit(struct gf_diags *d);
/* Adds a diagnostic; hint may be NULL. Returns it (for a note), or NULL past the limit. */
__attribute__((format(printf, 6, 7)))
struct gf_diag *gf_diag_add(struct gf_diags *d, enum gf_severity sev, const char *code, struct gf_span span,
			    const char *hint, const char *fmt, ...);
__attribute__((format(printf, 6, 0)))
struct gf_diag *gf_diag_addv(struct gf_diags *d, enum gf_severity sev, const char *code, struct gf_span span,
			     const char *hint, const char *fmt, va_list ap);
__attribute__((format(printf, 3, 4)))
void gf_diag_note(struct gf_diag *diag, struct gf_span span, const char *fmt, ...);

/* file:line:col: error: sentence [E012], the source line, a caret with the span
 * underlined, the hint. Colour only when asked. Sorted by place. */
void gf_diags_print(const struct gf_diags *d, const struct gf_source *src, size_t n, FILE *out, bool colour);
/* The same as a JSON array (one line): {"severity","code","file","line","col","end_line","end_col","message","hint"}. */
void gf_diags_json(const struct gf_diags *d, const struct gf_source *src, size_t n, FILE *out);

/* Nearest of n names to word (Damerau-Levenshtein, at most a third of its length, at least 1), or NULL. */
const char *gf_nearest(const char *word, const char *const *names, size_t n);

#endif
