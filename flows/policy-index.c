/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Who is selected by which policy: see policy-index.h. */

#include <config.h>
#include "policy-index.h"

#include <stdlib.h>
#include <string.h>

#include "agent/model.h"
#include "agent/policy.h"
#include "compile.h"
#include "hash.h"
#include "openvswitch/dynamic-string.h"
#include "packets.h"
#include "pipeline.h"
#include "sort.h"
#include "util.h"

/* Conjunctions at one priority. */
#define PAGE_SIZE_MAX 2000
#define PAGES_MAX 64
#define FIRST_PRIORITY 200

/* Numbers of identities up to this are not of pods that are known. */
#define IDENTITY_RESERVED 15

/* Who claims an address. */
struct index_address {
    struct hmap_node hmap_node;
    struct in6_addr ip;
    uint32_t network;
    struct index_end **claims;
    size_t n;
};

void
policy_index_init(struct policy_index *pi)
{
    memset(pi, 0, sizeof *pi);
    hmap_init(&pi->policies);
    hmap_init(&pi->conjs);
    hmap_init(&pi->identities);
    hmap_init(&pi->ids);
    hmap_init(&pi->ends);
    hmap_init(&pi->by_pod);
    hmap_init(&pi->addresses);
    ovs_list_init(&pi->dirty_policies);
    ovs_list_init(&pi->dirty_identities);
    ovs_list_init(&pi->dirty_ends);
    ovs_list_init(&pi->stale_policies);
    pi->n_pages = 1;
}

static void
set_dirty(struct ovs_list *list, struct ovs_list *node)
{
    if (ovs_list_is_empty(node)) {
        ovs_list_push_back(list, node);
    }
}

static void
list_leave(struct ovs_list *node)
{
    ovs_list_remove(node);
    ovs_list_init(node);
}

static void
add_removed(struct policy_index *pi, ovs_be64 cookie)
{
    if (pi->n_removed >= pi->allocated_removed) {
        pi->removed = x2nrealloc(pi->removed, &pi->allocated_removed,
                                 sizeof *pi->removed);
    }
    pi->removed[pi->n_removed++] = cookie;
}

/* Numbers. */

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

const struct identity *
policy_index_find_identity(const struct policy_index *pi, uint32_t id)
{
    const struct identity *identity;

    HMAP_FOR_EACH_WITH_HASH (identity, id_node, id, &pi->ids) {
        return identity;
    }
    return NULL;
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

/* Policies. */

static uint32_t
names_hash(const char *namespace, const char *name)
{
    return hash_string(name, hash_string(namespace ? namespace : "", 0));
}

static struct index_policy *
find_policy(const struct policy_index *pi, const char *namespace,
            const char *name)
{
    struct index_policy *ip;

    HMAP_FOR_EACH_WITH_HASH (ip, hmap_node, names_hash(namespace, name),
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

static const struct policy_direction *
policy_side(const struct policy *policy, enum policy_side side)
{
    return (side == POLICY_INGRESS ? &policy->spec->ingress
            : &policy->spec->egress);
}

const struct policy_rule *
index_policy_rule(const struct index_policy *ip,
                  const struct policy_conj *conj)
{
    return &policy_side(ip->policy, conj->side)->rules[conj->rule];
}

bool
policy_conj_has_peers(const struct policy_conj *conj,
                      const struct policy_rule *rule)
{
    return rule->n_peers || (conj->side == POLICY_EGRESS && conj->port >= 0);
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

/* The numbers of 'ip''s ports with names may differ. */
static void
set_stale(struct policy_index *pi, struct index_policy *ip)
{
    if (ip->named) {
        set_dirty(&pi->stale_policies, &ip->stale_node);
    }
}

/* Makes the rules of 'ip' what the policy says, without conjunctions for ports
 * that have names. */
static void
policy_add_rules(struct policy_index *pi, struct index_policy *ip)
{
    ip->named = false;
    for (int side = 0; side < POLICY_N_SIDES; side++) {
        const struct policy_direction *dir = policy_side(ip->policy, side);

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
    set_stale(pi, ip);
}

static void
policy_remove_rules(struct policy_index *pi, struct index_policy *ip)
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
    return FIRST_PRIORITY + (conj->id & (pi->n_pages - 1));
}

/* Members. */

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

/* The number that 'identity' has for 'port', which has a name; 0 if none. */
static uint16_t
port_number(const struct identity *identity, const struct policy_port *port)
{
    char key[64];

    return smap_get_int(&identity->ports, port_key(port, key, sizeof key), 0);
}

static bool
has_named_port(const struct identity *identity, const struct policy_rule *rule)
{
    for (size_t i = 0; i < rule->n_ports; i++) {
        if (rule->ports[i].name && port_number(identity, &rule->ports[i])) {
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
        return (port_number(identity, &rule->ports[conj->port])
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
            const struct policy_direction *dir = policy_side(policy, side);

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
    set_stale(pi, ip);
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
            set_dirty(&pi->dirty_ends, &end->dirty_node);
        }
    }
    set_dirty(&pi->dirty_identities, &identity->dirty_node);
}

static const struct smap *
namespace_labels(const struct model *model, const char *name)
{
    const struct namespace *ns
        = namespace_cast(model_find(model, MODEL_NAMESPACE, NULL, name));

    return ns ? &ns->labels : NULL;
}

/* Judges 'identity' by all policies. */
static void
evaluate_identity(struct policy_index *pi, struct identity *identity,
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

/* Judges all identities by 'ip', or has them forget it if its 'policy' is
 * NULL. */
static void
evaluate_policy(struct policy_index *pi, struct index_policy *ip,
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

static bool
is_member(const struct identity *identity, const struct index_policy *ip)
{
    for (size_t i = 0; i < identity->n_members; i++) {
        if (identity->members[i].policy == ip) {
            return true;
        }
    }
    return false;
}

/* Has everything compiled that 'ip' is part of. */
static void
policy_changed(struct policy_index *pi, struct index_policy *ip)
{
    struct identity *identity;

    set_dirty(&pi->dirty_policies, &ip->dirty_node);
    HMAP_FOR_EACH (identity, key_node, &pi->identities) {
        if (is_member(identity, ip)) {
            set_dirty(&pi->dirty_identities, &identity->dirty_node);
        }
    }
}

static void
update_policy(struct policy_index *pi, const struct model *model,
              const struct model_object *obj)
{
    struct index_policy *ip = find_policy(pi, obj->namespace, obj->name);
    const struct model_object *current
        = model_find(model, MODEL_POLICY, obj->namespace, obj->name);

    if (ip) {
        policy_remove_rules(pi, ip);
        memset(ip->n_rules, 0, sizeof ip->n_rules);
        memset(ip->rules, 0, sizeof ip->rules);
    } else if (current) {
        ip = xzalloc(sizeof *ip);
        ip->namespace = xstrdup(obj->namespace);
        ip->name = xstrdup(obj->name);
        ip->id = current->id;
        ovs_list_init(&ip->dirty_node);
        ovs_list_init(&ip->stale_node);
        hmap_insert(&pi->policies, &ip->hmap_node,
                    names_hash(ip->namespace, ip->name));
    } else {
        return;
    }
    ip->policy = policy_cast(current);
    if (ip->policy) {
        policy_add_rules(pi, ip);
        evaluate_policy(pi, ip, model);
        policy_changed(pi, ip);
    } else {
        ip->named = false;
        evaluate_policy(pi, ip, model);
        add_removed(pi, compile_cookie(obj));
        list_leave(&ip->dirty_node);
        list_leave(&ip->stale_node);
        hmap_remove(&pi->policies, &ip->hmap_node);
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
collect_numbers(const struct policy_index *pi, const struct index_policy *ip,
                enum policy_side side, int r, const struct policy_port *port,
                uint16_t **numbers)
{
    int role = side == POLICY_INGRESS ? -1 : r;
    const struct identity *identity;
    size_t n = 0, allocated = 0;

    *numbers = NULL;
    HMAP_FOR_EACH (identity, key_node, &pi->identities) {
        for (size_t i = 0; i < identity->n_members; i++) {
            const struct index_member *m = &identity->members[i];

            if (m->policy == ip && m->side == side && m->rule == role) {
                uint16_t number = port_number(identity, port);

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
    const struct policy_rule *spec = &policy_side(ip->policy, side)->rules[r];
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
        size_t n = collect_numbers(pi, ip, side, r, &spec->ports[j],
                                   &numbers);
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

static void
refresh_named(struct policy_index *pi)
{
    while (!ovs_list_is_empty(&pi->stale_policies)) {
        struct index_policy *ip
            = CONTAINER_OF(ovs_list_front(&pi->stale_policies),
                           struct index_policy, stale_node);
        bool changed = false;

        list_leave(&ip->stale_node);
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

/* Identities. */

/* Appends a string so that no two lists of strings give the same text. */
static void
put_key(struct ds *ds, const char *s)
{
    ds_put_format(ds, "%"PRIuSIZE":%s,", strlen(s), s);
}

static void
put_keys(struct ds *ds, const struct smap *smap)
{
    const struct smap_node **nodes = smap_sort(smap);

    ds_put_format(ds, "%"PRIuSIZE"{", smap_count(smap));
    for (size_t i = 0; i < smap_count(smap); i++) {
        put_key(ds, nodes[i]->key);
        put_key(ds, nodes[i]->value);
    }
    ds_put_char(ds, '}');
    free(nodes);
}

/* The identity of 'pod', a new one if need be. */
static struct identity *
identity_get(struct policy_index *pi, const struct pod *pod,
             const struct model *model)
{
    struct smap ports = SMAP_INITIALIZER(&ports);
    struct ds key = DS_EMPTY_INITIALIZER;
    struct identity *identity;

    for (size_t i = 0; i < pod->n_ports; i++) {
        const struct pod_port *p = &pod->ports[i];

        if (p->name) {
            char *name = xasprintf("%d/%s", p->protocol, p->name);

            /* Of several, the first counts. */
            if (!smap_get(&ports, name)) {
                smap_add_format(&ports, name, "%"PRIu16, p->port);
            }
            free(name);
        }
    }
    put_key(&key, pod->obj.namespace);
    put_keys(&key, &pod->labels);
    put_keys(&key, &ports);

    uint32_t hash = hash_string(ds_cstr(&key), 0);
    HMAP_FOR_EACH_WITH_HASH (identity, key_node, hash, &pi->identities) {
        if (!strcmp(identity->key, ds_cstr(&key))) {
            smap_destroy(&ports);
            ds_destroy(&key);
            return identity;
        }
    }

    identity = xzalloc(sizeof *identity);
    identity->key = ds_steal_cstr(&key);
    identity->id = hash;
    while (identity->id <= IDENTITY_RESERVED
           || policy_index_find_identity(pi, identity->id)) {
        identity->id++;
    }
    identity->namespace = xstrdup(pod->obj.namespace);
    smap_clone(&identity->labels, &pod->labels);
    smap_clone(&identity->ports, &ports);
    smap_destroy(&ports);
    ovs_list_init(&identity->ends);
    ovs_list_init(&identity->dirty_node);
    hmap_insert(&pi->identities, &identity->key_node, hash);
    hmap_insert(&pi->ids, &identity->id_node, identity->id);
    evaluate_identity(pi, identity, model);
    return identity;
}

static void
identity_destroy(struct policy_index *pi, struct identity *identity)
{
    for (size_t i = 0; i < identity->n_members; i++) {
        set_stale(pi, identity->members[i].policy);
    }
    add_removed(pi, compile_identity_cookie(identity));
    ovs_list_remove(&identity->dirty_node);
    hmap_remove(&pi->identities, &identity->key_node);
    hmap_remove(&pi->ids, &identity->id_node);
    smap_destroy(&identity->labels);
    smap_destroy(&identity->ports);
    free(identity->namespace);
    free(identity->members);
    free(identity->key);
    free(identity);
}

static void
end_set_identity(struct policy_index *pi, struct index_end *end,
                 struct identity *identity)
{
    struct identity *old = end->identity;

    if (old == identity) {
        return;
    }
    if (old) {
        ovs_list_remove(&end->identity_node);
    }
    if (identity) {
        ovs_list_push_back(&identity->ends, &end->identity_node);
    }
    end->identity = identity;
    set_dirty(&pi->dirty_ends, &end->dirty_node);
    if (old && ovs_list_is_empty(&old->ends)) {
        identity_destroy(pi, old);
    }
}

/* Addresses. */

static uint32_t
address_hash(uint32_t network, const struct in6_addr *ip)
{
    return hash_bytes(ip, sizeof *ip, network);
}

static struct index_address *
find_address(const struct policy_index *pi, uint32_t network,
             const struct in6_addr *ip)
{
    struct index_address *address;

    HMAP_FOR_EACH_WITH_HASH (address, hmap_node, address_hash(network, ip),
                             &pi->addresses) {
        if (address->network == network
            && ipv6_addr_equals(&address->ip, ip)) {
            return address;
        }
    }
    return NULL;
}

static void
claims_changed(struct policy_index *pi, struct index_address *address)
{
    for (size_t i = 0; i < address->n; i++) {
        set_dirty(&pi->dirty_ends, &address->claims[i]->dirty_node);
    }
}

static void
claim(struct policy_index *pi, struct index_end *end,
      const struct in6_addr *ip)
{
    struct index_address *address = find_address(pi, end->network, ip);

    if (!address) {
        address = xzalloc(sizeof *address);
        address->ip = *ip;
        address->network = end->network;
        hmap_insert(&pi->addresses, &address->hmap_node,
                    address_hash(end->network, ip));
    }
    address->claims = xrealloc(address->claims,
                               (address->n + 1) * sizeof *address->claims);
    address->claims[address->n++] = end;
    claims_changed(pi, address);
}

static void
unclaim(struct policy_index *pi, struct index_end *end,
        const struct in6_addr *ip)
{
    struct index_address *address = find_address(pi, end->network, ip);

    claims_changed(pi, address);
    for (size_t i = 0; i < address->n; i++) {
        if (address->claims[i] == end) {
            address->claims[i] = address->claims[--address->n];
            break;
        }
    }
    if (!address->n) {
        hmap_remove(&pi->addresses, &address->hmap_node);
        free(address->claims);
        free(address);
    }
}

bool
policy_index_owns(const struct policy_index *pi, const struct index_end *end,
                  const struct in6_addr *ip)
{
    const struct index_address *address = find_address(pi, end->network, ip);
    bool others = false;

    for (size_t i = 0; i < address->n; i++) {
        const struct index_end *other = address->claims[i];

        if (other != end && other->is_attachment >= end->is_attachment) {
            others = true;
        }
    }
    return !others;
}

/* Ends. */

static struct index_end *
find_end(const struct policy_index *pi, bool is_attachment,
         const char *namespace, const char *name)
{
    struct index_end *end;

    HMAP_FOR_EACH_WITH_HASH (end, hmap_node, names_hash(namespace, name),
                             &pi->ends) {
        if (end->is_attachment == is_attachment && !strcmp(end->name, name)
            && nullable_string_is_equal(end->namespace, namespace)) {
            return end;
        }
    }
    return NULL;
}

const struct index_end *
policy_index_find_attachment(const struct policy_index *pi,
                             const struct attachment *a)
{
    return find_end(pi, true, NULL, a->obj.name);
}

const struct identity *
policy_index_find_pod_identity(const struct policy_index *pi,
                               const struct pod *pod)
{
    const struct index_end *end
        = pod ? find_end(pi, false, pod->obj.namespace, pod->obj.name) : NULL;

    return end ? end->identity : NULL;
}

static void
end_set_ips(struct policy_index *pi, struct index_end *end,
            const struct ip_prefix_list *ips, uint32_t network)
{
    if (network == end->network && ip_prefix_list_equals(&end->ips, ips)) {
        return;
    }
    for (size_t i = 0; i < end->ips.n; i++) {
        unclaim(pi, end, &end->ips.elems[i].addr);
    }
    ip_prefix_list_destroy(&end->ips);
    end->network = network;
    for (size_t i = 0; i < ips->n; i++) {
        ip_prefix_list_add(&end->ips, &ips->elems[i]);
        claim(pi, end, &ips->elems[i].addr);
    }
}

/* Has 'end' be of the pod with these names; NULL for a plain container. */
static void
end_set_pod(struct policy_index *pi, struct index_end *end,
            const char *namespace, const char *name)
{
    if (end->pod_name) {
        hmap_remove(&pi->by_pod, &end->pod_node);
        free(end->pod_namespace);
        free(end->pod_name);
    }
    end->pod_namespace = nullable_xstrdup(namespace);
    end->pod_name = nullable_xstrdup(name);
    if (name) {
        hmap_insert(&pi->by_pod, &end->pod_node, names_hash(namespace, name));
    }
}

static void
end_destroy(struct policy_index *pi, struct index_end *end, bool removed)
{
    static const struct ip_prefix_list no_ips;

    end_set_identity(pi, end, NULL);
    end_set_ips(pi, end, &no_ips, end->network);
    end_set_pod(pi, end, NULL, NULL);
    if (removed) {
        add_removed(pi, compile_end_cookie(end));
    }
    ovs_list_remove(&end->dirty_node);
    hmap_remove(&pi->ends, &end->hmap_node);
    free(end->namespace);
    free(end->name);
    free(end);
}

/* Updates the end of the pod or attachment 'obj', which may be gone. */
static void
update_end(struct policy_index *pi, const struct model *model,
           const struct model_object *obj)
{
    bool is_attachment = obj->kind == MODEL_ATTACHMENT;
    struct index_end *end = find_end(pi, is_attachment, obj->namespace,
                                     obj->name);
    const struct model_object *current
        = model_find(model, obj->kind, obj->namespace, obj->name);
    const struct pod *pod = is_attachment ? NULL : pod_cast(current);

    if (pod && pod->host_network) {
        /* Its node's address is not the pod's. */
        current = NULL;
    }
    if (!current) {
        if (end) {
            end_destroy(pi, end, true);
        }
        return;
    }
    if (!end) {
        end = xzalloc(sizeof *end);
        end->is_attachment = is_attachment;
        end->namespace = nullable_xstrdup(obj->namespace);
        end->name = xstrdup(obj->name);
        end->id = current->id;
        ovs_list_init(&end->dirty_node);
        hmap_insert(&pi->ends, &end->hmap_node,
                    names_hash(obj->namespace, obj->name));
    }
    if (is_attachment) {
        const struct attachment *a = attachment_cast(current);

        end_set_pod(pi, end, a->pod_namespace, a->pod_name);
        pod = (a->pod_name
               ? model_find_pod(model, a->pod_namespace, a->pod_name) : NULL);
        end_set_ips(pi, end, &a->ips, a->network);
        /* Its port may have changed. */
        set_dirty(&pi->dirty_ends, &end->dirty_node);
    } else {
        end_set_ips(pi, end, &pod->ips, 0);
    }
    end_set_identity(pi, end, pod ? identity_get(pi, pod, model) : NULL);
}

/* Updates this node's attachments of the pod 'obj'. */
static void
update_attachments(struct policy_index *pi, const struct model *model,
                   const struct model_object *obj)
{
    const struct pod *pod = model_find_pod(model, obj->namespace, obj->name);
    struct index_end *end;

    HMAP_FOR_EACH_WITH_HASH (end, pod_node,
                             names_hash(obj->namespace, obj->name),
                             &pi->by_pod) {
        if (!strcmp(end->pod_name, obj->name)
            && !strcmp(end->pod_namespace, obj->namespace)) {
            end_set_identity(pi, end,
                             pod ? identity_get(pi, pod, model) : NULL);
        }
    }
}

/* Everything. */

static void
update_object(struct policy_index *pi, const struct model *model,
              const struct model_object *obj)
{
    struct identity *identity;

    switch (obj->kind) {
    case MODEL_POLICY:
        update_policy(pi, model, obj);
        break;
    case MODEL_NAMESPACE:
        HMAP_FOR_EACH (identity, key_node, &pi->identities) {
            if (!strcmp(identity->namespace, obj->name)) {
                evaluate_identity(pi, identity, model);
            }
        }
        break;
    case MODEL_POD:
        update_end(pi, model, obj);
        update_attachments(pi, model, obj);
        break;
    case MODEL_ATTACHMENT:
        update_end(pi, model, obj);
        break;
    case MODEL_NODE:
    case MODEL_N_KINDS:
    default:
        break;
    }
}

void
policy_index_update(struct policy_index *pi, const struct model *model,
                    uint64_t since)
{
    struct model_object *obj;

    /* Policies first: those that were replaced are gone from the model. */
    MODEL_FOR_EACH_CHANGED (obj, model, since) {
        if (obj->kind == MODEL_POLICY) {
            update_object(pi, model, obj);
        }
    }
    MODEL_FOR_EACH_CHANGED (obj, model, since) {
        if (obj->kind != MODEL_POLICY) {
            update_object(pi, model, obj);
        }
    }
    refresh_named(pi);

    unsigned int n_pages = 1;
    size_t n = MAX(pi->n_conjs[POLICY_INGRESS], pi->n_conjs[POLICY_EGRESS]);
    while (n_pages < PAGES_MAX && n > n_pages * PAGE_SIZE_MAX) {
        n_pages *= 2;
    }
    if (n_pages != pi->n_pages) {
        pi->n_pages = n_pages;
        policy_index_set_dirty(pi);
    }
}

void
policy_index_set_dirty(struct policy_index *pi)
{
    struct identity *identity;
    struct index_policy *ip;
    struct index_end *end;

    HMAP_FOR_EACH (ip, hmap_node, &pi->policies) {
        set_dirty(&pi->dirty_policies, &ip->dirty_node);
    }
    HMAP_FOR_EACH (identity, key_node, &pi->identities) {
        set_dirty(&pi->dirty_identities, &identity->dirty_node);
    }
    HMAP_FOR_EACH (end, hmap_node, &pi->ends) {
        set_dirty(&pi->dirty_ends, &end->dirty_node);
    }
}

static void
clear_list(struct ovs_list *list)
{
    while (!ovs_list_is_empty(list)) {
        list_leave(ovs_list_front(list));
    }
}

void
policy_index_clear_dirty(struct policy_index *pi)
{
    clear_list(&pi->dirty_policies);
    clear_list(&pi->dirty_identities);
    clear_list(&pi->dirty_ends);
    pi->n_removed = 0;
}

void
policy_index_destroy(struct policy_index *pi)
{
    struct index_policy *ip;
    struct index_end *end;

    HMAP_FOR_EACH_SAFE (end, hmap_node, &pi->ends) {
        end_destroy(pi, end, false);
    }
    HMAP_FOR_EACH_SAFE (ip, hmap_node, &pi->policies) {
        policy_remove_rules(pi, ip);
        hmap_remove(&pi->policies, &ip->hmap_node);
        free(ip->namespace);
        free(ip->name);
        free(ip);
    }
    hmap_destroy(&pi->policies);
    hmap_destroy(&pi->conjs);
    hmap_destroy(&pi->identities);
    hmap_destroy(&pi->ids);
    hmap_destroy(&pi->ends);
    hmap_destroy(&pi->by_pod);
    hmap_destroy(&pi->addresses);
    free(pi->removed);
}
