/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Sysctls of the network. */

#ifndef LATEEN_SYSCTL_H
#define LATEEN_SYSCTL_H 1

#include <stdbool.h>
#include "openvswitch/compiler.h"

/* Makes '/proc/sys/net/NAME' have 'value', unless 'only_from' is nonnull and
 * it has another value than that.  Logs a change once, with 'why'.  Returns 1
 * if the value has been changed, 0 if it was right or there is no such
 * sysctl; otherwise a negative number, with '*errorp' a message that the
 * caller frees. */
int sysctl_set(const char *name, const char *only_from, const char *value,
               const char *why, char **errorp) OVS_WARN_UNUSED_RESULT;

#endif /* agent/sysctl.h */
