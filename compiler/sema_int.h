/* SPDX-License-Identifier: MIT
 *
 * What the parts of sema share. Nothing outside compiler/sema*.c includes this.
 *
 * A NULL node is "something was wrong here and has been said" (or memory ran
 * out: ctx->oom): whoever gets one passes it on and says nothing more.
 */
#ifndef GPUFAS_SEMA_INT_H
#define GPUFAS_SEMA_INT_H

#include <math.h>
#include <string.h>

#include "compiler/sema.h"

/* What a percentage of a number is: enum gf_pct, and two cases that only expressions have. */
enum {
	BASE_NONE = GF_PCT_NO,
	BASE_MEM = GF_PCT_MEM,
	BASE_SWAP = GF_PCT_SWAP,
	BASE_SELF = GF_PCT_SELF,
	BASE_RATIO, /* quotient of like things: 50% is 0.5 */
	BASE_MIX,   /* a sum of things of which a percentage is different */
};

enum { BOUND_NONE, BOUND_ABS, BOUND_RATIO };

#define GF_SEMA_MAX_SIZE  4096u /* nodes of one condition, lets expanded */
#define GF_SEMA_MAX_DEPTH 200u
#define GF_SEMA_MAX_ITEMS 64u   /* operands of one and/or that are held against each other */

/* In gf_snode.need, behind all fields. */
#define GF_SEMA_NEED_PATH 127u

/* Why a kernel path leads nowhere in the kernel at hand. */
struct gf_path_fault {
	const char *what, *hint; /* hint or NULL */
	uint32_t at, len;        /* the part of the path that it is about */
};

/* A node, and what is known of it while it is being checked. */
struct gf_snode {
	struct gf_node n; /* first: struct gf_node * and struct gf_snode * convert */
	/* numbers */
	uint8_t base;
	bool lit_pct;    /* a percentage that waits for what it is of; n.num is 80 for 80% */
	bool cnt;        /* a counter's own value */
	const struct gf_path_fault *fault; /* of a kernel path that this kernel does not have, or NULL */
	double lo, hi;   /* least and greatest value */
	double rlo, rhi; /* the same in units of mem.total or swap.total; NAN: not known */
	/* predicates */
	bool target;     /* TRUE or FALSE because of the target, not of the text */
	uint8_t bound_kind;
	uint8_t op;      /* normal form: the number with hash `key` OP bound */
	double bound;
	uint64_t key;
	uint64_t keys;   /* one bit for each leaf below, by its key: a quick test for implication */
	const char *const *text; /* of a match that is one of these texts, and nothing else; or NULL */
	uint32_t texts;
	uint8_t text_of; /* one bit for each text field that is compared so, here or below */
	/* both */
	uint64_t need[2]; /* fields in it that the target can never give, by index, unless guarded; NEED_PATH: kernel paths */
	uint32_t size;
};

/* Names to pointers, open addressing. */
struct gf_names {
	struct gf_name_slot { const char *key; void *value; } *slot;
	size_t cap, used;
};

struct gf_let {
	const struct gf_stmt *stmt;
	struct gf_node *node;
	uint32_t text_size; /* expressions in it when written out */
	enum { LET_NEW, LET_BUSY, LET_DONE } state;
	bool used;
};

struct gf_pattern {
	int result; /* of gf_regex_compile */
	size_t at;
	bool all, none, too_long;
	struct gf_err err;
};

struct gf_sema_ctx {
	const struct gf_compile_opts *opts;
	struct gf_diags *diags;
	struct gf_sema *out;
	struct gf_names lets, rules, patterns;
	const struct gf_stmt *rule; /* whose `allow` is in force, or NULL */
	uint64_t period_ns;
	unsigned depth;
	bool never;   /* the rule at hand is never true for this target: what the target lacks is no error in it */
	bool partial; /* the text has syntax errors: names may be missing because of them */
	bool oom;
};

static inline struct gf_snode *gf_sn(struct gf_node *n)
{
	return (struct gf_snode *)n;
}

static inline const struct gf_snode *gf_csn(const struct gf_node *n)
{
	return (const struct gf_snode *)n;
}

static inline bool gf_node_is_pred(const struct gf_node *n)
{
	return n->kind >= GF_N_TRUE;
}

static inline bool gf_node_is_const(const struct gf_node *n)
{
	return n->kind == GF_N_CONST;
}

/* sema_util.c */
void *gf_sema_alloc(struct gf_sema_ctx *c, size_t size); /* zeroed; NULL sets c->oom */
__attribute__((format(printf, 2, 3)))
const char *gf_sema_printf(struct gf_sema_ctx *c, const char *fmt, ...); /* never NULL */
__attribute__((format(printf, 5, 6)))
struct gf_diag *gf_sema_error(struct gf_sema_ctx *c, const char *code, struct gf_span span, const char *hint,
			      const char *fmt, ...);
/* Silenced by the rule's `allow` and by opts->warnings_off. */
__attribute__((format(printf, 5, 6)))
struct gf_diag *gf_sema_warn(struct gf_sema_ctx *c, const char *code, struct gf_span span, const char *hint,
			     const char *fmt, ...);
/* The expression as the user would write it, cut to a length that fits a sentence. */
const char *gf_sema_text(struct gf_sema_ctx *c, const struct gf_expr *e);
const char *gf_sema_quoted(struct gf_sema_ctx *c, const char *s); /* for messages: no control characters, cut */
const char *gf_sema_value(struct gf_sema_ctx *c, double v, enum gf_dim dim);
/* The part of a string or regular expression literal that gave bytes [off, off+len) of its value. */
struct gf_span gf_sema_inside(const struct gf_sema_ctx *c, struct gf_span lit, size_t off, size_t len);
void *gf_names_get(const struct gf_names *t, const char *key);
int gf_names_put(struct gf_names *t, const char *key, void *value); /* key borrowed; -ENOMEM */
void gf_names_deinit(struct gf_names *t);

/* sema_node.c: nodes, their hashes, ranges and sizes */
struct gf_node *gf_node_const(struct gf_sema_ctx *c, const struct gf_expr *e, double num, enum gf_dim dim);
struct gf_node *gf_node_field(struct gf_sema_ctx *c, const struct gf_expr *e, const struct gf_field_info *f);
struct gf_node *gf_node_truth(struct gf_sema_ctx *c, const struct gf_expr *e, bool value, bool target);
/* Kids' scope, size and needs are joined; the hash covers kind, id, num, window, count, pattern and kids. */
struct gf_node *gf_node_make(struct gf_sema_ctx *c, const struct gf_expr *e, enum gf_node_kind kind, uint32_t id,
			     struct gf_node *a, struct gf_node *b);
struct gf_node *gf_node_hist(struct gf_sema_ctx *c, const struct gf_expr *e, enum gf_stat stat, uint64_t window_ns,
			     struct gf_node *kid);
struct gf_node *gf_node_match(struct gf_sema_ctx *c, const struct gf_expr *e, uint32_t str, const char *pattern);
/* Arithmetic with known dimensions: constants are folded, ranges and percentage bases follow. */
struct gf_node *gf_node_arith(struct gf_sema_ctx *c, const struct gf_expr *e, enum gf_node_kind kind,
			      struct gf_node *a, struct gf_node *b, enum gf_dim dim);
struct gf_node *gf_node_scale(struct gf_sema_ctx *c, const struct gf_expr *e, struct gf_node *a, double by,
			      enum gf_dim dim);
void gf_node_rehash(struct gf_node *n);

/* sema_path.c */
struct gf_node *gf_sema_path(struct gf_sema_ctx *c, const struct gf_expr *e);
void gf_sema_path_guarded(struct gf_sema_ctx *c, const struct gf_node *n); /* the path that an available() has found not to be there */
void gf_sema_path_faults(struct gf_sema_ctx *c, const struct gf_node *n, const struct gf_expr *root); /* says those below n */

/* sema_target.c */
#define GF_SEMA_TARGET_KIND "target.kind"
const char *gf_sema_target_name(const struct gf_sema_ctx *c); /* "vm" */
bool gf_sema_is_target(const struct gf_expr *e);               /* the name above */
struct gf_node *gf_sema_target_test(struct gf_sema_ctx *c, const struct gf_expr *e, const struct gf_expr *rhs);
struct gf_node *gf_sema_target_in(struct gf_sema_ctx *c, const struct gf_expr *e);
bool gf_sema_never_here(const struct gf_node *cond); /* false, and by the target */
struct gf_node *gf_sema_stand_in(struct gf_sema_ctx *c, const struct gf_node *n, const struct gf_expr *e);

/* sema_name.c */
struct gf_node *gf_sema_name(struct gf_sema_ctx *c, const struct gf_expr *e);
const struct gf_field_info *gf_sema_string_field(const struct gf_expr *e); /* NULL: not the name of one */
struct gf_let *gf_sema_let(struct gf_sema_ctx *c, const char *name);
struct gf_node *gf_sema_let_value(struct gf_sema_ctx *c, struct gf_let *let, struct gf_span use);
bool gf_sema_has_field(const struct gf_sema_ctx *c, const struct gf_field_info *f);
const char *gf_sema_near_name(struct gf_sema_ctx *c, const char *name);
/* Says which fields the target can never give, of a whole condition or number. NULL when some were. */
struct gf_node *gf_sema_finish(struct gf_sema_ctx *c, struct gf_node *n, const struct gf_expr *root);
/* The expression with lets written out (itself where there are none). */
const struct gf_expr *gf_sema_expand(struct gf_sema_ctx *c, const struct gf_expr *e);
struct gf_expr *gf_sema_clone_op(struct gf_sema_ctx *c, const struct gf_expr *from, enum gf_expr_kind kind,
				 struct gf_expr *a, struct gf_expr *b);

/* sema_expr.c */
struct gf_node *gf_sema_any(struct gf_sema_ctx *c, const struct gf_expr *e);
struct gf_node *gf_sema_number(struct gf_sema_ctx *c, const struct gf_expr *e);
struct gf_node *gf_sema_pred(struct gf_sema_ctx *c, const struct gf_expr *e);
/* A whole condition: pred, finished, and not constant. what: "this rule's condition" */
struct gf_node *gf_sema_condition(struct gf_sema_ctx *c, const struct gf_expr *e, const char *what);

/* sema_arith.c */
struct gf_node *gf_sema_arith(struct gf_sema_ctx *c, const struct gf_expr *e);
struct gf_node *gf_sema_negate(struct gf_sema_ctx *c, const struct gf_expr *e);
/* A waiting percentage made a number to be added to or compared with x. NULL after an error. */
struct gf_node *gf_sema_percent(struct gf_sema_ctx *c, struct gf_node *pct, struct gf_node *x,
				const struct gf_expr *x_expr);
bool gf_dim_is_plain(enum gf_dim d); /* arithmetic has a meaning: no enumeration and no id */

/* sema_cmp.c */
struct gf_node *gf_sema_compare(struct gf_sema_ctx *c, const struct gf_expr *e);
struct gf_node *gf_sema_between(struct gf_sema_ctx *c, const struct gf_expr *e);
struct gf_node *gf_sema_in(struct gf_sema_ctx *c, const struct gf_expr *e);
struct gf_node *gf_sema_compare_nodes(struct gf_sema_ctx *c, const struct gf_expr *e, enum gf_node_kind op,
				      struct gf_node *l, struct gf_node *r, const struct gf_expr *le,
				      const struct gf_expr *re);

/* sema_str.c */
struct gf_node *gf_sema_string_test(struct gf_sema_ctx *c, const struct gf_expr *e,
				    const struct gf_field_info *f, const struct gf_expr *rhs);
struct gf_node *gf_sema_string_in(struct gf_sema_ctx *c, const struct gf_expr *e, const struct gf_field_info *f);
struct gf_node *gf_sema_tilde(struct gf_sema_ctx *c, const struct gf_expr *e);
/* A string compared with a state, policy, user or group: its number. */
struct gf_node *gf_sema_named_value(struct gf_sema_ctx *c, const struct gf_expr *str, const struct gf_node *with,
				    const struct gf_expr *with_expr);

/* sema_call.c, sema_tasks.c */
struct gf_node *gf_sema_call(struct gf_sema_ctx *c, const struct gf_expr *e);
struct gf_node *gf_sema_window(struct gf_sema_ctx *c, const struct gf_expr *e, uint64_t *ret_ns); /* NULL: said */
struct gf_node *gf_sema_aggregate(struct gf_sema_ctx *c, const struct gf_expr *e);
struct gf_node *gf_sema_relative(struct gf_sema_ctx *c, const struct gf_expr *e); /* tree parent ancestor any */
struct gf_node *gf_sema_available(struct gf_sema_ctx *c, const struct gf_expr *e);
/* a must read the task at hand; false after saying that it does not. */
bool gf_sema_need_task(struct gf_sema_ctx *c, const struct gf_node *n, const struct gf_expr *e, const char *what);

/* sema_logic.c */
struct gf_node *gf_sema_junction(struct gf_sema_ctx *c, const struct gf_expr *e); /* and, or */
struct gf_node *gf_sema_not(struct gf_sema_ctx *c, const struct gf_expr *e);

/* sema_imply.c: what follows from what */
bool gf_node_implies(const struct gf_node *a, const struct gf_node *b);   /* whenever a is true, so is b */
bool gf_node_excludes(const struct gf_node *a, const struct gf_node *b);  /* never both true */
bool gf_node_exhausts(const struct gf_node *a, const struct gf_node *b);  /* never both false */

/* sema_rule.c, sema_step.c, sema_limit.c, sema_note.c, sema_lint.c */
void gf_sema_rule_check(struct gf_sema_ctx *c, const struct gf_stmt *st, struct gf_sema_rule *ret);
/* What `limit` and `restore` set, and to what. */
void gf_sema_limit(struct gf_sema_ctx *c, const struct gf_step_ast *a, struct gf_sema_step *s);
void gf_sema_steps(struct gf_sema_ctx *c, const struct gf_stmt *st, struct gf_sema_rule *r);
void gf_sema_notes(struct gf_sema_ctx *c, const struct gf_sema_rule *r, const char *text, struct gf_span span,
		   bool victim, struct gf_sema_note **ret, uint32_t *ret_n);
bool gf_sema_whole(struct gf_sema_ctx *c, double v, double lo, double hi, struct gf_span span, const char *what,
		   uint32_t *ret);
bool gf_sema_duration(struct gf_sema_ctx *c, double ns, double lo, double hi, struct gf_span span,
		      const char *what, uint64_t *ret);
void gf_sema_lint_rule(struct gf_sema_ctx *c, const struct gf_sema_rule *r);
void gf_sema_lint_policy(struct gf_sema_ctx *c); /* rules against each other and against the classes */

#endif
