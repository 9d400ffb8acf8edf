/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Keeps the flow table what the model wants.
 *
 * After a change of the model only the flows of the objects that changed are
 * compiled again; after a change of what all flows depend on (struct
 * compile_ctx), all of them are. */

#ifndef LATEEN_SYNC_H
#define LATEEN_SYNC_H 1

#include <stdbool.h>
#include <stdint.h>
#include "compile.h"
#include "policy-index.h"

struct flow_table;
struct model;

struct sync {
    struct compile_ctx ctx;     /* That the flows were compiled with. */
    struct policy_index policies;
    bool compiled;              /* Whether anything was compiled yet. */
    bool rebuild;               /* 'policies' is to be built anew. */
    uint64_t seen;              /* The model's change dealt with last. */
};

void sync_init(struct sync *);
void sync_destroy(struct sync *);

/* Brings 'ft' up to date with 'model' and 'ctx'.  Each attachment that is
 * compiled gets its 'flows_seqno' set to the change of 'ft' that holds its
 * flows. */
void sync_run(struct sync *, struct model *, const struct compile_ctx *,
              struct flow_table *);

/* Makes the next sync_run() compile everything again, from an index of
 * policies built anew. */
void sync_recompute(struct sync *);

#endif /* flows/sync.h */
