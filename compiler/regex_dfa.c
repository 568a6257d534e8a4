/* SPDX-License-Identifier: MIT
 *
 * NFA to DFA by subset construction. The search for a match anywhere is in the
 * automaton: the start node is added at every byte, and once the final node is
 * reached the state accepts for good. '^' passes only while nothing has been
 * read, '$' only when acceptance is asked for.
 *
 * Time and memory are bounded by counters, so that a hostile pattern ends with
 * an error and not with a wait.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "compiler/regex.h"

#define MAX_STATES (2 * GF_MAX_DFA_STATES) /* before minimising */
#define MAX_MEMBERS (4u << 20)             /* NFA nodes in all sets together */
#define MAX_WORK (24u << 20)               /* nodes visited */

struct subset {
	const struct re_nfa *nfa;
	struct re_dfa *dfa;
	uint8_t rep[256];    /* a byte of each class */
	uint32_t *stack;
	uint64_t *mark;      /* nodes visited by the closure at hand */
	uint64_t *in;        /* those of them that a state is made of */
	uint32_t words;
	uint32_t *member;    /* pool of all states' members, ascending */
	uint32_t members, members_cap;
	uint32_t *first;     /* [states + 1] */
	uint32_t states_cap;
	uint32_t *hash;      /* state + 1, open addressing */
	uint32_t hash_cap;
	uint32_t work;
	struct gf_err *err;
};

static int too_complex(struct gf_err *err)
{
	return gf_err_set(err, E2BIG, "the pattern needs too many states (at most %u); anchor it with ^, repeat less or split it", GF_MAX_DFA_STATES);
}

/* Bytes that no set tells apart share a class. */
static void make_classes(struct subset *ss)
{
	uint32_t n = 1;
	uint8_t *cls = ss->dfa->class_of;
	memset(cls, 0, 256);
	for (uint32_t i = 0; i < ss->nfa->sets; i++) {
		uint16_t to[256][2];
		uint32_t count = 0;
		memset(to, 0xff, sizeof to);
		for (unsigned c = 0; c < 256; c++) {
			uint16_t *t = &to[cls[c]][re_set_has(&ss->nfa->set[i], c)];
			if (*t == 0xffff)
				*t = (uint16_t)count++;
			cls[c] = (uint8_t)*t;
		}
		n = count;
		if (n == 256)
			break;
	}
	for (unsigned c = 256; c-- > 0; )
		ss->rep[cls[c]] = (uint8_t)c;
	ss->dfa->classes = n;
}

static void clear(struct subset *ss)
{
	memset(ss->mark, 0, ss->words * sizeof *ss->mark);
	memset(ss->in, 0, ss->words * sizeof *ss->in);
}

/* Follows what needs no byte from `node`. Returns whether the final node was met. */
static bool closure(struct subset *ss, uint32_t node, bool at_start, bool at_end)
{
	uint32_t n = 0;
	bool final = false;
	ss->stack[n++] = node;
	while (n) {
		uint32_t k = ss->stack[--n];
		const struct re_nfa_node *nd = &ss->nfa->node[k];
		if (ss->mark[k / 64] >> (k % 64) & 1)
			continue;
		ss->mark[k / 64] |= 1ull << (k % 64);
		ss->work++;
		switch (nd->kind) {
		case RE_SPLIT:
			ss->stack[n++] = nd->out[1];
			ss->stack[n++] = nd->out[0];
			break;
		case RE_BOL:
			if (at_start)
				ss->stack[n++] = nd->out[0];
			break;
		case RE_EOL:
			ss->in[k / 64] |= 1ull << (k % 64);
			if (at_end)
				ss->stack[n++] = nd->out[0];
			break;
		case RE_FINAL:
			final = true;
			break;
		default:
			ss->in[k / 64] |= 1ull << (k % 64);
		}
	}
	return final;
}

static int grow(void **p, uint32_t *cap, uint32_t need, size_t size)
{
	uint32_t c = *cap ? *cap : 64;
	while (c < need)
		c *= 2;
	if (c == *cap)
		return 0;
	void *q = realloc(*p, c * size);
	if (!q)
		return -ENOMEM;
	*p = q;
	*cap = c;
	return 0;
}

static int grow_states(struct subset *ss)
{
	uint32_t n = ss->dfa->states + 2, cap = ss->states_cap;
	if (n <= cap)
		return 0;
	cap = cap ? cap * 2 : 32;
	uint32_t *first = realloc(ss->first, (cap + 1) * sizeof *first);
	if (first)
		ss->first = first;
	uint32_t *trans = realloc(ss->dfa->trans, (size_t)cap * ss->dfa->classes * sizeof *trans);
	if (trans)
		ss->dfa->trans = trans;
	uint8_t *accept = realloc(ss->dfa->accept, cap);
	if (accept)
		ss->dfa->accept = accept;
	if (!first || !trans || !accept)
		return -ENOMEM;
	ss->states_cap = cap;
	return 0;
}

static uint32_t hash_members(const uint32_t *m, uint32_t n)
{
	uint64_t h = 0x9e3779b97f4a7c15ull ^ n;
	for (uint32_t i = 0; i < n; i++) {
		h = (h ^ m[i]) * 0xff51afd7ed558ccdull;
		h ^= h >> 29;
	}
	return (uint32_t)(h ^ h >> 32);
}

static int rehash(struct subset *ss)
{
	uint32_t cap = ss->hash_cap ? ss->hash_cap * 2 : 128;
	uint32_t *h = calloc(cap, sizeof *h);
	if (!h)
		return -ENOMEM;
	/* State 0 is left out: nothing has been read there, which '^' can tell. */
	for (uint32_t s = 1; s < ss->dfa->states; s++) {
		uint32_t i = hash_members(ss->member + ss->first[s], ss->first[s + 1] - ss->first[s]);
		while (h[i & (cap - 1)])
			i++;
		h[i & (cap - 1)] = s + 1;
	}
	free(ss->hash);
	ss->hash = h;
	ss->hash_cap = cap;
	return 0;
}

/* The state made of ss->in (or, when final, of the final node alone). */
static int find_state(struct subset *ss, bool final, bool is_start, uint32_t *ret)
{
	uint32_t from = ss->members, n = 0;
	struct re_dfa *dfa = ss->dfa;
	if (grow((void **)&ss->member, &ss->members_cap, from + ss->nfa->n + 1, sizeof *ss->member) < 0)
		return gf_err_set(ss->err, ENOMEM, "out of memory");
	if (final) {
		ss->member[from + n++] = UINT32_MAX;
	} else {
		for (uint32_t w = 0; w < ss->words; w++)
			for (uint64_t bits = ss->in[w]; bits; bits &= bits - 1)
				ss->member[from + n++] = w * 64 + (uint32_t)__builtin_ctzll(bits);
	}
	if ((dfa->states + 1) * 2 > ss->hash_cap && rehash(ss) < 0)
		return gf_err_set(ss->err, ENOMEM, "out of memory");
	uint32_t i = hash_members(ss->member + from, n);
	for (; !is_start && ss->hash[i & (ss->hash_cap - 1)]; i++) {
		uint32_t s = ss->hash[i & (ss->hash_cap - 1)] - 1;
		if (ss->first[s + 1] - ss->first[s] == n && !memcmp(ss->member + ss->first[s], ss->member + from, n * sizeof *ss->member)) {
			*ret = s;
			return 0;
		}
	}
	if (dfa->states == MAX_STATES || from + n > MAX_MEMBERS)
		return too_complex(ss->err);
	if (grow_states(ss) < 0)
		return gf_err_set(ss->err, ENOMEM, "out of memory");
	uint32_t s = dfa->states++;
	ss->first[s] = from;
	ss->first[s + 1] = ss->members = from + n;
	if (!is_start)
		ss->hash[i & (ss->hash_cap - 1)] = s + 1;
	*ret = s;
	return 0;
}

static void set_accept(struct subset *ss, uint32_t s, bool final, bool at_start)
{
	clear(ss);
	for (uint32_t i = ss->first[s]; !final && i < ss->first[s + 1]; i++)
		if (ss->nfa->node[ss->member[i]].kind == RE_EOL)
			final = closure(ss, ss->member[i], at_start, true);
	ss->dfa->accept[s] = final;
}

static int fill_state(struct subset *ss, uint32_t s)
{
	struct re_dfa *dfa = ss->dfa;
	bool final = ss->first[s + 1] > ss->first[s] && ss->member[ss->first[s]] == UINT32_MAX;
	set_accept(ss, s, final, s == 0);
	for (uint32_t c = 0; c < dfa->classes; c++) {
		uint32_t to = s;
		if (!final) {
			bool reached;
			clear(ss);
			reached = closure(ss, ss->nfa->start, false, false);
			for (uint32_t i = ss->first[s]; i < ss->first[s + 1]; i++) {
				const struct re_nfa_node *nd = &ss->nfa->node[ss->member[i]];
				if (nd->kind == RE_CHAR && re_set_has(&ss->nfa->set[nd->set], ss->rep[c]))
					reached |= closure(ss, nd->out[0], false, false);
			}
			ss->work += ss->first[s + 1] - ss->first[s] + ss->words;
			if (ss->work > MAX_WORK)
				return too_complex(ss->err);
			int r = find_state(ss, reached, false, &to);
			if (r < 0)
				return r;
		}
		dfa->trans[(size_t)s * dfa->classes + c] = to;
	}
	return 0;
}

static int build(struct subset *ss)
{
	uint32_t start;
	make_classes(ss);
	clear(ss);
	bool final = closure(ss, ss->nfa->start, true, false);
	int r = find_state(ss, final, true, &start);
	for (uint32_t s = 0; r == 0 && s < ss->dfa->states; s++)
		r = fill_state(ss, s);
	return r;
}

int re_determinise(const struct re_nfa *nfa, struct gf_automaton *ret, struct gf_err *err)
{
	struct re_dfa dfa = { 0 };
	struct subset ss = { .nfa = nfa, .dfa = &dfa, .words = (nfa->n + 63) / 64, .err = err };
	int r;
	/* A node is pushed by each edge to it at most once before it is marked. */
	ss.stack = malloc((2 * (size_t)nfa->n + 2) * sizeof *ss.stack);
	ss.mark = malloc(2 * ss.words * sizeof *ss.mark);
	ss.in = ss.mark ? ss.mark + ss.words : NULL;
	if (ss.stack && ss.mark)
		r = build(&ss);
	else
		r = gf_err_set(err, ENOMEM, "out of memory");
	free(ss.stack);
	free(ss.mark);
	free(ss.member);
	free(ss.first);
	free(ss.hash);
	if (r == 0)
		r = re_minimise(&dfa, ret, err);
	free(dfa.trans);
	free(dfa.accept);
	return r;
}

int gf_regex_compile(const char *pattern, size_t len, struct gf_automaton *ret, size_t *ret_at, struct gf_err *err)
{
	struct re_nfa nfa = { 0 };
	size_t at = 0;
	int r = re_parse(pattern, len, &nfa, &at, err);
	if (r == 0)
		r = re_determinise(&nfa, ret, err);
	else if (ret_at)
		*ret_at = at;
	if (r < 0 && r != -EINVAL && ret_at)
		*ret_at = 0;
	re_nfa_deinit(&nfa);
	return r;
}
