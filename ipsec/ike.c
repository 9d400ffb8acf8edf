/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The IKE edge: see ike.h. */

#include <config.h>
#include "ike.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/config.h"
#include "agent/model.h"
#include "conns.h"
#include "ike-client.h"
#include "ike-sas.h"
#include "openvswitch/json.h"
#include "openvswitch/poll-loop.h"
#include "openvswitch/shash.h"
#include "openvswitch/vlog.h"
#include "psk.h"
#include "socket-util.h"
#include "sset.h"
#include "timeval.h"
#include "util.h"

VLOG_DEFINE_THIS_MODULE(ike);

/* Times, in ms. */
#define CONNECT_INTERVAL 250    /* Between looks for charon's socket. */
#define RETRY_INTERVAL 1000     /* After a charon that could not be used. */
#define ROUND_INTERVAL 3000     /* Between looks at what charon holds. */
#define EVENT_DELAY 50          /* From an event to a look. */
#define KEY_INTERVAL 3000       /* Between looks at the key's file. */
#define REFUSAL_INTERVAL 30000  /* Before a refused connection's next try. */
#define START_GRACE 4000        /* How long SAs may be missing before this
                                 * node starts them, whosever turn it is. */
#define START_INTERVAL 10000    /* Between such attempts. */
#define TROUBLE_TIME 15000      /* How long trouble is worth telling. */

enum link_state {
    LINK_DOWN,                  /* charon cannot be reached. */
    LINK_HELLO,                 /* It has been asked what it is and holds. */
    LINK_READY,
    LINK_REFUSED,               /* It cannot protect anything. */
};

/* A connection, wanted or held by charon. */
struct conn {
    struct ike *ike;
    char *name;
    struct json *wanted;        /* Body; NULL if it is to go. */
    char *text;                 /* Its text, or NULL. */
    char *loaded;               /* Text of the body that charon holds, "" if
                                 * it holds some other; NULL for none. */
    char *sent;                 /* Text of the body that is under way, "" for
                                 * its end. */
    unsigned int n_questions;   /* Under way, with this as 'aux'. */
    bool untrapped;             /* A trap policy is missing. */
    char *error;                /* Why charon refuses it, or NULL. */
    long long int retry;        /* When to try that again. */

    struct ike_sas sas;
    bool up;                    /* All were there. */
    long long int next_start;   /* When to start what is missing of them. */
    char *trouble;              /* What charon said last about the peer. */
    long long int trouble_time;
};

/* What of the configuration matters here. */
struct settings {
    enum ipsec_mode mode;
    enum tunnel_type tunnel_type;
    uint16_t tunnel_port;
    int tunnel_family;
    char *psk_file;
    char *vici_socket;
};

struct ike {
    struct settings settings;
    bool derived;
    uint64_t seqno;             /* Of the model. */

    struct ike_client *client;
    enum link_state link;
    int watch;                  /* A connection to charon that only serves to
                                 * see its end, or -1. */
    bool idle;                  /* IPsec is off, and charon has nothing of
                                 * ours. */
    long long int next_try;     /* While LINK_DOWN. */
    long long int next_round;
    bool looking;               /* A round is under way. */
    bool look_again;            /* An event came meanwhile. */

    struct shash conns;         /* "struct conn"s by name. */

    struct psk *psk;            /* NULL if there is none. */
    long long int next_key;
    char *key_error;            /* What is wrong with its file, or with it. */
    struct json *secret;        /* The message that goes with it. */
    unsigned int secret_wanted; /* Numbers of the secrets that are wanted, */
    unsigned int secret_sent;   /* under way (0 for none), */
    unsigned int secret_loaded; /* and that charon holds (0 for none). */
    bool secret_held;           /* charon holds one, perhaps an old one. */

    char *link_error;           /* Why charon cannot be reached or used. */
    bool refused;               /* charon cannot protect anything. */
};

static void start_round(struct ike *);
static void event_cb(const char *name, const struct json *message,
                     const char *error, void *ike_);

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
    ike->watch = -1;
    return ike;
}

static void
set_string(char **s, const char *value)
{
    char *copy = nullable_xstrdup(value);

    free(*s);
    *s = copy;
}

static void
conn_free(struct conn *conn)
{
    free(conn->name);
    json_destroy(conn->wanted);
    free(conn->text);
    free(conn->loaded);
    free(conn->sent);
    free(conn->error);
    free(conn->trouble);
    ike_sas_clear(&conn->sas);
    free(conn);
}

static void
close_watch(struct ike *ike)
{
    if (ike->watch >= 0) {
        close(ike->watch);
        ike->watch = -1;
    }
}

void
ike_destroy(struct ike *ike)
{
    if (ike) {
        struct shash_node *node;

        ike_client_destroy(ike->client);
        close_watch(ike);
        SHASH_FOR_EACH (node, &ike->conns) {
            conn_free(node->data);
        }
        shash_destroy(&ike->conns);
        psk_free(ike->psk);
        json_destroy(ike->secret);
        free(ike->key_error);
        free(ike->link_error);
        free(ike->settings.psk_file);
        free(ike->settings.vici_socket);
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
        conn->ike = ike;
        conn->name = xstrdup(name);
        shash_add(&ike->conns, name, conn);
    }
    return conn;
}

/* Notes what matters of 'config'.  Returns whether it has changed. */
static bool
take_settings(struct ike *ike, const struct config *config)
{
    struct settings *s = &ike->settings;

    if (ike->client
        && s->mode == config->ipsec_mode
        && s->tunnel_type == config->tunnel_type
        && s->tunnel_port == config->tunnel_port
        && s->tunnel_family == config->tunnel_family
        && nullable_string_is_equal(s->psk_file, config->psk_file)
        && !strcmp(s->vici_socket, config->vici_socket)) {
        return false;
    }
    if (!ike->client || strcmp(s->vici_socket, config->vici_socket)) {
        if (ike->client) {
            ike_client_reset(ike->client, "charon's socket is another one");
            ike_client_destroy(ike->client);
        }
        ike->client = ike_client_create(config->vici_socket, event_cb, ike);
        set_string(&s->vici_socket, config->vici_socket);
    }
    s->mode = config->ipsec_mode;
    s->tunnel_type = config->tunnel_type;
    s->tunnel_port = config->tunnel_port;
    s->tunnel_family = config->tunnel_family;
    set_string(&s->psk_file, config->psk_file);
    ike->idle = false;
    ike->next_try = ike->next_key = time_msec();
    return true;
}

static bool
nodes_have_changed(const struct model *model, uint64_t since)
{
    const struct model_object *obj;

    MODEL_FOR_EACH_CHANGED (obj, model, since) {
        if (obj->kind == MODEL_NODE) {
            return true;
        }
    }
    return false;
}

static void
derive(struct ike *ike, const struct model *model,
       const struct config *config, const char *self)
{
    struct shash wanted = SHASH_INITIALIZER(&wanted);
    struct json *secret = conns_secret(model);
    struct shash_node *node;

    conns_derive(model, config, self, &wanted);
    SHASH_FOR_EACH (node, &ike->conns) {
        struct conn *conn = node->data;

        json_destroy(conn->wanted);
        conn->wanted = NULL;
        set_string(&conn->text, NULL);
    }
    SHASH_FOR_EACH (node, &wanted) {
        struct conn *conn = get_conn(ike, node->name);

        conn->wanted = node->data;
        conn->text = json_to_string(conn->wanted, JSSF_SORT);
        conn->retry = 0;
        node->data = NULL;
    }
    conns_destroy(&wanted);

    if (!ike->secret || !json_equal(secret, ike->secret)) {
        json_destroy(ike->secret);
        ike->secret = secret;
        ike->secret_wanted++;
    } else {
        json_destroy(secret);
    }
}

/* Reads the key.  A key that has become bad stays in force until there is a
 * better one. */
static void
look_at_key(struct ike *ike)
{
    struct psk *psk = NULL;
    char *error = NULL;

    if (ike->settings.mode == IPSEC_REQUIRED) {
        error = psk_read(ike->settings.psk_file, &psk);
    }
    if (error && !nullable_string_is_equal(error, ike->key_error)) {
        VLOG_ERR("%s", error);
    }
    if (!error && !psk_equals(psk, ike->psk)) {
        psk_free(ike->psk);
        ike->psk = psk;
        ike->secret_wanted++;
    } else {
        psk_free(psk);
    }
    free(ike->key_error);
    ike->key_error = error;
    ike->next_key = time_msec() + KEY_INTERVAL;
}

/* The connection to charon. */

static void
set_link_error(struct ike *ike, const char *error)
{
    if (error && ike->settings.mode == IPSEC_REQUIRED
        && !nullable_string_is_equal(error, ike->link_error)) {
        VLOG_WARN("%s", error);
    }
    set_string(&ike->link_error,
               ike->settings.mode == IPSEC_REQUIRED ? error : NULL);
}

/* charon is gone: nothing that it held counts any more. */
static void
link_down(struct ike *ike, const char *error)
{
    struct shash_node *node;

    set_link_error(ike, error);
    close_watch(ike);
    ike->link = LINK_DOWN;
    ike->looking = ike->look_again = false;
    ike->idle = ike->settings.mode == IPSEC_OFF;
    ike->next_try = time_msec() + RETRY_INTERVAL;
    ike->secret_sent = ike->secret_loaded = 0;
    ike->secret_held = false;
    SHASH_FOR_EACH (node, &ike->conns) {
        struct conn *conn = node->data;

        set_string(&conn->loaded, NULL);
        set_string(&conn->sent, NULL);
        set_string(&conn->error, NULL);
        set_string(&conn->trouble, NULL);
        conn->retry = 0;
        conn->untrapped = conn->up = false;
        ike_sas_clear(&conn->sas);
    }
}

static bool
has_plugin(const struct json *reply, const char *name)
{
    const struct json *plugins
        = shash_find_data(json_object(reply), "plugins");

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

static void
stats_cb(const struct json *reply, const struct json *events OVS_UNUSED,
         const char *error, void *ike_)
{
    struct ike *ike = ike_;

    if (ike->link != LINK_HELLO) {
        return;
    } else if (error || !reply || reply->type != JSON_OBJECT) {
        ike_client_reset(ike->client, (error ? error
                                       : "charon does not say what it is"));
        return;
    }
    ike->refused = has_plugin(reply, "kernel-libipsec");
    if (ike->refused && ike->settings.mode == IPSEC_REQUIRED) {
        set_link_error(
            ike, "charon has loaded its plugin kernel-libipsec, which keeps "
            "SAs out of the kernel, so nothing between nodes can be "
            "encrypted; set charon-systemd.plugins.kernel-libipsec.load = no "
            "(or charon.plugins...) in strongswan.conf and restart it");
        ike->link = LINK_REFUSED;
        return;
    }
    start_round(ike);
}

static void
connect_to_charon(struct ike *ike)
{
    static const char *const names[] = {
        "ike-updown", "child-updown", "ike-rekey", "child-rekey", "log",
    };
    struct json *events = json_array_create_empty();
    int fd = make_unix_socket(SOCK_STREAM, true, NULL,
                              ike->settings.vici_socket);

    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        json_array_add(events, json_string_create(names[i]));
    }
    if (fd < 0) {
        char *error = xasprintf("cannot reach charon at %s: %s; is strongSwan "
                                "running?", ike->settings.vici_socket,
                                ovs_strerror(-fd));

        set_link_error(ike, error);
        free(error);
        json_destroy(events);
        ike->next_try = time_msec() + CONNECT_INTERVAL;
        ike->idle = ike->settings.mode == IPSEC_OFF;
        return;
    }
    ike->watch = fd;
    ike->link = LINK_HELLO;
    ike_client_register(ike->client, events, NULL, NULL);
    ike_client_ask(ike->client, "stats", NULL, NULL, stats_cb, ike);
}

/* Looks whether charon is still there. */
static void
look_at_watch(struct ike *ike)
{
    char buf[64];
    ssize_t n = recv(ike->watch, buf, sizeof buf, MSG_DONTWAIT);

    if (!n || (n < 0 && errno != EAGAIN && errno != EINTR)) {
        ike_client_reset(ike->client, "charon has ended");
        ike->next_try = time_msec();
    }
}

/* A round: what does charon hold? */

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
            struct conn *conn = get_conn(ike, json_string(name));

            sset_add(&held, conn->name);
            if (!conn->loaded) {
                conn->loaded = xstrdup("");
            }
        }
    }
    SHASH_FOR_EACH (node, &ike->conns) {
        struct conn *conn = node->data;

        if (conn->loaded && !sset_contains(&held, conn->name)) {
            VLOG_WARN("charon has lost the connection %s; loading it again",
                      conn->name);
            set_string(&conn->loaded, NULL);
        }
    }
    sset_destroy(&held);

    if (ike->link == LINK_HELLO) {
        VLOG_INFO("connected to charon");
        ike->link = LINK_READY;
        set_link_error(ike, NULL);
    }
}

static void
shared_cb(const struct json *reply, const struct json *events OVS_UNUSED,
          const char *error OVS_UNUSED, void *ike_)
{
    struct ike *ike = ike_;
    const struct json *keys
        = reply && reply->type == JSON_OBJECT
          ? shash_find_data(json_object(reply), "keys") : NULL;

    if (ike->link == LINK_DOWN || !keys || keys->type != JSON_ARRAY) {
        return;
    }
    ike->secret_held = false;
    for (size_t i = 0; i < keys->array.n; i++) {
        const struct json *key = keys->array.elems[i];

        if (key->type == JSON_STRING
            && !strcmp(json_string(key), CONNS_SECRET)) {
            ike->secret_held = true;
        }
    }
    if (!ike->secret_held && ike->secret_loaded) {
        VLOG_WARN("charon has lost the key; loading it again");
        ike->secret_loaded = 0;
    }
}

static void
install_cb(const struct json *reply OVS_UNUSED,
           const struct json *events OVS_UNUSED, const char *error,
           void *conn_)
{
    struct conn *conn = conn_;

    conn->n_questions--;
    if (error && conn->ike->link == LINK_READY) {
        free(conn->error);
        conn->error = xasprintf("charon cannot install a trap policy: %s",
                                error);
    }
}

/* Installs the trap policies of 'conn' that are not in 'traps'. */
static void
install_traps(struct ike *ike, struct conn *conn, const struct sset *traps)
{
    static struct vlog_rate_limit rl = VLOG_RATE_LIMIT_INIT(1, 5);
    struct shash_node *node;
    bool was_untrapped = conn->untrapped;

    conn->untrapped = false;
    SHASH_FOR_EACH (node, json_object(shash_find_data(
                              json_object(conn->wanted), "children"))) {
        char *trap = xasprintf("%s/%s", conn->name, node->name);

        if (!sset_contains(traps, trap)) {
            struct json *message = json_object_create();

            VLOG_WARN_RL(&rl, "charon has lost the trap policy %s; "
                         "installing it again", trap);
            conn->untrapped = true;
            conn->n_questions++;
            json_object_put_string(message, "ike", conn->name);
            json_object_put_string(message, "child", node->name);
            ike_client_ask(ike->client, "install", message, NULL, install_cb,
                           conn);
        }
        free(trap);
    }
    if (was_untrapped && !conn->untrapped) {
        set_string(&conn->error, NULL);
    }
}

/* Whether charon holds 'conn' as it is wanted. */
static bool
conn_is_loaded(const struct conn *conn)
{
    return (conn->text && !conn->sent
            && nullable_string_is_equal(conn->text, conn->loaded));
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
        struct conn *conn = node->data;

        if (conn_is_loaded(conn)) {
            install_traps(ike, conn, &traps);
        }
    }
    sset_destroy(&traps);
}

static enum ike_state
conn_state(const struct conn *conn)
{
    const struct shash_node *node;

    if (conn->wanted && conn->sas.n_established) {
        SHASH_FOR_EACH (node, json_object(shash_find_data(
                                  json_object(conn->wanted), "children"))) {
            if (!ike_sas_has_child(&conn->sas, node->name)) {
                return IKE_CONNECTING;
            }
        }
        return IKE_UP;
    }
    return (conn->sas.n_established || conn->sas.n_connecting
            ? IKE_CONNECTING : IKE_DOWN);
}

/* Asks for the end of the IKE SAs that 'key' of value 'which' tells.  charon
 * does not wait for the peer. */
static void
terminate(struct ike_client *client, const char *key, const char *which)
{
    struct json *message = json_object_create();

    json_object_put_string(message, key, which);
    json_object_put_string(message, "force", "yes");
    json_object_put_string(message, "timeout", "-1");
    ike_client_ask(client, "terminate", message, NULL, NULL, NULL);
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
    ike->next_round = now + (ike->look_again ? EVENT_DELAY : ROUND_INTERVAL);
    ike->look_again = false;
    if (error || !events || events->type != JSON_ARRAY) {
        return;
    }

    SHASH_FOR_EACH (node, &ike->conns) {
        ike_sas_clear(&((struct conn *) node->data)->sas);
    }
    for (size_t i = 0; i < events->array.n; i++) {
        const struct json *event = events->array.elems[i];

        if (event->type == JSON_OBJECT) {
            SHASH_FOR_EACH (node, json_object(event)) {
                struct conn *conn = shash_find_data(&ike->conns, node->name);
                const struct json *sa = node->data;

                if (conn && sa->type == JSON_OBJECT) {
                    ike_sas_add(&conn->sas, sa);
                }
            }
        }
    }
    SHASH_FOR_EACH (node, &ike->conns) {
        struct conn *conn = node->data;

        bool was_up = conn->up;

        conn->up = conn_state(conn) == IKE_UP;
        if (conn->up || conn->sas.n_connecting) {
            conn->next_start = now + START_GRACE;
        }
        if (conn->up) {
            if (!was_up || now >= conn->trouble_time + TROUBLE_TIME) {
                set_string(&conn->trouble, NULL);
            }
            /* The peer has been quicker.  This one would only double it. */
            if (conn->sas.connecting) {
                terminate(ike->client, "ike-id", conn->sas.connecting);
            }
        }
    }
}

static void
start_round(struct ike *ike)
{
    struct json *message = json_object_create();

    ike->looking = true;
    ike_client_ask(ike->client, "get-conns", NULL, NULL, conns_cb, ike);
    ike_client_ask(ike->client, "get-shared", NULL, NULL, shared_cb, ike);
    json_object_put_string(message, "trap", "yes");
    ike_client_ask(ike->client, "list-policies", message, "list-policy",
                   policies_cb, ike);
    ike_client_ask(ike->client, "list-sas", NULL, "list-sa", sas_cb, ike);
}

/* Events. */

/* Notes 'message', of charon's log, if it is about trouble with a peer. */
static void
take_log(struct ike *ike, const struct json *message)
{
    static const char *const signs[] = {
        "notify error", "failed", "mismatch", "no shared key", "no acceptable",
        "unable to", "no matching", "no IKE config",
    };
    const struct shash *members = json_object(message);
    const struct json *name = shash_find_data(members, "ikesa-name");
    const struct json *msg = shash_find_data(members, "msg");
    struct conn *conn = (name && name->type == JSON_STRING
                         ? shash_find_data(&ike->conns, json_string(name))
                         : NULL);
    const char *trouble = NULL;

    if (!conn || !msg || msg->type != JSON_STRING) {
        return;
    }
    if (!strncmp(json_string(msg), "retransmit ", 11)
        || !strncmp(json_string(msg), "giving up after ", 16)) {
        trouble = "the peer does not answer";
    }
    for (size_t i = 0; i < ARRAY_SIZE(signs) && !trouble; i++) {
        if (strstr(json_string(msg), signs[i])) {
            trouble = json_string(msg);
        }
    }
    if (trouble) {
        if (!nullable_string_is_equal(trouble, conn->trouble)) {
            VLOG_INFO("%s: %s", conn->name, trouble);
            set_string(&conn->trouble, trouble);
        }
        conn->trouble_time = time_msec();
    }
}

static void
event_cb(const char *name, const struct json *message, const char *error,
         void *ike_)
{
    struct ike *ike = ike_;

    if (!name) {
        link_down(ike, error);
    } else if (!strcmp(name, "log")) {
        take_log(ike, message);
    } else {
        ike->look_again = ike->looking;
        ike->next_round = MIN(ike->next_round, time_msec() + EVENT_DELAY);
    }
}

/* Loading. */

static void
secret_cb(const struct json *reply OVS_UNUSED,
          const struct json *events OVS_UNUSED, const char *error,
          void *ike_)
{
    struct ike *ike = ike_;
    struct shash_node *node;

    if (ike->link != LINK_READY) {
        return;
    }
    if (error) {
        char *text = xasprintf("charon refuses the key: %s", error);

        ike_client_reset(ike->client, text);
        free(text);
        return;
    }
    ike->secret_loaded = ike->secret_sent;
    ike->secret_sent = 0;
    ike->secret_held = ike->psk != NULL;
    /* What could not begin without it can now. */
    SHASH_FOR_EACH (node, &ike->conns) {
        ((struct conn *) node->data)->next_start = time_msec();
    }
}

static void
sync_secret(struct ike *ike)
{
    if (ike->secret_sent || ike->secret_wanted == ike->secret_loaded
        || (!ike->psk && !ike->secret_held)) {
        return;
    }
    ike->secret_sent = ike->secret_wanted;
    if (ike->psk) {
        ike_client_ask_secret(ike->client, "load-shared",
                              json_clone(ike->secret), ike->psk, secret_cb,
                              ike);
    } else {
        struct json *message = json_object_create();

        json_object_put_string(message, "id", CONNS_SECRET);
        ike_client_ask(ike->client, "unload-shared", message, NULL, secret_cb,
                       ike);
    }
}

static void
load_cb(const struct json *reply OVS_UNUSED,
        const struct json *events OVS_UNUSED, const char *error, void *conn_)
{
    struct conn *conn = conn_;

    conn->n_questions--;
    if (conn->ike->link != LINK_READY) {
        return;
    }
    if (!nullable_string_is_equal(error, conn->error)) {
        if (error) {
            VLOG_WARN("charon refuses the connection %s: %s", conn->name,
                      error);
        }
        set_string(&conn->error, error);
    }
    if (error) {
        conn->retry = time_msec() + REFUSAL_INTERVAL;
        set_string(&conn->sent, NULL);
    } else {
        free(conn->loaded);
        conn->loaded = conn->sent;
        conn->sent = NULL;
        conn->next_start = time_msec() + START_GRACE;
    }
}

static void
unload_cb(const struct json *reply OVS_UNUSED,
          const struct json *events OVS_UNUSED,
          const char *error OVS_UNUSED, void *conn_)
{
    struct conn *conn = conn_;

    /* If charon has refused, it had no such connection, or the next round
     * finds it again. */
    conn->n_questions--;
    set_string(&conn->loaded, NULL);
    set_string(&conn->sent, NULL);
}

/* charon keeps SAs whose connection goes, so they are ended as well. */
static void
unload_conn(struct ike_client *client, const char *name, ike_client_cb *cb,
            void *aux)
{
    struct json *message = json_object_create();

    json_object_put_string(message, "name", name);
    ike_client_ask(client, "unload-conn", message, NULL, cb, aux);
    terminate(client, "ike", name);
}

static void
sync_conns(struct ike *ike)
{
    struct shash_node *node;

    SHASH_FOR_EACH_SAFE (node, &ike->conns) {
        struct conn *conn = node->data;

        if (conn->sent || conn_is_loaded(conn)) {
            continue;
        } else if (conn->wanted) {
            if (time_msec() >= conn->retry) {
                struct json *message = json_object_create();

                json_object_put(message, conn->name,
                                json_clone(conn->wanted));
                conn->sent = xstrdup(conn->text);
                conn->n_questions++;
                ike_client_ask(ike->client, "load-conn", message, NULL,
                               load_cb, conn);
            }
        } else if (conn->loaded) {
            VLOG_INFO("unloading the connection %s", conn->name);
            conn->sent = xstrdup("");
            conn->n_questions++;
            unload_conn(ike->client, conn->name, unload_cb, conn);
        } else if (!conn->n_questions) {
            conn_free(conn);
            shash_delete(&ike->conns, node);
        }
    }
}

/* Starts SAs that should be there by now.  The traps would do that too, but
 * only for traffic from this side: what the peer sends into SAs that this node
 * has lost arrives nowhere. */
static void
start_sas(struct ike *ike)
{
    struct shash_node *node, *child;

    SHASH_FOR_EACH (node, &ike->conns) {
        struct conn *conn = node->data;

        if (!conn_is_loaded(conn) || conn->up || conn->sas.n_connecting
            || time_msec() < conn->next_start) {
            continue;
        }
        conn->next_start = time_msec() + START_INTERVAL;
        SHASH_FOR_EACH (child, json_object(shash_find_data(
                                   json_object(conn->wanted), "children"))) {
            struct json *message;

            if (ike_sas_has_child(&conn->sas, child->name)) {
                continue;
            }
            message = json_object_create();
            json_object_put_string(message, "ike", conn->name);
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
    if (!model) {
        return;
    }
    if (take_settings(ike, config) || !ike->derived
        || nodes_have_changed(model, ike->seqno)) {
        derive(ike, model, config, self);
        ike->derived = true;
    }
    ike->seqno = model->seqno;
    if (ike->idle) {
        return;
    }
    if (time_msec() >= ike->next_key) {
        look_at_key(ike);
    }

    if (ike->watch >= 0) {
        look_at_watch(ike);
    }
    if (ike->link == LINK_DOWN && !ike->idle
        && time_msec() >= ike->next_try) {
        connect_to_charon(ike);
    }
    ike_client_run(ike->client);
    if (ike->link == LINK_READY) {
        sync_secret(ike);
        sync_conns(ike);
        start_sas(ike);
        if (!ike->looking && time_msec() >= ike->next_round) {
            start_round(ike);
        }
        if (ike->settings.mode == IPSEC_OFF && !ike->looking
            && shash_is_empty(&ike->conns) && !ike->secret_held
            && !ike_client_is_busy(ike->client)) {
            ike_client_reset(ike->client, "IPsec is off");
        }
    }
}

void
ike_wait(struct ike *ike)
{
    if (!ike->client || ike->idle) {
        return;
    }
    ike_client_wait(ike->client);
    if (ike->watch >= 0) {
        poll_fd_wait(ike->watch, POLLIN);
    }
    poll_timer_wait_until(ike->next_key);
    if (ike->link == LINK_DOWN) {
        poll_timer_wait_until(ike->next_try);
    } else if (ike->link == LINK_READY && !ike->looking) {
        poll_timer_wait_until(ike->next_round);
    }
}

/* What others want to know. */

bool
ike_permits_tunnel(const struct ike *ike)
{
    return !ike->refused;
}

bool
ike_realized(const struct ike *ike)
{
    const struct shash_node *node;

    if (ike->link != LINK_READY || ike->key_error
        || ike->secret_wanted != ike->secret_loaded) {
        return false;
    }
    SHASH_FOR_EACH (node, &ike->conns) {
        const struct conn *conn = node->data;

        if (!conn_is_loaded(conn) || conn->untrapped) {
            return false;
        }
    }
    return true;
}

const char *
ike_last_error(const struct ike *ike)
{
    return ike->key_error ? ike->key_error : ike->link_error;
}

enum ike_state
ike_peer_state(const struct ike *ike, const char *peer)
{
    char *name = xasprintf(CONNS_PREFIX"%s", peer);
    const struct conn *conn = shash_find_data(&ike->conns, name);

    free(name);
    return conn ? conn_state(conn) : IKE_DOWN;
}

struct json *
ike_status_to_json(const struct ike *ike)
{
    const struct shash_node **nodes = shash_sort(&ike->conns);
    struct json *rows = json_array_create_empty();

    for (size_t i = 0; i < shash_count(&ike->conns); i++) {
        const struct conn *conn = nodes[i]->data;
        const char *error = (conn->error ? conn->error
                             : ike_last_error(ike) ? ike_last_error(ike)
                             : conn->trouble);
        struct json *row = json_object_create();

        if (conn->wanted) {
            const struct json *address
                = shash_find_data(json_object(conn->wanted), "remote_addrs");

            json_object_put(row, "address",
                            json_clone(address->array.elems[0]));
        }
        json_object_put_string(row, "peer",
                               conn->name + strlen(CONNS_PREFIX));
        json_object_put_string(row, "state",
                               ike_state_name(conn_state(conn)));
        ike_sas_put_json(&conn->sas, row);
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
    char *error;
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

    if (!names || names->type != JSON_ARRAY) {
        cleanup->error = xstrdup(error ? error
                                 : "charon does not say what it holds");
        return;
    }
    for (size_t i = 0; i < names->array.n; i++) {
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
    struct cleanup cleanup = { .error = NULL };
    int fd = make_unix_socket(SOCK_STREAM, true, NULL, config->vici_socket);

    if (fd < 0) {
        return NULL;
    }
    close(fd);
    cleanup.client = ike_client_create(config->vici_socket, NULL, NULL);
    ike_client_ask(cleanup.client, "get-conns", NULL, NULL, cleanup_cb,
                   &cleanup);
    for (;;) {
        ike_client_run(cleanup.client);
        if (!ike_client_is_busy(cleanup.client)) {
            break;
        }
        if (time_msec() >= deadline) {
            cleanup.error = xstrdup("charon did not answer in time; it may "
                                    "still hold connections of Lateen's");
            break;
        }
        ike_client_wait(cleanup.client);
        poll_timer_wait_until(deadline);
        poll_block();
    }
    ike_client_destroy(cleanup.client);
    return cleanup.error;
}
