DAEMON_SRC := $(wildcard daemon/*.c)
CTL_SRC := $(wildcard ctl/*.c)
# daemon/*.c but main: also linked into tests.
DAEMON_LIB_OBJ := $(patsubst %.c,$(BUILD)/obj/%.o,$(filter-out daemon/main.c,$(DAEMON_SRC)))
# What the daemon says of tasks and events gpufasctl says of a dump without one.
CTL_SAYS_OBJ := $(patsubst %,$(BUILD)/obj/daemon/%.o,eventjson sentence taskjson jbuf yamltree config config_value config_target config_recorder config_gpu)
CTL_LIB_OBJ := $(patsubst %.c,$(BUILD)/obj/%.o,$(filter-out ctl/main.c,$(CTL_SRC)))

programs: $(BUILD)/gpufasd $(BUILD)/gpufasctl
.PHONY: programs

$(BUILD)/gpufasd: $(DAEMON_SRC:%.c=$(BUILD)/obj/%.o) $(DEV_OBJ) $(LIB)
	$(call say,LD,$@)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $(filter %.o %.a,$^) $(DEV_LIBS) $(LDLIBS)

$(BUILD)/gpufasctl: $(CTL_SRC:%.c=$(BUILD)/obj/%.o) $(CTL_SAYS_OBJ) $(SWEEP_OBJ) $(LIB)
	$(call say,LD,$@)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $(filter %.o %.a,$^) $(DEV_LIBS) $(LDLIBS) -lncursesw -ltinfo
