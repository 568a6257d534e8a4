/* SPDX-License-Identifier: MIT
 *
 * Between the two halves of the regular expression compiler: regex_parse.c
 * turns a pattern into an NFA, regex_dfa.c an NFA into a minimal DFA.
 */
#ifndef GPUFAS_REGEX_H
#define GPUFAS_REGEX_H

#include <stdint.h>

#include "compiler/sema.h"

#define RE_MAX_LEN 32768u   /* bytes of a pattern */
#define RE_MAX_DEPTH 200u   /* nested groups, or repeat operators in a row */
#define RE_MAX_REPEAT 255u  /* the numbers in {n,m} */
#define RE_MAX_SETS 1024u   /* different sets of bytes in one pattern */
#define RE_MAX_NFA 16384u   /* NFA nodes, after {n,m} has been written out */

struct re_set {
	uint64_t w[4]; /* one bit a byte */
};

static inline bool re_set_has(const struct re_set *s, unsigned c)
{
	return s->w[c >> 6] >> (c & 63) & 1;
}

static inline void re_set_add(struct re_set *s, unsigned c)
{
	s->w[c >> 6] |= 1ull << (c & 63);
}

enum re_nfa_kind { RE_CHAR, RE_SPLIT, RE_BOL, RE_EOL, RE_FINAL };

struct re_nfa_node {
	uint8_t kind;    /* enum re_nfa_kind */
	uint16_t set;    /* CHAR */
	uint32_t out[2]; /* SPLIT has two */
};

struct re_nfa {
	struct re_nfa_node *node;
	uint32_t n, cap;
	uint32_t start;
	struct re_set *set;
	uint32_t sets, sets_cap;
};

int re_parse(const char *pattern, size_t len, struct re_nfa *ret, size_t *ret_at, struct gf_err *err);
void re_nfa_deinit(struct re_nfa *nfa);
int re_determinise(const struct re_nfa *nfa, struct gf_automaton *ret, struct gf_err *err);
/* Merges equal states and equal byte classes, numbers states in the order in
 * which they are reached from the start. dfa->states may be over the limit of
 * the format before; -E2BIG if it still is after. */
struct re_dfa {
	uint32_t states, classes;
	uint8_t class_of[256];
	uint32_t *trans;
	uint8_t *accept;
};
int re_minimise(struct re_dfa *dfa, struct gf_automaton *ret, struct gf_err *err);

#endif
