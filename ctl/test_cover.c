/* SPDX-License-Identifier: MIT
 *
 * Coverage: which rules have fired, which steps were taken, and which parts of conditions have been both true and false.
 */
#include <stdlib.h>
#include <string.h>

#include "ctl/test.h"
#include "gpufas/hd.h"

#define TRUE_SEEN (1u << GF_TRUE)
#define FALSE_SEEN (1u << GF_FALSE)
#define ACTED 8u

static size_t policy_of(const struct gf_test *t, const char *file)
{
	size_t i = 0;

	while (i < t->policies && strcmp(t->policy[i].name, file))
		i++;
	return i;
}

static struct gf_cover_rule *rule_entry(struct gf_cover *c, size_t policy, uint32_t line, const char *name)
{
	struct gf_cover_rule *v;

	for (size_t i = 0; i < c->rules; i++)
		if (c->rule[i].policy == policy && c->rule[i].line == line && !strcmp(c->rule[i].name, name))
			return &c->rule[i];
	v = realloc(c->rule, (c->rules + 1) * sizeof *v);
	if (!v)
		return NULL;
	c->rule = v;
	v[c->rules] = (struct gf_cover_rule){ .policy = policy, .line = line, .name = strdup(name) };
	return v[c->rules].name ? &v[c->rules++] : NULL;
}

bool gf_cover_rules(struct gf_test *t, const struct gf_test_image *im, const struct gf_ptest_outcome *o)
{
	const struct gf_rule *rule = GF_SEC(struct gf_rule, im->img, GF_SEC_RULE);
	const struct gf_step *step = GF_SEC(struct gf_step, im->img, GF_SEC_STEP);

	for (uint32_t i = 0; i < im->img->sec[GF_SEC_RULE].count; i++) {
		size_t policy = policy_of(t, gf_image_str(im->img, rule[i].file));
		struct gf_cover_rule *r = rule_entry(&t->cover, policy, rule[i].line, gf_image_str(im->img, rule[i].name));
		if (!r)
			return false;
		r->seen |= o->rule_seen[i];
		r->steps = rule[i].steps;
		for (uint32_t k = 0; k < rule[i].steps; k++) {
			if (o->step_taken[rule[i].step + k])
				r->taken |= 1u << k;
			if (!r->step[k])
				r->step[k] = strdup(gf_image_str(im->img, step[rule[i].step + k].shown));
		}
	}
	return true;
}

bool gf_cover_parts(struct gf_test *t, const struct gf_test_image *im)
{
	struct gf_cover *c = &t->cover;

	for (size_t i = 0; i < im->probes.n; i++) {
		const struct gf_probe *p = &im->probes.v[i];
		size_t policy = im->number[p->span.src], k = 0;
		while (k < c->parts && !(c->part[k].policy == policy && c->part[k].span.start == p->span.start && c->part[k].span.end == p->span.end))
			k++;
		if (k == c->parts) {
			struct gf_cover_part *v = realloc(c->part, (c->parts + 1) * sizeof *v);
			if (!v)
				return false;
			c->part = v;
			v[c->parts++] = (struct gf_cover_part){ .policy = policy, .span = p->span, .of = p->of, .part = p->part, .depth = p->depth };
		}
		c->part[k].seen |= im->seen[i];
	}
	return true;
}

void gf_cover_sum(const struct gf_cover *c, struct gf_cover_sum *ret)
{
	memset(ret, 0, sizeof *ret);
	for (size_t i = 0; i < c->rules; i++) {
		ret->rules++;
		ret->rules_fired += (c->rule[i].seen & ACTED) != 0;
		ret->steps += c->rule[i].steps;
		ret->steps_taken += (size_t)__builtin_popcount(c->rule[i].taken);
	}
	for (size_t i = 0; i < c->parts; i++) {
		ret->branches += 2;
		ret->branches_seen += (size_t)__builtin_popcount(c->part[i].seen & (TRUE_SEEN | FALSE_SEEN));
	}
}

/* A policy's own part of the sums. */
static void sum_of(const struct gf_cover *c, size_t policy, struct gf_cover_sum *ret)
{
	struct gf_cover own = { 0 };

	own.rule = calloc(c->rules + 1, sizeof *own.rule);
	own.part = calloc(c->parts + 1, sizeof *own.part);
	for (size_t i = 0; own.rule && i < c->rules; i++)
		if (c->rule[i].policy == policy)
			own.rule[own.rules++] = c->rule[i];
	for (size_t i = 0; own.part && i < c->parts; i++)
		if (c->part[i].policy == policy)
			own.part[own.parts++] = c->part[i];
	gf_cover_sum(&own, ret);
	free(own.rule);
	free(own.part);
}

/* What was never seen of a part, or NULL. */
static const char *lacks(uint8_t seen)
{
	if ((seen & (TRUE_SEEN | FALSE_SEEN)) == (TRUE_SEEN | FALSE_SEEN))
		return NULL;
	if (!(seen & (TRUE_SEEN | FALSE_SEEN)))
		return seen ? "never known" : "never looked at";
	return seen & TRUE_SEEN ? "never false" : "never true";
}

/* An and/or that lacks what follows from a part of it that lacks it. */
static bool implied(const struct gf_cover *c, const struct gf_cover_part *p)
{
	for (size_t i = 0; p->part != GF_PROBE_TERM && i < c->parts; i++) {
		const struct gf_cover_part *q = &c->part[i];
		if (q != p && q->policy == p->policy && q->depth > p->depth && q->of == p->of && q->span.start >= p->span.start && q->span.end <= p->span.end &&
		    lacks(q->seen))
			return true;
	}
	return false;
}

/* "file:12:7: never true", the line, and the part underlined. Of several lines the first. */
static void print_part(const struct gf_test *t, const struct gf_cover_part *p, FILE *out)
{
	const struct gf_source *src = &t->policy[p->policy].src;
	uint32_t line, col;
	size_t begin, end, under;

	gf_source_locate(src, p->span.start, &line, &col);
	begin = p->span.start - (col - 1);
	for (end = p->span.start; end < src->len && src->text[end] != '\n'; end++)
		;
	under = GF_MIN((size_t)p->span.end, end) - p->span.start;
	fprintf(out, "  %s:%u:%u: %s\n  %6u | %.*s\n         | ", t->policy[p->policy].name, line, col, lacks(p->seen), line, (int)(end - begin), src->text + begin);
	for (size_t i = begin; i < p->span.start; i++)
		fputc(src->text[i] == '\t' ? '\t' : ' ', out);
	for (size_t i = 0; i < GF_MAX(under, (size_t)1); i++)
		fputc(i ? '~' : '^', out);
	fputc('\n', out);
}

static void print_rules(const struct gf_test *t, size_t policy, FILE *out)
{
	for (size_t i = 0; i < t->cover.rules; i++) {
		const struct gf_cover_rule *r = &t->cover.rule[i];
		if (r->policy != policy)
			continue;
		if (!(r->seen & ACTED)) {
			fprintf(out, "  %s:%u: rule %s has never %s\n", t->policy[policy].name, r->line, r->name, r->seen & TRUE_SEEN ? "acted" : "been true");
			continue;
		}
		for (uint32_t k = 0; k < r->steps; k++)
			if (!(r->taken >> k & 1))
				fprintf(out, "  %s:%u: rule %s: step %u was never taken: %s\n", t->policy[policy].name, r->line, r->name, k + 1, r->step[k] ? r->step[k] : "");
	}
}

void gf_cover_print(const struct gf_test *t, FILE *out)
{
	struct gf_cover_sum sum;

	fprintf(out, "\nCoverage                                        rules     steps   branches\n");
	for (size_t i = 0; i < t->policies; i++) {
		sum_of(&t->cover, i, &sum);
		fprintf(out, "  %-42s %4zu/%-4zu %4zu/%-4zu %5zu/%zu\n", t->policy[i].name, sum.rules_fired, sum.rules, sum.steps_taken, sum.steps,
			sum.branches_seen, sum.branches);
	}
	gf_cover_sum(&t->cover, &sum);
	fprintf(out, "  %-42s %4zu/%-4zu %4zu/%-4zu %5zu/%zu, %.1f %%\n", "all", sum.rules_fired, sum.rules, sum.steps_taken, sum.steps, sum.branches_seen,
		sum.branches, sum.branches ? 100.0 * (double)sum.branches_seen / (double)sum.branches : 100.0);
	for (size_t i = 0; i < t->policies; i++) {
		print_rules(t, i, out);
		for (size_t k = 0; k < t->cover.parts; k++)
			if (t->cover.part[k].policy == i && lacks(t->cover.part[k].seen) && !implied(&t->cover, &t->cover.part[k]))
				print_part(t, &t->cover.part[k], out);
	}
}

static json_t *part_json(const struct gf_test *t, const struct gf_cover_part *p)
{
	static const char *const of[] = { "rule", "until", "where", "class" }, *const part[] = { "term", "and", "or" };
	const struct gf_source *src = &t->policy[p->policy].src;
	uint32_t line, col;

	gf_source_locate(src, p->span.start, &line, &col);
	return json_pack("{s:s, s:i, s:i, s:s, s:s, s:s%, s:b, s:b, s:b}", "file", t->policy[p->policy].name, "line", (int)line, "col", (int)col,
			 "of", of[p->of], "part", part[p->part], "text", src->text + p->span.start, (size_t)(p->span.end - p->span.start), "true", (p->seen & TRUE_SEEN) != 0,
			 "false", (p->seen & FALSE_SEEN) != 0, "unknown", (p->seen & 1u << GF_UNKNOWN) != 0);
}

json_t *gf_cover_json(const struct gf_test *t)
{
	json_t *rules = json_array(), *parts = json_array();
	struct gf_cover_sum sum;

	for (size_t i = 0; i < t->cover.rules; i++) {
		const struct gf_cover_rule *r = &t->cover.rule[i];
		json_array_append_new(rules, json_pack("{s:s, s:i, s:s, s:b, s:b, s:i, s:i}", "file", r->policy < t->policies ? t->policy[r->policy].name : "",
						       "line", (int)r->line, "rule", r->name, "true", (r->seen & TRUE_SEEN) != 0, "acted",
						       (r->seen & ACTED) != 0, "steps", (int)r->steps, "steps_taken", __builtin_popcount(r->taken)));
	}
	for (size_t i = 0; i < t->cover.parts; i++)
		json_array_append_new(parts, part_json(t, &t->cover.part[i]));
	gf_cover_sum(&t->cover, &sum);
	return json_pack("{s:o, s:o, s:I, s:I, s:I, s:I, s:I, s:I}", "rules", rules, "parts", parts, "rules_total", (json_int_t)sum.rules, "rules_fired",
			 (json_int_t)sum.rules_fired, "steps_total", (json_int_t)sum.steps, "steps_taken", (json_int_t)sum.steps_taken,
			 "branches_total", (json_int_t)sum.branches, "branches_seen", (json_int_t)sum.branches_seen);
}

void gf_cover_deinit(struct gf_cover *c)
{
	for (size_t i = 0; i < c->rules; i++) {
		free(c->rule[i].name);
		for (size_t k = 0; k < GF_MAX_STEPS; k++)
			free(c->rule[i].step[k]);
	}
	free(c->rule);
	free(c->part);
}
