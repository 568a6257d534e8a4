/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "sim/gft_int.h"

void gft_put(struct gft_buf *b, const void *p, size_t n)
{
	if (b->cap - b->n < n) {
		size_t cap = b->cap ? b->cap : 4096;
		while (cap - b->n < n)
			cap *= 2;
		uint8_t *q = b->failed ? NULL : realloc(b->p, cap);
		if (!q) {
			b->failed = true;
			return;
		}
		b->p = q;
		b->cap = cap;
	}
	if (n)
		memcpy(b->p + b->n, p, n);
	b->n += n;
}

void gft_put_uint(struct gft_buf *b, uint64_t v)
{
	uint8_t t[10];
	size_t n = 0;

	for (; v >= 128; v >>= 7)
		t[n++] = (uint8_t)(v | 128);
	t[n++] = (uint8_t)v;
	gft_put(b, t, n);
}

void gft_put_int(struct gft_buf *b, int64_t v)
{
	gft_put_uint(b, gft_zigzag(v));
}

void gft_buf_deinit(struct gft_buf *b)
{
	free(b->p);
	*b = (struct gft_buf){ 0 };
}

uint64_t gft_get_uint(struct gft_in *in)
{
	uint64_t v = 0;

	for (unsigned shift = 0; shift < 64 && in->p < in->end; shift += 7) {
		uint8_t c = *in->p++;
		if (shift == 63 && c > 1)
			break;
		v |= (uint64_t)(c & 127) << shift;
		if (!(c & 128))
			return v;
	}
	in->bad = true;
	return 0;
}

int64_t gft_get_int(struct gft_in *in)
{
	return gft_unzigzag(gft_get_uint(in));
}

const uint8_t *gft_get(struct gft_in *in, size_t n)
{
	const uint8_t *p = in->p;

	if (in->bad || (size_t)(in->end - p) < n) {
		in->bad = true;
		return NULL;
	}
	in->p += n;
	return p;
}
