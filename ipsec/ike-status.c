/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What others want to know of the IKE edge: see ike.h. */

#include <config.h>
#include "ike-private.h"

#include <stdlib.h>
#include <string.h>

#include "util.h"

const char *
ike_state_name(enum ike_state state)
{
    return (state == IKE_UP ? "up"
            : state == IKE_CONNECTING ? "connecting" : "down");
}

bool
ike_conn_is_loaded(const struct ike_conn *conn)
{
    return (conn->text && !conn->sent
            && nullable_string_is_equal(conn->text, conn->loaded));
}

enum ike_state
ike_conn_state(const struct ike_conn *conn)
{
    const struct shash_node *node;

    if (conn->wanted && conn->sas.n_established) {
        SHASH_FOR_EACH (node, json_object(shash_find_data(
                                  json_object(conn->wanted), "children"))) {
            if (!ike_sas_has_child(&conn->sas, node->name, NULL)) {
                return IKE_CONNECTING;
            }
        }
        return (xfrm_check_is_whole(conn->ike->kernel, conn->name)
                ? IKE_UP : IKE_CONNECTING);
    }
    return (conn->sas.n_established || conn->sas.n_connecting
            ? IKE_CONNECTING : IKE_DOWN);
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

    if (ike->link != LINK_READY || ike->underived
        || ike->x509.error || !ike_x509_loaded(ike)
        || ike_keys_error(&ike->keys) || !ike_keys_loaded(ike)) {
        return false;
    }
    SHASH_FOR_EACH (node, &ike->conns) {
        const struct ike_conn *conn = node->data;

        if (!ike_conn_is_loaded(conn) || conn->untrapped) {
            return false;
        }
    }
    return true;
}

bool
ike_all_up(const struct ike *ike)
{
    const struct shash_node *node;

    SHASH_FOR_EACH (node, &ike->conns) {
        if (ike_conn_state(node->data) != IKE_UP) {
            return false;
        }
    }
    return ike_realized(ike);
}

/* What keeps all connections from working. */
static const char *
common_error(const struct ike *ike)
{
    const char *error = ike_keys_error(&ike->keys);

    return (ike->x509.error ? ike->x509.error : error ? error
            : ike->link_error);
}

const char *
ike_last_error(const struct ike *ike)
{
    const char *error = common_error(ike);

    return error ? error : ike->x509.warning;
}

struct json *
ike_repairs_to_json(const struct ike *ike)
{
    const struct ike_repairs *r = &ike->repairs;
    struct json *json = xfrm_check_to_json(ike->kernel);

    json_object_put(json, "connections", json_integer_create(r->connections));
    json_object_put(json, "secrets", json_integer_create(r->secrets));
    json_object_put(json, "traps", json_integer_create(r->traps));
    json_object_put(json, "misfits", json_integer_create(r->misfits));
    return json;
}

enum ike_state
ike_peer_state(const struct ike *ike, const char *peer)
{
    char *name = xasprintf(CONNS_PREFIX"%s", peer);
    const struct ike_conn *conn = shash_find_data(&ike->conns, name);

    free(name);
    return conn ? ike_conn_state(conn) : IKE_DOWN;
}

struct json *
ike_status_to_json(const struct ike *ike)
{
    const struct shash_node **nodes = shash_sort(&ike->conns);
    struct json *rows = json_array_create_empty();

    for (size_t i = 0; i < shash_count(&ike->conns); i++) {
        const struct ike_conn *conn = nodes[i]->data;
        const char *error = (conn->error ? conn->error
                             : common_error(ike) ? common_error(ike)
                             : conn->trouble);
        struct json *row = json_object_create();
        char *misfit = NULL;

        if (!error && conn->sas.misfit) {
            error = misfit = xasprintf("%s of an SA are not as configured",
                                       conn->sas.misfit);
        }
        if (conn->wanted) {
            const struct json *address
                = shash_find_data(json_object(conn->wanted), "remote_addrs");

            json_object_put(row, "address",
                            json_clone(address->array.elems[0]));
        }
        json_object_put_string(row, "peer",
                               conn->name + strlen(CONNS_PREFIX));
        json_object_put_string(row, "state",
                               ike_state_name(ike_conn_state(conn)));
        ike_sas_put_json(&conn->sas, row);
        xfrm_check_put_json(conn->ike->kernel, conn->name, row);
        json_object_put(row, "error", (error ? json_string_create(error)
                                       : json_null_create()));
        free(misfit);
        json_array_add(rows, row);
    }
    free(nodes);
    return rows;
}
