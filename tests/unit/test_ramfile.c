/* SPDX-License-Identifier: MIT
 *
 * Mapped memory: layouts, holes, several files, files that are cut while they are mapped, huge pages, ELF cores.
 */
#include "targets/ramfile.h"

#include <elf.h>
#include <linux/memfd.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/wait.h>

#include "tests/unit/btf_kit.h"

#define PAGE 4096u
#define MIB (1u << 20)

static struct gf_err err;

static int file_of(uint64_t size)
{
	int fd = memfd_create("ram", MFD_CLOEXEC);

	assert_true(fd >= 0 && ftruncate(fd, (off_t)size) == 0);
	return fd;
}

static void put(int fd, uint64_t off, const char *text)
{
	assert_int_equal(pwrite(fd, text, strlen(text), (off_t)off), strlen(text));
}

static uint64_t at(const struct gf_ramfile *f, uint64_t gpa)
{
	struct gf_gpa a = { gpa };
	const uint8_t *p = gf_ram_at(gf_ramfile_ram(f), a, 1);

	return p ? gf_load(p, 1) : 999;
}

static int refused(int fd, const struct gf_ram_piece *p, size_t n, bool writable)
{
	struct gf_ramfile *f = NULL;
	int r;

	memset(&err, 0, sizeof err);
	r = gf_ramfile_map(fd, "it", p, n, writable, &f, &err);
	assert_int_not_equal(r, 0);
	assert_null(f);
	assert_true(*err.text);
	return r;
}

static void layouts(void **state)
{
	int fd = file_of(16 * MIB);
	/* In no order, with a part of the file left out. */
	const struct gf_ram_piece p[] = { { 1ull << 32, MIB, 8 * MIB }, { 0, 2 * MIB, 0 }, { 4 * MIB, MIB, 15 * MIB } };
	struct gf_ramfile *f;

	(void)state;
	put(fd, 0, "a");
	put(fd, 8 * MIB, "b");
	put(fd, 16 * MIB - 1, "c");
	assert_int_equal(gf_ramfile_map(fd, "it", p, 3, true, &f, &err), 0);
	assert_int_equal(gf_ramfile_ram(f)->n, 3);
	assert_int_equal(gf_ramfile_ram(f)->seg[1].gpa, 4 * MIB);
	assert_int_equal(gf_ramfile_piece(f, 1).off, 15 * MIB);
	assert_int_equal(at(f, 0), 'a');
	assert_int_equal(at(f, 1ull << 32), 'b');
	assert_int_equal(at(f, 5 * MIB - 1), 'c');
	assert_int_equal(at(f, 2 * MIB), 999);
	assert_int_equal(at(f, 5 * MIB), 999);
	*gf_ram_at(gf_ramfile_ram(f), (struct gf_gpa){ 7 }, 1) = 'w';
	char c;
	assert_true(pread(fd, &c, 1, 7) == 1 && c == 'w');
	gf_ramfile_close(f);
	close(fd);
}

static void bad_layouts(void **state)
{
	int fd = file_of(4 * MIB), ro, pipes[2];
	const struct gf_ram_piece ok = { 0, 4 * MIB, 0 }, more = { 0, 5 * MIB, 0 }, behind = { 0, MIB, 4 * MIB }, odd = { 100, MIB, 0 },
				  nothing = { 0, 0, 0 }, high = { 1ull << 60, MIB, 0 }, wrap = { 0, MIB, UINT64_MAX - MIB + 1 };
	const struct gf_ram_piece twice[] = { { MIB, MIB, 0 }, { 0, MIB + PAGE, 2 * MIB } };
	struct gf_ram_piece many[GF_RAM_SEGS + 1];
	char path[64];

	(void)state;
	assert_int_equal(refused(fd, &ok, 1, false), -ENODATA); /* zeros only */
	put(fd, 5000, "x");
	assert_int_equal(refused(fd, &more, 1, false), -EINVAL);
	assert_non_null(strstr(err.text, "cut short"));
	assert_int_equal(refused(fd, &behind, 1, false), -EINVAL);
	assert_int_equal(refused(fd, &odd, 1, false), -EINVAL);
	assert_int_equal(refused(fd, &nothing, 1, false), -EINVAL);
	assert_int_equal(refused(fd, &high, 1, false), -EINVAL);
	assert_int_equal(refused(fd, &wrap, 1, false), -EINVAL);
	assert_int_equal(refused(fd, twice, 2, false), -EINVAL);
	assert_int_equal(refused(fd, &ok, 0, false), -EINVAL);
	for (uint64_t i = 0; i <= GF_RAM_SEGS; i++)
		many[i] = (struct gf_ram_piece){ i * 2 * PAGE, PAGE, i * PAGE };
	assert_int_equal(refused(fd, many, GF_RAM_SEGS + 1, false), -EINVAL);
	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	ro = open(path, O_RDONLY | O_CLOEXEC);
	assert_int_equal(refused(ro, &ok, 1, true), -EACCES);
	close(ro);
	assert_int_equal(pipe(pipes), 0);
	assert_int_equal(refused(pipes[0], &ok, 1, false), -EINVAL);
	close(pipes[0]);
	close(pipes[1]);
	assert_int_equal(ftruncate(fd, 0), 0);
	assert_int_equal(refused(fd, &ok, 1, false), -ENODATA);
	close(fd);
}

static void holes(void **state)
{
	int fd = file_of(64 * MIB);
	const struct gf_ram_piece p[] = { { 0, 32 * MIB, 0 }, { 1ull << 32, 32 * MIB, 32 * MIB } };
	struct gf_ram_piece d[8];
	struct gf_ramfile *f;

	(void)state;
	put(fd, 3 * PAGE + 5, "x");
	put(fd, 10 * MIB, "x");
	put(fd, 10 * MIB + PAGE, "x");
	put(fd, 32 * MIB - 1, "xx"); /* over the border of the pieces */
	put(fd, 60 * MIB, "x");
	assert_int_equal(gf_ramfile_map(fd, "it", p, 2, false, &f, &err), 0);
	assert_int_equal(gf_ramfile_data(f, d, 8), 5);
	assert_int_equal(d[0].gpa, 3 * PAGE);
	assert_int_equal(d[0].size, PAGE);
	assert_int_equal(d[1].gpa, 10 * MIB);
	assert_int_equal(d[1].size, 2 * PAGE);
	assert_int_equal(d[2].gpa, 32 * MIB - PAGE);
	assert_int_equal(d[2].size, PAGE);
	assert_int_equal(d[3].gpa, 1ull << 32);
	assert_int_equal(d[3].off, 32 * MIB);
	assert_int_equal(d[4].gpa, (1ull << 32) + 28 * MIB);
	/* The last that there is room for holds the rest. */
	assert_int_equal(gf_ramfile_data(f, d, 2), 2);
	assert_int_equal(d[1].gpa + d[1].size, (1ull << 32) + 32 * MIB);
	assert_true(gf_ramfile_next(f, 10 * MIB + 100, d));
	assert_int_equal(d[0].gpa, 10 * MIB + 100);
	assert_false(gf_ramfile_next(f, (1ull << 32) + 29 * MIB, d));
	gf_ramfile_close(f);
	close(fd);
}

static void several_files(void **state)
{
	int a = file_of(2 * MIB), b = file_of(MIB), a2 = dup(a), fd[] = { b, a, a2 };
	const struct gf_ram_piece p[] = { { 8 * MIB, MIB, 0 }, { 0, MIB, MIB }, { 4 * MIB, MIB, 0 } };
	struct gf_ramfile *f;

	(void)state;
	put(a, 0, "0");
	put(a, MIB, "1");
	put(b, 0, "b");
	assert_int_equal(gf_ramfile_map_files(fd, "it", p, 3, false, &f, &err), 0);
	assert_int_equal(at(f, 0), '1');
	assert_int_equal(at(f, 4 * MIB), '0');
	assert_int_equal(at(f, 8 * MIB), 'b');
	close(a);
	close(a2);
	close(b);
	assert_int_equal(at(f, 8 * MIB + 1), 0); /* the fds were borrowed only */
	gf_ramfile_close(f);
}

static void cut(void **state)
{
	int fd = file_of(8 * MIB), other = file_of(MIB);
	const struct gf_ram_piece p = { 0, 8 * MIB, 0 }, q = { 0, MIB, 0 };
	struct gf_ramfile *f, *g;

	(void)state;
	put(fd, 0, "a");
	put(fd, 7 * MIB, "z");
	put(other, 0, "o");
	assert_int_equal(gf_ramfile_map(fd, "it", &p, 1, true, &f, &err), 0);
	assert_int_equal(gf_ramfile_map(other, "other", &q, 1, false, &g, &err), 0);
	assert_int_equal(at(f, 7 * MIB), 'z');
	assert_int_equal(ftruncate(fd, MIB), 0);
	assert_false(gf_ramfile_lost(f));
	assert_int_equal(at(f, 7 * MIB), 0);
	assert_true(gf_ramfile_lost(f));
	for (uint64_t gpa = 0; gpa < 8 * MIB; gpa += PAGE)
		assert_int_equal(at(f, gpa), gpa ? 0 : 'a');
	*gf_ram_at(gf_ramfile_ram(f), (struct gf_gpa){ 5 * MIB }, 1) = 1; /* goes nowhere */
	assert_false(gf_ramfile_lost(g));
	assert_int_equal(at(g, 0), 'o');
	assert_int_equal(ftruncate(other, 0), 0);
	assert_int_equal(at(g, 0), 0);
	assert_true(gf_ramfile_lost(g));
	gf_ramfile_close(f);
	gf_ramfile_close(g);
	close(fd);
	close(other);
}

static sigjmp_buf jump;

static void on_bus(int sig)
{
	(void)sig;
	siglongjmp(jump, 1);
}

/* Faults that are not ours. In a child: the process's action is at stake. */
static int elsewhere(void (*before)(void))
{
	pid_t pid = fork();
	int st;

	if (pid == 0) {
		int fd = file_of(PAGE), mine = file_of(PAGE);
		const struct gf_ram_piece p = { 0, PAGE, 0 };
		volatile uint8_t *q = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, mine, 0);
		struct gf_ramfile *f;

		before();
		put(fd, 0, "x");
		if (gf_ramfile_map(fd, "it", &p, 1, false, &f, &err) || ftruncate(mine, 0) || ftruncate(fd, 0))
			_exit(2);
		if (at(f, 0) != 0)
			_exit(3);
		if (sigsetjmp(jump, 1))
			_exit(42);
		(void)q[0];
		_exit(4);
	}
	assert_int_equal(waitpid(pid, &st, 0), pid);
	return st;
}

static void none_before(void)
{
	signal(SIGBUS, SIG_DFL);
}

static void one_before(void)
{
	signal(SIGBUS, on_bus);
}

static void chained(void **state)
{
	int st;

	(void)state;
#if defined(__SANITIZE_ADDRESS__)
	skip();
#endif
	/* The handler is set up once: this has to be the first time in the child, so each test of it forks before any mapping. */
	st = elsewhere(none_before);
	assert_true(WIFSIGNALED(st) && WTERMSIG(st) == SIGBUS);
	st = elsewhere(one_before);
	assert_true(WIFEXITED(st) && WEXITSTATUS(st) == 42);
}

static void huge_pages(void **state)
{
	const struct gf_ram_piece p[] = { { 0, MIB, 0 }, { 1ull << 32, 3 * MIB, MIB } }; /* the border is within a huge page */
	int fd = memfd_create("huge", MFD_CLOEXEC | MFD_HUGETLB | MFD_HUGE_2MB);
	struct gf_ramfile *f;
	uint8_t *q;

	(void)state;
	if (fd < 0 || ftruncate(fd, 4 * MIB) < 0 || (q = mmap(NULL, 4 * MIB, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0)) == MAP_FAILED) {
		print_message("# SKIP no huge pages here (vm.nr_hugepages)\n");
		skip();
	}
	q[0] = 1;
	q[3 * MIB] = 3;
	assert_int_equal(gf_ramfile_map(fd, "it", p, 2, false, &f, &err), 0);
	assert_int_equal(at(f, (1ull << 32) + 2 * MIB), 3);
	gf_ramfile_close(f);
	munmap(q, 4 * MIB);
	close(fd);
}

/* ---- ELF cores ----------------------------------------------------------------------- */

struct core {
	Elf64_Ehdr e;
	Elf64_Phdr p[80];
	uint8_t notes[2048];
};

static struct core core_of(unsigned phdrs)
{
	struct core c = { 0 };

	memcpy(c.e.e_ident, ELFMAG, SELFMAG);
	c.e.e_ident[EI_CLASS] = ELFCLASS64;
	c.e.e_ident[EI_DATA] = ELFDATA2LSB;
	c.e.e_type = ET_CORE;
	c.e.e_machine = EM_X86_64;
	c.e.e_phoff = offsetof(struct core, p);
	c.e.e_phentsize = sizeof(Elf64_Phdr);
	c.e.e_phnum = (Elf64_Half)phdrs;
	return c;
}

static Elf64_Phdr load(uint64_t gpa, uint64_t size, uint64_t off)
{
	return (Elf64_Phdr){ .p_type = PT_LOAD, .p_paddr = gpa, .p_filesz = size, .p_memsz = size, .p_offset = off };
}

/* Opens c as the start of a file of 4 MiB whose every byte is the low byte of its page's number. */
static int open_core(const struct core *c, struct gf_ramfile **ret)
{
	static char path[64];
	uint8_t page[PAGE];
	int fd = file_of(4 * MIB), r;

	for (unsigned i = 0; i < 4 * MIB / PAGE; i++) {
		memset(page, (int)i, PAGE);
		assert_int_equal(pwrite(fd, page, PAGE, (off_t)i * PAGE), PAGE);
	}
	assert_int_equal(pwrite(fd, c, sizeof *c, 0), sizeof *c);
	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	memset(&err, 0, sizeof err);
	r = gf_ramfile_open(path, NULL, 0, true, ret, &err);
	if (r)
		assert_true(*err.text);
	close(fd);
	return r;
}

static size_t add_note(uint8_t *buf, const char *name, const void *desc, uint32_t len)
{
	Elf64_Nhdr n = { (uint32_t)strlen(name) + 1, len, 0 };
	size_t to = sizeof n + (n.n_namesz + 3) / 4 * 4;

	memcpy(buf, &n, sizeof n);
	memcpy(buf + sizeof n, name, n.n_namesz);
	memcpy(buf + to, desc, len);
	return to + (len + 3) / 4 * 4;
}

static void cores(void **state)
{
	struct core c = core_of(6);
	struct gf_ramfile *f;
	uint32_t cpu[110] = { 1, 440 };
	size_t n, len;

	(void)state;
	/* Off the file's pages; seen twice, once in part; two that are one. */
	c.p[0] = load(0x100000, 0x10000, 0x20100);
	c.p[1] = load(0x100000, 0x8000, 0x40000);
	c.p[2] = load(0x108000, 0x10000, 0x50000);
	c.p[3] = load(1ull << 32, 0x1000, 0x80000);
	c.p[4] = load((1ull << 32) + 0x1000, 0x1000, 0x81000);
	c.p[5] = (Elf64_Phdr){ .p_type = PT_NOTE, .p_offset = offsetof(struct core, notes) };
	n = add_note(c.notes, "CORE", "xyz", 3);
	cpu[104] = 0x1234000; /* CR3 */
	n += add_note(c.notes + n, "QEMU", cpu, sizeof cpu);
	n += add_note(c.notes + n, "VMCOREINFO", "OSRELEASE=1\n", 12);
	c.p[5].p_filesz = n;
	assert_int_equal(open_core(&c, &f), 0);
	assert_int_equal(gf_ramfile_ram(f)->n, 3);
	assert_false(gf_ramfile_ram(f)->writable);
	assert_int_equal(at(f, 0x100000), 0x20);
	assert_int_equal(at(f, 0x100f00), 0x21);
	assert_int_equal(at(f, 0x10ffff), 0x30);
	assert_int_equal(at(f, 0x110000), 0x58);
	assert_int_equal(at(f, 0x118000), 999);
	assert_int_equal(gf_ramfile_ram(f)->seg[2].size, 0x2000);
	assert_int_equal(gf_ramfile_cr3(f), 0x1234000);
	assert_memory_equal(gf_ramfile_vmcoreinfo(f, &len), "OSRELEASE=1\n", 12);
	assert_int_equal(len, 12);
	gf_ramfile_close(f);
}

static void bad_cores(void **state)
{
	struct core c = core_of(1);
	struct gf_ramfile *f;

	(void)state;
	c.p[0] = load(0, 4 * MIB, 0x1000);
	assert_int_equal(open_core(&c, &f), -EINVAL); /* cut short */
	c = core_of(1);
	assert_int_equal(open_core(&c, &f), -ENODATA);
	c.p[0] = load(0, MIB, 0x1000);
	c.e.e_type = ET_EXEC;
	assert_int_equal(open_core(&c, &f), -EINVAL);
	c.e.e_type = ET_CORE;
	c.e.e_machine = EM_AARCH64;
	assert_int_equal(open_core(&c, &f), -ENOTSUP);
	c.e.e_machine = EM_X86_64;
	c.e.e_phnum = 0;
	assert_int_equal(open_core(&c, &f), -EBADMSG);
	c.e.e_phnum = PN_XNUM;
	c.e.e_shoff = UINT64_MAX / 2;
	assert_int_not_equal(open_core(&c, &f), 0);
	c = core_of(70);
	for (unsigned i = 0; i < 70; i++)
		c.p[i] = load(i * 0x10000ull, 0x1000, 0x10000 + i * 0x1000ull);
	assert_int_equal(open_core(&c, &f), -ENOTSUP);
	assert_non_null(strstr(err.text, "makedumpfile"));
	memcpy(&c, "KDUMP   ", 8);
	assert_int_equal(open_core(&c, &f), -ENOTSUP);
	assert_non_null(strstr(err.text, "crash"));
}

static void damaged_cores(void **state)
{
	int fd = file_of(4 * MIB);
	unsigned good = 0, n = getenv("GF_ROUNDS") ? (unsigned)atoi(getenv("GF_ROUNDS")) : 3000;
	char path[64];

	(void)state;
	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	put(fd, 2 * MIB, "x");
	for (unsigned i = 0; i < n; i++) {
		struct core c = core_of(4);
		struct gf_ramfile *f;

		for (unsigned k = 0; k < 3; k++)
			c.p[k] = load(k * 0x200000ull, 0x100000, 0x10000 + k * 0x100000ull);
		c.p[3] = (Elf64_Phdr){ .p_type = PT_NOTE, .p_offset = offsetof(struct core, notes), .p_filesz = 100 };
		add_note(c.notes, "VMCOREINFO", "OSRELEASE=1\n", 12);
		for (unsigned k = rnd(6); k; k--) {
			size_t where = rnd(2) ? rnd(sizeof c.e + 4 * sizeof *c.p) : offsetof(struct core, notes) + rnd(32);

			((uint8_t *)&c)[where] = (uint8_t)(rnd(2) ? rnd(256) : ((uint8_t *)&c)[where] ^ 1u << rnd(8));
		}
		assert_int_equal(pwrite(fd, &c, sizeof c, 0), sizeof c);
		if (gf_ramfile_open(path, NULL, 0, false, &f, &err))
			continue;
		for (uint32_t k = 0; k < gf_ramfile_ram(f)->n; k++) {
			const struct gf_ram_seg *s = &gf_ramfile_ram(f)->seg[k];

			at(f, s->gpa);
			at(f, s->gpa + s->size - 1);
		}
		assert_false(gf_ramfile_lost(f)); /* nothing was mapped that is not there */
		good++;
		gf_ramfile_close(f);
	}
	assert_true(good > 0);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(chained), /* first: see there */
		cmocka_unit_test(layouts), cmocka_unit_test(bad_layouts), cmocka_unit_test(holes), cmocka_unit_test(several_files),
		cmocka_unit_test(cut), cmocka_unit_test(huge_pages), cmocka_unit_test(cores), cmocka_unit_test(bad_cores),
		cmocka_unit_test(damaged_cores),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	rng_init();
	return cmocka_run_group_tests_name("ramfile", tests, NULL, NULL);
}
