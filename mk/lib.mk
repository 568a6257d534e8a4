# libgpufas.a: everything that is not a program's own.
LIB_SRC := $(wildcard grammar/*.c compiler/*.c gpu/*.c targets/*.c sim/*.c)
LIB_SRC := $(filter-out %.bpf.c gpu/dev_none.c gpu/dev_emu.c sim/sweep_none.c,$(LIB_SRC))
LIB_GEN := $(GEN)/grammar/policy.tab.c $(GEN)/grammar/policy.lex.c
LIB_OBJ := $(LIB_SRC:%.c=$(BUILD)/obj/%.o) $(LIB_GEN:$(GEN)/%.c=$(BUILD)/obj/gen/%.o)
LIB := $(BUILD)/libgpufas.a

# The interpreter is one loop a opcode over a chunk of rows: it pays to vectorise.
$(BUILD)/obj/gpu/%.o: OPT := $(subst -O2,-O3,$(OPT))
ifdef SAN
# Where functions are large gcc takes twice as long over the sanitizers' checks for -O2 as for -O1, which leaves as many of them in.
$(addprefix $(BUILD)/obj/,$(addsuffix .o,gpu/dev_emu gpu/engine_cpu targets/vm_sample \
	tests/unit/test_sampler tests/unit/test_budget tests/unit/test_team tests/unit/test_tell tests/unit/test_interp tests/unit/lanes)): OPT := -O1 -g
endif

$(BUILD)/obj/%.o: %.c | $(GENERATED)
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c $< -o $@

# What flex and bison write is not held to our warnings.
$(BUILD)/obj/gen/%.o: $(GEN)/%.c | $(GENERATED)
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS) -I$(GEN)/grammar $(filter-out -W%,$(CFLAGS)) -MMD -MP -c $< -o $@

$(LIB): $(LIB_OBJ)
	$(call say,AR,$@)
	$(Q)rm -f $@ && $(AR) rcs $@ $^
