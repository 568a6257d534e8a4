/* SPDX-License-Identifier: MIT
 *
 * The kernel module inside a guest, used from outside: its region in the guest's RAM. It is found by the guest kernel's own data
 * (the list of its devices), which no process in there can write, and checked like everything in a guest.
 */
#ifndef GPUFAS_ASSIST_H
#define GPUFAS_ASSIST_H

#include <pthread.h>
#include <stdatomic.h>

#include "gpu/delivery.h"
#include "gpu/mail.h"
#include "targets/vm.h"

#define GF_ASSIST_MAX 16u /* regions that one boot of a guest may have had: each stays until the guest goes */

struct gf_assist {
	_Atomic(struct gf_region *) region; /* the current one, or NULL; any thread, while the guest is held */
	struct gf_region *all[GF_ASSIST_MAX];
	uint32_t n;
	uint64_t list, name_at, list_at, device_at, data_at; /* misc_list; offsets in its entries; 0: this kernel has none */
	uint64_t beat;
	char why[160];                      /* not used: a sentence; the keeper's */
	pthread_mutex_t lock;               /* what is below */
	struct gf_region *of;               /* the region that it is of; NULL: of none yet */
	uint64_t instance;
	struct gf_mail mail;                /* the first half of its slots: the second is a GPU's, where one watches the guest */
};

int gf_assist_create(const struct gf_kernel *k, struct gf_assist **ret);
void gf_assist_free(struct gf_assist *a);
/* Memory that is used through it must be writable; to look, it need not be. Looks whether it is (still) there: 1 there, 0 not, and a->why says why, "" where there is no module at all. The keeper's thread. */
int gf_assist_look(const struct gf_kernel *k, struct gf_assist *a);
/* The header at a kernel address, and all that it leads to: 0, or -errno with a sentence. */
int gf_assist_take(const struct gf_kmem *m, uint64_t header_va, struct gf_region *ret, struct gf_err *err);
/* Tells the module what is wanted. */
void gf_assist_ask(struct gf_assist *a, uint32_t want, uint64_t period_ns, uint64_t poll_ns);

/* ---- delivery: any thread that holds the guest ---- */

/* Sends v: a slot, or -errno: nothing was sent (no module, not something for it, no room). */
int gf_assist_send(const struct gf_guest *g, const struct gf_verdict *v, uint64_t *ret_seq);
/* What has become of it, as far as can be seen, into d. 0; or -ENODEV: nothing was done and nothing will be: by another road.
 * age_ns: since it was sent. */
int gf_assist_poll(const struct gf_guest *g, const struct gf_verdict *v, uint32_t slot, uint64_t seq, uint64_t age_ns, struct gf_delivery *d);
/* It is not followed any further. */
void gf_assist_done(const struct gf_guest *g, uint32_t slot, uint64_t seq);
/* When pid began, by the module's table. -ESRCH: it is not in there; -ENODEV: there is no module. */
int gf_assist_start(const struct gf_guest *g, int32_t pid, uint64_t *ret_start_ns);

#endif
