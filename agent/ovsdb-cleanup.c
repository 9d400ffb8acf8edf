/* SPDX-License-Identifier: GPL-3.0-or-later */
/* ovsdb_cleanup(): see ovsdb.h.  It has a connection of its own. */

#include <config.h>
#include "agent/ovsdb.h"

#include "agent/ovsdb-rows.h"
#include "agent/ovsdb-setup.h"
#include "lib/vswitch-idl.h"
#include "openvswitch/poll-loop.h"
#include "ovsdb-idl.h"
#include "sset.h"
#include "timeval.h"
#include "util.h"

/* Waits for something that ovsdb_cleanup() waits for.  Returns false when
 * 'deadline' has come. */
static bool
cleanup_block(const struct ovsdb_rows *rows, const struct ovsdb_idl_txn *txn,
              long long int deadline)
{
    if (time_msec() >= deadline) {
        return false;
    }
    ovsdb_idl_wait(rows->idl);
    if (txn) {
        ovsdb_idl_txn_wait(txn);
    }
    poll_timer_wait_until(deadline);
    poll_block();
    ovsdb_idl_run(rows->idl);
    return true;
}

/* Makes one attempt at ovsdb_cleanup()'s transaction.  Sets '*cfgp' to the
 * value that Open_vSwitch's cur_cfg will have when ovs-vswitchd has dealt with
 * it, 0 if it was not made. */
static enum ovsdb_idl_txn_status
cleanup_try(const struct ovsdb_rows *rows, long long int deadline,
            int64_t *cfgp, char **errorp)
{
    const struct ovsrec_open_vswitch *row
        = ovsrec_open_vswitch_first(rows->idl);
    struct ovsdb_idl_txn *txn = ovsdb_idl_txn_create(rows->idl);
    enum ovsdb_idl_txn_status status;

    *cfgp = 0;
    ovsdb_idl_txn_add_comment(txn, "%s: cleanup", program_name);
    ovsdb_setup_remove(rows);
    if (row) {
        ovsdb_idl_txn_increment(txn, &row->header_,
                                &ovsrec_open_vswitch_col_next_cfg, false);
    }
    do {
        status = ovsdb_idl_txn_commit(txn);
    } while (status == TXN_INCOMPLETE && cleanup_block(rows, txn, deadline));
    if (status == TXN_SUCCESS) {
        *cfgp = ovsdb_idl_txn_get_increment_new_value(txn);
    } else if (status == TXN_UNCHANGED && row) {
        *cfgp = row->next_cfg;
    } else if (status == TXN_ERROR) {
        *errorp = xasprintf("the Open vSwitch database refuses the cleanup: "
                            "%s", ovsdb_idl_txn_get_error(txn));
    }
    ovsdb_idl_txn_destroy(txn);
    return status;
}

/* Adds to 'hostifs' the names of the attachments' devices. */
static void
list_hostifs(const struct ovsdb_rows *rows, struct sset *hostifs)
{
    const struct ovsrec_interface *iface;

    OVSREC_INTERFACE_FOR_EACH (iface, rows->idl) {
        if (ovsdb_is_type(&iface->external_ids, OVSDB_TYPE_POD)) {
            sset_add(hostifs, iface->name);
        }
    }
}

char *
ovsdb_cleanup(const char *remote, int timeout, struct sset *hostifs)
{
    long long int deadline = time_msec() + timeout;
    enum ovsdb_idl_txn_status status = TXN_TRY_AGAIN;
    struct ovsdb_rows rows;
    char *error = NULL;
    int64_t cfg = 0;

    ovsdb_rows_init(&rows, remote);
    ovsdb_idl_run(rows.idl);
    while (status == TXN_TRY_AGAIN) {
        if (ovsdb_idl_has_ever_connected(rows.idl)) {
            list_hostifs(&rows, hostifs);
            status = cleanup_try(&rows, deadline, &cfg, &error);
        }
        if (status == TXN_TRY_AGAIN
            && !cleanup_block(&rows, NULL, deadline)) {
            break;
        }
    }

    const struct ovsrec_open_vswitch *row
        = ovsrec_open_vswitch_first(rows.idl);
    while (cfg && row && row->cur_cfg < cfg && !error) {
        if (!cleanup_block(&rows, NULL, deadline)) {
            error = xasprintf("ovs-vswitchd has not dealt with the cleanup "
                              "within %d ms; is it running?", timeout);
        }
        row = ovsrec_open_vswitch_first(rows.idl);
    }

    if (!error && status != TXN_SUCCESS && status != TXN_UNCHANGED) {
        error = xasprintf("the Open vSwitch database at %s has not taken the "
                          "cleanup within %d ms; is ovsdb-server running?",
                          remote, timeout);
    }
    ovsdb_rows_destroy(&rows);
    return error;
}
