/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What strongSwan is to hold: see conns.h. */

#include <config.h>
#include "conns.h"

#include <stdlib.h>
#include <string.h>

#include "agent/cluster.h"
#include "agent/config.h"
#include "agent/model.h"
#include "openvswitch/json.h"
#include "openvswitch/shash.h"
#include "sset.h"
#include "util.h"

static void
put(struct json *object, const char *key, const char *value)
{
    json_object_put_string(object, key, value);
}

/* A list of one item, which it takes. */
static void
put_list(struct json *object, const char *key, char *item)
{
    json_object_put(object, key,
                    json_array_create_1(json_string_create_nocopy(item)));
}

/* A traffic selector: 'ip' with the protocol and port in brackets.  They are
 * numbers: names need /etc/protocols, which a small node may not have. */
static char *
selector(const struct in6_addr *ip, const char *what)
{
    char *s = ip_to_string(ip);
    char *ts = xasprintf("%s/%d[%s]", s, ip_is_v4(ip) ? 32 : 128, what);

    free(s);
    return ts;
}

static struct json *
child(const struct in6_addr *local, const char *local_what,
      const struct in6_addr *remote, const char *remote_what, bool starts)
{
    struct json *c = json_object_create();

    put_list(c, "local_ts", selector(local, local_what));
    put_list(c, "remote_ts", selector(remote, remote_what));
    put_list(c, "esp_proposals", xstrdup("aes256gcm16-x25519"));
    put(c, "mode", "transport");
    put(c, "start_action", starts ? "trap|start" : "trap");
    put(c, "close_action", "trap");
    put(c, "dpd_action", "trap");
    put(c, "rekey_time", "1h");
    /* The default window of 32 packets is too narrow for several CPUs. */
    put(c, "replay_window", "256");
    json_object_put_format(c, "priority", "%d", CONNS_PRIORITY);
    return c;
}

static struct json *
connection(const struct config *config, const char *self, const char *peer,
           const struct in6_addr *local, const struct in6_addr *remote)
{
    struct json *conn = json_object_create();
    struct json *children = json_object_create();
    struct json *side;
    bool starts = conns_starts(self, peer);

    put(conn, "version", "2");
    put_list(conn, "local_addrs", ip_to_string(local));
    put_list(conn, "remote_addrs", ip_to_string(remote));
    put_list(conn, "proposals", xstrdup("aes256gcm16-prfsha256-x25519"));
    put(conn, "mobike", "no");
    put(conn, "keyingtries", "0");
    put(conn, "rekey_time", "4h");
    put(conn, "dpd_delay", "10s");

    side = json_object_create();
    put(side, "auth", "psk");
    put(side, "id", self);
    json_object_put(conn, "local", side);
    side = json_object_create();
    put(side, "auth", "psk");
    put(side, "id", peer);
    json_object_put(conn, "remote", side);

    if (config->tunnel_type == TUNNEL_GRE) {
        json_object_put(children, "gre",
                        child(local, "47", remote, "47", starts));
    } else {
        char *port = xasprintf("17/%d", config->tunnel_port);

        json_object_put(children, "out",
                        child(local, "17", remote, port, starts));
        json_object_put(children, "in",
                        child(local, port, remote, "17", starts));
        free(port);
    }
    json_object_put(conn, "children", children);
    return conn;
}

void
conns_derive(const struct model *model, const struct config *config,
             const char *self_name, struct shash *conns)
{
    const struct node *self = model_find_node(model, self_name);
    int family = cluster_tunnel_family(model, config, self_name);
    const struct in6_addr *local = self ? node_tunnel_address(self, family)
                                        : NULL;
    const struct model_object *obj;

    if (!local || config->ipsec_mode != IPSEC_REQUIRED) {
        return;
    }
    MODEL_FOR_EACH (obj, MODEL_NODE, model) {
        const struct in6_addr *remote
            = node_tunnel_address(node_cast(obj), family);

        if (remote && strcmp(obj->name, self_name)) {
            char *name = xasprintf(CONNS_PREFIX"%s", obj->name);

            shash_add_nocopy(conns, name,
                             connection(config, self_name, obj->name, local,
                                        remote));
        }
    }
}

void
conns_destroy(struct shash *conns)
{
    struct shash_node *node;

    SHASH_FOR_EACH (node, conns) {
        json_destroy(node->data);
    }
    shash_destroy(conns);
}

struct json *
conns_secret(const struct model *model, const char *key)
{
    struct json *secret = json_object_create();
    struct json *owners = json_array_create_empty();
    const struct model_object *obj;
    struct sset names = SSET_INITIALIZER(&names);

    MODEL_FOR_EACH (obj, MODEL_NODE, model) {
        sset_add(&names, obj->name);
    }
    const char **sorted = sset_sort(&names);
    for (size_t i = 0; i < sset_count(&names); i++) {
        json_array_add(owners, json_string_create(sorted[i]));
    }
    free(sorted);
    sset_destroy(&names);

    put(secret, "id", CONNS_SECRET);
    put(secret, "type", "IKE");
    put(secret, "data", key);
    json_object_put(secret, "owners", owners);
    return secret;
}

bool
conns_starts(const char *self, const char *peer)
{
    return strcmp(self, peer) < 0;
}

const char *const *
conns_children(const struct config *config)
{
    static const char *const gre[] = { "gre", NULL };
    static const char *const udp[] = { "out", "in", NULL };

    return config->tunnel_type == TUNNEL_GRE ? gre : udp;
}
