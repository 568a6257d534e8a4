/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <string.h>
#include <zlib.h>

#include "sim/gft_int.h"

/* As PNG's: a transfer that changes line ends, or cuts the eighth bit, shows in the first bytes. */
static const uint8_t magic[8] = { 0x89, 'G', 'F', 'T', '\r', '\n', 0x1a, '\n' };
static const uint8_t block_magic[4] = { 'G', 'F', 'T', 'b' };
static const uint8_t footer_magic[8] = { 'G', 'F', 'T', 'e', 'n', 'd', '\r', '\n' };

uint32_t gft_crc(const void *p, size_t n)
{
	return (uint32_t)crc32_z(0, p, n);
}

void gft_header_pack(const struct gft_header *h, uint8_t to[GFT_HEADER])
{
	memset(to, 0, GFT_HEADER);
	memcpy(to, magic, sizeof magic);
	gft_le32(to + 8, h->version);
	gft_le32(to + 12, h->meta);
	gft_le32(to + 16, h->file_id);
	gft_le32(to + 20, h->kind);
	gft_le64(to + 24, h->interval_ns);
	gft_le64(to + 32, h->created_ns);
	gft_le32(to + 56, h->meta_crc);
	gft_le32(to + 60, gft_crc(to, 60));
}

int gft_header_unpack(const uint8_t from[GFT_HEADER], struct gft_header *ret, struct gf_err *err)
{
	static const uint8_t zstd[4] = { 0x28, 0xb5, 0x2f, 0xfd };

	if (!memcmp(from, "GFT\r\n\x1a", 6) || !memcmp(from, "\x89GFT\n", 5))
		return gf_err_set(err, EBADMSG, "was a recording once: a transfer as text has changed its bytes; copy it as binary");
	if (!memcmp(from, zstd, sizeof zstd))
		return gf_err_set(err, EBADMSG, "is compressed as a whole: unpack it first (zstd -d)");
	if (memcmp(from, magic, sizeof magic))
		return gf_err_set(err, EBADMSG, "is no recording of gpufas (import reads those of other tools)");
	if (gft_ld32(from + 60) != gft_crc(from, 60))
		return gf_err_set(err, EBADMSG, "its header is damaged");
	ret->version = gft_ld32(from + 8);
	ret->meta = gft_ld32(from + 12);
	ret->file_id = gft_ld32(from + 16);
	ret->kind = gft_ld32(from + 20);
	ret->interval_ns = gft_ld64(from + 24);
	ret->created_ns = gft_ld64(from + 32);
	ret->meta_crc = gft_ld32(from + 56);
	if (ret->version < 1 || ret->version > GFT_VERSION)
		return gf_err_set(err, ENOTSUP, "is a recording of format version %u, and this gpufas reads up to version %u", ret->version, GFT_VERSION);
	if (ret->meta > GFT_MAX_META || ret->kind >= GF_TARGET_COUNT)
		return gf_err_set(err, EBADMSG, "its header is damaged");
	return 0;
}

void gft_block_pack(const struct gft_block *b, uint8_t to[GFT_BLOCK])
{
	memcpy(to, block_magic, 4);
	gft_le32(to + 4, b->stored);
	gft_le32(to + 8, b->raw);
	gft_le32(to + 12, b->number);
	gft_le64(to + 16, b->now_ns);
	gft_le32(to + 24, b->rows | (uint32_t)b->type << 24);
	gft_le32(to + 28, b->file_id);
	gft_le32(to + 32, b->crc);
	gft_le32(to + 36, gft_crc(to, 36));
}

bool gft_block_unpack(const uint8_t from[GFT_BLOCK], struct gft_block *ret)
{
	if (memcmp(from, block_magic, 4) || gft_ld32(from + 36) != gft_crc(from, 36))
		return false;
	ret->stored = gft_ld32(from + 4);
	ret->raw = gft_ld32(from + 8);
	ret->number = gft_ld32(from + 12);
	ret->now_ns = gft_ld64(from + 16);
	ret->rows = gft_ld32(from + 24) & 0xffffff;
	ret->type = from[27];
	ret->file_id = gft_ld32(from + 28);
	ret->crc = gft_ld32(from + 32);
	return ret->raw <= GFT_MAX_RAW && ret->stored <= GFT_MAX_RAW && ret->rows <= GFT_MAX_ROWS && ret->type >= GFT_KEY &&
	       ret->type <= GFT_FAILED;
}

void gft_footer_pack(uint64_t at, uint32_t file_id, uint8_t to[GFT_FOOTER])
{
	gft_le64(to, at);
	gft_le32(to + 8, file_id);
	gft_le32(to + 12, gft_crc(to, 12));
	memcpy(to + 16, footer_magic, 8);
}

bool gft_footer_unpack(const uint8_t from[GFT_FOOTER], uint32_t file_id, uint64_t *ret_at)
{
	*ret_at = gft_ld64(from);
	return !memcmp(from + 16, footer_magic, 8) && gft_ld32(from + 12) == gft_crc(from, 12) && gft_ld32(from + 8) == file_id;
}
