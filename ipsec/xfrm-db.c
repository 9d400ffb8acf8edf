/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The kernel's IPsec database: see xfrm-db.h. */

#include <config.h>
#include "xfrm-db.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "agent/ip.h"
#include "agent/nlsock.h"
#include "conns.h"
#include "netlink.h"
#include "openvswitch/json.h"
#include "openvswitch/ofpbuf.h"
#include "openvswitch/shash.h"
#include "packets.h"
#include "util.h"
#include "xfrm-msg.h"

void
xfrm_db_clear(struct xfrm_db *db)
{
    free(db->sas);
    free(db->policies);
    memset(db, 0, sizeof *db);
}

/* Reading. */

static bool
is_our_reqid(uint32_t reqid)
{
    return reqid - CONNS_REQID < CONNS_N_REQIDS;
}

/* The attribute 'type' behind a header of 'header' bytes, if it has 'size'
 * bytes at least. */
static const void *
get_attribute(const struct ofpbuf *msg, size_t header, uint16_t type,
              size_t size)
{
    const struct nlattr *a
        = nl_attr_find(msg, NLMSG_HDRLEN + NLMSG_ALIGN(header), type);

    return a && nl_attr_get_size(a) >= size ? nl_attr_get(a) : NULL;
}

/* The mark behind such a header, if there is one: whole, as ours are, or
 * something that none of ours has. */
static uint32_t
get_mark(const struct ofpbuf *msg, size_t header)
{
    const struct xfrm_mark *mark
        = get_attribute(msg, header, XFRMA_MARK, sizeof *mark);

    return (!mark || !mark->m ? 0
            : mark->m == UINT32_MAX ? mark->v : UINT32_MAX);
}

static void
parse_sa(struct xfrm_db *db, const struct ofpbuf *msg)
{
    struct xfrm_usersa_info info;
    struct xfrm_sa *sa;

    if (!xfrm_copy_header(msg, &info, sizeof info)
        || info.id.proto != IPPROTO_ESP || !is_our_reqid(info.reqid)
        || (info.family != AF_INET && info.family != AF_INET6)
        || info.reqid == ntohl(info.id.spi)) {
        return;                 /* The last is how the guard marks its own. */
    }
    db->sas = xrealloc(db->sas, (db->n_sas + 1) * sizeof *db->sas);
    sa = &db->sas[db->n_sas++];
    sa->src = xfrm_to_address(&info.saddr, info.family);
    sa->dst = xfrm_to_address(&info.id.daddr, info.family);
    sa->spi = ntohl(info.id.spi);
    sa->reqid = info.reqid;
    sa->mark = get_mark(msg, sizeof info);
    sa->keyed = (get_attribute(msg, sizeof info, XFRMA_ALG_AEAD, 1)
                 || get_attribute(msg, sizeof info, XFRMA_ALG_CRYPT, 1));
    sa->bytes = info.curlft.bytes;
    sa->packets = info.curlft.packets;
}

/* Whether 'sel' is of the form that we have policies of: from one address to
 * another, and ports are given or not. */
static bool
is_our_selector(const struct xfrm_selector *sel)
{
    unsigned int plen = sel->family == AF_INET ? 32 : 128;

    return ((sel->family == AF_INET || sel->family == AF_INET6)
            && sel->prefixlen_s == plen && sel->prefixlen_d == plen
            && (!sel->sport_mask || sel->sport_mask == OVS_BE16_MAX)
            && (!sel->dport_mask || sel->dport_mask == OVS_BE16_MAX));
}

static void
parse_policy(struct xfrm_db *db, const struct ofpbuf *msg)
{
    struct xfrm_userpolicy_info info;
    const struct xfrm_user_tmpl *tmpl;
    struct xfrm_policy *policy;

    if (!xfrm_copy_header(msg, &info, sizeof info)
        || info.dir >= XFRM_POLICY_MAX
        || info.action != XFRM_POLICY_ALLOW
        || !is_our_selector(&info.sel)) {
        return;
    }
    tmpl = get_attribute(msg, sizeof info, XFRMA_TMPL, sizeof *tmpl);
    if (!tmpl || tmpl->id.proto != IPPROTO_ESP || !is_our_reqid(tmpl->reqid)
        || tmpl->mode != XFRM_MODE_TRANSPORT) {
        return;
    }
    db->policies = xrealloc(db->policies, ((db->n_policies + 1)
                                           * sizeof *db->policies));
    policy = &db->policies[db->n_policies++];
    policy->dir = info.dir;
    policy->protocol = info.sel.proto;
    policy->src = xfrm_to_address(&info.sel.saddr, info.sel.family);
    policy->dst = xfrm_to_address(&info.sel.daddr, info.sel.family);
    policy->sport = info.sel.sport_mask ? ntohs(info.sel.sport) : 0;
    policy->dport = info.sel.dport_mask ? ntohs(info.sel.dport) : 0;
    policy->priority = info.priority;
    policy->reqid = tmpl->reqid;
    policy->mark = get_mark(msg, sizeof info);
}

void
xfrm_db_parse(struct xfrm_db *db, const struct ofpbuf *msgs)
{
    struct ofpbuf rest = *msgs, msg;

    while (nl_msg_next(&rest, &msg)) {
        switch (nl_msg_nlmsghdr(&msg)->nlmsg_type) {
        case XFRM_MSG_NEWSA:
            parse_sa(db, &msg);
            break;

        case XFRM_MSG_NEWPOLICY:
            parse_policy(db, &msg);
            break;
        }
    }
}

int
xfrm_db_read(struct xfrm_db *db)
{
    struct ofpbuf replies;

    ofpbuf_init(&replies, 16384);
    int error = nlsock_dump_all(NETLINK_XFRM, XFRM_MSG_GETPOLICY, &replies);
    if (!error) {
        error = nlsock_dump_all(NETLINK_XFRM, XFRM_MSG_GETSA, &replies);
    }
    if (!error) {
        xfrm_db_parse(db, &replies);
    }
    /* The kernel tells keys, too. */
    explicit_bzero(replies.base, replies.allocated);
    ofpbuf_uninit(&replies);
    return error;
}

bool
xfrm_db_is_affected(const struct ofpbuf *event)
{
    struct xfrm_userpolicy_id policy;
    const struct xfrm_user_tmpl *tmpl;
    struct xfrm_usersa_id id;
    const void *sa;
    uint32_t reqid;

    /* What went is told in an attribute. */
    switch (nl_msg_nlmsghdr(event)->nlmsg_type) {
    case XFRM_MSG_DELSA:
        if (!xfrm_copy_header(event, &id, sizeof id)) {
            return true;
        }
        sa = get_attribute(event, sizeof id, XFRMA_SA,
                           sizeof(struct xfrm_usersa_info));
        if (!sa) {
            return true;
        }
        memcpy(&reqid, (const uint8_t *) sa
               + offsetof(struct xfrm_usersa_info, reqid), sizeof reqid);
        return is_our_reqid(reqid);

    case XFRM_MSG_DELPOLICY:
        if (!xfrm_copy_header(event, &policy, sizeof policy)) {
            return true;
        }
        tmpl = get_attribute(event, sizeof policy, XFRMA_TMPL, sizeof *tmpl);
        return tmpl && is_our_reqid(tmpl->reqid);

    case XFRM_MSG_FLUSHSA:
    case XFRM_MSG_FLUSHPOLICY:
    case XFRM_MSG_EXPIRE:
    case XFRM_MSG_UPDPOLICY:
        return true;

    default:
        return false;
    }
}

/* Policies. */

static const char *
get_string(const struct json *object, const char *name)
{
    const struct json *value = shash_find_data(json_object(object), name);

    if (value && value->type == JSON_ARRAY && value->array.n == 1) {
        value = value->array.elems[0];
    }
    return value && value->type == JSON_STRING ? json_string(value) : "";
}

/* Parses "ADDRESS/LENGTH[PROTOCOL]" or "ADDRESS/LENGTH[PROTOCOL/PORT]". */
static bool
parse_selector(const char *ts, struct in6_addr *ip, uint8_t *protocol,
               uint16_t *port)
{
    const char *bracket = strchr(ts, '[');
    unsigned int numbers[2] = { 0, 0 };
    struct ip_prefix prefix;

    if (!bracket
        || sscanf(bracket, "[%3u/%5u]", &numbers[0], &numbers[1]) < 1) {
        return false;
    }
    char *address = xmemdup0(ts, bracket - ts);
    bool ok = ip_prefix_parse(address, &prefix);
    free(address);
    *ip = prefix.addr;
    *protocol = numbers[0];
    *port = numbers[1];
    return ok;
}

bool
xfrm_policies_from_child(const struct json *child,
                         struct xfrm_policy policies[2])
{
    struct xfrm_policy *out = &policies[0], *in = &policies[1];
    uint8_t protocol;

    memset(policies, 0, 2 * sizeof *policies);
    out->dir = XFRM_POLICY_OUT;
    out->reqid = strtoul(get_string(child, "reqid"), NULL, 10);
    out->priority = strtoul(get_string(child, "priority"), NULL, 10);
    if (!parse_selector(get_string(child, "local_ts"), &out->src,
                        &out->protocol, &out->sport)
        || !parse_selector(get_string(child, "remote_ts"), &out->dst,
                           &protocol, &out->dport)
        || protocol != out->protocol) {
        return false;
    }
    *in = *out;
    out->mark = strtoul(get_string(child, "mark_out"), NULL, 0);
    in->dir = XFRM_POLICY_IN;
    in->src = out->dst;
    in->dst = out->src;
    in->sport = out->dport;
    in->dport = out->sport;
    return true;
}

bool
xfrm_policy_equals(const struct xfrm_policy *a, const struct xfrm_policy *b)
{
    return (a->dir == b->dir && a->protocol == b->protocol
            && ipv6_addr_equals(&a->src, &b->src)
            && ipv6_addr_equals(&a->dst, &b->dst)
            && a->sport == b->sport && a->dport == b->dport
            && a->priority == b->priority && a->reqid == b->reqid
            && a->mark == b->mark);
}

static struct xfrm_selector
make_selector(const struct xfrm_policy *policy)
{
    bool v4 = ip_is_v4(&policy->dst);

    return (struct xfrm_selector) {
        .family = xfrm_family(&policy->dst),
        .saddr = xfrm_from_address(&policy->src),
        .daddr = xfrm_from_address(&policy->dst),
        .prefixlen_s = v4 ? 32 : 128,
        .prefixlen_d = v4 ? 32 : 128,
        .proto = policy->protocol,
        .sport = htons(policy->sport),
        .sport_mask = policy->sport ? OVS_BE16_MAX : 0,
        .dport = htons(policy->dport),
        .dport_mask = policy->dport ? OVS_BE16_MAX : 0,
    };
}

int
xfrm_policy_put(const struct xfrm_policy *policy)
{
    struct xfrm_userpolicy_info info;

    xfrm_policy_init(&info, xfrm_family(&policy->dst), policy->dir,
                     XFRM_POLICY_ALLOW, policy->priority);
    info.sel = make_selector(policy);
    return xfrm_policy_send(XFRM_MSG_UPDPOLICY, &info, policy->mark,
                            policy->reqid);
}

int
xfrm_policy_remove(const struct xfrm_policy *policy)
{
    struct xfrm_selector sel = make_selector(policy);

    return xfrm_policy_delete(&sel, policy->dir, policy->mark, 0);
}

/* States. */

int
xfrm_sa_remove(const struct xfrm_sa *sa)
{
    return xfrm_state_delete(&sa->dst, htonl(sa->spi), sa->mark);
}
