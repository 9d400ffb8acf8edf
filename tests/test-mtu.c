/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Prints pods' MTU for all kinds of paths over an underlay of a given MTU. */

#include <config.h>
#include "agent/mtu.h"

#include <stdio.h>
#include <stdlib.h>
#include "ipsec/proposal.h"
#include "lateen-test.h"
#include "util.h"

static int
test_mtu(int argc, char *argv[])
{
    struct proposal_esp esp;

    if (argc < 2 || argc > 3) {
        ovs_fatal(0, "usage: mtu UPLINK [PROPOSAL]");
    }
    char *error = proposal_parse(argc == 3 ? argv[2] : PROPOSAL_ESP_DEFAULT,
                                 &esp);
    if (error) {
        ovs_fatal(0, "%s", error);
    }
    for (int i = 0; i < 12; i++) {
        struct mtu_path path = {
            .uplink = atoi(argv[1]),
            .gre = i & 2,
            .v6 = i & 1,
            .esp = i >= 4 ? &esp : NULL,
            .udp_encap = i >= 8,
        };
        printf("%-4s IPv%d%s %u\n", path.gre ? "gre" : "udp",
               path.v6 ? 6 : 4,
               path.udp_encap ? " esp-in-udp" : path.esp ? " esp" : "",
               mtu_of_pods(&path));
    }
    return 0;
}
LATEEN_TEST_REGISTER("mtu", "UPLINK [PROPOSAL]", test_mtu)
