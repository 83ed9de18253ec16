/*
 * mem_layout.c - the address space as /proc shows it: every line of maps, every VmFlags, and the marks of exec in stat.
 */
#include <pthread.h>
#include <stddef.h>

#include "victim.h"

enum { TEXT = 1 << 20 };

static char before[TEXT], after[TEXT];
static pthread_mutex_t hold = PTHREAD_MUTEX_INITIALIZER;

static void *thread(void *unused)
{
    pthread_mutex_lock(&hold);
    pthread_mutex_unlock(&hold);
    return unused;
}

/* Lines of smaps that do not change by themselves: map lines and VmFlags. */
static void keep_layout(char *text)
{
    char *to = text;
    for (char *line = text, *next; line && *line; line = next) {
        char *end = strchr(line, '\n');
        next = end ? end + 1 : NULL;
        size_t length = next ? (size_t)(next - line) : strlen(line);
        bool map = (line[0] >= '0' && line[0] <= '9') || (line[0] >= 'a' && line[0] <= 'f');
        if (map || strncmp(line, "VmFlags", 7) == 0) {
            memmove(to, line, length);
            to += length;
        }
        /* What has no name gets another inode: only addresses, protection and offset are compared. */
        if (map && memmem(line, length, "(deleted)", 9)) {
            to += 40 - (ptrdiff_t)length;
            *to++ = '\n';
        }
    }
    *to = '\0';
    /*
     * Soft-dirty marks belong to whoever tracks memory. The mark of accounting (ac) stays: it decides which neighbours the
     * kernel melts into one map.
     */
    for (char *mark = text; (mark = strstr(mark, " sd"));)
        memmove(mark, mark + 3, strlen(mark + 3) + 1);
}

/* Fields 26 to 28 and 45 to 51 of stat: code, stack, data, break, arguments, environment. */
static void marks(char *text)
{
    char all[2048], *field, *rest;
    int number = 3;
    need(read_file("/proc/self/stat", all, sizeof all) > 0);
    text[0] = '\0';
    for (field = strtok_r(strrchr(all, ')') + 2, " \n", &rest); field; field = strtok_r(NULL, " \n", &rest), number++)
        if ((number >= 26 && number <= 28) || (number >= 45 && number <= 51))
            sprintf(text + strlen(text), "%d=%s ", number, field);
}

int main(void)
{
    pthread_t threads[4];
    char marks_before[1024], marks_after[1024];
    pthread_mutex_lock(&hold);
    for (int i = 0; i < 4; i++)
        need(pthread_create(&threads[i], NULL, thread, NULL) == 0);
    need(malloc(1000) && malloc(10 << 20));
    map_memory(PAGE, MAP_SHARED);
    map_memory(3 * PAGE, MAP_PRIVATE);
    marks(marks_before);
    need(read_file("/proc/self/smaps", before, sizeof before) > 0);
    keep_layout(before);

    ready();
    wait_go();

    check(read_file("/proc/self/smaps", after, sizeof after) > 0, "smaps: %s", strerror(errno));
    keep_layout(after);
    same_lines("smaps", after, before);
    marks(marks_after);
    same_text("stat", marks_after, marks_before);
    pthread_mutex_unlock(&hold);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    finish();
}
