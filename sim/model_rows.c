/* SPDX-License-Identifier: MIT
 *
 * Processes in the model: who is gone, who stands still, who was never started. The inner feed's rows are kept: the model only
 * takes some away.
 */
#include "sim/model_int.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static void forget(struct gf_mrow *r)
{
	free(r->then);
	free(r->missed);
	memset(r, 0, sizeof *r);
}

void gf_model_reset_rows(struct gf_model *m)
{
	for (uint32_t i = 0; i < m->f.sample.cap; i++)
		forget(&m->row[i]);
	m->rows = 0;
}

double gf_model_true(const struct gf_model *m, uint32_t field, uint32_t row)
{
	const double *c = m->inner->sample.col[field];

	return c ? c[row] : gf_unknown();
}

double gf_model_shown(const struct gf_model *m, uint32_t field, uint32_t row)
{
	const struct gf_mrow *r = &m->row[row];
	double is = gf_model_true(m, field, row);

	if (r->is == GF_M_GONE)
		return 0;
	if (r->is == GF_M_STOPPED && !gf_is_unknown(r->then[field]))
		return r->then[field];
	if (r->missed && !gf_is_unknown(is))
		return fmax(is - r->missed[field], 0);
	return is;
}

static void leave(struct gf_model *m, uint32_t row, uint64_t when)
{
	struct gf_mrow *r = &m->row[row];
	double anon, swap;

	anon = gf_model_shown(m, m->inner->sample.col[GF_TF_ANON] ? GF_TF_ANON : GF_TF_RSS, row);
	swap = gf_model_shown(m, GF_TF_SWAP, row);
	/* What it used since it was last looked at counts as used, but for what follows now. */
	if (r->is != GF_M_STOPPED)
		r->cpu_then = r->known ? r->cpu_then : 0;
	r->is = GF_M_GONE;
	r->since_ns = when;
	m->said.freed += (gf_is_unknown(anon) ? 0 : anon) + (gf_is_unknown(swap) ? 0 : swap);
	free(r->then);
	free(r->missed);
	r->then = r->missed = NULL;
}

/* Identities that changed; exits that are due. */
static void refresh(struct gf_model *m)
{
	const struct gf_sample *s = &m->inner->sample;
	uint32_t n = GF_MAX(s->rows, m->rows);

	for (uint32_t i = 0; i < n; i++) {
		struct gf_mrow *r = &m->row[i];
		if (!(s->flags[i] & GF_ROW_VALID) || r->gen != s->gen[i]) {
			forget(r);
			r->gen = s->gen[i];
		}
		if (!(s->flags[i] & GF_ROW_VALID) || r->is == GF_M_GONE || !r->leaves_ns || m->now_ns < r->leaves_ns)
			continue;
		/* A signal waits for a process that is stopped, unless it is SIGKILL. */
		if (r->is == GF_M_STOPPED && !r->killed)
			continue;
		leave(m, i, r->leaves_ns);
	}
}

/* Whom the fate of its parent reaches: 0, or since when. */
static bool goes_with(const struct gf_model *m, uint32_t row, bool *ret_unborn)
{
	const struct gf_sample *s = &m->inner->sample;
	const struct gf_mrow *p;

	if (s->parent[row] == GF_NONE)
		return false;
	p = &m->row[s->parent[row]];
	if (p->is == GF_M_LIVES)
		return false;
	*ret_unborn = p->unborn || s->start_ns[row] >= p->since_ns;
	return *ret_unborn || (p->is == GF_M_GONE && !m->opts.children_stay);
}

/* Until nobody follows any more: parents are not always in rows before their children. */
static void descend(struct gf_model *m)
{
	const struct gf_sample *s = &m->inner->sample;
	bool more = true, unborn = false;

	while (more) {
		more = false;
		for (uint32_t i = 0; i < s->rows; i++) {
			struct gf_mrow *r = &m->row[i];
			if (!(s->flags[i] & GF_ROW_VALID) || r->is == GF_M_GONE || !goes_with(m, i, &unborn))
				continue;
			more = true;
			if (!unborn || r->known) {
				m->said.ended_with++;
				leave(m, i, m->now_ns);
				continue;
			}
			r->is = GF_M_GONE;
			r->unborn = true;
			r->since_ns = s->start_ns[i];
			m->said.unborn++;
			m->forks_saved++;
		}
	}
}

static void hide(struct gf_model *m, uint32_t row)
{
	struct gf_sample *s = &m->f.sample;

	s->flags[row] = 0;
	s->parent[row] = GF_NONE;
	s->pid[row] = 0;
	s->start_ns[row] = 0;
	for (uint32_t c = 0; c < GF_COLS; c++)
		if (s->col[c])
			s->col[c][row] = gf_unknown();
	for (uint32_t c = 0; c < GF_SF_COUNT; c++)
		if (s->str[c])
			s->str[c][row] = (struct gf_strref){ NULL, 0, 0 };
	s->live--;
}

/* What a process shows that is there, but not as in truth. */
static void alter(struct gf_model *m, uint32_t row)
{
	struct gf_sample *s = &m->f.sample;
	const struct gf_mrow *r = &m->row[row];

	if (r->is == GF_M_STOPPED || r->missed)
		for (uint32_t c = 0; c < GF_TF_COUNT; c++)
			if (s->col[c])
				s->col[c][row] = gf_model_shown(m, c, row);
	if (r->is == GF_M_STOPPED && s->col[GF_TF_STATE])
		s->col[GF_TF_STATE][row] = r->stop_signal ? 'T' : 'S';
	if (r->nice != 0 && s->col[GF_TF_NICE] && !gf_is_unknown(s->col[GF_TF_NICE][row]))
		s->col[GF_TF_NICE][row] = fmin(fmax(s->col[GF_TF_NICE][row] + r->nice, -20), 19);
	if (r->killed)
		s->flags[row] |= GF_ROW_EXITING;
}

static uint32_t init_row(const struct gf_sample *s)
{
	for (uint32_t i = 0; i < s->rows; i++)
		if (s->flags[i] & GF_ROW_VALID && s->pid[i] == 1)
			return i;
	return GF_NONE;
}

/* Orphans are init's; who has lost children has fewer. */
static void relate(struct gf_model *m)
{
	const struct gf_sample *in = &m->inner->sample;
	struct gf_sample *s = &m->f.sample;
	uint32_t init = init_row(s);

	for (uint32_t i = 0; i < s->rows; i++) {
		uint32_t p = in->parent[i];
		if (p == GF_NONE || m->row[p].is == GF_M_LIVES || m->row[p].is == GF_M_STOPPED || m->row[i].is == GF_M_GONE)
			continue;
		s->parent[i] = init;
		if (s->col[GF_TF_PPID])
			s->col[GF_TF_PPID][i] = 1;
		if (init != GF_NONE && s->col[GF_TF_CHILDREN])
			s->col[GF_TF_CHILDREN][init]++;
	}
	for (uint32_t i = 0; s->col[GF_TF_CHILDREN] && i < s->rows; i++) {
		uint32_t p = in->parent[i];
		if (in->flags[i] & GF_ROW_VALID && m->row[i].is == GF_M_GONE && p != GF_NONE && m->row[p].is != GF_M_GONE)
			s->col[GF_TF_CHILDREN][p]--;
	}
}

static void show(struct gf_model *m)
{
	struct gf_sample *s = &m->f.sample;
	uint32_t last = 0;

	for (uint32_t i = 0; i < s->rows; i++) {
		const struct gf_mrow *r = &m->row[i];
		if (!(s->flags[i] & GF_ROW_VALID))
			continue;
		if (r->is == GF_M_GONE)
			hide(m, i);
		else if (r->is == GF_M_STOPPED || r->missed || r->nice != 0 || r->killed)
			alter(m, i);
		if (s->flags[i] & GF_ROW_VALID)
			last = i + 1;
	}
	relate(m);
	s->rows = last;
}

void gf_model_rows(struct gf_model *m)
{
	const struct gf_sample *s = &m->inner->sample;
	const double *cpu = s->col[GF_TF_CPUTIME];

	refresh(m);
	if (m->touched)
		descend(m);
	if (m->touched)
		show(m);
	/* Of those that are gone or stopped model_host.c takes the difference itself. */
	for (uint32_t i = 0; i < s->rows; i++) {
		m->row[i].known = s->flags[i] & GF_ROW_VALID;
		if (cpu && m->row[i].is == GF_M_LIVES)
			m->row[i].cpu_then = gf_is_unknown(cpu[i]) ? 0 : cpu[i];
	}
}
