/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The host edge: see host.h.  host-wanted.c derives what is wanted, and
 * host-netlink.c and host-sync.c deal with rtnetlink; here, all that is kept
 * up. */

#include <config.h>
#include "host.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "host-netlink.h"
#include "host-sync.h"
#include "model.h"
#include "nft.h"
#include "openvswitch/dynamic-string.h"
#include "openvswitch/poll-loop.h"
#include "openvswitch/vlog.h"
#include "packets.h"
#include "sysctl.h"
#include "timeval.h"
#include "util.h"

VLOG_DEFINE_THIS_MODULE(host);

#define HOST_TABLE "lateen_nat"

/* Between two looks at everything: no event tells of a sysctl. */
#define CHECK_INTERVAL 10000    /* ms */

/* Between two attempts, the first of which failed; less where an event tells
 * of something new. */
#define RETRY_INTERVAL 1000     /* ms */
#define EVENT_INTERVAL 50       /* ms */

struct host {
    struct host_netlink netlink;
    struct nft_table *nat;

    /* What has been wanted last, and what from. */
    struct host_wanted *wanted; /* NULL before the first time. */
    char *wanted_text;          /* As host_wanted_format() says it. */
    struct host_facts facts;    /* 'node' is not used. */
    uint64_t derived;           /* Model's change. */

    bool settled;               /* The last look found no difference. */
    long long int next_check;   /* When to look in any case. */
    long long int next_early;   /* When to look if something is stale. */
    unsigned int repairs;
    char *error;                /* Of the last look. */
    struct host_status status;
};

static void derive(struct host *, const struct model *,
                   const struct config *, const char *node);
static bool update_facts(struct host *, const struct node *self,
                         const struct in6_addr *address, unsigned int mtu);
static void check(struct host *);
static char *sync_sysctls(const struct host_wanted *, size_t *n_changes);

char *
host_create(struct host **hostp)
{
    struct nft_table *nat;
    char *error = nft_table_create(HOST_TABLE, NULL, 0, &nat);

    *hostp = NULL;
    if (error) {
        return error;
    }

    struct host *host = xzalloc(sizeof *host);
    int retval = host_netlink_init(&host->netlink);
    if (retval) {
        host_netlink_destroy(&host->netlink);
        nft_table_destroy(nat);
        free(host);
        return xasprintf("rtnetlink events: %s", ovs_strerror(retval));
    }
    host->nat = nat;
    host_netlink_run(&host->netlink, NULL);
    *hostp = host;
    return NULL;
}

void
host_destroy(struct host *host)
{
    if (host) {
        host_netlink_destroy(&host->netlink);
        nft_table_destroy(host->nat);
        if (host->wanted) {
            host_wanted_destroy(host->wanted);
            free(host->wanted);
        }
        free(host->wanted_text);
        ip_prefix_list_destroy(&host->facts.addresses);
        free(host->error);
        free(host);
    }
}

bool
host_find_uplink(const struct host *host, const struct in6_addr *address,
                 struct host_uplink *uplink)
{
    return host_netlink_find_address(&host->netlink, address, uplink);
}

/* Whether a node has changed after the change 'since'. */
static bool
nodes_changed(const struct model *model, uint64_t since)
{
    const struct model_object *obj;

    MODEL_FOR_EACH_CHANGED (obj, model, since) {
        if (obj->kind == MODEL_NODE) {
            return true;
        }
    }
    return false;
}

void
host_run(struct host *host, const struct model *model,
         const struct config *config, bool config_changed, const char *node,
         const struct in6_addr *address, unsigned int mtu)
{
    struct host_netlink *netlink = &host->netlink;
    const struct node *self = model ? model_find_node(model, node) : NULL;

    host_netlink_run(netlink, host->wanted);
    if (self) {
        bool changed = (!host->wanted || config_changed
                        || nodes_changed(model, host->derived));

        if (netlink->facts_changed || changed || mtu != host->facts.mtu) {
            netlink->facts_changed = false;
            changed |= update_facts(host, self, address, mtu);
        }
        if (changed) {
            derive(host, model, config, node);
        }
        host->derived = model->seqno;
    }
    if (host->wanted
        && time_msec() >= (netlink->stale ? host->next_early
                           : host->next_check)) {
        check(host);
    }
    nft_table_run(host->nat);

    struct host_status *status = &host->status;
    status->in_place = (self && host->settled && !netlink->stale
                        && nft_table_is_ok(host->nat));
    if (status->in_place) {
        status->seqno = host->derived;
    }
    status->repairs = host->repairs + nft_table_repairs(host->nat);
    status->error = host->error ? host->error : nft_table_error(host->nat);
}

void
host_wait(const struct host *host)
{
    host_netlink_wait(&host->netlink);
    nft_table_wait(host->nat);
    if (host->wanted) {
        poll_timer_wait_until(host->netlink.stale ? host->next_early
                              : host->next_check);
    }
}

const struct host_status *
host_get_status(const struct host *host)
{
    return &host->status;
}

char *
host_remove(const struct sset *hostifs)
{
    char *netlink_error = host_sync_remove(hostifs);
    char *nat_error = nft_table_remove(HOST_TABLE);

    if (netlink_error) {
        free(nat_error);
        return netlink_error;
    }
    return nat_error;
}

/* Takes what this machine says of 'self', the node's own addresses and the
 * device of 'address'.  Returns true if that is new. */
static bool
update_facts(struct host *host, const struct node *self,
             const struct in6_addr *address, unsigned int mtu)
{
    struct host_facts new = { .mtu = mtu };
    struct host_uplink uplink;

    if (ipv6_addr_is_set(address)
        && host_netlink_find_address(&host->netlink, address, &uplink)) {
        ovs_strlcpy(new.uplink, uplink.name, sizeof new.uplink);
    }
    for (size_t i = 0; i < self->addresses.n; i++) {
        const struct ip_prefix *p = &self->addresses.elems[i];

        if (host_netlink_find_address(&host->netlink, &p->addr, NULL)) {
            ip_prefix_list_add(&new.addresses, p);
        }
    }

    bool changed = (new.mtu != host->facts.mtu
                    || strcmp(new.uplink, host->facts.uplink)
                    || !ip_prefix_list_equals(&new.addresses,
                                              &host->facts.addresses));
    ip_prefix_list_destroy(&host->facts.addresses);
    host->facts = new;
    return changed;
}

static void
derive(struct host *host, const struct model *model,
       const struct config *config, const char *node)
{
    struct host_facts facts = host->facts;
    struct host_wanted *wanted = xmalloc(sizeof *wanted);
    struct ds text = DS_EMPTY_INITIALIZER;

    facts.node = node;
    host_wanted_derive(model, config, &facts, wanted);
    host_wanted_format(wanted, &text);
    if (nullable_string_is_equal(host->wanted_text, ds_cstr(&text))) {
        host_wanted_destroy(wanted);
        free(wanted);
        ds_destroy(&text);
        return;
    }
    if (host->wanted) {
        host_wanted_destroy(host->wanted);
        free(host->wanted);
    }
    free(host->wanted_text);
    host->wanted = wanted;
    host->wanted_text = ds_steal_cstr(&text);
    host->settled = false;
    host->netlink.stale = true;
    host->next_early = LLONG_MIN;
    nft_table_set(host->nat, wanted->nat);
}

/* Compares everything with the kernel.  What differs although the last look
 * found all in place, and nothing else has been wanted since, is somebody
 * else's doing. */
static void
check(struct host *host)
{
    static struct vlog_rate_limit rl = VLOG_RATE_LIMIT_INIT(5, 10);
    size_t n_changes = 0;
    char *error;

    host->netlink.stale = false;
    error = sync_sysctls(host->wanted, &n_changes);
    char *sync_error = host_sync(&host->netlink, host->wanted, &n_changes);
    if (!error) {
        error = sync_error;
    } else {
        free(sync_error);
    }
    if (host->settled && (n_changes || error)) {
        VLOG_INFO_RL(&rl, "somebody else has changed what is Lateen's on "
                     "this host, it is put back");
        host->repairs++;
    }
    if (error && !nullable_string_is_equal(error, host->error)) {
        VLOG_INFO_RL(&rl, "not in place yet: %s", error);
    }
    free(host->error);
    host->error = error;
    host->settled = !error && !n_changes;
    if (n_changes && !error) {
        /* Look again: what was too much for one turn is left. */
        host->netlink.stale = true;
    }
    host->next_check = time_msec() + (error ? RETRY_INTERVAL
                                      : CHECK_INTERVAL);
    host->next_early = error ? time_msec() + EVENT_INTERVAL : LLONG_MIN;
}

/* One that does not exist belongs to a device that does not, or to a family
 * that the kernel lacks, and host_sync() will have more to say. */
static char *
sync_sysctls(const struct host_wanted *wanted, size_t *n_changes)
{
    for (size_t i = 0; i < wanted->n_sysctls; i++) {
        const struct host_sysctl *s = &wanted->sysctls[i];
        char *error;
        int retval = sysctl_set(s->name, s->only_from, s->value, s->why,
                                &error);

        if (retval < 0) {
            return error;
        }
        *n_changes += retval;
    }
    return NULL;
}
