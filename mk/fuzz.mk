# Fuzzing with libFuzzer: `make fuzz FUZZ_TIME=30` runs each target for that many
# seconds. Built by clang with AddressSanitizer and UBSan, apart from the rest. New
# inputs go to $(BUILD)/fuzz/new/; what crashed is kept in $(BUILD)/fuzz/crash/.
FUZZ_TIME ?= 30
FUZZ_SRC := $(wildcard tests/fuzz/fuzz_*.c)
FUZZ_BIN := $(FUZZ_SRC:tests/fuzz/%.c=$(BUILD)/fuzz/%)
FUZZ_FLAGS := -std=gnu11 -O1 -g -w -fno-omit-frame-pointer -fno-strict-aliasing -fsanitize=fuzzer-no-link,address,undefined \
	-fno-sanitize-recover=undefined -DGF_CHOOSE_INLINE -DGFT_MAX_ROWS=1024u # of 262,144 rows one input takes a tenth of a second
FUZZ_OBJ := $(patsubst $(BUILD)/obj/%,$(BUILD)/fuzz/obj/%,$(LIB_OBJ) $(DAEMON_LIB_OBJ))

$(BUILD)/fuzz/obj/%.o: %.c | $(GENERATED)
	$(call say,FUZZCC,$<)
	$(Q)mkdir -p $(@D)
	$(Q)$(CLANG) $(CPPFLAGS) $(FUZZ_FLAGS) -MMD -MP -c $< -o $@

$(BUILD)/fuzz/obj/gen/%.o: $(GEN)/%.c | $(GENERATED)
	$(call say,FUZZCC,$<)
	$(Q)mkdir -p $(@D)
	$(Q)$(CLANG) $(CPPFLAGS) -I$(GEN)/grammar $(FUZZ_FLAGS) -MMD -MP -c $< -o $@

$(BUILD)/fuzz/fuzz_%: $(BUILD)/fuzz/obj/tests/fuzz/fuzz_%.o $(FUZZ_OBJ)
	$(call say,FUZZLD,$@)
	$(Q)$(CLANG) -fsanitize=fuzzer,address,undefined -o $@ $^ $(LDLIBS)
.SECONDARY: $(FUZZ_SRC:%.c=$(BUILD)/fuzz/obj/%.o) $(FUZZ_OBJ)

build-fuzz: $(FUZZ_BIN)
fuzz: programs build-fuzz
	$(Q)BUILD=$(BUILD) tests/fuzz/fuzz.sh $(FUZZ_TIME) $(FUZZ_BIN)
.PHONY: build-fuzz fuzz

# Built ahead of the tests where clang has libFuzzer, so that -j helps; tests/fuzz/short.t
# builds what is missing, or says why it cannot.
LIBFUZZER := $(wildcard /usr/lib/llvm-*/lib/clang/*/lib/linux/libclang_rt.fuzzer-*.a)
ifeq ($(SAN),)
build-tests: $(if $(LIBFUZZER),build-fuzz)
endif
