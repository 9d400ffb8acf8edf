/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The host edge's hand: compares what the kernel holds of ours with what is
 * wanted, and changes what differs.  Only host.c uses this. */

#ifndef LATEEN_HOST_SYNC_H
#define LATEEN_HOST_SYNC_H 1

#include <stddef.h>
#include "openvswitch/compiler.h"

struct host_netlink;
struct host_wanted;
struct sset;

/* Compares, and adds the number of differences to '*n_changes'.  They are
 * made equal, but for what goes beyond a bound: that is left to another call.
 * Returns NULL, or a message that the caller frees about the first change
 * that failed. */
char *host_sync(const struct host_netlink *, const struct host_wanted *,
                size_t *n_changes) OVS_WARN_UNUSED_RESULT;

/* Takes away all routes, rules and neighbors of ours, and the devices
 * 'hostifs'.  Returns NULL or a message that the caller frees. */
char *host_sync_remove(const struct sset *hostifs) OVS_WARN_UNUSED_RESULT;

#endif /* agent/host-sync.h */
