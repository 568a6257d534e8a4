// SPDX-License-Identifier: MIT
/*
 * pseudo [--road store|irq|wake|auto] [--repeat N] [--wait MS] [--taken] [--kick-qtest SOCKET] [--observe] [--device [--alone]] RAM PID WHAT
 *
 * Delivers into the guest whose RAM file this is, without a daemon, and says what became of it, a line each time:
 *   pid=12 what=9 road=irq_work became=delivered why= tries=1 took_us=1234 taken_us=.. exit_us=.. store_us=..
 * WHAT: a signal's number, freeze, thaw, LIMIT=AMOUNT (memory.max, memory.high, pids.max, cpu.max, rlimitN), or
 * describe (PID 0). With "-" for PID lines "PID WHAT" are read from standard input, and answered one by one.
 * store_us is from the decision to the last store of the first try. --thread: a thread of its own stores, woken as gpufasd's
 * actuator is, so that store_us is what a verdict's would be, and cpu_us what of it was that thread's own work. --taken: a signal
 * is followed until the kernel has taken it, not until a process that it would end by default has ended. --device: by what a GPU
 * without atomic operations does, here; what it offers is taken and carried out as the daemon does. --alone: nobody takes it. Exit status: 0 delivered, 1 not.
 */
#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "targets/kernel.h"
#include "targets/pseudo_do.h"

static struct gf_pseudo *pseudo;
static enum gf_pseudo_road road;
static uint64_t wait_ns = 2000000000ull;
static bool observe, taken;
static int qtest = -1;

static uint64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* An MSI on that CPU: whose vector nobody has claimed is only counted, but ends the HLT. */
static int kick_qtest(void *arg, uint32_t cpu)
{
	char line[64], answer[64];

	(void)arg;
	if (qtest < 0)
		return -ENOTSUP;
	int n = snprintf(line, sizeof line, "writel 0x%x 0xf6\n", 0xfee00000u | cpu << 12);
	if (write(qtest, line, (size_t)n) != n || read(qtest, answer, sizeof answer) <= 0)
		return -EIO;
	return 0;
}

static const struct gf_pseudo_kick kick = { kick_qtest, NULL };

/* ---- another thread that stores ---- */
static struct {
	bool on;
	int order, done;
	const struct gf_verdict *v;
	struct gf_delivery *d;
	uint64_t stored, cpu_ns;
} hop;

static uint64_t cpu_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void *hop_main(void *arg)
{
	uint64_t one = 1, n;

	while (read(hop.order, &n, sizeof n) == sizeof n) {
		uint64_t cpu = cpu_now();
		gf_pseudo_begin(pseudo, hop.v, road, &kick, hop.d);
		hop.stored = now();
		hop.cpu_ns = cpu_now() - cpu;
		if (write(hop.done, &one, sizeof one) != sizeof one)
			break;
	}
	return arg;
}

/* Both real-time where that is permitted, as the daemon's engine and actuator are. */
static void hop_start(void)
{
	struct sched_param p = { .sched_priority = 49 }, self = { .sched_priority = 50 };
	pthread_t t;

	hop.order = eventfd(0, EFD_CLOEXEC);
	hop.done = eventfd(0, EFD_CLOEXEC);
	if (hop.order < 0 || hop.done < 0 || pthread_create(&t, NULL, hop_main, NULL)) {
		fprintf(stderr, "pseudo: no thread\n");
		exit(2);
	}
	if (pthread_setschedparam(t, SCHED_FIFO, &p) || pthread_setschedparam(pthread_self(), SCHED_FIFO, &self))
		fprintf(stderr, "pseudo: not real-time: store_us is not what the daemon's would be\n");
	pthread_detach(t);
	hop.on = true;
}

/* When it had been stored. */
static uint64_t begin(const struct gf_verdict *v, struct gf_delivery *d)
{
	uint64_t one = 1;

	if (!hop.on) {
		gf_pseudo_begin(pseudo, v, road, &kick, d);
		return now();
	}
	hop.v = v;
	hop.d = d;
	if (write(hop.order, &one, sizeof one) != sizeof one || read(hop.done, &one, sizeof one) != sizeof one)
		exit(2);
	return hop.stored;
}

static uint8_t limit_kind(const char *s)
{
	static const char *const name[] = { "memory.max", "memory.high", "pids.max", "cpu.max" };

	for (uint8_t i = 0; i < 4; i++)
		if (!strncmp(s, name[i], strlen(name[i])))
			return (uint8_t)(GF_LIMIT_MEMORY_MAX + i);
	return strncmp(s, "rlimit", 6) ? 0 : (uint8_t)(GF_LIMIT_RLIMIT + atoi(s + 6));
}

/* ---- what a device does ---- */
static struct {
	bool on, alone;
	struct gf_deliverer v;
	struct gf_pseudo_plain plain;
	struct gf_deliver_hand hand;
} device;

static void device_start(const struct gf_kernel *k)
{
	struct gf_pseudo_pool pool;

	gf_pseudo_set_aside(pseudo, &pool);
	gf_pseudo_plain(pseudo, &device.plain);
	device.plain.mem = &k->mem;
	gf_deliver_init(&device.v, wait_ns * 2, wait_ns * 2, &device.hand, &pool);
}

static void device_end(void)
{
	/* What this one was set aside counts from now on as everybody's. */
	gf_pseudo_give_back(pseudo, &device.v.pool);
}

/* Until all is known, or the time is up; ret_host: the host has taken it. What was stored first took so long. */
static uint64_t device_deliver(const struct gf_verdict *v, struct gf_delivery *d, bool *ret_host)
{
	struct gf_deliver_guest g = { .p = &device.plain, .boot = 1 };
	static struct gf_deliver_result r;
	struct gf_deliver_entry *e = NULL;
	uint64_t start = now(), stored;
	bool last = false;

	*ret_host = false;
	gf_deliver_begin(&device.v, &g, gf_deliver_storable(&g), v, now());
	stored = now();
	for (uint32_t i = 0; i < GF_DELIVER_MAX; i++)
		if (device.v.entry[i].used && device.v.entry[i].v.pid == v->pid)
			e = &device.v.entry[i];
	while (!last && now() - start < wait_ns) {
		struct timespec t = { 0, 50000 };
		while (!last && gf_deliver_result(&device.v, &r)) {
			if (r.kind == GF_DELIVER_OFFER) {
				int took = device.alone ? 0 : gf_hand_take(&device.hand, r.slot, r.ticket);
				if (took == 1) {
					gf_pseudo_take_over(pseudo, &r, &kick, d);
					*ret_host = true;
					return stored;
				}
				continue;
			}
			*d = r.delivery;
			last = r.kind == GF_DELIVER_LAST;
		}
		if (!last && e && taken && e->d.became == GF_BECAME_DELIVERED)
			break;
		nanosleep(&t, NULL);
		if (!last)
			gf_deliver_follow(&device.v, &g, gf_deliver_storable(&g), now());
	}
	if (!last && e) {
		*d = e->d;
		gf_deliver_forget(&device.v, e);
	}
	return stored;
}

static int deliver(int pid, const char *what)
{
	static const char *const became[] = { "unseen", "delivered", "pending", "refused", "lost" };
	static const char *const how[] = { "call", "store", "irq_work", "limit", "qmp", "gpu_store", "gpu_irq_work" };
	static const char *const why[GF_REF_COUNT] = { "", "gone", "identity", "exiting", "init", "kthread", "traced", "blocked", "ignored",
		"no_road", "no_guest", "torn", "read_only", "no_cpu", "paused", "rebooted", "no_room", "not_ours",
		"not_allowed", "self", "budget", "late" };

	_Static_assert(GF_REF_COUNT == 22, "a name for each reason");
	struct gf_verdict v = { .pid = pid, .action = GF_ACT_SIGNAL, .arg = atoi(what), .flags = observe ? GF_VERDICT_OBSERVE : 0 };
	struct gf_delivery d;

	if (!strcmp(what, "freeze") || !strcmp(what, "thaw"))
		v.action = *what == 'f' ? GF_ACT_FREEZE : GF_ACT_THAW;
	const char *eq = strchr(what, '=');
	if (eq) {
		v.action = GF_ACT_LIMIT;
		v.limit = limit_kind(what);
		v.amount = strtod(eq + 1, NULL);
	}
	uint64_t start = now();
	bool host = true;
	uint64_t stored = device.on ? device_deliver(&v, &d, &host) : begin(&v, &d);
	while (host && !gf_delivery_over(&d) && now() - start < wait_ns && !(taken && d.became == GF_BECAME_DELIVERED)) {
		struct timespec t = { 0, 50000 };
		nanosleep(&t, NULL);
		gf_pseudo_poll(pseudo, &d, &kick);
	}
	printf("pid=%d what=%s road=%s became=%s why=%s tries=%u took_us=%llu taken_us=%d exit_us=%d store_us=%.1f cpu_us=%.1f phase=%u by=%s\n", pid, what, how[d.how],
	       became[d.became], why[d.why], d.tries, (unsigned long long)(now() - start) / 1000, (int)d.taken_us, (int)d.exit_us,
	       (double)(stored - start) / 1e3, (double)hop.cpu_ns / 1e3, d.phase, host ? "host" : "device");
	fflush(stdout);
	if (host)
		gf_pseudo_end(pseudo, &d);
	return d.became != GF_BECAME_DELIVERED;
}

static int from_input(void)
{
	char line[128], what[64];
	int pid, r = 0;

	while (fgets(line, sizeof line, stdin))
		if (!strncmp(line, "undo", 4))
			printf("undo failed=%u\n", gf_pseudo_undo(pseudo, &kick)), fflush(stdout);
		else if (sscanf(line, "%d %63s", &pid, what) == 2)
			r |= deliver(pid, what);
		else
			return 2;
	return r;
}

static void describe(void *arg, const char *name, const char *value)
{
	(void)arg;
	printf("%-20s %s\n", name, value);
}

static int to_socket(const char *path)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(a.sun_path, sizeof a.sun_path, "%s", path);
	if (fd < 0 || connect(fd, (struct sockaddr *)&a, sizeof a)) {
		perror(path);
		exit(2);
	}
	return fd;
}

int main(int argc, char **argv)
{
	static const struct option opts[] = { { "road", 1, 0, 'r' }, { "repeat", 1, 0, 'n' }, { "wait", 1, 0, 'w' },
		{ "kick-qtest", 1, 0, 'k' }, { "observe", 0, 0, 'o' },
		{ "thread", 0, 0, 't' }, { "device", 0, 0, 'g' }, { "alone", 0, 0, 'a' }, { "taken", 0, 0, 'd' }, { 0 } };
	struct gf_ramfile *f;
	struct gf_kernel *k;
	struct gf_err err = { "" };
	int c, r = 0, repeat = 1;

	while ((c = getopt_long(argc, argv, "", opts, NULL)) >= 0)
		switch (c) {
		case 'r': road = *optarg == 's' ? GF_ROAD_STORE : *optarg == 'i' ? GF_ROAD_IRQ_WORK : *optarg == 'w' ? GF_ROAD_WAKE : GF_ROAD_AUTO; break;
		case 'n': repeat = atoi(optarg); break;
		case 'w': wait_ns = (uint64_t)atoll(optarg) * 1000000u; break;
		case 'k': qtest = to_socket(optarg); break;
		case 'o': observe = true; break;
		case 't': hop_start(); break;
		case 'd': taken = true; break;
		case 'a': device.alone = true; // fall through
		case 'g': device.on = true; break;
		default: return 2;
		}
	if (argc - optind < 2)
		return 2;
	if (gf_ramfile_open(argv[optind], NULL, 0, true, &f, &err) || gf_kernel_find(f, &k, &err)
	    || gf_pseudo_create(k, true, &pseudo, &err)) {
		fprintf(stderr, "pseudo: %s\n", err.text);
		return 2;
	}
	if (device.on)
		device_start(k);
	if (argc - optind > 2 && !strcmp(argv[optind + 2], "describe"))
		gf_pseudo_describe(pseudo, describe, NULL);
	else if (!strcmp(argv[optind + 1], "-"))
		r = from_input();
	else
		for (int i = 0; i < repeat; i++)
			r |= deliver(atoi(argv[optind + 1]), argv[optind + 2]);
	if (device.on)
		device_end();
	gf_pseudo_free(pseudo);
	gf_kernel_free(k);
	gf_ramfile_close(f);
	return r;
}
