// SPDX-License-Identifier: MIT
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "targets/assist.h"
#include "targets/layout.h"
#include "targets/pseudo.h"
#include "targets/vm.h"

/* What of a guest cannot be known, for `probe`. */
static void take_note(struct gf_kernel *k, const char *text)
{
	size_t n = strlen(k->notes);

	snprintf(k->notes + n, sizeof k->notes - n, "%s%s", n ? " " : "", text);
}

static void guest_free(struct gf_guest *g)
{
	gf_pseudo_free(g->pseudo);
	gf_assist_free(g->assist);
	gf_kernel_free(g->kernel);
	gf_ramfile_close(g->ram);
	free(g);
}

int gf_guest_create(struct gf_ramfile *ram, bool writable, struct gf_guest **ret, struct gf_err *err)
{
	struct gf_guest *g = calloc(1, sizeof *g);
	int r;

	if (!g) {
		gf_ramfile_close(ram);
		return gf_err_set(err, ENOMEM, "no memory for a guest");
	}
	g->refs = 1;
	g->ram = ram;
	r = gf_kernel_find(ram, &g->kernel, err);
	if (!r)
		r = gf_layout_fill(g->kernel, &g->layout, err);
	if (!r && !g->layout.clock.timekeeper)
		take_note(g->kernel, "Its clock was not found: ages are unknown.");
	if (!r && g->layout.mm.rss_kind == GF_RSS_NONE)
		take_note(g->kernel, "Its memory counters are of no kind that is known: sizes are unknown.");
	if (!r && writable)
		r = gf_pseudo_create(g->kernel, true, &g->pseudo, err);
	if (r) {
		guest_free(g);
		return r;
	}
	*ret = g;
	return 0;
}

struct gf_guest *gf_guest_get(struct gf_guest *g)
{
	__atomic_add_fetch(&g->refs, 1, __ATOMIC_RELAXED);
	return g;
}

void gf_guest_put(struct gf_guest *g)
{
	if (g && __atomic_sub_fetch(&g->refs, 1, __ATOMIC_ACQ_REL) == 0)
		guest_free(g);
}

int gf_guest_path(void *guest, const char *path, size_t *ret_at, size_t *ret_len, struct gf_err *err)
{
	const struct gf_guest *g = guest;
	struct gf_kpath k;

	return gf_btf_path(g->kernel->btf, path, &k, ret_at, ret_len, err);
}

int gf_vm_check_path(struct gf_target *t, const char *path, struct gf_err *err)
{
	struct gf_guest *g = gf_vm_guest(t, NULL);
	struct gf_err why = { "" };
	int rc = g ? gf_guest_path(g, path, NULL, NULL, &why) : 0;

	if (g)
		gf_guest_put(g);
	return rc ? gf_err_set(err, -rc, "%.200s: %.250s", path, why.text) : 0;
}
