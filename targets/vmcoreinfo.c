// SPDX-License-Identifier: MIT
#include "targets/vmcoreinfo.h"

#include <errno.h>
#include <string.h>

#define PAGE 4096u
#define HEAD 24u /* namesz, descsz, type, "VMCOREINFO\0" and its padding */

/* A whole number; false when anything else is there. */
static bool number(const char *s, size_t len, unsigned base, uint64_t *ret)
{
	uint64_t v = 0;
	size_t i = 0;
	bool neg = len && s[0] == '-';

	if (neg)
		i++;
	else if (len > 2 && s[0] == '0' && s[1] == 'x') {
		base = 16;
		i = 2;
	}
	if (i == len || len - i > 20)
		return false;
	for (; i < len; i++) {
		unsigned c = (unsigned char)s[i], d;

		d = c - '0' < 10 ? c - '0' : c - 'a' < 6 ? c - 'a' + 10 : c - 'A' < 6 ? c - 'A' + 10 : 99;
		if (d >= base)
			return false;
		v = v * base + d;
	}
	*ret = neg ? 0 - v : v;
	return true;
}

static void release(struct gf_vmcoreinfo *v, const char *s, size_t len)
{
	size_t n = GF_MIN(len, sizeof v->release - 1);

	for (size_t i = 0; i < n; i++)
		v->release[i] = s[i] > ' ' && s[i] < 0x7f ? s[i] : '?';
	v->release[n] = 0;
}

static void line(struct gf_vmcoreinfo *v, const char *key, size_t klen, const char *s, size_t len)
{
	const struct {
		const char *key;
		unsigned base;
		uint64_t *to;
	} keys[] = {
		{ "SYMBOL(swapper_pg_dir)", 16, &v->swapper_pg_dir }, { "SYMBOL(init_top_pgt)", 16, &v->swapper_pg_dir },
		{ "SYMBOL(_stext)", 16, &v->stext }, { "SYMBOL(kallsyms_names)", 16, &v->names },
		{ "SYMBOL(kallsyms_num_syms)", 16, &v->num_syms }, { "SYMBOL(kallsyms_token_table)", 16, &v->token_table },
		{ "SYMBOL(kallsyms_token_index)", 16, &v->token_index }, { "SYMBOL(kallsyms_offsets)", 16, &v->offsets },
		{ "SYMBOL(kallsyms_relative_base)", 16, &v->relative_base }, { "NUMBER(phys_base)", 10, &v->phys_base },
		{ "KERNELOFFSET", 16, &v->kaslr }, { "NUMBER(sme_mask)", 10, &v->sme_mask },
	};
	uint64_t n;

	if (klen == 9 && !memcmp(key, "OSRELEASE", 9)) {
		release(v, s, len);
		return;
	}
	if (klen == 26 && !memcmp(key, "NUMBER(pgtable_l5_enabled)", 26)) {
		if (number(s, len, 10, &n))
			v->levels = n == 1 ? 5 : 4;
		return;
	}
	for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
		if (strlen(keys[i].key) == klen && !memcmp(key, keys[i].key, klen) && number(s, len, keys[i].base, &n))
			*keys[i].to = n;
}

int gf_vmcoreinfo_parse(const char *text, size_t len, struct gf_vmcoreinfo *ret)
{
	struct gf_vmcoreinfo v = { .gpa = UINT64_MAX, .kaslr = UINT64_MAX, .levels = 4 };

	len = strnlen(text, GF_MIN(len, GF_VMCOREINFO_MAX));
	while (len) {
		const char *nl = memchr(text, '\n', len);
		size_t n = nl ? (size_t)(nl - text) : len;
		const char *eq = memchr(text, '=', n);

		if (eq && nl) /* a line that is cut off may be a number that is cut off */
			line(&v, text, (size_t)(eq - text), eq + 1, n - (size_t)(eq + 1 - text));
		n += nl != NULL;
		text += n;
		len -= n;
	}
	if (!v.release[0] || !v.swapper_pg_dir)
		return -EBADMSG;
	v.foreign = v.swapper_pg_dir < GF_KERNEL_MAP || v.swapper_pg_dir % PAGE;
	*ret = v;
	return 0;
}

static bool is_note(const uint8_t *p, uint32_t *ret_len)
{
	static const char name[12] = "VMCOREINFO";
	uint8_t head[HEAD];
	uint32_t w[3];

	if (gf_load(p, 4) != 11)
		return false;
	for (size_t i = 0; i < HEAD; i++)
		head[i] = (uint8_t)gf_load(p + i, 1);
	memcpy(w, head, sizeof w);
	*ret_len = w[1];
	return w[0] == 11 && w[2] == 0 && !memcmp(head + 12, name, 11) && w[1] && w[1] <= GF_VMCOREINFO_MAX;
}

static bool take(const struct gf_ram *ram, uint64_t gpa, uint32_t len, struct gf_vmcoreinfo *ret)
{
	struct gf_gpa at = { gpa + HEAD };
	const uint8_t *p = gf_ram_at(ram, at, len);
	char text[GF_VMCOREINFO_MAX];

	if (!p)
		return false;
	for (uint32_t i = 0; i < len; i++)
		text[i] = (char)gf_load(p + i, 1);
	if (gf_vmcoreinfo_parse(text, len, ret))
		return false;
	ret->gpa = gpa;
	return true;
}

/* On to the next page that holds data. */
static bool advance(const struct gf_ramfile *f, struct gf_vmcoreinfo_pos *pos, uint64_t end)
{
	struct gf_ram_piece d;

	if (pos->gpa < pos->data_end)
		return pos->gpa < end;
	if (pos->gpa >= end || !gf_ramfile_next(f, pos->gpa, &d))
		return false;
	/* In a core a page need not lie on a block of the file: the whole page counts as data then. */
	pos->gpa = GF_MAX(pos->gpa, d.gpa & ~(uint64_t)(PAGE - 1));
	pos->data_end = (d.gpa + d.size + PAGE - 1) & ~(uint64_t)(PAGE - 1);
	return pos->gpa < end;
}

int gf_vmcoreinfo_next(const struct gf_ramfile *f, struct gf_vmcoreinfo_pos *pos, uint64_t end, struct gf_vmcoreinfo *ret)
{
	const struct gf_ram *ram = gf_ramfile_ram(f);

	while (advance(f, pos, end)) {
		struct gf_gpa at = { pos->gpa };
		const uint8_t *p = gf_ram_at(ram, at, PAGE);
		uint32_t len;

		pos->gpa += PAGE;
		if (p && is_note(p, &len) && take(ram, at.v, len, ret))
			return 0;
	}
	return -ENOENT;
}
