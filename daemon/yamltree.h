/* SPDX-License-Identifier: MIT
 *
 * A YAML document as a tree that remembers where each part stood.
 */
#ifndef GPUFAS_DAEMON_YAMLTREE_H
#define GPUFAS_DAEMON_YAMLTREE_H

#include <stdbool.h>

#include "compiler/source.h"

enum gf_ykind { GF_Y_NULL, GF_Y_SCALAR, GF_Y_MAP, GF_Y_SEQ };

struct gf_ynode {
	enum gf_ykind kind;
	struct gf_span span;
	char *text;            /* SCALAR: NUL-terminated, holds no NUL before */
	bool plain;            /* SCALAR: not quoted */
	struct gf_ynode *key;  /* when it is a value in a map */
	struct gf_ynode *next; /* brother */
	struct gf_ynode *kid;  /* first value of a map or sequence */
};

/* Parses one document with libyaml's event interface. Limits: 16 levels, 20,000
 * nodes; no anchors, aliases or tags; keys are scalars, and each once a map. An
 * empty document gives a node of kind NULL. -EINVAL with diags, -ENOMEM. */
int gf_ytree_parse(const struct gf_source *src, struct gf_diags *diags, struct gf_ynode **ret);
void gf_ytree_free(struct gf_ynode *n);

#endif
