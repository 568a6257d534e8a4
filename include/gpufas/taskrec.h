/* SPDX-License-Identifier: Dual MIT/GPL
 *
 * What a sampler finds out about one process. The BPF program writes it into
 * its iterator; the /proc sampler and the walkers of memory fill the same record, so
 * that columns are made in one place. Plain numbers in the kernel's units; compiled by
 * clang for BPF, by the host's compiler and by nvcc, hence no other header's types.
 */
#ifndef GPUFAS_TASKREC_H
#define GPUFAS_TASKREC_H

#define GF_REC_CPUS 1024 /* CPUs whose parts of a memory counter can be added */
#define GF_REC_THREADS 65536 /* threads of one process that can be summed */
#define GF_REC_FD_WORDS 32768 /* words of one descriptor bitmap that are counted */

/* What is wanted, and in a record what is known. */
enum gf_rec_have {
	GF_REC_RSS = 1,      /* anon, file, shmem: all three */
	GF_REC_SWAP = 2,
	GF_REC_PGTABLES = 4,
	GF_REC_CPU = 8,      /* run_ns */
	GF_REC_SPLIT = 16,   /* utime, stime */
	GF_REC_FAULTS = 32,
	GF_REC_IO = 64,
	GF_REC_FDS = 128,
	GF_REC_IDS = 256,    /* pgrp, session */
	GF_REC_SCORE = 512,  /* oom_score, by the kernel's own hand */
	GF_REC_ADJ = 1024,   /* oom_score_adj */
	GF_REC_VSZ = 2048,
	GF_REC_RSS_SUM = 4096, /* only the sum of the three is known: in anon */
	GF_REC_STAT = 8192,  /* nice, prio, policy, threads, state */
	GF_REC_UID = 16384,
	/* Only wanted: of this very pass, because the policy reads them. Otherwise a
	 * sampler to which they cost a file may give what it read some passes ago. */
	GF_REC_ADJ_NOW = 32768,
	GF_REC_UID_NOW = 65536,
};

enum gf_rec_flags {
	GF_REC_KTHREAD = 1,
	GF_REC_EXITING = 2,
	GF_REC_INIT = 4,
	GF_REC_TORN = 8,
	GF_REC_OOM_SKIP = 16, /* the OOM killer's score of it is 0 whatever its size */
	GF_REC_NO_MM = 32,
};

struct gf_task_rec {
	unsigned long long start_ns;
	unsigned long long run_ns; /* all threads, dead ones included; so are the next four pairs */
	unsigned long long utime_ns, stime_ns;
	unsigned long long prev_utime_ns, prev_stime_ns; /* what /proc has last shown */
	unsigned long long minflt, majflt;
	unsigned long long read_bytes, write_bytes;
	long long file, anon, shmem, swap; /* pages */
	unsigned long long vsz; /* pages */
	unsigned long long pgtables; /* bytes */
	unsigned long long exec_tag; /* differs before and after an exec */
	int pid, ppid, pgrp, session;
	unsigned int euid, egid;
	unsigned int threads, fds;
	unsigned int have;  /* enum gf_rec_have */
	unsigned int flags; /* enum gf_rec_flags */
	short oom_adj, oom_score;
	short prio;
	signed char nice;
	unsigned char policy;
	unsigned char state; /* the letter */
	char reserved[7];
	char comm[16];
};

#ifdef __cplusplus
static_assert(sizeof(struct gf_task_rec) == 208, "gf_task_rec");
#else
_Static_assert(sizeof(struct gf_task_rec) == 208, "gf_task_rec");
#endif

#endif
