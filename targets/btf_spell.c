/* SPDX-License-Identifier: MIT
 *
 * Types as C spells them.
 */
#include "targets/btf_int.h"

#include <stdio.h>
#include <string.h>

#define DECL_MAX 256u
#define DEEP     3u /* functions in parameters of functions */

static void prepend(char decl[DECL_MAX], const char *s)
{
	size_t n = strlen(s), len = strlen(decl);

	if (n + len >= DECL_MAX)
		return;
	memmove(decl + n, decl, len + 1);
	memcpy(decl, s, n);
}

static void append(char *decl, size_t n, const char *s)
{
	size_t len = strlen(decl);

	snprintf(decl + len, n - len, "%s", s);
}

static const char *qualifier(uint32_t kind)
{
	switch (kind) {
	case BTF_KIND_CONST: return "const ";
	case BTF_KIND_VOLATILE: return "volatile ";
	case BTF_KIND_RESTRICT: return "restrict ";
	default: return "";
	}
}

static const char *tag_word(const struct btf_type *t)
{
	switch (gf_btf_kind(t)) {
	case BTF_KIND_STRUCT: return "struct ";
	case BTF_KIND_UNION: return "union ";
	case BTF_KIND_ENUM:
	case BTF_KIND_ENUM64: return "enum ";
	case BTF_KIND_FWD: return BTF_INFO_KFLAG(t->info) ? "union " : "struct ";
	default: return "";
	}
}

/* BTF has the compiler's names of integers; people write shorter ones. */
static const char *usual_name(const char *s)
{
	static const char *const names[][2] = {
		{ "long unsigned int", "unsigned long" },   { "long int", "long" },
		{ "short unsigned int", "unsigned short" }, { "short int", "short" },
		{ "long long unsigned int", "unsigned long long" }, { "long long int", "long long" },
	};

	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (!strcmp(s, names[i][0]))
			return names[i][1];
	return s;
}

static void spell(const struct gf_btf *b, uint32_t id, uint32_t deep, const char *name, char *buf, size_t n);

static void parameters(const struct gf_btf *b, const struct btf_type *t, uint32_t deep, char decl[DECL_MAX])
{
	const struct btf_param *p = gf_btf_more(t);
	uint32_t n = BTF_INFO_VLEN(t->info);
	char one[DECL_MAX];

	append(decl, DECL_MAX, n ? "(" : "(void");
	for (uint32_t i = 0; i < n && strlen(decl) < DECL_MAX - 1; i++) {
		if (i)
			append(decl, DECL_MAX, ", ");
		if (!p[i].type || deep >= DEEP) {
			append(decl, DECL_MAX, "...");
			break;
		}
		spell(b, p[i].type, deep + 1, "", one, sizeof one);
		append(decl, DECL_MAX, one);
	}
	append(decl, DECL_MAX, ")");
}

/* From the outside in: decl is what has been declared so far, read outwards from the name, as in
 * `(*name)[4]`; quals what goes before the type that comes next. */
static void spell(const struct gf_btf *b, uint32_t id, uint32_t deep, const char *name, char *buf, size_t n)
{
	char decl[DECL_MAX], quals[64] = "", more[64];
	const struct btf_type *t = gf_btf_at(b, id);
	bool star = false;

	snprintf(decl, sizeof decl, "%.200s", name);
	for (uint32_t i = 0; i < GF_BTF_CHAIN; i++, t = gf_btf_at(b, id)) {
		uint32_t kind = gf_btf_kind(t);

		if (kind == BTF_KIND_PTR) {
			snprintf(more, sizeof more, "*%s", quals);
			prepend(decl, more);
			quals[0] = 0;
			star = true;
			id = t->type;
		} else if (kind == BTF_KIND_ARRAY || kind == BTF_KIND_FUNC_PROTO) {
			if (star) {
				prepend(decl, "(");
				append(decl, sizeof decl, ")");
			}
			star = false;
			if (kind == BTF_KIND_ARRAY) {
				snprintf(more, sizeof more, "[%u]", gf_btf_array(t)->nelems);
				append(decl, sizeof decl, gf_btf_array(t)->nelems ? more : "[]");
				id = gf_btf_array(t)->type;
			} else {
				parameters(b, t, deep, decl);
				id = t->type;
			}
		} else if (kind == BTF_KIND_TYPE_TAG) {
			if (!BTF_INFO_KFLAG(t->info) && strlen(quals) < 30) {
				snprintf(more, sizeof more, "__%.20s ", gf_btf_str(b, t->name_off));
				append(quals, sizeof quals, more);
			}
			id = t->type;
		} else if (gf_btf_is_modifier(kind) && kind != BTF_KIND_TYPEDEF) {
			append(quals, sizeof quals, qualifier(kind));
			id = t->type;
		} else {
			break;
		}
	}
	const char *base = usual_name(gf_btf_str(b, t->name_off));
	if (!*base)
		base = !gf_btf_kind(t) ? "void" : *tag_word(t) ? "{...}" : "?";
	/* "int *", "char[16]", "int x" */
	snprintf(buf, n, "%s%s%s%s%s", quals, tag_word(t), base, *decl && *decl != '[' ? " " : "", decl);
}

const char *gf_btf_spell(const struct gf_btf *b, uint32_t type, const char *name, char *buf, size_t n)
{
	spell(b, type, 0, name, buf, n);
	return buf;
}
