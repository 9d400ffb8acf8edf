/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Runs a source "dir:" by commands from standard input:
 *
 *     !COMMAND            a shell command
 *     sync                runs until the source has read everything
 *     until TEXT          runs until the model or an error holds TEXT
 *     gone TEXT           runs until neither does
 *     run MS              runs for a time
 *     dump                prints the model
 *     errors              prints the errors
 *     changes             prints how often the model has changed
 *     publish NODE [NAMESPACE/NAME=IP...]
 */

#include <config.h>
#include "agent/source-dir.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/model.h"
#include "agent/source.h"
#include "lateen-test.h"
#include "model-dump.h"
#include "openvswitch/poll-loop.h"
#include "openvswitch/vlog.h"
#include "svec.h"
#include "timeval.h"
#include "util.h"

static struct source *source;
static struct model model;

/* Returns what 'dump' and 'errors' print, in a new string. */
static char *
capture(bool dump, bool errors)
{
    FILE *old = stdout;
    char *text;
    size_t size;

    stdout = open_memstream(&text, &size);
    if (dump) {
        model_dump(&model);
    }
    if (errors) {
        struct svec list = SVEC_EMPTY_INITIALIZER;
        struct source_status status = { .errors = &list };
        const char *error;
        size_t i;

        source_get_status(source, &status);
        SVEC_FOR_EACH (i, error, &list) {
            puts(error);
        }
        svec_destroy(&list);
    }
    fclose(stdout);
    stdout = old;
    return text;
}

static bool
is_synced(const char *text OVS_UNUSED)
{
    struct svec list = SVEC_EMPTY_INITIALIZER;
    struct source_status status = { .errors = &list };

    source_get_status(source, &status);
    svec_destroy(&list);
    return status.synced;
}

static bool
is_there(const char *text)
{
    char *all = capture(true, true);
    bool found = strstr(all, text);

    free(all);
    return found;
}

static bool
is_gone(const char *text)
{
    return !is_there(text);
}

/* Runs until 'done' says so.  Returns false if that takes more than 'ms'. */
static bool
run_until(bool (*done)(const char *), const char *text, int ms)
{
    long long int end = time_msec() + ms;

    for (;;) {
        source_run(source, &model);
        if (done && done(text)) {
            return true;
        } else if (time_msec() >= end) {
            return false;
        }
        source_wait(source);
        poll_timer_wait_until(end);
        poll_block();
    }
}

static void
publish(char *args)
{
    struct source_pod pods[16];
    struct ip_prefix_list ips[16];
    char *save, *node = strtok_r(args, " ", &save);
    size_t n = 0;

    for (char *arg; (arg = strtok_r(NULL, " ", &save)); n++) {
        char *name = strchr(arg, '/');
        char *ip = strchr(arg, '=');
        struct ip_prefix p;

        ovs_assert(n < ARRAY_SIZE(pods) && name && ip);
        *name++ = *ip++ = '\0';
        ovs_assert(ip_prefix_parse(ip, &p));
        ips[n] = (struct ip_prefix_list) { .n = 0 };
        ip_prefix_list_add(&ips[n], &p);
        pods[n] = (struct source_pod) { arg, name, &ips[n] };
    }
    source_publish(source, node, pods, n);
    while (n) {
        ip_prefix_list_destroy(&ips[--n]);
    }
}

static void
run_command(char *line)
{
    char *arg = line + strcspn(line, " ");
    bool ok = true;

    arg += *arg == ' ';
    if (*line == '!') {
        ok = !system(line + 1);
    } else if (!strcmp(line, "sync")) {
        ok = run_until(is_synced, NULL, 20000);
    } else if (!strncmp(line, "until ", 6)) {
        ok = run_until(is_there, arg, 20000);
    } else if (!strncmp(line, "gone ", 5)) {
        ok = run_until(is_gone, arg, 20000);
    } else if (!strncmp(line, "run ", 4)) {
        run_until(NULL, NULL, atoi(arg));
    } else if (!strcmp(line, "dump") || !strcmp(line, "errors")) {
        char *text = capture(*line == 'd', *line == 'e');

        fputs(text, stdout);
        free(text);
    } else if (!strcmp(line, "changes")) {
        printf("%llu changes\n", (unsigned long long int) model.seqno);
    } else if (!strncmp(line, "publish ", 8)) {
        publish(arg);
    } else {
        ovs_fatal(0, "%s: no such command", line);
    }
    if (!ok) {
        char *text = capture(true, true);

        ovs_fatal(0, "%s: failed, with\n%s", line, text);
    }
    fflush(stdout);
}

static int
test_source_dir(int argc, char *argv[])
{
    char line[1024];

    if (argc != 2) {
        ovs_fatal(0, "usage: source-dir DIR");
    }
    vlog_set_levels(NULL, VLF_ANY_DESTINATION, VLL_OFF);
    model_init(&model);
    source = source_dir_open(argv[1]);
    while (fgets(line, sizeof line, stdin)) {
        line[strcspn(line, "\n")] = '\0';
        run_command(line);
    }
    source_close(source);
    model_destroy(&model);
    return 0;
}
LATEEN_TEST_REGISTER("source-dir", "DIR", test_source_dir)
