/* SPDX-License-Identifier: MIT */
#include "daemon/yamltree.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "grammar/parser.h" /* gf_utf8_len */

#define MAX_DEPTH 16
#define MAX_NODES 20000

struct parse {
	yaml_parser_t y;
	const struct gf_source *src;
	struct gf_diags *diags;
	size_t nodes;
	bool nomem;
};

void gf_ytree_free(struct gf_ynode *n)
{
	while (n) {
		struct gf_ynode *next = n->next;
		gf_ytree_free(n->key);
		gf_ytree_free(n->kid); /* MAX_DEPTH bounds this */
		free(n->text);
		free(n);
		n = next;
	}
}

/* libyaml counts characters, our spans count bytes. */
static uint32_t offset(const struct parse *p, const yaml_mark_t *m)
{
	const char *s = p->src->text;
	size_t i = 0, n = p->src->len;

	for (size_t line = 0; line < m->line && i < n; line++) {
		const char *nl = memchr(s + i, '\n', n - i);
		i = nl ? (size_t)(nl - s) + 1 : n;
	}
	for (size_t c = 0; c < m->column && i < n && s[i] != '\n'; c++) {
		size_t len = gf_utf8_len(s + i, n - i);
		i += len ? len : 1;
	}
	return (uint32_t)i;
}

static struct gf_span span_of(const struct parse *p, const yaml_mark_t *a, const yaml_mark_t *b)
{
	struct gf_span s = { 0, offset(p, a), offset(p, b) };
	if (s.end <= s.start)
		s.end = s.start + 1;
	return s;
}

static int complain(struct parse *p, const yaml_event_t *e, const char *hint, const char *what)
{
	gf_diag_add(p->diags, GF_SEV_ERROR, "C002", span_of(p, &e->start_mark, &e->end_mark), hint, "%s", what);
	return -EINVAL;
}

/* libyaml says what it met; most often it is one of these. */
static const char *mend(const struct parse *p, uint32_t at)
{
	static const char *const known[][2] = {
		{ "mapping values are not allowed", "write `key: value`, with a space behind the colon: the line above may lack one" },
		{ "could not find expected ':'", "write `key: value`, with a space behind the colon" },
		{ "did not find expected ',' or '}'", "what { opens is closed by }, and its entries are separated by commas" },
		{ "did not find expected ',' or ']'", "what [ opens is closed by ], and its entries are separated by commas" },
		{ "did not find expected key", "keys of one map begin in one column" },
		{ "did not find expected '-' indicator", "entries of one list begin in one column, each with a dash" },
		{ "found unexpected end of stream", "a quote is opened and not closed" },
	};

	if (at < p->src->len && p->src->text[at] == '\t')
		return "indent with spaces: YAML takes no tabs";
	for (size_t i = 0; p->y.problem && i < sizeof known / sizeof *known; i++)
		if (strstr(p->y.problem, known[i][0]))
			return known[i][1];
	return NULL;
}

static int next_event(struct parse *p, yaml_event_t *e)
{
	if (yaml_parser_parse(&p->y, e))
		return 0;
	if (p->y.error == YAML_MEMORY_ERROR)
		return -ENOMEM;
	yaml_mark_t at = p->y.problem_mark;
	struct gf_span s = span_of(p, &at, &at);
	if (p->y.error == YAML_READER_ERROR) {
		size_t off = p->y.problem_offset;
		s.start = (uint32_t)(off < p->src->len ? off : p->src->len);
		s.end = s.start + 1;
	}
	struct gf_diag *d = gf_diag_add(p->diags, GF_SEV_ERROR, "C001", s, mend(p, s.start), "not YAML: %s",
					p->y.problem ? p->y.problem : "unreadable");
	if (d && p->y.context)
		gf_diag_note(d, span_of(p, &p->y.context_mark, &p->y.context_mark), "%s", p->y.context);
	return -EINVAL;
}

static int node(struct parse *p, yaml_event_t *e, int depth, struct gf_ynode **ret);

static int no_extras(struct parse *p, const yaml_event_t *e, const yaml_char_t *anchor, const yaml_char_t *tag)
{
	if (anchor)
		return complain(p, e, "write the value out where it is needed", "anchors are not supported here");
	if (tag)
		return complain(p, e, "leave the tag out", "tags are not supported here");
	return 0;
}

static int scalar(struct parse *p, const yaml_event_t *e, struct gf_ynode *n)
{
	const char *v = (const char *)e->data.scalar.value;
	size_t len = e->data.scalar.length;
	int r = no_extras(p, e, e->data.scalar.anchor, e->data.scalar.tag);

	if (r)
		return r;
	if (memchr(v, 0, len))
		return complain(p, e, NULL, "a text may not hold a NUL byte");
	n->plain = e->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
	n->kind = n->plain && (!len || !strcmp(v, "~") || !strcmp(v, "null")) ? GF_Y_NULL : GF_Y_SCALAR;
	n->text = strndup(v, len);
	return n->text ? 0 : -ENOMEM;
}

static int check_key(struct parse *p, const yaml_event_t *e, const struct gf_ynode *map, const struct gf_ynode *key)
{
	if (key->kind != GF_Y_SCALAR)
		return complain(p, e, NULL, "a key must be a plain word");
	for (const struct gf_ynode *k = map->kid; k; k = k->next)
		if (!strcmp(k->key->text, key->text)) {
			struct gf_diag *d = gf_diag_add(p->diags, GF_SEV_ERROR, "C003", key->span, NULL,
							"the key \"%s\" is given twice", key->text);
			if (d)
				gf_diag_note(d, k->key->span, "it was given here first");
			break; /* go on: it is well-formed, and there may be more to say */
		}
	return 0;
}

static int children(struct parse *p, int depth, struct gf_ynode *n)
{
	yaml_event_type_t end = n->kind == GF_Y_MAP ? YAML_MAPPING_END_EVENT : YAML_SEQUENCE_END_EVENT;
	struct gf_ynode **tail = &n->kid;
	yaml_event_t e;

	for (;;) {
		struct gf_ynode *key = NULL, *kid = NULL;
		int r = next_event(p, &e);
		if (r)
			return r;
		if (e.type == end) {
			yaml_event_delete(&e);
			return 0;
		}
		if (n->kind == GF_Y_MAP) {
			r = node(p, &e, depth + 1, &key);
			if (!r)
				r = check_key(p, &e, n, key);
			yaml_event_delete(&e);
			if (!r)
				r = next_event(p, &e);
			if (r) {
				gf_ytree_free(key);
				return r;
			}
		}
		r = node(p, &e, depth + 1, &kid);
		yaml_event_delete(&e);
		if (r) {
			gf_ytree_free(key);
			return r;
		}
		kid->key = key;
		*tail = kid;
		tail = &kid->next;
	}
}

static int node(struct parse *p, yaml_event_t *e, int depth, struct gf_ynode **ret)
{
	struct gf_ynode *n;
	int r = 0;

	if (depth > MAX_DEPTH)
		return complain(p, e, NULL, "nested too deeply");
	if (++p->nodes > MAX_NODES)
		return complain(p, e, NULL, "too many values");
	n = calloc(1, sizeof *n);
	if (!n)
		return -ENOMEM;
	n->span = span_of(p, &e->start_mark, &e->end_mark);
	switch (e->type) {
	case YAML_SCALAR_EVENT:
		r = scalar(p, e, n);
		break;
	case YAML_MAPPING_START_EVENT:
		n->kind = GF_Y_MAP;
		r = no_extras(p, e, e->data.mapping_start.anchor, e->data.mapping_start.tag);
		if (!r)
			r = children(p, depth, n);
		break;
	case YAML_SEQUENCE_START_EVENT:
		n->kind = GF_Y_SEQ;
		r = no_extras(p, e, e->data.sequence_start.anchor, e->data.sequence_start.tag);
		if (!r)
			r = children(p, depth, n);
		break;
	case YAML_ALIAS_EVENT:
		r = complain(p, e, "write the value out where it is needed", "aliases are not supported here");
		break;
	default:
		r = complain(p, e, NULL, "a value is missing");
	}
	if (r)
		gf_ytree_free(n);
	else
		*ret = n;
	return r;
}

/* Stream start, document start, one node, document end, stream end. */
static int document(struct parse *p, struct gf_ynode **ret)
{
	struct gf_ynode *n = NULL;
	yaml_event_t e;
	int r;

	for (;;) {
		r = next_event(p, &e);
		if (r)
			break;
		yaml_event_type_t t = e.type;
		if (t == YAML_DOCUMENT_START_EVENT && n)
			r = complain(p, &e, "put everything in one document", "a second document");
		else if (t != YAML_STREAM_START_EVENT && t != YAML_DOCUMENT_START_EVENT &&
			 t != YAML_DOCUMENT_END_EVENT && t != YAML_STREAM_END_EVENT)
			r = node(p, &e, 0, &n);
		yaml_event_delete(&e);
		if (r || t == YAML_STREAM_END_EVENT)
			break;
	}
	if (!r && !n) {
		n = calloc(1, sizeof *n);
		r = n ? 0 : -ENOMEM;
	}
	if (r)
		gf_ytree_free(n);
	else
		*ret = n;
	return r;
}

int gf_ytree_parse(const struct gf_source *src, struct gf_diags *diags, struct gf_ynode **ret)
{
	struct parse p = { .src = src, .diags = diags };

	if (!yaml_parser_initialize(&p.y))
		return -ENOMEM;
	yaml_parser_set_input_string(&p.y, (const unsigned char *)src->text, src->len);
	/* Without this a file in UTF-16 would be accepted, with all places wrong. */
	yaml_parser_set_encoding(&p.y, YAML_UTF8_ENCODING);
	int r = document(&p, ret);
	yaml_parser_delete(&p.y);
	return r;
}
