/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Rows of the Open vSwitch database: see ovsdb-rows.h. */

#include <config.h>
#include "agent/ovsdb-rows.h"

#include <string.h>
#include "agent/ip.h"
#include "agent/model.h"
#include "flow.h"
#include "lib/vswitch-idl.h"
#include "openvswitch/dynamic-string.h"
#include "openvswitch/ofp-port.h"
#include "ovsdb-idl.h"
#include "packets.h"
#include "smap.h"
#include "util.h"

/* Keys of external_ids of an attachment's Interface. */
#define KEY_CONTAINER_ID "lateen-container-id"
#define KEY_IFNAME "lateen-ifname"
#define KEY_NETNS "lateen-netns"
#define KEY_MAC "lateen-mac"
#define KEY_IPS "lateen-ips"            /* Separated by spaces. */
#define KEY_NETWORK "lateen-network"
#define KEY_POD_NAMESPACE "lateen-pod-namespace"
#define KEY_POD_NAME "lateen-pod-name"

/* Keys that Open vSwitch's own documentation gives a meaning to. */
#define KEY_IFACE_ID "iface-id"
#define KEY_ATTACHED_MAC "attached-mac"

void
ovsdb_rows_init(struct ovsdb_rows *rows, const char *remote)
{
    static struct ovsdb_idl_column *const columns[] = {
        &ovsrec_open_vswitch_col_bridges,
        &ovsrec_open_vswitch_col_cur_cfg,
        &ovsrec_open_vswitch_col_next_cfg,
        &ovsrec_open_vswitch_col_ovs_version,
        &ovsrec_bridge_col_datapath_type,
        &ovsrec_bridge_col_external_ids,
        &ovsrec_bridge_col_fail_mode,
        &ovsrec_bridge_col_flow_tables,
        &ovsrec_bridge_col_name,
        &ovsrec_bridge_col_other_config,
        &ovsrec_bridge_col_ports,
        &ovsrec_bridge_col_protocols,
        &ovsrec_flow_table_col_external_ids,
        &ovsrec_flow_table_col_name,
        &ovsrec_port_col_interfaces,
        &ovsrec_port_col_name,
        &ovsrec_interface_col_error,
        &ovsrec_interface_col_external_ids,
        &ovsrec_interface_col_mac,
        &ovsrec_interface_col_mtu_request,
        &ovsrec_interface_col_name,
        &ovsrec_interface_col_ofport,
        &ovsrec_interface_col_options,
        &ovsrec_interface_col_type,
    };
    static struct ovsdb_idl_column *const tracked[] = {
        &ovsrec_interface_col_error,
        &ovsrec_interface_col_external_ids,
        &ovsrec_interface_col_name,
        &ovsrec_interface_col_ofport,
        &ovsrec_open_vswitch_col_bridges,
    };

    rows->idl = ovsdb_idl_create(remote, &ovsrec_idl_class, false, true);
    for (size_t i = 0; i < ARRAY_SIZE(columns); i++) {
        ovsdb_idl_add_column(rows->idl, columns[i]);
    }
    for (size_t i = 0; i < ARRAY_SIZE(tracked); i++) {
        ovsdb_idl_track_add_column(rows->idl, tracked[i]);
    }
    rows->interface_by_name
        = ovsdb_idl_index_create1(rows->idl, &ovsrec_interface_col_name);
    rows->port_by_name
        = ovsdb_idl_index_create1(rows->idl, &ovsrec_port_col_name);
}

void
ovsdb_rows_destroy(struct ovsdb_rows *rows)
{
    ovsdb_idl_destroy(rows->idl);
}

const struct ovsrec_bridge *
ovsdb_rows_bridge(const struct ovsdb_rows *rows, const char *name)
{
    const struct ovsrec_bridge *br;

    OVSREC_BRIDGE_FOR_EACH (br, rows->idl) {
        if (!strcmp(br->name, name)) {
            return br;
        }
    }
    return NULL;
}

const struct ovsrec_interface *
ovsdb_rows_interface(const struct ovsdb_rows *rows, const char *name)
{
    struct ovsrec_interface *target
        = ovsrec_interface_index_init_row(rows->interface_by_name);

    ovsrec_interface_index_set_name(target, name);
    const struct ovsrec_interface *iface
        = ovsrec_interface_index_find(rows->interface_by_name, target);
    ovsrec_interface_index_destroy_row(target);
    return iface;
}

const struct ovsrec_port *
ovsdb_rows_port(const struct ovsdb_rows *rows, const char *name)
{
    struct ovsrec_port *target
        = ovsrec_port_index_init_row(rows->port_by_name);

    ovsrec_port_index_set_name(target, name);
    const struct ovsrec_port *port
        = ovsrec_port_index_find(rows->port_by_name, target);
    ovsrec_port_index_destroy_row(target);
    return port;
}

bool
ovsdb_bridge_has_port(const struct ovsrec_bridge *br,
                      const struct ovsrec_port *port)
{
    if (br && port) {
        for (size_t i = 0; i < br->n_ports; i++) {
            if (br->ports[i] == port) {
                return true;
            }
        }
    }
    return false;
}

bool
ovsdb_is_type(const struct smap *external_ids, const char *type)
{
    const char *mark = smap_get(external_ids, OVSDB_TYPE_KEY);

    if (!mark) {
        return false;
    }
    return (type
            ? !strcmp(mark, type)
            : !strcmp(mark, OVSDB_TYPE_POD)
              || !strcmp(mark, OVSDB_TYPE_GATEWAY)
              || !strcmp(mark, OVSDB_TYPE_TUNNEL));
}

bool
ovsdb_rows_is_attachment(const struct ovsdb_rows *rows,
                         const struct ovsrec_bridge *br,
                         const struct ovsrec_interface *iface)
{
    return (ovsdb_is_type(&iface->external_ids, OVSDB_TYPE_POD)
            && ovsdb_bridge_has_port(br, ovsdb_rows_port(rows,
                                                         iface->name)));
}

ofp_port_t
ovsdb_interface_ofport(const struct ovsrec_interface *iface)
{
    return (iface && iface->n_ofport
            && *iface->ofport > 0 && *iface->ofport < ofp_to_u16(OFPP_MAX)
            ? u16_to_ofp(*iface->ofport)
            : OFPP_NONE);
}

const char *
ovsdb_interface_error(const struct ovsrec_interface *iface)
{
    if (iface->error) {
        return iface->error;
    }
    return (iface->n_ofport && *iface->ofport < 0
            ? "Open vSwitch could not add the port; the log of ovs-vswitchd "
              "may tell why"
            : NULL);
}

void
ovsdb_attachment_encode(const struct attachment *a, struct smap *ids)
{
    smap_add(ids, OVSDB_TYPE_KEY, OVSDB_TYPE_POD);
    smap_add(ids, KEY_CONTAINER_ID, a->container_id);
    smap_add(ids, KEY_IFNAME, a->ifname);
    if (a->netns) {
        smap_add(ids, KEY_NETNS, a->netns);
    }
    smap_add_format(ids, KEY_MAC, ETH_ADDR_FMT, ETH_ADDR_ARGS(a->mac));

    struct ds ips = DS_EMPTY_INITIALIZER;
    for (size_t i = 0; i < a->ips.n; i++) {
        if (i) {
            ds_put_char(&ips, ' ');
        }
        ip_format(&a->ips.elems[i].addr, &ips);
    }
    smap_add_nocopy(ids, xstrdup(KEY_IPS), ds_steal_cstr(&ips));

    smap_add_format(ids, KEY_NETWORK, "%"PRIu32, a->network);
    if (a->pod_namespace) {
        smap_add(ids, KEY_POD_NAMESPACE, a->pod_namespace);
    }
    if (a->pod_name) {
        smap_add(ids, KEY_POD_NAME, a->pod_name);
    }

    smap_add_nocopy(ids, xstrdup(KEY_IFACE_ID),
                    attachment_key(a->container_id, a->ifname));
    smap_add_format(ids, KEY_ATTACHED_MAC, ETH_ADDR_FMT,
                    ETH_ADDR_ARGS(a->mac));
}

bool
ovsdb_attachment_matches(const struct smap *ids, const char *container_id,
                         const char *ifname)
{
    return (ovsdb_is_type(ids, OVSDB_TYPE_POD)
            && nullable_string_is_equal(smap_get(ids, KEY_CONTAINER_ID),
                                        container_id)
            && nullable_string_is_equal(smap_get(ids, KEY_IFNAME), ifname));
}

static bool
parse_ips(const char *s, struct ip_prefix_list *ips)
{
    char *copy = xstrdup(s);
    char *save_ptr = NULL;
    bool ok = true;

    for (char *ip = strtok_r(copy, " ", &save_ptr); ip && ok;
         ip = strtok_r(NULL, " ", &save_ptr)) {
        struct ip_prefix prefix = { .plen = 128 };

        ok = ip_addr_parse(ip, &prefix.addr);
        if (ok) {
            ip_prefix_list_add(ips, &prefix);
        }
    }
    free(copy);
    return ok;
}

char *
ovsdb_attachment_decode(const struct ovsrec_interface *iface,
                        struct model_object **objp)
{
    const struct smap *ids = &iface->external_ids;
    const char *container_id = smap_get(ids, KEY_CONTAINER_ID);
    const char *ifname = smap_get(ids, KEY_IFNAME);

    *objp = NULL;
    if (!container_id || !ifname) {
        return xasprintf("external_ids of Interface %s lack %s",
                         iface->name,
                         container_id ? KEY_IFNAME : KEY_CONTAINER_ID);
    }

    char *key = attachment_key(container_id, ifname);
    struct model_object *obj = model_object_new(MODEL_ATTACHMENT, NULL, key);
    struct attachment *a = attachment_cast(obj);
    const char *bad = NULL;
    unsigned int network;

    free(key);
    a->container_id = xstrdup(container_id);
    a->ifname = xstrdup(ifname);
    a->netns = nullable_xstrdup(smap_get(ids, KEY_NETNS));
    a->hostif = xstrdup(iface->name);
    a->pod_namespace = nullable_xstrdup(smap_get(ids, KEY_POD_NAMESPACE));
    a->pod_name = nullable_xstrdup(smap_get(ids, KEY_POD_NAME));
    a->ofport = ovsdb_interface_ofport(iface);
    if (!eth_addr_from_string(smap_get_def(ids, KEY_MAC, ""), &a->mac)) {
        bad = KEY_MAC;
    } else if (!parse_ips(smap_get_def(ids, KEY_IPS, ""), &a->ips)) {
        bad = KEY_IPS;
    } else if (!str_to_uint(smap_get_def(ids, KEY_NETWORK, ""), 10,
                            &network)) {
        bad = KEY_NETWORK;
    }
    if (bad) {
        model_object_free(obj);
        return xasprintf("external_ids:%s of Interface %s is \"%s\", which "
                         "cannot be parsed", bad, iface->name,
                         smap_get_def(ids, bad, ""));
    }

    a->network = network;
    *objp = obj;
    return NULL;
}
