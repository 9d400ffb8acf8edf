/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The configuration's section "ipsec": see config-private.h. */

#include <config.h>
#include "agent/config-private.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "agent/config.h"
#include "agent/yaml-report.h"
#include "ipsec/proposal.h"
#include "util.h"

/* Reads the list of proposals at 'key'; 'default_' without one. */
static void
parse_proposals(struct yaml_report *report, const struct yaml_node *ipsec,
                const char *key, const char *default_, bool for_esp,
                struct svec *proposals)
{
    const struct yaml_node *node = yaml_get(ipsec, key);

    if (!node) {
        svec_add(proposals, default_);
        return;
    } else if (!yaml_expect(report, node, YAML_SEQUENCE)) {
        return;
    } else if (!node->n) {
        yaml_error(report, node, "must not be empty; write, for example, "
                   "[%s]", default_);
    }
    for (size_t i = 0; i < node->n; i++) {
        struct proposal_esp esp;
        const char *s;

        if (yaml_string(report, node->children[i], &s)) {
            char *error = proposal_parse(s, for_esp ? &esp : NULL);

            if (error) {
                yaml_error(report, node->children[i], "%s", error);
                free(error);
            }
            svec_add(proposals, s);
        }
    }
}

/* Reports what is wrong with the keys by which nodes know each other. */
static void
check_credentials(struct yaml_report *report, const struct yaml_node *ipsec,
                  const struct yaml_node *mode)
{
    static const char *const x509[] = { "certificate", "key", "ca", "crl" };
    const struct yaml_node *psk = yaml_get(ipsec, "psk-file");
    const struct yaml_node *any = NULL;

    for (size_t i = 0; i < ARRAY_SIZE(x509) && !any; i++) {
        any = yaml_get(ipsec, x509[i]);
    }
    if (!psk && !any) {
        yaml_error(report, mode, "required needs the key psk-file beside it, "
                   "the path of the file with the nodes' common key, or the "
                   "keys certificate, key and ca");
    } else if (psk && any) {
        yaml_error(report, any, "cannot be together with psk-file");
    } else if (any) {
        for (size_t i = 0; i < 3; i++) {
            if (!yaml_get(ipsec, x509[i])) {
                yaml_error(report, any, "needs the key %s beside it", x509[i]);
            }
        }
    }
}

void
config_parse_ipsec(struct yaml_report *report, const struct yaml_node *root,
            struct config *config)
{
    static const char *const keys[] = {
        "mode", "psk-file", "vici-socket", "ike-proposals", "esp-proposals",
        "ike-rekey", "esp-rekey", "renew-within", "dpd-delay",
        "replay-window", "udp-encap", "certificate", "key", "ca", "crl",
        "reauth", NULL
    };
    static const char *const modes[] = {
        [IPSEC_OFF] = "off",
        [IPSEC_REQUIRED] = "required",
        NULL
    };
    const struct yaml_node *ipsec = config_get_section(report, root, "ipsec",
                                                       keys);

    config->ipsec_mode = config_get_enum(report, ipsec, "mode", modes,
                                         IPSEC_OFF);
    config_get_paths(report, ipsec, "psk-file", &config->psk_files);
    config->certificate = config_get_path(report, ipsec, "certificate", NULL);
    config->key = config_get_path(report, ipsec, "key", NULL);
    config->ca = config_get_path(report, ipsec, "ca", NULL);
    config->crl = config_get_path(report, ipsec, "crl", NULL);
    config->reauth = config_get_integer(report, ipsec, "reauth", 10, 86400,
                                        3600);
    config->vici_socket = config_get_path(report, ipsec, "vici-socket",
                                          "/var/run/charon.vici");
    parse_proposals(report, ipsec, "ike-proposals", PROPOSAL_IKE_DEFAULT,
                    false, &config->ike_proposals);
    parse_proposals(report, ipsec, "esp-proposals", PROPOSAL_ESP_DEFAULT,
                    true, &config->esp_proposals);
    config->ike_rekey = config_get_integer(report, ipsec, "ike-rekey", 60,
                                           86400, 4 * 3600);
    config->esp_rekey = config_get_integer(report, ipsec, "esp-rekey", 60,
                                           86400, 3600);
    config->renew_within = config_get_integer(report, ipsec, "renew-within", 1,
                                              86400, 300);
    config->dpd_delay = config_get_integer(report, ipsec, "dpd-delay", 1, 3600,
                                           10);
    /* The kernel's own default of 32 is too narrow where several CPUs send and
     * receive. */
    config->replay_window = config_get_integer(report, ipsec, "replay-window",
                                               32, 4096, 256);
    config->udp_encap = config_get_bool(report, ipsec, "udp-encap", false);
    if (ipsec && ipsec->kind == YAML_MAPPING && !yaml_get(ipsec, "mode")) {
        yaml_error(report, ipsec, "the key mode is missing; write off or "
                   "required");
    }
    if (config->ipsec_mode != IPSEC_REQUIRED) {
        return;
    }
    const struct yaml_node *mode = yaml_get(ipsec, "mode");
    check_credentials(report, ipsec, mode);
    if (config->datapath_type && !strcmp(config->datapath_type, "netdev")) {
        yaml_error(report, mode, "required is not possible with "
                   "datapath-type: netdev, because Open vSwitch's userspace "
                   "tunnels never pass the kernel's IPsec (XFRM); use "
                   "datapath-type: system");
    }
    if (config->tunnel_port == 500 || config->tunnel_port == 4500) {
        yaml_error(report, yaml_get(yaml_get(root, "tunnel"), "port"),
                   "%"PRIu16" is a port of IKE, which the guard would stop; "
                   "with ipsec.mode: required, take another one",
                   config->tunnel_port);
    }
}
