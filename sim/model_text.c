/* SPDX-License-Identifier: MIT
 *
 * The model in words, and "what if" out of words.
 */
#include "sim/model_int.h"

#include <stdlib.h>
#include <string.h>

#include "compiler/compiler.h"

static const char *host_name(uint32_t field)
{
	static const char *const names[GF_HF_COUNT] = {
#define GF_HOST(id, name, ...) [GF_HF_##id] = name,
#include "gpufas/fields.def"
	};

	return names[field];
}

/* A number with a unit that the field's dimension has. */
static int value(const char *text, enum gf_dim dim, double *ret)
{
	static const struct { const char *unit; double by; } size[] = {
		{ "", 1 }, { "B", 1 }, { "K", 1024 }, { "KiB", 1024 }, { "M", 1048576 }, { "MiB", 1048576 }, { "G", 1073741824 },
		{ "GiB", 1073741824 }, { "T", 1099511627776 }, { "TiB", 1099511627776 }, { "kB", 1e3 }, { "MB", 1e6 },
		{ "GB", 1e9 }, { "TB", 1e12 },
	}, time[] = {
		{ "ns", 1 }, { "us", 1e3 }, { "ms", 1e6 }, { "s", 1e9 }, { "min", 60e9 }, { "h", 3600e9 }, { "d", 86400e9 },
	};
	bool bytes = dim == GF_DIM_BYTES || dim == GF_DIM_CNT_BYTES, span = dim == GF_DIM_TIME || dim == GF_DIM_CNT_TIME;
	char *end;
	double v = strtod(text, &end);

	if (end == text || v != v || v > 1e300 || v < -1e300)
		return -EINVAL;
	for (size_t i = 0; bytes && i < sizeof size / sizeof *size; i++)
		if (!strcmp(end, size[i].unit)) {
			*ret = v * size[i].by;
			return 0;
		}
	for (size_t i = 0; span && i < sizeof time / sizeof *time; i++)
		if (!strcmp(end, time[i].unit)) {
			*ret = v * time[i].by;
			return 0;
		}
	if (bytes || span || (*end && !(dim == GF_DIM_PCT && !strcmp(end, "%"))))
		return -EINVAL;
	*ret = v;
	return 0;
}

static int what_field(const char *name, struct gf_what_if *w, enum gf_dim *ret_dim, struct gf_err *err)
{
	const char *names[GF_HF_COUNT], *near;
	const struct gf_field_info *f = gf_field_find(name);

	for (uint32_t i = 0; i < GF_HF_COUNT; i++)
		names[i] = host_name(i);
	near = gf_nearest(name, names, GF_HF_COUNT);
	if (!f)
		return gf_err_set(err, EINVAL, "there is no field \"%.60s\"%s%s%s", name, near ? "; did you mean " : "", near ? near : "",
				  near ? "?" : " (`gpufasctl fields` lists them)");
	if (f->scope != GF_SCOPE_HOST || f->str)
		return gf_err_set(err, EINVAL, "%s is a field of processes: --what-if changes fields of the host, such as mem.total", name);
	if (f->derived)
		return gf_err_set(err, EINVAL, "%s is worked out from %s: change that", name, host_name(f->id));
	w->field = f->id;
	*ret_dim = f->dim;
	return 0;
}

int gf_what_if_parse(const char *text, struct gf_what_if *ret, struct gf_err *err)
{
	const char *eq = strchr(text, '=');
	struct gf_what_if w = { 0 };
	enum gf_dim dim = GF_DIM_NUM;
	char name[64];
	int rc;

	if (!eq || eq == text || (size_t)(eq - text) >= sizeof name)
		return gf_err_set(err, EINVAL, "\"%.80s\" is not FIELD=VALUE, such as mem.total=8GiB or mem.total=*0.5", text);
	snprintf(name, sizeof name, "%.*s", (int)(eq - text), text);
	rc = what_field(name, &w, &dim, err);
	if (rc)
		return rc;
	eq++;
	w.how = *eq == '*' ? GF_WHAT_IF_TIMES : *eq == '+' || *eq == '-' ? GF_WHAT_IF_PLUS : GF_WHAT_IF_IS;
	if (*eq == '*' || *eq == '+')
		eq++;
	if (value(eq, w.how == GF_WHAT_IF_TIMES ? GF_DIM_NUM : dim, &w.by) || (w.how != GF_WHAT_IF_PLUS && w.by < 0))
		return gf_err_set(err, EINVAL, "\"%.60s\" is no value for %s: write %s", eq, name,
				  w.how == GF_WHAT_IF_TIMES ? "a number of 0 or more, such as *0.5" :
				  dim == GF_DIM_BYTES	    ? "a size, such as 8GiB" :
				  dim == GF_DIM_TIME || dim == GF_DIM_CNT_TIME ? "a time, such as 10s" :
				  dim == GF_DIM_PCT	    ? "a percentage, such as 20%" :
							  "a number, such as 4");
	*ret = w;
	return 0;
}

const char *gf_what_if_text(const struct gf_what_if *w, char *buf, size_t n)
{
	const struct gf_field_info *f = gf_field_find(host_name(w->field));
	char v[64];

	gf_value_text(w->by, w->how == GF_WHAT_IF_TIMES || !f ? GF_DIM_NUM : f->dim, v, sizeof v);
	if (w->how == GF_WHAT_IF_PLUS)
		snprintf(buf, n, "%s %s %s", host_name(w->field), w->by < 0 ? "" : "+", v);
	else
		snprintf(buf, n, "%s %s %s", host_name(w->field), w->how == GF_WHAT_IF_TIMES ? "*" : "=", v);
	return buf;
}

struct out {
	void (*put)(void *arg, const char *sentence);
	void *arg;
};

__attribute__((format(printf, 2, 3)))
static void say(const struct out *o, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	o->put(o->arg, text);
}

static void say_exits(const struct gf_model *m, const struct out *o)
{
	const struct gf_model_opts *p = &m->core.opts;
	char a[64], b[64];

	gf_value_text((double)p->kill_ns, GF_DIM_TIME, a, sizeof a);
	gf_value_text((double)p->term_ns, GF_DIM_TIME, b, sizeof b);
	if (p->kill_ns)
		say(o, "SIGKILL ends a process after %s", a);
	else
		say(o, "SIGKILL ends a process before the next sample");
	if (p->term_never)
		say(o, "SIGTERM and the like are ignored by all");
	else
		say(o, "SIGTERM, and other signals that are meant to end a process, end it after %s", b);
	if (p->children_stay)
		say(o, "children that are there outlive their parent and become init's; those started later never are");
	else
		say(o, "who is ended takes its descendants along: those that are there, and those started later");
}

static void say_resources(const struct gf_model *m, const struct out *o)
{
	struct gf_model_said s;

	gf_model_said(&m->f, &s);
	if (s.no_memory)
		say(o, "the recording has no memory of processes: none comes back");
	else
		say(o, "%s comes back to mem.free and mem.available, swapped-out memory to swap.free, as long as the process lives in the recording; page cache and tmpfs stay",
		    s.by_rss ? "resident memory (there is no anonymous memory in the recording: this may be too much)" : "anonymous memory");
	if (s.no_cpu)
		say(o, "the recording has no CPU times of processes: none come back");
	else
		say(o, "CPU time comes back to cpu.busytime, and to load by its own averaging; nobody else runs faster for it");
	if (m->core.opts.psi_unknown)
		say(o, "pressure (psi.*) is not known once something was ended or stopped: rules on it do not fire any more");
	else
		say(o, "pressure (psi.*), page cache, slab and paging counters stay as recorded");
	say(o, "who is stopped or frozen keeps what it has and uses no CPU; going on, it does what it did in the recording less what it missed");
	say(o, "renice changes nice and nothing else; limits, hooks, NMIs and other signals have no effect; a reset, a panic or a restart ends the run");
}

void gf_model_assumes(const struct gf_feed *model, void (*put)(void *arg, const char *sentence), void *arg)
{
	const struct gf_model *m = (const struct gf_model *)(uintptr_t)model;
	const struct out o = { put, arg };
	char text[128];

	for (size_t i = 0; i < m->core.opts.what_ifs; i++)
		say(&o, "what if %s%s", gf_what_if_text(&m->core.opts.what_if[i], text, sizeof text),
		    m->core.opts.what_if[i].field == GF_HF_MEM_TOTAL ? ": mem.available and mem.free differ by as much" :
		    m->core.opts.what_if[i].field == GF_HF_SWAP_TOTAL ? ": swap.free differs by as much" : "");
	if (!m->core.opts.acts) {
		say(&o, "all went on as recorded: actions have no effect but what the recording shows");
		return;
	}
	say_exits(m, &o);
	say_resources(m, &o);
}
