/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The agent's side of the CNI plugin's calls
 * ==========================================
 *
 * The plugin asks over the control socket, each time with one parameter, a
 * JSON object, and is answered with one:
 *
 *     cni/info    what the plugin has to know of this node
 *     cni/add     puts a port on the bridge; answered when the container's own
 *                 flows are in the switch
 *     cni/del     takes it away; answered when its flows are gone
 *     cni/check   whether port and flows are in place
 *
 * An error begins with a code of the CNI specification and a space.
 *
 * What is asked is written to OVSDB and comes back from there as an attachment
 * of the model; the flows follow from the model.  Here is only asking and
 * waiting. */

#ifndef LATEEN_CNI_SERVER_H
#define LATEEN_CNI_SERVER_H 1

#include <stdbool.h>
#include <stdint.h>

struct cni_server;
struct config;
struct model;
struct ovsdb;

/* What the calls look at, as it is now. */
struct cni_server_ctx {
    struct model *model;
    struct ovsdb *ovsdb;
    const struct config *config;
    const char *node;           /* This node's name. */
    unsigned int mtu;           /* Of pods, in bytes; 0 until known. */
    uint64_t compiled;          /* Change of the model up to which there are
                                 * flows for it. */
    uint64_t flows_seqno;       /* Last change of the flow table. */
    uint64_t installed;         /* Its last change that is in the switch's
                                 * tables. */
    uint64_t realized;          /* Its last change that the switch's datapath
                                 * follows, too. */
};

/* Registers the commands. */
struct cni_server *cni_server_create(void);

/* Carries the calls on. */
void cni_server_run(struct cni_server *, const struct cni_server_ctx *);
void cni_server_wait(struct cni_server *);

/* Parses the parameter of a call.  Returns NULL, or an error that begins with
 * its code and that the caller frees.  Here for the fuzzer. */
struct attachment;
char *cni_server_parse(const char *text, bool add, struct attachment **);

#endif /* cni/cni-server.h */
