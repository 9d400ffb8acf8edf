/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The kinds of tunnel packets that are to be guarded: that of the
 * configuration, and those before it that the kernel's datapath may still
 * send.  They outlive a boot in a file, because Open vSwitch brings back the
 * tunnel port of its database before anybody can ask it which that is. */

#ifndef LATEEN_GUARD_TUNNELS_H
#define LATEEN_GUARD_TUNNELS_H 1

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "openvswitch/compiler.h"

/* One kind of tunnel packets. */
struct guard_tunnel {
    uint8_t protocol;           /* IPPROTO_GRE or IPPROTO_UDP; 0 for none. */
    uint16_t port;              /* Destination port, for UDP; else 0. */
};

/* A set of them, owned by whoever holds the struct; empty if all zero. */
struct guard_tunnels {
    struct guard_tunnel *elems;
    size_t n;
};

/* Adds one, or all of 'from', unless they are there already, or none. */
void guard_tunnels_add(struct guard_tunnels *, struct guard_tunnel);
void guard_tunnels_add_all(struct guard_tunnels *,
                           const struct guard_tunnels *from);

/* Whether both have the same, in the same order. */
bool guard_tunnels_equal(const struct guard_tunnels *,
                         const struct guard_tunnels *);
void guard_tunnels_destroy(struct guard_tunnels *);

/* Adds the tunnel 'wanted' of the configuration and that of the port in Open
 * vSwitch's database, 'port'.  If 'applied', which is that ovs-vswitchd has
 * made all as the database says, and the port as wanted or missing, takes
 * everything else out.  Returns whether that was a change. */
bool guard_tunnels_update(struct guard_tunnels *, struct guard_tunnel wanted,
                          struct guard_tunnel port, bool applied)
    OVS_WARN_UNUSED_RESULT;

/* Adds what 'file' holds, nothing if there is no such file.  Returns NULL or a
 * message that the caller frees. */
char *guard_tunnels_load(struct guard_tunnels *, const char *file)
    OVS_WARN_UNUSED_RESULT;

/* Replaces 'file', durably.  Returns NULL or a message that the caller
 * frees. */
char *guard_tunnels_save(const struct guard_tunnels *, const char *file)
    OVS_WARN_UNUSED_RESULT;

#endif /* ipsec/guard-tunnels.h */
