/* SPDX-License-Identifier: MIT
 *
 * JSON as it is written: a growing buffer and the few calls that put values into
 * it. A tree of objects first (jansson) would cost a hundred bytes a number,
 * which `ps` of 30,000 processes cannot afford; reading is jansson's.
 */
#ifndef GPUFAS_DAEMON_JBUF_H
#define GPUFAS_DAEMON_JBUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct gf_jbuf {
	char *p;      /* not NUL-terminated; malloc'ed */
	size_t n, cap;
	bool comma;   /* a value was written: the next one needs a comma before it */
	bool failed;  /* out of memory: what is in p is not whole */
};

void gf_jbuf_deinit(struct gf_jbuf *b);
/* Bytes as they are, for pieces that are JSON already; takes part in commas. */
void gf_jbuf_json(struct gf_jbuf *b, const char *json, size_t n);
/* Bytes as they are, outside of any value (newlines). */
void gf_jbuf_raw(struct gf_jbuf *b, const char *s, size_t n);
void gf_jbuf_open(struct gf_jbuf *b, char bracket);  /* '{' or '[' */
void gf_jbuf_close(struct gf_jbuf *b, char bracket); /* '}' or ']' */
void gf_jbuf_key(struct gf_jbuf *b, const char *key); /* key: plain ASCII */
/* Any bytes: what is not UTF-8 is written as \xNN, so that the result always is. */
void gf_jbuf_strn(struct gf_jbuf *b, const char *s, size_t n);
void gf_jbuf_str(struct gf_jbuf *b, const char *s);
void gf_jbuf_num(struct gf_jbuf *b, double v); /* unknown and infinite: null */
void gf_jbuf_int(struct gf_jbuf *b, int64_t v);
void gf_jbuf_uint(struct gf_jbuf *b, uint64_t v);
void gf_jbuf_bool(struct gf_jbuf *b, bool v);
void gf_jbuf_null(struct gf_jbuf *b);

/* The same with a key before. */
void gf_jbuf_kstr(struct gf_jbuf *b, const char *key, const char *s);
void gf_jbuf_knum(struct gf_jbuf *b, const char *key, double v);
void gf_jbuf_kuid(struct gf_jbuf *b, uint32_t uid); /* "uid": null where it is not known */
void gf_jbuf_kint(struct gf_jbuf *b, const char *key, int64_t v);
void gf_jbuf_kuint(struct gf_jbuf *b, const char *key, uint64_t v);
void gf_jbuf_kbool(struct gf_jbuf *b, const char *key, bool v);

/* Bytes for a person's terminal: whatever could steer one, and whatever is not
 * UTF-8, as \xNN. Always terminated, cut between characters. Returns out. */
const char *gf_safe_text(const char *s, size_t n, char *out, size_t size);

#endif
