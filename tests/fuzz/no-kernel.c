/* SPDX-License-Identifier: GPL-3.0-or-later */
/* For targets linked with $(FUZZ_NO_KERNEL): netlink tells of nothing, and
 * needs no rights.  The linker has calls of FUNCTION() land in
 * __wrap_FUNCTION(). */

#include <config.h>
#include "agent/nlsock.h"

#include <stdint.h>
#include "netlink-socket.h"
#include "util.h"

int __wrap_nlsock_open(int protocol, const unsigned int groups[], size_t n,
                       struct nl_sock **sockp);
int __wrap_nlsock_dump(int protocol, struct ofpbuf *request,
                       struct ofpbuf *replies);
int __wrap_nlsock_dump_all(int protocol, uint16_t type,
                           struct ofpbuf *replies);
bool __wrap_nlsock_events(struct nl_sock *sock,
                          void (*cb)(const struct ofpbuf *msg, void *aux),
                          void *aux);

int
__wrap_nlsock_open(int protocol, const unsigned int groups[] OVS_UNUSED,
                   size_t n OVS_UNUSED, struct nl_sock **sockp)
{
    return nl_sock_create(protocol, sockp);
}

int
__wrap_nlsock_dump(int protocol OVS_UNUSED, struct ofpbuf *request OVS_UNUSED,
                   struct ofpbuf *replies OVS_UNUSED)
{
    return 0;
}

int
__wrap_nlsock_dump_all(int protocol OVS_UNUSED, uint16_t type OVS_UNUSED,
                       struct ofpbuf *replies OVS_UNUSED)
{
    return 0;
}

bool
__wrap_nlsock_events(struct nl_sock *sock OVS_UNUSED,
                     void (*cb)(const struct ofpbuf *msg,
                                void *aux) OVS_UNUSED,
                     void *aux OVS_UNUSED)
{
    return false;
}
