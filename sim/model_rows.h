/* SPDX-License-Identifier: MIT
 *
 * A model's processes: rows of what is so, and rows of what is shown.
 * Of sim/model_core.h, which has the types and includes this.
 */
#ifndef GPUFAS_SIM_MODEL_ROWS_H
#define GPUFAS_SIM_MODEL_ROWS_H

GF_INLINE double gf_m_max(double a, double b)
{
	return a > b ? a : b;
}

GF_INLINE double gf_m_min(double a, double b)
{
	return a < b ? a : b;
}

GF_INLINE double gf_m_known(double v)
{
	return gf_is_unknown(v) ? 0 : v;
}

/* A task's number in truth and as shown; unknown where there is none. */
GF_INLINE double gf_m_true(const struct gf_mcore *m, uint32_t field, uint32_t row)
{
	const double *c = m->task_has >> field & 1 ? m->in->col[field] : NULL;

	return c ? c[row] : gf_unknown();
}

GF_INLINE double gf_m_shown(const struct gf_mcore *m, uint32_t field, uint32_t row)
{
	double is = gf_m_true(m, field, row);
	size_t at = (size_t)row * GF_TF_COUNT + field;

	if (m->is[row] == GF_M_GONE)
		return 0;
	if (m->is[row] == GF_M_STOPPED && !gf_is_unknown(m->then[at]))
		return m->then[at];
	if (m->mark[row] & GF_M_MISSED && !gf_is_unknown(is))
		return gf_m_max(is - m->missed[at], 0);
	return is;
}

GF_INLINE uint32_t gf_m_memory(const struct gf_mcore *m)
{
	return m->task_has >> GF_TF_ANON & 1 ? GF_TF_ANON : GF_TF_RSS;
}

GF_INLINE int gf_m_known_before(const struct gf_mcore *m, uint32_t row)
{
	const struct gf_mbefore *b = &m->before;

	return row < b->rows && b->flags[row] & GF_ROW_VALID && b->gen[row] == m->in->gen[row];
}

/* A row is not as in truth any more. By the leader, or by the lane whose word it is in. */
GF_INLINE void gf_m_dirty(struct gf_mcore *m, uint32_t row)
{
	if (m->dirty[row / 64] >> row % 64 & 1)
		return;
	m->dirty[row / 64] |= 1ull << row % 64;
	m->gen[row] = m->in->gen[row];
	m->is[row] = GF_M_LIVES;
	m->mark[row] = 0;
	m->since_ns[row] = m->leaves_ns[row] = 0;
	m->nice[row] = m->cpu_then[row] = 0;
}

GF_INLINE void gf_m_forget(struct gf_mcore *m, uint32_t row)
{
	m->dirty[row / 64] &= ~(1ull << row % 64);
	m->is[row] = GF_M_LIVES;
	m->mark[row] = 0;
}

GF_INLINE void gf_m_leave(struct gf_mcore *m, uint32_t row, uint64_t when, struct gf_mpart *to)
{
	double anon = gf_m_shown(m, gf_m_memory(m), row), swap = gf_m_shown(m, GF_TF_SWAP, row);

	/* What it used since it was last looked at counts as used, but for what follows now. */
	if (m->is[row] != GF_M_STOPPED)
		m->cpu_then[row] = gf_m_known_before(m, row) && m->before.cpu ? gf_m_known(m->before.cpu[row]) : 0;
	m->is[row] = GF_M_GONE;
	m->since_ns[row] = when;
	m->mark[row] = (uint8_t)(m->mark[row] & ~GF_M_MISSED);
	to->freed += gf_m_known(anon) + gf_m_known(swap);
}

/* Identities that changed; exits that are due. */
GF_MODEL_JOB gf_mjob_refresh(struct gf_mcore *m, uint32_t a, uint32_t lane, uint32_t lanes)
{
	const struct gf_sample *s = m->in;

	(void)a;
	for (uint32_t w = lane; w < m->cap / 64; w += lanes) {
		m->part[w].freed = 0;
		for (uint64_t bits = m->dirty[w]; bits; bits &= bits - 1) {
			uint32_t i = w * 64 + gf_ctz64(bits);
			if (i >= s->rows || !(s->flags[i] & GF_ROW_VALID) || m->gen[i] != s->gen[i]) {
				gf_m_forget(m, i);
				continue;
			}
			if (m->is[i] == GF_M_GONE || !m->leaves_ns[i] || m->now_ns < m->leaves_ns[i])
				continue;
			/* A signal waits for a process that is stopped, unless it is SIGKILL. */
			if (m->is[i] == GF_M_STOPPED && !(m->mark[i] & GF_M_KILLED))
				continue;
			gf_m_leave(m, i, m->leaves_ns[i], &m->part[w]);
			gf_team_add(&m->count, 1);
		}
	}
}

/* Whom the fate of its parent reaches: 0; 1: it goes with it; 2: it was started after it and never is. */
GF_INLINE uint8_t gf_m_goes_with(const struct gf_mcore *m, uint32_t row)
{
	const struct gf_sample *s = m->in;
	uint32_t p = s->parent[row];

	if (p == GF_NONE || m->is[p] == GF_M_LIVES)
		return 0;
	if (m->mark[p] & GF_M_UNBORN || s->start_ns[row] >= m->since_ns[p])
		return 2;
	return m->is[p] == GF_M_GONE && !m->opts.children_stay;
}

/* One generation: whose parent's fate reaches them. */
GF_MODEL_JOB gf_mjob_seek(struct gf_mcore *m, uint32_t a, uint32_t lane, uint32_t lanes)
{
	const struct gf_sample *s = m->in;

	(void)a;
	for (uint32_t i = lane; i < s->rows; i += lanes) {
		uint8_t goes = 0;
		if (s->flags[i] & GF_ROW_VALID && m->is[i] != GF_M_GONE)
			goes = gf_m_goes_with(m, i);
		m->next[i] = goes;
		m->kids[i] = 0;
		if (goes)
			gf_team_add(&m->count, 1);
	}
}

GF_MODEL_JOB gf_mjob_go(struct gf_mcore *m, uint32_t a, uint32_t lane, uint32_t lanes)
{
	const struct gf_sample *s = m->in;

	(void)a;
	for (uint32_t w = lane; w < m->cap / 64; w += lanes) {
		struct gf_mpart *to = &m->part[w];
		to->freed = 0;
		to->ended_with = to->unborn = 0;
		for (uint32_t i = w * 64; i < w * 64 + 64 && i < s->rows; i++) {
			if (!m->next[i])
				continue;
			gf_m_dirty(m, i);
			if (m->next[i] == 1 || gf_m_known_before(m, i)) {
				to->ended_with++;
				gf_m_leave(m, i, m->now_ns, to);
				continue;
			}
			m->is[i] = GF_M_GONE;
			m->mark[i] = (uint8_t)(m->mark[i] | GF_M_UNBORN);
			m->since_ns[i] = s->start_ns[i];
			m->cpu_then[i] = 0;
			to->unborn++;
		}
	}
}

GF_INLINE void gf_m_hide(struct gf_mcore *m, uint32_t row)
{
	const struct gf_strref none = { NULL, 0, 0 };
	struct gf_sample *s = m->out;

	s->flags[row] = 0;
	s->parent[row] = GF_NONE;
	s->pid[row] = 0;
	s->start_ns[row] = 0;
	for (uint32_t c = 0; c < GF_COLS; c++)
		if (s->col[c])
			s->col[c][row] = gf_unknown();
	for (uint32_t c = 0; c < GF_SF_COUNT; c++)
		if (s->str[c])
			s->str[c][row] = none;
}

/* What a process shows that is there, but not as in truth. */
GF_INLINE void gf_m_alter(struct gf_mcore *m, uint32_t row)
{
	struct gf_sample *s = m->out;
	int stopped = m->is[row] == GF_M_STOPPED;

	if (stopped || m->mark[row] & GF_M_MISSED)
		for (uint32_t c = 0; c < GF_TF_COUNT; c++)
			if (s->col[c])
				s->col[c][row] = gf_m_shown(m, c, row);
	if (stopped && s->col[GF_TF_STATE])
		s->col[GF_TF_STATE][row] = m->mark[row] & GF_M_STOP_SIGNAL ? 'T' : 'S';
	if (m->nice[row] != 0 && s->col[GF_TF_NICE] && !gf_is_unknown(s->col[GF_TF_NICE][row]))
		s->col[GF_TF_NICE][row] = gf_m_min(gf_m_max(s->col[GF_TF_NICE][row] + m->nice[row], -20), 19);
	if (m->mark[row] & GF_M_KILLED)
		s->flags[row] |= GF_ROW_EXITING;
}

/* A row as it is in truth; rows that are not there any more are empty. have: so many the sample in truth has. */
GF_INLINE void gf_m_copy(struct gf_mcore *m, uint32_t i, uint32_t have)
{
	const struct gf_sample *from = m->in;
	const struct gf_strref none = { NULL, 0, 0 };
	struct gf_sample *to = m->out;
	int there = i < have;

	to->flags[i] = (uint8_t)(there ? from->flags[i] : 0);
	if (there) {
		to->gen[i] = from->gen[i];
		to->pid[i] = from->pid[i];
		to->start_ns[i] = from->start_ns[i];
		to->parent[i] = from->parent[i];
		to->uid[i] = from->uid[i];
		for (uint32_t k = 0; k < GF_COMM_LEN; k++)
			to->comm[i][k] = from->comm[i][k];
	}
	for (uint32_t c = 0; c < GF_COLS; c++)
		if (to->col[c])
			to->col[c][i] = there && from->col[c] ? from->col[c][i] : gf_unknown();
	for (uint32_t c = 0; c < GF_SF_COUNT; c++)
		if (to->str[c])
			to->str[c][i] = there && from->str[c] ? from->str[c][i] : none;
}

GF_INLINE void gf_m_spare(struct gf_mcore *m, uint32_t row, struct gf_mpart *sp)
{
	uint32_t mem = gf_m_memory(m);
	double cpu = gf_m_true(m, GF_TF_CPUTIME, row), state = gf_m_known(gf_m_true(m, GF_TF_STATE, row));

	sp->memory += gf_m_known(gf_m_true(m, mem, row)) - gf_m_known(gf_m_shown(m, mem, row));
	sp->swap += gf_m_known(gf_m_true(m, GF_TF_SWAP, row)) - gf_m_known(gf_m_shown(m, GF_TF_SWAP, row));
	if (m->is[row] == GF_M_LIVES)
		return;
	if (!gf_is_unknown(cpu)) {
		sp->cpu_ns += gf_m_max(cpu - gf_m_known(m->cpu_then[row]), 0);
		m->cpu_then[row] = cpu;
	}
	sp->running += state == 'R';
	sp->blocked += state == 'D';
	if (m->is[row] == GF_M_GONE) {
		sp->tasks += 1;
		sp->threads += m->task_has >> GF_TF_THREADS & 1 ? gf_m_known(gf_m_true(m, GF_TF_THREADS, row)) : 1;
	}
}

/* Rows as they are shown, and what is spared. a: so many rows are copied from the truth first. */
GF_MODEL_JOB gf_mjob_show(struct gf_mcore *m, uint32_t a, uint32_t lane, uint32_t lanes)
{
	const struct gf_sample *s = m->in;
	struct gf_sample *o = m->out;
	uint32_t have = GF_MIN((s->rows + 127) / 128 * 128, m->cap), n = GF_MAX(a, s->rows), last = 0, hidden = 0;
	const struct gf_mpart none = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 };

	for (uint32_t i = lane; i < n; i += lanes) {
		if (i < a)
			gf_m_copy(m, i, have);
		if (i >= s->rows || !(s->flags[i] & GF_ROW_VALID))
			continue;
		if (m->is[i] == GF_M_GONE) {
			uint32_t p = s->parent[i];
			gf_m_hide(m, i);
			hidden++;
			if (o->col[GF_TF_CHILDREN] && p != GF_NONE && m->is[p] != GF_M_GONE)
				gf_team_add(&m->kids[p], 1);
			continue;
		}
		if (m->dirty[i / 64] >> i % 64 & 1)
			gf_m_alter(m, i);
		if (s->parent[i] != GF_NONE && m->is[s->parent[i]] == GF_M_GONE)
			gf_team_add(&m->orphans, 1);
		last = i + 1;
	}
	if (hidden)
		gf_team_add(&m->hidden, hidden);
	if (last)
		gf_team_max(&m->last, last);
	for (uint32_t w = lane; w < m->cap / 64; w += lanes) {
		m->part[w] = none;
		for (uint64_t bits = m->dirty[w]; bits; bits &= bits - 1) {
			uint32_t i = w * 64 + gf_ctz64(bits);
			if (m->is[i] != GF_M_LIVES || m->mark[i] & GF_M_MISSED)
				gf_m_spare(m, i, &m->part[w]);
		}
	}
}

/* Orphans are init's; who has lost children has fewer. a: init's row, or GF_NONE. */
GF_MODEL_JOB gf_mjob_relate(struct gf_mcore *m, uint32_t a, uint32_t lane, uint32_t lanes)
{
	const struct gf_sample *in = m->in;
	struct gf_sample *s = m->out;

	for (uint32_t i = lane; i < in->rows; i += lanes) {
		uint32_t p = in->parent[i];
		if (s->col[GF_TF_CHILDREN]) {
			if (i == a)
				s->col[GF_TF_CHILDREN][i] += (double)m->orphans;
			if (m->kids[i])
				s->col[GF_TF_CHILDREN][i] -= (double)m->kids[i];
		}
		if (!(in->flags[i] & GF_ROW_VALID) || p == GF_NONE || m->is[p] != GF_M_GONE || m->is[i] == GF_M_GONE)
			continue;
		s->parent[i] = a;
		if (s->col[GF_TF_PPID])
			s->col[GF_TF_PPID][i] = 1;
	}
}

GF_INLINE uint32_t gf_m_init_row(const struct gf_mcore *m)
{
	const struct gf_sample *s = m->in;

	for (uint32_t i = 0; i < s->rows; i++)
		if (s->flags[i] & GF_ROW_VALID && s->pid[i] == 1)
			return m->is[i] == GF_M_GONE ? GF_NONE : i;
	return GF_NONE;
}

GF_INLINE void gf_m_gone(struct gf_mcore *m)
{
	for (uint32_t w = 0; w < m->cap / 64; w++)
		m->said.freed += m->part[w].freed;
}

/* Brings rows up to date with the truth, then shows them in the copy. copy: out is to be copied from the truth here, of which no
 * part of out is to be believed; 0: whoever owns out has done so. Leader. */
static GF_HD __attribute__((noinline, unused)) void gf_mcore_rows(struct gf_mcore *m, struct gf_team *team, int copy)
{
	uint32_t n = GF_MIN((GF_MAX(m->in->rows, m->rows) + 127) / 128 * 128, m->cap);

	(void)team;
	m->count = 0;
	GF_MODEL_CALL(m, team, GF_MJOB_REFRESH, gf_mjob_refresh, 0);
	if (m->count)
		gf_m_gone(m);
	for (;;) {
		m->count = 0;
		GF_MODEL_CALL(m, team, GF_MJOB_SEEK, gf_mjob_seek, 0);
		if (!m->count)
			break;
		GF_MODEL_CALL(m, team, GF_MJOB_GO, gf_mjob_go, 0);
		gf_m_gone(m);
		for (uint32_t w = 0; w < m->cap / 64; w++) {
			m->said.ended_with += m->part[w].ended_with;
			m->said.unborn += m->part[w].unborn;
			m->forks_saved += (double)m->part[w].unborn;
		}
	}
	m->hidden = m->last = m->orphans = 0;
	GF_MODEL_CALL(m, team, GF_MJOB_SHOW, gf_mjob_show, copy ? n : 0);
	m->out->now_ns = m->in->now_ns;
	m->out->seq = m->in->seq;
	m->out->dropped = m->in->dropped;
	m->out->epoch = m->in->epoch;
	m->out->live = m->in->live - m->hidden;
	m->out->rows = m->last;
	if (m->orphans || (m->hidden && m->out->col[GF_TF_CHILDREN])) {
		uint32_t init = m->orphans ? gf_m_init_row(m) : GF_NONE;
		GF_MODEL_CALL(m, team, GF_MJOB_RELATE, gf_mjob_relate, init);
	}
}

/* Another boot, or a clock that went back: all of them are others. Leader. */
GF_INLINE void gf_mcore_reset_rows(struct gf_mcore *m)
{
	for (uint32_t w = 0; w < m->cap / 64; w++) {
		for (uint64_t bits = m->dirty[w]; bits; bits &= bits - 1)
			gf_m_forget(m, w * 64 + gf_ctz64(bits));
	}
	m->rows = 0;
	/* and counters begin anew */
	m->said.cpu_ns += m->cpu_saved;
	m->cpu_saved = m->forks_saved = 0;
	for (uint32_t k = 0; k < 3; k++)
		m->load[k] = 0;
	m->touched = 0;
}

#endif
