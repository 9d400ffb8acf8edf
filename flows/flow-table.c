/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The flow table: see flow-table.h for what it does.
 *
 *     flow_owner --> flow_entry: claim(s) by owners   what is wanted
 *                                have                 what the switch has
 *
 * An owner has pointers to the entries that it claims, and an entry the
 * cookies of the owners that claim it.  An entry is there as long as it has a
 * claim, or the switch has its flow, or a change that is being made contains
 * it.  All entries for which want and have may differ are listed in 'dirty',
 * so that a change to the switch costs what it changes. */

#include <config.h>
#include "flow-table.h"

#include <stdlib.h>
#include <string.h>

#include "coverage.h"
#include "flow.h"
#include "flow-table-private.h"
#include "hash.h"
#include "openvswitch/dynamic-string.h"
#include "openvswitch/ofp-flow.h"
#include "openvswitch/ofp-msgs.h"
#include "openvswitch/ofpbuf.h"
#include "openvswitch/vlog.h"
#include "packets.h"
#include "pipeline.h"
#include "util.h"

VLOG_DEFINE_THIS_MODULE(flow_table);

COVERAGE_DEFINE(flow_table_change);
COVERAGE_DEFINE(flow_table_contradiction);

/* Who wants flows. */
struct flow_owner {
    struct hmap_node node;      /* In flow_table's 'owners'. */
    ovs_be64 cookie;
    struct flow_entry **entries; /* That it claims, each once. */
    size_t n;
    bool whole;                 /* Each is of no use without the others. */
    bool withdrawn;             /* 'whole', and one of them is refused. */
};

/* A flow of a batch on its way to be claimed. */
struct flow_pending {
    struct flow_entry *entry;   /* In the flow table. */
    struct flow_actions *actions; /* Reference. */
};

static void owner_destroy(struct flow_table *, struct flow_owner *);

struct flow_table *
flow_table_create(const struct pipeline_table *tables)
{
    struct flow_table *ft = xzalloc(sizeof *ft);

    hmap_init(&ft->entries);
    hmap_init(&ft->owners);
    hmap_init(&ft->actions);
    hmap_init(&ft->masks);
    hmap_init(&ft->refusals);
    ofputil_table_map_init(&ft->names);
    for (const struct pipeline_table *t = tables; t->name; t++) {
        ofputil_table_map_put(&ft->names, t->id, t->name);
    }
    ft->seqno = 1;
    return ft;
}

void
flow_table_destroy(struct flow_table *ft)
{
    struct flow_owner *owner;

    if (!ft) {
        return;
    }
    flow_table_forget_present(ft);
    HMAP_FOR_EACH_SAFE (owner, node, &ft->owners) {
        flow_table_remove(ft, owner->cookie);
    }
    ovs_assert(hmap_is_empty(&ft->entries));
    ovs_assert(hmap_is_empty(&ft->actions));
    ovs_assert(hmap_is_empty(&ft->masks));
    hmap_destroy(&ft->entries);
    hmap_destroy(&ft->owners);
    hmap_destroy(&ft->actions);
    hmap_destroy(&ft->masks);
    hmap_destroy(&ft->refusals);
    ofputil_table_map_destroy(&ft->names);
    free(ft->dirty);
    free(ft);
}

uint64_t
flow_table_seqno(const struct flow_table *ft)
{
    return ft->seqno;
}

size_t
flow_table_n_wanted(const struct flow_table *ft)
{
    return ft->n_wanted;
}

size_t
flow_table_n_present(const struct flow_table *ft)
{
    return ft->n_present;
}

const struct ofputil_table_map *
flow_table_names(const struct flow_table *ft)
{
    return &ft->names;
}

/* Entries. */

static struct flow_entry *
entry_find(const struct flow_table *ft, const struct flow_entry *key,
           uint32_t hash)
{
    struct flow_entry *e;

    HMAP_FOR_EACH_WITH_HASH (e, node, hash, &ft->entries) {
        if (e->table_id == key->table_id && e->priority == key->priority
            && e->mask == key->mask
            && !memcmp(e->values, key->values,
                       MINIFLOW_VALUES_SIZE(e->mask->n_values))) {
            return e;
        }
    }
    return NULL;
}

/* Returns the entry of 'ft' that is the same flow as 'e', which has no claims:
 * another one, and 'e' is freed, or 'e' itself, now in 'ft'. */
static struct flow_entry *
entry_insert(struct flow_table *ft, struct flow_entry *e)
{
    uint32_t hash = flow_entry_hash(e);
    struct flow_entry *found = entry_find(ft, e, hash);

    if (found) {
        found->guards |= e->guards;
        flow_entry_free(ft, e);
        return found;
    }
    hmap_insert(&ft->entries, &e->node, hash);
    return e;
}

static bool
entry_is_claimed(const struct flow_entry *e)
{
    return e->shared || e->claim.actions;
}

static void
entry_set_clean(struct flow_table *ft, struct flow_entry *e)
{
    if (e->dirty) {
        struct flow_entry *last = ft->dirty[--ft->n_dirty];

        ft->dirty[e->dirty - 1] = last;
        last->dirty = e->dirty;
        e->dirty = 0;
    }
}

static void
entry_set_dirty(struct flow_table *ft, struct flow_entry *e)
{
    if (!e->dirty) {
        if (ft->n_dirty >= ft->allocated_dirty) {
            ft->dirty = x2nrealloc(ft->dirty, &ft->allocated_dirty,
                                   sizeof *ft->dirty);
        }
        ft->dirty[ft->n_dirty++] = e;
        e->dirty = ft->n_dirty;
    }
}

/* To be called after 'e' has lost a claim or its 'have': it goes if it has
 * nothing left. */
static void
entry_lost(struct flow_table *ft, struct flow_entry *e)
{
    if (!entry_is_claimed(e) && !e->have.actions && !e->in_flight) {
        entry_set_clean(ft, e);
        hmap_remove(&ft->entries, &e->node);
        flow_entry_free(ft, e);
    } else {
        entry_set_dirty(ft, e);
    }
}

/* Notes that the switch has 'e' with 'actions' and 'cookie', or that it has
 * not if 'actions' is NULL.  Takes the reference. */
static void
entry_set_have(struct flow_table *ft, struct flow_entry *e, ovs_be64 cookie,
               struct flow_actions *actions)
{
    ft->n_present += !e->have.actions - !actions;
    flow_actions_unref(ft, e->have.actions);
    e->have.cookie = cookie;
    e->have.actions = actions;
}

/* Refusals. */

const struct hmap *
flow_table_refusals(const struct flow_table *ft)
{
    return &ft->refusals;
}

static struct flow_refusal *
refusal_find(const struct flow_table *ft, const struct flow_entry *e)
{
    struct flow_refusal *r;

    HMAP_FOR_EACH_WITH_HASH (r, node, hash_pointer(e, 0), &ft->refusals) {
        if (r->delta.entry == e) {
            return r;
        }
    }
    return NULL;
}

/* Has 'e' tried again if it was refused. */
static void
entry_forgive(struct flow_table *ft, struct flow_entry *e)
{
    if (e->refused) {
        struct flow_refusal *r = refusal_find(ft, e);

        e->refused = false;
        entry_set_dirty(ft, e);
        hmap_remove(&ft->refusals, &r->node);
        flow_actions_unref(ft, r->delta.actions);
        free(r->error);
        free(r);
    }
}

/* Claims. */

/* The claim of 'cookie' in 'claims', or where it would have to be. */
static size_t
claims_search(const struct flow_claims *claims, ovs_be64 cookie)
{
    size_t lo = 0, hi = claims->n;

    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;

        if (ntohll(claims->elems[mid].cookie) < ntohll(cookie)) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    return lo;
}

static void
claims_insert(struct flow_claims *claims, ovs_be64 cookie,
              struct flow_actions *actions)
{
    size_t i = claims_search(claims, cookie);

    if (claims->n >= claims->allocated) {
        claims->elems = x2nrealloc(claims->elems, &claims->allocated,
                                   sizeof *claims->elems);
    }
    memmove(&claims->elems[i + 1], &claims->elems[i],
            (claims->n - i) * sizeof *claims->elems);
    claims->elems[i] = (struct flow_claim) { cookie, actions };
    claims->n++;
}

/* Makes 'actions', whose reference it takes, what 'cookie' claims of 'e'.
 * Returns true if that is a change. */
static bool
entry_claim(struct flow_table *ft, struct flow_entry *e, ovs_be64 cookie,
            struct flow_actions *actions)
{
    struct flow_claim *claim = NULL;

    if (!entry_is_claimed(e)) {
        e->claim = (struct flow_claim) { cookie, actions };
        ft->n_wanted++;
        goto changed;
    }

    if (!e->shared) {
        if (e->claim.cookie == cookie) {
            claim = &e->claim;
        } else {
            struct flow_claims *claims = xzalloc(sizeof *claims);

            claims_insert(claims, e->claim.cookie, e->claim.actions);
            e->claims = claims;
            e->shared = true;
        }
    } else {
        size_t i = claims_search(e->claims, cookie);

        if (i < e->claims->n && e->claims->elems[i].cookie == cookie) {
            claim = &e->claims->elems[i];
        }
    }

    if (!claim) {
        claims_insert(e->claims, cookie, actions);
    } else if (claim->actions == actions) {
        flow_actions_unref(ft, actions);
        return false;
    } else {
        flow_actions_unref(ft, claim->actions);
        claim->actions = actions;
    }

changed:
    entry_forgive(ft, e);
    entry_set_dirty(ft, e);
    return true;
}

/* 'cookie', which claims 'e', does not any more.  May free 'e'. */
static void
entry_disclaim(struct flow_table *ft, struct flow_entry *e, ovs_be64 cookie)
{
    entry_forgive(ft, e);
    if (!e->shared) {
        ovs_assert(e->claim.cookie == cookie);
        flow_actions_unref(ft, e->claim.actions);
        e->claim.actions = NULL;
        ft->n_wanted--;
    } else {
        struct flow_claims *claims = e->claims;
        size_t i = claims_search(claims, cookie);

        ovs_assert(i < claims->n && claims->elems[i].cookie == cookie);
        flow_actions_unref(ft, claims->elems[i].actions);
        memmove(&claims->elems[i], &claims->elems[i + 1],
                (claims->n - i - 1) * sizeof *claims->elems);
        if (--claims->n == 1) {
            e->claim = claims->elems[0];
            e->shared = false;
            free(claims->elems);
            free(claims);
        }
    }
    entry_lost(ft, e);
}

/* Conjunctions. */

static bool
are_conjunctions(const struct ofpact *ofpacts, size_t len)
{
    const struct ofpact *a;

    OFPACT_FOR_EACH (a, ofpacts, len) {
        if (a->type != OFPACT_CONJUNCTION) {
            return false;
        }
    }
    return len > 0;
}

static int
compare_conjunctions(const void *a_, const void *b_)
{
    const struct ofpact_conjunction *const *ap = a_;
    const struct ofpact_conjunction *const *bp = b_;
    const struct ofpact_conjunction *a = *ap;
    const struct ofpact_conjunction *b = *bp;

    return (a->id != b->id ? (a->id < b->id ? -1 : 1)
            : a->clause != b->clause ? (a->clause < b->clause ? -1 : 1)
            : a->n_clauses != b->n_clauses
            ? (a->n_clauses < b->n_clauses ? -1 : 1)
            : 0);
}

/* Returns the union, in order of their ids, of the conjunction actions in
 * 'ofpacts'. */
static struct flow_actions *
merge_conjunctions(struct flow_table *ft, const struct ofpbuf *ofpacts)
{
    const struct ofpact_conjunction **conjs;
    struct flow_actions *merged;
    const struct ofpact *a;
    struct ofpbuf out;
    size_t n = 0;

    conjs = xmalloc(ofpacts->size / sizeof **conjs * sizeof *conjs);
    OFPACT_FOR_EACH (a, ofpacts->data, ofpacts->size) {
        conjs[n++] = ofpact_get_CONJUNCTION(a);
    }
    qsort(conjs, n, sizeof *conjs, compare_conjunctions);

    ofpbuf_init(&out, ofpacts->size);
    for (size_t i = 0; i < n; i++) {
        if (!i || compare_conjunctions(&conjs[i - 1], &conjs[i])) {
            ofpbuf_put(&out, conjs[i], OFPACT_ALIGN(conjs[i]->ofpact.len));
        }
    }
    merged = flow_actions_intern(ft, out.data, out.size);
    ofpbuf_uninit(&out);
    free(conjs);
    return merged;
}

static void
log_contradiction(const struct flow_table *ft, const struct flow_entry *e,
                  const struct flow_claim *winner,
                  const struct flow_claim *loser)
{
    static struct vlog_rate_limit rl = VLOG_RATE_LIMIT_INIT(5, 5);
    struct flow_delta delta = {
        .entry = CONST_CAST(struct flow_entry *, e),
        .actions = loser->actions,
        .cookie = loser->cookie,
    };
    char *s = flow_delta_to_string(ft, &delta);

    COVERAGE_INC(flow_table_contradiction);
    VLOG_ERR_RL(&rl, "owners 0x%"PRIx64" and 0x%"PRIx64" contradict one "
                "another, and the former wins: %s",
                ntohll(winner->cookie), ntohll(loser->cookie), s);
    free(s);
}

/* Returns a reference to the actions of a flow that the 'n' owners of 'claims'
 * want, at least one.  'e' is the flow, for the log. */
static struct flow_actions *
merge_claims(struct flow_table *ft, const struct flow_entry *e,
             const struct flow_claim *claims, size_t n)
{
    struct flow_actions *merged;
    struct ofpbuf all, ofpacts;
    bool conjunctions = true;
    size_t n_lists = 0;

    if (n == 1) {
        return flow_actions_ref(claims[0].actions);
    }
    ofpbuf_init(&all, 0);
    ofpbuf_init(&ofpacts, 0);
    for (size_t i = 0; i < n; i++) {
        if (i && claims[i].actions == claims[0].actions) {
            continue;
        }
        flow_actions_decode(claims[i].actions, &ofpacts);
        ofpbuf_put(&all, ofpacts.data, ofpacts.size);
        n_lists++;
        conjunctions = (conjunctions
                        && are_conjunctions(ofpacts.data, ofpacts.size));
        if (n_lists > 1 && !conjunctions) {
            log_contradiction(ft, e, &claims[0], &claims[i]);
            break;
        }
    }
    merged = (n_lists > 1 && conjunctions
              ? merge_conjunctions(ft, &all)
              : flow_actions_ref(claims[0].actions));
    ofpbuf_uninit(&ofpacts);
    ofpbuf_uninit(&all);
    return merged;
}

/* Owners. */

static struct flow_owner *
owner_find(const struct flow_table *ft, ovs_be64 cookie)
{
    struct flow_owner *owner;

    HMAP_FOR_EACH_WITH_HASH (owner, node, hash_uint64((OVS_FORCE uint64_t)
                                                      cookie),
                             &ft->owners) {
        if (owner->cookie == cookie) {
            return owner;
        }
    }
    return NULL;
}

size_t
flow_table_n_of(const struct flow_table *ft, ovs_be64 cookie)
{
    const struct flow_owner *owner = owner_find(ft, cookie);

    return owner ? owner->n : 0;
}

static struct flow_owner *
owner_create(struct flow_table *ft, ovs_be64 cookie)
{
    struct flow_owner *owner = xzalloc(sizeof *owner);

    owner->cookie = cookie;
    hmap_insert(&ft->owners, &owner->node,
                hash_uint64((OVS_FORCE uint64_t) cookie));
    return owner;
}

/* Frees an owner without claims. */
static void
owner_destroy(struct flow_table *ft, struct flow_owner *owner)
{
    ft->n_withdrawn -= owner->withdrawn;
    hmap_remove(&ft->owners, &owner->node);
    free(owner->entries);
    free(owner);
}

static void
owner_changed(struct flow_table *ft, struct flow_owner *owner)
{
    COVERAGE_INC(flow_table_change);
    ft->seqno++;
    for (size_t i = 0; i < owner->n; i++) {
        entry_forgive(ft, owner->entries[i]);
        if (owner->withdrawn) {
            entry_set_dirty(ft, owner->entries[i]);
        }
    }
    ft->n_withdrawn -= owner->withdrawn;
    owner->withdrawn = false;
}

/* Takes out of the switch what it has of 'owner'. */
static void
owner_withdraw(struct flow_table *ft, struct flow_owner *owner)
{
    ft->n_withdrawn += !owner->withdrawn;
    owner->withdrawn = true;
    for (size_t i = 0; i < owner->n; i++) {
        entry_set_dirty(ft, owner->entries[i]);
    }
}

static int
compare_pending(const void *a_, const void *b_)
{
    const struct flow_pending *a = a_;
    const struct flow_pending *b = b_;

    return a->entry < b->entry ? -1 : a->entry > b->entry;
}

/* Brings the flows that occur several times in 'pending' together, and returns
 * how many there are then. */
static size_t
merge_pending(struct flow_table *ft, ovs_be64 cookie,
              struct flow_pending *pending, size_t n)
{
    size_t n_out = 0;

    qsort(pending, n, sizeof *pending, compare_pending);
    for (size_t i = 0; i < n; ) {
        struct flow_pending out = pending[i++];

        for (; i < n && pending[i].entry == out.entry; i++) {
            struct flow_claim claims[2] = {
                { cookie, out.actions }, { cookie, pending[i].actions },
            };

            out.actions = merge_claims(ft, out.entry, claims, 2);
            flow_actions_unref(ft, claims[0].actions);
            flow_actions_unref(ft, claims[1].actions);
        }
        pending[n_out++] = out;
    }
    return n_out;
}

void
flow_table_replace(struct flow_table *ft, ovs_be64 cookie,
                   struct flow_batch *batch)
{
    struct flow_owner *owner = owner_find(ft, cookie);
    struct flow_pending *pending;
    bool duplicates = false;
    bool changed = false;
    size_t n = batch->n;

    if (!n) {
        flow_table_remove(ft, cookie);
        return;
    }
    if (!owner) {
        owner = owner_create(ft, cookie);
    }
    owner->whole = batch->whole;

    /* Find each flow's entry, and mark those. */
    pending = xmalloc(n * sizeof *pending);
    for (size_t i = 0; i < n; i++) {
        struct flow_entry *e = batch->entries[i];

        pending[i].actions = e->claim.actions;
        e->claim.actions = NULL;
        pending[i].entry = e = entry_insert(ft, e);
        duplicates |= e->marked;
        e->marked = true;
    }
    batch->n = 0;
    if (duplicates) {
        n = merge_pending(ft, cookie, pending, n);
    }

    for (size_t i = 0; i < n; i++) {
        changed |= entry_claim(ft, pending[i].entry, cookie,
                               pending[i].actions);
    }
    for (size_t i = 0; i < owner->n; i++) {
        if (!owner->entries[i]->marked) {
            entry_disclaim(ft, owner->entries[i], cookie);
            changed = true;
        }
    }

    if (owner->n != n) {
        free(owner->entries);
        owner->entries = xmalloc(n * sizeof *owner->entries);
        owner->n = n;
    }
    for (size_t i = 0; i < n; i++) {
        owner->entries[i] = pending[i].entry;
        owner->entries[i]->marked = false;
    }
    free(pending);

    if (changed) {
        owner_changed(ft, owner);
    }
}

void
flow_table_remove(struct flow_table *ft, ovs_be64 cookie)
{
    struct flow_owner *owner = owner_find(ft, cookie);

    if (owner) {
        for (size_t i = 0; i < owner->n; i++) {
            entry_disclaim(ft, owner->entries[i], cookie);
        }
        owner->n = 0;
        owner_changed(ft, owner);
        owner_destroy(ft, owner);
    }
}

const struct flow_refusal *
flow_table_find_refusal(const struct flow_table *ft, ovs_be64 cookie)
{
    const struct flow_owner *owner = owner_find(ft, cookie);

    for (size_t i = 0; (owner && i < owner->n
                        && !hmap_is_empty(&ft->refusals)); i++) {
        if (owner->entries[i]->refused) {
            return refusal_find(ft, owner->entries[i]);
        }
    }
    return NULL;
}

/* The claims on 'e'; sets '*n' to their number. */
static const struct flow_claim *
entry_claims(const struct flow_entry *e, size_t *n)
{
    *n = e->shared ? e->claims->n : e->claim.actions != NULL;
    return e->shared ? e->claims->elems : &e->claim;
}

/* Returns false if 'd' is no more what is wanted. */
static bool
refuse_delta(struct flow_table *ft, const struct flow_delta *d,
             const char *error)
{
    struct flow_entry *e = d->entry;
    const struct flow_claim *claims;
    struct flow_refusal *r;
    size_t n;

    if (e->dirty || e->refused || !d->actions) {
        return false;
    }
    r = xmalloc(sizeof *r);
    r->delta = *d;
    flow_actions_ref(d->actions);
    r->error = xstrdup(error);
    hmap_insert(&ft->refusals, &r->node, hash_pointer(e, 0));
    e->refused = true;

    claims = entry_claims(e, &n);
    for (size_t i = 0; i < n; i++) {
        struct flow_owner *owner = owner_find(ft, claims[i].cookie);

        if (owner->whole) {
            owner_withdraw(ft, owner);
        }
    }
    return true;
}

size_t
flow_table_refuse(struct flow_table *ft, const struct flow_deltas *deltas,
                  size_t i, const char *error, bool full)
{
    uint8_t table_id = deltas->elems[i].entry->table_id;
    size_t n = refuse_delta(ft, &deltas->elems[i], error);

    while (full && ++i < deltas->n) {
        const struct flow_delta *d = &deltas->elems[i];

        if (d->entry->table_id == table_id && !d->entry->have.actions) {
            n += refuse_delta(ft, d, error);
        }
    }
    return n;
}

/* What the switch has. */

void
flow_table_forget_present(struct flow_table *ft)
{
    struct flow_owner *owner;
    struct flow_entry *e;

    HMAP_FOR_EACH_SAFE (e, node, &ft->entries) {
        ovs_assert(!e->in_flight);
        entry_forgive(ft, e);
        entry_set_have(ft, e, 0, NULL);
        entry_lost(ft, e);
    }
    HMAP_FOR_EACH (owner, node, &ft->owners) {
        owner->withdrawn = false;
    }
    ft->n_withdrawn = 0;
}

void
flow_table_add_present(struct flow_table *ft,
                       const struct ofputil_flow_stats *fs)
{
    struct flow_entry *e;

    e = entry_insert(ft, flow_entry_create(ft, fs->table_id, fs->priority,
                                           &fs->match));
    entry_set_have(ft, e, fs->cookie,
                   flow_actions_intern(ft, fs->ofpacts, fs->ofpacts_len));
    entry_set_dirty(ft, e);
}

/* Sets '*want' to what 'e' is to be, with a reference to the actions, if it is
 * to be at all. */
static void
entry_want(struct flow_table *ft, const struct flow_entry *e,
           struct flow_claim *want)
{
    struct flow_claim *kept = NULL;
    const struct flow_claim *claims;
    size_t n;

    claims = entry_claims(e, &n);
    if (e->refused) {
        n = 0;
    } else if (n && ft->n_withdrawn && !e->guards) {
        size_t n_kept = 0;

        kept = xmalloc(n * sizeof *kept);
        for (size_t i = 0; i < n; i++) {
            if (!owner_find(ft, claims[i].cookie)->withdrawn) {
                kept[n_kept++] = claims[i];
            }
        }
        claims = kept;
        n = n_kept;
    }
    *want = (n
             ? (struct flow_claim) { claims[0].cookie,
                                     merge_claims(ft, e, claims, n) }
             : (struct flow_claim) { e->have.cookie, NULL });
    free(kept);
}

void
flow_table_diff(struct flow_table *ft, struct flow_deltas *deltas)
{
    size_t allocated = 0, n_deletions = 0;

    *deltas = (struct flow_deltas) { .seqno = ft->seqno };
    for (size_t i = ft->n_dirty; i-- > 0; ) {
        struct flow_entry *e = ft->dirty[i];
        struct flow_claim want;

        entry_want(ft, e, &want);
        entry_set_clean(ft, e);
        if (want.actions == e->have.actions
            && want.cookie == e->have.cookie) {
            flow_actions_unref(ft, want.actions);
            continue;
        }
        if (deltas->n >= allocated) {
            deltas->elems = x2nrealloc(deltas->elems, &allocated,
                                       sizeof *deltas->elems);
        }
        struct flow_delta *d = &deltas->elems[deltas->n++];
        if (!want.actions) {
            *d = deltas->elems[n_deletions];
            d = &deltas->elems[n_deletions++];
        }
        *d = (struct flow_delta) { e, want.actions, want.cookie };
        e->in_flight = true;
    }
    if (!ft->n_dirty) {
        free(ft->dirty);
        ft->dirty = NULL;
        ft->allocated_dirty = 0;
    }
}

void
flow_table_finish(struct flow_table *ft, struct flow_deltas *deltas,
                  bool done)
{
    for (size_t i = 0; i < deltas->n; i++) {
        struct flow_delta *d = &deltas->elems[i];
        struct flow_entry *e = d->entry;

        e->in_flight = false;
        if (done) {
            entry_set_have(ft, e, d->cookie, d->actions);
        } else {
            flow_actions_unref(ft, d->actions);
            entry_set_dirty(ft, e);
        }
        if (!entry_is_claimed(e)) {
            entry_lost(ft, e);
        }
    }
    free(deltas->elems);
    *deltas = (struct flow_deltas) { .n = 0 };
}

struct ofpbuf *
flow_delta_encode(const struct flow_table *ft OVS_UNUSED,
                  const struct flow_delta *d, ovs_be32 xid)
{
    struct flow_match_buffer buffer;
    uint64_t stub[1024 / 8];
    struct ofpbuf ofpacts = OFPBUF_STUB_INITIALIZER(stub);
    struct ofputil_flow_mod fm = {
        .table_id = d->entry->table_id,
        .priority = d->entry->priority,
        .buffer_id = UINT32_MAX,
        .out_port = OFPP_ANY,
        .out_group = OFPG_ANY,
    };
    struct ofp_header *oh;
    struct ofpbuf *msg;

    flow_entry_get_match(d->entry, &fm.match, &buffer);
    if (d->actions) {
        fm.command = OFPFC_ADD;
        fm.new_cookie = d->cookie;
        flow_actions_decode(d->actions, &ofpacts);
        fm.ofpacts = ofpacts.data;
        fm.ofpacts_len = ofpacts.size;
    } else {
        fm.command = OFPFC_DELETE_STRICT;
        fm.new_cookie = OVS_BE64_MAX;
        fm.cookie = htonll(COOKIE_MARK);
        fm.cookie_mask = htonll(COOKIE_MARK_MASK);
    }
    msg = ofputil_encode_flow_mod(&fm, OFPUTIL_P_OF15_OXM);
    ofpbuf_uninit(&ofpacts);
    oh = msg->data;
    oh->xid = xid;
    return msg;
}

void
flow_delta_to_stats(const struct flow_delta *d, struct ofputil_flow_stats *fs,
                    struct ofpbuf *ofpacts)
{
    struct flow_match_buffer buffer;
    struct minimatch match;

    *fs = (struct ofputil_flow_stats) {
        .cookie = d->cookie,
        .table_id = d->entry->table_id,
        .priority = d->entry->priority,
    };
    flow_entry_get_match(d->entry, &match, &buffer);
    minimatch_expand(&match, &fs->match);
    ofpbuf_clear(ofpacts);
    flow_actions_decode(d->actions, ofpacts);
    fs->ofpacts = ofpacts->data;
    fs->ofpacts_len = ofpacts->size;
}

char *
flow_delta_to_string(const struct flow_table *ft, const struct flow_delta *d)
{
    struct ds s = DS_EMPTY_INITIALIZER;
    struct flow_match_buffer buffer;
    struct minimatch match;

    ds_put_format(&s, "cookie=0x%"PRIx64",table=", ntohll(d->cookie));
    ofputil_format_table(d->entry->table_id, &ft->names, &s);
    ds_put_char(&s, ',');
    flow_entry_get_match(d->entry, &match, &buffer);
    minimatch_format(&match, NULL, NULL, &s, d->entry->priority);
    if (d->actions) {
        struct ofpact_format_params fp = { .table_map = &ft->names, .s = &s };
        uint64_t stub[1024 / 8];
        struct ofpbuf ofpacts = OFPBUF_STUB_INITIALIZER(stub);

        ds_put_cstr(&s, " actions=");
        flow_actions_decode(d->actions, &ofpacts);
        ofpacts_format(ofpacts.data, ofpacts.size, &fp);
        ofpbuf_uninit(&ofpacts);
    }
    return ds_steal_cstr(&s);
}
