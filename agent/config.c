/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The agent's configuration: see config.h. */

#include <config.h>
#include "agent/config.h"

#include <ctype.h>
#include <errno.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/file.h"
#include "agent/names.h"
#include "agent/yaml-report.h"
#include "openvswitch/dynamic-string.h"
#include "svec.h"
#include "util.h"

/* A size that no configuration has. */
#define CONFIG_MAX_SIZE (1024 * 1024)

static const char *const tunnel_types[] = {
    [TUNNEL_GENEVE] = "geneve",
    [TUNNEL_GRE] = "gre",
    [TUNNEL_VXLAN] = "vxlan",
    NULL
};

static void parse_root(struct yaml_report *, const struct yaml_node *,
                       struct config *);

char *
config_load(const char *file, struct config **configp)
{
    char *text, *error;
    size_t size;

    *configp = NULL;
    int retval = file_read(file, CONFIG_MAX_SIZE, &text, &size, NULL);
    if (retval) {
        return xasprintf("%s: cannot be read: %s", file,
                         ovs_strerror(retval));
    }
    error = config_parse(file, text, size, configp);
    free(text);
    return error;
}

char *
config_parse(const char *file, const char *text, size_t size,
             struct config **configp)
{
    struct yaml_node **docs;
    size_t n;

    *configp = NULL;
    char *error = yaml_parse(file, text, size, &docs, &n);
    if (error) {
        return error;
    }

    struct svec errors = SVEC_EMPTY_INITIALIZER;
    struct yaml_report report = { .file = file, .errors = &errors };
    struct config *config = xzalloc(sizeof *config);
    if (n > 1) {
        yaml_error(&report, docs[1], "there is a second document; only one "
                   "is allowed");
    } else {
        parse_root(&report, n ? docs[0] : NULL, config);
    }
    yaml_docs_free(docs, n);

    if (svec_is_empty(&errors)) {
        *configp = config;
    } else {
        config_destroy(config);
        error = svec_join(&errors, "\n", "");
    }
    svec_destroy(&errors);
    return error;
}

void
config_destroy(struct config *config)
{
    if (config) {
        free(config->node);
        free(config->bridge);
        free(config->datapath_type);
        free(config->psk_file);
        free(config->vici_socket);
        free(config->source_dir);
        ip_prefix_list_destroy(&config->cluster_cidrs);
        ip_prefix_list_destroy(&config->service_cidrs);
        ip_prefix_list_destroy(&config->masquerade_exclude);
        free(config->uplink);
        free(config);
    }
}

char *
config_restart_needed(const struct config *old, const struct config *new)
{
    const struct {
        const char *key, *old, *new;
    } values[] = {
        { "node", old->node, new->node },
        { "bridge", old->bridge, new->bridge },
        { "datapath-type", old->datapath_type, new->datapath_type },
        { "source", old->source_dir, new->source_dir },
    };
    struct ds ds = DS_EMPTY_INITIALIZER;

    for (size_t i = 0; i < ARRAY_SIZE(values); i++) {
        if (strcmp(values[i].old, values[i].new)) {
            ds_put_format(&ds, "%s%s", ds.length ? ", " : "",
                          values[i].key);
        }
    }
    return ds.length ? ds_steal_cstr(&ds) : NULL;
}

const char *
tunnel_type_name(enum tunnel_type type)
{
    return tunnel_types[type];
}

/* Returns the string at 'key' in 'map'; a copy of 'default_', which may be
 * NULL, if there is none. */
static char *
get_string(struct yaml_report *report, const struct yaml_node *map,
           const char *key, const char *default_)
{
    const struct yaml_node *node = yaml_get(map, key);
    const char *s = default_;

    if (node && yaml_string(report, node, &s) && !*s) {
        yaml_error(report, node, "must not be empty");
    }
    return nullable_xstrdup(s);
}

/* As get_string(), for the name of a file. */
static char *
get_path(struct yaml_report *report, const struct yaml_node *map,
         const char *key, const char *default_)
{
    char *path = get_string(report, map, key, default_);

    if (path && *path && *path != '/') {
        yaml_error(report, yaml_get(map, key), "must be an absolute path, "
                   "that begins with /, but is \"%s\"", path);
    }
    return path;
}

/* As get_string(), for the name of a network interface. */
static char *
get_ifname(struct yaml_report *report, const struct yaml_node *map,
           const char *key, const char *default_)
{
    char *name = get_string(report, map, key, default_);

    if (name && (strlen(name) >= IFNAMSIZ || strpbrk(name, "/: \t\n\"'\\,=")
                 || !strcmp(name, ".") || !strcmp(name, ".."))) {
        yaml_error(report, yaml_get(map, key), "\"%s\" cannot be the name of "
                   "a network interface; use at most %d letters, digits, "
                   "'-', '_' and '.'", name, IFNAMSIZ - 1);
    }
    return name;
}

static int
get_enum(struct yaml_report *report, const struct yaml_node *map,
         const char *key, const char *const names[], int default_)
{
    const struct yaml_node *node = yaml_get(map, key);

    if (node) {
        yaml_enum(report, node, names, &default_);
    }
    return default_;
}

static long long int
get_integer(struct yaml_report *report, const struct yaml_node *map,
            const char *key, long long int min, long long int max,
            long long int default_)
{
    const struct yaml_node *node = yaml_get(map, key);

    if (node) {
        yaml_integer(report, node, min, max, &default_);
    }
    return default_;
}

/* Appends the list of prefixes at 'key' in 'map'. */
static void
get_prefixes(struct yaml_report *report, const struct yaml_node *map,
             const char *key, struct ip_prefix_list *list)
{
    const struct yaml_node *node = yaml_get(map, key);

    if (!node || !yaml_expect(report, node, YAML_SEQUENCE)) {
        return;
    }
    for (size_t i = 0; i < node->n; i++) {
        const struct yaml_node *child = node->children[i];
        struct ip_prefix p;
        const char *s;

        if (!yaml_string(report, child, &s)) {
            continue;
        } else if (!strchr(s, '/') || !ip_prefix_parse(s, &p)) {
            yaml_error(report, child, "\"%s\" is no prefix; write it as "
                       "10.244.0.0/16 or fd00:10:244::/48", s);
            continue;
        }
        ip_prefix_mask(&p);
        ip_prefix_list_add(list, &p);
    }
}

/* Returns the mapping at 'key', with only the 'known' keys in it; NULL if
 * there is none. */
static const struct yaml_node *
get_section(struct yaml_report *report, const struct yaml_node *map,
            const char *key, const char *const known[])
{
    const struct yaml_node *node = yaml_get(map, key);

    if (node) {
        yaml_expect_keys(report, node, known);
    }
    return node;
}

static char *
default_node_name(void)
{
    char name[254];

    if (gethostname(name, sizeof name)) {
        return NULL;
    }
    name[sizeof name - 1] = '\0';
    for (char *p = name; *p; p++) {
        *p = tolower((unsigned char) *p);
    }
    return xstrdup(name);
}

static void
parse_node_name(struct yaml_report *report, const struct yaml_node *root,
                struct config *config)
{
    config->node = get_string(report, root, "node", NULL);
    if (!config->node) {
        config->node = default_node_name();
    }
    if (!config->node || !name_is_dns_subdomain(config->node)) {
        const struct yaml_node *node = yaml_get(root, "node");

        yaml_error(report, node ? node : root, "%s\"%s\" cannot be a node's "
                   "name: " NAME_DNS_SUBDOMAIN "%s",
                   node ? "" : "the host's name, ",
                   config->node ? config->node : "",
                   node ? "" : "; give one by the key node");
    }
}

static void
parse_tunnel(struct yaml_report *report, const struct yaml_node *root,
             struct config *config)
{
    static const char *const keys[] = { "type", "port", "family", NULL };
    static const char *const families[] = { "auto", "ipv4", "ipv6", NULL };
    static const int family_values[] = { 0, AF_INET, AF_INET6 };
    static const uint16_t default_ports[] = {
        [TUNNEL_GENEVE] = 6081,
        [TUNNEL_GRE] = 0,
        [TUNNEL_VXLAN] = 4789,
    };
    const struct yaml_node *tunnel = get_section(report, root, "tunnel",
                                                 keys);
    const struct yaml_node *port = yaml_get(tunnel, "port");

    config->tunnel_type = get_enum(report, tunnel, "type", tunnel_types,
                                   TUNNEL_GENEVE);
    config->tunnel_port = get_integer(report, tunnel, "port", 1, 65535,
                                      default_ports[config->tunnel_type]);
    if (port && config->tunnel_type == TUNNEL_GRE) {
        yaml_error(report, port, "GRE has no ports; remove the key");
    }
    config->tunnel_family = family_values[get_enum(report, tunnel, "family",
                                                   families, 0)];
}

static void
parse_ipsec(struct yaml_report *report, const struct yaml_node *root,
            struct config *config)
{
    static const char *const keys[] = {
        "mode", "psk-file", "vici-socket", NULL
    };
    static const char *const modes[] = {
        [IPSEC_OFF] = "off",
        [IPSEC_REQUIRED] = "required",
        NULL
    };
    const struct yaml_node *ipsec = get_section(report, root, "ipsec", keys);

    config->ipsec_mode = get_enum(report, ipsec, "mode", modes, IPSEC_OFF);
    config->psk_file = get_path(report, ipsec, "psk-file", NULL);
    config->vici_socket = get_path(report, ipsec, "vici-socket",
                                   "/var/run/charon.vici");
    if (ipsec && ipsec->kind == YAML_MAPPING && !yaml_get(ipsec, "mode")) {
        yaml_error(report, ipsec, "the key mode is missing; write off or "
                   "required");
    }
    if (config->ipsec_mode != IPSEC_REQUIRED) {
        return;
    }
    const struct yaml_node *mode = yaml_get(ipsec, "mode");
    if (!config->psk_file && !yaml_get(ipsec, "psk-file")) {
        yaml_error(report, mode, "required needs the key psk-file beside it, "
                   "the path of the file with the nodes' common key");
    }
    if (config->datapath_type && !strcmp(config->datapath_type, "netdev")) {
        yaml_error(report, mode, "required is not possible with "
                   "datapath-type: netdev, because Open vSwitch's userspace "
                   "tunnels never pass the kernel's IPsec (XFRM); use "
                   "datapath-type: system");
    }
}

static void
parse_source(struct yaml_report *report, const struct yaml_node *root,
             struct config *config)
{
    const struct yaml_node *node = yaml_get(root, "source");
    const char *s;

    if (!node) {
        yaml_error(report, root, "the key source is missing; write, for "
                   "example, source: \"dir:/etc/lateen/cluster\"");
    } else if (yaml_string(report, node, &s)) {
        if (!strncmp(s, "dir:/", 5)) {
            config->source_dir = xstrdup(s + 4);
        } else {
            yaml_error(report, node, "must be \"dir:\" and the absolute path "
                       "of a directory, such as \"dir:/etc/lateen/cluster\", "
                       "but is \"%s\"", s);
        }
    }
}

static void
parse_masquerade(struct yaml_report *report, const struct yaml_node *root,
                 struct config *config)
{
    static const char *const keys[] = { "enabled", "exclude", NULL };
    const struct yaml_node *masquerade = get_section(report, root,
                                                     "masquerade", keys);
    const struct yaml_node *enabled = yaml_get(masquerade, "enabled");

    config->masquerade = true;
    if (enabled) {
        yaml_bool(report, enabled, &config->masquerade);
    }
    get_prefixes(report, masquerade, "exclude", &config->masquerade_exclude);
}

/* 'root' is NULL for an empty file. */
static bool
overlaps(const struct ip_prefix *p, const struct ip_prefix_list *list)
{
    for (size_t i = 0; i < list->n; i++) {
        if (ip_prefix_overlaps(p, &list->elems[i])) {
            return true;
        }
    }
    return false;
}

/* A Service's address that could be a pod's would be judged as neither. */
static void
check_services(struct yaml_report *report, const struct yaml_node *node,
               const struct config *config)
{
    for (size_t i = 0; i < config->service_cidrs.n; i++) {
        if (overlaps(&config->service_cidrs.elems[i],
                     &config->cluster_cidrs)) {
            yaml_error(report, node, "must have nothing in common with "
                       "cluster-cidrs, where the pods are");
            return;
        }
    }
}

static void
parse_root(struct yaml_report *report, const struct yaml_node *root,
           struct config *config)
{
    static const char *const keys[] = {
        "node", "bridge", "datapath-type", "tunnel", "ipsec", "source",
        "cluster-cidrs", "service-cidrs", "masquerade", "uplink", "mtu",
        "cni-timeout", NULL
    };
    static const char *const datapath_types[] = { "system", "netdev", NULL };

    if (root && !yaml_expect_keys(report, root, keys)
        && root->kind != YAML_MAPPING) {
        return;
    }
    parse_node_name(report, root, config);
    config->bridge = get_ifname(report, root, "bridge", "br-int");
    int type = get_enum(report, root, "datapath-type", datapath_types, 0);
    config->datapath_type = xstrdup(datapath_types[type]);
    parse_tunnel(report, root, config);
    parse_ipsec(report, root, config);
    parse_source(report, root, config);

    get_prefixes(report, root, "cluster-cidrs", &config->cluster_cidrs);
    const struct yaml_node *cidrs = yaml_get(root, "cluster-cidrs");
    if (!cidrs || (cidrs->kind == YAML_SEQUENCE && !cidrs->n)) {
        yaml_error(report, cidrs ? cidrs : root, "%s; list the prefixes that "
                   "hold all pods, such as [10.244.0.0/16]",
                   cidrs ? "must not be empty"
                   : "the key cluster-cidrs is missing");
    }
    get_prefixes(report, root, "service-cidrs", &config->service_cidrs);
    if (yaml_get(root, "service-cidrs")) {
        check_services(report, yaml_get(root, "service-cidrs"), config);
    } else {
        /* What kubeadm and most others take. */
        struct ip_prefix usual;

        ovs_assert(ip_prefix_parse("10.96.0.0/12", &usual));
        if (!overlaps(&usual, &config->cluster_cidrs)) {
            ip_prefix_list_add(&config->service_cidrs, &usual);
        }
    }
    parse_masquerade(report, root, config);
    config->uplink = get_ifname(report, root, "uplink", NULL);
    /* 1280 is what IPv6 needs (RFC 8200, section 5). */
    config->mtu = get_integer(report, root, "mtu", 1280, 65535, 0);
    /* The plugin itself gives up after 30. */
    config->cni_timeout = get_integer(report, root, "cni-timeout", 1, 25, 10);
}
