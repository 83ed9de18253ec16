/*
 * fd_streams.c - writes a line to its standard output before and after, and nothing else. test_streams.py starts it with files
 * there that the user of the program could not open.
 * Driver: modes=none,continue
 */
#include "victim.h"

static void line(const char *text)
{
    check(write(STDOUT_FILENO, text, strlen(text)) == (ssize_t)strlen(text), "write: %s", strerror(errno));
}

int main(void)
{
    line("before\n");
    ready();
    wait_go();
    line("after\n");
    finish();
}
