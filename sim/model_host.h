/* SPDX-License-Identifier: MIT
 *
 * A model's machine: host fields, as they are without those that have gone.
 * Of sim/model_core.h, which has the types and includes this.
 */
#ifndef GPUFAS_SIM_MODEL_HOST_H
#define GPUFAS_SIM_MODEL_HOST_H

GF_INLINE void gf_m_put(double *host, uint32_t field, double by)
{
	if (!gf_is_unknown(host[field]))
		host[field] = gf_m_max(host[field] + by, 0);
}

/* Load is a mean that forgets at its own pace: what is missing in it follows what runs less. */
GF_INLINE void gf_m_load(struct gf_mcore *m, double *host, double less)
{
	for (uint32_t k = 0; k < 3; k++) {
		m->load[k] = m->load[k] * m->keep[k] + less * (1 - m->keep[k]);
		gf_m_put(host, GF_HF_LOAD_1 + k, -m->load[k]);
	}
}

GF_INLINE void gf_m_pressure(struct gf_mcore *m, double *host)
{
	const struct gf_model_said *said = &m->said;

	if (!(said->killed + said->ended + said->stopped))
		return;
	for (uint32_t i = GF_HF_PSI_CPU_SOME_10; i <= GF_HF_PSI_IO_FULL_300; i++) {
		if (!(m->host_wants >> i & 1) || gf_is_unknown(host[i]))
			continue;
		if (m->opts.psi_unknown)
			host[i] = gf_unknown();
		else
			m->said.psi_read = 1;
	}
}

GF_INLINE double gf_m_changed(const struct gf_what_if *w, double v)
{
	if (gf_is_unknown(v))
		return w->how == GF_WHAT_IF_IS ? w->by : v;
	return w->how == GF_WHAT_IF_IS ? w->by : w->how == GF_WHAT_IF_TIMES ? v * w->by : v + w->by;
}

GF_INLINE void gf_m_what_if(struct gf_mcore *m, double *host)
{
	for (size_t i = 0; i < m->opts.what_ifs; i++) {
		const struct gf_what_if *w = &m->opts.what_if[i];
		double is = host[w->field], then = gf_m_changed(w, is);

		host[w->field] = then;
		/* The machine had more or less; what was used stays used. */
		if (w->field == GF_HF_MEM_TOTAL && !gf_is_unknown(is)) {
			gf_m_put(host, GF_HF_MEM_AVAILABLE, then - is);
			gf_m_put(host, GF_HF_MEM_FREE, then - is);
		} else if (w->field == GF_HF_SWAP_TOTAL && !gf_is_unknown(is)) {
			gf_m_put(host, GF_HF_SWAP_FREE, then - is);
		}
	}
}

GF_INLINE void gf_m_within(double *host, uint32_t field, uint32_t total)
{
	if (!gf_is_unknown(host[field]) && !gf_is_unknown(host[total]))
		host[field] = gf_m_min(host[field], host[total]);
}

/* Host fields, copied from the truth, when the rows are done: what those that are gone or stand still went on to use in truth
 * is there for others. Leader. */
static GF_HD __attribute__((noinline, unused)) void gf_mcore_host(struct gf_mcore *m, double *host)
{
	struct gf_mpart sp = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 };

	gf_m_what_if(m, host);
	if (!m->touched)
		return;
	for (uint32_t w = 0; w < m->cap / 64; w++) {
		if (!m->dirty[w])
			continue;
		sp.memory += m->part[w].memory;
		sp.swap += m->part[w].swap;
		sp.cpu_ns += m->part[w].cpu_ns;
		sp.tasks += m->part[w].tasks;
		sp.threads += m->part[w].threads;
		sp.running += m->part[w].running;
		sp.blocked += m->part[w].blocked;
	}
	m->cpu_saved += sp.cpu_ns;
	gf_m_put(host, GF_HF_MEM_AVAILABLE, sp.memory);
	gf_m_put(host, GF_HF_MEM_FREE, sp.memory);
	gf_m_put(host, GF_HF_SWAP_FREE, sp.swap);
	gf_m_put(host, GF_HF_SWAP_USED, -sp.swap);
	gf_m_within(host, GF_HF_MEM_AVAILABLE, GF_HF_MEM_TOTAL);
	gf_m_within(host, GF_HF_MEM_FREE, GF_HF_MEM_TOTAL);
	gf_m_within(host, GF_HF_SWAP_FREE, GF_HF_SWAP_TOTAL);
	gf_m_put(host, GF_HF_CPU_BUSYTIME, -m->cpu_saved);
	gf_m_put(host, GF_HF_TASKS_COUNT, -sp.tasks);
	gf_m_put(host, GF_HF_TASKS_THREADS, -sp.threads);
	gf_m_put(host, GF_HF_TASKS_RUNNING, -sp.running);
	gf_m_put(host, GF_HF_TASKS_BLOCKED, -sp.blocked);
	gf_m_put(host, GF_HF_TASKS_FORKS, -m->forks_saved);
	if (m->dt_ns)
		gf_m_load(m, host, sp.cpu_ns / (double)m->dt_ns + sp.blocked);
	gf_m_pressure(m, host);
}

#endif
