// SPDX-License-Identifier: MIT
/*
 * The reader's side of the kernel module, with ordinary memory for its region: what lies in it, how the host target
 * takes it and goes by another road without it, and what goes through the mailbox.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "targets/actuator.h"
#include "targets/assist.h"
#include "targets/kmod.h"
#include "targets/proc.h"
#include "targets/target.h"
#include "tests/helpers/fakeregion.h"

static enum gf_region_bad take(struct fake_region *f, struct gf_region *r)
{
	struct gpufas_header h;

	*r = (struct gf_region){ .spans = 1 };
	r->span[0] = (struct gf_region_span){ f->p, 0, f->len };
	assert_int_equal(gf_region_copy(r, 0, &h, sizeof h), 0);
	return gf_region_take(r, &h);
}

/* ---- what lies in it ------------------------------------------------------------ */

static void test_header(void **state)
{
	struct fake_region f;
	struct gf_region r;

	(void)state;
	fake_make(&f, 77);
	assert_int_equal(take(&f, &r), GF_RB_NONE);
	assert_true(gf_region_alive(&r));
#define LIE(member, value, want) do { struct gpufas_header was = *f.h; f.h->member = (value); assert_int_equal(take(&f, &r), want); *f.h = was; } while (0)
	LIE(magic, 1, GF_RB_MAGIC);
	LIE(version, 2, GF_RB_VERSION);
	LIE(state, GPUFAS_DEAD, GF_RB_DEAD);
	LIE(instance, 0, GF_RB_DEAD);
	LIE(header_size, 16, GF_RB_SIZES);
	LIE(region_size, 1ull << 40, GF_RB_SIZES);
	LIE(region_size, f.len - 1, GF_RB_SIZES);
	LIE(rec_size, 200, GF_RB_SIZES);
	LIE(rows, 0, GF_RB_SIZES);
	LIE(rows, GPUFAS_ROWS_MAX + 1, GF_RB_SIZES);
	LIE(rows, GPUFAS_ROWS_MAX, GF_RB_PLACES);
	LIE(slots, 65536, GF_RB_PLACES);
	LIE(cpus, 65537, GF_RB_SIZES);
	LIE(control_off, 0, GF_RB_PLACES);
	LIE(control_off, (uint32_t)f.len, GF_RB_PLACES);
	LIE(verdict_off, 4099, GF_RB_PLACES);
	LIE(answer_off, 0xfffffff8u, GF_RB_PLACES);
	LIE(answer_size, 1u << 30, GF_RB_PLACES);
	LIE(host_off, (uint32_t)f.len - 8, GF_RB_PLACES);
	LIE(table_off[2], (uint32_t)f.len - 64, GF_RB_PLACES);
#undef LIE
	assert_int_equal(take(&f, &r), GF_RB_NONE);
	f.h->instance = 78;
	assert_false(gf_region_alive(&r));
	free(f.p);
}

static void test_table(void **state)
{
	struct gf_task_rec rec[2] = { fake_rec(1, 5, "init"), fake_rec(4711, 100, "x") }, got;
	struct gf_region_look l = { 0 };
	struct fake_region f;
	struct gf_region r;

	(void)state;
	fake_make(&f, 77);
	take(&f, &r);
	assert_int_equal(gf_region_begin(&r, &l), -ENODATA);
	fake_pass(&f, rec, 2);
	assert_int_equal(gf_region_begin(&r, &l), 0);
	assert_int_equal(l.count, 2);
	assert_int_equal(gf_region_rec(&r, &l, 1, &got), 1);
	assert_memory_equal(&got, &rec[1], sizeof got);
	assert_int_equal(gf_region_end(&r, &l), 0);
	/* written while it is read */
	fake_table(&f, 0)->seq += 2;
	assert_int_equal(gf_region_end(&r, &l), -EAGAIN);
	fake_table(&f, 0)->seq++;
	assert_int_equal(gf_region_begin(&r, &l), -EAGAIN);
	fake_table(&f, 0)->seq++;
	fake_table(&f, 0)->count = FAKE_ROWS + 1;
	assert_int_equal(gf_region_begin(&r, &l), -EBADMSG);
	fake_table(&f, 0)->count = 2;
	f.h->latest = 3;
	assert_int_equal(gf_region_begin(&r, &l), -EBADMSG);
	f.h->latest = 0;
	f.h->state = GPUFAS_DEAD;
	assert_int_equal(gf_region_begin(&r, &l), -ESTALE);
	free(f.p);
}

/* What no kernel writes: it is no process, or one that nobody acts on. */
static void test_records(void **state)
{
	struct gf_task_rec r;

	(void)state;
#define REC(change) (r = fake_rec(4711, 100, "x"), change, gf_region_mend(&r, 1000))
	assert_int_equal(REC(r.pid = 0), 0);
	assert_int_equal(REC(r.pid = -5), 0);
	assert_int_equal(REC(r.pid = 4194305), 0);
	assert_int_equal(REC(r.start_ns = 3000000000u), 0);
	assert_int_equal(REC(r.ppid = -1), 1);
	assert_true(r.flags & GF_REC_TORN);
	assert_int_equal(REC(r.oom_adj = 1001), 1);
	assert_true(r.flags & GF_REC_TORN && !(r.have & GF_REC_ADJ));
	assert_int_equal(REC(r.nice = 20), 1);
	assert_true(r.flags & GF_REC_TORN && !(r.have & GF_REC_STAT));
	assert_int_equal(REC(r.anon = -1), 1);
	assert_int_equal(r.anon, 0);
	assert_int_equal(REC(r.file = INT64_MAX), 1);
	assert_true(r.file + r.anon + r.shmem > 0);
	assert_int_equal(REC(r.have = ~0u), 1);
	assert_false(r.have & (GF_REC_SCORE | GF_REC_RSS_SUM));
	assert_int_equal(REC(memset(r.comm, 'y', 16)), 1);
	assert_int_equal(r.comm[15], 0);
	assert_int_equal(REC((void)0), 1);
	assert_false(r.flags & GF_REC_TORN);
#undef REC
}

/* Any bytes at all: an error, or records within bounds; nothing is read or written outside. */
static void test_noise(void **state)
{
	struct fake_region f;
	struct gf_region r;
	struct gf_region_look l = { 0 };
	struct gf_task_rec rec;
	double host[GF_HF_COUNT];
	struct gpufas_answer a;
	uint32_t taken = 0, looked = 0;

	(void)state;
	srandom(1);
	fake_make(&f, 77);
	struct gpufas_header good = *f.h;
	for (int round = 0; round < 20000; round++) {
		*f.h = good;
		f.h->latest = (uint32_t)random() % 5;
		for (long k = random() % 4; k > 0; k--)
			((uint32_t *)(void *)f.p)[random() % (long)(sizeof good / 4)] = (uint32_t)random() >> random() % 32;
		for (int k = 0; k < 64; k++)
			((uint32_t *)(void *)(f.p + 4096))[random() % (long)((f.len - 4096) / 4)] = (uint32_t)random();
		if (take(&f, &r) || r.size > f.len)
			continue;
		taken++;
		gf_region_host(&r, ~0ull, host);
		gf_region_ask(&r, 1, 2, 3, 4);
		struct gf_mail m;
		struct gpufas_verdict v = { .pid = 5, .deadline_ns = 5 };
		gf_mail_init(&m, &r);
		int slot = gf_mail_post(&m, &v, 1);
		if (slot >= 0)
			gf_mail_answer(&m, (uint32_t)slot, v.seq, &a);
		if (gf_region_begin(&r, &l))
			continue;
		looked++;
		for (uint32_t i = 0; i < l.count; i++)
			if (gf_region_rec(&r, &l, i, &rec) == 1)
				assert_true(rec.pid > 0 && rec.pid <= 4194304 && rec.anon >= 0);
		gf_region_end(&r, &l);
	}
	assert_true(taken > 1000);
	assert_true(looked > 0);
	free(f.p);
}

/* A region in pieces is the same as one in one piece. */
static void test_pieces(void **state)
{
	struct fake_region f;
	struct gf_region one, many;
	uint8_t a[512], b[512];

	(void)state;
	fake_make(&f, 77);
	take(&f, &one);
	for (uint64_t i = 0; i < f.len; i++)
		f.p[i] = (uint8_t)(i * 7);
	many = one;
	many.spans = 0;
	for (uint64_t off = 0; off < f.len; off += 4096)
		many.span[many.spans++] = (struct gf_region_span){ f.p + off, off, 4096 };
	for (uint64_t off = 0; off + 512 <= f.len; off += 264) {
		assert_int_equal(gf_region_copy(&one, off, a, 512), 0);
		assert_int_equal(gf_region_copy(&many, off, b, 512), 0);
		assert_memory_equal(a, b, 512);
	}
	assert_int_equal(gf_region_copy(&many, f.len - 8, b, 16), -EBADMSG);
	assert_null(gf_region_at(&many, f.len, 1));
	assert_null(gf_region_at(&many, 4090, 8));
	free(f.p);
}

static void test_stalled(void **state)
{
	struct gf_region_clock c = { 0 };
	struct fake_region f;
	struct gf_region r;

	(void)state;
	fake_make(&f, 77);
	take(&f, &r);
	f.h->jiffies = 100;
	assert_int_equal(gf_region_stalled(&r, &c, 1000), 0);
	assert_int_equal(gf_region_stalled(&r, &c, 5000), 4000);
	f.h->jiffies++;
	assert_int_equal(gf_region_stalled(&r, &c, 6000), 0);
	assert_int_equal(gf_region_stalled(&r, &c, 9000), 3000);
	r.instance = 78; /* another boot's */
	assert_int_equal(gf_region_stalled(&r, &c, 9500), 0);
	free(f.p);
}

/* ---- a module, played --------------------------------------------------------------- */

enum play { PLAY_DO, PLAY_REFUSE, PLAY_SILENT, PLAY_LATE };

struct module {
	struct fake_region f;
	bool absent;
	enum play play;
	uint16_t why;
	uint32_t opened, closed, armed, kicks, taken, garbled;
	struct gpufas_verdict last;
	char said[512];
};

static int m_open(void *arg, uint32_t rows, uint32_t want, uint64_t period_ns, int *ret_fd, uint8_t **ret_map, uint64_t *ret_len, struct gf_err *err)
{
	struct module *m = arg;

	(void)rows, (void)want, (void)period_ns;
	if (__atomic_load_n(&m->absent, __ATOMIC_SEQ_CST))
		return gf_err_set(err, ENOENT, "no /dev/gpufas: the kernel module is not loaded");
	__atomic_fetch_add(&m->opened, 1, __ATOMIC_SEQ_CST);
	*ret_fd = 1000;
	*ret_map = m->f.p;
	*ret_len = m->f.len;
	return 0;
}

static int m_arm(void *arg, int fd, uint32_t flags)
{
	struct module *m = arg;

	(void)fd;
	if (flags & GPUFAS_ARM_PANIC)
		return -EPERM; /* no parameter */
	__atomic_store_n(&m->armed, flags, __ATOMIC_SEQ_CST);
	return 0;
}

static int m_kick(void *arg, int fd)
{
	struct module *m = arg;

	(void)fd;
	m->kicks++;
	for (uint32_t i = 0; i < FAKE_SLOTS; i++) {
		struct gpufas_verdict v = m->f.verdict[i];
		if (!v.seq || v.seq == m->f.answer[i].seq || m->play == PLAY_SILENT)
			continue;
		if (v.check != gpufas_check(m->f.h->instance, &v)) {
			m->garbled++;
			continue;
		}
		m->last = v;
		m->taken++;
		if (m->play == PLAY_REFUSE) {
			fake_answer(&m->f, i, GPUFAS_REFUSED, m->why);
			continue;
		}
		if (v.flags & GPUFAS_OBSERVE) {
			fake_answer(&m->f, i, GPUFAS_OBSERVED, 0);
			continue;
		}
		if (v.action == GPUFAS_SIGNAL)
			kill(v.pid, v.arg);
		fake_answer(&m->f, i, GPUFAS_SENT, 0);
	}
	return 0;
}

static void m_close(void *arg, int fd, uint8_t *map, uint64_t len)
{
	struct module *m = arg;

	(void)fd, (void)map, (void)len;
	__atomic_fetch_add(&m->closed, 1, __ATOMIC_SEQ_CST);
}

static void m_say(void *arg, int level, const char *text)
{
	struct module *m = arg;
	size_t n = strlen(m->said);

	(void)level;
	snprintf(m->said + n, sizeof m->said - n, "%s\n", text);
}

static struct gf_target *host_by(struct module *m, enum gf_host_sampler sampler, struct gf_err *err)
{
	static struct gf_kmod_dev dev;
	const struct gf_fieldset fields = { GF_BIT(GF_HF_OS_STALLED) | GF_BIT(GF_HF_MEM_FREE) | GF_BIT(GF_HF_MEM_TOTAL), GF_BIT(GF_TF_RSS), 0, 0 };
	struct gf_target *t = NULL;

	dev = (struct gf_kmod_dev){ m_open, m_arm, m_kick, m_close, m };
	struct gf_host_opts o = { .sampler = sampler, .max_tasks = 1024, .module = true, .kmod = &dev, .say = m_say, .say_arg = m };
	if (gf_host_create(&o, &t, err))
		return NULL;
	assert_int_equal(gf_target_set_fields(t, &fields, err), 0);
	return t;
}

static uint32_t row_of(const struct gf_target *t, int32_t pid)
{
	for (uint32_t i = 0; i < t->sample.rows; i++)
		if (t->sample.flags[i] && t->sample.pid[i] == pid)
			return i;
	return GF_NONE;
}

static void wait_for(const uint32_t *what, uint32_t n)
{
	for (int i = 0; i < 60000 && __atomic_load_n(what, __ATOMIC_SEQ_CST) < n; i++)
		usleep(1000);
	assert_true(__atomic_load_n(what, __ATOMIC_SEQ_CST) >= n);
}

static bool by_module(struct gf_target *t)
{
	char text[512];

	gf_target_sample(t, NULL);
	return !strcmp(gf_target_describe(t, text, sizeof text), "kmod");
}

static void comes_to(struct gf_target *t, bool module, struct module *m, const struct gf_task_rec *rec, uint32_t n)
{
	bool is = false;

	for (int i = 0; i < 6000 && !is; i++) {
		if (rec)
			fake_pass(&m->f, rec, n);
		is = by_module(t) == module;
		usleep(10000);
	}
	assert_true(is);
}

static void test_host_road(void **state)
{
	struct gf_task_rec rec[2] = { fake_rec(1, 5, "init"), fake_rec(4100000, 100, "made-up") };
	struct module m = { .absent = false };
	struct gf_err err = { "" };
	char text[512];

	(void)state;
	fake_make(&m.f, 77);
	m.f.host->have = GF_BIT(GPUFAS_H_MEM_FREE);
	m.f.host->v[GPUFAS_H_MEM_FREE] = 12345;
	struct gf_target *t = host_by(&m, GF_SAMPLER_AUTO, &err);
	assert_non_null(t);
	assert_string_equal(gf_host_delivers(t), "pidfd"); /* not armed yet */
	gf_kmod_arm(gf_host_kmod(t), GPUFAS_ARM_ACT | GPUFAS_ARM_PANIC);
	assert_int_equal(m.armed, GPUFAS_ARM_ACT); /* without what the module does not allow */
	assert_string_equal(gf_host_delivers(t), "kmod");

	/* no table yet: by the other road, which does not know who is made up */
	assert_int_equal(gf_target_sample(t, &err), 0);
	assert_int_equal(row_of(t, 4100000), GF_NONE);
	assert_true(row_of(t, getpid()) != GF_NONE);
	fake_pass(&m.f, rec, 2);
	assert_int_equal(gf_target_sample(t, &err), 0);
	uint32_t row = row_of(t, 4100000);
	assert_true(row != GF_NONE && t->sample.live == 2);
	assert_string_equal(gf_target_describe(t, text, sizeof text), "kmod");
	assert_true(t->sample.col[GF_TF_RSS][row] == 1024 * 4096.0);
	assert_true(t->sample.host[GF_HF_MEM_FREE] == 12345);
	assert_true(t->sample.host[GF_HF_MEM_TOTAL] > 1e6); /* /proc's */
	assert_true(t->sample.host[GF_HF_OS_STALLED] >= 0);
	uint64_t now = t->sample.now_ns;
	assert_int_equal(gf_target_sample(t, &err), 0);
	assert_true(t->sample.now_ns > now); /* the same table: time goes on all the same */

	/* torn: nobody is fit to be acted on, and no other road is taken for it */
	fake_table(&m.f, 0)->seq++;
	assert_int_equal(gf_target_sample(t, &err), -EAGAIN);
	assert_true(t->sample.flags[row_of(t, 4100000)] & GF_ROW_TORN);
	fake_table(&m.f, 0)->seq++;
	assert_int_equal(gf_target_sample(t, &err), 0);
	assert_false(t->sample.flags[row_of(t, 4100000)] & GF_ROW_TORN);
	/* a record that cannot be makes the table damaged, not one process fewer */
	rec[1].pid = -1;
	fake_pass(&m.f, rec, 2);
	assert_int_equal(gf_target_sample(t, &err), -EAGAIN);
	rec[1].pid = 4100000;

	/* given up: at once by the other road; it is said, closed, and taken again when it is there again */
	fake_pass(&m.f, rec, 2);
	m.absent = true;
	m.f.h->state = GPUFAS_DEAD;
	assert_int_equal(gf_target_sample(t, &err), 0);
	assert_int_equal(row_of(t, 4100000), GF_NONE);
	assert_true(gf_is_unknown(t->sample.host[GF_HF_OS_STALLED]));
	wait_for(&m.closed, 1);
	assert_string_equal(gf_host_delivers(t), "pidfd");
	/* it is looked for anew after that */
	for (int i = 0; i < 2000 && strcmp(gf_host_module(t, text, sizeof text), "no /dev/gpufas: the kernel module is not loaded"); i++)
		usleep(10000);
	assert_string_equal(gf_host_module(t, text, sizeof text), "no /dev/gpufas: the kernel module is not loaded");
	m.f.h->state = GPUFAS_SAMPLING;
	m.f.h->instance = 78;
	__atomic_store_n(&m.absent, false, __ATOMIC_SEQ_CST);
	comes_to(t, true, &m, rec, 2);
	assert_true(row_of(t, 4100000) != GF_NONE);
	assert_string_equal(gf_host_delivers(t), "kmod"); /* armed as before */
	/* it stands: its table gets old */
	m.absent = true;
	comes_to(t, false, &m, NULL, 0);
	gf_target_destroy(t);
	assert_int_equal(m.opened, m.closed);
	assert_non_null(strstr(m.said, "the kernel module is there: it samples, and delivers\n"));
	assert_non_null(strstr(m.said, "not used any more: it has given its region up"));
	assert_non_null(strstr(m.said, "not used any more: its table has not been written for a while"));
	free(m.f.p);
}

static void test_only_module(void **state)
{
	struct module m = { .absent = true };
	struct gf_err err = { "" };

	(void)state;
	fake_make(&m.f, 77);
	assert_null(host_by(&m, GF_SAMPLER_KMOD, &err));
	assert_string_equal(err.text, "no /dev/gpufas: the kernel module is not loaded; \"sampler: auto\" does without it");
	m.absent = false;
	struct gf_target *t = host_by(&m, GF_SAMPLER_KMOD, &err);
	assert_non_null(t);
	/* and by no other road */
	assert_int_equal(gf_target_sample(t, &err), -ENODEV);
	gf_target_destroy(t);
	/* who only looks does not take it away from whoever watches */
	struct gf_host_opts looks = { .sampler = GF_SAMPLER_KMOD, .max_tasks = 1024, .kmod = &(struct gf_kmod_dev){ m_open, m_arm, m_kick, m_close, &m } };
	uint32_t opened = m.opened;
	assert_int_equal(gf_host_create(&looks, &t, &err), 0);
	assert_int_equal(gf_target_sample(t, &err), 0);
	assert_null(gf_host_kmod(t));
	assert_int_equal(m.opened, opened);
	gf_target_destroy(t);
	/* of another build: said */
	m.f.h->version = 9;
	t = host_by(&m, GF_SAMPLER_AUTO, &err);
	assert_non_null(t);
	assert_non_null(strstr(m.said, "the kernel module is not used: its region is of no use: it is of another version"));
	gf_target_destroy(t);
	free(m.f.p);
}

/* ---- the mailbox ----------------------------------------------------------------------- */

static void test_mail(void **state)
{
	struct gpufas_verdict v = { .pid = 5, .deadline_ns = 100 };
	struct gpufas_answer a;
	struct fake_region f;
	struct gf_region r;
	struct gf_mail m;
	uint64_t seq[FAKE_SLOTS];

	(void)state;
	fake_make(&f, 77);
	take(&f, &r);
	f.h->mail_seq = 40;
	f.verdict[3].seq = 44;
	gf_mail_init(&m, &r);
	for (uint32_t i = 0; i < FAKE_SLOTS; i++) {
		assert_int_equal(gf_mail_post(&m, &v, 1), (int)i);
		seq[i] = v.seq;
		assert_true(v.seq > 44 && (!i || v.seq > seq[i - 1]));
		assert_int_equal(f.verdict[i].seq, v.seq);
		assert_true(f.verdict[i].check == gpufas_check(77, &f.verdict[i]));
		assert_true(f.verdict[i].check != gpufas_check(78, &f.verdict[i]));
	}
	assert_int_equal(gf_mail_post(&m, &v, 1), -EAGAIN);
	assert_int_equal(gf_mail_answer(&m, 2, seq[2], &a), 0);
	fake_answer(&f, 2, GPUFAS_SENT, 0);
	assert_int_equal(gf_mail_answer(&m, 2, seq[2], &a), 1);
	assert_int_equal(a.state, GPUFAS_SENT);
	f.answer[2].state = 99; /* no such */
	assert_int_equal(gf_mail_answer(&m, 2, seq[2], &a), 0);
	gf_mail_free(&m, 2, seq[2]);
	assert_int_equal(gf_mail_post(&m, &v, 1), 2);
	/* those that are void for a second make room */
	assert_int_equal(gf_mail_post(&m, &v, 101), -EAGAIN);
	assert_int_equal(gf_mail_post(&m, &v, 1000000200), 0);
	/* no number is left that is greater: nothing is sent */
	f.h->mail_seq = ~0ull;
	gf_mail_init(&m, &r);
	assert_int_equal(gf_mail_post(&m, &v, 1), -EBADMSG);
	free(f.p);
}

struct rig {
	struct gf_actuator *a;
	int fd;
	pthread_mutex_t lock;
	struct gf_verdict queue[16];
	size_t queued, events;
	struct gf_event event[16];
};

static size_t source(void *arg, struct gf_verdict *buf, size_t n)
{
	struct rig *r = arg;

	pthread_mutex_lock(&r->lock);
	n = GF_MIN(n, r->queued);
	memcpy(buf, r->queue, n * sizeof *buf);
	r->queued -= n;
	pthread_mutex_unlock(&r->lock);
	return n;
}

static void sink(void *arg, const struct gf_event *ev)
{
	struct rig *r = arg;

	pthread_mutex_lock(&r->lock);
	if (r->events < 16)
		r->event[r->events++] = *ev;
	pthread_mutex_unlock(&r->lock);
}

static pid_t sleeper(void)
{
	pid_t pid = fork();

	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (;;)
			pause();
	}
	return pid;
}

/* One verdict on a process, and the first that is said of it. */
static struct gf_event_member act(struct rig *r, pid_t pid, int sig, uint8_t flags)
{
	struct gf_proc_stat st = { 0 };
	char name[64], buf[2048];
	uint64_t one = 1;

	snprintf(name, sizeof name, "/proc/%d/stat", pid);
	FILE *f = fopen(name, "r");
	assert_non_null(f);
	size_t n = fread(buf, 1, sizeof buf, f);
	fclose(f);
	assert_int_equal(gf_proc_stat_parse(buf, n, &st), 0);
	pthread_mutex_lock(&r->lock);
	r->events = 0;
	r->queue[0] = (struct gf_verdict){ .event = 7, .pid = pid, .start_ns = st.start_ticks * GF_TICK_NS + 1, .action = GF_ACT_SIGNAL, .arg = sig,
					   .flags = (uint8_t)(flags | GF_VERDICT_LEAD | GF_VERDICT_LAST) };
	r->queued = 1;
	pthread_mutex_unlock(&r->lock);
	assert_int_equal(write(r->fd, &one, sizeof one), sizeof one);
	for (size_t k = 0; !k; usleep(1000)) {
		pthread_mutex_lock(&r->lock);
		k = r->events;
		pthread_mutex_unlock(&r->lock);
	}
	return r->event[0].u.member[0];
}

static void rig_up(struct rig *r, struct gf_target *t, bool only)
{
	struct gf_actuator_opts o = { .kmod = gf_host_kmod(t), .only_kmod = only };

	memset(r, 0, sizeof *r);
	pthread_mutex_init(&r->lock, NULL);
	r->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	assert_int_equal(gf_actuator_create(&o, r->fd, source, r, sink, r, &r->a, NULL), 0);
}

static void rig_down(struct rig *r)
{
	gf_actuator_destroy(r->a);
	close(r->fd);
}

static void test_delivery(void **state)
{
	struct module m = { .absent = false };
	struct gf_err err = { "" };
	struct gf_event_member got;
	struct rig r;
	int status;

	(void)state;
	fake_make(&m.f, 77);
	struct gf_target *t = host_by(&m, GF_SAMPLER_AUTO, &err);
	assert_non_null(t);
	pid_t pid = sleeper(), other = sleeper();
	rig_up(&r, t, false);
	/* not armed: as if it were not there */
	got = act(&r, other, SIGCONT, 0);
	assert_int_equal(got.how, GF_HOW_CALL);
	assert_int_equal(m.taken, 0);
	gf_kmod_arm(gf_host_kmod(t), GPUFAS_ARM_ACT);
	got = act(&r, pid, SIGKILL, GF_VERDICT_OBSERVE);
	assert_int_equal(m.taken, 1);
	assert_int_equal(m.last.flags, GPUFAS_OBSERVE);
	assert_int_equal(waitpid(pid, &status, WNOHANG), 0);
	got = act(&r, pid, SIGKILL, 0);
	assert_int_equal(got.how, GF_HOW_MODULE);
	assert_int_equal(got.error, 0);
	assert_true(got.exit_us != GF_NONE);
	assert_int_equal(m.last.pid, pid);
	assert_int_equal(m.last.arg, SIGKILL);
	assert_int_equal(m.last.cookie, 7);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	/* real-time signals are queued: not in an interrupt */
	uint32_t taken = m.taken;
	got = act(&r, other, 0 + SIGCONT, 0);
	assert_int_equal(m.taken, taken + 1);
	assert_false(gf_kmod_can(&(struct gf_verdict){ .action = GF_ACT_SIGNAL, .pid = 5, .arg = 34 }));
	/* refused: its word is the last */
	m.play = PLAY_REFUSE;
	m.why = GPUFAS_WHY_INIT;
	got = act(&r, other, SIGKILL, 0);
	assert_int_equal(got.became, GF_BECAME_REFUSED);
	assert_int_equal(got.why, GF_REF_INIT);
	assert_int_equal(got.error, -EPERM);
	assert_int_equal(waitpid(other, &status, WNOHANG), 0);
	/* it may not, all at once: by the other road */
	m.why = GPUFAS_WHY_DISARMED;
	got = act(&r, other, SIGCONT, 0);
	assert_int_equal(got.how, GF_HOW_CALL);
	assert_int_equal(got.error, 0);
	/* it says nothing: void, then by the other road */
	m.play = PLAY_SILENT;
	got = act(&r, other, SIGKILL, 0);
	assert_int_equal(got.how, GF_HOW_CALL);
	assert_int_equal(waitpid(other, &status, 0), other);
	rig_down(&r);
	gf_target_destroy(t);

	/* by no other road */
	m.f.h->instance = 79;
	m.play = PLAY_REFUSE;
	m.why = GPUFAS_WHY_DISARMED;
	other = sleeper();
	t = host_by(&m, GF_SAMPLER_AUTO, &err);
	gf_kmod_arm(gf_host_kmod(t), GPUFAS_ARM_ACT);
	rig_up(&r, t, true);
	got = act(&r, other, SIGKILL, 0);
	assert_int_equal(got.became, GF_BECAME_REFUSED);
	assert_int_equal(waitpid(other, &status, WNOHANG), 0);
	kill(other, SIGKILL);
	waitpid(other, NULL, 0);
	rig_down(&r);
	gf_target_destroy(t);
	assert_int_equal(m.garbled, 0);
	free(m.f.p);
}

/* gpufasctl signal --road mailbox: by the module and by nothing else. */
static void test_by_hand(void **state)
{
	struct module m = { .absent = true };
	struct gf_err err = { "" };
	struct gf_event_member got;
	int status;

	(void)state;
	fake_make(&m.f, 77);
	struct gf_target *t = host_by(&m, GF_SAMPLER_AUTO, &err);
	assert_non_null(t);
	struct gf_kmod *k = gf_host_kmod(t);
	pid_t pid = sleeper();
	struct gf_task_rec rec = fake_rec(pid, 77 * GF_TICK_NS + 4711, "x");
	struct gf_verdict v = { .pid = pid, .start_ns = 77 * GF_TICK_NS, .action = GF_ACT_SIGNAL, .arg = SIGTERM };
#define HAND(code, sentence) do { \
		struct gf_verdict it = v; \
		assert_int_equal(gf_kmod_act(k, &it, &got, &err), code); \
		assert_int_equal(got.error, code); \
		assert_string_equal(err.text, sentence); \
		err.text[0] = 0; \
	} while (0)
	HAND(-ENODEV, "no /dev/gpufas: the kernel module is not loaded");
	gf_target_destroy(t);
	m.absent = false;
	t = host_by(&m, GF_SAMPLER_AUTO, &err);
	k = gf_host_kmod(t);
	err.text[0] = 0;
	HAND(-EACCES, "the kernel module only samples here (\"delivery: auto\" in gpufas.yaml has it deliver)");
	gf_kmod_arm(k, GPUFAS_ARM_ACT);
	fake_pass(&m.f, &(struct gf_task_rec){ .pid = 0 }, 1);
	HAND(-ENOENT, "it is in no table of the kernel module's");
	assert_int_equal(m.taken, 0);
	fake_pass(&m.f, &rec, 1);
	v.start_ns += GF_TICK_NS;
	HAND(-ESTALE, "another process has the pid now");
	v.start_ns -= GF_TICK_NS;
	v.arg = 40;
	HAND(-EOPNOTSUPP, "by the mailbox go only signals 1 to 31");
	v.arg = SIGCONT;
	HAND(0, "");
	assert_int_equal(got.how, GF_HOW_MODULE);
	assert_int_equal(got.became, GF_BECAME_DELIVERED);
	assert_true(m.last.start_ns == rec.start_ns); /* to the nanosecond */
	m.play = PLAY_REFUSE;
	m.why = GPUFAS_WHY_KTHREAD;
	HAND(-EPERM, "it is a kernel thread");
	m.why = GPUFAS_WHY_DISARMED;
	HAND(-EACCES, "the kernel module is not armed");
	m.play = PLAY_SILENT;
	HAND(-ETIMEDOUT, "the kernel module does not look into its mailbox");
	assert_int_equal(waitpid(pid, &status, WNOHANG), 0);
	m.play = PLAY_DO;
	v.arg = SIGTERM;
	HAND(0, "");
	assert_int_equal(waitpid(pid, &status, 0), pid);
#undef HAND
	gf_target_destroy(t);
	free(m.f.p);
}

/* ---- in a guest's memory ------------------------------------------------------------------ */

#define MAP 0xffff888000000000ull
#define PAGES 256u

struct guest {
	struct fake_region f;  /* as one piece, which is copied into pages all over */
	uint8_t *ram;
	struct gf_kmem m;
	struct gpufas_header *h; /* in ram */
};

/* Two pages to a chunk, from the top of the memory down. */
static void scatter(struct guest *g)
{
	uint32_t pages, n = 0;

	memset(g, 0, sizeof *g);
	fake_make(&g->f, 77);
	pages = (uint32_t)(g->f.len / 4096);
	g->ram = aligned_alloc(4096, PAGES * 4096);
	memset(g->ram, 0xee, PAGES * 4096);
	g->f.h->owner = GPUFAS_OWNER_OUTSIDE;
	for (uint32_t i = 0; i < pages; i += 2, n++) {
		uint64_t pa = (PAGES - 4 - 3 * (uint64_t)i) * 4096;
		g->f.h->chunk[n] = (struct gpufas_chunk){ pa, 4096 * GF_MIN(2u, pages - i) };
	}
	g->f.h->chunks = n;
	g->f.h->self_pa = g->f.h->chunk[0].pa;
	for (uint32_t i = 0; i < n; i++)
		memcpy(g->ram + g->f.h->chunk[i].pa, g->f.p + 8192 * (uint64_t)i, g->f.h->chunk[i].bytes);
	g->h = (void *)(g->ram + g->f.h->self_pa);
	g->m.ram.n = 1;
	g->m.ram.writable = 1;
	g->m.ram.seg[0] = (struct gf_ram_seg){ 0, PAGES * 4096, g->ram };
	g->m.page_offset = MAP;
	g->m.direct_size = PAGES * 4096;
}

static void test_assist_lies(void **state)
{
	struct gf_err err = { "" };
	struct gf_region r;
	struct guest g;

	(void)state;
	scatter(&g);
	uint64_t va = MAP + g.f.h->self_pa;
	assert_int_equal(gf_assist_take(&g.m, va, &r, &err), 0);
	uint8_t *all = malloc(g.f.len);
	assert_int_equal(gf_region_copy(&r, 0, all, g.f.len), 0);
	assert_memory_equal(all, g.f.p, g.f.len);
	free(all);
	/* not there, or not on a page, or outside, or user space's */
	assert_int_equal(gf_assist_take(&g.m, va + 4096, &r, &err), -EBADMSG);
	assert_int_equal(gf_assist_take(&g.m, va + 8, &r, &err), -EBADMSG);
	assert_int_equal(gf_assist_take(&g.m, MAP + PAGES * 4096ull, &r, &err), -EBADMSG);
	assert_int_equal(gf_assist_take(&g.m, 0x1000, &r, &err), -EBADMSG);
#define LIE(member, value) do { struct gpufas_header was = *g.h; g.h->member = (value); assert_true(gf_assist_take(&g.m, va, &r, &err) < 0); *g.h = was; } while (0)
	LIE(self_pa, 0); /* a copy */
	LIE(chunks, 0);
	LIE(chunks, GPUFAS_CHUNKS + 1);
	LIE(chunks, 1);
	LIE(chunk[0].pa, g.h->chunk[1].pa);
	LIE(chunk[1].pa, PAGES * 4096ull);
	LIE(chunk[1].pa, ~0ull << 12);
	LIE(chunk[1].pa, 8);
	LIE(chunk[1].bytes, 0);
	LIE(chunk[1].bytes, ~0ull << 12);
	LIE(chunk[1].bytes, 4096);
	LIE(region_size, g.f.len + 4096);
	LIE(state, GPUFAS_DEAD);
	LIE(table_off[1], (uint32_t)g.f.len);
	LIE(owner, GPUFAS_OWNER_FILE);
	assert_string_equal(err.text, "somebody in the guest has it open");
	LIE(owner, GPUFAS_OWNER_NONE);
#undef LIE
	assert_int_equal(gf_assist_take(&g.m, va, &r, &err), 0);
	/* any header at all */
	srandom(2);
	struct gpufas_header good = *g.h;
	for (int i = 0; i < 20000; i++) {
		*g.h = good;
		for (long k = 1 + random() % 3; k > 0; k--)
			((uint32_t *)(void *)g.h)[random() % (long)(sizeof good / 4)] = (uint32_t)random() >> random() % 32;
		if (gf_assist_take(&g.m, va, &r, &err))
			continue;
		for (uint32_t k = 0; k < r.spans; k++)
			assert_true(r.span[k].p >= g.ram && r.span[k].p + r.span[k].len <= g.ram + PAGES * 4096);
	}
	free(g.ram);
	free(g.f.p);
}

static void test_assist_mail(void **state)
{
	struct gf_verdict v = { .event = 9, .pid = 4711, .start_ns = 100, .action = GF_ACT_SIGNAL, .arg = SIGKILL };
	static struct gf_assist assist = { .lock = PTHREAD_MUTEX_INITIALIZER };
	struct gf_guest guest = { .assist = &assist };
	struct gf_delivery d;
	struct fake_region f;
	struct gf_region r;
	uint64_t seq = 0;

	(void)state;
	fake_make(&f, 77);
	f.h->now_ns = 1000;
	take(&f, &r);
	/* no module */
	assert_int_equal(gf_assist_send(&guest, &v, &seq), -ENODEV);
	atomic_store(&assist.region, &r);
#define SEND() (memset(&d, 0, sizeof d), d.exit_us = GF_NONE, gf_assist_send(&guest, &v, &seq))
#define POLL(slot, age) gf_assist_poll(&guest, &v, (uint32_t)(slot), seq, age, &d)
	int slot = SEND();
	assert_true(slot >= 0);
	assert_int_equal(f.verdict[slot].pid, 4711);
	assert_true(f.verdict[slot].check == gpufas_check(77, &f.verdict[slot]));
	assert_int_equal(f.verdict[slot].deadline_ns, 1000 + 500000000);
	assert_int_equal(POLL(slot, 1000000), 0);
	assert_int_equal(d.phase, 0);
	fake_answer(&f, (uint32_t)slot, GPUFAS_SENT, 0);
	assert_int_equal(POLL(slot, 2000000), 0);
	assert_int_equal(d.phase, GF_PHASE_TAKEN);
	assert_int_equal(d.became, GF_BECAME_DELIVERED);
	assert_int_equal(d.how, GF_HOW_MODULE);
	assert_int_equal(POLL(slot, 1000000000), 0); /* sent is sent, however long its end takes */
	fake_answer(&f, (uint32_t)slot, GPUFAS_EXITED, 0);
	assert_int_equal(POLL(slot, 5000000), 0);
	assert_true(gf_delivery_over(&d));
	assert_int_equal(d.exit_us, 5000);
	/* refused for good, and refused so that another road may do it */
	slot = SEND();
	fake_answer(&f, (uint32_t)slot, GPUFAS_REFUSED, GPUFAS_WHY_KTHREAD);
	assert_int_equal(POLL(slot, 1), 0);
	assert_int_equal(d.became, GF_BECAME_REFUSED);
	assert_int_equal(d.why, GF_REF_KTHREAD);
	slot = SEND();
	fake_answer(&f, (uint32_t)slot, GPUFAS_REFUSED, GPUFAS_WHY_DISARMED);
	assert_int_equal(POLL(slot, 1), -ENODEV);
	slot = SEND();
	fake_answer(&f, (uint32_t)slot, GPUFAS_REFUSED, 999); /* no such reason */
	assert_int_equal(POLL(slot, 1), 0);
	assert_int_equal(d.became, GF_BECAME_REFUSED);
	/* no answer: void, and so not done twice */
	slot = SEND();
	assert_int_equal(POLL(slot, 400000000), -ENODEV);
	assert_true(f.verdict[slot].check != gpufas_check(77, &f.verdict[slot]));
	/* the region goes while one is under way */
	slot = SEND();
	f.h->state = GPUFAS_DEAD;
	assert_int_equal(POLL(slot, 1), -ENODEV);
	assert_int_equal(SEND(), -ENODEV);
	f.h->state = GPUFAS_SAMPLING;
	/* what is not for it */
	v.arg = 40;
	assert_int_equal(SEND(), -ENODEV);
	v.action = GF_ACT_FREEZE;
	assert_int_equal(SEND(), -ENODEV);
#undef SEND
#undef POLL
	free(f.p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_header), cmocka_unit_test(test_table), cmocka_unit_test(test_records), cmocka_unit_test(test_noise),
		cmocka_unit_test(test_pieces), cmocka_unit_test(test_stalled), cmocka_unit_test(test_host_road), cmocka_unit_test(test_only_module),
		cmocka_unit_test(test_mail), cmocka_unit_test(test_delivery),
		cmocka_unit_test(test_by_hand), cmocka_unit_test(test_assist_lies), cmocka_unit_test(test_assist_mail),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
