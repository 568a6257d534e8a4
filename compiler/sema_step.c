/* SPDX-License-Identifier: MIT
 *
 * Steps: what is done, and to whom.
 */
#include "compiler/sema_int.h"

#define AFTER_MAX_NS 86400e9

static bool needs_victim(uint8_t action)
{
	return action == GF_ACT_SIGNAL || action == GF_ACT_RENICE || action == GF_ACT_FREEZE ||
	       action == GF_ACT_THAW || action == GF_ACT_LIMIT;
}

static const char *action_text(struct gf_sema_ctx *c, const struct gf_step_ast *a)
{
	static const char *const name[GF_ACT_COUNT] = { "this", "renice", "log", "notify", "run",
							"freeze", "thaw", "limit", "reset", "nmi", "panic", "restart" };

	if (a->action == GF_ACT_LIMIT && a->restore)
		return "restore";
	if (a->action == GF_ACT_SIGNAL)
		return a->name ? gf_sema_quoted(c, a->name) : gf_signal_name(a->signal);
	return a->action < GF_ACT_COUNT ? name[a->action] : "this";
}

static void check_hook(struct gf_sema_ctx *c, const struct gf_step_ast *a)
{
	const struct gf_compile_opts *o = c->opts;

	if (!o->hooks || !a->name)
		return;
	for (size_t i = 0; i < o->hook_count; i++)
		if (strcmp(o->hooks[i], a->name) == 0)
			return;
	const char *near = gf_nearest(a->name, o->hooks, o->hook_count);

	gf_sema_error(c, "E092", a->name_span,
		      near ? gf_sema_printf(c, "did you mean \"%s\"?", near) : "hooks are defined under hooks: in gpufas.yaml",
		      "there is no hook named \"%s\"", gf_sema_quoted(c, a->name));
}

/* What can be done without an own process in the target, and what cannot. A dump or a recording
 * takes any action: nothing is done there, and a policy of any target can be tried on it. */
static void check_target(struct gf_sema_ctx *c, const struct gf_step_ast *a)
{
	const char *what = action_text(c, a), *target = gf_sema_target_name(c);

	if (c->never)
		return;
	if (c->opts->target == GF_TARGET_VM && a->action == GF_ACT_RENICE)
		gf_sema_error(c, "E093", a->action_span, "such as limit cpu.max 20%, or freeze",
			      "renice is not possible from outside: what a nice value goes into is the guest's scheduler's own");
	if (c->opts->target == GF_TARGET_VM && (a->action == GF_ACT_PANIC || a->action == GF_ACT_RESTART))
		gf_sema_error(c, "E093", a->action_span,
			      a->action == GF_ACT_PANIC ? "nmi makes a guest panic that has kernel.unknown_nmi_panic = 1" : "reset resets a guest",
			      "%s is for the machine that gpufas runs on: only host targets have it, and this is a vm target", what);
	if (c->opts->target != GF_TARGET_HOST)
		return;
	switch (a->action) {
	case GF_ACT_FREEZE:
	case GF_ACT_THAW:
		gf_sema_error(c, "E093", a->action_span,
			      a->action == GF_ACT_FREEZE ? "SIGSTOP stops a process" : "SIGCONT continues a process",
			      "%s is for targets in memory: only vm targets have it, and this is a %s target", what, target);
		break;
	case GF_ACT_LIMIT:
		gf_sema_error(c, "E093", a->action_span,
			      a->restore ? NULL : "a hook can write to the cgroup's files (then run ...), or set it in the service's unit",
			      "%s is for targets in memory: only vm targets have it, and this is a %s target", what, target);
		break;
	case GF_ACT_RESET:
	case GF_ACT_NMI:
		gf_sema_error(c, "E093", a->action_span,
			      a->action == GF_ACT_RESET ? "restart restarts a host at once; a hook can reboot it in order (then run ...)" :
						       "panic makes a host panic, so that kdump takes over",
			      "%s is for a virtual machine: only vm targets have it, and this is a %s target", what, target);
		break;
	default:
		break;
	}
}

static void check_action(struct gf_sema_ctx *c, const struct gf_step_ast *a, struct gf_sema_step *s)
{
	switch (a->action) {
	case GF_ACT_SIGNAL:
		s->arg = a->signal; /* 0: the parser has said that there is none */
		break;
	case GF_ACT_RENICE:
		s->amount = a->amount;
		if (a->amount == 0 || fabs(a->amount) > 39)
			gf_sema_error(c, "E098", a->action_span, "such as renice +10",
				      a->amount == 0 ? "renice by 0 changes nothing" :
						       "nice values are 40 in all: no change is larger than 39");
		else
			s->arg = (int32_t)a->amount;
		break;
	case GF_ACT_RUN:
		check_hook(c, a);
		break;
	case GF_ACT_LIMIT:
		gf_sema_limit(c, a, s);
		break;
	default:
		break;
	}
}

static void check_key(struct gf_sema_ctx *c, const struct gf_selector *sel, struct gf_sema_step *s)
{
	bool ranked = sel->pick == GF_PICK_LARGEST || sel->pick == GF_PICK_SMALLEST;

	if (!sel->by) {
		struct gf_expr *e = ranked ? gf_sema_alloc(c, sizeof *e) : NULL;

		if (!e)
			return;
		*e = (struct gf_expr){ .kind = GF_EX_NAME, .span = sel->span, .op_span = sel->span, .text = "rss",
				       .text_len = 3, .depth = 1 };
		s->key = gf_node_field(c, e, gf_field_find("rss"));
		return;
	}
	struct gf_node *k = gf_sema_finish(c, gf_sema_any(c, sel->by), sel->by);

	if (!ranked) {
		gf_sema_error(c, "E096", sel->by->span, "by belongs to largest and smallest",
			      sel->pick == GF_PICK_EACH ? "every candidate is taken: there is nothing to rank" :
							  "oldest and newest go by start time");
		return;
	}
	if (!k)
		return;
	if (gf_node_is_pred(k) || !gf_dim_is_plain(k->dim))
		gf_sema_error(c, "E096", sel->by->span, "such as largest by anon, or by rate(rss, 10s)",
			      "tasks are ranked by an amount, and %s is a %s", gf_sema_text(c, sel->by),
			      gf_node_is_pred(k) ? "condition" : gf_dim_name(k->dim));
	else if (k->scope != GF_SCOPE_TASK)
		gf_sema_error(c, "E096", sel->by->span, "such as largest by anon, or by rate(rss, 10s)",
			      "%s is the same for every task: it ranks nothing", gf_sema_text(c, sel->by));
	else
		s->key = k;
}

static void check_where(struct gf_sema_ctx *c, const struct gf_sema_rule *r, const struct gf_selector *sel,
			struct gf_sema_step *s)
{
	struct gf_node *w = gf_sema_condition(c, sel->where, "this where");
	struct gf_diag *d = NULL;

	if (!w || !gf_sema_need_task(c, w, sel->where, "where"))
		return;
	s->where = w;
	if (!r->cond || r->cond->scope != GF_SCOPE_TASK)
		return;
	if (gf_node_excludes(r->cond, w))
		d = gf_sema_error(c, "E082", sel->where->span, NULL,
				  "no task for which the rule is true is left by this where");
	else if (gf_node_implies(r->cond, w))
		d = gf_sema_warn(c, "W006", sel->where->span, "delete it",
				 "this where says nothing: the rule's condition says it already");
	if (d)
		gf_diag_note(d, r->cond->span, "the rule's condition");
}

static void check_selector(struct gf_sema_ctx *c, const struct gf_sema_rule *r, const struct gf_selector *sel,
			   struct gf_sema_step *s)
{
	bool each = sel->pick == GF_PICK_EACH;

	s->pick = sel->pick;
	s->group = sel->group;
	s->n = each ? GF_MAX_PICK : 1;
	if (sel->n_given && each)
		gf_sema_error(c, "E097", sel->n_span, "such as largest 3",
			      "a number belongs to largest, smallest, oldest or newest");
	else if (sel->n_given)
		gf_sema_whole(c, sel->n_value, 1, GF_MAX_PICK, sel->n_span, "the number of tasks", &s->n);
	check_key(c, sel, s);
	if (sel->where)
		check_where(c, r, sel, s);
	else if (each && r->cond && !r->task && !gf_csn(r->cond)->target)
		gf_sema_error(c, "E095", sel->span, "choose with largest, newest ..., or add where",
			      "the rule's condition reads no task field: this would be every task there is");
}

static void check_step(struct gf_sema_ctx *c, struct gf_sema_rule *r, uint32_t i, bool *chosen)
{
	struct gf_step_ast *a = &r->ast->step[i];
	struct gf_sema_step *s = &r->step[i];

	s->ast = a;
	s->action = a->action;
	s->n = 1;
	s->pick = GF_PICK_NONE;
	check_target(c, a);
	check_action(c, a, s);
	if (a->after_given && i == 0)
		gf_sema_error(c, "E105", a->after_span, "a condition that has to hold for a while is written: if ... for 5s",
			      "there is no step before the first to wait after");
	else if (a->after_given)
		gf_sema_duration(c, a->after_ns, 0, AFTER_MAX_NS, a->after_span, "after", &s->after_ns);
	if (a->has_selector) {
		check_selector(c, r, &a->sel, s);
		*chosen = true;
	} else if (gf_action_last_resort(a->action)) {
		s->pick = GF_PICK_NONE;
	} else if (*chosen) {
		s->pick = GF_PICK_SAME;
	} else if (needs_victim(a->action)) {
		if (!(a->action == GF_ACT_SIGNAL && a->signal == 0))
			gf_sema_error(c, "E094", a->action_span,
				      r->cond && r->task ? gf_sema_printf(c, "%s it, or %s largest", action_text(c, a),
									  action_text(c, a)) :
							   gf_sema_printf(c, "%s largest, or newest, oldest ...",
									  action_text(c, a)),
				      "%s whom? no task has been chosen", action_text(c, a));
		*chosen = true; /* say it once */
	}
	if (a->action == GF_ACT_NOTIFY && a->text)
		gf_sema_notes(c, r, a->text, a->text_span, s->pick != GF_PICK_NONE, &s->note, &s->notes);
}

void gf_sema_steps(struct gf_sema_ctx *c, const struct gf_stmt *st, struct gf_sema_rule *r)
{
	bool chosen = false;

	if (st->steps > GF_MAX_STEPS) {
		gf_sema_error(c, "E106", st->step[GF_MAX_STEPS].span, NULL, "a rule has at most %u steps", GF_MAX_STEPS);
		return;
	}
	r->step = gf_sema_alloc(c, (st->steps + 1) * sizeof *r->step);
	if (!r->step)
		return;
	r->steps = st->steps;
	for (uint32_t i = 0; i < st->steps; i++)
		check_step(c, r, i, &chosen);
}
