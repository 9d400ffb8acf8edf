/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Loads manifests through the catalogue and prints the model, and matches
 * selectors with labels. */

#include <config.h>
#include "agent/catalog.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/file.h"
#include "agent/model.h"
#include "agent/selector.h"
#include "agent/yaml-report.h"
#include "lateen-test.h"
#include "model-dump.h"
#include "smap.h"
#include "util.h"

/* Loads each FILE, one after the other; "FILE=OTHER" is FILE with what OTHER
 * holds, a later version of it, and "FILE=" without anything.  A file called
 * status/NODE.json is what that node publishes. */
static int
test_manifest(int argc, char *argv[])
{
    struct catalog_file *files = xcalloc(argc, sizeof *files);
    struct catalog catalog;
    struct model model;
    size_t n_files = 0, n_ignored = 0;

    catalog_init(&catalog);
    model_init(&model);
    for (int i = 1; i < argc; i++) {
        char *name = xstrdup(argv[i]);
        char *other = strchr(name, '=');
        char *text = NULL;
        size_t size = 0, j;

        if (other) {
            *other++ = '\0';
        }
        for (j = 0; j < n_files && strcmp(files[j].path, name); j++) {
            continue;
        }
        if (j == n_files) {
            bool status = !strncmp(name, "status/", 7);
            char *node = xmemdup0(name + 7 * status,
                                  strlen(name) - 12 * status);

            catalog_file_init(&files[n_files++], name, status ? node : NULL);
            free(node);
        }
        const char *from = other ? other : name;
        int error = *from ? file_read(from, YAML_MAX_SIZE, &text, &size, NULL)
                    : 0;
        if (error) {
            ovs_fatal(error, "%s", from);
        }
        if (catalog_load(&catalog, &files[j], text ? text : "", size,
                         &model)) {
            printf("%s has released objects\n", name);
        }
        free(text);
        free(name);
    }
    model_dump(&model);
    for (size_t i = 0; i < n_files; i++) {
        const char *error;
        size_t j;

        SVEC_FOR_EACH (j, error, &files[i].errors) {
            puts(error);
        }
        n_ignored += files[i].n_ignored;
        catalog_file_forget(&catalog, &files[i]);
    }
    if (n_ignored) {
        printf("%"PRIuSIZE" ignored\n", n_ignored);
    }
    free(files);
    catalog_destroy(&catalog);
    model_destroy(&model);
    return 0;
}
LATEEN_TEST_REGISTER("manifest", "FILE[=OTHER]...", test_manifest)

static int
test_selector(int argc, char *argv[])
{
    struct svec errors = SVEC_EMPTY_INITIALIZER;
    struct yaml_report report = { .file = "selector", .errors = &errors };
    struct smap labels = SMAP_INITIALIZER(&labels);
    struct yaml_node **docs;
    struct selector sel;
    size_t n, i;
    const char *s;

    if (argc < 2) {
        ovs_fatal(0, "usage: selector SELECTOR [KEY=VALUE...]");
    }
    char *error = yaml_parse("selector", argv[1], strlen(argv[1]), &docs, &n);
    if (error) {
        ovs_fatal(0, "%s", error);
    }
    selector_parse(n ? docs[0] : NULL, &report, &sel);
    SVEC_FOR_EACH (i, s, &errors) {
        puts(s);
    }
    for (int j = 2; j < argc; j++) {
        char *value = strchr(argv[j], '=');

        ovs_assert(value);
        *value++ = '\0';
        smap_add(&labels, argv[j], value);
    }
    if (svec_is_empty(&errors)) {
        puts(selector_matches(&sel, &labels) ? "yes" : "no");
    }
    selector_destroy(&sel);
    yaml_docs_free(docs, n);
    smap_destroy(&labels);
    svec_destroy(&errors);
    return 0;
}
LATEEN_TEST_REGISTER("selector", "SELECTOR [KEY=VALUE...]", test_selector)
