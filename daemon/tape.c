// SPDX-License-Identifier: MIT
#include "daemon/tape.h"

#include <stdlib.h>
#include <string.h>

#include "sim/chain.h"
#include "targets/target.h"

#define SLOTS 16u
#define TEXT (1u << 20) /* bytes of strings in one sample; those that do not fit are not known */

struct slot {
	struct gf_sample s;
	char *text;
	uint32_t rows; /* of the sample that was in it before */
	struct gf_tape_of of;
};

/* One side puts, the other takes: each has its own number, and looks at the other's. */
struct gf_tape {
	struct slot slot[SLOTS];
	uint64_t put, taken; /* atomic */
	uint32_t paths;
	struct gf_tape *older;
	bool out;            /* the taker has the slot at `taken` in its hands */
};

int gf_tape_create(uint32_t cap, const struct gf_fieldset *f, struct gf_tape *older, struct gf_tape **ret, struct gf_err *err)
{
	struct gf_tape *t = calloc(1, sizeof *t);
	int rc = t ? 0 : gf_err_set(err, ENOMEM, "out of memory");

	for (uint32_t i = 0; i < SLOTS && !rc; i++) {
		rc = gf_sample_init(&t->slot[i].s, cap, err);
		if (!rc)
			rc = gf_sample_set_fields(&t->slot[i].s, f, err);
		t->slot[i].text = malloc(TEXT);
		if (!rc && !t->slot[i].text)
			rc = gf_err_set(err, ENOMEM, "out of memory");
	}
	if (rc) {
		gf_tape_destroy(t);
		return rc;
	}
	t->paths = f->paths;
	t->older = older;
	*ret = t;
	return 0;
}

void gf_tape_destroy(struct gf_tape *t)
{
	while (t) {
		struct gf_tape *older = t->older;
		for (uint32_t i = 0; i < SLOTS; i++) {
			gf_sample_deinit(&t->slot[i].s);
			free(t->slot[i].text);
		}
		free(t);
		t = older;
	}
}

/* Strings are the target's, and may be gone with the next sample. */
static void keep_strings(struct slot *o, const struct gf_sample *s)
{
	uint32_t at = 0;

	for (uint32_t c = 0; c < GF_SF_COUNT; c++) {
		for (uint32_t i = 0; o->s.str[c] && s->str[c] && i < s->rows; i++) {
			struct gf_strref *r = &o->s.str[c][i];
			if (!r->ver)
				continue;
			if (!r->p || r->len > TEXT - at) {
				*r = (struct gf_strref){ NULL, 0, 0 };
				continue;
			}
			memcpy(o->text + at, r->p, r->len);
			r->p = o->text + at;
			at += r->len;
		}
	}
}

bool gf_tape_put(struct gf_tape *t, const struct gf_sample *s, int rc, uint64_t fp, const struct gf_fieldset *has)
{
	uint64_t put = t->put;
	struct slot *o = &t->slot[put % SLOTS];

	if (put - __atomic_load_n(&t->taken, __ATOMIC_ACQUIRE) >= SLOTS || s->cap > o->s.cap)
		return false;
	o->of = (struct gf_tape_of){ .rc = rc, .fp = fp, .some = has };
	if (has)
		o->of.has = *has;
	o->s.now_ns = s->now_ns;
	o->s.seq = s->seq;
	if (!rc) {
		if (has)
			gf_sample_copy_those(&o->s, s, o->rows);
		else
			gf_sample_copy(&o->s, s, o->rows);
		o->rows = s->rows;
		keep_strings(o, s);
	}
	__atomic_store_n(&t->put, put + 1, __ATOMIC_RELEASE);
	return true;
}

const struct gf_sample *gf_tape_take(struct gf_tape *t, struct gf_tape_of *ret)
{
	uint64_t taken = t->taken;

	if (t->out)
		__atomic_store_n(&t->taken, ++taken, __ATOMIC_RELEASE);
	t->out = taken != __atomic_load_n(&t->put, __ATOMIC_ACQUIRE);
	if (!t->out)
		return NULL;
	*ret = t->slot[taken % SLOTS].of;
	return &t->slot[taken % SLOTS].s;
}

/* Once something is on a later one, nothing comes onto t any more. */
struct gf_tape *gf_tape_after(struct gf_tape *newest, const struct gf_tape *t)
{
	bool used = false;

	for (struct gf_tape *x = newest; x && x != t; x = x->older) {
		used |= __atomic_load_n(&x->put, __ATOMIC_ACQUIRE) != 0;
		if (x->older == t)
			return used ? x : NULL;
	}
	return NULL;
}

uint32_t gf_tape_paths(const struct gf_tape *t)
{
	return t->paths;
}

uint32_t gf_tape_cap(const struct gf_tape *t)
{
	return t->slot[0].s.cap;
}
