/* SPDX-License-Identifier: MIT
 *
 * `ps`: a sampler of its own with all fields, so that the engine's samples stay what
 * the policy needs; on a thread of its own, so that control and watchdog never wait
 * for it. The thread starts when somebody asks first; the sampler is freed when
 * nobody has asked for a while.
 */
#include <errno.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "daemon/daemon.h"
#include "daemon/outbox.h"
#include "daemon/taskjson.h"
#include "targets/vm.h"

#define KEEP_S 10
#define FRESH_NS 5000000000ull /* a rate over more than this is history */
#define APART_NS 250000000ull  /* a rate over less than this is noise */
#define SLACK 1024u            /* rows beyond those that the engine has */
#define MAX_WAITING (48u << 20)

struct gf_view {
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t cond;
	int done_fd;         /* eventfd, the daemon's: an answer is there */
	/* under the lock */
	bool stop, asked, done;
	uint32_t rows;       /* that the engine has */
	struct gf_pathset asked_paths; /* kernel paths that somebody wants, while the sampler is there */
	struct gf_jbuf json; /* of the last answer */
	struct gf_err err;   /* or why there is none */
	/* the thread's own */
	const struct gf_watch *watch;
	uint32_t max_tasks;
	struct gf_target *target;
	struct gf_pathset paths; /* that it samples */
	uint64_t then_at;    /* CLOCK_MONOTONIC of `then`; 0: none */
	uint64_t then_ns;    /* target's time of `then` */
	double *then;        /* [cap] CPU time then */
	uint32_t *gen;       /* [cap] whose */
	double *cpu;         /* [cap] percent of a CPU between then and the last sample */
	uint32_t cap;
};

/* ---- the thread --------------------------------------------------------------- */

static void unmake(struct gf_view *v)
{
	gf_target_destroy(v->target);
	gf_pathset_deinit(&v->paths);
	free(v->then);
	free(v->gen);
	free(v->cpu);
	v->target = NULL;
	v->then = v->cpu = NULL;
	v->gen = NULL;
	v->then_at = v->then_ns = 0;
	malloc_trim(0);
}

/* Kernel paths: what the policy in force reads, then what is asked for, as long as there is room. */
static int set_paths(struct gf_view *v, struct gf_err *err)
{
	struct gf_policy *p = gf_policies_newest(v->watch->policies);
	struct gf_fieldset f = gf_fields_of(v->watch->config->kind);
	struct gf_pathset want = { 0 };
	int r = p ? gf_pathset_add_image(&want, p->img) : 0;

	gf_policy_put(p);
	pthread_mutex_lock(&v->lock);
	if (!r)
		r = gf_pathset_add_all(&want, gf_pathset_v(&v->asked_paths), v->asked_paths.n);
	pthread_mutex_unlock(&v->lock);
	r = r == -E2BIG ? 0 : r;
	f.paths = want.n;
	if (r) {
		gf_err_set(err, -r, "out of memory");
	} else if (!gf_pathset_same(&want, &v->paths)) {
		r = gf_target_set_paths(v->target, gf_pathset_v(&want), want.n, err);
		if (!r)
			r = gf_target_set_fields(v->target, &f, err);
		v->then_at = 0; /* what was sampled before has not got them */
	}
	gf_pathset_deinit(r ? &want : &v->paths);
	if (!r)
		v->paths = want;
	return r;
}

static int make(struct gf_view *v, uint32_t rows, struct gf_err *err)
{
	const struct gf_watch *w = v->watch;
	struct gf_host_opts o = { .sampler = w->config->sampler, .max_tasks = GF_MIN(rows, v->max_tasks) };
	struct gf_fieldset f = gf_fields_of(w->config->kind);
	int r = w->lost ? gf_target_sample(w->target, err) : w->config->kind == GF_TARGET_HOST ?
		gf_host_create(&o, &v->target, err) : gf_vm_create_view(w->target, o.max_tasks, &v->target, err);

	if (!r)
		r = gf_target_set_fields(v->target, &f, err);
	if (!r) {
		v->cap = v->target->sample.cap;
		v->then = calloc(v->cap, sizeof *v->then);
		v->gen = calloc(v->cap, sizeof *v->gen);
		v->cpu = calloc(v->cap, sizeof *v->cpu);
		if (!v->then || !v->gen || !v->cpu)
			r = gf_err_set(err, ENOMEM, "out of memory");
	}
	if (r)
		unmake(v);
	return r;
}

static int take(struct gf_view *v, struct gf_err *err)
{
	struct gf_sample *s = &v->target->sample;
	int r = gf_target_sample(v->target, err);

	if (r)
		return r;
	const double *cpu = s->col[GF_TF_CPUTIME];
	uint64_t now = gf_daemon_clock(CLOCK_MONOTONIC);
	bool apart = now >= v->then_at + APART_NS;
	double took = s->now_ns > v->then_ns ? (double)(s->now_ns - v->then_ns) : gf_unknown(); /* its clock may stand */
	for (uint32_t i = 0; cpu && i < s->rows; i++) {
		bool same = v->then_at && v->gen[i] == s->gen[i];
		if (apart) {
			v->cpu[i] = same ? (cpu[i] - v->then[i]) / took * 100 : gf_unknown();
			v->then[i] = cpu[i];
			v->gen[i] = s->gen[i];
		} else if (!same) {
			v->cpu[i] = gf_unknown();
		}
	}
	if (apart) {
		v->then_ns = s->now_ns;
		v->then_at = now;
	}
	return 0;
}

/* CPU use is a rate, and command lines are read beside: both need a second sample. */
static int look(struct gf_view *v, uint32_t rows, struct gf_err *err)
{
	uint32_t want = rows + rows / 4 + SLACK;
	int r = 0;

	if (v->target && v->cap < v->max_tasks && (v->cap < rows || v->target->sample.dropped))
		unmake(v); /* it has become too small */
	for (;;) {
		if (!v->target)
			r = make(v, want, err);
		if (!r && v->watch->config->kind != GF_TARGET_HOST)
			r = set_paths(v, err);
		uint64_t now = gf_daemon_clock(CLOCK_MONOTONIC);
		bool fresh = !r && v->then_at && now - v->then_at <= FRESH_NS;
		if (fresh && now - v->then_at < APART_NS)
			return 0;
		if (!r)
			r = take(v, err);
		if (!r && v->target->sample.dropped && v->cap < v->max_tasks) {
			want = v->cap + v->target->sample.dropped * 2 + SLACK;
			unmake(v);
			continue;
		}
		if (r || fresh || v->watch->config->kind == GF_TARGET_IMAGE) /* an image has no second moment */
			return r;
		while ((now = gf_daemon_clock(CLOCK_MONOTONIC)) < v->then_at + APART_NS) {
			uint64_t left = v->then_at + APART_NS - now;
			nanosleep(&(struct timespec){ .tv_nsec = (long)left }, NULL);
		}
	}
}

static void ring(int fd)
{
	uint64_t one = 1;
	if (write(fd, &one, sizeof one) < 0)
		return; /* the counter is full: whoever reads is awake */
}

static void serve(struct gf_view *v, uint32_t rows)
{
	struct gf_err err = { "" };
	struct gf_jbuf b = { 0 };
	int r = look(v, rows, &err);

	if (!r)
		gf_sample_json(&v->target->sample, v->watch->name, &v->paths, v->cpu, &b);
	if (b.failed)
		gf_err_set(&err, ENOMEM, "the daemon has not enough memory for this answer");
	if (r || b.failed)
		gf_jbuf_deinit(&b);
	if (r && !err.text[0])
		gf_err_set(&err, -r, "%s", strerror(-r));
	pthread_mutex_lock(&v->lock);
	gf_jbuf_deinit(&v->json);
	v->json = b;
	v->err = err;
	v->done = true;
	pthread_mutex_unlock(&v->lock);
	ring(v->done_fd);
}

static void *view_thread(void *arg)
{
	struct gf_view *v = arg;

	pthread_mutex_lock(&v->lock);
	while (!v->stop) {
		if (v->asked) {
			uint32_t rows = v->rows;
			v->asked = false;
			pthread_mutex_unlock(&v->lock);
			serve(v, rows);
			pthread_mutex_lock(&v->lock);
			continue;
		}
		struct timespec until;
		clock_gettime(CLOCK_MONOTONIC, &until);
		until.tv_sec += KEEP_S;
		int r = v->target ? pthread_cond_timedwait(&v->cond, &v->lock, &until) : pthread_cond_wait(&v->cond, &v->lock);
		if (r == ETIMEDOUT && !v->asked) {
			gf_pathset_deinit(&v->asked_paths);
			pthread_mutex_unlock(&v->lock);
			unmake(v);
			pthread_mutex_lock(&v->lock);
		}
	}
	pthread_mutex_unlock(&v->lock);
	unmake(v);
	return NULL;
}

/* ---- the main thread ------------------------------------------------------------ */

static void release(struct gf_view *v)
{
	gf_jbuf_deinit(&v->json);
	gf_pathset_deinit(&v->asked_paths);
	pthread_mutex_destroy(&v->lock);
	pthread_cond_destroy(&v->cond);
	free(v);
}

void gf_view_free(struct gf_view *v)
{
	if (!v)
		return;
	gf_thread_end(v->thread, &v->lock, &v->cond, &v->stop);
	release(v);
}

static int start(struct gf_watch *w, struct gf_err *err)
{
	struct gf_view *v = calloc(1, sizeof *v);

	if (!v)
		return gf_err_set(err, ENOMEM, "out of memory");
	pthread_mutex_init(&v->lock, NULL);
	gf_cond_init(&v->cond);
	v->watch = w;
	v->max_tasks = w->config->max_tasks;
	v->done_fd = w->daemon->ps_fd;
	int r = gf_thread_start(&v->thread, "gpufasd-ps", view_thread, v, err);
	if (r)
		release(v);
	else
		w->view = v;
	return r;
}

/* Kernel paths that are sampled beside those of the policy while somebody asks. */
static int ask_for(struct gf_watch *w, const json_t *paths, struct gf_err *err)
{
	const json_t *p;
	size_t i;
	int r = 0;

	if (json_array_size(paths) && w->config->kind == GF_TARGET_HOST)
		return gf_err_set(err, EINVAL, "target %s is the machine that the daemon runs on: kernel paths can be followed in guests", w->name);
	json_array_foreach(paths, i, p) {
		const char *text = json_string_value(p);
		if (!text || !gf_path_ok(text))
			return gf_err_set(err, EINVAL, "`%.200s` is no kernel path such as task->mm->map_count", text ? text : "");
		r = w->lost ? 0 : gf_vm_check_path(w->target, text, err);
		if (r)
			return r;
	}
	pthread_mutex_lock(&w->view->lock);
	json_array_foreach(paths, i, p)
		r = r ? r : gf_pathset_add(&w->view->asked_paths, json_string_value(p));
	pthread_mutex_unlock(&w->view->lock);
	return r == -E2BIG ? gf_err_set(err, E2BIG, "more than %u kernel paths are asked for", GF_MAX_PATHS) : r;
}

void gf_watch_ps(struct gf_watch *w, struct gf_client *c, const json_t *paths)
{
	struct gf_engine_stats st;
	struct gf_err err = { "" };
	int r = 0;

	if (gf_control_waiting(w->daemon->control) > MAX_WAITING) {
		gf_client_fail(c, NULL, "too many answers wait for clients that do not read; try again");
		return;
	}
	if (!w->view)
		r = start(w, &err);
	if (!r)
		r = ask_for(w, paths, &err);
	if (r) {
		gf_client_fail(c, NULL, "%s", err.text[0] ? err.text : strerror(-r));
		return;
	}
	if (w->ps_clients == GF_CTL_MAX_CLIENTS) { /* they came, asked and went */
		gf_client_fail(c, NULL, "too many clients ask for processes at once; try again");
		return;
	}
	w->ps_client[w->ps_clients++] = gf_client_defer(c);
	gf_engine_stats(w->engine, &st);
	pthread_mutex_lock(&w->view->lock);
	w->view->asked = true;
	w->view->rows = st.live + st.dropped;
	pthread_cond_signal(&w->view->cond);
	pthread_mutex_unlock(&w->view->lock);
}

static void answer(struct gf_daemon *d, struct gf_client *c, struct gf_jbuf *json, bool last, const char *why)
{
	struct gf_jbuf b = { 0 };

	if (!json->n) {
		gf_client_fail(c, NULL, "%s", why);
	} else if (gf_control_waiting(d->control) > MAX_WAITING) {
		gf_client_fail(c, NULL, "too many answers wait for clients that do not read; try again");
	} else if (last) {
		gf_client_answer(c, json);
		*json = (struct gf_jbuf){ 0 };
	} else {
		gf_jbuf_json(&b, json->p, json->n);
		gf_client_answer(c, &b);
	}
}

static void ps_done(struct gf_watch *w)
{
	struct gf_view *v = w->view;
	struct gf_err err;

	pthread_mutex_lock(&v->lock);
	struct gf_jbuf json = v->json;
	err = v->err;
	bool done = v->done;
	v->json = (struct gf_jbuf){ 0 };
	v->done = false;
	pthread_mutex_unlock(&v->lock);
	for (size_t i = 0; done && i < w->ps_clients; i++) {
		struct gf_client *c = gf_control_client(w->daemon->control, w->ps_client[i]);
		if (c)
			answer(w->daemon, c, &json, i + 1 == w->ps_clients, err.text);
	}
	if (done)
		w->ps_clients = 0;
	gf_jbuf_deinit(&json);
}

void gf_daemon_ps_done(struct gf_daemon *d)
{
	uint64_t n;

	if (read(d->ps_fd, &n, sizeof n) < 0)
		return;
	for (size_t i = 0; i < d->watches; i++) {
		if (d->watch[i].view)
			ps_done(&d->watch[i]);
		if (d->watch[i].worker)
			gf_worker_done(d->watch[i].worker);
	}
}
