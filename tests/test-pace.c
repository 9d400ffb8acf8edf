/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Sends numbered datagrams at a steady pace, and counts those that arrive: in
 * C, so that an emulated machine keeps the pace.
 *
 * Both run until SIGTERM or SIGINT and then say what they have seen. */

#include <config.h>

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include "bitmap.h"
#include "lateen-test.h"
#include "openvswitch/types.h"
#include "util.h"

#define MAX_NUMBER (1 << 22)
#define NSEC_PER_SEC INT64_C(1000000000)

/* A sender that is later than this does not make up for it by a burst. */
#define LATE (NSEC_PER_SEC / 50)

struct pace_data {
    ovs_be32 number;
    char mark[60];
};
/* tests/lab/capture.py looks for it: none but a clear packet shows it. */
#define PACE_MARK "LATEEN-CLEAR"

static volatile sig_atomic_t stopped;

static void
stop(int signr OVS_UNUSED)
{
    stopped = 1;
}

/* Without SA_RESTART: whatever waits returns. */
static void
catch_signals(void)
{
    struct sigaction action = { .sa_handler = stop };

    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
}

static int64_t
now(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return ts.tv_sec * NSEC_PER_SEC + ts.tv_nsec;
}

/* Returns a socket, and what its 'address', IPv4 or IPv6, is in 'sin6': IPv4
 * addresses are mapped. */
static int
open_socket(const char *address, const char *port, struct sockaddr_in6 *sin6)
{
    int fd = socket(AF_INET6, SOCK_DGRAM, 0);
    char *mapped = xasprintf("::ffff:%s", address);
    int off = 0;

    memset(sin6, 0, sizeof *sin6);
    sin6->sin6_family = AF_INET6;
    sin6->sin6_port = htons(atoi(port));
    if (fd < 0 || setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off)
        || (inet_pton(AF_INET6, strchr(address, ':') ? address : mapped,
                      &sin6->sin6_addr) != 1)) {
        ovs_fatal(errno, "cannot use the address %s", address);
    }
    free(mapped);
    return fd;
}

static int
test_pace_send(int argc, char *argv[])
{
    struct sockaddr_in6 to;

    if (argc != 4) {
        ovs_fatal(0, "usage: pace-send ADDRESS PORT RATE");
    }
    int fd = open_socket(argv[1], argv[2], &to);
    int64_t interval = NSEC_PER_SEC / atoi(argv[3]);
    int64_t next = now();
    uint32_t n;

    catch_signals();
    for (n = 0; !stopped && n < MAX_NUMBER; n++) {
        struct pace_data data = { htonl(n), PACE_MARK };
        int64_t at = now();

        if (at < next) {
            struct timespec ts = {
                .tv_sec = next / NSEC_PER_SEC, .tv_nsec = next % NSEC_PER_SEC
            };
            clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL);
            if (stopped) {
                break;
            }
        } else if (at > next + LATE) {
            next = at;
        }
        next += interval;
        /* What cannot be sent counts as sent, and lost. */
        ignore(sendto(fd, &data, sizeof data, 0, (struct sockaddr *) &to,
                      sizeof to));
    }
    printf("sent %"PRIu32"\n", n);
    close(fd);
    return 0;
}
LATEEN_TEST_REGISTER("pace-send", "ADDRESS PORT RATE", test_pace_send)

static int
test_pace_receive(int argc, char *argv[])
{
    unsigned long *seen = bitmap_allocate(MAX_NUMBER);
    unsigned int received = 0, copies = 0;
    int64_t last = 0, gap = 0;
    struct sockaddr_in6 self;
    int size = 1 << 23;

    if (argc != 2) {
        ovs_fatal(0, "usage: pace-receive PORT");
    }
    int fd = open_socket("::", argv[1], &self);
    ignore(setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size));
    if (bind(fd, (struct sockaddr *) &self, sizeof self)) {
        ovs_fatal(errno, "cannot listen on port %s", argv[1]);
    }
    catch_signals();
    puts("ready");
    fflush(stdout);
    while (!stopped) {
        struct pace_data data;

        if (recv(fd, &data, sizeof data, 0) != sizeof data
            || ntohl(data.number) >= MAX_NUMBER) {
            continue;
        }
        int64_t at = now();
        if (last) {
            gap = MAX(gap, at - last);
        }
        last = at;
        if (bitmap_is_set(seen, ntohl(data.number))) {
            copies++;
        } else {
            bitmap_set1(seen, ntohl(data.number));
            received++;
        }
    }
    printf("received %u copies %u gap %"PRId64"\n", received, copies,
           gap / 1000000);
    free(seen);
    close(fd);
    return 0;
}
LATEEN_TEST_REGISTER("pace-receive", "PORT", test_pace_receive)
