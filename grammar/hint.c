/* SPDX-License-Identifier: MIT
 *
 * What people write who know other tools, or English, and what it is called here.
 */
#include <ctype.h>
#include <string.h>

#include "grammar/parser.h"

struct habit {
	unsigned places; /* enum gf_hint_place */
	const char *word, *mend;
	bool as_it_is; /* mend is a sentence, not the word that was meant */
};

#define SEL GF_HINT_SELECTOR
#define OP GF_HINT_OPERATOR
#define STMT GF_HINT_STATEMENT
#define TAIL GF_HINT_TAIL
#define TITLE GF_HINT_TITLE

static const struct habit habits[] = {
	{ SEL, "biggest", "largest", false },	{ SEL, "greatest", "largest", false },
	{ SEL, "highest", "largest", false },	{ SEL, "heaviest", "largest", false },
	{ SEL, "max", "largest", false },	{ SEL, "top", "largest", false },
	{ SEL, "least", "smallest", false },	{ SEL, "lowest", "smallest", false },
	{ SEL, "youngest", "newest", false },	{ SEL, "latest", "newest", false },
	{ SEL, "all", "each", false },		{ SEL, "every", "each", false },
	{ SEL, "everything", "each", false },	{ SEL, "any", "each", false },
	{ SEL, "this", "it", false },		{ SEL, "self", "it", false },
	{ SEL, "the", "write it without \"the\"", true },
	{ SEL, "group", "pgrp of", false },	{ SEL, "children", "tree of", false },
	{ OP, "is", "equality is written \"==\"", true },
	{ OP, "equals", "equality is written \"==\"", true },
	{ OP, "matches", "a pattern is compared with \"~\"", true },
	{ OP, "like", "a pattern is compared with \"~\"", true },
	{ OP, "contains", "a pattern is compared with \"~\": comm ~ \"*text*\"", true },
	{ OP, "above", ">", false },		{ OP, "over", ">", false },
	{ OP, "below", "<", false },		{ OP, "under", "<", false },
	{ OP | SEL | TAIL | GF_HINT_HOLD, "during", "for", false },
	{ TAIL | SEL, "unless", "whom to spare is said with where: largest where not comm ~ \"postgres*\"", true },
	{ TAIL | SEL, "except", "whom to spare is said with where: largest where not comm ~ \"postgres*\"", true },
	{ TAIL | SEL | STMT, "else", "there is no else: write a second rule", true },
	{ TAIL | SEL | STMT, "wait", "a wait stands before the action: then after 5s SIGKILL", true },
	{ TAIL | SEL | STMT, "sleep", "a wait stands before the action: then after 5s SIGKILL", true },
	{ TITLE | STMT, "when", "if", false },
	{ TITLE, "on", "which policy is for which target is said under targets: in gpufas.yaml", true },
	{ STMT, "include", "the *.policy files of a directory are one policy: put the file there", true },
	{ STMT, "import", "the *.policy files of a directory are one policy: put the file there", true },
	{ STMT, "ignore", "protect", false },	{ STMT, "exclude", "protect", false },
	{ STMT, "set", "let", false },		{ STMT, "var", "let", false },
	{ STMT, "define", "let", false },
};

static void say(struct gf_text *t, const struct habit *h)
{
	gf_text_printf(t, h->as_it_is ? "%s" : "did you mean \"%s\"?", h->mend);
}

bool gf_hint_word(struct gf_text *t, unsigned place, const char *word)
{
	for (size_t i = 0; i < sizeof habits / sizeof *habits; i++)
		if ((habits[i].places & place) && !strcmp(habits[i].word, word)) {
			say(t, &habits[i]);
			return true;
		}
	return false;
}

bool gf_hint_near_word(struct gf_text *t, unsigned place, const char *word)
{
	const char *names[sizeof habits / sizeof *habits];
	size_t n = 0;

	for (size_t i = 0; i < sizeof habits / sizeof *habits; i++)
		if ((habits[i].places & place) && strlen(habits[i].word) > 4)
			names[n++] = habits[i].word;
	const char *near = strlen(word) > 4 ? gf_nearest(word, names, n) : NULL;
	return near && gf_hint_word(t, place, near);
}

bool gf_hint_number(struct gf_text *t, const struct gf_parser *p, struct gf_span at, const char *word)
{
	const char *src = p->src->text, *digits = src + p->before.start, *unit = gf_lex_unit_meant(word);
	int n = (int)(p->before.end - p->before.start);

	if (unit) {
		gf_text_printf(t, "write %.*s%s, without a space", n, digits, unit);
		return true;
	}
	if (!strcmp(word, ",") && p->before.end == at.start && at.end < p->src->len && isdigit((unsigned char)src[at.end])) {
		int more = 0;
		while (at.end + (uint32_t)more < p->src->len && more < 40 && isdigit((unsigned char)src[at.end + (uint32_t)more]))
			more++;
		if (more == 3)
			gf_text_printf(t, "numbers have no commas: write %.*s_%.*s; or %.*s.%.*s, if it is a fraction", n, digits, more, src + at.end, n,
				       digits, more, src + at.end);
		else
			gf_text_printf(t, "a fraction is written with a point: %.*s.%.*s", n, digits, more, src + at.end);
		return true;
	}
	return false;
}

void gf_lex_stray_percent(struct gf_parser *p, struct gf_span at)
{
	struct gf_expr *e = p->last_number;
	char hint[100];

	if (!e || e->span.end != p->last.end) {
		gf_parser_error(p, "E002", at, "write a percentage as 80%", "\"%%\" means nothing here");
		return;
	}
	bool twice = e->unit == GF_UNIT_PCT;
	snprintf(hint, sizeof hint, twice ? "one is enough: %.60s" : "write %.60s%%, without a space", e->text);
	gf_parser_error(p, "E002", at, hint, "\"%%\" means nothing here");
	e->bad = true; /* what it is compared with need not be said to be wrong, too */
}
