/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What the files of the IKE edge share: see ike.h.
 *
 *   ike.c          what is wanted, and when what is done
 *   ike-link.c     the connection to charon, and its events
 *   ike-look.c     what charon holds
 *   ike-load.c     what charon is told
 *   ike-keys.c     the pre-shared keys
 *   ike-x509.c     this node's certificate
 *   ike-renew.c    how SAs begin, and how new ones replace old ones
 *   ike-status.c   what others want to know
 *   ike-cleanup.c  the end of it all */

#ifndef LATEEN_IKE_PRIVATE_H
#define LATEEN_IKE_PRIVATE_H 1

#include <stdbool.h>
#include <stdint.h>

#include "agent/config.h"
#include "conns.h"
#include "ike-client.h"
#include "ike-sas.h"
#include "ike.h"
#include "openvswitch/json.h"
#include "openvswitch/shash.h"
#include "psk.h"
#include "simap.h"
#include "sset.h"
#include "svec.h"
#include "x509.h"
#include "xfrm-check.h"

/* Times, in ms. */
#define IKE_CONNECT_INTERVAL 250 /* Between looks for charon's socket. */
#define IKE_EVENT_DELAY 50      /* From an event to a look. */

enum link_state {
    LINK_DOWN,                  /* charon cannot be reached. */
    LINK_HELLO,                 /* It has been asked what it is and holds. */
    LINK_READY,
    LINK_REFUSED,               /* It cannot protect anything. */
};

/* How a connection gets SAs, and new ones in the place of old ones: see
 * ike-renew.c. */
struct ike_renewal {
    unsigned int generation;    /* Of the connection's body. */
    struct simap births;        /* Each IKE SA's age: a number that grows, and
                                 * that it keeps when it is rekeyed. */
    struct simap stale;         /* Those that are to go, and since when, in
                                 * seconds. */
    struct simap asked;         /* When charon was asked to end which of them,
                                 * in seconds. */
    unsigned int marking;       /* Those that the next look finds are, since
                                 * then; 0 if they are not. */
    long long int next_misfit;  /* When SAs may be replaced because they are
                                 * not as they are wanted. */
    long long int known_since;  /* When the peer has shown who it is. */
    char *current;              /* The IKE SA that is to have all children, or
                                 * NULL. */
    char *prepared;             /* The one that 'generation' has left behind,
                                 * or NULL. */
    long long int since;        /* When 'current' became what it is, */
    long long int whole;        /* and when it had all; 0 if it has not. */
    bool rivals;                /* Others were begun at the same time. */
    long long int next_rekey;   /* When its "out" may be rekeyed again. */
    char *doubling;             /* An IKE SA under way while that is so, or
                                 * NULL, */
    long long int doubling_since;   /* and since when. */
    struct ike_starts {
        unsigned int n;         /* Attempts since. */
        long long int next;     /* When to make another one. */
    } starts[2];                /* Of what this node starts (1), and of what
                                 * the peer should (0). */
};

/* A connection, wanted or held by charon. */
struct ike_conn {
    struct ike *ike;
    char *name;
    struct json *wanted;        /* Body; NULL if it is to go. */
    char *text;                 /* Its text, or NULL. */
    char *loaded;               /* Text of the body that charon holds, "" if
                                 * it holds some other; NULL for none. */
    char *sent;                 /* Text of the body that is under way, "" for
                                 * its end. */
    unsigned int n_questions;   /* Under way, with this as 'aux'. */
    long long int untrapped;    /* Since when a trap policy is missing, or was
                                 * last installed again; 0 if none is. */
    char *error;                /* Why charon refuses it, or NULL. */
    long long int retry;        /* When to try that again. */

    struct ike_sas sas;
    struct ike_sas before;      /* Those of the look before, while the next
                                 * one is taken. */
    bool up;                    /* All were there. */
    long long int missed;       /* Since when looks miss some, though charon
                                 * may have them; 0 if they do not. */
    char *trouble;              /* What charon said last about the peer. */
    long long int trouble_time;

    struct ike_renewal renewal; /* See ike-renew.c. */
};

/* The pre-shared keys: see ike-keys.c. */
struct ike_keys {
    struct ike_key *keys;       /* The one that signs first. */
    size_t n;
    long long int next_look;    /* At the files. */
    bool doubtful;              /* The last look found them wrong. */
    struct sset ours;           /* Names that this process has given. */
    struct svec held;           /* Names of those that charon holds, */
    struct svec sent;           /* that it is to hold once it has answered, */
    struct svec gone;           /* and what it remembers then of others; */
    struct sset tombs;          /* what it remembers now. */
    struct psk *nobody;         /* A key that nobody has. */
    bool known;                 /* 'held' is. */
    unsigned int n_sent;        /* Questions under way. */
    bool reload;                /* All are to be loaded again. */
};

/* This node's certificate: see ike-x509.c. */
struct ike_x509 {
    struct x509 *x509;          /* In force; NULL if there has been none that
                                 * is good. */
    char *error;                /* What is wrong with the files, or NULL. */
    char *warning;              /* What will be, or NULL. */
    long long int next_look;    /* At the files. */
    bool doubtful;              /* The last look found them wrong. */
    char *key;                  /* charon's name of the key, "" if it has not
                                 * got it yet; NULL if it is to be asked. */
    char *old_key;              /* That of one that is not used any more. */
    uint64_t stamp;             /* Another one whenever the authorities or
                                 * revocation lists are. */
    unsigned int n_sent;        /* Questions under way. */
};

/* What of the configuration matters here. */
struct ike_settings {
    unsigned int serial;
    enum ipsec_mode mode;
    unsigned int renew_within;  /* In seconds. */
    long long int reauth;       /* In ms; 0 for never. */
    char *certificate;          /* Files; NULL with pre-shared keys. */
    char *key;
    char *ca;
    char *crl;
    struct svec psk_files;
    char *vici_socket;
};

/* How often something was repaired in charon. */
struct ike_repairs {
    unsigned int connections, secrets, traps, misfits;
};

struct ike {
    struct ike_settings settings;
    char *self;                 /* This node's name. */
    bool derived;               /* Once. */
    bool underived;             /* What is derived is out of date. */
    uint64_t seqno;             /* Of the model. */

    struct ike_client *client;
    enum link_state link;
    int watch;                  /* A connection to charon that only serves to
                                 * see whether it lives, or -1. */
    bool pulse_asked;           /* It has been asked for a sign of life. */
    long long int pulse;        /* When to ask, or to give it up. */
    bool idle;                  /* IPsec is off, and charon has nothing of
                                 * ours. */
    long long int next_try;     /* While LINK_DOWN. */
    long long int next_round;
    bool looking;               /* A round is under way. */
    bool look_again;            /* An event came meanwhile. */
    struct xfrm_check *kernel;  /* What of that is in the kernel. */

    struct shash conns;         /* "struct ike_conn"s by name. */

    struct ike_x509 x509;
    struct ike_keys keys;
    struct json *secret;        /* The message that goes with those for all
                                 * nodes. */

    struct ike_repairs repairs;
    char *link_error;           /* Why charon cannot be reached or used. */
    bool refused;               /* charon cannot protect anything. */
};


/* ike.c */

/* Sets '*s' to a copy of 'value', which may be NULL. */
void ike_set_string(char **s, const char *value);

/* The connection 'name', made if there is none. */
struct ike_conn *ike_get_conn(struct ike *, const char *name);

/* Frees 'conn', which may not be in use any more. */
void ike_conn_free(struct ike_conn *);

/* ike-link.c */

void ike_set_link_error(struct ike *, const char *error);
void ike_connect(struct ike *);
void ike_close_watch(struct ike *);

/* Looks whether charon is still there, and alive. */
void ike_look_at_watch(struct ike *);

/* The client's callback for events. */
void ike_event_cb(const char *name, const struct json *message,
                  const char *error, void *ike_);

/* ike-look.c */

/* Starts a round: asks charon for all that it holds. */
void ike_look(struct ike *);

/* Has a round start at 'when', in ms, at the latest. */
void ike_look_soon(struct ike *, long long int when);

/* ike-keys.c */

void ike_keys_init(struct ike_keys *);
void ike_keys_destroy(struct ike_keys *);

/* charon has been lost, with all that it held. */
void ike_keys_reset(struct ike_keys *);

/* Reads the files when it is time to. */
void ike_keys_run(struct ike *);
void ike_keys_wait(const struct ike_keys *);

/* Brings charon closer to what is wanted. */
void ike_keys_sync(struct ike *);

/* Takes the 'names' of all shared secrets that charon holds, an array. */
void ike_keys_take(struct ike *, const struct json *names);

/* Whether charon holds all keys as they are wanted. */
bool ike_keys_loaded(const struct ike *);

/* What is wrong with one of the files, or NULL. */
const char *ike_keys_error(const struct ike_keys *);

/* ike-x509.c */

void ike_x509_destroy(struct ike_x509 *);

/* charon has been lost, with all that it held. */
void ike_x509_reset(struct ike_x509 *);

/* Reads the files when it is time to.  Returns true if connections must be
 * derived anew. */
bool ike_x509_run(struct ike *, const char *self);
void ike_x509_wait(const struct ike *);

/* Brings charon closer to what is wanted. */
void ike_x509_sync(struct ike *);

/* Takes the 'names' of all private keys that charon holds, an array. */
void ike_x509_take(struct ike *, const struct json *names);

/* Whether it is not needed, or was there. */
bool ike_x509_is_known(const struct ike *);

/* Whether charon holds it. */
bool ike_x509_loaded(const struct ike *);

/* ike-load.c */

void ike_sync_conns(struct ike *);

/* Asks for the end of the IKE SAs that 'key' of value 'which' tells.  With
 * 'force', charon does not wait for the peer. */
void ike_terminate(struct ike_client *, const char *key, const char *which,
                   bool force);

/* Has charon replace the CHILD SA with its number 'id'. */
void ike_rekey_child(struct ike_client *, const char *id);

/* Has charon forget the connection 'name', and end its SAs, which it would
 * keep by itself. */
void ike_unload_conn(struct ike_client *, const char *name, ike_client_cb *,
                     void *aux);

/* ike-renew.c */

void ike_renewal_init(struct ike_renewal *);
void ike_renewal_destroy(struct ike_renewal *);

/* charon has been lost, with all that it held. */
void ike_renewal_reset(struct ike_renewal *);

/* Makes 'conn->text' of what is wanted. */
void ike_conn_write(struct ike_conn *);

/* All IKE SAs of 'conn' are to be replaced, since the second 'since'. */
void ike_conn_renew(struct ike_conn *, unsigned int since);

/* Whether some of them are still there, or may be. */
bool ike_conn_is_renewing(const struct ike_conn *);

/* charon holds 'conn' as it is wanted since now. */
void ike_conn_loaded(struct ike_conn *);

/* 'conn->sas' are new. */
void ike_conn_look(struct ike_conn *);

/* Takes an "ike-rekey" event. */
void ike_take_rekey(struct ike *, const struct json *message);

/* Starts SAs that should be there by now, and ends those that should not. */
void ike_renew_run(struct ike *);
void ike_renew_wait(const struct ike *);

/* ike-status.c */

/* Whether charon holds 'conn' as it is wanted. */
bool ike_conn_is_loaded(const struct ike_conn *);

enum ike_state ike_conn_state(const struct ike_conn *);

#endif /* ipsec/ike-private.h */
