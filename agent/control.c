/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The commands of the control socket: see control.h. */

#include <config.h>
#include "control.h"

#include <stdlib.h>
#include <string.h>

#include "agent/config.h"
#include "cluster.h"
#include "control-flows.h"
#include "control-json.h"
#include "flows/flow-table.h"
#include "flows/ofctrl.h"
#include "host.h"
#include "ipsec/guard.h"
#include "ipsec/ike.h"
#include "lateend.h"
#include "openvswitch/dynamic-string.h"
#include "openvswitch/json.h"
#include "openvswitch/ofp-port.h"
#include "openvswitch/poll-loop.h"
#include "ovsdb.h"
#include "packets.h"
#include "source.h"
#include "svec.h"
#include "unixctl.h"
#include "util.h"

/* Refused flows that "status" lists at most. */
#define MAX_REFUSALS 50

enum wait_for {
    WAIT_SYNCED,
    WAIT_ENCRYPTED,             /* That, and SAs with all peers. */
    WAIT_RECOMPUTED,            /* Flows alone: that must be seen to change
                                 * nothing also where IPsec is refused or
                                 * charon is away. */
};

/* Someone who waits for the model's change 'seqno' to be in force. */
struct waiter {
    struct ovs_list list_node;  /* In 'waiters'. */
    struct unixctl_conn *conn;
    uint64_t seqno;             /* Of the model. */
    enum wait_for what;
    uint64_t flows_before;      /* The flow table's seqno, for a
                                 * recomputation. */
};

static struct ovs_list waiters = OVS_LIST_INITIALIZER(&waiters);

/* The addresses of 'list', or its prefixes, as an array. */
static struct json *
prefixes_to_json(const struct ip_prefix_list *list, bool addresses)
{
    struct json *array = json_array_create_empty();

    for (size_t i = 0; i < list->n; i++) {
        const struct ip_prefix *p = &list->elems[i];

        json_array_add(array, json_string_create_nocopy(
                           addresses ? ip_to_string(&p->addr)
                           : ip_prefix_to_string(p)));
    }
    return array;
}

/* status */

static struct json *
refusals_to_json(const struct lateend *d)
{
    struct json *array = json_array_create_empty();
    const struct hmap *refusals = flow_table_refusals(d->flow_table);
    const struct flow_refusal *r;
    size_t n = 0;

    HMAP_FOR_EACH (r, node, refusals) {
        if (++n > MAX_REFUSALS) {
            json_array_add(array, json_string_create_nocopy(
                               xasprintf("... %"PRIuSIZE" flows in all",
                                         hmap_count(refusals))));
            break;
        }
        json_array_add(array, json_string_create_nocopy(
                           control_refusal_text(d, r)));
    }
    return array;
}

static struct json *
guard_to_json(const struct lateend *d)
{
    const struct guard_status *status = guard_get_status(d->guard);
    struct json *guard = json_object_create();

    put_bool(guard, "wanted", status->wanted);
    put_bool(guard, "nftables", status->nft_ok);
    put_string(guard, "nftablesError", status->nft_error);
    put_bool(guard, "xfrm", status->xfrm_ok);
    put_string(guard, "xfrmError", status->xfrm_error);
    put_integer(guard, "repairs", status->repairs);
    put_string(guard, "alarm", status->alarm);

    struct json *stopped = json_object_create();
    for (int i = 0; i < GUARD_N_COUNTERS; i++) {
        put_integer(stopped, guard_counter_name(i), status->packets[i]);
    }
    put(guard, "stoppedPackets", stopped);
    return guard;
}

static void
control_status(struct unixctl_conn *conn, int argc OVS_UNUSED,
               const char *argv[] OVS_UNUSED, void *d_)
{
    const struct lateend *d = d_;
    const struct ovsdb_facts *facts = ovsdb_get_facts(d->ovsdb);
    const struct host_status *host = host_get_status(d->host);
    struct json *json = json_object_create();
    const char *missing;
    bool synced = lateend_is_synced(d, d->model.seqno, &missing);

    put_string(json, "node", d->node);
    put_string(json, "version", PACKAGE_VERSION);
    put_bool(json, "synced", synced);
    put_string(json, "missing", missing);

    struct json *config = json_object_create();
    put_string(config, "file", d->config_file);
    put_string(config, "notInForce", d->config_refusal);
    put(json, "configuration", config);

    struct json *source = json_object_create();
    put_string(source, "directory", d->config->source_dir);
    put_bool(source, "read", d->source_synced);
    put_integer(source, "nodes",
                hmap_count(&d->model.objects[MODEL_NODE]));
    put_integer(source, "namespaces",
                hmap_count(&d->model.objects[MODEL_NAMESPACE]));
    put_integer(source, "pods", hmap_count(&d->model.objects[MODEL_POD]));
    put_integer(source, "policies",
                hmap_count(&d->model.objects[MODEL_POLICY]));
    struct svec lines = SVEC_EMPTY_INITIALIZER;
    struct source_status status = { .errors = &lines };
    struct json *errors = json_array_create_empty();
    const char *line;
    size_t i;
    source_get_status(d->source, &status);
    SVEC_FOR_EACH (i, line, &lines) {
        json_array_add(errors, json_string_create(line));
    }
    svec_destroy(&lines);
    put_integer(source, "ignored", status.n_ignored);
    put(source, "errors", errors);
    put(json, "source", source);

    struct json *tunnel = json_object_create();
    put_string(tunnel, "type", tunnel_type_name(d->config->tunnel_type));
    put(tunnel, "address", (ipv6_addr_is_set(&d->tunnel_ip)
                            ? json_string_create_nocopy(
                                ip_to_string(&d->tunnel_ip))
                            : json_null_create()));
    put_integer(tunnel, "podMTU", d->mtu);
    put_string(tunnel, "refused", d->tunnel_refusal);
    put(json, "tunnel", tunnel);

    struct json *ovs = json_object_create();
    put_bool(ovs, "connected", facts->connected);
    put_bool(ovs, "ready", facts->ready);
    put_string(ovs, "version", facts->ovs_version);
    put_string(ovs, "bridge", d->config->bridge);
    put_string(ovs, "datapathType", facts->datapath_type);
    put_string(ovs, "error", facts->error);
    put(json, "openvswitch", ovs);

    struct json *flows = json_object_create();
    put_bool(flows, "connected", ofctrl_is_connected(d->ofctrl));
    put_integer(flows, "wanted", flow_table_n_wanted(d->flow_table));
    put_integer(flows, "present", flow_table_n_present(d->flow_table));
    put(flows, "refused", refusals_to_json(d));
    put_string(flows, "error", ofctrl_last_error(d->ofctrl));
    put(json, "flows", flows);

    struct json *h = json_object_create();
    put_bool(h, "inPlace", host->in_place);
    put_integer(h, "repairs", host->repairs);
    put_string(h, "error", host->error);
    put(json, "host", h);

    put(json, "guard", guard_to_json(d));

    struct json *ipsec = json_object_create();
    put_string(ipsec, "mode", (d->config->ipsec_mode == IPSEC_REQUIRED
                               ? "required" : "off"));
    put_bool(ipsec, "inPlace", (d->config->ipsec_mode == IPSEC_REQUIRED
                                && ike_realized(d->ike)));
    put(ipsec, "repairs", ike_repairs_to_json(d->ike));
    put_string(ipsec, "error", ike_last_error(d->ike));
    put(json, "ipsec", ipsec);
    reply(conn, json);
}

/* nodes, pods, ipsec */

static void
control_nodes(struct unixctl_conn *conn, int argc OVS_UNUSED,
              const char *argv[] OVS_UNUSED, void *d_)
{
    const struct lateend *d = d_;
    struct json *rows = json_array_create_empty();
    const struct model_object *obj;

    MODEL_FOR_EACH (obj, MODEL_NODE, &d->model) {
        const struct node *node = node_cast(obj);
        bool self = !strcmp(obj->name, d->node);
        const struct in6_addr *ip
            = self ? node_tunnel_address(node, d->tunnel_family)
            : peer_tunnel_address(d->config, node, d->tunnel_family);
        struct json *row = json_object_create();

        put_string(row, "name", obj->name);
        put_bool(row, "self", self);
        put(row, "addresses", prefixes_to_json(&node->addresses, true));
        put(row, "podCIDRs", prefixes_to_json(&node->pod_cidrs, false));
        put(row, "tunnel", (ip ? json_string_create_nocopy(ip_to_string(ip))
                            : json_null_create()));
        put_string(row, "ipsec",
                   (self ? "this node"
                    : d->config->ipsec_mode == IPSEC_OFF ? "off"
                    : ike_state_name(ike_peer_state(d->ike, obj->name))));
        json_array_add(rows, row);
    }
    reply_by_name(conn, rows);
}

static void
control_pods(struct unixctl_conn *conn, int argc OVS_UNUSED,
             const char *argv[] OVS_UNUSED, void *d_)
{
    const struct lateend *d = d_;
    struct json *rows = json_array_create_empty();
    const struct model_object *obj;

    MODEL_FOR_EACH (obj, MODEL_ATTACHMENT, &d->model) {
        const struct attachment *a = attachment_cast(obj);
        const char *error = ovsdb_port_error(d->ovsdb, a->hostif);
        const struct flow_refusal *refusal
            = flow_table_find_refusal(d->flow_table, compile_cookie(obj));
        struct json *row = json_object_create();

        put_string(row, "namespace", a->pod_namespace);
        put_string(row, "name", a->pod_name ? a->pod_name : a->container_id);
        put_string(row, "node", d->node);
        put_string(row, "container", a->container_id);
        put_string(row, "interface", a->ifname);
        put(row, "ips", prefixes_to_json(&a->ips, true));
        put(row, "mac", json_string_create_nocopy(
                xasprintf(ETH_ADDR_FMT, ETH_ADDR_ARGS(a->mac))));
        put_string(row, "port", a->hostif);
        if (a->ofport != OFPP_NONE) {
            put_integer(row, "ofport", a->ofport);
        }
        put_string(row, "state",
                   (error ? error
                    : refusal ? refusal->error
                    : a->ofport == OFPP_NONE ? "no port number yet"
                    : (!a->flows_seqno
                       || a->flows_seqno > ofctrl_realized(d->ofctrl))
                    ? "flows not in the switch yet"
                    : "ready"));
        json_array_add(rows, row);
    }
    reply_by_name(conn, rows);
}

bool
control_refuses_ipsec(const struct lateend *d, struct unixctl_conn *conn)
{
    if (d->config->ipsec_mode == IPSEC_OFF) {
        unixctl_command_reply_error(conn, "ipsec is off in the "
                                    "configuration of this node");
        return true;
    }
    return false;
}

static void
control_ipsec(struct unixctl_conn *conn, int argc OVS_UNUSED,
              const char *argv[] OVS_UNUSED, void *d_)
{
    const struct lateend *d = d_;

    if (!control_refuses_ipsec(d, conn)) {
        reply(conn, ike_status_to_json(d->ike));
    }
}

/* wait, recompute */

static void
add_waiter(struct lateend *d, struct unixctl_conn *conn, enum wait_for what)
{
    struct waiter *w = xmalloc(sizeof *w);

    w->conn = conn;
    w->seqno = d->model.seqno;
    w->what = what;
    w->flows_before = flow_table_seqno(d->flow_table);
    ovs_list_push_back(&waiters, &w->list_node);
    poll_immediate_wake();
}

static void
control_wait_command(struct unixctl_conn *conn, int argc,
                     const char *argv[], void *d_)
{
    struct lateend *d = d_;

    if (argc < 3 || !strcmp(argv[2], "synced")) {
        add_waiter(d, conn, WAIT_SYNCED);
    } else if (strcmp(argv[2], "encrypted")) {
        unixctl_command_reply_error(conn, "there is only \"synced\" and "
                                    "\"encrypted\" to wait for");
    } else if (!control_refuses_ipsec(d, conn)) {
        add_waiter(d, conn, WAIT_ENCRYPTED);
    }
}

static void
control_recompute(struct unixctl_conn *conn, int argc OVS_UNUSED,
                  const char *argv[] OVS_UNUSED, void *d_)
{
    struct lateend *d = d_;

    sync_recompute(&d->sync);
    ofctrl_reread(d->ofctrl);
    add_waiter(d, conn, WAIT_RECOMPUTED);
}

void
control_run(struct lateend *d)
{
    struct waiter *w;

    control_verify_run(d);
    LIST_FOR_EACH_SAFE (w, list_node, &waiters) {
        if (!(w->what == WAIT_RECOMPUTED
              ? lateend_flows_are_synced(d, w->seqno)
              : lateend_is_synced(d, w->seqno, NULL))
            || (w->what == WAIT_ENCRYPTED && !ike_all_up(d->ike))) {
            continue;
        }
        struct json *json = json_object_create();
        if (w->what == WAIT_RECOMPUTED) {
            put_integer(json, "changes", (flow_table_seqno(d->flow_table)
                                          - w->flows_before));
        } else {
            put_bool(json, "synced", true);
            if (w->what == WAIT_ENCRYPTED) {
                put_bool(json, "encrypted", true);
            }
        }
        reply(w->conn, json);
        ovs_list_remove(&w->list_node);
        free(w);
    }
}

void
control_wait(void)
{
    /* What the others wait for wakes the loop up by itself. */
    control_verify_wait();
}

void
control_init(struct lateend *d)
{
    unixctl_command_register("status", "", 0, 0, control_status, d);
    unixctl_command_register("nodes", "", 0, 0, control_nodes, d);
    unixctl_command_register("pods", "", 0, 0, control_pods, d);
    unixctl_command_register("ipsec", "", 0, 0, control_ipsec, d);
    unixctl_command_register("wait", "for synced|encrypted", 0, 2,
                             control_wait_command, d);
    control_verify_init(d);
    control_flows_init(d);
    control_policies_init(d);
    unixctl_command_register("recompute", "", 0, 0, control_recompute, d);
}
