/*
 * libcr_omit.c - what `cr_run --omit` preloads: a process that has it leaves itself out of every checkpoint.
 *
 * The mark is the library itself: the capture side leaves out each process in whose /proc/PID/maps a file named
 * libcr_omit.so.0 (or libcr_omit.so.0.VERSION) is mapped. Like libcr_run.c it exports nothing of the interface.
 */
#define EXPORTED __attribute__((visibility("default")))

/* BLCR's link name: `-lcr_omit -u cr_omit_link_me`. */
EXPORTED extern const int cr_omit_link_me;
const int cr_omit_link_me = 0;
