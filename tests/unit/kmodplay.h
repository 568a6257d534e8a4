/* SPDX-License-Identifier: MIT
 *
 * A kernel module, played, with ordinary memory for its region; and a host target that goes by it.
 */
#ifndef GPUFAS_TESTS_KMODPLAY_H
#define GPUFAS_TESTS_KMODPLAY_H

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>

#include <cmocka.h>

#include "targets/kmod.h"
#include "targets/target.h"
#include "tests/helpers/fakeregion.h"

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

static inline int m_open(void *arg, uint32_t rows, uint32_t want, uint64_t period_ns, int *ret_fd, uint8_t **ret_map, uint64_t *ret_len, struct gf_err *err)
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

static inline int m_arm(void *arg, int fd, uint32_t flags)
{
	struct module *m = arg;

	(void)fd;
	if (flags & GPUFAS_ARM_PANIC)
		return -EPERM; /* no parameter */
	__atomic_store_n(&m->armed, flags, __ATOMIC_SEQ_CST);
	return 0;
}

static inline int m_kick(void *arg, int fd)
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

static inline void m_close(void *arg, int fd, uint8_t *map, uint64_t len)
{
	struct module *m = arg;

	(void)fd, (void)map, (void)len;
	__atomic_fetch_add(&m->closed, 1, __ATOMIC_SEQ_CST);
}

static inline void m_say(void *arg, int level, const char *text)
{
	struct module *m = arg;
	size_t n = strlen(m->said);

	(void)level;
	snprintf(m->said + n, sizeof m->said - n, "%s\n", text);
}

static inline struct gf_target *host_by(struct module *m, enum gf_host_sampler sampler, struct gf_err *err)
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

#endif
