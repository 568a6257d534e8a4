// SPDX-License-Identifier: MIT
#include "targets/qmp_maps.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define LINES_MAX 200000u /* vm.max_map_count is 65530 unless raised */
#define FDS_MAX 100000u

struct area {
	uint64_t start, end, off, ino;
	unsigned major, minor;
	bool shared, writable;
};

static int find_area(pid_t pid, uint64_t addr, struct area *ret)
{
	char path[64], line[4352];
	int r = -ENOENT;
	FILE *f;

	snprintf(path, sizeof path, "/proc/%d/maps", (int)pid);
	f = fopen(path, "re");
	if (!f)
		return -errno;
	for (unsigned i = 0; i < LINES_MAX && fgets(line, sizeof line, f); i++) {
		struct area a = { 0 };
		char perms[5];

		if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %4s %" SCNx64 " %x:%x %" SCNu64, &a.start, &a.end, perms, &a.off, &a.major, &a.minor,
			   &a.ino) != 7 || addr < a.start || addr >= a.end)
			continue;
		a.shared = perms[3] == 's';
		a.writable = perms[1] == 'w';
		*ret = a;
		r = 0;
		break;
	}
	fclose(f);
	return r;
}

/* For writing only what the process itself may write: we may have more rights than it. */
static int reopen(const char *path, const struct area *a, bool *ret_writable)
{
	int fd = a->writable ? open(path, O_RDWR | O_CLOEXEC | O_NONBLOCK) : -1;

	*ret_writable = fd >= 0;
	if (fd < 0 && (!a->writable || errno == EACCES || errno == EROFS || errno == EPERM))
		fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	return fd < 0 ? -errno : fd;
}

/* Some file systems (btrfs) show another device in maps than to stat(): then inode and size must do. */
static bool is_file(const struct stat *st, const struct area *a, bool exact)
{
	if (!S_ISREG(st->st_mode) || st->st_ino != a->ino)
		return false;
	return exact ? major(st->st_dev) == a->major && minor(st->st_dev) == a->minor :
		       (uint64_t)st->st_size >= a->off + (a->end - a->start);
}

static int open_fd_of(pid_t pid, const struct area *a, bool exact, bool *ret_writable)
{
	char path[64];
	struct dirent *e;
	int r = -ENOENT;
	DIR *dir;

	snprintf(path, sizeof path, "/proc/%d/fd", (int)pid);
	dir = opendir(path);
	if (!dir)
		return -errno;
	for (unsigned i = 0; i < FDS_MAX && (e = readdir(dir)); i++) {
		struct stat st;
		char one[64];

		if (e->d_name[0] == '.' || strlen(e->d_name) > 12 || fstatat(dirfd(dir), e->d_name, &st, 0) < 0 || !is_file(&st, a, exact))
			continue;
		snprintf(one, sizeof one, "/proc/%d/fd/%.12s", (int)pid, e->d_name);
		r = reopen(one, a, ret_writable);
		break;
	}
	closedir(dir);
	return r;
}

/* Shared memory that QEMU has no file descriptor of (memory-backend-ram,share=on): for root only. */
static int open_area(pid_t pid, const struct area *a, bool *ret_writable)
{
	char path[96];

	snprintf(path, sizeof path, "/proc/%d/map_files/%" PRIx64 "-%" PRIx64, (int)pid, a->start, a->end);
	return reopen(path, a, ret_writable);
}

int gf_qmp_maps_open(pid_t pid, uint64_t addr, uint64_t size, int *ret_fd, uint64_t *ret_off, bool *ret_writable)
{
	struct area a;
	struct stat st;
	uint64_t off;
	bool writable;
	int fd, r = find_area(pid, addr, &a);

	if (r)
		return r;
	if (!a.shared)
		return -ENOTSUP;
	fd = open_fd_of(pid, &a, true, &writable);
	if (fd == -ENOENT)
		fd = open_fd_of(pid, &a, false, &writable);
	if (fd == -ENOENT)
		fd = open_area(pid, &a, &writable);
	if (fd < 0)
		return fd;
	off = a.off + (addr - a.start);
	/* It may have been another process's by now, or cut. */
	r = fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_ino != a.ino ? -ENOENT :
	    (uint64_t)st.st_size < off || (uint64_t)st.st_size - off < size ? -ENODATA : 0;
	if (r) {
		close(fd);
		return r;
	}
	*ret_fd = fd;
	*ret_off = off;
	*ret_writable = writable;
	return 0;
}

/* 1, 0, or -EACCES. QEMU keeps the descriptor of what it has mapped. */
static int has_open(const char *pid, dev_t dev, ino_t ino)
{
	char path[64];
	struct dirent *e;
	int r = 0;
	DIR *dir;

	snprintf(path, sizeof path, "/proc/%.12s/fd", pid);
	dir = opendir(path);
	if (!dir)
		return errno == ENOENT ? 0 : -EACCES;
	for (unsigned i = 0; !r && i < FDS_MAX && (e = readdir(dir)); i++) {
		struct stat st;

		r = e->d_name[0] != '.' && fstatat(dirfd(dir), e->d_name, &st, 0) == 0 && st.st_ino == ino && st.st_dev == dev;
	}
	closedir(dir);
	return r;
}

int gf_qmp_maps_in_use(dev_t dev, ino_t ino)
{
	DIR *dir = opendir("/proc");
	struct dirent *e;
	int r = 0;

	if (!dir)
		return -EACCES;
	while (r != 1 && (e = readdir(dir))) {
		int one;

		if (e->d_name[0] < '1' || e->d_name[0] > '9' || atoi(e->d_name) == (int)getpid())
			continue;
		one = has_open(e->d_name, dev, ino);
		r = one ? one : r;
	}
	closedir(dir);
	return r;
}
