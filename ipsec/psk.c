/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Pre-shared keys and other secrets: see psk.h. */

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

/* What examples and other projects' defaults have for a key; any key that
 * contains one of them is refused. */
static const char *const known[] = {
    "changeme", "change-me", "change_me", "password", "secret", "default",
    "example", "0123456789abcdef", "1234567890", "abcdefghij", "lateen",
};

/* Whether 'key' is a short piece again and again. */
static bool
is_repetition(const uint8_t *key, size_t n)
{
    for (size_t period = 1; period <= n / 3; period++) {
        if (!memcmp(key, key + period, n - period)) {
            return true;
        }
    }
    return false;
}

/* Whether 'word' is at the beginning of the 'n' bytes at 'key'. */
static bool
starts_with(const uint8_t *key, size_t n, const char *word)
{
    return (n >= strlen(word)
            && !strncasecmp((const char *) key, word, strlen(word)));
}

static char *
check_key(const char *file, const struct psk *psk)
{
    if (psk->size < PSK_MIN) {
        return xasprintf("%s: the key has %"PRIuSIZE" bytes, and at least %d "
                         "are wanted; make one with \"head -c 32 "
                         "/dev/urandom | base64\"", file, psk->size, PSK_MIN);
    } else if (psk->size > PSK_MAX) {
        return xasprintf("%s: the key has more than %d bytes", file, PSK_MAX);
    }
    for (size_t i = 0; i < psk->size; i++) {
        for (size_t j = 0; j < ARRAY_SIZE(known); j++) {
            if (starts_with(psk->data + i, psk->size - i, known[j])) {
                return xasprintf("%s: the key contains \"%s\", which anybody "
                                 "would try; make one with \"head -c 32 "
                                 "/dev/urandom | base64\"", file, known[j]);
            }
        }
    }
    if (is_repetition(psk->data, psk->size)) {
        return xasprintf("%s: the key repeats itself; make one with \"head "
                         "-c 32 /dev/urandom | base64\"", file);
    }
    return NULL;
}

static char *
check_file(const char *file, const struct stat *s)
{
    if (!S_ISREG(s->st_mode)) {
        return xasprintf("%s: the key is to be in a regular file", file);
    } else if (s->st_mode & 077) {
        return xasprintf("%s: others than its owner may use the key; run "
                         "\"chmod 600 %s\"", file, file);
    } else if (s->st_uid && s->st_uid != geteuid()) {
        return xasprintf("%s: the key belongs to the user with the number "
                         "%ju; run \"chown root %s\"", file,
                         (uintmax_t) s->st_uid, file);
    }
    return NULL;
}

/* A number of the file in state 's' (FNV-1a). */
static uint64_t
make_stamp(const struct stat *s)
{
    uint64_t fields[] = { s->st_dev, s->st_ino, s->st_size, s->st_ctim.tv_sec,
                          s->st_ctim.tv_nsec };
    uint64_t hash = UINT64_C(14695981039346656037);

    for (size_t i = 0; i < sizeof fields; i++) {
        hash = (hash ^ ((uint8_t *) fields)[i]) * UINT64_C(1099511628211);
    }
    return hash;
}

char *
secret_read(const char *file, size_t max, struct psk **secretp)
{
    struct psk *secret;
    char *error;
    struct stat s;

    *secretp = NULL;
    int fd = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 || fstat(fd, &s)) {
        error = xasprintf("%s: cannot read the key: %s", file,
                          ovs_strerror(errno));
        if (fd >= 0) {
            close(fd);
        }
        return error;
    }

    /* Room for a byte too many. */
    secret = xzalloc(sizeof *secret + max + 1);
    secret->stamp = make_stamp(&s);
    error = check_file(file, &s);
    while (!error && secret->size < max + 1) {
        ssize_t n = read(fd, secret->data + secret->size,
                         max + 1 - secret->size);

        if (n > 0) {
            secret->size += n;
        } else if (!n) {
            break;
        } else if (errno != EINTR) {
            error = xasprintf("%s: cannot read the key: %s", file,
                              ovs_strerror(errno));
        }
    }
    close(fd);
    if (!error && secret->size > max) {
        error = xasprintf("%s: the key has more than %"PRIuSIZE" bytes", file,
                          max);
    }
    if (error) {
        psk_free(secret);
    } else {
        *secretp = secret;
    }
    return error;
}

char *
psk_read(const char *file, struct psk **pskp)
{
    /* A newline is one byte more. */
    char *error = secret_read(file, PSK_MAX + 1, pskp);
    struct psk *psk = *pskp;

    if (error) {
        return error;
    }
    if (psk->size && psk->data[psk->size - 1] == '\n') {
        psk->data[--psk->size] = '\0';
    }
    error = check_key(file, psk);
    if (error) {
        psk_free(psk);
        *pskp = NULL;
    }
    return error;
}

bool
psk_equals(const struct psk *a, const struct psk *b)
{
    return (a == b
            || (a && b && a->size == b->size
                && !memcmp(a->data, b->data, a->size)));
}

void
psk_free(struct psk *psk)
{
    if (psk) {
        explicit_bzero(psk->data, psk->size);
        free(psk);
    }
}
