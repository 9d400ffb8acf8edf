/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Labels and label selectors, as Kubernetes' API has them
 * (apimachinery's meta/v1 LabelSelector). */

#ifndef LATEEN_SELECTOR_H
#define LATEEN_SELECTOR_H 1

#include <stdbool.h>
#include <stddef.h>

struct smap;
struct yaml_node;
struct yaml_report;

/* How a requirement judges the value of a label. */
enum selector_op {
    SELECTOR_IN,                /* Present, with one of the values. */
    SELECTOR_NOT_IN,            /* Absent, or with another value. */
    SELECTOR_EXISTS,            /* Present. */
    SELECTOR_DOES_NOT_EXIST     /* Absent. */
};

struct selector_requirement {
    char *key;
    enum selector_op op;
    char **values;              /* Sorted, none twice.  Empty for _EXISTS and
                                 * _DOES_NOT_EXIST. */
    size_t n_values;
};

/* A label selector: all of its requirements hold.  Without any, it selects
 * everything.  An entry of matchLabels is SELECTOR_IN with one value.  The
 * requirements are sorted, so that what says the same compares equal. */
struct selector {
    struct selector_requirement *reqs;
    size_t n_reqs;
};

/* Fills in 'sel' from 'node', a LabelSelector, or with one that selects
 * everything if 'node' is NULL.  What is wrong goes into 'report'; then 'sel'
 * holds a part.  In any case the caller must destroy it. */
void selector_parse(const struct yaml_node *node, struct yaml_report *report,
                    struct selector *sel);

/* Frees what 'sel' holds. */
void selector_destroy(struct selector *sel);

/* Whether 'a' and 'b' have the same requirements. */
bool selector_equals(const struct selector *a, const struct selector *b);

/* Whether 'sel' selects what carries 'labels'. */
bool selector_matches(const struct selector *sel, const struct smap *labels);

/* Adds the labels in 'node', a mapping or NULL, to 'labels'.  What is wrong
 * goes into 'report'. */
void labels_parse(const struct yaml_node *node, struct yaml_report *report,
                  struct smap *labels);

#endif /* agent/selector.h */
