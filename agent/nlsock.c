/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Netlink dumps and events: see nlsock.h. */

#include <config.h>
#include "nlsock.h"

#include <errno.h>
#include <linux/netlink.h>
#include <sys/socket.h>
#include "netlink.h"
#include "netlink-socket.h"
#include "openvswitch/ofpbuf.h"
#include "openvswitch/vlog.h"
#include "util.h"

VLOG_DEFINE_THIS_MODULE(nlsock);

/* How often a dump that was interrupted is done again. */
#define DUMP_ATTEMPTS 5

/* Datagrams that nlsock_events() takes in at once. */
#define MAX_EVENTS 256

static int dump_once(struct nl_sock *, struct ofpbuf *request,
                     struct ofpbuf *replies);

int
nlsock_open(int protocol, const unsigned int groups[], size_t n,
            struct nl_sock **sockp)
{
    int error = nl_sock_create(protocol, sockp);

    for (size_t i = 0; !error && i < n; i++) {
        error = nl_sock_join_mcgroup(*sockp, groups[i]);
        if (error) {
            nl_sock_destroy(*sockp);
            *sockp = NULL;
        }
    }
    return error;
}

int
nlsock_dump(int protocol, struct ofpbuf *request, struct ofpbuf *replies)
{
    size_t size = replies->size;
    struct nl_sock *sock;
    int error = nl_sock_create(protocol, &sock);
    int one = 1;

    if (error) {
        return error;
    }
    setsockopt(nl_sock_fd(sock), SOL_NETLINK, NETLINK_GET_STRICT_CHK,
               &one, sizeof one);
    for (int i = 0; i < DUMP_ATTEMPTS; i++) {
        replies->size = size;
        error = dump_once(sock, request, replies);
        if (error != EINTR) {
            break;
        }
    }
    nl_sock_destroy(sock);
    return error;
}

static int
dump_once(struct nl_sock *sock, struct ofpbuf *request,
          struct ofpbuf *replies)
{
    nl_msg_nlmsghdr(request)->nlmsg_flags |= NLM_F_REQUEST | NLM_F_DUMP;

    int error = nl_sock_send(sock, request, true);
    if (error) {
        return error;
    }

    struct ofpbuf buf, msg;
    bool interrupted = false;
    bool done = false;

    ofpbuf_init(&buf, 32768);
    while (!done && !error) {
        error = nl_sock_recv(sock, &buf, NULL, true);
        while (!error && !done && nl_msg_next(&buf, &msg)) {
            const struct nlmsghdr *nlh = nl_msg_nlmsghdr(&msg);

            interrupted |= (nlh->nlmsg_flags & NLM_F_DUMP_INTR) != 0;
            if (nlh->nlmsg_type == NLMSG_DONE) {
                done = true;
            } else if (!nl_msg_nlmsgerr(&msg, &error, NULL)) {
                ofpbuf_put(replies, msg.data, msg.size);
            } else {
                done = true;
            }
        }
    }
    ofpbuf_uninit(&buf);
    return error ? error : interrupted ? EINTR : 0;
}

int
nlsock_dump_all(int protocol, uint16_t type, struct ofpbuf *replies)
{
    struct ofpbuf request;

    ofpbuf_init(&request, 0);
    nl_msg_put_nlmsghdr(&request, 0, type, 0);
    int error = nlsock_dump(protocol, &request, replies);
    ofpbuf_uninit(&request);
    return error;
}

bool
nlsock_events(struct nl_sock *sock,
              void (*cb)(const struct ofpbuf *msg, void *aux), void *aux)
{
    static struct vlog_rate_limit rl = VLOG_RATE_LIMIT_INIT(1, 5);
    struct ofpbuf buf, msg;
    bool lost = false;

    ofpbuf_init(&buf, 4096);
    for (int i = 0; i < MAX_EVENTS; i++) {
        int error = nl_sock_recv(sock, &buf, NULL, false);
        if (error == EAGAIN) {
            break;
        } else if (error) {
            VLOG_INFO_RL(&rl, "events were lost (%s), everything is read "
                         "again", ovs_strerror(error));
            lost = true;
            continue;
        }
        while (nl_msg_next(&buf, &msg)) {
            cb(&msg, aux);
        }
    }
    ofpbuf_uninit(&buf);
    return lost;
}
