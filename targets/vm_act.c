// SPDX-License-Identifier: MIT
/*
 * What is said of a delivery into a guest, and one carried out by hand.
 */
#include <errno.h>
#include <time.h>

#include "targets/act.h"
#include "targets/assist.h"
#include "targets/kmod.h"
#include "targets/pseudo_do.h"
#include "targets/vm.h"
#include "targets/vm_deliver.h"

const char *gf_refused_text(uint8_t why)
{
	static const char *const text[GF_REF_COUNT] = {
		[GF_REF_NONE] = "it was not refused",
		[GF_REF_GONE] = "no process has that pid",
		[GF_REF_IDENTITY] = "another process has that pid",
		[GF_REF_EXITING] = "it is exiting already",
		[GF_REF_INIT] = "it is an init, which signals must not end",
		[GF_REF_KTHREAD] = "it is a kernel thread",
		[GF_REF_TRACED] = "it is being traced",
		[GF_REF_BLOCKED] = "it blocks that signal",
		[GF_REF_IGNORED] = "it ignores that signal",
		[GF_REF_NO_ROAD] = "the road that this takes is off for this kernel, see gpufasctl probe",
		[GF_REF_NO_GUEST] = "the guest is not attached",
		[GF_REF_TORN] = "its structures did not read consistently",
		[GF_REF_READ_ONLY] = "this memory is only read",
		[GF_REF_NO_CPU] = "no CPU of the guest took an interrupt in time, and no kick helped",
		[GF_REF_PAUSED] = "the guest is paused: nothing is stored until it goes on (\"cont\")",
		[GF_REF_NO_ROOM] = "as many as can be remembered, to be undone at the end, are frozen or limited: thaw or lift some",
		[GF_REF_NOT_OURS] = "gpufas has not set that limit there",
		[GF_REF_NOT_ALLOWED] = "gpufas.yaml (last-resorts), or the kernel module, does not allow it",
		[GF_REF_SELF] = "it is gpufas itself, or protected for it",
		[GF_REF_BUDGET] = "it is more than the kernel module may do in so short a time",
		[GF_REF_LATE] = "the kernel module did not take it in time",
		[GF_REF_REBOOTED] = "the guest has rebooted, or has been attached to anew, since",
	};

	return why < GF_REF_COUNT && text[why] ? text[why] : "of a reason unknown to this program";
}

const char *gf_how_text(uint8_t how)
{
	static const char *const text[] = {
		[GF_HOW_CALL] = "by a system call",
		[GF_HOW_STORE] = "by a store",
		[GF_HOW_IRQ_WORK] = "by the kernel's own sender",
		[GF_HOW_LIMIT] = "by a limit",
		[GF_HOW_QMP] = "by QEMU",
		[GF_HOW_GPU_STORE] = "by a store of the GPU's",
		[GF_HOW_GPU_IRQ_WORK] = "by the kernel's own sender, for the GPU",
		[GF_HOW_MODULE] = "by the kernel module",
		[GF_HOW_SYSRQ] = "by SysRq",
	};

	return how < sizeof text / sizeof *text ? text[how] : "in a way unknown to this program";
}

/* A kick goes to the target, which knows of the socket. */
int gf_vm_deliver_kick(void *arg, uint32_t cpu)
{
	return gf_vm_kick(arg, cpu);
}

void gf_vm_deliver_member(const struct gf_verdict *v, const struct gf_delivery *d, struct gf_event_member *ret)
{
	gf_delivery_member(v, d, ret);
}

/* Reset and NMI have no process; QEMU's answer is the answer. */
void gf_vm_deliver_qmp(struct gf_target *vm, const struct gf_verdict *v, struct gf_event_member *ret)
{
	struct gf_err err = { "" };
	struct gf_guest *g = gf_vm_guest(vm, &err);
	bool stale = g && v->epoch && v->epoch != (uint32_t)g->boot;
	int r = 0;

	if (g)
		gf_guest_put(g);
	if (stale) {
		*ret = (struct gf_event_member){ .error = gf_refused_errno(GF_REF_REBOOTED), .exit_us = GF_NONE, .how = GF_HOW_QMP,
						 .became = GF_BECAME_REFUSED, .why = GF_REF_REBOOTED };
		return;
	}
	if (!(v->flags & GF_VERDICT_OBSERVE))
		r = v->action == GF_ACT_RESET ? gf_vm_reset(vm, &err) : v->action == GF_ACT_NMI ? gf_vm_nmi(vm, &err) : -EOPNOTSUPP;
	*ret = (struct gf_event_member){ .error = r, .exit_us = GF_NONE, .how = GF_HOW_QMP, .tries = !(v->flags & GF_VERDICT_OBSERVE) };
}

bool gf_vm_deliver_is_qmp(const struct gf_verdict *v)
{
	return gf_action_last_resort(v->action);
}

/* Refusals before a guest was looked at. */
static void refused(struct gf_delivery *d, uint8_t why)
{
	*d = (struct gf_delivery){ .phase = GF_PHASE_OVER, .block = GF_NONE, .exit_us = GF_NONE, .taken_us = GF_NONE,
				   .became = GF_BECAME_REFUSED, .why = why, .how = GF_HOW_STORE };
}

void gf_vm_deliver_begin(struct gf_target *vm, struct gf_guest *g, const struct gf_verdict *v, enum gf_pseudo_road road, struct gf_delivery *d)
{
	struct gf_pseudo_kick kick = { gf_vm_deliver_kick, vm };
	/* Asked for each: the one before may have been a reset, or may have waited for a kick. */
	uint8_t why = g ? gf_vm_storable(vm, g) : GF_REF_NO_GUEST;

	if (g && v->epoch && v->epoch != (uint32_t)g->boot)
		refused(d, GF_REF_REBOOTED); /* pids and start times may well be those of the boot before */
	else if (why)
		refused(d, why);
	else if (!g->pseudo)
		refused(d, GF_REF_READ_ONLY);
	else
		gf_pseudo_begin(g->pseudo, v, road, &kick, d);
}

int32_t gf_vm_deliver_module(struct gf_target *vm, struct gf_guest *g, const struct gf_verdict *v, uint64_t *ret_seq, struct gf_delivery *d)
{
	int32_t slot;

	if (!g || !g->pseudo || (v->epoch && v->epoch != (uint32_t)g->boot) || gf_vm_storable(vm, g))
		return -1;
	slot = gf_assist_send(g, v, ret_seq);
	if (slot < 0)
		return -1;
	gf_delivery_init(d, v, GF_ROAD_AUTO, gf_act_is_lethal(v));
	d->phase = GF_PHASE_SENT;
	d->how = GF_HOW_MODULE;
	return slot;
}

/* Why there is no way by the module. */
static int no_module(struct gf_target *vm, struct gf_guest *g, const struct gf_verdict *v, int error, struct gf_err *err)
{
	uint8_t why = g ? gf_vm_storable(vm, g) : (uint8_t)GF_REF_NO_GUEST;

	if (why)
		return gf_err_set(err, -gf_refused_errno(why), "%s", gf_refused_text(why));
	if (!gf_kmod_can(v))
		return gf_err_set(err, EOPNOTSUPP, "by the mailbox go only signals 1 to 31");
	if (!g->assist)
		return gf_err_set(err, EOPNOTSUPP, "the kernel module in the guest is not to be used (\"assisted: off\" in gpufas.yaml)");
	if (error == -ESRCH)
		return gf_err_set(err, ESRCH, "the guest's kernel module has no such process in its table");
	if (atomic_load(&g->assist->region))
		return gf_err_set(err, ETIMEDOUT, "the guest's kernel module did not take it in time, or is not armed");
	return gf_err_set(err, ENODEV, "there is no kernel module in the guest that can be used (in the guest: modprobe gpufas assisted=1)");
}

struct by_hand {
	struct gf_target *vm;
	struct gf_guest *g;
	struct gf_verdict v;
	enum gf_hand road;
	struct gf_delivery d;
	int32_t slot; /* -1: not by the module */
	uint64_t seq;
	int error;    /* the module does not do it */
};

/* The module wants to know who exactly is meant. */
static void begin(struct by_hand *h)
{
	enum gf_pseudo_road road = h->road == GF_HAND_STORE ? GF_ROAD_STORE : h->road == GF_HAND_IRQ_WORK ? GF_ROAD_IRQ_WORK : GF_ROAD_AUTO;
	bool module = h->road == GF_HAND_AUTO || h->road == GF_HAND_MAILBOX;

	h->slot = -1;
	if (module && h->g && h->g->assist && !h->v.start_ns)
		h->error = gf_assist_start(h->g, h->v.pid, &h->v.start_ns);
	if (module && !h->error)
		h->slot = gf_vm_deliver_module(h->vm, h->g, &h->v, &h->seq, &h->d);
	if (h->slot < 0 && h->road != GF_HAND_MAILBOX)
		gf_vm_deliver_begin(h->vm, h->g, &h->v, road, &h->d);
	else if (h->slot < 0)
		h->error = h->error ? h->error : -ENODEV;
}

static void look(struct by_hand *h, uint64_t age)
{
	struct gf_pseudo_kick kick = { gf_vm_deliver_kick, h->vm };

	if (gf_vm_storable(h->vm, h->g))
		return;
	if (h->slot < 0) {
		gf_pseudo_poll(h->g->pseudo, &h->d, &kick);
		return;
	}
	if (!gf_assist_poll(h->g, &h->v, (uint32_t)h->slot, h->seq, age, &h->d))
		return;
	h->slot = -1;
	if (h->road == GF_HAND_MAILBOX)
		h->error = -ETIMEDOUT;
	else
		gf_vm_deliver_begin(h->vm, h->g, &h->v, GF_ROAD_AUTO, &h->d);
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

int gf_vm_act(struct gf_target *vm, const struct gf_verdict *v, enum gf_hand road, uint64_t wait_ns, struct gf_event_member *ret_member, struct gf_err *err)
{
	const struct timespec pause = { 0, 200000 };
	struct by_hand h = { .vm = vm, .v = *v, .road = road };

	if (gf_vm_deliver_is_qmp(v)) {
		gf_vm_deliver_qmp(vm, v, ret_member);
		return ret_member->error;
	}
	/* Held for the whole of it: whoever unmaps waits until we are done, which is soon. */
	h.g = gf_vm_guest(vm, &(struct gf_err){ "" });
	begin(&h);
	uint64_t begun = now_ns(), now = begun;
	while (h.g && !(h.error && road == GF_HAND_MAILBOX) && !gf_delivery_over(&h.d) && now < begun + wait_ns) {
		nanosleep(&pause, NULL);
		now = now_ns();
		look(&h, now - begun);
	}
	if (h.error && road == GF_HAND_MAILBOX) {
		*ret_member = (struct gf_event_member){ .pid = v->pid, .exit_us = GF_NONE, .how = GF_HOW_MODULE, .became = GF_BECAME_REFUSED };
		ret_member->error = no_module(vm, h.g, v, h.error, err);
	} else {
		gf_vm_deliver_member(&h.v, &h.d, ret_member);
		if (h.g && h.slot < 0 && !gf_delivery_over(&h.d) && !gf_vm_storable(vm, h.g))
			gf_pseudo_end(h.g->pseudo, &h.d);
		if (h.slot >= 0)
			gf_assist_done(h.g, (uint32_t)h.slot, h.seq);
	}
	if (h.g)
		gf_guest_put(h.g);
	return ret_member->error;
}
