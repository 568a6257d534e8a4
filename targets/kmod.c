// SPDX-License-Identifier: MIT
#include "targets/kmod.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "targets/kmod_int.h"
#include "targets/proc.h"

#define LOOK_MS 1000        /* how often a module that is not there is looked for, and one that is looked at */
#define REAP_MS 5           /* while the engine still looks at a region that is to be unmapped */
#define HELD_MS 5000        /* for a device to let go of it */
#define FIRST_MS 3000       /* for the first table */
#define POLL_NS 5000000ull  /* the module's own look into its mailbox: we kick it, so that it is for the case that we cannot */

__attribute__((format(printf, 3, 4)))
static void say(struct gf_kmod *k, int level, const char *fmt, ...)
{
	char text[sizeof k->said];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	if (!strcmp(text, k->said))
		return;
	strcpy(k->said, text);
	if (k->o.say)
		k->o.say(k->o.say_arg, level, text);
}

static void set_why(struct gf_kmod *k, const char *why)
{
	pthread_mutex_lock(&k->lock);
	snprintf(k->why, sizeof k->why, "%s", why);
	pthread_mutex_unlock(&k->lock);
}

/* ---- the keeper: coming up ---------------------------------------------------------- */

static int take(struct gf_region *r, uint8_t *map, uint64_t len, struct gf_err *err)
{
	static const char *const what[] = {
		[GF_RB_MAGIC] = "it does not begin as the module's region does", [GF_RB_VERSION] = "it is of another version: module and gpufasd must be of one build",
		[GF_RB_DEAD] = "it has been given up", [GF_RB_SIZES] = "its sizes are not those of this build", [GF_RB_PLACES] = "its parts lie outside of it",
		[GF_RB_CHUNKS] = "its pieces make no sense",
	};
	struct gpufas_header h;

	*r = (struct gf_region){ .spans = 1 };
	r->span[0] = (struct gf_region_span){ map, 0, len };
	if (len < GF_REGION_PAGE || gf_region_copy(r, 0, &h, (sizeof h + 7) & ~7ull))
		return gf_err_set(err, EBADMSG, "its region is too small");
	enum gf_region_bad bad = gf_region_take(r, &h);
	if (!bad && h.region_size > len)
		bad = GF_RB_SIZES;
	return bad ? gf_err_set(err, EBADMSG, "its region is of no use: %s", what[bad]) : 0;
}

static uint64_t own_start(void)
{
	struct gf_proc_stat st = { 0 };
	char buf[2048];
	FILE *f = fopen("/proc/self/stat", "re");
	size_t n = f ? fread(buf, 1, sizeof buf, f) : 0;

	if (f)
		fclose(f);
	return n && !gf_proc_stat_parse(buf, n, &st) ? st.start_ticks : UINT64_MAX;
}

/* Its pids and start times must be those that /proc shows here, or they are another namespace's: the same number would be one
 * process there and another one here. */
static int same_world(const struct gf_kmod *k, const struct gf_region *r, struct gf_err *err)
{
	struct gf_region_look l;
	struct gf_task_rec rec;
	uint64_t start = own_start();
	int q = -ENODATA;

	for (int ms = 0; ms < FIRST_MS && !atomic_load(&k->end); ms += 5) {
		q = gf_region_begin(r, &l);
		for (uint32_t i = 0; !q && i < l.count; i++)
			if (gf_region_rec(r, &l, i, &rec) == 1 && rec.pid == getpid() && rec.start_ns / GF_TICK_NS == start)
				return 0;
		if (!q && !gf_region_end(r, &l))
			return gf_err_set(err, ENOTSUP, "it does not count processes, or their time, as /proc does here (another pid or time namespace)");
		poll(NULL, 0, 5);
	}
	return gf_err_set(err, EAGAIN, "it has made no table of processes in %d s", FIRST_MS / 1000);
}

static void protect(const struct gf_kmod *k, const struct gf_region *r)
{
	uint8_t *p = gf_region_at(r, r->control, sizeof(struct gpufas_control));
	uint32_t n = (uint32_t)GF_MIN(k->o.self_count, (size_t)GPUFAS_PROTECT);

	if (!p)
		return;
	struct gpufas_control *c = (struct gpufas_control *)(void *)p;
	for (uint32_t i = 0; i < n; i++)
		*(volatile int32_t *)&c->protect[i] = k->self[i];
	*(volatile uint32_t *)&c->protects = n;
}

/* Under the lock. */
static void arm(struct gf_kmod *k)
{
	uint32_t flags = atomic_load(&k->arm);
	int r;

	if (k->fd < 0 || !k->o.deliver)
		return;
	r = k->dev.arm(k->dev.arg, k->fd, flags);
	if (r == -EPERM && flags & (GPUFAS_ARM_PANIC | GPUFAS_ARM_RESTART)) {
		flags &= ~(uint32_t)(GPUFAS_ARM_PANIC | GPUFAS_ARM_RESTART);
		r = k->dev.arm(k->dev.arg, k->fd, flags);
	}
	atomic_store(&k->armed, r ? 0 : flags);
}

static int come_up(struct gf_kmod *k)
{
	struct gf_region *r = malloc(sizeof *r);
	struct gf_err err = { "" };
	uint8_t *map = NULL;
	uint64_t len = 0;
	int fd = -1, q;

	if (!r)
		return -ENOMEM;
	q = k->dev.open(k->dev.arg, k->o.rows, atomic_load(&k->want), k->o.period_ns, &fd, &map, &len, &err);
	if (!q) {
		q = take(r, map, len, &err);
		if (!q) {
			gf_region_ask(r, atomic_load(&k->want), k->o.period_ns, POLL_NS, 1);
			protect(k, r);
		}
		if (!q && k->o.check_pids)
			q = same_world(k, r, &err);
		if (q)
			k->dev.close(k->dev.arg, fd, map, len);
	}
	atomic_store(&k->absent, q == -ENOENT);
	if (q) {
		free(r);
		set_why(k, err.text);
		/* That it is not loaded is no fault. */
		if (q != -ENOENT)
			say(k, LOG_WARNING, "the kernel module is not used: %s", err.text);
		return q;
	}
	pthread_mutex_lock(&k->lock);
	k->fd = fd;
	k->map = map;
	k->len = len;
	k->why[0] = 0;
	gf_mail_init(&k->mail, r);
	gf_mail_half(&k->mail, 0);
	arm(k);
	atomic_store(&k->suspect, false);
	atomic_store(&k->region, r);
	pthread_mutex_unlock(&k->lock);
	say(k, LOG_NOTICE, "the kernel module is there: it samples%s", k->o.deliver ? ", and delivers" : "");
	return 0;
}

/* ---- the keeper: going down ----------------------------------------------------------- */

static void go_down(struct gf_kmod *k, const char *why)
{
	struct gf_region *r;

	pthread_mutex_lock(&k->lock);
	r = atomic_exchange(&k->region, NULL);
	atomic_store(&k->armed, 0);
	int fd = k->fd;
	k->fd = -1;
	if (why)
		snprintf(k->why, sizeof k->why, "%s", why);
	pthread_mutex_unlock(&k->lock);
	if (!r)
		return;
	/* Nobody finds it any more; the engine's look is over within a tick. */
	while (atomic_load(&k->looking) == r)
		poll(NULL, 0, REAP_MS);
	/* A device lets go of it within some of its host's looks. One that does not has failed: then it stays mapped for good. */
	for (int ms = 0; atomic_load(&k->held) == r; ms += REAP_MS) {
		if (ms >= HELD_MS) {
			say(k, LOG_WARNING, "the kernel module's memory stays mapped: a GPU that was given up may still look at it");
			return;
		}
		poll(NULL, 0, REAP_MS);
	}
	k->dev.close(k->dev.arg, fd, k->map, k->len);
	free(r);
	if (why)
		say(k, LOG_WARNING, "the kernel module is not used any more: %s", why);
}

static void look(struct gf_kmod *k)
{
	struct gf_region *r = atomic_load(&k->region);
	const char *why = NULL;

	if (atomic_exchange(&k->suspect, false))
		why = atomic_load(&k->why_suspect);
	if (r && !why && !gf_region_alive(r))
		why = "it has given its region up, or another one is there";
	if (r && why) {
		go_down(k, why);
		r = NULL;
	}
	if (!r)
		come_up(k);
	else
		gf_region_ask(r, atomic_load(&k->want), k->o.period_ns, POLL_NS, atomic_fetch_add(&k->beat, 1));
}

static void *keeper(void *arg)
{
	struct gf_kmod *k = arg;
	uint64_t n;

	while (!atomic_load(&k->end)) {
		struct pollfd p = { .fd = k->wake_fd, .events = POLLIN };
		bool woken = poll(&p, 1, LOOK_MS) > 0;
		if (woken && read(k->wake_fd, &n, sizeof n) < 0 && errno != EAGAIN)
			break;
		if (!atomic_load(&k->end))
			look(k);
	}
	go_down(k, NULL);
	return NULL;
}

static void wake(struct gf_kmod *k)
{
	uint64_t one = 1;

	if (write(k->wake_fd, &one, sizeof one) < 0)
		return; /* full: it has been woken */
}

/* ---- life ------------------------------------------------------------------------------- */

int gf_kmod_create(const struct gf_kmod_opts *o, struct gf_kmod **ret, struct gf_err *err)
{
	struct gf_kmod *k = calloc(1, sizeof *k);

	if (!k)
		return gf_err_set(err, ENOMEM, "no memory");
	k->o = *o;
	k->dev = o->dev ? *o->dev : gf_kmod_device;
	if (!o->dev)
		k->dev.arg = (void *)(uintptr_t)(o->path ? o->path : GPUFAS_DEVICE);
	k->fd = -1;
	pthread_mutex_init(&k->lock, NULL);
	k->self = calloc(o->self_count + 1, sizeof *k->self);
	k->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (!k->self || k->wake_fd < 0) {
		gf_kmod_destroy(k);
		return gf_err_set(err, ENOMEM, "no memory");
	}
	if (o->self_count)
		memcpy(k->self, o->self_pids, o->self_count * sizeof *k->self);
	atomic_store(&k->want, GF_REC_STAT | GF_REC_UID | GF_REC_IDS | GF_REC_ADJ | GF_REC_CPU | GF_REC_RSS);
	come_up(k);
	int r = pthread_create(&k->thread, NULL, keeper, k);
	k->started = !r;
	if (r) {
		go_down(k, NULL);
		gf_kmod_destroy(k);
		return gf_err_set(err, r, "cannot start a thread: %s", strerror(r));
	}
	*ret = k;
	return 0;
}

void gf_kmod_destroy(struct gf_kmod *k)
{
	if (!k)
		return;
	atomic_store(&k->end, true);
	if (k->started) {
		wake(k);
		pthread_join(k->thread, NULL);
	}
	if (k->wake_fd >= 0)
		close(k->wake_fd);
	pthread_mutex_destroy(&k->lock);
	free(k->self);
	free(k);
}

bool gf_kmod_up(struct gf_kmod *k)
{
	return atomic_load(&k->region) != NULL;
}

bool gf_kmod_present(struct gf_kmod *k)
{
	return !atomic_load(&k->absent);
}

const char *gf_kmod_why(struct gf_kmod *k, char *buf, size_t n)
{
	pthread_mutex_lock(&k->lock);
	snprintf(buf, n, "%s", atomic_load(&k->region) ? "kmod" : k->why);
	pthread_mutex_unlock(&k->lock);
	return buf;
}

const struct gf_region *gf_kmod_enter(struct gf_kmod *k)
{
	for (int i = 0; i < 8; i++) {
		struct gf_region *r = atomic_load(&k->region);

		atomic_store(&k->looking, r);
		if (atomic_load(&k->region) == r)
			return r;
	}
	atomic_store(&k->looking, NULL);
	return NULL;
}

void gf_kmod_leave(struct gf_kmod *k)
{
	atomic_store(&k->looking, NULL);
}

const struct gf_region *gf_kmod_hold(struct gf_kmod *k)
{
	if (pthread_mutex_trylock(&k->lock))
		return NULL;
	struct gf_region *r = atomic_load(&k->region);
	if (r && r->slots > 1 && !atomic_load(&k->held))
		atomic_store(&k->held, r);
	else
		r = NULL;
	pthread_mutex_unlock(&k->lock);
	return r;
}

bool gf_kmod_holds(struct gf_kmod *k, const struct gf_region *r)
{
	return atomic_load(&k->region) == r;
}

void gf_kmod_let_go(struct gf_kmod *k)
{
	atomic_store(&k->held, NULL);
}

void gf_kmod_suspect(struct gf_kmod *k, const char *why)
{
	atomic_store(&k->why_suspect, why);
	if (!atomic_exchange(&k->suspect, true))
		wake(k);
}

void gf_kmod_want(struct gf_kmod *k, uint32_t want)
{
	atomic_store(&k->want, gf_region_want(want));
	wake(k);
}

void gf_kmod_arm(struct gf_kmod *k, uint32_t flags)
{
	pthread_mutex_lock(&k->lock);
	if (atomic_exchange(&k->arm, flags) != flags)
		arm(k);
	pthread_mutex_unlock(&k->lock);
}

bool gf_kmod_delivers(struct gf_kmod *k)
{
	return atomic_load(&k->region) && k->o.deliver && atomic_load(&k->armed) & GPUFAS_ARM_ACT;
}
