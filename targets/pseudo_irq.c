// SPDX-License-Identifier: MIT
/*
 * Forged irq_works of the host: wakes, kicks, and blocks for a device.
 */
#include "targets/pseudo_int.h"

struct gf_pseudo_ctx pseudo_ctx(struct gf_pseudo *p)
{
	return (struct gf_pseudo_ctx){ .p = &p->plain, .next = &p->next_block, .now_ns = pseudo_now() };
}

uint32_t pseudo_block_signal(struct gf_pseudo *p, const struct gf_pseudo_victim *v, int sig)
{
	struct gf_pseudo_ctx c = pseudo_ctx(p);

	return gf_ps_block_signal(&c, v, sig);
}

void pseudo_kick(struct gf_pseudo_work *w, const struct gf_pseudo_kick *kick)
{
	if (!kick || !kick->fn || !w->idle)
		return;
	kick->fn(kick->arg, w->cpu);
	w->kick_ns = pseudo_now();
}

static bool done(struct gf_pseudo *p, struct gf_pseudo_work *w, const struct gf_pseudo_kick *kick)
{
	struct gf_pseudo_ctx c = pseudo_ctx(p);
	uint8_t want = 0;
	bool over = gf_ps_work_done(&c, w, &want);

	if (want & GF_WANT_KICK)
		pseudo_kick(w, kick);
	return over;
}

static uint32_t reap(struct gf_pseudo *p, const struct gf_pseudo_kick *kick)
{
	uint32_t keep = 0;

	for (uint32_t i = 0; i < p->wakes; i++)
		if (!done(p, &p->wake[i], kick))
			p->wake[keep++] = p->wake[i];
	p->wakes = keep;
	return keep;
}

bool pseudo_wake(struct gf_pseudo *p, uint64_t task, const struct gf_pseudo_kick *kick)
{
	struct gf_pseudo_ctx c = pseudo_ctx(p);
	uint32_t block = GF_NONE;
	uint8_t want = 0;
	bool ok = false;

	pthread_mutex_lock(&p->lock);
	if (p->wakes == WAKES_MAX)
		reap(p, kick);
	if (p->wakes < WAKES_MAX)
		block = gf_ps_claim(&p->plain, &p->next_block, PSEUDO_CLAIM);
	if (block != GF_NONE && gf_ps_fill_wake(&p->plain, block, task) && gf_ps_work_start(&c, &p->wake[p->wakes], block, &want)) {
		if (want & GF_WANT_KICK)
			pseudo_kick(&p->wake[p->wakes], kick);
		p->wakes++;
		ok = true;
	}
	pthread_mutex_unlock(&p->lock);
	return ok;
}

uint32_t pseudo_wakes(struct gf_pseudo *p, const struct gf_pseudo_kick *kick)
{
	pthread_mutex_lock(&p->lock);
	uint32_t n = reap(p, kick);
	pthread_mutex_unlock(&p->lock);
	return n;
}

void gf_pseudo_set_aside(struct gf_pseudo *p, struct gf_pseudo_pool *ret)
{
	uint32_t want = GF_MIN(p->blocks / 2, PSEUDO_POOL);

	*ret = (struct gf_pseudo_pool){ .renewed = gf_ps_jiffies(&p->plain) };
	if (!p->writable || !pseudo_has(p, PART_SEND))
		return;
	while (ret->n < want) {
		uint32_t b = gf_ps_claim(&p->plain, &p->next_block, PSEUDO_ASIDE_CLAIM);
		if (b == GF_NONE)
			return;
		/* In no list, also where it is never used: else nobody could ever take it again. */
		gf_ps_wipe(&p->plain, b);
		gf_ps_fill_sigqueue(&p->plain, p->block[b] + PSEUDO_BLOCK_SIGQ, 0);
		ret->fresh[ret->n] = 1;
		ret->block[ret->n++] = (uint16_t)b;
	}
}

/* They age as others do from now on: what is still queued is not taken. */
void gf_pseudo_give_back(struct gf_pseudo *p, const struct gf_pseudo_pool *pool)
{
	uint64_t word = PSEUDO_CLAIM << 32 | gf_ps_jiffies(&p->plain), was;

	for (uint32_t i = 0; i < pool->n; i++) {
		uint64_t va = p->block[pool->block[i]];
		uint8_t *w = gf_ps_at(&p->plain, va, 8);
		if (w && (was = gf_load(w, 8)) >> 32 == PSEUDO_ASIDE_CLAIM)
			gf_ps_cas64(w, was, word);
	}
}
