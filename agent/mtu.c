/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Pods' MTU: see mtu.h. */

#include <config.h>
#include "mtu.h"

#include <stdlib.h>

#include "agent/config.h"
#include "ipsec/proposal.h"
#include "util.h"

/* Bytes that stand between the outer IP header and the inner IP packet. */
#define ETHERNET_HEADER 14
#define GRE_HEADER 8            /* With a key. */
#define UDP_HEADER 8
#define UDP_TUNNEL_HEADER 8     /* Geneve without options, and VXLAN. */

/* What ESP always takes: SPI and sequence number; and the trailer's lengths of
 * the padding and next header. */
#define ESP_HEADER 8
#define ESP_TRAILER 2

unsigned int
mtu_of_pods(const struct mtu_path *path)
{
    unsigned int room = path->uplink;
    unsigned int outer = path->v6 ? 40 : 20;
    unsigned int overhead = ETHERNET_HEADER
        + (path->gre ? GRE_HEADER : UDP_HEADER + UDP_TUNNEL_HEADER);

    if (path->esp) {
        outer += ESP_HEADER + path->esp->iv + path->esp->icv
            + (path->udp_encap ? UDP_HEADER : 0);
        overhead += ESP_TRAILER;
    }
    if (room < outer) {
        return 0;
    }
    room -= outer;
    if (path->esp) {
        room -= room % path->esp->block;
    }
    return room > overhead ? room - overhead : 0;
}

unsigned int
mtu_derive(const struct config *config, unsigned int uplink, bool v6)
{
    struct mtu_path path = {
        .uplink = uplink,
        .gre = config->tunnel_type == TUNNEL_GRE,
        .v6 = v6,
    };
    unsigned int mtu = mtu_of_pods(&path);

    if (config->ipsec_mode == IPSEC_REQUIRED) {
        /* charon puts ESP in UDP by itself where it sees a NAT. */
        path.udp_encap = config->udp_encap || config->tunnel_external;
        for (size_t i = 0; i < config->esp_proposals.n; i++) {
            struct proposal_esp esp;

            /* They have been checked. */
            free(proposal_parse(config->esp_proposals.names[i], &esp));
            path.esp = &esp;
            mtu = MIN(mtu, mtu_of_pods(&path));
        }
    }
    return mtu;
}
