/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Prints the guard's nftables text, and keeps a guard running for system
 * tests. */

#include <config.h>
#include "ipsec/guard.h"

#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "agent/config.h"
#include "agent/model.h"
#include "fatal-signal.h"
#include "lateen-test.h"
#include "openvswitch/dynamic-string.h"
#include "openvswitch/poll-loop.h"
#include "unixctl.h"
#include "util.h"

static void
add_prefix(struct ip_prefix_list *list, const char *s)
{
    struct ip_prefix p;

    ovs_assert(ip_prefix_parse(s, &p));
    ip_prefix_list_add(list, &p);
}

/* "geneve", "vxlan", "gre" or a UDP port; anything else is none. */
static struct guard_tunnel
parse_tunnel(const char *s)
{
    struct guard_tunnel tunnel = {
        .port = (!strcmp(s, "geneve") ? 6081
                 : !strcmp(s, "vxlan") ? 4789 : atoi(s)),
    };

    tunnel.protocol = (!strcmp(s, "gre") ? IPPROTO_GRE
                       : tunnel.port ? IPPROTO_UDP : 0);
    return tunnel;
}

/* What is to be guarded on 'this', one of n1 to n3, for 'tunnels', of
 * "geneve", "vxlan" and "gre" with commas between, or "off"; 'external': nodes
 * have addresses of that type, too. */
static void
make_wanted(const char *this, const char *tunnels, bool masquerade,
            bool external, struct guard_wanted *wanted)
{
    struct config config = { .ipsec_mode = IPSEC_REQUIRED };
    struct model model;

    config.masquerade = masquerade;
    add_prefix(&config.cluster_cidrs, "10.244.0.0/16");
    add_prefix(&config.cluster_cidrs, "fd00:10:244::/48");
    add_prefix(&config.masquerade_exclude, "172.16.0.0/12");
    model_init(&model);
    for (int i = 3; i > 0; i--) {
        char *name = xasprintf("n%d", i);
        char *address = xasprintf("192.0.2.%d", i);
        char *address6 = xasprintf("2001:db8::%d", i);
        struct node *node
            = node_cast(model_object_new(MODEL_NODE, NULL, name));

        add_prefix(&node->addresses, address);
        add_prefix(&node->addresses, address6);
        if (external) {
            char *outside = xasprintf("203.0.113.%d", i);

            add_prefix(&node->external_addresses, outside);
            free(outside);
        }
        model_put(&model, &node->obj);
        free(address);
        free(address6);
        free(name);
    }

    struct guard_wanted held = { .masquerade = false };
    char *copy = xstrdup(tunnels);
    bool first = true;
    for (char *save, *t = strtok_r(copy, ",", &save); t;
         t = strtok_r(NULL, ",", &save)) {
        struct guard_tunnel tunnel = parse_tunnel(t);

        if (first) {
            config.tunnel_type = (!strcmp(t, "gre") ? TUNNEL_GRE
                                  : TUNNEL_GENEVE);
            config.tunnel_port = tunnel.port;
            if (!strcmp(t, "off")) {
                config.ipsec_mode = IPSEC_OFF;
            }
            guard_wanted_derive(&config, &model, this, wanted);
            first = false;
        }
        guard_tunnels_add(&held.tunnels, tunnel);
    }
    free(copy);
    guard_wanted_hold(wanted, &held);
    guard_wanted_destroy(&held);
    model_destroy(&model);
    ip_prefix_list_destroy(&config.cluster_cidrs);
    ip_prefix_list_destroy(&config.masquerade_exclude);
}

/* guard-wanted TUNNELS [no-masquerade | external] */
static int
test_guard_wanted(int argc, char *argv[])
{
    struct ds ds = DS_EMPTY_INITIALIZER;
    struct guard_wanted wanted;

    if (argc < 2) {
        ovs_fatal(0, "usage: guard-wanted TUNNELS "
                  "[no-masquerade | external]");
    }
    make_wanted("n1", argv[1],
                argc == 2 || strcmp(argv[2], "no-masquerade"),
                argc > 2 && !strcmp(argv[2], "external"), &wanted);
    if (wanted.tunnels.n) {
        guard_wanted_format_nft(&wanted, &ds);
        fputs(ds_cstr(&ds), stdout);
    }
    ds_destroy(&ds);
    guard_wanted_destroy(&wanted);
    return 0;
}
LATEEN_TEST_REGISTER("guard-wanted", "TUNNELS [no-masquerade | external]",
                     test_guard_wanted)

/* guard-tunnels FILE WANTED PORT applied|pending: one turn of the agent's
 * loop, with 'FILE' before and after. */
static int
test_guard_tunnels(int argc, char *argv[])
{
    struct guard_tunnels tunnels = { .n = 0 };

    if (argc != 5) {
        ovs_fatal(0, "usage: guard-tunnels FILE WANTED PORT applied|pending");
    }
    char *error = guard_tunnels_load(&tunnels, argv[1]);
    if (!error && guard_tunnels_update(&tunnels, parse_tunnel(argv[2]),
                                       parse_tunnel(argv[3]),
                                       !strcmp(argv[4], "applied"))) {
        error = guard_tunnels_save(&tunnels, argv[1]);
    }
    guard_tunnels_destroy(&tunnels);
    if (error) {
        ovs_fatal(0, "%s", error);
    }
    return 0;
}
LATEEN_TEST_REGISTER("guard-tunnels", "FILE WANTED PORT applied|pending",
                     test_guard_tunnels)

/* guard-install NODE TUNNELS */
static int
test_guard_install(int argc, char *argv[])
{
    struct guard_wanted wanted;
    struct guard *guard;

    if (argc != 3) {
        ovs_fatal(0, "usage: guard-install NODE TUNNELS");
    }
    make_wanted(argv[1], argv[2], true, false, &wanted);
    char *error = guard_create(NULL, &guard);
    if (!error) {
        error = guard_install(guard, &wanted);
    }
    guard_destroy(guard);
    guard_wanted_destroy(&wanted);
    if (error) {
        ovs_fatal(0, "%s", error);
    }
    return 0;
}
LATEEN_TEST_REGISTER("guard-install", "NODE TUNNELS", test_guard_install)

/* guard-remove */
static int
test_guard_remove(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    char *error = guard_remove();

    if (error) {
        ovs_fatal(0, "%s", error);
    }
    return 0;
}
LATEEN_TEST_REGISTER("guard-remove", "", test_guard_remove)

/* The guard, with control commands:
 *
 *   status        the layers, repairs, counters that are not 0, alarm
 *   set TUNNELS
 *   exit */
struct running {
    struct guard *guard;
    const char *node;
    bool exit;
};

static void
ctl_status(struct unixctl_conn *conn, int argc OVS_UNUSED,
           const char *argv[] OVS_UNUSED, void *r_)
{
    struct running *r = r_;
    const struct guard_status *status = guard_get_status(r->guard);
    struct ds ds = DS_EMPTY_INITIALIZER;

    ds_put_format(&ds, "nft %s, xfrm %s, repairs %u",
                  status->nft_ok ? "ok" : "missing",
                  status->xfrm_ok ? "ok" : "missing", status->repairs);
    for (int i = 0; i < GUARD_N_COUNTERS; i++) {
        if (status->packets[i]) {
            ds_put_format(&ds, ", %s %"PRIu64, guard_counter_name(i),
                          status->packets[i]);
        }
    }
    unixctl_command_reply(conn, ds_cstr(&ds));
    ds_destroy(&ds);
}

static void
ctl_set(struct unixctl_conn *conn, int argc OVS_UNUSED, const char *argv[],
        void *r_)
{
    struct running *r = r_;
    struct guard_wanted wanted;

    make_wanted(r->node, argv[1], true, false, &wanted);
    guard_set(r->guard, &wanted);
    guard_wanted_destroy(&wanted);
    unixctl_command_reply(conn, NULL);
}

/* guard-run SOCKET NODE TUNNELS */
static int
test_guard_run(int argc, char *argv[])
{
    struct running r = { .exit = false };
    struct guard_wanted wanted;
    struct unixctl_server *server;

    if (argc != 4) {
        ovs_fatal(0, "usage: guard-run SOCKET NODE TUNNELS");
    }
    r.node = argv[2];
    fatal_ignore_sigpipe();
    if (unixctl_server_create(argv[1], &server)) {
        ovs_fatal(0, "cannot listen on %s", argv[1]);
    }
    unixctl_command_register("status", "", 0, 0, ctl_status, &r);
    unixctl_command_register("set", "TUNNELS", 1, 1, ctl_set, &r);
    unixctl_command_register("exit", "", 0, 0, lateen_test_ctl_set,
                             &r.exit);

    char *counters_file = xasprintf("%s.counters", argv[1]);
    char *error = guard_create(counters_file, &r.guard);
    free(counters_file);
    if (error) {
        ovs_fatal(0, "%s", error);
    }
    make_wanted(argv[2], argv[3], true, false, &wanted);
    guard_set(r.guard, &wanted);
    guard_wanted_destroy(&wanted);
    while (!r.exit) {
        guard_run(r.guard);
        unixctl_server_run(server);
        guard_wait(r.guard);
        unixctl_server_wait(server);
        poll_block();
    }
    unixctl_server_destroy(server);
    guard_destroy(r.guard);
    return 0;
}
LATEEN_TEST_REGISTER("guard-run", "SOCKET NODE TUNNELS", test_guard_run)
