/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What the host edge wants for a small cluster: this node n1 and its peers n2
 * and n3; and the edge itself, kept running for system tests. */

#include <config.h>
#include "agent/host.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "agent/config.h"
#include "agent/model.h"
#include "fatal-signal.h"
#include "lateen-test.h"
#include "openvswitch/dynamic-string.h"
#include "openvswitch/poll-loop.h"
#include "timeval.h"
#include "sset.h"
#include "unixctl.h"
#include "util.h"

static void
add_prefix(struct ip_prefix_list *list, const char *s)
{
    struct ip_prefix p;

    ovs_assert(ip_prefix_parse(s, &p));
    ip_prefix_list_add(list, &p);
}

/* Adds node nI with pods of the given families ("4", "6" or "46"). */
static void
add_node(struct model *model, int i, const char *families)
{
    char *name = xasprintf("n%d", i);
    struct node *node = node_cast(model_object_new(MODEL_NODE, NULL, name));
    char s[64];

    if (strchr(families, '4')) {
        snprintf(s, sizeof s, "10.244.%d.0/24", i);
        add_prefix(&node->pod_cidrs, s);
    }
    if (strchr(families, '6')) {
        snprintf(s, sizeof s, "fd00:10:244:%d::/64", i);
        add_prefix(&node->pod_cidrs, s);
    }
    snprintf(s, sizeof s, "192.0.2.%d", i);
    add_prefix(&node->addresses, s);
    snprintf(s, sizeof s, "2001:db8::%d", i);
    add_prefix(&node->addresses, s);
    model_put(model, &node->obj);
    free(name);
}

static void
init_config(struct config *config)
{
    memset(config, 0, sizeof *config);
    config->masquerade = true;
    add_prefix(&config->cluster_cidrs, "10.244.0.0/16");
    add_prefix(&config->cluster_cidrs, "fd00:10:244::/48");
    add_prefix(&config->masquerade_exclude, "172.16.0.0/12");
}

static void
uninit_config(struct config *config)
{
    ip_prefix_list_destroy(&config->cluster_cidrs);
    ip_prefix_list_destroy(&config->masquerade_exclude);
    free(config->datapath_type);
}

/* host-wanted FAMILIES [ADDRESS...] */
static int
test_host_wanted(int argc, char *argv[])
{
    struct host_facts facts = {
        .node = "n1", .mtu = 1416, .uplink = "eth0"
    };
    struct host_wanted wanted;
    struct config config;
    struct model model;
    struct ds ds = DS_EMPTY_INITIALIZER;

    if (argc < 2) {
        ovs_fatal(0, "usage: host-wanted FAMILIES [netdev] [required] "
                  "[ADDRESS...]");
    }
    init_config(&config);
    model_init(&model);
    add_node(&model, 3, "46");
    add_node(&model, 1, argv[1]);
    add_node(&model, 2, "46");
    for (int i = 2; i < argc; i++) {
        if (!strcmp(argv[i], "netdev")) {
            free(config.datapath_type);
            config.datapath_type = xstrdup(argv[i]);
        } else if (!strcmp(argv[i], "required")) {
            config.ipsec_mode = IPSEC_REQUIRED;
        } else {
            add_prefix(&facts.addresses, argv[i]);
        }
    }
    host_wanted_derive(&model, &config, &facts, &wanted);
    host_wanted_format(&wanted, &ds);
    fputs(ds_cstr(&ds), stdout);

    ds_destroy(&ds);
    host_wanted_destroy(&wanted);
    ip_prefix_list_destroy(&facts.addresses);
    model_destroy(&model);
    uninit_config(&config);
    return 0;
}
LATEEN_TEST_REGISTER("host-wanted",
                     "FAMILIES [netdev] [required] [ADDRESS...]",
                     test_host_wanted)

/* The edge, with control commands:
 *
 *   status             in place or not, repairs, error
 *   node N FAMILIES    a node appears or changes
 *   remove-node N
 *   known              from now on, the model is complete
 *   exit */
struct running {
    struct model model;
    struct host *host;
    bool known;
    bool exit;
};

static void
ctl_status(struct unixctl_conn *conn, int argc OVS_UNUSED,
           const char *argv[] OVS_UNUSED, void *r_)
{
    struct running *r = r_;
    const struct host_status *status = host_get_status(r->host);
    bool in_place = status->in_place && status->seqno == r->model.seqno;
    char *s = xasprintf("%s, %s", in_place ? "in place" : "not in place",
                        status->error ? status->error : "no error");

    unixctl_command_reply(conn, s);
    free(s);
}

static void
ctl_repairs(struct unixctl_conn *conn, int argc OVS_UNUSED,
            const char *argv[] OVS_UNUSED, void *r_)
{
    struct running *r = r_;
    char *s = xasprintf("%u", host_get_status(r->host)->repairs);

    unixctl_command_reply(conn, s);
    free(s);
}

static void
ctl_node(struct unixctl_conn *conn, int argc OVS_UNUSED, const char *argv[],
         void *r_)
{
    struct running *r = r_;

    add_node(&r->model, atoi(argv[1]), argv[2]);
    unixctl_command_reply(conn, NULL);
}

static void
ctl_remove_node(struct unixctl_conn *conn, int argc OVS_UNUSED,
                const char *argv[], void *r_)
{
    struct running *r = r_;
    char *name = xasprintf("n%s", argv[1]);

    model_remove(&r->model, MODEL_NODE, NULL, name);
    free(name);
    unixctl_command_reply(conn, NULL);
}

/* host-run SOCKET ADDRESS */
static int
test_host_run(int argc, char *argv[])
{
    struct running r = { .exit = false };
    struct unixctl_server *server;
    struct in6_addr address;
    struct config config;

    if (argc != 3 || !ip_addr_parse(argv[2], &address)) {
        ovs_fatal(0, "usage: host-run SOCKET ADDRESS");
    }
    fatal_ignore_sigpipe();
    if (unixctl_server_create(argv[1], &server)) {
        ovs_fatal(0, "cannot listen on %s", argv[1]);
    }
    unixctl_command_register("status", "", 0, 0, ctl_status, &r);
    unixctl_command_register("repairs", "", 0, 0, ctl_repairs, &r);
    unixctl_command_register("node", "N FAMILIES", 2, 2, ctl_node, &r);
    unixctl_command_register("remove-node", "N", 1, 1, ctl_remove_node, &r);
    unixctl_command_register("known", "", 0, 0, lateen_test_ctl_set,
                             &r.known);
    unixctl_command_register("exit", "", 0, 0, lateen_test_ctl_set,
                             &r.exit);

    init_config(&config);
    model_init(&r.model);
    char *error = host_create(&r.host);
    if (error) {
        ovs_fatal(0, "%s", error);
    }
    while (!r.exit) {
        host_run(r.host, r.known ? &r.model : NULL, &config, false, "n1",
                 &address, 1400);
        unixctl_server_run(server);
        host_wait(r.host);
        unixctl_server_wait(server);
        poll_block();
    }
    unixctl_server_destroy(server);
    host_destroy(r.host);
    model_destroy(&r.model);
    uninit_config(&config);
    return 0;
}
LATEEN_TEST_REGISTER("host-run", "SOCKET ADDRESS", test_host_run)

/* host-remove */
static int
test_host_remove(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    struct sset none = SSET_INITIALIZER(&none);
    char *error = host_remove(&none);

    if (error) {
        ovs_fatal(0, "%s", error);
    }
    return 0;
}
LATEEN_TEST_REGISTER("host-remove", "", test_host_remove)
