/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Tells when Open vSwitch has gone over its datapath's flows.
 *
 * Open vSwitch's revalidators dump the datapath's flows again and again and
 * correct those that the tables do not warrant any more.  A dump begins as
 * soon as the tables change, but no sooner than 5 ms after the last one began;
 * without a change there is one every 500 ms.  The control command
 * "revalidator/wait" (ovs-vswitchd(8)) answers when a dump ends.
 *
 * Belongs to the main thread and never blocks. */

#ifndef LATEEN_REVAL_H
#define LATEEN_REVAL_H 1

#include <stdbool.h>

struct reval;

/* 'rundir' is Open vSwitch's run directory. */
struct reval *reval_create(const char *rundir);
void reval_destroy(struct reval *);

/* Begins to wait for the end of a dump; not to be called while waiting. */
void reval_start(struct reval *);

/* Ends waiting, if there is any. */
void reval_cancel(struct reval *);

/* Whether there is waiting. */
bool reval_is_waiting(const struct reval *);

/* Returns true, once, when a dump has ended after reval_start().  It may have
 * begun before. */
bool reval_run(struct reval *);
void reval_wait(struct reval *);

/* Why ovs-vswitchd's control socket could not be used last; NULL if it
 * could. */
const char *reval_last_error(const struct reval *);

#endif /* flows/reval.h */
