/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What Lateen writes into the Open vSwitch database for itself: the bridge,
 * its gateway port and its tunnel port, compared with what is there.
 *
 * A bridge that was there before is adopted.  Of such a bridge these columns
 * and keys are written, and no others:
 *
 *   - fail_mode (secure), datapath_type, other_config:disable-in-band (true),
 *     and protocols, which gets OpenFlow15 where it lists others only;
 *   - flow_tables, for tables that have no row there;
 *   - ports, for Lateen's ports;
 *   - external_ids whose keys start with "lateen-".  The former values of what
 *     is overwritten are kept there, and put back when Lateen leaves.
 *
 * For ovsdb.c only. */

#ifndef LATEEN_OVSDB_SETUP_H
#define LATEEN_OVSDB_SETUP_H 1

#include <stdbool.h>
#include "openvswitch/compiler.h"

struct ovsdb_idl_txn;
struct ovsdb_rows;
struct ovsdb_wanted;
struct ovsrec_bridge;

/* Writes into 'txn' what it takes to come from 'rows' closer to 'wanted'.
 * Returns whether that was anything: if so, what remains (as the ports of a
 * bridge that is new) is for the next transaction.
 *
 * If something stands in the way that another has to remove, sets '*errorp' to
 * a message that the caller frees, otherwise to NULL. */
bool ovsdb_setup_write(const struct ovsdb_rows *rows,
                       struct ovsdb_idl_txn *txn,
                       const struct ovsdb_wanted *wanted, char **errorp)
    OVS_WARN_UNUSED_RESULT;

/* Writes into the transaction that is open what it takes to remove from 'rows'
 * all that Lateen made, attachments too. */
void ovsdb_setup_remove(const struct ovsdb_rows *rows);

/* Whether the bridge was there before Lateen. */
bool ovsdb_setup_is_adopted(const struct ovsrec_bridge *);

#endif /* agent/ovsdb-setup.h */
