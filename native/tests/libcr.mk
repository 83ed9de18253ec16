# Programs that are written for libcr: what test_libcr.py runs. They are other people's programs: never sanitized.

LIBCR_PROGRAMS := $(patsubst native/tests/%.c,$(BUILD)/tests/%,$(sort $(wildcard native/tests/libcr/programs/*.c)))
LIBCR_TEST_FLAGS := $(WARNINGS) -D_GNU_SOURCE= -I$(TREE)/include -O1 -g -pthread -MMD -MP
LIBCR_LINK := -L$(TREE)/lib -lcr -Wl,-rpath,'$$ORIGIN/../../../prefix/lib' -ldl
LIBCR_NEEDS := $(TREE)/lib/libcr.so $(TREE)/lib/libcr.a $(addprefix $(TREE)/include/,libcr.h blcr_common.h caesura_job.h)

$(LIBCR_PROGRAMS): $(BUILD)/tests/%: native/tests/%.c $(LIBCR_NEEDS)
	@mkdir -p $(@D)
	$(CC) -std=gnu11 $(LIBCR_TEST_FLAGS) -o $@ $< $(LIBCR_LINK)

# A static program has no libcr.so to be found by, and the checkpointer has to find libcr all the same.
$(BUILD)/tests/libcr/programs/callbacks_static: native/tests/libcr/programs/callbacks.c $(LIBCR_NEEDS)
	@mkdir -p $(@D)
	$(CC) -std=gnu11 -static $(LIBCR_TEST_FLAGS) -o $@ $< $(TREE)/lib/libcr.a

$(BUILD)/tests/libcr/programs/cxx: native/tests/libcr/programs/cxx.cc $(LIBCR_NEEDS)
	@mkdir -p $(@D)
	$(CXX) -std=c++17 $(filter-out -D_GNU_SOURCE=,$(LIBCR_TEST_FLAGS)) -o $@ $< $(LIBCR_LINK)

tests: $(LIBCR_PROGRAMS) $(BUILD)/tests/libcr/programs/callbacks_static $(BUILD)/tests/libcr/programs/cxx

-include $(wildcard $(BUILD)/tests/libcr/programs/*.d)
