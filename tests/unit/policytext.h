/* SPDX-License-Identifier: MIT
 *
 * A policy of the daemon's out of text, for a guest, with one reference. After cmocka.h; a text with an error fails the test.
 */
#ifndef GPUFAS_TEST_POLICYTEXT_H
#define GPUFAS_TEST_POLICYTEXT_H

#include "compiler/compiler.h"
#include "daemon/daemon.h"

#include <stdlib.h>
#include <string.h>

static struct gf_policy *policy_of_text(const char *text, uint64_t period_ns)
{
	const struct gf_compile_opts co = { .target = GF_TARGET_VM, .period_ns = period_ns, .warnings_off = true };
	const struct gf_source src = { .name = "p", .text = text, .len = strlen(text) };
	struct gf_policy *p = calloc(1, sizeof *p);
	struct gf_diags diags = { .limit = 20 };

	assert_non_null(p);
	if (gf_compile(&src, 1, &co, &diags, &p->img, &p->size))
		fail_msg("%s: %s", text, diags.n ? diags.v[0].message : "?");
	gf_diags_deinit(&diags);
	p->refs = 1;
	p->rules = p->img->sec[GF_SEC_RULE].count;
	p->kind = GF_TARGET_VM;
	return p;
}

#endif
