/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Proposals of IKE and of ESP, in the words of swanctl.conf(5):
 * "aes256gcm16-prfsha256-x25519".
 *
 * Only what is sound today can be said: authenticated encryption (or
 * encryption and integrity together), forward secrecy, and nothing that RFC
 * 8221 or RFC 8247 advises against.  Pure. */

#ifndef LATEEN_PROPOSAL_H
#define LATEEN_PROPOSAL_H 1

#include <stdbool.h>
#include "openvswitch/compiler.h"

#define PROPOSAL_IKE_DEFAULT "aes256gcm16-prfsha256-x25519"
#define PROPOSAL_ESP_DEFAULT "aes256gcm16-x25519"

/* What an ESP proposal puts around a packet (RFC 4303, section 2), in bytes,
 * beside the header and the trailer that are always the same. */
struct proposal_esp {
    unsigned int iv;            /* Initialization vector. */
    unsigned int icv;           /* Integrity check value. */
    unsigned int block;         /* What padding fills, at least 4. */
};

/* Checks the proposal 's' for IKE, or for ESP with '*esp' filled in then (it
 * is NULL for IKE).  Returns NULL, or what is wrong with it, in a string that
 * the caller frees. */
char *proposal_parse(const char *s, struct proposal_esp *esp)
    OVS_WARN_UNUSED_RESULT;

/* What an SA uses, as charon calls it; "" is nothing. */
struct proposal_used {
    const char *encryption;     /* "AES_GCM_16-256". */
    const char *integrity, *prf, *group, *esn;
};

/* Whether an SA of the proposal 's', which is a good one, uses these. */
bool proposal_fits(const char *s, const struct proposal_used *);

#endif /* ipsec/proposal.h */
