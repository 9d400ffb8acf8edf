/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What is wanted, what charon says that it holds, and what is in the kernel,
 * compared.  Pure. */

#ifndef LATEEN_XFRM_DIFF_H
#define LATEEN_XFRM_DIFF_H 1

#include <stdbool.h>
#include <stddef.h>
#include "xfrm-db.h"

struct json;
struct shash;
struct sset;

/* A policy that charon has installed for a connection and that the kernel does
 * not have. */
struct xfrm_missing {
    const char *conn;           /* The connection's name. */
    struct xfrm_policy policy;
};

/* A CHILD SA that charon uses and that the kernel lacks at least one half
 * of. */
struct xfrm_lost {
    const char *conn;
    const char *ike;            /* charon's number of its IKE SA... */
    const char *child;          /* ...and of itself. */
    bool replaced;              /* Another one does its work already. */
};

/* A state in the kernel that charon does not know. */
struct xfrm_orphan {
    const char *conn;           /* NULL if no connection has its reqid. */
    struct xfrm_sa sa;
    bool replaced;              /* SAs that charon knows do its work and have
                                 * carried packets, or nobody wants it. */
};

struct xfrm_diff {
    struct xfrm_missing *missing;
    size_t n_missing;
    struct xfrm_policy *unwanted; /* Policies that no connection needs. */
    size_t n_unwanted;
    struct xfrm_lost *lost;
    size_t n_lost;
    struct xfrm_orphan *orphans;
    size_t n_orphans;
};

/* Compares 'db' with 'wanted', the bodies of all connections by their names;
 * 'held', the names of those that charon holds as wanted, with their trap
 * policies; and 'sas', the "list-sa" events of charon (a JSON array).  The
 * caller frees '*diff' by xfrm_diff_clear(); its strings live as long as
 * 'wanted' and 'sas'. */
void xfrm_diff_derive(const struct xfrm_db *db, const struct shash *wanted,
                      const struct sset *held, const struct json *sas,
                      struct xfrm_diff *diff);
void xfrm_diff_clear(struct xfrm_diff *);

#endif /* ipsec/xfrm-diff.h */
