/* SPDX-License-Identifier: MIT
 *
 * DFA minimisation (Hopcroft: n log n in states, so that the largest automaton
 * that subset construction may hand over is no wait), merging of byte classes
 * that no state tells apart any more, and numbering from the start.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "compiler/regex.h"

/* A partition of the states: blocks are slices of elem. */
struct partition {
	uint32_t n, blocks;
	uint32_t *elem, *where; /* where[elem[i]] == i */
	uint32_t *block;        /* of a state */
	uint32_t *first, *end;  /* of a block */
	uint32_t *marked;       /* of a block: so many of its first elements are marked */
	uint32_t *queue, queued;
	uint8_t *in_queue;
	uint32_t *touched;
	uint32_t *copy;         /* of the splitter: it may be split itself meanwhile */
	uint32_t *inv_first, *inv; /* states that go to a state: inv[inv_first[c * n + t]...] */
};

static void mark(struct partition *p, uint32_t s, uint32_t *n_touched)
{
	uint32_t b = p->block[s], i = p->where[s], k = p->first[b] + p->marked[b];
	if (i < k)
		return;
	if (!p->marked[b]++)
		p->touched[(*n_touched)++] = b;
	uint32_t other = p->elem[k];
	p->elem[k] = s;
	p->where[s] = k;
	p->elem[i] = other;
	p->where[other] = i;
}

static void enqueue(struct partition *p, uint32_t b)
{
	if (p->in_queue[b])
		return;
	p->in_queue[b] = 1;
	p->queue[p->queued++] = b;
}

/* Makes the marked elements of b a block of their own. */
static void split(struct partition *p, uint32_t b)
{
	uint32_t m = p->marked[b];
	p->marked[b] = 0;
	if (m == p->end[b] - p->first[b])
		return;
	uint32_t nb = p->blocks++;
	p->first[nb] = p->first[b];
	p->end[nb] = p->first[b] = p->first[b] + m;
	p->marked[nb] = 0;
	for (uint32_t i = p->first[nb]; i < p->end[nb]; i++)
		p->block[p->elem[i]] = nb;
	if (p->in_queue[b] || m <= p->end[b] - p->first[b])
		enqueue(p, nb);
	else
		enqueue(p, b);
}

static void refine(struct partition *p, uint32_t classes)
{
	while (p->queued) {
		uint32_t b = p->queue[--p->queued], m = p->end[b] - p->first[b];
		p->in_queue[b] = 0;
		memcpy(p->copy, p->elem + p->first[b], m * sizeof *p->copy);
		for (uint32_t c = 0; c < classes; c++) {
			uint32_t touched = 0;
			for (uint32_t i = 0; i < m; i++) {
				size_t t = (size_t)c * p->n + p->copy[i];
				for (uint32_t k = p->inv_first[t]; k < p->inv_first[t + 1]; k++)
					mark(p, p->inv[k], &touched);
			}
			for (uint32_t i = 0; i < touched; i++)
				split(p, p->touched[i]);
		}
	}
}

static void invert(struct partition *p, const struct re_dfa *dfa)
{
	uint32_t n = p->n, classes = dfa->classes;
	for (uint32_t s = 0; s < n; s++)
		for (uint32_t c = 0; c < classes; c++)
			p->inv_first[(size_t)c * n + dfa->trans[(size_t)s * classes + c] + 1]++;
	for (size_t i = 0; i < (size_t)n * classes; i++)
		p->inv_first[i + 1] += p->inv_first[i];
	/* Filled backwards: each start moves down to its own as its last entry goes in. */
	for (size_t i = (size_t)n * classes; i > 0; i--)
		p->inv_first[i] = p->inv_first[i - 1];
	p->inv_first[0] = 0;
	for (uint32_t s = 0; s < n; s++)
		for (uint32_t c = 0; c < classes; c++)
			p->inv[p->inv_first[(size_t)c * n + dfa->trans[(size_t)s * classes + c] + 1]++] = s;
}

static void start_partition(struct partition *p, const uint8_t *accept)
{
	uint32_t n = p->n, yes = 0;
	for (uint32_t pass = 2; pass-- > 0; )
		for (uint32_t s = 0; s < n; s++)
			if (accept[s] == pass) {
				p->where[s] = yes;
				p->elem[yes++] = s;
			}
	yes = 0;
	for (uint32_t s = 0; s < n; s++)
		yes += accept[s];
	p->blocks = 0;
	for (uint32_t k = 0; k < 2; k++) {
		uint32_t from = k ? yes : 0, to = k ? n : yes;
		if (from == to)
			continue;
		for (uint32_t i = from; i < to; i++)
			p->block[p->elem[i]] = p->blocks;
		p->first[p->blocks] = from;
		p->end[p->blocks] = to;
		enqueue(p, p->blocks++);
	}
}

static uint64_t column_hash(const struct gf_automaton *a, uint32_t c)
{
	uint64_t h = 1;
	for (uint32_t s = 0; s < a->states; s++) {
		h = (h ^ a->trans[s * a->classes + c]) * 0xff51afd7ed558ccdull;
		h ^= h >> 31;
	}
	return h;
}

static bool same_column(const struct gf_automaton *a, uint32_t c, uint32_t d)
{
	for (uint32_t s = 0; s < a->states; s++)
		if (a->trans[s * a->classes + c] != a->trans[s * a->classes + d])
			return false;
	return true;
}

static void merge_classes(struct gf_automaton *a)
{
	uint64_t hash[256];
	uint8_t to[256], keep[256];
	uint32_t n = 0;
	for (uint32_t c = 0; c < a->classes; c++) {
		uint32_t k = 0;
		hash[c] = column_hash(a, c);
		while (k < n && !(hash[keep[k]] == hash[c] && same_column(a, keep[k], c)))
			k++;
		if (k == n)
			keep[n++] = (uint8_t)c;
		to[c] = (uint8_t)k;
	}
	for (uint32_t s = 0; s < a->states; s++)
		for (uint32_t k = 0; k < n; k++)
			a->trans[s * n + k] = a->trans[s * a->classes + keep[k]];
	for (unsigned c = 0; c < 256; c++)
		a->class_of[c] = to[a->class_of[c]];
	a->classes = (uint16_t)n;
}

/* The automaton of blocks, numbered as a breadth-first walk from the start finds them. */
static int quotient(const struct partition *p, const struct re_dfa *dfa, struct gf_automaton *ret, struct gf_err *err)
{
	uint32_t classes = dfa->classes, n = 1;
	uint32_t *number = malloc(p->blocks * sizeof *number), *order = malloc(p->blocks * sizeof *order);
	struct gf_automaton a = { .classes = (uint16_t)classes };
	a.trans = malloc((size_t)p->blocks * classes * sizeof *a.trans);
	a.accept = malloc(p->blocks);
	if (!number || !order || !a.trans || !a.accept) {
		free(number);
		free(order);
		gf_automaton_deinit(&a);
		return gf_err_set(err, ENOMEM, "out of memory");
	}
	memset(number, 0xff, p->blocks * sizeof *number);
	order[0] = p->block[0];
	number[order[0]] = 0;
	for (uint32_t i = 0; i < n; i++) {
		uint32_t s = p->elem[p->first[order[i]]];
		a.accept[i] = dfa->accept[s];
		for (uint32_t c = 0; c < classes; c++) {
			uint32_t b = p->block[dfa->trans[(size_t)s * classes + c]];
			if (number[b] == UINT32_MAX) {
				number[b] = n;
				order[n++] = b;
			}
			a.trans[(size_t)i * classes + c] = (uint16_t)number[b];
		}
	}
	free(number);
	free(order);
	a.states = (uint16_t)n;
	memcpy(a.class_of, dfa->class_of, 256);
	merge_classes(&a);
	*ret = a;
	return 0;
}

int re_minimise(struct re_dfa *dfa, struct gf_automaton *ret, struct gf_err *err)
{
	uint32_t n = dfa->states;
	size_t edges = (size_t)n * dfa->classes;
	struct partition p = { .n = n };
	uint32_t *pool = malloc((size_t)n * 9 * sizeof *pool);
	p.in_queue = calloc(n, 1);
	p.inv_first = calloc(edges + 2, sizeof *p.inv_first);
	p.inv = malloc(edges * sizeof *p.inv);
	int r;
	if (pool && p.in_queue && p.inv_first && p.inv) {
		uint32_t **part[] = { &p.elem, &p.where, &p.block, &p.first, &p.end, &p.marked, &p.queue, &p.touched, &p.copy };
		for (size_t i = 0; i < sizeof part / sizeof *part; i++)
			*part[i] = pool + i * n;
		memset(p.marked, 0, n * sizeof *p.marked);
		invert(&p, dfa);
		start_partition(&p, dfa->accept);
		refine(&p, dfa->classes);
		if (p.blocks > GF_MAX_DFA_STATES)
			r = gf_err_set(err, E2BIG, "the pattern needs %u states (at most %u); anchor it with ^, repeat less or split it", p.blocks, GF_MAX_DFA_STATES);
		else
			r = quotient(&p, dfa, ret, err);
	} else {
		r = gf_err_set(err, ENOMEM, "out of memory");
	}
	free(pool);
	free(p.in_queue);
	free(p.inv_first);
	free(p.inv);
	return r;
}

bool gf_automaton_matches_all(const struct gf_automaton *a)
{
	return a->states == 1 && a->accept[0];
}

bool gf_automaton_matches_none(const struct gf_automaton *a)
{
	return a->states == 1 && !a->accept[0];
}

void gf_automaton_deinit(struct gf_automaton *a)
{
	free(a->trans);
	free(a->accept);
	*a = (struct gf_automaton){ 0 };
}
