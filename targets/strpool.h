/* SPDX-License-Identifier: MIT
 *
 * Room for strings of rows that is had once and given out without allocating: a tick must not.
 */
#ifndef GPUFAS_STRPOOL_H
#define GPUFAS_STRPOOL_H

#include <stdint.h>

#define GF_STRPOOL_MAX 4096u /* bytes of the longest string */

struct gf_strpool;

/* For about n strings, most of them short. NULL: no memory. */
struct gf_strpool *gf_strpool_create(uint32_t n);
void gf_strpool_destroy(struct gf_strpool *p);
/* A copy, not ended by NUL, or NULL: full, or too long. */
const char *gf_strpool_put(struct gf_strpool *p, const char *text, uint32_t len);
void gf_strpool_drop(struct gf_strpool *p, const char *s);

#endif
