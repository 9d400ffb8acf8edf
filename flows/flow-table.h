/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The flow table: the flows that are wanted and those that the switch has.
 *
 * Flows are wanted by owners.  An owner is an object of the model, named by
 * the cookie that its flows carry (pipeline.h).  flow_table_replace() sets
 * all flows of one owner at a cost that depends on that owner alone.
 *
 * A flow is known by its table, priority and match.  Owners may want the same
 * flow: then it goes with the last of them, carries the smallest of their
 * cookies, and conjunction actions (ovs-actions(7)) of all of them are put
 * together.  Owners that want the same flow with other actions contradict one
 * another, which is a bug of the caller: it is logged and the owner of the
 * smallest cookie wins.
 *
 * A large cluster has some 100,000 flows, so what is kept of each is compact:
 * masks, and actions with their cookie, are stored once for all flows that
 * have them.
 *
 * Everything here belongs to the main thread. */

#ifndef LATEEN_FLOW_TABLE_H
#define LATEEN_FLOW_TABLE_H 1

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "openvswitch/compiler.h"
#include "openvswitch/hmap.h"
#include "openvswitch/types.h"

struct flow_actions;
struct flow_entry;
struct flow_table;
struct match;
struct ofpact;
struct ofpbuf;
struct ofputil_flow_stats;
struct ofputil_table_map;
struct pipeline_table;

/* Flows under construction for one owner.  On the stack of who builds
 * them. */
struct flow_batch {
    struct flow_table *ft;
    struct flow_entry **entries; /* Flows, not yet in 'ft'. */
    size_t n;
    size_t allocated;
    bool whole;                 /* Each is of no use without the others. */
    bool guards;                /* What is added now forbids: it is wanted also
                                 * if the owner's other flows are not. */
};

void flow_batch_init(struct flow_batch *, struct flow_table *);
void flow_batch_uninit(struct flow_batch *);

/* Appends a flow in the syntax of ovs-ofctl(8) "add-flow", with tables by
 * name: "table=output,priority=100,ip actions=goto_table:...".  A flow that
 * does not parse is a bug: it is logged and the process aborts. */
void flow_batch_add(struct flow_batch *, const char *format, ...)
    OVS_PRINTF_FORMAT(2, 3);

/* Appends a flow in binary form.  The caller keeps its arguments. */
void flow_batch_add_match(struct flow_batch *, uint8_t table_id,
                          uint16_t priority, const struct match *,
                          const struct ofpact *ofpacts, size_t ofpacts_len);

/* Creates an empty table.  'tables' are the names of the pipeline's tables;
 * its last member has a null 'name'. */
struct flow_table *flow_table_create(const struct pipeline_table *tables);
void flow_table_destroy(struct flow_table *);

/* Makes the flows in 'batch' the flows that the owner 'cookie' wants, and
 * empties 'batch'. */
void flow_table_replace(struct flow_table *, ovs_be64 cookie,
                        struct flow_batch *batch);

/* The owner 'cookie' wants no flows any more. */
void flow_table_remove(struct flow_table *, ovs_be64 cookie);

/* The number of the last change.  Only a call above that changed something
 * made it grow.  It is above 0 from the start. */
uint64_t flow_table_seqno(const struct flow_table *);

/* How many flows are wanted, and how many the switch is known to have. */
size_t flow_table_n_wanted(const struct flow_table *);
size_t flow_table_n_present(const struct flow_table *);

/* How many flows the owner 'cookie' wants. */
size_t flow_table_n_of(const struct flow_table *, ovs_be64 cookie);

/* The tables' names, for functions that print and parse flows. */
const struct ofputil_table_map *flow_table_names(const struct flow_table *);


/* For ofctrl alone
 * ================ */

/* Nothing is known any more of what the switch has. */
void flow_table_forget_present(struct flow_table *);

/* The switch has the flow 'fs'. */
void flow_table_add_present(struct flow_table *,
                            const struct ofputil_flow_stats *fs);

/* One flow of a change to the switch. */
struct flow_delta {
    struct flow_entry *entry;
    struct flow_actions *actions; /* Actions it gets; NULL to delete it. */
    ovs_be64 cookie;            /* The owner on whose account. */
};

/* A change to the switch, from what it has to what is wanted. */
struct flow_deltas {
    struct flow_delta *elems;
    size_t n;
    uint64_t seqno;             /* The flow table's, when it was made. */
};

/* Makes in '*deltas' the change from what the switch has to what is wanted
 * now, deletions first: they make room.  The change must go to
 * flow_table_finish() before the next one is made. */
void flow_table_diff(struct flow_table *, struct flow_deltas *deltas);

/* The change 'deltas' is in the switch, if 'done', or did not come about.
 * Frees what it contains. */
void flow_table_finish(struct flow_table *, struct flow_deltas *deltas,
                       bool done);

/* Returns an OpenFlow 1.5 message that makes the change, with transaction id
 * 'xid'.  Its size may be above what OpenFlow allows (UINT16_MAX).  The caller
 * frees it. */
struct ofpbuf *flow_delta_encode(const struct flow_table *,
                                 const struct flow_delta *, ovs_be32 xid);

/* Returns the flow as text, to be freed by the caller. */
char *flow_delta_to_string(const struct flow_table *,
                           const struct flow_delta *);

/* Makes in '*fs' and 'ofpacts', which it refers to, what the switch would say
 * of the flow that the delta is to make. */
void flow_delta_to_stats(const struct flow_delta *,
                         struct ofputil_flow_stats *fs,
                         struct ofpbuf *ofpacts);

/* Refusals
 * ========
 *
 * No version of a flow that the switch refuses is wanted any more, so that one
 * from before, that may allow what the new one would not, goes.  Of an owner
 * whose last batch was 'whole', nothing is wanted then but what 'guards',
 * except what is refused of that.  This lasts until an owner that wants the
 * flow changes, or flow_table_forget_present() is called. */

struct flow_refusal {
    struct hmap_node node;      /* In flow_table_refusals(). */
    struct flow_delta delta;    /* What the flow was to be. */
    char *error;                /* What the switch said. */
};

/* All refusals, "struct flow_refusal"s. */
const struct hmap *flow_table_refusals(const struct flow_table *);

/* A refusal of a flow that the owner 'cookie' wants, or NULL. */
const struct flow_refusal *flow_table_find_refusal(const struct flow_table *,
                                                   ovs_be64 cookie);

/* The switch refuses flow 'i' of 'deltas', which are not finished; if 'full',
 * because its table is, so that what would be added there after it is refused
 * too.  Ignores flows that have changed since 'deltas' was made.  Returns how
 * many flows are refused now that were not before. */
size_t flow_table_refuse(struct flow_table *, const struct flow_deltas *deltas,
                         size_t i, const char *error, bool full);

#endif /* flows/flow-table.h */
