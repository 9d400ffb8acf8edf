/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The map of the pipeline: tables, registers, marks and conntrack zones.
 *
 * doc/pipeline.rst describes each table; a test holds it to this file and to
 * what compile.c emits. */

#ifndef LATEEN_PIPELINE_H
#define LATEEN_PIPELINE_H 1

#include <stdint.h>
#include "openvswitch/compiler.h"

/* Tables, as PIPELINE_TABLE(ID, ENUM, NAME).  The gaps are rooms left free:
 * 80 for services, 140 for policies in tiers.  The guards stand behind
 * conntrack, where fragments have been put together. */
#define PIPELINE_TABLES                             \
    PIPELINE_TABLE(0, CLASSIFIER, classifier)       \
    PIPELINE_TABLE(10, PEER_GUARD, peer_guard)      \
    PIPELINE_TABLE(20, SPOOF_GUARD, spoof_guard)    \
    PIPELINE_TABLE(30, NEIGHBOR, neighbor)          \
    PIPELINE_TABLE(40, CONNTRACK, conntrack)        \
    PIPELINE_TABLE(50, CT_STATE, ct_state)          \
    PIPELINE_TABLE(60, NODE_GUARD, node_guard)      \
    PIPELINE_TABLE(70, TUNNEL_GUARD, tunnel_guard)  \
    PIPELINE_TABLE(90, SOURCE, source)              \
    PIPELINE_TABLE(100, DESTINATION, destination)   \
    PIPELINE_TABLE(110, L3_FORWARD, l3_forward)     \
    PIPELINE_TABLE(120, EGRESS_POLICY, egress_policy) \
    PIPELINE_TABLE(130, INGRESS_POLICY, ingress_policy) \
    PIPELINE_TABLE(150, CT_COMMIT, ct_commit)       \
    PIPELINE_TABLE(160, OUTPUT, output)

/* Table that no packet reaches: ofctrl.c adds and deletes a flow there to make
 * the revalidators start. */
#define TABLE_NUDGE 253

enum pipeline_table_id {
#define PIPELINE_TABLE(ID, ENUM, NAME) TABLE_##ENUM = ID,
    PIPELINE_TABLES
#undef PIPELINE_TABLE
};

/* A table's number and its name in OVSDB. */
struct pipeline_table {
    uint8_t id;
    const char *name;
};

/* The tables in order; 'name' is NULL after the last. */
extern const struct pipeline_table pipeline_tables[];

/* The name of table 'id', or NULL where the pipeline has no such table. */
const char *pipeline_table_name(uint8_t id);

/* Registers
 * ---------
 *
 * reg0[0..3]   where the packet came from, an enum pipeline_end
 * reg0[4..7]   where it goes, an enum pipeline_end
 * reg0[8]      the connection's source is isolated for egress
 * reg0[9]      the connection's destination is isolated for ingress
 * reg0[10]     the host may translate the connection's destination
 * reg0[11]     no policy allows it, but it may come back translated
 * reg0[12]     the node itself opened the connection
 * reg0[13]     a policy isolates one of the ends in some direction
 * reg1         OpenFlow port that it leaves by
 * reg2         network id (0 is the default network)
 * reg3[0..15]  conntrack zone of that network
 *
 * reg4         identity of the connection's source (policy-index.h)
 * reg5         identity of the connection's destination
 *
 * reg6 to reg15 are free. */
#define REG_FROM "NXM_NX_REG0[0..3]"
#define REG_TO "NXM_NX_REG0[4..7]"
#define REG_OUT_PORT "NXM_NX_REG1[]"
#define REG_NETWORK "NXM_NX_REG2[]"
#define REG_ZONE "NXM_NX_REG3[0..15]"

#define REG_ISOLATED_SRC "NXM_NX_REG0[8]"
#define REG_ISOLATED_DST "NXM_NX_REG0[9]"
#define REG_PROXIED "NXM_NX_REG0[10]"
#define REG_UNJUDGED "NXM_NX_REG0[11]"
#define REG_OWN_NODE "NXM_NX_REG0[12]"
#define REG_STRICT "NXM_NX_REG0[13]"
#define REG_SRC_ID "NXM_NX_REG4[]"
#define REG_DST_ID "NXM_NX_REG5[]"

/* The same bits in reg0, for matches. */
#define BIT_ISOLATED_SRC 0x100
#define BIT_ISOLATED_DST 0x200
#define BIT_PROXIED 0x400
#define BIT_UNJUDGED 0x800
#define BIT_OWN_NODE 0x1000
#define BIT_STRICT 0x2000

/* Matches on reg0[0..3] and reg0[4..7]. */
#define MATCH_FROM "reg0=0x%x/0xf"
#define MATCH_TO "reg0=0x%x0/0xf0"

/* One end of a packet's way through the bridge. */
enum pipeline_end {
    END_TUNNEL = 1,             /* The tunnel port: a peer's pod or node. */
    END_GATEWAY = 2,            /* The gateway port: the node itself, or what
                                 * it forwards. */
    END_POD = 3,                /* A port of this node's pods. */
};

/* ct_mark bits. */
#define CT_MARK_GATEWAY 0x1     /* The connection came in by the gateway, so
                                 * its replies leave by it: the host may have
                                 * translated its addresses. */
#define CT_MARK_OWN_NODE 0x2    /* The node itself opened the connection. */

/* Conntrack zones: one for each network, its id added to the base.  The
 * number is far from the small ones that other users of a node take. */
#define CT_ZONE_BASE 0x4c00
#define CT_ZONE_MAX 0x4fff
#define NETWORK_ID_MAX (CT_ZONE_MAX - CT_ZONE_BASE)

/* Packet mark (skb->mark) on what the node itself originated towards its
 * pods, as opposed to what it forwards: set by nftables, seen by the pipeline
 * as pkt_mark.  kube-proxy uses 0x4000 and 0x8000. */
#define LATEEN_MARK_LOCAL 0x10000000

/* Packet mark, in the host, on what a pod sends to a destination that the
 * host translates, as kube-proxy does, although no policy allows the packet as
 * it is: it may go on to the gateway device only, where it is judged by its
 * new destination.  The kernel's datapath sets it itself; nftables do by
 * UNJUDGED_MAC. */
#define LATEEN_MARK_UNJUDGED 0x20000000

/* OpenFlow cookies: 16 bits of mark, 8 bits for the kind of object that wants
 * the flow, 40 bits for which one (its 'id' in the model, or an identity's
 * number). */
#define COOKIE_MARK (UINT64_C(0x4c54) << 48)
#define COOKIE_MARK_MASK (UINT64_C(0xffff) << 48)
#define COOKIE_KIND_SHIFT 40
#define COOKIE_ID_MASK ((UINT64_C(1) << COOKIE_KIND_SHIFT) - 1)

enum cookie_kind {
    COOKIE_BASE,                /* The pipeline itself. */
    COOKIE_NODE,                /* A node, this one or a peer. */
    COOKIE_ATTACHMENT,          /* A pod's or container's interface. */
    COOKIE_POD,                 /* A pod of another node. */
    COOKIE_IDENTITY,            /* Pods that policies cannot tell apart. */
    COOKIE_POLICY,              /* A NetworkPolicy. */
};

/* The MAC address that stands for every peer: the host has a permanent
 * neighbor entry with it for each peer's gateway.  Locally administered. */
#define PEER_MAC ETH_ADDR_C(0e,4c,61,74,65,6e)

/* The source MAC address of what has yet to be judged (LATEEN_MARK_UNJUDGED):
 * a datapath in user space has no other mark that the host would see. */
#define UNJUDGED_MAC ETH_ADDR_C(0e,4c,61,74,65,75)

BUILD_ASSERT_DECL(NETWORK_ID_MAX > 0 && CT_ZONE_MAX <= UINT16_MAX);
BUILD_ASSERT_DECL((LATEEN_MARK_LOCAL & 0xffff) == 0);
BUILD_ASSERT_DECL((LATEEN_MARK_UNJUDGED & (0xffff | LATEEN_MARK_LOCAL)) == 0);

#endif /* flows/pipeline.h */
