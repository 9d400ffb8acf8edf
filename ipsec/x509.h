/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A node's X.509 certificate, with its key and the authorities it believes,
 * from files (RFC 5280). */

#ifndef LATEEN_X509_H
#define LATEEN_X509_H 1

#include <stdbool.h>
#include <stdint.h>
#include "openvswitch/compiler.h"
#include "svec.h"

struct psk;

/* All in PEM, an item each. */
struct x509 {
    char *certificate;          /* The node's. */
    struct svec intermediates;  /* What else is in its file. */
    struct psk *key;            /* Its private key. */
    struct svec cas;            /* At least one. */
    struct svec crls;
    char *warning;              /* What will be wrong soon, or is with the
                                 * CRLs; or NULL. */
};

/* Reads the files with the certificate, key, certificates of authorities and,
 * if 'crl' is nonnull, revocation lists of the node 'node' into '*x509p',
 * which the caller ends with x509_free().
 *
 * Returns NULL, or a message that the caller frees, that says what to do: a
 * file cannot be read, others than its owner can read the key, the key is not
 * the certificate's, the certificate is not for this node, it has expired, or
 * none of the authorities has signed it, or somebody has revoked it. */
char *x509_read(const char *certificate, const char *key, const char *ca,
                const char *crl, const char *node, struct x509 **x509p)
    OVS_WARN_UNUSED_RESULT;

/* Whether both say the same; not their warnings.  Either may be NULL. */
bool x509_equals(const struct x509 *, const struct x509 *);

/* Wipes and frees 'x509', which may be NULL. */
void x509_free(struct x509 *x509);

#endif /* ipsec/x509.h */
