/* SPDX-License-Identifier: MIT
 *
 * Who shares a GPU, over a made-up /proc.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "gpu/engine.h"
#include "gpu/neighbours.h"

#define SELF 100
#define HALF "its kernels and the watchdog's take turns, and each side loses about half of its speed"
#define MEND "run both under MPS (nvidia-cuda-mps-control -d -multiuser-server, then start both anew), give gpufasd an instance of its own (MIG), or set engine.gpu.mode: launch"
#define CARD "/dev/nvidiactl", "/dev/nvidia-uvm", "/dev/nvidia0", "/dev/nvidia0"

static char root[64], pipes[64];

static void put(const char *path, const void *text, size_t n)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	assert_int_equal(fwrite(text, 1, n, f), n);
	fclose(f);
}

/* A process that started at tick `start`, with these files open (NULL ends). env: one variable, "": none. */
static void process(int pid, const char *comm, unsigned start, const char *env, const char *const *files)
{
	char path[256], text[512];

	snprintf(path, sizeof path, "%s/%d", root, pid);
	assert_int_equal(mkdir(path, 0755), 0);
	snprintf(path, sizeof path, "%s/%d/fd", root, pid);
	assert_int_equal(mkdir(path, 0755), 0);
	for (int i = 0; files[i]; i++) {
		snprintf(path, sizeof path, "%s/%d/fd/%d", root, pid, i);
		assert_int_equal(symlink(files[i], path), 0);
	}
	snprintf(path, sizeof path, "%s/%d/comm", root, pid);
	snprintf(text, sizeof text, "%s\n", comm);
	put(path, text, strlen(text));
	snprintf(path, sizeof path, "%s/%d/stat", root, pid);
	snprintf(text, sizeof text, "%d (%s) ) S 1 1 1 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 %u 10000 20\n", pid, comm, start);
	put(path, text, strlen(text));
	snprintf(path, sizeof path, "%s/%d/environ", root, pid);
	int n = snprintf(text, sizeof text, "HOME=/root%c%s", 0, env);
	put(path, text, *env ? (size_t)n + 1 : 11);
}
#define PROCESS(pid, comm, start, env, ...) process(pid, comm, start, env, (const char *const[]){ __VA_ARGS__, NULL })

static int begin(void **state)
{
	(void)state;
	strcpy(root, "/tmp/gf-neighbours-XXXXXX");
	assert_non_null(mkdtemp(root));
	snprintf(pipes, sizeof pipes, "%s/mps", root);
	assert_int_equal(mkdir(pipes, 0755), 0);
	char path[128];
	snprintf(path, sizeof path, "%s/self", root);
	assert_int_equal(mkdir(path, 0755), 0);
	return 0;
}

static int end(void **state)
{
	char cmd[128];

	(void)state;
	snprintf(cmd, sizeof cmd, "rm -rf %s", root);
	return system(cmd);
}

/* MPS' control daemon of this pid, or what one that is gone leaves behind. Returns the end that a live one reads. */
static int mps(int pid, unsigned start, bool alive)
{
	char path[160], text[32];

	snprintf(path, sizeof path, "%s/control", pipes);
	put(path, "", 0);
	if (!alive)
		return -1;
	snprintf(path, sizeof path, "%s/nvidia-cuda-mps-control.pid", pipes);
	snprintf(text, sizeof text, "%d", pid);
	put(path, text, strlen(text));
	PROCESS(pid, "nvidia-cuda-mps", start, "", "/dev/null", "/dev/nvidiactl", "/dev/nvidia0");
	PROCESS(pid + 1, "nvidia-cuda-mps", start + 1, "", CARD); /* its server */
	snprintf(path, sizeof path, "%s/log", pipes);
	assert_int_equal(mkfifo(path, 0666), 0);
	return open(path, O_RDONLY | O_NONBLOCK);
}

static const char *pipe_env(void)
{
	static char env[128];

	snprintf(env, sizeof env, "CUDA_MPS_PIPE_DIRECTORY=%s", pipes);
	return env;
}

static bool stays = true;

static void says(uint32_t minor, bool mig, const char *want)
{
	struct gf_neighbours o = { .proc = root, .pipes = pipes, .self = SELF, .minor = minor, .mig = mig, .stays = stays };
	char got[512] = "unset";

	gf_neighbours_say(&o, got, sizeof got);
	assert_string_equal(got, want);
	if (*want) { /* cut, it is still a string */
		gf_neighbours_say(&o, got, 20);
		assert_int_equal(strlen(got), 19);
	}
}

static void test_alone(void **state)
{
	(void)state;
	says(0, false, ""); /* not even this process can be seen */
	PROCESS(SELF, "gpufasd", 50, "", CARD);
	PROCESS(7, "bash", 10, "", "/dev/pts/0", "socket:[7]");
	/* who only looks, who computes elsewhere, and a name that only begins as the device's */
	PROCESS(8, "nvidia-smi", 60, "", "/dev/nvidiactl", "/dev/nvidia0");
	PROCESS(9, "train", 60, "", "/dev/nvidia-uvm", "/dev/nvidia1");
	PROCESS(10, "train", 60, "", "/dev/nvidia-uvm", "/dev/nvidia01", "/tmp/dev/nvidia0");
	says(0, false, "");
	says(1, false, "shared with train (pid 9): " HALF "; " MEND);
	says(2, false, "");
}

static void test_turns(void **state)
{
	(void)state;
	PROCESS(SELF, "gpufasd", 50, "", CARD);
	PROCESS(200, "python3", 60, "", CARD);
	says(0, false, "shared with python3 (pid 200): " HALF "; " MEND);
	stays = false; /* which the driver's slices do not know */
	says(0, false, "shared with python3 (pid 200): " HALF "; " MEND);
	stays = true;
	says(1, false, "");
	PROCESS(201, "python3", 60, "", CARD);
	PROCESS(202, "Xorg", 60, "", "/dev/nvidia0", "/dev/nvidia-modeset");
	struct gf_neighbours o = { .proc = root, .pipes = pipes, .self = SELF };
	char got[512];
	gf_neighbours_say(&o, got, sizeof got);
	assert_non_null(strstr(got, " and 2 more: "));
}

static void test_mps(void **state)
{
	(void)state;
	int fd = mps(40, 20, true);
	assert_true(fd >= 0);
	PROCESS(SELF, "gpufasd", 50, "", CARD);
	says(0, false, "");
	PROCESS(200, "python3", 60, pipe_env(), CARD);
	/* two clients run side by side, but a kernel that stays is in the way */
	says(0, false, "shared with python3 (pid 200) under MPS: a kernel that stays holds back those that want whole multiprocessors (matrix products lose 7 % and "
		       "more); engine.gpu.mode: relay does not");
	stays = false;
	says(0, false, "");
	stays = true;
	PROCESS(201, "early", 19, pipe_env(), CARD);
	char want[512];
	snprintf(want, sizeof want, "shared with early (pid 201) outside MPS: " HALF "; start it with CUDA_MPS_PIPE_DIRECTORY=%s", pipes);
	says(0, false, want);
	close(fd);
	/* what MPS leaves behind when it ends is no MPS; its server here stands for one of another directory */
	char got[512];
	struct gf_neighbours o = { .proc = root, .pipes = pipes, .self = SELF };
	gf_neighbours_say(&o, got, sizeof got);
	assert_non_null(strstr(got, " and 1 more: "));
	assert_non_null(strstr(got, "MPS runs (pid 41), but gpufasd does not find it in "));
}

static void test_other_directory(void **state)
{
	(void)state;
	int fd = mps(40, 20, true);
	PROCESS(SELF, "gpufasd", 50, "", CARD);
	PROCESS(200, "python3", 60, "CUDA_MPS_PIPE_DIRECTORY=/elsewhere", CARD);
	char want[512];
	snprintf(want, sizeof want, "shared with python3 (pid 200) outside MPS: " HALF "; start it with CUDA_MPS_PIPE_DIRECTORY=%s", pipes);
	says(0, false, want);
	close(fd);
}

static void test_started_too_late(void **state)
{
	(void)state;
	int fd = mps(40, 55, true);
	PROCESS(SELF, "gpufasd", 50, "", CARD);
	says(0, false, "");
	PROCESS(200, "python3", 60, pipe_env(), CARD);
	says(0, false, "shared with python3 (pid 200): " HALF "; MPS was started after gpufasd: restart gpufasd");
	close(fd);
}

static void test_left_behind(void **state)
{
	(void)state;
	mps(40, 20, false);
	PROCESS(SELF, "gpufasd", 50, "", CARD);
	PROCESS(200, "python3", 60, pipe_env(), CARD);
	says(0, false, "shared with python3 (pid 200): " HALF "; " MEND);
}

static void test_mig(void **state)
{
	(void)state;
	PROCESS(SELF, "gpufasd", 50, "", CARD, "/dev/nvidia-caps/nvidia-cap66", "/dev/nvidia-caps/nvidia-cap67");
	/* another instance of the card, and another compute instance of the same one */
	PROCESS(200, "python3", 60, "", CARD, "/dev/nvidia-caps/nvidia-cap75", "/dev/nvidia-caps/nvidia-cap76");
	PROCESS(201, "python3", 60, "", CARD, "/dev/nvidia-caps/nvidia-cap66", "/dev/nvidia-caps/nvidia-cap68");
	says(0, true, "");
	PROCESS(202, "same", 60, "", CARD, "/dev/nvidia-caps/nvidia-cap67", "/dev/nvidia-caps/nvidia-cap66");
	says(0, true, "shared with same (pid 202): " HALF "; " MEND);
}

static void test_minor(void **state)
{
	static const char text[] = "Model: \t\t NVIDIA H100 80GB HBM3\nIRQ:   \t\t 41\nBus Location: \t 0000:00:06.0\nDevice Minor: \t 3\n";
	char path[160];

	(void)state;
	for (int i = 0; i < 3; i++) {
		static const char *const parts[] = { "", "/gpus", "/gpus/0000:00:06.0" };
		snprintf(path, sizeof path, "%s/drv%s", root, parts[i]);
		assert_int_equal(mkdir(path, 0755), 0);
	}
	strcat(path, "/information");
	put(path, text, sizeof text - 1);
	snprintf(path, sizeof path, "%s/drv", root);
	assert_int_equal(gf_nvidia_minor(path, "0000:00:06.0"), 3);
	assert_int_equal(gf_nvidia_minor(path, "0000:00:07.0"), -1);
	assert_int_equal(gf_nvidia_minor(path, ""), -1);
	assert_int_equal(gf_nvidia_minor(path, "../gpus/0000:00:06.0"), -1);
}

/* On this machine, whatever it is: an answer. */
static void test_here(void **state)
{
	char buf[512] = "unset";

	(void)state;
	gf_gpu_neighbours(0, true, buf, sizeof buf);
	assert_true(!*buf || !strncmp(buf, "shared with ", 12));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_alone, begin, end), cmocka_unit_test_setup_teardown(test_turns, begin, end),
		cmocka_unit_test_setup_teardown(test_mps, begin, end), cmocka_unit_test_setup_teardown(test_other_directory, begin, end),
		cmocka_unit_test_setup_teardown(test_started_too_late, begin, end),
		cmocka_unit_test_setup_teardown(test_left_behind, begin, end), cmocka_unit_test_setup_teardown(test_mig, begin, end),
		cmocka_unit_test_setup_teardown(test_minor, begin, end), cmocka_unit_test(test_here),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
