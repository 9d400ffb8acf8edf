/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Pods' MTU: see mtu.h. */

#include <config.h>
#include "mtu.h"

/* Bytes that stand between the outer IP header and the inner IP packet. */
#define ETHERNET_HEADER 14
#define GRE_HEADER 8            /* With a key. */
#define UDP_HEADER 8
#define UDP_TUNNEL_HEADER 8     /* Geneve without options, and VXLAN. */

/* What ESP takes: SPI and sequence number, IV, ICV; then a trailer. */
#define ESP_FIXED (8 + 8 + 16)
#define ESP_TRAILER 2
#define ESP_ALIGNMENT 4

unsigned int
mtu_of_pods(const struct mtu_path *path)
{
    unsigned int room = path->uplink;
    unsigned int outer = path->v6 ? 40 : 20;
    unsigned int overhead = ETHERNET_HEADER
        + (path->gre ? GRE_HEADER : UDP_HEADER + UDP_TUNNEL_HEADER);

    if (path->esp) {
        outer += ESP_FIXED + (path->udp_encap ? UDP_HEADER : 0);
        overhead += ESP_TRAILER;
    }
    if (room < outer) {
        return 0;
    }
    room -= outer;
    if (path->esp) {
        room -= room % ESP_ALIGNMENT;
    }
    return room > overhead ? room - overhead : 0;
}
