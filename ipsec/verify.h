/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Proof that what passes between this node and its peers is encrypted.
 *
 * Sends probes (ICMP echo requests) from this node's gateway to each peer's,
 * through the tunnel, and meanwhile watches three independent witnesses: the
 * kernel's SAs, which count what they have carried; the uplink, where nothing
 * but ESP of these very SAs may be seen; and the guard, whose counters may not
 * move.  Encryption is proven only where all of them agree.
 *
 * Everything here belongs to the main thread, and nothing blocks. */

#ifndef LATEEN_VERIFY_H
#define LATEEN_VERIFY_H 1

#include <stdbool.h>
#include "openvswitch/compiler.h"

struct config;
struct guard_status;
struct json;
struct model;
struct verify;

/* Starts with the peers of the node 'self', or with 'peer' alone if that is
 * nonnull, over the device 'uplink', in 'family' (AF_INET or AF_INET6).
 * Returns NULL with '*verifyp' for the caller to end with verify_destroy(), or
 * a message that the caller frees. */
char *verify_start(const struct model *, const struct config *,
                   const char *self, const char *peer, const char *uplink,
                   int family, struct verify **verifyp)
    OVS_WARN_UNUSED_RESULT;
void verify_destroy(struct verify *);

/* Goes on.  Returns true once there is a result. */
bool verify_run(struct verify *, const struct guard_status *);
void verify_wait(const struct verify *);

/* An array with an object for each peer:
 *
 *   peer             its name
 *   proven           whether all agree
 *   reason           why not, in words; or null
 *   probes, answered how many went out, and came back
 *   espOut, espIn    packets of ESP that the uplink has seen,
 *   clear            and packets in clear
 *   saOut, saIn      packets that the SAs have counted */
struct json *verify_to_json(const struct verify *);

#endif /* ipsec/verify.h */
