/* SPDX-License-Identifier: MIT */
#include "ctl/ram.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/taskjson.h"

#define MAX_TASKS 65536u

static int read_time(const struct gf_ctl *ctl, enum gf_ctl_option id, double most_ns, const char *most, uint64_t *ret_ns)
{
	static const struct { const char *unit; double ns; } units[] = {
		{ "us", 1e3 }, { "ms", 1e6 }, { "s", 1e9 }, { "min", 60e9 }, { "m", 60e9 }, { "h", 3600e9 }, { "d", 86400e9 },
	};
	const char *s = ctl->val[id], *name = "";
	char *end;

	if (!s)
		return 0;
	for (const struct gf_ctl_opt *o = ctl->cmd->opts; o && o->name; o++)
		if (o->id == id)
			name = o->name;
	double v = strtod(s, &end);
	for (size_t i = 0; i < sizeof units / sizeof *units; i++)
		if (end != s && !strcmp(end, units[i].unit) && v * units[i].ns >= 1e6 && v * units[i].ns <= most_ns) {
			*ret_ns = (uint64_t)(v * units[i].ns);
			return 0;
		}
	return gf_ctl_misuse(ctl, "--%s is a time such as 100ms or 60s, from 1ms to %s, not `%s`", name, most, s);
}

int gf_ctl_time(const struct gf_ctl *ctl, enum gf_ctl_option id, uint64_t *ret_ns)
{
	return read_time(ctl, id, 3600e9, "1h", ret_ns);
}

int gf_ctl_long_time(const struct gf_ctl *ctl, enum gf_ctl_option id, uint64_t *ret_ns)
{
	return read_time(ctl, id, 365 * 86400e9, "365d", ret_ns);
}

/* "0x80000000", "2147483648", "2G", "2GiB"; -1: none of that. Moves *s behind it. */
static int number(const char **s, uint64_t *ret)
{
	static const struct { const char *unit; int shift; } units[] = {
		{ "KiB", 10 }, { "MiB", 20 }, { "GiB", 30 }, { "TiB", 40 }, { "K", 10 }, { "M", 20 }, { "G", 30 }, { "T", 40 }, { "B", 0 },
	};
	bool hex = !strncmp(*s, "0x", 2);
	char *end;

	if (**s < '0' || **s > '9')
		return -1;
	errno = 0;
	uint64_t v = strtoull(*s, &end, hex ? 16 : 10);
	if (errno || end == *s)
		return -1;
	for (size_t i = 0; !hex && i < sizeof units / sizeof *units; i++) {
		size_t n = strlen(units[i].unit);
		if (strncmp(end, units[i].unit, n))
			continue;
		if (v >> (63 - units[i].shift))
			return -1;
		v <<= units[i].shift;
		end += n;
		break;
	}
	*s = end;
	*ret = v;
	return 0;
}

int gf_ctl_layout(const struct gf_ctl *ctl, struct gf_ram_piece piece[GF_RAM_SEGS], size_t *ret_n)
{
	const char *s = ctl->val[GF_O_LAYOUT];
	size_t n = 0;

	*ret_n = 0;
	while (s && *s) {
		struct gf_ram_piece p = { 0 };
		if (n == GF_RAM_SEGS)
			return gf_ctl_misuse(ctl, "--layout has more than %u pieces", GF_RAM_SEGS);
		if (number(&s, &p.gpa) || *s++ != ':' || number(&s, &p.size) || *s++ != '@' || number(&s, &p.off) || (*s && *s++ != ','))
			return gf_ctl_misuse(ctl, "--layout is GPA:SIZE@OFFSET,... such as 0:2G@0,4G:3G@2G, not `%s`", ctl->val[GF_O_LAYOUT]);
		if (!p.size || (p.gpa | p.size | p.off) & 4095)
			return gf_ctl_misuse(ctl, "--layout: addresses, sizes and offsets are multiples of 4KiB, and a piece has a size");
		piece[n++] = p;
	}
	*ret_n = n;
	return 0;
}

int gf_ctl_image(const struct gf_ctl *ctl, uint64_t step_ns, struct gf_target **ret)
{
	struct gf_ram_piece piece[GF_RAM_SEGS];
	struct gf_err err = { "" };
	size_t n;
	int rc = gf_ctl_layout(ctl, piece, &n);

	if (rc)
		return rc;
	rc = gf_image_create(ctl->val[GF_O_RAM], piece, n, MAX_TASKS, step_ns, ret, &err);
	if (rc)
		return gf_ctl_fail(GF_EXIT_UNREACHABLE, "%s", err.text[0] ? err.text : strerror(-rc));
	return 0;
}

int gf_ctl_check_paths(struct gf_target *t, const struct gf_pathset *paths, struct gf_err *err)
{
	int rc = 0;

	for (uint32_t i = 0; i < paths->n && !rc; i++)
		rc = gf_vm_check_path(t, paths->v[i], err);
	return rc;
}

int gf_ctl_ram_ps(const struct gf_ctl *ctl, const struct gf_pathset *paths, json_t **ret)
{
	struct gf_fieldset f = gf_fields_of(GF_TARGET_IMAGE);
	const char *file = strrchr(ctl->val[GF_O_RAM], '/');
	struct gf_target *t = NULL;
	struct gf_err err = { "" };
	struct gf_jbuf b = { 0 };
	int rc = gf_ctl_image(ctl, 0, &t), r;

	if (rc)
		return rc;
	r = gf_ctl_check_paths(t, paths, &err);
	if (!r && paths->n)
		r = gf_target_set_paths(t, gf_pathset_v(paths), paths->n, &err);
	f.paths = paths->n;
	if (!r)
		r = gf_target_set_fields(t, &f, &err);
	if (!r)
		r = gf_target_sample(t, &err);
	if (!r) {
		gf_sample_json(&t->sample, file ? file + 1 : ctl->val[GF_O_RAM], paths, NULL, &b);
		*ret = b.failed ? NULL : json_loadb(b.p, b.n, 0, NULL);
		if (!*ret)
			r = gf_err_set(&err, ENOMEM, "out of memory");
	}
	gf_jbuf_deinit(&b);
	gf_target_destroy(t);
	return r ? gf_ctl_fail(GF_EXIT_UNREACHABLE, "%s", err.text[0] ? err.text : strerror(-r)) : GF_EXIT_OK;
}
