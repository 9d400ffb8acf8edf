/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Keeps what charon holds and what is in the kernel alike.
 *
 * charon believes that the kernel keeps what it was told.  Where somebody has
 * taken policies or states away ("ip xfrm ... flush"), or a charon that was
 * killed has left states behind, this finds and repairs it:
 *
 *   - A policy that charon has installed for a trap is put back into the
 *     kernel directly, which asks nothing of charon or the peer.
 *   - A CHILD SA whose states are gone has no keys any more.  charon is asked
 *     to rekey it, which also tells the peer to drop its half; or to end it,
 *     where the kernel's acquisition of a new one has been quicker.  Where
 *     that does not help, the IKE SA is ended: a new one follows.
 *   - States that charon does not know go when SAs that it knows do their work
 *     and have carried packets, and policies that nobody wants after a while.
 *
 * The kernel's events say when to look, so that all is at rest otherwise.
 *
 * Meanwhile the guard keeps everything closed.  Everything here belongs to the
 * main thread and never waits. */

#ifndef LATEEN_XFRM_CHECK_H
#define LATEEN_XFRM_CHECK_H 1

#include <stdbool.h>
#include "openvswitch/compiler.h"

struct ike_client;
struct json;
struct shash;
struct sset;
struct xfrm_check;

struct xfrm_check *xfrm_check_create(void);
void xfrm_check_destroy(struct xfrm_check *);

/* Takes the kernel's events in.  Returns true if something of ours may have
 * gone: then charon is to be asked for its SAs, for xfrm_check_compare(). */
bool xfrm_check_run(struct xfrm_check *) OVS_WARN_UNUSED_RESULT;
void xfrm_check_wait(const struct xfrm_check *);

/* Compares, if there is reason to, and repairs.  'wanted', 'held' and 'sas',
 * charon's answer of just now, are those of xfrm_diff_derive().  charon is
 * asked by way of 'client'.  Returns true if something is to be looked at
 * again soon. */
bool xfrm_check_compare(struct xfrm_check *, const struct shash *wanted,
                        const struct sset *held, const struct json *sas,
                        struct ike_client *client);

/* Counts the rekeying that charon's event 'name' with 'message' tells. */
void xfrm_check_take_event(struct xfrm_check *, const char *name,
                           const struct json *message);

/* charon is gone: what it held does not count any more. */
void xfrm_check_forget(struct xfrm_check *);

/* Whether the kernel has all SAs that charon holds for the connection. */
bool xfrm_check_is_whole(const struct xfrm_check *, const char *conn);

/* Puts what is known about the connection 'conn' into 'row', an object:
 * "kernel", "rekeys" and "repairs". */
void xfrm_check_put_json(const struct xfrm_check *, const char *conn,
                         struct json *row);

/* What was repaired, and the last trouble with the kernel, as a new object. */
struct json *xfrm_check_to_json(const struct xfrm_check *);

#endif /* ipsec/xfrm-check.h */
