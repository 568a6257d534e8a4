/* SPDX-License-Identifier: MIT
 *
 * The machine itself, where its kernel module is: the module's pages are registered with the device, which then samples from its table,
 * decides, and writes into its mailbox without any thread of the host. What this thread still does is what the module cannot: it tells
 * the device command lines, paths of cgroups and pressure, and passes on what was said. While there is no such region, or it
 * cannot be registered, the device evaluates the tables that this thread hands it.
 *
 * The memory is what the module's mmap gives: pages with a count of their own, put in by vm_insert_page(), which pin_user_pages() takes (a
 * mapping by pfns it would refuse). They are registered as a guest's RAM is.
 */
#include "gpu/engine_gpu.h"

#include "targets/kmod.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#define OLD_NS SEC_NS /* as targets/host_kmod.c has it */

static void say(struct gf_engine *e, const char *why)
{
	snprintf(e->now.ring_why, sizeof e->now.ring_why, "%s", why);
}

/* The region as the device is to know it. */
void gf_gpu_ring_fill(struct gf_gpu_host *h, struct gf_mr *ret)
{
	struct sysinfo si;

	ret->r = *h->seat->region;
	ret->limit_ns = GF_MAX(5 * h->engine->opts.period_ns, OLD_NS);
	ret->selfs.me = getpid();
	ret->selfs.n = (uint32_t)gf_host_self(h->engine->target, ret->selfs.self, GF_MR_SELF);
	if (!sysinfo(&si))
		ret->total_pages = (uint64_t)si.totalram * si.mem_unit / GF_REGION_PAGE + (uint64_t)si.totalswap * si.mem_unit / GF_REGION_PAGE;
}

static int sit(struct gf_gpu_host *h)
{
	const struct gf_region *r = gf_kmod_hold(h->module);

	if (!r)
		return 0;
	if (r->instance != h->refused_region)
		h->seat = calloc(1, sizeof *h->seat);
	if (!h->seat) {
		gf_kmod_let_go(h->module);
		return 0;
	}
	h->seat->region = r;
	h->seat->watch = -1;
	return 1;
}

/* Ten megabytes, in one go. That they are refused is no fault of the device. */
static int fill(struct gf_engine *e, struct gf_gpu_host *h, struct gf_err *err)
{
	struct gf_gpu_seat *s = h->seat;
	struct gf_err why = { "" };
	struct gf_ram ram = { .n = s->region->spans };
	char text[sizeof e->now.ring_why];
	int rc = ram.n && ram.n <= GF_RAM_SEGS ? 0 : gf_err_set(&why, EINVAL, "it is in too many pieces");

	for (uint32_t i = 0; !rc && i < ram.n; i++)
		ram.seg[i] = (struct gf_ram_seg){ s->region->span[i].off, s->region->span[i].len, s->region->span[i].p };
	while (!rc)
		rc = gf_gpu_enroll_next(h, s, &ram, &why);
	if (rc < 0) {
		h->refused_region = s->region->instance;
		gf_gpu_guest_gone(h, false);
		snprintf(text, sizeof text, "the GPU cannot reach the kernel module's memory (%.90s): gpufasd hands it each sample", why.text);
		say(e, text);
		return 0;
	}
	rc = gf_gpu_seat_block(h, e->st->img, &s->block, err);
	if (!rc)
		rc = gf_gpu_publish_guest(e, h, s->block, err);
	s->ready = !rc;
	if (!rc)
		say(e, "");
	return rc;
}

/* Between two ticks: another region, or none. An error is the device's. */
int gf_gpu_ring_look(struct gf_engine *e, struct gf_gpu_host *h, struct gf_err *err)
{
	int rc = 0;

	if (h->seat && !gf_kmod_holds(h->module, h->seat->region)) {
		rc = gf_gpu_seat_leave(e, h, err);
		say(e, "");
	}
	if (!rc && !h->seat && sit(h))
		rc = fill(e, h, err);
	e->now.alone = h->seat && h->seat->ready;
	return rc;
}

/* Once a period, what the module cannot know. A device that has not taken the last table yet is not hurried. */
void gf_gpu_ring_side(struct gf_engine *e, struct gf_gpu_host *h, uint64_t now)
{
	struct gf_err err;
	int rc;

	if (now - h->side_ns < e->opts.period_ns || gf_gpu_read(&h->out->table) != h->tables)
		return;
	h->side_ns = now;
	rc = gf_target_sample(e->target, &err);
	gf_gpu_hand_table(e, h, rc != 0, false);
	if (e->opts.after)
		e->opts.after(e->opts.after_arg, rc, e->out.events, 0);
}
