/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What is wrong with a tree of YAML nodes
 * =======================================
 *
 * Expectations of a tree's nodes: each takes what it expects, or adds to a
 * report an error that names the place and says what would be right. */

#ifndef LATEEN_YAML_REPORT_H
#define LATEEN_YAML_REPORT_H 1

#include <stdbool.h>
#include <stddef.h>
#include "agent/yaml.h"
#include "openvswitch/compiler.h"

struct svec;

/* How many errors a report keeps. */
#define YAML_MAX_ERRORS 100

/* Collects what is wrong with a file. */
struct yaml_report {
    const char *file;           /* Begins every error. */
    const char *object;         /* Names what 'root' is about, or NULL. */
    const struct yaml_node *root; /* Paths of fields begin below it.  NULL for
                                   * the document's root. */
    struct svec *errors;        /* "FILE:LINE: OBJECT: PATH: TEXT"; no more
                                 * than YAML_MAX_ERRORS. */
    size_t n_errors;            /* All errors, also those left out. */
};

/* Adds an error about 'node'; about the whole file if 'node' is NULL. */
void yaml_error(struct yaml_report *, const struct yaml_node *,
                const char *format, ...)
    OVS_PRINTF_FORMAT(3, 4);

/* The functions below return false after adding an error to the report, if
 * 'node' is not what they expect.  Then '*value' is unchanged. */

/* Expects a mapping or a sequence. */
bool yaml_expect(struct yaml_report *, const struct yaml_node *node,
                 enum yaml_kind);

/* Expects a mapping with no keys but those in 'known', which NULL ends, and
 * names the nearest known one for any other. */
bool yaml_expect_keys(struct yaml_report *, const struct yaml_node *node,
                      const char *const known[]);

/* Expects a string: quoted, or plain and neither number nor truth value nor
 * null.  The string belongs to 'node'. */
bool yaml_string(struct yaml_report *, const struct yaml_node *node,
                 const char **value);

/* Whether 'node' is a plain scalar that YAML reads as an integer. */
bool yaml_looks_integer(const struct yaml_node *node);

/* Expects an integer from 'min' to 'max', in plain decimal. */
bool yaml_integer(struct yaml_report *, const struct yaml_node *node,
                  long long int min, long long int max,
                  long long int *value);

/* Expects true or false. */
bool yaml_bool(struct yaml_report *, const struct yaml_node *node,
               bool *value);

/* Expects one of the strings in 'names', which NULL ends, and stores its
 * place in that array. */
bool yaml_enum(struct yaml_report *, const struct yaml_node *node,
               const char *const names[], int *value);

#endif /* agent/yaml-report.h */
