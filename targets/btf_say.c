/* SPDX-License-Identifier: MIT
 *
 * What is wrong with a path, in sentences that say what to write instead.
 */
#include "targets/btf_int.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "compiler/source.h"

#define NAMES 4096u /* members of a struct that suggestions are taken from */
#define NEAR  3u

struct names {
	const char **v;
	size_t n;
};

static bool take_name(void *arg, const struct gf_btf_found *f)
{
	struct names *all = arg;

	all->v[all->n++] = f->name;
	return all->n == NAMES;
}

/* Up to NEAR names like word: misspelt first, then those that it is a part of. */
static size_t near_names(const struct gf_btf *b, uint32_t in, const char *word, const char *ret[NEAR])
{
	struct names all = { malloc(NAMES * sizeof(char *)), 0 };
	size_t n = 0;

	if (!all.v)
		return 0;
	gf_btf_members(b, in, take_name, &all, NULL);
	while (n < NEAR) {
		const char *near = gf_nearest(word, all.v, all.n);
		if (!near)
			break;
		ret[n++] = near;
		for (size_t i = 0; i < all.n; i++)
			if (all.v[i] == near || !strcmp(all.v[i], near))
				all.v[i] = "";
	}
	for (size_t i = 0; i < all.n && n < NEAR && strlen(word) >= 3; i++)
		if (strstr(all.v[i], word))
			ret[n++] = all.v[i];
	free(all.v);
	return n;
}

static bool take_few(void *arg, const struct gf_btf_found *f)
{
	struct names *few = arg;

	if (few->n <= NEAR)
		few->v[few->n++] = f->name;
	return few->n > NEAR;
}

/* The members of a struct that has at most NEAR: "`b` or `s`"; "" if it has more, or none. */
static const char *few_members(const struct gf_btf *b, uint32_t in, char *buf, size_t n)
{
	const char *few[NEAR + 1] = { 0 };
	struct names all = { few, 0 };

	gf_btf_members(b, in, take_few, &all, NULL);
	buf[0] = 0;
	if (all.n == 1)
		snprintf(buf, n, "`%.60s`", few[0]);
	else if (all.n == 2)
		snprintf(buf, n, "`%.60s` or `%.60s`", few[0], few[1]);
	else if (all.n == 3)
		snprintf(buf, n, "`%.60s`, `%.60s` or `%.60s`", few[0], few[1], few[2]);
	return buf;
}

/* A member of this name one struct further. */
struct further {
	const struct gf_btf *b;
	uint32_t in;
	const char *word;
	uint32_t visits;
	const char *through; /* member of the struct searched that leads there */
	enum gf_btf_next next;
};

static bool same_name(void *arg, const struct gf_btf_found *f)
{
	return !strcmp(f->name, arg);
}

static bool look_further(void *arg, const struct gf_btf_found *f)
{
	struct further *x = arg;
	struct gf_btf_walk w = { .b = x->b, .type = f->type, .space = gf_btf_space(x->b, f->type, x->in, f->name, strlen(f->name)) };
	struct gf_btf_member m;
	uint32_t id;

	gf_btf_describe(&w, &m);
	if (m.next != GF_BTF_DOT && m.next != GF_BTF_ARROW)
		return false;
	id = m.next == GF_BTF_ARROW ? gf_btf_at(x->b, m.type)->type : m.type;
	if (!gf_btf_members(x->b, id, same_name, (void *)(uintptr_t)x->word, &x->visits))
		return false;
	x->through = f->name;
	x->next = (enum gf_btf_next)m.next;
	return true;
}

/* "struct mm_struct", or "sigset_t", or of what the path says if it has no name at all. */
static const char *struct_name(const struct gf_btf_walk *w, char *buf, size_t n)
{
	const struct btf_type *t = gf_btf_at(w->b, w->in);
	size_t len = w->at;

	while (len && (w->path[len - 1] == '.' || w->path[len - 1] == '>' || w->path[len - 1] == '-'))
		len--;
	gf_btf_spell(w->b, *gf_btf_str(w->b, t->name_off) ? w->in : w->type, "", buf, n);
	if (strchr(buf, '{') && len)
		snprintf(buf, n, "`%.*s` (a %s without a name)", (int)len, w->path,
			 gf_btf_kind(t) == BTF_KIND_UNION ? "union" : "struct");
	return buf;
}

/* "; did you mean `a`, `b` or `task->mm->c`?", "" for n 0. */
static void say_near(const char *const near[], size_t n, char *buf, size_t size)
{
	size_t at = 0;

	buf[0] = 0;
	for (size_t i = 0; i < n && at < size; i++)
		at += (size_t)snprintf(buf + at, size - at, "%s`%.150s`", !i ? "; did you mean " : i + 1 < n ? ", " : " or ", near[i]);
	if (n && at < size)
		snprintf(buf + at, size - at, "?");
}

int gf_btf_say_no_member(const struct gf_btf_walk *w, struct gf_err *err)
{
	char word[64], in[200], hint[300], path[200];
	const char *near[NEAR + 1] = { 0 };
	struct further x = { .b = w->b, .in = w->in, .word = word };
	size_t n, len = w->end - w->at;

	if (!err)
		return -ENOENT;
	snprintf(word, sizeof word, "%.*s", (int)(len < sizeof word ? len : sizeof word - 1), w->path + w->at);
	struct_name(w, in, sizeof in);
	n = near_names(w->b, w->in, word, near);
	if (len < sizeof word && w->at < 100 && gf_btf_members(w->b, w->in, look_further, &x, &x.visits)) {
		n = n < NEAR ? n : NEAR - 1;
		snprintf(path, sizeof path, "%.*s%.60s%s%.60s", (int)w->at, w->path, x.through, x.next == GF_BTF_ARROW ? "->" : ".", word);
		near[n++] = path;
	}
	say_near(near, n, hint, sizeof hint);
	if (!n && *few_members(w->b, w->in, path, sizeof path))
		snprintf(hint, sizeof hint, "; it has %s", path);
	return gf_err_set(err, ENOENT, "%s has no member `%s`%s", in, word, hint);
}

static int say_pointer(const struct gf_btf_walk *w, int upto, struct gf_err *err)
{
	const char *space = w->space;
	uint32_t to = gf_btf_at(w->b, w->b->bare[w->type])->type;
	const struct btf_type *t = gf_btf_at(w->b, w->b->bare[to]);
	char name[200];

	gf_btf_spell(w->b, to, "", name, sizeof name);
	if (space && !strcmp(space, "percpu"))
		return gf_err_set(err, EINVAL, "`%.*s` is a per-CPU pointer: every CPU has a value of its own, and a path reads one",
				  upto, w->path);
	if (space && !strcmp(space, "user"))
		return gf_err_set(err, EINVAL, "`%.*s` points into the process's own memory (__user); a path reads the kernel's", upto,
				  w->path);
	if (space)
		return gf_err_set(err, EINVAL, "`%.*s` points to a device's registers (__%s), which a path does not read", upto, w->path,
				  space);
	switch (gf_btf_kind(t)) {
	case BTF_KIND_STRUCT:
	case BTF_KIND_UNION:
		return gf_err_set(err, EINVAL, "`%.*s` is a pointer to %s, not a number: go on with `->` and a member", upto, w->path,
				  name);
	case BTF_KIND_FWD:
		return gf_err_set(err, EINVAL, "`%.*s` is a pointer to %s, of which the kernel does not say what is in it", upto, w->path,
				  name);
	case BTF_KIND_FUNC_PROTO:
		return gf_err_set(err, EINVAL, "`%.*s` is a pointer to a function: there is no number in it to compare", upto, w->path);
	case BTF_KIND_UNKN:
		return gf_err_set(err, EINVAL, "`%.*s` is a pointer to anything (%s *): where it leads cannot be read", upto, w->path, name);
	default:
		return gf_err_set(err, EINVAL, "`%.*s` is a pointer to %s; a path follows only pointers to structs and unions", upto,
				  w->path, name);
	}
}

/* A struct of few members (atomic_t, kuid_t) is told with them. */
static int say_struct(const struct gf_btf_walk *w, int upto, const char *name, struct gf_err *err)
{
	char few[260], what[240];
	const char *word = gf_btf_kind(gf_btf_at(w->b, w->b->bare[w->type])) == BTF_KIND_UNION ? "union" : "struct";

	if (strchr(name, '{'))
		snprintf(what, sizeof what, "a %s without a name", word);
	else if (strstr(name, word) == name)
		snprintf(what, sizeof what, "a %.180s", name);
	else
		snprintf(what, sizeof what, "of type %.180s, a %s", name, word);
	return gf_err_set(err, EINVAL, "`%.*s` is %s, not a number: go on with `.` and %s", upto, w->path, what,
			  *few_members(w->b, w->type, few, sizeof few) ? few : "a member");
}

int gf_btf_say_not_number(const struct gf_btf_walk *w, size_t upto, struct gf_err *err)
{
	const struct btf_type *t = gf_btf_at(w->b, w->b->bare[w->type]);
	int len = (int)upto;
	char name[200];

	gf_btf_spell(w->b, w->type, "", name, sizeof name);
	switch (gf_btf_kind(t)) {
	case BTF_KIND_PTR: return say_pointer(w, len, err);
	case BTF_KIND_STRUCT:
	case BTF_KIND_UNION: return say_struct(w, len, name, err);
	case BTF_KIND_ARRAY:
		if (!gf_btf_array(t)->nelems)
			return gf_err_set(err, EINVAL, "`%.*s` is an array (%s) whose length the kernel does not say: it cannot be indexed",
					  len, w->path, name);
		return gf_err_set(err, EINVAL, "`%.*s` is an array (%s): go on with an index, [0] to [%u]", len, w->path, name,
				  gf_btf_array(t)->nelems - 1);
	case BTF_KIND_FLOAT:
		return gf_err_set(err, EINVAL, "`%.*s` is a floating point number (%s), which the kernel does not use for counts", len,
				  w->path, name);
	case BTF_KIND_INT:
	case BTF_KIND_ENUM:
	case BTF_KIND_ENUM64:
		return gf_err_set(err, EINVAL, "`%.*s` is a number of %u bytes (%s); 1, 2, 4 and 8 can be read", len, w->path,
				  w->b->size[w->type], name);
	default:
		return gf_err_set(err, EINVAL, "`%.*s` is of type %s, which is no number", len, w->path, name);
	}
}
