// SPDX-License-Identifier: Dual MIT/GPL
/*
 * What a pass leaves in the region: a whole table, which of the three is the newest, host fields, counters. Done by whoever ends the
 * pass, and nobody waits for him: should his CPU stop in the middle (a virtual CPU that is not run any more), the next one
 * writes over what he has begun, and what he does when he comes back shows nothing that is older.
 */
#include "pass.h"

#include <linux/timekeeping.h>

struct gpufas_stat gpufas_stat;

static atomic64_t begun;    /* passes */
static atomic64_t newest;   /* whole table: its pass << 2 | its number. Only grows */
static atomic64_t filling;  /* since when somebody is at host fields and counters; 0: nobody */
static atomic64_t host_seq; /* odd numbers are given out */
static struct {
	u64 ns, span_ns, pids;
} last;

void gpufas_table_begin(struct gpufas_region *r, int i, struct gpufas_walk *w)
{
	w->pass = atomic64_inc_return(&begun);
	w->seq |= 1;
	WRITE_ONCE(r->table[i]->seq, w->seq);
	smp_wmb();
}

static void finish_table(struct gpufas_table *t, struct gpufas_walk *w)
{
	t->pass = w->pass;
	t->first_ns = w->first_ns;
	t->last_ns = w->last_ns;
	t->count = w->count;
	t->total = w->tally.tasks;
	t->threads = w->tally.threads;
	t->want = w->want;
	t->slices = w->slices;
	t->last_cpu = raw_smp_processor_id();
	t->work_ns = w->work_ns;
	smp_wmb();
	w->seq++;
	WRITE_ONCE(t->seq, w->seq);
}

/* False: a later pass has been shown meanwhile. */
static bool show(struct gpufas_region *r, int i, u64 pass)
{
	s64 mine = (s64)(pass << 2) | i, seen = atomic64_read(&newest);

	do {
		if (seen >= mine)
			return false;
	} while (!atomic64_try_cmpxchg(&newest, &seen, mine));
	/* Stored is what is the newest now; and again should it not be any more: the store may have come late. */
	do {
		seen = atomic64_read(&newest);
		WRITE_ONCE(r->header->latest, (u32)(seen & 3));
		smp_mb();
	} while (atomic64_read(&newest) != seen);
	return true;
}

static void publish_counters(struct gpufas_region *r, struct gpufas_counters *c)
{
	struct gpufas_header *h = r->header;

	c->slices = atomic64_read(&gpufas_stat.slices);
	c->slice_ns = atomic64_read(&gpufas_stat.slice_ns);
	c->slice_max_ns = atomic64_read(&gpufas_stat.slice_max_ns);
	c->passes = atomic64_read(&gpufas_stat.passes);
	c->takeovers = atomic64_read(&gpufas_stat.takeovers);
	c->lost = atomic64_read(&gpufas_stat.lost);
	c->late = atomic64_read(&gpufas_stat.late);
	c->pass_ns = last.ns;
	c->pass_span_ns = last.span_ns;
	c->pids = last.pids;
	c->busy = atomic64_read(&gpufas_count_busy);
	c->long_groups = atomic64_read(&gpufas_count_long);
	gpufas_mailbox_count(c);
	h->count = *c;
	gpufas_guard_budget(&h->budget_left, &h->budget_ns);
	WRITE_ONCE(h->wall_ns, ktime_get_real_fast_ns() - ktime_get_boot_fast_ns());
	WRITE_ONCE(h->period_ns, gpufas_period_ns(r));
	WRITE_ONCE(h->poll_ns, gpufas_poll_ns(r));
	WRITE_ONCE(h->slice_ns, gpufas_slice_ns());
	WRITE_ONCE(h->want, READ_ONCE(r->control->want));
}

static bool fill_begin(u64 now)
{
	s64 since = atomic64_read(&filling);

	if (since && now < (u64)since + GPUFAS_LOST_NS)
		return false;
	return atomic64_cmpxchg_acquire(&filling, since, (s64)now) == since;
}

/* False: it was given up, and another one has been at it since. */
static bool fill_end(u64 now)
{
	return atomic64_cmpxchg_release(&filling, (s64)now, 0) == (s64)now;
}

static u64 odd_seq(void)
{
	return (u64)atomic64_fetch_add(2, &host_seq) + 1;
}

static void publish_host(struct gpufas_region *r, const struct gpufas_walk *w, u64 span, u64 now)
{
	struct gpufas_counters c = { .irqs = w->sums.irqs, .irq_ns = w->sums.irq_ns, .irq_max_ns = w->sums.irq_max_ns };
	struct gpufas_host *to = r->host, h;
	u64 seq;
	int i;

	gpufas_host_fill(&h, &w->tally, &w->sums);
	if (!fill_begin(now))
		return;
	last.ns = w->work_ns;
	last.span_ns = span;
	last.pids = w->pids;
	seq = odd_seq();
	WRITE_ONCE(to->seq, seq);
	smp_wmb();
	for (i = 0; i < GPUFAS_H_COUNT; i++)
		WRITE_ONCE(to->v[i], h.v[i]);
	WRITE_ONCE(to->have, h.have);
	WRITE_ONCE(to->at_ns, h.at_ns);
	publish_counters(r, &c);
	smp_wmb();
	/* Whoever was stopped in here may have written old values over new ones: then they are torn until the next pass. */
	WRITE_ONCE(to->seq, fill_end(now) ? seq + 1 : odd_seq());
}

void gpufas_publish(struct gpufas_region *r, int i, struct gpufas_walk *w, u64 now)
{
	u64 span = now - w->begun_ns;

	finish_table(r->table[i], w);
	if (!show(r, i, w->pass))
		return;
	WRITE_ONCE(r->header->pass, (u64)atomic64_inc_return(&gpufas_stat.passes));
	publish_host(r, w, span, now);
}

void gpufas_publish_reset(struct gpufas_region *r)
{
	struct gpufas_counters c = {};

	memset(&gpufas_stat, 0, sizeof(gpufas_stat));
	memset(&last, 0, sizeof(last));
	atomic64_set(&gpufas_count_busy, 0);
	atomic64_set(&gpufas_count_long, 0);
	atomic64_set(&begun, 0);
	atomic64_set(&newest, 0);
	atomic64_set(&filling, 0);
	atomic64_set(&host_seq, 0);
	publish_counters(r, &c);
}
