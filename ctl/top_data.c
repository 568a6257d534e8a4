/* SPDX-License-Identifier: MIT
 *
 * top's conversation with the daemon: four questions a round, one at a time,
 * never waiting, so that keys are answered while a daemon is slow or gone.
 */
#include "ctl/top.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

const struct gf_top_column_info gf_top_columns[GF_TC_COUNT] = {
	[GF_TC_PID] = { "PID", "pid", 7, true },       [GF_TC_USER] = { "USER", "uid", 9, false },
	[GF_TC_COMM] = { "COMM", "comm", 15, false },  [GF_TC_STATE] = { "S", "state", 1, false },
	[GF_TC_CPU] = { "CPU%", "cpu", 6, true },      [GF_TC_RSS] = { "RSS", "rss", 6, true },
	[GF_TC_SWAP] = { "SWAP", "swap", 6, true },    [GF_TC_TIME] = { "TIME", "cputime", 7, true },
	[GF_TC_AGE] = { "AGE", "age", 7, true },       [GF_TC_THREADS] = { "THR", "threads", 5, true },
	[GF_TC_NICE] = { "NI", "nice", 3, true },      [GF_TC_OOM] = { "OOMADJ", "oom_score_adj", 6, true },
};

static int64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

void gf_top_init(struct gf_top *t, const char *socket, const char *target, double delay_s)
{
	memset(t, 0, sizeof *t);
	t->c.fd = -1;
	t->socket = socket;
	t->target = target;
	t->delay_s = delay_s;
	t->asking = -1;
	t->busy = t->busytime = (double)NAN;
	t->focus = t->lower = GF_TP_TASKS;
	t->sort = GF_TC_CPU;
}

static void drop_round(struct gf_top *t)
{
	for (int i = 0; i < GF_TA_COUNT; i++) {
		json_decref(t->fresh[i]);
		t->fresh[i] = NULL;
	}
	t->asking = -1;
}

void gf_top_deinit(struct gf_top *t)
{
	drop_round(t);
	gf_peer_close(&t->c);
	for (int i = 0; i < GF_TA_COUNT; i++)
		json_decref(t->answer[i]);
	free(t->task);
	free(t->view);
	memset(t, 0, sizeof *t);
	t->c.fd = -1;
}

const json_t *gf_top_target(const struct gf_top *t)
{
	const json_t *list = json_object_get(t->answer[GF_TA_STATUS], "targets"), *o;
	const char *name = gf_js_str(t->answer[GF_TA_PS], "target");
	size_t i;

	json_array_foreach(list, i, o)
		if (!strcmp(gf_js_str(o, "name"), name))
			return o;
	return json_array_get(list, 0);
}

double gf_top_host(const struct gf_top *t, const char *field)
{
	double v = gf_js_num(json_object_get(t->answer[GF_TA_PS], "host"), field);

	return isnan(v) ? gf_js_num(json_object_get(gf_top_target(t), "host"), field) : v;
}

const json_t *gf_top_rules(const struct gf_top *t)
{
	return json_object_get(t->answer[GF_TA_RULES], "rules");
}

const json_t *gf_top_events(const struct gf_top *t)
{
	return json_object_get(t->answer[GF_TA_EVENTS], "events");
}

static int by_pid(const void *a, const void *b)
{
	double x = ((const struct gf_top_task *)a)->v[GF_TC_PID], y = ((const struct gf_top_task *)b)->v[GF_TC_PID];

	return x < y ? -1 : x > y;
}

static void fill_task(struct gf_top_task *k, const json_t *o)
{
	const json_t *state = json_object_get(o, "state");

	for (int c = 0; c < GF_TC_COUNT; c++)
		k->v[c] = gf_js_num(o, gf_top_columns[c].field);
	k->state = '?';
	if (json_is_string(state) && *json_string_value(state))
		k->state = *json_string_value(state);
	else if (k->v[GF_TC_STATE] > 32 && k->v[GF_TC_STATE] < 127)
		k->state = (char)k->v[GF_TC_STATE];
	else if (!state || json_is_null(state))
		k->state = '-';
	gf_show_user(k->v[GF_TC_USER], k->user, sizeof k->user);
	gf_show_safe(gf_js_str(o, "comm"), k->comm, sizeof k->comm);
	gf_show_safe(gf_js_str(o, "cmdline"), k->cmdline, sizeof k->cmdline);
	k->kthread = gf_js_bool(o, "kthread");
}

/* CPU share from two looks at cputime, for where the daemon samples no rate.
 * The same pid that has grown younger or used less is another process. */
static void fill_cpu(struct gf_top_task *k, const struct gf_top_task *old, size_t n, double took_ns)
{
	const struct gf_top_task *o = old ? bsearch(k, old, n, sizeof *old, by_pid) : NULL;

	if (!isnan(k->v[GF_TC_CPU]) || !o || !(took_ns > 0))
		return;
	if (k->v[GF_TC_TIME] >= o->v[GF_TC_TIME] && !(k->v[GF_TC_AGE] < o->v[GF_TC_AGE]))
		k->v[GF_TC_CPU] = (k->v[GF_TC_TIME] - o->v[GF_TC_TIME]) / took_ns * 100;
}

static void take_busy(struct gf_top *t)
{
	double busy = gf_top_host(t, "cpu.busytime"), cpus = gf_top_host(t, "cpu.count");
	double now = gf_js_num(t->answer[GF_TA_PS], "now_ns"), took = now - t->sampled_ns;

	t->took_ns = took;
	if (took == 0) /* the same sample again */
		return;
	t->busy = took > 0 && busy >= t->busytime && cpus > 0 ? (busy - t->busytime) / took / cpus : (double)NAN;
	t->busytime = busy;
	t->sampled_ns = now;
}

static void take_tasks(struct gf_top *t)
{
	const json_t *list = json_object_get(t->answer[GF_TA_PS], "tasks"), *o;
	size_t n = json_array_size(list), i, k = 0;
	struct gf_top_task *task = calloc(n + 1, sizeof *task);
	size_t *view = calloc(n + 1, sizeof *view);

	if (!task || !view) { /* an old screen is better than none */
		free(task);
		free(view);
		snprintf(t->trouble, sizeof t->trouble, "out of memory");
		return;
	}
	json_array_foreach(list, i, o)
		if (gf_js_num(o, "pid") > 0)
			fill_task(&task[k++], o);
	qsort(task, k, sizeof *task, by_pid);
	for (i = 0; i < k; i++)
		fill_cpu(&task[i], t->task, t->tasks, t->took_ns);
	free(t->task);
	free(t->view);
	t->task = task;
	t->tasks = k;
	t->view = view;
	gf_top_arrange(t);
}

static const struct gf_top *arranged; /* what qsort's callback sorts: top has one thread */

static int by_column(const void *a, const void *b)
{
	const struct gf_top_task *x = &arranged->task[*(const size_t *)a], *y = &arranged->task[*(const size_t *)b];
	double u = x->v[arranged->sort], v = y->v[arranged->sort];
	int c = 0;

	if (arranged->sort == GF_TC_USER)
		c = strcmp(x->user, y->user);
	else if (arranged->sort == GF_TC_COMM)
		c = strcmp(x->comm, y->comm);
	else if (arranged->sort == GF_TC_STATE)
		c = (x->state > y->state) - (x->state < y->state);
	else if (isnan(u) || isnan(v))
		return isnan(u) && isnan(v) ? by_pid(x, y) : isnan(u) ? 1 : -1;
	else if (u != v)
		c = arranged->sort == GF_TC_PID ? (u < v ? -1 : 1) : (u > v ? -1 : 1);
	if (arranged->reverse)
		c = -c;
	return c ? c : by_pid(x, y);
}

static bool passes(const struct gf_top *t, const struct gf_top_task *k)
{
	char pid[24];

	if (t->no_kthreads && k->kthread)
		return false;
	if (!*t->filter)
		return true;
	snprintf(pid, sizeof pid, "%.0f", k->v[GF_TC_PID]);
	return strcasestr(k->comm, t->filter) || !strcmp(k->user, t->filter) || !strcmp(pid, t->filter);
}

void gf_top_arrange(struct gf_top *t)
{
	t->views = 0;
	for (size_t i = 0; i < t->tasks; i++)
		if (passes(t, &t->task[i]))
			t->view[t->views++] = i;
	arranged = t;
	if (t->views)
		qsort(t->view, t->views, sizeof *t->view, by_column);
}

static void lose(struct gf_top *t, const char *why)
{
	gf_peer_close(&t->c);
	drop_round(t);
	t->gone = true;
	t->next_ms = now_ms() + 1000;
	gf_show_safe(why, t->trouble, sizeof t->trouble);
}

static bool ask(struct gf_top *t, enum gf_top_ask what)
{
	static const char *const cmd[GF_TA_COUNT] = { "status", "rules", "ps", "events" };
	json_t *more = NULL;
	struct gf_err err = { "" };

	if ((what == GF_TA_PS || what == GF_TA_RULES) && t->target)
		more = json_pack("{s:s}", "target", t->target);
	if (what == GF_TA_EVENTS)
		more = json_pack("{s:i, s:b, s:s*}", "last", 200, "follow", 0, "target", t->target);
	if (gf_peer_send(&t->c, cmd[what], more, &err)) {
		lose(t, err.text);
		return false;
	}
	t->asking = (int)what;
	t->asked_ms = now_ms();
	return true;
}

static void round_done(struct gf_top *t)
{
	for (int i = 0; i < GF_TA_COUNT; i++) {
		json_decref(t->answer[i]);
		t->answer[i] = t->fresh[i];
		t->fresh[i] = NULL;
	}
	t->asking = -1;
	t->gone = false;
	t->trouble[0] = 0;
	t->next_ms = now_ms() + (int64_t)(t->delay_s * 1000);
	take_busy(t);
	take_tasks(t);
}

/* An answer to the question in flight. Returns true when it was the last of the round. */
static bool take(struct gf_top *t, json_t *ans)
{
	json_t *data = json_object_get(ans, "data");

	if (!gf_js_bool(ans, "ok") || !json_is_object(data)) {
		lose(t, *gf_js_str(ans, "error") ? gf_js_str(ans, "error") : "what listens there does not answer as gpufasd does");
		json_decref(ans);
		return true;
	}
	t->fresh[t->asking] = json_incref(data);
	json_decref(ans);
	if (t->asking + 1 < GF_TA_COUNT)
		return !ask(t, (enum gf_top_ask)(t->asking + 1));
	round_done(t);
	return true;
}

bool gf_top_step(struct gf_top *t)
{
	struct gf_err err = { "" };
	int64_t now = now_ms();
	json_t *ans;
	int rc;

	if (t->asking < 0) {
		if (now < t->next_ms || (t->paused && !t->gone && t->answer[0]))
			return false;
		if (t->c.fd < 0 && gf_peer_open(&t->c, t->socket, &err)) {
			lose(t, err.text);
			return true;
		}
		return !ask(t, GF_TA_STATUS);
	}
	while (t->asking >= 0) {
		rc = gf_peer_recv(&t->c, 0, &ans, &err);
		if (rc == -EAGAIN) {
			if (now - t->asked_ms < GF_PEER_TIMEOUT_MS)
				return false;
			lose(t, "gpufasd has not answered for 5 s");
			return true;
		}
		if (rc) {
			lose(t, err.text);
			return true;
		}
		if (take(t, ans))
			return true;
	}
	return false;
}

int gf_top_wait_ms(const struct gf_top *t)
{
	int64_t at = t->asking >= 0 ? t->asked_ms + GF_PEER_TIMEOUT_MS : t->next_ms;
	int64_t left = at - now_ms();

	if (t->asking < 0 && t->paused && !t->gone && t->answer[0])
		return 1000;
	return left < 0 ? 0 : left > 1000 ? 1000 : (int)left;
}
