/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What the CNI plugin asks: see cni-request.h. */

#include <config.h>
#include "cni-request.h"

#include <net/if.h>
#include <stdlib.h>
#include <string.h>

#include "agent/ip.h"
#include "agent/model.h"
#include "flows/pipeline.h"
#include "openvswitch/json.h"
#include "packets.h"
#include "util.h"

/* No container has more addresses. */
#define MAX_IPS 16

static const char *
get_string(const struct json *object, const char *name)
{
    const struct json *value = shash_find_data(json_object(object), name);

    return value && value->type == JSON_STRING ? json_string(value) : NULL;
}

/* Whether 's' is short and plain enough for a column of OVSDB. */
static bool
is_plain(const char *s)
{
    size_t n = s ? strlen(s) : 0;

    if (!n || n > 1024) {
        return false;
    }
    for (; *s; s++) {
        if ((unsigned char) *s <= ' ' || *s == 0x7f) {
            return false;
        }
    }
    return true;
}

static char *
parse_ips(const struct json *ips, struct ip_prefix_list *list)
{
    if (!ips || ips->type != JSON_ARRAY || !ips->array.n
        || ips->array.n > MAX_IPS) {
        return xasprintf("7 ips: 1 to %d addresses are wanted", MAX_IPS);
    }
    for (size_t i = 0; i < ips->array.n; i++) {
        const struct json *elem = ips->array.elems[i];
        struct ip_prefix p = { .plen = 128 };

        if (elem->type != JSON_STRING
            || !ip_addr_parse(json_string(elem), &p.addr)) {
            return xasprintf("7 ips: element %"PRIuSIZE" is no address", i);
        }
        if (ip_prefix_list_contains(list, &p.addr)) {
            return xasprintf("7 ips: %s is there twice", json_string(elem));
        }
        ip_prefix_list_add(list, &p);
    }
    return NULL;
}

static char *
parse_add(const struct json *object, struct attachment *a)
{
    const char *netns = get_string(object, "netns");
    const char *hostif = get_string(object, "hostInterface");
    const char *mac = get_string(object, "mac");
    const char *namespace = get_string(object, "podNamespace");
    const char *name = get_string(object, "podName");

    if (!is_plain(netns)) {
        return xstrdup("4 netns is missing");
    }
    /* The node's other devices are not a container's. */
    if (!is_plain(hostif) || strncmp(hostif, "lt", 2)
        || strlen(hostif) >= IFNAMSIZ) {
        return xstrdup("4 hostInterface is missing or no device of the "
                       "plugin's");
    }
    if (!mac || !eth_addr_from_string(mac, &a->mac)
        || eth_addr_is_multicast(a->mac) || eth_addr_is_zero(a->mac)) {
        return xstrdup("7 mac is missing or no unicast MAC address");
    }
    if (!namespace != !name
        || (name && (!is_plain(name) || !is_plain(namespace)))) {
        return xstrdup("4 podNamespace and podName go together");
    }
    a->netns = xstrdup(netns);
    a->hostif = xstrdup(hostif);
    a->pod_namespace = nullable_xstrdup(namespace);
    a->pod_name = nullable_xstrdup(name);
    return parse_ips(shash_find_data(json_object(object), "ips"), &a->ips);
}

char *
cni_request_parse(const char *text, bool add, struct attachment **ap)
{
    struct json *object = json_from_string(text);
    const char *container_id, *ifname;
    struct attachment *a;
    char *error = NULL;

    *ap = NULL;
    if (object->type != JSON_OBJECT) {
        error = xstrdup("6 the parameter is no JSON object");
        goto exit;
    }
    container_id = get_string(object, "containerID");
    ifname = get_string(object, "ifname");
    if (!is_plain(container_id) || strchr(container_id, '/')) {
        error = xstrdup("4 containerID is missing");
        goto exit;
    }
    if (!is_plain(ifname) || strchr(ifname, '/')) {
        error = xstrdup("4 ifname is missing");
        goto exit;
    }

    char *key = attachment_key(container_id, ifname);
    a = attachment_cast(model_object_new(MODEL_ATTACHMENT, NULL, key));
    free(key);
    a->container_id = xstrdup(container_id);
    a->ifname = xstrdup(ifname);
    error = add ? parse_add(object, a) : NULL;
    if (error) {
        model_object_free(&a->obj);
    } else {
        *ap = a;
    }

exit:
    json_destroy(object);
    return error;
}

char *
cni_request_check(const struct attachment *a, const struct model *model,
                  const struct node *self)
{
    const struct eth_addr peer_mac = PEER_MAC;
    const struct model_object *obj;

    for (size_t i = 0; i < a->ips.n; i++) {
        const struct in6_addr *ip = &a->ips.elems[i].addr;
        bool own = false;

        for (size_t j = 0; j < self->pod_cidrs.n; j++) {
            const struct ip_prefix *cidr = &self->pod_cidrs.elems[j];
            struct in6_addr gw = ip_prefix_nth(cidr, 1);

            own = own || (ip_prefix_contains(cidr, ip)
                          && !ipv6_addr_equals(&gw, ip));
        }
        if (!own) {
            char *s = ip_to_string(ip);
            char *error = xasprintf("7 address %s is in none of this node's "
                                    "pod CIDRs, or is a gateway", s);
            free(s);
            return error;
        }
    }
    if (eth_addr_equals(a->mac, peer_mac)) {
        return xasprintf("104 MAC address "ETH_ADDR_FMT" stands for other "
                         "nodes", ETH_ADDR_ARGS(a->mac));
    }
    if (model_find_attachment(model, a->container_id, a->ifname)) {
        return xasprintf("104 %s is attached already", a->obj.name);
    }
    MODEL_FOR_EACH (obj, MODEL_ATTACHMENT, model) {
        char *error = cni_request_conflict(a, attachment_cast(obj));

        if (error) {
            return error;
        }
    }
    if (!if_nametoindex(a->hostif)) {
        return xasprintf("7 this node has no device %s", a->hostif);
    }
    return NULL;
}

char *
cni_request_conflict(const struct attachment *a, const struct attachment *b)
{
    for (size_t i = 0; i < a->ips.n; i++) {
        const struct in6_addr *ip = &a->ips.elems[i].addr;

        if (ip_prefix_list_contains(&b->ips, ip)) {
            char *s = ip_to_string(ip);
            char *error = xasprintf("104 address %s is in use by %s", s,
                                    b->obj.name);
            free(s);
            return error;
        }
    }
    if (eth_addr_equals(a->mac, b->mac)) {
        return xasprintf("104 MAC address "ETH_ADDR_FMT" is in use by %s",
                         ETH_ADDR_ARGS(a->mac), b->obj.name);
    }
    return NULL;
}
