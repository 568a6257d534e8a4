/* SPDX-License-Identifier: MIT
 *
 * Events as JSON and sentences, over a policy that is compiled here. jansson
 * reads what we write.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

#include <cmocka.h>
#include <jansson.h>

#include "compiler/compiler.h"
#include "daemon/eventjson.h"

static struct gf_image_header *img;

static const char policy[] =
	"protect comm == \"sshd\"\n"
	"rule low \"memory\" if mem.available < 5% for 2s then SIGTERM largest then after 5s SIGKILL\n"
	"  notify \"low: {comm} has {rss}\" cooldown 1min\n"
	"rule tell if mem.available < 5% for 2s then log cooldown 1min\n"
	"rule both if (comm == \"zqhog\" and rss > 50MiB) for 300ms then SIGTERM it cooldown 1min\n"
	"rule hog if cpu > 95% for 3s then renice +10 it cooldown 1min\n";

static int compile(void **state)
{
	struct gf_source src = { "p.policy", policy, sizeof policy - 1 };
	struct gf_compile_opts o = { .target = GF_TARGET_HOST };
	struct gf_diags d = { 0 };
	size_t size;

	(void)state;
	int r = gf_compile(&src, 1, &o, &d, &img, &size);
	if (r)
		gf_diags_print(&d, &src, 1, stderr, false);
	gf_diags_deinit(&d);
	return r;
}

static int done(void **state)
{
	(void)state;
	free(img);
	return 0;
}

static uint32_t rule_no(const char *name)
{
	for (uint32_t i = 0; i < img->sec[GF_SEC_RULE].count; i++)
		if (!strcmp(name, gf_image_str(img, GF_SEC(struct gf_rule, img, GF_SEC_RULE)[i].name)))
			return i;
	fail_msg("no rule %s", name);
	return 0;
}

static struct gf_event event(uint8_t kind, const char *rule)
{
	struct gf_event ev = { .seq = 7, .wall_ns = 1000000000123456789ull, .image_fp = img->fp, .kind = kind };

	ev.rule = rule ? rule_no(rule) : GF_NONE;
	ev.pid = 4242;
	ev.uid = 1000;
	ev.start_ns = 55;
	strcpy(ev.comm, "python3");
	return ev;
}

static struct gf_event action(void)
{
	struct gf_event ev = event(GF_EV_ACTION, "low");
	const struct gf_rule *r = &GF_SEC(struct gf_rule, img, GF_SEC_RULE)[ev.rule];

	ev.terms = 1;
	ev.term[0] = (struct gf_event_term){ .left = 312 * 0x1p20, .right = 398 * 0x1p20, .term = r->term, .truth = GF_TRUE };
	ev.candidates = 212;
	ev.chosen = ev.members = 1;
	ev.ranks = 3;
	ev.u.rank[0] = (struct gf_event_rank){ .key = 9 * 0x1p30, .pid = 4242, .why = GF_WHY_CHOSEN, .klass = 1, .by = GF_NONE, .comm = "python3" };
	ev.u.rank[1] = (struct gf_event_rank){ .key = 2 * 0x1p30, .pid = 77, .why = GF_WHY_RANKED_LOWER, .klass = 1, .by = GF_NONE, .comm = "firefox" };
	ev.u.rank[2] = (struct gf_event_rank){ .key = 0x1p30, .pid = 5, .why = GF_WHY_PROTECTED, .klass = 3, .by = 0, .comm = "sshd" };
	ev.notes = (uint8_t)GF_MIN(r->notes, GF_EVENT_NOTES);
	ev.note[0] = gf_unknown();
	ev.note[1] = 9 * 0x1p30;
	strcpy(ev.text, "python3");
	return ev;
}

static json_t *json(const struct gf_event *ev, const struct gf_image_header *i)
{
	struct gf_jbuf b = { 0 };
	json_error_t e;

	gf_event_json(ev, i, "box", false, &b);
	assert_false(b.failed);
	assert_null(memchr(b.p, '\n', b.n));
	json_t *j = json_loadb(b.p, b.n, JSON_REJECT_DUPLICATES, &e);
	if (!j)
		fail_msg("%s: %.*s", e.text, (int)b.n, b.p);
	gf_jbuf_deinit(&b);
	return j;
}

static void has(const char *text, const char *part)
{
	if (!strstr(text, part))
		fail_msg("\"%s\" is not in \"%s\"", part, text);
}

static void test_action(void **state)
{
	struct gf_event ev = action();
	char s[1024];

	(void)state;
	gf_event_sentence(&ev, img, s, sizeof s);
	has(s, "low: SIGTERM to python3 (pid 4242, uid 1000)");
	has(s, ": mem.available 312 MiB < 5% (398 MiB) for 2 s; largest of 212 candidates by rss (9 GiB)");
	has(s, "next: firefox (pid 77, 2 GiB)");
	has(s, "passed over: sshd (pid 5), protected by \"comm == \"sshd\"\"");
	has(s, "\"low: python3 has 9.0 GiB\"");
	assert_int_equal(gf_event_priority(&ev, img), LOG_WARNING);

	json_t *j = json(&ev, img);
	const char *kind, *rule, *act, *time, *why, *by, *notify, *left;
	int pid, seq, cand;
	assert_int_equal(json_unpack(j, "{s:i s:s s:s s:s s:s s:i s:s s:{s:i} s:[{s:s}] s:[{}{}{s:s s:s}]}", "seq", &seq, "kind", &kind,
				     "rule", &rule, "action", &act, "time", &time, "pid", &pid, "notify", &notify, "counts",
				     "candidates", &cand, "terms", "left_text", &left, "ranks", "why", &why, "by", &by), 0);
	assert_int_equal(seq, 7);
	assert_string_equal(kind, "action");
	assert_string_equal(rule, "low");
	assert_string_equal(act, "SIGTERM");
	assert_string_equal(time, "2001-09-09T01:46:40.123456789Z"); /* date -u -d @1000000000 */
	assert_int_equal(pid, 4242);
	assert_int_equal(cand, 212);
	assert_string_equal(left, "312.0 MiB");
	assert_string_equal(why, "protected");
	assert_string_equal(json_string_value(json_object_get(json_array_get(json_object_get(j, "ranks"), 2), "class")), "protected");
	has(by, "protect comm == \"sshd\" (p.policy:1)");
	assert_string_equal(notify, "low: python3 has 9.0 GiB");
	assert_null(json_object_get(j, "members"));
	assert_null(json_object_get(j, "held_back"));
	json_decref(j);

	ev.observed = 1;
	gf_event_sentence(&ev, img, s, sizeof s);
	has(s, "low: would send SIGTERM to python3");

	/* one hold over two comparisons is said once */
	ev = event(GF_EV_RULE_ON, "both");
	const struct gf_rule *both = &GF_SEC(struct gf_rule, img, GF_SEC_RULE)[ev.rule];
	assert_int_equal(both->terms, 2);
	ev.terms = 2;
	ev.term[0] = (struct gf_event_term){ .left = gf_unknown(), .right = gf_unknown(), .term = both->term, .truth = GF_TRUE };
	ev.term[1] = (struct gf_event_term){ .left = 113.6 * 0x1p20, .right = 50 * 0x1p20, .term = both->term + 1, .truth = GF_TRUE };
	assert_string_equal(gf_event_sentence(&ev, img, s, sizeof s),
			    "both: true now: comm == \"zqhog\" and rss 113.6 MiB > 50 MiB, for 300 ms");
}

/* What is done in a guest's memory: what was seen of it, and nothing more. */
/* The GPU's own. */
static void test_gpu_deliveries(void **state)
{
	struct gf_event ev = event(GF_EV_RESULT, "low");
	struct gf_event_member *m = &ev.u.member[0];
	const char *how, *became;
	char s[1024];

	(void)state;
	ev.step = 1;
	ev.count = 1;
	*m = (struct gf_event_member){ .pid = 4242, .exit_us = 1900, .how = GF_HOW_GPU_IRQ_WORK, .became = GF_BECAME_DELIVERED, .tries = 1 };
	assert_string_equal(gf_event_sentence_of(&ev, img, "vm1", s, sizeof s),
			    "vm1: low: python3 (pid 4242) gone 1.9 ms after SIGKILL (by the kernel's own sender, for the GPU)");
	m->how = GF_HOW_GPU_STORE;
	assert_string_equal(gf_event_sentence_of(&ev, img, "vm1", s, sizeof s),
			    "vm1: low: python3 (pid 4242) gone 1.9 ms after SIGKILL (by a store of the GPU's)");
	m->exit_us = GF_NONE;
	m->became = GF_BECAME_UNSEEN;
	assert_string_equal(gf_event_sentence_of(&ev, img, "vm1", s, sizeof s),
			    "vm1: low: python3 (pid 4242): whether it has taken SIGKILL is not known, the GPU was lost; it is still there");
	json_t *j = json(&ev, img);
	assert_int_equal(json_unpack(j, "{s:[{s:s s:s}]}", "members", "how", &how, "became", &became), 0);
	assert_string_equal(how, "gpu-store");
	assert_string_equal(became, "unseen");
	json_decref(j);
}

static void test_deliveries(void **state)
{
	static const struct {
		struct gf_event_member m;
		const char *sentence;
		int priority;
	} v[] = {
		{ { .pid = 4242, .exit_us = 1900, .how = GF_HOW_STORE, .became = GF_BECAME_DELIVERED, .tries = 1 },
		  "vm1: low: python3 (pid 4242) gone 1.9 ms after SIGKILL (by a store)", LOG_NOTICE },
		{ { .pid = 4242, .exit_us = 1900, .how = GF_HOW_IRQ_WORK, .became = GF_BECAME_DELIVERED, .tries = 3 },
		  "vm1: low: python3 (pid 4242) gone 1.9 ms after SIGKILL (by the kernel's own sender, 3 tries)", LOG_NOTICE },
		{ { .pid = 4242, .exit_us = GF_NONE, .how = GF_HOW_STORE, .became = GF_BECAME_DELIVERED, .tries = 1 },
		  "vm1: low: python3 (pid 4242) has taken SIGKILL (by a store), and is still there", LOG_NOTICE },
		{ { .pid = 4242, .exit_us = GF_NONE, .how = GF_HOW_STORE, .became = GF_BECAME_PENDING, .tries = 2 },
		  "vm1: low: python3 (pid 4242) has SIGKILL pending until it wakes (by a store, 2 tries)", LOG_NOTICE },
		{ { .pid = 4242, .exit_us = GF_NONE, .how = GF_HOW_STORE, .became = GF_BECAME_REFUSED, .why = GF_REF_TRACED, .error = -EPERM },
		  "vm1: low: SIGKILL to python3 (pid 4242) refused: it is being traced", LOG_WARNING },
		{ { .pid = 4242, .exit_us = GF_NONE, .how = GF_HOW_STORE, .became = GF_BECAME_LOST, .tries = 1 },
		  "vm1: low: SIGKILL to python3 (pid 4242) was lost: the target went away", LOG_WARNING },
	};
	struct gf_event ev = event(GF_EV_RESULT, "low");
	char s[1024];

	(void)state;
	ev.step = 1;
	ev.count = 1;
	for (size_t i = 0; i < sizeof v / sizeof *v; i++) {
		ev.u.member[0] = v[i].m;
		assert_string_equal(gf_event_sentence_of(&ev, img, "vm1", s, sizeof s), v[i].sentence);
		assert_int_equal(gf_event_priority(&ev, img), v[i].priority);
	}
	json_t *j = json(&ev, img);
	const char *how, *became, *error;
	int tries;
	assert_int_equal(json_unpack(j, "{s:[{s:s s:s s:s s:i}]}", "members", "how", &how, "became", &became, "error", &error, "tries", &tries), 0);
	assert_string_equal(how, "store");
	assert_string_equal(became, "lost");
	assert_string_equal(error, "the target went away");
	assert_int_equal(tries, 1);
	json_decref(j);
	/* several */
	for (uint32_t i = 0; i < 5; i++) {
		ev.u.member[i] = v[i + (i > 0)].m;
		ev.u.member[i].pid = (int32_t)(4242 + i);
	}
	ev.count = 5;
	assert_string_equal(gf_event_sentence(&ev, img, s, sizeof s),
			    "low: SIGKILL: 5 processes, 1 gone, taken by 1, pending in 1, lost with the target for 1, 1 not reached "
			    "(pid 4245: it is being traced)");
	/* asked of QEMU: no process */
	ev = event(GF_EV_RESULT, NULL);
	ev.count = 1;
	ev.pid = 0;
	ev.u.member[0] = (struct gf_event_member){ .exit_us = GF_NONE, .how = GF_HOW_QMP, .tries = 1 };
	assert_string_equal(gf_event_sentence(&ev, img, s, sizeof s), "the signal has been asked of QEMU");
}

static void test_kinds(void **state)
{
	struct gf_event ev = event(GF_EV_RESULT, "low");
	char s[1024];

	(void)state;
	ev.step = 1;
	ev.count = 1;
	ev.u.member[0] = (struct gf_event_member){ .pid = 4242, .exit_us = 3400 };
	has(gf_event_sentence(&ev, img, s, sizeof s), "low: python3 (pid 4242) gone 3.4 ms after SIGKILL");
	ev.u.member[0] = (struct gf_event_member){ .pid = 4242, .exit_us = GF_NONE, .error = -ESTALE };
	has(gf_event_sentence(&ev, img, s, sizeof s), "failed: another process has this pid now");
	assert_int_equal(gf_event_priority(&ev, img), LOG_WARNING);
	ev.u.member[0].error = -ESRCH;
	has(gf_event_sentence(&ev, img, s, sizeof s), "was gone before SIGKILL");
	ev = event(GF_EV_HELD_BACK, "low");
	ev.held_back = GF_HB_BUDGET;
	has(gf_event_sentence(&ev, img, s, sizeof s), "low: true, but held back: the budget");
	ev = event(GF_EV_NO_VICTIM, "low");
	ev.candidates = 9;
	ev.protect = 8;
	ev.pid = 0;
	has(gf_event_sentence(&ev, img, s, sizeof s), "of 9 candidates 0 may never be touched, 8 protected");
	ev = event(GF_EV_SKIPPED, "low");
	ev.step = 1;
	has(gf_event_sentence(&ev, img, s, sizeof s), "SIGKILL\" skipped: its victims are gone");
	ev = event(GF_EV_MISSED, NULL);
	ev.count = 1;
	assert_string_equal(gf_event_sentence(&ev, img, s, sizeof s), "1 tick missed");
	ev = event(GF_EV_ACTION, "hog");
	has(gf_event_sentence(&ev, img, s, sizeof s), "hog: renice +10 of python3");
	ev.observed = 1;
	has(gf_event_sentence(&ev, img, s, sizeof s), "hog: would renice +10 of python3");
	ev = event(GF_EV_ACTION, "tell");
	ev.pid = 0;
	has(gf_event_sentence(&ev, img, s, sizeof s), "tell: log");
	assert_int_equal(gf_event_priority(&ev, img), LOG_NOTICE);
}

/* Names of processes are whatever their owners like. */
static void test_hostile_names(void **state)
{
	static const char *const names[] = {
		"\x1b[31m\"'\\", "a\nb\tc", "\xff\xfe\xc3", "\xc3\xa4\xe2\x82\xac", "\xc2\x9b" "2J", "\xed\xa0\x80", "$(reboot)`id`%s%n",
	};
	char s[1024];

	(void)state;
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		struct gf_event ev = action();
		memset(ev.comm, 'x', sizeof ev.comm);
		memcpy(ev.comm, names[i], GF_MIN(strlen(names[i]) + 1, sizeof ev.comm));
		memcpy(ev.u.rank[0].comm, ev.comm, sizeof ev.comm);
		strcpy(ev.text, names[i]);
		json_t *j = json(&ev, img); /* jansson refuses what is not UTF-8 */
		const char *sentence = json_string_value(json_object_get(j, "sentence"));
		for (const char *p = sentence; *p; p++)
			assert_true((unsigned char)*p >= 0x20 && *p != 0x7f && !(*p == '\xc2' && (unsigned char)p[1] < 0xa0));
		json_decref(j);
	}
	struct gf_event ev = action();
	memcpy(ev.comm, "0123456789abcdef", sizeof ev.comm); /* no NUL at the end */
	json_t *j = json(&ev, img);
	assert_string_equal(json_string_value(json_object_get(j, "comm")), "0123456789abcdef");
	json_decref(j);
	assert_string_equal(gf_safe_text("\xc3\xa4\xc3\xa4", 4, s, 4), "\xc3\xa4"); /* cut between characters */
	/* what reorders text or has no width, and its neighbours */
	assert_string_equal(gf_safe_text("a\u202eb\u200b\u061c\u2066", 13, s, sizeof s), "a\\u202eb\\u200b\\u061c\\u2066");
	assert_string_equal(gf_safe_text("\u2010\u202f\u061b\u206a", 11, s, sizeof s), "\u2010\u202f\u061b\u206a");
	assert_string_equal(gf_safe_text("\u202e", 3, s, 6), "");
}

/* No image, or bytes that mean nothing in it: still JSON, still a sentence. */
static void test_nonsense(void **state)
{
	unsigned seed = 3;
	char s[1024];

	(void)state;
	for (int i = 0; i < 3000; i++) {
		struct gf_event ev;
		for (size_t k = 0; k < sizeof ev; k++)
			((uint8_t *)&ev)[k] = (uint8_t)rand_r(&seed);
		if (i & 1)
			ev = action();
		ev.kind = (uint8_t)(rand_r(&seed) % 12);
		ev.rule = (uint32_t)rand_r(&seed) % 5;
		ev.step = (uint8_t)(rand_r(&seed) % 4);
		ev.wall_ns %= 1ull << 62;
		ev.terms = (uint8_t)rand_r(&seed);
		ev.ranks = (uint8_t)rand_r(&seed);
		ev.notes = (uint8_t)rand_r(&seed);
		ev.term[rand_r(&seed) % 16].term = (uint32_t)rand_r(&seed) % 8;
		json_decref(json(&ev, i % 3 ? img : NULL));
		gf_event_sentence(&ev, img, s, 1 + (size_t)rand_r(&seed) % sizeof s);
		gf_event_notify(&ev, img, s, 1 + (size_t)rand_r(&seed) % 64);
	}
}

static void test_numbers(void **state)
{
	struct gf_jbuf b = { 0 };

	(void)state;
	gf_jbuf_open(&b, '[');
	gf_jbuf_num(&b, 25276510208.0);
	gf_jbuf_num(&b, gf_unknown());
	gf_jbuf_num(&b, 1e308 * 10);
	gf_jbuf_num(&b, 0.25);
	gf_jbuf_num(&b, -3);
	gf_jbuf_uint(&b, UINT64_MAX);
	gf_jbuf_bool(&b, true);
	gf_jbuf_open(&b, '{');
	gf_jbuf_kint(&b, "a", INT64_MIN);
	gf_jbuf_kstr(&b, "b", NULL);
	gf_jbuf_close(&b, '}');
	gf_jbuf_close(&b, ']');
	gf_jbuf_raw(&b, "", 1);
	assert_string_equal(b.p, "[25276510208,null,null,0.25,-3,9223372036854775807,true,{\"a\":-9223372036854775808,\"b\":null}]");
	gf_jbuf_deinit(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_action), cmocka_unit_test(test_deliveries),
		cmocka_unit_test(test_gpu_deliveries), cmocka_unit_test(test_kinds), cmocka_unit_test(test_hostile_names),
		cmocka_unit_test(test_nonsense), cmocka_unit_test(test_numbers),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, compile, done);
}
