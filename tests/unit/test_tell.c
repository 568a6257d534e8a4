/* SPDX-License-Identifier: MIT
 *
 * What is told when rules act, by one lane and by several: who was looked at and why not he, messages with their strings, terms as they were when
 * the rule was looked at; and in how many calls.
 */
#include "tests/unit/sides.h"

/* Who ranks before whom, as lanes compare it and as one lane does: whatever numbers there are. */
static void same_order(void **state)
{
	static const double key[] = { -INFINITY, -1e308, -1, -5e-324, -0.0, 0, 5e-324, 0.5, 1, 1e308, INFINITY, NAN, -NAN };
	static const uint64_t start[] = { 0, 1, 5, ~0ull };
	static const int32_t pid[] = { INT32_MIN, -1, 0, 1, 77, INT32_MAX };
	static const uint8_t picks[] = { GF_PICK_LARGEST, GF_PICK_SMALLEST, GF_PICK_OLDEST, GF_PICK_NEWEST, GF_PICK_EACH };
	enum { N = 13 * 4 * 6 };
	struct gf_standing x[N];
	uint32_t n = 0, before = 0;

	(void)state;
	for (size_t i = 0; i < sizeof key / sizeof *key; i++)
		for (size_t j = 0; j < sizeof start / sizeof *start; j++)
			for (size_t k = 0; k < sizeof pid / sizeof *pid; k++, n++)
				x[n] = (struct gf_standing){ key[i], start[j], pid[k], n * 7 % N };
	assert_int_equal(n, N);
	for (size_t p = 0; p < sizeof picks; p++)
		for (uint32_t i = 0; i < N; i++)
			for (uint32_t k = 0; k < N; k++) {
				int is = i != k && gf_standing_before(picks[p], &x[i], &x[k]);
				if (is != lanes_before(picks[p], &x[i], &x[k]))
					fail_msg("pick %u: %a %llu %d and %a %llu %d", picks[p], x[i].key, (unsigned long long)x[i].start_ns, x[i].pid,
						 x[k].key, (unsigned long long)x[k].start_ns, x[k].pid);
				before += (uint32_t)is;
			}
	assert_int_equal(before, sizeof picks * (N * (N - 1) / 2));
}

/* Both sides over one table of 200 processes. */
struct pair {
	struct kit k;
	struct fake *f;
	struct gf_image_header *img;
	struct lanes *l;
	unsigned calls;
};

static void begin(struct pair *p)
{
	memset(p, 0, sizeof *p);
	kit_init(&p->k);
	p->k.e.target = GF_TARGET_VM;
	p->f = fake_new(256);
	p->l = lanes_new(3);
}

/* A rule that is true in every tick, and free to act in each. */
static struct gf_rule *always(struct kit *k, uint32_t *ret_cond)
{
	struct gf_rule *r;

	ldh(k, 0, 0);
	ldk(k, 1, 1);
	op(k, GF_OP_LT, 0, 1, 0, 0);
	*ret_cond = prog(k, GF_SCOPE_HOST, 1, 0, 0, 0);
	r = rule(k, 0, *ret_cond);
	r->settle_ns = 0;
	return r;
}

static void made(struct pair *p)
{
	struct gf_sample *s = &p->f->t.sample;
	struct gf_err err = { "" };

	p->img = kit_image(&p->k, &err);
	if (!p->img)
		fail_msg("%s", err.text);
	gf_target_set_fields(&p->f->t, &p->img->fields, NULL);
	for (uint32_t i = 0; i < 200; i++) {
		char name[GF_COMM_LEN] = "";
		fake_task(p->f, i);
		if (s->col[GF_TF_RSS])
			s->col[GF_TF_RSS][i] = 1000.0 - i;
		snprintf(name, sizeof name, "row-%u", i);
		memcpy(s->comm[i], name, sizeof name);
	}
	if (s->str[GF_SF_CGROUP])
		s->str[GF_SF_CGROUP][1] = (struct gf_strref){ .p = "/slice", .len = 6, .ver = 1 };
	side_init(&cpu, "cpu", p->img, 256);
	side_init(&team, "team", p->img, 256);
	team.lanes = p->l;
	team.in.budget_n = cpu.in.budget_n = 100;
	where = "told";
}

/* A tick of both; returns how many events. */
static uint32_t both(struct pair *p)
{
	p->f->step_ns = 100 * MS;
	p->f->t.ops->sample(&p->f->t, NULL);
	p->f->t.sample.host[0] = 5;
	side_tick(&cpu, &p->f->t.sample, 0, 64);
	lanes_calls(p->l);
	side_tick(&team, &p->f->t.sample, 0, 64);
	p->calls = lanes_calls(p->l);
	same_said(&cpu, &team);
	same_state(&p->f->t.sample, cpu.st, team.st);
	return team.out.events_n;
}

static void end(struct pair *p)
{
	gf_state_destroy(cpu.st);
	gf_state_destroy(team.st);
	gf_target_destroy(&p->f->t);
	free(p->img);
	lanes_free(p->l);
}

/* Three rules that act in one tick, each on another: what the later ones pass over is told. */
static void few_calls_when_rules_act(void **state)
{
	uint32_t key, condemned = 0, host;
	struct pair p;

	(void)state;
	begin(&p);
	ldf(&p.k, 0, GF_TF_RSS);
	key = prog(&p.k, GF_SCOPE_TASK, 2, 0, 0, 0);
	for (uint32_t n = 0; n < 3; n++) {
		struct gf_step *s = step(&p.k, always(&p.k, &host), GF_ACT_SIGNAL, 15, GF_PICK_LARGEST, 0);
		s->key = key;
		s->n = 1;
	}
	made(&p);
	assert_int_equal(both(&p), 6); /* each says that it is true, and acts */
	assert_int_equal(team.out.verdicts_n, 3);
	for (uint32_t i = 0; i < 3; i++) {
		const struct gf_event *ev = &team.ev[2 * i + 1];
		assert_int_equal(ev->kind, GF_EV_ACTION);
		assert_int_equal(ev->row, i);
		for (uint32_t r = 0; r < ev->ranks; r++)
			condemned += ev->u.rank[r].why == GF_WHY_CONDEMNED && ev->u.rank[r].by < i;
	}
	assert_int_equal(condemned, 0 + 1 + 2);
	printf("# %u calls in a tick in which three rules act\n", p.calls);
	assert_true(p.calls <= 3 + 3 * 3);
	end(&p);
}

/* Who is only watched is not out of other rules' reach. */
static void observed(void **state)
{
	uint32_t key, host;
	struct pair p;

	(void)state;
	begin(&p);
	ldf(&p.k, 0, GF_TF_RSS);
	key = prog(&p.k, GF_SCOPE_TASK, 2, 0, 0, 0);
	for (uint32_t n = 0; n < 2; n++) {
		struct gf_rule *r = always(&p.k, &host);
		r->flags |= n ? 0 : GF_RULE_OBSERVE;
		step(&p.k, r, GF_ACT_SIGNAL, 15, GF_PICK_LARGEST, 0)->key = key;
	}
	made(&p);
	both(&p);
	assert_int_equal(team.out.verdicts_n, 2);
	assert_int_equal(team.v[0].row, 0);
	assert_true(team.v[0].flags & GF_VERDICT_OBSERVE);
	assert_int_equal(team.v[1].row, 0);
	assert_false(team.v[1].flags & GF_VERDICT_OBSERVE);
	end(&p);
}

/* What the message says; what has been sent SIGKILL is condemned, by a rule only while that has it in this tick. */
static void messages(void **state)
{
	struct pair p;
	struct gf_rule *r;
	struct gf_step *s;
	const struct gf_event *ev = NULL;
	uint32_t key, at, host;

	(void)state;
	begin(&p);
	ldf(&p.k, 0, GF_TF_RSS);
	key = prog(&p.k, GF_SCOPE_TASK, 2, 0, 0, 0);
	r = always(&p.k, &host);
	s = step(&p.k, r, GF_ACT_SIGNAL, 9, GF_PICK_LARGEST, 0);
	s->key = key;
	s->n = 1;
	s->note = p.k.e.sec[GF_SEC_NOTE].n;
	s->notes = 4;
	for (uint32_t i = 0; i < 4; i++) {
		struct gf_note *n = gf_emit_add(&p.k.e, GF_SEC_NOTE, &at);
		n->prog = i == 1 ? key : GF_NONE;
		n->str = (uint8_t)(i == 0 ? GF_SF_CGROUP + 1 : i == 2 ? GF_SF_COMM + 1 : 0);
	}
	p.k.e.fields.str |= (uint32_t)GF_BIT(GF_SF_CGROUP);
	made(&p);
	for (uint32_t t = 0; t < 3; t++) {
		uint32_t n = both(&p);
		ev = &team.ev[n - 1];
		assert_int_equal(ev->kind, GF_EV_ACTION);
		assert_int_equal(ev->notes, 4);
		/* rss goes down from row to row */
		assert_int_equal(ev->row, t);
		assert_true(ev->note[1] == 1000.0 - t && isnan(ev->note[0]) && isnan(ev->note[2]) && isnan(ev->note[3]));
		if (t == 1)
			assert_memory_equal(ev->text, "/slice\0row-1\0", 15 - 1);
		else
			assert_memory_equal(ev->text, t ? "?\0row-2\0" : "?\0row-0\0", 9);
	}
	assert_int_equal(ev->ranks, GF_EVENT_RANKS);
	assert_int_equal(ev->u.rank[0].why, GF_WHY_CHOSEN);
	for (uint32_t i = 1; i < 3; i++) {
		assert_int_equal(ev->u.rank[i].why, GF_WHY_CONDEMNED);
		/* the second of them is followed still */
		assert_int_equal(ev->u.rank[i].by, ev->u.rank[i].pid == p.f->t.sample.pid[1] ? 0 : GF_NONE);
	}
	assert_int_equal(ev->u.rank[3].why, GF_WHY_RANKED_LOWER);
	end(&p);
}

/* A term looks at how far a hold has come that a later rule's condition advances: not as far as in this tick. */
static void as_it_was(void **state)
{
	struct pair p;
	struct gf_rule *r;
	struct gf_term *t;
	uint32_t h, term, cond, at, host;

	(void)state;
	begin(&p);
	h = hold(&p.k, GF_SCOPE_HOST, GF_HOLD_PERIODS, 4);
	op(&p.k, GF_OP_CHELD, 0, 0, 0, h);
	op(&p.k, GF_OP_PSET, 0, 0, 0, GF_TRUE);
	term = prog(&p.k, GF_SCOPE_HOST, 3, 0, 0, 0);
	r = always(&p.k, &host);
	t = gf_emit_add(&p.k.e, GF_SEC_TERM, &at);
	t->prog = term;
	t->values = 1;
	t->hold = GF_NONE;
	r->term = at;
	r->terms = 1;
	step(&p.k, r, GF_ACT_LOG, 0, GF_PICK_NONE, 0);
	ldh(&p.k, 0, 0);
	ldk(&p.k, 1, 1);
	op(&p.k, GF_OP_LT, 0, 1, 0, 0);
	op(&p.k, GF_OP_HELD, 0, 0, 0, h);
	cond = prog(&p.k, GF_SCOPE_HOST, 1, 0, 0, 0);
	step(&p.k, rule(&p.k, 0, cond), GF_ACT_LOG, 0, GF_PICK_NONE, 0);
	made(&p);
	for (uint32_t n = 0; n < 3; n++) {
		uint32_t events = both(&p);
		assert_true(events);
		for (uint32_t i = 0; i < events; i++)
			if (team.ev[i].rule == 0 && team.ev[i].kind == GF_EV_ACTION)
				assert_true(team.ev[i].term[0].left == (n ? (n + 1) / 4.0 : 0)); /* it begins behind the term, in the first tick */
	}
	end(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(same_order), cmocka_unit_test(few_calls_when_rules_act), cmocka_unit_test(observed), cmocka_unit_test(messages),
		cmocka_unit_test(as_it_was),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
