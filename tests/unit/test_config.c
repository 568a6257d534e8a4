/* SPDX-License-Identifier: MIT
 *
 * gpufas.yaml: what is read, and where it says that something is wrong.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/config.h"

static struct gf_config *good(const char *text)
{
	struct gf_source src = { "gpufas.yaml", text, strlen(text) };
	struct gf_diags d = { 0 };
	struct gf_config *c = NULL;

	int r = gf_config_parse(&src, &d, &c);
	if (r)
		gf_diags_print(&d, &src, 1, stderr, false);
	assert_int_equal(r, 0);
	gf_diags_deinit(&d);
	return c;
}

/* Each line of `want` must be what the errors say, in order: "line:col: sentence". */
static void bad(const char *text, const char *want)
{
	struct gf_source src = { "gpufas.yaml", text, strlen(text) };
	struct gf_diags d = { 0 };
	struct gf_config *c = NULL;
	char got[4096] = "";
	size_t o = 0;

	assert_int_equal(gf_config_parse(&src, &d, &c), -22);
	assert_null(c);
	assert_true(d.errors > 0);
	for (size_t i = 0; i < d.n; i++) {
		uint32_t line, col;
		gf_source_locate(&src, d.v[i].span.start, &line, &col);
		o += (size_t)snprintf(got + o, sizeof got - o, "%s%u:%u: %s%s%s", i ? "\n" : "", line, col, d.v[i].message,
				      d.v[i].hint ? " | " : "", d.v[i].hint ? d.v[i].hint : "");
	}
	assert_string_equal(got, want);
	gf_diags_deinit(&d);
}

static void test_defaults(void **state)
{
	static const char *const empty[] = { "", "# nothing\n", "---\n...\n", "~", "hooks:\nbudget: {}\nengine:\n" };

	(void)state;
	for (size_t i = 0; i < sizeof empty / sizeof *empty; i++) {
		struct gf_config *c = good(empty[i]);
		assert_int_equal(c->period_ns, 100000000);
		assert_false(c->observe);
		assert_int_equal(c->budget_n, 10);
		assert_int_equal(c->last_resorts, 0);
		assert_int_equal(c->budget_window_ns, 60000000000ull);
		assert_int_equal(c->rt_priority, 50);
		assert_string_equal(c->socket, "/run/gpufas/control.sock");
		assert_int_equal(c->dirs.n, 1);
		assert_false(c->builtin);
		gf_config_free(c);
	}
}

/* The shipped file says of itself that it states the defaults. */
static void test_shipped(void **state)
{
	struct gf_source src;
	struct gf_diags d = { 0 };
	struct gf_config *c, *def;
	char differs[256];

	(void)state;
	assert_int_equal(gf_source_read("dist/gpufas.yaml", &src, NULL), 0);
	assert_int_equal(gf_config_parse(&src, &d, &c), 0);
	assert_int_equal(gf_config_default(&def), 0);
	gf_config_restart_needed(def, c, differs, sizeof differs);
	assert_string_equal(differs, "");
	assert_int_equal(c->observe, def->observe);
	assert_int_equal(c->log_level, def->log_level);
	assert_int_equal(c->dirs.n, 1);
	assert_string_equal(c->dirs.v[0], def->dirs.v[0]);
	assert_int_equal(c->files.n, 0);
	assert_int_equal(c->hooks, 0);
	gf_config_free(c);
	gf_config_free(def);
	gf_source_free(&src);
}

static void test_everything(void **state)
{
	struct gf_config *c = good(
		"period: 1.5s\n"
		"mode: observe\n"
		"engine: {kind: cpu, realtime: 7, mlock: off, gpu: {mode: launch, devices: [0, 2, 63], blocks: 4, threads: 256}}\n"
		"targets:\n"
		"  - name: box-1\n"
		"    kind: host\n"
		"    sampler: proc\n"
		"    max-tasks: 4096\n"
		"policy: {directories: [/a, /b], files: [\"/c d\"]}\n"
		"budget: {actions: 0, per: 2 min}\n"
		"hooks:\n"
		"  page: [/bin/page, --urgent, \"\", 5]\n"
		"  other: [/bin/true]\n"
		"audit: {path: no, max-size: 1.5 MiB, keep: 0}\n"
		"control: {socket: /x/s, group: adm, mode: 0600}\n"
		"log: {level: debug, journal: yes}\n");

	(void)state;
	assert_int_equal(c->period_ns, 1500000000);
	assert_true(c->observe);
	assert_int_equal(c->engine, GF_ENGINE_CPU);
	assert_int_equal(c->rt_priority, 7);
	assert_false(c->mlock);
	assert_int_equal(c->gpu.mode, GF_GPU_LAUNCH);
	assert_int_equal(c->gpu.devices, 1ull << 0 | 1ull << 2 | 1ull << 63);
	assert_int_equal(c->gpu.blocks, 4);
	assert_int_equal(c->gpu.threads, 256);
	assert_int_equal(c->targets, 1);
	assert_string_equal(c->target[0].name, "box-1");
	assert_int_equal(c->target[0].kind, GF_TARGET_HOST);
	assert_int_equal(c->target[0].sampler, GF_SAMPLER_PROC);
	assert_int_equal(c->target[0].max_tasks, 4096);
	assert_int_equal(gf_config_target_period(c, &c->target[0]), 1500000000);
	assert_true(gf_config_target_observe(c, &c->target[0]));
	assert_int_equal(c->dirs.n, 2);
	assert_string_equal(c->dirs.v[1], "/b");
	assert_string_equal(c->files.v[0], "/c d");
	assert_int_equal(c->budget_n, 0);
	assert_int_equal(c->budget_window_ns, 120000000000ull);
	assert_int_equal(c->hooks, 2);
	assert_string_equal(c->hook[0].name, "page");
	assert_int_equal(c->hook[0].argv.n, 4);
	assert_string_equal(c->hook[0].argv.v[2], "");
	assert_null(c->hook[0].argv.v[4]);
	assert_string_equal(c->audit_path, "");
	assert_int_equal(c->audit_max_size, 3 << 19);
	assert_int_equal(c->socket_mode, 0600);
	assert_int_equal(c->log_level, LOG_DEBUG);
	assert_int_equal(c->journal, GF_LOG_JOURNAL_YES);
	gf_config_free(c);
}

static void test_gpu(void **state)
{
	static const char *const as_built_in[] = {
		"", "engine:\n  gpu:\n", "engine: {gpu: {mode: persistent, devices: all, blocks: auto, threads: auto}}\n",
	};
	static const char *const changed[] = {
		"engine: {gpu: {mode: launch}}\n", "engine: {gpu: {mode: relay}}\n", "engine: {gpu: {devices: [0]}}\n", "engine: {gpu: {blocks: 1}}\n",
		"engine: {gpu: {threads: 32}}\n", "engine: {kind: gpu}\n",
	};
	struct gf_config *def = good("");
	char differs[256];

	(void)state;
	for (size_t i = 0; i < sizeof as_built_in / sizeof *as_built_in; i++) {
		struct gf_config *c = good(as_built_in[i]);
		assert_int_equal(c->gpu.mode, GF_GPU_PERSISTENT);
		assert_int_equal(c->gpu.devices, 0);
		assert_int_equal(c->gpu.blocks, 0);
		assert_int_equal(c->gpu.threads, 0);
		gf_config_restart_needed(def, c, differs, sizeof differs);
		assert_string_equal(differs, "");
		gf_config_free(c);
	}
	for (size_t i = 0; i < sizeof changed / sizeof *changed; i++) {
		struct gf_config *c = good(changed[i]);
		gf_config_restart_needed(def, c, differs, sizeof differs);
		assert_string_equal(differs, "engine");
		gf_config_free(c);
	}
	gf_config_free(def);
}

#define GPU(rest) "engine:\n  gpu: {" rest "}\n"

static void test_bad_gpu(void **state)
{
	(void)state;
	bad("engine: {gpu: launch}\n", "1:15: engine.gpu must be a map of keys and values | write {mode: ...}; keys: mode, devices, blocks, threads");
	bad("engine: {gpus: {}}\n", "1:10: unknown key \"gpus\" in engine | did you mean \"gpu\"?");
	bad(GPU("mod: launch"), "2:9: unknown key \"mod\" in engine.gpu | did you mean \"mode\"?");
	bad(GPU("sms: 4"), "2:9: unknown key \"sms\" in engine.gpu | known keys: mode, devices, blocks, threads");
	bad(GPU("mode: persistant"), "2:15: engine.gpu.mode cannot be \"persistant\" | did you mean \"persistent\"?");
	bad(GPU("devices: 0"), "2:18: engine.gpu.devices must be all or a list of numbers | write all, or [0, 1]: the numbers that CUDA gives them");
	bad(GPU("devices: []"), "2:18: engine.gpu.devices must be all or a list of numbers | write all, or [0, 1]: the numbers that CUDA gives them");
	bad(GPU("devices: [1, 64]"), "2:22: a device's number must be from 0 to 63");
	bad(GPU("devices: [1, 1]"), "2:22: device 1 is given twice");
	bad(GPU("devices: [x]"), "2:19: a device's number must be a whole number, not \"x\"");
	bad(GPU("blocks: atuo"), "2:17: engine.gpu.blocks cannot be \"atuo\" | did you mean \"auto\"?");
	bad(GPU("blocks: 0"), "2:17: engine.gpu.blocks must be from 1 to 16");
	bad(GPU("blocks: -1"), "2:17: engine.gpu.blocks must be a whole number, not \"-1\"");
	bad(GPU("blocks: 17"), "2:17: engine.gpu.blocks must be from 1 to 16");
	bad(GPU("blocks: [1]"), "2:17: engine.gpu.blocks must be a single value");
	bad(GPU("threads: 100"), "2:18: engine.gpu.threads must be a multiple of 32 | threads run in warps of 32: 128, 256, 512 ...");
	bad(GPU("threads: 2048"), "2:18: engine.gpu.threads must be from 1 to 1024");
	/* several, each in its place */
	bad("engine:\n  kind: gqu\n  gpu:\n    mode: x\n    threads: 7\n",
	    "2:9: engine.kind cannot be \"gqu\" | did you mean \"gpu\"?\n"
	    "4:11: engine.gpu.mode cannot be \"x\" | one of: persistent, launch, relay\n"
	    "5:14: engine.gpu.threads must be a multiple of 32 | threads run in warps of 32: 128, 256, 512 ...");
}

static void test_targets(void **state)
{
	struct gf_config *c = good(
		"mode: observe\n"
		"period: 200ms\n"
		"targets:\n"
		"- kind: host\n"
		"- name: web\n"
		"  kind: vm\n"
		"  qmp: /run/web.qmp\n"
		"  kick: {serial: /run/web.serial}\n"
		"  mode: enforce\n"
		"  period: 50ms\n"
		"  policy: {files: [/p/vm.policy]}\n"
		"- name: db\n"
		"  kind: vm\n"
		"  ram:\n"
		"    file: /dev/shm/db.ram\n"
		"    layout: [{gpa: 0, size: 2GiB, offset: 0}, {gpa: 0x100000000, size: 1.5 GiB, offset: 2GiB}]\n"
		"  kick: {qtest: /run/db.qtest}\n"
		"  max-tasks: 2000\n"
		"- {name: shm, kind: vm, ram: /dev/shm/x.ram}\n"
		"- name: crash\n"
		"  file: /var/crash/core\n"
		"  kind: image\n"); /* kind may stand last */
	const struct gf_config_target *t = c->target;

	(void)state;
	assert_int_equal(c->targets, 5);
	assert_string_equal(t[0].name, "this-machine");
	assert_int_equal(t[0].max_tasks, 32768);
	assert_false(t[0].own_policy);
	assert_true(gf_config_target_observe(c, &t[0]));
	assert_int_equal(t[1].kind, GF_TARGET_VM);
	assert_string_equal(t[1].qmp, "/run/web.qmp");
	assert_null(t[1].ram);
	assert_int_equal(t[1].kick, GF_KICK_SERIAL);
	assert_string_equal(t[1].kick_path, "/run/web.serial");
	assert_false(gf_config_target_observe(c, &t[1]));
	assert_int_equal(gf_config_target_period(c, &t[1]), 50000000);
	assert_int_equal(t[1].max_tasks, 8192);
	assert_true(t[1].own_policy);
	assert_int_equal(t[1].dirs.n, 0);
	assert_string_equal(t[1].files.v[0], "/p/vm.policy");
	assert_string_equal(t[2].ram, "/dev/shm/db.ram");
	assert_int_equal(t[2].pieces, 2);
	assert_int_equal(t[2].piece[0].size, 2ull << 30);
	assert_int_equal(t[2].piece[1].gpa, 4ull << 30);
	assert_int_equal(t[2].piece[1].size, 3ull << 29);
	assert_int_equal(t[2].piece[1].off, 2ull << 30);
	assert_int_equal(t[2].kick, GF_KICK_QTEST);
	assert_int_equal(t[2].max_tasks, 2000);
	assert_int_equal(gf_config_target_period(c, &t[2]), 200000000);
	assert_string_equal(t[3].ram, "/dev/shm/x.ram");
	assert_int_equal(t[3].pieces, 0);
	assert_int_equal(t[4].kind, GF_TARGET_IMAGE);
	assert_true(gf_config_target_observe(c, &t[4]));
	assert_ptr_equal(gf_config_target(c, "db"), &t[2]);
	assert_null(gf_config_target(c, "dbx"));
	gf_config_free(c);
}

#define TARGET(rest) "targets:\n- {name: a, " rest "}\n"

static void test_bad_targets(void **state)
{
	(void)state;
	bad("targets: []\n", "1:10: targets must be a list with at least one target | write \"targets:\", and below it \"  - name: this-machine\"");
	bad("targets: [x]\n", "1:11: a target must be a map of keys and values | such as - {name: web, kind: vm, qmp: /run/gpufas/web.qmp}");
	bad(TARGET("kind: trace"), "2:19: the kind \"trace\" is not available in this version; host, vm and image are");
	bad(TARGET("kind: vn"), "2:19: the target's kind cannot be \"vn\" | did you mean \"vm\"?");
	bad(TARGET("kind: vm"), "2:3: a target of kind vm needs qmp or ram | qmp: /run/guest.qmp (QEMU's -qmp "
	    "unix:/run/guest.qmp,server=on,wait=off), or ram: {file: /dev/shm/guest.ram}");
	bad(TARGET("kind: vm, qmp: /q, ram: /r"), "2:3: a target of kind vm has qmp or ram, not both | QEMU says by qmp where the memory is");
	bad(TARGET("kind: image"), "2:3: a target of kind image needs its file | file: /var/crash/guest.core");
	bad(TARGET("kind: image, file: /x, mode: enforce"), "2:42: an image is never acted on: its mode is observe");
	bad(TARGET("qmp: /x"), "2:13: a target of kind host has no \"qmp\"; one of kind vm has");
	bad(TARGET("kind: vm, qmp: /x, sampler: bpf"), "2:32: a target of kind vm has no \"sampler\"; one of kind host has");
	bad(TARGET("kind: vm, qnp: /x"), "2:23: unknown key \"qnp\" in a target | did you mean \"qmp\"?");
	bad(TARGET("kind: vm, qmp: /x, last-resorts: [panic]"), "2:46: panic and restart are for targets of kind host | a vm has nmi and reset");
	bad(TARGET("last-resorts: [reset]"), "2:27: nmi and reset are for targets of kind vm | a host has panic and restart");
	bad("last-resorts: [reboot]\n", "1:16: last-resorts cannot be \"reboot\" | one of: panic, restart, nmi, reset");
	bad("last-resorts: panic\n", "1:15: last-resorts must be a list | such as [nmi, reset]; [] for none");
	bad(TARGET("kind: vm, libvirt: web"), "2:23: libvirt keeps the monitor of its guests to itself | give the guest a second monitor "
	    "(qemu:commandline in its XML), and here its socket as qmp");
	bad(TARGET("kind: vm, qmp: run/x"), "2:28: qmp must be an absolute path | the daemon's working directory is /");
	bad(TARGET("kind: vm, qmp: /x, kick: {qtest: /a, serial: /b}"), "2:58: a kick goes one way: qtest or serial");
	bad(TARGET("kind: vm, ram: {layout: [{size: 1GiB}]}"), "2:28: ram needs its file | write {file: /dev/shm/guest.ram}");
	bad(TARGET("kind: vm, ram: {file: /r, layout: []}"), "2:47: layout must be a list of pieces | write [{gpa: 0, size: 2GiB, offset: 0}, ...], or leave it out to have it found");
	bad(TARGET("kind: vm, ram: {file: /r, layout: [{gpa: 0}]}"), "2:48: a piece of memory needs its size");
	bad(TARGET("kind: vm, ram: {file: /r, layout: [{size: 3000}]}"),
	    "2:55: size: \"3000\" lacks its unit; write for example 16MiB | or in hexadecimal, such as 0x100000000");
	bad(TARGET("kind: vm, ram: {file: /r, layout: [{size: 0x1001}]}"), "2:55: size must be a multiple of 4KiB, up to 4PiB");
	bad(TARGET("kind: vm, ram: {file: /r, layout: [{size: 2GiB}, {gpa: 1GiB, size: 1GiB}]}"),
	    "2:62: this piece of memory and number 1 of the list overlap");
	bad("targets:\n- name: a\n- name: a\n", "3:9: there is a target \"a\" already | events and commands tell targets apart by their names");
	bad("targets:\n- kind: host\n- kind: host\n", "3:3: this target needs a name | name: guest-1");
	bad("targets:\n- {kind: vm, qmp: /x}\n", "2:3: this target needs a name | name: guest-1");
	bad(TARGET("period: 0s"), "2:21: the target's period must be from 1ms to 1min");
}

static void test_keys(void **state)
{
	(void)state;
	bad("perod: 1s\n", "1:1: unknown key \"perod\" in the configuration | did you mean \"period\"?");
	bad("audit:\n  path: /x\n  maxsize: 1MiB\n", "3:3: unknown key \"maxsize\" in audit | did you mean \"max-size\"?");
	bad("budget: {zzzzzz: 1}\n", "1:10: unknown key \"zzzzzz\" in budget | known keys: actions, per");
	bad("mode: observe\nperiod: 1s\nmode: enforce\n", "3:1: the key \"mode\" is given twice");
	/* several in one run, in the order of their places */
	bad("engine:\n  knd: cpu\ntargets:\n  - nam: x\n",
	    "2:3: unknown key \"knd\" in engine | did you mean \"kind\"?\n"
	    "4:5: unknown key \"nam\" in a target | did you mean \"name\"?");
}

static void test_values(void **state)
{
	(void)state;
	bad("period: 100\n", "1:9: period: \"100\" lacks its unit; write for example 100ms or 2min");
	bad("period: 5m\n", "1:9: period: \"5m\": is minutes (min) or mebibytes (MiB) meant?");
	bad("period: 5 parsec\n", "1:9: period: unknown unit \"parsec\" in \"5 parsec\"; write for example 100ms or 2min");
	bad("period: 999us\n", "1:9: period must be from 1ms to 1min");
	bad("period: -1s\n", "1:9: period: \"-1s\" is not a number with a unit, such as 100ms or 2min");
	bad("period: infs\n", "1:9: period: \"infs\" is not a number with a unit, such as 100ms or 2min");
	bad("period: 1e300s\n", "1:9: period: \"1e300s\" is not a number with a unit, such as 100ms or 2min");
	bad("period: 99999999999999999999999999d\n", "1:9: period: \"99999999999999999999999999d\" is too large");
	bad("period: [1s]\n", "1:9: period must be a single value");
	bad("mode: obsrve\n", "1:7: mode cannot be \"obsrve\" | did you mean \"observe\"?");
	bad("engine: cpu\n", "1:9: engine must be a map of keys and values | write {kind: ...}; keys: kind, realtime, mlock, gpu");
	bad("engine: {realtime: 100}\n", "1:20: engine.realtime must be from 1 to 99");
	bad("budget: {actions: -3}\n", "1:19: budget.actions must be a whole number, not \"-3\"");
	bad("budget: {actions: 99999999999999999999}\n", "1:19: budget.actions must be from 0 to 256");
	bad("targets:\n- name: a b\n", "2:9: \"a b\" cannot be a target's name | letters, digits, dots, dashes and underscores; at most 63");
	bad("policy: {files: /x}\n", "1:17: policy.files must be a list of paths | write [/a, /b]");
	bad("policy: {files: [x]}\n", "1:18: policy.files must be an absolute path | the daemon's working directory is /");
	bad("hooks: {h: [sh, -c]}\n", "1:13: the hook's program must be an absolute path");
	bad("hooks: {h: /bin/true}\n", "1:12: the hook \"h\" must be a list | write [/usr/local/bin/page, \"--urgent\"]: a program and its arguments; there is no shell");
	bad("audit: {max-size: 1}\n", "1:19: audit.max-size: \"1\" lacks its unit; write for example 16MiB");
	bad("control: {mode: 0066}\n", "1:17: control.mode \"0066\" is not a file mode | write for example 0660; the daemon itself needs 0600");
	bad("log: {level: loud}\n", "1:14: log.level cannot be \"loud\" | one of: error, warning, notice, info, debug");
	bad("- a\n", "1:1: the configuration must be a map of keys and values | write {period: ...}; keys: period, mode, engine, targets, policy, "
		     "budget, last-resorts, hooks, audit, control, log, recorder, shadow");
	/* columns count bytes, also after characters of several */
	bad("hooks: {\"\xc3\xa4\": [/x]}\n", "1:9: \"\xc3\xa4\" cannot be a hook's name | letters, digits, dashes and underscores; at most 63");
	bad("policy: {files: [\"/\xc3\xa4\", x]}\n", "1:25: policy.files must be an absolute path | the daemon's working directory is /");
}

static void test_yaml(void **state)
{
	(void)state;
	bad("a: &x 1\nb: *x\n", "1:4: anchors are not supported here | write the value out where it is needed");
	bad("period: !!str 1s\n", "1:9: tags are not supported here | leave the tag out");
	bad("period: 1s\n---\nperiod: 2s\n", "2:1: a second document | put everything in one document");
	bad("engine:\n\tkind: auto\n", "2:1: not YAML: found character that cannot start any token | indent with spaces: YAML takes no tabs");
	bad("mode:observe\nperiod: 1s\n", "2:7: not YAML: mapping values are not allowed in this context | write `key: value`, with a space behind "
					  "the colon: the line above may lack one");
	bad("engine:\n  kind: auto\n gpu: {}\n", "3:2: not YAML: did not find expected key | keys of one map begin in one column");
	bad("engine: {kind: auto\nmode: observe\n", "2:5: not YAML: did not find expected ',' or '}' | what { opens is closed by }, and its entries "
						     "are separated by commas");
	bad("targets: [x\n", "2:1: not YAML: did not find expected ',' or ']' | what [ opens is closed by ], and its entries are separated by commas");
	bad("mode: \"observe\n", "2:1: not YAML: found unexpected end of stream | a quote is opened and not closed");
	bad("? [a]\n: b\n", "1:3: a key must be a plain word");
	bad("log: {level: \"a\\0b\"}\n", "1:14: a text may not hold a NUL byte");
	bad("[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]\n", "1:18: nested too deeply");
}

/* Whatever the bytes are: an answer, and no memory lost (ASan looks). */
static void test_mutations(void **state)
{
	struct gf_source src;
	unsigned seed = 1;

	(void)state;
	assert_int_equal(gf_source_read("dist/gpufas.yaml", &src, NULL), 0);
	char *copy = malloc(src.len);
	for (int i = 0; i < 2000; i++) {
		struct gf_diags d = { 0 };
		struct gf_config *c = NULL;
		memcpy(copy, src.text, src.len);
		for (int k = 0; k < 1 + i % 4; k++)
			copy[(size_t)rand_r(&seed) % src.len] = (char)rand_r(&seed);
		struct gf_source s = { "x", copy, i % 8 ? src.len : (size_t)rand_r(&seed) % src.len };
		int r = gf_config_parse(&s, &d, &c);
		assert_true(r ? d.errors > 0 && !c : c && !d.errors);
		for (size_t k = 0; k < d.n; k++)
			assert_true(d.v[k].span.start <= s.len);
		gf_config_free(c);
		gf_diags_deinit(&d);
	}
	free(copy);
	gf_source_free(&src);
}

static void test_last_resorts(void **state)
{
	struct gf_config *c = good("last-resorts: [panic, nmi]\n"
				   "targets:\n"
				   "  - {name: a}\n"
				   "  - {name: b, kind: vm, qmp: /x}\n"
				   "  - {name: c, kind: vm, qmp: /y, last-resorts: [reset]}\n"
				   "  - {name: d, kind: vm, qmp: /z, last-resorts: []}\n");

	(void)state;
	assert_int_equal(gf_config_target_last_resorts(c, &c->target[0]), 1u << GF_ACT_PANIC | 1u << GF_ACT_NMI);
	assert_int_equal(gf_config_target_last_resorts(c, &c->target[1]), 1u << GF_ACT_PANIC | 1u << GF_ACT_NMI);
	assert_int_equal(gf_config_target_last_resorts(c, &c->target[2]), 1u << GF_ACT_RESET);
	assert_int_equal(gf_config_target_last_resorts(c, &c->target[3]), 0);
	gf_config_free(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_last_resorts), cmocka_unit_test(test_defaults), cmocka_unit_test(test_shipped), cmocka_unit_test(test_everything),
		cmocka_unit_test(test_gpu), cmocka_unit_test(test_bad_gpu),
		cmocka_unit_test(test_targets), cmocka_unit_test(test_bad_targets), cmocka_unit_test(test_keys), cmocka_unit_test(test_values), cmocka_unit_test(test_yaml),
		cmocka_unit_test(test_mutations),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
