/* SPDX-License-Identifier: MIT
 *
 * events, explain.
 */
#include "ctl/ctl.h"

#include <errno.h>
#include <math.h>
#include <poll.h>
#include <string.h>

#include "ctl/peer.h"
#include "ctl/explain.h"

static void print_event(const struct gf_ctl *ctl, const json_t *e)
{
	struct gf_lines l = { 0 };

	if (ctl->json) {
		gf_ctl_json(e, true);
	} else {
		gf_explain_event_line(e, &l);
		gf_lines_print(&l, stdout, ctl->colour);
		gf_lines_deinit(&l);
	}
}

static json_t *request(const struct gf_ctl *ctl, long long last, bool follow, long long since)
{
	json_t *q = json_pack("{s:I, s:b}", "last", (json_int_t)last, "follow", follow);

	if (since >= 0)
		json_object_set_new(q, "since_seq", json_integer(since));
	if (ctl->val[GF_O_RULE])
		json_object_set_new(q, "rule", json_string(ctl->val[GF_O_RULE]));
	if (ctl->val[GF_O_TARGET])
		json_object_set_new(q, "target", json_string(ctl->val[GF_O_TARGET]));
	return q;
}

/* Where a follower stands. */
struct follow {
	struct gf_peer c;
	long long daemon; /* its pid: another one counts its events anew */
	long long seq;    /* last event seen, -1: none */
	long long last;   /* --lines */
};

/* Connects and asks; prints what there is. 0; > 0 an exit code (the answer was no); -errno. */
static int begin(struct gf_ctl *ctl, struct follow *f, struct gf_err *err)
{
	json_t *ans, *events, *e;
	long long pid;
	size_t i;
	int rc = gf_peer_open(&f->c, ctl->socket, err);

	if (rc)
		return rc;
	rc = gf_peer_call(&f->c, "ping", NULL, &ans, err);
	if (rc)
		return rc;
	pid = gf_js_int(json_object_get(ans, "data"), "pid");
	json_decref(ans);
	if (pid != f->daemon)
		f->seq = -1;
	f->daemon = pid;
	rc = gf_peer_call(&f->c, "events", request(ctl, f->last, true, f->seq), &ans, err);
	if (rc)
		return rc;
	if (!gf_js_bool(ans, "ok")) {
		char buf[512];
		gf_ctl_fail(GF_EXIT_NO, "%s", gf_show_safe(gf_js_str(ans, "error"), buf, sizeof buf));
		json_decref(ans);
		return GF_EXIT_NO;
	}
	events = json_object_get(json_object_get(ans, "data"), "events");
	json_array_foreach(events, i, e) {
		if (gf_js_int(e, "seq") <= f->seq)
			continue;
		print_event(ctl, e);
		f->seq = gf_js_int(e, "seq");
	}
	json_decref(ans);
	fflush(stdout);
	return 0;
}

/* Prints events until the daemon is gone or the output cannot be written. -errno. */
static int stream(struct gf_ctl *ctl, struct follow *f, struct gf_err *err)
{
	json_t *j, *e;
	int rc;

	while (!(rc = gf_peer_recv(&f->c, -1, &j, err))) {
		e = json_object_get(j, "event");
		if (json_is_object(e)) {
			print_event(ctl, e);
			f->seq = gf_js_int(e, "seq");
		} else if (gf_js_int(j, "lost") > 0) {
			fflush(stdout);
			fprintf(stderr, "gpufasctl: %lld events were lost: this reader was too slow\n", gf_js_int(j, "lost"));
		}
		json_decref(j);
		if (fflush(stdout))
			return -EPIPE;
	}
	return rc;
}

static int follow(struct gf_ctl *ctl, long long last)
{
	struct follow f = { .c = { .fd = -1 }, .daemon = -1, .seq = -1, .last = last };
	bool been = false, told = false;

	for (;;) {
		struct gf_err err = { "" };
		int rc = begin(ctl, &f, &err);
		char buf[512];

		if (!rc) {
			if (told)
				fprintf(stderr, "gpufasctl: connected again\n");
			been = true;
			told = false;
			rc = stream(ctl, &f, &err);
		}
		gf_peer_close(&f.c);
		if (rc > 0)
			return rc;
		if (rc == -EPIPE)
			return GF_EXIT_NO;
		if (!been || rc == -EACCES || rc == -EPERM)
			return gf_ctl_fail(GF_EXIT_UNREACHABLE, "%s", gf_show_safe(err.text, buf, sizeof buf));
		if (!told && rc == -ECONNRESET)
			gf_ctl_fail(0, "gpufasd is gone; retrying");
		else if (!told)
			gf_ctl_fail(0, "%s; retrying", gf_show_safe(err.text, buf, sizeof buf));
		told = true;
		poll(NULL, 0, 500);
	}
}

int gf_cmd_events(struct gf_ctl *ctl)
{
	double last = 20;
	json_t *data, *e, *events;
	size_t i;
	int rc;

	if (ctl->val[GF_O_LAST] && (!gf_ctl_number(ctl->val[GF_O_LAST], 0, 1e9, &last) || last != floor(last)))
		return gf_ctl_misuse(ctl, "--lines is a number, not `%s`", ctl->val[GF_O_LAST]);
	if (ctl->val[GF_O_FOLLOW])
		return follow(ctl, (long long)last);
	rc = gf_ctl_call(ctl, "events", request(ctl, (long long)last, false, -1), &data, NULL);
	if (rc)
		return rc;
	events = json_object_get(data, "events");
	json_array_foreach(events, i, e)
		print_event(ctl, e);
	if (!json_array_size(events) && !ctl->json)
		fputs("no events yet\n", stderr);
	json_decref(data);
	return GF_EXIT_OK;
}

/* An answer that lacks what was asked for. */
static int no_answer(json_t *data)
{
	json_decref(data);
	return gf_ctl_fail(GF_EXIT_UNREACHABLE, "what listens there does not answer as gpufasd does");
}

static int explain_rule(struct gf_ctl *ctl, const char *name)
{
	json_t *data, *events = NULL, *rule;
	struct gf_lines l = { 0 };
	const char *target = ctl->val[GF_O_TARGET];
	int rc = gf_ctl_call(ctl, "explain", json_pack("{s:s, s:s*}", "rule", name, "target", target), &data, NULL);

	if (rc) /* the daemon has said what is nearest */
		return rc;
	rule = json_object_get(data, "rule");
	if (!json_is_object(rule))
		return no_answer(data);
	/* its events, too: those of the same target, where the daemon says which */
	target = *gf_js_str(data, "target") ? gf_js_str(data, "target") : target;
	rc = gf_ctl_call(ctl, "events", json_pack("{s:i, s:s, s:s*}", "last", 10, "rule", name, "target", target), &events, NULL);
	if (!rc && ctl->json) {
		json_object_set(data, "events", json_object_get(events, "events"));
		gf_ctl_json(data, false);
	} else if (!rc) {
		gf_explain_rule(rule, json_object_get(events, "events"), &l);
		gf_lines_print(&l, stdout, ctl->colour);
	}
	gf_lines_deinit(&l);
	json_decref(data);
	json_decref(events);
	return rc;
}

int gf_cmd_explain(struct gf_ctl *ctl)
{
	const char *what = ctl->arg[0];
	struct gf_lines l = { 0 };
	json_t *data;
	double seq;
	int rc;

	if (!gf_ctl_number(what + (*what == '#'), 0, 9e15, &seq))
		return explain_rule(ctl, what);
	rc = gf_ctl_call(ctl, "explain", json_pack("{s:I}", "event", (json_int_t)seq), &data, NULL);
	if (rc)
		return rc;
	if (!json_is_object(json_object_get(data, "event")))
		return no_answer(data);
	if (ctl->json) {
		gf_ctl_json(data, false);
	} else {
		gf_explain_event(json_object_get(data, "event"), &l);
		gf_lines_print(&l, stdout, ctl->colour);
		gf_lines_deinit(&l);
	}
	json_decref(data);
	return GF_EXIT_OK;
}
