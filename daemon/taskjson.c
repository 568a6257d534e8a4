/* SPDX-License-Identifier: MIT */
#include "daemon/taskjson.h"

#include <string.h>

struct gf_fieldset gf_fields_of(enum gf_target_kind kind)
{
	const char *letters = kind == GF_TARGET_HOST ? "BP" : "V";
	struct gf_fieldset f = { 0 };
#define GF_HOST(id, name, dim, pct, lo, hi, sources, doc) if (strpbrk(sources, letters)) f.host |= GF_BIT(GF_HF_##id);
#define GF_TASK(id, name, dim, pct, lo, hi, sources, doc) if (strpbrk(sources, letters)) f.task |= GF_BIT(GF_TF_##id);
#define GF_TSTR(id, name, sources, doc) if (strpbrk(sources, letters)) f.str |= 1u << GF_SF_##id;
#include "gpufas/fields.def"
	return f;
}

void gf_host_json(const double *host, struct gf_jbuf *b)
{
	static const char *const names[GF_HF_COUNT] = {
#define GF_HOST(id, name, ...) [GF_HF_##id] = name,
#include "gpufas/fields.def"
	};

	gf_jbuf_open(b, '{');
	for (int i = 0; i < GF_HF_COUNT; i++)
		if (!gf_is_unknown(host[i]))
			gf_jbuf_knum(b, names[i], host[i]);
	gf_jbuf_close(b, '}');
}

static void numbers(const struct gf_sample *s, uint32_t i, struct gf_jbuf *b)
{
	static const char *const names[GF_TF_COUNT] = {
#define GF_TASK(id, name, ...) [GF_TF_##id] = name,
#include "gpufas/fields.def"
	};

	for (int k = 0; k < GF_TF_COUNT; k++) {
		if (k == GF_TF_PID || k == GF_TF_UID || !s->col[k])
			continue;
		double v = s->col[k][i];
		gf_jbuf_key(b, names[k]);
		if (k == GF_TF_STATE && v > 32 && v < 127)
			gf_jbuf_strn(b, &(char){ (char)v }, 1);
		else
			gf_jbuf_num(b, v);
	}
}

static void task(const struct gf_sample *s, uint32_t i, const struct gf_pathset *paths, const double *cpu, struct gf_jbuf *b)
{
	static const char *const names[GF_SF_COUNT] = {
#define GF_TSTR(id, name, ...) [GF_SF_##id] = name,
#include "gpufas/fields.def"
	};

	gf_jbuf_open(b, '{');
	gf_jbuf_kint(b, "pid", s->pid[i]);
	gf_jbuf_kuint(b, "start_ns", s->start_ns[i]);
	gf_jbuf_key(b, "comm");
	gf_jbuf_strn(b, s->comm[i], strnlen(s->comm[i], GF_COMM_LEN));
	gf_jbuf_kuid(b, s->uid[i]);
	gf_jbuf_knum(b, "cpu", cpu ? cpu[i] : gf_unknown());
	gf_jbuf_kbool(b, "kthread", s->flags[i] & GF_ROW_KTHREAD);
	gf_jbuf_kuint(b, "flags", s->flags[i]);
	numbers(s, i, b);
	for (uint32_t k = 0; paths && k < paths->n; k++)
		gf_jbuf_knum(b, paths->v[k], s->col[GF_TF_COUNT + k] ? s->col[GF_TF_COUNT + k][i] : gf_unknown());
	for (int k = 0; k < GF_SF_COUNT; k++) {
		const struct gf_strref *r = s->str[k] ? &s->str[k][i] : NULL;
		if (k == GF_SF_COMM)
			continue;
		gf_jbuf_key(b, names[k]);
		if (r && r->ver)
			gf_jbuf_strn(b, r->p, r->len);
		else
			gf_jbuf_null(b);
	}
	gf_jbuf_close(b, '}');
}

void gf_sample_json(const struct gf_sample *s, const char *target, const struct gf_pathset *paths, const double *cpu, struct gf_jbuf *b)
{
	gf_jbuf_open(b, '{');
	gf_jbuf_kstr(b, "target", target);
	gf_jbuf_kuint(b, "now_ns", s->now_ns);
	gf_jbuf_kuint(b, "dropped", s->dropped);
	gf_jbuf_kuint(b, "epoch", s->epoch);
	gf_jbuf_key(b, "host");
	gf_host_json(s->host, b);
	if (paths && paths->n) {
		gf_jbuf_key(b, "paths");
		gf_jbuf_open(b, '[');
		for (uint32_t k = 0; k < paths->n; k++)
			gf_jbuf_str(b, paths->v[k]);
		gf_jbuf_close(b, ']');
	}
	gf_jbuf_key(b, "tasks");
	gf_jbuf_open(b, '[');
	for (uint32_t i = 0; i < s->rows && !b->failed; i++)
		if (s->flags[i] & GF_ROW_VALID)
			task(s, i, paths, cpu, b);
	gf_jbuf_close(b, ']');
	gf_jbuf_close(b, '}');
}
