/* SPDX-License-Identifier: GPL-3.0-or-later */
/* From the model to flows.
 *
 * Pure functions: each appends to a batch the flows that one object wants, in
 * the syntax of ovs-ofctl with tables by name, so that this code, the dump of
 * a bridge and doc/pipeline.rst read alike. */

#ifndef LATEEN_COMPILE_H
#define LATEEN_COMPILE_H 1

#include <stdbool.h>
#include "agent/ip.h"
#include "openvswitch/types.h"

struct attachment;
struct config;
struct flow_batch;
struct identity;
struct index_end;
struct index_policy;
struct model_object;
struct node;
struct policy_index;

/* What flows depend on besides the object that wants them.  When any of it
 * changes, everything is compiled again. */
struct compile_ctx {
    const struct config *config;
    const struct node *self;    /* This node's object; NULL until known. */
    struct in6_addr tunnel_ip;  /* Address of this node that tunnel packets
                                 * carry; in6addr_any until known. */
    int tunnel_family;          /* AF_INET or AF_INET6. */
    ofp_port_t gateway;         /* OFPP_NONE until known. */
    struct eth_addr gateway_mac;
    ofp_port_t tunnel;          /* OFPP_NONE while no tunnel is allowed. */
};

/* The cookie of the flows that 'obj', which is no namespace, wants. */
ovs_be64 compile_cookie(const struct model_object *obj);
ovs_be64 compile_end_cookie(const struct index_end *);
ovs_be64 compile_identity_cookie(const struct identity *);

/* The cookie of the flows of the pipeline itself. */
ovs_be64 compile_base_cookie(void);

/* The flows that no single object wants: the tables' common ones. */
void compile_base(const struct compile_ctx *, struct flow_batch *);

/* The flows of a node, this one (ctx->self) or a peer.  A peer without an
 * address of the tunnel's family gets none that lead into the tunnel. */
void compile_node(const struct compile_ctx *, const struct node *,
                  struct flow_batch *);

/* The flows of an attachment; none before its port has a number. */
void compile_attachment(const struct attachment *, struct flow_batch *);

/* The flows that map the addresses of 'end' to its identity, and say whether
 * policies isolate it. */
void compile_end(const struct policy_index *, const struct index_end *end,
                 struct flow_batch *);

/* The flows by which an identity takes part in rules. */
void compile_identity(const struct policy_index *, const struct identity *,
                      struct flow_batch *);

/* The flows of a policy: those of its rules that are not of identities. */
void compile_policy(const struct policy_index *, const struct index_policy *,
                    struct flow_batch *);

#endif /* flows/compile.h */
