# What test_state.py and test_faults.py need beside the victim programs.

QUICK_CHECKPOINT := $(BUILD)/tests/support/quick_checkpoint
IN_NAMESPACE := $(BUILD)/tests/support/in_namespace

$(QUICK_CHECKPOINT): native/tests/support/quick_checkpoint.c $(BUILD)/libcapture.so
	@mkdir -p $(@D)
	$(CC) -std=gnu11 $(WARNINGS) -D_GNU_SOURCE= -Inative/include -O1 -g -MMD -MP -o $@ $< -L$(BUILD) -lcapture \
	    -Wl,-rpath,'$$ORIGIN/../../prefix/lib'

$(IN_NAMESPACE): native/tests/support/in_namespace.c
	@mkdir -p $(@D)
	$(CC) -std=gnu11 $(WARNINGS) -D_GNU_SOURCE= -O1 -g -MMD -MP -o $@ $<

tests: $(QUICK_CHECKPOINT) $(IN_NAMESPACE)

-include $(QUICK_CHECKPOINT).d $(IN_NAMESPACE).d
