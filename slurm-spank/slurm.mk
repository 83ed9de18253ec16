# The SPANK plugin, and slurm-job-state. Part of the top Makefile. Built where Slurm's headers are (libslurm-dev); for a
# Slurm elsewhere: make SLURM_CPPFLAGS=-I/opt/slurm/include SLURM_LDFLAGS=-L/opt/slurm/lib. Both belong to one version of
# Slurm: another one needs a build of its own, and its loader says so.

SLURM_CPPFLAGS ?=
SLURM_LDFLAGS ?=
SLURM_HEADERS := $(shell printf '\#include <slurm/spank.h>\n' | $(CC) $(SLURM_CPPFLAGS) -E -xc - > /dev/null 2>&1 && echo yes)

SPANK_SOURCES := $(addprefix slurm-spank/,install.c plugin.c policy.c program.c submit.c task.c)
SPANK_OBJECTS := $(call objects,$(SPANK_SOURCES) native/src/core/error.c)
JOB_STATE_OBJECTS := $(call objects,slurm-spank/job_state.c)

# What sites copy from, whether the plugin is built here or not.
$(foreach file,$(sort $(wildcard slurm-spank/share/*)),$(eval $(call stage_data,$(file),share/caesura/slurm/$(notdir $(file)))))

ifeq ($(SLURM_HEADERS),yes)
$(call objects,$(SPANK_SOURCES)) $(JOB_STATE_OBJECTS): CPPFLAGS_ALL += $(SLURM_CPPFLAGS)

# What it calls of Slurm is in the program that loads it, so it needs no libslurm.
$(BUILD)/spank_caesura.so: $(SPANK_OBJECTS) slurm-spank/spank_caesura.map
	$(CC) $(LDFLAGS_ALL) -shared -Wl,--version-script=slurm-spank/spank_caesura.map -Wl,-soname,spank_caesura.so \
	    -o $@ $(SPANK_OBJECTS)
$(eval $(call stage_program,$(BUILD)/spank_caesura.so,lib/slurm/spank_caesura.so))

$(BUILD)/slurm-job-state: $(JOB_STATE_OBJECTS)
	$(CC) $(LDFLAGS_ALL) $(SLURM_LDFLAGS) -o $@ $(JOB_STATE_OBJECTS) -lslurm
$(eval $(call stage_program,$(BUILD)/slurm-job-state,libexec/caesura/slurm-job-state))
else
$(info Slurm's headers are not here (libslurm-dev): the SPANK plugin and slurm-job-state are left out)
endif

-include $(patsubst %.o,%.d,$(SPANK_OBJECTS) $(JOB_STATE_OBJECTS))
