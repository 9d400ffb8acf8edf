/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The pre-shared key of the cluster, from a file. */

#ifndef LATEEN_PSK_H
#define LATEEN_PSK_H 1

#include <stddef.h>
#include "openvswitch/compiler.h"

/* Shortest key that is taken, in bytes. */
#define PSK_MIN 32

/* Reads the key in 'file' into '*keyp', a string that the caller ends with
 * psk_free().  One newline at the end of the file is not part of it.  Returns
 * NULL, or a message that the caller frees and that never contains the key:
 * the file cannot be read, others than its owner can read it, or the key is
 * too short, known to everybody, or no text. */
char *psk_read(const char *file, char **keyp) OVS_WARN_UNUSED_RESULT;

/* Wipes and frees 'key', which may be NULL. */
void psk_free(char *key);

#endif /* ipsec/psk.h */
