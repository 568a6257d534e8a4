// SPDX-License-Identifier: MIT
/*
 * Sampling by the kernel module: its table is read where it lies, record by record, and what was read is taken only when
 * the table has not been written meanwhile.
 */
#include <errno.h>
#include <string.h>
#include <time.h>

#include "targets/host.h"

#define TRIES 3u
#define OLD_NS 1000000000ull

static int bad(struct gf_host_kmod *m, const char *why, struct gf_err *err)
{
	m->why = why;
	gf_kmod_suspect(m->k, why);
	return gf_err_set(err, ENODEV, "the kernel module: %s", why);
}

static int records(struct gf_host *h, const struct gf_region *r, const struct gf_region_look *l)
{
	struct gf_task_rec rec;
	int odd = 0, q;

	for (uint32_t i = 0; i < l->count; i++) {
		q = gf_region_rec(r, l, i, &rec);
		if (q == 1)
			gf_host_put(h, &rec);
		else
			odd = -EAGAIN; /* torn, or damaged: in either case not the whole of it */
	}
	q = gf_region_end(r, l);
	return q ? q : odd;
}

static int one(struct gf_host_kmod *m, struct gf_host *h, const struct gf_region *r, uint64_t boot_ns, uint64_t last_ns, struct gf_err *err)
{
	uint64_t limit = GF_MAX(5 * m->period_ns, OLD_NS);
	struct gf_region_look l;
	int q = -EAGAIN;

	for (uint32_t i = 0; i < TRIES && q == -EAGAIN; i++) {
		q = gf_region_begin(r, &l);
		if (q == -EBADMSG)
			return bad(m, "its table makes no sense", err);
		if (q == -ESTALE)
			return bad(m, "it has given its region up, or another one is there", err);
		if (q == -ENODATA)
			return gf_err_set(err, ENODEV, "the kernel module has no table yet");
		if (q)
			continue;
		if (l.last_ns > boot_ns + OLD_NS)
			return bad(m, "its clock is not this machine's", err);
		if (boot_ns > l.last_ns && boot_ns - l.last_ns > limit)
			return bad(m, "its table has not been written for a while", err);
		/* The time that the table is of, so that rates are right; it goes on in any case. */
		m->now_ns = GF_MAX(l.last_ns, last_ns + 1000);
		gf_host_time(h, m->now_ns);
		q = records(h, r, &l);
	}
	return q ? gf_err_set(err, EAGAIN, "the kernel module's table kept changing while it was read, or is damaged") : 0;
}

int gf_host_kmod_pass(struct gf_host_kmod *m, struct gf_host *h, uint64_t host_want, uint64_t boot_ns, uint64_t last_ns, struct gf_err *err)
{
	const struct gf_region *r = gf_kmod_enter(m->k);
	struct timespec t;
	int q;

	m->known = 0;
	if (!r) {
		gf_kmod_leave(m->k);
		return gf_err_set(err, ENODEV, "the kernel module is not there");
	}
	q = one(m, h, r, boot_ns, last_ns, err);
	if (!q) {
		m->known = gf_region_host(r, host_want, m->host);
		if (host_want & GF_BIT(GF_HF_OS_STALLED)) {
			clock_gettime(CLOCK_MONOTONIC, &t);
			m->host[GF_HF_OS_STALLED] = (double)gf_region_stalled(r, &m->clock, (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec);
			m->known |= GF_BIT(GF_HF_OS_STALLED);
		}
	}
	gf_kmod_leave(m->k);
	return q;
}
