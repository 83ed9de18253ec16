# Builds Caesura into an installed tree, by default build/prefix, from which everything also runs.
#
#   make              the tree                        make install [PREFIX=/usr/local] [DESTDIR=]
#   make tests        the native tests                make tests BUILD=build/asan   with ASan and UBSan
#   make errors       docs/errors.md from the error table
#   make format lint  rewrite, or only check, the form of all sources
#
# C sources are found by folder, so a new file needs no change here. A part with rules of its own brings a fragment
# native/PART/*.mk or native/src/PART/*.mk. A fragment names its sources by paths from the top, puts what it builds
# under $(BUILD), and adds what has to be in the tree to STAGED with a rule that makes $(TREE)/... of it; the macros
# stage_program and stage_data below do that. It may add objects with a main() of their own to nothing else.

BUILD ?= build
PREFIX ?= /usr/local
DESTDIR ?=
ifeq ($(origin CC),default)
CC := gcc
endif
AR ?= ar
CLANG_FORMAT ?= clang-format-14
CLANG_TIDY ?= clang-tidy-14
MVN ?= mvn
MVNFLAGS ?= -B -q -ntp

TREE := $(BUILD)/prefix
LIBEXEC := $(TREE)/libexec/caesura

# A build folder called asan is the sanitized variant. It is for the tests only.
ifeq ($(notdir $(BUILD)),asan)
SANITIZE ?= address,undefined
endif

WARNINGS := -Wall -Wextra -Werror
OPTIMIZE ?= -O2 -g
CPPFLAGS_ALL := -D_GNU_SOURCE= -Inative/include -Inative/src $(CPPFLAGS)
CFLAGS_ALL := -std=gnu11 $(WARNINGS) $(OPTIMIZE) -fPIC -fvisibility=hidden -pthread -MMD -MP $(CFLAGS)
LDFLAGS_ALL := -pthread -Wl,-z,relro,-z,now $(LDFLAGS)
ifdef SANITIZE
CFLAGS_ALL += -fsanitize=$(SANITIZE) -fno-sanitize-recover=all -fno-omit-frame-pointer -U_FORTIFY_SOURCE
LDFLAGS_ALL += -fsanitize=$(SANITIZE)
endif

.DELETE_ON_ERROR:
.SUFFIXES:
.PHONY: all tests programs bench install errors check-errors format lint lint-c-form lint-c-tidy lint-c-check lint-scripts lint-python lint-java clean

all:

# ---- what is there ---------------------------------------------------------------------------------------------------

CAPTURE_FOLDERS := core model context proc freeze remote callbacks memory descriptors files sysv capture
SHARED_FOLDERS := $(CAPTURE_FOLDERS) supervisor jvm
PROGRAM_FOLDERS := restore cr_run launcher
sources = $(sort $(wildcard $(addsuffix /*.c,$(addprefix native/src/,$(1)))))
objects = $(patsubst %.c,$(BUILD)/obj/%.o,$(1))

# files/ and descriptors/ hold both sides of their concern, so what they need of a restart is in the library too.
CAPTURE_OBJECTS := $(call objects,$(call sources,$(CAPTURE_FOLDERS)) native/src/restore/common.c)
SHARED_OBJECTS := $(call objects,$(call sources,$(SHARED_FOLDERS)))
PROGRAM_OBJECTS := $(call objects,$(call sources,$(PROGRAM_FOLDERS)))

STAGED :=
TEST_LIBS :=

# $(call stage_program,FROM,TO) and $(call stage_data,FROM,TO): TO is a path in the tree. Installed with a fixed mode,
# so that the builder's umask does not decide who may run the result.
define stage_program
STAGED += $$(TREE)/$(2)
$$(TREE)/$(2): $(1)
	@mkdir -p $$(@D)
	install -p -m 0755 $$< $$@
endef
define stage_data
STAGED += $$(TREE)/$(2)
$$(TREE)/$(2): $(1)
	@mkdir -p $$(@D)
	install -p -m 0644 $$< $$@
endef

# ---- C ---------------------------------------------------------------------------------------------------------------

# Everything is rebuilt when a compiler or flag changes; the file changes only when its contents would.
FLAGS_NOW := $(CC) $(CPPFLAGS_ALL) $(CFLAGS_ALL) $(LDFLAGS_ALL)
ifneq ($(shell cat $(BUILD)/flags 2>/dev/null),$(strip $(FLAGS_NOW)))
$(shell mkdir -p $(BUILD) && printf '%s\n' '$(strip $(FLAGS_NOW))' > $(BUILD)/flags)
endif

$(BUILD)/obj/%.o: %.c $(BUILD)/flags
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS_ALL) $(CFLAGS_ALL) -c -o $@ $<

# Code that is copied into the target must be free of the sanitizer's calls and of stack protectors.
$(BUILD)/obj/%.o: %.S $(BUILD)/flags
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS_ALL) -c -o $@ $<

ifneq ($(CAPTURE_OBJECTS),)
$(BUILD)/libcapture.so: $(CAPTURE_OBJECTS) native/libcapture.map
	$(CC) $(LDFLAGS_ALL) -shared -Wl,--version-script=native/libcapture.map -Wl,-z,defs -Wl,-soname,libcapture.so \
	    -o $@ $(CAPTURE_OBJECTS) $(LDLIBS)
$(eval $(call stage_program,$(BUILD)/libcapture.so,lib/libcapture.so))
endif

# Each program is the objects of its folder; the linker takes what else they call. cr_run: see supervisor.mk.
$(BUILD)/libshared.a: $(SHARED_OBJECTS)
	@rm -f $@
	$(AR) rcs $@ $^

# $(call program,NAME,FOLDER): how to build $(BUILD)/NAME of native/src/FOLDER.
define program
$$(BUILD)/$(1): $$(call objects,$$(call sources,$(2))) $$(BUILD)/libshared.a
	$$(CC) $$(LDFLAGS_ALL) -o $$@ $$(call objects,$$(call sources,$(2))) $$(BUILD)/libshared.a $$(LDLIBS)
endef
ifneq ($(call sources,restore),)
$(eval $(call program,cr-restore,restore))
$(eval $(call stage_program,$(BUILD)/cr-restore,libexec/caesura/cr-restore))
endif
ifneq ($(call sources,launcher),)
$(eval $(call program,launcher,launcher))
$(foreach name,cr_checkpoint cr_restart cr_info cr_job,$(eval $(call stage_program,$(BUILD)/launcher,bin/$(name))))
endif

$(eval $(call stage_data,native/include/caesura.h,include/caesura.h))
$(eval $(call stage_data,native/include/caesura_errors.def,include/caesura_errors.def))

include $(sort $(wildcard native/*/*.mk native/src/*/*.mk slurm-spank/*.mk pbs-hooks/*.mk))

# ---- engine ----------------------------------------------------------------------------------------------------------

ifneq ($(wildcard pom.xml),)
ENGINE_SOURCES := pom.xml $(wildcard engine/pom.xml) $(shell find engine -path '*/target' -prune -o -type f -print)
STAGED += $(BUILD)/engine.stamp

# The jars are put into place together, and old ones taken away, or two versions of a library would share a class path.
# The archive is made by running the engine, which needs the library.
$(BUILD)/engine.stamp: $(ENGINE_SOURCES) native/tools/stage-engine native/tools/make-archive \
    | $(if $(CAPTURE_OBJECTS),$(TREE)/lib/libcapture.so)
	@mkdir -p $(LIBEXEC)
	MVN='$(MVN) $(MVNFLAGS)' native/tools/stage-engine $(TREE)
	touch $@
endif

POLICIES := $(wildcard policies/*)
$(foreach file,$(POLICIES),$(eval $(call stage_data,$(file),share/caesura/$(file))))
$(foreach file,$(wildcard native/completion/*),$(eval $(call stage_data,$(file),share/bash-completion/completions/$(notdir $(file)))))
$(foreach file,$(wildcard docs/man/*.1),$(eval $(call stage_data,$(file),share/man/man1/$(notdir $(file)))))

all: $(STAGED)

# ---- tests -----------------------------------------------------------------------------------------------------------

# A test is linked with an archive of all objects, so it takes what it calls and nothing clashes with its own main().
TEST_SOURCES := $(sort $(wildcard native/tests/test_*.c native/tests/*/test_*.c))
TESTS := $(patsubst native/tests/%.c,$(BUILD)/tests/%,$(TEST_SOURCES))
TEST_SUPPORT := $(call objects,$(sort $(wildcard native/tests/support/lib_*.c)))
VICTIM_SOURCES := $(sort $(wildcard native/tests/programs/*.c))
VICTIMS := $(patsubst native/tests/%.c,$(BUILD)/tests/%,$(VICTIM_SOURCES))
ISOLATE := $(BUILD)/tests/support/isolate

TEST_OBJECTS := $(SHARED_OBJECTS) $(PROGRAM_OBJECTS) $(TEST_SUPPORT)
$(BUILD)/libtest.a: $(TEST_OBJECTS)
	@rm -f $@
	$(AR) rcs $@ $^

$(TESTS): $(BUILD)/tests/%: $(BUILD)/obj/native/tests/%.o $(BUILD)/libtest.a
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS_ALL) -o $@ $< $(BUILD)/libtest.a $(TEST_LIBS) -lcmocka $(LDLIBS)

# Victims are ordinary programs: never sanitized, never linked with anything of ours.
$(VICTIMS): $(BUILD)/tests/%: native/tests/%.c
	@mkdir -p $(@D)
	$(CC) -std=gnu11 $(WARNINGS) -D_GNU_SOURCE= -O1 -g -pthread -MMD -MP -o $@ $< -lrt

$(ISOLATE): native/tests/support/isolate.c
	@mkdir -p $(@D)
	$(CC) -std=gnu11 $(WARNINGS) -D_GNU_SOURCE= -O1 -g -MMD -MP -o $@ $<

tests: $(TESTS) $(VICTIMS) $(ISOLATE)

BENCH_SOURCES := $(sort $(wildcard bench/*.c))
BENCHES := $(patsubst %.c,$(BUILD)/%,$(BENCH_SOURCES))
$(BENCHES): $(BUILD)/%: %.c $(BUILD)/libcapture.so
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS_ALL) -std=gnu11 $(WARNINGS) -O2 -g -pthread -MMD -MP -o $@ $< -L$(BUILD) -lcapture \
	    -Wl,-rpath,'$$ORIGIN/..'
bench: all $(BENCHES)

# ---- documents, form -------------------------------------------------------------------------------------------------

$(BUILD)/errors_md: native/tools/errors_md.c native/include/caesura_errors.def
	@mkdir -p $(@D)
	$(CC) -std=gnu11 $(WARNINGS) -Inative/include -o $@ $<
errors: $(BUILD)/errors_md
	$(BUILD)/errors_md > docs/errors.md
check-errors: $(BUILD)/errors_md
	$(BUILD)/errors_md | diff -u docs/errors.md - || { echo 'docs/errors.md is old: run make errors' >&2; exit 1; }

tracked = $(shell git ls-files --cached --others --exclude-standard -- $(1))
C_FILES = $(call tracked,'*.c' '*.h')
# What sites run. Tests are held to form and compiler warnings; the sanitizers look at them while they run.
C_LINTED = $(filter-out native/tests/% native/pmckpt/tests/%,$(call tracked,'native/*.c' 'slurm-spank/*.c' 'bench/*.c'))
PYTHON_FILES = $(call tracked,'*.py') $(shell git grep --untracked -lE '^\#!.*python3' -- ':!*.py' ':!*.md' 2>/dev/null)
SHELL_FILES = $(shell git grep --untracked -lE '^\#!.*(bash|/sh)$$' 2>/dev/null)
YAML_FILES = $(call tracked,'*.yaml' '*.yml')

format:
	$(CLANG_FORMAT) -i $(C_FILES)
	$(if $(strip $(PYTHON_FILES)),black -q -l 120 $(PYTHON_FILES))
	$(if $(wildcard pom.xml),$(MVN) $(MVNFLAGS) spotless:apply)

lint: lint-c-form lint-c-tidy lint-c-check lint-scripts lint-python lint-java check-errors

lint-c-form:
	$(CLANG_FORMAT) --dry-run --Werror $(C_FILES)

lint-c-tidy:
	native/tools/tidy '$(CLANG_TIDY)' '$(BUILD)' $(C_LINTED) -- -std=gnu11 $(CPPFLAGS_ALL) -fPIC -pthread

lint-c-check:
	cppcheck --quiet --error-exitcode=1 --std=c11 --inline-suppr --enable=warning,portability,performance \
	    --suppress=missingIncludeSystem --suppressions-list=.cppcheck $(CPPFLAGS_ALL) $(C_LINTED)

lint-scripts:
	shellcheck -x $(SHELL_FILES)
	$(if $(strip $(YAML_FILES)),yamllint --strict $(YAML_FILES))

lint-python:
	$(if $(strip $(PYTHON_FILES)),black -q --check -l 120 $(PYTHON_FILES))
	$(if $(strip $(PYTHON_FILES)),flake8 --max-line-length=120 --extend-ignore=E203 $(PYTHON_FILES))
	$(if $(strip $(PYTHON_FILES)),native/tools/each mypy --strict --no-error-summary -- $(PYTHON_FILES))

lint-java:
	$(if $(wildcard pom.xml),$(MVN) $(MVNFLAGS) -DskipTests spotless:check verify)

# ---- installing ------------------------------------------------------------------------------------------------------

# The class data archive holds the paths and times of the jars, so it is made anew at the place where they will stay.
# With DESTDIR that place is not known to work yet; the package's own script has to call make-archive after unpacking.
install: all
	native/tools/install-tree '$(TREE)' '$(DESTDIR)$(PREFIX)'
	$(if $(DESTDIR),,test ! -x '$(PREFIX)/libexec/caesura/make-archive' || '$(PREFIX)/libexec/caesura/make-archive')

clean:
	rm -rf $(BUILD) engine/target target

-include $(patsubst %.o,%.d,$(TEST_OBJECTS)) $(patsubst %.c,$(BUILD)/obj/%.d,$(TEST_SOURCES))
-include $(addsuffix .d,$(VICTIMS) $(BENCHES) $(ISOLATE))
