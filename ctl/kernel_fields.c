/* SPDX-License-Identifier: MIT */
#include "ctl/kernel_fields.h"

#include <string.h>

#include "ctl/memory.h"
#include "ctl/text.h"
#include "targets/btf.h"

bool gf_kernel_path(const char *arg)
{
	return !strncmp(arg, "task", 4) && (!arg[4] || arg[4] == '-' || arg[4] == '.' || arg[4] == '[');
}

/* What may be done with a member, in words. */
static const char *use_of(const json_t *m)
{
	const char *next = gf_js_str(m, "next");

	if (gf_js_bool(m, "number"))
		return "a number";
	if (!strcmp(next, "->"))
		return "-> and a member";
	if (!strcmp(next, "."))
		return ". and a member";
	if (!strcmp(next, "["))
		return "[index]";
	return "-";
}

void gf_kernel_fields_print(const struct gf_ctl *ctl, const json_t *answer)
{
	const json_t *members = json_object_get(answer, "members"), *m;
	const char *prefix = gf_js_str(answer, json_object_get(answer, "prefix") ? "prefix" : "path");
	const char *bold = ctl->colour ? "\033[1m" : "", *dim = ctl->colour ? "\033[2m" : "", *plain = ctl->colour ? "\033[0m" : "";
	char path[600], type[300];
	int wide = 20, types = 4;
	size_t i;

	json_array_foreach(members, i, m) {
		int a = gf_show_width(gf_show_safe(gf_js_str(m, "name"), path, sizeof path)) + gf_show_width(prefix);
		int b = gf_show_width(gf_show_safe(gf_js_str(m, "type"), type, sizeof type));
		wide = a > wide && a <= 60 ? a : wide;
		types = b > types && b <= 40 ? b : types;
	}
	printf("%s%-*s  %-*s  AS A VALUE%s\n", bold, wide, "PATH", types, "TYPE", plain);
	json_array_foreach(members, i, m) {
		bool number = gf_js_bool(m, "number");
		snprintf(path, sizeof path, "%s%s", prefix, gf_js_str(m, "name"));
		fputs(number ? "" : dim, stdout);
		printf("%-*s", wide, gf_show_safe(path, type, sizeof type));
		printf("  %-*s  %s%s\n", types, gf_show_safe(gf_js_str(m, "type"), type, sizeof type), use_of(m), number ? "" : plain);
	}
}

static void add(void *arg, const char *name, const char *type, const struct gf_btf_member *m)
{
	static const char *const next[] = { [GF_BTF_NOTHING] = "", [GF_BTF_DOT] = ".", [GF_BTF_ARROW] = "->", [GF_BTF_INDEX] = "[" };
	json_t *j = json_pack("{s:s, s:s, s:i, s:i, s:b, s:b, s:s}", "name", name, "type", type, "off", (int)m->off, "size", (int)m->size,
			      "pointer", m->is_pointer, "number", m->is_number, "next", next[m->next]);

	if (m->bits) {
		json_object_set_new(j, "bit", json_integer(m->bit));
		json_object_set_new(j, "bits", json_integer(m->bits));
	}
	json_array_append_new(arg, j);
}

static int one_path(const struct gf_ctl *ctl, const struct gf_kernel *k, const char *path, json_t *all)
{
	json_t *members = json_array(), *j;
	struct gf_err err = { "" };
	char prefix[512] = "";
	int r = gf_btf_complete(k->btf, path, prefix, sizeof prefix, add, members, &err);

	if (r) {
		size_t len = strlen(path);
		json_decref(members);
		/* task->mm without quotes: the shell has taken >mm for itself */
		if (len && path[len - 1] == '-')
			return gf_ctl_fail(GF_EXIT_NO, "`%s` is half an arrow: paths are quoted in a shell ('task->mm'), or it takes the > for itself",
					   path);
		return gf_ctl_fail(GF_EXIT_NO, "%s", err.text);
	}
	j = json_pack("{s:s, s:s, s:s, s:o}", "release", k->release, "path", path, "prefix", prefix, "members", members);
	if (ctl->json)
		json_array_append(all, j);
	else
		gf_kernel_fields_print(ctl, j);
	json_decref(j);
	return GF_EXIT_OK;
}

int gf_kernel_fields_ram(struct gf_ctl *ctl)
{
	struct gf_ctl_memory m;
	struct gf_err err = { "" };
	json_t *all;
	int rc = GF_EXIT_OK;

	if (gf_ctl_memory_open(ctl->val[GF_O_RAM], &m, &err))
		return gf_ctl_fail(GF_EXIT_UNREACHABLE, "%s", err.text);
	all = json_array();
	if (!ctl->args)
		rc = one_path(ctl, m.kernel, "task", all);
	for (int i = 0; i < ctl->args; i++) {
		int one = one_path(ctl, m.kernel, ctl->arg[i], all);
		rc = one ? one : rc;
	}
	if (ctl->json) {
		json_t *out = json_pack("{s:O}", "paths", all);
		gf_ctl_json(out, false);
		json_decref(out);
	}
	json_decref(all);
	gf_ctl_memory_close(&m);
	return rc;
}
