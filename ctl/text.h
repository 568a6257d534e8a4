/* SPDX-License-Identifier: MIT
 *
 * Text for people: values in few columns, times, names that other people chose
 * (a process may be named with an escape sequence), and lists of lines that go
 * to a terminal or into top's viewer.
 */
#ifndef GPUFAS_CTL_TEXT_H
#define GPUFAS_CTL_TEXT_H

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <wchar.h>

#include "gpufas/fields.h"

/* Looks that a line or a cell may have. */
enum gf_look { GF_LOOK_PLAIN, GF_LOOK_HEAD, GF_LOOK_DIM, GF_LOOK_GOOD, GF_LOOK_WARN, GF_LOOK_BAD, GF_LOOK_COUNT };

struct gf_line {
	char *text;
	enum gf_look look;
};

struct gf_lines {
	struct gf_line *v;
	size_t n, cap;
};

/* Adds a line; what a terminal would not print becomes '?'. Out of memory: the line is left out. */
__attribute__((format(printf, 3, 4)))
void gf_lines_add(struct gf_lines *l, enum gf_look look, const char *fmt, ...);
/* Adds in's lines to out, those longer than width columns going on in the next, indented. */
void gf_lines_wrap(const struct gf_lines *in, int width, struct gf_lines *out);
void gf_lines_deinit(struct gf_lines *l);
void gf_lines_print(const struct gf_lines *l, FILE *out, bool colour);

/* in as a string fit for this locale's terminal: control characters, bytes that
 * are no character and marks that reorder text become '?'. Returns out. */
const char *gf_show_safe(const char *in, char *out, size_t n);
/* Whether a terminal may be given this character. */
bool gf_show_printable(wchar_t c);
/* Columns that s takes on a terminal. */
int gf_show_width(const char *s);
/* Prints s in exactly width columns (cut or padded); right: aligned right. */
void gf_show_pad(FILE *out, const char *s, int width, bool right);

/* A value in at most 7 columns: "3.1G", "2h05m", "12.5", "-" where unknown. Returns buf. */
const char *gf_show_cell(double v, enum gf_dim dim, char *buf, size_t n);
/* A size with its unit written out: "3.1 GiB". Returns buf. */
const char *gf_show_size(double bytes, char *buf, size_t n);
/* Seconds as "412us", "340ms", "12.5s", "3m04s", "2h05m", "3d04h". Returns buf. */
const char *gf_show_span(double seconds, char *buf, size_t n);
/* A window's length: "60 s", "10 min", "2 h". Returns buf. */
const char *gf_show_window(double seconds, char *buf, size_t n);
/* RFC 3339 as local time "2026-11-23 05:41:02.123" (date: with the day); as it is if it is no such. Returns buf. */
const char *gf_show_time(const char *rfc3339, bool date, char *buf, size_t n);
/* A user's name, or the number. Remembers what it looked up. */
const char *gf_show_user(double uid, char *buf, size_t n);
extern bool gf_show_user_numbers; /* always the number: of a machine whose users are not this one's */
/* Value of field `name` in object o (a row of `ps`) as text. Returns buf. */
const char *gf_show_field(const json_t *o, const char *name, char *buf, size_t n);

/* Typed members of an answer; what is missing or of another type is "", NaN or false. */
const char *gf_js_str(const json_t *o, const char *key);
double gf_js_num(const json_t *o, const char *key);
bool gf_js_bool(const json_t *o, const char *key);
/* As a whole number for printing; -1 when missing. */
long long gf_js_int(const json_t *o, const char *key);

#endif
