/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The agent's side of the CNI plugin's calls
 * ==========================================
 *
 * The plugin asks over the control socket, each time with one parameter, a
 * JSON object (cni-request.h), and is answered with one:
 *
 *     cni/info    whether an ADD may begin, and what it has to know of this
 *                 node
 *     cni/add     puts a port on the bridge; answered when the container's own
 *                 flows are in the switch
 *     cni/del     takes it away; answered when port and flows are gone
 *     cni/check   whether port and flows are in place
 *
 * An error begins with a code of the CNI specification and a space.  After
 * one, there is nothing left of what was asked.
 *
 * What is asked is written to OVSDB and comes back from there as an attachment
 * of the model; the flows follow from the model.  Here is only asking and
 * waiting.
 *
 * An attachment whose device has gone, because its network namespace has, is
 * detached without being asked: nothing can pass by it any more, and its
 * container's runtime may have gone too.
 *
 * Everything here belongs to the main thread and never blocks. */

#ifndef LATEEN_CNI_SERVER_H
#define LATEEN_CNI_SERVER_H 1

#include <stdint.h>

struct cni_server;
struct config;
struct flow_table;
struct model;
struct ofctrl;
struct ovsdb;

/* What the calls look at, as it is now. */
struct cni_server_ctx {
    struct model *model;
    struct ovsdb *ovsdb;
    struct flow_table *flow_table;
    struct ofctrl *ofctrl;
    const struct config *config;
    const char *node;           /* This node's name. */
    unsigned int mtu;           /* Of pods, in bytes; 0 until known. */
    uint64_t compiled;          /* Change of the model up to which there are
                                 * flows for it. */
};

/* Registers the commands. */
struct cni_server *cni_server_create(void);

/* Carries the calls on. */
void cni_server_run(struct cni_server *, const struct cni_server_ctx *);
void cni_server_wait(struct cni_server *);

#endif /* cni/cni-server.h */
