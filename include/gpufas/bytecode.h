/* SPDX-License-Identifier: MIT
 *
 * The policy image (.gfb): what the compiler writes, the verifier passes and an
 * engine runs. Little-endian, position-independent (offsets from the image's
 * first byte), all sections 8-byte aligned, in the order of enum gf_section,
 * no gaps but alignment padding (zero), nothing after the last.
 *
 * An image is untrusted until gf_verify() has passed it; engines never see one
 * that has not been.
 *
 * How a tick uses it:
 *   1. rows whose identity changed are reset; string matches are brought up to date;
 *   2. every program marked GF_PROG_TICK runs, in order of its number, and its
 *      result goes to its sink (aggregate, column, history). A program may read
 *      only what programs with lower numbers have produced;
 *   3. rules, in the order of the rule table (priority, then file order): gate,
 *      condition; holds and latches advance; a rule that is true may act:
 *      candidates, where, classes, rank.
 * Programs of rules (where, key, terms, closeness, classes) run only when needed
 * and must not contain HELD or LATCH. A rule's condition runs every tick.
 */
#ifndef GPUFAS_BYTECODE_H
#define GPUFAS_BYTECODE_H

#include "gpufas/fields.h"
#include "gpufas/hd.h"

#define GF_IMAGE_MAGIC 0x31424647u /* "GFB1" */
#define GF_IMAGE_VERSION 2u

enum gf_opcode {
#define GF_OP(name, mnemonic, form, formula) GF_OP_##name,
#include "gpufas/op.def"
#undef GF_OP
	GF_OP_COUNT
};

enum gf_form {
	GF_FORM_END, GF_FORM_V_F, GF_FORM_V_H, GF_FORM_V_K, GF_FORM_V_A, GF_FORM_V_C,
	GF_FORM_V_X, GF_FORM_V_VV, GF_FORM_V_V, GF_FORM_V_P, GF_FORM_V_O, GF_FORM_P_VV,
	GF_FORM_P_V, GF_FORM_P_PP, GF_FORM_P_P, GF_FORM_P_I, GF_FORM_P_M, GF_FORM_P_C,
	GF_FORM_P_PO, GF_FORM_P_PPO, GF_FORM_J_P,
};

#define GF_VREGS 16u
#define GF_PREGS 16u

struct gf_insn {
	uint8_t op; /* enum gf_opcode */
	uint8_t d;
	uint8_t a;
	uint8_t b;
	uint32_t imm;
};
GF_STATIC_ASSERT(sizeof(struct gf_insn) == 8, "gf_insn");

/* Limits of the format. The verifier refuses what is over them. */
#define GF_MAX_IMAGE    (16u << 20)
#define GF_MAX_CODE     (1u << 20) /* instructions */
#define GF_MAX_PROG_LEN 4096u      /* instructions in one program */
#define GF_MAX_PROGS    65536u
#define GF_MAX_RULES    4096u
#define GF_MAX_CONSTS   65536u
#define GF_MAX_AGGS     1024u
#define GF_MAX_COLS     256u  /* value columns; as many predicate columns */
#define GF_MAX_HISTS    256u
#define GF_MAX_HOLDS    8192u /* holds and latches */
#define GF_MAX_MATCHES  1024u
#define GF_MAX_DFAS     1024u
#define GF_MAX_DFA_STATES 4096u
#define GF_MAX_CLASSES  1024u
#define GF_MAX_STEPS    16u   /* a rule */
#define GF_MAX_TERMS    32u   /* a rule */
#define GF_MAX_HIST_SLOTS 64u
#define GF_MAX_LIMIT    64u   /* N of "limit N per D" */
#define GF_MAX_PICK     1024u /* N of "largest N" */
#define GF_PATH_TEXT    256u  /* bytes of a kernel path's text, its NUL included */
#define GF_MAX_NS       (1ull << 60) /* any duration: sums of a few with a time do not wrap */

enum gf_section {
	GF_SEC_CODE,    /* struct gf_insn[] */
	GF_SEC_CONST,   /* double[], no NaN but the canonical unknown */
	GF_SEC_PROG,    /* struct gf_prog[] */
	GF_SEC_AGG,     /* struct gf_agg[] */
	GF_SEC_COL,     /* struct gf_col[]: value and predicate columns */
	GF_SEC_HIST,    /* struct gf_hist[] */
	GF_SEC_HOLD,    /* struct gf_hold[]: holds and latches */
	GF_SEC_MATCH,   /* struct gf_match[] */
	GF_SEC_DFA,     /* struct gf_dfa[] */
	GF_SEC_DFADATA, /* bytes that gf_dfa points into */
	GF_SEC_CLASS,   /* struct gf_class[]: protect, unprotect, prefer, avoid */
	GF_SEC_RULE,    /* struct gf_rule[] */
	GF_SEC_STEP,    /* struct gf_step[] */
	GF_SEC_TERM,    /* struct gf_term[] */
	GF_SEC_NOTE,    /* struct gf_note[]: pieces of notify templates */
	GF_SEC_PATH,    /* struct gf_path[]: kernel paths; k is in column GF_TF_COUNT + k of the sample */
	GF_SEC_STR,     /* NUL-terminated strings; offset 0 is "" */
	GF_SEC_COUNT
};

struct gf_secref {
	uint32_t off;   /* bytes from the start of the image */
	uint32_t count; /* elements (bytes for DFADATA and STR) */
};

struct gf_image_header {
	uint32_t magic;
	uint32_t version;
	uint32_t size;     /* bytes, header included */
	uint32_t checksum; /* CRC-32C of the image with this word as 0 */
	uint64_t fp;       /* fingerprint of the whole policy */
	uint32_t target;   /* enum gf_target_kind it was compiled for */
	uint32_t tick_progs; /* programs [0, tick_progs) run every tick */
	struct gf_fieldset fields;
	struct gf_secref sec[GF_SEC_COUNT];
};
GF_STATIC_ASSERT(sizeof(struct gf_image_header) == 56 + 8 * GF_SEC_COUNT, "gf_image_header");

enum gf_target_kind { GF_TARGET_HOST, GF_TARGET_VM, GF_TARGET_IMAGE, GF_TARGET_TRACE, GF_TARGET_COUNT };

enum gf_scope { GF_SCOPE_HOST, GF_SCOPE_TASK };

enum gf_sink {
	GF_SINK_NONE, /* result handed to whoever runs the program */
	GF_SINK_AGG,  /* to aggregate; a program of task scope, but for GF_AGG_HOST */
	GF_SINK_COL,  /* to value or predicate column, then the column's transform; task scope */
	GF_SINK_HIST, /* pushed into history; the history's scope */
};

/* A straight piece of code. The scope HOST runs it once and may read no task
 * field, column, match or task-scope history and hold. */
struct gf_prog {
	uint32_t code; /* first instruction */
	uint32_t len;  /* instructions, END included (always the last) */
	uint8_t scope; /* enum gf_scope */
	uint8_t sink;  /* enum gf_sink; NONE unless number < tick_progs */
	uint16_t reserved;
	uint32_t target; /* aggregate, column or history number */
};
GF_STATIC_ASSERT(sizeof(struct gf_prog) == 16, "gf_prog");

enum gf_agg_kind {
	GF_AGG_COUNT, /* rows where P is true */
	GF_AGG_SUM,   /* sum of V over rows where P is true; unknown V: unknown sum; no row: 0 */
	GF_AGG_MAX,   /* unknown when no row; unknown V in a row: unknown */
	GF_AGG_MIN,
	GF_AGG_ANY,   /* 1 when P is true in some row, else unknown when unknown in some row, else 0 */
	GF_AGG_HOST,  /* not over rows: V of a program of host scope, as it is (held() over host fields) */
	GF_AGG_COUNT_ /* how many kinds */
};

/* COUNT, SUM, MAX, MIN leave out rows whose P is false. Rows whose P is unknown are left out, too, but
 * with `maybe` they are taken as true, and their unknown V as what moves the result farthest (SUM, MAX: plus
 * infinity, MIN: minus infinity). The two are the bounds of what the truth may be: the compiler has a
 * comparison looked at with both, and where they disagree it is unknown, so that `count(where C) < 3` cannot
 * be true because C is not known yet.
 * Of a torn row P and V are unknown, whatever its columns say; rows that are not valid count as false. */
struct gf_agg {
	uint8_t kind;  /* enum gf_agg_kind */
	uint8_t maybe; /* 1: COUNT, SUM, MAX and MIN only */
	uint8_t reserved[6];
};
GF_STATIC_ASSERT(sizeof(struct gf_agg) == 8, "gf_agg");

enum gf_col_kind {
	GF_COL_VALUE,    /* V of this row */
	GF_COL_TREE,     /* value: sum of V over the row and its descendants (unknown V: left out; all unknown: unknown) */
	GF_COL_PRED,     /* P of this row */
	GF_COL_PARENT,   /* predicate: P of the parent's row; unknown when the parent is not in the table */
	GF_COL_ANCESTOR, /* predicate: P true for some ancestor (the row itself excluded); no parent: false, or
			   unknown while tasks are missing from the table */
};

struct gf_col {
	uint8_t kind; /* enum gf_col_kind */
	uint8_t reserved[7];
};
GF_STATIC_ASSERT(sizeof(struct gf_col) == 8, "gf_col");

enum gf_stat {
	GF_STAT_RATE,  /* a second: (now - then) / (t_now - t_then) */
	GF_STAT_DELTA, /* now - then */
	GF_STAT_AVG,
	GF_STAT_MAX,
	GF_STAT_MIN,
	GF_STAT_SUM,   /* of the values of every tick in the window; unknown counts 0; never itself unknown. Serves "N times within D" */
};

/* A sliding window over a number. Kept as buckets of window/(slots + 1) each
 * (a tick a bucket where the period is longer): RATE and DELTA compare with the
 * youngest kept value that is at least `window` old; the others cover the last
 * window to within one bucket. Task scope: an unknown value starts the row's
 * window anew (except SUM); a program in host scope may read host histories
 * only, one in task scope both. */
struct gf_hist {
	uint64_t fp;        /* fingerprint: state is kept over a reload where it is equal */
	uint64_t window_ns;
	uint8_t scope;      /* enum gf_scope */
	uint8_t stat;       /* enum gf_stat */
	uint16_t slots;     /* 2..GF_MAX_HIST_SLOTS */
	uint32_t reserved;
};
GF_STATIC_ASSERT(sizeof(struct gf_hist) == 24, "gf_hist");

enum gf_hold_kind {
	GF_HOLD_TIME,    /* true without a gap for `amount` ns, first true tick to now */
	GF_HOLD_PERIODS, /* true in the last `amount` ticks */
	GF_HOLD_LATCH,
};

/* True, but not for long enough yet: unknown while the row has been true ever
 * since it was first seen (it may have been so before), else false. Unknown input:
 * unknown, and the run starts anew. HELD and LATCH stand in programs of the hold's
 * own scope only; CHELD of a host hold may stand anywhere. While a rule's gate is
 * not true, the holds of its condition are reset (latches are not). */
struct gf_hold {
	uint64_t fp;
	uint64_t amount;
	uint8_t scope; /* enum gf_scope */
	uint8_t kind;  /* enum gf_hold_kind */
	uint16_t reserved0;
	uint32_t reserved1;
};
GF_STATIC_ASSERT(sizeof(struct gf_hold) == 24, "gf_hold");

struct gf_match {
	uint32_t field; /* enum gf_str_field */
	uint32_t dfa;
};
GF_STATIC_ASSERT(sizeof(struct gf_match) == 8, "gf_match");

/* next = trans[state * classes + class[byte]]; state 0 is the start, the string
 * matches when accept[state] is 1 after its last byte. Anchors are compiled in. */
struct gf_dfa {
	uint32_t classes_off; /* in DFADATA: uint8_t[256] */
	uint32_t trans_off;   /* in DFADATA: uint16_t[states * classes], 2-byte aligned */
	uint32_t accept_off;  /* in DFADATA: uint8_t[states] */
	uint16_t states;
	uint16_t classes;     /* 1..256 */
};
GF_STATIC_ASSERT(sizeof(struct gf_dfa) == 16, "gf_dfa");

enum gf_class_kind { GF_CLASS_PROTECT, GF_CLASS_UNPROTECT, GF_CLASS_PREFER, GF_CLASS_AVOID };

struct gf_class {
	uint8_t kind; /* enum gf_class_kind */
	uint8_t reserved[3];
	uint32_t prog; /* task scope, result P */
	uint32_t text; /* string: the condition as canonical text */
	uint32_t file; /* string: source file name */
	uint32_t line;
	uint32_t reserved1;
};
GF_STATIC_ASSERT(sizeof(struct gf_class) == 24, "gf_class");

enum gf_rule_flags {
	GF_RULE_OBSERVE = 1, /* reports only */
	GF_RULE_TASK = 2,    /* the condition reads task fields: candidates are where it holds */
};

struct gf_rule {
	uint32_t name;  /* string; anonymous rules are named file:line */
	uint32_t title; /* string, may be "" */
	uint32_t file;  /* string */
	uint32_t line;
	uint64_t fp;    /* fingerprint of everything the rule says */
	int32_t priority;
	uint32_t flags; /* enum gf_rule_flags */
	uint32_t gate;  /* host program, or GF_NONE: not true means the condition is not either */
	uint32_t cond;  /* program, scope as GF_RULE_TASK says */
	uint32_t close; /* program giving V: how near the condition is, or GF_NONE */
	uint32_t text;  /* string: condition as canonical text */
	uint64_t cooldown_ns;
	uint64_t settle_ns;
	uint64_t limit_window_ns;
	uint32_t limit_n; /* 0: no limit */
	uint32_t note, notes; /* notify template of the rule; notes = 0: none */
	uint32_t step, steps;
	uint32_t term, terms;
	uint32_t reserved;
};
GF_STATIC_ASSERT(sizeof(struct gf_rule) == 104, "gf_rule");

enum gf_action {
	GF_ACT_SIGNAL, /* arg = signal number */
	GF_ACT_RENICE, /* arg = change of nice */
	GF_ACT_LOG,
	GF_ACT_NOTIFY, /* text = template in notes */
	GF_ACT_RUN,    /* text = hook's name */
	GF_ACT_FREEZE,
	GF_ACT_THAW,
	GF_ACT_LIMIT,  /* limit = what, text = its name, amount = value */
	GF_ACT_RESET,
	GF_ACT_NMI,
	GF_ACT_PANIC,
	GF_ACT_RESTART,
	GF_ACT_COUNT
};

/* What ends, or may end, the whole of a target. */
GF_INLINE int gf_action_last_resort(uint8_t action)
{
	return action == GF_ACT_RESET || action == GF_ACT_NMI || action == GF_ACT_PANIC || action == GF_ACT_RESTART;
}

/* What GF_ACT_LIMIT sets. Amounts are bytes, tasks, CPUs (CPU_MAX: 0.5 is half of one), seconds (RLIMIT_CPU) or
 * what setrlimit(2) takes; infinity: no limit; negative: what it was before gpufas first set it. */
enum gf_limit_kind {
	GF_LIMIT_NONE,
	/* of the victim's cgroup */
	GF_LIMIT_MEMORY_MAX, GF_LIMIT_MEMORY_HIGH, GF_LIMIT_PIDS_MAX, GF_LIMIT_CPU_MAX,
	/* of the victim, in the order of the RLIMIT_ numbers: GF_LIMIT_RLIMIT + RLIMIT_x */
	GF_LIMIT_RLIMIT,
	GF_LIMIT_RLIMIT_CPU = GF_LIMIT_RLIMIT, GF_LIMIT_RLIMIT_FSIZE, GF_LIMIT_RLIMIT_DATA, GF_LIMIT_RLIMIT_STACK,
	GF_LIMIT_RLIMIT_CORE, GF_LIMIT_RLIMIT_RSS, GF_LIMIT_RLIMIT_NPROC, GF_LIMIT_RLIMIT_NOFILE,
	GF_LIMIT_RLIMIT_MEMLOCK, GF_LIMIT_RLIMIT_AS, GF_LIMIT_RLIMIT_LOCKS, GF_LIMIT_RLIMIT_SIGPENDING,
	GF_LIMIT_RLIMIT_MSGQUEUE, GF_LIMIT_RLIMIT_NICE, GF_LIMIT_RLIMIT_RTPRIO, GF_LIMIT_RLIMIT_RTTIME,
	GF_LIMIT_COUNT
};

enum gf_pick {
	GF_PICK_SAME, /* the victims of the step before */
	GF_PICK_EACH, /* it, each */
	GF_PICK_LARGEST,
	GF_PICK_SMALLEST,
	GF_PICK_OLDEST,
	GF_PICK_NEWEST,
	GF_PICK_NONE, /* an action without victim (log without selector, reset) */
};

enum gf_group { GF_GROUP_ONE, GF_GROUP_TREE, GF_GROUP_PGRP, GF_GROUP_SESSION, GF_GROUP_CGROUP, GF_GROUP_USER };

struct gf_step {
	uint8_t action; /* enum gf_action */
	uint8_t pick;   /* enum gf_pick */
	uint8_t group;  /* enum gf_group */
	uint8_t limit;  /* enum gf_limit_kind, 0 unless action is GF_ACT_LIMIT */
	int32_t arg;
	uint32_t n;     /* how many to pick, at least 1; EACH: GF_MAX_PICK at most */
	uint32_t where; /* task program, P, or GF_NONE */
	uint32_t key;   /* task program, V, or GF_NONE (rss is not implied: the compiler emits it) */
	uint32_t text;  /* string */
	uint64_t after_ns; /* after the step before */
	double amount;
	uint32_t note, notes;
	uint32_t shown; /* string: the step as canonical text */
	uint32_t key_text; /* string: the rank's expression, "" if none */
	uint8_t key_dim; /* enum gf_dim, for reports */
	uint8_t reserved1[3];
	uint32_t value; /* LIMIT: program, V, that gives the amount for each victim; or GF_NONE: `amount` is it */
};
GF_STATIC_ASSERT(sizeof(struct gf_step) == 64, "gf_step");

/* One comparison (or match, or other leaf) of a condition, for explanations.
 * The program gives P, and where flags say so V (left side) and the second V
 * (right side). It reads holds and histories but never advances them. */
struct gf_term {
	uint32_t prog;
	uint32_t text;  /* string: canonical text of the leaf */
	uint8_t dim;    /* enum gf_dim of both sides */
	uint8_t values; /* 0, 1 or 2 numbers */
	uint8_t scope;  /* enum gf_scope */
	uint8_t str;    /* enum gf_str_field + 1 when the left side is a string, else 0 */
	uint32_t hold;  /* hold that the term feeds (for "for"), or GF_NONE */
};
GF_STATIC_ASSERT(sizeof(struct gf_term) == 16, "gf_term");

/* Piece of a notify template: literal text, then a field's value. */
struct gf_note {
	uint32_t text;  /* string: literal before the field */
	uint32_t prog;  /* program giving V, or GF_NONE */
	uint8_t dim;    /* enum gf_dim for printing */
	uint8_t str;    /* enum gf_str_field + 1 for a string field, else 0 */
	uint16_t reserved;
	uint32_t reserved1;
};
GF_STATIC_ASSERT(sizeof(struct gf_note) == 16, "gf_note");

/* A kernel path, by its text (`task->mm->map_count`): what it leads to differs from kernel to kernel, so that
 * the target resolves it, late and anew for each kernel. No two are the same. */
struct gf_path {
	uint32_t text; /* string */
	uint32_t reserved;
};
GF_STATIC_ASSERT(sizeof(struct gf_path) == 8, "gf_path");

/* Section k of a verified image, as an array of its element type. */
GF_INLINE const void *gf_image_sec(const struct gf_image_header *h, int k)
{
	return (const uint8_t *)h + h->sec[k].off;
}
#define GF_SEC(type, h, k) ((const type *)gf_image_sec((h), (k)))

GF_INLINE const char *gf_image_str(const struct gf_image_header *h, uint32_t off)
{
	return GF_SEC(char, h, GF_SEC_STR) + off;
}

/* Kernel path k, of h->fields.paths. */
GF_INLINE const char *gf_image_path(const struct gf_image_header *h, uint32_t k)
{
	return gf_image_str(h, GF_SEC(struct gf_path, h, GF_SEC_PATH)[k].text);
}

#endif
