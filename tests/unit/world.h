/* SPDX-License-Identifier: MIT
 *
 * For tests of what policies mean: a policy's text, compiled, run by the engine
 * over a scripted table.
 *
 * The machine has 1000 MiB of memory, so that 1 % is 10 MiB, and no swap unless a
 * test gives it some. A tick is a second.
 */
#ifndef TESTS_UNIT_WORLD_H
#define TESTS_UNIT_WORLD_H

#include "gpu/engine.h"
#include "tests/unit/imagetext.h"
#include "tests/unit/kit.h"

#define MiB 1048576.0

struct world {
	struct fake *f;
	struct gf_engine *e;
	struct gf_image_header *img;
	struct gf_event ev[64];
	struct gf_verdict v[64];
	size_t events, verdicts;
	uint32_t ver;
	char said[512];
};

KIT void set_string(struct world *w, uint32_t row, uint32_t field, const char *text)
{
	struct gf_strref *s = &w->f->t.sample.str[field][row];

	s->p = text;
	s->len = text ? (uint32_t)strlen(text) : 0;
	s->ver = text ? ++w->ver : 0;
}

/* A number or a text of a task, by the name that policies use. */
KIT double *cell(struct world *w, uint32_t row, const char *field)
{
	const struct gf_field_info *f = gf_field_find(field);

	assert_non_null(f);
	assert_false(f->str || f->derived);
	assert_int_equal(f->scope, GF_SCOPE_TASK);
	return &w->f->t.sample.col[f->id][row];
}

KIT void set(struct world *w, uint32_t row, const char *field, double v)
{
	*cell(w, row, field) = v;
	if (strcmp(field, "uid") == 0)
		w->f->t.sample.uid[row] = (uint32_t)v;
}

KIT void text(struct world *w, uint32_t row, const char *field, const char *v)
{
	const struct gf_field_info *f = gf_field_find(field);

	assert_non_null(f);
	assert_true(f->str);
	set_string(w, row, f->id, v);
}

KIT void host(struct world *w, const char *field, double v)
{
	const struct gf_field_info *f = gf_field_find(field);

	assert_non_null(f);
	assert_int_equal(f->scope, GF_SCOPE_HOST);
	w->f->t.sample.host[f->id] = v;
}

/* A task: pid 100 + row, the higher the row the younger. */
KIT void task(struct world *w, uint32_t row, const char *name, double rss)
{
	struct gf_sample *s = &w->f->t.sample;

	fake_task(w->f, row);
	snprintf(s->comm[row], GF_COMM_LEN, "%s", name);
	for (uint32_t k = 0; k < GF_COLS; k++)
		if (s->col[k])
			s->col[k][row] = gf_unknown();
	for (uint32_t k = 0; k < GF_SF_COUNT; k++)
		set_string(w, row, k, NULL);
	set_string(w, row, GF_SF_COMM, s->comm[row]);
	set(w, row, "pid", 100 + row);
	set(w, row, "uid", 1000);
	set(w, row, "rss", rss);
	set(w, row, "age", 60e9);
	set(w, row, "nice", 0);
}

KIT void gone(struct world *w, uint32_t row)
{
	fake_gone(w->f, row);
}

/* The policy in a world without tasks. Warnings are nobody's business here, errors are. */
KIT void begin_for(struct world *w, const char *policy, uint32_t budget, enum gf_target_kind target)
{
	const struct gf_engine_opts eo = { .period_ns = S, .budget_n = budget, .budget_window_ns = 60 * S };
	struct gf_fieldset all = { .task = ~0ull, .str = ~0u };
	struct gf_err err = { "" };

	memset(w, 0, sizeof *w);
	w->f = fake_new(256);
	w->f->step_ns = S;
	gf_target_set_fields(&w->f->t, &all, NULL);
	host(w, "mem.total", 1000 * MiB);
	host(w, "mem.available", 900 * MiB);
	w->img = image_of_text(policy, target, S, NULL);
	if (gf_engine_create(&w->f->t, w->img, &eo, &w->e, &err))
		fail_msg("%s: %s", policy, err.text);
}

KIT void begin_with(struct world *w, const char *policy, uint32_t budget)
{
	begin_for(w, policy, budget, GF_TARGET_HOST);
}

KIT void begin(struct world *w, const char *policy)
{
	begin_with(w, policy, 60);
}

KIT void end(struct world *w)
{
	gf_engine_destroy(w->e);
	gf_target_destroy(&w->f->t);
	free(w->img);
}

KIT const struct gf_event *event_of(const struct world *w, int kind)
{
	for (size_t i = 0; i < w->events; i++)
		if (w->ev[i].kind == kind)
			return &w->ev[i];
	return NULL;
}

KIT void say(struct world *w, const struct gf_verdict *v)
{
	static const char *const name[GF_ACT_COUNT] = { "", "RENICE", "LOG", "NOTIFY", "RUN", "FREEZE", "THAW", "LIMIT", "RESET", "NMI",
							  "PANIC", "RESTART" };
	const char *what = v->action == GF_ACT_SIGNAL ? sigabbrev_np(v->arg) : name[v->action];
	size_t n = strlen(w->said);
	char limit[64];

	if (v->action == GF_ACT_LIMIT) {
		snprintf(limit, sizeof limit, "LIMIT %s %g", gf_limit_info((enum gf_limit_kind)v->limit)->name, v->amount);
		what = limit;
	}
	snprintf(w->said + n, sizeof w->said - n, "%s%s%s%s%s", n ? ", " : "", what, v->pid ? " " : "",
		 v->pid ? w->f->t.sample.comm[v->row] : "", v->flags & GF_VERDICT_OBSERVE ? " (observed)" : "");
}

/* One tick: what is done in it, such as "KILL hog, KILL other". */
KIT const char *tick(struct world *w)
{
	gf_engine_tick(w->e, NULL);
	w->events = gf_engine_events(w->e, w->ev, 64);
	w->verdicts = gf_engine_verdicts(w->e, w->v, 64);
	w->said[0] = '\0';
	for (size_t i = 0; i < w->verdicts; i++)
		say(w, &w->v[i]);
	return w->said;
}

KIT void expect_at(struct world *w, const char *want, int line)
{
	const char *got = tick(w);

	if (strcmp(got, want) != 0)
		fail_msg("line %d: \"%s\" was done, not \"%s\"", line, got, want);
}
#define EXPECT(w, want) expect_at((w), (want), __LINE__)

/* Ticks in which nothing is done. */
KIT void quiet_at(struct world *w, int ticks, int line)
{
	while (ticks--)
		expect_at(w, "", line);
}
#define QUIET(w, ticks) quiet_at((w), (ticks), __LINE__)

/* Rows: rss 300, 100, 200, 400; anon the other way round. */
KIT void four(struct world *w)
{
	static const struct { const char *name; double rss, anon; } t[] = {
		{ "c", 300, 2 }, { "a", 100, 4 }, { "b", 200, 3 }, { "d", 400, 1 },
	};

	for (uint32_t i = 0; i < 4; i++) {
		task(w, i, t[i].name, t[i].rss * MiB);
		set(w, i, "anon", t[i].anon * MiB);
		set(w, i, "children", i);
	}
	host(w, "mem.available", 49 * MiB);
}

#endif
