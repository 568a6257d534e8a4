// SPDX-License-Identifier: MIT
#include "targets/pseudo.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "targets/pseudo_do.h"
#include "targets/pseudo_int.h"

bool pseudo_or(const struct gf_pseudo *p, uint64_t va, uint64_t bits)
{
	uint8_t *w = gf_ps_at(&p->plain, va, 8);

	if (w)
		gf_ps_or64(w, bits);
	return w;
}

bool pseudo_and(const struct gf_pseudo *p, uint64_t va, uint64_t bits)
{
	uint8_t *w = gf_ps_at(&p->plain, va, 8);

	if (w)
		__atomic_fetch_and((uint64_t *)(void *)w, bits, __ATOMIC_SEQ_CST);
	return w;
}

bool pseudo_set(const struct gf_pseudo *p, uint64_t va, uint32_t size, uint64_t v)
{
	return gf_ps_set(&p->plain, va, size, v);
}

void pseudo_turn_off(struct gf_pseudo *p, unsigned parts, const char *fmt, ...)
{
	char text[sizeof p->off[0]];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	for (unsigned i = 0; i < PSEUDO_PARTS; i++)
		if (parts >> i & 1 && !p->off[i][0])
			memcpy(p->off[i], text, sizeof text);
	for (unsigned i = 0; i < PSEUDO_PARTS; i++)
		if (*pseudo_off(p, 1u << i))
			p->parts_off |= 1u << i;
}

const char *pseudo_off(const struct gf_pseudo *p, unsigned part)
{
	static const unsigned needs[PSEUDO_PARTS] = {
		[5] = PART_TASK, [6] = PART_RLIMIT, [7] = PART_TASK, [8] = PART_CGROUP, [9] = PART_CGROUP, [10] = PART_CGROUP,
	};
	unsigned i = (unsigned)__builtin_ctz(part);

	if (p->off[i][0])
		return p->off[i];
	if (i && p->off[0][0])
		return p->off[0];
	return needs[i] && needs[i] != PART_TASK ? pseudo_off(p, needs[i]) : "";
}

bool pseudo_has(const struct gf_pseudo *p, unsigned part)
{
	return !*pseudo_off(p, part);
}

/* By its banner's first bytes: as far as they go into words. */
static void know_again(struct gf_pseudo *p)
{
	uint64_t va;

	if (gf_kernel_sym(p->k, "linux_banner", &va))
		return;
	va &= ~7ull;
	for (unsigned i = 0; i < PSEUDO_LEN(p->banner); i++)
		if (!pseudo_get(p, va + 8 * i, 8, &p->banner[i]))
			return;
	p->banner_va = va;
}

void gf_pseudo_plain(const struct gf_pseudo *p, struct gf_pseudo_plain *ret)
{
	*ret = p->plain;
	ret->mem = NULL;
	ret->atomics = 0;
}

int gf_pseudo_create(const struct gf_kernel *k, bool writable, struct gf_pseudo **ret, struct gf_err *err)
{
	struct gf_pseudo *p = calloc(1, sizeof *p);

	if (!p)
		return gf_err_set(err, ENOMEM, "no memory for what delivering into a guest takes");
	p->k = k;
	p->mem = &k->mem;
	p->atomics = 1;
	p->writable = writable && k->mem.ram.writable;
	know_again(p);
	pthread_mutex_init(&p->lock, NULL);
	pseudo_layout(p);
	pseudo_decode(p);
	pseudo_blocks(p);
	if (!p->writable)
		pseudo_turn_off(p, (1u << PSEUDO_PARTS) - 2, "this memory is only read");
	*ret = p;
	return 0;
}

void gf_pseudo_free(struct gf_pseudo *p)
{
	if (!p)
		return;
	pthread_mutex_destroy(&p->lock);
	free(p);
}

struct gf_pseudo_records {
	uint64_t pgd, phys_base;
	char banner[sizeof ((struct gf_kernel *)0)->banner];
	struct pseudo_old old[LIMITS_MAX];
	struct pseudo_frozen frozen[FROZEN_MAX];
};

struct gf_pseudo_records *gf_pseudo_records(struct gf_pseudo *p)
{
	struct gf_pseudo_records *r = calloc(1, sizeof *r);
	bool any = false;

	if (!r)
		return NULL;
	r->pgd = p->k->mem.pgd.v;
	r->phys_base = p->k->mem.phys_base;
	memcpy(r->banner, p->k->banner, sizeof r->banner);
	pthread_mutex_lock(&p->lock);
	memcpy(r->old, p->old, sizeof r->old);
	memcpy(r->frozen, p->frozen, sizeof r->frozen);
	pthread_mutex_unlock(&p->lock);
	for (uint32_t i = 0; i < LIMITS_MAX; i++)
		any |= r->old[i].limit != 0;
	for (uint32_t i = 0; i < FROZEN_MAX; i++)
		any |= r->frozen[i].pid != 0;
	if (any)
		return r;
	free(r);
	return NULL;
}

void gf_pseudo_inherit(struct gf_pseudo *p, const struct gf_pseudo_records *r)
{
	if (r->pgd != p->k->mem.pgd.v || r->phys_base != p->k->mem.phys_base || memcmp(r->banner, p->k->banner, sizeof r->banner) != 0)
		return;
	memcpy(p->old, r->old, sizeof p->old);
	memcpy(p->frozen, r->frozen, sizeof p->frozen);
}

const char *gf_pseudo_store_off(const struct gf_pseudo *p)
{
	return pseudo_off(p, PART_STORE);
}

const char *gf_pseudo_irq_work_off(const struct gf_pseudo *p)
{
	return pseudo_off(p, PART_SEND);
}

typedef void (*say_fn)(void *arg, const char *name, const char *value);

static void say_part(const struct gf_pseudo *p, unsigned part, const char *name, say_fn fn, void *arg)
{
	char text[300];

	if (pseudo_has(p, part))
		snprintf(text, sizeof text, "on");
	else
		snprintf(text, sizeof text, "off: %s", pseudo_off(p, part));
	fn(arg, name, text);
}

__attribute__((format(printf, 4, 5)))
static void say(say_fn fn, void *arg, const char *name, const char *fmt, ...)
{
	char text[300];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	fn(arg, name, text);
}

void gf_pseudo_describe(const struct gf_pseudo *p, say_fn fn, void *arg)
{
	static const struct { unsigned part; const char *name; } part[] = {
		{ PART_STORE, "store" }, { PART_SEND, "irq_work" }, { PART_WAKE, "wake" }, { PART_FREEZE, "freeze, thaw" },
		{ PART_RLIMIT, "limit RLIMIT_*" }, { PART_RLIMIT_CPU, "limit RLIMIT_CPU" }, { PART_MEMORY, "limit memory.*" },
		{ PART_PIDS, "limit pids.max" }, { PART_CPU, "limit cpu.max" },
	};

	for (size_t i = 0; i < PSEUDO_LEN(part); i++)
		say_part(p, part[i].part, part[i].name, fn, arg);
	if (pseudo_has(p, PART_STORE)) {
		say(fn, arg, "TIF_SIGPENDING", "bit %u (%s)", p->tif_sigpending, p->tif_from);
		if (p->tif_resched == GF_RESCHED_UNKNOWN)
			say(fn, arg, "TIF_NEED_RESCHED", "not known: without atomic operations nothing is stored into threads");
		else
			say(fn, arg, "TIF_NEED_RESCHED", "bit %u (resched_curr, __schedule)", p->tif_resched);
		say(fn, arg, "task_struct", "thread_info.flags +%u, pending.signal +%u, blocked +%u, %s +%u", p->m[M_TASK_TI_FLAGS],
		    p->m[M_TASK_PENDING], p->m[M_TASK_BLOCKED], p->msize[M_TASK_STATE] == 4 ? "__state" : "state", p->m[M_TASK_STATE]);
	}
	if (pseudo_has(p, PART_SEND)) {
		say(fn, arg, "k_itimer", "it_lock +%u, it_pid +%u, sigq +%u, it.real.timer +%u", p->m[M_KIT_LOCK], p->m[M_KIT_PID],
		    p->m[M_KIT_SIGQ], p->m[M_KIT_TIMER]);
		say(fn, arg, "sigqueue", "list +%u, flags +%u, si_signo +%u, si_code +%u", p->m[M_SQ_LIST], p->m[M_SQ_FLAGS],
		    p->m[M_SQ_SIGNO], p->m[M_SQ_CODE]);
		say(fn, arg, "posix_timer_fn", "%#llx", (unsigned long long)p->s[S_SENDER]);
		say(fn, arg, "blocks", "%u of %u bytes from %#llx", p->blocks, BLOCK, (unsigned long long)p->block[0]);
	}
}
