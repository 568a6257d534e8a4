// SPDX-License-Identifier: Dual MIT/GPL
/*
 * /dev/gpufas-mem: the machine's RAM, at its physical addresses, to be read by mmap(). For engines and tools that chase the
 * kernel's own structures. Read only; RAM only (no devices, no holes); for root; never under lockdown and not on
 * machines whose memory is encrypted. Off unless the parameter "physmem" asks for it.
 *
 * Pages come one by one as they are touched: a mapping of all RAM costs what is looked at. Memory that is taken offline, which
 * comes before it is unplugged, is taken out of every mapping; who touches it then gets SIGBUS.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include "module.h"

#include <linux/capability.h>
#include <linux/cc_platform.h>
#include <linux/fs.h>
#include <linux/list.h>
#include <linux/memory.h>
#include <linux/memory_hotplug.h>
#include <linux/miscdevice.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/notifier.h>
#include <linux/rwsem.h>
#include <linux/security.h>
#include <linux/slab.h>

#include "compat.h"

#define AROUND 32u /* pages that come with the one that was touched */

struct opener {
	struct list_head list;
	struct address_space *mapping;
};

static LIST_HEAD(openers);
static DEFINE_MUTEX(openers_lock);

/* Pages that are just being taken offline: for them nothing is mapped any more. */
static DECLARE_RWSEM(leaving_lock);
static unsigned long leaving_from, leaving_to;

static int mem_open(struct inode *inode, struct file *file)
{
	struct opener *o;
	int r;

	if (!capable(CAP_SYS_RAWIO) || file->f_mode & FMODE_WRITE)
		return -EPERM;
	r = security_locked_down(LOCKDOWN_DEV_MEM);
	if (r)
		return r;
	o = kzalloc(sizeof(*o), GFP_KERNEL);
	if (!o)
		return -ENOMEM;
	o->mapping = file->f_mapping;
	mutex_lock(&openers_lock);
	list_add(&o->list, &openers);
	mutex_unlock(&openers_lock);
	file->private_data = o;
	return 0;
}

/* Nothing is mapped any more: a mapping holds the file. */
static int mem_release(struct inode *inode, struct file *file)
{
	struct opener *o = file->private_data;

	mutex_lock(&openers_lock);
	list_del(&o->list);
	mutex_unlock(&openers_lock);
	kfree(o);
	return 0;
}

static bool readable(unsigned long pfn)
{
	return page_is_ram(pfn) && pfn_to_online_page(pfn);
}

static vm_fault_t mem_fault(struct vm_fault *vmf)
{
	struct vm_area_struct *vma = vmf->vma;
	unsigned long n = min_t(unsigned long, AROUND, (vma->vm_end - vmf->address) >> PAGE_SHIFT), i;
	vm_fault_t r = VM_FAULT_SIGBUS;

	down_read(&leaving_lock);
	for (i = 0; i < n; i++) {
		unsigned long pfn = vmf->pgoff + i;
		vm_fault_t one;

		if ((pfn >= leaving_from && pfn < leaving_to) || !readable(pfn))
			break;
		one = vmf_insert_pfn(vma, vmf->address + i * PAGE_SIZE, pfn);
		if (!i)
			r = one;
		if (one != VM_FAULT_NOPAGE)
			break;
	}
	up_read(&leaving_lock);
	return r;
}

static const struct vm_operations_struct mem_vm_ops = {
	.fault = mem_fault,
};

static int mem_mmap(struct file *file, struct vm_area_struct *vma)
{
	unsigned long n = vma_pages(vma), i;
	int r = security_locked_down(LOCKDOWN_DEV_MEM); /* which may have come since */

	if (r)
		return r;
	if (vma->vm_flags & (VM_WRITE | VM_EXEC))
		return -EPERM;
	if (vma->vm_pgoff + n < vma->vm_pgoff || (vma->vm_pgoff + n) >> (BITS_PER_LONG - PAGE_SHIFT))
		return -EINVAL;
	for (i = 0; i < n; i++) {
		if (!readable(vma->vm_pgoff + i))
			return -ENXIO;
		cond_resched();
	}
	vm_flags_mod(vma, VM_IO | VM_PFNMAP | VM_DONTCOPY | VM_DONTEXPAND | VM_DONTDUMP, VM_MAYWRITE | VM_MAYEXEC);
	vma->vm_ops = &mem_vm_ops;
	return 0;
}

static void leave(unsigned long from, unsigned long pages)
{
	struct opener *o;

	down_write(&leaving_lock);
	leaving_from = from;
	leaving_to = from + pages;
	up_write(&leaving_lock);
	mutex_lock(&openers_lock);
	list_for_each_entry(o, &openers, list)
		unmap_mapping_range(o->mapping, (loff_t)from << PAGE_SHIFT, (loff_t)pages << PAGE_SHIFT, 1);
	mutex_unlock(&openers_lock);
}

/* One range at a time: the kernel's hotplug lock is held from its going to its being gone. */
static int mem_notify(struct notifier_block *nb, unsigned long action, void *data)
{
	const struct memory_notify *m = data;

	switch (action) {
	case MEM_GOING_OFFLINE:
		leave(m->start_pfn, m->nr_pages);
		break;
	case MEM_CANCEL_OFFLINE:
	case MEM_OFFLINE: /* which pfn_to_online_page() knows by now */
		down_write(&leaving_lock);
		leaving_from = leaving_to = 0;
		up_write(&leaving_lock);
		break;
	}
	return NOTIFY_OK;
}

static struct notifier_block mem_nb = {
	.notifier_call = mem_notify,
};

static const struct file_operations mem_fops = {
	.owner = THIS_MODULE,
	.open = mem_open,
	.release = mem_release,
	.mmap = mem_mmap,
	.llseek = noop_llseek,
};

static struct miscdevice mem_device = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "gpufas-mem",
	.fops = &mem_fops,
	.mode = 0400,
};

static bool registered;

int gpufas_physmem_init(bool wanted)
{
	int r;

	if (!wanted)
		return 0;
	if (cc_platform_has(CC_ATTR_MEM_ENCRYPT)) {
		pr_err("physmem: this machine's memory is encrypted\n");
		return -EOPNOTSUPP;
	}
	r = security_locked_down(LOCKDOWN_DEV_MEM);
	if (r) {
		pr_err("physmem: the kernel is locked down\n");
		return r;
	}
	r = register_memory_notifier(&mem_nb);
	if (r)
		return r;
	r = misc_register(&mem_device);
	if (r)
		unregister_memory_notifier(&mem_nb);
	registered = !r;
	return r;
}

void gpufas_physmem_exit(void)
{
	if (!registered)
		return;
	misc_deregister(&mem_device);
	unregister_memory_notifier(&mem_nb);
}
