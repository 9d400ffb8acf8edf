/* SPDX-License-Identifier: GPL-3.0-or-later */
/* How the pre-shared keys get from their files to charon, and out of it; and
 * what is done about SAs whose authentication does not count any more.
 *
 * charon signs with the key that it was given last, and accepts all.  So they
 * are given in reverse order, which makes the configuration's first the one
 * that signs.  A withdrawn one goes only after that: there is no moment
 * without a key that a peer may use.  SAs that a withdrawn key may have
 * authenticated are replaced then.
 *
 * A key's name in charon tells when its file was written, and for which peer
 * it is.  So an agent that is started again knows those that are still good,
 * and withdraws the others.  Authorities and revocation lists are withdrawn in
 * the same way: a key that nobody has bears their name.
 *
 * Once charon has forgotten a key, nothing would tell which SAs are to be
 * replaced to an agent that is started then, or that has lost a charon that
 * hangs.  So charon gets a tombstone first, another key that nobody has, whose
 * name tells when that was and for which peer, and keeps it until those SAs
 * are gone.  With charon, its SAs go, too. */

#include <config.h>
#include "ike-private.h"

#include <stdlib.h>
#include <string.h>

#include "entropy.h"
#include "openvswitch/poll-loop.h"
#include "openvswitch/vlog.h"
#include "timeval.h"
#include "util.h"

VLOG_DEFINE_THIS_MODULE(ike_keys);

#define LOOK_INTERVAL 3000      /* Between looks at the files, in ms. */

/* A key is called KEY"STAMP", with the peer's connection appended if it is for
 * one peer; what stands for certificates TRUST"STAMP".  A tombstone has the
 * second of its time, since the node's start, for a stamp. */
#define KEY CONNS_PREFIX"psk-"
#define TRUST CONNS_PREFIX"pki-"
#define TOMB CONNS_PREFIX"old-"
#define STAMP_DIGITS 16
#define NAME_LENGTH (strlen(KEY) + STAMP_DIGITS)

/* A file with a key. */
struct ike_key {
    char *file;
    char *conn;                 /* For this peer's connection; NULL for all. */
    struct psk *psk;            /* NULL if there has been none that is good. */
    char *name;                 /* In charon; NULL without 'psk'. */
    char *error;                /* What is wrong with the file, or NULL. */
};

static void
keys_free(struct ike_key *keys, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        free(keys[i].file);
        free(keys[i].conn);
        psk_free(keys[i].psk);
        free(keys[i].name);
        free(keys[i].error);
    }
    free(keys);
}

/* The name of 'kind' with 'stamp', for the connection 'conn' or, if that is
 * "", all. */
static char *
make_name(const char *kind, uint64_t stamp, const char *conn)
{
    return xasprintf("%s%0*"PRIx64"%s", kind, STAMP_DIGITS, stamp, conn);
}

static bool
is_kind(const char *name, const char *kind)
{
    return !strncmp(name, kind, strlen(kind)) && strlen(name) >= NAME_LENGTH;
}

/* Whether what is called 'name' is for 'conn'. */
static bool
is_for(const char *name, const struct ike_conn *conn)
{
    return !name[NAME_LENGTH] || !strcmp(name + NAME_LENGTH, conn->name);
}

void
ike_keys_init(struct ike_keys *keys)
{
    memset(keys, 0, sizeof *keys);
    keys->nobody = xzalloc(sizeof *keys->nobody + PSK_MIN);
    keys->nobody->size = PSK_MIN;
    get_entropy_or_die(keys->nobody->data, PSK_MIN);
    sset_init(&keys->tombs);
    sset_init(&keys->ours);
    svec_init(&keys->held);
    svec_init(&keys->sent);
    svec_init(&keys->gone);
}

void
ike_keys_destroy(struct ike_keys *keys)
{
    keys_free(keys->keys, keys->n);
    sset_destroy(&keys->ours);
    svec_destroy(&keys->held);
    svec_destroy(&keys->sent);
    svec_destroy(&keys->gone);
    sset_destroy(&keys->tombs);
    psk_free(keys->nobody);
}

void
ike_keys_reset(struct ike_keys *keys)
{
    keys->n_sent = 0;
    keys->known = false;
    svec_clear(&keys->held);
    svec_clear(&keys->gone);
    sset_clear(&keys->tombs);
}

/* From the files. */

static bool
same_peer(const struct ike_key *a, const struct ike_key *b)
{
    return nullable_string_is_equal(a->conn, b->conn);
}

/* Reads the key in 'key->file', and names it: the same as before, if it is
 * among the 'n' of 'old'. */
static void
read_key(struct ike_keys *keys, struct ike_key *key)
{
    uint64_t stamp;

    key->error = psk_read(key->file, &key->psk);
    if (key->error) {
        return;
    }
    for (size_t i = 0; i < keys->n; i++) {
        const struct ike_key *old = &keys->keys[i];

        if (psk_equals(key->psk, old->psk) && same_peer(key, old)) {
            key->name = xstrdup(old->name);
            return;
        }
    }
    stamp = key->psk->stamp;
    do {
        free(key->name);
        key->name = make_name(KEY, stamp++, key->conn ? key->conn : "");
    } while (!sset_add(&keys->ours, key->name));
}

/* Appends the key in 'file' for 'conn', which may be NULL, to the '*n' of
 * '*list'. */
static void
add_key(struct ike_keys *keys, char *file, const char *conn,
        struct ike_key **list, size_t *n)
{
    struct ike_key *key;

    *list = xrealloc(*list, (*n + 1) * sizeof **list);
    key = &(*list)[(*n)++];
    *key = (struct ike_key) { .file = file, .conn = nullable_xstrdup(conn) };
    read_key(keys, key);
}

/* A key that has become bad stays in force until there is a better one. */
static void
keep_key(struct ike_keys *keys, struct ike_key *key)
{
    const char *old_error = NULL;

    for (size_t i = 0; i < keys->n; i++) {
        struct ike_key *old = &keys->keys[i];

        if (!strcmp(old->file, key->file) && same_peer(old, key)) {
            old_error = old->error;
            key->psk = old->psk;
            key->name = old->name;
            old->psk = NULL;
            old->name = NULL;
            break;
        }
    }
    if (!nullable_string_is_equal(key->error, old_error)) {
        VLOG_ERR("%s", key->error);
    }
}

/* The name of the file that 'pattern' means for the connection 'conn'. */
static char *
expand(const char *pattern, const char *conn)
{
    const char *place = strstr(pattern, "%p");

    return xasprintf("%.*s%s%s", (int) (place - pattern), pattern,
                     conn + strlen(CONNS_PREFIX), place + 2);
}

static void
read_keys(struct ike *ike)
{
    const struct svec *files = &ike->settings.psk_files;
    struct ike_keys *keys = &ike->keys;
    struct ike_key *list = NULL;
    size_t n = 0;

    for (size_t i = 0; i < files->n; i++) {
        const char *pattern = files->names[i];
        const struct shash_node *node;

        if (!strstr(pattern, "%p")) {
            add_key(keys, xstrdup(pattern), NULL, &list, &n);
            continue;
        }
        SHASH_FOR_EACH (node, &ike->conns) {
            if (((const struct ike_conn *) node->data)->wanted) {
                add_key(keys, expand(pattern, node->name), node->name, &list,
                        &n);
            }
        }
    }
    for (size_t i = 0; i < n; i++) {
        if (list[i].error) {
            keep_key(keys, &list[i]);
        }
    }
    keys_free(keys->keys, keys->n);
    keys->keys = list;
    keys->n = n;
}

const char *
ike_keys_error(const struct ike_keys *keys)
{
    for (size_t i = 0; i < keys->n; i++) {
        if (keys->keys[i].error) {
            return keys->keys[i].error;
        }
    }
    return NULL;
}

/* To charon. */

static bool
contains(const struct svec *names, const char *name)
{
    return svec_contains_unsorted(names, name);
}

/* Puts the names of what charon is to hold into 'target', the one that signs
 * first. */
static void
make_target(const struct ike *ike, struct svec *target)
{
    const struct ike_keys *keys = &ike->keys;
    bool all = true;
    size_t wanted;

    for (size_t i = 0; i < keys->n; i++) {
        const struct ike_key *key = &keys->keys[i];

        if (!key->psk) {
            all = false;
        } else if (!contains(target, key->name)) {
            svec_add(target, key->name);
        }
    }
    if (ike->settings.certificate && ike->x509.x509) {
        svec_add_nocopy(target, make_name(TRUST, ike->x509.stamp, ""));
    }
    wanted = target->n;

    /* Without any key that is good, the old ones stay.  One that an earlier
     * agent gave may be of a file that cannot be read now. */
    for (size_t i = 0; i < keys->held.n; i++) {
        const char *name = keys->held.names[i];

        if (!contains(target, name)
            && !(all || (wanted && sset_contains(&keys->ours, name)))) {
            svec_add(target, name);
        }
    }
}

bool
ike_keys_loaded(const struct ike *ike)
{
    const struct ike_keys *keys = &ike->keys;
    struct svec target = SVEC_EMPTY_INITIALIZER;
    bool loaded;

    make_target(ike, &target);
    loaded = (keys->known && !keys->n_sent && !keys->reload
              && svec_equal(&target, &keys->held));
    svec_destroy(&target);
    return loaded;
}

/* Replaces the SAs that what 'tomb' remembers may have authenticated. */
static void
replace_sas(struct ike *ike, const char *tomb)
{
    unsigned int since = 0;
    struct shash_node *node;

    ovs_scan(tomb, TOMB"%16x", &since);
    SHASH_FOR_EACH (node, &ike->conns) {
        struct ike_conn *conn = node->data;

        if (is_for(tomb, conn)) {
            VLOG_INFO("%s: a key or certificate was withdrawn",
                      conn->name);
            ike_conn_renew(conn, since);
        }
    }
    sset_add(&ike->keys.tombs, tomb);
}

static void
key_cb(const struct json *reply OVS_UNUSED,
       const struct json *events OVS_UNUSED, const char *error, void *ike_)
{
    struct ike *ike = ike_;
    struct ike_keys *keys = &ike->keys;

    if (ike->link != LINK_READY) {
        return;
    }
    if (error) {
        char *text = xasprintf("charon refuses a key: %s", error);

        ike_client_reset(ike->client, text);
        free(text);
        return;
    }
    if (--keys->n_sent) {
        return;
    }
    if (!keys->held.n) {
        struct shash_node *node;

        /* What could not begin without one can now. */
        SHASH_FOR_EACH (node, &ike->conns) {
            ike_conn_loaded(node->data);
        }
    }
    svec_swap(&keys->held, &keys->sent);
    for (size_t i = 0; i < keys->gone.n; i++) {
        replace_sas(ike, keys->gone.names[i]);
    }
    svec_clear(&keys->gone);
}

static void
load(struct ike *ike, const char *name, struct json *message,
     const struct psk *psk)
{
    json_object_put_string(message, "id", name);
    ike->keys.n_sent++;
    ike_client_ask_secret(ike->client, "load-shared", message, psk, key_cb,
                          ike);
}

static void
load_key(struct ike *ike, const struct ike_key *key)
{
    load(ike, key->name,
         (key->conn ? conns_pair_secret(key->conn + strlen(CONNS_PREFIX))
          : json_clone(ike->secret)), key->psk);
}

/* Loads what only is to be remembered. */
static void
load_nobody(struct ike *ike, const char *name)
{
    load(ike, name, conns_pair_secret(name), ike->keys.nobody);
}

static void
unload(struct ike *ike, const char *name, ike_client_cb *cb)
{
    struct json *message = json_object_create();

    json_object_put_string(message, "id", name);
    ike_client_ask(ike->client, "unload-shared", message, NULL, cb, ike);
}

/* Withdraws the key 'name'. */
static void
withdraw(struct ike *ike, const char *name)
{
    char *tomb = make_name(TOMB, time_msec() / 1000, name + NAME_LENGTH);

    load_nobody(ike, tomb);
    svec_add_nocopy(&ike->keys.gone, tomb);
    ike->keys.n_sent++;
    unload(ike, name, key_cb);
}

/* Whether SAs are left that 'tomb' is there for. */
static bool
has_sas(const struct ike *ike, const char *tomb)
{
    const struct shash_node *node;

    SHASH_FOR_EACH (node, &ike->conns) {
        const struct ike_conn *conn = node->data;

        if (is_for(tomb, conn) && ike_conn_is_renewing(conn)) {
            return true;
        }
    }
    return false;
}

void
ike_keys_sync(struct ike *ike)
{
    struct ike_keys *keys = &ike->keys;
    const char *tomb;

    SSET_FOR_EACH_SAFE (tomb, &keys->tombs) {
        if (!has_sas(ike, tomb)) {
            unload(ike, tomb, NULL);
            sset_delete(&keys->tombs, SSET_NODE_FROM_NAME(tomb));
        }
    }
    if (!keys->known || keys->n_sent || ike_keys_loaded(ike)) {
        return;
    }
    keys->reload = false;
    svec_clear(&keys->sent);
    make_target(ike, &keys->sent);
    for (size_t i = 0; i < keys->sent.n; i++) {
        const char *name = keys->sent.names[i];

        if (is_kind(name, TRUST) && !contains(&keys->held, name)) {
            load_nobody(ike, name);
        }
    }
    for (size_t i = keys->n; i > 0; i--) {
        if (keys->keys[i - 1].psk) {
            load_key(ike, &keys->keys[i - 1]);
        }
    }
    for (size_t i = 0; i < keys->held.n; i++) {
        if (!contains(&keys->sent, keys->held.names[i])) {
            withdraw(ike, keys->held.names[i]);
        }
    }
}

void
ike_keys_take(struct ike *ike, const struct json *names)
{
    struct ike_keys *keys = &ike->keys;
    struct svec held = SVEC_EMPTY_INITIALIZER;

    for (size_t i = 0; i < names->array.n; i++) {
        const char *name = (names->array.elems[i]->type == JSON_STRING
                            ? json_string(names->array.elems[i]) : "");

        if (is_kind(name, KEY) || is_kind(name, TRUST)) {
            svec_add(&held, name);
        } else if (is_kind(name, TOMB) && !keys->known) {
            replace_sas(ike, name);
        }
    }
    if (!keys->n_sent) {
        for (size_t i = 0; keys->known && i < keys->held.n; i++) {
            if (!contains(&held, keys->held.names[i])) {
                VLOG_WARN("charon has lost the key; loading it again");
                ike->repairs.secrets++;
            }
        }
        svec_swap(&held, &keys->held);
        keys->known = true;
    }
    svec_destroy(&held);
}

void
ike_keys_run(struct ike *ike)
{
    if (time_msec() >= ike->keys.next_look) {
        read_keys(ike);
        ike->keys.next_look = time_msec() + LOOK_INTERVAL;
    }
}

void
ike_keys_wait(const struct ike_keys *keys)
{
    poll_timer_wait_until(keys->next_look);
}
