/*
 * libcr.c - the library that a program with checkpoint callbacks is linked with.
 *
 * This release only marks a process: a checkpoint is taken from outside and needs no help of the process, but
 * `cr_checkpoint --require-libcr` wants to see one of the three libraries, and it finds them by their names in
 * /proc/PID/maps. There is no dependency on libc: the mark must load into any program. Functions of the interface come with
 * the code behind them; nothing is exported that does nothing, so that configure scripts do not find what is not there.
 */
#define EXPORTED __attribute__((visibility("default")))

/* BLCR's link name, for programs that call nothing of the library: `-u cr_link_me -lcr`, with --no-as-needed where that is
 * not the linker's default, or a reference in the program itself. */
EXPORTED extern const int cr_link_me;
const int cr_link_me = 0;
