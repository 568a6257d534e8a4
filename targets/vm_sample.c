// SPDX-License-Identifier: MIT
/*
 * One look at a guest's memory: processes, host fields, strings. The engine's thread; it waits for nobody and
 * allocates nothing. What it looks at cannot be unmapped meanwhile: see vm_int.h.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "gpu/hostfields.h"
#include "gpu/path.h"
#include "gpu/tasks.h"
#include "targets/record.h"
#include "targets/strings.h"
#include "targets/strpool.h"
#include "targets/table.h"
#include "targets/vm_int.h"

#define DEFAULT_TASKS 32768u
#define WALKS 3u                 /* of the tree of pids, until one finds it whole */
#define PIDS_MAX (4u << 20)      /* PID_MAX_LIMIT: slots of leaves in a whole tree */
#define BUDGET (4u << 20)        /* loads a tick may spend on lengths that the guest alone knows */
#define STR_RETRY_NS 1000000000ull
#define STR_RETRIES 10u
#define READ_STRINGS ((1u << GF_SF_EXE) | (1u << GF_SF_CMDLINE) | (1u << GF_SF_CGROUP))

/* What is remembered of a row beside its sample. */
struct note {
	struct gf_record_note shown;
	uint64_t exec_tag;
	uint64_t kn, kn_id;  /* the cgroup that its path is of */
	uint64_t retry_ns;   /* when strings that were not in memory are looked for again */
	uint8_t tries;
};

struct leader {
	uint64_t pid, task; /* addresses */
};

struct gf_vm_sampler {
	struct gf_table table;
	struct gf_fieldset fields;
	uint32_t want;
	struct note *note;
	struct leader *leader;
	uint32_t cap, n;       /* of leader */
	uint32_t more;         /* leaders that did not fit */
	bool init_seen;
	uint64_t boot;         /* number of the guest that the rows are of */
	bool paused;
	struct gf_clock clock;
	struct gf_host_state hs;
	struct gf_cpus cpus;
	struct gf_tlb tlb;
	struct gf_clock_now guest_now;
	struct gf_strpool *pool;
	char *path[GF_MAX_PATHS];
	uint32_t paths;
	uint64_t paths_boot;   /* guest for which kpath is resolved */
	struct gf_kpath kpath[GF_MAX_PATHS];
	char text[GF_STRPOOL_MAX];
};

static struct gf_vm *vm_of(struct gf_target *t)
{
	return (struct gf_vm *)(void *)t;
}

/* ---- who is looked at ------------------------------------------------------- */

static struct gf_guest *enter(struct gf_vm *vm)
{
	for (int i = 0; i < 8; i++) {
		struct gf_guest *g = atomic_load(&vm->guest);

		atomic_store(&vm->sampling, g);
		if (atomic_load(&vm->guest) == g)
			return g;
	}
	atomic_store(&vm->sampling, NULL);
	return NULL;
}

static void leave(struct gf_vm *vm)
{
	atomic_store(&vm->sampling, NULL);
}

static int not_attached(struct gf_vm *vm, struct gf_err *err)
{
	int r = ENOLINK;

	if (pthread_mutex_trylock(&vm->lock))
		return gf_err_set(err, ENOLINK, "the guest is being attached");
	if (vm->state_error)
		r = vm->state_error;
	gf_err_set(err, r, "%s", vm->state);
	pthread_mutex_unlock(&vm->lock);
	return -r;
}

static uint64_t watchers_clock(const struct gf_vm *vm)
{
	struct timespec t;

	if (vm->image)
		return vm->t.sample.seq * vm->step_ns;
	/* Not BOOTTIME: a guest does not run while its host sleeps. */
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* ---- strings ---------------------------------------------------------------- */

static const char known_empty[] = "";

static void forget_string(struct gf_vm_sampler *v, uint32_t row, unsigned field)
{
	struct gf_strref *ref = v->table.s->str[field] ? &v->table.s->str[field][row] : NULL;

	if (!ref)
		return;
	if (ref->ver && ref->p != known_empty)
		gf_strpool_drop(v->pool, ref->p);
	*ref = (struct gf_strref){ 0 };
}

static void row_gone(void *arg, uint32_t row)
{
	for (unsigned f = 0; f < GF_SF_COUNT; f++)
		if (READ_STRINGS & 1u << f)
			forget_string(arg, row, f);
}

/* A string that was read, or could not be (len GF_ABSENT). */
static void set_string(struct gf_vm_sampler *v, uint32_t row, unsigned field, const char *text, uint32_t len)
{
	const char *p = len == 0 ? known_empty : len == GF_ABSENT ? NULL : gf_strpool_put(v->pool, text, len);

	forget_string(v, row, field);
	if (p)
		v->table.s->str[field][row] = (struct gf_strref){ p, len, gf_table_ver(&v->table) };
}

static void read_cgroup(struct gf_vm_sampler *v, const struct gf_guest *g, const uint8_t *task, uint32_t row)
{
	const struct gf_kmem *k = &g->kernel->mem;
	struct note *n = &v->note[row];
	uint64_t kn, id;
	uint32_t len;

	if (gf_cgroup_of(k, &g->layout, task, &kn, &id)) {
		forget_string(v, row, GF_SF_CGROUP);
		return;
	}
	if (v->table.s->str[GF_SF_CGROUP][row].ver && kn == n->kn && id == n->kn_id)
		return;
	set_string(v, row, GF_SF_CGROUP, v->text, gf_kernfs_path(k, &g->layout, kn, v->text, GF_STRING_MAX, &len) ? GF_ABSENT : len);
	n->kn = kn;
	n->kn_id = id;
}

static void read_program(struct gf_vm_sampler *v, const struct gf_guest *g, uint64_t mm, uint32_t row, unsigned field)
{
	const struct gf_kmem *k = &g->kernel->mem;
	uint32_t len;
	int r = field == GF_SF_EXE ? gf_exe_path(k, &g->layout, mm, v->text, GF_STRING_MAX, &len) :
				     gf_cmdline(k, &g->layout, mm, v->text, GF_STRING_MAX, &len);

	set_string(v, row, field, v->text, r ? GF_ABSENT : len);
}

static void read_strings(struct gf_vm_sampler *v, const struct gf_guest *g, const uint8_t *task, uint32_t row,
			 const struct gf_task_rec *r, bool fresh)
{
	struct gf_sample *s = v->table.s;
	struct note *n = &v->note[row];
	uint32_t want = v->fields.str & READ_STRINGS, missing = 0;

	if (!fresh && n->exec_tag != r->exec_tag) {
		forget_string(v, row, GF_SF_EXE);
		forget_string(v, row, GF_SF_CMDLINE);
		n->tries = 0;
		n->retry_ns = 0;
	}
	n->exec_tag = r->exec_tag;
	if (want & 1u << GF_SF_CGROUP)
		read_cgroup(v, g, task, row);
	for (unsigned f = GF_SF_EXE; f <= GF_SF_CMDLINE; f++)
		if (want & 1u << f && !s->str[f][row].ver)
			missing |= 1u << f;
	if (!missing || r->flags & GF_REC_EXITING || n->tries > STR_RETRIES || s->now_ns < n->retry_ns)
		return;
	uint64_t mm = gf_u64(task, g->layout.task.mm);
	n->retry_ns = s->now_ns + STR_RETRY_NS;
	n->tries++;
	for (unsigned f = GF_SF_EXE; f <= GF_SF_CMDLINE; f++) {
		if (!(missing & 1u << f))
			continue;
		if (r->flags & GF_REC_KTHREAD)
			set_string(v, row, f, "", 0);
		else if (mm)
			read_program(v, g, mm, row, f);
	}
	/* Another program meanwhile: whose strings were these? */
	if (gf_u32(task, g->layout.task.self_exec_id) != (uint32_t)r->exec_tag || gf_u64(task, g->layout.task.mm) != mm)
		for (unsigned f = GF_SF_EXE; f <= GF_SF_CMDLINE; f++)
			if (missing & 1u << f)
				forget_string(v, row, f);
}

/* ---- kernel paths ----------------------------------------------------------- */

/* Once a guest: look-ups in type information take about a tenth of a millisecond each. */
static void resolve_paths(struct gf_vm *vm, const struct gf_guest *g)
{
	struct gf_vm_sampler *v = vm->sampler;

	if (v->paths_boot == g->boot)
		return;
	v->paths_boot = g->boot;
	for (uint32_t i = 0; i < v->paths; i++) {
		struct gf_err err = { "" };

		v->kpath[i] = (struct gf_kpath){ 0 };
		if (gf_btf_path(g->kernel->btf, v->path[i], &v->kpath[i], NULL, NULL, &err)) {
			v->kpath[i] = (struct gf_kpath){ 0 };
			gf_vm_say(vm, 4, "%s is unknown in this guest (Linux %s): %s", v->path[i], g->kernel->release, err.text);
		}
	}
}

static void read_paths(struct gf_vm_sampler *v, const struct gf_guest *g, const struct leader *l, const uint8_t *task, uint32_t row)
{
	struct gf_sample *s = v->table.s;
	double value[GF_MAX_PATHS];
	uint32_t n = GF_MIN(v->paths, v->fields.paths);

	for (uint32_t i = 0; i < n; i++)
		value[i] = gf_kpath_value(&g->kernel->mem, &v->kpath[i], l->task);
	GF_LOAD_FENCE();
	bool same = gf_task_is(&g->layout.task, task, l->pid, l->task);
	for (uint32_t i = 0; i < n; i++)
		if (s->col[GF_TF_COUNT + i])
			s->col[GF_TF_COUNT + i][row] = same ? value[i] : gf_unknown();
}

/* ---- processes -------------------------------------------------------------- */

/* All processes' leaders. False: the tree was not whole. */
static bool find_leaders(struct gf_vm_sampler *v, const struct gf_guest *g)
{
	const struct gf_kmem *k = &g->kernel->mem;
	struct gf_xa_iter it;
	uint64_t pid;

	v->n = v->more = 0;
	gf_xa_begin(k, &g->layout, &it, PIDS_MAX);
	while (gf_xa_next(k, &g->layout, &it, &pid)) {
		uint64_t task = gf_pid_leader(k, &g->layout, pid);

		/* No struct pid where the tree says: freed since, or overwritten. There is no process behind it. */
		if (!task || task == ~0ull)
			continue;
		if (v->n == v->cap) {
			v->more++;
		} else {
			v->leader[v->n++] = (struct leader){ pid, task };
			__builtin_prefetch(gf_obj(k, task, g->layout.task.span));
		}
	}
	return !it.torn;
}

static void put(struct gf_vm *vm, const struct gf_guest *g, const struct leader *l, const struct gf_task_rec *r,
		const struct gf_record_env *env)
{
	struct gf_vm_sampler *v = vm->sampler;
	struct gf_sample *s = &vm->t.sample;
	const uint8_t *task = gf_obj(&g->kernel->mem, l->task, g->layout.task.span);
	bool fresh;
	uint32_t row = gf_table_row(&v->table, r->pid, r->start_ns, r->ppid, &fresh);

	if (row == GF_NONE || !task)
		return;
	if (fresh)
		v->note[row] = (struct note){ .exec_tag = r->exec_tag };
	s->flags[row] = gf_record_flags(r);
	s->uid[row] = r->have & GF_REC_UID ? r->euid : GF_NONE;
	gf_table_comm(&v->table, row, r->comm, sizeof r->comm);
	/* Started since the guest's clock last moved: just now. */
	struct gf_record_env e = *env;
	if (e.now_ns && e.now_ns < r->start_ns)
		e.now_ns = r->start_ns;
	gf_record_columns(s, row, r, &e, &v->note[row].shown);
	gf_record_io(s, row, r->have & GF_REC_IO, r->read_bytes, r->write_bytes);
	if (v->paths)
		read_paths(v, g, l, task, row);
	if (v->fields.str & READ_STRINGS)
		read_strings(v, g, task, row, r, fresh);
}

/* 0, or -EBADMSG when what is there cannot be a running Linux. */
static int read_tasks(struct gf_vm *vm, const struct gf_guest *g, struct gf_err *err)
{
	struct gf_vm_sampler *v = vm->sampler;
	struct gf_task_ctx c = { &g->kernel->mem, &g->layout, &v->cpus, &v->tlb, v->want, BUDGET };
	struct gf_record_env env = { v->guest_now.boot_ns, 0, 4096 };
	uint32_t bad = 0;

	if (v->want & GF_REC_SCORE) {
		double pages = gf_hf_count(c.k, g->layout.host.totalram, 1) + gf_hf_count(c.k, g->layout.host.total_swap, 1);
		env.total_pages = pages < 0x1p40 ? (uint64_t)pages : 0; /* unknown is not less */
		c.want |= GF_REC_RSS | GF_REC_SWAP | GF_REC_PGTABLES;
	}
	if (v->want & GF_REC_RSS_SUM)
		c.want |= GF_REC_RSS;
	v->init_seen = false;
	for (uint32_t i = 0; i < v->n; i++) {
		struct leader *l = &v->leader[i];
		struct gf_task_rec r;
		enum gf_task_got got = gf_task_read(&c, l->pid, l->task, &r);

		if (got == GF_TASK_GONE) {
			/* Another thread of it leads since an exec, or it has ended. */
			uint64_t now = gf_pid_leader(c.k, &g->layout, l->pid);
			if (!now || now == ~0ull || now == l->task)
				continue;
			l->task = now;
			got = gf_task_read(&c, l->pid, l->task, &r);
		}
		bad += got == GF_TASK_BAD;
		if (got != GF_TASK_OK)
			continue;
		v->init_seen |= r.pid == 1;
		put(vm, g, l, &r, &env);
	}
	v->table.unplaced += v->more;
	if (!v->init_seen || bad > v->n / 4)
		return gf_err_set(err, EBADMSG, "the guest's memory does not hold the processes of a running Linux any more");
	return 0;
}

static int pass(struct gf_vm *vm, const struct gf_guest *g, struct gf_err *err)
{
	struct gf_vm_sampler *v = vm->sampler;
	bool whole = false;

	memset(&v->tlb, 0, sizeof v->tlb);
	for (uint32_t i = 0; i < WALKS && !whole; i++)
		whole = find_leaders(v, g);
	int r = read_tasks(vm, g, err);
	if (r)
		gf_vm_suspect(&vm->t, g);
	else if (!whole)
		r = gf_err_set(err, EAGAIN, "the guest's list of processes kept changing while it was read");
	return r;
}

static void free_rows(struct gf_vm_sampler *v)
{
	gf_table_begin(&v->table);
	gf_table_commit(&v->table);
}

static void start_guest(struct gf_vm *vm, const struct gf_guest *g)
{
	struct gf_vm_sampler *v = vm->sampler;

	free_rows(v);
	v->boot = g->boot;
	vm->t.sample.epoch = (uint32_t)g->boot;
	v->clock = (struct gf_clock){ 0 };
	v->hs = (struct gf_host_state){ 0 };
}

static int sample_guest(struct gf_vm *vm, const struct gf_guest *g, struct gf_err *err)
{
	struct gf_vm_sampler *v = vm->sampler;
	const struct gf_kmem *k = &g->kernel->mem;
	struct gf_sample *s = &vm->t.sample;
	uint64_t host_ns = watchers_clock(vm), stalled;
	int cpus = gf_cpus_read(k, &g->layout, &v->cpus), r;

	if (v->boot != g->boot)
		start_guest(vm, g);
	else if (v->paused)
		gf_clock_resume(&v->clock, host_ns);
	v->paused = false;
	resolve_paths(vm, g);
	gf_clock_read(k, &g->layout, &v->guest_now);
	v->hs.idle = !cpus && gf_cpus_idle(k, &g->layout, &v->cpus) == 1;
	s->now_ns = gf_clock_tick(&v->clock, host_ns, &v->guest_now, (int)v->hs.idle, &stalled);
	gf_table_begin(&v->table);
	if (cpus) {
		gf_vm_suspect(&vm->t, g);
		r = gf_err_set(err, EBADMSG, "the guest's list of CPUs makes no sense any more");
	} else {
		r = pass(vm, g, err);
	}
	if (r)
		gf_table_abort(&v->table);
	else
		gf_table_commit(&v->table);
	gf_host_fields_walk(k, &g->layout, &v->cpus, &v->hs, cpus ? 0 : v->fields.host, s->now_ns, v->guest_now.mono_ns, s->host);
	if (v->fields.host & GF_BIT(GF_HF_UPTIME) && v->guest_now.boot_ns)
		s->host[GF_HF_UPTIME] = (double)s->now_ns;
	/* An image's clock never moves: nothing has stalled there. */
	if (v->fields.host & GF_BIT(GF_HF_OS_STALLED))
		s->host[GF_HF_OS_STALLED] = vm->image ? 0 : (double)stalled;
	if (v->fields.host & GF_BIT(GF_HF_TASKS_COUNT))
		s->host[GF_HF_TASKS_COUNT] = r ? gf_unknown() : (double)s->live + s->dropped;
	return r;
}

int gf_vm_sample(struct gf_target *t, struct gf_err *err)
{
	struct gf_vm *vm = vm_of(t);
	struct gf_vm_sampler *v = vm->sampler;
	struct gf_guest *g = enter(vm);
	int r;

	t->sample.seq++;
	if (g && !atomic_load(&vm->paused)) {
		r = sample_guest(vm, g, err);
	} else {
		v->paused |= !!g;
		r = g ? gf_err_set(err, EAGAIN, "the guest is paused") : not_attached(vm, err);
		gf_table_begin(&v->table);
		gf_table_abort(&v->table);
		for (int i = 0; i < GF_HF_COUNT; i++)
			t->sample.host[i] = gf_unknown();
	}
	leave(vm);
	return r;
}

/* ---- set up ----------------------------------------------------------------- */

int gf_vm_set_fields(struct gf_target *t, const struct gf_fieldset *f, struct gf_err *err)
{
	struct gf_vm_sampler *v = vm_of(t)->sampler;
	int r = gf_sample_set_fields(&t->sample, f, err);

	if (!r && f->str & READ_STRINGS && !v->pool) {
		v->pool = gf_strpool_create(t->sample.cap);
		if (!v->pool)
			r = gf_err_set(err, ENOMEM, "no memory for the strings of %u tasks: lower max_tasks", t->sample.cap);
	}
	if (r)
		return r;
	v->fields = *f;
	v->want = gf_record_want(f);
	/* Group and session are two more objects a process: only where they are read. */
	if (!(f->task & (GF_BIT(GF_TF_PGRP) | GF_BIT(GF_TF_SESSION))))
		v->want &= ~(uint32_t)GF_REC_IDS;
	return 0;
}

int gf_vm_set_paths(struct gf_target *t, const char *const *path, size_t n, struct gf_err *err)
{
	struct gf_vm_sampler *v = vm_of(t)->sampler;
	char *copy[GF_MAX_PATHS] = { NULL };

	if (n > GF_MAX_PATHS)
		return gf_err_set(err, E2BIG, "a policy with %zu kernel paths: at most %u are possible", n, GF_MAX_PATHS);
	for (size_t i = 0; i < n; i++) {
		copy[i] = strdup(path[i]);
		if (copy[i])
			continue;
		while (i--)
			free(copy[i]);
		return gf_err_set(err, ENOMEM, "no memory for kernel paths");
	}
	for (uint32_t i = 0; i < v->paths; i++)
		free(v->path[i]);
	memcpy(v->path, copy, sizeof copy);
	v->paths = (uint32_t)n;
	v->paths_boot = 0;
	return 0;
}

void gf_vm_sampler_destroy(struct gf_vm *vm)
{
	struct gf_vm_sampler *v = vm->sampler;

	if (!v)
		return;
	gf_table_deinit(&v->table);
	gf_sample_deinit(&vm->t.sample);
	gf_strpool_destroy(v->pool);
	for (uint32_t i = 0; i < v->paths; i++)
		free(v->path[i]);
	free(v->note);
	free(v->leader);
	free(v);
	vm->sampler = NULL;
}

int gf_vm_sampler_create(struct gf_vm *vm, uint32_t max_tasks, struct gf_err *err)
{
	struct gf_vm_sampler *v = calloc(1, sizeof *v);
	uint32_t cap = max_tasks ? max_tasks : DEFAULT_TASKS;
	int r;

	if (!v)
		return gf_err_set(err, ENOMEM, "no memory for a guest");
	vm->sampler = v;
	r = gf_sample_init(&vm->t.sample, cap, err);
	if (!r)
		r = gf_table_init(&v->table, &vm->t.sample, err);
	if (r)
		return r;
	v->table.on_free = row_gone;
	v->table.on_free_arg = v;
	v->cap = vm->t.sample.cap;
	v->note = calloc(v->cap, sizeof *v->note);
	v->leader = calloc(v->cap, sizeof *v->leader);
	v->want = gf_record_want(&v->fields);
	if (!v->note || !v->leader)
		return gf_err_set(err, ENOMEM, "no memory for a table of %u tasks: lower max_tasks", cap);
	return 0;
}
