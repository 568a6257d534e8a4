/* SPDX-License-Identifier: MIT
 *
 * sim/many.c: what goes wrong with devices, and which one is taken: on the emulated device.
 */
#include "tests/unit/sweep_kit.h"

#include <stdio.h>
#include <unistd.h>

#include "sim/chain.h"
#include "sim/gft_int.h"

static void little_memory_makes_batches(void **state)
{
	struct gf_many_opts o = { .kind = GF_MANY_EMU, .events = 100, .frame = 50000, .outcome.model.acts = true };
	struct gf_outcome a[SWEPT], b[SWEPT];
	struct gf_many_did did;

	(void)state;
	o.kind = GF_MANY_CPU;
	sweep(&o, a, &did, 0);
	o.kind = GF_MANY_EMU;
	gf_sweep_emu_opts = (struct gf_sweep_emu_opts){ .lanes = 2, .memory = 3u << 20 };
	sweep(&o, b, &did, 0);
	if (!did.gpu || did.batches < 2 || did.again)
		fail_msg("%d %u %u %s", did.gpu, did.batches, did.again, did.why);
	compare(a, b);
	/* Not even for one: the CPUs do it, and it is said. */
	gf_sweep_emu_opts.memory = 60000;
	sweep(&o, b, &did, 0);
	assert_non_null(strstr(did.why, "memory"));
	compare(a, b);
	for (uint32_t k = 0; k < SWEPT; k++)
		gf_outcome_deinit(&a[k]);
	gf_sweep_emu_opts = (struct gf_sweep_emu_opts){ 0 };
}

static void a_device_that_fails_is_left(void **state)
{
	struct gf_many_opts o = { .kind = GF_MANY_CPU, .events = 100, .frame = 50000, .outcome.model.acts = true };
	struct gf_outcome a[SWEPT], b[SWEPT];
	struct gf_many_did did;

	(void)state;
	sweep(&o, a, &did, 0);
	o.kind = GF_MANY_EMU;
	for (uint32_t k = 1; k < 8; k += 2) {
		gf_sweep_emu_opts = (struct gf_sweep_emu_opts){ .lanes = 2, .memory = 3u << 20, .fails_after = k };
		sweep(&o, b, &did, 0);
		assert_string_equal(did.why, "the device has failed: CPUs do the rest");
		assert_true(did.again > 0);
		compare(a, b);
	}
	/* None there: an error where it was asked for. */
	gf_sweep_emu_opts = (struct gf_sweep_emu_opts){ .absent = true };
	sweep(&o, b, &did, -ENODEV);
	for (uint32_t k = 0; k < SWEPT; k++)
		gf_outcome_deinit(&b[k]);
	for (uint32_t k = 0; k < SWEPT; k++)
		gf_outcome_deinit(&a[k]);
	gf_sweep_emu_opts = (struct gf_sweep_emu_opts){ 0 };
}

static void sweep_on(struct gf_sweep_emu_opts e, const struct gf_many_opts *o, const struct gf_outcome *want, struct gf_many_did *did)
{
	struct gf_many_opts emu = *o;
	struct gf_outcome b[SWEPT];

	gf_sweep_emu_opts = e;
	emu.kind = GF_MANY_EMU;
	sweep(&emu, b, did, 0);
	compare(want, b);
	gf_sweep_emu_opts = (struct gf_sweep_emu_opts){ 0 };
}

#define IS(did, n, engine_is, why_is)                                                           \
	do {                                                                                    \
		if ((did).devices != (n) || strcmp((did).engine, engine_is) || strcmp((did).why, why_is)) \
			fail_msg("%u devices, \"%s\", \"%s\"", (did).devices, (did).engine, (did).why); \
	} while (0)

/* Shares; one that is lost, short of memory or in others' hands: the others do its share, with a word. In memory and in windows. */
static void several_devices(void **state)
{
	struct gf_many_opts o = { .kind = GF_MANY_CPU, .events = 100, .frame = 50000, .outcome.model.acts = true };
	struct gf_outcome a[SWEPT];
	struct gf_many_did did;

	(void)state;
	sweep(&o, a, &did, 0);
	for (int windows = 0; windows < 2; windows++) {
		o.memory = windows ? 1 : 0;
		sweep_on((struct gf_sweep_emu_opts){ .devices = 3 }, &o, a, &did);
		IS(did, 3, "3 x Emulated GPU", "");
		assert_int_equal(did.batches, 3);
		assert_int_equal(did.windows, windows);
		o.devices = 4 + 2;
		sweep_on((struct gf_sweep_emu_opts){ .devices = 3 }, &o, a, &did);
		IS(did, 2, "2 x Emulated GPU", "");
		o.devices = 0;
		for (uint32_t after = 1; after < 5; after += 3) {
			sweep_on((struct gf_sweep_emu_opts){ .devices = 3, .these = 2, .fails_after = after }, &o, a, &did);
			IS(did, 2, "2 x Emulated GPU", "GPU 1: the device has failed: the others do its share");
			assert_int_equal(did.again, 0);
		}
		sweep_on((struct gf_sweep_emu_opts){ .devices = 2, .these = 1, .refuses = true }, &o, a, &did);
		IS(did, 1, "Emulated GPU", "GPU 0: the device cannot be opened: the others do its share");
		sweep_on((struct gf_sweep_emu_opts){ .devices = 2, .these = 1, .memory = 400000 }, &o, a, &did);
		if (did.devices != 1 || !strstr(did.why, "GPU 0: it has no memory for ") || !strstr(did.why, ": the others do its share"))
			fail_msg("%u devices, \"%s\"", did.devices, did.why);
		/* little: several batches each */
		sweep_on((struct gf_sweep_emu_opts){ .devices = 2, .memory = 1500000 }, &o, a, &did);
		IS(did, 2, "2 x Emulated GPU", "");
		assert_true(did.batches > 2);
		/* all of them, one after the other */
		sweep_on((struct gf_sweep_emu_opts){ .devices = 2, .fails_after = 2 }, &o, a, &did);
		IS(did, 0, did.engine, "GPU 0: the device has failed: CPUs do the rest; GPU 1: the device has failed: CPUs do the rest");
		assert_int_equal(did.again, SWEPT);
		sweep_on((struct gf_sweep_emu_opts){ .devices = 2, .refuses = true }, &o, a, &did);
		IS(did, 0, did.engine, "GPU 0: the device cannot be opened: CPUs do the rest; GPU 1: the device cannot be opened: CPUs do the rest");
	}
	for (uint32_t k = 0; k < SWEPT; k++)
		gf_outcome_deinit(&a[k]);
}

/* AUTO goes by trials on both: a short sweep asks for no GPU, one that would take longer there than here is not done there. */
static void trials_decide(void **state)
{
	struct gf_many_opts o = { .kind = GF_MANY_AUTO, .events = 100, .frame = 50000, .outcome.model.acts = true };
	struct gf_outcome a[SWEPT];
	struct gf_many_did did;

	(void)state;
	gf_sweep_backend = &gf_sweep_emu;
	for (int k = 0; k < 6; k++) {
		o.memory = k % 2 ? 1 : 0;
		o.asks_s = k < 2 ? 1e9 : 1e-9;
		/* the emulator is slower than the CPUs, unless these have been told to take part one by one: what is compared is what was measured */
		gf_sweep_emu_opts = (struct gf_sweep_emu_opts){ .slow_us = k >= 4 ? 200000 : 0 };
		sweep(&o, a, &did, 0);
		assert_true(did.cpu_guess_s > 0);
		if (k < 2) {
			assert_false(did.gpu);
			assert_true(did.gpu_guess_s == 0);
			assert_string_equal(did.why, "");
		} else {
			assert_true(did.gpu && did.gpu_guess_s > 0);
			assert_int_equal(did.devices, did.gpu_guess_s < did.cpu_guess_s);
			assert_int_equal(strstr(did.why, "would take") != NULL, did.gpu_guess_s >= did.cpu_guess_s);
		}
		if (k >= 4)
			assert_int_equal(did.devices, 0);
		for (uint32_t i = 0; i < SWEPT; i++)
			gf_outcome_deinit(&a[i]);
	}
	gf_sweep_backend = NULL;
	gf_sweep_emu_opts = (struct gf_sweep_emu_opts){ 0 };
}

/* A recording that is shorter when it is read again for the next windows. */
static void changed_meanwhile(void **state)
{
	(void)state;
	for (int gpu = 0; gpu < 2; gpu++) {
		struct gf_many_opts o = { .kind = gpu ? GF_MANY_EMU : GF_MANY_CPU, .events = 100, .memory = 1, .frame = 50000, .outcome.model.acts = true };
		const struct gf_image_header *img = compile("rule low if mem.available < 90% then SIGKILL largest cooldown 5s", true);
		struct gf_outcome out[1];
		struct gf_many_did did;
		struct gf_err err = { "" };
		struct machine m;
		rng = 4711;
		machine_make(&m, 7);
		m.shorter = 10;
		assert_int_equal(gf_many_run(&m.f, &img, 1, &o, out, &did, &err), -ESTALE);
		assert_string_equal(err.text, "the recording is being changed while it is read: run it over a copy, or when it is done");
		gf_outcome_deinit(&out[0]);
		free((void *)(uintptr_t)img);
		machine_unmake(&m);
	}
}

/* A GPU that is not there: asked for it is an error, else CPUs. */
static void no_gpu(void **state)
{
	struct gf_many_opts o = { .kind = GF_MANY_GPU };
	struct gf_outcome b[SWEPT];
	struct gf_many_did did;

	(void)state;
	gf_sweep_backend = NULL;
	sweep(&o, b, &did, -ENOTSUP);
	o.kind = GF_MANY_AUTO;
	sweep(&o, b, &did, 0);
	assert_false(did.gpu);
	for (uint32_t k = 0; k < SWEPT; k++)
		gf_outcome_deinit(&b[k]);
}

/* More to say, or to do, in one sample than the device has room for: the CPU does it. */
static void too_much_is_done_by_the_cpu(void **state)
{
	struct gf_many_opts o = { .kind = GF_MANY_EMU, .events = 100, .outcome.model.acts = true };
	struct gf_outcome dev[1], cpu;
	struct gf_outcome_opts oo = o.outcome;
	struct gf_many_did did;
	struct gf_err err = { "" };
	struct machine m;
	char text[8192];
	size_t at = 0;
	const struct gf_image_header *img;

	(void)state;
	rng = 99;
	machine_make(&m, 3);
	for (int k = 0; k < 90; k++)
		at += (size_t)snprintf(text + at, sizeof text - at, "rule r%d if mem.available < %d%% then log\n", k, 50 + k % 49);
	img = compile(text, true);
	assert_int_equal(gf_many_run(&m.f, &img, 1, &o, dev, &did, &err), 0);
	assert_int_equal(did.again, 1);
	oo.table = true;
	oo.table_events = 100;
	assert_int_equal(gf_outcome_run(&m.f, img, &oo, &cpu, &err), 0);
	same(&cpu, &dev[0], 3, 0);
	gf_outcome_deinit(&cpu);
	gf_outcome_deinit(&dev[0]);
	free((void *)(uintptr_t)img);
	machine_unmake(&m);
}

/* A machine's recording, as a file: its processes grow, or all have the same. */
static uint8_t *record(const char *path, bool same, size_t *ret_n)
{
	struct gf_fieldset has = { .host = GF_BIT(GF_HF_MEM_AVAILABLE) | GF_BIT(GF_HF_MEM_TOTAL), .task = GF_BIT(GF_TF_RSS) | GF_BIT(GF_TF_UID) | GF_BIT(GF_TF_PID), .str = 1u << GF_SF_COMM };
	struct gft_writer_opts wo = { .target = "made", .has = has, .interval_ns = SEC, .replace = true };
	struct gf_err err = { "" };
	struct gft_writer *w = NULL;
	struct machine m;
	uint8_t *p;
	FILE *f;

	rng = 4711;
	machine_make(&m, 7);
	machine_set_fields(&m.f, &has, NULL);
	machine_rewind(&m.f, 0, NULL);
	assert_int_equal(gft_writer_create(path, &wo, &w, &err), 0);
	while (!machine_next(&m.f, NULL)) {
		for (uint32_t i = 0; same && i < m.f.sample.rows; i++)
			m.f.sample.col[GF_TF_RSS][i] = 4096;
		assert_int_equal(gft_writer_append(w, &m.f.sample, &err), 0);
	}
	assert_int_equal(gft_writer_finish(w, &err), 0);
	machine_unmake(&m);
	f = fopen(path, "r");
	assert_non_null(f);
	p = malloc(1u << 20);
	*ret_n = fread(p, 1, 1u << 20, f);
	assert_true(*ret_n > GFT_HEADER && *ret_n < 1u << 20);
	fclose(f);
	return p;
}

/* As if it were the recording `of`: whose number all its blocks have. */
static void pass_off(uint8_t *p, size_t n, const uint8_t *of)
{
	struct gft_block b;

	memcpy(p + 16, of + 16, 4);
	gft_le32(p + 60, gft_crc(p, 60));
	for (size_t at = GFT_HEADER + gft_ld32(p + 12); at + GFT_BLOCK <= n && gft_block_unpack(p + at, &b); at += GFT_BLOCK + b.stored) {
		b.file_id = gft_ld32(of + 16);
		gft_block_pack(&b, p + at);
	}
}

struct rewrite {
	const char *path;
	const uint8_t *p;
	size_t n;
	bool done;
};

/* Before the second pass. */
static void rewrite(void *arg, double runs)
{
	struct rewrite *r = arg;
	FILE *f;

	(void)runs;
	if (r->done || !r->p)
		return;
	r->done = true;
	f = fopen(r->path, "r+");
	assert_non_null(f);
	assert_int_equal(fwrite(r->p, 1, r->n, f), r->n);
	fclose(f);
}

/* The file is written over by another recording of the same number of samples, whose frames are no larger: nothing but its checksums tells. */
static void rewritten_meanwhile(void **state)
{
	char path[64] = "/tmp/gf-rewrite-XXXXXX.gft";
	const char *name = path;
	const struct gf_image_header *img[4];
	size_t n, other_n;
	uint8_t *p, *other;
	int fd = mkstemps(path, 4);

	(void)state;
	assert_true(fd >= 0);
	close(fd);
	other = record(path, true, &other_n);
	p = record(path, false, &n);
	pass_off(other, other_n, p);
	for (uint32_t k = 0; k < 4; k++)
		img[k] = compile("rule low if rss > 90MiB then SIGKILL it cooldown 5s", true);
	for (int how = 0; how < 4; how++) {
		struct rewrite r = { path, how / 2 ? other : NULL, other_n, false };
		/* One run at a time is open: several passes. */
		struct gf_many_opts o = { .kind = how % 2 ? GF_MANY_EMU : GF_MANY_CPU, .threads = 1, .events = 100, .memory = 1, .frame = 50000,
					  .outcome.model.acts = true, .progress = rewrite, .progress_arg = &r };
		struct gf_outcome out[4];
		struct gf_many_did did;
		struct gf_err err = { "" };
		struct gf_feed *feed = NULL;
		gf_sweep_emu_opts = (struct gf_sweep_emu_opts){ .memory = 1500000 };
		FILE *f = fopen(path, "r+");
		assert_int_equal(fwrite(p, 1, n, f), n);
		fclose(f);
		assert_int_equal(gf_chain_open(&name, 1, &feed, &err), 0);
		if (gf_many_run(feed, img, 4, &o, out, &did, &err) != (how / 2 ? -ESTALE : 0))
			fail_msg("%d: %s", how, err.text);
		assert_true(did.windows && r.done == (how / 2 == 1));
		if (how / 2)
			assert_non_null(strstr(err.text, "is being changed while it is read"));
		else
			for (uint32_t k = 0; k < 4; k++) /* whichever pass they were in */
				assert_true(out[k].actions > 0 && out[k].digest == out[0].digest);
		for (uint32_t k = 0; k < 4; k++)
			gf_outcome_deinit(&out[k]);
		gf_feed_destroy(feed);
	}
	gf_sweep_emu_opts = (struct gf_sweep_emu_opts){ 0 };
	for (uint32_t k = 0; k < 4; k++)
		free((void *)(uintptr_t)img[k]);
	free(p);
	free(other);
	unlink(path);
}
int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(little_memory_makes_batches), cmocka_unit_test(a_device_that_fails_is_left), cmocka_unit_test(no_gpu),
		cmocka_unit_test(too_much_is_done_by_the_cpu), cmocka_unit_test(several_devices), cmocka_unit_test(trials_decide),
		cmocka_unit_test(changed_meanwhile), cmocka_unit_test(rewritten_meanwhile),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
