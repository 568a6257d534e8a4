/* SPDX-License-Identifier: MIT
 *
 * test: running files of policy tests (cmd_test.c), saying what came out (test_report.c, test_junit.c), and what of the policies no
 * test has looked at (test_cover.c).
 */
#ifndef GPUFAS_CTL_TEST_H
#define GPUFAS_CTL_TEST_H

#include "ctl/ctl.h"
#include "ctl/text.h"
#include "sim/ptest_run.h"

/* A policy file, read once. */
struct gf_test_policy {
	char *name; /* as shown, and as its image has it */
	struct gf_source src;
};

/* What is known of a part of a condition. */
struct gf_cover_part {
	size_t policy; /* number */
	struct gf_span span;
	uint8_t of, part, seen; /* seen: 1 << enum gf_tri */
	uint32_t depth;
};

struct gf_cover_rule {
	size_t policy;
	char *name;
	uint32_t line;
	uint8_t seen;   /* as gf_ptest_outcome.rule_seen */
	uint32_t steps;
	uint32_t taken; /* 1 << step */
	char *step[GF_MAX_STEPS]; /* their texts */
};

struct gf_cover {
	struct gf_cover_part *part;
	size_t parts;
	struct gf_cover_rule *rule;
	size_t rules;
};

/* Counts for the last line. */
struct gf_cover_sum {
	size_t rules, rules_fired, steps, steps_taken, branches, branches_seen;
};

struct gf_test {
	struct gf_ctl *ctl;
	struct gf_test_policy *policy;
	size_t policies;
	struct gf_cover cover;
	json_t *files;  /* of all that was run, for --json and --junit */
	size_t passed, failed, errors, skipped;
};

/* A policy compiled for a test: shared by the tests of a file that are alike in it. */
struct gf_test_image {
	enum gf_target_kind target;
	uint64_t interval_ns;
	struct gf_image_header *img;
	struct gf_probes probes;
	uint8_t *seen; /* [probes.n] */
	size_t *number; /* [srcs] of policies */
};

/* What came out of a test, as lines (indented) and as JSON; src: the test file. */
void gf_test_report(const struct gf_source *src, const struct gf_ptest_case *c, const struct gf_ptest_outcome *o,
		    const struct gf_image_header *img, struct gf_lines *out);
json_t *gf_test_json(const struct gf_source *src, const struct gf_ptest_case *c, const struct gf_ptest_outcome *o,
		     const struct gf_image_header *img, const struct gf_lines *report);
/* JUnit's XML of t->files. 0 or -errno. */
int gf_test_junit(const struct gf_test *t, const char *path, struct gf_err *err);

/* Adds what an image's tests have seen. false: no memory. */
bool gf_cover_rules(struct gf_test *t, const struct gf_test_image *im, const struct gf_ptest_outcome *o);
bool gf_cover_parts(struct gf_test *t, const struct gf_test_image *im);
void gf_cover_sum(const struct gf_cover *c, struct gf_cover_sum *ret);
void gf_cover_print(const struct gf_test *t, FILE *out);
json_t *gf_cover_json(const struct gf_test *t);
void gf_cover_deinit(struct gf_cover *c);

#endif
