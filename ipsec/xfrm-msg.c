/* SPDX-License-Identifier: GPL-3.0-or-later */
/* XFRM's messages: see xfrm-msg.h. */

#include <config.h>
#include "xfrm-msg.h"

#include <linux/netlink.h>
#include <string.h>
#include "agent/ip.h"
#include "netlink.h"
#include "netlink-socket.h"
#include "openvswitch/ofpbuf.h"
#include "packets.h"
#include "util.h"

uint16_t
xfrm_family(const struct in6_addr *a)
{
    return ip_is_v4(a) ? AF_INET : AF_INET6;
}

xfrm_address_t
xfrm_from_address(const struct in6_addr *a)
{
    xfrm_address_t x;

    memset(&x, 0, sizeof x);
    if (ip_is_v4(a)) {
        x.a4 = in6_addr_get_mapped_ipv4(a);
    } else {
        memcpy(&x, a, sizeof x);
    }
    return x;
}

struct in6_addr
xfrm_to_address(const xfrm_address_t *x, uint16_t family)
{
    struct in6_addr a;

    if (family == AF_INET) {
        return in6_addr_mapped_ipv4(x->a4);
    }
    memcpy(&a, x, sizeof a);
    return a;
}

bool
xfrm_copy_header(const struct ofpbuf *msg, void *header, size_t size)
{
    const void *data = ofpbuf_at(msg, NLMSG_HDRLEN, NLMSG_ALIGN(size));

    if (!data) {
        return false;
    }
    memcpy(header, data, size);
    return true;
}

/* Begins 'request' with the 'size' bytes at 'header'. */
static void
begin_request(struct ofpbuf *request, uint16_t type, const void *header,
              size_t size)
{
    ofpbuf_init(request, 0);
    nl_msg_put_nlmsghdr(request, size, type, NLM_F_REQUEST | NLM_F_ACK);
    memcpy(nl_msg_put_uninit(request, size), header, size);
}

static void
put_mark(struct ofpbuf *request, uint32_t mark)
{
    if (mark) {
        const struct xfrm_mark m = { .v = mark, .m = UINT32_MAX };

        nl_msg_put_unspec(request, XFRMA_MARK, &m, sizeof m);
    }
}

/* Sends 'request', which it frees. */
static int
transact(struct ofpbuf *request)
{
    int error = nl_transact(NETLINK_XFRM, request, NULL);

    ofpbuf_uninit(request);
    return error;
}

void
xfrm_policy_init(struct xfrm_userpolicy_info *policy, uint16_t family,
                 uint8_t dir, uint8_t action, uint32_t priority)
{
    memset(policy, 0, sizeof *policy);
    policy->sel.family = family;
    policy->lft.soft_byte_limit = policy->lft.hard_byte_limit = XFRM_INF;
    policy->lft.soft_packet_limit = policy->lft.hard_packet_limit = XFRM_INF;
    policy->priority = priority;
    policy->dir = dir;
    policy->action = action;
    policy->share = XFRM_SHARE_ANY;
}

int
xfrm_policy_send(uint16_t type, const struct xfrm_userpolicy_info *policy,
                 uint32_t mark, uint32_t reqid)
{
    struct ofpbuf request;

    begin_request(&request, type, policy, sizeof *policy);
    put_mark(&request, mark);
    if (reqid) {
        struct xfrm_user_tmpl *tmpl
            = nl_msg_put_unspec_zero(&request, XFRMA_TMPL, sizeof *tmpl);

        tmpl->id.proto = IPPROTO_ESP;
        tmpl->family = policy->sel.family;
        tmpl->reqid = reqid;
        tmpl->mode = XFRM_MODE_TRANSPORT;
        tmpl->aalgos = tmpl->ealgos = tmpl->calgos = UINT32_MAX;
    }
    return transact(&request);
}

int
xfrm_policy_delete(const struct xfrm_selector *sel, uint8_t dir,
                   uint32_t mark, uint32_t index)
{
    struct xfrm_userpolicy_id id;
    struct ofpbuf request;

    memset(&id, 0, sizeof id);
    id.sel = *sel;
    id.index = index;
    id.dir = dir;
    begin_request(&request, XFRM_MSG_DELPOLICY, &id, sizeof id);
    put_mark(&request, mark);
    return transact(&request);
}

int
xfrm_state_delete(const struct in6_addr *dst, ovs_be32 spi, uint32_t mark)
{
    struct xfrm_usersa_id id;
    struct ofpbuf request;

    memset(&id, 0, sizeof id);
    id.daddr = xfrm_from_address(dst);
    id.spi = spi;
    id.family = xfrm_family(dst);
    id.proto = IPPROTO_ESP;
    begin_request(&request, XFRM_MSG_DELSA, &id, sizeof id);
    put_mark(&request, mark);
    return transact(&request);
}
