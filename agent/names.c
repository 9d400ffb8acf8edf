/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The syntax of names in Kubernetes' API: see names.h. */

#include <config.h>
#include "agent/names.h"

#include <ctype.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "util.h"

#define LOWER "abcdefghijklmnopqrstuvwxyz0123456789"
#define ALPHANUMERIC LOWER "ABCDEFGHIJKLMNOPQRSTUVWXYZ"

/* Whether the 'n' letters at 's' are of the set 'inner', begin and end with
 * one of 'outer', and are from 1 to 'max'. */
static bool
is_word(const char *s, size_t n, size_t max, const char *outer,
        const char *inner)
{
    return (n >= 1 && n <= max && strspn(s, inner) >= n
            && strchr(outer, s[0]) && strchr(outer, s[n - 1]));
}

bool
name_is_dns_label(const char *s)
{
    return is_word(s, strlen(s), 63, LOWER, LOWER "-");
}

/* A part of a DNS name has no limit of its own here, as with Kubernetes. */
static bool
is_dns_subdomain(const char *s, size_t n)
{
    if (n > 253) {
        return false;
    }
    for (;;) {
        size_t part = strcspn(s, ".");

        if (part >= n) {
            return is_word(s, n, n, LOWER, LOWER "-");
        } else if (!is_word(s, part, n, LOWER, LOWER "-")) {
            return false;
        }
        s += part + 1;
        n -= part + 1;
    }
}

bool
name_is_dns_subdomain(const char *s)
{
    return is_dns_subdomain(s, strlen(s));
}

bool
name_is_label_key(const char *s)
{
    const char *slash = strchr(s, '/');

    if (slash) {
        if (!is_dns_subdomain(s, slash - s)) {
            return false;
        }
        s = slash + 1;
    }
    return is_word(s, strlen(s), 63, ALPHANUMERIC, ALPHANUMERIC "-_.");
}

bool
name_is_annotation_key(const char *s)
{
    char *lower = xstrdup(s);

    for (char *p = lower; *p; p++) {
        *p = tolower((unsigned char) *p);
    }
    bool ok = name_is_label_key(lower);
    free(lower);
    return ok;
}

bool
name_is_label_value(const char *s)
{
    return !*s || is_word(s, strlen(s), 63, ALPHANUMERIC, ALPHANUMERIC "-_.");
}

bool
name_is_port(const char *s)
{
    return (is_word(s, strlen(s), 15, LOWER, LOWER "-") && !strstr(s, "--")
            && strpbrk(s, "abcdefghijklmnopqrstuvwxyz"));
}
