/* SPDX-License-Identifier: MIT
 *
 * A syntax error as the user reads it: what is there, what could stand there instead, and what may mend it. Of grammar/policy.y, which includes this:
 * the parser's symbols are known there only.
 */
#ifndef GPUFAS_SYNTAX_ERROR_H
#define GPUFAS_SYNTAX_ERROR_H

/* What a group of tokens is to the user; a group is named once. */
enum phrase { PH_NONE, PH_VALUE, PH_OPERATOR, PH_STATEMENT, PH_CLAUSE, PH_ACTION, PH_SELECTOR, PH_NAME, PH_WORD };

static enum phrase phrase_of(yysymbol_kind_t k, bool value)
{
	switch (k) {
	case YYSYMBOL_LET: case YYSYMBOL_PROTECT: case YYSYMBOL_UNPROTECT: case YYSYMBOL_PREFER:
	case YYSYMBOL_AVOID: case YYSYMBOL_RULE: case YYSYMBOL_IF:
		return PH_STATEMENT;
	case YYSYMBOL_LE: case YYSYMBOL_GE: case YYSYMBOL_EQ: case YYSYMBOL_NE:
	case YYSYMBOL_AND: case YYSYMBOL_OR: case YYSYMBOL_BETWEEN: case YYSYMBOL_IN:
		return PH_OPERATOR;
	default:
		break;
	}
	if (value) /* every word may be a name here: "a value" says it all */
		return k == YYSYMBOL_WHERE ? PH_WORD : PH_VALUE;
	switch (k) {
	case YYSYMBOL_COOLDOWN: case YYSYMBOL_SETTLE: case YYSYMBOL_PRIORITY: case YYSYMBOL_OBSERVE:
	case YYSYMBOL_ALLOW:
		return PH_CLAUSE;
	case YYSYMBOL_FREEZE: case YYSYMBOL_THAW: case YYSYMBOL_RENICE: case YYSYMBOL_LOG:
	case YYSYMBOL_RUN: case YYSYMBOL_RESET: case YYSYMBOL_RESTORE: case YYSYMBOL_NMI: case YYSYMBOL_PANIC: case YYSYMBOL_RESTART:
		return PH_ACTION;
	case YYSYMBOL_IT: case YYSYMBOL_EACH: case YYSYMBOL_LARGEST: case YYSYMBOL_SMALLEST:
	case YYSYMBOL_OLDEST: case YYSYMBOL_NEWEST: case YYSYMBOL_TREE: case YYSYMBOL_PGRP:
	case YYSYMBOL_SESSION: case YYSYMBOL_CGROUP: case YYSYMBOL_USER:
		return PH_SELECTOR;
	default:
		return PH_WORD;
	}
}

/* The words for a group, in the order in which they are listed. */
static const char *const phrase_text[] = {
	[PH_VALUE] = "a value", [PH_OPERATOR] = "an operator", [PH_NAME] = "a name", [PH_ACTION] = "an action or signal",
	[PH_SELECTOR] = "what to act on (it, each, largest, newest, tree of …)",
	[PH_CLAUSE] = "a clause (cooldown, limit, notify …)", [PH_STATEMENT] = "a statement (let, protect, rule, if …)",
};
static const enum phrase phrase_order[] = { PH_VALUE, PH_NAME, PH_OPERATOR, PH_ACTION, PH_SELECTOR, PH_WORD,
					    PH_CLAUSE, PH_STATEMENT };

struct expected {
	yysymbol_kind_t v[YYNTOKENS];
	enum phrase phrase[YYNTOKENS];
	int n;
	bool has[YYNTOKENS];
};

static void classify(struct expected *x)
{
	for (int i = 0; i < x->n; i++)
		x->has[x->v[i]] = true;
	bool value = x->has[YYSYMBOL_STRING] && x->has[YYSYMBOL_NUMBER];
	bool op = x->has[YYSYMBOL_LE];
	bool clause = x->has[YYSYMBOL_COOLDOWN] && !value;
	for (int i = 0; i < x->n; i++) {
		yysymbol_kind_t k = x->v[i];
		const char *name = yysymbol_name(k);
		enum phrase ph = phrase_of(k, value);
		if (k == YYSYMBOL_YYEOF || k == YYSYMBOL_YYerror || k == YYSYMBOL_YYUNDEF)
			ph = PH_NONE;
		else if (k == YYSYMBOL_NUMBER && x->has[YYSYMBOL_THEN])
			ph = PH_NONE; /* `3 times`, `largest 3`: true, but no help */
		else if (value && (k == YYSYMBOL_AND || k == YYSYMBOL_OR))
			ph = PH_NONE;
		else if (k == YYSYMBOL_IDENT && !value)
			ph = x->has[YYSYMBOL_FREEZE] && !x->has[YYSYMBOL_FOR] ? PH_ACTION : PH_NAME;
		else if (clause && (k == YYSYMBOL_LIMIT || k == YYSYMBOL_NOTIFY))
			ph = PH_CLAUSE;
		else if (x->has[YYSYMBOL_FREEZE] && !value &&
			 (k == YYSYMBOL_LIMIT || k == YYSYMBOL_NOTIFY))
			ph = PH_ACTION;
		else if (k == YYSYMBOL_NOT && op)
			ph = PH_OPERATOR;
		else if (*name == '\'') { /* a single character */
			if (strchr("<>~*/", name[1]))
				ph = PH_OPERATOR;
			else if (strchr("+-", name[1]))
				ph = value ? PH_VALUE : op || x->has[YYSYMBOL_OR] ? PH_OPERATOR : x->has[YYSYMBOL_NUMBER] ? PH_WORD : PH_NONE;
			else if (name[1] == ';')
				ph = PH_NONE;
			else if (name[1] == '(')
				ph = value ? PH_VALUE : x->has[YYSYMBOL_OR] ? PH_NONE : PH_WORD;
		}
		x->phrase[i] = ph;
	}
	/* a rule's name may be any word, which nobody needs listed */
	if (!value && x->has[YYSYMBOL_IDENT] && x->has[YYSYMBOL_FOR] && x->has[YYSYMBOL_BY])
		for (int i = 0; i < x->n; i++)
			if (x->v[i] > YYSYMBOL_WHERE)
				x->phrase[i] = PH_NONE;
}

static void write_expected(struct gf_text *t, const struct expected *x)
{
	const char *words[YYNTOKENS + 8];
	int n = 0;
	for (size_t o = 0; o < sizeof phrase_order / sizeof *phrase_order; o++) {
		for (int i = 0; i < x->n; i++) {
			if (x->phrase[i] != phrase_order[o])
				continue;
			if (phrase_order[o] != PH_WORD) {
				words[n++] = phrase_text[phrase_order[o]];
				break;
			}
			words[n++] = yysymbol_name(x->v[i]);
		}
	}
	for (int i = 0; i < n; i++) {
		const char *sep = !i ? ", expected " : i == n - 1 ? " or " : ", ";
		const char *w = words[i];
		bool word = strncmp(w, "a ", 2) && strncmp(w, "the ", 4);
		for (size_t o = 0; o < sizeof phrase_text / sizeof *phrase_text; o++)
			if (w == phrase_text[o])
				word = false;
		if (w[0] == '\'')
			gf_text_printf(t, "%s\"%c\"", sep, w[1]);
		else
			gf_text_printf(t, word ? "%s\"%s\"" : "%s%s", sep, w);
	}
}

/* Does this look like one more step, without its "then"? */
static bool is_step(yysymbol_kind_t got, const char *word)
{
	return got == YYSYMBOL_LOG || got == YYSYMBOL_RENICE || got == YYSYMBOL_RUN || got == YYSYMBOL_FREEZE ||
	       got == YYSYMBOL_THAW || got == YYSYMBOL_RESET || got == YYSYMBOL_RESTORE || got == YYSYMBOL_NMI || got == YYSYMBOL_PANIC ||
	       got == YYSYMBOL_RESTART || got == YYSYMBOL_AFTER ||
	       got == YYSYMBOL_AND || !strcmp(word, ",") || (got == YYSYMBOL_IDENT && gf_signal_number(word) > 0);
}

/* Of a word, or a sign, behind a number. */
static bool hint_behind_number(struct gf_text *t, const struct expected *x, const struct gf_parser *p, struct gf_span at,
			       const char *word)
{
	if (gf_hint_number(t, p, at, word))
		return true;
	if (x->n == 1 && x->has[YYSYMBOL_PER])
		gf_text_printf(t, "such as: limit 3 per 10min");
	else if (x->n == 1 && x->has[YYSYMBOL_TIMES]) /* `if for 5s rss > 1GiB` */
		gf_text_printf(t, "a hold stands behind the condition: if CONDITION for 5s then …");
	else if (x->has[YYSYMBOL_PERIODS] && strchr("<>=!", *word)) /* `if rss for 5s > 1GiB` */
		gf_text_printf(t, "a hold stands behind the whole comparison: rss > 80%% for 5s");
	else
		return false;
	return true;
}

static bool takes_comma(const struct expected *x)
{
	for (int i = 0; i < x->n; i++)
		if (!strcmp(yysymbol_name(x->v[i]), "','"))
			return true;
	return false;
}

static bool picks(int token)
{
	return token == IT || token == EACH || token == LARGEST || token == SMALLEST || token == OLDEST || token == NEWEST;
}

/* The word before, as a shell has it. */
static bool says_kill(const struct gf_parser *p)
{
	return p->before.end - p->before.start == 4 && !strncasecmp(p->src->text + p->before.start, "kill", 4);
}

/* Of words in the wrong order, and of what a word wants behind it. */
static bool hint_of_order(struct gf_text *t, const struct expected *x, const struct gf_parser *p, yysymbol_kind_t got, const char *word)
{
	bool clause = got == YYSYMBOL_COOLDOWN || got == YYSYMBOL_LIMIT || got == YYSYMBOL_SETTLE || got == YYSYMBOL_PRIORITY ||
		      got == YYSYMBOL_OBSERVE || got == YYSYMBOL_ALLOW;

	if (got == YYSYMBOL_NUMBER && x->has[YYSYMBOL_LARGEST] && !x->has[YYSYMBOL_NUMBER] && says_kill(p) && gf_signal_name(atoi(word)))
		gf_text_printf(t, "signal %d is %s; how many stands behind: largest 3", atoi(word), gf_signal_name(atoi(word))); /* `kill 9` */
	else if (got == YYSYMBOL_NUMBER && x->has[YYSYMBOL_LARGEST] && !x->has[YYSYMBOL_NUMBER])
		gf_text_printf(t, "how many stands behind: largest 3");
	else if (got == YYSYMBOL_OF && picks(p->before_token))
		gf_text_printf(t, "the group stands first: tree of largest");
	else if (p->before_token == NOTIFY)
		gf_text_printf(t, "what is said stands in quotes: notify \"memory is low\"");
	else if (got == YYSYMBOL_STRING && p->before_token == LOG)
		gf_text_printf(t, "log writes the event; notify \"...\" says a text");
	else if (p->before_token == RUN)
		gf_text_printf(t, "run takes the name that a program has under hooks: in gpufas.yaml");
	else if (clause && x->has[YYSYMBOL_THEN] && !x->has[YYSYMBOL_COOLDOWN])
		gf_text_printf(t, "this stands at the end of a rule, behind its steps");
	else if ((got == YYSYMBOL_STRING || got == YYSYMBOL_NUMBER) && takes_comma(x))
		gf_text_printf(t, "values of a list are separated by commas");
	else if ((got == YYSYMBOL_STRING || got == YYSYMBOL_NUMBER) && p->before_token == IDENT && x->has[YYSYMBOL_EQ])
		gf_text_printf(t, "a comparison is missing, such as ==");
	else
		return false;
	return true;
}

/* Of what stands where it has no business. */
static bool hint_of_place(struct gf_text *t, const struct expected *x, const struct gf_parser *p, yysymbol_kind_t got,
			  struct gf_span at, const char *word)
{
	bool statement = x->has[YYSYMBOL_LET] && x->has[YYSYMBOL_RULE], tail = x->has[YYSYMBOL_THEN] && x->has[YYSYMBOL_COOLDOWN];
	const char *src = p->src->text;

	if (got == YYSYMBOL_FOR && tail)
		gf_text_printf(t, "a hold stands in the condition: if CONDITION for 5s then …");
	else if (got == YYSYMBOL_AFTER && tail)
		gf_text_printf(t, "a wait stands before the action: then after 5s SIGKILL");
	else if (p->before_token == RENICE)
		gf_text_printf(t, "such as renice +10");
	else if (tail && (p->before_token == RESTART || p->before_token == PANIC || p->before_token == RESET || p->before_token == NMI))
		gf_text_printf(t, "this is done to the whole machine; to end a process: SIGTERM");
	else if (p->before_token == REGEX_LIT && p->before.end == at.start && !word[1])
		gf_text_printf(t, "regular expressions have no flags; [Aa] is either letter");
	else if (p->before_token == REGEX_LIT && p->before.end == at.start)
		gf_text_printf(t, "a path stands in double quotes: \"/usr/bin/*\"");
	else if (statement && *word == '/' && at.end < p->src->len && strchr("/*", src[at.end]))
		gf_text_printf(t, "a comment begins with #");
	else if (got == YYSYMBOL_NUMBER && x->has[YYSYMBOL_FREEZE] && word[strspn(word, "0123456789")])
		gf_text_printf(t, "a wait is written: then after %s SIGKILL", word);
	else if (got == YYSYMBOL_NUMBER && x->has[YYSYMBOL_FREEZE] && gf_signal_name(atoi(word)))
		gf_text_printf(t, "did you mean \"%s\"?", gf_signal_name(atoi(word)));
	else
		return hint_of_order(t, x, p, got, word);
	return true;
}

static unsigned hint_places(const struct expected *x, bool new_line)
{
	bool tail = x->has[YYSYMBOL_THEN] && x->has[YYSYMBOL_COOLDOWN];

	return (x->has[YYSYMBOL_IT] && x->has[YYSYMBOL_LARGEST] ? GF_HINT_SELECTOR : 0u) |
	       (x->has[YYSYMBOL_LE] ? GF_HINT_OPERATOR : 0u) |
	       (x->has[YYSYMBOL_LET] && x->has[YYSYMBOL_RULE] && (new_line || !tail) ? GF_HINT_STATEMENT : 0u) |
	       (tail ? GF_HINT_TAIL : 0u) | (x->has[YYSYMBOL_FOR] && x->has[YYSYMBOL_UNTIL] ? GF_HINT_HOLD : 0u) |
	       (x->has[YYSYMBOL_STRING] && x->has[YYSYMBOL_IF] && !x->has[YYSYMBOL_NUMBER] && !x->has[YYSYMBOL_THEN] ? GF_HINT_TITLE : 0u);
}

/* A word of the language that it may have been meant to be. */
static const char *near_word(const struct expected *x, const char *word)
{
	const char *names[YYNTOKENS];
	size_t n = 0;

	for (int i = 0; i < x->n; i++)
		if (x->v[i] >= YYSYMBOL_LET && x->phrase[i] != PH_VALUE && x->phrase[i] != PH_NONE &&
		    *yysymbol_name(x->v[i]) != '\'')
			names[n++] = yysymbol_name(x->v[i]);
	return gf_nearest(word, names, n);
}

/* What may mend it, if anything is known. */
static void write_hint(struct gf_text *t, const struct expected *x, const struct gf_parser *p, yysymbol_kind_t got,
		       struct gf_span at, const char *word)
{
	const char *src = p->src->text;
	bool behind = at.start && p->before.end <= at.start;
	unsigned places = hint_places(x, !behind || memchr(src + p->before.end, '\n', at.start - p->before.end));

	if (behind && p->before_token == NUMBER && hint_behind_number(t, x, p, at, word))
		return;
	if (at.end == at.start + 1 && src[at.start] == '=' && x->has[YYSYMBOL_EQ]) {
		gf_text_printf(t, "equality is written \"==\"");
		return;
	}
	if (x->n == 1 && !strcmp(yysymbol_name(x->v[0]), "'('") &&
	    p->before_token == IN) {
		gf_text_printf(t, "a set stands in parentheses: in (\"a\", \"b\")");
		return;
	}
	bool comparison = got == YYSYMBOL_LE || got == YYSYMBOL_GE || got == YYSYMBOL_EQ || got == YYSYMBOL_NE ||
			  (at.end == at.start + 1 && strchr("<>", src[at.start]));
	if (comparison && x->has[YYSYMBOL_AND]) {
		gf_text_printf(t, "comparisons do not chain: write a < b and b < c, or between … and …");
		return;
	}
	if (hint_of_place(t, x, p, got, at, word) || (got == YYSYMBOL_IDENT && gf_hint_word(t, places, word)))
		return;
	const char *near = got == YYSYMBOL_IDENT ? near_word(x, word) : NULL;
	if (near)
		gf_text_printf(t, "did you mean \"%s\"?", near);
	else if (got == YYSYMBOL_IDENT && gf_hint_near_word(t, places, word))
		return;
	else if (x->has[YYSYMBOL_THEN] && x->has[YYSYMBOL_COOLDOWN] && is_step(got, word))
		gf_text_printf(t, "every step begins with \"then\"");
	else if (got == YYSYMBOL_IF && p->before_token == RULE)
		gf_text_printf(t, "a rule without a name begins with its if");
	else if (p->before_token == LET && got >= YYSYMBOL_LET && got <= YYSYMBOL_WHERE)
		gf_text_printf(t, "this is a word of the language; choose another name");
	else if (x->has[YYSYMBOL_THEN] && !x->has[YYSYMBOL_COOLDOWN])
		gf_text_printf(t, "a rule reads: if CONDITION then ACTION");
	else if (got == YYSYMBOL_STRING && x->has[YYSYMBOL_IDENT] && x->has[YYSYMBOL_FOR] && !x->has[YYSYMBOL_NUMBER])
		gf_text_printf(t, "names stand without quotes");
	else if (places & GF_HINT_TITLE)
		gf_text_printf(t, "a name is one word, such as low-memory; a title stands in quotes");
}

/* Only behind a signal's name may + (of RTMIN+3) stand beside a selector. */
static bool after_signal(const struct expected *x)
{
	for (int i = 0; i < x->n; i++)
		if (!strcmp(yysymbol_name(x->v[i]), "'+'"))
			return x->has[YYSYMBOL_IT] && !x->has[YYSYMBOL_LE];
	return false;
}

/* Reports a word that is no signal. */
static bool unknown_signal(struct gf_parser *p, struct gf_span word)
{
	struct gf_step_ast *s = gf_make_signal(p, word);
	return s && !s->signal;
}

static int yyreport_syntax_error(const yypcontext_t *ctx, struct gf_parser *p, void *scanner)
{
	(void)scanner;
	struct expected x = { .n = 0 };
	struct gf_span at = *yypcontext_location(ctx);
	yysymbol_kind_t got = yypcontext_token(ctx);
	int n = yypcontext_expected_tokens(ctx, x.v, YYNTOKENS);
	if (n < 0) {
		p->oom = true;
		return 0;
	}
	x.n = n;
	classify(&x);

	/* `then notfy "x"`: the word read as a signal is the mistake, not what follows it */
	if (p->before_token == IDENT && after_signal(&x) && unknown_signal(p, p->before))
		return 0;

	struct gf_text msg = { 0 }, hint = { 0 }, word = { 0 };
	gf_text_add(&word, p->src->text + at.start, at.end - at.start);
	bool stopped = phrase_of(got, false) == PH_STATEMENT && p->before.end < at.start &&
		       memchr(p->src->text + p->before.end, '\n', at.start - p->before.end);
	if (got == YYSYMBOL_YYEOF || stopped) {
		gf_text_printf(&msg, stopped ? "the statement ends too early" : "the text ends too early");
		at.start = at.end = p->before.end; /* behind the last word, not behind the blank lines */
	} else {
		gf_text_printf(&msg, "unexpected ");
		/* a string is shown without its own quotes */
		bool quoted = got == YYSYMBOL_STRING && at.end - at.start >= 2;
		uint32_t from = at.start + quoted, to = at.end - quoted, cut = to;
		if (to - from > 40) {
			cut = from + 40;
			for (int i = 0; i < 3 && ((unsigned char)p->src->text[cut] & 0xc0) == 0x80; i++)
				cut--;
		}
		if (quoted)
			gf_text_printf(&msg, "string ");
		gf_text_quote(&msg, p->src->text + from, cut - from);
		if (cut < to)
			gf_text_printf(&msg, "…");
	}
	write_expected(&msg, &x);
	write_hint(&hint, &x, p, got, at, word.v ? word.v : "");
	gf_parser_error(p, "E001", at, hint.v, "%s", msg.v ? msg.v : "syntax error");
	gf_text_deinit(&msg);
	gf_text_deinit(&hint);
	gf_text_deinit(&word);
	return 0;
}

#endif
