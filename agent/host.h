/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The host edge
 * =============
 *
 * The node's own share of the network: the gateway device with its addresses,
 * the routes and permanent neighbors that lead to the peers' pods, the
 * sysctls all this needs, and masquerading of what pods send out of the
 * cluster.  host_wanted_derive() says what is wanted, as data; host_run()
 * compares that with what the kernel holds and changes what differs, at once
 * when somebody takes something away.
 *
 * What is ours, and the only thing that is ever changed or removed:
 *
 *   - addresses of the gateway device, which is Lateen's as a whole;
 *   - routes and routing rules with protocol HOST_RTPROT;
 *   - neighbors on the gateway device with the address PEER_MAC;
 *   - the nftables table "inet lateen_nat".
 *
 * Pods' packets to a peer's own address take the tunnel also when the host
 * has translated them (a Service whose endpoint is a node, as the one of the
 * API server): a routing rule sends what comes in by the gateway device to
 * table HOST_RT_TABLE first, which leads to the peers' addresses through the
 * tunnel.  The node's own packets to its peers stay on the underlay.
 *
 * What policies have yet to judge (LATEEN_MARK_UNJUDGED) is routed to pods and
 * to peers in that way, or dropped by another rule: where the datapath is the
 * kernel's, that holds without nftables, which others flush.
 *
 * Everything here belongs to the main thread. */

#ifndef LATEEN_HOST_H
#define LATEEN_HOST_H 1

#include <net/if.h>
#include <stdint.h>
#include "ip.h"

struct config;
struct ds;
struct host;
struct model;
struct sset;

/* Name of the gateway device: an internal port of the bridge. */
#define HOST_GATEWAY "lateen-gw0"

/* What the names of containers' ports, which the CNI plugin makes, begin
 * with. */
#define HOST_PORT_PREFIX "ltn"

#define HOST_RTPROT 76          /* Protocol number of our routes and rules. */
#define HOST_RT_TABLE 0x4c61    /* Routing table for what comes from pods. */
#define HOST_RULE_PRIORITY 0x4c6 /* Priority of the rule that leads there, and
                                 * of those that follow it. */

/* The statement of nftables by which, in a chain of type route, the kernel
 * looks up a packet's route again: it does so for a changed mark. */
#define HOST_REROUTE "meta mark set meta mark ^ 0x40000000"

/* What host_wanted_derive() has to know of this machine. */
struct host_facts {
    const char *node;           /* This node's name. */
    unsigned int mtu;           /* MTU of pods and of the gateway device. */
    char uplink[IFNAMSIZ];      /* Device that holds the node's address; empty
                                 * if there is none. */
    struct ip_prefix_list addresses; /* Those of the node's own addresses that
                                      * this machine holds. */
};

/* A route by the gateway device. */
struct host_route {
    struct ip_prefix dst;
    struct in6_addr via;        /* The peer's gateway. */
    struct in6_addr src;        /* Preferred source; in6addr_any for none. */
    uint32_t table;             /* RT_TABLE_MAIN or HOST_RT_TABLE. */
    size_t order;               /* Of two for one destination, the lower one
                                 * is wanted. */
};

/* A routing rule. */
struct host_rule {
    struct ip_prefix from;      /* A length of 0 stands for any. */
    struct ip_prefix to;        /* Likewise, of the same family. */
    bool by_gateway;            /* Only what comes in by the gateway device. */
    uint32_t mark;              /* Only what has these bits, or 0. */
    uint32_t priority;
    uint32_t table;             /* To look up, or 0 to drop the packets. */
};

/* A sysctl. */
struct host_sysctl {
    char *name;                 /* Below /proc/sys/net, with slashes. */
    const char *value;
    const char *only_from;      /* If nonnull, only this value is changed. */
    const char *why;            /* For the log. */
};

/* What the host is to hold. */
struct host_wanted {
    unsigned int mtu;           /* Of the gateway device; 0 to leave it. */
    struct ip_prefix_list addresses; /* Of the gateway device, with the length
                                      * of their pod network. */
    struct host_route *routes;  /* Ordered by table and destination, no two
                                 * of which are the same. */
    size_t n_routes;
    struct ip_prefix_list neighbors; /* The peers' gateways, full length, in
                                      * order and each once. */
    struct host_rule *rules;
    size_t n_rules;
    struct host_sysctl *sysctls; /* In the order in which they are set. */
    size_t n_sysctls;
    char *nat;                  /* What stands inside "inet lateen_nat". */
};

/* Fills '*wanted', which the caller frees with host_wanted_destroy().  The
 * node itself has to be in 'model'.  Of several nodes with one pod CIDR, the
 * first by name gets the route. */
void host_wanted_derive(const struct model *, const struct config *,
                        const struct host_facts *,
                        struct host_wanted *wanted);
void host_wanted_destroy(struct host_wanted *);

/* Append nftables rules that all packets of the node must pass.  They stand in
 * the guard's chains, where there is a guard, since a chain costs each packet
 * more than what is in it; without, in "inet lateen_nat".
 *
 *   - Arriving, before conntrack: what comes in by a container's port belongs
 *     to the bridge.
 *   - Sending, before conntrack (a chain of type route): what IPVS sends on
 *     from 'pods' takes the same way as what is forwarded from them.
 *   - Leaving, when sources have been translated: what the node itself sends
 *     to the gateway device gets LATEEN_MARK_LOCAL, and what comes from there
 *     with LATEEN_MARK_UNJUDGED goes nowhere else. */
void host_format_arriving(struct ds *);
void host_format_sending(const struct ip_prefix_list *pods, struct ds *);
void host_format_leaving(struct ds *);

/* The wanted route for 'dst' in 'table', or NULL. */
const struct host_route *host_wanted_find_route(const struct host_wanted *,
                                                const struct ip_prefix *dst,
                                                uint32_t table);

/* The wanted neighbor 'a', an element of the list, or NULL. */
const struct ip_prefix *host_wanted_find_neighbor(const struct host_wanted *,
                                                  const struct in6_addr *a);

/* Appends 'wanted' as text, a line each. */
void host_wanted_format(const struct host_wanted *wanted, struct ds *);

/* How the host stands. */
struct host_status {
    bool in_place;              /* All that was wanted last is there. */
    uint64_t seqno;             /* Model's change up to which that is so; 0
                                 * before anything has been in place. */
    unsigned int repairs;       /* Times that something of ours was missing or
                                 * different without our doing. */
    const char *error;          /* Why it is not in place, in words; NULL. */
};

/* A device and its MTU. */
struct host_uplink {
    char name[IFNAMSIZ];
    unsigned int mtu;
};

/* Starts watching this machine's network.  On failure, a message that the
 * caller frees, and '*hostp' is NULL. */
char *host_create(struct host **hostp) OVS_WARN_UNUSED_RESULT;

/* Ends watching; leaves everything in place. */
void host_destroy(struct host *);

/* Finds the device that holds 'address'.  False if none does. */
bool host_find_uplink(const struct host *, const struct in6_addr *address,
                      struct host_uplink *);

/* Brings the host closer to what 'model' and 'config' want, for the node
 * 'node' with pods of MTU 'mtu' and tunnel packets from 'address' (in6addr_any
 * until known).  Does a bounded amount of work without blocking; call it in
 * each turn of the main loop, with 'config_changed' once 'config' says
 * something else than before.
 *
 * What 'model' does not have is taken away from the host, so 'model' is NULL
 * until the cluster is known; then, and while it has no node 'node', all that
 * is there stays as it is. */
void host_run(struct host *, const struct model *, const struct config *,
              bool config_changed, const char *node,
              const struct in6_addr *address, unsigned int mtu);
void host_wait(const struct host *);

/* Valid until the next host_run(). */
const struct host_status *host_get_status(const struct host *);

/* Takes away everything of ours on this machine: routes, rules, neighbors, the
 * table, and the devices 'hostifs' of attachments; addresses go with the
 * gateway device.  Sysctls stay.  Synchronous, for "lateend --cleanup".
 * Returns NULL or a message that the caller frees, after having removed as
 * much as could be. */
char *host_remove(const struct sset *hostifs) OVS_WARN_UNUSED_RESULT;

#endif /* agent/host.h */
