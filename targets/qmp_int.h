/* SPDX-License-Identifier: MIT
 *
 * Between qmp.c and qmp_guest.c, and for tests.
 */
#ifndef GPUFAS_QMP_INT_H
#define GPUFAS_QMP_INT_H

#include <jansson.h>

#include "targets/qmp.h"

#define GF_QMP_LINE_MAX (4u << 20) /* the flat view of a machine with hundreds of devices stays under 1 MiB */
#define GF_QMP_EVENTS 32u

struct gf_qmp {
	int fd;
	pid_t pid;
	uid_t uid;     /* whose the peer is; -1: not known */
	int timeout_ms;
	bool broken;   /* out of step with the peer, or it is gone */
	uint64_t last_id;
	char *buf;     /* what has been read and not yet used: [start, end) */
	size_t size, start, end, seen; /* seen: up to where there is no newline */
	uint8_t event[GF_QMP_EVENTS];  /* those that arrived while a reply was waited for */
	unsigned events;
	char path[256];
};

/* Takes fd over, also on failure: a connected socket on which the greeting is due. */
int gf_qmp_open(int fd, const char *path, int timeout_ms, struct gf_qmp **ret, struct gf_err *err);

/* Sends a command and waits for its reply. args: stolen, may be NULL. *ret: the caller's. -EREMOTEIO: QEMU says no,
 * err has its words. */
int gf_qmp_command(struct gf_qmp *q, const char *name, json_t *args, json_t **ret, struct gf_err *err);
/* A command of the human monitor; *ret is the caller's (free). */
int gf_qmp_hmp(struct gf_qmp *q, const char *line, char **ret, struct gf_err *err);

/* The socket of the monitor that libvirt's guest `name` was given for us. -ENOENT: it does not run; -ENOTSUP: it has none
 * (with what mends it); -EACCES. */
#define GF_QMP_LIBVIRT_DIR "/run/libvirt/qemu"
#define GF_QMP_LIBVIRT_NAME 64u
int gf_qmp_libvirt(const char *dir, const char *name, char *buf, size_t n, struct gf_err *err);
/* What a peer says, for people: no escape sequences. from may be NULL. */
void gf_qmp_copy(char *to, size_t n, const char *from);

#endif
