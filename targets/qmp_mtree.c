// SPDX-License-Identifier: MIT
/*
 * `info mtree -f`: memory_region_print in softmmu/memory.c of QEMU. It is text for people, but the only
 * place where QEMU says which part of a backend is where in the guest. Lines of a view:
 *   0000000000100000-000000007fffffff (prio 0, ram): pc.ram @0000000000100000
 * with a suffix " KVM" where the accelerator has the range.
 */
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "targets/qmp.h"

#define PAGE 4096u
#define GPA_MAX (1ull << 52)
#define FIRST_MIB (1u << 20)

static size_t line_len(const char *s)
{
	return strcspn(s, "\n");
}

static const char *next_line(const char *s)
{
	s += line_len(s);
	return *s ? s + 1 : s;
}

/* The line after ` AS "memory", root: ...`, or NULL. */
static const char *find_view(const char *s)
{
	static const char as[] = "AS \"memory\",";

	for (; *s; s = next_line(s)) {
		const char *p = s + strspn(s, " ");

		if (!strncmp(p, as, sizeof as - 1))
			return next_line(s);
	}
	return NULL;
}

static bool hex(const char **s, uint64_t *ret)
{
	char *end;

	if (!isxdigit((unsigned char)**s))
		return false;
	errno = 0;
	*ret = strtoull(*s, &end, 16);
	if (errno || end - *s > 16)
		return false;
	*s = end;
	return true;
}

/* One line of a view. false: no range of memory, or none of the backend. */
static bool parse_line(const char *s, const char *name, uint64_t *ret_from, uint64_t *ret_to, uint64_t *ret_off)
{
	const char *end = s + line_len(s);
	size_t len = strlen(name);

	s += strspn(s, " ");
	if (!hex(&s, ret_from) || *s++ != '-' || !hex(&s, ret_to) || strncmp(s, " (prio ", 7))
		return false;
	s = memchr(s, ')', (size_t)(end - s));
	if (!s || strncmp(s, "): ", 3))
		return false;
	/* "ram", "rom" (RAM that is write-protected just now), both perhaps with "nv-": not "romd", "ramd", "i/o" */
	if (s[-1] != 'm' || s[-3] != 'r' || (s[-2] != 'a' && s[-2] != 'o'))
		return false;
	s += 3;
	/* Old machine types name the backend by its whole path. */
	if (!strncmp(s, "/objects/", 9))
		s += 9;
	if (strncmp(s, name, len) || (s[len] && s[len] != '\n' && s[len] != ' ' && s[len] != '\r'))
		return false;
	s += len;
	*ret_off = 0;
	if (strncmp(s, " @", 2))
		return true;
	s += 2;
	return hex(&s, ret_off);
}

/* Pieces that are one in the backend become one, also over what the machine shows in RAM's place below 1 MiB. */
static bool joins(const struct gf_ram_piece *last, const struct gf_ram_piece *p)
{
	uint64_t end = last->gpa + last->size;

	return p->gpa - last->gpa == p->off - last->off && (p->gpa == end || (p->gpa <= FIRST_MIB && p->gpa > end));
}

int gf_mtree_parse(const char *text, const char *name, struct gf_ram_piece *piece, size_t max, size_t *ret_n,
		   struct gf_err *err)
{
	const char *s = find_view(text);
	uint64_t from, to, off;
	size_t n = 0;

	if (!s)
		return gf_err_set(err, EPROTO, "QEMU's memory map has no view of \"memory\": this QEMU is not of a kind that gpufas knows");
	/* A view ends with an empty line; " AS" and " Root memory region" lines stand before the ranges. */
	for (; *s && *s != '\n' && *s != '\r'; s = next_line(s)) {
		struct gf_ram_piece p;

		if (!parse_line(s, name, &from, &to, &off))
			continue;
		if (to < from || to >= GPA_MAX || off >= GPA_MAX || (from | (to + 1) | off) % PAGE)
			return gf_err_set(err, EPROTO, "QEMU's memory map has a piece of %s that cannot be: 0x%" PRIx64 "-0x%" PRIx64, name, from, to);
		p = (struct gf_ram_piece){ from, to - from + 1, off };
		if (n && p.gpa < piece[n - 1].gpa + piece[n - 1].size)
			return gf_err_set(err, EPROTO, "QEMU's memory map has two pieces of %s at 0x%" PRIx64, name, from);
		if (n && joins(&piece[n - 1], &p)) {
			piece[n - 1].size = p.gpa + p.size - piece[n - 1].gpa;
			continue;
		}
		if (n == max)
			return gf_err_set(err, E2BIG, "QEMU's memory map has more than %zu pieces of %s", max, name);
		piece[n++] = p;
	}
	if (!n)
		return gf_err_set(err, ENODATA, "QEMU's memory map has no piece of %s", name);
	*ret_n = n;
	return 0;
}
