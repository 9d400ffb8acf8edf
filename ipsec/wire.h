/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What passes on a device, between nodes: packets of the tunnel in clear, ESP,
 * and ICMP echoes.  Nothing is changed or held up. */

#ifndef LATEEN_WIRE_H
#define LATEEN_WIRE_H 1

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct guard_tunnel;

enum wire_kind {
    WIRE_OTHER,
    WIRE_CLEAR,                 /* A packet of the tunnel, in clear. */
    WIRE_ESP,                   /* Also in UDP (RFC 3948). */
    WIRE_ECHO,                  /* An ICMP echo request or reply. */
};

struct wire_packet {
    enum wire_kind kind;
    struct in6_addr src, dst;
    uint32_t spi;               /* Of ESP. */
};

/* Tells what the IP packet of which the first 'size' bytes are at 'data' is.
 * Pure. */
void wire_parse(const void *data, size_t size, const struct guard_tunnel *,
                struct wire_packet *);

/* Opens a nonblocking socket that shows ESP on the device 'ifname', if 'esp',
 * otherwise the other kinds: two sockets, so that much of the one cannot hide
 * the other.  Returns a file descriptor or a negative errno value. */
int wire_open(const char *ifname, const struct guard_tunnel *, bool esp);

/* Takes the next packet from the socket 'fd'.  False if there is none. */
bool wire_next(int fd, const struct guard_tunnel *, struct wire_packet *);

/* How many packets the socket 'fd' could not hold since the last time. */
unsigned int wire_lost(int fd);

#endif /* ipsec/wire.h */
