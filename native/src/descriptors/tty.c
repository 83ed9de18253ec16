/* Terminals: those of outside, and pseudo terminals whose master is in the scope. */
#include "descriptors/kinds.h"

#include <asm/termbits.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define PTMX_MAJOR 5
#define PTMX_MINOR 2
#define PTS_MAJOR_FIRST 136
#define PTS_MAJOR_LAST 143
#define CONSOLE_MAJOR 4 /* tty0.., ttyS0.. */
#define SERIAL_OTHER_MAJOR 204
#define HVC_MAJOR 229
#define NUMBER_MAX (1 << 20) /* NR_UNIX98_PTY_MAX */
#define TRIES_MAX 512        /* terminals held until the number wanted is the next */

bool tty_probe(const struct caesura_capture *capture, const struct seen *seen)
{
    unsigned device = major(seen->st.st_rdev);

    (void)capture;
    return S_ISCHR(seen->st.st_mode) &&
           (device == CONSOLE_MAJOR || device == SERIAL_OTHER_MAJOR || device == HVC_MAJOR ||
            (device == PTMX_MAJOR && minor(seen->st.st_rdev) <= PTMX_MINOR && minor(seen->st.st_rdev) > 0) ||
            (device >= PTS_MAJOR_FIRST && device <= PTS_MAJOR_LAST));
}

static bool is_master(const struct seen *seen)
{
    return major(seen->st.st_rdev) == PTMX_MAJOR && minor(seen->st.st_rdev) == PTMX_MINOR;
}

static bool is_slave(const struct seen *seen)
{
    return major(seen->st.st_rdev) >= PTS_MAJOR_FIRST && major(seen->st.st_rdev) <= PTS_MAJOR_LAST;
}

/* Number of a pseudo terminal. */
static int pty_number(const struct seen *seen)
{
    if (is_master(seen))
        return seen->info.tty_index;
    return (int)((major(seen->st.st_rdev) - PTS_MAJOR_FIRST) * 256 + minor(seen->st.st_rdev));
}

/* The master is only told apart by number: two devpts instances in one scope cannot be. */
static const struct seen *find_master(const struct caesura_capture *capture, int number)
{
    for (uint32_t i = 0; i < capture->descriptions->n_seen; i++) {
        const struct seen *seen = &capture->descriptions->seen[i];
        if (S_ISCHR(seen->st.st_mode) && is_master(seen) && pty_number(seen) == number)
            return seen;
    }
    return NULL;
}

/* State: number, 1 for the master, termios2, winsize, packet mode, locked. */
int tty_capture(struct caesura_capture *capture, struct seen *seen, int fd, struct caesura_error *err)
{
    const struct description *record = seen_record(capture, seen);
    int number = pty_number(seen), unread = 0, packet = 0, locked = 0;
    struct termios2 settings = {0};
    struct winsize size = {0};
    auto_buffer state = {0};

    if (!is_master(seen) && (!is_slave(seen) || !find_master(capture, number)))
        return outside_capture(capture, seen, OUTSIDE_TERMINAL, NULL, err);
    if (number < 0)
        return seen_refuse(capture, seen, "close it before the checkpoint",
                           "%s, the master of a terminal whose number this kernel does not tell", record->name);
    if (!ioctl(fd, FIONREAD, &unread) && unread)
        return seen_refuse(capture, seen, "try again when it has been read",
                           "%s, a pseudo terminal with %d unread bytes, which the kernel gives away only once",
                           record->name, unread);
    if (ioctl(fd, TCGETS2, &settings) || ioctl(fd, TIOCGWINSZ, &size))
        return error_errno(err, errno, "cannot read the settings of %s", record->name);
    if (is_master(seen)) {
        ioctl(fd, TIOCGPKT, &packet);
        ioctl(fd, TIOCGPTLCK, &locked);
    }
    buffer_u32(&state, (uint32_t)number);
    buffer_u32(&state, is_master(seen));
    buffer_bytes(&state, &settings, sizeof settings);
    buffer_bytes(&state, &size, sizeof size);
    buffer_u32(&state, (uint32_t)packet);
    buffer_u32(&state, (uint32_t)locked);
    return state_set(seen_record(capture, seen), &state, err);
}

struct tty_state {
    uint32_t number, master, packet, locked;
    struct termios2 settings;
    struct winsize size;
};

static bool state_decode(const struct description *description, struct tty_state *state)
{
    struct reader reader = state_reader(description);

    state->number = reader_u32(&reader);
    state->master = reader_u32(&reader);
    const void *settings = reader_bytes(&reader, sizeof state->settings);
    const void *size = reader_bytes(&reader, sizeof state->size);
    state->packet = reader_u32(&reader);
    state->locked = reader_u32(&reader);
    if (reader.failed || description->kind != DESCRIPTION_TTY || state->number >= NUMBER_MAX)
        return false;
    memcpy(&state->settings, settings, sizeof state->settings);
    memcpy(&state->size, size, sizeof state->size);
    return true;
}

/* The kernel gives the lowest number that is free: those below are held until it is the wanted one's turn. */
static int open_master(struct restore *restore, const struct description *description, const struct tty_state *state,
                       struct caesura_error *err)
{
    int held[TRIES_MAX], count = 0, wanted = -1, unlock = 0;
    int last = -1;

    /* Not even tried if more would be needed than we hold: each takes the kernel some work. */
    while (count < TRIES_MAX && last < (int)state->number &&
           (!count || (int)state->number - last < TRIES_MAX - count)) {
        int fd = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC);
        if (fd < 0 || ioctl(fd, TIOCGPTN, &last))
            last = NUMBER_MAX;
        if (fd >= 0)
            held[count++] = fd;
        if (last == (int)state->number)
            wanted = fd;
    }
    if (wanted < 0 && count) {
        restore_note(restore, "%s: number %u is taken, the terminal has another one now", description->name,
                     state->number);
        wanted = held[0];
    }
    for (int i = 0; i < count; i++)
        if (held[i] != wanted)
            close(held[i]);
    if (wanted < 0)
        return error_errno(err, errno, "cannot make a pseudo terminal");
    ioctl(wanted, TIOCSPTLCK, &unlock);
    return wanted;
}

static const struct description *find_pair(const struct restore *restore, const struct description *slave,
                                           uint32_t number)
{
    for (uint32_t i = 0; i < restore->context->n_descriptions; i++) {
        const struct description *description = &restore->context->descriptions[i];
        struct tty_state state;
        if (description != slave && state_decode(description, &state) && state.master && state.number == number)
            return description;
    }
    return NULL;
}

int tty_open(struct restore *restore, const struct description *description, struct caesura_error *err)
{
    struct tty_state state;

    if (!state_decode(description, &state))
        return state_corrupt(description, err);
    if (state.master)
        return restore_take(restore, description->id, open_master(restore, description, &state, err), err);
    const struct description *master = find_pair(restore, description, state.number);
    if (!master)
        return state_corrupt(description, err);
    int rc = restore_open(restore, master->id, err);
    if (rc)
        return rc;
    int fd = ioctl(restore_fd(restore, master->id), TIOCGPTPEER,
                   (int)(description->flags & O_ACCMODE) | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return error_errno(err, errno, "cannot open the other side of %s", master->name);
    return restore_take(restore, description->id, fd, err);
}

int tty_settle(struct restore *restore, const struct description *description, struct caesura_error *err)
{
    int fd = restore_fd(restore, description->id), packet, locked;
    struct tty_state state;

    if (fd < 0 || !state_decode(description, &state))
        return state_corrupt(description, err);
    packet = (int)state.packet;
    locked = (int)state.locked;
    if (ioctl(fd, TCSETS2, &state.settings) || ioctl(fd, TIOCSWINSZ, &state.size))
        return error_errno(err, errno, "cannot set the terminal %s", description->name);
    if (state.master && (ioctl(fd, TIOCPKT, &packet) || ioctl(fd, TIOCSPTLCK, &locked)))
        return error_errno(err, errno, "cannot set the terminal %s", description->name);
    (void)restore;
    return 0;
}
