/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The guard
 * =========
 *
 * Stops clear text between nodes, by two layers that know nothing of one
 * another, nor of the IKE daemon.  Either alone is enough (doc/guard.rst has
 * an exception); both stand before a tunnel port exists, and stay when every
 * daemon is gone:
 *
 *   1. The nftables table "inet lateen_guard" drops tunnel packets that have
 *      not been, or are not about to be, transformed by IPsec; what the host
 *      would forward to a tunnel, ESP or IKE port on a pod's behalf; packets
 *      of the pods' networks on any device but the gateway; and whatever else
 *      than tunnel packets comes in by the tunnel's SAs.
 *   2. XFRM policies of the lowest precedence block the tunnel's protocol for
 *      everybody.  The policies of the SAs, which have a better priority,
 *      make the exceptions.  (GRE over IPv6 needs more: guard-xfrm.h.)
 *
 * Packets that a trap policy holds while an SA is set up count nowhere.
 *
 * Each rule has a counter; a counter that moves is an alarm.  A layer that
 * somebody took away is put back, at once, and counted as a repair.
 *
 * Ours, and the only thing that is ever changed or removed: that table, and
 * the XFRM policies of priority GUARD_XFRM_PRIORITY and one less, and the
 * states of that number as reqid and SPI.
 *
 * Everything here belongs to the main thread. */

#ifndef LATEEN_GUARD_H
#define LATEEN_GUARD_H 1

#include <stdbool.h>
#include <stdint.h>
#include "agent/ip.h"
#include "guard-tunnels.h"
#include "openvswitch/compiler.h"

struct config;
struct ds;
struct guard;
struct model;

/* Priority of our XFRM policies; a smaller number wins.  Those of SAs have 16,
 * and those by which charon's plugin bypass-lan lets whole subnets pass have
 * some 130,000 and more: ours must be in between. */
#define GUARD_XFRM_PRIORITY 0x4c61

/* What is to be guarded. */
struct guard_wanted {
    struct guard_tunnels tunnels; /* Empty: no guard at all. */
    struct ip_prefix_list pod_networks; /* Cluster CIDRs. */
    bool masquerade;            /* Pods' packets leave the cluster with the
                                 * node's address, but for 'exceptions'. */
    struct ip_prefix_list exceptions; /* Destinations that see pods' own
                                       * addresses. */
    struct ip_prefix_list peers; /* The peers' own addresses; empty while
                                  * unknown. */
    struct ip_prefix_list unreached; /* Those of them that no tunnel leads to:
                                      * of the other type than
                                      * "tunnel.peer-address". */
};

/* Fills '*wanted', which the caller frees with guard_wanted_destroy().
 * 'model' may be NULL (at boot); 'node' is this node's name. */
void guard_wanted_derive(const struct config *, const struct model *,
                         const char *node, struct guard_wanted *wanted);

/* The tunnel of the configuration, with IPsec or without. */
struct guard_tunnel guard_config_tunnel(const struct config *);

/* Adds the tunnels of 'held', which may still be in use, and its peers.  Does
 * nothing where there is no guard. */
void guard_wanted_hold(struct guard_wanted *, const struct guard_wanted *held);

/* Adds the tunnels and the peers of the guard that stands in the kernel, as
 * its second layer tells: what starts without knowing them must not weaken
 * it. */
void guard_wanted_add_standing(struct guard_wanted *);
void guard_wanted_destroy(struct guard_wanted *);

/* Appends what stands inside "inet lateen_guard". */
void guard_wanted_format_nft(const struct guard_wanted *, struct ds *);

/* The counters. */
#define GUARD_COUNTERS                                                      \
    /* nftables: a tunnel packet was about to leave, or had come in, in     \
     * clear. */                                                            \
    GUARD_COUNTER(CLEAR_OUT, "clear-out")                                   \
    GUARD_COUNTER(CLEAR_IN, "clear-in")                                     \
    /* nftables: a packet of somebody else's for a tunnel, ESP or IKE port  \
     * was on its way through the node, or to it from the gateway. */       \
    GUARD_COUNTER(FORWARDED, "forwarded")                                   \
    /* nftables: a packet of a pod was about to leave, or had come in, by   \
     * another device than the gateway. */                                  \
    GUARD_COUNTER(STRAY_OUT, "stray-out")                                   \
    GUARD_COUNTER(STRAY_IN, "stray-in")                                     \
    /* nftables: what had come in by a tunnel's SA was no tunnel packet. */ \
    GUARD_COUNTER(SMUGGLED, "smuggled")                                     \
    /* XFRM: packets that a blocking policy stopped (the kernel counts all  \
     * such policies together). */                                          \
    GUARD_COUNTER(BLOCKED_OUT, "blocked-out")                               \
    GUARD_COUNTER(BLOCKED_IN, "blocked-in")

enum guard_counter {
#define GUARD_COUNTER(ENUM, NAME) GUARD_##ENUM,
    GUARD_COUNTERS
#undef GUARD_COUNTER
    GUARD_N_COUNTERS
};

const char *guard_counter_name(enum guard_counter);

struct guard_status {
    bool wanted;                /* There is something to guard. */
    bool nft_ok;                /* The first layer is in place. */
    bool xfrm_ok;               /* The second layer is in place. */
    const char *nft_error;      /* Why not, in words; else NULL. */
    const char *xfrm_error;
    uint64_t packets[GUARD_N_COUNTERS]; /* Stopped, as far as known. */
    unsigned int rounds;        /* Times that these were read. */
    unsigned int repairs;       /* Times that a layer was put back. */
    const char *alarm;          /* Text of the last alarm; NULL if none. */
    long long int alarm_time;   /* When that was, as time_wall_msec(). */
};

/* Starts watching.  'counters_file', in a directory that a boot empties, as it
 * clears the counters, keeps what alarms have been about: what has been
 * stopped while nobody watched rings, too, and once.  It may be NULL.  On
 * failure, a message that the caller frees, and '*guardp' is NULL. */
char *guard_create(const char *counters_file, struct guard **guardp)
    OVS_WARN_UNUSED_RESULT;

/* Ends watching; the guard itself stays in place. */
void guard_destroy(struct guard *);

/* Puts both layers in place as 'wanted' says, and returns when they stand,
 * after a few milliseconds (5 seconds at most): before the first tunnel port.
 * A layer that stands already is left alone, with its counters.  Returns NULL
 * or a message that the caller frees.  Where one layer cannot be had, the
 * other is in place all the same. */
char *guard_install(struct guard *, const struct guard_wanted *wanted)
    OVS_WARN_UNUSED_RESULT;

/* Changes what is to be guarded, without waiting; guard_run() does the
 * work.  Does nothing where 'wanted' is what was wanted before. */
void guard_set(struct guard *, const struct guard_wanted *wanted);

/* Repairs what is missing, reads the counters each second and raises alarms.
 * Never blocks. */
void guard_run(struct guard *);
void guard_wait(const struct guard *);

/* Valid until the next guard_run(). */
const struct guard_status *guard_get_status(const struct guard *);

/* Takes both layers away, synchronously; only after the tunnel ports are
 * gone.  Returns NULL or a message that the caller frees. */
char *guard_remove(void) OVS_WARN_UNUSED_RESULT;

#endif /* ipsec/guard.h */
