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
#include "x509.h"

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

/* A list of 'items'. */
static void
put_strings(struct json *object, const char *key, const struct svec *items)
{
    struct json *list = json_array_create_empty();

    for (size_t i = 0; i < items->n; i++) {
        json_array_add(list, json_string_create(items->names[i]));
    }
    json_object_put(object, key, list);
}

static void
put_seconds(struct json *object, const char *key, unsigned int seconds)
{
    json_object_put_format(object, key, "%us", seconds);
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
child(const struct config *config, const struct in6_addr *local,
      const char *local_what, const struct in6_addr *remote,
      const char *remote_what, uint32_t reqid)
{
    struct json *c = json_object_create();

    put_list(c, "local_ts", selector(local, local_what));
    put_list(c, "remote_ts", selector(remote, remote_what));
    put_strings(c, "esp_proposals", &config->esp_proposals);
    put(c, "mode", "transport");
    put(c, "start_action", "trap");
    put_seconds(c, "rekey_time", config->esp_rekey);
    json_object_put_format(c, "replay_window", "%u", config->replay_window);
    json_object_put_format(c, "priority", "%d", CONNS_PRIORITY);
    json_object_put_format(c, "reqid", "%"PRIu32, reqid);
    return c;
}

/* Says how the node 'id' shows that it is itself. */
static struct json *
make_side(const char *id, const struct x509 *x509)
{
    struct json *side = json_object_create();

    put(side, "auth", x509 ? "pubkey" : "psk");
    put(side, "id", id);
    return side;
}

/* A connection whose children have the reqids 'reqid' and up. */
static struct json *
connection(const struct config *config, const char *self, const char *peer,
           const struct in6_addr *local, const struct in6_addr *remote,
           uint32_t reqid, const struct x509 *x509)
{
    struct json *conn = json_object_create();
    struct json *children = json_object_create();
    bool gre = config->tunnel_type == TUNNEL_GRE;
    const char *any = gre ? "47" : "17";
    struct json *side, *out, *in;
    char *port;

    put(conn, "version", "2");
    put_list(conn, "local_addrs", ip_to_string(local));
    put_list(conn, "remote_addrs", ip_to_string(remote));
    put_strings(conn, "proposals", &config->ike_proposals);
    put(conn, "mobike", "no");
    put(conn, "keyingtries", "0");
    put_seconds(conn, "rekey_time", config->ike_rekey);
    put_seconds(conn, "dpd_delay", config->dpd_delay);
    if (config->udp_encap) {
        put(conn, "encap", "yes");
    }
    /* A peer that has been restarted says so, and its old SAs go.  That is
     * all: where two nodes start at once, "replace" would end both. */
    put(conn, "unique", "no");

    side = make_side(self, x509);
    if (x509) {
        put_list(side, "certs", xstrdup(x509->certificate));
    }
    json_object_put(conn, "local", side);
    side = make_side(peer, x509);
    if (x509) {
        /* charon keeps authorities that are not in the file any more, but
         * believes only these. */
        put_strings(side, "cacerts", &x509->cas);
    }
    json_object_put(conn, "remote", side);

    port = gre ? xstrdup(any) : xasprintf("%s/%d", any, config->tunnel_port);
    out = child(config, local, any, remote, port, reqid);
    in = child(config, local, port, remote, any, gre ? reqid : reqid + 1);
    free(port);
    if (gre) {
        /* It has the reqid of "out": what comes in has one policy. */
        json_object_put_format(in, "mark_out", "0x%x", CONNS_MARK_NONE);
    }
    json_object_put(children, "out", out);
    json_object_put(children, "in", in);
    json_object_put(conn, "children", children);
    return conn;
}

/* The names of all nodes, sorted, for the caller to free (not the names). */
static const char **
node_names(const struct model *model, size_t *n)
{
    struct sset names = SSET_INITIALIZER(&names);
    const struct model_object *obj;
    const char **sorted;

    MODEL_FOR_EACH (obj, MODEL_NODE, model) {
        sset_add(&names, obj->name);
    }
    *n = sset_count(&names);
    sorted = sset_sort(&names);
    for (size_t i = 0; i < *n; i++) {
        sorted[i] = model_find_node(model, sorted[i])->obj.name;
    }
    sset_destroy(&names);
    return sorted;
}

/* An even reqid for 'peer' that is not among the 'n' of 'taken': the same as
 * long as no two names fall on one number (FNV-1a, folded). */
static uint32_t
choose_reqid(const char *peer, const uint32_t *taken, size_t n)
{
    uint32_t hash = 2166136261u;

    for (const char *p = peer; *p; p++) {
        hash = (hash ^ (uint8_t) *p) * 16777619u;
    }
    hash = (hash >> 24) ^ (hash & 0xffffff);
    for (;; hash += 2) {
        uint32_t reqid = CONNS_REQID | (hash & (CONNS_N_REQIDS - 2));
        size_t i;

        for (i = 0; i < n && taken[i] != reqid; i++) {
            continue;
        }
        if (i == n) {
            return reqid;
        }
    }
}

void
conns_derive(const struct model *model, const struct config *config,
             const char *self_name, const struct x509 *x509,
             struct shash *conns)
{
    const struct node *self = model_find_node(model, self_name);
    int family = cluster_tunnel_family(model, config, self_name);
    const struct in6_addr *local = self ? node_tunnel_address(self, family)
                                        : NULL;
    const char **names;
    uint32_t *reqids;
    size_t n;

    if (!local || config->ipsec_mode != IPSEC_REQUIRED) {
        return;
    }
    names = node_names(model, &n);
    reqids = xmalloc(n * sizeof *reqids);
    for (size_t i = 0; i < n; i++) {
        const struct in6_addr *remote
            = peer_tunnel_address(config, model_find_node(model, names[i]),
                                  family);

        reqids[i] = choose_reqid(names[i], reqids, i);
        if (remote && strcmp(names[i], self_name)) {
            shash_add_nocopy(conns, xasprintf(CONNS_PREFIX"%s", names[i]),
                             connection(config, self_name, names[i], local,
                                        remote, reqids[i], x509));
        }
    }
    free(reqids);
    free(names);
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

/* A secret of the 'n' nodes in 'names'. */
static struct json *
make_secret(const char *names[], size_t n)
{
    struct json *secret = json_object_create();
    struct json *owners = json_array_create_empty();

    for (size_t i = 0; i < n; i++) {
        json_array_add(owners, json_string_create(names[i]));
    }
    put(secret, "type", "IKE");
    json_object_put(secret, "owners", owners);
    return secret;
}

struct json *
conns_secret(const struct model *model)
{
    size_t n;
    const char **names = node_names(model, &n);
    struct json *secret = make_secret(names, n);

    free(names);
    return secret;
}

struct json *
conns_pair_secret(const char *peer)
{
    /* One owner is enough for charon to take a secret into account: with this
     * node among them, every other node could be the peer. */
    return make_secret(&peer, 1);
}
