/* SPDX-License-Identifier: MIT
 *
 * Reading a mapped file beyond its end raises SIGBUS. Files that others can cut are mapped here (a guest's RAM, a
 * dump that is being replaced), so what is lost is replaced by zeros instead.
 */
#ifndef GPUFAS_SIGBUS_H
#define GPUFAS_SIGBUS_H

#include <stdbool.h>
#include <stdint.h>
#include <stddef.h>

#include "gpufas/err.h"

struct gf_sigbus; /* one guarded mapping */

/* Guards [p, p + len), a mapping of fd from off on in blocks of `block` bytes (the page size, or that of a huge page).
 * *lost is set when something had to be replaced; it must outlive the guard, and so must fd. The handler is the
 * process's: faults elsewhere go to whatever action there was before. -ENOSPC: too many; -errno. */
int gf_sigbus_guard(uint8_t *p, size_t len, size_t block, int fd, uint64_t off, _Atomic bool *lost,
		    struct gf_sigbus **ret, struct gf_err *err);
/* Before the mapping goes. NULL is fine. */
void gf_sigbus_unguard(struct gf_sigbus *g);

#endif
