// SPDX-License-Identifier: MIT
/*
 * Where pseudo-signals find what they read and store: members by BTF, addresses by
 * kallsyms. What is missing, or of another size than expected, turns off the parts that need it, and says so.
 */
#include <string.h>

#include "targets/kallsyms.h"
#include "targets/pseudo_int.h"

static const struct {
	const char *type, *path;
	uint32_t size;
	unsigned parts;
} members[M_COUNT] = {
#define X(id, type, path, size, parts) { type, path, size, parts },
	PSEUDO_MEMBERS(X)
#undef X
};

static const struct {
	const char *name;
	unsigned parts;
} symbols[S_COUNT] = {
#define X(id, name, parts) { name, parts },
	PSEUDO_SYMBOLS(X)
#undef X
};

/* "a|b": a, or where there is none b. */
static bool next_name(const char **at, char *buf, size_t size)
{
	size_t n = strcspn(*at, "|");

	if (!**at || n >= size)
		return false;
	memcpy(buf, *at, n);
	buf[n] = 0;
	*at += n + ((*at)[n] == '|');
	return true;
}

static bool find_member(const struct gf_btf *b, int i, struct gf_btf_member *ret, char *name, size_t size)
{
	const char *at = members[i].path;

	while (next_name(&at, name, size))
		if (!gf_btf_member(b, members[i].type, name, ret))
			return true;
	return false;
}

static void find_members(struct gf_pseudo *p)
{
	char name[64];

	for (int i = 0; i < M_COUNT; i++) {
		struct gf_btf_member m;
		if (!find_member(p->k->btf, i, &m, name, sizeof name)) {
			pseudo_turn_off(p, members[i].parts, "struct %s has no member %s", members[i].type, name);
			continue;
		}
		if (m.bits || (members[i].size && m.size != members[i].size)) {
			pseudo_turn_off(p, members[i].parts, "%s.%s has %u bytes here, not %u", members[i].type, name, m.size, members[i].size);
			continue;
		}
		p->m[i] = m.off;
		p->msize[i] = (uint8_t)(m.size <= 8 ? m.size : 255);
	}
}

static void odd(struct gf_pseudo *p, int i, const char *what)
{
	pseudo_turn_off(p, members[i].parts, "%s.%s is not %s", members[i].type, members[i].path, what);
}

/* Members whose kind matters and not only their size. */
static void check_kinds(struct gf_pseudo *p)
{
	const struct gf_btf *b = p->k->btf;
	struct gf_btf_member m;

	if (p->msize[M_TASK_STATE] != 4 && p->msize[M_TASK_STATE] != 8)
		odd(p, M_TASK_STATE, "a number");
	if (!gf_btf_member(b, "sighand_struct", "action", &m) && m.elem && m.size / m.elem == 64)
		p->action_size = m.elem;
	else
		odd(p, M_HAND_ACTION, "an array of 64");
	if (!gf_btf_member(b, "xa_node", "slots", &m) && m.elem == 8 && m.size / 8 <= 256)
		p->slots = m.size / 8;
	else
		odd(p, M_XN_SLOTS, "an array of pointers");
	if (p->slots & (p->slots - 1))
		odd(p, M_XN_SLOTS, "as long as a power of two");
	if (!gf_btf_member(b, "e820_table", "entries", &m) && m.elem == 20)
		p->e820_size = m.elem;
	else
		odd(p, M_E820_ENTRY, "an array of 20 bytes each");
	/* Since 6.13 the queue's entry lies inside the timer, which is counted and sent in another way: not tried. */
	if (!gf_btf_member(b, "k_itimer", "sigq", &m) && !m.is_pointer)
		odd(p, M_KIT_SIGQ, "a pointer (since Linux 6.13): that sender is not known here");
	if (!gf_btf_member(b, "signal_struct", "rlim", &m) && m.elem != 16)
		odd(p, M_SIG_RLIM, "an array of two words each");
	if (!gf_btf_member(b, "task_struct", "usage", &m) && m.size == 4 && !gf_btf_type(b, "process_timer"))
		odd(p, M_PT_TASK, "known");
	p->page_size = gf_btf_size(b, gf_btf_type(b, "page"));
	if (!p->page_size)
		odd(p, M_PAGE_FLAGS, "known");
	/* The kernel takes the forged timer's lock, which is all zero: unlocked, without debugging. */
	if (gf_btf_size(b, gf_btf_type(b, "spinlock_t")) != 4)
		pseudo_turn_off(p, PART_SEND, "its spin locks have %u bytes, not 4: PREEMPT_RT or lock debugging",
				gf_btf_size(b, gf_btf_type(b, "spinlock_t")));
}

static void find_enums(struct gf_pseudo *p)
{
	static const char *const id[] = { "memory_cgrp_id", "pids_cgrp_id", "cpu_cgrp_id" };
	static const unsigned part[] = { PART_MEMORY, PART_PIDS, PART_CPU };
	struct gf_btf_member m;
	int64_t v;

	if (gf_btf_enum(p->k->btf, "PIDTYPE_TGID", &v) || v != 1)
		pseudo_turn_off(p, PART_TASK, "PIDTYPE_TGID is not 1 here");
	if (gf_btf_enum(p->k->btf, "PG_reserved", &v) || v < 0 || v > 63)
		pseudo_turn_off(p, PART_SEND | PART_WAKE, "which page flag is PG_reserved is not known");
	else
		p->pg_reserved = (uint8_t)v;
	if (gf_btf_member(p->k->btf, "css_set", "subsys", &m) || m.elem != 8)
		pseudo_turn_off(p, PART_CGROUP, "css_set.subsys is not an array of pointers");
	for (int i = 0; i < CGRP_KINDS; i++) {
		if (gf_btf_enum(p->k->btf, id[i], &v) || v < 0 || v >= (int64_t)(m.size / 8))
			pseudo_turn_off(p, part[i], "this kernel has no %.*s controller", (int)strcspn(id[i], "_"), id[i]);
		else
			p->cgrp_id[i] = (uint32_t)v;
	}
}

/* How many symbols bear the name, and the first's address; two at most are looked for. Also whether there is one that
 * begins with it. */
static unsigned count_symbol(const struct gf_pseudo *p, const char *name, uint64_t *ret_va)
{
	uint64_t va, other;
	unsigned n = 0;
	char type;

	if (gf_kallsyms_find(p->k->syms, name, &va))
		return 0;
	*ret_va = va;
	for (size_t i = 0, all = gf_kallsyms_count(p->k->syms); i < all && n < 2; i++) {
		const char *s = gf_kallsyms_name(p->k->syms, i, &other, &type);
		n += s && !strcmp(s, name);
	}
	return n;
}

static void find_symbols(struct gf_pseudo *p)
{
	char name[64];

	for (int i = 0; i < S_COUNT; i++) {
		const char *at = symbols[i].name;
		unsigned n = 0;
		while (!n && next_name(&at, name, sizeof name))
			n = count_symbol(p, name, &p->s[i]);
		if (n == 1)
			continue;
		p->s[i] = 0;
		pseudo_turn_off(p, symbols[i].parts, n ? "there is more than one symbol %s" : "there is no symbol %s", name);
	}
}

static void refuse_kinds(struct gf_pseudo *p)
{
	uint64_t va;

	if (!gf_kallsyms_find(p->k->syms, "rt_spin_lock", &va) || strstr(p->k->banner, "PREEMPT_RT"))
		pseudo_turn_off(p, PART_SEND | PART_WAKE, "the kernel is PREEMPT_RT, where the lazy list belongs to a thread");
	if (!gf_kallsyms_find(p->k->syms, "__cfi_posix_timer_fn", &va) || !gf_kallsyms_find(p->k->syms, "__cfi_process_timeout", &va))
		pseudo_turn_off(p, PART_SEND | PART_WAKE, "the kernel checks what it calls through pointers (kCFI)");
}

void pseudo_layout(struct gf_pseudo *p)
{
	find_members(p);
	check_kinds(p);
	find_enums(p);
	find_symbols(p);
	refuse_kinds(p);
}
