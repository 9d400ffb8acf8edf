/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Delegation to the IPAM plugin (CNI specification 1.0.0, section 4). */

#ifndef LATEEN_CNI_EXEC_H
#define LATEEN_CNI_EXEC_H 1

#include "cni-conf.h"

/* Runs the IPAM plugin of 'call' for 'command' ("ADD", "DEL", "CHECK") with
 * the configuration 'conf' on its standard input, this process's environment
 * otherwise, and standard error passed through.  On success, puts its answer
 * into '*result', to be freed by the caller, if 'result' is nonnull. */
struct cni_error *cni_delegate(const struct cni_call *call,
                               const char *command, const json_t *conf,
                               json_t **result)
    __attribute__((warn_unused_result));

#endif /* cni/cni-exec.h */
