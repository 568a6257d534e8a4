# make run: this machine, watched, nothing touched. make demo: two hogs of our own, recovered.
run:
	$(Q)$(MAKE) --no-print-directory deps DEPS=build
	$(Q)$(MAKE) --no-print-directory programs
	$(Q)BUILD=$(BUILD) demo/run.sh

demo:
	$(Q)$(MAKE) --no-print-directory deps DEPS='build demo'
	$(Q)$(MAKE) --no-print-directory programs $(BUILD)/tests/helpers/memhog $(BUILD)/tests/helpers/cpuhog
	$(Q)BUILD=$(BUILD) demo/demo.sh
.PHONY: run demo
