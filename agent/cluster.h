/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Questions about the cluster that several edges ask of the model. */

#ifndef LATEEN_CLUSTER_H
#define LATEEN_CLUSTER_H 1

#include <netinet/in.h>

struct config;
struct model;
struct node;

/* The address of 'node' itself for its tunnel packets in 'family', AF_INET or
 * AF_INET6: the first of that family.  NULL if it has none.  Belongs to
 * 'node'. */
const struct in6_addr *node_tunnel_address(const struct node *node,
                                           int family);

/* The same as the other nodes see it: another one where a NAT is before each
 * node. */
const struct in6_addr *peer_tunnel_address(const struct config *,
                                           const struct node *node,
                                           int family);

/* The family that the node 'self' speaks to its peers: what 'config' says, or
 * else IPv4 if every node of the cluster has an IPv4 address, else IPv6.  All
 * nodes see the same cluster, so all come to the same answer.  0 if the
 * cluster has no node 'self'. */
int cluster_tunnel_family(const struct model *, const struct config *,
                          const char *self);

#endif /* agent/cluster.h */
