/* SPDX-License-Identifier: MIT
 *
 * What keys do to top, and the screen that tells.
 */
#include "ctl/top.h"

#include <string.h>

#include "ctl/top_help.h"

void gf_top_help(struct gf_lines *out)
{
	static const char *const keys[][2] = {
		{ "Tab", "the other panel" },
		{ "Up Down PgUp PgDn Home End", "move in the panel (j and k as well)" },
		{ "Enter", "on a rule or an event: explain it" },
		{ "e", "events in place of tasks, and back" },
		{ "M P T N S", "sort by memory, CPU share, CPU time, pid, swap" },
		{ "< >", "sort by the column to the left, to the right" },
		{ "r", "reverse the order" },
		{ "/", "filter by name, user or pid; Esc drops it" },
		{ "K", "hide kernel threads, and back" },
		{ "Space", "pause, go on" },
		{ "h ?", "this" },
		{ "q", "quit" },
	};

	gf_lines_add(out, GF_LOOK_HEAD, "Keys");
	for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
		gf_lines_add(out, GF_LOOK_PLAIN, "  %-28s %s", keys[i][0], keys[i][1]);
	gf_lines_add(out, GF_LOOK_PLAIN, "%s", "");
	gf_lines_add(out, GF_LOOK_HEAD, "What the columns of rules say");
	gf_lines_add(out, GF_LOOK_PLAIN, "  TRUTH      whether the condition holds now: true, false, or unknown");
	gf_lines_add(out, GF_LOOK_PLAIN, "  PHASE      idle, steps, settle (its victims are not gone yet), cooldown");
	gf_lines_add(out, GF_LOOK_PLAIN, "  CLOSENESS  how near to firing the rule is, for the nearest process");
	gf_lines_add(out, GF_LOOK_PLAIN, "  DECIDES    that process, and the comparison that keeps it from firing");
	gf_lines_add(out, GF_LOOK_PLAIN, "%s", "");
	gf_lines_add(out, GF_LOOK_PLAIN,
		     "Waiting: share of the last 10 s in which some task waited for it. Actions: the budget over all "
		     "rules; when it is used up nothing acts. A - is a value that is not known.");
}

static void sort_by(struct gf_top *t, enum gf_top_column c)
{
	/* The same key again turns the order round, as people try. */
	if (t->sort == c)
		t->reverse = !t->reverse;
	else
		t->reverse = false;
	t->sort = c;
	t->list[GF_TP_TASKS].sel = 0;
	gf_top_arrange(t);
}

static void filter_key(struct gf_top *t, int key)
{
	size_t n = strlen(t->filter);

	if (key == GF_TK_ENTER) {
		t->typing = false;
	} else if (key == GF_TK_ESC) {
		t->typing = false;
		t->filter[0] = 0;
	} else if (key == GF_TK_BACKSPACE && n) {
		do /* a whole character */
			t->filter[--n] = 0;
		while (n && ((unsigned char)t->filter[n - 1] & 0xc0) == 0x80);
		if (n && (unsigned char)t->filter[n - 1] >= 0xc0)
			t->filter[n - 1] = 0;
	} else if (key >= ' ' && key < 0x110000 && gf_show_printable((wchar_t)key)) {
		char mb[16];
		mbstate_t st = { 0 };
		size_t len = wcrtomb(mb, (wchar_t)key, &st);
		if (len != (size_t)-1 && n + len < sizeof t->filter) {
			memcpy(t->filter + n, mb, len);
			t->filter[n + len] = 0;
		}
	}
	t->list[GF_TP_TASKS].sel = 0;
	gf_top_arrange(t);
}

/* Moves through n lines; false: not a key for that. n may be unknown (viewer): then SIZE_MAX. */
static bool move(struct gf_top_list *l, int key, size_t n)
{
	size_t page = l->height > 1 ? (size_t)l->height - 1 : 1, last = n ? n - 1 : 0;

	switch (key) {
	case GF_TK_UP: case 'k':
		l->sel -= l->sel > 0;
		break;
	case GF_TK_DOWN: case 'j':
		l->sel += l->sel < last;
		break;
	case GF_TK_PGUP:
		l->sel = l->sel > page ? l->sel - page : 0;
		break;
	case GF_TK_PGDN:
		l->sel = last - l->sel > page ? l->sel + page : last;
		break;
	case GF_TK_HOME: case 'g':
		l->sel = 0;
		break;
	case GF_TK_END: case 'G':
		l->sel = last;
		break;
	default:
		return false;
	}
	return true;
}

/* The viewer has no selected line: its first line moves; drawing keeps it inside. */
static void viewer_key(struct gf_top *t, int key)
{
	t->page.sel = t->page.first;
	if (move(&t->page, key, 1u << 20)) {
		t->page.first = t->page.sel;
	} else if (key == 'q') {
		t->quit = true;
	} else if (key == GF_TK_ESC || key == GF_TK_ENTER || key == GF_TK_BACKSPACE || key == 'h' || key == '?') {
		t->viewer = GF_TV_NONE;
	} else if (key == ' ') {
		t->paused = !t->paused;
	}
}

static void explain(struct gf_top *t)
{
	const json_t *rule = json_array_get(gf_top_rules(t), t->list[GF_TP_RULES].sel), *events = gf_top_events(t);
	size_t n = json_array_size(events), sel = t->list[GF_TP_EVENTS].sel;

	t->page.first = 0;
	if (t->focus == GF_TP_RULES && rule) {
		t->viewer = GF_TV_RULE;
		snprintf(t->viewed, sizeof t->viewed, "%s", gf_js_str(rule, "name"));
	} else if (t->focus == GF_TP_EVENTS && sel < n) {
		t->viewer = GF_TV_EVENT;
		snprintf(t->viewed, sizeof t->viewed, "%lld", gf_js_int(json_array_get(events, n - 1 - sel), "seq"));
	}
}

static size_t list_size(const struct gf_top *t, enum gf_top_panel p)
{
	if (p == GF_TP_RULES)
		return json_array_size(gf_top_rules(t));
	return p == GF_TP_TASKS ? t->views : json_array_size(gf_top_events(t));
}

static void shift_sort(struct gf_top *t, int by)
{
	t->sort = (enum gf_top_column)(((int)t->sort + by + GF_TC_COUNT) % GF_TC_COUNT);
	t->reverse = false;
	gf_top_arrange(t);
}

static bool sort_key(struct gf_top *t, int key)
{
	switch (key) {
	case 'M': case 'm': sort_by(t, GF_TC_RSS); return true;
	case 'P': case 'p': sort_by(t, GF_TC_CPU); return true;
	case 'T': case 't': sort_by(t, GF_TC_TIME); return true;
	case 'N': case 'n': sort_by(t, GF_TC_PID); return true;
	case 'S': case 's': sort_by(t, GF_TC_SWAP); return true;
	case '<': case ',': shift_sort(t, -1); return true;
	case '>': case '.': shift_sort(t, 1); return true;
	case 'r': case 'R':
		t->reverse = !t->reverse;
		gf_top_arrange(t);
		return true;
	default:
		return false;
	}
}

void gf_top_key(struct gf_top *t, int key)
{
	if (t->typing) {
		filter_key(t, key);
		return;
	}
	if (t->viewer) {
		viewer_key(t, key);
		return;
	}
	if (move(&t->list[t->focus], key, list_size(t, t->focus)) || sort_key(t, key))
		return;
	switch (key) {
	case 'q': case 'Q':
		t->quit = true;
		break;
	case 'h': case '?':
		t->viewer = GF_TV_HELP;
		t->page.first = 0;
		break;
	case GF_TK_TAB:
		t->focus = t->focus == GF_TP_RULES ? t->lower : GF_TP_RULES;
		break;
	case 'e': case 'E':
		t->lower = t->lower == GF_TP_TASKS ? GF_TP_EVENTS : GF_TP_TASKS;
		t->focus = t->lower;
		break;
	case GF_TK_ESC:
		if (t->lower == GF_TP_EVENTS)
			t->lower = GF_TP_TASKS;
		else
			t->filter[0] = 0;
		t->focus = t->lower;
		gf_top_arrange(t);
		break;
	case 'K':
		t->no_kthreads = !t->no_kthreads;
		gf_top_arrange(t);
		break;
	case '/':
		t->typing = true;
		t->lower = t->focus = GF_TP_TASKS;
		break;
	case ' ':
		t->paused = !t->paused;
		break;
	case GF_TK_ENTER:
		explain(t);
		break;
	default:
		break;
	}
}
