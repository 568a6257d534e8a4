/* SPDX-License-Identifier: MIT
 *
 * gpufas.yaml: engine.gpu.
 */
#include "daemon/config_int.h"

#include <ctype.h>
#include <string.h>

#define BLOCKS 16u   /* more than one cluster can have is more than a target is worth */
#define THREADS 1024u

static void take_mode(struct gf_cfg *x, const struct gf_ynode *n)
{
	static const char *const words[] = { [GF_GPU_PERSISTENT] = "persistent", [GF_GPU_LAUNCH] = "launch", [GF_GPU_RELAY] = "relay" };
	int i = gf_cfg_choice(x, n, "engine.gpu.mode", words, 3);

	if (i >= 0)
		x->c->gpu.mode = (enum gf_gpu_mode)i;
}

static void take_devices(struct gf_cfg *x, const struct gf_ynode *n)
{
	uint64_t v, mask = 0;

	if (n->kind == GF_Y_SCALAR && !strcmp(n->text, "all")) {
		x->c->gpu.devices = 0;
		return;
	}
	if (n->kind != GF_Y_SEQ || !n->kid) {
		gf_cfg_error(x, n, "write all, or [0, 1]: the numbers that CUDA gives them", "engine.gpu.devices must be all or a list of numbers");
		return;
	}
	for (const struct gf_ynode *k = n->kid; k; k = k->next) {
		if (!gf_cfg_integer(x, k, "a device's number", 0, GF_GPU_DEVICES - 1, &v))
			continue;
		if (mask & 1ull << v)
			gf_cfg_error(x, k, NULL, "device %llu is given twice", (unsigned long long)v);
		mask |= 1ull << v;
	}
	x->c->gpu.devices = mask;
}

/* auto, which is 0, or a number. */
static bool number_or_auto(struct gf_cfg *x, const struct gf_ynode *n, const char *what, uint64_t hi, uint64_t *ret)
{
	static const char *const words[] = { "auto" };

	*ret = 0;
	if (n->kind == GF_Y_SCALAR && !isdigit((unsigned char)*n->text) && *n->text != '-')
		return gf_cfg_choice(x, n, what, words, 1) == 0;
	return gf_cfg_integer(x, n, what, 1, hi, ret);
}

static void take_blocks(struct gf_cfg *x, const struct gf_ynode *n)
{
	uint64_t v;

	if (number_or_auto(x, n, "engine.gpu.blocks", BLOCKS, &v))
		x->c->gpu.blocks = (uint32_t)v;
}

static void take_threads(struct gf_cfg *x, const struct gf_ynode *n)
{
	uint64_t v;

	if (!number_or_auto(x, n, "engine.gpu.threads", THREADS, &v))
		return;
	if (v % 32)
		gf_cfg_error(x, n, "threads run in warps of 32: 128, 256, 512 ...", "engine.gpu.threads must be a multiple of 32");
	else
		x->c->gpu.threads = (uint32_t)v;
}

void gf_cfg_gpu(struct gf_cfg *x, const struct gf_ynode *n)
{
	static const struct gf_cfg_key keys[] = {
		{ "mode", take_mode }, { "devices", take_devices }, { "blocks", take_blocks }, { "threads", take_threads },
	};

	GF_CFG_WALK(x, n, "engine.gpu", keys);
}

bool gf_cfg_gpu_differs(const struct gf_gpu_opts *a, const struct gf_gpu_opts *b)
{
	return a->mode != b->mode || a->devices != b->devices || a->blocks != b->blocks || a->threads != b->threads;
}
