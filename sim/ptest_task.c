/* SPDX-License-Identifier: MIT
 *
 * Host fields and tasks of a test: a series for each field that a policy can name.
 */
#include "sim/ptest_int.h"

#include <errno.h>
#include <grp.h>
#include <math.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>

#include "gpufas/event.h"
#include "grammar/ast.h"

#define FIRST_PID 1000 /* of tasks whose pid is not given */

/* Names of fields of a scope, and the keys that are none. */
static void unknown_field(struct gf_cfg *x, const struct gf_ynode *k, enum gf_scope scope, const char *const *more, size_t count)
{
	const char *names[GF_HF_COUNT + GF_TF_COUNT + GF_SF_COUNT + GF_DF_COUNT + 16], *near;
	const struct gf_field_info *f = gf_field_find(k->key->text);
	size_t n = 0, all;
	char hint[160];

	if (f) {
		gf_cfg_error(x, k->key, f->scope == GF_SCOPE_HOST ? "it belongs under host:" : "it belongs to a task, under tasks:",
			     "%s is a field of %s", f->name, f->scope == GF_SCOPE_HOST ? "the host" : "tasks");
		return;
	}
	for (size_t i = 0; i < count; i++)
		names[n++] = more[i];
	f = gf_fields(&all);
	for (size_t i = 0; i < all; i++)
		if (f[i].scope == scope)
			names[n++] = f[i].name;
	near = gf_nearest(k->key->text, names, n);
	if (near)
		snprintf(hint, sizeof hint, "did you mean \"%s\"?", near);
	else
		snprintf(hint, sizeof hint, "`gpufasctl fields` lists them");
	gf_cfg_error(x, k->key, hint, "there is no %s field \"%s\"", scope == GF_SCOPE_HOST ? "host" : "task", k->key->text);
}

static bool series(struct gf_cfg *x, const struct gf_ynode *n, enum gf_dim dim, enum gf_pct pct, struct gf_series *ret)
{
	const char *s = gf_cfg_text(x, n, n->key->text);
	struct gf_series_fault fault = { 0 };
	struct gf_err err = { "" };
	int r;

	if (!s)
		return false;
	gf_series_deinit(ret); /* a key that is given twice, which has been said */
	r = gf_series_parse(s, dim, pct, ret, &fault, &err);
	if (r == -ENOMEM)
		x->nomem = true;
	else if (r)
		gf_ptest_says(x, gf_ptest_part(n, fault.at, fault.len), fault.hint, "%s: %s", n->key->text, err.text);
	return !r;
}

void gf_ptest_host(struct gf_cfg *x, const struct gf_ynode *n)
{
	struct gf_ptest_case *c = gf_ptest_reader(x)->c;

	if (n->kind == GF_Y_NULL)
		return;
	c->host_span = n->key->span;
	if (n->kind != GF_Y_MAP) {
		gf_cfg_error(x, n, "mem.available: 8GiB-1GiBx7", "host must be a map of fields and series");
		return;
	}
	for (const struct gf_ynode *k = n->kid; k; k = k->next) {
		const struct gf_field_info *f = gf_field_find(k->key->text);
		if (!f || f->scope != GF_SCOPE_HOST || f->str) {
			unknown_field(x, k, GF_SCOPE_HOST, NULL, 0);
			continue;
		}
		if (!f->derived && f->id == GF_HF_UPTIME) {
			if (gf_ptest_time(x, k, "uptime", &c->uptime_ns) && !c->uptime_ns)
				c->uptime_ns = 1;
			continue;
		}
		size_t d = 0;
		if (f->derived) {
			size_t all;
			const struct gf_field_info *v = gf_fields(&all);
			for (const struct gf_field_info *p = v; p < f; p++)
				d += p->derived;
		}
		series(x, k, f->dim, f->pct, f->derived ? &c->drv[d] : &c->host[f->id]);
	}
}

/* ---- a task -------------------------------------------------------------------- */

static void take_count(struct gf_cfg *x, const struct gf_ynode *n)
{
	uint64_t v;

	if (gf_cfg_integer(x, n, "count", 1, GF_PTEST_TASKS, &v))
		gf_ptest_reader(x)->t->count = (uint32_t)v;
}

static void take_every(struct gf_cfg *x, const struct gf_ynode *n)
{
	gf_ptest_time(x, n, "every", &gf_ptest_reader(x)->t->every_ns);
}

static void take_starts(struct gf_cfg *x, const struct gf_ynode *n)
{
	gf_ptest_time(x, n, "starts", &gf_ptest_reader(x)->t->starts_ns);
}

static void take_ends(struct gf_cfg *x, const struct gf_ynode *n)
{
	gf_ptest_time(x, n, "ends", &gf_ptest_reader(x)->t->ends_ns);
}

static void take_age(struct gf_cfg *x, const struct gf_ynode *n)
{
	gf_ptest_time(x, n, "age", &gf_ptest_reader(x)->t->age_ns);
}

static void take_dies(struct gf_cfg *x, const struct gf_ynode *n)
{
	gf_ptest_time(x, n, "dies_after", &gf_ptest_reader(x)->t->dies_ns);
}

static void ignore(struct gf_cfg *x, const struct gf_ynode *n)
{
	const char *s = gf_cfg_text(x, n, "a signal");
	int sig = s ? gf_signal_number(s) : 0;

	if (!s)
		return;
	if (sig <= 0)
		gf_cfg_error(x, n, "write for example [SIGTERM]", "there is no signal \"%s\"", s);
	else if (sig == 9 || sig == 19)
		gf_cfg_error(x, n, NULL, "no process can ignore %s", gf_signal_name(sig));
	else if (sig < 64)
		gf_ptest_reader(x)->t->ignores |= GF_BIT(sig);
}

static void take_ignores(struct gf_cfg *x, const struct gf_ynode *n)
{
	if (n->kind == GF_Y_SEQ)
		for (const struct gf_ynode *k = n->kid; k; k = k->next)
			ignore(x, k);
	else
		ignore(x, n);
}

static void take_parent(struct gf_cfg *x, const struct gf_ynode *n)
{
	struct gf_ptest_task *t = gf_ptest_reader(x)->t;
	const char *s = gf_cfg_text(x, n, "parent");

	t->parent_span = n->span;
	if (s)
		gf_cfg_set(x, &t->parent, s);
}

static void take_kernel(struct gf_cfg *x, const struct gf_ynode *n)
{
	gf_ptest_flag(x, n, "kernel_thread", &gf_ptest_reader(x)->t->kthread);
}

static void take_init(struct gf_cfg *x, const struct gf_ynode *n)
{
	gf_ptest_flag(x, n, "init", &gf_ptest_reader(x)->t->init);
}

static const struct gf_cfg_key task_keys[] = {
	{ "count", take_count }, { "every", take_every }, { "starts", take_starts }, { "ends", take_ends }, { "age", take_age },
	{ "dies_after", take_dies }, { "ignores", take_ignores }, { "parent", take_parent }, { "kernel_thread", take_kernel },
	{ "init", take_init },
};
#define TASK_KEYS (sizeof task_keys / sizeof *task_keys)

static void take_str(struct gf_cfg *x, const struct gf_ynode *n, uint32_t id)
{
	struct gf_ptest_task *t = gf_ptest_reader(x)->t;
	const char *s = gf_cfg_text(x, n, n->key->text);

	if (!s)
		return;
	if (id == GF_SF_COMM && strlen(s) >= GF_COMM_LEN)
		gf_cfg_error(x, n, "the kernel cuts it; write what `ps -o comm` shows", "a command name has at most 15 bytes");
	else if (strlen(s) > 4095)
		gf_cfg_error(x, n, NULL, "a text has at most 4095 bytes");
	else
		gf_cfg_set(x, &t->str[id], s);
}

/* A user's or group's name as its number. */
static bool take_owner(struct gf_cfg *x, const struct gf_ynode *n, const struct gf_field_info *f, struct gf_series *ret)
{
	bool user = f->dim == GF_DIM_UID;
	struct passwd *pw = NULL;
	struct group *gr = NULL;
	char buf[32];
	struct gf_ynode as = *n;

	/* A name may begin as a series does: _apt, xavier. */
	if (n->kind == GF_Y_SCALAR && strspn(n->text, "0123456789 +-.") == 0) {
		if (user)
			pw = getpwnam(n->text);
		else
			gr = getgrnam(n->text);
	}
	if (n->kind != GF_Y_SCALAR || (!pw && !gr && strspn(n->text, "0123456789 _+-.")))
		return series(x, n, GF_DIM_NUM, GF_PCT_NO, ret);
	if (!pw && !gr) {
		gf_cfg_error(x, n, "write the number", "this machine has no %s \"%s\"", user ? "user" : "group", n->text);
		return false;
	}
	snprintf(buf, sizeof buf, "%u", user ? pw->pw_uid : gr->gr_gid);
	as.text = buf;
	return series(x, &as, GF_DIM_NUM, GF_PCT_NO, ret);
}

static void take_pid(struct gf_cfg *x, const struct gf_ynode *n, int32_t *ret, uint64_t lo)
{
	uint64_t v;

	if (gf_cfg_integer(x, n, n->key->text, lo, 4194304, &v))
		*ret = (int32_t)v;
}

static void take_field(struct gf_cfg *x, const struct gf_ynode *k, const struct gf_field_info *f)
{
	struct gf_ptest_task *t = gf_ptest_reader(x)->t;

	if (f->str)
		take_str(x, k, f->id);
	else if (f->derived)
		series(x, k, f->dim, f->pct, &t->cpu);
	else if (f->id == GF_TF_PID || f->id == GF_TF_TGID) {
		t->pid_span = k->span;
		take_pid(x, k, &t->pid, 1);
	} else if (f->id == GF_TF_PPID) {
		t->parent_span = k->span;
		take_pid(x, k, &t->ppid, 0);
	} else if (f->id == GF_TF_CHILDREN)
		gf_cfg_error(x, k, "write parent: in the children", "children are counted");
	else if (f->dim == GF_DIM_UID || f->dim == GF_DIM_GID)
		take_owner(x, k, f, &t->col[f->id]);
	else
		series(x, k, f->dim, f->pct, &t->col[f->id]);
}

static void take_path(struct gf_cfg *x, const struct gf_ynode *k)
{
	struct gf_ptest_task *t = gf_ptest_reader(x)->t;
	struct gf_ptest_path *p;

	if (!gf_path_ok(k->key->text)) {
		gf_cfg_error(x, k->key, NULL, "this is not a kernel path such as task->mm->map_count");
		return;
	}
	p = gf_ptest_grow(x, &t->path, &t->paths, sizeof *p);
	if (!p)
		return;
	p->span = k->key->span;
	gf_cfg_set(x, &p->text, k->key->text);
	series(x, k, GF_DIM_NUM, GF_PCT_NO, &p->series);
}

static void take_task(struct gf_cfg *x, const struct gf_ynode *n)
{
	const char *more[TASK_KEYS];
	struct gf_ptest_reader *r = gf_ptest_reader(x);
	struct gf_ptest_task *t;

	for (size_t i = 0; i < TASK_KEYS; i++)
		more[i] = task_keys[i].name;
	if (n->kind != GF_Y_MAP && n->kind != GF_Y_NULL) {
		gf_cfg_error(x, n, "hog: {pid: 4242, rss: 1GiB+100MiBx60}", "a task must be a map of fields and series");
		return;
	}
	t = gf_ptest_grow(x, &r->c->task, &r->c->tasks, sizeof *t);
	if (!t)
		return;
	*t = (struct gf_ptest_task){ .span = n->key->span, .count = 1, .ends_ns = GF_PTEST_NEVER };
	gf_cfg_set(x, &t->label, n->key->text);
	r->t = t;
	for (const struct gf_ynode *k = n->kind == GF_Y_MAP ? n->kid : NULL; k; k = k->next) {
		const struct gf_field_info *f = gf_field_find(k->key->text);
		size_t i = 0;
		while (i < TASK_KEYS && strcmp(task_keys[i].name, k->key->text))
			i++;
		if (i < TASK_KEYS)
			task_keys[i].take(x, k);
		else if (strstr(k->key->text, "->"))
			take_path(x, k);
		else if (f && f->scope == GF_SCOPE_TASK)
			take_field(x, k, f);
		else
			unknown_field(x, k, GF_SCOPE_TASK, more, TASK_KEYS);
	}
	if (!t->str[GF_SF_COMM] && strlen(t->label) >= GF_COMM_LEN)
		gf_cfg_error(x, n->key, "write comm: in it", "a task's name is its comm, which has at most 15 bytes");
	if (t->cpu.len && t->col[GF_TF_CPUTIME].len)
		gf_cfg_error(x, n->key, NULL, "cpu or cputime, not both: one is the rate of the other");
}

void gf_ptest_tasks(struct gf_cfg *x, const struct gf_ynode *n)
{
	if (n->kind == GF_Y_NULL)
		return;
	if (n->kind != GF_Y_MAP) {
		gf_cfg_error(x, n, "hog: {pid: 4242, rss: 1GiB+100MiBx60}", "tasks must be a map of names and tasks");
		return;
	}
	for (const struct gf_ynode *k = n->kid; k && !x->nomem; k = k->next)
		take_task(x, k);
}

void gf_ptest_task_deinit(struct gf_ptest_task *t)
{
	free(t->label);
	free(t->parent);
	for (size_t i = 0; i < GF_SF_COUNT; i++)
		free(t->str[i]);
	for (size_t i = 0; i < GF_TF_COUNT; i++)
		gf_series_deinit(&t->col[i]);
	gf_series_deinit(&t->cpu);
	for (size_t i = 0; i < t->paths; i++) {
		free(t->path[i].text);
		gf_series_deinit(&t->path[i].series);
	}
	free(t->path);
}

/* ---- all of them together ---------------------------------------------------------- */

/* A series that goes stale ends its task. */
static void stale(struct gf_ptest_task *t, uint64_t interval_ns)
{
	uint64_t n = gf_series_stale(&t->cpu), from = (t->starts_ns + interval_ns - 1) / interval_ns;

	for (size_t i = 0; i < GF_TF_COUNT; i++)
		n = GF_MIN(n, gf_series_stale(&t->col[i]));
	for (size_t i = 0; i < t->paths; i++)
		n = GF_MIN(n, gf_series_stale(&t->path[i].series));
	if (n != UINT64_MAX)
		t->ends_ns = GF_MIN(t->ends_ns, (from + n) * interval_ns);
}

static bool pid_taken(const struct gf_ptest_case *c, int32_t pid, uint32_t count)
{
	for (size_t i = 0; i < c->tasks; i++)
		if (c->task[i].pid && pid < c->task[i].pid + (int32_t)c->task[i].count && c->task[i].pid < pid + (int32_t)count)
			return true;
	return false;
}

static struct gf_ptest_task *find(struct gf_ptest_case *c, const char *label)
{
	for (size_t i = 0; i < c->tasks; i++)
		if (!strcmp(c->task[i].label, label))
			return &c->task[i];
	return NULL;
}

static void find_parent(struct gf_cfg *x, struct gf_ptest_case *c, struct gf_ptest_task *t)
{
	const char *names[64] = { NULL }, *near;
	struct gf_ptest_task *p;
	char hint[200] = "";
	size_t n = 0;

	if (!t->parent) {
		if (!t->ppid && !t->parent_span.end && t->pid != 1)
			t->ppid = 1;
		return;
	}
	p = find(c, t->parent);
	if (p && p != t) {
		t->ppid = p->pid;
		return;
	}
	for (size_t i = 0; i < c->tasks && n < 64; i++)
		names[n++] = c->task[i].label;
	near = gf_nearest(t->parent, names, n);
	if (near)
		snprintf(hint, sizeof hint, "did you mean \"%s\"?", near);
	gf_ptest_says(x, t->parent_span, hint, p ? "\"%s\" cannot be its own parent" : "there is no task \"%s\" in this test", t->parent);
}

/* Two may have one pid, one after the other. */
static void share_pid(struct gf_cfg *x, const struct gf_ptest_task *a, const struct gf_ptest_task *b)
{
	if (b->pid >= a->pid + (int32_t)a->count || a->pid >= b->pid + (int32_t)b->count)
		return;
	if (a->ends_ns <= b->starts_ns || b->ends_ns <= a->starts_ns)
		return;
	gf_ptest_says(x, b->pid_span.end ? b->pid_span : b->span, "give it another pid, or end one before the other starts",
		      "\"%s\" and \"%s\" have a pid in common", a->label, b->label);
}

void gf_ptest_task_check(struct gf_cfg *x, struct gf_ptest_case *c)
{
	int32_t next = FIRST_PID;
	uint64_t all = 0;

	for (size_t i = 0; i < c->tasks; i++) {
		struct gf_ptest_task *t = &c->task[i];
		all += t->count;
		stale(t, c->interval_ns);
		if (t->ends_ns <= t->starts_ns)
			gf_ptest_says(x, t->span, NULL, "\"%s\" ends before it starts", t->label);
		if (t->age_ns >= c->uptime_ns + t->starts_ns)
			gf_ptest_says(x, t->span, "write uptime: under host", "\"%s\" is older than the machine, which is up for %g s", t->label,
				      (double)c->uptime_ns / 1e9);
		if (t->pid)
			continue;
		while (pid_taken(c, next, t->count))
			next++;
		t->pid = next;
		next += (int32_t)t->count;
	}
	if (all > GF_PTEST_TASKS)
		gf_ptest_says(x, c->span, NULL, "a test has at most %u processes", GF_PTEST_TASKS);
	for (size_t i = 0; i < c->tasks; i++) {
		find_parent(x, c, &c->task[i]);
		for (size_t k = 0; k < i; k++)
			share_pid(x, &c->task[k], &c->task[i]);
	}
}
