/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Tests flow-table.c by commands on stdin, one a line:
 *
 *     replace ID FLOW[; FLOW]...   the owner ID wants these flows
 *     whole ID FLOW[; FLOW]...     the same, of no use but together; one with
 *                                  "guard" before it forbids
 *     remove ID                    the owner ID wants none
 *     present ID FLOW[; FLOW]...   the switch has these flows
 *     forget                       it is not known what the switch has
 *     refuse [full] TEXT           the switch refuses the flow of the change
 *                                  begun that has TEXT; "full": the table is
 *     diff                         prints the change to the switch; it is made
 *     begin                        prints the change to the switch
 *     done, fail                   the change is made, or fails
 *     count                        prints the numbers of flows, and of those
 *                                  that are refused
 *
 * Every command that changes the table's number prints it. */

#include <config.h>
#undef NDEBUG
#include "lateen-test.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "byte-order.h"
#include "flows/flow-table.h"
#include "flows/pipeline.h"
#include "openvswitch/dynamic-string.h"
#include "openvswitch/match.h"
#include "openvswitch/ofp-actions.h"
#include "openvswitch/ofp-flow.h"
#include "openvswitch/ofpbuf.h"
#include "svec.h"
#include "util.h"

static const struct pipeline_table tables[] = {
    { 0, "first" },
    { 10, "second" },
    { 0, NULL },
};

static void
print_deltas(struct flow_table *ft, const struct flow_deltas *deltas)
{
    struct svec lines = SVEC_EMPTY_INITIALIZER;
    const char *line;
    size_t i;

    for (i = 0; i < deltas->n; i++) {
        const struct flow_delta *delta = &deltas->elems[i];
        char *s = flow_delta_to_string(ft, delta);
        struct ofpbuf *msg = flow_delta_encode(ft, delta, htonl(1));

        svec_add_nocopy(&lines, xasprintf("%s %s", delta->actions ? "add"
                                          : "delete", s));
        ofpbuf_delete(msg);
        free(s);
    }
    svec_sort(&lines);
    SVEC_FOR_EACH (i, line, &lines) {
        printf("  %s\n", line);
    }
    svec_destroy(&lines);
}

static void
add_present(struct flow_table *ft, ovs_be64 cookie, const char *flow)
{
    struct ofputil_flow_stats fs = { .cookie = cookie };
    enum ofputil_protocol usable;
    struct ofputil_flow_mod fm;
    char *error;

    error = parse_ofp_flow_mod_str(&fm, flow, NULL, flow_table_names(ft),
                                   OFPFC_ADD, &usable);
    if (error) {
        ovs_fatal(0, "%s: %s", flow, error);
    }
    minimatch_expand(&fm.match, &fs.match);
    fs.table_id = fm.table_id;
    fs.priority = fm.priority;
    fs.ofpacts = fm.ofpacts;
    fs.ofpacts_len = fm.ofpacts_len;
    flow_table_add_present(ft, &fs);
    minimatch_destroy(&fm.match);
    free(CONST_CAST(struct ofpact *, fm.ofpacts));
}

static void
refuse(struct flow_table *ft, const struct flow_deltas *deltas,
       const char *text)
{
    bool full = !strncmp(text, "full ", 5);
    size_t i;

    for (i = 0; i < deltas->n; i++) {
        char *s = flow_delta_to_string(ft, &deltas->elems[i]);
        bool found = strstr(s, text + (full ? 5 : 0)) != NULL;

        free(s);
        if (found) {
            break;
        }
    }
    ovs_assert(i < deltas->n);
    printf("  %"PRIuSIZE" refused\n",
           flow_table_refuse(ft, deltas, i, "error", full));
}

static void
do_command(struct flow_table *ft, struct flow_deltas *deltas, char *line)
{
    char *save = NULL;
    const char *command = strtok_r(line, " ", &save);

    if (!strcmp(command, "replace") || !strcmp(command, "whole")
        || !strcmp(command, "present")) {
        ovs_be64 cookie = htonll(COOKIE_MARK
                                 | atoi(strtok_r(NULL, " ", &save)));
        struct flow_batch batch;
        char *flow;

        flow_batch_init(&batch, ft);
        while ((flow = strtok_r(NULL, ";", &save)) != NULL) {
            if (!strcmp(command, "present")) {
                add_present(ft, cookie, flow);
            } else {
                flow += strspn(flow, " ");
                batch.guards = !strncmp(flow, "guard ", 6);
                flow_batch_add(&batch, "%s", flow + (batch.guards ? 6 : 0));
            }
        }
        batch.whole = !strcmp(command, "whole");
        if (strcmp(command, "present")) {
            flow_table_replace(ft, cookie, &batch);
        }
        flow_batch_uninit(&batch);
    } else if (!strcmp(command, "remove")) {
        flow_table_remove(ft, htonll(COOKIE_MARK
                                     | atoi(strtok_r(NULL, " ", &save))));
    } else if (!strcmp(command, "refuse")) {
        refuse(ft, deltas, save);
    } else if (!strcmp(command, "forget")) {
        flow_table_forget_present(ft);
    } else if (!strcmp(command, "diff")) {
        flow_table_diff(ft, deltas);
        print_deltas(ft, deltas);
        flow_table_finish(ft, deltas, true);
    } else if (!strcmp(command, "begin")) {
        flow_table_diff(ft, deltas);
        print_deltas(ft, deltas);
    } else if (!strcmp(command, "done")) {
        flow_table_finish(ft, deltas, true);
    } else if (!strcmp(command, "fail")) {
        flow_table_finish(ft, deltas, false);
    } else if (!strcmp(command, "count")) {
        printf("  %"PRIuSIZE" wanted, %"PRIuSIZE" present, %"PRIuSIZE
               " refused\n", flow_table_n_wanted(ft),
               flow_table_n_present(ft),
               hmap_count(flow_table_refusals(ft)));
    } else {
        ovs_fatal(0, "no command \"%s\"", command);
    }
}

static int
test_flow_table(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    struct flow_table *ft = flow_table_create(tables);
    uint64_t seqno = flow_table_seqno(ft);
    struct flow_deltas deltas = { .n = 0 };
    struct ds line = DS_EMPTY_INITIALIZER;

    while (!ds_get_preprocessed_line(&line, stdin, NULL)) {
        printf("%s\n", ds_cstr(&line));
        do_command(ft, &deltas, ds_cstr(&line));
        if (flow_table_seqno(ft) != seqno) {
            seqno = flow_table_seqno(ft);
            printf("  now %"PRIu64"\n", seqno);
        }
        fflush(stdout);
    }
    ds_destroy(&line);
    flow_table_finish(ft, &deltas, false);
    flow_table_destroy(ft);
    return 0;
}
LATEEN_TEST_REGISTER("flow-table", "", test_flow_table);
