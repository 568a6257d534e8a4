// SPDX-License-Identifier: MIT
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "targets/proc.h"
#include "targets/strings.h"

static uint64_t start_of(pid_t pid)
{
	struct gf_proc_stat st;
	char name[64], buf[2048];

	snprintf(name, sizeof name, "/proc/%d/stat", pid);
	int fd = open(name, O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	ssize_t n = read(fd, buf, sizeof buf);
	close(fd);
	assert_int_equal(gf_proc_stat_parse(buf, (size_t)n, &st), 0);
	return st.start_ticks * GF_TICK_NS;
}

static pid_t spawn(char *const argv[])
{
	int p[2];
	char c;

	assert_int_equal(pipe2(p, O_CLOEXEC), 0);
	pid_t pid = fork();
	if (!pid) {
		execv("/bin/sleep", argv);
		_exit(127);
	}
	close(p[1]);
	/* Closed by the exec: only then is the command line its own. */
	assert_int_equal(read(p[0], &c, 1), 0);
	close(p[0]);
	return pid;
}

static void reap(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

static void test_read(void **state)
{
	char *argv[] = { "my sleeper", "100", NULL }, text[GF_STRING_MAX + 1], real[4096], link[64];
	uint32_t len = 0;

	(void)state;
	pid_t pid = spawn(argv);
	uint64_t start = start_of(pid);
	assert_int_equal(gf_string_read(pid, start, GF_SF_CMDLINE, text, &len), 0);
	assert_string_equal(text, "my sleeper 100");
	assert_int_equal(len, 14);
	snprintf(link, sizeof link, "/proc/%d/exe", pid);
	ssize_t n = readlink(link, real, sizeof real - 1);
	assert_true(n > 0);
	real[n] = 0;
	assert_int_equal(gf_string_read(pid, start, GF_SF_EXE, text, &len), 0);
	assert_string_equal(text, real);
	assert_int_equal(gf_string_read(pid, start, GF_SF_CGROUP, text, &len), 0);
	assert_int_equal(text[0], '/');
	/* Another identity must not lend its string. */
	assert_int_equal(gf_string_read(pid, start + GF_TICK_NS, GF_SF_CMDLINE, text, &len), -ESRCH);
	reap(pid);
	assert_int_equal(gf_string_read(pid, start, GF_SF_CMDLINE, text, &len), -ESRCH);
}

static void test_long_cmdline(void **state)
{
	char *big = malloc(20000), text[GF_STRING_MAX + 1];
	uint32_t len = 0;

	(void)state;
	memset(big, 'x', 19999);
	big[19999] = 0;
	char *argv[] = { big, "100", NULL };
	pid_t pid = spawn(argv);
	assert_int_equal(gf_string_read(pid, start_of(pid), GF_SF_CMDLINE, text, &len), 0);
	assert_int_equal(len, GF_STRING_MAX);
	assert_int_equal(strlen(text), GF_STRING_MAX);
	reap(pid);
	free(big);
}

static void test_replaced_exe(void **state)
{
	char dir[] = "/tmp/gf-exe-XXXXXX", path[64], cmd[128], text[GF_STRING_MAX + 1];
	uint32_t len = 0;

	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof path, "%s/sleeper", dir);
	snprintf(cmd, sizeof cmd, "cp /bin/sleep %s", path);
	assert_int_equal(system(cmd), 0);
	int p[2];
	char c;
	assert_int_equal(pipe2(p, O_CLOEXEC), 0);
	pid_t pid = fork();
	if (!pid) {
		execl(path, path, "100", NULL);
		_exit(127);
	}
	close(p[1]);
	assert_int_equal(read(p[0], &c, 1), 0);
	close(p[0]);
	unlink(path);
	rmdir(dir);
	assert_int_equal(gf_string_read(pid, start_of(pid), GF_SF_EXE, text, &len), 0);
	assert_string_equal(text, path);
	reap(pid);
}

static void test_helpers(void **state)
{
	char *argv[] = { "sleep", "100", NULL };
	struct gf_strings *s;
	unsigned got = 0, threads, stuck;

	(void)state;
	pid_t pid = spawn(argv);
	uint64_t start = start_of(pid);
	assert_int_equal(gf_strings_create(&s, NULL), 0);
	for (uint32_t i = 0; i < 500; i++) {
		struct gf_string_ask ask = {
			.row = i, .gen = i * 2, .id = i * 3, .pid = pid, .start_ns = i % 5 ? start : start + GF_TICK_NS,
			.fields = (1u << GF_SF_CMDLINE) | (1u << GF_SF_EXE),
		};
		assert_true(gf_strings_ask(s, &ask));
	}
	gf_strings_kick(s);
	for (int tries = 0; got < 1000 && tries < 10000; tries++) {
		struct gf_string *next;
		for (struct gf_string *a = gf_strings_take(s); a; a = next) {
			next = a->next;
			assert_int_equal(a->gen, a->row * 2);
			assert_int_equal(a->id, a->row * 3);
			assert_int_equal(a->error, a->row % 5 ? 0 : -ESRCH);
			if (a->row % 5 && a->field == GF_SF_CMDLINE)
				assert_string_equal(a->text, "sleep 100");
			gf_strings_drop(s, a);
			got++;
		}
		usleep(1000);
	}
	assert_int_equal(got, 1000);
	gf_strings_count(s, &threads, &stuck);
	assert_int_equal(threads, 2);
	assert_int_equal(stuck, 0);
	gf_strings_destroy(s);
	reap(pid);
}

/* Names chosen to lead a parser astray. */
static int hold[2];

/* Negative pids are of processes whose mmap lock somebody sits on. */
static int stuck_reader(int32_t pid, uint64_t start_ns, enum gf_str_field field, char *text, uint32_t *ret_len)
{
	char c;

	(void)start_ns;
	(void)field;
	if (pid < 0 && read(hold[0], &c, 1) < 0)
		return -EIO;
	text[0] = 'x';
	*ret_len = 1;
	return 0;
}

static unsigned take_all(struct gf_strings *s)
{
	unsigned n = 0;

	for (struct gf_string *a = gf_strings_take(s), *next; a; a = next, n++) {
		next = a->next;
		gf_strings_drop(s, a);
	}
	return n;
}

/* Both helpers are held by one read each: others are started, and answers come. When
 * all that there may be are held, asking stops somewhere; let go, they go on. */
static void test_stuck(void **state)
{
	struct gf_string_ask ask = { .fields = 1u << GF_SF_CMDLINE };
	struct gf_strings *s;
	unsigned threads = 0, stuck = 0, got = 0;
	char c[16] = { 0 };

	(void)state;
	assert_int_equal(pipe2(hold, O_CLOEXEC), 0);
	assert_int_equal(gf_strings_create_reading(stuck_reader, &s, NULL), 0);
	gf_strings_count(s, &threads, &stuck);
	unsigned first = threads;
	for (unsigned i = 0; i < first; i++) {
		ask.pid = -1;
		assert_true(gf_strings_ask(s, &ask));
	}
	gf_strings_kick(s);
	ask.pid = 1;
	assert_true(gf_strings_ask(s, &ask));
	for (int i = 0; i < 20000 && !got; i++) {
		gf_strings_kick(s); /* as every tick does */
		got += take_all(s);
		usleep(1000);
	}
	assert_int_equal(got, 1);
	/* One of them may have begun later, and is stuck later. */
	for (int i = 0; i < 20000 && stuck < first; i++) {
		gf_strings_kick(s);
		gf_strings_count(s, &threads, &stuck);
		usleep(1000);
	}
	assert_int_equal(stuck, first);
	assert_true(threads > first);
	/* never more than a few threads, however many reads are held */
	ask.pid = -1;
	for (unsigned i = 0; i < 12; i++)
		assert_true(gf_strings_ask(s, &ask));
	for (int i = 0; i < 20000 && stuck < 8; i++) {
		gf_strings_kick(s);
		gf_strings_count(s, &threads, &stuck);
		usleep(1000);
	}
	assert_int_equal(threads, 8);
	assert_int_equal(stuck, 8);
	assert_int_equal(write(hold[1], c, 12 + first), 12 + first);
	for (int i = 0; i < 20000 && got < 1 + 12 + first; i++) {
		gf_strings_kick(s);
		got += take_all(s);
		usleep(1000);
	}
	assert_int_equal(got, 1 + 12 + first);
	gf_strings_count(s, &threads, &stuck);
	assert_int_equal(stuck, 0);
	gf_strings_destroy(s);
	close(hold[0]);
	close(hold[1]);
}

static void test_stat_parser(void **state)
{
	static const char rest[] = " S 7 8 9 0 -1 4194560 10 0 11 0 12 13 0 0 20 -5 3 0 4242 8192 2 18446744073709551615 "
				   "1 1 140737488347200 0 0 0 0 0 0 0 0 0 17 0 0 3 0 0 0 0 0 0 99 0 0 0 0\n";
	static const struct { const char *in, *out; } name[] = {
		{ "plain", "plain" }, { ") S 1 1 1", ") S 1 1 1" }, { "a\nb) Z (", "a\nb) Z (" }, { "", "" },
		{ "kworker/0:1-events", "kworker/0:1" }, { "kworker/u8:3+flush-8:0", "kworker/u8:3" },
		{ "kworker/R-xfs-conv/sda1", "kworker/R-xfs-c" }, { "kworker-x", "kworker-x" },
	};
	struct gf_proc_stat st;
	char buf[1024];

	(void)state;
	for (size_t i = 0; i < sizeof name / sizeof *name; i++) {
		int n = snprintf(buf, sizeof buf, "123 (%s)%s", name[i].in, rest);
		assert_int_equal(gf_proc_stat_parse(buf, (size_t)n, &st), 0);
		assert_string_equal(st.comm, name[i].out);
		assert_int_equal(st.pid, 123);
		assert_int_equal(st.ppid, 7);
		assert_int_equal(st.state, 'S');
		assert_int_equal(st.nice, -5);
		assert_int_equal(st.threads, 3);
		assert_int_equal(st.start_ticks, 4242);
		assert_int_equal(st.policy, 3);
		assert_int_equal(st.arg_start, 99);
		for (int cut = 0; cut < n - 60; cut++)
			assert_true(gf_proc_stat_parse(buf, (size_t)cut, &st) <= 0);
	}
	assert_int_equal(gf_proc_stat_parse("", 0, &st), -EBADMSG);
	assert_int_equal(gf_proc_stat_parse("1 (a", 4, &st), -EBADMSG);
	assert_int_equal(gf_proc_stat_parse("1 )a( S 1", 9, &st), -EBADMSG);
	assert_int_equal(gf_proc_stat_parse("1 (a) S 1 2 3", 13, &st), -EBADMSG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_read),
		cmocka_unit_test(test_long_cmdline),
		cmocka_unit_test(test_replaced_exe),
		cmocka_unit_test(test_helpers), cmocka_unit_test(test_stuck),
		cmocka_unit_test(test_stat_parser),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
