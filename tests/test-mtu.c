/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Prints pods' MTU for all kinds of paths over an underlay of a given MTU. */

#include <config.h>
#include "agent/mtu.h"

#include <stdio.h>
#include <stdlib.h>
#include "lateen-test.h"
#include "util.h"

static int
test_mtu(int argc, char *argv[])
{
    if (argc != 2) {
        ovs_fatal(0, "usage: mtu UPLINK");
    }
    for (int i = 0; i < 12; i++) {
        struct mtu_path path = {
            .uplink = atoi(argv[1]),
            .gre = i & 2,
            .v6 = i & 1,
            .esp = i >= 4,
            .udp_encap = i >= 8,
        };
        printf("%-4s IPv%d%s %u\n", path.gre ? "gre" : "udp",
               path.v6 ? 6 : 4,
               path.udp_encap ? " esp-in-udp" : path.esp ? " esp" : "",
               mtu_of_pods(&path));
    }
    return 0;
}
LATEEN_TEST_REGISTER("mtu", "UPLINK", test_mtu)
