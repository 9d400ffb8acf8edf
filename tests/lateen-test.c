/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Runs the unit test that its first argument names.  Each tests/test-*.c
 * registers its subcommands here; the .at files hold what they must print. */

#include <config.h>
#include "lateen-test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "openvswitch/vlog.h"
#include "unixctl.h"
#include "util.h"

struct lateen_test {
    const char *name;
    const char *usage;
    lateen_test_func *function;
};

static struct lateen_test *tests;
static size_t n_tests, allocated_tests;

void
lateen_test_register(const char *name, const char *usage,
                     lateen_test_func *function)
{
    if (n_tests >= allocated_tests) {
        tests = x2nrealloc(tests, &allocated_tests, sizeof *tests);
    }
    tests[n_tests++] = (struct lateen_test) { name, usage, function };
}

void
lateen_test_ctl_set(struct unixctl_conn *conn, int argc OVS_UNUSED,
                    const char *argv[] OVS_UNUSED, void *flag_)
{
    bool *flag = flag_;

    *flag = true;
    unixctl_command_reply(conn, NULL);
}

static int
compare_tests(const void *a_, const void *b_)
{
    const struct lateen_test *a = a_;
    const struct lateen_test *b = b_;
    return strcmp(a->name, b->name);
}

int
main(int argc, char *argv[])
{
    if (argc < 2) {
        ovs_fatal(0, "no subcommand; \"%s --help\" lists them", argv[0]);
    }
    set_program_name(argv[0]);
    vlog_set_levels(NULL, VLF_SYSLOG, VLL_OFF);

    if (!strcmp(argv[1], "--help")) {
        qsort(tests, n_tests, sizeof *tests, compare_tests);
        for (size_t i = 0; i < n_tests; i++) {
            printf("%s %s\n", tests[i].name, tests[i].usage);
        }
        return 0;
    }

    for (size_t i = 0; i < n_tests; i++) {
        if (!strcmp(argv[1], tests[i].name)) {
            int status = tests[i].function(argc - 1, argv + 1);
            free(tests);
            return status;
        }
    }
    ovs_fatal(0, "no subcommand \"%s\"", argv[1]);
}
