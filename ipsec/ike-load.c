/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What the IKE edge tells charon: see ike.h. */

#include <config.h>
#include "ike-private.h"

#include <string.h>

#include "openvswitch/vlog.h"
#include "timeval.h"
#include "util.h"

VLOG_DEFINE_THIS_MODULE(ike_load);

/* How long after a refused connection it is tried again, in ms. */
#define REFUSAL_INTERVAL 30000

/* charon tells three lines of its log for each connection that it loads, an
 * event each, which delays the loading of many.  Where this many are loaded at
 * a time, it does not. */
#define MANY_LOADS 10

void
ike_terminate(struct ike_client *client, const char *key, const char *which,
              bool force)
{
    struct json *message = json_object_create();

    json_object_put_string(message, key, which);
    if (force) {
        json_object_put_string(message, "force", "yes");
    }
    json_object_put_string(message, "timeout", "-1");
    ike_client_ask(client, "terminate", message, NULL, NULL, NULL);
}

void
ike_rekey_child(struct ike_client *client, const char *id)
{
    struct json *message = json_object_create();

    json_object_put_string(message, "child-id", id);
    ike_client_ask(client, "rekey", message, NULL, NULL, NULL);
}

static void
load_cb(const struct json *reply OVS_UNUSED,
        const struct json *events OVS_UNUSED, const char *error, void *conn_)
{
    struct ike_conn *conn = conn_;

    conn->n_questions--;
    if (conn->ike->link != LINK_READY) {
        return;
    }
    if (!nullable_string_is_equal(error, conn->error)) {
        if (error) {
            VLOG_WARN("charon refuses the connection %s: %s", conn->name,
                      error);
        }
        ike_set_string(&conn->error, error);
    }
    if (error) {
        conn->retry = time_msec() + REFUSAL_INTERVAL;
        ike_set_string(&conn->sent, NULL);
    } else {
        free(conn->loaded);
        conn->loaded = conn->sent;
        conn->sent = NULL;
        ike_conn_loaded(conn);
    }
}

static void
unload_cb(const struct json *reply OVS_UNUSED,
          const struct json *events OVS_UNUSED,
          const char *error OVS_UNUSED, void *conn_)
{
    struct ike_conn *conn = conn_;

    /* If charon has refused, it had no such connection, or the next round
     * finds it again. */
    conn->n_questions--;
    ike_set_string(&conn->loaded, NULL);
    ike_set_string(&conn->sent, NULL);
}

void
ike_unload_conn(struct ike_client *client, const char *name,
                ike_client_cb *cb, void *aux)
{
    struct json *message = json_object_create();

    json_object_put_string(message, "name", name);
    ike_client_ask(client, "unload-conn", message, NULL, cb, aux);
    ike_terminate(client, "ike", name, true);
}

static bool
is_to_load(const struct ike_conn *conn)
{
    return (conn->wanted && !conn->sent && !ike_conn_is_loaded(conn)
            && time_msec() >= conn->retry);
}

static void
listen_to_log(struct ike *ike, bool wanted)
{
    ike_client_register(
        ike->client, json_array_create_1(json_string_create("log")), wanted);
}

void
ike_sync_conns(struct ike *ike)
{
    struct shash_node *node;
    size_t n_loads = 0;

    SHASH_FOR_EACH (node, &ike->conns) {
        n_loads += is_to_load(node->data);
    }
    if (n_loads >= MANY_LOADS) {
        listen_to_log(ike, false);
    }
    SHASH_FOR_EACH_SAFE (node, &ike->conns) {
        struct ike_conn *conn = node->data;

        if (is_to_load(conn)) {
            struct json *message = json_object_create();

            json_object_put(message, conn->name, json_clone(conn->wanted));
            conn->sent = xstrdup(conn->text);
            conn->n_questions++;
            ike_client_ask(ike->client, "load-conn", message, NULL, load_cb,
                           conn);
        } else if (conn->wanted || conn->sent) {
            continue;
        } else if (conn->loaded) {
            VLOG_INFO("unloading the connection %s", conn->name);
            conn->sent = xstrdup("");
            conn->n_questions++;
            ike_unload_conn(ike->client, conn->name, unload_cb, conn);
        } else if (!conn->n_questions) {
            ike_conn_free(conn);
            shash_delete(&ike->conns, node);
        }
    }
    if (n_loads >= MANY_LOADS) {
        listen_to_log(ike, true);
    }
}
