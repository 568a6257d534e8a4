/* SPDX-License-Identifier: MIT
 *
 * Checked meaning to an image: first all that is computed once a tick, then the
 * classes and rules with the programs that only they use.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "compiler/lower.h"

static int map_lines(const struct gf_source *src, struct line_map *ret)
{
	uint32_t n = 1;
	const char *end = src->text + src->len;
	for (const char *p = src->text; src->len && (p = memchr(p, '\n', (size_t)(end - p))); p++)
		n++;
	ret->start = malloc(n * sizeof *ret->start);
	if (!ret->start)
		return -ENOMEM;
	ret->start[0] = 0;
	ret->n = 1;
	for (const char *p = src->text; src->len && (p = memchr(p, '\n', (size_t)(end - p))); p++)
		ret->start[ret->n++] = (uint32_t)(p - src->text) + 1;
	return 0;
}

static int init(struct lower *l)
{
	gf_emit_init(&l->out);
	l->out.fp = 0x6766;
	l->lines = calloc(l->sema->srcs + 1, sizeof *l->lines);
	if (!l->lines)
		return -ENOMEM;
	for (size_t i = 0; i < l->sema->srcs; i++)
		if (map_lines(&l->sema->src[i], &l->lines[i]) < 0)
			return -ENOMEM;
	return 0;
}

static void deinit(struct lower *l)
{
	for (size_t i = 0; l->lines && i < l->sema->srcs; i++)
		free(l->lines[i].start);
	free(l->lines);
	gf_emit_deinit(&l->out);
	gf_hmap_deinit(&l->product);
	gf_hmap_deinit(&l->program);
	gf_hmap_deinit(&l->match);
	gf_hmap_deinit(&l->seen_fp);
}

static void notes_products(struct lower *l, const struct gf_sema_note *v, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		lw_products(l, v[i].value);
}

static void tick_programs(struct lower *l)
{
	const struct gf_sema *s = l->sema;
	for (uint32_t i = 0; i < s->classes; i++)
		lw_products(l, s->klass[i].cond);
	for (uint32_t i = 0; i < s->rules; i++) {
		const struct gf_sema_rule *r = &s->rule[i];
		if (r->ast)
			l->span = r->ast->span;
		lw_products(l, r->cond);
		lw_products(l, r->until);
		if (r->hold == GF_FOR_TIMES)
			lw_times(l, r->cond, r->hold_ns, r->task ? GF_SCOPE_TASK : GF_SCOPE_HOST);
		notes_products(l, r->note, r->notes);
		for (uint32_t k = 0; k < r->steps; k++) {
			lw_products(l, r->step[k].where);
			lw_products(l, r->step[k].key);
			lw_products(l, r->step[k].value);
			notes_products(l, r->step[k].note, r->step[k].notes);
		}
	}
	l->out.tick_progs = l->out.sec[GF_SEC_PROG].n;
}

static int write_image(struct lower *l, struct gf_image_header **ret, size_t *ret_size)
{
	int r = l->out.oom ? -ENOMEM : gf_emit_image(&l->out, ret, ret_size);
	if (r != -E2BIG)
		return r;
	if (l->out.full)
		lw_limit(l, "E205", l->out.full - 1 == GF_SEC_MATCH ? "texts of one comparison count once: comm in (\"a\", \"b\", ...)" :
								      "use fewer rules, or fewer different expressions", "the policy needs more than %u %s",
			 gf_section_info[l->out.full - 1].max, gf_section_info[l->out.full - 1].name);
	else
		lw_limit(l, "E205", "use fewer rules, or simpler regular expressions", "the policy's image is larger than %u MiB", GF_MAX_IMAGE >> 20);
	return -EINVAL;
}

int gf_lower(const struct gf_sema *s, const struct gf_compile_opts *opts, struct gf_diags *diags,
	     struct gf_image_header **ret, size_t *ret_size)
{
	struct lower l = { .sema = s, .diags = diags, .rule_hold = GF_NONE, .probes = opts->probes };
	l.period_ns = opts->period_ns ? opts->period_ns : 100000000;
	int r = init(&l);
	if (r == 0) {
		l.out.target = opts->target;
		tick_programs(&l);
		/* what is one too many is told of where it stands */
		for (uint32_t i = 0; i < s->classes && !l.out.full; i++)
			lw_class(&l, &s->klass[i]);
		for (uint32_t i = 0; i < s->rules && !l.out.full; i++)
			lw_rule(&l, &s->rule[i]);
		if (l.probes)
			lw_probes(&l);
		l.out.fp = gf_hash_mix(l.out.fp, opts->target);
		r = l.failed ? -EINVAL : write_image(&l, ret, ret_size);
	}
	deinit(&l);
	return r;
}
