// SPDX-License-Identifier: MIT
/*
 * How a raw file of more than 2 GiB is laid out in guest physical memory, when nobody says: machines leave a hole for
 * devices below 4 GiB and go on behind it. The kernel in there decides: under the right layout its direct map ends
 * where memory ends.
 */
#include <errno.h>
#include <inttypes.h>

#include "targets/kernel.h"
#include "targets/ramfile_int.h"

#define HIGH (4ull << 30)

int gf_ramfile_guess(int fd, const char *what, uint64_t size, bool writable, struct gf_ramfile **ret, struct gf_err *err)
{
	struct gf_ram_piece p[2] = { { 0, GF_MIN(size, 2ull << 30), 0 }, { HIGH, 0, 2ull << 30 } };

	p[1].size = size - p[0].size;
	return gf_ramfile_map(fd, what, p, 2, writable, ret, err);
}
