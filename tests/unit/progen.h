/* SPDX-License-Identifier: MIT
 *
 * Random images that the verifier passes: programs of the tick with every kind of
 * sink, holds, latches, histories, automata, classes, rules with steps and terms.
 * What it makes depends on the seed only, so that a failure can be run again and
 * two engines can be given the same.
 */
#ifndef TESTS_UNIT_PROGEN_H
#define TESTS_UNIT_PROGEN_H

#include "tests/unit/kit.h"

struct progen {
	struct kit k;
	uint64_t rng;
	uint32_t v_def, p_def; /* registers written in the program at hand */
	uint32_t keep_p;       /* bit a register that may not be written now */
	uint32_t scope;
	uint32_t vcols[8], vcol_n, pcols[8], pcol_n, aggs, hists_host, matches, holds;
	uint32_t hist_task[8], hist_task_n, hist_host[8], hist_host_n;
	int jumps;
	int share;             /* set before: programs also read holds that others advance */
	uint32_t shared[2][16], shared_n[2]; /* by scope */
	int windows;           /* also histories and what is read from holds */
};

KIT uint32_t rnd(struct progen *g, uint32_t n)
{
	g->rng ^= g->rng << 13;
	g->rng ^= g->rng >> 7;
	g->rng ^= g->rng << 17;
	return (uint32_t)((g->rng >> 11) % n);
}

KIT double rnd_value(struct progen *g)
{
	static const double odd[] = { 0, -0.0, 1, -1, 1e308, -1e308, 5e-324, 0.1, 3, 50 };

	switch (rnd(g, 4)) {
	case 0:
		return odd[rnd(g, 10)];
	case 1:
		return gf_unknown();
	default:
		return (double)rnd(g, 100) - 20;
	}
}

KIT uint32_t any_bit(struct progen *g, uint32_t set)
{
	uint32_t b;

	do
		b = rnd(g, 16);
	while (!(set >> b & 1));
	return b;
}

/* Gives a V register a value from somewhere. */
KIT void gen_load(struct progen *g)
{
	struct kit *k = &g->k;
	uint32_t d = rnd(g, 16), task = g->scope == GF_SCOPE_TASK;

	switch (rnd(g, 6)) {
	case 0:
		ldh(k, d, rnd(g, 8));
		break;
	case 1:
		if (!g->aggs)
			return;
		op(k, GF_OP_LDA, d, 0, 0, rnd(g, g->aggs));
		break;
	case 2:
		if (!task || !g->vcol_n)
			return;
		op(k, GF_OP_LDC, d, 0, 0, g->vcols[rnd(g, g->vcol_n)]);
		break;
	case 3:
		if (!g->windows)
			return;
		if (g->share && rnd(g, 2)) {
			uint32_t sc = task ? rnd(g, 2) : (uint32_t)GF_SCOPE_HOST;
			if (!g->shared_n[sc])
				return;
			op(k, GF_OP_CHELD, d, 0, 0, g->shared[sc][rnd(g, g->shared_n[sc])]);
			break;
		}
		if (task && g->hist_task_n && rnd(g, 2))
			op(k, GF_OP_LDX, d, 0, 0, g->hist_task[rnd(g, g->hist_task_n)]);
		else if (g->hist_host_n)
			op(k, GF_OP_LDX, d, 0, 0, g->hist_host[rnd(g, g->hist_host_n)]);
		else
			return;
		break;
	case 4:
		if (task) {
			if (rnd(g, 4))
				ldf(k, d, rnd(g, 8));
			else
				ldp(k, d, rnd(g, 4));
			break;
		}
		/* fall through */
	default:
		ldk(k, d, rnd_value(g));
		break;
	}
	g->v_def |= 1u << d;
}

KIT uint32_t free_p(struct progen *g)
{
	return any_bit(g, 0xffff & ~g->keep_p);
}

/* One instruction that computes. */
KIT void gen_op(struct progen *g)
{
	static const uint8_t num[] = { GF_OP_ADD, GF_OP_SUB, GF_OP_MUL, GF_OP_DIV, GF_OP_MIN, GF_OP_MAX, GF_OP_CGT,
				       GF_OP_CLT, GF_OP_CEQ, GF_OP_NEG };
	static const uint8_t cmp[] = { GF_OP_LT, GF_OP_LE, GF_OP_GT, GF_OP_GE, GF_OP_EQ, GF_OP_NE, GF_OP_KNOWN };
	struct kit *k = &g->k;
	uint32_t d, o;

	switch (rnd(g, 6)) {
	case 0:
		gen_load(g);
		break;
	case 1:
		o = num[rnd(g, sizeof num)];
		d = rnd(g, 16);
		op(k, o, d, any_bit(g, g->v_def), o == GF_OP_NEG ? 0 : any_bit(g, g->v_def), 0);
		g->v_def |= 1u << d;
		break;
	case 2:
		o = cmp[rnd(g, sizeof cmp)];
		d = free_p(g);
		op(k, o, d, any_bit(g, g->v_def), o == GF_OP_KNOWN ? 0 : any_bit(g, g->v_def), 0);
		g->p_def |= 1u << d;
		break;
	case 3:
		o = rnd(g, 3);
		d = free_p(g);
		op(k, o == 0 ? GF_OP_AND : o == 1 ? GF_OP_OR : GF_OP_NOT, d, any_bit(g, g->p_def),
		   o == 2 ? 0 : any_bit(g, g->p_def), 0);
		g->p_def |= 1u << d;
		break;
	case 4:
		d = free_p(g);
		if (g->scope == GF_SCOPE_TASK && g->matches && rnd(g, 2))
			op(k, GF_OP_MATCH, d, 0, 0, rnd(g, g->matches));
		else if (g->scope == GF_SCOPE_TASK && g->pcol_n)
			op(k, GF_OP_LDP, d, 0, 0, g->pcols[rnd(g, g->pcol_n)]);
		else
			op(k, GF_OP_PSET, d, 0, 0, rnd(g, 3));
		g->p_def |= 1u << d;
		break;
	default:
		d = rnd(g, 16);
		op(k, rnd(g, 2) ? GF_OP_PV : GF_OP_CPV, d, any_bit(g, g->p_def), 0, 0);
		g->v_def |= 1u << d;
		break;
	}
}

/* A short cut: p and (something computed only where p may matter). */
KIT void gen_jump(struct progen *g)
{
	uint32_t p = any_bit(g, g->p_def), v0 = g->v_def, p0 = g->p_def, keep = g->keep_p;
	uint32_t at = g->k.len, jaf = rnd(g, 2), n = 1 + rnd(g, 5), wrote_v = 0, wrote_p = 0;

	op(&g->k, jaf ? GF_OP_JAF : GF_OP_JAT, 0, p, 0, 0);
	g->keep_p |= 1u << p;
	while (n--)
		gen_op(g);
	op(&g->k, jaf ? GF_OP_AND : GF_OP_OR, p, p, any_bit(g, g->p_def), 0);
	for (uint32_t i = at + 1; i < g->k.len - 1; i++) {
		const struct gf_insn *in = &g->k.code[i];
		int to_p = (in->op >= GF_OP_LT && in->op <= GF_OP_LATCH);

		if (to_p)
			wrote_p |= 1u << in->d;
		else
			wrote_v |= 1u << in->d;
	}
	g->k.code[at].imm = g->k.len;
	g->v_def = v0 & ~wrote_v;
	g->p_def = p0 & ~wrote_p;
	g->keep_p = keep;
	/* Never be left without a register to read. */
	ldk(&g->k, 0, 1);
	g->v_def |= 1;
}

KIT void gen_hold(struct progen *g)
{
	struct kit *k = &g->k;
	uint32_t kind = rnd(g, 3), d = rnd(g, 16), h, a = any_bit(g, g->p_def), b = any_bit(g, g->p_def);
	uint64_t amount = kind == GF_HOLD_TIME ? (1 + rnd(g, 8)) * 50 * MS : kind == GF_HOLD_PERIODS ? 1 + rnd(g, 5) : 0;

	h = hold(k, g->scope, kind, amount);
	if (g->shared_n[g->scope] < 16)
		g->shared[g->scope][g->shared_n[g->scope]++] = h;
	if (kind == GF_HOLD_LATCH)
		op(k, GF_OP_LATCH, d, a, b, h);
	else
		op(k, GF_OP_HELD, d, a, 0, h);
	g->p_def |= 1u << d;
	g->holds++;
}

/* A program with these results; holds may be advanced in it or not. */
KIT uint32_t gen_prog(struct progen *g, uint32_t scope, uint32_t results, int holds)
{
	uint32_t n = 2 + rnd(g, 12);

	g->scope = scope;
	g->v_def = g->p_def = g->keep_p = 0;
	ldk(&g->k, 0, rnd_value(g));
	op(&g->k, GF_OP_PSET, 0, 0, 0, rnd(g, 3));
	g->v_def = g->p_def = 1;
	for (uint32_t i = 0; i < 4; i++)
		gen_load(g);
	while (n--) {
		if (g->jumps && !rnd(g, 5))
			gen_jump(g);
		else if (holds && !rnd(g, 6))
			gen_hold(g);
		else
			gen_op(g);
	}
	return prog(&g->k, scope, results, results & 1 ? any_bit(g, g->p_def) : 0, results & 2 ? any_bit(g, g->v_def) : 0,
		    results & 4 ? any_bit(g, g->v_def) : 0);
}

KIT void gen_dfa(struct progen *g)
{
	struct kit *k = &g->k;
	uint32_t n, states = 1 + rnd(g, 6), classes = 1 + rnd(g, 4), c_off, t_off, a_off;
	struct gf_dfa *d;
	struct gf_match *m;
	uint8_t *p;

	p = gf_emit_bytes(&k->e, GF_SEC_DFADATA, 256, 2, &c_off);
	for (uint32_t i = 0; i < 256; i++)
		p[i] = (uint8_t)rnd(g, classes);
	p = gf_emit_bytes(&k->e, GF_SEC_DFADATA, 2 * states * classes, 2, &t_off);
	for (uint32_t i = 0; i < states * classes; i++)
		((uint16_t *)(void *)p)[i] = (uint16_t)rnd(g, states);
	p = gf_emit_bytes(&k->e, GF_SEC_DFADATA, states, 2, &a_off);
	for (uint32_t i = 0; i < states; i++)
		p[i] = (uint8_t)rnd(g, 2);
	d = gf_emit_add(&k->e, GF_SEC_DFA, &n);
	d->classes_off = c_off;
	d->trans_off = t_off;
	d->accept_off = a_off;
	d->states = (uint16_t)states;
	d->classes = (uint16_t)classes;
	m = gf_emit_add(&k->e, GF_SEC_MATCH, &g->matches);
	m->dfa = n;
	m->field = rnd(g, GF_SF_COUNT);
	k->e.fields.str |= (uint32_t)GF_BIT(m->field);
	g->matches++;
}

/* One program of the tick and what it feeds. */
KIT void gen_tick_prog(struct progen *g)
{
	uint32_t n, kind, p;

	switch (rnd(g, g->windows ? 4 : 3)) {
	case 0:
		kind = rnd(g, 5);
		p = gen_prog(g, GF_SCOPE_TASK, kind == GF_AGG_COUNT || kind == GF_AGG_ANY ? 1 : 3, 1);
		n = agg(&g->k, kind);
		((struct gf_agg *)gf_emit_at(&g->k.e, GF_SEC_AGG, n))->maybe = kind < GF_AGG_ANY && rnd(g, 2);
		sink(&g->k, p, GF_SINK_AGG, n);
		g->aggs = n + 1;
		break;
	case 1:
		kind = g->windows ? rnd(g, 2) : 0;
		p = gen_prog(g, GF_SCOPE_TASK, 2, 0);
		n = col(&g->k, kind ? GF_COL_TREE : GF_COL_VALUE);
		sink(&g->k, p, GF_SINK_COL, n);
		if (g->vcol_n < 8)
			g->vcols[g->vcol_n++] = n;
		break;
	case 2:
		kind = g->windows ? rnd(g, 3) : 0;
		p = gen_prog(g, GF_SCOPE_TASK, 1, 1);
		n = col(&g->k, GF_COL_PRED + kind);
		sink(&g->k, p, GF_SINK_COL, n);
		if (g->pcol_n < 8)
			g->pcols[g->pcol_n++] = n;
		break;
	default:
		kind = rnd(g, 2);
		p = gen_prog(g, kind ? GF_SCOPE_TASK : GF_SCOPE_HOST, 2, 0);
		n = hist(&g->k, kind ? GF_SCOPE_TASK : GF_SCOPE_HOST, rnd(g, 6), (1 + rnd(g, 20)) * 100 * MS, 2 + rnd(g, 20));
		sink(&g->k, p, GF_SINK_HIST, n);
		if (kind && g->hist_task_n < 8)
			g->hist_task[g->hist_task_n++] = n;
		else if (!kind && g->hist_host_n < 8)
			g->hist_host[g->hist_host_n++] = n;
		break;
	}
}

/* limit to a fixed amount or to what a program says, restore, or thaw. */
KIT void gen_limit(struct progen *g, struct gf_step *s, uint32_t number)
{
	uint32_t how = rnd(g, 4);

	s->action = (uint8_t)(how == 3 ? GF_ACT_THAW : GF_ACT_LIMIT);
	s->arg = 0;
	if (how == 3)
		return;
	s->limit = (uint8_t)(1 + rnd(g, GF_LIMIT_COUNT - 1));
	if (how == 2)
		s->value = number;
	else
		s->amount = how ? -1.0 : (double)rnd(g, 1000);
}

/* Pieces of a template: numbers of a task or the host, strings, text alone. */
KIT uint32_t gen_notes(struct progen *g, uint32_t *ret_n)
{
	static const uint8_t str[] = { GF_SF_COMM, GF_SF_CGROUP };
	uint32_t n = rnd(g, 3) ? rnd(g, 4) : rnd(g, GF_EVENT_NOTES + 1), prog[GF_EVENT_NOTES], first = g->k.e.sec[GF_SEC_NOTE].n, at;

	for (uint32_t i = 0; i < n; i++)
		prog[i] = rnd(g, 2) ? gen_prog(g, rnd(g, 2) ? GF_SCOPE_TASK : GF_SCOPE_HOST, 2, 0) : GF_NONE;
	for (uint32_t i = 0; i < n; i++) {
		struct gf_note *t = gf_emit_add(&g->k.e, GF_SEC_NOTE, &at);
		t->prog = prog[i];
		t->str = (uint8_t)(prog[i] == GF_NONE && rnd(g, 4) ? str[rnd(g, 2)] + 1 : 0);
	}
	*ret_n = n;
	return first;
}

KIT void gen_rule(struct progen *g)
{
	static const uint8_t gives[] = { 1, 3, 7 };
	struct kit *k = &g->k;
	uint32_t task = rnd(g, 3) != 0, steps = 1 + rnd(g, 3), cond, gate = GF_NONE, close = GF_NONE, first, n, progs[3][2];
	uint32_t terms = rnd(g, 6) ? rnd(g, 3) : rnd(g, GF_EVENT_TERMS + 1), term_prog[GF_EVENT_TERMS];
	uint8_t values[GF_EVENT_TERMS], scope[GF_EVENT_TERMS];
	uint32_t note[4], notes[4], own;
	struct gf_rule *r;

	cond = gen_prog(g, task ? GF_SCOPE_TASK : GF_SCOPE_HOST, 1, 1);
	if (!rnd(g, 3))
		gate = gen_prog(g, GF_SCOPE_HOST, 1, 0);
	if (rnd(g, 2))
		close = gen_prog(g, task ? GF_SCOPE_TASK : GF_SCOPE_HOST, 2, 0);
	for (uint32_t i = 0; i < steps; i++) {
		progs[i][0] = gen_prog(g, GF_SCOPE_TASK, 1, 0);
		progs[i][1] = gen_prog(g, GF_SCOPE_TASK, 2, 0);
	}
	for (uint32_t i = 0; i < terms; i++) {
		values[i] = (uint8_t)rnd(g, 3);
		scope[i] = task && rnd(g, 2) ? GF_SCOPE_TASK : GF_SCOPE_HOST;
		term_prog[i] = gen_prog(g, scope[i], gives[values[i]], 0);
	}
	for (uint32_t i = 0; i <= steps; i++)
		note[i] = gen_notes(g, &notes[i]);
	own = rnd(g, 2);
	r = rule(k, task ? GF_RULE_TASK : 0, cond);
	r->gate = gate;
	r->close = close;
	r->cooldown_ns = rnd(g, 3) * S;
	r->settle_ns = rnd(g, 3) * S;
	r->limit_n = rnd(g, 4);
	r->limit_window_ns = S;
	first = k->e.sec[GF_SEC_TERM].n;
	for (uint32_t i = 0; i < terms; i++) {
		struct gf_term *t = gf_emit_add(&k->e, GF_SEC_TERM, &n);
		t->prog = term_prog[i];
		t->values = values[i];
		t->scope = scope[i];
		t->hold = GF_NONE;
	}
	r->term = first;
	r->terms = terms;
	r->note = note[steps];
	r->notes = notes[steps];
	for (uint32_t i = 0; i < steps; i++) {
		struct gf_step *s = step(k, r, GF_ACT_SIGNAL, 9, i ? rnd(g, 7) : 1 + rnd(g, 6), rnd(g, 3) * 100 * MS);
		s->n = 1 + rnd(g, 40);
		s->note = note[i];
		s->notes = own ? notes[i] : 0;
		s->group = (uint8_t)rnd(g, 6);
		s->where = rnd(g, 2) ? progs[i][0] : GF_NONE;
		if (s->pick == GF_PICK_LARGEST || s->pick == GF_PICK_SMALLEST)
			s->key = progs[i][1];
		if (!rnd(g, 4))
			gen_limit(g, s, progs[i][1]);
	}
	k->e.fields.task |= GF_BIT(GF_TF_PGRP) | GF_BIT(GF_TF_SESSION);
	k->e.fields.str |= (uint32_t)GF_BIT(GF_SF_CGROUP);
}

/* An image from a seed. windows: with histories, trees, classes and all; without,
 * only what the tests' reference evaluates. */
KIT struct gf_image_header *progen_image(struct progen *g, uint64_t seed, int windows, struct gf_err *err)
{
	uint32_t n;
	int share = g->share;

	memset(g, 0, sizeof *g);
	g->share = share;
	kit_init(&g->k);
	g->k.e.target = GF_TARGET_VM;
	g->rng = seed * 0x9e3779b97f4a7c15ull + 1;
	g->windows = windows;
	g->jumps = 1;
	for (n = rnd(g, 4); n; n--)
		gen_dfa(g);
	for (n = 1 + rnd(g, 6); n; n--)
		gen_tick_prog(g);
	for (n = windows ? rnd(g, 4) : 0; n; n--) {
		uint32_t kind = rnd(g, 4);
		class(&g->k, kind, gen_prog(g, GF_SCOPE_TASK, 1, 0));
	}
	for (n = 1 + rnd(g, 4); n; n--)
		gen_rule(g);
	return kit_image(&g->k, err);
}

/* Changes the table as time does: tasks come, go, are torn; values move. */
KIT void progen_table(struct progen *g, struct fake *f)
{
	static const char *words[] = { "", "a", "sshd", "/system.slice/x.service", "\xff\x80 b", "/" };
	struct gf_sample *s = &f->t.sample;
	static uint32_t ver = 1;

	for (uint32_t row = 0; row < s->cap; row++) {
		if (!rnd(g, 8)) {
			if (s->flags[row])
				fake_gone(f, row);
			else
				fake_task(f, row);
		}
		if (!(s->flags[row] & GF_ROW_VALID))
			continue;
		s->flags[row] = GF_ROW_VALID;
		if (!rnd(g, 10))
			s->flags[row] = (uint8_t)(GF_ROW_VALID | (2u << rnd(g, 6)));
		if (!rnd(g, 4))
			s->parent[row] = rnd(g, 3) ? rnd(g, s->cap + 40) : GF_NONE;
		for (uint32_t c = 0; c < GF_COLS; c++)
			if (s->col[c] && rnd(g, 2))
				s->col[c][row] = rnd_value(g);
		for (uint32_t c = 0; c < GF_SF_COUNT; c++) {
			if (!s->str[c] || rnd(g, 3))
				continue;
			s->str[c][row].p = words[rnd(g, 6)];
			s->str[c][row].len = (uint32_t)strlen(s->str[c][row].p);
			s->str[c][row].ver = rnd(g, 4) ? ++ver : 0;
		}
	}
	for (uint32_t c = 0; c < 8; c++)
		s->host[c] = rnd_value(g);
}

#endif
