/* SPDX-License-Identifier: MIT
 *
 * A made-up kernel (tests/helpers/fakekernel.h) in which processes come, change and go.
 */
#ifndef GPUFAS_TESTS_FAKELIFE_H
#define GPUFAS_TESTS_FAKELIFE_H

#include <stdio.h>

#include "tests/helpers/fakekernel.h"

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

static inline uint32_t pick(struct life *w, uint32_t n)
{
	return (uint32_t)(fake_rand(w->f) % n);
}

/* Per-CPU variables, and what host fields are read from. */
static inline void furnish(struct fake *f)
{
	fake_vpage(f);
	fake_vpage(f);
	f->percpu = 2048;
	fake_host(f, 0);
}

static inline void weather(struct life *w)
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
static inline uint64_t one_of(struct life *w, const uint64_t *p, uint32_t n)
{
	return p[pick(w, 12) ? pick(w, n - 1) : n - 1];
}

static inline void dress(struct life *w, struct fake_task *g)
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

static inline void born(struct life *w)
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

static inline void died(struct life *w, uint32_t i)
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

static inline void changed(struct life *w, struct proc *p)
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

static inline void life_init(struct life *w, uint64_t s)
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

static inline void live(struct life *w)
{
	weather(w);
	for (uint32_t k = pick(w, 3) ? pick(w, 6) : pick(w, 120); k && w->n < ALIVE; k--)
		born(w);
	for (uint32_t k = pick(w, 4) ? pick(w, 6) : pick(w, w->n); k && w->n > 1; k--)
		died(w, 1 + pick(w, w->n - 1));
	for (uint32_t k = pick(w, 20); k; k--)
		changed(w, &w->p[pick(w, w->n)]);
}

#endif
