/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Keeps the flow table what the model wants: see sync.h. */

#include <config.h>
#include "sync.h"

#include <string.h>

#include "agent/model.h"
#include "flow-table.h"
#include "packets.h"

void
sync_init(struct sync *sync)
{
    memset(sync, 0, sizeof *sync);
}

void
sync_recompute(struct sync *sync)
{
    sync->compiled = false;
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
    compile_base(ctx, &batch);
    flow_table_replace(ft, compile_base_cookie(), &batch);
    flow_batch_uninit(&batch);
}

static void
sync_object(const struct compile_ctx *ctx, struct model *model,
            struct model_object *obj, struct flow_table *ft)
{
    struct flow_batch batch;

    if (obj->kind != MODEL_NODE && obj->kind != MODEL_ATTACHMENT) {
        return;
    }
    if (obj->deleted) {
        /* One of the same name may have come since. */
        if (!model_find(model, obj->kind, obj->namespace, obj->name)) {
            flow_table_remove(ft, compile_cookie(obj));
        }
        return;
    }

    flow_batch_init(&batch, ft);
    if (obj->kind == MODEL_NODE) {
        compile_node(ctx, node_cast(obj), &batch);
    } else {
        compile_attachment(attachment_cast(obj), &batch);
    }
    flow_table_replace(ft, compile_cookie(obj), &batch);
    flow_batch_uninit(&batch);

    if (obj->kind == MODEL_ATTACHMENT) {
        struct attachment *a = attachment_cast(obj);

        a->flows_seqno = (a->ofport != OFPP_NONE
                          ? flow_table_seqno(ft) : 0);
    }
}

void
sync_run(struct sync *sync, struct model *model,
         const struct compile_ctx *ctx, struct flow_table *ft)
{
    struct model_object *obj;

    if (!sync->compiled || !ctx_equals(ctx, &sync->ctx)) {
        sync_base(ctx, ft);
        for (int kind = 0; kind < MODEL_N_KINDS; kind++) {
            MODEL_FOR_EACH (obj, kind, model) {
                sync_object(ctx, model, obj, ft);
            }
        }
        sync->ctx = *ctx;
        sync->compiled = true;
        /* What has gone since still has flows. */
    }
    MODEL_FOR_EACH_CHANGED (obj, model, sync->seen) {
        sync_object(ctx, model, obj, ft);
    }
    sync->seen = model->seqno;
}
