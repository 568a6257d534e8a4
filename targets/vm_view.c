// SPDX-License-Identifier: MIT
/*
 * A second sampler of a guest that another one watches: its own table, somebody else's guest. Its thread may wait, so it holds
 * the guest by a reference, and need not say in an atomic what it looks at.
 */
#include <errno.h>

#include "targets/vm_int.h"

static struct gf_vm *vm_of(struct gf_target *t)
{
	return (struct gf_vm *)(void *)t;
}

static int view_sample(struct gf_target *t, struct gf_err *err)
{
	struct gf_vm *vm = vm_of(t);
	struct gf_err why = { "" };
	struct gf_guest *g = gf_vm_guest(vm->view_of, &why);

	/* Also where it is paused: what stands still can be looked at. */
	atomic_store(&vm->guest, g);
	int r = gf_vm_sample(t, err);
	atomic_store(&vm->guest, NULL);
	if (!g) {
		*err = why;
		return r;
	}
	if (r == -EBADMSG)
		gf_vm_suspect(vm->view_of, g);
	gf_guest_put(g);
	return r;
}

static void view_describe(struct gf_target *t, char *buf, size_t n)
{
	gf_vm_describe(vm_of(t)->view_of, buf, n);
}

int gf_vm_create_view(struct gf_target *vm, uint32_t max_tasks, struct gf_target **ret, struct gf_err *err)
{
	static const struct gf_target_ops ops[] = {
		{ .kind = "vm", .sample = view_sample, .set_fields = gf_vm_set_fields, .set_paths = gf_vm_set_paths,
		  .describe = view_describe, .destroy = gf_vm_unmake },
		{ .kind = "image", .sample = view_sample, .set_fields = gf_vm_set_fields, .set_paths = gf_vm_set_paths,
		  .describe = view_describe, .destroy = gf_vm_unmake },
	};
	const struct gf_vm_opts o = { .name = vm->name, .max_tasks = max_tasks };
	bool image = vm_of(vm)->image;
	struct gf_vm *view;
	int r = gf_vm_make(&o, &ops[image], &view, err);

	if (r)
		return r;
	view->t.target_kind = vm->target_kind;
	view->image = image;
	view->view_of = vm;
	*ret = &view->t;
	return 0;
}
