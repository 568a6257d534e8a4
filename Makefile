# SPDX-License-Identifier: MIT
#
# Non-recursive. Everything built goes to $(BUILD). V=1 shows the commands.
#   make            programs, manual pages
#   make run        install what is missing, build, watch this machine (observe mode)
#   make demo       two hogs in a cgroup, recovered;  make demo-vm  a guest, from outside
#   make test       all tests;  TESTS=pattern make check  a part of them;  make bench  figures;  make fuzz
#   make install    with DESTDIR= for packagers;  make uninstall  keeps /etc/gpufas;  make deps  what is missing, from Debian
#   make kmod       the kernel module (kmod-install, kmod-dkms);  make gpu-check  the GPU engine on this machine's GPU
#   SAN=1           AddressSanitizer and UBSan;  WERROR=1  as CI;  NVCC=  without the GPU engine

BUILD ?= build$(if $(SAN),/san)
CC ?= gcc
CLANG ?= clang
BPFTOOL ?= $(firstword $(wildcard /usr/sbin/bpftool /sbin/bpftool) bpftool)
PKGCONFIG ?= pkg-config
prefix ?= /usr
sysconfdir ?= /etc
sbindir ?= $(prefix)/sbin
bindir ?= $(prefix)/bin
mandir ?= $(prefix)/share/man
datadir ?= $(prefix)/share
unitdir ?= $(prefix)/lib/systemd/system
sysusersdir ?= $(prefix)/lib/sysusers.d

WARN := -Wall -Wextra -Wshadow -Wconversion -Wvla
CWARN := -Wstrict-prototypes -Wmissing-prototypes
OPT ?= -O2 -g
CFLAGS += -std=gnu11 $(OPT) $(WARN) $(CWARN) $(if $(WERROR),-Werror) -fno-strict-aliasing -ffp-contract=off
CPPFLAGS += -D_GNU_SOURCE -I. -Iinclude -I$(BUILD)/gen
ifdef SAN
CFLAGS += -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer
LDFLAGS += -fsanitize=address,undefined
endif
LDLIBS += -lyaml -ljansson -lbpf -lelf -lz -lzstd -lm -lpthread

Q := $(if $(V),,@)
say = $(if $(V),,@printf '  %-8s %s\n' '$(1)' '$(patsubst $(BUILD)/%,%,$(2))')

all:

include mk/deps.mk
include mk/gen.mk
include mk/lib.mk
include mk/cuda.mk
include mk/programs.mk
include mk/tests.mk
include mk/bench.mk
include mk/docs.mk
include mk/install.mk
include mk/demo.mk
include mk/fuzz.mk
include mk/gpu.mk
include mk/kmod.mk

all: programs docs

# Says what stands at the top of this file.
help:
	@sed -n '4,/^$$/s/^# \{0,1\}//p' Makefile

.PHONY: all clean help
clean:
	rm -rf $(BUILD)

-include $(shell find $(BUILD) -path $(BUILD)/vm -prune -o -type f -name '*.d' -print 2>/dev/null)
