/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Questions about the cluster: see cluster.h. */

#include <config.h>
#include "cluster.h"

#include "agent/config.h"
#include "model.h"

static const struct in6_addr *
first_of_family(const struct ip_prefix_list *list, int family)
{
    for (size_t i = 0; i < list->n; i++) {
        const struct in6_addr *a = &list->elems[i].addr;

        if (ip_is_v4(a) == (family == AF_INET)) {
            return a;
        }
    }
    return NULL;
}

const struct in6_addr *
node_tunnel_address(const struct node *node, int family)
{
    return first_of_family(&node->addresses, family);
}

const struct in6_addr *
peer_tunnel_address(const struct config *config, const struct node *node,
                    int family)
{
    return first_of_family(config->tunnel_external ? &node->external_addresses
                           : &node->addresses, family);
}

int
cluster_tunnel_family(const struct model *model, const struct config *config,
                      const char *self)
{
    const struct model_object *obj;

    if (!model_find_node(model, self)) {
        return 0;
    }
    if (config->tunnel_family) {
        return config->tunnel_family;
    }
    MODEL_FOR_EACH (obj, MODEL_NODE, model) {
        if (!peer_tunnel_address(config, node_cast(obj), AF_INET)) {
            return AF_INET6;
        }
    }
    return AF_INET;
}
