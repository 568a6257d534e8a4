// SPDX-License-Identifier: Dual MIT/GPL
/*
 * gpufas: keeps sampling, and keeps delivering, when user space does not run any more. What it shares with whom is in
 * uapi/gpufas.h.
 *
 * There is one region at most. It is made by GPUFAS_IOC_START, or at load with "assisted", and lasts until the
 * file is closed (or with GPUFAS_ARM_STAY or "assisted" until the module goes).
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include "module.h"

#include <linux/capability.h>
#include <linux/device.h>
#include <linux/fs.h>
#include <linux/miscdevice.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/pid_namespace.h>
#include <linux/timekeeping.h>
#include <linux/uaccess.h>

#define KICK_MOST 8 /* with interrupts off at a stretch */
#define KICK_TRIES 10000

static unsigned int rows = 16384;
module_param(rows, uint, 0444);
MODULE_PARM_DESC(rows, "processes that a table has room for, unless the opener says otherwise (16384; three tables of 208 bytes each)");

static unsigned int slice_us = 200;
module_param(slice_us, uint, 0444);
MODULE_PARM_DESC(slice_us, "how long one interrupt may take, in microseconds (200; 20 to 5000)");

static bool assisted;
module_param(assisted, bool, 0444);
MODULE_PARM_DESC(assisted, "sample and act on the mailbox from the start, for an observer outside this (virtual) machine (0)");

static unsigned int assisted_budget = 1000;
module_param(assisted_budget, uint, 0444);
MODULE_PARM_DESC(assisted_budget, "verdicts in a second that an observer outside may have carried out (1000; 1 to 1000)");

static bool last_resorts;
module_param(last_resorts, bool, 0444);
MODULE_PARM_DESC(last_resorts, "let who is armed for it ask for a panic or an emergency restart (0)");

static bool physmem;
module_param(physmem, bool, 0444);
MODULE_PARM_DESC(physmem, "create /dev/gpufas-mem: all RAM, read only, for root (0; never under lockdown)");

static DEFINE_MUTEX(lock); /* all below */
static struct gpufas_region *region;
static bool opened;
static bool started; /* by the file that is open */

bool gpufas_last_resorts(void)
{
	return last_resorts;
}

u64 gpufas_slice_ns(void)
{
	return slice_us * 1000ull;
}

static void arm(u32 flags, u32 budget, u64 budget_ns)
{
	gpufas_guard_arm(flags, budget, budget_ns);
	if (region)
		WRITE_ONCE(region->header->armed, flags);
}

static u32 outside_flags(void)
{
	return GPUFAS_ARM_ACT | (last_resorts ? GPUFAS_ARM_PANIC | GPUFAS_ARM_RESTART : 0);
}

static void set_owner(enum gpufas_owner owner)
{
	if (region)
		WRITE_ONCE(region->header->owner, owner);
}

static struct miscdevice device;
static bool registered;

/*
 * An observer outside who knows the kernel's own structures finds the region from the list of misc devices: a
 * signature alone any process of the machine could forge. platform_data is for drivers to use, and misc leaves it alone
 * (driver data it does not: misc_devnode() takes it for the miscdevice).
 */
static void anchor(void)
{
	if (registered)
		WRITE_ONCE(device.this_device->platform_data, region ? region->header : NULL);
}

static int region_start(u32 n, u32 want, u64 period_ns, u64 poll_ns)
{
	struct gpufas_region *r = gpufas_region_create(n);

	if (IS_ERR(r))
		return PTR_ERR(r);
	r->control->want = want;
	r->control->period_ns = period_ns;
	r->control->poll_ns = poll_ns;
	gpufas_mailbox_reset(r);
	region = r;
	gpufas_sampler_start(r);
	anchor();
	return 0;
}

static void region_stop(void)
{
	struct gpufas_region *r = region;

	arm(0, 0, 0);
	if (!r)
		return;
	gpufas_sampler_stop();
	region = NULL;
	anchor();
	gpufas_region_destroy(r);
}

static void arm_outside(void)
{
	arm(outside_flags(), assisted_budget, NSEC_PER_SEC);
	set_owner(GPUFAS_OWNER_OUTSIDE);
}

static int gpufas_open(struct inode *inode, struct file *file)
{
	int r = 0;

	if (!capable(CAP_SYS_ADMIN))
		return -EPERM;
	/* Records and verdicts name processes as the initial namespace does. */
	if (task_active_pid_ns(current) != &init_pid_ns)
		return -EXDEV;
	mutex_lock(&lock);
	if (opened) {
		r = -EBUSY;
	} else {
		opened = true;
		started = false;
		gpufas_guard_set_opener(get_pid(task_tgid(current)));
	}
	mutex_unlock(&lock);
	return r;
}

static int gpufas_release(struct inode *inode, struct file *file)
{
	mutex_lock(&lock);
	if (assisted) {
		arm_outside();
	} else if (gpufas_guard_armed() & GPUFAS_ARM_STAY) {
		set_owner(GPUFAS_OWNER_STAY);
	} else {
		region_stop();
	}
	gpufas_guard_set_opener(NULL);
	opened = false;
	mutex_unlock(&lock);
	return 0;
}

/* A caller's struct into ours: its first word is its size. */
static int get_arg(void *to, size_t size, const void __user *from)
{
	u32 theirs;

	if (get_user(theirs, (const u32 __user *)from))
		return -EFAULT;
	if (theirs < sizeof(u32) * 2 || theirs > PAGE_SIZE)
		return -EINVAL;
	return copy_struct_from_user(to, size, from, theirs);
}

static long start(void __user *arg)
{
	struct gpufas_start s;
	u32 theirs;
	int r = get_arg(&s, sizeof(s), arg);

	if (r)
		return r;
	if (s.version != GPUFAS_VERSION || s.rows > GPUFAS_ROWS_MAX)
		return -EINVAL;
	if (started)
		return -EBUSY;
	if (region) {
		region->control->want = s.want;
		region->control->period_ns = s.period_ns;
		region->control->poll_ns = s.poll_ns;
	} else {
		r = region_start(s.rows ? s.rows : rows, s.want, s.period_ns, s.poll_ns);
		if (r)
			return r;
	}
	/* Whatever was in force for who was here before is not for this one. */
	arm(0, 0, 0);
	set_owner(GPUFAS_OWNER_FILE);
	smp_store_release(&started, true);
	theirs = min_t(u32, s.size, sizeof(s));
	s.rows = region->rows;
	s.region_size = (u64)region->npages << PAGE_SHIFT;
	s.instance = region->instance;
	return copy_to_user(arg, &s, theirs) ? -EFAULT : 0;
}

static long do_arm(const void __user *arg)
{
	const u32 last = GPUFAS_ARM_PANIC | GPUFAS_ARM_RESTART;
	struct gpufas_arm a;
	int r = get_arg(&a, sizeof(a), arg);

	if (r)
		return r;
	if (!started)
		return -ENXIO;
	if (a.flags & ~(GPUFAS_ARM_ACT | GPUFAS_ARM_STAY | last) || a.reserved0 || a.budget > 1000)
		return -EINVAL;
	if (a.budget && (a.budget_ns < 100 * NSEC_PER_MSEC || a.budget_ns > 3600 * NSEC_PER_SEC))
		return -EINVAL;
	if (!a.budget) {
		a.budget = 10;
		a.budget_ns = 10 * NSEC_PER_SEC;
	}
	if (a.flags & last && !last_resorts)
		return -EPERM;
	arm(a.flags, a.budget, a.budget_ns);
	return 0;
}

/* On this CPU, at once, and until all slots have been looked at with no other CPU in the middle of one. */
static long kick(void)
{
	bool all;
	int try;

	for (try = 0; try < KICK_TRIES; try++) {
		local_irq_disable();
		all = gpufas_mailbox_poll(region, KICK_MOST, ktime_get_mono_fast_ns() + gpufas_slice_ns());
		local_irq_enable();
		if (all)
			return 0;
		cond_resched();
	}
	return -EAGAIN;
}

static long gpufas_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	long r = -ENOTTY;

	if (mutex_lock_interruptible(&lock))
		return -ERESTARTSYS;
	switch (cmd) {
	case GPUFAS_IOC_START:
		r = start((void __user *)arg);
		break;
	case GPUFAS_IOC_ARM:
		r = do_arm((const void __user *)arg);
		break;
	case GPUFAS_IOC_KICK:
		r = started ? kick() : -ENXIO;
		break;
	case GPUFAS_IOC_PASS:
		r = started ? gpufas_sampler_pass(region) : -ENXIO;
		break;
	}
	mutex_unlock(&lock);
	return r;
}

/*
 * Under mmap_lock, which user copies in ioctls take under our lock: so not ours here. It is not needed, either: what
 * the open file has started stays until the file is released, and a mapping holds the file.
 */
static int gpufas_mmap(struct file *file, struct vm_area_struct *vma)
{
	if (!smp_load_acquire(&started))
		return -ENXIO;
	return gpufas_region_mmap(region, vma);
}

static const struct file_operations fops = {
	.owner = THIS_MODULE,
	.open = gpufas_open,
	.release = gpufas_release,
	.unlocked_ioctl = gpufas_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
	.mmap = gpufas_mmap,
	.llseek = noop_llseek,
};

static struct miscdevice device = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "gpufas",
	.fops = &fops,
	.mode = 0600,
};

static int check_parameters(void)
{
	if (IS_ENABLED(CONFIG_PREEMPT_RT)) {
		pr_err("real-time kernels are not supported: there signals cannot be sent from a hard interrupt\n");
		return -EOPNOTSUPP;
	}
	if (!rows || rows > GPUFAS_ROWS_MAX) {
		pr_err("rows=%u: 1 to %u\n", rows, GPUFAS_ROWS_MAX);
		return -EINVAL;
	}
	if (!assisted_budget || assisted_budget > 1000) {
		pr_err("assisted_budget=%u: 1 to 1000\n", assisted_budget);
		return -EINVAL;
	}
	if (slice_us < 20 || slice_us > 5000) {
		pr_err("slice_us=%u: 20 to 5000\n", slice_us);
		return -EINVAL;
	}
	return 0;
}

static int __init assist(void)
{
	int r;

	if (!assisted)
		return 0;
	mutex_lock(&lock);
	r = region_start(rows, ~0u, 0, 0);
	if (!r)
		arm_outside();
	mutex_unlock(&lock);
	return r;
}

static int __init gpufas_init(void)
{
	int r = check_parameters();

	if (r)
		return r;
	r = gpufas_sampler_init();
	if (r)
		return r;
	r = assist();
	if (r)
		goto no_sampler;
	r = gpufas_physmem_init(physmem);
	if (r)
		goto no_region;
	r = misc_register(&device);
	if (r)
		goto no_physmem;
	mutex_lock(&lock);
	registered = true;
	anchor();
	mutex_unlock(&lock);
	pr_info("ready%s%s%s\n", assisted ? ", acting for an observer outside" : "", last_resorts ? ", last resorts allowed" : "",
		physmem ? ", physical memory readable" : "");
	return 0;

no_physmem:
	gpufas_physmem_exit();
no_region:
	region_stop();
no_sampler:
	gpufas_sampler_exit();
	return r;
}

/* No file is open and nothing is mapped: each would hold the module. */
static void __exit gpufas_exit(void)
{
	mutex_lock(&lock);
	region_stop();
	mutex_unlock(&lock);
	misc_deregister(&device);
	gpufas_physmem_exit();
	gpufas_sampler_exit();
}

module_init(gpufas_init);
module_exit(gpufas_exit);

MODULE_DESCRIPTION("Keeps a watchdog sampling and acting when user space does not run");
MODULE_AUTHOR("gpufas");
MODULE_VERSION("1");
MODULE_LICENSE("Dual MIT/GPL");
