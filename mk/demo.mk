# make run: this machine, watched, nothing touched. make demo: two hogs of our own, recovered. make demo-vm: a guest, from outside.
run:
	$(Q)$(MAKE) --no-print-directory deps DEPS=build
	$(Q)$(MAKE) --no-print-directory programs
	$(Q)BUILD=$(BUILD) demo/run.sh

demo:
	$(Q)$(MAKE) --no-print-directory deps DEPS='build demo'
	$(Q)$(MAKE) --no-print-directory programs $(BUILD)/tests/helpers/memhog $(BUILD)/tests/helpers/cpuhog
	$(Q)BUILD=$(BUILD) demo/demo.sh

demo-vm:
	$(Q)$(MAKE) --no-print-directory deps DEPS='build vm'
	$(Q)$(MAKE) --no-print-directory programs $(BUILD)/tests/helpers/memhog $(BUILD)/tests/helpers/cpuhog $(BUILD)/tests/helpers/forkbomb
	$(Q)BUILD=$(BUILD) demo/vm.sh
.PHONY: run demo demo-vm
