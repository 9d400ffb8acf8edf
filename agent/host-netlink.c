/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What rtnetlink tells the host edge: see host-netlink.h. */

#include <config.h>
#include "host-netlink.h"

#include <errno.h>
#include <linux/fib_rules.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <string.h>
#include "flows/pipeline.h"
#include "hash.h"
#include "host.h"
#include "netlink.h"
#include "netlink-socket.h"
#include "nlsock.h"
#include "openvswitch/ofpbuf.h"
#include "openvswitch/poll-loop.h"
#include "packets.h"
#include "util.h"

static void read_all(struct host_netlink *);
static void take_event(const struct ofpbuf *, void *aux);

int
host_netlink_init(struct host_netlink *hn)
{
    static const unsigned int groups[] = {
        RTNLGRP_LINK, RTNLGRP_NEIGH, RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV4_ROUTE,
        RTNLGRP_IPV4_RULE, RTNLGRP_IPV6_IFADDR, RTNLGRP_IPV6_ROUTE,
        RTNLGRP_IPV6_RULE,
    };

    memset(hn, 0, sizeof *hn);
    hmap_init(&hn->links);
    hmap_init(&hn->addresses);
    hn->reread = true;
    return nlsock_open(NETLINK_ROUTE, groups, ARRAY_SIZE(groups),
                       &hn->events);
}

static void
clear_all(struct host_netlink *hn)
{
    struct host_link *link;
    struct host_address *address;

    HMAP_FOR_EACH_POP (link, hmap_node, &hn->links) {
        free(link);
    }
    HMAP_FOR_EACH_POP (address, hmap_node, &hn->addresses) {
        free(address);
    }
}

void
host_netlink_destroy(struct host_netlink *hn)
{
    clear_all(hn);
    hmap_destroy(&hn->links);
    hmap_destroy(&hn->addresses);
    nl_sock_destroy(hn->events);
}

/* What take_event() needs. */
struct event_ctx {
    struct host_netlink *hn;
    const struct host_wanted *wanted;
};

void
host_netlink_run(struct host_netlink *hn, const struct host_wanted *wanted)
{
    struct event_ctx ctx = { hn, wanted };

    if (nlsock_events(hn->events, take_event, &ctx)) {
        hn->reread = true;
    }
    if (hn->reread) {
        read_all(hn);
    }
}

void
host_netlink_wait(const struct host_netlink *hn)
{
    nl_sock_wait(hn->events, POLLIN);
    if (hn->reread) {
        poll_immediate_wake();
    }
}

/* Links and addresses. */

static struct host_link *
find_link(const struct host_netlink *hn, int index)
{
    struct host_link *link;

    HMAP_FOR_EACH_IN_BUCKET (link, hmap_node, hash_int(index, 0),
                             &hn->links) {
        if (link->index == index) {
            return link;
        }
    }
    return NULL;
}

const struct host_link *
host_netlink_gateway(const struct host_netlink *hn)
{
    const struct host_link *link;

    HMAP_FOR_EACH (link, hmap_node, &hn->links) {
        if (!strcmp(link->name, HOST_GATEWAY)) {
            return link;
        }
    }
    return NULL;
}

static uint32_t
hash_address(const struct in6_addr *a)
{
    return hash_bytes(a, sizeof *a, 0);
}

bool
host_netlink_find_address(const struct host_netlink *hn,
                          const struct in6_addr *a,
                          struct host_uplink *uplink)
{
    const struct host_address *address;

    HMAP_FOR_EACH_WITH_HASH (address, hmap_node, hash_address(a),
                             &hn->addresses) {
        const struct host_link *link = find_link(hn, address->index);

        if (!address->tentative && link
            && IN6_ARE_ADDR_EQUAL(&address->prefix.addr, a)) {
            if (uplink) {
                ovs_strlcpy(uplink->name, link->name, sizeof uplink->name);
                uplink->mtu = link->mtu;
            }
            return true;
        }
    }
    return false;
}

const struct nlattr *
host_netlink_attr(const struct ofpbuf *msg, size_t header, uint16_t type)
{
    return nl_attr_find(msg, NLMSG_HDRLEN + header, type);
}

struct in6_addr
host_netlink_address(const struct nlattr *attr, int family)
{
    struct in6_addr a = in6addr_any;

    if (family == AF_INET) {
        in6_addr_set_mapped_ipv4(&a, htonl(INADDR_ANY));
    }
    if (attr && family == AF_INET && nl_attr_get_size(attr) == 4) {
        in6_addr_set_mapped_ipv4(&a, nl_attr_get_be32(attr));
    } else if (attr && family == AF_INET6 && nl_attr_get_size(attr) == 16) {
        a = nl_attr_get_in6_addr(attr);
    }
    return a;
}

static void
take_link(struct host_netlink *hn, const struct ofpbuf *msg, bool gone)
{
    const struct ifinfomsg *ifi = ofpbuf_at(msg, NLMSG_HDRLEN, sizeof *ifi);

    if (!ifi || ifi->ifi_family != AF_UNSPEC) {
        return;                 /* A bridge telling about its port. */
    }
    const struct nlattr *name, *mtu;
    name = host_netlink_attr(msg, sizeof *ifi, IFLA_IFNAME);
    mtu = host_netlink_attr(msg, sizeof *ifi, IFLA_MTU);
    struct host_link *link = find_link(hn, ifi->ifi_index);
    struct host_link new = { .index = ifi->ifi_index };

    if (gone || !name || !mtu) {
        if (gone && link) {
            hn->facts_changed = true;
            hn->stale |= !strcmp(link->name, HOST_GATEWAY);
            hmap_remove(&hn->links, &link->hmap_node);
            free(link);
        }
        return;
    }
    ovs_strlcpy(new.name, nl_attr_get_string(name), sizeof new.name);
    new.mtu = nl_attr_get_u32(mtu);
    new.up = ifi->ifi_flags & IFF_UP;
    if (!link) {
        link = xzalloc(sizeof *link);
        hmap_insert(&hn->links, &link->hmap_node,
                    hash_int(ifi->ifi_index, 0));
    } else if (!strcmp(link->name, new.name) && link->mtu == new.mtu
               && link->up == new.up) {
        return;
    }
    hn->stale |= (!strcmp(link->name, HOST_GATEWAY)
                  || !strcmp(new.name, HOST_GATEWAY));
    hn->facts_changed = true;
    link->index = new.index;
    link->mtu = new.mtu;
    link->up = new.up;
    ovs_strlcpy(link->name, new.name, sizeof link->name);
}

static void
take_address(struct host_netlink *hn, const struct ofpbuf *msg, bool gone)
{
    const struct ifaddrmsg *ifa = ofpbuf_at(msg, NLMSG_HDRLEN, sizeof *ifa);

    if (!ifa || (ifa->ifa_family != AF_INET && ifa->ifa_family != AF_INET6)) {
        return;
    }

    /* Where a device has a peer's address, "local" is its own. */
    const struct nlattr *attr, *flags;
    attr = host_netlink_attr(msg, sizeof *ifa, IFA_LOCAL);
    flags = host_netlink_attr(msg, sizeof *ifa, IFA_FLAGS);
    const struct host_link *link = find_link(hn, ifa->ifa_index);
    struct host_address *address;

    if (!attr) {
        attr = host_netlink_attr(msg, sizeof *ifa, IFA_ADDRESS);
    }
    struct ip_prefix prefix = {
        .addr = host_netlink_address(attr, ifa->ifa_family),
        .plen = ifa->ifa_prefixlen + (ifa->ifa_family == AF_INET ? 96 : 0),
    };
    uint32_t hash = hash_address(&prefix.addr);
    HMAP_FOR_EACH_WITH_HASH (address, hmap_node, hash, &hn->addresses) {
        if (address->index == ifa->ifa_index
            && ip_prefix_equals(&address->prefix, &prefix)) {
            break;
        }
    }

    hn->facts_changed = true;
    hn->stale |= link && !strcmp(link->name, HOST_GATEWAY);
    if (gone) {
        if (address) {
            hmap_remove(&hn->addresses, &address->hmap_node);
            free(address);
        }
        return;
    }
    if (!address) {
        address = xzalloc(sizeof *address);
        address->index = ifa->ifa_index;
        address->prefix = prefix;
        hmap_insert(&hn->addresses, &address->hmap_node, hash);
    }
    address->scope = ifa->ifa_scope;
    address->tentative = ((flags ? nl_attr_get_u32(flags) : ifa->ifa_flags)
                          & (IFA_F_TENTATIVE | IFA_F_DADFAILED)) != 0;
}

/* Events. */

struct ip_prefix
host_netlink_route(const struct ofpbuf *msg, uint32_t *table)
{
    const struct rtmsg *rtm = ofpbuf_at_assert(msg, NLMSG_HDRLEN, sizeof *rtm);
    const struct nlattr *dst = host_netlink_attr(msg, sizeof *rtm, RTA_DST);
    const struct nlattr *attr = host_netlink_attr(msg, sizeof *rtm, RTA_TABLE);

    *table = attr ? nl_attr_get_u32(attr) : rtm->rtm_table;
    return (struct ip_prefix) {
        .addr = host_netlink_address(dst, rtm->rtm_family),
        .plen = rtm->rtm_dst_len + (rtm->rtm_family == AF_INET ? 96 : 0),
    };
}

bool
host_netlink_is_peer(const struct ofpbuf *msg)
{
    const struct nlattr *mac = host_netlink_attr(msg, sizeof(struct ndmsg),
                                         NDA_LLADDR);
    const struct eth_addr peer_mac = PEER_MAC;

    return (mac && nl_attr_get_size(mac) == ETH_ADDR_LEN
            && !memcmp(nl_attr_get(mac), &peer_mac, ETH_ADDR_LEN));
}

static void
take_event(const struct ofpbuf *msg, void *ctx_)
{
    struct event_ctx *ctx = ctx_;
    struct host_netlink *hn = ctx->hn;
    uint16_t type = nl_msg_nlmsghdr(msg)->nlmsg_type;

    switch (type) {
    case RTM_NEWLINK:
    case RTM_DELLINK:
        take_link(hn, msg, type == RTM_DELLINK);
        break;

    case RTM_NEWADDR:
    case RTM_DELADDR:
        take_address(hn, msg, type == RTM_DELADDR);
        break;

    case RTM_NEWROUTE:
    case RTM_DELROUTE: {
        const struct rtmsg *rtm = ofpbuf_at(msg, NLMSG_HDRLEN, sizeof *rtm);

        /* Another's route for a destination of ours may have replaced it. */
        if (rtm && ctx->wanted
            && (rtm->rtm_family == AF_INET || rtm->rtm_family == AF_INET6)) {
            uint32_t table;
            struct ip_prefix dst = host_netlink_route(msg, &table);

            hn->stale |= (rtm->rtm_protocol == HOST_RTPROT
                          || host_wanted_find_route(ctx->wanted, &dst,
                                                    table));
        }
        break;
    }

    case RTM_NEWRULE:
    case RTM_DELRULE:
        hn->stale = true;
        break;

    case RTM_NEWNEIGH:
    case RTM_DELNEIGH: {
        const struct ndmsg *ndm = ofpbuf_at(msg, NLMSG_HDRLEN, sizeof *ndm);
        const struct host_link *link
            = ndm ? find_link(hn, ndm->ndm_ifindex) : NULL;

        if (link && ctx->wanted && !strcmp(link->name, HOST_GATEWAY)) {
            const struct nlattr *dst
                = host_netlink_attr(msg, sizeof *ndm, NDA_DST);
            struct in6_addr a = host_netlink_address(dst, ndm->ndm_family);

            hn->stale |= (host_netlink_is_peer(msg)
                          || host_wanted_find_neighbor(ctx->wanted, &a));
        }
        break;
    }

    default:
        break;
    }
}

/* Reads all links and addresses. */
static void
read_all(struct host_netlink *hn)
{
    static const uint16_t types[] = { RTM_GETLINK, RTM_GETADDR };
    struct event_ctx ctx = { hn, NULL };

    clear_all(hn);
    hn->reread = false;
    for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
        size_t size = (types[i] == RTM_GETLINK ? sizeof(struct ifinfomsg)
                       : sizeof(struct ifaddrmsg));
        struct ofpbuf request, replies, msg;

        ofpbuf_init(&request, 0);
        ofpbuf_init(&replies, 4096);
        nl_msg_put_nlmsghdr(&request, size, types[i], NLM_F_REQUEST);
        memset(nl_msg_put_uninit(&request, size), 0, size);
        if (nlsock_dump(NETLINK_ROUTE, &request, &replies)) {
            hn->reread = true;
        }
        struct ofpbuf rest = replies;
        while (nl_msg_next(&rest, &msg)) {
            take_event(&msg, &ctx);
        }
        ofpbuf_uninit(&replies);
        ofpbuf_uninit(&request);
    }
    hn->facts_changed = true;
    hn->stale = true;
}
