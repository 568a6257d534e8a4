/* SPDX-License-Identifier: MIT
 *
 * A region of the kernel module's, made up: ordinary memory, in which the test plays the module.
 */
#ifndef GPUFAS_FAKEREGION_H
#define GPUFAS_FAKEREGION_H

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "gpu/region.h"

#define FAKE_ROWS 256u
#define FAKE_SLOTS 8u

struct fake_region {
	uint8_t *p;
	uint64_t len;
	struct gpufas_header *h;
	struct gpufas_control *control;
	struct gpufas_host *host;
	struct gpufas_verdict *verdict;
	struct gpufas_answer *answer;
	uint32_t next;
};

static inline uint64_t fake_boot(void)
{
	struct timespec t;

	clock_gettime(CLOCK_BOOTTIME, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

#define FAKE_TABLE ((uint32_t)(sizeof(struct gpufas_table) + FAKE_ROWS * sizeof(struct gf_task_rec)))
#define FAKE_LEN ((16384 + 3 * (uint64_t)FAKE_TABLE + 4095) / 4096 * 4096)

/* In FAKE_LEN bytes at p, which are zero. */
static inline void fake_make_at(struct fake_region *f, uint64_t instance, uint8_t *p)
{
	uint32_t table = FAKE_TABLE, at = 4096;

	f->len = FAKE_LEN;
	f->p = p;
	f->next = 0;
	f->h = (void *)f->p;
	*f->h = (struct gpufas_header){
		.magic = GPUFAS_MAGIC, .version = GPUFAS_VERSION, .header_size = sizeof *f->h, .self_pa = 0x1000, .instance = instance, .region_size = f->len,
		.page_size = 4096, .state = GPUFAS_SAMPLING, .owner = GPUFAS_OWNER_FILE, .control_size = sizeof *f->control,
		.cpu_size = sizeof(struct gpufas_cpu), .cpus = 2, .host_size = sizeof *f->host, .verdict_size = sizeof *f->verdict,
		.answer_size = sizeof *f->answer, .slots = FAKE_SLOTS, .table_size = sizeof(struct gpufas_table), .rec_size = sizeof(struct gf_task_rec),
		.rows = FAKE_ROWS, .latest = GPUFAS_NO_TABLE,
	};
	f->h->control_off = at;
	f->h->cpu_off = at += 256;
	f->h->host_off = at += 256;
	f->h->verdict_off = at += 320;
	f->h->answer_off = at += 64 * FAKE_SLOTS;
	at = 12288;
	for (uint32_t i = 0; i < 3; i++, at += table)
		f->h->table_off[i] = at;
	f->control = (void *)(f->p + f->h->control_off);
	f->host = (void *)(f->p + f->h->host_off);
	f->verdict = (void *)(f->p + f->h->verdict_off);
	f->answer = (void *)(f->p + f->h->answer_off);
}

static inline void fake_make(struct fake_region *f, uint64_t instance)
{
	uint8_t *p = aligned_alloc(4096, FAKE_LEN);

	memset(p, 0, FAKE_LEN);
	fake_make_at(f, instance, p);
}

/* As the reader of one, in one piece. */
static inline enum gf_region_bad fake_take(const struct fake_region *f, struct gf_region *r)
{
	struct gpufas_header h = *f->h;

	*r = (struct gf_region){ .spans = 1 };
	r->span[0] = (struct gf_region_span){ f->p, 0, f->len };
	return gf_region_take(r, &h);
}

static inline struct gpufas_table *fake_table(struct fake_region *f, uint32_t i)
{
	return (void *)(f->p + f->h->table_off[i]);
}

/* Publishes a table of these records, as of now. */
static inline void fake_pass(struct fake_region *f, const struct gf_task_rec *rec, uint32_t n)
{
	uint32_t i = f->next++ % 3;
	struct gpufas_table *t = fake_table(f, i);

	__atomic_store_n(&t->seq, t->seq + 1, __ATOMIC_SEQ_CST);
	t->pass = ++f->h->pass;
	t->first_ns = t->last_ns = fake_boot();
	t->count = t->total = n;
	memcpy(t + 1, rec, n * sizeof *rec);
	__atomic_store_n(&t->seq, t->seq + 1, __ATOMIC_SEQ_CST);
	f->h->now_ns = t->last_ns;
	f->h->jiffies++;
	__atomic_store_n(&f->h->latest, i, __ATOMIC_SEQ_CST);
}

static inline struct gf_task_rec fake_rec(int pid, uint64_t start_ns, const char *comm)
{
	struct gf_task_rec r = {
		.pid = pid, .ppid = 1, .pgrp = pid, .session = pid, .start_ns = start_ns, .threads = 1, .state = 'S', .prio = 20,
		.have = GF_REC_STAT | GF_REC_UID | GF_REC_IDS | GF_REC_ADJ | GF_REC_CPU | GF_REC_RSS, .anon = 1000, .file = 24, .run_ns = 5000000,
	};

	strncpy(r.comm, comm, 15);
	return r;
}

/* Answers what is in slot i, as the module would. */
static inline void fake_answer(struct fake_region *f, uint32_t i, uint16_t state, uint16_t why)
{
	struct gpufas_answer *a = &f->answer[i];

	__atomic_store_n(&a->seq, 0, __ATOMIC_SEQ_CST);
	a->cookie = f->verdict[i].cookie;
	a->pid = f->verdict[i].pid;
	a->state = state;
	a->why = why;
	a->error = 0;
	f->h->mail_seq = f->verdict[i].seq;
	__atomic_store_n(&a->seq, f->verdict[i].seq, __ATOMIC_SEQ_CST);
}

#endif
