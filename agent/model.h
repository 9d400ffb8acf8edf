/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The cluster model
 * =================
 *
 * What a node knows of its cluster: nodes, namespaces, pods and policies, that
 * a source writes (source.h), and this node's attachments, that CNI requests
 * and the local OVSDB write.  The edges (flows, ipsec, host) only read it.
 *
 * Every object carries the number of the change that touched it last, and the
 * model lists its objects in the order of their changes.  So a reader that
 * remembers the last 'seqno' it has dealt with finds what is new at the end
 * of that list, at a cost that does not depend on the size of the cluster:
 *
 *     MODEL_FOR_EACH_CHANGED (obj, model, seen) {
 *         ...obj->deleted tells whether it has gone...
 *     }
 *     seen = model->seqno;
 *
 * A removed object stays in the list, with 'deleted' set, until
 * model_forget() says that every reader has passed it.
 *
 * Everything here belongs to the main thread. */

#ifndef LATEEN_MODEL_H
#define LATEEN_MODEL_H 1

#include <stdint.h>
#include "ip.h"
#include "openvswitch/hmap.h"
#include "openvswitch/list.h"
#include "openvswitch/types.h"
#include "smap.h"

struct policy_spec;

enum model_kind {
    MODEL_NODE,
    MODEL_NAMESPACE,
    MODEL_POD,
    MODEL_POLICY,
    MODEL_ATTACHMENT,
    MODEL_N_KINDS
};

/* What objects of every kind have in common; the first member of each. */
struct model_object {
    struct hmap_node hmap_node; /* In model's 'objects', unless 'deleted'. */
    struct ovs_list change_node; /* In model's 'changes'. */
    enum model_kind kind;
    char *namespace;            /* NULL for a kind without namespaces. */
    char *name;
    uint64_t changed;           /* The change that touched it last. */
    bool deleted;
    uint64_t id;                /* Of MODEL_ID_BITS bits, unlike that of any
                                 * other object of its kind: derived from its
                                 * names, so that a restarted agent computes
                                 * the same.  The model fills it in. */
    struct hmap_node id_node;   /* In model's 'ids'. */
};

#define MODEL_ID_BITS 40

/* A node of the cluster (core/v1 Node). */
struct node {
    struct model_object obj;
    struct smap labels;
    struct ip_prefix_list pod_cidrs; /* spec.podCIDRs, masked. */
    struct ip_prefix_list addresses; /* status.addresses of type InternalIP,
                                      * each of full length, */
    struct ip_prefix_list external_addresses; /* and of type ExternalIP. */
};

/* A namespace (core/v1 Namespace). */
struct namespace {
    struct model_object obj;
    struct smap labels;         /* With kubernetes.io/metadata.name. */
};

/* A port that a pod's container declares. */
struct pod_port {
    char *name;                 /* NULL if it has none. */
    uint16_t port;
    uint8_t protocol;           /* IPPROTO_TCP, _UDP or _SCTP. */
};

/* A pod (core/v1 Pod). */
struct pod {
    struct model_object obj;
    struct smap labels;
    char *node;                 /* spec.nodeName, or NULL. */
    bool host_network;
    struct ip_prefix_list ips;  /* status.podIPs, each of full length: from
                                 * the manifest or published by its node. */
    struct pod_port *ports;
    size_t n_ports;
};

/* A NetworkPolicy (networking.k8s.io/v1). */
struct policy {
    struct model_object obj;
    struct policy_spec *spec;   /* Owned. */
};

/* An interface of a container on this node, made by a CNI ADD.  Its name is
 * "CONTAINERID/IFNAME".  It lives as long as its row in OVSDB. */
struct attachment {
    struct model_object obj;
    char *container_id;
    char *ifname;               /* Inside the container. */
    char *netns;                /* Path, as the runtime gave it. */
    char *hostif;               /* Host end, the name of the OVS port. */
    struct eth_addr mac;        /* Of the container's end. */
    struct ip_prefix_list ips;  /* Each of full length. */
    char *pod_namespace;        /* NULL for a plain container. */
    char *pod_name;             /* NULL for a plain container. */
    uint32_t network;           /* Network id; 0 is the default network. */
    ofp_port_t ofport;          /* Of 'hostif' on the bridge; OFPP_NONE until
                                 * Open vSwitch has told it. */

    /* Status, written back by the flows' edge; no part of what the object
     * says. */
    uint64_t flows_seqno;       /* The flow table's change that holds its
                                 * flows; 0 while it has none. */
};

struct model {
    struct hmap objects[MODEL_N_KINDS]; /* Contains "struct model_object". */
    struct hmap ids;            /* Contains every "struct model_object", also
                                 * those that are deleted, by its 'id'. */
    struct ovs_list changes;    /* "struct model_object"s, oldest first. */
    size_t n_deleted;           /* How many of these are 'deleted'. */
    uint64_t seqno;             /* Number of the last change. */
};

void model_init(struct model *);
void model_destroy(struct model *);

/* The name of a kind, as Kubernetes writes it ("Node"); "Attachment" for
 * attachments. */
const char *model_kind_name(enum model_kind);

/* Makes a new object of the given kind, with nothing but its names.
 * 'namespace' is NULL for a kind without namespaces.  The caller fills it in,
 * then hands it to model_put() or model_object_free(). */
struct model_object *model_object_new(enum model_kind, const char *namespace,
                                      const char *name);

/* Frees an object that is in no model. */
void model_object_free(struct model_object *);

/* Puts 'obj' into 'model', which takes ownership, in place of the object of
 * that kind and name if there is one.  Where both say the same, the model
 * keeps the old one and nothing counts as changed.  Returns the object that
 * the model now holds. */
struct model_object *model_put(struct model *, struct model_object *obj);

/* Notes that the caller has changed a member of 'obj' in place. */
void model_touch(struct model *, struct model_object *obj);

/* Removes the object, if there is one. */
void model_remove(struct model *, enum model_kind, const char *namespace,
                  const char *name);

/* Returns the object, or NULL. */
struct model_object *model_find(const struct model *, enum model_kind,
                                const char *namespace, const char *name);

/* Returns the object of that kind whose 'id' it is, or NULL. */
struct model_object *model_find_id(const struct model *, enum model_kind,
                                   uint64_t id);

/* Frees the removed objects whose change is 'seen' or older: every reader has
 * dealt with them. */
void model_forget(struct model *, uint64_t seen);

/* The kinds' own names for model_find(). NULL if there is no such object. */
struct node *model_find_node(const struct model *, const char *name);
struct pod *model_find_pod(const struct model *, const char *namespace,
                           const char *name);
struct attachment *model_find_attachment(const struct model *,
                                         const char *container_id,
                                         const char *ifname);

/* Casts, checked. NULL stays NULL. */
struct node *node_cast(const struct model_object *);
struct namespace *namespace_cast(const struct model_object *);
struct pod *pod_cast(const struct model_object *);
struct policy *policy_cast(const struct model_object *);
struct attachment *attachment_cast(const struct model_object *);

/* The name of an attachment's object, in a new string. */
char *attachment_key(const char *container_id, const char *ifname);

/* Iterates over all objects of 'KIND', in no order. */
#define MODEL_FOR_EACH(OBJ, KIND, MODEL) \
    HMAP_FOR_EACH (OBJ, hmap_node, &(MODEL)->objects[KIND])

/* Iterates over what has changed after 'SINCE', the latest change first. */
#define MODEL_FOR_EACH_CHANGED(OBJ, MODEL, SINCE)                       \
    LIST_FOR_EACH_REVERSE (OBJ, change_node, &(MODEL)->changes)         \
        if ((OBJ)->changed <= (SINCE)) {                                \
            break;                                                      \
        } else

#endif /* agent/model.h */
