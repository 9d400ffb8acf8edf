/* SPDX-License-Identifier: GPL-3.0-or-later */
/* How SAs begin, and how new ones replace old ones without loss.
 *
 * Where both nodes want to send at once, whoever has asked for a CHILD_SA has
 * the receiver's half of it later than the other has the sender's: what the
 * other sends meanwhile is lost.  So each node asks for the CHILD_SA that it
 * sends into: "out", and the peer for what is "in" here.  The IKE SA is begun
 * by the node whose name comes first in the alphabet.  If one of them does not
 * do its part, the other does it some seconds later.
 *
 * An IKE SA is replaced by another one with its own children.  Both kinds
 * carry traffic then, and the kernel sends into the newest.  Once the newest
 * IKE SA has all children, and these are the newest, the others end.  So there
 * is no need to agree on a time: the node that wants another IKE SA begins it,
 * and the other one sees that the newest lacks its "out".
 *
 * charon adds a child to an IKE SA that has been made from a connection equal
 * to the present one.  So that it does not take the old one, the connection is
 * changed a little, in its "over_time", each time that an IKE SA has all of
 * its children: whatever begins after that becomes a new IKE SA, on both
 * nodes. */

#include <config.h>
#include "ike-private.h"

#include <stdlib.h>
#include <string.h>

#include "openvswitch/poll-loop.h"
#include "openvswitch/vlog.h"
#include "random.h"
#include "timeval.h"
#include "util.h"

VLOG_DEFINE_THIS_MODULE(ike_renew);

/* Times, in ms. */
#define OWN_GRACE 300           /* Before this node adds what it starts to an
                                 * IKE SA, which may come with it. */
#define RIVAL_GRACE 8000        /* The same while the peer should end another
                                 * one, to which charon might add it. */
#define OTHER_GRACE 4000        /* Before it starts what the peer should
                                 * have, */
#define OTHER_LOSSY_GRACE 10000 /* if that loses what the peer sends. */
#define START_INTERVAL 10000    /* Between attempts. */
#define REAUTH_OTHER 10000      /* Before it has the peer authenticate itself
                                 * where that should have begun it. */
#define MISFIT_INTERVAL 600000  /* Between replacements of SAs that differ from
                                 * what is wanted; that may not help. */
#define SETTLE_TIME 2000        /* From a whole IKE SA to the end of others; */
#define SETTLE_OTHER 5000       /* where the peer should be quicker. */
#define REKEY_INTERVAL 5000     /* Between rekeyings of what others outrun. */
#define OUTRUN_TIME 15000       /* After it, others end nevertheless. */
#define DOUBLING_TIME 5000      /* How long one may be under way beside it. */
#define END_TIME 4              /* In s: how long its end may take. */

/* Seconds of an IKE SA's "over_time", to which the generation is added. */
#define OVER_TIME 1440
#define N_GENERATIONS 1000

void
ike_renewal_init(struct ike_renewal *r)
{
    memset(r, 0, sizeof *r);
    /* What is there may be of an earlier agent's generations. */
    r->generation = random_range(N_GENERATIONS);
    simap_init(&r->births);
    simap_init(&r->asked);
    simap_init(&r->stale);
}

void
ike_renewal_destroy(struct ike_renewal *r)
{
    simap_destroy(&r->births);
    simap_destroy(&r->asked);
    simap_destroy(&r->stale);
    free(r->current);
    free(r->prepared);
    free(r->doubling);
}

void
ike_renewal_reset(struct ike_renewal *r)
{
    unsigned int generation = r->generation;

    /* The body does not change. */
    ike_renewal_destroy(r);
    ike_renewal_init(r);
    r->generation = generation;
}

void
ike_conn_write(struct ike_conn *conn)
{
    free(conn->text);
    json_object_put_format(conn->wanted, "over_time", "%us",
                           OVER_TIME + conn->renewal.generation);
    conn->text = json_to_string(conn->wanted, JSSF_SORT);
}

/* Leaves all IKE SAs behind: none gets another child. */
static void
next_generation(struct ike_conn *conn)
{
    struct ike_renewal *r = &conn->renewal;

    r->generation = (r->generation + 1) % N_GENERATIONS;
    if (conn->wanted) {
        ike_conn_write(conn);
    }
}

/* The IKE SA 'id' is to go: from when it was first said so.  Where that was
 * long ago, as this agent was not there, half the time is left to replace
 * it. */
static void
mark_stale(struct ike_conn *conn, const char *id, unsigned int since)
{
    struct ike_renewal *r = &conn->renewal;
    unsigned int half = conn->ike->settings.renew_within / 2;

    if (!simap_contains(&r->stale, id)) {
        simap_put(&r->stale, id, MAX(since + half, time_msec() / 1000) - half);
    }
}

void
ike_conn_renew(struct ike_conn *conn, unsigned int since)
{
    struct ike_renewal *r = &conn->renewal;

    for (size_t i = 0; i < conn->sas.n_established; i++) {
        mark_stale(conn, conn->sas.established[i].id, since);
    }
    r->marking = MAX(since, 1);
    next_generation(conn);
}

bool
ike_conn_is_renewing(const struct ike_conn *conn)
{
    return conn->renewal.marking || !simap_is_empty(&conn->renewal.stale);
}

void
ike_conn_loaded(struct ike_conn *conn)
{
    struct ike_renewal *r = &conn->renewal;

    if (r->marking) {
        ike_look_soon(conn->ike, time_msec());
    }
    if (!r->current) {
        r->since = time_msec();
        r->starts[0].next = r->starts[1].next = 0;
    }
}

/* Whether this node begins IKE SAs with the peer. */
static bool
is_starter(const struct ike_conn *conn)
{
    return strcmp(conn->ike->self, conn->name + strlen(CONNS_PREFIX)) < 0;
}

/* Whether this node asks for the child 'name'. */
static bool
is_own(const char *name)
{
    return !strcmp(name, "out");
}

static const struct shash *
children(const struct ike_conn *conn)
{
    return json_object(shash_find_data(json_object(conn->wanted),
                                       "children"));
}

/* Whether the IKE SA 'id' has all children. */
static bool
is_whole(const struct ike_conn *conn, const char *id)
{
    const struct shash_node *node;

    SHASH_FOR_EACH (node, children(conn)) {
        if (!ike_sas_has_child(&conn->sas, node->name, id)) {
            return false;
        }
    }
    return true;
}

/* Whether 'sa' is not whole yet, and was begun at the same time as 'other':
 * by the other node, most likely. */
static bool
is_rival(const struct ike_conn *conn, const struct ike_sa *sa,
         const struct ike_sa *other)
{
    return (!simap_contains(&conn->renewal.stale, sa->id)
            && llabs(sa->age - other->age) <= 2
            && !is_whole(conn, sa->id));
}

/* Chooses the IKE SA that is to have all children: the newest.  Where both
 * nodes have begun one at the same time, which is newer may be seen in two
 * ways, so the smaller SPI decides. */
static const struct ike_sa *
choose(const struct ike_conn *conn)
{
    const struct ike_renewal *r = &conn->renewal;
    const struct ike_sa *newest = NULL, *best;

    for (size_t i = 0; i < conn->sas.n_established; i++) {
        const struct ike_sa *sa = &conn->sas.established[i];

        if (!simap_contains(&r->stale, sa->id)
            && (!newest || (simap_get(&r->births, sa->id)
                            > simap_get(&r->births, newest->id)))) {
            newest = sa;
        }
    }
    if (!newest || is_whole(conn, newest->id)) {
        return newest;
    }
    best = newest;
    for (size_t i = 0; i < conn->sas.n_established; i++) {
        const struct ike_sa *sa = &conn->sas.established[i];

        if (is_rival(conn, sa, newest) && strcmp(sa->spi, best->spi) < 0) {
            best = sa;
        }
    }
    return best;
}

/* Forgets what 'map' has of IKE SAs that are not there any more, when that is
 * a lot: charon tells of some before it lists them. */
static void
forget(struct simap *map, const struct ike_sas *sas)
{
    struct simap_node *node, *next;

    if (simap_count(map) < 16 + sas->n_established) {
        return;
    }
    SIMAP_FOR_EACH_SAFE (node, next, map) {
        bool found = false;

        for (size_t i = 0; i < sas->n_established && !found; i++) {
            found = !strcmp(sas->established[i].id, node->name);
        }
        if (!found) {
            simap_delete(map, node);
        }
    }
}

/* Notes the IKE SAs that are new, and those that are to go. */
static void
note_sas(struct ike_conn *conn)
{
    struct ike_renewal *r = &conn->renewal;
    bool any_stale = false;

    for (size_t i = 0; i < conn->sas.n_established; i++) {
        const char *id = conn->sas.established[i].id;

        if (!simap_contains(&r->births, id)) {
            simap_put(&r->births, id, strtoul(id, NULL, 10));
        }
        if (r->marking) {
            mark_stale(conn, id, r->marking);
        }
        any_stale = any_stale || simap_contains(&r->stale, id);
    }
    /* If charon was asked after it had taken the new generation. */
    if (ike_conn_is_loaded(conn)) {
        r->marking = 0;
    }
    if (!any_stale) {
        simap_clear(&r->stale);
    }
    forget(&r->births, &conn->sas);
    forget(&r->asked, &conn->sas);
}

/* Replaces SAs that are not as they are wanted, as when the configuration has
 * been changed while no agent ran. */
static void
replace_misfits(struct ike_conn *conn)
{
    struct ike_renewal *r = &conn->renewal;

    if (conn->sas.misfit && ike_conn_is_loaded(conn)
        && !ike_conn_is_renewing(conn) && time_msec() >= r->next_misfit) {
        VLOG_INFO("%s: replacing SAs: %s are not as configured", conn->name,
                  conn->sas.misfit);
        r->next_misfit = time_msec() + MISFIT_INTERVAL;
        conn->ike->repairs.misfits++;
        ike_conn_renew(conn, time_msec() / 1000);
    }
}

/* From a whole IKE SA to the end of the others, in ms. */
static long long int
settle_time(const struct ike_conn *conn)
{
    return is_starter(conn) ? SETTLE_TIME : SETTLE_OTHER;
}

/* Has charon end the IKE SA 'id', which another one has replaced, unless that
 * has 'begun' already.  That waits for what is on its way in it; where the
 * peer has ended it before, or has never had it whole, there is no answer to
 * that. */
static void
end_replaced(struct ike_conn *conn, const char *id, bool begun)
{
    struct ike_renewal *r = &conn->renewal;
    unsigned int now = time_msec() / 1000;
    bool asked = simap_contains(&r->asked, id);

    if (asked && now < simap_get(&r->asked, id) + END_TIME) {
        return;
    }
    if (asked || !begun) {
        VLOG_INFO("%s: %s IKE SA %s, which %s has replaced", conn->name,
                  asked ? "giving up" : "ending", id, r->current);
        ike_terminate(conn->ike->client, "ike-id", id, asked);
    }
    simap_put(&r->asked, id, now);
    ike_look_soon(conn->ike, time_msec() + END_TIME * 1000);
}

/* Has charon end the children of the IKE SA 'id' before that.  The peer's
 * charon destroys the states of a CHILD_SA before it answers; those of an
 * IKE SA after it has, and packets that it sends in between would be lost. */
static void
end_children(struct ike_conn *conn, const char *id)
{
    for (size_t i = 0; i < conn->sas.n_children; i++) {
        const struct ike_child *child = &conn->sas.children[i];

        if (!strcmp(child->ike, id)) {
            ike_terminate(conn->ike->client, "child-id", child->id, false);
        }
    }
}

/* Where both nodes have begun an IKE SA, charon may add a child to either.  So
 * those but 'chosen' end before that.  The node that only receives by one ends
 * it: when it does not receive any more, the other one, which waits for that,
 * sends into what there was before.  What comes where there was nothing before
 * is lost. */
static void
end_rivals(struct ike_conn *conn, const struct ike_sa *chosen)
{
    struct ike_renewal *r = &conn->renewal;

    for (size_t i = 0; !r->whole && i < conn->sas.n_established; i++) {
        const struct ike_sa *sa = &conn->sas.established[i];

        if (sa != chosen && is_rival(conn, sa, chosen)) {
            r->rivals = true;
            if (!ike_sas_has_child(&conn->sas, "out", sa->id)) {
                if (!simap_contains(&r->asked, sa->id)) {
                    end_children(conn, sa->id);
                }
                end_replaced(conn, sa->id, false);
            }
        }
    }
}

/* Returns the youngest child 'name' of the chosen IKE SA ('current') or of the
 * others; NULL if there is none. */
static const struct ike_child *
youngest(const struct ike_conn *conn, const char *name, bool current)
{
    const struct ike_child *best = NULL;

    for (size_t i = 0; i < conn->sas.n_children; i++) {
        const struct ike_child *child = &conn->sas.children[i];

        if (!strcmp(child->name, name)
            && !strcmp(child->ike, conn->renewal.current) == current
            && (!best || ike_child_is_younger(child, best))) {
            best = child;
        }
    }
    return best;
}

/* Whether another IKE SA has a child that is younger than the chosen one's, or
 * is about to have one: the kernel of the node that it is the "out" of sends
 * into it.  So it does where charon has rekeyed it before the end of its IKE
 * SA; then "out" of the chosen one is rekeyed, to be the youngest again. */
static bool
is_outrun(struct ike_conn *conn)
{
    struct ike_renewal *r = &conn->renewal;
    const struct shash_node *node;
    bool outrun = false;

    for (size_t i = 0; i < conn->sas.n_children; i++) {
        const struct ike_child *child = &conn->sas.children[i];

        outrun |= child->rekeying && strcmp(child->ike, r->current);
    }
    SHASH_FOR_EACH (node, children(conn)) {
        const struct ike_child *ours = youngest(conn, node->name, true);
        const struct ike_child *other = youngest(conn, node->name, false);

        if (ours && other && ike_child_is_younger(other, ours)) {
            outrun = true;
            if (is_own(node->name) && time_msec() >= r->next_rekey) {
                VLOG_INFO("%s: rekeying CHILD SA %s, as IKE SA %s, which is "
                          "to end, has a younger one", conn->name, ours->id,
                          other->ike);
                ike_rekey_child(conn->ike->client, ours->id);
                r->next_rekey = time_msec() + REKEY_INTERVAL;
            }
        }
    }
    return outrun;
}

/* Ends the IKE SAs that another one has replaced, or that have been stale for
 * too long. */
static void
end_sas(struct ike_conn *conn)
{
    const struct ike_renewal *r = &conn->renewal;
    const struct ike *ike = conn->ike;
    long long int now = time_msec();
    bool outrun = r->whole && is_outrun(conn);
    bool replaced = (r->whole && now >= r->whole + settle_time(conn)
                     && (!outrun || now >= r->whole + OUTRUN_TIME));

    for (size_t i = 0; i < conn->sas.n_established; i++) {
        const char *id = conn->sas.established[i].id;

        if (r->current && !strcmp(id, r->current)) {
            continue;
        } else if (replaced) {
            end_replaced(conn, id, false);
        } else if (simap_contains(&r->stale, id)
                   && (now / 1000 >= simap_get(&r->stale, id)
                       + ike->settings.renew_within)) {
            VLOG_WARN("%s: ending IKE SA %s: no other could replace it in "
                      "time", conn->name, id);
            ike_terminate(ike->client, "ike-id", id, true);
        }
    }
    if (r->whole && conn->sas.ending) {
        end_replaced(conn, conn->sas.ending, true);
    }
}

/* Has charon give up the IKE SA that has been under way for some time while
 * another one is whole.  Not at once: the peer may have it already, and would
 * not be told of its end. */
static void
end_doubling(struct ike_conn *conn)
{
    struct ike_renewal *r = &conn->renewal;
    const char *id = r->whole ? conn->sas.connecting : NULL;
    long long int now = time_msec();

    if (!nullable_string_is_equal(id, r->doubling)) {
        ike_set_string(&r->doubling, id);
        r->doubling_since = now;
    } else if (id && now >= r->doubling_since + DOUBLING_TIME) {
        ike_terminate(conn->ike->client, "ike-id", id, true);
    }
}

void
ike_conn_look(struct ike_conn *conn)
{
    struct ike_renewal *r = &conn->renewal;
    long long int now = time_msec();
    const struct ike_sa *sa;

    note_sas(conn);
    if (!conn->wanted) {
        return;
    }
    replace_misfits(conn);
    sa = choose(conn);
    if (!nullable_string_is_equal(sa ? sa->id : NULL, r->current)) {
        ike_set_string(&r->current, sa ? sa->id : NULL);
        r->since = now;
        r->known_since = now - (sa ? sa->age * 1000LL : 0);
        r->whole = 0;
        memset(r->starts, 0, sizeof r->starts);
    }
    if (!sa || !is_whole(conn, sa->id)) {
        r->whole = 0;
    } else if (!r->whole) {
        r->whole = now;
        ike_look_soon(conn->ike, now + settle_time(conn));
        if (!nullable_string_is_equal(r->prepared, r->current)) {
            ike_set_string(&r->prepared, r->current);
            next_generation(conn);
        }
    }
    r->rivals = false;
    if (sa) {
        end_rivals(conn, sa);
    }
    end_sas(conn);
    end_doubling(conn);
}

/* Returns charon's number of the IKE SA at 'which' in 'sas', or NULL. */
static const char *
rekeyed_id(const struct json *sas, const char *which)
{
    const struct json *sa = (sas->type == JSON_OBJECT
                             ? shash_find_data(json_object(sas), which)
                             : NULL);
    const struct json *id = (sa && sa->type == JSON_OBJECT
                             ? shash_find_data(json_object(sa), "uniqueid")
                             : NULL);

    return id && id->type == JSON_STRING ? json_string(id) : NULL;
}

void
ike_take_rekey(struct ike *ike, const struct json *message)
{
    const struct shash_node *node;

    SHASH_FOR_EACH (node, json_object(message)) {
        struct ike_conn *conn = shash_find_data(&ike->conns, node->name);
        const char *old = rekeyed_id(node->data, "old");
        const char *new = rekeyed_id(node->data, "new");

        if (conn && old && new) {
            struct ike_renewal *r = &conn->renewal;

            simap_put(&r->births, new, (simap_contains(&r->births, old)
                                        ? simap_get(&r->births, old)
                                        : strtoul(old, NULL, 10)));
            if (simap_contains(&r->stale, old)) {
                simap_put(&r->stale, new, simap_get(&r->stale, old));
            }
            if (r->current && !strcmp(r->current, old)) {
                ike_set_string(&r->current, new);
            }
            if (r->prepared && !strcmp(r->prepared, old)) {
                ike_set_string(&r->prepared, new);
            }
        }
    }
}

/* When 'conn' must be authenticated again.  The node that begins IKE SAs does
 * it earlier than the other, which does not rely on it. */
static long long int
reauth_time(const struct ike_conn *conn)
{
    long long int reauth = conn->ike->settings.reauth;

    return (reauth && conn->renewal.current
            ? (conn->renewal.known_since + reauth
               + (is_starter(conn) ? 0 : REAUTH_OTHER))
            : LLONG_MAX);
}

/* Whether there are children beside those of the chosen IKE SA. */
static bool
has_older_children(const struct ike_conn *conn)
{
    for (size_t i = 0; i < conn->sas.n_children; i++) {
        if (strcmp(conn->sas.children[i].ike, conn->renewal.current)) {
            return true;
        }
    }
    return false;
}

/* When the children that this node starts ('own') or the peer should are to
 * be started. */
static long long int
start_time(const struct ike_conn *conn, bool own)
{
    const struct ike_renewal *r = &conn->renewal;
    long long int grace;

    if (r->current) {
        grace = (own ? r->rivals ? RIVAL_GRACE : OWN_GRACE
                 : has_older_children(conn) ? OTHER_LOSSY_GRACE : OTHER_GRACE);
    } else if (own) {
        grace = is_starter(conn) ? 0 : OTHER_GRACE;
    } else {
        return LLONG_MAX;
    }
    return MAX(r->starts[own].next, r->since + grace);
}

/* Starts the children of 'conn' that the chosen IKE SA lacks and that this
 * node starts ('own') or the peer should. */
static void
start_children(struct ike_conn *conn, bool own)
{
    struct ike_renewal *r = &conn->renewal;
    struct ike_starts *starts = &r->starts[own];
    const struct shash_node *node;

    if (starts->n && conn->sas.n_established) {
        /* charon has put it into another IKE SA. */
        starts->n = 0;
        next_generation(conn);
        return;
    }
    SHASH_FOR_EACH (node, children(conn)) {
        struct json *message;

        /* Without an IKE SA, one child begins it. */
        if ((r->current ? is_own(node->name) != own
             : !strcmp(node->name, "in"))
            || (r->current && ike_sas_has_child(&conn->sas, node->name,
                                                r->current))) {
            continue;
        }
        starts->n++;
        message = json_object_create();
        json_object_put_string(message, "ike", conn->name);
        json_object_put_string(message, "child", node->name);
        json_object_put_string(message, "timeout", "-1");
        ike_client_ask(conn->ike->client, "initiate", message, NULL, NULL,
                       NULL);
    }
    starts->next = time_msec() + START_INTERVAL;
}

/* Whether 'conn' lacks something that could be started now. */
static bool
wants_start(const struct ike_conn *conn)
{
    return (ike_conn_is_loaded(conn) && !conn->sas.n_connecting
            && !conn->renewal.whole && !conn->renewal.marking);
}

void
ike_renew_run(struct ike *ike)
{
    struct shash_node *node;

    SHASH_FOR_EACH (node, &ike->conns) {
        struct ike_conn *conn = node->data;

        if (time_msec() >= reauth_time(conn)) {
            conn->renewal.known_since = time_msec();
            ike_conn_renew(conn, time_msec() / 1000);
        }
        for (int own = 1; own >= 0; own--) {
            if (wants_start(conn) && time_msec() >= start_time(conn, own)) {
                start_children(conn, own);
            }
        }
    }
}

void
ike_renew_wait(const struct ike *ike)
{
    const struct shash_node *node;

    SHASH_FOR_EACH (node, &ike->conns) {
        const struct ike_conn *conn = node->data;

        poll_timer_wait_until(reauth_time(conn));
        if (wants_start(conn)) {
            poll_timer_wait_until(start_time(conn, true));
            poll_timer_wait_until(start_time(conn, false));
        }
    }
}
