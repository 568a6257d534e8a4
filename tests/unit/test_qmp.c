/* SPDX-License-Identifier: MIT
 *
 * QMP against a monitor of our own, that behaves and that does not; and the layouts that QEMU 7.2 really
 * printed (tests/unit/data/mtree-*.txt).
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "targets/qmp_int.h"
#include "targets/qmp_maps.h"
#include "tests/unit/fakeqmp.h"

#define MS 5000   /* where an answer comes */
#define SHORT 150 /* where none does */
#define MIB (1ull << 20)
#define GIB (1ull << 30)

/* ---- info mtree -f --------------------------------------------------------- */

static char *slurp(const char *name)
{
	char path[256];
	char *s = calloc(1, 1 << 20);
	FILE *f;

	snprintf(path, sizeof path, "tests/unit/data/%s", name);
	f = fopen(path, "re");
	assert_non_null(f);
	assert_true(fread(s, 1, (1 << 20) - 1, f) > 0);
	fclose(f);
	return s;
}

static void test_samples(void **state)
{
	static const struct {
		const char *file, *name;
		size_t n;
		struct gf_ram_piece p[2];
	} t[] = {
		{ "mtree-q35-512M.txt", "m", 1, { { 0, 512 * MIB, 0 } } },
		{ "mtree-q35-3G.txt", "m", 2, { { 0, 2 * GIB, 0 }, { 4 * GIB, GIB, 2 * GIB } } },
		{ "mtree-q35-5G.txt", "m", 2, { { 0, 2 * GIB, 0 }, { 4 * GIB, 3 * GIB, 2 * GIB } } },
		{ "mtree-pc-512M.txt", "m", 1, { { 0, 512 * MIB, 0 } } },
		{ "mtree-pc-3G.txt", "m", 1, { { 0, 3 * GIB, 0 } } },
		{ "mtree-pc-5G.txt", "m", 2, { { 0, 3 * GIB, 0 }, { 4 * GIB, 2 * GIB, 3 * GIB } } },
		{ "mtree-pc-vga-1G-kvm.txt", "pc.ram", 1, { { 0, GIB, 0 } } },
		{ "mtree-pc-2.12-1G.txt", "m", 1, { { 0, GIB, 0 } } },
		{ "mtree-q35-reset-512M.txt", "m", 1, { { 0, 512 * MIB, 0 } } },
		{ "mtree-q35-numa-512M.txt", "m0", 1, { { 0, 256 * MIB, 0 } } },
		{ "mtree-q35-numa-512M.txt", "m1", 1, { { 256 * MIB, 256 * MIB, 0 } } },
		{ "mtree-pc-dimm-512M.txt", "mm", 1, { { 0, 256 * MIB, 0 } } },
		{ "mtree-pc-dimm-512M.txt", "d", 1, { { 4 * GIB, 256 * MIB, 0 } } },
	};

	(void)state;
	for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
		struct gf_ram_piece p[4];
		struct gf_err err = { "" };
		char *s = slurp(t[i].file);
		size_t n = 0;

		print_message("# %s %s\n", t[i].file, t[i].name);
		assert_int_equal(gf_mtree_parse(s, t[i].name, p, 4, &n, &err), 0);
		assert_int_equal(n, t[i].n);
		assert_memory_equal(p, t[i].p, n * sizeof *p);
		assert_int_equal(gf_mtree_parse(s, "nothing", p, 4, &n, &err), -ENODATA);
		/* A name that begins as the backend's is not the backend's. */
		assert_int_equal(gf_mtree_parse(s, "p", p, 4, &n, &err), -ENODATA);
		free(s);
	}
}

static void test_mtree_lies(void **state)
{
	static const struct {
		const char *text;
		int r;
	} t[] = {
		{ "", -EPROTO },
		{ "\n\n\n", -EPROTO },
		{ " AS \"memory\", root: system", -ENODATA },
		{ " AS \"I/O\", root: io\n  0000000000000000-0000000000000fff (prio 0, ram): m\n", -EPROTO },
		{ " AS \"memory\", root: system\n\n  0000000000000000-0000000000000fff (prio 0, ram): m\n", -ENODATA },
		{ " AS \"memory\", root: system\n  0000000000000000-0000000000000fff (prio 0, i/o): m\n", -ENODATA },
		{ " AS \"memory\", root: system\n  0000000000000000-0000000000000fff (prio 0, ramd): m\n", -ENODATA },
		{ " AS \"memory\", root: system\n  0000000000000000-0000000000000fff (prio 0, ram): mm\n", -ENODATA },
		{ " AS \"memory\", root: system\n  0000000000000000-0000000000000fff (prio 0, ram): m\n", 0 },
		{ " AS \"memory\", root: system\n  0000000000000000-0000000000000fff (prio 0, nv-ram): m @0000000000001000", 0 },
		{ " AS \"memory\", root: system\n  0000000000001000-0000000000000fff (prio 0, ram): m\n", -EPROTO },
		{ " AS \"memory\", root: system\n  0000000000000800-0000000000000fff (prio 0, ram): m\n", -EPROTO },
		{ " AS \"memory\", root: system\n  0000000000000000-ffffffffffffffff (prio 0, ram): m\n", -EPROTO },
		{ " AS \"memory\", root: system\n  0000000000000000-0000000000000fff (prio 0, ram): m @fffffffffffff000\n", -EPROTO },
		{ " AS \"memory\", root: system\n  0000000000000000-00000000000000000fff (prio 0, ram): m\n", -ENODATA },
		{ " AS \"memory\", root: system\n  0000000000000000-0000000000001fff (prio 0, ram): m\n"
		  "  0000000000001000-0000000000002fff (prio 0, ram): m\n", -EPROTO },
		{ " AS \"memory\", root: system\n  0000000000000000-0000000000000fff (prio 0, ram): m\n"
		  "  0000000010000000-0000000010000fff (prio 0, ram): m\n  0000000020000000-0000000020000fff (prio 0, ram): m\n", -E2BIG },
		{ " AS \"memory\", root: system\n  -\n  0-\n  0-0\n  0-0 (prio \n  0-0 (prio )\n  0-0 (prio ): m\n  0-fff (prio 0, ram):\n", -ENODATA },
	};

	(void)state;
	for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
		struct gf_ram_piece p[2];
		struct gf_err err = { "" };
		size_t n;
		char *s = strdup(t[i].text); /* so that a sanitizer sees its end */

		print_message("# %zu\n", i);
		assert_int_equal(gf_mtree_parse(s, "m", p, 2, &n, &err), t[i].r);
		free(s);
	}
}

/* ---- the connection ----------------------------------------------------------- */

static int try_connect(const char *path, int ms, struct gf_err *err)
{
	struct gf_qmp *q;
	int r = gf_qmp_connect(path, ms, &q, err);

	if (!r)
		gf_qmp_close(q);
	return r;
}

static void test_nobody(void **state)
{
	struct gf_err err = { "" };
	struct fakeqmp f;
	char path[300];

	(void)state;
	assert_int_equal(try_connect("/nonexistent/qmp", SHORT, &err), -ENOENT);
	assert_non_null(strstr(err.text, "-qmp unix:/nonexistent/qmp,server=on,wait=off"));
	memset(path, 'x', sizeof path - 1);
	path[sizeof path - 1] = 0;
	assert_int_equal(try_connect(path, SHORT, &err), -ENAMETOOLONG);
	fake_start(&f, NULL, NULL, false);
	/* Somebody else is served: no greeting, and it is said how to get a monitor. */
	assert_int_equal(try_connect(f.path, SHORT, &err), -EBUSY);
	assert_non_null(strstr(err.text, "server=on,wait=off"));
	close(f.listener);
	assert_int_equal(try_connect(f.path, SHORT, &err), -ECONNREFUSED);
	f.listener = open("/dev/null", O_RDONLY | O_CLOEXEC);
	fake_stop(&f);
}

static void test_greetings(void **state)
{
	static const struct {
		const char *greeting;
		int r;
	} t[] = {
		{ FAKE_GREETING, 0 },
		{ "\r\n\n \n" FAKE_GREETING, 0 },
		{ "{\"event\": \"RESET\", \"timestamp\": {}}\r\n", -EPROTO },
		{ "QEMU 7.2.22 monitor - type 'help' for more information\r\n(qemu) \r\n", -EPROTO },
		{ "login: \n", -EPROTO },
		{ "\x7f" "ELF\xff\xfe\n", -EPROTO },
		{ "[]\n", -EPROTO },
		{ "{\"QMP\": 1}\n", -EPROTO },
		{ "{\"QMP\": {\n", -EPROTO },
		{ "{\"QMP\"", -EBUSY }, /* half a line, and no more */
	};
	struct gf_err err = { "" };
	struct fakeqmp f;

	(void)state;
	for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
		print_message("# %zu\n", i);
		fake_start(&f, NULL, t[i].greeting, true);
		assert_int_equal(try_connect(f.path, t[i].r == -EBUSY ? SHORT : MS, &err), t[i].r);
		fake_stop(&f);
	}
}

/* What a peer writes by itself; then it shuts its side. */
static int open_with(const char *text, size_t n, size_t times, struct gf_qmp **ret, struct gf_err *err)
{
	int fd[2], r;
	pid_t pid;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		close(fd[0]);
		while (times-- && send(fd[1], text, n, MSG_NOSIGNAL) == (ssize_t)n)
			;
		_exit(0);
	}
	close(fd[1]);
	r = gf_qmp_open(fd[0], "test", MS, ret, err);
	if (r) { /* closed: it gets EPIPE and ends */
		assert_int_equal(waitpid(pid, NULL, 0), pid);
	}
	return r;
}

static void test_floods(void **state)
{
	static char a[65536];
	char deep[20000];
	struct gf_err err = { "" };
	struct gf_qmp *q;

	(void)state;
	memset(a, 'a', sizeof a);
	assert_int_equal(open_with(a, sizeof a, 1 << 20, &q, &err), -EPROTO);
	assert_non_null(strstr(err.text, "without end"));
	assert_int_equal(open_with("", 0, 0, &q, &err), -EPIPE);
	assert_int_equal(open_with("{\"QMP", 5, 1, &q, &err), -EPIPE);
	memset(deep, '[', sizeof deep);
	deep[sizeof deep - 1] = '\n';
	assert_int_equal(open_with(deep, sizeof deep, 1, &q, &err), -EPROTO);
	/* a line that is just about as long as it may be, of an object */
	memset(a, ' ', sizeof a);
	assert_int_equal(open_with(a, sizeof a, GF_QMP_LINE_MAX / sizeof a / 2, &q, &err), -EPIPE);
}

static void test_commands(void **state)
{
	static const struct fake_answer table[] = {
		{ "good", "{\"return\": {\"a\": 1}, \"id\": #}\r\n" },
		{ "between", "{\"event\": \"NIC_RX_FILTER_CHANGED\"}\r\n{\"event\": \"STOP\"}\r\n{\"return\": {\"a\": 2}, \"id\": #}\r\n{\"event\": \"RESUME\"}\r\n" },
		{ "bad", "{\"error\": {\"class\": \"GenericError\", \"desc\": \"no such \\u001b[31m thing\"}, \"id\": #}\r\n" },
		{ "silent", FAKE_SILENT },
		{ "neither", "{\"id\": #}\r\n" },
		{ "other", "{\"return\": {}, \"id\": 77}\r\n" },
		{ "noid", "{\"return\": {}}\r\n" },
		{ "garbage", "%%%\r\n" },
		{ "half", "{\"return\": " FAKE_CLOSE },
		{ NULL, NULL },
	};
	static const struct {
		const char *name;
		int r;
		bool broken;
	} t[] = {
		{ "good", 0, false }, { "between", 0, false }, { "bad", -EREMOTEIO, false }, { "nonesuch", -EREMOTEIO, false },
		{ "silent", -ETIMEDOUT, true }, { "neither", -EPROTO, true }, { "other", -EPROTO, true }, { "noid", -EPROTO, true },
		{ "garbage", -EPROTO, true }, { "half", -EPIPE, true },
	};

	(void)state;
	for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
		struct gf_err err = { "" };
		struct fakeqmp f;
		struct gf_qmp *q;
		json_t *o = NULL;

		print_message("# %s\n", t[i].name);
		fake_start(&f, table, NULL, true);
		assert_int_equal(gf_qmp_connect(f.path, MS, &q, &err), 0);
		assert_int_equal(gf_qmp_pid(q), getpid());
		if (t[i].r == -ETIMEDOUT)
			q->timeout_ms = SHORT;
		assert_int_equal(gf_qmp_command(q, t[i].name, NULL, &o, &err), t[i].r);
		assert_null(strchr(err.text, '\x1b'));
		if (!t[i].r)
			assert_true(json_integer_value(json_object_get(o, "a")) > 0);
		json_decref(o);
		q->timeout_ms = MS;
		/* out of step: it is not asked again */
		assert_int_equal(gf_qmp_command(q, "good", NULL, NULL, &err), t[i].broken ? -EPIPE : 0);
		if (!strcmp(t[i].name, "between")) {
			assert_int_equal(gf_qmp_next(q, MS), GF_QMP_STOP);
			assert_int_equal(gf_qmp_next(q, MS), GF_QMP_RESUME);
		}
		assert_int_equal(gf_qmp_next(q, SHORT), t[i].broken ? GF_QMP_GONE : GF_QMP_NONE);
		gf_qmp_close(q);
		fake_stop(&f);
	}
}

static void test_events(void **state)
{
	static const struct {
		const char *text;
		enum gf_qmp_event ev;
	} t[] = {
		{ "{\"event\": \"RESET\", \"data\": {\"guest\": true, \"reason\": \"guest-reset\"}}\n", GF_QMP_RESET },
		{ "{\"event\": \"SHUTDOWN\", \"data\": {\"guest\": true, \"reason\": \"guest-shutdown\"}}\n", GF_QMP_SHUTDOWN },
		{ "{\"event\": \"STOP\"}\n", GF_QMP_STOP },
		{ "{\"event\": \"RESUME\"}\n", GF_QMP_RESUME },
		{ "{\"event\": \"SUSPEND\"}\n", GF_QMP_SUSPEND },
		{ "{\"event\": \"WAKEUP\"}\n", GF_QMP_WAKEUP },
		{ "{\"event\": \"GUEST_PANICKED\", \"data\": {\"action\": \"pause\"}}\n", GF_QMP_PANICKED },
		{ "{\"event\": \"MIGRATION\", \"data\": {\"status\": \"completed\"}}\n", GF_QMP_MIGRATED },
		{ "{\"event\": \"MIGRATION\", \"data\": {\"status\": \"active\"}}\n", GF_QMP_NONE },
		{ "{\"event\": \"MIGRATION\"}\n{\"event\": 3}\n{\"event\": \"X\", \"data\": {\"status\": \"completed\"}}\n{}\n", GF_QMP_NONE },
	};
	struct gf_err err = { "" };
	struct fakeqmp f;
	struct gf_qmp *q;
	int fd;

	(void)state;
	fake_start(&f, NULL, NULL, true);
	assert_int_equal(gf_qmp_connect(f.path, MS, &q, &err), 0);
	fd = atomic_load(&f.client);
	for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
		print_message("# %zu\n", i);
		fake_send(fd, t[i].text, strlen(t[i].text));
		assert_int_equal(gf_qmp_next(q, t[i].ev ? MS : SHORT), t[i].ev);
	}
	/* Those that are read together are not lost when the socket is no longer readable. */
	for (int i = 0; i < 50; i++)
		fake_send(fd, "{\"event\": \"VSERPORT_CHANGE\"}\r\n", 30);
	fake_send(fd, t[0].text, strlen(t[0].text));
	fake_send(fd, t[2].text, strlen(t[2].text));
	assert_int_equal(gf_qmp_next(q, MS), GF_QMP_RESET);
	assert_int_equal(gf_qmp_next(q, MS), GF_QMP_STOP);
	assert_int_equal(gf_qmp_next(q, 0), GF_QMP_NONE);
	/* Too many while an answer is waited for: the last are kept. */
	for (unsigned i = 0; i < GF_QMP_EVENTS + 8; i++)
		fake_send(fd, t[2].text, strlen(t[2].text));
	fake_send(fd, t[3].text, strlen(t[3].text));
	assert_int_equal(gf_qmp_reset(q, &err), -EREMOTEIO);
	for (unsigned i = 0; i < GF_QMP_EVENTS - 1; i++)
		assert_int_equal(gf_qmp_next(q, MS), GF_QMP_STOP);
	assert_int_equal(gf_qmp_next(q, MS), GF_QMP_RESUME);
	fake_stop(&f);
	assert_int_equal(gf_qmp_next(q, MS), GF_QMP_GONE);
	assert_int_equal(gf_qmp_next(q, MS), GF_QMP_GONE);
	gf_qmp_close(q);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_samples),
		cmocka_unit_test(test_mtree_lies),
		cmocka_unit_test(test_nobody),
		cmocka_unit_test(test_greetings),
		cmocka_unit_test(test_floods),
		cmocka_unit_test(test_commands),
		cmocka_unit_test(test_events),
	};

	alarm(120);
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
