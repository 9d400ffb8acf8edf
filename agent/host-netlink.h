/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The host edge's ear: what rtnetlink tells of devices and addresses, and
 * whether something of ours may have changed.  Only the host edge uses
 * this. */

#ifndef LATEEN_HOST_NETLINK_H
#define LATEEN_HOST_NETLINK_H 1

#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>
#include "openvswitch/hmap.h"
#include "ip.h"

struct host_uplink;
struct host_wanted;
struct nl_sock;
struct nlattr;
struct ofpbuf;

/* A device. */
struct host_link {
    struct hmap_node hmap_node; /* In host_netlink's 'links'. */
    int index;
    char name[IFNAMSIZ];
    unsigned int mtu;
    bool up;
};

/* An address of a device. */
struct host_address {
    struct hmap_node hmap_node; /* In host_netlink's 'addresses'. */
    int index;                  /* Of its device. */
    struct ip_prefix prefix;
    uint8_t scope;              /* RT_SCOPE_*. */
    bool tentative;             /* Not yet to be used. */
};

/* What the kernel holds, as far as events have told. */
struct host_netlink {
    struct nl_sock *events;
    struct hmap links;          /* "struct host_link"s, by index. */
    struct hmap addresses;      /* "struct host_address"es. */
    bool reread;                /* Events were lost. */

    /* What events have told since the user cleared it. */
    bool facts_changed;         /* Devices or addresses. */
    bool stale;                 /* Something that is ours may have changed. */
};

/* Starts to listen.  Returns 0 or a positive errno value. */
int host_netlink_init(struct host_netlink *);
void host_netlink_destroy(struct host_netlink *);

/* Takes in what the kernel tells.  'wanted', or NULL, says which routes and
 * neighbors are of interest. */
void host_netlink_run(struct host_netlink *, const struct host_wanted *wanted);
void host_netlink_wait(const struct host_netlink *);

/* Whether this machine holds 'address', ready for use, on 'device' (NULL for
 * any).  If 'uplink' is nonnull, tells the device's name and MTU. */
bool host_netlink_find_address(const struct host_netlink *,
                               const struct in6_addr *address,
                               struct host_uplink *uplink);

/* The gateway device, or NULL while there is none. */
const struct host_link *host_netlink_gateway(const struct host_netlink *);

/* Reading messages: the attribute 'type' that follows a header of 'header'
 * bytes, or NULL; the address of 'family' in 'attr', or the unspecified one;
 * whether a message about a neighbor is about one of ours. */
const struct nlattr *host_netlink_attr(const struct ofpbuf *msg,
                                       size_t header, uint16_t type);
struct in6_addr host_netlink_address(const struct nlattr *attr, int family);
bool host_netlink_is_peer(const struct ofpbuf *msg);

/* The destination that a message about a route tells, and its table. */
struct ip_prefix host_netlink_route(const struct ofpbuf *msg, uint32_t *table);

#endif /* agent/host-netlink.h */
