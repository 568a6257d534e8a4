# `make install DESTDIR=`: nothing is started and nobody is watched by it. The
# configuration that is shipped observes only, and one that is there is kept.
INSTALL ?= install
policydir ?= $(datadir)/gpufas/policies
confdir ?= $(sysconfdir)/gpufas
recorderdir ?= /var/lib/gpufas/recorder
bashcompdir ?= $(datadir)/bash-completion/completions
zshcompdir ?= $(datadir)/zsh/vendor-completions
docdir ?= $(datadir)/doc/gpufas
D = $(DESTDIR)

# The unit names where the daemon is installed.
$(BUILD)/dist/gpufasd.service: dist/gpufasd.service.in
	$(call say,GEN,$@)
	$(Q)mkdir -p $(@D)
	$(Q)sed -e 's|@sbindir@|$(sbindir)|g' -e 's|@confdir@|$(confdir)|g' $< > $@.tmp && mv $@.tmp $@

# dist/gpufas.yaml states the defaults. What is installed differs in two: nobody who
# installs a package has asked for a kill yet; and it records, so that there is something
# to try policies on.
$(BUILD)/dist/gpufas.yaml: dist/gpufas.yaml
	$(call say,GEN,$@)
	$(Q)mkdir -p $(@D)
	$(Q)grep -q '^mode: enforce$$' $< && grep -q '^  directory: no$$' $< && sed -e 's/^mode: enforce$$/mode: observe/' \
		-e 's|^  directory: no$$|  directory: $(recorderdir)|' \
		-e 's/^# Configuration of gpufasd(8). Everything here states the default;/# Configuration of gpufasd(8). Everything but "mode" and\n# "recorder.directory" states the default;/' $< > $@.tmp && mv $@.tmp $@

install: all $(BUILD)/dist/gpufasd.service $(BUILD)/dist/gpufas.yaml
	$(INSTALL) -d $(D)$(sbindir) $(D)$(bindir) $(D)$(unitdir) $(D)$(sysusersdir) $(D)$(policydir) $(D)$(docdir)
	$(INSTALL) -d -m 0755 $(D)$(confdir) $(D)$(confdir)/policy.d
	$(INSTALL) -m 0755 $(BUILD)/gpufasd $(D)$(sbindir)/gpufasd
	$(INSTALL) -m 0755 $(BUILD)/gpufasctl $(D)$(bindir)/gpufasctl
	$(INSTALL) -m 0644 $(BUILD)/dist/gpufasd.service $(D)$(unitdir)/gpufasd.service
	$(INSTALL) -m 0644 dist/gpufas.sysusers $(D)$(sysusersdir)/gpufas.conf
	$(INSTALL) -m 0644 $(sort $(wildcard policies/*.policy)) $(D)$(policydir)/
	$(INSTALL) -d $(D)$(policydir)/tests
	$(INSTALL) -m 0644 $(sort $(wildcard policies/tests/*.yaml)) $(D)$(policydir)/tests/
	$(INSTALL) -m 0644 $(BUILD)/dist/gpufas.yaml $(D)$(datadir)/gpufas/gpufas.yaml
	$(INSTALL) -m 0644 dist/gpufasd-gpu.conf $(D)$(datadir)/gpufas/gpufasd-gpu.conf
	$(INSTALL) -d $(D)$(docdir)/docs
	$(INSTALL) -m 0644 README.md LICENSE $(D)$(docdir)/
	$(INSTALL) -m 0644 docs/*.md docs/*.svg $(D)$(docdir)/docs/
	$(INSTALL) -d $(D)$(bashcompdir) $(D)$(zshcompdir)
	$(INSTALL) -m 0644 dist/completion/gpufasctl.bash $(D)$(bashcompdir)/gpufasctl
	$(INSTALL) -m 0644 dist/completion/_gpufasctl $(D)$(zshcompdir)/_gpufasctl
	set -e; for p in $(notdir $(MAN_PAGES)); do \
		test -f $(MAN)/$$p || continue; \
		$(INSTALL) -d $(D)$(mandir)/man$${p##*.}; \
		$(INSTALL) -m 0644 $(MAN)/$$p $(D)$(mandir)/man$${p##*.}/$$p; \
	done
	test -e $(D)$(confdir)/gpufas.yaml || $(INSTALL) -m 0644 $(BUILD)/dist/gpufas.yaml $(D)$(confdir)/gpufas.yaml
	set -e; for p in $(notdir $(sort $(wildcard policies/*.policy))); do \
		test -e $(D)$(confdir)/policy.d/$$p || $(INSTALL) -m 0644 policies/$$p $(D)$(confdir)/policy.d/$$p; \
	done

# The configuration and the policies in $(confdir) are the operator's: they stay.
uninstall:
	rm -f $(D)$(sbindir)/gpufasd $(D)$(bindir)/gpufasctl $(D)$(unitdir)/gpufasd.service $(D)$(sysusersdir)/gpufas.conf
	rm -f $(D)$(bashcompdir)/gpufasctl $(D)$(zshcompdir)/_gpufasctl
	rm -f $(foreach p,$(notdir $(MAN_PAGES)),$(D)$(mandir)/man$(subst .,,$(suffix $(p)))/$(p))
	rm -rf $(D)$(datadir)/gpufas $(D)$(docdir)
	@echo 'kept: $(D)$(confdir)'

.PHONY: install uninstall
