/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A prefix that parses is written in a form that parses to the same. */

#include <config.h>
#include "agent/ip.h"

#include <stdint.h>
#include <stdlib.h>
#include "util.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *s = xmemdup0((const char *) data, size);
    struct ip_prefix a;
    if (ip_prefix_parse(s, &a)) {
        char *text = ip_prefix_to_string(&a);
        struct ip_prefix b;
        ovs_assert(ip_prefix_parse(text, &b));
        ovs_assert(ip_prefix_equals(&a, &b));
        free(text);
    }
    free(s);
    return 0;
}
