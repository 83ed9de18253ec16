/* Asking the kernel about unix sockets: who is connected to whom. */
#include "descriptors/sockets.h"

#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <linux/unix_diag.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DIAG_LISTEN 10 /* TCP_LISTEN; unix sockets use TCP's numbers for states */

void unix_diag_free(struct unix_diag *list, size_t count)
{
    for (size_t i = 0; i < count; i++)
        free(list[i].waiting);
    free(list);
}

static int take_attribute(struct unix_diag *diag, const struct rtattr *attribute)
{
    const void *data = RTA_DATA(attribute);
    size_t size = RTA_PAYLOAD(attribute);
    const struct unix_diag_vfs *file = data;
    const struct unix_diag_rqlen *lengths = data;

    switch (attribute->rta_type) {
    case UNIX_DIAG_PEER:
        diag->has_peer = true;
        memcpy(&diag->peer, data, sizeof diag->peer);
        break;
    case UNIX_DIAG_VFS:
        diag->has_file = true;
        diag->file_ino = file->udiag_vfs_ino;
        break;
    case UNIX_DIAG_RQLEN:
        if (diag->state == DIAG_LISTEN)
            diag->backlog = lengths->udiag_wqueue;
        break;
    case UNIX_DIAG_SHUTDOWN:
        diag->shutdown = *(const uint8_t *)data;
        break;
    case UNIX_DIAG_ICONS:
        if (!size)
            break;
        free(diag->waiting);
        diag->waiting = malloc(size);
        if (!diag->waiting)
            return -ENOMEM;
        memcpy(diag->waiting, data, size);
        diag->n_waiting = (uint32_t)(size / sizeof *diag->waiting);
        break;
    }
    return 0;
}

static int take_message(struct description_set *set, const struct nlmsghdr *header)
{
    const struct unix_diag_msg *message = NLMSG_DATA(header);
    uint32_t count = (uint32_t)set->n_unix_sockets;
    struct unix_diag *diag = list_add(&set->unix_sockets, &count);

    if (!diag)
        return -ENOMEM;
    set->n_unix_sockets = count;
    diag->ino = message->udiag_ino;
    diag->type = message->udiag_type;
    diag->state = message->udiag_state;
    int left = (int)(header->nlmsg_len - NLMSG_LENGTH(sizeof *message)), rc = 0;
    for (const struct rtattr *at = (const struct rtattr *)(message + 1); RTA_OK(at, left) && !rc;
         at = RTA_NEXT(at, left))
        rc = take_attribute(diag, at);
    return rc;
}

static int compare_diag(const void *a, const void *b)
{
    const struct unix_diag *x = a, *y = b;
    return x->ino < y->ino ? -1 : x->ino > y->ino;
}

/* 1: the answer is complete. */
static int take_answer(struct description_set *set, char *answer, ssize_t size)
{
    for (struct nlmsghdr *at = (struct nlmsghdr *)answer; NLMSG_OK(at, size); at = NLMSG_NEXT(at, size)) {
        if (at->nlmsg_type == NLMSG_DONE)
            return 1;
        if (at->nlmsg_type == NLMSG_ERROR)
            return ((struct nlmsgerr *)NLMSG_DATA(at))->error;
        int rc = at->nlmsg_type == SOCK_DIAG_BY_FAMILY ? take_message(set, at) : 0;
        if (rc)
            return rc;
    }
    return 0;
}

int unix_diag_load(struct caesura_capture *capture, struct caesura_error *err)
{
    struct description_set *set = capture->descriptions;
    struct {
        struct nlmsghdr header;
        struct unix_diag_req request;
    } question = {
        .header = {.nlmsg_len = sizeof question,
                   .nlmsg_type = SOCK_DIAG_BY_FAMILY,
                   .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP},
        .request = {.sdiag_family = AF_UNIX,
                    .udiag_states = ~0u,
                    .udiag_show = UDIAG_SHOW_PEER | UDIAG_SHOW_RQLEN | UDIAG_SHOW_ICONS | UDIAG_SHOW_VFS},
    };

    if (set->unix_loaded)
        return 0;
    auto_fd fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
    auto_memory char *answer = malloc(1 << 16);
    if (!answer)
        return error_set(err, CAESURA_ENOMEM_, "cannot hold the list of unix sockets");
    int rc = fd < 0 || send(fd, &question, sizeof question, 0) < 0 ? -errno : 0;
    while (!rc) {
        ssize_t size = recv(fd, answer, 1 << 16, 0);
        if (size < 0 && errno == EINTR)
            continue;
        rc = size < 0 ? -errno : take_answer(set, answer, size);
    }
    if (rc < 0) {
        error_errno(err, -rc, "the kernel does not tell which unix sockets are connected");
        return error_hint(err, "load the kernel module unix_diag");
    }
    if (set->n_unix_sockets)
        qsort(set->unix_sockets, set->n_unix_sockets, sizeof *set->unix_sockets, compare_diag);
    set->unix_loaded = true;
    return 0;
}

const struct unix_diag *unix_diag_find(const struct caesura_capture *capture, uint64_t ino)
{
    const struct description_set *set = capture->descriptions;
    struct unix_diag key = {.ino = (uint32_t)ino};

    return set->n_unix_sockets ? bsearch(&key, set->unix_sockets, set->n_unix_sockets, sizeof key, compare_diag) : NULL;
}
