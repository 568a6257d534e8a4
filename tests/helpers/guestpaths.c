/* SPDX-License-Identifier: MIT
 *
 * guestpaths QMP PATH...: the kernel paths' values for every process of a guest, a line
 * each: pid, command, values ("-": unknown). For tests that compare them with the guest's own /proc.
 */
#include <math.h>
#include <unistd.h>

#include "targets/vm.h"

#define WAIT_TENTHS 300

int main(int argc, char **argv)
{
	struct gf_fieldset fields = { .paths = (uint32_t)argc - 2 };
	struct gf_vm_opts opts = { .name = "guest", .max_tasks = 1024 };
	struct gf_err err = { "" };
	struct gf_guest *g = NULL;
	struct gf_target *t;

	if (argc < 3 || argc - 2 > (int)GF_MAX_PATHS)
		return 2;
	opts.qmp = argv[1];
	if (gf_vm_create(&opts, &t, &err) || gf_target_set_paths(t, (const char *const *)argv + 2, fields.paths, &err) ||
	    gf_target_set_fields(t, &fields, &err)) {
		fprintf(stderr, "guestpaths: %s\n", err.text);
		return 1;
	}
	for (int i = 0; i < WAIT_TENTHS && !(g = gf_vm_guest(t, &err)); i++)
		usleep(100000);
	if (!g || gf_target_sample(t, &err)) {
		fprintf(stderr, "guestpaths: %s\n", err.text);
		return 1;
	}
	for (uint32_t row = 0; row < t->sample.rows; row++) {
		if (!(t->sample.flags[row] & GF_ROW_VALID))
			continue;
		printf("%d %.15s", t->sample.pid[row], t->sample.comm[row]);
		for (uint32_t k = 0; k < fields.paths; k++) {
			double v = t->sample.col[GF_TF_COUNT + k][row];

			if (isnan(v))
				printf(" -");
			else
				printf(" %.17g", v);
		}
		putchar('\n');
	}
	gf_guest_put(g);
	gf_target_destroy(t);
	return 0;
}
