/* SPDX-License-Identifier: MIT
 *
 * What verdicts do to a model's processes.
 * Of sim/model_core.h, which has the types and includes this.
 */
#ifndef GPUFAS_SIM_MODEL_ACT_H
#define GPUFAS_SIM_MODEL_ACT_H

/* Linux, as GF_SIGCONT; signal.h is not for devices. */
#define GF_M_SIGKILL 9
#define GF_M_SIGCONT 18
#define GF_M_SIGSTOP 19
#define GF_M_SIGTTOU 22 /* SIGTSTP and SIGTTIN lie between */

/* What counts while a process runs, and what it holds: both stand still while it is stopped. */
#define GF_M_STANDS_STILL (GF_BIT(GF_TF_CPUTIME) | GF_BIT(GF_TF_UTIME) | GF_BIT(GF_TF_STIME) | GF_BIT(GF_TF_RSS) | GF_BIT(GF_TF_ANON) | \
			   GF_BIT(GF_TF_FILE) | GF_BIT(GF_TF_SHMEM) | GF_BIT(GF_TF_SWAP) | GF_BIT(GF_TF_VSZ) | GF_BIT(GF_TF_MAJFLT) |   \
			   GF_BIT(GF_TF_MINFLT) | GF_BIT(GF_TF_READ_BYTES) | GF_BIT(GF_TF_WRITE_BYTES) | GF_BIT(GF_TF_FDS) | GF_BIT(GF_TF_THREADS))

GF_INLINE void gf_m_stop(struct gf_mcore *m, uint32_t row, int by_signal)
{
	if (m->is[row] != GF_M_LIVES || !m->then)
		return;
	gf_m_dirty(m, row);
	for (uint32_t c = 0; c < GF_TF_COUNT; c++)
		m->then[(size_t)row * GF_TF_COUNT + c] = GF_M_STANDS_STILL >> c & 1 ? gf_m_shown(m, c, row) : gf_unknown();
	m->is[row] = GF_M_STOPPED;
	m->mark[row] = (uint8_t)((m->mark[row] & ~GF_M_STOP_SIGNAL) | (by_signal ? GF_M_STOP_SIGNAL : 0));
	m->since_ns[row] = m->now_ns;
	m->cpu_then[row] = gf_m_true(m, GF_TF_CPUTIME, row);
	m->said.stopped++;
	m->touched = 1;
}

GF_INLINE void gf_m_go_on(struct gf_mcore *m, uint32_t row)
{
	if (m->is[row] != GF_M_STOPPED)
		return;
	for (uint32_t c = 0; c < GF_TF_COUNT; c++) {
		size_t at = (size_t)row * GF_TF_COUNT + c;
		double is = gf_m_true(m, c, row);
		m->missed[at] = gf_is_unknown(is) || gf_is_unknown(m->then[at]) ? 0 : is - m->then[at];
	}
	m->is[row] = GF_M_LIVES;
	m->mark[row] = (uint8_t)(m->mark[row] | GF_M_MISSED);
	m->said.continued++;
	if (m->leaves_ns[row] && !(m->mark[row] & GF_M_KILLED)) /* a signal was waiting for it; SIGKILL waits for nothing */
		m->leaves_ns[row] = m->now_ns + m->opts.term_ns;
}

/* SIGKILL, once: nothing that comes later puts the exit off, and who would be gone before is gone by what it got first. */
GF_INLINE void gf_m_kill(struct gf_mcore *m, uint32_t row)
{
	uint64_t when = GF_MAX(m->now_ns + m->opts.kill_ns, 1u);

	m->touched = 1;
	gf_m_dirty(m, row);
	if (m->mark[row] & GF_M_KILLED)
		return;
	m->mark[row] = (uint8_t)(m->mark[row] | GF_M_KILLED);
	if (m->leaves_ns[row] && m->leaves_ns[row] <= when && m->is[row] != GF_M_STOPPED)
		return;
	if (m->leaves_ns[row])
		m->said.ended--;
	m->said.killed++;
	m->leaves_ns[row] = when;
}

GF_INLINE void gf_m_send(struct gf_mcore *m, uint32_t row, const struct gf_verdict *v)
{
	if (v->arg >= GF_M_SIGSTOP && v->arg <= GF_M_SIGTTOU) {
		gf_m_stop(m, row, 1);
	} else if (v->arg == GF_M_SIGCONT) {
		gf_m_go_on(m, row);
	} else if (v->arg == GF_M_SIGKILL) {
		gf_m_kill(m, row);
	} else if (gf_verdict_is_lethal(v)) {
		m->touched = 1;
		gf_m_dirty(m, row);
		if (m->leaves_ns[row] || m->opts.term_never)
			return;
		m->leaves_ns[row] = GF_MAX(m->now_ns + m->opts.term_ns, 1u);
		m->said.ended++;
	} else {
		m->said.signals++;
	}
}

/* Whether actions of this image may stop somebody: then[] and missed[] are needed. */
GF_INLINE bool gf_mcore_stops(const struct gf_image_header *img)
{
	const struct gf_step *s = GF_SEC(struct gf_step, img, GF_SEC_STEP);

	for (uint32_t k = 0; k < img->sec[GF_SEC_STEP].count; k++)
		if (s[k].action == GF_ACT_FREEZE || (s[k].action == GF_ACT_SIGNAL && s[k].arg >= GF_M_SIGSTOP && s[k].arg <= GF_M_SIGTTOU))
			return true;
	return false;
}

/* The kernel keeps nice between -20 and 19: what was cut off does not count later. */
GF_INLINE void gf_m_renice(struct gf_mcore *m, uint32_t row, int32_t by)
{
	double is = gf_m_true(m, GF_TF_NICE, row);

	gf_m_dirty(m, row);
	m->nice[row] += by;
	if (!gf_is_unknown(is))
		m->nice[row] = gf_m_min(gf_m_max(is + m->nice[row], -20), 19) - is;
	m->said.reniced++;
	m->touched = 1;
}

/* What becomes of a verdict that is not only observed. Leader. */
static GF_HD __attribute__((noinline, unused)) void gf_mcore_act(struct gf_mcore *m, const struct gf_verdict *v)
{
	bool there;

	if (!m->opts.acts)
		return;
	there = v->pid && v->row < m->in->rows && m->in->gen[v->row] == v->gen && m->is[v->row] != GF_M_GONE;
	m->said.hooks += v->action == GF_ACT_RUN;
	m->said.nmis += v->action == GF_ACT_NMI;
	if (v->action == GF_ACT_RESET || v->action == GF_ACT_PANIC || v->action == GF_ACT_RESTART) {
		m->said.resets++;
		m->said.reset_ns = m->now_ns;
	}
	if (!there)
		return;
	switch (v->action) {
	case GF_ACT_SIGNAL:
		gf_m_send(m, v->row, v);
		break;
	case GF_ACT_FREEZE:
		gf_m_stop(m, v->row, 0);
		break;
	case GF_ACT_THAW:
		gf_m_go_on(m, v->row);
		break;
	case GF_ACT_RENICE:
		gf_m_renice(m, v->row, v->arg);
		break;
	case GF_ACT_LIMIT:
		m->said.limits++;
		break;
	default:
		break;
	}
}

#endif
