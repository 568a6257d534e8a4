# Benchmarks: figures with their limits beside them; nothing here is a test.
#   bench/bench_*.c    programs, linked like the tests' helpers, with the daemon's parts
#   bench/bench.sh     runs them, and the daemon as a whole
#   bench/guests.py    virtual machines
BENCH_SRC := $(wildcard bench/bench_*.c)
BENCH_BIN := $(BENCH_SRC:bench/%.c=$(BUILD)/bench/%)

$(BUILD)/bench/%: $(BUILD)/obj/bench/%.o $(DAEMON_LIB_OBJ) $(LIB)
	$(call say,LD,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LDLIBS)
.SECONDARY: $(BENCH_SRC:%.c=$(BUILD)/obj/%.o)

bench:
	$(Q)$(MAKE) --no-print-directory deps DEPS='build bench vm'
	$(Q)$(MAKE) --no-print-directory programs build-bench
	$(Q)BUILD=$(BUILD) bench/bench.sh
build-bench: programs $(BENCH_BIN) $(BUILD)/tests/helpers/sleepers $(BUILD)/tests/helpers/pseudo $(BUILD)/tests/helpers/ramsample $(BUILD)/tests/helpers/simtrace \
	$(BUILD)/tests/vm/guestd
# What a recording takes.
bench-gft: programs $(BUILD)/tests/helpers/sleepers $(BUILD)/tests/helpers/cpuhog $(BUILD)/tests/helpers/memhog
	$(Q)BUILD=$(BUILD) bench/gft.sh
.PHONY: bench build-bench bench-gft
