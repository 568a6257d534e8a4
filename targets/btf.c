/* SPDX-License-Identifier: MIT
 *
 * BTF taken apart: copied, every type checked once, names indexed. Format: Documentation/bpf/btf.rst, with what kernels
 * up to 6.18 write (ENUM64 from 6.0, kind_flag on tags from 6.14).
 */
#include "targets/btf_int.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int check_header(const uint8_t *data, size_t size, struct btf_header *h, struct gf_err *err)
{
	if (size > GF_BTF_MAX)
		return gf_err_set(err, EBADMSG, "the BTF is %zu bytes long; %u are taken at most", size, GF_BTF_MAX);
	if (size < sizeof *h)
		return gf_err_set(err, EBADMSG, "the BTF is %zu bytes long: not even its header is there", size);
	memcpy(h, data, sizeof *h);
	if (h->magic == __builtin_bswap16(BTF_MAGIC))
		return gf_err_set(err, EBADMSG, "the BTF is a big-endian machine's, which gpufas does not read");
	if (h->magic != BTF_MAGIC)
		return gf_err_set(err, EBADMSG, "this is no BTF: it starts with 0x%04x, not 0x%04x", h->magic, BTF_MAGIC);
	if (h->version != BTF_VERSION)
		return gf_err_set(err, EBADMSG, "the BTF is of version %u; only version %u is known", h->version, BTF_VERSION);
	if (h->hdr_len < sizeof *h || h->hdr_len > size)
		return gf_err_set(err, EBADMSG, "the BTF's header says that it is %u bytes long", h->hdr_len);
	size -= h->hdr_len;
	if (h->type_off > size || h->type_len > size - h->type_off || h->str_off > size || h->str_len > size - h->str_off)
		return gf_err_set(err, EBADMSG, "the BTF is cut short: its header speaks of types or names behind its end");
	if (!h->str_len)
		return gf_err_set(err, EBADMSG, "the BTF has no names");
	return 0;
}

static int take_copy(struct gf_btf *b, const uint8_t *data, const struct btf_header *h, struct gf_err *err)
{
	b->type_len = h->type_len;
	b->str_len = h->str_len;
	b->types = malloc(b->type_len ? b->type_len : 1);
	b->strs = malloc(b->str_len);
	if (!b->types || !b->strs)
		return gf_err_set(err, ENOMEM, "no memory for %u bytes of BTF", b->type_len + b->str_len);
	memcpy(b->types, data + h->hdr_len + h->type_off, b->type_len);
	memcpy(b->strs, data + h->hdr_len + h->str_off, b->str_len);
	if (b->strs[0] || b->strs[b->str_len - 1])
		return gf_err_set(err, EBADMSG, "the BTF's names neither start nor end with a NUL as they must");
	/* They are a stranger's and go to terminals and logs; nor shall a name be millions of bytes long. */
	for (uint32_t i = 0, run = 0; i < b->str_len; i++) {
		run = b->strs[i] ? run + 1 : 0;
		if (run > GF_BTF_NAME_MAX)
			b->strs[i] = 0, run = 0;
		else if (b->strs[i] && (b->strs[i] < 0x20 || b->strs[i] > 0x7e))
			b->strs[i] = '?';
	}
	return 0;
}

/* Bytes that follow a type of this kind; -1: no such kind. */
static int64_t more_size(const struct btf_type *t)
{
	uint32_t n = BTF_INFO_VLEN(t->info);

	switch (gf_btf_kind(t)) {
	case BTF_KIND_INT: return sizeof(uint32_t);
	case BTF_KIND_ARRAY: return sizeof(struct btf_array);
	case BTF_KIND_STRUCT:
	case BTF_KIND_UNION: return n * sizeof(struct btf_member);
	case BTF_KIND_ENUM: return n * sizeof(struct btf_enum);
	case BTF_KIND_ENUM64: return n * sizeof(struct btf_enum64);
	case BTF_KIND_FUNC_PROTO: return n * sizeof(struct btf_param);
	case BTF_KIND_VAR: return sizeof(struct btf_var);
	case BTF_KIND_DATASEC: return n * sizeof(struct btf_var_secinfo);
	case BTF_KIND_DECL_TAG: return sizeof(struct btf_decl_tag);
	case BTF_KIND_PTR:
	case BTF_KIND_FWD:
	case BTF_KIND_TYPEDEF:
	case BTF_KIND_VOLATILE:
	case BTF_KIND_CONST:
	case BTF_KIND_RESTRICT:
	case BTF_KIND_FUNC:
	case BTF_KIND_FLOAT:
	case BTF_KIND_TYPE_TAG: return 0;
	default: return -1;
	}
}

/* Counts the types, and on the second round notes where they are. */
static int find_types(struct gf_btf *b, struct gf_err *err)
{
	uint32_t at = 0, n = 0;

	while (at < b->type_len) {
		const struct btf_type *t = (const void *)(b->types + at);
		uint32_t left = b->type_len - at;
		int64_t more;

		if (left < sizeof *t)
			return gf_err_set(err, EBADMSG, "the BTF's last type is cut short");
		more = more_size(t);
		if (more < 0)
			return gf_err_set(err, EBADMSG, "type %u of the BTF is of kind %u, which is not known", n + 1, gf_btf_kind(t));
		if ((uint64_t)more > left - sizeof *t)
			return gf_err_set(err, EBADMSG, "type %u of the BTF reaches behind its end", n + 1);
		if (++n > BTF_MAX_TYPE)
			return gf_err_set(err, EBADMSG, "the BTF has more types than the kernel itself allows (%u)", BTF_MAX_TYPE);
		if (b->at)
			b->at[n] = at;
		at += (uint32_t)(sizeof *t + (size_t)more);
	}
	b->n = n;
	return 0;
}

static bool id_ok(const struct gf_btf *b, uint32_t id)
{
	return id <= b->n;
}

static bool str_ok(const struct gf_btf *b, uint32_t off)
{
	return off < b->str_len;
}

static bool more_ok(const struct gf_btf *b, const struct btf_type *t)
{
	const struct btf_member *m = gf_btf_more(t);
	const struct btf_enum *e = gf_btf_more(t);
	const struct btf_enum64 *e64 = gf_btf_more(t);
	const struct btf_param *p = gf_btf_more(t);
	const struct btf_var_secinfo *v = gf_btf_more(t);
	uint32_t n = BTF_INFO_VLEN(t->info);

	switch (gf_btf_kind(t)) {
	case BTF_KIND_INT: {
		uint32_t v32;
		memcpy(&v32, gf_btf_more(t), sizeof v32);
		return t->size && t->size <= 16 && BTF_INT_OFFSET(v32) + BTF_INT_BITS(v32) <= t->size * 8;
	}
	case BTF_KIND_FLOAT: return t->size && t->size <= 16;
	case BTF_KIND_ARRAY: return id_ok(b, gf_btf_array(t)->type) && id_ok(b, gf_btf_array(t)->index_type);
	case BTF_KIND_STRUCT:
	case BTF_KIND_UNION:
		for (uint32_t i = 0; i < n; i++)
			if (!str_ok(b, m[i].name_off) || !m[i].type || !id_ok(b, m[i].type))
				return false;
		return true;
	case BTF_KIND_ENUM:
		for (uint32_t i = 0; i < n; i++)
			if (!str_ok(b, e[i].name_off))
				return false;
		return t->size && t->size <= 8;
	case BTF_KIND_ENUM64:
		for (uint32_t i = 0; i < n; i++)
			if (!str_ok(b, e64[i].name_off))
				return false;
		return t->size && t->size <= 8;
	case BTF_KIND_FUNC_PROTO:
		for (uint32_t i = 0; i < n; i++)
			if (!str_ok(b, p[i].name_off) || !id_ok(b, p[i].type))
				return false;
		return id_ok(b, t->type);
	case BTF_KIND_DATASEC:
		for (uint32_t i = 0; i < n; i++)
			if (!id_ok(b, v[i].type))
				return false;
		return true;
	case BTF_KIND_FWD: return true;
	default: return id_ok(b, t->type);
	}
}

/* Size and bare type of id, along modifiers, typedefs and arrays. Chains end, or it is refused. */
static int resolve(struct gf_btf *b, uint32_t id, struct gf_err *err)
{
	uint64_t times = 1, size = 0;
	uint32_t bare = 0, x = id;
	bool have_bare = false;

	for (uint32_t i = 0; i < GF_BTF_CHAIN; i++) {
		const struct btf_type *t = gf_btf_at(b, x);
		uint32_t kind = gf_btf_kind(t);

		if (gf_btf_is_modifier(kind)) {
			x = t->type;
			continue;
		}
		if (!have_bare)
			bare = x;
		have_bare = true;
		if (kind == BTF_KIND_ARRAY) {
			/* both below 2^32 */
			times *= gf_btf_array(t)->nelems;
			if (times > UINT32_MAX)
				return gf_err_set(err, EBADMSG, "type %u of the BTF is an array of more than 4 GiB", id);
			x = gf_btf_array(t)->type;
			continue;
		}
		if (kind == BTF_KIND_PTR)
			size = 8;
		else if (kind == BTF_KIND_INT || kind == BTF_KIND_FLOAT || kind == BTF_KIND_ENUM || kind == BTF_KIND_ENUM64 ||
			 gf_btf_is_struct(t))
			size = t->size;
		if (times * size > UINT32_MAX)
			return gf_err_set(err, EBADMSG, "type %u of the BTF is larger than 4 GiB", id);
		b->bare[id] = bare;
		b->size[id] = (uint32_t)(times * size);
		return 0;
	}
	return gf_err_set(err, EBADMSG, "type %u (`%.60s`) of the BTF leads from type to type and never ends", id,
			  gf_btf_str(b, gf_btf_at(b, id)->name_off));
}

static int check_types(struct gf_btf *b, struct gf_err *err)
{
	int r = find_types(b, err);

	if (r)
		return r;
	b->at = calloc(b->n + 1u, sizeof *b->at);
	b->bare = calloc(b->n + 1u, sizeof *b->bare);
	b->size = calloc(b->n + 1u, sizeof *b->size);
	if (!b->at || !b->bare || !b->size)
		return gf_err_set(err, ENOMEM, "no memory for %u types of BTF", b->n);
	r = find_types(b, err);
	for (uint32_t id = 1; !r && id <= b->n; id++) {
		const struct btf_type *t = gf_btf_at(b, id);
		if (!str_ok(b, t->name_off) || !more_ok(b, t))
			r = gf_err_set(err, EBADMSG, "type %u of the BTF (kind %u) contradicts itself", id, gf_btf_kind(t));
	}
	for (uint32_t id = 1; !r && id <= b->n; id++)
		r = resolve(b, id, err);
	return r;
}

/* Of the start of a name only: it is long enough to tell a kernel's names apart, and what a liar makes of millions of
 * long ones is bounded. */
#define HASHED 48u
static uint32_t hash_of(const char *s, size_t len)
{
	uint32_t h = 2166136261u;

	for (size_t i = 0; i < len && i < HASHED; i++)
		h = (h ^ (uint8_t)s[i]) * 16777619u;
	return h;
}

static uint32_t enumerators(const struct btf_type *t)
{
	uint32_t kind = gf_btf_kind(t);

	return kind == BTF_KIND_ENUM || kind == BTF_KIND_ENUM64 ? BTF_INFO_VLEN(t->info) : 0;
}

static const char *enumerator_name(const struct gf_btf *b, const struct btf_type *t, uint32_t k)
{
	const struct btf_enum *e = gf_btf_more(t);
	const struct btf_enum64 *e64 = gf_btf_more(t);

	return gf_btf_str(b, gf_btf_kind(t) == BTF_KIND_ENUM ? e[k].name_off : e64[k].name_off);
}

static void add_name(struct gf_btf *b, const char *name, uint32_t id, uint32_t k)
{
	uint32_t h = hash_of(name, strnlen(name, HASHED));

	if (!*name)
		return;
	b->name[b->names] = (struct gf_btf_name){ h, b->bucket[h & b->mask], id, k };
	b->bucket[h & b->mask] = ++b->names;
}

/* From the last type to the first, so that a bucket's list has the first one in front. */
static int index_names(struct gf_btf *b, struct gf_err *err)
{
	uint64_t n = b->n;

	for (uint32_t id = 1; id <= b->n; id++)
		n += enumerators(gf_btf_at(b, id));
	b->mask = 1;
	while (b->mask < n)
		b->mask = b->mask << 1 | 1;
	/* n is at most GF_BTF_MAX / sizeof(struct btf_enum) and some: every name has its bytes in the types */
	b->name = calloc(n ? n : 1, sizeof *b->name);
	b->bucket = calloc((size_t)b->mask + 1, sizeof *b->bucket);
	if (!b->name || !b->bucket)
		return gf_err_set(err, ENOMEM, "no memory for %llu names of BTF", (unsigned long long)n);
	for (uint32_t id = b->n; id >= 1; id--) {
		const struct btf_type *t = gf_btf_at(b, id);
		for (uint32_t k = enumerators(t); k-- > 0;)
			add_name(b, enumerator_name(b, t, k), id, k);
		add_name(b, gf_btf_str(b, t->name_off), id, GF_BTF_WHOLE);
	}
	return 0;
}

int gf_btf_create(const void *data, size_t size, struct gf_btf **ret, struct gf_err *err)
{
	struct btf_header h;
	int r = check_header(data, size, &h, err);

	if (r)
		return r;
	struct gf_btf *b = calloc(1, sizeof *b);
	if (!b)
		return gf_err_set(err, ENOMEM, "no memory for BTF");
	r = take_copy(b, data, &h, err);
	if (!r)
		r = check_types(b, err);
	if (!r)
		r = index_names(b, err);
	if (r) {
		gf_btf_free(b);
		return r;
	}
	*ret = b;
	return 0;
}

void gf_btf_free(struct gf_btf *b)
{
	if (!b)
		return;
	free(b->types);
	free(b->strs);
	free(b->at);
	free(b->bare);
	free(b->size);
	free(b->name);
	free(b->bucket);
	free(b);
}

uint32_t gf_btf_types(const struct gf_btf *b)
{
	return b->n;
}

uint32_t gf_btf_size(const struct gf_btf *b, uint32_t type)
{
	return type <= b->n ? b->size[type] : 0;
}

/* The next of this name behind `from` (0: from the bucket's start), as index + 1; 0: no more. */
static uint32_t next_named(const struct gf_btf *b, const char *name, size_t len, uint32_t hash, uint32_t from)
{
	uint32_t i = from ? b->name[from - 1].next : b->bucket[hash & b->mask];

	for (; i; i = b->name[i - 1].next) {
		const struct gf_btf_name *x = &b->name[i - 1];
		if (x->hash != hash)
			continue;
		const struct btf_type *t = gf_btf_at(b, x->id);
		const char *s = x->k == GF_BTF_WHOLE ? gf_btf_str(b, t->name_off) : enumerator_name(b, t, x->k);
		if (!strncmp(s, name, len) && !s[len])
			return i;
	}
	return 0;
}

/* How well a kind answers to a type's name: a tag before a typedef before anything else; 0: not at all. */
static int rank_of(uint32_t kind)
{
	switch (kind) {
	case BTF_KIND_STRUCT:
	case BTF_KIND_UNION: return 3;
	case BTF_KIND_TYPEDEF: return 2;
	case BTF_KIND_ENUM:
	case BTF_KIND_ENUM64:
	case BTF_KIND_INT:
	case BTF_KIND_FLOAT: return 1;
	default: return 0;
	}
}

uint32_t gf_btf_type(const struct gf_btf *b, const char *name)
{
	size_t len = strlen(name);
	uint32_t hash = hash_of(name, len), ret = 0;
	int best = 0;

	for (uint32_t i = next_named(b, name, len, hash, 0); i; i = next_named(b, name, len, hash, i)) {
		const struct gf_btf_name *x = &b->name[i - 1];
		int rank = x->k == GF_BTF_WHOLE ? rank_of(gf_btf_kind(gf_btf_at(b, x->id))) : 0;
		if (rank > best) {
			best = rank;
			ret = x->id;
		}
	}
	return ret;
}

uint32_t gf_btf_var(const struct gf_btf *b, const char *name)
{
	size_t len = strlen(name);
	uint32_t hash = hash_of(name, len);

	for (uint32_t i = next_named(b, name, len, hash, 0); i; i = next_named(b, name, len, hash, i)) {
		const struct btf_type *t = gf_btf_at(b, b->name[i - 1].id);
		if (b->name[i - 1].k == GF_BTF_WHOLE && gf_btf_kind(t) == BTF_KIND_VAR)
			return t->type;
	}
	return 0;
}

int gf_btf_enum_n(const struct gf_btf *b, const char *name, size_t len, int64_t *ret)
{
	uint32_t hash = hash_of(name, len);

	for (uint32_t i = next_named(b, name, len, hash, 0); i; i = next_named(b, name, len, hash, i)) {
		const struct gf_btf_name *x = &b->name[i - 1];
		const struct btf_type *t = gf_btf_at(b, x->id);
		const struct btf_enum *e = gf_btf_more(t);
		const struct btf_enum64 *e64 = gf_btf_more(t);

		if (x->k == GF_BTF_WHOLE)
			continue;
		if (gf_btf_kind(t) == BTF_KIND_ENUM64)
			*ret = (int64_t)((uint64_t)e64[x->k].val_hi32 << 32 | e64[x->k].val_lo32);
		else
			*ret = BTF_INFO_KFLAG(t->info) ? e[x->k].val : (int64_t)(uint32_t)e[x->k].val;
		return 0;
	}
	return -ENOENT;
}

int gf_btf_enum(const struct gf_btf *b, const char *name, int64_t *ret)
{
	return gf_btf_enum_n(b, name, strlen(name), ret);
}
