/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Keeps the flow table what the model wants: see sync.h. */

#include <config.h>
#include "sync.h"

#include <string.h>

#include "agent/model.h"
#include "flow-table.h"
#include "openvswitch/ofp-port.h"
#include "packets.h"

void
sync_init(struct sync *sync)
{
    memset(sync, 0, sizeof *sync);
    policy_index_init(&sync->policies);
}

void
sync_destroy(struct sync *sync)
{
    policy_index_destroy(&sync->policies);
}

void
sync_recompute(struct sync *sync)
{
    sync->compiled = false;
    sync->rebuild = true;
}

/* Whether flows compiled with 'a' are also right with 'b'.  'self' may be
 * another object of the same name: its own flows follow the model. */
static bool
ctx_equals(const struct compile_ctx *a, const struct compile_ctx *b)
{
    return (a->config == b->config
            && !a->self == !b->self
            && ipv6_addr_equals(&a->tunnel_ip, &b->tunnel_ip)
            && a->tunnel_family == b->tunnel_family
            && a->gateway == b->gateway
            && eth_addr_equals(a->gateway_mac, b->gateway_mac)
            && a->tunnel == b->tunnel);
}

static void
sync_base(const struct compile_ctx *ctx, struct flow_table *ft)
{
    struct flow_batch batch;

    flow_batch_init(&batch, ft);
    batch.whole = true;
    compile_base(ctx, &batch);
    flow_table_replace(ft, compile_base_cookie(), &batch);
    flow_batch_uninit(&batch);
}

/* The flows of a node, or those that are left of one. */
static void
sync_node(const struct compile_ctx *ctx, struct model *model,
          struct model_object *obj, struct flow_table *ft)
{
    struct flow_batch batch;

    if (obj->deleted) {
        /* One of the same name may have come since. */
        if (!model_find(model, obj->kind, obj->namespace, obj->name)) {
            flow_table_remove(ft, compile_cookie(obj));
        }
        return;
    }
    flow_batch_init(&batch, ft);
    batch.whole = true;
    compile_node(ctx, node_cast(obj), &batch);
    flow_table_replace(ft, compile_cookie(obj), &batch);
    flow_batch_uninit(&batch);
}

static void
sync_end(const struct policy_index *pi, struct model *model,
         const struct index_end *end, struct flow_table *ft)
{
    struct attachment *a = NULL;
    struct flow_batch batch;

    flow_batch_init(&batch, ft);
    /* A pod is there with all that isolates it, or it is not there. */
    batch.whole = true;
    if (end->is_attachment) {
        a = attachment_cast(model_find(model, MODEL_ATTACHMENT, NULL,
                                       end->name));
        compile_attachment(a, &batch);
    }
    if (!a || a->ofport != OFPP_NONE) {
        compile_end(pi, end, &batch);
    }
    flow_table_replace(ft, compile_end_cookie(end), &batch);
    flow_batch_uninit(&batch);
    if (a) {
        a->flows_seqno = (a->ofport != OFPP_NONE
                          ? flow_table_seqno(ft) : 0);
    }
}

/* Compiles what the index lists.  Attachments come last: what they say of
 * themselves holds for all that they rely on. */
static void
sync_policies(struct policy_index *pi, struct model *model,
              struct flow_table *ft)
{
    const struct index_policy *policy;
    const struct identity *identity;
    const struct index_end *end;
    struct flow_batch batch;

    for (size_t i = 0; i < pi->n_removed; i++) {
        flow_table_remove(ft, pi->removed[i]);
    }
    LIST_FOR_EACH (policy, dirty_node, &pi->dirty_policies) {
        flow_batch_init(&batch, ft);
        compile_policy(pi, policy, &batch);
        flow_table_replace(ft, compile_cookie(&policy->policy->obj), &batch);
        flow_batch_uninit(&batch);
    }
    LIST_FOR_EACH (identity, dirty_node, &pi->dirty_identities) {
        flow_batch_init(&batch, ft);
        compile_identity(pi, identity, &batch);
        flow_table_replace(ft, compile_identity_cookie(identity), &batch);
        flow_batch_uninit(&batch);
    }
    LIST_FOR_EACH (end, dirty_node, &pi->dirty_ends) {
        sync_end(pi, model, end, ft);
    }
    policy_index_clear_dirty(pi);
}

void
sync_run(struct sync *sync, struct model *model,
         const struct compile_ctx *ctx, struct flow_table *ft)
{
    struct model_object *obj;

    policy_index_update(&sync->policies, model, sync->seen);
    if (sync->rebuild) {
        /* What has gone since the last time has to go first. */
        sync_policies(&sync->policies, model, ft);
        unsigned int n_pages = sync->policies.n_pages;
        policy_index_destroy(&sync->policies);
        policy_index_init(&sync->policies);
        sync->policies.n_pages = n_pages;
        policy_index_update(&sync->policies, model, 0);
        sync->rebuild = false;
    }
    if (!sync->compiled || !ctx_equals(ctx, &sync->ctx)) {
        sync_base(ctx, ft);
        MODEL_FOR_EACH (obj, MODEL_NODE, model) {
            sync_node(ctx, model, obj, ft);
        }
        policy_index_set_dirty(&sync->policies);
        sync->ctx = *ctx;
        sync->compiled = true;
        /* What has gone since still has flows. */
    }
    MODEL_FOR_EACH_CHANGED (obj, model, sync->seen) {
        if (obj->kind == MODEL_NODE) {
            sync_node(ctx, model, obj, ft);
        }
    }
    sync_policies(&sync->policies, model, ft);
    sync->seen = model->seqno;
}
