/* SPDX-License-Identifier: MIT
 *
 * A virtual machine as a target, watched from outside: its RAM is mapped, its kernel found there, its tasks
 * sampled by reading and acted on by storing. Nothing runs inside.
 *
 * Threads. The engine samples (never waits, never allocates). The actuator delivers. The keeper, a thread
 * of the target's own, attaches: it connects to QEMU, maps memory, finds the kernel, and does so again whenever the
 * guest starts, reboots, stops or goes away. What it finds is a struct gf_guest, which the other two hold by reference
 * for as long as they look at it.
 */
#ifndef GPUFAS_VM_H
#define GPUFAS_VM_H

#include "gpu/layout.h"
#include "targets/actuator.h"
#include "targets/kernel.h"
#include "targets/qmp.h"
#include "targets/target.h"

struct gf_assist; /* targets/assist.h */
struct gf_pseudo; /* targets/pseudo.h: what delivering into this kernel takes */

/* One boot of one guest. Immutable once the keeper has published it. */
struct gf_guest {
	int refs; /* atomic; gf_guest_get, gf_guest_put: the last put is always the keeper's, so that no other thread unmaps */
	uint64_t boot; /* counts the guests that a target has had, from 1 */
	struct gf_ramfile *ram;
	struct gf_kernel *kernel;
	struct gf_layout layout;    /* for the walkers */
	struct gf_pseudo *pseudo;   /* NULL: not writable */
	struct gf_assist *assist;   /* of the kernel module in it; NULL: not looked for. assist.h */
	struct gf_guest *next;      /* the keeper's: those that are no longer current */
};

/* Everything about a mapped memory that sampling and delivering need. Takes ram over, also on failure. */
int gf_guest_create(struct gf_ramfile *ram, bool writable, struct gf_guest **ret, struct gf_err *err);
struct gf_guest *gf_guest_get(struct gf_guest *g);
/* gf_btf_path() in a guest's kernel, as gf_compile_opts.path; guest: a struct gf_guest. */
int gf_guest_path(void *guest, const char *path, size_t *ret_at, size_t *ret_len, struct gf_err *err);
void gf_guest_put(struct gf_guest *g);

enum gf_kick { GF_KICK_NONE, GF_KICK_QTEST, GF_KICK_SERIAL };

struct gf_vm_opts {
	const char *name;
	const char *qmp;                  /* QMP socket, or NULL: */
	const char *ram_file;             /* RAM file, with its layout (pieces 0: found out) */
	const struct gf_ram_piece *piece;
	size_t pieces;
	uint32_t max_tasks;
	enum gf_kick kick;                /* for guests that idle in HLT */
	bool assisted;                    /* use the kernel module in the guest where there is one */
	uint64_t period_ns;               /* of the ticks; 0: 100 ms */
	const char *kick_path;            /* qtest socket, or socket of a serial port that the guest has open */
	/* News of the guest (attached, rebooted, gone, ...), one sentence; level as syslog's. Any thread; must not block. */
	void (*say)(void *arg, int level, const char *text);
	void *say_arg;
};

/* Copies opts. A guest that is not there (yet) is no error: samples fail with a sentence until it is. */
int gf_vm_create(const struct gf_vm_opts *opts, struct gf_target **ret, struct gf_err *err);
/* A dump or raw RAM file, read once, never written: an instant. Sampling it again moves its clock on by step_ns as if
 * all had stayed as it was (0: the clock stands). */
int gf_image_create(const char *path, const struct gf_ram_piece *piece, size_t pieces, uint32_t max_tasks,
		    uint64_t step_ns, struct gf_target **ret, struct gf_err *err);

/* Another sampler of the same guest or image, with a table of its own, for one thread that may wait (`ps`). vm must outlive it, and
 * is what all other calls want. */
int gf_vm_create_view(struct gf_target *vm, uint32_t max_tasks, struct gf_target **ret, struct gf_err *err);

/* The guest attached now, referenced, or NULL with why. vm and image targets. Any thread. */
struct gf_guest *gf_vm_guest(struct gf_target *t, struct gf_err *err);
/* Whether a kernel path leads to a number in the guest's kernel: -EINVAL and why not. 0 also where no guest is attached. Any thread. */
int gf_vm_check_path(struct gf_target *t, const char *path, struct gf_err *err);
/* Something that was read through g cannot be so: the keeper looks whether it is still there. Any thread. */
void gf_vm_suspect(struct gf_target *t, const struct gf_guest *g);
/* Whether something may be stored into g now: 0 or enum gf_refused. Where another kernel has taken its memory the keeper is
 * told. A few reads. Any thread. */
uint8_t gf_vm_storable(struct gf_target *t, const struct gf_guest *g);
/* What the kernel module in the guest is used for just now. Any thread. */
void gf_vm_by_module(struct gf_target *t, bool *ret_samples, bool *ret_delivers);
/* An interrupt for a guest CPU that idles, by the configured kick: 0, -ENOTSUP (none configured), -errno. */
int gf_vm_kick(struct gf_target *t, uint32_t cpu);
int gf_vm_nmi(struct gf_target *t, struct gf_err *err);
int gf_vm_reset(struct gf_target *t, struct gf_err *err);

/* As gf_actuator_create and gf_act, for a vm target. vm_actuator.c */
struct gf_vm_actuator;
int gf_vm_actuator_create(const struct gf_actuator_opts *opts, struct gf_target *vm, int verdict_fd, gf_verdict_source source,
			  void *source_arg, gf_event_sink sink, void *sink_arg, struct gf_vm_actuator **ret, struct gf_err *err);
void gf_vm_actuator_destroy(struct gf_vm_actuator *a);

/* An engine that delivers by itself: verdicts with GF_VERDICT_DONE_BY_ENGINE. */
struct gf_deliver_result; /* gpu/deliver.h */
struct gf_deliver_hand;
struct gf_vm_engine {
	int fd; /* readable when there are results; -1: they are asked for every millisecond while some are awaited */
	/* Takes up to n results; returns how many. On the actuator's thread. Of a verdict there must be none before the verdict
	 * itself can be had. */
	size_t (*results)(void *arg, struct gf_deliver_result *buf, size_t n);
	void *arg;
	struct gf_deliver_hand *hand; /* that the device has; NULL: what it offers is the host's at once */
};
/* e, which is copied, delivers from now on. NULL: none does, and stores nothing any more; what it had under way the actuator goes on
 * with. When this returns what was there before is not called any more. Any thread. */
void gf_vm_actuator_engine(struct gf_vm_actuator *a, const struct gf_vm_engine *e);
/* One verdict by hand (gpufasctl signal), on the caller's thread; waits up to wait_ns for its effect. ret_member says what
 * became of it. 0 or the member's error, with a sentence's end in err where it says more. v->start_ns 0: whoever has the pid now. */
int gf_vm_act(struct gf_target *vm, const struct gf_verdict *v, enum gf_hand road, uint64_t wait_ns, struct gf_event_member *ret_member, struct gf_err *err);
const char *gf_refused_text(uint8_t why); /* enum gf_refused as a sentence's end */
const char *gf_how_text(uint8_t how);

#endif
