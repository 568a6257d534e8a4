/* SPDX-License-Identifier: MIT */
#include "daemon/policy.h"

#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "targets/vm.h"

#define KEPT 8
#define MAX_FILES 1024

struct gf_policies {
	pthread_mutex_t lock;
	struct gf_policy *v[KEPT]; /* newest first */
};

void gf_policy_report_deinit(struct gf_policy_report *r)
{
	free(r->diags_json);
	free(r->text);
	gf_strlist_deinit(&r->notes);
	*r = (struct gf_policy_report){ 0 };
}

bool gf_policy_has(const struct gf_policy *p, const char *rule)
{
	for (uint32_t i = 0; i < p->rules; i++)
		if (!strcmp(gf_image_str(p->img, GF_SEC(struct gf_rule, p->img, GF_SEC_RULE)[i].name), rule))
			return true;
	return false;
}

struct gf_policy *gf_policy_get(struct gf_policy *p)
{
	__atomic_add_fetch(&p->refs, 1, __ATOMIC_RELAXED);
	return p;
}

void gf_policy_put(struct gf_policy *p)
{
	if (!p || __atomic_sub_fetch(&p->refs, 1, __ATOMIC_ACQ_REL))
		return;
	free(p->img);
	gf_strlist_deinit(&p->files);
	free(p);
}

static int is_policy(const struct dirent *d)
{
	size_t n = strlen(d->d_name);
	return d->d_name[0] != '.' && n > 7 && !strcmp(d->d_name + n - 7, ".policy");
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name); /* bytes: the same order under every locale */
}

static int list_dir(const char *dir, bool may_lack, struct gf_strlist *files, struct gf_policy_report *rep)
{
	struct dirent **v;
	char path[4400];
	int n = scandir(dir, &v, is_policy, by_name), r = 0;

	if (n < 0 && errno == ENOENT && may_lack) {
		snprintf(path, sizeof path, "there is no directory %s: no rules from there", dir);
		return gf_strlist_add(&rep->notes, path);
	}
	if (n < 0)
		return gf_err_set(&rep->err, errno, "cannot read the policy directory %s: %s%s", dir, strerror(errno),
				  errno == ENOENT ? "; create it, or name another under policy: {directories: [...]}" :
				  errno == ENOTDIR ? "; a file is named under policy: {files: [...]}" : "");
	for (int i = 0; i < n; i++) {
		snprintf(path, sizeof path, "%s/%s", dir, v[i]->d_name);
		if (!r)
			r = gf_strlist_add(files, path);
		free(v[i]);
	}
	free(v);
	return r;
}

/* Says it once, however many targets it is the policy of. */
static int empty(const struct gf_strlist *dirs, struct gf_policy_report *rep)
{
	char text[4400];

	snprintf(text, sizeof text, "there is no *.policy file in %s%s: no rule is in force", dirs->v[0], dirs->n > 1 ? ", nor in the others" : "");
	for (size_t i = 0; i < rep->notes.n; i++)
		if (!strcmp(rep->notes.v[i], text))
			return 0;
	return gf_strlist_add(&rep->notes, text);
}

static int list_files(const struct gf_config *c, const struct gf_config_target *t, const struct gf_strlist *only,
		      struct gf_strlist *files, struct gf_policy_report *rep)
{
	const struct gf_strlist *dirs = t->own_policy ? &t->dirs : &c->dirs, *single = t->own_policy ? &t->files : &c->files;
	int r = 0;

	if (only && only->n) {
		for (size_t i = 0; i < only->n && !r; i++)
			r = gf_strlist_add(files, only->v[i]);
	} else {
		/* A directory that has vanished (unmounted, misspelt) must not turn
		 * into a policy without rules, unless it is nothing but our default. */
		for (size_t i = 0; i < dirs->n && !r; i++)
			r = list_dir(dirs->v[i], c->builtin, files, rep);
		for (size_t i = 0; i < single->n && !r; i++)
			r = gf_strlist_add(files, single->v[i]);
	}
	/* no fault where policies are yet to come, and nothing that anybody should learn from a machine that hangs */
	if (!r && !files->n && dirs->n && !c->builtin)
		r = empty(dirs, rep);
	if (!r && files->n > MAX_FILES)
		r = gf_err_set(&rep->err, E2BIG, "more than %d policy files", MAX_FILES);
	return r;
}

/* Takes both. What one target's policy has said already, another's of the same files need not say again. */
static void add_diags(struct gf_policy_report *rep, char *text, char *json)
{
	char *all;

	if (!rep->text || !text) {
		rep->text = rep->text ? rep->text : text;
	} else if (strstr(rep->text, text)) {
		free(text);
	} else if (asprintf(&all, "%s%s", rep->text, text) >= 0) {
		free(rep->text);
		free(text);
		rep->text = all;
	} else {
		free(text);
	}
	if (!rep->diags_json || !json || !strcmp(rep->diags_json, "[]")) {
		char *old = json ? rep->diags_json : NULL;
		rep->diags_json = json ? json : rep->diags_json;
		free(old);
		return;
	}
	size_t n = strlen(json);
	json[n - 1] = 0; /* the array's end: what is in it may stand in the other already */
	if (n > 2 && !strstr(rep->diags_json, json + 1) &&
	    asprintf(&all, "%.*s,%s]", (int)strlen(rep->diags_json) - 1, rep->diags_json, json + 1) >= 0) {
		free(rep->diags_json);
		rep->diags_json = all;
	}
	free(json);
}

static int compile(const struct gf_config *c, struct gf_target *target, const struct gf_source *src, size_t n,
		   struct gf_policy *p, struct gf_policy_report *rep)
{
	const char *hooks[GF_CONFIG_MAX_HOOKS] = { 0 };
	struct gf_compile_opts opts = {
		.target = p->kind, .period_ns = p->period_ns, .hooks = hooks, .hook_count = c->hooks, .no_module = p->no_module,
	};
	struct gf_diags diags = { 0 };
	char *text = NULL, *json = NULL;
	size_t len;

	for (size_t i = 0; i < c->hooks; i++)
		hooks[i] = c->hook[i].name;
	/* without a guest there is no kernel yet: whatever paths say may be right */
	struct gf_guest *g = target && p->kind != GF_TARGET_HOST ? gf_vm_guest(target, NULL) : NULL;
	if (g) {
		opts.path = gf_guest_path;
		opts.path_arg = g;
	}
	int r = gf_compile(src, n, &opts, &diags, &p->img, &p->size);
	if (g)
		gf_guest_put(g);
	FILE *f = diags.n ? open_memstream(&text, &len) : NULL;
	if (f) {
		gf_diags_print(&diags, src, n, f, false);
		fclose(f);
	}
	f = open_memstream(&json, &len);
	if (f) {
		gf_diags_json(&diags, src, n, f);
		fclose(f);
		while (len && json[len - 1] == '\n')
			json[--len] = 0;
	}
	add_diags(rep, text, json);
	if (r == -EINVAL && diags.errors)
		gf_err_set(&rep->err, EINVAL, "the policy has %zu error%s", diags.errors, diags.errors == 1 ? "" : "s");
	else if (r)
		gf_err_set(&rep->err, -r, "the policy cannot be compiled: %s", strerror(-r));
	/* again, by the daemon itself: no image reaches an engine on the compiler's word alone */
	else if ((r = gf_verify(p->img, p->size, &rep->err)))
		gf_log(LOG_ERR, "an image from our own compiler does not verify: %s", rep->err.text);
	gf_diags_deinit(&diags);
	return r;
}

/* A pipe would keep whoever opens it until somebody writes: no reload after it. */
static int regular(const char *path, struct gf_err *err)
{
	struct stat st;

	if (stat(path, &st) || S_ISREG(st.st_mode) || S_ISDIR(st.st_mode))
		return 0; /* what is wrong with it, the reader says better */
	return gf_err_set(err, EINVAL, "%s is not a regular file; the daemon reads its policies from nothing else", path);
}

/* Last resorts that rules ask for, and the configuration does not allow: said when they are loaded, not only in the hour of need. */
static int not_allowed(const struct gf_config *c, const struct gf_config_target *t, const struct gf_policy *p, struct gf_policy_report *rep)
{
	const struct gf_rule *rule = GF_SEC(struct gf_rule, p->img, GF_SEC_RULE);
	const struct gf_step *step = GF_SEC(struct gf_step, p->img, GF_SEC_STEP);
	uint32_t allowed = gf_config_target_last_resorts(c, t);
	char text[400];
	int r = 0;

	if (t->kind != GF_TARGET_HOST && t->kind != GF_TARGET_VM)
		return 0;
	for (uint32_t i = 0; i < p->rules && !r; i++) {
		for (uint32_t k = 0; k < rule[i].steps && !r; k++) {
			const struct gf_step *s = &step[rule[i].step + k];
			const char *what = gf_image_str(p->img, s->shown);
			if (rule[i].flags & GF_RULE_OBSERVE || !gf_action_last_resort(s->action) || allowed >> s->action & 1)
				continue;
			snprintf(text, sizeof text, "rule %s of target %s has \"%s\", which gpufas.yaml does not allow: it will be refused "
				 "(last-resorts: [...] allows it)", gf_image_str(p->img, rule[i].name), t->name, what);
			r = gf_strlist_add(&rep->notes, text);
		}
	}
	return r;
}

static int load(const struct gf_config *c, const struct gf_config_target *t, const struct gf_strlist *only,
		struct gf_target *target, struct gf_policy *p, struct gf_policy_report *rep)
{
	static const struct gf_source nothing = { .name = "(no policy)", .text = "", .len = 0 };
	struct timespec now;
	int r = list_files(c, t, only, &p->files, rep);

	if (r)
		return r;
	struct gf_source *src = calloc(p->files.n + 1, sizeof *src);
	if (!src)
		return -ENOMEM;
	for (size_t i = 0; i < p->files.n && !r; i++) {
		r = regular(p->files.v[i], &rep->err);
		if (!r)
			r = gf_source_read(p->files.v[i], &src[i], &rep->err);
	}
	if (!r)
		r = p->files.n ? compile(c, target, src, p->files.n, p, rep) : compile(c, target, &nothing, 1, p, rep);
	for (size_t i = 0; i < p->files.n; i++)
		if (src[i].text)
			gf_source_free(&src[i]);
	free(src);
	if (r)
		return r;
	clock_gettime(CLOCK_REALTIME, &now);
	p->loaded_wall_ns = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
	p->rules = p->img->sec[GF_SEC_RULE].count;
	return not_allowed(c, t, p, rep);
}

int gf_policy_load(const struct gf_config *c, const struct gf_config_target *t, const struct gf_strlist *only,
		   struct gf_target *target, struct gf_policy **ret, struct gf_policy_report *rep)
{
	struct gf_policy *p = calloc(1, sizeof *p);

	if (!p)
		return gf_err_set(&rep->err, ENOMEM, "out of memory");
	p->refs = 1;
	p->kind = t->kind;
	p->period_ns = gf_config_target_period(c, t);
	p->no_module = t->kind == GF_TARGET_HOST && t->sampler != GF_SAMPLER_AUTO && t->sampler != GF_SAMPLER_KMOD;
	int r = load(c, t, only, target, p, rep);
	if (r) {
		if (!rep->err.text[0])
			gf_err_set(&rep->err, -r, "cannot load the policy: %s", strerror(-r));
		gf_policy_put(p);
		return r;
	}
	*ret = p;
	return 0;
}

static bool same_list(const struct gf_strlist *a, const struct gf_strlist *b)
{
	bool same = a->n == b->n;

	for (size_t i = 0; i < a->n && same; i++)
		same = !strcmp(a->v[i], b->v[i]);
	return same;
}

/* Whether a policy made for one is what the other would get. */
static bool share(const struct gf_config *c, const struct gf_config_target *a, const struct gf_config_target *b, bool only)
{
	if (a->kind != b->kind || gf_config_target_period(c, a) != gf_config_target_period(c, b))
		return false;
	if (gf_config_target_last_resorts(c, a) != gf_config_target_last_resorts(c, b) || a->sampler != b->sampler)
		return false;
	return only || (!a->own_policy && !b->own_policy) ||
	       (a->own_policy && b->own_policy && same_list(&a->dirs, &b->dirs) && same_list(&a->files, &b->files));
}

int gf_policy_load_all(const struct gf_config *c, const struct gf_config_target *t, size_t n, const struct gf_strlist *only,
		       struct gf_target *const *target, struct gf_policy **ret, struct gf_policy_report *rep)
{
	size_t i;
	int r = 0;

	for (i = 0; i < n && !r; i++) {
		size_t k = 0;
		/* with kernel paths each has to be held against its own kernel */
		while (k < i && (!share(c, &t[k], &t[i], only && only->n) || (target && ret[k]->img->fields.paths)))
			k++;
		ret[i] = k < i ? gf_policy_get(ret[k]) : NULL;
		if (k == i)
			r = gf_policy_load(c, &t[i], only, target ? target[i] : NULL, &ret[i], rep);
	}
	if (!r)
		return 0;
	if (n > 1) {
		struct gf_err why = rep->err;
		gf_err_set(&rep->err, -r, "target %s: %.300s", t[i - 1].name, why.text);
	}
	while (i-- > 0) {
		gf_policy_put(ret[i]);
		ret[i] = NULL;
	}
	return r;
}

int gf_policies_create(struct gf_policies **ret)
{
	struct gf_policies *s = calloc(1, sizeof *s);

	if (!s)
		return -ENOMEM;
	pthread_mutex_init(&s->lock, NULL);
	*ret = s;
	return 0;
}

void gf_policies_destroy(struct gf_policies *s)
{
	if (!s)
		return;
	for (int i = 0; i < KEPT; i++)
		gf_policy_put(s->v[i]);
	pthread_mutex_destroy(&s->lock);
	free(s);
}

void gf_policies_add(struct gf_policies *s, struct gf_policy *p)
{
	pthread_mutex_lock(&s->lock);
	gf_policy_put(s->v[KEPT - 1]);
	memmove(s->v + 1, s->v, (KEPT - 1) * sizeof *s->v);
	s->v[0] = gf_policy_get(p);
	pthread_mutex_unlock(&s->lock);
}

struct gf_policy *gf_policies_find(struct gf_policies *s, uint64_t fp)
{
	struct gf_policy *p = NULL;

	pthread_mutex_lock(&s->lock);
	for (int i = 0; i < KEPT && s->v[i] && !p; i++)
		if (s->v[i]->img->fp == fp)
			p = gf_policy_get(s->v[i]);
	pthread_mutex_unlock(&s->lock);
	return p;
}

struct gf_policy *gf_policies_newest(struct gf_policies *s)
{
	pthread_mutex_lock(&s->lock);
	struct gf_policy *p = s->v[0] ? gf_policy_get(s->v[0]) : NULL;
	pthread_mutex_unlock(&s->lock);
	return p;
}
