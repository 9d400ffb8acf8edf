/* SPDX-License-Identifier: GPL-3.0-or-later */
/* From the model to flows: see compile.h for the contract, doc/pipeline.rst
 * for the tables. */

#include <config.h>
#include "compile.h"

#include "agent/cluster.h"
#include "agent/config.h"
#include "agent/model.h"
#include "flow-table.h"
#include "openvswitch/dynamic-string.h"
#include "openvswitch/ofp-port.h"
#include "packets.h"
#include "pipeline.h"

#define PIPELINE_TABLE(ID, ENUM, NAME) { ID, #NAME },
const struct pipeline_table pipeline_tables[] = {
    PIPELINE_TABLES
    { 0, NULL }
};
#undef PIPELINE_TABLE

static void compile_peer(const struct compile_ctx *, const struct node *,
                         struct flow_batch *);
static void compile_self(const struct compile_ctx *, struct flow_batch *);
static void compile_node_guard(const struct node *, struct flow_batch *);
static void add_neighbor(struct flow_batch *, const struct in6_addr *,
                         ofp_port_t);
static void add_neighbor_mac(struct flow_batch *, struct eth_addr mac,
                             ofp_port_t);

const char *
pipeline_table_name(uint8_t id)
{
    for (const struct pipeline_table *t = pipeline_tables; t->name; t++) {
        if (t->id == id) {
            return t->name;
        }
    }
    return NULL;
}

BUILD_ASSERT_DECL(MODEL_ID_BITS == COOKIE_KIND_SHIFT);

ovs_be64
compile_cookie(const struct model_object *obj)
{
    static const enum cookie_kind kinds[MODEL_N_KINDS] = {
        [MODEL_NODE] = COOKIE_NODE,
        [MODEL_POD] = COOKIE_POD,
        [MODEL_POLICY] = COOKIE_POLICY,
        [MODEL_ATTACHMENT] = COOKIE_ATTACHMENT,
    };

    return htonll(COOKIE_MARK
                  | (uint64_t) kinds[obj->kind] << COOKIE_KIND_SHIFT
                  | obj->id);
}

ovs_be64
compile_base_cookie(void)
{
    return htonll(COOKIE_MARK | (uint64_t) COOKIE_BASE << COOKIE_KIND_SHIFT);
}

/* The match on an address as source or destination ('which' is "src" or
 * "dst"), with the protocol that it needs.  Freed by the caller. */
static char *
match_addr(const char *which, const struct in6_addr *a)
{
    struct ds ds = DS_EMPTY_INITIALIZER;

    ds_put_format(&ds, ip_is_v4(a) ? "ip,nw_%s=" : "ipv6,ipv6_%s=", which);
    ip_format(a, &ds);
    return ds_steal_cstr(&ds);
}

/* As match_addr(), for a prefix. */
static char *
match_prefix(const char *which, const struct ip_prefix *p)
{
    struct ds ds = DS_EMPTY_INITIALIZER;

    ds_put_format(&ds, ip_is_v4(&p->addr) ? "ip,nw_%s=" : "ipv6,ipv6_%s=",
                  which);
    ip_prefix_format(p, &ds);
    return ds_steal_cstr(&ds);
}

/* The IPv6 link-local address that a kernel derives from 'mac' (RFC 4291,
 * appendix A). */
static struct in6_addr
link_local(struct eth_addr mac)
{
    struct in6_addr a;

    in6_generate_lla(mac, &a);
    return a;
}

/* Connections to 'dst' are the host's to answer or to translate. */
static void
add_proxied(const struct ip_prefix *dst, struct flow_batch *batch)
{
    char *s = ip_prefix_to_string(dst);

    flow_batch_add(batch, "table=destination,priority=50,ct_state=-inv+trk,"
                   "%s=%s actions=load:1->"REG_PROXIED
                   ",goto_table:l3_forward",
                   ip_is_v4(&dst->addr) ? "ip,ct_nw_dst" : "ipv6,ct_ipv6_dst",
                   s);
    free(s);
}

/* What holds whatever policies there are.  Conjunctions have priorities from
 * 200 on (policy_index_priority()). */
static void
compile_policy_base(struct flow_batch *batch)
{
    /* A connection that a policy cut must not come back by a packet from its
     * middle that conntrack would take for the beginning of one. */
    for (int v6 = 0; v6 < 2; v6++) {
        flow_batch_add(batch, "table=egress_policy,priority=600,"
                       "ct_state=+new+trk,reg0=0x%x/0x%x,%s,tcp_flags=-syn "
                       "actions=drop", BIT_STRICT,
                       BIT_STRICT | BIT_OWN_NODE | BIT_PROXIED,
                       v6 ? "tcp6" : "tcp");
    }
    /* What has yet to be judged must come back as the pod's that sent it. */
    flow_batch_add(batch, "table=egress_policy,priority=550,"
                   "pkt_mark=0x%x/0x%x,reg0=0x%x/0x%x actions=drop",
                   LATEEN_MARK_UNJUDGED, LATEEN_MARK_UNJUDGED, END_GATEWAY,
                   0xf | BIT_ISOLATED_SRC);
    flow_batch_add(batch, "table=egress_policy,priority=500,reg0=0/0x%x "
                   "actions=goto_table:ingress_policy", BIT_ISOLATED_SRC);
    flow_batch_add(batch, "table=egress_policy,priority=100,reg0=0x%x/0x%x "
                   "actions=load:1->"REG_UNJUDGED
                   ",goto_table:ingress_policy", BIT_PROXIED, BIT_PROXIED);
    flow_batch_add(batch, "table=egress_policy,priority=0 actions=drop");

    flow_batch_add(batch, "table=ingress_policy,priority=510,reg0=0x%x/0x%x "
                   "actions=goto_table:ct_commit", BIT_OWN_NODE,
                   BIT_OWN_NODE);
    flow_batch_add(batch, "table=ingress_policy,priority=500,reg0=0/0x%x "
                   "actions=goto_table:ct_commit", BIT_ISOLATED_DST);
    flow_batch_add(batch, "table=ingress_policy,priority=0 actions=drop");
}

void
compile_base(const struct compile_ctx *ctx, struct flow_batch *batch)
{
    const struct eth_addr unjudged_mac = UNJUDGED_MAC;
    bool gateway = ctx->gateway != OFPP_NONE;

    /* classifier: what comes in by a port without a flow is dropped. */
    if (ctx->tunnel != OFPP_NONE) {
        flow_batch_add(batch, "table=classifier,priority=200,in_port=%"PRIu32
                       ",arp actions=drop", ctx->tunnel);
        flow_batch_add(batch, "table=classifier,priority=100,in_port=%"PRIu32
                       " actions=load:%d->"REG_FROM",goto_table:peer_guard",
                       ctx->tunnel, END_TUNNEL);
    }
    if (gateway) {
        flow_batch_add(batch, "table=classifier,priority=200,in_port=%"PRIu32
                       ",arp actions=load:%d->"REG_FROM
                       ",goto_table:neighbor",
                       ctx->gateway, END_GATEWAY);
        for (int type = 133; type <= 137; type++) {
            flow_batch_add(batch, "table=classifier,priority=200,in_port="
                           "%"PRIu32",icmp6,icmp_type=%d,icmp_code=0 "
                           "actions=load:%d->"REG_FROM",goto_table:neighbor",
                           ctx->gateway, type, END_GATEWAY);
        }
        flow_batch_add(batch, "table=classifier,priority=100,in_port=%"PRIu32
                       " actions=load:%d->"REG_FROM",load:0->"REG_NETWORK
                       ",load:0x%x->"REG_ZONE",goto_table:conntrack",
                       ctx->gateway, END_GATEWAY, CT_ZONE_BASE);
    }

    /* spoof_guard: a pod may ask for its neighbors and answer for itself.
     * No other neighbor discovery message is a pod's to send.
     *
     * Every match on such messages names the code, too: without it, the flows
     * that Open vSwitch caches in the datapath leave out the fields of
     * neighbor discovery (odp_flow_key_from_flow__()), and what one message
     * was allowed would hold for all others of its type. */
    for (int type = 133; type <= 137; type++) {
        flow_batch_add(batch, "table=spoof_guard,priority=110,icmp6,"
                       "icmp_type=%d actions=drop", type);
    }

    /* tunnel_guard: what node_guard sends here comes from a pod and goes to
     * a node. */
    static const uint8_t protocols[] = { 47 /* GRE */, 50 /* ESP */,
                                         51 /* AH */ };
    uint16_t udp_ports[] = { 500, 4500, 4789, 6081,
                             ctx->config->tunnel_port };
    size_t n_ports = ARRAY_SIZE(udp_ports);

    if (!ctx->config->tunnel_port || ctx->config->tunnel_port == 4789
        || ctx->config->tunnel_port == 6081) {
        n_ports--;
    }
    for (int v6 = 0; v6 < 2; v6++) {
        for (size_t i = 0; i < ARRAY_SIZE(protocols); i++) {
            flow_batch_add(batch, "table=tunnel_guard,priority=100,%s,"
                           "nw_proto=%d actions=drop",
                           v6 ? "ipv6" : "ip", protocols[i]);
        }
        for (size_t i = 0; i < n_ports; i++) {
            flow_batch_add(batch, "table=tunnel_guard,priority=100,%s,"
                           "tp_dst=%d actions=drop",
                           v6 ? "udp6" : "udp", udp_ports[i]);
        }
    }
    flow_batch_add(batch,
                   "table=tunnel_guard,priority=0 "
                   "actions=goto_table:source");
    flow_batch_add(batch,
                   "table=node_guard,priority=0 "
                   "actions=goto_table:source");

    /* neighbor: a question without a source is duplicate address detection
     * (RFC 4862, section 5.4.2). */
    flow_batch_add(batch, "table=neighbor,priority=200,icmp6,"
                   "icmp_type=135,icmp_code=0,ipv6_src=:: actions=drop");

    flow_batch_add(batch, "table=conntrack,priority=100,ip "
                   "actions=ct(table=ct_state,zone="REG_ZONE")");
    flow_batch_add(batch, "table=conntrack,priority=100,ipv6 "
                   "actions=ct(table=ct_state,zone="REG_ZONE")");

    flow_batch_add(batch, "table=ct_state,priority=200,ct_state=+inv+trk "
                   "actions=drop");
    flow_batch_add(batch, "table=ct_state,priority=150,"
                   "ct_state=+rpl+trk,ct_mark=0x%x/0x%x,"MATCH_FROM
                   " actions=load:1->"REG_OWN_NODE",goto_table:node_guard",
                   CT_MARK_OWN_NODE, CT_MARK_OWN_NODE, END_POD);
    flow_batch_add(batch, "table=ct_state,priority=150,"
                   "pkt_mark=0x%x/0x%x,"MATCH_FROM
                   " actions=load:1->"REG_OWN_NODE",goto_table:source",
                   LATEEN_MARK_LOCAL, LATEEN_MARK_LOCAL, END_GATEWAY);
    /* An ICMP error in the direction of its connection's first packet.  Open
     * vSwitch loses ct_nw_src and its like of it on the way from the kernel
     * (is_ct_valid() in pkt_metadata_from_flow()), so policies cannot judge
     * it; and what it was allowed, a datapath flow would allow the whole
     * connection. */
    flow_batch_add(batch, "table=ct_state,priority=124,"
                   "ct_state=+rel-rpl+trk,"MATCH_FROM" actions=drop",
                   END_POD);
    flow_batch_add(batch, "table=ct_state,priority=122,"
                   "ct_state=+rel-rpl+trk,icmp,icmp_type=3,icmp_code=4 "
                   "actions=goto_table:source");
    flow_batch_add(batch, "table=ct_state,priority=122,"
                   "ct_state=+rel-rpl+trk,icmp6,icmp_type=2,icmp_code=0 "
                   "actions=goto_table:source");
    flow_batch_add(batch, "table=ct_state,priority=120,"
                   "ct_state=+rel-rpl+trk actions=drop");
    flow_batch_add(batch, "table=ct_state,priority=100,"MATCH_FROM
                   " actions=goto_table:node_guard", END_POD);
    flow_batch_add(batch,
                   "table=ct_state,priority=0 actions=goto_table:source");

    /* source, destination: what maps addresses to identities is above. */
    flow_batch_add(batch,
                   "table=source,priority=0 actions=goto_table:destination");
    flow_batch_add(batch, "table=destination,priority=0 "
                   "actions=goto_table:l3_forward");
    for (size_t i = 0; i < ctx->config->service_cidrs.n; i++) {
        add_proxied(&ctx->config->service_cidrs.elems[i], batch);
    }
    compile_policy_base(batch);

    /* l3_forward: the host may have translated the addresses of what came in
     * by the gateway, so replies go back by it. */
    static const enum pipeline_end repliers[] = { END_POD, END_TUNNEL };
    for (size_t i = 0; gateway && i < ARRAY_SIZE(repliers); i++) {
        flow_batch_add(batch, "table=l3_forward,priority=400,"
                       "ct_state=+rpl+trk,ct_mark=0x%x/0x%x,"MATCH_FROM
                       " actions=mod_dl_dst:"ETH_ADDR_FMT",load:%d->"REG_TO
                       ",load:%"PRIu32"->"REG_OUT_PORT
                       ",goto_table:egress_policy",
                       CT_MARK_GATEWAY, CT_MARK_GATEWAY, repliers[i],
                       ETH_ADDR_ARGS(ctx->gateway_mac), END_GATEWAY,
                       ctx->gateway);
    }

    /* Nothing is sent to more than one place, and pod networks are reached
     * through the tunnel or not at all. */
    static const char *const no_unicast[] = {
        "ip,nw_dst=224.0.0.0/4", "ip,nw_dst=255.255.255.255",
        "ipv6,ipv6_dst=ff00::/8", "ipv6,ipv6_dst=fe80::/10",
    };
    for (size_t i = 0; i < ARRAY_SIZE(no_unicast); i++) {
        flow_batch_add(batch, "table=l3_forward,priority=300,%s actions=drop",
                       no_unicast[i]);
    }
    for (size_t i = 0; i < ctx->config->cluster_cidrs.n; i++) {
        char *dst = match_prefix("dst", &ctx->config->cluster_cidrs.elems[i]);

        flow_batch_add(batch, "table=l3_forward,priority=120,%s actions=drop",
                       dst);
        free(dst);
    }
    if (gateway) {
        flow_batch_add(batch, "table=l3_forward,priority=100,"MATCH_FROM
                       " actions=mod_dl_dst:"ETH_ADDR_FMT",load:%d->"REG_TO
                       ",load:%"PRIu32"->"REG_OUT_PORT
                       ",goto_table:egress_policy",
                       END_POD, ETH_ADDR_ARGS(ctx->gateway_mac), END_GATEWAY,
                       ctx->gateway);
    }

    for (int v6 = 0; v6 < 2; v6++) {
        const char *proto = v6 ? "ipv6" : "ip";

        flow_batch_add(batch, "table=ct_commit,priority=120,"
                       "ct_state=+new+trk,%s,reg0=0x%x/0x%x"
                       " actions=ct(commit,zone="REG_ZONE
                       ",exec(set_field:0x%x/0x%x->ct_mark))"
                       ",goto_table:output",
                       proto, END_GATEWAY | BIT_OWN_NODE, 0xf | BIT_OWN_NODE,
                       CT_MARK_GATEWAY | CT_MARK_OWN_NODE,
                       CT_MARK_GATEWAY | CT_MARK_OWN_NODE);
        flow_batch_add(batch, "table=ct_commit,priority=110,"
                       "ct_state=+new+trk,%s,"MATCH_FROM
                       " actions=ct(commit,zone="REG_ZONE
                       ",exec(set_field:0x%x/0x%x->ct_mark))"
                       ",goto_table:output",
                       proto, END_GATEWAY, CT_MARK_GATEWAY, CT_MARK_GATEWAY);
        flow_batch_add(batch, "table=ct_commit,priority=100,"
                       "ct_state=+new+trk,%s actions=ct(commit,zone="REG_ZONE
                       "),goto_table:output", proto);
    }
    flow_batch_add(batch,
                   "table=ct_commit,priority=0 actions=goto_table:output");

    flow_batch_add(batch, "table=output,priority=110,reg0=0x%x/0x%x "
                   "actions=mod_dl_src:"ETH_ADDR_FMT
                   ",set_field:0x%x/0x%x->pkt_mark,output:"REG_OUT_PORT,
                   END_GATEWAY << 4 | BIT_UNJUDGED, 0xf0 | BIT_UNJUDGED,
                   ETH_ADDR_ARGS(unjudged_mac), LATEEN_MARK_UNJUDGED,
                   LATEEN_MARK_UNJUDGED);
    for (int to = END_TUNNEL; to <= END_POD; to++) {
        flow_batch_add(batch, "table=output,priority=100,"MATCH_TO
                       " actions=output:"REG_OUT_PORT, to);
    }
}

void
compile_node(const struct compile_ctx *ctx, const struct node *node,
             struct flow_batch *batch)
{
    batch->guards = true;
    compile_node_guard(node, batch);
    batch->guards = false;
    if (node == ctx->self) {
        compile_self(ctx, batch);
    } else {
        compile_peer(ctx, node, batch);
    }
}

/* Packets of pods to 'a', an address of a node, go by tunnel_guard. */
static void
guard_address(struct flow_batch *batch, const struct in6_addr *a)
{
    char *dst = match_addr("dst", a);

    flow_batch_add(batch, "table=node_guard,priority=100,%s "
                   "actions=goto_table:tunnel_guard", dst);
    free(dst);
}

/* All addresses by which a node is known, its gateways included. */
static void
compile_node_guard(const struct node *node, struct flow_batch *batch)
{
    for (size_t i = 0; i < node->addresses.n; i++) {
        guard_address(batch, &node->addresses.elems[i].addr);
    }
    for (size_t i = 0; i < node->pod_cidrs.n; i++) {
        struct in6_addr gw = ip_prefix_nth(&node->pod_cidrs.elems[i], 1);

        guard_address(batch, &gw);
    }
}

/* What is for the node itself leaves by the gateway. */
static void
add_to_gateway(const struct compile_ctx *ctx, const struct in6_addr *a,
               struct flow_batch *batch)
{
    char *dst = match_addr("dst", a);

    flow_batch_add(batch, "table=l3_forward,priority=200,%s "
                   "actions=mod_dl_dst:"ETH_ADDR_FMT",load:%d->"REG_TO
                   ",load:%"PRIu32"->"REG_OUT_PORT",goto_table:egress_policy",
                   dst, ETH_ADDR_ARGS(ctx->gateway_mac), END_GATEWAY,
                   ctx->gateway);
    free(dst);
}

/* Pods and the node itself are never kept apart by policies.  A datapath in
 * user space does not see the mark by which the kernel's knows what the node
 * itself sends, so there the address has to do, although the host also gives
 * it to what it masquerades. */
static void
add_own_address(const struct compile_ctx *ctx, const struct in6_addr *a,
                struct flow_batch *batch)
{
    const struct ip_prefix p = { *a, 128 };

    add_proxied(&p, batch);
    if (!strcmp(ctx->config->datapath_type, "netdev")) {
        char *src = match_addr("src", a);

        flow_batch_add(batch, "table=ct_state,priority=140,"
                       "ct_state=-rpl+trk,%s,"MATCH_FROM
                       " actions=load:1->"REG_OWN_NODE",goto_table:source",
                       src, END_GATEWAY);
        free(src);
    }
}

static void
compile_self(const struct compile_ctx *ctx, struct flow_batch *batch)
{
    const struct node *self = ctx->self;

    if (ctx->gateway == OFPP_NONE) {
        return;
    }
    add_neighbor_mac(batch, ctx->gateway_mac, ctx->gateway);
    for (size_t i = 0; i < self->addresses.n; i++) {
        add_to_gateway(ctx, &self->addresses.elems[i].addr, batch);
        add_own_address(ctx, &self->addresses.elems[i].addr, batch);
    }
    for (size_t i = 0; i < self->pod_cidrs.n; i++) {
        const struct ip_prefix *cidr = &self->pod_cidrs.elems[i];
        struct in6_addr gw = ip_prefix_nth(cidr, 1);
        char *dst = match_prefix("dst", cidr);

        add_to_gateway(ctx, &gw, batch);
        add_own_address(ctx, &gw, batch);
        add_neighbor(batch, &gw, ctx->gateway);
        flow_batch_add(batch, "table=l3_forward,priority=150,%s actions=drop",
                       dst);
        free(dst);
    }
}

/* One prefix of a peer: its packets are taken in from its tunnel address
 * alone, and packets for it go there. */
static void
add_peer_prefix(const struct compile_ctx *ctx, const struct in6_addr *remote,
                const struct ip_prefix *p, struct flow_batch *batch)
{
    bool v4 = ctx->tunnel_family == AF_INET;
    char *remote_s = ip_to_string(remote);
    char *local_s = ip_to_string(&ctx->tunnel_ip);
    char *src = match_prefix("src", p);
    char *dst = match_prefix("dst", p);

    flow_batch_add(batch, "table=peer_guard,priority=100,tun_id=0,%s=%s,%s "
                   "actions=mod_dl_src:"ETH_ADDR_FMT",load:0->"REG_NETWORK
                   ",load:0x%x->"REG_ZONE",goto_table:conntrack",
                   v4 ? "tun_src" : "tun_ipv6_src", remote_s, src,
                   ETH_ADDR_ARGS(ctx->gateway_mac), CT_ZONE_BASE);
    flow_batch_add(batch, "table=l3_forward,priority=150,%s "
                   "actions=dec_ttl,load:0->NXM_NX_TUN_ID[],"
                   "set_field:%s->%s,set_field:%s->%s,load:%d->"REG_TO
                   ",load:%"PRIu32"->"REG_OUT_PORT",goto_table:egress_policy",
                   dst, local_s, v4 ? "tun_src" : "tun_ipv6_src",
                   remote_s, v4 ? "tun_dst" : "tun_ipv6_dst", END_TUNNEL,
                   ctx->tunnel);
    free(remote_s);
    free(local_s);
    free(src);
    free(dst);
}

static void
compile_peer(const struct compile_ctx *ctx, const struct node *node,
             struct flow_batch *batch)
{
    const struct in6_addr *remote
        = peer_tunnel_address(ctx->config, node, ctx->tunnel_family);
    if (!remote || ctx->tunnel == OFPP_NONE || ctx->gateway == OFPP_NONE) {
        return;
    }
    for (size_t i = 0; i < node->pod_cidrs.n; i++) {
        add_peer_prefix(ctx, remote, &node->pod_cidrs.elems[i], batch);
    }
    for (size_t i = 0; i < node->addresses.n; i++) {
        add_peer_prefix(ctx, remote, &node->addresses.elems[i], batch);
    }
}

/* The question who has 'a' goes to the port that has it, and nowhere else. */
static void
add_neighbor(struct flow_batch *batch, const struct in6_addr *a,
             ofp_port_t port)
{
    char *ip = ip_to_string(a);

    flow_batch_add(batch, (ip_is_v4(a)
                           ? "table=neighbor,priority=100,arp,arp_op=1,"
                             "arp_tpa=%s actions=output:%"PRIu32
                           : "table=neighbor,priority=100,icmp6,"
                             "icmp_type=135,icmp_code=0,nd_target=%s "
                             "actions=output:%"PRIu32), ip, port);
    free(ip);
}

/* Answers to 'mac' go to its port. */
static void
add_neighbor_mac(struct flow_batch *batch, struct eth_addr mac,
                 ofp_port_t port)
{
    flow_batch_add(batch, "table=neighbor,priority=100,arp,arp_op=2,"
                   "dl_dst="ETH_ADDR_FMT" actions=output:%"PRIu32,
                   ETH_ADDR_ARGS(mac), port);
    flow_batch_add(batch, "table=neighbor,priority=100,icmp6,icmp_type=136,"
                   "icmp_code=0,dl_dst="ETH_ADDR_FMT" actions=output:%"PRIu32,
                   ETH_ADDR_ARGS(mac), port);
}

/* Lets the container ask for its neighbors from its address 'src'. */
static void
add_solicitation(struct flow_batch *batch, const struct attachment *a,
                 const struct in6_addr *src)
{
    char *match = match_addr("src", src);

    flow_batch_add(batch, "table=spoof_guard,priority=120,in_port=%"PRIu32
                   ",dl_src="ETH_ADDR_FMT",icmp6,icmp_type=135,icmp_code=0,%s,"
                   "nd_sll="ETH_ADDR_FMT" actions=goto_table:neighbor",
                   a->ofport, ETH_ADDR_ARGS(a->mac), match,
                   ETH_ADDR_ARGS(a->mac));
    free(match);
}

/* Lets the container say that 'ip' is its own, with 'tll' in the message. */
static void
add_advertisement(struct flow_batch *batch, const struct attachment *a,
                  const struct in6_addr *ip, struct eth_addr tll)
{
    char *match = match_addr("src", ip);
    char *target = ip_to_string(ip);

    flow_batch_add(batch, "table=spoof_guard,priority=120,in_port=%"PRIu32
                   ",dl_src="ETH_ADDR_FMT",icmp6,icmp_type=136,icmp_code=0,%s,"
                   "nd_target=%s,nd_tll="ETH_ADDR_FMT
                   " actions=goto_table:neighbor",
                   a->ofport, ETH_ADDR_ARGS(a->mac), match, target,
                   ETH_ADDR_ARGS(tll));
    free(match);
    free(target);
}

void
compile_attachment(const struct attachment *a, struct flow_batch *batch)
{
    if (a->ofport == OFPP_NONE || a->network > NETWORK_ID_MAX) {
        return;
    }

    uint32_t port = a->ofport;
    bool v6 = false;

    flow_batch_add(batch, "table=classifier,priority=100,in_port=%"PRIu32
                   " actions=load:%d->"REG_FROM",load:%"PRIu32"->"REG_NETWORK
                   ",load:0x%x->"REG_ZONE",goto_table:spoof_guard",
                   port, END_POD, a->network, CT_ZONE_BASE + a->network);

    for (size_t i = 0; i < a->ips.n; i++) {
        const struct in6_addr *ip = &a->ips.elems[i].addr;
        char *ip_s = ip_to_string(ip);
        char *src = match_addr("src", ip);
        char *dst = match_addr("dst", ip);

        if (ip_is_v4(ip)) {
            flow_batch_add(batch, "table=spoof_guard,priority=100,in_port="
                           "%"PRIu32",dl_src="ETH_ADDR_FMT",arp,"
                           "arp_sha="ETH_ADDR_FMT",arp_spa=%s "
                           "actions=goto_table:neighbor",
                           port, ETH_ADDR_ARGS(a->mac), ETH_ADDR_ARGS(a->mac),
                           ip_s);
        } else {
            add_solicitation(batch, a, ip);
            add_advertisement(batch, a, ip, a->mac);
            /* An answer to a unicast question comes without the option. */
            add_advertisement(batch, a, ip, eth_addr_zero);
            v6 = true;
        }
        flow_batch_add(batch, "table=spoof_guard,priority=100,in_port="
                       "%"PRIu32",dl_src="ETH_ADDR_FMT",%s "
                       "actions=goto_table:conntrack",
                       port, ETH_ADDR_ARGS(a->mac), src);
        add_neighbor(batch, ip, a->ofport);

        /* Between pods of one node the sender's MAC address stays. */
        flow_batch_add(batch, "table=l3_forward,priority=200,reg2=%"PRIu32
                       ",%s actions=mod_dl_dst:"ETH_ADDR_FMT
                       ",load:%d->"REG_TO",load:%"PRIu32"->"REG_OUT_PORT
                       ",goto_table:egress_policy",
                       a->network, dst, ETH_ADDR_ARGS(a->mac), END_POD, port);
        free(ip_s);
        free(src);
        free(dst);
    }

    add_neighbor_mac(batch, a->mac, a->ofport);
    if (v6) {
        struct in6_addr lla = link_local(a->mac);

        add_solicitation(batch, a, &lla);
    }
}
