/* SPDX-License-Identifier: MIT
 *
 * Inside the host target: what its two samplers share.
 */
#ifndef GPUFAS_HOST_H
#define GPUFAS_HOST_H

#include "gpufas/taskrec.h"
#include "targets/kmod.h"
#include "targets/strings.h"
#include "targets/table.h"
#include "targets/target.h"

struct gf_host;

struct gf_host_road {
	/* One look at all processes: gf_host_put for each. 0 when all were seen. */
	int (*pass)(struct gf_host_road *s, struct gf_host *h, uint32_t want, struct gf_err *err);
	void (*destroy)(struct gf_host_road *s);
};

int gf_host_bpf_create(struct gf_host_road **ret, struct gf_err *err);
int gf_host_proc_create(struct gf_host_road **ret, struct gf_err *err);

/* By the kernel module. 0; -ENODEV: it is not there, and nothing has been entered; -EAGAIN: what has been is not of one table. */
struct gf_host_kmod {
	struct gf_kmod *k;
	struct gf_region_clock clock;
	uint64_t period_ns;
	uint64_t now_ns;      /* of its table */
	uint64_t known;       /* host fields that it gave */
	double host[GF_HF_COUNT];
	const char *why;      /* not this time */
};
int gf_host_kmod_pass(struct gf_host_kmod *m, struct gf_host *h, uint64_t host_want, uint64_t boot_ns, uint64_t last_ns, struct gf_err *err);
/* For gf_host_kmod_pass: the sample's time, before the first gf_host_put. */
void gf_host_time(struct gf_host *h, uint64_t now_ns);

/* Enters what was found out about one process into the table. */
void gf_host_put(struct gf_host *h, const struct gf_task_rec *r);
/* What the table remembers of a process. */
struct gf_host_memo {
	uint64_t exec_tag; /* of the last pass: another one means another program, and maybe another user */
	uint32_t row;
	uint32_t have;     /* GF_REC_UID, GF_REC_ADJ */
	uint32_t euid, egid;
	short oom_adj;
	bool init;
	struct gf_memory_memo {
		uint64_t faults, stat_rss, vsz; /* as stat showed them when the rest was read */
		long long anon, file, shmem, swap;
		uint32_t have; /* GF_REC_RSS, GF_REC_RSS_SUM, GF_REC_SWAP */
	} memory;
};
void gf_host_remember_memory(struct gf_host *h, uint32_t row, const struct gf_memory_memo *m);
bool gf_host_knows(const struct gf_host *h, int32_t pid, uint64_t start_ns, struct gf_host_memo *ret);

/* Host fields: meminfo, vmstat, stat, loadavg, pressure. */
struct gf_host_fields;
int gf_host_fields_create(struct gf_host_fields **ret, struct gf_err *err);
void gf_host_fields_destroy(struct gf_host_fields *f);
/* Opens what `want` (1 << enum gf_host_field) needs; may allocate. What the
 * kernel does not have stays unknown and is no error. */
int gf_host_fields_want(struct gf_host_fields *f, uint64_t want, struct gf_err *err);
/* `known` (1 << enum gf_host_field) is to be had elsewhere: files that have nothing else to tell are not read. Fills s->host, but for tasks.count; no allocation. A file that cannot be read
 * leaves its fields unknown. */
void gf_host_fields_read(struct gf_host_fields *f, struct gf_sample *s, uint64_t known);

#endif
