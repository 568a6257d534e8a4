// SPDX-License-Identifier: MIT
#include "targets/assist.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "targets/act.h"
#include "targets/kmod.h"

#define VALID_NS 500000000ull  /* of the guest's clock */
#define ANSWER_NS 300000000ull /* of ours: then it is taken back, */
#define LOST_NS 2000000000ull  /* and then a CPU that has it in hand is taken for lost */
#define TABLES 8u              /* tables that are looked into for a process that has just begun, */
#define TABLE_NS 30000000u     /* so long after each other */
#define DEVICES_MAX 256u /* entries of misc_list that are looked at */

static const char *const bad_text[] = {
	[GF_RB_NONE] = "", [GF_RB_MAGIC] = "there is no region where it says", [GF_RB_VERSION] = "it is of another version than this gpufasd",
	[GF_RB_DEAD] = "it has given its region up", [GF_RB_SIZES] = "its region's sizes make no sense", [GF_RB_PLACES] = "its region's parts lie outside of it",
	[GF_RB_CHUNKS] = "its region's pieces make no sense",
};

static enum gf_region_bad spans(const struct gf_kmem *m, const struct gpufas_header *h, struct gf_region *r)
{
	uint64_t at = 0;

	r->spans = 0;
	if (!h->chunks || h->chunks > GPUFAS_CHUNKS || h->chunk[0].pa != h->self_pa)
		return GF_RB_CHUNKS;
	for (uint32_t i = 0; i < h->chunks; i++) {
		const struct gpufas_chunk *c = &h->chunk[i];
		struct gf_gpa pa = { c->pa };
		uint8_t *p;

		if (!c->bytes || c->pa % GF_REGION_PAGE || c->bytes % GF_REGION_PAGE || c->bytes > GF_REGION_MAX || at + c->bytes > h->region_size)
			return GF_RB_CHUNKS;
		p = gf_ram_at(&m->ram, pa, c->bytes);
		if (!p)
			return GF_RB_CHUNKS;
		r->span[r->spans++] = (struct gf_region_span){ p, at, c->bytes };
		at += c->bytes;
	}
	return at == h->region_size ? GF_RB_NONE : GF_RB_CHUNKS;
}

int gf_assist_take(const struct gf_kmem *m, uint64_t header_va, struct gf_region *ret, struct gf_err *err)
{
	struct gf_gva va = { header_va };
	struct gpufas_header h;
	struct gf_gpa gpa;
	uint64_t left;

	/* A copy, word by word: what is checked is what is used. */
	if (header_va % GF_REGION_PAGE || gf_kva_gpa(m, va, &gpa, &left) || left < GF_REGION_PAGE || !gf_ram_at(&m->ram, gpa, GF_REGION_PAGE))
		return gf_err_set(err, EBADMSG, "%s", bad_text[GF_RB_MAGIC]);
	const uint8_t *p = gf_ram_at(&m->ram, gpa, GF_REGION_PAGE);
	for (uint32_t i = 0; i < sizeof h / 8; i++)
		((uint64_t *)(void *)&h)[i] = gf_load(p + 8 * i, 8);
	if (h.magic != GPUFAS_MAGIC || h.self_pa != gpa.v)
		return gf_err_set(err, EBADMSG, "%s", bad_text[GF_RB_MAGIC]);
	enum gf_region_bad bad = gf_region_take(ret, &h);
	if (!bad)
		bad = spans(m, &h, ret);
	if (bad)
		return gf_err_set(err, EBADMSG, "%s", bad_text[bad]);
	if (h.owner != GPUFAS_OWNER_OUTSIDE)
		return gf_err_set(err, EACCES, h.owner == GPUFAS_OWNER_FILE ? "somebody in the guest has it open" :
								      "it is not loaded for an observer outside (modprobe gpufas assisted=1)");
	return 0;
}

/* The header's address, by the kernel's list of devices; 0: no such device, or it has no region. */
static uint64_t find(const struct gf_kmem *m, const struct gf_assist *a, bool *ret_device)
{
	static const char name[8] = "gpufas";
	uint64_t at, dev, text, word, data;

	*ret_device = false;
	if (!a->list || gf_kmem_load(m, a->list, 8, &at))
		return 0;
	for (uint32_t i = 0; i < DEVICES_MAX && at != a->list; i++) {
		uint64_t entry = at - a->list_at;
		char have[8] = "";

		if (gf_kmem_load(m, at, 8, &at) || gf_kmem_load(m, entry + a->name_at, 8, &text))
			return 0;
		if (gf_kmem_read(m, text, have, 7) || memcmp(have, name, 7))
			continue;
		*ret_device = true;
		word = entry + a->device_at;
		return !gf_kmem_load(m, word, 8, &dev) && dev && !gf_kmem_load(m, dev + a->data_at, 8, &data) ? data : 0;
	}
	return 0;
}

int gf_assist_look(const struct gf_kernel *k, struct gf_assist *a)
{
	const struct gf_kmem *m = &k->mem;
	struct gf_region *now = atomic_load(&a->region), *r;
	struct gf_err err = { "" };
	bool device = false;

	a->why[0] = 0;
	if (now && gf_region_alive(now) && gf_region_half(now, GF_REGION_HEAD(owner)) == GPUFAS_OWNER_OUTSIDE)
		return 1;
	atomic_store(&a->region, NULL); /* its memory stays until the guest goes: somebody may look at it just now */
	uint64_t va = find(m, a, &device);
	if (!va) {
		if (device)
			snprintf(a->why, sizeof a->why, "it is loaded, but not for an observer outside (modprobe gpufas assisted=1)");
		return 0;
	}
	if (a->n == GF_ASSIST_MAX) {
		snprintf(a->why, sizeof a->why, "it has been loaded too often in this boot of the guest");
		return 0;
	}
	r = malloc(sizeof *r);
	if (!r || gf_assist_take(m, va, r, &err)) {
		snprintf(a->why, sizeof a->why, "%.150s", r ? err.text : "out of memory");
		free(r);
		return 0;
	}
	a->all[a->n++] = r;
	atomic_store(&a->region, r);
	return 1;
}

void gf_assist_ask(struct gf_assist *a, uint32_t want, uint64_t period_ns, uint64_t poll_ns)
{
	struct gf_region *r = atomic_load(&a->region);

	if (r)
		gf_region_ask(r, gf_region_want(want), period_ns, poll_ns, ++a->beat);
}

int gf_assist_create(const struct gf_kernel *k, struct gf_assist **ret)
{
	struct gf_assist *a = calloc(1, sizeof *a);
	struct gf_btf_member name, list, device, data;

	if (!a)
		return -ENOMEM;
	pthread_mutex_init(&a->lock, NULL);
	if (!gf_btf_member(k->btf, "miscdevice", "name", &name) && !gf_btf_member(k->btf, "miscdevice", "list", &list) &&
	    !gf_btf_member(k->btf, "miscdevice", "this_device", &device) && !gf_btf_member(k->btf, "device", "platform_data", &data) &&
	    !gf_kernel_sym(k, "misc_list", &a->list)) {
		a->name_at = name.off;
		a->list_at = list.off;
		a->device_at = device.off;
		a->data_at = data.off;
	} else {
		a->list = 0;
	}
	*ret = a;
	return 0;
}

void gf_assist_free(struct gf_assist *a)
{
	if (!a)
		return;
	for (uint32_t i = 0; i < a->n; i++)
		free(a->all[i]);
	pthread_mutex_destroy(&a->lock);
	free(a);
}

/* ---- delivery ---- */

int gf_assist_send(const struct gf_guest *g, const struct gf_verdict *v, uint64_t *ret_seq)
{
	struct gf_assist *a = g->assist;
	struct gf_region *r = a ? atomic_load(&a->region) : NULL;
	struct gpufas_verdict out;
	int slot;

	if (!r || v->action != GF_ACT_SIGNAL || !gf_kmod_can(v) || !gf_region_alive(r))
		return -ENODEV;
	uint64_t now = gf_region_word(r, GF_REGION_HEAD(now_ns));
	gf_kmod_verdict(v, now + VALID_NS, &out);
	pthread_mutex_lock(&a->lock);
	if (a->of != r || a->instance != r->instance) {
		gf_mail_init(&a->mail, r);
		gf_mail_half(&a->mail, 0);
		a->of = r;
		a->instance = r->instance;
	}
	/* Whoever had the lock may have had it for long: looked at again right before. */
	slot = gf_region_alive(r) ? gf_mail_post(&a->mail, &out, now) : -ENODEV;
	pthread_mutex_unlock(&a->lock);
	if (slot >= 0)
		*ret_seq = out.seq;
	return slot;
}

void gf_assist_done(const struct gf_guest *g, uint32_t slot, uint64_t seq)
{
	pthread_mutex_lock(&g->assist->lock);
	gf_mail_free(&g->assist->mail, slot, seq);
	pthread_mutex_unlock(&g->assist->lock);
}

int gf_assist_start(const struct gf_guest *g, int32_t pid, uint64_t *ret_start_ns)
{
	const struct timespec pause = { 0, TABLE_NS };
	struct gf_region *r = g->assist ? atomic_load(&g->assist->region) : NULL;
	struct gf_task_rec rec;
	int q = -ENODEV;

	for (uint32_t i = 0; r && q && i < TABLES; i++) {
		if (i)
			nanosleep(&pause, NULL);
		q = gf_region_find(r, pid, &rec);
	}
	if (!q)
		*ret_start_ns = rec.start_ns;
	return q == -ENOENT ? -ESRCH : q;
}

static int take_answer(const struct gf_verdict *v, const struct gpufas_answer *a, uint64_t age_ns, struct gf_delivery *d)
{
	bool observed = v->flags & GF_VERDICT_OBSERVE;

	if (a->state == GPUFAS_REFUSED) {
		if (gf_mail_elsewhere(a->why))
			return -ENODEV;
		gf_delivery_refuse(d, gf_kmod_refused(a->why));
		return 0;
	}
	d->tries = !observed;
	d->became = observed ? GF_BECAME_UNSEEN : GF_BECAME_DELIVERED;
	d->phase = GF_PHASE_TAKEN;
	if (a->state == GPUFAS_EXITED)
		d->exit_us = (uint32_t)GF_MIN(age_ns / 1000, (uint64_t)GF_NONE - 1);
	if (a->state == GPUFAS_EXITED || observed || !gf_act_is_lethal(v))
		d->phase = GF_PHASE_OVER;
	return 0;
}

int gf_assist_poll(const struct gf_guest *g, const struct gf_verdict *v, uint32_t slot, uint64_t seq, uint64_t age_ns, struct gf_delivery *d)
{
	struct gf_assist *s = g->assist;
	struct gpufas_answer a;
	bool answered, begun;
	int q = 0;

	d->how = GF_HOW_MODULE;
	if (!s)
		return d->phase == GF_PHASE_TAKEN ? 0 : -ENODEV;
	pthread_mutex_lock(&s->lock);
	if (!s->of || !gf_region_alive(s->of)) {
		pthread_mutex_unlock(&s->lock);
		return d->phase == GF_PHASE_TAKEN ? 0 : -ENODEV;
	}
	answered = gf_mail_answer(&s->mail, slot, seq, &a);
	if (!answered && d->phase != GF_PHASE_TAKEN && age_ns > ANSWER_NS) {
		begun = gf_mail_void(&s->mail, slot, seq);
		answered = begun && gf_mail_answer(&s->mail, slot, seq, &a);
		/* In hand, and not answered yet: waited for as long as anybody is followed. */
		if (!begun || (!answered && age_ns > LOST_NS && gf_mail_twice(v)))
			q = -ENODEV;
	}
	if (answered)
		q = take_answer(v, &a, age_ns, d);
	if (q || gf_delivery_over(d))
		gf_mail_free(&s->mail, slot, seq);
	pthread_mutex_unlock(&s->lock);
	return q;
}
