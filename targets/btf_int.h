/* SPDX-License-Identifier: MIT
 *
 * Inside the BTF reader: types as they lie in the copy, and the cursor that paths are walked with. Everything here
 * may rely on what gf_btf_create() checked: ids in range, names inside the strings, chains that end.
 */
#ifndef GPUFAS_BTF_INT_H
#define GPUFAS_BTF_INT_H

#include <linux/btf.h>
#include <stdbool.h>
#include <string.h>

#include "targets/btf.h"

#define GF_BTF_NAME_MAX 511u     /* longer names are cut: KSYM_NAME_LEN of 6.1 and later, less the NUL */
#define GF_BTF_CHAIN    64u      /* modifiers, typedefs and arrays in a row */
#define GF_BTF_NESTED   16u      /* anonymous structs and unions inside each other */
#define GF_BTF_VISITS   (1u << 20) /* members looked at in one look-up */

/* A name: of a type (k is GF_BTF_WHOLE), or of its k-th enumerator. */
#define GF_BTF_WHOLE UINT32_MAX
struct gf_btf_name {
	uint32_t hash, next; /* next: index + 1 of the one behind in the bucket, 0: none */
	uint32_t id, k;
};

struct gf_btf {
	uint8_t *types;
	char *strs; /* printable: what was not is '?'; none longer than GF_BTF_NAME_MAX */
	uint32_t type_len, str_len;
	uint32_t n;          /* ids are 1 to n */
	uint32_t *at;        /* by id: offset in types */
	uint32_t *bare;      /* by id: id with modifiers and typedefs removed */
	uint32_t *size;      /* by id: bytes, 0: none */
	struct gf_btf_name *name;
	uint32_t names;
	uint32_t *bucket;    /* index + 1 */
	uint32_t mask;
};

static inline const struct btf_type *gf_btf_at(const struct gf_btf *b, uint32_t id)
{
	static const struct btf_type nothing;

	return id && id <= b->n ? (const struct btf_type *)(const void *)(b->types + b->at[id]) : &nothing;
}

static inline uint32_t gf_btf_kind(const struct btf_type *t)
{
	return BTF_INFO_KIND(t->info);
}

/* What follows a type: members, enumerators, an array's description. */
static inline const void *gf_btf_more(const struct btf_type *t)
{
	return t + 1;
}

static inline const char *gf_btf_str(const struct gf_btf *b, uint32_t off)
{
	return b->strs + off;
}

static inline bool gf_btf_is_struct(const struct btf_type *t)
{
	return gf_btf_kind(t) == BTF_KIND_STRUCT || gf_btf_kind(t) == BTF_KIND_UNION;
}

static inline bool gf_btf_is_modifier(uint32_t kind)
{
	return kind == BTF_KIND_TYPEDEF || kind == BTF_KIND_VOLATILE || kind == BTF_KIND_CONST ||
	       kind == BTF_KIND_RESTRICT || kind == BTF_KIND_TYPE_TAG;
}

static inline const struct btf_array *gf_btf_array(const struct btf_type *t)
{
	return gf_btf_more(t);
}

/* Place and width of member m of struct t, in bits from its start; width 0: not a bit field. */
static inline void gf_btf_bits(const struct gf_btf *b, const struct btf_type *t, const struct btf_member *m,
			       uint64_t *ret_off, uint32_t *ret_bits)
{
	const struct btf_type *mt = gf_btf_at(b, b->bare[m->type]);
	uint32_t v;

	*ret_bits = 0;
	if (BTF_INFO_KFLAG(t->info)) {
		*ret_off = BTF_MEMBER_BIT_OFFSET(m->offset);
		*ret_bits = BTF_MEMBER_BITFIELD_SIZE(m->offset);
		return;
	}
	*ret_off = m->offset;
	if (gf_btf_kind(mt) != BTF_KIND_INT)
		return;
	/* The old way: an int of fewer bits than its size holds. */
	memcpy(&v, gf_btf_more(mt), sizeof v);
	if (BTF_INT_BITS(v) && BTF_INT_BITS(v) < mt->size * 8u && !(BTF_INT_ENCODING(v) & BTF_INT_BOOL)) {
		*ret_off += BTF_INT_OFFSET(v);
		*ret_bits = BTF_INT_BITS(v);
	}
}

/* One member of a struct, members of anonymous ones in it included: name, type as declared, place. */
struct gf_btf_found {
	const char *name;
	uint32_t type;
	uint32_t bits;
	uint64_t bit_off; /* from the start of the struct that was searched */
};
/* Return true to stop. */
typedef bool (*gf_btf_visit)(void *arg, const struct gf_btf_found *f);
/* Calls fn for every named member of struct or union id, in the order of their declaration. True when fn stopped it.
 * visits (NULL: none) counts members looked at over several calls, which end at GF_BTF_VISITS. */
bool gf_btf_members(const struct gf_btf *b, uint32_t id, gf_btf_visit fn, void *arg, uint32_t *visits);

/* Where a path has led. */
struct gf_btf_walk {
	const struct gf_btf *b;
	const char *path;
	size_t at, end; /* the piece of the path looked at last: [at, end) */
	uint32_t type;  /* as declared: with typedefs and modifiers */
	uint32_t in;    /* struct that the piece looked at last is, or should be, a member of; 0: it is no member */
	uint32_t start; /* type that bit_off counts from */
	uint32_t bits;  /* width of a bit field, else 0 */
	const char *space; /* gf_btf_space() of a pointer */
	uint64_t bit_off; /* from the last pointer, or the start */
	uint32_t hop[GF_KPATH_HOPS];
	uint32_t hops;
};

/* Goes from w->type, with the members, indices and (pointers) arrows that stand in w->path from w->end on. The first
 * piece is a member's bare name when `bare`. -ENOENT: no such member; -EINVAL: anything else; with a sentence. */
int gf_btf_walk(struct gf_btf_walk *w, bool bare, bool pointers, struct gf_err *err);
/* What w stands at. -EINVAL where that reaches out of the struct that it is counted from. */
int gf_btf_walk_member(const struct gf_btf_walk *w, struct gf_btf_member *ret);
/* What its type says of it: size, elem, signs, what may follow. */
void gf_btf_describe(const struct gf_btf_walk *w, struct gf_btf_member *ret);

/* Value of an enumerator of a name that need not end in NUL. */
int gf_btf_enum_n(const struct gf_btf *b, const char *name, size_t len, int64_t *ret);
/* The type as C spells it ("struct mm_struct *"), cut to n. name: what is declared, or "". Returns buf. */
const char *gf_btf_spell(const struct gf_btf *b, uint32_t type, const char *name, char *buf, size_t n);
/* Memory that a pointer's target lies in when that is not simply the kernel's: "percpu", "user", "iomem"; else NULL. in,
 * name: the struct and the member that the pointer is, in 0 where it is none. */
const char *gf_btf_space(const struct gf_btf *b, uint32_t type, uint32_t in, const char *name, size_t len);

/* Sentences (btf_say.c). The word at [w->at, w->end) is no member of w->in: -ENOENT. */
int gf_btf_say_no_member(const struct gf_btf_walk *w, struct gf_err *err);
/* What stands at the first upto bytes of the path is no number, or nothing a member could follow: -EINVAL. */
int gf_btf_say_not_number(const struct gf_btf_walk *w, size_t upto, struct gf_err *err);

#endif
