/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The command "flows", and whose a flow is: see control-flows.h. */

#include <config.h>
#include "control-flows.h"

#include <stdlib.h>
#include <string.h>

#include "control-json.h"
#include "flows/flow-table.h"
#include "flows/ofctrl.h"
#include "flows/pipeline.h"
#include "lateend.h"
#include "openvswitch/dynamic-string.h"
#include "openvswitch/json.h"
#include "openvswitch/match.h"
#include "openvswitch/ofp-actions.h"
#include "openvswitch/ofp-flow.h"
#include "openvswitch/ofp-table.h"
#include "openvswitch/ofpbuf.h"
#include "packets.h"
#include "unixctl.h"
#include "util.h"

/* Policies that a title names at most. */
#define MAX_TITLE_POLICIES 5

/* Whose a flow is. */

static enum cookie_kind
cookie_kind(ovs_be64 cookie)
{
    return (ntohll(cookie) & ~COOKIE_MARK_MASK) >> COOKIE_KIND_SHIFT;
}

static uint64_t
cookie_id(ovs_be64 cookie)
{
    return ntohll(cookie) & COOKIE_ID_MASK;
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

/* What the pods of an identity have in common. */
static char *
identity_name(const struct identity *identity)
{
    const struct smap_node **nodes = smap_sort(&identity->labels);
    struct ds s = DS_EMPTY_INITIALIZER;

    ds_put_format(&s, "pods %s", identity->namespace);
    for (size_t i = 0; i < smap_count(&identity->labels); i++) {
        ds_put_format(&s, "%s%s=%s", i ? "," : " ", nodes[i]->key,
                      nodes[i]->value);
    }
    free(nodes);
    return ds_steal_cstr(&s);
}

char *
control_owner_name(const struct lateend *d, ovs_be64 cookie)
{
    static const enum model_kind kinds[] = {
        [COOKIE_NODE] = MODEL_NODE,
        [COOKIE_ATTACHMENT] = MODEL_ATTACHMENT,
        [COOKIE_POD] = MODEL_POD,
        [COOKIE_POLICY] = MODEL_POLICY,
    };
    enum cookie_kind kind = cookie_kind(cookie);
    const struct identity *identity;
    const struct model_object *obj;

    if (cookie == compile_base_cookie()) {
        return xstrdup("pipeline");
    } else if (kind == COOKIE_IDENTITY) {
        identity = policy_index_find_identity(&d->sync.policies,
                                              cookie_id(cookie));
        if (identity) {
            return identity_name(identity);
        }
    } else if (kind && kind < ARRAY_SIZE(kinds)) {
        obj = model_find_id(&d->model, kinds[kind], cookie_id(cookie));
        if (obj && kind == COOKIE_ATTACHMENT) {
            return attachment_name(attachment_cast(obj));
        } else if (obj) {
            return xasprintf("%s %s%s%s",
                             (kind == COOKIE_NODE ? "node"
                              : kind == COOKIE_POD ? "pod" : "policy"),
                             obj->namespace ? obj->namespace : "",
                             obj->namespace ? "/" : "", obj->name);
        }
    }
    return xasprintf("0x%"PRIx64, ntohll(cookie));
}

/* The first policies that a flow serves. */
struct title_policies {
    const struct index_policy *elems[MAX_TITLE_POLICIES + 1];
    size_t n;
};

static void
note_title_policy(const struct index_policy *ip, void *policies_)
{
    struct title_policies *policies = policies_;

    for (size_t i = 0; i < policies->n; i++) {
        if (policies->elems[i] == ip) {
            return;
        }
    }
    if (policies->n < ARRAY_SIZE(policies->elems)) {
        policies->elems[policies->n++] = ip;
    }
}

/* Whose a flow is that is refused: the policies that it would serve, if there
 * are any, and its owner, if that is none of them. */
static char *
flow_title(const struct flow_delta *delta, const void *d_)
{
    const struct lateend *d = d_;
    struct title_policies policies = { .n = 0 };
    struct ds s = DS_EMPTY_INITIALIZER;
    struct ofputil_flow_stats fs;
    struct ofpbuf ofpacts;

    ofpbuf_init(&ofpacts, 0);
    flow_delta_to_stats(delta, &fs, &ofpacts);
    control_flow_policies(d, &fs, note_title_policy, &policies);
    ofpbuf_uninit(&ofpacts);

    if (!policies.n || cookie_kind(delta->cookie) != COOKIE_POLICY) {
        char *name = control_owner_name(d, delta->cookie);

        ds_put_format(&s, "%s%s", name, policies.n ? " in " : "");
        free(name);
    }
    for (size_t i = 0; i < policies.n; i++) {
        if (i == MAX_TITLE_POLICIES) {
            ds_put_cstr(&s, ", ...");
        } else {
            ds_put_format(&s, "%s%s/%s", i ? ", " : "policy ",
                          policies.elems[i]->namespace,
                          policies.elems[i]->name);
        }
    }
    return ds_steal_cstr(&s);
}

char *
control_refusal_text(const struct lateend *d, const struct flow_refusal *r)
{
    char *title = flow_title(&r->delta, d);
    char *flow = flow_delta_to_string(d->flow_table, &r->delta);
    char *text = xasprintf("%s: %.500s: %s", title, flow, r->error);

    free(title);
    free(flow);
    return text;
}

const struct identity *
control_pod_identity(const struct lateend *d, ovs_be64 cookie)
{
    const struct policy_index *pi = &d->sync.policies;
    const struct index_end *end;
    const struct attachment *a;

    switch (cookie_kind(cookie)) {
    case COOKIE_ATTACHMENT:
        a = attachment_cast(model_find_id(&d->model, MODEL_ATTACHMENT,
                                          cookie_id(cookie)));
        end = a ? policy_index_find_attachment(pi, a) : NULL;
        return end ? end->identity : NULL;
    case COOKIE_POD:
        return policy_index_find_pod_identity(
            pi, pod_cast(model_find_id(&d->model, MODEL_POD,
                                       cookie_id(cookie))));
    case COOKIE_BASE:
    case COOKIE_NODE:
    case COOKIE_IDENTITY:
    case COOKIE_POLICY:
    default:
        return NULL;
    }
}

void
control_flow_policies(const struct lateend *d,
                      const struct ofputil_flow_stats *fs,
                      void (*cb)(const struct index_policy *, void *aux),
                      void *aux)
{
    const struct policy_index *pi = &d->sync.policies;
    const struct policy_conj *conj;
    const struct ofpact *a;

    if (fs->table_id == TABLE_SOURCE || fs->table_id == TABLE_DESTINATION) {
        enum policy_side side = (fs->table_id == TABLE_SOURCE
                                 ? POLICY_EGRESS : POLICY_INGRESS);
        const struct identity *identity
            = (cookie_kind(fs->cookie) == COOKIE_ATTACHMENT
               ? control_pod_identity(d, fs->cookie) : NULL);

        for (size_t i = 0; identity && i < identity->n_members; i++) {
            const struct index_member *m = &identity->members[i];

            if (m->rule < 0 && m->side == side) {
                cb(m->policy, aux);
            }
        }
    } else if (fs->match.wc.masks.conj_id) {
        conj = policy_index_find_conj(pi, fs->match.flow.conj_id);
        if (conj) {
            cb(conj->policy, aux);
        }
    } else {
        OFPACT_FOR_EACH (a, fs->ofpacts, fs->ofpacts_len) {
            conj = (a->type == OFPACT_CONJUNCTION
                    ? policy_index_find_conj(pi,
                                             ofpact_get_CONJUNCTION(a)->id)
                    : NULL);
            if (conj) {
                cb(conj->policy, aux);
            }
        }
    }
}

/* The dump. */

/* A dump of flows under way. */
struct flows_dump {
    struct unixctl_conn *conn;
    const struct lateend *d;
    struct json *rows;
    bool of_policy;             /* Only flows of a policy, this one. */
    uint64_t policy_id;
    bool found;                 /* It is, of the flow looked at. */
};

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
note_policy(const struct index_policy *ip, void *dump_)
{
    struct flows_dump *dump = dump_;

    dump->found |= ip->id == dump->policy_id;
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
    if (dump->of_policy) {
        dump->found = false;
        control_flow_policies(dump->d, fs, note_policy, dump);
        if (!dump->found) {
            return;
        }
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
        json_string_create_nocopy(control_owner_name(dump->d, fs->cookie)));
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

/* The policy "NAMESPACE/NAME", or NULL. */
static const struct policy *
find_policy(const struct lateend *d, const char *name)
{
    const char *slash = strchr(name, '/');
    char *namespace = slash ? xmemdup0(name, slash - name) : NULL;
    const struct model_object *obj
        = slash ? model_find(&d->model, MODEL_POLICY, namespace, slash + 1)
        : NULL;

    free(namespace);
    return policy_cast(obj);
}

static void
control_flows(struct unixctl_conn *conn, int argc, const char *argv[],
              void *d_)
{
    const struct lateend *d = d_;
    ovs_be64 cookie = htonll(COOKIE_MARK);
    ovs_be64 mask = htonll(COOKIE_MARK_MASK);
    const struct policy *policy = NULL;
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
    } else if (argc == 3 && !strcmp(argv[1], "policy")) {
        policy = find_policy(d, argv[2]);
        if (!policy) {
            error = xasprintf("the cluster has no policy \"%s\" "
                              "(NAMESPACE/NAME is wanted)", argv[2]);
        }
    } else if (argc > 1) {
        error = xstrdup("flows takes \"pod\", \"node\", \"policy\" or "
                        "\"table\" and a name");
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

    struct flows_dump *dump = xzalloc(sizeof *dump);
    dump->conn = conn;
    dump->d = d;
    dump->rows = json_array_create_empty();
    dump->of_policy = policy != NULL;
    dump->policy_id = policy ? policy->obj.id : 0;
    ofctrl_request_flows(d->ofctrl, table, cookie, mask, flows_cb, dump);
}

void
control_flows_init(struct lateend *d)
{
    unixctl_command_register("flows", "[pod|node|policy|table NAME]", 0, 2,
                             control_flows, d);
    ofctrl_set_title(d->ofctrl, flow_title, d);
}
