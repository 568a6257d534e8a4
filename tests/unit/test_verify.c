/* SPDX-License-Identifier: MIT
 *
 * The verifier: programs that must and must not pass, each rule of the format
 * broken once in an image that the compiler made, and damage at random.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "compiler/compiler.h"
#include "compiler/emit.h"

#define W(type, h, k) ((type *)(void *)((uint8_t *)(h) + (h)->sec[k].off))

static uint64_t rng, seed;

static uint32_t rnd(uint32_t n)
{
	rng ^= rng << 13;
	rng ^= rng >> 7;
	rng ^= rng << 17;
	return (uint32_t)(rng >> 32) % n;
}

/* ---- programs, in an image written by hand */

static uint32_t add_prog(struct gf_emit *e, const struct gf_insn *in, uint32_t n, uint8_t scope, uint8_t sink, uint32_t target)
{
	uint32_t i, k, at = e->sec[GF_SEC_CODE].n;
	for (k = 0; k < n; k++)
		*(struct gf_insn *)gf_emit_add(e, GF_SEC_CODE, &i) = in[k];
	struct gf_prog *p = gf_emit_add(e, GF_SEC_PROG, &i);
	*p = (struct gf_prog){ at, n, scope, sink, 0, target };
	return i;
}

#define PROG(e, scope, sink, target, ...) \
	add_prog(e, (const struct gf_insn[]){ __VA_ARGS__ }, sizeof((const struct gf_insn[]){ __VA_ARGS__ }) / sizeof(struct gf_insn), scope, sink, target)

#define LDK(d) { GF_OP_LDK, d, 0, 0, 0 }
#define END_P(a) { GF_OP_END, 1, a, 0, 0 }
#define END_V(b) { GF_OP_END, 2, 0, b, 0 }
#define PSET(d) { GF_OP_PSET, d, 0, 0, 2 }

/* agg 0 count, agg 1 host; col 0 value, col 1 pred; hist 0 host, hist 1 task;
 * hold 0 task time, 1 host time, 2 task latch; match 0 comm. The rule's
 * condition is the program given. */
static struct gf_image_header *hand_made(const struct gf_insn *code, uint32_t n, uint8_t scope, size_t *ret_size)
{
	static const uint8_t tables[256 + 2 + 1] = { [258] = 1 };
	struct gf_image_header *h = NULL;
	struct gf_emit e;
	uint32_t i;
	gf_emit_init(&e);
	e.fields = (struct gf_fieldset){ .host = GF_BIT(GF_HF_MEM_FREE), .task = GF_BIT(GF_TF_RSS), .str = GF_BIT(GF_SF_COMM) };
	gf_emit_const(&e, 1);
	((struct gf_agg *)gf_emit_add(&e, GF_SEC_AGG, &i))->kind = GF_AGG_COUNT;
	((struct gf_agg *)gf_emit_add(&e, GF_SEC_AGG, &i))->kind = GF_AGG_HOST;
	((struct gf_col *)gf_emit_add(&e, GF_SEC_COL, &i))->kind = GF_COL_TREE;
	((struct gf_col *)gf_emit_add(&e, GF_SEC_COL, &i))->kind = GF_COL_PRED;
	*(struct gf_hist *)gf_emit_add(&e, GF_SEC_HIST, &i) = (struct gf_hist){ 1, 1000, GF_SCOPE_HOST, GF_STAT_RATE, 4, 0 };
	*(struct gf_hist *)gf_emit_add(&e, GF_SEC_HIST, &i) = (struct gf_hist){ 2, 1000, GF_SCOPE_TASK, GF_STAT_RATE, 4, 0 };
	*(struct gf_hold *)gf_emit_add(&e, GF_SEC_HOLD, &i) = (struct gf_hold){ 1, 1000, GF_SCOPE_TASK, GF_HOLD_TIME, 0, 0 };
	*(struct gf_hold *)gf_emit_add(&e, GF_SEC_HOLD, &i) = (struct gf_hold){ 2, 1000, GF_SCOPE_HOST, GF_HOLD_TIME, 0, 0 };
	*(struct gf_hold *)gf_emit_add(&e, GF_SEC_HOLD, &i) = (struct gf_hold){ 3, 0, GF_SCOPE_TASK, GF_HOLD_LATCH, 0, 0 };
	memcpy(gf_emit_bytes(&e, GF_SEC_DFADATA, sizeof tables, 1, &i), tables, sizeof tables);
	*(struct gf_dfa *)gf_emit_add(&e, GF_SEC_DFA, &i) = (struct gf_dfa){ 0, 256, 258, 1, 1 };
	gf_emit_add(&e, GF_SEC_MATCH, &i);
	PROG(&e, GF_SCOPE_TASK, GF_SINK_AGG, 0, PSET(0), END_P(0));
	PROG(&e, GF_SCOPE_HOST, GF_SINK_AGG, 1, LDK(0), END_V(0));
	PROG(&e, GF_SCOPE_TASK, GF_SINK_COL, 0, LDK(0), END_V(0));
	PROG(&e, GF_SCOPE_TASK, GF_SINK_COL, 1, PSET(0), END_P(0));
	PROG(&e, GF_SCOPE_HOST, GF_SINK_HIST, 0, LDK(0), END_V(0));
	PROG(&e, GF_SCOPE_TASK, GF_SINK_HIST, 1, LDK(0), END_V(0));
	e.tick_progs = 6;
	uint32_t cond = add_prog(&e, code, n, scope, GF_SINK_NONE, 0);
	struct gf_rule *r = gf_emit_add(&e, GF_SEC_RULE, &i);
	*r = (struct gf_rule){ .fp = 1, .gate = GF_NONE, .cond = cond, .close = GF_NONE, .steps = 1, .flags = scope == GF_SCOPE_TASK ? GF_RULE_TASK : 0 };
	struct gf_step *s = gf_emit_add(&e, GF_SEC_STEP, &i);
	*s = (struct gf_step){ .action = GF_ACT_SIGNAL, .arg = 15, .pick = GF_PICK_EACH, .n = 1, .where = GF_NONE, .key = GF_NONE, .value = GF_NONE };
	assert_int_equal(gf_emit_image(&e, &h, ret_size), 0);
	gf_emit_deinit(&e);
	return h;
}

#define T GF_SCOPE_TASK
#define H GF_SCOPE_HOST
#define OP(name, d, a, b, imm) { GF_OP_##name, d, a, b, imm }

/* says NULL: must pass. The code ends at its first all-zero instruction after
 * the first: END with d = 0 is never right but where that is the test. */
static const struct code_case {
	const char *name, *says;
	uint8_t scope;
	uint8_t n;
	struct gf_insn code[10];
} code_cases[] = {
	{ "least", NULL, H, 2, { PSET(0), END_P(0) } },
	{ "every load", NULL, T, 10, { OP(LDF, 0, 0, 0, GF_TF_RSS), OP(LDH, 1, 0, 0, GF_HF_MEM_FREE), OP(LDA, 2, 0, 0, 1), OP(LDC, 3, 0, 0, 0),
		OP(LDX, 4, 0, 0, 0), OP(LDX, 5, 0, 0, 1), OP(CHELD, 6, 0, 0, 1), OP(LDP, 0, 0, 0, 1), OP(MATCH, 1, 0, 0, 0), END_P(1) } },
	{ "hold and latch", NULL, T, 5, { PSET(0), OP(HELD, 0, 0, 0, 0), PSET(1), OP(LATCH, 0, 0, 1, 2), END_P(0) } },
	{ "and with short cut", NULL, T, 5, { PSET(0), OP(JAF, 0, 0, 0, 4), PSET(1), OP(AND, 0, 0, 1, 0), END_P(0) } },
	{ "or with short cut", NULL, T, 5, { PSET(0), OP(JAT, 0, 0, 0, 4), PSET(1), OP(OR, 0, 0, 1, 0), END_P(0) } },
	{ "short cuts within", NULL, T, 8, { PSET(0), OP(JAF, 0, 0, 0, 7), PSET(1), OP(JAT, 0, 1, 0, 6), PSET(2), OP(OR, 1, 1, 2, 0), OP(AND, 0, 0, 1, 0), END_P(0) } },
	{ "two to one place", NULL, T, 8, { PSET(0), OP(JAF, 0, 0, 0, 7), PSET(1), OP(AND, 0, 0, 1, 0), OP(JAF, 0, 0, 0, 7), PSET(1), OP(AND, 0, 0, 1, 0), END_P(0) } },
	{ "jump to the hold", NULL, T, 6, { PSET(0), OP(JAF, 0, 0, 0, 4), PSET(1), OP(AND, 0, 0, 1, 0), OP(HELD, 0, 0, 0, 0), END_P(0) } },
	{ "register 16", "destination", H, 2, { OP(PSET, 16, 0, 0, 2), END_P(0) } },
	{ "read register 16", "no register V16", H, 4, { LDK(0), OP(LT, 0, 16, 0, 0), PSET(0), END_P(0) } },
	{ "V unwritten", "V1 is read before", H, 3, { LDK(0), OP(LT, 0, 0, 1, 0), END_P(0) } },
	{ "P unwritten", "P3 is read before", H, 3, { PSET(0), OP(AND, 0, 0, 3, 0), END_P(0) } },
	{ "result unwritten", "P2 is read before", H, 2, { PSET(0), END_P(2) } },
	{ "no such opcode", "no opcode", H, 2, { { GF_OP_COUNT, 0, 0, 0, 0 }, END_P(0) } },
	{ "unused a", "not zero", H, 2, { OP(PSET, 0, 1, 0, 2), END_P(0) } },
	{ "unused b", "not zero", H, 3, { PSET(0), OP(NOT, 0, 0, 1, 0), END_P(0) } },
	{ "unused imm", "not zero", H, 3, { PSET(0), OP(NOT, 0, 0, 0, 1), END_P(0) } },
	{ "unused d of a jump", "destination", H, 3, { PSET(0), OP(JAF, 1, 0, 0, 2), END_P(0) } },
	{ "unused of end", "not zero", H, 2, { PSET(0), OP(END, 1, 0, 1, 0) } },
	{ "end with nothing", "end with results", H, 2, { PSET(0), OP(END, 0, 0, 0, 0) } },
	{ "end with flag 8", "end with results", H, 2, { PSET(0), OP(END, 9, 0, 0, 0) } },
	{ "end in the middle", "stands before", H, 3, { PSET(0), END_P(0), END_P(0) } },
	{ "no end", "does not end", H, 2, { PSET(0), PSET(0) } },
	{ "truth 3", "no truth value", H, 2, { OP(PSET, 0, 0, 0, 3), END_P(0) } },
	{ "constant", "no constant 1", H, 3, { OP(LDK, 0, 0, 0, 1), PSET(0), END_P(0) } },
	{ "host field not in the set", "not in the field set", H, 3, { OP(LDH, 0, 0, 0, GF_HF_MEM_TOTAL), PSET(0), END_P(0) } },
	{ "host field not there", "no field", H, 3, { OP(LDH, 0, 0, 0, GF_HF_COUNT), PSET(0), END_P(0) } },
	{ "host field far off", "no field", H, 3, { OP(LDH, 0, 0, 0, 0xffffffff), PSET(0), END_P(0) } },
	{ "task field not in the set", "not in the field set", T, 3, { OP(LDF, 0, 0, 0, GF_TF_PID), PSET(0), END_P(0) } },
	{ "task field in host scope", "reads a task", H, 3, { OP(LDF, 0, 0, 0, GF_TF_RSS), PSET(0), END_P(0) } },
	{ "aggregate", "no aggregate 2", H, 3, { OP(LDA, 0, 0, 0, 2), PSET(0), END_P(0) } },
	{ "column", "no column 2", T, 3, { OP(LDC, 0, 0, 0, 2), PSET(0), END_P(0) } },
	{ "column in host scope", "reads a task", H, 3, { OP(LDC, 0, 0, 0, 0), PSET(0), END_P(0) } },
	{ "truth column as number", "not of the kind", T, 3, { OP(LDC, 0, 0, 0, 1), PSET(0), END_P(0) } },
	{ "number column as truth", "not of the kind", T, 2, { OP(LDP, 0, 0, 0, 0), END_P(0) } },
	{ "history", "no history 2", T, 3, { OP(LDX, 0, 0, 0, 2), PSET(0), END_P(0) } },
	{ "task history in host scope", "reads a task", H, 3, { OP(LDX, 0, 0, 0, 1), PSET(0), END_P(0) } },
	{ "match", "no match 1", T, 2, { OP(MATCH, 0, 0, 0, 1), END_P(0) } },
	{ "match in host scope", "reads a task", H, 2, { OP(MATCH, 0, 0, 0, 0), END_P(0) } },
	{ "hold", "no hold 3", T, 3, { PSET(0), OP(HELD, 0, 0, 0, 3), END_P(0) } },
	{ "host hold in task scope", "another scope", T, 3, { PSET(0), OP(HELD, 0, 0, 0, 1), END_P(0) } },
	{ "task hold in host scope", "another scope", H, 3, { PSET(0), OP(HELD, 0, 0, 0, 0), END_P(0) } },
	{ "share of a task hold in host scope", "reads a task", H, 3, { OP(CHELD, 0, 0, 0, 0), PSET(0), END_P(0) } },
	{ "latch as hold", "not of the kind", T, 3, { PSET(0), OP(HELD, 0, 0, 0, 2), END_P(0) } },
	{ "hold as latch", "not of the kind", T, 3, { PSET(0), OP(LATCH, 0, 0, 0, 0), END_P(0) } },
	{ "hold twice", "two places", T, 4, { PSET(0), OP(HELD, 0, 0, 0, 0), OP(HELD, 0, 0, 0, 0), END_P(0) } },
	{ "jump past a hold", "jump leads past", T, 4, { PSET(0), OP(JAF, 0, 0, 0, 3), OP(HELD, 0, 0, 0, 0), END_P(0) } },
	{ "jump to itself", "go forward", H, 3, { PSET(0), OP(JAF, 0, 0, 0, 1), END_P(0) } },
	{ "jump back", "go forward", H, 3, { PSET(0), OP(JAF, 0, 0, 0, 0), END_P(0) } },
	{ "jump out", "stay in", H, 3, { PSET(0), OP(JAF, 0, 0, 0, 3), END_P(0) } },
	{ "jump far out", "stay in", H, 3, { PSET(0), OP(JAF, 0, 0, 0, 0x80000000), END_P(0) } },
	{ "jump over a first write", "P1 is read before", H, 4, { PSET(0), OP(JAF, 0, 0, 0, 3), PSET(1), END_P(1) } },
	{ "jump over another write", "P1 is read before", H, 5, { PSET(0), PSET(1), OP(JAF, 0, 0, 0, 4), OP(NOT, 1, 1, 0, 0), END_P(1) } },
	{ "jump over a number's write", "V0 is read before", H, 6, { LDK(0), PSET(0), OP(JAF, 0, 0, 0, 4), OP(NEG, 0, 0, 0, 0), OP(LT, 0, 0, 0, 0), END_P(0) } },
	{ "or under the cut of and", "P0 is read before", H, 5, { PSET(0), OP(JAF, 0, 0, 0, 4), PSET(1), OP(OR, 0, 0, 1, 0), END_P(0) } },
	{ "and under the cut of or", "P0 is read before", H, 5, { PSET(0), OP(JAT, 0, 0, 0, 4), PSET(1), OP(AND, 0, 0, 1, 0), END_P(0) } },
	{ "and of others under a cut", "P0 is read before", H, 5, { PSET(0), OP(JAF, 0, 0, 0, 4), PSET(1), OP(AND, 0, 1, 1, 0), END_P(0) } },
	{ "not under a cut", "P0 is read before", H, 4, { PSET(0), OP(JAF, 0, 0, 0, 3), OP(NOT, 0, 0, 0, 0), END_P(0) } },
	{ "number as condition", "condition's program", H, 2, { LDK(0), END_V(0) } },
};

static void test_code(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof code_cases / sizeof *code_cases; i++) {
		const struct code_case *c = &code_cases[i];
		struct gf_err err = { "" };
		size_t size;
		struct gf_image_header *h = hand_made(c->code, c->n, c->scope, &size);
		int r = gf_verify(h, size, &err);
		if (c->says ? r != -EBADMSG || !strstr(err.text, c->says) : r != 0)
			fail_msg("%s: %d, %s", c->name, r, err.text);
		free(h);
	}
}

/* ---- a compiled image, broken */

static const char policy[] =
	"protect comm in (\"sshd\", \"init\") and uid < 1000\n"
	"rule a \"first\" if mem.available < 5% and cmdline ~ /job[0-9]+/ and rss > 10% and held(cpu > 50%, 3s) for 2s\n"
	"  then SIGTERM pgrp of largest 3 by rss + swap where age > 5s then after 5s SIGKILL\n"
	"  cooldown 30s limit 3 per 10min notify \"{comm} {rss} {cmdline}\"\n"
	"rule b if rate(vm.pgscan, 5s) > 100/s or count(where parent(comm ~ \"make*\")) > 5 for 3 periods until mem.free > 20%\n"
	"  then SIGSTOP tree of newest then after 1s SIGCONT cooldown 5s\n"
	"rule c if max(rss where uid > 0) > 1GiB and cpu > 90% 3 times within 10s then renice +5 it cooldown 5s\n";

/* What only targets in memory have. */
static const char vm_policy[] =
	"rule a if task->mm->map_count > 60000 and rate(task->signal->rlim[7].rlim_cur, 5s) > 10 for 2s\n"
	"  then limit memory.max 10% it then limit rlimit.as rss * 2 then after 5s restore memory.max\n"
	"  cooldown 30s notify \"{task->mm->map_count}\"\n"
	"rule b if os.stalled > 30s then nmi then after 1min reset cooldown 10min\n";

static struct gf_image_header *compiled_for(const char *text, enum gf_target_kind target, size_t *ret_size)
{
	struct gf_source src = { "test.policy", text, strlen(text) };
	struct gf_compile_opts opts = { .target = target };
	struct gf_image_header *h = NULL;
	struct gf_diags diags = { 0 };
	int r = gf_compile(&src, 1, &opts, &diags, &h, ret_size);
	if (r < 0)
		gf_diags_print(&diags, &src, 1, stderr, false);
	assert_int_equal(r, 0);
	gf_diags_deinit(&diags);
	return h;
}

static struct gf_image_header *compiled(size_t *ret_size)
{
	return compiled_for(policy, GF_TARGET_HOST, ret_size);
}

#define RULE(h) W(struct gf_rule, h, GF_SEC_RULE)
#define STEP(h) W(struct gf_step, h, GF_SEC_STEP)
#define TERM(h) W(struct gf_term, h, GF_SEC_TERM)
#define NOTE(h) W(struct gf_note, h, GF_SEC_NOTE)
#define DFA(h) W(struct gf_dfa, h, GF_SEC_DFA)
#define PRG(h) W(struct gf_prog, h, GF_SEC_PROG)
#define HST(h) W(struct gf_hist, h, GF_SEC_HIST)
#define HLD(h) W(struct gf_hold, h, GF_SEC_HOLD)
#define CLS(h) W(struct gf_class, h, GF_SEC_CLASS)
#define DATA(h) W(uint8_t, h, GF_SEC_DFADATA)
#define STR(h) W(char, h, GF_SEC_STR)

/* The first program that feeds this kind of thing. */
static struct gf_prog *feeding(struct gf_image_header *h, uint8_t sink)
{
	struct gf_prog *p = PRG(h);
	while (p->sink != sink)
		p++;
	return p;
}

/* X(what is broken, what must be said) */
#define BREAKS(X) \
	X(h->magic++, "begin as") \
	X(h->version = 3, "version 3") \
	X(h->size += 8, "header says") \
	X(h->target = GF_TARGET_COUNT, "no such target") \
	X(h->fields.host |= 1ull << 63, "field set") \
	X(h->fields.task |= 1ull << GF_TF_COUNT, "field set") \
	X(h->fields.str |= 1u << GF_SF_COUNT, "field set") \
	X(h->fields.paths = GF_MAX_PATHS + 1, "field set") \
	X(h->fields.paths = 1, "there are 0") \
	X(h->sec[GF_SEC_CODE].count++, "section") \
	X(h->sec[GF_SEC_CODE].count = 0xffffffff, "at most") \
	X(h->sec[GF_SEC_RULE].count = GF_MAX_RULES + 1, "at most") \
	X(h->sec[GF_SEC_RULE].off += 8, "is at offset") \
	X(h->sec[GF_SEC_CODE].off = 0xfffffff8, "is at offset") \
	X(h->sec[GF_SEC_STR].count += 64, "past the image's end") \
	X(h->sec[GF_SEC_STR].count -= 16, "not") \
	X(STR(h)[0] = 'x', "the empty one") \
	X(STR(h)[h->sec[GF_SEC_STR].count - 1] = 'x', "do not end") \
	X(STR(h)[1] = 27, "control character") \
	X(W(uint64_t, h, GF_SEC_CONST)[0] = 0x7ff0000000000001ull, "NaN") \
	X(W(uint64_t, h, GF_SEC_CONST)[0] = 0xfff8000000000000ull, "NaN") \
	X(W(struct gf_agg, h, GF_SEC_AGG)[0].kind = 9, "aggregate 0") \
	X(W(struct gf_agg, h, GF_SEC_AGG)[0].reserved[5] = 1, "aggregate 0") \
	X(W(struct gf_col, h, GF_SEC_COL)[0].kind = 5, "column 0") \
	X(HST(h)[0].slots = 1, "slots") \
	X(HST(h)[0].slots = 65, "slots") \
	X(HST(h)[0].window_ns = 0, "window") \
	X(HST(h)[0].window_ns = GF_MAX_NS + 1, "window") \
	X(HST(h)[0].stat = 6, "history 0") \
	X(HST(h)[0].scope = 2, "history 0") \
	X(HST(h)[0].scope ^= 1, "scope") \
	X(HST(h)[0].fp = HST(h)[1].fp, "same fingerprint") \
	X(HLD(h)[0].fp = HLD(h)[1].fp, "same fingerprint") \
	X(HLD(h)[0].kind = 3, "hold 0") \
	X(HLD(h)[0].amount = GF_MAX_NS + 1, "amount") \
	X(HLD(h)[0].reserved1 = 1, "hold 0") \
	X(W(struct gf_match, h, GF_SEC_MATCH)[0].field = GF_SF_COUNT, "match 0") \
	X(W(struct gf_match, h, GF_SEC_MATCH)[0].dfa = h->sec[GF_SEC_DFA].count, "match 0") \
	X(W(struct gf_match, h, GF_SEC_MATCH)[0].field = GF_SF_EXE, "not in the field set") \
	X(DFA(h)[0].states = 0, "states") \
	X(DFA(h)[0].states = GF_MAX_DFA_STATES + 1, "states") \
	X(DFA(h)[0].classes = 0, "classes") \
	X(DFA(h)[0].classes = 257, "classes") \
	X(DFA(h)[0].classes_off = 0xfffffff0, "overlap") \
	X(DFA(h)[0].trans_off++, "overlap") \
	X(DFA(h)[0].accept_off = 0xffffffff, "overlap") \
	X(DFA(h)[1].classes_off = DFA(h)[0].classes_off, "overlap") \
	X(DATA(h)[DFA(h)[0].classes_off + 7] = (uint8_t)DFA(h)[0].classes, "class that is not there") \
	X(*(uint16_t *)(void *)(DATA(h) + DFA(h)[0].trans_off) = DFA(h)[0].states, "leads to state") \
	X(DATA(h)[DFA(h)[0].accept_off] = 2, "neither 0 nor 1") \
	X(h->tick_progs = h->sec[GF_SEC_PROG].count + 1, "more programs") \
	X(h->tick_progs++, "only they") \
	X(h->tick_progs--, "only they") \
	X(PRG(h)[1].code++, "not where it should be") \
	X(PRG(h)[0].len = 0, "not where it should be") \
	X(PRG(h)[0].len = 0xffffffff, "not where it should be") \
	X(PRG(h)[0].scope = 2, "scope") \
	X(PRG(h)[0].reserved = 1, "scope") \
	X(PRG(h)[0].sink = 4, "kind of result") \
	X(PRG(h)[0].target = 1024, "not there") \
	X(feeding(h, GF_SINK_AGG)->scope ^= 1, "scope") \
	X(feeding(h, GF_SINK_COL)->scope ^= 1, "scope") \
	X(W(struct gf_agg, h, GF_SEC_AGG)[0].kind = GF_AGG_SUM, "results are not") \
	X(W(struct gf_col, h, GF_SEC_COL)[0].kind = GF_COL_VALUE, "results are not") \
	X(CLS(h)[0].kind = 4, "class 0") \
	X(CLS(h)[0].prog = h->sec[GF_SEC_PROG].count, "class 0") \
	X(CLS(h)[0].prog = 0, "class 0") \
	X(CLS(h)[0].prog = RULE(h)[0].cond, "class 0") \
	X(CLS(h)[0].text = h->sec[GF_SEC_STR].count, "class 0") \
	X(RULE(h)[0].flags = 4, "flags") \
	X(RULE(h)[0].flags ^= GF_RULE_TASK, "condition's program") \
	X(RULE(h)[0].reserved = 1, "flags") \
	X(RULE(h)[0].name = 0xffffffff, "text") \
	X(RULE(h)[0].fp = RULE(h)[1].fp, "same fingerprint") \
	X(RULE(h)[0].cooldown_ns = ~0ull, "too long") \
	X(RULE(h)[0].limit_n = GF_MAX_LIMIT + 1, "limit") \
	X(RULE(h)[0].limit_window_ns = 0, "limit") \
	X(RULE(h)[0].steps = 0, "no steps") \
	X(RULE(h)[0].steps = GF_MAX_STEPS + 1, "no steps") \
	X(RULE(h)[0].step = h->sec[GF_SEC_STEP].count, "no steps") \
	X(RULE(h)[0].step = 0xffffffff, "no steps") \
	X(RULE(h)[0].terms = GF_MAX_TERMS + 1, "terms") \
	X(RULE(h)[0].term = 0xffffffff, "terms") \
	X(RULE(h)[0].cond = 0, "condition's program") \
	X(RULE(h)[0].cond = 0xffffffff, "condition's program") \
	X(RULE(h)[0].gate = RULE(h)[0].cond, "gate") \
	X(RULE(h)[0].gate = 0xfffffffe, "gate") \
	X(RULE(h)[0].close = RULE(h)[0].cond, "near") \
	X(RULE(h)[0].notes = GF_EVENT_NOTES_ + 1, "message") \
	X(RULE(h)[0].note = 0xffffffff, "message") \
	X(RULE(h)[1].cond = RULE(h)[2].cond, "condition's program") \
	X((RULE(h)[2].cond = RULE(h)[0].cond), "another rule's") \
	X(STEP(h)[0].action = GF_ACT_COUNT, "does something") \
	X(STEP(h)[0].pick = GF_PICK_NONE + 1, "does something") \
	X(STEP(h)[0].group = GF_GROUP_USER + 1, "does something") \
	X(STEP(h)[0].reserved1[2] = 1, "reserved") \
	X(STEP(h)[0].arg = 0, "signal") \
	X(STEP(h)[0].arg = 65, "signal") \
	X(STEP(h)[0].amount = gf_unknown(), "amount") \
	X(STEP(h)[0].limit = GF_LIMIT_PIDS_MAX, "limits something") \
	X(STEP(h)[0].value = STEP(h)[0].key, "limits something") \
	X(STEP(h)[0].pick = GF_PICK_SAME, "first step") \
	X(STEP(h)[0].n = 0, "picks") \
	X(STEP(h)[0].n = GF_MAX_PICK + 1, "picks") \
	X(STEP(h)[0].where = STEP(h)[0].key, "where") \
	X(STEP(h)[0].key = STEP(h)[0].where, "rank") \
	X(STEP(h)[0].key = GF_NONE, "rank") \
	X(STEP(h)[1].key = STEP(h)[0].key, "rank") \
	X(STEP(h)[1].after_ns = GF_MAX_NS + 1, "too long") \
	X(STEP(h)[0].shown = 0xffffffff, "text") \
	X(STEP(h)[0].group = GF_GROUP_SESSION, "field") \
	X(STEP(h)[0].group = GF_GROUP_CGROUP, "field") \
	X(TERM(h)[0].prog = 0xffffffff, "term") \
	X(TERM(h)[0].values = 3, "term") \
	X(TERM(h)[0].values ^= 1, "term") \
	X(TERM(h)[0].dim = 99, "term") \
	X(TERM(h)[0].hold = h->sec[GF_SEC_HOLD].count, "term") \
	X(TERM(h)[RULE(h)[1].term].scope = GF_SCOPE_TASK, "term") \
	X(NOTE(h)[0].text = 0xffffffff, "note") \
	X(NOTE(h)[0].str = GF_SF_COUNT + 1, "note") \
	X(NOTE(h)[0].str = GF_SF_EXE + 1, "not in the field set") \
	X(NOTE(h)[1].prog = RULE(h)[0].cond, "note")
#define GF_EVENT_NOTES_ 8u

#define PATH(h) W(struct gf_path, h, GF_SEC_PATH)

/* The first instruction that loads a kernel path. */
static struct gf_insn *loads_path(struct gf_image_header *h)
{
	struct gf_insn *in = W(struct gf_insn, h, GF_SEC_CODE);
	while (in->op != GF_OP_LDF || in->imm < GF_TF_COUNT)
		in++;
	return in;
}

#define VM_BREAKS(X) \
	X(h->target = GF_TARGET_HOST, "no kernel memory") \
	X(h->target = GF_TARGET_TRACE, "no kernel memory") \
	X(h->fields.paths = 1, "says 1") \
	X(h->fields.paths = 0, "says 0") \
	X(h->sec[GF_SEC_PATH].count = GF_MAX_PATHS + 1, "at most 32") \
	X(PATH(h)[0].text = 0xffffffff, "path 0") \
	X(PATH(h)[0].text = 0, "path 0") \
	X(PATH(h)[0].reserved = 1, "path 0") \
	X(PATH(h)[1].text = RULE(h)[0].name, "path 1") \
	X(PATH(h)[1].text = PATH(h)[0].text, "the same") \
	X(STR(h)[PATH(h)[0].text + 4] = '.', "path 0") \
	X(STR(h)[PATH(h)[0].text + 6] = '9', "path 0") \
	X(loads_path(h)->imm = GF_TF_COUNT + h->fields.paths, "no field") \
	X(loads_path(h)->imm = 0xffffffff, "no field") \
	X(STEP(h)[0].limit = GF_LIMIT_NONE, "limits something") \
	X(STEP(h)[0].limit = GF_LIMIT_COUNT, "limits something") \
	X(STEP(h)[0].amount = 1, "given twice") \
	X(STEP(h)[2].amount = gf_unknown(), "amount") \
	X(STEP(h)[0].value = RULE(h)[0].cond, "amount") \
	X(STEP(h)[0].value = 0, "amount") \
	X(STEP(h)[1].value = h->sec[GF_SEC_PROG].count, "amount") \
	X(STEP(h)[3].value = STEP(h)[0].value, "limits something")

static struct gf_image_header *broken;
static size_t broken_size;

/* What each entry of BREAKS does, and whether the verifier then says so. */
#define BREAK(what, says) { \
		struct gf_image_header *h = broken; \
		memcpy(h, good, broken_size); \
		what; \
		uint32_t had = h->size; \
		h->size = (uint32_t)broken_size; \
		h->checksum = gf_image_checksum(h); \
		if (had != broken_size) \
			h->size = had; \
		err.text[0] = '\0'; \
		int r = gf_verify(h, broken_size, &err); \
		if (r != -EBADMSG || !strstr(err.text, says)) \
			print_message("# %s: %d, %s%c", #what, r, err.text, '\n'), wrong++; \
		n++; \
	}

static void test_broken(void **state)
{
	struct gf_image_header *good;
	struct gf_err err;
	int n = 0, wrong = 0;
	(void)state;
	good = compiled(&broken_size);
	broken = malloc(broken_size);
	assert_non_null(broken);
	BREAKS(BREAK)
	print_message("# %d ways\n", n);
	assert_int_equal(wrong, 0);
	free(broken);
	free(good);
}

static void test_broken_vm(void **state)
{
	struct gf_image_header *good;
	struct gf_err err;
	int n = 0, wrong = 0;
	(void)state;
	good = compiled_for(vm_policy, GF_TARGET_VM, &broken_size);
	broken = malloc(broken_size);
	assert_non_null(broken);
	VM_BREAKS(BREAK)
	print_message("# %d ways\n", n);
	assert_int_equal(wrong, 0);
	free(broken);
	free(good);
}

static void test_shape(void **state)
{
	struct gf_err err;
	size_t size;
	struct gf_image_header *h = compiled(&size);
	(void)state;
	assert_int_equal(gf_verify(h, size, &err), 0);
	/* Cut off anywhere, or with more behind. An exact copy, so that ASan sees a byte too far. */
	for (size_t n = 0; n < size; n += n < 300 ? 1 : 97) {
		void *cut = malloc(n ? n : 1);
		memcpy(cut, h, n);
		assert_int_equal(gf_verify(cut, n, &err), -EBADMSG);
		if (n >= sizeof *h) {
			((struct gf_image_header *)cut)->size = (uint32_t)n;
			((struct gf_image_header *)cut)->checksum = gf_image_checksum(cut);
			assert_int_equal(gf_verify(cut, n, &err), -EBADMSG);
		}
		free(cut);
	}
	char *odd = malloc(size + 8);
	memcpy(odd + 1, h, size);
	assert_int_equal(gf_verify(odd + 1, size, &err), -EINVAL);
	free(odd);
	h->checksum ^= 1;
	assert_int_equal(gf_verify(h, size, &err), -EBADMSG);
	assert_non_null(strstr(err.text, "checksum"));
	free(h);
}

/* Must refuse or pass, and read nothing outside; what passes must disassemble. */
static void damage(struct gf_image_header *good, size_t size)
{
	struct gf_err err;
	struct gf_image_header *h = malloc(size);
	FILE *null = fopen("/dev/null", "w");
	int passed = 0, tried = 0;
	for (int i = 0; i < 20000; i++, tried++) {
		memcpy(h, good, size);
		for (uint32_t k = 1 + rnd(3); k > 0; k--) {
			uint32_t at = rnd((uint32_t)size);
			if (rnd(2))
				((uint8_t *)h)[at] = (uint8_t)(rnd(4) ? rnd(20) : rnd(256));
			else
				((uint32_t *)(void *)h)[at / 4] = rnd(3) ? rnd(100) : 0xffffffffu - rnd(4);
		}
		h->size = (uint32_t)size;
		h->checksum = gf_image_checksum(h);
		int r = gf_verify(h, size, &err);
		assert_true(r == 0 || (r == -EBADMSG && err.text[0]));
		if (r == 0) {
			passed++;
			gf_disasm(h, null);
		}
	}
	print_message("# seed %llu: %d of %d passed\n", (unsigned long long)seed, passed, tried);
	fclose(null);
	free(h);
	free(good);
}

static void test_damage(void **state)
{
	size_t size;
	struct gf_image_header *good = compiled(&size);
	(void)state;
	damage(good, size);
	good = compiled_for(vm_policy, GF_TARGET_VM, &size);
	damage(good, size);
}

static void test_files(void **state)
{
	char path[] = "/tmp/gpufas-verify-XXXXXX";
	struct gf_image_header *h, *back = NULL;
	struct gf_err err = { "" };
	size_t size;
	int fd = mkstemp(path);
	(void)state;
	assert_true(fd >= 0);
	h = compiled(&size);
	assert_int_equal(write(fd, h, size), size);
	assert_int_equal(gf_image_read(path, &back, &err), 0);
	assert_memory_equal(back, h, size);
	free(back);
	assert_int_equal(ftruncate(fd, (off_t)size - 8), 0);
	assert_int_equal(gf_image_read(path, &back, &err), -EBADMSG);
	assert_non_null(strstr(err.text, path));
	assert_int_equal(gf_image_read("/dev/zero", &back, &err), -EINVAL);
	assert_int_equal(gf_image_read("/nonexistent/x.gfb", &back, &err), -ENOENT);
	unlink(path);
	close(fd);
	free(h);
}

static void test_crc(void **state)
{
	(void)state;
	/* RFC 3720, B.4, and the usual check value. */
	uint8_t zeros[32] = { 0 }, up[32];
	for (int i = 0; i < 32; i++)
		up[i] = (uint8_t)i;
	assert_int_equal(gf_crc32c(0, zeros, 32), 0x8a9136aa);
	assert_int_equal(gf_crc32c(0, up, 32), 0x46dd794e);
	assert_int_equal(gf_crc32c(0, "123456789", 9), 0xe3069283);
	assert_int_equal(gf_crc32c(gf_crc32c(0, "12345", 5), "6789", 4), 0xe3069283);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_code), cmocka_unit_test(test_broken), cmocka_unit_test(test_broken_vm),
		cmocka_unit_test(test_shape),
		cmocka_unit_test(test_damage), cmocka_unit_test(test_files), cmocka_unit_test(test_crc),
	};
	const char *env = getenv("GF_SEED");
	seed = env ? strtoull(env, NULL, 10) : (uint64_t)time(NULL);
	rng = seed * 0x9e3779b97f4a7c15ull + 1;
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
