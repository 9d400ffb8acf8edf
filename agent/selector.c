/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Label selectors: see selector.h. */

#include <config.h>
#include "agent/selector.h"

#include <stdlib.h>
#include <string.h>

#include "agent/names.h"
#include "agent/yaml-report.h"
#include "smap.h"
#include "svec.h"
#include "util.h"

static const char *const op_names[] = {
    [SELECTOR_IN] = "In",
    [SELECTOR_NOT_IN] = "NotIn",
    [SELECTOR_EXISTS] = "Exists",
    [SELECTOR_DOES_NOT_EXIST] = "DoesNotExist",
    NULL
};

static void parse_requirement(const struct yaml_node *, struct yaml_report *,
                              struct selector *);

/* Whether 's', found at 'node', can be the key of a label. */
static bool
check_key(const struct yaml_node *node, struct yaml_report *report,
          const char *s)
{
    if (!name_is_label_key(s)) {
        yaml_error(report, node, "\"%s\" cannot be the key of a label: "
                   NAME_LABEL_KEY, s);
        return false;
    }
    return true;
}

/* Stores into '*value' the value of a label, that 'node' holds.  Null is the
 * empty string, as it is for the API server. */
static bool
parse_value(const struct yaml_node *node, struct yaml_report *report,
            const char **value)
{
    const char *s = "";

    if (!yaml_is_null(node) && !yaml_string(report, node, &s)) {
        return false;
    } else if (!name_is_label_value(s)) {
        yaml_error(report, node, "\"%s\" cannot be the value of a label: "
                   NAME_LABEL_VALUE, s);
        return false;
    }
    *value = s;
    return true;
}

static int
compare_requirements(const void *a_, const void *b_)
{
    const struct selector_requirement *a = a_;
    const struct selector_requirement *b = b_;
    int cmp = strcmp(a->key, b->key);

    if (!cmp) {
        cmp = a->op < b->op ? -1 : a->op > b->op;
    }
    for (size_t i = 0; !cmp && i < a->n_values && i < b->n_values; i++) {
        cmp = strcmp(a->values[i], b->values[i]);
    }
    return (cmp ? cmp
            : a->n_values < b->n_values ? -1 : a->n_values > b->n_values);
}

/* Takes ownership of what is in 'values'. */
static void
add_requirement(struct selector *sel, const char *key, enum selector_op op,
                struct svec *values)
{
    struct selector_requirement *req;

    svec_sort_unique(values);
    sel->reqs = xrealloc(sel->reqs, (sel->n_reqs + 1) * sizeof *sel->reqs);
    req = &sel->reqs[sel->n_reqs++];
    req->key = xstrdup(key);
    req->op = op;
    req->values = values->names;
    req->n_values = values->n;
    svec_init(values);
}

void
selector_parse(const struct yaml_node *node, struct yaml_report *report,
               struct selector *sel)
{
    static const char *const keys[] = {
        "matchLabels", "matchExpressions", NULL
    };
    const struct yaml_node *labels = yaml_get(node, "matchLabels");
    const struct yaml_node *exprs = yaml_get(node, "matchExpressions");

    *sel = (struct selector) { .n_reqs = 0 };
    if (node) {
        yaml_expect_keys(report, node, keys);
    }
    if (labels && yaml_expect(report, labels, YAML_MAPPING)) {
        for (size_t i = 0; i < labels->n; i++) {
            const struct yaml_node *child = labels->children[i];
            struct svec values = SVEC_EMPTY_INITIALIZER;
            const char *value;

            if (check_key(child, report, child->key)
                && parse_value(child, report, &value)) {
                svec_add(&values, value);
                add_requirement(sel, child->key, SELECTOR_IN, &values);
            }
        }
    }
    if (exprs && yaml_expect(report, exprs, YAML_SEQUENCE)) {
        for (size_t i = 0; i < exprs->n; i++) {
            parse_requirement(exprs->children[i], report, sel);
        }
    }
    if (sel->n_reqs) {
        qsort(sel->reqs, sel->n_reqs, sizeof *sel->reqs,
              compare_requirements);
    }
}

/* Adds an entry of matchExpressions to 'sel'. */
static void
parse_requirement(const struct yaml_node *node, struct yaml_report *report,
                  struct selector *sel)
{
    static const char *const keys[] = { "key", "operator", "values", NULL };
    const struct yaml_node *key_node = yaml_get(node, "key");
    const struct yaml_node *op_node = yaml_get(node, "operator");
    const struct yaml_node *values_node = yaml_get(node, "values");
    struct svec values = SVEC_EMPTY_INITIALIZER;
    const char *key = NULL, *value;
    int op;

    if (!yaml_expect_keys(report, node, keys)) {
        return;
    } else if (!key_node || !op_node) {
        yaml_error(report, node, "%s is missing",
                   key_node ? "operator" : "key");
        return;
    } else if (!yaml_string(report, key_node, &key)
               || !check_key(key_node, report, key)
               || !yaml_enum(report, op_node, op_names, &op)
               || (values_node
                   && !yaml_expect(report, values_node, YAML_SEQUENCE))) {
        return;
    }
    for (size_t i = 0; values_node && i < values_node->n; i++) {
        if (parse_value(values_node->children[i], report, &value)) {
            svec_add(&values, value);
        }
    }
    size_t n_given = values_node ? values_node->n : 0;
    bool wants_values = op == SELECTOR_IN || op == SELECTOR_NOT_IN;
    if (wants_values && !n_given) {
        yaml_error(report, values_node ? values_node : node,
                   "%s needs a list of values", op_names[op]);
    } else if (!wants_values && n_given) {
        yaml_error(report, values_node, "%s takes no values; remove them",
                   op_names[op]);
    } else {
        add_requirement(sel, key, op, &values);
    }
    svec_destroy(&values);
}

void
selector_destroy(struct selector *sel)
{
    for (size_t i = 0; i < sel->n_reqs; i++) {
        struct selector_requirement *req = &sel->reqs[i];

        for (size_t j = 0; j < req->n_values; j++) {
            free(req->values[j]);
        }
        free(req->values);
        free(req->key);
    }
    free(sel->reqs);
}

bool
selector_equals(const struct selector *a, const struct selector *b)
{
    if (a->n_reqs != b->n_reqs) {
        return false;
    }
    for (size_t i = 0; i < a->n_reqs; i++) {
        if (compare_requirements(&a->reqs[i], &b->reqs[i])) {
            return false;
        }
    }
    return true;
}

static int
compare_strings(const void *a, const void *b)
{
    return strcmp(*(char *const *) a, *(char *const *) b);
}

static bool
requirement_holds(const struct selector_requirement *req,
                  const struct smap *labels)
{
    const char *value = smap_get(labels, req->key);
    bool among = (value && req->n_values
                  && bsearch(&value, req->values, req->n_values,
                             sizeof *req->values, compare_strings));

    switch (req->op) {
    case SELECTOR_IN:
        return among;
    case SELECTOR_NOT_IN:
        return !among;
    case SELECTOR_EXISTS:
        return value != NULL;
    case SELECTOR_DOES_NOT_EXIST:
        return !value;
    default:
        OVS_NOT_REACHED();
    }
}

bool
selector_matches(const struct selector *sel, const struct smap *labels)
{
    for (size_t i = 0; i < sel->n_reqs; i++) {
        if (!requirement_holds(&sel->reqs[i], labels)) {
            return false;
        }
    }
    return true;
}

void
labels_parse(const struct yaml_node *node, struct yaml_report *report,
             struct smap *labels)
{
    if (!node || !yaml_expect(report, node, YAML_MAPPING)) {
        return;
    }
    for (size_t i = 0; i < node->n; i++) {
        const struct yaml_node *child = node->children[i];
        const char *value;

        if (check_key(child, report, child->key)
            && parse_value(child, report, &value)) {
            smap_add(labels, child->key, value);
        }
    }
}
