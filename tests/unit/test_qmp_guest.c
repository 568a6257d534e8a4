/* SPDX-License-Identifier: MIT
 *
 * What a monitor says of its guest, and whether it is believed: a monitor of our own, with memory that is ours.
 */
#include <errno.h>
#include <fcntl.h>
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
#define MIB (1ull << 20)
#define GIB (1ull << 30)

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
