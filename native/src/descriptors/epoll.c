/*
 * epoll sets. The kernel knows an item by (open file description, descriptor number at the time of adding); the number may
 * since have been closed or given to something else, as long as the description lives on. So the items are added by a
 * process with a table of its own, in which every number can be anything.
 *
 * State: number of items, then each: descriptor number, events, data, id of the description.
 */
#include "descriptors/kinds.h"

#include <errno.h>
#include <linux/kcmp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define ONESHOT_DONE_MASK (~(EPOLLONESHOT | EPOLLET | EPOLLWAKEUP | EPOLLEXCLUSIVE))

bool epoll_probe(const struct caesura_capture *capture, const struct seen *seen)
{
    return !strcmp(seen_record(capture, seen)->name, "anon_inode:[eventpoll]");
}

/* Whether descriptor fd of a target is what item number order among those with this tfd stands for. */
static bool is_item(const struct caesura_capture *capture, const struct seen *epoll, uint32_t tfd, uint32_t order,
                    struct place place)
{
    struct place set = seen_place(capture, epoll);
    struct kcmp_epoll_slot slot = {.efd = (uint32_t)set.fd, .tfd = tfd, .toff = order};
    return !syscall(SYS_kcmp, place.task, set.task, KCMP_EPOLL_TFD, (unsigned long)place.fd, (unsigned long)&slot);
}

/* The description of an item: at its number in a table that has the epoll set, else anything with that inode. */
static uint32_t item_description(const struct caesura_capture *capture, const struct seen *epoll,
                                 const struct fdinfo_item *item, uint32_t order)
{
    const struct description_set *set = capture->descriptions;

    for (uint32_t i = 0; i < epoll->n_holders; i++) {
        uint32_t target = set->holders[set->by_description[epoll->first_holder + i]].target;
        const struct holder *holder = holder_find(capture, target, item->fd);
        if (holder && is_item(capture, epoll, (uint32_t)item->fd, order, holder_place(capture, holder)))
            return holder->description;
    }
    for (uint32_t i = 0; i < set->n_seen; i++) {
        const struct seen *seen = &set->seen[i];
        if ((!item->ino || seen->st.st_ino == item->ino) &&
            is_item(capture, epoll, (uint32_t)item->fd, order, seen_place(capture, seen)))
            return seen->id;
    }
    return 0;
}

int epoll_capture(struct caesura_capture *capture, struct seen *seen, int fd, struct caesura_error *err)
{
    const struct fdinfo *info = &seen->info;
    auto_buffer state = {0};
    int highest = 0;

    (void)fd;
    for (uint32_t i = 0; i < info->n_items; i++)
        highest = info->items[i].fd > highest ? info->items[i].fd : highest;
    auto_memory uint32_t *orders = calloc((size_t)highest + 1, sizeof *orders);
    if (!orders)
        return error_set(err, CAESURA_ENOMEM_, "cannot hold the items of an epoll set");
    buffer_u32(&state, info->n_items);
    for (uint32_t i = 0; i < info->n_items; i++) {
        const struct fdinfo_item *item = &info->items[i];
        /* The kernel lists items by the address of their file, so those of one number need not be neighbours. */
        uint32_t id = item->fd < 0 ? 0 : item_description(capture, seen, item, orders[item->fd]++);
        if (!id)
            return seen_refuse(capture, seen, "let all processes that share the epoll set be in the scope",
                               "an epoll set that watches descriptor %d, which no process of the scope holds any more",
                               item->fd);
        buffer_u32(&state, (uint32_t)item->fd);
        buffer_u32(&state, item->events);
        buffer_u64(&state, item->data);
        buffer_u32(&state, id);
    }
    return state_set(seen_record(capture, seen), &state, err);
}

int epoll_open(struct restore *restore, const struct description *description, struct caesura_error *err)
{
    int fd = epoll_create1(EPOLL_CLOEXEC);
    if (fd < 0)
        return error_errno(err, errno, "cannot make an epoll set");
    return restore_take(restore, description->id, fd, err);
}

/* An item that has fired with EPOLLONESHOT and was not armed again. */
static bool is_spent(uint32_t events)
{
    return (events & EPOLLONESHOT) && !(events & ONESHOT_DONE_MASK & ~(EPOLLERR | EPOLLHUP));
}

/* Armed again by adding it, so let it fire, if anything at all is ready; else it waits for errors only. */
static void item_spend(int epoll, int fd, struct epoll_event *event)
{
    struct epoll_event got, armed = *event;

    armed.events |= EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLPRI;
    if (epoll_ctl(epoll, EPOLL_CTL_MOD, fd, &armed) || epoll_wait(epoll, &got, 1, 0) > 0)
        return;
    epoll_ctl(epoll, EPOLL_CTL_MOD, fd, event);
}

/* In the helper process. spent: those that have fired come first, while nothing else in the set can be taken by mistake. */
static int items_add(const struct restore *restore, const struct description *description, bool spent)
{
    struct reader state = state_reader(description);
    int epoll = restore_fd(restore, description->id);

    for (uint32_t count = reader_u32(&state); count; count--) {
        int number = (int)reader_u32(&state);
        struct epoll_event event = {.events = reader_u32(&state)};
        event.data.u64 = reader_u64(&state);
        int fd = restore_fd(restore, reader_u32(&state));
        if (state.failed || number < 0 || number >= restore->fd_base || fd < 0)
            return EINVAL;
        if (is_spent(event.events) != spent)
            continue;
        if (dup2(fd, number) < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, number, &event))
            return errno;
        if (spent)
            item_spend(epoll, number, &event);
        close(number);
    }
    return 0;
}

static int add_all(const struct restore *restore)
{
    for (int spent = 1; spent >= 0; spent--)
        for (uint32_t i = 0; i < restore->context->n_descriptions; i++) {
            const struct description *description = &restore->context->descriptions[i];
            int rc = description->kind == DESCRIPTION_EPOLL ? items_add(restore, description, spent) : 0;
            if (rc)
                return rc;
        }
    return 0;
}

int epoll_connect(struct restore *restore, struct caesura_error *err)
{
    bool any = false;
    int status;

    for (uint32_t i = 0; i < restore->context->n_descriptions; i++)
        any |= restore->context->descriptions[i].kind == DESCRIPTION_EPOLL &&
               restore->context->descriptions[i].state.size > 4;
    if (!any)
        return 0;
    pid_t helper = fork();
    if (helper < 0)
        return error_errno(err, errno, "cannot start a helper for epoll sets");
    if (!helper)
        _exit(add_all(restore));
    while (waitpid(helper, &status, 0) < 0)
        if (errno != EINTR)
            return error_errno(err, errno, "cannot wait for the helper for epoll sets");
    if (!WIFEXITED(status) || WEXITSTATUS(status) == EINVAL)
        return error_set(err, CAESURA_ECORRUPT, "the context's record of an epoll set does not make sense");
    return WEXITSTATUS(status) ? error_errno(err, WEXITSTATUS(status), "cannot fill an epoll set") : 0;
}
