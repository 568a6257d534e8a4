/* SPDX-License-Identifier: MIT
 *
 * record: samples of this machine, of a guest, or of a target of the daemon's, into a file.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "ctl/files.h"
#include "ctl/peer.h"
#include "ctl/progress.h"
#include "ctl/ram.h"
#include "ctl/text.h"
#include "ctl/trace.h"
#include "daemon/taskjson.h"

#define MAX_TASKS 65536u
#define ATTACH_NS 20000000000ull /* until a guest's kernel is found */
#define DAEMON_LEAST_NS 250000000ull /* it answers with the same sample within that time */
#define GIVE_UP 30               /* samples one after the other that could not be had */

struct record {
	struct gf_ctl *ctl;
	uint64_t interval_ns, for_ns;
	struct gft_writer_opts opts;
	struct gft_writer *writer;
	struct gf_target *target;  /* what is sampled here, or: */
	struct gf_peer peer;       /* the daemon */
	struct gf_rows rows;
	bool has_rows;
	struct gf_pathset named;   /* kernel paths that are asked for ... */
	struct gf_pathset paths;   /* ... and that are recorded */
	char name[64];
	struct gf_progress progress;
	uint64_t begun_ns;         /* CLOCK_MONOTONIC */
	uint32_t taken;
	uint64_t failures;
	unsigned in_a_row;
};

static volatile sig_atomic_t stop;

static void on_signal(int sig)
{
	(void)sig;
	stop = 1;
}

static uint64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void sleep_until(uint64_t at)
{
	struct timespec t = { (time_t)(at / 1000000000u), (long)(at % 1000000000u) };

	while (!stop && clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) == EINTR)
		;
}

/* ---- kernel paths ---------------------------------------------------------------- */

static int add_path(struct record *r, const char *path)
{
	int rc = gf_pathset_add(&r->named, path);

	return !rc ? 0 : rc == -E2BIG ? gf_ctl_misuse(r->ctl, "more than %u kernel paths", GF_MAX_PATHS) : gf_ctl_fail(GF_EXIT_NO, "out of memory");
}

static int add_policies(struct record *r)
{
	struct gf_compile_opts opts = { .target = GF_TARGET_VM, .warnings_off = true };
	struct gf_diags diags = { .limit = 100 };
	struct gf_image_header *img = NULL;
	struct gf_files set = { 0 };
	size_t size;
	int rc = gf_files_read(r->ctl->arg, r->ctl->args, true, &set), e = 0;

	if (!rc) {
		e = gf_compile(set.src, set.n, &opts, &diags, &img, &size);
		gf_diags_print(&diags, set.src, set.n, stderr, r->ctl->colour && isatty(STDERR_FILENO));
		rc = !e ? 0 : e == -ENOMEM ? gf_ctl_fail(GF_EXIT_NO, "out of memory") : GF_EXIT_NO;
	}
	for (uint32_t i = 0; !rc && i < img->fields.paths; i++)
		rc = add_path(r, gf_image_path(img, i));
	free(img);
	gf_diags_deinit(&diags);
	gf_files_deinit(&set);
	return rc;
}

/* Those of --paths and of policies. An exit code. */
static int name_paths(struct record *r)
{
	char *list = r->ctl->val[GF_O_PATHS] ? strdup(r->ctl->val[GF_O_PATHS]) : NULL, *save;
	bool guest = r->ctl->val[GF_O_RAM] || r->ctl->val[GF_O_TARGET];
	int rc = 0;

	if (r->ctl->val[GF_O_PATHS] && !list)
		return gf_ctl_fail(GF_EXIT_NO, "out of memory");
	if (!guest && (list || r->ctl->args))
		rc = gf_ctl_misuse(r->ctl, "kernel paths are recorded of guests: name one with --ram or --target");
	for (char *w = list ? strtok_r(list, ", ", &save) : NULL; w && !rc; w = strtok_r(NULL, ", ", &save))
		rc = gf_path_ok(w) ? add_path(r, w) : gf_ctl_misuse(r->ctl, "`%s` is no kernel path such as 'task->mm->map_count'%s", w,
			strncmp(w, "task-", 5) || w[5] ? "" : "; quote it, or the shell takes the > for itself");
	free(list);
	if (!rc && r->ctl->args)
		rc = add_policies(r);
	return rc;
}

/* ---- where samples come from ----------------------------------------------------- */

static int open_host(struct record *r, struct gf_err *err)
{
	struct gf_host_opts o = { .sampler = GF_SAMPLER_AUTO, .max_tasks = MAX_TASKS };

	r->opts.kind = GF_TARGET_HOST;
	snprintf(r->name, sizeof r->name, "this-machine");
	return gf_host_create(&o, &r->target, err);
}

static int open_guest(struct record *r, const char *where, struct gf_err *err)
{
	struct gf_ram_piece piece[GF_RAM_SEGS];
	struct gf_vm_opts o = { .name = "guest", .piece = piece, .max_tasks = MAX_TASKS };
	struct stat st;
	uint64_t begun = now();
	int rc;

	if (gf_ctl_layout(r->ctl, piece, &o.pieces))
		return gf_err_set(err, EINVAL, "--layout is wrong");
	if (!strncmp(where, GF_QMP_LIBVIRT, sizeof GF_QMP_LIBVIRT - 1) || (!stat(where, &st) && S_ISSOCK(st.st_mode)))
		o.qmp = where;
	else if (stat(where, &st))
		return gf_err_set(err, errno, "%s: %s", where, strerror(errno));
	else
		o.ram_file = where;
	r->opts.kind = GF_TARGET_VM;
	snprintf(r->name, sizeof r->name, "guest");
	rc = gf_vm_create(&o, &r->target, err);
	if (!rc)
		rc = gf_pathset_add_all(&r->paths, gf_pathset_v(&r->named), r->named.n);
	if (!rc)
		rc = gf_target_set_paths(r->target, gf_pathset_v(&r->paths), r->paths.n, err);
	if (!rc)
		rc = gf_target_set_fields(r->target, &r->opts.has, err);
	/* its kernel is looked for by a thread of the target's */
	while (!rc && !stop && (rc = gf_target_sample(r->target, err)) && now() - begun < ATTACH_NS) {
		rc = 0;
		sleep_until(now() + 50000000u);
	}
	return rc ? rc : gf_ctl_check_paths(r->target, &r->paths, err);
}

/* What kind of target the daemon has there, by its status. */
static int open_daemon(struct record *r, const char *name, struct gf_err *err)
{
	static const char *const kinds[] = { "host", "vm", "image" };
	json_t *answer = NULL, *t;
	const json_t *targets;
	size_t i;
	int rc = gf_peer_open(&r->peer, r->ctl->socket, err);

	if (!rc)
		rc = gf_peer_call(&r->peer, "status", NULL, &answer, err);
	if (rc)
		return rc;
	rc = -ENOENT;
	targets = json_object_get(json_object_get(answer, "data"), "targets");
	json_array_foreach(targets, i, t) {
		if (strcmp(gf_js_str(t, "name"), name))
			continue;
		for (int k = 0; k < 3; k++)
			if (!strcmp(gf_js_str(t, "kind"), kinds[k]))
				r->opts.kind = k == 1 ? GF_TARGET_VM : k == 2 ? GF_TARGET_IMAGE : GF_TARGET_HOST;
		rc = 0;
	}
	json_decref(answer);
	snprintf(r->name, sizeof r->name, "%.63s", name);
	if (rc)
		return gf_err_set(err, ENOENT, "the daemon has no target \"%s\" (`gpufasctl status` names those that it has)", name);
	if (r->interval_ns < DAEMON_LEAST_NS)
		return gf_err_set(err, EINVAL, "the daemon's samples are %g ms apart at least: use --interval 250ms or more",
				  (double)DAEMON_LEAST_NS / 1e6);
	return 0;
}

static int ask_daemon(struct record *r, json_t **ret, struct gf_err *err)
{
	json_t *rq = json_pack("{s:s}", "target", r->name), *answer = NULL;
	int rc;

	if (r->named.n)
		json_object_set_new(rq, "paths", gf_ctl_paths_json(&r->named));
	rc = gf_peer_call(&r->peer, "ps", rq, &answer, err);
	if (rc) {
		gf_peer_close(&r->peer);
		return rc;
	}
	if (gf_js_bool(answer, "ok"))
		*ret = json_incref(json_object_get(answer, "data"));
	else
		rc = gf_err_set(err, ENODATA, "%.400s", gf_js_str(answer, "error"));
	json_decref(answer);
	return rc;
}

/* Which kernel paths it samples: those of its policy, and those that are asked for. */
static int paths_of_daemon(struct record *r, struct gf_err *err)
{
	json_t *data = NULL;
	const json_t *p;
	size_t i;
	int rc = r->opts.kind == GF_TARGET_HOST && !r->named.n ? 0 : ask_daemon(r, &data, err);

	json_array_foreach(json_object_get(data, "paths"), i, p)
		if (!rc && json_is_string(p) && strlen(json_string_value(p)) < GF_PATH_TEXT)
			rc = gf_pathset_add(&r->paths, json_string_value(p));
	for (uint32_t k = 0; k < r->named.n && !rc; k++)
		if (gf_pathset_find(&r->paths, r->named.v[k]) == GF_NONE)
			rc = gf_err_set(err, E2BIG, "the daemon cannot sample %.250s as well: %u kernel paths are the most", r->named.v[k], GF_MAX_PATHS);
	json_decref(data);
	return rc;
}

static int take_from_daemon(struct record *r, const struct gf_sample **ret, struct gf_err *err)
{
	json_t *data = NULL;
	int rc;

	if (r->peer.fd < 0) { /* it went, and may be back */
		rc = gf_peer_open(&r->peer, r->ctl->socket, err);
		if (rc)
			return rc;
	}
	rc = ask_daemon(r, &data, err);
	if (!rc)
		rc = gf_ctl_ps_rows(data, &r->paths, &r->rows, err);
	json_decref(data);
	*ret = &r->rows.s;
	return rc;
}

static int take(struct record *r, const struct gf_sample **ret, struct gf_err *err)
{
	int rc;

	if (!r->target)
		return take_from_daemon(r, ret, err);
	rc = gf_target_sample(r->target, err);
	*ret = &r->target->sample;
	return rc;
}

/* ---- the loop --------------------------------------------------------------------- */

/* A sample that could not be had is no end: a guest reboots, a daemon is restarted. */
static int missed(struct record *r, const struct gf_err *err)
{
	if (!r->in_a_row++) {
		gf_progress_end(&r->progress);
		gf_ctl_fail(0, "no sample: %s", err->text);
	}
	r->failures++;
	return r->in_a_row >= GIVE_UP ? -EIO : 0;
}

static int one(struct record *r, struct gf_err *err)
{
	const struct gf_sample *s = NULL;
	struct timespec t;
	int rc = take(r, &s, err);

	if (!rc) {
		r->in_a_row = 0;
		rc = gft_writer_append(r->writer, s, err);
		r->taken++;
		if (!rc && !r->ctl->json)
			gf_progress_at(&r->progress, r->taken);
		return rc;
	}
	if (r->target) {
		clock_gettime(CLOCK_BOOTTIME, &t);
		uint64_t at = r->opts.kind == GF_TARGET_HOST ? (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec : r->target->sample.now_ns;
		rc = gft_writer_failed(r->writer, at, r->target->sample.seq, err->text, NULL);
		if (rc)
			return rc;
	}
	return missed(r, err);
}

static int loop(struct record *r, struct gf_err *err)
{
	uint64_t next = now();
	int rc = 0;

	r->begun_ns = next;
	while (!rc && !stop) {
		rc = one(r, err);
		next += r->interval_ns;
		if (next < now()) /* what took too long is not made up for */
			next = now();
		if (r->for_ns && next - r->begun_ns > r->for_ns)
			break;
		if (!rc)
			sleep_until(next);
	}
	return rc;
}

static int start(struct record *r, struct gf_err *err)
{
	const char *target = r->ctl->val[GF_O_TARGET], *ram = r->ctl->val[GF_O_RAM];
	struct gf_fieldset all = gf_fields_of(ram ? GF_TARGET_VM : GF_TARGET_HOST);
	int rc = 0;

	if (target && !ram)
		rc = open_daemon(r, target, err);
	if (!rc && target && !ram)
		rc = paths_of_daemon(r, err);
	if (rc)
		return rc;
	if (target && !ram)
		all = gf_fields_of(r->opts.kind);
	r->opts.has = all;
	if (r->ctl->val[GF_O_FIELDS] && gf_ctl_fieldset(r->ctl, r->ctl->val[GF_O_FIELDS], &all, &r->opts.has))
		return gf_err_set(err, ESHUTDOWN, "said already");
	r->opts.has.paths = ram ? r->named.n : r->paths.n;
	if (target && !ram) {
		rc = gf_rows_init(&r->rows, GF_ROWS_CAP, &r->opts.has, err);
		r->has_rows = true;
		r->opts.road = "daemon";
		return rc;
	}
	rc = ram ? open_guest(r, ram, err) : open_host(r, err);
	if (!rc)
		rc = gf_target_set_fields(r->target, &r->opts.has, err);
	if (!rc)
		r->opts.road = r->target->road;
	return rc;
}

static int finish(struct record *r, int rc, struct gf_err *err)
{
	struct gft_writer_stats st;
	struct gf_err end = { "" };
	const char *path = r->ctl->val[GF_O_OUTPUT];

	gf_progress_end(&r->progress);
	int e = gf_ctl_trace_finish(r->writer, path, &st, &end);
	r->writer = NULL;
	if (rc)
		gf_ctl_fail(0, "%s", err->text[0] ? err->text : strerror(-rc));
	else if (e)
		gf_ctl_fail(0, "%s", end.text);
	if (!st.samples)
		return rc ? GF_EXIT_NO : gf_ctl_fail(GF_EXIT_NO, "nothing was recorded");
	if (r->ctl->json) {
		json_t *j = gf_ctl_trace_json(path, &st);
		json_object_set_new(j, "failed_samples", json_integer((json_int_t)r->failures));
		gf_ctl_json(j, false);
		json_decref(j);
	} else {
		gf_ctl_trace_say(path, &st, stdout);
	}
	return rc || e ? GF_EXIT_NO : GF_EXIT_OK;
}

static int record(struct record *r)
{
	struct sigaction sa = { .sa_handler = on_signal };
	struct gf_err err = { "" };
	int rc;

	signal(SIGXFSZ, SIG_IGN); /* a limit is an error of write() like a full disk */
	sigaction(SIGINT, &sa, NULL);
	sigaction(SIGTERM, &sa, NULL);
	rc = start(r, &err);
	if (rc == -ESHUTDOWN)
		return GF_EXIT_USAGE;
	r->opts.path = gf_pathset_v(&r->paths);
	r->opts.target = r->name;
	r->opts.interval_ns = r->interval_ns;
	r->opts.wall_off_ns = INT64_MIN;
	r->opts.drop_unknown = true;
	r->opts.replace = r->ctl->val[GF_O_FORCE] != NULL;
	if (!rc && r->opts.kind == GF_TARGET_VM)
		r->opts.hostname = ""; /* not this machine's */
	if (rc)
		return gf_ctl_fail(GF_EXIT_UNREACHABLE, "%s", err.text[0] ? err.text : strerror(-rc));
	rc = gft_writer_create(r->ctl->val[GF_O_OUTPUT], &r->opts, &r->writer, &err);
	if (rc)
		return gf_ctl_fail(GF_EXIT_NO, "%s", err.text);
	gf_progress_begin(&r->progress, "record", "samples", r->for_ns ? (double)(r->for_ns / r->interval_ns + 1) : 0);
	rc = loop(r, &err);
	return finish(r, rc, &err);
}

int gf_cmd_record(struct gf_ctl *ctl)
{
	struct record r = { .ctl = ctl, .interval_ns = 1000000000u, .peer = { .fd = -1 } };
	int rc = gf_ctl_time(ctl, GF_O_INTERVAL, &r.interval_ns);

	if (!rc)
		rc = gf_ctl_long_time(ctl, GF_O_FOR, &r.for_ns);
	if (!rc && !ctl->val[GF_O_OUTPUT])
		rc = gf_ctl_misuse(ctl, "record needs -o FILE.gft");
	if (!rc && ctl->val[GF_O_RAM] && ctl->val[GF_O_TARGET])
		rc = gf_ctl_misuse(ctl, "--ram is for a guest without the daemon, --target for one of the daemon's: not both");
	if (!rc)
		rc = name_paths(&r);
	if (!rc)
		rc = record(&r);
	gf_peer_close(&r.peer);
	gf_target_destroy(r.target);
	gf_pathset_deinit(&r.named);
	gf_pathset_deinit(&r.paths);
	if (r.has_rows)
		gf_rows_deinit(&r.rows);
	return rc;
}
