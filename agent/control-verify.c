/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The command "ipsec/verify" of the control socket: see verify.h. */

#include <config.h>
#include "control.h"

#include <stdlib.h>

#include "config.h"
#include "control-json.h"
#include "host.h"
#include "ipsec/verify.h"
#include "lateend.h"
#include "openvswitch/poll-loop.h"
#include "unixctl.h"
#include "util.h"

/* What is under way, and who waits for it; NULL if nothing is. */
static struct verify *verify;
static struct unixctl_conn *verify_conn;

static void
control_verify(struct unixctl_conn *conn, int argc, const char *argv[],
               void *d_)
{
    const struct lateend *d = d_;
    struct host_uplink uplink;

    if (control_refuses_ipsec(d, conn)) {
        return;
    }
    if (verify) {
        unixctl_command_reply_error(conn, "another one is under way; try "
                                    "again in a few seconds");
    } else if (!host_find_uplink(d->host, &d->tunnel_ip, &uplink)) {
        unixctl_command_reply_error(conn, "no device has this node's address");
    } else {
        char *error = verify_start(&d->model, d->config, d->node,
                                   argc > 1 ? argv[1] : NULL, uplink.name,
                                   d->tunnel_family, &verify);

        if (error) {
            unixctl_command_reply_error(conn, error);
            free(error);
            return;
        }
        verify_conn = conn;
        poll_immediate_wake();
    }
}

void
control_verify_run(const struct lateend *d)
{
    if (verify && verify_run(verify, guard_get_status(d->guard))) {
        reply(verify_conn, verify_to_json(verify));
        verify_destroy(verify);
        verify = NULL;
        verify_conn = NULL;
    }
}

void
control_verify_wait(void)
{
    if (verify) {
        verify_wait(verify);
    }
}

void
control_verify_init(struct lateend *d)
{
    unixctl_command_register("ipsec/verify", "[PEER]", 0, 1, control_verify,
                             d);
}
