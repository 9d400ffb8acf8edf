/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What the parts of the configuration's parser share: config.c the file as a
 * whole, config-ipsec.c its section "ipsec", config-get.c single values.
 *
 * Each function adds what is wrong to the report, and then returns something
 * that can be destroyed as if it were right.  Those that return text return a
 * copy that the caller frees. */

#ifndef LATEEN_CONFIG_PRIVATE_H
#define LATEEN_CONFIG_PRIVATE_H 1

#include <stdbool.h>

struct config;
struct ip_prefix_list;
struct svec;
struct yaml_node;
struct yaml_report;

/* The string at 'key' in 'map'; a copy of 'default_', which may be NULL, if
 * there is none. */
char *config_get_string(struct yaml_report *, const struct yaml_node *map,
                        const char *key, const char *default_);

/* As config_get_string(), for the absolute path of a file. */
char *config_get_path(struct yaml_report *, const struct yaml_node *map,
                      const char *key, const char *default_);

/* Appends the absolute paths at 'key', one or a list of them, to 'paths'. */
void config_get_paths(struct yaml_report *, const struct yaml_node *map,
                      const char *key, struct svec *paths);

/* As config_get_string(), for the name of a network interface. */
char *config_get_ifname(struct yaml_report *, const struct yaml_node *map,
                        const char *key, const char *default_);

/* The place in 'names', which NULL ends, of the string at 'key'. */
int config_get_enum(struct yaml_report *, const struct yaml_node *map,
                    const char *key, const char *const names[], int default_);

/* The integer at 'key', from 'min' to 'max'. */
long long int config_get_integer(struct yaml_report *,
                                 const struct yaml_node *map, const char *key,
                                 long long int min, long long int max,
                                 long long int default_);

/* The truth value at 'key'. */
bool config_get_bool(struct yaml_report *, const struct yaml_node *map,
                     const char *key, bool default_);

/* Appends the list of prefixes at 'key' to 'list', masked. */
void config_get_prefixes(struct yaml_report *, const struct yaml_node *map,
                         const char *key, struct ip_prefix_list *list);

/* The mapping at 'key', which may have only the keys in 'known', which NULL
 * ends; NULL if there is none. */
const struct yaml_node *config_get_section(struct yaml_report *,
                                           const struct yaml_node *map,
                                           const char *key,
                                           const char *const known[]);

/* Reads the section "ipsec" of 'root', which may be NULL.  The datapath's type
 * and the tunnel must be known already. */
void config_parse_ipsec(struct yaml_report *, const struct yaml_node *root,
                        struct config *);

#endif /* agent/config-private.h */
