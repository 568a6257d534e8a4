/* SPDX-License-Identifier: MIT
 *
 * daemon/tape.c: what was put is what is taken; memory is for the rows that there have been.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "daemon/tape.h"
#include "daemon/taskjson.h"
#include "targets/target.h"

#define CAP 16384u

static struct gf_fieldset all(void)
{
	struct gf_fieldset f = gf_fields_of(GF_TARGET_HOST);

	f.paths = 4;
	return f;
}

static double resident(void)
{
	FILE *f = fopen("/proc/self/statm", "r");
	unsigned long size = 0, pages = 0;

	assert_non_null(f);
	assert_int_equal(fscanf(f, "%lu %lu", &size, &pages), 2);
	fclose(f);
	return (double)pages * (double)sysconf(_SC_PAGESIZE) / (1 << 20);
}

static double value(uint32_t row, uint32_t col, uint64_t seq)
{
	return row % 7 == 3 ? gf_unknown() : row * 1000.0 + col + (double)seq / 64;
}

static void fill(struct gf_sample *s, uint32_t rows, uint64_t seq)
{
	static const char text[] = "/usr/bin/something --that is=long";

	s->seq = seq;
	s->now_ns = 1000 + seq;
	s->rows = s->live = rows;
	for (uint32_t i = 0; i < rows; i++) {
		s->flags[i] = GF_ROW_VALID;
		s->gen[i] = 1 + i;
		s->pid[i] = (int32_t)(10 + i);
		s->start_ns[i] = 5 + i;
		s->parent[i] = i ? 0 : GF_NONE;
		s->uid[i] = i % 3;
		snprintf(s->comm[i], GF_COMM_LEN, "p%u", i);
		for (uint32_t c = 0; c < GF_COLS; c++)
			if (s->col[c])
				s->col[c][i] = value(i, c, seq);
		for (uint32_t c = 0; c < GF_SF_COUNT; c++)
			if (s->str[c])
				s->str[c][i] = (struct gf_strref){ text, i % 30, 1 + i };
	}
}

static void check(const struct gf_sample *s, const struct gf_sample *want, uint32_t rows, uint64_t seq)
{
	assert_non_null(s);
	assert_int_equal(s->rows, rows);
	assert_int_equal(s->seq, seq);
	for (uint32_t i = 0; i < rows; i++) {
		assert_true(s->flags[i] == GF_ROW_VALID && s->gen[i] == 1 + i && s->pid[i] == (int32_t)(10 + i) && s->start_ns[i] == 5 + i);
		assert_true(s->parent[i] == (i ? 0 : GF_NONE) && s->uid[i] == i % 3);
		assert_string_equal(s->comm[i], want->comm[i]);
		for (uint32_t c = 0; c < GF_COLS; c++)
			if (want->col[c])
				assert_true(s->col[c][i] == value(i, c, seq) || (i % 7 == 3 && gf_is_unknown(s->col[c][i])));
		for (uint32_t c = 0; c < GF_SF_COUNT; c++)
			if (want->str[c]) {
				assert_int_equal(s->str[c][i].len, i % 30);
				assert_memory_equal(s->str[c][i].p, want->str[c][i].p, i % 30);
				assert_true(s->str[c][i].p != want->str[c][i].p); /* a copy of its own */
			}
	}
}

static void rows_come_and_go(void **state)
{
	static const uint32_t rows[] = { 3, 700, 2, 511, 513, 640, 1100, 1, 2400 };
	struct gf_fieldset f = all();
	struct gf_sample s;
	struct gf_tape *t;
	struct gf_tape_of of;
	uint64_t seq = 0;
	unsigned kept = 0;

	(void)state;
	assert_int_equal(gf_sample_init(&s, CAP, NULL), 0);
	assert_int_equal(gf_sample_set_fields(&s, &f, NULL), 0);
	assert_int_equal(gf_tape_create(CAP, &f, NULL, &t, NULL), 0);
	assert_int_equal(gf_tape_cap(t), CAP);
	assert_null(gf_tape_take(t, &of));
	for (unsigned turn = 0; turn < 4; turn++)
		for (size_t k = 0; k < sizeof rows / sizeof *rows; k++) {
			memset(s.flags, 0, CAP);
			fill(&s, rows[k], ++seq);
			assert_true(gf_tape_put(t, &s, 0, 7 + seq, NULL));
			check(gf_tape_take(t, &of), &s, rows[k], seq);
			assert_true(!of.rc && of.fp == 7 + seq && !of.some);
		}
	gf_tape_put(t, &s, -5, 1, NULL);
	assert_non_null(gf_tape_take(t, &of));
	assert_int_equal(of.rc, -5);
	/* Nobody takes: sixteen are kept. */
	assert_null(gf_tape_take(t, &of));
	for (unsigned k = 0; k < 20; k++)
		kept += gf_tape_put(t, &s, 0, k, NULL);
	assert_int_equal(kept, 16);
	gf_tape_destroy(t);
	gf_sample_deinit(&s);
}

/* 16 slots of 16,384 rows would be over 100 MiB. */
static void memory_is_for_rows_that_were(void **state)
{
	struct gf_fieldset f = all();
	struct gf_sample s;
	struct gf_tape *t;
	double before, few, many;
	struct gf_tape_of of;
	uint64_t seq = 0;

	(void)state;
	assert_int_equal(gf_sample_init(&s, CAP, NULL), 0);
	assert_int_equal(gf_sample_set_fields(&s, &f, NULL), 0);
	fill(&s, 300, 1);
	before = resident();
	assert_int_equal(gf_tape_create(CAP, &f, NULL, &t, NULL), 0);
	for (unsigned k = 0; k < 64; k++) {
		assert_true(gf_tape_put(t, &s, 0, 1, NULL));
		check(gf_tape_take(t, &of), &s, 300, 1);
	}
	few = resident() - before;
	fill(&s, CAP, ++seq);
	for (unsigned k = 0; k < 32; k++) {
		assert_true(gf_tape_put(t, &s, 0, 1, NULL));
		if (k == 31)
			check(gf_tape_take(t, &of), &s, CAP, seq);
		else
			assert_non_null(gf_tape_take(t, &of));
	}
	many = resident() - before;
	printf("# %.1f MiB for 300 processes, %.1f MiB for %u\n", few, many, CAP);
	assert_true(few < 12 && many > 60);
	gf_tape_destroy(t);
	assert_true(resident() - before < many / 2);
	gf_sample_deinit(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(rows_come_and_go), cmocka_unit_test(memory_is_for_rows_that_were) };

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
