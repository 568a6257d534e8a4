/* SPDX-License-Identifier: MIT
 *
 * Images as files and as bytes: checksum, reading, tables of sections and opcodes.
 */
#include "compiler/image.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "compiler/compiler.h"

const struct gf_section_info gf_section_info[GF_SEC_COUNT] = {
	[GF_SEC_CODE] = { sizeof(struct gf_insn), GF_MAX_CODE, "code" },
	[GF_SEC_CONST] = { sizeof(double), GF_MAX_CONSTS, "constants" },
	[GF_SEC_PROG] = { sizeof(struct gf_prog), GF_MAX_PROGS, "programs" },
	[GF_SEC_AGG] = { sizeof(struct gf_agg), GF_MAX_AGGS, "aggregates" },
	[GF_SEC_COL] = { sizeof(struct gf_col), 2 * GF_MAX_COLS, "columns" },
	[GF_SEC_HIST] = { sizeof(struct gf_hist), GF_MAX_HISTS, "histories" },
	[GF_SEC_HOLD] = { sizeof(struct gf_hold), GF_MAX_HOLDS, "holds" },
	[GF_SEC_MATCH] = { sizeof(struct gf_match), GF_MAX_MATCHES, "matches" },
	[GF_SEC_DFA] = { sizeof(struct gf_dfa), GF_MAX_DFAS, "automata" },
	[GF_SEC_DFADATA] = { 1, GF_MAX_IMAGE, "automaton tables" },
	[GF_SEC_CLASS] = { sizeof(struct gf_class), GF_MAX_CLASSES, "classes" },
	[GF_SEC_RULE] = { sizeof(struct gf_rule), GF_MAX_RULES, "rules" },
	[GF_SEC_STEP] = { sizeof(struct gf_step), GF_MAX_RULES * GF_MAX_STEPS, "steps" },
	[GF_SEC_TERM] = { sizeof(struct gf_term), GF_MAX_RULES * GF_MAX_TERMS, "terms" },
	[GF_SEC_NOTE] = { sizeof(struct gf_note), GF_MAX_PROGS, "notes" },
	[GF_SEC_PATH] = { sizeof(struct gf_path), GF_MAX_PATHS, "kernel paths" },
	[GF_SEC_STR] = { 1, GF_MAX_IMAGE, "strings" },
};

const struct gf_op_info gf_op_info[GF_OP_COUNT] = {
#define GF_OP(name, mnemonic, form, formula) [GF_OP_##name] = { GF_FORM_##form, mnemonic },
#include "gpufas/op.def"
#undef GF_OP
};

static uint32_t crc_table[8][256];
static pthread_once_t crc_once = PTHREAD_ONCE_INIT;

static void crc_init(void)
{
	for (uint32_t i = 0; i < 256; i++) {
		uint32_t c = i;
		for (int k = 0; k < 8; k++)
			c = c >> 1 ^ (c & 1 ? 0x82f63b78u : 0);
		crc_table[0][i] = c;
	}
	for (uint32_t i = 0; i < 256; i++)
		for (int k = 1; k < 8; k++)
			crc_table[k][i] = crc_table[k - 1][i] >> 8 ^ crc_table[0][crc_table[k - 1][i] & 255];
}

uint32_t gf_crc32c(uint32_t crc, const void *p, size_t n)
{
	const uint8_t *s = p;
	pthread_once(&crc_once, crc_init);
	crc = ~crc;
	/* Eight bytes at a time, each through the table of its distance to the end. */
	for (; n >= 8; n -= 8, s += 8) {
		uint32_t lo, hi;
		memcpy(&lo, s, 4);
		memcpy(&hi, s + 4, 4);
		lo ^= crc;
		crc = crc_table[7][lo & 255] ^ crc_table[6][lo >> 8 & 255] ^ crc_table[5][lo >> 16 & 255] ^ crc_table[4][lo >> 24]
		    ^ crc_table[3][hi & 255] ^ crc_table[2][hi >> 8 & 255] ^ crc_table[1][hi >> 16 & 255] ^ crc_table[0][hi >> 24];
	}
	while (n--)
		crc = crc >> 8 ^ crc_table[0][(crc ^ *s++) & 255];
	return ~crc;
}

uint32_t gf_image_checksum(const struct gf_image_header *image)
{
	const size_t at = offsetof(struct gf_image_header, checksum);
	const uint8_t *p = (const uint8_t *)image;
	uint32_t zero = 0, crc = gf_crc32c(0, p, at);
	crc = gf_crc32c(crc, &zero, sizeof zero);
	return gf_crc32c(crc, p + at + sizeof zero, image->size - at - sizeof zero);
}

static int read_all(int fd, uint8_t *p, size_t n)
{
	for (size_t got = 0; got < n; ) {
		ssize_t r = read(fd, p + got, n - got);
		if (r < 0 && errno == EINTR)
			continue;
		if (r <= 0)
			return r < 0 ? -errno : -EIO;
		got += (size_t)r;
	}
	return 0;
}

int gf_image_read(const char *path, struct gf_image_header **ret, struct gf_err *err)
{
	struct stat st;
	uint8_t *p = NULL;
	int r = 0, fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (fd < 0)
		return gf_err_set(err, errno, "cannot open '%s': %s", path, strerror(errno));
	if (fstat(fd, &st) < 0)
		r = gf_err_set(err, errno, "cannot look at '%s': %s", path, strerror(errno));
	else if (!S_ISREG(st.st_mode))
		r = gf_err_set(err, EINVAL, "'%s' is not a regular file", path);
	else if (st.st_size < (off_t)sizeof **ret || st.st_size > (off_t)GF_MAX_IMAGE)
		r = gf_err_set(err, EBADMSG, "'%s' is not a policy image: its size is %lld bytes", path, (long long)st.st_size);
	else if (!(p = malloc((size_t)st.st_size)))
		r = gf_err_set(err, ENOMEM, "out of memory for '%s'", path);
	else if ((r = read_all(fd, p, (size_t)st.st_size)) < 0)
		r = gf_err_set(err, -r, "cannot read '%s': %s", path, strerror(-r));
	close(fd);
	if (r == 0 && (r = gf_verify(p, (size_t)st.st_size, err)) < 0 && err) {
		char said[sizeof err->text];
		memcpy(said, err->text, sizeof said);
		gf_err_set(err, -r, "'%s' is not a usable policy image: %.400s; compile it again with gpufasctl compile", path, said);
	}
	if (r < 0) {
		free(p);
		return r;
	}
	*ret = (struct gf_image_header *)(void *)p;
	return 0;
}
