/* SPDX-License-Identifier: MIT
 *
 * Rings from the engine's thread to one consumer, and words published to any
 * reader. Neither side ever waits for the other.
 *
 * Memory order. The producer writes a slot, then stores head with release; the
 * consumer loads head with acquire, so it sees every slot below head as written.
 * It copies the slot out, then stores tail with release; the producer loads tail
 * with acquire before it writes a slot again, so the copy is done before the slot
 * changes. head is written by the producer only, tail by the consumer only.
 *
 * Wake-up: the eventfd is written after head. A consumer empties the eventfd
 * before it looks at head, so an entry that it does not see makes the eventfd
 * readable again; when it leaves entries behind it writes the eventfd itself.
 */
#ifndef GPUFAS_RING_H
#define GPUFAS_RING_H

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct gf_ring {
	uint64_t head; /* atomic */
	uint8_t pad[56]; /* producer and consumer write different cache lines */
	uint64_t tail; /* atomic */
	uint64_t lost; /* atomic; by the producer only */
	uint32_t cap;  /* power of two */
	uint32_t size; /* bytes an entry */
	int fd;
	uint8_t *slot;
};

static inline int gf_ring_init(struct gf_ring *r, uint32_t cap, uint32_t size)
{
	memset(r, 0, sizeof *r);
	r->cap = cap;
	r->size = size;
	r->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (r->fd < 0)
		return -errno;
	r->slot = calloc(cap, size);
	if (!r->slot) {
		close(r->fd);
		return -ENOMEM;
	}
	return 0;
}

static inline void gf_ring_deinit(struct gf_ring *r)
{
	if (r->slot) /* else it was never made */
		close(r->fd);
	free(r->slot);
}

static inline void gf_ring_wake(struct gf_ring *r)
{
	uint64_t one = 1;
	ssize_t n = write(r->fd, &one, sizeof one); /* fails only where it is readable anyhow */

	(void)n;
}

/* Producer: entries that there is room for at least. */
static inline uint32_t gf_ring_room(const struct gf_ring *r)
{
	return r->cap - (uint32_t)(r->head - __atomic_load_n(&r->tail, __ATOMIC_ACQUIRE));
}

/* Producer: counts an entry that is not put. */
static inline void gf_ring_lose(struct gf_ring *r)
{
	__atomic_fetch_add(&r->lost, 1, __ATOMIC_RELAXED);
}

/* Producer. 0 when there was no room: the entry is lost and counted. */
static inline int gf_ring_put(struct gf_ring *r, const void *entry)
{
	uint64_t head = r->head, tail = __atomic_load_n(&r->tail, __ATOMIC_ACQUIRE);

	if (head - tail == r->cap) {
		gf_ring_lose(r);
		return 0;
	}
	memcpy(r->slot + (size_t)(head % r->cap) * r->size, entry, r->size);
	__atomic_store_n(&r->head, head + 1, __ATOMIC_RELEASE);
	return 1;
}

/* Consumer. */
static inline size_t gf_ring_take(struct gf_ring *r, void *buf, size_t n)
{
	uint64_t tail = r->tail, head, count;
	size_t got = 0;
	ssize_t rd = read(r->fd, &count, sizeof count);

	(void)rd;
	/* The read above must come before the load below. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	head = __atomic_load_n(&r->head, __ATOMIC_ACQUIRE);
	for (; got < n && tail != head; got++, tail++)
		memcpy((uint8_t *)buf + got * r->size, r->slot + (size_t)(tail % r->cap) * r->size, r->size);
	__atomic_store_n(&r->tail, tail, __ATOMIC_RELEASE);
	if (tail != head)
		gf_ring_wake(r);
	return got;
}

/* A block of words that one thread publishes and any may read: odd sequence
 * numbers mean that it is being written. Words are read and written as relaxed
 * atomics, so a reader that overlaps gets old and new words, no undefined ones,
 * and sees by the sequence that it must read again. */
static inline void gf_seq_publish(uint64_t *seq, void *to, const void *from, size_t bytes)
{
	uint64_t s = __atomic_load_n(seq, __ATOMIC_RELAXED);
	uint64_t *d = to;
	const uint64_t *w = from;

	__atomic_store_n(seq, s + 1, __ATOMIC_RELAXED);
	__atomic_thread_fence(__ATOMIC_RELEASE);
	for (size_t i = 0; i < bytes / 8; i++)
		__atomic_store_n(&d[i], w[i], __ATOMIC_RELAXED);
	__atomic_store_n(seq, s + 2, __ATOMIC_RELEASE);
}

static inline void gf_seq_read(const uint64_t *seq, void *to, const void *from, size_t bytes)
{
	uint64_t s, *d = to;
	const uint64_t *w = from;

	do {
		while ((s = __atomic_load_n(seq, __ATOMIC_ACQUIRE)) & 1)
			usleep(50);
		for (size_t i = 0; i < bytes / 8; i++)
			d[i] = __atomic_load_n(&w[i], __ATOMIC_RELAXED);
		__atomic_thread_fence(__ATOMIC_ACQUIRE);
	} while (s != __atomic_load_n(seq, __ATOMIC_RELAXED));
}

#endif
