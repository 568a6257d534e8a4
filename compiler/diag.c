/* SPDX-License-Identifier: MIT
 *
 * Collecting what is to be said; diag_print.c says it.
 */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "compiler/source.h"

#define LIMIT_DEFAULT 20

void gf_diags_deinit(struct gf_diags *d)
{
	for (size_t i = 0; i < d->n; i++) {
		free(d->v[i].message);
		free(d->v[i].hint);
		free(d->v[i].note);
	}
	free(d->v);
	size_t limit = d->limit;
	*d = (struct gf_diags){ .limit = limit };
}

/* The same thing said of the same place already: templates are checked by several passes. */
static bool said(const struct gf_diags *d, enum gf_severity sev, const char *code, struct gf_span span, const char *text)
{
	for (size_t i = 0; i < d->n; i++) {
		const struct gf_diag *v = &d->v[i];
		if (v->severity == sev && v->span.src == span.src && v->span.start == span.start &&
		    v->span.end == span.end && !strcmp(v->code, code) && !strcmp(v->message, text))
			return true;
	}
	return false;
}

struct gf_diag *gf_diag_add(struct gf_diags *d, enum gf_severity sev, const char *code, struct gf_span span,
			    const char *hint, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	struct gf_diag *ret = gf_diag_addv(d, sev, code, span, hint, fmt, ap);
	va_end(ap);
	return ret;
}

struct gf_diag *gf_diag_addv(struct gf_diags *d, enum gf_severity sev, const char *code, struct gf_span span,
			     const char *hint, const char *fmt, va_list ap)
{
	size_t limit = d->limit ? d->limit : LIMIT_DEFAULT;
	size_t *count = sev == GF_SEV_ERROR ? &d->errors : &d->warnings;
	/* counted in any case: whoever looks at errors must see that there are some */
	if (*count >= limit) {
		(*count)++;
		d->overflow = true;
		return NULL;
	}
	char *text = NULL, *hint_copy = NULL;
	int rc = vasprintf(&text, fmt, ap);
	if (rc < 0)
		text = NULL;
	if (text && said(d, sev, code, span, text)) {
		free(text);
		return NULL;
	}
	(*count)++;
	if (!text || (hint && *hint && !(hint_copy = strdup(hint))))
		goto fail;
	if (d->n == d->cap) {
		size_t cap = d->cap ? d->cap * 2 : 8;
		struct gf_diag *v = realloc(d->v, cap * sizeof *v);
		if (!v)
			goto fail;
		d->v = v;
		d->cap = cap;
	}
	struct gf_diag *ret = &d->v[d->n++];
	*ret = (struct gf_diag){ .severity = sev, .span = span, .message = text, .hint = hint_copy };
	snprintf(ret->code, sizeof ret->code, "%s", code);
	return ret;
fail:
	free(text);
	free(hint_copy);
	d->overflow = true;
	return NULL;
}

void gf_diag_note(struct gf_diag *diag, struct gf_span span, const char *fmt, ...)
{
	if (!diag)
		return;
	va_list ap;
	va_start(ap, fmt);
	char *text = NULL;
	if (vasprintf(&text, fmt, ap) < 0)
		text = NULL;
	va_end(ap);
	free(diag->note);
	diag->note = text;
	diag->note_span = span;
}

/* Damerau-Levenshtein distance (optimal string alignment), letters of either case
 * alike. Both at most WORD_MAX long. */
#define WORD_MAX 63
static size_t distance(const char *a, size_t na, const char *b, size_t nb)
{
	size_t rows[3][WORD_MAX + 1];
	size_t *before = rows[0], *last = rows[1], *now = rows[2];
	for (size_t j = 0; j <= nb; j++)
		last[j] = j;
	for (size_t i = 1; i <= na; i++) {
		now[0] = i;
		int ca = tolower((unsigned char)a[i - 1]);
		for (size_t j = 1; j <= nb; j++) {
			int cb = tolower((unsigned char)b[j - 1]);
			size_t v = last[j - 1] + (ca != cb);
			if (last[j] + 1 < v)
				v = last[j] + 1;
			if (now[j - 1] + 1 < v)
				v = now[j - 1] + 1;
			if (i > 1 && j > 1 && ca == tolower((unsigned char)b[j - 2]) &&
			    cb == tolower((unsigned char)a[i - 2]) && before[j - 2] + 1 < v)
				v = before[j - 2] + 1;
			now[j] = v;
		}
		size_t *spare = before;
		before = last;
		last = now;
		now = spare;
	}
	return last[nb];
}

const char *gf_nearest(const char *word, const char *const *names, size_t n)
{
	size_t len = strlen(word);
	if (!len || len > WORD_MAX)
		return NULL;
	size_t best = (len / 3 ? len / 3 : 1) + 1;
	const char *ret = NULL;
	for (size_t i = 0; i < n && best; i++) {
		size_t other = strlen(names[i]);
		size_t gap = other > len ? other - len : len - other;
		if (other > WORD_MAX || gap >= best)
			continue;
		size_t d = distance(word, len, names[i], other);
		/* nothing of the word may be left: "it" is not near "ab" */
		if (d < best && d < (len > other ? len : other)) {
			best = d;
			ret = names[i];
		}
	}
	return ret;
}
