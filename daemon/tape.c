// SPDX-License-Identifier: MIT
#include "daemon/tape.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "sim/chain.h"
#include "targets/target.h"

#define SLOTS 16u
#define TEXT (1u << 20) /* bytes of strings in one sample; those that do not fit are not known */
#define ARRAYS (8u + GF_COLS + GF_SF_COUNT)
#define NOWHERE ((uint8_t *)(uintptr_t)4096)
#define LEAST 512u      /* rows that there is memory for from the beginning */

/* Room for as many rows as there may ever be, of which memory is taken only where something has been: pages that nobody touched are not there. */
struct slot {
	struct gf_sample s;
	char *text;
	uint8_t *map;
	uint32_t rows; /* of the sample that was in it before */
	struct gf_tape_of of;
};

/* One side puts, the other takes: each has its own number, and looks at the other's. */
struct gf_tape {
	struct slot slot[SLOTS];
	uint64_t put, taken; /* atomic */
	uint32_t most;       /* atomic: rows that a sample has had */
	uint32_t ready;      /* the taker's: rows that all slots have memory for */
	size_t map_size;
	struct array { size_t at; uint32_t size; } array[ARRAYS]; /* of each slot */
	uint32_t arrays;
	uint32_t paths;
	struct gf_tape *older;
	bool out;            /* the taker has the slot at `taken` in its hands */
};

static size_t room(struct gf_tape *t, size_t rows, uint32_t size)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE), at = t->map_size;

	t->array[t->arrays++] = (struct array){ at, size };
	t->map_size += (rows * size + page - 1) / page * page;
	return at;
}

/* Where arrays are in a slot; NOWHERE: only how large it all is is wanted. Their contents are written with each sample (gf_sample_copy). */
static void lay_out(struct gf_tape *t, uint32_t cap, const struct gf_fieldset *f, uint8_t *base, struct slot *o)
{
	struct gf_sample *s = &o->s;

	t->map_size = t->arrays = 0;
#define ROOM(p, rows, size) ((p) = (void *)(base + room(t, rows, size)))
	s->cap = cap;
	ROOM(s->flags, cap, sizeof *s->flags);
	ROOM(s->gen, cap, sizeof *s->gen);
	ROOM(s->pid, cap, sizeof *s->pid);
	ROOM(s->start_ns, cap, sizeof *s->start_ns);
	ROOM(s->parent, cap, sizeof *s->parent);
	ROOM(s->comm, cap, sizeof *s->comm);
	ROOM(s->uid, cap, sizeof *s->uid);
	for (uint32_t i = 0; i < GF_COLS; i++)
		if (i < GF_TF_COUNT ? f->task >> i & 1 : i - GF_TF_COUNT < f->paths)
			ROOM(s->col[i], cap, sizeof *s->col[i]);
	for (uint32_t i = 0; i < GF_SF_COUNT; i++)
		if (f->str >> i & 1)
			ROOM(s->str[i], cap, sizeof *s->str[i]);
	ROOM(o->text, TEXT, 1);
	t->arrays--; /* texts are no rows */
#undef ROOM
}

/* Memory for so many rows, so that the ticking thread need not wait for it. Where the kernel cannot do that (before 5.14) it comes with the first touch. */
static void prepare(struct gf_tape *t, uint32_t rows)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);

	rows = GF_MIN(rows, t->slot[0].s.cap);
	for (uint32_t i = 0; i < SLOTS; i++)
		for (uint32_t k = 0; k < t->arrays; k++) {
			size_t from = (size_t)t->ready * t->array[k].size / page * page, to = ((size_t)rows * t->array[k].size + page - 1) / page * page;
			if (to > from)
				madvise(t->slot[i].map + t->array[k].at + from, to - from, MADV_POPULATE_WRITE);
		}
	t->ready = rows;
}

int gf_tape_create(uint32_t cap, const struct gf_fieldset *f, struct gf_tape *older, struct gf_tape **ret, struct gf_err *err)
{
	struct gf_tape *t = calloc(1, sizeof *t);
	int rc = t ? 0 : gf_err_set(err, ENOMEM, "out of memory");

	cap = (cap + 127) / 128 * 128;
	for (uint32_t i = 0; i < SLOTS && !rc; i++) {
		struct slot *o = &t->slot[i];
		lay_out(t, cap, f, NOWHERE, o);
		o->map = mmap(NULL, t->map_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
		if (o->map == MAP_FAILED) {
			o->map = NULL;
			rc = gf_err_set(err, ENOMEM, "out of memory");
		} else {
			lay_out(t, cap, f, o->map, o);
		}
	}
	if (rc) {
		if (t)
			t->older = NULL;
		gf_tape_destroy(t);
		return rc;
	}
	t->most = LEAST;
	prepare(t, LEAST);
	t->paths = f->paths;
	t->older = older;
	*ret = t;
	return 0;
}

void gf_tape_destroy(struct gf_tape *t)
{
	while (t) {
		struct gf_tape *older = t->older;
		for (uint32_t i = 0; i < SLOTS; i++)
			if (t->slot[i].map)
				munmap(t->slot[i].map, t->map_size);
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
		if (s->rows > t->most)
			__atomic_store_n(&t->most, s->rows, __ATOMIC_RELAXED);
		keep_strings(o, s);
	}
	__atomic_store_n(&t->put, put + 1, __ATOMIC_RELEASE);
	return true;
}

const struct gf_sample *gf_tape_take(struct gf_tape *t, struct gf_tape_of *ret)
{
	uint64_t taken = t->taken;
	uint32_t most = __atomic_load_n(&t->most, __ATOMIC_RELAXED);

	if (most > t->ready - t->ready / 8 && t->ready < t->slot[0].s.cap)
		prepare(t, most + most / 4);
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
