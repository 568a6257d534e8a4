// SPDX-License-Identifier: MIT
/*
 * The keeper: one thread a guest that connects, maps, finds the kernel, and notices what becomes of it. Only it maps
 * and unmaps. Each phase has a function that does one step and returns for how many ms to wait then.
 */
#include "targets/vm_keep_int.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "targets/assist.h"
#include "targets/pseudo_do.h"
#include "targets/qmp_maps.h"

#define LOOK_MS 1000     /* how often an attached guest is looked at */
#define REAP_MS 20       /* how often when somebody still holds one that is gone */
#define REAP_END_MS 5000 /* and for how long at the end */
#define EVENTS_MAX 256u   /* at a time: a guest that resets itself without end must not hold us */
#define EARLY_MS 100     /* how often a kernel that is starting is looked at */
#define EARLY_LOOKS 50u  /* before it is looked for again: it may be another boot's */
#define STILL 15         /* tries, half a minute */
#define STANDS_MS 3000   /* a clock that has stood for so long wants a closer look */

int64_t gf_vm_now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

void gf_vm_tell(struct gf_vm_keep *k, int level, int error, const char *fmt, ...)
{
	char text[sizeof k->said];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	gf_vm_set_state(k->vm, error, "%s", text);
	if (!strcmp(text, k->said))
		return;
	strcpy(k->said, text);
	gf_vm_say(k->vm, level, "%s", text);
}

static int backoff(const struct gf_vm_keep *k)
{
	return k->tries > 4 ? 2000 : 200 << (k->tries > 3 ? 3 : k->tries);
}

static void drop_early(struct gf_vm_keep *k)
{
	if (k->early)
		gf_guest_put(k->early);
	k->early = NULL;
}

static void enter(struct gf_vm_keep *k, enum gf_vm_phase phase)
{
	drop_early(k);
	k->phase = phase;
	k->tries = 0;
}

/* The state has been told. */
static void retire(struct gf_vm_keep *k)
{
	if (!k->g)
		return;
	snprintf(k->gone_kernel, sizeof k->gone_kernel, "%s", k->g->kernel->release);
	gf_vm_retire(k->vm);
	/* Nobody stores into it any more; only we free it. */
	free(k->records);
	k->records = k->g->pseudo ? gf_pseudo_records(k->g->pseudo) : NULL;
	k->g = NULL;
	gf_vm_set_paused(k->vm, false);
}

static void disconnect(struct gf_vm_keep *k)
{
	retire(k);
	pthread_mutex_lock(&k->qmp_lock);
	gf_qmp_close(k->q);
	k->q = NULL;
	pthread_mutex_unlock(&k->qmp_lock);
	k->had_reset = false;
	enter(k, GF_VM_AWAY);
}

/* ---- away ------------------------------------------------------------------- */

static int step_away(struct gf_vm_keep *k)
{
	struct gf_qmp *q = NULL;
	struct gf_err err;
	int r;

	if (!k->vm->o.qmp) {
		enter(k, GF_VM_BOOT);
		return 0;
	}
	r = gf_qmp_connect(k->vm->o.qmp, GF_VM_QMP_MS, &q, &err);
	if (r) {
		/* That it is not running is no fault, and no news where its end has been told. */
		bool down = r == -ENOENT || r == -ECONNREFUSED || r == -EPIPE;

		if (down && k->ended)
			gf_vm_set_state(k->vm, ENOLINK, "%s", err.text);
		else
			gf_vm_tell(k, down ? LOG_INFO : LOG_WARNING, ENOLINK, "%s", err.text);
		k->tries++;
		return backoff(k);
	}
	pthread_mutex_lock(&k->qmp_lock);
	k->q = q;
	pthread_mutex_unlock(&k->qmp_lock);
	k->ended = false;
	enter(k, GF_VM_BOOT);
	return 0;
}

/* ---- looking for a kernel ------------------------------------------------------ */

static void on(struct gf_vm_keep *k, struct gf_guest *g, bool paused)
{
	const struct gf_kernel *kernel = g->kernel;
	char kaslr[64] = "KASLR offset not known";

	if (kernel->kaslr != UINT64_MAX)
		snprintf(kaslr, sizeof kaslr, "KASLR offset 0x%" PRIx64, kernel->kaslr);
	k->g = g;
	if (k->vm->o.assisted && g->pseudo && gf_assist_create(kernel, &g->assist))
		g->assist = NULL;
	k->assisted = false;
	k->assist_said[0] = 0;
	if (gf_kernel_sym(kernel, "jiffies_64", &k->clock_va))
		k->clock_va = 0;
	k->clock = 0;
	gf_vm_clock(k, &k->clock);
	k->clock_ms = k->look_ms = gf_vm_now_ms();
	gf_vm_set_paused(k->vm, paused);
	if (k->records && g->pseudo && !k->had_reset)
		gf_pseudo_inherit(g->pseudo, k->records);
	free(k->records);
	k->records = NULL;
	gf_vm_publish(k->vm, g);
	gf_vm_tell(k, LOG_NOTICE, 0, "%s: Linux %s, %s, found by %s in %" PRIu64 " ms%s%s", k->had_reset ? "rebooted" : "attached",
		   kernel->release, kaslr, kernel->found_by, kernel->took_ns / 1000000,
		   gf_ramfile_ram(g->ram)->writable ? "" : "; its memory may only be read, so that nothing can be done to it",
		   paused ? "; it is paused" : "");
	k->had_reset = false;
	enter(k, GF_VM_ON);
}

/* Not attached, and why. */
static int not_yet(struct gf_vm_keep *k, int r, const struct gf_err *err)
{
	k->tries++;
	switch (r) {
	case -ENODATA:
		/* What is in memory on the way there is many things: one of them is told, and what it is when it stays. */
		if (k->tries == 1 || k->tries == STILL)
			gf_vm_tell(k, LOG_INFO, EAGAIN, "waiting for a kernel: %s", err->text);
		else
			gf_vm_set_state(k->vm, EAGAIN, "waiting for a kernel: %s", err->text);
		return backoff(k);
	case -EPIPE:
	case -ETIMEDOUT:
	case -EPROTO:
		gf_vm_tell(k, LOG_WARNING, ENOLINK, "%s", err->text);
		disconnect(k);
		k->tries = 3;
		return backoff(k);
	case -ENOLINK:
		gf_vm_tell(k, LOG_INFO, ENOLINK, "%s", err->text);
		enter(k, GF_VM_REST);
		return LOOK_MS;
	case -ENOENT:
		gf_vm_tell(k, LOG_INFO, ENOLINK, "%s", err->text);
		return backoff(k);
	default:
		gf_vm_tell(k, LOG_ERR, -r, "%s", err->text);
		return 5 * backoff(k);
	}
}

static bool anything_new(struct gf_vm_keep *k);

/* It is looked at cheaply until it has started; then all of it is looked for once more. */
static int starting(struct gf_vm_keep *k, struct gf_guest *g)
{
	struct gf_err err;

	k->early = g;
	gf_err_set(&err, ENODATA, "Linux %s is starting", g->kernel->release);
	not_yet(k, -ENODATA, &err);
	return EARLY_MS;
}

static int step_boot(struct gf_vm_keep *k)
{
	struct gf_guest *g = NULL;
	struct gf_err err = { "" };
	bool paused;
	int r;

	if (k->early && !gf_vm_started(k->early) && gf_kernel_still_there(k->early->kernel) && ++k->early_looks < EARLY_LOOKS)
		return EARLY_MS;
	drop_early(k);
	k->early_looks = 0;
	r = gf_vm_attach(k, &g, &paused, &err);
	if (r)
		return not_yet(k, r, &err);
	if (!gf_vm_started(g))
		return starting(k, g);
	/* Had it been reset meanwhile, this would be the kernel from before. */
	if (k->q && anything_new(k)) {
		gf_guest_put(g);
		return 0;
	}
	on(k, g, paused);
	return LOOK_MS;
}

/* ---- events -------------------------------------------------------------------- */

static void rebooting(struct gf_vm_keep *k, const char *why)
{
	if (k->g)
		gf_vm_tell(k, LOG_NOTICE, EAGAIN, "%s", why);
	retire(k);
	k->had_reset = true;
	enter(k, GF_VM_BOOT);
}

static void goes_on(struct gf_vm_keep *k)
{
	if (!k->g) {
		if (k->phase == GF_VM_REST)
			enter(k, GF_VM_BOOT);
		return;
	}
	/* It may go on from a snapshot, as another kernel: look before it is sampled. */
	if (!gf_kernel_still_there(k->g->kernel)) {
		rebooting(k, "goes on as another kernel: looking for it");
		return;
	}
	k->clock_ms = gf_vm_now_ms();
	if (gf_vm_set_paused(k->vm, false))
		gf_vm_tell(k, LOG_NOTICE, 0, "goes on: Linux %s", k->g->kernel->release);
}

static void stopped(struct gf_vm_keep *k)
{
	char status[32] = "";
	bool named;
	struct gf_err err;
	int r;

	pthread_mutex_lock(&k->qmp_lock);
	r = gf_qmp_status(k->q, status, sizeof status, &err);
	pthread_mutex_unlock(&k->qmp_lock);
	/* Where nobody has asked QEMU for MIGRATION events, this is what remains of one. */
	if (!r && !strcmp(status, "postmigrate")) {
		gf_vm_tell(k, LOG_NOTICE, ENOLINK, "the guest has migrated away: watch it where it runs now");
		retire(k);
		enter(k, GF_VM_REST);
		return;
	}
	if (!r && !strcmp(status, "running")) {
		goes_on(k); /* by now again */
		return;
	}
	if (r == -EPIPE || r == -ETIMEDOUT || r == -EPROTO) {
		gf_vm_tell(k, LOG_WARNING, ENOLINK, "%s", err.text);
		disconnect(k);
		return;
	}
	/* "paused (io-error)", but not "paused (paused)" */
	named = !r && strcmp(status, "paused") != 0;
	if (k->g && !gf_vm_set_paused(k->vm, true))
		gf_vm_tell(k, LOG_NOTICE, 0, "paused%s%s%s: it is not sampled, and nothing is done to it, until it goes on",
			   named ? " (" : "", named ? status : "", named ? ")" : "");
}

static void event(struct gf_vm_keep *k, enum gf_qmp_event ev)
{
	switch (ev) {
	case GF_QMP_RESET:
		rebooting(k, "reset: waiting for the next kernel");
		break;
	case GF_QMP_SHUTDOWN:
		gf_vm_tell(k, LOG_NOTICE, ENOLINK, "the guest has shut down");
		retire(k);
		enter(k, GF_VM_REST);
		break;
	case GF_QMP_MIGRATED:
		gf_vm_tell(k, LOG_NOTICE, ENOLINK, "the guest has migrated away: watch it where it runs now");
		retire(k);
		enter(k, GF_VM_REST);
		break;
	case GF_QMP_STOP:
	case GF_QMP_SUSPEND:
		stopped(k);
		break;
	case GF_QMP_RESUME:
	case GF_QMP_WAKEUP:
		goes_on(k);
		break;
	case GF_QMP_PANICKED:
		gf_vm_say(k->vm, LOG_WARNING, "the guest's kernel has panicked");
		break;
	case GF_QMP_GONE:
		gf_vm_tell(k, LOG_NOTICE, ENOLINK, "QEMU has ended, or closed its QMP socket %s", k->vm->o.qmp);
		disconnect(k);
		k->ended = true;
		break;
	case GF_QMP_NONE:
		break;
	}
}

/* What has come since the last look; false when nothing that matters has. */
static bool anything_new(struct gf_vm_keep *k)
{
	bool any = false;

	for (unsigned i = 0; k->q && i < EVENTS_MAX; i++) {
		enum gf_qmp_event ev;

		pthread_mutex_lock(&k->qmp_lock);
		ev = gf_qmp_next(k->q, 0);
		pthread_mutex_unlock(&k->qmp_lock);
		if (ev == GF_QMP_NONE)
			break;
		any = any || ev != GF_QMP_PANICKED;
		event(k, ev);
	}
	return any;
}

/* ---- attached -------------------------------------------------------------------- */

/* Its clock stands: all its CPUs hang, which is what we are for; or another kernel runs (kexec, a RAM file that is used
 * again), or none does any more. */
static void stands(struct gf_vm_keep *k)
{
	struct gf_guest *g = NULL;
	struct gf_err err;
	bool paused, other;
	int r;

	if (k->q) {
		if (gf_vm_runs(k) == 0)
			rebooting(k, "another kernel runs (kexec, or firmware): looking for it");
		return;
	}
	if (gf_qmp_maps_in_use(k->file.st_dev, k->file.st_ino) == 0) {
		gf_vm_tell(k, LOG_NOTICE, ENOLINK, "nobody has %s open: the guest has ended", k->vm->o.ram_file);
		retire(k);
		enter(k, GF_VM_REST);
		return;
	}
	r = gf_vm_attach(k, &g, &paused, &err);
	if (r)
		return;
	other = g->kernel->mem.pgd.v != k->g->kernel->mem.pgd.v || g->kernel->kaslr != k->g->kernel->kaslr;
	if (other) {
		rebooting(k, "another kernel runs: taking that");
		on(k, g, false);
	} else {
		gf_guest_put(g);
	}
}

static void look_at_clock(struct gf_vm_keep *k)
{
	int64_t now = gf_vm_now_ms();
	uint64_t clock;

	if (atomic_load(&k->vm->paused) || !gf_vm_clock(k, &clock))
		return;
	if (clock != k->clock) {
		k->clock = clock;
		k->clock_ms = now;
	} else if (now - k->clock_ms >= STANDS_MS) {
		k->clock_ms = now; /* once in so many ms */
		stands(k);
	}
}

/* The module in it comes and goes. */
static void look_at_module(struct gf_vm_keep *k)
{
	const uint64_t period = k->vm->o.period_ns ? k->vm->o.period_ns : 100000000u;
	struct gf_assist *a = k->g->assist;
	bool there = a && gf_assist_look(k->g->kernel, a) == 1;

	if (!a)
		return;
	/* Four of its tables a tick: so that one is at most a quarter of a tick old, and rates are right. */
	if (there)
		gf_assist_ask(a, atomic_load(&k->vm->want), period / 4, GPUFAS_POLL_MIN_NS * 2);
	if (there != k->assisted)
		gf_vm_say(k->vm, LOG_NOTICE, there ? "the guest has the kernel module: sampled and delivered to by it (assisted)" :
						     "the guest's kernel module is not there any more: from outside, as before");
	else if (!there && a->why[0] && strcmp(a->why, k->assist_said))
		gf_vm_say(k->vm, LOG_INFO, "the guest's kernel module is not used: %s", a->why);
	snprintf(k->assist_said, sizeof k->assist_said, "%s", a->why);
	k->assisted = there;
}

static int step_on(struct gf_vm_keep *k)
{
	int64_t now = gf_vm_now_ms();
	struct gf_err err;

	if (!atomic_exchange(&k->vm->suspect, false) && now < k->look_ms)
		return (int)(k->look_ms - now);
	k->look_ms = now + LOOK_MS;
	if (gf_vm_file_check(k, &err)) {
		gf_vm_tell(k, LOG_WARNING, ENOLINK, "%s", err.text);
		retire(k);
		k->had_reset = false;
		enter(k, GF_VM_BOOT);
		return LOOK_MS;
	}
	if (!gf_kernel_still_there(k->g->kernel)) {
		rebooting(k, "its kernel is no longer there: waiting for the next one");
		return 0;
	}
	if (k->q && atomic_load(&k->vm->paused))
		stopped(k);
	else
		look_at_clock(k);
	if (k->phase == GF_VM_ON && k->g && !atomic_load(&k->vm->paused))
		look_at_module(k);
	return k->phase == GF_VM_ON ? LOOK_MS : 0;
}

/* QEMU tells when that changes; a RAM file does not. */
static int step_rest(struct gf_vm_keep *k)
{
	if (!k->vm->o.qmp && gf_qmp_maps_in_use(k->file.st_dev, k->file.st_ino) != 0)
		enter(k, GF_VM_BOOT);
	else if (!k->vm->o.qmp) {
		struct stat st;

		if (stat(k->vm->o.ram_file, &st) < 0 || st.st_ino != k->file.st_ino || st.st_dev != k->file.st_dev)
			enter(k, GF_VM_BOOT);
	} else if (++k->tries >= 10) {
		enter(k, GF_VM_BOOT); /* an event may have been lost among too many */
	}
	return k->phase == GF_VM_REST ? LOOK_MS : 0;
}

/* ---- the thread -------------------------------------------------------------------- */

static void wait_ms(struct gf_vm_keep *k, int ms)
{
	struct pollfd p[2] = { { .fd = k->vm->wake_fd, .events = POLLIN }, { .fd = k->q ? gf_qmp_fd(k->q) : -1, .events = POLLIN } };
	uint64_t n;

	if (poll(p, 2, ms) > 0 && p[0].revents && read(k->vm->wake_fd, &n, sizeof n) < 0)
		return; /* another wake-up has been drained already */
}

static int step(struct gf_vm_keep *k)
{
	switch (k->phase) {
	case GF_VM_AWAY: return step_away(k);
	case GF_VM_REST: return step_rest(k);
	case GF_VM_BOOT: return step_boot(k);
	default: return step_on(k);
	}
}

static void *keeper(void *arg)
{
	struct gf_vm_keep *k = arg;
	int64_t due = 0, end;

	while (!atomic_load(&k->vm->end)) {
		bool news = anything_new(k);
		int64_t left;

		/* Steps keep their pace, whatever wakes this thread meanwhile. */
		if (news || gf_vm_now_ms() >= due || (k->phase == GF_VM_ON && atomic_load(&k->vm->suspect)))
			due = gf_vm_now_ms() + step(k);
		left = due - gf_vm_now_ms();
		if (!gf_vm_reap(k->vm) && left > REAP_MS)
			left = REAP_MS;
		if (left > 0)
			wait_ms(k, (int)left);
	}
	gf_vm_set_state(k->vm, ENOLINK, "no longer watched");
	disconnect(k);
	end = gf_vm_now_ms() + REAP_END_MS;
	while (!gf_vm_reap(k->vm) && gf_vm_now_ms() < end)
		poll(NULL, 0, REAP_MS);
	return NULL;
}

int gf_vm_keep_start(struct gf_vm *vm, struct gf_err *err)
{
	struct gf_vm_keep *k = calloc(1, sizeof *k);
	int r;

	if (!k)
		return gf_err_set(err, ENOMEM, "no memory");
	k->vm = vm;
	pthread_mutex_init(&k->qmp_lock, NULL);
	vm->keep = k;
	r = gf_vm_kick_create(vm, &k->kick, err);
	if (!r) {
		int e = pthread_create(&k->thread, NULL, keeper, k);

		r = e ? gf_err_set(err, e, "cannot start a thread: %s", strerror(e)) : 0;
		k->started = !e;
	}
	if (r)
		gf_vm_keep_stop(vm);
	return r;
}

void gf_vm_keep_stop(struct gf_vm *vm)
{
	struct gf_vm_keep *k = vm->keep;

	if (!k)
		return;
	if (k->started)
		pthread_join(k->thread, NULL);
	gf_vm_kick_free(k->kick);
	free(k->records);
	pthread_mutex_destroy(&k->qmp_lock);
	free(k);
	vm->keep = NULL;
}
