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

/* ---- the guest -------------------------------------------------------------------- */

#define RET(what) "{\"return\": " what ", \"id\": #}\r\n"
#define COMMON \
	{ "query-name", RET("{\"name\": \"vm\\u001b1\"}") }, \
	{ "query-status", RET("{\"status\": \"running\", \"running\": true}") }, \
	{ "query-kvm", RET("{\"enabled\": false, \"present\": true}") }, \
	{ "\"property\":\"type\"", RET("\"pc-q35-7.2-machine\"") }, \
	{ "qom-list", RET("[{\"name\": \"type\", \"type\": \"string\"}, {\"name\": \"a\", \"type\": \"child<memory-backend-memfd>\"}, " \
			  "{\"name\": \"b\", \"type\": \"child<memory-backend-memfd>\"}, {\"name\": \"s\", \"type\": \"child<secret>\"}]") }
#define X86 { "query-cpus-fast", RET("[{\"thread-id\": 0, \"target\": \"x86_64\"}, {\"thread-id\": 0, \"target\": \"x86_64\"}]") }
#define MTREE { "info mtree", RET("\"FlatView #0\\n AS \\\"memory\\\", root: system\\n Root memory region: system\\n" \
	"  0000000000000000-00000000001fffff (prio 0, ram): a\\n  0000000100000000-00000001001fffff (prio 0, ram): b\\n" \
	"  0000000100200000-00000001002fffff (prio 0, ram): a @0000000000200000\\n\\n\"") }
#define A (3 * MIB)
#define B (3 * MIB)

struct ram {
	int fd[2];
	uint8_t *p[2];
	char hva[3][96];
	struct fake_answer table[24];
};

static uint8_t *memfd_of(const char *name, size_t size, uint8_t fill, int flags, int *ret)
{
	int fd = memfd_create(name, MFD_CLOEXEC);
	uint8_t *p;

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)size), 0);
	p = mmap(NULL, size, PROT_READ | PROT_WRITE, flags, fd, 0);
	assert_true(p != MAP_FAILED);
	memset(p, fill, size);
	*ret = fd;
	return p;
}

/* Two memfds of one name and size, as QEMU makes them, mapped in this process, which is the monitor's, too. */
static void make_ram(struct ram *r, const struct fake_answer *extra, int flags_a)
{
	size_t n = 0;
	const struct fake_answer table[] = {
		{ "gpa2hva 0x0\"", r->hva[0] }, { "gpa2hva 0x100000000\"", r->hva[1] }, { "gpa2hva 0x100200000\"", r->hva[2] },
		COMMON, X86, MTREE,
		{ "\"property\":\"share\"", RET("true") }, { "\"property\":\"size\"", RET("3145728") }, { NULL, NULL },
	};

	r->p[0] = memfd_of("memory-backend-memfd", A, 'a', flags_a, &r->fd[0]);
	r->p[1] = memfd_of("memory-backend-memfd", B, 'b', MAP_SHARED, &r->fd[1]);
	for (; extra && extra->words; extra++)
		r->table[n++] = *extra;
	memcpy(r->table + n, table, sizeof table);
	snprintf(r->hva[0], sizeof r->hva[0], RET("\"Host virtual address for 0x0 (a) is %p\\n\""), (void *)r->p[0]);
	snprintf(r->hva[1], sizeof r->hva[1], RET("\"Host virtual address for 0x0 (b) is %p\\n\""), (void *)r->p[1]);
	snprintf(r->hva[2], sizeof r->hva[2], RET("\"Host virtual address for 0x0 (a) is %p\\n\""), (void *)(r->p[0] + 2 * MIB));
}

static void drop_ram(struct ram *r)
{
	munmap(r->p[0], A);
	munmap(r->p[1], B);
	close(r->fd[0]);
	close(r->fd[1]);
}

static uid_t as_uid = (uid_t)-1; /* the monitor's, as seen from here */
static pid_t as_pid;

static int ask_guest(struct ram *r, struct gf_qmp_guest *g, struct gf_err *err)
{
	struct fakeqmp f;
	struct gf_qmp *q;
	int res;

	fake_start(&f, r->table, NULL, true);
	assert_int_equal(gf_qmp_connect(f.path, MS, &q, err), 0);
	if (as_uid != (uid_t)-1) {
		q->uid = as_uid;
		q->pid = as_pid;
	}
	res = gf_qmp_guest(q, g, err);
	gf_qmp_close(q);
	fake_stop(&f);
	return res;
}

static void test_guest(void **state)
{
	static const struct { uint64_t gpa, size, off; char c; } want[] = {
		{ 0, 2 * MIB, 0, 'a' }, { 4 * GIB, 2 * MIB, 0, 'b' }, { 4 * GIB + 2 * MIB, MIB, 2 * MIB, 'a' },
	};
	struct gf_err err = { "" };
	struct gf_qmp_guest g;
	struct ram r = { 0 };

	(void)state;
	make_ram(&r, NULL, MAP_SHARED);
	assert_int_equal(ask_guest(&r, &g, &err), 0);
	assert_string_equal(g.name, "vm?1"); /* no escape sequences */
	assert_string_equal(g.status, "running");
	assert_string_equal(g.machine, "pc-q35-7.2-machine");
	assert_false(g.kvm);
	assert_true(g.writable);
	assert_int_equal(g.cpus, 2);
	assert_int_equal(g.pieces, 3);
	for (size_t i = 0; i < 3; i++) {
		char c;

		assert_int_equal(g.piece[i].gpa, want[i].gpa);
		assert_int_equal(g.piece[i].size, want[i].size);
		assert_int_equal(g.piece[i].off, want[i].off);
		assert_int_equal(pread(g.fd[i], &c, 1, (off_t)(g.piece[i].off + 4711)), 1);
		assert_int_equal(c, want[i].c);
	}
	gf_qmp_guest_close(&g);
	drop_ram(&r);
}

static void test_guest_refused(void **state)
{
	static const struct {
		struct fake_answer extra[3];
		int flags_a, r;
		const char *words;
	} t[] = {
		{ { { "\"property\":\"share\"", RET("false") } }, MAP_SHARED, -ENOTSUP, "add share=on to -object memory-backend-memfd,id=a" },
		{ { { NULL, NULL } }, MAP_PRIVATE, -ENOTSUP, "share=on" }, /* it says that it is shared, but maps say otherwise */
		{ { { "qom-list", RET("[]") } }, MAP_SHARED, -ENOTSUP, "memory-backend=mem" },
		{ { { "qom-list", RET("[{\"name\": \"pc.ram\", \"type\": \"child<memory-backend-ram>\"}]") },
		    { "info mtree", RET("\" AS \\\"memory\\\", root: system\\n  0000000000000000-00000000002fffff (prio 0, ram): pc.ram\\n\"") } },
		  MAP_SHARED, -EACCES, "/proc/" },
		{ { { "query-cpus-fast", RET("[{\"target\": \"aarch64\"}]") } }, MAP_SHARED, -ENOTSUP, "aarch64" },
		{ { { "query-cpus-fast", FAKE_CLOSE } }, MAP_SHARED, -EPIPE, "closed" },
		{ { { "info mtree", RET("\"unknown command: 'info mtree'\\r\\n\"") } }, MAP_SHARED, -EPROTO, "memory map" },
		{ { { "info mtree", RET("17") } }, MAP_SHARED, -EPROTO, "no text" },
		{ { { "info mtree", RET("\" AS \\\"memory\\\", root: system\\n  0000000000000000-000000003fffffff (prio 0, ram): a\\n\"") } },
		  MAP_SHARED, -ENODATA, "cut" },
		{ { { "gpa2hva", RET("\"Host virtual address for 0x0 (a) is 0x1000\"") } }, MAP_SHARED, -EACCES, "root" },
		{ { { "gpa2hva", RET("\"Memory at address 0x0 is not RAM\"") } }, MAP_SHARED, -EACCES, "root" },
		{ { { "gpa2hva", RET("\"Host virtual address for 0x0 (a) is 0xffffffffffffffffffffff\"") } }, MAP_SHARED, -EACCES, "root" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
		struct gf_qmp_guest g = { .pieces = 77 };
		struct gf_err err = { "" };
		struct ram r = { 0 };

		make_ram(&r, t[i].extra, t[i].flags_a);
		if (t[i].extra[1].words) /* pc.ram: a QEMU that may not be looked into */
			strcpy(r.hva[0], RET("\"\""));
		print_message("# %zu %s\n", i, t[i].words);
		assert_int_equal(ask_guest(&r, &g, &err), t[i].r);
		print_message("# %s\n", err.text);
		assert_non_null(strstr(err.text, t[i].words));
		assert_int_equal(g.pieces, 77); /* untouched */
		drop_ram(&r);
	}
}

/* Where QEMU cannot be looked into, a file's path will do. */
static void test_guest_by_path(void **state)
{
	char path[] = "/tmp/gpufas-ram.XXXXXX", file[128];
	int fd = mkstemp(path);
	struct fake_answer table[] = {
		{ "gpa2hva", RET("\"unknown command: 'gpa2hva'\"") },
		{ "qom-list", RET("[{\"name\": \"a\", \"type\": \"child<memory-backend-file>\"}]") },
		{ "\"property\":\"mem-path\"", file }, { "\"property\":\"offset\"", RET("1048576") },
		COMMON, X86, MTREE,
		{ "\"property\":\"share\"", RET("true") }, { "\"property\":\"size\"", RET("3145728") }, { NULL, NULL },
	};
	struct gf_err err = { "" };
	struct gf_qmp_guest g;
	struct ram r = { 0 };

	(void)state;
	assert_true(fd >= 0);
	snprintf(file, sizeof file, RET("\"%s\""), path);
	memcpy(r.table, table, sizeof table);
	assert_int_equal(ftruncate(fd, 4 * MIB), 0);
	assert_int_equal(ask_guest(&r, &g, &err), 0);
	assert_int_equal(g.pieces, 2);
	assert_int_equal(g.piece[1].off, 3 * MIB);
	assert_non_null(strstr(g.what, path));
	gf_qmp_guest_close(&g);
	assert_int_equal(ftruncate(fd, 4 * MIB - 1), 0);
	assert_int_equal(ask_guest(&r, &g, &err), -ENODATA);
	unlink(path);
	assert_int_equal(ask_guest(&r, &g, &err), -ENOENT);
	close(fd);
}

/* A QEMU of another user is not believed when it names other processes and files than its own. */
static void test_not_believed(void **state)
{
	char path[] = "/tmp/gpufas-ram.XXXXXX", file[128], cpus[128];
	int fd = mkstemp(path);
	struct fake_answer table[] = {
		{ "qom-list", RET("[{\"name\": \"a\", \"type\": \"child<memory-backend-file>\"}]") },
		{ "\"property\":\"mem-path\"", file }, { "query-cpus-fast", cpus }, { NULL, NULL },
	};
	struct gf_err err = { "" };
	struct gf_qmp_guest g;
	struct ram r = { 0 };

	(void)state;
	if (geteuid()) {
		print_message("# only root has more rights than QEMU\n");
		skip();
	}
	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, 4 * MIB), 0);
	snprintf(file, sizeof file, RET("\"%s\""), path);
	/* This process, which has it all mapped, is who the virtual CPU is said to be of; the socket is of another, alive. */
	snprintf(cpus, sizeof cpus, RET("[{\"thread-id\": %d, \"target\": \"x86_64\"}]"), (int)getpid());
	make_ram(&r, table, MAP_SHARED);
	as_pid = getppid();
	as_uid = 65534;
	assert_int_equal(ask_guest(&r, &g, &err), -EACCES);
	assert_non_null(strstr(err.text, "not a file of its own"));
	/* One of root's is. */
	as_uid = 0;
	assert_int_equal(ask_guest(&r, &g, &err), 0);
	assert_int_equal(g.pieces, 2);
	gf_qmp_guest_close(&g);
	/* And the other user's own file is taken, but a device is not. */
	as_uid = 65534;
	assert_int_equal(fchown(fd, 65534, 65534), 0);
	assert_int_equal(ask_guest(&r, &g, &err), 0);
	gf_qmp_guest_close(&g);
	strcpy(file, RET("\"/dev/zero\""));
	assert_int_equal(ask_guest(&r, &g, &err), -EACCES);
	as_uid = (uid_t)-1;
	close(fd);
	unlink(path);
	drop_ram(&r);
}

static void test_registers(void **state)
{
	static const struct {
		const char *answer;
		int r;
		uint64_t cr3;
	} t[] = {
		{ RET("\"CPU#0\\nRAX=0\\nCR0=80050033 CR2=00007f CR3=0000000003d22000 CR4=00350ef0\\nDR0=0\""), 0, 0x3d22000 },
		{ RET("\"CR0=00000010 CR2=00000000 CR3=00000000 CR4=00000000\""), 0, 0 },
		{ RET("\"CR0=00000011 CR2=00000000 CR3=00001000 CR4=00000000\""), 0, 0 },
		{ RET("\"\""), -EPROTO, 0 },
		{ RET("\"CR0=\""), -EPROTO, 0 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
		const struct fake_answer table[] = { { "info registers", t[i].answer }, { NULL, NULL } };
		struct gf_err err = { "" };
		struct fakeqmp f;
		struct gf_qmp *q;
		uint64_t cr3 = 0;

		fake_start(&f, table, NULL, true);
		assert_int_equal(gf_qmp_connect(f.path, MS, &q, &err), 0);
		assert_int_equal(gf_qmp_cr3(q, &cr3, &err), t[i].r);
		assert_int_equal(cr3, t[i].cr3);
		assert_int_equal(gf_qmp_nmi(q, &err), -EREMOTEIO);
		assert_true(fake_saw(&f, "inject-nmi"));
		gf_qmp_close(q);
		fake_stop(&f);
	}
}

/* As libvirt 9.0 prints it. */
static void test_libvirt(void **state)
{
	static const struct {
		const char *xml, *path;
		int r;
	} t[] = {
		{ "    <qemu:commandline>\n      <qemu:arg value='-qmp'/>\n      <qemu:arg value='unix:/run/a.qmp,server=on,wait=off'/>\n", "/run/a.qmp", 0 },
		{ "<qemu:arg value='-qmp'/><qemu:arg value='unix:/run/a.qmp'/>", "/run/a.qmp", 0 },
		{ "<qemu:arg value='-qmp'/>\n<qemu:arg value='tcp:localhost:1'/><qemu:arg value='-qmp'/><qemu:arg value='unix:/b,server'/>", "/b", 0 },
		{ "<monitor path='/var/lib/libvirt/qemu/domain-2-web/monitor.sock' type='unix'/>", NULL, -ENOTSUP },
		{ "<qemu:arg value='-qmp'/>", NULL, -ENOTSUP },
		{ "<qemu:arg value='-qmp'/><qemu:arg value='unix:relative,server'/>", NULL, -ENOTSUP },
		{ "<qemu:arg value='-qmp'/><qemu:arg value='unix:/a&amp;b,server'/>", NULL, -ENOTSUP },
		{ "<qemu:arg value='-qmp'/><qemu:arg value='unix:/cut", NULL, -ENOTSUP },
		{ "<qemu:arg value='-qmp'/><qemu:arg value='unix:/a-path-of-more-bytes-than-the-caller-has-room-for,server'/>", NULL, -ENOTSUP },
		{ "", NULL, -ENOTSUP },
	};
	static const char *const names[] = { "", ".", "../web", "a/b" };
	char dir[] = "/tmp/gpufas-libvirt.XXXXXX", path[64], buf[32];
	struct gf_err err;

	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof path, "%s/web.xml", dir);
	for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
		FILE *f = fopen(path, "we");

		assert_non_null(f);
		fputs(t[i].xml, f);
		fclose(f);
		print_message("# %zu\n", i);
		assert_int_equal(gf_qmp_libvirt(dir, "web", buf, sizeof buf, &err), t[i].r);
		if (t[i].r)
			assert_non_null(strstr(err.text, "unix:/var/lib/libvirt/qemu/web.gpufas,server=on,wait=off"));
		else
			assert_string_equal(buf, t[i].path);
	}
	assert_int_equal(gf_qmp_libvirt(dir, "other", buf, sizeof buf, &err), -ENOENT);
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		assert_int_equal(gf_qmp_libvirt(dir, names[i], buf, sizeof buf, &err), -EINVAL);
	/* all of it fits, not only the beginning */
	assert_int_equal(gf_qmp_libvirt(dir, "0123456789012345678901234567890123456789012345678901234567890123456789", buf, sizeof buf, &err), -EINVAL);
	unlink(path);
	rmdir(dir);
}

static void test_in_use(void **state)
{
	char path[] = "/tmp/gpufas-ram.XXXXXX";
	int fd = mkstemp(path), go[2];
	struct stat st;
	pid_t pid;

	(void)state;
	if (geteuid()) {
		print_message("# other users' processes cannot be looked into: not tried\n");
		skip();
	}
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(gf_qmp_maps_in_use(st.st_dev, st.st_ino), 0); /* this process does not count */
	assert_int_equal(pipe(go), 0);
	pid = fork();
	if (!pid) {
		char c;

		close(go[1]);
		_exit(read(go[0], &c, 1) < 0);
	}
	assert_int_equal(gf_qmp_maps_in_use(st.st_dev, st.st_ino), 1);
	close(go[0]);
	close(go[1]);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_int_equal(gf_qmp_maps_in_use(st.st_dev, st.st_ino), 0);
	close(fd);
	unlink(path);
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
		cmocka_unit_test(test_guest),
		cmocka_unit_test(test_guest_refused),
		cmocka_unit_test(test_guest_by_path),
		cmocka_unit_test(test_not_believed),
		cmocka_unit_test(test_registers),
		cmocka_unit_test(test_libvirt),
		cmocka_unit_test(test_in_use),
	};

	alarm(120);
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
