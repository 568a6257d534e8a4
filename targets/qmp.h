/* SPDX-License-Identifier: MIT
 *
 * QEMU Machine Protocol, as far as a watchdog needs it: where the guest's memory is, what becomes of the
 * guest, and a few things that QEMU does for us (NMI, reset, interrupts). docs/interop/qmp-spec of QEMU.
 */
#ifndef GPUFAS_QMP_H
#define GPUFAS_QMP_H

#include <stdbool.h>
#include <sys/types.h>

#include "gpufas/err.h"
#include "targets/ramfile.h"

struct gf_qmp;

enum gf_qmp_event {
	GF_QMP_NONE,
	GF_QMP_RESET, GF_QMP_SHUTDOWN, GF_QMP_STOP, GF_QMP_RESUME, GF_QMP_SUSPEND, GF_QMP_WAKEUP, GF_QMP_PANICKED,
	GF_QMP_MIGRATED, /* completed: it runs elsewhere now */
	GF_QMP_GONE,     /* the connection has ended */
	GF_QMP_OTHER,
};

/* Connects, reads the greeting, negotiates. Blocking, at most timeout_ms for each step. Errors with a
 * sentence: -ENOENT, -ECONNREFUSED (QEMU is not running), -EBUSY (QEMU serves one client a monitor: it has another),
 * -EPROTO, -ETIMEDOUT, -EACCES. */
int gf_qmp_connect(const char *path, int timeout_ms, struct gf_qmp **ret, struct gf_err *err);
void gf_qmp_close(struct gf_qmp *q);
int gf_qmp_fd(const struct gf_qmp *q);     /* readable when there may be an event */
pid_t gf_qmp_pid(const struct gf_qmp *q);  /* QEMU's, by SO_PEERCRED */
enum gf_qmp_event gf_qmp_next(struct gf_qmp *q, int timeout_ms); /* next event; NONE when the time is up */

struct gf_qmp_guest {
	char name[128], status[32]; /* query-name, query-status ("running", "paused", ...) */
	char machine[64];
	bool kvm;
	uint32_t cpus;
	int fd;                     /* of guest RAM, the caller's; -1 */
	char what[256];             /* the file, memfd or backend, for messages */
	struct gf_ram_piece piece[16];
	size_t pieces;
};
/* Asks for the memory backend and its layout, and opens the file. -ENOTSUP where the RAM is private (with the
 * options that mend it: -object memory-backend-memfd,share=on), more than one backend in an order that cannot
 * be told, not the first; -EPROTO. */
int gf_qmp_guest(struct gf_qmp *q, struct gf_qmp_guest *ret, struct gf_err *err);

int gf_qmp_nmi(struct gf_qmp *q, struct gf_err *err);
int gf_qmp_reset(struct gf_qmp *q, struct gf_err *err);

/* The layout in the text of `info mtree -f`: RAM pieces of the backend `name` in the flat view of "memory". Pure. */
int gf_mtree_parse(const char *text, const char *name, struct gf_ram_piece *piece, size_t max, size_t *ret_n,
		   struct gf_err *err);

#endif
