/* SPDX-License-Identifier: MIT
 *
 * test: policy unit tests.
 */
#include <errno.h>
#include <regex.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ctl/test.h"

/* The name that a policy is shown by: relative to where we are, where it lies below. */
static char *plain_name(const char *path)
{
	char *real = realpath(path, NULL), *here = getcwd(NULL, 0), *ret = NULL;
	size_t n = here ? strlen(here) : 0;

	if (real && here && !strncmp(real, here, n) && real[n] == '/')
		ret = strdup(real + n + 1);
	else
		ret = strdup(path);
	free(real);
	free(here);
	return ret;
}

/* Number of a policy file, read when it is new; -1 with a complaint. */
static long policy_number(struct gf_test *t, const char *path)
{
	char *name = plain_name(path);
	struct gf_err err = { "" };
	struct gf_test_policy *v;

	for (size_t i = 0; name && i < t->policies; i++)
		if (!strcmp(t->policy[i].name, name)) {
			free(name);
			return (long)i;
		}
	v = name ? realloc(t->policy, (t->policies + 1) * sizeof *v) : NULL;
	if (!v) {
		free(name);
		return gf_ctl_fail(-1, "out of memory");
	}
	t->policy = v;
	v[t->policies] = (struct gf_test_policy){ .name = name };
	if (gf_source_read(name, &v[t->policies].src, &err)) {
		gf_ctl_fail(-1, "%s", err.text[0] ? err.text : path);
		free(name);
		return -1;
	}
	return (long)t->policies++;
}

/* ---- compiling --------------------------------------------------------------------- */

struct file {
	struct gf_test *t;
	struct gf_ptest_file f;
	struct gf_test_image *image;
	size_t images;
	json_t *json;
	const regex_t *only;
};

static void image_deinit(struct gf_test_image *im)
{
	free(im->img);
	free(im->probes.v);
	free(im->seen);
	free(im->number);
}

static bool compile(struct file *x, const struct gf_ptest_case *c, struct gf_test_image *im)
{
	struct gf_compile_opts opts = { .target = c->target, .period_ns = c->interval_ns, .warnings_off = true, .probes = &im->probes };
	struct gf_diags diags = { .limit = 20 };
	size_t n = x->f.policy.n, size;
	struct gf_source *src = calloc(n + 1, sizeof *src);
	int r = 0;

	*im = (struct gf_test_image){ .target = c->target, .interval_ns = c->interval_ns };
	opts.probes = &im->probes;
	im->number = calloc(n + 1, sizeof *im->number);
	for (size_t i = 0; src && im->number && !r && i < n; i++) {
		long k = policy_number(x->t, x->f.policy.v[i]);
		r = k < 0 ? -EINVAL : 0;
		im->number[i] = k < 0 ? 0 : (size_t)k;
		if (!r)
			src[i] = x->t->policy[k].src;
	}
	if (src && im->number && !r) {
		r = gf_compile(src, n, &opts, &diags, &im->img, &size);
		gf_diags_print(&diags, src, n, stderr, x->t->ctl->colour && isatty(STDERR_FILENO));
	}
	im->seen = r ? NULL : calloc(im->probes.n + 1, 1);
	gf_diags_deinit(&diags);
	free(src);
	if (im->seen)
		return true;
	image_deinit(im);
	return false;
}

static struct gf_test_image *image_of(struct file *x, const struct gf_ptest_case *c)
{
	struct gf_test_image *v;

	for (size_t i = 0; i < x->images; i++)
		if (x->image[i].target == c->target && x->image[i].interval_ns == c->interval_ns)
			return &x->image[i];
	v = realloc(x->image, (x->images + 1) * sizeof *v);
	if (!v)
		return NULL;
	x->image = v;
	return compile(x, c, &v[x->images]) ? &v[x->images++] : NULL;
}

/* ---- running ------------------------------------------------------------------------ */

static void show(const struct gf_test *t, const struct gf_ptest_case *c, const struct gf_ptest_outcome *o, const struct gf_lines *report)
{
	char name[256];

	if (t->ctl->json)
		return;
	printf("  %s%-4s%s  %s\n", !t->ctl->colour ? "" : o->failed ? "\033[31m" : "\033[32m", o->failed ? "FAIL" : "ok", t->ctl->colour ? "\033[0m" : "",
	       gf_show_safe(c->name, name, sizeof name));
	gf_lines_print(report, stdout, t->ctl->colour);
}

static int run_test(struct file *x, struct gf_ptest_case *c)
{
	struct gf_test_image *im = image_of(x, c);
	struct gf_ptest_outcome o;
	struct gf_lines report = { 0 };
	bool cover = x->t->ctl->val[GF_O_COVERAGE] || x->t->ctl->val[GF_O_MINIMUM];
	int r = im ? gf_ptest_run(c, im->img, cover ? &im->probes : NULL, im->seen, &o) : -ENOMEM;

	if (r)
		return gf_ctl_fail(GF_EXIT_NO, "out of memory");
	if (o.failed)
		gf_test_report(&x->f.src, c, &o, im->img, &report);
	show(x->t, c, &o, &report);
	json_array_append_new(json_object_get(x->json, "tests"), gf_test_json(&x->f.src, c, &o, im->img, &report));
	if (!gf_cover_rules(x->t, im, &o))
		r = gf_ctl_fail(GF_EXIT_NO, "out of memory");
	o.failed ? x->t->failed++ : x->t->passed++;
	gf_lines_deinit(&report);
	gf_ptest_outcome_deinit(&o);
	return r;
}

static bool wanted(const struct file *x, const struct gf_ptest_case *c)
{
	return !x->only || !regexec(x->only, c->name, 0, NULL, 0);
}

/* What is wrong with names is said of all tests before one is run. */
static int run_tests(struct file *x)
{
	struct gf_diags diags = { .limit = 50 };
	int rc = GF_EXIT_OK;

	for (size_t i = 0; i < x->f.tests && !rc; i++) {
		struct gf_test_image *im = image_of(x, &x->f.test[i]);
		if (im)
			gf_ptest_resolve(&x->f.test[i], im->img, &diags);
		else
			rc = GF_EXIT_NO;
	}
	gf_diags_print(&diags, &x->f.src, 1, stderr, x->t->ctl->colour && isatty(STDERR_FILENO));
	if (diags.errors)
		rc = GF_EXIT_NO;
	gf_diags_deinit(&diags);
	if (rc)
		return rc;
	for (size_t i = 0; i < x->f.tests && !rc; i++) {
		if (wanted(x, &x->f.test[i]))
			rc = run_test(x, &x->f.test[i]);
		else
			x->t->skipped++;
	}
	for (size_t i = 0; i < x->images; i++)
		if (!gf_cover_parts(x->t, &x->image[i]))
			rc = gf_ctl_fail(GF_EXIT_NO, "out of memory");
	return rc;
}

static void run_file(struct gf_test *t, const char *path, const regex_t *only)
{
	struct file x = { .t = t, .only = only, .json = json_object() };
	struct gf_diags diags = { .limit = 50 };
	struct gf_source src = { 0 };
	struct gf_err err = { "" };
	int rc = gf_source_read(path, &src, &err), r;

	json_object_set_new(x.json, "file", json_string(path));
	json_object_set_new(x.json, "tests", json_array());
	if (rc) {
		gf_ctl_fail(GF_EXIT_NO, "%s", err.text[0] ? err.text : path);
	} else {
		if (!t->ctl->json)
			printf("%s\n", path);
		fflush(stdout);
		r = gf_ptest_parse(&src, &diags, &x.f);
		gf_diags_print(&diags, &src, 1, stderr, t->ctl->colour && isatty(STDERR_FILENO));
		rc = r == -ENOMEM ? gf_ctl_fail(GF_EXIT_NO, "out of memory") : r ? GF_EXIT_NO : run_tests(&x);
	}
	if (rc) {
		t->errors++;
		json_object_set_new(x.json, "error", json_true());
	}
	json_array_append_new(t->files, x.json);
	for (size_t i = 0; i < x.images; i++)
		image_deinit(&x.image[i]);
	free(x.image);
	gf_ptest_free(&x.f);
	gf_diags_deinit(&diags);
	gf_source_free(&src);
}

/* ---- the command --------------------------------------------------------------------- */

static int say_sum(const struct gf_test *t)
{
	if (t->ctl->json)
		return 0;
	printf("%zu passed, %zu failed", t->passed, t->failed);
	if (t->skipped)
		printf(", %zu not run", t->skipped);
	if (t->errors)
		printf(", %zu file%s with errors", t->errors, t->errors == 1 ? "" : "s");
	putchar('\n');
	return 0;
}

static int coverage(const struct gf_test *t)
{
	struct gf_cover_sum sum;
	double least = 0, is;

	if (t->ctl->val[GF_O_COVERAGE] && !t->ctl->json)
		gf_cover_print(t, stdout);
	if (!t->ctl->val[GF_O_MINIMUM])
		return GF_EXIT_OK;
	gf_ctl_number(t->ctl->val[GF_O_MINIMUM], 0, 100, &least);
	gf_cover_sum(&t->cover, &sum);
	is = sum.branches ? 100.0 * (double)sum.branches_seen / (double)sum.branches : 100;
	if (is >= least && sum.rules_fired == sum.rules)
		return GF_EXIT_OK;
	return gf_ctl_fail(GF_EXIT_NO, "coverage: %zu of %zu rules fired, %.1f %% of branches seen; all rules and %g %% are asked for",
			   sum.rules_fired, sum.rules, is, least);
}

static void print_json(const struct gf_test *t)
{
	json_t *all = json_pack("{s:O, s:I, s:I, s:I, s:I}", "files", t->files, "passed", (json_int_t)t->passed, "failed", (json_int_t)t->failed,
				"skipped", (json_int_t)t->skipped, "errors", (json_int_t)t->errors);

	if (all && t->ctl->val[GF_O_COVERAGE])
		json_object_set_new(all, "coverage", gf_cover_json(t));
	gf_ctl_json(all, false);
	json_decref(all);
}

static int finish(struct gf_test *t)
{
	struct gf_err err = { "" };
	int rc = t->failed || t->errors ? GF_EXIT_NO : GF_EXIT_OK, c;

	say_sum(t);
	c = coverage(t);
	if (t->ctl->json)
		print_json(t);
	if (t->ctl->val[GF_O_JUNIT] && gf_test_junit(t, t->ctl->val[GF_O_JUNIT], &err))
		rc = gf_ctl_fail(GF_EXIT_NO, "%s", err.text);
	if (!rc && t->ctl->val[GF_O_RUN] && !t->passed)
		rc = gf_ctl_fail(GF_EXIT_NO, "no test's name matches %s", t->ctl->val[GF_O_RUN]);
	return rc ? rc : c;
}

int gf_cmd_test(struct gf_ctl *ctl)
{
	struct gf_test t = { .ctl = ctl, .files = json_array() };
	const char *run = ctl->val[GF_O_RUN], *least = ctl->val[GF_O_MINIMUM];
	regex_t only;
	char why[128];
	double v;
	int rc;

	if (least && !gf_ctl_number(least, 0, 100, &v)) {
		json_decref(t.files);
		return gf_ctl_misuse(ctl, "--minimum is a percentage from 0 to 100, not `%s`", least);
	}
	rc = run ? regcomp(&only, run, REG_EXTENDED | REG_NOSUB) : 0;
	if (rc) {
		regerror(rc, &only, why, sizeof why);
		json_decref(t.files);
		return gf_ctl_misuse(ctl, "--run: `%s` is no regular expression: %s", run, why);
	}
	gf_show_user_numbers = true;
	for (int i = 0; i < ctl->args; i++)
		run_file(&t, ctl->arg[i], run ? &only : NULL);
	rc = finish(&t);
	if (run)
		regfree(&only);
	for (size_t i = 0; i < t.policies; i++) {
		free(t.policy[i].name);
		gf_source_free(&t.policy[i].src);
	}
	free(t.policy);
	gf_cover_deinit(&t.cover);
	json_decref(t.files);
	return rc;
}
