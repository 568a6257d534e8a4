// SPDX-License-Identifier: Dual MIT/GPL
/*
 * The memory that is shared: ordinary pages, pinned because the kernel owns them, in as few runs as can be had, so
 * that the header can list them. Mapped once for the kernel, and by vm_map_pages() for user space: as pages
 * with a count of their own they can be pinned by a GPU's driver, and outlive the region where they are.
 */
#include "module.h"

#include <linux/delay.h>
#include <linux/gfp.h>
#include <linux/io.h>
#include <linux/log2.h>
#include <linux/mm.h>
#include <linux/random.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>

#include "compat.h"

#define CHUNK_ORDER 9 /* 2 MiB */

/* Where the parts are. Tables begin on pages of their own. */
static size_t lay_out(struct gpufas_header *h, u32 rows)
{
	size_t at = PAGE_SIZE;
	int i;

	h->header_size = sizeof(*h);
	h->page_size = PAGE_SIZE;
	h->control_off = at;
	h->control_size = sizeof(struct gpufas_control);
	at += PAGE_SIZE;
	h->cpus = nr_cpu_ids;
	h->cpu_size = sizeof(struct gpufas_cpu);
	h->cpu_off = at;
	at += (size_t)nr_cpu_ids * sizeof(struct gpufas_cpu);
	h->host_off = at;
	h->host_size = sizeof(struct gpufas_host);
	at = PAGE_ALIGN(at + sizeof(struct gpufas_host));
	h->slots = GPUFAS_SLOTS;
	h->verdict_size = sizeof(struct gpufas_verdict);
	h->verdict_off = at;
	at = PAGE_ALIGN(at + GPUFAS_SLOTS * sizeof(struct gpufas_verdict));
	h->answer_size = sizeof(struct gpufas_answer);
	h->answer_off = at;
	at = PAGE_ALIGN(at + GPUFAS_SLOTS * sizeof(struct gpufas_answer));
	h->rows = rows;
	h->rec_size = sizeof(struct gf_task_rec);
	h->table_size = sizeof(struct gpufas_table);
	for (i = 0; i < GPUFAS_TABLES; i++) {
		h->table_off[i] = at;
		at = PAGE_ALIGN(at + sizeof(struct gpufas_table) + (size_t)rows * sizeof(struct gf_task_rec));
	}
	return at;
}

static void free_pages_of(struct gpufas_region *r)
{
	unsigned long i;

	for (i = 0; i < r->npages && r->pages[i]; i++)
		__free_page(r->pages[i]);
}

static int get_pages_of(struct gpufas_region *r)
{
	unsigned int order = CHUNK_ORDER, k;
	unsigned long n = 0;

	while (n < r->npages) {
		gfp_t gfp = GFP_KERNEL | __GFP_ZERO | __GFP_NOWARN;
		struct page *p;

		order = min_t(unsigned int, order, ilog2(r->npages - n));
		if (order)
			gfp |= __GFP_NORETRY;
		p = alloc_pages(gfp, order);
		if (!p && !order)
			return -ENOMEM;
		if (!p) {
			order--;
			continue;
		}
		split_page(p, order);
		for (k = 0; k < 1u << order; k++)
			r->pages[n++] = p + k;
	}
	return 0;
}

/* 0, or -ENOMEM: the pages are in more runs than there is room for. */
static int list_chunks(struct gpufas_region *r, struct gpufas_header *h)
{
	struct gpufas_chunk *c = NULL;
	unsigned long i;

	for (i = 0; i < r->npages; i++) {
		u64 pa = page_to_phys(r->pages[i]);

		if (c && c->pa + c->bytes == pa) {
			c->bytes += PAGE_SIZE;
			continue;
		}
		if (h->chunks == GPUFAS_CHUNKS)
			return -ENOMEM;
		c = &h->chunk[h->chunks++];
		c->pa = pa;
		c->bytes = PAGE_SIZE;
	}
	return 0;
}

static void set_parts(struct gpufas_region *r, const struct gpufas_header *h)
{
	int i;

	r->header = r->mem;
	r->control = r->mem + h->control_off;
	r->cpu = r->mem + h->cpu_off;
	r->host = r->mem + h->host_off;
	r->verdict = r->mem + h->verdict_off;
	r->answer = r->mem + h->answer_off;
	for (i = 0; i < GPUFAS_TABLES; i++)
		r->table[i] = r->mem + h->table_off[i];
}

/* The signature comes last: who finds it finds a whole header. */
static void publish(struct gpufas_region *r, struct gpufas_header *h)
{
	h->version = GPUFAS_VERSION;
	h->region_size = (u64)r->npages << PAGE_SHIFT;
	h->self_pa = page_to_phys(r->pages[0]);
	h->instance = r->instance;
	h->state = GPUFAS_PAUSED;
	h->latest = GPUFAS_NO_TABLE;
	h->hz = HZ;
	*r->header = *h;
	smp_wmb();
	WRITE_ONCE(r->header->magic, GPUFAS_MAGIC);
}

struct gpufas_region *gpufas_region_create(u32 rows)
{
	struct gpufas_header *h = kzalloc(sizeof(*h), GFP_KERNEL);
	struct gpufas_region *r = kzalloc(sizeof(*r), GFP_KERNEL);
	int err = -ENOMEM;

	BUILD_BUG_ON(sizeof(struct gpufas_header) > PAGE_SIZE || sizeof(struct gpufas_control) > PAGE_SIZE);
	if (!h || !r)
		goto out;
	r->rows = rows;
	r->npages = lay_out(h, rows) >> PAGE_SHIFT;
	do
		r->instance = get_random_u64();
	while (!r->instance);
	r->pages = kvcalloc(r->npages, sizeof(*r->pages), GFP_KERNEL);
	if (!r->pages)
		goto out;
	err = get_pages_of(r);
	if (!err)
		err = list_chunks(r, h);
	if (err)
		goto out;
	r->mem = vmap(r->pages, r->npages, VM_MAP, PAGE_KERNEL);
	if (!r->mem) {
		err = -ENOMEM;
		goto out;
	}
	set_parts(r, h);
	publish(r, h);
out:
	kfree(h);
	if (!err)
		return r;
	if (r && r->pages)
		free_pages_of(r);
	if (r)
		kvfree(r->pages);
	kfree(r);
	return ERR_PTR(err);
}

/* Who still maps a page, or has it pinned, keeps it; what it says is that nobody is there any more. */
void gpufas_region_destroy(struct gpufas_region *r)
{
	if (!r)
		return;
	WRITE_ONCE(r->header->state, GPUFAS_DEAD);
	WRITE_ONCE(r->header->armed, 0);
	WRITE_ONCE(r->header->magic, 0);
	/* An observer outside sees that, and stores nothing more; but for one that has looked just before, and is about to. */
	if (READ_ONCE(r->header->owner) == GPUFAS_OWNER_OUTSIDE) {
		smp_mb();
		msleep(GPUFAS_OUTSIDE_MS);
	}
	vunmap(r->mem);
	free_pages_of(r);
	kvfree(r->pages);
	kfree(r);
}

int gpufas_region_mmap(struct gpufas_region *r, struct vm_area_struct *vma)
{
	if (!(vma->vm_flags & VM_SHARED) || vma->vm_flags & VM_EXEC)
		return -EINVAL;
	vm_flags_mod(vma, VM_DONTCOPY | VM_DONTEXPAND | VM_DONTDUMP, VM_MAYEXEC);
	return vm_map_pages(vma, r->pages, r->npages);
}
