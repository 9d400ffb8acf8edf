/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What charon holds, as the IKE edge sees it: see ike.h. */

#include <config.h>
#include "ike-private.h"

#include <string.h>

#include "openvswitch/vlog.h"
#include "sset.h"
#include "timeval.h"
#include "util.h"

VLOG_DEFINE_THIS_MODULE(ike_look);

/* Times, in ms. */
#define ROUND_INTERVAL 3000     /* Between looks at what charon holds. */
#define TRAP_GRACE 1000         /* How long a trap policy may be missing: while
                                 * charon updates one, it does not list it. */
#define SA_GRACE 500            /* The same for SAs, while it rekeys an IKE
                                 * SA. */
#define TROUBLE_TIME 15000      /* How long trouble is worth telling. */

/* Notes the connections of ours that charon holds, and forgets those that it
 * does not hold any more. */
static void
conns_cb(const struct json *reply, const struct json *events OVS_UNUSED,
         const char *error, void *ike_)
{
    struct ike *ike = ike_;
    const struct json *names
        = reply && reply->type == JSON_OBJECT
          ? shash_find_data(json_object(reply), "conns") : NULL;
    struct sset held = SSET_INITIALIZER(&held);
    struct shash_node *node;

    if (ike->link == LINK_DOWN) {
        return;
    } else if (!names || names->type != JSON_ARRAY) {
        ike_client_reset(ike->client,
                         error ? error : "charon does not say what it holds");
        return;
    }
    for (size_t i = 0; i < names->array.n; i++) {
        const struct json *name = names->array.elems[i];

        if (name->type == JSON_STRING
            && !strncmp(json_string(name), CONNS_PREFIX,
                        strlen(CONNS_PREFIX))) {
            struct ike_conn *conn = ike_get_conn(ike, json_string(name));

            sset_add(&held, conn->name);
            if (!conn->loaded) {
                conn->loaded = xstrdup("");
            }
        }
    }
    SHASH_FOR_EACH (node, &ike->conns) {
        struct ike_conn *conn = node->data;

        if (conn->loaded && !sset_contains(&held, conn->name)) {
            VLOG_WARN("charon has lost the connection %s; loading it again",
                      conn->name);
            ike_set_string(&conn->loaded, NULL);
            ike->repairs.connections++;
        }
    }
    sset_destroy(&held);

    if (ike->link == LINK_HELLO) {
        VLOG_INFO("connected to charon");
        ike->link = LINK_READY;
        ike_set_link_error(ike, NULL);
    }
}

static void
shared_cb(const struct json *reply, const struct json *events OVS_UNUSED,
          const char *error, void *ike_)
{
    struct ike *ike = ike_;
    const struct json *keys
        = reply && reply->type == JSON_OBJECT
          ? shash_find_data(json_object(reply), "keys") : NULL;

    if (ike->link == LINK_DOWN) {
        return;
    } else if (!keys || keys->type != JSON_ARRAY) {
        ike_client_reset(ike->client,
                         error ? error : "charon does not say what it holds");
        return;
    }
    ike_keys_take(ike, keys);
}

static void
private_cb(const struct json *reply, const struct json *events OVS_UNUSED,
           const char *error OVS_UNUSED, void *ike_)
{
    struct ike *ike = ike_;
    const struct json *keys
        = reply && reply->type == JSON_OBJECT
          ? shash_find_data(json_object(reply), "keys") : NULL;

    if (ike->link == LINK_READY && keys && keys->type == JSON_ARRAY) {
        ike_x509_take(ike, keys);
    }
}

static void
install_cb(const struct json *reply OVS_UNUSED,
           const struct json *events OVS_UNUSED, const char *error,
           void *conn_)
{
    struct ike_conn *conn = conn_;

    conn->n_questions--;
    if (error && conn->ike->link == LINK_READY) {
        free(conn->error);
        conn->error = xasprintf("charon cannot install a trap policy: %s",
                                error);
    }
}

/* Has charon install the trap policy of the child 'name', which it has
 * lost. */
static void
install_trap(struct ike *ike, struct ike_conn *conn, const char *name)
{
    static struct vlog_rate_limit rl = VLOG_RATE_LIMIT_INIT(1, 5);
    struct json *message = json_object_create();

    VLOG_WARN_RL(&rl, "charon has lost the trap policy %s/%s; installing it "
                 "again", conn->name, name);
    ike->repairs.traps++;
    conn->n_questions++;
    json_object_put_string(message, "ike", conn->name);
    json_object_put_string(message, "child", name);
    ike_client_ask(ike->client, "install", message, NULL, install_cb, conn);
}

/* Compares the trap policies of 'conn' with 'traps', those that charon has
 * listed. */
static void
check_traps(struct ike *ike, struct ike_conn *conn, const struct sset *traps)
{
    long long int now = time_msec(), since = conn->untrapped;
    struct shash_node *node;

    conn->untrapped = 0;
    SHASH_FOR_EACH (node, json_object(shash_find_data(
                              json_object(conn->wanted), "children"))) {
        char *trap = xasprintf("%s/%s", conn->name, node->name);

        if (!sset_contains(traps, trap)) {
            if (since && now >= since + TRAP_GRACE) {
                install_trap(ike, conn, node->name);
                conn->untrapped = now;
            } else if (!conn->untrapped) {
                conn->untrapped = since ? since : now;
            }
        }
        free(trap);
    }
    if (since && !conn->untrapped) {
        ike_set_string(&conn->error, NULL);
    }
}

static void
policies_cb(const struct json *reply OVS_UNUSED, const struct json *events,
            const char *error, void *ike_)
{
    struct ike *ike = ike_;
    struct sset traps = SSET_INITIALIZER(&traps);
    struct shash_node *node;

    if (error || !events || events->type != JSON_ARRAY) {
        return;
    }
    for (size_t i = 0; i < events->array.n; i++) {
        const struct json *event = events->array.elems[i];

        if (event->type == JSON_OBJECT) {
            SHASH_FOR_EACH (node, json_object(event)) {
                sset_add(&traps, node->name);
            }
        }
    }
    SHASH_FOR_EACH (node, &ike->conns) {
        struct ike_conn *conn = node->data;

        if (ike_conn_is_loaded(conn)) {
            check_traps(ike, conn, &traps);
        }
    }
    sset_destroy(&traps);
}

/* Compares the kernel with 'sas', which charon has just told. */
static void
check_kernel(struct ike *ike, const struct json *sas)
{
    struct shash wanted = SHASH_INITIALIZER(&wanted);
    struct sset held = SSET_INITIALIZER(&held);
    struct shash_node *node;

    SHASH_FOR_EACH (node, &ike->conns) {
        const struct ike_conn *conn = node->data;

        if (conn->wanted) {
            shash_add(&wanted, conn->name, conn->wanted);
        }
        if (ike_conn_is_loaded(conn) && !conn->untrapped) {
            sset_add(&held, conn->name);
        }
    }
    if (xfrm_check_compare(ike->kernel, &wanted, &held, sas, ike->client)) {
        ike_look_soon(ike, time_msec() + IKE_EVENT_DELAY);
    }
    shash_destroy(&wanted);
    sset_destroy(&held);
}

/* Notes the IKE SA 'sa' of the connection 'name'.  One of ours without a
 * connection is ended: the agent may have been killed after it unloaded that,
 * or the SA may have been under way. */
static void
take_sa(struct ike *ike, const char *name, const struct json *sa)
{
    static struct vlog_rate_limit rl = VLOG_RATE_LIMIT_INIT(1, 5);
    struct ike_conn *conn = shash_find_data(&ike->conns, name);
    const struct json *id = shash_find_data(json_object(sa), "uniqueid");

    if (conn) {
        ike_sas_add(&conn->sas, sa, conn->wanted);
    } else if (ike->derived && id && id->type == JSON_STRING
               && !strncmp(name, CONNS_PREFIX, strlen(CONNS_PREFIX))) {
        VLOG_INFO_RL(&rl, "ending IKE SA %s of %s, which is not wanted",
                     json_string(id), name);
        ike_terminate(ike->client, "ike-id", json_string(id), true);
    }
}

/* charon lists one IKE SA after the other.  Where one is rekeyed meanwhile, it
 * may list neither that nor the new one, so what was there is not gone before
 * looks have missed it for some time.  Until then, 'conn' keeps its SAs of the
 * look before, and this returns false. */
static bool
believe(struct ike_conn *conn, long long int now)
{
    bool missing = conn->up && ike_conn_state(conn) != IKE_UP;

    conn->missed = !missing ? 0 : conn->missed ? conn->missed : now;
    missing = missing && now < conn->missed + SA_GRACE;
    ike_sas_clear(missing ? &conn->sas : &conn->before);
    if (missing) {
        conn->sas = conn->before;
        memset(&conn->before, 0, sizeof conn->before);
    }
    return !missing;
}

static void
sas_cb(const struct json *reply OVS_UNUSED, const struct json *events,
       const char *error, void *ike_)
{
    struct ike *ike = ike_;
    long long int now = time_msec();
    struct shash_node *node;

    if (ike->link == LINK_DOWN) {
        return;
    }
    ike->looking = false;
    ike->next_round = now + (ike->look_again ? IKE_EVENT_DELAY
                             : ROUND_INTERVAL);
    ike->look_again = false;
    if (error || !events || events->type != JSON_ARRAY) {
        return;
    }

    SHASH_FOR_EACH (node, &ike->conns) {
        struct ike_conn *conn = node->data;

        conn->before = conn->sas;
        memset(&conn->sas, 0, sizeof conn->sas);
    }
    for (size_t i = 0; i < events->array.n; i++) {
        const struct json *event = events->array.elems[i];

        if (event->type == JSON_OBJECT) {
            SHASH_FOR_EACH (node, json_object(event)) {
                const struct json *sa = node->data;

                if (sa->type == JSON_OBJECT) {
                    take_sa(ike, node->name, sa);
                }
            }
        }
    }
    check_kernel(ike, events);
    SHASH_FOR_EACH (node, &ike->conns) {
        struct ike_conn *conn = node->data;
        bool was_up = conn->up;

        ike_sas_date(&conn->sas, &conn->before, now);
        if (!believe(conn, now)) {
            ike_look_soon(ike, now + IKE_EVENT_DELAY);
            continue;
        }
        conn->up = ike_conn_state(conn) == IKE_UP;
        ike_conn_look(conn);
        if (conn->untrapped) {
            ike_look_soon(ike, conn->untrapped + TRAP_GRACE);
        }
        if (conn->up) {
            if (!was_up || now >= conn->trouble_time + TROUBLE_TIME) {
                ike_set_string(&conn->trouble, NULL);
            }
        }
    }
}

void
ike_look(struct ike *ike)
{
    struct json *message = json_object_create();

    ike->looking = true;
    ike_client_ask(ike->client, "get-conns", NULL, NULL, conns_cb, ike);
    ike_client_ask(ike->client, "get-shared", NULL, NULL, shared_cb, ike);
    if (ike->settings.certificate) {
        ike_client_ask(ike->client, "get-keys", NULL, NULL, private_cb, ike);
    }
    json_object_put_string(message, "trap", "yes");
    ike_client_ask(ike->client, "list-policies", message, "list-policy",
                   policies_cb, ike);
    ike_client_ask(ike->client, "list-sas", NULL, "list-sa", sas_cb, ike);
}

void
ike_look_soon(struct ike *ike, long long int when)
{
    ike->look_again = ike->look_again || ike->looking;
    ike->next_round = MIN(ike->next_round, when);
}
