/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Makes the kernel hold what the host edge wants: see host-sync.h. */

#include <config.h>
#include "host-sync.h"

#include <errno.h>
#include <linux/fib_rules.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <string.h>
#include "flows/pipeline.h"
#include "host.h"
#include "host-netlink.h"
#include "netlink.h"
#include "netlink-socket.h"
#include "nlsock.h"
#include "openvswitch/ofpbuf.h"
#include "packets.h"
#include "sset.h"
#include "util.h"

/* Changes that one call of host_sync() makes. */
#define MAX_CHANGES 256

/* The metrics that the kernel gives to routes for which we ask none. */
#define METRIC_V4 0
#define METRIC_V6 1024

/* One comparison with the kernel. */
struct sync {
    const struct host_wanted *wanted;
    const struct host_link *gateway;
    size_t n_changes;
    char *error;                /* The first, or NULL. */
};

static void sync_link(struct sync *);
static void sync_addresses(const struct host_netlink *, struct sync *);
static void sync_neighbors(struct sync *);
static void sync_routes(struct sync *);
static void sync_rules(struct sync *);

char *
host_sync(const struct host_netlink *hn, const struct host_wanted *wanted,
          size_t *n_changes)
{
    struct sync sync = {
        .wanted = wanted, .gateway = host_netlink_gateway(hn)
    };

    if (!sync.gateway) {
        return xstrdup("there is no device "HOST_GATEWAY" yet");
    }
    sync_link(&sync);
    sync_addresses(hn, &sync);
    sync_neighbors(&sync);
    sync_routes(&sync);
    sync_rules(&sync);
    *n_changes += sync.n_changes;
    return sync.error;
}

static int
family_of(const struct in6_addr *a)
{
    return ip_is_v4(a) ? AF_INET : AF_INET6;
}

static void
put_address(struct ofpbuf *request, uint16_t type, const struct in6_addr *a)
{
    if (ip_is_v4(a)) {
        nl_msg_put_be32(request, type, in6_addr_get_mapped_ipv4(a));
    } else {
        nl_msg_put_in6_addr(request, type, a);
    }
}

/* Notes that the kernel differs.  False if enough has been changed for now. */
static bool
may_change(struct sync *sync)
{
    return sync->n_changes++ < MAX_CHANGES;
}

/* Sends 'request', which it frees.  'what' and 'dst' (or NULL) say what that
 * changes; 'ignored' is an error that is none. */
static void
change(struct sync *sync, struct ofpbuf *request, int ignored,
       const char *what, const struct ip_prefix *dst)
{
    nl_msg_nlmsghdr(request)->nlmsg_flags |= NLM_F_REQUEST | NLM_F_ACK;

    int error = nl_transact(NETLINK_ROUTE, request, NULL);
    ofpbuf_uninit(request);
    if (error && error != ignored && !sync->error) {
        char *s = dst ? ip_prefix_to_string(dst) : xstrdup(HOST_GATEWAY);

        sync->error = xasprintf("cannot %s %s: %s", what, s,
                                (error == EEXIST
                                 ? "another that is not Lateen's stands in "
                                   "the way" : ovs_strerror(error)));
        free(s);
    }
}

static void
sync_link(struct sync *sync)
{
    const struct host_link *gateway = sync->gateway;
    unsigned int mtu = sync->wanted->mtu;
    struct ofpbuf request;

    if ((gateway->up && (!mtu || gateway->mtu == mtu)) || !may_change(sync)) {
        return;
    }
    ofpbuf_init(&request, 0);
    nl_msg_put_nlmsghdr(&request, 0, RTM_NEWLINK, 0);
    struct ifinfomsg *ifi = nl_msg_put_uninit(&request, sizeof *ifi);
    memset(ifi, 0, sizeof *ifi);
    ifi->ifi_index = gateway->index;
    ifi->ifi_flags = ifi->ifi_change = IFF_UP;
    if (mtu) {
        nl_msg_put_u32(&request, IFLA_MTU, mtu);
    }
    change(sync, &request, 0, "set MTU and state of", NULL);
}

static void
change_address(struct sync *sync, uint16_t type, const struct ip_prefix *p)
{
    struct ofpbuf request;

    ofpbuf_init(&request, 0);
    nl_msg_put_nlmsghdr(&request, 0, type,
                        type == RTM_NEWADDR ? NLM_F_CREATE | NLM_F_EXCL : 0);
    struct ifaddrmsg *ifa = nl_msg_put_uninit(&request, sizeof *ifa);
    memset(ifa, 0, sizeof *ifa);
    ifa->ifa_family = family_of(&p->addr);
    ifa->ifa_prefixlen = ip_prefix_length(p);
    ifa->ifa_flags = ip_is_v4(&p->addr) ? 0 : IFA_F_NODAD;
    ifa->ifa_scope = RT_SCOPE_UNIVERSE;
    ifa->ifa_index = sync->gateway->index;
    put_address(&request, IFA_LOCAL, &p->addr);
    put_address(&request, IFA_ADDRESS, &p->addr);
    /* What is there or gone already, an event is about to tell. */
    change(sync, &request, type == RTM_NEWADDR ? EEXIST : EADDRNOTAVAIL,
           type == RTM_NEWADDR ? "add address" : "remove address", p);
}

/* Link-local addresses are the kernel's. */
static void
sync_addresses(const struct host_netlink *hn, struct sync *sync)
{
    const struct ip_prefix_list *wanted = &sync->wanted->addresses;
    bool *present = xcalloc(MAX(wanted->n, 1), sizeof *present);
    const struct host_address *address;

    HMAP_FOR_EACH (address, hmap_node, &hn->addresses) {
        if (address->index != sync->gateway->index
            || address->scope == RT_SCOPE_LINK) {
            continue;
        }
        bool found = false;
        for (size_t i = 0; i < wanted->n; i++) {
            if (ip_prefix_equals(&wanted->elems[i], &address->prefix)) {
                present[i] = found = true;
            }
        }
        if (!found && may_change(sync)) {
            change_address(sync, RTM_DELADDR, &address->prefix);
        }
    }
    for (size_t i = 0; i < wanted->n; i++) {
        if (!present[i] && may_change(sync)) {
            change_address(sync, RTM_NEWADDR, &wanted->elems[i]);
        }
    }
    free(present);
}

static void
change_neighbor(struct sync *sync, uint16_t type, const struct in6_addr *a)
{
    const struct ip_prefix p = { *a, 128 };
    const struct eth_addr mac = PEER_MAC;
    struct ofpbuf request;

    ofpbuf_init(&request, 0);
    nl_msg_put_nlmsghdr(&request, 0, type,
                        (type == RTM_NEWNEIGH ? NLM_F_CREATE | NLM_F_REPLACE
                         : 0));
    struct ndmsg *ndm = nl_msg_put_uninit(&request, sizeof *ndm);
    memset(ndm, 0, sizeof *ndm);
    ndm->ndm_family = family_of(a);
    ndm->ndm_ifindex = sync->gateway->index;
    ndm->ndm_state = NUD_PERMANENT;
    put_address(&request, NDA_DST, a);
    nl_msg_put_unspec(&request, NDA_LLADDR, &mac, sizeof mac);
    change(sync, &request, type == RTM_NEWNEIGH ? 0 : ENOENT,
           type == RTM_NEWNEIGH ? "add neighbor" : "remove neighbor", &p);
}

static void
sync_neighbors(struct sync *sync)
{
    const struct ip_prefix_list *wanted = &sync->wanted->neighbors;
    bool *present = xcalloc(MAX(wanted->n, 1), sizeof *present);
    struct ofpbuf request, replies, msg;

    ofpbuf_init(&request, 0);
    ofpbuf_init(&replies, 4096);
    nl_msg_put_nlmsghdr(&request, 0, RTM_GETNEIGH, 0);
    memset(nl_msg_put_uninit(&request, sizeof(struct ndmsg)), 0,
           sizeof(struct ndmsg));
    nl_msg_put_u32(&request, NDA_IFINDEX, sync->gateway->index);
    int error = nlsock_dump(NETLINK_ROUTE, &request, &replies);

    struct ofpbuf rest = replies;
    while (!error && nl_msg_next(&rest, &msg)) {
        const struct ndmsg *ndm = ofpbuf_at(&msg, NLMSG_HDRLEN, sizeof *ndm);

        if (!ndm || ndm->ndm_ifindex != sync->gateway->index
            || (ndm->ndm_family != AF_INET && ndm->ndm_family != AF_INET6)
            || !(ndm->ndm_state & NUD_PERMANENT)
            || !host_netlink_is_peer(&msg)) {
            continue;
        }
        const struct nlattr *attr = host_netlink_attr(&msg, sizeof *ndm,
                                                      NDA_DST);
        struct in6_addr a = host_netlink_address(attr, ndm->ndm_family);
        const struct ip_prefix *found
            = host_wanted_find_neighbor(sync->wanted, &a);

        if (found) {
            present[found - wanted->elems] = true;
        } else if (may_change(sync)) {
            change_neighbor(sync, RTM_DELNEIGH, &a);
        }
    }
    for (size_t i = 0; !error && i < wanted->n; i++) {
        if (!present[i] && may_change(sync)) {
            change_neighbor(sync, RTM_NEWNEIGH, &wanted->elems[i].addr);
        }
    }
    if (error && !sync->error) {
        sync->error = xasprintf("cannot list neighbors: %s",
                                ovs_strerror(error));
    }
    ofpbuf_uninit(&replies);
    ofpbuf_uninit(&request);
    free(present);
}

/* A route as the kernel tells it. */
struct kernel_route {
    struct host_route route;
    int oif;
    uint32_t metric;
    bool simple;                /* A unicast route with one next hop. */
};

/* Takes the route that 'msg' tells.  False if it is not one of ours. */
static bool
parse_route(const struct ofpbuf *msg, struct kernel_route *kr)
{
    const struct rtmsg *rtm = ofpbuf_at(msg, NLMSG_HDRLEN, sizeof *rtm);

    if (!rtm || nl_msg_nlmsghdr(msg)->nlmsg_type != RTM_NEWROUTE
        || rtm->rtm_protocol != HOST_RTPROT
        || rtm->rtm_flags & RTM_F_CLONED
        || (rtm->rtm_family != AF_INET && rtm->rtm_family != AF_INET6)) {
        return false;
    }

    const struct nlattr *via, *src, *oif, *metric;
    via = host_netlink_attr(msg, sizeof *rtm, RTA_GATEWAY);
    src = host_netlink_attr(msg, sizeof *rtm, RTA_PREFSRC);
    oif = host_netlink_attr(msg, sizeof *rtm, RTA_OIF);
    metric = host_netlink_attr(msg, sizeof *rtm, RTA_PRIORITY);
    kr->route.dst = host_netlink_route(msg, &kr->route.table);
    kr->route.via = host_netlink_address(via, rtm->rtm_family);
    kr->route.src = (src ? host_netlink_address(src, rtm->rtm_family)
                     : in6addr_any);
    kr->oif = oif ? nl_attr_get_u32(oif) : 0;
    kr->metric = metric ? nl_attr_get_u32(metric) : 0;
    kr->simple = rtm->rtm_type == RTN_UNICAST && via && oif;
    return true;
}

static uint32_t
default_metric(const struct in6_addr *dst)
{
    return ip_is_v4(dst) ? METRIC_V4 : METRIC_V6;
}

/* Adds 'route', or removes what the kernel holds so. */
static void
change_route(struct sync *sync, uint16_t type, const struct host_route *route,
             int oif, uint32_t metric)
{
    struct ofpbuf request;

    ofpbuf_init(&request, 0);
    nl_msg_put_nlmsghdr(&request, 0, type,
                        type == RTM_NEWROUTE ? NLM_F_CREATE | NLM_F_EXCL : 0);
    struct rtmsg *rtm = nl_msg_put_uninit(&request, sizeof *rtm);
    memset(rtm, 0, sizeof *rtm);
    rtm->rtm_family = family_of(&route->dst.addr);
    rtm->rtm_dst_len = ip_prefix_length(&route->dst);
    rtm->rtm_table = RT_TABLE_UNSPEC;
    rtm->rtm_protocol = HOST_RTPROT;
    if (type == RTM_NEWROUTE) {
        rtm->rtm_scope = RT_SCOPE_UNIVERSE;
        rtm->rtm_type = RTN_UNICAST;
        rtm->rtm_flags = RTNH_F_ONLINK;
        put_address(&request, RTA_GATEWAY, &route->via);
        if (ipv6_addr_is_set(&route->src)) {
            put_address(&request, RTA_PREFSRC, &route->src);
        }
    } else {
        rtm->rtm_scope = RT_SCOPE_NOWHERE;
        nl_msg_put_u32(&request, RTA_PRIORITY, metric);
    }
    nl_msg_put_u32(&request, RTA_TABLE, route->table);
    put_address(&request, RTA_DST, &route->dst.addr);
    if (oif) {
        nl_msg_put_u32(&request, RTA_OIF, oif);
    }
    change(sync, &request, type == RTM_NEWROUTE ? 0 : ESRCH,
           type == RTM_NEWROUTE ? "add route" : "remove route", &route->dst);
}

/* Appends all of our routes (RTM_GETROUTE), or everybody's rules
 * (RTM_GETRULE), of 'family' to 'replies'. */
static int
dump(uint16_t type, uint8_t family, struct ofpbuf *replies)
{
    struct ofpbuf request;

    ofpbuf_init(&request, 0);
    nl_msg_put_nlmsghdr(&request, 0, type, 0);
    if (type == RTM_GETROUTE) {
        struct rtmsg *rtm = nl_msg_put_uninit(&request, sizeof *rtm);

        memset(rtm, 0, sizeof *rtm);
        rtm->rtm_family = family;
        rtm->rtm_protocol = HOST_RTPROT;
    } else {
        struct fib_rule_hdr *frh = nl_msg_put_uninit(&request, sizeof *frh);

        memset(frh, 0, sizeof *frh);
        frh->family = family;
    }
    int error = nlsock_dump(NETLINK_ROUTE, &request, replies);
    ofpbuf_uninit(&request);
    return error;
}

/* Appends those of both families.  On failure, notes 'what' cannot be listed
 * and returns false. */
static bool
dump_both(struct sync *sync, uint16_t type, const char *what,
          struct ofpbuf *replies)
{
    int error = dump(type, AF_INET, replies);

    if (!error) {
        error = dump(type, AF_INET6, replies);
    }
    if (error && !sync->error) {
        sync->error = xasprintf("cannot list %s: %s", what,
                                ovs_strerror(error));
    }
    return !error;
}

static void
sync_routes(struct sync *sync)
{
    const struct host_wanted *wanted = sync->wanted;
    bool *present = xcalloc(MAX(wanted->n_routes, 1), sizeof *present);
    struct ofpbuf replies, msg;

    ofpbuf_init(&replies, 4096);
    bool ok = dump_both(sync, RTM_GETROUTE, "routes", &replies);
    struct ofpbuf rest = replies;
    while (ok && nl_msg_next(&rest, &msg)) {
        struct kernel_route kr;

        if (!parse_route(&msg, &kr)) {
            continue;
        }
        const struct host_route *r
            = host_wanted_find_route(wanted, &kr.route.dst, kr.route.table);

        if (r && kr.simple && kr.oif == sync->gateway->index
            && kr.metric == default_metric(&r->dst.addr)
            && IN6_ARE_ADDR_EQUAL(&kr.route.via, &r->via)
            && IN6_ARE_ADDR_EQUAL(&kr.route.src, &r->src)) {
            present[r - wanted->routes] = true;
        } else if (may_change(sync)) {
            change_route(sync, RTM_DELROUTE, &kr.route, kr.oif, kr.metric);
        }
    }
    for (size_t i = 0; ok && i < wanted->n_routes; i++) {
        if (!present[i] && may_change(sync)) {
            change_route(sync, RTM_NEWROUTE, &wanted->routes[i],
                         sync->gateway->index, 0);
        }
    }
    ofpbuf_uninit(&replies);
    free(present);
}

/* A routing rule as the kernel tells it. */
struct kernel_rule {
    struct host_rule rule;
    const char *iif;            /* In the message; NULL if of any. */
    uint32_t mask;              /* Of the mark. */
    uint8_t action;             /* FR_ACT_*. */
    bool simple;                /* Asks for nothing else. */
};

static struct ip_prefix
parse_rule_prefix(const struct ofpbuf *msg, uint16_t type, unsigned int length,
                  int family)
{
    return (struct ip_prefix) {
        host_netlink_address(host_netlink_attr(msg,
                                               sizeof(struct fib_rule_hdr),
                                               type), family),
        length + (family == AF_INET ? 96 : 0)
    };
}

static uint32_t
parse_rule_u32(const struct ofpbuf *msg, uint16_t type, uint32_t otherwise)
{
    const struct nlattr *attr = host_netlink_attr(
        msg, sizeof(struct fib_rule_hdr), type);

    return attr ? nl_attr_get_u32(attr) : otherwise;
}

/* Takes the rule that 'msg' tells.  False if it is not one of ours. */
static bool
parse_rule(const struct ofpbuf *msg, struct kernel_rule *kr)
{
    const struct fib_rule_hdr *frh = ofpbuf_at(msg, NLMSG_HDRLEN, sizeof *frh);
    const struct nlattr *protocol, *iif;

    if (!frh || (frh->family != AF_INET && frh->family != AF_INET6)) {
        return false;
    }
    protocol = host_netlink_attr(msg, sizeof *frh, FRA_PROTOCOL);
    iif = host_netlink_attr(msg, sizeof *frh, FRA_IIFNAME);
    if (!protocol || nl_attr_get_u8(protocol) != HOST_RTPROT) {
        return false;
    }
    kr->iif = iif ? nl_attr_get_string(iif) : NULL;
    kr->mask = parse_rule_u32(msg, FRA_FWMASK, 0);
    kr->action = frh->action;
    kr->simple = !frh->flags;
    kr->rule = (struct host_rule) {
        .from = parse_rule_prefix(msg, FRA_SRC, frh->src_len, frh->family),
        .to = parse_rule_prefix(msg, FRA_DST, frh->dst_len, frh->family),
        .by_gateway = iif,
        .mark = parse_rule_u32(msg, FRA_FWMARK, 0),
        .priority = parse_rule_u32(msg, FRA_PRIORITY, 0),
        .table = parse_rule_u32(msg, FRA_TABLE, frh->table),
    };
    return true;
}

static struct kernel_rule
wanted_rule(const struct host_rule *rule)
{
    return (struct kernel_rule) {
        .rule = *rule,
        .iif = rule->by_gateway ? HOST_GATEWAY : NULL,
        .mask = rule->mark,
        .action = rule->table ? FR_ACT_TO_TBL : FR_ACT_BLACKHOLE,
        .simple = true,
    };
}

static bool
kernel_rule_equals(const struct kernel_rule *a, const struct kernel_rule *b)
{
    return (a->simple == b->simple && a->action == b->action
            && a->mask == b->mask && a->rule.mark == b->rule.mark
            && a->rule.priority == b->rule.priority
            && a->rule.table == b->rule.table
            && ip_prefix_equals(&a->rule.from, &b->rule.from)
            && ip_prefix_equals(&a->rule.to, &b->rule.to)
            && nullable_string_is_equal(a->iif, b->iif));
}

/* Adds 'kr', or removes what the kernel holds so. */
static void
change_rule(struct sync *sync, uint16_t type, const struct kernel_rule *kr)
{
    const struct host_rule *rule = &kr->rule;
    struct ofpbuf request;

    ofpbuf_init(&request, 0);
    nl_msg_put_nlmsghdr(&request, 0, type,
                        type == RTM_NEWRULE ? NLM_F_CREATE | NLM_F_EXCL : 0);
    struct fib_rule_hdr *frh = nl_msg_put_uninit(&request, sizeof *frh);
    memset(frh, 0, sizeof *frh);
    frh->family = family_of(&rule->from.addr);
    frh->action = kr->action;
    frh->src_len = ip_prefix_length(&rule->from);
    frh->dst_len = ip_prefix_length(&rule->to);
    int src_len = frh->src_len;
    int dst_len = frh->dst_len;
    nl_msg_put_u32(&request, FRA_PRIORITY, rule->priority);
    nl_msg_put_u8(&request, FRA_PROTOCOL, HOST_RTPROT);
    if (rule->table) {
        nl_msg_put_u32(&request, FRA_TABLE, rule->table);
    }
    if (kr->mask) {
        nl_msg_put_u32(&request, FRA_FWMARK, rule->mark);
        nl_msg_put_u32(&request, FRA_FWMASK, kr->mask);
    }
    if (kr->iif) {
        nl_msg_put_string(&request, FRA_IIFNAME, kr->iif);
    }
    if (src_len) {
        put_address(&request, FRA_SRC, &rule->from.addr);
    }
    if (dst_len) {
        put_address(&request, FRA_DST, &rule->to.addr);
    }
    change(sync, &request, type == RTM_NEWRULE ? 0 : ENOENT,
           (type == RTM_NEWRULE ? "add the routing rule for"
            : "remove a routing rule for"), &rule->from);
}

static void
sync_rules(struct sync *sync)
{
    const struct host_wanted *wanted = sync->wanted;
    bool *present = xcalloc(MAX(wanted->n_rules, 1), sizeof *present);
    struct ofpbuf replies, msg;

    ofpbuf_init(&replies, 4096);
    bool ok = dump_both(sync, RTM_GETRULE, "routing rules", &replies);
    struct ofpbuf rest = replies;
    while (ok && nl_msg_next(&rest, &msg)) {
        struct kernel_rule kr;
        bool found = false;

        if (!parse_rule(&msg, &kr)) {
            continue;
        }
        for (size_t i = 0; i < wanted->n_rules; i++) {
            const struct kernel_rule rule = wanted_rule(&wanted->rules[i]);

            if (!present[i] && kernel_rule_equals(&kr, &rule)) {
                present[i] = found = true;
                break;
            }
        }
        if (!found && may_change(sync)) {
            change_rule(sync, RTM_DELRULE, &kr);
        }
    }
    for (size_t i = 0; ok && i < wanted->n_rules; i++) {
        if (!present[i] && may_change(sync)) {
            const struct kernel_rule rule = wanted_rule(&wanted->rules[i]);

            change_rule(sync, RTM_NEWRULE, &rule);
        }
    }
    ofpbuf_uninit(&replies);
    free(present);
}

/* Deletes the device 'name', if it is there. */
static void
remove_link(struct sync *sync, const char *name)
{
    struct ofpbuf request;

    ofpbuf_init(&request, 0);
    nl_msg_put_nlmsghdr(&request, 0, RTM_DELLINK,
                        NLM_F_REQUEST | NLM_F_ACK);
    struct ifinfomsg *ifi = nl_msg_put_uninit(&request, sizeof *ifi);
    memset(ifi, 0, sizeof *ifi);
    nl_msg_put_string(&request, IFLA_IFNAME, name);

    int error = nl_transact(NETLINK_ROUTE, &request, NULL);
    ofpbuf_uninit(&request);
    if (error && error != ENODEV && !sync->error) {
        sync->error = xasprintf("cannot delete a pod's device %s: %s", name,
                                ovs_strerror(error));
    }
}

char *
host_sync_remove(const struct sset *hostifs)
{
    const struct host_wanted nothing = { .nat = NULL };
    struct host_link gateway = { .index = if_nametoindex(HOST_GATEWAY) };
    struct sync sync;

    do {
        sync = (struct sync) { .wanted = &nothing, .gateway = &gateway };
        sync_rules(&sync);
        sync_routes(&sync);
        if (gateway.index) {
            sync_neighbors(&sync);
        }
    } while (sync.n_changes > MAX_CHANGES && !sync.error);

    const char *name;
    SSET_FOR_EACH (name, hostifs) {
        remove_link(&sync, name);
    }
    return sync.error;
}
