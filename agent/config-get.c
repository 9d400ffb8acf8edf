/* SPDX-License-Identifier: GPL-3.0-or-later */
/* How single values of the configuration are read: see config-private.h. */

#include <config.h>
#include "agent/config-private.h"

#include <net/if.h>
#include <string.h>

#include "agent/ip.h"
#include "agent/yaml-report.h"
#include "svec.h"
#include "util.h"

char *
config_get_string(struct yaml_report *report, const struct yaml_node *map,
                  const char *key, const char *default_)
{
    const struct yaml_node *node = yaml_get(map, key);
    const char *s = default_;

    if (node && yaml_string(report, node, &s) && !*s) {
        yaml_error(report, node, "must not be empty");
    }
    return nullable_xstrdup(s);
}

/* Reports 'path', at 'node', if it is not absolute. */
static void
check_path(struct yaml_report *report, const struct yaml_node *node,
           const char *path)
{
    if (*path && *path != '/') {
        yaml_error(report, node, "must be an absolute path, that begins with "
                   "/, but is \"%s\"", path);
    }
}

char *
config_get_path(struct yaml_report *report, const struct yaml_node *map,
                const char *key, const char *default_)
{
    char *path = config_get_string(report, map, key, default_);

    if (path) {
        check_path(report, yaml_get(map, key), path);
    }
    return path;
}

void
config_get_paths(struct yaml_report *report, const struct yaml_node *map,
                 const char *key, struct svec *paths)
{
    const struct yaml_node *node = yaml_get(map, key);
    bool list = node && node->kind == YAML_SEQUENCE;

    if (list && !node->n) {
        yaml_error(report, node, "must not be empty");
    }
    for (size_t i = 0; i < (list ? node->n : node != NULL); i++) {
        const struct yaml_node *item = list ? node->children[i] : node;
        const char *path;

        if (!yaml_string(report, item, &path)) {
            continue;
        } else if (!*path) {
            yaml_error(report, item, "must not be empty");
        } else if (svec_contains_unsorted(paths, path)) {
            yaml_error(report, item, "\"%s\" is there twice", path);
        }
        check_path(report, item, path);
        svec_add(paths, path);
    }
}

char *
config_get_ifname(struct yaml_report *report, const struct yaml_node *map,
                  const char *key, const char *default_)
{
    char *name = config_get_string(report, map, key, default_);

    if (name && (strlen(name) >= IFNAMSIZ || strpbrk(name, "/: \t\n\"'\\,=")
                 || !strcmp(name, ".") || !strcmp(name, ".."))) {
        yaml_error(report, yaml_get(map, key), "\"%s\" cannot be the name of "
                   "a network interface; use at most %d letters, digits, "
                   "'-', '_' and '.'", name, IFNAMSIZ - 1);
    }
    return name;
}

int
config_get_enum(struct yaml_report *report, const struct yaml_node *map,
                const char *key, const char *const names[], int default_)
{
    const struct yaml_node *node = yaml_get(map, key);

    if (node) {
        yaml_enum(report, node, names, &default_);
    }
    return default_;
}

long long int
config_get_integer(struct yaml_report *report, const struct yaml_node *map,
                   const char *key, long long int min, long long int max,
                   long long int default_)
{
    const struct yaml_node *node = yaml_get(map, key);

    if (node) {
        yaml_integer(report, node, min, max, &default_);
    }
    return default_;
}

bool
config_get_bool(struct yaml_report *report, const struct yaml_node *map,
                const char *key, bool default_)
{
    const struct yaml_node *node = yaml_get(map, key);

    if (node) {
        yaml_bool(report, node, &default_);
    }
    return default_;
}

void
config_get_prefixes(struct yaml_report *report, const struct yaml_node *map,
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

const struct yaml_node *
config_get_section(struct yaml_report *report, const struct yaml_node *map,
                   const char *key, const char *const known[])
{
    const struct yaml_node *node = yaml_get(map, key);

    if (node) {
        yaml_expect_keys(report, node, known);
    }
    return node;
}
