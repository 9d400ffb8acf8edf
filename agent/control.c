/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The commands of the control socket: see control.h. */

#include <config.h>
#include "control.h"

#include <stdlib.h>
#include <string.h>

#include "agent/config.h"
#include "cluster.h"
#include "flows/flow-table.h"
#include "flows/ofctrl.h"
#include "flows/pipeline.h"
#include "host.h"
#include "ipsec/guard.h"
#include "ipsec/ike.h"
#include "lateend.h"
#include "openvswitch/dynamic-string.h"
#include "openvswitch/json.h"
#include "openvswitch/match.h"
#include "openvswitch/ofp-actions.h"
#include "openvswitch/ofp-flow.h"
#include "openvswitch/ofp-port.h"
#include "openvswitch/ofp-table.h"
#include "openvswitch/poll-loop.h"
#include "ovsdb.h"
#include "packets.h"
#include "source.h"
#include "svec.h"
#include "unixctl.h"
#include "util.h"

/* Someone who waits for the model's change 'seqno' to be in force. */
struct waiter {
    struct ovs_list list_node;  /* In 'waiters'. */
    struct unixctl_conn *conn;
    uint64_t seqno;             /* Of the model. */
    bool recompute;             /* Asked for a recomputation. */
    uint64_t flows_before;      /* The flow table's seqno, for that. */
};

static struct ovs_list waiters = OVS_LIST_INITIALIZER(&waiters);

/* JSON. */

static void
put(struct json *object, const char *name, struct json *value)
{
    json_object_put(object, name, value);
}

static void
put_string(struct json *object, const char *name, const char *s)
{
    put(object, name, s ? json_string_create(s) : json_null_create());
}

static void
put_bool(struct json *object, const char *name, bool value)
{
    put(object, name, json_boolean_create(value));
}

static void
put_integer(struct json *object, const char *name, long long int value)
{
    put(object, name, json_integer_create(value));
}

/* Replies with 'json', which it takes. */
static void
reply(struct unixctl_conn *conn, struct json *json)
{
    char *s = json_to_string(json, JSSF_SORT);

    unixctl_command_reply(conn, s);
    free(s);
    json_destroy(json);
}

/* The member 'name' of 'row' as a string, "" if it has none. */
static const char *
row_string(const struct json *row, const char *name)
{
    const struct json *value = shash_find_data(json_object(row), name);

    return value && value->type == JSON_STRING ? json_string(value) : "";
}

static int
compare_named_rows(const void *a_, const void *b_)
{
    static const char *const members[] = { "namespace", "name", "interface" };
    const struct json *const *a = a_;
    const struct json *const *b = b_;
    int cmp = 0;

    for (size_t i = 0; i < ARRAY_SIZE(members) && !cmp; i++) {
        cmp = strcmp(row_string(*a, members[i]), row_string(*b, members[i]));
    }
    return cmp;
}

/* Replies with the array 'rows', which it takes, in the order of names. */
static void
reply_by_name(struct unixctl_conn *conn, struct json *rows)
{
    qsort(rows->array.elems, rows->array.n, sizeof *rows->array.elems,
          compare_named_rows);
    reply(conn, rows);
}

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
    const struct ofctrl_refusal *r;

    LIST_FOR_EACH (r, list_node, ofctrl_refusals(d->ofctrl)) {
        json_array_add(array, json_string_create_nocopy(
                           xasprintf("%s: %s", r->flow, r->error)));
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
        const struct in6_addr *ip
            = node_tunnel_address(node, d->tunnel_family);
        bool self = !strcmp(obj->name, d->node);
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

/* What an attachment is called, to be freed: its pod's name, or its
 * container's. */
static char *
attachment_name(const struct attachment *a)
{
    return (a->pod_name
            ? xasprintf("pod %s/%s", a->pod_namespace, a->pod_name)
            : xasprintf("container %s", a->obj.name));
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
        const struct ofctrl_refusal *refusal
            = ofctrl_find_refusal(d->ofctrl, compile_cookie(obj));
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

static void
control_ipsec(struct unixctl_conn *conn, int argc OVS_UNUSED,
              const char *argv[] OVS_UNUSED, void *d_)
{
    const struct lateend *d = d_;

    if (d->config->ipsec_mode == IPSEC_OFF) {
        unixctl_command_reply_error(conn, "ipsec is off in the "
                                    "configuration of this node");
        return;
    }
    reply(conn, ike_status_to_json(d->ike));
}

/* flows */

/* A dump of flows under way. */
struct flows_dump {
    struct unixctl_conn *conn;
    const struct lateend *d;
    struct json *rows;
};

static char *
owner_name(const struct lateend *d, ovs_be64 cookie)
{
    const struct model_object *obj;

    if (cookie == compile_base_cookie()) {
        return xstrdup("pipeline");
    }
    MODEL_FOR_EACH (obj, MODEL_NODE, &d->model) {
        if (compile_cookie(obj) == cookie) {
            return xasprintf("node %s", obj->name);
        }
    }
    MODEL_FOR_EACH (obj, MODEL_ATTACHMENT, &d->model) {
        if (compile_cookie(obj) == cookie) {
            return attachment_name(attachment_cast(obj));
        }
    }
    return xasprintf("0x%"PRIx64, ntohll(cookie));
}

static int
compare_rows(const void *a_, const void *b_)
{
    const struct json *a = *(const struct json *const *) a_;
    const struct json *b = *(const struct json *const *) b_;
    const struct shash *oa = json_object(a), *ob = json_object(b);
    long long int ta = json_integer(shash_find_data(oa, "tableId"));
    long long int tb = json_integer(shash_find_data(ob, "tableId"));

    if (ta != tb) {
        return ta < tb ? -1 : 1;
    }
    ta = json_integer(shash_find_data(oa, "priority"));
    tb = json_integer(shash_find_data(ob, "priority"));
    if (ta != tb) {
        return ta > tb ? -1 : 1;
    }
    return strcmp(json_string(shash_find_data(oa, "match")),
                  json_string(shash_find_data(ob, "match")));
}

static void
flows_cb(const struct ofputil_flow_stats *fs, const char *error, void *dump_)
{
    struct flows_dump *dump = dump_;

    if (!fs) {
        if (error) {
            unixctl_command_reply_error(dump->conn, error);
            json_destroy(dump->rows);
        } else {
            qsort(dump->rows->array.elems, dump->rows->array.n,
                  sizeof *dump->rows->array.elems, compare_rows);
            reply(dump->conn, dump->rows);
        }
        free(dump);
        return;
    }

    const struct ofputil_table_map *names
        = flow_table_names(dump->d->flow_table);
    struct ofpact_format_params params = { .table_map = names };
    struct json *row = json_object_create();
    const char *table = pipeline_table_name(fs->table_id);
    struct ds ds = DS_EMPTY_INITIALIZER;

    params.s = &ds;
    put_integer(row, "tableId", fs->table_id);
    put_string(row, "table", table ? table : "-");
    put_integer(row, "priority", fs->priority);
    put_integer(row, "packets", fs->packet_count);
    put_integer(row, "bytes", fs->byte_count);
    put(row, "cookie", json_string_create_nocopy(
            xasprintf("0x%"PRIx64, ntohll(fs->cookie))));
    put(row, "owner",
        json_string_create_nocopy(owner_name(dump->d, fs->cookie)));
    put(row, "match", json_string_create_nocopy(
            match_to_string(&fs->match, NULL, OFP_DEFAULT_PRIORITY)));
    ofpacts_format(fs->ofpacts, fs->ofpacts_len, &params);
    put(row, "actions", json_string_create_nocopy(ds_steal_cstr(&ds)));
    json_array_add(dump->rows, row);
}

/* The table of that name or number; OFPTT_ALL if there is none. */
static uint8_t
parse_table(const char *s)
{
    for (const struct pipeline_table *t = pipeline_tables; t->name; t++) {
        unsigned int id;

        if (!strcmp(s, t->name)
            || (str_to_uint(s, 10, &id) && id == t->id)) {
            return t->id;
        }
    }
    return OFPTT_ALL;
}

/* The cookie of the pod "NAMESPACE/NAME", or 0. */
static ovs_be64
find_pod_cookie(const struct lateend *d, const char *name)
{
    const struct model_object *obj;

    MODEL_FOR_EACH (obj, MODEL_ATTACHMENT, &d->model) {
        const struct attachment *a = attachment_cast(obj);
        size_t n = a->pod_namespace ? strlen(a->pod_namespace) : 0;

        if (!strcmp(a->obj.name, name) || !strcmp(a->container_id, name)
            || (a->pod_name && !strncmp(name, a->pod_namespace, n)
                && name[n] == '/' && !strcmp(name + n + 1, a->pod_name))) {
            return compile_cookie(obj);
        }
    }
    return 0;
}

static void
control_flows(struct unixctl_conn *conn, int argc, const char *argv[],
              void *d_)
{
    const struct lateend *d = d_;
    ovs_be64 cookie = htonll(COOKIE_MARK);
    ovs_be64 mask = htonll(COOKIE_MARK_MASK);
    uint8_t table = OFPTT_ALL;
    char *error = NULL;

    if (argc == 3 && !strcmp(argv[1], "table")) {
        table = parse_table(argv[2]);
        if (table == OFPTT_ALL) {
            error = xasprintf("the pipeline has no table \"%s\"", argv[2]);
        }
    } else if (argc == 3 && !strcmp(argv[1], "pod")) {
        cookie = find_pod_cookie(d, argv[2]);
        mask = OVS_BE64_MAX;
        if (!cookie) {
            error = xasprintf("no pod \"%s\" is attached to this node "
                              "(NAMESPACE/NAME is wanted)", argv[2]);
        }
    } else if (argc == 3 && !strcmp(argv[1], "node")) {
        const struct node *node = model_find_node(&d->model, argv[2]);

        if (node) {
            cookie = compile_cookie(&node->obj);
            mask = OVS_BE64_MAX;
        } else {
            error = xasprintf("the cluster has no node \"%s\"", argv[2]);
        }
    } else if (argc > 1) {
        error = xstrdup("flows takes \"pod\", \"node\" or \"table\" and a "
                        "name");
    }
    if (!error && !ofctrl_is_connected(d->ofctrl)) {
        const char *why = ofctrl_last_error(d->ofctrl);

        error = xasprintf("the switch is not connected%s%s",
                          why ? ": " : "", why ? why : "");
    }
    if (error) {
        unixctl_command_reply_error(conn, error);
        free(error);
        return;
    }

    struct flows_dump *dump = xmalloc(sizeof *dump);
    dump->conn = conn;
    dump->d = d;
    dump->rows = json_array_create_empty();
    ofctrl_request_flows(d->ofctrl, table, cookie, mask, flows_cb, dump);
}

/* wait, recompute */

static void
add_waiter(struct lateend *d, struct unixctl_conn *conn, bool recompute)
{
    struct waiter *w = xmalloc(sizeof *w);

    w->conn = conn;
    w->seqno = d->model.seqno;
    w->recompute = recompute;
    w->flows_before = flow_table_seqno(d->flow_table);
    ovs_list_push_back(&waiters, &w->list_node);
    poll_immediate_wake();
}

static void
control_wait_command(struct unixctl_conn *conn, int argc OVS_UNUSED,
                     const char *argv[] OVS_UNUSED, void *d)
{
    add_waiter(d, conn, false);
}

static void
control_recompute(struct unixctl_conn *conn, int argc OVS_UNUSED,
                  const char *argv[] OVS_UNUSED, void *d_)
{
    struct lateend *d = d_;

    sync_recompute(&d->sync);
    ofctrl_reread(d->ofctrl);
    add_waiter(d, conn, true);
}

void
control_run(struct lateend *d)
{
    struct waiter *w;

    LIST_FOR_EACH_SAFE (w, list_node, &waiters) {
        if (!lateend_is_synced(d, w->seqno, NULL)
            || (w->recompute && !d->sync.compiled)) {
            continue;
        }
        struct json *json = json_object_create();
        if (w->recompute) {
            put_integer(json, "changes", (flow_table_seqno(d->flow_table)
                                          - w->flows_before));
        } else {
            put_bool(json, "synced", true);
        }
        reply(w->conn, json);
        ovs_list_remove(&w->list_node);
        free(w);
    }
}

void
control_wait(void)
{
    /* What they wait for wakes the loop up by itself. */
}

void
control_init(struct lateend *d)
{
    unixctl_command_register("status", "", 0, 0, control_status, d);
    unixctl_command_register("nodes", "", 0, 0, control_nodes, d);
    unixctl_command_register("pods", "", 0, 0, control_pods, d);
    unixctl_command_register("ipsec", "", 0, 0, control_ipsec, d);
    unixctl_command_register("flows", "[pod|node|table NAME]", 0, 2,
                             control_flows, d);
    unixctl_command_register("wait", "for synced", 0, 2,
                             control_wait_command, d);
    unixctl_command_register("recompute", "", 0, 0, control_recompute, d);
}
