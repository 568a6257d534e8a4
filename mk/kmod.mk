# The kernel module. Not part of the default build: it needs a kernel's headers.
#   make kmod                     for this machine's kernel
#   make kmod KDIR=/usr/src/linux-headers-6.12.117+deb12-cloud-amd64
#   make kmod KFLAGS='W=1 C=1'    as the tests do (C=1: sparse)
#   make kmod-install             to /lib/modules, for this machine's kernel; kmod/dkms.conf does it for each new one
#   make kmod-dkms                the source, where DKMS looks for it
# Built in $(BUILD)/kmod/RELEASE, from links to the source.
KDIR ?= /lib/modules/$(shell uname -r)/build
KREL = $(shell sed -n 's/^#define UTS_RELEASE "\(.*\)"/\1/p' $(KDIR)/include/generated/utsrelease.h 2>/dev/null)
KMOD = $(BUILD)/kmod/$(KREL)
KMOD_FILES := $(wildcard kmod/*.[ch]) kmod/Kbuild
KMOD_VERSION = $(shell sed -n 's/^PACKAGE_VERSION="\(.*\)"/\1/p' kmod/dkms.conf)
KMOD_DKMS = $(DESTDIR)/usr/src/gpufas-$(KMOD_VERSION)

kmod:
	$(Q)test -n '$(KREL)' || { echo "No kernel headers in $(KDIR). On Debian: apt-get install linux-headers-$$(uname -r); or KDIR=..." >&2; exit 1; }
	$(Q)mkdir -p $(KMOD)
	$(Q)ln -sf $(addprefix $(CURDIR)/,$(KMOD_FILES)) $(KMOD)/
	$(Q)ln -sfn $(CURDIR)/include $(KMOD)/include
	$(call say,KMOD,$(KMOD)/gpufas.ko)
	$(Q)$(MAKE) --no-print-directory -C $(KDIR) M=$(abspath $(KMOD)) $(if $(V),V=1,-s) $(KFLAGS) modules

kmod-install: kmod
	$(MAKE) -C $(KDIR) M=$(abspath $(KMOD)) modules_install
	depmod $(KREL)

kmod-dkms:
	$(INSTALL) -d $(KMOD_DKMS) $(KMOD_DKMS)/include/uapi $(KMOD_DKMS)/include/gpufas
	$(INSTALL) -m 0644 $(KMOD_FILES) kmod/dkms.conf LICENSE $(KMOD_DKMS)/
	$(INSTALL) -m 0644 include/uapi/gpufas.h $(KMOD_DKMS)/include/uapi/
	$(INSTALL) -m 0644 include/gpufas/taskrec.h $(KMOD_DKMS)/include/gpufas/
.PHONY: kmod kmod-install kmod-dkms

# What runs in the tests' guests: static, so that an initramfs needs nothing else.
KMOD_TEST := $(BUILD)/tests/vm/kmodtest
$(KMOD_TEST): tests/vm/kmodtest.c $(wildcard tests/vm/kmodtest_*.[ch]) include/uapi/gpufas.h include/gpufas/taskrec.h
	$(call say,GUESTCC,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) -std=gnu11 -O1 -g $(WARN) $(CWARN) $(if $(WERROR),-Werror) -D_GNU_SOURCE -Iinclude -static -pthread -o $@ $(filter %.c,$^) || \
		{ rm -f $@; echo '  kmodtest is not built: no static C library'; }
build-tests: $(KMOD_TEST)

# A kernel with KASAN and lockdep, built from Debian's source, and the tests in it: long, by hand.
kmod-debug: programs $(KMOD_TEST) $(BUILD)/tests/helpers/memhog $(BUILD)/tests/helpers/cpuhog $(BUILD)/tests/helpers/forkbomb
	$(Q)BUILD=$(BUILD) tests/vm/kmod-debug.sh
.PHONY: kmod-debug

# Figures, in guests.
bench-kmod: deps programs $(KMOD_TEST) $(BUILD)/tests/helpers/memhog $(BUILD)/tests/helpers/cpuhog $(BUILD)/tests/helpers/forkbomb
	$(Q)BUILD=$(BUILD) bench/kmod.sh
.PHONY: bench-kmod

# 500 times loaded and unloaded under load, and long fuzzing: by hand.
kmod-stress: programs $(KMOD_TEST) $(BUILD)/tests/helpers/memhog $(BUILD)/tests/helpers/cpuhog $(BUILD)/tests/helpers/forkbomb
	$(Q)BUILD=$(BUILD) tests/vm/kmod-stress.sh
.PHONY: kmod-stress
