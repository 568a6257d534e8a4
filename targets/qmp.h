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
	GF_QMP_GONE,     /* the connection has ended, or the peer speaks no QMP (any more) */
};

#define GF_QMP_LIBVIRT "libvirt:"

/* path: of the socket, or "libvirt:NAME", a guest of the system's libvirt whose second monitor is looked up.
 * Connects, reads the greeting, negotiates. Blocking, at most timeout_ms for each step, also of what follows. Errors
 * with a sentence: -ENOENT, -ECONNREFUSED (QEMU is not running), -EBUSY (QEMU serves one client a monitor: it has
 * another), -EPROTO, -ETIMEDOUT, -EACCES, -ENOTSUP (libvirt's guest has no monitor for us). After -EPROTO, -ETIMEDOUT or -EPIPE of any call the connection is of no use. */
int gf_qmp_connect(const char *path, int timeout_ms, struct gf_qmp **ret, struct gf_err *err);
void gf_qmp_close(struct gf_qmp *q);
int gf_qmp_fd(const struct gf_qmp *q);     /* readable when there may be an event */
pid_t gf_qmp_pid(const struct gf_qmp *q);  /* QEMU's, by SO_PEERCRED; after gf_qmp_guest as /proc confirms it */
/* Next event of those above, others skipped; NONE when the time is up. */
enum gf_qmp_event gf_qmp_next(struct gf_qmp *q, int timeout_ms);

#define GF_QMP_PIECES 16u

struct gf_qmp_guest {
	char name[128], status[32]; /* query-name, query-status ("running", "paused", ...) */
	char machine[64];
	bool kvm;
	uint32_t cpus;
	char what[256];             /* the file, memfd or backend, for messages */
	bool writable;              /* all of it could be opened for writing */
	struct gf_ram_piece piece[GF_QMP_PIECES];
	int fd[GF_QMP_PIECES];      /* piece i is in fd[i]; a file that holds several is there as often: gf_qmp_guest_close */
	size_t pieces;
};
/* Asks for the memory backends and their layout, and opens the files. -ENOTSUP where the RAM is private (with the
 * options that mend it: -object memory-backend-memfd,share=on) or the machine is no x86-64; -EACCES; -EPROTO. */
int gf_qmp_guest(struct gf_qmp *q, struct gf_qmp_guest *ret, struct gf_err *err);
void gf_qmp_guest_close(struct gf_qmp_guest *g); /* the fds */

/* query-status alone. */
int gf_qmp_status(struct gf_qmp *q, char *buf, size_t n, struct gf_err *err);
/* CPU 0's page tables, as `info registers` has them: 0 where it does not page (firmware, a kernel that has just begun). */
int gf_qmp_cr3(struct gf_qmp *q, uint64_t *ret, struct gf_err *err);

int gf_qmp_nmi(struct gf_qmp *q, struct gf_err *err);
int gf_qmp_reset(struct gf_qmp *q, struct gf_err *err);

/* The layout in the text of `info mtree -f`: RAM pieces of the backend `name` in the flat view of "memory", ascending,
 * off counted in the backend. What the machine hides of the first MiB (video memory, ROM shadows) is part of it. Pure.
 * -ENODATA (no piece), -E2BIG (more than max), -EPROTO. */
int gf_mtree_parse(const char *text, const char *name, struct gf_ram_piece *piece, size_t max, size_t *ret_n,
		   struct gf_err *err);

#endif
