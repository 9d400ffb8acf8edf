/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The pre-shared key of the cluster: see psk.h. */

#include <config.h>
#include "psk.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "util.h"

/* A longer one does not fit a VICI value comfortably, and nobody has it. */
#define PSK_MAX 4096

/* What examples and other projects' defaults have for a key; any key that
 * contains one of them is refused. */
static const char *const known[] = {
    "changeme", "change-me", "change_me", "password", "secret", "default",
    "example", "0123456789abcdef", "1234567890", "abcdefghij", "lateen",
};

/* Whether 'key' is a short piece again and again. */
static bool
is_repetition(const char *key, size_t n)
{
    for (size_t period = 1; period <= n / 3; period++) {
        if (!memcmp(key, key + period, n - period)) {
            return true;
        }
    }
    return false;
}

static char *
check_key(const char *file, const char *key, size_t n)
{
    if (n < PSK_MIN) {
        return xasprintf("%s: the key has %"PRIuSIZE" bytes; at least %d are "
                         "wanted, as \"head -c 32 /dev/urandom | base64\" "
                         "makes them", file, n, PSK_MIN);
    }
    if (memchr(key, '\0', n) || memchr(key, '\n', n)) {
        return xasprintf("%s: the key is to be one line of text", file);
    }
    for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; j < ARRAY_SIZE(known); j++) {
            if (!strncasecmp(key + i, known[j], strlen(known[j]))) {
                return xasprintf("%s: the key contains \"%s\", which is easy "
                                 "to guess; make one at random", file,
                                 known[j]);
            }
        }
    }
    if (is_repetition(key, n)) {
        return xasprintf("%s: the key repeats itself; make one at random",
                         file);
    }
    return NULL;
}

char *
psk_read(const char *file, char **keyp)
{
    char *key = NULL, *error = NULL;
    size_t n = 0;
    struct stat s;
    int fd;

    *keyp = NULL;
    fd = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 || fstat(fd, &s)) {
        error = xasprintf("%s: cannot read the key: %s", file,
                          ovs_strerror(errno));
    } else if (!S_ISREG(s.st_mode)) {
        error = xasprintf("%s: the key is not in a regular file", file);
    } else if (s.st_mode & 077) {
        error = xasprintf("%s: others than its owner may read the key; use "
                          "\"chmod 600 %s\"", file, file);
    } else {
        key = xzalloc(PSK_MAX + 2);
        while (n < PSK_MAX + 1) {
            ssize_t got = read(fd, key + n, PSK_MAX + 1 - n);

            if (got < 0 && errno == EINTR) {
                continue;
            } else if (got < 0) {
                error = xasprintf("%s: cannot read the key: %s", file,
                                  ovs_strerror(errno));
            }
            if (got <= 0) {
                break;
            }
            n += got;
        }
        if (n && key[n - 1] == '\n') {
            key[--n] = '\0';
        }
        if (!error && n > PSK_MAX) {
            error = xasprintf("%s: the key has more than %d bytes", file,
                              PSK_MAX);
        }
        error = error ? error : check_key(file, key, n);
    }
    if (fd >= 0) {
        close(fd);
    }
    if (error) {
        if (key) {
            explicit_bzero(key, PSK_MAX + 2);
            free(key);
        }
        return error;
    }
    *keyp = xmemdup0(key, n);
    explicit_bzero(key, PSK_MAX + 2);
    free(key);
    return NULL;
}

void
psk_free(char *key)
{
    if (key) {
        explicit_bzero(key, strlen(key));
        free(key);
    }
}
