/* SPDX-License-Identifier: MIT */
#include "daemon/reporter.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "daemon/eventjson.h"
#include "daemon/outbox.h"

#define INBOX 256u        /* events of actuator and daemon that wait */
#define MEMORY 2048u      /* actions that results may refer to */
#define KEPT_BYTES (4u << 20)
#define MAX_COUNTS 4096u
#define BURST 50          /* lines of rules going on and off, and being held back, that are logged at once ... */
#define BURST_A_SECOND 5  /* ... and in the long run */

struct kept {
	uint64_t seq; /* numbers are shared with the engine: they may arrive a little out of order */
	char *json, *rule;
	size_t n;
	uint32_t target;
};

/* What a RESULT does not carry itself. */
struct past {
	uint64_t seq, image_fp, start_ns;
	int32_t pid;
	uint32_t uid;
	char comm[GF_COMM_LEN];
};

struct gf_reporter {
	struct gf_reporter_opts opts;
	struct gf_reporter_source *source; /* [opts.sources] */
	pthread_t thread;
	int wake, news;
	pthread_mutex_t lock;
	bool stop, joined;
	struct gf_event *inbox; /* [INBOX] ring */
	uint32_t in_head, in_n;
	struct kept *kept;      /* [GF_REPORTER_KEPT] ring */
	uint32_t kept_head, kept_n;
	size_t kept_bytes;
	uint64_t kept_pos;      /* events ever put into the ring: the newest one's position */
	struct gf_action_count *count;
	size_t counts;
	struct gf_reporter_stats stats, *by_target; /* [opts.sources] */
	/* the thread's own */
	struct pollfd *poll;    /* [opts.sources + 1] */
	struct past *past;      /* [MEMORY] by seq */
	struct gf_event *batch; /* [INBOX] */
	double tokens;
	uint64_t token_ns, unlogged;
};

static uint64_t clock_ns(clockid_t id)
{
	struct timespec t;
	clock_gettime(id, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void ring(int fd)
{
	uint64_t one = 1;
	if (write(fd, &one, sizeof one) < 0)
		return; /* the counter is full: whoever reads is awake */
}

static void drop_oldest(struct gf_reporter *r)
{
	struct kept *k = &r->kept[r->kept_head];

	r->kept_bytes -= k->n;
	free(k->json);
	free(k->rule);
	*k = (struct kept){ 0 };
	r->kept_head = (r->kept_head + 1) % GF_REPORTER_KEPT;
	r->kept_n--;
}

/* Takes json and its memory. */
static void keep(struct gf_reporter *r, uint64_t seq, uint32_t target, char *json, size_t n, const char *rule)
{
	char *name = strdup(rule);

	pthread_mutex_lock(&r->lock);
	while (r->kept_n && (r->kept_n == GF_REPORTER_KEPT || r->kept_bytes + n > KEPT_BYTES))
		drop_oldest(r);
	r->kept[(r->kept_head + r->kept_n) % GF_REPORTER_KEPT] = (struct kept){
		.seq = seq, .json = json, .rule = name, .n = n, .target = target,
	};
	r->kept_n++;
	r->kept_bytes += n;
	r->kept_pos++;
	pthread_mutex_unlock(&r->lock);
	ring(r->news);
}

static void count_action(struct gf_reporter *r, uint32_t target, const char *rule, const char *action)
{
	size_t i = 0;

	pthread_mutex_lock(&r->lock);
	while (i < r->counts && (r->count[i].target != target || strcmp(r->count[i].rule, rule) || strcmp(r->count[i].action, action)))
		i++;
	if (i == r->counts && i < MAX_COUNTS) {
		struct gf_action_count *v = realloc(r->count, (i + 1) * sizeof *v);
		if (v) {
			r->count = v;
			v[i] = (struct gf_action_count){ .rule = strdup(rule), .action = strdup(action), .target = target };
			if (v[i].rule && v[i].action)
				r->counts++;
			else {
				free(v[i].rule);
				free(v[i].action);
			}
		}
	}
	if (i < r->counts)
		r->count[i].n++;
	pthread_mutex_unlock(&r->lock);
}

/* Numbers what has no number yet, and gives results what their action knows. */
static void complete(struct gf_reporter *r, struct gf_event *ev)
{
	if (!ev->seq)
		ev->seq = gf_event_seq();
	if (!ev->wall_ns)
		ev->wall_ns = clock_ns(CLOCK_REALTIME);
	if (ev->kind == GF_EV_ACTION) {
		struct past *p = &r->past[ev->seq % MEMORY];
		*p = (struct past){ .seq = ev->seq, .image_fp = ev->image_fp, .start_ns = ev->start_ns,
				    .pid = ev->pid, .uid = ev->uid };
		memcpy(p->comm, ev->comm, sizeof p->comm);
	}
	if (ev->kind != GF_EV_RESULT || !ev->about)
		return;
	const struct past *p = &r->past[ev->about % MEMORY];
	if (p->seq != ev->about)
		return; /* long gone, or lost on the way */
	if (!ev->image_fp)
		ev->image_fp = p->image_fp;
	if (ev->pid <= 0 && ev->count == 1)
		ev->pid = ev->u.member[0].pid;
	if (ev->pid == p->pid && !ev->comm[0]) {
		memcpy(ev->comm, p->comm, sizeof ev->comm);
		ev->uid = p->uid;
		ev->start_ns = p->start_ns;
	}
}

/* Actions and results are always logged. What can flap with every tick is thinned
 * out in the log; in the audit file and for clients it is whole. */
static bool log_it(struct gf_reporter *r, const struct gf_event *ev)
{
	if (ev->kind != GF_EV_RULE_ON && ev->kind != GF_EV_RULE_OFF && ev->kind != GF_EV_HELD_BACK &&
	    ev->kind != GF_EV_SKIPPED && ev->kind != GF_EV_MISSED)
		return true;
	uint64_t now = clock_ns(CLOCK_MONOTONIC);
	r->tokens = GF_MIN(r->tokens + (double)(now - r->token_ns) / 1e9 * BURST_A_SECOND, (double)BURST);
	r->token_ns = now;
	if (r->tokens < 1) {
		r->unlogged++;
		return false;
	}
	r->tokens -= 1;
	if (r->unlogged) {
		gf_log(LOG_INFO, "%llu similar events were not logged; the audit file has them", (unsigned long long)r->unlogged);
		r->unlogged = 0;
	}
	return true;
}

/* The event's target, or NULL: the daemon as a whole. */
static const struct gf_reporter_source *source_of(const struct gf_reporter *r, const struct gf_event *ev)
{
	return ev->target < r->opts.sources ? &r->source[ev->target] : NULL;
}

static void run_hook(struct gf_reporter *r, const struct gf_event *ev, const struct gf_image_header *img, const char *text)
{
	const struct gf_reporter_source *from = source_of(r, ev);
	const struct gf_step *s = gf_event_step(ev, img);

	if (ev->kind != GF_EV_ACTION || ev->observed || !s || s->action != GF_ACT_RUN || !r->opts.hooks)
		return;
	const char *name = gf_image_str(img, s->text);
	struct gf_hook_facts f = {
		.rule = gf_event_rule(ev, img), .comm = ev->comm, .target = from ? from->target : "", .text = text,
		.event = ev->seq, .pid = ev->pid, .uid = ev->uid,
	};
	int e = gf_hooks_run(r->opts.hooks, name, &f);
	if (e)
		gf_log(LOG_ERR, "hook %s is not run: %s", name, e == -ENOENT ? "gpufas.yaml does not name it (any more)" :
		       e == -ENOBUFS ? "too many hooks are waiting" : strerror(-e));
}

static void count_in(struct gf_reporter_stats *st, const struct gf_event *ev)
{
	st->events++;
	if (ev->kind <= GF_EV_DAEMON)
		st->kinds[ev->kind]++;
	if (ev->kind == GF_EV_HELD_BACK && ev->held_back <= GF_HB_BUSY)
		st->held_back[ev->held_back]++;
}

static void count(struct gf_reporter *r, const struct gf_event *ev)
{
	pthread_mutex_lock(&r->lock);
	count_in(&r->stats, ev);
	if (ev->target < r->opts.sources)
		count_in(&r->by_target[ev->target], ev);
	pthread_mutex_unlock(&r->lock);
}

static void report(struct gf_reporter *r, struct gf_event *ev)
{
	struct gf_jbuf b = { 0 };
	char text[1024], act[128];

	complete(r, ev);
	const struct gf_reporter_source *from = source_of(r, ev);
	/* with one target there is no need to say which; and all is about it */
	const char *named = from && r->opts.sources > 1 ? from->target : NULL;
	const char *target = from ? from->target : r->opts.sources == 1 ? r->source[0].target : NULL;
	struct gf_policy *p = from && ev->image_fp ? gf_policies_find(from->policies, ev->image_fp) : NULL;
	const struct gf_image_header *img = p ? p->img : NULL;
	const char *rule = gf_event_rule(ev, img);
	const struct gf_step *s = gf_event_step(ev, img);

	count(r, ev);
	if (ev->kind == GF_EV_ACTION && s && !ev->observed)
		count_action(r, ev->target, rule, gf_action_text(img, s, act, sizeof act));
	gf_event_sentence_of(ev, img, named, text, sizeof text);
	if (log_it(r, ev))
		gf_log(gf_event_priority(ev, img), "%s", text);
	gf_event_json(ev, img, target, named != NULL, &b);
	run_hook(r, ev, img, text);
	if (b.failed) {
		pthread_mutex_lock(&r->lock);
		r->stats.lost++;
		pthread_mutex_unlock(&r->lock);
		gf_jbuf_deinit(&b);
	} else {
		if (r->opts.audit)
			gf_audit_put(r->opts.audit, b.p, b.n);
		char *fit = realloc(b.p, b.n); /* these stay for long */
		keep(r, ev->seq, ev->target, fit ? fit : b.p, b.n, rule);
	}
	gf_policy_put(p);
}

/* An action's event is in the engine's ring before its verdict can reach the
 * actuator: who looks at the actuator's events first and reports the engine's
 * first has every action before its results. */
static void collect(struct gf_reporter *r)
{
	struct gf_event ev[8];
	uint32_t n;
	size_t got;

	pthread_mutex_lock(&r->lock);
	n = r->in_n;
	for (uint32_t i = 0; i < n; i++)
		r->batch[i] = r->inbox[(r->in_head + i) % INBOX];
	r->in_head = (r->in_head + n) % INBOX;
	r->in_n = 0;
	pthread_mutex_unlock(&r->lock);
	for (size_t k = 0; k < r->opts.sources; k++)
		while (r->source[k].take && (got = r->source[k].take(r->source[k].arg, ev, 8)) > 0)
			for (size_t i = 0; i < got; i++)
				report(r, &ev[i]);
	for (uint32_t i = 0; i < n; i++)
		report(r, &r->batch[i]);
}

static void *reporter_thread(void *arg)
{
	struct gf_reporter *r = arg;
	struct pollfd *p = r->poll;
	bool stop = false;
	uint64_t n;

	while (!stop) {
		nfds_t fds = (nfds_t)r->opts.sources + 1;
		p[0] = (struct pollfd){ .fd = r->wake, .events = POLLIN };
		for (nfds_t i = 1; i < fds; i++)
			p[i] = (struct pollfd){ .fd = r->source[i - 1].fd, .events = POLLIN };
		if (poll(p, fds, -1) < 0) {
			if (errno != EINTR) /* ENOMEM: it will pass */
				nanosleep(&(struct timespec){ .tv_nsec = 50000000 }, NULL);
			for (nfds_t i = 0; i < fds; i++)
				p[i].revents = p[i].fd >= 0 ? POLLIN : 0; /* none of them blocks */
		}
		for (nfds_t i = 0; i < fds; i++)
			if (p[i].revents & POLLIN && read(p[i].fd, &n, sizeof n) < 0 && errno != EAGAIN && errno != EINTR)
				stop = true;
		pthread_mutex_lock(&r->lock);
		stop |= r->stop;
		pthread_mutex_unlock(&r->lock);
		collect(r);
	}
	return NULL;
}

static void release(struct gf_reporter *r)
{
	while (r->kept && r->kept_n)
		drop_oldest(r);
	for (size_t i = 0; i < r->counts; i++) {
		free(r->count[i].rule);
		free(r->count[i].action);
	}
	free(r->count);
	free(r->inbox);
	free(r->batch);
	free(r->kept);
	free(r->past);
	free(r->poll);
	free(r->source);
	free(r->by_target);
	if (r->wake >= 0)
		close(r->wake);
	if (r->news >= 0)
		close(r->news);
	pthread_mutex_destroy(&r->lock);
	free(r);
}

int gf_reporter_create(const struct gf_reporter_opts *opts, struct gf_reporter **ret, struct gf_err *err)
{
	struct gf_reporter *r = calloc(1, sizeof *r);
	int e = 0;

	if (!r)
		return gf_err_set(err, ENOMEM, "out of memory");
	r->opts = *opts;
	r->tokens = BURST;
	r->token_ns = clock_ns(CLOCK_MONOTONIC);
	/* The actuator, at real-time priority, takes it too: it must not wait for us to
	 * be scheduled on a machine that a hog has. */
	pthread_mutexattr_t attr;
	pthread_mutexattr_init(&attr);
	pthread_mutexattr_setprotocol(&attr, PTHREAD_PRIO_INHERIT);
	pthread_mutex_init(&r->lock, &attr);
	pthread_mutexattr_destroy(&attr);
	r->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	r->news = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	r->inbox = calloc(INBOX, sizeof *r->inbox);
	r->batch = calloc(INBOX, sizeof *r->batch);
	r->kept = calloc(GF_REPORTER_KEPT, sizeof *r->kept);
	r->past = calloc(MEMORY, sizeof *r->past);
	r->poll = calloc(opts->sources + 1, sizeof *r->poll);
	r->source = calloc(opts->sources + 1, sizeof *r->source);
	r->by_target = calloc(opts->sources + 1, sizeof *r->by_target);
	if (r->source && opts->sources)
		memcpy(r->source, opts->source, opts->sources * sizeof *r->source);
	if (r->wake < 0 || r->news < 0 || !r->poll || !r->source || !r->by_target || !r->inbox || !r->batch || !r->kept || !r->past)
		e = gf_err_set(err, ENOMEM, "no memory or no descriptors for the reporter");
	if (!e)
		e = gf_thread_start(&r->thread, "gpufasd-report", reporter_thread, r, err);
	if (e) {
		release(r);
		return e;
	}
	*ret = r;
	return 0;
}

void gf_reporter_stop(struct gf_reporter *r)
{
	if (!r || r->joined)
		return;
	pthread_mutex_lock(&r->lock);
	r->stop = true;
	pthread_mutex_unlock(&r->lock);
	ring(r->wake);
	pthread_join(r->thread, NULL);
	r->joined = true;
}

void gf_reporter_destroy(struct gf_reporter *r)
{
	if (!r)
		return;
	gf_reporter_stop(r);
	release(r);
}

void gf_reporter_sink(void *reporter, const struct gf_event *ev)
{
	struct gf_reporter *r = reporter;

	pthread_mutex_lock(&r->lock);
	if (r->in_n == INBOX)
		r->stats.lost++;
	else
		r->inbox[(r->in_head + r->in_n++) % INBOX] = *ev;
	pthread_mutex_unlock(&r->lock);
	ring(r->wake);
}

static void say(struct gf_reporter *r, uint32_t target, int level, const char *fmt, va_list ap)
{
	struct gf_event ev = { .kind = GF_EV_DAEMON, .rule = GF_NONE, .target = target, .step = (uint8_t)level,
			       .wall_ns = clock_ns(CLOCK_REALTIME), .now_ns = clock_ns(CLOCK_BOOTTIME) };

	vsnprintf(ev.text, sizeof ev.text, fmt, ap);
	gf_reporter_sink(r, &ev);
}

void gf_reporter_say(struct gf_reporter *r, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say(r, GF_NONE, LOG_NOTICE, fmt, ap);
	va_end(ap);
}

void gf_reporter_say_of(struct gf_reporter *r, uint32_t target, int level, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say(r, target, level, fmt, ap);
	va_end(ap);
}

int gf_reporter_fd(struct gf_reporter *r)
{
	return r->news;
}

static bool wanted(const struct kept *k, const struct gf_reporter_filter *f)
{
	if (!f)
		return true;
	return (!f->rule || (k->rule && !strcmp(k->rule, f->rule))) && (f->target < 0 || k->target == (uint32_t)f->target);
}

uint64_t gf_reporter_read(struct gf_reporter *r, uint64_t pos, const struct gf_reporter_filter *f, size_t max,
			  gf_reporter_put put, void *arg, uint64_t *ret_lost)
{
	uint64_t lost = 0;

	pthread_mutex_lock(&r->lock);
	uint64_t before = r->kept_pos - r->kept_n; /* position of the last that is not kept any more */
	if (pos < before) {
		lost = before - pos;
		pos = before;
	}
	for (uint64_t i = pos - before; i < r->kept_n && max; i++) {
		const struct kept *k = &r->kept[(r->kept_head + i) % GF_REPORTER_KEPT];
		if (wanted(k, f)) {
			if (!put(arg, k->json, k->n))
				break;
			max--;
		}
		pos++;
	}
	pthread_mutex_unlock(&r->lock);
	if (ret_lost)
		*ret_lost = lost;
	return pos;
}

uint64_t gf_reporter_last(struct gf_reporter *r, size_t n, const struct gf_reporter_filter *f)
{
	pthread_mutex_lock(&r->lock);
	uint64_t pos = r->kept_pos, at = r->kept_pos;
	for (uint32_t i = r->kept_n; i-- > 0 && n; at--) {
		if (wanted(&r->kept[(r->kept_head + i) % GF_REPORTER_KEPT], f)) {
			pos = at - 1;
			n--;
		}
	}
	pthread_mutex_unlock(&r->lock);
	return pos;
}

uint64_t gf_reporter_since(struct gf_reporter *r, uint64_t seq)
{
	pthread_mutex_lock(&r->lock);
	uint64_t pos = r->kept_pos - r->kept_n;
	for (uint32_t i = 0; i < r->kept_n; i++, pos++)
		if (r->kept[(r->kept_head + i) % GF_REPORTER_KEPT].seq > seq)
			break;
	pthread_mutex_unlock(&r->lock);
	return pos;
}

bool gf_reporter_find(struct gf_reporter *r, uint64_t seq, struct gf_jbuf *b)
{
	bool found = false;

	pthread_mutex_lock(&r->lock);
	for (uint32_t i = 0; i < r->kept_n && !found; i++) {
		const struct kept *k = &r->kept[(r->kept_head + i) % GF_REPORTER_KEPT];
		if (k->seq == seq) {
			gf_jbuf_json(b, k->json, k->n);
			found = true;
		}
	}
	pthread_mutex_unlock(&r->lock);
	return found;
}

void gf_reporter_stats(struct gf_reporter *r, uint32_t target, struct gf_reporter_stats *ret)
{
	pthread_mutex_lock(&r->lock);
	*ret = target < r->opts.sources ? r->by_target[target] : r->stats;
	ret->queued = r->in_n + r->kept_n;
	pthread_mutex_unlock(&r->lock);
}

void gf_reporter_actions(struct gf_reporter *r, void (*fn)(void *arg, const struct gf_action_count *c), void *arg)
{
	pthread_mutex_lock(&r->lock);
	for (size_t i = 0; i < r->counts; i++)
		fn(arg, &r->count[i]);
	pthread_mutex_unlock(&r->lock);
}
