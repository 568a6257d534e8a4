/* SPDX-License-Identifier: MIT
 *
 * Between ramfile.c, ramfile_elf.c and ramfile_guess.c only.
 */
#ifndef GPUFAS_RAMFILE_INT_H
#define GPUFAS_RAMFILE_INT_H

#include <stdatomic.h>

#include "targets/ramfile.h"
#include "targets/sigbus.h"

/* One mapping, of all that lies between the first and the last piece in a file. */
struct gf_ramfile_file {
	int fd;
	uint8_t *map;
	size_t map_len;
	struct gf_sigbus *guard;
};

struct gf_ramfile {
	struct gf_ram ram;
	struct gf_ram_piece piece[GF_RAM_SEGS]; /* as ram.seg */
	uint8_t in[GF_RAM_SEGS];                /* piece i is in file[in[i]] */
	struct gf_ramfile_file file[GF_RAMFILE_FILES];
	uint32_t files;
	_Atomic bool lost;
	uint64_t cr3; /* 0: not known */
	char *vmcoreinfo;
	size_t vmcoreinfo_len;
	char what[256];
};

/* gf_ramfile_map without the rule that pieces are whole pages of the file. */
int gf_ramfile_map_any(int fd, const char *what, const struct gf_ram_piece *piece, size_t n, bool writable,
		       struct gf_ramfile **ret, struct gf_err *err);
/* Whether fd is an ELF file or another known dump, and not raw memory. head: its first 64 bytes. */
bool gf_ramfile_is_elf(const uint8_t *head, size_t len);
/* Never for writing: it is a picture of what was. */
int gf_ramfile_open_elf(int fd, const char *what, struct gf_ramfile **ret, struct gf_err *err);
/* Raw, more than 2 GiB, and nobody said how it is laid out. */
int gf_ramfile_guess(int fd, const char *what, uint64_t size, bool writable, struct gf_ramfile **ret, struct gf_err *err);

#endif
