/* SPDX-License-Identifier: MIT
 *
 * Signals by hand: gpufasctl signal, under the guards that rules have, by the road that is asked for.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/daemon.h"
#include "daemon/eventjson.h"
#include "grammar/ast.h" /* signals by name */
#include "targets/act.h"
#include "targets/kmod.h"
#include "targets/vm.h"

#define WAIT_NS 1000000000ull /* for what becomes of it */

struct hand {
	struct gf_ask a;
	struct gf_verdict v;
	enum gf_hand road;
	char name[32];
	int error;
	struct gf_err err; /* "": the member says it */
	struct gf_event_member member;
};

/* Identity of a process as /proc shows it: start time in clock ticks since boot. -ESRCH. */
static int start_of(int32_t pid, uint64_t *ret_ns, char *comm, size_t n)
{
	char path[64], buf[1024];
	unsigned long long ticks;

	snprintf(path, sizeof path, "/proc/%d/stat", pid);
	FILE *f = fopen(path, "re");
	if (!f)
		return -ESRCH;
	size_t len = fread(buf, 1, sizeof buf - 1, f);
	fclose(f);
	buf[len] = 0;
	char *open = strchr(buf, '('), *close = strrchr(buf, ')');
	if (!open || !close || close < open)
		return -ESRCH;
	/* state is field 3, starttime field 22 */
	if (sscanf(close + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %llu", &ticks) != 1)
		return -ESRCH;
	*ret_ns = ticks * (1000000000u / (uint64_t)sysconf(_SC_CLK_TCK));
	gf_safe_text(open + 1, (size_t)(close - open - 1), comm, n);
	return 0;
}

/* Number of a signal by its name or number as text, or 0. */
static int signal_number(const char *sig)
{
	char *end = NULL;
	long number = *sig >= '0' && *sig <= '9' ? strtol(sig, &end, 10) : 0;
	int n = !end ? gf_signal_number(sig) : *end || number > 64 ? 0 : (int)number;

	return n && gf_signal_name(n) ? n : 0;
}

static void answer(struct gf_client *c, int32_t pid, const char *name, const struct gf_event_member *m, const char *text)
{
	struct gf_jbuf b = { 0 };

	gf_jbuf_open(&b, '{');
	gf_jbuf_kint(&b, "pid", pid);
	gf_jbuf_kstr(&b, "signal", name);
	gf_jbuf_kstr(&b, "result", "sent");
	if (m) {
		gf_jbuf_kstr(&b, "text", text);
		gf_jbuf_key(&b, "member");
		gf_member_json(m, &b);
	}
	gf_jbuf_close(&b, '}');
	gf_client_answer(c, &b);
}

/* ---- what may take a moment: a worker's ----------------------------------------------- */

static void run(struct gf_job *j)
{
	struct hand *h = (struct hand *)j;
	struct gf_watch *w = h->a.watch;

	if (w->config->kind == GF_TARGET_HOST)
		h->error = gf_kmod_act(gf_host_kmod(w->target), &h->v, &h->member, &h->err);
	else
		h->error = gf_vm_act(w->target, &h->v, h->road, WAIT_NS, &h->member, &h->err);
}

static void done(struct gf_job *j, bool ran)
{
	struct hand *h = (struct hand *)j;
	struct gf_client *c = gf_ask_client(&h->a);
	char text[256];

	if (ran)
		gf_member_text(&h->member, text, sizeof text);
	if (!ran) {
		if (c)
			gf_client_fail(c, NULL, "the daemon is stopping");
	} else if (h->error || h->member.became == GF_BECAME_REFUSED) {
		if (c)
			gf_client_fail(c, NULL, "%s is not sent to pid %d: %s", h->name, h->v.pid, h->err.text[0] ? h->err.text : text);
	} else {
		gf_reporter_say_of(h->a.watch->daemon->reporter, h->a.watch->index, LOG_NOTICE, "%s sent to pid %d for uid %u over the control socket: %s",
				   h->name, h->v.pid, h->a.uid, text);
		if (c)
			answer(c, h->v.pid, h->name, &h->member, text);
	}
	free(h);
}

static void later(struct gf_watch *w, struct gf_client *c, const struct gf_verdict *v, const char *name, enum gf_hand road)
{
	struct hand *h = calloc(1, sizeof *h);

	if (h) {
		h->a.job.run = run;
		h->a.job.done = done;
		h->v = *v;
		h->road = road;
		snprintf(h->name, sizeof h->name, "%s", name);
	}
	if (!gf_ask_put(w, c, h ? &h->a : NULL))
		free(h);
}

/* ---- this machine ---------------------------------------------------------------------- */

static void on_host(struct gf_watch *w, struct gf_client *c, struct gf_verdict *v, const char *name, enum gf_hand road)
{
	char comm[80] = "";
	int r = start_of(v->pid, &v->start_ns, comm, sizeof comm);

	if (road == GF_HAND_AUTO)
		road = w->config->delivery == GF_DELIVERY_KMOD ? GF_HAND_MAILBOX : GF_HAND_CALL;
	if (road == GF_HAND_MAILBOX && !gf_host_kmod(w->target)) {
		gf_client_fail(c, NULL, "%s is not sent to pid %d: the kernel module is not used here (\"sampler: auto\" and \"delivery: auto\" in gpufas.yaml use it)",
			       name, v->pid);
		return;
	}
	if (!r && road == GF_HAND_MAILBOX) {
		later(w, c, v, name, road);
		return;
	}
	if (!r)
		r = gf_act(v, NULL);
	if (r) {
		gf_client_fail(c, NULL, "%s is not sent to pid %d: %s", name, v->pid,
			       r == -ESRCH ? "there is no such process" : r == -ESTALE ? "another process has the pid now" :
			       r == -EPERM ? "this process may never be touched, or not by the daemon" : strerror(-r));
		return;
	}
	gf_reporter_say_of(w->daemon->reporter, w->index, LOG_NOTICE, "%s sent to %s (pid %d) for uid %u over the control socket",
			   name, comm, v->pid, gf_client_uid(c));
	answer(c, v->pid, name, NULL, "");
}

/* ---- the request ------------------------------------------------------------------------- */

/* GF_HAND_COUNT: the answer has been given. */
static enum gf_hand road_of(struct gf_watch *w, struct gf_client *c, const char *name)
{
	static const char *const names[GF_HAND_COUNT] = { "auto", "call", "store", "irq-work", "mailbox" };
	bool host = w->config->kind == GF_TARGET_HOST;
	enum gf_hand road = GF_HAND_AUTO;

	while (name && road < GF_HAND_COUNT && strcmp(name, names[road]))
		road++;
	if (road == GF_HAND_COUNT)
		gf_client_fail(c, NULL, "there is no such road: auto, call, store, irq-work or mailbox");
	else if (host && (road == GF_HAND_STORE || road == GF_HAND_IRQ_WORK))
		gf_client_fail(c, NULL, "the road \"%s\" leads into guests; to this machine: call, or mailbox", names[road]);
	else if (w->config->kind == GF_TARGET_IMAGE)
		gf_client_fail(c, NULL, "\"%s\" is an image: it is never acted on", w->name);
	else if (!host && road == GF_HAND_CALL)
		gf_client_fail(c, NULL, "the road \"call\" is for this machine; into a guest: store, irq-work, or mailbox");
	else
		return road;
	return GF_HAND_COUNT;
}

void gf_daemon_signal(struct gf_daemon *d, struct gf_client *c, json_t *rq)
{
	struct gf_verdict v = { .action = GF_ACT_SIGNAL, .rule = GF_NONE, .row = GF_NONE };
	struct gf_watch *w = gf_request_target(d, c, rq);
	int64_t pid = 0;
	const char *sig = NULL, *by = NULL;
	enum gf_hand road;
	char name[32];

	if (!w || !gf_request_int(c, rq, "pid", 1, 4194304, &pid) || !gf_request_str(c, rq, "signal", &sig) || !gf_request_str(c, rq, "road", &by))
		return;
	if (!pid || !sig) {
		gf_client_fail(c, NULL, "signal wants \"pid\" and \"signal\"");
		return;
	}
	v.pid = (int32_t)pid;
	v.arg = signal_number(sig);
	if (!v.arg) {
		gf_client_fail(c, NULL, "there is no signal \"%s\"", sig);
		return;
	}
	gf_signal_text(v.arg, name, sizeof name);
	road = road_of(w, c, by);
	if (road == GF_HAND_COUNT)
		return;
	if (w->observe)
		gf_client_fail(c, NULL, d->watches > 1 ? "target %s is in observe mode: no signals are sent there" :
			       "the daemon is in observe mode: it sends no signals", w->name);
	else if (w->config->kind == GF_TARGET_HOST)
		on_host(w, c, &v, name, road);
	else
		later(w, c, &v, name, road);
}
