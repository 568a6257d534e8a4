/* SPDX-License-Identifier: MIT
 *
 * Meaning: sema turns trees into this, lower turns this into code. Expressions
 * here are typed and resolved: lets expanded, percentages turned into products,
 * derived fields into histories, sets and patterns into matches.
 */
#ifndef GPUFAS_SEMA_H
#define GPUFAS_SEMA_H

#include "compiler/compiler.h"
#include "grammar/ast.h"

enum gf_node_kind {
	/* numbers */
	GF_N_CONST,   /* num */
	GF_N_HOST,    /* id: enum gf_host_field */
	GF_N_TASK,    /* id: enum gf_task_field */
	GF_N_PATH,    /* pattern: a kernel path's text */
	GF_N_ADD, GF_N_SUB, GF_N_MUL, GF_N_DIV, GF_N_NEG,
	GF_N_AGG,     /* id: enum gf_agg_kind; kid[0] predicate or NULL (all), kid[1] number or NULL */
	GF_N_TREE,    /* kid[0] number: sum over the task and its descendants */
	GF_N_HIST,    /* id: enum gf_stat, window_ns; kid[0] number */
	GF_N_PV,      /* kid[0] predicate as 0/1 number */
	/* predicates */
	GF_N_TRUE, GF_N_FALSE,
	GF_N_LT, GF_N_LE, GF_N_GT, GF_N_GE, GF_N_EQ, GF_N_NE, /* kid[0], kid[1] numbers */
	GF_N_AND, GF_N_OR, GF_N_NOT,
	GF_N_MATCH,   /* id: enum gf_str_field, pattern: anchored regular expression text understood by gf_regex_compile */
	GF_N_KNOWN,   /* kid[0] number */
	GF_N_HELD,    /* kid[0] predicate, window_ns (or periods: count) */
	GF_N_PARENT, GF_N_ANCESTOR, /* kid[0] predicate */
	GF_N_ANYCOL,  /* kid[0] predicate: true for some task (aggregate ANY as truth) */
};

struct gf_node {
	enum gf_node_kind kind;
	enum gf_scope scope;  /* TASK when any part reads the task at hand */
	enum gf_dim dim;      /* of numbers */
	struct gf_span span;
	const struct gf_expr *expr; /* where it came from, for texts; of a leaf: the whole comparison */
	struct gf_node *kid[2];
	uint32_t id;
	double num;
	uint64_t window_ns;
	uint64_t count;
	const char *pattern; /* MATCH, PATH */
	uint64_t hash;        /* of everything that decides the value: equal hash = same value */
	bool term;            /* a leaf for explanations */
};

struct gf_sema_note {
	const char *text;      /* literal before */
	struct gf_node *value; /* number or NULL */
	uint32_t str;          /* enum gf_str_field + 1, or 0 */
};

struct gf_sema_step {
	struct gf_step_ast *ast;
	uint8_t action, pick, group;
	int32_t arg;
	uint32_t n;
	struct gf_node *where, *key;
	uint64_t after_ns;
	uint8_t limit;         /* enum gf_limit_kind */
	double amount;
	struct gf_node *value; /* LIMIT: the amount where it is no constant, or NULL */
	struct gf_sema_note *note;
	uint32_t notes;
};

struct gf_sema_rule {
	struct gf_stmt *ast;
	const char *name, *title;
	struct gf_node *cond;   /* without for and until */
	struct gf_node *until;  /* or NULL */
	enum gf_for_kind hold;
	uint64_t hold_ns, hold_count;
	bool task;              /* cond, or until, reads task fields */
	bool observe;
	int32_t priority;
	uint64_t cooldown_ns, settle_ns, limit_ns;
	uint32_t limit_n;
	struct gf_sema_step *step;
	uint32_t steps;
	struct gf_sema_note *note;
	uint32_t notes;
};

struct gf_sema_class {
	struct gf_stmt *ast;
	uint8_t kind; /* enum gf_class_kind */
	struct gf_node *cond;
};

struct gf_sema {
	struct gf_sema_rule *rule; /* in order of priority, then text */
	uint32_t rules;
	struct gf_sema_class *klass;
	uint32_t classes;
	const struct gf_source *src;
	size_t srcs;
	void *arena;
};

/* Names, types, ranges, lints. 0 and a result (also when diags has warnings),
 * -EINVAL with diags->errors > 0, -ENOMEM. Trees must outlive the result. */
int gf_sema(struct gf_ast *const *ast, size_t n, const struct gf_source *src, const struct gf_compile_opts *opts,
	    struct gf_diags *diags, struct gf_sema **ret);
void gf_sema_free(struct gf_sema *s);

/* Checked meaning to image (malloc'ed; the caller verifies). Limits of the format go to diags. */
int gf_lower(const struct gf_sema *s, const struct gf_compile_opts *opts, struct gf_diags *diags,
	     struct gf_image_header **ret, size_t *ret_size);

/* A deterministic automaton from a POSIX ERE (byte-wise, no back references; ^ and $
 * anchor, otherwise it matches anywhere). Minimised. -EINVAL with the offset of what
 * is wrong in the pattern and a sentence; -E2BIG past GF_MAX_DFA_STATES. */
struct gf_automaton {
	uint16_t states, classes;
	uint8_t class_of[256];
	uint16_t *trans;  /* [states * classes] */
	uint8_t *accept;  /* [states] */
};
int gf_regex_compile(const char *pattern, size_t len, struct gf_automaton *ret, size_t *ret_at, struct gf_err *err);
/* A glob (* ? [a-z] [!a-z] \x; matches the whole string) as an anchored ERE; malloc'ed. */
char *gf_glob_to_regex(const char *glob, size_t len);
/* Literal strings as one anchored ERE ^(a|b|c)$, everything special escaped; malloc'ed. */
char *gf_set_to_regex(const char *const *s, const size_t *len, size_t n);
bool gf_automaton_matches_all(const struct gf_automaton *a);  /* accepts every string */
bool gf_automaton_matches_none(const struct gf_automaton *a);
void gf_automaton_deinit(struct gf_automaton *a);

#endif
