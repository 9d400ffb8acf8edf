/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What charon says about the SAs with one peer: its "list-sa" events, read.
 * Pure. */

#ifndef LATEEN_IKE_SAS_H
#define LATEEN_IKE_SAS_H 1

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct json;

/* An IKE SA that is established. */
struct ike_sa {
    char *id;                   /* charon's number of it. */
    char *spi;                  /* The initiator's; both nodes know it. */
    int64_t age;                /* Seconds since. */
};

/* A CHILD_SA that carries traffic: a pair of ESP SAs. */
struct ike_child {
    char *id;                   /* charon's number of it. */
    char *name;
    char *ike;                  /* The number of its IKE SA. */
    char *algorithm;            /* "AES_GCM_16-256". */
    char *spi_in, *spi_out;     /* In hexadecimal. */
    uint64_t bytes_in, bytes_out;
    uint64_t packets_in, packets_out;
    int64_t age, rekey;         /* Seconds since it was begun, and until. */
    bool rekeying;              /* Another one is about to replace it. */
    long long int seen;         /* Since when it is known, in ms. */
};

/* The SAs of one connection; all zero is none. */
struct ike_sas {
    struct ike_sa *established; /* IKE SAs. */
    size_t n_established;
    size_t n_connecting;
    char *connecting;           /* charon's number of one of these. */
    char *ending;               /* Its number of one whose end the peer has
                                 * not confirmed yet. */
    int64_t age, rekey;         /* Of an established one, in seconds. */
    const char *misfit;         /* What of one is not as it is wanted, or
                                 * NULL. */
    struct ike_child *children;
    size_t n_children;
};

/* Frees what 'sas' holds; it is none then. */
void ike_sas_clear(struct ike_sas *sas);

/* Adds the IKE SA 'sa', an object of a "list-sa" event, to 'sas'.  'wanted' is
 * the connection's body as conns_derive() has made it, or NULL. */
void ike_sas_add(struct ike_sas *sas, const struct json *sa,
                 const struct json *wanted);

/* Notes since when the children in 'sas' are known: since 'now', or since
 * longer where 'before' has them, too. */
void ike_sas_date(struct ike_sas *sas, const struct ike_sas *before,
                  long long int now);

/* Whether 'a' was installed after 'b'. */
bool ike_child_is_younger(const struct ike_child *a,
                          const struct ike_child *b);

/* Whether there is a child of that name; only of the IKE SA 'id', if that is
 * nonnull. */
bool ike_sas_has_child(const struct ike_sas *, const char *name,
                       const char *id);

/* Puts what 'sas' says into 'row', an object. */
void ike_sas_put_json(const struct ike_sas *, struct json *row);

#endif /* ipsec/ike-sas.h */
