/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Prints what strongSwan is to hold, reads keys and SAs, and keeps an IKE edge
 * running for system tests. */

#include <config.h>
#include "ipsec/conns.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include "agent/config.h"
#include "agent/model.h"
#include "fatal-signal.h"
#include "ipsec/ike-sas.h"
#include "ipsec/ike.h"
#include "ipsec/psk.h"
#include "ipsec/x509.h"
#include "lateen-test.h"
#include "openvswitch/dynamic-string.h"
#include "openvswitch/json.h"
#include "openvswitch/poll-loop.h"
#include "openvswitch/shash.h"
#include "unixctl.h"
#include "util.h"

/* With a configuration's defaults, or what 'file' says. */
static struct config *
make_config(const char *file)
{
    static const char text[] = "{source: dir:/d, cluster-cidrs: [10.0.0.0/8]}";
    struct config *config;
    char *error = (file ? config_load(file, &config)
                   : config_parse("default", text, strlen(text), &config));

    if (error) {
        ovs_fatal(0, "%s", error);
    }
    return config;
}

/* "off", or geneve, vxlan, gre, or "PORT" for geneve on another port; with
 * "4" or "6" appended for a family. */
static void
set_tunnel(struct config *config, const char *arg)
{
    char *tunnel = xstrdup(arg);
    size_t length = strlen(tunnel);
    bool number = strspn(tunnel, "0123456789") == length;

    config->ipsec_mode = strcmp(arg, "off") ? IPSEC_REQUIRED : IPSEC_OFF;
    config->tunnel_family = 0;
    if (!number && length && strchr("46", tunnel[length - 1])) {
        config->tunnel_family = (tunnel[length - 1] == '4'
                                 ? AF_INET : AF_INET6);
        tunnel[length - 1] = '\0';
    }
    config->tunnel_type = (!strcmp(tunnel, "gre") ? TUNNEL_GRE
                           : !strcmp(tunnel, "vxlan") ? TUNNEL_VXLAN
                           : TUNNEL_GENEVE);
    config->tunnel_port = (!strcmp(tunnel, "gre") ? 0
                           : !strcmp(tunnel, "vxlan") ? 4789
                           : number ? atoi(tunnel) : 6081);
    free(tunnel);
}

/* Puts the node "NAME=ADDRESS,..." into 'model'; takes it away if there is
 * nothing after the "=". */
static void
put_node(struct model *model, const char *arg)
{
    char *name = xstrdup(arg), *list = strchr(name, '='), *save, *address;
    struct node *node;

    ovs_assert(list);
    *list++ = '\0';
    if (!*list) {
        model_remove(model, MODEL_NODE, NULL, name);
        free(name);
        return;
    }
    node = node_cast(model_object_new(MODEL_NODE, NULL, name));
    for (address = strtok_r(list, ",", &save); address;
         address = strtok_r(NULL, ",", &save)) {
        struct ip_prefix p;

        ovs_assert(ip_prefix_parse(address, &p));
        ip_prefix_list_add(&node->addresses, &p);
    }
    model_put(model, &node->obj);
    free(name);
}

static void
print_json(const struct json *json)
{
    char *text = json_to_string(json, JSSF_PRETTY | JSSF_SORT);

    puts(text);
    free(text);
}

/* conns TUNNEL|FILE SELF NODE=ADDRESS,... ...: with a tunnel, or with all that
 * a file of configuration says. */
static int
test_conns(int argc, char *argv[])
{
    struct config *config;
    struct json *all = json_object_create();
    struct shash conns = SHASH_INITIALIZER(&conns);
    struct shash_node *node;
    struct model model;

    if (argc < 3) {
        ovs_fatal(0, "usage: conns TUNNEL|FILE SELF NODE=ADDRESS,... ...");
    }
    if (strchr(argv[1], '.')) {
        config = make_config(argv[1]);
    } else {
        config = make_config(NULL);
        set_tunnel(config, argv[1]);
    }
    model_init(&model);
    for (int i = 3; i < argc; i++) {
        put_node(&model, argv[i]);
    }
    conns_derive(&model, config, argv[2], NULL, &conns);
    SHASH_FOR_EACH (node, &conns) {
        json_object_put(all, node->name, json_clone(node->data));
    }
    json_object_put(all, "secret", conns_secret(&model));
    print_json(all);
    json_destroy(all);
    conns_destroy(&conns);
    model_destroy(&model);
    config_destroy(config);
    return 0;
}
LATEEN_TEST_REGISTER("conns", "TUNNEL|FILE SELF NODE=ADDRESS,... ...",
                     test_conns)

/* psk FILE: the key's size, or what is wrong. */
static int
test_psk(int argc, char *argv[])
{
    struct psk *psk;

    if (argc != 2) {
        ovs_fatal(0, "usage: psk FILE");
    }
    char *error = psk_read(argv[1], &psk);
    if (error) {
        puts(error);
        free(error);
        return 1;
    }
    printf("%"PRIuSIZE" bytes\n", psk->size);
    psk_free(psk);
    return 0;
}
LATEEN_TEST_REGISTER("psk", "FILE", test_psk)

/* x509 CERTIFICATE KEY CA CRL|- NODE: what there is, or what is wrong. */
static int
test_x509(int argc, char *argv[])
{
    struct x509 *x509;

    if (argc != 6) {
        ovs_fatal(0, "usage: x509 CERTIFICATE KEY CA CRL|- NODE");
    }
    char *error = x509_read(argv[1], argv[2], argv[3],
                            strcmp(argv[4], "-") ? argv[4] : NULL, argv[5],
                            &x509);
    if (error) {
        puts(error);
        free(error);
        return 1;
    }
    printf("intermediates %"PRIuSIZE", authorities %"PRIuSIZE", revocation "
           "lists %"PRIuSIZE"\n", x509->intermediates.n, x509->cas.n,
           x509->crls.n);
    if (x509->warning) {
        puts(x509->warning);
    }
    x509_free(x509);
    return 0;
}
LATEEN_TEST_REGISTER("x509", "CERTIFICATE KEY CA CRL|- NODE", test_x509)

/* ike-sas [CONNS NAME]: what the IKE SAs on standard input, one a line, say;
 * what is wanted is NAME's in CONNS, a file of what conns prints. */
static int
test_ike_sas(int argc, char *argv[])
{
    struct json *conns = (argc == 3 ? json_from_file(argv[1])
                          : json_object_create());
    const struct json *wanted
        = argc == 3 ? shash_find_data(json_object(conns), argv[2]) : NULL;
    struct json *row = json_object_create();
    struct ike_sas sas = { .n_established = 0 };
    char line[65536];

    while (fgets(line, sizeof line, stdin)) {
        struct json *sa = json_from_string(line);

        ovs_assert(sa->type == JSON_OBJECT);
        ike_sas_add(&sas, sa, wanted);
        json_destroy(sa);
    }
    ike_sas_put_json(&sas, row);
    for (size_t i = 0; i < sas.n_established; i++) {
        json_object_put_string(row, "newest", sas.established[i].id);
    }
    if (sas.connecting) {
        json_object_put_string(row, "connecting", sas.connecting);
    }
    if (sas.misfit) {
        json_object_put_string(row, "misfit", sas.misfit);
    }
    print_json(row);
    json_destroy(row);
    json_destroy(conns);
    ike_sas_clear(&sas);
    return 0;
}
LATEEN_TEST_REGISTER("ike-sas", "[CONNS NAME]", test_ike_sas)

/* The edge, with control commands:
 *
 *   state         "realized" or what is wrong, and each peer's state
 *   status        everything
 *   repairs       what has been repaired
 *   node NODE=ADDRESS,...
 *   tunnel TUNNEL
 *   config FILE
 *   known         from now on, the cluster is known
 *   exit */
struct running {
    struct ike *ike;
    struct config *config;
    struct model model;
    bool known;
    bool exit;
};

static void
ctl_state(struct unixctl_conn *conn, int argc OVS_UNUSED,
          const char *argv[] OVS_UNUSED, void *r_)
{
    struct running *r = r_;
    struct json *rows = ike_status_to_json(r->ike);
    const char *error = ike_last_error(r->ike);
    struct ds ds = DS_EMPTY_INITIALIZER;

    ds_put_format(&ds, "%s%s%s%s",
                  ike_realized(r->ike) ? "realized" : "not realized",
                  ike_permits_tunnel(r->ike) ? "" : ", refused",
                  error ? ": " : "", error ? error : "");
    for (size_t i = 0; i < rows->array.n; i++) {
        const struct shash *row = json_object(rows->array.elems[i]);
        const struct json *row_error = shash_find_data(row, "error");

        ds_put_format(&ds, "\n%s %s",
                      json_string(shash_find_data(row, "peer")),
                      json_string(shash_find_data(row, "state")));
        if (!error && row_error->type == JSON_STRING) {
            ds_put_format(&ds, ": %s", json_string(row_error));
        }
    }
    json_destroy(rows);
    unixctl_command_reply(conn, ds_cstr(&ds));
    ds_destroy(&ds);
}

/* Replies with 'json', which it takes. */
static void
reply_json(struct unixctl_conn *conn, struct json *json)
{
    char *text = json_to_string(json, JSSF_PRETTY | JSSF_SORT);

    unixctl_command_reply(conn, text);
    free(text);
    json_destroy(json);
}

static void
ctl_status(struct unixctl_conn *conn, int argc OVS_UNUSED,
           const char *argv[] OVS_UNUSED, void *r_)
{
    struct running *r = r_;

    reply_json(conn, ike_status_to_json(r->ike));
}

static void
ctl_repairs(struct unixctl_conn *conn, int argc OVS_UNUSED,
            const char *argv[] OVS_UNUSED, void *r_)
{
    struct running *r = r_;

    reply_json(conn, ike_repairs_to_json(r->ike));
}

static void
ctl_node(struct unixctl_conn *conn, int argc OVS_UNUSED, const char *argv[],
         void *r_)
{
    struct running *r = r_;

    put_node(&r->model, argv[1]);
    unixctl_command_reply(conn, NULL);
}

static void
ctl_tunnel(struct unixctl_conn *conn, int argc OVS_UNUSED, const char *argv[],
           void *r_)
{
    struct running *r = r_;

    set_tunnel(r->config, argv[1]);
    r->config->serial++;
    unixctl_command_reply(conn, NULL);
}

static void
ctl_config(struct unixctl_conn *conn, int argc OVS_UNUSED, const char *argv[],
           void *r_)
{
    struct running *r = r_;

    config_destroy(r->config);
    r->config = make_config(argv[1]);
    unixctl_command_reply(conn, NULL);
}

/* ike-run SOCKET VICI-SOCKET PSK-FILE SELF */
static int
test_ike_run(int argc, char *argv[])
{
    struct running r = { .exit = false };
    struct unixctl_server *server;

    if (argc != 5) {
        ovs_fatal(0, "usage: ike-run SOCKET VICI-SOCKET PSK-FILE SELF");
    }
    fatal_ignore_sigpipe();
    r.config = make_config(NULL);
    free(r.config->vici_socket);
    r.config->vici_socket = xstrdup(argv[2]);
    svec_add(&r.config->psk_files, argv[3]);
    set_tunnel(r.config, "geneve");
    model_init(&r.model);
    r.ike = ike_create();
    unixctl_command_register("state", "", 0, 0, ctl_state, &r);
    unixctl_command_register("status", "", 0, 0, ctl_status, &r);
    unixctl_command_register("repairs", "", 0, 0, ctl_repairs, &r);
    unixctl_command_register("node", "NODE=ADDRESS,...", 1, 1, ctl_node, &r);
    unixctl_command_register("tunnel", "TUNNEL", 1, 1, ctl_tunnel, &r);
    unixctl_command_register("config", "FILE", 1, 1, ctl_config, &r);
    unixctl_command_register("known", "", 0, 0, lateen_test_ctl_set,
                             &r.known);
    unixctl_command_register("exit", "", 0, 0, lateen_test_ctl_set,
                             &r.exit);
    if (unixctl_server_create(argv[1], &server)) {
        ovs_fatal(0, "cannot listen on %s", argv[1]);
    }
    while (!r.exit) {
        unixctl_server_run(server);
        ike_run(r.ike, r.known ? &r.model : NULL, r.config, argv[4]);
        ike_wait(r.ike);
        unixctl_server_wait(server);
        poll_block();
    }
    ike_destroy(r.ike);
    config_destroy(r.config);
    model_destroy(&r.model);
    unixctl_server_destroy(server);
    return 0;
}
LATEEN_TEST_REGISTER("ike-run", "SOCKET VICI-SOCKET PSK-FILE SELF",
                     test_ike_run)

/* ike-cleanup VICI-SOCKET */
static int
test_ike_cleanup(int argc, char *argv[])
{
    struct config config = { .ipsec_mode = IPSEC_REQUIRED };

    if (argc != 2) {
        ovs_fatal(0, "usage: ike-cleanup VICI-SOCKET");
    }
    config.vici_socket = argv[1];
    char *error = ike_cleanup(&config, 5000);
    if (error) {
        ovs_fatal(0, "%s", error);
    }
    return 0;
}
LATEEN_TEST_REGISTER("ike-cleanup", "VICI-SOCKET", test_ike_cleanup)
