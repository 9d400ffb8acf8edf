/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Waiting for revalidators: see reval.h.
 *
 * With bridges of several datapath types, "revalidator/wait" is refused.  Then
 * "revalidator/purge" serves: it takes all flows out of the datapaths before
 * it answers, so that the next packets are looked up in the tables. */

#include <config.h>
#include "reval.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "jsonrpc.h"
#include "openvswitch/json.h"
#include "openvswitch/poll-loop.h"
#include "openvswitch/vlog.h"
#include "socket-util.h"
#include "stream.h"
#include "timeval.h"
#include "util.h"

VLOG_DEFINE_THIS_MODULE(reval);

/* Time between attempts to connect, in ms. */
#define RETRY_INTERVAL 1000

struct reval {
    char *rundir;
    struct jsonrpc *rpc;        /* To ovs-vswitchd's control socket, or
                                 * NULL. */
    bool proven;                /* 'rpc' has answered before. */
    bool waiting;
    bool purge;                 /* Waiting is refused: purge. */
    struct json *id;            /* Of the request that is under way. */
    long long int retry;        /* Not before this time (time_msec()). */
    char *error;
};

static void reval_fail(struct reval *, char *error);

struct reval *
reval_create(const char *rundir)
{
    struct reval *r = xzalloc(sizeof *r);

    r->rundir = xstrdup(rundir);
    return r;
}

static void
reval_close(struct reval *r)
{
    jsonrpc_close(r->rpc);
    r->rpc = NULL;
    r->proven = false;
    json_destroy(r->id);
    r->id = NULL;
}

void
reval_destroy(struct reval *r)
{
    if (r) {
        reval_close(r);
        free(r->rundir);
        free(r->error);
        free(r);
    }
}

void
reval_start(struct reval *r)
{
    ovs_assert(!r->waiting);
    r->waiting = true;
}

void
reval_cancel(struct reval *r)
{
    /* An answer that is under way would be taken for one to the next
     * request. */
    if (r->id) {
        reval_close(r);
    }
    r->waiting = false;
}

bool
reval_is_waiting(const struct reval *r)
{
    return r->waiting;
}

const char *
reval_last_error(const struct reval *r)
{
    return r->error;
}

/* Stores in '*targetp' the name of ovs-vswitchd's control socket, to be freed
 * by the caller.  Returns NULL or an error message, to be freed as well. */
static char * OVS_WARN_UNUSED_RESULT
find_target(const struct reval *r, char **targetp)
{
    char *pidfile = xasprintf("%s/ovs-vswitchd.pid", r->rundir);
    FILE *file = fopen(pidfile, "r");
    char *error = NULL;
    long int pid;

    *targetp = NULL;
    if (!file) {
        error = xasprintf("%s: %s", pidfile, ovs_strerror(errno));
    } else if (fscanf(file, "%ld", &pid) != 1) {
        error = xasprintf("%s: no process id in it", pidfile);
    } else {
        *targetp = xasprintf("unix:%s/ovs-vswitchd.%ld.ctl", r->rundir, pid);
    }
    if (file) {
        fclose(file);
    }
    free(pidfile);
    return error;
}

static void
reval_connect(struct reval *r)
{
    struct stream *stream;
    char *target;
    char *error;
    int retval;

    error = find_target(r, &target);
    if (error) {
        reval_fail(r, error);
        return;
    }
    retval = stream_open(target, &stream, DSCP_DEFAULT);
    if (retval) {
        reval_fail(r, xasprintf("%s: %s", target, ovs_strerror(retval)));
    } else {
        r->rpc = jsonrpc_open(stream);
    }
    free(target);
}

/* Closes the connection.  Takes ownership of 'error'. */
static void
reval_fail(struct reval *r, char *error)
{
    static struct vlog_rate_limit rl = VLOG_RATE_LIMIT_INIT(1, 5);

    /* One that served until now was closed by ovs-vswitchd's end: there may be
     * another one by now. */
    if (r->proven) {
        r->retry = 0;
        free(error);
    } else {
        VLOG_WARN_RL(&rl, "cannot ask whether the datapath follows the "
                     "tables: %s", error);
        r->retry = time_msec() + RETRY_INTERVAL;
        free(r->error);
        r->error = error;
    }
    reval_close(r);
}

/* Takes in a reply.  Returns true if a dump has ended. */
static bool
reval_reply(struct reval *r, const struct jsonrpc_msg *msg)
{
    if ((msg->type != JSONRPC_REPLY && msg->type != JSONRPC_ERROR)
        || !r->id || !json_equal(msg->id, r->id)) {
        reval_fail(r, xstrdup("unexpected message from ovs-vswitchd"));
        return false;
    }

    json_destroy(r->id);
    r->id = NULL;
    if (msg->error) {
        if (!r->purge) {
            VLOG_WARN("revalidator/wait is refused (%s): each change will "
                      "purge the datapath's flows",
                      msg->error->type == JSON_STRING
                      ? json_string(msg->error) : "without reason");
            r->purge = true;
        } else {
            reval_fail(r, xstrdup("ovs-vswitchd knows neither "
                                  "revalidator/wait nor revalidator/purge"));
        }
        return false;
    }
    r->proven = true;
    free(r->error);
    r->error = NULL;
    r->waiting = false;
    return true;
}

bool
reval_run(struct reval *r)
{
    bool ended = false;

    if (!r->waiting) {
        return false;
    }
    if (!r->rpc) {
        if (time_msec() < r->retry) {
            return false;
        }
        /* Another ovs-vswitchd may have other bridges. */
        r->purge = false;
        reval_connect(r);
    }

    /* A refused request is followed by another one at once. */
    for (int i = 0; i < 3 && r->rpc && r->waiting; i++) {
        struct jsonrpc_msg *msg;
        int error;

        jsonrpc_run(r->rpc);
        if (!r->id) {
            msg = jsonrpc_create_request(r->purge ? "revalidator/purge"
                                         : "revalidator/wait",
                                         json_array_create_empty(), &r->id);
            jsonrpc_send(r->rpc, msg);
        }
        error = jsonrpc_recv(r->rpc, &msg);
        if (!error) {
            ended = reval_reply(r, msg);
            jsonrpc_msg_destroy(msg);
        } else if (error != EAGAIN) {
            reval_fail(r, xasprintf("%s: %s", jsonrpc_get_name(r->rpc),
                                    ovs_retval_to_string(error)));
        } else {
            break;
        }
    }
    return ended;
}

void
reval_wait(struct reval *r)
{
    if (!r->waiting) {
        return;
    }
    if (!r->rpc) {
        poll_timer_wait_until(r->retry);
    } else if (!r->id) {
        poll_immediate_wake();
    } else {
        jsonrpc_wait(r->rpc);
        jsonrpc_recv_wait(r->rpc);
    }
}
