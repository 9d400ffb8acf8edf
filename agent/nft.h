/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A table of nftables that is Lateen's own.
 *
 * The table, of family inet, is replaced as a whole and in one transaction, by
 * the program nft as a child process that the main loop does not wait for.
 * What the kernel then holds is remembered as a digest; when an event says
 * that somebody has touched the table and the digest differs, the table is
 * put back.  Named counters live on when the table is replaced.
 *
 * Everything here belongs to the main thread. */

#ifndef LATEEN_NFT_H
#define LATEEN_NFT_H 1

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "openvswitch/compiler.h"

struct ds;
struct ip_prefix_list;
struct nft_table;

/* Starts to care for the table "inet NAME", whose text may refer to the 'n'
 * counters 'counters' (literal strings).  Nothing is changed before
 * nft_table_set().  On failure, a message that the caller frees, and
 * '*tablep' is NULL. */
char *nft_table_create(const char *name, const char *const counters[],
                       size_t n, struct nft_table **tablep)
    OVS_WARN_UNUSED_RESULT;

/* Leaves the table itself in place. */
void nft_table_destroy(struct nft_table *);

/* Sets what is to stand in the table, besides its counters: chains in the
 * syntax of nft.  NULL: there shall be no such table. */
void nft_table_set(struct nft_table *, const char *text);

/* Does what is to be done now, without blocking. */
void nft_table_run(struct nft_table *);
void nft_table_wait(const struct nft_table *);

/* Runs until the table is in place, for 20 seconds at most.  Returns NULL or a
 * message that the caller frees. */
char *nft_table_install(struct nft_table *) OVS_WARN_UNUSED_RESULT;

/* Whether the kernel holds what was set last, as far as events tell. */
bool nft_table_is_ok(const struct nft_table *);

/* Why not, or NULL; valid until the next nft_table_run(). */
const char *nft_table_error(const struct nft_table *);

/* Times that somebody else had changed the table and it was put back. */
unsigned int nft_table_repairs(const struct nft_table *);

/* Reads the counters, in packets, to 'values', which keeps what it says where
 * one cannot be read.  What a counter had before somebody else removed it is
 * part of its value. */
void nft_table_read_counters(struct nft_table *, uint64_t values[]);

/* Calls 'cb' with the key of each element of the table's set 'set', and with
 * the ms until it expires, as far as the kernel tells. */
void nft_table_read_set(const struct nft_table *, const char *set,
                        void (*cb)(const uint8_t *key, size_t size,
                                   uint64_t expires, void *aux), void *aux);

/* Removes the table "inet NAME", if there is one, and returns when it is
 * gone.  Returns NULL or a message that the caller frees. */
char *nft_table_remove(const char *name) OVS_WARN_UNUSED_RESULT;

/* Whether 'list' has a prefix of the given family: without, there is no set
 * to speak of. */
bool nft_has_family(const struct ip_prefix_list *list, bool v4);

/* Appends the prefixes of one family in 'list', of which there is at least
 * one, as an anonymous set.  Their order in 'list' does not matter. */
void nft_format_set(const struct ip_prefix_list *list, bool v4, struct ds *);

#endif /* agent/nft.h */
