/* SPDX-License-Identifier: MIT
 *
 * What policies do, to whom and when: classes, selectors, steps and clauses, from
 * their text. Every expectation is worked out by hand from the description of the
 * language; the policy at its head comes first.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "tests/unit/world.h"

/* The policy at the head of the description: it warns of the kills that nothing
 * holds back, and of nothing else. */
static const char head[] =
	"if rss > 80% then SIGKILL largest\n"
	"let interactive = comm in (\"sshd\", \"bash\", \"zsh\", \"tmux: server\")\n"
	"let browser     = comm ~ /^(chrom|firefox|Web Content)/\n"
	"protect interactive and age < 1min\n"
	"prefer  browser\n"
	"avoid   uid < 1000\n"
	"rule low-memory \"memory is nearly gone\"\n"
	"  if mem.available < 5% for 2s until mem.available > 10%\n"
	"  then SIGTERM largest where not browser or rate(rss, 5s) > 10MiB\n"
	"  then after 5s SIGKILL\n"
	"  cooldown 30s  limit 3 per 10min\n"
	"rule fork-bomb\n"
	"  if tasks.rate > 500/s or count(where age < 1s) > 2000\n"
	"  then SIGSTOP tree of newest where children > 50\n"
	"  then after 1s SIGKILL\n"
	"  notify \"fork bomb from {comm} (pid {pid}, uid {uid})\"\n"
	"rule cpu-hog\n"
	"  if cpu > 95% for 30s and nice < 10\n"
	"  then SIGSTOP it then after 5s SIGCONT\n";

static void head_warnings(void **state)
{
	const struct gf_compile_opts co = { .target = GF_TARGET_HOST };
	const struct gf_source src = { .name = "p", .text = head, .len = strlen(head) };
	struct gf_image_header *img = NULL;
	struct gf_diags diags = { .limit = 20 };
	uint32_t line, col;
	size_t size;

	(void)state;
	assert_int_equal(gf_compile(&src, 1, &co, &diags, &img, &size), 0);
	assert_int_equal(diags.n, 2);
	for (size_t i = 0; i < 2; i++) {
		assert_string_equal(diags.v[i].code, "W002");
		gf_source_locate(&src, diags.v[i].span.start, &line, &col);
		assert_int_equal(line, i ? 15 : 1);
	}
	gf_diags_deinit(&diags);
	free(img);
}

static void head_low_memory(void **state)
{
	struct world w;

	(void)state;
	begin(&w, head);
	task(&w, 0, "bash", 300 * MiB);
	set(&w, 0, "age", 59e9);
	task(&w, 1, "firefox", 200 * MiB);
	task(&w, 2, "java", 100 * MiB);
	task(&w, 3, "udisksd", 400 * MiB);
	set(&w, 3, "uid", 0);
	host(&w, "mem.available", 49 * MiB);
	QUIET(&w, 2);
	/* firefox is a browser and does not grow (known? not yet): not taken */
	EXPECT(&w, "TERM java");
	host(&w, "mem.available", 99 * MiB);
	QUIET(&w, 4);
	EXPECT(&w, "KILL java"); /* after 5 s */
	gone(&w, 2);
	QUIET(&w, 28); /* 30 s of cooldown; firefox begins to grow in time */
	set(&w, 1, "rss", 240 * MiB);
	QUIET(&w, 1);
	set(&w, 1, "rss", 260 * MiB); /* 60 MiB in 5 s */
	EXPECT(&w, "TERM firefox"); /* preferred, and active until 10 % are free */
	assert_int_equal(event_of(&w, GF_EV_ACTION)->protect, 1);
	gone(&w, 1);
	host(&w, "mem.available", 101 * MiB);
	QUIET(&w, 60);
	end(&w);
}

static void head_fork_bomb(void **state)
{
	const struct gf_event *ev;
	struct world w;

	(void)state;
	begin(&w, head);
	task(&w, 0, "sh", MiB);
	task(&w, 1, "bomb", MiB);
	task(&w, 2, "bit", MiB);
	w.f->t.sample.parent[1] = 0;
	w.f->t.sample.parent[2] = 1;
	set(&w, 0, "children", 51);
	set(&w, 1, "children", 51);
	set(&w, 2, "children", 50);
	host(&w, "tasks.forks", 0);
	QUIET(&w, 1);
	host(&w, "tasks.forks", 501);
	EXPECT(&w, "STOP bomb, STOP bit");
	ev = event_of(&w, GF_EV_ACTION);
	assert_int_equal(ev->pid, 101);
	assert_string_equal(ev->text, "bomb");
	host(&w, "tasks.forks", 501); /* over, and yet */
	EXPECT(&w, "KILL bomb, KILL bit");
	end(&w);
}

static void head_cpu_hog(void **state)
{
	struct world w;
	int k;

	(void)state;
	begin(&w, head);
	task(&w, 0, "hog", MiB);
	task(&w, 1, "nice", MiB);
	set(&w, 1, "nice", 10);
	for (k = 0; k <= 31; k++) { /* a second's window, then 30 s */
		set(&w, 0, "cputime", 1e9 * k);
		set(&w, 1, "cputime", 1e9 * k);
		EXPECT(&w, k == 31 ? "STOP hog" : "");
	}
	QUIET(&w, 4);
	EXPECT(&w, "CONT hog");
	end(&w);
}

/* ---- whom */

static void classes(void **state)
{
	struct world w;

	(void)state;
	begin(&w, "protect comm == \"sshd\" and age < 1min protect cmdline ~ \"*keep*\"\n"
		  "prefer comm ~ /^(chrom|firefox)/ avoid uid < 1000\n"
		  "if mem.available < 5% then SIGTERM largest settle 0s");
	task(&w, 0, "sshd", 900 * MiB);
	set(&w, 0, "age", 59e9);
	task(&w, 1, "unread", 800 * MiB); /* its command line is not known: protected */
	task(&w, 2, "keeper", 700 * MiB);
	text(&w, 2, "cmdline", "db --keep it");
	task(&w, 3, "root", 600 * MiB);
	set(&w, 3, "uid", 999);
	task(&w, 4, "plain", 500 * MiB);
	task(&w, 5, "chromium", 10 * MiB);
	task(&w, 6, "xchromium", 20 * MiB);
	for (uint32_t i = 3; i < 7; i++)
		text(&w, i, "cmdline", "x");
	host(&w, "mem.available", 49 * MiB);
	EXPECT(&w, "TERM chromium");
	assert_int_equal(event_of(&w, GF_EV_ACTION)->candidates, 7);
	assert_int_equal(event_of(&w, GF_EV_ACTION)->protect, 3);
	gone(&w, 5);
	EXPECT(&w, "TERM plain");
	gone(&w, 4);
	EXPECT(&w, "TERM xchromium");
	gone(&w, 6);
	EXPECT(&w, "TERM root"); /* avoided is not protected */
	gone(&w, 3);
	QUIET(&w, 1);
	assert_non_null(event_of(&w, GF_EV_NO_VICTIM));
	text(&w, 1, "cmdline", "now it is read");
	EXPECT(&w, "TERM unread");
	gone(&w, 1);
	text(&w, 0, "cmdline", "sshd");
	QUIET(&w, 1);
	set(&w, 0, "age", 60e9);
	EXPECT(&w, "TERM sshd");
	end(&w);
}

/* A protection may be of the whole host: nothing is touched while it is not false. */
static void nobody_for_now(void **state)
{
	struct world w;

	(void)state;
	begin(&w, "protect uptime < 5min if mem.available < 5% then SIGTERM largest");
	task(&w, 0, "a", 900 * MiB);
	host(&w, "mem.available", 49 * MiB);
	QUIET(&w, 1); /* not known */
	host(&w, "uptime", 299e9);
	QUIET(&w, 1);
	host(&w, "uptime", 300e9);
	EXPECT(&w, "TERM a");
	end(&w);
}

static void immune(void **state)
{
	static const char rule_text[] = "if mem.available < 5% then SIGTERM largest where rss > 1MiB settle 0s";
	char policy[200];
	struct world w;

	(void)state;
	for (int un = 0; un < 2; un++) {
		snprintf(policy, sizeof policy, "%s %s", un ? "unprotect comm == \"vm\"" : "", rule_text);
		begin(&w, policy);
		host(&w, "mem.available", 49 * MiB);
		task(&w, 0, "vm", 900 * MiB);
		task(&w, 1, "udev", 800 * MiB);
		task(&w, 2, "a", 2 * MiB);
		w.f->t.sample.flags[0] |= GF_ROW_OOM_IMMUNE;
		w.f->t.sample.flags[1] |= GF_ROW_OOM_IMMUNE;
		EXPECT(&w, un ? "TERM vm" : "TERM a");
		end(&w);
	}
}

static void selectors(void **state)
{
	static const struct { const char *step, *does; } c[] = {
		{ "SIGTERM largest", "TERM d" },
		{ "SIGTERM largest 2", "TERM d, TERM c" },
		{ "SIGTERM smallest", "TERM a" },
		{ "SIGTERM smallest 3 by rss", "TERM a, TERM b, TERM c" },
		{ "SIGTERM largest by anon", "TERM a" },
		{ "SIGTERM largest 2 by rss + 100 * anon", "TERM d, TERM b" }, /* all 500: the youngest first */
		{ "SIGTERM oldest", "TERM c" },
		{ "SIGTERM newest 2", "TERM d, TERM b" },
		{ "SIGTERM largest where rss < 300MiB", "TERM b" },
		{ "SIGTERM it where rss between 100MiB and 200MiB", "TERM b, TERM a" },
		{ "SIGTERM each where children >= 2", "TERM d, TERM b" },
		{ "SIGTERM oldest 2 where comm != \"c\"", "TERM a, TERM b" },
		{ "KILL largest", "KILL d" },
		{ "USR1 largest", "USR1 d" },
		{ "renice +10 largest", "RENICE d" },
		{ "log largest", "LOG d" },
		{ "log", "LOG" },
		{ "notify \"memory\"", "NOTIFY" },
		{ "run page largest", "RUN d" },
	};
	char policy[200];
	struct world w;

	(void)state;
	for (size_t i = 0; i < sizeof c / sizeof *c; i++) {
		snprintf(policy, sizeof policy, "if mem.available < 5%% then %s", c[i].step);
		begin(&w, policy);
		four(&w);
		if (strcmp(tick(&w), c[i].does) != 0)
			fail_msg("%s: did \"%s\", not \"%s\"", c[i].step, w.said, c[i].does);
		end(&w);
	}
}

/* Candidates are the tasks for which the condition holds; `it` is all of them up to the limit. */
static void candidates(void **state)
{
	struct world w;

	(void)state;
	begin(&w, "if rss >= 200MiB and rss < 400MiB then SIGTERM largest");
	four(&w);
	EXPECT(&w, "TERM c");
	assert_int_equal(event_of(&w, GF_EV_ACTION)->candidates, 2);
	end(&w);
	begin(&w, "if rss >= 200MiB then SIGTERM it limit 2 per 1h settle 0s");
	four(&w);
	tick(&w);
	assert_int_equal(w.verdicts, 2);
	QUIET(&w, 1);
	assert_int_equal(event_of(&w, GF_EV_HELD_BACK)->held_back, GF_HB_LIMIT);
	end(&w);
}

/* init ── sh ── make ── cc
 *           └─ vi            */
static void family(struct world *w)
{
	static const char *const name[] = { "init", "sh", "make", "cc", "vi", "other" };
	static const uint32_t up[] = { GF_NONE, 0, 1, 2, 1, 0 };

	for (uint32_t i = 0; i < 6; i++) {
		task(w, i, name[i], (10 + i) * MiB);
		w->f->t.sample.parent[i] = up[i];
		set(w, i, "pgrp", i == 3 ? 102 : 100 + i);
		set(w, i, "session", i ? 101 : 100);
		set(w, i, "uid", i == 5 ? 1001 : 1000);
	}
	w->f->t.sample.flags[0] |= GF_ROW_INIT;
	text(w, 2, "cgroup", "/build");
	text(w, 3, "cgroup", "/build");
	text(w, 4, "cgroup", "/build/sub");
	text(w, 1, "cgroup", "/");
	text(w, 5, "cgroup", "/");
	host(w, "mem.available", 49 * MiB);
}

static void groups(void **state)
{
	static const struct { const char *step, *does; } c[] = {
		{ "SIGTERM tree of it where comm == \"make\"", "TERM make, TERM cc" },
		{ "SIGTERM tree of it where comm == \"sh\"", "TERM sh, TERM vi, TERM make, TERM cc" }, /* parents first */
		{ "SIGTERM pgrp of it where comm == \"cc\"", "TERM cc, TERM make" },
		{ "SIGTERM session of largest where comm in (\"vi\")", "TERM vi, TERM sh, TERM make, TERM cc, TERM other" },
		{ "SIGTERM user of oldest where comm ~ \"s?\"", "TERM sh, TERM make, TERM cc, TERM vi" },
		{ "SIGTERM cgroup of it where comm == \"make\"", "TERM make, TERM cc" },
		{ "SIGTERM cgroup of it where comm == \"sh\"", "TERM sh" }, /* the root is no group */
		{ "SIGTERM it where comm == \"init\"", "" },
	};
	char policy[200];
	struct world w;

	(void)state;
	for (size_t i = 0; i < sizeof c / sizeof *c; i++) {
		snprintf(policy, sizeof policy, "if mem.available < 5%% then %s", c[i].step);
		begin(&w, policy);
		family(&w);
		if (strcmp(tick(&w), c[i].does) != 0)
			fail_msg("%s: did \"%s\", not \"%s\"", c[i].step, w.said, c[i].does);
		end(&w);
	}
	begin(&w, "protect comm == \"make\" if mem.available < 5% then SIGTERM tree of largest where comm == \"sh\"");
	family(&w);
	EXPECT(&w, "TERM sh, TERM vi, TERM cc");
	end(&w);
}

static void relatives(void **state)
{
	static const struct { const char *cond, *does; } c[] = {
		{ "parent(comm == \"sh\")", "LOG make, LOG vi" },
		{ "ancestor(comm == \"sh\")", "LOG make, LOG cc, LOG vi" },
		{ "not ancestor(comm == \"sh\")", "LOG sh, LOG other" }, /* init: may not be touched */
		{ "parent(comm == \"make\") or parent(parent(comm == \"init\"))", "LOG make, LOG cc, LOG vi" },
		{ "tree(rss) > 26MiB and comm != \"init\"", "LOG sh" }, /* sh 11+12+13+14, make 12+13 */
		{ "tree(rss) >= 25MiB and rss < 13MiB and comm != \"init\"", "LOG sh, LOG make" },
		{ "uid == 1001", "LOG other" },
		{ "ppid == 101", "" }, /* not known */
	};
	char policy[300], sorted[512];
	struct world w;

	(void)state;
	for (size_t i = 0; i < sizeof c / sizeof *c; i++) {
		snprintf(policy, sizeof policy, "if %s then log it", c[i].cond);
		begin(&w, policy);
		family(&w);
		tick(&w);
		/* in the order of rows */
		sorted[0] = '\0';
		for (uint32_t row = 0; row < 6; row++)
			for (size_t k = 0; k < w.verdicts; k++)
				if (w.v[k].row == row) {
					w.said[0] = '\0';
					say(&w, &w.v[k]);
					snprintf(sorted + strlen(sorted), sizeof sorted - strlen(sorted), "%s%s",
						 *sorted ? ", " : "", w.said);
				}
		if (strcmp(sorted, c[i].does) != 0)
			fail_msg("%s: did \"%s\", not \"%s\"", c[i].cond, sorted, c[i].does);
		end(&w);
	}
}

/* ---- steps and clauses */

static void steps_after(void **state)
{
	struct world w;

	(void)state;
	begin(&w, "if mem.available < 5% then SIGTERM largest 2 then after 3s SIGKILL");
	four(&w);
	EXPECT(&w, "TERM d, TERM c");
	host(&w, "mem.available", 900 * MiB); /* goes on all the same */
	QUIET(&w, 1);
	gone(&w, 3); /* d obeyed; its row is someone else's now */
	task(&w, 3, "new", 900 * MiB);
	QUIET(&w, 1);
	EXPECT(&w, "KILL c");
	end(&w);

	begin(&w, "if mem.available < 5% then SIGTERM largest then after 3s SIGKILL then SIGCONT smallest");
	four(&w);
	EXPECT(&w, "TERM d");
	gone(&w, 3);
	EXPECT(&w, "CONT a"); /* nobody to wait for */
	assert_non_null(event_of(&w, GF_EV_SKIPPED));
	end(&w);

	begin(&w, "if rss >= 400MiB then SIGSTOP it then after 5s SIGCONT");
	four(&w);
	EXPECT(&w, "STOP d");
	QUIET(&w, 4);
	EXPECT(&w, "CONT d");
	end(&w);
}

static void settle_and_cooldown(void **state)
{
	struct world w;

	(void)state;
	begin(&w, "if mem.available < 5% then SIGTERM largest settle 4s");
	four(&w);
	EXPECT(&w, "TERM d");
	QUIET(&w, 3);
	EXPECT(&w, "TERM d"); /* 4 s and still there: once more */
	gone(&w, 3);
	EXPECT(&w, "TERM c"); /* gone: no need to wait */
	end(&w);

	begin(&w, "if mem.available < 5% then SIGTERM largest");
	four(&w);
	EXPECT(&w, "TERM d");
	QUIET(&w, 9);
	EXPECT(&w, "TERM d"); /* 10 s unless it is said */
	end(&w);

	begin(&w, "if mem.available < 5% then SIGTERM largest then after 2s SIGKILL cooldown 5s");
	four(&w);
	EXPECT(&w, "TERM d");
	QUIET(&w, 1);
	EXPECT(&w, "KILL d");
	gone(&w, 3);
	QUIET(&w, 4);
	EXPECT(&w, "TERM c"); /* 5 s after the last step */
	end(&w);
}

static void limits(void **state)
{
	struct world w;

	(void)state;
	begin(&w, "if mem.available < 5% then SIGTERM largest limit 2 per 10s settle 0s");
	four(&w);
	EXPECT(&w, "TERM d");
	EXPECT(&w, "TERM d");
	QUIET(&w, 8);
	EXPECT(&w, "TERM d"); /* the first is 10 s ago */
	end(&w);

	/* Past the budget nothing acts, whoever asks; reports go on. */
	begin_with(&w, "rule a if mem.available < 5% then SIGTERM largest settle 0s\n"
		       "rule b if mem.available < 5% then log settle 0s", 3);
	four(&w);
	for (int i = 0; i < 3; i++)
		EXPECT(&w, "TERM d, LOG");
	EXPECT(&w, "LOG");
	assert_int_equal(event_of(&w, GF_EV_HELD_BACK)->held_back, GF_HB_BUDGET);
	end(&w);
}

static void priorities(void **state)
{
	struct world w;

	(void)state;
	begin(&w, "rule low if mem.available < 5% then SIGTERM largest\n"
		  "rule high if mem.available < 5% then SIGKILL largest priority 5\n"
		  "rule also if mem.available < 5% then SIGINT largest");
	four(&w);
	/* The highest priority, then the order of the file; whom one has no other takes. */
	EXPECT(&w, "KILL d, TERM c, INT b");
	end(&w);
}

static void observing(void **state)
{
	struct world w;

	(void)state;
	begin(&w, "rule a if mem.available < 5% then SIGKILL largest observe\n"
		  "rule b if mem.available < 5% then SIGTERM largest");
	four(&w);
	EXPECT(&w, "KILL d (observed), TERM d"); /* what is only reported is nobody's victim */
	end(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(head_warnings),
		cmocka_unit_test(head_low_memory),
		cmocka_unit_test(head_fork_bomb),
		cmocka_unit_test(head_cpu_hog),
		cmocka_unit_test(classes),
		cmocka_unit_test(nobody_for_now),
		cmocka_unit_test(immune),
		cmocka_unit_test(selectors),
		cmocka_unit_test(candidates),
		cmocka_unit_test(groups),
		cmocka_unit_test(relatives),
		cmocka_unit_test(steps_after),
		cmocka_unit_test(settle_and_cooldown),
		cmocka_unit_test(limits),
		cmocka_unit_test(priorities),
		cmocka_unit_test(observing),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
