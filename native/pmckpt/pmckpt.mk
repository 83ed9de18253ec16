# The poor man's checkpointer. A part of the top Makefile, and also runnable alone, from the top:
#
#   make -f native/pmckpt/pmckpt.mk pmckpt pmckpt-check

BUILD ?= build
ifeq ($(origin CC),default)
CC := gcc
endif
OBJCOPY ?= objcopy
PYTHON ?= /usr/bin/python3

PMCKPT_DIR := native/pmckpt
PMCKPT_BUILD := $(BUILD)/pmckpt
PMCKPT_PRODUCTS := $(addprefix $(PMCKPT_BUILD)/,ckptcvt checkpoint pmckpt.h pmckpt.o pmceot.o)

# Flags of its own: pmckpt.o goes into other people's programs, which have no sanitizer and may be PIE or not.
PMCKPT_CFLAGS := -std=gnu11 -Wall -Wextra -Werror -O2 -g -D_GNU_SOURCE= -Inative/include -I$(PMCKPT_DIR) \
    -fPIC -fvisibility=hidden -fno-lto -MMD -MP
# The code of putback.c is copied away from everything that it could call or look up.
PMCKPT_ALONE := -ffreestanding -fno-builtin -fno-stack-protector -fcf-protection=none -fno-jump-tables \
    -fno-exceptions -fno-asynchronous-unwind-tables

PMCKPT_COMMON := crc32c error files image kernel_state proc program vdso
PMCKPT_PARTS := calls plan putback save switch wind writer $(PMCKPT_COMMON)
PMCKPT_INTERFACE := ckpt_schedule ckpt_init ckpt_levels_ ckpt_wanted_ ckpt_winding_ ckpt_enter_ ckpt_leave_ ckpt_wind_ \
    ckpt_point_ ckpt_lost_

.PHONY: pmckpt pmckpt-check
pmckpt: $(PMCKPT_PRODUCTS)

pmckpt-check: pmckpt
	$(PYTHON) -B $(PMCKPT_DIR)/tests/run.py --build $(PMCKPT_BUILD) $(PMCKPT_CHECK_FLAGS)

# Everything is rebuilt when the compiler or a flag changes; the file changes only when its contents would.
PMCKPT_FLAGS := $(CC) $(PMCKPT_CFLAGS) $(PMCKPT_ALONE)
ifneq ($(shell cat $(PMCKPT_BUILD)/flags 2>/dev/null),$(PMCKPT_FLAGS))
$(shell mkdir -p $(PMCKPT_BUILD) && printf '%s\n' '$(PMCKPT_FLAGS)' > $(PMCKPT_BUILD)/flags)
endif

$(PMCKPT_BUILD)/parts/%.o: $(PMCKPT_DIR)/%.c $(PMCKPT_BUILD)/flags
	@mkdir -p $(@D)
	$(CC) $(PMCKPT_CFLAGS) $(PMCKPT_MORE) -c -o $@ $<

$(PMCKPT_BUILD)/parts/%.o: $(PMCKPT_DIR)/%.S $(PMCKPT_BUILD)/flags
	@mkdir -p $(@D)
	$(CC) -c -o $@ $<

$(PMCKPT_BUILD)/parts/putback.o: PMCKPT_MORE := $(PMCKPT_ALONE)
# pmceot.o ends the table with a symbol that pmckpt.o asks for.
$(PMCKPT_BUILD)/parts/pmceot.o: PMCKPT_MORE := -fvisibility=default

# One object in the link, so only the interface keeps its names. A program that defines an image_read() is none of ours.
$(PMCKPT_BUILD)/pmckpt.o: $(addprefix $(PMCKPT_BUILD)/parts/,$(addsuffix .o,$(PMCKPT_PARTS)))
	$(CC) -nostdlib -r -o $@.all $^
	$(OBJCOPY) $(addprefix --keep-global-symbol=,$(PMCKPT_INTERFACE)) $@.all $@
	@rm -f $@.all

$(PMCKPT_BUILD)/pmceot.o: $(PMCKPT_BUILD)/parts/pmceot.o
	cp $< $@

$(PMCKPT_BUILD)/pmckpt.h: $(PMCKPT_DIR)/pmckpt.h
	@mkdir -p $(@D)
	cp $< $@

$(PMCKPT_BUILD)/ckptcvt: $(PMCKPT_BUILD)/parts/ckptcvt.o
	$(CC) -o $@ $^

$(PMCKPT_BUILD)/checkpoint: $(addprefix $(PMCKPT_BUILD)/parts/,$(addsuffix .o,checkpoint $(PMCKPT_COMMON)))
	$(CC) -o $@ $^

-include $(wildcard $(PMCKPT_BUILD)/parts/*.d)

# In the top Makefile, which stages an installed tree.
ifdef stage_program
$(foreach name,ckptcvt checkpoint,$(eval $(call stage_program,$(PMCKPT_BUILD)/$(name),bin/$(name))))
$(eval $(call stage_data,$(PMCKPT_BUILD)/pmckpt.h,include/pmckpt.h))
$(foreach name,pmckpt.o pmceot.o,$(eval $(call stage_data,$(PMCKPT_BUILD)/$(name),lib/$(name))))
endif
