/* SPDX-License-Identifier: GPL-3.0-or-later */
/* From policies and the pods that they select to flows: see compile.h and
 * policy-index.h.
 *
 * A rule's clauses are numbered 1 for the pods that the policy is for, 2 for
 * the other side, and last for the ports.  A clause that everything satisfies
 * is left out, as long as two are left. */

#include <config.h>
#include "compile.h"

#include <stdlib.h>
#include <string.h>

#include "agent/model.h"
#include "agent/policy.h"
#include "flow-table.h"
#include "openvswitch/dynamic-string.h"
#include "packets.h"
#include "pipeline.h"
#include "policy-index.h"
#include "util.h"

static ovs_be64
make_cookie(enum cookie_kind kind, uint64_t id)
{
    return htonll(COOKIE_MARK | (uint64_t) kind << COOKIE_KIND_SHIFT
                  | (id & COOKIE_ID_MASK));
}

ovs_be64
compile_identity_cookie(const struct identity *identity)
{
    return make_cookie(COOKIE_IDENTITY, identity->id);
}

ovs_be64
compile_end_cookie(const struct index_end *end)
{
    return make_cookie(end->is_attachment ? COOKIE_ATTACHMENT : COOKIE_POD,
                       end->id);
}

static const char *
table_name(enum policy_side side)
{
    return side == POLICY_INGRESS ? "ingress_policy" : "egress_policy";
}

static const char *
next_table_name(enum policy_side side)
{
    return side == POLICY_INGRESS ? "ct_commit" : "ingress_policy";
}

/* The clauses of a conjunction. */
struct clauses {
    bool peers, ports;
    int n;
};

static struct clauses
get_clauses(const struct policy_conj *conj, const struct policy_rule *rule)
{
    struct clauses c;

    c.peers = policy_conj_has_peers(conj, rule);
    c.ports = rule->n_ports || !c.peers;
    c.n = 1 + c.peers + c.ports;
    return c;
}

/* Addresses to identities. */

static bool
is_isolated(const struct identity *identity)
{
    return (identity->isolated[POLICY_INGRESS]
            || identity->isolated[POLICY_EGRESS]);
}

void
compile_end(const struct policy_index *pi, const struct index_end *end,
            struct flow_batch *batch)
{
    bool unknown = end->is_attachment && end->pod_name && !end->identity;
    uint32_t id = (end->identity ? end->identity->id
                   : unknown ? IDENTITY_UNKNOWN : IDENTITY_NONE);

    bool strict = (end->is_attachment
                   && (unknown || (end->identity
                                   && is_isolated(end->identity))));

    if (id == IDENTITY_NONE || end->network > NETWORK_ID_MAX) {
        return;
    }
    for (size_t i = 0; i < end->ips.n; i++) {
        const struct in6_addr *a = &end->ips.elems[i].addr;
        bool v4 = ip_is_v4(a);

        if (!policy_index_owns(pi, end, a)) {
            continue;
        }
        char *s = ip_to_string(a);
        for (int side = 0; side < POLICY_N_SIDES; side++) {
            bool src = side == POLICY_EGRESS;
            bool isolated = strict && (unknown
                                       || end->identity->isolated[side]);

            flow_batch_add(batch, "table=%s,priority=100,reg2=%"PRIu32
                           ",ct_state=-inv+trk,%s%s=%s "
                           "actions=load:0x%"PRIx32"->%s%s%s,goto_table:%s",
                           src ? "source" : "destination", end->network,
                           v4 ? "ip,ct_nw_" : "ipv6,ct_ipv6_",
                           src ? "src" : "dst", s,
                           id, src ? REG_SRC_ID : REG_DST_ID,
                           (!isolated ? ""
                            : src ? ",load:1->"REG_ISOLATED_SRC
                            : ",load:1->"REG_ISOLATED_DST),
                           strict ? ",load:1->"REG_STRICT : "",
                           src ? "destination" : "l3_forward");
        }
        free(s);
    }
}

/* Identities to clauses. */

/* A clause that an identity satisfies. */
struct satisfied {
    int priority;
    uint32_t conj_id;
    int clause, n_clauses;
};

struct satisfied_list {
    struct satisfied *elems;
    size_t n, allocated;
};

static int
compare_satisfied(const void *a_, const void *b_)
{
    const struct satisfied *a = a_;
    const struct satisfied *b = b_;

    return (a->priority != b->priority ? a->priority - b->priority
            : a->conj_id < b->conj_id ? -1 : a->conj_id > b->conj_id);
}

/* Appends what 'member' satisfies. */
static void
add_satisfied(const struct policy_index *pi, const struct identity *identity,
              const struct index_member *member, struct satisfied_list *list)
{
    const struct index_policy *ip = member->policy;
    bool subject = member->rule < 0;
    size_t begin = subject ? 0 : member->rule;
    size_t end = subject ? ip->n_rules[member->side] : begin + 1;

    for (size_t i = begin; i < end; i++) {
        const struct index_rule *rule = &ip->rules[member->side][i];

        for (size_t j = 0; j < rule->n_conjs; j++) {
            const struct policy_conj *conj = rule->conjs[j];

            if (!index_member_takes(member, identity, conj)) {
                continue;
            }
            if (list->n >= list->allocated) {
                list->elems = x2nrealloc(list->elems, &list->allocated,
                                         sizeof *list->elems);
            }
            list->elems[list->n++] = (struct satisfied) {
                .priority = policy_index_priority(pi, conj),
                .conj_id = conj->id,
                .clause = subject ? 1 : 2,
                .n_clauses = get_clauses(conj, index_policy_rule(ip, conj)).n,
            };
        }
    }
}

/* A flow for each priority, with all that 'list' has of it. */
static void
add_satisfied_flows(enum policy_side side, const char *reg, uint32_t id,
                    struct satisfied_list *list, struct flow_batch *batch)
{
    if (list->n) {
        qsort(list->elems, list->n, sizeof *list->elems, compare_satisfied);
    }
    for (size_t i = 0; i < list->n; ) {
        int priority = list->elems[i].priority;
        struct ds actions = DS_EMPTY_INITIALIZER;

        for (; i < list->n && list->elems[i].priority == priority; i++) {
            const struct satisfied *s = &list->elems[i];

            ds_put_format(&actions, "%sconjunction(%"PRIu32",%d/%d)",
                          actions.length ? "," : "", s->conj_id, s->clause,
                          s->n_clauses);
        }
        flow_batch_add(batch, "table=%s,priority=%d,%s=0x%"PRIx32
                       " actions=%s", table_name(side), priority, reg, id,
                       ds_cstr(&actions));
        ds_destroy(&actions);
    }
    free(list->elems);
}

void
compile_identity(const struct policy_index *pi,
                 const struct identity *identity, struct flow_batch *batch)
{
    for (int side = 0; side < POLICY_N_SIDES; side++) {
        for (int peer = 0; peer < 2; peer++) {
            bool src = (side == POLICY_EGRESS) != peer;
            struct satisfied_list list = { NULL, 0, 0 };

            for (size_t i = 0; i < identity->n_members; i++) {
                const struct index_member *m = &identity->members[i];

                if (m->side == side && (m->rule >= 0) == peer) {
                    add_satisfied(pi, identity, m, &list);
                }
            }
            add_satisfied_flows(side, src ? "reg4" : "reg5", identity->id,
                                &list, batch);
        }
    }
}

/* Policies. */

/* One flow of the clause 'clause' of 'conj'. */
static void
add_clause(const struct policy_index *pi, const struct policy_conj *conj,
           int clause, int n_clauses, const char *match,
           struct flow_batch *batch)
{
    flow_batch_add(batch, "table=%s,priority=%d,ct_state=-inv+trk,%s "
                   "actions=conjunction(%"PRIu32",%d/%d)",
                   table_name(conj->side), policy_index_priority(pi, conj),
                   match, conj->id, clause, n_clauses);
}

/* The ports from 'first' to 'last' as the fewest values with masks. */
static void
add_port_range(const struct policy_index *pi, const struct policy_conj *conj,
               uint8_t protocol, uint16_t first, uint16_t last,
               const struct clauses *c, struct flow_batch *batch)
{
    uint32_t port = first;

    while (port <= last) {
        uint32_t size = port ? port & -port : UINT16_MAX + 1;
        char match[64];

        while (port + size - 1 > last) {
            size /= 2;
        }
        snprintf(match, sizeof match, "ct_nw_proto=%d,ct_tp_dst=%"PRIu32
                 "/0x%x", protocol, port, UINT16_MAX & ~(size - 1));
        add_clause(pi, conj, c->n, c->n, match, batch);
        port += size;
    }
}

static void
compile_ports(const struct policy_index *pi, const struct policy_conj *conj,
              const struct policy_rule *rule, const struct clauses *c,
              struct flow_batch *batch)
{
    if (!c->ports) {
        return;
    }
    if (!rule->n_ports) {
        add_clause(pi, conj, c->n, c->n, "ip", batch);
        add_clause(pi, conj, c->n, c->n, "ipv6", batch);
    }
    for (size_t i = 0; i < rule->n_ports; i++) {
        const struct policy_port *p = &rule->ports[i];

        if (conj->port == (int) i) {
            add_port_range(pi, conj, p->protocol, conj->number, conj->number,
                           c, batch);
        } else if (conj->port < 0 && !p->name && p->first) {
            add_port_range(pi, conj, p->protocol, p->first, p->last, c,
                           batch);
        } else if (conj->port < 0 && !p->name) {
            char match[32];

            snprintf(match, sizeof match, "ct_nw_proto=%d", p->protocol);
            add_clause(pi, conj, c->n, c->n, match, batch);
        }
    }
}

/* Those of 'p' that are in none of 'except', each prefix of which lies in 'p'
 * or has nothing in common with it. */
static void
compile_block(const struct policy_index *pi, const struct policy_conj *conj,
              const struct ip_prefix *p, const struct ip_prefix_list *except,
              const struct clauses *c, struct flow_batch *batch)
{
    bool overlaps = false;

    for (size_t i = 0; i < except->n; i++) {
        if (ip_prefix_overlaps(p, &except->elems[i])) {
            overlaps = true;
            if (except->elems[i].plen <= p->plen) {
                return;
            }
        }
    }
    if (overlaps) {
        struct ip_prefix half = { p->addr, p->plen + 1 };

        compile_block(pi, conj, &half, except, c, batch);
        half.addr.s6_addr[p->plen / 8] |= 0x80 >> (p->plen % 8);
        compile_block(pi, conj, &half, except, c, batch);
        return;
    }

    bool v4 = ip_is_v4(&p->addr);
    struct ds match = DS_EMPTY_INITIALIZER;
    ds_put_cstr(&match, v4 ? "ip" : "ipv6");
    if (ip_prefix_length(p)) {
        ds_put_format(&match, ",%s_%s=", v4 ? "ct_nw" : "ct_ipv6",
                      conj->side == POLICY_INGRESS ? "src" : "dst");
        ip_prefix_format(p, &match);
    }
    add_clause(pi, conj, 2, c->n, ds_cstr(&match), batch);
    ds_destroy(&match);
}

static void
compile_conj(const struct policy_index *pi, const struct index_policy *ip,
             const struct policy_conj *conj, struct flow_batch *batch)
{
    const struct policy_rule *rule = index_policy_rule(ip, conj);
    struct clauses c = get_clauses(conj, rule);

    /* The first packets of connections are counted by themselves. */
    for (int new = 0; new < 2; new++) {
        flow_batch_add(batch, "table=%s,priority=%d,conj_id=%"PRIu32
                       ",ct_state=%cnew+trk actions=goto_table:%s",
                       table_name(conj->side),
                       policy_index_priority(pi, conj), conj->id,
                       new ? '+' : '-', next_table_name(conj->side));
    }
    compile_ports(pi, conj, rule, &c, batch);
    for (size_t i = 0; conj->port < 0 && i < rule->n_peers; i++) {
        const struct policy_peer *peer = &rule->peers[i];

        if (!peer->pods && !peer->namespaces) {
            compile_block(pi, conj, &peer->block, &peer->except, &c, batch);
        }
    }
}

void
compile_policy(const struct policy_index *pi, const struct index_policy *ip,
               struct flow_batch *batch)
{
    for (int side = 0; side < POLICY_N_SIDES; side++) {
        for (size_t i = 0; i < ip->n_rules[side]; i++) {
            const struct index_rule *rule = &ip->rules[side][i];

            for (size_t j = 0; j < rule->n_conjs; j++) {
                compile_conj(pi, ip, rule->conjs[j], batch);
            }
        }
    }
}
