/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What lateen-ike says, line by line, in the order of the agent's questions or
 * any other.  A line that begins with "#" is its end.  None of it may harm the
 * agent, which tells afterwards what it has understood.  The kernel has no
 * policies and SAs, and nobody here may touch those of the machine. */

#include <config.h>
#include "ipsec/ike.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/catalog.h"
#include "agent/config.h"
#include "agent/model.h"
#include "openvswitch/json.h"
#include "openvswitch/vlog.h"
#include "socket-util.h"
#include "util.h"

/* The linker has calls of FUNCTION() from anywhere land in __wrap_FUNCTION():
 * see tests/automake.mk. */

int __real_socketpair(int domain, int type, int protocol, int fds[2]);
int __wrap_socketpair(int domain, int type, int protocol, int fds[2]);
int __wrap_posix_spawn(pid_t *pid, const char *path,
                       const posix_spawn_file_actions_t *,
                       const posix_spawnattr_t *, char *const argv[],
                       char *const envp[]);
pid_t __wrap_waitpid(pid_t pid, int *status, int options);
int __wrap_kill(pid_t pid, int signr);

/* This program in the place of lateen-ike. */

static int process = -1;        /* The process's end of the socket. */

static void
end_process(void)
{
    if (process >= 0) {
        close(process);
        process = -1;
    }
}

int
__wrap_socketpair(int domain, int type, int protocol, int fds[2])
{
    int error = __real_socketpair(domain, type, protocol, fds);

    end_process();
    process = error ? -1 : fcntl(fds[1], F_DUPFD_CLOEXEC, 0);
    return error;
}

int
__wrap_posix_spawn(pid_t *pid, const char *path OVS_UNUSED,
                   const posix_spawn_file_actions_t *actions OVS_UNUSED,
                   const posix_spawnattr_t *attr OVS_UNUSED,
                   char *const argv[] OVS_UNUSED,
                   char *const envp[] OVS_UNUSED)
{
    *pid = 1;
    return 0;
}

pid_t
__wrap_waitpid(pid_t pid, int *status, int options OVS_UNUSED)
{
    end_process();
    *status = 0;
    return pid;
}

int
__wrap_kill(pid_t pid OVS_UNUSED, int signr OVS_UNUSED)
{
    return 0;
}

/* The edge. */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char objects[] =
    "{apiVersion: v1, kind: Node, metadata: {name: n1},\n"
    " status: {addresses: [{type: InternalIP, address: 192.0.2.1}]}}\n"
    "---\n"
    "{apiVersion: v1, kind: Node, metadata: {name: n2},\n"
    " status: {addresses: [{type: InternalIP, address: 192.0.2.2}]}}\n";

static char dir[] = "/tmp/fuzz-ike-edge-XXXXXX";
static char *charon_path, *key_path;
static int charon = -1;         /* Where charon would listen. */
static struct config *config;
static struct model model;

static void
clean_up(void)
{
    unlink(charon_path);
    unlink(key_path);
    rmdir(dir);
}

static void
start(void)
{
    static struct catalog catalog;
    static struct catalog_file file;

    vlog_set_levels(NULL, VLF_ANY_DESTINATION, VLL_OFF);
    if (!mkdtemp(dir)) {
        ovs_fatal(errno, "%s", dir);
    }
    charon_path = xasprintf("%s/vici", dir);
    key_path = xasprintf("%s/psk", dir);
    atexit(clean_up);
    charon = make_unix_socket(SOCK_STREAM, true, charon_path, NULL);
    FILE *key = fopen(key_path, "w");
    if (charon < 0 || listen(charon, 64) || !key || fchmod(fileno(key), 0600)
        || fputs("0123456789abcdef0123456789abcdef\n", key) < 0
        || fclose(key)) {
        ovs_fatal(errno, "cannot prepare %s", dir);
    }

    char *settings = xasprintf("{source: dir:/d, cluster-cidrs: [10.0.0.0/8],"
                               " ipsec: {mode: required, psk-file: %s,"
                               " vici-socket: %s}}", key_path, charon_path);
    char *error = config_parse("lateend.yaml", settings, strlen(settings),
                               &config);
    if (error) {
        ovs_fatal(0, "%s", error);
    }
    free(settings);
    model_init(&model);
    catalog_init(&catalog);
    catalog_file_init(&file, "a.yaml", NULL);
    catalog_load(&catalog, &file, objects, strlen(objects), &model);
}

/* Lets the edge ask, and reads that, as lateen-ike does. */
static void
run(struct ike *ike)
{
    char buf[4096];

    for (int i = 0; i < 2; i++) {
        ike_run(ike, &model, config, "n1");
        while (process >= 0
               && recv(process, buf, sizeof buf, MSG_DONTWAIT) > 0) {
            continue;
        }
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *p = (const char *) data, *end = p + size;
    int fd, accepted = -1;

    if (charon < 0) {
        start();
    }
    struct ike *ike = ike_create();
    run(ike);
    for (const char *next; p < end; p = next) {
        next = memchr(p, '\n', end - p);
        next = next ? next + 1 : end;
        if (*p == '#') {
            end_process();
        } else if (process >= 0) {
            ignore(send(process, p, next - p, MSG_NOSIGNAL | MSG_DONTWAIT));
        }
        run(ike);
        while ((fd = accept(charon, NULL, NULL)) >= 0) {
            if (accepted >= 0) {
                close(accepted);
            }
            accepted = fd;
        }
    }

    json_destroy(ike_status_to_json(ike));
    json_destroy(ike_repairs_to_json(ike));
    free(nullable_xstrdup(ike_last_error(ike)));
    ovs_assert(!ike_realized(ike) || ike_permits_tunnel(ike));
    ike_destroy(ike);
    end_process();
    if (accepted >= 0) {
        close(accepted);
    }
    return 0;
}
