// SPDX-License-Identifier: Dual MIT/GPL
/*
 * /dev/gpufas-mem: the machine's RAM, at its physical addresses, to be read by mmap(). For engines and tools that chase the
 * kernel's own structures. Read only; RAM only (no devices, no holes); for root; never under lockdown and not on
 * machines whose memory is encrypted. Off unless the parameter "physmem" asks for it.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include "module.h"

#include <linux/capability.h>
#include <linux/cc_platform.h>
#include <linux/fs.h>
#include <linux/miscdevice.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/security.h>

#include "compat.h"

static int mem_open(struct inode *inode, struct file *file)
{
	if (!capable(CAP_SYS_RAWIO) || file->f_mode & FMODE_WRITE)
		return -EPERM;
	return security_locked_down(LOCKDOWN_DEV_MEM);
}

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
		if (!page_is_ram(vma->vm_pgoff + i))
			return -ENXIO;
		cond_resched();
	}
	vm_flags_mod(vma, VM_DONTCOPY | VM_DONTEXPAND | VM_DONTDUMP, VM_MAYWRITE | VM_MAYEXEC);
	return remap_pfn_range(vma, vma->vm_start, vma->vm_pgoff, n << PAGE_SHIFT, vma->vm_page_prot);
}

static const struct file_operations mem_fops = {
	.owner = THIS_MODULE,
	.open = mem_open,
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
	r = misc_register(&mem_device);
	registered = !r;
	return r;
}

void gpufas_physmem_exit(void)
{
	if (registered)
		misc_deregister(&mem_device);
}
