# cr_run, and what the launcher and cr-restore need of the supervisor.
#
# Part of the top Makefile; alone, `make -f native/src/supervisor/supervisor.mk` builds just these into the same places.

ifndef TREE
BUILD ?= build
TREE := $(BUILD)/prefix
ifeq ($(origin CC),default)
CC := gcc
endif
CFLAGS ?= -std=gnu11 -O2 -g -Wall -Wextra -Werror
CPPFLAGS_ALL := -D_GNU_SOURCE= -Inative/include -Inative/src $(CPPFLAGS)
CFLAGS_ALL := $(CFLAGS) -fPIC -fvisibility=hidden -MMD -MP
LDFLAGS_ALL := -Wl,-z,relro,-z,now $(LDFLAGS)
SUPERVISOR_ALONE := yes

sources = $(sort $(wildcard $(addsuffix /*.c,$(addprefix native/src/,$(1)))))
objects = $(patsubst %.c,$(BUILD)/obj/%.o,$(1))
LAUNCHER_OBJECTS := $(call objects,$(call sources,launcher))
STAGED :=
define stage_program
STAGED += $$(TREE)/$(2)
$$(TREE)/$(2): $(1)
	@mkdir -p $$(@D)
	install -p -m 0755 $$< $$@
endef

.DELETE_ON_ERROR:
.PHONY: all tests
all:

$(BUILD)/obj/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS_ALL) $(CFLAGS_ALL) -c -o $@ $<

$(BUILD)/libshared.a: $(call objects,native/src/core/error.c native/src/proc/proc.c)
	@rm -f $@
	ar rcs $@ $^

$(BUILD)/launcher: $(LAUNCHER_OBJECTS) $(BUILD)/libshared.a
	$(CC) $(LDFLAGS_ALL) -o $@ $(LAUNCHER_OBJECTS) $(BUILD)/libshared.a $(LDLIBS)
$(foreach name,cr_checkpoint cr_restart cr_info cr_job,$(eval $(call stage_program,$(BUILD)/launcher,bin/$(name))))
endif

JVM_OBJECTS := $(call objects,$(call sources,jvm))
SUPERVISOR_OBJECTS := $(call objects,$(call sources,supervisor))
CR_RUN_OBJECTS := $(call objects,$(call sources,cr_run))

# cr-restore gets the supervisor by its folder; the agent that it starts is found by the code in jvm.
RESTORE_OBJECTS += $(JVM_OBJECTS)
$(BUILD)/cr-restore: $(JVM_OBJECTS)

LAUNCHER_EXTRA := $(JVM_OBJECTS) $(call objects,native/src/supervisor/signals.c)
LAUNCHER_OBJECTS += $(LAUNCHER_EXTRA)
$(BUILD)/launcher: $(LAUNCHER_EXTRA)

$(BUILD)/cr_run: $(CR_RUN_OBJECTS) $(SUPERVISOR_OBJECTS) $(JVM_OBJECTS) $(BUILD)/libshared.a
	$(CC) $(LDFLAGS_ALL) -o $@ $^ $(LDLIBS)
$(eval $(call stage_program,$(BUILD)/cr_run,bin/cr_run))

ifdef SUPERVISOR_ALONE
all: $(STAGED)

SUPERVISOR_TEST := $(BUILD)/tests/supervisor/test_supervise
tests: $(SUPERVISOR_TEST)
$(SUPERVISOR_TEST): $(BUILD)/obj/native/tests/supervisor/test_supervise.o $(SUPERVISOR_OBJECTS) $(JVM_OBJECTS) \
    $(BUILD)/libshared.a
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS_ALL) -o $@ $^ -lcmocka $(LDLIBS)

-include $(patsubst %.o,%.d,$(LAUNCHER_OBJECTS) $(CR_RUN_OBJECTS) $(SUPERVISOR_OBJECTS))
endif
