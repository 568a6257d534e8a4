/* SPDX-License-Identifier: MIT
 *
 * Plays the kernel module over a made-up region, in a thread: a table a millisecond of two processes, or three, and an answer to each verdict.
 */
#ifndef GPUFAS_FAKEMODULE_H
#define GPUFAS_FAKEMODULE_H

#include <pthread.h>
#include <unistd.h>

#include "tests/helpers/fakeregion.h"

#define FAKE_GOT 16u

struct fake_module {
	struct fake_region f;
	pthread_t thread;
	bool end, hog, passes;       /* what its next tables hold; whether it makes some */
	bool wild, silent;           /* a record that cannot be; no answers */
	uint16_t refuse;             /* enum gpufas_why */
	uint64_t mem_free;
	struct gpufas_verdict got[FAKE_GOT];
	uint32_t slot[FAKE_GOT], gots, garbled;
	void (*also)(void *arg, uint64_t boot_ns); /* before each table, or NULL */
	void *arg;
};

static inline bool get(const bool *p) { return __atomic_load_n(p, __ATOMIC_SEQ_CST); }
static inline void set(bool *p, bool v) { __atomic_store_n(p, v, __ATOMIC_SEQ_CST); }

static inline void fake_module_look(struct fake_module *m, uint32_t i)
{
	struct gpufas_verdict v = m->f.verdict[i];
	uint32_t n = __atomic_load_n(&m->gots, __ATOMIC_SEQ_CST);

	if (!v.seq || v.seq == m->f.answer[i].seq || v.seq != __atomic_load_n(&m->f.verdict[i].seq, __ATOMIC_SEQ_CST))
		return;
	if (v.check != gpufas_check(m->f.h->instance, &v)) {
		m->garbled++;
		return;
	}
	if (n < FAKE_GOT && (!n || m->got[n - 1].seq != v.seq || m->slot[n - 1] != i)) {
		m->got[n] = v;
		m->slot[n] = i;
		__atomic_store_n(&m->gots, n + 1, __ATOMIC_SEQ_CST);
	}
	if (get(&m->silent))
		return;
	if (m->refuse) {
		fake_answer(&m->f, i, GPUFAS_REFUSED, m->refuse);
		return;
	}
	if (v.action == GPUFAS_SIGNAL && !(v.flags & GPUFAS_OBSERVE))
		set(&m->hog, false);
	fake_answer(&m->f, i, GPUFAS_SENT, 0);
	usleep(3000);
	__atomic_store_n(&m->f.answer[i].state, GPUFAS_EXITED, __ATOMIC_SEQ_CST);
}

static inline void *fake_module_main(void *arg)
{
	struct fake_module *m = arg;
	struct gf_task_rec rec[3] = { fake_rec(1, 1000, "init"), fake_rec(700, 5000000, "other"), fake_rec(500, 6000000, "hog") };

	rec[0].ppid = 0;
	while (!get(&m->end)) {
		if (get(&m->wild))
			rec[1].pid = -5;
		m->f.host->have = 1ull << GPUFAS_H_MEM_FREE | 1ull << GPUFAS_H_MEM_TOTAL;
		m->f.host->v[GPUFAS_H_MEM_TOTAL] = 1u << 30;
		m->f.host->v[GPUFAS_H_MEM_FREE] = __atomic_load_n(&m->mem_free, __ATOMIC_SEQ_CST);
		if (m->also)
			m->also(m->arg, fake_boot());
		if (get(&m->passes))
			fake_pass(&m->f, rec, get(&m->hog) ? 3 : 2);
		for (uint32_t i = 0; i < FAKE_SLOTS; i++)
			fake_module_look(m, i);
		usleep(1000);
	}
	return NULL;
}

/* m->f has been made. */
static inline void fake_module_begin(struct fake_module *m)
{
	set(&m->passes, true);
	m->mem_free = 1u << 28;
	if (pthread_create(&m->thread, NULL, fake_module_main, m))
		abort();
}

static inline void fake_module_end(struct fake_module *m)
{
	set(&m->end, true);
	pthread_join(m->thread, NULL);
}

#endif
