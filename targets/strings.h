/* SPDX-License-Identifier: MIT
 *
 * exe, cmdline, cgroup and I/O counters of processes, read on helper threads: reading
 * them can wait for the process itself (cmdline takes its mmap lock, io its exec lock,
 * and either may be held while a dead file server is waited for), and a tick must not.
 * Asking and taking are for one thread, the sampler's; neither locks nor allocates.
 */
#ifndef GPUFAS_STRINGS_H
#define GPUFAS_STRINGS_H

#include <stdbool.h>

#include "gpufas/err.h"
#include "gpufas/sample.h"

#define GF_STRING_MAX 4095u
/* Beside enum gf_str_field: the text of /proc/PID/io. */
#define GF_STRING_IO GF_SF_COUNT

struct gf_strings;

struct gf_string {
	struct gf_string *next;
	uint32_t row, gen, id;
	uint8_t field; /* enum gf_str_field, GF_STRING_IO */
	uint8_t reserved[3];
	int32_t error; /* 0, or -errno: no string */
	uint32_t len;
	char text[];   /* NUL-terminated */
};

struct gf_string_ask {
	uint32_t row, gen;
	uint32_t id;     /* the asker's, comes back */
	uint32_t fields; /* 1 << enum gf_str_field, GF_STRING_IO */
	int32_t pid;
	uint32_t reserved;
	uint64_t start_ns;
};

int gf_strings_create(struct gf_strings **ret, struct gf_err *err);
/* As gf_string_read. */
typedef int (*gf_string_reader)(int32_t pid, uint64_t start_ns, unsigned field, char *text, uint32_t *ret_len);
/* The same with a reader other than /proc's, for tests of what a stuck one does; NULL: /proc's. */
int gf_strings_create_reading(gf_string_reader read, struct gf_strings **ret, struct gf_err *err);
/* Waits at most two seconds for helpers that are stuck in a read; such a one
 * cleans up after itself when the kernel lets it go. */
void gf_strings_destroy(struct gf_strings *s);
/* False: too much is asked already; ask again in a later tick. */
bool gf_strings_ask(struct gf_strings *s, const struct gf_string_ask *ask);
/* Once a tick, after the asking: wakes helpers, and sees to it that there is one
 * that is not stuck. */
void gf_strings_kick(struct gf_strings *s);
/* All answers since the last time, linked by next; the caller's until dropped. */
struct gf_string *gf_strings_take(struct gf_strings *s);
/* Gives a string back; a helper frees it. */
void gf_strings_drop(struct gf_strings *s, struct gf_string *str);
/* Helper threads now, and those that have been in one read for over a second. */
void gf_strings_count(struct gf_strings *s, unsigned *ret_threads, unsigned *ret_stuck);

/* One process, at once, on the caller's thread: 0, -ESRCH (gone or another
 * identity), -EACCES, ... text has room for GF_STRING_MAX + 1 bytes. */
int gf_string_read(int32_t pid, uint64_t start_ns, unsigned field, char *text, uint32_t *ret_len);

#endif
