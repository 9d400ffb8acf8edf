/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The guard's XFRM policies: see guard-xfrm.h. */

#include <config.h>
#include "guard-xfrm.h"

#include <errno.h>
#include <netinet/in.h>
#include <linux/netlink.h>
#include <linux/xfrm.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "agent/nlsock.h"
#include "guard.h"
#include "netlink.h"
#include "netlink-socket.h"
#include "openvswitch/ofpbuf.h"
#include "util.h"

static const uint8_t directions[] = {
    XFRM_POLICY_OUT, XFRM_POLICY_IN, XFRM_POLICY_FWD
};
static const uint16_t families[] = { AF_INET, AF_INET6 };

#define N_PER_TUNNEL (ARRAY_SIZE(directions) * ARRAY_SIZE(families))

static size_t make_policies(const struct guard_tunnel *, size_t n,
                            struct xfrm_userpolicy_info **);
static int change_policy(uint16_t type, const struct xfrm_userpolicy_info *);

/* What guard_xfrm_sync() compares: all that we ever set. */
static bool
policy_equals(const struct xfrm_userpolicy_info *a,
              const struct xfrm_userpolicy_info *b)
{
    return (a->dir == b->dir && a->action == b->action
            && a->priority == b->priority
            && a->sel.family == b->sel.family
            && a->sel.proto == b->sel.proto
            && a->sel.dport == b->sel.dport
            && a->sel.dport_mask == b->sel.dport_mask
            && a->sel.sport_mask == b->sel.sport_mask
            && a->sel.prefixlen_d == b->sel.prefixlen_d
            && a->sel.prefixlen_s == b->sel.prefixlen_s
            && a->sel.ifindex == b->sel.ifindex);
}

/* The policy that 'msg' tells, or NULL if it is not of our priority. */
static const struct xfrm_userpolicy_info *
parse_policy(const struct ofpbuf *msg)
{
    const struct xfrm_userpolicy_info *p
        = ofpbuf_at(msg, NLMSG_HDRLEN, sizeof *p);

    return (nl_msg_nlmsghdr(msg)->nlmsg_type == XFRM_MSG_NEWPOLICY
            && p && p->priority == GUARD_XFRM_PRIORITY
            && p->dir < XFRM_POLICY_MAX) ? p : NULL;
}

bool
guard_xfrm_is_supported(void)
{
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_XFRM);

    if (fd < 0) {
        return false;
    }
    close(fd);
    return true;
}

char *
guard_xfrm_sync(const struct guard_tunnel *tunnels, size_t n,
                unsigned int *missing)
{
    if (!guard_xfrm_is_supported()) {
        return n ? xstrdup("the kernel has no XFRM; load module xfrm_user")
                 : NULL;
    }

    struct xfrm_userpolicy_info *wanted;
    size_t n_wanted = make_policies(tunnels, n, &wanted);
    bool *present = xcalloc(MAX(n_wanted, 1), sizeof *present);
    struct ofpbuf request, replies, msg;
    const char *what = "list";

    ofpbuf_init(&request, 0);
    ofpbuf_init(&replies, 4096);
    nl_msg_put_nlmsghdr(&request, 0, XFRM_MSG_GETPOLICY, NLM_F_REQUEST);
    memset(nl_msg_put_uninit(&request, sizeof(struct xfrm_userpolicy_id)), 0,
           sizeof(struct xfrm_userpolicy_id));
    int error = nlsock_dump(NETLINK_XFRM, &request, &replies);

    /* Missing ones first: there is no moment without.  Where one of ours that
     * somebody has altered stands in the way, it goes now, and the next call
     * adds what is missing. */
    int add_error = 0;
    struct ofpbuf rest = replies;
    while (!error && nl_msg_next(&rest, &msg)) {
        const struct xfrm_userpolicy_info *p = parse_policy(&msg);

        for (size_t i = 0; p && i < n_wanted; i++) {
            present[i] |= policy_equals(p, &wanted[i]);
        }
    }
    for (size_t i = 0; !error && i < n_wanted; i++) {
        if (!present[i]) {
            int retval = change_policy(XFRM_MSG_NEWPOLICY, &wanted[i]);

            add_error = retval ? retval : add_error;
            ++*missing;
        }
    }
    rest = replies;
    while (!error && nl_msg_next(&rest, &msg)) {
        const struct xfrm_userpolicy_info *p = parse_policy(&msg);
        bool stale = p != NULL;

        for (size_t i = 0; stale && i < n_wanted; i++) {
            stale = !policy_equals(p, &wanted[i]);
        }
        if (stale) {
            what = "remove";
            error = change_policy(XFRM_MSG_DELPOLICY, p);
        }
    }
    if (add_error && !error) {
        what = "add";
        error = add_error;
    }
    ofpbuf_uninit(&replies);
    ofpbuf_uninit(&request);
    free(present);
    free(wanted);

    if (error == EEXIST) {
        return xasprintf("another XFRM policy for all tunnel packets stands "
                         "in the way; remove it (ip xfrm policy)");
    }
    return error ? xasprintf("cannot %s XFRM policies: %s", what,
                             ovs_strerror(error)) : NULL;
}

bool
guard_xfrm_is_affected(const struct ofpbuf *event)
{
    const struct xfrm_userpolicy_info *p;
    const struct xfrm_userpolicy_id *id;
    const struct xfrm_selector *sel = NULL;

    switch (nl_msg_nlmsghdr(event)->nlmsg_type) {
    case XFRM_MSG_NEWPOLICY:
    case XFRM_MSG_UPDPOLICY:
        p = ofpbuf_at(event, NLMSG_HDRLEN, sizeof *p);
        sel = p ? &p->sel : NULL;
        break;

    case XFRM_MSG_DELPOLICY:
        id = ofpbuf_at(event, NLMSG_HDRLEN, sizeof *id);
        sel = id ? &id->sel : NULL;
        break;

    default:
        return true;
    }

    /* Policies of SAs, which come and go often, name their two nodes. */
    return !sel || (!sel->prefixlen_d && !sel->prefixlen_s);
}

static size_t
make_policies(const struct guard_tunnel *tunnels, size_t n,
              struct xfrm_userpolicy_info **policies)
{
    struct xfrm_userpolicy_info *p;

    *policies = p = xcalloc(MAX(n, 1) * N_PER_TUNNEL, sizeof *p);
    for (size_t i = 0; i < n * N_PER_TUNNEL; i++, p++) {
        const struct guard_tunnel *tunnel = &tunnels[i / N_PER_TUNNEL];
        size_t j = i % N_PER_TUNNEL;

        p->sel.family = families[j % ARRAY_SIZE(families)];
        p->sel.proto = tunnel->protocol;
        p->sel.dport = htons(tunnel->port);
        p->sel.dport_mask = tunnel->port ? OVS_BE16_MAX : 0;
        p->lft.soft_byte_limit = p->lft.hard_byte_limit = XFRM_INF;
        p->lft.soft_packet_limit = p->lft.hard_packet_limit = XFRM_INF;
        p->priority = GUARD_XFRM_PRIORITY;
        p->dir = directions[j / ARRAY_SIZE(families)];
        p->action = XFRM_POLICY_BLOCK;
        p->share = XFRM_SHARE_ANY;
    }
    return n * N_PER_TUNNEL;
}

/* Adds 'policy' (XFRM_MSG_NEWPOLICY) or removes it (XFRM_MSG_DELPOLICY; as
 * the kernel told it). */
static int
change_policy(uint16_t type, const struct xfrm_userpolicy_info *policy)
{
    struct ofpbuf request;

    ofpbuf_init(&request, 0);
    nl_msg_put_nlmsghdr(&request, sizeof *policy, type,
                        NLM_F_REQUEST | NLM_F_ACK);
    if (type == XFRM_MSG_NEWPOLICY) {
        memcpy(nl_msg_put_uninit(&request, sizeof *policy), policy,
               sizeof *policy);
    } else {
        struct xfrm_userpolicy_id *id;

        id = nl_msg_put_uninit(&request, sizeof *id);
        memset(id, 0, sizeof *id);
        id->sel = policy->sel;
        id->index = policy->index;
        id->dir = policy->dir;
    }
    int error = nl_transact(NETLINK_XFRM, &request, NULL);
    ofpbuf_uninit(&request);
    return error;
}
