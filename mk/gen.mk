# Generated sources: parser, lexer, BPF skeletons. All in $(BUILD)/gen.
GEN := $(BUILD)/gen

$(GEN)/grammar/policy.tab.c $(GEN)/grammar/policy.tab.h &: grammar/policy.y
	$(call say,BISON,$<)
	$(Q)mkdir -p $(GEN)/grammar
	$(Q)bison -Wall -Werror -Wcounterexamples --defines=$(GEN)/grammar/policy.tab.h -o $(GEN)/grammar/policy.tab.c $<

$(GEN)/grammar/policy.lex.c $(GEN)/grammar/policy.lex.h &: grammar/policy.l
	$(call say,FLEX,$<)
	$(Q)mkdir -p $(GEN)/grammar
	$(Q)flex --header-file=$(GEN)/grammar/policy.lex.h -o $(GEN)/grammar/policy.lex.c $<

# A BPF object needs only clang and the kernel's uapi headers; kernel types are
# declared in the source and relocated when loaded.
MULTIARCH := $(shell $(CC) -print-multiarch 2>/dev/null)
$(GEN)/%.bpf.o: %.bpf.c
	$(call say,BPF,$<)
	$(Q)mkdir -p $(@D)
	$(Q)$(CLANG) -O2 -g -Wall -target bpf -D__TARGET_ARCH_x86 -I. -Iinclude -I/usr/include/$(MULTIARCH) -MMD -MP -MF $(@:.o=.d) -MT $@ -c $< -o $@.tmp
	$(Q)$(BPFTOOL) gen object $@ $@.tmp

$(GEN)/%.skel.h: $(GEN)/%.bpf.o
	$(call say,SKEL,$@)
	$(Q)$(BPFTOOL) gen skeleton $< name $(subst -,_,$(basename $(basename $(notdir $@)))) > $@.tmp && mv $@.tmp $@

BPF_SRC := $(wildcard targets/*.bpf.c)
SKELS := $(BPF_SRC:%.bpf.c=$(GEN)/%.skel.h)
GENERATED := $(GEN)/grammar/policy.tab.h $(GEN)/grammar/policy.lex.h $(SKELS)
.SECONDARY: $(BPF_SRC:%.bpf.c=$(GEN)/%.bpf.o) $(SKELS)
