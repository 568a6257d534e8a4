/* SPDX-License-Identifier: MIT
 *
 * Inside the GPU engine's host side: what its files share. Who does what is said at the top of engine_gpu.c.
 */
#ifndef GPUFAS_ENGINE_GPU_H
#define GPUFAS_ENGINE_GPU_H

#include "gpu/dev.h"
#include "gpu/engine_cpu.h"
#include "gpu/gpu.h"
#include "targets/target.h"

#define GF_GPU_STRINGS (8u << 20) /* bytes of strings of all rows */
#define GF_GPU_PAST 16384u        /* events whose numbers are remembered */
#define GF_GPU_LIFE_NS SEC_NS     /* a device that has not answered for so long, or for 10 periods, is given up */
#define GF_GPU_START_NS (10 * SEC_NS)

struct gf_guest;
struct gf_kmod;
struct gf_actuator;
struct gf_vm_actuator;

/* What of a string the device has. */
struct gf_gpu_sent {
	uint32_t ver, off, len;
};

/* The guest that the device looks at. */
struct gf_gpu_seat {
	struct gf_guest *guest;    /* referenced; NULL: this machine, by its module's region: */
	const struct gf_region *region; /* held; of a guest: its module's, as the device knows it, or NULL */
	void *block;               /* struct gf_gpu_guest, the device's */
	struct gf_pseudo_pool pool;
	uint8_t **slice;           /* [slices] registered */
	uint32_t slices, room;
	uint32_t seg;              /* what is registered next: piece, and how far in it */
	uint8_t *next;             /* NULL: from its beginning */
	bool ready;                /* all of it is, and the device has been told */
	uint64_t allocated;        /* the most bytes that its files had memory for */
	int watch;                 /* gf_ramfile_watch(), or -errno */
	bool watch_sure;
};

struct gf_gpu_host {
	const struct gf_dev_ops *ops;
	struct gf_dev *dev;
	int device;
	bool counted;              /* in spread */
	bool cluster;              /* its kernels' blocks are one */
	uint32_t share, multiprocessors; /* engines on a device, this one among them; that blocks can be on at once */
	uint32_t clusters[5];      /* of 1 << i blocks that there is room for */
	bool mps;
	uint32_t shaped_from;      /* blocks before the last change */
	uint64_t shaped_ns, many_ns, calm_ns; /* when that was; when there was last enough for all; how long that is waited for */
	uint64_t life_ns;          /* it is given up after so long without a sign of life */
	uint64_t slice;            /* bytes of a guest that are registered at a time */
	struct gf_dev_run *run;
	uint64_t launches;         /* kernels launched so far */
	bool persistent;           /* the one that runs serves until it is stopped */
	uint64_t taken;            /* bytes of device memory */
	struct gf_state_place place;
	/* mapped memory: ours, then the device's addresses in gpu */
	void *pinned;
	struct gf_gpu_in *in;
	struct gf_gpu_out *out;
	struct gf_gpu_table *table;
	struct gf_gpu_rows rows;
	char *strings;
	struct gf_event *events;
	struct gf_verdict *verdicts;
	struct gf_rule_view *views_at;
	struct gf_gpu_kept *kept[3];
	uint32_t rules_room;
	/* device memory */
	struct gf_gpu *gpu;
	void *fixed;               /* gpu, and what does not depend on the policy */
	void *block;               /* image, state's head, plan */
	struct gf_state *mirror;   /* where the state's tables are */
	struct gf_state *st;       /* the device's */
	/* strings */
	struct gf_gpu_sent *sent[GF_SF_COUNT];
	uint32_t strings_used;
	/* numbers */
	uint64_t (*past)[2];       /* [GF_GPU_PAST]: the device's, ours */
	uint64_t tables, adoptions, actions;
	uint32_t up;
	uint32_t budget_used;
	uint32_t *index;           /* of the sample's rows by identity, for an import */
	uint32_t index_mask;
	uint32_t lost_before, lost_verdicts_before; /* in e->out when the device began to count */
	/* guests; own: the device samples by itself */
	bool own;
	struct gf_kmod *module;    /* of the machine itself: while it is there, the device samples by itself, too */
	struct gf_actuator *host_actuator; /* borrowed */
	uint64_t refused_region;   /* instance of one that cannot be registered */
	uint64_t side_ns;          /* when the host last made a table beside it */
	bool atomics;              /* on host memory, granted */
	void *deliverer, *sampler_block; /* device memory */
	struct gf_deliver_result *results;
	uint8_t *tape;             /* mapped, tape_size bytes (gpu/tape.h); NULL: nobody wants the samples */
	uint64_t tape_size, tape_dropped;
	bool tape_waits;           /* there are frames in it for which there was no room */
	struct gf_strref *tape_ref[GF_SF_COUNT]; /* of a frame's strings */
	struct gf_profile *profile; /* device memory; NULL: nobody asked */
	struct gf_deliver_hand *hand, *hand_device;
	uint64_t *pulse_device;    /* out->pulse */
	const struct gf_image_header *img; /* in force on the device */
	struct gf_ring told;       /* results, on their way to the actuator */
	struct gf_vm_actuator *actuator; /* borrowed */
	struct gf_gpu_seat *seat;  /* NULL: none */
	uint64_t guests, refused_boot; /* numbers; of a guest that cannot be registered */
	struct gf_engine *engine;
	uint64_t looked_ns, heart, pulse, heart_ns, busy_ns, clock_ns, views, views_done, gap;
	uint64_t device_ticks, device_missed;
	uint64_t since_ns, proven_ns; /* since when it is the engine's; for how long, until it counts as one that works */
	uint64_t quiet_ns, quiet_for_ns; /* between two looks when nothing has been said for so long: a look costs 20 to 35 us, most of it for waking */
	int news;                  /* gf_vm_news(), or below zero */
	struct gf_gpu_host *next;  /* of all that there are */
	pthread_mutex_t lock;      /* whether its kernel runs */
};

/* A policy that the device is to take on. */
struct gf_gpu_next {
	struct gf_gpu_host *host;
	struct gf_state *mirror;
	void *block;
	struct gf_state *st;             /* the device's */
	const struct gf_adoption *plan;  /* the device's */
	struct gf_adoption *mine;
	void *guest;                     /* with the new policy's kernel paths; NULL: there is none */
	const struct gf_image_header *img;
	bool lost;                       /* the device may be using it */
};

/* engine_gpu.c */
void *gf_gpu_take(void *host, size_t size); /* device memory */
void gf_gpu_host_free(struct gf_gpu_host *h);

/* engine_device.c */
int gf_gpu_open_device(struct gf_engine *e, struct gf_gpu_host *h, struct gf_err *err);
void gf_gpu_spread(int device, int n); /* so many engines more are on it */

/* engine_shape.c */
void gf_gpu_shape_limits(struct gf_engine *e, struct gf_gpu_host *h, const struct gf_dev_info *d, int devices); /* and the shape to begin with */
uint32_t gf_gpu_clusters(const struct gf_engine *e, const struct gf_gpu_host *h, uint32_t blocks); /* how many of so many blocks the device has room for */
uint32_t gf_gpu_shape(const struct gf_engine *e, const struct gf_gpu_host *h, uint32_t tasks); /* blocks for so many processes */
int gf_gpu_reshape(struct gf_engine *e, struct gf_gpu_host *h, uint32_t tasks, uint64_t now, struct gf_err *err);
void gf_gpu_shape_lost(struct gf_engine *e, const struct gf_gpu_host *h); /* it is given up: if its last shape found no room, that one is not tried again */

/* engine_wait.c */
uint64_t gf_gpu_patience(const struct gf_engine *e);
bool gf_gpu_beats(struct gf_gpu_host *h, uint64_t now); /* whether it has shown since the last call that it lives */
int gf_gpu_answered(struct gf_gpu_host *h, const uint64_t *p, uint64_t want, uint64_t patience, struct gf_err *err);
int gf_gpu_ended(struct gf_gpu_host *h, uint64_t patience, struct gf_err *err);
int gf_gpu_launch(struct gf_gpu_host *h, const struct gf_engine *e, uint64_t ticks, struct gf_err *err);
int gf_gpu_serve(struct gf_gpu_host *h, const struct gf_engine *e, struct gf_err *err); /* until it is stopped; modes persistent, relay */
void gf_gpu_tell(uint64_t *p, uint64_t v);
uint64_t gf_gpu_read(const uint64_t *p);

/* engine_policy.c */
int gf_gpu_next_make(struct gf_gpu_host *h, const struct gf_image_header *img, uint32_t cap, const struct gf_adoption *plan,
		     struct gf_gpu_next **ret, struct gf_err *err);
int gf_gpu_next_adopt(struct gf_engine *e, struct gf_gpu_host *h, struct gf_gpu_next *n, struct gf_err *err);
void gf_gpu_next_drop(struct gf_gpu_next *n);
void gf_gpu_mirror_drop(struct gf_state *mirror);

/* engine_table.c */
void gf_gpu_hand_table(struct gf_engine *e, struct gf_gpu_host *h, bool failed, bool views);
bool gf_gpu_collect(struct gf_engine *e, struct gf_gpu_host *h); /* false: there is more */
void gf_gpu_collect_last(struct gf_engine *e, struct gf_gpu_host *h); /* it says no more: what there is no room for is counted as lost */
uint64_t gf_gpu_our_number(const struct gf_gpu_host *h, uint64_t theirs);

/* engine_takeover.c */
/* An event of the daemon's, of a level of syslog. */
__attribute__((format(printf, 3, 4)))
void gf_gpu_tell_event(struct gf_engine *e, int level, const char *fmt, ...);
void gf_gpu_take_over(struct gf_engine *e, const struct gf_err *why);
void gf_gpu_import(struct gf_engine *e, struct gf_gpu_host *h, uint64_t kept, uint32_t which);
void gf_gpu_import_last(struct gf_engine *e, struct gf_gpu_host *h);

/* engine_ring.c */
int gf_gpu_ring_look(struct gf_engine *e, struct gf_gpu_host *h, struct gf_err *err);
void gf_gpu_ring_side(struct gf_engine *e, struct gf_gpu_host *h, uint64_t now);
void gf_gpu_ring_fill(struct gf_gpu_host *h, struct gf_mr *ret);

/* engine_tape.c */
int gf_gpu_tape_make(struct gf_engine *e, struct gf_gpu_host *h, struct gf_err *err); /* before mapped memory is */
void gf_gpu_tape_free(struct gf_gpu_host *h);
void gf_gpu_tape_last(struct gf_engine *e, struct gf_gpu_host *h, uint64_t patience); /* nothing comes onto it any more */

/* engine_profile.c */
void gf_gpu_profile_make(struct gf_gpu_host *h, struct gf_gpu *g);
void gf_gpu_profile_write(struct gf_gpu_host *h, const struct gf_engine *e);
void gf_gpu_profile_free(struct gf_gpu_host *h);

/* engine_guest.c */
void gf_gpu_fleet_join(struct gf_gpu_host *h);
void gf_gpu_fleet_leave(struct gf_gpu_host *h);
int gf_gpu_guest_memory(struct gf_engine *e, struct gf_gpu_host *h, struct gf_gpu *g, struct gf_err *err);
int gf_gpu_guest_look(struct gf_engine *e, struct gf_gpu_host *h, struct gf_err *err);
void gf_gpu_guest_gone(struct gf_gpu_host *h, bool lost); /* lost: the device may still store */
int gf_gpu_seat_leave(struct gf_engine *e, struct gf_gpu_host *h, struct gf_err *err);
/* What is in the seat, a guest as a policy's kernel paths need it, or the module's region: a new block. */
int gf_gpu_seat_block(struct gf_gpu_host *h, const struct gf_image_header *img, void **ret, struct gf_err *err);
int gf_gpu_enroll_next(struct gf_gpu_host *h, struct gf_gpu_seat *s, const struct gf_ram *ram, struct gf_err *err);
int gf_gpu_publish_guest(struct gf_engine *e, struct gf_gpu_host *h, void *block, struct gf_err *err);

/* engine_told.c */
void gf_gpu_connect(struct gf_gpu_host *h, bool on); /* the actuator, if there is one */
void gf_gpu_pass_results(struct gf_gpu_host *h, uint64_t head);

#endif
