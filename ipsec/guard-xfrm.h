/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The guard's second layer: XFRM policies that block tunnel packets which no
 * better policy covers.  Only guard.c uses this. */

#ifndef LATEEN_GUARD_XFRM_H
#define LATEEN_GUARD_XFRM_H 1

#include <stdbool.h>
#include <stddef.h>
#include "openvswitch/compiler.h"

struct guard_tunnel;
struct ofpbuf;

/* Whether this kernel has XFRM. */
bool guard_xfrm_is_supported(void);

/* Makes the policies of our priority exactly those that block the 'n'
 * 'tunnels': out, in and forwarded, of both families.  Those that are there
 * already are left alone.  Adds to '*missing' those that were not.  Returns
 * NULL or a message that the caller frees; without XFRM, there is nothing to
 * remove. */
char *guard_xfrm_sync(const struct guard_tunnel *tunnels, size_t n,
                      unsigned int *missing) OVS_WARN_UNUSED_RESULT;

/* Whether 'event', a message of the group XFRMNLGRP_POLICY, may mean that a
 * policy of ours is not there any more. */
bool guard_xfrm_is_affected(const struct ofpbuf *event);

#endif /* ipsec/guard-xfrm.h */
