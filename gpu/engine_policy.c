/* SPDX-License-Identifier: MIT
 *
 * The GPU engine's host side: policies on the device. Image, state and plan are laid out beside the old ones while ticks go on, handed over between
 * two ticks, and the old ones are freed when the device has answered.
 */
#include "gpu/engine_gpu.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static size_t round64(size_t n)
{
	return (n + 63) / 64 * 64;
}

/* A mirror's sizes are its image's. It has one of its own: a device that does not end keeps its mirror, while the
 * daemon loads other policies and frees those that it had. */
static int mirror_make(struct gf_gpu_host *h, const struct gf_image_header *img, uint32_t cap, struct gf_state **ret)
{
	struct gf_image_header *own = malloc(img->size);
	int rc;

	if (!own)
		return -ENOMEM;
	memcpy(own, img, img->size);
	rc = gf_state_create_at(own, cap, &h->place, ret, NULL);
	if (rc)
		free(own);
	return rc;
}

void gf_gpu_mirror_drop(struct gf_state *mirror)
{
	const struct gf_image_header *own;

	if (!mirror)
		return;
	own = mirror->img;
	gf_state_destroy(mirror);
	free((void *)(uintptr_t)own);
}

void gf_gpu_next_drop(struct gf_gpu_next *n)
{
	if (!n)
		return;
	if (n->lost) {
		free(n);
		return;
	}
	gf_gpu_mirror_drop(n->mirror);
	n->host->ops->free(n->host->dev, n->block);
	n->host->ops->free(n->host->dev, n->guest);
	free(n);
}

int gf_gpu_next_make(struct gf_gpu_host *h, const struct gf_image_header *img, uint32_t cap, const struct gf_adoption *plan,
		     struct gf_gpu_next **ret, struct gf_err *err)
{
	struct gf_gpu_next *n = calloc(1, sizeof *n);
	size_t image = round64(img->size), head, numbers = plan ? sizeof *plan + plan->numbers * sizeof *plan->hold : 0;
	uint8_t *buf = NULL, *at;
	int rc;

	if (!n)
		return gf_err_set(err, ENOMEM, "out of memory for the new policy");
	n->host = h;
	n->img = img;
	rc = mirror_make(h, img, cap, &n->mirror);
	if (rc) {
		free(n);
		return gf_err_set(err, -rc, "the GPU has no memory for the state of %u rules over %u tasks", img->sec[GF_SEC_RULE].count, cap);
	}
	head = round64(gf_state_flatten(n->mirror, NULL, NULL, NULL));
	n->block = gf_gpu_take(h, image + head + numbers);
	buf = calloc(1, image + head + numbers);
	if (!n->block || !buf) {
		rc = gf_err_set(err, ENOMEM, "the GPU has no memory for the policy");
	} else {
		at = n->block;
		memcpy(buf, img, img->size);
		n->st = (struct gf_state *)(void *)(at + image);
		gf_state_flatten(n->mirror, (const struct gf_image_header *)(const void *)at, n->st, buf + image);
		if (plan) {
			struct gf_adoption *p = (struct gf_adoption *)(void *)(buf + image + head);
			uint32_t *first = (uint32_t *)(void *)(at + image + head + sizeof *p);
			memcpy(p, plan, numbers);
			p->hold = first + (plan->hold - plan->hold);
			p->hist = first + (plan->hist - plan->hold);
			p->rule = first + (plan->rule - plan->hold);
			p->match = first + (plan->match - plan->hold);
			n->plan = (const struct gf_adoption *)(const void *)(at + image + head);
		}
		rc = h->ops->copy_in(h->dev, n->block, buf, image + head + numbers, err);
	}
	free(buf);
	if (rc) {
		gf_gpu_next_drop(n);
		return rc;
	}
	*ret = n;
	return 0;
}

/* ---- swaps ---------------------------------------------------------------------------- */

int gf_gpu_prepare(struct gf_engine *e, const struct gf_image_header *img, const struct gf_adoption *plan, struct gf_gpu_next **ret,
		   struct gf_err *err)
{
	struct gf_gpu_host *h = __atomic_load_n(&e->gpu, __ATOMIC_ACQUIRE);
	struct gf_err why = { "" };

	(void)err;
	*ret = NULL;
	if (!h)
		return 0;
	/* The policy counts for more than who runs it: what the device has no room for the CPU takes on. */
	if (img->sec[GF_SEC_RULE].count > h->rules_room)
		gf_err_set(&why, ENOSPC, "more rules than it has room for");
	else if (!gf_gpu_next_make(h, img, e->st->cap, plan, ret, &why))
		(*ret)->mine = (struct gf_adoption *)(uintptr_t)plan;
	return 0;
}

static int command(struct gf_engine *e, struct gf_gpu_host *h, struct gf_gpu_next *n, struct gf_err *err)
{
	int rc;

	pthread_mutex_lock(&h->lock);
	rc = h->persistent ? 0 : gf_gpu_ended(h, GF_GPU_START_NS, err);
	h->in->adopt_state = n->st;
	h->in->adopt_plan = n->plan;
	if (n->guest)
		h->in->guest_at = n->guest;
	gf_gpu_tell(&h->in->adopt, ++h->adoptions);
	if (!rc && !h->persistent)
		rc = gf_gpu_launch(h, e, GF_GPU_COMMANDS_ONLY, err);
	if (!rc)
		rc = gf_gpu_answered(h, &h->out->adopt, h->adoptions, GF_MAX(h->life_ns, gf_gpu_patience(e)), err); /* of the first kernel e knows nothing yet */
	pthread_mutex_unlock(&h->lock);
	return rc;
}

int gf_gpu_next_adopt(struct gf_engine *e, struct gf_gpu_host *h, struct gf_gpu_next *n, struct gf_err *err)
{
	struct gf_gpu_next old = { .mirror = h->mirror, .block = h->block };
	int rc = 0;

	if (h->seat && h->seat->ready)
		rc = gf_gpu_seat_block(h, n->img, &n->guest, err);
	if (!rc)
		rc = command(e, h, n, err);
	if (rc)
		return rc;
	if (h->mirror && n->mine)
		gf_state_adopt(n->mirror, h->mirror, n->mine);
	if (n->guest) {
		old.guest = h->seat->block;
		h->seat->block = n->guest;
		n->guest = old.guest;
	}
	h->img = n->img;
	h->mirror = n->mirror;
	h->st = n->st;
	h->block = n->block;
	n->mirror = old.mirror;
	n->block = old.block;
	return 0;
}

int gf_gpu_adopt(struct gf_engine *e, struct gf_gpu_next *next)
{
	struct gf_gpu_host *h = e->gpu;
	struct gf_err err = { "" };
	int rc = next ? gf_gpu_next_adopt(e, h, next, &err) : gf_err_set(&err, ENOMEM, "it has no room for the new policy");

	if (rc) {
		if (next)
			next->lost = true;
		gf_gpu_take_over(e, &err);
		return rc;
	}
	if (gf_gpu_own(e))
		gf_target_sample(e->target, NULL); /* for the rows of those that rules have stopped */
	/* Ticks go on meanwhile: this buffer is written again only by the next adoption. */
	if (gf_gpu_read(&h->out->adopt_kept) == h->adoptions)
		gf_gpu_import(e, h, h->adoptions, GF_GPU_KEPT_ADOPTED);
	return 0;
}

void gf_gpu_drop(struct gf_engine *e, struct gf_gpu_next *next)
{
	(void)e;
	gf_gpu_next_drop(next);
}
