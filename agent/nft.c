/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A table of nftables that is Lateen's own: see nft.h. */

#include <config.h>
#include "nft.h"

#include <errno.h>
#include <netinet/in.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>
#include "byte-order.h"
#include "hash.h"
#include "ip.h"
#include "netlink.h"
#include "netlink-socket.h"
#include "nlsock.h"
#include "openvswitch/dynamic-string.h"
#include "openvswitch/ofpbuf.h"
#include "openvswitch/poll-loop.h"
#include "openvswitch/vlog.h"
#include "process.h"
#include "timeval.h"
#include "util.h"

VLOG_DEFINE_THIS_MODULE(nft);

/* A child that takes longer is killed.  While a node boots, or where a machine
 * has too much to do, nft takes seconds. */
#define CHILD_TIMEOUT 20000     /* ms */

/* Between two attempts, the first of which failed. */
#define RETRY_INTERVAL 1000     /* ms */

/* Between two replacements, should somebody keep changing the table. */
#define REPLACE_INTERVAL 100    /* ms */

struct counter {
    const char *name;
    uint64_t packets, bytes;    /* As read last. */
};

/* What the kernel holds under our name. */
struct kernel_table {
    bool exists;
    bool dormant;               /* Its hooks are switched off. */
    size_t n_rules;
    uint32_t digest;            /* Of all rules, in order. */
};

struct nft_table {
    char *name;
    struct counter *counters;
    size_t n_counters;
    struct nl_sock *events;

    char *text;                 /* As wanted; NULL for no table. */
    bool managed;               /* nft_table_set() has been called. */
    bool dirty;                 /* The table has to be replaced. */
    bool touched;               /* An event named the table. */
    bool ok;                    /* The kernel held 'text' when looked last. */
    struct kernel_table kernel; /* When 'ok' became true. */
    long long int next_start;   /* No child before that time. */
    unsigned int repairs;
    char *error;

    /* The child, if 'pid' is nonzero. */
    pid_t pid;
    int pidfd;                  /* Readable once the child has ended. */
    int output;                 /* File with what it says. */
    long long int deadline;     /* To be killed then. */
    bool outdated;              /* 'text' has changed since its start. */
};

static void child_start(struct nft_table *);
static void child_run(struct nft_table *);
static int read_table(const char *name, struct kernel_table *);
static void read_counters(struct nft_table *);
static void take_event(const struct ofpbuf *, void *table);

char *
nft_table_create(const char *name, const char *const counters[], size_t n,
                 struct nft_table **tablep)
{
    static const unsigned int group = NFNLGRP_NFTABLES;
    struct nl_sock *events;
    int error = nlsock_open(NETLINK_NETFILTER, &group, 1, &events);

    *tablep = NULL;
    if (error) {
        return xasprintf("nftables events: %s", ovs_strerror(error));
    }

    struct nft_table *table = xzalloc(sizeof *table);
    table->name = xstrdup(name);
    table->events = events;
    table->counters = xcalloc(n, sizeof *table->counters);
    table->n_counters = n;
    for (size_t i = 0; i < n; i++) {
        table->counters[i].name = counters[i];
    }
    *tablep = table;
    return NULL;
}

void
nft_table_destroy(struct nft_table *table)
{
    if (table) {
        if (table->pid) {
            close(table->pidfd);
            close(table->output);
        }
        nl_sock_destroy(table->events);
        free(table->name);
        free(table->counters);
        free(table->text);
        free(table->error);
        free(table);
    }
}

void
nft_table_set(struct nft_table *table, const char *text)
{
    if (!table->managed || !nullable_string_is_equal(table->text, text)) {
        free(table->text);
        table->text = nullable_xstrdup(text);
        table->managed = true;
        table->dirty = true;
        table->outdated = true;
        table->ok = false;
        table->next_start = LLONG_MIN;
    }
}

static void
set_error(struct nft_table *table, char *error)
{
    static struct vlog_rate_limit rl = VLOG_RATE_LIMIT_INIT(5, 10);

    if (error && !nullable_string_is_equal(error, table->error)) {
        VLOG_WARN_RL(&rl, "table inet %s cannot be put in place: %s",
                     table->name, error);
    }
    free(table->error);
    table->error = error;
}

static bool
kernel_table_equals(const struct kernel_table *a,
                    const struct kernel_table *b)
{
    return (a->exists == b->exists && a->dormant == b->dormant
            && a->n_rules == b->n_rules && a->digest == b->digest);
}

/* Somebody has touched the table: finds out whether it still holds what it
 * should. */
static void
check(struct nft_table *table)
{
    static struct vlog_rate_limit rl = VLOG_RATE_LIMIT_INIT(5, 10);
    struct kernel_table now;
    int error = read_table(table->name, &now);

    if (error == EINTR) {
        return;                 /* It is being changed: look again. */
    }
    table->touched = false;
    if (error || !kernel_table_equals(&now, &table->kernel)) {
        VLOG_WARN_RL(&rl, "table inet %s has been %s by somebody else, it "
                     "is put back", table->name,
                     now.exists ? "changed" : "removed");
        table->ok = false;
        table->dirty = true;
        table->repairs++;
    }
}

void
nft_table_run(struct nft_table *table)
{
    if (nlsock_events(table->events, take_event, table)) {
        table->touched = true;
    }
    if (!table->managed) {
        return;
    }
    if (table->pid) {
        child_run(table);
    }
    if (table->touched && table->ok && !table->pid) {
        check(table);
    }
    if (table->dirty && !table->pid && time_msec() >= table->next_start) {
        if (!table->text && !read_table(table->name, &table->kernel)
            && !table->kernel.exists) {
            table->dirty = false;
            table->ok = true;
        } else {
            child_start(table);
        }
    }
}

void
nft_table_wait(const struct nft_table *table)
{
    nl_sock_wait(table->events, POLLIN);
    if (!table->managed) {
        return;
    }
    if (table->pid) {
        poll_fd_wait(table->pidfd, POLLIN);
        poll_timer_wait_until(table->deadline);
    } else if (table->dirty) {
        poll_timer_wait_until(table->next_start);
    } else if (table->touched) {
        poll_immediate_wake();
    }
}

char *
nft_table_install(struct nft_table *table)
{
    long long int deadline = time_msec() + CHILD_TIMEOUT;

    table->next_start = LLONG_MIN;
    set_error(table, NULL);
    for (;;) {
        nft_table_run(table);
        if (table->ok) {
            return NULL;
        } else if (table->error) {
            return xstrdup(table->error);
        }

        long long int left = deadline - time_msec();
        if (left <= 0) {
            return xasprintf("table inet %s is not in place after %d ms",
                             table->name, CHILD_TIMEOUT);
        }
        struct pollfd pfd = { .fd = table->pid ? table->pidfd : -1,
                              .events = POLLIN };
        poll(&pfd, 1, MIN(left, REPLACE_INTERVAL));
    }
}

bool
nft_table_is_ok(const struct nft_table *table)
{
    return table->ok;
}

const char *
nft_table_error(const struct nft_table *table)
{
    return table->error;
}

unsigned int
nft_table_repairs(const struct nft_table *table)
{
    return table->repairs;
}

void
nft_table_read_counters(struct nft_table *table, uint64_t values[])
{
    read_counters(table);
    for (size_t i = 0; i < table->n_counters; i++) {
        values[i] = table->counters[i].packets;
    }
}

char *
nft_table_remove(const char *name)
{
    struct nft_table *table;
    char *error = nft_table_create(name, NULL, 0, &table);

    if (!error) {
        nft_table_set(table, NULL);
        error = nft_table_install(table);
        nft_table_destroy(table);
    }
    return error;
}

/* Text. */

bool
nft_has_family(const struct ip_prefix_list *list, bool v4)
{
    for (size_t i = 0; i < list->n; i++) {
        if (ip_is_v4(&list->elems[i].addr) == v4) {
            return true;
        }
    }
    return false;
}

void
nft_format_set(const struct ip_prefix_list *list, bool v4, struct ds *ds)
{
    struct ip_prefix_list sorted;
    const char *separator = "{ ";

    ip_prefix_list_clone(&sorted, list);
    ip_prefix_list_sort(&sorted);
    for (size_t i = 0; i < sorted.n; i++) {
        if (ip_is_v4(&sorted.elems[i].addr) == v4) {
            ds_put_cstr(ds, separator);
            ip_prefix_format(&sorted.elems[i], ds);
            separator = ", ";
        }
    }
    ds_put_cstr(ds, " }");
    ip_prefix_list_destroy(&sorted);
}

/* The child. */

/* The commands that replace the table, whether or not there is one. */
static void
format_commands(const struct nft_table *table, struct ds *ds)
{
    ds_put_format(ds, "add table inet %s\ndelete table inet %s\n",
                  table->name, table->name);
    if (!table->text) {
        return;
    }
    ds_put_format(ds, "table inet %s {\n", table->name);
    for (size_t i = 0; i < table->n_counters; i++) {
        const struct counter *c = &table->counters[i];

        ds_put_format(ds, "counter %s {\n"
                      "packets %"PRIu64" bytes %"PRIu64"\n}\n",
                      c->name, c->packets, c->bytes);
    }
    ds_put_format(ds, "%s}\n", table->text);
}

/* Starts 'argv' with 'input' and 'output' as its standard input and output.
 * Returns 0 or a positive errno value. */
static int
spawn(char *argv[], int input, int output, pid_t *pid)
{
    extern char **environ;
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attr;
    sigset_t set;

    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, input, STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&actions, output, STDERR_FILENO);
    posix_spawn_file_actions_addclosefrom_np(&actions, STDERR_FILENO + 1);

    posix_spawnattr_init(&attr);
    posix_spawnattr_setflags(&attr,
                             POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    sigemptyset(&set);
    posix_spawnattr_setsigmask(&attr, &set);
    sigaddset(&set, SIGPIPE);
    posix_spawnattr_setsigdefault(&attr, &set);

    int error = posix_spawnp(pid, argv[0], &actions, &attr, argv, environ);

    posix_spawnattr_destroy(&attr);
    posix_spawn_file_actions_destroy(&actions);
    return error;
}

static void
child_start(struct nft_table *table)
{
    char *argv[] = { "nft", "-f", "-", NULL };
    struct ds commands = DS_EMPTY_INITIALIZER;
    int input = memfd_create("nft-input", MFD_CLOEXEC);
    int output = memfd_create("nft-output", MFD_CLOEXEC);
    int error = 0;

    read_counters(table);
    format_commands(table, &commands);
    table->dirty = false;
    table->outdated = false;
    table->next_start = time_msec() + REPLACE_INTERVAL;
    if (input < 0 || output < 0) {
        error = errno;
    } else if (pwrite(input, commands.string, commands.length, 0)
               != commands.length) {
        error = errno ? errno : ENOSPC;
    } else {
        error = spawn(argv, input, output, &table->pid);
    }
    ds_destroy(&commands);
    if (input >= 0) {
        close(input);
    }
    if (!error) {
        table->pidfd = pidfd_open(table->pid, 0);
        if (table->pidfd < 0) {
            /* No kernel that has what Lateen needs comes here. */
            error = errno;
            waitpid(table->pid, NULL, 0);
        }
    }
    if (error) {
        if (output >= 0) {
            close(output);
        }
        table->pid = 0;
        table->dirty = true;
        table->next_start = time_msec() + RETRY_INTERVAL;
        set_error(table, xasprintf("nft cannot be run (%s); install "
                                   "nftables", ovs_strerror(error)));
        return;
    }
    table->output = output;
    table->deadline = time_msec() + CHILD_TIMEOUT;
}

/* What the child has said, or how it ended. */
static char *
child_message(const struct nft_table *table, int status)
{
    char buf[1024];
    ssize_t n = pread(table->output, buf, sizeof buf - 1, 0);

    if (n <= 0) {
        char *s = process_status_msg(status);
        char *message = xasprintf("nft: %s", s);
        free(s);
        return message;
    }
    buf[n] = '\0';
    for (char *p = buf; *p; p++) {
        if (*p == '\n') {
            *p = p[1] ? ' ' : '\0';
        }
    }
    return xasprintf("nft says: %s", buf);
}

/* The child has ended well: remembers what the kernel holds. */
static void
child_succeeded(struct nft_table *table)
{
    /* Events that the child itself caused. */
    bool lost = nlsock_events(table->events, take_event, table);
    table->touched = lost;

    int error = read_table(table->name, &table->kernel);
    if (error) {
        set_error(table, xasprintf("cannot be read back: %s",
                                   ovs_strerror(error)));
    } else if (!table->text == !table->kernel.n_rules) {
        set_error(table, NULL);
        table->ok = true;
    }
    table->dirty = !table->ok;
}

static void
child_run(struct nft_table *table)
{
    bool late = time_msec() >= table->deadline;
    int status;

    if (late) {
        kill(table->pid, SIGKILL);
    }
    if (waitpid(table->pid, &status, late ? 0 : WNOHANG) != table->pid) {
        return;
    }
    table->pid = 0;
    if (table->outdated) {
        table->dirty = true;
    } else if (WIFEXITED(status) && !WEXITSTATUS(status)) {
        child_succeeded(table);
    } else {
        table->dirty = true;
        table->next_start = time_msec() + RETRY_INTERVAL;
        set_error(table, child_message(table, status));
    }
    close(table->pidfd);
    close(table->output);
}

/* Netlink. */

static void
put_header(struct ofpbuf *request, int type)
{
    struct nfgenmsg *nfg;

    nl_msg_put_nlmsghdr(request, sizeof *nfg,
                        NFNL_SUBSYS_NFTABLES << 8 | type,
                        NLM_F_REQUEST);
    nfg = nl_msg_put_uninit(request, sizeof *nfg);
    nfg->nfgen_family = NFPROTO_INET;
    nfg->version = NFNETLINK_V0;
    nfg->res_id = 0;
}

/* The attribute 'type' of 'msg', or NULL. */
static const struct nlattr *
find_attr(const struct ofpbuf *msg, uint16_t type)
{
    return nl_attr_find(msg, NLMSG_HDRLEN + sizeof(struct nfgenmsg), type);
}

static int
read_table(const char *name, struct kernel_table *kernel)
{
    struct ofpbuf request, replies, msg;
    struct ofpbuf *reply = NULL;

    memset(kernel, 0, sizeof *kernel);
    ofpbuf_init(&request, 0);
    put_header(&request, NFT_MSG_GETTABLE);
    nl_msg_put_string(&request, NFTA_TABLE_NAME, name);
    int error = nl_transact(NETLINK_NETFILTER, &request, &reply);
    if (!error) {
        const struct nlattr *flags = find_attr(reply, NFTA_TABLE_FLAGS);

        kernel->exists = true;
        kernel->dormant = flags && (nl_attr_get_be32(flags)
                                    & htonl(NFT_TABLE_F_DORMANT));
        ofpbuf_delete(reply);
    } else if (error == ENOENT) {
        ofpbuf_uninit(&request);
        return 0;
    }

    ofpbuf_clear(&request);
    ofpbuf_init(&replies, 4096);
    if (!error) {
        put_header(&request, NFT_MSG_GETRULE);
        nl_msg_put_string(&request, NFTA_RULE_TABLE, name);
        error = nlsock_dump(NETLINK_NETFILTER, &request, &replies);
    }
    while (!error && nl_msg_next(&replies, &msg)) {
        const struct nlattr *chain = find_attr(&msg, NFTA_RULE_CHAIN);
        const struct nlattr *exprs = find_attr(&msg, NFTA_RULE_EXPRESSIONS);

        if (chain && exprs) {
            kernel->n_rules++;
            kernel->digest = hash_bytes(nl_attr_get(chain),
                                        nl_attr_get_size(chain),
                                        kernel->digest);
            kernel->digest = hash_bytes(nl_attr_get(exprs),
                                        nl_attr_get_size(exprs),
                                        kernel->digest);
        }
    }
    ofpbuf_uninit(&replies);
    ofpbuf_uninit(&request);
    return error;
}

/* Takes the counter that 'msg' tells, if it is one of ours. */
static void
take_counter(struct nft_table *table, const struct ofpbuf *msg)
{
    const struct nlattr *name = find_attr(msg, NFTA_OBJ_NAME);
    const struct nlattr *data = find_attr(msg, NFTA_OBJ_DATA);
    const struct nlattr *packets
        = data ? nl_attr_find_nested(data, NFTA_COUNTER_PACKETS) : NULL;
    const struct nlattr *bytes
        = data ? nl_attr_find_nested(data, NFTA_COUNTER_BYTES) : NULL;

    for (size_t i = 0; name && packets && bytes && i < table->n_counters;
         i++) {
        struct counter *c = &table->counters[i];

        if (!strcmp(c->name, nl_attr_get_string(name))) {
            c->packets = ntohll(nl_attr_get_be64(packets));
            c->bytes = ntohll(nl_attr_get_be64(bytes));
        }
    }
}

/* Reads the counters.  While the table is not as it should be, what was read
 * last stands: the next table starts with it. */
static void
read_counters(struct nft_table *table)
{
    struct ofpbuf request, replies, msg;

    if (!table->n_counters) {
        return;
    }
    ofpbuf_init(&request, 0);
    ofpbuf_init(&replies, 4096);
    put_header(&request, NFT_MSG_GETOBJ);
    nl_msg_put_string(&request, NFTA_OBJ_TABLE, table->name);
    nl_msg_put_be32(&request, NFTA_OBJ_TYPE, htonl(NFT_OBJECT_COUNTER));
    if (!nlsock_dump(NETLINK_NETFILTER, &request, &replies)) {
        while (nl_msg_next(&replies, &msg)) {
            take_counter(table, &msg);
        }
    }
    ofpbuf_uninit(&replies);
    ofpbuf_uninit(&request);
}

void
nft_table_read_set(const struct nft_table *table, const char *set,
                   void (*cb)(const uint8_t *key, size_t size,
                              uint64_t expires, void *aux), void *aux)
{
    struct ofpbuf request, replies, msg;

    ofpbuf_init(&request, 0);
    ofpbuf_init(&replies, 4096);
    put_header(&request, NFT_MSG_GETSETELEM);
    nl_msg_put_string(&request, NFTA_SET_ELEM_LIST_TABLE, table->name);
    nl_msg_put_string(&request, NFTA_SET_ELEM_LIST_SET, set);
    int error = nlsock_dump(NETLINK_NETFILTER, &request, &replies);
    while (!error && nl_msg_next(&replies, &msg)) {
        const struct nlattr *list
            = find_attr(&msg, NFTA_SET_ELEM_LIST_ELEMENTS);
        const struct nlattr *elem;
        size_t left;

        if (!list) {
            continue;
        }
        NL_NESTED_FOR_EACH (elem, left, list) {
            const struct nlattr *key
                = nl_attr_find_nested(elem, NFTA_SET_ELEM_KEY);
            const struct nlattr *expires
                = nl_attr_find_nested(elem, NFTA_SET_ELEM_EXPIRATION);
            const struct nlattr *value
                = key ? nl_attr_find_nested(key, NFTA_DATA_VALUE) : NULL;

            if (value && expires) {
                cb(nl_attr_get(value), nl_attr_get_size(value),
                   ntohll(nl_attr_get_be64(expires)), aux);
            }
        }
    }
    ofpbuf_uninit(&replies);
    ofpbuf_uninit(&request);
}

/* In each nftables message but that of a generation, attribute 1 names the
 * table. */
static void
take_event(const struct ofpbuf *msg, void *table_)
{
    struct nft_table *table = table_;
    uint16_t type = nl_msg_nlmsghdr(msg)->nlmsg_type;

    if (NFNL_SUBSYS_ID(type) != NFNL_SUBSYS_NFTABLES
        || NFNL_MSG_TYPE(type) == NFT_MSG_NEWGEN
        || msg->size < NLMSG_HDRLEN + sizeof(struct nfgenmsg)) {
        return;
    }
    const struct nlattr *name = find_attr(msg, NFTA_TABLE_NAME);
    if (name && nl_attr_get_size(name) > strlen(table->name)
        && !memcmp(nl_attr_get(name), table->name, strlen(table->name) + 1)) {
        table->touched = true;
    }
}
