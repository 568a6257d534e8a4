/* SPDX-License-Identifier: MIT
 *
 * Policy files named on the command line.
 */
#ifndef GPUFAS_CTL_FILES_H
#define GPUFAS_CTL_FILES_H

#include "ctl/ctl.h"

struct gf_files {
	struct gf_source *src;
	size_t n, cap;
};

/* Reads each argument: a file, `-` (standard input), or, where dirs is set, a
 * directory's *.policy in lexical order. What cannot be read is said on stderr.
 * GF_EXIT_OK, or GF_EXIT_NO when one could not be read (the others are in ret). */
int gf_files_read(char **arg, int n, bool dirs, struct gf_files *ret);
void gf_files_deinit(struct gf_files *s);

/* --target, as an image kind. 0 or GF_EXIT_USAGE. */
int gf_ctl_target_kind(const struct gf_ctl *ctl, enum gf_target_kind *ret);
/* Writes path anew, whole or not at all (a rename), keeping its mode; `-`, a
 * device or a pipe is written directly. -errno. */
int gf_ctl_write_file(const char *path, const void *p, size_t n, struct gf_err *err);

#endif
