/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Pre-shared keys and other secrets, from files. */

#ifndef LATEEN_PSK_H
#define LATEEN_PSK_H 1

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "openvswitch/compiler.h"

/* Shortest and longest key that is taken, in bytes. */
#define PSK_MIN 32
#define PSK_MAX 4096

/* A key, or another secret: any bytes. */
struct psk {
    uint64_t stamp;             /* Another one whenever the file is written
                                 * to; tells nothing of the key. */
    size_t size;
    uint8_t data[];
};

/* Reads the key in 'file' into '*pskp', which the caller ends with
 * psk_free().  One newline at the end of the file is not part of it.  Returns
 * NULL, or a message that the caller frees, that says what to do, and that
 * never contains the key: the file cannot be read, others than its owner can
 * read it, or the key is too short or known to everybody. */
char *psk_read(const char *file, struct psk **pskp) OVS_WARN_UNUSED_RESULT;

/* Reads all of 'file', a secret of at most 'max' bytes, into '*secretp', which
 * the caller ends with psk_free().  Returns NULL, or a message that the caller
 * frees: the file cannot be read, others than its owner can read it, or it is
 * longer. */
char *secret_read(const char *file, size_t max, struct psk **secretp)
    OVS_WARN_UNUSED_RESULT;

/* Whether both are the same key.  Either may be NULL. */
bool psk_equals(const struct psk *, const struct psk *);

/* Wipes and frees 'psk', which may be NULL. */
void psk_free(struct psk *psk);

#endif /* ipsec/psk.h */
