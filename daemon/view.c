/* SPDX-License-Identifier: MIT
 *
 * `ps`: a sampler of its own with all fields, in the main thread, so that the
 * engine's samples stay what the policy needs. It is made when somebody asks and
 * freed a minute after the last has asked.
 */
#include <errno.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/daemon.h"

#define KEEP_NS 60000000000ull
#define FRESH_NS 5000000000ull /* a rate over more than this is history */
#define APART_NS 250000000ull  /* a rate over less than this is noise */
#define MAX_WAITING (48u << 20)

struct gf_view {
	struct gf_target *target;
	uint64_t used_ns;    /* CLOCK_MONOTONIC */
	uint64_t then_ns;    /* target's time of `then` */
	double *then;        /* [cap] CPU time then */
	uint32_t *gen;       /* [cap] whose */
	double *cpu;         /* [cap] percent of a CPU between then and the last sample */
	uint32_t cap;
};

void gf_view_free(struct gf_view *v)
{
	if (!v)
		return;
	gf_target_destroy(v->target);
	free(v->then);
	free(v->gen);
	free(v->cpu);
	free(v);
}

static struct gf_fieldset all_fields(void)
{
	struct gf_fieldset f = { 0 };
#define HERE(sources) (strchr(sources, 'B') || strchr(sources, 'P'))
#define GF_HOST(id, name, dim, pct, lo, hi, sources, doc) if (HERE(sources)) f.host |= GF_BIT(GF_HF_##id);
#define GF_TASK(id, name, dim, pct, lo, hi, sources, doc) if (HERE(sources)) f.task |= GF_BIT(GF_TF_##id);
#define GF_TSTR(id, name, sources, doc) if (HERE(sources)) f.str |= 1u << GF_SF_##id;
#include "gpufas/fields.def"
	return f;
}

static int make(struct gf_daemon *d, struct gf_err *err)
{
	struct gf_host_opts o = { .sampler = d->config->sampler, .max_tasks = d->config->max_tasks };
	struct gf_fieldset f = all_fields();
	struct gf_view *v = calloc(1, sizeof *v);

	if (!v)
		return gf_err_set(err, ENOMEM, "out of memory");
	int r = gf_host_create(&o, &v->target, err);
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
		gf_view_free(v);
	else
		d->view = v;
	return r;
}

static int take(struct gf_view *v, struct gf_err *err)
{
	struct gf_sample *s = &v->target->sample;
	int r = gf_target_sample(v->target, err);

	if (r)
		return r;
	const double *cpu = s->col[GF_TF_CPUTIME];
	bool apart = s->now_ns >= v->then_ns + APART_NS;
	for (uint32_t i = 0; cpu && i < s->rows; i++) {
		bool same = v->then_ns && v->gen[i] == s->gen[i];
		if (apart) {
			v->cpu[i] = same ? (cpu[i] - v->then[i]) / (double)(s->now_ns - v->then_ns) * 100 : gf_unknown();
			v->then[i] = cpu[i];
			v->gen[i] = s->gen[i];
		} else if (!same) {
			v->cpu[i] = gf_unknown();
		}
	}
	if (apart)
		v->then_ns = s->now_ns;
	return 0;
}

static void numbers(const struct gf_sample *s, uint32_t i, struct gf_jbuf *b)
{
	static const char *const names[GF_TF_COUNT] = {
#define GF_TASK(id, name, ...) [GF_TF_##id] = name,
#include "gpufas/fields.def"
	};

	for (int k = 0; k < GF_TF_COUNT; k++) {
		if (k == GF_TF_PID || k == GF_TF_UID || !s->col[k])
			continue;
		double v = s->col[k][i];
		gf_jbuf_key(b, names[k]);
		if (k == GF_TF_STATE && v > 32 && v < 127)
			gf_jbuf_strn(b, &(char){ (char)v }, 1);
		else
			gf_jbuf_num(b, v);
	}
}

static void task(const struct gf_view *v, uint32_t i, struct gf_jbuf *b)
{
	static const char *const names[GF_SF_COUNT] = {
#define GF_TSTR(id, name, ...) [GF_SF_##id] = name,
#include "gpufas/fields.def"
	};
	const struct gf_sample *s = &v->target->sample;

	gf_jbuf_open(b, '{');
	gf_jbuf_kint(b, "pid", s->pid[i]);
	gf_jbuf_kuint(b, "start_ns", s->start_ns[i]);
	gf_jbuf_key(b, "comm");
	gf_jbuf_strn(b, s->comm[i], strnlen(s->comm[i], GF_COMM_LEN));
	gf_jbuf_kint(b, "uid", s->uid[i]);
	gf_jbuf_knum(b, "cpu", v->cpu[i]);
	gf_jbuf_kbool(b, "kthread", s->flags[i] & GF_ROW_KTHREAD);
	numbers(s, i, b);
	for (int k = 0; k < GF_SF_COUNT; k++) {
		const struct gf_strref *r = s->str[k] ? &s->str[k][i] : NULL;
		if (k == GF_SF_COMM)
			continue;
		gf_jbuf_key(b, names[k]);
		if (r && r->ver)
			gf_jbuf_strn(b, r->p, r->len);
		else
			gf_jbuf_null(b);
	}
	gf_jbuf_close(b, '}');
}

static void answer(struct gf_daemon *d, struct gf_client *c)
{
	const struct gf_sample *s = &d->view->target->sample;
	struct gf_jbuf b = { 0 };

	if (gf_control_waiting(d->control) > MAX_WAITING) {
		gf_client_fail(c, NULL, "too many answers wait for clients that do not read; try again");
		return;
	}
	gf_jbuf_open(&b, '{');
	gf_jbuf_kstr(&b, "target", d->config->target_name);
	gf_jbuf_kuint(&b, "now_ns", s->now_ns);
	gf_jbuf_key(&b, "host");
	gf_host_json(s->host, &b);
	gf_jbuf_key(&b, "tasks");
	gf_jbuf_open(&b, '[');
	for (uint32_t i = 0; i < s->rows && !b.failed; i++)
		if (s->flags[i] & GF_ROW_VALID)
			task(d->view, i, &b);
	gf_jbuf_close(&b, ']');
	gf_jbuf_close(&b, '}');
	gf_client_answer(c, &b);
}

void gf_daemon_ps(struct gf_daemon *d, struct gf_client *c)
{
	uint64_t now = gf_daemon_clock(CLOCK_MONOTONIC);
	struct gf_err err = { 0 };
	int r = 0;

	if (!d->view)
		r = make(d, &err);
	uint64_t age = r ? 0 : gf_daemon_clock(CLOCK_BOOTTIME) - d->view->then_ns;
	if (!r && (age >= APART_NS || !d->view->then_ns))
		r = take(d->view, &err);
	if (r) {
		gf_client_fail(c, NULL, "%s", err.text[0] ? err.text : strerror(-r));
		return;
	}
	d->view->used_ns = now;
	if (age <= FRESH_NS && !d->ps_clients) {
		answer(d, c);
		return;
	}
	if (d->ps_clients == GF_CTL_MAX_CLIENTS) { /* they came, asked and went */
		gf_client_fail(c, NULL, "too many clients ask for processes at once; try again");
		return;
	}
	/* CPU use is a rate, and command lines are read beside: they need a second sample */
	if (!d->ps_clients)
		d->ps_due_ns = gf_daemon_clock(CLOCK_MONOTONIC) + APART_NS + 20000000;
	d->ps_client[d->ps_clients++] = gf_client_defer(c);
}

void gf_daemon_ps_due(struct gf_daemon *d)
{
	uint64_t now = gf_daemon_clock(CLOCK_MONOTONIC);
	struct gf_err err = { 0 };

	if (!d->view)
		return;
	if (d->ps_clients && now >= d->ps_due_ns) {
		int r = take(d->view, &err);
		for (size_t i = 0; i < d->ps_clients; i++) {
			struct gf_client *c = gf_control_client(d->control, d->ps_client[i]);
			if (c && r)
				gf_client_fail(c, NULL, "%s", err.text[0] ? err.text : strerror(-r));
			else if (c)
				answer(d, c);
		}
		d->ps_clients = 0;
	}
	if (!d->ps_clients && now - d->view->used_ns >= KEEP_NS) {
		gf_view_free(d->view);
		d->view = NULL;
		malloc_trim(0);
	}
}

int gf_daemon_ps_timeout(struct gf_daemon *d)
{
	uint64_t now = gf_daemon_clock(CLOCK_MONOTONIC);

	if (!d->view)
		return -1;
	uint64_t due = d->ps_clients ? d->ps_due_ns : d->view->used_ns + KEEP_NS;
	return due <= now ? 0 : (int)((due - now) / 1000000) + 1;
}
