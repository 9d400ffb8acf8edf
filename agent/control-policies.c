/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The command "policies": what each policy is for, which flows serve it, what
 * they have counted, and whether it is in force.
 *
 * Flows and counters are the switch's own: flows that several policies share
 * count for each.  A packet that more than one rule allows is counted by one
 * of them. */

#include <config.h>
#include "control-flows.h"

#include <stdlib.h>
#include <string.h>

#include "agent/manifest.h"
#include "agent/policy.h"
#include "control-json.h"
#include "flows/flow-table.h"
#include "flows/ofctrl.h"
#include "flows/pipeline.h"
#include "hash.h"
#include "lateend.h"
#include "openvswitch/json.h"
#include "openvswitch/match.h"
#include "openvswitch/ofp-flow.h"
#include "openvswitch/ofp-table.h"
#include "openvswitch/ofpbuf.h"
#include "packets.h"
#include "smap.h"
#include "source.h"
#include "svec.h"
#include "unixctl.h"
#include "util.h"

/* What is found out of a policy. */
struct policy_row {
    struct hmap_node hmap_node; /* In 'rows', by 'id'. */
    uint64_t id;                /* The object's. */
    size_t n_here;              /* Selected pods of this node... */
    size_t n_pods;              /* ...and of all. */
    uint64_t n_flows, n_packets, n_connections;
    const struct flow_refusal *refusal; /* Of a flow of it, or NULL. */

    /* Looked at last, each to be counted once. */
    const void *identity;
    uint64_t flow;
};

/* A request under way. */
struct policies_dump {
    struct unixctl_conn *conn;
    const struct lateend *d;
    bool stats;
    struct hmap rows;           /* Contains "struct policy_row"s. */
    uint64_t flow;              /* Number of the flow looked at. */
    const struct ofputil_flow_stats *fs;
    const struct flow_refusal *refusal; /* Looked at. */
    const struct flow_refusal *all; /* One that keeps all policies out, or
                                     * NULL. */
};

static struct policy_row *
find_row(struct policies_dump *dump, uint64_t id)
{
    struct policy_row *row;

    HMAP_FOR_EACH_WITH_HASH (row, hmap_node, hash_uint64(id), &dump->rows) {
        if (row->id == id) {
            return row;
        }
    }
    row = xzalloc(sizeof *row);
    row->id = id;
    hmap_insert(&dump->rows, &row->hmap_node, hash_uint64(id));
    return row;
}

static void
count_flow(const struct index_policy *ip, void *dump_)
{
    struct policies_dump *dump = dump_;
    struct policy_row *row = find_row(dump, ip->id);
    const struct match *match = &dump->fs->match;

    if (row->flow == dump->flow) {
        return;
    }
    row->flow = dump->flow;
    row->n_flows++;
    if (match->wc.masks.conj_id) {
        row->n_packets += dump->fs->packet_count;
        if (match->flow.ct_state & match->wc.masks.ct_state & CS_NEW) {
            row->n_connections += dump->fs->packet_count;
        }
    }
}

/* Counts the pods that policies select. */
static void
count_pods(struct policies_dump *dump)
{
    const struct identity *identity;
    const struct index_end *end;

    HMAP_FOR_EACH (identity, id_node, &dump->d->sync.policies.ids) {
        size_t n_here = 0, n_pods = 0;

        LIST_FOR_EACH (end, identity_node, &identity->ends) {
            *(end->is_attachment ? &n_here : &n_pods) += 1;
        }
        for (size_t i = 0; i < identity->n_members; i++) {
            const struct index_member *m = &identity->members[i];
            struct policy_row *row = find_row(dump, m->policy->id);

            if (m->rule < 0 && row->identity != identity) {
                row->identity = identity;
                row->n_here += n_here;
                row->n_pods += n_pods;
            }
        }
    }
}

static void
note_refusal(const struct index_policy *ip, void *dump_)
{
    struct policies_dump *dump = dump_;

    find_row(dump, ip->id)->refusal = dump->refusal;
}

/* Notes which policies the refused flows are of.  Where a pod is not in the
 * switch, no policy that it takes part in is in force. */
static void
note_refusals(struct policies_dump *dump)
{
    const struct lateend *d = dump->d;
    const struct flow_refusal *r;
    struct ofputil_flow_stats fs;
    struct ofpbuf ofpacts;

    ofpbuf_init(&ofpacts, 0);
    HMAP_FOR_EACH (r, node, flow_table_refusals(d->flow_table)) {
        ovs_be64 cookie = r->delta.cookie;
        const struct identity *identity = control_pod_identity(d, cookie);

        dump->refusal = r;
        if (cookie == compile_base_cookie()) {
            dump->all = r;
        }
        for (size_t i = 0; identity && i < identity->n_members; i++) {
            note_refusal(identity->members[i].policy, dump);
        }
        flow_delta_to_stats(&r->delta, &fs, &ofpacts);
        control_flow_policies(d, &fs, note_refusal, dump);
    }
    ofpbuf_uninit(&ofpacts);
}

/* Returns why 'obj', a policy, is not in force, to be freed, or NULL.
 * 'invalid' says what is wrong with a newer version of it, or is NULL. */
static char *
why_not_realized(const struct lateend *d, const struct model_object *obj,
                 const struct flow_refusal *refusal, const char *error,
                 const char *invalid)
{
    const struct index_policy *ip
        = policy_index_find(&d->sync.policies, obj->namespace, obj->name);

    if (invalid) {
        char *why = why_not_realized(d, obj, refusal, error, NULL);
        char *s = xasprintf("%s (the last good version is %s%s)", invalid,
                            why ? "not in force, either: " : "in force",
                            why ? why : "");

        free(why);
        return s;
    } else if (error) {
        return xstrdup(error);
    } else if (!ip || obj->changed > d->sync.seen) {
        return xstrdup("not compiled yet");
    } else if (refusal) {
        char *text = control_refusal_text(d, refusal);
        char *why = xasprintf("the switch refuses a flow of %s", text);

        free(text);
        return why;
    }
    return (ofctrl_realized(d->ofctrl) < flow_table_seqno(d->flow_table)
            ? xstrdup("not in the switch yet") : NULL);
}

/* Adds rows for the policies in 'invalid', of which the model has none. */
static void
add_never_valid(const struct smap *invalid, struct json *rows)
{
    const char *kind = model_kind_name(MODEL_POLICY);
    size_t n = strlen(kind);
    const struct smap_node *node;

    SMAP_FOR_EACH (node, invalid) {
        const char *name = node->key + n + 1;
        const char *slash = strchr(node->key, '/');

        if (!strncmp(node->key, kind, n) && slash > name) {
            struct json *json = json_object_create();

            put(json, "namespace", json_string_create_nocopy(
                    xmemdup0(name, slash - name)));
            put_string(json, "name", slash + 1);
            put_bool(json, "realised", false);
            put_string(json, "why", node->value);
            json_array_add(rows, json);
        }
    }
}

/* Answers, with what the switch has, or without it because of 'error'. */
static void
policies_answer(struct policies_dump *dump, const char *error)
{
    const struct lateend *d = dump->d;
    struct json *rows = json_array_create_empty();
    const struct model_object *obj;
    struct smap invalid = SMAP_INITIALIZER(&invalid);
    struct svec errors = SVEC_EMPTY_INITIALIZER;
    struct source_status status = {
        .errors = &errors, .object_errors = &invalid
    };
    struct policy_row *row;

    source_get_status(d->source, &status);
    svec_destroy(&errors);
    count_pods(dump);
    note_refusals(dump);
    MODEL_FOR_EACH (obj, MODEL_POLICY, &d->model) {
        const struct policy_spec *spec = policy_cast(obj)->spec;
        struct json *json = json_object_create();

        row = find_row(dump, obj->id);
        char *title = manifest_object_title(MODEL_POLICY, obj->namespace,
                                            obj->name);
        char *why = why_not_realized(
            d, obj, dump->all ? dump->all : row->refusal, error,
            smap_get(&invalid, title));
        smap_remove(&invalid, title);
        free(title);
        put_string(json, "namespace", obj->namespace);
        put_string(json, "name", obj->name);
        put_integer(json, "rules",
                    spec->ingress.n_rules + spec->egress.n_rules);
        put_integer(json, "podsHere", row->n_here);
        put_integer(json, "pods", row->n_pods);
        if (!error) {
            put_integer(json, "flows", row->n_flows);
        }
        if (!error && dump->stats) {
            put_integer(json, "packets", row->n_packets);
            put_integer(json, "connections", row->n_connections);
        }
        put_bool(json, "realised", !why);
        put_string(json, "why", why);
        free(why);
        json_array_add(rows, json);
    }
    add_never_valid(&invalid, rows);
    smap_destroy(&invalid);
    reply_by_name(dump->conn, rows);

    HMAP_FOR_EACH_POP (row, hmap_node, &dump->rows) {
        free(row);
    }
    hmap_destroy(&dump->rows);
    free(dump);
}

static void
policies_cb(const struct ofputil_flow_stats *fs, const char *error,
            void *dump_)
{
    struct policies_dump *dump = dump_;

    if (!fs) {
        policies_answer(dump, error);
        return;
    }
    dump->fs = fs;
    dump->flow++;
    control_flow_policies(dump->d, fs, count_flow, dump);
}

static void
control_policies(struct unixctl_conn *conn, int argc, const char *argv[],
                 void *d_)
{
    const struct lateend *d = d_;
    struct policies_dump *dump;

    if (argc > 1 && strcmp(argv[1], "stats")) {
        unixctl_command_reply_error(conn, "policies takes \"stats\" or "
                                    "nothing");
        return;
    }
    dump = xzalloc(sizeof *dump);
    dump->conn = conn;
    dump->d = d;
    dump->stats = argc > 1;
    hmap_init(&dump->rows);
    if (ofctrl_is_connected(d->ofctrl)) {
        ofctrl_request_flows(d->ofctrl, OFPTT_ALL, htonll(COOKIE_MARK),
                             htonll(COOKIE_MARK_MASK), policies_cb, dump);
    } else {
        policies_answer(dump, "the switch is not connected");
    }
}

void
control_policies_init(struct lateend *d)
{
    unixctl_command_register("policies", "[stats]", 0, 1, control_policies,
                             d);
}
