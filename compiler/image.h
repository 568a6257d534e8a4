/* SPDX-License-Identifier: MIT
 *
 * What the writer, the verifier and the disassembler of images share.
 */
#ifndef GPUFAS_IMAGE_H
#define GPUFAS_IMAGE_H

#include "gpufas/bytecode.h"

/* Of a section: bytes of an element, the most elements it may have, its name. */
struct gf_section_info {
	uint32_t size, max;
	const char *name;
};
extern const struct gf_section_info gf_section_info[GF_SEC_COUNT];

/* Of an opcode: enum gf_form and how it is written. */
struct gf_op_info {
	uint8_t form;
	const char *mnemonic;
};
extern const struct gf_op_info gf_op_info[GF_OP_COUNT];

#define GF_END_P 1u  /* END's d: result P[a] */
#define GF_END_V 2u  /* result V[b] */
#define GF_END_V2 4u /* second result V[imm] */

#endif
