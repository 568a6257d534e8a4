/* SPDX-License-Identifier: MIT
 *
 * gpufasd --check-config: all that can be said of a configuration without starting anything, for a person or as JSON.
 */
#include <errno.h>
#include <grp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/daemon.h"
#include "gpufas/control.h"

struct check {
	struct gf_config *config;
	struct gf_policy_report rep;
	struct gf_policy *policy[GF_CONFIG_MAX_TARGETS];
	struct gf_policy *shadow[GF_CONFIG_MAX_TARGETS];
};

/* What a typo would show only in the hour of need. */
static int missing(struct check *k)
{
	const struct gf_config *c = k->config;
	int r = 0;

	for (size_t i = 0; i < c->hooks && !r; i++) {
		const char *program = c->hook[i].argv.n ? c->hook[i].argv.v[0] : "";
		if (access(program, X_OK))
			r = gf_strlist_addf(&k->rep.notes, "the hook %s: %s: %s", c->hook[i].name, program, strerror(errno));
	}
	/* ours is made by sysusers, which may come later */
	if (!r && *c->group && strcmp(c->group, GF_CTL_GROUP) && !getgrnam(c->group))
		r = gf_strlist_addf(&k->rep.notes, "control.group: there is no group \"%s\": only root could use the control socket", c->group);
	return r;
}

static int look(struct check *k, const struct gf_options *o)
{
	enum gf_engine_kind engine;
	char why[512] = "";
	int r = gf_daemon_read_config(o, &k->config, &k->rep);

	if (r)
		return r;
	const struct gf_config *c = k->config;
	r = gf_policy_load_all(c, c->target, c->targets, &o->policy, NULL, k->policy, &k->rep);
	if (!r)
		r = gf_shadow_load(c, c->target, c->targets, NULL, k->shadow, &k->rep);
	if (!r)
		r = missing(k);
	if (!r)
		r = gf_gpus_choose_here(c, &engine, why, sizeof why, &k->rep.err);
	if (!r && c->engine == GF_ENGINE_GPU && *why)
		r = gf_strlist_addf(&k->rep.notes, "%s", why);
	return r;
}

static void say_size(const struct gf_policy *p)
{
	printf("%u rule%s in %zu file%s\n", p->rules, p->rules == 1 ? "" : "s", p->files.n, p->files.n == 1 ? "" : "s");
}

static void say(const struct check *k, int r, const char *error)
{
	const struct gf_config *c = k->config;

	if (k->rep.text)
		fputs(k->rep.text, stderr);
	for (size_t i = 0; i < k->rep.notes.n; i++)
		fprintf(stderr, "gpufasd: %s\n", k->rep.notes.v[i]);
	if (r) {
		fprintf(stderr, "gpufasd: %s\n", error);
	} else if (c->targets == 1) {
		printf("configuration and policy are right: ");
		say_size(k->policy[0]);
	} else {
		printf("configuration and policies are right:\n");
		for (size_t i = 0; i < c->targets; i++) {
			printf("  %s (%s): ", c->target[i].name, gf_config_kind(c->target[i].kind));
			say_size(k->policy[i]);
		}
	}
}

static int say_json(const struct check *k, int r, const char *error)
{
	const struct gf_config *c = k->config;
	const char *diags = k->rep.diags_json ? k->rep.diags_json : "[]";
	struct gf_jbuf b = { 0 };

	gf_jbuf_open(&b, '{');
	gf_jbuf_kbool(&b, "ok", !r);
	gf_jbuf_key(&b, "error");
	if (r)
		gf_jbuf_str(&b, error);
	else
		gf_jbuf_null(&b);
	gf_jbuf_key(&b, "diags");
	gf_jbuf_json(&b, diags, strlen(diags));
	gf_jbuf_key(&b, "notes");
	gf_jbuf_open(&b, '[');
	for (size_t i = 0; i < k->rep.notes.n; i++)
		gf_jbuf_str(&b, k->rep.notes.v[i]);
	gf_jbuf_close(&b, ']');
	gf_jbuf_key(&b, "targets");
	gf_jbuf_open(&b, '[');
	for (size_t i = 0; !r && i < c->targets; i++) {
		gf_jbuf_open(&b, '{');
		gf_jbuf_kstr(&b, "name", c->target[i].name);
		gf_jbuf_kstr(&b, "kind", gf_config_kind(c->target[i].kind));
		gf_jbuf_kuint(&b, "rules", k->policy[i]->rules);
		gf_jbuf_kuint(&b, "files", k->policy[i]->files.n);
		gf_jbuf_close(&b, '}');
	}
	gf_jbuf_close(&b, ']');
	gf_jbuf_close(&b, '}');
	gf_jbuf_raw(&b, "\n", 1);
	if (b.failed || fwrite(b.p, 1, b.n, stdout) != b.n)
		r = -EIO;
	gf_jbuf_deinit(&b);
	return r;
}

int gf_daemon_check(const struct gf_options *o)
{
	struct check k = { 0 };
	int r = look(&k, o);
	const char *error = k.rep.err.text[0] ? k.rep.err.text : strerror(r < 0 ? -r : r);

	if (o->json)
		r = say_json(&k, r, error);
	else
		say(&k, r, error);
	for (size_t i = 0; k.config && i < k.config->targets; i++) {
		gf_policy_put(k.policy[i]);
		gf_policy_put(k.shadow[i]);
	}
	gf_config_free(k.config);
	gf_policy_report_deinit(&k.rep);
	return r;
}
