/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The agent's side of the CNI plugin's calls: see cni-server.h.
 *
 * Calls about one attachment follow one another: one that adds or deletes it
 * ends before a later one begins, and a call to delete makes an earlier one to
 * add give up.  So a runtime that has lost patience with an ADD can clean up
 * at once. */

#include <config.h>
#include "cni-server.h"

#include <limits.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>

#include "agent/config.h"
#include "agent/model.h"
#include "agent/ovsdb.h"
#include "cni-request.h"
#include "flows/compile.h"
#include "flows/flow-table.h"
#include "flows/ofctrl.h"
#include "flows/pipeline.h"
#include "hash.h"
#include "openvswitch/json.h"
#include "openvswitch/list.h"
#include "openvswitch/ofp-flow.h"
#include "openvswitch/ofp-port.h"
#include "openvswitch/poll-loop.h"
#include "openvswitch/vlog.h"
#include "timeval.h"
#include "unixctl.h"
#include "util.h"

VLOG_DEFINE_THIS_MODULE(cni);

/* How long a call may take, and how long its answer may be put off by undoing
 * what it has done, in ms.  The plugin waits longer. */
#define UNDO_TIMEOUT 2000

/* How often the attachments' devices are looked at, in ms. */
#define REAP_INTERVAL 5000

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
    CALL_DUMP,                  /* CALL_CHECK: the switch tells its flows. */
    CALL_UNDO,                  /* CALL_ADD: 'request' takes it back. */
};

/* A call of the plugin, or one of our own, to delete, without 'conn'. */
struct call {
    struct ovs_list list_node;  /* In cni_server.calls. */
    struct unixctl_conn *conn;  /* NULL if nobody waits for an answer. */
    enum call_type type;
    enum call_state state;
    struct attachment *a;       /* What it is about; only its names unless
                                 * CALL_ADD. */
    uint32_t hash;              /* Of its name. */
    struct ovsdb_request *request;
    long long int started;      /* In ms. */
    long long int deadline;     /* In ms. */
    uint64_t model_seqno;       /* CALL_DEL: the change that removed it. */
    uint64_t flows_seqno;       /* CALL_DEL: the flows' change; 0 if not known
                                 * yet. */
    char *error;                /* CALL_UNDO: what to answer. */

    /* CALL_DUMP. */
    size_t n_flows;             /* That the switch has. */
    bool dumped;                /* It has told all. */
    char *dump_error;           /* Or why not. */
};

struct cni_server {
    struct ovs_list calls;      /* "struct call"s, oldest first. */
    uint64_t released;          /* The flows' change that took away those of
                                 * the last attachment that was deleted. */
    long long int next_reap;    /* In ms. */
    unsigned int timeout;       /* Of a call, in seconds, as configured. */
};

static void run_info(struct cni_server *, const struct cni_server_ctx *,
                     struct call *);
static void run_add(struct cni_server *, const struct cni_server_ctx *,
                    struct call *);
static void run_del(struct cni_server *, const struct cni_server_ctx *,
                    struct call *);
static void run_check(const struct cni_server_ctx *, struct call *);
static void time_out(const struct cni_server *, const struct cni_server_ctx *,
                     struct call *);
static void reap(struct cni_server *, const struct cni_server_ctx *);

/* Takes ownership of 'a'. */
static void
call_create(struct cni_server *server, struct unixctl_conn *conn,
            enum call_type type, struct attachment *a)
{
    struct call *call = xzalloc(sizeof *call);

    call->conn = conn;
    call->type = type;
    call->a = a;
    call->hash = hash_string(a->obj.name, 0);
    call->started = time_msec();
    call->deadline = call->started + server->timeout * 1000LL;
    ovs_list_push_back(&server->calls, &call->list_node);
    poll_immediate_wake();
}

static void
call_destroy(struct call *call)
{
    ovsdb_request_destroy(call->request);
    model_object_free(&call->a->obj);
    ovs_list_remove(&call->list_node);
    free(call->error);
    free(call->dump_error);
    free(call);
}

static void
take_call(struct unixctl_conn *conn, const char *text, enum call_type type,
          struct cni_server *server)
{
    struct attachment *a;
    char *error = cni_request_parse(text, type == CALL_ADD, &a);

    if (error) {
        unixctl_command_reply_error(conn, error);
        free(error);
    } else {
        call_create(server, conn, type, a);
    }
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
    struct cni_server *server = xzalloc(sizeof *server);

    ovs_list_init(&server->calls);
    server->timeout = 10;
    unixctl_command_register("cni/info", "JSON", 1, 1, command_info, server);
    unixctl_command_register("cni/add", "JSON", 1, 1, command_add, server);
    unixctl_command_register("cni/del", "JSON", 1, 1, command_del, server);
    unixctl_command_register("cni/check", "JSON", 1, 1, command_check,
                             server);
    return server;
}

void
cni_server_run(struct cni_server *server, const struct cni_server_ctx *ctx)
{
    struct call *call;

    server->timeout = ctx->config->cni_timeout;
    reap(server, ctx);
    LIST_FOR_EACH_SAFE (call, list_node, &server->calls) {
        if (time_msec() >= call->deadline) {
            time_out(server, ctx, call);
            continue;
        }
        switch (call->type) {
        case CALL_INFO:
            run_info(server, ctx, call);
            break;
        case CALL_ADD:
            run_add(server, ctx, call);
            break;
        case CALL_DEL:
            run_del(server, ctx, call);
            break;
        case CALL_CHECK:
            run_check(ctx, call);
            break;
        default:
            OVS_NOT_REACHED();
        }
    }
}

/* Everything that calls wait for wakes the main loop by itself. */
void
cni_server_wait(struct cni_server *server)
{
    const struct call *call;

    LIST_FOR_EACH (call, list_node, &server->calls) {
        poll_timer_wait_until(call->deadline);
    }
    poll_timer_wait_until(server->next_reap);
}

/* Whether both are about one attachment. */
static bool
is_same(const struct call *a, const struct call *b)
{
    return a->hash == b->hash && !strcmp(a->a->obj.name, b->a->obj.name);
}

/* Whether 'call' has to wait for an earlier one. */
static bool
is_blocked(const struct cni_server *server, const struct call *call)
{
    const struct call *other;

    LIST_FOR_EACH (other, list_node, &server->calls) {
        if (other == call) {
            break;
        } else if ((other->type == CALL_ADD || other->type == CALL_DEL)
                   && is_same(call, other)) {
            return true;
        }
    }
    return false;
}

/* Whether the attachment that 'call' adds is to be deleted already. */
static bool
is_cancelled(const struct cni_server *server, const struct call *call)
{
    const struct call *other = call;

    LIST_FOR_EACH_CONTINUE (other, list_node, &server->calls) {
        if (other->type == CALL_DEL && is_same(call, other)) {
            return true;
        }
    }
    return false;
}

/* Answers with 'error', of which it takes ownership, if anybody waits. */
static void
answer_error(struct call *call, char *error)
{
    if (call->conn) {
        unixctl_command_reply_error(call->conn, error);
        call->conn = NULL;
    }
    free(error);
}

/* Ends the call with an error, of which it takes ownership. */
static void
refuse(struct call *call, char *error)
{
    answer_error(call, error);
    call_destroy(call);
}

/* Takes back what an ADD has done, then ends it with 'error', of which it
 * takes ownership. */
static void
undo(const struct cni_server_ctx *ctx, struct call *call, char *error)
{
    VLOG_INFO("%s: not attached: %s", call->a->obj.name, error);
    ovsdb_request_destroy(call->request);
    call->request = ovsdb_detach(ctx->ovsdb, call->a->container_id,
                                 call->a->ifname);
    call->state = CALL_UNDO;
    call->error = error;
    call->deadline = time_msec() + UNDO_TIMEOUT;
    poll_immediate_wake();
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
    if (call->conn) {
        char *s = json_to_string(object, 0);

        unixctl_command_reply(call->conn, s);
        free(s);
    }
    json_destroy(object);
    call_destroy(call);
}

/* Why the node is not ready to give containers interfaces, or NULL. */
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
    } else if (!facts->connected) {
        return xstrdup("11 there is no connection to Open vSwitch's "
                       "database");
    } else if (facts->gateway_ofport == OFPP_NONE
               || !ofctrl_is_connected(ctx->ofctrl)) {
        return xstrdup("11 Open vSwitch's bridge is not ready");
    }
    return NULL;
}

/* The flow of the attachment that the switch refuses, with its reason, or
 * NULL. */
static char *
find_refusal(const struct cni_server_ctx *ctx, const struct attachment *a)
{
    const struct flow_refusal *refusal
        = flow_table_find_refusal(ctx->flow_table, compile_cookie(&a->obj));

    if (!refusal) {
        return NULL;
    }
    char *flow = flow_delta_to_string(ctx->flow_table, &refusal->delta);
    char *error = xasprintf("102 Open vSwitch refuses the flow \"%s\": %s",
                            flow, refusal->error);
    free(flow);
    return error;
}

static void
run_info(struct cni_server *server, const struct cni_server_ctx *ctx,
         struct call *call)
{
    if (is_blocked(server, call)) {
        return;
    }

    char *error = not_ready(ctx);
    if (!error && model_find_attachment(ctx->model, call->a->container_id,
                                        call->a->ifname)) {
        error = xasprintf("104 %s is attached already", call->a->obj.name);
    }
    if (error) {
        refuse(call, error);
    } else {
        reply(call, ctx);
    }
}

/* Whether an address or the MAC address of what 'call' adds belongs to an
 * attachment that is being deleted. */
static bool
is_being_released(const struct cni_server *server,
                  const struct cni_server_ctx *ctx, const struct call *call)
{
    const struct call *other;

    LIST_FOR_EACH (other, list_node, &server->calls) {
        const struct attachment *a
            = (other->type == CALL_DEL || other->state == CALL_UNDO
               ? model_find_attachment(ctx->model, other->a->container_id,
                                       other->a->ifname)
               : NULL);
        char *conflict = a ? cni_request_conflict(call->a, a) : NULL;

        if (conflict) {
            free(conflict);
            return true;
        }
    }
    return false;
}

/* What stands against adding, now that it begins; or NULL. */
static char *
check_add(const struct cni_server *server, const struct cni_server_ctx *ctx,
          const struct call *call)
{
    const struct call *other;
    char *error = not_ready(ctx);

    LIST_FOR_EACH (other, list_node, &server->calls) {
        if (!error && other->type == CALL_ADD && other->state != CALL_NEW) {
            error = cni_request_conflict(call->a, other->a);
        }
    }
    return (error ? error
            : cni_request_check(call->a, ctx->model,
                                model_find_node(ctx->model, ctx->node)));
}

static void
begin_add(struct cni_server *server, const struct cni_server_ctx *ctx,
          struct call *call)
{
    if (is_blocked(server, call) || is_being_released(server, ctx, call)
        || (ofctrl_is_connected(ctx->ofctrl)
            && server->released > ofctrl_realized(ctx->ofctrl))) {
        return;
    }

    char *error = check_add(server, ctx, call);
    if (error) {
        refuse(call, error);
        return;
    }
    /* What is left of connections of the addresses' last owner. */
    for (size_t i = 0; i < call->a->ips.n; i++) {
        ofctrl_flush_conntrack(ctx->ofctrl, CT_ZONE_BASE + call->a->network,
                               &call->a->ips.elems[i].addr,
                               !strcmp(ctx->config->datapath_type, "netdev"));
    }
    call->request = ovsdb_attach(ctx->ovsdb, call->a);
    call->state = CALL_OVSDB;
    poll_immediate_wake();
}

/* Whether policies can judge what 'a' is for.  A pod that no source has told
 * yet is isolated; a plain container has no labels. */
static bool
is_pod_known(const struct cni_server_ctx *ctx, const struct attachment *a)
{
    return (!a->pod_name
            || model_find_pod(ctx->model, a->pod_namespace, a->pod_name));
}

/* Ends the call if the flows are in the switch, those of all policies for the
 * pod included.
 *
 * They need only be in the tables: these knew nothing of the port and the
 * addresses before, so what the datapath has cached of them can only drop
 * packets.  That is so once the datapath has followed the end of all earlier
 * attachments, whose port numbers and addresses these may have been. */
static void
finish_add(const struct cni_server *server, const struct cni_server_ctx *ctx,
           struct call *call)
{
    const struct attachment *a
        = model_find_attachment(ctx->model, call->a->container_id,
                                call->a->ifname);
    const char *port_error = ovsdb_port_error(ctx->ovsdb, call->a->hostif);
    char *error = NULL;

    if (!a) {
        refuse(call, xasprintf("101 somebody has removed the port %s",
                               call->a->hostif));
        return;
    } else if (port_error) {
        error = xasprintf("101 Open vSwitch refuses %s: %s", call->a->hostif,
                          port_error);
    } else if (a->flows_seqno) {
        error = find_refusal(ctx, a);
    }
    if (error) {
        undo(ctx, call, error);
    } else if (a->flows_seqno
               && a->flows_seqno <= ofctrl_installed(ctx->ofctrl)
               && server->released <= ofctrl_realized(ctx->ofctrl)
               && is_pod_known(ctx, a)) {
        VLOG_INFO("%s: attached by %s in %lld ms%s%s%s%s", a->obj.name,
                  a->hostif, time_msec() - call->started,
                  a->pod_name ? " as pod " : "",
                  a->pod_name ? a->pod_namespace : "",
                  a->pod_name ? "/" : "", a->pod_name ? a->pod_name : "");
        reply(call, ctx);
    }
}

static void
run_add(struct cni_server *server, const struct cni_server_ctx *ctx,
        struct call *call)
{
    if ((call->state == CALL_OVSDB || call->state == CALL_FLOWS)
        && is_cancelled(server, call)) {
        undo(ctx, call, xstrdup("101 it is to be deleted already"));
        return;
    }

    switch (call->state) {
    case CALL_NEW:
        begin_add(server, ctx, call);
        break;

    case CALL_OVSDB:
        if (call->request->status == OVSDB_REQUEST_FAILED) {
            refuse(call, xasprintf("101 %s", call->request->error));
        } else if (call->request->status == OVSDB_REQUEST_DONE) {
            call->state = CALL_FLOWS;
            finish_add(server, ctx, call);
        }
        break;

    case CALL_FLOWS:
        finish_add(server, ctx, call);
        break;

    case CALL_UNDO:
        if (call->request->status != OVSDB_REQUEST_PENDING) {
            char *error = call->error;

            call->error = NULL;
            refuse(call, error);
        }
        break;

    case CALL_DUMP:
    default:
        OVS_NOT_REACHED();
    }
}

/* The plugin deletes the device next, so Open vSwitch must have let go of it.
 * It is enough that the flows are out of the tables: that the datapath has
 * followed is for the next owner of the address or of the port's number to
 * wait for, in finish_add(). */
static void
run_del(struct cni_server *server, const struct cni_server_ctx *ctx,
        struct call *call)
{
    switch (call->state) {
    case CALL_NEW:
        if (is_blocked(server, call)) {
            return;
        }
        call->request = ovsdb_detach(ctx->ovsdb, call->a->container_id,
                                     call->a->ifname);
        call->state = CALL_OVSDB;
        poll_immediate_wake();
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
            call->flows_seqno = flow_table_seqno(ctx->flow_table);
            server->released = MAX(server->released, call->flows_seqno);
        }
        if (call->flows_seqno
            && call->flows_seqno <= ofctrl_installed(ctx->ofctrl)
            && (call->request->cfg
                <= ovsdb_get_facts(ctx->ovsdb)->cur_cfg)) {
            VLOG_INFO("%s: detached in %lld ms", call->a->obj.name,
                      time_msec() - call->started);
            reply(call, ctx);
        }
        return;

    case CALL_DUMP:
    case CALL_UNDO:
    default:
        OVS_NOT_REACHED();
    }
}

static void
take_flow(const struct ofputil_flow_stats *fs, const char *error, void *call_)
{
    struct call *call = call_;

    if (fs) {
        call->n_flows++;
    } else {
        call->dumped = true;
        call->dump_error = nullable_xstrdup(error);
        poll_immediate_wake();
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
    char *error = NULL;

    /* The switch's answer, which is sure to come, needs the call. */
    if (call->state == CALL_DUMP && !call->dumped) {
        return;
    }
    if (!a) {
        error = xasprintf("101 %s is not attached: Open vSwitch's database "
                          "has no port of it", call->a->obj.name);
    } else if (port_error) {
        error = xasprintf("101 port %s: %s", a->hostif, port_error);
    } else if (call->dump_error) {
        error = xasprintf("11 the switch does not tell its flows: %s",
                          call->dump_error);
    } else if (call->state == CALL_DUMP) {
        size_t n = flow_table_n_of(ctx->flow_table, compile_cookie(&a->obj));

        if (call->n_flows != n) {
            error = xasprintf("102 the switch has %"PRIuSIZE" of the %"
                              PRIuSIZE" flows of %s", call->n_flows, n,
                              call->a->obj.name);
        }
    } else if (a->flows_seqno) {
        error = find_refusal(ctx, a);
        if (!error && a->flows_seqno <= ofctrl_installed(ctx->ofctrl)) {
            call->state = CALL_DUMP;
            call->deadline = LLONG_MAX;
            ofctrl_request_flows(ctx->ofctrl, OFPTT_ALL,
                                 compile_cookie(&a->obj), OVS_BE64_MAX,
                                 take_flow, call);
            poll_immediate_wake();
            return;
        }
    }
    if (error) {
        refuse(call, error);
    } else if (call->state == CALL_DUMP) {
        reply(call, ctx);
    }
    /* Otherwise, wait: it may have been attached just now. */
}

/* The time is up. */
static void
time_out(const struct cni_server *server, const struct cni_server_ctx *ctx,
         struct call *call)
{
    const struct ovsdb_facts *facts = ovsdb_get_facts(ctx->ovsdb);
    const char *what = (call->state == CALL_NEW
                        ? "an earlier call about it, or about its address, "
                          "has not ended"
                        : !facts->connected
                        ? "there is no connection to Open vSwitch's database"
                        : call->state == CALL_OVSDB
                        ? "Open vSwitch's database has not taken it"
                        : !is_pod_known(ctx, call->a)
                        ? "no source has told the pod's labels, which "
                          "policies go by,"
                        : "the switch has not taken its flows");

    if (call->state == CALL_UNDO) {
        /* Goes on without anybody who waits. */
        answer_error(call, call->error);
        call->error = NULL;
        call->deadline = LLONG_MAX;
        return;
    }

    static struct vlog_rate_limit rl = VLOG_RATE_LIMIT_INIT(10, 10);
    VLOG_WARN_RL(&rl, "%s: given up after %u s: %s", call->a->obj.name,
                 server->timeout, what);

    char *error = xasprintf("11 %s within %u s", what, server->timeout);
    if (call->type == CALL_ADD && call->state != CALL_NEW) {
        undo(ctx, call, error);
    } else {
        refuse(call, error);
    }
}

/* Deletes the attachments whose devices have gone. */
static void
reap(struct cni_server *server, const struct cni_server_ctx *ctx)
{
    const struct model_object *obj;

    if (time_msec() < server->next_reap) {
        return;
    }
    server->next_reap = time_msec() + REAP_INTERVAL;
    if (!ovsdb_get_facts(ctx->ovsdb)->connected) {
        return;
    }
    MODEL_FOR_EACH (obj, MODEL_ATTACHMENT, ctx->model) {
        const struct attachment *a = attachment_cast(obj);
        uint32_t hash = hash_string(obj->name, 0);
        const struct call *call;
        bool busy = false;

        if (if_nametoindex(a->hostif)) {
            continue;
        }
        LIST_FOR_EACH (call, list_node, &server->calls) {
            busy = busy || (call->hash == hash
                            && !strcmp(call->a->obj.name, obj->name));
        }
        if (!busy) {
            VLOG_INFO("%s: its device %s has gone, so its port and flows go "
                      "too", obj->name, a->hostif);
            struct attachment *names
                = attachment_cast(model_object_new(MODEL_ATTACHMENT, NULL,
                                                   obj->name));
            names->container_id = xstrdup(a->container_id);
            names->ifname = xstrdup(a->ifname);
            call_create(server, NULL, CALL_DEL, names);
        }
    }
}
