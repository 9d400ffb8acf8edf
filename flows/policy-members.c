/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Which identities a policy selects, as those that it is for and as peers. */

#include <config.h>
#include "policy-index-private.h"

#include <stdlib.h>
#include <string.h>

#include "util.h"

static void
add_member(struct identity *identity, struct index_policy *ip,
           enum policy_side side, int rule)
{
    if (identity->n_members >= identity->allocated_members) {
        identity->members = x2nrealloc(identity->members,
                                       &identity->allocated_members,
                                       sizeof *identity->members);
    }
    identity->members[identity->n_members++]
        = (struct index_member) { .policy = ip, .side = side, .rule = rule };
}

bool
identity_takes_part(const struct identity *identity,
                    const struct index_policy *policy)
{
    for (size_t i = 0; i < identity->n_members; i++) {
        if (identity->members[i].policy == policy) {
            return true;
        }
    }
    return false;
}

/* Whether 'peer', of a policy in 'namespace', selects 'identity'.  'labels'
 * are those of the identity's namespace, or NULL if nobody has told them: then
 * no selector of namespaces can be said to hold. */
static bool
peer_selects(const struct policy_peer *peer, const char *namespace,
             const struct identity *identity, const struct smap *labels)
{
    if (!peer->pods && !peer->namespaces) {
        return false;
    }
    if (peer->namespaces
        ? !labels || !selector_matches(peer->namespaces, labels)
        : strcmp(namespace, identity->namespace)) {
        return false;
    }
    return !peer->pods || selector_matches(peer->pods, &identity->labels);
}

static const char *
port_key(const struct policy_port *port, char *buf, size_t size)
{
    snprintf(buf, size, "%d/%s", port->protocol, port->name);
    return buf;
}

uint16_t
index_port_number(const struct identity *identity,
                  const struct policy_port *port)
{
    char key[64];

    return smap_get_int(&identity->ports, port_key(port, key, sizeof key), 0);
}

static bool
has_named_port(const struct identity *identity, const struct policy_rule *rule)
{
    for (size_t i = 0; i < rule->n_ports; i++) {
        if (rule->ports[i].name
            && index_port_number(identity, &rule->ports[i])) {
            return true;
        }
    }
    return false;
}

static bool
rule_selects(const struct policy_rule *rule, enum policy_side side,
             const char *namespace, const struct identity *identity,
             const struct smap *labels)
{
    for (size_t i = 0; i < rule->n_peers; i++) {
        if (peer_selects(&rule->peers[i], namespace, identity, labels)) {
            return true;
        }
    }
    /* Everybody is allowed, so only whose number a name stands for counts. */
    return (!rule->n_peers && side == POLICY_EGRESS
            && has_named_port(identity, rule));
}

bool
index_member_takes(const struct index_member *member,
                   const struct identity *identity,
                   const struct policy_conj *conj)
{
    const struct policy_rule *rule = index_policy_rule(member->policy, conj);
    bool peer = member->rule >= 0;

    if (conj->port >= 0 && peer == (conj->side == POLICY_EGRESS)) {
        /* The destination, which tells the port's number. */
        return (index_port_number(identity, &rule->ports[conj->port])
                == conj->number);
    }
    return !peer || rule->n_peers;
}

/* Replaces what 'identity' is to 'ip' by what it should be ('labels' as for
 * peer_selects()).  Returns true if that differs. */
static bool
evaluate(struct policy_index *pi, struct identity *identity,
         struct index_policy *ip, const struct smap *labels)
{
    const struct policy *policy = ip->policy;
    size_t n_before = identity->n_members;

    if (policy) {
        bool selected = (!strcmp(ip->namespace, identity->namespace)
                         && selector_matches(&policy->spec->pods,
                                             &identity->labels));

        for (int side = 0; side < POLICY_N_SIDES; side++) {
            const struct policy_direction *dir
                = index_policy_side(policy, side);

            if (selected && dir->isolated) {
                add_member(identity, ip, side, -1);
            }
            for (size_t i = 0; i < dir->n_rules; i++) {
                if (rule_selects(&dir->rules[i], side, ip->namespace,
                                 identity, labels)) {
                    add_member(identity, ip, side, i);
                }
            }
        }
    }

    /* The members from before, which come first, against the new ones, which
     * come last. */
    size_t n_new = identity->n_members - n_before;
    size_t n_old = 0, n_kept = 0;
    bool same = true;
    if (n_new && ip->named) {
        hmapx_add(&ip->identities, identity);
    }
    for (size_t i = 0; i < n_before; i++) {
        const struct index_member *m = &identity->members[i];

        if (m->policy != ip) {
            continue;
        }
        const struct index_member *q = &identity->members[n_before + n_old];
        same &= (n_old < n_new && m->side == q->side && m->rule == q->rule);
        n_old++;
    }
    if (same && n_old == n_new) {
        identity->n_members = n_before;
        return false;
    }
    for (size_t i = 0; i < identity->n_members; i++) {
        if (i >= n_before || identity->members[i].policy != ip) {
            identity->members[n_kept++] = identity->members[i];
        }
    }
    identity->n_members = n_kept;
    if (!n_new) {
        hmapx_find_and_delete(&ip->identities, identity);
    }
    index_policy_set_stale(pi, ip);
    return true;
}

/* After the members of 'identity' have changed. */
static void
identity_changed(struct policy_index *pi, struct identity *identity)
{
    bool isolated[POLICY_N_SIDES] = { false, false };

    for (size_t i = 0; i < identity->n_members; i++) {
        const struct index_member *m = &identity->members[i];

        if (m->rule < 0) {
            isolated[m->side] = true;
        }
    }
    if (memcmp(isolated, identity->isolated, sizeof isolated)) {
        struct index_end *end;

        memcpy(identity->isolated, isolated, sizeof isolated);
        LIST_FOR_EACH (end, identity_node, &identity->ends) {
            index_set_dirty(&pi->dirty_ends, &end->dirty_node);
        }
    }
    index_set_dirty(&pi->dirty_identities, &identity->dirty_node);
}

static const struct smap *
namespace_labels(const struct model *model, const char *name)
{
    const struct namespace *ns
        = namespace_cast(model_find(model, MODEL_NAMESPACE, NULL, name));

    return ns ? &ns->labels : NULL;
}

void
index_judge_identity(struct policy_index *pi, struct identity *identity,
                     const struct model *model)
{
    const struct smap *labels = namespace_labels(model, identity->namespace);
    struct index_policy *ip;
    bool changed = false;

    HMAP_FOR_EACH (ip, hmap_node, &pi->policies) {
        changed |= evaluate(pi, identity, ip, labels);
    }
    if (changed) {
        identity_changed(pi, identity);
    }
}

void
index_judge_policy(struct policy_index *pi, struct index_policy *ip,
                   const struct model *model)
{
    struct identity *identity;

    HMAP_FOR_EACH (identity, key_node, &pi->identities) {
        if (evaluate(pi, identity, ip,
                     ip->policy ? namespace_labels(model, identity->namespace)
                     : NULL)) {
            identity_changed(pi, identity);
        }
    }
}
