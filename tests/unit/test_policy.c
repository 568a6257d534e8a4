/* SPDX-License-Identifier: MIT
 *
 * When policies are true: conditions, from their text to the tick in which they
 * fire. Every expectation is worked out by hand from the description of the language.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "tests/unit/world.h"

/* ---- the first line of the description, and percentages */

static void one_line(void **state)
{
	struct world w;

	(void)state;
	begin(&w, "if rss > 80% then SIGKILL largest");
	task(&w, 0, "edge", 800 * MiB); /* not more than 80 % */
	QUIET(&w, 2);
	task(&w, 1, "more", 801 * MiB);
	task(&w, 2, "most", 900 * MiB);
	EXPECT(&w, "KILL most");
	QUIET(&w, 3); /* it is still there */
	gone(&w, 2);
	EXPECT(&w, "KILL more");
	gone(&w, 1);
	QUIET(&w, 2);
	end(&w);
}

static void percent_of_swap(void **state)
{
	struct world w;

	(void)state;
	begin(&w, "if swap.free <= 10% or swap.used >= 90% or swap.used > 5% then SIGKILL largest");
	task(&w, 0, "a", MiB);
	host(&w, "swap.total", 0); /* no swap: none of it is free or used */
	host(&w, "swap.free", 0);
	host(&w, "swap.used", 0);
	QUIET(&w, 3);
	host(&w, "swap.total", 100 * MiB);
	host(&w, "swap.free", 95 * MiB);
	host(&w, "swap.used", 5 * MiB);
	QUIET(&w, 3);
	host(&w, "swap.used", 6 * MiB);
	EXPECT(&w, "KILL a");
	end(&w);
}

static void percent_of_a_cpu(void **state)
{
	struct world w;

	(void)state;
	begin(&w, "if cpu > 150% then SIGSTOP it if cpu.busy > 90% then SIGTERM oldest");
	task(&w, 0, "two", MiB);
	task(&w, 1, "one", MiB);
	host(&w, "cpu.count", 4);
	for (int i = 0; i < 2; i++) { /* 2 CPUs and 1 CPU; all: 3.5 of 4 */
		set(&w, 0, "cputime", 2e9 * i);
		set(&w, 1, "cputime", 1e9 * i);
		host(&w, "cpu.busytime", 3.5e9 * i);
		EXPECT(&w, i ? "STOP two" : "");
	}
	host(&w, "cpu.busytime", 3.5e9 + 3.7e9); /* 92.5 % of all */
	set(&w, 0, "cputime", 2e9);
	set(&w, 1, "cputime", 1e9);
	EXPECT(&w, "TERM one"); /* the other is the first rule's victim still */
	end(&w);
}

/* ---- time */

static void for_a_time(void **state)
{
	struct world w;

	(void)state;
	begin(&w, "if rss > 500MiB for 3s then SIGKILL it");
	task(&w, 0, "a", 600 * MiB);
	task(&w, 1, "b", MiB);
	QUIET(&w, 1); /* a since now */
	set(&w, 1, "rss", 600 * MiB);
	QUIET(&w, 2); /* b since the first of these */
	EXPECT(&w, "KILL a");
	gone(&w, 0);
	EXPECT(&w, "KILL b");
	end(&w);

	begin(&w, "if mem.available < 10% for 3s then SIGKILL largest");
	task(&w, 0, "a", MiB);
	host(&w, "mem.available", 50 * MiB);
	QUIET(&w, 3);
	host(&w, "mem.available", 500 * MiB); /* a gap */
	QUIET(&w, 1);
	host(&w, "mem.available", 50 * MiB);
	QUIET(&w, 3);
	EXPECT(&w, "KILL a");
	end(&w);
}

static void for_periods(void **state)
{
	struct world w;

	(void)state;
	begin(&w, "if rss > 500MiB for 3 periods then SIGKILL it");
	task(&w, 0, "a", 600 * MiB);
	QUIET(&w, 2);
	set(&w, 0, "rss", gf_unknown()); /* unknown is a gap as well */
	QUIET(&w, 1);
	set(&w, 0, "rss", 600 * MiB);
	QUIET(&w, 2);
	EXPECT(&w, "KILL a");
	end(&w);
}

static void times_within(void **state)
{
	static const double mem[] = { 50, 500, 50, 500, 500, 500, 500, 500, 500, 500, 50, 500, 50 };
	struct world w;

	(void)state;
	/* Ticks 0, 2 and 10, 12: never three within 5 s, until 14. */
	begin(&w, "if mem.available < 10% for 3 times within 5s then SIGKILL largest");
	task(&w, 0, "a", MiB);
	for (size_t i = 0; i < sizeof mem / sizeof *mem; i++) {
		host(&w, "mem.available", mem[i] * MiB);
		QUIET(&w, 1);
	}
	host(&w, "mem.available", 500 * MiB);
	QUIET(&w, 1);
	host(&w, "mem.available", 50 * MiB);
	EXPECT(&w, "KILL a");
	end(&w);
}

/* The hold is of the comparison that it stands behind, not of the whole. */
static void for_inside(void **state)
{
	struct world w;

	(void)state;
	begin(&w, "if rss > 500MiB for 3s and nice < 10 then SIGSTOP it");
	task(&w, 0, "a", 600 * MiB);
	set(&w, 0, "nice", 15);
	QUIET(&w, 6);
	set(&w, 0, "nice", 0);
	EXPECT(&w, "STOP a");
	end(&w);

	begin(&w, "if held(rss > 500MiB, 3s) and nice < 10 then SIGSTOP it");
	task(&w, 0, "a", 600 * MiB);
	QUIET(&w, 3);
	EXPECT(&w, "STOP a");
	end(&w);
}

static void until_some_distance(void **state)
{
	struct world w;

	(void)state;
	begin(&w, "if mem.available < 5% until mem.available > 10% then SIGTERM largest settle 0s");
	task(&w, 0, "a", MiB);
	host(&w, "mem.available", 70 * MiB);
	QUIET(&w, 2);
	host(&w, "mem.available", 49 * MiB);
	EXPECT(&w, "TERM a");
	assert_non_null(event_of(&w, GF_EV_RULE_ON));
	host(&w, "mem.available", 70 * MiB); /* once active, it stays so */
	EXPECT(&w, "TERM a");
	host(&w, "mem.available", gf_unknown()); /* unknown is not true */
	QUIET(&w, 1);
	host(&w, "mem.available", 100 * MiB);
	EXPECT(&w, "TERM a");
	host(&w, "mem.available", 101 * MiB);
	QUIET(&w, 1);
	assert_non_null(event_of(&w, GF_EV_RULE_OFF));
	host(&w, "mem.available", 70 * MiB);
	QUIET(&w, 2);
	end(&w);

	/* Per task, where it reads task fields. */
	begin(&w, "if rss > 500MiB until rss < 100MiB then SIGTERM it settle 0s");
	task(&w, 0, "a", 501 * MiB);
	task(&w, 1, "b", 400 * MiB);
	EXPECT(&w, "TERM a");
	set(&w, 0, "rss", 100 * MiB);
	EXPECT(&w, "TERM a");
	set(&w, 0, "rss", 99 * MiB);
	QUIET(&w, 1);
	end(&w);
}

/* Per task, where the condition reads task fields: a counts no sample of b's. */
static void times_of_a_task(void **state)
{
	static const double rss[][2] = { { 600, 1 }, { 1, 600 }, { 600, 1 }, { 1, 600 }, { 1, 1 }, { 1, 600 } };
	struct world w;

	(void)state;
	begin(&w, "if rss > 500MiB 3 times within 9s then log it");
	task(&w, 0, "a", MiB);
	task(&w, 1, "b", MiB);
	for (size_t i = 0; i < 6; i++) {
		set(&w, 0, "rss", rss[i][0] * MiB);
		set(&w, 1, "rss", rss[i][1] * MiB);
		EXPECT(&w, i == 5 ? "LOG b" : "");
	}
	end(&w);
}

/* "N times within" stays true while its window remembers; until ends it at once. */
static void times_until(void **state)
{
	struct world w;

	(void)state;
	for (int until = 0; until < 2; until++) {
		begin(&w, until ? "if mem.available < 10% 2 times within 9s until mem.available > 20% then log settle 0s" :
				  "if mem.available < 10% 2 times within 9s then log settle 0s");
		host(&w, "mem.available", 50 * MiB);
		QUIET(&w, 1);
		EXPECT(&w, "LOG");
		host(&w, "mem.available", 150 * MiB);
		EXPECT(&w, "LOG");
		host(&w, "mem.available", 500 * MiB);
		EXPECT(&w, until ? "" : "LOG");
		end(&w);
	}
}

/* More comparisons than an image has terms, and than an explanation has places. */
static void many_terms(void **state)
{
	char policy[4096] = "if fds > 5";
	struct world w;

	(void)state;
	for (int i = 0; i < 60; i++)
		snprintf(policy + strlen(policy), sizeof policy - strlen(policy), " or uid == %d and rss > %dMiB", 2000 + i, 100 + i);
	strcat(policy, " then log it");
	begin(&w, policy);
	task(&w, 0, "a", 159 * MiB);
	set(&w, 0, "uid", 2059);
	QUIET(&w, 1);
	set(&w, 0, "rss", 160 * MiB);
	EXPECT(&w, "LOG a");
	assert_int_equal(event_of(&w, GF_EV_ACTION)->terms, GF_EVENT_TERMS);
	end(&w);
}

/* ---- unknown */

static void three_values(void **state)
{
	static const struct { const char *policy, *does; } c[] = {
		{ "if load.1 > 5 then SIGKILL largest", "" },
		{ "if not load.1 > 5 then SIGKILL largest", "" },
		{ "if load.1 > 5 or mem.total > 1MiB then SIGKILL largest", "KILL a" },
		{ "if load.1 > 5 and mem.total > 1MiB then SIGKILL largest", "" },
		{ "if not (load.1 > 5 and mem.total < 1MiB) then SIGKILL largest", "KILL a" },
		{ "if load.1 + 1 > 1.5 then SIGKILL largest", "" },
		{ "if load.1 != 5 then SIGKILL largest", "" },
		{ "if fds > 5 then SIGKILL it", "" },
		{ "if not fds > 5 then SIGKILL it", "" },
		{ "if not comm == \"b\" and not exe == \"/x\" then SIGKILL it", "" },
		{ "if mem.total > 1MiB then SIGKILL largest where fds > 5", "" },
		{ "if mem.total > 1MiB then SIGKILL largest where not fds > 5", "" },
		{ "if mem.total > 1MiB then SIGKILL largest by fds", "" },
		{ "if not available(load.1) then SIGKILL largest", "KILL a" },
		{ "if available(load.1) and load.1 > 0.5 then SIGKILL largest", "" },
		{ "if available(rss) and not available(fds) then SIGKILL it", "KILL a" },
		{ "if available(comm) and not available(exe) then SIGKILL it", "KILL a" },
		{ "if not available(comm) or available(exe) then SIGKILL it", "" },
		/* what a host can never give is a constant */
		{ "if mem.total > 1MiB and (not available(os.stalled) or os.stalled > 5s) then SIGKILL largest", "KILL a" },
	};
	struct world w;

	(void)state;
	for (size_t i = 0; i < sizeof c / sizeof *c; i++) {
		begin(&w, c[i].policy);
		task(&w, 0, "a", MiB);
		if (strcmp(tick(&w), c[i].does) != 0)
			fail_msg("%s: did \"%s\"", c[i].policy, w.said);
		end(&w);
	}
}

/* ---- over tasks */

static void aggregates(void **state)
{
	/* rss 300, 100, 200, 400 MiB; anon 2, 4, 3, 1 MiB */
	static const struct { const char *cond; bool is; } c[] = {
		{ "count(where rss >= 200MiB) == 3", true },
		{ "count() == 4", true },
		{ "count(where rss > 1GiB) > 0", false },
		{ "count(where fds > 0) > 0", false }, /* unknown is not counted */
		{ "sum(rss) == 1000MiB", true },
		{ "sum(rss where anon > 2MiB) == 300MiB", true },
		{ "sum(rss where anon > 99MiB) == 0", true },
		{ "sum(rss) > 99%", true },
		{ "max(rss where anon > 1MiB) == 300MiB", true },
		{ "min(rss) == 100MiB", true },
		{ "max(rss where anon > 99MiB) > 0", false }, /* of nobody: unknown */
		{ "not max(rss where anon > 99MiB) > 0", false },
		{ "sum(fds) > 5", false },
		{ "not sum(fds) > 5", false }, /* unknown of somebody */
		{ "avg(rss) == 250MiB", true },
		{ "any(comm == \"b\")", true },
		{ "any(comm == \"x\")", false },
		{ "not any(comm == \"x\")", true },
		{ "not any(fds > 5)", false }, /* unknown of everybody */
		{ "not any(exe == \"/b\")", false },
		/* whom the unknown could add decides, or nothing does */
		{ "count(where fds > 0) < 5", true },
		{ "count(where fds > 0) < 4", false },
		{ "count(where fds > 0) <= 3 or count(where fds > 0) == 0", false },
		{ "count(where fds > 0) != 0", false },
		{ "count(where fds > 0) != 5", true },
		{ "count(where fds > 0 or rss > 150MiB) > 2", true },
		{ "count(where fds > 0 or rss > 150MiB) > 3", false },
		{ "not count(where fds > 0 or rss > 150MiB) > 3", false },
		{ "not count(where fds > 0 or rss > 150MiB) > 4", true },
		{ "3 > count(where fds > 0 or rss > 350MiB)", false },
		{ "count(where anon > 0B) > count(where fds > 0)", false },
		{ "count(where anon > 0B) >= count(where fds > 0)", true },
		{ "sum(rss where fds > 0) < 1GiB", true },
		{ "sum(rss where fds > 0) < 900MiB", false },
		{ "sum(fds where rss > 1GiB) == 0", true },
		{ "sum(fds where fds > 1) < 100000", false },
		{ "max(rss where fds > 0 or rss < 350MiB) > 250MiB", true },
		{ "max(rss where fds > 0 or rss < 350MiB) < 350MiB", false },
		{ "min(rss where fds > 0 or rss > 150MiB) < 250MiB", true },
		{ "min(rss where fds > 0 or rss > 150MiB) > 150MiB", false },
		{ "min(rss where fds > 0 or rss > 150MiB) > 50MiB", true },
	};
	char policy[200];
	struct world w;

	(void)state;
	for (size_t i = 0; i < sizeof c / sizeof *c; i++) {
		snprintf(policy, sizeof policy, "if %s then log", c[i].cond);
		begin(&w, policy);
		four(&w);
		if ((strcmp(tick(&w), "LOG") == 0) != c[i].is)
			fail_msg("%s: did \"%s\"", c[i].cond, w.said);
		end(&w);
	}
}

/* ---- history */

/* rss goes 10, 20, 40, 30, 30, 60, ... MiB, a second apart. */
static void windows(void **state)
{
	static const double rss[] = { 10, 20, 40, 30, 30, 60 };
	static const struct { const char *cond; const char *ticks; } c[] = {
		/* 3 s windows have something to compare with from the fourth tick on */
		{ "delta(rss, 3s) == 20MiB", "...x.x" },  /* 30-10, 30-20, 60-40 */
		{ "delta(rss, 3s) > -99MiB", "...xxx" },
		{ "not delta(rss, 3s) > 99MiB", "...xxx" },
		{ "rate(rss, 2s) == 15MiB/s", "..x..x" }, /* (40-10)/2, (60-30)/2 */
		{ "rate(rss, 2s) > 14MiB", "..x..x" },
		{ "max(rss, 3s) >= 40MiB", "...xxx" },
		{ "min(rss, 3s) >= 10MiB", "...xxx" },
		{ "min(rss, 2s) >= 30MiB", "...xxx" }, /* 40 and 30, then 30 and 30: what is 2 s old is out */
		{ "avg(rss, 3s) > 0", "...xxx" },
		{ "max(rss, 2s) == 30MiB", "....x." },
		{ "held(rss >= 20MiB, 2s)", "...xxx" },
		{ "not held(rss >= 20MiB, 2s)", "xxx..." },
		{ "not held(rss >= 10MiB, 2s)", "......" }, /* may have been so before it was first seen */
		{ "held(rss >= 30MiB, 3s)", ".....x" },
	};
	char policy[200], got[7] = "";
	struct world w;

	(void)state;
	for (size_t i = 0; i < sizeof c / sizeof *c; i++) {
		snprintf(policy, sizeof policy, "if %s then log it settle 0s", c[i].cond);
		begin(&w, policy);
		task(&w, 0, "a", 0);
		for (int k = 0; k < 6; k++) {
			set(&w, 0, "rss", rss[k] * MiB);
			got[k] = *tick(&w) ? 'x' : '.';
		}
		if (strcmp(got, c[i].ticks) != 0)
			fail_msg("%s: %s, not %s", c[i].cond, got, c[i].ticks);
		end(&w);
	}
}

/* History belongs to a task, not to a row; and of the host there is one too. */
static void history_of_whom(void **state)
{
	struct world w;

	(void)state;
	begin(&w, "if delta(rss, 2s) >= 0B then log it settle 0s");
	task(&w, 0, "a", 10 * MiB);
	QUIET(&w, 2);
	EXPECT(&w, "LOG a");
	gone(&w, 0);
	task(&w, 0, "b", 10 * MiB); /* in its row */
	QUIET(&w, 2);
	EXPECT(&w, "LOG b");
	set(&w, 0, "rss", gf_unknown()); /* and a gap begins anew */
	QUIET(&w, 1);
	set(&w, 0, "rss", 10 * MiB);
	QUIET(&w, 2);
	EXPECT(&w, "LOG b");
	end(&w);

	begin(&w, "if tasks.rate > 500/s or rate(vm.pgscan, 2s) >= 1000 then log settle 0s");
	host(&w, "tasks.forks", 0);
	host(&w, "vm.pgscan", 0);
	QUIET(&w, 1);
	host(&w, "tasks.forks", 500);
	QUIET(&w, 1);
	host(&w, "tasks.forks", 1001);
	EXPECT(&w, "LOG");
	host(&w, "vm.pgscan", 1999); /* two seconds after 0 */
	QUIET(&w, 1);
	host(&w, "vm.pgscan", 2000);
	EXPECT(&w, "LOG");
	end(&w);
}

/* ---- names and texts */

static void names(void **state)
{
	static const struct { const char *cond, *does; } c[] = {
		{ "comm == \"sshd\"", "LOG sshd" },
		{ "comm != \"sshd\"", "LOG Web Content, LOG tmux: server" },
		{ "comm in (\"sshd\", \"tmux: server\")", "LOG sshd, LOG tmux: server" },
		{ "not comm in (\"sshd\", \"tmux: server\")", "LOG Web Content" },
		{ "comm ~ \"*s*\"", "LOG sshd, LOG tmux: server" },
		{ "comm ~ \"Web C?ntent\"", "LOG Web Content" },
		{ "comm ~ \"ssh\"", "" }, /* a glob is of the whole text */
		{ "comm ~ /ssh/", "LOG sshd" },
		{ "comm ~ /^(chrom|firefox|Web Content)/", "LOG Web Content" },
		{ "comm ~ /e.*e/", "LOG Web Content, LOG tmux: server" },
		{ "exe ~ \"*/sshd\"", "LOG sshd" },
		{ "cmdline ~ /-D( |$)/", "LOG sshd" },
		{ "cgroup ~ \"/system.slice/*\"", "LOG sshd" },
		{ "state == \"D\"", "LOG sshd" },
		{ "state in (\"R\", \"S\")", "LOG Web Content" },
		{ "policy == \"fifo\"", "LOG tmux: server" },
		{ "policy in (\"other\", \"batch\")", "LOG sshd" },
		{ "uid == \"root\"", "LOG sshd" },
		{ "uid != \"root\" and uid < 1000", "LOG tmux: server" },
		{ "uid in (0, 1000)", "LOG sshd, LOG Web Content" },
		{ "rss between 1MiB and 2MiB", "LOG sshd, LOG Web Content" },
		{ "rss > 1MiB and rss < 3MB", "LOG Web Content" }, /* 3 MB is less than 3 MiB */
		{ "age > 1min and age <= 1h", "LOG tmux: server" },
	};
	char policy[200];
	struct world w;

	(void)state;
	for (size_t i = 0; i < sizeof c / sizeof *c; i++) {
		snprintf(policy, sizeof policy, "if %s then log oldest 9", c[i].cond);
		begin(&w, policy);
		task(&w, 0, "sshd", 1 * MiB);
		task(&w, 1, "Web Content", 2 * MiB);
		task(&w, 2, "tmux: server", 3 * MiB);
		text(&w, 0, "exe", "/usr/sbin/sshd");
		text(&w, 0, "cmdline", "/usr/sbin/sshd -D");
		text(&w, 0, "cgroup", "/system.slice/ssh.service");
		set(&w, 0, "state", 'D');
		set(&w, 1, "state", 'S');
		set(&w, 0, "policy", 0);
		set(&w, 2, "policy", 1);
		set(&w, 0, "uid", 0);
		set(&w, 2, "uid", 999);
		set(&w, 2, "age", 3600e9);
		if (strcmp(tick(&w), c[i].does) != 0)
			fail_msg("%s: did \"%s\", not \"%s\"", c[i].cond, w.said, c[i].does);
		end(&w);
	}
}

static void lets(void **state)
{
	struct world w;

	(void)state;
	begin(&w, "let cap = 50% let hog = rss > cap and not shell let shell = comm in (\"sh\", \"zsh\")\n"
		  "if hog then SIGKILL it");
	task(&w, 0, "a", 500 * MiB);
	task(&w, 1, "zsh", 900 * MiB);
	task(&w, 2, "b", 501 * MiB);
	EXPECT(&w, "KILL b");
	end(&w);
}

/* How near a rule is to firing: by the part that is nearest in `or`, farthest in
 * `and`. What is not known is not near, and hides nothing that is. */
static void nearness(void **state)
{
	static const struct { const char *cond; double close; } c[] = {
		{ "mem.available < 5%", 0.5 }, /* 100 MiB, and 50 are wanted */
		{ "swap.free < 10% or mem.available < 5%", 0.5 },
		{ "mem.available < 5% or swap.free <= 10%", 0.5 },
		{ "swap.free < 10% and mem.available < 50%", 0 },
		{ "not swap.free >= 10% or mem.available < 5%", 0.5 },
		{ "not (swap.free >= 10% and mem.available >= 5%)", 0.5 },
		{ "load.1 == 5 or mem.available < 5%", 0.5 },
		{ "load.1 != 5 or mem.available < 5%", 0.5 },
		{ "swap.free < 10%", 0 },
		{ "rss > 200MiB", 0.5 },
		{ "exe == \"/a\" or rss > 200MiB", 0.5 },
		{ "not exe == \"/a\" or rss > 200MiB", 0.5 },
		{ "state == \"D\" or rss > 200MiB", 0.5 },
		{ "any(fds > 5) or rss > 200MiB", 0.5 },
		{ "held(fds > 5, 3s) or rss > 200MiB", 0.5 },
		{ "max(fds, 3s) > 5 or rss > 200MiB", 0.5 },
		{ "rss > 50MiB", 1 },
	};
	char policy[200];
	struct world w;
	struct gf_rule_view v;

	(void)state;
	for (size_t i = 0; i < sizeof c / sizeof *c; i++) {
		snprintf(policy, sizeof policy, "if %s then log", c[i].cond);
		begin(&w, policy);
		task(&w, 0, "a", 100 * MiB);
		host(&w, "mem.available", 100 * MiB);
		gf_engine_rules(w.e, &v, 1, NULL);
		tick(&w);
		assert_int_equal(gf_engine_rules(w.e, &v, 1, NULL), 1);
		if (!(v.close >= c[i].close - 1e-9 && v.close <= c[i].close + 1e-9))
			fail_msg("%s: %g near, not %g", c[i].cond, v.close, c[i].close);
		end(&w);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_line),
		cmocka_unit_test(percent_of_swap),
		cmocka_unit_test(percent_of_a_cpu),
		cmocka_unit_test(for_a_time),
		cmocka_unit_test(for_periods),
		cmocka_unit_test(times_within),
		cmocka_unit_test(for_inside),
		cmocka_unit_test(until_some_distance),
		cmocka_unit_test(times_of_a_task),
		cmocka_unit_test(times_until),
		cmocka_unit_test(many_terms),
		cmocka_unit_test(three_values),
		cmocka_unit_test(aggregates),
		cmocka_unit_test(windows),
		cmocka_unit_test(history_of_whom),
		cmocka_unit_test(nearness),
		cmocka_unit_test(names),
		cmocka_unit_test(lets),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
