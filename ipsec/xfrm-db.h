/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The kernel's IPsec database (XFRM), as far as it is ours: the policies and
 * ESP states of the reqids that conns.h gives to our connections' children.
 * The guard's own policies and states are none of these.
 *
 * A request is served before send() returns, so nothing here waits for
 * anybody. */

#ifndef LATEEN_XFRM_DB_H
#define LATEEN_XFRM_DB_H 1

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "openvswitch/compiler.h"

struct json;
struct ofpbuf;

/* An ESP state: one direction of a CHILD SA.  One without a key is a place
 * that charon has reserved for an SA to come. */
struct xfrm_sa {
    struct in6_addr src, dst;
    uint32_t spi, reqid;
    uint32_t mark;              /* Of what it sends; 0 for any. */
    bool keyed;
    uint64_t bytes, packets;    /* That it has carried. */
};

/* A policy that leads packets to an SA.  Ports are 0 for any. */
struct xfrm_policy {
    uint8_t dir;                /* XFRM_POLICY_IN... */
    uint8_t protocol;
    struct in6_addr src, dst;   /* Of the packets. */
    uint16_t sport, dport;
    uint32_t priority, reqid;
    uint32_t mark;              /* Of the packets; 0 for any. */
};

struct xfrm_db {
    struct xfrm_sa *sas;
    size_t n_sas;
    struct xfrm_policy *policies;
    size_t n_policies;
};

/* Frees what 'db' holds; it is empty then. */
void xfrm_db_clear(struct xfrm_db *);

/* Adds what is ours of 'msgs', Netlink messages one behind the other as a dump
 * gives them, to 'db'. */
void xfrm_db_parse(struct xfrm_db *, const struct ofpbuf *msgs);

/* Reads all that is ours into 'db', which is empty before.  Returns 0 or a
 * positive errno value, and then 'db' is empty. */
int xfrm_db_read(struct xfrm_db *) OVS_WARN_UNUSED_RESULT;

/* Whether 'event', a message of the groups XFRMNLGRP_SA, _POLICY or _EXPIRE,
 * may mean that something of ours is not there any more. */
bool xfrm_db_is_affected(const struct ofpbuf *event);

/* Fills 'policies' with the two that the connection's child 'child', of
 * conns_derive(), needs: out and in.  False if it is not as conns_derive()
 * makes it. */
bool xfrm_policies_from_child(const struct json *child,
                              struct xfrm_policy policies[2])
    OVS_WARN_UNUSED_RESULT;

bool xfrm_policy_equals(const struct xfrm_policy *,
                        const struct xfrm_policy *);

/* Puts 'policy' into the kernel, as charon would and in place of any other of
 * the same selector and mark, or takes it away.  Returns 0 or a positive errno
 * value. */
int xfrm_policy_put(const struct xfrm_policy *);
int xfrm_policy_remove(const struct xfrm_policy *);

/* Takes 'sa' away from the kernel.  Returns 0 or a positive errno value. */
int xfrm_sa_remove(const struct xfrm_sa *);

#endif /* ipsec/xfrm-db.h */
