/* SPDX-License-Identifier: MIT
 *
 * An image as text: what runs every tick, then classes and rules, each with its
 * programs under it. A program that several use is printed where it is first used.
 * Fingerprints are left out: the same policy gives the same text.
 */
#include <stdlib.h>
#include <string.h>

#include "compiler/compiler.h"
#include "compiler/image.h"
#include "grammar/ast.h"

struct dis {
	const struct gf_image_header *h;
	FILE *out;
	uint8_t *shown; /* a program: 1 when it has been printed */
};

static const char *const host_names[] = {
#define GF_HOST(id, name, ...) [GF_HF_##id] = name,
#include "gpufas/fields.def"
};
static const char *const task_names[] = {
#define GF_TASK(id, name, ...) [GF_TF_##id] = name,
#include "gpufas/fields.def"
};
static const char *const str_names[] = {
#define GF_TSTR(id, name, ...) [GF_SF_##id] = name,
#include "gpufas/fields.def"
};
static const char *const scopes[] = { "host", "task" };
static const char *const stats[] = { "rate", "delta", "avg", "max", "min", "sum" };
static const char *const truths[] = { "false", "unknown", "true" };

static const char *str(const struct dis *d, uint32_t off)
{
	return gf_image_str(d->h, off);
}

static const char *path(const struct dis *d, uint32_t i)
{
	return str(d, GF_SEC(struct gf_path, d->h, GF_SEC_PATH)[i].text);
}

static void duration(const struct dis *d, uint64_t ns)
{
	char buf[64];
	fputs(gf_value_text((double)ns, GF_DIM_TIME, buf, sizeof buf), d->out);
}

static void put_hold(const struct dis *d, uint32_t i)
{
	const struct gf_hold *h = &GF_SEC(struct gf_hold, d->h, GF_SEC_HOLD)[i];
	fprintf(d->out, "hold%u (%s, ", i, scopes[h->scope]);
	if (h->kind == GF_HOLD_TIME)
		duration(d, h->amount);
	else if (h->kind == GF_HOLD_PERIODS)
		fprintf(d->out, "%llu periods", (unsigned long long)h->amount);
	else
		fputs("latch", d->out);
	fputc(')', d->out);
}

static void put_hist(const struct dis *d, uint32_t i)
{
	const struct gf_hist *h = &GF_SEC(struct gf_hist, d->h, GF_SEC_HIST)[i];
	fprintf(d->out, "hist%u (%s, %s over ", i, scopes[h->scope], stats[h->stat]);
	duration(d, h->window_ns);
	fprintf(d->out, ", %u slots)", h->slots);
}

static void put_match(const struct dis *d, uint32_t i)
{
	const struct gf_match *m = &GF_SEC(struct gf_match, d->h, GF_SEC_MATCH)[i];
	const struct gf_dfa *a = &GF_SEC(struct gf_dfa, d->h, GF_SEC_DFA)[m->dfa];
	fprintf(d->out, "%s ~ dfa%u (%u states, %u classes)", str_names[m->field], m->dfa, a->states, a->classes);
}

static void put_end(const struct dis *d, const struct gf_insn *in)
{
	const char *sep = "";
	if (in->d & GF_END_P) {
		fprintf(d->out, "p%u", in->a);
		sep = ", ";
	}
	if (in->d & GF_END_V) {
		fprintf(d->out, "%sv%u", sep, in->b);
		sep = ", ";
	}
	if (in->d & GF_END_V2)
		fprintf(d->out, "%sv%u", sep, in->imm);
}

static void put_operands(const struct dis *d, const struct gf_insn *in)
{
	FILE *o = d->out;
	switch (gf_op_info[in->op].form) {
	case GF_FORM_END:
		put_end(d, in);
		break;
	case GF_FORM_V_F:
		fprintf(o, "v%u, %s", in->d, in->imm < GF_TF_COUNT ? task_names[in->imm] : path(d, in->imm - GF_TF_COUNT));
		break;
	case GF_FORM_V_H:
		fprintf(o, "v%u, %s", in->d, host_names[in->imm]);
		break;
	case GF_FORM_V_K:
		fprintf(o, "v%u, %.15g", in->d, GF_SEC(double, d->h, GF_SEC_CONST)[in->imm]);
		break;
	case GF_FORM_V_A:
		fprintf(o, "v%u, agg%u", in->d, in->imm);
		break;
	case GF_FORM_V_C:
		fprintf(o, "v%u, col%u", in->d, in->imm);
		break;
	case GF_FORM_P_C:
		fprintf(o, "p%u, col%u", in->d, in->imm);
		break;
	case GF_FORM_V_X:
		fprintf(o, "v%u, ", in->d);
		put_hist(d, in->imm);
		break;
	case GF_FORM_V_O:
		fprintf(o, "v%u, ", in->d);
		put_hold(d, in->imm);
		break;
	case GF_FORM_V_VV:
		fprintf(o, "v%u, v%u, v%u", in->d, in->a, in->b);
		break;
	case GF_FORM_V_V:
		fprintf(o, "v%u, v%u", in->d, in->a);
		break;
	case GF_FORM_V_P:
		fprintf(o, "v%u, p%u", in->d, in->a);
		break;
	case GF_FORM_P_VV:
		fprintf(o, "p%u, v%u, v%u", in->d, in->a, in->b);
		break;
	case GF_FORM_P_V:
		fprintf(o, "p%u, v%u", in->d, in->a);
		break;
	case GF_FORM_P_PP:
		fprintf(o, "p%u, p%u, p%u", in->d, in->a, in->b);
		break;
	case GF_FORM_P_P:
		fprintf(o, "p%u, p%u", in->d, in->a);
		break;
	case GF_FORM_P_I:
		fprintf(o, "p%u, %s", in->d, truths[in->imm]);
		break;
	case GF_FORM_P_M:
		fprintf(o, "p%u, ", in->d);
		put_match(d, in->imm);
		break;
	case GF_FORM_P_PO:
		fprintf(o, "p%u, p%u, ", in->d, in->a);
		put_hold(d, in->imm);
		break;
	case GF_FORM_P_PPO:
		fprintf(o, "p%u, p%u, p%u, ", in->d, in->a, in->b);
		put_hold(d, in->imm);
		break;
	case GF_FORM_J_P:
		fprintf(o, "p%u, %u", in->a, in->imm);
		break;
	}
}

static void put_program(const struct dis *d, uint32_t i)
{
	const struct gf_prog *p = &GF_SEC(struct gf_prog, d->h, GF_SEC_PROG)[i];
	if (d->shown[i]) {
		fprintf(d->out, " program %u (above)\n", i);
		return;
	}
	d->shown[i] = 1;
	fprintf(d->out, " program %u, %s\n", i, scopes[p->scope]);
	for (uint32_t k = 0; k < p->len; k++) {
		const struct gf_insn *in = &GF_SEC(struct gf_insn, d->h, GF_SEC_CODE)[p->code + k];
		fprintf(d->out, "    %4u  %-6s ", k, gf_op_info[in->op].mnemonic);
		put_operands(d, in);
		fputc('\n', d->out);
	}
}

static void put_sink(const struct dis *d, const struct gf_prog *p)
{
	static const char *const aggs[] = { "count", "sum", "max", "min", "any", "host" };
	static const char *const cols[] = { "value", "tree", "truth", "parent", "ancestor" };
	if (p->sink == GF_SINK_AGG)
		fprintf(d->out, "agg%u (%s%s)", p->target, aggs[GF_SEC(struct gf_agg, d->h, GF_SEC_AGG)[p->target].kind],
			GF_SEC(struct gf_agg, d->h, GF_SEC_AGG)[p->target].maybe ? ", unknown as true" : "");
	else if (p->sink == GF_SINK_COL)
		fprintf(d->out, "col%u (%s)", p->target, cols[GF_SEC(struct gf_col, d->h, GF_SEC_COL)[p->target].kind]);
	else
		put_hist(d, p->target);
}

static void put_set(const struct dis *d, const char *what, uint64_t set, const char *const *names, uint32_t n)
{
	if (!set)
		return;
	fprintf(d->out, "%s fields:", what);
	for (uint32_t i = 0; i < n; i++)
		if (set >> i & 1)
			fprintf(d->out, " %s", names[i]);
	fputc('\n', d->out);
}

static void put_notes(const struct dis *d, uint32_t first, uint32_t n)
{
	const struct gf_note *t = GF_SEC(struct gf_note, d->h, GF_SEC_NOTE);
	for (uint32_t i = first; i < first + n; i++) {
		fprintf(d->out, "    note \"%s\"", str(d, t[i].text));
		if (t[i].str)
			fprintf(d->out, " %s", str_names[t[i].str - 1]);
		if (t[i].prog != GF_NONE)
			put_program(d, t[i].prog);
		else
			fputc('\n', d->out);
	}
}

static void put_limit(const struct dis *d, const struct gf_step *s)
{
	fprintf(d->out, ", %s", gf_limit_info((enum gf_limit_kind)s->limit)->name);
	if (s->value != GF_NONE)
		fputs(" to what a program says", d->out);
	else if (s->amount < 0)
		fputs(" as it was", d->out);
	else
		fprintf(d->out, " to %.15g", s->amount);
}

/* What a step does, from its numbers and not from its text: both can be compared. */
static void put_step(const struct dis *d, const struct gf_step *s)
{
	static const char *const actions[GF_ACT_COUNT] = { "signal", "renice", "log", "notify", "run", "freeze", "thaw", "limit", "reset", "nmi",
							    "panic", "restart" };
	static const char *const picks[] = { "same", "each", "largest", "smallest", "oldest", "newest", "none" };
	static const char *const groups[] = { "one", "tree", "pgrp", "session", "cgroup", "user" };
	fprintf(d->out, "  step %s: %s", str(d, s->shown), actions[s->action]);
	if (s->action == GF_ACT_SIGNAL)
		fprintf(d->out, " %d", s->arg);
	else if (s->action == GF_ACT_RENICE)
		fprintf(d->out, " %+d", s->arg);
	fprintf(d->out, ", pick %s", picks[s->pick]);
	if (s->pick != GF_PICK_SAME && s->pick != GF_PICK_NONE)
		fprintf(d->out, " %u", s->n);
	fprintf(d->out, ", group %s", groups[s->group]);
	if (s->after_ns) {
		fputs(", after ", d->out);
		duration(d, s->after_ns);
	}
	if (s->action == GF_ACT_RUN)
		fprintf(d->out, ", %s", str(d, s->text));
	else if (s->action == GF_ACT_LIMIT)
		put_limit(d, s);
	fputc('\n', d->out);
	if (s->value != GF_NONE) {
		fputs("    to", d->out);
		put_program(d, s->value);
	}
	if (s->where != GF_NONE) {
		fputs("    where", d->out);
		put_program(d, s->where);
	}
	if (s->key != GF_NONE) {
		fprintf(d->out, "    by %s", str(d, s->key_text));
		put_program(d, s->key);
	}
	put_notes(d, s->note, s->notes);
}

static void put_clause(const struct dis *d, const char *name, uint64_t ns)
{
	if (!ns)
		return;
	fprintf(d->out, ", %s ", name);
	duration(d, ns);
}

static void put_rule(const struct dis *d, const struct gf_rule *r)
{
	fprintf(d->out, "\nrule %s", str(d, r->name));
	if (*str(d, r->title))
		fprintf(d->out, " \"%s\"", str(d, r->title));
	fprintf(d->out, ", line %u\n  if %s\n", r->line, str(d, r->text));
	fprintf(d->out, "  %s, priority %d", r->flags & GF_RULE_TASK ? "candidates" : "host", r->priority);
	put_clause(d, "cooldown", r->cooldown_ns);
	put_clause(d, "settle", r->settle_ns);
	if (r->limit_n) {
		fprintf(d->out, ", limit %u per ", r->limit_n);
		duration(d, r->limit_window_ns);
	}
	fprintf(d->out, "%s\n", r->flags & GF_RULE_OBSERVE ? ", observe" : "");
	if (r->gate != GF_NONE) {
		fputs("  gate", d->out);
		put_program(d, r->gate);
	}
	fputs("  condition", d->out);
	put_program(d, r->cond);
	if (r->close != GF_NONE) {
		fputs("  nearness", d->out);
		put_program(d, r->close);
	}
	for (uint32_t i = r->term; i < r->term + r->terms; i++) {
		const struct gf_term *t = &GF_SEC(struct gf_term, d->h, GF_SEC_TERM)[i];
		fprintf(d->out, "  term %s", str(d, t->text));
		if (t->hold != GF_NONE)
			fprintf(d->out, ", feeds hold%u", t->hold);
		fputc(',', d->out);
		put_program(d, t->prog);
	}
	for (uint32_t i = r->step; i < r->step + r->steps; i++)
		put_step(d, &GF_SEC(struct gf_step, d->h, GF_SEC_STEP)[i]);
	put_notes(d, r->note, r->notes);
}

void gf_disasm(const struct gf_image_header *image, FILE *out)
{
	static const char *const targets[] = { "host", "vm", "image", "trace" };
	static const char *const kinds[] = { "protect", "unprotect", "prefer", "avoid" };
	struct dis d = { .h = image, .out = out };
	d.shown = calloc(image->sec[GF_SEC_PROG].count + 1, 1);
	if (!d.shown) {
		fputs("out of memory\n", out);
		return;
	}
	fprintf(out, "target %s, %u rules, %u classes, %u programs (%u every tick), %u instructions\n", targets[image->target],
		image->sec[GF_SEC_RULE].count, image->sec[GF_SEC_CLASS].count, image->sec[GF_SEC_PROG].count, image->tick_progs,
		image->sec[GF_SEC_CODE].count);
	put_set(&d, "host", image->fields.host, host_names, GF_HF_COUNT);
	put_set(&d, "task", image->fields.task, task_names, GF_TF_COUNT);
	put_set(&d, "string", image->fields.str, str_names, GF_SF_COUNT);
	for (uint32_t i = 0; i < image->fields.paths; i++)
		fprintf(out, "kernel path %u: %s\n", i, path(&d, i));
	for (uint32_t i = 0; i < image->tick_progs; i++) {
		fputs("\ntick ", out);
		put_sink(&d, &GF_SEC(struct gf_prog, image, GF_SEC_PROG)[i]);
		fputc(':', out);
		put_program(&d, i);
	}
	for (uint32_t i = 0; i < image->sec[GF_SEC_CLASS].count; i++) {
		const struct gf_class *c = &GF_SEC(struct gf_class, image, GF_SEC_CLASS)[i];
		fprintf(out, "\n%s %s, line %u,", kinds[c->kind], str(&d, c->text), c->line);
		put_program(&d, c->prog);
	}
	for (uint32_t i = 0; i < image->sec[GF_SEC_RULE].count; i++)
		put_rule(&d, &GF_SEC(struct gf_rule, image, GF_SEC_RULE)[i]);
	free(d.shown);
}
