/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The agent's configuration: see config.h. */

#include <config.h>
#include "agent/config.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/config-private.h"
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
    static unsigned int serial;
    config->serial = ++serial;
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
        svec_destroy(&config->psk_files);
        free(config->certificate);
        free(config->key);
        free(config->ca);
        free(config->crl);
        free(config->vici_socket);
        svec_destroy(&config->ike_proposals);
        svec_destroy(&config->esp_proposals);
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
    config->node = config_get_string(report, root, "node", NULL);
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
    static const char *const keys[] = {
        "type", "port", "family", "peer-address", NULL
    };
    static const char *const families[] = { "auto", "ipv4", "ipv6", NULL };
    static const char *const peer_addresses[] = {
        "InternalIP", "ExternalIP", NULL
    };
    static const int family_values[] = { 0, AF_INET, AF_INET6 };
    static const uint16_t default_ports[] = {
        [TUNNEL_GENEVE] = 6081,
        [TUNNEL_GRE] = 0,
        [TUNNEL_VXLAN] = 4789,
    };
    const struct yaml_node *tunnel = config_get_section(report, root, "tunnel",
                                                        keys);
    const struct yaml_node *port = yaml_get(tunnel, "port");

    config->tunnel_type = config_get_enum(report, tunnel, "type",
                                          tunnel_types, TUNNEL_GENEVE);
    config->tunnel_port
        = config_get_integer(report, tunnel, "port", 1, 65535,
                             default_ports[config->tunnel_type]);
    if (port && config->tunnel_type == TUNNEL_GRE) {
        yaml_error(report, port, "GRE has no ports; remove the key");
    }
    config->tunnel_family
        = family_values[config_get_enum(report, tunnel, "family", families,
                                        0)];
    config->tunnel_external = config_get_enum(report, tunnel, "peer-address",
                                              peer_addresses, 0);
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
    const struct yaml_node *masquerade
        = config_get_section(report, root, "masquerade", keys);

    config->masquerade = config_get_bool(report, masquerade, "enabled", true);
    config_get_prefixes(report, masquerade, "exclude",
                        &config->masquerade_exclude);
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
    config->bridge = config_get_ifname(report, root, "bridge", "br-int");
    int type = config_get_enum(report, root, "datapath-type", datapath_types,
                               0);
    config->datapath_type = xstrdup(datapath_types[type]);
    parse_tunnel(report, root, config);
    config_parse_ipsec(report, root, config);
    parse_source(report, root, config);

    config_get_prefixes(report, root, "cluster-cidrs", &config->cluster_cidrs);
    const struct yaml_node *cidrs = yaml_get(root, "cluster-cidrs");
    if (!cidrs || (cidrs->kind == YAML_SEQUENCE && !cidrs->n)) {
        yaml_error(report, cidrs ? cidrs : root, "%s; list the prefixes that "
                   "hold all pods, such as [10.244.0.0/16]",
                   cidrs ? "must not be empty"
                   : "the key cluster-cidrs is missing");
    }
    config_get_prefixes(report, root, "service-cidrs", &config->service_cidrs);
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
    config->uplink = config_get_ifname(report, root, "uplink", NULL);
    /* 1280 is what IPv6 needs (RFC 8200, section 5). */
    config->mtu = config_get_integer(report, root, "mtu", 1280, 65535, 0);
    /* The plugin itself gives up after 30. */
    config->cni_timeout = config_get_integer(report, root, "cni-timeout", 1,
                                             25, 10);
}
