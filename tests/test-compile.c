/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Prints the flows of a small cluster, as flows/compile.c computes them: this
 * node n1 with one pod and one plain container, and a peer n2. */

#include <config.h>
#undef NDEBUG
#include "flows/compile.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/config.h"
#include "agent/manifest.h"
#include "agent/model.h"
#include "flows/flow-table.h"
#include "flows/pipeline.h"
#include "flows/sync.h"
#include "lateen-test.h"
#include "openvswitch/ofp-port.h"
#include "packets.h"
#include "sort.h"
#include "util.h"

static void
add_prefix(struct ip_prefix_list *list, const char *s)
{
    struct ip_prefix p;

    ovs_assert(ip_prefix_parse(s, &p));
    ip_prefix_list_add(list, &p);
}

static struct node *
add_node(struct model *model, const char *name, int i)
{
    struct node *node = node_cast(model_object_new(MODEL_NODE, NULL, name));
    char s[64];

    snprintf(s, sizeof s, "10.244.%d.0/24", i);
    add_prefix(&node->pod_cidrs, s);
    snprintf(s, sizeof s, "fd00:10:244:%d::/64", i);
    add_prefix(&node->pod_cidrs, s);
    snprintf(s, sizeof s, "192.0.2.%d", i);
    add_prefix(&node->addresses, s);
    snprintf(s, sizeof s, "2001:db8::%d", i);
    add_prefix(&node->addresses, s);
    return node_cast(model_put(model, &node->obj));
}

static struct attachment *
new_attachment(const char *container, int i, ofp_port_t ofport)
{
    char *key = attachment_key(container, "eth0");
    struct attachment *a
        = attachment_cast(model_object_new(MODEL_ATTACHMENT, NULL, key));
    char s[64];

    free(key);
    a->container_id = xstrdup(container);
    a->ifname = xstrdup("eth0");
    a->hostif = xasprintf("lt%d", i);
    a->mac = (struct eth_addr) ETH_ADDR_C(02,00,00,00,00,00);
    a->mac.ea[5] = i;
    snprintf(s, sizeof s, "10.244.1.%d", i);
    add_prefix(&a->ips, s);
    snprintf(s, sizeof s, "fd00:10:244:1::%d", i);
    add_prefix(&a->ips, s);
    a->ofport = ofport;
    return a;
}

static const char objects[] =
    "{apiVersion: v1, kind: Namespace, metadata: {name: default}}\n"
    "---\n"
    "{apiVersion: v1, kind: Pod, metadata: {name: web, labels: {app: web}},\n"
    " spec: {containers: [{ports: [{name: http, containerPort: 8080}]}]}}\n"
    "---\n"
    "{apiVersion: v1, kind: Pod, metadata: {name: db, labels: {app: db}},\n"
    " status: {podIPs: [{ip: 10.244.2.3}, {ip: 'fd00:10:244:2::3'}]}}\n"
    "---\n"
    "apiVersion: networking.k8s.io/v1\n"
    "kind: NetworkPolicy\n"
    "metadata: {name: web}\n"
    "spec:\n"
    "  podSelector: {matchLabels: {app: web}}\n"
    "  ingress:\n"
    "  - from:\n"
    "    - podSelector: {}\n"
    "    - ipBlock: {cidr: 198.51.100.0/24, except: [198.51.100.128/25]}\n"
    "    - ipBlock: {cidr: '2001:db8:f::/64'}\n"
    "    ports: [{port: http}, {port: 1000, endPort: 1001}]\n"
    "  - from: [{ipBlock: {cidr: 0.0.0.0/0}}, {ipBlock: {cidr: '::/0'}}]\n"
    "    ports: [{protocol: SCTP}]\n"
    "  egress:\n"
    "  - to: [{ipBlock: {cidr: 0.0.0.0/0}}, {ipBlock: {cidr: '::/0'}}]\n"
    "    ports: [{port: 53, protocol: UDP}]\n"
    "  - to: [{podSelector: {matchLabels: {app: db}}},\n"
    "         {ipBlock: {cidr: 198.51.100.0/24}},\n"
    "         {ipBlock: {cidr: '2001:db8:f::/64'}}]\n"
    "    ports: [{protocol: TCP}]\n";

static void
add_objects(struct model *model)
{
    struct manifest m;

    ovs_assert(manifest_parse("objects", objects, strlen(objects), &m));
    for (size_t i = 0; i < m.n_objects; i++) {
        ovs_assert(m.objects[i].object);
        model_put(model, m.objects[i].object);
        m.objects[i].object = NULL;
    }
    manifest_destroy(&m);
}

static int
compare_strings(size_t a, size_t b, void *lines_)
{
    char **lines = lines_;

    return strcmp(lines[a], lines[b]);
}

static void
swap_strings(size_t a, size_t b, void *lines_)
{
    char **lines = lines_;
    char *tmp = lines[a];

    lines[a] = lines[b];
    lines[b] = tmp;
}

/* Prints what 'ft' would change in the switch, takes it for done, and returns
 * how much that was. */
static size_t
print_changes(struct flow_table *ft, bool print)
{
    struct flow_deltas deltas;

    flow_table_diff(ft, &deltas);
    size_t n = deltas.n;
    char **lines = xmalloc((n + 1) * sizeof *lines);
    for (size_t i = 0; i < n; i++) {
        lines[i] = flow_delta_to_string(ft, &deltas.elems[i]);
    }
    sort(n, compare_strings, swap_strings, lines);
    for (size_t i = 0; i < n; i++) {
        if (print) {
            puts(lines[i]);
        }
        free(lines[i]);
    }
    free(lines);
    flow_table_finish(ft, &deltas, true);
    return n;
}

static int
test_compile(int argc, char *argv[])
{
    int family = argc > 1 && !strcmp(argv[1], "6") ? AF_INET6 : AF_INET;
    struct flow_table *ft = flow_table_create(pipeline_tables);
    struct config config;
    struct compile_ctx ctx;
    struct model model;
    struct sync sync;

    memset(&config, 0, sizeof config);
    config.tunnel_type = TUNNEL_GENEVE;
    config.tunnel_port = 6081;
    add_prefix(&config.cluster_cidrs, "10.244.0.0/16");
    add_prefix(&config.cluster_cidrs, "fd00:10:244::/48");
    add_prefix(&config.service_cidrs, "10.96.0.0/12");
    config.datapath_type = "system";

    model_init(&model);
    sync_init(&sync);
    memset(&ctx, 0, sizeof ctx);
    ctx.config = &config;
    ctx.self = add_node(&model, "n1", 1);
    ctx.tunnel_family = family;
    ovs_assert(ip_addr_parse(family == AF_INET ? "192.0.2.1" : "2001:db8::1",
                        &ctx.tunnel_ip));
    ctx.gateway = 1;
    ctx.gateway_mac = (struct eth_addr) ETH_ADDR_C(0a,00,00,00,00,01);
    ctx.tunnel = 2;
    add_node(&model, "n2", 2);
    model_put(&model, &new_attachment("c5", 5, 5)->obj);
    model_put(&model, &new_attachment("c6", 6, 6)->obj);
    model_put(&model, &new_attachment("c7", 7, OFPP_NONE)->obj);
    add_objects(&model);
    struct attachment *web = new_attachment("c9", 9, 9);
    web->pod_namespace = xstrdup("default");
    web->pod_name = xstrdup("web");
    model_put(&model, &web->obj);

    sync_run(&sync, &model, &ctx, ft);
    print_changes(ft, true);

    /* Nothing changed, nothing to do. */
    sync_run(&sync, &model, &ctx, ft);
    ovs_assert(!print_changes(ft, true));
    sync_recompute(&sync);
    sync_run(&sync, &model, &ctx, ft);
    ovs_assert(!print_changes(ft, true));

    /* A pod that goes takes its own flows with it, also when another of its
     * name has come before anyone looked. */
    size_t before = flow_table_n_wanted(ft);
    model_remove(&model, MODEL_ATTACHMENT, NULL, "c6/eth0");
    sync_run(&sync, &model, &ctx, ft);
    size_t own = before - flow_table_n_wanted(ft);
    ovs_assert(own > 0 && print_changes(ft, false) == own);
    model_remove(&model, MODEL_ATTACHMENT, NULL, "c5/eth0");
    model_put(&model, &new_attachment("c5", 8, 8)->obj);
    sync_run(&sync, &model, &ctx, ft);
    ovs_assert(flow_table_n_wanted(ft) == before - own);
    print_changes(ft, false);

    /* A node that goes likewise. */
    model_remove(&model, MODEL_NODE, NULL, "n2");
    sync_run(&sync, &model, &ctx, ft);
    ovs_assert(flow_table_n_wanted(ft) < before - own);
    model_forget(&model, sync.seen);

    /* Without a tunnel and a gateway nothing leads to them. */
    ctx.gateway = ctx.tunnel = OFPP_NONE;
    sync_run(&sync, &model, &ctx, ft);
    print_changes(ft, false);

    model_destroy(&model);
    ip_prefix_list_destroy(&config.cluster_cidrs);
    ip_prefix_list_destroy(&config.service_cidrs);
    sync_destroy(&sync);
    flow_table_destroy(ft);
    return 0;
}
LATEEN_TEST_REGISTER("compile", "4|6", test_compile)
