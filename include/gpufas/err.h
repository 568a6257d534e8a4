/* SPDX-License-Identifier: MIT
 *
 * The sentence for the user that goes with a -errno.
 */
#ifndef GPUFAS_ERR_H
#define GPUFAS_ERR_H

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

struct gf_err {
	char text[512]; /* one sentence, says how to mend it; "" if none was given */
};

/* Writes the sentence into err (may be NULL) and returns -errnum: `return gf_err_set(e, EINVAL, "...")`. */
__attribute__((format(printf, 3, 4)))
static inline int gf_err_set(struct gf_err *err, int errnum, const char *fmt, ...)
{
	if (err) {
		va_list ap;
		va_start(ap, fmt);
		vsnprintf(err->text, sizeof err->text, fmt, ap);
		va_end(ap);
	}
	return -errnum;
}

#endif
