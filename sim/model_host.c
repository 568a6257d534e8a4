/* SPDX-License-Identifier: MIT
 *
 * Host fields in the model: what those that are gone or stand still went on to use in truth is there for others.
 */
#include "sim/model_int.h"

#include <math.h>

/* What is not used in here, though it was in truth, at this time. */
struct spared {
	double memory, swap, cpu_ns, tasks, threads, running, blocked;
};

static double known(double v)
{
	return gf_is_unknown(v) ? 0 : v;
}

static void spare(struct gf_model *m, uint32_t row, struct spared *sp)
{
	const struct gf_sample *s = &m->inner->sample;
	struct gf_mrow *r = &m->row[row];
	uint32_t mem = s->col[GF_TF_ANON] ? GF_TF_ANON : GF_TF_RSS;
	double cpu = gf_model_true(m, GF_TF_CPUTIME, row), state = known(gf_model_true(m, GF_TF_STATE, row));

	sp->memory += known(gf_model_true(m, mem, row)) - known(gf_model_shown(m, mem, row));
	sp->swap += known(gf_model_true(m, GF_TF_SWAP, row)) - known(gf_model_shown(m, GF_TF_SWAP, row));
	if (r->is == GF_M_LIVES)
		return;
	if (!gf_is_unknown(cpu)) {
		sp->cpu_ns += fmax(cpu - known(r->cpu_then), 0);
		r->cpu_then = cpu;
	}
	sp->running += state == 'R';
	sp->blocked += state == 'D';
	if (r->is == GF_M_GONE) {
		sp->tasks++;
		sp->threads += s->col[GF_TF_THREADS] ? known(gf_model_true(m, GF_TF_THREADS, row)) : 1;
	}
}

static void put(double *host, uint32_t field, double by)
{
	if (!gf_is_unknown(host[field]))
		host[field] = fmax(host[field] + by, 0);
}

/* Load is a mean that forgets at its own pace: what is missing in it follows what runs less. */
static void load(struct gf_model *m, double less, double dt)
{
	static const double tau[3] = { 60, 300, 900 };

	for (int k = 0; k < 3; k++) {
		double keep = exp(-dt / tau[k]);
		m->load[k] = m->load[k] * keep + less * (1 - keep);
		put(m->f.sample.host, GF_HF_LOAD_1 + (uint32_t)k, -m->load[k]);
	}
}

static void pressure(struct gf_model *m)
{
	const struct gf_model_said *said = &m->said;

	if (!(said->killed + said->ended + said->stopped))
		return;
	for (uint32_t i = GF_HF_PSI_CPU_SOME_10; i <= GF_HF_PSI_IO_FULL_300; i++) {
		if (!(m->wanted.host >> i & 1) || gf_is_unknown(m->f.sample.host[i]))
			continue;
		if (m->opts.psi_unknown)
			m->f.sample.host[i] = gf_unknown();
		else
			m->said.psi_read = 1;
	}
}

static double changed(const struct gf_what_if *w, double v)
{
	if (gf_is_unknown(v))
		return w->how == GF_WHAT_IF_IS ? w->by : v;
	return w->how == GF_WHAT_IF_IS ? w->by : w->how == GF_WHAT_IF_TIMES ? v * w->by : v + w->by;
}

static void what_if(struct gf_model *m)
{
	double *host = m->f.sample.host;

	for (size_t i = 0; i < m->opts.what_ifs; i++) {
		const struct gf_what_if *w = &m->opts.what_if[i];
		double is = host[w->field], then = changed(w, is);

		host[w->field] = then;
		/* The machine had more or less; what was used stays used. */
		if (w->field == GF_HF_MEM_TOTAL && !gf_is_unknown(is)) {
			put(host, GF_HF_MEM_AVAILABLE, then - is);
			put(host, GF_HF_MEM_FREE, then - is);
		} else if (w->field == GF_HF_SWAP_TOTAL && !gf_is_unknown(is)) {
			put(host, GF_HF_SWAP_FREE, then - is);
		}
	}
}

static void within(double *host, uint32_t field, uint32_t total)
{
	if (!gf_is_unknown(host[field]) && !gf_is_unknown(host[total]))
		host[field] = fmin(host[field], host[total]);
}

void gf_model_host(struct gf_model *m, uint64_t before_ns)
{
	double *host = m->f.sample.host, dt = before_ns && m->now_ns > before_ns ? (double)(m->now_ns - before_ns) : 0;
	struct spared sp = { 0 };

	what_if(m);
	if (!m->touched)
		return;
	for (uint32_t i = 0; i < m->inner->sample.rows; i++)
		if (m->inner->sample.flags[i] & GF_ROW_VALID && (m->row[i].is != GF_M_LIVES || m->row[i].missed))
			spare(m, i, &sp);
	m->cpu_saved += sp.cpu_ns;
	put(host, GF_HF_MEM_AVAILABLE, sp.memory);
	put(host, GF_HF_MEM_FREE, sp.memory);
	put(host, GF_HF_SWAP_FREE, sp.swap);
	put(host, GF_HF_SWAP_USED, -sp.swap);
	within(host, GF_HF_MEM_AVAILABLE, GF_HF_MEM_TOTAL);
	within(host, GF_HF_MEM_FREE, GF_HF_MEM_TOTAL);
	within(host, GF_HF_SWAP_FREE, GF_HF_SWAP_TOTAL);
	put(host, GF_HF_CPU_BUSYTIME, -m->cpu_saved);
	put(host, GF_HF_TASKS_COUNT, -sp.tasks);
	put(host, GF_HF_TASKS_THREADS, -sp.threads);
	put(host, GF_HF_TASKS_RUNNING, -sp.running);
	put(host, GF_HF_TASKS_BLOCKED, -sp.blocked);
	put(host, GF_HF_TASKS_FORKS, -m->forks_saved);
	if (dt > 0)
		load(m, sp.cpu_ns / dt + sp.blocked, dt / 1e9);
	pressure(m);
}
