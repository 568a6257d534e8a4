// SPDX-License-Identifier: MIT
/* The actuator where it reaches beyond single processes: a whole cgroup, and the machine (last resorts). */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

#include "targets/act.h"
#include "tests/unit/rig.h"

/* ---- cgroups ---------------------------------------------------------------- */

static bool make_cgroup(char *full, size_t size, char *rel, size_t rel_size)
{
	static const char *const mounts[] = { "/sys/fs/cgroup", "/sys/fs/cgroup/unified" };
	char probe[128];

	for (size_t i = 0; i < 2; i++) {
		snprintf(probe, sizeof probe, "%s/cgroup.controllers", mounts[i]);
		if (access(probe, F_OK))
			continue;
		snprintf(rel, rel_size, "/gpufas-test-%d", getpid());
		snprintf(full, size, "%s%s", mounts[i], rel);
		return !mkdir(full, 0755);
	}
	return false;
}

static bool enter(const char *full, pid_t pid)
{
	char name[256], number[32];

	snprintf(name, sizeof name, "%s/cgroup.procs", full);
	int fd = open(name, O_WRONLY | O_CLOEXEC), n = snprintf(number, sizeof number, "%d", pid);
	bool ok = fd >= 0 && write(fd, number, (size_t)n) == n;
	close(fd);
	return ok;
}

static void test_cgroup(void **state)
{
	char full[160], rel[64], path[256], kill_file[256];
	struct gf_verdict v[3];
	int32_t pids[4];
	struct rig r;

	(void)state;
	if (!make_cgroup(full, sizeof full, rel, sizeof rel))
		skip();
	snprintf(kill_file, sizeof kill_file, "%s/cgroup.kill", full);
	if (access(kill_file, F_OK)) {
		rmdir(full);
		skip();
	}
	for (int i = 0; i < 3; i++) {
		pids[i] = sleeper();
		assert_true(enter(full, pids[i]));
	}
	pids[3] = 1;
	assert_int_equal(gf_cgroup_of(pids[0], path, sizeof path), 0);
	assert_string_equal(path, rel);
	/* One member not listed, or one listed that is no member: hands off. */
	assert_int_equal(gf_cgroup_kill(rel, pids, NULL, 0, 2), -EBUSY);
	assert_int_equal(gf_cgroup_kill(rel, pids, NULL, 0, 4), -EBUSY);
	for (int i = 0; i < 3; i++)
		assert_true(alive(pids[i]));
	rig_up(&r, 0, 0);
	for (int i = 0; i < 3; i++) {
		v[i] = verdict(pids[i], SIGKILL);
		v[i].group = GF_GROUP_CGROUP;
	}
	rig_put(&r, v, 3);
	assert_int_equal(members(&r, 3, NULL), 3);
	for (int i = 0; i < 3; i++)
		assert_int_equal(died_of(pids[i]), SIGKILL);
	rig_end(&r);
	/* All of them listed, but one that was checked has gone: its number may be another's. */
	pids[0] = sleeper();
	pid_t past = sleeper();
	int fds[2] = { (int)syscall(SYS_pidfd_open, pids[0], 0), (int)syscall(SYS_pidfd_open, past, 0) };
	end(past);
	assert_true(enter(full, pids[0]));
	assert_int_equal(gf_cgroup_kill(rel, pids, fds, 2, 1), -EBUSY);
	assert_true(alive(pids[0]));
	/* All of them listed and alive: the kernel does it. */
	assert_int_equal(gf_cgroup_kill(rel, pids, fds, 1, 1), 0);
	close(fds[0]);
	close(fds[1]);
	assert_int_equal(died_of(pids[0]), SIGKILL);
	assert_int_equal(rmdir(full), 0);
}

/* ---- last resorts ------------------------------------------------------------ */

static uint8_t gate_says;
static uint32_t gate_asked;

static uint8_t gate(void *arg, const struct gf_verdict *v)
{
	(void)arg;
	__atomic_fetch_add(&gate_asked, 1, __ATOMIC_RELAXED);
	return v->flags & GF_VERDICT_OBSERVE ? (uint8_t)GF_REF_NONE : __atomic_load_n(&gate_says, __ATOMIC_RELAXED);
}

/* One verdict; what was written into the trigger's stand-in so far into buf. */
static struct gf_event_member last(struct rig *r, uint8_t action, uint8_t flags, const char *path, char *buf)
{
	struct gf_verdict v = { .event = 9, .action = action, .flags = flags };

	pthread_mutex_lock(&r->lock);
	r->events = 0;
	pthread_mutex_unlock(&r->lock);
	rig_put(r, &v, 1);
	for (size_t n = 0; !n; usleep(1000)) {
		pthread_mutex_lock(&r->lock);
		n = r->events;
		pthread_mutex_unlock(&r->lock);
	}
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = read(fd, buf, 15);
	buf[n > 0 ? n : 0] = 0;
	close(fd);
	assert_int_equal(r->event[0].kind, GF_EV_RESULT);
	assert_int_equal(r->event[0].about, 9);
	assert_int_equal(r->event[0].observed, !!flags);
	return r->event[0].u.member[0];
}

static void test_last_resorts(void **state)
{
	char path[] = "/tmp/gf-sysrq-XXXXXX", got[16];
	struct gf_event_member m;
	struct rig r;
	int fd = mkstemp(path);
	struct gf_actuator_opts o = { .sysrq = path };

	(void)state;
	close(fd);
	/* nobody to ask: none is done */
	rig_begin(&r, &o);
	m = last(&r, GF_ACT_PANIC, 0, path, got);
	assert_int_equal(m.why, GF_REF_NOT_ALLOWED);
	assert_string_equal(got, "");
	rig_end(&r);

	o.last_resort = gate;
	rig_begin(&r, &o);
	gate_says = GF_REF_NOT_ALLOWED;
	m = last(&r, GF_ACT_PANIC, 0, path, got);
	assert_int_equal(m.error, -EACCES);
	assert_int_equal(m.became, GF_BECAME_REFUSED);
	assert_string_equal(got, "");
	__atomic_store_n(&gate_says, GF_REF_NONE, __ATOMIC_RELAXED);
	m = last(&r, GF_ACT_RESTART, GF_VERDICT_OBSERVE, path, got);
	assert_int_equal(m.error, 0);
	assert_int_equal(m.tries, 0);
	assert_string_equal(got, "");
	m = last(&r, GF_ACT_PANIC, 0, path, got);
	assert_int_equal(m.error, 0);
	assert_int_equal(m.how, GF_HOW_SYSRQ);
	assert_int_equal(m.tries, 1);
	assert_string_equal(got, "c");
	m = last(&r, GF_ACT_RESTART, 0, path, got);
	assert_string_equal(got, "cb");
	assert_int_equal(gate_asked, 4);
	/* what only a guest has */
	m = last(&r, GF_ACT_NMI, 0, path, got);
	assert_int_equal(m.why, GF_REF_NO_ROAD);
	assert_string_equal(got, "cb");
	rig_end(&r);
	unlink(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cgroup), cmocka_unit_test(test_last_resorts),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
