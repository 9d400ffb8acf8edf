/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What Open vSwitch's netlink-socket.h leaves to be wished for: dumps that
 * the kernel filters and that are consistent, and listening to events with a
 * bounded amount of work.
 *
 * A netlink request is served by the kernel before send() returns, so a
 * transaction or a dump does not block in the sense of the main loop. */

#ifndef LATEEN_NLSOCK_H
#define LATEEN_NLSOCK_H 1

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "openvswitch/compiler.h"

struct nl_sock;
struct ofpbuf;

/* Opens a socket for 'protocol' (NETLINK_ROUTE...) that receives the 'n'
 * multicast groups 'groups'.  Returns 0 or a positive errno value. */
int nlsock_open(int protocol, const unsigned int groups[], size_t n,
                struct nl_sock **);

/* Does the dump 'request' and appends all answers to 'replies', for
 * nl_msg_next().  The kernel is asked to filter by what 'request' says, and to
 * refuse what it does not know.  A dump that a change has interrupted is done
 * again.  Returns 0 or a positive errno value; EINTR where the dump never
 * came to an end undisturbed. */
int nlsock_dump(int protocol, struct ofpbuf *request, struct ofpbuf *replies);

/* The same with a request that is no more than its 'type', so that it asks for
 * everything: XFRM takes what else there is for attributes. */
int nlsock_dump_all(int protocol, uint16_t type, struct ofpbuf *replies);

/* Calls 'cb' with each message that waits at 'sock', up to a bound; what is
 * left makes nl_sock_wait() return at once.  Returns true where the kernel
 * could not deliver some: then everything has to be read again. */
bool nlsock_events(struct nl_sock *sock,
                   void (*cb)(const struct ofpbuf *msg, void *aux), void *aux)
    OVS_WARN_UNUSED_RESULT;

#endif /* agent/nlsock.h */
