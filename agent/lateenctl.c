/* SPDX-License-Identifier: GPL-3.0-or-later */
/* lateenctl: the operator's tool.  It asks lateend over its control socket,
 * in the JSON-RPC of ovs-appctl, and prints the answer as tables for people or
 * as JSON for programs. */

#include <config.h>

#include <errno.h>
#include <getopt.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl-client.h"

/* How long an answer may take, in seconds, unless --timeout says otherwise. */
#define DEFAULT_TIMEOUT 30

#define MAX_COLUMNS 10

/* A column of a table: what stands above it, and the member of each row that
 * fills it. */
struct column {
    const char *title;
    const char *member;
};

struct command {
    const char *name;           /* On the command line and in the agent. */
    const char *usage;          /* Its own options. */
    const char *help;
    const struct column *columns; /* NULL: no table. */
};

static const struct column node_columns[] = {
    { "NODE", "name" }, { "ADDRESSES", "addresses" },
    { "POD CIDRS", "podCIDRs" }, { "TUNNEL", "tunnel" },
    { "IPSEC", "ipsec" }, { NULL, NULL }
};
static const struct column pod_columns[] = {
    { "NAMESPACE", "namespace" }, { "NAME", "name" }, { "NODE", "node" },
    { "IPS", "ips" }, { "PORT", "port" }, { "OFPORT", "ofport" },
    { "STATE", "state" }, { NULL, NULL }
};
static const struct column flow_columns[] = {
    { "TABLE", "table" }, { "PRIORITY", "priority" },
    { "PACKETS", "packets" }, { "OWNER", "owner" }, { "MATCH", "match" },
    { "ACTIONS", "actions" }, { NULL, NULL }
};
static const struct column policy_columns[] = {
    { "NAMESPACE", "namespace" }, { "NAME", "name" }, { "RULES", "rules" },
    { "PODS HERE", "podsHere" }, { "PODS", "pods" }, { "FLOWS", "flows" },
    { "REALISED", "realised" }, { "WHY NOT", "why" }, { NULL, NULL }
};
static const struct column policy_stats_columns[] = {
    { "NAMESPACE", "namespace" }, { "NAME", "name" }, { "RULES", "rules" },
    { "PODS HERE", "podsHere" }, { "PODS", "pods" }, { "FLOWS", "flows" },
    { "PACKETS", "packets" }, { "CONNECTIONS", "connections" },
    { "REALISED", "realised" }, { "WHY NOT", "why" }, { NULL, NULL }
};
static const struct column ipsec_columns[] = {
    { "PEER", "peer" }, { "ADDRESS", "address" }, { "STATE", "state" },
    { "ALGORITHM", "algorithm" }, { "AGE", "age" },
    { "BYTES IN", "bytesIn" }, { "BYTES OUT", "bytesOut" },
    { "REKEYS", "rekeys" }, { "KERNEL", "kernel" }, { "ERROR", "error" },
    { NULL, NULL }
};

static const struct column verify_columns[] = {
    { "PEER", "peer" }, { "PROVEN", "proven" }, { "PROBES", "probes" },
    { "ANSWERED", "answered" }, { "ESP OUT", "espOut" },
    { "ESP IN", "espIn" }, { "CLEAR", "clear" }, { "SA OUT", "saOut" },
    { "SA IN", "saIn" }, { "WHY NOT", "reason" }, { NULL, NULL }
};

static const struct command commands[] = {
    { "status", "", "what this node's agent does and how it fares", NULL },
    { "nodes", "", "the nodes of the cluster", node_columns },
    { "pods", "", "the pods and containers attached to this node",
      pod_columns },
    { "policies", "[--stats]", "the network policies, and whether they are "
      "in force", policy_columns },
    { "flows", "[--pod NAMESPACE/NAME | --policy NAMESPACE/NAME | "
      "--node NODE |\n         --table TABLE]",
      "the flows in the switch, with the objects that want them",
      flow_columns },
    { "ipsec", "", "the state of encryption, peer by peer", ipsec_columns },
    { "ipsec verify", "[PEER]", "prove by probes that what passes between "
      "this node and its peers\n        is encrypted; the exit status is 1 "
      "where that is not proven", verify_columns },
    { "wait", "--for=synced | --for=encrypted",
      "wait until all that is known is in the switch, the host and IPsec;\n"
      "        or, moreover, until packets to all peers can leave encrypted",
      NULL },
    { "recompute", "", "compute all flows again; it must change nothing",
      NULL },
    { NULL, NULL, NULL, NULL }
};

static void
usage(void)
{
    printf("lateenctl: the operator's tool of the Lateen agent\n"
           "usage: lateenctl [OPTION]... COMMAND [OPTION]...\n\n"
           "Commands:\n");
    for (const struct command *c = commands; c->name; c++) {
        printf("  %s%s%s\n        %s\n", c->name, *c->usage ? " " : "",
               c->usage, c->help);
    }
    printf("\nOptions:\n"
           "  -o, --output=table|json  tables for people (default) or JSON\n"
           "  -t, --target=SOCKET      the agent's control socket\n"
           "                           (default: %s/lateend.ctl, or\n"
           "                           $LATEEN_RUNDIR/lateend.ctl)\n"
           "  -T, --timeout=SECONDS    how long to wait for the answer"
           " (default: %d)\n"
           "  -h, --help               this text\n"
           "  -V, --version            the version\n"
           "\nExit status: 0 on success, 1 if the agent refused or could not"
           " be asked,\n2 on a usage error.\n",
           LATEEN_RUNDIR, DEFAULT_TIMEOUT);
}

__attribute__((noreturn, format(printf, 2, 3))) static void
die(int status, const char *format, ...)
{
    va_list args;

    fputs("lateenctl: ", stderr);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    exit(status);
}

/* Asks the agent, and returns what its answer says. */
static json_t *
ask(const char *path, const char *method, const char *const *args, size_t n,
    int timeout)
{
    struct ctl_call call;
    json_t *value;
    char *error;
    int reached;

    ctl_ask(&call, path, method, args, n, timeout);
    value = ctl_answer(&call, &error, &reached);
    if (!value) {
        if (reached) {
            die(1, "%s", error);
        }
        die(1, "%s (socket %s)\n"
            "Is lateend running on this node?  Its socket can be named with "
            "--target, a longer time with --timeout.", error, path);
    }
    return value;
}

/* The text of 'value' for a cell or a line, in a new string. */
static char *
value_to_text(const json_t *value)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);

    switch (value ? json_typeof(value) : JSON_NULL) {
    case JSON_STRING:
        fputs(json_string_value(value), out);
        break;
    case JSON_INTEGER:
        fprintf(out, "%"JSON_INTEGER_FORMAT, json_integer_value(value));
        break;
    case JSON_REAL:
        fprintf(out, "%g", json_real_value(value));
        break;
    case JSON_TRUE:
        fputs("yes", out);
        break;
    case JSON_FALSE:
        fputs("no", out);
        break;
    case JSON_ARRAY: {
        const json_t *elem;
        size_t i;

        json_array_foreach (value, i, elem) {
            char *s = value_to_text(elem);

            fprintf(out, "%s%s", i ? "," : "", s);
            free(s);
        }
        break;
    }
    case JSON_OBJECT:
    case JSON_NULL:
    default:
        break;
    }
    fclose(out);
    if (!*text) {
        free(text);
        text = strdup("-");
    }
    return text;
}

static void
print_table(const json_t *rows, const struct column *columns)
{
    size_t n_rows = json_array_size(rows);
    int width[MAX_COLUMNS];
    size_t n_columns = 0;
    const json_t *row;
    char **cells;
    size_t i;

    for (; columns[n_columns].title; n_columns++) {
        width[n_columns] = strlen(columns[n_columns].title);
    }
    cells = calloc(n_rows * n_columns + 1, sizeof *cells);
    if (!cells) {
        die(1, "out of memory");
    }
    json_array_foreach (rows, i, row) {
        for (size_t c = 0; c < n_columns; c++) {
            char *text = value_to_text(json_object_get(row,
                                                       columns[c].member));
            int len = strlen(text);

            cells[i * n_columns + c] = text;
            width[c] = len > width[c] ? len : width[c];
        }
    }
    for (size_t c = 0; c < n_columns; c++) {
        printf("%-*s%s", c + 1 < n_columns ? width[c] : 0,
               columns[c].title, c + 1 < n_columns ? "  " : "\n");
    }
    for (i = 0; i < n_rows * n_columns; i++) {
        size_t c = i % n_columns;

        printf("%-*s%s", c + 1 < n_columns ? width[c] : 0, cells[i],
               c + 1 < n_columns ? "  " : "\n");
        free(cells[i]);
    }
    free(cells);
}

/* Prints an object as lines "key: value", nested ones indented. */
static void
print_object(const json_t *object, int indent)
{
    const char *key;
    json_t *value;

    json_object_foreach ((json_t *) object, key, value) {
        if (json_is_object(value)) {
            printf("%*s%s:\n", indent, "", key);
            print_object(value, indent + 2);
        } else if (json_is_array(value)) {
            const json_t *elem;
            size_t i;

            printf("%*s%s:%s\n", indent, "", key,
                   json_array_size(value) ? "" : " -");
            json_array_foreach (value, i, elem) {
                if (json_is_object(elem)) {
                    print_object(elem, indent + 2);
                } else {
                    char *text = value_to_text(elem);

                    printf("%*s%s\n", indent + 2, "", text);
                    free(text);
                }
            }
        } else {
            char *text = value_to_text(value);

            printf("%*s%s: %s\n", indent, "", key, text);
            free(text);
        }
    }
}

/* Finds the command that 'argv' begins with. */
static const struct command *
find_command(char *argv[])
{
    const struct command *found = NULL;

    for (const struct command *c = commands; c->name; c++) {
        const char *second = strchr(c->name, ' ');
        size_t length = second ? second - c->name : strlen(c->name);

        if (strlen(argv[0]) == length && !strncmp(argv[0], c->name, length)
            && (!second || (argv[1] && !strcmp(argv[1], second + 1)))) {
            found = c;
        }
    }
    if (!found) {
        die(2, "unknown command \"%s\" (see lateenctl --help)", argv[0]);
    }
    return found;
}

/* Whether each peer's encryption is proven. */
static bool
all_proven(const json_t *rows)
{
    const json_t *row;
    size_t i;

    json_array_foreach (rows, i, row) {
        if (!json_is_true(json_object_get(row, "proven"))) {
            return false;
        }
    }
    return true;
}

int
main(int argc, char *argv[])
{
    enum {
        OPT_POD = 256,
        OPT_NODE,
        OPT_POLICY,
        OPT_STATS,
        OPT_TABLE,
        OPT_FOR,
    };
    static const struct option options[] = {
        { "output", required_argument, NULL, 'o' },
        { "target", required_argument, NULL, 't' },
        { "timeout", required_argument, NULL, 'T' },
        { "help", no_argument, NULL, 'h' },
        { "version", no_argument, NULL, 'V' },
        { "pod", required_argument, NULL, OPT_POD },
        { "node", required_argument, NULL, OPT_NODE },
        { "policy", required_argument, NULL, OPT_POLICY },
        { "stats", no_argument, NULL, OPT_STATS },
        { "table", required_argument, NULL, OPT_TABLE },
        { "for", required_argument, NULL, OPT_FOR },
        { NULL, 0, NULL, 0 },
    };
    const char *target = NULL;
    const char *filter = NULL;
    const char *args[2];
    size_t n_args = 0;
    bool json = false, stats = false;
    int timeout = DEFAULT_TIMEOUT;
    char *tail;
    int c;

    while ((c = getopt_long(argc, argv, "o:t:T:hV", options, NULL)) != -1) {
        switch (c) {
        case 'o':
            if (strcmp(optarg, "json") && strcmp(optarg, "table")) {
                die(2, "--output is table or json, not \"%s\"", optarg);
            }
            json = !strcmp(optarg, "json");
            break;
        case 't':
            target = optarg;
            break;
        case 'T':
            timeout = strtol(optarg, &tail, 10);
            if (*tail || timeout <= 0) {
                die(2, "--timeout takes seconds, not \"%s\"", optarg);
            }
            break;
        case 'h':
            usage();
            return 0;
        case 'V':
            printf("lateenctl (Lateen) %s\n", PACKAGE_VERSION);
            return 0;
        case OPT_STATS:
            stats = true;
            break;
        case OPT_POD:
        case OPT_NODE:
        case OPT_POLICY:
        case OPT_TABLE:
        case OPT_FOR:
            if (n_args) {
                die(2, "at most one of --pod, --policy, --node, --table "
                    "and --for");
            }
            filter = (c == OPT_POD ? "pod" : c == OPT_NODE ? "node"
                      : c == OPT_POLICY ? "policy"
                      : c == OPT_TABLE ? "table" : "for");
            args[n_args++] = filter;
            args[n_args++] = optarg;
            break;
        default:
            return 2;
        }
    }
    if (optind >= argc) {
        die(2, "which command?  (see lateenctl --help)");
    }

    const struct command *command = find_command(&argv[optind]);
    bool verify = !strcmp(command->name, "ipsec verify");
    optind += verify ? 2 : 1;
    if (verify && optind < argc && !filter) {
        args[n_args++] = argv[optind++];
    }
    if (optind < argc) {
        die(2, "%s takes no argument \"%s\" (see lateenctl --help)",
            command->name, argv[optind]);
    }
    if (!strcmp(command->name, "wait")) {
        if (!filter || strcmp(filter, "for")
            || (strcmp(args[1], "synced") && strcmp(args[1], "encrypted"))) {
            die(2, "wait needs --for=synced or --for=encrypted");
        }
    } else if (filter && (strcmp(command->name, "flows")
                          || !strcmp(filter, "for"))) {
        die(2, "%s takes no option --%s", command->name, filter);
    }

    const struct column *columns = command->columns;
    if (stats) {
        if (strcmp(command->name, "policies")) {
            die(2, "%s takes no option --stats", command->name);
        }
        args[n_args++] = "stats";
        columns = policy_stats_columns;
    }

    char *path = ctl_socket_path(target);
    json_t *answer = ask(path, verify ? "ipsec/verify" : command->name, args,
                         n_args, timeout);
    if (json) {
        json_dumpf(answer, stdout, JSON_INDENT(2) | JSON_ENCODE_ANY);
        putchar('\n');
    } else if (columns && json_is_array(answer)) {
        print_table(answer, columns);
    } else if (json_is_object(answer)) {
        print_object(answer, 0);
    } else {
        char *text = value_to_text(answer);

        puts(text);
        free(text);
    }
    int status = verify && !all_proven(answer);
    json_decref(answer);
    free(path);
    if (fflush(stdout) || ferror(stdout)) {
        die(1, "cannot write the answer: %s", strerror(errno));
    }
    return status;
}
