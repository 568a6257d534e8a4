# `make deps`: what is missing is installed when root on Debian, named otherwise.
deps:
	$(Q)mk/deps.sh
.PHONY: deps
