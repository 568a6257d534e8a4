/* SPDX-License-Identifier: MIT
 *
 * Before a last resort is done: is it allowed, and has it been put on record? What it ends may be this very
 * machine, and whoever looks at it afterwards must find why.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "compiler/compiler.h"
#include "daemon/daemon.h"

#define RECORD_MS 2000u /* a disk that has stopped must not keep a machine that has stopped from being restarted */

static const char *name_of(uint8_t action)
{
	return action == GF_ACT_PANIC ? "panic" : action == GF_ACT_RESTART ? "restart" : action == GF_ACT_NMI ? "nmi" : "reset";
}

/* Into the kernel's own log, which a dump of it holds and a serial console shows. */
static void tell_kernel(const struct gf_watch *w, const struct gf_verdict *v)
{
	char line[300];
	int fd = open("/dev/kmsg", O_WRONLY | O_CLOEXEC | O_NONBLOCK);
	struct gf_policy *p = gf_policies_newest(w->policies);
	const char *rule = "?";

	if (p && v->rule < p->rules)
		rule = gf_image_str(p->img, GF_SEC(struct gf_rule, p->img, GF_SEC_RULE)[v->rule].name);
	int n = snprintf(line, sizeof line, "<2>gpufas: %s of %.60s, by rule %.60s, event %llu\n", name_of(v->action), w->name, rule,
			 (unsigned long long)v->event);
	if (fd >= 0 && write(fd, line, (size_t)n) < 0)
		gf_log(LOG_DEBUG, "nothing goes into the kernel's log: %s", strerror(errno));
	if (fd >= 0)
		close(fd);
	gf_policy_put(p);
}

/* Whether the event that explains it has gone through the reporter, and what the reporter has written is on the disk. */
static bool on_record(struct gf_daemon *d, uint64_t event)
{
	struct gf_jbuf b = { 0 };
	bool told = gf_reporter_find(d->reporter, event, &b);

	gf_jbuf_deinit(&b);
	return told && (!d->audit || gf_audit_settled(d->audit));
}

uint8_t gf_watch_last_resort(void *arg, const struct gf_verdict *v)
{
	struct gf_watch *w = arg;
	struct gf_daemon *d = w->daemon;
	const struct timespec pause = { 0, 1000000 };

	if (v->flags & GF_VERDICT_OBSERVE)
		return GF_REF_NONE; /* nothing is going to be done */
	if (!(__atomic_load_n(&w->last_resorts, __ATOMIC_RELAXED) >> v->action & 1))
		return GF_REF_NOT_ALLOWED;
	tell_kernel(w, v);
	for (uint32_t i = 0; i < RECORD_MS && !on_record(d, v->event); i++)
		nanosleep(&pause, NULL);
	return GF_REF_NONE;
}
