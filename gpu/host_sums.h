/* SPDX-License-Identifier: MIT
 *
 * Host fields that are sums over CPUs.
 * Of gpu/hostfields.h, which includes this.
 */
#ifndef GPUFAS_HOST_SUMS_H
#define GPUFAS_HOST_SUMS_H

/* One word of every CPU's copy of a per-CPU struct, summed by one lane; unknown if one cannot be read. */
GF_OUTLINE double gf_hf_cpus(const struct gf_kmem *k, const struct gf_cpus *c, uint64_t sym, uint32_t off, uint32_t size, int online)
{
	uint64_t sum = 0, v;

	if (!sym || off == GF_ABSENT || c->over)
		return gf_unknown();
	for (uint32_t i = 0; i < c->n; i++) {
		if (online && !gf_cpu_online(c, i))
			continue;
		if (gf_kmem_load(k, sym + c->off[i] + off, size, &v))
			return gf_unknown();
		sum += v;
	}
	return (double)sum;
}

/*
 * What is summed over CPUs: one number each, a CPU's part of which is one lane's work. Unknown where one cannot be read.
 */
enum gf_host_sum {
	GF_HS_CPU,                          /* enum gf_cpu_stat */
	GF_HS_RUNNING = GF_HS_CPU + GF_CS_COUNT,
	GF_HS_BLOCKED,
	GF_HS_EVENT,                        /* enum gf_vm_event */
	GF_HS_COUNT = GF_HS_EVENT + GF_VME_COUNT
};

struct gf_host_sums {
	uint64_t sum[GF_HS_COUNT];
	uint32_t bad[GF_HS_COUNT]; /* CPUs whose part could not be read */
	uint32_t reserved;
};

struct gf_host_word {
	uint64_t sym;
	uint32_t off, size;
	int online; /* of CPUs that are online only */
};

GF_OUTLINE int gf_hs_wanted(uint64_t want, uint32_t i)
{
	if (i < GF_HS_RUNNING) {
		const uint32_t field = i <= GF_CS_SOFTIRQ ? (uint32_t)GF_HF_CPU_BUSYTIME : i == GF_CS_IOWAIT ? (uint32_t)GF_HF_CPU_IOWTIME :
							    (uint32_t)GF_HF_CPU_STEALTIME;
		return (int)(want >> field & 1);
	}
	switch (i) {
	case GF_HS_RUNNING: return (int)(want >> GF_HF_TASKS_RUNNING & 1);
	case GF_HS_BLOCKED: return (int)(want >> GF_HF_TASKS_BLOCKED & 1);
	case GF_HS_EVENT + GF_VME_PSWPIN: return (int)(want >> GF_HF_VM_PSWPIN & 1);
	case GF_HS_EVENT + GF_VME_PSWPOUT: return (int)(want >> GF_HF_VM_PSWPOUT & 1);
	case GF_HS_EVENT + GF_VME_PGMAJFAULT: return (int)(want >> GF_HF_VM_PGMAJFAULT & 1);
	case GF_HS_EVENT + GF_VME_OOM_KILL: return (int)(want >> GF_HF_VM_OOM_KILL & 1);
	default: return (int)(want >> GF_HF_VM_PGSCAN & 1);
	}
}

GF_OUTLINE struct gf_host_word gf_hs_word(const struct gf_layout_host *o, uint32_t i)
{
	struct gf_host_word w = { o->cpustat, 0, 8, 0 };

	if (i < GF_HS_RUNNING) {
		w.off = o->cs[i];
	} else if (i < GF_HS_EVENT) {
		w.sym = o->runqueues;
		w.off = i == GF_HS_RUNNING ? o->rq_running : o->rq_iowait;
		w.size = 4;
		w.online = i == GF_HS_RUNNING;
	} else {
		w.sym = o->vm_events;
		w.off = o->vme[i - GF_HS_EVENT];
		w.online = 1;
	}
	return w;
}

/* kernel/time/tick-sched.c, get_cpu_iowait_time_us(): what a CPU has noted, and if it is just now idle with
 * I/O to wait for, since when. 0 or -1. */
GF_OUTLINE int gf_hs_iowait(const struct gf_kmem *k, const struct gf_layout_host *o, uint64_t cpu_off, uint64_t mono_ns, uint64_t *ret)
{
	const uint64_t ts = o->tick_sched + cpu_off, rq = o->runqueues + cpu_off;
	const uint64_t va[] = { ts + o->ts_iowait, ts + o->ts_entry, rq + o->rq_curr, rq + o->rq_idle };
	const uint8_t *waits = gf_kmem_num(k, rq + o->rq_iowait, 4), *at[4];
	uint64_t v, w[4], noted, since, curr, idle;

	GF_UNROLL
	for (uint32_t i = 0; i < 4; i++)
		at[i] = gf_kmem_num(k, va[i], 8);
	if (!waits || !at[0] || !at[1] || !at[2] || !at[3])
		return -1;
	v = gf_load(waits, 4);
	GF_UNROLL
	for (uint32_t i = 0; i < 4; i++)
		w[i] = gf_load(at[i], 8);
	noted = w[0];
	since = w[1];
	curr = w[2];
	idle = w[3];
	if (curr == idle && (int32_t)v > 0 && since && mono_ns > since)
		noted += mono_ns - since;
	*ret = noted;
	return 0;
}

/* Whether sum i can be had at all in this kernel. */
GF_OUTLINE int gf_hs_there(const struct gf_layout_host *o, const struct gf_cpus *c, uint32_t i)
{
	struct gf_host_word w;

	if (c->over)
		return 0;
	if (i == GF_HS_CPU + GF_CS_IOWAIT)
		return o->tick_sched && o->ts_iowait != GF_ABSENT && o->ts_entry != GF_ABSENT && o->runqueues && o->rq_iowait != GF_ABSENT &&
		       o->rq_curr != GF_ABSENT && o->rq_idle != GF_ABSENT;
	w = gf_hs_word(o, i);
	return w.sym && w.off != GF_ABSENT;
}

/* CPU cpu's part of sum i. alone: no other lane adds (the device cannot do so in a lane's own memory). */
GF_OUTLINE void gf_hs_add(const struct gf_kmem *k, const struct gf_layout_host *o, const struct gf_cpus *c, uint32_t i, uint32_t cpu,
			 uint64_t mono_ns, struct gf_host_sums *s, int alone)
{
	struct gf_host_word w = gf_hs_word(o, i);
	uint64_t v = 0;

	if (!gf_hs_there(o, c, i) || (w.online && !gf_cpu_online(c, cpu)))
		return;
	uint32_t bad = i == GF_HS_CPU + GF_CS_IOWAIT ? (uint32_t)gf_hs_iowait(k, o, c->off[cpu], mono_ns, &v) :
						       (uint32_t)gf_kmem_load(k, w.sym + c->off[cpu] + w.off, w.size, &v);
	bad = !!bad;
	if (alone) {
		s->bad[i] += bad;
		s->sum[i] += v;
	} else if (bad) {
		gf_team_add(&s->bad[i], 1);
	} else {
		gf_team_add64(&s->sum[i], v);
	}
}

GF_OUTLINE double gf_hs_value(const struct gf_layout_host *o, const struct gf_cpus *c, const struct gf_host_sums *s, uint32_t i)
{
	return !gf_hs_there(o, c, i) || s->bad[i] ? gf_unknown() : (double)s->sum[i];
}

#endif
