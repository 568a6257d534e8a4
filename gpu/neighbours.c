/* SPDX-License-Identifier: MIT
 *
 * Whether a GPU's time is cut into slices between this process and others. Without MPS the device runs one process' kernels at a
 * time, and one that never ends takes its turn each time: both sides lose about half. The driver tells nobody without root's
 * tools who is there, so it is read from /proc:
 *   - who computes has /dev/nvidiaN and /dev/nvidia-uvm open, who draws /dev/nvidia-modeset; tools that only look have neither;
 *   - an instance of a partitioned card is two capabilities (/dev/nvidia-caps/nvidia-capN) that those who share it have open;
 *   - MPS' control daemon reads the pipe "log" in its directory as long as it lives (its sockets stay behind), and has its
 *     pid there; a process becomes its client when it initialises CUDA, or never.
 */
#include "gpu/neighbours.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "gpu/engine.h"

#define CAPS 32u /* of this process, that are looked for in others */

struct look {
	const struct gf_neighbours *o;
	char device[32];
	uint32_t cap[CAPS], caps;  /* this process' */
	int control;               /* pid of MPS' control daemon; 0: not known */
	uint64_t control_start;
	bool mps, client;          /* MPS is there for us; we are its client */
	int server;                /* some MPS server, whoever's */
	uint32_t n, not_clients;   /* neighbours; those of them that are no clients of our MPS */
	int pid;                   /* one of them, to be named */
	char comm[32];
};

/* What one process has open. */
struct held {
	bool device, uvm, modeset;
	uint32_t caps; /* bit i: look.cap[i] */
};

/* A small file of a process; "" where it cannot be read. */
static size_t slurp(const struct look *l, int pid, const char *name, char *buf, size_t n)
{
	char path[512];
	size_t got = 0;

	snprintf(path, sizeof path, "%s/%d/%s", l->o->proc, pid, name);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	for (ssize_t r = 1; fd >= 0 && r > 0 && got + 1 < n; got += r > 0 ? (size_t)r : 0)
		r = read(fd, buf + got, n - 1 - got);
	if (fd >= 0)
		close(fd);
	buf[got] = 0;
	return got;
}

static void comm_of(const struct look *l, int pid, char *buf, size_t n)
{
	slurp(l, pid, "comm", buf, n);
	buf[strcspn(buf, "\n")] = 0;
}

/* Clock ticks after boot; 0: not known. */
static uint64_t started(const struct look *l, int pid)
{
	unsigned long long v;
	char buf[1024];

	slurp(l, pid, "stat", buf, sizeof buf);
	const char *s = strrchr(buf, ')'); /* a name may hold anything */
	return s && sscanf(s + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %llu", &v) == 1 ? v : 0;
}

static bool all_caps(const struct look *l, uint32_t caps)
{
	return l->caps && caps == (l->caps == 32 ? UINT32_MAX : (1u << l->caps) - 1);
}

/* own: takes this process' capabilities down, instead of comparing. False: may not be looked at. */
static bool look_at(struct look *l, int pid, bool own, struct held *h)
{
	char path[512], to[64];
	const struct dirent *e;
	unsigned cap;

	*h = (struct held){ 0 };
	snprintf(path, sizeof path, "%s/%d/fd", l->o->proc, pid);
	DIR *d = opendir(path);
	if (!d)
		return false;
	while ((e = readdir(d))) {
		ssize_t len = readlinkat(dirfd(d), e->d_name, to, sizeof to - 1);
		if (len <= 0)
			continue;
		to[len] = 0;
		h->device |= !strcmp(to, l->device);
		h->uvm |= !strcmp(to, "/dev/nvidia-uvm");
		h->modeset |= !strcmp(to, "/dev/nvidia-modeset");
		if (sscanf(to, "/dev/nvidia-caps/nvidia-cap%u", &cap) == 1) {
			uint32_t i = 0;
			while (i < l->caps && l->cap[i] != cap)
				i++;
			if (own && i == l->caps && i < CAPS)
				l->cap[l->caps++] = cap;
			else if (i < l->caps)
				h->caps |= 1u << i;
		}
		if (!own && h->device && (h->uvm || h->modeset) && (!l->o->mig || all_caps(l, h->caps)))
			break; /* it may have thousands more */
	}
	closedir(d);
	return true;
}

/* MPS as CUDA would find it, and whether it was there when this process began. */
static void look_for_mps(struct look *l)
{
	char path[512], comm[32];
	int pid = 0;

	snprintf(path, sizeof path, "%s/nvidia-cuda-mps-control.pid", l->o->pipes);
	FILE *f = fopen(path, "re");
	if (f && fscanf(f, "%d", &pid) != 1)
		pid = 0;
	if (f)
		fclose(f);
	if (pid > 0)
		comm_of(l, pid, comm, sizeof comm);
	if (pid > 0 && !strncmp(comm, "nvidia-cuda-mps", 15))
		l->control = pid; /* else it is of another namespace, or dead */
	l->control_start = l->control ? started(l, l->control) : 0;
	snprintf(path, sizeof path, "%s/log", l->o->pipes);
	int fd = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC); /* ENXIO: nobody reads it */
	l->mps = fd >= 0 || (errno == EACCES && l->control);
	if (fd >= 0)
		close(fd);
	uint64_t own = started(l, l->o->self);
	l->client = l->mps && (!own || !l->control_start || own >= l->control_start);
}

/* Whether it found the same MPS as we when it began. What cannot be read is taken for the better. */
static bool is_client(const struct look *l, int pid)
{
	static const char key[] = "CUDA_MPS_PIPE_DIRECTORY=";
	size_t size = 256 << 10;
	char *buf = malloc(size);
	const char *dir = GF_MPS_PIPES;
	uint64_t start = started(l, pid);
	bool same = true;

	if (start && l->control_start && start < l->control_start) {
		free(buf);
		return false;
	}
	size_t n = buf ? slurp(l, pid, "environ", buf, size) : 0;
	for (size_t at = 0; at < n; at += strlen(buf + at) + 1)
		if (!strncmp(buf + at, key, sizeof key - 1))
			dir = buf + at + sizeof key - 1;
	if (n)
		same = !strcmp(dir, l->o->pipes);
	free(buf);
	return same;
}

static void look_around(struct look *l)
{
	DIR *d = opendir(l->o->proc);
	const struct dirent *e;
	struct held h;

	while (d && (e = readdir(d))) {
		int pid = atoi(e->d_name);
		char comm[32];
		if (pid <= 0 || pid == l->o->self || !look_at(l, pid, false, &h) || !h.device)
			continue;
		comm_of(l, pid, comm, sizeof comm);
		if (!strncmp(comm, "nvidia-cuda-mps", 15)) {
			l->server = h.uvm ? pid : l->server;
			continue;
		}
		if (!(h.uvm || h.modeset) || (l->o->mig && !all_caps(l, h.caps)))
			continue;
		bool client = l->mps && is_client(l, pid);
		l->n++;
		l->not_clients += !client;
		if (!l->pid || (!client && l->not_clients == 1)) {
			l->pid = pid;
			snprintf(l->comm, sizeof l->comm, "%s", comm);
		}
	}
	if (d)
		closedir(d);
}

void gf_neighbours_say(const struct gf_neighbours *o, char *buf, size_t n)
{
	static const char turns[] = "its kernels and the watchdog's take turns, and each side loses about half of its speed";
	struct look l = { .o = o };
	struct held own;
	char who[96], more[32] = "";

	buf[0] = 0;
	snprintf(l.device, sizeof l.device, "/dev/nvidia%u", o->minor);
	look_at(&l, o->self, true, &own);
	look_for_mps(&l);
	look_around(&l);
	bool beside = l.client && !l.not_clients && o->stays; /* only with those that run at the same time */
	uint32_t with = l.client && !beside ? l.not_clients : l.n; /* that it takes turns with */
	if (!with)
		return;
	if (with > 1)
		snprintf(more, sizeof more, " and %u more", with - 1);
	snprintf(who, sizeof who, "%s (pid %d)%s", *l.comm ? l.comm : "a process", l.pid, more);
	if (beside)
		snprintf(buf, n, "shared with %s under MPS: a kernel that stays holds back those that want whole multiprocessors (matrix products lose 7 %% and "
			 "more); engine.gpu.mode: relay does not", who);
	else if (l.client)
		snprintf(buf, n, "shared with %s outside MPS: %s; start it with CUDA_MPS_PIPE_DIRECTORY=%s", who, turns, o->pipes);
	else if (l.mps)
		snprintf(buf, n, "shared with %s: %s; MPS was started after gpufasd: restart gpufasd", who, turns);
	else if (l.server)
		snprintf(buf, n, "shared with %s: %s; MPS runs (pid %d), but gpufasd does not find it in %s: set CUDA_MPS_PIPE_DIRECTORY "
			 "for both to one directory, outside /tmp where a unit has a /tmp of its own", who, turns, l.server, o->pipes);
	else
		snprintf(buf, n, "shared with %s: %s; run both under MPS (nvidia-cuda-mps-control -d -multiuser-server, then start both anew), give gpufasd "
			 "an instance of its own (MIG), or set engine.gpu.mode: launch", who, turns);
}

int gf_nvidia_minor(const char *drv, const char *pci)
{
	char path[512], line[256];
	int minor = -1;

	if (!*pci || strchr(pci, '/'))
		return -1;
	snprintf(path, sizeof path, "%s/gpus/%s/information", drv, pci);
	FILE *f = fopen(path, "re");
	while (f && fgets(line, sizeof line, f))
		sscanf(line, "Device Minor: %d", &minor);
	if (f)
		fclose(f);
	return minor;
}

void gf_gpu_neighbours(uint32_t device, bool stays, char *buf, size_t n)
{
	struct gf_gpu_info v[GF_GPU_DEVICES] = { 0 };
	struct gf_err err;
	size_t found = gf_gpu_list(v, GF_GPU_DEVICES, &err);
	const char *pipes = getenv("CUDA_MPS_PIPE_DIRECTORY");
	struct gf_neighbours o = { .proc = "/proc", .pipes = pipes && *pipes ? pipes : GF_MPS_PIPES, .self = getpid(), .minor = device, .stays = stays };

	for (size_t i = 0; i < found && i < GF_GPU_DEVICES; i++) {
		if (v[i].index != device)
			continue;
		int minor = gf_nvidia_minor("/proc/driver/nvidia", v[i].pci);
		o.minor = minor >= 0 ? (uint32_t)minor : device;
		o.mig = v[i].mig;
	}
	gf_neighbours_say(&o, buf, n);
}
