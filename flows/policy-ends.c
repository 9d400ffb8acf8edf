/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Who has which addresses and which identity: pods, and attachments of this
 * node. */

#include <config.h>
#include "policy-index-private.h"

#include <stdlib.h>
#include <string.h>

#include "compile.h"
#include "openvswitch/dynamic-string.h"
#include "packets.h"
#include "util.h"

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
    index_judge_identity(pi, identity, model);
    return identity;
}

static void
identity_destroy(struct policy_index *pi, struct identity *identity)
{
    for (size_t i = 0; i < identity->n_members; i++) {
        struct index_policy *ip = identity->members[i].policy;

        hmapx_find_and_delete(&ip->identities, identity);
        index_policy_set_stale(pi, ip);
    }
    index_add_removed(pi, compile_identity_cookie(identity));
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

const struct identity *
policy_index_find_identity(const struct policy_index *pi, uint32_t id)
{
    const struct identity *identity;

    HMAP_FOR_EACH_WITH_HASH (identity, id_node, id, &pi->ids) {
        return identity;
    }
    return NULL;
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
    index_set_dirty(&pi->dirty_ends, &end->dirty_node);
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
        index_set_dirty(&pi->dirty_ends, &address->claims[i]->dirty_node);
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

    HMAP_FOR_EACH_WITH_HASH (end, hmap_node, index_names_hash(namespace, name),
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
        hmap_insert(&pi->by_pod, &end->pod_node,
                    index_names_hash(namespace, name));
    }
}

void
index_end_destroy(struct policy_index *pi, struct index_end *end, bool removed)
{
    static const struct ip_prefix_list no_ips;

    end_set_identity(pi, end, NULL);
    end_set_ips(pi, end, &no_ips, end->network);
    end_set_pod(pi, end, NULL, NULL);
    if (removed) {
        index_add_removed(pi, compile_end_cookie(end));
    }
    ovs_list_remove(&end->dirty_node);
    hmap_remove(&pi->ends, &end->hmap_node);
    free(end->namespace);
    free(end->name);
    free(end);
}

void
index_update_end(struct policy_index *pi, const struct model *model,
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
            index_end_destroy(pi, end, true);
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
                    index_names_hash(obj->namespace, obj->name));
    }
    if (is_attachment) {
        const struct attachment *a = attachment_cast(current);

        end_set_pod(pi, end, a->pod_namespace, a->pod_name);
        pod = (a->pod_name
               ? model_find_pod(model, a->pod_namespace, a->pod_name) : NULL);
        end_set_ips(pi, end, &a->ips, a->network);
        /* Its port may have changed. */
        index_set_dirty(&pi->dirty_ends, &end->dirty_node);
    } else {
        end_set_ips(pi, end, &pod->ips, 0);
    }
    end_set_identity(pi, end, pod ? identity_get(pi, pod, model) : NULL);
}

void
index_update_attachments(struct policy_index *pi, const struct model *model,
                         const struct model_object *obj)
{
    const struct pod *pod = model_find_pod(model, obj->namespace, obj->name);
    struct index_end *end;

    HMAP_FOR_EACH_WITH_HASH (end, pod_node,
                             index_names_hash(obj->namespace, obj->name),
                             &pi->by_pod) {
        if (!strcmp(end->pod_name, obj->name)
            && !strcmp(end->pod_namespace, obj->namespace)) {
            end_set_identity(pi, end,
                             pod ? identity_get(pi, pod, model) : NULL);
        }
    }
}
