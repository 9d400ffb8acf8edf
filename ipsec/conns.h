/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What strongSwan is to hold, as VICI's messages in JSON.
 *
 * Pure: from the model and the configuration to one IKE connection for each
 * peer.  ESP is in transport mode around the tunnel's packets.  Each node has
 * a child SA of its own to send into: what is "out" here is "in" at the peer.
 * A UDP tunnel has a source port that depends on the inner packet, so "out" is
 * to the peer's tunnel port, "in" to ours.  Nothing tells the directions of
 * GRE apart, so there "in" is to send packets of a mark that none has.  Where
 * the peer asks for its "out", "in" fits as well as "out"; charon takes the
 * first one that fits, so it must be told of that first.
 *
 * Each child has a trap policy, which holds the first packets until there is
 * an SA.  charon is not told to start them: it would also end them where a
 * connection is loaded anew.  Nor is it told to trap again what ends, as
 * policies stay anyway: it would put an earlier connection's in the place of
 * the present one's.  The explicit priority is what keeps a charon's
 * bypass policies for local subnets from winning.
 *
 * The same model gives the same text, byte for byte. */

#ifndef LATEEN_CONNS_H
#define LATEEN_CONNS_H 1

#include <stdbool.h>

struct config;
struct json;
struct model;
struct shash;
struct x509;

/* Every connection of ours has a name that starts so; the peer's follows. */
#define CONNS_PREFIX "lateen-"

/* Priority of the children's policies; a smaller number wins. */
#define CONNS_PRIORITY 16

/* What GRE's "in" would send. */
#define CONNS_MARK_NONE 0x4c617465

/* The children's reqids are so many from here on, a power of two.  charon
 * itself counts from 1. */
#define CONNS_REQID 0x4c000000u
#define CONNS_N_REQIDS 0x1000000u

/* Puts into '*conns', an empty map, the body of each connection by its name.
 * None if the cluster has no node 'self', or IPsec is off.  Nodes know each
 * other by certificates with 'x509', by pre-shared keys if it is NULL. */
void conns_derive(const struct model *, const struct config *,
                  const char *self, const struct x509 *, struct shash *conns);

/* Frees what conns_derive() has put there, and the map itself. */
void conns_destroy(struct shash *conns);

/* The message for VICI's "load-shared": a secret for all nodes, without its
 * name and the key itself.  The caller frees it. */
struct json *conns_secret(const struct model *);

/* The same for a secret of this node and 'peer' alone. */
struct json *conns_pair_secret(const char *peer);

#endif /* ipsec/conns.h */
