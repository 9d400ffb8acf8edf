/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Prints trees of YAML nodes, and checks the syntax of names. */

#include <config.h>
#include "agent/yaml.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/file.h"
#include "agent/names.h"
#include "lateen-test.h"
#include "util.h"

static void
print_node(const struct yaml_node *node, int indent)
{
    printf("%d:%d:%*s ", node->line, node->column, indent, "");
    if (node->key) {
        printf("%s: ", node->key);
    }
    if (node->kind == YAML_SCALAR) {
        printf(node->plain ? "%s\n" : "\"%s\"\n", node->text);
    } else {
        puts(node->kind == YAML_SEQUENCE ? "[]" : "{}");
    }
    for (size_t i = 0; i < node->n; i++) {
        print_node(node->children[i], indent + 2);
    }
}

static int
test_yaml(int argc, char *argv[])
{
    struct yaml_node **docs;
    char *text, *error;
    size_t size, n;

    if (argc != 2) {
        ovs_fatal(0, "usage: yaml FILE");
    }
    int retval = file_read(argv[1], YAML_MAX_SIZE + 1, &text, &size, NULL);
    if (retval) {
        ovs_fatal(retval, "%s", argv[1]);
    }
    error = yaml_parse(argv[1], text, size, &docs, &n);
    free(text);
    if (error) {
        puts(error);
        free(error);
        return 1;
    }
    for (size_t i = 0; i < n; i++) {
        puts("---");
        print_node(docs[i], 0);
    }
    yaml_docs_free(docs, n);
    return 0;
}
LATEEN_TEST_REGISTER("yaml", "FILE", test_yaml)

/* Holds a function to what it should say of names that fit, and of others. */
static void
check_names(const char *what, bool (*function)(const char *),
            const char *const good[], const char *const bad[])
{
    for (; *good; good++) {
        if (!function(*good)) {
            ovs_fatal(0, "%s: refuses \"%s\"", what, *good);
        }
    }
    for (; *bad; bad++) {
        if (function(*bad)) {
            ovs_fatal(0, "%s: takes \"%s\"", what, *bad);
        }
    }
}

#define X21 "xxxxxxxxxxxxxxxxxxxxx"
#define X63 X21 X21 X21
#define NAMES(...) (const char *const[]) { __VA_ARGS__, NULL }

static int
test_names(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    check_names("DNS label", name_is_dns_label,
                NAMES("a", "0", "a-b", "a--b", X63),
                NAMES("", "-a", "a-", "A", "a.b", "a_b", X63 "x", "a/b",
                      "\xc3\xa4"));
    check_names("DNS name", name_is_dns_subdomain,
                NAMES("a", "a.b", "1.2.3.4", "a-b.c-d", X63 "x",
                      X63 "." X63 "." X63 "." X21 X21 "x"),
                NAMES("", ".", "a.", ".a", "a..b", "a.-b", "a-.b", "A.b",
                      "a_b", X63 "." X63 "." X63 "." X63));
    check_names("label key", name_is_label_key,
                NAMES("app", "App", "a.b_c-d", "example.com/app", "1", X63,
                      X63 ".com/" X63),
                NAMES("", "/app", "example.com/", "a/b/c", "Example.com/app",
                      "-app", "app.", X63 "x", "a b"));
    check_names("label value", name_is_label_value,
                NAMES("", "a", "A_b.c-d", "1.0", X63),
                NAMES("-", "a b", ".a", "a_", X63 "x", "a/b"));
    check_names("port name", name_is_port,
                NAMES("http", "a", "p-0", "0a", "123456789-abcde"),
                NAMES("", "80", "HTTP", "a--b", "-a", "a-", "a_b",
                      "123456789-abcdef"));
    return 0;
}
LATEEN_TEST_REGISTER("names", "", test_names)
