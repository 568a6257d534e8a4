/* SPDX-License-Identifier: MIT */
#include "ctl/canvas.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

int gf_canvas_resize(struct gf_canvas *c, int rows, int cols)
{
	struct gf_cell *cell;

	rows = rows < 1 ? 1 : rows > GF_CANVAS_MAX_ROWS ? GF_CANVAS_MAX_ROWS : rows;
	cols = cols < 1 ? 1 : cols > GF_CANVAS_MAX_COLS ? GF_CANVAS_MAX_COLS : cols;
	cell = realloc(c->cell, (size_t)rows * (size_t)cols * sizeof *cell);
	if (!cell)
		return -ENOMEM;
	c->cell = cell;
	c->rows = rows;
	c->cols = cols;
	gf_canvas_clear(c);
	return 0;
}

void gf_canvas_clear(struct gf_canvas *c)
{
	c->invert = 0;
	for (int r = 0; r < c->rows; r++)
		gf_canvas_blank(c, r, 0);
}

void gf_canvas_deinit(struct gf_canvas *c)
{
	free(c->cell);
	memset(c, 0, sizeof *c);
}

static struct gf_cell *at(struct gf_canvas *c, int row, int col)
{
	return &c->cell[(size_t)row * (size_t)c->cols + (size_t)col];
}

void gf_canvas_blank(struct gf_canvas *c, int row, int col)
{
	if (row < 0 || row >= c->rows)
		return;
	for (; col < c->cols; col++)
		*at(c, row, col) = (struct gf_cell){ L' ', GF_LOOK_PLAIN, c->invert };
}

/* Draws s in at most width columns; returns how many it took. */
static int put(struct gf_canvas *c, int row, int col, int width, enum gf_look look, const char *s)
{
	mbstate_t st = { 0 };
	int used = 0;

	if (row < 0 || row >= c->rows || col < 0)
		return 0;
	while (*s) {
		wchar_t ch;
		size_t len = mbrtowc(&ch, s, strlen(s), &st);
		int w;
		if (len == (size_t)-1 || len == (size_t)-2 || !len) {
			memset(&st, 0, sizeof st);
			len = 1;
			ch = L'?';
		}
		if (!gf_show_printable(ch))
			ch = L'?';
		w = wcwidth(ch);
		s += len;
		if (w == 0) /* a combining mark: left out rather than a cell too many */
			continue;
		if (used + w > width || col + used + w > c->cols)
			break;
		*at(c, row, col + used) = (struct gf_cell){ ch, (uint8_t)look, c->invert };
		if (w == 2)
			*at(c, row, col + used + 1) = (struct gf_cell){ 0, (uint8_t)look, c->invert };
		used += w;
	}
	return used;
}

int gf_canvas_put(struct gf_canvas *c, int row, int col, enum gf_look look, const char *fmt, ...)
{
	char buf[2048];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(buf, sizeof buf, fmt, ap);
	va_end(ap);
	return col + put(c, row, col, INT_MAX / 2, look, buf);
}

int gf_canvas_field(struct gf_canvas *c, int row, int col, int width, int right, enum gf_look look, const char *s)
{
	int w, lead = 0;

	if (width <= 0)
		return col;
	w = gf_show_width(s);
	if (right && w < width)
		lead = width - w;
	if (row >= 0 && row < c->rows)
		for (int i = 0; i < width && col + i < c->cols && col >= 0; i++)
			*at(c, row, col + i) = (struct gf_cell){ L' ', (uint8_t)look, c->invert };
	put(c, row, col + lead, width - lead, look, s);
	return col + width;
}

void gf_canvas_print(const struct gf_canvas *c, FILE *out)
{
	for (int r = 0; r < c->rows; r++) {
		const struct gf_cell *row = &c->cell[(size_t)r * (size_t)c->cols];
		int end = c->cols;
		while (end && row[end - 1].ch == L' ')
			end--;
		for (int i = 0; i < end; i++)
			if (row[i].ch)
				fprintf(out, "%lc", (wint_t)row[i].ch);
		fputc('\n', out);
	}
}
