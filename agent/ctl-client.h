/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Asking lateend over its control socket, for the programs that do not link
 * Open vSwitch's library: lateenctl and lateen-cni.
 *
 * The socket speaks JSON-RPC as the daemons of Open vSwitch do
 * (ovs-appctl(8)): a method, parameters that are strings, and one string as
 * the result, which lateend fills with JSON. */

#ifndef LATEEN_CTL_CLIENT_H
#define LATEEN_CTL_CLIENT_H 1

#include <jansson.h>
#include <stddef.h>

/* A question under way. */
struct ctl_call {
    int fd;                     /* -1 if it could not be asked. */
    int error;                  /* errno value of that; else 0. */
};

/* Returns the path of the control socket: 'target' if it is nonnull, else in
 * $LATEEN_RUNDIR or the run directory that Lateen was built with.  The caller
 * frees it. */
char *ctl_socket_path(const char *target);

/* Asks 'method' with the 'n' strings 'args', which must be UTF-8, at the
 * socket 'path'.  Does not wait for the answer.  'timeout', in seconds, is for
 * each read and write, this one and later ones. */
void ctl_ask(struct ctl_call *, const char *path, const char *method,
             const char *const *args, size_t n, int timeout);

/* Waits for the answer, and closes the call.  Returns the JSON that it
 * contains, to be freed by the caller.  On failure returns NULL and fills
 * '*error', to be freed too: with lateend's own words and '*reached' nonzero,
 * or why it could not be asked and '*reached' zero. */
json_t *ctl_answer(struct ctl_call *, char **error, int *reached);

#endif /* agent/ctl-client.h */
