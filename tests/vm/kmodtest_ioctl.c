// SPDX-License-Identifier: MIT
/*
 * The device file: openers, ioctls that are wrong, mappings that are wrong, what the header says.
 */
#include "kmodtest.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

static int try_start(int fd, struct gpufas_start s)
{
	return ioctl(fd, GPUFAS_IOC_START, &s) ? errno : 0;
}

static int try_arm(int fd, struct gpufas_arm a)
{
	return ioctl(fd, GPUFAS_IOC_ARM, &a) ? errno : 0;
}

int kt_try_map(int fd, size_t size, int prot, int flags, off_t off)
{
	void *p = mmap(NULL, size, prot, flags, fd, off);

	if (p == MAP_FAILED)
		return errno;
	munmap(p, size);
	return 0;
}

static void before_start(int fd)
{
	struct gpufas_start s = { .size = sizeof s, .version = GPUFAS_VERSION };
	struct {
		struct gpufas_start s;
		uint64_t more[2];
	} longer = { .s = s };

	kt_ok(try_arm(fd, (struct gpufas_arm){ .size = sizeof(struct gpufas_arm), .flags = GPUFAS_ARM_ACT }) == ENXIO, "arming before the start is refused");
	kt_ok(ioctl(fd, GPUFAS_IOC_KICK) && errno == ENXIO, "kicking before the start is refused");
	kt_ok(ioctl(fd, GPUFAS_IOC_PASS) && errno == ENXIO, "a pass before the start is refused");
	kt_ok(kt_try_map(fd, 4096, PROT_READ, MAP_SHARED, 0) == ENXIO, "a mapping before the start is refused");
	s.version = GPUFAS_VERSION + 1;
	kt_ok(try_start(fd, s) == EINVAL, "another version is refused");
	s.version = GPUFAS_VERSION;
	s.rows = GPUFAS_ROWS_MAX + 1;
	kt_ok(try_start(fd, s) == EINVAL, "too many rows are refused");
	s.rows = 0;
	s.size = 4;
	kt_ok(try_start(fd, s) == EINVAL, "a struct that is only a size is refused");
	s.size = 1u << 20;
	kt_ok(try_start(fd, s) == EINVAL, "a struct of a megabyte is refused");
	longer.s.size = sizeof longer;
	longer.more[1] = 1;
	kt_ok(ioctl(fd, GPUFAS_IOC_START, &longer) && errno == E2BIG, "a longer struct with something in it is refused");
	kt_ok(ioctl(fd, GPUFAS_IOC_START, NULL) && errno == EFAULT, "a struct at 0 is refused");
	kt_ok(ioctl(fd, _IO('g', 0xff)) && errno == ENOTTY, "an ioctl that there is not is refused");
	kt_ok(ioctl(fd, _IOWR('g', 0xf0, char[8]), &s) && errno == ENOTTY, "START with another size in its number is refused");
}

static void second_opener(void)
{
	int fd = open(GPUFAS_DEVICE, O_RDWR);

	kt_ok(fd < 0 && errno == EBUSY, "a second opener is refused");
	if (fd >= 0)
		close(fd);
	pid_t pid = fork();
	if (!pid) {
		if (setuid(1000))
			_exit(2);
		_exit(open(GPUFAS_DEVICE, O_RDWR) < 0 && errno == EACCES ? 0 : 1);
	}
	int status = -1;
	waitpid(pid, &status, 0);
	kt_ok(!status, "who is not root is refused");
}

static void arming(int fd)
{
	struct gpufas_arm a = { .size = sizeof a, .flags = 1u << 20 };

	kt_ok(try_arm(fd, a) == EINVAL, "arming with a flag that there is not is refused");
	a.flags = GPUFAS_ARM_PANIC;
	kt_ok(try_arm(fd, a) == EPERM, "arming for a panic is refused without the parameter");
	a.flags = GPUFAS_ARM_RESTART | GPUFAS_ARM_ACT;
	kt_ok(try_arm(fd, a) == EPERM, "arming for a restart is refused without the parameter");
	a.flags = GPUFAS_ARM_ACT;
	a.budget = 5;
	kt_ok(try_arm(fd, a) == EINVAL, "a budget without a time is refused");
	a.budget_ns = 1000000000u;
	a.reserved0 = 1;
	kt_ok(try_arm(fd, a) == EINVAL, "a reserved word is refused");
	a.reserved0 = 0;
	kt_ok(!try_arm(fd, a), "arming");
	a.flags = 0;
	kt_ok(!try_arm(fd, a), "disarming");
}

static void mappings(const struct kt *k)
{
	size_t size = k->s.region_size;

	kt_ok(kt_try_map(k->fd, size + 4096, PROT_READ, MAP_SHARED, 0) == ENXIO, "a mapping past the end is refused");
	kt_ok(kt_try_map(k->fd, 4096, PROT_READ, MAP_SHARED, (off_t)size) == ENXIO, "a mapping behind the end is refused");
	kt_ok(kt_try_map(k->fd, 4096, PROT_READ, MAP_SHARED, (off_t)0x7ffffffffffff000) != 0, "a mapping at the end of all offsets is refused");
	kt_ok(kt_try_map(k->fd, size, PROT_READ, MAP_PRIVATE, 0) == EINVAL, "a private mapping is refused");
	kt_ok(kt_try_map(k->fd, size, PROT_READ | PROT_EXEC, MAP_SHARED, 0) == EINVAL, "an executable mapping is refused");
	kt_ok(!kt_try_map(k->fd, 8192, PROT_READ, MAP_SHARED, (off_t)size - 8192), "a mapping of the last two pages");
	kt_ok(mremap(k->mem, size, size * 2, MREMAP_MAYMOVE) == MAP_FAILED, "a mapping does not grow");
	kt_ok(mprotect(k->mem, size, PROT_READ | PROT_EXEC) && errno == EACCES, "a mapping does not become executable");
}

static void header(const struct kt *k)
{
	const struct gpufas_header *h = k->h;
	uint64_t sum = 0;

	for (uint32_t i = 0; i < h->chunks; i++)
		sum += h->chunk[i].bytes;
	kt_ok(h->magic == GPUFAS_MAGIC && h->version == GPUFAS_VERSION && h->header_size == sizeof *h, "the header's signature, version and size");
	kt_ok(h->chunks && sum == h->region_size && h->chunk[0].pa == h->self_pa, "the chunks are the region");
	kt_ok(h->instance == k->s.instance && h->instance, "the instance");
	kt_ok(h->rows == 1000 && h->rec_size == sizeof(struct gf_task_rec) && h->slots == GPUFAS_SLOTS, "rows, records, slots");
	kt_ok(h->table_off[2] + sizeof(struct gpufas_table) + h->rows * sizeof(struct gf_task_rec) <= h->region_size, "the last table lies in it");
	kt_ok(h->state == GPUFAS_SAMPLING && h->owner == GPUFAS_OWNER_FILE && !h->armed, "state, owner, not armed");
	kt_ok(!ioctl(k->fd, GPUFAS_IOC_PASS), "a pass at once");
	kt_ok(h->pass && h->latest < GPUFAS_TABLES, "it was published");
	uint64_t pass = h->pass, beats = 0;
	for (int n = 0; n < 100 && h->pass < pass + 3; n++)
		usleep(100000);
	kt_ok(h->pass >= pass + 3, "passes go on by themselves");
	const struct gpufas_cpu *c = (const void *)(k->mem + h->cpu_off);
	int alive = 0;
	for (uint32_t i = 0; i < h->cpus; i++)
		alive += c[i].flags & GPUFAS_CPU_ONLINE && c[i].beats > 1;
	kt_ok(alive == sysconf(_SC_NPROCESSORS_ONLN), "every CPU beats (%d)", alive);
	for (uint32_t i = 0; i < h->cpus; i++)
		beats += c[i].beats;
	kt_ok(beats >= h->count.irqs && h->count.irqs && h->count.passes && h->count.slice_ns, "costs are counted");
}

int kt_ioctls(void)
{
	struct kt k;
	int fd = open(GPUFAS_DEVICE, O_RDWR | O_CLOEXEC);

	kt_ok(fd >= 0, "the device opens");
	before_start(fd);
	second_opener();
	close(fd);
	kt_open(&k, 1000);
	kt_ok(try_start(k.fd, k.s) == EBUSY, "a second start is refused");
	header(&k);
	arming(k.fd);
	mappings(&k);
	uint64_t old = k.s.instance;
	/* What is still mapped after the file was closed keeps the file, and with it the region. */
	close(k.fd);
	fd = open(GPUFAS_DEVICE, O_RDWR);
	kt_ok(fd < 0 && errno == EBUSY, "closed but mapped is still open");
	munmap(k.mem, k.s.region_size);
	kt_open(&k, 100);
	kt_ok(k.s.instance != old && k.h->rows == 100, "another region is another instance");
	struct gpufas_table t;
	ioctl(k.fd, GPUFAS_IOC_PASS);
	free(kt_table(&k, &t));
	kt_ok(t.count <= 100 && t.total >= t.count, "no more records than rows (%u of %u)", t.count, t.total);
	kt_close(&k);
	return 0;
}
