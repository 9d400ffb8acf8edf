/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The kernel's IPsec database: see xfrm-db.h. */

#include <config.h>
#include "xfrm-db.h"

#include <errno.h>
#include <linux/netlink.h>
#include <linux/xfrm.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "agent/ip.h"
#include "agent/nlsock.h"
#include "conns.h"
#include "netlink.h"
#include "netlink-socket.h"
#include "openvswitch/json.h"
#include "openvswitch/ofpbuf.h"
#include "openvswitch/shash.h"
#include "packets.h"
#include "util.h"

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

static struct in6_addr
get_address(const xfrm_address_t *a, uint16_t family)
{
    struct in6_addr ip;

    if (family == AF_INET) {
        return in6_addr_mapped_ipv4(a->a4);
    }
    memcpy(&ip, a, sizeof ip);
    return ip;
}

/* Copies the header of 'msg' to the 'size' bytes at 'header': Netlink aligns
 * to four bytes only.  False if it is shorter. */
static bool
copy_header(const struct ofpbuf *msg, void *header, size_t size)
{
    const void *data = ofpbuf_at(msg, NLMSG_HDRLEN, NLMSG_ALIGN(size));

    if (!data) {
        return false;
    }
    memcpy(header, data, size);
    return true;
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

static void
parse_sa(struct xfrm_db *db, const struct ofpbuf *msg)
{
    struct xfrm_usersa_info info;
    struct xfrm_sa *sa;

    if (!copy_header(msg, &info, sizeof info)
        || info.id.proto != IPPROTO_ESP || !is_our_reqid(info.reqid)
        || (info.family != AF_INET && info.family != AF_INET6)
        || info.reqid == ntohl(info.id.spi)) {
        return;                 /* The last is how the guard marks its own. */
    }
    db->sas = xrealloc(db->sas, (db->n_sas + 1) * sizeof *db->sas);
    sa = &db->sas[db->n_sas++];
    sa->src = get_address(&info.saddr, info.family);
    sa->dst = get_address(&info.id.daddr, info.family);
    sa->spi = ntohl(info.id.spi);
    sa->reqid = info.reqid;
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

    if (!copy_header(msg, &info, sizeof info)
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
    policy->src = get_address(&info.sel.saddr, info.sel.family);
    policy->dst = get_address(&info.sel.daddr, info.sel.family);
    policy->sport = info.sel.sport_mask ? ntohs(info.sel.sport) : 0;
    policy->dport = info.sel.dport_mask ? ntohs(info.sel.dport) : 0;
    policy->priority = info.priority;
    policy->reqid = tmpl->reqid;
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
        if (!copy_header(event, &id, sizeof id)) {
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
        if (!copy_header(event, &policy, sizeof policy)) {
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
            && a->priority == b->priority && a->reqid == b->reqid);
}

static void
put_address(xfrm_address_t *a, const struct in6_addr *ip)
{
    memset(a, 0, sizeof *a);
    if (ip_is_v4(ip)) {
        a->a4 = in6_addr_get_mapped_ipv4(ip);
    } else {
        memcpy(a, ip, sizeof *ip);
    }
}

static void
put_selector(struct xfrm_selector *sel, const struct xfrm_policy *policy)
{
    bool v4 = ip_is_v4(&policy->dst);

    sel->family = v4 ? AF_INET : AF_INET6;
    put_address(&sel->saddr, &policy->src);
    put_address(&sel->daddr, &policy->dst);
    sel->prefixlen_s = sel->prefixlen_d = v4 ? 32 : 128;
    sel->proto = policy->protocol;
    sel->sport = htons(policy->sport);
    sel->sport_mask = policy->sport ? OVS_BE16_MAX : 0;
    sel->dport = htons(policy->dport);
    sel->dport_mask = policy->dport ? OVS_BE16_MAX : 0;
}

/* Sends 'request', which it frees. */
static int
transact(struct ofpbuf *request)
{
    int error = nl_transact(NETLINK_XFRM, request, NULL);

    ofpbuf_uninit(request);
    return error;
}

int
xfrm_policy_put(const struct xfrm_policy *policy)
{
    struct xfrm_userpolicy_info *info;
    struct xfrm_user_tmpl *tmpl;
    struct ofpbuf request;

    ofpbuf_init(&request, 0);
    nl_msg_put_nlmsghdr(&request, sizeof *info, XFRM_MSG_UPDPOLICY,
                        NLM_F_REQUEST | NLM_F_ACK);
    info = nl_msg_put_uninit(&request, sizeof *info);
    memset(info, 0, sizeof *info);
    put_selector(&info->sel, policy);
    info->lft.soft_byte_limit = info->lft.hard_byte_limit = XFRM_INF;
    info->lft.soft_packet_limit = info->lft.hard_packet_limit = XFRM_INF;
    info->priority = policy->priority;
    info->dir = policy->dir;
    info->action = XFRM_POLICY_ALLOW;
    info->share = XFRM_SHARE_ANY;

    tmpl = nl_msg_put_unspec_zero(&request, XFRMA_TMPL, sizeof *tmpl);
    tmpl->id.proto = IPPROTO_ESP;
    tmpl->family = ip_is_v4(&policy->dst) ? AF_INET : AF_INET6;
    tmpl->reqid = policy->reqid;
    tmpl->mode = XFRM_MODE_TRANSPORT;
    tmpl->aalgos = tmpl->ealgos = tmpl->calgos = UINT32_MAX;
    return transact(&request);
}

int
xfrm_policy_remove(const struct xfrm_policy *policy)
{
    struct xfrm_userpolicy_id *id;
    struct ofpbuf request;

    ofpbuf_init(&request, 0);
    nl_msg_put_nlmsghdr(&request, sizeof *id, XFRM_MSG_DELPOLICY,
                        NLM_F_REQUEST | NLM_F_ACK);
    id = nl_msg_put_uninit(&request, sizeof *id);
    memset(id, 0, sizeof *id);
    put_selector(&id->sel, policy);
    id->dir = policy->dir;
    return transact(&request);
}

/* States. */

int
xfrm_sa_remove(const struct xfrm_sa *sa)
{
    struct xfrm_usersa_id *id;
    struct ofpbuf request;

    ofpbuf_init(&request, 0);
    nl_msg_put_nlmsghdr(&request, sizeof *id, XFRM_MSG_DELSA,
                        NLM_F_REQUEST | NLM_F_ACK);
    id = nl_msg_put_uninit(&request, sizeof *id);
    memset(id, 0, sizeof *id);
    put_address(&id->daddr, &sa->dst);
    id->spi = htonl(sa->spi);
    id->family = ip_is_v4(&sa->dst) ? AF_INET : AF_INET6;
    id->proto = IPPROTO_ESP;
    return transact(&request);
}
