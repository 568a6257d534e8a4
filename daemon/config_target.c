/* SPDX-License-Identifier: MIT
 *
 * gpufas.yaml: the list of targets.
 */
#include "daemon/config_int.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define HOST (1u << GF_TARGET_HOST)
#define VM (1u << GF_TARGET_VM)
#define IMAGE (1u << GF_TARGET_IMAGE)
#define ALL (HOST | VM | IMAGE)

static const char *const kinds[] = {
	[GF_TARGET_HOST] = "host", [GF_TARGET_VM] = "vm", [GF_TARGET_IMAGE] = "image", [GF_TARGET_TRACE] = "trace",
};

const char *gf_config_kind(enum gf_target_kind kind)
{
	return kind < GF_TARGET_COUNT ? kinds[kind] : "?";
}

static void take_name(struct gf_cfg *x, const struct gf_ynode *n)
{
	const char *s = gf_cfg_text(x, n, "the target's name");

	if (!s)
		return;
	if (!*s || strlen(s) > 63 || strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") != strlen(s)) {
		gf_cfg_error(x, n, "letters, digits, dots, dashes and underscores; at most 63", "\"%s\" cannot be a target's name", s);
		return;
	}
	for (size_t i = 0; i < x->c->targets; i++)
		if (&x->c->target[i] != x->t && x->c->target[i].name && !strcmp(x->c->target[i].name, s)) {
			gf_cfg_error(x, n, "events and commands tell targets apart by their names", "there is a target \"%s\" already", s);
			return;
		}
	gf_cfg_set(x, &x->t->name, s);
}

static void take_kind(struct gf_cfg *x, const struct gf_ynode *n)
{
	int i = gf_cfg_choice(x, n, "the target's kind", kinds, 4);

	if (i == GF_TARGET_TRACE)
		gf_cfg_error(x, n, NULL, "the kind \"trace\" is not available in this version; host, vm and image are");
	else if (i >= 0)
		x->t->kind = (enum gf_target_kind)i;
}

static void take_mode(struct gf_cfg *x, const struct gf_ynode *n)
{
	static const char *const words[] = { "enforce", "observe" };
	int i = gf_cfg_choice(x, n, "the target's mode", words, 2);

	if (!i && x->t->kind == GF_TARGET_IMAGE)
		gf_cfg_error(x, n, NULL, "an image is never acted on: its mode is observe");
	else if (i >= 0)
		x->t->mode = i ? GF_MODE_OBSERVE : GF_MODE_ENFORCE;
}

static void take_period(struct gf_cfg *x, const struct gf_ynode *n)
{
	gf_cfg_duration(x, n, "the target's period", 1000000, 60000000000ull, "from 1ms to 1min", &x->t->period_ns);
}

static void take_max_tasks(struct gf_cfg *x, const struct gf_ynode *n)
{
	uint64_t v;

	if (gf_cfg_integer(x, n, "the target's max-tasks", 128, 4194304, &v))
		x->t->max_tasks = (uint32_t)v;
}

static void take_directories(struct gf_cfg *x, const struct gf_ynode *n)
{
	gf_cfg_paths(x, n, "the target's policy.directories", &x->t->dirs);
}

static void take_files(struct gf_cfg *x, const struct gf_ynode *n)
{
	gf_cfg_paths(x, n, "the target's policy.files", &x->t->files);
}

static void take_policy(struct gf_cfg *x, const struct gf_ynode *n)
{
	static const struct gf_cfg_key keys[] = { { "directories", take_directories }, { "files", take_files } };

	GF_CFG_WALK(x, n, "the target's policy", keys);
	x->t->own_policy = n->kind != GF_Y_NULL;
}

static void take_shadow_directories(struct gf_cfg *x, const struct gf_ynode *n)
{
	gf_cfg_paths(x, n, "the target's shadow.directories", &x->t->shadow_dirs);
}

static void take_shadow_files(struct gf_cfg *x, const struct gf_ynode *n)
{
	gf_cfg_paths(x, n, "the target's shadow.files", &x->t->shadow_files);
}

static void take_shadow(struct gf_cfg *x, const struct gf_ynode *n)
{
	static const struct gf_cfg_key keys[] = { { "directories", take_shadow_directories }, { "files", take_shadow_files } };

	GF_CFG_WALK(x, n, "the target's shadow", keys);
	x->t->own_shadow = n->kind != GF_Y_NULL;
}

static void take_sampler(struct gf_cfg *x, const struct gf_ynode *n)
{
	static const char *const words[] = { "auto", "bpf", "proc", "kmod" };
	int i = gf_cfg_choice(x, n, "the target's sampler", words, 4);

	if (i >= 0)
		x->t->sampler = (enum gf_host_sampler)i;
}

static void take_delivery(struct gf_cfg *x, const struct gf_ynode *n)
{
	static const char *const words[] = { "auto", "pidfd", "kmod" };
	int i = gf_cfg_choice(x, n, "the target's delivery", words, 3);

	if (i >= 0)
		x->t->delivery = (enum gf_host_delivery)i;
}

static void take_qmp(struct gf_cfg *x, const struct gf_ynode *n)
{
	const char *s = n->kind == GF_Y_SCALAR ? n->text : "";

	if (!strncmp(s, GF_QMP_LIBVIRT, sizeof GF_QMP_LIBVIRT - 1) && s[sizeof GF_QMP_LIBVIRT - 1] && !strchr(s, '/'))
		gf_cfg_set(x, &x->t->qmp, s);
	else
		gf_cfg_socket(x, n, "qmp", &x->t->qmp);
}

/* ---- memory ------------------------------------------------------------------- */

static struct gf_ram_piece *piece(struct gf_cfg *x)
{
	return &x->t->piece[x->t->pieces];
}

/* "0", "0x100000000", "4GiB": of whole pages. */
static void address(struct gf_cfg *x, const struct gf_ynode *n, const char *what, uint64_t *ret)
{
	const char *s = gf_cfg_text(x, n, what);
	struct gf_err err;
	uint64_t v = 0;
	char *end;

	if (!s)
		return;
	if (!strncmp(s, "0x", 2)) {
		errno = 0;
		v = strtoull(s, &end, 16);
		if (*end || !s[2] || errno) {
			gf_cfg_error(x, n, NULL, "%s: \"%s\" is not a number", what, s);
			return;
		}
	} else if (gf_config_size(s, &v, &err)) {
		gf_cfg_error(x, n, "or in hexadecimal, such as 0x100000000", "%s: %s", what, err.text);
		return;
	}
	if (v & 4095 || v > 1ull << 52)
		gf_cfg_error(x, n, NULL, "%s must be a multiple of 4KiB, up to 4PiB", what);
	else
		*ret = v;
}

static void take_gpa(struct gf_cfg *x, const struct gf_ynode *n)
{
	address(x, n, "gpa", &piece(x)->gpa);
}

static void take_size(struct gf_cfg *x, const struct gf_ynode *n)
{
	address(x, n, "size", &piece(x)->size);
}

static void take_offset(struct gf_cfg *x, const struct gf_ynode *n)
{
	address(x, n, "offset", &piece(x)->off);
}

static void take_layout(struct gf_cfg *x, const struct gf_ynode *n)
{
	static const struct gf_cfg_key keys[] = { { "gpa", take_gpa }, { "size", take_size }, { "offset", take_offset } };

	x->t->pieces = 0;
	if (n->kind != GF_Y_SEQ || !n->kid) {
		gf_cfg_error(x, n, "write [{gpa: 0, size: 2GiB, offset: 0}, ...], or leave it out to have it found", "layout must be a list of pieces");
		return;
	}
	for (const struct gf_ynode *k = n->kid; k; k = k->next) {
		if (x->t->pieces == GF_CONFIG_MAX_PIECES) {
			gf_cfg_error(x, k, NULL, "more than %d pieces of memory", GF_CONFIG_MAX_PIECES);
			return;
		}
		size_t errors = x->diags->errors;
		struct gf_ram_piece *p = piece(x);
		*p = (struct gf_ram_piece){ 0 };
		GF_CFG_WALK(x, k, "a piece of memory", keys);
		if (x->diags->errors != errors)
			continue;
		if (!p->size)
			gf_cfg_error(x, k, NULL, "a piece of memory needs its size");
		for (size_t i = 0; i < x->t->pieces; i++) {
			const struct gf_ram_piece *o = &x->t->piece[i];
			if (p->gpa < o->gpa + o->size && o->gpa < p->gpa + p->size) {
				gf_cfg_error(x, k, NULL, "this piece of memory and number %zu of the list overlap", i + 1);
				break;
			}
		}
		x->t->pieces++;
	}
}

static void take_file(struct gf_cfg *x, const struct gf_ynode *n)
{
	gf_cfg_path(x, n, x->t->kind == GF_TARGET_IMAGE ? "file" : "ram.file", &x->t->ram);
}

static void take_ram(struct gf_cfg *x, const struct gf_ynode *n)
{
	static const struct gf_cfg_key keys[] = { { "file", take_file }, { "layout", take_layout } };

	if (n->kind == GF_Y_SCALAR) {
		take_file(x, n);
		return;
	}
	GF_CFG_WALK(x, n, "ram", keys);
	if (n->kind != GF_Y_SCALAR && !x->t->ram && !x->diags->errors)
		gf_cfg_error(x, n, "write {file: /dev/shm/guest.ram}", "ram needs its file");
}

static void take_assisted(struct gf_cfg *x, const struct gf_ynode *n)
{
	static const char *const words[] = { "auto", "off" };
	int i = gf_cfg_choice(x, n, "assisted", words, 2);

	if (i >= 0)
		x->t->unassisted = i == 1;
}

/* ---- a kick --------------------------------------------------------------------- */

static void take_qtest(struct gf_cfg *x, const struct gf_ynode *n)
{
	if (x->t->kick)
		gf_cfg_error(x, n, NULL, "a kick goes one way: qtest or serial");
	x->t->kick = GF_KICK_QTEST;
	gf_cfg_socket(x, n, "kick.qtest", &x->t->kick_path);
}

static void take_serial(struct gf_cfg *x, const struct gf_ynode *n)
{
	if (x->t->kick)
		gf_cfg_error(x, n, NULL, "a kick goes one way: qtest or serial");
	x->t->kick = GF_KICK_SERIAL;
	gf_cfg_socket(x, n, "kick.serial", &x->t->kick_path);
}

static void take_kick(struct gf_cfg *x, const struct gf_ynode *n)
{
	static const struct gf_cfg_key keys[] = { { "qtest", take_qtest }, { "serial", take_serial } };

	x->t->kick = GF_KICK_NONE;
	GF_CFG_WALK(x, n, "kick", keys);
}

static void take_last_resorts(struct gf_cfg *x, const struct gf_ynode *n)
{
	const uint32_t host = 1u << GF_ACT_PANIC | 1u << GF_ACT_RESTART, vm = 1u << GF_ACT_NMI | 1u << GF_ACT_RESET;

	gf_cfg_last_resorts(x, n, "the target's last-resorts", &x->t->last_resorts);
	x->t->own_last = true;
	if (x->t->kind == GF_TARGET_HOST && x->t->last_resorts & vm)
		gf_cfg_error(x, n, "a host has panic and restart", "nmi and reset are for targets of kind vm");
	if (x->t->kind == GF_TARGET_VM && x->t->last_resorts & host)
		gf_cfg_error(x, n, "a vm has nmi and reset", "panic and restart are for targets of kind host");
}

/* ---- one target ------------------------------------------------------------------ */

static const struct {
	const char *name;
	void (*take)(struct gf_cfg *x, const struct gf_ynode *n);
	uint32_t kinds;
} keys[] = {
	{ "name", take_name, ALL }, { "kind", take_kind, ALL }, { "mode", take_mode, ALL }, { "period", take_period, ALL },
	{ "max-tasks", take_max_tasks, ALL }, { "policy", take_policy, ALL }, { "shadow", take_shadow, ALL },
	{ "last-resorts", take_last_resorts, HOST | VM }, { "sampler", take_sampler, HOST },
	{ "delivery", take_delivery, HOST },
	{ "qmp", take_qmp, VM }, { "ram", take_ram, VM }, { "kick", take_kick, VM }, { "assisted", take_assisted, VM },
	{ "file", take_file, IMAGE }, { "layout", take_layout, IMAGE },
};
#define KEYS (sizeof keys / sizeof *keys)

static void take_key(struct gf_cfg *x, const struct gf_ynode *k)
{
	const char *names[KEYS], *word = k->key->text;
	size_t n = 0;

	for (size_t i = 0; i < KEYS; i++) {
		if (keys[i].kinds & 1u << x->t->kind)
			names[n++] = keys[i].name;
		if (strcmp(keys[i].name, word))
			continue;
		if (keys[i].kinds & 1u << x->t->kind)
			keys[i].take(x, k);
		else
			gf_cfg_error(x, k->key, NULL, "a target of kind %s has no \"%s\"; one of kind %s has", kinds[x->t->kind], word,
				     keys[i].kinds == HOST ? "host" : keys[i].kinds & VM ? "vm" : "image");
		return;
	}
	if (!strcmp(word, "libvirt"))
		gf_cfg_error(x, k->key, "give the guest a second monitor (qemu:commandline in its XML), and here its socket as qmp",
			     "libvirt keeps the monitor of its guests to itself");
	else
		gf_cfg_unknown_key(x, k, "a target", names, n);
}

/* What all keys together lack. */
static void complete(struct gf_cfg *x, const struct gf_ynode *n)
{
	struct gf_config_target *t = x->t;

	if (!t->max_tasks)
		t->max_tasks = t->kind == GF_TARGET_HOST ? 32768 : 8192;
	if (t->kind == GF_TARGET_IMAGE)
		t->mode = GF_MODE_OBSERVE;
	if (t->delivery == GF_DELIVERY_KMOD && (t->sampler == GF_SAMPLER_BPF || t->sampler == GF_SAMPLER_PROC))
		gf_cfg_error(x, n, "sampler: auto, or kmod", "delivery by the kernel module needs the module to sample, too");
	if (t->kind == GF_TARGET_VM && !t->qmp && !t->ram)
		gf_cfg_error(x, n, "qmp: /run/guest.qmp (QEMU's -qmp unix:/run/guest.qmp,server=on,wait=off), or ram: {file: /dev/shm/guest.ram}",
			     "a target of kind vm needs qmp or ram");
	if (t->kind == GF_TARGET_VM && t->qmp && t->ram)
		gf_cfg_error(x, n, "QEMU says by qmp where the memory is", "a target of kind vm has qmp or ram, not both");
	if (t->kind == GF_TARGET_IMAGE && !t->ram)
		gf_cfg_error(x, n, "file: /var/crash/guest.core", "a target of kind image needs its file");
	if (t->name)
		return;
	/* the one name that is built in is the host's, once */
	bool taken = t->kind != GF_TARGET_HOST;
	for (size_t i = 0; i < x->c->targets && !taken; i++)
		taken = x->c->target[i].name && !strcmp(x->c->target[i].name, "this-machine");
	if (taken)
		gf_cfg_error(x, n, "name: guest-1", "this target needs a name");
	else
		gf_cfg_set(x, &t->name, "this-machine");
}

static void take_target(struct gf_cfg *x, const struct gf_ynode *n)
{
	size_t errors = x->diags->errors;

	if (n->kind != GF_Y_MAP && n->kind != GF_Y_NULL) {
		gf_cfg_error(x, n, "such as - {name: web, kind: vm, qmp: /run/gpufas/web.qmp}", "a target must be a map of keys and values");
		return;
	}
	/* it decides which other keys there may be */
	for (const struct gf_ynode *k = n->kid; k; k = k->next)
		if (!strcmp(k->key->text, "kind"))
			take_kind(x, k);
	for (const struct gf_ynode *k = n->kid; k; k = k->next)
		if (strcmp(k->key->text, "kind"))
			take_key(x, k);
	if (x->diags->errors == errors)
		complete(x, n);
}

void gf_cfg_targets(struct gf_cfg *x, const struct gf_ynode *n)
{
	struct gf_config *c = x->c;

	if (n->kind != GF_Y_SEQ || !n->kid) {
		gf_cfg_error(x, n, "write \"targets:\", and below it \"  - name: this-machine\"", "targets must be a list with at least one target");
		return;
	}
	for (size_t i = 0; i < c->targets; i++)
		gf_cfg_target_deinit(&c->target[i]);
	c->targets = 0;
	for (const struct gf_ynode *k = n->kid; k; k = k->next) {
		if (c->targets == GF_CONFIG_MAX_TARGETS) {
			gf_cfg_error(x, k, NULL, "more than %d targets", GF_CONFIG_MAX_TARGETS);
			return;
		}
		struct gf_config_target *v = realloc(c->target, (c->targets + 1) * sizeof *v);
		if (!v) {
			x->nomem = true;
			return;
		}
		c->target = v;
		x->t = &v[c->targets++];
		*x->t = (struct gf_config_target){ .kind = GF_TARGET_HOST };
		take_target(x, k);
	}
}

void gf_cfg_target_deinit(struct gf_config_target *t)
{
	free(t->name);
	free(t->qmp);
	free(t->ram);
	free(t->kick_path);
	gf_strlist_deinit(&t->dirs);
	gf_strlist_deinit(&t->files);
	gf_strlist_deinit(&t->shadow_dirs);
	gf_strlist_deinit(&t->shadow_files);
	*t = (struct gf_config_target){ 0 };
}

static bool same(const char *a, const char *b)
{
	return a && b ? !strcmp(a, b) : a == b;
}

bool gf_cfg_targets_differ(const struct gf_config *a, const struct gf_config *b)
{
	bool differ = a->targets != b->targets;

	for (size_t i = 0; i < a->targets && !differ; i++) {
		const struct gf_config_target *t = &a->target[i], *u = &b->target[i];
		differ = !same(t->name, u->name) || t->kind != u->kind || t->period_ns != u->period_ns ||
			 t->max_tasks != u->max_tasks || t->sampler != u->sampler || t->delivery != u->delivery || !same(t->qmp, u->qmp) ||
			 !same(t->ram, u->ram) || t->pieces != u->pieces ||
			 memcmp(t->piece, u->piece, t->pieces * sizeof *t->piece) || t->kick != u->kick ||
			 !same(t->kick_path, u->kick_path) || t->unassisted != u->unassisted;
	}
	return differ;
}

const struct gf_config_target *gf_config_target(const struct gf_config *c, const char *name)
{
	for (size_t i = 0; i < c->targets; i++)
		if (!strcmp(c->target[i].name, name))
			return &c->target[i];
	return NULL;
}

uint64_t gf_config_target_period(const struct gf_config *c, const struct gf_config_target *t)
{
	return t->period_ns ? t->period_ns : c->period_ns;
}

uint32_t gf_config_target_last_resorts(const struct gf_config *c, const struct gf_config_target *t)
{
	return t->own_last ? t->last_resorts : c->last_resorts;
}

bool gf_config_target_observe(const struct gf_config *c, const struct gf_config_target *t)
{
	return t->mode == GF_MODE_DEFAULT ? c->observe : t->mode == GF_MODE_OBSERVE;
}
