/*
 * libcr_run.c - what cr_run preloads: marks a process that is meant to be checkpointed. See libcr.c.
 *
 * It must not export anything of the interface, cr_init() in particular: programs look for it to learn whether they were linked
 * with libcr itself.
 */
#define EXPORTED __attribute__((visibility("default")))

/* BLCR's link name: `-lcr_run -u cr_run_link_me`. */
EXPORTED extern const int cr_run_link_me;
const int cr_run_link_me = 0;
