/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The local Open vSwitch database: see ovsdb.h.
 *
 * This file has the connection, its one transaction at a time, the model's
 * attachments and the facts.  The others of its family are ovsdb-setup.c for
 * the bridge, ovsdb-requests.c for what CNI asks for, ovsdb-rows.c for the
 * rows themselves, and ovsdb-cleanup.c.
 *
 * Transactions are made directly, not by ovsdb_idl_loop, because the loop
 * keeps to itself why one has failed. */

#include <config.h>
#include "agent/ovsdb.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include "agent/model.h"
#include "agent/ovsdb-requests.h"
#include "agent/ovsdb-rows.h"
#include "agent/ovsdb-setup.h"
#include "lib/vswitch-idl.h"
#include "openvswitch/list.h"
#include "openvswitch/ofp-port.h"
#include "openvswitch/poll-loop.h"
#include "openvswitch/vlog.h"
#include "ovsdb-idl.h"
#include "packets.h"
#include "sha1.h"
#include "smap.h"
#include "util.h"
#include "uuid.h"

VLOG_DEFINE_THIS_MODULE(ovsdb);

static struct vlog_rate_limit rl = VLOG_RATE_LIMIT_INIT(10, 20);

struct ovsdb {
    struct ovsdb_rows rows;

    /* What is wanted. */
    bool has_wanted;
    struct ovsdb_wanted wanted; /* With strings of its own. */
    struct ovs_list requests;   /* See ovsdb-requests.h. */

    /* Transaction under way, or NULL. */
    struct ovsdb_idl_txn *txn;
    bool txn_is_setup;          /* Otherwise it holds requests. */
    unsigned int txn_seqno;     /* The replica's, when it was made. */

    /* No transaction before the replica's sequence number differs from
     * 'blocked_seqno': the last one found the database changed. */
    bool blocked;
    unsigned int blocked_seqno;

    /* State of the setup. */
    bool setup_due;             /* To be looked at, also if the database has
                                 * not changed since 'setup_seqno'. */
    unsigned int setup_seqno;   /* The replica's, when it was looked at. */
    bool setup_complete;        /* Nothing was to be done. */
    char *setup_error;          /* What stands in the way, or NULL. */
    int64_t setup_cfg;          /* Open_vSwitch's next_cfg that the setup has
                                 * to be dealt with for. */

    /* What the model holds. */
    unsigned int model_seqno;   /* The replica's sequence number. */
    struct uuid bridge_uuid;    /* The bridge whose ports it has, or zero. */

    struct ovsdb_facts facts;
};

static bool is_connected(const struct ovsdb *);
static const struct ovsrec_bridge *find_bridge(const struct ovsdb *);
static void sync_model(struct ovsdb *, struct model *);
static void update_facts(struct ovsdb *);
static void finish_txn(struct ovsdb *);
static void start_txn(struct ovsdb *);

struct ovsdb *
ovsdb_create(const char *remote)
{
    struct ovsdb *ovs = xzalloc(sizeof *ovs);

    ovsdb_rows_init(&ovs->rows, remote);
    ovs_list_init(&ovs->requests);
    ovs->setup_cfg = INT64_MIN;
    ovs->facts.gateway_ofport = OFPP_NONE;
    ovs->facts.tunnel_ofport = OFPP_NONE;
    return ovs;
}

static void
wanted_uninit(struct ovsdb_wanted *wanted)
{
    free(CONST_CAST(char *, wanted->bridge));
    free(CONST_CAST(char *, wanted->datapath_type));
    free(CONST_CAST(char *, wanted->tunnel_type));
}

void
ovsdb_destroy(struct ovsdb *ovs)
{
    if (!ovs) {
        return;
    }

    ovsdb_requests_destroy(&ovs->requests);
    if (ovs->txn) {
        ovsdb_idl_txn_destroy(ovs->txn);
    }
    ovsdb_rows_destroy(&ovs->rows);
    wanted_uninit(&ovs->wanted);
    free(ovs->setup_error);
    free(ovs->facts.error);
    free(ovs->facts.datapath_type);
    free(ovs->facts.ovs_version);
    free(ovs);
}

static bool
wanted_equals(const struct ovsdb_wanted *a, const struct ovsdb_wanted *b)
{
    return (nullable_string_is_equal(a->bridge, b->bridge)
            && nullable_string_is_equal(a->datapath_type, b->datapath_type)
            && a->tables == b->tables
            && eth_addr_equals(a->gateway_mac, b->gateway_mac)
            && a->gateway_mtu == b->gateway_mtu
            && a->allow_tunnel == b->allow_tunnel
            && nullable_string_is_equal(a->tunnel_type, b->tunnel_type)
            && a->tunnel_port == b->tunnel_port
            && a->tunnel_ipv6 == b->tunnel_ipv6);
}

void
ovsdb_set_wanted(struct ovsdb *ovs, const struct ovsdb_wanted *wanted)
{
    if (wanted_equals(&ovs->wanted, wanted)) {
        return;
    }
    wanted_uninit(&ovs->wanted);
    ovs->wanted = *wanted;
    ovs->wanted.bridge = xstrdup(wanted->bridge);
    ovs->wanted.datapath_type = xstrdup(wanted->datapath_type);
    ovs->wanted.tunnel_type = nullable_xstrdup(wanted->tunnel_type);
    ovs->has_wanted = true;
    ovs->setup_due = true;
    ovs->setup_complete = false;
}

void
ovsdb_run(struct ovsdb *ovs, struct model *model)
{
    ovsdb_idl_run(ovs->rows.idl);
    if (ovsdb_idl_has_ever_connected(ovs->rows.idl)) {
        sync_model(ovs, model);
        finish_txn(ovs);
        start_txn(ovs);
    }
    update_facts(ovs);
}

/* Whether a transaction may be made now. */
static bool
may_start(const struct ovsdb *ovs)
{
    return (!ovs->txn && is_connected(ovs) && ovs->has_wanted
            && !(ovs->blocked && (ovs->blocked_seqno
                                  == ovsdb_idl_get_seqno(ovs->rows.idl))));
}

void
ovsdb_wait(struct ovsdb *ovs)
{
    ovsdb_idl_wait(ovs->rows.idl);
    if (ovs->txn) {
        ovsdb_idl_txn_wait(ovs->txn);
    } else if (may_start(ovs)
               && (ovs->setup_due
                   || (!ovs_list_is_empty(&ovs->requests)
                       && find_bridge(ovs)))) {
        poll_immediate_wake();
    }
}

const struct ovsdb_facts *
ovsdb_get_facts(const struct ovsdb *ovs)
{
    return &ovs->facts;
}

const char *
ovsdb_port_error(const struct ovsdb *ovs, const char *name)
{
    const struct ovsrec_interface *iface
        = ovsdb_rows_interface(&ovs->rows, name);

    return iface ? ovsdb_interface_error(iface) : NULL;
}

struct ovsdb_request *
ovsdb_attach(struct ovsdb *ovs, const struct attachment *a)
{
    return ovsdb_requests_attach(&ovs->requests, a);
}

struct ovsdb_request *
ovsdb_detach(struct ovsdb *ovs, const char *container_id, const char *ifname)
{
    return ovsdb_requests_detach(&ovs->requests, container_id, ifname);
}

struct eth_addr
ovsdb_gateway_mac(const char *node)
{
    char *s = xasprintf(OVSDB_GATEWAY_PORT "/%s", node);
    uint8_t digest[SHA1_DIGEST_SIZE];
    struct eth_addr mac;

    sha1_bytes(s, strlen(s), digest);
    free(s);
    memcpy(mac.ea, digest, sizeof mac.ea);
    mac.ea[0] = (mac.ea[0] & ~0x01) | 0x02;
    return mac;
}

/* Whether the replica is complete and its server is there. */
static bool
is_connected(const struct ovsdb *ovs)
{
    return (ovsdb_idl_has_ever_connected(ovs->rows.idl)
            && ovsdb_idl_is_connected(ovs->rows.idl));
}

static const struct ovsrec_bridge *
find_bridge(const struct ovsdb *ovs)
{
    return (ovs->has_wanted
            ? ovsdb_rows_bridge(&ovs->rows, ovs->wanted.bridge)
            : NULL);
}

static void
sync_interface(const struct ovsdb *ovs, const struct ovsrec_bridge *br,
               const struct ovsrec_interface *iface, struct model *model)
{
    struct model_object *obj;

    if (!ovsdb_rows_is_attachment(&ovs->rows, br, iface)) {
        return;
    }

    char *error = ovsdb_attachment_decode(iface, &obj);
    if (error) {
        VLOG_WARN_RL(&rl, "%s; port ignored", error);
        free(error);
        return;
    }
    obj = model_put(model, obj);

    const char *refusal = ovsdb_interface_error(iface);
    if (refusal) {
        VLOG_WARN_RL(&rl, "attachment error: port %s of %s: %s", iface->name,
                     obj->name, refusal);
    }
}

/* Removes from 'model' the attachments that have no Interface on 'br' any
 * more. */
static void
sync_removals(const struct ovsdb *ovs, const struct ovsrec_bridge *br,
              struct model *model)
{
    struct model_object *obj;

    HMAP_FOR_EACH_SAFE (obj, hmap_node, &model->objects[MODEL_ATTACHMENT]) {
        const struct attachment *a = attachment_cast(obj);
        const struct ovsrec_interface *iface
            = ovsdb_rows_interface(&ovs->rows, a->hostif);

        if (!iface || !ovsdb_attachment_matches(&iface->external_ids,
                                                a->container_id, a->ifname)
            || !ovsdb_rows_is_attachment(&ovs->rows, br, iface)) {
            model_remove(model, MODEL_ATTACHMENT, NULL, obj->name);
        }
    }
}

/* Whether what the replica has tracked since the last time may have taken an
 * attachment away. */
static bool
may_have_removals(const struct ovsdb *ovs)
{
    const struct ovsrec_open_vswitch *row;
    const struct ovsrec_interface *iface;

    /* The replica has been filled anew: only what is there is tracked. */
    OVSREC_OPEN_VSWITCH_FOR_EACH_TRACKED (row, ovs->rows.idl) {
        if (ovsrec_open_vswitch_is_new(row)) {
            return true;
        }
    }

    OVSREC_INTERFACE_FOR_EACH_TRACKED (iface, ovs->rows.idl) {
        if (ovsrec_interface_is_deleted(iface)
            || (!ovsrec_interface_is_new(iface)
                && ovsrec_interface_is_updated(
                    iface, OVSREC_INTERFACE_COL_EXTERNAL_IDS))) {
            return true;
        }
    }
    return false;
}

/* Brings the attachments of 'model' into line with the replica. */
static void
sync_model(struct ovsdb *ovs, struct model *model)
{
    const struct ovsrec_bridge *br = find_bridge(ovs);
    struct uuid bridge_uuid = br ? br->header_.uuid : UUID_ZERO;
    unsigned int seqno = ovsdb_idl_get_seqno(ovs->rows.idl);
    bool other_bridge = !uuid_equals(&bridge_uuid, &ovs->bridge_uuid);
    const struct ovsrec_interface *iface;

    if (seqno == ovs->model_seqno && !other_bridge) {
        return;
    }
    ovs->model_seqno = seqno;
    ovs->bridge_uuid = bridge_uuid;

    if (other_bridge || may_have_removals(ovs)) {
        sync_removals(ovs, br, model);
    }
    if (other_bridge) {
        OVSREC_INTERFACE_FOR_EACH (iface, ovs->rows.idl) {
            sync_interface(ovs, br, iface, model);
        }
    } else {
        OVSREC_INTERFACE_FOR_EACH_TRACKED (iface, ovs->rows.idl) {
            if (!ovsrec_interface_is_deleted(iface)) {
                sync_interface(ovs, br, iface, model);
            }
        }
    }
    ovsdb_idl_track_clear(ovs->rows.idl);
}

/* Replaces '*sp' by a copy of 's', each of which may be null.  Returns whether
 * that was a change. */
static bool
replace_string(char **sp, const char *s)
{
    if (nullable_string_is_equal(*sp, s)) {
        return false;
    }
    free(*sp);
    *sp = nullable_xstrdup(s);
    return true;
}

/* Whether ovs-vswitchd has dealt with the setup. */
static bool
setup_is_applied(const struct ovsdb *ovs)
{
    const struct ovsrec_open_vswitch *row
        = ovsrec_open_vswitch_first(ovs->rows.idl);

    return ovs->setup_complete && row && row->cur_cfg >= ovs->setup_cfg;
}

/* The Interface 'name' if it is Lateen's, of the kind 'type', else NULL. */
static const struct ovsrec_interface *
find_own_interface(const struct ovsdb *ovs, const char *name,
                   const char *type)
{
    const struct ovsrec_interface *iface
        = ovsdb_rows_interface(&ovs->rows, name);

    return (iface && ovsdb_is_type(&iface->external_ids, type)
            ? iface
            : NULL);
}

/* What keeps the bridge from being as wanted, in a new string, or NULL.  The
 * last arguments are those of its Interfaces that are in the database. */
static char *
find_error(const struct ovsdb *ovs, const struct ovsrec_bridge *br,
           const struct ovsrec_interface *local,
           const struct ovsrec_interface *gateway,
           const struct ovsrec_interface *tunnel)
{
    if (ovs->setup_error) {
        return xstrdup(ovs->setup_error);
    } else if (!br || !setup_is_applied(ovs)) {
        return NULL;
    } else if (!local || !local->n_ofport || *local->ofport < 0) {
        return xasprintf("ovs-vswitchd could not create bridge %s with "
                         "datapath_type \"%s\"; its log tells why (\"system\" "
                         "needs the kernel module openvswitch)",
                         br->name, br->datapath_type);
    }

    const struct ovsrec_interface *const ifaces[] = { gateway, tunnel };
    for (size_t i = 0; i < ARRAY_SIZE(ifaces); i++) {
        const char *error = (ifaces[i]
                             ? ovsdb_interface_error(ifaces[i])
                             : NULL);
        if (error) {
            return xasprintf("port %s: %s", ifaces[i]->name, error);
        }
    }
    return NULL;
}

/* The kind of packets that the tunnel port 'iface', which may be NULL, sends;
 * the ports are those that Open vSwitch takes by itself. */
static void
find_tunnel(const struct ovsrec_interface *iface, uint8_t *protocol,
            uint16_t *port)
{
    const char *type = iface ? iface->type : "";

    *protocol = *port = 0;
    if (!strcmp(type, "gre") || !strcmp(type, "ip6gre")) {
        *protocol = IPPROTO_GRE;
    } else if (!strcmp(type, "geneve") || !strcmp(type, "vxlan")) {
        *protocol = IPPROTO_UDP;
        *port = smap_get_uint(&iface->options, "dst_port",
                              !strcmp(type, "vxlan") ? 4789 : 6081);
    }
}

static void
update_facts(struct ovsdb *ovs)
{
    struct ovsdb_facts *facts = &ovs->facts;
    const struct ovsrec_open_vswitch *row
        = ovsrec_open_vswitch_first(ovs->rows.idl);
    const struct ovsrec_bridge *br = find_bridge(ovs);
    const struct ovsrec_interface *local
        = br ? ovsdb_rows_interface(&ovs->rows, br->name) : NULL;
    const struct ovsrec_interface *gateway
        = find_own_interface(ovs, OVSDB_GATEWAY_PORT, OVSDB_TYPE_GATEWAY);
    const struct ovsrec_interface *tunnel
        = find_own_interface(ovs, OVSDB_TUNNEL_PORT, OVSDB_TYPE_TUNNEL);
    bool changed = false;

    uint8_t protocol;
    uint16_t port;
    find_tunnel(tunnel, &protocol, &port);

    const char *type = NULL;
    if (local && local->n_ofport && *local->ofport > 0) {
        type = br->datapath_type[0] ? br->datapath_type : "system";
    }
    changed |= replace_string(&facts->datapath_type, type);
    changed |= replace_string(&facts->ovs_version,
                              row ? row->ovs_version : NULL);

    char *error = find_error(ovs, br, local, gateway, tunnel);
    if (replace_string(&facts->error, error)) {
        if (error) {
            VLOG_WARN_RL(&rl, "%s", error);
        }
        changed = true;
    }
    free(error);

#define SET(MEMBER, VALUE)                      \
    do {                                        \
        if (facts->MEMBER != (VALUE)) {         \
            facts->MEMBER = (VALUE);            \
            changed = true;                     \
        }                                       \
    } while (0)
    SET(ready, setup_is_applied(ovs) && !facts->error);
    SET(connected, is_connected(ovs));
    SET(has_bridge, br != NULL);
    SET(adopted, br && ovsdb_setup_is_adopted(br));
    SET(next_cfg, row ? row->next_cfg : 0);
    SET(cur_cfg, row ? row->cur_cfg : 0);

    SET(gateway_ofport, ovsdb_interface_ofport(gateway));
    SET(tunnel_ofport, ovsdb_interface_ofport(tunnel));
    SET(tunnel_protocol, protocol);
    SET(tunnel_port, port);
#undef SET

    struct eth_addr mac = eth_addr_zero;
    if (facts->gateway_ofport != OFPP_NONE && gateway->mac) {
        ignore(eth_addr_from_string(gateway->mac, &mac));
    }
    if (!eth_addr_equals(facts->gateway_mac, mac)) {
        facts->gateway_mac = mac;
        changed = true;
    }

    if (changed) {
        facts->seqno++;
    }
}

/* Makes a transaction of what is to be done, if there is anything, and sends
 * it. */
static void
start_txn(struct ovsdb *ovs)
{
    unsigned int seqno = ovsdb_idl_get_seqno(ovs->rows.idl);
    bool setup = ovs->setup_due || seqno != ovs->setup_seqno;
    const struct ovsrec_open_vswitch *row;

    if (!may_start(ovs) || !(setup || !ovs_list_is_empty(&ovs->requests))) {
        return;
    }

    ovs->txn = ovsdb_idl_txn_create(ovs->rows.idl);
    ovs->txn_seqno = seqno;
    ovs->txn_is_setup = false;
    ovsdb_idl_txn_add_comment(ovs->txn, "%s", program_name);
    row = ovsrec_open_vswitch_first(ovs->rows.idl);

    if (setup) {
        char *error;

        ovs->txn_is_setup = ovsdb_setup_write(&ovs->rows, ovs->txn,
                                              &ovs->wanted, &error);
        free(ovs->setup_error);
        ovs->setup_error = error;

        ovs->setup_due = false;
        ovs->setup_seqno = seqno;
        ovs->setup_complete = !ovs->txn_is_setup && !ovs->setup_error;
        if (row && ovs->setup_cfg == INT64_MIN) {
            ovs->setup_cfg = row->next_cfg;
        }
        if (ovs->txn_is_setup) {
            ovsdb_idl_txn_increment(ovs->txn, &row->header_,
                                    &ovsrec_open_vswitch_col_next_cfg, false);
        }
    }
    if (!ovs->txn_is_setup) {
        const struct ovsrec_bridge *br = find_bridge(ovs);
        if (br && ovsdb_requests_write(&ovs->requests, &ovs->rows, br,
                                       ovs->txn)) {
            ovsdb_idl_txn_increment(ovs->txn, &row->header_,
                                    &ovsrec_open_vswitch_col_next_cfg, false);
        }
    }
    finish_txn(ovs);
}

/* Deals with the end of the transaction under way, if it has come. */
static void
finish_txn(struct ovsdb *ovs)
{
    if (!ovs->txn) {
        return;
    }

    enum ovsdb_idl_txn_status status = ovsdb_idl_txn_commit(ovs->txn);
    if (status == TXN_INCOMPLETE) {
        return;
    }

    char *error = NULL;
    ovs->blocked = status == TXN_TRY_AGAIN;
    ovs->blocked_seqno = ovs->txn_seqno;
    if (status == TXN_ERROR) {
        error = xasprintf("the Open vSwitch database refuses a change: %s",
                          ovsdb_idl_txn_get_error(ovs->txn));
    }

    if (!ovs->txn_is_setup) {
        int64_t cfg = (status == TXN_SUCCESS
                       ? ovsdb_idl_txn_get_increment_new_value(ovs->txn) : 0);

        ovsdb_requests_finish(&ovs->requests, status == TXN_TRY_AGAIN, error,
                              cfg);
    } else if (status == TXN_SUCCESS) {
        ovs->setup_cfg = ovsdb_idl_txn_get_increment_new_value(ovs->txn);
        ovs->setup_due = true;
    } else if (status == TXN_TRY_AGAIN) {
        ovs->setup_due = true;
    } else if (error) {
        /* Another try makes sense when something has changed. */
        free(ovs->setup_error);
        ovs->setup_error = xstrdup(error);
    }
    free(error);
    ovsdb_idl_txn_destroy(ovs->txn);
    ovs->txn = NULL;
}
