/* SPDX-License-Identifier: GPL-3.0-or-later */
/* How flow-table.c and flow-batch.c store flows.  For them alone. */

#ifndef LATEEN_FLOW_TABLE_PRIVATE_H
#define LATEEN_FLOW_TABLE_PRIVATE_H 1

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "openvswitch/hmap.h"
#include "openvswitch/match.h"
#include "openvswitch/ofp-actions.h"
#include "openvswitch/ofp-table.h"

struct ofpbuf;

/* Actions, stored once for all flows that have them, as the instructions of an
 * OpenFlow 1.5 message: what is equal there is equal byte by byte, unlike
 * "struct ofpact"s. */
struct flow_actions {
    struct hmap_node node;      /* In flow_table's 'actions'. */
    unsigned int n_refs;
    unsigned int len;           /* Bytes of 'instructions'. */
    uint64_t instructions[];
};

/* The mask of a match, stored once for all flows that have it. */
struct flow_mask {
    struct hmap_node node;      /* In flow_table's 'masks'. */
    unsigned int n_refs;
    unsigned int n_values;      /* Values of a match that has this mask. */
    struct minimask *mask;
};

/* What a flow is to do, or does, and on whose account. */
struct flow_claim {
    ovs_be64 cookie;
    struct flow_actions *actions; /* NULL if there is no such flow. */
};

/* The claims of two or more owners on one flow. */
struct flow_claims {
    size_t n;
    size_t allocated;
    struct flow_claim *elems;   /* By 'cookie', the smallest first. */
};

/* A flow: one that is wanted, that the switch has, or both. */
struct flow_entry {
    struct hmap_node node;      /* In flow_table's 'entries'. */
    struct flow_mask *mask;
    union {
        struct flow_claim claim;    /* If !'shared'; unclaimed if its
                                     * 'actions' is NULL. */
        struct flow_claims *claims; /* If 'shared'. */
    };
    struct flow_claim have;     /* In the switch. */
    uint32_t dirty;             /* Position in flow_table's 'dirty' plus 1; 0
                                 * if what is wanted is in the switch. */
    uint16_t priority;
    uint8_t table_id;
    bool shared : 1;
    bool marked : 1;            /* Within flow_table_replace(). */
    bool in_flight : 1;         /* In a change that is being made. */
    bool refused : 1;           /* In flow_table's 'refusals'. */
    bool guards : 1;            /* Wanted also of withdrawn owners. */
    uint64_t values[];          /* The match's, 'mask->n_values' of them. */
};

struct flow_table {
    struct hmap entries;        /* Contains "struct flow_entry"s. */
    struct hmap owners;         /* Contains "struct flow_owner"s. */
    struct hmap actions;        /* Contains "struct flow_actions"s. */
    struct hmap masks;          /* Contains "struct flow_mask"s. */
    struct hmap refusals;       /* Contains "struct flow_refusal"s. */
    struct ofputil_table_map names;
    struct flow_entry **dirty;  /* Entries whose want may not be what they
                                 * have. */
    size_t n_dirty;
    size_t allocated_dirty;
    size_t n_wanted;            /* Entries with a claim. */
    size_t n_present;           /* Entries that the switch has. */
    size_t n_withdrawn;         /* Owners that are 'withdrawn'. */
    uint64_t seqno;
};

/* Stores 'ofpacts', which are in the form that OpenFlow messages decode to,
 * and returns a reference. */
struct flow_actions *flow_actions_intern(struct flow_table *,
                                         const struct ofpact *ofpacts,
                                         size_t len);

/* Puts the actions into 'ofpacts', in place of what it contains. */
void flow_actions_decode(const struct flow_actions *, struct ofpbuf *ofpacts);

struct flow_actions *flow_actions_ref(struct flow_actions *);
void flow_actions_unref(struct flow_table *, struct flow_actions *);

/* Returns a new entry, not yet in 'ft', without claims. */
struct flow_entry *flow_entry_create(struct flow_table *ft, uint8_t table_id,
                                     uint16_t priority,
                                     const struct match *);

/* Frees an entry that is not in 'ft' and whose claim and 'have' are gone. */
void flow_entry_free(struct flow_table *ft, struct flow_entry *);

/* The hash of an entry by table, priority and match. */
uint32_t flow_entry_hash(const struct flow_entry *);

/* Puts the entry's match in 'buffer' and makes '*match' refer to it: no
 * minimatch_destroy() for that. */
struct flow_match_buffer {
    uint64_t values[sizeof(struct miniflow) / sizeof(uint64_t)
                    + sizeof(struct flow) / sizeof(uint64_t)];
};
void flow_entry_get_match(const struct flow_entry *, struct minimatch *match,
                          struct flow_match_buffer *buffer);

#endif /* flows/flow-table-private.h */
