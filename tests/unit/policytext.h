/* SPDX-License-Identifier: MIT
 *
 * A policy of the daemon's out of text, for a guest, with one reference. After cmocka.h; a text with an error fails the test.
 */
#ifndef GPUFAS_TEST_POLICYTEXT_H
#define GPUFAS_TEST_POLICYTEXT_H

#include "daemon/daemon.h"
#include "tests/unit/imagetext.h"

#include <stdlib.h>

static struct gf_policy *policy_of_text(const char *text, uint64_t period_ns)
{
	struct gf_policy *p = calloc(1, sizeof *p);

	assert_non_null(p);
	p->img = image_of_text(text, GF_TARGET_VM, period_ns, &p->size);
	p->refs = 1;
	p->rules = p->img->sec[GF_SEC_RULE].count;
	p->kind = GF_TARGET_VM;
	return p;
}

#endif
