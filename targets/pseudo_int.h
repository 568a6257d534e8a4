/* SPDX-License-Identifier: MIT
 *
 * What pseudo*.c share. A guest's kernel stays the master of its data: what is stored is what one of
 * its own CPUs would store, in an order that every one of its readers copes with, and where a store
 * can be lost to one of its own it is looked at again, never forced by holding its locks.
 */
#ifndef GPUFAS_PSEUDO_INT_H
#define GPUFAS_PSEUDO_INT_H

#include <pthread.h>

#include "gpu/delivery.h"
#include "targets/pseudo.h"
#include "targets/pseudo_do.h"

#define PSEUDO_LEN(a) (sizeof(a) / sizeof *(a))
#define BLOCK PSEUDO_BLOCK
#define FROZEN_MAX 256u
#define WAKES_MAX 512u
#define LIMITS_MAX 256u

/* What a limit was before gpufas first set it. */
struct pseudo_old {
	uint64_t at;             /* css, or task */
	uint64_t serial;         /* css' serial number, or the task's start time */
	uint64_t old[2], set[2]; /* set: what gpufas has stored there last */
	int32_t pid;             /* rlimits */
	uint8_t limit;           /* enum gf_limit_kind; 0: free */
};
struct pseudo_frozen {
	uint64_t start;
	int32_t pid; /* 0: free */
};

struct gf_pseudo {
	union {
		struct gf_pseudo_plain plain;
		struct {
			GF_PSEUDO_PLAIN;
		};
	};
	const struct gf_kernel *k;
	char off[PSEUDO_PARTS][240]; /* "" : the part is on */
	uint32_t cgrp_id[CGRP_KINDS];
	char tif_from[160];
	uint32_t next_block;         /* atomic */
	pthread_mutex_t lock;        /* what is below */
	struct pseudo_old old[LIMITS_MAX];
	struct pseudo_frozen frozen[FROZEN_MAX];
	struct gf_pseudo_work wake[WAKES_MAX];
	uint32_t wakes;
};

/* ---- access. NULL or a failure: the address is not in the guest's memory. ---- */
static inline bool pseudo_get(const struct gf_pseudo *p, uint64_t va, uint32_t size, uint64_t *ret)
{
	return gf_ps_get(&p->plain, va, size, ret);
}
static inline bool pseudo_member(const struct gf_pseudo *p, uint64_t base, int m, uint64_t *ret)
{
	return gf_ps_member(&p->plain, base, m, ret);
}
bool pseudo_or(const struct gf_pseudo *p, uint64_t va, uint64_t bits);
bool pseudo_and(const struct gf_pseudo *p, uint64_t va, uint64_t bits);
bool pseudo_set(const struct gf_pseudo *p, uint64_t va, uint32_t size, uint64_t v);

bool pseudo_has(const struct gf_pseudo *p, unsigned part);
const char *pseudo_off(const struct gf_pseudo *p, unsigned part);
__attribute__((format(printf, 3, 4)))
void pseudo_turn_off(struct gf_pseudo *p, unsigned parts, const char *fmt, ...);

/* pseudo_layout.c: members, symbols, enumerators; what is missing turns its parts off. */
void pseudo_layout(struct gf_pseudo *p);
/* pseudo_decode.c: what is in the kernel's code only, and whether the code agrees with the layout. */
void pseudo_decode(struct gf_pseudo *p);
/* pseudo_block.c: memory that nothing in the guest uses. */
void pseudo_blocks(struct gf_pseudo *p);

/* Decoders, pure, for tests. Bit of TIF_SIGPENDING, or -1.  */
int pseudo_decode_or(const uint8_t *code, size_t n);  /* lock or $1 << bit, (reg) */
int pseudo_decode_and(const uint8_t *code, size_t n); /* lock and $~(1 << bit), (reg) */
bool pseudo_decode_test(const uint8_t *code, size_t n, uint32_t *ret_off, uint32_t *ret_mask); /* testq $mask, off(reg) */
bool pseudo_decode_lea(const uint8_t *code, size_t n, int32_t *ret_off);  /* lea off(%rdi), reg */
bool pseudo_decode_load(const uint8_t *code, size_t n, int32_t *ret_off); /* mov off(%rdi), %rdi */

/* ---- tasks: pseudo_task.c, by gpu/victim.h ---- */
uint64_t pseudo_idr(const struct gf_pseudo *p, uint64_t head, uint64_t base, uint64_t index);
uint8_t pseudo_find(const struct gf_pseudo *p, int32_t pid, uint64_t start_ns, struct gf_pseudo_victim *ret);
/* For certain no longer: not merely unreadable just now, or traced. */
bool pseudo_is_past(const struct gf_pseudo *p, int32_t pid, uint64_t start_ns);
uint8_t pseudo_same(const struct gf_pseudo *p, const struct gf_pseudo_victim *v);
/* Calls fn for each live thread until it returns false. GF_REF_TORN where the list is not one. */
uint8_t pseudo_threads(const struct gf_pseudo *p, const struct gf_pseudo_victim *v, int sig,
		       bool (*fn)(void *arg, const struct gf_pseudo_thread *t), void *arg);
bool pseudo_gone(const struct gf_pseudo *p, const struct gf_pseudo_victim *v);

/* ---- irq_work: pseudo_irq.c, by gpu/irqwork.h ---- */
struct gf_pseudo_ctx pseudo_ctx(struct gf_pseudo *p);
/* A block of one's own, filled for a signal to the victim or for waking a task; ~0: none is free. Not queued yet. */
uint32_t pseudo_block_signal(struct gf_pseudo *p, const struct gf_pseudo_victim *v, int sig);
/* Wakes a task that sleeps interruptibly; does not wait for it. */
bool pseudo_wake(struct gf_pseudo *p, uint64_t task, const struct gf_pseudo_kick *kick);
/* How many of these wakes are still on their way. */
uint32_t pseudo_wakes(struct gf_pseudo *p, const struct gf_pseudo_kick *kick);
void pseudo_kick(struct gf_pseudo_work *w, const struct gf_pseudo_kick *kick);

/* ---- pseudo_do.c, pseudo_freeze.c, pseudo_limit.c ---- */
uint64_t pseudo_now(void); /* CLOCK_MONOTONIC, ns */
void pseudo_refuse(struct gf_delivery *d, uint8_t why);
void pseudo_freeze(struct gf_pseudo *p, struct gf_delivery *d, const struct gf_pseudo_kick *kick);
void pseudo_parking(struct gf_pseudo *p, struct gf_delivery *d, const struct gf_pseudo_kick *kick);
void pseudo_limit(struct gf_pseudo *p, const struct gf_verdict *v, struct gf_delivery *d);
bool pseudo_limit_undo(struct gf_pseudo *p, const struct pseudo_old *o);
/* The css of a controller (CGRP_) for a task's own cgroup: 0 or enum gf_refused. */
uint8_t pseudo_css(const struct gf_pseudo *p, uint64_t task, int kind, uint64_t *ret_css);

#endif
