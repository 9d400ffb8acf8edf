/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What the CNI plugin gets from outside: CNI_COMMAND, CNI_CONTAINERID,
 * CNI_IFNAME and CNI_ARGS, each ended by a null byte, then standard input.
 * That serves as the answer of an IPAM plugin, too. */

#include <config.h>
#include "cni/cni-conf.h"
#include "cni/cni-result.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check(struct cni_error *error, const char *version)
{
    if (error) {
        cni_error_print(error, version);
        cni_error_free(error);
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const names[] = { "CNI_COMMAND", "CNI_CONTAINERID",
                                         "CNI_IFNAME", "CNI_ARGS" };
    static struct cni_interface iface;
    static bool is_silent;
    struct cni_error *error;
    struct cni_call call;

    if (!is_silent && !freopen("/dev/null", "w", stdout)) {
        abort();
    }
    is_silent = true;
    for (size_t i = 0; i < 4; i++) {
        const uint8_t *end = memchr(data, '\0', size);

        if (!end) {
            return 0;
        }
        setenv(names[i], (const char *) data, 1);
        size -= end + 1 - data;
        data = end + 1;
    }
    setenv("CNI_NETNS", "/proc/self/ns/net", 1);

    /* In memory that ends where it does. */
    char *input = malloc(size ? size : 1);
    memcpy(input, data, size);
    error = cni_call_parse(&call, input, size);
    if (!error && call.command != CNI_VERSION) {
        free(cni_ipam_args());
        check(cni_result_parse_previous(&call, &iface), call.version);
        error = cni_result_parse_ipam(call.conf, &iface);
        if (!error) {
            cni_result_print(&call, &iface, call.conf);
        }
    }
    check(error, call.version);
    cni_call_destroy(&call);
    free(input);
    return 0;
}
