// SPDX-License-Identifier: MIT
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <dirent.h>
#include <poll.h>
#include <unistd.h>

#include <cmocka.h>

#include "targets/act.h"
#include "targets/actuator.h"
#include "targets/proc.h"
#include "tests/unit/rig.h"

static void test_act(void **state)
{
	pid_t pid = sleeper();
	struct gf_verdict v = verdict(pid, SIGTERM);
	int fd = -1;

	(void)state;
	v.start_ns += GF_TICK_NS;
	assert_int_equal(gf_act(&v, NULL), -ESTALE);
	assert_true(alive(pid));
	v.start_ns -= GF_TICK_NS;
	v.flags = GF_VERDICT_OBSERVE;
	assert_int_equal(gf_act(&v, NULL), 0);
	usleep(20000);
	assert_true(alive(pid));
	v.flags = 0;
	assert_int_equal(gf_act(&v, &fd), 0);
	assert_true(fd >= 0);
	struct pollfd p = { .fd = fd, .events = POLLIN };
	assert_int_equal(poll(&p, 1, 10000), 1);
	close(fd);
	assert_int_equal(gf_act(&v, NULL), -ESRCH); /* a zombie now */
	assert_int_equal(died_of(pid), SIGTERM);
	assert_int_equal(gf_act(&v, &fd), -ESRCH);
	assert_int_equal(fd, -1);
	v.arg = 0;
	assert_int_equal(gf_act(&v, NULL), -EINVAL);
	v.arg = SIGTERM;
	v.action = GF_ACT_RESET;
	assert_int_equal(gf_act(&v, NULL), -EOPNOTSUPP);
}

static int ns_init(void *arg)
{
	(void)arg;
	for (;;)
		pause();
	return 0;
}

/* Nothing here may send anything even if a check were missing: observe only. */
static void test_never(void **state)
{
	static char stack[65536];
	struct gf_verdict v;
	struct gf_proc_stat st;

	(void)state;
	v = verdict(getpid(), SIGURG);
	v.flags = GF_VERDICT_OBSERVE;
	assert_int_equal(gf_act(&v, NULL), -EPERM);
	v = verdict(1, SIGURG);
	v.flags = GF_VERDICT_OBSERVE;
	assert_int_equal(gf_act(&v, NULL), -EPERM);
	if (!stat_of(2, &st) && st.flags & GF_PF_KTHREAD) {
		v = verdict(2, SIGURG);
		v.flags = GF_VERDICT_OBSERVE;
		assert_int_equal(gf_act(&v, NULL), -EPERM);
	}
	pid_t pid = clone(ns_init, stack + sizeof stack, CLONE_NEWPID | SIGCHLD, NULL);
	if (pid > 0) {
		v = verdict(pid, SIGURG);
		v.flags = GF_VERDICT_OBSERVE;
		assert_int_equal(gf_act(&v, NULL), -EPERM);
		end(pid);
	}
}

static void *idle(void *arg)
{
	(void)arg;
	for (;;)
		pause();
	return NULL;
}

static void test_renice(void **state)
{
	int ready[2], nices = 0;
	char c = 0, name[64];

	(void)state;
	assert_int_equal(pipe(ready), 0);
	pid_t pid = fork();
	if (!pid) {
		pthread_t t;
		for (int i = 0; i < 3; i++)
			pthread_create(&t, NULL, idle, NULL);
		if (write(ready[1], &c, 1) != 1)
			_exit(1);
		idle(NULL);
	}
	assert_int_equal(read(ready[0], &c, 1), 1);
	close(ready[0]);
	close(ready[1]);
	struct gf_verdict v = verdict(pid, 0);
	v.action = GF_ACT_RENICE;
	v.arg = 7;
	v.flags = GF_VERDICT_OBSERVE;
	assert_int_equal(gf_act(&v, NULL), 0);
	assert_int_equal(getpriority(PRIO_PROCESS, (id_t)pid), getpriority(PRIO_PROCESS, 0));
	v.flags = 0;
	int want = GF_MIN(19, getpriority(PRIO_PROCESS, 0) + 7);
	assert_int_equal(gf_act(&v, NULL), 0);
	snprintf(name, sizeof name, "/proc/%d/task", pid);
	DIR *d = opendir(name);
	for (struct dirent *e; (e = readdir(d));)
		if (e->d_name[0] != '.') {
			assert_int_equal(getpriority(PRIO_PROCESS, (id_t)atoi(e->d_name)), want);
			nices++;
		}
	closedir(d);
	assert_int_equal(nices, 4);
	v.arg = 100;
	assert_int_equal(gf_act(&v, NULL), 0);
	assert_int_equal(getpriority(PRIO_PROCESS, (id_t)pid), 19);
	end(pid);
}

/* In a pid namespace of its own the next pid can be chosen. 0 right, 77 cannot. */
static int recycle(void)
{
	struct gf_verdict v;
	char number[32];

	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) || mount("proc", "/proc", "proc", 0, NULL))
		return 77;
	pid_t first = fork();
	if (!first)
		for (;;)
			pause();
	v = verdict(first, SIGKILL);
	if (!v.start_ns)
		return 1;
	end(first);
	usleep(50000); /* another clock tick, so another identity */
	int fd = open("/proc/sys/kernel/ns_last_pid", O_WRONLY | O_CLOEXEC);
	snprintf(number, sizeof number, "%d", first - 1);
	if (fd < 0 || write(fd, number, strlen(number)) < 0)
		return 77;
	pid_t second = fork();
	if (!second)
		for (;;)
			pause();
	if (second != first)
		return 77;
	if (gf_act(&v, NULL) != -ESTALE)
		return 2;
	if (waitpid(second, NULL, WNOHANG))
		return 3;
	v = verdict(second, SIGKILL);
	if (gf_act(&v, NULL))
		return 4;
	return waitpid(second, NULL, 0) == second ? 0 : 5;
}

static void test_recycled_pid(void **state)
{
	int status;

	(void)state;
	pid_t outer = fork();
	if (!outer) {
		if (unshare(CLONE_NEWPID | CLONE_NEWNS))
			_exit(77);
		pid_t init = fork();
		if (!init)
			_exit(recycle());
		waitpid(init, &status, 0);
		_exit(WIFEXITED(status) ? WEXITSTATUS(status) : 99);
	}
	assert_int_equal(waitpid(outer, &status, 0), outer);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
		skip();
	assert_int_equal(status, 0);
}

/* ---- the thread ------------------------------------------------------------- */

static void test_kill_many(void **state)
{
	struct gf_verdict v[41];
	struct rig r;
	size_t failed;

	(void)state;
	/* (nobody is told of twice, as one is who is still there after a while) */
	rig_up_telling(&r, 0, 60000000000u, 60000000000u);
	for (int i = 0; i < 40; i++)
		v[i] = verdict(sleeper(), SIGKILL);
	v[40] = v[0];
	v[40].start_ns += 3 * GF_TICK_NS; /* somebody else */
	rig_put(&r, v, 41);
	assert_int_equal(members(&r, 41, &failed), 40);
	assert_int_equal(failed, 1);
	for (int i = 0; i < 40; i++)
		assert_int_equal(died_of(v[i].pid), SIGKILL);
	rig_end(&r);
}

static void test_more_than_followed(void **state)
{
	struct gf_verdict v[30];
	struct rig r;

	(void)state;
	rig_up_telling(&r, 4, 60000000000u, 60000000000u);
	for (int i = 0; i < 30; i++)
		v[i] = verdict(sleeper(), SIGKILL);
	rig_put(&r, v, 30);
	assert_in_range(members(&r, 30, NULL), 4, 30);
	for (int i = 0; i < 30; i++)
		assert_int_equal(died_of(v[i].pid), SIGKILL);
	rig_end(&r);
}

static pid_t stubborn(void)
{
	int ready[2];
	char c = 0;

	assert_int_equal(pipe(ready), 0);
	pid_t pid = fork();
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		signal(SIGTERM, SIG_IGN);
		if (write(ready[1], &c, 1) != 1)
			_exit(1);
		idle(NULL);
	}
	assert_int_equal(read(ready[0], &c, 1), 1);
	close(ready[0]);
	close(ready[1]);
	return pid;
}

static void test_not_gone(void **state)
{
	struct rig r;

	(void)state;
	rig_up(&r, 0, 100000000);
	pid_t pid = stubborn();
	struct gf_verdict v = verdict(pid, SIGTERM);
	rig_put(&r, &v, 1);
	assert_int_equal(members(&r, 1, NULL), 0);
	assert_true(alive(pid));
	end(pid);
	rig_end(&r);
}

/* Said soon that it is still there, and later that it has gone. */
static void test_told(void **state)
{
	struct rig r;

	(void)state;
	rig_up_telling(&r, 0, 60000000000u, 20000000);
	pid_t pid = stubborn();
	struct gf_verdict v = verdict(pid, SIGTERM);
	rig_put(&r, &v, 1);
	assert_int_equal(members(&r, 1, NULL), 0);
	assert_true(alive(pid));
	end(pid);
	assert_int_equal(members(&r, 2, NULL), 1);
	rig_end(&r);
}

/* The next step ends the waiting for what the one before it does. */
static void test_superseded(void **state)
{
	struct rig r;

	(void)state;
	rig_up_telling(&r, 0, 60000000000u, 60000000000u);
	pid_t pid = stubborn();
	struct gf_verdict v = verdict(pid, SIGTERM);
	rig_put(&r, &v, 1);
	for (int i = 0; i < 5000 && __atomic_load_n(&r.queued, __ATOMIC_SEQ_CST); i++)
		usleep(1000);
	v.arg = SIGKILL;
	v.step = 1;
	rig_put(&r, &v, 1);
	assert_int_equal(members(&r, 2, NULL), 1);
	for (size_t i = 0; i < r.events; i++)
		assert_int_equal(r.event[i].u.member[0].exit_us == GF_NONE, r.event[i].step == 0);
	assert_int_equal(died_of(pid), SIGKILL);
	rig_end(&r);
}

static pid_t fat(size_t bytes)
{
	int ready[2];
	char c = 0;

	assert_int_equal(pipe(ready), 0);
	pid_t pid = fork();
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		char *p = malloc(bytes);
		for (size_t i = 0; p && i < bytes; i += 4096)
			p[i] = 1;
		if (write(ready[1], &c, 1) != 1)
			_exit(1);
		idle(NULL);
	}
	assert_int_equal(read(ready[0], &c, 1), 1);
	close(ready[0]);
	close(ready[1]);
	return pid;
}

/* While the memory of the killed is still being freed on the side, their places are
 * given to others: nobody's end may be reported for anybody else. */
static void test_places_are_not_mixed_up(void **state)
{
	struct gf_verdict v[30];
	struct rig r;

	(void)state;
	rig_up_telling(&r, 64, 60000000000u, 60000000000u);
	for (int i = 0; i < 30; i++)
		v[i] = verdict(fat(2 << 20), SIGKILL);
	rig_put(&r, v, 30);
	pid_t other = stubborn();
	assert_int_equal(members(&r, 30, NULL), 30);
	struct gf_verdict w = verdict(other, SIGTERM);
	rig_put(&r, &w, 1);
	usleep(100000);
	assert_int_equal(members(&r, 30, NULL), 30);
	for (int i = 0; i < 30; i++)
		assert_int_equal(died_of(v[i].pid), SIGKILL);
	assert_true(alive(other));
	end(other);
	rig_end(&r);
}

static void test_stop_and_observe(void **state)
{
	struct gf_verdict v[3];
	struct gf_proc_stat st = { 0 };
	struct rig r;

	(void)state;
	rig_up(&r, 0, 0);
	pid_t a = sleeper(), b = sleeper();
	v[0] = verdict(a, SIGSTOP);
	v[1] = verdict(b, SIGKILL);
	v[1].flags = GF_VERDICT_OBSERVE;
	v[2] = v[0];
	v[2].pid = 0; /* a log, say: not the actuator's */
	rig_put(&r, v, 3);
	assert_int_equal(members(&r, 2, NULL), 0);
	assert_true(alive(b));
	for (int i = 0; i < 1000 && st.state != 'T'; i++) {
		stat_of(a, &st);
		usleep(1000);
	}
	assert_int_equal(st.state, 'T');
	for (size_t i = 0; i < r.events; i++)
		assert_int_equal(r.event[i].observed, r.event[i].u.member[0].pid == b);
	end(a);
	end(b);
	rig_end(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_act),
		cmocka_unit_test(test_never),
		cmocka_unit_test(test_renice),
		cmocka_unit_test(test_recycled_pid),
		cmocka_unit_test(test_kill_many),
		cmocka_unit_test(test_more_than_followed),
		cmocka_unit_test(test_not_gone),
		cmocka_unit_test(test_told),
		cmocka_unit_test(test_superseded),
		cmocka_unit_test(test_places_are_not_mixed_up),
		cmocka_unit_test(test_stop_and_observe),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
