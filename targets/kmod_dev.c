// SPDX-License-Identifier: MIT
/*
 * /dev/gpufas: open, start, map, arm, kick.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "targets/kmod_int.h"

#define BUDGET 1000u /* the module's bound is against a mailbox gone wild; how much may be done is the engine's budget */
#define BUDGET_NS 1000000000ull

static const char *open_refusal(int e)
{
	switch (e) {
	case EBUSY:
		return "another process has it open";
	case EACCES:
	case EPERM:
		return "not permitted (root only)";
	}
	return strerror(e);
}

static int dev_open(void *arg, uint32_t rows, uint32_t want, uint64_t period_ns, int *ret_fd, uint8_t **ret_map, uint64_t *ret_len, struct gf_err *err)
{
	struct gpufas_start s = { .size = sizeof s, .version = GPUFAS_VERSION, .rows = GF_MIN(rows, GPUFAS_ROWS_MAX), .want = want, .period_ns = period_ns };
	const char *path = arg;
	int fd = open(path, O_RDWR | O_CLOEXEC);

	if (fd < 0 && (errno == ENOENT || errno == ENXIO || errno == ENODEV))
		return gf_err_set(err, ENOENT, "no %s: the kernel module is not loaded", path);
	if (fd < 0)
		return gf_err_set(err, errno, "%s: %s", path, open_refusal(errno));
	if (ioctl(fd, GPUFAS_IOC_START, &s)) {
		int e = errno;
		close(fd);
		return gf_err_set(err, e, "%s does not start: %s", path,
				  e == EINVAL ? "module and gpufasd are of different versions" : e == ENOMEM ? "no memory for so many tasks: lower max-tasks" : strerror(e));
	}
	uint8_t *p = s.region_size >= GF_REGION_PAGE ? mmap(NULL, s.region_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) : MAP_FAILED;
	if (p == MAP_FAILED) {
		int e = errno;
		close(fd);
		return gf_err_set(err, e, "%s cannot be mapped: %s", path, strerror(e));
	}
	*ret_fd = fd;
	*ret_map = p;
	*ret_len = s.region_size;
	return 0;
}

static int dev_arm(void *arg, int fd, uint32_t flags)
{
	struct gpufas_arm a = { .size = sizeof a, .flags = flags, .budget = BUDGET, .budget_ns = BUDGET_NS };

	(void)arg;
	return ioctl(fd, GPUFAS_IOC_ARM, &a) ? -errno : 0;
}

static int dev_kick(void *arg, int fd)
{
	(void)arg;
	return ioctl(fd, GPUFAS_IOC_KICK) ? -errno : 0;
}

static void dev_close(void *arg, int fd, uint8_t *map, uint64_t len)
{
	(void)arg;
	munmap(map, len);
	close(fd);
}

const struct gf_kmod_dev gf_kmod_device = { .open = dev_open, .arm = dev_arm, .kick = dev_kick, .close = dev_close };
