/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Tells what packets on the wire are. */

#include <config.h>
#include "ipsec/wire.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/ip.h"
#include "dp-packet.h"
#include "ipsec/guard.h"
#include "lateen-test.h"
#include "packets.h"
#include "util.h"

/* wire PORT HEX...: what each IP packet is, where the tunnel is GRE if PORT is
 * 0. */
static int
test_wire(int argc, char *argv[])
{
    static const char *const kinds[] = {
        [WIRE_OTHER] = "other",
        [WIRE_CLEAR] = "clear",
        [WIRE_ESP] = "esp",
        [WIRE_ECHO] = "echo",
    };

    if (argc < 3) {
        ovs_fatal(0, "usage: wire PORT HEX...");
    }
    struct guard_tunnel tunnel = {
        .protocol = atoi(argv[1]) ? IPPROTO_UDP : IPPROTO_GRE,
        .port = atoi(argv[1]),
    };
    for (int i = 2; i < argc; i++) {
        struct dp_packet packet;
        struct wire_packet w;

        dp_packet_init(&packet, 0);
        if (*dp_packet_put_hex(&packet, argv[i], NULL)) {
            ovs_fatal(0, "%s is not hexadecimal", argv[i]);
        }
        wire_parse(dp_packet_data(&packet), dp_packet_size(&packet), &tunnel,
                   &w);
        char *src = ip_to_string(&w.src);
        char *dst = ip_to_string(&w.dst);
        printf("%s %s %s %"PRIx32"\n", kinds[w.kind], src, dst, w.spi);
        free(src);
        free(dst);
        dp_packet_uninit(&packet);
    }
    return 0;
}
LATEEN_TEST_REGISTER("wire", "PORT HEX...", test_wire)
