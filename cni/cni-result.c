/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Results: see cni-result.h. */

#include <config.h>
#include "cni-result.h"

#include <arpa/inet.h>
#include <netinet/ether.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Parses "ADDRESS/LENGTH".  Returns the family, or 0. */
static int
parse_cidr(const char *text, uint8_t address[16], int *length)
{
    char copy[INET6_ADDRSTRLEN];
    const char *slash = text ? strchr(text, '/') : NULL;
    char *end;
    long int n;

    if (!slash || (size_t) (slash - text) >= sizeof copy) {
        return 0;
    }
    memcpy(copy, text, slash - text);
    copy[slash - text] = '\0';
    n = strtol(slash + 1, &end, 10);
    int family = strchr(copy, ':') ? AF_INET6 : AF_INET;
    if (end == slash + 1 || *end || n < 0
        || n > (family == AF_INET ? 32 : 128)
        || inet_pton(family, copy, address) != 1) {
        return 0;
    }
    *length = n;
    return family;
}

static void
format_cidr(int family, const uint8_t *address, int length,
            char text[INET6_ADDRSTRLEN + 4])
{
    inet_ntop(family, address, text, INET6_ADDRSTRLEN);
    sprintf(text + strlen(text), "/%d", length);
}

/* Reads "ips" of 'result'.  Addresses of other interfaces than 'index' (-1 for
 * all) are passed over. */
static struct cni_error *
parse_ips(const json_t *result, int index, struct cni_interface *iface)
{
    const json_t *ip;
    size_t i;

    iface->n_addresses = 0;
    json_array_foreach (json_object_get(result, "ips"), i, ip) {
        const json_t *which = json_object_get(ip, "interface");
        const char *gw = json_string_value(json_object_get(ip, "gateway"));
        const char *text = json_string_value(json_object_get(ip, "address"));
        struct cni_address *a = &iface->addresses[iface->n_addresses];

        if (index >= 0 && which && json_integer_value(which) != index) {
            continue;
        }
        if (iface->n_addresses >= CNI_MAX_ADDRESSES) {
            return cni_error(CNI_IPAM_FAILED, "more than %d addresses",
                             CNI_MAX_ADDRESSES);
        }
        memset(a, 0, sizeof *a);
        a->family = parse_cidr(text, a->address, &a->prefix_length);
        if (!a->family) {
            return cni_error(CNI_IPAM_FAILED, "\"%s\" is no address with its "
                             "prefix length", text ? text : "");
        }
        a->has_gateway = gw && inet_pton(a->family, gw, a->gateway) == 1;
        iface->n_addresses++;
    }
    return (iface->n_addresses ? NULL
            : cni_error(CNI_IPAM_FAILED, "the IPAM plugin gave no address"));
}

/* The gateway of 'family', or NULL. */
static const uint8_t *
find_gateway(const struct cni_interface *iface, int family)
{
    for (size_t i = 0; i < iface->n_addresses; i++) {
        const struct cni_address *a = &iface->addresses[i];

        if (a->family == family && a->has_gateway) {
            return a->gateway;
        }
    }
    return NULL;
}

/* Reads "routes" of 'result'. */
static struct cni_error *
parse_routes(const json_t *result, struct cni_interface *iface)
{
    const json_t *route;
    size_t i;

    iface->n_routes = 0;
    json_array_foreach (json_object_get(result, "routes"), i, route) {
        const char *dst = json_string_value(json_object_get(route, "dst"));
        const char *gw = json_string_value(json_object_get(route, "gw"));
        struct cni_route *r = &iface->routes[iface->n_routes];
        const uint8_t *gateway;

        /* There is room for two default routes. */
        if (iface->n_routes >= CNI_MAX_ROUTES - 2) {
            return cni_error(CNI_IPAM_FAILED, "more than %d routes",
                             CNI_MAX_ROUTES - 2);
        }
        memset(r, 0, sizeof *r);
        r->family = parse_cidr(dst, r->destination, &r->prefix_length);
        gateway = find_gateway(iface, r->family);
        if (gateway) {
            memcpy(r->gateway, gateway, sizeof r->gateway);
        }
        if (!r->family || (gw ? inet_pton(r->family, gw, r->gateway) != 1
                           : !gateway)) {
            return cni_error(CNI_IPAM_FAILED, "the route to \"%s\" by \"%s\" "
                             "cannot be used", dst ? dst : "", gw ? gw : "");
        }
        iface->n_routes++;
    }
    return NULL;
}

static void
add_default_route(struct cni_interface *iface, int family)
{
    const uint8_t *gateway = find_gateway(iface, family);
    struct cni_route *r = &iface->routes[iface->n_routes];

    for (size_t i = 0; i < iface->n_routes; i++) {
        if (iface->routes[i].family == family
            && !iface->routes[i].prefix_length) {
            return;
        }
    }
    if (gateway) {
        *r = (struct cni_route) { .family = family };
        memcpy(r->gateway, gateway, sizeof r->gateway);
        iface->n_routes++;
    }
}

struct cni_error *
cni_result_parse_ipam(const json_t *ipam, struct cni_interface *iface)
{
    struct cni_error *error = parse_ips(ipam, -1, iface);

    error = error ? error : parse_routes(ipam, iface);
    if (!error) {
        add_default_route(iface, AF_INET);
        add_default_route(iface, AF_INET6);
    }
    return error;
}

struct cni_error *
cni_result_parse_previous(const struct cni_call *call,
                          struct cni_interface *iface)
{
    const json_t *previous = json_object_get(call->conf, "prevResult");
    json_t *elem;
    int index = -1;
    size_t i;

    json_array_foreach (json_object_get(previous, "interfaces"), i, elem) {
        const char *name = json_string_value(json_object_get(elem, "name"));
        const char *mac = json_string_value(json_object_get(elem, "mac"));

        if (name && !strcmp(name, call->ifname)
            && json_object_get(elem, "sandbox")
            && mac && cni_mac_parse(mac, iface->mac)) {
            index = i;
        }
    }
    if (index < 0) {
        return cni_error(CNI_BAD_CONFIG, "prevResult: no interface %s in a "
                         "container, with its MAC address", call->ifname);
    }
    struct cni_error *error = parse_ips(previous, index, iface);
    return error ? error : parse_routes(previous, iface);
}

bool
cni_mac_parse(const char *text, uint8_t mac[6])
{
    struct ether_addr ea;

    if (strlen(text) != 17 || strspn(text, "0123456789abcdefABCDEF:") != 17
        || !ether_aton_r(text, &ea) || ea.ether_addr_octet[0] & 1
        || !memcmp(&ea, &(struct ether_addr) { { 0 } }, sizeof ea)) {
        return false;
    }
    memcpy(mac, &ea, sizeof ea);
    return true;
}

char *
cni_mac_format(const uint8_t m[6], char buf[18])
{
    snprintf(buf, 18, "%02x:%02x:%02x:%02x:%02x:%02x",
             m[0], m[1], m[2], m[3], m[4], m[5]);
    return buf;
}

static json_t *
make_ips(const struct cni_call *call, const struct cni_interface *iface)
{
    bool with_version = !strncmp(call->version, "0.", 2);
    json_t *ips = json_array();
    char text[INET6_ADDRSTRLEN + 4];

    for (size_t i = 0; i < iface->n_addresses; i++) {
        const struct cni_address *a = &iface->addresses[i];
        json_t *ip = json_pack("{s:i}", "interface", 1);

        if (with_version) {
            json_object_set_new(ip, "version", json_string(
                                    a->family == AF_INET ? "4" : "6"));
        }
        format_cidr(a->family, a->address, a->prefix_length, text);
        json_object_set_new(ip, "address", json_string(text));
        if (a->has_gateway) {
            inet_ntop(a->family, a->gateway, text, sizeof text);
            json_object_set_new(ip, "gateway", json_string(text));
        }
        json_array_append_new(ips, ip);
    }
    return ips;
}

static json_t *
make_routes(const struct cni_interface *iface)
{
    json_t *routes = json_array();
    char dst[INET6_ADDRSTRLEN + 4], gw[INET6_ADDRSTRLEN];

    for (size_t i = 0; i < iface->n_routes; i++) {
        const struct cni_route *r = &iface->routes[i];

        format_cidr(r->family, r->destination, r->prefix_length, dst);
        inet_ntop(r->family, r->gateway, gw, sizeof gw);
        json_array_append_new(routes, json_pack("{s:s, s:s}", "dst", dst,
                                                "gw", gw));
    }
    return routes;
}

bool
cni_result_print(const struct cni_call *call,
                 const struct cni_interface *iface, const json_t *ipam)
{
    json_t *dns = json_object_get(call->conf, "dns");
    json_t *result;
    char mac[18];

    dns = dns ? dns : json_object_get(ipam, "dns");
    result = json_pack("{s:s, s:[{s:s}, {s:s, s:s, s:s}], s:o, s:o, s:o}",
                       "cniVersion", call->version, "interfaces",
                       "name", iface->host,
                       "name", call->ifname,
                       "mac", cni_mac_format(iface->mac, mac),
                       "sandbox", call->netns,
                       "ips", make_ips(call, iface),
                       "routes", make_routes(iface),
                       "dns", dns ? json_incref(dns) : json_object());
    bool ok = result && !json_dumpf(result, stdout, JSON_INDENT(4));
    ok = ok && putchar('\n') != EOF && !fflush(stdout);
    json_decref(result);
    return ok;
}
