# Every test speaks TAP ("ok 1 - name", "not ok 2 - name", "ok 3 - name # SKIP why"):
#   tests/unit/test_*.c     cmocka programs, linked with the library, the daemon's and the ctl's parts
#   tests/*/*.t             scripts (bash), run from the top of the tree with BUILD set
# tests/run adds them up.
UNIT_SRC := $(wildcard tests/unit/test_*.c)
UNIT_BIN := $(UNIT_SRC:tests/%.c=$(BUILD)/tests/%)
HELPER_SRC := $(wildcard tests/helpers/*.c)
HELPER_BIN := $(HELPER_SRC:tests/%.c=$(BUILD)/tests/%)

$(BUILD)/tests/unit/%: $(BUILD)/obj/tests/unit/%.o $(DAEMON_LIB_OBJ) $(CTL_LIB_OBJ) $(LIB)
	$(call say,LD,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LDLIBS) -lncursesw -ltinfo -lcmocka

# The tick as the device has it, with threads for lanes, beside the tick as the CPU has it.
$(BUILD)/tests/unit/test_team $(BUILD)/tests/unit/test_tell: $(BUILD)/obj/tests/unit/lanes.o

# The same under ThreadSanitizer, which finds what lanes do to each other within a job; tests/unit/team_race.t runs it.
$(BUILD)/tests/helpers/team_race: tests/unit/test_team.c tests/unit/lanes.c $(LIB)
	$(call say,CC,$@)
	$(Q)mkdir -p $(@D)
	$(Q)if echo 'int main(void){return 0;}' | $(CC) -fsanitize=thread -x c -o $@ - 2>/dev/null; then \
		$(CC) $(CPPFLAGS) $(filter-out -fsanitize%,$(CFLAGS)) -O1 -DGF_CHOOSE_INLINE -fsanitize=thread -o $@ $^ $(LDLIBS) -lcmocka; \
	else rm -f $@; echo '  team_race is not built: no ThreadSanitizer'; fi
ifndef SAN
build-tests: $(BUILD)/tests/helpers/team_race
endif

# Small programs that tests start: hogs, forkers, oracles. Static where the demo needs it.
$(BUILD)/tests/helpers/%: $(BUILD)/obj/tests/helpers/%.o $(LIB)
	$(call say,LD,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LDLIBS)

.SECONDARY: $(UNIT_SRC:%.c=$(BUILD)/obj/%.o) $(HELPER_SRC:%.c=$(BUILD)/obj/%.o)

build-tests: programs $(UNIT_BIN) $(HELPER_BIN)
check: build-tests
	$(Q)BUILD=$(BUILD) tests/run
# The whole suite: what CI runs.
test: deps
	$(Q)$(MAKE) --no-print-directory check
.PHONY: build-tests check test

# Runs inside the guests of tests/vm: static, and none of our code. Without a static C library those tests say so.
$(BUILD)/tests/vm/guestd: tests/vm/guestd.c
	$(call say,GUESTCC,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) -std=gnu11 -O1 -Wall -Wextra -static -pthread -o $@ $< || { rm -f $@; echo '  guestd is not built: no static C library'; }
build-tests: $(BUILD)/tests/vm/guestd

# Every kernel with every number of CPUs, size of memory and depth of page tables; and 2,000 rounds of SIGKILL over them.
vm-matrix: deps build-tests
	$(Q)VM_MATRIX=full BUILD=$(BUILD) FILE_TIMEOUT=14400 TESTS=vm/outside tests/run
vm-rounds: deps build-tests
	$(Q)ROUNDS=$${ROUNDS:-400} BUILD=$(BUILD) FILE_TIMEOUT=14400 TESTS=vm/outside tests/run
.PHONY: vm-matrix vm-rounds

# The daemon on the emulated device, and tests of the engine on it.
EMU_OBJ := $(BUILD)/obj/gpu/dev_emu.o
$(BUILD)/obj/daemon/main_emu.o: daemon/main.c | $(GENERATED)
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -DGF_DEV=gf_dev_emu -MMD -MP -c $< -o $@

$(BUILD)/tests/gpufasd-emu: $(BUILD)/obj/daemon/main_emu.o $(DAEMON_LIB_OBJ) $(EMU_OBJ) $(LIB)
	$(call say,LD,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LDLIBS)

$(BUILD)/tests/unit/test_engine_gpu $(BUILD)/tests/unit/test_engine_lost $(BUILD)/tests/unit/test_engine_shape $(BUILD)/tests/unit/test_engine_assisted $(BUILD)/tests/unit/test_engine_guest $(BUILD)/tests/unit/test_engine_balloon $(BUILD)/tests/unit/test_engine_news $(BUILD)/tests/unit/test_engine_ring $(BUILD)/tests/unit/test_engine_storm $(BUILD)/tests/unit/test_engine_tape $(BUILD)/tests/unit/test_shadow: $(EMU_OBJ)
$(BUILD)/tests/unit/test_engine_ring: LDFLAGS += -Wl,--wrap=gf_kmod_enter
$(BUILD)/tests/unit/test_engine_news: LDFLAGS += -Wl,--wrap=gf_vm_attach,--wrap=gf_vm_started,--wrap=gf_kernel_still_there,--wrap=ppoll
$(BUILD)/tests/unit/test_engine_assisted: LDFLAGS += -Wl,--wrap=gf_engine_flush
$(BUILD)/tests/unit/test_engine_guest $(BUILD)/tests/unit/test_engine_balloon $(BUILD)/tests/unit/test_engine_storm: LDFLAGS += -Wl,--wrap=gf_vm_sample
$(BUILD)/tests/unit/test_recorder: LDFLAGS += -Wl,--wrap=gf_reporter_say_of
$(BUILD)/tests/unit/test_host: LDFLAGS += -Wl,--wrap=gf_strings_take
build-tests: $(BUILD)/tests/gpufasd-emu
