/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Keeps a lateen-ike process and asks it things.
 *
 * Questions are answered one after the other.  One that is not answered in
 * time costs the process its life, and all questions fail; the next one starts
 * another.  charon itself is never touched.
 *
 * The process is $LATEEN_IKE, or LATEEN_LIBEXECDIR/lateen-ike. */

#ifndef LATEEN_IKE_CLIENT_H
#define LATEEN_IKE_CLIENT_H 1

#include <stdbool.h>

struct ike_client;
struct json;
struct psk;

/* Called with the answer: 'reply' and 'events' (or NULL) on success, 'error'
 * otherwise.  What they point to lasts as long as the call. */
typedef void ike_client_cb(const struct json *reply,
                           const struct json *events, const char *error,
                           void *aux);

/* Called with each event that was asked for.  Where charon is lost, 'name' is
 * NULL and 'error' says why; the callbacks of all questions under way come
 * then, with that error, and events are to be asked for again. */
typedef void ike_client_event_cb(const char *name, const struct json *message,
                                 const char *error, void *aux);

/* 'vici_socket' is the path of charon's socket.  Starts nothing yet. */
struct ike_client *ike_client_create(const char *vici_socket,
                                     ike_client_event_cb *, void *aux);

/* Ends the process; questions under way are dropped without a call. */
void ike_client_destroy(struct ike_client *);

/* Gives the process up, with all questions, because of 'error'. */
void ike_client_reset(struct ike_client *, const char *error);

/* Asks charon for 'command' with 'message', which it takes and which may be
 * NULL.  'stream' collects events of that name, if nonnull.  'cb' may be
 * NULL; it is never called before ike_client_run(). */
void ike_client_ask(struct ike_client *, const char *command,
                    struct json *message, const char *stream,
                    ike_client_cb *cb, void *aux);

/* The same, with 'psk' in the message as "data". */
void ike_client_ask_secret(struct ike_client *, const char *command,
                           struct json *message, const struct psk *psk,
                           ike_client_cb *cb, void *aux);

/* Asks for the events in 'names', an array of strings, which it takes, or for
 * no more of them if not 'wanted'. */
void ike_client_register(struct ike_client *, struct json *names,
                         bool wanted);

/* Whether questions wait for their answers. */
bool ike_client_is_busy(const struct ike_client *);

void ike_client_run(struct ike_client *);

/* Passes on at once what was asked since ike_client_run(), so that charon
 * works while the caller does other things; ike_client_run() would, too. */
void ike_client_flush(struct ike_client *);

void ike_client_wait(struct ike_client *);

#endif /* ipsec/ike-client.h */
