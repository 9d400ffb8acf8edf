/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Prints configurations and what is wrong with them. */

#include <config.h>
#include "agent/config.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "lateen-test.h"
#include "openvswitch/dynamic-string.h"
#include "util.h"

static void
print_prefixes(const char *name, const struct ip_prefix_list *list)
{
    struct ds ds = DS_EMPTY_INITIALIZER;

    for (size_t i = 0; i < list->n; i++) {
        ds_put_char(&ds, ' ');
        ip_prefix_format(&list->elems[i], &ds);
    }
    printf("%s:%s\n", name, ds_cstr(&ds));
    ds_destroy(&ds);
}

static int
test_config(int argc, char *argv[])
{
    struct config *config;

    if (argc != 2) {
        ovs_fatal(0, "usage: config FILE");
    }
    char *error = config_load(argv[1], &config);
    if (error) {
        ovs_assert(!config);
        puts(error);
        free(error);
        return 1;
    }
    printf("node: %s\nbridge: %s\ndatapath-type: %s\n", config->node,
           config->bridge, config->datapath_type);
    printf("tunnel: %s %d %s\n", tunnel_type_name(config->tunnel_type),
           config->tunnel_port,
           config->tunnel_family == AF_INET ? "ipv4"
           : config->tunnel_family == AF_INET6 ? "ipv6" : "auto");
    char *files = (config->psk_files.n
                   ? svec_join(&config->psk_files, ",", "")
                   : !config->certificate ? xstrdup("-")
                   : xasprintf("%s %s %s %s", config->certificate, config->key,
                               config->ca, config->crl ? config->crl : "-"));
    printf("ipsec: %s %s %s\n",
           config->ipsec_mode == IPSEC_REQUIRED ? "required" : "off",
           files, config->vici_socket);
    free(files);
    printf("source: %s\n", config->source_dir);
    print_prefixes("cluster-cidrs", &config->cluster_cidrs);
    printf("masquerade: %s\n", config->masquerade ? "yes" : "no");
    print_prefixes("exclude", &config->masquerade_exclude);
    printf("uplink: %s\nmtu: %u\n", config->uplink ? config->uplink : "-",
           config->mtu);
    config_destroy(config);
    return 0;
}
LATEEN_TEST_REGISTER("config", "FILE", test_config)

static int
test_config_restart(int argc, char *argv[])
{
    struct config *old, *new;

    if (argc != 3) {
        ovs_fatal(0, "usage: config-restart OLD NEW");
    }
    char *error = config_load(argv[1], &old);
    if (!error) {
        error = config_load(argv[2], &new);
    }
    if (error) {
        ovs_fatal(0, "%s", error);
    }
    char *keys = config_restart_needed(old, new);
    puts(keys ? keys : "nothing");
    free(keys);
    config_destroy(old);
    config_destroy(new);
    return 0;
}
LATEEN_TEST_REGISTER("config-restart", "OLD NEW", test_config_restart)
