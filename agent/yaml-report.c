/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What is wrong with a tree of YAML nodes: see yaml-report.h.
 *
 * How a plain scalar reads is decided as Kubernetes' own YAML parser does
 * (sigs.k8s.io/yaml, which is YAML 1.1 without numbers of base 60). */

#include <config.h>
#include "agent/yaml-report.h"

#include <stdlib.h>
#include <string.h>

#include "openvswitch/dynamic-string.h"
#include "svec.h"
#include "util.h"

/* What the file says stays on one line. */
static char *
steal_line(struct ds *ds)
{
    for (char *p = ds_cstr(ds); *p; p++) {
        if ((unsigned char) *p < ' ' || *p == 0x7f) {
            *p = ' ';
        }
    }
    return ds_steal_cstr(ds);
}

/* Appends the path to 'node' below 'root', such as "spec.ports[0].name". */
static void
format_path(const struct yaml_node *node, const struct yaml_node *root,
            struct ds *ds)
{
    if (!node->parent || node == root) {
        return;
    }
    format_path(node->parent, root, ds);
    if (!node->key) {
        ds_put_format(ds, "[%"PRIuSIZE"]", node->index);
    } else {
        if (node->parent->parent && node->parent != root) {
            ds_put_char(ds, '.');
        }
        ds_put_cstr(ds, node->key);
    }
}

void
yaml_error(struct yaml_report *report, const struct yaml_node *node,
           const char *format, ...)
{
    struct ds ds = DS_EMPTY_INITIALIZER;
    size_t length;
    va_list args;

    report->n_errors++;
    if (report->errors->n >= YAML_MAX_ERRORS) {
        return;
    }
    ds_put_format(&ds, "%s:%d: ", report->file, node ? node->line : 1);
    if (report->errors->n == YAML_MAX_ERRORS - 1) {
        ds_put_cstr(&ds, "there are more errors from here");
    } else {
        if (report->object) {
            ds_put_format(&ds, "%s: ", report->object);
        }
        length = ds.length;
        if (node) {
            format_path(node, report->root, &ds);
        }
        if (ds.length > length) {
            ds_put_cstr(&ds, ": ");
        }
        va_start(args, format);
        ds_put_format_valist(&ds, format, args);
        va_end(args);
    }
    svec_add_nocopy(report->errors, steal_line(&ds));
}

/* "a number", "a truth value" or "null" if YAML reads 'node' as such; NULL if
 * it is a string. */
static const char *
reads_as(const struct yaml_node *node)
{
    static const char *const bools[] = {
        "y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE",
        "on", "On", "ON", "n", "N", "no", "No", "NO",
        "false", "False", "FALSE", "off", "Off", "OFF",
    };
    static const char *const floats[] = {
        ".nan", ".NaN", ".NAN", ".inf", ".Inf", ".INF",
    };
    const char *s = node->text;

    if (!node->plain) {
        return NULL;
    }
    if (yaml_is_null(node)) {
        return "null";
    }
    for (size_t i = 0; i < ARRAY_SIZE(bools); i++) {
        if (!strcmp(s, bools[i])) {
            return "a truth value";
        }
    }
    if (yaml_looks_integer(node)) {
        return "a number";
    }
    s += *s == '+' || *s == '-';
    for (size_t i = 0; i < ARRAY_SIZE(floats); i++) {
        if (!strcmp(s, floats[i])) {
            return "a number";
        }
    }
    size_t digits = strspn(s, "0123456789_");
    s += digits;
    if (*s == '.') {
        s++;
        size_t fraction = strspn(s, "0123456789_");
        digits += fraction;
        s += fraction;
    }
    if (!digits || node->text[0] == '_') {
        return NULL;
    }
    if (*s == 'e' || *s == 'E') {
        s++;
        s += *s == '+' || *s == '-';
        digits = strspn(s, "0123456789_");
        s += digits;
    }
    return digits && !*s ? "a number" : NULL;
}

static const char *
kind_name(const struct yaml_node *node)
{
    return (node->kind == YAML_SEQUENCE ? "a list"
            : node->kind == YAML_MAPPING ? "a mapping"
            : reads_as(node) ? reads_as(node) : "a string");
}

bool
yaml_expect(struct yaml_report *report, const struct yaml_node *node,
            enum yaml_kind kind)
{
    if (node->kind == kind) {
        return true;
    }
    yaml_error(report, node, "must be %s, but is %s",
               kind == YAML_SEQUENCE ? "a list" : "a mapping",
               kind_name(node));
    return false;
}

/* The least number of letters to insert, delete, change or swap with their
 * neighbours to make 'b' of 'a'.  Both have less than 'MAX_WORD' letters. */
enum { MAX_WORD = 64 };
static unsigned int
edit_distance(const char *a, const char *b)
{
    unsigned int rows[3][MAX_WORD];
    unsigned int *before = rows[0], *last = rows[1], *row = rows[2];
    size_t n = strlen(b);

    for (size_t j = 0; j <= n; j++) {
        row[j] = j;
    }
    for (size_t i = 1; a[i - 1]; i++) {
        unsigned int *unused = before;

        before = last;
        last = row;
        row = unused;
        row[0] = i;
        for (size_t j = 1; j <= n; j++) {
            row[j] = MIN(last[j], row[j - 1]) + 1;
            row[j] = MIN(row[j], last[j - 1] + (a[i - 1] != b[j - 1]));
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2]
                && a[i - 2] == b[j - 1]) {
                row[j] = MIN(row[j], before[j - 2] + 1);
            }
        }
    }
    return row[n];
}

/* The name in 'names' that 's' was probably meant to be, or NULL. */
static const char *
nearest_name(const char *s, const char *const names[])
{
    const char *best = NULL;
    unsigned int least = 1 + strlen(s) / 3;

    if (strlen(s) >= MAX_WORD) {
        return NULL;
    }
    for (; *names; names++) {
        unsigned int distance = edit_distance(s, *names);

        if (distance <= least) {
            best = *names;
            least = distance ? distance - 1 : 0;
        }
    }
    return best;
}

/* Appends "a, b or c". */
static void
format_names(const char *const names[], struct ds *ds)
{
    for (size_t i = 0; names[i]; i++) {
        ds_put_format(ds, "%s%s", !i ? "" : names[i + 1] ? ", " : " or ",
                      names[i]);
    }
}

bool
yaml_expect_keys(struct yaml_report *report, const struct yaml_node *node,
                 const char *const known[])
{
    bool ok = true;

    if (!yaml_expect(report, node, YAML_MAPPING)) {
        return false;
    }
    for (size_t i = 0; i < node->n; i++) {
        const struct yaml_node *child = node->children[i];
        size_t j = 0;

        while (known[j] && strcmp(known[j], child->key)) {
            j++;
        }
        if (!known[j]) {
            const char *nearest = nearest_name(child->key, known);

            if (nearest) {
                yaml_error(report, child, "there is no such key; did you "
                           "mean %s?", nearest);
            } else {
                struct ds ds = DS_EMPTY_INITIALIZER;

                format_names(known, &ds);
                yaml_error(report, child, "there is no such key; it may be "
                           "%s", ds_cstr(&ds));
                ds_destroy(&ds);
            }
            ok = false;
        }
    }
    return ok;
}

bool
yaml_string(struct yaml_report *report, const struct yaml_node *node,
            const char **value)
{
    if (node->kind == YAML_SCALAR && !reads_as(node)) {
        *value = node->text;
        return true;
    }
    if (node->kind == YAML_SCALAR && !yaml_is_null(node)) {
        yaml_error(report, node, "must be a string, but %s reads as %s; put "
                   "it in quotes", node->text, kind_name(node));
    } else {
        yaml_error(report, node, "must be a string, but is %s",
                   kind_name(node));
    }
    return false;
}

bool
yaml_looks_integer(const struct yaml_node *node)
{
    if (node->kind != YAML_SCALAR || !node->plain) {
        return false;
    }
    const char *s = node->text;
    s += *s == '+' || *s == '-';
    if (*s == '_') {
        return false;
    }
    const char *digits = "0123456789_";
    if (s[0] == '0' && s[1] && strchr("xXbBoO", s[1])) {
        digits = (s[1] == 'x' || s[1] == 'X' ? "0123456789abcdefABCDEF_"
                  : "01234567_");
        s += 2;
    }
    return *s && !s[strspn(s, digits)];
}

bool
yaml_integer(struct yaml_report *report, const struct yaml_node *node,
             long long int min, long long int max, long long int *value)
{
    if (!yaml_looks_integer(node)) {
        if (node->kind == YAML_SCALAR && !node->plain) {
            yaml_error(report, node, "must be a number, but is a string; "
                       "take away the quotes");
        } else {
            yaml_error(report, node, "must be a number from %lld to %lld, "
                       "but is %s", min, max, kind_name(node));
        }
        return false;
    }
    const char *s = node->text;
    const char *p = s + (*s == '-');
    size_t digits = strspn(p, "0123456789");
    if (!digits || p[digits] || (*p == '0' && digits > 1)) {
        yaml_error(report, node, "%s must be written in plain decimal, "
                   "without leading zeros", s);
        return false;
    }
    long long int x = digits <= 18 ? atoll(s) : 0;
    if (digits > 18 || x < min || x > max) {
        yaml_error(report, node, "must be from %lld to %lld, but is %s",
                   min, max, s);
        return false;
    }
    *value = x;
    return true;
}

bool
yaml_bool(struct yaml_report *report, const struct yaml_node *node,
          bool *value)
{
    if (node->kind == YAML_SCALAR && node->plain) {
        if (!strcmp(node->text, "true") || !strcmp(node->text, "True")
            || !strcmp(node->text, "TRUE")) {
            *value = true;
            return true;
        } else if (!strcmp(node->text, "false")
                   || !strcmp(node->text, "False")
                   || !strcmp(node->text, "FALSE")) {
            *value = false;
            return true;
        }
    }
    yaml_error(report, node, "must be true or false%s",
               node->kind == YAML_SCALAR && !node->plain
               ? ", without quotes" : "");
    return false;
}

bool
yaml_enum(struct yaml_report *report, const struct yaml_node *node,
          const char *const names[], int *value)
{
    /* "off" is a name here, not a truth value. */
    if (node->kind == YAML_SCALAR) {
        for (int i = 0; names[i]; i++) {
            if (!strcmp(node->text, names[i])) {
                *value = i;
                return true;
            }
        }
    }
    struct ds ds = DS_EMPTY_INITIALIZER;
    format_names(names, &ds);
    if (node->kind == YAML_SCALAR) {
        yaml_error(report, node, "must be %s, but is \"%s\"", ds_cstr(&ds),
                   node->text);
    } else {
        yaml_error(report, node, "must be %s, but is %s", ds_cstr(&ds),
                   kind_name(node));
    }
    ds_destroy(&ds);
    return false;
}
