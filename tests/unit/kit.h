/* SPDX-License-Identifier: MIT
 *
 * For tests of the engine: a target whose table the test fills in, and a few
 * words to write images with.
 */
#ifndef TESTS_UNIT_KIT_H
#define TESTS_UNIT_KIT_H

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "compiler/compiler.h"
#include "compiler/emit.h"
#include "gpufas/event.h"
#include "targets/target.h"

#define KIT __attribute__((unused)) static
#define MS 1000000ull
#define S 1000000000ull

/* ---- a target -------------------------------------------------------------- */

struct fake {
	struct gf_target t; /* first */
	uint64_t step_ns;   /* what each sample adds to now_ns */
	int fail;           /* samples fail with this errno */
	int fail_fields;
	int fail_paths;
	unsigned sampled, fields_set, paths_set;
	struct gf_fieldset fields;
	char path[GF_MAX_PATHS][GF_PATH_TEXT]; /* as set last */
	size_t paths;
	uint64_t slow_ns;   /* what a sample takes */
};

KIT int fake_sample(struct gf_target *t, struct gf_err *err)
{
	struct fake *f = (struct fake *)t;

	f->sampled++;
	if (f->fail)
		return gf_err_set(err, f->fail, "the fake target fails");
	t->sample.now_ns += f->step_ns;
	t->sample.seq++;
	return 0;
}

KIT int fake_set_fields(struct gf_target *t, const struct gf_fieldset *set, struct gf_err *err)
{
	struct fake *f = (struct fake *)t;
	struct gf_sample *s = &t->sample;

	f->fields_set++;
	if (f->fail_fields)
		return gf_err_set(err, EIO, "the fake target has no such fields");
	f->fields = *set;
	for (uint32_t k = 0; k < GF_COLS; k++)
		if ((k < GF_TF_COUNT ? set->task >> k & 1 : k - GF_TF_COUNT < set->paths) && !s->col[k])
			s->col[k] = calloc(s->cap, sizeof(double));
	for (uint32_t k = 0; k < GF_SF_COUNT; k++)
		if ((set->str & GF_BIT(k)) && !s->str[k])
			s->str[k] = calloc(s->cap, sizeof(struct gf_strref));
	return 0;
}

KIT int fake_set_paths(struct gf_target *t, const char *const *path, size_t n, struct gf_err *err)
{
	struct fake *f = (struct fake *)t;

	f->paths_set++;
	if (f->fail_paths)
		return gf_err_set(err, EIO, "the fake target has no such paths");
	f->paths = n;
	for (size_t k = 0; k < n; k++)
		snprintf(f->path[k], sizeof f->path[k], "%s", path[k]);
	return 0;
}

KIT void fake_destroy(struct gf_target *t)
{
	struct gf_sample *s = &t->sample;

	free(s->flags);
	free(s->gen);
	free(s->pid);
	free(s->start_ns);
	free(s->parent);
	free(s->comm);
	free(s->uid);
	for (uint32_t k = 0; k < GF_COLS; k++)
		free(s->col[k]);
	for (uint32_t k = 0; k < GF_SF_COUNT; k++)
		free(s->str[k]);
	free(t);
}

KIT struct fake *fake_new(uint32_t cap)
{
	static const struct gf_target_ops ops = {
		.kind = "fake", .sample = fake_sample, .set_fields = fake_set_fields, .destroy = fake_destroy,
		.set_paths = fake_set_paths,
	};
	struct fake *f = calloc(1, sizeof *f);
	struct gf_sample *s = &f->t.sample;

	f->t.ops = &ops;
	f->step_ns = 100 * MS;
	strcpy(f->t.name, "fake");
	s->cap = cap;
	s->now_ns = 1000 * S;
	s->flags = calloc(cap, 1);
	s->gen = calloc(cap, sizeof *s->gen);
	s->pid = calloc(cap, sizeof *s->pid);
	s->start_ns = calloc(cap, sizeof *s->start_ns);
	s->parent = calloc(cap, sizeof *s->parent);
	s->comm = calloc(cap, sizeof *s->comm);
	s->uid = calloc(cap, sizeof *s->uid);
	for (uint32_t k = 0; k < GF_HF_COUNT; k++)
		s->host[k] = gf_unknown();
	return f;
}

/* A task in a row: pid 100 + row, started at row seconds, no parent. */
KIT void fake_task(struct fake *f, uint32_t row)
{
	struct gf_sample *s = &f->t.sample;

	s->flags[row] = GF_ROW_VALID;
	s->gen[row]++;
	s->pid[row] = 100 + (int32_t)row;
	s->start_ns[row] = (row + 1) * S;
	s->parent[row] = GF_NONE;
	s->uid[row] = 1000;
	snprintf(s->comm[row], GF_COMM_LEN, "task%u", row);
	if (s->rows <= row)
		s->rows = row + 1;
	s->live++;
}

KIT void fake_gone(struct fake *f, uint32_t row)
{
	f->t.sample.flags[row] = 0;
	f->t.sample.live--;
}

/* ---- an image -------------------------------------------------------------- */

struct kit {
	struct gf_emit e;
	struct gf_insn code[GF_MAX_PROG_LEN];
	uint32_t len;
	uint64_t next_fp;
};

KIT void kit_init(struct kit *k)
{
	memset(k, 0, sizeof *k);
	gf_emit_init(&k->e);
	k->e.fp = 0x1234;
	k->next_fp = 1;
}

KIT void op(struct kit *k, uint32_t o, uint32_t d, uint32_t a, uint32_t b, uint32_t imm)
{
	struct gf_insn *in = &k->code[k->len++];

	in->op = (uint8_t)o;
	in->d = (uint8_t)d;
	in->a = (uint8_t)a;
	in->b = (uint8_t)b;
	in->imm = imm;
}

KIT void ldf(struct kit *k, uint32_t d, uint32_t field)
{
	k->e.fields.task |= GF_BIT(field);
	op(k, GF_OP_LDF, d, 0, 0, field);
}

/* A kernel path's value; its number grows with each new one. The image's target must have kernel memory. */
KIT void ldp(struct kit *k, uint32_t d, uint32_t number)
{
	uint32_t n;

	while (k->e.fields.paths <= number) {
		char text[64];
		snprintf(text, sizeof text, "task->mm->member_%u[%u]", k->e.fields.paths, number);
		uint32_t off = gf_emit_str(&k->e, text);
		((struct gf_path *)gf_emit_add(&k->e, GF_SEC_PATH, &n))->text = off;
		k->e.fields.paths++;
	}
	op(k, GF_OP_LDF, d, 0, 0, GF_TF_COUNT + number);
}

KIT void ldh(struct kit *k, uint32_t d, uint32_t field)
{
	k->e.fields.host |= GF_BIT(field);
	op(k, GF_OP_LDH, d, 0, 0, field);
}

KIT void ldk(struct kit *k, uint32_t d, double v)
{
	op(k, GF_OP_LDK, d, 0, 0, gf_emit_const(&k->e, v));
}

/* Ends the program being written; results as END's d. */
KIT uint32_t prog(struct kit *k, uint32_t scope, uint32_t results, uint32_t p, uint32_t v, uint32_t v2)
{
	uint32_t i, at = 0, n;
	struct gf_prog *pr = gf_emit_add(&k->e, GF_SEC_PROG, &n);

	op(k, GF_OP_END, results, p, v, v2);
	pr->len = k->len;
	pr->scope = (uint8_t)scope;
	for (i = 0; i < k->len; i++) {
		uint32_t x;
		struct gf_insn *in = gf_emit_add(&k->e, GF_SEC_CODE, &x);
		*in = k->code[i];
		if (!i)
			at = x;
	}
	((struct gf_prog *)gf_emit_at(&k->e, GF_SEC_PROG, n))->code = at;
	k->len = 0;
	return n;
}

/* Gives the last program a sink; call for programs of the tick, first of all. */
KIT void sink(struct kit *k, uint32_t pr, uint32_t kind, uint32_t target)
{
	struct gf_prog *p = gf_emit_at(&k->e, GF_SEC_PROG, pr);

	p->sink = (uint8_t)kind;
	p->target = target;
	k->e.tick_progs = pr + 1;
}

KIT uint32_t agg(struct kit *k, uint32_t kind)
{
	uint32_t n;
	struct gf_agg *a = gf_emit_add(&k->e, GF_SEC_AGG, &n);

	a->kind = (uint8_t)kind;
	return n;
}

KIT uint32_t col(struct kit *k, uint32_t kind)
{
	uint32_t n;
	struct gf_col *c = gf_emit_add(&k->e, GF_SEC_COL, &n);

	c->kind = (uint8_t)kind;
	return n;
}

KIT uint32_t hist(struct kit *k, uint32_t scope, uint32_t stat, uint64_t window, uint32_t slots)
{
	uint32_t n;
	struct gf_hist *h = gf_emit_add(&k->e, GF_SEC_HIST, &n);

	h->fp = k->next_fp++;
	h->window_ns = window;
	h->scope = (uint8_t)scope;
	h->stat = (uint8_t)stat;
	h->slots = (uint16_t)slots;
	return n;
}

KIT uint32_t hold(struct kit *k, uint32_t scope, uint32_t kind, uint64_t amount)
{
	uint32_t n;
	struct gf_hold *h = gf_emit_add(&k->e, GF_SEC_HOLD, &n);

	h->fp = k->next_fp++;
	h->amount = amount;
	h->scope = (uint8_t)scope;
	h->kind = (uint8_t)kind;
	return n;
}

KIT void class(struct kit *k, uint32_t kind, uint32_t pr)
{
	uint32_t n;
	struct gf_class *c = gf_emit_add(&k->e, GF_SEC_CLASS, &n);

	c->kind = (uint8_t)kind;
	c->prog = pr;
}

/* field > limit, as a test of a task. */
KIT uint32_t test_gt(struct kit *k, uint32_t field, double limit)
{
	ldf(k, 0, field);
	ldk(k, 1, limit);
	op(k, GF_OP_GT, 0, 0, 1, 0);
	return prog(k, GF_SCOPE_TASK, 1, 0, 0, 0);
}

KIT uint32_t host_lt(struct kit *k, uint32_t field, double limit)
{
	ldh(k, 0, field);
	ldk(k, 1, limit);
	op(k, GF_OP_LT, 0, 0, 1, 0);
	return prog(k, GF_SCOPE_HOST, 1, 0, 0, 0);
}

KIT uint32_t number_of(struct kit *k, uint32_t field)
{
	ldf(k, 0, field);
	return prog(k, GF_SCOPE_TASK, 2, 0, 0, 0);
}

/* A rule without gate, cooldown and limit; settle 10 s. Then its steps. */
KIT struct gf_rule *rule(struct kit *k, uint32_t flags, uint32_t cond)
{
	uint32_t n;
	struct gf_rule *r = gf_emit_add(&k->e, GF_SEC_RULE, &n);

	r->fp = k->next_fp++;
	r->flags = flags;
	r->gate = r->close = GF_NONE;
	r->cond = cond;
	r->settle_ns = 10 * S;
	r->step = k->e.sec[GF_SEC_STEP].n;
	return r;
}

KIT struct gf_step *step(struct kit *k, struct gf_rule *r, uint32_t action, int arg, uint32_t pick, uint64_t after)
{
	uint32_t n;
	struct gf_step *s = gf_emit_add(&k->e, GF_SEC_STEP, &n);

	s->action = (uint8_t)action;
	s->arg = arg;
	s->pick = (uint8_t)pick;
	s->n = 1;
	s->where = s->key = s->value = GF_NONE;
	s->after_ns = after;
	r->steps++;
	return s;
}

/* The image, verified; NULL and the reason when the verifier refuses it. */
KIT struct gf_image_header *kit_image(struct kit *k, struct gf_err *err)
{
	struct gf_image_header *img = NULL;
	size_t size = 0;

	if (gf_emit_image(&k->e, &img, &size) || gf_verify(img, size, err)) {
		free(img);
		img = NULL;
	}
	gf_emit_deinit(&k->e);
	return img;
}

#endif
