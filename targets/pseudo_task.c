// SPDX-License-Identifier: MIT
/*
 * Finding and judging tasks, for the host.
 */
#include "targets/pseudo_int.h"

uint64_t pseudo_idr(const struct gf_pseudo *p, uint64_t head, uint64_t base, uint64_t index)
{
	return gf_ps_idr(&p->plain, head, base, index);
}

uint8_t pseudo_find(const struct gf_pseudo *p, int32_t pid, uint64_t start_ns, struct gf_pseudo_victim *ret)
{
	return gf_ps_find(&p->plain, pid, start_ns, NULL, ret);
}

bool pseudo_is_past(const struct gf_pseudo *p, int32_t pid, uint64_t start_ns)
{
	struct gf_pseudo_victim v;
	uint8_t r = pseudo_find(p, pid, start_ns, &v);

	return r == GF_REF_GONE || r == GF_REF_IDENTITY || r == GF_REF_EXITING;
}

uint8_t pseudo_same(const struct gf_pseudo *p, const struct gf_pseudo_victim *v)
{
	return gf_ps_same(&p->plain, v);
}

bool pseudo_gone(const struct gf_pseudo *p, const struct gf_pseudo_victim *v)
{
	return gf_ps_gone(&p->plain, v);
}

uint8_t pseudo_threads(const struct gf_pseudo *p, const struct gf_pseudo_victim *v, int sig,
		       bool (*fn)(void *arg, const struct gf_pseudo_thread *t), void *arg)
{
	struct gf_pseudo_thread t;
	struct gf_pseudo_walk w;
	int r;

	gf_ps_threads(&p->plain, v, &w);
	while ((r = gf_ps_thread_next(&p->plain, &w, sig, &t)) > 0)
		if (!fn(arg, &t))
			return GF_REF_NONE;
	return r ? GF_REF_TORN : GF_REF_NONE;
}
