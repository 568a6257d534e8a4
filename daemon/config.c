/* SPDX-License-Identifier: MIT */
#include "daemon/config.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/config_int.h"
#include "gpufas/control.h"

/* ---- one function a key ---------------------------------------------------- */

static void take_period(struct gf_cfg *x, const struct gf_ynode *n)
{
	gf_cfg_duration(x, n, "period", 1000000, 60000000000ull, "from 1ms to 1min", &x->c->period_ns);
}

static void take_mode(struct gf_cfg *x, const struct gf_ynode *n)
{
	static const char *const words[] = { "enforce", "observe" };
	int i = gf_cfg_choice(x, n, "mode", words, 2);
	if (i >= 0)
		x->c->observe = i == 1;
}

static void take_engine_kind(struct gf_cfg *x, const struct gf_ynode *n)
{
	static const char *const words[] = { "auto", "cpu", "gpu" };
	static const enum gf_engine_kind kinds[] = { GF_ENGINE_AUTO, GF_ENGINE_CPU, GF_ENGINE_GPU };
	int i = gf_cfg_choice(x, n, "engine.kind", words, 3);
	if (i >= 0)
		x->c->engine = kinds[i];
}

static void take_realtime(struct gf_cfg *x, const struct gf_ynode *n)
{
	uint64_t v;
	bool on;

	if (n->kind == GF_Y_SCALAR && isdigit((unsigned char)*n->text)) {
		if (gf_cfg_integer(x, n, "engine.realtime", 1, 99, &v))
			x->c->rt_priority = (int)v;
	} else if (gf_cfg_bool(x, n, "engine.realtime", &on)) {
		x->c->rt_priority = on ? GF_CONFIG_RT_PRIORITY : 0;
	}
}

static void take_mlock(struct gf_cfg *x, const struct gf_ynode *n)
{
	gf_cfg_bool(x, n, "engine.mlock", &x->c->mlock);
}

static void take_engine(struct gf_cfg *x, const struct gf_ynode *n)
{
	static const struct gf_cfg_key keys[] = {
		{ "kind", take_engine_kind }, { "realtime", take_realtime }, { "mlock", take_mlock },
		{ "gpu", gf_cfg_gpu },
	};
	GF_CFG_WALK(x, n, "engine", keys);
}

static void take_directories(struct gf_cfg *x, const struct gf_ynode *n)
{
	gf_cfg_paths(x, n, "policy.directories", &x->c->dirs);
}

static void take_files(struct gf_cfg *x, const struct gf_ynode *n)
{
	gf_cfg_paths(x, n, "policy.files", &x->c->files);
}

static void take_policy(struct gf_cfg *x, const struct gf_ynode *n)
{
	static const struct gf_cfg_key keys[] = { { "directories", take_directories }, { "files", take_files } };
	GF_CFG_WALK(x, n, "policy", keys);
}

static void take_shadow_directories(struct gf_cfg *x, const struct gf_ynode *n)
{
	gf_cfg_paths(x, n, "shadow.directories", &x->c->shadow_dirs);
}

static void take_shadow_files(struct gf_cfg *x, const struct gf_ynode *n)
{
	gf_cfg_paths(x, n, "shadow.files", &x->c->shadow_files);
}

static void take_shadow(struct gf_cfg *x, const struct gf_ynode *n)
{
	static const struct gf_cfg_key keys[] = { { "directories", take_shadow_directories }, { "files", take_shadow_files } };
	GF_CFG_WALK(x, n, "shadow", keys);
}

static void take_actions(struct gf_cfg *x, const struct gf_ynode *n)
{
	uint64_t v;
	if (gf_cfg_integer(x, n, "budget.actions", 0, 256, &v))
		x->c->budget_n = (uint32_t)v;
}

static void take_per(struct gf_cfg *x, const struct gf_ynode *n)
{
	gf_cfg_duration(x, n, "budget.per", 1000000000ull, 86400000000000ull, "from 1s to 1d", &x->c->budget_window_ns);
}

static void take_budget(struct gf_cfg *x, const struct gf_ynode *n)
{
	static const struct gf_cfg_key keys[] = { { "actions", take_actions }, { "per", take_per } };
	GF_CFG_WALK(x, n, "budget", keys);
}

void gf_cfg_last_resorts(struct gf_cfg *x, const struct gf_ynode *n, const char *what, uint32_t *ret)
{
	static const char *const words[] = { "panic", "restart", "nmi", "reset" };
	static const enum gf_action actions[] = { GF_ACT_PANIC, GF_ACT_RESTART, GF_ACT_NMI, GF_ACT_RESET };
	uint32_t set = 0;

	if (n->kind != GF_Y_SEQ && n->kind != GF_Y_NULL) {
		gf_cfg_error(x, n, "such as [nmi, reset]; [] for none", "%s must be a list", what);
		return;
	}
	for (const struct gf_ynode *k = n->kid; k; k = k->next) {
		int i = gf_cfg_choice(x, k, what, words, 4);
		if (i >= 0)
			set |= 1u << actions[i];
	}
	*ret = set;
}

static void take_last_resorts(struct gf_cfg *x, const struct gf_ynode *n)
{
	gf_cfg_last_resorts(x, n, "last-resorts", &x->c->last_resorts);
}

static void take_hook(struct gf_cfg *x, const struct gf_ynode *n)
{
	struct gf_config *c = x->c;
	const char *name = n->key->text;

	if (!*name || strlen(name) > 63 || strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") != strlen(name)) {
		gf_cfg_error(x, n->key, "letters, digits, dashes and underscores; at most 63", "\"%s\" cannot be a hook's name", name);
		return;
	}
	if (n->kind != GF_Y_SEQ || !n->kid) {
		gf_cfg_error(x, n, "write [/usr/local/bin/page, \"--urgent\"]: a program and its arguments; there is no shell",
		      "the hook \"%s\" must be a list", name);
		return;
	}
	if (c->hooks == GF_CONFIG_MAX_HOOKS) {
		gf_cfg_error(x, n->key, NULL, "more than %d hooks", GF_CONFIG_MAX_HOOKS);
		return;
	}
	struct gf_config_hook *v = realloc(c->hook, (c->hooks + 1) * sizeof *v);
	if (!v) {
		x->nomem = true;
		return;
	}
	c->hook = v;
	struct gf_config_hook *h = &v[c->hooks++];
	*h = (struct gf_config_hook){ .name = strdup(name) };
	x->nomem |= !h->name;
	for (const struct gf_ynode *k = n->kid; k; k = k->next) {
		const char *s = k->kind == GF_Y_NULL ? k->text : gf_cfg_text(x, k, "an argument of a hook");
		if (s && k == n->kid && *s != '/')
			gf_cfg_error(x, k, NULL, "the hook's program must be an absolute path");
		if (h->argv.n == GF_CONFIG_MAX_ARGV) {
			gf_cfg_error(x, k, NULL, "more than %d arguments", GF_CONFIG_MAX_ARGV);
			break;
		}
		if (s && gf_strlist_add(&h->argv, s))
			x->nomem = true;
	}
}

static void take_hooks(struct gf_cfg *x, const struct gf_ynode *n)
{
	if (n->kind == GF_Y_NULL)
		return;
	if (n->kind != GF_Y_MAP) {
		gf_cfg_error(x, n, "write {page: [/usr/local/bin/page]}", "hooks must be a map of names and lists");
		return;
	}
	for (const struct gf_ynode *k = n->kid; k; k = k->next)
		take_hook(x, k);
}

static void take_audit_path(struct gf_cfg *x, const struct gf_ynode *n)
{
	if (gf_cfg_none(n))
		gf_cfg_set(x, &x->c->audit_path, "");
	else
		gf_cfg_path(x, n, "audit.path", &x->c->audit_path);
}

static void take_max_size(struct gf_cfg *x, const struct gf_ynode *n)
{
	gf_cfg_size(x, n, "audit.max-size", 64u << 10, 1ull << 40, "from 64KiB to 1TiB", &x->c->audit_max_size);
}

static void take_keep(struct gf_cfg *x, const struct gf_ynode *n)
{
	uint64_t v;
	if (gf_cfg_integer(x, n, "audit.keep", 0, 100, &v))
		x->c->audit_keep = (uint32_t)v;
}

static void take_audit(struct gf_cfg *x, const struct gf_ynode *n)
{
	static const struct gf_cfg_key keys[] = {
		{ "path", take_audit_path }, { "max-size", take_max_size }, { "keep", take_keep },
	};
	GF_CFG_WALK(x, n, "audit", keys);
}

static void take_socket(struct gf_cfg *x, const struct gf_ynode *n)
{
	gf_cfg_socket(x, n, "control.socket", &x->c->socket);
}

static void take_group(struct gf_cfg *x, const struct gf_ynode *n)
{
	const char *s = n->kind == GF_Y_NULL ? "" : gf_cfg_text(x, n, "control.group");
	if (s)
		gf_cfg_set(x, &x->c->group, s);
}

static void take_socket_mode(struct gf_cfg *x, const struct gf_ynode *n)
{
	const char *s = gf_cfg_text(x, n, "control.mode");
	char *end;

	if (!s)
		return;
	unsigned long v = strtoul(s, &end, 8);
	if (!isdigit((unsigned char)*s) || *end || v > 0777 || (v & 0600) != 0600)
		gf_cfg_error(x, n, "write for example 0660; the daemon itself needs 0600", "control.mode \"%s\" is not a file mode", s);
	else
		x->c->socket_mode = (mode_t)v;
}

static void take_control(struct gf_cfg *x, const struct gf_ynode *n)
{
	static const struct gf_cfg_key keys[] = {
		{ "socket", take_socket }, { "group", take_group }, { "mode", take_socket_mode },
	};
	GF_CFG_WALK(x, n, "control", keys);
}

static void take_level(struct gf_cfg *x, const struct gf_ynode *n)
{
	static const char *const words[] = { "error", "warning", "notice", "info", "debug" };
	int i = gf_cfg_choice(x, n, "log.level", words, 5);
	if (i >= 0)
		x->c->log_level = LOG_ERR + i;
}

static void take_journal(struct gf_cfg *x, const struct gf_ynode *n)
{
	bool on;

	if (n->kind == GF_Y_SCALAR && !strcmp(n->text, "auto"))
		x->c->journal = GF_LOG_JOURNAL_AUTO;
	else if (gf_cfg_bool(x, n, "log.journal", &on))
		x->c->journal = on ? GF_LOG_JOURNAL_YES : GF_LOG_JOURNAL_NO;
}

static void take_log(struct gf_cfg *x, const struct gf_ynode *n)
{
	static const struct gf_cfg_key keys[] = { { "level", take_level }, { "journal", take_journal } };
	GF_CFG_WALK(x, n, "log", keys);
}

int gf_config_default(struct gf_config **ret)
{
	struct gf_config *c = calloc(1, sizeof *c);

	if (!c)
		return -ENOMEM;
	c->period_ns = 100000000;
	c->rt_priority = GF_CONFIG_RT_PRIORITY;
	c->engine = GF_ENGINE_AUTO;
	c->mlock = true;
	c->target = calloc(1, sizeof *c->target);
	if (c->target) {
		c->targets = 1;
		*c->target = (struct gf_config_target){ .name = strdup("this-machine"), .max_tasks = 32768 };
	}
	c->budget_n = 10;
	c->budget_window_ns = 60000000000ull;
	c->audit_path = strdup(GF_CONFIG_AUDIT);
	c->audit_max_size = 16u << 20;
	c->audit_keep = 4;
	c->recorder_dir = strdup("");
	c->recorder_size = 256u << 20;
	c->recorder_keep_ns = 86400000000000ull;
	c->recorder_interval_ns = 1000000000u;
	c->socket = strdup(GF_CTL_SOCKET);
	c->group = strdup(GF_CTL_GROUP);
	c->socket_mode = 0660;
	c->log_level = LOG_INFO;
	c->builtin = true;
	if (!c->target || !c->target->name || !c->audit_path || !c->recorder_dir || !c->socket || !c->group || gf_strlist_add(&c->dirs, GF_CONFIG_POLICY_DIR)) {
		gf_config_free(c);
		return -ENOMEM;
	}
	*ret = c;
	return 0;
}

void gf_config_free(struct gf_config *c)
{
	if (!c)
		return;
	for (size_t i = 0; i < c->hooks; i++) {
		free(c->hook[i].name);
		gf_strlist_deinit(&c->hook[i].argv);
	}
	free(c->hook);
	gf_strlist_deinit(&c->dirs);
	gf_strlist_deinit(&c->files);
	gf_strlist_deinit(&c->shadow_dirs);
	gf_strlist_deinit(&c->shadow_files);
	for (size_t i = 0; i < c->targets; i++)
		gf_cfg_target_deinit(&c->target[i]);
	free(c->target);
	free(c->audit_path);
	free(c->recorder_dir);
	gf_pathset_deinit(&c->recorder_paths);
	free(c->socket);
	free(c->group);
	free(c);
}

int gf_config_parse(const struct gf_source *src, struct gf_diags *diags, struct gf_config **ret)
{
	static const struct gf_cfg_key keys[] = {
		{ "period", take_period }, { "mode", take_mode }, { "engine", take_engine },
		{ "targets", gf_cfg_targets }, { "policy", take_policy }, { "budget", take_budget },
		{ "last-resorts", take_last_resorts }, { "hooks", take_hooks }, { "audit", take_audit }, { "control", take_control }, { "log", take_log },
		{ "recorder", gf_cfg_recorder }, { "shadow", take_shadow },
	};
	struct gf_cfg x = { .diags = diags };
	struct gf_ynode *root;
	int r = gf_ytree_parse(src, diags, &root);

	if (r)
		return r;
	r = gf_config_default(&x.c);
	if (!r) {
		x.c->builtin = false;
		GF_CFG_WALK(&x, root, "the configuration", keys);
		r = x.nomem ? -ENOMEM : diags->errors ? -EINVAL : 0;
	}
	gf_ytree_free(root);
	if (r)
		gf_config_free(x.c);
	else
		*ret = x.c;
	return r;
}

void gf_config_restart_needed(const struct gf_config *now, const struct gf_config *next, char *buf, size_t n)
{
	const struct { bool differs; const char *name; } v[] = {
		{ now->period_ns != next->period_ns, "period" },
		{ now->engine != next->engine || now->rt_priority != next->rt_priority || now->mlock != next->mlock ||
			  gf_cfg_gpu_differs(&now->gpu, &next->gpu), "engine" },
		{ gf_cfg_targets_differ(now, next), "targets" },
		{ now->budget_n != next->budget_n || now->budget_window_ns != next->budget_window_ns, "budget" },
		{ strcmp(now->audit_path, next->audit_path) || now->audit_max_size != next->audit_max_size ||
			  now->audit_keep != next->audit_keep, "audit" },
		{ strcmp(now->recorder_dir, next->recorder_dir) || now->recorder_size != next->recorder_size ||
			  now->recorder_ticks != next->recorder_ticks || !gf_pathset_same(&now->recorder_paths, &next->recorder_paths) ||
			  now->recorder_keep_ns != next->recorder_keep_ns || now->recorder_interval_ns != next->recorder_interval_ns, "recorder" },
		{ strcmp(now->socket, next->socket) || strcmp(now->group, next->group) ||
			  now->socket_mode != next->socket_mode, "control" },
		{ now->journal != next->journal, "log.journal" },
	};
	size_t o = 0;

	buf[0] = 0;
	for (size_t i = 0; i < sizeof v / sizeof *v; i++)
		if (v[i].differs && o < n)
			o += (size_t)snprintf(buf + o, n - o, "%s%s", o ? ", " : "", v[i].name);
}
