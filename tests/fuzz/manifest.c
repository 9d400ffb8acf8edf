/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Versions of three files, separated by bytes 0xff, are loaded in turn: two
 * of manifests, and one that a node publishes.  What the catalogue holds is
 * what the model holds, and without the files the model is empty. */

#include <config.h>
#include "agent/catalog.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "agent/model.h"
#include "agent/policy.h"
#include "util.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t
count_objects(const struct model *model)
{
    size_t n = 0;

    for (int kind = 0; kind < MODEL_N_KINDS; kind++) {
        const struct model_object *obj;

        MODEL_FOR_EACH (obj, kind, model) {
            n++;
            if (kind == MODEL_POLICY) {
                const struct policy_spec *spec = policy_cast(obj)->spec;

                ovs_assert(policy_spec_equals(spec, spec));
            }
        }
    }
    return n;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const names[] = { "a.yaml", "b.yaml", "status" };
    struct catalog_file files[ARRAY_SIZE(names)];
    struct catalog catalog;
    struct model model;
    const char *p = (const char *) data;
    const char *end = p + size;

    catalog_init(&catalog);
    model_init(&model);
    for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
        catalog_file_init(&files[i], names[i], i == 2 ? "n1" : NULL);
    }
    for (size_t i = 0; p < end; i++) {
        const char *next = memchr(p, 0xff, end - p);

        next = next ? next : end;
        char *text = xmemdup0(p, next - p);
        catalog_load(&catalog, &files[i % ARRAY_SIZE(files)], text, next - p,
                     &model);
        free(text);
        ovs_assert(count_objects(&model) == hmap_count(&catalog.objects));
        p = next + 1;
    }
    for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
        catalog_unload(&catalog, &files[i], &model);
    }
    ovs_assert(!count_objects(&model));
    catalog_destroy(&catalog);
    model_destroy(&model);
    return 0;
}
