/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The cluster model: see model.h. */

#include <config.h>
#include "model.h"

#include <stdlib.h>
#include <string.h>

#include "hash.h"
#include "openvswitch/ofp-port.h"
#include "packets.h"
#include "policy.h"
#include "util.h"

static const char *const kind_names[MODEL_N_KINDS] = {
    [MODEL_NODE] = "Node",
    [MODEL_NAMESPACE] = "Namespace",
    [MODEL_POD] = "Pod",
    [MODEL_POLICY] = "NetworkPolicy",
    [MODEL_ATTACHMENT] = "Attachment",
};

static uint32_t
object_hash(const char *namespace, const char *name)
{
    return hash_string(name, namespace ? hash_string(namespace, 0) : 0);
}

void
model_init(struct model *model)
{
    for (int i = 0; i < MODEL_N_KINDS; i++) {
        hmap_init(&model->objects[i]);
    }
    hmap_init(&model->ids);
    ovs_list_init(&model->changes);
    model->n_deleted = 0;
    model->seqno = 0;
}

void
model_destroy(struct model *model)
{
    struct model_object *obj;

    LIST_FOR_EACH_SAFE (obj, change_node, &model->changes) {
        ovs_list_remove(&obj->change_node);
        model_object_free(obj);
    }
    for (int i = 0; i < MODEL_N_KINDS; i++) {
        hmap_destroy(&model->objects[i]);
    }
    hmap_destroy(&model->ids);
}

const char *
model_kind_name(enum model_kind kind)
{
    return kind_names[kind];
}

struct model_object *
model_object_new(enum model_kind kind, const char *namespace,
                 const char *name)
{
    static const size_t sizes[MODEL_N_KINDS] = {
        [MODEL_NODE] = sizeof(struct node),
        [MODEL_NAMESPACE] = sizeof(struct namespace),
        [MODEL_POD] = sizeof(struct pod),
        [MODEL_POLICY] = sizeof(struct policy),
        [MODEL_ATTACHMENT] = sizeof(struct attachment),
    };
    struct model_object *obj = xzalloc(sizes[kind]);

    obj->kind = kind;
    obj->namespace = nullable_xstrdup(namespace);
    obj->name = xstrdup(name);
    switch (kind) {
    case MODEL_NODE:
        smap_init(&node_cast(obj)->labels);
        break;
    case MODEL_NAMESPACE:
        smap_init(&namespace_cast(obj)->labels);
        break;
    case MODEL_POD:
        smap_init(&pod_cast(obj)->labels);
        break;
    case MODEL_ATTACHMENT:
        attachment_cast(obj)->ofport = OFPP_NONE;
        break;
    case MODEL_POLICY:
    case MODEL_N_KINDS:
    default:
        break;
    }
    return obj;
}

static void
node_uninit(struct node *node)
{
    smap_destroy(&node->labels);
    ip_prefix_list_destroy(&node->pod_cidrs);
    ip_prefix_list_destroy(&node->addresses);
    ip_prefix_list_destroy(&node->external_addresses);
}

static void
pod_uninit(struct pod *pod)
{
    smap_destroy(&pod->labels);
    free(pod->node);
    ip_prefix_list_destroy(&pod->ips);
    for (size_t i = 0; i < pod->n_ports; i++) {
        free(pod->ports[i].name);
    }
    free(pod->ports);
}

static void
attachment_uninit(struct attachment *a)
{
    free(a->container_id);
    free(a->ifname);
    free(a->netns);
    free(a->hostif);
    ip_prefix_list_destroy(&a->ips);
    free(a->pod_namespace);
    free(a->pod_name);
}

void
model_object_free(struct model_object *obj)
{
    if (!obj) {
        return;
    }
    switch (obj->kind) {
    case MODEL_NODE:
        node_uninit(node_cast(obj));
        break;
    case MODEL_NAMESPACE:
        smap_destroy(&namespace_cast(obj)->labels);
        break;
    case MODEL_POD:
        pod_uninit(pod_cast(obj));
        break;
    case MODEL_POLICY:
        policy_spec_free(policy_cast(obj)->spec);
        break;
    case MODEL_ATTACHMENT:
        attachment_uninit(attachment_cast(obj));
        break;
    case MODEL_N_KINDS:
    default:
        OVS_NOT_REACHED();
    }
    free(obj->namespace);
    free(obj->name);
    free(obj);
}

static bool
node_equals(const struct node *a, const struct node *b)
{
    return (smap_equal(&a->labels, &b->labels)
            && ip_prefix_list_equals(&a->pod_cidrs, &b->pod_cidrs)
            && ip_prefix_list_equals(&a->addresses, &b->addresses)
            && ip_prefix_list_equals(&a->external_addresses,
                                     &b->external_addresses));
}

static bool
pod_equals(const struct pod *a, const struct pod *b)
{
    if (!smap_equal(&a->labels, &b->labels)
        || !nullable_string_is_equal(a->node, b->node)
        || a->host_network != b->host_network
        || !ip_prefix_list_equals(&a->ips, &b->ips)
        || a->n_ports != b->n_ports) {
        return false;
    }
    for (size_t i = 0; i < a->n_ports; i++) {
        const struct pod_port *p = &a->ports[i];
        const struct pod_port *q = &b->ports[i];

        if (!nullable_string_is_equal(p->name, q->name)
            || p->port != q->port || p->protocol != q->protocol) {
            return false;
        }
    }
    return true;
}

static bool
attachment_equals(const struct attachment *a, const struct attachment *b)
{
    return (!strcmp(a->container_id, b->container_id)
            && !strcmp(a->ifname, b->ifname)
            && nullable_string_is_equal(a->netns, b->netns)
            && !strcmp(a->hostif, b->hostif)
            && eth_addr_equals(a->mac, b->mac)
            && ip_prefix_list_equals(&a->ips, &b->ips)
            && nullable_string_is_equal(a->pod_namespace, b->pod_namespace)
            && nullable_string_is_equal(a->pod_name, b->pod_name)
            && a->network == b->network
            && a->ofport == b->ofport);
}

/* 'a' and 'b' are of one kind and name. */
static bool
object_equals(const struct model_object *a, const struct model_object *b)
{
    switch (a->kind) {
    case MODEL_NODE:
        return node_equals(node_cast(a), node_cast(b));
    case MODEL_NAMESPACE:
        return smap_equal(&namespace_cast(a)->labels,
                          &namespace_cast(b)->labels);
    case MODEL_POD:
        return pod_equals(pod_cast(a), pod_cast(b));
    case MODEL_POLICY:
        return policy_spec_equals(policy_cast(a)->spec,
                                  policy_cast(b)->spec);
    case MODEL_ATTACHMENT:
        return attachment_equals(attachment_cast(a), attachment_cast(b));
    case MODEL_N_KINDS:
    default:
        OVS_NOT_REACHED();
    }
}

/* Gives 'obj' its 'id': that of its removed predecessor, or one that nobody
 * has.  Names can be chosen so that their hashes are the same, and whoever
 * does must not get hold of another object's flows. */
static void
object_identify(struct model *model, struct model_object *obj)
{
    const char *ns = obj->namespace ? obj->namespace : "";
    uint64_t id = ((uint64_t) hash_string(obj->name, hash_string(ns, 1)) << 8
                   ^ hash_string(obj->name, hash_string(ns, 2)));

    for (;; id++) {
        struct model_object *other;
        bool taken = false;

        id &= (UINT64_C(1) << MODEL_ID_BITS) - 1;
        HMAP_FOR_EACH_WITH_HASH (other, id_node, hash_uint64(id),
                                 &model->ids) {
            taken |= (other->id == id && other->kind == obj->kind
                      && (strcmp(other->name, obj->name)
                          || !nullable_string_is_equal(other->namespace,
                                                       obj->namespace)));
        }
        if (!taken) {
            break;
        }
    }
    obj->id = id;
    hmap_insert(&model->ids, &obj->id_node, hash_uint64(id));
}

static void
object_delete(struct model *model, struct model_object *obj)
{
    hmap_remove(&model->objects[obj->kind], &obj->hmap_node);
    obj->deleted = true;
    model->n_deleted++;
    model_touch(model, obj);
}

struct model_object *
model_put(struct model *model, struct model_object *obj)
{
    struct model_object *old = model_find(model, obj->kind, obj->namespace,
                                          obj->name);

    if (old) {
        if (object_equals(old, obj)) {
            model_object_free(obj);
            return old;
        }
        /* Readers need no tombstone for what has a successor. */
        hmap_remove(&model->objects[old->kind], &old->hmap_node);
        hmap_remove(&model->ids, &old->id_node);
        ovs_list_remove(&old->change_node);
        model_object_free(old);
    }
    object_identify(model, obj);
    hmap_insert(&model->objects[obj->kind], &obj->hmap_node,
                object_hash(obj->namespace, obj->name));
    obj->changed = ++model->seqno;
    ovs_list_push_back(&model->changes, &obj->change_node);
    return obj;
}

void
model_touch(struct model *model, struct model_object *obj)
{
    obj->changed = ++model->seqno;
    ovs_list_remove(&obj->change_node);
    ovs_list_push_back(&model->changes, &obj->change_node);
}

void
model_remove(struct model *model, enum model_kind kind,
             const char *namespace, const char *name)
{
    struct model_object *obj = model_find(model, kind, namespace, name);

    if (obj) {
        object_delete(model, obj);
    }
}

struct model_object *
model_find(const struct model *model, enum model_kind kind,
           const char *namespace, const char *name)
{
    struct model_object *obj;

    HMAP_FOR_EACH_WITH_HASH (obj, hmap_node, object_hash(namespace, name),
                             &model->objects[kind]) {
        if (!strcmp(obj->name, name)
            && nullable_string_is_equal(obj->namespace, namespace)) {
            return obj;
        }
    }
    return NULL;
}

struct model_object *
model_find_id(const struct model *model, enum model_kind kind, uint64_t id)
{
    struct model_object *obj;

    HMAP_FOR_EACH_WITH_HASH (obj, id_node, hash_uint64(id), &model->ids) {
        if (obj->id == id && obj->kind == kind && !obj->deleted) {
            return obj;
        }
    }
    return NULL;
}

void
model_forget(struct model *model, uint64_t seen)
{
    struct model_object *obj;
    size_t n_left = model->n_deleted;

    /* They are among the latest changes. */
    LIST_FOR_EACH_REVERSE_SAFE (obj, change_node, &model->changes) {
        if (!n_left) {
            break;
        } else if (obj->deleted) {
            n_left--;
            if (obj->changed <= seen) {
                hmap_remove(&model->ids, &obj->id_node);
                ovs_list_remove(&obj->change_node);
                model_object_free(obj);
                model->n_deleted--;
            }
        }
    }
}

struct node *
model_find_node(const struct model *model, const char *name)
{
    return node_cast(model_find(model, MODEL_NODE, NULL, name));
}

struct pod *
model_find_pod(const struct model *model, const char *namespace,
               const char *name)
{
    return pod_cast(model_find(model, MODEL_POD, namespace, name));
}

struct attachment *
model_find_attachment(const struct model *model, const char *container_id,
                      const char *ifname)
{
    char *key = attachment_key(container_id, ifname);
    struct model_object *obj = model_find(model, MODEL_ATTACHMENT, NULL, key);

    free(key);
    return attachment_cast(obj);
}

char *
attachment_key(const char *container_id, const char *ifname)
{
    return xasprintf("%s/%s", container_id, ifname);
}

#define DEFINE_CAST(NAME, KIND)                                         \
    struct NAME *                                                       \
    NAME##_cast(const struct model_object *obj)                         \
    {                                                                   \
        ovs_assert(!obj || obj->kind == KIND);                          \
        return CONST_CAST(struct NAME *,                                \
                          (const struct NAME *) (const void *) obj);    \
    }
DEFINE_CAST(node, MODEL_NODE)
DEFINE_CAST(namespace, MODEL_NAMESPACE)
DEFINE_CAST(pod, MODEL_POD)
DEFINE_CAST(policy, MODEL_POLICY)
DEFINE_CAST(attachment, MODEL_ATTACHMENT)
