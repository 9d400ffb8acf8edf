/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The IKE edge
 * ============
 *
 * Has strongSwan's charon hold what conns_derive() wants: the connections
 * and shared secrets whose name begins with CONNS_PREFIX.  It touches nothing
 * else.  Every few seconds it compares what
 * charon says that it holds with that: connections, secrets, trap policies and
 * SAs.  When charon has been restarted, everything is loaded again at once.
 *
 * Whether packets can leave in clear is not decided here: the guard stops
 * them, and trap policies let none pass without an SA.  So the state of a
 * peer is for people to read.  Only where charon cannot protect anything,
 * because its plugin kernel-libipsec keeps SAs out of the kernel,
 * ike_permits_tunnel() says so.
 *
 * Everything here belongs to the main thread and never blocks, except for
 * ike_cleanup(). */

#ifndef LATEEN_IKE_H
#define LATEEN_IKE_H 1

#include <stdbool.h>
#include "openvswitch/compiler.h"

struct config;
struct ike;
struct json;
struct model;

enum ike_state {
    IKE_DOWN,                   /* No SA. */
    IKE_CONNECTING,             /* Some SAs are missing. */
    IKE_UP,                     /* All SAs are there. */
};

/* "down", "connecting" or "up". */
const char *ike_state_name(enum ike_state);

struct ike *ike_create(void);

/* Ends the connection to charon, which keeps what it holds. */
void ike_destroy(struct ike *);

/* Brings charon closer to what 'model' and 'config' want for the node 'self'.
 * 'model' is NULL as long as the cluster is not known; until then, nothing is
 * changed.  Where 'config' has IPsec off, charon is asked once, if it runs, to
 * hold nothing of ours. */
void ike_run(struct ike *, const struct model *, const struct config *,
             const char *self);
void ike_wait(struct ike *);

/* Whether there may be a tunnel port at all. */
bool ike_permits_tunnel(const struct ike *);

/* Whether charon holds everything that is wanted, and nothing else of ours. */
bool ike_realized(const struct ike *);

/* The same, and whether there are SAs with all peers. */
bool ike_all_up(const struct ike *);

/* What is wrong with charon, a key or certificate, or will be, in words; NULL
 * if nothing is. */
const char *ike_last_error(const struct ike *);

/* What has been repaired in charon and the kernel's IPsec database, as a new
 * object. */
struct json *ike_repairs_to_json(const struct ike *);

/* The state of the SAs with the node 'peer'. */
enum ike_state ike_peer_state(const struct ike *, const char *peer);

/* All peers' states with their SAs, as a JSON array that the caller frees. */
struct json *ike_status_to_json(const struct ike *);

/* Removes from charon what is ours, in at most 'timeout' ms.  Returns NULL,
 * also where charon does not run, or a message that the caller frees. */
char *ike_cleanup(const struct config *, int timeout) OVS_WARN_UNUSED_RESULT;

#endif /* ipsec/ike.h */
