/* SPDX-License-Identifier: MIT
 *
 * Between vm_keep.c (what becomes of a guest), vm_attach.c (getting at it) and vm_kick.c (kicks, NMI, reset).
 */
#ifndef GPUFAS_VM_KEEP_INT_H
#define GPUFAS_VM_KEEP_INT_H

#include <sys/stat.h>

#include "targets/vm_int.h"

#define GF_VM_QMP_MS 2000 /* for each step with QEMU */

enum gf_vm_phase {
	GF_VM_AWAY,  /* no QEMU, no RAM file */
	GF_VM_REST,  /* there is one, but its memory is of no use now: shut down, migrated, private, ... */
	GF_VM_BOOT,  /* no kernel yet */
	GF_VM_ON,    /* attached */
};

struct gf_vm_keep {
	struct gf_vm *vm;
	pthread_t thread;
	bool started;
	enum gf_vm_phase phase;
	unsigned tries;            /* in this phase */
	char said[600];            /* the last sentence: said once */

	pthread_mutex_t qmp_lock;  /* the connection, which gf_vm_nmi and gf_vm_reset use, too */
	struct gf_qmp *q;

	struct gf_guest *early;    /* found, but still starting: looked at again until it has, then found anew */
	unsigned early_looks;
	struct gf_guest *g;        /* while attached; the reference has gone over to vm */
	struct gf_pseudo_records *records; /* of the guest before, which may run on: QEMU was out of reach for a moment */
	bool ended;                /* that QEMU is gone has been told */
	bool had_reset;            /* "rebooted", not "attached" */
	char gone_kernel[128];     /* the release before */
	struct stat file;          /* the RAM file as it was opened */
	uint64_t clock_va, clock;  /* jiffies_64: 0, not known; its last value */
	int64_t clock_ms, look_ms; /* when it was seen to move; when the next look is due */

	bool assisted;             /* told: it has the module */
	char assist_said[160];

	struct gf_vm_kick *kick;
};

/* All return 0 with k->phase as it is now, or as it will be: see each. Keeper's thread only. */

/* Tells a new state, once, and sets it (error: errno for samples). */
__attribute__((format(printf, 4, 5)))
void gf_vm_tell(struct gf_vm_keep *k, int level, int error, const char *fmt, ...);
int64_t gf_vm_now_ms(void);

/* Maps the memory and finds the kernel: 0 and a guest that is not published yet; *ret_paused: its CPUs stand. -ENODATA: not
 * yet; -EPIPE, -ETIMEDOUT, -EPROTO: the connection is of no use; -ENOLINK: QEMU is there, but its memory is of no use for
 * now; others: not, until somebody mends it. */
int gf_vm_attach(struct gf_vm_keep *k, struct gf_guest **ret, bool *ret_paused, struct gf_err *err);
/* Whether the kernel has come to where it runs init (system_state). Before, much of what was found may still change: its
 * code is patched, its per-CPU areas and its VMCOREINFO are set up. */
bool gf_vm_started(const struct gf_guest *g);
/* Whether page tables in use map the attached kernel: 1, 0, or -errno where that cannot be told. */
int gf_vm_runs(struct gf_vm_keep *k);
/* The guest's own clock. */
bool gf_vm_clock(const struct gf_vm_keep *k, uint64_t *ret);
/* The RAM file by hand: 0, or -errno with what has become of it (-ENOENT, -ESTALE another file, -ENODATA cut). */
int gf_vm_file_check(const struct gf_vm_keep *k, struct gf_err *err);

int gf_vm_kick_create(struct gf_vm *vm, struct gf_vm_kick **ret, struct gf_err *err);
void gf_vm_kick_free(struct gf_vm_kick *kick);

#endif
