/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The IKE edge: see ike.h. */

#include <config.h>
#include "ike.h"

#include <stdlib.h>
#include <string.h>

#include "agent/config.h"
#include "agent/model.h"
#include "conns.h"
#include "ike-client.h"
#include "openvswitch/json.h"
#include "openvswitch/poll-loop.h"
#include "openvswitch/shash.h"
#include "openvswitch/vlog.h"
#include "psk.h"
#include "timeval.h"
#include "util.h"

VLOG_DEFINE_THIS_MODULE(ike);

/* Times, in ms. */
#define RETRY_INTERVAL 1000     /* Between attempts to reach charon. */
#define SA_INTERVAL 2000        /* Between looks at the SAs. */
#define CONNS_INTERVAL 6000     /* Between looks at the connections. */
#define START_GRACE 4000        /* How long the node that starts the SAs has
                                 * for it, before the other one does. */
#define START_INTERVAL 10000    /* Between such attempts. */

enum link_state {
    LINK_DOWN,                  /* charon cannot be reached. */
    LINK_HELLO,                 /* It has been asked who it is. */
    LINK_READY,
};

/* A connection, wanted or loaded. */
struct conn {
    struct json *wanted;        /* Body; NULL if it is to go. */
    char *loaded;               /* Text of the body that charon holds, "" if
                                 * it holds some other; NULL for none. */
    char *sent;                 /* Text of the body that is under way. */
    char *error;                /* Why charon refused it, or NULL. */

    /* What list-sas said last. */
    enum ike_state state;
    int n_ike_sas;
    int n_child_sas;
    char *algorithm;
    long long int age;          /* Of the IKE SA, in seconds. */
    uint64_t bytes_in, bytes_out;
    long long int next_start;   /* When to initiate it, if it stays down. */
};

struct ike {
    struct ike_client *client;
    enum link_state link;
    long long int next_try;     /* While LINK_DOWN. */
    long long int next_sas, next_conns;
    bool looking;               /* list-sas or get-conns is under way. */

    struct shash conns;         /* "struct conn"s by name. */
    char *secret_wanted;        /* Text of the message, or NULL. */
    char *secret_loaded;
    bool secret_sent;

    char *link_error;           /* Why charon cannot be reached or used. */
    char *secret_error;         /* What is wrong with the key. */
    bool refused;               /* charon cannot protect anything. */

    /* What was derived. */
    const struct config *config;
    uint64_t seqno;
    size_t n_children;          /* Of each connection. */
};

static void ask_who(struct ike *);
static void sync_conns(struct ike *);

const char *
ike_state_name(enum ike_state state)
{
    return (state == IKE_UP ? "up"
            : state == IKE_CONNECTING ? "connecting" : "down");
}

struct ike *
ike_create(void)
{
    struct ike *ike = xzalloc(sizeof *ike);

    shash_init(&ike->conns);
    return ike;
}

static void
conn_free(struct conn *conn)
{
    json_destroy(conn->wanted);
    free(conn->loaded);
    free(conn->sent);
    free(conn->error);
    free(conn->algorithm);
    free(conn);
}

/* Texts that contain the key are wiped. */
static void
set_secret(char **text, char *value)
{
    psk_free(*text);
    *text = value;
}

static void
set_error(char **error, const char *text)
{
    free(*error);
    *error = nullable_xstrdup(text);
}

void
ike_destroy(struct ike *ike)
{
    if (ike) {
        struct shash_node *node;

        ike_client_destroy(ike->client);
        SHASH_FOR_EACH (node, &ike->conns) {
            conn_free(node->data);
        }
        shash_destroy(&ike->conns);
        set_secret(&ike->secret_wanted, NULL);
        set_secret(&ike->secret_loaded, NULL);
        free(ike->link_error);
        free(ike->secret_error);
        free(ike);
    }
}

/* What is wanted. */

static struct conn *
get_conn(struct ike *ike, const char *name)
{
    struct conn *conn = shash_find_data(&ike->conns, name);

    if (!conn) {
        conn = xzalloc(sizeof *conn);
        shash_add(&ike->conns, name, conn);
    }
    return conn;
}

static void
derive_secret(struct ike *ike, const struct model *model,
              const struct config *config)
{
    char *key, *error;

    error = psk_read(config->psk_file, &key);
    if (error) {
        if (!ike->secret_error || strcmp(ike->secret_error, error)) {
            VLOG_ERR("%s", error);
        }
        free(ike->secret_error);
        ike->secret_error = error;
        return;
    }
    set_error(&ike->secret_error, NULL);
    struct json *secret = conns_secret(model, key);
    set_secret(&ike->secret_wanted, json_to_string(secret, JSSF_SORT));
    json_destroy(secret);
    psk_free(key);
}

static void
derive(struct ike *ike, const struct model *model,
       const struct config *config, const char *self)
{
    struct shash wanted = SHASH_INITIALIZER(&wanted);
    const char *const *children = conns_children(config);
    struct shash_node *node;

    conns_derive(model, config, self, &wanted);
    SHASH_FOR_EACH (node, &ike->conns) {
        struct conn *conn = node->data;

        json_destroy(conn->wanted);
        conn->wanted = NULL;
    }
    SHASH_FOR_EACH (node, &wanted) {
        struct conn *conn = get_conn(ike, node->name);

        conn->wanted = node->data;
        node->data = NULL;
        set_error(&conn->error, NULL);
    }
    conns_destroy(&wanted);
    for (ike->n_children = 0; children[ike->n_children]; ) {
        ike->n_children++;
    }
    derive_secret(ike, model, config);
}

/* charon is gone, or was never there: nothing that it held counts any
 * more. */
static void
link_down(struct ike *ike, const char *error)
{
    struct shash_node *node;

    if (!ike->link_error || strcmp(ike->link_error, error)) {
        VLOG_WARN("%s", error);
        set_error(&ike->link_error, error);
    }
    ike->link = LINK_DOWN;
    ike->looking = false;
    ike->secret_sent = false;
    ike->next_try = time_msec() + RETRY_INTERVAL;
    set_secret(&ike->secret_loaded, NULL);
    SHASH_FOR_EACH (node, &ike->conns) {
        struct conn *conn = node->data;

        set_error(&conn->loaded, NULL);
        set_error(&conn->sent, NULL);
        conn->state = IKE_DOWN;
        conn->n_ike_sas = conn->n_child_sas = 0;
        conn->next_start = 0;
    }
}

/* Hello. */

static bool
has_plugin(const struct json *reply, const char *name)
{
    const struct json *plugins
        = reply && reply->type == JSON_OBJECT
          ? shash_find_data(json_object(reply), "plugins") : NULL;

    for (size_t i = 0; plugins && plugins->type == JSON_ARRAY
         && i < plugins->array.n; i++) {
        const struct json *plugin = plugins->array.elems[i];

        if (plugin->type == JSON_STRING
            && !strcmp(json_string(plugin), name)) {
            return true;
        }
    }
    return false;
}

/* Notes the connections of ours that charon holds, and forgets those that it
 * does not hold any more. */
static void
conns_cb(const struct json *reply, const struct json *events OVS_UNUSED,
         const char *error, void *ike_)
{
    struct ike *ike = ike_;
    const struct json *names;
    struct shash_node *node;
    struct shash held = SHASH_INITIALIZER(&held);

    ike->looking = false;
    names = reply && reply->type == JSON_OBJECT
            ? shash_find_data(json_object(reply), "conns") : NULL;
    if (error || !names || names->type != JSON_ARRAY) {
        link_down(ike, error ? error : "charon does not say what it holds");
        return;
    }
    for (size_t i = 0; i < names->array.n; i++) {
        const struct json *name = names->array.elems[i];

        if (name->type == JSON_STRING
            && !strncmp(json_string(name), CONNS_PREFIX,
                        strlen(CONNS_PREFIX))) {
            struct conn *conn = get_conn(ike, json_string(name));

            shash_add_once(&held, json_string(name), conn);
            if (!conn->loaded) {
                conn->loaded = xstrdup("");
            }
        }
    }
    SHASH_FOR_EACH (node, &ike->conns) {
        struct conn *conn = node->data;

        if (conn->loaded && !shash_find(&held, node->name)) {
            VLOG_WARN("charon has lost the connection %s; loading it again",
                      node->name);
            set_error(&conn->loaded, NULL);
        }
    }
    shash_destroy(&held);

    if (ike->link == LINK_HELLO) {
        VLOG_INFO("connected to charon");
        ike->link = LINK_READY;
        set_error(&ike->link_error, NULL);
        ike->next_sas = time_msec();
    }
    ike->next_conns = time_msec() + CONNS_INTERVAL;
}

static void
stats_cb(const struct json *reply, const struct json *events OVS_UNUSED,
         const char *error, void *ike_)
{
    struct ike *ike = ike_;

    if (error) {
        link_down(ike, error);
        return;
    }
    ike->refused = has_plugin(reply, "kernel-libipsec");
    if (ike->refused) {
        link_down(ike, "charon has loaded its plugin kernel-libipsec, which "
                  "keeps SAs out of the kernel, so nothing between nodes can "
                  "be encrypted; set charon-systemd.plugins."
                  "kernel-libipsec.load = no in strongswan.conf and restart "
                  "it");
        return;
    }
    ike_client_ask(ike->client, "get-conns", NULL, NULL, conns_cb, ike);
}

static void
ask_who(struct ike *ike)
{
    ike->link = LINK_HELLO;
    ike_client_ask(ike->client, "stats", NULL, NULL, stats_cb, ike);
}

/* Loading. */

static void
secret_cb(const struct json *reply OVS_UNUSED,
          const struct json *events OVS_UNUSED, const char *error,
          void *ike_)
{
    struct ike *ike = ike_;

    ike->secret_sent = false;
    if (error) {
        VLOG_WARN("charon refuses the key: %s", error);
        set_secret(&ike->secret_loaded, NULL);
        ike->next_sas = time_msec() + RETRY_INTERVAL;
    }
}

/* A question about one connection. */
struct conn_question {
    struct ike *ike;
    char *name;
};

static struct conn_question *
conn_question(struct ike *ike, const char *name)
{
    struct conn_question *q = xmalloc(sizeof *q);

    q->ike = ike;
    q->name = xstrdup(name);
    return q;
}

/* Returns the connection that 'q' is about, or NULL, and frees 'q'. */
static struct conn *
conn_answer(struct conn_question *q)
{
    struct conn *conn = shash_find_data(&q->ike->conns, q->name);

    free(q->name);
    free(q);
    return conn;
}

static void
load_cb(const struct json *reply OVS_UNUSED,
        const struct json *events OVS_UNUSED, const char *error, void *q_)
{
    struct conn *conn = conn_answer(q_);

    if (conn && conn->sent) {
        set_error(&conn->error, error);
        if (error) {
            VLOG_WARN("charon refuses a connection: %s", error);
            set_error(&conn->sent, NULL);
        } else {
            free(conn->loaded);
            conn->loaded = conn->sent;
            conn->sent = NULL;
            conn->next_start = time_msec() + START_GRACE;
        }
    }
}

static void
unload_cb(const struct json *reply OVS_UNUSED,
          const struct json *events OVS_UNUSED, const char *error, void *q_)
{
    struct conn *conn = conn_answer(q_);

    if (conn && !error) {
        set_error(&conn->loaded, NULL);
        set_error(&conn->sent, NULL);
    }
}

/* charon keeps SAs whose connection goes, so they are ended as well. */
static void
unload_conn(struct ike_client *client, const char *name, ike_client_cb *cb,
            void *aux)
{
    struct json *message = json_object_create();

    json_object_put_string(message, "name", name);
    ike_client_ask(client, "unload-conn", message, NULL, cb, aux);
    message = json_object_create();
    json_object_put_string(message, "ike", name);
    json_object_put_string(message, "force", "yes");
    json_object_put_string(message, "timeout", "-1");
    ike_client_ask(client, "terminate", message, NULL, NULL, NULL);
}

static void
sync_conns(struct ike *ike)
{
    struct shash_node *node;

    if (ike->secret_wanted && !ike->secret_sent
        && !nullable_string_is_equal(ike->secret_wanted,
                                     ike->secret_loaded)) {
        /* What is sent is taken for loaded, unless charon says no. */
        ike->secret_sent = true;
        set_secret(&ike->secret_loaded, xstrdup(ike->secret_wanted));
        ike_client_ask(ike->client, "load-shared",
                       json_from_string(ike->secret_wanted), NULL,
                       secret_cb, ike);
    }
    SHASH_FOR_EACH_SAFE (node, &ike->conns) {
        struct conn *conn = node->data;

        if (conn->wanted) {
            char *text = json_to_string(conn->wanted, JSSF_SORT);

            if (conn->sent || conn->error
                || nullable_string_is_equal(text, conn->loaded)) {
                free(text);
                continue;
            }
            struct json *message = json_object_create();
            json_object_put(message, node->name, json_clone(conn->wanted));
            conn->sent = text;
            ike_client_ask(ike->client, "load-conn", message, NULL, load_cb,
                           conn_question(ike, node->name));
        } else if (conn->loaded && !conn->sent) {
            VLOG_INFO("unloading the connection %s", node->name);
            conn->sent = xstrdup("");
            unload_conn(ike->client, node->name, unload_cb,
                        conn_question(ike, node->name));
        } else if (!conn->loaded && !conn->sent) {
            conn_free(conn);
            shash_delete(&ike->conns, node);
        }
    }
}

/* SAs. */

static const char *
get(const struct json *object, const char *name)
{
    const struct json *value = shash_find_data(json_object(object), name);

    return value && value->type == JSON_STRING ? json_string(value) : "";
}

static void
take_child(struct conn *conn, const struct json *child)
{
    if (strcmp(get(child, "state"), "INSTALLED")) {
        return;
    }
    conn->n_child_sas++;
    conn->bytes_in += strtoull(get(child, "bytes-in"), NULL, 10);
    conn->bytes_out += strtoull(get(child, "bytes-out"), NULL, 10);
    free(conn->algorithm);
    conn->algorithm = xasprintf("%s-%s", get(child, "encr-alg"),
                                get(child, "encr-keysize"));
}

static void
take_sa(struct ike *ike, const char *name, const struct json *sa)
{
    struct conn *conn = shash_find_data(&ike->conns, name);
    const struct json *children
        = shash_find_data(json_object(sa), "child-sas");

    if (!conn) {
        return;
    }
    if (!strcmp(get(sa, "state"), "ESTABLISHED")) {
        conn->n_ike_sas++;
        conn->age = atoll(get(sa, "established"));
        if (conn->state == IKE_DOWN) {
            conn->state = IKE_CONNECTING;
        }
    } else if (!strcmp(get(sa, "state"), "CONNECTING")) {
        conn->state = IKE_CONNECTING;
    }
    if (children && children->type == JSON_OBJECT) {
        struct shash_node *node;

        SHASH_FOR_EACH (node, json_object(children)) {
            const struct json *child = node->data;

            if (child->type == JSON_OBJECT) {
                take_child(conn, child);
            }
        }
    }
}

static void
sas_cb(const struct json *reply OVS_UNUSED, const struct json *events,
       const char *error, void *ike_)
{
    struct ike *ike = ike_;
    struct shash_node *node;

    ike->looking = false;
    if (error) {
        link_down(ike, error);
        return;
    }
    SHASH_FOR_EACH (node, &ike->conns) {
        struct conn *conn = node->data;

        conn->state = IKE_DOWN;
        conn->n_ike_sas = conn->n_child_sas = 0;
        conn->bytes_in = conn->bytes_out = 0;
    }
    for (size_t i = 0; events && events->type == JSON_ARRAY
         && i < events->array.n; i++) {
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
    SHASH_FOR_EACH (node, &ike->conns) {
        struct conn *conn = node->data;

        if (conn->n_ike_sas && conn->n_child_sas >= ike->n_children) {
            conn->state = IKE_UP;
        }
    }
    ike->next_sas = time_msec() + SA_INTERVAL;
}

/* Starts the SAs that should be there by now.  Traffic would do that too, but
 * only from this side: what the peer sends into SAs that this node has lost
 * arrives nowhere. */
static void
start_sas(struct ike *ike)
{
    struct shash_node *node;

    SHASH_FOR_EACH (node, &ike->conns) {
        struct conn *conn = node->data;
        struct shash_node *child;

        if (!conn->wanted || !conn->loaded || conn->state != IKE_DOWN
            || !conn->next_start || time_msec() < conn->next_start) {
            if (conn->state != IKE_DOWN) {
                conn->next_start = time_msec() + START_GRACE;
            }
            continue;
        }
        conn->next_start = time_msec() + START_INTERVAL;
        SHASH_FOR_EACH (child, json_object(shash_find_data(
                                   json_object(conn->wanted), "children"))) {
            struct json *message = json_object_create();

            json_object_put_string(message, "ike", node->name);
            json_object_put_string(message, "child", child->name);
            json_object_put_string(message, "timeout", "-1");
            ike_client_ask(ike->client, "initiate", message, NULL, NULL,
                           NULL);
        }
    }
}

void
ike_run(struct ike *ike, const struct model *model,
        const struct config *config, const char *self)
{
    if (config->ipsec_mode != IPSEC_REQUIRED) {
        return;
    }
    if (!ike->client) {
        ike->client = ike_client_create(config->vici_socket, NULL, ike);
    }
    if (ike->config != config || ike->seqno != model->seqno) {
        derive(ike, model, config, self);
        ike->config = config;
        ike->seqno = model->seqno;
    }
    ike_client_run(ike->client);

    if (ike->link == LINK_DOWN) {
        if (time_msec() >= ike->next_try) {
            ask_who(ike);
        }
    } else if (ike->link == LINK_READY) {
        sync_conns(ike);
        start_sas(ike);
        if (!ike->looking && time_msec() >= ike->next_conns) {
            ike->looking = true;
            ike_client_ask(ike->client, "get-conns", NULL, NULL, conns_cb,
                           ike);
        } else if (!ike->looking && time_msec() >= ike->next_sas) {
            ike->looking = true;
            ike_client_ask(ike->client, "list-sas", json_object_create(),
                           "list-sa", sas_cb, ike);
        }
    }
}

void
ike_wait(struct ike *ike)
{
    if (!ike->client) {
        return;
    }
    ike_client_wait(ike->client);
    if (ike->link == LINK_DOWN) {
        poll_timer_wait_until(ike->next_try);
    } else if (ike->link == LINK_READY && !ike->looking) {
        poll_timer_wait_until(MIN(ike->next_sas, ike->next_conns));
    }
}

bool
ike_permits_tunnel(const struct ike *ike)
{
    return !ike->refused;
}

bool
ike_realized(const struct ike *ike)
{
    const struct shash_node *node;

    if (ike->link != LINK_READY || ike->secret_error || ike->secret_sent
        || !nullable_string_is_equal(ike->secret_wanted,
                                     ike->secret_loaded)) {
        return false;
    }
    SHASH_FOR_EACH (node, &ike->conns) {
        const struct conn *conn = node->data;

        if (!conn->wanted || conn->sent || conn->error || !conn->loaded
            || !*conn->loaded) {
            return false;
        }
    }
    return true;
}

const char *
ike_last_error(const struct ike *ike)
{
    return ike->secret_error ? ike->secret_error : ike->link_error;
}

enum ike_state
ike_peer_state(const struct ike *ike, const char *peer)
{
    char *name = xasprintf(CONNS_PREFIX"%s", peer);
    const struct conn *conn = shash_find_data(&ike->conns, name);

    free(name);
    return conn ? conn->state : IKE_DOWN;
}

struct json *
ike_status_to_json(const struct ike *ike)
{
    const struct shash_node **nodes = shash_sort(&ike->conns);
    struct json *rows = json_array_create_empty();

    for (size_t i = 0; i < shash_count(&ike->conns); i++) {
        const struct conn *conn = nodes[i]->data;
        const char *error = conn->error ? conn->error : ike_last_error(ike);
        struct json *row = json_object_create();

        if (conn->wanted) {
            const struct json *address
                = shash_find_data(json_object(conn->wanted), "remote_addrs");

            json_object_put(row, "address",
                            json_clone(address->array.elems[0]));
        }
        json_object_put_string(row, "peer",
                               nodes[i]->name + strlen(CONNS_PREFIX));
        json_object_put_string(row, "state", ike_state_name(conn->state));
        if (conn->n_child_sas) {
            json_object_put_string(row, "algorithm", conn->algorithm);
        }
        json_object_put(row, "age", json_integer_create(
                            conn->n_ike_sas ? conn->age : 0));
        json_object_put(row, "ikeSAs", json_integer_create(conn->n_ike_sas));
        json_object_put(row, "childSAs",
                        json_integer_create(conn->n_child_sas));
        json_object_put(row, "bytesIn", json_integer_create(conn->bytes_in));
        json_object_put(row, "bytesOut",
                        json_integer_create(conn->bytes_out));
        json_object_put(row, "error", (error ? json_string_create(error)
                                       : json_null_create()));
        json_array_add(rows, row);
    }
    free(nodes);
    return rows;
}

/* Cleaning up. */

struct cleanup {
    struct ike_client *client;
    bool reached;
};

static void
cleanup_cb(const struct json *reply, const struct json *events OVS_UNUSED,
           const char *error, void *cleanup_)
{
    struct cleanup *cleanup = cleanup_;
    const struct json *names
        = reply && reply->type == JSON_OBJECT
          ? shash_find_data(json_object(reply), "conns") : NULL;
    struct json *message;

    cleanup->reached = !error;
    if (error) {
        return;
    }
    for (size_t i = 0; names && names->type == JSON_ARRAY
         && i < names->array.n; i++) {
        const struct json *name = names->array.elems[i];

        if (name->type == JSON_STRING
            && !strncmp(json_string(name), CONNS_PREFIX,
                        strlen(CONNS_PREFIX))) {
            unload_conn(cleanup->client, json_string(name), NULL, NULL);
        }
    }
    message = json_object_create();
    json_object_put_string(message, "id", CONNS_SECRET);
    ike_client_ask(cleanup->client, "unload-shared", message, NULL, NULL,
                   NULL);
}

char *
ike_cleanup(const struct config *config, int timeout)
{
    long long int deadline = time_msec() + timeout;
    struct cleanup cleanup = { .reached = false };
    char *error = NULL;

    if (config->ipsec_mode != IPSEC_REQUIRED) {
        return NULL;
    }
    cleanup.client = ike_client_create(config->vici_socket, NULL, NULL);
    ike_client_ask(cleanup.client, "get-conns", NULL, NULL, cleanup_cb,
                   &cleanup);
    for (;;) {
        ike_client_run(cleanup.client);
        if (!ike_client_is_busy(cleanup.client)) {
            break;
        }
        if (time_msec() >= deadline) {
            error = xstrdup("charon did not answer in time; it may hold "
                            "connections of Lateen's still");
            break;
        }
        ike_client_wait(cleanup.client);
        poll_timer_wait_until(deadline);
        poll_block();
    }
    ike_client_destroy(cleanup.client);
    return error;
}
