/* SPDX-License-Identifier: GPL-3.0-or-later */
/* lateen-test: one program that holds the unit tests' subcommands. */

#ifndef LATEEN_TEST_H
#define LATEEN_TEST_H 1

#include "openvswitch/compiler.h"

struct unixctl_conn;

/* A subcommand: 'argv[0]' is its name, and it returns the exit status. */
typedef int lateen_test_func(int argc, char *argv[]);

/* Registers the subcommand 'name', whose arguments 'usage' describes (both
 * literal strings). */
void lateen_test_register(const char *name, const char *usage,
                          lateen_test_func *);

/* A unixctl command: sets the "bool" at 'flag'. */
void lateen_test_ctl_set(struct unixctl_conn *, int argc, const char *argv[],
                         void *flag);

/* At file level, registers FUNCTION as the subcommand NAME. */
#define LATEEN_TEST_REGISTER(NAME, USAGE, FUNCTION)             \
    OVS_CONSTRUCTOR(register_##FUNCTION)                        \
    {                                                           \
        lateen_test_register(NAME, USAGE, FUNCTION);            \
    }

#endif /* tests/lateen-test.h */
