/* SPDX-License-Identifier: MIT
 *
 * The policy language's grammar. Actions only build; names, types and ranges are
 * sema's. Words that are also fields (cgroup, session, pgrp) or that someone may
 * want as a name are keywords only where a value cannot stand.
 */
%define api.pure full
%define api.prefix {gf_yy}
%define api.location.type {struct gf_span}
%define parse.error custom
%define parse.lac full
%locations
%expect 0
%param { struct gf_parser *p } { void *scanner }

%code requires {
#include "grammar/parser.h"
}

%code provides {
int gf_yylex(GF_YYSTYPE *val, GF_YYLTYPE *loc, struct gf_parser *p, void *scanner);
}

%code {
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define YYLLOC_DEFAULT(cur, rhs, n)                                                             \
	do {                                                                                    \
		(cur).src = YYRHSLOC(rhs, (n) ? 1 : 0).src;                                     \
		(cur).start = (n) ? YYRHSLOC(rhs, 1).start : YYRHSLOC(rhs, 0).end;              \
		(cur).end = YYRHSLOC(rhs, (n) ? (n) : 0).end;                                   \
	} while (0)

static void gf_yyerror(struct gf_span *at, struct gf_parser *p, void *scanner, const char *msg);

#define OP(kind, at, op, a, b) gf_make_op(p, kind, at, op, a, b, NULL)
}

%union {
	struct gf_lexeme text;
	struct gf_expr *expr;
	struct gf_args *args;
	struct gf_stmt *stmt;
	struct gf_step_ast *step;
	struct gf_selector *sel;
	struct gf_tail *tail;
	struct gf_clauses *clauses;
	struct gf_for hold;
	struct { double v; struct gf_span at; } num;
	int number;
}

%token YYEOF 0 "the end of the file"
%token <text> IDENT "a name" PATH "a kernel path" STRING "a string" REGEX_LIT "a regular expression"
%token <expr> NUMBER "a number"
%token LE "<=" GE ">=" EQ "==" NE "!="

/* Words that are never names. */
%token LET "let" PROTECT "protect" UNPROTECT "unprotect" PREFER "prefer" AVOID "avoid" RULE "rule" IF "if"
%token THEN "then" AND "and" OR "or" NOT "not" BETWEEN "between" IN "in" TRUE_KW "true" FALSE_KW "false"
%token WHERE "where"

/* Words that are names where a value stands. */
%token <text> FOR "for" PERIODS "periods" TIMES "times" WITHIN "within" UNTIL "until" AFTER "after"
%token <text> COOLDOWN "cooldown" LIMIT "limit" PER "per" SETTLE "settle" PRIORITY "priority"
%token <text> OBSERVE "observe" NOTIFY "notify" ALLOW "allow"
%token <text> FREEZE "freeze" THAW "thaw" RENICE "renice" LOG "log" RUN "run" RESET "reset" NMI "nmi"
%token <text> RESTORE "restore" PANIC "panic" RESTART "restart"
%token <text> TREE "tree" PGRP "pgrp" SESSION "session" CGROUP "cgroup" USER "user" OF "of"
%token <text> IT "it" EACH "each" LARGEST "largest" SMALLEST "smallest" OLDEST "oldest" NEWEST "newest" BY "by"

/* A mistake behind a rule's steps is the rule's, not the next statement's. */
%precedence RULE_ENDS
%precedence error

%type <text> name soft title
%type <expr> expr or_expr and_expr not_expr cmp_expr add_expr mul_expr neg_expr leaf until
%type <expr> cond held held_and held_or
%type <args> list args
%type <stmt> statement rule body
%type <hold> hold
%type <tail> tail
%type <step> step action signal
%type <sel> selector choice picked filtered
%type <clauses> clause codes
%type <num> signed
%type <number> group pick

%%

policy: statements;

statements: %empty
	| statements statement			{ gf_stmt_append(p, $2); }
	| statements ';'
	;

statement:
	  let name '=' expr			{
		$$ = gf_make_stmt(p, GF_ST_LET, @$, $4);
		if ($$) {
			$$->name = $2.text;
			$$->name_span = @2;
		}
	}
	| protect expr				{ $$ = gf_make_stmt(p, GF_ST_PROTECT, @$, $2); }
	| unprotect expr			{ $$ = gf_make_stmt(p, GF_ST_UNPROTECT, @$, $2); }
	| prefer expr				{ $$ = gf_make_stmt(p, GF_ST_PREFER, @$, $2); }
	| avoid expr				{ $$ = gf_make_stmt(p, GF_ST_AVOID, @$, $2); }
	| rule
	| error					{ $$ = NULL; }
	;

/* Where a statement or a step begins, an earlier mistake is over: the next one is
 * told of even if it comes at once. */
let:	  LET					{ yyerrok; };
protect:  PROTECT				{ yyerrok; };
unprotect: UNPROTECT				{ yyerrok; };
prefer:	  PREFER				{ yyerrok; };
avoid:	  AVOID					{ yyerrok; };
rule_word: RULE					{ yyerrok; };
if:	  IF					{ yyerrok; };
then:	  THEN					{ yyerrok; };

rule:	  body
	| rule_word name title body			{
		$$ = $4;
		if ($$) {
			$$->span = @$;
			$$->name = $2.text;
			$$->name_span = @2;
			$$->title = $3.text;
		}
	}
	;

title:	  %empty				{ $$ = (struct gf_lexeme){ 0 }; }
	| STRING
	;

body:	  if cond hold until tail %prec RULE_ENDS { $$ = gf_make_rule(p, @$, $2, $3, $4, $5); }
	| if error tail %prec RULE_ENDS		{ $$ = NULL; (void)$3; }
	| if error				{ $$ = NULL; }
	;

/* A `for D` that more of the condition follows holds for all that is before it:
 * A for D and B is held(A, D) and B. */
cond:	  expr
	| held_or
	;

held_or:  held_and
	| held OR and_expr			{ $$ = OP(GF_EX_OR, @$, @2, $1, $3); }
	| held_or OR and_expr			{ $$ = OP(GF_EX_OR, @$, @2, $1, $3); }
	;

held_and: held AND not_expr			{ $$ = OP(GF_EX_AND, @$, @2, $1, $3); }
	| held_and AND not_expr			{ $$ = OP(GF_EX_AND, @$, @2, $1, $3); }
	;

held:	  cond FOR NUMBER			{
		gf_need_time(p, $3, "for");
		$$ = gf_make_list_op(p, GF_EX_CALL, @$, @2, NULL, gf_make_args(p, gf_make_args(p, NULL, $1), $3), "held");
		if ($$)
			$$->postfix = true;
	}
	;

hold:	  %empty				{ $$ = (struct gf_for){ .kind = GF_FOR_NONE }; }
	| FOR NUMBER				{
		$$ = (struct gf_for){ .kind = GF_FOR_TIME, .span = @$ };
		$$.ns = gf_need_time(p, $2, "for");
		$$.text = $2 ? $2->text : NULL;
	}
	| FOR NUMBER PERIODS			{
		$$ = (struct gf_for){ .kind = GF_FOR_PERIODS, .span = @$ };
		$$.count = gf_need_whole(p, $2, 1, "\"for … periods\"");
	}
	| FOR NUMBER TIMES WITHIN NUMBER	{
		$$ = (struct gf_for){ .kind = GF_FOR_TIMES, .span = @$ };
		$$.count = gf_need_whole(p, $2, 1, "\"… times within\"");
		$$.ns = gf_need_time(p, $5, "within");
		$$.text = $5 ? $5->text : NULL;
	}
	| NUMBER TIMES WITHIN NUMBER		{
		$$ = (struct gf_for){ .kind = GF_FOR_TIMES, .span = @$ };
		$$.count = gf_need_whole(p, $1, 1, "\"… times within\"");
		$$.ns = gf_need_time(p, $4, "within");
		$$.text = $4 ? $4->text : NULL;
	}
	;

until:	  %empty				{ $$ = NULL; }
	| UNTIL expr				{ $$ = $2; }
	;

tail:	  then step				{ $$ = gf_make_tail(p); gf_tail_step(p, $$, $2, @2); }
	| tail then step			{ $$ = $1; gf_tail_step(p, $$, $3, @3); }
	| tail clause				{ $$ = $1; gf_tail_clauses(p, $$, $2, @2); }
	| tail error
	;

/* ---- what is done -------------------------------------------------------- */

step:	  action				{
		$$ = $1;
		if ($$)
			$$->span = @$;
	}
	| AFTER NUMBER action			{
		$$ = $3;
		double ns = gf_need_time(p, $2, "after");
		if ($$) {
			$$->span = @$;
			$$->after_given = true;
			$$->after_ns = ns;
			$$->after_text = $2 ? $2->text : NULL;
			$$->after_span = @2;
		}
	}
	| error					{ $$ = NULL; }
	;

action:	  signal filtered			{ $$ = gf_step_select($1, $2); }
	| FREEZE filtered			{ $$ = gf_step_select(gf_make_step(p, GF_ACT_FREEZE, @1), $2); }
	| THAW filtered				{ $$ = gf_step_select(gf_make_step(p, GF_ACT_THAW, @1), $2); }
	| LOG filtered				{ $$ = gf_step_select(gf_make_step(p, GF_ACT_LOG, @1), $2); }
	| RESET					{ $$ = gf_make_step(p, GF_ACT_RESET, @1); }
	| NMI					{ $$ = gf_make_step(p, GF_ACT_NMI, @1); }
	| PANIC					{ $$ = gf_make_step(p, GF_ACT_PANIC, @1); }
	| RESTART				{ $$ = gf_make_step(p, GF_ACT_RESTART, @1); }
	| LIMIT name add_expr filtered		{
		$$ = gf_step_select(gf_make_step(p, GF_ACT_LIMIT, @1), $4);
		if ($$) {
			$$->name = $2.text;
			$$->name_span = @2;
			$$->value = $3;
		}
	}
	| RESTORE name filtered			{
		$$ = gf_step_select(gf_make_step(p, GF_ACT_LIMIT, @1), $3);
		if ($$) {
			$$->restore = true;
			$$->name = $2.text;
			$$->name_span = @2;
		}
	}
	| RENICE signed filtered		{
		$$ = gf_step_select(gf_make_step(p, GF_ACT_RENICE, @1), $3);
		if ($$)
			$$->amount = $2.v;
	}
	| RUN name filtered			{
		$$ = gf_step_select(gf_make_step(p, GF_ACT_RUN, @1), $3);
		if ($$) {
			$$->name = $2.text;
			$$->name_span = @2;
		}
	}
	| NOTIFY STRING				{
		$$ = gf_make_step(p, GF_ACT_NOTIFY, @1);
		if ($$) {
			$$->text = $2.text;
			$$->text_span = @2;
		}
	}
	;

signal:	  IDENT					{ (void)$1; $$ = gf_make_signal(p, @1); }
	| IDENT '+' NUMBER			{ (void)$1; (void)$3; $$ = gf_make_signal(p, @$); }
	| IDENT '-' NUMBER			{ (void)$1; (void)$3; $$ = gf_make_signal(p, @$); }
	;

signed:	  NUMBER				{ $$.v = gf_need_whole(p, $1, 0, "this"); $$.at = @$; }
	| '+' NUMBER				{ $$.v = gf_need_whole(p, $2, 0, "this"); $$.at = @$; }
	| '-' NUMBER				{ $$.v = -gf_need_whole(p, $2, 0, "this"); $$.at = @$; }
	;

filtered: %empty				{ $$ = NULL; }
	| selector
	;

selector: choice				{
		$$ = $1;
		if ($$)
			$$->span = @$;
	}
	| group OF choice			{
		$$ = $3;
		if ($$) {
			$$->span = @$;
			$$->group = (uint8_t)$1;
		}
	}
	;

choice:	  picked
	| picked BY expr			{ $$ = $1; if ($$) $$->by = $3; }
	| picked WHERE expr			{ $$ = $1; if ($$) $$->where = $3; }
	| picked BY expr WHERE expr		{ $$ = $1; if ($$) { $$->by = $3; $$->where = $5; } }
	| picked WHERE expr BY expr		{ $$ = $1; if ($$) { $$->where = $3; $$->by = $5; } }
	;

picked:	  EACH					{ $$ = gf_make_selector(p, GF_PICK_EACH, NULL); if ($$) $$->each = true; }
	| EACH NUMBER				{ $$ = gf_make_selector(p, GF_PICK_EACH, $2); if ($$) $$->each = true; }
	| pick					{ $$ = gf_make_selector(p, (enum gf_pick)$1, NULL); }
	| pick NUMBER				{ $$ = gf_make_selector(p, (enum gf_pick)$1, $2); }
	;

pick:	  IT					{ $$ = GF_PICK_EACH; }
	| LARGEST				{ $$ = GF_PICK_LARGEST; }
	| SMALLEST				{ $$ = GF_PICK_SMALLEST; }
	| OLDEST				{ $$ = GF_PICK_OLDEST; }
	| NEWEST				{ $$ = GF_PICK_NEWEST; }
	;

group:	  TREE					{ $$ = GF_GROUP_TREE; }
	| PGRP					{ $$ = GF_GROUP_PGRP; }
	| SESSION				{ $$ = GF_GROUP_SESSION; }
	| CGROUP				{ $$ = GF_GROUP_CGROUP; }
	| USER					{ $$ = GF_GROUP_USER; }
	;

/* ---- clauses: each makes a set with one thing in it; the tail merges them --- */

clause:	  COOLDOWN NUMBER			{
		$$ = gf_parser_alloc(p, sizeof *$$);
		if ($$) {
			$$->cooldown = true;
			$$->cooldown_ns = gf_need_time(p, $2, "cooldown");
			$$->cooldown_text = $2->text;
			$$->cooldown_span = @$;
		}
	}
	| LIMIT NUMBER PER NUMBER		{
		$$ = gf_parser_alloc(p, sizeof *$$);
		if ($$) {
			$$->limit = true;
			$$->limit_n = gf_need_whole(p, $2, 1, "\"limit\"");
			$$->limit_ns = gf_need_time(p, $4, "per");
			$$->limit_text = $4->text;
			$$->limit_span = @$;
		}
	}
	| SETTLE NUMBER				{
		$$ = gf_parser_alloc(p, sizeof *$$);
		if ($$) {
			$$->settle = true;
			$$->settle_ns = gf_need_time(p, $2, "settle");
			$$->settle_text = $2->text;
			$$->settle_span = @$;
		}
	}
	| PRIORITY signed			{
		$$ = gf_parser_alloc(p, sizeof *$$);
		if ($$) {
			$$->priority = true;
			$$->priority_v = $2.v;
			$$->priority_span = @$;
		}
	}
	| OBSERVE				{
		$$ = gf_parser_alloc(p, sizeof *$$);
		if ($$) {
			$$->observe = true;
			$$->observe_span = @$;
		}
	}
	| NOTIFY STRING				{
		$$ = gf_parser_alloc(p, sizeof *$$);
		if ($$) {
			$$->notify = true;
			$$->notify_text = $2.text;
			$$->notify_span = @$;
		}
	}
	| ALLOW codes				{ $$ = $2; }
	;

codes:	  IDENT					{
		$$ = gf_parser_alloc(p, sizeof *$$);
		gf_clauses_allow(p, $$, $1.text, @1);
	}
	| codes ',' IDENT			{ $$ = $1; gf_clauses_allow(p, $$, $3.text, @3); }
	;

/* ---- expressions --------------------------------------------------------- */

expr:	  or_expr;

or_expr:  and_expr
	| or_expr OR and_expr			{ $$ = OP(GF_EX_OR, @$, @2, $1, $3); }
	;

and_expr: not_expr
	| and_expr AND not_expr			{ $$ = OP(GF_EX_AND, @$, @2, $1, $3); }
	;

not_expr: cmp_expr
	| NOT not_expr				{ $$ = OP(GF_EX_NOT, @$, @1, $2, NULL); }
	;

cmp_expr: add_expr
	| add_expr '<' add_expr			{ $$ = OP(GF_EX_LT, @$, @2, $1, $3); }
	| add_expr LE add_expr			{ $$ = OP(GF_EX_LE, @$, @2, $1, $3); }
	| add_expr '>' add_expr			{ $$ = OP(GF_EX_GT, @$, @2, $1, $3); }
	| add_expr GE add_expr			{ $$ = OP(GF_EX_GE, @$, @2, $1, $3); }
	| add_expr EQ add_expr			{ $$ = OP(GF_EX_EQ, @$, @2, $1, $3); }
	| add_expr NE add_expr			{ $$ = OP(GF_EX_NE, @$, @2, $1, $3); }
	| add_expr '~' add_expr			{ $$ = OP(GF_EX_TILDE, @$, @2, $1, $3); }
	| add_expr '~' REGEX_LIT		{
		$$ = OP(GF_EX_TILDE, @$, @2, $1, gf_make_leaf(p, GF_EX_REGEX, $3, @3));
	}
	| add_expr BETWEEN add_expr AND add_expr {
		$$ = gf_make_op(p, GF_EX_BETWEEN, @$, @2, $1, $3, $5);
	}
	| add_expr NOT BETWEEN add_expr AND add_expr {
		$$ = OP(GF_EX_NOT, @$, @2, gf_make_op(p, GF_EX_BETWEEN, @$, @3, $1, $4, $6), NULL);
	}
	| add_expr IN '(' list ')'		{ $$ = gf_make_list_op(p, GF_EX_IN, @$, @2, $1, $4, NULL); }
	| add_expr NOT IN '(' list ')'		{
		$$ = OP(GF_EX_NOT, @$, @2, gf_make_list_op(p, GF_EX_IN, @$, @3, $1, $5, NULL), NULL);
	}
	;

add_expr: mul_expr
	| add_expr '+' mul_expr			{ $$ = OP(GF_EX_ADD, @$, @2, $1, $3); }
	| add_expr '-' mul_expr			{ $$ = OP(GF_EX_SUB, @$, @2, $1, $3); }
	;

mul_expr: neg_expr
	| mul_expr '*' neg_expr			{ $$ = OP(GF_EX_MUL, @$, @2, $1, $3); }
	| mul_expr '/' neg_expr			{ $$ = OP(GF_EX_DIV, @$, @2, $1, $3); }
	;

neg_expr: leaf
	| '-' neg_expr				{ $$ = OP(GF_EX_NEG, @$, @1, $2, NULL); }
	;

leaf:	  NUMBER
	| STRING				{ $$ = gf_make_leaf(p, GF_EX_STRING, $1, @1); }
	| PATH					{ $$ = gf_make_path(p, $1, @1); }
	| TRUE_KW				{ $$ = gf_make_leaf(p, GF_EX_BOOL, (struct gf_lexeme){ "true", 4 }, @1); }
	| FALSE_KW				{ $$ = gf_make_leaf(p, GF_EX_BOOL, (struct gf_lexeme){ "false", 5 }, @1); }
	| name					{ $$ = gf_make_leaf(p, GF_EX_NAME, $1, @1); }
	| name '(' args ')'			{ $$ = gf_make_list_op(p, GF_EX_CALL, @$, @1, NULL, $3, $1.text); }
	| '(' expr ')'				{
		$$ = $2;
		if ($$) {
			$$->paren = true;
			$$->span = @$;
		}
	}
	;

list:	  expr					{ $$ = gf_make_args(p, NULL, $1); }
	| list ',' expr				{ $$ = gf_make_args(p, $1, $3); }
	;

args:	  %empty				{ $$ = NULL; }
	| list
	| WHERE expr				{ $$ = gf_make_args(p, NULL, NULL); if ($$) $$->where = $2; }
	| list WHERE expr			{ $$ = $1; if ($$) $$->where = $3; }
	;

name:	  IDENT | soft;

soft:	  FOR | PERIODS | TIMES | WITHIN | UNTIL | AFTER | COOLDOWN | LIMIT | PER | SETTLE | PRIORITY | OBSERVE
	| NOTIFY | ALLOW | FREEZE | THAW | RENICE | LOG | RUN | RESET | RESTORE | NMI | PANIC | RESTART | TREE | PGRP | SESSION | CGROUP | USER
	| OF | IT | EACH | LARGEST | SMALLEST | OLDEST | NEWEST | BY
	;

%%

/* Only the parser's own stack running out comes here; syntax errors go below. */
static void gf_yyerror(struct gf_span *at, struct gf_parser *p, void *scanner, const char *msg)
{
	(void)scanner;
	(void)msg;
	gf_parser_error(p, "E008", *at, "name parts of it with let", "this is nested too deeply");
}

#include "grammar/syntax_error.h"
