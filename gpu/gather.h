/* SPDX-License-Identifier: MIT
 *
 * A process's words, fetched by many lanes. A load from the target's memory is a request of its own for each line that a warp touches,
 * and takes a microsecond: one lane a process spends forty of them one after the other. So the words that are wanted of a kind of
 * object are listed once, in order; neighbouring lanes load neighbouring words of one object (those in one line are one request), and put
 * them down by word: W[word][row]. What is read then reads W.
 *
 * A lane then makes the record of one process out of its words in W. A layout whose offsets lead there (struct gf_gather, l) makes them look like a
 * process in memory: the same code reads both (struct gf_src, gpu/tasks.h). All its objects begin at the same place, the first word.
 *
 * Who is fetched so. A process that had a row at the last pass, whose objects were all found in the direct map then: their addresses
 * are kept (struct gf_kept), so that nobody waits for one load to know where the next goes. Newcomers, and those whose second look shows that they
 * have changed, are looked at later in the pass, in the same way (gpu/sampler_late.h). Everyone else, and everyone of whom something below does not
 * hold, is read by one lane as before (gf_lead_read).
 *
 * When. What is fetched depends on addresses that are kept, and on nothing that this pass finds: so it is fetched beside the walk, a share of the rows in
 * each call that otherwise waits for a hop (gpu/sampler_fetch.h). The second look is the record's own lane's, right before it makes it.
 *
 * Why what is put together so is never torn. Let K be the look at the last pass at which addresses were kept, G the fetch, A the walk of this
 * pass, S the second look. G and A run side by side; K is over before either begins, and both are before S does. Within each loads are in any order.
 * Nothing is lost by fetching before it is known who is still there: a row is only given to whom A has found, and whom A finds and G has not, not whole,
 * or not as he was at K, is read by one lane.
 *   The task     A found the struct pid in the tree; at G and at S the task has that struct pid. A task_struct is freed by RCU after it has lost its
 *                struct pid (__unhash_process): all of G read one living task. Its start time in G is the row's: it is the process that has the row, and
 *                how deep in pid namespaces it is, which its struct pid says for life, need not be read again. What S cannot see
 *                is that between G and it, a walk apart, the process has gone and another one has come that has the same number, struct pid, task, mm, count
 *                of execs and sequence, all at the same addresses: that takes a grace period, and all other numbers to be given out. Then what is
 *                said is what was so at G, and the next pass sees the start time.
 *   leads        That the struct pid leads to this task, which is where a walk gets it from, was so at K. It ends in two ways: the process ends, and
 *                the task loses its struct pid; or another thread execs and leads from then on (de_thread), for which the old leader must be dead, so
 *                without address space, and then exchanges struct pids with it (before 5.7 it keeps its own until it is unhashed, which is at once; but
 *                its mm is not the kept one; and who has no mm and other threads is read by one lane). So whoever has the kept struct pid, number, start time and mm leads as he did at K, and
 *                no struct pid need be read that was there at the last pass (gf_walk_who). Who fails is looked for by his struct pid, as ever. The CPU's
 *                sampler, to which that is one load of many, reads it, but goes by the same rule: both say the same where it lies.
 *   signal       A task keeps its signal_struct for life: G's word is the kept one.
 *   mm           Changes at exec, which counts self_exec_id up, and to 0 at exit. At K and S it is the same, and so is the exec count: there
 *                was no exec between, so the address space was the task's all the while, at G too, and so were command and descriptors. Neither is fetched
 *                (G): each is a line of its own in task_struct, and a line is what a request costs.
 *   exit         Takes the address space away first, and signal_struct after the struct pid: both were there all the while. Whether it has begun is
 *                as of G, like all else.
 *   cred         Replaced, never changed in place, and freed by RCU. At K, G and S it is the same: what was read there was this task's.
 *   parent       Likewise, but looked at in G alone: one whose memory was another's meanwhile is younger than its child, which a parent is not
 *                (gf_table_parent).
 *   times        stats_seq at K, G and S is one even number: no thread has left its figures behind since K.
 *   page counts  The words in G, the CPUs' parts after G, the words again in S, after them: the same, or it is read again, as gf_read_rss does.
 */
#ifndef GPUFAS_GATHER_H
#define GPUFAS_GATHER_H

#include "gpu/tasks.h"
#include "gpu/team.h"

#define GF_GATHER_WORDS 80u
#define GF_GATHER_AGAIN 20u
#define GF_GATHER_DEEP  4u /* rows a lane fetches a word of at a time */
#define GF_GATHER_SAME  8u /* words of its row a lane looks at again at a time */

/* By row: who was found at pass[row]. */
struct gf_who {
	uint64_t *pid, *task;
	uint32_t *pass;
};

/* What is looked at in the second look alone, since what was kept says what it must be. */
enum gf_gather_kept { GF_GK_MM = GF_GATHER_WORDS, GF_GK_EXEC };

enum gf_gather_of { GF_GO_TASK, GF_GO_PID, GF_GO_SIGNAL, GF_GO_MM, GF_GO_CRED, GF_GO_PARENT, GF_GO_PGRP, GF_GO_SESSION, GF_GO_COUNT };

struct gf_gather {
	uint64_t boot;         /* guest that it is for; 0: for none */
	uint32_t want;
	uint32_t stride;       /* words in W from a process's word to its next */
	uint32_t bad;          /* cannot be: everyone is read by one lane */
	uint32_t n, again;
	uint32_t lines;        /* of 128 bytes that they are in, where objects begin with one: requests that a process takes */
	uint32_t off[GF_GATHER_WORDS]; /* of a word in its object */
	uint8_t of[GF_GATHER_WORDS];
	/* The second look: words of objects, what of them must be as it was, and where that is: a word of W, or enum gf_gather_kept. */
	uint32_t twice_off[GF_GATHER_AGAIN], twice_was[GF_GATHER_AGAIN];
	uint64_t mask[GF_GATHER_AGAIN];
	uint8_t twice_of[GF_GATHER_AGAIN];
	uint32_t span[GF_GO_COUNT];
	uint32_t pgrp, session, euid, egid;
	struct gf_layout l;
};

/* By row. */
struct gf_kept {
	uint64_t *va[GF_GO_COUNT];  /* as the kernel has it; the first two are struct gf_who's */
	uint64_t *at[GF_GO_COUNT];  /* mapped; 0: there is none */
	uint32_t *exec, *seq;
	uint32_t *level;            /* of its struct pid: pid namespaces that it is in, less one */
	uint32_t *pass;             /* of which this is */
};

/* ---- the list --------------------------------------------------------------- */

GF_INLINE uint32_t gf_gather_find(const struct gf_gather *g, uint32_t of, uint32_t off)
{
	uint32_t i = 0;

	while (i < g->n && (g->of[i] < of || (g->of[i] == of && g->off[i] < off)))
		i++;
	return i;
}

GF_INLINE void gf_gather_add(struct gf_gather *g, uint32_t of, uint32_t off)
{
	uint32_t at = gf_gather_find(g, of, off);

	if (at < g->n && g->of[at] == of && g->off[at] == off)
		return;
	if (g->n == GF_GATHER_WORDS) {
		g->bad = 1;
		return;
	}
	for (uint32_t i = g->n++; i > at; i--) {
		g->of[i] = g->of[i - 1];
		g->off[i] = g->off[i - 1];
	}
	g->of[at] = (uint8_t)of;
	g->off[at] = off;
	g->span[of] = GF_MAX(g->span[of], off + 8);
}

/* Where in W, in bytes from a process's first word, a word is. The one after the last, which nobody writes, is 0. */
GF_INLINE uint32_t gf_gather_at(const struct gf_gather *g, uint32_t word)
{
	return word * g->stride * 8;
}

/* size bytes at off. to NULL: listed; otherwise where they are in W. */
GF_OUTLINE void gf_gather_word(struct gf_gather *g, uint32_t of, uint32_t off, uint32_t size, uint32_t *to)
{
	if (off == GF_ABSENT) {
		if (to)
			*to = gf_gather_at(g, GF_GATHER_WORDS);
		return;
	}
	if (to) {
		*to = gf_gather_at(g, gf_gather_find(g, of, off & ~7u)) + (off & 7);
		return;
	}
	if (off > 65536 || (size <= 8 && (off & 7) + size > 8))
		g->bad = 1;
	for (uint32_t at = off & ~7u; !g->bad && at < off + size; at += 8)
		gf_gather_add(g, of, at);
}

/* Must be the same at the second look as where `was` says; 0: in W. */
GF_OUTLINE void gf_gather_twice(struct gf_gather *g, uint32_t of, uint32_t off, uint64_t mask, uint32_t was)
{
	uint32_t at = off & ~7u, k = 0;

	if (off == GF_ABSENT || g->bad)
		return;
	/* (words of a record are there already, so none is its object's first that is not) */
	was = was ? was : gf_gather_find(g, of, at);
	mask <<= (off & 7) * 8;
	while (k < g->again && (g->twice_of[k] != of || g->twice_off[k] != at || g->twice_was[k] != was))
		k++;
	if (k == GF_GATHER_AGAIN || off > 65536 || (was >= GF_GATHER_WORDS && off & 7)) {
		g->bad = 1;
		return;
	}
	if (k == g->again) {
		g->again++;
		g->twice_of[k] = (uint8_t)of;
		g->twice_off[k] = at;
		g->twice_was[k] = was;
		g->mask[k] = 0;
		g->span[of] = GF_MAX(g->span[of], at + 8);
	}
	g->mask[k] |= mask;
}

/* What gf_task_read reads of a process with one thread. put 0: listed; 1: g->l, which is o, and the like are made to lead into W. */
GF_OUTLINE void gf_gather_list(struct gf_gather *g, const struct gf_layout *o, uint32_t want, int put)
{
	const uint32_t sums = want & (GF_REC_CPU | GF_REC_SPLIT | GF_REC_FAULTS | GF_REC_IO);
	const uint32_t counts = want & (GF_REC_RSS | GF_REC_SWAP | GF_REC_PGTABLES);
	const struct gf_layout_task *t = &o->task;
	const struct gf_layout_signal *s = &o->signal;
	const struct gf_layout_mm *m = &o->mm;

#define TASK(x, size)   gf_gather_word(g, GF_GO_TASK, t->x, size, put ? &g->l.task.x : NULL)
#define SIGNAL(x, size) gf_gather_word(g, GF_GO_SIGNAL, s->x, size, put ? &g->l.signal.x : NULL)
#define MM(x, size)     gf_gather_word(g, GF_GO_MM, m->x, size, put ? &g->l.mm.x : NULL)
	TASK(flags, 4); TASK(state, 4); TASK(exit_state, 4); TASK(prio, 4); TASK(static_prio, 4); TASK(policy, 4);
	TASK(pid, 4); TASK(tgid, 4); TASK(real_parent, 8); TASK(group_leader, 8); TASK(thread_pid, 8);
	TASK(signal, 8); TASK(real_cred, 8); TASK(start_boottime, 8); TASK(comm, 16);
	SIGNAL(live, 4); SIGNAL(nr_threads, 4); SIGNAL(flags, 4); SIGNAL(oom_score_adj, 2); SIGNAL(stats_seq, 4);
	if (want & GF_REC_PGTABLES)
		TASK(vfork_done, 8);
	if (want & GF_REC_IDS) {
		SIGNAL(pgid, 8);
		SIGNAL(sid, 8);
		gf_gather_word(g, GF_GO_PGRP, o->pid.numbers + o->pid.upid_nr, 4, put ? &g->pgrp : NULL);
		gf_gather_word(g, GF_GO_SESSION, o->pid.numbers + o->pid.upid_nr, 4, put ? &g->session : NULL);
	}
	if (sums) {
		SIGNAL(sum_sched, 8); SIGNAL(utime, 8); SIGNAL(stime, 8);
	}
	if (want & GF_REC_CPU)
		TASK(sum_exec, 8);
	if (want & GF_REC_SPLIT) {
		TASK(utime, 8); TASK(stime, 8); SIGNAL(prev_utime, 8); SIGNAL(prev_stime, 8);
	}
	if (want & GF_REC_FAULTS) {
		TASK(min_flt, 8); TASK(maj_flt, 8); SIGNAL(min_flt, 8); SIGNAL(maj_flt, 8);
	}
	if (want & GF_REC_IO) {
		TASK(read_bytes, 8); TASK(write_bytes, 8); SIGNAL(read_bytes, 8); SIGNAL(write_bytes, 8);
	}
	if (want & GF_REC_VSZ)
		MM(total_vm, 8);
	if (want & GF_REC_PGTABLES) {
		MM(pgtables, 8);
		MM(flags, 8);
	}
	if (counts) {
		for (uint32_t i = 0; i < GF_RSS_PARTS && m->rss_kind != GF_RSS_NONE; i++) {
			MM(rss[i], 8);
			if (m->rss_kind == GF_RSS_PERCPU)
				MM(rss_cpu[i], 8);
		}
	}
	gf_gather_word(g, GF_GO_CRED, o->files.cred_euid, 4, put ? &g->euid : NULL);
	gf_gather_word(g, GF_GO_CRED, o->files.cred_egid, 4, put ? &g->egid : NULL);
#undef TASK
#undef SIGNAL
#undef MM
}

/* Lines of the first look, and of the second. */
GF_INLINE uint32_t gf_gather_lines(const struct gf_gather *g)
{
	uint32_t n = 0, k;

	for (uint32_t i = 0; i < g->n; i++)
		n += !i || g->of[i] != g->of[i - 1] || g->off[i] / 128 != g->off[i - 1] / 128; /* in order */
	for (uint32_t i = 0; i < g->again; i++) {
		for (k = 0; k < i && (g->twice_of[k] != g->twice_of[i] || g->twice_off[k] / 128 != g->twice_off[i] / 128); k++)
			;
		n += k == i;
	}
	return n;
}

/* Leader: for what is wanted of a guest of this layout. room: rows that W has room for. What was kept before is none of this list's. */
GF_OUTLINE void gf_gather_make(struct gf_gather *g, const struct gf_layout *o, uint64_t boot, uint32_t want, uint32_t room)
{
	const uint32_t sums = want & (GF_REC_CPU | GF_REC_SPLIT | GF_REC_FAULTS | GF_REC_IO);
	const uint32_t counts = want & (GF_REC_RSS | GF_REC_SWAP | GF_REC_PGTABLES);
	uint32_t *w;

	g->boot = boot;
	g->want = want;
	g->stride = room;
	g->n = g->again = 0;
	g->bad = o->files.cred_euid == GF_ABSENT || o->files.cred_egid == GF_ABSENT;
	for (uint32_t i = 0; i < GF_GO_COUNT; i++)
		g->span[i] = 8;
	g->l = *o;
	gf_gather_list(g, o, want, 0);
	/* What is not listed reads as 0, as what the kernel does not have. */
	w = (uint32_t *)&g->l.task;
	for (uint32_t i = 0; i < sizeof g->l.task / 4; i++)
		w[i] = gf_gather_at(g, GF_GATHER_WORDS);
	w = (uint32_t *)&g->l.signal;
	for (uint32_t i = 0; i < sizeof g->l.signal / 4; i++)
		w[i] = gf_gather_at(g, GF_GATHER_WORDS);
	g->l.mm.total_vm = g->l.mm.pgtables = g->l.mm.flags = gf_gather_at(g, GF_GATHER_WORDS);
	gf_gather_list(g, o, want, 1);
	gf_gather_twice(g, GF_GO_TASK, o->task.thread_pid, ~0ull, 0);
	gf_gather_twice(g, GF_GO_TASK, o->task.real_cred, ~0ull, 0);
	gf_gather_twice(g, GF_GO_TASK, o->task.mm, ~0ull, GF_GK_MM);
	gf_gather_twice(g, GF_GO_TASK, o->task.self_exec_id, 0xffffffffu, GF_GK_EXEC);
	if (sums)
		gf_gather_twice(g, GF_GO_SIGNAL, o->signal.stats_seq, 0xffffffffu, 0);
	for (uint32_t i = 0; i < GF_RSS_PARTS && counts && o->mm.rss_kind == GF_RSS_PERCPU; i++)
		gf_gather_twice(g, GF_GO_MM, o->mm.rss[i], ~0ull, 0);
	g->lines = gf_gather_lines(g);
}

/* ---- addresses -------------------------------------------------------------- */

/* Where an object that is fetched is mapped: aligned, whole, in the direct map or the kernel's image (the first task of all, whose children are init and
 * kthreadd): neither needs page tables, which might change. */
GF_INLINE uint64_t gf_kept_at(const struct gf_kmem *k, uint64_t va, uint32_t span)
{
	if ((!k->page_offset || va - k->page_offset >= k->direct_size) && (!k->image_end || va < k->image || va >= k->image_end))
		return 0;
	return (uint64_t)(uintptr_t)gf_obj(k, va, span);
}

/* A row's lane: where the process's objects are, for the next pass. */
GF_OUTLINE void gf_kept_set(const struct gf_gather *g, const struct gf_kept *kept, const struct gf_kmem *k, const struct gf_layout *l, uint32_t row,
			    uint64_t pid, uint64_t task, uint32_t pass)
{
	const uint8_t *p = (const uint8_t *)(uintptr_t)gf_kept_at(k, task, GF_MAX(l->task.span, g->span[GF_GO_TASK])), *sp;
	const uint8_t *pp = (const uint8_t *)(uintptr_t)gf_kept_at(k, pid, l->pid.span);
	uint64_t va[GF_GO_COUNT] = { 0 }, signal, mm, cred, parent, pgrp = 0, session = 0;
	int ids = (g->want & GF_REC_IDS) != 0, whole = 1;
	uint32_t exec, level, seq;

	kept->pass[row] = 0;
	if (!p || !pp || g->bad)
		return;
	/* Side by side; then what waits for the first. */
	signal = gf_load(p + l->task.signal, 8);
	mm = gf_load(p + l->task.mm, 8);
	cred = gf_load(p + l->task.real_cred, 8);
	parent = gf_load(p + l->task.real_parent, 8);
	exec = gf_u32(p, l->task.self_exec_id);
	level = gf_u32(pp, l->pid.level);
	sp = (const uint8_t *)(uintptr_t)gf_kept_at(k, signal, GF_MAX(l->signal.span, g->span[GF_GO_SIGNAL]));
	if (!sp)
		return;
	seq = gf_u32(sp, l->signal.stats_seq);
	if (ids) {
		pgrp = gf_load(sp + l->signal.pgid, 8);
		session = gf_load(sp + l->signal.sid, 8);
	}
	va[GF_GO_TASK] = task;
	va[GF_GO_PID] = pid;
	va[GF_GO_SIGNAL] = signal;
	va[GF_GO_MM] = mm;
	va[GF_GO_CRED] = cred;
	va[GF_GO_PARENT] = parent;
	va[GF_GO_PGRP] = pgrp;
	va[GF_GO_SESSION] = session;
	kept->exec[row] = exec;
	kept->level[row] = level;
	kept->seq[row] = seq;
	GF_ROLLED
	for (uint32_t i = 0; i < GF_GO_COUNT; i++) {
		uint32_t span = GF_MAX(g->span[i], i == GF_GO_TASK || i == GF_GO_PARENT ? l->task.span : i == GF_GO_SIGNAL ? l->signal.span :
					i == GF_GO_MM ? l->mm.span : i == GF_GO_CRED ? 8u : l->pid.span);
		uint64_t at = va[i] ? gf_kept_at(k, va[i], span) : 0;

		/* Without memory, group or session there may well be a process. */
		whole &= at || (!va[i] && (i == GF_GO_MM || i == GF_GO_PGRP || i == GF_GO_SESSION));
		kept->va[i][row] = va[i];
		kept->at[i][row] = at;
	}
	if (whole)
		kept->pass[row] = pass;
}

/* What is kept of one row becomes another's. */
GF_OUTLINE void gf_kept_copy(const struct gf_kept *kept, uint32_t to, uint32_t from)
{
	uint64_t va[GF_GO_COUNT], at[GF_GO_COUNT];
	uint32_t exec = kept->exec[from], seq = kept->seq[from], level = kept->level[from], pass = kept->pass[from];

	GF_UNROLL
	for (uint32_t i = 0; i < GF_GO_COUNT; i++) {
		va[i] = kept->va[i][from];
		at[i] = kept->at[i][from];
	}
	GF_UNROLL
	for (uint32_t i = 0; i < GF_GO_COUNT; i++) {
		kept->va[i][to] = va[i];
		kept->at[i][to] = at[i];
	}
	kept->exec[to] = exec;
	kept->seq[to] = seq;
	kept->level[to] = level;
	kept->pass[to] = pass;
}

/* ---- a process out of W ----------------------------------------------------- */

/* The second look at a row whose words are w: whether what must not have changed has not. */
GF_OUTLINE int gf_gather_same(const struct gf_gather *g, const struct gf_kept *kept, const uint64_t *words, uint32_t row)
{
	uint64_t diff = 0;

	for (uint32_t k = 0; k < g->again; k += GF_GATHER_SAME) {
		uint64_t w[GF_GATHER_SAME], was[GF_GATHER_SAME];

		GF_UNROLL
		for (uint32_t j = 0; j < GF_GATHER_SAME; j++) {
			uint32_t i = k + j < g->again ? k + j : 0, from = g->twice_was[i];

			w[j] = k + j < g->again ? kept->at[g->twice_of[i]][row] : 0;
			was[j] = !w[j] ? 0 : from == GF_GK_MM ? kept->va[GF_GO_MM][row] : from == GF_GK_EXEC ? kept->exec[row] : words[(size_t)from * g->stride];
			w[j] += w[j] ? g->twice_off[i] : 0;
		}
		GF_UNROLL
		for (uint32_t j = 0; j < GF_GATHER_SAME; j++)
			if (w[j])
				w[j] = gf_load((const uint8_t *)(uintptr_t)w[j], 8);
		GF_UNROLL
		for (uint32_t j = 0; j < GF_GATHER_SAME; j++)
			diff |= (w[j] ^ was[j]) & (k + j < g->again ? g->mask[k + j] : 0);
	}
	return !diff;
}

GF_INLINE int32_t gf_gather_nr(uint32_t nr)
{
	return nr <= GF_PID_LIMIT ? (int32_t)nr : 0;
}

/*
 * The record of the process whose words are w, read as gf_task_read reads it. c: a context for memory itself (other threads, descriptors). parent: the
 * parent's words, or none (still 0). parts: as in gf_read_rss. many: whether a process with several threads is read here. 0, or -1: it must be read by
 * one lane.
 */
GF_OUTLINE int gf_gather_read(const struct gf_gather *g, const struct gf_kept *kept, struct gf_task_ctx *c, const uint64_t *words,
			      const uint64_t *parent_words, const int64_t *parts, uint32_t row, uint64_t pid, uint64_t task, int many,
			      struct gf_task_rec *r)
{
	const uint32_t sums = GF_REC_CPU | GF_REC_SPLIT | GF_REC_FAULTS | GF_REC_IO;
	const uint32_t all = GF_REC_RSS | GF_REC_SWAP | GF_REC_PGTABLES | GF_REC_VSZ;
	const struct gf_src w = gf_src_fetched(words, g->stride);
	const struct gf_layout_task *o = &g->l.task;
	const uint8_t *mem = (const uint8_t *)(uintptr_t)kept->at[GF_GO_TASK][row];
	uint64_t sig = gf_src_load(w, o->signal, 8), mm = kept->va[GF_GO_MM][row]; /* (the second look has seen it) */
	uint32_t exec = kept->exec[row], threads = gf_s32(w, g->l.signal.nr_threads), level = kept->level[row];
	struct gf_threads t = { 0 };
	struct gf_task_rec z = { 0 };
	struct gf_around a = { 0 };

	/* Not ||: all of it is loaded at once. */
	if ((sig != kept->va[GF_GO_SIGNAL][row]) |
	    (gf_src_load(w, o->real_cred, 8) != kept->va[GF_GO_CRED][row]) | (gf_src_load(w, o->real_parent, 8) != kept->va[GF_GO_PARENT][row]) |
	    !gf_task_is_of(o, w, pid, task))
		return -1;
	/* Parent and child in one address space, and a leader that has left its threads behind: rare. Kernel threads, which have no address space, have
	 * that word set for as long as they live. */
	if ((mm && gf_s64(w, o->vfork_done)) || (!mm && threads > 1))
		return -1;
	/* These wait for memory: not here, where others would wait for them. */
	if (!many && (c->want & GF_REC_FDS || (c->want & sums && threads > 1) || level))
		return -1;
	if (c->want & GF_REC_IDS) {
		if (gf_src_load(w, g->l.signal.pgid, 8) != kept->va[GF_GO_PGRP][row] || gf_src_load(w, g->l.signal.sid, 8) != kept->va[GF_GO_SESSION][row])
			return -1;
		a.pgrp = kept->va[GF_GO_PGRP][row] ? gf_gather_nr(gf_s32(w, g->pgrp)) : 0;
		a.session = kept->va[GF_GO_SESSION][row] ? gf_gather_nr(gf_s32(w, g->session)) : 0;
	}
	a.ppid = gf_gather_nr(parent_words ? gf_s32(gf_src_fetched(parent_words, g->stride), o->tgid)
					   : gf_u32((const uint8_t *)(uintptr_t)kept->at[GF_GO_PARENT][row], c->l->task.tgid));
	a.creds = 2;
	a.euid = gf_s32(w, g->euid);
	a.egid = gf_s32(w, g->egid);
	a.first = level ? gf_pid_is_first(c, pid) : 0;
	gf_read_identity(c, &g->l, &a, w, w, &z);
	z.exec_tag = exec;
	if (c->want & sums) {
		if (threads <= 1) {
			if (gf_s32(w, g->l.signal.stats_seq) != kept->seq[row] || !gf_threads_sum_of(c, &g->l, w, sig, w, &t, &z))
				return -1;
		} else {
			struct gf_task_rec y = z; /* that z's address goes nowhere keeps it in registers where there is one thread */
			if (!gf_threads_sum(c, mem, sig, (const uint8_t *)(uintptr_t)kept->at[GF_GO_SIGNAL][row], &t, &y))
				return -1;
			z = y;
		}
	}
	if (!gf_read_no_memory(mm, &z) && c->want & all)
		gf_read_mm_of(c, &g->l.mm, w, parts, &z);
	if (c->want & GF_REC_FDS) {
		const uint8_t *holder = gf_u64(mem, c->l->task.files) || !t.holder ? mem : t.holder;
		gf_read_files(c, holder, &z);
	}
	if (z.flags & GF_REC_TORN || c->starved)
		return -1;
	/* What was read from memory itself was read after the second look. */
	if (many) {
		GF_LOAD_FENCE();
		if (!gf_task_is(&c->l->task, mem, pid, task) || gf_u32(mem, c->l->task.self_exec_id) != exec)
			return -1;
	}
	*r = z;
	return 0;
}

#endif
