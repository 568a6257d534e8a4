/* SPDX-License-Identifier: MIT
 *
 * check, compile, disasm, fmt: what needs no daemon.
 */
#include "ctl/ctl.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ctl/files.h"
#include "ctl/memory.h"
#include "ctl/text.h"

/* One compilation and all that belongs to it. */
struct job {
	struct gf_files set;
	struct gf_diags diags;
	struct gf_image_header *image;
	size_t size;
	int rc; /* of gf_compile */
};

static void job_deinit(struct job *j)
{
	free(j->image);
	gf_diags_deinit(&j->diags);
	gf_files_deinit(&j->set);
}

/* 100ms, 1s, 2min: for the lints only. */
static int period(const struct gf_ctl *ctl, uint64_t *ret)
{
	static const struct { const char *unit; double ns; } units[] = {
		{ "us", 1e3 }, { "ms", 1e6 }, { "s", 1e9 }, { "min", 60e9 },
	};
	const char *s = ctl->val[GF_O_PERIOD];
	char *end;
	double v;

	*ret = 0;
	if (!s)
		return 0;
	v = strtod(s, &end);
	for (size_t i = 0; i < sizeof units / sizeof *units; i++)
		if (end != s && !strcmp(end, units[i].unit) && v * units[i].ns >= 1e6 && v * units[i].ns <= 3600e9) {
			*ret = (uint64_t)(v * units[i].ns);
			return 0;
		}
	return gf_ctl_misuse(ctl, "--period is a time such as 100ms or 1s, at least 1ms, not `%s`", s);
}

/* --ram: kernel paths are looked up in the kernel there. */
static int kernel_at_hand(struct gf_ctl *ctl, struct gf_compile_opts *opts, struct gf_ctl_memory *m)
{
	const char *where = ctl->val[GF_O_RAM];
	struct gf_err err = { "" };

	if (!where)
		return 0;
	if (!ctl->val[GF_O_TARGET])
		opts->target = GF_TARGET_VM;
	if (opts->target != GF_TARGET_VM && opts->target != GF_TARGET_IMAGE)
		return gf_ctl_misuse(ctl, "--ram is for targets in memory: --target vm, or image");
	if (gf_ctl_memory_open(where, m, &err))
		return gf_ctl_fail(GF_EXIT_UNREACHABLE, "%s", err.text);
	opts->path = gf_ctl_memory_path;
	opts->path_arg = m;
	return 0;
}

/* GF_EXIT_OK when everything could be read and compiled (see j->rc). */
static int compile(struct gf_ctl *ctl, struct job *j)
{
	struct gf_ctl_memory memory = { 0 };
	struct gf_compile_opts opts = { .target = GF_TARGET_HOST };
	int rc = gf_ctl_target_kind(ctl, &opts.target);

	memset(j, 0, sizeof *j);
	if (!rc)
		rc = period(ctl, &opts.period_ns);
	if (rc)
		return rc;
	rc = gf_files_read(ctl->arg, ctl->args, true, &j->set);
	if (!rc)
		rc = kernel_at_hand(ctl, &opts, &memory);
	if (rc)
		return rc;
	j->diags.limit = 100;
	j->rc = gf_compile(j->set.src, j->set.n, &opts, &j->diags, &j->image, &j->size);
	gf_ctl_memory_close(&memory);
	if (j->rc == -ENOMEM)
		return gf_ctl_fail(GF_EXIT_NO, "out of memory");
	return GF_EXIT_OK;
}

static bool failed(const struct gf_ctl *ctl, const struct job *j)
{
	return j->rc || j->diags.errors || (ctl->val[GF_O_STRICT] && j->diags.warnings);
}

static void say_diags(const struct gf_ctl *ctl, const struct job *j)
{
	/* To stderr, so colour asks about that. */
	bool colour = ctl->colour && (isatty(STDERR_FILENO) || ctl->val[GF_O_COLOR]);

	fflush(stdout);
	gf_diags_print(&j->diags, j->set.src, j->set.n, stderr, colour);
}

static uint32_t rules_of(const struct job *j, const char *file)
{
	uint32_t n = 0;

	for (uint32_t i = 0; j->image && i < j->image->sec[GF_SEC_RULE].count; i++)
		if (!strcmp(gf_image_str(j->image, GF_SEC(struct gf_rule, j->image, GF_SEC_RULE)[i].file), file))
			n++;
	return n;
}

static void count_diags(const struct job *j, size_t src, unsigned *ret_errors, unsigned *ret_warnings)
{
	*ret_errors = *ret_warnings = 0;
	for (size_t i = 0; i < j->diags.n; i++)
		if (j->diags.v[i].span.src == src)
			++*(j->diags.v[i].severity == GF_SEV_ERROR ? ret_errors : ret_warnings);
}

static const char *plural(unsigned n)
{
	return n == 1 ? "" : "s";
}

static void check_text(const struct gf_ctl *ctl, const struct job *j)
{
	say_diags(ctl, j);
	for (size_t i = 0; i < j->set.n; i++) {
		unsigned e, w, r = rules_of(j, j->set.src[i].name);
		bool bad;

		count_diags(j, i, &e, &w);
		bad = e || (w && ctl->val[GF_O_STRICT]);
		/* Of files without a fault, in a policy that has one elsewhere, there is nothing to say. */
		if (!bad && !w && !j->image)
			continue;
		printf("%s: ", j->set.src[i].name);
		if (bad && e)
			printf("%u error%s", e, plural(e));
		else if (bad)
			printf("no error");
		else if (j->image)
			printf("ok, %u rule%s", r, plural(r));
		else
			printf("no error");
		if (w)
			printf(", %u warning%s", w, plural(w));
		puts(bad && !e ? " (--strict)" : "");
	}
}

static json_t *diags_json(const struct job *j)
{
	char *text = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&text, &len);
	json_t *ret = NULL;

	if (f) {
		gf_diags_json(&j->diags, j->set.src, j->set.n, f);
		fclose(f);
		ret = json_loadb(text, len, 0, NULL);
	}
	free(text);
	return ret ? ret : json_array();
}

static void check_json(const struct gf_ctl *ctl, const struct job *j)
{
	json_t *files = json_array(), *out;

	for (size_t i = 0; i < j->set.n; i++) {
		unsigned e, w;
		count_diags(j, i, &e, &w);
		json_array_append_new(files, json_pack("{s:s, s:i, s:i, s:i}", "file", j->set.src[i].name, "rules",
						       (int)rules_of(j, j->set.src[i].name), "errors", (int)e, "warnings", (int)w));
	}
	out = json_pack("{s:b, s:i, s:o, s:o}", "ok", !failed(ctl, j), "rules",
			j->image ? (int)j->image->sec[GF_SEC_RULE].count : 0, "files", files, "diags", diags_json(j));
	gf_ctl_json(out, false);
	json_decref(out);
}

int gf_cmd_check(struct gf_ctl *ctl)
{
	struct job j;
	int rc = compile(ctl, &j);

	if (!rc) {
		if (ctl->json)
			check_json(ctl, &j);
		else
			check_text(ctl, &j);
		if (failed(ctl, &j))
			rc = GF_EXIT_NO;
	}
	job_deinit(&j);
	return rc;
}

int gf_cmd_compile(struct gf_ctl *ctl)
{
	const char *to = ctl->val[GF_O_OUTPUT];
	struct gf_err err = { "" };
	struct job j;
	int rc;

	if (!to)
		return gf_ctl_misuse(ctl, "compile needs -o OUT.gfb, where the image goes");
	if (!strcmp(to, "-") && isatty(STDOUT_FILENO))
		return gf_ctl_misuse(ctl, "an image is binary and standard output a terminal: name a file");
	rc = compile(ctl, &j);
	if (!rc) {
		say_diags(ctl, &j);
		if (failed(ctl, &j))
			rc = gf_ctl_fail(GF_EXIT_NO, "%s is not written: the policy has %s", to, j.diags.errors || j.rc ? "errors" : "warnings (--strict)");
		else if (gf_ctl_write_file(to, j.image, j.size, &err))
			rc = gf_ctl_fail(GF_EXIT_NO, "%s", err.text);
	}
	job_deinit(&j);
	return rc;
}

static void print_opcodes(void)
{
	static const struct { const char *mnemonic, *form, *formula; } ops[] = {
#define GF_OP(name, mnemonic, form, formula) { mnemonic, #form, formula },
#include "gpufas/op.def"
#undef GF_OP
	};
	printf("%-4s %-7s %-6s %s\n", "OP", "NAME", "FORM", "MEANING");
	for (size_t i = 0; i < sizeof ops / sizeof *ops; i++)
		printf("%-4zu %-7s %-6s %s\n", i, ops[i].mnemonic, ops[i].form, ops[i].formula);
}

static bool is_image(const char *path)
{
	FILE *f = strcmp(path, "-") ? fopen(path, "re") : NULL;
	uint32_t magic = 0;
	bool yes = f && fread(&magic, sizeof magic, 1, f) == 1 && magic == GF_IMAGE_MAGIC;

	if (f)
		fclose(f);
	return yes;
}

static int disasm_image(const char *path)
{
	struct gf_image_header *image;
	struct gf_err err = { "" };
	int rc = gf_image_read(path, &image, &err);

	if (rc) /* gf_image_read's sentence may name the file or not */
		return strstr(err.text, path) ? gf_ctl_fail(GF_EXIT_NO, "%s", err.text)
					      : gf_ctl_fail(GF_EXIT_NO, "%s: %s", path, *err.text ? err.text : strerror(-rc));
	gf_disasm(image, stdout);
	free(image);
	return GF_EXIT_OK;
}

int gf_cmd_disasm(struct gf_ctl *ctl)
{
	struct job j;
	int rc;

	if (ctl->val[GF_O_OPCODES]) {
		print_opcodes();
		return GF_EXIT_OK;
	}
	if (!ctl->args)
		return gf_ctl_misuse(ctl, "disasm needs %s", ctl->cmd->args);
	for (int i = 0; i < ctl->args; i++)
		if (is_image(ctl->arg[i])) {
			if (ctl->args > 1)
				return gf_ctl_misuse(ctl, "%s is an image: one at a time", ctl->arg[i]);
			return disasm_image(ctl->arg[i]);
		}
	rc = compile(ctl, &j);
	if (!rc) {
		say_diags(ctl, &j);
		if (j.rc)
			rc = GF_EXIT_NO;
		else
			gf_disasm(j.image, stdout);
	}
	job_deinit(&j);
	return rc;
}

static int fmt_one(struct gf_ctl *ctl, const struct gf_source *src)
{
	struct gf_diags d = { .limit = 100 };
	struct gf_err err = { "" };
	char *text = NULL;
	size_t len = 0;
	int rc = gf_fmt(src, &d, &text, &len), ret = GF_EXIT_OK;
	bool differs = !rc && (len != src->len || memcmp(text, src->text, len));

	if (rc) {
		fflush(stdout);
		gf_diags_print(&d, src, 1, stderr, ctl->colour);
		if (!d.n)
			gf_ctl_fail(GF_EXIT_NO, "%s: %s", src->name, strerror(-rc));
		ret = GF_EXIT_NO;
	} else if (ctl->val[GF_O_CHECK]) {
		if (differs)
			puts(src->name);
		ret = differs ? GF_EXIT_NO : GF_EXIT_OK;
	} else if (!ctl->val[GF_O_WRITE]) {
		fwrite(text, 1, len, stdout);
	} else if (differs && gf_ctl_write_file(src->name, text, len, &err)) {
		ret = gf_ctl_fail(GF_EXIT_NO, "%s", err.text);
	}
	free(text);
	gf_diags_deinit(&d);
	return ret;
}

int gf_cmd_fmt(struct gf_ctl *ctl)
{
	struct gf_files set;
	int rc;

	if (ctl->val[GF_O_WRITE] && ctl->val[GF_O_CHECK])
		return gf_ctl_misuse(ctl, "-w rewrites and --check must not: choose one");
	for (int i = 0; ctl->val[GF_O_WRITE] && i < ctl->args; i++)
		if (!strcmp(ctl->arg[i], "-"))
			return gf_ctl_misuse(ctl, "-w cannot rewrite standard input");
	rc = gf_files_read(ctl->arg, ctl->args, false, &set);
	for (size_t i = 0; i < set.n; i++)
		if (fmt_one(ctl, &set.src[i]))
			rc = GF_EXIT_NO;
	gf_files_deinit(&set);
	return rc;
}
