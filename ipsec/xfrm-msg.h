/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Messages to and from the kernel's IPsec database (XFRM), that the guard and
 * what looks after the SAs have in common.
 *
 * A request is served before send() returns, so nothing here waits for
 * anybody.  Requests return 0 or a positive errno value.  Everything here may
 * be called in any thread. */

#ifndef LATEEN_XFRM_MSG_H
#define LATEEN_XFRM_MSG_H 1

#include <netinet/in.h>
#include <linux/xfrm.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "openvswitch/types.h"

struct ofpbuf;

/* Addresses are IPv6 ones, with IPv4 ones mapped (RFC 4291, 2.5.5.2). */
uint16_t xfrm_family(const struct in6_addr *);
xfrm_address_t xfrm_from_address(const struct in6_addr *);
struct in6_addr xfrm_to_address(const xfrm_address_t *, uint16_t family);

/* Copies the header of 'msg' to the 'size' bytes at 'header': Netlink aligns
 * to four bytes only.  False if it is shorter. */
bool xfrm_copy_header(const struct ofpbuf *msg, void *header, size_t size);

/* Makes '*policy' one of transport mode that never expires, with a selector
 * for all packets of 'family'. */
void xfrm_policy_init(struct xfrm_userpolicy_info *policy, uint16_t family,
                      uint8_t dir, uint8_t action, uint32_t priority);

/* A 'mark' says of which packets a policy or state is: those that have it; 0
 * is for all. */

/* Adds 'policy' (XFRM_MSG_NEWPOLICY), or puts it in place of another one with
 * its selector and 'mark' as well (XFRM_MSG_UPDPOLICY).  What it allows leads
 * to the ESP states of 'reqid', if that is not 0. */
int xfrm_policy_send(uint16_t type, const struct xfrm_userpolicy_info *policy,
                     uint32_t mark, uint32_t reqid);

/* Takes away the policy with 'mark' and the number 'index' or, if that is 0,
 * the selector 'sel'. */
int xfrm_policy_delete(const struct xfrm_selector *sel, uint8_t dir,
                       uint32_t mark, uint32_t index);

/* Takes away an ESP state. */
int xfrm_state_delete(const struct in6_addr *dst, ovs_be32 spi, uint32_t mark);

#endif /* ipsec/xfrm-msg.h */
