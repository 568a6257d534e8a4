// SPDX-License-Identifier: MIT
/*
 * The kernel module's region, with ordinary memory for it: what lies in it, in one piece or all over a guest's memory, and what is made
 * of lies in it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>

#include <cmocka.h>

#include "targets/assist.h"
#include "tests/helpers/fakeregion.h"

static void test_header(void **state)
{
	struct fake_region f;
	struct gf_region r;

	(void)state;
	fake_make(&f, 77);
	assert_int_equal(fake_take(&f, &r), GF_RB_NONE);
	assert_true(gf_region_alive(&r));
#define LIE(member, value, want) do { struct gpufas_header was = *f.h; f.h->member = (value); assert_int_equal(fake_take(&f, &r), want); *f.h = was; } while (0)
	LIE(magic, 1, GF_RB_MAGIC);
	LIE(version, 2, GF_RB_VERSION);
	LIE(state, GPUFAS_DEAD, GF_RB_DEAD);
	LIE(instance, 0, GF_RB_DEAD);
	LIE(header_size, 16, GF_RB_SIZES);
	LIE(region_size, 1ull << 40, GF_RB_SIZES);
	LIE(region_size, f.len - 1, GF_RB_SIZES);
	LIE(rec_size, 200, GF_RB_SIZES);
	LIE(rows, 0, GF_RB_SIZES);
	LIE(rows, GPUFAS_ROWS_MAX + 1, GF_RB_SIZES);
	LIE(rows, GPUFAS_ROWS_MAX, GF_RB_PLACES);
	LIE(slots, 65536, GF_RB_PLACES);
	LIE(cpus, 65537, GF_RB_SIZES);
	LIE(control_off, 0, GF_RB_PLACES);
	LIE(control_off, (uint32_t)f.len, GF_RB_PLACES);
	LIE(verdict_off, 4099, GF_RB_PLACES);
	LIE(answer_off, 0xfffffff8u, GF_RB_PLACES);
	LIE(answer_size, 1u << 30, GF_RB_PLACES);
	LIE(host_off, (uint32_t)f.len - 8, GF_RB_PLACES);
	LIE(table_off[2], (uint32_t)f.len - 64, GF_RB_PLACES);
#undef LIE
	assert_int_equal(fake_take(&f, &r), GF_RB_NONE);
	f.h->instance = 78;
	assert_false(gf_region_alive(&r));
	free(f.p);
}

static void test_table(void **state)
{
	struct gf_task_rec rec[2] = { fake_rec(1, 5, "init"), fake_rec(4711, 100, "x") }, got;
	struct gf_region_look l = { 0 };
	struct fake_region f;
	struct gf_region r;

	(void)state;
	fake_make(&f, 77);
	fake_take(&f, &r);
	assert_int_equal(gf_region_begin(&r, &l), -ENODATA);
	fake_pass(&f, rec, 2);
	assert_int_equal(gf_region_begin(&r, &l), 0);
	assert_int_equal(l.count, 2);
	assert_int_equal(gf_region_rec(&r, &l, 1, &got), 1);
	assert_memory_equal(&got, &rec[1], sizeof got);
	assert_int_equal(gf_region_end(&r, &l), 0);
	/* written while it is read */
	fake_table(&f, 0)->seq += 2;
	assert_int_equal(gf_region_end(&r, &l), -EAGAIN);
	fake_table(&f, 0)->seq++;
	assert_int_equal(gf_region_begin(&r, &l), -EAGAIN);
	fake_table(&f, 0)->seq++;
	fake_table(&f, 0)->count = FAKE_ROWS + 1;
	assert_int_equal(gf_region_begin(&r, &l), -EBADMSG);
	fake_table(&f, 0)->count = 2;
	f.h->latest = 3;
	assert_int_equal(gf_region_begin(&r, &l), -EBADMSG);
	f.h->latest = 0;
	f.h->state = GPUFAS_DEAD;
	assert_int_equal(gf_region_begin(&r, &l), -ESTALE);
	free(f.p);
}

/* What no kernel writes: it is no process, or one that nobody acts on. */
static void test_records(void **state)
{
	struct gf_task_rec r;

	(void)state;
#define REC(change) (r = fake_rec(4711, 100, "x"), change, gf_region_mend(&r, 1000))
	assert_int_equal(REC(r.pid = 0), 0);
	assert_int_equal(REC(r.pid = -5), 0);
	assert_int_equal(REC(r.pid = 4194305), 0);
	assert_int_equal(REC(r.start_ns = 3000000000u), 0);
	assert_int_equal(REC(r.ppid = -1), 1);
	assert_true(r.flags & GF_REC_TORN);
	assert_int_equal(REC(r.oom_adj = 1001), 1);
	assert_true(r.flags & GF_REC_TORN && !(r.have & GF_REC_ADJ));
	assert_int_equal(REC(r.nice = 20), 1);
	assert_true(r.flags & GF_REC_TORN && !(r.have & GF_REC_STAT));
	assert_int_equal(REC(r.anon = -1), 1);
	assert_int_equal(r.anon, 0);
	assert_int_equal(REC(r.file = INT64_MAX), 1);
	assert_true(r.file + r.anon + r.shmem > 0);
	assert_int_equal(REC(r.have = ~0u), 1);
	assert_false(r.have & (GF_REC_SCORE | GF_REC_RSS_SUM));
	assert_int_equal(REC(memset(r.comm, 'y', 16)), 1);
	assert_int_equal(r.comm[15], 0);
	assert_int_equal(REC((void)0), 1);
	assert_false(r.flags & GF_REC_TORN);
#undef REC
}

/* Any bytes at all: an error, or records within bounds; nothing is read or written outside. */
static void test_noise(void **state)
{
	struct fake_region f;
	struct gf_region r;
	struct gf_region_look l = { 0 };
	struct gf_task_rec rec;
	double host[GF_HF_COUNT];
	struct gpufas_answer a;
	uint32_t taken = 0, looked = 0;

	(void)state;
	srandom(1);
	fake_make(&f, 77);
	struct gpufas_header good = *f.h;
	for (int round = 0; round < 20000; round++) {
		*f.h = good;
		f.h->latest = (uint32_t)random() % 5;
		for (long k = random() % 4; k > 0; k--)
			((uint32_t *)(void *)f.p)[random() % (long)(sizeof good / 4)] = (uint32_t)random() >> random() % 32;
		for (int k = 0; k < 64; k++)
			((uint32_t *)(void *)(f.p + 4096))[random() % (long)((f.len - 4096) / 4)] = (uint32_t)random();
		if (fake_take(&f, &r) || r.size > f.len)
			continue;
		taken++;
		gf_region_host(&r, ~0ull, host);
		gf_region_ask(&r, 1, 2, 3, 4);
		struct gf_mail m;
		struct gpufas_verdict v = { .pid = 5, .deadline_ns = 5 };
		gf_mail_init(&m, &r);
		int slot = gf_mail_post(&m, &v, 1);
		if (slot >= 0)
			gf_mail_answer(&m, (uint32_t)slot, v.seq, &a);
		if (gf_region_begin(&r, &l))
			continue;
		looked++;
		for (uint32_t i = 0; i < l.count; i++)
			if (gf_region_rec(&r, &l, i, &rec) == 1)
				assert_true(rec.pid > 0 && rec.pid <= 4194304 && rec.anon >= 0);
		gf_region_end(&r, &l);
	}
	assert_true(taken > 1000);
	assert_true(looked > 0);
	free(f.p);
}

/* A region in pieces is the same as one in one piece. */
static void test_pieces(void **state)
{
	struct fake_region f;
	struct gf_region one, many;
	uint8_t a[512], b[512];

	(void)state;
	fake_make(&f, 77);
	fake_take(&f, &one);
	for (uint64_t i = 0; i < f.len; i++)
		f.p[i] = (uint8_t)(i * 7);
	many = one;
	many.spans = 0;
	for (uint64_t off = 0; off < f.len; off += 4096)
		many.span[many.spans++] = (struct gf_region_span){ f.p + off, off, 4096 };
	for (uint64_t off = 0; off + 512 <= f.len; off += 264) {
		assert_int_equal(gf_region_copy(&one, off, a, 512), 0);
		assert_int_equal(gf_region_copy(&many, off, b, 512), 0);
		assert_memory_equal(a, b, 512);
	}
	assert_int_equal(gf_region_copy(&many, f.len - 8, b, 16), -EBADMSG);
	assert_null(gf_region_at(&many, f.len, 1));
	assert_null(gf_region_at(&many, 4090, 8));
	free(f.p);
}

static void test_stalled(void **state)
{
	struct gf_region_clock c = { 0 };
	struct fake_region f;
	struct gf_region r;

	(void)state;
	fake_make(&f, 77);
	fake_take(&f, &r);
	f.h->jiffies = 100;
	assert_int_equal(gf_region_stalled(&r, &c, 1000), 0);
	assert_int_equal(gf_region_stalled(&r, &c, 5000), 4000);
	f.h->jiffies++;
	assert_int_equal(gf_region_stalled(&r, &c, 6000), 0);
	assert_int_equal(gf_region_stalled(&r, &c, 9000), 3000);
	r.instance = 78; /* another boot's */
	assert_int_equal(gf_region_stalled(&r, &c, 9500), 0);
	free(f.p);
}

/* ---- in a guest's memory ------------------------------------------------------------------ */

#define MAP 0xffff888000000000ull
#define PAGES 256u

struct guest {
	struct fake_region f;  /* as one piece, which is copied into pages all over */
	uint8_t *ram;
	struct gf_kmem m;
	struct gpufas_header *h; /* in ram */
};

/* Two pages to a chunk, from the top of the memory down. */
static void scatter(struct guest *g)
{
	uint32_t pages, n = 0;

	memset(g, 0, sizeof *g);
	fake_make(&g->f, 77);
	pages = (uint32_t)(g->f.len / 4096);
	g->ram = aligned_alloc(4096, PAGES * 4096);
	memset(g->ram, 0xee, PAGES * 4096);
	g->f.h->owner = GPUFAS_OWNER_OUTSIDE;
	for (uint32_t i = 0; i < pages; i += 2, n++) {
		uint64_t pa = (PAGES - 4 - 3 * (uint64_t)i) * 4096;
		g->f.h->chunk[n] = (struct gpufas_chunk){ pa, 4096 * GF_MIN(2u, pages - i) };
	}
	g->f.h->chunks = n;
	g->f.h->self_pa = g->f.h->chunk[0].pa;
	for (uint32_t i = 0; i < n; i++)
		memcpy(g->ram + g->f.h->chunk[i].pa, g->f.p + 8192 * (uint64_t)i, g->f.h->chunk[i].bytes);
	g->h = (void *)(g->ram + g->f.h->self_pa);
	g->m.ram.n = 1;
	g->m.ram.writable = 1;
	g->m.ram.seg[0] = (struct gf_ram_seg){ 0, PAGES * 4096, g->ram };
	g->m.page_offset = MAP;
	g->m.direct_size = PAGES * 4096;
}

static void test_assist_lies(void **state)
{
	struct gf_err err = { "" };
	struct gf_region r;
	struct guest g;

	(void)state;
	scatter(&g);
	uint64_t va = MAP + g.f.h->self_pa;
	assert_int_equal(gf_assist_take(&g.m, va, &r, &err), 0);
	uint8_t *all = malloc(g.f.len);
	assert_int_equal(gf_region_copy(&r, 0, all, g.f.len), 0);
	assert_memory_equal(all, g.f.p, g.f.len);
	free(all);
	/* not there, or not on a page, or outside, or user space's */
	assert_int_equal(gf_assist_take(&g.m, va + 4096, &r, &err), -EBADMSG);
	assert_int_equal(gf_assist_take(&g.m, va + 8, &r, &err), -EBADMSG);
	assert_int_equal(gf_assist_take(&g.m, MAP + PAGES * 4096ull, &r, &err), -EBADMSG);
	assert_int_equal(gf_assist_take(&g.m, 0x1000, &r, &err), -EBADMSG);
#define LIE(member, value) do { struct gpufas_header was = *g.h; g.h->member = (value); assert_true(gf_assist_take(&g.m, va, &r, &err) < 0); *g.h = was; } while (0)
	LIE(self_pa, 0); /* a copy */
	LIE(chunks, 0);
	LIE(chunks, GPUFAS_CHUNKS + 1);
	LIE(chunks, 1);
	LIE(chunk[0].pa, g.h->chunk[1].pa);
	LIE(chunk[1].pa, PAGES * 4096ull);
	LIE(chunk[1].pa, ~0ull << 12);
	LIE(chunk[1].pa, 8);
	LIE(chunk[1].bytes, 0);
	LIE(chunk[1].bytes, ~0ull << 12);
	LIE(chunk[1].bytes, 4096);
	LIE(region_size, g.f.len + 4096);
	LIE(state, GPUFAS_DEAD);
	LIE(table_off[1], (uint32_t)g.f.len);
	LIE(owner, GPUFAS_OWNER_FILE);
	assert_string_equal(err.text, "somebody in the guest has it open");
	LIE(owner, GPUFAS_OWNER_NONE);
#undef LIE
	assert_int_equal(gf_assist_take(&g.m, va, &r, &err), 0);
	/* any header at all */
	srandom(2);
	struct gpufas_header good = *g.h;
	for (int i = 0; i < 20000; i++) {
		*g.h = good;
		for (long k = 1 + random() % 3; k > 0; k--)
			((uint32_t *)(void *)g.h)[random() % (long)(sizeof good / 4)] = (uint32_t)random() >> random() % 32;
		if (gf_assist_take(&g.m, va, &r, &err))
			continue;
		for (uint32_t k = 0; k < r.spans; k++)
			assert_true(r.span[k].p >= g.ram && r.span[k].p + r.span[k].len <= g.ram + PAGES * 4096);
	}
	free(g.ram);
	free(g.f.p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_header), cmocka_unit_test(test_table), cmocka_unit_test(test_records), cmocka_unit_test(test_noise),
		cmocka_unit_test(test_pieces), cmocka_unit_test(test_stalled), cmocka_unit_test(test_assist_lies),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
