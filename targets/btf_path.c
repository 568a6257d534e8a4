/* SPDX-License-Identifier: MIT
 *
 * Kernel paths: `task->signal->rlim[7].rlim_cur` to offsets, and what may follow one.
 */
#include "targets/btf_int.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define LIST_MAX 16384u

/* Sets w at what path names. `task` alone: at the struct, hops 0. */
static int start(const struct gf_btf *b, const char *path, struct gf_btf_walk *w, struct gf_err *err)
{
	*w = (struct gf_btf_walk){ .b = b, .path = path, .end = strcspn(path, "-.[") };
	if (w->end != 4 || strncmp(path, "task", 4))
		return gf_err_set(err, EINVAL, "a kernel path starts with `task->`, not with `%.*s`",
				  (int)(w->end < 60 ? w->end : 60), path);
	w->type = w->start = gf_btf_type(b, "task_struct");
	if (!w->type || !gf_btf_is_struct(gf_btf_at(b, b->bare[w->type])))
		return gf_err_set(err, EINVAL, "the kernel's BTF has no struct task_struct");
	if (!path[w->end])
		return 0;
	if (strncmp(path + w->end, "->", 2)) {
		w->at = w->end++;
		return gf_err_set(err, EINVAL, "`task` is a pointer (struct task_struct *): write `->` behind it instead of `%c`",
				  path[w->at]);
	}
	w->end += 2;
	return gf_btf_walk(w, true, true, err);
}

static int resolve(struct gf_btf_walk *w, const char *path, struct gf_kpath *ret, struct gf_err *err)
{
	struct gf_btf_member m;

	if (!path[4])
		return gf_err_set(err, EINVAL, "`task` is a pointer to struct task_struct, not a number: go on with `->` and a member");
	gf_btf_describe(w, &m);
	if (!m.is_number)
		return gf_btf_say_not_number(w, strlen(path), err);
	if (gf_btf_walk_member(w, &m))
		return gf_err_set(err, EINVAL, "the kernel's BTF has `%s` outside of its own struct", path);
	*ret = (struct gf_kpath){ .hops = w->hops, .off = m.off, .size = (uint8_t)m.size, .is_signed = m.is_signed,
				  .bit = m.bit, .bits = m.bits };
	memcpy(ret->hop, w->hop, w->hops * sizeof *w->hop);
	return 0;
}

int gf_btf_path(const struct gf_btf *b, const char *path, struct gf_kpath *ret, size_t *ret_at, size_t *ret_len,
		struct gf_err *err)
{
	struct gf_err own;
	struct gf_btf_walk w;
	int r = start(b, path, &w, err ? err : &own);

	if (!r)
		r = resolve(&w, path, ret, err ? err : &own);
	if (r && ret_at)
		*ret_at = w.at;
	if (r && ret_len)
		*ret_len = w.end - w.at;
	return r ? -EINVAL : 0;
}

struct entry {
	struct gf_btf_found f;
	uint32_t nth;
};

struct list {
	struct entry *v;
	uint32_t n;
};

static bool take(void *arg, const struct gf_btf_found *f)
{
	struct list *l = arg;

	l->v[l->n] = (struct entry){ *f, l->n };
	return ++l->n == LIST_MAX;
}

static int by_place(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;

	if (x->f.bit_off != y->f.bit_off)
		return x->f.bit_off < y->f.bit_off ? -1 : 1;
	return x->nth < y->nth ? -1 : x->nth > y->nth;
}

/* Members of struct id whose names start with the len bytes at word. */
static int list_struct(const struct gf_btf *b, uint32_t id, const char *word, size_t len, gf_btf_each fn, void *arg,
		       struct gf_err *err)
{
	struct list l = { malloc(LIST_MAX * sizeof *l.v), 0 };
	char type[256], width[16];

	if (!l.v)
		return gf_err_set(err, ENOMEM, "no memory for a list of members");
	gf_btf_members(b, id, take, &l, NULL);
	if (l.n)
		qsort(l.v, l.n, sizeof *l.v, by_place);
	for (uint32_t i = 0; i < l.n; i++) {
		const struct gf_btf_found *f = &l.v[i].f;
		struct gf_btf_walk w = { .b = b, .type = f->type, .start = id, .bits = f->bits, .bit_off = f->bit_off,
					 .space = gf_btf_space(b, f->type, id, f->name, strlen(f->name)) };
		struct gf_btf_member m;
		/* what lies outside of its struct is a lie */
		if (strncmp(f->name, word, len) || gf_btf_walk_member(&w, &m))
			continue;
		gf_btf_spell(b, f->type, "", type, sizeof type - sizeof width);
		snprintf(width, sizeof width, " : %u", f->bits);
		fn(arg, f->name, f->bits ? strcat(type, width) : type, &m);
	}
	free(l.v);
	return 0;
}

static int list_array(const struct gf_btf *b, const struct btf_type *t, gf_btf_each fn, void *arg)
{
	struct gf_btf_walk w = { .b = b, .type = gf_btf_array(t)->type };
	struct gf_btf_member m;
	char name[32], type[256];

	snprintf(name, sizeof name, gf_btf_array(t)->nelems > 1 ? "[0..%u]" : "[%u]", gf_btf_array(t)->nelems - 1);
	w.space = gf_btf_space(b, w.type, 0, NULL, 0);
	gf_btf_describe(&w, &m);
	fn(arg, name, gf_btf_spell(b, w.type, "", type, sizeof type), &m);
	return 0;
}

/* What may follow what w stands at. */
static int list_at(const struct gf_btf_walk *w, gf_btf_each fn, void *arg, struct gf_err *err)
{
	const struct gf_btf *b = w->b;
	struct gf_btf_member m;
	char type[200];

	gf_btf_describe(w, &m);
	if (m.next == GF_BTF_ARROW)
		return list_struct(b, gf_btf_at(b, m.type)->type, "", 0, fn, arg, err);
	if (m.next == GF_BTF_DOT)
		return list_struct(b, w->type, "", 0, fn, arg, err);
	if (m.next == GF_BTF_INDEX)
		return list_array(b, gf_btf_at(b, m.type), fn, arg);
	if (m.is_number)
		return gf_err_set(err, EINVAL, "`%s` is a number (%s): it is used as it is, and nothing follows it", w->path,
				  gf_btf_spell(b, w->type, "", type, sizeof type));
	return gf_btf_say_not_number(w, strlen(w->path), err);
}

int gf_btf_list(const struct gf_btf *b, const char *path, gf_btf_each fn, void *arg, struct gf_err *err)
{
	struct gf_btf_walk w;

	return start(b, path, &w, err) ? -EINVAL : list_at(&w, fn, arg, err);
}

struct filter {
	gf_btf_each fn;
	void *arg;
	uint32_t n;
};

static void pass(void *arg, const char *name, const char *type, const struct gf_btf_member *m)
{
	struct filter *f = arg;

	f->n++;
	f->fn(f->arg, name, type, m);
}

int gf_btf_complete(const struct gf_btf *b, const char *path, char *prefix, size_t n, gf_btf_each fn, void *arg,
		    struct gf_err *err)
{
	struct filter f = { fn, arg, 0 };
	struct gf_btf_walk w;
	struct gf_btf_member m;
	char type[256];
	int r = start(b, path, &w, err);

	if (r) {
		/* Cut short in a member's name: those that it may become. */
		if (!w.in || path[w.end])
			return -EINVAL;
		snprintf(prefix, n, "%.*s", (int)w.at, path);
		if (list_struct(b, w.in, path + w.at, w.end - w.at, pass, &f, err) == -ENOMEM)
			return -ENOMEM;
		return f.n ? 0 : -EINVAL;
	}
	gf_btf_describe(&w, &m);
	if (!m.is_number || gf_btf_walk_member(&w, &m)) {
		snprintf(prefix, n, "%s%s", path, !path[4] || m.next == GF_BTF_ARROW ? "->" : m.next == GF_BTF_DOT ? "." : "");
		return list_at(&w, fn, arg, err);
	}
	snprintf(prefix, n, "%.*s", (int)w.at, path);
	gf_btf_spell(b, w.type, "", type, sizeof type);
	fn(arg, path + w.at, type, &m);
	return 0;
}
