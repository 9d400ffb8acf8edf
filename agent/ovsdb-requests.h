/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The queue of requests to add and delete the ports of containers.
 *
 * For ovsdb.c only; its callers see 'struct ovsdb_request' (ovsdb.h). */

#ifndef LATEEN_OVSDB_REQUESTS_H
#define LATEEN_OVSDB_REQUESTS_H 1

#include <stdbool.h>
#include <stdint.h>

struct attachment;
struct ovs_list;
struct ovsdb_idl_txn;
struct ovsdb_request;
struct ovsdb_rows;
struct ovsrec_bridge;

/* Add a request to the end of 'queue'.  The caller owns what they return, and
 * gives it back with ovsdb_request_destroy(). */
struct ovsdb_request *ovsdb_requests_attach(struct ovs_list *queue,
                                            const struct attachment *);
struct ovsdb_request *ovsdb_requests_detach(struct ovs_list *queue,
                                            const char *container_id,
                                            const char *ifname);

/* Writes into 'txn' as many of the oldest requests as one transaction may
 * have.  Brings those to an end that need nothing or cannot be.  Returns true
 * if 'txn' deletes ports. */
bool ovsdb_requests_write(struct ovs_list *queue, const struct ovsdb_rows *,
                          const struct ovsrec_bridge *,
                          struct ovsdb_idl_txn *txn);

/* Says that the transaction that ovsdb_requests_write() wrote into is over:
 * 'again' if it is to be repeated, refused if 'error' is nonnull, otherwise
 * with success and 'cfg' for the requests that detach. */
void ovsdb_requests_finish(struct ovs_list *queue, bool again,
                           const char *error, int64_t cfg);

/* Empties 'queue', of which nobody owns a request any more. */
void ovsdb_requests_destroy(struct ovs_list *queue);

#endif /* agent/ovsdb-requests.h */
