/* SPDX-License-Identifier: MIT
 *
 * Inside the vm target: what its sampler (vm.c) and its keeper (vm_keep.c) share.
 *
 * Who holds a guest. The keeper has one reference from gf_guest_create on and gives up no other's; a guest that is
 * not the current one any more stays in `retired` until nobody else looks at it, and is then freed by the keeper's
 * gf_vm_reap. The engine's thread takes no reference and no lock: it says in `sampling` what it looks at.
 */
#ifndef GPUFAS_VM_INT_H
#define GPUFAS_VM_INT_H

#include <pthread.h>
#include <stdatomic.h>

#include "targets/vm.h"

struct gf_vm_keep;    /* vm_keep.c */
struct gf_vm_sampler; /* vm_sample.c */

#define GF_VM_BY_GPU 4u

struct gf_vm {
	struct gf_target t;
	struct gf_vm_opts o; /* strings and pieces are copies */
	bool image;          /* a dump: no keeper, nothing changes */
	uint64_t step_ns;    /* of an image */
	struct gf_target *view_of; /* vm_view.c: whose guest is looked at; NULL: its own */

	pthread_mutex_t lock; /* held for a few instructions only */
	_Atomic(struct gf_guest *) guest;    /* the current one, or NULL; written under the lock, by the keeper */
	_Atomic(struct gf_guest *) sampling; /* what the engine's thread looks at just now */
	struct gf_guest *retired;            /* the keeper's, linked by next */
	uint64_t boots;
	char state[512];      /* under the lock: why there is no guest, or how it is watched */
	int state_error;      /* errno that goes with it while there is no guest */

	atomic_bool paused;   /* its CPUs do not run (QEMU's "paused", "suspended", ...): samples fail, and its time stands. gf_vm_set_paused */
	atomic_bool suspect;  /* something that was read cannot be so */
	_Atomic uint32_t want;      /* enum gf_rec_have, of its sampler */
	_Atomic uint32_t by_module; /* the last sample was taken from the guest's module */
	_Atomic uint32_t by_gpu;    /* 0, or GF_VM_BY_GPU: a device samples it by itself; and enum gf_region_by */
	int wake_fd;          /* eventfd, non-blocking: readable when suspect has been set or the keeper is to end; -1: image */
	_Atomic int news_fd;  /* eventfd, non-blocking: readable when guest or paused may have changed; -1: nobody has asked for one */
	atomic_bool end;

	struct gf_vm_keep *keep;
	struct gf_vm_sampler *sampler;
};

/* ---- for who watches it with a device, one thread at a time (vm.c) -------------- */

/* A descriptor, the target's, that can be read when there is another guest, none any more, or when it is paused or goes on: made at the first
 * call, -errno. Who has emptied it by gf_vm_news_seen, and looks at guest and paused only then, misses nothing. */
int gf_vm_news(struct gf_vm *vm);
void gf_vm_news_seen(struct gf_vm *vm);
/* What is new is there to be seen already. Any thread. */
void gf_vm_tell_news(struct gf_vm *vm);

/* ---- for the keeper (vm.c) -------------------------------------------------- */

/* What it was before. */
bool gf_vm_set_paused(struct gf_vm *vm, bool paused);

/* g, with the keeper's reference, is the guest from now on; gives it its number; what was there is retired. */
void gf_vm_publish(struct gf_vm *vm, struct gf_guest *g);
/* There is no guest from now on; what was there is retired. Set the state first. */
void gf_vm_retire(struct gf_vm *vm);
/* Frees retired guests that nobody looks at; false while there are others. To be called now and then. */
bool gf_vm_reap(struct gf_vm *vm);
/* What status and failing samples say: "QEMU is not running (no /run/vm1.qmp)", and the errno (ENOLINK if in doubt; 0 while
 * attached). No full stop. */
__attribute__((format(printf, 3, 4)))
void gf_vm_set_state(struct gf_vm *vm, int error, const char *fmt, ...);
/* As opts.say, if there is one. */
__attribute__((format(printf, 3, 4)))
void gf_vm_say(struct gf_vm *vm, int level, const char *fmt, ...);

/* ---- by the keeper (vm_keep.c), which also has gf_vm_kick, gf_vm_nmi, gf_vm_reset --- */

/* Sets vm->keep and starts the thread. It is woken by wake_fd (which it drains), looks at suspect (which it
 * clears) and end. */
int gf_vm_keep_start(struct gf_vm *vm, struct gf_err *err);
/* vm->end is set and wake_fd written: joins the thread, which has retired its guest before it ended. Frees
 * vm->keep; keep NULL: nothing. */
void gf_vm_keep_stop(struct gf_vm *vm);

/* ---- between vm.c, vm_sample.c and image.c -------------------------------------- */

/* Without keeper and guest. */
int gf_vm_make(const struct gf_vm_opts *opts, const struct gf_target_ops *ops, struct gf_vm **ret, struct gf_err *err);
void gf_vm_unmake(struct gf_target *t); /* the keeper, if any, has ended */
void gf_vm_describe(struct gf_target *t, char *buf, size_t n);
int gf_vm_sampler_create(struct gf_vm *vm, uint32_t max_tasks, struct gf_err *err);
void gf_vm_sampler_destroy(struct gf_vm *vm);
int gf_vm_sample(struct gf_target *t, struct gf_err *err);
int gf_vm_set_fields(struct gf_target *t, const struct gf_fieldset *f, struct gf_err *err);
int gf_vm_set_paths(struct gf_target *t, const char *const *path, size_t n, struct gf_err *err);

#endif
