/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The comparison with the kernel: see xfrm-diff.h. */

#include <config.h>
#include "xfrm-diff.h"

#include <stdlib.h>
#include <string.h>
#include "conns.h"
#include "openvswitch/json.h"
#include "openvswitch/shash.h"
#include "sset.h"
#include "util.h"

/* A CHILD SA in charon's list. */
struct child {
    const char *conn, *ike, *id, *name;
    uint32_t reqid;
    uint32_t spi_in, spi_out;   /* 0 where there is none yet. */
    bool in_use;                /* It carries traffic, as far as charon
                                 * knows. */
    const struct xfrm_sa *in, *out; /* In the kernel, or NULL. */
};

struct children {
    struct child *elems;
    size_t n;
};

#define APPEND(ARRAY, N)                                                \
    ((ARRAY) = xrealloc(ARRAY, ((N) + 1) * sizeof *(ARRAY)),            \
     memset(&(ARRAY)[N], 0, sizeof *(ARRAY)), &(ARRAY)[(N)++])

static const char *
get(const struct json *object, const char *name)
{
    const struct json *value = shash_find_data(json_object(object), name);

    return value && value->type == JSON_STRING ? json_string(value) : "";
}

static const struct json *
get_object(const struct json *object, const char *name)
{
    const struct json *value = shash_find_data(json_object(object), name);

    return value && value->type == JSON_OBJECT ? value : NULL;
}

static const struct xfrm_sa *
find_sa(const struct xfrm_db *db, uint32_t spi, uint32_t reqid)
{
    for (size_t i = 0; spi && i < db->n_sas; i++) {
        if (db->sas[i].spi == spi && db->sas[i].reqid == reqid) {
            return &db->sas[i];
        }
    }
    return NULL;
}

static void
add_children(const struct xfrm_db *db, const char *conn,
             const struct json *ike, struct children *children)
{
    const struct json *list = get_object(ike, "child-sas");
    const struct shash_node *node;

    if (!list) {
        return;
    }
    SHASH_FOR_EACH (node, json_object(list)) {
        const struct json *sa = node->data;
        struct child *c;

        if (sa->type != JSON_OBJECT) {
            continue;
        }
        c = APPEND(children->elems, children->n);
        c->conn = conn;
        c->ike = get(ike, "uniqueid");
        c->id = get(sa, "uniqueid");
        c->name = get(sa, "name");
        c->reqid = strtoul(get(sa, "reqid"), NULL, 10);
        c->spi_in = strtoul(get(sa, "spi-in"), NULL, 16);
        c->spi_out = strtoul(get(sa, "spi-out"), NULL, 16);
        c->in_use = (!strcmp(get(sa, "state"), "INSTALLED")
                     || !strcmp(get(sa, "state"), "REKEYING"));
        c->in = find_sa(db, c->spi_in, c->reqid);
        c->out = find_sa(db, c->spi_out, c->reqid);
    }
}

/* Lists the children of our connections that charon has. */
static void
list_children(const struct xfrm_db *db, const struct json *sas,
              struct children *children)
{
    const struct shash_node *node;

    for (size_t i = 0; i < sas->array.n; i++) {
        const struct json *event = sas->array.elems[i];

        if (event->type != JSON_OBJECT) {
            continue;
        }
        SHASH_FOR_EACH (node, json_object(event)) {
            const struct json *ike = node->data;

            if (!strncmp(node->name, CONNS_PREFIX, strlen(CONNS_PREFIX))
                && ike->type == JSON_OBJECT) {
                add_children(db, node->name, ike, children);
            }
        }
    }
}

static bool
is_whole(const struct child *child)
{
    return child->in_use && child->in && child->out;
}

static bool
has_replacement(const struct children *children, const struct child *lost)
{
    for (size_t i = 0; i < children->n; i++) {
        const struct child *c = &children->elems[i];

        if (is_whole(c) && c->reqid == lost->reqid
            && !strcmp(c->conn, lost->conn) && !strcmp(c->name, lost->name)) {
            return true;
        }
    }
    return false;
}

static void
find_lost(const struct children *children, const struct sset *held,
          struct xfrm_diff *diff)
{
    for (size_t i = 0; i < children->n; i++) {
        const struct child *c = &children->elems[i];

        if (c->in_use && !is_whole(c) && c->spi_in && c->spi_out
            && sset_contains(held, c->conn)) {
            struct xfrm_lost *lost = APPEND(diff->lost, diff->n_lost);

            lost->conn = c->conn;
            lost->ike = c->ike;
            lost->child = c->id;
            lost->replaced = has_replacement(children, c);
        }
    }
}

/* The connection that has a child of 'reqid', or NULL. */
static const char *
find_conn(const struct shash *wanted, uint32_t reqid)
{
    const struct shash_node *node, *child;

    SHASH_FOR_EACH (node, wanted) {
        SHASH_FOR_EACH (child, json_object(get_object(node->data,
                                                      "children"))) {
            if (strtoul(get(child->data, "reqid"), NULL, 10) == reqid) {
                return node->name;
            }
        }
    }
    return NULL;
}

static void
find_orphans(const struct xfrm_db *db, const struct children *children,
             const struct shash *wanted, struct xfrm_diff *diff)
{
    for (size_t i = 0; i < db->n_sas; i++) {
        const struct xfrm_sa *sa = &db->sas[i];
        struct xfrm_orphan *orphan;
        bool known = !sa->keyed, replaced = false;

        for (size_t j = 0; j < children->n; j++) {
            const struct child *c = &children->elems[j];

            known |= c->in == sa || c->out == sa;
            replaced |= (is_whole(c) && c->reqid == sa->reqid
                         && (c->in->packets || c->out->packets));
        }
        if (!known) {
            orphan = APPEND(diff->orphans, diff->n_orphans);
            orphan->sa = *sa;
            orphan->conn = find_conn(wanted, sa->reqid);
            orphan->replaced = replaced || !orphan->conn;
        }
    }
}

/* Compares the policies: which are missing, which are 'needed'. */
static void
find_missing(const struct xfrm_db *db, const struct shash *wanted,
             const struct sset *held, bool needed[], struct xfrm_diff *diff)
{
    const struct shash_node *node, *child;

    SHASH_FOR_EACH (node, wanted) {
        SHASH_FOR_EACH (child, json_object(get_object(node->data,
                                                      "children"))) {
            struct xfrm_policy policies[2];

            if (!xfrm_policies_from_child(child->data, policies)) {
                continue;
            }
            for (size_t p = 0; p < ARRAY_SIZE(policies); p++) {
                bool present = false;

                for (size_t i = 0; i < db->n_policies; i++) {
                    if (xfrm_policy_equals(&db->policies[i], &policies[p])) {
                        needed[i] = present = true;
                    }
                }
                if (!present && sset_contains(held, node->name)) {
                    struct xfrm_missing *missing
                        = APPEND(diff->missing, diff->n_missing);

                    missing->conn = node->name;
                    missing->policy = policies[p];
                }
            }
        }
    }
}

void
xfrm_diff_derive(const struct xfrm_db *db, const struct shash *wanted,
                 const struct sset *held, const struct json *sas,
                 struct xfrm_diff *diff)
{
    bool *needed = xcalloc(db->n_policies + 1, sizeof *needed);
    struct children children = { .n = 0 };

    memset(diff, 0, sizeof *diff);
    find_missing(db, wanted, held, needed, diff);
    for (size_t i = 0; i < db->n_policies; i++) {
        if (!needed[i]) {
            *APPEND(diff->unwanted, diff->n_unwanted) = db->policies[i];
        }
    }
    free(needed);

    list_children(db, sas, &children);
    find_lost(&children, held, diff);
    find_orphans(db, &children, wanted, diff);
    free(children.elems);
}

void
xfrm_diff_clear(struct xfrm_diff *diff)
{
    free(diff->missing);
    free(diff->unwanted);
    free(diff->lost);
    free(diff->orphans);
    memset(diff, 0, sizeof *diff);
}
