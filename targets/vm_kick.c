// SPDX-License-Identifier: MIT
/*
 * An interrupt for a guest CPU that idles in HLT, so that it looks at what was stored for it. Two ways that QEMU has
 * without anything being done inside:
 *
 *   qtest   its test protocol on a socket of its own (-qtest unix:PATH,server=on,wait=off -qtest-log none): a store to
 *           the address at which message signalled interrupts arrive. The vector is IRQ_WORK_VECTOR of
 *           arch/x86/include/asm/irq_vectors.h, whose handler runs the CPU's irq_work lists and nothing else.
 *   serial  a byte into a serial port that the guest has open. It goes to whatever reads the port there, so it is
 *           XON: a terminal swallows it (IXON, which is on unless a program has turned it off).
 *
 * And NMI and reset, which QMP has.
 */
#include "targets/vm_keep_int.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define IRQ_WORK_VECTOR 0xf6u
#define MSI_BASE 0xfee00000u /* bits 12..19: the APIC's number */
#define XON 0x11
#define KICK_MS 100
#define REST_MS 1000 /* after a kick that was not answered: hundreds may be wanted, and each would wait as long */

struct gf_vm_kick {
	pthread_mutex_t lock;
	enum gf_kick how;
	char path[sizeof((struct sockaddr_un *)0)->sun_path];
	int fd; /* qtest's, which stays open; -1 */
	int64_t rest_until; /* ms */
};

int gf_vm_kick_create(struct gf_vm *vm, struct gf_vm_kick **ret, struct gf_err *err)
{
	const char *path = vm->o.kick_path;
	struct gf_vm_kick *kick;

	if (vm->o.kick == GF_KICK_NONE) {
		*ret = NULL;
		return 0;
	}
	if (!path || !*path || strlen(path) >= sizeof kick->path)
		return gf_err_set(err, EINVAL, "target %s: a kick needs the path of a socket, of at most %zu bytes", vm->t.name, sizeof kick->path - 1);
	kick = calloc(1, sizeof *kick);
	if (!kick)
		return gf_err_set(err, ENOMEM, "no memory");
	pthread_mutex_init(&kick->lock, NULL);
	kick->how = vm->o.kick;
	strcpy(kick->path, path);
	kick->fd = -1;
	*ret = kick;
	return 0;
}

void gf_vm_kick_free(struct gf_vm_kick *kick)
{
	if (!kick)
		return;
	if (kick->fd >= 0)
		close(kick->fd);
	pthread_mutex_destroy(&kick->lock);
	free(kick);
}

static int dial(const struct gf_vm_kick *kick)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return -errno;
	strcpy(sa.sun_path, kick->path);
	if (connect(fd, (struct sockaddr *)&sa, sizeof sa) < 0) {
		int e = errno;

		close(fd);
		return e == EAGAIN ? -EBUSY : -e;
	}
	return fd;
}

static int put(int fd, const char *s, size_t len)
{
	ssize_t n = send(fd, s, len, MSG_NOSIGNAL | MSG_DONTWAIT);

	return n == (ssize_t)len ? 0 : n < 0 ? -errno : -EIO;
}

/* The answer to one command: a line "OK". What was left unread of earlier ones has been drained before. */
static int qtest_ok(int fd)
{
	int64_t end = gf_vm_now_ms() + KICK_MS;
	char buf[256];
	size_t n = 0;

	while (n < sizeof buf) {
		struct pollfd p = { .fd = fd, .events = POLLIN };
		int64_t left = end - gf_vm_now_ms();
		ssize_t got;

		if (left <= 0 || poll(&p, 1, (int)left) <= 0)
			return -ETIMEDOUT;
		got = recv(fd, buf + n, sizeof buf - n, MSG_DONTWAIT);
		if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR))
			return -EPIPE;
		if (got > 0)
			n += (size_t)got;
		if (n && memchr(buf, '\n', n))
			return n >= 2 && !memcmp(buf, "OK", 2) ? 0 : -EPROTO;
	}
	return -EPROTO;
}

static int qtest(struct gf_vm_kick *kick, uint32_t apic)
{
	char line[64], old[256];
	int r = 0;

	if (apic > 0xff)
		return -ERANGE; /* such an interrupt cannot name it */
	snprintf(line, sizeof line, "writel 0x%x 0x%x\n", MSI_BASE | apic << 12, IRQ_WORK_VECTOR);
	if (kick->fd < 0) {
		kick->fd = dial(kick);
		if (kick->fd < 0) {
			r = kick->fd;
			kick->fd = -1;
			return r;
		}
	}
	while (recv(kick->fd, old, sizeof old, MSG_DONTWAIT) > 0)
		;
	r = put(kick->fd, line, strlen(line));
	if (!r)
		r = qtest_ok(kick->fd);
	if (r) {
		close(kick->fd);
		kick->fd = -1;
	}
	return r;
}

/* Not kept open: what the guest writes would have to be read, or its writers would be held up. */
static int serial(const struct gf_vm_kick *kick)
{
	static const char byte = XON;
	int fd = dial(kick), r;

	if (fd < 0)
		return fd;
	r = put(fd, &byte, 1);
	close(fd);
	return r;
}

/* The number of the APIC of the kernel's CPU: they differ where a socket's number of cores is no power of two. */
static uint32_t apic_of(const struct gf_guest *g, uint32_t cpu)
{
	static const char *const names[] = { "x86_cpu_to_apicid" };
	const struct gf_kmem *m = &g->kernel->mem;
	uint64_t at, offsets, base, apic;

	/* 16 bits until 6.7, then 32, of which a message can name 8 */
	if (gf_kernel_sym_any(g->kernel, names, 1, &at) || gf_kernel_sym(g->kernel, "__per_cpu_offset", &offsets) ||
	    gf_kmem_load(m, offsets + 8ull * cpu, 8, &base) || gf_kmem_load(m, base + at, 2, &apic) || apic == 0xffff)
		return cpu;
	return (uint32_t)apic;
}

int gf_vm_kick(struct gf_target *t, uint32_t cpu)
{
	struct gf_vm *vm = (struct gf_vm *)t;
	struct gf_vm_kick *kick = vm->keep ? vm->keep->kick : NULL;
	struct gf_guest *g;
	uint32_t apic;
	int r;

	if (!kick)
		return -ENOTSUP;
	g = gf_vm_guest(t, NULL);
	if (!g)
		return -ENOLINK;
	apic = kick->how == GF_KICK_QTEST ? apic_of(g, cpu) : 0;
	gf_guest_put(g);
	pthread_mutex_lock(&kick->lock);
	/* A QEMU that has been started again is behind the same path. */
	if (gf_vm_now_ms() < kick->rest_until)
		r = -EBUSY;
	else
		r = kick->how == GF_KICK_QTEST ? qtest(kick, apic) : serial(kick);
	if (r == -EPIPE && kick->how == GF_KICK_QTEST)
		r = qtest(kick, apic);
	if (r == -ETIMEDOUT)
		kick->rest_until = gf_vm_now_ms() + REST_MS;
	pthread_mutex_unlock(&kick->lock);
	return r;
}

static int by_qmp(struct gf_target *t, const char *what, int (*fn)(struct gf_qmp *, struct gf_err *), struct gf_err *err)
{
	struct gf_vm *vm = (struct gf_vm *)t;
	struct gf_vm_keep *k = vm->keep;
	uint64_t one = 1;
	int r;

	if (!k || !vm->o.qmp)
		return gf_err_set(err, ENOTSUP, "%s has no QMP socket, without which there is no %s: give it one in gpufas.yaml (qmp: PATH)", t->name, what);
	pthread_mutex_lock(&k->qmp_lock);
	r = k->q ? fn(k->q, err) : gf_err_set(err, ENOLINK, "QEMU of %s cannot be reached just now, so there is no %s", t->name, what);
	pthread_mutex_unlock(&k->qmp_lock);
	/* Events that came before the answer have been put by. */
	if (write(vm->wake_fd, &one, sizeof one) < 0)
		return r;
	return r;
}

int gf_vm_nmi(struct gf_target *t, struct gf_err *err)
{
	return by_qmp(t, "NMI", gf_qmp_nmi, err);
}

int gf_vm_reset(struct gf_target *t, struct gf_err *err)
{
	return by_qmp(t, "reset", gf_qmp_reset, err);
}
