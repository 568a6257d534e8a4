/* SPDX-License-Identifier: MIT
 *
 * The policy in force and the few before it: files to a verified image, and
 * images by their fingerprint for as long as events may speak of them.
 */
#ifndef GPUFAS_DAEMON_POLICY_H
#define GPUFAS_DAEMON_POLICY_H

#include "compiler/compiler.h"
#include "daemon/config.h"

struct gf_policy {
	int refs;                     /* atomic; gf_policy_get, gf_policy_put */
	struct gf_image_header *img;
	size_t size;
	struct gf_strlist files;
	uint64_t loaded_wall_ns;
	uint32_t rules;
	enum gf_target_kind kind;     /* compiled for */
	uint64_t period_ns;           /* that its warnings are about */
	bool no_module;               /* compiled for a host without the kernel module */
};

/* What a load has to say, whether it worked or not. */
struct gf_policy_report {
	struct gf_err err;        /* the sentence when it failed */
	char *diags_json;         /* array, or NULL when nothing was compiled */
	char *text;               /* diagnostics for a person, or NULL */
	struct gf_strlist notes;  /* warnings that have no place in a policy */
};
void gf_policy_report_deinit(struct gf_policy_report *r);

/* Files of the target's or else the configuration's directories (*.policy, in lexical order),
 * then its single files; with only != NULL (command line) those and no others. Compiles
 * and verifies. Errors: -EINVAL (the policy), -ENOENT and others (a file).
 * target: where its kernel is at hand, kernel paths must lead somewhere in it; NULL: taken as they are. */
int gf_policy_load(const struct gf_config *c, const struct gf_config_target *t, const struct gf_strlist *only,
		   struct gf_target *target, struct gf_policy **ret, struct gf_policy_report *rep);
/* The same for n targets, into ret[n]: all, or none and an error that names the target. Targets of one kind, one
 * period and the same files share one policy. */
int gf_policy_load_all(const struct gf_config *c, const struct gf_config_target *t, size_t n, const struct gf_strlist *only,
		       struct gf_target *const *target, struct gf_policy **ret, struct gf_policy_report *rep);

bool gf_policy_has(const struct gf_policy *p, const char *rule);
struct gf_policy *gf_policy_get(struct gf_policy *p);
void gf_policy_put(struct gf_policy *p); /* NULL is fine */

/* The last eight images; safe from any thread. */
struct gf_policies;
int gf_policies_create(struct gf_policies **ret);
void gf_policies_destroy(struct gf_policies *s);
void gf_policies_add(struct gf_policies *s, struct gf_policy *p); /* takes a reference of its own */
/* A reference to the newest with this fingerprint, or NULL. */
struct gf_policy *gf_policies_find(struct gf_policies *s, uint64_t fp);
/* A reference to the newest, or NULL. */
struct gf_policy *gf_policies_newest(struct gf_policies *s);

#endif
