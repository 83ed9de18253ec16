# What test_state.py and test_faults.py need beside the victim programs.

QUICK_CHECKPOINT := $(BUILD)/tests/support/quick_checkpoint
STATE_HELPERS := $(BUILD)/tests/support/in_namespace $(BUILD)/tests/support/kill_at

$(QUICK_CHECKPOINT): native/tests/support/quick_checkpoint.c $(BUILD)/libcapture.so
	@mkdir -p $(@D)
	$(CC) -std=gnu11 $(WARNINGS) -D_GNU_SOURCE= -Inative/include -O1 -g -MMD -MP -o $@ $< -L$(BUILD) -lcapture \
	    -Wl,-rpath,'$$ORIGIN/../../prefix/lib'

$(STATE_HELPERS): $(BUILD)/tests/%: native/tests/%.c
	@mkdir -p $(@D)
	$(CC) -std=gnu11 $(WARNINGS) -D_GNU_SOURCE= -O1 -g -MMD -MP -o $@ $<

tests: $(QUICK_CHECKPOINT) $(STATE_HELPERS)

-include $(addsuffix .d,$(QUICK_CHECKPOINT) $(STATE_HELPERS))
