/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Tests ofctrl.c against a switch by commands on stdin, one a line:
 *
 *     replace ID FLOW[; FLOW]...   the owner ID wants these flows
 *     fill ID FIRST N              the owner ID wants N made-up flows
 *     remove ID                    the owner ID wants none
 *     complete                     the table holds all that is wanted
 *     reread                       reads the switch's flows again
 *     connected, installed, realized
 *                                  waits until that is so of all changes
 *     run MS                       goes on for so many milliseconds
 *     refusals                     prints the flows that are refused
 *     flows TABLE                  prints the switch's flows of a table
 *     time                         prints the time since the last "time"
 *     latency N                    changes a flow N times, and prints how
 *                                  long that took to be installed and realized
 *     large ID N                   the owner ID wants a flow of N actions
 *     rss                          prints the memory in use and its peak
 *     ! COMMAND                    runs a shell command
 */

#include <config.h>
#undef NDEBUG
#include "lateen-test.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "byte-order.h"
#include "fatal-signal.h"
#include "flows/flow-table.h"
#include "flows/ofctrl.h"
#include "flows/pipeline.h"
#include "openvswitch/dynamic-string.h"
#include "openvswitch/match.h"
#include "openvswitch/ofp-actions.h"
#include "openvswitch/ofp-flow.h"
#include "openvswitch/ofpbuf.h"
#include "openvswitch/poll-loop.h"
#include "openvswitch/vlog.h"
#include "packets.h"
#include "svec.h"
#include "timeval.h"
#include "util.h"

/* After this time, in ms, waiting has failed. */
#define TIMEOUT 30000

static const struct pipeline_table tables[] = {
    { 0, "first" },
    { 10, "second" },
    { 0, NULL },
};

static struct flow_table *ft;
static struct ofctrl *oc;

static ovs_be64
make_cookie(const char *id)
{
    return htonll(COOKIE_MARK | strtoull(id, NULL, 10));
}

static bool
is_connected(void)
{
    return ofctrl_is_connected(oc);
}

static bool
is_installed(void)
{
    return ofctrl_installed(oc) == flow_table_seqno(ft);
}

static bool
is_realized(void)
{
    return ofctrl_realized(oc) == flow_table_seqno(ft);
}

static void
run_until(bool (*condition)(void), long long int deadline)
{
    for (;;) {
        ofctrl_run(oc);
        if ((condition && condition()) || time_msec() >= deadline) {
            return;
        }
        ofctrl_wait(oc);
        poll_timer_wait_until(deadline);
        poll_block();
    }
}

static void
wait_for(bool (*condition)(void), const char *what)
{
    run_until(condition, time_msec() + TIMEOUT);
    if (!condition()) {
        const char *error = ofctrl_last_error(oc);

        ovs_fatal(0, "change %"PRIu64" not %s, but %"PRIu64" installed and "
                  "%"PRIu64" realized (%s)", flow_table_seqno(ft), what,
                  ofctrl_installed(oc), ofctrl_realized(oc),
                  error ? error : "no error");
    }
}

/* Clause flows as policies have them: some 16 for each of their lists of
 * actions. */
static void
fill(const char *id, uint32_t first, uint32_t n)
{
    struct flow_batch batch;
    struct ofpbuf ofpacts;

    ofpbuf_init(&ofpacts, 64);
    flow_batch_init(&batch, ft);
    for (uint32_t i = first; i < first + n; i++) {
        struct match match = MATCH_CATCHALL_INITIALIZER;
        struct ofpact_conjunction *conj;

        match_set_dl_type(&match, htons(ETH_TYPE_IP));
        match_set_nw_src(&match, htonl(0x0a000000 + i));
        ofpbuf_clear(&ofpacts);
        conj = ofpact_put_CONJUNCTION(&ofpacts);
        conj->id = i / 16;
        conj->clause = 0;
        conj->n_clauses = 2;
        flow_batch_add_match(&batch, 10, 100, &match, ofpacts.data,
                             ofpacts.size);
    }
    flow_table_replace(ft, make_cookie(id), &batch);
    flow_batch_uninit(&batch);
    ofpbuf_uninit(&ofpacts);
}

static void
large(const char *id, uint32_t n)
{
    struct match match = MATCH_CATCHALL_INITIALIZER;
    struct flow_batch batch;
    struct ofpbuf ofpacts;

    ofpbuf_init(&ofpacts, 64);
    for (uint32_t i = 0; i < n; i++) {
        struct ofpact_conjunction *conj = ofpact_put_CONJUNCTION(&ofpacts);

        conj->id = i;
        conj->clause = 0;
        conj->n_clauses = 2;
    }
    match_set_reg(&match, 0, n);
    flow_batch_init(&batch, ft);
    flow_batch_add_match(&batch, 10, 100, &match, ofpacts.data, ofpacts.size);
    flow_table_replace(ft, make_cookie(id), &batch);
    flow_batch_uninit(&batch);
    ofpbuf_uninit(&ofpacts);
}

static void
replace(const char *id, char *flows)
{
    struct flow_batch batch;
    char *save = NULL;
    char *flow;

    flow_batch_init(&batch, ft);
    for (flow = strtok_r(flows, ";", &save); flow;
         flow = strtok_r(NULL, ";", &save)) {
        flow_batch_add(&batch, "%s", flow);
    }
    flow_table_replace(ft, make_cookie(id), &batch);
    flow_batch_uninit(&batch);
}

static void
print_flow(const struct ofputil_flow_stats *fs, const char *error, void *done_)
{
    bool *done = done_;

    if (fs) {
        struct ds s = DS_EMPTY_INITIALIZER;

        ofputil_flow_stats_format(&s, fs, NULL, flow_table_names(ft), false);
        puts(ds_cstr(&s));
        ds_destroy(&s);
    } else {
        printf("end: %s\n", error ? error : "no error");
        *done = true;
    }
}

static bool flows_done;

static bool
is_flows_done(void)
{
    return flows_done;
}

static void
print_refusals(void)
{
    struct svec lines = SVEC_EMPTY_INITIALIZER;
    const struct flow_refusal *refusal;
    const char *line;
    size_t i;

    HMAP_FOR_EACH (refusal, node, flow_table_refusals(ft)) {
        char *flow = flow_delta_to_string(ft, &refusal->delta);

        ovs_assert(flow_table_find_refusal(ft, refusal->delta.cookie));
        svec_add_nocopy(&lines, xasprintf("%s: %s", flow, refusal->error));
        free(flow);
    }
    svec_sort(&lines);
    SVEC_FOR_EACH (i, line, &lines) {
        puts(line);
    }
    svec_destroy(&lines);
}

static int
compare_longs(const void *a_, const void *b_)
{
    const long long int *a = a_;
    const long long int *b = b_;

    return *a < *b ? -1 : *a > *b;
}

static void
print_latency(const char *name, long long int *us, size_t n)
{
    qsort(us, n, sizeof *us, compare_longs);
    printf("%s: median %lld us, 90%% %lld us, worst %lld us\n", name,
           us[n / 2], us[n * 9 / 10], us[n - 1]);
}

static void
measure_latency(size_t n)
{
    long long int *installed = xmalloc(n * sizeof *installed);
    long long int *realized = xmalloc(n * sizeof *realized);

    for (size_t i = 0; i < n; i++) {
        char *flow = xasprintf("table=first,priority=7,ip,"
                               "nw_dst=10.0.0.%"PRIuSIZE" actions=drop",
                               i % 250);
        long long int start;

        /* Not at the pace of the changes themselves. */
        run_until(NULL, time_msec() + 13 + i % 29);
        start = time_usec();
        replace("7777", flow);
        wait_for(is_installed, "installed");
        installed[i] = time_usec() - start;
        wait_for(is_realized, "realized");
        realized[i] = time_usec() - start;
        free(flow);
    }
    print_latency("installed", installed, n);
    print_latency("realized", realized, n);
    free(installed);
    free(realized);
}

static void
print_rss(void)
{
    FILE *file = fopen("/proc/self/status", "r");
    char line[128];

    while (file && fgets(line, sizeof line, file)) {
        long int kb;

        if (sscanf(line, "VmHWM: %ld", &kb) == 1
            || sscanf(line, "VmRSS: %ld", &kb) == 1) {
            printf("%.5s: %.1f MB\n", line, kb / 1024.0);
        }
    }
    if (file) {
        fclose(file);
    }
}

static void
do_command(char *line)
{
    static long long int last_time;
    char *save = NULL;
    const char *command = strtok_r(line, " ", &save);

    if (!strcmp(command, "replace")) {
        const char *id = strtok_r(NULL, " ", &save);

        replace(id, save);
    } else if (!strcmp(command, "fill")) {
        const char *id = strtok_r(NULL, " ", &save);
        uint32_t first = atoi(strtok_r(NULL, " ", &save));

        fill(id, first, atoi(strtok_r(NULL, " ", &save)));
    } else if (!strcmp(command, "large")) {
        const char *id = strtok_r(NULL, " ", &save);

        large(id, atoi(strtok_r(NULL, " ", &save)));
    } else if (!strcmp(command, "remove")) {
        flow_table_remove(ft, make_cookie(strtok_r(NULL, " ", &save)));
    } else if (!strcmp(command, "complete")) {
        ofctrl_set_complete(oc, true);
    } else if (!strcmp(command, "reread")) {
        ofctrl_reread(oc);
        ofctrl_run(oc);
    } else if (!strcmp(command, "connected")) {
        wait_for(is_connected, "connected");
    } else if (!strcmp(command, "installed")) {
        wait_for(is_installed, "installed");
    } else if (!strcmp(command, "realized")) {
        wait_for(is_realized, "realized");
    } else if (!strcmp(command, "run")) {
        run_until(NULL, time_msec() + atoi(strtok_r(NULL, " ", &save)));
    } else if (!strcmp(command, "refusals")) {
        print_refusals();
    } else if (!strcmp(command, "flows")) {
        flows_done = false;
        ofctrl_request_flows(oc, atoi(strtok_r(NULL, " ", &save)), 0, 0,
                             print_flow, &flows_done);
        wait_for(is_flows_done, "answered");
    } else if (!strcmp(command, "time")) {
        long long int now = time_usec();

        printf("%s %lld ms\n", save, (now - last_time) / 1000);
        last_time = now;
    } else if (!strcmp(command, "latency")) {
        measure_latency(atoi(strtok_r(NULL, " ", &save)));
    } else if (!strcmp(command, "rss")) {
        print_rss();
    } else if (!strcmp(command, "!")) {
        int status = system(save);

        if (status) {
            ovs_fatal(0, "\"%s\" has failed (%d)", save, status);
        }
    } else {
        ovs_fatal(0, "no command \"%s\"", command);
    }
}

static int
test_ofctrl(int argc, char *argv[])
{
    struct ds line = DS_EMPTY_INITIALIZER;

    if (argc != 3) {
        ovs_fatal(0, "usage: %s BRIDGE RUNDIR", argv[0]);
    }
    fatal_ignore_sigpipe();
    vlog_set_levels(NULL, VLF_CONSOLE, VLL_WARN);
    ft = flow_table_create(tables);
    oc = ofctrl_create(ft, argv[1], argv[2]);
    while (!ds_get_preprocessed_line(&line, stdin, NULL)) {
        do_command(ds_cstr(&line));
        fflush(stdout);
    }
    ds_destroy(&line);
    ofctrl_destroy(oc);
    flow_table_destroy(ft);
    return 0;
}
LATEEN_TEST_REGISTER("ofctrl", "BRIDGE RUNDIR", test_ofctrl);
