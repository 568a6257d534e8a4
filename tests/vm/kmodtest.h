/* SPDX-License-Identifier: MIT
 *
 * What the parts of kmodtest share. It runs in a guest, against the module; prints "ok name" or "not ok name".
 */
#ifndef KMODTEST_H
#define KMODTEST_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#include "uapi/gpufas.h"

struct kt {
	int fd;
	struct gpufas_start s;
	char *mem; /* NULL: not mapped */
	struct gpufas_header *h;
	struct gpufas_control *c;
	uint64_t next_seq;
};

void kt_ok(bool good, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Opens, starts and maps; ends the program where that fails. */
void kt_open(struct kt *k, uint32_t rows);
void kt_close(struct kt *k);
int kt_arm(struct kt *k, uint32_t flags, uint32_t budget, uint64_t budget_ns);
uint64_t kt_boot_ns(void);
/* The newest table's records, copied whole; the caller's to free. */
struct gf_task_rec *kt_table(struct kt *k, struct gpufas_table *t);
/* The record of pid after a new pass; false: there is none. */
bool kt_record(struct kt *k, pid_t pid, struct gf_task_rec *r);

/* A verdict about pid, well formed; not sent. */
struct gpufas_verdict kt_verdict(struct kt *k, pid_t pid, int action, int arg);
/* Puts it into slot i, check and all (seq 0: the next number). Returns its seq. */
uint64_t kt_put(struct kt *k, unsigned i, struct gpufas_verdict *v);
/* Waits for the answer to seq in slot i, without a kick; false: none came. */
bool kt_answer(struct kt *k, unsigned i, uint64_t seq, struct gpufas_answer *a);

/* Children that are not the opener's: made by a process that was forked before it opened the device. */
enum kt_kind { KT_SLEEPER, KT_HOG, KT_STOPPED, KT_THREADS, KT_HANDLER, KT_ZOMBIE, KT_FIFO, KT_KINDS };
void kt_nursery(void);
pid_t kt_spawn(enum kt_kind kind);
/* Its exit status as wait(2) has it; -1: still there after some seconds. */
int kt_wait(pid_t pid);
void kt_end(pid_t pid);

/* 0, or the errno that mapping (and unmapping) so ends with. */
int kt_try_map(int fd, size_t size, int prot, int flags, off_t off);

int kt_ioctls(void);
int kt_mem(void);
int kt_procs(void);
int kt_mailbox(void);
int kt_refusals(void);
int kt_fuzz(unsigned seed, unsigned rounds);
int kt_bench(int argc, char **argv);
int kt_bound(unsigned tasks, unsigned seconds);
int kt_takeover(unsigned seconds);
int kt_hotmem(void);
#define KT_COUNT(a) (sizeof(a) / sizeof *(a))

#endif
