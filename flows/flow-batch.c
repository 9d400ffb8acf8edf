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

void
flow_batch_add_match(struct flow_batch *batch, uint8_t table_id,
                     uint16_t priority, const struct match *match,
                     const struct ofpact *ofpacts, size_t ofpacts_len)
{
    struct flow_actions *actions;
    uint64_t stub[1024 / 8];
    struct ofpbuf decoded = OFPBUF_STUB_INITIALIZER(stub);
    struct flow_entry *e;

    /* What the switch reports has gone through messages, where some actions
     * that have several forms in memory have one. */
    actions = flow_actions_intern(batch->ft, ofpacts, ofpacts_len);
    flow_actions_decode(actions, &decoded);
    flow_actions_unref(batch->ft, actions);

    e = flow_entry_create(batch->ft, table_id, priority, match);
    e->guards = batch->guards;
    e->claim.actions = flow_actions_intern(batch->ft, decoded.data,
                                           decoded.size);
    ofpbuf_uninit(&decoded);

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
    uint64_t stub[1024 / 8];
    struct ofpbuf wire = OFPBUF_STUB_INITIALIZER(stub);
    struct flow_actions *a;
    uint32_t hash;

    ofpacts_put_openflow_instructions(ofpacts, len, &wire, OFP15_VERSION);
    hash = hash_bytes(wire.data, wire.size, 0);
    HMAP_FOR_EACH_WITH_HASH (a, node, hash, &ft->actions) {
        if (a->len == wire.size
            && !memcmp(a->instructions, wire.data, wire.size)) {
            a->n_refs++;
            goto out;
        }
    }

    a = xmalloc(sizeof *a + wire.size);
    a->n_refs = 1;
    a->len = wire.size;
    memcpy(a->instructions, wire.data, wire.size);
    hmap_insert(&ft->actions, &a->node, hash);
out:
    ofpbuf_uninit(&wire);
    return a;
}

void
flow_actions_decode(const struct flow_actions *a, struct ofpbuf *ofpacts)
{
    struct ofpbuf wire = ofpbuf_const_initializer(a->instructions, a->len);
    enum ofperr error;

    if (a->len <= UINT16_MAX) {
        error = ofpacts_pull_openflow_instructions(
            &wire, wire.size, OFP15_VERSION, NULL, NULL, ofpacts);
    } else {
        /* The length of the instruction that is too long, for which the switch
         * will not get it, is wrong; the actions in it are right. */
        ofpbuf_pull(&wire, sizeof(struct ofp11_instruction_actions));
        error = ofpacts_pull_openflow_actions(
            &wire, wire.size, OFP15_VERSION, NULL, NULL, ofpacts);
    }
    if (error) {
        VLOG_ERR("actions cannot be read back: %s", ofperr_to_string(error));
        ovs_assert(!error);
    }
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
