/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The agent's parts, for its main loop (lateend.c) and the commands of its
 * control socket (control.c). */

#ifndef LATEEN_LATEEND_H
#define LATEEN_LATEEND_H 1

#include "flows/sync.h"
#include "ipsec/guard.h"
#include "model.h"

struct lateend {
    /* What it was told. */
    char *config_file;
    char *node;                 /* This node's name. */
    struct config *config;

    /* What it knows. */
    struct model model;
    struct source *source;
    struct ovsdb *ovsdb;
    struct cni_server *cni;

    bool source_synced;         /* The source has been read once. */

    /* What it derives: nothing before the cluster is known. */
    struct in6_addr tunnel_ip;  /* in6addr_any until known. */
    int tunnel_family;          /* AF_INET, AF_INET6; 0 until known. */
    unsigned int mtu;           /* Of pods; 0 until known. */
    struct guard_wanted held;   /* Guarded too: tunnels that Open vSwitch may
                                 * have still; and until the source has been
                                 * read, the peers that were guarded. */
    bool held_unsaved;          /* The file of them has to be written. */
    const char *tunnel_refusal; /* Why there may be no tunnel, or NULL. */
    const char *config_refusal; /* Why the file's present content is not in
                                 * force, or NULL. */

    /* The edges. */
    struct flow_table *flow_table;
    struct sync sync;
    struct ofctrl *ofctrl;
    struct host *host;
    struct guard *guard;
    struct ike *ike;
};

/* Whether the flows of the model, up to its change 'seqno', have been compiled
 * and are in the switch, whatever becomes of the host and IPsec. */
bool lateend_flows_are_synced(const struct lateend *, uint64_t seqno);

/* Whether everything that the model holds, up to its change 'seqno', is in
 * the switch, the host and IPsec.  If not, and 'missing' is nonnull, what is
 * waited for goes there, as a static string. */
bool lateend_is_synced(const struct lateend *, uint64_t seqno,
                       const char **missing);

#endif /* agent/lateend.h */
