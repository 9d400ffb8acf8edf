/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The interface that the plugin makes: a pair of devices, one end in the
 * container's network namespace, the other for the bridge. */

#ifndef LATEEN_CNI_NET_H
#define LATEEN_CNI_NET_H 1

#include <net/if.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "cni-conf.h"

/* An address of the container, from the IPAM plugin. */
struct cni_address {
    int family;                 /* AF_INET or AF_INET6. */
    uint8_t address[16];
    uint8_t gateway[16];
    bool has_gateway;
    int prefix_length;
};

/* A route of the container, from the IPAM plugin. */
struct cni_route {
    int family;                 /* AF_INET or AF_INET6. */
    uint8_t destination[16];
    int prefix_length;
    uint8_t gateway[16];
};

/* No IPAM plugin gives more. */
#define CNI_MAX_ADDRESSES 16
#define CNI_MAX_ROUTES 64

struct cni_interface {
    char host[IFNAMSIZ];        /* Name of the host's end. */
    int host_ifindex;           /* Set by cni_pair_check(). */
    uint8_t mac[6];             /* Of the container's end. */
    int mtu;
    bool tx_checksum_off;       /* The bridge cannot fill in checksums. */
    struct cni_address addresses[CNI_MAX_ADDRESSES];
    size_t n_addresses;
    struct cni_route routes[CNI_MAX_ROUTES];
    size_t n_routes;
};

/* A namespace to work in, and the one to come back to. */
struct cni_netns {
    int own;
    int container;
};

/* Opens the network namespace of 'call'.  Refuses the plugin's own, unless
 * $CNI_NETNS_OVERRIDE says otherwise. */
struct cni_error *cni_netns_open(struct cni_netns *, const struct cni_call *)
    __attribute__((warn_unused_result));
void cni_netns_close(struct cni_netns *);

/* Fills in 'host', the name of the host's end, from the container's ID and the
 * interface's name: the same for the same attachment, whatever else is
 * known. */
void cni_host_name(const struct cni_call *, char host[IFNAMSIZ]);

/* Makes the pair, and sets both ends up.  Leaves nothing on failure. */
struct cni_error *cni_pair_create(const struct cni_netns *,
                                  const struct cni_call *,
                                  const struct cni_interface *)
    __attribute__((warn_unused_result));

/* Gives the container's end its addresses and routes. */
struct cni_error *cni_pair_configure(const struct cni_netns *,
                                     const struct cni_call *,
                                     const struct cni_interface *)
    __attribute__((warn_unused_result));

/* Looks for whatever of the container's end is not as 'interface' says. */
struct cni_error *cni_pair_check(const struct cni_netns *,
                                 const struct cni_call *,
                                 struct cni_interface *)
    __attribute__((warn_unused_result));

/* Deletes the pair, if there is one.  When it returns, neither end exists any
 * more; the kernel may still be busy forgetting them. */
struct cni_error *cni_pair_delete(const char *host)
    __attribute__((warn_unused_result));

#endif /* cni/cni-net.h */
