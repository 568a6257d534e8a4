/* SPDX-License-Identifier: MIT
 *
 * probe: what is in a guest's memory, or in a dump, and what gpufas could do with it.
 */
#include "ctl/ctl.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/memory.h"
#include "ctl/probe.h"
#include "ctl/ram.h"
#include "ctl/text.h"
#include "targets/assist.h"
#include "targets/kallsyms.h"
#include "targets/layout.h"
#include "targets/pseudo.h"

#define WIDTH 118
#define INDENT 21

static json_t *hex(uint64_t v)
{
	char text[32];

	snprintf(text, sizeof text, "0x%" PRIx64, v);
	return json_string(text);
}

static json_t *memory_json(const struct gf_ramfile *f)
{
	const struct gf_ram *ram = gf_ramfile_ram(f);
	json_t *pieces = json_array();
	struct gf_ram_piece p;
	uint64_t all = 0, used = 0, gpa = 0;

	for (uint32_t i = 0; i < ram->n; i++) {
		json_array_append_new(pieces, json_pack("{s:o, s:o, s:o}", "gpa", hex(ram->seg[i].gpa), "size", hex(ram->seg[i].size), "offset",
							hex(gf_ramfile_piece(f, i).off)));
		all += ram->seg[i].size;
	}
	for (; gf_ramfile_next(f, gpa, &p); gpa = p.gpa + p.size)
		used += p.size;
	return json_pack("{s:I, s:I, s:b, s:o}", "bytes", (json_int_t)all, "touched", (json_int_t)used, "writable", ram->writable, "pieces", pieces);
}

static void add_road(void *arg, const char *name, const char *value)
{
	json_object_set_new(arg, name, json_string(value));
}

/* Whether the kernel module is in it, for an observer outside. */
static json_t *module_json(const struct gf_kernel *k)
{
	struct gf_assist *a;
	json_t *j;

	if (gf_assist_create(k, &a))
		return json_string("");
	int there = gf_assist_look(k, a);
	j = json_string(there == 1 ? "there, for an observer outside (assisted)" : *a->why ? a->why : "none");
	gf_assist_free(a);
	return j;
}

/* What delivering into this kernel would take; NULL and why in *missing if not even that can be said. */
static json_t *roads_json(const struct gf_kernel *k, json_t *missing)
{
	struct gf_pseudo *p;
	struct gf_err err = { "" };
	json_t *roads;

	if (gf_pseudo_create(k, true, &p, &err)) {
		json_array_append_new(missing, json_string(err.text));
		return json_null();
	}
	roads = json_object();
	gf_pseudo_describe(p, add_road, roads);
	gf_pseudo_free(p);
	return roads;
}

static void add_kernel(json_t *j, const struct gf_kernel *k)
{
	uint64_t from = 0, to = 0;

	gf_kernel_sym(k, "__start_BTF", &from);
	gf_kernel_sym(k, "__stop_BTF", &to);
	json_object_set_new(j, "release", json_string(k->release));
	json_object_set_new(j, "banner", json_string(k->banner));
	json_object_set_new(j, "found_by", json_string(k->found_by));
	json_object_set_new(j, "vmcoreinfo", k->vmcoreinfo_gpa == UINT64_MAX ? json_null() : hex(k->vmcoreinfo_gpa));
	json_object_set_new(j, "took_ms", json_real((double)k->took_ns / 1e6));
	json_object_set_new(j, "kaslr", k->kaslr == UINT64_MAX ? json_null() : hex(k->kaslr));
	json_object_set_new(j, "image", json_pack("[o,o]", hex(k->mem.image), hex(k->mem.image_end)));
	json_object_set_new(j, "phys_base", json_integer((json_int_t)k->mem.phys_base));
	json_object_set_new(j, "page_tables", json_pack("{s:i, s:o}", "levels", (int)k->mem.levels, "gpa", hex(k->mem.pgd.v)));
	json_object_set_new(j, "page_offset", hex(k->mem.page_offset));
	json_object_set_new(j, "direct_map_bytes", json_integer((json_int_t)k->mem.direct_size));
	json_object_set_new(j, "symbols", json_pack("{s:I, s:s}", "count", (json_int_t)gf_kallsyms_count(k->syms), "encoding",
						    gf_kallsyms_encoding(k->syms)));
	json_object_set_new(j, "btf", json_pack("{s:I, s:I}", "bytes", (json_int_t)(to - from), "types", (json_int_t)gf_btf_types(k->btf)));
}

static json_t *all_json(const struct gf_ramfile *ram, const struct gf_kernel *k, const struct gf_qmp_guest *g)
{
	json_t *j = json_object(), *missing = json_array(), *layout = json_null(), *cpus = json_null();
	struct gf_err err = { "" };
	struct gf_layout l;

	add_kernel(j, k);
	json_object_set_new(j, "memory", memory_json(ram));
	if (*g->what)
		json_object_set_new(j, "guest", json_pack("{s:s, s:s, s:s, s:b, s:i}", "name", g->name, "status", g->status, "machine", g->machine, "kvm",
							  g->kvm, "cpus", (int)g->cpus));
	if (*k->notes)
		json_array_append_new(missing, json_string(k->notes));
	if (gf_layout_fill(k, &l, &err)) {
		json_array_append_new(missing, json_string(err.text));
	} else {
		layout = gf_probe_layout(&l);
		cpus = gf_probe_cpus(k, &l);
	}
	json_object_set_new(j, "cpus", cpus);
	json_object_set_new(j, "module", module_json(k));
	json_object_set_new(j, "roads", roads_json(k, missing));
	json_object_set_new(j, "layout", layout);
	json_object_set_new(j, "missing", missing);
	return j;
}

__attribute__((format(printf, 3, 4)))
static void row(struct gf_lines *l, const char *name, const char *fmt, ...)
{
	char text[1400];
	const char *s = text;
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	do { /* broken between words */
		int n = (int)strlen(s), cut = n;

		if (n > WIDTH - INDENT)
			for (cut = WIDTH - INDENT; cut > 0 && s[cut] != ' ';)
				cut--;
		if (cut <= 0)
			cut = n;
		gf_lines_add(l, GF_LOOK_PLAIN, "  %-*s %.*s", INDENT - 3, name, cut, s);
		s += cut + (s[cut] == ' ');
		name = "";
	} while (*s);
}

static const char *size_text(const json_t *o, const char *key, char *buf, size_t n)
{
	return gf_show_size(gf_js_num(o, key), buf, n);
}

static void memory_text(const json_t *m, struct gf_lines *l)
{
	char all[32], used[32];
	size_t i;
	const json_t *p;

	row(l, "memory", "%s, %s of it touched%s", size_text(m, "bytes", all, sizeof all), size_text(m, "touched", used, sizeof used),
	    gf_js_bool(m, "writable") ? "" : "; only read");
	json_array_foreach(json_object_get(m, "pieces"), i, p)
		row(l, "", "%s:%s@%s", gf_js_str(p, "gpa"), gf_js_str(p, "size"), gf_js_str(p, "offset"));
}

static void kernel_text(const json_t *j, struct gf_lines *l)
{
	const json_t *image = json_object_get(j, "image"), *pt = json_object_get(j, "page_tables"), *sym = json_object_get(j, "symbols"),
		     *btf = json_object_get(j, "btf"), *cpus = json_object_get(j, "cpus"), *g = json_object_get(j, "guest");
	long long phys_base = gf_js_int(j, "phys_base");
	char buf[32];

	gf_lines_add(l, GF_LOOK_HEAD, "Linux %s", gf_js_str(j, "release"));
	row(l, "banner", "%s", gf_js_str(j, "banner"));
	if (g)
		row(l, "guest", "%s, %s, %s, %lld CPUs, %s", *gf_js_str(g, "name") ? gf_js_str(g, "name") : "no name", gf_js_str(g, "status"),
		    gf_js_str(g, "machine"), gf_js_int(g, "cpus"), gf_js_bool(g, "kvm") ? "KVM" : "no KVM");
	row(l, "found by", "%s%s%s, in %.0f ms", gf_js_str(j, "found_by"), *gf_js_str(j, "vmcoreinfo") ? " at guest address " : "",
	    gf_js_str(j, "vmcoreinfo"), gf_js_num(j, "took_ms"));
	row(l, "image", "%s-%s, moved by %s (KASLR), phys_base %s0x%llx", json_string_value(json_array_get(image, 0)),
	    json_string_value(json_array_get(image, 1)), *gf_js_str(j, "kaslr") ? gf_js_str(j, "kaslr") : "an offset not known",
	    phys_base < 0 ? "-" : "", phys_base < 0 ? 0 - (unsigned long long)phys_base : (unsigned long long)phys_base);
	row(l, "page tables", "%lld levels, from guest address %s on", gf_js_int(pt, "levels"), gf_js_str(pt, "gpa"));
	row(l, "direct map", "from %s on, %s", gf_js_str(j, "page_offset"), size_text(j, "direct_map_bytes", buf, sizeof buf));
	memory_text(json_object_get(j, "memory"), l);
	row(l, "symbols", "%lld; %s", gf_js_int(sym, "count"), gf_js_str(sym, "encoding"));
	row(l, "types", "%lld, of %s BTF", gf_js_int(btf, "types"), size_text(btf, "bytes", buf, sizeof buf));
	row(l, "module", "%s", gf_js_str(j, "module"));
	if (json_is_object(cpus)) {
		const json_t *off = json_array_get(json_object_get(cpus, "per_cpu_offset"), 0);

		row(l, "CPUs", "%lld online of %lld; variables of the first at symbol + %s", gf_js_int(cpus, "online"), gf_js_int(cpus, "possible"),
		    off ? json_string_value(off) : "0");
	}
}

static void layout_text(json_t *layout, struct gf_lines *l)
{
	const char *part, *name;
	json_t *fields, *v;

	json_object_foreach(layout, part, fields) {
		char text[1200] = "";
		size_t n = 0;

		json_object_foreach(fields, name, v)
			if (n < sizeof text - 64)
				n += (size_t)snprintf(text + n, sizeof text - n, json_is_null(v) ? "%s%s: none" : "%s%s +%lld", n ? ", " : "", name,
						      (long long)json_integer_value(v));
		row(l, part, "%s", text);
	}
}

static void print_text(const json_t *j, const struct gf_ctl *ctl)
{
	struct gf_lines l = { 0 };
	const json_t *missing = json_object_get(j, "missing");
	json_t *roads = json_object_get(j, "roads"), *v;
	const char *name;
	size_t i;

	kernel_text(j, &l);
	gf_lines_add(&l, GF_LOOK_HEAD, "What can be done in it");
	json_object_foreach(roads, name, v)
		row(&l, name, "%s", json_string_value(v));
	if (json_is_object(json_object_get(j, "layout"))) {
		gf_lines_add(&l, GF_LOOK_HEAD, "Where processes are read");
		layout_text(json_object_get(j, "layout"), &l);
	}
	if (json_array_size(missing))
		gf_lines_add(&l, GF_LOOK_HEAD, "Missing");
	json_array_foreach(missing, i, v)
		gf_lines_add(&l, GF_LOOK_WARN, "  %s", json_string_value(v));
	gf_lines_print(&l, stdout, ctl->colour);
	gf_lines_deinit(&l);
}

int gf_cmd_probe(struct gf_ctl *ctl)
{
	struct gf_ram_piece piece[GF_RAM_SEGS];
	struct gf_qmp_guest guest;
	struct gf_ramfile *ram;
	struct gf_kernel *k;
	struct gf_err err = { "" };
	size_t n = 0;
	int rc = gf_ctl_layout(ctl, piece, &n), r;

	if (rc)
		return rc;
	r = gf_ctl_memory_map(ctl->arg[0], piece, n, true, &ram, &guest, &err);
	/* Memory that can be had but not made sense of is an answer. */
	if (r)
		return gf_ctl_fail(r == -ENODATA || r == -ENOTSUP || r == -EBADMSG || r == -EINVAL ? GF_EXIT_NO : GF_EXIT_UNREACHABLE, "%s", err.text);
	r = gf_kernel_find(ram, &k, &err);
	if (r) {
		rc = gf_ctl_fail(GF_EXIT_NO, "%s", err.text);
	} else {
		json_t *j = all_json(ram, k, &guest);

		if (ctl->json)
			gf_ctl_json(j, false);
		else
			print_text(j, ctl);
		rc = json_array_size(json_object_get(j, "missing")) ? GF_EXIT_NO : GF_EXIT_OK;
		json_decref(j);
		gf_kernel_free(k);
	}
	gf_ramfile_close(ram);
	return rc;
}
