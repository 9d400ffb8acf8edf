/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Building and storing single flows: see flow-table.h for what flow_batch
 * does. */

#include <config.h>
#include "flow-table.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "flow.h"
#include "flow-table-private.h"
#include "hash.h"
#include "openvswitch/ofp-errors.h"
#include "openvswitch/ofp-flow.h"
#include "openvswitch/ofpbuf.h"
#include "openvswitch/vlog.h"
#include "util.h"

VLOG_DEFINE_THIS_MODULE(flow_batch);

BUILD_ASSERT_DECL(sizeof(struct miniflow) % sizeof(uint64_t) == 0);

void
flow_batch_init(struct flow_batch *batch, struct flow_table *ft)
{
    *batch = (struct flow_batch) { .ft = ft };
}

void
flow_batch_uninit(struct flow_batch *batch)
{
    for (size_t i = 0; i < batch->n; i++) {
        flow_actions_unref(batch->ft, batch->entries[i]->claim.actions);
        flow_entry_free(batch->ft, batch->entries[i]);
    }
    free(batch->entries);
}

/* The actions take the way through an OpenFlow message, as those of the switch
 * do: some have several forms in memory and one there. */
void
flow_batch_add_match(struct flow_batch *batch, uint8_t table_id,
                     uint16_t priority, const struct match *match,
                     const struct ofpact *ofpacts, size_t ofpacts_len)
{
    uint64_t wire_stub[1024 / 8];
    uint64_t ofpacts_stub[1024 / 8];
    struct ofpbuf wire = OFPBUF_STUB_INITIALIZER(wire_stub);
    struct ofpbuf out = OFPBUF_STUB_INITIALIZER(ofpacts_stub);
    struct ofpbuf in;
    struct flow_entry *e;
    enum ofperr error;

    ofpacts_put_openflow_instructions(ofpacts, ofpacts_len, &wire,
                                      OFP15_VERSION);
    ofpbuf_use_const(&in, wire.data, wire.size);
    error = ofpacts_pull_openflow_instructions(&in, in.size, OFP15_VERSION,
                                               NULL, NULL, &out);
    if (error) {
        VLOG_ERR("actions of a flow in table %"PRIu8" cannot be written: %s",
                 table_id, ofperr_to_string(error));
        ovs_assert(!error);
    }

    e = flow_entry_create(batch->ft, table_id, priority, match);
    e->claim.actions = flow_actions_intern(batch->ft, out.data, out.size);
    ofpbuf_uninit(&out);
    ofpbuf_uninit(&wire);

    if (batch->n >= batch->allocated) {
        batch->entries = x2nrealloc(batch->entries, &batch->allocated,
                                    sizeof *batch->entries);
    }
    batch->entries[batch->n++] = e;
}

void
flow_batch_add(struct flow_batch *batch, const char *format, ...)
{
    enum ofputil_protocol usable;
    struct ofputil_flow_mod fm;
    struct match match;
    va_list args;
    char *error;
    char *s;

    va_start(args, format);
    s = xvasprintf(format, args);
    va_end(args);

    error = parse_ofp_flow_mod_str(&fm, s, NULL, &batch->ft->names,
                                   OFPFC_ADD, &usable);
    if (error) {
        VLOG_ERR("flow \"%s\" does not parse: %s", s, error);
        ovs_assert(!error);
    }
    if (!(usable & OFPUTIL_P_OF15_OXM) || fm.table_id == OFPTT_ALL) {
        VLOG_ERR("flow \"%s\" is not one of OpenFlow 1.5 or names no table",
                 s);
        ovs_assert(false);
    }
    minimatch_expand(&fm.match, &match);
    flow_batch_add_match(batch, fm.table_id, fm.priority, &match, fm.ofpacts,
                         fm.ofpacts_len);

    minimatch_destroy(&fm.match);
    free(CONST_CAST(struct ofpact *, fm.ofpacts));
    free(s);
}

/* Stored actions and masks. */

struct flow_actions *
flow_actions_intern(struct flow_table *ft, const struct ofpact *ofpacts,
                    size_t len)
{
    uint32_t hash = hash_bytes(ofpacts, len, 0);
    struct flow_actions *a;

    HMAP_FOR_EACH_WITH_HASH (a, node, hash, &ft->actions) {
        if (ofpacts_equal(flow_actions_get(a), a->len, ofpacts, len)) {
            a->n_refs++;
            return a;
        }
    }

    a = xmalloc(sizeof *a + len);
    a->n_refs = 1;
    a->len = len;
    memcpy(a->ofpacts, ofpacts, len);
    hmap_insert(&ft->actions, &a->node, hash);
    return a;
}

struct flow_actions *
flow_actions_ref(struct flow_actions *a)
{
    if (a) {
        a->n_refs++;
    }
    return a;
}

void
flow_actions_unref(struct flow_table *ft, struct flow_actions *a)
{
    if (a && !--a->n_refs) {
        hmap_remove(&ft->actions, &a->node);
        free(a);
    }
}

static size_t
minimask_size(const struct minimask *mask)
{
    return (sizeof mask->masks
            + MINIFLOW_VALUES_SIZE(miniflow_n_values(&mask->masks)));
}

static struct flow_mask *
flow_mask_intern(struct flow_table *ft, const struct minimask *mask)
{
    size_t size = minimask_size(mask);
    uint32_t hash = hash_bytes(mask, size, 0);
    struct flow_mask *fm;

    HMAP_FOR_EACH_WITH_HASH (fm, node, hash, &ft->masks) {
        if (minimask_equal(fm->mask, mask)) {
            fm->n_refs++;
            return fm;
        }
    }

    fm = xmalloc(sizeof *fm);
    fm->n_refs = 1;
    fm->n_values = miniflow_n_values(&mask->masks);
    fm->mask = xmemdup(mask, size);
    hmap_insert(&ft->masks, &fm->node, hash);
    return fm;
}

static void
flow_mask_unref(struct flow_table *ft, struct flow_mask *fm)
{
    if (!--fm->n_refs) {
        hmap_remove(&ft->masks, &fm->node);
        free(fm->mask);
        free(fm);
    }
}

/* Entries. */

struct flow_entry *
flow_entry_create(struct flow_table *ft, uint8_t table_id, uint16_t priority,
                  const struct match *match_)
{
    struct match match = *match_;
    struct minimatch minimatch;
    struct flow_entry *e;
    struct flow_mask *mask;

    /* A match on Ethernet packets is implied in messages, and so is there or
     * not in what is made of them. */
    if (match_has_default_packet_type(&match)) {
        match.flow.packet_type = 0;
        match.wc.masks.packet_type = 0;
    }
    minimatch_init(&minimatch, &match);
    mask = flow_mask_intern(ft, minimatch.mask);
    e = xzalloc(sizeof *e + MINIFLOW_VALUES_SIZE(mask->n_values));
    e->mask = mask;
    e->table_id = table_id;
    e->priority = priority;
    memcpy(e->values, miniflow_get_values(minimatch.flow),
           MINIFLOW_VALUES_SIZE(mask->n_values));
    minimatch_destroy(&minimatch);
    return e;
}

void
flow_entry_free(struct flow_table *ft, struct flow_entry *e)
{
    flow_mask_unref(ft, e->mask);
    free(e);
}

uint32_t
flow_entry_hash(const struct flow_entry *e)
{
    uint32_t basis = hash_pointer(e->mask,
                                  (e->table_id << 16) | e->priority);

    return hash_bytes64(e->values, MINIFLOW_VALUES_SIZE(e->mask->n_values),
                        basis);
}

void
flow_entry_get_match(const struct flow_entry *e, struct minimatch *match,
                     struct flow_match_buffer *buffer)
{
    struct miniflow *flow = ALIGNED_CAST(struct miniflow *, buffer->values);

    flow->map = e->mask->mask->masks.map;
    memcpy(miniflow_values(flow), e->values,
           MINIFLOW_VALUES_SIZE(e->mask->n_values));
    match->flow = flow;
    match->mask = e->mask->mask;
    match->tun_md = NULL;
}
