/* SPDX-License-Identifier: MIT
 *
 * A guest's tasks: whatever lists, trees and pointers say, a look at all of them ends, reads nothing outside and keeps
 * to the table. The input is changes to a made-up kernel: tests/helpers/fakelies.h.
 */
#include <stdlib.h>
#include <string.h>

#include "targets/vm_int.h"
#include "tests/helpers/fakelies.h"

#define ROWS 128u
#define LOOKS 3 /* strings are asked for in one, and may be read in the next */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct gf_target_ops ops = {
	.kind = "vm", .sample = gf_vm_sample, .set_fields = gf_vm_set_fields, .set_paths = gf_vm_set_paths,
	.describe = gf_vm_describe, .destroy = gf_vm_unmake,
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct gf_fieldset all = { ~0ull >> (64 - GF_HF_COUNT), ~0ull >> (64 - GF_TF_COUNT), (1u << GF_SF_COUNT) - 1, 0 };
	static struct fake *f;
	struct gf_err err = { "" };
	struct lies lies;
	struct gf_vm *vm;

	if (!f)
		f = lies_kernel();
	if (gf_vm_make(&(struct gf_vm_opts){ .name = "g", .max_tasks = ROWS }, &ops, &vm, &err))
		abort();
	gf_vm_publish(vm, fake_guest(f));
	if (gf_target_set_fields(&vm->t, &all, &err))
		abort();
	lies_tell(f, &lies, data, size);
	for (int i = 0; i < LOOKS; i++) {
		err.text[0] = 0;
		if ((gf_target_sample(&vm->t, &err) && !err.text[0]) || vm->t.sample.live > ROWS || vm->t.sample.rows > vm->t.sample.cap)
			abort();
	}
	lies_undo(f, &lies);
	/* Nothing was lost by it: as it was, all are seen. */
	if (gf_target_sample(&vm->t, &err) || vm->t.sample.live != 42)
		abort();
	gf_target_destroy(&vm->t);
	return 0;
}
