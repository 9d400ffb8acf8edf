/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Delegation to the IPAM plugin (CNI specification 1.0.0, section 4).
 *
 * Plugins read all of their standard input before they do anything.  So one
 * can be started, which takes it some milliseconds, long before it is known
 * whether it will have anything to do, and what. */

#ifndef LATEEN_CNI_EXEC_H
#define LATEEN_CNI_EXEC_H 1

#include <sys/types.h>
#include "cni-conf.h"

/* An IPAM plugin that runs. */
struct cni_delegate {
    char *file;                 /* NULL while none runs. */
    pid_t pid;
    int in;                     /* Its standard input. */
    int out;                    /* Its standard output. */
};

/* Starts the IPAM plugin of 'call' for 'command' ("ADD", "DEL", "CHECK"), with
 * this process's environment otherwise, and standard error passed through.  It
 * waits for cni_delegate_feed() or cni_delegate_cancel(). */
struct cni_error *cni_delegate_start(struct cni_delegate *,
                                     const struct cni_call *call,
                                     const char *command)
    __attribute__((warn_unused_result));

/* Has the plugin do its work, with the configuration 'conf'. */
void cni_delegate_feed(struct cni_delegate *, const json_t *conf);

/* Waits for what the plugin has to say.  On success, puts its answer into
 * '*result', to be freed by the caller, if 'result' is nonnull. */
struct cni_error *cni_delegate_finish(struct cni_delegate *, json_t **result)
    __attribute__((warn_unused_result));

/* Ends the plugin, if one runs, before it has done anything. */
void cni_delegate_cancel(struct cni_delegate *);

#endif /* cni/cni-exec.h */
