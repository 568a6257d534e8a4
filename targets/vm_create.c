// SPDX-License-Identifier: MIT
/*
 * A guest with a keeper.
 */
#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "targets/vm_int.h"

static void vm_destroy(struct gf_target *t)
{
	struct gf_vm *vm = (struct gf_vm *)(void *)t;
	const uint64_t one = 1;

	atomic_store(&vm->end, true);
	if (vm->keep) {
		while (write(vm->wake_fd, &one, sizeof one) < 0 && errno == EINTR)
			;
		gf_vm_keep_stop(vm);
	}
	gf_vm_unmake(t);
}

int gf_vm_create(const struct gf_vm_opts *opts, struct gf_target **ret, struct gf_err *err)
{
	static const struct gf_target_ops ops = {
		.kind = "vm", .sample = gf_vm_sample, .set_fields = gf_vm_set_fields, .set_paths = gf_vm_set_paths,
		.describe = gf_vm_describe, .destroy = vm_destroy,
	};
	struct gf_vm *vm;
	int r = gf_vm_make(opts, &ops, &vm, err);

	if (r)
		return r;
	vm->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	r = vm->wake_fd < 0 ? gf_err_set(err, errno, "no eventfd: %s", strerror(errno)) : gf_vm_keep_start(vm, err);
	if (r) {
		vm_destroy(&vm->t);
		return r;
	}
	*ret = &vm->t;
	return 0;
}
