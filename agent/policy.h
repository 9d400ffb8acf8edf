/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Network policies
 * ================
 *
 * The specification of a NetworkPolicy (networking.k8s.io/v1), typed and with
 * the API's defaults filled in.  What the API server would refuse is refused
 * here, in its terms; what it would prune (a field that it does not know) is
 * refused as well, because a rule that lost a condition allows more than its
 * author meant. */

#ifndef LATEEN_POLICY_H
#define LATEEN_POLICY_H 1

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "agent/ip.h"
#include "agent/selector.h"

struct yaml_node;
struct yaml_report;

/* Ports of one protocol. */
struct policy_port {
    uint8_t protocol;           /* IPPROTO_TCP, _UDP or _SCTP. */
    uint16_t first;             /* 0 for all ports, or with 'name'. */
    uint16_t last;              /* At least 'first'. */
    char *name;                 /* A container port's name, or NULL. */
};

/* One side of the connections that a rule allows: pods by selectors, or
 * addresses. */
struct policy_peer {
    /* Pods of the policy's namespace if only 'pods' is there, all pods of the
     * namespaces if only 'namespaces' is.  Both NULL for addresses. */
    struct selector *pods;
    struct selector *namespaces;

    struct ip_prefix block;     /* Masked.  For addresses. */
    struct ip_prefix_list except; /* Masked, each strictly inside 'block'. */
};

/* A rule allows what comes from (or goes to) any of its peers on any of its
 * ports. */
struct policy_rule {
    struct policy_peer *peers;  /* None: everybody. */
    size_t n_peers;
    struct policy_port *ports;  /* None: everything, whatever protocol. */
    size_t n_ports;
};

/* The rules for one direction. */
struct policy_direction {
    bool isolated;              /* The policy is of this type: what no rule of
                                 * any policy allows is denied. */
    struct policy_rule *rules;  /* None unless 'isolated'. */
    size_t n_rules;
};

struct policy_spec {
    struct selector pods;       /* Whom it is for, in its own namespace. */
    struct policy_direction ingress;
    struct policy_direction egress;
};

/* Parses 'node', the "spec" of a NetworkPolicy or NULL if it has none.
 * Returns the specification, which the caller frees, or NULL after having put
 * everything that is wrong with it into 'report'. */
struct policy_spec *policy_spec_parse(const struct yaml_node *node,
                                      struct yaml_report *report);

/* Frees 'spec', which may be NULL. */
void policy_spec_free(struct policy_spec *spec);

/* Whether 'a' and 'b' say the same.  The order of rules, peers and ports
 * counts; that of requirements and their values does not. */
bool policy_spec_equals(const struct policy_spec *a,
                        const struct policy_spec *b);

#endif /* agent/policy.h */
