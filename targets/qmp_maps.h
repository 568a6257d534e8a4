/* SPDX-License-Identifier: MIT
 *
 * The file behind an address of another process.
 */
#ifndef GPUFAS_QMP_MAPS_H
#define GPUFAS_QMP_MAPS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* Opens the file that pid has mapped at addr, where at least size bytes of it are: *ret_fd is the caller's, *ret_off
 * where addr is in it. *ret_writable: opened for writing, too. -ENOTSUP: what is there is private (or not of a file);
 * -ENOENT: nothing is there; -ENODATA: the file is shorter than that; -EACCES and others: /proc does not tell. */
int gf_qmp_maps_open(pid_t pid, uint64_t addr, uint64_t size, int *ret_fd, uint64_t *ret_off, bool *ret_writable);

/* Whether another process than this has the file open or mapped: 1 or 0; -EACCES: not all processes may be looked into. */
int gf_qmp_maps_in_use(dev_t dev, ino_t ino);

#endif
