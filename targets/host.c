// SPDX-License-Identifier: MIT
/*
 * This machine as a target: a sampler (BPF or /proc) that looks at all processes,
 * host fields, and strings read on the side.
 */
#include "targets/host.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysinfo.h>
#include <time.h>
#include <unistd.h>

#include "targets/kmod.h"
#include "targets/record.h"

#define STR_RETRY_NS 1000000000ull
#define IO_STALE_NS 2000000000ull
#define STR_RETRIES 3u
#define SIDE_STRINGS ((1u << GF_SF_EXE) | (1u << GF_SF_CMDLINE) | (1u << GF_SF_CGROUP))

/* What is remembered of a row beside its sample. */
struct row_note {
	uint64_t exec_tag;
	struct gf_record_note shown;
	uint64_t retry_ns;    /* boot time at which failed strings may be asked for again */
	uint32_t ask_id;      /* answers with another id are out of date */
	uint64_t io_read, io_write; /* bytes, by /proc ... */
	uint64_t io_ns;       /* ... as of this boot time, 0: never */
	uint8_t asked;        /* 1 << enum gf_str_field, GF_STRING_IO */
	uint8_t failed;       /* to be asked again at retry_ns */
	uint8_t tries;
	uint8_t init;
	int16_t oom_adj;
	uint16_t have;        /* GF_REC_UID, GF_REC_ADJ */
	uint32_t euid, egid;
	struct gf_memory_memo memory; /* by /proc */
};

struct gf_host {
	struct gf_target t;
	struct gf_table table;
	struct gf_fieldset fields;
	struct gf_host_road *sampler;   /* beside the module; NULL: only by it */
	struct gf_host_kmod mod;        /* .k NULL: not used */
	enum gf_host_delivery delivery;
	int by_kmod;                    /* atomic: the last sample was */
	struct gf_host_fields *hf;
	struct gf_strings *strings;
	struct row_note *note;
	uint32_t next_ask;
	uint32_t want;
	int32_t me;
	int32_t *self;
	size_t self_count;
	uint64_t total_pages; /* RAM and swap */
	double page;
};

static bool is_self(const struct gf_host *h, const struct gf_task_rec *r)
{
	if (r->pid == h->me || r->ppid == h->me)
		return true;
	for (size_t i = 0; i < h->self_count; i++)
		if (h->self[i] == r->pid)
			return true;
	return false;
}

/* By /proc they come from a helper, one pass behind; what the last pass asked for
 * and has not got is kept for a moment, then it is unknown. */
static void set_io(struct gf_host *h, uint32_t row, const struct gf_task_rec *r)
{
	struct gf_sample *s = &h->t.sample;
	const struct row_note *n = &h->note[row];
	bool known = r->have & GF_REC_IO;
	bool noted = !known && n->io_ns && s->now_ns - n->io_ns <= IO_STALE_NS;

	gf_record_io(s, row, known || noted, known ? r->read_bytes : n->io_read, known ? r->write_bytes : n->io_write);
}

static struct gf_string *string_of(struct gf_strref *ref)
{
	return (struct gf_string *)(void *)((char *)(uintptr_t)ref->p - offsetof(struct gf_string, text));
}

static const char known_empty[] = "";

/* Takes a string out of its row. */
static void forget_string(struct gf_host *h, uint32_t row, unsigned field)
{
	struct gf_strref *ref = h->t.sample.str[field] ? &h->t.sample.str[field][row] : NULL;

	if (!ref)
		return;
	if (ref->ver && ref->p != known_empty)
		gf_strings_drop(h->strings, string_of(ref));
	*ref = (struct gf_strref){ 0 };
}

static void row_gone(void *arg, uint32_t row)
{
	struct gf_host *h = arg;

	for (unsigned f = 0; f < GF_SF_COUNT; f++)
		if (SIDE_STRINGS & 1u << f)
			forget_string(h, row, f);
}

static void set_empty(struct gf_host *h, uint32_t row, unsigned field)
{
	struct gf_strref *ref = &h->t.sample.str[field][row];

	if (!ref->ver)
		*ref = (struct gf_strref){ known_empty, 0, gf_table_ver(&h->table) };
}

static void ask_strings(struct gf_host *h, uint32_t row, const struct gf_task_rec *r, bool fresh)
{
	struct gf_sample *s = &h->t.sample;
	struct row_note *n = &h->note[row];
	uint32_t want = h->fields.str & SIDE_STRINGS;

	if (h->want & GF_REC_IO && !(r->have & GF_REC_IO))
		want |= 1u << GF_STRING_IO;

	if (!want)
		return;
	if (!fresh && n->exec_tag != r->exec_tag) {
		/* The same process, another program: what was read is history. */
		for (unsigned f = 0; f < GF_SF_COUNT; f++)
			if (SIDE_STRINGS & 1u << f)
				forget_string(h, row, f);
		n->ask_id = ++h->next_ask;
		n->asked = n->failed = n->tries = 0;
	}
	n->exec_tag = r->exec_tag;
	if (r->flags & GF_REC_KTHREAD) {
		for (unsigned f = GF_SF_EXE; f <= GF_SF_CMDLINE; f++)
			if (want & 1u << f)
				set_empty(h, row, f);
		want &= ~((1u << GF_SF_EXE) | (1u << GF_SF_CMDLINE));
	}
	if (n->failed && s->now_ns >= n->retry_ns && n->tries < STR_RETRIES) {
		n->asked &= (uint8_t)~n->failed;
		n->failed = 0;
		n->tries++;
	}
	want &= ~(uint32_t)n->asked;
	if (r->flags & GF_REC_EXITING)
		want &= 1u << GF_STRING_IO; /* which a zombie still has */
	if (!want)
		return;
	struct gf_string_ask ask = {
		.row = row, .gen = s->gen[row], .id = n->ask_id, .fields = want, .pid = r->pid, .start_ns = r->start_ns,
	};
	if (gf_strings_ask(h->strings, &ask))
		n->asked |= (uint8_t)want;
}

static bool may_pass(int error)
{
	/* Gone, or not for us to read: asking again would not help. */
	return error != -ESRCH && error != -EACCES && error != -EPERM;
}

static bool counter(const char *text, const char *key, uint64_t *ret)
{
	const char *p = strstr(text, key);

	if (p)
		*ret = strtoull(p + strlen(key), NULL, 10);
	return p;
}

static void take_io(struct gf_host *h, const struct gf_string *a)
{
	const struct gf_sample *s = &h->t.sample;
	struct row_note *n = &h->note[a->row];
	uint64_t rd, wr;

	if (!s->flags[a->row] || s->gen[a->row] != a->gen || n->ask_id != a->id)
		return;
	if (!a->error && counter(a->text, "\nread_bytes: ", &rd) && counter(a->text, "\nwrite_bytes: ", &wr)) {
		n->io_read = rd;
		n->io_write = wr;
		n->io_ns = s->now_ns;
	}
	if (!a->error || may_pass(a->error))
		n->asked &= (uint8_t)~(1u << GF_STRING_IO);
}

static void take_strings(struct gf_host *h)
{
	struct gf_sample *s = &h->t.sample;
	struct gf_string *next;

	for (struct gf_string *a = gf_strings_take(h->strings); a; a = next) {
		next = a->next;
		struct row_note *n = &h->note[a->row];

		if (a->field == GF_STRING_IO) {
			take_io(h, a);
			gf_strings_drop(h->strings, a);
			continue;
		}
		struct gf_strref *ref = s->str[a->field] ? &s->str[a->field][a->row] : NULL;
		bool ours = ref && s->flags[a->row] && s->gen[a->row] == a->gen && n->ask_id == a->id;

		/* Between the new memory and its arguments an exec leaves the kernel with nothing to show. Who has none at all is asked as often as who fails. */
		if (ours && !a->error && !a->len && a->field == GF_SF_CMDLINE && n->tries < STR_RETRIES) {
			n->failed |= (uint8_t)(1u << a->field);
			n->retry_ns = s->now_ns + STR_RETRY_NS;
			gf_strings_drop(h->strings, a);
			continue;
		}
		if (ours && !a->error) {
			forget_string(h, a->row, a->field);
			*ref = (struct gf_strref){ a->text, a->len, gf_table_ver(&h->table) };
			continue;
		}
		if (ours && may_pass(a->error)) {
			n->failed |= (uint8_t)(1u << a->field);
			n->retry_ns = s->now_ns + STR_RETRY_NS;
		}
		gf_strings_drop(h->strings, a);
	}
}

bool gf_host_knows(const struct gf_host *h, int32_t pid, uint64_t start_ns, struct gf_host_memo *ret)
{
	uint32_t row = gf_table_find(&h->table, pid, start_ns);

	if (row == GF_NONE)
		return false;
	const struct row_note *n = &h->note[row];
	*ret = (struct gf_host_memo){
		.exec_tag = n->exec_tag, .row = row, .have = n->have, .euid = n->euid, .egid = n->egid,
		.oom_adj = n->oom_adj, .init = n->init, .memory = n->memory,
	};
	return true;
}

void gf_host_remember_memory(struct gf_host *h, uint32_t row, const struct gf_memory_memo *m)
{
	h->note[row].memory = *m;
}

void gf_host_put(struct gf_host *h, const struct gf_task_rec *r)
{
	struct gf_sample *s = &h->t.sample;
	bool fresh;
	uint32_t row = gf_table_row(&h->table, r->pid, r->start_ns, r->ppid, &fresh);

	if (row == GF_NONE)
		return;
	if (fresh)
		h->note[row] = (struct row_note){ .ask_id = ++h->next_ask, .exec_tag = r->exec_tag };
	uint8_t flags = gf_record_flags(r);
	s->flags[row] = flags | (is_self(h, r) ? GF_ROW_SELF : 0);
	h->note[row].init = !!(flags & GF_ROW_INIT);
	h->note[row].have = (uint16_t)(r->have & (GF_REC_UID | GF_REC_ADJ));
	h->note[row].euid = r->euid;
	h->note[row].egid = r->egid;
	h->note[row].oom_adj = r->oom_adj;
	s->uid[row] = r->have & GF_REC_UID ? r->euid : GF_NONE;
	gf_table_comm(&h->table, row, r->comm, sizeof r->comm);
	gf_record_columns(s, row, r, &(struct gf_record_env){ s->now_ns, h->total_pages, h->page }, &h->note[row].shown);
	set_io(h, row, r);
	ask_strings(h, row, r, fresh);
}

void gf_host_time(struct gf_host *h, uint64_t now_ns)
{
	h->t.sample.now_ns = now_ns;
}

/* All processes, by the module where it is there, or else by the other road. */
static int pass(struct gf_host *h, uint64_t before, uint64_t *ret_known, struct gf_err *err)
{
	int r = -ENODEV;

	if (h->mod.k)
		r = gf_host_kmod_pass(&h->mod, h, h->fields.host, h->t.sample.now_ns, before, err);
	__atomic_store_n(&h->by_kmod, h->mod.k && r != -ENODEV, __ATOMIC_RELAXED);
	if (!r)
		*ret_known = h->mod.known;
	if (r != -ENODEV || !h->sampler)
		return r;
	return h->sampler->pass(h->sampler, h, h->want, err);
}

static int host_sample(struct gf_target *t, struct gf_err *err)
{
	struct gf_host *h = (struct gf_host *)(void *)t;
	struct gf_sample *s = &t->sample;
	struct timespec now;

	uint64_t before = s->now_ns;

	clock_gettime(CLOCK_BOOTTIME, &now);
	s->now_ns = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
	s->seq++;
	if (h->want & GF_REC_SCORE) {
		struct sysinfo si;
		h->total_pages = sysinfo(&si) ? 0 : (uint64_t)((double)(si.totalram + si.totalswap) * si.mem_unit / h->page);
	}
	gf_table_begin(&h->table);
	take_strings(h);
	uint64_t known = 0;
	int r = pass(h, before, &known, err);
	if (r)
		gf_table_abort(&h->table);
	else
		gf_table_commit(&h->table);
	gf_strings_kick(h->strings);
	gf_host_fields_read(h->hf, s, known);
	for (unsigned i = 0; i < GF_HF_COUNT; i++)
		if (known & GF_BIT(i))
			s->host[i] = h->mod.host[i];
	if (h->fields.host & GF_BIT(GF_HF_TASKS_COUNT))
		s->host[GF_HF_TASKS_COUNT] = r ? gf_unknown() : (double)s->live + s->dropped;
	return r;
}

static int host_set_fields(struct gf_target *t, const struct gf_fieldset *f, struct gf_err *err)
{
	struct gf_host *h = (struct gf_host *)(void *)t;
	int r = gf_sample_set_fields(&t->sample, f, err);

	if (!r)
		r = gf_host_fields_want(h->hf, f->host, err);
	if (r)
		return r;
	h->fields = *f;
	h->want = gf_record_want(f);
	if (h->mod.k)
		gf_kmod_want(h->mod.k, h->want);
	return 0;
}

static void host_destroy(struct gf_target *t)
{
	struct gf_host *h = (struct gf_host *)(void *)t;

	if (h->strings && h->note)
		for (uint32_t i = 0; i < t->sample.rows; i++)
			row_gone(h, i);
	if (h->sampler)
		h->sampler->destroy(h->sampler);
	gf_kmod_destroy(h->mod.k);
	gf_host_fields_destroy(h->hf);
	gf_strings_destroy(h->strings);
	gf_table_deinit(&h->table);
	gf_sample_deinit(&t->sample);
	free(h->note);
	free(h->self);
	free(h);
}

static int choose_sampler(struct gf_host *h, enum gf_host_sampler which, struct gf_err *err)
{
	struct gf_err why = { "" };

	if (which == GF_SAMPLER_KMOD) {
		snprintf(h->t.road, sizeof h->t.road, "kmod");
		return 0;
	}
	if (which != GF_SAMPLER_PROC) {
		int r = gf_host_bpf_create(&h->sampler, &why);
		if (!r) {
			snprintf(h->t.road, sizeof h->t.road, "bpf");
			return 0;
		}
		if (which == GF_SAMPLER_BPF)
			return gf_err_set(err, -r, "%s; \"sampler: proc\" does without BPF", why.text);
	}
	int r = gf_host_proc_create(&h->sampler, err);
	if (r)
		return r;
	if (which == GF_SAMPLER_PROC)
		snprintf(h->t.road, sizeof h->t.road, "proc");
	else
		snprintf(h->t.road, sizeof h->t.road, "proc: %.*s", (int)sizeof h->t.road - 7, why.text);
	return 0;
}

/* The module, where it is asked for, or may be taken. */
static int open_module(struct gf_host *h, const struct gf_host_opts *o, struct gf_err *err)
{
	struct gf_kmod_opts k = {
		.dev = o->kmod, .rows = h->t.sample.cap, .period_ns = o->period_ns ? o->period_ns : 100000000u, .self_pids = o->self_pids,
		.self_count = o->self_count, .deliver = o->delivery != GF_DELIVERY_PIDFD, .check_pids = !o->kmod, .say = o->say, .say_arg = o->say_arg,
	};
	char why[256];

	if (!o->module)
		return 0;
	h->delivery = o->delivery;
	if (o->sampler != GF_SAMPLER_AUTO && o->sampler != GF_SAMPLER_KMOD) {
		if (o->delivery != GF_DELIVERY_KMOD)
			return 0;
		return gf_err_set(err, EINVAL, "\"delivery: kmod\" needs the module to sample, too: \"sampler: auto\", or kmod");
	}
	int r = gf_kmod_create(&k, &h->mod.k, err);
	if (r)
		return r;
	h->mod.period_ns = k.period_ns;
	h->by_kmod = gf_kmod_up(h->mod.k);
	if (o->sampler == GF_SAMPLER_KMOD && !gf_kmod_up(h->mod.k))
		return gf_err_set(err, ENODEV, "%s; \"sampler: auto\" does without it", gf_kmod_why(h->mod.k, why, sizeof why));
	if (o->delivery == GF_DELIVERY_KMOD && !gf_kmod_up(h->mod.k))
		return gf_err_set(err, ENODEV, "%s; \"delivery: auto\" does without it", gf_kmod_why(h->mod.k, why, sizeof why));
	return 0;
}

struct gf_kmod *gf_host_kmod(struct gf_target *t)
{
	return t->target_kind == GF_TARGET_HOST ? ((struct gf_host *)(void *)t)->mod.k : NULL;
}

size_t gf_host_self(const struct gf_target *t, int32_t *buf, size_t n)
{
	const struct gf_host *h = (const struct gf_host *)(const void *)t;

	n = GF_MIN(n, h->self_count);
	if (n)
		memcpy(buf, h->self, n * sizeof *buf);
	return n;
}

const char *gf_host_delivers(struct gf_target *t)
{
	struct gf_host *h = (struct gf_host *)(void *)t;

	if (h->mod.k && gf_kmod_delivers(h->mod.k))
		return "kmod";
	return h->delivery == GF_DELIVERY_KMOD ? "none" : "pidfd";
}

const char *gf_host_module(struct gf_target *t, char *buf, size_t n)
{
	struct gf_host *h = (struct gf_host *)(void *)t;

	if (!h->mod.k)
		snprintf(buf, n, "not to be used");
	else if (gf_kmod_up(h->mod.k))
		snprintf(buf, n, "%s", __atomic_load_n(&h->by_kmod, __ATOMIC_RELAXED) ? "samples" : "has no whole table just now");
	else
		gf_kmod_why(h->mod.k, buf, n);
	return buf;
}

/* "kmod"; "bpf"; "bpf; another process has /dev/gpufas open". That there is no module is no news. */
static void host_describe(struct gf_target *t, char *buf, size_t n)
{
	struct gf_host *h = (struct gf_host *)(void *)t;
	char why[256] = "";

	if (__atomic_load_n(&h->by_kmod, __ATOMIC_RELAXED)) {
		snprintf(buf, n, "kmod");
		return;
	}
	if (h->mod.k && (!h->sampler || gf_kmod_present(h->mod.k)))
		gf_host_module(t, why, sizeof why);
	snprintf(buf, n, "%s%s%s", h->sampler ? t->road : "nothing", *why ? "; kernel module: " : "", why);
}

/* Whether /proc counts processes as we do. Where it is that of another pid namespace,
 * the same number is one process there and another one here: nothing would be safe. */
static int check_proc(struct gf_err *err)
{
	char line[512];
	int me = 0, more = 0, found = 0;
	FILE *f = fopen("/proc/self/status", "re");

	while (f && found < 1 && fgets(line, sizeof line, f))
		if (!strncmp(line, "NSpid:", 6))
			found = sscanf(line + 6, "%d %d", &me, &more);
	if (f)
		fclose(f);
	if (f && !found)
		return 0; /* a kernel without it (before 4.1) */
	if (found != 1 || me != getpid())
		return gf_err_set(err, ENOTSUP, "/proc is not that of this pid namespace, so that pids in it are other processes' here: "
				  "mount a /proc of its own (unshare --mount-proc, or mount -t proc proc /proc)");
	return 0;
}

int gf_host_create(const struct gf_host_opts *opts, struct gf_target **ret, struct gf_err *err)
{
	static const struct gf_target_ops ops = {
		.kind = "host", .sample = host_sample, .set_fields = host_set_fields, .destroy = host_destroy, .describe = host_describe,
	};
	struct gf_host *h = calloc(1, sizeof *h);
	uint32_t cap = opts->max_tasks ? opts->max_tasks : 32768;

	if (!h)
		return gf_err_set(err, ENOMEM, "no memory for the host target");
	h->t.ops = &ops;
	h->t.target_kind = GF_TARGET_HOST;
	snprintf(h->t.name, sizeof h->t.name, "host");
	h->me = getpid();
	h->page = (double)sysconf(_SC_PAGESIZE);
	h->want = gf_record_want(&h->fields);
	int r = check_proc(err);
	if (!r)
		r = gf_sample_init(&h->t.sample, cap, err);
	if (!r)
		r = gf_table_init(&h->table, &h->t.sample, err);
	if (!r) {
		h->table.on_free = row_gone;
		h->table.on_free_arg = h;
		h->note = calloc(h->t.sample.cap, sizeof *h->note);
		h->self = calloc(opts->self_count + 1, sizeof *h->self);
		if (!h->note || !h->self)
			r = gf_err_set(err, ENOMEM, "no memory for a table of %u tasks: lower max_tasks", cap);
	}
	if (!r && opts->self_count) {
		memcpy(h->self, opts->self_pids, opts->self_count * sizeof *h->self);
		h->self_count = opts->self_count;
	}
	if (!r)
		r = gf_host_fields_create(&h->hf, err);
	if (!r)
		r = gf_strings_create(&h->strings, err);
	if (!r)
		r = choose_sampler(h, opts->sampler == GF_SAMPLER_KMOD && !opts->module ? GF_SAMPLER_AUTO : opts->sampler, err);
	if (!r)
		r = open_module(h, opts, err);
	if (r) {
		host_destroy(&h->t);
		return r;
	}
	*ret = &h->t;
	return 0;
}
