/* SPDX-License-Identifier: MIT
 *
 * A kernel's data structures in a few MiB of made-up physical memory: as much of them as the walkers of
 * memory targets read, laid out by a layout of our own. For tests that break them, and for a benchmark.
 */
#ifndef GPUFAS_TESTS_FAKEKERNEL_H
#define GPUFAS_TESTS_FAKEKERNEL_H

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "gpu/tasks.h"
#include "targets/vm.h"

#define FAKE_DIRECT 0xffff888000000000ull
#define FAKE_VMALLOC 0xffffc90000000000ull /* one page table's worth, behind page tables */
#ifndef FAKE_CPUS
#define FAKE_CPUS 2u
#endif

struct fake {
	uint8_t *ram;
	uint64_t size, next;
	uint64_t seed;
	struct gf_kernel *k;
	struct gf_layout l;
	uint64_t pte;        /* physical, of FAKE_VMALLOC's page table */
	uint32_t vpages;     /* pages mapped there */
	uint64_t percpu;     /* per-CPU counters: next free, as an offset from FAKE_VMALLOC */
	uint64_t cred, css, root_kn, files, mount, root_dentry;
	uint64_t init;       /* task_struct of pid 1 */
	uint32_t scatter;    /* objects are this many bytes apart at random, at most */
};

struct fake_task {
	uint64_t pid, task, signal, mm;
};

static inline uint64_t fake_rand(struct fake *f)
{
	uint64_t z = (f->seed += 0x9e3779b97f4a7c15ull);

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

static inline uint8_t *fake_at(struct fake *f, uint64_t va)
{
	assert(va - FAKE_DIRECT < f->size);
	return f->ram + (va - FAKE_DIRECT);
}

static inline void w64(struct fake *f, uint64_t va, uint64_t v) { memcpy(fake_at(f, va), &v, 8); }
static inline void w32(struct fake *f, uint64_t va, uint32_t v) { memcpy(fake_at(f, va), &v, 4); }
static inline void w16(struct fake *f, uint64_t va, uint16_t v) { memcpy(fake_at(f, va), &v, 2); }
static inline void w8(struct fake *f, uint64_t va, uint8_t v) { *fake_at(f, va) = v; }

static inline uint64_t r64(struct fake *f, uint64_t va)
{
	uint64_t v;

	memcpy(&v, fake_at(f, va), 8);
	return v;
}

static inline uint64_t fake_alloc(struct fake *f, uint64_t size)
{
	uint64_t at = f->next + (f->scatter ? fake_rand(f) % f->scatter : 0);

	at = (at + 63) / 64 * 64;
	assert(at + size <= f->size);
	f->next = at + size;
	return FAKE_DIRECT + at;
}

static inline uint64_t fake_page(struct fake *f)
{
	f->next = (f->next + 4095) / 4096 * 4096;
	assert(f->next + 4096 <= f->size);
	f->next += 4096;
	return f->next - 4096; /* physical */
}

static inline void fake_list(struct fake *f, uint64_t head)
{
	w64(f, head, head);
	w64(f, head + 8, head);
}

static inline void fake_list_add(struct fake *f, uint64_t head, uint64_t node)
{
	uint64_t last = r64(f, head + 8);

	w64(f, node, head);
	w64(f, node + 8, last);
	w64(f, last, node);
	w64(f, head + 8, node);
}

static inline uint64_t fake_string(struct fake *f, const char *s)
{
	uint64_t va = fake_alloc(f, strlen(s) + 1);

	memcpy(fake_at(f, va), s, strlen(s) + 1);
	return va;
}

/* Offsets somewhat as in 6.12; what is not set is absent. */
static inline void fake_layout(struct fake *f)
{
	struct gf_layout *l = &f->l;

	memset(&l->task, 0xff, sizeof l->task);
	memset(&l->signal, 0xff, sizeof l->signal);
	memset(&l->pid, 0xff, sizeof l->pid);
	memset(&l->mm, 0xff, sizeof l->mm);
	memset(&l->files, 0xff, sizeof l->files);
	memset(&l->path, 0xff, sizeof l->path);
	memset(&l->host.free_pages, 0xff, sizeof l->host - offsetof(struct gf_layout_host, free_pages));
	l->host.zones = 0;
	l->max_cpus = 64;
	l->task = (struct gf_layout_task){
		.span = 0xc80, .flags = 0x2c, .state = 0x18, .exit_state = 0x918, .prio = 0x6c, .static_prio = 0x70, .policy = 0x3c8,
		.pid = 0x998, .tgid = 0x99c, .real_parent = 0x9a8, .group_leader = 0x9e0, .thread_pid = 0xa08, .tgid_link = 0xa20,
		.thread_node = 0xa50, .mm = 0x900, .signal = 0xbb8, .files = 0xba8, .real_cred = 0xb78, .cgroups = 0xc40,
		.vfork_done = 0xa60, .start_boottime = 0xae0, .comm = 0xb90, .self_exec_id = 0xc10, .sum_exec = 0x100, .utime = 0xa80,
		.stime = 0xa88, .min_flt = 0xae8, .maj_flt = 0xaf0, .read_bytes = 0xc50, .write_bytes = 0xc58,
	};
	l->signal = (struct gf_layout_signal){
		.span = 0x360, .live = 4, .nr_threads = 8, .thread_head = 16, .flags = 0x70, .pgid = 0x168, .sid = 0x170, .stats_seq = 0x188,
		.oom_score_adj = 0x34c, .sum_sched = 0x200, .utime = 0x190, .stime = 0x198, .prev_utime = 0x1c0, .prev_stime = 0x1c8,
		.min_flt = 0x1f0, .maj_flt = 0x1f8, .read_bytes = 0x230, .write_bytes = 0x238,
	};
	l->pid = (struct gf_layout_pid){ .span = 0x80, .level = 4, .tgid_first = 0x28, .numbers = 0x70, .upid_size = 16, .upid_nr = 0 };
	l->mm = (struct gf_layout_mm){
		.span = 0x4a0, .total_vm = 0x100, .pgtables = 0x98, .flags = 0x468, .pgd = 0x78, .arg_start = 0x178, .arg_end = 0x180,
		.exe_file = 0x490, .rss_kind = GF_RSS_PERCPU,
	};
	for (uint32_t i = 0; i < GF_RSS_PARTS; i++) {
		l->mm.rss[i] = 0x338 + 40 * i + 8;
		l->mm.rss_cpu[i] = 0x338 + 40 * i + 32;
	}
	l->files = (struct gf_layout_files){ .fdt = 0x20, .max_fds = 0, .open_fds = 0x18, .cred_euid = 0x18, .cred_egid = 0x1c };
	l->xa = (struct gf_layout_xarray){ .head = 8, .span = 0x240, .shift = 0, .offset = 1, .parent = 8, .array = 16, .slots = 40 };
	l->path = (struct gf_layout_path){
		.css_dfl_cgrp = 0x80, .cgroup_kn = 0x100, .kn_parent = 8, .kn_name = 16, .kn_id = 0x60, .file_path = 0x40, .path_mnt = 0,
		.path_dentry = 8, .dentry_parent = 0x18, .dentry_name = 0x28, .dentry_len = 0x24, .vfs_root = 0, .mount_vfs = 0x20,
		.mount_parent = 0x10, .mount_point = 0x18,
	};
}

/* The tree grows to 4 levels at once: pids are below 2^22. */
static inline void fake_tree_put(struct fake *f, uint32_t index, uint64_t entry)
{
	uint64_t head = f->l.init_pid_ns + f->l.xa.head, at = head, parent = 0;

	for (int shift = 18; shift >= 0; shift -= 6) {
		if (!r64(f, at)) {
			uint64_t n = fake_alloc(f, 0x240);
			w8(f, n + f->l.xa.shift, (uint8_t)shift);
			w64(f, n + f->l.xa.parent, parent);
			w64(f, n + f->l.xa.array, f->l.xa.array_at);
			w64(f, at, n + 2);
		}
		parent = r64(f, at) - 2;
		at = parent + f->l.xa.slots + (index >> shift & 63) * 8;
	}
	w64(f, at, entry);
}

/* A page of FAKE_VMALLOC's range. */
static inline void fake_vpage(struct fake *f)
{
	assert(f->vpages < 512);
	w64(f, FAKE_DIRECT + f->pte + 8ull * f->vpages++, fake_page(f) | GF_PTE_PRESENT);
}

static inline uint8_t *fake_vat(struct fake *f, uint64_t va)
{
	return f->ram + (r64(f, FAKE_DIRECT + f->pte + (va - FAKE_VMALLOC) / 4096 * 8) & GF_PTE_ADDR) + va % 4096;
}

/* A page table that maps one page of user memory at 4 MiB, for arguments: its PGD's address. */
static inline uint64_t fake_user(struct fake *f, const char *args, size_t len)
{
	uint64_t t[4], page = fake_page(f);

	for (int i = 0; i < 4; i++)
		t[i] = fake_page(f);
	w64(f, FAKE_DIRECT + t[0], t[1] | 7);
	w64(f, FAKE_DIRECT + t[1], t[2] | 7);
	w64(f, FAKE_DIRECT + t[2] + 8 * 2, t[3] | 7);
	w64(f, FAKE_DIRECT + t[3], page | 7);
	memcpy(f->ram + page, args, len);
	return FAKE_DIRECT + t[0];
}

static inline uint64_t fake_dentry(struct fake *f, uint64_t parent, const char *name)
{
	uint64_t d = fake_alloc(f, 0xc0);

	w64(f, d + f->l.path.dentry_parent, parent ? parent : d);
	w64(f, d + f->l.path.dentry_name, fake_string(f, name));
	w32(f, d + f->l.path.dentry_len, (uint32_t)strlen(name));
	return d;
}

static inline uint64_t fake_kernfs(struct fake *f, uint64_t parent, const char *name)
{
	uint64_t kn = fake_alloc(f, 0x80);

	w64(f, kn + f->l.path.kn_parent, parent);
	w64(f, kn + f->l.path.kn_name, fake_string(f, name));
	w64(f, kn + f->l.path.kn_id, fake_rand(f));
	return kn;
}

static inline uint64_t fake_css(struct fake *f, uint64_t kn)
{
	uint64_t css = fake_alloc(f, 0x100), cgrp = fake_alloc(f, 0x200);

	w64(f, css + f->l.path.css_dfl_cgrp, cgrp);
	w64(f, cgrp + f->l.path.cgroup_kn, kn);
	return css;
}

static inline uint64_t fake_mm(struct fake *f, const uint32_t pages[GF_RSS_PARTS])
{
	uint64_t mm = fake_alloc(f, 0x4a0);

	while (f->percpu + 16 > (uint64_t)f->vpages / FAKE_CPUS * 4096)
		for (uint32_t c = 0; c < FAKE_CPUS; c++)
			fake_vpage(f);
	/* CPU c's copy of a per-CPU address lies c pages further on: pages alternate. */
	uint64_t at = FAKE_VMALLOC + f->percpu / 4096 * 4096 * FAKE_CPUS + f->percpu % 4096;
	f->percpu += 16;
	for (uint32_t i = 0; i < GF_RSS_PARTS; i++) {
		w64(f, mm + f->l.mm.rss[i], pages[i] + 5);
		w64(f, mm + f->l.mm.rss_cpu[i], at + 4 * i - FAKE_VMALLOC);
		for (uint32_t c = 0; c < FAKE_CPUS; c++) {
			int32_t part = c ? -8 : 3;
			memcpy(fake_vat(f, at + c * 4096 + 4 * i), &part, 4);
		}
	}
	w64(f, mm + f->l.mm.total_vm, pages[0] + pages[1] + pages[3] + 100);
	w64(f, mm + f->l.mm.pgtables, 40960);
	return mm;
}

static inline uint64_t fake_thread(struct fake *f, const struct fake_task *g, uint32_t tid, uint32_t tgid)
{
	const struct gf_layout_task *o = &f->l.task;
	uint64_t t = fake_alloc(f, o->span);

	w32(f, t + o->pid, tid);
	w32(f, t + o->tgid, tgid);
	w32(f, t + o->prio, 120);
	w32(f, t + o->static_prio, 120);
	w32(f, t + o->state, 1);
	w64(f, t + o->group_leader, g->task ? g->task : t);
	w64(f, t + o->signal, g->signal);
	w64(f, t + o->mm, g->mm);
	w64(f, t + o->files, f->files);
	w64(f, t + o->real_cred, f->cred);
	w64(f, t + o->cgroups, f->css);
	w64(f, t + o->real_parent, f->init ? f->init : t);
	w64(f, t + o->sum_exec, 1000000);
	w64(f, t + o->utime, 600000);
	w64(f, t + o->stime, 200000);
	w64(f, t + o->min_flt, 10);
	w64(f, t + o->maj_flt, 1);
	fake_list_add(f, g->signal + f->l.signal.thread_head, t + o->thread_node);
	w32(f, g->signal + f->l.signal.nr_threads, (uint32_t)(r64(f, g->signal + f->l.signal.nr_threads) + 1));
	return t;
}

/* A process with one thread. pages NULL: a kernel thread. */
static inline struct fake_task fake_process(struct fake *f, uint32_t pid, const char *comm, const uint32_t pages[GF_RSS_PARTS])
{
	const struct gf_layout_task *o = &f->l.task;
	struct fake_task g = { .signal = fake_alloc(f, f->l.signal.span), .pid = fake_alloc(f, 0x90) };

	if (pages)
		g.mm = fake_mm(f, pages);
	fake_list(f, g.signal + f->l.signal.thread_head);
	w32(f, g.signal + f->l.signal.live, 1);
	w64(f, g.signal + f->l.signal.pgid, g.pid);
	w64(f, g.signal + f->l.signal.sid, g.pid);
	w64(f, g.signal + f->l.signal.sum_sched, 500);
	g.task = fake_thread(f, &g, pid, pid);
	w64(f, g.task + o->group_leader, g.task);
	w64(f, g.task + o->thread_pid, g.pid);
	w64(f, g.task + o->start_boottime, 1000000000ull + pid);
	memcpy(fake_at(f, g.task + o->comm), comm, GF_MIN(strlen(comm), (size_t)15));
	if (!pages)
		w32(f, g.task + o->flags, GF_PF_KTHREAD);
	w64(f, g.pid + f->l.pid.tgid_first, g.task + o->tgid_link);
	w32(f, g.pid + f->l.pid.numbers, pid);
	fake_tree_put(f, pid, g.pid);
	if (pid == 1) {
		f->init = g.task;
		w64(f, g.task + o->real_parent, g.task);
		w32(f, g.signal + f->l.signal.flags, GF_SIGNAL_UNKILLABLE);
	}
	return g;
}

static inline void fake_clock(struct fake *f, uint64_t boot_ns)
{
	w64(f, f->l.clock.timekeeper + f->l.clock.base, boot_ns - 7);
	w64(f, f->l.clock.timekeeper + f->l.clock.xtime_nsec, 7ull << 8);
}

static inline void fake_machine(struct fake *f)
{
	struct gf_layout *l = &f->l;
	struct gf_kmem *m = &f->k->mem;
	uint64_t t[3];

	m->ram = (struct gf_ram){ .n = 1, .seg = { { 0, f->size, f->ram } } };
	m->levels = 4;
	m->page_offset = FAKE_DIRECT;
	m->direct_size = f->size;
	fake_page(f); /* nothing is at 0 */
	m->pgd.v = fake_page(f);
	for (int i = 0; i < 3; i++)
		t[i] = fake_page(f);
	f->pte = t[2];
	w64(f, FAKE_DIRECT + m->pgd.v + (FAKE_VMALLOC >> 39 & 511) * 8, t[0] | 3);
	w64(f, FAKE_DIRECT + t[0] + (FAKE_VMALLOC >> 30 & 511) * 8, t[1] | 3);
	w64(f, FAKE_DIRECT + t[1] + (FAKE_VMALLOC >> 21 & 511) * 8, t[2] | 3);
	l->init_pid_ns = fake_alloc(f, 64);
	l->xa.array_at = l->init_pid_ns;
	l->per_cpu_offset = fake_alloc(f, 64 * 8);
	for (uint32_t c = 0; c < FAKE_CPUS; c++)
		w64(f, l->per_cpu_offset + 8 * c, FAKE_VMALLOC + c * 4096);
	l->cpu_online = fake_alloc(f, 64);
	l->cpu_possible = fake_alloc(f, 64);
	w64(f, l->cpu_online, (1u << FAKE_CPUS) - 1);
	w64(f, l->cpu_possible, (1u << FAKE_CPUS) - 1);
	l->clock = (struct gf_layout_clock){ .seq = fake_alloc(f, 64), .span = 64, .base = 0, .xtime_nsec = 8, .shift = 16, .offs_boot = 24 };
	l->clock.timekeeper = fake_alloc(f, 64);
	w32(f, l->clock.timekeeper + 16, 8);
	l->clock.jiffies = fake_alloc(f, 64);
	l->host.totalram = fake_alloc(f, 64);
	w64(f, l->host.totalram, 250000);
	l->host.total_swap = fake_alloc(f, 64);
	f->cred = fake_alloc(f, 64);
	w32(f, f->cred + l->files.cred_euid, 1000);
	w32(f, f->cred + l->files.cred_egid, 100);
	f->root_kn = fake_kernfs(f, 0, "");
	f->css = fake_css(f, f->root_kn);
	f->files = fake_alloc(f, 64);
	uint64_t fdt = fake_alloc(f, 64), bits = fake_alloc(f, 64);
	w64(f, f->files + l->files.fdt, fdt);
	w32(f, fdt + l->files.max_fds, 128);
	w64(f, fdt + l->files.open_fds, bits);
	w64(f, bits, 7);
	w64(f, bits + 8, 1ull << 63);
	f->root_dentry = fake_dentry(f, 0, "/");
	f->mount = fake_alloc(f, 0x100);
	w64(f, f->mount + l->path.mount_parent, f->mount);
	w64(f, f->mount + l->path.mount_vfs + l->path.vfs_root, f->root_dentry);
	fake_clock(f, 5000000000000ull);
}

static inline struct fake *fake_new(uint64_t size, uint64_t seed, uint32_t scatter)
{
	struct fake *f = calloc(1, sizeof *f);

	f->ram = calloc(1, size); /* its very end is the end of memory: sanitizers see what goes beyond */
	f->k = calloc(1, sizeof *f->k);
	f->size = size;
	f->seed = seed;
	f->scatter = scatter;
	f->percpu = 16; /* 0 is no per-CPU address */
	fake_layout(f);
	fake_machine(f);
	return f;
}

/* What host fields are read from. at: where the kernel's own per-CPU variables are, as per-CPU addresses. */
static inline void fake_host(struct fake *f, uint64_t at)
{
	struct gf_layout_host *o = &f->l.host;

	o->cpustat = at + 64;
	o->runqueues = at + 256;
	o->tick_sched = at + 512;
	o->vm_events = at + 768;
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

/* A guest of this kernel, as its keeper would publish it. Its last put frees the kernel, not the memory. */
static inline struct gf_guest *fake_guest(struct fake *f)
{
	struct gf_guest *g = calloc(1, sizeof *g);
	struct gf_kernel *k = malloc(sizeof *k);

	*k = *f->k;
	g->refs = 1;
	g->kernel = k;
	g->layout = f->l;
	return g;
}

static inline void fake_free(struct fake *f)
{
	free(f->k);
	free(f->ram);
	free(f);
}

#endif
