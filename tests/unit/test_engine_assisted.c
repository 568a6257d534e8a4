/* SPDX-License-Identifier: MIT
 *
 * The GPU engine over a guest that has the kernel module: a made-up kernel, and in its memory the module's region, in pieces all over. The
 * (emulated) device samples from that and writes into its mailbox; when the module goes, refuses or says nothing, it goes back to what it does
 * without. A thread of the test plays the module, the test its keeper (vm_keep.c).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "compiler/compiler.h"
#include "gpu/dev_emu.h"
#include "gpu/engine.h"
#include "targets/assist.h"
#include "targets/pseudo_int.h"
#include "targets/vm_int.h"
#include "tests/helpers/fakekernel.h"
#include "tests/helpers/fakemodule.h"
#include "tests/helpers/waits.h"
#include "tests/unit/imagetext.h"

#define MS 1000000ull
#define RAM (16u << 20)
#define HIGH (1ull << 30)       /* where the pages of regions are in the guest */
#define PAGES 256u
#define WALKED 7u               /* processes that a walk finds; the module's tables have 2, or 3 */
#define HOG "rule hog if comm == \"hog\" then SIGKILL it settle 1h\n"
#define ARGS "rule args if cmdline == \"none has this\" then log\n"

struct rig {
	struct fake *f;
	struct gf_vm *vm;
	struct gf_guest *g;     /* held by the test, too: it is its keeper */
	struct gf_assist *assist;
	struct gf_engine *e;
	struct gf_vm_actuator *a;
	struct gf_image_header *img[2];
	struct fake_module m;
	uint8_t *high;          /* PAGES pages, as the guest has them */
	int fd;                 /* the same, for a view in the region's order */
	uint32_t regions;
	struct told told;
};

static const struct gf_target_ops ops = {
	.kind = "vm", .sample = gf_vm_sample, .set_fields = gf_vm_set_fields, .set_paths = gf_vm_set_paths,
	.describe = gf_vm_describe, .destroy = gf_vm_unmake,
};

/* ---- the guest ---- */

/* Two pages to a chunk, every other pair, from the top down. */
static uint64_t chunk_at(uint32_t pair, uint32_t region)
{
	return (PAGES - 2 - 4 * (uint64_t)pair - 2 * (region & 1)) * 4096;
}

/* Another region in other pages; what the module sees is one piece. */
static void load_module(struct rig *r, bool look_like_one)
{
	uint32_t pages = (uint32_t)(FAKE_LEN / 4096), pairs = (pages + 1) / 2, region = r->regions++;
	uint8_t *p = mmap(NULL, 2 * pairs * 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct gf_region *found = calloc(1, sizeof *found);
	struct gf_err err = { "" };

	assert_true(p != MAP_FAILED && 4 * pairs <= PAGES);
	for (uint32_t i = 0; i < pairs; i++)
		assert_true(mmap(p + 8192 * i, 8192, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, r->fd, (off_t)chunk_at(i, region)) != MAP_FAILED);
	memset(p, 0, FAKE_LEN);
	r->m = (struct fake_module){ .also = r->m.also, .arg = r->m.arg, .gots = 0 };
	fake_make_at(&r->m.f, 77 + region, p);
	r->m.f.h->owner = GPUFAS_OWNER_OUTSIDE;
	r->m.f.h->armed = GPUFAS_ARM_ACT;
	r->m.f.h->chunks = pairs;
	for (uint32_t i = 0; i < pairs; i++)
		r->m.f.h->chunk[i] = (struct gpufas_chunk){ HIGH + chunk_at(i, region), 4096 * GF_MIN(2u, pages - 2 * i) };
	r->m.f.h->self_pa = r->m.f.h->chunk[0].pa;
	fake_module_begin(&r->m);
	if (gf_assist_take(&r->g->kernel->mem, FAKE_DIRECT + r->m.f.h->self_pa, found, &err))
		fail_msg("%s", err.text);
	r->assist->all[r->assist->n++] = found;
	if (look_like_one)
		atomic_store(&r->assist->region, found);
}

/* It is gone: from one moment to the next, as the device sees it; the keeper notices later. */
static void unload_module(struct rig *r)
{
	__atomic_store_n(&r->m.f.h->state, GPUFAS_DEAD, __ATOMIC_SEQ_CST);
	fake_module_end(&r->m);
	memset(r->m.f.p, 0x5a, FAKE_LEN); /* others' by now */
	munmap(r->m.f.p, (FAKE_LEN + 8191) / 8192 * 8192);
}

static void clock_goes(void *arg, uint64_t boot_ns)
{
	fake_clock(arg, boot_ns);
}

/* So much of a kernel that it counts as the one that runs; nothing can be done in it from outside. */
static struct gf_pseudo *pseudo(struct fake *f, struct gf_kernel *k)
{
	struct gf_pseudo *p = calloc(1, sizeof *p);
	uint64_t pud = fake_page(f), direct = fake_page(f), banner = fake_page(f);

	w64(f, FAKE_DIRECT + k->mem.pgd.v + (GF_KERNEL_MAP >> 39 & 511) * 8, pud | 3);
	w64(f, FAKE_DIRECT + pud + (GF_KERNEL_MAP >> 30 & 511) * 8, GF_PTE_PSE | 3);
	w64(f, FAKE_DIRECT + k->mem.pgd.v + (FAKE_DIRECT >> 39 & 511) * 8, direct | 3);
	w64(f, FAKE_DIRECT + direct + (FAKE_DIRECT >> 30 & 511) * 8, GF_PTE_PSE | 3);
	memcpy(fake_at(f, FAKE_DIRECT + banner), "Linux version 6.1.0 (made up) (as long as a banner is, and more)", 64);
	memcpy(p->banner, fake_at(f, FAKE_DIRECT + banner), 64);
	p->banner_va = GF_KERNEL_MAP + banner;
	p->mem = &k->mem;
	p->k = k;
	p->writable = 1;
	p->parts_off = ~0u;
	pthread_mutex_init(&p->lock, NULL);
	return p;
}

static void make_guest(struct rig *r)
{
	static const uint32_t some[GF_RSS_PARTS] = { 100, 200, 30, 4 };
	struct gf_kmem *m;

	r->f = fake_new(RAM, 1, 0);
	fake_process(r->f, 1, "init", some);
	for (uint32_t i = 0; i < WALKED - 2; i++)
		fake_process(r->f, 100 + 3 * i, "p", some);
	fake_process(r->f, 600, "walked", some);
	r->fd = memfd_create("guest", 0);
	assert_int_equal(ftruncate(r->fd, PAGES * 4096), 0);
	r->high = mmap(NULL, PAGES * 4096, PROT_READ | PROT_WRITE, MAP_SHARED, r->fd, 0);
	assert_true(r->high != MAP_FAILED);
	m = &r->f->k->mem;
	m->ram.writable = 1;
	m->ram.seg[m->ram.n++] = (struct gf_ram_seg){ HIGH, PAGES * 4096, r->high };
	m->direct_size = HIGH + PAGES * 4096;
	r->g = gf_guest_get(fake_guest(r->f));
	r->g->pseudo = pseudo(r->f, r->g->kernel);
	r->assist = r->g->assist = calloc(1, sizeof *r->assist);
	r->m.also = clock_goes;
	r->m.arg = r->f;
}

/* ---- the engine ---- */

static struct gf_image_header *compile(struct rig *r, int i, const char *policy)
{
	r->img[i] = image_of_text(policy, GF_TARGET_VM, MS, NULL);
	return r->img[i];
}

static void (*sink)(void *arg, const struct gf_event *ev) = told_sink;

static void begin(struct rig *r, const char *policy, enum gf_gpu_mode mode)
{
	const struct gf_engine_opts o = { .period_ns = 2 * MS, .budget_n = 100, .budget_window_ns = 1000 * MS, .kind = GF_ENGINE_GPU, .gpu = { .mode = mode } };
	const struct gf_actuator_opts ao = { .tell_ns = 10000 * MS };
	struct gf_err err = { "" };

	memset(r, 0, sizeof *r);
	gf_emu.life_ns = 20000 * MS; /* this machine may have other things to do */
	make_guest(r);
	load_module(r, true);
	if (gf_vm_make(&(struct gf_vm_opts){ .name = "g", .max_tasks = 256 }, &ops, &r->vm, &err) ||
	    gf_engine_create(&r->vm->t, compile(r, 0, policy), &o, &r->e, &err) ||
	    gf_vm_actuator_create(&ao, &r->vm->t, gf_engine_verdict_fd(r->e), engine_source, &r->e, sink, &r->told, &r->a, &err))
		fail_msg("%s", err.text);
	gf_engine_actuator(r->e, r->a);
	assert_int_equal(gf_engine_start(r->e, NULL), 0);
	gf_vm_publish(r->vm, r->g);
}

static void end(struct rig *r)
{
	gf_engine_stop(r->e);
	gf_vm_actuator_destroy(r->a);
	gf_engine_destroy(r->e);
	if (r->g)
		gf_guest_put(r->g);
	gf_target_destroy(&r->vm->t); /* which frees what nobody else holds */
	if (!r->m.end)
		unload_module(r);
	munmap(r->high, PAGES * 4096);
	close(r->fd);
	fake_free(r->f);
	for (int i = 0; i < 2; i++)
		free(r->img[i]);
	assert_int_equal(gf_emu.used, 0);
	assert_int_equal(gf_emu.enrolled, 0);
	gf_emu = (struct gf_emu){ .devices = 1, .memory = 1ull << 40 };
}

static struct gf_engine_stats stats(struct rig *r) { return engine_stats(r->e); }
static bool until(bool (*what)(void *of, uint64_t a), struct rig *r, uint64_t a) { return wait_until(r->e, what, r, a); }
static bool lives(void *r, uint64_t n) { return stats(r).live == n && !stats(r).stale; }
static bool ticked(void *r, uint64_t n) { return stats(r).ticks >= n; }
static bool stale(void *r, uint64_t n) { return stats(r).stale == n; }

static bool got(void *of, uint64_t n)
{
	struct rig *r = of;

	return __atomic_load_n(&r->m.gots, __ATOMIC_SEQ_CST) >= n;
}

static bool told(void *r, uint64_t n) { return told_of(&((struct rig *)r)->told, n); }

/* a: 1 the module samples, 2 it delivers. */
static bool by(void *of, uint64_t a)
{
	struct rig *r = of;
	bool samples, delivers;

	gf_vm_by_module(&r->vm->t, &samples, &delivers);
	return (samples | delivers << 1) == (int)a;
}

static void assert_road(struct rig *r, const char *want)
{
	char text[512];

	gf_vm_describe(&r->vm->t, text, sizeof text);
	if (*want ? !strstr(text, want) : !!strstr(text, "assisted"))
		fail_msg("\"%s\", not \"%s\"", text, want);
}

/* The library's calls of it come here (--wrap): the host's thread can be made slow between what it takes first and what it takes then. */
void __real_gf_engine_flush(struct gf_engine *e);
void __wrap_gf_engine_flush(struct gf_engine *e);
static uint32_t flush_us;

void __wrap_gf_engine_flush(struct gf_engine *e)
{
	__real_gf_engine_flush(e);
	usleep(flush_us);
}

/* ---- tests ---- */

static void by_the_module(void **state)
{
	(void)state;
	for (int mode = 0; mode <= GF_GPU_RELAY; mode++) {
		struct rig r;
		begin(&r, HOG, (enum gf_gpu_mode)mode);
		assert_true(until(lives, &r, 2));
		assert_true(until(by, &r, 3));
		assert_road(&r, "assisted: the GPU samples and delivers by the module in it");
		set(&r.m.hog, true);
		assert_true(until(got, &r, 1));
		assert_int_equal(r.m.got[0].pid, 500);
		assert_int_equal(r.m.got[0].start_ns, 6000000);
		assert_int_equal(r.m.got[0].action, GPUFAS_SIGNAL);
		assert_int_equal(r.m.got[0].arg, SIGKILL);
		assert_true(r.m.slot[0] >= FAKE_SLOTS / 2); /* the first half is the actuator's */
		assert_true(until(told, &r, 1));
		assert_int_equal(r.told.result[0].pid, 500);
		assert_int_equal(r.told.result[0].how, GF_HOW_MODULE);
		assert_int_equal(r.told.result[0].became, GF_BECAME_DELIVERED);
		assert_true(r.told.result[0].exit_us != GF_NONE);
		assert_int_equal(r.m.garbled, 0);
		assert_int_equal(r.m.gots, 1);
		assert_int_equal(stats(&r).kind, GF_ENGINE_GPU);
		end(&r);
	}
}

/* The module is unloaded: at the next tick by a walk, before anybody on the host has noticed. Then it comes back, in other pages. */
static void goes_and_comes(void **state)
{
	struct rig r;
	uint64_t n;

	(void)state;
	begin(&r, HOG, GF_GPU_PERSISTENT);
	assert_true(until(lives, &r, 2));
	for (int i = 0; i < 2; i++) {
		n = stats(&r).sample_errors;
		unload_module(&r);
		assert_true(until(lives, &r, WALKED));
		assert_true(stats(&r).sample_errors <= n + 3); /* one may have been read when it went */
		atomic_store(&r.assist->region, NULL);
		assert_true(until(by, &r, 0));
		assert_road(&r, "");
		load_module(&r, true);
		assert_true(until(lives, &r, 2));
		assert_true(until(by, &r, 3));
	}
	set(&r.m.hog, true);
	assert_true(until(got, &r, 1));
	assert_true(until(told, &r, 1));
	assert_int_equal(r.told.result[0].how, GF_HOW_MODULE);
	assert_int_equal(stats(&r).takeovers, 0);
	end(&r);
}

/* Another guest in its place, without the module. */
static void reboots(void **state)
{
	struct rig r;
	struct gf_guest *other;

	(void)state;
	begin(&r, HOG, GF_GPU_PERSISTENT);
	assert_true(until(lives, &r, 2));
	assert_true(until(by, &r, 3));
	other = fake_guest(r.f);
	gf_vm_publish(r.vm, other);
	assert_true(until(lives, &r, WALKED));
	assert_true(until(by, &r, 0));
	assert_int_equal(stats(&r).takeovers, 0);
	gf_guest_put(r.g);
	r.g = NULL;
	for (int i = 0; i < 20000 && !gf_vm_reap(r.vm); i++)
		usleep(1000);
	end(&r);
}

/* What the mailbox does not do is done from outside: here nothing can be, and that is what is said. */
static void not_done(struct rig *r)
{
	assert_true(until(told, r, 1));
	assert_int_equal(r->told.result[0].pid, 500);
	assert_int_not_equal(r->told.result[0].how, GF_HOW_MODULE);
	assert_int_equal(r->told.result[0].became, GF_BECAME_REFUSED);
}

static void refuses(void **state)
{
	struct rig r;

	(void)state;
	/* its word is the last */
	begin(&r, HOG, GF_GPU_PERSISTENT);
	assert_true(until(lives, &r, 2));
	r.m.refuse = GPUFAS_WHY_IDENTITY;
	set(&r.m.hog, true);
	assert_true(until(told, &r, 1));
	assert_int_equal(r.told.result[0].how, GF_HOW_MODULE);
	assert_int_equal(r.told.result[0].became, GF_BECAME_REFUSED);
	assert_int_equal(r.told.result[0].why, GF_REF_IDENTITY);
	end(&r);
	/* it would not do anything */
	begin(&r, HOG, GF_GPU_PERSISTENT);
	assert_true(until(lives, &r, 2));
	r.m.refuse = GPUFAS_WHY_BUDGET;
	set(&r.m.hog, true);
	not_done(&r);
	assert_int_equal(r.m.gots, 1);
	end(&r);
	/* it is known that it would not */
	begin(&r, HOG, GF_GPU_PERSISTENT);
	r.m.f.h->armed = 0;
	assert_true(until(lives, &r, 2));
	set(&r.m.hog, true);
	not_done(&r);
	assert_int_equal(r.m.gots, 0);
	end(&r);
	/* it says nothing: void, then from outside */
	begin(&r, HOG, GF_GPU_PERSISTENT);
	assert_true(until(lives, &r, 2));
	set(&r.m.silent, true);
	set(&r.m.hog, true);
	not_done(&r);
	assert_true(r.m.gots == 1 && r.m.garbled);
	end(&r);
	/* it goes with a verdict in its mailbox */
	begin(&r, HOG, GF_GPU_PERSISTENT);
	assert_true(until(lives, &r, 2));
	set(&r.m.silent, true);
	set(&r.m.hog, true);
	assert_true(until(got, &r, 1));
	unload_module(&r);
	not_done(&r);
	for (uint32_t i = 0; i < PAGES * 4096; i++) /* and nothing was written to what is not its memory any more */
		if (r.high[i] && r.high[i] != 0x5a)
			fail_msg("at %u", i);
	end(&r);
}

/* Strings the module does not have: the policy is sampled by a walk, and delivered by the module all the same. */
static void reads_strings(void **state)
{
	struct rig r;
	uint32_t was;

	(void)state;
	begin(&r, ARGS "rule walked if comm == \"walked\" then SIGTERM it settle 1h\n", GF_GPU_PERSISTENT);
	assert_true(until(lives, &r, WALKED));
	assert_true(until(by, &r, 2));
	assert_road(&r, "assisted: the GPU delivers by the module in it, and samples from outside");
	assert_true(until(got, &r, 1));
	assert_int_equal(r.m.got[0].pid, 600);
	assert_int_equal(r.m.got[0].arg, SIGTERM);
	/* a policy without: by the module, and what was known of the mailbox stays */
	was = r.m.gots;
	assert_int_equal(gf_engine_swap(r.e, compile(&r, 1, HOG), NULL), 0);
	assert_true(until(lives, &r, 2));
	set(&r.m.hog, true);
	assert_true(until(got, &r, was + 1));
	assert_int_equal(r.m.got[was].pid, 500);
	assert_true(r.m.got[was].seq > r.m.got[was - 1].seq);
	end(&r);
}

/* A record that cannot be makes the table torn; a table that stands still is not taken; what is all noise is of no matter. */
static void lies_to_us(void **state)
{
	struct rig r;
	uint64_t n;

	(void)state;
	begin(&r, HOG, GF_GPU_PERSISTENT);
	assert_true(until(lives, &r, 2));
	set(&r.m.wild, true);
	set(&r.m.hog, true);
	assert_true(until(stale, &r, 1));
	assert_int_equal(r.m.gots, 0);
	end(&r);

	begin(&r, HOG, GF_GPU_PERSISTENT);
	assert_true(until(lives, &r, 2));
	set(&r.m.passes, false);
	assert_true(until(lives, &r, WALKED));
	assert_true(until(by, &r, 2)); /* the mailbox is another matter */
	end(&r);

	begin(&r, HOG, GF_GPU_PERSISTENT);
	assert_true(until(lives, &r, 2));
	n = stats(&r).ticks + 150;
	srandom(4);
	while (!ticked(&r, n))
		for (int i = 0; i < 2000; i++) {
			uint32_t at = (uint32_t)random() % (PAGES * 512);
			/* its header's first words say that it is one: it stays one */
			if (at * 8 - chunk_at(0, 0) >= 4096)
				__atomic_store_n((uint64_t *)(void *)r.high + at, (uint64_t)random() << 40 ^ (uint64_t)random() << (random() & 31), __ATOMIC_RELAXED);
		}
	assert_int_equal(stats(&r).takeovers, 0);
	end(&r);
}

static uint32_t results, of_nothing;

static void count_sink(void *arg, const struct gf_event *ev)
{
	told_sink(arg, ev);
	__atomic_fetch_add(&of_nothing, !ev->about, __ATOMIC_RELAXED);
	__atomic_fetch_add(&results, 1, __ATOMIC_RELAXED);
}

static bool so_many(void *r, uint64_t n)
{
	set(&((struct rig *)r)->m.hog, true); /* it comes again */
	return __atomic_load_n(&results, __ATOMIC_RELAXED) >= n;
}

/* However slow the host is: what became of a victim is not passed on before the verdict and the event that it is of. */
static void in_order(void **state)
{
	struct rig r;

	(void)state;
	sink = count_sink;
	begin(&r, "rule hog if comm == \"hog\" then SIGTERM it settle 1ms cooldown 1ms\n", GF_GPU_PERSISTENT);
	assert_true(until(lives, &r, 2));
	flush_us = 10000;
	assert_true(until(so_many, &r, 40));
	flush_us = 0;
	assert_int_equal(of_nothing, 0);
	assert_int_equal(stats(&r).kind, GF_ENGINE_GPU);
	end(&r);
	sink = told_sink;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(by_the_module),
		cmocka_unit_test(in_order),
		cmocka_unit_test(goes_and_comes),
		cmocka_unit_test(reboots),
		cmocka_unit_test(refuses),
		cmocka_unit_test(reads_strings),
		cmocka_unit_test(lies_to_us),
	};

	gf_dev_backend = &gf_dev_emu;
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
