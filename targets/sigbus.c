// SPDX-License-Identifier: MIT
#include "targets/sigbus.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#define GUARDS 1024u

/* The handler looks at these without a lock: start is written last when a guard is set up, and first when it goes. */
struct gf_sigbus {
	_Atomic uintptr_t start; /* 0: free */
	uintptr_t end;
	size_t block;
	int fd;
	uint64_t off;
	_Atomic bool *lost;
};

static struct gf_sigbus guards[GUARDS];
static _Atomic unsigned guards_top; /* one above the highest that was ever used */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct sigaction before;
static _Thread_local bool chaining;

/* Zeros in place of what the file no longer has: all behind its end at once, or just the block that cannot be read
 * (a broken memory cell, no huge page to be had). */
static bool patch(struct gf_sigbus *g, uintptr_t start, uintptr_t at)
{
	uintptr_t from = start + (at - start) / g->block * g->block, to = g->end - from > g->block ? from + g->block : g->end;
	struct stat st;
	void *p;

	if (fstat(g->fd, &st) == 0 && (uint64_t)st.st_size <= g->off + (from - start))
		to = g->end;
	p = mmap((void *)from, to - from, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0);
	if (p == MAP_FAILED)
		return false;
	atomic_store(g->lost, true);
	return true;
}

/* To the action before ours; if that leads back here, because it chains, too, to the default. (One that jumps out
 * instead of returning can do so once in a thread.) */
static void chain(int sig, siginfo_t *info, void *context)
{
	struct sigaction dfl = { .sa_handler = SIG_DFL };
	bool handler = before.sa_flags & SA_SIGINFO || (before.sa_handler != SIG_DFL && before.sa_handler != SIG_IGN);

	if (handler && !chaining) {
		chaining = true;
		if (before.sa_flags & SA_SIGINFO)
			before.sa_sigaction(sig, info, context);
		else
			before.sa_handler(sig);
		chaining = false;
	} else if (info->si_code > 0) {
		sigaction(sig, &dfl, NULL); /* it faults again, and ends as it would have without us */
	} else if (handler || before.sa_handler == SIG_DFL) {
		sigaction(sig, &dfl, NULL);
		raise(sig);
	}
}

static void on_sigbus(int sig, siginfo_t *info, void *context)
{
	uintptr_t at = (uintptr_t)info->si_addr;
	int saved = errno;

	if (info->si_code > 0) { /* a fault, not a signal that somebody sent */
		unsigned top = atomic_load(&guards_top);

		for (unsigned i = 0; i < top; i++) {
			uintptr_t start = atomic_load(&guards[i].start);

			if (start && at >= start && at < guards[i].end && patch(&guards[i], start, at)) {
				errno = saved;
				return;
			}
		}
	}
	errno = saved;
	chain(sig, info, context);
}

/* With each mapping: somebody may have put theirs in ours' place. */
static int install(struct gf_err *err)
{
	struct sigaction sa = { .sa_sigaction = on_sigbus, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART }, now;

	sigemptyset(&sa.sa_mask);
	if (sigaction(SIGBUS, NULL, &now) < 0)
		return gf_err_set(err, errno, "cannot handle SIGBUS: %s", strerror(errno));
	if (now.sa_flags & SA_SIGINFO && now.sa_sigaction == on_sigbus)
		return 0;
	before = now;
	return sigaction(SIGBUS, &sa, NULL) < 0 ? gf_err_set(err, errno, "cannot handle SIGBUS: %s", strerror(errno)) : 0;
}

int gf_sigbus_guard(uint8_t *p, size_t len, size_t block, int fd, uint64_t off, _Atomic bool *lost,
		    struct gf_sigbus **ret, struct gf_err *err)
{
	struct gf_sigbus *g = NULL;
	int r;

	pthread_mutex_lock(&lock);
	r = install(err);
	for (unsigned i = 0; !r && !g && i < GUARDS; i++) {
		if (atomic_load(&guards[i].start))
			continue;
		g = &guards[i];
		g->end = (uintptr_t)p + len;
		g->block = block;
		g->fd = fd;
		g->off = off;
		g->lost = lost;
		atomic_store(&g->start, (uintptr_t)p);
		if (i >= atomic_load(&guards_top))
			atomic_store(&guards_top, i + 1);
	}
	pthread_mutex_unlock(&lock);
	if (!r && !g)
		r = gf_err_set(err, ENOSPC, "more than %u pieces of memory are mapped: watch fewer targets with one daemon", GUARDS);
	if (!r)
		*ret = g;
	return r;
}

void gf_sigbus_unguard(struct gf_sigbus *g)
{
	if (!g)
		return;
	pthread_mutex_lock(&lock);
	atomic_store(&g->start, 0);
	pthread_mutex_unlock(&lock);
}
