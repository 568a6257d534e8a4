/* SPDX-License-Identifier: MIT
 *
 * mkram FILE KIND: memory with a made-up kernel, for tests of commands.
 *   kernel   64 MiB, as it should be      high     5 GiB, split at 3 GiB
 *   core     the same as an ELF core      zeros    nothing
 *   arm64    another architecture's       booting  a banner and nothing else
 */
#include <elf.h>

#include "tests/unit/image.h"

static void copy_out(const struct img *m, const char *path, uint64_t at)
{
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0644);
	static const uint8_t none[4096];

	if (fd < 0 || ftruncate(fd, (off_t)(at + m->o.size)) < 0) {
		perror(path);
		exit(1);
	}
	for (uint64_t off = 0; off < m->o.size; off += 4096) {
		/* Holes stay holes: 5 GiB have to fit anywhere. */
		off_t data = lseek(m->fd, (off_t)off, SEEK_DATA);

		if (data < 0)
			break;
		off = (uint64_t)data / 4096 * 4096;
		if (memcmp(m->mem + off, none, 4096) && pwrite(fd, m->mem + off, 4096, (off_t)(at + off)) != 4096) {
			perror(path);
			exit(1);
		}
	}
	close(fd);
}

static void write_header(const char *path, uint64_t size, uint64_t at)
{
	Elf64_Ehdr e = { .e_ident = { ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB }, .e_type = ET_CORE, .e_machine = EM_X86_64,
			 .e_phoff = sizeof e, .e_phentsize = sizeof(Elf64_Phdr), .e_phnum = 1 };
	Elf64_Phdr p = { .p_type = PT_LOAD, .p_offset = at, .p_filesz = size, .p_memsz = size };
	FILE *f = fopen(path, "r+");

	if (!f || fwrite(&e, sizeof e, 1, f) != 1 || fwrite(&p, sizeof p, 1, f) != 1 || fclose(f)) {
		perror(path);
		exit(1);
	}
}

int main(int argc, char **argv)
{
	const char *kind = argc == 3 ? argv[2] : "";
	struct img_opts o = img_default;
	struct img *m;
	bool core = !strcmp(kind, "core");

	if (!strcmp(kind, "high")) {
		o.size = 5ull << 30;
		o.split = 3ull << 30;
		o.direct_shift = 30;
	} else if (!core && strcmp(kind, "kernel") && strcmp(kind, "zeros") && strcmp(kind, "arm64") && strcmp(kind, "booting")) {
		fprintf(stderr, "usage: mkram FILE kernel|high|core|zeros|arm64|booting\n");
		return 2;
	}
	m = img_create(&o);
	if (!strcmp(kind, "zeros") || !strcmp(kind, "arm64") || !strcmp(kind, "booting"))
		memset(m->mem, 0, m->o.size);
	if (!strcmp(kind, "arm64"))
		memcpy(m->mem + 0x200000 + 56, "ARM\x64", 4);
	if (!strcmp(kind, "booting"))
		strcpy((char *)m->mem + 0x1234567, "Linux version 6.1.0-1-test (x@y)");
	copy_out(m, argv[1], core ? 0x234 : 0);
	if (core)
		write_header(argv[1], m->o.size, 0x234);
	img_destroy(m);
	return 0;
}
