/* SPDX-License-Identifier: MIT
 *
 * Rules and classes: their programs, texts and fingerprints.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compiler/lower.h"
#include "gpufas/event.h"

const char *lw_file(const struct lower *l, struct gf_span span)
{
	return span.src < l->sema->srcs ? l->sema->src[span.src].name : "";
}

uint32_t lw_line(struct lower *l, struct gf_span span)
{
	if (span.src >= l->sema->srcs)
		return 0;
	/* Binary search: a policy may have thousands of rules. */
	const struct line_map *m = &l->lines[span.src];
	uint32_t lo = 0, hi = m->n;
	while (lo + 1 < hi) {
		uint32_t mid = lo + (hi - lo) / 2;
		if (m->start[mid] <= span.start)
			lo = mid;
		else
			hi = mid;
	}
	return lo + 1;
}

static uint32_t own_str(struct lower *l, char *s)
{
	uint32_t off = gf_emit_str(&l->out, s);
	if (!s)
		l->out.oom = true;
	free(s);
	return off;
}

static char *expr_text(const struct gf_expr *e)
{
	return e ? gf_expr_text(e) : strdup("");
}

void lw_class(struct lower *l, const struct gf_sema_class *c)
{
	uint32_t i;
	struct gf_span span = c->ast ? c->ast->span : c->cond->span;
	l->span = span;
	uint32_t prog = lw_truth_prog(l, c->cond, GF_SCOPE_TASK);
	uint32_t text = own_str(l, expr_text(c->ast ? c->ast->expr : c->cond->expr));
	uint32_t file = gf_emit_str(&l->out, lw_file(l, span)), line = lw_line(l, span);
	struct gf_class *k = gf_emit_add(&l->out, GF_SEC_CLASS, &i);
	*k = (struct gf_class){ .kind = c->kind, .prog = prog, .text = text, .file = file, .line = line };
	l->out.fp = gf_hash_mix(gf_hash_mix(l->out.fp, c->kind), c->cond->hash);
}

/* ---- terms */

static bool is_comparison(const struct gf_node *n)
{
	return n->kind >= GF_N_LT && n->kind <= GF_N_NE;
}

/* The number that n compares: with another (values 2), or between two others (1). */
static const struct gf_node *compared(const struct gf_node *n, uint8_t *ret_values, const struct gf_node **ret_right)
{
	*ret_values = 0;
	if (n->kind == GF_N_HELD && is_comparison(n->kid[0]))
		n = n->kid[0];
	if (is_comparison(n)) {
		*ret_values = 2;
		*ret_right = n->kid[1];
		return n->kid[0];
	}
	if ((n->kind == GF_N_AND || n->kind == GF_N_OR) && is_comparison(n->kid[0]) && is_comparison(n->kid[1])
	    && n->kid[0]->kid[0]->hash == n->kid[1]->kid[0]->hash) {
		*ret_values = 1;
		return n->kid[0]->kid[0];
	}
	return NULL;
}

static uint32_t term_prog(struct lower *l, const struct gf_node *n, const struct gf_node *left, const struct gf_node *right)
{
	uint64_t key = gf_hash_mix(gf_hash_mix(n->hash, 4), n->scope);
	uint32_t prog;
	if (gf_hmap_get(&l->program, key, &prog))
		return prog;
	lw_prog_begin(l);
	lw_truth(l, n, 0, 0);
	if (left)
		lw_value(l, left, 0, 1);
	if (right)
		lw_value(l, right, 1, 1);
	prog = lw_prog_end(l, n->scope, GF_END_P | (left ? GF_END_V : 0) | (right ? GF_END_V2 : 0), 0, right ? 1 : 0);
	if (prog != GF_NONE && gf_hmap_put(&l->program, key, prog) < 0)
		l->out.oom = true;
	return prog;
}

/* The string field that the leaf tests, and nothing else: + 1, or 0. */
static uint8_t string_of(const struct gf_node *n)
{
	while (n->kind == GF_N_NOT)
		n = n->kid[0];
	return n->kind == GF_N_MATCH ? (uint8_t)(n->id + 1) : 0;
}

static void add_terms(struct lower *l, const struct gf_node *n, uint32_t *count)
{
	uint32_t i;
	uint8_t values;
	bool inner = n->kind == GF_N_AND || n->kind == GF_N_OR || n->kind == GF_N_NOT;
	if (!n->term && inner) {
		add_terms(l, n->kid[0], count);
		if (n->kid[1])
			add_terms(l, n->kid[1], count);
		return;
	}
	if (!n->term || *count == GF_MAX_TERMS)
		return;
	const struct gf_node *right = NULL, *left = compared(n, &values, &right);
	uint32_t prog = term_prog(l, n, left, right);
	if (prog == GF_NONE)
		return;
	uint32_t text = own_str(l, expr_text(n->expr));
	struct gf_term *t = gf_emit_add(&l->out, GF_SEC_TERM, &i);
	t->prog = prog;
	t->text = text;
	t->values = values;
	t->scope = (uint8_t)n->scope;
	t->str = string_of(n);
	t->hold = n->kind == GF_N_HELD ? lw_hold_of(l, n) : l->rule_hold;
	if (left)
		t->dim = (uint8_t)(left->kind == GF_N_CONST && right ? right->dim : left->dim);
	else
		t->dim = t->str ? GF_DIM_STR : GF_DIM_BOOL;
	++*count;
}

/* ---- conditions */

/* Splits a top-level `and`: host-only parts, and the rest. */
struct parts {
	const struct gf_node *host[64], *task[64];
	uint32_t hosts, tasks;
	bool many;
};

static void split(const struct gf_node *n, struct parts *p)
{
	if (n->kind == GF_N_AND && !n->term) {
		split(n->kid[0], p);
		split(n->kid[1], p);
	} else if (p->hosts == 64 || p->tasks == 64) {
		p->many = true;
	} else if (n->scope == GF_SCOPE_HOST) {
		p->host[p->hosts++] = n;
	} else {
		p->task[p->tasks++] = n;
	}
}

/* P[0] = all of v, with a short cut after each. */
static void all_of(struct lower *l, const struct gf_node *const *v, uint32_t n)
{
	uint32_t jump[64], jumps = 0;
	lw_truth(l, v[0], 0, 0);
	for (uint32_t i = 1; i < n; i++) {
		jump[jumps++] = l->out.sec[GF_SEC_CODE].n;
		lw_op(l, GF_OP_JAF, 0, 0, 0, 0);
		lw_truth(l, v[i], 0, 1);
		lw_op(l, GF_OP_AND, 0, 0, 1, 0);
	}
	for (uint32_t i = 0; i < jumps && !l->too_long; i++)
		((struct gf_insn *)gf_emit_at(&l->out, GF_SEC_CODE, jump[i]))->imm = l->out.sec[GF_SEC_CODE].n - l->prog_start;
}

static uint32_t add_hold(struct lower *l, const struct gf_sema_rule *r, enum gf_hold_kind kind, uint64_t amount, uint64_t hash)
{
	uint64_t fp = gf_hash_mix(gf_hash_mix(hash, amount), kind);
	uint32_t i;
	/* By the rule's name too: equal conditions of two rules advance apart. */
	fp = lw_unique_fp(l, gf_hash_str(fp, r->ast && r->ast->name ? r->ast->name : ""));
	struct gf_hold *h = gf_emit_add(&l->out, GF_SEC_HOLD, &i);
	h->fp = fp;
	h->amount = amount;
	h->kind = (uint8_t)kind;
	h->scope = r->task ? GF_SCOPE_TASK : GF_SCOPE_HOST;
	return i;
}

static uint32_t gate_prog(struct lower *l, const struct parts *p)
{
	lw_prog_begin(l);
	all_of(l, p->host, p->hosts);
	return lw_prog_end(l, GF_SCOPE_HOST, GF_END_P, 0, 0);
}

/* Gate and condition. A gate closes at once, so there is none where the rule
 * may stay true after its condition: under `until` and under "N times within". */
static void condition(struct lower *l, const struct gf_sema_rule *r, uint32_t times, uint32_t *ret_gate, uint32_t *ret_cond)
{
	enum gf_scope scope = r->task ? GF_SCOPE_TASK : GF_SCOPE_HOST;
	uint64_t until = r->until ? r->until->hash : 0;
	struct parts p = { .many = false };
	uint32_t latch = GF_NONE;
	split(r->cond, &p);
	*ret_gate = GF_NONE;
	bool gated = scope == GF_SCOPE_TASK && p.hosts && p.tasks && !p.many && !r->until && r->hold != GF_FOR_TIMES;
	if (gated)
		*ret_gate = gate_prog(l, &p);
	l->rule_hold = GF_NONE;
	if (r->hold == GF_FOR_TIME || r->hold == GF_FOR_PERIODS)
		l->rule_hold = add_hold(l, r, r->hold == GF_FOR_TIME ? GF_HOLD_TIME : GF_HOLD_PERIODS,
					r->hold == GF_FOR_TIME ? r->hold_ns : r->hold_count, gf_hash_mix(r->cond->hash, 5));
	if (r->until)
		latch = add_hold(l, r, GF_HOLD_LATCH, 0, gf_hash_mix(gf_hash_mix(r->cond->hash, until), gf_hash_mix(r->hold_ns, r->hold_count)));
	lw_prog_begin(l);
	if (times != GF_NONE) {
		lw_op(l, GF_OP_LDX, 0, 0, 0, times);
		lw_op(l, GF_OP_LDK, 1, 0, 0, gf_emit_const(&l->out, (double)r->hold_count));
		lw_op(l, GF_OP_GE, 0, 0, 1, 0);
	} else if (gated) {
		all_of(l, p.task, p.tasks);
	} else {
		lw_truth(l, r->cond, 0, 0);
	}
	if (l->rule_hold != GF_NONE)
		lw_op(l, GF_OP_HELD, 0, 0, 0, l->rule_hold);
	if (r->until) {
		lw_truth(l, r->until, 0, 1);
		lw_op(l, GF_OP_LATCH, 0, 0, 1, latch);
	}
	*ret_cond = lw_prog_end(l, scope, GF_END_P, 0, 0);
	if (*ret_cond == GF_NONE || (gated && *ret_gate == GF_NONE))
		lw_limit(l, "E200", "split it into several rules", "this is too large for one program: at most %u instructions", GF_MAX_PROG_LEN);
}

/* V[0] = how much of N times has been seen, at most 1; V[0] on entry, the
 * condition's own nearness, counts as half a time. */
static void close_times(struct lower *l, const struct gf_sema_rule *r, uint32_t times)
{
	lw_op(l, GF_OP_LDK, 1, 0, 0, gf_emit_const(&l->out, 0.5));
	lw_op(l, GF_OP_MUL, 0, 0, 1, 0);
	lw_op(l, GF_OP_LDX, 1, 0, 0, times);
	lw_op(l, GF_OP_ADD, 0, 0, 1, 0);
	lw_op(l, GF_OP_LDK, 1, 0, 0, gf_emit_const(&l->out, (double)r->hold_count));
	lw_op(l, GF_OP_DIV, 0, 0, 1, 0);
	lw_op(l, GF_OP_LDK, 1, 0, 0, gf_emit_const(&l->out, 1));
	lw_op(l, GF_OP_MIN, 0, 0, 1, 0);
}

static uint32_t closeness(struct lower *l, const struct gf_sema_rule *r, uint32_t times)
{
	lw_prog_begin(l);
	lw_close(l, r->cond, false, 0, 0);
	if (times != GF_NONE)
		close_times(l, r, times);
	else if (l->rule_hold != GF_NONE)
		lw_close_hold(l, l->rule_hold, 0);
	return lw_prog_end(l, r->task ? GF_SCOPE_TASK : GF_SCOPE_HOST, GF_END_V, 0, 0);
}

/* ---- steps and notes */

static uint64_t hash_node(uint64_t h, const struct gf_node *n)
{
	return gf_hash_mix(h, n ? n->hash : 0);
}

/* Appends the pieces of a template; returns how many, *ret_first the first. */
static uint32_t add_notes(struct lower *l, const struct gf_sema_note *v, uint32_t n, uint32_t *ret_first, uint64_t *fp)
{
	uint32_t i;
	if (n > GF_EVENT_NOTES) {
		lw_limit(l, "E203", NULL, "a message can have at most %u fields", GF_EVENT_NOTES);
		n = 0;
	}
	*ret_first = n ? l->out.sec[GF_SEC_NOTE].n : 0;
	for (uint32_t k = 0; k < n; k++) {
		uint32_t text = gf_emit_str(&l->out, v[k].text);
		uint32_t prog = v[k].value ? lw_value_prog(l, v[k].value, v[k].value->scope) : GF_NONE;
		struct gf_note *note = gf_emit_add(&l->out, GF_SEC_NOTE, &i);
		note->text = text;
		note->prog = prog;
		note->dim = (uint8_t)(v[k].value ? v[k].value->dim : v[k].str ? GF_DIM_STR : GF_DIM_NUM);
		note->str = (uint8_t)v[k].str;
		if (v[k].str && v[k].str - 1 != GF_SF_COMM)
			l->out.fields.str |= (uint32_t)GF_BIT(v[k].str - 1);
		*fp = gf_hash_mix(hash_node(gf_hash_str(*fp, v[k].text), v[k].value), v[k].str);
	}
	return n;
}

static void group_fields(struct lower *l, uint8_t group)
{
	if (group == GF_GROUP_PGRP)
		l->out.fields.task |= GF_BIT(GF_TF_PGRP);
	else if (group == GF_GROUP_SESSION)
		l->out.fields.task |= GF_BIT(GF_TF_SESSION);
	else if (group == GF_GROUP_CGROUP)
		l->out.fields.str |= (uint32_t)GF_BIT(GF_SF_CGROUP);
}

static uint32_t default_key(struct lower *l)
{
	uint64_t key = gf_hash_str(6, "rss");
	uint32_t prog;
	if (gf_hmap_get(&l->program, key, &prog))
		return prog;
	l->out.fields.task |= GF_BIT(GF_TF_RSS);
	lw_prog_begin(l);
	lw_op(l, GF_OP_LDF, 0, 0, 0, GF_TF_RSS);
	prog = lw_prog_end(l, GF_SCOPE_TASK, GF_END_V, 0, 0);
	if (gf_hmap_put(&l->program, key, prog) < 0)
		l->out.oom = true;
	return prog;
}

static const char *step_word(const struct gf_sema_step *s)
{
	if (!s->ast)
		return "";
	return s->action == GF_ACT_NOTIFY ? s->ast->text : s->action == GF_ACT_RUN || s->action == GF_ACT_LIMIT ? s->ast->name : "";
}

static void add_step(struct lower *l, const struct gf_sema_step *s, uint64_t *fp)
{
	bool ranked = s->pick == GF_PICK_LARGEST || s->pick == GF_PICK_SMALLEST;
	const struct gf_expr *by = s->ast && s->ast->has_selector ? s->ast->sel.by : NULL;
	uint32_t i, where = GF_NONE, key = GF_NONE, value = GF_NONE, note, notes, key_text = 0;
	struct gf_span rule_span = l->span;
	uint64_t amount;
	memcpy(&amount, &s->amount, sizeof amount);
	if (s->ast)
		l->span = s->ast->span;
	group_fields(l, s->group);
	if (s->where)
		where = lw_truth_prog(l, s->where, GF_SCOPE_TASK);
	if (ranked) {
		key = s->key ? lw_value_prog(l, s->key, GF_SCOPE_TASK) : default_key(l);
		key_text = by ? own_str(l, gf_expr_text(by)) : gf_emit_str(&l->out, "rss");
	}
	if (s->value)
		value = lw_value_prog(l, s->value, s->value->scope);
	*fp = gf_hash_mix(gf_hash_mix(gf_hash_mix(*fp, s->action), gf_hash_mix(s->pick, s->group)), gf_hash_mix((uint64_t)s->arg, s->n));
	*fp = gf_hash_mix(hash_node(hash_node(*fp, s->where), s->key), s->after_ns);
	*fp = gf_hash_str(hash_node(gf_hash_mix(*fp, amount), s->value), step_word(s));
	notes = add_notes(l, s->note, s->notes, &note, fp);
	uint32_t text = gf_emit_str(&l->out, step_word(s));
	uint32_t shown = s->ast ? own_str(l, gf_step_text(s->ast)) : 0;
	struct gf_step *t = gf_emit_add(&l->out, GF_SEC_STEP, &i);
	*t = (struct gf_step){
		.action = s->action, .pick = s->pick, .group = s->group, .limit = s->limit, .value = value, .arg = s->arg, .n = s->n ? s->n : 1, .where = where, .key = key,
		.text = text, .after_ns = s->after_ns, .amount = s->action == GF_ACT_LIMIT ? s->amount : 0, .note = note, .notes = notes, .shown = shown,
		.key_text = key_text, .key_dim = (uint8_t)(ranked ? s->key ? s->key->dim : GF_DIM_BYTES : GF_DIM_NUM),
	};
	l->span = rule_span;
}

/* ---- the rule */

/* "mem.available < 5% for 2s until mem.available > 10%". */
static uint32_t rule_text(struct lower *l, const struct gf_sema_rule *r)
{
	char *text = NULL, *cond, *until = NULL;
	size_t n;
	if (!r->ast)
		return 0;
	FILE *f = open_memstream(&text, &n);
	cond = expr_text(r->ast->expr);
	if (r->ast->until)
		until = gf_expr_text(r->ast->until);
	if (!f || !cond || (r->ast->until && !until)) {
		l->out.oom = true;
	} else {
		const char *d = r->ast->hold.text ? r->ast->hold.text : "";
		fputs(cond, f);
		if (r->hold == GF_FOR_TIME)
			fprintf(f, " for %s", d);
		else if (r->hold == GF_FOR_PERIODS)
			fprintf(f, " for %llu periods", (unsigned long long)r->hold_count);
		else if (r->hold == GF_FOR_TIMES)
			fprintf(f, " %llu times within %s", (unsigned long long)r->hold_count, d);
		if (until)
			fprintf(f, " until %s", until);
	}
	free(cond);
	free(until);
	if (f && fclose(f) != 0)
		l->out.oom = true;
	return own_str(l, text);
}

static uint32_t rule_name(struct lower *l, const struct gf_sema_rule *r, const char *file, uint32_t line)
{
	char buf[300];
	const char *slash = strrchr(file, '/');
	if (r->ast ? r->ast->name != NULL : r->name != NULL)
		return gf_emit_str(&l->out, r->ast ? r->ast->name : r->name);
	snprintf(buf, sizeof buf, "%.250s:%u", slash ? slash + 1 : file, line);
	return gf_emit_str(&l->out, buf);
}

static uint64_t clauses_fp(const struct gf_sema_rule *r)
{
	uint64_t fp = gf_hash_str(7, r->ast ? r->ast->name : r->name);
	fp = gf_hash_mix(hash_node(hash_node(gf_hash_str(fp, r->title), r->cond), r->until), r->hold);
	fp = gf_hash_mix(gf_hash_mix(gf_hash_mix(fp, r->hold_ns), r->hold_count), (uint64_t)r->priority);
	fp = gf_hash_mix(gf_hash_mix(gf_hash_mix(fp, r->cooldown_ns), r->settle_ns), r->limit_ns);
	return gf_hash_mix(gf_hash_mix(fp, r->limit_n), r->observe);
}

void lw_rule(struct lower *l, const struct gf_sema_rule *r)
{
	struct gf_span span = r->ast ? r->ast->span : r->cond->span;
	const char *file = lw_file(l, span);
	uint64_t fp = clauses_fp(r);
	uint32_t times = GF_NONE, i;
	struct gf_rule t = { .priority = r->priority, .cooldown_ns = r->cooldown_ns, .settle_ns = r->settle_ns,
			     .limit_window_ns = r->limit_ns, .limit_n = r->limit_n };
	l->span = span;
	t.flags = (r->observe ? GF_RULE_OBSERVE : 0u) | (r->task ? GF_RULE_TASK : 0u);
	t.line = lw_line(l, span);
	t.file = gf_emit_str(&l->out, file);
	t.name = rule_name(l, r, file, t.line);
	t.title = gf_emit_str(&l->out, r->title);
	t.text = rule_text(l, r);
	if (r->hold == GF_FOR_TIMES)
		times = lw_times(l, r->cond, r->hold_ns, r->task ? GF_SCOPE_TASK : GF_SCOPE_HOST);
	condition(l, r, times, &t.gate, &t.cond);
	t.close = closeness(l, r, times);
	t.term = l->out.sec[GF_SEC_TERM].n;
	add_terms(l, r->cond, &t.terms);
	if (!t.terms)
		t.term = 0;
	t.step = l->out.sec[GF_SEC_STEP].n;
	t.steps = r->steps;
	if (r->steps > GF_MAX_STEPS)
		lw_limit(l, "E204", NULL, "a rule can have at most %u steps", GF_MAX_STEPS);
	for (uint32_t k = 0; k < r->steps; k++)
		add_step(l, &r->step[k], &fp);
	t.notes = add_notes(l, r->note, r->notes, &t.note, &fp);
	t.fp = lw_unique_fp(l, fp);
	l->out.fp = gf_hash_mix(l->out.fp, t.fp);
	struct gf_rule *at = gf_emit_add(&l->out, GF_SEC_RULE, &i);
	*at = t;
}
