// SPDX-License-Identifier: MIT
/*
 * One look at a guest's memory: processes, host fields, strings. The engine's thread; it waits for nobody and
 * allocates nothing. What it looks at cannot be unmapped meanwhile: see vm_int.h.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "gpu/sampler.h"
#include "targets/assist.h"
#include "targets/strings.h"
#include "targets/vm_int.h"

#define DEFAULT_TASKS 32768u
#define BATCH 64u /* records that are made before rows are filled with them: they stay in the cache meanwhile */

GF_STATIC_ASSERT(GF_STR_MAX == GF_STRING_MAX, "length of strings");

struct gf_vm_sampler {
	struct gf_sampler v;
	struct gf_sampler_guest g; /* what is being looked at */
	void *mem;             /* v's own */
	void *strings[GF_SF_COUNT]; /* and what it has for strings, as it was asked for */
	uint32_t strings_n;
	char *path[GF_MAX_PATHS];
	uint32_t paths;
};

static struct gf_vm *vm_of(struct gf_target *t)
{
	return (struct gf_vm *)(void *)t;
}

/* ---- who is looked at ------------------------------------------------------- */

static struct gf_guest *enter(struct gf_vm *vm)
{
	for (int i = 0; i < 8; i++) {
		struct gf_guest *g = atomic_load(&vm->guest);

		atomic_store(&vm->sampling, g);
		if (atomic_load(&vm->guest) == g)
			return g;
	}
	atomic_store(&vm->sampling, NULL);
	return NULL;
}

static void leave(struct gf_vm *vm)
{
	atomic_store(&vm->sampling, NULL);
}

static int not_attached(struct gf_vm *vm, struct gf_err *err)
{
	int r = ENOLINK;

	if (pthread_mutex_trylock(&vm->lock))
		return gf_err_set(err, ENOLINK, "the guest is being attached");
	if (vm->state_error)
		r = vm->state_error;
	gf_err_set(err, r, "%s", vm->state);
	pthread_mutex_unlock(&vm->lock);
	return -r;
}

static uint64_t watchers_clock(const struct gf_vm *vm)
{
	struct timespec t;

	if (vm->image)
		return (vm->t.sample.seq + 1) * vm->step_ns;
	/* Not BOOTTIME: a guest does not run while its host sleeps. */
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* ---- one look --------------------------------------------------------------- */

/* Once a guest: look-ups in type information take about a tenth of a millisecond each. */
static void take_guest(struct gf_vm *vm, const struct gf_guest *g)
{
	struct gf_vm_sampler *s = vm->sampler;

	if (s->g.boot == g->boot)
		return;
	s->g.mem = g->kernel->mem;
	s->g.layout = g->layout;
	s->g.boot = g->boot;
	s->g.still = vm->image;
	s->g.paths = s->paths;
	for (uint32_t i = 0; i < s->paths; i++) {
		struct gf_kpath *k = &s->g.kpath[i];
		struct gf_err err = { "" };

		*k = (struct gf_kpath){ 0 };
		if (gf_btf_path(g->kernel->btf, s->path[i], k, NULL, NULL, &err)) {
			*k = (struct gf_kpath){ 0 };
			gf_vm_say(vm, 4, "%s is unknown in this guest (Linux %s): %s", s->path[i], g->kernel->release, err.text);
		}
	}
}

static int sample_guest(struct gf_vm *vm, const struct gf_guest *g, uint64_t host_ns, struct gf_err *err)
{
	static const char *const why[] = {
		[GF_SW_CPUS] = "the guest's list of CPUs makes no sense any more",
		[GF_SW_TASKS] = "the guest's memory does not hold the processes of a running Linux any more",
		[GF_SW_TORN] = "the guest's list of processes kept changing while it was read",
	};
	struct gf_vm_sampler *s = vm->sampler;
	int r;

	take_guest(vm, g);
	/* Strings and kernel paths the module does not have: a policy that reads some is sampled by a walk. */
	s->v.region = g->assist && !vm->view_of && !(s->v.fields.str & GF_STR_READ) && !s->paths ? atomic_load(&g->assist->region) : NULL;
	atomic_store(&vm->want, s->v.want);
	r = gf_sampler_run(&s->v, NULL, &s->g, host_ns);
	atomic_store(&vm->by_module, s->v.by_region);
	if (r == -EBADMSG)
		gf_vm_suspect(&vm->t, g);
	return r ? gf_err_set(err, -r, "%s", why[s->v.why]) : 0;
}

int gf_vm_sample(struct gf_target *t, struct gf_err *err)
{
	struct gf_vm *vm = vm_of(t);
	struct gf_guest *g = enter(vm);
	int r;

	if (g && !atomic_load(&vm->paused)) {
		r = sample_guest(vm, g, watchers_clock(vm), err);
	} else {
		r = g ? gf_err_set(err, EAGAIN, "the guest is paused") : not_attached(vm, err);
		gf_sampler_stale(&vm->sampler->v, NULL, !!g);
	}
	leave(vm);
	return r;
}

/* ---- set up ----------------------------------------------------------------- */

/* Memory of zeros for what `bump` lays out. */
static void *room(size_t size)
{
	/* aligned as the layout has it; calloc: what is never used is never had */
	uint8_t *p = calloc(1, size + 128);

	return p;
}

static void *aligned(void *p)
{
	return (void *)(((uintptr_t)p + 127) / 128 * 128);
}

static int add_strings(struct gf_vm_sampler *s, uint32_t str)
{
	struct gf_sampler v = s->v;
	struct gf_bump b = { 0, 0 };
	void *p;

	gf_sampler_bump_strings(&b, &v, str);
	if (!b.used)
		return 0;
	p = room(b.used);
	if (!p)
		return -1;
	s->strings[s->strings_n++] = p;
	b = (struct gf_bump){ (uintptr_t)aligned(p), 0 };
	gf_sampler_bump_strings(&b, &s->v, str);
	return 0;
}

int gf_vm_set_fields(struct gf_target *t, const struct gf_fieldset *f, struct gf_err *err)
{
	struct gf_vm_sampler *s = vm_of(t)->sampler;
	int r = gf_sample_set_fields(&t->sample, f, err);

	if (!r && add_strings(s, f->str))
		r = gf_err_set(err, ENOMEM, "no memory for the strings of %u tasks: lower max_tasks", t->sample.cap);
	if (r)
		return r;
	s->v.fields = *f;
	s->v.want = gf_sampler_want(f);
	atomic_store(&vm_of(t)->want, s->v.want); /* whoever samples: the keeper asks the guest's module for it */
	return 0;
}

int gf_vm_set_paths(struct gf_target *t, const char *const *path, size_t n, struct gf_err *err)
{
	struct gf_vm_sampler *s = vm_of(t)->sampler;
	char *copy[GF_MAX_PATHS] = { NULL };

	if (n > GF_MAX_PATHS)
		return gf_err_set(err, E2BIG, "a policy with %zu kernel paths: at most %u are possible", n, GF_MAX_PATHS);
	for (size_t i = 0; i < n; i++) {
		copy[i] = strdup(path[i]);
		if (copy[i])
			continue;
		while (i--)
			free(copy[i]);
		return gf_err_set(err, ENOMEM, "no memory for kernel paths");
	}
	for (uint32_t i = 0; i < s->paths; i++)
		free(s->path[i]);
	memcpy(s->path, copy, sizeof copy);
	s->paths = (uint32_t)n;
	s->g.boot = 0;
	return 0;
}

void gf_vm_sampler_destroy(struct gf_vm *vm)
{
	struct gf_vm_sampler *s = vm->sampler;

	if (!s)
		return;
	gf_sample_deinit(&vm->t.sample);
	for (uint32_t i = 0; i < s->paths; i++)
		free(s->path[i]);
	for (uint32_t i = 0; i < s->strings_n; i++)
		free(s->strings[i]);
	free(s->mem);
	free(s);
	vm->sampler = NULL;
}

int gf_vm_sampler_create(struct gf_vm *vm, uint32_t max_tasks, struct gf_err *err)
{
	struct gf_vm_sampler *s = calloc(1, sizeof *s);
	uint32_t cap = max_tasks ? max_tasks : DEFAULT_TASKS;
	struct gf_bump b = { 0, 0 };
	int r;

	if (!s)
		return gf_err_set(err, ENOMEM, "no memory for a guest");
	vm->sampler = s;
	r = gf_sample_init(&vm->t.sample, cap, err);
	if (r)
		return r;
	s->v.cap = vm->t.sample.cap;
	s->v.recs = BATCH;
	s->v.texts = 1;
	s->v.budget = GF_SAMPLER_BUDGET;
	s->v.want = gf_sampler_want(&s->v.fields);
	gf_sampler_bump(&b, &s->v);
	s->mem = room(b.used);
	if (!s->mem)
		return gf_err_set(err, ENOMEM, "no memory for a table of %u tasks: lower max_tasks", cap);
	b = (struct gf_bump){ (uintptr_t)aligned(s->mem), 0 };
	gf_sampler_bump(&b, &s->v);
	gf_sampler_bind(&s->v, &vm->t.sample);
	return 0;
}
