// SPDX-License-Identifier: MIT
#include "targets/ramfile_int.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#define PAGE 4096u
#define GPA_MAX (1ull << 52) /* x86-64 has no more physical address bits */

static void swap_pieces(struct gf_ramfile *f, size_t i, size_t j)
{
	struct gf_ram_piece p = f->piece[i];
	uint8_t in = f->in[i];

	f->piece[i] = f->piece[j];
	f->in[i] = f->in[j];
	f->piece[j] = p;
	f->in[j] = in;
}

static int check_piece(const struct gf_ramfile *f, const struct gf_ram_piece *p, int fd, struct gf_err *err)
{
	struct stat st;
	uint64_t size;

	if (fstat(fd, &st) < 0)
		return gf_err_set(err, errno, "%s: %s", f->what, strerror(errno));
	size = (uint64_t)st.st_size;
	if (!p->size || p->gpa >= GPA_MAX || p->size > GPA_MAX - p->gpa)
		return gf_err_set(err, EINVAL, "%s: the layout has a piece of %" PRIu64 " bytes at guest address 0x%" PRIx64
				  ", which no machine has: give it as GPA:SIZE@OFFSET", f->what, p->size, p->gpa);
	if (p->off > size || p->size > size - p->off)
		return gf_err_set(err, EINVAL, "%s: the layout says that there are bytes 0x%" PRIx64 "-0x%" PRIx64
				  ", but the file ends at 0x%" PRIx64 ": it is cut short, or the layout is another machine's", f->what,
				  p->off, p->off + p->size, size);
	return 0;
}

/* Checks them, and sorts them: there are 64 at most. */
static int check_pieces(struct gf_ramfile *f, size_t n, struct gf_err *err)
{
	for (size_t i = 0; i < n; i++) {
		int r = check_piece(f, &f->piece[i], f->file[f->in[i]].fd, err);

		if (r)
			return r;
		for (size_t j = i; j && f->piece[j - 1].gpa > f->piece[j].gpa; j--)
			swap_pieces(f, j - 1, j);
	}
	for (size_t i = 1; i < n; i++)
		if (f->piece[i].gpa - f->piece[i - 1].gpa < f->piece[i - 1].size)
			return gf_err_set(err, EINVAL, "%s: the layout has two pieces at guest address 0x%" PRIx64, f->what, f->piece[i].gpa);
	return 0;
}

/* Huge pages can only be mapped whole. */
static uint64_t block_of(int fd)
{
	struct statfs s;

	return fstatfs(fd, &s) == 0 && (unsigned long)s.f_type == HUGETLBFS_MAGIC && s.f_bsize > (long)PAGE ? (uint64_t)s.f_bsize : PAGE;
}

static int map_file(struct gf_ramfile *f, uint8_t which, size_t n, bool writable, struct gf_err *err)
{
	struct gf_ramfile_file *file = &f->file[which];
	uint64_t block = block_of(file->fd), lo = UINT64_MAX, hi = 0;

	for (size_t i = 0; i < n; i++) {
		if (f->in[i] != which)
			continue;
		lo = GF_MIN(lo, f->piece[i].off);
		hi = GF_MAX(hi, f->piece[i].off + f->piece[i].size);
	}
	lo -= lo % block;
	file->map_len = (size_t)((hi - lo + block - 1) / block * block);
	file->map = mmap(NULL, file->map_len, PROT_READ | (writable ? PROT_WRITE : 0), MAP_SHARED | MAP_NORESERVE, file->fd, (off_t)lo);
	if (file->map == MAP_FAILED) {
		int e = errno;

		file->map = NULL;
		return gf_err_set(err, e, "%s: cannot map it%s: %s", f->what, writable ? " for writing" : "", strerror(e));
	}
	/* A core of ours need not hold the guest, nor a child share it. */
	madvise(file->map, file->map_len, MADV_DONTDUMP);
	madvise(file->map, file->map_len, MADV_DONTFORK);
	/* Nor is it to be kept from being swapped: the engine locks what it maps, and looking for the kernel touches all. */
	munlock(file->map, file->map_len);
	for (size_t i = 0; i < n; i++)
		if (f->in[i] == which)
			f->ram.seg[i] = (struct gf_ram_seg){ f->piece[i].gpa, f->piece[i].size, file->map + (f->piece[i].off - lo) };
	return gf_sigbus_guard(file->map, file->map_len, (size_t)block, file->fd, lo, &f->lost, &file->guard, err);
}

/* The file that fd is of, once for all pieces. */
static int add_file(struct gf_ramfile *f, int fd, uint8_t *ret, struct gf_err *err)
{
	struct stat st, have;

	if (fstat(fd, &st) < 0)
		return gf_err_set(err, errno, "%s: %s", f->what, strerror(errno));
	if (!S_ISREG(st.st_mode))
		return gf_err_set(err, EINVAL, "%s: not a file that memory can be in: give a RAM file, a memfd or a dump", f->what);
	if (!st.st_size)
		return gf_err_set(err, ENODATA, "%s is empty: is the virtual machine that it belongs to running?", f->what);
	for (uint32_t i = 0; i < f->files; i++)
		if (fstat(f->file[i].fd, &have) == 0 && have.st_ino == st.st_ino && have.st_dev == st.st_dev) {
			*ret = (uint8_t)i;
			return 0;
		}
	if (f->files == GF_RAMFILE_FILES)
		return gf_err_set(err, EINVAL, "%s: memory in more than %u files", f->what, GF_RAMFILE_FILES);
	fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	if (fd < 0)
		return gf_err_set(err, errno, "%s: %s", f->what, strerror(errno));
	f->file[f->files].fd = fd;
	*ret = (uint8_t)f->files++;
	return 0;
}

static bool holds_data(const struct gf_ramfile *f)
{
	for (uint32_t i = 0; i < f->ram.n; i++) {
		off_t at = lseek(f->file[f->in[i]].fd, (off_t)f->piece[i].off, SEEK_DATA);

		if (at >= 0 ? (uint64_t)at < f->piece[i].off + f->piece[i].size : errno != ENXIO)
			return true;
	}
	return false;
}

static int fill(struct gf_ramfile *f, const int *fd, size_t n, bool writable, struct gf_err *err)
{
	int r = 0;

	for (size_t i = 0; !r && i < n; i++)
		r = add_file(f, fd[i], &f->in[i], err);
	if (!r)
		r = check_pieces(f, n, err);
	for (uint8_t i = 0; !r && i < f->files; i++)
		r = map_file(f, i, n, writable, err);
	if (r)
		return r;
	f->ram.n = (uint32_t)n;
	f->ram.writable = writable;
	return holds_data(f) ? 0 :
		gf_err_set(err, ENODATA, "%s holds nothing but zeros: the guest has not started yet, or its memory is elsewhere "
			   "(QEMU needs share=on)", f->what);
}

static int map_any(const int *fd, const char *what, const struct gf_ram_piece *piece, size_t n, bool writable,
		   struct gf_ramfile **ret, struct gf_err *err)
{
	struct gf_ramfile *f;
	int r;

	if (!n || n > GF_RAM_SEGS)
		return gf_err_set(err, EINVAL, "%s: %zu pieces of memory, of which there can be 1 to %u", what, n, GF_RAM_SEGS);
	f = calloc(1, sizeof *f);
	if (!f)
		return gf_err_set(err, ENOMEM, "%s: no memory", what);
	snprintf(f->what, sizeof f->what, "%s", what);
	memcpy(f->piece, piece, n * sizeof *piece);
	r = fill(f, fd, n, writable, err);
	if (r)
		gf_ramfile_close(f);
	else
		*ret = f;
	return r;
}

int gf_ramfile_map_any(int fd, const char *what, const struct gf_ram_piece *piece, size_t n, bool writable,
		       struct gf_ramfile **ret, struct gf_err *err)
{
	int fds[GF_RAM_SEGS];

	for (size_t i = 0; i < GF_RAM_SEGS; i++)
		fds[i] = fd;
	return map_any(fds, what, piece, n, writable, ret, err);
}

static int whole_pages(const char *what, const struct gf_ram_piece *piece, size_t n, struct gf_err *err)
{
	for (size_t i = 0; i < n; i++)
		if ((piece[i].gpa | piece[i].size | piece[i].off) % PAGE)
			return gf_err_set(err, EINVAL, "%s: the layout's addresses, sizes and offsets must be multiples of 4096; 0x%" PRIx64
					  ":0x%" PRIx64 "@0x%" PRIx64 " is not", what, piece[i].gpa, piece[i].size, piece[i].off);
	return 0;
}

int gf_ramfile_map_files(const int *fd, const char *what, const struct gf_ram_piece *piece, size_t n, bool writable,
			 struct gf_ramfile **ret, struct gf_err *err)
{
	int r = whole_pages(what, piece, n, err);

	return r ? r : map_any(fd, what, piece, n, writable, ret, err);
}

int gf_ramfile_map(int fd, const char *what, const struct gf_ram_piece *piece, size_t n, bool writable,
		   struct gf_ramfile **ret, struct gf_err *err)
{
	int r = whole_pages(what, piece, n, err);

	return r ? r : gf_ramfile_map_any(fd, what, piece, n, writable, ret, err);
}

static int open_fd(int fd, const char *path, const struct gf_ram_piece *piece, size_t n, bool writable,
		   struct gf_ramfile **ret, struct gf_err *err)
{
	struct gf_ram_piece whole = { 0 };
	uint8_t head[64];
	struct stat st;
	ssize_t len;

	if (n)
		return gf_ramfile_map(fd, path, piece, n, writable, ret, err);
	if (fstat(fd, &st) < 0)
		return gf_err_set(err, errno, "%s: %s", path, strerror(errno));
	len = S_ISREG(st.st_mode) ? pread(fd, head, sizeof head, 0) : 0; /* EINVAL on hugetlbfs of old: raw, then */
	if (len > 0 && gf_ramfile_is_elf(head, (size_t)len))
		return gf_ramfile_open_elf(fd, path, ret, err);
	if (st.st_size > (2ll << 30))
		return gf_ramfile_guess(fd, path, (uint64_t)st.st_size, writable, ret, err);
	whole.size = (uint64_t)st.st_size & ~(uint64_t)(PAGE - 1);
	if (st.st_size && !whole.size)
		return gf_err_set(err, EINVAL, "%s: %lld bytes are not the memory of a machine", path, (long long)st.st_size);
	return gf_ramfile_map(fd, path, &whole, 1, writable, ret, err);
}

int gf_ramfile_open(const char *path, const struct gf_ram_piece *piece, size_t n, bool writable,
		    struct gf_ramfile **ret, struct gf_err *err)
{
	int fd = open(path, (writable ? O_RDWR : O_RDONLY) | O_CLOEXEC | O_NONBLOCK), r;

	if (fd < 0 && errno == ENXIO)
		return gf_err_set(err, ENXIO, "%s is a socket: give a RAM file, or a core made by QEMU's dump-guest-memory", path);
	if (fd < 0)
		return gf_err_set(err, errno, "cannot open %s%s: %s", path, writable ? " for writing" : "", strerror(errno));
	r = open_fd(fd, path, piece, n, writable, ret, err);
	close(fd);
	return r;
}

void gf_ramfile_close(struct gf_ramfile *f)
{
	if (!f)
		return;
	for (uint32_t i = 0; i < f->files; i++) {
		gf_sigbus_unguard(f->file[i].guard);
		if (f->file[i].map)
			munmap(f->file[i].map, f->file[i].map_len);
		close(f->file[i].fd);
	}
	free(f->vmcoreinfo);
	free(f);
}

const struct gf_ram *gf_ramfile_ram(const struct gf_ramfile *f)
{
	return &f->ram;
}

void gf_ramfile_set_cr3(struct gf_ramfile *f, uint64_t cr3)
{
	f->cr3 = cr3;
}

uint64_t gf_ramfile_cr3(const struct gf_ramfile *f)
{
	return f->cr3;
}

uint64_t gf_ramfile_allocated(const struct gf_ramfile *f)
{
	uint64_t n = 0;
	struct stat st;

	for (uint32_t i = 0; i < f->files; i++)
		if (fstat(f->file[i].fd, &st) == 0)
			n += (uint64_t)st.st_blocks * 512;
	return n;
}

int gf_ramfile_watch(const struct gf_ramfile *f, bool *ret_sure)
{
	int fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC), e;
	struct stat st;
	char path[32];

	*ret_sure = fd >= 0;
	for (uint32_t i = 0; fd >= 0 && i < f->files; i++) {
		/* (a memfd has no other name; what is watched is the inode) */
		snprintf(path, sizeof path, "/proc/self/fd/%d", f->file[i].fd);
		if (inotify_add_watch(fd, path, IN_MODIFY) < 0) {
			e = errno;
			close(fd);
			*ret_sure = false;
			return -e;
		}
		*ret_sure &= !fstat(f->file[i].fd, &st) && st.st_nlink;
	}
	return fd < 0 ? -errno : fd;
}

bool gf_ramfile_watch_saw(int fd)
{
	char events[16 * sizeof(struct inotify_event)];
	bool saw = false;

	while (fd >= 0 && read(fd, events, sizeof events) > 0)
		saw = true;
	return saw;
}

bool gf_ramfile_lost(const struct gf_ramfile *f)
{
	return atomic_load(&f->lost);
}

const char *gf_ramfile_vmcoreinfo(const struct gf_ramfile *f, size_t *ret_len)
{
	*ret_len = f->vmcoreinfo_len;
	return f->vmcoreinfo;
}

struct gf_ram_piece gf_ramfile_piece(const struct gf_ramfile *f, uint32_t i)
{
	return f->piece[i];
}

const char *gf_ramfile_what(const struct gf_ramfile *f)
{
	return f->what;
}

/* Where the file has data within a piece from byte `at` of it on: offsets in the piece. */
static bool data_in(int fd, const struct gf_ram_piece *p, uint64_t at, uint64_t *ret_from, uint64_t *ret_to)
{
	off_t from = lseek(fd, (off_t)(p->off + at), SEEK_DATA), to;

	if (from < 0 && errno == ENXIO)
		return false; /* a hole up to the end */
	if (from < 0 || (uint64_t)from < p->off + at) { /* a file system without holes */
		*ret_from = at;
		*ret_to = p->size;
		return true;
	}
	if ((uint64_t)from - p->off >= p->size)
		return false;
	to = lseek(fd, from, SEEK_HOLE);
	*ret_from = (uint64_t)from - p->off;
	*ret_to = to < 0 ? p->size : GF_MIN((uint64_t)to - p->off, p->size);
	return *ret_to > *ret_from;
}

bool gf_ramfile_next(const struct gf_ramfile *f, uint64_t gpa, struct gf_ram_piece *ret)
{
	for (uint32_t i = 0; i < f->ram.n; i++) {
		const struct gf_ram_piece *p = &f->piece[i];
		uint64_t from, to;

		if (gpa >= p->gpa + p->size)
			continue;
		if (!data_in(f->file[f->in[i]].fd, p, gpa > p->gpa ? gpa - p->gpa : 0, &from, &to))
			continue;
		*ret = (struct gf_ram_piece){ p->gpa + from, to - from, p->off + from };
		return true;
	}
	return false;
}

size_t gf_ramfile_data(const struct gf_ramfile *f, struct gf_ram_piece *buf, size_t n)
{
	struct gf_ram_piece p;
	uint64_t gpa = 0;
	size_t k = 0;

	while (k < n && gf_ramfile_next(f, gpa, &p)) {
		const struct gf_ram_piece *last = &f->piece[f->ram.n - 1];

		buf[k++] = p;
		gpa = p.gpa + p.size;
		if (k == n && gf_ramfile_next(f, gpa, &p))
			buf[k - 1].size = last->gpa + last->size - buf[k - 1].gpa;
	}
	return k;
}
