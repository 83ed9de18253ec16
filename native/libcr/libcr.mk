# libcr and its two marks, what software written for BLCR is compiled with, and what a request starts.
#
# A part of the top Makefile. libcr is ordinary code, but never sanitized: it goes into other people's programs.

LIBCR_CFLAGS := -std=gnu11 -O2 -g -Wall -Wextra -Werror -D_GNU_SOURCE= -Inative/include -Inative/libcr -fPIC \
    -fvisibility=hidden -pthread -MMD -MP
LIBCR_OBJECTS := $(patsubst native/libcr/%.c,$(BUILD)/libcr/%.o,\
    $(filter-out %/libcr_run.c %/libcr_omit.c %/cr_request.c,$(sort $(wildcard native/libcr/*.c))))

$(BUILD)/libcr/%.o: native/libcr/%.c $(BUILD)/flags
	@mkdir -p $(@D)
	$(CC) $(LIBCR_CFLAGS) -c -o $@ $<

# A program that closes the library with dlclose() leaves a thread and a handler behind, so it stays.
$(BUILD)/libcr.so.0: $(LIBCR_OBJECTS) native/libcr/libcr.map
	$(CC) -shared -pthread -Wl,-soname,libcr.so.0 -Wl,--version-script=native/libcr/libcr.map -Wl,-z,defs \
	    -Wl,-z,nodelete -Wl,-z,relro,-z,now -o $@ $(LIBCR_OBJECTS)

$(BUILD)/libcr.a: $(LIBCR_OBJECTS)
	@rm -f $@
	$(AR) rcs $@ $^
$(eval $(call stage_data,$(BUILD)/libcr.a,lib/libcr.a))

# Marks without code and without libc, so that they load into any program; see native/libcr/libcr_run.c.
$(BUILD)/libcr_run.so.0 $(BUILD)/libcr_omit.so.0: $(BUILD)/%.so.0: native/libcr/%.c native/libcr/%.map
	@mkdir -p $(@D)
	$(CC) -std=gnu11 -O2 -g -Wall -Wextra -Werror -fPIC -fvisibility=hidden -shared -nostdlib -Wl,-soname,$*.so.0 \
	    -Wl,--version-script=native/libcr/$*.map -o $@ $<

define libcr_library
$(call stage_program,$(BUILD)/$(1).so.0,lib/$(1).so.0)
STAGED += $$(TREE)/lib/$(1).so
$$(TREE)/lib/$(1).so: $$(TREE)/lib/$(1).so.0
	ln -sf $(1).so.0 $$@
endef
$(foreach name,libcr libcr_run libcr_omit,$(eval $(call libcr_library,$(name))))
$(foreach name,libcr.h blcr_common.h caesura_job.h,$(eval $(call stage_data,native/include/$(name),include/$(name))))

$(BUILD)/cr-request: $(BUILD)/libcr/cr_request.o
	$(CC) -Wl,-z,relro,-z,now -o $@ $<
$(eval $(call stage_program,$(BUILD)/cr-request,libexec/caesura/cr-request))

-include $(wildcard $(BUILD)/libcr/*.d)
