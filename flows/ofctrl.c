/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Bringing the flow table into the switch: see ofctrl.h for what it does.
 *
 * A bundle is closed before it is committed: the answer to the close request
 * comes after the errors of the messages in it, so that a bundle of which the
 * switch took only a part is never committed.
 *
 * When a change is realized
 * -------------------------
 *
 * A dump of the datapath's flows (reval.h) that was going on when the tables
 * changed does not count: it may have left the change out.  What counts is a
 * dump that began after the change.  Only the end of a dump can be seen, not
 * its beginning; but the dump whose end is seen second, after two waits in
 * turn, began after the first one's end, and so after the change.  The second
 * dump may be long in coming when nothing changes any more, so a nudge makes
 * the tables change for it: a flow added and deleted at once in a table that
 * nothing uses. */

#include <config.h>
#include "ofctrl.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/ip.h"
#include <sys/stat.h>

#include "byte-order.h"
#include "coverage.h"
#include "flow-table.h"
#include "openvswitch/match.h"
#include "openvswitch/ofp-actions.h"
#include "openvswitch/ofp-bundle.h"
#include "openvswitch/ofp-errors.h"
#include "openvswitch/ofp-ct.h"
#include "openvswitch/ofp-flow.h"
#include "openvswitch/ofp-msgs.h"
#include "openvswitch/ofp-util.h"
#include "openvswitch/ofpbuf.h"
#include "openvswitch/poll-loop.h"
#include "openvswitch/rconn.h"
#include "openvswitch/vlog.h"
#include "pipeline.h"
#include "reval.h"
#include "socket-util.h"
#include "timeval.h"
#include "util.h"

VLOG_DEFINE_THIS_MODULE(ofctrl);

COVERAGE_DEFINE(ofctrl_read);
COVERAGE_DEFINE(ofctrl_bundle);
COVERAGE_DEFINE(ofctrl_flow_mod);
COVERAGE_DEFINE(ofctrl_refusal);
COVERAGE_DEFINE(ofctrl_nudge);

/* Messages taken in at most in one ofctrl_run(). */
#define MAX_RECV 50

/* Messages waiting in memory for the socket at most. */
#define MAX_BACKLOG 100

/* Messages put into a bundle at most in one ofctrl_run(). */
#define MAX_FILL 2000

/* Time between looks for a management socket that has come back, in ms. */
#define SOCKET_INTERVAL 100

/* The first of two waits mostly sees the end of the dump that the change
 * itself brought about.  Where that came before the wait, a nudge is due after
 * this time, in ms. */
#define FIRST_NUDGE_DELAY 2

/* Bytes of a bundle's message around the one that is added to it. */
#define BUNDLE_ADD_OVERHEAD 24

/* Register 15 of the nudge's flow, in TABLE_NUDGE. */
#define NUDGE_REG15 0x6c617465

enum ofctrl_state {
    S_DISCONNECTED,
    S_READ,                     /* Reading the switch's flows. */
    S_IDLE,                     /* No bundle is under way. */
    S_FILL,                     /* Putting messages into the bundle. */
    S_CLOSE,                    /* The close request is under way. */
    S_COMMIT,                   /* Commit and barrier are under way. */
};

/* A request for flows. */
struct flow_request {
    struct ovs_list list_node;  /* In ofctrl's 'requests'. */
    uint8_t table_id;
    ovs_be64 cookie;
    ovs_be64 cookie_mask;
    ofctrl_flows_cb *cb;
    void *aux;
    bool sent;
    ovs_be32 xid;               /* If 'sent'. */
};

struct ofctrl {
    struct flow_table *ft;
    bool complete;
    bool reread;                /* Due, when no bundle is under way. */

    /* Connection. */
    struct rconn *rconn;
    struct rconn_packet_counter *tx; /* Messages waiting for the socket. */
    unsigned int seqno;         /* rconn_get_connection_seqno(). */
    char *socket;               /* Path of the management socket. */
    char *target;               /* "unix:" and 'socket'. */
    struct stat socket_stat;    /* Of 'socket', when last seen. */
    char *error;                /* Why there is no connection, or NULL. */

    struct ovs_list requests;   /* Contains "struct flow_request"s. */

    /* Changes. */
    enum ofctrl_state state;
    uint64_t diffed;            /* The flow table's change that was looked at
                                 * last; 0 to look again. */
    uint64_t installed;
    struct flow_deltas deltas;  /* In S_FILL, S_CLOSE and S_COMMIT. */
    size_t n_sent;              /* Of 'deltas'. */
    bool failed;                /* The switch refused a part. */
    bool found;                 /* It is known which. */
    uint32_t bundle_id;
    uint32_t next_xid;          /* Next one not used. */
    uint32_t first_xid;         /* Of the deltas. */
    ovs_be32 last_xid;          /* Of what ends the state. */
    char *(*title)(const struct flow_delta *, const void *aux); /* Or NULL. */
    const void *title_aux;

    /* Realization. */
    struct reval *reval;
    uint64_t waited;            /* 'installed' when the wait began. */
    uint64_t swept;             /* What the last wait but one began with. */
    uint64_t realized;
    long long int nudge;        /* When a nudge is due, or LLONG_MAX. */
};

static void ofctrl_send(struct ofctrl *, struct ofpbuf *);
static void ofctrl_disconnected(struct ofctrl *);
static ofctrl_flows_cb read_flow;

struct ofctrl *
ofctrl_create(struct flow_table *ft, const char *bridge, const char *rundir)
{
    struct ofctrl *oc = xzalloc(sizeof *oc);

    oc->ft = ft;
    oc->rconn = rconn_create(0, 1, DSCP_DEFAULT, 1u << OFP15_VERSION);
    oc->tx = rconn_packet_counter_create();
    oc->socket = xasprintf("%s/%s.mgmt", rundir, bridge);
    oc->target = xasprintf("unix:%s", oc->socket);
    ovs_list_init(&oc->requests);
    oc->next_xid = UINT32_C(1) << 31;
    oc->reval = reval_create(rundir);
    oc->nudge = LLONG_MAX;
    return oc;
}

void
ofctrl_destroy(struct ofctrl *oc)
{
    if (oc) {
        ofctrl_disconnected(oc);
        rconn_packet_counter_destroy(oc->tx);
        rconn_destroy(oc->rconn);
        reval_destroy(oc->reval);
        free(oc->socket);
        free(oc->target);
        free(oc->error);
        free(oc);
    }
}

void
ofctrl_reread(struct ofctrl *oc)
{
    oc->reread = true;
}

void
ofctrl_set_complete(struct ofctrl *oc, bool complete)
{
    oc->complete = complete;
}

uint64_t
ofctrl_installed(const struct ofctrl *oc)
{
    return oc->installed;
}

uint64_t
ofctrl_realized(const struct ofctrl *oc)
{
    return oc->realized;
}

bool
ofctrl_is_connected(const struct ofctrl *oc)
{
    return oc->state >= S_IDLE;
}

const char *
ofctrl_last_error(const struct ofctrl *oc)
{
    return oc->error ? oc->error : reval_last_error(oc->reval);
}

/* Sending. */

static void
ofctrl_send(struct ofctrl *oc, struct ofpbuf *msg)
{
    rconn_send(oc->rconn, msg, oc->tx);
}

/* As ofctrl_send(), and returns the message's transaction id, which no other
 * message has. */
static ovs_be32
ofctrl_send_xid(struct ofctrl *oc, struct ofpbuf *msg)
{
    struct ofp_header *oh = msg->data;
    ovs_be32 xid = htonl(oc->next_xid++);

    oh->xid = xid;
    ofctrl_send(oc, msg);
    return xid;
}

/* Sends a control request for the bundle. */
static ovs_be32
send_bundle_ctrl(struct ofctrl *oc, uint16_t type)
{
    struct ofputil_bundle_ctrl_msg bc = {
        .bundle_id = oc->bundle_id,
        .type = type,
        .flags = OFPBF_ATOMIC | OFPBF_ORDERED,
    };

    return ofctrl_send_xid(oc, ofputil_encode_bundle_ctrl_request(
                               OFP15_VERSION, &bc));
}

/* Requests for flows. */

static struct flow_request *
request_create(struct ofctrl *oc, uint8_t table_id, ovs_be64 cookie,
               ovs_be64 cookie_mask, ofctrl_flows_cb *cb, void *aux)
{
    struct flow_request *req = xzalloc(sizeof *req);

    req->table_id = table_id;
    req->cookie = cookie;
    req->cookie_mask = cookie_mask;
    req->cb = cb;
    req->aux = aux;
    ovs_list_push_back(&oc->requests, &req->list_node);
    return req;
}

void
ofctrl_flush_conntrack(struct ofctrl *oc, uint16_t zone,
                       const struct in6_addr *ip, bool userspace)
{
    static const uint8_t any[] = { 0 };
    /* conntrack.c:tuple_to_conn_key() in OVS 3.1 aborts at ICMPv6. */
    static const uint8_t not_icmpv6[] = { IPPROTO_TCP, IPPROTO_UDP };
    bool v4 = ip_is_v4(ip);
    const uint8_t *protos = userspace && !v4 ? not_icmpv6 : any;
    size_t n = userspace && !v4 ? ARRAY_SIZE(not_icmpv6) : ARRAY_SIZE(any);

    if (!ofctrl_is_connected(oc)) {
        return;
    }
    for (size_t i = 0; i < 2 * n; i++) {
        struct ofp_ct_match match = {
            .ip_proto = protos[i / 2],
            .l3_type = v4 ? AF_INET : AF_INET6
        };

        *(i % 2 ? &match.tuple_orig.dst : &match.tuple_orig.src) = *ip;
        ofctrl_send_xid(oc, ofp_ct_match_encode(&match, &zone,
                                                OFP15_VERSION));
    }
}

void
ofctrl_request_flows(struct ofctrl *oc, uint8_t table_id, ovs_be64 cookie,
                     ovs_be64 cookie_mask, ofctrl_flows_cb *cb, void *aux)
{
    request_create(oc, table_id, cookie, cookie_mask, cb, aux);
}

static void
request_send(struct ofctrl *oc, struct flow_request *req)
{
    struct ofputil_flow_stats_request fsr = {
        .match = MATCH_CATCHALL_INITIALIZER,
        .cookie = req->cookie,
        .cookie_mask = req->cookie_mask,
        .out_port = OFPP_ANY,
        .out_group = OFPG_ANY,
        .table_id = req->table_id,
    };

    req->sent = true;
    req->xid = ofctrl_send_xid(oc, ofputil_encode_flow_stats_request(
                                   &fsr, OFPUTIL_P_OF15_OXM));
}

/* Ends a request, with an error message or NULL. */
static void
request_done(struct flow_request *req, const char *error)
{
    ovs_list_remove(&req->list_node);
    req->cb(NULL, error, req->aux);
    free(req);
}

static struct flow_request *
request_find(const struct ofctrl *oc, ovs_be32 xid)
{
    struct flow_request *req;

    LIST_FOR_EACH (req, list_node, &oc->requests) {
        if (req->sent && req->xid == xid) {
            return req;
        }
    }
    return NULL;
}

/* Ends the requests that are there now; a callback may make new ones. */
static void
requests_fail(struct ofctrl *oc, const char *error)
{
    struct ovs_list failed;

    ovs_list_move(&failed, &oc->requests);
    ovs_list_init(&oc->requests);
    while (!ovs_list_is_empty(&failed)) {
        request_done(CONTAINER_OF(ovs_list_front(&failed),
                                  struct flow_request, list_node), error);
    }
}

/* Takes in flows. */
static void
recv_flows(struct ofctrl *oc, const struct ofp_header *oh)
{
    struct flow_request *req = request_find(oc, oh->xid);
    struct ofpbuf msg = ofpbuf_const_initializer(oh, ntohs(oh->length));
    uint64_t stub[1024 / 8];
    struct ofpbuf ofpacts = OFPBUF_STUB_INITIALIZER(stub);
    bool more = ofpmp_more(oh);
    int retval;

    if (!req) {
        return;
    }
    for (;;) {
        struct ofputil_flow_stats fs;

        retval = ofputil_decode_flow_stats_reply(&fs, &msg, true, &ofpacts);
        if (retval) {
            break;
        }
        req->cb(&fs, NULL, req->aux);
    }
    ofpbuf_uninit(&ofpacts);
    if (retval != EOF) {
        request_done(req, "the switch sent a flow that cannot be read");
    } else if (!more) {
        request_done(req, NULL);
    }
}

/* The connection. */

/* Has the connection made at once where the management socket is another one
 * than at the last look, instead of after a second.  Notes why there is no
 * connection. */
static void
ofctrl_hasten(struct ofctrl *oc)
{
    int error = rconn_get_last_error(oc->rconn);
    struct stat s;

    if (stat(oc->socket, &s)) {
        error = errno;
    } else if (s.st_ino != oc->socket_stat.st_ino
               || s.st_ctim.tv_sec != oc->socket_stat.st_ctim.tv_sec
               || s.st_ctim.tv_nsec != oc->socket_stat.st_ctim.tv_nsec) {
        oc->socket_stat = s;
        rconn_connect(oc->rconn, oc->target, oc->target);
    }
    if (error) {
        free(oc->error);
        oc->error = xasprintf("%s: %s", oc->target,
                              ovs_retval_to_string(error));
    }
}

/* Nothing is known of what the switch has. */
static void
ofctrl_forget(struct ofctrl *oc)
{
    if (oc->state >= S_FILL) {
        flow_table_finish(oc->ft, &oc->deltas, false);
    }
    flow_table_forget_present(oc->ft);
    oc->diffed = oc->installed = 0;
    oc->realized = oc->swept = oc->waited = 0;
}

static void
ofctrl_disconnected(struct ofctrl *oc)
{
    ofctrl_forget(oc);
    oc->state = S_DISCONNECTED;
    oc->nudge = LLONG_MAX;
    reval_cancel(oc->reval);
    requests_fail(oc, "no connection to the switch");
}

static void
ofctrl_read(struct ofctrl *oc)
{
    oc->reread = false;
    oc->state = S_READ;
    request_create(oc, OFPTT_ALL, htonll(COOKIE_MARK),
                   htonll(COOKIE_MARK_MASK), read_flow, oc);
}

/* Gives up the connection, for a reason that is none of the socket's. */
static void
ofctrl_reconnect(struct ofctrl *oc, const char *error)
{
    VLOG_ERR("%s: %s; connecting again", oc->target, error);
    ofctrl_disconnected(oc);
    free(oc->error);
    oc->error = xasprintf("%s: %s", oc->target, error);
    rconn_reconnect(oc->rconn);
}

/* Takes in a flow that the switch has. */
static void
read_flow(const struct ofputil_flow_stats *fs, const char *error, void *oc_)
{
    struct ofctrl *oc = oc_;

    if (fs) {
        COVERAGE_INC(ofctrl_read);
        flow_table_add_present(oc->ft, fs);
    } else if (!error) {
        VLOG_INFO("%s: the switch has %"PRIuSIZE" of our flows",
                  oc->target, flow_table_n_present(oc->ft));
        oc->state = S_IDLE;
    } else if (oc->state == S_READ) {
        ofctrl_reconnect(oc, error);
    }
}

/* Refusals. */

void
ofctrl_set_title(struct ofctrl *oc,
                 char *(*title)(const struct flow_delta *, const void *aux),
                 const void *aux)
{
    oc->title = title;
    oc->title_aux = aux;
}

/* The switch refuses the bundle on account of its flow 'i'; if 'full', because
 * the table is.  That it does not delete a flow leaves nothing to do but to
 * look at all of them again. */
static void
refuse(struct ofctrl *oc, size_t i, const char *error, bool full)
{
    static struct vlog_rate_limit rl = VLOG_RATE_LIMIT_INIT(5, 20);
    const struct flow_delta *delta = &oc->deltas.elems[i];
    size_t n = flow_table_refuse(oc->ft, &oc->deltas, i, error, full);

    oc->failed = true;
    oc->found |= delta->actions != NULL;
    if (n && !VLOG_DROP_WARN(&rl)) {
        char *title = oc->title ? oc->title(delta, oc->title_aux) : NULL;
        char *flow = flow_delta_to_string(oc->ft, delta);

        char *more = n > 1 ? xasprintf(" and %"PRIuSIZE" more", n - 1) : NULL;

        VLOG_WARN("%s%sthe switch refuses a flow%s (%s): %.500s",
                  title ? title : "", title ? ": " : "", more ? more : "",
                  error, flow);
        free(more);
        free(title);
        free(flow);
    }
    COVERAGE_ADD(ofctrl_refusal, n);
}

/* Bundles. */

static bool
ofctrl_needs_diff(const struct ofctrl *oc)
{
    return (oc->state == S_IDLE && oc->complete
            && oc->diffed != flow_table_seqno(oc->ft));
}

/* Begins a bundle with what differs, if anything does. */
static void
ofctrl_begin(struct ofctrl *oc)
{
    flow_table_diff(oc->ft, &oc->deltas);
    oc->diffed = oc->deltas.seqno;
    if (!oc->deltas.n) {
        if (oc->installed && oc->realized == oc->installed) {
            oc->realized = oc->deltas.seqno;
        }
        oc->installed = oc->deltas.seqno;
        flow_table_finish(oc->ft, &oc->deltas, true);
        return;
    }

    COVERAGE_INC(ofctrl_bundle);
    oc->state = S_FILL;
    oc->n_sent = 0;
    oc->failed = oc->found = false;
    if (oc->next_xid > UINT32_MAX - oc->deltas.n - 100) {
        oc->next_xid = UINT32_C(1) << 31;
    }
    oc->bundle_id++;
    send_bundle_ctrl(oc, OFPBCT_OPEN_REQUEST);
    oc->first_xid = oc->next_xid;
    oc->next_xid += oc->deltas.n;
}

static void
ofctrl_fill(struct ofctrl *oc)
{
    for (int i = 0; (i < MAX_FILL && oc->n_sent < oc->deltas.n
                     && rconn_packet_counter_n_packets(oc->tx) < MAX_BACKLOG);
         i++) {
        const struct flow_delta *delta = &oc->deltas.elems[oc->n_sent];
        struct ofpbuf *msg = flow_delta_encode(
            oc->ft, delta, htonl(oc->first_xid + oc->n_sent));

        if (msg->size + BUNDLE_ADD_OVERHEAD > UINT16_MAX) {
            refuse(oc, oc->n_sent, "flow is too large for an OpenFlow "
                   "message", false);
        } else {
            struct ofputil_bundle_add_msg bam = {
                .bundle_id = oc->bundle_id,
                .flags = OFPBF_ATOMIC | OFPBF_ORDERED,
                .msg = msg->data,
            };

            COVERAGE_INC(ofctrl_flow_mod);
            ofctrl_send(oc, ofputil_encode_bundle_add(OFP15_VERSION, &bam));
        }
        ofpbuf_delete(msg);
        oc->n_sent++;
    }
    if (oc->n_sent == oc->deltas.n) {
        oc->last_xid = send_bundle_ctrl(oc, OFPBCT_CLOSE_REQUEST);
        oc->state = S_CLOSE;
    }
}

/* The bundle came about, or did not. */
static void
ofctrl_end(struct ofctrl *oc, bool done)
{
    if (done) {
        VLOG_DBG("change %"PRIu64" is in the tables, %"PRIuSIZE" flows",
                 oc->deltas.seqno, oc->deltas.n);
        oc->installed = oc->deltas.seqno;
    } else {
        oc->diffed = 0;
    }
    oc->state = S_IDLE;
    flow_table_finish(oc->ft, &oc->deltas, done);
    if (!done && !oc->found) {
        ofctrl_reconnect(oc, "the switch refuses a bundle for no flow of it");
    }
}

static void
recv_bundle_ctrl(struct ofctrl *oc, const struct ofp_header *oh)
{
    if (oc->state != S_CLOSE || oh->xid != oc->last_xid) {
        return;
    }
    if (oc->failed) {
        send_bundle_ctrl(oc, OFPBCT_DISCARD_REQUEST);
        ofctrl_end(oc, false);
    } else {
        send_bundle_ctrl(oc, OFPBCT_COMMIT_REQUEST);
        oc->last_xid = ofctrl_send_xid(
            oc, ofputil_encode_barrier_request(OFP15_VERSION));
        oc->state = S_COMMIT;
    }
}

static void
recv_barrier(struct ofctrl *oc, const struct ofp_header *oh)
{
    if (oc->state == S_COMMIT && oh->xid == oc->last_xid) {
        ofctrl_end(oc, !oc->failed);
    }
}

static void
recv_error(struct ofctrl *oc, const struct ofp_header *oh)
{
    static struct vlog_rate_limit rl = VLOG_RATE_LIMIT_INIT(5, 20);
    enum ofperr code = ofperr_decode_msg(oh, NULL);
    const char *error = ofperr_to_string(code);
    struct flow_request *req = request_find(oc, oh->xid);
    uint32_t xid = ntohl(oh->xid);

    if (req) {
        request_done(req, error);
    } else if (oc->state >= S_FILL && xid >= oc->first_xid
               && xid - oc->first_xid < oc->deltas.n) {
        refuse(oc, xid - oc->first_xid, error,
               code == OFPERR_OFPFMFC_TABLE_FULL);
    } else {
        VLOG_INFO_RL(&rl, "%s: OpenFlow error %s", oc->target, error);
        if (oc->state >= S_FILL) {
            oc->failed = true;
            if (oc->state == S_CLOSE && oh->xid == oc->last_xid) {
                ofctrl_end(oc, false);
            }
        }
    }
}

static void
ofctrl_recv(struct ofctrl *oc, const struct ofpbuf *msg)
{
    const struct ofp_header *oh = msg->data;
    enum ofptype type;

    if (ofptype_decode(&type, oh)) {
        return;
    }
    if (type == OFPTYPE_FLOW_STATS_REPLY) {
        recv_flows(oc, oh);
    } else if (type == OFPTYPE_ERROR) {
        recv_error(oc, oh);
    } else if (type == OFPTYPE_BUNDLE_CONTROL) {
        recv_bundle_ctrl(oc, oh);
    } else if (type == OFPTYPE_BARRIER_REPLY) {
        recv_barrier(oc, oh);
    } else if (type == OFPTYPE_ECHO_REQUEST) {
        ofctrl_send(oc, ofputil_encode_echo_reply(oh));
    }
}

/* Realization. */

/* Makes the switch dump its datapath's flows soon. */
static void
send_nudge(struct ofctrl *oc)
{
    struct match match = MATCH_CATCHALL_INITIALIZER;
    struct ofputil_flow_mod fm = {
        .command = OFPFC_ADD,
        .new_cookie = htonll(COOKIE_MARK),
        .table_id = TABLE_NUDGE,
        .buffer_id = UINT32_MAX,
        .out_port = OFPP_ANY,
        .out_group = OFPG_ANY,
    };

    COVERAGE_INC(ofctrl_nudge);
    match_set_reg(&match, 15, NUDGE_REG15);
    minimatch_init(&fm.match, &match);
    ofctrl_send(oc, ofputil_encode_flow_mod(&fm, OFPUTIL_P_OF15_OXM));

    fm.command = OFPFC_DELETE_STRICT;
    fm.new_cookie = OVS_BE64_MAX;
    fm.cookie = htonll(COOKIE_MARK);
    fm.cookie_mask = OVS_BE64_MAX;
    ofctrl_send(oc, ofputil_encode_flow_mod(&fm, OFPUTIL_P_OF15_OXM));
    minimatch_destroy(&fm.match);
    oc->nudge = LLONG_MAX;
}

static void
ofctrl_run_reval(struct ofctrl *oc)
{
    bool second = false;

    for (;;) {
        if (reval_run(oc->reval)) {
            oc->realized = oc->swept;
            oc->swept = oc->waited;
            second = true;
        }
        if (oc->realized == oc->installed || reval_is_waiting(oc->reval)) {
            break;
        }
        oc->waited = oc->installed;
        oc->nudge = second ? 0 : time_msec() + FIRST_NUDGE_DELAY;
        reval_start(oc->reval);
    }
    if (reval_is_waiting(oc->reval) && time_msec() >= oc->nudge) {
        send_nudge(oc);
    }
}

void
ofctrl_run(struct ofctrl *oc)
{
    struct flow_request *req;

    if (!rconn_is_connected(oc->rconn)) {
        ofctrl_hasten(oc);
    }
    rconn_run(oc->rconn);
    if (!rconn_is_connected(oc->rconn)) {
        if (oc->state != S_DISCONNECTED) {
            ofctrl_disconnected(oc);
        } else {
            requests_fail(oc, "no connection to the switch");
        }
        return;
    }
    if (oc->seqno != rconn_get_connection_seqno(oc->rconn)) {
        oc->seqno = rconn_get_connection_seqno(oc->rconn);
        ofctrl_disconnected(oc);
        free(oc->error);
        oc->error = NULL;
        ofctrl_read(oc);
    } else if (oc->reread && oc->state == S_IDLE) {
        ofctrl_forget(oc);
        ofctrl_read(oc);
    }

    LIST_FOR_EACH (req, list_node, &oc->requests) {
        if (!req->sent) {
            request_send(oc, req);
        }
    }
    for (int i = 0; i < MAX_RECV && oc->state != S_DISCONNECTED; i++) {
        struct ofpbuf *msg = rconn_recv(oc->rconn);

        if (!msg) {
            break;
        }
        ofctrl_recv(oc, msg);
        ofpbuf_delete(msg);
    }
    if (ofctrl_needs_diff(oc)) {
        ofctrl_begin(oc);
    }
    if (oc->state == S_FILL) {
        ofctrl_fill(oc);
    }
    if (oc->state != S_DISCONNECTED) {
        ofctrl_run_reval(oc);
    }
}

void
ofctrl_wait(struct ofctrl *oc)
{
    rconn_run_wait(oc->rconn);
    rconn_recv_wait(oc->rconn);
    if (!rconn_is_connected(oc->rconn)) {
        poll_timer_wait(SOCKET_INTERVAL);
        return;
    }
    if (ofctrl_needs_diff(oc)
        || (oc->reread && oc->state == S_IDLE)
        || (oc->state == S_FILL
            && rconn_packet_counter_n_packets(oc->tx) < MAX_BACKLOG)
        || (!ovs_list_is_empty(&oc->requests)
            && !CONTAINER_OF(ovs_list_back(&oc->requests),
                             struct flow_request, list_node)->sent)) {
        poll_immediate_wake();
    }
    if (reval_is_waiting(oc->reval)) {
        poll_timer_wait_until(oc->nudge);
    }
    reval_wait(oc->reval);
}
