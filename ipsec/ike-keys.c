/* SPDX-License-Identifier: GPL-3.0-or-later */
/* How the pre-shared keys get from their files to charon, and out of it.
 *
 * charon signs with the key that it was given last, and accepts all.  So they
 * are given in reverse order, which makes the configuration's first the one
 * that signs.  A withdrawn one goes only after that: there is no moment
 * without a key that a peer may use.  SAs that a withdrawn key may have
 * authenticated are replaced then.
 *
 * A key's name in charon tells when its file was written, and for which peer
 * it is.  So an agent that is started again knows those that are still good,
 * and withdraws the others. */

#include <config.h>
#include "ike-private.h"

#include <stdlib.h>
#include <string.h>

#include "openvswitch/poll-loop.h"
#include "openvswitch/vlog.h"
#include "timeval.h"
#include "util.h"

VLOG_DEFINE_THIS_MODULE(ike_keys);

#define LOOK_INTERVAL 3000      /* Between looks at the files, in ms. */

/* A key is called CONNS_SECRET"-STAMP", with the peer's connection appended if
 * it is for one peer. */
#define STAMP_DIGITS 16
#define NAME_LENGTH (strlen(CONNS_SECRET) + 1 + STAMP_DIGITS)

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

void
ike_keys_init(struct ike_keys *keys)
{
    memset(keys, 0, sizeof *keys);
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
}

void
ike_keys_reset(struct ike_keys *keys)
{
    keys->n_sent = 0;
    keys->known = false;
    svec_clear(&keys->held);
    svec_clear(&keys->gone);
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
        key->name = xasprintf(CONNS_SECRET"-%0*"PRIx64"%s", STAMP_DIGITS,
                              stamp++, key->conn ? key->conn : "");
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
make_target(const struct ike_keys *keys, struct svec *target)
{
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
ike_keys_loaded(const struct ike_keys *keys)
{
    struct svec target = SVEC_EMPTY_INITIALIZER;
    bool loaded;

    make_target(keys, &target);
    loaded = (keys->known && !keys->n_sent && !keys->reload
              && svec_equal(&target, &keys->held));
    svec_destroy(&target);
    return loaded;
}

/* Replaces the SAs that the key 'name' may have authenticated. */
static void
replace_sas(struct ike *ike, const char *name)
{
    const char *of = name + MIN(strlen(name), NAME_LENGTH);
    struct shash_node *node;

    SHASH_FOR_EACH (node, &ike->conns) {
        if (!*of || !strcmp(of, node->name)) {
            VLOG_INFO("%s: a key was withdrawn", node->name);
            ike_conn_renew(node->data);
        }
    }
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
load_key(struct ike *ike, const struct ike_key *key)
{
    struct json *message
        = (key->conn ? conns_pair_secret(key->conn + strlen(CONNS_PREFIX))
           : json_clone(ike->secret));

    json_object_put_string(message, "id", key->name);
    ike->keys.n_sent++;
    ike_client_ask_secret(ike->client, "load-shared", message, key->psk,
                          key_cb, ike);
}

static void
unload_key(struct ike *ike, const char *name)
{
    struct json *message = json_object_create();

    json_object_put_string(message, "id", name);
    ike->keys.n_sent++;
    ike_client_ask(ike->client, "unload-shared", message, NULL, key_cb, ike);
}

void
ike_keys_sync(struct ike *ike)
{
    struct ike_keys *keys = &ike->keys;

    if (!keys->known || keys->n_sent || ike_keys_loaded(keys)) {
        return;
    }
    keys->reload = false;
    svec_clear(&keys->sent);
    make_target(keys, &keys->sent);
    for (size_t i = keys->n; i > 0; i--) {
        if (keys->keys[i - 1].psk) {
            load_key(ike, &keys->keys[i - 1]);
        }
    }
    for (size_t i = 0; i < keys->held.n; i++) {
        if (!contains(&keys->sent, keys->held.names[i])) {
            svec_add(&keys->gone, keys->held.names[i]);
            unload_key(ike, keys->held.names[i]);
        }
    }
}

void
ike_keys_take(struct ike_keys *keys, const struct json *names)
{
    struct svec held = SVEC_EMPTY_INITIALIZER;

    for (size_t i = 0; i < names->array.n; i++) {
        const struct json *name = names->array.elems[i];

        if (name->type == JSON_STRING
            && !strncmp(json_string(name), CONNS_SECRET,
                        strlen(CONNS_SECRET))) {
            svec_add(&held, json_string(name));
        }
    }
    if (!keys->n_sent) {
        for (size_t i = 0; keys->known && i < keys->held.n; i++) {
            if (!contains(&held, keys->held.names[i])) {
                VLOG_WARN("charon has lost the key; loading it again");
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
