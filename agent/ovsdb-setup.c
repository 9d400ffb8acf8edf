/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Lateen's own part of the Open vSwitch database: see ovsdb-setup.h. */

#include <config.h>
#include "agent/ovsdb-setup.h"

#include <stdlib.h>
#include <string.h>
#include "agent/ovsdb.h"
#include "agent/ovsdb-rows.h"
#include "flows/pipeline.h"
#include "lib/vswitch-idl.h"
#include "openvswitch/vlog.h"
#include "ovsdb-idl.h"
#include "packets.h"
#include "smap.h"
#include "util.h"

VLOG_DEFINE_THIS_MODULE(ovsdb_setup);

/* Keys of external_ids of the bridge. */
#define KEY_VERSION "lateen-version"
#define KEY_ADOPTED "lateen-adopted"

/* Keys of external_ids of an adopted bridge that keep what it had before; an
 * empty string where it had nothing. */
#define KEY_OLD_FAIL_MODE "lateen-old-fail-mode"
#define KEY_OLD_DATAPATH_TYPE "lateen-old-datapath-type"
#define KEY_OLD_DISABLE_IN_BAND "lateen-old-disable-in-band"
#define KEY_OLD_OPENFLOW15 "lateen-old-openflow15"

#define DISABLE_IN_BAND "disable-in-band"
#define FAIL_MODE "secure"
#define OPENFLOW15 "OpenFlow15"

/* A port that Lateen has for itself. */
struct own_port {
    const char *name;
    const char *lateen_type;    /* One of OVSDB_TYPE_*. */
    const char *type;           /* Of the Interface. */
    struct smap options;
    const char *mac;            /* NULL if it is Open vSwitch's choice. */
    int64_t mtu;                /* 0 if it is Open vSwitch's choice. */
};

static void create_bridge(const struct ovsrec_open_vswitch *,
                          struct ovsdb_idl_txn *,
                          const struct ovsdb_wanted *);
static bool write_bridge(const struct ovsrec_bridge *,
                         const struct ovsdb_wanted *);
static bool write_tables(const struct ovsrec_bridge *, struct ovsdb_idl_txn *,
                         const struct pipeline_table *);
static bool write_port(const struct ovsdb_rows *, const struct ovsrec_bridge *,
                       struct ovsdb_idl_txn *, const struct own_port *,
                       char **errorp);
static bool write_gateway(const struct ovsdb_rows *,
                          const struct ovsrec_bridge *,
                          struct ovsdb_idl_txn *,
                          const struct ovsdb_wanted *, char **errorp);
static bool write_tunnel(const struct ovsdb_rows *,
                         const struct ovsrec_bridge *, struct ovsdb_idl_txn *,
                         const struct ovsdb_wanted *, char **errorp);
static void remove_bridge(const struct ovsrec_open_vswitch *,
                          const struct ovsrec_bridge *);
static void restore_bridge(const struct ovsrec_bridge *);

bool
ovsdb_setup_write(const struct ovsdb_rows *rows, struct ovsdb_idl_txn *txn,
                  const struct ovsdb_wanted *wanted, char **errorp)
{
    const struct ovsrec_open_vswitch *ovs
        = ovsrec_open_vswitch_first(rows->idl);

    *errorp = NULL;
    if (!ovs) {
        *errorp = xstrdup("the Open vSwitch database is empty; \"ovs-vsctl "
                          "init\" prepares it");
        return false;
    }

    const struct ovsrec_bridge *br = ovsdb_rows_bridge(rows, wanted->bridge);
    if (!br) {
        create_bridge(ovs, txn, wanted);
        return true;
    }

    bool changed = write_bridge(br, wanted);
    changed |= write_tables(br, txn, wanted->tables);
    changed |= write_gateway(rows, br, txn, wanted, errorp);
    changed |= write_tunnel(rows, br, txn, wanted, errorp);
    return changed;
}

void
ovsdb_setup_remove(const struct ovsdb_rows *rows)
{
    const struct ovsrec_open_vswitch *ovs
        = ovsrec_open_vswitch_first(rows->idl);

    if (ovs) {
        for (size_t i = 0; i < ovs->n_bridges; i++) {
            remove_bridge(ovs, ovs->bridges[i]);
        }
    }
}

bool
ovsdb_setup_is_adopted(const struct ovsrec_bridge *br)
{
    return smap_get_bool(&br->external_ids, KEY_ADOPTED, false);
}

static void
create_bridge(const struct ovsrec_open_vswitch *ovs,
              struct ovsdb_idl_txn *txn, const struct ovsdb_wanted *wanted)
{
    struct ovsrec_interface *iface = ovsrec_interface_insert(txn);
    ovsrec_interface_set_name(iface, wanted->bridge);
    ovsrec_interface_set_type(iface, "internal");

    struct ovsrec_port *port = ovsrec_port_insert(txn);
    ovsrec_port_set_name(port, wanted->bridge);
    ovsrec_port_set_interfaces(port, &iface, 1);

    /* An operator's tools speak the older versions. */
    const char *protocols[] = {
        "OpenFlow10", "OpenFlow11", "OpenFlow12", "OpenFlow13", "OpenFlow14",
        OPENFLOW15
    };
    const struct smap external_ids
        = SMAP_CONST2(&external_ids, OVSDB_TYPE_KEY, OVSDB_TYPE_BRIDGE,
                      KEY_VERSION, PACKAGE_VERSION);
    const struct smap other_config
        = SMAP_CONST1(&other_config, DISABLE_IN_BAND, "true");

    struct ovsrec_bridge *br = ovsrec_bridge_insert(txn);
    ovsrec_bridge_set_name(br, wanted->bridge);
    ovsrec_bridge_set_datapath_type(br, wanted->datapath_type);
    ovsrec_bridge_set_fail_mode(br, FAIL_MODE);
    ovsrec_bridge_set_protocols(br, protocols, ARRAY_SIZE(protocols));
    ovsrec_bridge_set_external_ids(br, &external_ids);
    ovsrec_bridge_set_other_config(br, &other_config);
    ovsrec_bridge_set_ports(br, &port, 1);
    ovsrec_open_vswitch_update_bridges_addvalue(ovs, br);
    VLOG_INFO("creating bridge %s", wanted->bridge);
}

/* Notes in 'key' of an adopted bridge what it had before, the first time that
 * this is about to be overwritten. */
static void
keep_old(const struct ovsrec_bridge *br, bool adopted, const char *key,
         const char *old)
{
    if (adopted && !smap_get(&br->external_ids, key)) {
        ovsrec_bridge_update_external_ids_setkey(br, key, old ? old : "");
    }
}

static bool
write_bridge(const struct ovsrec_bridge *br,
             const struct ovsdb_wanted *wanted)
{
    bool new = !ovsdb_is_type(&br->external_ids, OVSDB_TYPE_BRIDGE);
    bool adopted = new || ovsdb_setup_is_adopted(br);
    bool changed = new;

    if (new) {
        VLOG_INFO("adopting bridge %s", br->name);
        ovsrec_bridge_update_external_ids_setkey(br, OVSDB_TYPE_KEY,
                                                 OVSDB_TYPE_BRIDGE);
        ovsrec_bridge_update_external_ids_setkey(br, KEY_ADOPTED, "true");
    }

    const char *version = smap_get(&br->external_ids, KEY_VERSION);
    if (!nullable_string_is_equal(version, PACKAGE_VERSION)) {
        ovsrec_bridge_update_external_ids_setkey(br, KEY_VERSION,
                                                 PACKAGE_VERSION);
        changed = true;
    }

    if (!nullable_string_is_equal(br->fail_mode, FAIL_MODE)) {
        keep_old(br, adopted, KEY_OLD_FAIL_MODE, br->fail_mode);
        ovsrec_bridge_set_fail_mode(br, FAIL_MODE);
        changed = true;
    }

    /* An empty string stands for the default. */
    const char *type = br->datapath_type[0] ? br->datapath_type : "system";
    if (strcmp(type, wanted->datapath_type)) {
        keep_old(br, adopted, KEY_OLD_DATAPATH_TYPE, br->datapath_type);
        ovsrec_bridge_set_datapath_type(br, wanted->datapath_type);
        changed = true;
    }

    const char *in_band = smap_get(&br->other_config, DISABLE_IN_BAND);
    if (!nullable_string_is_equal(in_band, "true")) {
        keep_old(br, adopted, KEY_OLD_DISABLE_IN_BAND, in_band);
        ovsrec_bridge_update_other_config_setkey(br, DISABLE_IN_BAND, "true");
        changed = true;
    }

    /* No protocols at all stands for all that Open vSwitch speaks. */
    bool speaks = !br->n_protocols;
    for (size_t i = 0; i < br->n_protocols; i++) {
        speaks = speaks || !strcmp(br->protocols[i], OPENFLOW15);
    }
    if (!speaks) {
        keep_old(br, adopted, KEY_OLD_OPENFLOW15, NULL);
        ovsrec_bridge_update_protocols_addvalue(br, OPENFLOW15);
        changed = true;
    }
    return changed;
}

static const struct ovsrec_flow_table *
find_table(const struct ovsrec_bridge *br, int64_t id)
{
    for (size_t i = 0; i < br->n_flow_tables; i++) {
        if (br->key_flow_tables[i] == id) {
            return br->value_flow_tables[i];
        }
    }
    return NULL;
}

static bool
table_is_ours(const struct ovsrec_flow_table *table)
{
    return ovsdb_is_type(&table->external_ids, OVSDB_TYPE_TABLE);
}

static bool
write_tables(const struct ovsrec_bridge *br, struct ovsdb_idl_txn *txn,
             const struct pipeline_table *tables)
{
    bool changed = false;

    for (const struct pipeline_table *t = tables; t->name; t++) {
        const struct ovsrec_flow_table *table = find_table(br, t->id);

        if (!table) {
            const struct smap external_ids
                = SMAP_CONST1(&external_ids, OVSDB_TYPE_KEY,
                              OVSDB_TYPE_TABLE);

            table = ovsrec_flow_table_insert(txn);
            ovsrec_flow_table_set_name(table, t->name);
            ovsrec_flow_table_set_external_ids(table, &external_ids);
            ovsrec_bridge_update_flow_tables_setkey(br, t->id, table);
            changed = true;
        } else if (table_is_ours(table)
                   && !nullable_string_is_equal(table->name, t->name)) {
            ovsrec_flow_table_set_name(table, t->name);
            changed = true;
        }
    }

    /* Another version of Lateen may have had tables that this one lacks. */
    for (size_t i = 0; i < br->n_flow_tables; i++) {
        const struct pipeline_table *t = tables;

        while (t->name && t->id != br->key_flow_tables[i]) {
            t++;
        }
        if (!t->name && table_is_ours(br->value_flow_tables[i])) {
            ovsrec_bridge_update_flow_tables_delkey(br,
                                                    br->key_flow_tables[i]);
            changed = true;
        }
    }
    return changed;
}

/* Adds 'own' to 'br', or changes it into what is wanted. */
static bool
write_port(const struct ovsdb_rows *rows, const struct ovsrec_bridge *br,
           struct ovsdb_idl_txn *txn, const struct own_port *own,
           char **errorp)
{
    const struct ovsrec_interface *iface
        = ovsdb_rows_interface(rows, own->name);
    const struct ovsrec_port *port = ovsdb_rows_port(rows, own->name);
    bool changed = false;

    if (!iface && !port) {
        const struct smap external_ids
            = SMAP_CONST1(&external_ids, OVSDB_TYPE_KEY, own->lateen_type);

        struct ovsrec_interface *new_iface = ovsrec_interface_insert(txn);
        ovsrec_interface_set_name(new_iface, own->name);
        ovsrec_interface_set_external_ids(new_iface, &external_ids);

        struct ovsrec_port *new_port = ovsrec_port_insert(txn);
        ovsrec_port_set_name(new_port, own->name);
        ovsrec_port_set_interfaces(new_port, &new_iface, 1);
        ovsrec_port_set_external_ids(new_port, &external_ids);
        ovsrec_bridge_update_ports_addvalue(br, new_port);
        iface = new_iface;
        changed = true;
    } else if (!iface || !ovsdb_is_type(&iface->external_ids,
                                        own->lateen_type)
               || !ovsdb_bridge_has_port(br, port)) {
        free(*errorp);
        *errorp = xasprintf("there is a port %s that is not Lateen's port of "
                            "bridge %s; \"ovs-vsctl del-port %s\" makes room "
                            "for it", own->name, br->name, own->name);
        return false;
    }

    if (strcmp(iface->type, own->type)) {
        ovsrec_interface_set_type(iface, own->type);
        changed = true;
    }
    if (!smap_equal(&iface->options, &own->options)) {
        ovsrec_interface_set_options(iface, &own->options);
        changed = true;
    }
    if (own->mac && !nullable_string_is_equal(iface->mac, own->mac)) {
        ovsrec_interface_set_mac(iface, own->mac);
        changed = true;
    }
    if (own->mtu
        && (!iface->n_mtu_request || *iface->mtu_request != own->mtu)) {
        ovsrec_interface_set_mtu_request(iface, &own->mtu, 1);
        changed = true;
    }
    return changed;
}

static bool
write_gateway(const struct ovsdb_rows *rows, const struct ovsrec_bridge *br,
              struct ovsdb_idl_txn *txn, const struct ovsdb_wanted *wanted,
              char **errorp)
{
    char mac[ETH_ADDR_STRLEN + 1];
    struct own_port own = {
        .name = OVSDB_GATEWAY_PORT,
        .lateen_type = OVSDB_TYPE_GATEWAY,
        .type = "internal",
        .options = SMAP_INITIALIZER(&own.options),
        .mac = mac,
        .mtu = wanted->gateway_mtu,
    };

    snprintf(mac, sizeof mac, ETH_ADDR_FMT,
             ETH_ADDR_ARGS(wanted->gateway_mac));
    return write_port(rows, br, txn, &own, errorp);
}

static bool
write_tunnel(const struct ovsdb_rows *rows, const struct ovsrec_bridge *br,
             struct ovsdb_idl_txn *txn, const struct ovsdb_wanted *wanted,
             char **errorp)
{
    if (!wanted->allow_tunnel) {
        const struct ovsrec_interface *iface
            = ovsdb_rows_interface(rows, OVSDB_TUNNEL_PORT);
        const struct ovsrec_port *port
            = ovsdb_rows_port(rows, OVSDB_TUNNEL_PORT);

        if (!iface || !ovsdb_is_type(&iface->external_ids, OVSDB_TYPE_TUNNEL)
            || !ovsdb_bridge_has_port(br, port)) {
            return false;
        }
        ovsrec_bridge_update_ports_delvalue(br, port);
        return true;
    }

    bool gre = !strcmp(wanted->tunnel_type, "gre");
    struct own_port own = {
        .name = OVSDB_TUNNEL_PORT,
        .lateen_type = OVSDB_TYPE_TUNNEL,
        .type = (gre && wanted->tunnel_ipv6 ? "ip6gre"
                 : wanted->tunnel_type),
        .options = SMAP_INITIALIZER(&own.options),
    };

    /* With a local_ip that is not "flow", Open vSwitch overwrites the source
     * address that a flow sets. */
    smap_add(&own.options, "remote_ip", "flow");
    smap_add(&own.options, "local_ip", "flow");
    smap_add(&own.options, "key", "flow");
    if (!gre) {
        smap_add_format(&own.options, "dst_port", "%"PRIu16,
                        wanted->tunnel_port);
        if (wanted->tunnel_ipv6) {
            /* IPv6 asks for a checksum in UDP (RFC 8200, section 8.1). */
            smap_add(&own.options, "csum", "true");
        }
    }
    bool changed = write_port(rows, br, txn, &own, errorp);
    smap_destroy(&own.options);
    return changed;
}

/* Whether 'port' is Lateen's. */
static bool
port_is_ours(const struct ovsrec_port *port)
{
    for (size_t i = 0; i < port->n_interfaces; i++) {
        if (ovsdb_is_type(&port->interfaces[i]->external_ids, NULL)) {
            return true;
        }
    }
    return false;
}

/* Removes from 'br' what is Lateen's, or all of it if it is Lateen's. */
static void
remove_bridge(const struct ovsrec_open_vswitch *ovs,
              const struct ovsrec_bridge *br)
{
    bool marked = ovsdb_is_type(&br->external_ids, OVSDB_TYPE_BRIDGE);
    bool foreign = !marked || ovsdb_setup_is_adopted(br);

    for (size_t i = 0; i < br->n_ports; i++) {
        const struct ovsrec_port *port = br->ports[i];

        if (port_is_ours(port)) {
            ovsrec_bridge_update_ports_delvalue(br, port);
        } else if (strcmp(port->name, br->name)) {
            foreign = true;
        }
    }
    if (!foreign) {
        ovsrec_open_vswitch_update_bridges_delvalue(ovs, br);
        return;
    }

    for (size_t i = 0; i < br->n_flow_tables; i++) {
        if (table_is_ours(br->value_flow_tables[i])) {
            ovsrec_bridge_update_flow_tables_delkey(br,
                                                    br->key_flow_tables[i]);
        }
    }
    if (marked) {
        restore_bridge(br);
    }
}

/* Puts back what adopting 'br' has overwritten, and removes Lateen's keys. */
static void
restore_bridge(const struct ovsrec_bridge *br)
{
    const char *old;

    old = smap_get(&br->external_ids, KEY_OLD_FAIL_MODE);
    if (old) {
        ovsrec_bridge_set_fail_mode(br, old[0] ? old : NULL);
    }
    old = smap_get(&br->external_ids, KEY_OLD_DATAPATH_TYPE);
    if (old) {
        ovsrec_bridge_set_datapath_type(br, old);
    }
    old = smap_get(&br->external_ids, KEY_OLD_DISABLE_IN_BAND);
    if (old && old[0]) {
        ovsrec_bridge_update_other_config_setkey(br, DISABLE_IN_BAND, old);
    } else if (old) {
        ovsrec_bridge_update_other_config_delkey(br, DISABLE_IN_BAND);
    }
    if (smap_get(&br->external_ids, KEY_OLD_OPENFLOW15)) {
        ovsrec_bridge_update_protocols_delvalue(br, OPENFLOW15);
    }

    struct smap_node *node;
    SMAP_FOR_EACH (node, &br->external_ids) {
        if (!strncmp(node->key, "lateen-", strlen("lateen-"))) {
            ovsrec_bridge_update_external_ids_delkey(br, node->key);
        }
    }
}
