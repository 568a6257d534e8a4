/* SPDX-License-Identifier: MIT
 *
 * Templates of notify: "{comm} (pid {pid})"; {{ and }} stand for themselves.
 */
#include "compiler/sema_int.h"
#include "gpufas/event.h"

struct template {
	struct gf_sema_ctx *c;
	const char *text;
	struct gf_span span;
	bool victim; /* is there a task that it can speak of? */
	bool bad;
	uint32_t fields;
	struct gf_sema_note note[GF_EVENT_NOTES + 1];
};

static void wrong(struct template *t, size_t at, size_t len, const char *hint, const char *what)
{
	gf_sema_error(t->c, "E099", gf_sema_inside(t->c, t->span, at, len), hint, "%s", what);
	t->bad = true;
}

static void add_field(struct template *t, size_t at, size_t len, const char *before)
{
	struct gf_sema_ctx *c = t->c;
	struct gf_expr *e = gf_sema_alloc(c, sizeof *e);
	struct gf_sema_note note = { .text = before };

	if (!e)
		return;
	e->kind = GF_EX_NAME;
	e->text = gf_sema_printf(c, "%.*s", (int)GF_MIN(len, (size_t)200), t->text + at);
	e->text_len = (uint32_t)strlen(e->text);
	e->span = e->op_span = gf_sema_inside(c, t->span, at, len);
	e->depth = 1;
	const struct gf_field_info *f = gf_sema_string_field(e);

	if (strncmp(e->text, "task->", 6) == 0) {
		if (!gf_path_ok(e->text)) {
			wrong(t, at, len, "such as {task->mm->map_count}", "this is not a kernel path");
			return;
		}
		e->kind = GF_EX_PATH;
	}
	if (f) {
		note.str = f->id + 1;
		if (!gf_sema_has_field(c, f) && !c->never) {
			gf_sema_error(c, "E077", e->span, NULL, "%s is not to be had from a %s target", f->name,
				      gf_sema_target_name(c));
			t->bad = true;
		}
	} else {
		note.value = gf_sema_finish(c, gf_sema_number(c, e), e);
		t->bad |= !note.value;
	}
	if (!t->victim && (f || (note.value && note.value->scope == GF_SCOPE_TASK))) {
		gf_sema_error(c, "E102", e->span,
			      "choose one: `log largest` or `log it` as the step, and notify behind the steps",
			      "{%s} is of a task, and no task is chosen here", e->text);
		t->bad = true;
	}
	if (t->fields == GF_EVENT_NOTES) {
		gf_sema_error(c, "E101", e->span, NULL, "a message has at most %u fields", GF_EVENT_NOTES);
		t->bad = true;
	}
	if (!t->bad)
		t->note[t->fields++] = note;
}

void gf_sema_notes(struct gf_sema_ctx *c, const struct gf_sema_rule *r, const char *text, struct gf_span span,
		   bool victim, struct gf_sema_note **ret, uint32_t *ret_n)
{
	struct template t = { .c = c, .text = text, .span = span, .victim = victim };
	size_t len = strlen(text), n = 0;
	char *lit = gf_sema_alloc(c, len + 1);
	const char *start = lit;

	(void)r;
	if (!lit)
		return;
	for (size_t i = 0; i < len && !t.bad; i++) {
		char ch = text[i];

		if ((ch == '{' || ch == '}') && text[i + 1] == ch) {
			lit[n++] = ch;
			i++;
		} else if (ch == '}') {
			wrong(&t, i, 1, "a brace that is meant is written twice: }}", "this closing brace closes nothing");
		} else if (ch == '{') {
			size_t end = i + 1 + strcspn(text + i + 1, "{}");

			if (text[end] != '}' || end == i + 1) {
				wrong(&t, i, end - i,
				      "a field is written {comm}; a brace that is meant is written twice: {{",
				      text[end] == '}' ? "there is no field between these braces" :
							 "this brace is not closed");
				break;
			}
			lit[n++] = '\0';
			add_field(&t, i + 1, end - i - 1, start);
			/* lit never gets longer than the text: {x} leaves room for the NUL */
			start = lit + n;
			i = end;
		} else {
			lit[n++] = ch;
		}
	}
	if (t.bad || c->oom)
		return;
	bool rest = *start != '\0' || t.fields == 0;
	uint32_t count = t.fields + rest;

	/* text behind the last field is a piece of its own, and there is one value a piece */
	if (count > GF_EVENT_NOTES) {
		gf_sema_error(c, "E101", span, NULL, "a message has at most %u fields, and %u when text follows the last",
			      GF_EVENT_NOTES, GF_EVENT_NOTES - 1);
		return;
	}
	t.note[t.fields].text = start;
	struct gf_sema_note *v = gf_sema_alloc(c, count * sizeof *v);

	if (!v)
		return;
	memcpy(v, t.note, count * sizeof *v);
	*ret = v;
	*ret_n = count;
}
