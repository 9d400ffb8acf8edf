/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What the CNI plugin, or somebody in its place, asks of the agent. */

#include <config.h>
#include "cni/cni-request.h"

#include <stdint.h>
#include <stdlib.h>
#include "agent/model.h"
#include "util.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = xmemdup0((const char *) data, size);

    for (int add = 0; add < 2; add++) {
        struct attachment *a;
        char *error = cni_request_parse(text, add, &a);

        ovs_assert(!error == (a != NULL));
        if (a) {
            free(cni_request_conflict(a, a));
            model_object_free(&a->obj);
        }
        /* It begins with its code. */
        ovs_assert(!error || atoi(error) > 0);
        free(error);
    }
    free(text);
    return 0;
}
