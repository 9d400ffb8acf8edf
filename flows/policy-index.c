/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What has changed, for all of the index: see policy-index.h. */

#include <config.h>
#include "policy-index-private.h"

#include <stdlib.h>
#include <string.h>

#include "util.h"

void
policy_index_init(struct policy_index *pi)
{
    memset(pi, 0, sizeof *pi);
    hmap_init(&pi->policies);
    hmap_init(&pi->conjs);
    hmap_init(&pi->identities);
    hmap_init(&pi->ids);
    hmap_init(&pi->ends);
    hmap_init(&pi->by_pod);
    hmap_init(&pi->addresses);
    ovs_list_init(&pi->dirty_policies);
    ovs_list_init(&pi->dirty_identities);
    ovs_list_init(&pi->dirty_ends);
    ovs_list_init(&pi->stale_policies);
    pi->n_pages = 1;
}

void
index_add_removed(struct policy_index *pi, ovs_be64 cookie)
{
    if (pi->n_removed >= pi->allocated_removed) {
        pi->removed = x2nrealloc(pi->removed, &pi->allocated_removed,
                                 sizeof *pi->removed);
    }
    pi->removed[pi->n_removed++] = cookie;
}

static void
update_object(struct policy_index *pi, const struct model *model,
              const struct model_object *obj)
{
    struct identity *identity;

    switch (obj->kind) {
    case MODEL_POLICY:
        index_update_policy(pi, model, obj);
        break;
    case MODEL_NAMESPACE:
        HMAP_FOR_EACH (identity, key_node, &pi->identities) {
            if (!strcmp(identity->namespace, obj->name)) {
                index_judge_identity(pi, identity, model);
            }
        }
        break;
    case MODEL_POD:
        index_update_end(pi, model, obj);
        index_update_attachments(pi, model, obj);
        break;
    case MODEL_ATTACHMENT:
        index_update_end(pi, model, obj);
        break;
    case MODEL_NODE:
    case MODEL_N_KINDS:
    default:
        break;
    }
}

void
policy_index_update(struct policy_index *pi, const struct model *model,
                    uint64_t since)
{
    struct model_object *obj;

    /* Policies first: those that were replaced are gone from the model. */
    MODEL_FOR_EACH_CHANGED (obj, model, since) {
        if (obj->kind == MODEL_POLICY) {
            update_object(pi, model, obj);
        }
    }
    MODEL_FOR_EACH_CHANGED (obj, model, since) {
        if (obj->kind != MODEL_POLICY) {
            update_object(pi, model, obj);
        }
    }
    index_refresh_named(pi);

    /* Never fewer: otherwise a rule that comes and goes where their number
     * rises would move others each time. */
    unsigned int n_pages = pi->n_pages;
    size_t n = MAX(pi->n_conjs[POLICY_INGRESS], pi->n_conjs[POLICY_EGRESS]);
    while (n_pages < PAGES_MAX && n > n_pages * PAGE_SIZE) {
        n_pages++;
    }
    if (n_pages != pi->n_pages) {
        pi->n_pages = n_pages;
        policy_index_set_dirty(pi);
    }
}

void
policy_index_set_dirty(struct policy_index *pi)
{
    struct identity *identity;
    struct index_policy *ip;
    struct index_end *end;

    HMAP_FOR_EACH (ip, hmap_node, &pi->policies) {
        index_set_dirty(&pi->dirty_policies, &ip->dirty_node);
    }
    HMAP_FOR_EACH (identity, key_node, &pi->identities) {
        index_set_dirty(&pi->dirty_identities, &identity->dirty_node);
    }
    HMAP_FOR_EACH (end, hmap_node, &pi->ends) {
        index_set_dirty(&pi->dirty_ends, &end->dirty_node);
    }
}

static void
clear_list(struct ovs_list *list)
{
    while (!ovs_list_is_empty(list)) {
        index_list_leave(ovs_list_front(list));
    }
}

void
policy_index_clear_dirty(struct policy_index *pi)
{
    clear_list(&pi->dirty_policies);
    clear_list(&pi->dirty_identities);
    clear_list(&pi->dirty_ends);
    pi->n_removed = 0;
}

void
policy_index_destroy(struct policy_index *pi)
{
    struct index_policy *ip;
    struct index_end *end;

    HMAP_FOR_EACH_SAFE (end, hmap_node, &pi->ends) {
        index_end_destroy(pi, end, false);
    }
    HMAP_FOR_EACH_SAFE (ip, hmap_node, &pi->policies) {
        index_policy_remove_rules(pi, ip);
        hmap_remove(&pi->policies, &ip->hmap_node);
        hmapx_destroy(&ip->identities);
        free(ip->namespace);
        free(ip->name);
        free(ip);
    }
    hmap_destroy(&pi->policies);
    hmap_destroy(&pi->conjs);
    hmap_destroy(&pi->identities);
    hmap_destroy(&pi->ids);
    hmap_destroy(&pi->ends);
    hmap_destroy(&pi->by_pod);
    hmap_destroy(&pi->addresses);
    free(pi->removed);
}
