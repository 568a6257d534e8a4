// SPDX-License-Identifier: MIT
/*
 * /dev/gpufas-mem: all RAM and nothing else, read only; and RAM that is taken away while it is mapped.
 */
#include "kmodtest.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE 4096ull
#define RANGES 64

static struct { uint64_t from, to; } ram[RANGES]; /* whole pages */

/* "System RAM" as /proc/iomem has it. */
static unsigned read_ranges(void)
{
	unsigned long long a, b;
	char line[256];
	unsigned n = 0;
	FILE *f = fopen("/proc/iomem", "r");

	while (f && fgets(line, sizeof line, f) && n < RANGES)
		if (*line != ' ' && sscanf(line, "%llx-%llx", &a, &b) == 2 && strstr(line, "System RAM")) {
			ram[n].from = (a + PAGE - 1) / PAGE * PAGE;
			ram[n].to = (b + 1) / PAGE * PAGE;
			n += ram[n].to > ram[n].from;
		}
	if (f)
		fclose(f);
	return n;
}

static sigjmp_buf trapped;

static void trap(int sig)
{
	siglongjmp(trapped, sig);
}

/* The signal that reading there ends with, 0: none. */
static int reads(const volatile char *p)
{
	int sig;

	signal(SIGBUS, trap);
	signal(SIGSEGV, trap);
	sig = sigsetjmp(trapped, 1);
	if (!sig)
		(void)*p;
	signal(SIGBUS, SIG_DFL);
	signal(SIGSEGV, SIG_DFL);
	return sig;
}

static void edges(int fd)
{
	unsigned n = read_ranges(), holes = 0, bad = 0;
	uint64_t read = 0, end = n ? ram[n - 1].to : 0;

	for (unsigned i = 0; i < n; i++) {
		const char *p = mmap(NULL, ram[i].to - ram[i].from, PROT_READ, MAP_SHARED, fd, (off_t)ram[i].from);
		bad += p == MAP_FAILED;
		for (uint64_t at = 0; p != MAP_FAILED && at < ram[i].to - ram[i].from; at += 16 * PAGE, read++)
			bad += reads(p + at) != 0;
		if (p != MAP_FAILED)
			munmap((void *)(uintptr_t)p, ram[i].to - ram[i].from);
		if (i + 1 < n && ram[i + 1].from < ram[i].to + PAGE)
			continue;
		holes++;
		bad += kt_try_map(fd, PAGE, PROT_READ, MAP_SHARED, (off_t)ram[i].to) != ENXIO;
		bad += kt_try_map(fd, 2 * PAGE, PROT_READ, MAP_SHARED, (off_t)(ram[i].to - PAGE)) != ENXIO;
		if (i + 1 < n)
			bad += kt_try_map(fd, ram[i + 1].to - ram[i].from, PROT_READ, MAP_SHARED, (off_t)ram[i].from) != ENXIO;
	}
	kt_ok(n > 1 && !bad, "all %u pieces of RAM can be read (%llu pages looked at), none of the %u holes behind them", n, (unsigned long long)read, holes);
	kt_ok(kt_try_map(fd, PAGE, PROT_READ, MAP_SHARED, (off_t)end) == ENXIO && kt_try_map(fd, 1ull << 40, PROT_READ, MAP_SHARED, 0) != 0,
	      "past the end of RAM nothing is mapped");
	kt_ok(kt_try_map(fd, PAGE, PROT_READ, MAP_SHARED, (off_t)1 << 45) == ENXIO, "where no RAM is nothing is mapped");
	kt_ok(kt_try_map(fd, PAGE, PROT_READ, MAP_SHARED, (off_t)0x7ffffffffffff000) != 0 && kt_try_map(fd, PAGE, PROT_READ, MAP_SHARED, (off_t)1 << 52) != 0,
	      "nor at the end of all addresses");
	kt_ok(kt_try_map(fd, PAGE, PROT_READ, MAP_SHARED, 0xfee00000) == ENXIO, "nor where a device is");
}

static void mapped(int fd, uint64_t pa)
{
	char *p = mmap(NULL, 2 * PAGE, PROT_READ, MAP_SHARED, fd, (off_t)pa);
	int status = -1;

	kt_ok(mprotect(p, PAGE, PROT_READ | PROT_WRITE) && errno == EACCES, "a mapping does not become writable");
	kt_ok(mprotect(p, PAGE, PROT_READ | PROT_EXEC) && errno == EACCES, "nor executable");
	kt_ok(mremap(p, 2 * PAGE, 4 * PAGE, MREMAP_MAYMOVE) == MAP_FAILED, "it does not grow");
	pid_t pid = fork();
	if (!pid)
		_exit(reads(p) == SIGSEGV ? 0 : 1);
	waitpid(pid, &status, 0);
	kt_ok(!status && !reads(p), "a child does not inherit it");
	munmap(p, 2 * PAGE);
}

/* What lies at the region's physical address is the region. */
int kt_mem(void)
{
	struct kt k;
	int fd = open(GPUFAS_DEVICE_MEM, O_RDWR);

	kt_ok(fd < 0 && errno == EPERM, "physical memory does not open for writing");
	fd = open(GPUFAS_DEVICE_MEM, O_RDONLY | O_CLOEXEC);
	kt_ok(fd >= 0, "it opens for reading");
	kt_open(&k, 0);
	const struct gpufas_header *h = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, (off_t)k.h->self_pa);
	kt_ok(h != MAP_FAILED && h->magic == GPUFAS_MAGIC && h->instance == k.s.instance && h->self_pa == k.h->self_pa,
	      "at the region's address lies the region");
	kt_ok(kt_try_map(fd, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, (off_t)k.h->self_pa) != 0, "a writable mapping is refused");
	kt_ok(kt_try_map(fd, PAGE, PROT_READ | PROT_EXEC, MAP_SHARED, (off_t)k.h->self_pa) != 0, "so is an executable one");
	mapped(fd, k.h->self_pa);
	edges(fd);
	kt_close(&k);
	close(fd);
	return 0;
}

/* ---- RAM that is taken away ---- */

static bool put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	bool good = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);

	if (fd >= 0)
		close(fd);
	return good;
}

static bool all_blocks(uint64_t from, uint64_t to, const char *state)
{
	unsigned long long size = 0;
	char path[128];
	bool good = true;
	FILE *f = fopen("/sys/devices/system/memory/block_size_bytes", "r");

	if (!f || fscanf(f, "%llx", &size) != 1 || !size)
		good = false;
	if (f)
		fclose(f);
	for (uint64_t at = from; good && at < to; at += size) {
		snprintf(path, sizeof path, "/sys/devices/system/memory/memory%llu/state", (unsigned long long)(at / size));
		good = put(path, state);
	}
	return good;
}

/* The last piece of RAM is one that can be taken out (-device pc-dimm, memhp_default_state=online_movable). */
int kt_hotmem(void)
{
	int fd = open(GPUFAS_DEVICE_MEM, O_RDONLY | O_CLOEXEC);
	unsigned n = read_ranges(), was = n;
	uint64_t from = n ? ram[n - 1].from : 0, to = n ? ram[n - 1].to : 0;
	char *p = mmap(NULL, to - from, PROT_READ, MAP_SHARED, fd, (off_t)from);

	kt_ok(fd >= 0 && from >= 1ull << 32 && p != MAP_FAILED, "memory that can be taken out is mapped (%llu MiB)", (unsigned long long)(to - from) >> 20);
	if (p == MAP_FAILED)
		return 1;
	kt_ok(!reads(p) && !reads(p + (to - from) / 2), "it can be read");
	kt_ok(all_blocks(from, to, "offline"), "it goes offline while it is mapped");
	kt_ok(reads(p) == SIGBUS && reads(p + (to - from) / 2) == SIGBUS && reads(p + (to - from) - 1) == SIGBUS, "what was mapped is there no more: SIGBUS");
	kt_ok(kt_try_map(fd, PAGE, PROT_READ, MAP_SHARED, (off_t)from) == ENXIO, "and it is not mapped anew");
	kt_ok(all_blocks(from, to, "online_movable") && !reads(p) && !reads(p + (to - from) - 1), "back online it can be read, by the same mapping");
	kt_ok(all_blocks(from, to, "offline") && put("/sys/bus/acpi/devices/PNP0C80:00/eject", "1"), "it is unplugged");
	for (int i = 0; i < 100 && read_ranges() == was; i++)
		usleep(50000);
	kt_ok(read_ranges() == was - 1 && reads(p) == SIGBUS && kt_try_map(fd, PAGE, PROT_READ, MAP_SHARED, (off_t)from) == ENXIO, "and can be read no more");
	munmap(p, to - from);
	close(fd);
	return 0;
}
