// SPDX-License-Identifier: MIT
/* Memory that a guest gives back while a device sees it: the CPU takes the guest over. */
#include "tests/unit/deviceguest.h"

#include <errno.h>
#include <sched.h>
#include <sys/inotify.h>
#include <sys/wait.h>

static bool told; /* that nobody watches it */

static bool watch_told(struct guest *g)
{
	struct gf_event ev[64];
	bool seen = false;

	for (size_t n = gf_engine_events(g->e, ev, 64); n--;)
		seen |= ev[n].kind == GF_EV_DAEMON && strstr(ev[n].text, "cannot be watched by inotify") && strstr(ev[n].text, "max_user_instances");
	return seen;
}

/* Somebody punches a hole into the guest's memory, as a balloon does: the GPU would not see what comes there next. */
static void hole(bool filled)
{
	const struct gf_ram_piece piece = { 0, RAM, 0 };
	struct gf_err err = { "" };
	struct gf_guest *gg;
	struct guest g;
	char path[] = "/dev/shm/gpufas-hole-XXXXXX";
	/* (of what its maker does to a memfd new kernels do not tell) */
	int fd = filled ? mkstemp(path) : memfd_create("ram", MFD_CLOEXEC);
	char *map;

	begin(&g, STOPS, serving);
	assert_int_equal(ftruncate(fd, RAM), 0);
	for (uint32_t at = 0; at < RAM; at += 4096)
		assert_int_equal(pwrite(fd, "x", 1, at), 1);
	map = mmap(NULL, RAM, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_ptr_not_equal(map, MAP_FAILED);
	gg = fake_guest(g.f);
	assert_int_equal(gf_ramfile_map(fd, "ram", &piece, 1, false, &gg->ram, &err), 0);
	gf_vm_publish(g.vm, gg);
	assert_true(until(sampled, &g, 22));
	for (int i = 0; i < 20000 && !(g.e->gpu->seat && __atomic_load_n(&g.e->gpu->seat->allocated, __ATOMIC_RELAXED)); i++)
		usleep(1000);
	for (uint32_t at = 0; at < RAM; at += 4096) /* a guest's own stores are none */
		map[at]++;
	usleep(120000);
	assert_int_equal(stats(&g).kind, GF_ENGINE_GPU);
	assert_int_equal(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, RAM / 2, 8192), 0);
	if (filled) /* as a guest does, by a mapping */
		memset(map + RAM / 2, 'y', 8192);
	assert_true(until(on_cpu, &g, 0));
	assert_non_null(strstr(stats(&g).why, "balloon"));
	told = watch_told(&g);
	if (filled)
		unlink(path);
	munmap(map, RAM);
	close(fd);
	end(&g);
}

static void balloon(void **state)
{
	(void)state;
	hole(false);
	assert_false(told);
}

/* There is as much memory as before at the next look; but it is another. */
static void balloon_filled(void **state)
{
	(void)state;
	hole(true);
}

/* Run by itself (main): nobody here has inotify instances. The size of the guest's memory is still looked at, and that there is no more is told. */
static void balloon_unwatched(void **state)
{
	(void)state;
	assert_int_equal(inotify_init1(0), -1);
	assert_int_equal(errno, EMFILE);
	told = false;
	hole(false);
	assert_true(told);
}

static void no_inotify(void **state)
{
	pid_t pid = fork();
	int status;

	(void)state;
	if (!pid) {
		FILE *f = unshare(CLONE_NEWUSER) ? NULL : fopen("/proc/sys/user/max_inotify_instances", "we");

		if (!f || fprintf(f, "0\n") < 0 || fclose(f))
			_exit(77);
		dup2(STDERR_FILENO, STDOUT_FILENO);
		execl("/proc/self/exe", "test_engine_balloon", "unwatched", NULL);
		_exit(1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 77) {
		print_message("# no user namespace of our own\n");
		skip();
	}
	assert_int_equal(status, 0);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest unwatched[] = { cmocka_unit_test(balloon_unwatched) };
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(balloon),
		cmocka_unit_test(balloon_filled),
		{ "relay: balloon", balloon, relay, persistent, NULL },
		cmocka_unit_test(no_inotify),
	};

	gf_dev_backend = &gf_dev_emu;
	if (argc > 1 && !strcmp(argv[1], "unwatched"))
		return cmocka_run_group_tests(unwatched, NULL, NULL);
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
