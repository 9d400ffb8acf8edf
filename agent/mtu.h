/* SPDX-License-Identifier: GPL-3.0-or-later */
/* How large a packet of a pod may be, so that with everything that the tunnel
 * and ESP put around it, it still fits the underlay.
 *
 * Pure arithmetic.  A tunnel's payload is an Ethernet frame; GRE carries a
 * key (RFC 2890), Geneve and VXLAN no options.  With ESP in transport mode
 * (RFC 4303), the trailer of two bytes and what stands before it fill whole
 * blocks of the cipher. */

#ifndef LATEEN_MTU_H
#define LATEEN_MTU_H 1

#include <stdbool.h>

struct config;
struct proposal_esp;

/* The smallest MTU that IPv6 works with (RFC 8200, section 5). */
#define MTU_MIN_IPV6 1280

/* What lies between two nodes. */
struct mtu_path {
    unsigned int uplink;        /* MTU of the underlay's device, in bytes. */
    bool gre;                   /* GRE with a key; else a UDP tunnel. */
    bool v6;                    /* The nodes speak IPv6 with one another. */
    const struct proposal_esp *esp; /* Around the tunnel's packets; NULL for
                                     * none. */
    bool udp_encap;             /* ESP in UDP (RFC 3948); needs 'esp'. */
};

/* Returns the MTU of pods' interfaces, in bytes, or 0 where the underlay has
 * no room for a single byte. */
unsigned int mtu_of_pods(const struct mtu_path *);

/* The same for all paths that 'config' allows, over a device of 'uplink' bytes
 * between nodes that speak IPv6 if 'v6': with the ESP proposal that takes the
 * most. */
unsigned int mtu_derive(const struct config *, unsigned int uplink, bool v6);

#endif /* agent/mtu.h */
