/* SPDX-License-Identifier: GPL-3.0-or-later */
/* From the model to what the host is to hold: the pure half of host.h. */

#include <config.h>
#include "host.h"

#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <string.h>
#include "agent/config.h"
#include "flows/pipeline.h"
#include "model.h"
#include "nft.h"
#include "openvswitch/dynamic-string.h"
#include "packets.h"
#include "util.h"

static void derive_peer(const struct node *peer, const struct node *self,
                        const struct host_facts *, struct host_wanted *);
static void derive_rules(const struct config *, struct host_wanted *);
static void sort_routes(struct host_wanted *);
static void derive_sysctls(const struct host_facts *, bool v4, bool v6,
                           struct host_wanted *);
static char *format_nat(const struct node *self, const struct config *);

static int
compare_destinations(const void *a_, const void *b_)
{
    const struct host_route *a = a_;
    const struct host_route *b = b_;

    return (a->table != b->table ? (a->table < b->table ? -1 : 1)
            : ip_prefix_compare(&a->dst, &b->dst));
}

static int
compare_nodes(const void *a_, const void *b_)
{
    const struct node *const *a = a_;
    const struct node *const *b = b_;

    return strcmp((*a)->obj.name, (*b)->obj.name);
}

/* All nodes but 'self', by name, in an array that the caller frees. */
static const struct node **
get_peers(const struct model *model, const struct node *self, size_t *n)
{
    const struct node **peers;
    struct model_object *obj;

    peers = xcalloc(hmap_count(&model->objects[MODEL_NODE]), sizeof *peers);
    *n = 0;
    MODEL_FOR_EACH (obj, MODEL_NODE, model) {
        if (obj != &self->obj) {
            peers[(*n)++] = node_cast(obj);
        }
    }
    qsort(peers, *n, sizeof *peers, compare_nodes);
    return peers;
}

void
host_wanted_derive(const struct model *model, const struct config *config,
                   const struct host_facts *facts, struct host_wanted *wanted)
{
    const struct node *self = model_find_node(model, facts->node);
    bool v4 = nft_has_family(&self->pod_cidrs, true);
    bool v6 = nft_has_family(&self->pod_cidrs, false);
    size_t n;
    const struct node **peers = get_peers(model, self, &n);

    memset(wanted, 0, sizeof *wanted);
    wanted->mtu = facts->mtu;
    for (size_t i = 0; i < self->pod_cidrs.n; i++) {
        const struct ip_prefix *cidr = &self->pod_cidrs.elems[i];
        struct ip_prefix gateway = { ip_prefix_nth(cidr, 1), cidr->plen };

        ip_prefix_list_add(&wanted->addresses, &gateway);
    }
    for (size_t i = 0; i < n; i++) {
        derive_peer(peers[i], self, facts, wanted);
    }
    free(peers);
    sort_routes(wanted);
    ip_prefix_list_sort(&wanted->neighbors);
    derive_rules(config, wanted);
    derive_sysctls(facts, v4, v6, wanted);
    wanted->nat = format_nat(self, config);
}

void
host_wanted_destroy(struct host_wanted *wanted)
{
    ip_prefix_list_destroy(&wanted->addresses);
    free(wanted->routes);
    ip_prefix_list_destroy(&wanted->neighbors);
    free(wanted->rules);
    for (size_t i = 0; i < wanted->n_sysctls; i++) {
        free(wanted->sysctls[i].name);
    }
    free(wanted->sysctls);
    free(wanted->nat);
}

const struct host_route *
host_wanted_find_route(const struct host_wanted *wanted,
                       const struct ip_prefix *dst, uint32_t table)
{
    struct host_route key = { .dst = *dst, .table = table };

    return (wanted->n_routes
            ? bsearch(&key, wanted->routes, wanted->n_routes,
                      sizeof *wanted->routes, compare_destinations)
            : NULL);
}

const struct ip_prefix *
host_wanted_find_neighbor(const struct host_wanted *wanted,
                          const struct in6_addr *a)
{
    struct ip_prefix key = { *a, 128 };

    return (wanted->neighbors.n
            ? bsearch(&key, wanted->neighbors.elems, wanted->neighbors.n,
                      sizeof *wanted->neighbors.elems, ip_prefix_compare)
            : NULL);
}

void
host_wanted_format(const struct host_wanted *wanted, struct ds *ds)
{
    ds_put_format(ds, "mtu %u\n", wanted->mtu);
    for (size_t i = 0; i < wanted->addresses.n; i++) {
        ds_put_cstr(ds, "address ");
        ip_prefix_format(&wanted->addresses.elems[i], ds);
        ds_put_char(ds, '\n');
    }
    for (size_t i = 0; i < wanted->neighbors.n; i++) {
        ds_put_cstr(ds, "neighbor ");
        ip_format(&wanted->neighbors.elems[i].addr, ds);
        ds_put_char(ds, '\n');
    }
    for (size_t i = 0; i < wanted->n_routes; i++) {
        const struct host_route *r = &wanted->routes[i];

        ds_put_cstr(ds, "route ");
        ip_prefix_format(&r->dst, ds);
        ds_put_cstr(ds, " via ");
        ip_format(&r->via, ds);
        if (ipv6_addr_is_set(&r->src)) {
            ds_put_cstr(ds, " src ");
            ip_format(&r->src, ds);
        }
        if (r->table != RT_TABLE_MAIN) {
            ds_put_format(ds, " table %"PRIu32, r->table);
        }
        ds_put_char(ds, '\n');
    }
    for (size_t i = 0; i < wanted->n_rules; i++) {
        const struct host_rule *rule = &wanted->rules[i];

        ds_put_format(ds, "rule %"PRIu32" from ", rule->priority);
        ip_prefix_format(&rule->from, ds);
        if (ip_prefix_length(&rule->to)) {
            ds_put_cstr(ds, " to ");
            ip_prefix_format(&rule->to, ds);
        }
        if (rule->mark) {
            ds_put_format(ds, " mark 0x%"PRIx32, rule->mark);
        }
        ds_put_cstr(ds, rule->by_gateway ? " iif "HOST_GATEWAY : "");
        if (rule->table) {
            ds_put_format(ds, " table %"PRIu32"\n", rule->table);
        } else {
            ds_put_cstr(ds, " drop\n");
        }
    }
    for (size_t i = 0; i < wanted->n_sysctls; i++) {
        const struct host_sysctl *s = &wanted->sysctls[i];

        ds_put_format(ds, "sysctl %s ", s->name);
        if (s->only_from) {
            ds_put_format(ds, "%s->", s->only_from);
        }
        ds_put_format(ds, "%s\n", s->value);
    }
    ds_put_cstr(ds, wanted->nat);
}

/* Routes. */

static void
add_route(struct host_wanted *wanted, const struct ip_prefix *dst,
          const struct in6_addr *via, const struct in6_addr *src,
          uint32_t table)
{
    size_t n = wanted->n_routes++;

    wanted->routes = xrealloc(wanted->routes,
                              (n + 1) * sizeof *wanted->routes);
    wanted->routes[n] = (struct host_route) {
        .dst = *dst, .via = *via, .src = *src, .table = table, .order = n
    };
}

/* The address that this node's own packets to remote pods carry: its own,
 * where it has one of that family, or else its gateway's. */
static struct in6_addr
preferred_source(const struct node *self, const struct host_facts *facts,
                 bool v4)
{
    for (size_t i = 0; i < facts->addresses.n; i++) {
        if (ip_is_v4(&facts->addresses.elems[i].addr) == v4) {
            return facts->addresses.elems[i].addr;
        }
    }
    for (size_t i = 0; i < self->pod_cidrs.n; i++) {
        if (ip_is_v4(&self->pod_cidrs.elems[i].addr) == v4) {
            return ip_prefix_nth(&self->pod_cidrs.elems[i], 1);
        }
    }
    return in6addr_any;
}

static void
derive_peer(const struct node *peer, const struct node *self,
            const struct host_facts *facts, struct host_wanted *wanted)
{
    for (size_t i = 0; i < peer->pod_cidrs.n; i++) {
        const struct ip_prefix *cidr = &peer->pod_cidrs.elems[i];
        bool v4 = ip_is_v4(&cidr->addr);
        struct in6_addr src = preferred_source(self, facts, v4);
        struct ip_prefix via = { ip_prefix_nth(cidr, 1), 128 };

        if (!nft_has_family(&self->pod_cidrs, v4)) {
            /* The gateway device does not speak that family. */
            continue;
        }
        add_route(wanted, cidr, &via.addr, &src, RT_TABLE_MAIN);
        ip_prefix_list_add(&wanted->neighbors, &via);

        /* The peer's own addresses, for what pods and the gateway send. */
        for (size_t j = 0; j < peer->addresses.n; j++) {
            const struct ip_prefix *address = &peer->addresses.elems[j];

            if (ip_is_v4(&address->addr) == v4) {
                add_route(wanted, address, &via.addr, &in6addr_any,
                          HOST_RT_TABLE);
            }
        }
    }
}

/* Adds a copy of 'rule'. */
static void
add_rule(struct host_wanted *wanted, const struct host_rule *rule)
{
    wanted->rules = xrealloc(wanted->rules, ((wanted->n_rules + 1)
                                             * sizeof *wanted->rules));
    wanted->rules[wanted->n_rules++] = *rule;
}

/* What comes from a pod network takes the tunnel to a peer's own address: what
 * pods send by way of the host, also by IPVS, and what the host answers as the
 * gateway, which would leave by the uplink otherwise, in clear. */
static void
derive_peer_rules(const struct ip_prefix *all, struct host_wanted *wanted)
{
    bool v4 = ip_is_v4(&all->addr);
    struct host_rule rule = {
        .from = *all, .to = *all, .by_gateway = true,
        .priority = HOST_RULE_PRIORITY, .table = HOST_RT_TABLE
    };
    bool any = false;

    for (size_t i = 0; i < wanted->n_routes; i++) {
        const struct host_route *r = &wanted->routes[i];

        any |= r->table == HOST_RT_TABLE && ip_is_v4(&r->dst.addr) == v4;
    }
    if (!any) {
        return;
    }
    add_rule(wanted, &rule);
    rule.by_gateway = false;
    for (size_t i = 0; i < wanted->addresses.n; i++) {
        rule.from = wanted->addresses.elems[i];
        ip_prefix_mask(&rule.from);
        if (ip_is_v4(&rule.from.addr) == v4) {
            add_rule(wanted, &rule);
        }
    }
}

/* What has yet to be judged goes to pods, or nowhere. */
static void
derive_judging_rules(const struct config *config, const struct ip_prefix *all,
                     struct host_wanted *wanted)
{
    bool v4 = ip_is_v4(&all->addr);
    struct host_rule rule = {
        .from = *all, .to = *all, .by_gateway = true,
        .mark = LATEEN_MARK_UNJUDGED, .priority = HOST_RULE_PRIORITY + 2
    };

    if (!nft_has_family(&wanted->addresses, v4)) {
        return;
    }
    add_rule(wanted, &rule);
    rule.priority = HOST_RULE_PRIORITY + 1;
    rule.table = RT_TABLE_MAIN;
    for (size_t i = 0; i < config->cluster_cidrs.n; i++) {
        rule.to = config->cluster_cidrs.elems[i];
        if (ip_is_v4(&rule.to.addr) == v4) {
            add_rule(wanted, &rule);
        }
    }
}

static void
derive_rules(const struct config *config, struct host_wanted *wanted)
{
    for (int v4 = 1; v4 >= 0; v4--) {
        const struct ip_prefix all = {
            v4 ? in6_addr_mapped_ipv4(0) : in6addr_any, v4 ? 96 : 0
        };

        derive_peer_rules(&all, wanted);
        derive_judging_rules(config, &all, wanted);
    }
}

static int
compare_routes(const void *a_, const void *b_)
{
    const struct host_route *a = a_;
    const struct host_route *b = b_;
    int cmp = compare_destinations(a, b);

    return cmp ? cmp : a->order < b->order ? -1 : a->order > b->order;
}

static void
sort_routes(struct host_wanted *wanted)
{
    size_t n = 0;

    qsort(wanted->routes, wanted->n_routes, sizeof *wanted->routes,
          compare_routes);
    for (size_t i = 0; i < wanted->n_routes; i++) {
        if (!n || compare_destinations(&wanted->routes[n - 1],
                                       &wanted->routes[i])) {
            wanted->routes[n++] = wanted->routes[i];
        }
    }
    wanted->n_routes = n;
}

/* Sysctls. */

static void
add_sysctl(struct host_wanted *wanted, char *name, const char *only_from,
           const char *value, const char *why)
{
    size_t n = wanted->n_sysctls++;

    wanted->sysctls = xrealloc(wanted->sysctls,
                               (n + 1) * sizeof *wanted->sysctls);
    wanted->sysctls[n] = (struct host_sysctl) {
        .name = name, .value = value, .only_from = only_from, .why = why
    };
}

static void
add_sysctl4(struct host_wanted *wanted, const char *device, const char *name,
            const char *value, const char *why)
{
    add_sysctl(wanted, xasprintf("ipv4/conf/%s/%s", device, name), NULL,
               value, why);
}

static void
add_sysctl6(struct host_wanted *wanted, const char *device, const char *name,
            const char *only_from, const char *value, const char *why)
{
    add_sysctl(wanted, xasprintf("ipv6/conf/%s/%s", device, name), only_from,
               value, why);
}

/* Of rp_filter, the kernel applies the greater one of "all" and the device,
 * and 2 is the greatest.  A packet of a peer's own comes in by the gateway
 * device although the way back to the peer is the uplink, so the strict check
 * would drop it; what may come in there, the pipeline's peer and spoof guards
 * decide.  The uplink stays as it is: nothing comes in there that would not
 * go out there.
 *
 * Of send_redirects, a device does if either "all" or the device says so. */
static void
derive_sysctls(const struct host_facts *facts, bool v4, bool v6,
               struct host_wanted *wanted)
{
    if (v4) {
        add_sysctl(wanted, xstrdup("ipv4/ip_forward"), NULL, "1",
                   "pods talk to the outside");
        add_sysctl4(wanted, "all", "send_redirects", "0",
                    "else a device's own value has no say");
        add_sysctl4(wanted, HOST_GATEWAY, "send_redirects", "0",
                    "translated packets go back where they came from");
        add_sysctl4(wanted, HOST_GATEWAY, "rp_filter", "2",
                    "peers' own addresses come in by the tunnel");
        add_sysctl4(wanted, HOST_GATEWAY, "arp_announce", "2",
                    "pods know the gateway by its own address");
    }
    if (v6) {
        if (facts->uplink[0]) {
            /* Before forwarding, which takes away routes learned so. */
            add_sysctl6(wanted, facts->uplink, "accept_ra", "1", "2",
                        "a forwarding node would lose its default route");
        }
        add_sysctl6(wanted, HOST_GATEWAY, "disable_ipv6", NULL, "0",
                    "pods have IPv6 addresses");
        add_sysctl6(wanted, HOST_GATEWAY, "accept_ra", NULL, "0",
                    "the gateway is a router");
        add_sysctl6(wanted, HOST_GATEWAY, "accept_dad", NULL, "0",
                    "nobody else can have the gateway's addresses");
        add_sysctl6(wanted, HOST_GATEWAY, "addr_gen_mode", "1", "0",
                    "without a link-local address, the kernel looks for no "
                    "neighbor");
        add_sysctl6(wanted, "all", "forwarding", NULL, "1",
                    "pods talk to the outside");
    }
}

/* nftables. */

static void
format_masquerading(const struct ip_prefix_list *pods,
                    const struct ip_prefix_list *exceptions, bool v4,
                    struct ds *ds)
{
    const char *ip = v4 ? "ip" : "ip6";

    if (nft_has_family(pods, v4)) {
        ds_put_format(ds, "    oifname != \""HOST_GATEWAY"\" %s saddr ", ip);
        nft_format_set(pods, v4, ds);
        if (nft_has_family(exceptions, v4)) {
            ds_put_format(ds, " %s daddr != ", ip);
            nft_format_set(exceptions, v4, ds);
        }
        ds_put_cstr(ds, " masquerade fully-random\n");
    }
}

void
host_format_arriving(struct ds *ds)
{
    ds_put_cstr(ds, "    iifname \""HOST_PORT_PREFIX"*\" drop\n");
}

/* IPVS takes packets where they are input, and sends them as the node's own,
 * by a route for no source. */
void
host_format_sending(const struct ip_prefix_list *pods, struct ds *ds)
{
    for (int v4 = 1; v4 >= 0; v4--) {
        if (nft_has_family(pods, v4)) {
            ds_put_format(ds, "    %s saddr ", v4 ? "ip" : "ip6");
            nft_format_set(pods, v4, ds);
            ds_put_cstr(ds, " "HOST_REROUTE"\n");
        }
    }
}

/* Translation of sources makes a forwarded packet look like the node's own;
 * but only what has not come in by a device has number 0 for it (since Linux
 * 5.7).  A tunnel packet has the marks of what is inside, too. */
void
host_format_leaving(struct ds *ds)
{
    ds_put_format(ds, "    oifname \""HOST_GATEWAY"\" iif 0 "
                  "fib saddr type local meta mark set meta mark | 0x%x\n"
                  "    meta mark & 0x%x != 0 iifname \""HOST_GATEWAY"\" "
                  "oifname != \""HOST_GATEWAY"\" drop\n",
                  LATEEN_MARK_LOCAL, LATEEN_MARK_UNJUDGED);
}

/* What a pod may send only to where the host translates it must come back to
 * the bridge as the pod's.  The kernel's datapath marks it, and looks for the
 * mark.  One in user space can do neither: there the packet comes with a MAC
 * address that says so. */
static void
format_judging(const struct ip_prefix_list *pods, struct ds *ds)
{
    const struct eth_addr unjudged = UNJUDGED_MAC;

    ds_put_format(ds, "  chain unjudged {\n"
                  "    type filter hook prerouting priority raw;\n"
                  "    iifname \""HOST_GATEWAY"\" ether saddr "ETH_ADDR_FMT
                  " meta mark set meta mark | 0x%x\n  }\n",
                  ETH_ADDR_ARGS(unjudged), LATEEN_MARK_UNJUDGED);
    ds_put_format(ds, "  chain judging-source {\n"
                  "    type filter hook postrouting priority 350;\n"
                  "    meta mark & 0x%x == 0 return\n",
                  LATEEN_MARK_UNJUDGED);
    for (int v4 = 1; v4 >= 0; v4--) {
        if (nft_has_family(pods, v4)) {
            ds_put_format(ds, "    oifname \""HOST_GATEWAY"\" %s saddr != ",
                          v4 ? "ip" : "ip6");
            nft_format_set(pods, v4, ds);
            ds_put_cstr(ds, " drop\n");
        }
    }
    ds_put_cstr(ds, "  }\n");
}

static char *
format_nat(const struct node *self, const struct config *config)
{
    struct ds ds = DS_EMPTY_INITIALIZER;

    if (config->ipsec_mode != IPSEC_REQUIRED) {
        ds_put_cstr(&ds, "  chain arriving {\n"
                    "    type filter hook prerouting priority raw;\n");
        host_format_arriving(&ds);
        ds_put_cstr(&ds, "  }\n"
                    "  chain sending {\n"
                    "    type route hook output priority raw;\n");
        host_format_sending(&self->pod_cidrs, &ds);
        ds_put_cstr(&ds, "  }\n"
                    "  chain leaving {\n"
                    "    type filter hook postrouting priority 300;\n");
        host_format_leaving(&ds);
        ds_put_cstr(&ds, "  }\n");
    }
    if (nullable_string_is_equal(config->datapath_type, "netdev")) {
        format_judging(&self->pod_cidrs, &ds);
    }
    if (config->masquerade) {
        struct ip_prefix_list exceptions;

        ip_prefix_list_clone(&exceptions, &config->cluster_cidrs);
        for (size_t i = 0; i < config->masquerade_exclude.n; i++) {
            ip_prefix_list_add(&exceptions,
                               &config->masquerade_exclude.elems[i]);
        }
        ds_put_cstr(&ds, "  chain masquerading {\n"
                    "    type nat hook postrouting priority srcnat;\n");
        format_masquerading(&self->pod_cidrs, &exceptions, true, &ds);
        format_masquerading(&self->pod_cidrs, &exceptions, false, &ds);
        ds_put_cstr(&ds, "  }\n");
        ip_prefix_list_destroy(&exceptions);
    }
    return ds_steal_cstr(&ds);
}
