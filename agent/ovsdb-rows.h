/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The rows of the Open vSwitch database that Lateen reads and writes: which
 * columns are replicated, how rows are found, and how an attachment is written
 * in external_ids.
 *
 * For ovsdb*.c only. */

#ifndef LATEEN_OVSDB_ROWS_H
#define LATEEN_OVSDB_ROWS_H 1

#include <stdbool.h>
#include "openvswitch/compiler.h"
#include "openvswitch/types.h"

struct attachment;
struct model_object;
struct ovsdb_idl;
struct ovsrec_bridge;
struct ovsrec_interface;
struct ovsrec_open_vswitch;
struct ovsrec_port;
struct smap;

/* The key of external_ids that marks what Lateen made, and its values. */
#define OVSDB_TYPE_KEY "lateen-type"
#define OVSDB_TYPE_BRIDGE "bridge"      /* Bridge, also an adopted one. */
#define OVSDB_TYPE_TABLE "table"        /* Flow_Table. */
#define OVSDB_TYPE_GATEWAY "gateway"    /* Port and Interface. */
#define OVSDB_TYPE_TUNNEL "tunnel"      /* Port and Interface. */
#define OVSDB_TYPE_POD "pod"            /* Port and Interface. */

/* The replica, with what it takes to find rows in it. */
struct ovsdb_rows {
    struct ovsdb_idl *idl;
    struct ovsdb_idl_index *interface_by_name;
    struct ovsdb_idl_index *port_by_name;
};

/* Creates the replica of the database at 'remote', of the columns that this
 * module and its callers read or change. */
void ovsdb_rows_init(struct ovsdb_rows *, const char *remote);
void ovsdb_rows_destroy(struct ovsdb_rows *);

/* The row, or NULL. */
const struct ovsrec_bridge *ovsdb_rows_bridge(const struct ovsdb_rows *,
                                              const char *name);
const struct ovsrec_interface *ovsdb_rows_interface(const struct ovsdb_rows *,
                                                    const char *name);
const struct ovsrec_port *ovsdb_rows_port(const struct ovsdb_rows *,
                                          const char *name);

/* Whether 'port' is one of 'br''s.  Both may be null. */
bool ovsdb_bridge_has_port(const struct ovsrec_bridge *br,
                           const struct ovsrec_port *port);

/* Whether these external_ids carry the mark 'type', or, if 'type' is null, the
 * mark of any kind of port. */
bool ovsdb_is_type(const struct smap *external_ids, const char *type);

/* Whether 'iface' is an attachment, with a port on 'br', which may be null. */
bool ovsdb_rows_is_attachment(const struct ovsdb_rows *,
                              const struct ovsrec_bridge *br,
                              const struct ovsrec_interface *iface);

/* The OpenFlow port that Open vSwitch gave; OFPP_NONE as long as it has not,
 * or if it cannot, or if 'iface' is null. */
ofp_port_t ovsdb_interface_ofport(const struct ovsrec_interface *iface);

/* Why Open vSwitch cannot give 'iface' a port, or NULL if it has not said so.
 * For some reasons it has no text. */
const char *ovsdb_interface_error(const struct ovsrec_interface *iface);

/* Adds to 'ids' the external_ids of an Interface that is the attachment
 * 'a'. */
void ovsdb_attachment_encode(const struct attachment *a, struct smap *ids);

/* Whether 'ids' are those of the attachment of 'ifname' in 'container_id'. */
bool ovsdb_attachment_matches(const struct smap *ids, const char *container_id,
                              const char *ifname);

/* Reads the attachment that 'iface' is.  Sets '*objp' to a new object of a
 * model, which the caller owns, and returns NULL; or sets it to NULL and
 * returns a message that the caller frees. */
char *ovsdb_attachment_decode(const struct ovsrec_interface *iface,
                              struct model_object **objp)
    OVS_WARN_UNUSED_RESULT;

#endif /* agent/ovsdb-rows.h */
