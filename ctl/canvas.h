/* SPDX-License-Identifier: MIT
 *
 * A screen's worth of cells. top draws here; what is drawn goes to ncurses, or
 * out as text (batch mode, tests).
 */
#ifndef GPUFAS_CTL_CANVAS_H
#define GPUFAS_CTL_CANVAS_H

#include <stdint.h>
#include <wchar.h>

#include "ctl/text.h"

#define GF_CANVAS_MAX_ROWS 1000
#define GF_CANVAS_MAX_COLS 1000

struct gf_cell {
	wchar_t ch;     /* 0: the right half of a wide character */
	uint8_t look;   /* enum gf_look */
	uint8_t invert; /* 1: inverted, as titles and the selected row are */
};

struct gf_canvas {
	struct gf_cell *cell;
	int rows, cols;
	uint8_t invert; /* applied to whatever is put */
};

/* Sets the size and clears. 0 or -ENOMEM. Free with gf_canvas_deinit. */
int gf_canvas_resize(struct gf_canvas *c, int rows, int cols);
void gf_canvas_clear(struct gf_canvas *c);
void gf_canvas_deinit(struct gf_canvas *c);

/* Text at (row, col), cut at the right edge; what is outside is not drawn.
 * Returns the column after it. */
__attribute__((format(printf, 5, 6)))
int gf_canvas_put(struct gf_canvas *c, int row, int col, enum gf_look look, const char *fmt, ...);
/* The same in exactly width columns (cut or padded), right-aligned where asked. Returns col + width. */
int gf_canvas_field(struct gf_canvas *c, int row, int col, int width, int right, enum gf_look look, const char *s);
/* A row's cells from col on to blank. */
void gf_canvas_blank(struct gf_canvas *c, int row, int col);
/* As lines of text, trailing blanks left out. */
void gf_canvas_print(const struct gf_canvas *c, FILE *out);

#endif
