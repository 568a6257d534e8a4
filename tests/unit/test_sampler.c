// SPDX-License-Identifier: MIT
/*
 * A guest's sampler by teams of lanes: what they make of memory is what the CPU's one lane makes of it, bit for bit.
 * SEED=N repeats a run, ROUNDS=N makes it longer.
 */
#define GF_TEAM 1
#define GF_WIDTH 1
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "gpu/sampler.h"
#include "targets/ramfile.h"
#include "targets/vm_int.h"
#include "tests/helpers/fakelies.h"

#define STEP 50000000ull
#define TEAMS 3
#define SIMS (TEAMS + 1)

/* ---- teams ------------------------------------------------------------------ */

struct crew {
	struct gf_team_mem mem;
	pthread_barrier_t barrier;
	struct gf_team team[8];
	pthread_t thread[8];
};

static GF_HD void gf_team_dispatch(struct gf_team *t, const struct gf_call *call)
{
	gf_sampler_job((struct gf_sampler *)t->mem->ctx, call, t->lane, t->lanes);
}

static void *serve(void *arg)
{
	gf_team_serve(arg);
	return NULL;
}

static struct crew *crew_new(uint32_t lanes, void *ctx)
{
	struct crew *c = calloc(1, sizeof *c);

	c->mem = (struct gf_team_mem){ .lanes = lanes, .blocks = 1, .host_barrier = &c->barrier, .ctx = ctx };
	assert_int_equal(pthread_barrier_init(&c->barrier, NULL, lanes), 0);
	for (uint32_t i = 0; i < lanes; i++) {
		c->team[i] = (struct gf_team){ .mem = &c->mem, .lane = i, .lanes = lanes };
		if (i)
			assert_int_equal(pthread_create(&c->thread[i], NULL, serve, &c->team[i]), 0);
	}
	return c;
}

static void crew_free(struct crew *c)
{
	if (!c)
		return;
	gf_team_call(&c->team[0], 0, 0, 0, 0);
	for (uint32_t i = 1; i < c->mem.lanes; i++)
		pthread_join(c->thread[i], NULL);
	pthread_barrier_destroy(&c->barrier);
	free(c);
}

/* ---- samplers side by side -------------------------------------------------- */

struct sim {
	struct gf_sampler v;
	struct gf_sample s;
	struct crew *crew; /* NULL: alone */
	void *mem;
	uint32_t *ver;     /* of strings in the last sample */
};

struct bench {
	struct fake *f;
	struct gf_sampler_guest g;
	struct gf_vm *vm;  /* the library's own, which is compiled for one lane */
	uint32_t *ver;
	struct sim sim[SIMS];
};

static const uint32_t lanes_of[SIMS] = { 0, 1, 3, 8 };
static const struct gf_target_ops ops = {
	.kind = "vm", .sample = gf_vm_sample, .set_fields = gf_vm_set_fields, .set_paths = gf_vm_set_paths,
	.describe = gf_vm_describe, .destroy = gf_vm_unmake,
};
static const struct gf_fieldset all = { ~0ull >> (64 - GF_HF_COUNT), ~0ull >> (64 - GF_TF_COUNT), (1u << GF_SF_COUNT) - 1, 0 };
static uint64_t seed;
static uint32_t rounds;

static void publish(struct bench *b)
{
	gf_vm_publish(b->vm, fake_guest(b->f));
	gf_vm_reap(b->vm);
	b->g.mem = b->f->k->mem;
	b->g.layout = b->f->l;
	b->g.boot++;
	b->g.still = 1;
}

static void bench_init(struct bench *b, struct fake *f, uint32_t cap, const struct gf_fieldset *fields)
{
	struct gf_fieldset plain = *fields;
	struct gf_err err = { "" };

	memset(b, 0, sizeof *b);
	b->f = f;
	plain.paths = 0;
	assert_int_equal(gf_vm_make(&(struct gf_vm_opts){ .name = "g", .max_tasks = cap }, &ops, &b->vm, &err), 0);
	b->vm->image = true;
	b->vm->step_ns = STEP;
	publish(b);
	assert_int_equal(gf_target_set_fields(&b->vm->t, &plain, &err), 0);
	b->ver = calloc(b->vm->t.sample.cap * GF_SF_COUNT, sizeof *b->ver);
	for (uint32_t i = 0; i < SIMS; i++) {
		struct sim *s = &b->sim[i];
		size_t size = gf_sampler_layout(&s->v, &s->s, cap, fields, NULL);

		s->mem = aligned_alloc(128, size);
		memset(s->mem, 0xa5, size);
		assert_int_equal(gf_sampler_layout(&s->v, &s->s, cap, fields, s->mem), size);
		gf_sampler_bind(&s->v, &s->s);
		/* As the CPU has it, or all at once. */
		s->v.recs = i == 1 ? 32 : s->v.recs;
		s->crew = lanes_of[i] ? crew_new(lanes_of[i], &s->v) : NULL;
		s->ver = calloc(s->s.cap * GF_SF_COUNT, sizeof *s->ver);
		gf_sampler_init(&s->v, s->crew ? s->crew->team : NULL);
	}
}

static void bench_done(struct bench *b)
{
	gf_target_destroy(&b->vm->t);
	free(b->ver);
	for (uint32_t i = 0; i < SIMS; i++) {
		crew_free(b->sim[i].crew);
		free(b->sim[i].mem);
		free(b->sim[i].ver);
	}
}

#define SAME(what) \
	do { \
		if (!(what)) \
			fail_msg("SEED=%llu: %u lanes, tick %llu, row %u, field %u: not %s", (unsigned long long)seed, lanes, \
				 (unsigned long long)x->seq, row, field, #what); \
	} while (0)

static void compare_strings(const struct gf_sample *x, const struct gf_sample *y, uint32_t *xver, uint32_t *yver, uint32_t lanes)
{
	for (uint32_t field = 0; field < GF_SF_COUNT; field++)
		for (uint32_t row = 0; x->str[field] && row < x->cap; row++) {
			const struct gf_strref *a = &x->str[field][row], *b = &y->str[field][row];
			uint32_t *av = &xver[row * GF_SF_COUNT + field], *bv = &yver[row * GF_SF_COUNT + field];

			SAME(!a->ver == !b->ver);
			SAME(a->len == b->len);
			SAME(!a->ver || !memcmp(a->p, b->p, a->len));
			/* Numbers are theirs, but they change together. */
			SAME((a->ver == *av) == (b->ver == *bv));
			*bv = b->ver;
		}
}

static void compare(const struct gf_sample *x, const struct gf_sample *y, uint32_t *xver, uint32_t *yver, uint32_t lanes)
{
	uint32_t row = 0, field = 0;

	SAME(x->now_ns == y->now_ns);
	SAME(x->seq == y->seq);
	SAME(x->epoch == y->epoch);
	SAME(x->rows == y->rows);
	SAME(x->live == y->live);
	SAME(x->dropped == y->dropped);
	for (field = 0; field < GF_HF_COUNT; field++)
		SAME(!memcmp(&x->host[field], &y->host[field], 8) || (gf_is_unknown(x->host[field]) && gf_is_unknown(y->host[field])));
	for (row = 0; row < x->cap; row++) {
		SAME(x->flags[row] == y->flags[row]);
		SAME(x->gen[row] == y->gen[row]);
		SAME(x->pid[row] == y->pid[row]);
		SAME(x->start_ns[row] == y->start_ns[row]);
		if (row >= x->rows)
			continue;
		SAME(x->parent[row] == y->parent[row]);
		SAME(x->uid[row] == y->uid[row]);
		SAME(!memcmp(x->comm[row], y->comm[row], GF_COMM_LEN));
		for (field = 0; field < GF_COLS; field++)
			SAME(!x->col[field] || !y->col[field] || !memcmp(&x->col[field][row], &y->col[field][row], 8));
	}
	compare_strings(x, y, xver, yver, lanes);
}

static void remember(const struct gf_sample *x, uint32_t *ver)
{
	for (uint32_t field = 0; field < GF_SF_COUNT; field++)
		for (uint32_t row = 0; x->str[field] && row < x->cap; row++)
			ver[row * GF_SF_COUNT + field] = x->str[field][row].ver;
}

/* One sample by each; what the library's said of it. with_vm false: they are to be compared with each other only. */
static int tick(struct bench *b, bool with_vm)
{
	struct gf_err err = { "" };
	int r = gf_target_sample(&b->vm->t, &err), first = r;

	for (uint32_t i = 0; i < SIMS; i++) {
		struct sim *s = &b->sim[i];
		int got = gf_sampler_run(&s->v, s->crew ? s->crew->team : NULL, &b->g, (s->s.seq + 1) * STEP);

		if (!i && !with_vm)
			first = got;
		assert_int_equal(got, first);
		if (with_vm)
			compare(&b->vm->t.sample, &s->s, b->ver, s->ver, lanes_of[i]);
		else if (i)
			compare(&b->sim[0].s, &s->s, b->sim[0].ver, s->ver, lanes_of[i]);
	}
	remember(&b->vm->t.sample, b->ver);
	if (!with_vm)
		remember(&b->sim[0].s, b->sim[0].ver);
	return first;
}

/* ---- a machine that lives --------------------------------------------------- */

#define ALIVE 400u

struct proc {
	struct fake_task g;
	uint32_t pid;
};

struct life {
	struct fake *f;
	struct proc p[ALIVE];
	uint32_t n;
	uint64_t boot_ns;
	uint64_t cgroup[4], exe[3];
};

static uint32_t pick(struct life *w, uint32_t n)
{
	return (uint32_t)(fake_rand(w->f) % n);
}

/* Per-CPU variables, and what host fields are read from. */
static void furnish(struct fake *f)
{
	struct gf_layout_host *o = &f->l.host;

	fake_vpage(f);
	fake_vpage(f);
	o->cpustat = 64;
	o->runqueues = 256;
	o->tick_sched = 512;
	o->vm_events = 768;
	for (uint32_t i = 0; i < GF_CS_COUNT; i++)
		o->cs[i] = 8 * i;
	for (uint32_t i = 0; i < GF_VME_COUNT; i++)
		o->vme[i] = 8 * i;
	o->rq_running = 0;
	o->rq_iowait = 4;
	o->rq_curr = 8;
	o->rq_idle = 16;
	o->ts_iowait = 0;
	o->ts_entry = 8;
	f->percpu = 2048;
	o->avenrun = fake_alloc(f, 64);
	o->nr_threads = fake_alloc(f, 64);
	o->total_forks = fake_alloc(f, 64);
	o->nr_swap = fake_alloc(f, 64);
	o->zone_stat = fake_alloc(f, 512);
	o->node_stat = fake_alloc(f, 512);
	o->totalreserve = fake_alloc(f, 64);
	o->free_pages = 0;
	for (uint32_t i = 0; i < GF_NS_COUNT; i++)
		o->ns[i] = i + 3;
	o->contig_page_data = fake_alloc(f, 1024);
	o->zones_off = 64;
	o->zones = 2;
	o->zone_size = 128;
	o->zone_wmark_low = 8;
	o->zone_boost = 32;
	o->psi = fake_alloc(f, 512);
	o->psi_updated = 400;
	for (uint32_t i = 0; i < GF_PSI_STATES; i++)
		o->psi_avg[i] = 24 * i;
}

static void weather(struct life *w)
{
	struct fake *f = w->f;
	const struct gf_layout_host *o = &f->l.host;

	w->boot_ns += pick(w, 4) * 30000000ull;
	fake_clock(f, w->boot_ns);
	for (uint32_t c = 0; c < FAKE_CPUS; c++)
		for (uint32_t at = 64; at < 1024; at += 8) {
			uint64_t v = at >= o->runqueues && at < o->tick_sched ? fake_rand(f) % 3 : fake_rand(f) % 1000000;
			memcpy(fake_vat(f, FAKE_VMALLOC + c * 4096 + at), &v, 8);
		}
	for (uint32_t i = 0; i < 3; i++)
		w64(f, o->avenrun + 8 * i, fake_rand(f) % 100000);
	w64(f, o->nr_threads, fake_rand(f) % 1000);
	w64(f, o->total_forks, fake_rand(f) % 100000);
	w64(f, o->nr_swap, fake_rand(f) % 100000);
	for (uint32_t i = 0; i < 64; i++) {
		w64(f, o->zone_stat + 8 * i, fake_rand(f) % 1000000);
		w64(f, o->node_stat + 8 * i, fake_rand(f) % 100000);
		w64(f, o->contig_page_data + 8 * i, fake_rand(f) % 1000);
		w64(f, o->psi + 8 * i, fake_rand(f) % 60000);
	}
}

/* Few long ones: where there is no room for all, whose is unknown depends on who comes first. */
static uint64_t one_of(struct life *w, const uint64_t *p, uint32_t n)
{
	return p[pick(w, 12) ? pick(w, n - 1) : n - 1];
}

static void dress(struct life *w, struct fake_task *g)
{
	struct fake *f = w->f;
	char args[200];

	w64(f, g->task + f->l.task.cgroups, one_of(w, w->cgroup, 4));
	if (!g->mm)
		return;
	w64(f, g->mm + f->l.mm.exe_file, one_of(w, w->exe, 3));
	if (pick(w, 4))
		return;
	for (uint32_t i = 0; i < sizeof args; i++)
		args[i] = (char)(pick(w, 9) ? 'a' + pick(w, 26) : 0);
	w64(f, g->mm + f->l.mm.pgd, fake_user(f, args, sizeof args));
	w64(f, g->mm + f->l.mm.arg_start, 4u << 20);
	w64(f, g->mm + f->l.mm.arg_end, (4u << 20) + 1 + pick(w, sizeof args));
}

static void born(struct life *w)
{
	struct fake *f = w->f;
	uint32_t pages[GF_RSS_PARTS] = { pick(w, 1000), pick(w, 1000), pick(w, 100), pick(w, 50) }, pid;
	char name[16];

	do {
		pid = 3 + (pick(w, 2) ? pick(w, 600) : pick(w, GF_PID_LIMIT - 4));
		for (uint32_t i = 0; i < w->n; i++)
			if (w->p[i].pid == pid)
				pid = 0;
	} while (!pid);
	snprintf(name, sizeof name, "p%u", pick(w, 50));
	struct proc *p = &w->p[w->n++];
	p->pid = pid;
	p->g = fake_process(f, pid, name, pick(w, 6) ? pages : NULL);
	w64(f, p->g.task + f->l.task.start_boottime, w->boot_ns - pick(w, 3) * 1000000ull);
	w64(f, p->g.task + f->l.task.real_parent, w->p[pick(w, w->n)].g.task);
	for (uint32_t i = pick(w, 8) ? 0 : pick(w, 12); i; i--)
		fake_thread(f, &p->g, GF_PID_LIMIT - i, pid);
	dress(w, &p->g);
}

static void died(struct life *w, uint32_t i)
{
	struct fake *f = w->f;

	fake_tree_put(f, w->p[i].pid, 0);
	w64(f, w->p[i].g.pid + f->l.pid.tgid_first, 0);
	w64(f, w->p[i].g.task + f->l.task.thread_pid, 0);
	for (uint32_t j = 0; j < w->n; j++)
		if (r64(f, w->p[j].g.task + f->l.task.real_parent) == w->p[i].g.task)
			w64(f, w->p[j].g.task + f->l.task.real_parent, w->p[0].g.task);
	w->p[i] = w->p[--w->n];
}

static void changed(struct life *w, struct proc *p)
{
	struct fake *f = w->f;
	const struct gf_layout_task *o = &f->l.task;

	switch (pick(w, 8)) {
	case 0: /* exec */
		w32(f, p->g.task + o->self_exec_id, 2 + pick(w, 1000));
		memset(fake_at(f, p->g.task + o->comm), 0, 16);
		memcpy(fake_at(f, p->g.task + o->comm), "executed", 1 + pick(w, 8));
		dress(w, &p->g);
		break;
	case 1: w64(f, p->g.task + o->cgroups, one_of(w, w->cgroup, 4)); break;
	case 2: w64(f, p->g.task + o->sum_exec, r64(f, p->g.task + o->sum_exec) + fake_rand(f) % 100000000); break;
	case 3: w64(f, p->g.task + (pick(w, 2) ? o->utime : o->stime), fake_rand(f) % 100000000); break;
	case 4: w32(f, p->g.task + o->state, 1u << pick(w, 8)); break;
	case 5: /* a zombie, or leaving */
		w32(f, p->g.task + o->flags, GF_PF_EXITING);
		w32(f, p->g.task + o->exit_state, pick(w, 2) ? 0x20 : 0);
		w64(f, p->g.task + o->mm, 0);
		break;
	case 6: w16(f, p->g.signal + f->l.signal.oom_score_adj, (uint16_t)(pick(w, 2001) - 1000)); break;
	default:
		if (p->g.mm)
			for (uint32_t i = 0; i < GF_RSS_PARTS; i++)
				w64(f, p->g.mm + f->l.mm.rss[i], fake_rand(f) % 100000);
	}
}

static void life_init(struct life *w, uint64_t s)
{
	static const uint32_t some[GF_RSS_PARTS] = { 100, 200, 30, 4 };
	struct fake *f = fake_new(96u << 20, s, 0);
	const struct gf_layout_path *o = &f->l.path;
	char deep[200] = "";
	uint64_t kn = f->root_kn;

	memset(w, 0, sizeof *w);
	w->f = f;
	w->boot_ns = 5000000000000ull;
	furnish(f);
	w->p[w->n++] = (struct proc){ fake_process(f, 1, "init", some), 1 };
	fake_process(f, 2, "kthreadd", NULL);
	/* Paths of some bytes, of more than a row's own slot has, and of very many. */
	memset(deep, 'd', sizeof deep - 1);
	for (uint32_t i = 0; i < 4; i++) {
		w->cgroup[i] = fake_css(f, kn);
		kn = fake_kernfs(f, kn, i == 0 ? "system.slice" : i == 1 ? "ssh.service" : deep);
	}
	for (uint32_t i = 0; i < 3; i++) {
		w->exe[i] = fake_alloc(f, 0x80);
		w64(f, w->exe[i] + o->file_path + o->path_mnt, f->mount + o->mount_vfs);
		w64(f, w->exe[i] + o->file_path + o->path_dentry, fake_dentry(f, f->root_dentry, i == 0 ? "bin" : i == 1 ? "x" : deep));
	}
}

static void live(struct life *w)
{
	weather(w);
	for (uint32_t k = pick(w, 3) ? pick(w, 6) : pick(w, 120); k && w->n < ALIVE; k--)
		born(w);
	for (uint32_t k = pick(w, 4) ? pick(w, 6) : pick(w, w->n); k && w->n > 1; k--)
		died(w, 1 + pick(w, w->n - 1));
	for (uint32_t k = pick(w, 20); k; k--)
		changed(w, &w->p[pick(w, w->n)]);
}

/* ---- tests ------------------------------------------------------------------ */

static void one_life(uint32_t cap, const struct gf_fieldset *fields, uint32_t ticks, uint32_t budget)
{
	struct life w;
	struct bench b;
	uint32_t seen = 0, fetched = 0;

	life_init(&w, seed);
	bench_init(&b, w.f, cap, fields);
	b.g.paths = fields->paths;
	for (uint32_t i = 0; i < fields->paths; i++)
		b.g.kpath[i] = (struct gf_kpath){ .hop = { w.f->l.task.mm }, .hops = i % 2, .off = 8 * i, .size = 8 };
	for (uint32_t i = 0; budget && i < SIMS; i++)
		b.sim[i].v.budget = budget;
	for (uint32_t i = 0; i < ticks; i++) {
		live(&w);
		if (i % 13 == 12) {
			for (uint32_t k = 0; k < 2; k++) /* nobody comes or goes: rows need not be looked through */
				assert_int_equal(tick(&b, !budget), 0);
			publish(&b); /* rebooted: the same processes, yet others */
		}
		if (i % 17 == 16) {
			for (uint32_t k = 0; k < SIMS; k++)
				gf_sampler_stale(&b.sim[k].v, b.sim[k].crew ? b.sim[k].crew->team : NULL, 1);
			atomic_store(&b.vm->paused, true);
			gf_target_sample(&b.vm->t, NULL);
			atomic_store(&b.vm->paused, false);
			for (uint32_t k = 0; k < SIMS; k++)
				compare(&b.vm->t.sample, &b.sim[k].s, b.ver, b.sim[k].ver, lanes_of[k]);
		}
		assert_int_equal(tick(&b, !budget), 0);
		seen += b.sim[0].s.live;
		assert_int_equal(b.sim[2].v.fetched, b.sim[3].v.fetched);
		fetched += b.sim[3].v.fetched;
	}
	assert_true(seen > ticks);
	/* Most by words that were fetched together. */
	if (!budget)
		assert_true(fetched > seen / 3);
	bench_done(&b);
	fake_free(w.f);
}

static void run_life(uint32_t cap, const struct gf_fieldset *fields, uint32_t ticks, uint32_t budget)
{
	for (uint32_t i = 0; i < rounds; i++, seed++)
		one_life(cap, fields, ticks, budget);
}

static void test_lives(void **state)
{
	run_life(1024, &all, 40, 0);
	(void)state;
}

/* More processes than rows. */
static void test_full_table(void **state)
{
	run_life(128, &all, 40, 0);
	(void)state;
}

static void test_few_fields(void **state)
{
	const struct gf_fieldset few = { GF_BIT(GF_HF_MEM_AVAILABLE), GF_BIT(GF_TF_RSS) | GF_BIT(GF_TF_AGE), 1u << GF_SF_CGROUP, 3 };

	run_life(512, &few, 20, 0);
	(void)state;
}

/* Threads cost more than is to be had. */
static void test_starved(void **state)
{
	const struct gf_fieldset f = { all.host, all.task, all.str, 2 };

	run_life(1024, &f, 20, 900);
	(void)state;
}

/* One process at several places of the tree, and two of one name. */
static void test_twice(void **state)
{
	static const uint32_t some[GF_RSS_PARTS] = { 100, 200, 30, 4 };
	struct fake *f = fake_new(8u << 20, seed, 0);
	struct fake_task g, h, c;
	struct bench b;

	fake_process(f, 1, "init", some);
	g = fake_process(f, 9, "one", some);
	h = fake_process(f, 10, "other", some);
	bench_init(&b, f, 128, &all);
	assert_int_equal(tick(&b, true), 0);
	fake_tree_put(f, 300, g.pid);
	fake_tree_put(f, 301, fake_process(f, 302, "new", some).pid);
	assert_int_equal(tick(&b, true), 0);
	assert_int_equal(b.sim[3].s.live, 4);
	w32(f, h.task + f->l.task.pid, 9);
	w32(f, h.task + f->l.task.tgid, 9);
	w64(f, h.task + f->l.task.start_boottime, r64(f, g.task + f->l.task.start_boottime));
	for (int i = 0; i < 3; i++)
		assert_int_equal(tick(&b, true), 0);
	assert_int_equal(b.sim[3].s.live, 3);
	/* Nor does one take another's row that comes before it in the tree. */
	c = fake_process(f, 5, "claims", some);
	w32(f, c.task + f->l.task.pid, 9);
	w32(f, c.task + f->l.task.tgid, 9);
	w64(f, c.task + f->l.task.start_boottime, r64(f, g.task + f->l.task.start_boottime));
	for (int i = 0; i < 3; i++) {
		assert_int_equal(tick(&b, true), 0);
		assert_int_equal(b.sim[3].s.live, 3);
		for (uint32_t row = 0; row < b.sim[3].s.rows; row++)
			assert_true(b.sim[3].s.pid[row] != 9 || !strcmp(b.sim[3].s.comm[row], "one"));
	}
	bench_done(&b);
	fake_free(f);
	(void)state;
}

/* The command line of `pid`, of each of the samplers, which agree. */
static const struct gf_strref *cmdline_of(struct bench *b, int32_t pid)
{
	const struct gf_sample *s = &b->sim[SIMS - 1].s;

	for (uint32_t row = 0; row < s->rows; row++)
		if (s->pid[row] == pid)
			return &s->str[GF_SF_CMDLINE][row];
	fail_msg("no row of %d", pid);
	return NULL;
}

/* In the middle of an exec there is new memory without arguments: that is no command line. Who has none for good is believed after a while. */
static void test_half_exec(void **state)
{
	static const uint32_t some[GF_RSS_PARTS] = { 100, 200, 30, 4 };
	struct fake *f = fake_new(8u << 20, seed, 0);
	const uint32_t second = (uint32_t)(GF_STR_RETRY_NS / STEP) + 2;
	struct fake_task g;
	struct bench b;
	uint32_t n;

	fake_process(f, 1, "init", some);
	for (uint32_t pid = 9; pid < 11; pid++) {
		g = fake_process(f, pid, "execs", some);
		w64(f, g.mm + f->l.mm.pgd, fake_user(f, "sshd\0-D", 8));
		w64(f, g.mm + f->l.mm.arg_start, 4u << 20);
		w64(f, g.mm + f->l.mm.arg_end, 4u << 20);
	}
	bench_init(&b, f, 128, &all);
	for (n = 0; n < second; n++) {
		assert_int_equal(tick(&b, true), 0);
		assert_int_equal(cmdline_of(&b, 10)->ver, 0);
	}
	w64(f, g.mm + f->l.mm.arg_end, (4u << 20) + 8); /* it goes on */
	for (n = 0; n < second; n++)
		assert_int_equal(tick(&b, true), 0);
	assert_true(cmdline_of(&b, 10)->ver);
	assert_memory_equal(cmdline_of(&b, 10)->p, "sshd -D", 7);
	assert_int_equal(cmdline_of(&b, 9)->ver, 0);
	for (n = 0; n < GF_STR_RETRIES * second && !cmdline_of(&b, 9)->ver; n++)
		assert_int_equal(tick(&b, true), 0);
	assert_true(cmdline_of(&b, 9)->ver);
	assert_int_equal(cmdline_of(&b, 9)->len, 0);
	assert_true(n > (GF_STR_RETRIES - 3) * (second - 2));
	bench_done(&b);
	fake_free(f);
	(void)state;
}

/* Any word of memory may be anything. */
static void test_wild(void **state)
{
	struct fake *f = lies_kernel();
	uint64_t used = f->next;
	uint8_t *saved = malloc(used), data[8 * 64];
	struct lies lies;
	struct bench b;

	f->seed = seed;
	memcpy(saved, f->ram, used);
	bench_init(&b, f, 128, &all);
	for (uint32_t round = 0; round < 60 * rounds; round++) {
		uint32_t n = 1u << fake_rand(f) % 7;

		for (uint32_t i = 0; i < n * 8; i++)
			data[i] = (uint8_t)fake_rand(f);
		lies_tell(f, &lies, data, n * 8);
		tick(&b, true);
		if (round % 3 == 2)
			memcpy(f->ram, saved, used);
	}
	memcpy(f->ram, saved, used);
	assert_int_equal(tick(&b, true), 0);
	assert_int_equal(b.sim[2].s.live, 42);
	free(saved);
	bench_done(&b);
	fake_free(f);
	(void)state;
}

/* What the fuzzer has kept. */
static void test_corpus(void **state)
{
	struct fake *f = lies_kernel();
	DIR *d = opendir("tests/fuzz/corpus/tasks");
	struct dirent *e;
	struct bench b;
	uint32_t files = 0;

	if (!d)
		skip();
	bench_init(&b, f, 128, &all);
	while ((e = readdir(d)) && files < 40) {
		char path[400];
		uint8_t data[8 * LIES];
		struct lies lies;
		FILE *in;

		snprintf(path, sizeof path, "tests/fuzz/corpus/tasks/%s", e->d_name);
		if (e->d_name[0] == '.' || !(in = fopen(path, "r")))
			continue;
		files++;
		lies_tell(f, &lies, data, fread(data, 1, sizeof data, in));
		fclose(in);
		tick(&b, true);
		lies_undo(f, &lies);
	}
	closedir(d);
	assert_int_equal(tick(&b, true), 0);
	assert_int_equal(b.sim[2].s.live, 42);
	bench_done(&b);
	fake_free(f);
	(void)state;
}

/* Strings of which there is no room for all: some are unknown, none is another's, and what is given back is given out again. */
static void test_text_pool(void **state)
{
	struct gf_textpool p = { 0 };
	char *got[2 * 40];
	uint32_t n = 0;

	for (uint32_t i = 0; i < GF_TEXT_CLASSES; i++) {
		struct gf_text_class *c = &p.c[i];
		c->size = gf_text_class_size(i);
		c->n = gf_text_class_n(i, 16);
		c->mem = calloc(c->n, c->size);
		c->free = calloc(c->n, sizeof *c->free);
		c->back = calloc(c->n, sizeof *c->back);
	}
	for (int round = 0; round < 50; round++) {
		uint32_t room = p.c[0].n + p.c[1].n - n;

		for (uint32_t i = 0; i < room; i++) {
			got[n] = gf_text_take(&p, 200);
			assert_non_null(got[n]);
			for (uint32_t j = 0; j < n; j++)
				assert_ptr_not_equal(got[j], got[n]);
			n++;
		}
		assert_null(gf_text_take(&p, 200));
		for (uint32_t i = (uint32_t)round % 7; i < n; i++) {
			gf_text_give(&p, got[i]);
			got[i--] = got[--n];
			if (n < 5 || (round * 7 + (int)n) % 5 == 0)
				break;
		}
		assert_null(gf_text_take(&p, 200)); /* not before it is settled */
		gf_text_settle(&p);
	}
	assert_null(gf_text_take(&p, GF_TEXT_MAX + 1));
	for (uint32_t i = 0; i < GF_TEXT_CLASSES; i++) {
		free(p.c[i].mem);
		free(p.c[i].free);
		free(p.c[i].back);
	}
	(void)state;
}

/* GF_RAM names a real guest's memory, which stands still (tests/vm/same.t). */
static void test_guest(void **state)
{
	const char *path = getenv("GF_RAM"), *least = getenv("GF_LEAST");
	struct gf_kernel k = { 0 };
	struct gf_err err = { "" };
	struct gf_ramfile *ram;
	struct gf_guest *g;
	struct gf_fieldset fields = all;
	struct fake f = { 0 };
	struct bench b;

	(void)state;
	if (!path)
		skip();
	if (gf_ramfile_open(path, NULL, 0, false, &ram, &err) || gf_guest_create(ram, false, &g, &err))
		fail_msg("%s", err.text);
	k.mem = g->kernel->mem;
	f.k = &k;
	f.l = g->layout;
	/* Bitmaps are no words of a process; session 0, in which a guest without a login is, lies in the kernel's image and is read the long way. */
	fields.task &= ~(GF_BIT(GF_TF_FDS) | GF_BIT(GF_TF_PGRP) | GF_BIT(GF_TF_SESSION));
	bench_init(&b, &f, 4096, &fields);
	for (int i = 0; i < 8; i++)
		assert_int_equal(tick(&b, true), 0);
	print_message("# %u processes, %u of them gathered by words (%u)\n", b.sim[2].s.live, b.sim[2].v.fetched, b.sim[2].v.gather.bad ? 0 : b.sim[2].v.gather.n);
	assert_true(b.sim[2].s.live >= (least ? strtoul(least, NULL, 10) : 1));
	assert_true(b.sim[2].v.fetched > b.sim[2].s.live / 4); /* not kernel threads: their credentials are in the image */
	bench_done(&b);
	gf_guest_put(g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_text_pool),
		cmocka_unit_test(test_twice),
		cmocka_unit_test(test_half_exec),
		cmocka_unit_test(test_lives),
		cmocka_unit_test(test_full_table),
		cmocka_unit_test(test_few_fields),
		cmocka_unit_test(test_starved),
		cmocka_unit_test(test_wild),
		cmocka_unit_test(test_corpus),
		cmocka_unit_test(test_guest),
	};
	const char *s = getenv("SEED"), *r = getenv("ROUNDS");

	seed = s ? strtoull(s, NULL, 10) : (uint64_t)time(NULL) * 1000 + (uint64_t)getpid() % 1000;
	rounds = r ? (uint32_t)strtoul(r, NULL, 10) : 1;
	printf("# SEED=%llu\n", (unsigned long long)seed);
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
