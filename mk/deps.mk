# `make deps`: what is missing is installed when root on Debian, named otherwise.
# DEPS: build test vm docs demo bench, see mk/deps.sh.
DEPS ?= build test vm docs
deps:
	$(Q)CC='$(CC)' CLANG='$(CLANG)' mk/deps.sh $(DEPS)
.PHONY: deps
