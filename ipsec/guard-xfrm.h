/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The guard's second layer: XFRM policies that block tunnel packets which no
 * better policy covers.  Only guard.c uses this. */

#ifndef LATEEN_GUARD_XFRM_H
#define LATEEN_GUARD_XFRM_H 1

#include <stdbool.h>
#include "openvswitch/compiler.h"

struct ds;
struct guard_wanted;
struct ofpbuf;

/* Whether this kernel has XFRM. */
bool guard_xfrm_is_supported(void);

/* Makes what carries our mark exactly what 'wanted' needs:
 *
 *   - Policies that block each tunnel's packets: out, in and forwarded, of
 *     both families.
 *   - A state towards each peer, with a key that nobody knows, for what must
 *     not leave in clear and cannot be blocked; and policies that lead there:
 *
 *       - For GRE over IPv6.  The kernel looks such a packet up without a
 *         source at first, so that no SA's policy matches; the table of the
 *         first layer makes it look again, with the right source.  A blocking
 *         policy would stop the packet before, and no policy would let it
 *         pass in clear where the table is gone.
 *
 *       - For ICMP errors to a peer that say that nobody is here who takes a
 *         packet.  Where the tunnel has no port, they quote what IPsec has
 *         taken out of its packets.  Others, of which there are some all the
 *         time, would ring the alarm of what blocking policies count.
 *
 * Those that are there already are left alone.  Adds to '*missing' those that
 * were not.  Returns NULL or a message that the caller frees; without XFRM,
 * there is nothing to remove. */
char *guard_xfrm_sync(const struct guard_wanted *wanted,
                      unsigned int *missing) OVS_WARN_UNUSED_RESULT;

/* Adds to 'wanted' the tunnels and the peers that what carries our mark is
 * for. */
void guard_xfrm_read(struct guard_wanted *wanted);

/* Appends, as the cause of packets that a blocking policy has stopped on their
 * way out, to which peers no SA's policy lets the tunnel's packets, of which
 * it names 'max' at most. */
void guard_xfrm_format_unprotected(const struct guard_wanted *, size_t max,
                                   struct ds *);

/* Whether 'event', a message of the groups XFRMNLGRP_POLICY or XFRMNLGRP_SA,
 * may mean that something of ours is not there any more. */
bool guard_xfrm_is_affected(const struct ofpbuf *event);

#endif /* ipsec/guard-xfrm.h */
