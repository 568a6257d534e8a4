/* SPDX-License-Identifier: MIT
 *
 * The GPU engine's host side: samples that the device has taken and decided on (gpu/tape.h), in their order, to who wants them.
 */
#include "gpu/engine_gpu.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

int gf_gpu_tape_make(struct gf_engine *e, struct gf_gpu_host *h, struct gf_err *err)
{
	if (!e->opts.decided || !(h->own || h->module)) {
		h->tape_size = 0;
		return 0;
	}
	if (!h->tape_size)
		h->tape_size = gf_tape_size(e->st->cap);
	for (uint32_t f = 0; f < GF_SF_COUNT; f++)
		if (!(h->tape_ref[f] = calloc(e->st->cap, sizeof *h->tape_ref[f])))
			return gf_err_set(err, ENOMEM, "out of memory for the engine");
	return 0;
}

void gf_gpu_tape_free(struct gf_gpu_host *h)
{
	for (uint32_t f = 0; f < GF_SF_COUNT; f++)
		free(h->tape_ref[f]);
}

/* A frame as a sample, which lies in the ring. */
static void show(struct gf_gpu_host *h, struct gf_tape_frame *f, struct gf_sample *s)
{
	struct gf_gpu_rows r;
	char *text = (char *)f + gf_tape_layout(f, f, &r);

	*s = (struct gf_sample){
		.now_ns = f->now_ns, .seq = f->seq, .cap = (uint32_t)f->n, .rows = (uint32_t)f->rows, .live = (uint32_t)f->live,
		.dropped = (uint32_t)f->dropped, .epoch = (uint32_t)f->epoch,
		.flags = r.flags, .gen = r.gen, .pid = r.pid, .start_ns = r.start_ns, .parent = r.parent, .comm = r.comm, .uid = r.uid,
	};
	memcpy(s->col, r.col, sizeof s->col);
	memcpy(s->host, f->host, sizeof s->host);
	for (uint32_t k = 0; k < GF_SF_COUNT; k++) {
		for (uint32_t i = 0; r.str[k] && i < s->cap; i++)
			h->tape_ref[k][i] = (struct gf_strref){ text + r.str[k][i].off, r.str[k][i].len, r.str[k][i].ver };
		s->str[k] = r.str[k] ? h->tape_ref[k] : NULL;
	}
}

/* The next frame from *at on, which is brought there. */
static struct gf_tape_frame *frame_at(struct gf_gpu_host *h, uint64_t *at)
{
	struct gf_tape_frame *f = (struct gf_tape_frame *)(void *)(h->tape + *at % h->tape_size);

	if (f->bytes)
		return f;
	*at += h->tape_size - *at % h->tape_size;
	return (struct gf_tape_frame *)(void *)h->tape;
}

static void dropped(struct gf_engine *e, struct gf_gpu_host *h)
{
	uint64_t n = gf_gpu_read(&h->out->tape_dropped);

	e->now.unrecorded += n - h->tape_dropped;
	h->tape_dropped = n;
}

bool gf_gpu_tape_pass(struct gf_engine *e, struct gf_gpu_host *h)
{
	uint64_t head, at = h->in->tape_tail;
	struct gf_sample s;

	if (!h->tape)
		return true;
	head = gf_gpu_read(&h->out->tape_head);
	while (at != head) {
		struct gf_tape_frame *f = frame_at(h, &at);
		show(h, f, &s);
		if (!e->opts.decided(e->opts.decided_arg, &s, -(int)f->error, f->fp, &f->has))
			break;
		at += f->bytes;
		gf_gpu_tell(&h->in->tape_tail, at);
	}
	dropped(e, h);
	h->tape_waits = at != head;
	return !h->tape_waits;
}

/* It runs no more: all that there is within so long; what nobody has taken by then is lost. */
void gf_gpu_tape_last(struct gf_engine *e, struct gf_gpu_host *h, uint64_t patience)
{
	const struct timespec nap = { 0, 1000000 };
	uint64_t begun = gf_engine_clock(CLOCK_MONOTONIC), at, head;

	while (!gf_gpu_tape_pass(e, h) && gf_engine_clock(CLOCK_MONOTONIC) - begun < patience)
		nanosleep(&nap, NULL);
	if (!h->tape)
		return;
	head = gf_gpu_read(&h->out->tape_head);
	for (at = h->in->tape_tail; at != head;) {
		const struct gf_tape_frame *f = frame_at(h, &at);
		at += f->bytes;
		e->now.unrecorded++;
	}
	gf_gpu_tell(&h->in->tape_tail, head);
	dropped(e, h);
	h->tape_waits = false;
}
