/* SPDX-License-Identifier: MIT
 *
 * Targets that are memory: guests and images. What the daemon asks of them beside the ticks goes
 * to a worker of the target's own.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "compiler/compiler.h"
#include "daemon/daemon.h"
#include "targets/vm.h"

#define MAX_MEMBERS 4096u            /* of one struct, in an answer */

/* News of a guest or of the kernel module, from a keeper's thread. */
void gf_watch_say(void *arg, int level, const char *text)
{
	const struct gf_watch *w = arg;
	/* targets are made first: they may speak before there is somebody to hear */
	struct gf_reporter *r = __atomic_load_n(&w->daemon->reporter, __ATOMIC_ACQUIRE);

	if (r)
		gf_reporter_say_of(r, w->index, level, "%s", text);
	else
		gf_log(level, "%s: %s", w->name, text);
}

/* ---- an image that cannot be read: the others are watched all the same --------------- */

struct lost {
	struct gf_target t;
	int error;
	struct gf_err why;
};

static int lost_sample(struct gf_target *t, struct gf_err *err)
{
	const struct lost *l = (const struct lost *)t;

	*err = l->why;
	return l->error;
}

static int lost_fields(struct gf_target *t, const struct gf_fieldset *f, struct gf_err *err)
{
	return gf_sample_set_fields(&t->sample, f, err);
}

static int lost_paths(struct gf_target *t, const char *const *path, size_t n, struct gf_err *err)
{
	(void)t, (void)path, (void)n, (void)err;
	return 0;
}

static void lost_destroy(struct gf_target *t)
{
	gf_sample_deinit(&t->sample);
	free(t);
}

static int make_lost(struct gf_watch *w, int error, const struct gf_err *why, struct gf_err *err)
{
	static const struct gf_target_ops ops = {
		.kind = "image", .sample = lost_sample, .set_fields = lost_fields, .destroy = lost_destroy, .set_paths = lost_paths,
	};
	struct lost *l = calloc(1, sizeof *l);
	int r = l ? gf_sample_init(&l->t.sample, 128, err) : gf_err_set(err, ENOMEM, "out of memory");

	if (r) {
		free(l);
		return r;
	}
	l->t.ops = &ops;
	l->t.target_kind = GF_TARGET_IMAGE;
	l->error = error;
	l->why = *why;
	snprintf(l->t.road, sizeof l->t.road, "%.120s", why->text);
	gf_log(LOG_ERR, "%s: %s", w->name, why->text);
	w->lost = true;
	w->target = &l->t;
	return 0;
}

int gf_watch_make_guest(struct gf_watch *w, struct gf_err *err)
{
	const struct gf_config_target *t = w->config;
	struct gf_vm_opts o = {
		.name = w->name, .qmp = t->qmp, .ram_file = t->ram, .piece = t->piece, .pieces = t->pieces,
		.max_tasks = t->max_tasks, .kick = t->kick, .kick_path = t->kick_path, .assisted = !t->unassisted, .period_ns = w->period_ns, .say = gf_watch_say, .say_arg = w,
	};
	struct gf_err why = { "" };
	int r = gf_worker_create(w->daemon->ps_fd, &w->worker, err);

	if (r)
		return r;
	if (t->kind == GF_TARGET_VM)
		return gf_vm_create(&o, &w->target, err);
	/* its clock goes on with the ticks, so that what is to last for a time can */
	r = gf_image_create(t->ram, t->piece, t->pieces, t->max_tasks, w->period_ns, &w->target, &why);
	return r ? make_lost(w, r, &why, err) : 0;
}

/* ---- requests ------------------------------------------------------------------------ */

/* What may follow a kernel path. */
struct ask {
	struct gf_ask a;
	int error;
	struct gf_err err;
	char *path, prefix[512];
	struct gf_jbuf json; /* its "members" */
	unsigned members;
	char release[128];
};

struct gf_client *gf_ask_client(const struct gf_ask *a)
{
	return gf_control_client(a->watch->daemon->control, a->client);
}

bool gf_ask_put(struct gf_watch *w, struct gf_client *c, struct gf_ask *a)
{
	struct gf_err err = { "out of memory" };
	int r = w->worker ? 0 : gf_worker_create(w->daemon->ps_fd, &w->worker, &err);

	if (a && !r) {
		a->watch = w;
		a->uid = gf_client_uid(c);
		a->client = gf_client_defer(c);
	}
	if (a && !r && !gf_worker_put(w->worker, &a->job, &err))
		return true;
	gf_client_fail(c, NULL, "%s", err.text);
	return false;
}

static void ask_free(struct ask *a)
{
	if (!a)
		return;
	gf_jbuf_deinit(&a->json);
	free(a->path);
	free(a);
}

static void one_member(void *arg, const char *name, const char *type, const struct gf_btf_member *m)
{
	static const char *const next[] = { [GF_BTF_NOTHING] = "", [GF_BTF_DOT] = ".", [GF_BTF_ARROW] = "->", [GF_BTF_INDEX] = "[" };
	struct ask *a = arg;
	struct gf_jbuf *b = &a->json;

	if (a->members++ >= MAX_MEMBERS)
		return;
	gf_jbuf_open(b, '{');
	gf_jbuf_kstr(b, "name", name);
	gf_jbuf_kstr(b, "type", type);
	gf_jbuf_kuint(b, "off", m->off);
	gf_jbuf_kuint(b, "size", m->size);
	if (m->bits) {
		gf_jbuf_kuint(b, "bit", m->bit);
		gf_jbuf_kuint(b, "bits", m->bits);
	}
	gf_jbuf_kbool(b, "pointer", m->is_pointer);
	gf_jbuf_kbool(b, "number", m->is_number);
	gf_jbuf_kstr(b, "next", next[m->next]);
	gf_jbuf_close(b, '}');
}

static void fields_run(struct gf_job *j)
{
	struct ask *a = (struct ask *)j;
	struct gf_guest *g = gf_vm_guest(a->a.watch->target, &a->err);

	if (!g) {
		a->error = -ENODATA;
		return;
	}
	snprintf(a->release, sizeof a->release, "%s", g->kernel->release);
	gf_jbuf_open(&a->json, '[');
	if (a->path)
		a->error = gf_btf_complete(g->kernel->btf, a->path, a->prefix, sizeof a->prefix, one_member, a, &a->err);
	gf_jbuf_close(&a->json, ']');
	gf_guest_put(g);
}

static void fields_done(struct gf_job *j, bool ran)
{
	struct ask *a = (struct ask *)j;
	struct gf_client *c = gf_ask_client(&a->a);
	struct gf_jbuf b = { 0 };

	if (!c) {
		ask_free(a);
		return;
	}
	if (!ran) {
		gf_client_fail(c, NULL, "the daemon is stopping");
	} else if (a->error && (a->path || a->error != -ENODATA)) {
		gf_client_fail(c, NULL, "%s", a->err.text[0] ? a->err.text : strerror(-a->error));
	} else {
		gf_jbuf_open(&b, '{');
		gf_jbuf_kstr(&b, "target", a->a.watch->name);
		gf_jbuf_kstr(&b, "kind", gf_config_kind(a->a.watch->config->kind));
		gf_jbuf_kstr(&b, "release", a->release);
		if (a->path) {
			gf_jbuf_kstr(&b, "path", a->path);
			gf_jbuf_kstr(&b, "prefix", a->prefix);
			gf_jbuf_key(&b, "members");
			gf_jbuf_json(&b, a->json.p, a->json.n);
			b.failed |= a->json.failed;
		}
		gf_jbuf_close(&b, '}');
		gf_client_answer(c, &b);
	}
	ask_free(a);
}

void gf_watch_fields(struct gf_watch *w, struct gf_client *c, const char *path)
{
	struct ask *a;
	struct gf_jbuf b = { 0 };

	if (path && w->config->kind == GF_TARGET_HOST) {
		gf_client_fail(c, NULL, "\"%s\" is this machine: kernel paths are for guests and images", w->name);
		return;
	}
	if (path && strlen(path) >= GF_PATH_TEXT) {
		gf_client_fail(c, NULL, "a path is shorter than %u bytes", GF_PATH_TEXT);
		return;
	}
	if (w->config->kind == GF_TARGET_HOST || w->lost) {
		gf_jbuf_open(&b, '{');
		gf_jbuf_kstr(&b, "target", w->name);
		gf_jbuf_kstr(&b, "kind", gf_config_kind(w->config->kind));
		gf_jbuf_kstr(&b, "release", "");
		gf_jbuf_close(&b, '}');
		gf_client_answer(c, &b);
		return;
	}
	a = calloc(1, sizeof *a);
	if (a) {
		a->a.job.run = fields_run;
		a->a.job.done = fields_done;
		a->path = path ? strdup(path) : NULL;
	}
	if (a && path && !a->path) {
		free(a);
		a = NULL;
	}
	if (!gf_ask_put(w, c, a ? &a->a : NULL))
		ask_free(a);
}
