/* SPDX-License-Identifier: MIT
 *
 * What the daemon says about events, rules and itself, as lines for a person.
 * Used by the commands and by top. All of them accept any JSON: what is missing
 * is left out.
 */
#ifndef GPUFAS_CTL_EXPLAIN_H
#define GPUFAS_CTL_EXPLAIN_H

#include "ctl/text.h"

/* "2026-11-23 05:41:02.123  #12  sentence" and how it should look. */
void gf_explain_event_line(const json_t *event, struct gf_lines *out);
/* An event in full: sentence, terms, candidates, members. */
void gf_explain_event(const json_t *event, struct gf_lines *out);
/* A part of that: who could have been chosen, and who was. */
void gf_explain_choice(const json_t *event, struct gf_lines *out);
/* A rule view in full. events: an array of its last events, or NULL. */
void gf_explain_rule(const json_t *rule, const json_t *events, struct gf_lines *out);
/* Status data. rules: array of rule views, or NULL. */
void gf_explain_status(const json_t *status, const json_t *rules, struct gf_lines *out);

/* The term that keeps a rule from firing: the first false one, else the first
 * unknown one, else the first. Of a rule that is true the first true one. NULL
 * without terms. */
const json_t *gf_explain_decisive(const json_t *rule);
/* "mem.available 3.1 GiB vs < 398 MiB". Returns buf. */
const char *gf_explain_term(const json_t *term, char *buf, size_t n);
/* "#####     " of width characters for share 0..1 (unknown: dots). buf of n > width. Returns buf. */
const char *gf_explain_bar(double share, int width, char *buf, size_t n);
/* The one comparison in a term's text: its place (" < ") and length; NULL when there is none or more than one. */
const char *gf_explain_operator(const char *text, size_t *ret_len);
enum gf_look gf_explain_truth_look(const char *truth);

#endif
