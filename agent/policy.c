/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Network policies: see policy.h.
 *
 * The checks are those of the API server's validation of NetworkPolicy, and
 * an error has the path of the field that they would name. */

#include <config.h>
#include "agent/policy.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "agent/names.h"
#include "agent/yaml-report.h"
#include "util.h"

static void parse_rules(const struct yaml_node *, struct yaml_report *,
                        const char *peers_key, struct policy_direction *);
static void direction_destroy(struct policy_direction *);

/* Sets the directions' 'isolated' from 'types', "policyTypes" or NULL.  As
 * the API server fills in the default, an empty list of egress rules does
 * not count. */
static void
parse_types(const struct yaml_node *types, struct yaml_report *report,
            struct policy_spec *spec)
{
    static const char *const names[] = { "Ingress", "Egress", NULL };

    if (types && !yaml_expect(report, types, YAML_SEQUENCE)) {
        return;
    }
    if (!types || !types->n) {
        spec->ingress.isolated = true;
        spec->egress.isolated = spec->egress.n_rules > 0;
        return;
    }
    if (types->n > 2) {
        yaml_error(report, types, "must not have more than two entries");
        return;
    }
    for (size_t i = 0; i < types->n; i++) {
        int type;

        if (yaml_enum(report, types->children[i], names, &type)) {
            *(type ? &spec->egress.isolated
              : &spec->ingress.isolated) = true;
        }
    }
}

struct policy_spec *
policy_spec_parse(const struct yaml_node *node, struct yaml_report *report)
{
    static const char *const keys[] = {
        "podSelector", "policyTypes", "ingress", "egress", NULL
    };
    struct policy_spec *spec = xzalloc(sizeof *spec);
    size_t n_errors = report->n_errors;

    if (node) {
        yaml_expect_keys(report, node, keys);
    }
    selector_parse(yaml_get(node, "podSelector"), report, &spec->pods);
    parse_rules(yaml_get(node, "ingress"), report, "from", &spec->ingress);
    parse_rules(yaml_get(node, "egress"), report, "to", &spec->egress);
    parse_types(yaml_get(node, "policyTypes"), report, spec);

    if (report->n_errors > n_errors) {
        policy_spec_free(spec);
        return NULL;
    }
    /* Rules for a direction that the policy is not for say nothing. */
    if (!spec->ingress.isolated) {
        direction_destroy(&spec->ingress);
    }
    if (!spec->egress.isolated) {
        direction_destroy(&spec->egress);
    }
    return spec;
}

/* Stores into '*p' the prefix that 'node' holds, masked. */
static bool
parse_cidr(const struct yaml_node *node, struct yaml_report *report,
           struct ip_prefix *p)
{
    const char *s;

    if (!yaml_string(report, node, &s)) {
        return false;
    } else if (!strchr(s, '/') || !ip_prefix_parse(s, p)) {
        yaml_error(report, node, "\"%s\" is no CIDR; write it as 10.0.0.0/8 "
                   "or fd00::/8", s);
        return false;
    }
    ip_prefix_mask(p);
    return true;
}

static void
parse_block(const struct yaml_node *node, struct yaml_report *report,
            struct policy_peer *peer)
{
    static const char *const keys[] = { "cidr", "except", NULL };
    const struct yaml_node *cidr = yaml_get(node, "cidr");
    const struct yaml_node *except = yaml_get(node, "except");

    if (!yaml_expect_keys(report, node, keys)) {
        return;
    } else if (!cidr) {
        yaml_error(report, node, "cidr is missing");
        return;
    }
    bool ok = parse_cidr(cidr, report, &peer->block);
    if (!except || !yaml_expect(report, except, YAML_SEQUENCE)) {
        return;
    }
    for (size_t i = 0; i < except->n; i++) {
        const struct yaml_node *child = except->children[i];
        struct ip_prefix p;

        if (!parse_cidr(child, report, &p) || !ok) {
            continue;
        } else if (p.plen <= peer->block.plen
                   || !ip_prefix_contains(&peer->block, &p.addr)) {
            char *block = ip_prefix_to_string(&peer->block);

            yaml_error(report, child, "\"%s\" must be a part of the cidr %s, "
                       "and smaller", child->text, block);
            free(block);
            continue;
        }
        ip_prefix_list_add(&peer->except, &p);
    }
}

/* Parses an entry of "from" or "to". */
static void
parse_peer(const struct yaml_node *node, struct yaml_report *report,
           struct policy_peer *peer)
{
    static const char *const keys[] = {
        "podSelector", "namespaceSelector", "ipBlock", NULL
    };
    const struct yaml_node *pods = yaml_get(node, "podSelector");
    const struct yaml_node *namespaces = yaml_get(node, "namespaceSelector");
    const struct yaml_node *block = yaml_get(node, "ipBlock");

    *peer = (struct policy_peer) { .pods = NULL };
    if (!yaml_expect_keys(report, node, keys)) {
        return;
    } else if (!pods && !namespaces && !block) {
        yaml_error(report, node, "must have a podSelector, a "
                   "namespaceSelector or an ipBlock");
        return;
    } else if (block && (pods || namespaces)) {
        yaml_error(report, node, "must not have both an ipBlock and a "
                   "selector; make two entries of it");
        return;
    }
    if (pods) {
        peer->pods = xmalloc(sizeof *peer->pods);
        selector_parse(pods, report, peer->pods);
    }
    if (namespaces) {
        peer->namespaces = xmalloc(sizeof *peer->namespaces);
        selector_parse(namespaces, report, peer->namespaces);
    }
    if (block) {
        parse_block(block, report, peer);
    }
}

/* Parses an entry of "ports". */
static void
parse_port(const struct yaml_node *node, struct yaml_report *report,
           struct policy_port *port)
{
    static const char *const keys[] = { "protocol", "port", "endPort", NULL };
    static const char *const protocols[] = { "TCP", "UDP", "SCTP", NULL };
    static const uint8_t numbers[] = {
        IPPROTO_TCP, IPPROTO_UDP, IPPROTO_SCTP
    };
    const struct yaml_node *protocol = yaml_get(node, "protocol");
    const struct yaml_node *first = yaml_get(node, "port");
    const struct yaml_node *last = yaml_get(node, "endPort");
    long long int number;
    int i = 0;

    *port = (struct policy_port) { .protocol = IPPROTO_TCP };
    /* Null is an empty entry for the API server. */
    if (yaml_is_null(node) || !yaml_expect_keys(report, node, keys)) {
        return;
    }
    if (protocol) {
        yaml_enum(report, protocol, protocols, &i);
    }
    port->protocol = numbers[i];

    if (first && first->kind == YAML_SCALAR && !yaml_looks_integer(first)) {
        const char *name;

        if (!yaml_string(report, first, &name)) {
            return;
        } else if (!name_is_port(name)) {
            yaml_error(report, first, "\"%s\" cannot be the name of a port: "
                       NAME_PORT "%s", name,
                       !name[strspn(name, "0123456789")]
                       ? "; take away the quotes of a number" : "");
        } else {
            port->name = xstrdup(name);
        }
        if (last) {
            yaml_error(report, last, "is possible only beside a port that is "
                       "a number");
        }
    } else if (first) {
        if (yaml_integer(report, first, 1, 65535, &number)) {
            port->first = port->last = number;
        }
        if (last && yaml_integer(report, last, 1, 65535, &number)) {
            port->last = number;
            if (port->last < port->first) {
                yaml_error(report, last, "%d must not be less than port, %d",
                           port->last, port->first);
            }
        }
    } else if (last) {
        yaml_error(report, last, "is possible only beside port");
    }
}

/* Parses the list 'node', "ingress" or "egress" or NULL, whose entries have
 * their peers at 'peers_key'. */
static void
parse_rules(const struct yaml_node *node, struct yaml_report *report,
            const char *peers_key, struct policy_direction *dir)
{
    const char *const keys[] = { peers_key, "ports", NULL };

    if (!node || !yaml_expect(report, node, YAML_SEQUENCE)) {
        return;
    }
    dir->rules = xcalloc(node->n, sizeof *dir->rules);
    dir->n_rules = node->n;
    for (size_t i = 0; i < node->n; i++) {
        const struct yaml_node *child = node->children[i];
        const struct yaml_node *peers = yaml_get(child, peers_key);
        const struct yaml_node *ports = yaml_get(child, "ports");
        struct policy_rule *rule = &dir->rules[i];

        /* Null is an empty entry for the API server. */
        if (yaml_is_null(child) || !yaml_expect_keys(report, child, keys)) {
            continue;
        }
        if (peers && yaml_expect(report, peers, YAML_SEQUENCE)) {
            rule->peers = xcalloc(peers->n, sizeof *rule->peers);
            rule->n_peers = peers->n;
            for (size_t j = 0; j < peers->n; j++) {
                parse_peer(peers->children[j], report, &rule->peers[j]);
            }
        }
        if (ports && yaml_expect(report, ports, YAML_SEQUENCE)) {
            rule->ports = xcalloc(ports->n, sizeof *rule->ports);
            rule->n_ports = ports->n;
            for (size_t j = 0; j < ports->n; j++) {
                parse_port(ports->children[j], report, &rule->ports[j]);
            }
        }
    }
}

static void
selector_free(struct selector *sel)
{
    if (sel) {
        selector_destroy(sel);
        free(sel);
    }
}

/* Leaves a direction without rules. */
static void
direction_destroy(struct policy_direction *dir)
{
    for (size_t i = 0; i < dir->n_rules; i++) {
        struct policy_rule *rule = &dir->rules[i];

        for (size_t j = 0; j < rule->n_peers; j++) {
            selector_free(rule->peers[j].pods);
            selector_free(rule->peers[j].namespaces);
            ip_prefix_list_destroy(&rule->peers[j].except);
        }
        for (size_t j = 0; j < rule->n_ports; j++) {
            free(rule->ports[j].name);
        }
        free(rule->peers);
        free(rule->ports);
    }
    free(dir->rules);
    dir->rules = NULL;
    dir->n_rules = 0;
}

void
policy_spec_free(struct policy_spec *spec)
{
    if (spec) {
        selector_destroy(&spec->pods);
        direction_destroy(&spec->ingress);
        direction_destroy(&spec->egress);
        free(spec);
    }
}

static bool
selector_pointers_equal(const struct selector *a, const struct selector *b)
{
    return a && b ? selector_equals(a, b) : a == b;
}

static bool
peer_equals(const struct policy_peer *a, const struct policy_peer *b)
{
    return (selector_pointers_equal(a->pods, b->pods)
            && selector_pointers_equal(a->namespaces, b->namespaces)
            && ip_prefix_equals(&a->block, &b->block)
            && ip_prefix_list_equals(&a->except, &b->except));
}

static bool
port_equals(const struct policy_port *a, const struct policy_port *b)
{
    return (a->protocol == b->protocol
            && a->first == b->first
            && a->last == b->last
            && nullable_string_is_equal(a->name, b->name));
}

static bool
rule_equals(const struct policy_rule *a, const struct policy_rule *b)
{
    if (a->n_peers != b->n_peers || a->n_ports != b->n_ports) {
        return false;
    }
    for (size_t i = 0; i < a->n_peers; i++) {
        if (!peer_equals(&a->peers[i], &b->peers[i])) {
            return false;
        }
    }
    for (size_t i = 0; i < a->n_ports; i++) {
        if (!port_equals(&a->ports[i], &b->ports[i])) {
            return false;
        }
    }
    return true;
}

static bool
direction_equals(const struct policy_direction *a,
                 const struct policy_direction *b)
{
    if (a->isolated != b->isolated || a->n_rules != b->n_rules) {
        return false;
    }
    for (size_t i = 0; i < a->n_rules; i++) {
        if (!rule_equals(&a->rules[i], &b->rules[i])) {
            return false;
        }
    }
    return true;
}

bool
policy_spec_equals(const struct policy_spec *a, const struct policy_spec *b)
{
    return (selector_equals(&a->pods, &b->pods)
            && direction_equals(&a->ingress, &b->ingress)
            && direction_equals(&a->egress, &b->egress));
}
