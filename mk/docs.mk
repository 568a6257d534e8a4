# Manual pages, from scdoc. gpufas-fields(7) is written by the program itself, so
# that it cannot differ from what the compiler knows; the table of diagnostics in
# gpufas-policy(5) comes from compiler/codes.def in the same way.
MAN := $(BUILD)/man
MAN_SRC := $(wildcard man/*.scd)
MAN_PAGES := $(MAN_SRC:man/%.scd=$(MAN)/%) $(MAN)/gpufas-fields.7
SCDOC ?= $(shell command -v scdoc 2>/dev/null)

ifneq ($(SCDOC),)
docs: $(MAN_PAGES)
else
docs:
	@echo '  scdoc is missing: no manual pages (apt-get install scdoc)'
endif
.PHONY: docs

$(MAN)/%: man/%.scd
	$(call say,MAN,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(SCDOC) < $< > $@.tmp && mv $@.tmp $@

$(MAN)/gpufas-policy.5: man/gpufas-policy.5.scd man/codes.awk $(wildcard compiler/codes.def)
	$(call say,MAN,$@)
	$(Q)mkdir -p $(@D)
	$(Q)awk -f man/codes.awk $< > $@.scd && $(SCDOC) < $@.scd > $@.tmp && mv $@.tmp $@ && rm -f $@.scd

$(MAN)/gpufas-fields.7: $(BUILD)/gpufasctl man/gpufas-fields.head man/gpufas-fields.tail
	$(call say,MAN,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(BUILD)/gpufasctl fields --man > $@.mid && cat man/gpufas-fields.head $@.mid man/gpufas-fields.tail | \
		$(SCDOC) > $@.tmp && mv $@.tmp $@ && rm -f $@.mid
