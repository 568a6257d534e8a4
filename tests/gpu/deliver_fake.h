/* SPDX-License-Identifier: MIT */
#ifndef GPUFAS_DELIVER_FAKE_H
#define GPUFAS_DELIVER_FAKE_H

#include "gpu/deliver.h"

#ifdef __cplusplus
extern "C" {
#endif
uint8_t *deliver_fake(int asleep, uint32_t *ret_size, struct gf_pseudo_plain *ret, struct gf_pseudo_pool *ret_pool, struct gf_kmem *ret_mem);
void deliver_fake_free(void);
void deliver_fake_resched(int on);
void deliver_fake_exit(void);
uint64_t deliver_fake_pending(void);
uint64_t deliver_fake_flags(void);
uint64_t deliver_fake_head(void);
uint32_t deliver_fake_count(void);
#ifdef __cplusplus
}
#endif

#endif
