/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Repairs in the kernel's IPsec database: see xfrm-check.h. */

#include <config.h>
#include "xfrm-check.h"

#include <errno.h>
#include <inttypes.h>
#include <linux/netlink.h>
#include <linux/xfrm.h>
#include <stdlib.h>
#include <string.h>
#include "agent/ip.h"
#include "agent/nlsock.h"
#include "conns.h"
#include "ike-private.h"
#include "netlink-socket.h"
#include "openvswitch/dynamic-string.h"
#include "openvswitch/json.h"
#include "openvswitch/poll-loop.h"
#include "openvswitch/shash.h"
#include "openvswitch/vlog.h"
#include "timeval.h"
#include "util.h"
#include "xfrm-diff.h"

VLOG_DEFINE_THIS_MODULE(xfrm);

/* Times, in ms. */
#define READ_INTERVAL 30000     /* Between looks without a reason. */
#define REKEY_INTERVAL 2000     /* Between attempts to replace a lost SA. */
#define RESTART_INTERVAL 10000  /* After the end of an IKE SA. */
#define ORPHAN_TIME 6000        /* How long a state stays that charon does not
                                 * know: charon itself forgets a rekeyed SA
                                 * some 5 s before it removes it. */
#define UNWANTED_TIME 10000     /* The same for a policy. */

/* Rekeying is tried so often before the IKE SA is ended. */
#define MAX_REKEYS 2

/* How often something was repaired. */
struct repairs {
    unsigned int policies, sas, orphans;
};

/* What is known about a connection. */
struct conn_check {
    unsigned int n_missing, n_lost, n_orphans; /* When looked at last. */
    long long int lost_since;   /* 0 if nothing is lost. */
    long long int next_attempt;
    unsigned int n_attempts;    /* At replacing what is lost. */
    unsigned int rekeys;
    struct repairs repairs;
};

struct xfrm_check {
    struct nl_sock *events;     /* NULL where XFRM cannot be had. */
    bool stale;                 /* Something may have changed. */
    bool pending;               /* Differences are left. */
    bool compared;              /* There has been a comparison. */
    long long int next_read;
    struct shash conns;         /* "struct conn_check"s by name. */
    struct shash sightings;     /* When what waits was seen first: "long long
                                 * int"s by what it is. */
    struct repairs repairs;
    char *error;                /* Why the kernel cannot be read, or NULL. */
};

static struct vlog_rate_limit rl = VLOG_RATE_LIMIT_INIT(10, 20);

struct xfrm_check *
xfrm_check_create(void)
{
    static const unsigned int groups[] = {
        XFRMNLGRP_SA, XFRMNLGRP_POLICY, XFRMNLGRP_EXPIRE
    };
    struct xfrm_check *check = xzalloc(sizeof *check);
    int error = nlsock_open(NETLINK_XFRM, groups, ARRAY_SIZE(groups),
                            &check->events);

    if (error) {
        check->error = xasprintf("cannot watch the kernel's IPsec: %s",
                                 ovs_strerror(error));
    }
    shash_init(&check->conns);
    shash_init(&check->sightings);
    check->stale = true;
    return check;
}

void
xfrm_check_destroy(struct xfrm_check *check)
{
    if (check) {
        nl_sock_destroy(check->events);
        shash_destroy_free_data(&check->conns);
        shash_destroy_free_data(&check->sightings);
        free(check->error);
        free(check);
    }
}

static void
take_kernel_event(const struct ofpbuf *msg, void *check_)
{
    struct xfrm_check *check = check_;

    check->stale |= xfrm_db_is_affected(msg);
}

bool
xfrm_check_run(struct xfrm_check *check)
{
    bool was_stale = check->stale;

    if (check->events
        && nlsock_events(check->events, take_kernel_event, check)) {
        check->stale = true;
    }
    return check->stale && !was_stale;
}

void
xfrm_check_wait(const struct xfrm_check *check)
{
    if (check->events) {
        nl_sock_wait(check->events, POLLIN);
    }
}

static struct conn_check *
get_conn(struct xfrm_check *check, const char *name)
{
    struct conn_check *conn = shash_find_data(&check->conns, name);

    if (!conn) {
        conn = xzalloc(sizeof *conn);
        shash_add(&check->conns, name, conn);
    }
    return conn;
}

/* Notes in 'now_seen' that 'what', which it takes, is there.  Returns for how
 * many ms that has been so. */
static long long int
sight(const struct xfrm_check *check, struct shash *now_seen, char *what)
{
    const long long int *before = shash_find_data(&check->sightings, what);
    long long int since = before ? *before : time_msec();

    if (!shash_find(now_seen, what)) {
        shash_add(now_seen, what, xmemdup(&since, sizeof since));
    }
    free(what);
    return time_msec() - since;
}

/* Repairs. */

static void
restore_policies(struct xfrm_check *check, const struct xfrm_diff *diff)
{
    unsigned int n = 0;

    for (size_t i = 0; i < diff->n_missing; i++) {
        const struct xfrm_missing *missing = &diff->missing[i];
        struct conn_check *conn = get_conn(check, missing->conn);
        int error = xfrm_policy_put(&missing->policy);

        if (!error) {
            conn->repairs.policies++;
            n++;
        } else {
            VLOG_WARN_RL(&rl, "%s: cannot put a policy back: %s",
                         missing->conn, ovs_strerror(error));
            conn->n_missing++;
        }
    }
    if (n) {
        VLOG_WARN_RL(&rl, "%u policies had been removed from the kernel, or "
                     "altered, by somebody else; they are put back", n);
        check->repairs.policies += n;
    }
}

/* Has charon replace 'lost', a CHILD SA of 'conn'. */
static void
replace_sa(const struct conn_check *conn, const struct xfrm_lost *lost,
           struct ike_client *client)
{
    if (conn->n_attempts >= MAX_REKEYS) {
        VLOG_WARN_RL(&rl, "%s: the kernel has lost SAs, and rekeying does not "
                     "help; ending their IKE SA", lost->conn);
        ike_terminate(client, "ike-id", lost->ike, true);
    } else if (lost->replaced) {
        VLOG_INFO("%s: the kernel has lost CHILD SA %s, which has a "
                  "successor already; ending it", lost->conn, lost->child);
        ike_terminate(client, "child-id", lost->child, true);
    } else {
        VLOG_WARN_RL(&rl, "%s: the kernel has lost CHILD SA %s; rekeying it",
                     lost->conn, lost->child);
        ike_rekey_child(client, lost->child);
    }
}

/* A loss that is seen once may be an SA that charon has ended meanwhile.
 * Returns true if that has to be found out soon. */
static bool
replace_sas(struct xfrm_check *check, const struct xfrm_diff *diff,
            struct ike_client *client)
{
    long long int now = time_msec();
    bool again = false;
    struct shash_node *node;

    for (size_t i = 0; i < diff->n_lost; i++) {
        struct conn_check *conn = get_conn(check, diff->lost[i].conn);

        conn->n_lost++;
        if (!conn->lost_since) {
            conn->lost_since = now;
            again = true;
        } else if (now > conn->lost_since && now >= conn->next_attempt) {
            replace_sa(conn, &diff->lost[i], client);
            conn->repairs.sas++;
            check->repairs.sas++;
        }
    }
    SHASH_FOR_EACH (node, &check->conns) {
        struct conn_check *conn = node->data;

        if (!conn->n_lost) {
            conn->lost_since = 0;
            conn->n_attempts = 0;
        } else if (now > conn->lost_since && now >= conn->next_attempt) {
            bool restart = conn->n_attempts >= MAX_REKEYS;

            conn->n_attempts = restart ? 0 : conn->n_attempts + 1;
            conn->next_attempt = now + (restart ? RESTART_INTERVAL
                                        : REKEY_INTERVAL);
        }
    }
    return again;
}

static void
remove_orphans(struct xfrm_check *check, const struct xfrm_diff *diff,
               struct shash *now_seen)
{
    for (size_t i = 0; i < diff->n_orphans; i++) {
        const struct xfrm_orphan *orphan = &diff->orphans[i];
        struct conn_check *conn
            = orphan->conn ? get_conn(check, orphan->conn) : NULL;
        long long int age
            = sight(check, now_seen, xasprintf("sa %"PRIx32" %"PRIx32,
                                               orphan->sa.reqid,
                                               orphan->sa.spi));

        if (orphan->replaced && age >= ORPHAN_TIME
            && !xfrm_sa_remove(&orphan->sa)) {
            VLOG_INFO("%s: removed the state with SPI %08"PRIx32" from the "
                      "kernel, which charon does not know",
                      orphan->conn ? orphan->conn : "no connection",
                      orphan->sa.spi);
            check->repairs.orphans++;
            if (conn) {
                conn->repairs.orphans++;
            }
        } else if (conn) {
            conn->n_orphans++;
        }
    }
}

static void
remove_policies(struct xfrm_check *check, const struct xfrm_diff *diff,
                struct shash *now_seen)
{
    for (size_t i = 0; i < diff->n_unwanted; i++) {
        const struct xfrm_policy *p = &diff->unwanted[i];
        char *src = ip_to_string(&p->src);
        char *dst = ip_to_string(&p->dst);
        long long int age
            = sight(check, now_seen,
                    xasprintf("policy %d %d %s %d %s %d %"PRIu32, p->dir,
                              p->protocol, src, p->sport, dst, p->dport,
                              p->priority));

        if (age >= UNWANTED_TIME && !xfrm_policy_remove(p)) {
            VLOG_INFO("removed a policy of Lateen's from %s to %s from the "
                      "kernel that no connection needs", src, dst);
        }
        free(src);
        free(dst);
    }
}

bool
xfrm_check_compare(struct xfrm_check *check, const struct shash *wanted,
                   const struct sset *held, const struct json *sas,
                   struct ike_client *client)
{
    struct shash now_seen = SHASH_INITIALIZER(&now_seen);
    struct xfrm_db db = { .n_sas = 0 };
    struct xfrm_diff diff;
    struct shash_node *node;

    if (!check->events || (!check->stale && !check->pending
                           && time_msec() < check->next_read)) {
        return false;
    }
    check->next_read = time_msec() + READ_INTERVAL;
    int error = xfrm_db_read(&db);
    if (error) {
        VLOG_WARN_RL(&rl, "cannot read the kernel's IPsec: %s",
                     ovs_strerror(error));
        free(check->error);
        check->error = xasprintf("cannot read the kernel's IPsec: %s",
                                 ovs_strerror(error));
        return false;
    }
    free(check->error);
    check->error = NULL;

    xfrm_diff_derive(&db, wanted, held, sas, &diff);
    SHASH_FOR_EACH (node, &check->conns) {
        struct conn_check *conn = node->data;

        conn->n_missing = conn->n_lost = conn->n_orphans = 0;
    }
    restore_policies(check, &diff);
    bool again = replace_sas(check, &diff, client);
    remove_orphans(check, &diff, &now_seen);
    remove_policies(check, &diff, &now_seen);

    shash_swap(&check->sightings, &now_seen);
    shash_destroy_free_data(&now_seen);
    check->stale = false;
    check->pending = (diff.n_missing || diff.n_lost || diff.n_orphans
                      || diff.n_unwanted);
    check->compared = true;
    xfrm_diff_clear(&diff);
    xfrm_db_clear(&db);
    return again;
}

void
xfrm_check_take_event(struct xfrm_check *check, const char *name,
                      const struct json *message)
{
    struct shash_node *node;

    if ((strcmp(name, "ike-rekey") && strcmp(name, "child-rekey"))
        || !message || message->type != JSON_OBJECT) {
        return;
    }
    SHASH_FOR_EACH (node, json_object(message)) {
        if (!strncmp(node->name, CONNS_PREFIX, strlen(CONNS_PREFIX))) {
            get_conn(check, node->name)->rekeys++;
        }
    }
}

void
xfrm_check_forget(struct xfrm_check *check)
{
    struct shash_node *node;

    SHASH_FOR_EACH (node, &check->conns) {
        struct conn_check *conn = node->data;

        conn->n_missing = conn->n_lost = conn->n_orphans = 0;
        conn->lost_since = conn->next_attempt = 0;
        conn->n_attempts = 0;
    }
    shash_clear_free_data(&check->sightings);
    check->stale = true;
    check->compared = false;
}

/* What others want to know. */

bool
xfrm_check_is_whole(const struct xfrm_check *check, const char *name)
{
    const struct conn_check *conn = shash_find_data(&check->conns, name);

    return !conn || (!conn->n_lost && !conn->n_missing);
}

static struct json *
repairs_to_json(const struct repairs *repairs)
{
    struct json *json = json_object_create();

    json_object_put(json, "policies", json_integer_create(repairs->policies));
    json_object_put(json, "sas", json_integer_create(repairs->sas));
    json_object_put(json, "orphans", json_integer_create(repairs->orphans));
    return json;
}

static void
put_count(struct ds *ds, unsigned int n, const char *what)
{
    if (n) {
        ds_put_format(ds, "%s%u %s", ds->length ? ", " : "", n, what);
    }
}

void
xfrm_check_put_json(const struct xfrm_check *check, const char *name,
                    struct json *row)
{
    static const struct conn_check nothing = { .n_lost = 0 };
    const struct conn_check *conn = shash_find_data(&check->conns, name);
    struct ds ds = DS_EMPTY_INITIALIZER;

    conn = conn ? conn : &nothing;
    if (check->error) {
        ds_put_cstr(&ds, check->error);
    } else if (!check->compared) {
        ds_put_cstr(&ds, "unknown");
    } else {
        put_count(&ds, conn->n_missing, "policies missing");
        put_count(&ds, conn->n_lost, "SAs lost");
        put_count(&ds, conn->n_orphans, "states without an SA");
    }
    json_object_put_string(row, "kernel", ds.length ? ds_cstr(&ds) : "ok");
    json_object_put(row, "rekeys", json_integer_create(conn->rekeys));
    json_object_put(row, "repairs", repairs_to_json(&conn->repairs));
    ds_destroy(&ds);
}

struct json *
xfrm_check_to_json(const struct xfrm_check *check)
{
    struct json *json = repairs_to_json(&check->repairs);

    json_object_put(json, "error", (check->error
                                    ? json_string_create(check->error)
                                    : json_null_create()));
    return json;
}
