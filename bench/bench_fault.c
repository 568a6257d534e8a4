// SPDX-License-Identifier: MIT
/*
 * How long it takes from a fault in a guest to the store that ends its cause, and from there to the end: by a watch that is
 * neither the guest's nor gpufas's. A daemon with this rule watches the guest:
 *   rule fault if oom_score_adj == 999 then SIGKILL it
 *
 *   bench_fault RAM-FILE PERIOD-US [SEED]   reads the pid of a process that computes, a line each, and answers:
 *     pid=12 store_us=512.3 exit_us=1834.0 road=store
 *
 * The fault is one word, oom_score_adj, which is set to 999 from here in the guest's memory, at a time that is spread evenly over a
 * period. From then on one CPU does nothing but look at three words of the victim: its own pending signals (a store
 * there is what a pseudo-signal begins with), those of its group (where the guest's kernel sends it), and exit_state.
 * -1: not seen within five seconds; road=unseen: it ended, and the store was missed since something else ran on this CPU.
 */
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "gpu/walk.h"
#include "targets/layout.h"

#define FAULT 999
#define KILL 0x100u /* bit 8: SIGKILL */
#define WAIT_NS 5000000000ull

static uint64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static struct gf_kernel *kernel;
static struct gf_layout layout;
static uint32_t pending, shared;

static uint64_t find(int pid)
{
	struct gf_xa_iter it;
	uint64_t p, nr;

	gf_xa_begin(&kernel->mem, &layout, &it, 1u << 22);
	while (gf_xa_next(&kernel->mem, &layout, &it, &p)) {
		uint64_t t = gf_pid_leader(&kernel->mem, &layout, p);
		if (t && ~t && !gf_kmem_load(&kernel->mem, t + layout.task.pid, 4, &nr) && (int)nr == pid)
			return t;
	}
	return 0;
}

static const uint8_t *at(uint64_t va, uint32_t size)
{
	struct gf_gva a = { va };

	return gf_kmem_at(&kernel->mem, a, size);
}

static int one(int pid, uint64_t period_ns)
{
	uint64_t task = find(pid), sig, store = 0, gone = 0, group = 0;

	if (!task || gf_kmem_load(&kernel->mem, task + layout.task.signal, 8, &sig))
		return -1;
	const uint8_t *own = at(task + pending, 8), *all = at(sig + shared, 8), *end = at(task + layout.task.exit_state, 4);
	const uint8_t *adj = at(sig + layout.signal.oom_score_adj, 2);
	if (!own || !all || !end || !adj)
		return -1;
	/* not when this one happens to be ready, which may go with the guest's and the engine's periods */
	struct timespec t = { 0, (long)((double)period_ns * ((double)rand() / RAND_MAX + 1)) };
	nanosleep(&t, NULL);
	uint64_t start = now();
	*(volatile int16_t *)(uintptr_t)adj = FAULT;
	while (now() - start < WAIT_NS) {
		if (!store && gf_load(own, 8) & KILL)
			store = now();
		if (!group && !store && gf_load(all, 8) & KILL)
			group = now();
		if (gf_load(end, 4)) {
			gone = now();
			break;
		}
	}
	uint64_t first = store ? store : group;
	printf("pid=%d store_us=%.1f exit_us=%.1f road=%s\n", pid, first ? (double)(first - start) / 1e3 : -1.0,
	       first && gone ? (double)(gone - first) / 1e3 : -1.0, store ? "store" : group ? "kernel" : gone ? "unseen" : "none");
	fflush(stdout);
	return 0;
}

int main(int argc, char **argv)
{
	struct gf_err err = { "" };
	struct gf_ramfile *ram;
	struct gf_btf_member m;
	char line[64];

	if (argc < 3)
		return 0; /* bench.sh starts all of bench_* */
	if (gf_ramfile_open(argv[1], NULL, 0, true, &ram, &err) || gf_kernel_find(ram, &kernel, &err) || gf_layout_fill(kernel, &layout, &err)) {
		fprintf(stderr, "bench_fault: %s\n", err.text);
		return 1;
	}
	if (gf_btf_member(kernel->btf, "task_struct", "pending.signal", &m))
		return 1;
	pending = m.off;
	if (gf_btf_member(kernel->btf, "signal_struct", "shared_pending.signal", &m))
		return 1;
	shared = m.off;
	/* below gpufasd's own priority: not to be kept from looking by the guest's CPUs */
	if (sched_setscheduler(0, SCHED_FIFO, &(struct sched_param){ .sched_priority = 40 }))
		fprintf(stderr, "bench_fault: not real-time: it may miss stores\n");
	srand(argc > 3 ? (unsigned)atoi(argv[3]) : (unsigned)now());
	printf("ready %s\n", kernel->release);
	fflush(stdout);
	while (fgets(line, sizeof line, stdin))
		if (one(atoi(line), (uint64_t)atoll(argv[2]) * 1000u)) {
			printf("pid=%d store_us=-1 exit_us=-1 road=gone\n", atoi(line));
			fflush(stdout);
		}
	return 0;
}
