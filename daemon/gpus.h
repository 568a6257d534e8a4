/* SPDX-License-Identifier: MIT
 *
 * What the daemon has to do with GPUs: whether there is one for its engines, what to say of an engine, and who shares a device
 * with them.
 */
#ifndef GPUFAS_DAEMON_GPUS_H
#define GPUFAS_DAEMON_GPUS_H

#include "daemon/config.h"
#include "daemon/jbuf.h"
#include "gpu/engine.h"

struct gf_daemon;
struct gf_gpus;

/* Which engine to ask for with these devices (v[n], as gf_gpu_list has them; none: why there is none): CPU, or the configured
 * AUTO or GPU. why: the reason for the CPU, and what is odd about the choice. -ENODEV: gpu is configured and there is none that
 * may be used. */
int gf_gpus_choose(const struct gf_config *c, const struct gf_gpu_info *v, size_t n, const struct gf_err *none,
		   enum gf_engine_kind *ret, char *why, size_t size, struct gf_err *err);
/* The same with the devices of this machine, which are only looked for where they matter. */
int gf_gpus_choose_here(const struct gf_config *c, enum gf_engine_kind *ret, char *why, size_t size, struct gf_err *err);

/* "cpu", "gpu"; "persistent", "launch", "relay". */
const char *gf_engine_kind_name(uint32_t kind);
const char *gf_gpu_mode_name(uint32_t mode);
/* "GPU 0 (NVIDIA H100 80GB HBM3)", or "the CPU" */
const char *gf_engine_place(const struct gf_engine_stats *st, char *buf, size_t n);
/* An object: what runs a target's ticks now. */
void gf_engine_json(const struct gf_engine_stats *st, struct gf_jbuf *b);
/* A tick does not wait for a core of the host: it need not be real-time. */
bool gf_engine_needs_host(const struct gf_engine_stats *st);

/* A thread that looks once a minute for others on the devices that persistent kernels of ours run on. It takes as long as there
 * are open files on the machine, so nobody waits for it. Log and events say when somebody comes and when all have gone. */
int gf_gpus_create(const struct gf_daemon *d, struct gf_gpus **ret, struct gf_err *err);
void gf_gpus_destroy(struct gf_gpus *g);
/* The sentence of a device, "": nobody shares it. g may be NULL. */
const char *gf_gpus_neighbours(struct gf_gpus *g, uint32_t device, char *buf, size_t n);

#endif
