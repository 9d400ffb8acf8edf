/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What the CNI plugin asks of the agent, as JSON text, and what stands against
 * it. */

#ifndef LATEEN_CNI_REQUEST_H
#define LATEEN_CNI_REQUEST_H 1

#include <stdbool.h>
#include "openvswitch/compiler.h"

struct attachment;
struct model;
struct node;

/* Parses 'text', the parameter of a call, into '*ap', a new attachment that is
 * in no model: with its names alone, or with all that 'add' needs.  Returns
 * NULL, or an error that begins with its code, which the caller frees. */
char *cni_request_parse(const char *text, bool add, struct attachment **ap)
    OVS_WARN_UNUSED_RESULT;

/* Returns why 'a' cannot be attached to 'self', this node, whose attachments
 * are in 'model': an error that begins with its code and that the caller
 * frees, or NULL. */
char *cni_request_check(const struct attachment *a, const struct model *model,
                        const struct node *self) OVS_WARN_UNUSED_RESULT;

/* Returns why 'a' and 'b', two attachments of one node, cannot both be, in a
 * string that the caller frees, or NULL. */
char *cni_request_conflict(const struct attachment *a,
                           const struct attachment *b)
    OVS_WARN_UNUSED_RESULT;

#endif /* cni/cni-request.h */
