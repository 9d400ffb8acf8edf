/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A configuration that parses is within its bounds; one that does not comes
 * with reasons. */

#include <config.h>
#include "agent/config.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "util.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = xmemdup0((const char *) data, size);
    struct config *config;

    char *error = config_parse("lateend.yaml", text, size, &config);
    if (error) {
        ovs_assert(!config);
        ovs_assert(!strncmp(error, "lateend.yaml:", 13));
        free(error);
    } else {
        ovs_assert(config->node[0] && config->bridge[0]);
        ovs_assert(config->source_dir[0] == '/');
        ovs_assert(config->cluster_cidrs.n);
        ovs_assert(!config->mtu || config->mtu >= 1280);
        ovs_assert(!config->tunnel_port
                   == (config->tunnel_type == TUNNEL_GRE));
        if (config->ipsec_mode == IPSEC_REQUIRED) {
            ovs_assert(config->psk_files.n
                       ? config->psk_files.names[0][0] == '/'
                       : config->certificate && config->key && config->ca);
            ovs_assert(!strcmp(config->datapath_type, "system"));
        }
        ovs_assert(!config_restart_needed(config, config));
        config_destroy(config);
    }
    free(text);
    return 0;
}
