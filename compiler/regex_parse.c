/* SPDX-License-Identifier: MIT
 *
 * POSIX extended regular expressions (POSIX.1-2017, chapter 9.4) to an NFA, byte
 * by byte as in the C locale. Beyond POSIX: \w \W \s \S, \n \t, and {,m}. What
 * POSIX leaves undefined and people write by mistake is an error here: nothing
 * to repeat, an unmatched parenthesis, \d, back references, word boundaries.
 *
 * A pattern is untrusted. Depth, sizes and the work of writing out {n,m} are
 * bounded, so that no pattern takes long or overflows the stack.
 */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "compiler/regex.h"

enum re_kind { RN_EMPTY, RN_SET, RN_SEQ, RN_ALT, RN_REPEAT, RN_BOL, RN_EOL };

#define RN_NIL UINT32_MAX
#define RN_INF UINT32_MAX

struct re_tree {
	uint8_t kind;
	uint16_t set;
	uint32_t kid;  /* first child; of a SEQ: the last piece */
	uint32_t next; /* sibling; in a SEQ: the piece before */
	uint32_t min, max;
};

struct parser {
	const unsigned char *p;
	size_t len, at;
	struct re_tree *tree;
	uint32_t n, cap;
	struct re_nfa *nfa;
	uint32_t single[256]; /* set of one byte + 1, or 0 */
	uint32_t depth;
	uint32_t work;        /* pieces emitted */
	struct gf_err *err;
};

static uint32_t new_tree(struct parser *ps, enum re_kind kind)
{
	if (ps->n == ps->cap) {
		uint32_t cap = ps->cap ? ps->cap * 2 : 32;
		struct re_tree *t = realloc(ps->tree, cap * sizeof *t);
		if (!t)
			return RN_NIL;
		ps->tree = t;
		ps->cap = cap;
	}
	ps->tree[ps->n] = (struct re_tree){ .kind = (uint8_t)kind, .kid = RN_NIL, .next = RN_NIL };
	return ps->n++;
}

static int no_memory(struct parser *ps)
{
	return gf_err_set(ps->err, ENOMEM, "out of memory");
}

static int bad(struct parser *ps, size_t at, const char *sentence)
{
	ps->at = at;
	return gf_err_set(ps->err, EINVAL, "%s", sentence);
}

/* Number of an equal set already there, or of a new one. */
static int add_set(struct parser *ps, const struct re_set *s, uint32_t *ret)
{
	struct re_nfa *nfa = ps->nfa;
	for (uint32_t i = 0; i < nfa->sets; i++) {
		if (!memcmp(&nfa->set[i], s, sizeof *s)) {
			*ret = i;
			return 0;
		}
	}
	if (nfa->sets == RE_MAX_SETS)
		return gf_err_set(ps->err, E2BIG, "the pattern has more than %u different characters and sets; split it", RE_MAX_SETS);
	if (nfa->sets == nfa->sets_cap) {
		uint32_t cap = nfa->sets_cap ? nfa->sets_cap * 2 : 16;
		struct re_set *v = realloc(nfa->set, cap * sizeof *v);
		if (!v)
			return no_memory(ps);
		nfa->set = v;
		nfa->sets_cap = cap;
	}
	nfa->set[nfa->sets] = *s;
	*ret = nfa->sets++;
	return 0;
}

static int set_tree(struct parser *ps, const struct re_set *s, uint32_t *ret)
{
	uint32_t set;
	int r = add_set(ps, s, &set);
	if (r < 0)
		return r;
	uint32_t t = new_tree(ps, RN_SET);
	if (t == RN_NIL)
		return no_memory(ps);
	ps->tree[t].set = (uint16_t)set;
	*ret = t;
	return 0;
}

static int byte_tree(struct parser *ps, unsigned char c, uint32_t *ret)
{
	if (!ps->single[c]) {
		struct re_set s = { 0 };
		uint32_t set;
		re_set_add(&s, c);
		int r = add_set(ps, &s, &set);
		if (r < 0)
			return r;
		ps->single[c] = set + 1;
	}
	uint32_t t = new_tree(ps, RN_SET);
	if (t == RN_NIL)
		return no_memory(ps);
	ps->tree[t].set = (uint16_t)(ps->single[c] - 1);
	*ret = t;
	return 0;
}

/* The classes of the C locale, whatever locale the program runs in. */
static bool class_has(const char *name, size_t n, unsigned c, bool *ret_known)
{
#define IS(s) (n == sizeof s - 1 && !memcmp(name, s, n))
	bool upper = c >= 'A' && c <= 'Z', lower = c >= 'a' && c <= 'z', digit = c >= '0' && c <= '9';
	bool graph = c > ' ' && c < 127;
	*ret_known = true;
	if (IS("alpha"))
		return upper || lower;
	if (IS("digit"))
		return digit;
	if (IS("alnum"))
		return upper || lower || digit;
	if (IS("upper"))
		return upper;
	if (IS("lower"))
		return lower;
	if (IS("space"))
		return c == ' ' || (c >= '\t' && c <= '\r');
	if (IS("blank"))
		return c == ' ' || c == '\t';
	if (IS("punct"))
		return graph && !upper && !lower && !digit;
	if (IS("print"))
		return graph || c == ' ';
	if (IS("graph"))
		return graph;
	if (IS("cntrl"))
		return c < ' ' || c == 127;
	if (IS("xdigit"))
		return digit || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
#undef IS
	*ret_known = false;
	return false;
}

static void add_class(struct re_set *s, const char *name)
{
	bool known;
	for (unsigned c = 0; c < 256; c++)
		if (class_has(name, strlen(name), c, &known))
			re_set_add(s, c);
}

static void negate(struct re_set *s)
{
	for (int i = 0; i < 4; i++)
		s->w[i] = ~s->w[i];
}

/* [:alpha:], [.x.] or [=x=] at ps->at (on the inner '['). ret_c: the byte of the
 * latter two, or -1 after a class, which has been added to s. */
static int bracket_item(struct parser *ps, struct re_set *s, int *ret_c)
{
	size_t open = ps->at;
	unsigned char kind = ps->p[open + 1];
	size_t name = open + 2, end = name;
	while (end + 1 < ps->len && !(ps->p[end] == kind && ps->p[end + 1] == ']'))
		end++;
	if (end + 1 >= ps->len)
		return bad(ps, open, "'[:', '[.' or '[=' is never closed; to match '[' itself put it last");
	if (kind == ':') {
		bool known = false;
		for (unsigned c = 0; c < 256; c++)
			if (class_has((const char *)ps->p + name, end - name, c, &known))
				re_set_add(s, c);
		if (!known)
			return bad(ps, open, "not a character class; there are alpha digit alnum upper lower space blank punct print graph cntrl xdigit");
		*ret_c = -1;
	} else {
		if (end - name != 1)
			return bad(ps, open, "only a single character can stand in '[. .]' and '[= =]'");
		*ret_c = ps->p[name];
	}
	ps->at = end + 2;
	return 0;
}

/* One end of a range or a single byte. ret_c: -1 after a class. */
static int bracket_start(struct parser *ps, struct re_set *s, int *ret_c)
{
	unsigned char c = ps->p[ps->at];
	if (c == '[' && ps->at + 1 < ps->len && strchr(":.=", ps->p[ps->at + 1]) && ps->p[ps->at + 1])
		return bracket_item(ps, s, ret_c);
	if (c >= 0x80)
		return bad(ps, ps->at, "a bracket expression works on single bytes; write alternatives in parentheses for characters that are not ASCII");
	ps->at++;
	*ret_c = c;
	return 0;
}

/* A bracket expression; ps->at is on its '['. */
static int bracket(struct parser *ps, uint32_t *ret)
{
	struct re_set s = { 0 };
	size_t open = ps->at++;
	bool neg = ps->at < ps->len && ps->p[ps->at] == '^';
	bool ranged = false;
	ps->at += neg;
	for (size_t first = ps->at;; ) {
		int lo, hi, r;
		if (ps->at >= ps->len)
			return bad(ps, open, "'[' is never closed; write \\[ for the character itself");
		if (ps->p[ps->at] == ']' && ps->at > first)
			break;
		size_t item = ps->at;
		if (ps->p[item] == '-' && ranged && item + 1 < ps->len && ps->p[item + 1] != ']')
			return bad(ps, item, "'-' after a range; put it first or last to match it");
		if ((r = bracket_start(ps, &s, &lo)) < 0)
			return r;
		ranged = false;
		if (ps->at + 1 < ps->len && ps->p[ps->at] == '-' && ps->p[ps->at + 1] != ']') {
			ps->at++;
			if ((r = bracket_start(ps, &s, &hi)) < 0)
				return r;
			if (lo < 0 || hi < 0)
				return bad(ps, item, "a character class cannot be the end of a range");
			if (lo > hi)
				return bad(ps, item, "the range runs backwards");
			ranged = true;
		} else {
			hi = lo;
		}
		for (int c = lo; c >= 0 && c <= hi; c++)
			re_set_add(&s, (unsigned)c);
	}
	ps->at++;
	if (neg)
		negate(&s);
	return set_tree(ps, &s, ret);
}

/* A backslash and what follows; ps->at is on the backslash. */
static int escape(struct parser *ps, uint32_t *ret)
{
	size_t at = ps->at;
	if (at + 1 >= ps->len)
		return bad(ps, at, "'\\' at the end; write \\\\ for the character itself");
	unsigned char c = ps->p[at + 1];
	struct re_set s = { 0 };
	ps->at += 2;
	switch (c) {
	case 'w': case 'W':
		add_class(&s, "alnum");
		re_set_add(&s, '_');
		if (c == 'W')
			negate(&s);
		return set_tree(ps, &s, ret);
	case 's': case 'S':
		add_class(&s, "space");
		if (c == 'S')
			negate(&s);
		return set_tree(ps, &s, ret);
	case 'n':
		return byte_tree(ps, '\n', ret);
	case 't':
		return byte_tree(ps, '\t', ret);
	case 'd': case 'D':
		return bad(ps, at, "\\d is not part of POSIX regular expressions; write [0-9] or [^0-9]");
	case 'b': case 'B': case '<': case '>':
		return bad(ps, at, "word boundaries are not supported; write (^|[^[:alnum:]_]) before or ([^[:alnum:]_]|$) after the word");
	default:
		if (c >= '1' && c <= '9')
			return bad(ps, at, "back references are not supported");
		if (isalnum(c))
			return bad(ps, at, "no such escape; only characters that are special take a '\\'");
		return byte_tree(ps, c, ret);
	}
}

static int alternatives(struct parser *ps, uint32_t *ret);

static int atom(struct parser *ps, uint32_t *ret)
{
	size_t at = ps->at;
	struct re_set all = { .w = { ~0ull, ~0ull, ~0ull, ~0ull } };
	switch (ps->p[at]) {
	case '(': {
		if (at + 1 < ps->len && ps->p[at + 1] == '?')
			return bad(ps, at, "POSIX regular expressions have no (?...): a group is written (a|b), either letter [Aa]");
		if (++ps->depth > RE_MAX_DEPTH)
			return bad(ps, at, "groups are nested too deeply");
		ps->at++;
		int r = alternatives(ps, ret);
		if (r < 0)
			return r;
		if (ps->at >= ps->len)
			return bad(ps, at, "'(' is never closed; write \\( for the character itself");
		ps->at++;
		ps->depth--;
		return 0;
	}
	case '[':
		return bracket(ps, ret);
	case '\\':
		return escape(ps, ret);
	case '.':
		ps->at++;
		return set_tree(ps, &all, ret);
	case '*': case '+': case '?': case '{':
		return bad(ps, at, "there is nothing to repeat here; write a '\\' before the character to match it (and .* for 'anything')");
	case '^': case '$':
		ps->at++;
		*ret = new_tree(ps, ps->p[at] == '^' ? RN_BOL : RN_EOL);
		return *ret == RN_NIL ? no_memory(ps) : 0;
	default:
		ps->at++;
		return byte_tree(ps, ps->p[at], ret);
	}
}

static bool number(struct parser *ps, uint32_t *ret)
{
	uint32_t v = 0;
	size_t from = ps->at;
	while (ps->at < ps->len && ps->p[ps->at] >= '0' && ps->p[ps->at] <= '9') {
		v = GF_MIN(v * 10 + (uint32_t)(ps->p[ps->at] - '0'), 100000u);
		ps->at++;
	}
	*ret = v;
	return ps->at > from;
}

/* {n}, {n,}, {n,m} or {,m}; ps->at is on the '{'. */
static int interval(struct parser *ps, uint32_t *ret_min, uint32_t *ret_max)
{
	size_t open = ps->at++;
	bool has_min = number(ps, ret_min), has_max = false;
	*ret_max = *ret_min;
	if (ps->at < ps->len && ps->p[ps->at] == ',') {
		ps->at++;
		has_max = number(ps, ret_max);
		if (!has_max)
			*ret_max = RN_INF;
	}
	if (ps->at >= ps->len || ps->p[ps->at] != '}' || (!has_min && !has_max))
		return bad(ps, open, "'{' must be followed by how often, as {2}, {2,} or {2,5}; write \\{ for the character itself");
	if (*ret_min > RE_MAX_REPEAT || (*ret_max != RN_INF && *ret_max > RE_MAX_REPEAT))
		return bad(ps, open, "at most 255 repeats can be asked for");
	if (*ret_min > *ret_max)
		return bad(ps, open, "the smaller number comes first");
	ps->at++;
	return 0;
}

/* An atom with the operators after it. */
static int piece(struct parser *ps, uint32_t *ret)
{
	uint32_t ops = 0;
	int r = atom(ps, ret);
	if (r < 0)
		return r;
	/* An anchor outside parentheses cannot be repeated: the next atom() refuses the operator. */
	bool anchor = ps->tree[*ret].kind == RN_BOL || ps->tree[*ret].kind == RN_EOL;
	while (!anchor && ps->at < ps->len) {
		uint32_t min, max;
		size_t at = ps->at;
		unsigned char c = ps->p[at];
		if (c == '{') {
			if ((r = interval(ps, &min, &max)) < 0)
				return r;
		} else if (c == '*' || c == '+' || c == '?') {
			min = c == '+';
			max = c == '?' ? 1 : RN_INF;
			ps->at++;
		} else {
			break;
		}
		if (++ops > RE_MAX_DEPTH)
			return bad(ps, at, "too many repeat operators in a row");
		uint32_t t = new_tree(ps, RN_REPEAT);
		if (t == RN_NIL)
			return no_memory(ps);
		ps->tree[t].kid = *ret;
		ps->tree[t].min = min;
		ps->tree[t].max = max;
		*ret = t;
	}
	return 0;
}

static int sequence(struct parser *ps, uint32_t *ret)
{
	uint32_t seq = new_tree(ps, RN_SEQ);
	if (seq == RN_NIL)
		return no_memory(ps);
	while (ps->at < ps->len && ps->p[ps->at] != '|' && !(ps->p[ps->at] == ')' && ps->depth)) {
		uint32_t t = RN_NIL;
		if (ps->p[ps->at] == ')')
			return bad(ps, ps->at, "')' without '('; write \\) for the character itself");
		int r = piece(ps, &t);
		if (r < 0)
			return r;
		ps->tree[t].next = ps->tree[seq].kid;
		ps->tree[seq].kid = t;
	}
	*ret = seq;
	return 0;
}

static int alternatives(struct parser *ps, uint32_t *ret)
{
	uint32_t alt = new_tree(ps, RN_ALT);
	if (alt == RN_NIL)
		return no_memory(ps);
	for (;;) {
		uint32_t t = RN_NIL;
		int r = sequence(ps, &t);
		if (r < 0)
			return r;
		ps->tree[t].next = ps->tree[alt].kid;
		ps->tree[alt].kid = t;
		if (ps->at >= ps->len || ps->p[ps->at] != '|')
			break;
		ps->at++;
	}
	*ret = alt;
	return 0;
}

static int new_node(struct parser *ps, enum re_nfa_kind kind, uint32_t out0, uint32_t out1, uint32_t *ret)
{
	struct re_nfa *nfa = ps->nfa;
	if (nfa->n == RE_MAX_NFA)
		return gf_err_set(ps->err, E2BIG, "the pattern is too large once its repeats are written out; repeat less");
	if (nfa->n == nfa->cap) {
		uint32_t cap = nfa->cap ? nfa->cap * 2 : 64;
		struct re_nfa_node *v = realloc(nfa->node, cap * sizeof *v);
		if (!v)
			return no_memory(ps);
		nfa->node = v;
		nfa->cap = cap;
	}
	nfa->node[nfa->n] = (struct re_nfa_node){ .kind = (uint8_t)kind, .out = { out0, out1 } };
	*ret = nfa->n++;
	return 0;
}

static int emit(struct parser *ps, uint32_t t, uint32_t next, uint32_t *ret);

static int emit_repeat(struct parser *ps, const struct re_tree *t, uint32_t next, uint32_t *ret)
{
	uint32_t entry = next, body;
	int r;
	if (t->max == RN_INF) {
		if ((r = new_node(ps, RE_SPLIT, next, next, &entry)) < 0 || (r = emit(ps, t->kid, entry, &body)) < 0)
			return r;
		ps->nfa->node[entry].out[0] = body;
	} else {
		for (uint32_t i = t->min; i < t->max; i++)
			if ((r = emit(ps, t->kid, entry, &body)) < 0 || (r = new_node(ps, RE_SPLIT, body, next, &entry)) < 0)
				return r;
	}
	for (uint32_t i = 0; i < t->min; i++)
		if ((r = emit(ps, t->kid, entry, &entry)) < 0)
			return r;
	*ret = entry;
	return 0;
}

/* NFA nodes for the tree t, going on at `next`; ret: where to enter. */
static int emit(struct parser *ps, uint32_t at, uint32_t next, uint32_t *ret)
{
	const struct re_tree *t = &ps->tree[at];
	uint32_t entry;
	int r;
	/* Repeats of nothing make no nodes, so nodes alone do not bound the work. */
	if (++ps->work > 16 * RE_MAX_NFA)
		return gf_err_set(ps->err, E2BIG, "the pattern is too large once its repeats are written out; repeat less");
	switch (t->kind) {
	case RN_SET:
		if ((r = new_node(ps, RE_CHAR, next, next, ret)) < 0)
			return r;
		ps->nfa->node[*ret].set = t->set;
		return 0;
	case RN_BOL:
		return new_node(ps, RE_BOL, next, next, ret);
	case RN_EOL:
		return new_node(ps, RE_EOL, next, next, ret);
	case RN_SEQ:
		for (uint32_t k = t->kid; k != RN_NIL; k = ps->tree[k].next)
			if ((r = emit(ps, k, next, &next)) < 0)
				return r;
		*ret = next;
		return 0;
	case RN_ALT:
		if ((r = emit(ps, t->kid, next, &entry)) < 0)
			return r;
		for (uint32_t k = ps->tree[t->kid].next; k != RN_NIL; k = ps->tree[k].next) {
			uint32_t other;
			if ((r = emit(ps, k, next, &other)) < 0 || (r = new_node(ps, RE_SPLIT, other, entry, &entry)) < 0)
				return r;
		}
		*ret = entry;
		return 0;
	case RN_REPEAT:
		return emit_repeat(ps, t, next, ret);
	default:
		*ret = next;
		return 0;
	}
}

/* ret must be zeroed; free it with re_nfa_deinit, also after an error. */
int re_parse(const char *pattern, size_t len, struct re_nfa *ret, size_t *ret_at, struct gf_err *err)
{
	struct parser ps = { .p = (const unsigned char *)pattern, .len = len, .nfa = ret, .err = err };
	uint32_t root, final;
	int r;
	*ret_at = 0;
	if (len > RE_MAX_LEN)
		return gf_err_set(err, E2BIG, "the pattern is longer than %u bytes", RE_MAX_LEN);
	r = alternatives(&ps, &root);
	if (r == 0 && (r = new_node(&ps, RE_FINAL, 0, 0, &final)) == 0)
		r = emit(&ps, root, final, &ret->start);
	if (r == -EINVAL)
		*ret_at = ps.at;
	free(ps.tree);
	return r;
}

void re_nfa_deinit(struct re_nfa *nfa)
{
	free(nfa->node);
	free(nfa->set);
	*nfa = (struct re_nfa){ 0 };
}
