/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The agent's configuration: one YAML file, lateend.yaml, that lateend.yaml(5)
 * describes. */

#ifndef LATEEN_AGENT_CONFIG_H
#define LATEEN_AGENT_CONFIG_H 1

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "agent/ip.h"
#include "openvswitch/compiler.h"
#include "svec.h"

enum tunnel_type {
    TUNNEL_GENEVE,
    TUNNEL_GRE,
    TUNNEL_VXLAN
};

enum ipsec_mode {
    IPSEC_OFF,                  /* Tunnels are not encrypted. */
    IPSEC_REQUIRED              /* Nothing crosses nodes in clear. */
};

/* What the file says, with defaults filled in.  Strings are owned by the
 * struct and not NULL unless the comment says so. */
struct config {
    unsigned int serial;        /* Each that is read has another one. */
    char *node;                 /* This node's name; the host's by default. */
    char *bridge;
    char *datapath_type;        /* "system" or "netdev". */

    enum tunnel_type tunnel_type;
    uint16_t tunnel_port;       /* UDP destination port; 0 for GRE. */
    int tunnel_family;          /* AF_INET or AF_INET6; 0 for what the nodes
                                 * have. */
    bool tunnel_external;       /* To the peers' ExternalIP: a NAT is before
                                 * each node. */

    enum ipsec_mode ipsec_mode;
    struct svec psk_files;      /* The first one's key signs, all are accepted.
                                 * "%p" in them is the peer's name. */
    char *certificate;          /* Files: none with 'psk_files'; without, */
    char *key;                  /* all but perhaps 'crl'. */
    char *ca;
    char *crl;
    unsigned int reauth;        /* Seconds until a peer must show again that
                                 * its certificate is good. */
    unsigned int renew_within;  /* Seconds until no SA is left that a withdrawn
                                 * key has authenticated. */
    char *vici_socket;
    struct svec ike_proposals;  /* As swanctl.conf(5) has them, the best one */
    struct svec esp_proposals;  /* first; checked; at least one each. */
    unsigned int ike_rekey;     /* Seconds until an IKE SA gets new keys, */
    unsigned int esp_rekey;     /* and a CHILD SA. */
    unsigned int dpd_delay;     /* Seconds of silence until a peer is asked
                                 * whether it is there. */
    unsigned int replay_window; /* Packets. */
    bool udp_encap;             /* ESP always in UDP (RFC 3948). */

    char *source_dir;           /* The directory of "source: dir:...". */

    struct ip_prefix_list cluster_cidrs; /* Masked; at least one. */
    struct ip_prefix_list service_cidrs; /* Of Services; masked. */
    bool masquerade;            /* Hide pods behind the node's address. */
    struct ip_prefix_list masquerade_exclude; /* Destinations that see pods'
                                               * own addresses.  Masked. */
    char *uplink;               /* Interface; NULL to find it by routes. */
    unsigned int mtu;           /* Of pods; 0 to compute it. */
    unsigned int cni_timeout;   /* Seconds that a call of the CNI plugin may
                                 * take. */
};

/* Reads 'file' into '*configp', which the caller destroys.  Returns NULL, or
 * what is wrong with the file, one error a line and each with the place and
 * with what would be right, in a string that the caller frees; then
 * '*configp' is NULL. */
char *config_load(const char *file, struct config **configp)
    OVS_WARN_UNUSED_RESULT;

/* As config_load(), from the 'size' bytes at 'text'.  'file' serves only to
 * name it in errors. */
char *config_parse(const char *file, const char *text, size_t size,
                   struct config **configp)
    OVS_WARN_UNUSED_RESULT;

/* Frees 'config', which may be NULL. */
void config_destroy(struct config *config);

/* Returns the keys whose change from 'old' to 'new' takes effect only with a
 * restart of lateend, separated by ", ", in a string that the caller frees;
 * or NULL if there are none. */
char *config_restart_needed(const struct config *old,
                            const struct config *new);

/* "geneve", "gre" or "vxlan": also the type of Open vSwitch's interface. */
const char *tunnel_type_name(enum tunnel_type);

#endif /* agent/config.h */
