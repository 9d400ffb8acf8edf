/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Manifests: see manifest.h. */

#include <config.h>
#include "agent/manifest.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "agent/names.h"
#include "agent/policy.h"
#include "agent/yaml-report.h"
#include "util.h"

/* Parses the body of an object, 'node', into 'object'. */
typedef void parse_func(const struct yaml_node *node, struct yaml_report *,
                        struct model_object *object, bool *wants_ips);

static parse_func parse_node, parse_namespace, parse_pod, parse_policy;

/* The kinds that are known. */
static const struct kind {
    enum model_kind kind;
    const char *name;
    const char *api_version;
    bool namespaced;
    parse_func *parse;
} kinds[] = {
    { MODEL_NODE, "Node", "v1", false, parse_node },
    { MODEL_NAMESPACE, "Namespace", "v1", false, parse_namespace },
    { MODEL_POD, "Pod", "v1", true, parse_pod },
    { MODEL_POLICY, "NetworkPolicy", "networking.k8s.io/v1", true,
      parse_policy },
};

static void parse_document(const char *file, const struct yaml_node *,
                           struct manifest *);
static void parse_status(const struct yaml_node *, struct yaml_report *,
                         struct manifest *);

bool
manifest_parse(const char *file, const char *text, size_t size,
               struct manifest *m)
{
    struct yaml_node **docs;
    size_t n;

    *m = (struct manifest) { .errors = SVEC_EMPTY_INITIALIZER };
    char *error = yaml_parse(file, text, size, &docs, &n);
    if (error) {
        svec_add_nocopy(&m->errors, error);
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        parse_document(file, docs[i], m);
    }
    yaml_docs_free(docs, n);
    return true;
}

void
manifest_destroy(struct manifest *m)
{
    for (size_t i = 0; i < m->n_objects; i++) {
        free(m->objects[i].namespace);
        free(m->objects[i].name);
        model_object_free(m->objects[i].object);
    }
    free(m->objects);
    free(m->status_node);
    for (size_t i = 0; i < m->n_pod_ips; i++) {
        free(m->pod_ips[i].namespace);
        free(m->pod_ips[i].name);
        ip_prefix_list_destroy(&m->pod_ips[i].ips);
    }
    free(m->pod_ips);
    svec_destroy(&m->errors);
}

char *
manifest_object_title(enum model_kind kind, const char *namespace,
                      const char *name)
{
    return xasprintf("%s %s%s%s", model_kind_name(kind),
                     namespace ? namespace : "", namespace ? "/" : "", name);
}

/* The string at 'key' in 'map', or NULL; no error if it is no string. */
static const char *
peek_string(const struct yaml_node *map, const char *key)
{
    const struct yaml_node *node = yaml_get(map, key);

    return node && node->kind == YAML_SCALAR ? node->text : NULL;
}

/* The same, with an error if it is there but no string. */
static const char *
get_string(const struct yaml_node *map, const char *key,
           struct yaml_report *report)
{
    const struct yaml_node *node = yaml_get(map, key);
    const char *s = NULL;

    if (node) {
        yaml_string(report, node, &s);
    }
    return s;
}

/* The collection at 'key' in 'map', or NULL; an error if it is there but of
 * another kind. */
static const struct yaml_node *
get_collection(const struct yaml_node *map, const char *key,
               enum yaml_kind kind, struct yaml_report *report)
{
    const struct yaml_node *node = yaml_get(map, key);

    return node && yaml_expect(report, node, kind) ? node : NULL;
}

static bool
get_bool(const struct yaml_node *map, const char *key,
         struct yaml_report *report)
{
    const struct yaml_node *node = yaml_get(map, key);
    bool value = false;

    if (node) {
        yaml_bool(report, node, &value);
    }
    return value;
}

/* Finds the kind called 'name'.  Stores in '*foreign' whether an object with
 * that name and 'api_version' is of somebody else's API group, so that the
 * same name means another thing. */
static const struct kind *
find_kind(const char *name, const char *api_version, bool *foreign)
{
    size_t group = strcspn(api_version, "/");

    *foreign = (api_version[group] && memchr(api_version, '.', group)
                && strncmp(api_version, "networking.k8s.io/", group + 1));
    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
        if (!strcmp(kinds[i].name, name)) {
            return &kinds[i];
        }
    }
    return NULL;
}

static struct manifest_object *
add_object(struct manifest *m)
{
    m->objects = xrealloc(m->objects,
                          (m->n_objects + 1) * sizeof *m->objects);
    return memset(&m->objects[m->n_objects++], 0, sizeof *m->objects);
}

/* Checks what no object uses: a misspelt "namespace" would put an object where
 * it is not meant to be. */
static void
check_metadata(const struct yaml_node *meta, struct yaml_report *report)
{
    static const char *const keys[] = {
        "name", "namespace", "labels", "annotations", "generateName",
        "selfLink", "uid", "resourceVersion", "generation",
        "creationTimestamp", "deletionTimestamp",
        "deletionGracePeriodSeconds", "ownerReferences", "finalizers",
        "managedFields", NULL
    };
    const struct yaml_node *annotations
        = get_collection(meta, "annotations", YAML_MAPPING, report);

    yaml_expect_keys(report, meta, keys);
    for (size_t i = 0; annotations && i < annotations->n; i++) {
        const struct yaml_node *child = annotations->children[i];
        const char *text;

        if (!name_is_annotation_key(child->key)) {
            yaml_error(report, child, "\"%s\" cannot be the key of an "
                       "annotation: " NAME_LABEL_KEY, child->key);
        } else if (!yaml_is_null(child)) {
            yaml_string(report, child, &text);
        }
    }
}

/* Parses an object of a known 'kind'. */
static void
parse_object(const struct yaml_node *node, const struct kind *kind,
             struct yaml_report *report, struct manifest *m)
{
    const struct yaml_node *meta = yaml_get(node, "metadata");
    const char *name = peek_string(meta, "name");
    const char *namespace = NULL;
    const char *text;

    if (kind->namespaced) {
        namespace = peek_string(meta, "namespace");
        if (!yaml_get(meta, "namespace")
            || (namespace && !*namespace)) {
            namespace = "default";
        }
    }
    report->object = kind->name;
    if (!name || (kind->namespaced && !namespace)) {
        yaml_error(report, meta ? meta : node, "%s%s is missing",
                   meta ? "" : "metadata.", name ? "namespace" : "name");
        m->incomplete = true;
        return;
    }

    struct manifest_object *mo = add_object(m);
    mo->line = node->line;
    mo->kind = kind->kind;
    mo->namespace = nullable_xstrdup(namespace);
    mo->name = xstrdup(name);
    mo->object = model_object_new(kind->kind, namespace, name);
    mo->error = MIN(report->errors->n, YAML_MAX_ERRORS - 1);
    char *title = manifest_object_title(kind->kind, namespace, name);
    report->object = title;

    const struct yaml_node *name_node = yaml_get(meta, "name");
    if (yaml_string(report, name_node, &text)) {
        bool is_label = kind->kind == MODEL_NAMESPACE;

        if (!(is_label ? name_is_dns_label : name_is_dns_subdomain)(text)) {
            yaml_error(report, name_node, "\"%s\" cannot be its name: %s",
                       text, is_label ? NAME_DNS_LABEL : NAME_DNS_SUBDOMAIN);
        }
    }
    const struct yaml_node *ns_node = yaml_get(meta, "namespace");
    if (namespace && ns_node && yaml_string(report, ns_node, &text) && *text
        && !name_is_dns_label(text)) {
        yaml_error(report, ns_node, "\"%s\" cannot be the name of a "
                   "namespace: " NAME_DNS_LABEL, text);
    }
    check_metadata(meta, report);
    kind->parse(node, report, mo->object, &mo->wants_ips);
    if (report->n_errors) {
        model_object_free(mo->object);
        mo->object = NULL;
        mo->wants_ips = false;
    }
    report->object = NULL;
    free(title);
}

/* Parses 'node', an object or a List of them. */
static void
parse_document(const char *file, const struct yaml_node *node,
               struct manifest *m)
{
    struct yaml_report report = {
        .file = file, .root = node, .errors = &m->errors
    };
    const char *kind_name = peek_string(node, "kind");
    const char *api_version = peek_string(node, "apiVersion");
    bool foreign;

    if (!yaml_expect(&report, node, YAML_MAPPING)) {
        m->incomplete = true;
        return;
    } else if (!kind_name || !api_version) {
        yaml_error(&report, node, "%s is missing: this is no Kubernetes "
                   "object", kind_name ? "apiVersion" : "kind");
        m->incomplete = true;
        return;
    }

    /* A List may be of a kind of its own, such as PodList. */
    const struct yaml_node *items = yaml_get(node, "items");
    size_t length = strlen(kind_name);
    if (items && items->kind == YAML_SEQUENCE && length >= 4
        && !strcmp(kind_name + length - 4, "List")) {
        for (size_t i = 0; i < items->n; i++) {
            parse_document(file, items->children[i], m);
        }
        return;
    }

    if (!strcmp(api_version, "lateen.io/v1")
        && !strcmp(kind_name, "PodStatus")) {
        parse_status(node, &report, m);
        return;
    }
    const struct kind *kind = find_kind(kind_name, api_version, &foreign);
    if (!kind || foreign) {
        m->n_ignored++;
    } else if (strcmp(api_version, kind->api_version)) {
        report.object = kind->name;
        yaml_error(&report, yaml_get(node, "apiVersion"), "must be %s, but "
                   "is %s", kind->api_version, api_version);
        m->incomplete = true;
    } else {
        parse_object(node, kind, &report, m);
    }
}

/* Adds to 'list' the address at 'node', as a prefix of full length. */
static void
parse_address(const struct yaml_node *node, struct yaml_report *report,
              struct ip_prefix_list *list)
{
    struct ip_prefix p = { .plen = 128 };
    const char *s;

    if (!yaml_string(report, node, &s)) {
        return;
    } else if (!ip_addr_parse(s, &p.addr)) {
        yaml_error(report, node, "\"%s\" is no IP address", s);
    } else {
        ip_prefix_list_add(list, &p);
    }
}

static void
parse_cidr(const struct yaml_node *node, struct yaml_report *report,
           struct ip_prefix_list *list)
{
    struct ip_prefix p;
    const char *s;

    if (!yaml_string(report, node, &s)) {
        return;
    } else if (!strchr(s, '/') || !ip_prefix_parse(s, &p)) {
        yaml_error(report, node, "\"%s\" is no prefix; write it as "
                   "10.244.1.0/24 or fd00:10:244:1::/64", s);
    } else {
        ip_prefix_mask(&p);
        ip_prefix_list_add(list, &p);
    }
}

/* Parses 'node', a list of {ip: ADDRESS}. */
static void
parse_pod_ips(const struct yaml_node *node, struct yaml_report *report,
              struct ip_prefix_list *ips)
{
    for (size_t i = 0; i < node->n; i++) {
        const struct yaml_node *ip = yaml_get(node->children[i], "ip");

        if (ip) {
            parse_address(ip, report, ips);
        } else {
            yaml_error(report, node->children[i], "ip is missing");
        }
    }
}

static void
parse_labels(const struct yaml_node *node, struct yaml_report *report,
             struct smap *labels)
{
    labels_parse(yaml_get(yaml_get(node, "metadata"), "labels"), report,
                 labels);
}

static void
parse_node(const struct yaml_node *root, struct yaml_report *report,
           struct model_object *object, bool *wants_ips OVS_UNUSED)
{
    struct node *node = node_cast(object);
    const struct yaml_node *spec = get_collection(root, "spec", YAML_MAPPING,
                                                  report);
    const struct yaml_node *status = get_collection(root, "status",
                                                    YAML_MAPPING, report);
    const struct yaml_node *cidrs = get_collection(spec, "podCIDRs",
                                                   YAML_SEQUENCE, report);
    const struct yaml_node *addresses = get_collection(status, "addresses",
                                                       YAML_SEQUENCE, report);

    parse_labels(root, report, &node->labels);
    for (size_t i = 0; cidrs && i < cidrs->n; i++) {
        parse_cidr(cidrs->children[i], report, &node->pod_cidrs);
    }
    if (!cidrs && yaml_get(spec, "podCIDR")) {
        parse_cidr(yaml_get(spec, "podCIDR"), report, &node->pod_cidrs);
    }
    for (size_t i = 0; addresses && i < addresses->n; i++) {
        const struct yaml_node *entry = addresses->children[i];
        const char *type = get_string(entry, "type", report);
        const struct yaml_node *address = yaml_get(entry, "address");

        if (type && !strcmp(type, "InternalIP") && address) {
            parse_address(address, report, &node->addresses);
        } else if (type && !strcmp(type, "ExternalIP") && address) {
            parse_address(address, report, &node->external_addresses);
        }
    }
}

static void
parse_namespace(const struct yaml_node *root, struct yaml_report *report,
                struct model_object *object, bool *wants_ips OVS_UNUSED)
{
    struct namespace *ns = namespace_cast(object);

    parse_labels(root, report, &ns->labels);
    /* The API server sets it, whatever was there. */
    smap_replace(&ns->labels, "kubernetes.io/metadata.name", object->name);
}

/* Adds the ports that 'container' declares. */
static void
parse_container(const struct yaml_node *container, struct yaml_report *report,
                struct pod *pod)
{
    static const char *const protocols[] = { "TCP", "UDP", "SCTP", NULL };
    static const uint8_t numbers[] = {
        IPPROTO_TCP, IPPROTO_UDP, IPPROTO_SCTP
    };
    const struct yaml_node *ports = get_collection(container, "ports",
                                                   YAML_SEQUENCE, report);

    for (size_t i = 0; ports && i < ports->n; i++) {
        const struct yaml_node *entry = ports->children[i];
        const struct yaml_node *port_node = yaml_get(entry, "containerPort");
        const struct yaml_node *protocol_node = yaml_get(entry, "protocol");
        const char *name = get_string(entry, "name", report);
        long long int port = 0;
        int protocol = 0;

        if (!port_node) {
            yaml_error(report, entry, "containerPort is missing");
            continue;
        } else if (!yaml_integer(report, port_node, 1, 65535, &port)
                   || (protocol_node
                       && !yaml_enum(report, protocol_node, protocols,
                                     &protocol))) {
            continue;
        } else if (name && *name && !name_is_port(name)) {
            yaml_error(report, yaml_get(entry, "name"), "\"%s\" cannot be "
                       "the name of a port: " NAME_PORT, name);
            continue;
        }
        pod->ports = xrealloc(pod->ports,
                              (pod->n_ports + 1) * sizeof *pod->ports);
        pod->ports[pod->n_ports++] = (struct pod_port) {
            .name = name && *name ? xstrdup(name) : NULL,
            .port = port,
            .protocol = numbers[protocol],
        };
    }
}

static void
parse_pod(const struct yaml_node *root, struct yaml_report *report,
          struct model_object *object, bool *wants_ips)
{
    struct pod *pod = pod_cast(object);
    const struct yaml_node *spec = get_collection(root, "spec", YAML_MAPPING,
                                                  report);
    const struct yaml_node *status = get_collection(root, "status",
                                                    YAML_MAPPING, report);
    const struct yaml_node *containers = get_collection(spec, "containers",
                                                        YAML_SEQUENCE,
                                                        report);
    const struct yaml_node *ips = get_collection(status, "podIPs",
                                                 YAML_SEQUENCE, report);
    const char *node = get_string(spec, "nodeName", report);
    const char *phase = get_string(status, "phase", report);

    parse_labels(root, report, &pod->labels);
    pod->node = node && *node ? xstrdup(node) : NULL;
    pod->host_network = get_bool(spec, "hostNetwork", report);
    for (size_t i = 0; containers && i < containers->n; i++) {
        parse_container(containers->children[i], report, pod);
    }
    /* A pod that has ended has no addresses: they may be another's now. */
    if (phase && (!strcmp(phase, "Succeeded") || !strcmp(phase, "Failed"))) {
        return;
    }
    if (ips) {
        parse_pod_ips(ips, report, &pod->ips);
    } else if (yaml_get(status, "podIP")) {
        const struct yaml_node *ip = yaml_get(status, "podIP");

        /* What the API server writes while there is none yet is "". */
        if (ip->kind != YAML_SCALAR || *ip->text) {
            parse_address(ip, report, &pod->ips);
        }
    }
    *wants_ips = !pod->ips.n && !pod->host_network;
}

static void
parse_policy(const struct yaml_node *root, struct yaml_report *report,
             struct model_object *object, bool *wants_ips OVS_UNUSED)
{
    static const char *const keys[] = {
        "apiVersion", "kind", "metadata", "spec", "status", NULL
    };
    /* Labels of a policy mean nothing, but the API server looks at them. */
    struct smap labels = SMAP_INITIALIZER(&labels);

    yaml_expect_keys(report, root, keys);
    parse_labels(root, report, &labels);
    smap_destroy(&labels);
    policy_cast(object)->spec = policy_spec_parse(yaml_get(root, "spec"),
                                                  report);
}

/* Adds an entry of a PodStatus. */
static void
parse_status_entry(const struct yaml_node *node, struct yaml_report *report,
                   struct manifest *m)
{
    const char *namespace = get_string(node, "namespace", report);
    const char *name = get_string(node, "name", report);
    const struct yaml_node *ips = get_collection(node, "podIPs",
                                                 YAML_SEQUENCE, report);

    if (!yaml_expect(report, node, YAML_MAPPING)) {
        return;
    } else if (!namespace || !name_is_dns_label(namespace)
               || !name || !name_is_dns_subdomain(name)) {
        yaml_error(report, node, "namespace and name must name a pod");
        return;
    }
    m->pod_ips = xrealloc(m->pod_ips,
                          (m->n_pod_ips + 1) * sizeof *m->pod_ips);
    struct manifest_pod_ips *entry = &m->pod_ips[m->n_pod_ips++];
    *entry = (struct manifest_pod_ips) {
        .namespace = xstrdup(namespace), .name = xstrdup(name)
    };
    if (ips) {
        parse_pod_ips(ips, report, &entry->ips);
    }
}

/* Parses a PodStatus. */
static void
parse_status(const struct yaml_node *node, struct yaml_report *report,
             struct manifest *m)
{
    const struct yaml_node *meta = yaml_get(node, "metadata");
    const char *name = get_string(meta, "name", report);
    const struct yaml_node *pods = get_collection(node, "pods",
                                                  YAML_SEQUENCE, report);

    report->object = "PodStatus";
    if (!name || !name_is_dns_subdomain(name)) {
        yaml_error(report, node, "metadata.name must be a node's name");
    } else if (m->status_node) {
        yaml_error(report, node, "there is one for %s already; a file may "
                   "hold only one", m->status_node);
    } else {
        for (size_t i = 0; pods && i < pods->n; i++) {
            parse_status_entry(pods->children[i], report, m);
        }
        m->status_node = xstrdup(name);
    }
    if (report->n_errors) {
        m->incomplete = true;
    }
}
