/* SPDX-License-Identifier: MIT
 *
 * What vm_actuator.c and vm_act.c share.
 */
#ifndef GPUFAS_VM_DELIVER_H
#define GPUFAS_VM_DELIVER_H

#include "targets/pseudo_do.h"
#include "targets/vm.h"

int gf_vm_deliver_kick(void *arg, uint32_t cpu); /* arg: the target */
bool gf_vm_deliver_is_qmp(const struct gf_verdict *v);
void gf_vm_deliver_qmp(struct gf_target *vm, const struct gf_verdict *v, struct gf_event_member *ret);
/* g NULL: refused, there is none. */
void gf_vm_deliver_begin(struct gf_target *vm, struct gf_guest *g, const struct gf_verdict *v, enum gf_pseudo_road road, struct gf_delivery *d);
/* Sends it by the module in the guest: its slot, or -1: not by it. */
int32_t gf_vm_deliver_module(struct gf_target *vm, struct gf_guest *g, const struct gf_verdict *v, uint64_t *ret_seq, struct gf_delivery *d);
void gf_vm_deliver_member(const struct gf_verdict *v, const struct gf_delivery *d, struct gf_event_member *ret);

#endif
