/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What the guard has stopped, and the alarm that a counter rings when it
 * moves.  Only guard.c uses this. */

#ifndef LATEEN_GUARD_ALARM_H
#define LATEEN_GUARD_ALARM_H 1

#include <stdbool.h>
#include <stdint.h>
#include "guard.h"

struct nft_table;

/* The counters that nftables keeps come first. */
#define GUARD_N_NFT_COUNTERS (GUARD_SMUGGLED + 1)

struct guard_alarm {
    uint64_t packets[GUARD_N_COUNTERS]; /* As read last. */
    unsigned int rounds;        /* Times that they were read. */
    char *text;                 /* Of the last alarm, or NULL. */
    long long int wall_time;    /* When that was, as time_wall_msec(). */

    char *file;                 /* Keeps 'packets', or NULL. */
    long long int time;         /* When they were read last, as time_msec(),
                                 * or 0. */
};

/* What stands in the first layer to find out later who has sent to whom what
 * 'counter', one of nftables', counts: sets of limited size that forget, and
 * the chain where packets end. */
void guard_alarm_format_nft(enum guard_counter, struct ds *);

/* 'file', which is copied, is guard_create()'s. */
void guard_alarm_init(struct guard_alarm *, const char *file);
void guard_alarm_destroy(struct guard_alarm *);

/* Reads the counters of the table 'nft', which carries out 'wanted', and of
 * XFRM.  The last arguments are whether either layer was not in place all the
 * time since this was done last. */
void guard_alarm_run(struct guard_alarm *, struct nft_table *nft,
                     const struct guard_wanted *wanted, bool nft_gone,
                     bool xfrm_gone);

#endif /* ipsec/guard-alarm.h */
