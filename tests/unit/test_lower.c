/* SPDX-License-Identifier: MIT
 *
 * Lowering: random conditions, run by the interpreter, against a direct walk over
 * the tree; and what the image says about rules.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "compiler/emit.h"
#include "compiler/sema.h"
#include "gpu/interp.h"

#define ROWS GF_ROW_BLOCK

static uint64_t rng, seed;

static uint32_t rnd(uint32_t n)
{
	rng ^= rng << 13;
	rng ^= rng >> 7;
	rng ^= rng << 17;
	return (uint32_t)(rng >> 32) % n;
}

/* ---- trees */

static struct gf_node pool[8192];
static uint32_t pooled;

static struct gf_node *node(enum gf_node_kind kind, uint32_t id, double num, struct gf_node *a, struct gf_node *b)
{
	struct gf_node *n = &pool[pooled++];
	uint64_t bits;
	assert_true(pooled < sizeof pool / sizeof *pool);
	*n = (struct gf_node){ .kind = kind, .id = id, .num = num, .kid = { a, b } };
	n->scope = kind == GF_N_TASK || (a && a->scope == GF_SCOPE_TASK) || (b && b->scope == GF_SCOPE_TASK) ? GF_SCOPE_TASK : GF_SCOPE_HOST;
	memcpy(&bits, &num, sizeof bits);
	n->hash = gf_hash_mix(gf_hash_mix(gf_hash_mix(kind, id), bits), gf_hash_mix(a ? a->hash : 0, b ? b->hash : 0));
	return n;
}

static struct gf_node *gen_truth(int depth, bool task);

static struct gf_node *gen_number(int depth, bool task)
{
	uint32_t k = depth > 0 ? rnd(9) : rnd(3);
	if (k == 0)
		return node(GF_N_CONST, 0, (double)rnd(5) - 1, NULL, NULL);
	if (k <= 2 || (k <= 4 && !depth))
		return task && rnd(2) ? node(GF_N_TASK, rnd(4), 0, NULL, NULL) : node(GF_N_HOST, rnd(4), 0, NULL, NULL);
	if (k == 3)
		return node(GF_N_NEG, 0, 0, gen_number(depth - 1, task), NULL);
	if (k == 4)
		return node(GF_N_PV, 0, 0, gen_truth(depth - 1, task), NULL);
	struct gf_node *a = gen_number(depth - 1, task);
	return node(GF_N_ADD + rnd(4), 0, 0, a, gen_number(depth - 1, task));
}

static struct gf_node *gen_truth(int depth, bool task)
{
	uint32_t k = depth > 0 ? rnd(10) : 9;
	if (k <= 5) {
		struct gf_node *a = gen_truth(depth - 1, task);
		return node(k <= 3 ? GF_N_AND : GF_N_OR, 0, 0, a, gen_truth(depth - 1, task && rnd(4)));
	}
	if (k == 6)
		return node(GF_N_NOT, 0, 0, gen_truth(depth - 1, task), NULL);
	if (k == 7)
		return node(GF_N_KNOWN, 0, 0, gen_number(depth - 1, task), NULL);
	if (k == 8)
		return node(rnd(2) ? GF_N_TRUE : GF_N_FALSE, 0, 0, NULL, NULL);
	struct gf_node *a = gen_number(depth > 2 ? 2 : depth, task);
	return node(GF_N_LT + rnd(6), 0, 0, a, gen_number(depth > 2 ? 2 : depth, task));
}

/* ---- the same, walked; written without a look at the interpreter */

static struct gf_sample sample;
static double column[4][ROWS];

static int truth_of(const struct gf_node *n, uint32_t row);

static double value_of(const struct gf_node *n, uint32_t row)
{
	double a, b;
	switch (n->kind) {
	case GF_N_CONST:
		return n->num;
	case GF_N_HOST:
		return sample.host[n->id];
	case GF_N_TASK:
		return column[n->id][row];
	case GF_N_NEG:
		return -value_of(n->kid[0], row);
	case GF_N_PV: {
		int t = truth_of(n->kid[0], row);
		return t == 1 ? gf_unknown() : t / 2;
	}
	default:
		break;
	}
	a = value_of(n->kid[0], row);
	b = value_of(n->kid[1], row);
	switch (n->kind) {
	case GF_N_ADD:
		return a + b;
	case GF_N_SUB:
		return a - b;
	case GF_N_MUL:
		return a * b;
	default:
		return b == 0 ? gf_unknown() : a / b;
	}
}

static int truth_of(const struct gf_node *n, uint32_t row)
{
	int p, q;
	double a, b;
	switch (n->kind) {
	case GF_N_TRUE:
		return 2;
	case GF_N_FALSE:
		return 0;
	case GF_N_NOT:
		return 2 - truth_of(n->kid[0], row);
	case GF_N_KNOWN:
		return gf_is_unknown(value_of(n->kid[0], row)) ? 0 : 2;
	case GF_N_AND: case GF_N_OR:
		p = truth_of(n->kid[0], row);
		q = truth_of(n->kid[1], row);
		return n->kind == GF_N_AND ? GF_MIN(p, q) : GF_MAX(p, q);
	default:
		break;
	}
	a = value_of(n->kid[0], row);
	b = value_of(n->kid[1], row);
	if (gf_is_unknown(a) || gf_is_unknown(b))
		return 1;
	switch (n->kind) {
	case GF_N_LT:
		return a < b ? 2 : 0;
	case GF_N_LE:
		return a <= b ? 2 : 0;
	case GF_N_GT:
		return a > b ? 2 : 0;
	case GF_N_GE:
		return a >= b ? 2 : 0;
	case GF_N_EQ:
		return a == b ? 2 : 0;
	default:
		return a != b ? 2 : 0;
	}
}

static void fill(void)
{
	static const double some[] = { -1, 0, 1, 2, 3, 0.5 };
	for (int k = 0; k < 4; k++) {
		sample.host[k] = rnd(6) ? some[rnd(6)] : gf_unknown();
		/* Often the same in all rows, so that short cuts are taken. */
		bool same = rnd(2);
		double x = some[rnd(6)];
		for (uint32_t i = 0; i < ROWS; i++)
			column[k][i] = same ? x : rnd(6) ? some[rnd(6)] : gf_unknown();
		sample.col[k] = column[k];
	}
	sample.cap = sample.rows = ROWS;
	sample.now_ns = 1;
}

/* ---- lowering */

static struct gf_image_header *lower(struct gf_sema *s)
{
	struct gf_compile_opts opts = { .target = GF_TARGET_HOST };
	struct gf_image_header *h = NULL;
	struct gf_diags diags = { 0 };
	struct gf_err err;
	size_t size;
	int r = gf_lower(s, &opts, &diags, &h, &size);
	if (r < 0)
		fail_msg("seed %llu: lowering: %d, %s", (unsigned long long)seed, r, diags.n ? diags.v[0].message : "");
	r = gf_verify(h, size, &err);
	if (r < 0)
		fail_msg("seed %llu: verifier: %s", (unsigned long long)seed, err.text);
	gf_diags_deinit(&diags);
	return h;
}

static struct gf_image_header *lower_cond(struct gf_node *cond)
{
	struct gf_sema_step step = { .action = GF_ACT_SIGNAL, .arg = 15, .pick = GF_PICK_LARGEST, .n = 1 };
	struct gf_sema_rule rule = { .name = "r", .cond = cond, .task = cond->scope == GF_SCOPE_TASK, .step = &step, .steps = 1 };
	struct gf_sema s = { .rule = &rule, .rules = 1 };
	return lower(&s);
}

static struct gf_regs regs;

/* Truth of the gate (true without one) and of the condition in each row. */
static void evaluate(const struct gf_image_header *h, uint32_t width, uint8_t *ret)
{
	const struct gf_rule *r = GF_SEC(struct gf_rule, h, GF_SEC_RULE);
	struct gf_state st = { .img = h, .cap = ROWS };
	struct gf_ctx c;
	struct gf_result res;
	uint8_t gate = GF_TRUE;
	gf_ctx_init(&c, &sample, &st);
	if (r->gate != GF_NONE) {
		gf_interp(&c, r->gate, 0, 1, &regs, &res);
		gate = res.p[0];
	}
	for (uint32_t base = 0; base < ROWS; base += width) {
		gf_interp(&c, r->cond, base, width, &regs, &res);
		for (uint32_t i = 0; i < width; i++)
			ret[base + i] = GF_MIN(gate, res.p[i]);
	}
}

static void test_against_walk(void **state)
{
	int gated = 0, count[3] = { 0 };
	(void)state;
	for (int i = 0; i < 3000; i++) {
		uint8_t wide[ROWS], narrow[ROWS];
		pooled = 0;
		struct gf_node *cond = gen_truth(1 + (int)rnd(6), rnd(4) != 0);
		struct gf_image_header *h = lower_cond(cond);
		fill();
		evaluate(h, GF_WIDTH, wide);
		evaluate(h, 1, narrow);
		gated += GF_SEC(struct gf_rule, h, GF_SEC_RULE)->gate != GF_NONE;
		for (uint32_t row = 0; row < ROWS; row++) {
			int want = truth_of(cond, row);
			count[want]++;
			if (wide[row] != want || narrow[row] != want) {
				gf_disasm(h, stderr);
				fail_msg("seed %llu, tree %d, row %u: %d, but %d in a chunk and %d alone", (unsigned long long)seed, i, row, want, wide[row], narrow[row]);
			}
		}
		free(h);
	}
	print_message("# seed %llu: %d gated; %d false, %d unknown, %d true\n", (unsigned long long)seed, gated, count[0], count[1], count[2]);
	assert_true(gated > 100 && count[0] > 10000 && count[1] > 10000 && count[2] > 10000);
}

/* Long chains to either side, and a full tree, stay inside 16 registers. */
static void test_registers(void **state)
{
	(void)state;
	for (int shape = 0; shape < 3; shape++) {
		struct gf_node *level[1024];
		uint8_t out[ROWS];
		uint32_t n = shape == 2 ? 512 : 300;
		pooled = 0;
		for (uint32_t i = 0; i < n; i++)
			level[i] = node(GF_N_LT, 0, 0, node(GF_N_TASK, i % 4, 0, NULL, NULL), node(GF_N_CONST, 0, (double)(i % 3), NULL, NULL));
		struct gf_node *cond = level[0];
		if (shape == 2) {
			for (; n > 1; n /= 2)
				for (uint32_t i = 0; i < n / 2; i++)
					level[i] = node(n & 4 ? GF_N_AND : GF_N_OR, 0, 0, level[2 * i], level[2 * i + 1]);
			cond = level[0];
		}
		for (uint32_t i = 1; shape < 2 && i < n; i++)
			cond = node(i % 7 ? GF_N_AND : GF_N_OR, 0, 0, shape ? level[i] : cond, shape ? cond : level[i]);
		struct gf_image_header *h = lower_cond(cond);
		fill();
		evaluate(h, GF_WIDTH, out);
		for (uint32_t row = 0; row < ROWS; row++)
			assert_int_equal(out[row], truth_of(cond, row));
		free(h);
	}
}

/* ---- what the image says */

static struct gf_image_header *compile(const char *text)
{
	struct gf_source src = { "dir/x.policy", text, strlen(text) };
	struct gf_compile_opts opts = { .target = GF_TARGET_HOST };
	struct gf_image_header *h = NULL;
	struct gf_diags diags = { 0 };
	size_t size;
	if (gf_compile(&src, 1, &opts, &diags, &h, &size) < 0) {
		gf_diags_print(&diags, &src, 1, stderr, false);
		fail_msg("%s", text);
	}
	gf_diags_deinit(&diags);
	return h;
}

static const struct gf_rule *rule(const struct gf_image_header *h, uint32_t i)
{
	assert_true(i < h->sec[GF_SEC_RULE].count);
	return GF_SEC(struct gf_rule, h, GF_SEC_RULE) + i;
}

static void test_fields(void **state)
{
	struct gf_image_header *h = compile("if rss > 80% then SIGKILL largest cooldown 5s");
	(void)state;
	assert_int_equal(h->fields.host, GF_BIT(GF_HF_MEM_TOTAL));
	assert_int_equal(h->fields.task, GF_BIT(GF_TF_RSS));
	assert_int_equal(h->fields.str, 0);
	assert_string_equal(gf_image_str(h, rule(h, 0)->name), "x.policy:1");
	free(h);
	h = compile("if mem.free < 1% and comm ~ \"a*\" and cmdline ~ /x/ then SIGTERM cgroup of oldest then SIGKILL pgrp of newest cooldown 5s");
	assert_int_equal(h->fields.task, GF_BIT(GF_TF_PGRP));
	assert_int_equal(h->fields.str, GF_BIT(GF_SF_COMM) | GF_BIT(GF_SF_CMDLINE) | GF_BIT(GF_SF_CGROUP));
	free(h);
}

/* Behind a gate the condition is not looked at, so what may be true without it has none. */
static void test_gates(void **state)
{
	static const struct { const char *text; bool gate; } t[] = {
		{ "if mem.free < 1% and rss > 1GiB then SIGTERM it cooldown 5s", true },
		{ "if mem.free < 1% and rss > 1GiB for 5s then SIGTERM it", true },
		{ "if mem.free < 1% and rss > 1GiB for 5s until mem.free > 5% then SIGTERM it", false },
		{ "if mem.free < 1% and rss > 1GiB 3 times within 5s then SIGTERM it", false },
		{ "if mem.free < 1% or rss > 1GiB then SIGTERM it cooldown 5s", false },
		{ "if rss > 1GiB then SIGTERM it cooldown 5s", false },
		{ "if mem.free < 1% and load.1 > 3 then SIGTERM largest cooldown 5s", false },
	};
	(void)state;
	for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
		struct gf_image_header *h = compile(t[i].text);
		if ((rule(h, 0)->gate != GF_NONE) != t[i].gate)
			fail_msg("%s", t[i].text);
		free(h);
	}
}

static uint64_t rule_fp(const char *text, uint32_t i, uint64_t *ret_hold)
{
	struct gf_image_header *h = compile(text);
	uint64_t fp = rule(h, i)->fp;
	*ret_hold = h->sec[GF_SEC_HOLD].count ? GF_SEC(struct gf_hold, h, GF_SEC_HOLD)[i].fp : 0;
	free(h);
	return fp;
}

static void test_fingerprints(void **state)
{
	uint64_t hold_a, hold_b, a, b;
	(void)state;
	/* Place and layout do not count; anything that a rule says does. */
	a = rule_fp("rule a if rss > 1GiB for 2s then SIGTERM it", 0, &hold_a);
	b = rule_fp("# comment\n\nrule a if rss > 1024MiB\n for 2s then SIGTERM it", 0, &hold_b);
	assert_true(a == b && hold_a == hold_b);
	b = rule_fp("rule a if rss > 1GiB for 2s then SIGTERM it cooldown 3s", 0, &hold_b);
	assert_true(a != b && hold_a == hold_b);
	b = rule_fp("rule a if rss > 1GiB for 3s then SIGTERM it", 0, &hold_b);
	assert_true(a != b && hold_a != hold_b);
	b = rule_fp("rule a if rss > 1GiB for 2s then SIGKILL it", 0, &hold_b);
	assert_true(a != b);
	b = rule_fp("rule b if rss > 1GiB for 2s then SIGTERM it", 0, &hold_b);
	assert_true(a != b && hold_a != hold_b);
	/* An anonymous rule that moves down a line is still the same rule. */
	a = rule_fp("if rss > 1GiB for 2s then SIGTERM it", 0, &hold_a);
	b = rule_fp("\nif rss > 1GiB for 2s then SIGTERM it", 0, &hold_b);
	assert_true(a == b && hold_a == hold_b);
}

static void test_sharing(void **state)
{
	struct gf_image_header *h = compile("rule a if rate(rss, 5s) > 1MiB and count(where age < 1s) > 5 then SIGTERM it cooldown 5s\n"
					    "rule b if rate(rss, 5s) > 2MiB and count(where age < 1s) > 7 and rate(rss, 6s) > 1MiB/s then SIGTERM it cooldown 5s\n");
	(void)state;
	assert_int_equal(h->sec[GF_SEC_HIST].count, 2);
	assert_int_equal(h->sec[GF_SEC_AGG].count, 2); /* one count, two bounds */
	assert_int_equal(h->tick_progs, 4);
	free(h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_against_walk), cmocka_unit_test(test_registers), cmocka_unit_test(test_fields),
		cmocka_unit_test(test_gates), cmocka_unit_test(test_fingerprints), cmocka_unit_test(test_sharing),
	};
	const char *env = getenv("GF_SEED");
	seed = env ? strtoull(env, NULL, 10) : (uint64_t)time(NULL);
	rng = seed * 0x9e3779b97f4a7c15ull + 1;
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
