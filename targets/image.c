// SPDX-License-Identifier: MIT
/*
 * A dump of physical memory as a target: a guest that never changes, with nobody to keep it.
 */
#include <string.h>

#include "targets/vm_int.h"

int gf_image_create(const char *path, const struct gf_ram_piece *piece, size_t pieces, uint32_t max_tasks, uint64_t step_ns,
		    struct gf_target **ret, struct gf_err *err)
{
	static const struct gf_target_ops ops = {
		.kind = "image", .sample = gf_vm_sample, .set_fields = gf_vm_set_fields, .set_paths = gf_vm_set_paths,
		.describe = gf_vm_describe, .destroy = gf_vm_unmake,
	};
	const char *slash = strrchr(path, '/');
	struct gf_vm_opts o = { .name = slash ? slash + 1 : path, .ram_file = path, .max_tasks = max_tasks };
	struct gf_ramfile *ram;
	struct gf_guest *g;
	struct gf_vm *vm;
	int r = gf_ramfile_open(path, piece, pieces, false, &ram, err);

	if (!r)
		r = gf_guest_create(ram, false, &g, err);
	if (r)
		return r;
	r = gf_vm_make(&o, &ops, &vm, err);
	if (r) {
		gf_guest_put(g);
		return r;
	}
	vm->image = true;
	vm->t.target_kind = GF_TARGET_IMAGE;
	vm->step_ns = step_ns;
	gf_vm_set_state(vm, 0, "image of Linux %s", g->kernel->release);
	gf_vm_publish(vm, g);
	*ret = &vm->t;
	return 0;
}
