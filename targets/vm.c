// SPDX-License-Identifier: MIT
/*
 * A guest as a target: who holds what, and what it says of itself. vm_sample.c samples, vm_keep.c attaches.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "targets/assist.h"
#include "targets/vm_int.h"

static struct gf_vm *vm_of(struct gf_target *t)
{
	return (struct gf_vm *)(void *)t;
}

/* ---- news ------------------------------------------------------------------- */

int gf_vm_news(struct gf_vm *vm)
{
	int fd = atomic_load(&vm->news_fd);

	if (fd >= 0)
		return fd;
	fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (fd < 0)
		return -errno;
	atomic_store(&vm->news_fd, fd);
	return fd;
}

void gf_vm_news_seen(struct gf_vm *vm)
{
	int fd = atomic_load(&vm->news_fd);
	uint64_t n;

	if (fd >= 0 && read(fd, &n, sizeof n) < 0)
		return; /* there were none */
}

void gf_vm_tell_news(struct gf_vm *vm)
{
	int fd = atomic_load(&vm->news_fd);
	const uint64_t one = 1;

	/* It does not block; if it is full it can be read. */
	if (fd >= 0 && write(fd, &one, sizeof one) < 0)
		return;
}

bool gf_vm_set_paused(struct gf_vm *vm, bool paused)
{
	bool was = atomic_exchange(&vm->paused, paused);

	if (was != paused)
		gf_vm_tell_news(vm);
	return was;
}

/* ---- the keeper's ----------------------------------------------------------- */

/* Under the lock. */
static void make_current(struct gf_vm *vm, struct gf_guest *g)
{
	struct gf_guest *old = atomic_exchange(&vm->guest, g);

	if (old) {
		old->next = vm->retired;
		vm->retired = old;
	}
	if (old != g)
		gf_vm_tell_news(vm);
}

void gf_vm_publish(struct gf_vm *vm, struct gf_guest *g)
{
	pthread_mutex_lock(&vm->lock);
	g->boot = ++vm->boots;
	make_current(vm, g);
	pthread_mutex_unlock(&vm->lock);
}

void gf_vm_retire(struct gf_vm *vm)
{
	pthread_mutex_lock(&vm->lock);
	make_current(vm, NULL);
	pthread_mutex_unlock(&vm->lock);
}

bool gf_vm_reap(struct gf_vm *vm)
{
	struct gf_guest **at = &vm->retired;

	while (*at) {
		struct gf_guest *g = *at;
		/* Nobody finds it any more: whoever has it has it already. */
		if (atomic_load(&vm->sampling) == g || __atomic_load_n(&g->refs, __ATOMIC_ACQUIRE) != 1) {
			at = &g->next;
			continue;
		}
		*at = g->next;
		gf_guest_put(g);
	}
	return !vm->retired;
}

void gf_vm_set_state(struct gf_vm *vm, int error, const char *fmt, ...)
{
	va_list ap;

	pthread_mutex_lock(&vm->lock);
	va_start(ap, fmt);
	vsnprintf(vm->state, sizeof vm->state, fmt, ap);
	va_end(ap);
	vm->state_error = error;
	pthread_mutex_unlock(&vm->lock);
}

void gf_vm_say(struct gf_vm *vm, int level, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	if (!vm->o.say)
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	vm->o.say(vm->o.say_arg, level, text);
}

/* ---- anybody's -------------------------------------------------------------- */

struct gf_guest *gf_vm_guest(struct gf_target *t, struct gf_err *err)
{
	struct gf_vm *vm = vm_of(t);
	struct gf_guest *g;

	pthread_mutex_lock(&vm->lock);
	g = atomic_load(&vm->guest);
	if (g)
		gf_guest_get(g);
	else
		gf_err_set(err, vm->state_error ? vm->state_error : ENOLINK, "%s", vm->state);
	pthread_mutex_unlock(&vm->lock);
	return g;
}

void gf_vm_suspect(struct gf_target *t, const struct gf_guest *g)
{
	struct gf_vm *vm = vm_of(t);
	const uint64_t one = 1;

	if (atomic_load(&vm->guest) != g || vm->wake_fd < 0 || atomic_exchange(&vm->suspect, true))
		return;
	/* It does not block; if it is full the keeper has been woken already. */
	if (write(vm->wake_fd, &one, sizeof one) < 0)
		return;
}

uint8_t gf_vm_storable(struct gf_target *t, const struct gf_guest *g)
{
	struct gf_vm *vm = vm_of(t);

	/* Retired meanwhile, or rebooted a moment ago: it would go into another kernel's memory. */
	if (atomic_load(&vm->guest) != g)
		return GF_REF_NO_GUEST;
	if (!gf_kernel_still_there(g->kernel)) {
		gf_vm_suspect(t, g);
		return GF_REF_NO_GUEST;
	}
	/* Saved, or copied to another host: what is stored may be in the copy in part. */
	return atomic_load(&vm->paused) ? GF_REF_PAUSED : GF_REF_NONE;
}

void gf_vm_by_module(struct gf_target *t, bool *ret_samples, bool *ret_delivers)
{
	struct gf_vm *vm = vm_of(t);
	uint32_t gpu = atomic_load(&vm->by_gpu);

	pthread_mutex_lock(&vm->lock);
	const struct gf_guest *g = atomic_load(&vm->guest);
	bool there = g && g->assist && atomic_load(&g->assist->region);
	pthread_mutex_unlock(&vm->lock);
	/* A device is told a moment after the module was found, and sees by itself that it has gone. */
	*ret_delivers = there && (!gpu || gpu & GF_REGION_DELIVERS);
	*ret_samples = *ret_delivers && (gpu ? gpu & GF_REGION_SAMPLES : atomic_load(&vm->by_module));
}

void gf_vm_describe(struct gf_target *t, char *buf, size_t n)
{
	struct gf_vm *vm = vm_of(t);
	static const char *const by[2][3] = {
		{ "", "; assisted: delivered to by the module in it, sampled from outside", "; assisted: sampled and delivered to by the module in it" },
		{ "", "; assisted: the GPU delivers by the module in it, and samples from outside", "; assisted: the GPU samples and delivers by the module in it" },
	};
	bool samples, delivers, gpu = atomic_load(&vm->by_gpu) != 0;

	gf_vm_by_module(t, &samples, &delivers);
	pthread_mutex_lock(&vm->lock);
	snprintf(buf, n, "%s%s%s", vm->state, by[gpu][samples + delivers],
		 atomic_load(&vm->guest) && atomic_load(&vm->paused) && !strstr(vm->state, "paused") ? "; paused" : "");
	pthread_mutex_unlock(&vm->lock);
}

/* ---- creation --------------------------------------------------------------- */

static bool copy_string(const char **to, const char *from)
{
	*to = from ? strdup(from) : NULL;
	return !from || *to;
}

static bool copy_opts(struct gf_vm *vm, const struct gf_vm_opts *o)
{
	struct gf_ram_piece *piece = NULL;

	vm->o = *o;
	bool ok = copy_string(&vm->o.name, o->name);
	ok &= copy_string(&vm->o.qmp, o->qmp);
	ok &= copy_string(&vm->o.ram_file, o->ram_file);
	ok &= copy_string(&vm->o.kick_path, o->kick_path);
	if (o->pieces) {
		piece = malloc(o->pieces * sizeof *piece);
		if (piece)
			memcpy(piece, o->piece, o->pieces * sizeof *piece);
		ok &= !!piece;
	}
	vm->o.piece = piece;
	return ok;
}

void gf_vm_unmake(struct gf_target *t)
{
	struct gf_vm *vm = vm_of(t);

	gf_vm_sampler_destroy(vm);
	gf_vm_retire(vm);
	gf_vm_reap(vm);
	if (vm->wake_fd >= 0)
		close(vm->wake_fd);
	if (vm->news_fd >= 0)
		close(vm->news_fd);
	free((char *)(uintptr_t)vm->o.name);
	free((char *)(uintptr_t)vm->o.qmp);
	free((char *)(uintptr_t)vm->o.ram_file);
	free((char *)(uintptr_t)vm->o.kick_path);
	free((void *)(uintptr_t)vm->o.piece);
	pthread_mutex_destroy(&vm->lock);
	free(vm);
}

int gf_vm_make(const struct gf_vm_opts *opts, const struct gf_target_ops *ops, struct gf_vm **ret, struct gf_err *err)
{
	struct gf_vm *vm = calloc(1, sizeof *vm);
	int r = 0;

	if (!vm)
		return gf_err_set(err, ENOMEM, "no memory for a guest");
	pthread_mutex_init(&vm->lock, NULL);
	vm->wake_fd = -1;
	vm->news_fd = -1;
	vm->t.ops = ops;
	vm->t.target_kind = GF_TARGET_VM;
	snprintf(vm->t.name, sizeof vm->t.name, "%s", opts->name ? opts->name : ops->kind);
	snprintf(vm->t.road, sizeof vm->t.road, "memory");
	gf_vm_set_state(vm, ENOLINK, "not attached yet");
	if (!copy_opts(vm, opts))
		r = gf_err_set(err, ENOMEM, "no memory for a guest");
	if (!r)
		r = gf_vm_sampler_create(vm, opts->max_tasks, err);
	if (r) {
		gf_vm_unmake(&vm->t);
		return r;
	}
	*ret = vm;
	return 0;
}
