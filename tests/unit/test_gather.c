// SPDX-License-Identifier: MIT
/*
 * A guest that changes while a team samples it: something happens to one process between any two calls of a pass. What is said of it must be what it was
 * before or what it is after, whole; nobody else may be lost, and two passes later all is as in memory. The argument is in gpu/gather.h.
 * SEED=N repeats a run.
 */
#define GF_TEAM 1
#define GF_WIDTH 1
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#include <stdint.h>
static void between(uint32_t job, int ended);
#define GF_SAMPLER_TIMED(job, ended) between((job), (ended))

#include "gpu/sampler.h"
#include "tests/helpers/fakelies.h"
#include "tests/unit/team.h"

#define STEP 50000000ull
#define OTHERS 70u
#define SUBJECT 5000u
#define START 7000000000ull

static GF_HD void gf_team_dispatch(struct gf_team *t, const struct gf_call *call)
{
	gf_sampler_job((struct gf_sampler *)t->mem->ctx, call, t->lane, t->lanes);
}

/* ---- one guest, one sampler --------------------------------------------------- */

enum move {
	M_EXIT, M_GROUP, M_KTHREAD, M_ZOMBIE, M_EXEC, M_EXEC_HERE, M_THREAD_EXEC, M_SAME_PID, M_SAME_TASK, M_SAME_BOTH, M_SAME_ALL, M_THREAD_ENDS, M_FOLDS,
	M_SETUID, M_MOVES
};
static const char *const names[M_MOVES] = {
	"it exits", "it exits, and its struct pid stays a group's", "a kernel thread ends", "it becomes a zombie", "it execs",
	"it execs, and its memory is where it was", "its other thread execs", "another one has its struct pid",
	"another one has its task_struct", "another one has both", "another one has all that it had", "its other thread ends", "a CPU folds its pages", "it becomes another user's"
};

/* What is to be seen of a process. */
struct seen {
	uint64_t start;
	double rss, uid, adj, cputime;
	char comm[16];
};

struct scene {
	struct fake *f;
	struct gf_sampler_guest g;
	struct gf_sampler v;
	struct gf_sample s;
	struct emu *emu; /* NULL: alone */
	void *mem;
	struct fake_task p;
	uint64_t other;  /* its second thread; 0: it has one only */
	struct seen was, is, others;
	int gone;        /* there is none now */
	int early;       /* it happened before records were made */
	enum move move;
	uint32_t fire, calls, fired; /* after so many calls of the pass it happens; calls that there were; it has */
	struct lies lies; /* fire ~0: any word is anything, between any two calls */
};

static struct scene *at_work;
static uint64_t seed;

static void look(struct seen *to, const char *comm, uint64_t start, uint32_t uid, int adj, uint32_t pages, uint64_t cputime)
{
	memset(to, 0, sizeof *to);
	snprintf(to->comm, sizeof to->comm, "%s", comm);
	to->start = start;
	to->uid = uid;
	to->adj = adj;
	to->rss = 4096.0 * pages;
	to->cputime = (double)cputime;
}

/* Pages of three kinds, of which two CPUs have -8 and 3 each: fake_mm adds 5, so that sums are what is asked for. */
static uint64_t memory(struct fake *f, uint32_t pages)
{
	const uint32_t parts[GF_RSS_PARTS] = { [GF_RSS_FILE] = 10, [GF_RSS_ANON] = pages - 20, [GF_RSS_SHMEM] = 10, [GF_RSS_SWAP] = 7 };

	return fake_mm(f, parts);
}

static uint64_t user(struct fake *f, uint32_t uid)
{
	uint64_t cred = fake_alloc(f, 64);

	w32(f, cred + f->l.files.cred_euid, uid);
	return cred;
}

static void dress(struct fake *f, uint64_t task, uint64_t signal, uint64_t mm, const struct seen *s)
{
	const struct gf_layout_task *o = &f->l.task;

	memset(fake_at(f, task + o->comm), 0, 16);
	memcpy(fake_at(f, task + o->comm), s->comm, strlen(s->comm));
	w64(f, task + o->start_boottime, s->start);
	w64(f, task + o->real_cred, user(f, (uint32_t)s->uid));
	w64(f, task + o->mm, mm);
	w16(f, signal + f->l.signal.oom_score_adj, (uint16_t)(int)s->adj);
}

/* What lies there now was somebody else's. */
static void reuse(struct fake *f, uint64_t va, uint32_t span)
{
	memset(fake_at(f, va), 0x5a, span);
}

static void scene_init(struct scene *w, uint32_t lanes, int last, int threads, int kernel)
{
	static const uint32_t some[GF_RSS_PARTS] = { 100, 200, 30, 4 };
	static const struct gf_fieldset fields = {
		GF_BIT(GF_HF_MEM_TOTAL), GF_BIT(GF_TF_RSS) | GF_BIT(GF_TF_UID) | GF_BIT(GF_TF_OOM_SCORE_ADJ) | GF_BIT(GF_TF_CPUTIME), 0, 0
	};
	struct fake *f = fake_new(8u << 20, seed, 0);
	size_t size;

	memset(w, 0, sizeof *w);
	w->f = f;
	fake_process(f, 1, "init", some);
	/* Rows are in the order of pids: the subject's words are fetched first, or last. */
	look(&w->others, "other", 0, 1000, 0, 0, 1000500);
	for (uint32_t i = 0; i < OTHERS; i++) {
		uint32_t pid = (last ? 100 : 6000) + i;
		struct fake_task g = fake_process(f, pid, "other", NULL);

		w64(f, g.task + f->l.task.mm, memory(f, 300 + i));
		w32(f, g.task + f->l.task.flags, 0);
	}
	w->p = fake_process(f, SUBJECT, "x", NULL);
	w->p.mm = kernel ? 0 : memory(f, 1111);
	w32(f, w->p.task + f->l.task.flags, kernel ? GF_PF_KTHREAD : 0);
	look(&w->was, "before", START, 11, 111, kernel ? 0 : 1111, threads ? 2000500 : 1000500);
	dress(f, w->p.task, w->p.signal, w->p.mm, &w->was);
	if (threads)
		w->other = fake_thread(f, &w->p, SUBJECT + 1, SUBJECT);
	/* Its child is another's: whose parent's words are used. */
	w64(f, fake_process(f, SUBJECT + 500, "child", NULL).task + f->l.task.real_parent, w->p.task);
	w->is = w->was;
	w->g.mem = f->k->mem;
	w->g.layout = f->l;
	w->g.boot = 1;
	size = gf_sampler_layout(&w->v, &w->s, 256, &fields, NULL);
	w->mem = aligned_alloc(128, size);
	memset(w->mem, 0xa5, size);
	gf_sampler_layout(&w->v, &w->s, 256, &fields, w->mem);
	gf_sampler_bind(&w->v, &w->s);
	w->emu = lanes ? emu_new(lanes, &w->v) : NULL;
	gf_sampler_init(&w->v, lanes ? &w->emu->lane[0].team : NULL);
}

static void scene_done(struct scene *w)
{
	if (w->emu)
		emu_free(w->emu);
	free(w->mem);
	fake_free(w->f);
}

/* ---- what may happen ----------------------------------------------------------- */

/* All of it is given back, and used for something else. */
static void leaves(struct scene *w, int tree)
{
	struct fake *f = w->f;

	if (tree)
		fake_tree_put(f, SUBJECT, 0);
	w64(f, w->p.pid + f->l.pid.tgid_first, 0);
	reuse(f, r64(f, w->p.task + f->l.task.real_cred), 64);
	reuse(f, w->p.task, f->l.task.span);
	reuse(f, w->p.signal, f->l.signal.span);
	reuse(f, w->p.mm, f->l.mm.span);
	w->gone = 1;
}

/* Unhashed; nothing has been given back yet. */
static void kthread_ends(struct scene *w)
{
	struct fake *f = w->f;

	fake_tree_put(f, SUBJECT, 0);
	w64(f, w->p.pid + f->l.pid.tgid_first, 0);
	w64(f, w->p.task + f->l.task.thread_pid, 0);
	w->gone = 1;
}

/* Its memory another process shares. */
static void dies(struct scene *w)
{
	struct fake *f = w->f;

	w64(f, w->p.task + f->l.task.mm, 0);
	w32(f, w->p.task + f->l.task.flags, GF_PF_EXITING);
	w32(f, w->p.task + f->l.task.exit_state, 0x20);
	w->is.rss = 0;
}

/* Another process of that number, at the same addresses where `pid`, `task` say so. */
static void follows(struct scene *w, int pid, int task)
{
	struct fake *f = w->f;
	struct fake_task was = w->p, is;
	uint64_t entry;

	leaves(w, 1);
	is = fake_process(f, SUBJECT, "x", NULL);
	is.mm = memory(f, 2222);
	w32(f, is.task + f->l.task.flags, 0);
	look(&w->is, "after", START + 12345, 22, 222, 2222, 1000500);
	dress(f, is.task, is.signal, is.mm, &w->is);
	if (task) {
		memcpy(fake_at(f, was.task), fake_at(f, is.task), f->l.task.span);
		reuse(f, is.task, f->l.task.span);
		is.task = was.task;
		w64(f, is.task + f->l.task.group_leader, is.task);
		fake_list(f, is.signal + f->l.signal.thread_head);
		fake_list_add(f, is.signal + f->l.signal.thread_head, is.task + f->l.task.thread_node);
	}
	entry = is.pid;
	if (pid) {
		reuse(f, is.pid, 0x90);
		entry = was.pid;
		w32(f, entry + f->l.pid.numbers, SUBJECT);
	}
	w64(f, is.task + f->l.task.thread_pid, entry);
	w64(f, entry + f->l.pid.tgid_first, is.task + f->l.task.tgid_link);
	fake_tree_put(f, SUBJECT, entry);
	is.pid = entry;
	w->p = is;
	w->gone = 0;
}

/* As de_thread() does it: the other thread becomes the leader, and has the number and the start time. */
static void other_execs(struct scene *w)
{
	struct fake *f = w->f;
	const struct gf_layout_task *o = &f->l.task;
	uint64_t task = w->other, mm = memory(f, 2222);

	look(&w->is, "after", START, 22, 111, 2222, 2000500);
	dress(f, task, w->p.signal, mm, &w->is);
	w32(f, task + o->pid, SUBJECT);
	w64(f, task + o->group_leader, task);
	w64(f, task + o->thread_pid, w->p.pid);
	w64(f, task + o->real_parent, f->init);
	w32(f, task + o->self_exec_id, 1);
	w64(f, w->p.pid + f->l.pid.tgid_first, task + o->tgid_link);
	/* The dead leader's figures are the group's. */
	fake_list(f, w->p.signal + f->l.signal.thread_head);
	fake_list_add(f, w->p.signal + f->l.signal.thread_head, task + o->thread_node);
	w32(f, w->p.signal + f->l.signal.nr_threads, 1);
	w64(f, w->p.signal + f->l.signal.sum_sched, 1000500);
	w32(f, w->p.signal + f->l.signal.stats_seq, 2);
	reuse(f, w->p.task, o->span);
	reuse(f, w->p.mm, f->l.mm.span);
	w->p.task = task;
	w->p.mm = mm;
}

static void other_ends(struct scene *w)
{
	struct fake *f = w->f;

	fake_list(f, w->p.signal + f->l.signal.thread_head);
	fake_list_add(f, w->p.signal + f->l.signal.thread_head, w->p.task + f->l.task.thread_node);
	w32(f, w->p.signal + f->l.signal.nr_threads, 1);
	w64(f, w->p.signal + f->l.signal.sum_sched, 1000500);
	w32(f, w->p.signal + f->l.signal.stats_seq, 2);
	reuse(f, w->other, f->l.task.span);
}

static void execs(struct scene *w, int here)
{
	struct fake *f = w->f;
	uint32_t pages = here ? 1111 : 2222;
	uint64_t mm = memory(f, pages);

	look(&w->is, "after", START, 22, 111, pages, 1000500);
	reuse(f, w->p.mm, f->l.mm.span);
	if (here)
		memcpy(fake_at(f, w->p.mm), fake_at(f, mm), f->l.mm.span);
	else
		w->p.mm = mm;
	dress(f, w->p.task, w->p.signal, w->p.mm, &w->is);
	w32(f, w->p.task + f->l.task.self_exec_id, 1);
}

/* Another process, each of whose objects is where the first one's was. */
static void inherits(struct scene *w)
{
	struct fake *f = w->f;
	uint64_t mm = memory(f, 2222), cred = r64(f, w->p.task + f->l.task.real_cred);

	look(&w->is, "after", START + 12345, 22, 222, 2222, 1000500);
	memcpy(fake_at(f, w->p.mm), fake_at(f, mm), f->l.mm.span);
	dress(f, w->p.task, w->p.signal, w->p.mm, &w->is);
	w64(f, w->p.task + f->l.task.real_cred, cred);
	w32(f, cred + f->l.files.cred_euid, 22);
}

/* CPU 1's parts become the words'. */
static void folds(struct scene *w)
{
	struct fake *f = w->f;
	const struct gf_layout_mm *o = &f->l.mm;

	for (uint32_t i = 0; i < GF_RSS_PARTS; i++) {
		uint8_t *part = fake_vat(f, FAKE_VMALLOC + r64(f, w->p.mm + o->rss_cpu[i]) + 4096);
		int32_t n;

		memcpy(&n, part, 4);
		w64(f, w->p.mm + o->rss[i], r64(f, w->p.mm + o->rss[i]) + (uint64_t)(int64_t)n);
		memset(part, 0, 4);
	}
}

static void happens(struct scene *w)
{
	w->fired = 1;
	switch (w->move) {
	case M_EXIT: leaves(w, 1); break;
	case M_GROUP: leaves(w, 0); break;
	case M_KTHREAD: kthread_ends(w); break;
	case M_ZOMBIE: dies(w); break;
	case M_EXEC: execs(w, 0); break;
	case M_EXEC_HERE: execs(w, 1); break;
	case M_THREAD_EXEC: other_execs(w); break;
	case M_SAME_PID: follows(w, 1, 0); break;
	case M_SAME_TASK: follows(w, 0, 1); break;
	case M_SAME_BOTH: follows(w, 1, 1); break;
	case M_SAME_ALL: inherits(w); break;
	case M_THREAD_ENDS: other_ends(w); break;
	case M_FOLDS: folds(w); break;
	default:
		w->is.uid = 33;
		reuse(w->f, r64(w->f, w->p.task + w->f->l.task.real_cred), 64);
		w64(w->f, w->p.task + w->f->l.task.real_cred, user(w->f, 33));
		break;
	}
}

static void between(uint32_t job, int ended)
{
	struct scene *w = at_work;

	if (w && !ended && job == GF_SJ_READ)
		w->early = (int)w->fired;
	if (!w || !ended)
		return;
	w->calls++;
	if (w->fire == ~0u) {
		uint8_t data[8 * 8];

		for (uint32_t i = 0; i < sizeof data; i++)
			data[i] = (uint8_t)fake_rand(w->f);
		lies_tell(w->f, &w->lies, data, 8 * (1 + fake_rand(w->f) % 8));
	} else if (w->calls == w->fire) {
		happens(w);
	}
}

/* ---- what is to be seen -------------------------------------------------------- */

static int pass(struct scene *w)
{
	int r;

	at_work = w;
	w->calls = 0;
	r = gf_sampler_run(&w->v, w->emu ? &w->emu->lane[0].team : NULL, &w->g, (w->s.seq + 1) * STEP);
	at_work = NULL;
	return r;
}

/* The row of a pid; there must be no second one. */
static uint32_t row_of(const struct scene *w, uint32_t pid)
{
	uint32_t at = GF_NONE;

	for (uint32_t row = 0; row < w->s.rows; row++) {
		if (!w->s.flags[row] || w->s.pid[row] != (int32_t)pid)
			continue;
		assert_int_equal(at, GF_NONE);
		at = row;
	}
	return at;
}

static int shows(const struct scene *w, uint32_t row, const struct seen *x)
{
	const struct gf_sample *s = &w->s;

	return s->start_ns[row] == x->start && !strcmp(s->comm[row], x->comm) && s->uid[row] == (uint32_t)x->uid && s->col[GF_TF_UID][row] == x->uid &&
	       s->col[GF_TF_RSS][row] == x->rss && s->col[GF_TF_OOM_SCORE_ADJ][row] == x->adj && s->col[GF_TF_CPUTIME][row] == x->cputime &&
	       !(s->flags[row] & GF_ROW_TORN);
}

static void check_others(struct scene *w, int last)
{
	for (uint32_t i = 0; i < OTHERS; i++) {
		uint32_t pid = (last ? 100 : 6000) + i, row = row_of(w, pid);

		assert_int_not_equal(row, GF_NONE);
		w->others.start = 1000000000ull + pid;
		w->others.rss = 4096.0 * (300 + i);
		assert_true(shows(w, row, &w->others));
	}
	assert_int_not_equal(row_of(w, 1), GF_NONE);
	assert_int_not_equal(row_of(w, SUBJECT + 500), GF_NONE);
}

/* fire: after how many calls of that pass. False: it has not so many. */
static int happening(enum move move, uint32_t lanes, int last, uint32_t at_pass, uint32_t fire)
{
	int threads = move == M_THREAD_EXEC || move == M_THREAD_ENDS;
	struct scene w;
	uint32_t row;

	scene_init(&w, lanes, last, threads, move == M_KTHREAD);
	w.move = move;
	for (uint32_t i = 0; i < at_pass; i++)
		assert_int_equal(pass(&w), 0);
	assert_true(at_pass == 0 || shows(&w, row_of(&w, SUBJECT), &w.was));
	w.fire = fire;
	if (!fire)
		happens(&w);
	assert_int_equal(pass(&w), 0);
	check_others(&w, last);
	if (!fire)
		assert_int_equal(w.v.n, 2 + OTHERS + !w.gone); /* who has gone is none of those among whom the budget is dealt out */
	if (lanes && !at_pass) /* all are newcomers, and fetched, too */
		assert_true(w.v.met >= OTHERS);
	if (lanes && at_pass > 1) /* as many as ever */
		assert_true(w.v.fetched >= OTHERS);
	row = row_of(&w, SUBJECT);
	if (row == GF_NONE ? !w.gone && move != M_SAME_TASK : !shows(&w, row, &w.was) && !(w.fired && !w.gone && shows(&w, row, &w.is)))
		fail_msg("SEED=%llu: %u lanes: %s after call %u of pass %u: %s", (unsigned long long)seed, lanes, names[move], fire, at_pass,
			 row == GF_NONE ? "lost" : "neither what it was nor what it is");
	/* Before there were records: the second look has seen it, but for what it does not look at, which is as of when it was fetched. */
	if (w.early && (!fire || (move != M_SETUID && move != M_SAME_ALL)) &&
	    (row == GF_NONE ? !w.gone && move != M_SAME_TASK : !shows(&w, row, &w.is) || w.gone))
		fail_msg("SEED=%llu: %u lanes: %s after call %u of pass %u: not seen", (unsigned long long)seed, lanes, names[move], fire, at_pass);
	w.fire = 0;
	for (uint32_t i = 0; i < 2; i++) {
		assert_int_equal(pass(&w), 0);
		check_others(&w, last);
		row = row_of(&w, SUBJECT);
		assert_true(w.fired && w.gone ? row == GF_NONE : row != GF_NONE && shows(&w, row, w.fired ? &w.is : &w.was));
	}
	scene_done(&w);
	return (int)w.fired;
}

static void every(enum move move)
{
	static const uint32_t lanes[] = { 0, 1, 3 }, passes[] = { 0, 1, 3 };
	uint32_t moments = 0;

	for (uint32_t i = 0; i < 3; i++)
		for (uint32_t k = 0; k < 3; k++)
			for (int last = 0; last < 2; last++)
				for (uint32_t fire = 0; happening(move, lanes[i], last, passes[k], fire); fire++)
					moments++;
	print_message("# %s: at %u moments\n", names[move], moments);
	assert_true(moments > 60);
}

static void test_exit(void **state) { (void)state; every(M_EXIT); every(M_GROUP); every(M_KTHREAD); every(M_ZOMBIE); }
static void test_exec(void **state) { (void)state; every(M_EXEC); every(M_EXEC_HERE); every(M_SETUID); }
static void test_thread(void **state) { (void)state; every(M_THREAD_EXEC); every(M_THREAD_ENDS); }
static void test_replaced(void **state) { (void)state; every(M_SAME_PID); every(M_SAME_TASK); every(M_SAME_BOTH); every(M_SAME_ALL); }
static void test_pages(void **state) { (void)state; every(M_FOLDS); }

/* Who was there at the last pass is not looked for by his struct pid; who was not, is. */
static void test_unread(void **state)
{
	for (uint32_t lanes = 0; lanes < 4; lanes += 3) {
		struct scene w;
		uint64_t link;

		scene_init(&w, lanes, 1, 0, 0);
		link = w.p.pid + w.f->l.pid.tgid_first;
		for (int i = 0; i < 2; i++)
			assert_int_equal(pass(&w), 0);
		w64(w.f, link, 0);
		assert_int_equal(pass(&w), 0);
		assert_true(shows(&w, row_of(&w, SUBJECT), &w.was));
		w64(w.f, w.p.task + w.f->l.task.start_boottime, START + 1); /* another one */
		assert_int_equal(pass(&w), 0);
		assert_int_equal(row_of(&w, SUBJECT), GF_NONE);
		check_others(&w, 1);
		w64(w.f, link, w.p.task + w.f->l.task.tgid_link);
		w.was.start++;
		assert_int_equal(pass(&w), 0);
		assert_true(shows(&w, row_of(&w, SUBJECT), &w.was));
		scene_done(&w);
	}
	(void)state;
}

/* Newcomers are fetched while there are spare rows; those for whom there is none are read by a lane. What is kept of either is good for the next pass. */
static void newcomers(uint32_t lanes)
{
	uint32_t n = 3 + OTHERS, of_all = 0, met = 0;
	struct scene w;

	scene_init(&w, lanes, 1, 0, 0);
	assert_int_equal(pass(&w), 0);
	for (uint32_t round = 0; round < 5; round++) {
		uint32_t room = (256 - w.s.rows) / 2 / 4 * 4;

		for (uint32_t i = 0; i < 36 + 2 * round; i++) {
			uint32_t pid = 10000 + of_all++;
			struct fake_task g = fake_process(w.f, pid, "other", NULL);

			w64(w.f, g.task + w.f->l.task.mm, memory(w.f, 300 + pid));
			w32(w.f, g.task + w.f->l.task.flags, 0);
		}
		assert_int_equal(pass(&w), 0);
		if (lanes)
			assert_int_equal(w.v.met, GF_MIN(36 + 2 * round, room));
		met += w.v.met < 36 + 2 * round;
		for (uint32_t again = 0; again < 2; again++) {
			check_others(&w, 1);
			for (uint32_t i = 0; i < GF_MIN(of_all, 256 - n); i++) {
				struct seen x;
				uint32_t pid = 10000 + i;

				look(&x, "other", 1000000000ull + pid, 1000, 0, 300 + pid, 1000500);
				assert_true(shows(&w, row_of(&w, pid), &x));
			}
			assert_int_equal(pass(&w), 0);
			if (lanes)
				assert_int_equal(w.v.fetched, w.v.n);
		}
	}
	assert_true(met > 0); /* there was no room for all */
	scene_done(&w);
}

static void test_newcomers(void **state)
{
	(void)state;
	newcomers(0);
	newcomers(1);
	newcomers(3);
}

/* Between any two calls any words are anything; then they are what they were. */
static void test_wild(void **state)
{
	struct scene w;
	uint64_t used;
	uint8_t *saved;

	scene_init(&w, 3, 1, 1, 0);
	assert_int_equal(pass(&w), 0);
	used = w.f->next;
	saved = malloc(used);
	memcpy(saved, w.f->ram, used);
	for (uint32_t i = 0; i < 400; i++) {
		w.fire = ~0u;
		pass(&w);
		if (i % 3)
			continue;
		memcpy(w.f->ram, saved, used);
		w.fire = 0;
		for (uint32_t k = 0; k < 2; k++) {
			assert_int_equal(pass(&w), 0);
			check_others(&w, 1);
			assert_true(shows(&w, row_of(&w, SUBJECT), &w.was));
		}
	}
	free(saved);
	scene_done(&w);
	(void)state;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_exit), cmocka_unit_test(test_exec), cmocka_unit_test(test_thread), cmocka_unit_test(test_replaced),
		cmocka_unit_test(test_pages), cmocka_unit_test(test_unread), cmocka_unit_test(test_newcomers), cmocka_unit_test(test_wild),
	};
	const char *s = getenv("SEED");

	seed = s ? strtoull(s, NULL, 10) : (uint64_t)time(NULL) * 1000 + (uint64_t)getpid() % 1000;
	printf("# SEED=%llu\n", (unsigned long long)seed);
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
