/* SPDX-License-Identifier: MIT
 *
 * gpufas.yaml: the recorder.
 */
#include "daemon/config_int.h"

#include <errno.h>

#include "compiler/compiler.h"
#include "sim/gft_ring.h"

static void take_directory(struct gf_cfg *x, const struct gf_ynode *n)
{
	if (gf_cfg_none(n))
		gf_cfg_set(x, &x->c->recorder_dir, "");
	else
		gf_cfg_path(x, n, "recorder.directory", &x->c->recorder_dir);
}

static void take_size(struct gf_cfg *x, const struct gf_ynode *n)
{
	gf_cfg_size(x, n, "recorder.size", GFT_RING_LEAST, 1ull << 44, "from 4MiB to 16TiB", &x->c->recorder_size);
}

static void take_keep(struct gf_cfg *x, const struct gf_ynode *n)
{
	gf_cfg_duration(x, n, "recorder.keep", 60000000000ull, 365 * 86400000000000ull, "from 1min to 365d", &x->c->recorder_keep_ns);
}

static void take_interval(struct gf_cfg *x, const struct gf_ynode *n)
{
	gf_cfg_duration(x, n, "recorder.interval", 10000000u, 3600000000000ull, "from 10ms to 1h", &x->c->recorder_interval_ns);
}

static void take_samples(struct gf_cfg *x, const struct gf_ynode *n)
{
	static const char *const words[] = { "own", "ticks" };
	int i = gf_cfg_choice(x, n, "recorder.samples", words, 2);

	if (i >= 0)
		x->c->recorder_ticks = i == 1;
}

static void take_paths(struct gf_cfg *x, const struct gf_ynode *n)
{
	gf_pathset_deinit(&x->c->recorder_paths);
	if (n->kind != GF_Y_SEQ && n->kind != GF_Y_NULL)
		gf_cfg_error(x, n, "write [task->mm->map_count]", "recorder.paths must be a list of kernel paths");
	for (const struct gf_ynode *k = n->kind == GF_Y_SEQ ? n->kid : NULL; k; k = k->next) {
		const char *text = gf_cfg_text(x, k, "recorder.paths");
		int rc = 0;
		if (text && !gf_path_ok(text))
			gf_cfg_error(x, k, "write it as in a policy: task->mm->map_count", "this is no kernel path");
		else if (text)
			rc = gf_pathset_add(&x->c->recorder_paths, text);
		if (rc == -E2BIG)
			gf_cfg_error(x, k, "leave some out", "recorder.paths has more than %u kernel paths", GF_MAX_PATHS);
		x->nomem |= rc == -ENOMEM;
	}
}

void gf_cfg_recorder(struct gf_cfg *x, const struct gf_ynode *n)
{
	static const struct gf_cfg_key keys[] = {
		{ "directory", take_directory }, { "size", take_size }, { "keep", take_keep }, { "interval", take_interval }, { "samples", take_samples },
		{ "paths", take_paths },
	};

	GF_CFG_WALK(x, n, "recorder", keys);
	if (x->c->recorder_ticks && x->c->recorder_paths.n)
		gf_cfg_error(x, n, "use `samples: own`, or have a rule read them", "recorder.paths are not in the samples of ticks");
}
