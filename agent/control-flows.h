/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The commands of the control socket that ask the switch for its flows, and
 * what they have to say of whose a flow is. */

#ifndef LATEEN_CONTROL_FLOWS_H
#define LATEEN_CONTROL_FLOWS_H 1

#include "openvswitch/types.h"

struct flow_refusal;
struct index_policy;
struct lateend;
struct ofputil_flow_stats;

/* Registers the commands; they read 'lateend', which must outlive them.  Has
 * refused flows logged with the names of their owners. */
void control_flows_init(struct lateend *);
void control_policies_init(struct lateend *);

/* What the object with that cookie is called, to be freed. */
char *control_owner_name(const struct lateend *, ovs_be64 cookie);

/* A refusal as a line for people, to be freed. */
char *control_refusal_text(const struct lateend *,
                           const struct flow_refusal *);

/* The identity of the pod that the cookie's owner is, or NULL. */
const struct identity *control_pod_identity(const struct lateend *,
                                            ovs_be64 cookie);

/* Calls 'cb' for each policy that 'fs' serves, maybe more than once: by a
 * conjunction of the policy, as a clause or when that is complete, or by
 * isolating a pod that it selects. */
void control_flow_policies(const struct lateend *,
                           const struct ofputil_flow_stats *fs,
                           void (*cb)(const struct index_policy *, void *aux),
                           void *aux);

#endif /* agent/control-flows.h */
