/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What the files of the policy index share: policy-index.c what has changed,
 * policy-rules.c the policies, policy-members.c whom they select,
 * policy-ends.c who that is. */

#ifndef LATEEN_POLICY_INDEX_PRIVATE_H
#define LATEEN_POLICY_INDEX_PRIVATE_H 1

#include "agent/model.h"
#include "agent/policy.h"
#include "hash.h"
#include "policy-index.h"

/* Conjunctions for each priority, and priorities.  One may have twice as many,
 * and some more, as chance has it: see policy_index_priority(). */
#define PAGE_SIZE 1500
#define PAGES_MAX 64

static inline void
index_set_dirty(struct ovs_list *list, struct ovs_list *node)
{
    if (ovs_list_is_empty(node)) {
        ovs_list_push_back(list, node);
    }
}

static inline void
index_list_leave(struct ovs_list *node)
{
    ovs_list_remove(node);
    ovs_list_init(node);
}

static inline uint32_t
index_names_hash(const char *namespace, const char *name)
{
    return hash_string(name, hash_string(namespace ? namespace : "", 0));
}

static inline const struct policy_direction *
index_policy_side(const struct policy *policy, enum policy_side side)
{
    return (side == POLICY_INGRESS ? &policy->spec->ingress
            : &policy->spec->egress);
}

/* policy-index.c */

/* Lists the object of 'cookie' as gone. */
void index_add_removed(struct policy_index *pi, ovs_be64 cookie);

/* policy-rules.c */

/* The numbers of 'ip''s ports with names may differ. */
void index_policy_set_stale(struct policy_index *pi, struct index_policy *ip);

/* Ends the conjunctions of 'ip'. */
void index_policy_remove_rules(struct policy_index *pi,
                               struct index_policy *ip);

/* Updates the policy 'obj', which may be gone. */
void index_update_policy(struct policy_index *pi, const struct model *model,
                         const struct model_object *obj);

/* Counts the numbers of ports with names again, where they may differ. */
void index_refresh_named(struct policy_index *pi);

/* policy-members.c */

/* The number that 'identity' has for 'port', which has a name; 0 if none. */
uint16_t index_port_number(const struct identity *identity,
                           const struct policy_port *port);

/* Judges 'identity' by all policies. */
void index_judge_identity(struct policy_index *pi, struct identity *identity,
                          const struct model *model);

/* Judges all identities by 'ip', or has them forget it if its 'policy' is
 * NULL. */
void index_judge_policy(struct policy_index *pi, struct index_policy *ip,
                        const struct model *model);

/* policy-ends.c */

/* Frees 'end'; 'removed' lists its flows as to go. */
void index_end_destroy(struct policy_index *pi, struct index_end *end,
                       bool removed);

/* Updates the end of the pod or attachment 'obj', which may be gone. */
void index_update_end(struct policy_index *pi, const struct model *model,
                      const struct model_object *obj);

/* Updates this node's attachments of the pod 'obj'. */
void index_update_attachments(struct policy_index *pi,
                              const struct model *model,
                              const struct model_object *obj);

#endif /* flows/policy-index-private.h */
