/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Nothing on the wire, however short, is read beyond its end. */

#include <config.h>
#include "ipsec/wire.h"

#include <stdint.h>
#include <stdlib.h>
#include "ipsec/guard.h"
#include "util.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct guard_tunnel tunnels[] = {
        { .protocol = IPPROTO_UDP, .port = 6081 },
        { .protocol = IPPROTO_GRE },
    };
    /* Of just this size, for the sanitizer to see its end. */
    uint8_t *copy = xmemdup(data, size);

    for (size_t i = 0; i < ARRAY_SIZE(tunnels); i++) {
        struct wire_packet packet;

        wire_parse(copy, size, &tunnels[i], &packet);
        ovs_assert(packet.kind != WIRE_ESP || size >= 24);
    }
    free(copy);
    return 0;
}
