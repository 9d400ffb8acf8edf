/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The agent's side of the CNI plugin's calls: see cni-server.h. */

#include <config.h>
#include "cni-server.h"

#include <net/if.h>
#include <stdlib.h>
#include <string.h>

#include "agent/config.h"
#include "agent/model.h"
#include "agent/ovsdb.h"
#include "openvswitch/json.h"
#include "openvswitch/list.h"
#include "openvswitch/ofp-port.h"
#include "openvswitch/poll-loop.h"
#include "openvswitch/vlog.h"
#include "packets.h"
#include "timeval.h"
#include "unixctl.h"
#include "util.h"

VLOG_DEFINE_THIS_MODULE(cni);

/* How long a call may take, in ms.  The plugin waits longer. */
#define CALL_TIMEOUT 10000

/* No container has more addresses. */
#define MAX_IPS 16

enum call_type {
    CALL_INFO,
    CALL_ADD,
    CALL_DEL,
    CALL_CHECK,
};

enum call_state {
    CALL_NEW,
    CALL_OVSDB,                 /* 'request' is under way. */
    CALL_FLOWS,                 /* Waits for the flows. */
};

/* A call of the plugin. */
struct call {
    struct ovs_list list_node;  /* In cni_server.calls. */
    struct unixctl_conn *conn;
    enum call_type type;
    enum call_state state;
    struct attachment *a;       /* What it is about; only its names unless
                                 * CALL_ADD. */
    struct ovsdb_request *request;
    long long int deadline;     /* In ms. */
    uint64_t model_seqno;       /* CALL_DEL: the change that removed it. */
    uint64_t flows_seqno;       /* CALL_DEL: the flows' change; 0 if not known
                                 * yet. */
};

struct cni_server {
    struct ovs_list calls;      /* "struct call"s, oldest first. */
};

/* Parsing. */

static const char *
get_string(const struct json *object, const char *name)
{
    const struct json *value = shash_find_data(json_object(object), name);

    return value && value->type == JSON_STRING ? json_string(value) : NULL;
}

/* Whether 's' is short and plain enough for a column of OVSDB. */
static bool
is_plain(const char *s)
{
    size_t n = strlen(s);

    if (!n || n > 1024) {
        return false;
    }
    for (; *s; s++) {
        if ((unsigned char) *s <= ' ' || *s == 0x7f) {
            return false;
        }
    }
    return true;
}

static char *
parse_add(const struct json *object, struct attachment *a)
{
    const char *netns = get_string(object, "netns");
    const char *hostif = get_string(object, "hostInterface");
    const char *mac = get_string(object, "mac");
    const char *namespace = get_string(object, "podNamespace");
    const char *name = get_string(object, "podName");
    const struct json *ips = shash_find_data(json_object(object), "ips");

    if (!netns || !is_plain(netns)) {
        return xstrdup("4 netns is missing");
    }
    if (!hostif || !is_plain(hostif) || strlen(hostif) >= IFNAMSIZ) {
        return xstrdup("4 hostInterface is missing or no interface's name");
    }
    if (!mac || !eth_addr_from_string(mac, &a->mac)
        || eth_addr_is_multicast(a->mac) || eth_addr_is_zero(a->mac)) {
        return xstrdup("7 mac is missing or no unicast MAC address");
    }
    if (!ips || ips->type != JSON_ARRAY || !ips->array.n
        || ips->array.n > MAX_IPS) {
        return xasprintf("7 ips: 1 to %d addresses are wanted", MAX_IPS);
    }
    for (size_t i = 0; i < ips->array.n; i++) {
        struct ip_prefix p = { .plen = 128 };

        if (ips->array.elems[i]->type != JSON_STRING
            || !ip_addr_parse(json_string(ips->array.elems[i]), &p.addr)) {
            return xstrdup("7 ips: that is no address");
        }
        if (ip_prefix_list_contains(&a->ips, &p.addr)) {
            return xasprintf("7 ips: %s is there twice",
                             json_string(ips->array.elems[i]));
        }
        ip_prefix_list_add(&a->ips, &p);
    }
    if (!namespace != !name || (name && (!is_plain(name)
                                         || !is_plain(namespace)))) {
        return xstrdup("4 podNamespace and podName go together");
    }
    a->netns = xstrdup(netns);
    a->hostif = xstrdup(hostif);
    a->pod_namespace = nullable_xstrdup(namespace);
    a->pod_name = nullable_xstrdup(name);
    return NULL;
}

char *
cni_server_parse(const char *text, bool add, struct attachment **ap)
{
    struct json *object = json_from_string(text);
    char *error = NULL;

    *ap = NULL;
    if (object->type != JSON_OBJECT) {
        error = xstrdup("6 the parameter is no JSON object");
    } else {
        const char *container_id = get_string(object, "containerID");
        const char *ifname = get_string(object, "ifname");

        if (!container_id || !is_plain(container_id)
            || strchr(container_id, '/')) {
            error = xstrdup("4 containerID is missing");
        } else if (!ifname || !is_plain(ifname) || strchr(ifname, '/')) {
            error = xstrdup("4 ifname is missing");
        } else {
            char *key = attachment_key(container_id, ifname);
            struct attachment *a
                = attachment_cast(model_object_new(MODEL_ATTACHMENT, NULL,
                                                   key));

            free(key);
            a->container_id = xstrdup(container_id);
            a->ifname = xstrdup(ifname);
            error = add ? parse_add(object, a) : NULL;
            if (error) {
                model_object_free(&a->obj);
            } else {
                *ap = a;
            }
        }
    }
    json_destroy(object);
    return error;
}

/* Calls. */

static void
take_call(struct unixctl_conn *conn, const char *text, enum call_type type,
          struct cni_server *server)
{
    struct attachment *a;
    char *error = cni_server_parse(text, type == CALL_ADD, &a);

    if (error) {
        unixctl_command_reply_error(conn, error);
        free(error);
        return;
    }
    struct call *call = xzalloc(sizeof *call);
    call->conn = conn;
    call->type = type;
    call->a = a;
    call->deadline = time_msec() + CALL_TIMEOUT;
    ovs_list_push_back(&server->calls, &call->list_node);
    poll_immediate_wake();
}

#define DEFINE_COMMAND(NAME, TYPE)                                      \
    static void                                                         \
    NAME(struct unixctl_conn *conn, int argc OVS_UNUSED,                \
         const char *argv[], void *server)                              \
    {                                                                   \
        take_call(conn, argv[1], TYPE, server);                         \
    }
DEFINE_COMMAND(command_info, CALL_INFO)
DEFINE_COMMAND(command_add, CALL_ADD)
DEFINE_COMMAND(command_del, CALL_DEL)
DEFINE_COMMAND(command_check, CALL_CHECK)

struct cni_server *
cni_server_create(void)
{
    struct cni_server *server = xmalloc(sizeof *server);

    ovs_list_init(&server->calls);
    unixctl_command_register("cni/info", "JSON", 1, 1, command_info, server);
    unixctl_command_register("cni/add", "JSON", 1, 1, command_add, server);
    unixctl_command_register("cni/del", "JSON", 1, 1, command_del, server);
    unixctl_command_register("cni/check", "JSON", 1, 1, command_check,
                             server);
    return server;
}

static void
end_call(struct call *call)
{
    ovsdb_request_destroy(call->request);
    model_object_free(&call->a->obj);
    ovs_list_remove(&call->list_node);
    free(call);
}

/* Ends the call with an error, which it takes. */
static void
refuse(struct call *call, char *error)
{
    unixctl_command_reply_error(call->conn, error);
    free(error);
    end_call(call);
}

/* Ends the call with what the plugin has to know of this node: networks, their
 * gateways, and what the interfaces are to be like. */
static void
reply(struct call *call, const struct cni_server_ctx *ctx)
{
    const struct node *self = model_find_node(ctx->model, ctx->node);
    struct json *cidrs = json_array_create_empty();
    struct json *gateways = json_array_create_empty();
    struct json *object = json_object_create();

    for (size_t i = 0; self && i < self->pod_cidrs.n; i++) {
        const struct ip_prefix *cidr = &self->pod_cidrs.elems[i];
        struct in6_addr gw = ip_prefix_nth(cidr, 1);

        json_array_add(cidrs,
                       json_string_create_nocopy(ip_prefix_to_string(cidr)));
        json_array_add(gateways,
                       json_string_create_nocopy(ip_to_string(&gw)));
    }
    json_object_put(object, "podCIDRs", cidrs);
    json_object_put(object, "gateways", gateways);
    json_object_put(object, "mtu", json_integer_create(ctx->mtu));
    json_object_put(object, "txChecksumOff",
                    json_boolean_create(!strcmp(ctx->config->datapath_type,
                                                "netdev")));
    char *s = json_to_string(object, 0);
    unixctl_command_reply(call->conn, s);
    free(s);
    json_destroy(object);
    end_call(call);
}

/* Whether the node is ready to give containers interfaces; if not, why. */
static char *
not_ready(const struct cni_server_ctx *ctx)
{
    const struct node *self = model_find_node(ctx->model, ctx->node);
    const struct ovsdb_facts *facts = ovsdb_get_facts(ctx->ovsdb);

    if (!self) {
        return xasprintf("11 the cluster has no Node \"%s\" yet", ctx->node);
    } else if (!self->pod_cidrs.n) {
        return xasprintf("11 Node \"%s\" has no pod CIDR yet "
                         "(spec.podCIDRs)", ctx->node);
    } else if (!ctx->mtu) {
        return xasprintf("11 the MTU is not known: no device of this node "
                         "has an address of Node \"%s\"", ctx->node);
    } else if (!facts->connected || facts->gateway_ofport == OFPP_NONE) {
        return xstrdup("11 Open vSwitch is not ready");
    }
    return NULL;
}

/* What stands against 'a', or NULL. */
static char *
check_add(const struct cni_server *server, const struct cni_server_ctx *ctx,
          const struct attachment *a)
{
    const struct node *self = model_find_node(ctx->model, ctx->node);
    const struct model_object *obj;
    const struct call *other;

    for (size_t i = 0; i < a->ips.n; i++) {
        const struct in6_addr *ip = &a->ips.elems[i].addr;
        bool own = false;

        for (size_t j = 0; j < self->pod_cidrs.n; j++) {
            const struct ip_prefix *cidr = &self->pod_cidrs.elems[j];
            struct in6_addr gw = ip_prefix_nth(cidr, 1);

            own = own || (ip_prefix_contains(cidr, ip)
                          && !ipv6_addr_equals(&gw, ip));
        }
        char *s = ip_to_string(ip);
        char *error = NULL;
        if (!own) {
            error = xasprintf("7 address %s is in none of this node's pod "
                              "CIDRs, or is a gateway", s);
        }
        MODEL_FOR_EACH (obj, MODEL_ATTACHMENT, ctx->model) {
            if (!error
                && ip_prefix_list_contains(&attachment_cast(obj)->ips, ip)) {
                error = xasprintf("104 address %s is in use by %s", s,
                                  obj->name);
            }
        }
        LIST_FOR_EACH (other, list_node, &server->calls) {
            if (!error && other->a != a && other->state != CALL_NEW
                && ip_prefix_list_contains(&other->a->ips, ip)) {
                error = xasprintf("104 address %s is being given to %s", s,
                                  other->a->obj.name);
            }
        }
        free(s);
        if (error) {
            return error;
        }
    }
    if (model_find_attachment(ctx->model, a->container_id, a->ifname)) {
        return xasprintf("104 %s is attached already", a->obj.name);
    }
    return NULL;
}

static void
run_add(struct cni_server *server, const struct cni_server_ctx *ctx,
        struct call *call)
{
    struct attachment *a;
    const char *port_error;
    char *error;

    switch (call->state) {
    case CALL_NEW:
        error = not_ready(ctx);
        error = error ? error : check_add(server, ctx, call->a);
        if (error) {
            refuse(call, error);
            return;
        }
        call->request = ovsdb_attach(ctx->ovsdb, call->a);
        call->state = CALL_OVSDB;
        return;

    case CALL_OVSDB:
        if (call->request->status == OVSDB_REQUEST_FAILED) {
            refuse(call, xasprintf("101 %s", call->request->error));
            return;
        } else if (call->request->status != OVSDB_REQUEST_DONE) {
            return;
        }
        call->state = CALL_FLOWS;
        /* fall through */

    case CALL_FLOWS:
        a = model_find_attachment(ctx->model, call->a->container_id,
                                  call->a->ifname);
        port_error = ovsdb_port_error(ctx->ovsdb, call->a->hostif);
        if (!a) {
            refuse(call, xasprintf("101 %s was detached meanwhile",
                                   call->a->obj.name));
        } else if (port_error) {
            error = xasprintf("101 Open vSwitch refuses %s: %s",
                              call->a->hostif, port_error);
            /* The plugin's own clean-up may never come. */
            ovsdb_request_destroy(ovsdb_detach(ctx->ovsdb,
                                               call->a->container_id,
                                               call->a->ifname));
            refuse(call, error);
        } else if (a->flows_seqno && a->flows_seqno <= ctx->installed) {
            /* The tables are enough here: before this change they knew
             * nothing of the port and the address, so what the datapath has
             * cached of them can only drop packets, and only until its
             * revalidators come by.  DEL makes sure of that. */
            reply(call, ctx);
        }
        return;

    default:
        OVS_NOT_REACHED();
    }
}

static void
run_del(const struct cni_server_ctx *ctx, struct call *call)
{
    switch (call->state) {
    case CALL_NEW:
        call->request = ovsdb_detach(ctx->ovsdb, call->a->container_id,
                                     call->a->ifname);
        call->state = CALL_OVSDB;
        return;

    case CALL_OVSDB:
        if (call->request->status == OVSDB_REQUEST_FAILED) {
            refuse(call, xasprintf("11 %s", call->request->error));
            return;
        } else if (call->request->status != OVSDB_REQUEST_DONE) {
            return;
        }
        call->model_seqno = ctx->model->seqno;
        call->state = CALL_FLOWS;
        /* fall through */

    case CALL_FLOWS:
        if (!call->flows_seqno && ctx->compiled >= call->model_seqno) {
            call->flows_seqno = ctx->flows_seqno;
        }
        if (call->flows_seqno && call->flows_seqno <= ctx->realized) {
            reply(call, ctx);
        }
        return;

    default:
        OVS_NOT_REACHED();
    }
}

static void
run_check(const struct cni_server_ctx *ctx, struct call *call)
{
    const struct attachment *a
        = model_find_attachment(ctx->model, call->a->container_id,
                                call->a->ifname);
    const char *port_error = a ? ovsdb_port_error(ctx->ovsdb, a->hostif)
                               : NULL;

    if (!a) {
        refuse(call, xasprintf("101 %s is not attached: Open vSwitch's "
                               "database has no port of it",
                               call->a->obj.name));
    } else if (port_error) {
        refuse(call, xasprintf("101 port %s: %s", a->hostif, port_error));
    } else if (a->flows_seqno && a->flows_seqno <= ctx->realized) {
        reply(call, ctx);
    }
    /* Otherwise, wait: it may have been attached just now. */
}

/* The time is up: leaves nothing of an attachment. */
static void
time_out(const struct cni_server_ctx *ctx, struct call *call)
{
    const char *what = (call->state == CALL_OVSDB
                        ? "Open vSwitch's database did not take it"
                        : "its flows did not get into the switch");

    VLOG_WARN("%s: %s within %d s", call->a->obj.name, what,
              CALL_TIMEOUT / 1000);
    if (call->type == CALL_ADD) {
        ovsdb_request_destroy(ovsdb_detach(ctx->ovsdb, call->a->container_id,
                                           call->a->ifname));
    }
    refuse(call, xasprintf("11 %s: %s within %d s", call->a->obj.name, what,
                           CALL_TIMEOUT / 1000));
}

void
cni_server_run(struct cni_server *server, const struct cni_server_ctx *ctx)
{
    struct call *call;

    LIST_FOR_EACH_SAFE (call, list_node, &server->calls) {
        bool late = time_msec() >= call->deadline;

        if (late) {
            time_out(ctx, call);
            continue;
        }
        switch (call->type) {
        case CALL_INFO: {
            char *error = not_ready(ctx);

            if (error) {
                refuse(call, error);
            } else {
                reply(call, ctx);
            }
            break;
        }
        case CALL_ADD:
            run_add(server, ctx, call);
            break;
        case CALL_DEL:
            run_del(ctx, call);
            break;
        case CALL_CHECK:
            run_check(ctx, call);
            break;
        default:
            OVS_NOT_REACHED();
        }
    }
}

void
cni_server_wait(struct cni_server *server)
{
    const struct call *call;

    LIST_FOR_EACH (call, list_node, &server->calls) {
        if (call->state == CALL_NEW && call->type != CALL_CHECK) {
            poll_immediate_wake();
        }
        poll_timer_wait_until(call->deadline);
    }
}
