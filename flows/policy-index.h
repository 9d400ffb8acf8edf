/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Who is selected by which policy
 * ===============================
 *
 * Policies select pods by their labels, their namespace's labels and the names
 * of their containers' ports.  Pods of one namespace that have all of these in
 * common cannot be told apart by any policy: they share an identity, and flows
 * map addresses to identities before rules look at them.  So a pod that comes
 * or goes costs the flows of its addresses, and a policy those of its rules
 * and of the identities that it selects.
 *
 * A rule becomes one conjunction (ovs-fields(7), "conj_id"), and one more for
 * each number that one of its named ports has among the pods that it may lead
 * to.  Its clauses are the pods that the policy is for, the other side, and
 * the ports.
 *
 * policy_index_update() takes in what has changed in the model and lists what
 * is to be compiled again.  Numbers of identities and conjunctions are hashes
 * of what they stand for, so that a restarted agent computes the same; where
 * two hashes are the same, the later object takes the next free number.
 *
 * Everything here belongs to the main thread. */

#ifndef LATEEN_POLICY_INDEX_H
#define LATEEN_POLICY_INDEX_H 1

#include <stdbool.h>
#include <stdint.h>
#include "agent/ip.h"
#include "hmapx.h"
#include "openvswitch/hmap.h"
#include "openvswitch/list.h"
#include "smap.h"

struct attachment;
struct model;
struct pod;
struct policy;
struct policy_rule;

enum policy_side {
    POLICY_INGRESS,
    POLICY_EGRESS,
    POLICY_N_SIDES
};

/* Numbers of identities that are none: what no selector matches, and a pod of
 * which nothing is known yet. */
#define IDENTITY_NONE 0
#define IDENTITY_UNKNOWN 1

/* One conjunction of a rule. */
struct policy_conj {
    struct hmap_node id_node;   /* In the index's 'conjs', by 'id'. */
    uint32_t id;
    const struct index_policy *policy; /* Whose it is. */
    enum policy_side side;
    int rule;
    int port;                   /* Which port of the rule, one with a name; -1
                                 * for all that have numbers. */
    uint16_t number;            /* Of that port. */
};

struct index_rule {
    struct policy_conj **conjs; /* Ordered by port and number. */
    size_t n_conjs;
    bool named;                 /* Some ports have names. */
};

/* A policy. */
struct index_policy {
    struct hmap_node hmap_node; /* In the index's 'policies', by names. */
    struct ovs_list dirty_node; /* In 'dirty_policies', or empty. */
    struct ovs_list stale_node; /* In 'stale_policies', or empty. */
    char *namespace, *name;
    uint64_t id;                /* The object's. */
    const struct policy *policy; /* In the model. */
    struct index_rule *rules[POLICY_N_SIDES]; /* As in the policy. */
    size_t n_rules[POLICY_N_SIDES];
    bool named;                 /* Some rule has ports with names. */
    struct hmapx identities;    /* If 'named', those that take part. */
};

/* What an identity is to a policy. */
struct index_member {
    struct index_policy *policy;
    enum policy_side side;
    int rule;                   /* A peer of this rule; -1: the policy is for
                                 * this identity. */
};

/* An identity. */
struct identity {
    struct hmap_node key_node;  /* In the index's 'identities', by 'key'. */
    struct hmap_node id_node;   /* In the index's 'ids', by 'id'. */
    struct ovs_list dirty_node; /* In 'dirty_identities', or empty. */
    char *key;                  /* All of the below, as text. */
    uint32_t id;
    struct ovs_list ends;       /* "struct index_end"s that have it. */
    char *namespace;
    struct smap labels;
    struct smap ports;          /* From "PROTOCOL/NAME" to the number. */
    bool isolated[POLICY_N_SIDES];
    struct index_member *members;
    size_t n_members, allocated_members;
};

/* An owner of addresses: an attachment of this node, or a pod. */
struct index_end {
    struct hmap_node hmap_node; /* In the index's 'ends', by names. */
    struct hmap_node pod_node;  /* In the index's 'by_pod', by the pod's
                                 * names; unless 'anonymous'. */
    struct ovs_list dirty_node; /* In 'dirty_ends', or empty. */
    struct ovs_list identity_node; /* In 'identity', if it has one. */
    bool is_attachment;         /* Of this node; otherwise a pod. */
    bool anonymous;             /* A plain container. */
    char *namespace, *name;     /* Of the object. */
    char *pod_namespace, *pod_name; /* NULL if 'anonymous'. */
    uint64_t id;                /* The object's. */
    uint32_t network;
    struct ip_prefix_list ips;
    struct identity *identity;  /* NULL if it is plain, or not known. */
};

struct policy_index {
    struct hmap policies;       /* Contains "struct index_policy". */
    struct hmap conjs;          /* Contains "struct policy_conj". */
    size_t n_conjs[POLICY_N_SIDES];
    unsigned int n_pages;       /* See policy_index_priority(). */
    struct hmap identities, ids; /* Contain "struct identity". */
    struct hmap ends, by_pod;   /* Contain "struct index_end". */
    struct hmap addresses;      /* Contains "struct index_address". */

    struct ovs_list dirty_policies, dirty_identities, dirty_ends;
    struct ovs_list stale_policies; /* The numbers of their ports with names
                                     * may differ. */

    /* The objects whose flows are to go, as their cookies. */
    ovs_be64 *removed;
    size_t n_removed, allocated_removed;
};

void policy_index_init(struct policy_index *);
void policy_index_destroy(struct policy_index *);

/* Takes in what has changed in 'model' after the change 'since'; everything,
 * if 'since' is 0 and nothing has been taken in yet. */
void policy_index_update(struct policy_index *, const struct model *,
                         uint64_t since);

/* Lists everything as to be compiled. */
void policy_index_set_dirty(struct policy_index *);

/* Empties the lists of what is to be compiled and of what is gone, when the
 * caller has dealt with them. */
void policy_index_clear_dirty(struct policy_index *);

/* The priority of a conjunction's flows.  A flow can carry some 4,000
 * conjunctions, and one address may be in more rules: so rules are spread over
 * several priorities where there are many.  With each 1,500 rules more there
 * is one priority more, to which half of the rules of one other move, and
 * never fewer while the agent runs.  One that is started has as many as it
 * needs. */
int policy_index_priority(const struct policy_index *,
                          const struct policy_conj *);

/* Whether 'end' is the one that 'ip' belongs to.  An attachment of this node
 * comes before pods; what several pods claim belongs to none of them. */
bool policy_index_owns(const struct policy_index *, const struct index_end *,
                       const struct in6_addr *ip);

/* The index's end of an attachment. */
const struct index_end *policy_index_find_attachment(
    const struct policy_index *, const struct attachment *);

/* The identity of a pod, which may be NULL; NULL if it has none. */
const struct identity *policy_index_find_pod_identity(
    const struct policy_index *, const struct pod *);

/* The index's view of a policy, or NULL. */
const struct index_policy *policy_index_find(const struct policy_index *,
                                             const char *namespace,
                                             const char *name);

/* The conjunction of that number and the identity of that one, or NULL. */
const struct policy_conj *policy_index_find_conj(const struct policy_index *,
                                                 uint32_t id);
const struct identity *policy_index_find_identity(const struct policy_index *,
                                                  uint32_t id);

/* Whether 'identity' is selected by 'policy' or is a peer of a rule of it. */
bool identity_takes_part(const struct identity *identity,
                         const struct index_policy *policy);

/* The rule that 'conj', a conjunction of 'policy', is of. */
const struct policy_rule *index_policy_rule(const struct index_policy *policy,
                                            const struct policy_conj *conj);

/* Whether 'conj', of 'rule', has a clause for the other side. */
bool policy_conj_has_peers(const struct policy_conj *conj,
                           const struct policy_rule *rule);

/* Whether 'identity' satisfies in 'conj' the clause that 'member', one of its
 * members, stands for. */
bool index_member_takes(const struct index_member *member,
                        const struct identity *identity,
                        const struct policy_conj *conj);

#endif /* flows/policy-index.h */
