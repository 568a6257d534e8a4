/* SPDX-License-Identifier: MIT
 *
 * Members by path: the cursor that goes from type to type as a path says.
 */
#include "targets/btf_int.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

struct search {
	gf_btf_visit fn;
	void *arg;
	uint32_t *visits;
};

static bool visit(const struct gf_btf *b, uint32_t id, uint64_t base, uint32_t depth, struct search *s)
{
	const struct btf_type *t = gf_btf_at(b, b->bare[id]);
	const struct btf_member *m = gf_btf_more(t);

	if (!gf_btf_is_struct(t))
		return false;
	for (uint32_t i = 0; i < BTF_INFO_VLEN(t->info); i++) {
		struct gf_btf_found f = { .name = gf_btf_str(b, m[i].name_off), .type = m[i].type };
		if (++*s->visits > GF_BTF_VISITS)
			return false;
		gf_btf_bits(b, t, &m[i], &f.bit_off, &f.bits);
		f.bit_off += base;
		if (*f.name ? s->fn(s->arg, &f) : depth < GF_BTF_NESTED && visit(b, f.type, f.bit_off, depth + 1, s))
			return true;
	}
	return false;
}

bool gf_btf_members(const struct gf_btf *b, uint32_t id, gf_btf_visit fn, void *arg, uint32_t *visits)
{
	uint32_t own = 0;
	struct search s = { fn, arg, visits ? visits : &own };

	return visit(b, id, 0, 0, &s);
}

struct wanted {
	const char *word;
	size_t len;
	struct gf_btf_found found;
};

static bool is_wanted(void *arg, const struct gf_btf_found *f)
{
	struct wanted *w = arg;

	if (strncmp(f->name, w->word, w->len) || f->name[w->len])
		return false;
	w->found = *f;
	return true;
}

static uint32_t kind_at(const struct gf_btf_walk *w)
{
	return gf_btf_kind(gf_btf_at(w->b, w->b->bare[w->type]));
}

/* The path up to what is looked at now, for sentences. */
static int so_far(const struct gf_btf_walk *w)
{
	return (int)w->at;
}

static size_t word_len(const char *s)
{
	size_t n = 0;

	if (isalpha((unsigned char)*s) || *s == '_')
		while (isalnum((unsigned char)s[n]) || s[n] == '_')
			n++;
	return n;
}

/* A member's name, from w->end on. */
static int step_member(struct gf_btf_walk *w, struct gf_err *err)
{
	struct wanted want = { .word = w->path + w->end };

	w->at = w->end;
	want.len = word_len(want.word);
	w->end = w->at + (want.len ? want.len : *want.word != 0);
	w->in = w->b->bare[w->type];
	if (!want.len)
		return gf_err_set(err, EINVAL, "a member's name is missing after `%.*s`", so_far(w), w->path);
	if (!gf_btf_members(w->b, w->in, is_wanted, &want, NULL))
		return err ? gf_btf_say_no_member(w, err) : -ENOENT;
	w->bit_off += want.found.bit_off;
	w->bits = want.found.bits;
	w->type = want.found.type;
	w->space = gf_btf_space(w->b, w->type, w->in, want.word, want.len);
	return 0;
}

/* Follows the pointer that w stands at. */
static int follow(struct gf_btf_walk *w, struct gf_err *err)
{
	struct gf_btf_member m;

	if (gf_btf_walk_member(w, &m))
		return gf_err_set(err, EINVAL, "the kernel's BTF has `%.*s` outside of its own struct", so_far(w), w->path);
	if (w->hops == GF_KPATH_HOPS)
		return gf_err_set(err, EINVAL, "`%.*s` follows %u pointers already; a path may follow %u at most", so_far(w),
				  w->path, w->hops, GF_KPATH_HOPS);
	w->hop[w->hops++] = m.off;
	w->type = gf_btf_at(w->b, w->b->bare[w->type])->type;
	w->start = w->type;
	w->bit_off = 0;
	w->bits = 0;
	return 0;
}

/* `.` or `->`, and the member behind it. */
static int step_into(struct gf_btf_walk *w, bool arrow, bool pointers, struct gf_err *err)
{
	const struct btf_type *t = gf_btf_at(w->b, w->b->bare[w->type]);
	const char *sign = arrow ? "->" : ".";
	char name[200];
	size_t len = arrow ? 2 : 1;
	int r;

	w->at = w->end;
	w->end += len;
	w->in = 0;
	if (gf_btf_kind(t) == BTF_KIND_PTR && pointers) {
		const struct btf_type *to = gf_btf_at(w->b, w->b->bare[t->type]);
		if (!gf_btf_is_struct(to))
			return gf_btf_say_not_number(w, w->at, err);
		if (!arrow)
			return gf_err_set(err, EINVAL, "`%.*s` is a pointer (%s): write `->` instead of `.`", so_far(w), w->path,
					  gf_btf_spell(w->b, w->type, "", name, sizeof name));
		if (w->space)
			return gf_btf_say_not_number(w, w->at, err);
		r = follow(w, err);
		return r ? r : step_member(w, err);
	}
	if (gf_btf_is_struct(t) && !arrow)
		return step_member(w, err);
	if (gf_btf_is_struct(t))
		return gf_err_set(err, EINVAL, "`%.*s` is a %s, not a pointer to one: write `.` instead of `->`", so_far(w), w->path,
				  gf_btf_spell(w->b, w->type, "", name, sizeof name));
	if (gf_btf_kind(t) == BTF_KIND_ARRAY)
		return gf_btf_say_not_number(w, w->at, err);
	return gf_err_set(err, EINVAL, "`%.*s` has no members that `%s` could name: it is of type %s", so_far(w), w->path, sign,
			  gf_btf_spell(w->b, w->type, "", name, sizeof name));
}

/* A number, or an enumerator's name, at s: its value (may be out of anything's range), *ret_len 0 if neither. */
static int64_t index_value(const struct gf_btf *b, const char *s, size_t *ret_len)
{
	int64_t v = 0;
	size_t n = 0;

	while (isdigit((unsigned char)s[n])) {
		if (v < INT64_MAX / 16)
			v = v * 10 + (s[n] - '0');
		n++;
	}
	if (n && (isalpha((unsigned char)s[n]) || s[n] == '_'))
		n = 0;
	else if (!n) {
		n = word_len(s);
		if (n && gf_btf_enum_n(b, s, n, &v))
			n = 0;
	}
	*ret_len = n;
	return v;
}

static int step_index(struct gf_btf_walk *w, struct gf_err *err)
{
	const struct btf_array *a = gf_btf_array(gf_btf_at(w->b, w->b->bare[w->type]));
	const char *open = w->path + w->end, *close = strchr(open, ']');
	char name[200];
	size_t len;
	int64_t i;

	w->at = w->end;
	w->end = close ? (size_t)(close + 1 - w->path) : strlen(w->path);
	w->in = 0;
	if (kind_at(w) != BTF_KIND_ARRAY)
		return gf_err_set(err, EINVAL, "`%.*s` is no array (%s): it takes no index", so_far(w), w->path,
				  gf_btf_spell(w->b, w->type, "", name, sizeof name));
	if (!close)
		return gf_err_set(err, EINVAL, "a `]` is missing after `%.60s`", open);
	i = index_value(w->b, open + 1, &len);
	if (!len || open + 1 + len != close)
		return gf_err_set(err, EINVAL, "`%.*s` is no index: a number or one of the kernel's enumerators is",
				  (int)(close - open > 60 ? 60 : close - open - 1), open + 1);
	if (i < 0 || i >= (int64_t)a->nelems) {
		if (!a->nelems)
			return gf_err_set(err, EINVAL, "the kernel does not say how many elements `%.*s` has: it cannot be indexed",
					  so_far(w), w->path);
		return gf_err_set(err, EINVAL, "`%.*s` has %u element%s, [0] to [%u]: %lld is out of range", so_far(w), w->path,
				  a->nelems, a->nelems == 1 ? "" : "s", a->nelems - 1, (long long)i);
	}
	w->type = a->type;
	w->space = gf_btf_space(w->b, w->type, 0, NULL, 0);
	w->bit_off += (uint64_t)i * w->b->size[a->type] * 8;
	w->bits = 0;
	return 0;
}

int gf_btf_walk(struct gf_btf_walk *w, bool bare, bool pointers, struct gf_err *err)
{
	int r = bare ? step_member(w, err) : 0;

	while (!r && w->path[w->end]) {
		const char *s = w->path + w->end;
		if (*s == '[') {
			r = step_index(w, err);
		} else if (*s == '.') {
			r = step_into(w, false, pointers, err);
		} else if (s[0] == '-' && s[1] == '>') {
			r = step_into(w, true, pointers, err);
		} else {
			w->at = w->end++;
			w->in = 0;
			r = gf_err_set(err, EINVAL, "`%c` does not belong in a kernel path: after `%.*s` come `->`, `.` or `[`",
				       isprint((unsigned char)*s) ? *s : '?', so_far(w), w->path);
		}
	}
	return r;
}

void gf_btf_describe(const struct gf_btf_walk *w, struct gf_btf_member *ret)
{
	const struct gf_btf *b = w->b;
	uint32_t id = b->bare[w->type], v;
	const struct btf_type *t = gf_btf_at(b, id), *to;

	*ret = (struct gf_btf_member){ .type = id, .size = b->size[id], .next = GF_BTF_NOTHING };
	switch (gf_btf_kind(t)) {
	case BTF_KIND_INT:
		memcpy(&v, gf_btf_more(t), sizeof v);
		ret->is_signed = !!(BTF_INT_ENCODING(v) & BTF_INT_SIGNED);
		ret->is_number = ret->size == 1 || ret->size == 2 || ret->size == 4 || ret->size == 8;
		break;
	case BTF_KIND_ENUM:
	case BTF_KIND_ENUM64:
		ret->is_signed = (uint8_t)BTF_INFO_KFLAG(t->info);
		ret->is_number = ret->size == 1 || ret->size == 2 || ret->size == 4 || ret->size == 8;
		break;
	case BTF_KIND_PTR:
		ret->is_pointer = 1;
		to = gf_btf_at(b, b->bare[t->type]);
		if (gf_btf_is_struct(to) && !w->space)
			ret->next = GF_BTF_ARROW;
		break;
	case BTF_KIND_STRUCT:
	case BTF_KIND_UNION:
		ret->next = GF_BTF_DOT;
		break;
	case BTF_KIND_ARRAY:
		ret->elem = b->size[gf_btf_array(t)->type];
		ret->next = gf_btf_array(t)->nelems ? GF_BTF_INDEX : GF_BTF_NOTHING;
		break;
	}
}

/* The number that a bit field is loaded with: that of its declared type where that lies in the struct, as compilers
 * do; or the narrowest that holds it. */
static int place_bits(const struct gf_btf_walk *w, uint64_t end, struct gf_btf_member *ret)
{
	uint32_t size = ret->size;
	uint64_t at = size ? w->bit_off / 8 / size * size : 0;

	if (!ret->is_number || w->bits > 64)
		return -EINVAL;
	if (w->bit_off + w->bits > (at + size) * 8 || at + size > end) {
		at = w->bit_off / 8;
		size = 1;
		while (size < 8 && w->bit_off + w->bits > (at + size) * 8)
			size *= 2;
		if (w->bit_off + w->bits > (at + size) * 8)
			return -EINVAL;
	}
	ret->off = (uint32_t)at;
	ret->size = size;
	ret->bit = (uint8_t)(w->bit_off - at * 8);
	ret->bits = (uint8_t)w->bits;
	return 0;
}

int gf_btf_walk_member(const struct gf_btf_walk *w, struct gf_btf_member *ret)
{
	struct gf_btf_member m;
	uint64_t end = w->b->size[w->start];

	gf_btf_describe(w, &m);
	if (w->bits ? w->bit_off + w->bits > end * 8 : w->bit_off % 8 || w->bit_off / 8 + m.size > end)
		return -EINVAL;
	m.off = (uint32_t)(w->bit_off / 8);
	if (w->bits && place_bits(w, end, &m))
		return -EINVAL;
	*ret = m;
	return 0;
}

int gf_btf_member(const struct gf_btf *b, const char *type, const char *path, struct gf_btf_member *ret)
{
	struct gf_btf_walk w = { .b = b, .path = path, .type = gf_btf_type(b, type) };
	int r;

	if (!w.type)
		return -ENOENT;
	w.start = w.type;
	r = gf_btf_walk(&w, true, false, NULL);
	return r ? r : gf_btf_walk_member(&w, ret);
}
