// SPDX-License-Identifier: MIT
/*
 * ELF cores of a machine: QEMU's dump-guest-memory, and /proc/vmcore or what makedumpfile -E makes of it.
 */
#include <elf.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "targets/ramfile_int.h"

#define PHDRS 4096u
#define NOTES (1u << 20)
#define VMCOREINFO "VMCOREINFO"
#define QEMU "QEMU"
#define QEMU_CPU 440u /* bytes of a CPU's registers */
#define QEMU_CR3 416u

bool gf_ramfile_is_elf(const uint8_t *head, size_t len)
{
	return (len >= SELFMAG && !memcmp(head, ELFMAG, SELFMAG)) || (len >= 8 && (!memcmp(head, "KDUMP   ", 8) || !memcmp(head, "DISKDUMP", 8))) ||
	       (len >= 12 && !memcmp(head, "makedumpfile", 12));
}

static int read_at(int fd, const char *what, void *buf, size_t len, uint64_t off, struct gf_err *err)
{
	for (size_t done = 0; done < len;) {
		ssize_t n = pread(fd, (char *)buf + done, len - done, (off_t)(off + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return gf_err_set(err, errno, "%s: %s", what, strerror(errno));
		if (n == 0)
			return gf_err_set(err, EBADMSG, "%s ends within its headers: the dump is not complete", what);
		done += (size_t)n;
	}
	return 0;
}

static int check_header(const Elf64_Ehdr *h, const char *what, struct gf_err *err)
{
	if (memcmp(h->e_ident, ELFMAG, SELFMAG))
		return gf_err_set(err, ENOTSUP, "%s is a compressed dump: make an ELF core of it (`makedumpfile -E`, QEMU's "
				  "dump-guest-memory without -z), or look at it with `crash`", what);
	if (h->e_ident[EI_CLASS] != ELFCLASS64 || h->e_ident[EI_DATA] != ELFDATA2LSB || h->e_machine != EM_X86_64)
		return gf_err_set(err, ENOTSUP, "%s is an ELF file for another architecture (machine %u): only x86-64 is understood", what,
				  h->e_machine);
	if (h->e_type != ET_CORE)
		return gf_err_set(err, EINVAL, "%s is an ELF file but not a core: give a dump of a machine's memory", what);
	if (h->e_phentsize != sizeof(Elf64_Phdr) || !h->e_phnum)
		return gf_err_set(err, EBADMSG, "%s has no program headers: the dump is not complete", what);
	return 0;
}

/* PN_XNUM: the number did not fit, and stands in the first section header. */
static int count_headers(int fd, const char *what, const Elf64_Ehdr *h, uint32_t *ret, struct gf_err *err)
{
	Elf64_Shdr s;
	int r;

	*ret = h->e_phnum;
	if (h->e_phnum == PN_XNUM) {
		r = read_at(fd, what, &s, sizeof s, h->e_shoff, err);
		if (r)
			return r;
		*ret = s.sh_info;
	}
	return *ret <= PHDRS ? 0 : gf_err_set(err, EBADMSG, "%s has %u program headers, more than the %u of a sane dump", what, *ret, PHDRS);
}

static int by_paddr(const void *a, const void *b)
{
	const Elf64_Phdr *x = a, *y = b;

	if (x->p_paddr != y->p_paddr)
		return x->p_paddr < y->p_paddr ? -1 : 1;
	return x->p_filesz > y->p_filesz ? -1 : x->p_filesz < y->p_filesz;
}

/* Headers may show the same memory twice (the kernel's own mapping of itself, or with dump-guest-memory -p every
 * mapping there is): the first wins. What lies together in memory and file is one piece. */
static int collect(const char *what, Elf64_Phdr *h, uint32_t n, struct gf_ram_piece *p, size_t *ret_n, struct gf_err *err)
{
	uint64_t end = 0;
	size_t k = 0;

	qsort(h, n, sizeof *h, by_paddr);
	for (uint32_t i = 0; i < n; i++) {
		uint64_t gpa = h[i].p_paddr, size = h[i].p_filesz, off = h[i].p_offset;

		if (h[i].p_type != PT_LOAD || !size || gpa > UINT64_MAX - size)
			continue;
		if (gpa < end) {
			uint64_t cut = end - gpa;

			if (cut >= size)
				continue;
			gpa += cut;
			size -= cut;
			off += cut;
		}
		end = gpa + size;
		if (k && p[k - 1].gpa + p[k - 1].size == gpa && p[k - 1].off + p[k - 1].size == off) {
			p[k - 1].size += size;
			continue;
		}
		if (k == GF_RAM_SEGS)
			return gf_err_set(err, ENOTSUP, "%s holds memory in more than %u pieces: dump it without leaving pages out "
					  "(makedumpfile -d 0)", what, GF_RAM_SEGS);
		p[k++] = (struct gf_ram_piece){ gpa, size, off };
	}
	*ret_n = k;
	return k ? 0 : gf_err_set(err, ENODATA, "%s holds no memory (no PT_LOAD header)", what);
}

/* QEMU tells its CPUs' registers (target/i386/arch_dump.c: QEMUX86CPUState, version 1): the first one's CR3 says which of
 * several kernels ran. */
static void take_cpu(struct gf_ramfile *f, const uint8_t *desc, size_t len)
{
	uint32_t head[2];
	uint64_t cr3;

	if (f->cr3 || len != QEMU_CPU)
		return;
	memcpy(head, desc, sizeof head);
	memcpy(&cr3, desc + QEMU_CR3, sizeof cr3);
	if (head[0] == 1 && head[1] == QEMU_CPU)
		f->cr3 = cr3;
}

static void take_text(struct gf_ramfile *f, const uint8_t *desc, size_t len)
{
	if (f->vmcoreinfo || !len)
		return;
	f->vmcoreinfo = malloc(len);
	if (f->vmcoreinfo) {
		memcpy(f->vmcoreinfo, desc, len);
		f->vmcoreinfo_len = len;
	}
}

/* Looks for the notes in one PT_NOTE segment. */
static void find_notes(struct gf_ramfile *f, const uint8_t *buf, size_t len)
{
	size_t at = 0;

	while (len - at >= sizeof(Elf64_Nhdr)) {
		Elf64_Nhdr n;
		size_t name = at + sizeof n, desc, next;

		memcpy(&n, buf + at, sizeof n);
		if (n.n_namesz > len - name)
			return;
		desc = name + (((size_t)n.n_namesz + 3) & ~(size_t)3);
		if (desc > len || n.n_descsz > len - desc)
			return;
		if (n.n_namesz == sizeof VMCOREINFO && !memcmp(buf + name, VMCOREINFO, sizeof VMCOREINFO))
			take_text(f, buf + desc, n.n_descsz);
		else if (n.n_namesz == sizeof QEMU && !memcmp(buf + name, QEMU, sizeof QEMU))
			take_cpu(f, buf + desc, n.n_descsz);
		next = desc + (((size_t)n.n_descsz + 3) & ~(size_t)3);
		if (next > len)
			return;
		at = next;
	}
}

/* No note, or a broken one, is no reason not to look at the memory. */
static void take_notes(struct gf_ramfile *f, int fd, const Elf64_Phdr *h, uint32_t n)
{
	for (uint32_t i = 0, notes = 0; i < n && notes < 4; i++) {
		size_t len = (size_t)GF_MIN(h[i].p_filesz, NOTES);
		uint8_t *buf;

		if (h[i].p_type != PT_NOTE || !len)
			continue;
		notes++;
		buf = malloc(len);
		if (!buf)
			return;
		if (read_at(fd, "", buf, len, h[i].p_offset, NULL) == 0)
			find_notes(f, buf, len);
		free(buf);
	}
}

int gf_ramfile_open_elf(int fd, const char *what, struct gf_ramfile **ret, struct gf_err *err)
{
	struct gf_ram_piece piece[GF_RAM_SEGS];
	struct gf_ramfile *f = NULL;
	Elf64_Phdr *h = NULL;
	Elf64_Ehdr e;
	uint32_t n = 0;
	size_t pieces = 0;
	int r = read_at(fd, what, &e, sizeof e, 0, err);

	if (!r)
		r = check_header(&e, what, err);
	if (!r)
		r = count_headers(fd, what, &e, &n, err);
	if (!r) {
		h = calloc(n ? n : 1, sizeof *h);
		r = h ? read_at(fd, what, h, n * sizeof *h, e.e_phoff, err) : gf_err_set(err, ENOMEM, "%s: no memory", what);
	}
	if (!r)
		r = collect(what, h, n, piece, &pieces, err);
	if (!r)
		r = gf_ramfile_map_any(fd, what, piece, pieces, false, &f, err);
	if (!r) {
		take_notes(f, fd, h, n);
		*ret = f;
	}
	free(h);
	return r;
}
