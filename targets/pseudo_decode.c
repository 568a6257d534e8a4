// SPDX-License-Identifier: MIT
/*
 * What no BTF tells is read out of the kernel's own code: the number of TIF_SIGPENDING,
 * which is a macro. Several functions set or clear that flag; where two that can be read do not agree,
 * nothing is stored. The same code is asked whether the layout that BTF gave is the one it was compiled for.
 *
 * Not a disassembler: a few encodings that gcc and clang emit for these statements, looked for in the
 * function's first bytes. What is in no such encoding is not found, and then the road is off.
 */
#include <string.h>

#include "targets/kallsyms.h"
#include "targets/pseudo_int.h"

#define CODE 192u     /* bytes of a function looked at */
#define RESCHED_CODE 1024u
#define TRAP_FREEZE (1u << 23) /* JOBCTL_TRAP_FREEZE since 5.2 */

static int single_bit(uint8_t mask)
{
	return mask && !(mask & (mask - 1)) ? __builtin_ctz(mask) : -1;
}

/* f0 80 /op imm8 with a register as address, or one and a displacement: which bit of which byte of thread_info.flags.
 * SIB forms (rsp, r12) and RIP-relative ones are none of a task's. */
static int lock_byte(const uint8_t *c, size_t n, unsigned op, bool invert)
{
	uint8_t modrm, mod, rm;
	uint32_t disp = 0;
	size_t at = 2;

	/* A kernel that runs on one CPU has patched its lock prefixes into ones that say nothing. */
	if (n < 4 || (c[0] != 0xf0 && c[0] != 0x3e))
		return -1;
	if (c[1] == 0x41) /* REX.B: r8 to r15 */
		c++, n--;
	if (n < 4 || c[1] != 0x80)
		return -1;
	modrm = c[at++];
	mod = modrm >> 6;
	rm = modrm & 7;
	if ((modrm >> 3 & 7) != op || rm == 4 || mod > 1 || (mod == 0 && rm == 5))
		return -1;
	if (mod == 1)
		disp = c[at++];
	if (at >= n || disp > 3)
		return -1;
	int bit = single_bit(invert ? (uint8_t)~c[at] : c[at]);
	return bit < 0 ? -1 : bit + (int)disp * 8;
}

static int find_lock(const uint8_t *code, size_t n, unsigned op, bool invert)
{
	int found = -1;

	for (size_t i = 0; i + 4 <= n; i++) {
		int bit = lock_byte(code + i, n - i, op, invert);
		if (bit < 0)
			continue;
		if (found >= 0 && found != bit)
			return -1; /* two different ones: which is meant cannot be told */
		found = bit;
	}
	return found;
}

int pseudo_decode_or(const uint8_t *code, size_t n)
{
	return find_lock(code, n, 1, false);
}

int pseudo_decode_and(const uint8_t *code, size_t n)
{
	return find_lock(code, n, 4, true);
}

/* 48 f7 /0 disp32 imm32 */
bool pseudo_decode_test(const uint8_t *code, size_t n, uint32_t *ret_off, uint32_t *ret_mask)
{
	for (size_t i = 0; i + 11 <= n; i++) {
		const uint8_t *c = code + i;
		if ((c[0] & 0xfe) != 0x48 || c[1] != 0xf7 || c[2] >> 6 != 2 || (c[2] >> 3 & 7) != 0 || (c[2] & 7) == 4)
			continue;
		memcpy(ret_off, c + 3, 4);
		memcpy(ret_mask, c + 7, 4);
		return true;
	}
	return false;
}

static bool rdi_plus(const uint8_t *c, size_t n, uint8_t opcode, int32_t *ret_off)
{
	if (n < 4 || (c[0] & 0xfb) != 0x48 || c[1] != opcode || (c[2] & 7) != 7)
		return false;
	if (c[2] >> 6 == 1) {
		*ret_off = (int8_t)c[3];
		return true;
	}
	if (c[2] >> 6 == 2 && n >= 7) {
		memcpy(ret_off, c + 3, 4);
		return true;
	}
	return false;
}

bool pseudo_decode_lea(const uint8_t *code, size_t n, int32_t *ret_off)
{
	for (size_t i = 0; i < n; i++)
		if (rdi_plus(code + i, n - i, 0x8d, ret_off))
			return true;
	return false;
}

bool pseudo_decode_load(const uint8_t *code, size_t n, int32_t *ret_off)
{
	for (size_t i = 0; i < n; i++)
		if (rdi_plus(code + i, n - i, 0x8b, ret_off) && (code[i + 2] >> 3 & 7) == 7)
			return true;
	return false;
}

/* A function's first bytes, up to so many, but none of the next one's: how many. */
static size_t code_up_to(const struct gf_pseudo *p, uint64_t va, uint8_t *buf, size_t most)
{
	uint64_t size = gf_kallsyms_size(p->k->syms, va);
	size_t n = (size_t)GF_MIN(size ? size : most, (uint64_t)most);

	return gf_kmem_read(&p->k->mem, va, buf, n) ? 0 : n;
}

static size_t code_of(const struct gf_pseudo *p, uint64_t va, uint8_t *buf)
{
	return code_up_to(p, va, buf, CODE);
}

static void decode_tif(struct gf_pseudo *p)
{
	static const struct { const char *name; bool clears; } where[] = {
		{ "signal_wake_up_state", false }, { "calculate_sigpending", false }, { "recalc_sigpending", false },
		{ "recalc_sigpending_tsk", false }, { "recalc_sigpending", true },
	};
	uint8_t code[CODE];
	int bit = -1, agree = 0, cleared = 0;
	size_t used = 0;

	for (size_t i = 0; i < PSEUDO_LEN(where); i++) {
		uint64_t va;
		if (gf_kallsyms_find(p->k->syms, where[i].name, &va))
			continue;
		size_t n = code_of(p, va, code);
		int b = where[i].clears ? pseudo_decode_and(code, n) : pseudo_decode_or(code, n);
		if (b < 0)
			continue;
		if (bit >= 0 && b != bit) {
			pseudo_turn_off(p, PART_STORE | PART_FREEZE, "TIF_SIGPENDING is bit %d in some functions and %d in %s", bit, b, where[i].name);
			return;
		}
		bit = b;
		agree++;
		cleared += where[i].clears;
		used += (size_t)snprintf(p->tif_from + used, sizeof p->tif_from - used, "%s%s%s", used ? ", " : "", where[i].name,
					 where[i].clears ? " (clearing)" : "");
		used = GF_MIN(used, sizeof p->tif_from - 1);
	}
	/* One function alone could be one that sets another flag: two at least, or one that sets and one that clears. */
	if (agree < 2 || bit > 31) {
		pseudo_turn_off(p, PART_STORE | PART_FREEZE, "TIF_SIGPENDING cannot be read out of the kernel's code (%d of 5 places)", agree);
		return;
	}
	p->tif_sigpending = (uint8_t)bit;
}

/* The bit that must never be stored: resched_curr sets it, __schedule clears it, and neither sets or clears another one
 * so. Where it cannot be read out it stays unknown, and who has no atomic operations does not store. */
static void decode_resched(struct gf_pseudo *p)
{
	uint8_t code[RESCHED_CODE];
	uint64_t set, clear;

	p->tif_resched = GF_RESCHED_UNKNOWN;
	if (gf_kallsyms_find(p->k->syms, "resched_curr", &set) || gf_kallsyms_find(p->k->syms, "__schedule", &clear))
		return;
	int s = pseudo_decode_or(code, code_up_to(p, set, code, sizeof code));
	int c = pseudo_decode_and(code, code_up_to(p, clear, code, sizeof code));
	if (s >= 0 && s == c && s != p->tif_sigpending)
		p->tif_resched = (uint8_t)s;
}

/* recalc_sigpending tests jobctl against everything that keeps TIF_SIGPENDING set. */
static void check_jobctl(struct gf_pseudo *p)
{
	static const char *const where[] = { "recalc_sigpending", "recalc_sigpending_tsk" };
	uint8_t code[CODE];
	uint32_t off, mask;
	uint64_t va;

	for (size_t i = 0; i < PSEUDO_LEN(where); i++) {
		if (gf_kallsyms_find(p->k->syms, where[i], &va) || !pseudo_decode_test(code, code_of(p, va, code), &off, &mask))
			continue;
		if (off == p->m[M_TASK_JOBCTL] && mask & TRAP_FREEZE)
			return;
		pseudo_turn_off(p, PART_FREEZE, "%s tests %#x at %u: not JOBCTL_TRAP_FREEZE in jobctl, which BTF has at %u", where[i], mask, off, p->m[M_TASK_JOBCTL]);
		return;
	}
	pseudo_turn_off(p, PART_FREEZE, "whether jobctl has JOBCTL_TRAP_FREEZE cannot be read out of the kernel's code");
}

static void check_sender(struct gf_pseudo *p)
{
	int32_t want = (int32_t)p->m[M_KIT_LOCK] - (int32_t)p->m[M_KIT_TIMER], off;
	uint8_t code[CODE];

	if (p->s[S_SENDER] && pseudo_decode_lea(code, GF_MIN(code_of(p, p->s[S_SENDER], code), (size_t)64), &off) && off == want)
		return;
	pseudo_turn_off(p, PART_SEND, "posix_timer_fn does not begin as one that takes the lock %d bytes before its timer", -want);
}

static void check_waker(struct gf_pseudo *p)
{
	uint8_t code[CODE];
	int32_t off;

	if (p->s[S_WAKER] && pseudo_decode_load(code, GF_MIN(code_of(p, p->s[S_WAKER], code), (size_t)64), &off) && off == (int32_t)p->m[M_PT_TASK])
		return;
	pseudo_turn_off(p, PART_WAKE, "process_timeout does not begin as one that wakes the task %u bytes after its timer", p->m[M_PT_TASK]);
}

void pseudo_decode(struct gf_pseudo *p)
{
	decode_tif(p);
	decode_resched(p);
	check_jobctl(p);
	check_sender(p);
	check_waker(p);
}
