/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Policies in the index, and the conjunctions of their rules. */

#include <config.h>
#include "policy-index-private.h"

#include <stdlib.h>
#include <string.h>

#include "compile.h"
#include "pipeline.h"
#include "util.h"

/* Of conjunctions. */
#define FIRST_PRIORITY 200

/* Policies. */

static struct index_policy *
find_policy(const struct policy_index *pi, const char *namespace,
            const char *name)
{
    struct index_policy *ip;

    HMAP_FOR_EACH_WITH_HASH (ip, hmap_node, index_names_hash(namespace, name),
                             &pi->policies) {
        if (!strcmp(ip->namespace, namespace) && !strcmp(ip->name, name)) {
            return ip;
        }
    }
    return NULL;
}

const struct index_policy *
policy_index_find(const struct policy_index *pi, const char *namespace,
                  const char *name)
{
    return find_policy(pi, namespace, name);
}

const struct policy_rule *
index_policy_rule(const struct index_policy *ip,
                  const struct policy_conj *conj)
{
    return &index_policy_side(ip->policy, conj->side)->rules[conj->rule];
}

bool
policy_conj_has_peers(const struct policy_conj *conj,
                      const struct policy_rule *rule)
{
    return rule->n_peers || (conj->side == POLICY_EGRESS && conj->port >= 0);
}

/* Conjunctions. */

static bool
conj_id_taken(const struct policy_index *pi, uint32_t id)
{
    return hmap_first_with_hash(&pi->conjs, id) != NULL;
}

const struct policy_conj *
policy_index_find_conj(const struct policy_index *pi, uint32_t id)
{
    const struct policy_conj *conj;

    HMAP_FOR_EACH_WITH_HASH (conj, id_node, id, &pi->conjs) {
        return conj;
    }
    return NULL;
}

static struct policy_conj *
conj_create(struct policy_index *pi, const struct index_policy *ip,
            enum policy_side side, int rule, int port, uint16_t number)
{
    struct policy_conj *conj = xmalloc(sizeof *conj);
    uint32_t words[] = {
        ip->id, ip->id >> 32, side, rule, port, number
    };

    conj->policy = ip;
    conj->side = side;
    conj->rule = rule;
    conj->port = port;
    conj->number = number;
    conj->id = hash_words(words, ARRAY_SIZE(words), 0);
    while (!conj->id || conj_id_taken(pi, conj->id)) {
        conj->id++;
    }
    hmap_insert(&pi->conjs, &conj->id_node, conj->id);
    pi->n_conjs[side]++;
    return conj;
}

static void
conj_destroy(struct policy_index *pi, struct policy_conj *conj)
{
    hmap_remove(&pi->conjs, &conj->id_node);
    pi->n_conjs[conj->side]--;
    free(conj);
}

static void
rule_add_conj(struct index_rule *rule, struct policy_conj *conj)
{
    rule->conjs = xrealloc(rule->conjs,
                           (rule->n_conjs + 1) * sizeof *rule->conjs);
    rule->conjs[rule->n_conjs++] = conj;
}

void
index_policy_set_stale(struct policy_index *pi, struct index_policy *ip)
{
    if (ip->named) {
        index_set_dirty(&pi->stale_policies, &ip->stale_node);
    }
}

/* Makes the rules of 'ip' what the policy says, without conjunctions for ports
 * that have names. */
static void
policy_add_rules(struct policy_index *pi, struct index_policy *ip)
{
    ip->named = false;
    for (int side = 0; side < POLICY_N_SIDES; side++) {
        const struct policy_direction *dir
            = index_policy_side(ip->policy, side);

        ip->n_rules[side] = dir->n_rules;
        ip->rules[side] = xcalloc(MAX(dir->n_rules, 1),
                                  sizeof *ip->rules[side]);
        for (size_t i = 0; i < dir->n_rules; i++) {
            const struct policy_rule *rule = &dir->rules[i];
            bool numbered = !rule->n_ports;

            for (size_t j = 0; j < rule->n_ports; j++) {
                if (rule->ports[j].name) {
                    ip->rules[side][i].named = ip->named = true;
                } else {
                    numbered = true;
                }
            }
            if (numbered) {
                rule_add_conj(&ip->rules[side][i],
                              conj_create(pi, ip, side, i, -1, 0));
            }
        }
    }
    index_policy_set_stale(pi, ip);
}

void
index_policy_remove_rules(struct policy_index *pi, struct index_policy *ip)
{
    for (int side = 0; side < POLICY_N_SIDES; side++) {
        for (size_t i = 0; i < ip->n_rules[side]; i++) {
            struct index_rule *rule = &ip->rules[side][i];

            for (size_t j = 0; j < rule->n_conjs; j++) {
                conj_destroy(pi, rule->conjs[j]);
            }
            free(rule->conjs);
        }
        free(ip->rules[side]);
    }
}

int
policy_index_priority(const struct policy_index *pi,
                      const struct policy_conj *conj)
{
    /* Linear hashing: one page more splits one page, and leaves the others
     * alone.  Pages that have yet to be split have twice what others have. */
    unsigned int size = 1u << log_2_floor(pi->n_pages);
    unsigned int page = conj->id & (2 * size - 1);

    return FIRST_PRIORITY + (page < pi->n_pages ? page : page - size);
}

/* Changes. */

/* Has everything compiled that 'ip' is part of. */
static void
policy_changed(struct policy_index *pi, struct index_policy *ip)
{
    struct identity *identity;

    index_set_dirty(&pi->dirty_policies, &ip->dirty_node);
    HMAP_FOR_EACH (identity, key_node, &pi->identities) {
        if (identity_takes_part(identity, ip)) {
            index_set_dirty(&pi->dirty_identities, &identity->dirty_node);
        }
    }
}

void
index_update_policy(struct policy_index *pi, const struct model *model,
                    const struct model_object *obj)
{
    struct index_policy *ip = find_policy(pi, obj->namespace, obj->name);
    const struct model_object *current
        = model_find(model, MODEL_POLICY, obj->namespace, obj->name);

    if (ip) {
        index_policy_remove_rules(pi, ip);
        memset(ip->n_rules, 0, sizeof ip->n_rules);
        memset(ip->rules, 0, sizeof ip->rules);
        hmapx_clear(&ip->identities);
    } else if (current) {
        ip = xzalloc(sizeof *ip);
        ip->namespace = xstrdup(obj->namespace);
        ip->name = xstrdup(obj->name);
        ip->id = current->id;
        ovs_list_init(&ip->dirty_node);
        ovs_list_init(&ip->stale_node);
        hmapx_init(&ip->identities);
        hmap_insert(&pi->policies, &ip->hmap_node,
                    index_names_hash(ip->namespace, ip->name));
    } else {
        return;
    }
    ip->policy = policy_cast(current);
    if (ip->policy) {
        policy_add_rules(pi, ip);
        index_judge_policy(pi, ip, model);
        policy_changed(pi, ip);
    } else {
        ip->named = false;
        index_judge_policy(pi, ip, model);
        index_add_removed(pi, compile_cookie(obj));
        index_list_leave(&ip->dirty_node);
        index_list_leave(&ip->stale_node);
        hmap_remove(&pi->policies, &ip->hmap_node);
        hmapx_destroy(&ip->identities);
        free(ip->namespace);
        free(ip->name);
        free(ip);
    }
}

/* The numbers of ports with names. */

static int
compare_numbers(const void *a_, const void *b_)
{
    const uint16_t *a = a_;
    const uint16_t *b = b_;

    return *a < *b ? -1 : *a > *b;
}

/* Lists in '*numbers' the numbers that port 'port' of rule 'r' has among the
 * identities it may lead to; returns how many there are. */
static size_t
collect_numbers(const struct index_policy *ip, enum policy_side side, int r,
                const struct policy_port *port, uint16_t **numbers)
{
    int role = side == POLICY_INGRESS ? -1 : r;
    const struct hmapx_node *node;
    size_t n = 0, allocated = 0;

    *numbers = NULL;
    HMAPX_FOR_EACH (node, &ip->identities) {
        const struct identity *identity = node->data;

        for (size_t i = 0; i < identity->n_members; i++) {
            const struct index_member *m = &identity->members[i];

            if (m->policy == ip && m->side == side && m->rule == role) {
                uint16_t number = index_port_number(identity, port);

                if (number) {
                    if (n >= allocated) {
                        *numbers = x2nrealloc(*numbers, &allocated,
                                              sizeof **numbers);
                    }
                    (*numbers)[n++] = number;
                }
                break;
            }
        }
    }
    if (!n) {
        return 0;
    }
    qsort(*numbers, n, sizeof **numbers, compare_numbers);
    size_t n_unique = 1;
    for (size_t i = 1; i < n; i++) {
        if ((*numbers)[i] != (*numbers)[n_unique - 1]) {
            (*numbers)[n_unique++] = (*numbers)[i];
        }
    }
    return n_unique;
}

/* Gives 'rule' the conjunctions that it should have; true if that changed
 * any. */
static bool
refresh_rule(struct policy_index *pi, struct index_policy *ip,
             enum policy_side side, int r)
{
    const struct policy_rule *spec
        = &index_policy_side(ip->policy, side)->rules[r];
    struct index_rule *rule = &ip->rules[side][r];
    struct policy_conj **old = rule->conjs;
    size_t n_old = rule->n_conjs, i_old = 0;
    bool changed = false;

    rule->conjs = NULL;
    rule->n_conjs = 0;
    if (n_old && old[0]->port < 0) {
        rule_add_conj(rule, old[i_old++]);
    }
    for (size_t j = 0; j < spec->n_ports; j++) {
        uint16_t *numbers;

        if (!spec->ports[j].name) {
            continue;
        }
        size_t n = collect_numbers(ip, side, r, &spec->ports[j], &numbers);
        for (size_t i = 0; i < n; i++) {
            while (i_old < n_old
                   && (old[i_old]->port < j
                       || (old[i_old]->port == j
                           && old[i_old]->number < numbers[i]))) {
                conj_destroy(pi, old[i_old++]);
                changed = true;
            }
            if (i_old < n_old && old[i_old]->port == j
                && old[i_old]->number == numbers[i]) {
                rule_add_conj(rule, old[i_old++]);
            } else {
                rule_add_conj(rule, conj_create(pi, ip, side, r, j,
                                                numbers[i]));
                changed = true;
            }
        }
        free(numbers);
    }
    while (i_old < n_old) {
        conj_destroy(pi, old[i_old++]);
        changed = true;
    }
    free(old);
    return changed;
}

void
index_refresh_named(struct policy_index *pi)
{
    while (!ovs_list_is_empty(&pi->stale_policies)) {
        struct index_policy *ip
            = CONTAINER_OF(ovs_list_front(&pi->stale_policies),
                           struct index_policy, stale_node);
        bool changed = false;

        index_list_leave(&ip->stale_node);
        for (int side = 0; side < POLICY_N_SIDES; side++) {
            for (size_t i = 0; i < ip->n_rules[side]; i++) {
                if (ip->rules[side][i].named) {
                    changed |= refresh_rule(pi, ip, side, i);
                }
            }
        }
        if (changed) {
            policy_changed(pi, ip);
        }
    }
}
