// SPDX-License-Identifier: MIT
#include "sim/uses.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

struct walk {
	const struct gf_image_header *img;
	struct gf_uses *to;
	bool *seen;     /* [programs] */
	uint32_t *todo; /* [programs] */
	uint32_t n;
};

static void visit(struct walk *w, uint32_t prog)
{
	if (prog == GF_NONE || w->seen[prog])
		return;
	w->seen[prog] = true;
	w->todo[w->n++] = prog;
}

/* The program that fills aggregate, column or history `number`. */
static void filled_by(struct walk *w, uint8_t sink, uint32_t number)
{
	const struct gf_prog *p = GF_SEC(struct gf_prog, w->img, GF_SEC_PROG);

	for (uint32_t i = 0; i < w->img->tick_progs; i++)
		if (p[i].sink == sink && p[i].target == number)
			visit(w, i);
}

static void look(struct walk *w, const struct gf_insn *in)
{
	struct gf_fieldset *f = &w->to->fields;

	switch (in->op) {
	case GF_OP_LDF:
		if (in->imm < GF_TF_COUNT)
			f->task |= GF_BIT(in->imm);
		else
			w->to->path |= 1u << (in->imm - GF_TF_COUNT);
		break;
	case GF_OP_LDH:
		f->host |= GF_BIT(in->imm);
		break;
	case GF_OP_LDA:
		filled_by(w, GF_SINK_AGG, in->imm);
		break;
	case GF_OP_LDC:
	case GF_OP_LDP:
		filled_by(w, GF_SINK_COL, in->imm);
		break;
	case GF_OP_LDX:
		filled_by(w, GF_SINK_HIST, in->imm);
		break;
	case GF_OP_MATCH:
		f->str |= 1u << GF_SEC(struct gf_match, w->img, GF_SEC_MATCH)[in->imm].field;
		break;
	default:
		break;
	}
}

static int begin(struct walk *w, const struct gf_image_header *img, struct gf_uses *to)
{
	uint32_t n = img->sec[GF_SEC_PROG].count;

	w->img = img;
	w->to = to;
	w->n = 0;
	w->seen = calloc(n + 1, sizeof *w->seen);
	w->todo = calloc(n + 1, sizeof *w->todo);
	return w->seen && w->todo ? 0 : -ENOMEM;
}

static void run(struct walk *w)
{
	const struct gf_insn *code = GF_SEC(struct gf_insn, w->img, GF_SEC_CODE);
	const struct gf_prog *prog = GF_SEC(struct gf_prog, w->img, GF_SEC_PROG);

	while (w->n) {
		const struct gf_prog *p = &prog[w->todo[--w->n]];
		for (uint32_t i = 0; i < p->len; i++)
			look(w, &code[p->code + i]);
	}
}

static void end(struct walk *w)
{
	free(w->seen);
	free(w->todo);
}

int gf_uses_condition(const struct gf_image_header *img, uint32_t rule, struct gf_uses *ret)
{
	const struct gf_rule *r = &GF_SEC(struct gf_rule, img, GF_SEC_RULE)[rule];
	struct walk w;
	int rc = begin(&w, img, ret);

	if (!rc) {
		visit(&w, r->gate);
		visit(&w, r->cond);
		run(&w);
	}
	end(&w);
	return rc;
}

int gf_uses_selectors(const struct gf_image_header *img, uint32_t rule, struct gf_uses *ret)
{
	const struct gf_rule *r = &GF_SEC(struct gf_rule, img, GF_SEC_RULE)[rule];
	const struct gf_step *step = GF_SEC(struct gf_step, img, GF_SEC_STEP);
	struct walk w;
	int rc = begin(&w, img, ret);

	for (uint32_t i = 0; !rc && i < r->steps; i++) {
		visit(&w, step[r->step + i].where);
		visit(&w, step[r->step + i].key);
	}
	if (!rc)
		run(&w);
	end(&w);
	return rc;
}

static void name(char *buf, size_t n, const char *what)
{
	size_t at = strlen(buf);

	if (at < n)
		snprintf(buf + at, n - at, "%s%s", at ? ", " : "", what);
}

static bool has_path(const char *const *paths, uint32_t n, const char *text)
{
	for (uint32_t i = 0; i < n; i++)
		if (!strcmp(paths[i], text))
			return true;
	return false;
}

const char *gf_uses_lacks(const struct gf_image_header *img, const struct gf_uses *want, const struct gf_fieldset *has,
			  const char *const *paths, char *buf, size_t n)
{
	static const char *const hosts[GF_HF_COUNT] = {
#define GF_HOST(id, text, ...) [GF_HF_##id] = text,
#include "gpufas/fields.def"
	};
	static const char *const tasks[GF_TF_COUNT] = {
#define GF_TASK(id, text, ...) [GF_TF_##id] = text,
#include "gpufas/fields.def"
	};
	static const char *const strs[GF_SF_COUNT] = {
#define GF_TSTR(id, text, ...) [GF_SF_##id] = text,
#include "gpufas/fields.def"
	};

	buf[0] = 0;
	for (uint32_t i = 0; i < GF_HF_COUNT; i++)
		if (want->fields.host >> i & ~has->host >> i & 1)
			name(buf, n, hosts[i]);
	for (uint32_t i = 0; i < GF_TF_COUNT; i++)
		if (want->fields.task >> i & ~has->task >> i & 1)
			name(buf, n, tasks[i]);
	for (uint32_t i = 0; i < GF_SF_COUNT; i++)
		if (want->fields.str >> i & ~has->str >> i & 1)
			name(buf, n, strs[i]);
	for (uint32_t i = 0; i < img->fields.paths && i < GF_MAX_PATHS; i++) {
		const char *text = gf_image_path(img, i);
		if (want->path >> i & 1 && !has_path(paths, has->paths, text))
			name(buf, n, text);
	}
	return buf;
}
