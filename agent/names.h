/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The syntax of names in Kubernetes' API: apimachinery's validation, with the
 * same limits. */

#ifndef LATEEN_NAMES_H
#define LATEEN_NAMES_H 1

#include <stdbool.h>

/* What each function wants, for errors. */
#define NAME_DNS_LABEL \
    "lower case letters, digits and '-', at most 63 of them, with a letter " \
    "or digit at both ends"
#define NAME_DNS_SUBDOMAIN \
    "lower case letters, digits, '-' and '.', at most 253 of them, with a " \
    "letter or digit beside each '.' and at both ends"
#define NAME_LABEL_KEY \
    "letters, digits, '-', '_' and '.', at most 63 of them, with a letter " \
    "or digit at both ends, and before it maybe a DNS name and '/'"
#define NAME_LABEL_VALUE \
    "letters, digits, '-', '_' and '.', at most 63 of them, with a letter " \
    "or digit at both ends"
#define NAME_PORT \
    "lower case letters, digits and single '-', at most 15 of them, with a " \
    "letter among them, and a letter or digit at both ends"

/* A label of a DNS name (RFC 1123): the name of a namespace. */
bool name_is_dns_label(const char *s);

/* A DNS name (RFC 1123): the name of any other object. */
bool name_is_dns_subdomain(const char *s);

/* The key of a label of an object. */
bool name_is_label_key(const char *s);

/* The key of an annotation: its prefix may have capitals. */
bool name_is_annotation_key(const char *s);

/* The value of a label of an object; it may be empty. */
bool name_is_label_value(const char *s);

/* The name of a container's port (RFC 6335, section 5.1). */
bool name_is_port(const char *s);

#endif /* agent/names.h */
