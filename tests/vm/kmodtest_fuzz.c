// SPDX-License-Identifier: MIT
/*
 * Random, bounded: openings, ioctls with random numbers and arguments, mappings of random ranges, and random
 * words into the control page and the mailbox, some with a good check. The kernel's log and our lives are the judges.
 */
#include "kmodtest.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

static uint64_t state;

static uint64_t rnd(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

/* Numbers near the edges are the interesting ones. */
static uint64_t word(void)
{
	static const uint64_t edge[] = { 0, 1, 2, 8, 0x7fffffff, 0x80000000, 0xffffffff, 4096, ~0ull, 1ull << 63 };

	switch (rnd() % 4) {
	case 0: return edge[rnd() % KT_COUNT(edge)];
	case 1: return rnd() % 300;
	case 2: return rnd() & 0xffffffff;
	default: return rnd();
	}
}

static void fill(void *to, size_t n)
{
	for (size_t i = 0; i + 8 <= n; i += 8) {
		uint64_t w = word();
		memcpy((char *)to + i, &w, 8);
	}
}

static void some_ioctl(int fd)
{
	static const unsigned long known[] = { GPUFAS_IOC_START, GPUFAS_IOC_ARM, GPUFAS_IOC_KICK, GPUFAS_IOC_PASS };
	_Alignas(8) char buf[8192];
	unsigned long cmd = rnd() % 4 ? known[rnd() % 4] : (unsigned long)(0x67f0 | (word() & 0xffff000f));

	fill(buf, sizeof buf);
	if (rnd() % 2) {
		uint32_t size = (uint32_t)(rnd() % 64);
		memcpy(buf, &size, 4);
	}
	switch (rnd() % 4) {
	case 0: ioctl(fd, cmd, word()); break;
	case 1: ioctl(fd, cmd, buf + (rnd() % 16)); break;
	default: ioctl(fd, cmd, buf);
	}
}

static void some_mapping(int fd)
{
	size_t size = (size_t)(rnd() % 3 ? (rnd() % 4096 + 1) * 4096 : word() & ~4095ull);

	if (!size)
		size = 4096;
	void *p = mmap(NULL, size, (int)(rnd() % 8), rnd() % 4 ? MAP_SHARED : MAP_PRIVATE, fd, (off_t)(word() & ~4095ull & ((1ull << 62) - 1)));

	if (p == MAP_FAILED)
		return;
	if (rnd() % 2)
		mprotect(p, 4096, (int)(rnd() % 8));
	madvise(p, 4096, (int)(rnd() % 26));
	munmap(p, size);
}

static void some_mail(struct kt *k, pid_t victim)
{
	char *box = k->mem + k->h->verdict_off;
	unsigned slot = (unsigned)(rnd() % GPUFAS_SLOTS);
	struct gpufas_verdict v;

	switch (rnd() % 3) {
	case 0: /* anything, anywhere */
		fill(box + rnd() % (GPUFAS_SLOTS * sizeof v - 256) / 8 * 8, 256);
		break;
	case 1: /* well signed, else anything; it names nobody by his right start but by chance */
		fill(&v, sizeof v);
		v.seq = k->next_seq++;
		v.start_ns |= 1ull << 60;
		kt_put(k, slot, &v);
		break;
	default: /* a right identity, and an action that does no harm to this test */
		v = kt_verdict(k, rnd() % 2 ? victim : (pid_t)(rnd() % 3), (int)(rnd() % 6), rnd() % 2 ? SIGCONT : (int)(rnd() % 2) - 39);
		v.flags = (uint16_t)(rnd() % 3);
		kt_put(k, slot, &v);
	}
}

/* The words that can be damaged; the sampler must go on, and we want it to leave us a CPU. */
static void some_control(struct kt *k)
{
	fill(k->c, sizeof *k->c);
	if (rnd() % 2)
		k->c->poll_ns = k->c->period_ns = 0;
}

/* The module does not read it back; we do. */
static void some_header(struct kt *k)
{
	struct gpufas_header h = *k->h;

	memset(k->h, (int)rnd(), sizeof h);
	ioctl(k->fd, GPUFAS_IOC_PASS);
	*k->h = h;
}

int kt_fuzz(unsigned seed, unsigned rounds)
{
	struct kt k;
	int fd;

	state = seed * 0x9e3779b97f4a7c15ull + 1;
	kt_nursery();
	pid_t victim = kt_spawn(KT_SLEEPER);
	for (unsigned i = 0; i < rounds;) {
		fd = open(GPUFAS_DEVICE, (int)(rnd() % 3) | O_CLOEXEC);
		for (unsigned n = (unsigned)(rnd() % 20); n && i < rounds; n--, i++)
			rnd() % 2 ? some_ioctl(fd) : some_mapping(fd);
		close(fd);
		kt_open(&k, (uint32_t)(rnd() % 2000));
		kt_arm(&k, GPUFAS_ARM_ACT | (rnd() % 2 ? GPUFAS_ARM_STAY : 0), 1000, 100000000u);
		for (unsigned n = (unsigned)(rnd() % 200); n && i < rounds; n--, i++)
			switch (rnd() % 8) {
			case 0: some_control(&k); break;
			case 1: some_ioctl(k.fd); break;
			case 2: some_mapping(k.fd); break;
			case 3: ioctl(k.fd, GPUFAS_IOC_KICK); break;
			case 4: some_header(&k); break;
			default: k.c->want = ~0u; k.c->protects = 0; some_mail(&k, victim);
			}
		kt_close(&k);
	}
	kt_ok(!kill(victim, 0) && kt_record((kt_open(&k, 0), &k), victim, &(struct gf_task_rec){ 0 }), "%u random calls and words, seed %u", rounds, seed);
	kt_close(&k);
	kt_end(victim);
	return 0;
}
