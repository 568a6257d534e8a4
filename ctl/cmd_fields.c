/* SPDX-License-Identifier: MIT
 *
 * fields: the field registry for people, programs and the manual.
 */
#include "ctl/ctl.h"

#include <math.h>
#include <string.h>

#include "ctl/kernel_fields.h"
#include "ctl/peer.h"
#include "ctl/text.h"

static const char *unit_of(const struct gf_field_info *f)
{
	if (f->str)
		return "string";
	switch (f->dim) {
	case GF_DIM_NUM: return "number";
	case GF_DIM_BYTES: return "size";
	case GF_DIM_TIME: return "duration";
	case GF_DIM_PCT: return "percent";
	case GF_DIM_RATE: return "per second";
	case GF_DIM_BYTERATE: return "size/s";
	case GF_DIM_ENUM_STATE: return "state";
	case GF_DIM_ENUM_SCHED: return "policy";
	case GF_DIM_UID: return "user";
	case GF_DIM_GID: return "group";
	case GF_DIM_STR: return "string";
	case GF_DIM_BOOL: return "truth";
	case GF_DIM_CNT_NUM: return "counter";
	case GF_DIM_CNT_BYTES: return "size ctr";
	case GF_DIM_CNT_TIME: return "time ctr";
	}
	return "?";
}

static const char *unit_long(const struct gf_field_info *f)
{
	switch (f->str ? GF_DIM_STR : f->dim) {
	case GF_DIM_CNT_NUM: return "counter that only grows";
	case GF_DIM_CNT_BYTES: return "size that only grows";
	case GF_DIM_CNT_TIME: return "duration that only grows";
	case GF_DIM_RATE: return "number a second";
	case GF_DIM_BYTERATE: return "size a second";
	case GF_DIM_ENUM_STATE: return "state letter";
	case GF_DIM_ENUM_SCHED: return "scheduling policy";
	default: return unit_of(f);
	}
}

static const char *percent_of(const struct gf_field_info *f)
{
	switch (f->pct) {
	case GF_PCT_MEM: return "mem.total";
	case GF_PCT_SWAP: return "swap.total";
	case GF_PCT_SELF: return "itself";
	case GF_PCT_NO: break;
	}
	return NULL;
}

static const struct { char letter; const char *word; } sources[] = {
	{ 'B', "bpf" }, { 'P', "/proc" }, { 'V', "vm" }, { 'K', "kmod" }, { 'T', "trace" },
};

static const char *sources_of(const struct gf_field_info *f, const char *sep, char *buf, size_t n)
{
	size_t at = 0;

	buf[0] = 0;
	for (size_t i = 0; i < sizeof sources / sizeof *sources; i++)
		if (strchr(f->sources, sources[i].letter) && at < n)
			at += (size_t)snprintf(buf + at, n - at, "%s%s", at ? sep : "", sources[i].word);
	return buf;
}

/* Letters of the sources that serve a kind of target. NULL: no such kind. */
static const char *letters_of(const char *kind)
{
	static const struct { const char *kind, *letters; } kinds[] = {
		{ "host", "BPK" }, { "vm", "V" }, { "image", "V" }, { "trace", "T" }, { "kmod", "K" },
	};

	for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
		if (!strcmp(kinds[i].kind, kind))
			return kinds[i].letters;
	return NULL;
}

static const char *scope_of(const struct gf_field_info *f)
{
	return f->scope == GF_SCOPE_HOST ? "host" : "task";
}

static bool wanted(const struct gf_ctl *ctl, const struct gf_field_info *f, const char *letters)
{
	if (letters && !strpbrk(f->sources, letters))
		return false;
	for (int i = 0; i < ctl->args; i++)
		if (strstr(f->name, ctl->arg[i]))
			return true;
	return !ctl->args;
}

static json_t *field_json(const struct gf_field_info *f)
{
	json_t *src = json_array(), *j;

	for (size_t i = 0; i < sizeof sources / sizeof *sources; i++)
		if (strchr(f->sources, sources[i].letter))
			json_array_append_new(src, json_string(sources[i].word));
	j = json_pack("{s:s, s:s, s:s, s:b, s:o, s:s}", "name", f->name, "scope", scope_of(f), "unit", unit_long(f),
		      "derived", f->derived, "sources", src, "doc", f->doc);
	if (percent_of(f))
		json_object_set_new(j, "percent_of", json_string(percent_of(f)));
	if (!f->str && isfinite(f->lo))
		json_object_set_new(j, "min", json_real(f->lo));
	if (!f->str && isfinite(f->hi))
		json_object_set_new(j, "max", json_real(f->hi));
	return j;
}

/* A word for scdoc: its marks are _ and *. */
static void man_text(const char *s)
{
	for (; *s; s++) {
		if (*s == '_' || *s == '*' || *s == '\\')
			putchar('\\');
		putchar(*s);
	}
}

static void man_section(const char *title, const char *intro, enum gf_scope scope, bool str, const struct gf_field_info *v, size_t n)
{
	char buf[64];

	printf("# %s\n\n%s\n\n", title, intro);
	for (size_t i = 0; i < n; i++) {
		const struct gf_field_info *f = &v[i];
		if (f->scope != scope || f->str != str)
			continue;
		putchar('*');
		man_text(f->name);
		printf("* (%s", unit_long(f));
		if (f->pct == GF_PCT_MEM || f->pct == GF_PCT_SWAP)
			printf("; percent of %s", percent_of(f));
		printf(")\n\t");
		man_text(f->doc);
		if (strcmp(sources_of(f, ", ", buf, sizeof buf), "bpf, /proc, vm, kmod, trace")) {
			printf(". From: ");
			man_text(buf);
		}
		fputs(".\n\n", stdout);
	}
}

static void print_man(const struct gf_field_info *v, size_t n)
{
	man_section("HOST FIELDS",
		    "One value for the whole target. _size_ and _duration_ fields are compared with literals\n"
		    "such as 512MiB and 30s; \"percent of\" says what a literal such as 80% is a share of.\n"
		    "Fields that only grow are meant for *rate()* and *delta()*. Every field can be had from\n"
		    "every kind of target (host by BPF or /proc, vm, kmod, trace) where nothing else is said.",
		    GF_SCOPE_HOST, false, v, n);
	man_section("TASK FIELDS", "One value a process (thread group).", GF_SCOPE_TASK, false, v, n);
	man_section("TASK STRINGS",
		    "Compared with *==*, *!=*, *in (...)*, and *~* with a glob in quotes or a regular expression\n"
		    "between slashes.",
		    GF_SCOPE_TASK, true, v, n);
}

static void print_table(const struct gf_ctl *ctl, const struct gf_field_info *v, size_t n, const char *letters)
{
	char src[64];

	printf("%s%-22s %-5s %-10s %-10s %-25s %s%s\n", ctl->colour ? "\033[1m" : "", "FIELD", "SCOPE", "UNIT", "% OF",
	       "SOURCES", "WHAT IT IS", ctl->colour ? "\033[0m" : "");
	for (size_t i = 0; i < n; i++) {
		if (!wanted(ctl, &v[i], letters))
			continue;
		printf("%-22s %-5s %-10s %-10s %-25s %s\n", v[i].name, scope_of(&v[i]), unit_of(&v[i]),
		       percent_of(&v[i]) ? percent_of(&v[i]) : "-", sources_of(&v[i], ",", src, sizeof src), v[i].doc);
	}
}

/* What may follow a path in a target's kernel. */
static int members(struct gf_ctl *ctl, const char *target, const char *path)
{
	json_t *data;
	int rc = gf_ctl_call(ctl, "fields", json_pack("{s:s, s:s}", "target", target, "path", path), &data, NULL);

	if (rc)
		return rc;
	if (ctl->json)
		gf_ctl_json(data, false);
	else
		gf_kernel_fields_print(ctl, data);
	json_decref(data);
	return GF_EXIT_OK;
}

static int list(struct gf_ctl *ctl, const char *letters)
{
	size_t n, hits = 0;
	const struct gf_field_info *v = gf_fields(&n);

	for (size_t i = 0; i < n; i++)
		hits += wanted(ctl, &v[i], letters);
	if (!ctl->json) {
		if (!hits)
			return gf_ctl_fail(GF_EXIT_NO, "no field's name contains this");
		print_table(ctl, v, n, letters);
		return GF_EXIT_OK;
	}
	json_t *all = json_array();
	for (size_t i = 0; i < n; i++)
		if (wanted(ctl, &v[i], letters))
			json_array_append_new(all, field_json(&v[i]));
	json_t *out = json_pack("{s:o}", "fields", all);
	gf_ctl_json(out, false);
	json_decref(out);
	return hits ? GF_EXIT_OK : GF_EXIT_NO;
}

/* A target of the daemon's, by name: paths into its kernel, or the fields of its kind. */
static int of_target(struct gf_ctl *ctl, const char *name)
{
	const char *letters;
	json_t *data;
	int rc = GF_EXIT_OK;

	if (ctl->args && gf_kernel_path(ctl->arg[0])) {
		for (int i = 0; i < ctl->args && !rc; i++)
			rc = members(ctl, name, ctl->arg[i]);
		return rc;
	}
	rc = gf_ctl_call(ctl, "fields", json_pack("{s:s}", "target", name), &data, NULL);
	if (rc)
		return rc;
	letters = letters_of(gf_js_str(data, "kind"));
	rc = list(ctl, letters ? letters : "BP");
	if (!rc && !ctl->json && letters && *letters == 'V')
		printf("And kernel paths, such as task->mm->map_count: `gpufasctl fields --target %s 'task->mm'`\n", name);
	json_decref(data);
	return rc;
}

int gf_cmd_fields(struct gf_ctl *ctl)
{
	const char *target = ctl->val[GF_O_TARGET], *letters = target ? letters_of(target) : NULL;
	size_t n;
	const struct gf_field_info *v = gf_fields(&n);

	if (ctl->val[GF_O_RAM])
		return gf_kernel_fields_ram(ctl);
	if (ctl->val[GF_O_MAN]) {
		print_man(v, n);
		return GF_EXIT_OK;
	}
	if (target && !letters)
		return of_target(ctl, target);
	if (ctl->args && gf_kernel_path(ctl->arg[0]))
		return gf_ctl_misuse(ctl, "what `%s` leads to depends on the kernel: name one with --ram, or a target of the daemon's with --target",
				     ctl->arg[0]);
	return list(ctl, letters);
}
